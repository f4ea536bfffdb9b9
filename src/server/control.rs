//! Loading and unloading while the server runs: what an application asks for, as operations that run on loading threads.

use super::catalog::Entry;
#[cfg(feature = "capi")]
use super::events::ChangeCount;
use super::hold::Hold;
use super::jobs::Job;
use super::lifecycle::{Outcome, Wish};
use super::operation::{Ending, Operation};
use super::paging::PagingStatistics;
use super::status::{ModelStatus, Progress};
use super::version::Parting;
use super::watching::{Known, PollOptions};
use super::{Inner, STOPPED, ServerHandle, Subscription};
use crate::config::Swap;
use crate::repository::{self, ConfigText, Found, FoundModel};
use crate::sync::{AtomicUsize, Mutex, Ordering, thread};
use inferlay_backend_sdk::{Error, LogLevel};
use std::sync::Arc;

/// Which models are loaded, and when.
#[derive(Clone, Debug, Default)]
pub(super) enum Control {
    /// All, at the start.
    #[default]
    AtStart,
    /// Those that are asked for; these at the start.
    Explicit(Vec<String>),
    /// All, and whatever changes.
    Poll(PollOptions),
}

/// How a model is to be loaded, where that is not what its folder says.
///
/// # Examples
/// ```
/// # use inferlay::{LoadOptions, ServerHandle};
/// let server = ServerHandle::builder().explicit([""; 0]).start()?;
/// let config = "{backend: 'null', input: {name: x, data_type: FP32, dims: 2}}";
/// let files = [("1/weights.bin", vec![1]), ("4/weights.bin", vec![2])];
/// let options = LoadOptions::new().config(config).files(files).versions([1, 4]);
/// server.load_model_with("echo", options).wait()?;
/// assert_eq!(server.model("echo")?.version()?, 4);
/// # Ok::<(), inferlay::Error>(())
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "nothing happens before it is given to `load_model_with`"]
pub struct LoadOptions {
    config: Option<GivenConfig>,
    versions: Option<Vec<u64>>,
    files: Option<Vec<(String, Vec<u8>)>>,
    swap: Option<Swap>,
}

/// A config in the place of a model's own.
#[derive(Clone, Debug)]
enum GivenConfig {
    Yaml(String),
    Pbtxt(String),
}

impl GivenConfig {
    fn text(self, model: &str) -> ConfigText {
        match self {
            GivenConfig::Yaml(text) => ConfigText { label: format!("the config given for '{model}'"), text },
            // The end of the label says the format.
            GivenConfig::Pbtxt(text) => {
                ConfigText { label: format!("the config given for '{model}': config.pbtxt"), text }
            }
        }
    }
}

impl LoadOptions {
    /// As the model's folder says.
    ///
    /// # Examples
    /// ```
    /// # use inferlay::{LoadOptions, ServerHandle};
    /// # let server = ServerHandle::builder().explicit([""; 0]).start()?;
    /// let operation = server.load_model_with("digits", LoadOptions::new());
    /// # assert!(operation.wait().is_err());
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// With this text in place of the model's own config: YAML, or JSON.
    ///
    /// # Examples
    /// ```
    /// # use inferlay::{LoadOptions, ServerHandle};
    /// # let server = ServerHandle::builder().explicit([""; 0]).start()?;
    /// let options = LoadOptions::new().config("{backend: 'null', input: {name: x, data_type: FP32, dims: 2}}");
    /// server.load_model_with("echo", options.files([("1/weights.bin", vec![1])])).wait()?;
    /// assert_eq!(server.model("echo")?.config()?.backend, "null");
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn config(mut self, text: impl Into<String>) -> Self {
        self.config = Some(GivenConfig::Yaml(text.into()));
        self
    }

    /// As [`LoadOptions::config`], of a text as a `config.pbtxt` has it; of the two the last one counts.
    ///
    /// # Examples
    /// ```
    /// # use inferlay::{LoadOptions, ServerHandle};
    /// # let server = ServerHandle::builder().explicit([""; 0]).start()?;
    /// let text = r#"backend: "null" input { name: "x" data_type: TYPE_FP32 dims: [ 2 ] }"#;
    /// let options = LoadOptions::new().config_pbtxt(text).files([("1/weights.bin", vec![1])]);
    /// server.load_model_with("echo", options).wait()?;
    /// assert_eq!(server.model("echo")?.config()?.inputs[0].dims, [2]);
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn config_pbtxt(mut self, text: impl Into<String>) -> Self {
        self.config = Some(GivenConfig::Pbtxt(text.into()));
        self
    }

    /// These versions, whatever the config's `version_policy` says. Each must be there.
    ///
    /// # Examples
    /// ```
    /// # use inferlay::{LoadOptions, ServerHandle};
    /// # let server = ServerHandle::builder().explicit([""; 0]).start()?;
    /// let options = LoadOptions::new().config("{backend: 'null', input: {name: x, data_type: FP32, dims: 2}}");
    /// let files = [("1/weights.bin", vec![1]), ("2/weights.bin", vec![2])];
    /// server.load_model_with("echo", options.files(files).versions([1])).wait()?;
    /// assert_eq!(server.model("echo")?.version()?, 1);
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn versions(mut self, versions: impl IntoIterator<Item = u64>) -> Self {
        self.versions = Some(versions.into_iter().collect());
        self
    }

    /// From memory: paths within the model's folder, such as `1/model.onnx`, and what the files hold. Files without a
    /// folder are version 1, but for the config.
    ///
    /// # Examples
    /// ```
    /// # use inferlay::{LoadOptions, ServerHandle};
    /// # let server = ServerHandle::builder().explicit([""; 0]).start()?;
    /// let config = b"{backend: 'null', input: {name: x, data_type: FP32, dims: 2}}".to_vec();
    /// server.load_model_with("echo", LoadOptions::new().files([("config.yaml", config)])).wait()?;
    /// assert!(server.model("echo")?.is_ready());
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn files<N: Into<String>>(mut self, files: impl IntoIterator<Item = (N, Vec<u8>)>) -> Self {
        self.files = Some(files.into_iter().map(|(name, content)| (name.into(), content)).collect());
        self
    }

    /// With this in place of the config's `swap`, which says what becomes of the version that serves when there is no room
    /// for the new one beside it.
    ///
    /// # Examples
    /// ```
    /// # use inferlay::{LoadOptions, ServerHandle};
    /// use inferlay::config::Swap;
    /// # let server = ServerHandle::builder().explicit([""; 0]).start()?;
    /// let operation = server.load_model_with("large", LoadOptions::new().swap(Swap::Replace));
    /// # assert!(operation.wait().is_err());
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn swap(mut self, swap: Swap) -> Self {
        self.swap = Some(swap);
        self
    }
}

impl ServerHandle {
    /// What paging has done; see [`crate::ServerBuilder::memory_budget`].
    ///
    /// # Examples
    /// ```
    /// # use inferlay::ServerHandle;
    /// let server = ServerHandle::builder().start()?;
    /// assert_eq!(server.paging().budget_bytes, 0);
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn paging(&self) -> PagingStatistics {
        self.inner.paging()
    }

    /// Has a model stay in memory once it is there, or go again when others need room, which is so unless it was pinned.
    /// Without a memory budget all models stay.
    ///
    /// # Examples
    /// ```
    /// # use inferlay::ServerHandle;
    /// let server = ServerHandle::builder().memory_budget(1 << 30).start()?;
    /// server.pin_model("detector", true);
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn pin_model(&self, name: &str, is_pinned: bool) {
        if let Some(pager) = &self.inner.pager {
            pager.pin(name, is_pinned);
        }
    }

    /// Loads a model of the repositories while the server runs, or loads it anew: returns at once.
    ///
    /// What serves goes on serving until all of the new has been loaded; then new requests go there, and those on their way
    /// finish where they are. If anything of it fails, what served serves on, and the operation says why. Nothing that has
    /// not changed is loaded again. Loads of one model happen one after the other.
    ///
    /// # Errors
    /// By the operation: [`crate::ErrorKind::NotFound`] for a model that is in no repository,
    /// [`crate::ErrorKind::Cancelled`] when it is unloaded meanwhile, and whatever keeps a version from serving.
    ///
    /// # Examples
    /// ```
    /// # use inferlay::{ErrorKind, ServerHandle};
    /// let server = ServerHandle::builder().repository("examples/models").explicit([""; 0]).start()?;
    /// assert_eq!(server.load_model("detector").wait().unwrap_err().kind(), ErrorKind::NotFound);
    /// # if cfg!(feature = "tract") {
    /// server.load_model("digits").wait()?;
    /// # }
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn load_model(&self, name: &str) -> Operation {
        self.load_model_with(name, LoadOptions::new())
    }

    /// As [`ServerHandle::load_model`], with another config, chosen versions, or from memory.
    ///
    /// # Errors
    /// As for [`ServerHandle::load_model`].
    ///
    /// # Examples
    /// ```
    /// # use inferlay::{LoadOptions, ServerHandle};
    /// let server = ServerHandle::builder().explicit([""; 0]).start()?;
    /// let config = b"{backend: 'null', input: {name: x, data_type: FP32, dims: 2}}".to_vec();
    /// server.load_model_with("echo", LoadOptions::new().files([("config.yaml", config)])).wait()?;
    /// assert!(server.model("echo")?.is_ready());
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn load_model_with(&self, name: &str, options: LoadOptions) -> Operation {
        let operation = self.inner.operations.begin(self.inner.services.clock.clone());
        if let Err(error) = name.split('/').try_for_each(repository::check_model_name) {
            operation.end(Err(error));
            return operation;
        }
        let ending = Ending::of(&operation);
        let hold = self.inner.catalog.entry_or_new(name);
        let (turn, inner) = (hold.turn(), self.inner.shared());
        let name_of_job = name.to_owned();
        self.inner.jobs.push_long(name, move || {
            let swap = options.swap;
            match inner.find(&name_of_job, options) {
                Ok((found, config, versions)) => {
                    let wish = Wish { found: Arc::new(found), config, versions, swap, turn };
                    inner.bring_and_tell(hold, wish, move |outcomes| ending.end(first_error(&name_of_job, outcomes)))
                }
                Err(error) => {
                    drop(hold);
                    ending.end(Err(error));
                    None
                }
            }
        });
        operation
    }

    /// Unloads a model, all its versions: from now on it takes no requests. Those on their way are answered, for as long as
    /// [`crate::ServerBuilder::retire_timeout`] allows; the operation is done when the memory is back. The model stays in
    /// the index, and can be loaded again.
    ///
    /// # Errors
    /// By the operation: [`crate::ErrorKind::NotFound`], and [`crate::ErrorKind::Timeout`] when requests were left when
    /// the time was up.
    ///
    /// # Examples
    /// ```
    /// # use inferlay::{ModelState, ServerHandle};
    /// # let config = b"{backend: 'null', input: {name: x, data_type: FP32, dims: 2}}".to_vec();
    /// # let server = ServerHandle::builder().model_in_memory("echo", [("config.yaml", config)]).strict().start()?;
    /// server.unload_model("echo").wait()?;
    /// assert_eq!(server.models()[0].state, ModelState::Unavailable);
    /// assert_eq!(server.models()[0].reason, "unloaded");
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn unload_model(&self, name: &str) -> Operation {
        match self.inner.catalog.entry(name) {
            // Nothing is known of it, and nothing comes: somebody has a handle from when there was.
            Ok(entry) if entry.is_empty() && !self.inner.jobs.has(name) => {
                let error = Error::not_found(format!("model '{}' is not loaded", name.escape_default()));
                Operation::over(self.inner.services.clock.clone(), Err(error))
            }
            Ok(entry) => self.inner.unload(&entry, Parting::Unloaded),
            Err(error) => Operation::over(self.inner.services.clock.clone(), Err(error)),
        }
    }

    /// How many times the state of any version has changed.
    #[cfg(feature = "capi")]
    pub(crate) fn change_count(&self) -> ChangeCount {
        self.inner.catalog.events.count()
    }

    /// Has `subscriber` called with every change of a version's state from now on, in order, on a thread of the engine,
    /// until the subscription is dropped. It must not wait; calls that would are refused there.
    ///
    /// # Examples
    /// ```
    /// # use inferlay::{LoadOptions, ModelState, ServerHandle};
    /// let server = ServerHandle::builder().explicit([""; 0]).start()?;
    /// let (told, states) = std::sync::mpsc::channel();
    /// let _subscription = server.subscribe(move |status| told.send(status.state).unwrap_or_default());
    /// let config = b"{backend: 'null', input: {name: x, data_type: FP32, dims: 2}}".to_vec();
    /// server.load_model_with("echo", LoadOptions::new().files([("config.yaml", config)])).wait()?;
    /// assert_eq!([states.recv().unwrap(), states.recv().unwrap()], [ModelState::Loading, ModelState::Ready]);
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn subscribe(&self, subscriber: impl Fn(&ModelStatus) + Send + Sync + 'static) -> Subscription {
        self.inner.catalog.events.subscribe(Arc::new(subscriber))
    }
}

type Sought = (FoundModel, Option<ConfigText>, Option<Vec<u64>>);

impl Inner {
    /// A model where it lies, and how it is to be loaded.
    fn find(&self, name: &str, options: LoadOptions) -> Result<Sought, Error> {
        if self.is_stopping() {
            return Err(STOPPED);
        }
        let LoadOptions { config, versions, files, swap: _ } = options;
        let found = match files {
            Some(files) => repository::in_memory(name, files, self.repositories.lock().config_name())?,
            None => self.find_in_repositories(name)?,
        };
        let config = config.map(|config| config.text(name));
        Ok((found, config, versions))
    }

    fn find_in_repositories(&self, name: &str) -> Result<FoundModel, Error> {
        let repositories = self.repositories.lock().clone();
        let mut warnings = Vec::new();
        let found = repository::scan_model(&repositories, name, &mut warnings)?;
        for warning in &warnings {
            self.services.log.write(LogLevel::Warning, warning);
        }
        let found = found.map(|mut found| {
            self.read_sums(&mut found);
            found
        });
        found.ok_or_else(|| {
            let all = repository::scan_all(&repositories).unwrap_or_default();
            let known: Vec<_> = all.models.keys().chain(all.broken.keys()).map(String::as_str).collect();
            Error::not_found(format!(
                "model '{}' is in no repository; found: {}",
                name.escape_debug(),
                known.join(", ")
            ))
        })
    }

    /// Reads the sums of all files, by which they are known again when they were touched and not changed. What cannot be
    /// read is for the backend to tell.
    fn read_sums(&self, found: &mut FoundModel) {
        if let Some(look) = &mut found.look {
            let _unread = look.read_sums(&|| !self.is_stopping());
        }
    }

    /// Loads what was found, and tells whoever watches, and `then`; where that takes longer, by the job that is returned.
    fn bring_and_tell(
        self: &Arc<Self>,
        hold: Hold,
        wish: Wish,
        then: impl FnOnce(Vec<Outcome>) + Send + 'static,
    ) -> Option<Job> {
        let repositories = self.repositories.lock().clone();
        let (look, name) = (wish.found.look.as_ref(), &wish.found.name);
        let is_still_so = || look.is_none_or(|look| repository::is_still_so(&repositories, name, &look.snapshot));
        let brought = self.bring(&hold, &wish, &is_still_so);
        let inner = self.clone();
        self.end_bringing(hold, brought, move |hold, brought| {
            // One that is loaded otherwise than it lies there is not what a watch knows of.
            if let Some(look) = wish.found.look.as_ref().filter(|_| wish.config.is_none() && wish.versions.is_none()) {
                inner.watching.loaded(&inner, Known::of(&wish.found.name, look, &brought));
            }
            drop((hold, wish));
            then(brought.outcomes);
        })
    }

    /// Leaves in `found` what is wanted; of the rest it is known that it could be loaded.
    ///
    /// # Errors
    /// `NOT_FOUND` for what is wanted and not there.
    pub(super) fn hold_back(&self, found: &mut Found, wanted: &[String]) -> Result<(), Error> {
        let is_there = |name: &String| found.models.contains_key(name) || found.broken.contains_key(name);
        if let Some(missing) = wanted.iter().find(|name| !is_there(name)) {
            let known: Vec<_> = found.models.keys().map(String::as_str).collect();
            let message =
                format!("model '{}' is in no repository; found: {}", missing.escape_debug(), known.join(", "));
            return Err(Error::not_found(message));
        }
        found.models.retain(|name, model| {
            let is_wanted = wanted.contains(name);
            if !is_wanted {
                let versions: Vec<_> = model.versions.keys().copied().collect();
                self.catalog.entry_or_new(name).know(&versions, &self.catalog.events);
            }
            is_wanted
        });
        // What is wrong with a model matters when it is asked for.
        found.broken.retain(|name, _| wanted.contains(name));
        Ok(())
    }

    /// Loads what was found when the server starts.
    ///
    /// What is known of their files from then on.
    ///
    /// # Errors
    /// In strict manner, the first failure.
    pub(super) fn load_at_start(self: &Arc<Self>, found: Found) -> Result<Vec<Known>, Error> {
        for warning in &found.warnings {
            self.services.log.write(LogLevel::Warning, warning);
        }
        let course = Course::new(self, found.models.len() + found.broken.len());
        let mut told = Vec::new();
        for (name, error) in found.broken {
            let said = error.clone().at(format_args!("model '{}'", name.escape_debug()));
            self.services.log.write(LogLevel::Error, said.message());
            told.push(Known::broken(&name, error.clone()));
            self.catalog.entry_or_new(&name).fail(0, &error, &self.catalog.events);
            course.finish(&name, &[(0, Some(error))]);
        }
        let models: Mutex<Vec<_>> = Mutex::new(found.models.into_values().rev().collect());
        let threads = self.options.load_threads_max.clamp(1, models.lock().len().max(1));
        let known = Mutex::new(told);
        let work = || {
            loop {
                let next = models.lock().pop();
                let Some(mut found) = next else { return };
                if self.polls {
                    self.read_sums(&mut found);
                }
                let entry = self.catalog.entry_or_new(&found.name);
                let turn = entry.turn();
                let wish = Wish::of(Arc::new(found), turn);
                let (brought, known_now) = self.bring_at_start(&entry, &wish);
                known.lock().extend(known_now);
                course.finish(&wish.found.name, &brought);
            }
        };
        thread::scope(threads - 1, "inferlay-load", &work);
        match course.first_error.into_inner() {
            Some(error) if self.options.is_strict => Err(error),
            _ => Ok(known.into_inner()),
        }
    }

    fn bring_at_start(self: &Arc<Self>, entry: &Arc<Entry>, wish: &Wish) -> (Vec<Outcome>, Option<Known>) {
        let look = wish.found.look.as_ref();
        let repositories = self.repositories.lock().clone();
        let name = &wish.found.name;
        let is_still_so = || look.is_none_or(|look| repository::is_still_so(&repositories, name, &look.snapshot));
        let brought = self.bring(entry, wish, &is_still_so);
        debug_assert!(brought.replacing.is_none(), "nothing serves yet that could go first");
        let known = look.map(|look| Known::of(name, look, &brought));
        (brought.outcomes, known)
    }
}

/// One course of loading: who is done, and the first failure.
struct Course<'a> {
    inner: &'a Inner,
    total: usize,
    done: AtomicUsize,
    first_error: Mutex<Option<Error>>,
}

impl<'a> Course<'a> {
    fn new(inner: &'a Inner, total: usize) -> Self {
        Course { inner, total, done: AtomicUsize::new(0), first_error: Mutex::new(None) }
    }

    fn finish(&self, model: &str, outcomes: &[Outcome]) {
        // Counted under the lock, so that the callback sees the numbers rise.
        let mut first_error = self.first_error.lock();
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        for (version, error) in outcomes {
            let error = error.as_ref();
            if let Some(error) = error {
                first_error.get_or_insert_with(|| error.clone().at(format_args!("model '{}'", model.escape_debug())));
            }
            self.inner.options.report(&Progress { model, version: *version, error, done, total: self.total });
        }
    }
}

fn first_error(model: &str, outcomes: Vec<Outcome>) -> Result<(), Error> {
    let first = outcomes.into_iter().find_map(|(version, error)| Some((version, error?)));
    match first {
        None => Ok(()),
        Some((version, error)) => Err(error.at(format_args!("model '{model}' version {version}"))),
    }
}
