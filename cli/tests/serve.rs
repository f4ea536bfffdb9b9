//! `inferlay models` and `inferlay run`: what is loaded, asked and answered.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::{ECHO, Folder};
use serde_json::{Value, json};

#[test]
fn models_are_listed_with_what_keeps_them_from_serving() {
    let folder = Folder::with(&[("echo/config.yaml", ECHO), ("größe/config.yaml", "backend: nowhere")]);
    let output = folder.ask(&["models", "."]).output_of(1);
    let lines: Vec<_> = output.lines().collect();
    let expected = [
        "model  version  state        inputs     outputs",
        "echo   1        READY        x FP32[2]  x FP32[2]",
        "größe  1        UNAVAILABLE",
    ];
    assert_eq!(lines[..3], expected);
    assert!(lines[3].starts_with("größe: ") && lines[3].contains("backend 'nowhere' is not there"), "{output}");
}

#[test]
fn models_are_listed_as_json() {
    let folder = Folder::with(&[("echo/config.yaml", ECHO)]);
    let told: Value = serde_json::from_str(&folder.ask(&["models", ".", "--json"]).output_of(0)).unwrap();
    let x = json!([{"name": "x", "datatype": "FP32", "shape": [2]}]);
    let expected = json!([{"name": "echo", "version": 1, "state": "READY", "reason": "", "inputs": x, "outputs": x}]);
    assert_eq!(told, expected);
}

#[test]
fn a_model_answers_in_strict_json() {
    let folder = Folder::with(&[("m/echo/config.yaml", ECHO), ("x.json", r#"{"x": [0.1, "NaN"]}"#)]);
    let x = json!({"name": "x", "datatype": "FP32", "shape": [2], "data": [0.1, "NaN"]});
    let expected = json!({"model_name": "echo", "model_version": "1", "outputs": [x]});
    let told: Value = serde_json::from_str(&folder.ask(&["run", "m", "echo", "x.json"]).output_of(0)).unwrap();
    assert_eq!(told, expected);
    let asked = folder.ask_with(&["run", "m", "echo", "-", "--version", "1"], r#"[0.1, "NaN"]"#, &[]);
    assert_eq!(serde_json::from_str::<Value>(&asked.output_of(0)).unwrap(), expected);
}

#[test]
fn what_is_written_as_npz_is_read_as_npz() {
    let folder = Folder::with(&[("m/echo/config.yaml", ECHO), ("x.json", "[1.5, -2]")]);
    assert_eq!(folder.ask(&["run", "m", "echo", "x.json", "--output", "y.npz"]).output_of(0), "");
    let told: Value = serde_json::from_str(&folder.ask(&["run", "m", "echo", "y.npz"]).output_of(0)).unwrap();
    assert_eq!(told["outputs"][0]["data"], json!([1.5, -2.0]));
}

#[test]
fn only_the_model_that_is_asked_is_loaded() {
    let folder = Folder::with(&[("m/echo/config.yaml", ECHO), ("m/bad/config.yaml", "nonsense: 1")]);
    folder.ask_with(&["run", "m", "echo", "-"], "[1, 2]", &[]).output_of(0);
}

#[test]
fn what_cannot_be_asked_says_why() {
    let folder = Folder::with(&[("m/echo/config.yaml", ECHO)]);
    let rows: [(&[&str], &str, &str); 6] = [
        (&["echo", "-"], "[1, 2, 3]", "found shape [3], expected [2]"),
        (&["echo", "-"], "[1, [2]]", "-: input 'x': found lists of different lengths"),
        (&["echo", "-"], "{", "-: found no JSON: "),
        (&["echo", "no.npy"], "", "no.npy: "),
        (&["other", "-"], "[1]", "model 'other' is in no repository; found: echo"),
        (&["echo", "-", "--output", "y.txt"], "[1, 2]", "y.txt: found another kind of file, expected .json or .npz"),
    ];
    for (words, input, expected) in rows {
        let failure = folder.ask_with(&[&["run", "m"], words].concat(), input, &[]).failure();
        assert!(failure.contains(expected), "{words:?}: {failure}");
    }
}

#[test]
fn shells_learn_to_complete() {
    let folder = Folder::with(&[]);
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = folder.ask(&["completions", shell]).output_of(0);
        assert!(script.contains("inferlay") && script.contains("migrate"), "{shell}");
    }
}
