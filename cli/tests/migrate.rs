//! `inferlay migrate` over folders of models: what becomes of the configs, and of those that it may not touch.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::{ECHO, Folder};
use serde_json::Value;

const PBTXT: &str = "\
backend: \"null\"
max_batch_size: 8
# Why it is so.
input [ { name: \"x\" data_type: TYPE_FP32 dims: [ 2 ] } ]
output { name: \"x\" data_type: TYPE_FP32 dims: 2 }
response_cache { enable: true }
parameters { key: \"threads\" value { string_value: \"2\" } }
";

const YAML: &str = "\
backend: \"null\"
max_batch_size: 8
input:
- name: x
  data_type: TYPE_FP32
  dims: [2]
output:
- name: x
  data_type: TYPE_FP32
  dims: [2]
response_cache:
  enable: true
parameters:
  threads: \"2\"
";

#[test]
fn what_would_be_written_is_shown_and_nothing_is() {
    let folder = Folder::with(&[("größe/config.pbtxt", PBTXT), ("größe/1/model", "")]);
    let before = folder.listed();
    let output = folder.ask(&["migrate", "."]).output_of(0);
    let expected = "\
warning: response_cache: is not served yet
 --> ./größe/config.pbtxt:6:1
  |
6 | response_cache { enable: true }
  | ^^^^^^^^^^^^^^

note: model 'größe': the remarks in config.pbtxt are not taken over

größe: config.pbtxt -> config.yaml
";
    let yaml: String = YAML.lines().map(|line| format!("    {line}\n")).collect();
    let hint = "1 of 1 config migrated; nothing was written: say --write or --out DIR\n";
    assert_eq!(output, format!("{expected}{yaml}{hint}"));
    assert_eq!(folder.listed(), before);
}

#[test]
fn the_new_config_takes_the_place_of_the_old_one_which_is_kept() {
    let folder = Folder::with(&[
        ("a/config.pbtxt", PBTXT),
        ("a/1/model", ""),
        ("b/config.json", r#"{"backend": "null", "max_batch_size": 4}"#),
        ("c/config.yaml", ECHO),
        ("c/configs/large.pbtxt", "max_batch_size: 64"),
    ]);
    folder.ask(&["migrate", ".", "--write"]).output_of(0);
    let expected = [
        "a/1/model",
        "a/config.pbtxt.bak",
        "a/config.yaml",
        "b/config.json.bak",
        "b/config.yaml",
        "c/config.yaml",
        "c/configs/large.pbtxt.bak",
        "c/configs/large.yaml",
    ];
    assert_eq!(folder.listed(), expected);
    assert_eq!(folder.read("a/config.yaml").as_deref(), Some(YAML));
    assert_eq!(folder.read("a/config.pbtxt.bak").as_deref(), Some(PBTXT));
    assert_eq!(folder.read("c/configs/large.yaml").as_deref(), Some("max_batch_size: 64\n"));
    let again = folder.ask(&["migrate", ".", "--write"]).output_of(0);
    assert_eq!(again, "0 of 0 configs migrated\n");
}

#[test]
fn what_is_written_elsewhere_leaves_the_repository_alone() {
    let folder = Folder::with(&[("models/a/config.pbtxt", PBTXT), ("models/a/1/model", "")]);
    folder.ask(&["migrate", "models", "--out", "new"]).output_of(0);
    assert_eq!(folder.listed(), ["models/a/1/model", "models/a/config.pbtxt", "new/a/config.yaml"]);
    let again = folder.ask(&["migrate", "models", "--out", "new"]).output_of(1);
    assert!(again.contains("error: model 'a': new/a/config.yaml: is there already\n"), "{again}");
}

#[test]
fn a_config_that_cannot_be_migrated_keeps_no_other_from_being() {
    let folder = Folder::with(&[
        ("bad/config.pbtxt", "max_batch_size: \"many\"\nbackend: 3\n"),
        ("both/config.pbtxt", PBTXT),
        ("both/config.yaml", ECHO),
        ("good/config.pbtxt", PBTXT),
        ("kept/config.pbtxt", PBTXT),
        ("kept/config.pbtxt.bak", "older"),
    ]);
    let before = folder.listed().len();
    let output = folder.ask(&["migrate", ".", "--write"]).output_of(1);
    for part in [
        "./bad/config.pbtxt:1:17",
        "./bad/config.pbtxt:2:10",
        "error: model 'both': found config.pbtxt and config.yaml, expected one config\n",
        "error: model 'kept': ./kept/config.pbtxt.bak: is there already",
        "\n1 of 4 configs migrated\n",
    ] {
        assert!(output.contains(part), "{part}:\n{output}");
    }
    assert_eq!(folder.listed().len(), before + 1);
    assert_eq!(folder.read("kept/config.pbtxt.bak").as_deref(), Some("older"));
    assert_eq!(folder.read("both/config.pbtxt").as_deref(), Some(PBTXT));
}

#[test]
fn what_belongs_to_others_is_left_alone() {
    let others = Folder::with(&[("m/config.pbtxt", PBTXT)]);
    let folder = Folder::with(&[("flat/config.json", "{}"), ("flat/model.onnx", "")]);
    std::os::unix::fs::symlink(others.path().join("m"), folder.path().join("linked")).unwrap();
    assert_eq!(folder.ask(&["migrate", ".", "--write"]).output_of(0), "0 of 0 configs migrated\n");
    assert_eq!(others.listed(), ["m/config.pbtxt"]);
}

#[test]
fn for_machines_it_is_json() {
    let folder = Folder::with(&[("m/config.pbtxt", PBTXT)]);
    let told: Value = serde_json::from_str(&folder.ask(&["migrate", ".", "--format", "json"]).output_of(0)).unwrap();
    assert_eq!(
        (&told[0]["model"], &told[0]["to"], &told[0]["yaml"]),
        (&"m".into(), &"config.yaml".into(), &YAML.into())
    );
    assert_eq!(told[0]["remarks"][0]["line"], 6);
}
