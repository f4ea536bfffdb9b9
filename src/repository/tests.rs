//! The room's door, tested with real folders: what is found, what is broken and why, and that nothing leads out.

use super::temp::TempFolder;
use super::*;
use inferlay_backend_sdk::ErrorKind;
use proptest::prelude::*;
use std::path::Path;

/// Scans one repository.
fn scanned(repository: &TempFolder) -> Found {
    scan(&[repository.path().to_owned()]).unwrap()
}

/// Each model with its versions and their files, as one line: `name 1[a b] 2[c]`.
fn drawn(found: &Found) -> Vec<String> {
    let draw = |model: &FoundModel| {
        let version = |(n, files): (&u64, &Arc<dyn ModelFiles>)| format!(" {n}[{}]", files.names().join(" "));
        format!("{}{}", model.name, model.versions.iter().map(version).collect::<String>())
    };
    found.models.values().map(draw).collect()
}

/// Checks that `name` alone is broken, and that its reason holds every one of `parts`.
fn check_broken(found: &Found, name: &str, kind: ErrorKind, parts: &[&str]) {
    let error = found.broken.get(name).unwrap_or_else(|| panic!("{name:?} is not among {:?}", found.broken));
    assert_eq!(error.kind(), kind, "{error}");
    for part in parts {
        assert!(error.message().contains(part), "no {part:?} in: {error}");
    }
    assert!(!found.models.contains_key(name));
}

#[test]
fn models_are_found_with_their_versions_and_files() {
    let rows: [(&[&str], &[&str]); 7] = [
        (
            &["a/config.yaml", "a/1/model.onnx", "a/10/model.onnx", "a/2/sub/b"],
            &["a 1[model.onnx] 2[sub/b] 10[model.onnx]"],
        ),
        (&["a/1/m", "b/7/m"], &["a 1[m]", "b 7[m]"]),
        (&["a/model.onnx"], &["a 1[model.onnx]"]),
        (&["a/model.onnx", "a/config.yml", "a/weights/w.bin"], &["a 1[model.onnx weights/w.bin]"]),
        (&["a/config.yaml"], &["a 1[]"]),
        (&["a/1/m", "a/labels.txt", "a/assets/x", "a/v2/m", "README.md"], &["a 1[m]"]),
        (&["a/1/m", ".git/1/m", "a/.2/m", "a/1/.DS_Store", "a/1/.cache/x"], &["a 1[m]"]),
    ];
    for (files, expected) in rows {
        let repository = TempFolder::with(files);
        let found = scanned(&repository);
        assert_eq!(drawn(&found), expected);
        assert!(found.broken.is_empty() && found.warnings.is_empty(), "{:?} {:?}", found.broken, found.warnings);
    }
}

#[test]
fn a_config_is_handed_on_with_the_path_that_the_caller_knows() {
    let repository = TempFolder::with(&["a/1/m", "b/1/m"]);
    repository.write("a/config.yml", "größe: 1".as_bytes());
    let found = scanned(&repository);
    let label = repository.join("a/config.yml").display().to_string();
    assert_eq!(found.models["a"].config, Some(ConfigText { label, text: "größe: 1".to_owned() }));
    assert_eq!(found.models["a"].folder, repository.join("a"));
    assert_eq!(found.models["b"].config, None);
}

#[test]
fn a_folder_that_is_nearly_a_version_is_passed_over_with_a_warning() {
    let repository = TempFolder::with(&["a/1/m", "a/0/m", "a/-1/m", "a/01/m", "a/1.0/m", "a/03"]);
    let found = scanned(&repository);
    assert_eq!(drawn(&found), ["a 1[m]"]);
    assert_eq!(found.warnings.len(), 4, "{:?}", found.warnings);
    for name in ["'0'", "'-1'", "'01'", "'1.0'"] {
        let named =
            found.warnings.iter().filter(|warning| warning.contains(&format!("found folder {name}, expected a whole")));
        assert_eq!(named.count(), 1, "{name}: {:?}", found.warnings);
    }
}

#[test]
fn what_somebody_may_think_is_served_is_warned_about() {
    let rows: [(&[&str], &str); 3] = [
        (&["a/1/m", "a/m"], "found file 'm', expected it only in version 1"),
        (&["a/1/m", "a/config.pbtxt"], "found config.pbtxt, which is not read, expected config.yaml"),
        (&["config.yaml", "1/m"], "found a config.yaml, expected a folder of models"),
    ];
    for (files, message) in rows {
        let found = scanned(&TempFolder::with(files));
        assert_eq!(found.models.len(), 1, "{files:?}");
        assert!(matches!(&found.warnings[..], [one] if one.contains(message)), "{:?}", found.warnings);
    }
}

#[test]
fn a_broken_model_says_why_and_leaves_the_others_alone() {
    let rows: [(&[&str], &str, ErrorKind, &[&str]); 7] = [
        (&["x..y/1/m"], "x..y", ErrorKind::InvalidArg, &["model 'x..y': found '..' in the name, expected"]),
        (&["x\\y/1/m"], "x\\y", ErrorKind::InvalidArg, &["found '\\' in the name"]),
        (&["x\ny/1/m"], "x\ny", ErrorKind::InvalidArg, &["model 'x\\ny': found '\\n' in the name"]),
        (&["x/config.yaml", "x/config.yml"], "x", ErrorKind::InvalidArg, &["found config.yaml and config.yml"]),
        (&["x/01/m"], "x", ErrorKind::NotFound, &["no version: found folder '01', expected a whole number"]),
        (&["x/01/m", "x/config.yaml"], "x", ErrorKind::NotFound, &["no version: found folder '01'"]),
        (&["x/v1/m"], "x", ErrorKind::NotFound, &["no version: found folder 'v1', expected a folder named 1"]),
    ];
    for (files, name, kind, parts) in rows {
        let repository = TempFolder::with(files);
        repository.write("good/1/m", b"");
        let found = scanned(&repository);
        check_broken(&found, name, kind, parts);
        assert_eq!(found.broken.len(), 1);
        assert_eq!(drawn(&found), ["good 1[m]"]);
    }
}

#[test]
fn an_empty_model_folder_is_broken() {
    let repository = TempFolder::with(&[]);
    repository.folder("x");
    check_broken(&scanned(&repository), "x", ErrorKind::NotFound, &["model 'x'", "found an empty folder"]);
}

#[test]
fn a_config_that_is_no_config_breaks_its_model() {
    let repository = TempFolder::with(&["big/1/m", "fits/1/m", "binary/1/m", "folder/1/m", "folder/config.yaml/f"]);
    repository.write("big/config.yaml", &vec![b'#'; (scan::CONFIG_BYTES_MAX + 1) as usize]);
    repository.write("fits/config.yaml", &vec![b'#'; scan::CONFIG_BYTES_MAX as usize]);
    repository.write("binary/config.yaml", b"ok\xff");
    let found = scanned(&repository);
    check_broken(&found, "big", ErrorKind::InvalidArg, &["big/config.yaml: found more than 1048576 bytes"]);
    check_broken(&found, "binary", ErrorKind::InvalidArg, &["found a byte at offset 2 that is not UTF-8"]);
    check_broken(&found, "folder", ErrorKind::NotFound, &["found a folder, expected a file"]);
    assert_eq!(drawn(&found), ["fits 1[m]"]);
}

#[test]
fn a_name_in_two_repositories_is_broken_in_both() {
    let (one, two) = (TempFolder::with(&["a/1/m", "b/1/m"]), TempFolder::with(&["a/2/m", "c/1/m"]));
    let found = scan(&[one.path().to_owned(), two.path().to_owned()]).unwrap();
    let folders = [one.join("a").display().to_string(), two.join("a").display().to_string()];
    check_broken(&found, "a", ErrorKind::AlreadyExists, &["model 'a': found in '", &folders[0], &folders[1]]);
    assert_eq!(drawn(&found), ["b 1[m]", "c 1[m]"]);
}

#[test]
fn a_broken_model_and_a_good_one_of_the_same_name_are_both_broken() {
    let (one, two) = (TempFolder::with(&["a/0/m"]), TempFolder::with(&["a/2/m"]));
    let found = scan(&[one.path().to_owned(), two.path().to_owned()]).unwrap();
    check_broken(&found, "a", ErrorKind::AlreadyExists, &["expected in one repository"]);
}

#[test]
fn a_repository_given_twice_is_scanned_once() {
    let repository = TempFolder::with(&["a/1/m"]);
    let found = scan(&[repository.path().to_owned(), repository.join("a/..")]).unwrap();
    assert_eq!(drawn(&found), ["a 1[m]"]);
    assert!(matches!(&found.warnings[..], [one] if one.contains("same as")), "{:?}", found.warnings);
}

#[test]
fn a_repository_that_is_no_folder_fails_the_scan() {
    let repository = TempFolder::with(&["file"]);
    let rows = [
        ("nowhere", ErrorKind::NotFound, "not found"),
        ("file", ErrorKind::InvalidArg, "found a file, expected a folder"),
    ];
    for (name, kind, message) in rows {
        let error = scan(&[repository.path().to_owned(), repository.join(name)]).err().unwrap();
        assert_eq!(error.kind(), kind);
        assert!(error.message().starts_with("repository: ") && error.message().contains(message), "{error}");
        assert!(error.message().contains(&repository.join(name).display().to_string()), "{error}");
    }
    assert!(drawn(&scan(&[]).unwrap()).is_empty());
}

#[test]
fn one_file_is_a_model_named_by_its_stem() {
    let folder = TempFolder::with(&["digits.onnx", "model.onnx", "net.int8.onnx", "config.yaml", "digits.onnx.data"]);
    for (file, name) in [("digits.onnx", "digits"), ("model.onnx", "model"), ("net.int8.onnx", "net.int8")] {
        let model = open_file(&folder.join(file)).unwrap();
        assert_eq!((model.name.as_str(), model.config), (name, None));
        let files = &model.versions[&1];
        assert_eq!(files.names(), [file]);
        assert_eq!(files.read("digits.onnx.data").unwrap(), b"digits.onnx.data");
        assert_eq!(files.path(file).unwrap(), Some(folder.join(file)));
    }
}

#[test]
fn what_is_not_a_file_is_not_opened_as_one() {
    let folder = TempFolder::with(&[".onnx", "a..onnx", "sub/f"]);
    let rows = [
        ("gone.onnx", ErrorKind::NotFound, "not found"),
        ("sub", ErrorKind::InvalidArg, "found a folder, expected a file"),
        ("sub/..", ErrorKind::InvalidArg, "found a folder, expected a file"),
        (".onnx", ErrorKind::InvalidArg, "found a name that begins with '.'"),
    ];
    for (name, kind, message) in rows {
        let error = open_file(&folder.join(name)).err().unwrap();
        assert_eq!(error.kind(), kind, "{error}");
        assert!(error.message().contains(message), "{error}");
    }
    assert_eq!(open_file(&folder.join("a..onnx")).unwrap().name, "a.");
}

#[test]
fn files_are_read_by_name_and_no_name_leads_out() {
    let folder = TempFolder::with(&["secret", "m/a", "m/sub/b"]);
    let files = FolderFiles::open(&folder.join("m")).unwrap();
    assert_eq!(files.names(), ["a", "sub/b"]);
    assert_eq!(files.read("./sub/b").unwrap(), b"m/sub/b");
    assert_eq!(files.path("sub/b").unwrap(), Some(folder.join("m/sub/b")));
    let absolute = folder.join("secret").display().to_string();
    for name in ["../secret", "sub/../../secret", &absolute, "sub\\..\\..\\secret", "gone", "", "a\0", "sub"] {
        assert_eq!(files.read(name).unwrap_err().kind(), ErrorKind::NotFound, "{name:?}");
        assert_eq!(files.path(name).unwrap_err().kind(), ErrorKind::NotFound, "{name:?}");
    }
}

#[test]
fn memory_holds_files_under_plain_names() {
    let files = MemoryFiles::new([("./b".to_owned(), vec![1]), ("a/c".to_owned(), vec![])]).unwrap();
    assert_eq!(files.names(), ["a/c", "b"]);
    assert_eq!((files.read("b").unwrap(), files.path("a//c").unwrap()), (vec![1], None));
    assert_eq!(files.read("c").unwrap_err().kind(), ErrorKind::NotFound);
    for names in [["../a", "b"], ["a", "./a"], ["", "a"]] {
        let error = MemoryFiles::new(names.map(|name| (name.to_owned(), vec![]))).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArg, "{names:?}");
    }
}

#[test]
fn a_version_that_is_too_deep_is_broken() {
    let deep = format!("a/1/{}m", "d/".repeat(16));
    let found = scanned(&TempFolder::with(&[&deep, "b/1/d/d/d/m"]));
    check_broken(&found, "a", ErrorKind::ResourceExhausted, &["model 'a': version 1: ", "more than 16 folders"]);
    assert_eq!(drawn(&found), ["b 1[d/d/d/m]"]);
}

#[cfg(unix)]
mod links {
    use super::*;
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::PermissionsExt;
    use std::os::unix::net::UnixListener;

    #[test]
    fn links_that_stay_inside_are_followed() {
        let repository = TempFolder::with(&["a/1/m", "a/1/w"]);
        repository.link("b", "a");
        repository.link("a/2", "1");
        repository.link("a/3/m", "../1/m");
        repository.link("a/config.yaml", "1/w");
        let found = scanned(&repository);
        assert_eq!(drawn(&found), ["a 1[m w] 2[m w] 3[m]", "b 1[m w] 2[m w] 3[m]"]);
        assert_eq!(found.models["a"].versions[&3].read("m").unwrap(), b"a/1/m");
        assert_eq!(found.models["a"].versions[&3].path("m").unwrap(), Some(repository.join("a/3/m")));
        assert_eq!(found.models["b"].config.as_ref().unwrap().text, "a/1/w");
    }

    #[test]
    fn links_that_lead_out_break_the_model_and_name_the_target() {
        let outside = TempFolder::with(&["1/m", "m", "config.yaml"]);
        let target = outside.path().display().to_string();
        let repository = TempFolder::with(&["config/1/m", "good/1/m"]);
        repository.link("model", outside.path());
        repository.link("version/1", outside.join("1"));
        repository.link("config/config.yaml", outside.join("config.yaml"));
        repository.link("climbs", format!("../{}", outside.path().file_name().unwrap().to_str().unwrap()));
        repository.link("up", "..");
        repository.link("gone", "/nowhere/at/all");
        repository.link("circle", "circle");
        repository.link("itself", ".");
        repository.link("note.txt", outside.join("m"));
        let found = scanned(&repository);
        for name in ["model", "version", "config", "climbs"] {
            check_broken(
                &found,
                name,
                ErrorKind::NotFound,
                &["found a link to", &target, "expected a target inside of"],
            );
        }
        check_broken(&found, "up", ErrorKind::NotFound, &["expected a target inside of"]);
        check_broken(&found, "gone", ErrorKind::NotFound, &["found a link to '/nowhere/at/all', which is not there"]);
        check_broken(&found, "circle", ErrorKind::Unavailable, &["model 'circle'"]);
        check_broken(&found, "itself", ErrorKind::NotFound, &["found a link to the repository itself"]);
        assert_eq!(drawn(&found), ["good 1[m]"]);
        assert_eq!(found.broken.len(), 8);
    }

    #[test]
    fn a_file_link_that_leads_out_is_listed_and_refused_when_read() {
        let outside = TempFolder::with(&["secret", "deep/secret"]);
        let repository = TempFolder::with(&["a/1/m"]);
        repository.link("a/1/file", outside.join("secret"));
        repository.link("a/1/folder", outside.join("deep"));
        let files = &scanned(&repository).models["a"].versions[&1];
        assert_eq!(files.names(), ["file", "folder", "m"]);
        for name in ["file", "folder/secret"] {
            let error = files.read(name).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotFound);
            assert!(error.message().contains(&outside.path().display().to_string()), "{error}");
            assert_eq!(files.path(name).unwrap_err(), error);
        }
    }

    #[test]
    fn links_in_a_circle_are_listed_once() {
        let repository = TempFolder::with(&["a/1/m", "a/1/x/n"]);
        repository.link("a/1/again", ".");
        repository.link("a/1/x/up", "..");
        repository.link("a/1/y", "x");
        assert_eq!(drawn(&scanned(&repository)), ["a 1[m x/n y/n]"]);
    }

    #[test]
    fn a_repository_may_itself_be_a_link() {
        let (repository, folder) = (TempFolder::with(&["a/1/m"]), TempFolder::with(&[]));
        folder.link("models", repository.path());
        let found = scan(&[folder.join("models")]).unwrap();
        assert_eq!(drawn(&found), ["a 1[m]"]);
        assert_eq!(found.models["a"].folder, folder.join("models/a"));
        assert_eq!(found.models["a"].versions[&1].read("m").unwrap(), b"a/1/m");
    }

    #[test]
    fn one_file_may_be_a_link_into_a_cache_with_its_weights() {
        let folder = TempFolder::with(&["blobs/123", "blobs/456", "secret"]);
        folder.link("snapshot/net.onnx", "../blobs/123");
        folder.link("snapshot/net.data", "../blobs/456");
        folder.link("snapshot/other", "../secret");
        let model = open_file(&folder.join("snapshot/net.onnx")).unwrap();
        let files = &model.versions[&1];
        assert_eq!((model.name.as_str(), files.names()), ("net", vec!["net.onnx".to_owned()]));
        assert_eq!(files.read("net.onnx").unwrap(), b"blobs/123");
        assert_eq!(files.read("net.data").unwrap(), b"blobs/456");
        assert_eq!(files.read("other").unwrap_err().kind(), ErrorKind::NotFound);
    }

    #[test]
    fn a_model_file_whose_link_is_broken_is_told_when_it_is_read() {
        let repository = TempFolder::with(&[]);
        repository.link("a/model.onnx", "gone");
        let found = scanned(&repository);
        assert_eq!(drawn(&found), ["a 1[model.onnx]"]);
        let error = found.models["a"].versions[&1].read("model.onnx").unwrap_err();
        assert!(error.message().contains("found a link to 'gone', which is not there"), "{error}");
    }

    #[test]
    fn a_name_that_is_not_utf8_is_passed_over_with_a_warning() {
        let repository = TempFolder::with(&["good/1/m"]);
        for folder in [repository.path().to_owned(), repository.join("good/1")] {
            std::fs::create_dir(folder.join(OsStr::from_bytes(b"bad\xff"))).unwrap();
        }
        let found = scanned(&repository);
        assert_eq!(drawn(&found), ["good 1[m]"]);
        assert_eq!(found.warnings.iter().filter(|warning| warning.contains("bad\\xff': passed over")).count(), 2);
    }

    #[test]
    fn a_socket_is_never_read() {
        let repository = TempFolder::with(&["a/1/m", "b/1/m"]);
        let sockets = ["a/config.yaml", "b/1/s"].map(|name| UnixListener::bind(repository.join(name)).unwrap());
        let found = scanned(&repository);
        check_broken(&found, "a", ErrorKind::NotFound, &["found a pipe, socket or device, expected a file"]);
        assert_eq!(drawn(&found), ["b 1[m]"]);
        assert_eq!(found.models["b"].versions[&1].read("s").unwrap_err().kind(), ErrorKind::NotFound);
        drop(sockets);
    }

    #[test]
    fn a_folder_that_may_not_be_read_breaks_its_model() {
        let repository = TempFolder::with(&["locked/1/m", "good/1/m"]);
        let permit = |mode| {
            let locked = repository.join("locked/1");
            std::fs::set_permissions(locked, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        permit(0o000);
        // A superuser may read everything: for one, the model has to be found whole.
        let superuser = std::fs::read_dir(repository.join("locked/1")).is_ok();
        let found = scanned(&repository);
        permit(0o700);
        if superuser {
            assert_eq!(drawn(&found), ["good 1[m]", "locked 1[m]"]);
        } else {
            check_broken(&found, "locked", ErrorKind::Unavailable, &["version 1: ", "locked/1'"]);
            assert_eq!(drawn(&found), ["good 1[m]"]);
        }
    }
}

/// Pieces from which names are made that climb, hide, or mean something to somebody.
fn odd_name() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        Just("..".to_owned()),
        Just(".".to_owned()),
        Just("/".to_owned()),
        Just("\\".to_owned()),
        Just("secret".to_owned()),
        Just("out".to_owned()),
        Just("m".to_owned()),
        Just("C:".to_owned()),
        "[01.+-]{1,3}",
        "\\PC",
        "[\u{0}-\u{20}\u{7f}-\u{9f}\u{202e}]",
    ];
    prop::collection::vec(piece, 0..7).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(256) })]

    #[test]
    fn no_name_reads_what_lies_outside(names in prop::collection::vec(odd_name(), 16)) {
        let folder = TempFolder::with(&["secret", "m/m", "m/secretm"]);
        #[cfg(unix)]
        folder.link("m/out", "..");
        let files = FolderFiles::open(&folder.join("m")).unwrap();
        for name in names {
            if let Ok(content) = files.read(&name) {
                prop_assert!(content.starts_with(b"m/"), "{name:?} read {content:?}");
            }
            if let Ok(path) = files.path(&name) {
                prop_assert!(path.is_some_and(|path| path.starts_with(folder.join("m"))), "{name:?}");
            }
        }
    }

    #[test]
    fn a_folder_with_any_name_is_a_model_or_broken_and_never_lost(name in odd_name()) {
        let repository = TempFolder::with(&["good/1/m"]);
        // Only what is one folder directly in the repository.
        let is_name = Path::new(&name).file_name().is_some_and(|last| last == name.as_str());
        if is_name && name != "good" && std::fs::create_dir(repository.join(&name)).is_ok() {
            repository.write(&format!("{name}/1/m"), b"");
            let found = scanned(&repository);
            let (served, broken) = (found.models.contains_key(&name), found.broken.contains_key(&name));
            prop_assert_eq!(served, check_model_name(&name).is_ok());
            prop_assert_eq!(broken, !served && !name.starts_with('.'));
            prop_assert!(found.models.contains_key("good"));
        }
    }
}
