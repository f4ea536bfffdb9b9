//! The options of a server as a text: YAML, and so JSON. Pure, any thread.

use super::error::{ConfigErrors, Report, Source};
use super::grammar::{Kind, Message, field, message};
use super::keys::CALLER_RUNS;
use super::limits;
use super::model::CallerRuns;
use super::read::Cursor;
use super::tree;
use std::sync::Arc;

/// What a text says of a server; what it leaves out is `None` or empty.
#[derive(Clone, Debug, Default)]
pub(crate) struct ServerOptions {
    pub(crate) repositories: Vec<String>,
    pub(crate) model_files: Vec<String>,
    pub(crate) backend_directories: Vec<String>,
    /// Backend, option and value.
    pub(crate) backend_options: Vec<[String; 3]>,
    pub(crate) strict: Option<bool>,
    pub(crate) config_name: Option<String>,
    pub(crate) caller_runs: Option<CallerRuns>,
    pub(crate) load_threads_max: Option<usize>,
    pub(crate) execution_threads_max: Option<usize>,
    pub(crate) spin_max: Option<u32>,
    pub(crate) small_output_len_max: Option<usize>,
    pub(crate) trace_every: Option<u32>,
}

/// Reads the options of a server; `file` is what messages call the text.
///
/// # Errors
/// Everything that is wrong with the text, as for [`super::parse`].
pub(crate) fn parse_server(file: &str, text: &str) -> Result<ServerOptions, ConfigErrors> {
    let is_too_large = text.len() > limits::TEXT_SIZE_MAX;
    let text = if is_too_large { String::new() } else { text.to_owned() };
    let source = Arc::new(Source { file: file.to_owned(), text });
    let mut report = Report::of_file(Arc::clone(&source), None);
    if is_too_large {
        report.whole(format!("found more than {0} bytes, expected at most {0}", limits::TEXT_SIZE_MAX));
        return report.finish(ServerOptions::default());
    }
    let options = tree::read(&source.text, &mut report).map(|root| read(&Cursor::root(&root), &mut report));
    report.finish(options.unwrap_or_default())
}

fn read(root: &Cursor<'_>, report: &mut Report) -> ServerOptions {
    root.check_keys(&KEYS, report);
    let mut number = |key: &'static str, least: u64| {
        root.key(key).and_then(|cursor| cursor.whole(least..=u64::from(u32::MAX), report)).map(|number| number as u32)
    };
    ServerOptions {
        load_threads_max: number("load_threads_max", 1).map(|threads| threads as usize),
        execution_threads_max: number("execution_threads_max", 1).map(|threads| threads as usize),
        spin_max: number("spin_max", 0),
        small_output_len_max: number("small_output_len_max", 0).map(|len| len as usize),
        trace_every: number("trace_every", 0),
        repositories: texts(root, "repositories", report),
        model_files: texts(root, "model_files", report),
        backend_directories: texts(root, "backend_directories", report),
        backend_options: backend_options(root, report),
        config_name: root.key("config_name").and_then(|cursor| cursor.text(report)),
        strict: root.key("strict").and_then(|cursor| cursor.flag(report)),
        caller_runs: root.key("caller_runs").and_then(|cursor| cursor.choice(&CALLER_RUNS, report)),
    }
}

fn texts(root: &Cursor<'_>, key: &'static str, report: &mut Report) -> Vec<String> {
    let items = root.key(key).map(|list| list.items()).unwrap_or_default();
    items.iter().filter_map(|item| item.text(report)).collect()
}

fn backend_options(root: &Cursor<'_>, report: &mut Report) -> Vec<[String; 3]> {
    let mut options = Vec::new();
    for (backend, own) in root.key("backend_options").map(|map| map.entries(report)).unwrap_or_default() {
        for (name, value) in own.entries(report) {
            options.extend(value.text(report).map(|value| [backend.clone(), name, value]));
        }
    }
    options
}

static KEYS: Message = message(&[
    field("backend_directories", Kind::Text, "Where backends are looked for.").list(),
    field("backend_options", Kind::Text, "Options of each backend.").map(),
    field("caller_runs", Kind::Choice(&["never", "own_request", "batch"]), "What waiting threads execute."),
    field("config_name", Kind::Text, "Which of the configs of a model is read."),
    field("execution_threads_max", Kind::Whole(1, u32::MAX as u64), "How many threads an execution may use."),
    field("load_threads_max", Kind::Whole(1, u32::MAX as u64), "How many models are loaded at once."),
    field("model_files", Kind::Text, "Files that are models.").list(),
    field("repositories", Kind::Text, "Folders of models.").list(),
    field("small_output_len_max", Kind::Whole(0, u32::MAX as u64), "Bytes of outputs that are copied."),
    field("spin_max", Kind::Whole(0, u32::MAX as u64), "Turns before a thread sleeps."),
    field("strict", Kind::Flag, "Whether any failure fails the start."),
    field("trace_every", Kind::Whole(0, u32::MAX as u64), "Which requests are traced."),
]);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn yaml_and_json_are_read_and_every_error_is_told() {
        let options = parse_server("options", "{\"repositories\": [\"a\", \"b\"], \"strict\": true}").unwrap();
        assert_eq!((&options.repositories[..], options.strict), (&["a".to_owned(), "b".to_owned()][..], Some(true)));
        let options = parse_server("options", "caller_runs: never\nspin_max: 0\nmodel_files: m.onnx").unwrap();
        assert_eq!((options.caller_runs, options.spin_max), (Some(CallerRuns::Never), Some(0)));
        assert_eq!((&*options.model_files[0], options.config_name), ("m.onnx", None));
        assert_eq!(parse_server("options", "config_name: gpu").unwrap().config_name.as_deref(), Some("gpu"));
        let options =
            parse_server("options", "backend_options: {b: {n: 1, library: /lib.so}}").unwrap().backend_options;
        assert_eq!(options, [["b", "n", "1"], ["b", "library", "/lib.so"]]);
        assert!(parse_server("options", "backend_options: {b: [1]}").is_err());
        let errors = parse_server("options", "strickt: yes\nload_threads_max: 0").unwrap_err().to_string();
        assert!(errors.contains("did you mean 'strict'?") && errors.contains("options:2:19"), "{errors}");
    }
}
