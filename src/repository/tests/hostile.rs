//! Trees that somebody made to be read out of, to be read for ever, or to be taken for another one.

use super::*;
use crate::repository::disk::Bounds;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

/// What becomes of the model `m` of a hostile tree.
enum Outcome {
    /// It is found with these files, and reading each of them gives what lies in the model's folder, or this error.
    Found(&'static str, &'static str),
    Broken(ErrorKind, &'static str),
}

use Outcome::{Broken, Found};

fn fifo(path: PathBuf) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

fn chain(at: &TempFolder, len: usize) {
    at.link("m/1/link0", "model");
    (1..len).for_each(|i| at.link(&format!("m/1/link{i}"), format!("link{}", i - 1)));
    at.link("m/1/last", format!("link{}", len - 1));
}

fn elsewhere(at: &TempFolder) {
    fs::remove_dir_all(at.join("m/1")).unwrap();
    at.link("far", "/");
    at.link("m/1", "../far");
}

#[test]
fn a_hostile_tree_is_refused_where_it_is_hostile() {
    type Make = fn(&TempFolder);
    let rows: [(&str, Make, Outcome); 16] = [
        ("a link up", |at| at.link("m/1/up", "../../.."), Found("model up", "found a link to")),
        ("an absolute link", |at| at.link("m/1/passwd", "/etc/passwd"), Found("model passwd", "found a link to")),
        ("a link to itself", |at| at.link("m/1/loop", "loop"), Found("loop model", "1/loop'")),
        (
            "links in a circle",
            |at| (at.link("m/1/a", "b"), at.link("m/1/b", "a")).0,
            Found("a b model", "symbolic links"),
        ),
        ("a chain of links", |at| chain(at, 5), Found("last link0 link1 link2 link3 link4 model", "")),
        ("a version elsewhere", elsewhere, Broken(ErrorKind::NotFound, "expected a target inside of")),
        ("the process's root", |at| at.link("m/1/root", "/proc/self/root/etc"), Found("model root", "found a link to")),
        ("the process's folder", |at| at.link("m/1/cwd", "/proc/self/cwd"), Found("cwd model", "found a link to")),
        ("an open file", |at| at.link("m/1/fd", "/proc/self/fd/0"), Found("fd model", "fd'")),
        ("a version of the process", |at| at.link("m/2", "/proc/self"), Broken(ErrorKind::NotFound, "version 2: ")),
        ("a pipe", |at| fifo(at.join("m/1/pipe")), Found("model", "")),
        (
            "a link to a pipe",
            |at| (fifo(at.join("m/1/p")), at.link("m/1/to", "p")).1,
            Found("model to", "found a pipe"),
        ),
        ("a pipe as config", |at| fifo(at.join("m/config.yaml")), Broken(ErrorKind::NotFound, "found a pipe")),
        (
            "deep folders",
            |at| at.write(&format!("m/1/{}f", "d/".repeat(16)), b""),
            Broken(ErrorKind::ResourceExhausted, "16"),
        ),
        ("a name of two lines", |at| at.write("m/1/a\nb", b""), Found("model", "")),
        ("a name that turns round", |at| at.write("m/1/\u{202e}lebom", b""), Found("model", "")),
    ];
    for (what, make, outcome) in rows {
        let repository = TempFolder::with(&["good/1/model"]);
        repository.write("m/1/model", b"inside");
        make(&repository);
        let found = scanned(&repository);
        assert!(found.models.contains_key("good"), "{what}");
        match (outcome, found.models.get("m")) {
            (Broken(kind, part), None) => check_broken(&found, "m", kind, &[part]),
            (Found(names, part), Some(model)) => check_files(what, &*model.versions[&1], names, part),
            (Broken(..), Some(_)) => panic!("{what}: found, expected broken"),
            (Found(..), None) => panic!("{what}: broken, expected found: {}", found.broken["m"]),
        }
    }
}

/// Checks the names of the files, and that each is read as what lies inside, or refused with `part`.
fn check_files(what: &str, files: &dyn ModelFiles, names: &str, part: &str) {
    assert_eq!(files.names().join(" "), names, "{what}");
    for name in files.names() {
        match (files.read(&name), files.path(&name)) {
            (Ok(content), Ok(Some(_))) => assert_eq!(content, b"inside", "{what}: {name}"),
            (Err(error), Err(_)) => {
                assert!(!part.is_empty() && error.message().contains(part), "{what}: {name}: {error}")
            }
            (read, path) => panic!("{what}: {name}: read {read:?}, path {path:?}"),
        }
    }
}

#[test]
fn names_that_look_the_same_are_not_two_models() {
    let repository = TempFolder::with(&["größe/1/m", "gro\u{308}ße/1/m", "größe\u{200b}/1/m", "Größe/1/m"]);
    let found = scanned(&repository);
    assert_eq!(found.models.keys().collect::<Vec<_>>(), ["Größe", "größe"]);
    assert_eq!(found.broken.len(), 2);
    assert!(found.broken.values().all(|error| error.kind() == ErrorKind::InvalidArg));
}

#[test]
fn a_folder_of_a_data_set_is_refused_soon() {
    let repository = TempFolder::with(&["good/1/m"]);
    repository.folder("many/1");
    (0..=100_000).for_each(|i| repository.link(&format!("many/1/{i}"), "0"));
    let found = scanned(&repository);
    check_broken(&found, "many", ErrorKind::ResourceExhausted, &["version 1: ", "found more than 100000 entries"]);
    assert_eq!(drawn(&found), ["good 1[m]"]);
}

#[test]
fn names_that_are_long_together_are_refused() {
    let repository = TempFolder::with(&[]);
    let deep = format!("long/1/{}", format!("{}/", "d".repeat(250)).repeat(13));
    (0..5_200).for_each(|i| repository.write(&format!("{deep}{i}"), b""));
    let found = scanned(&repository);
    check_broken(&found, "long", ErrorKind::ResourceExhausted, &["found more than 16777216 bytes of names"]);
}

#[test]
fn a_link_that_takes_the_place_of_a_folder_is_not_followed() {
    let folder = TempFolder::with(&["outside/model", "m/1/model", "m/2/model"]);
    let bounds = Bounds::of_folder(&folder.join("m")).unwrap();
    assert!(bounds.open(&folder.join("m/1/model")).is_ok());
    // As if the swap came after the path was resolved: what is opened is walked from the root, and may not be a link.
    let opened = |name: &str| disk::open_below(bounds.root(), Path::new(name)).is_ok();
    assert!(opened("1/model") && opened("2/model"));
    fs::rename(folder.join("m/1"), folder.join("moved")).unwrap();
    folder.link("m/1", "../outside");
    folder.link("m/2/link", "model");
    assert!(!opened("1/model") && !opened("2/link") && opened("2/model"));
}
