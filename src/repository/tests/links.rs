//! Symlinks and what else only such a file system holds: followed inside, refused where they lead out.

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
        check_broken(&found, name, ErrorKind::NotFound, &["found a link to", &target, "expected a target inside of"]);
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
fn links_that_multiply_break_their_model_before_they_take_all_memory() {
    let repository = TempFolder::with(&["good/1/m"]);
    let others = |i| (0..10).filter(move |j| *j != i);
    (0..10).flat_map(|i| others(i).map(move |j| (i, j))).for_each(|(i, j)| {
        repository.link(&format!("bomb/1/d{i}/l{j}"), format!("../d{j}"));
    });
    let found = scanned(&repository);
    check_broken(&found, "bomb", ErrorKind::ResourceExhausted, &["version 1: ", "found more than 100000 entries"]);
    assert_eq!(drawn(&found), ["good 1[m]"]);
}

#[test]
fn a_repository_may_itself_be_a_link() {
    let (repository, folder) = (TempFolder::with(&["a/1/m"]), TempFolder::with(&[]));
    folder.link("models", repository.path());
    let found = scan(&[folder.join("models")], None).unwrap();
    assert_eq!(drawn(&found), ["a 1[m]"]);
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
