//! What a text says of a server, taken into options: all of it or, where something is wrong with it, nothing.

use super::control::Control;
use super::door::door;
use super::handle::{borrow_mut, utf8};
use super::options::Options;
use super::source;
use super::status::Status;
use crate::config::{ControlOptions, ModelControl, RepositoryOptions, parse_server};
use crate::server::{PollOptions, Repository};
use inferlay_backend_sdk::Error;
use std::ffi::c_char;
use std::path::PathBuf;
use std::time::Duration;

impl Options {
    pub(super) fn read(&mut self, text: &str) -> Result<(), Error> {
        let said = parse_server("options", text)?;
        let requires = (said.require_manifest, said.require_signature);
        // These may be refused still.
        let trust = self.trust.with(&said.trusted_keys, requires)?;
        said.sources.iter().try_for_each(source::check)?;
        self.trust = trust;
        self.sources.extend(said.sources);
        self.control.read(said.control);
        self.control.repositories.extend(said.repositories.into_iter().filter_map(repository));
        self.backend_directories.extend(said.backend_directories.into_iter().map(PathBuf::from));
        self.backend_options.extend(said.backend_options);
        self.files.extend(said.model_files.into_iter().map(PathBuf::from));
        self.is_strict = said.strict.unwrap_or(self.is_strict);
        self.config_name = said.config_name.or_else(|| self.config_name.take());
        self.caller_runs = said.caller_runs.or(self.caller_runs);
        self.load_threads_max = said.load_threads_max.or(self.load_threads_max);
        self.execution_threads_max = said.execution_threads_max.or(self.execution_threads_max);
        self.spin_max = said.spin_max.or(self.spin_max);
        self.small_output_len_max = said.small_output_len_max.or(self.small_output_len_max);
        self.trace_every = said.trace_every.unwrap_or(self.trace_every);
        Ok(())
    }
}

impl Control {
    fn read(&mut self, said: ControlOptions) {
        let kind = said.model_control.map(|control| match control {
            ModelControl::None => super::control::INFERLAY_MODEL_CONTROL_NONE,
            ModelControl::Explicit => super::control::INFERLAY_MODEL_CONTROL_EXPLICIT,
            ModelControl::Poll => super::control::INFERLAY_MODEL_CONTROL_POLL,
        });
        self.kind = kind.unwrap_or(self.kind);
        self.wanted.extend(said.load);
        self.pinned.extend(said.pinned);
        self.retire_timeout = said.retire_timeout_us.map(Duration::from_micros).or(self.retire_timeout);
        self.memory_budget = said.memory_budget_bytes.or(self.memory_budget);
        self.device_budgets.extend(said.device_memory_budgets_bytes);
        let time = |us: Option<u64>, set: fn(PollOptions, Duration) -> PollOptions| {
            move |poll| us.map(Duration::from_micros).into_iter().fold(poll, set)
        };
        self.poll(time(said.settle_time_us, PollOptions::settle_time));
        self.poll(time(said.poll_period_us, PollOptions::period));
        self.poll(time(said.retry_after_us, PollOptions::retry_after));
        self.poll(|poll| said.ready_marker.into_iter().fold(poll, PollOptions::ready_marker));
        if said.poll_by_period_only == Some(true) {
            self.poll(PollOptions::by_period_only);
        }
    }
}

/// The repository of folders that are said, one at least.
fn repository(said: RepositoryOptions) -> Option<Repository> {
    let (first, others) = said.folders.split_first()?;
    let made = others.iter().fold(Repository::at(first), |made, folder| made.and(folder));
    let made = said.namespace.into_iter().fold(made, |made, namespace| made.namespace(namespace));
    Some(said.serve_as.into_iter().fold(made, |made, [own, name]| made.serve_as(own, name)))
}

/// Reads options from a text, YAML or JSON.                                               [one thread] [never blocks]
///
/// Keys, all optional; they mean what the functions of these names mean, and times are in microseconds:
/// - lists, which are added to: `repositories` (paths, or mappings of `folders`, `namespace` and `serve_as`),
///   `sources` (mappings of `url`, `cache`, `options` and `from_environment`), `model_files`, `backend_directories`,
///   `load`, `pinned`, `trusted_keys`;
/// - mappings, which are added to: `backend_options` (by backend and name), `device_memory_budgets_bytes` (by device);
/// - `model_control` (none, explicit, poll), `settle_time_microseconds`, `poll_period_microseconds`,
///   `poll_by_period_only`, `ready_marker`, `retry_after_microseconds`, `retire_timeout_microseconds`,
///   `memory_budget_bytes`, `strict`, `require_manifest`, `require_signature`, `caller_runs` (never, own_request,
///   batch), `load_threads_max`, `execution_threads_max`, `spin_max`, `small_output_len_max`, `trace_every`;
/// - `config_name`: reads `configs/<name>.yaml` of each model that has it (also .yml, .json or .pbtxt) in the place of
///   its `config.yaml`.
///
/// `text`: borrowed for the call. On failure (INVALID_ARG with every error and its line; UNSUPPORTED for what this
/// library was built without) the options are as before.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_options_set_text(options: *mut Options, text: *const c_char) -> *mut Status {
    door(|| {
        // SAFETY: the caller's promise.
        let options = unsafe { borrow_mut(options, "options") }?;
        // SAFETY: the caller's promise.
        options.read(unsafe { utf8(text, "text") }?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::server_keys;
    use inferlay_backend_sdk::ErrorKind;
    use std::collections::BTreeSet;
    use std::path::Path;

    /// Options of a builder beside the keys that say them, where those are not of the same name.
    const KEYS: [(&str, &[&str]); 9] = [
        ("repository", &["repositories"]),
        ("repository_with", &["repositories"]),
        ("source", &["sources"]),
        ("repository_url", &["sources"]),
        ("model_file", &["model_files"]),
        ("trusted_key", &["trusted_keys"]),
        ("explicit", &["model_control", "load"]),
        (
            "poll",
            &[
                "model_control",
                "settle_time_microseconds",
                "poll_period_microseconds",
                "poll_by_period_only",
                "ready_marker",
                "retry_after_microseconds",
            ],
        ),
        ("pin", &["pinned"]),
    ];
    /// Those whose keys have a unit, or are of several.
    const WITH_UNIT: [(&str, &str); 5] = [
        ("memory_budget", "memory_budget_bytes"),
        ("device_memory_budget", "device_memory_budgets_bytes"),
        ("retire_timeout", "retire_timeout_microseconds"),
        ("backend_directory", "backend_directories"),
        ("backend_option", "backend_options"),
    ];
    /// What no text can say: code, contents of memory, and clocks of tests.
    const CODE: [&str; 6] = ["backend", "backend_table", "model_in_memory", "on_progress", "log", "manual_clock"];

    /// The options of a builder, as its source has them: what takes it and gives it back.
    fn builder_options() -> BTreeSet<String> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/server");
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let texts = files.filter(|path| path.extension().is_some_and(|end| end == "rs"));
        let mut options = BTreeSet::new();
        for text in texts.map(|path| std::fs::read_to_string(path).unwrap()) {
            for block in text.split("\nimpl ServerBuilder {").skip(1) {
                let block = block.split("\n}\n").next().unwrap();
                for function in block.split("\n    pub").skip(1) {
                    let head = function.split('{').next().unwrap();
                    let name = head.split("fn ").nth(1).and_then(|rest| rest.split(['(', '<']).next()).unwrap();
                    if head.contains("self") && head.trim_end().ends_with("-> Self") {
                        options.insert(name.to_owned());
                    }
                }
            }
        }
        options
    }

    #[test]
    fn every_option_of_a_builder_has_a_key_or_is_code() {
        let keys: BTreeSet<_> = server_keys().into_iter().collect();
        let mut used = BTreeSet::new();
        for option in builder_options() {
            let several = KEYS.iter().find(|(name, _)| *name == option).map(|(_, keys)| keys.to_vec());
            let unit = WITH_UNIT.iter().find(|(name, _)| *name == option).map(|(_, key)| vec![*key]);
            let is_code = CODE.contains(&&*option);
            let own = several.or(unit).unwrap_or_else(|| if is_code { Vec::new() } else { vec![&*option] });
            for key in own {
                assert!(keys.contains(key), "the option '{option}' of the builder has no key '{key}'");
                used.insert(keys.get(key).copied().unwrap());
            }
        }
        assert_eq!(used, keys, "a key says nothing that a builder can be told");
        assert!(used.len() > 25 && CODE.iter().all(|name| builder_options().contains(*name)));
    }

    #[test]
    fn a_text_that_is_refused_changes_nothing() {
        let mut options = Options::default();
        let refused = |options: &mut Options, text: &str| options.read(text).unwrap_err();
        assert_eq!(refused(&mut options, "strict: true\nspin_max: x").kind(), ErrorKind::InvalidArg);
        #[cfg(not(feature = "object-store"))]
        {
            let error = refused(&mut options, "{strict: true, sources: {url: 's3://bucket/models', cache: c}}");
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            assert!(error.message().contains("'s3://' in a build without the feature `object-store`"), "{error}");
        }
        assert!(options.read("{strict: true, trusted_keys: [d75a]}").is_err());
        assert!(!options.is_strict && options.sources.is_empty());
    }

    #[test]
    fn what_a_text_says_of_models_is_what_a_server_does() {
        let started = |text: &str| {
            let mut options = Options::default();
            options.read(text).unwrap();
            options.builder().start()
        };
        let explicit = started("{repositories: [examples/models], model_control: explicit}").unwrap();
        assert!(explicit.models().iter().all(|model| model.reason.is_empty()) && explicit.model("digits").is_err());
        let missing = started("{repositories: examples/models, model_control: explicit, load: [nobody]}").unwrap_err();
        assert_eq!(missing.kind(), ErrorKind::NotFound);
        let text = "{repositories: {folders: examples/models, namespace: shapes}, model_control: explicit}";
        assert_eq!(started(text).unwrap().models()[0].name, "shapes/digits");
        let paging = started("{memory_budget_bytes: 4096, pinned: [a], retire_timeout_microseconds: 5}").unwrap();
        assert_eq!(paging.paging().budget_bytes, 4096);
        let polling = started("{model_control: poll, settle_time_microseconds: 5, ready_marker: .ready}").unwrap();
        assert!(polling.poll().wait().is_ok());
        #[cfg(feature = "integrity")]
        {
            let refused = started("{repositories: examples/models, require_manifest: true, strict: true}").unwrap_err();
            assert!(refused.message().contains("found no inferlay.manifest"), "{refused}");
        }
    }

    #[test]
    fn a_folder_elsewhere_is_served_from_a_copy() {
        let folder = std::env::temp_dir().join(format!("inferlay-options-text-{}", std::process::id()));
        let (drive, cache) = (folder.join("network drive"), folder.join("cache"));
        std::fs::create_dir_all(drive.join("echo/1")).unwrap();
        let config = "{backend: 'null', input: {name: x, data_type: FP32, dims: 2}}";
        std::fs::write(drive.join("echo/config.yaml"), config).unwrap();
        let mut options = Options::default();
        let url = format!("file://{}", drive.display()).replace(' ', "%20");
        let text = format!("sources: {{url: '{url}', cache: '{}'}}", cache.display());
        options.read(&text).unwrap();
        let server = options.builder().strict().start().unwrap();
        std::fs::remove_dir_all(&drive).unwrap();
        assert_eq!(server.model("echo").unwrap().version().unwrap(), 1);
        drop(server);
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
