//! How a server is started: options, then folders and files, then everything at once.

use super::budget::{Place, Use};
use super::catalog::Catalog;
use super::control::Control;
use super::gate::OpenGate;
use super::jobs::Jobs;
use super::metrics::Metrics;
use super::operation::Operations;
use super::paging::Pager;
use super::retire::Retiring;
use super::source::Origin;
use super::status::Progress;
use super::watching::{PollOptions, Repository, Watching};
use super::{Inner, Owner, ServerHandle};
use crate::backend::{self, BackendOptions, Surroundings, TrustedTable};
use crate::config::CallerRuns;
use crate::flow::{Messenger, Services, Timekeeper, Tuning, Unlisted, Workers};
use crate::memory::BlockPool;
use crate::observe::{Log, LogRecord, Tracer};
use crate::repository::{self, Found, Replica, Repositories, Trust};
use crate::sync::{AtomicBool, AtomicU64, Bells, Clock, ManualClock, Mutex, thread};
use inferlay_backend_sdk::{Backend, Error, ErrorKind};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

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
    repositories: Vec<Repository>,
    files: Vec<PathBuf>,
    in_memory: Vec<(String, MemoryModel)>,
    config_name: Option<String>,
    tables: Vec<TrustedTable>,
    control: Control,
    budget: Use,
    pinned: BTreeSet<String>,
    pub(super) options: Options,
    log: Log,
    clock: Clock,
    tuning: Tuning,
    trace_every: u32,
}

/// What loading and lanes go by.
pub(super) struct Options {
    pub(super) backends: Vec<Arc<dyn Backend>>,
    /// Where others are looked for.
    pub(super) directories: backend::Directories,
    /// Options of plugins, by the name of the backend.
    backend_options: Arc<BackendOptions>,
    pub(super) is_strict: bool,
    pub(super) caller_runs: CallerRuns,
    pub(super) load_threads_max: usize,
    pub(super) execution_threads_max: usize,
    pub(super) trust: Trust,
    /// Repositories that lie elsewhere.
    pub(super) sources: Vec<Origin>,
    /// Their copies, which are kept as long as the server is there.
    replicas: Vec<Replica>,
    /// How long a version that was replaced or unloaded may take to answer what it has.
    pub(super) retire_timeout: Duration,
    progress: Option<Box<ProgressFn>>,
}

/// The files of a model, by name.
type MemoryModel = Vec<(String, Vec<u8>)>;

type ProgressFn = dyn Fn(&Progress<'_>) + Send + Sync;

impl Options {
    /// Adds a backend, in the place of one of the same name.
    fn add(&mut self, backend: Arc<dyn Backend>) {
        self.backends.retain(|known| known.name() != backend.name());
        self.backends.insert(0, backend);
    }

    /// What a backend behind a table is given of the server.
    pub(super) fn surroundings(&self, log: &Arc<Log>, clock: &Clock) -> Surroundings {
        let (threads_max, options) = (self.execution_threads_max, self.backend_options.clone());
        Surroundings { log: log.clone(), clock: clock.clone(), threads_max, options }
    }

    pub(super) fn report(&self, progress: &Progress<'_>) {
        if let Some(report) = &self.progress {
            report(progress);
        }
    }
}

/// Enough turns to cover an answer that comes within some ten microseconds.
const SPIN_MAX: u32 = 2_000;

/// As long as the longest answers take.
const RETIRE_TIMEOUT: Duration = Duration::from_secs(300);

impl Default for ServerBuilder {
    fn default() -> Self {
        let options = Options {
            backends: backend::builtin(),
            directories: backend::Directories::default(),
            backend_options: Arc::default(),
            is_strict: false,
            caller_runs: CallerRuns::OwnRequest,
            load_threads_max: thread::cores().saturating_sub(1).max(1),
            execution_threads_max: 1,
            trust: Trust::default(),
            sources: Vec::new(),
            replicas: Vec::new(),
            retire_timeout: RETIRE_TIMEOUT,
            progress: None,
        };
        ServerBuilder {
            repositories: Vec::new(),
            files: Vec::new(),
            in_memory: Vec::new(),
            config_name: None,
            tables: Vec::new(),
            control: Control::default(),
            budget: Use::default(),
            pinned: BTreeSet::new(),
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
    ///
    /// # Examples
    /// ```
    /// # use inferlay::ServerHandle;
    /// # let folder = std::env::temp_dir().join(format!("inferlay-doc-repository-{}", std::process::id()));
    /// # std::fs::create_dir_all(folder.join("echo/1")).unwrap();
    /// # let config = "{backend: 'null', input: {name: x, data_type: FP32, dims: 2}}";
    /// # std::fs::write(folder.join("echo/config.yaml"), config).unwrap();
    /// // <folder>/echo/config.yaml and <folder>/echo/1/
    /// let server = ServerHandle::builder().repository(&folder).start()?;
    /// assert_eq!(server.model("echo")?.version()?, 1);
    /// # std::fs::remove_dir_all(folder).unwrap();
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn repository(mut self, folder: impl Into<PathBuf>) -> Self {
        self.repositories.push(Repository::at(folder));
        self
    }

    /// Adds a repository whose models are served under other names, or that lies in several folders.
    ///
    /// # Examples
    /// ```
    /// # use inferlay::{Repository, ServerHandle};
    /// let repository = Repository::at("examples/models").namespace("shapes");
    /// let server = ServerHandle::builder().explicit([""; 0]).repository_with(repository).start()?;
    /// assert_eq!(server.models()[0].name, "shapes/digits");
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn repository_with(mut self, repository: Repository) -> Self {
        self.repositories.push(repository);
        self
    }

    /// Watches the repositories while the server runs: models are loaded, replaced and unloaded as their files come, change
    /// and go. A change is acted on when it is whole (see [`PollOptions`]), and a model that fails to load leaves the one
    /// that serves in its place. Else all are loaded at the start, and looked at again by [`ServerHandle::poll`].
    ///
    /// # Examples
    /// ```
    /// # use inferlay::{PollOptions, ServerHandle};
    /// let server = ServerHandle::builder().repository("examples/models").poll(PollOptions::new()).start()?;
    /// assert_eq!(server.models()[0].name, "digits");
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn poll(mut self, options: PollOptions) -> Self {
        self.control = Control::Poll(options);
        self
    }

    /// Loads one model from one file; it is named by the file's stem.
    ///
    /// # Examples
    /// ```
    /// use inferlay::ServerHandle;
    /// let server = ServerHandle::builder().model_file("examples/models/digits/1/model.onnx").start()?;
    /// assert_eq!(server.models()[0].name, "model");
    /// # Ok::<(), inferlay::Error>(())
    /// ```
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
    ///
    /// # Examples
    /// ```
    /// # use inferlay::{Backend, Error, ServerHandle};
    /// # use inferlay_backend_sdk::{Model, ModelSource};
    /// # use std::sync::Arc;
    /// # struct Mirror;
    /// # impl Backend for Mirror {
    /// #     fn name(&self) -> &str { "mirror" }
    /// #     fn version(&self) -> &str { "1" }
    /// #     fn file_names(&self) -> &[&str] { &[] }
    /// #     fn load(&self, source: &ModelSource<'_>) -> Result<Box<dyn Model>, Error> {
    /// #         inferlay_backend_null::NullBackend.load(source)
    /// #     }
    /// # }
    /// // `Mirror` implements `Backend` and is named "mirror".
    /// let config = b"{backend: mirror, input: {name: x, data_type: FP32, dims: 2}}".to_vec();
    /// let builder = ServerHandle::builder().model_in_memory("m", [("config.yaml", config)]);
    /// let server = builder.backend(Arc::new(Mirror)).strict().start()?;
    /// assert_eq!(server.model("m")?.config()?.backend, "mirror");
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn backend(mut self, backend: Arc<dyn Backend>) -> Self {
        self.options.add(backend);
        self
    }

    /// Adds the backend of a table in memory. One of the same name as a linked one takes its place.
    #[cfg_attr(any(loom, not(any(feature = "capi", test))), allow(dead_code, reason = "for applications in C"))]
    pub(crate) fn backend_table(mut self, table: TrustedTable) -> Self {
        self.tables.push(table);
        self
    }

    /// Looks in this directory for backends that are not linked in: a model whose config says `backend: foo` is served by
    /// `libinferlay_backend_foo.so`. Several are searched in the order in which they are given; without any, it is
    /// `inferlay/backends` beside the executable or shared library that holds the engine. Its files run as part of this
    /// process, so only its owner should be able to write there. A model's own folder is never searched.
    ///
    /// # Examples
    /// ```
    /// use inferlay::ServerHandle;
    /// let config = b"{backend: elsewhere, input: {name: x, data_type: FP32, dims: 2}}";
    /// let builder = ServerHandle::builder().model_in_memory("echo", [("config.yaml", config.to_vec())]);
    /// let error = builder.backend_directory("/opt/backends").strict().start().unwrap_err();
    /// assert!(error.message().contains("found no 'libinferlay_backend_elsewhere.so' in: /opt/backends"));
    /// ```
    pub fn backend_directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.options.directories.add(directory.into());
        self
    }

    /// An option for a backend that is loaded from a directory, such as `library` for `onnxruntime`, which names the file
    /// of its runtime; the backend's own page lists them. A later one of the same name takes the place of the first.
    ///
    /// What a backend does not know fails the models that need it. A backend that is linked in, or given by
    /// [`ServerBuilder::backend`], has its options already.
    ///
    /// # Examples
    /// ```
    /// use inferlay::ServerHandle;
    /// let builder = ServerHandle::builder().backend_option("onnxruntime", "intra_op_thread_count", "2");
    /// assert!(builder.start()?.is_live());
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn backend_option(
        mut self,
        backend: impl Into<String>,
        name: impl Into<String>,
        value: impl Into<String>,
    ) -> Self {
        let options = Arc::make_mut(&mut self.options.backend_options).entry(backend.into()).or_default();
        options.insert(name.into(), value.into());
        self
    }

    /// Loads only what is asked for: these models of the repositories at the start, others by
    /// [`ServerHandle::load_model`]. Else all are loaded at the start.
    ///
    /// # Examples
    /// ```
    /// use inferlay::{ModelState, ServerHandle};
    /// let server = ServerHandle::builder().repository("examples/models").explicit([""; 0]).start()?;
    /// assert_eq!(server.models()[0].state, ModelState::Unknown);
    /// assert!(server.is_ready(), "nothing was to be loaded");
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn explicit<N: Into<String>>(mut self, models: impl IntoIterator<Item = N>) -> Self {
        self.control = Control::Explicit(models.into_iter().map(Into::into).collect());
        self
    }

    /// Keeps what models use of the host's memory within so many bytes: they are loaded when they are first asked (those
    /// whose config states backend, inputs, outputs and `max_batch_size`; others at once, to learn these), and the least
    /// recently used go, when they are idle, to make room. A request for a model that is not in memory waits for it, with
    /// its deadline. What a model uses is what its backend reports, else the size of its files. The memory of requests
    /// and responses does not count.
    ///
    /// # Examples
    /// ```
    /// # use inferlay::ServerHandle;
    /// let server = ServerHandle::builder().repository("examples/models").memory_budget(2 << 30).start()?;
    /// assert_eq!(server.paging().budget_bytes, 2 << 30);
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn memory_budget(mut self, bytes: u64) -> Self {
        self.budget.set(Place::Host, bytes);
        self
    }

    /// The same for the memory of a device.
    ///
    /// # Examples
    /// ```
    /// # use inferlay::ServerHandle;
    /// let server = ServerHandle::builder().device_memory_budget(0, 20 << 30).start()?;
    /// # assert_eq!(server.paging().budget_bytes, 0);
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn device_memory_budget(mut self, device: u32, bytes: u64) -> Self {
        self.budget.set(Place::Device(device), bytes);
        self
    }

    /// Has a model stay in memory, whatever the budget: it is loaded at the start and never goes.
    ///
    /// # Examples
    /// ```
    /// # use inferlay::ServerHandle;
    /// let server = ServerHandle::builder().memory_budget(2 << 30).pin("detector").start()?;
    /// # assert!(server.is_ready());
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn pin(mut self, model: impl Into<String>) -> Self {
        self.pinned.insert(model.into());
        self
    }

    /// How long a version that was replaced or unloaded may take to answer what it has; then that is answered with an
    /// error. Five minutes unless set.
    ///
    /// # Examples
    /// ```
    /// # use inferlay::ServerHandle;
    /// # use std::time::Duration;
    /// let builder = ServerHandle::builder().retire_timeout(Duration::from_secs(30));
    /// # builder.start()?;
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn retire_timeout(mut self, timeout: Duration) -> Self {
        self.options.retire_timeout = timeout;
        self
    }

    /// Reads `configs/<name>.yaml` of each model that has it (also `.yml`, `.json` or `.pbtxt`) in the place of its
    /// `config.yaml`: one repository for machines that differ.
    ///
    /// # Examples
    /// ```
    /// use inferlay::ServerHandle;
    /// let config = |size| {
    ///     let x = "{name: x, data_type: FP32, dims: 2}";
    ///     format!("{{backend: 'null', max_batch_size: {size}, input: {x}}}").into_bytes()
    /// };
    /// let files = || [("config.yaml", config(1)), ("configs/large.yaml", config(64))];
    /// let server = ServerHandle::builder().model_in_memory("m", files()).config_name("large").strict().start()?;
    /// assert_eq!(server.model("m")?.config()?.max_batch_size, 64);
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn config_name(mut self, name: impl Into<String>) -> Self {
        self.config_name = Some(name.into());
        self
    }

    /// Makes the start fail if any model fails to load, and models that ask for what is not served yet: see
    /// [`crate::config::PartialConfig::warnings`].
    ///
    /// # Examples
    /// ```
    /// use inferlay::{ModelState, ServerHandle};
    /// let files = || [("config.yaml", b"backend: nowhere".to_vec())];
    /// let server = ServerHandle::builder().model_in_memory("broken", files()).start()?;
    /// assert_eq!(server.models()[0].state, ModelState::Unavailable);
    /// assert!(ServerHandle::builder().model_in_memory("broken", files()).strict().start().is_err());
    /// # Ok::<(), inferlay::Error>(())
    /// ```
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
    ///
    /// # Examples
    /// ```
    /// # use inferlay::{Request, ServerHandle, Tensor};
    /// use inferlay::CallerRuns;
    /// # let config = b"{backend: 'null', input: {name: x, data_type: FP32, dims: 2}}".to_vec();
    /// # let builder = ServerHandle::builder().model_in_memory("echo", [("config.yaml", config)]);
    /// let server = builder.caller_runs(CallerRuns::Never).start()?;
    /// let x = Tensor::from_vec(vec![1.0f32, 2.0], [2])?;
    /// server.infer("echo", Request::new().input("x", x))?;
    /// assert_eq!(server.workers_len(), 1);
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn caller_runs(mut self, caller_runs: CallerRuns) -> Self {
        self.options.caller_runs = caller_runs;
        self
    }

    /// How many models are loaded at once; by default one less than there are cores, and at least one.
    ///
    /// # Examples
    /// ```
    /// use inferlay::ServerHandle;
    /// // One model after the other.
    /// let server = ServerHandle::builder().load_threads_max(1).start()?;
    /// assert!(server.is_ready());
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn load_threads_max(mut self, threads: usize) -> Self {
        self.options.load_threads_max = threads.max(1);
        self
    }

    /// How many threads one execution may use; 1 by default, which serves several requests at once best.
    ///
    /// # Examples
    /// ```
    /// use inferlay::ServerHandle;
    /// // For one request at a time that should use every core.
    /// let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    /// let server = ServerHandle::builder().execution_threads_max(cores).start()?;
    /// assert!(server.is_ready());
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn execution_threads_max(mut self, threads: usize) -> Self {
        self.options.execution_threads_max = threads.max(1);
        self
    }

    /// How many turns a thread spins before it sleeps, at most; 0 for none. Nothing spins on a single core.
    ///
    /// # Examples
    /// ```
    /// # use inferlay::{Request, ServerHandle, Tensor};
    /// # let config = b"{backend: 'null', input: {name: x, data_type: FP32, dims: 2}}".to_vec();
    /// # let builder = ServerHandle::builder().model_in_memory("echo", [("config.yaml", config)]);
    /// let x = Tensor::from_vec(vec![1.0f32, 2.0], [2])?;
    /// // Leaves the cores to others: threads sleep at once.
    /// let server = builder.spin_max(0).start()?;
    /// let future = server.infer_async("echo", Request::new().input("x", x))?;
    /// assert_eq!(future.wait()?.slice::<f32>("x")?, [1.0, 2.0]);
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn spin_max(mut self, turns: u32) -> Self {
        self.tuning.spin_max = turns;
        self
    }

    /// Up to how many bytes a request's part of a batch's output is copied into its response; a larger one is a view that
    /// keeps the whole output alive. 4096 by default.
    ///
    /// # Examples
    /// ```
    /// # use inferlay::{Request, ServerHandle, Tensor};
    /// # let config = "{backend: 'null', max_batch_size: 2, input: {name: x, data_type: FP32, dims: 2}, \
    /// #     dynamic_batching: {max_queue_delay_microseconds: 60000000}}";
    /// # let builder = ServerHandle::builder().model_in_memory("echo", [("config.yaml", config.into())]);
    /// let x = Tensor::from_vec(vec![1.0f32, 2.0], [1, 2])?;
    /// // Never copies: each response of a batch keeps the batch's whole output alive.
    /// let server = builder.small_output_len_max(0).start()?;
    /// let ask = || server.infer_async("echo", Request::new().input("x", x.clone()));
    /// let (first, second) = (ask()?, ask()?);
    /// assert_eq!(first.wait()?.slice::<f32>("x")?, second.wait()?.slice::<f32>("x")?);
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn small_output_len_max(mut self, len: usize) -> Self {
        self.tuning.small_output_len_max = len;
        self
    }

    /// Traces one in so many requests; 0, the default, for none.
    ///
    /// # Examples
    /// ```
    /// # use inferlay::{Request, ServerHandle, Tensor};
    /// # let config = b"{backend: 'null', input: {name: x, data_type: FP32, dims: 2}}".to_vec();
    /// # let builder = ServerHandle::builder().model_in_memory("echo", [("config.yaml", config)]);
    /// let x = Tensor::from_vec(vec![1.0f32, 2.0], [2])?;
    /// let server = builder.trace_every(2).start()?;
    /// let ask = || server.infer("echo", Request::new().input("x", x.clone()));
    /// assert!(ask()?.trace().is_some() && ask()?.trace().is_none() && ask()?.trace().is_some());
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn trace_every(mut self, requests: u32) -> Self {
        self.trace_every = requests;
        self
    }

    /// Goes by a clock that stands still until it is advanced, for tests.
    ///
    /// # Examples
    /// ```
    /// # use inferlay::{Request, ServerHandle, Tensor};
    /// use inferlay::ManualClock;
    /// # use std::time::Duration;
    /// # let config = "{backend: 'null', max_batch_size: 8, input: {name: x, data_type: FP32, dims: 2}, \
    /// #     dynamic_batching: {max_queue_delay_microseconds: 60000000}}";
    /// # let builder = ServerHandle::builder().model_in_memory("echo", [("config.yaml", config.into())]);
    /// let x = Tensor::from_vec(vec![1.0f32, 2.0], [1, 2])?;
    /// let clock = ManualClock::new();
    /// let server = builder.manual_clock(&clock).start()?;
    /// // The model waits for up to a minute to fill a batch.
    /// let future = server.infer_async("echo", Request::new().input("x", x))?;
    /// assert!(!future.is_ready());
    /// clock.advance(Duration::from_secs(60));
    /// assert_eq!(future.wait()?.slice::<f32>("x")?, [1.0, 2.0]);
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn manual_clock(mut self, clock: &ManualClock) -> Self {
        self.clock = Clock::Manual(clock.clone());
        self
    }

    /// Loads everything and serves. Blocks until each model is loaded or has failed.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`] or [`crate::ErrorKind::InvalidArg`] for a folder or file that is not one; a model
    /// that fails to load does not fail the start, unless [`ServerBuilder::strict`] says so.
    ///
    /// # Examples
    /// ```
    /// use inferlay::{ErrorKind, ServerHandle};
    /// let server = ServerHandle::builder().start()?;
    /// assert!(server.is_live() && server.models().is_empty());
    /// let error = ServerHandle::builder().repository("no/such/folder").start().unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::NotFound);
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn start(mut self) -> Result<ServerHandle, Error> {
        self.options.trust.check()?;
        let repositories = self.all_repositories()?;
        let mut found = self.found(&repositories)?;
        let log = Arc::new(self.log);
        for table in self.tables {
            let surroundings = self.options.surroundings(&log, &self.clock);
            self.options.add(table.begin(None, surroundings)?);
        }
        let services = Arc::new(Services {
            workers: Workers::new(self.tuning.spin_max, self.tuning.workers_max, log.clone()),
            timekeeper: Timekeeper::new(self.clock.clone()),
            messenger: Messenger::new(),
            blocks: BlockPool::new(),
            gate: Box::new(OpenGate),
            tracer: Tracer::new(self.trace_every),
            drained: Bells::default(),
            alarm: Mutex::new(None),
            unlisted: Unlisted::default(),
            clock: self.clock,
            tuning: self.tuning,
            log,
        });
        let catalog = Catalog::begin(services.clone());
        let inner = Arc::new(Inner {
            catalog,
            jobs: Jobs::new(self.options.load_threads_max),
            retiring: Retiring::new(services.clone()),
            pager: (!self.budget.is_empty()).then(|| Pager::new(self.budget, self.pinned)),
            repositories: Mutex::new(repositories),
            watching: Watching::default(),
            polls: matches!(self.control, Control::Poll(_)),
            is_explicit: matches!(self.control, Control::Explicit(_)),
            is_stopping: AtomicBool::new(false),
            stop_until: AtomicU64::new(u64::MAX),
            stopper: Mutex::new(false),
            serial: Mutex::new(()),
            metrics: Metrics::default(),
            operations: Operations::default(),
            options: self.options,
            services,
        });
        let server = ServerHandle { inner: Arc::new(Owner(inner)) };
        if let Control::Explicit(wanted) = &self.control {
            server.inner.hold_back(&mut found, wanted)?;
        }
        let inner = server.inner.shared();
        let known = inner.load_at_start(found)?;
        if !inner.is_explicit {
            inner.watching.keep(&inner, known);
        }
        if let Control::Poll(options) = &self.control {
            inner.watching.start(&inner, options)?;
        }
        Ok(server)
    }

    /// The models of repositories, of single files and from memory.
    pub(super) fn found(&mut self, repositories: &Repositories) -> Result<Found, Error> {
        let mut found = match self.repositories.is_empty() {
            true => Found::default(),
            false => repository::scan_all(repositories)?,
        };
        let in_memory = std::mem::take(&mut self.in_memory).into_iter();
        let in_memory = in_memory.map(|(name, files)| repository::in_memory(&name, files, repositories.config_name()));
        for model in self.files.iter().map(|file| repository::open_file(file)).chain(in_memory) {
            let model = model?;
            let name = model.name.clone();
            if found.models.insert(name.clone(), model).is_some() {
                return Err(Error::new(ErrorKind::AlreadyExists, format!("model '{name}' is there twice")));
            }
        }
        Ok(found)
    }

    pub(super) fn options(&self) -> &Options {
        &self.options
    }

    /// Brings what lies elsewhere here, and serves the copies.
    fn update_sources(&mut self) -> Result<(), Error> {
        for origin in std::mem::take(&mut self.options.sources) {
            let replica = origin.update()?;
            self.repositories.push(Repository::at(&replica.folder));
            self.options.replicas.push(replica);
        }
        Ok(())
    }

    pub(super) fn all_repositories(&mut self) -> Result<Repositories, Error> {
        self.update_sources()?;
        let marker = match &self.control {
            Control::Poll(options) => options.marker.clone(),
            Control::AtStart | Control::Explicit(_) => None,
        };
        let mut all = Repositories::new(marker)?.with_config_name(self.config_name.clone())?;
        for repository in &self.repositories {
            match all.add(repository.0.clone()) {
                // Spelt otherwise it is told of by the scan; either way it is one repository.
                Err(error) if error.kind() == ErrorKind::AlreadyExists && repository.0.served_as.is_empty() => {}
                added => added?,
            }
        }
        Ok(all)
    }
}
