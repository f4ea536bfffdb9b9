//! What is wrong with repositories, told without loading a model.

#![allow(clippy::expect_used, clippy::unwrap_used, missing_docs)]

mod common;

use common::Folder;
use inferlay::{Finding, ServerHandle, Severity};

/// What is found in one model of these files, as `severity: message`.
fn lint(files: &[(&str, &str)]) -> Vec<String> {
    let files = files.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec()));
    let found = ServerHandle::builder().model_in_memory("m", files.collect::<Vec<_>>()).lint().unwrap();
    assert!(found.iter().all(|finding| finding.model() == Some("m")), "{found:?}");
    found.iter().map(told).collect()
}

fn told(finding: &Finding) -> String {
    let severity = format!("{:?}", finding.severity()).to_lowercase();
    let at = finding.position().map_or(String::new(), |(line, column)| format!("{line}:{column}: "));
    format!("{severity}: {at}{}", finding.message())
}

/// A model is found to have exactly these faults, each told by its start.
fn check(files: &[(&str, &str)], expected: &[&str]) {
    let found = lint(files);
    let fits = found.len() == expected.len() && found.iter().zip(expected).all(|(one, start)| one.starts_with(start));
    assert!(fits, "{files:?}:\nfound {found:#?}\nexpected {expected:#?}");
}

const WHOLE: &str = "backend: 'null'\nmax_batch_size: 8\ninput: {name: x, data_type: FP32, dims: 2}\noutput: {name: x, data_type: FP32, dims: 2}\n";

#[test]
fn a_model_that_serves_has_no_findings() {
    check(&[("config.yaml", WHOLE)], &[]);
    check(&[("config.yaml", WHOLE), ("3/anything", "")], &[]);
}

#[test]
fn all_errors_of_a_config_are_found_at_their_places() {
    let config = "backend: 'null'\nmax_bacth_size: 8\ninput: {name: x, data_type: FP33, dims: 2}\ncaller_runs: often";
    check(
        &[("config.yaml", config)],
        &["error: 2:1: unknown key 'max_bacth_size'; did you mean", "error: 3:29: input[0].data_type", "error: 4:14:"],
    );
}

#[test]
fn what_only_the_folder_shows_is_found_at_its_place_too() {
    check(&[("config.yaml", "backend: 'null'\nname: other")], &["error: 2:7: name: found 'other', expected 'm'"]);
    check(
        &[("config.yaml", "backend: 'null'\nversion_policy: {specific: {versions: 4}}"), ("3/a", "")],
        &["error: 2:17: version_policy: version 4 is not there, found 3"],
    );
    check(
        &[("config.yaml", "backend: 'null'\ndefault_model_filename: a.bin"), ("3/a", "")],
        &["error: 2:25: default_model_filename: version 3: "],
    );
}

#[test]
fn files_of_labels_and_warm_ups_must_be_there_and_hold_what_they_are_named_for() {
    let labelled = WHOLE.replace("output: {name: x,", "output: {name: x, label_filename: labels.txt,");
    let found = |files: &[(&str, &str)]| lint(&[&[("config.yaml", &*labelled)], files].concat());
    let errors = |found: Vec<String>| found.into_iter().filter(|one| one.starts_with("error")).collect::<Vec<_>>();
    let missing = errors(found(&[("1/m", "")]));
    let expected =
        "error: 4:35: output[0].label_filename: found no file 'labels.txt' in the folder of the model, expected one";
    assert_eq!(missing, [expected]);
    // Beside the versions, or in one.
    assert!(errors(found(&[("1/m", ""), ("labels.txt", "cat\ndog\n")])).is_empty());
    assert!(errors(found(&[("1/labels.txt", "cat\ndog\n")])).is_empty());
    let warming = |data_type: &str| {
        format!(
            "{WHOLE}model_warmup: {{name: w, inputs: {{x: {{data_type: {data_type}, dims: 2, input_data_file: row}}}}}}"
        )
        .replace("FP32, dims: 2}\no", &format!("{data_type}, dims: 2}}\no"))
    };
    let numbers = warming("FP32");
    check(
        &[("config.yaml", &numbers)],
        &["error: 5:81: model_warmup[0].inputs.x.input_data_file: found no file 'warmup/row' in the folder"],
    );
    check(&[("config.yaml", &numbers), ("1/m", ""), ("warmup/row", "12345678")], &[]);
    check(
        &[("config.yaml", &numbers), ("1/m", ""), ("warmup/row", "1234567")],
        &["error: 5:81: model_warmup[0].inputs.x.input_data_file: found a file of 7 bytes, expected 8"],
    );
    let words = warming("BYTES");
    check(&[("config.yaml", &words), ("1/m", ""), ("warmup/row", "\u{1}\0\0\0a\0\0\0\0")], &[]);
    check(
        &[("config.yaml", &words), ("1/m", ""), ("warmup/row", "\u{1}\0\0\0a\u{9}\0\0\0")],
        &["error: 5:82: model_warmup[0].inputs.x.input_data_file: tensor of BYTES"],
    );
}

#[test]
fn what_is_not_served_yet_is_a_warning() {
    let config = format!("{WHOLE}response_cache: {{enable: true}}");
    check(&[("config.yaml", &config)], &["warning: 5:1: response_cache: is not served yet"]);
}

#[test]
fn a_backend_that_is_not_there_is_a_note() {
    let config = "backend: tensorrt\n";
    check(
        &[("config.yaml", config), ("1/model.plan", "")],
        &["note: 1:10: backend: the backend 'tensorrt' is not there"],
    );
    let note = "note: 1:10: backend: the backend";
    check(
        &[("config.yaml", config), ("1/other", "")],
        &[note, "warning: version 1: model file: found 'other', expected"],
    );
    check(&[("config.yaml", "backend: mine"), ("1/other", "")], &["note: 1:10: backend: the backend 'mine'"]);
}

#[test]
fn a_version_without_a_model_is_an_error() {
    check(&[("1/weights.txt", "")], &["error: version 1: model file: found 'weights.txt', expected model.onnx"]);
    check(&[("2/weights.txt", ""), ("1/b.txt", "")], &["error: version 2: "]);
}

#[test]
fn what_is_passed_over_is_a_warning_and_comes_first() {
    let config = ("b/config.yaml", "max_bacth_size: 1");
    let folder = Folder::with(&[config, ("a/config.yaml", WHOLE), ("a/1/x", ""), ("a/02/x", "")]);
    let found = ServerHandle::builder().repository(folder.path()).lint().unwrap();
    let severities: Vec<_> = found.iter().map(|finding| (finding.model(), finding.severity())).collect();
    assert_eq!(severities, [(None, Severity::Warning), (Some("b"), Severity::Error)], "{found:?}");
    assert!(found[0].message().contains("found folder '02', expected a whole number > 0"), "{found:?}");
}
