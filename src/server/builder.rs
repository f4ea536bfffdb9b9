//! How a server is started: options, then folders and files, then everything at once.

use super::catalog::Catalog;
use super::gate::OpenGate;
use super::load::Loader;
use super::status::Progress;
use super::{Inner, ServerHandle};
use crate::backend;
use crate::config::CallerRuns;
use crate::flow::{Messenger, Services, Timekeeper, Tuning, Workers};
use crate::memory::BlockPool;
use crate::observe::{Log, LogRecord, Tracer};
use crate::repository::{self, Found};
use crate::sync::{AtomicBool, Clock, Doorbell, ManualClock, Mutex, thread};
use inferlay_backend_sdk::{Backend, Error, ErrorKind};
use std::path::PathBuf;
use std::sync::Arc;

/// Options of a server, and what it loads at start.
///
/// # Examples
/// ```
/// use inferlay::{LogLevel, ServerHandle};
/// let server = ServerHandle::builder()
///     .repository("examples/models")
///     .on_progress(|progress| assert!(progress.done <= progress.total))
///     .log(|record| if record.level >= LogLevel::Warning { eprintln!("{}", record.message) })
///     .start()?;
/// assert!(server.is_live());
/// # Ok::<(), inferlay::Error>(())
/// ```
#[must_use = "nothing happens before `start`"]
pub struct ServerBuilder {
    repositories: Vec<PathBuf>,
    files: Vec<PathBuf>,
    in_memory: Vec<(String, MemoryModel)>,
    options: Options,
    log: Log,
    clock: Clock,
    tuning: Tuning,
    trace_every: u32,
}

/// What loading and lanes go by.
pub(super) struct Options {
    pub(super) backends: Vec<Arc<dyn Backend>>,
    pub(super) is_strict: bool,
    pub(super) caller_runs: CallerRuns,
    pub(super) load_threads_max: usize,
    pub(super) execution_threads_max: usize,
    progress: Option<Box<ProgressFn>>,
}

/// The files of a model, by name.
type MemoryModel = Vec<(String, Vec<u8>)>;

type ProgressFn = dyn Fn(&Progress<'_>) + Send + Sync;

impl Options {
    pub(super) fn report(&self, progress: &Progress<'_>) {
        if let Some(report) = &self.progress {
            report(progress);
        }
    }
}

/// Enough turns to cover an answer that comes within some ten microseconds.
const SPIN_MAX: u32 = 2_000;

impl Default for ServerBuilder {
    fn default() -> Self {
        let options = Options {
            backends: backend::builtin(),
            is_strict: false,
            caller_runs: CallerRuns::OwnRequest,
            load_threads_max: thread::cores().saturating_sub(1).max(1),
            execution_threads_max: 1,
            progress: None,
        };
        ServerBuilder {
            repositories: Vec::new(),
            files: Vec::new(),
            in_memory: Vec::new(),
            options,
            log: Log::default(),
            clock: Clock::System,
            tuning: Tuning { spin_max: SPIN_MAX, small_output_len_max: 4096, workers_max: 1024 },
            trace_every: 0,
        }
    }
}

impl ServerBuilder {
    /// Loads the models of this folder: `<folder>/<model>/<version>/<file>`.
    pub fn repository(mut self, folder: impl Into<PathBuf>) -> Self {
        self.repositories.push(folder.into());
        self
    }

    /// Loads one model from one file; it is named by the file's stem.
    pub fn model_file(mut self, file: impl Into<PathBuf>) -> Self {
        self.files.push(file.into());
        self
    }

    /// Loads one model from memory: its files by name, such as `model.onnx`, and perhaps `config.yaml`.
    ///
    /// # Examples
    /// ```
    /// use inferlay::{Request, ServerHandle, Tensor};
    /// // The null model's outputs are its inputs, by the same names.
    /// let config = b"{backend: 'null', input: {name: x, data_type: FP32, dims: 2}}";
    /// let files = [("config.yaml", config.to_vec())];
    /// let server = ServerHandle::builder().model_in_memory("echo", files).strict().start()?;
    /// let request = Request::new().input("x", Tensor::from_vec(vec![1.0f32, 2.0], [2])?);
    /// assert_eq!(server.infer("echo", request)?.slice::<f32>("x")?, [1.0, 2.0]);
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn model_in_memory<N: Into<String>>(
        mut self,
        name: impl Into<String>,
        files: impl IntoIterator<Item = (N, Vec<u8>)>,
    ) -> Self {
        let files = files.into_iter().map(|(name, content)| (name.into(), content)).collect();
        self.in_memory.push((name.into(), files));
        self
    }

    /// Adds a backend. One of the same name as a linked one takes its place.
    pub fn backend(mut self, backend: Arc<dyn Backend>) -> Self {
        self.options.backends.retain(|known| known.name() != backend.name());
        self.options.backends.insert(0, backend);
        self
    }

    /// Makes the start fail if any model fails to load.
    pub fn strict(mut self) -> Self {
        self.options.is_strict = true;
        self
    }

    /// Calls `report` after each model that was loaded or failed, on the loading threads, one call at a time.
    ///
    /// # Examples
    /// ```
    /// use inferlay::ServerHandle;
    /// let files = [("config.yaml", b"backend: nowhere".to_vec())];
    /// let builder = ServerHandle::builder().model_in_memory("echo", files);
    /// builder.on_progress(|progress| {
    ///     assert_eq!((progress.model, progress.done, progress.total), ("echo", 1, 1));
    ///     assert!(progress.error.is_some());
    /// }).start()?;
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn on_progress(mut self, report: impl Fn(&Progress<'_>) + Send + Sync + 'static) -> Self {
        self.options.progress = Some(Box::new(report));
        self
    }

    /// Sends the server's log to `sink`, which any thread may call, also several at once. Without it there is no log.
    ///
    /// # Examples
    /// ```
    /// use inferlay::{LogLevel, ServerHandle};
    /// use std::sync::mpsc;
    /// let (sender, receiver) = mpsc::channel();
    /// let files = [("config.yaml", b"backend: nowhere".to_vec())];
    /// let builder = ServerHandle::builder().model_in_memory("echo", files);
    /// let _server = builder.log(move |record| sender.send((record.level, record.message.to_owned())).unwrap()).start()?;
    /// let (level, message) = receiver.recv().unwrap();
    /// assert!(level >= LogLevel::Warning && message.contains("nowhere"));
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn log(mut self, sink: impl Fn(LogRecord<'_>) + Send + Sync + 'static) -> Self {
        self.log = Log::to(sink);
        self
    }

    /// Who may execute besides the workers, for models whose config does not say.
    pub fn caller_runs(mut self, caller_runs: CallerRuns) -> Self {
        self.options.caller_runs = caller_runs;
        self
    }

    /// How many models are loaded at once; by default one less than there are cores.
    pub fn load_threads_max(mut self, threads: usize) -> Self {
        self.options.load_threads_max = threads.max(1);
        self
    }

    /// How many threads one execution may use; 1 by default, which serves several requests at once best.
    pub fn execution_threads_max(mut self, threads: usize) -> Self {
        self.options.execution_threads_max = threads.max(1);
        self
    }

    /// How many turns a thread spins before it sleeps, at most; 0 for none. Nothing spins on a single core.
    pub fn spin_max(mut self, turns: u32) -> Self {
        self.tuning.spin_max = turns;
        self
    }

    /// Up to how many bytes a request's part of a batch's output is copied into its response; a larger one is a view that
    /// keeps the whole output alive. 4096 by default.
    pub fn small_output_len_max(mut self, len: usize) -> Self {
        self.tuning.small_output_len_max = len;
        self
    }

    /// Traces one in so many requests; 0, the default, for none.
    pub fn trace_every(mut self, requests: u32) -> Self {
        self.trace_every = requests;
        self
    }

    /// Goes by a clock that stands still until it is advanced, for tests.
    pub fn manual_clock(mut self, clock: &ManualClock) -> Self {
        self.clock = Clock::Manual(clock.clone());
        self
    }

    /// Loads everything and serves. Blocks until each model is loaded or has failed.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`] or [`crate::ErrorKind::InvalidArg`] for a folder or file that is not one; a model
    /// that fails to load does not fail the start, unless [`ServerBuilder::strict`] says so.
    pub fn start(self) -> Result<ServerHandle, Error> {
        let mut found =
            if self.repositories.is_empty() { Found::default() } else { repository::scan(&self.repositories)? };
        let files = self.files.iter().map(|file| repository::open_file(file));
        let in_memory = self.in_memory.into_iter().map(|(name, files)| repository::in_memory(&name, files));
        for model in files.chain(in_memory) {
            let model = model?;
            let name = model.name.clone();
            if found.models.insert(name.clone(), model).is_some() {
                return Err(Error::new(ErrorKind::AlreadyExists, format!("model '{name}' is there twice")));
            }
        }
        let log = Arc::new(self.log);
        let services = Arc::new(Services {
            workers: Workers::new(self.tuning.spin_max, self.tuning.workers_max, log.clone()),
            timekeeper: Timekeeper::new(self.clock.clone()),
            messenger: Messenger::new(),
            blocks: BlockPool::new(),
            gate: Box::new(OpenGate::new()),
            tracer: Tracer::new(self.trace_every),
            drained: Arc::new(Doorbell::new()),
            clock: self.clock,
            tuning: self.tuning,
            log,
        });
        let (is_stopping, stopper) = (AtomicBool::new(false), Mutex::new(()));
        let (leaving, abandoned) = (Mutex::new(Vec::new()), Mutex::new(Vec::new()));
        let catalog = Catalog::new();
        let inner = Inner { services, options: self.options, catalog, is_stopping, stopper, leaving, abandoned };
        let loader = Loader { services: &inner.services, options: &inner.options, serial: Mutex::new(()) };
        loader.load_all(found, &inner.catalog)?;
        Ok(ServerHandle { inner: Arc::new(inner) })
    }
}
