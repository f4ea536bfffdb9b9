//! `inferlay seal` and `inferlay key`: what is sealed, and what is found when it was changed.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::{ECHO, Folder};
use std::os::unix::fs::PermissionsExt;

#[test]
fn what_was_changed_after_it_was_sealed_is_an_error() {
    let folder =
        Folder::with(&[("m/größe/config.yaml", ECHO), ("m/größe/1/weights", "abc"), ("m/other/config.yaml", ECHO)]);
    let output = folder.ask(&["seal", "m", "größe"]).output_of(0);
    assert_eq!(output, format!("größe: 2 files, {} bytes, SHA256\n", ECHO.len() + 3));
    assert_eq!(folder.ask(&["lint", "m"]).output_of(0), "0 errors, 0 warnings, 0 notes\n");
    folder.write("m/größe/1/weights", "abd");
    let output = folder.ask(&["lint", "m"]).output_of(1);
    assert!(output.starts_with("error: model 'größe': version 1: ") && output.contains("weights"), "{output}");
}

#[test]
fn a_key_signs_and_is_nobody_elses_to_read() {
    let folder = Folder::with(&[("m/a/config.yaml", ECHO), ("m/b/config.yaml", ECHO)]);
    let public = folder.ask(&["key", "secret"]).output_of(0);
    let mode = std::fs::metadata(folder.path().join("secret")).unwrap().permissions().mode();
    assert_eq!((public.trim_end().len(), mode & 0o777), (64, 0o600));
    assert!(folder.ask(&["key", "secret"]).failure().starts_with("secret: "), "it is never written over");
    folder.ask(&["seal", "m", "--key", "secret", "--algorithm", "blake3"]).output_of(0);
    for model in ["a", "b"] {
        let signature = folder.read(&format!("m/{model}/inferlay.manifest.sig")).unwrap();
        assert!(signature.contains(public.trim_end()), "{signature}");
        assert!(folder.read(&format!("m/{model}/inferlay.manifest")).unwrap().contains("BLAKE3"));
    }
}

#[test]
fn what_cannot_be_sealed_says_why() {
    let folder = Folder::with(&[("m/a/config.yaml", ECHO), ("key", "123")]);
    let rows: [(&[&str], &str); 4] = [
        (&["nowhere"], "nowhere: "),
        (&["m", "b"], "model 'b': "),
        (&["m", "../m"], "found '../m', expected the name of a model"),
        (&["m", "--key", "key"], "key: signing key: expected 64 hexadecimal digits"),
    ];
    for (words, expected) in rows {
        let failure = folder.ask(&[&["seal"], words].concat()).failure();
        assert!(failure.starts_with(expected), "{words:?}: {failure}");
    }
}
