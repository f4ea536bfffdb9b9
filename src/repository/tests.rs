//! The room's door, tested with real folders: what is found, what is broken and why, and that nothing leads out.

#[cfg(target_os = "linux")]
mod hostile;
#[cfg(unix)]
mod links;

use super::files::{FolderFiles, MemoryFiles};
use super::temp::TempFolder;
use super::*;
use inferlay_backend_sdk::ErrorKind;
use proptest::prelude::*;
use std::path::Path;

/// Scans one repository.
fn scanned(repository: &TempFolder) -> Found {
    scan(&[repository.path().to_owned()], None).unwrap()
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
    let rows: [(&[&str], &[&str]); 9] = [
        (
            &["a/config.yaml", "a/1/model.onnx", "a/10/model.onnx", "a/2/sub/b"],
            &["a 1[model.onnx] 2[sub/b] 10[model.onnx]"],
        ),
        (&["a/1/m", "b/7/m"], &["a 1[m]", "b 7[m]"]),
        (&["a/model.onnx"], &["a 1[model.onnx]"]),
        (&["a/model.onnx", "a/config.yml", "a/weights/w.bin"], &["a 1[model.onnx weights/w.bin]"]),
        (&["a/config.yaml"], &["a 1[]"]),
        (&["a/config.json"], &["a 1[]"]),
        (&["a/config.pbtxt", "a/1/m", "a/configs/gpu.pbtxt"], &["a 1[m]"]),
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
    assert_eq!(found.models["b"].config, None);
}

#[test]
fn the_named_config_is_read_where_a_model_has_it() {
    let repository = TempFolder::with(&["a/1/m", "b/1/m", "c/1/m", "c/configs/gpu.yml"]);
    for file in ["a/config.pbtxt", "a/configs/gpu.pbtxt", "b/config.json", "c/configs/gpu.json"] {
        repository.write(file, file.as_bytes());
    }
    let texts = |config_name| {
        let found = scan(&[repository.path().to_owned()], config_name).unwrap();
        let text = |model: &FoundModel| model.config.as_ref().map(|config| config.text.clone());
        (found.models.values().map(text).collect::<Vec<_>>(), found.broken)
    };
    let (plain, broken) = texts(None);
    assert_eq!(plain, [Some("a/config.pbtxt".to_owned()), Some("b/config.json".to_owned()), None]);
    assert!(broken.is_empty());
    let (named, broken) = texts(Some("gpu"));
    assert_eq!(named, [Some("a/configs/gpu.pbtxt".to_owned()), Some("b/config.json".to_owned())]);
    assert!(broken["c"].message().contains("found configs/gpu.yml and configs/gpu.json, expected one config"));
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
        (&["a/m", "a/config.json"], "found config.json beside the files of a model, which counts as one of them"),
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
    let rows: [(&[&str], &str, ErrorKind, &[&str]); 8] = [
        (&["x..y/1/m"], "x..y", ErrorKind::InvalidArg, &["model 'x..y': found '..' in the name, expected"]),
        (&["x\\y/1/m"], "x\\y", ErrorKind::InvalidArg, &["found '\\' in the name"]),
        (&["x\ny/1/m"], "x\ny", ErrorKind::InvalidArg, &["model 'x\\ny': found '\\n' in the name"]),
        (&["x/config.yaml", "x/config.yml"], "x", ErrorKind::InvalidArg, &["found config.yaml and config.yml"]),
        (&["x/config.json", "x/1/m", "x/config.pbtxt"], "x", ErrorKind::InvalidArg, &["config.json and config.pbtxt"]),
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
    check_broken(&found, "big", ErrorKind::InvalidArg, &["big/config.yaml': found more than 1048576 bytes"]);
    check_broken(&found, "binary", ErrorKind::InvalidArg, &["found a byte at offset 2 that is not UTF-8"]);
    check_broken(&found, "folder", ErrorKind::NotFound, &["found a folder, expected a file"]);
    assert_eq!(drawn(&found), ["fits 1[m]"]);
}

#[test]
fn a_name_in_two_repositories_is_broken_in_both() {
    let (one, two) = (TempFolder::with(&["a/1/m", "b/1/m"]), TempFolder::with(&["a/2/m", "c/1/m"]));
    let found = scan(&[one.path().to_owned(), two.path().to_owned()], None).unwrap();
    let folders = [one.join("a").display().to_string(), two.join("a").display().to_string()];
    check_broken(&found, "a", ErrorKind::AlreadyExists, &["model 'a': found in '", &folders[0], &folders[1]]);
    assert_eq!(drawn(&found), ["b 1[m]", "c 1[m]"]);
}

#[test]
fn a_broken_model_and_a_good_one_of_the_same_name_are_both_broken() {
    let (one, two) = (TempFolder::with(&["a/0/m"]), TempFolder::with(&["a/2/m"]));
    let found = scan(&[one.path().to_owned(), two.path().to_owned()], None).unwrap();
    check_broken(&found, "a", ErrorKind::AlreadyExists, &["expected in one repository"]);
}

#[test]
fn a_repository_given_twice_is_scanned_once() {
    let repository = TempFolder::with(&["a/1/m"]);
    let found = scan(&[repository.path().to_owned(), repository.join("a/..")], None).unwrap();
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
        let error = scan(&[repository.path().to_owned(), repository.join(name)], None).err().unwrap();
        assert_eq!(error.kind(), kind);
        let place = format!("repository '{}': {message}", repository.join(name).display());
        assert!(error.message().starts_with(&place), "{error}");
    }
    assert!(drawn(&scan(&[], None).unwrap()).is_empty());
}

/// Two repositories: one with a namespace and a name of its own for `b`, and one without.
fn two_repositories(one: &TempFolder, two: &TempFolder) -> Repositories {
    let mut repositories = Repositories::default();
    let mapped = Repository {
        served_as: [("b".to_owned(), "c".to_owned())].into(),
        namespace: Some("n".to_owned()),
        ..Repository::at(one.path().to_owned())
    };
    repositories.add(mapped).unwrap();
    repositories.add(Repository::at(two.path().to_owned())).unwrap();
    repositories
}

#[test]
fn a_model_is_found_under_the_name_that_it_is_served_under() {
    let (one, two) = (TempFolder::with(&["a/1/m", "b/2/m"]), TempFolder::with(&["a/3/m", "b/4/m"]));
    let repositories = two_repositories(&one, &two);
    let found = scan_all(&repositories).unwrap();
    assert_eq!(drawn(&found), ["a 3[m]", "b 4[m]", "n/a 1[m]", "n/c 2[m]"]);
    let own: Vec<&str> = found.models.values().map(|model| model.own_name.as_str()).collect();
    assert_eq!(own, ["a", "b", "a", "b"]);
    for (name, all) in found.models {
        let alone = scan_model(&repositories, &name, &mut Vec::new()).unwrap().unwrap();
        let mut rest = Found::default();
        rest.models.insert(name.clone(), alone);
        let snapshot = |model: &FoundModel| model.look.as_ref().unwrap().snapshot.clone();
        assert_eq!(snapshot(&rest.models[&name]), snapshot(&all));
        assert_eq!(drawn(&rest).len(), 1);
    }
    for name in ["c", "n/b", "n/d", "n", "", "n/", "../a", "n/../a", "x/a", "n/n/a"] {
        assert!(scan_model(&repositories, name, &mut Vec::new()).unwrap().is_none(), "{name}");
    }
}

#[test]
fn one_model_is_scanned_whatever_is_wrong_with_the_others() {
    let (one, two) = (TempFolder::with(&["a/1/m", "x/0/m"]), TempFolder::with(&["a/2/m", "b/01/m", "b/1/m"]));
    let folders = [one.path().to_owned(), two.path().to_owned()];
    let scan = |name: &str, warnings: &mut Vec<String>| scan_model(&Repositories::of_folders(&folders), name, warnings);
    let mut warnings = Vec::new();
    assert_eq!(scan("b", &mut warnings).unwrap().unwrap().versions.len(), 1);
    assert!(matches!(&warnings[..], [one] if one.contains("found folder '01'")), "{warnings:?}");
    let rows =
        [("a", ErrorKind::AlreadyExists, "expected in one repository"), ("x", ErrorKind::NotFound, "no version")];
    for (name, kind, message) in rows {
        let error = scan(name, &mut Vec::new()).err().unwrap();
        assert_eq!(error.kind(), kind);
        assert!(error.message().contains(message), "{error}");
    }
}

#[test]
fn a_model_that_was_touched_is_no_longer_as_it_was() {
    let repository = TempFolder::with(&["a/1/m", "b/1/m"]);
    let repositories = Repositories::of_folders(&[repository.path().to_owned()]);
    let snapshot =
        scan(&[repository.path().to_owned()], None).unwrap().models["a"].look.as_ref().unwrap().snapshot.clone();
    repository.write("b/1/m", b"other");
    assert!(is_still_so(&repositories, "a", &snapshot));
    repository.write("a/1/n", b"");
    assert!(!is_still_so(&repositories, "a", &snapshot));
    assert!(!is_still_so(&repositories, "c", &snapshot));
    assert!(!is_still_so(&Repositories::of_folders(&[repository.join("gone")]), "a", &snapshot));
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
    for name in ["../secret", "sub/../../secret", &absolute, "sub\\..\\..\\secret", "gone", "", "a\0"] {
        assert_eq!(files.read(name).unwrap_err().kind(), ErrorKind::NotFound, "{name:?}");
        assert_eq!(files.path(name).unwrap_err().kind(), ErrorKind::NotFound, "{name:?}");
    }
    // A folder cannot be read; a framework may want to know where it lies.
    assert_eq!(files.read("sub").unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(files.path("sub").unwrap(), Some(folder.join("m/sub")));
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
