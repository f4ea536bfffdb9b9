//! The options of a server as a text: YAML, and so JSON. Pure, any thread.
//!
//! ```text
//!   where models lie    repositories, sources, model_files      what is asked of them   trusted_keys, require_*, strict
//!   which, and when     model_control, load, polling            what they may use       threads, budgets, pinned
//! ```
//!
//! Invariant: every option of a builder that a text can say has its key; `capi/options_text.rs` proves it.

use super::error::{ConfigErrors, Report, Source};
use super::grammar::{Kind, Message, field, message};
use super::keys::CALLER_RUNS;
use super::limits;
use super::model::CallerRuns;
use super::read::Cursor;
use super::tree;
use Kind::{Choice, Flag, Text, Whole};
use std::sync::Arc;

/// What a text says of a server; what it leaves out is `None` or empty.
#[derive(Clone, Debug, Default)]
pub(crate) struct ServerOptions {
    pub(crate) repositories: Vec<RepositoryOptions>,
    pub(crate) sources: Vec<SourceOptions>,
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
    pub(crate) control: ControlOptions,
    pub(crate) trusted_keys: Vec<String>,
    pub(crate) require_manifest: Option<bool>,
    pub(crate) require_signature: Option<bool>,
}

/// Folders that are searched as one, and what their models are called.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RepositoryOptions {
    /// One at least.
    pub(crate) folders: Vec<String>,
    pub(crate) namespace: Option<String>,
    /// The name of a folder, and the name that its model is served under.
    pub(crate) serve_as: Vec<[String; 2]>,
}

/// A repository that lies elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SourceOptions {
    pub(crate) url: String,
    pub(crate) cache: String,
    /// Names and values.
    pub(crate) options: Vec<[String; 2]>,
    pub(crate) from_environment: bool,
}

/// Which models are loaded, when, and what they may use.
#[derive(Clone, Debug, Default)]
pub(crate) struct ControlOptions {
    pub(crate) model_control: Option<ModelControl>,
    pub(crate) load: Vec<String>,
    pub(crate) settle_time_us: Option<u64>,
    pub(crate) poll_period_us: Option<u64>,
    pub(crate) poll_by_period_only: Option<bool>,
    pub(crate) ready_marker: Option<String>,
    pub(crate) retry_after_us: Option<u64>,
    pub(crate) retire_timeout_us: Option<u64>,
    pub(crate) memory_budget_bytes: Option<u64>,
    /// Devices and bytes.
    pub(crate) device_memory_budgets_bytes: Vec<(u32, u64)>,
    pub(crate) pinned: Vec<String>,
}

/// Which models are loaded, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ModelControl {
    /// All, at the start.
    None,
    /// Those that are asked for.
    Explicit,
    /// All, and whatever changes.
    Poll,
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

/// The keys that there are.
#[cfg(test)]
pub(crate) fn server_keys() -> Vec<&'static str> {
    KEYS.names().collect()
}

fn read(root: &Cursor<'_>, report: &mut Report) -> ServerOptions {
    root.check_keys(&KEYS, report);
    let mut number = |key: &'static str, least: u64| {
        root.key(key).and_then(|cursor| cursor.whole(least..=U32_MAX, report)).map(|number| number as u32)
    };
    ServerOptions {
        load_threads_max: number("load_threads_max", 1).map(|threads| threads as usize),
        execution_threads_max: number("execution_threads_max", 1).map(|threads| threads as usize),
        spin_max: number("spin_max", 0),
        small_output_len_max: number("small_output_len_max", 0).map(|len| len as usize),
        trace_every: number("trace_every", 0),
        repositories: items(root, "repositories").iter().filter_map(|item| repository(item, report)).collect(),
        sources: items(root, "sources").iter().filter_map(|item| source(item, report)).collect(),
        model_files: texts(root, "model_files", report),
        backend_directories: texts(root, "backend_directories", report),
        backend_options: backend_options(root, report),
        config_name: text(root, "config_name", report),
        strict: flag(root, "strict", report),
        caller_runs: root.key("caller_runs").and_then(|cursor| cursor.choice(&CALLER_RUNS, report)),
        control: control(root, report),
        trusted_keys: texts(root, "trusted_keys", report),
        require_manifest: flag(root, "require_manifest", report),
        require_signature: flag(root, "require_signature", report),
    }
}

fn control(root: &Cursor<'_>, report: &mut Report) -> ControlOptions {
    let mut whole = |key: &'static str, limits| root.key(key).and_then(|cursor| cursor.whole(limits, report));
    ControlOptions {
        settle_time_us: whole("settle_time_microseconds", limits::MICROSECONDS),
        poll_period_us: whole("poll_period_microseconds", limits::MICROSECONDS),
        retry_after_us: whole("retry_after_microseconds", limits::MICROSECONDS),
        retire_timeout_us: whole("retire_timeout_microseconds", limits::MICROSECONDS),
        memory_budget_bytes: whole("memory_budget_bytes", 0..=u64::MAX),
        device_memory_budgets_bytes: device_budgets(root, report),
        poll_by_period_only: flag(root, "poll_by_period_only", report),
        ready_marker: text(root, "ready_marker", report),
        model_control: root.key("model_control").and_then(|cursor| cursor.choice(&MODEL_CONTROLS, report)),
        load: texts(root, "load", report),
        pinned: texts(root, "pinned", report),
    }
}

fn device_budgets(root: &Cursor<'_>, report: &mut Report) -> Vec<(u32, u64)> {
    let entries = root.key("device_memory_budgets_bytes").map(|map| map.entries(report)).unwrap_or_default();
    let mut budgets = Vec::new();
    for (device, bytes) in entries {
        match device.parse() {
            Ok(device) => budgets.extend(bytes.whole(0..=u64::MAX, report).map(|bytes| (device, bytes))),
            Err(_) => _ = bytes.fault::<()>("found a key that is no number, expected that of a device", report),
        }
    }
    budgets
}

/// The path of a folder, or a mapping.
fn repository(item: &Cursor<'_>, report: &mut Report) -> Option<RepositoryOptions> {
    if !item.is_map() {
        return Some(RepositoryOptions { folders: vec![item.text(report)?], ..RepositoryOptions::default() });
    }
    item.check_keys(&REPOSITORY, report);
    let folders = texts(item, "folders", report);
    if folders.is_empty() {
        return item.fault("found no folders, expected one at least", report);
    }
    let namespace = text(item, "namespace", report);
    Some(RepositoryOptions { folders, namespace, serve_as: pairs(item, "serve_as", report) })
}

fn source(item: &Cursor<'_>, report: &mut Report) -> Option<SourceOptions> {
    item.check_keys(&SOURCE, report);
    let [url, cache] = ["url", "cache"].map(|key| text(item, key, report));
    let (Some(url), Some(cache)) = (url, cache) else {
        return item.fault("found no url and cache, expected both", report);
    };
    let from_environment = flag(item, "from_environment", report).unwrap_or(false);
    Some(SourceOptions { url, cache, options: pairs(item, "options", report), from_environment })
}

fn items<'a>(root: &Cursor<'a>, key: &'static str) -> Vec<Cursor<'a>> {
    root.key(key).map(|list| list.items()).unwrap_or_default()
}

fn texts(root: &Cursor<'_>, key: &'static str, report: &mut Report) -> Vec<String> {
    items(root, key).iter().filter_map(|item| item.text(report)).collect()
}

fn text(root: &Cursor<'_>, key: &'static str, report: &mut Report) -> Option<String> {
    root.key(key)?.text(report)
}

fn flag(root: &Cursor<'_>, key: &'static str, report: &mut Report) -> Option<bool> {
    root.key(key)?.flag(report)
}

fn pairs(root: &Cursor<'_>, key: &'static str, report: &mut Report) -> Vec<[String; 2]> {
    let entries = root.key(key).map(|map| map.entries(report)).unwrap_or_default();
    entries.into_iter().filter_map(|(name, value)| Some([name, value.text(report)?])).collect()
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
    field("backend_directories", Text, "Where backends are looked for.").list(),
    field("backend_options", Text, "Options of each backend.").map(),
    field("caller_runs", Choice(&["never", "own_request", "batch"]), "What waiting threads execute."),
    field("config_name", Text, "Which of the configs of a model is read."),
    field("device_memory_budgets_bytes", Whole(0, u64::MAX), "Bytes that models may use on each device.").number_map(),
    field("execution_threads_max", Whole(1, U32_MAX), "How many threads an execution may use."),
    field("load", Text, "Models that an explicit server loads when it starts.").list(),
    field("load_threads_max", Whole(1, U32_MAX), "How many models are loaded at once."),
    field("memory_budget_bytes", Whole(0, u64::MAX), "Bytes of the host that models may use together."),
    field("model_control", Choice(&["none", "explicit", "poll"]), "Which models are loaded, and when."),
    field("model_files", Text, "Files that are models.").list(),
    field("pinned", Text, "Models that stay in memory whatever the budget.").list(),
    field("poll_by_period_only", Flag, "Whether a server that polls looks only at every period."),
    field("poll_period_microseconds", MICROSECONDS, "How often a server that polls looks at everything."),
    field("ready_marker", Text, "The file that a server that polls waits for."),
    field("repositories", Kind::Message(&REPOSITORY), "Folders of models.").list(),
    field("require_manifest", Flag, "Whether models without a manifest are refused."),
    field("require_signature", Flag, "Whether models without a trusted signature are refused."),
    field("retire_timeout_microseconds", MICROSECONDS, "How long what was replaced may take to answer what it has."),
    field("retry_after_microseconds", MICROSECONDS, "When a load that failed is tried again."),
    field("settle_time_microseconds", MICROSECONDS, "How long nothing may have changed before a model is loaded."),
    field("small_output_len_max", Whole(0, U32_MAX), "Bytes of outputs that are copied."),
    field("sources", Kind::Message(&SOURCE), "Repositories that lie elsewhere.").list(),
    field("spin_max", Whole(0, U32_MAX), "Turns before a thread sleeps."),
    field("strict", Flag, "Whether any failure fails the start."),
    field("trace_every", Whole(0, U32_MAX), "Which requests are traced."),
    field("trusted_keys", Text, "The public keys of whoever may sign models.").list(),
]);
static REPOSITORY: Message = message(&[
    field("folders", Text, "The folders, which are searched as one.").list(),
    field("namespace", Text, "What stands before the names of its models."),
    field("serve_as", Text, "Names of folders, and those that their models are served under.").map(),
]);
static SOURCE: Message = message(&[
    field("url", Text, "Where it lies."),
    field("cache", Text, "The folder that its copies are kept in."),
    field("options", Text, "Options of the store.").map(),
    field("from_environment", Flag, "Whether environment variables are options, too."),
]);

const MODEL_CONTROLS: [(&str, ModelControl); 3] =
    [("none", ModelControl::None), ("explicit", ModelControl::Explicit), ("poll", ModelControl::Poll)];
const U32_MAX: u64 = u32::MAX as u64;
const MICROSECONDS: Kind = Whole(*limits::MICROSECONDS.start(), *limits::MICROSECONDS.end());

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> ServerOptions {
        parse_server("options", text).unwrap_or_else(|errors| panic!("{text}\n{errors}"))
    }

    #[test]
    fn yaml_and_json_are_read_and_every_error_is_told() {
        let options = parsed("{\"repositories\": [\"a\", \"b\"], \"strict\": true}");
        let folders: Vec<_> = options.repositories.iter().map(|repository| &repository.folders[..]).collect();
        assert_eq!((folders, options.strict), (vec![&["a".to_owned()][..], &["b".to_owned()]], Some(true)));
        let options = parsed("caller_runs: never\nspin_max: 0\nmodel_files: m.onnx");
        assert_eq!((options.caller_runs, options.spin_max), (Some(CallerRuns::Never), Some(0)));
        assert_eq!((&*options.model_files[0], options.config_name), ("m.onnx", None));
        assert_eq!(parsed("config_name: gpu").config_name.as_deref(), Some("gpu"));
        let options = parsed("backend_options: {b: {n: 1, library: /lib.so}}").backend_options;
        assert_eq!(options, [["b", "n", "1"], ["b", "library", "/lib.so"]]);
        assert!(parse_server("options", "backend_options: {b: [1]}").is_err());
        let errors = parse_server("options", "strickt: yes\nload_threads_max: 0").unwrap_err().to_string();
        assert!(errors.contains("did you mean 'strict'?") && errors.contains("options:2:19"), "{errors}");
    }

    #[test]
    fn repositories_and_sources_say_more_than_a_folder() {
        let text = "repositories: [a, {folders: [b, c], namespace: n, serve_as: {old: new}}]
sources: {url: s3://bucket/models, cache: /copies, options: {aws_region: r}, from_environment: true}";
        let options = parsed(text);
        assert_eq!(options.repositories[1].folders, ["b", "c"]);
        assert_eq!(options.repositories[1].namespace.as_deref(), Some("n"));
        assert_eq!(options.repositories[1].serve_as, [["old", "new"]]);
        let source = &options.sources[0];
        assert_eq!((&*source.url, &*source.cache, source.from_environment), ("s3://bucket/models", "/copies", true));
        assert_eq!(source.options, [["aws_region", "r"]]);
        let errors = |text: &str| parse_server("options", text).unwrap_err().to_string();
        assert!(errors("repositories: {namespace: n}").contains("found no folders, expected one at least"));
        assert!(errors("sources: {url: s3://bucket}").contains("found no url and cache, expected both"));
    }

    #[test]
    fn what_lives_of_models_are_like_is_read() {
        let text = "{model_control: poll, load: [a], settle_time_microseconds: 5, poll_period_microseconds: 6,
poll_by_period_only: true, ready_marker: .ready, retry_after_microseconds: 7, retire_timeout_microseconds: 8,
memory_budget_bytes: 9, device_memory_budgets_bytes: {0: 10, 3: 11}, pinned: [b]}";
        let control = parsed(text).control;
        assert_eq!(control.model_control, Some(ModelControl::Poll));
        assert_eq!((&*control.load[0], &*control.pinned[0]), ("a", "b"));
        assert_eq!((control.settle_time_us, control.poll_period_us), (Some(5), Some(6)));
        assert_eq!((control.poll_by_period_only, control.ready_marker.as_deref()), (Some(true), Some(".ready")));
        assert_eq!((control.retry_after_us, control.retire_timeout_us), (Some(7), Some(8)));
        assert_eq!(control.memory_budget_bytes, Some(9));
        assert_eq!(control.device_memory_budgets_bytes, [(0, 10), (3, 11)]);
        let errors = parse_server("options", "device_memory_budgets_bytes: {gpu: 1}").unwrap_err().to_string();
        assert!(errors.contains("found a key that is no number, expected that of a device"), "{errors}");
    }
}
