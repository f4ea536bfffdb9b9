//! `inferlay lint` over folders of models: what it prints, and what it exits with.

#![allow(clippy::unwrap_used, missing_docs)]

mod common;

use common::{ECHO, Folder};
use serde_json::Value;

#[test]
fn every_error_of_every_model_is_printed_where_it_stands() {
    let folder = Folder::with(&[
        ("a/config.yaml", "backend: 'null'\nmax_bacth_size: 8\ncaller_runs: often\n"),
        ("größe/config.pbtxt", "backend: \"null\"\nmax_batch_size: -1\n"),
        ("good/config.yaml", ECHO),
        ("half/02/model", ""),
    ]);
    let expected = "\
error: unknown key 'max_bacth_size'; did you mean 'max_batch_size'?
 --> ./a/config.yaml:2:1
  |
2 | max_bacth_size: 8
  | ^^^^^^^^^^^^^^

error: caller_runs: found 'often', expected one of never, own_request, batch
 --> ./a/config.yaml:3:14
  |
3 | caller_runs: often
  |              ^^^^^

error: max_batch_size: found -1, expected a whole number from 0 to 2147483647
 --> ./größe/config.pbtxt:2:17
  |
2 | max_batch_size: -1
  |                 ^^

error: model 'half': './half': no version: found folder '02', expected a whole number > 0 without sign, point or leading zero, expected a folder named 1 with a model in it

4 errors, 0 warnings, 0 notes
";
    assert_eq!(folder.ask(&["lint", "."]).output_of(1), expected);
}

#[test]
fn a_marker_stands_below_wide_characters() {
    let folder = Folder::with(&[("m/config.yaml", "backend: 'null'\ninput: {name: 日本, data_type: FP3}\n")]);
    let output = folder.ask(&["lint", "."]).output_of(1);
    assert!(output.contains("\n --> ./m/config.yaml:2:30\n"), "{output}");
    // Two columns for each of the two.
    assert!(output.contains(&format!("\n  | {}^^^\n", " ".repeat(31))), "{output}");
}

#[test]
fn a_long_line_is_shortened_and_keeps_its_column() {
    let config = format!("{{backend: 'null', parameters: {{a: {}}}, caller_runs: often}}", "b".repeat(500));
    let output = Folder::with(&[("m/config.yaml", &config)]).ask(&["lint", "."]).output_of(1);
    let column = config.find("often").unwrap() + 1;
    assert!(output.contains(&format!("./m/config.yaml:1:{column}")), "{output}");
    assert!(output.lines().all(|line| line.chars().count() < 120), "{output}");
}

#[test]
fn warnings_are_problems_only_when_asked_for() {
    let folder = Folder::with(&[("m/config.yaml", &format!("{ECHO}response_cache: {{enable: true}}\n"))]);
    let output = folder.ask(&["lint", "."]).output_of(0);
    assert!(output.starts_with("warning: response_cache: is not served yet\n --> ./m/config.yaml:3:1\n"), "{output}");
    assert!(output.ends_with("\n0 errors, 1 warning, 0 notes\n"), "{output}");
    folder.ask(&["lint", ".", "--strict"]).output_of(1);
}

#[test]
fn a_backend_that_is_elsewhere_is_no_problem() {
    let models = [("models/m/config.yaml", "backend: tensorrt\n"), ("models/m/1/model.plan", "")];
    let folder = Folder::with(&[models[0], models[1], ("there/libinferlay_backend_tensorrt.so", "never opened")]);
    let output = folder.ask(&["lint", "models", "--strict"]).output_of(0);
    assert!(output.starts_with("note: backend: the backend 'tensorrt' is not there: "), "{output}");
    let output = folder.ask(&["lint", "models", "--backends", "there"]).output_of(0);
    assert_eq!(output, "0 errors, 0 warnings, 0 notes\n");
}

#[test]
fn for_machines_it_is_json() {
    let folder = Folder::with(&[("m/config.yaml", "backend: 'null'\nmax_batch_size: -1\n"), ("n/config.yaml", ECHO)]);
    let told: Value = serde_json::from_str(&folder.ask(&["lint", ".", "--format", "json"]).output_of(1)).unwrap();
    let expected = serde_json::json!({
        "errors": 1,
        "warnings": 0,
        "notes": 0,
        "findings": [{
            "severity": "error",
            "model": "m",
            "file": "./m/config.yaml",
            "line": 2,
            "column": 17,
            "message": "max_batch_size: found -1, expected a whole number from 0 to 2147483647",
        }],
    });
    assert_eq!(told, expected);
}

#[test]
fn colours_are_for_terminals_or_whoever_asks() {
    let folder = Folder::with(&[("m/config.yaml", "max_batch_size: -1\n")]);
    let is_coloured = |words: &[&str], variables: &[(&str, &str)]| {
        folder.ask_with(&[&["lint", "."], words].concat(), "", variables).output.contains('\x1b')
    };
    assert!(!is_coloured(&[], &[]) && !is_coloured(&["--color", "never"], &[]));
    assert!(is_coloured(&["--color", "always"], &[("NO_COLOR", "1")]));
}

#[test]
fn a_config_that_may_not_be_read_is_an_error_of_its_model() {
    let folder = Folder::with(&[("good/config.yaml", ECHO), ("m/1/model", "")]);
    // Not even root reads what a link to nowhere holds.
    std::os::unix::fs::symlink("nowhere", folder.path().join("m/config.yaml")).unwrap();
    let output = folder.ask(&["lint", "."]).output_of(1);
    assert!(output.starts_with("error: model 'm': ") && output.contains("config.yaml"), "{output}");
    assert!(output.ends_with("\n1 error, 0 warnings, 0 notes\n"), "{output}");
}

#[test]
fn a_thousand_models_need_few_open_files() {
    let folder = Folder::with(&[]);
    (0..1000).for_each(|model| folder.write(&format!("model-{model}/config.yaml"), ECHO));
    (0..1000).for_each(|model| folder.write(&format!("model-{model}/1/weights"), ""));
    let program = env!("CARGO_BIN_EXE_inferlay");
    let limited = std::process::Command::new("sh")
        .args(["-c", "ulimit -n 32; exec \"$0\" lint .", program])
        .current_dir(folder.path())
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&limited.stdout), "0 errors, 0 warnings, 0 notes\n", "{limited:?}");
}

#[test]
fn what_is_no_repository_and_what_is_no_command_are_told_apart() {
    let folder = Folder::with(&[]);
    assert_eq!(folder.ask(&["lint", "nowhere"]).failure(), "repository 'nowhere': not found");
    for words in [&["lint"][..], &["lint", ".", "--format", "xml"], &["lynt"], &[]] {
        assert_eq!(folder.ask(words).code, Some(2), "{words:?}");
    }
}
