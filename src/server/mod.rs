//! The hall, where the rooms meet: a server is a catalog of lanes, their shared services, and what loads them.
//!
//! The hall wires; decisions are pure functions of the room that owns them. A [`ServerHandle`] is a count of the server:
//! the last one to go stops it.

mod adapt;
mod anew;
mod back;
mod budget;
mod builder;
mod catalog;
mod control;
mod course;
mod events;
mod future;
mod gate;
mod hold;
mod jobs;
mod labels;
mod lifecycle;
mod lint;
#[cfg(all(test, not(loom)))]
mod live_tests;
mod load;
#[cfg(all(test, loom))]
mod loom_tests;
mod measure;
mod metrics;
mod model;
mod named;
mod operation;
mod page_in;
mod paging;
mod register;
mod replace;
mod responses;
mod restore;
mod retire;
mod room;
mod route;
mod served;
mod source;
mod spec;
mod status;
#[cfg(all(test, not(loom)))]
mod table_tests;
mod traffic;
#[cfg(all(test, not(loom)))]
mod traffic_tests;
#[cfg(feature = "integrity")]
mod trust;
mod version;
mod warmup;
mod watching;

pub use builder::ServerBuilder;
pub use control::LoadOptions;
#[cfg(feature = "capi")]
pub(crate) use events::ChangeCount;
pub use events::Subscription;
pub use future::ResponseFuture;
pub use lint::{Finding, Severity};
pub use model::ModelHandle;
#[cfg(feature = "capi")]
pub(crate) use operation::Callbacks;
pub use operation::Operation;
use operation::Operations;
pub use paging::PagingStatistics;
pub use responses::Responses;
pub use status::{BackendStatus, ModelMetadata, ModelState, ModelStatus, Progress, TensorMetadata};
pub use watching::{PollOptions, Repository};

use crate::backend::{ClosureModel, ModelBatch};
use crate::config::ModelConfig;
use crate::flow::{Refused, Request, Response, Services};
use crate::observe::ModelStatistics;
use crate::repository::{self, Repositories};
use crate::sync::{AtomicBool, AtomicU64, Mutex, Ordering, thread};
use builder::Options;
use catalog::{Catalog, Entry};
use inferlay_backend_sdk::{Error, ErrorKind};
use jobs::Jobs;
use paging::Pager;
use retire::Retiring;
use route::Choice;
use served::Served;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use version::Parting;
use watching::Watching;

const INSIDE: Error =
    Error::fixed(ErrorKind::FailedPrecondition, "nothing can be stopped from inside a callback or an execution");

const STOPPED: Error = Error::fixed(ErrorKind::Unavailable, "the server has stopped");

/// How long the last handle to go waits for requests on their way.
const DRAIN_AT_DROP: Duration = Duration::from_secs(5);

/// A model server in this process.
///
/// Cheap to clone and to use from any thread. When the last handle (of the server or of a model) goes, the server stops:
/// it drains for up to five seconds, then answers what is left with an error.
///
/// # Examples
/// ```
/// use inferlay::{DataType, ModelConfig, Request, ServerHandle};
/// let server = ServerHandle::builder().start()?;
/// let config = ModelConfig::new("double").input("x", DataType::Fp32, [2]).output("y", DataType::Fp32, [2]);
/// server.register_model(config, |batch| {
///     let x = batch.input("x")?.as_slice::<f32>()?;
///     let y = batch.output("y", [2])?.as_mut_slice::<f32>()?;
///     y.iter_mut().zip(x).for_each(|(y, x)| *y = 2.0 * x);
///     Ok(())
/// })?;
/// let x = [1.0f32, 2.0];
/// let request = Request::new().input("x", inferlay::Input::from_slice(&x, [2])?);
/// assert_eq!(server.infer("double", request)?.slice::<f32>("y")?, [2.0, 4.0]);
/// # Ok::<(), inferlay::Error>(())
/// ```
#[derive(Clone)]
pub struct ServerHandle {
    inner: Arc<Owner>,
}

/// What handles hold: the last one to go stops the server. Threads of the server hold the rest alone.
pub(crate) struct Owner(Arc<Inner>);

impl std::ops::Deref for Owner {
    type Target = Inner;

    fn deref(&self) -> &Inner {
        &self.0
    }
}

impl Owner {
    /// The server, for a thread of its own.
    fn shared(&self) -> Arc<Inner> {
        self.0.clone()
    }
}

pub(crate) struct Inner {
    operations: Operations,
    services: Arc<Services>,
    options: Options,
    catalog: Arc<Catalog>,
    /// Loads that were asked for.
    jobs: Jobs,
    /// Versions that were taken out of the catalog and may still have requests on their way.
    retiring: Retiring,
    /// What keeps models within a budget of memory, if there is one.
    pager: Option<Arc<Pager>>,
    /// The folders of models.
    repositories: Mutex<Repositories>,
    watching: Watching,
    is_explicit: bool,
    /// Whether it watches its repositories from the start.
    polls: bool,
    is_stopping: AtomicBool,
    /// When a stop ends all waiting for lanes to drain, also that of whoever removes a model.
    stop_until: AtomicU64,
    /// Held by the one who stops. Whether the server has stopped.
    stopper: Mutex<bool>,
    /// Held while a backend loads that cannot load in parallel.
    serial: Mutex<()>,
    metrics: metrics::Metrics,
}

impl ServerHandle {
    /// Options for a server.
    ///
    /// # Examples
    /// ```
    /// use inferlay::ServerHandle;
    /// let builder = ServerHandle::builder().trace_every(1000).load_threads_max(2);
    /// let server = builder.start()?;
    /// assert!(server.is_live() && server.models().is_empty());
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn builder() -> ServerBuilder {
        ServerBuilder::default()
    }

    /// Serves a folder of models, or one model file.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] when there is no such path, and what [`ServerBuilder::start`] returns. The one model of a
    /// file must load; of a folder, a model that does not is listed as unavailable.
    ///
    /// # Examples
    /// ```
    /// use inferlay::{ErrorKind, ServerHandle};
    /// let server = ServerHandle::open("examples/models")?;
    /// assert_eq!(server.models()[0].name, "digits");
    /// assert_eq!(ServerHandle::open("no/such/folder").unwrap_err().kind(), ErrorKind::NotFound);
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        if path.is_file() {
            return Self::builder().model_file(path).strict().start();
        }
        Self::builder().repository(path).start()
    }

    /// A handle on a model, which serves its highest version; or, with [`ServerHandle::set_traffic`], several.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] with the names that are known; [`ErrorKind::Unavailable`] with the reason.
    ///
    /// # Examples
    /// ```
    /// # use inferlay::{Request, ServerHandle, Tensor};
    /// # let config = b"{backend: 'null', input: {name: x, data_type: FP32, dims: 2}}".to_vec();
    /// # let server = ServerHandle::builder().model_in_memory("echo", [("config.yaml", config)]).strict().start()?;
    /// // The model's outputs are its inputs.
    /// let x = Tensor::from_vec(vec![1.0f32, 2.0], [2])?;
    /// let echo = server.model("echo")?;
    /// assert_eq!(echo.infer(Request::new().input("x", x))?.slice::<f32>("x")?, [1.0, 2.0]);
    /// assert!(server.model("ecko").unwrap_err().message().contains("echo"));
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn model(&self, name: &str) -> Result<ModelHandle, Error> {
        ModelHandle::new(self.inner.clone(), self.inner.catalog.entry(name)?, Choice::Any)
    }

    /// A handle on one version of a model.
    ///
    /// # Errors
    /// As for [`ServerHandle::model`].
    ///
    /// # Examples
    /// ```
    /// # use inferlay::ServerHandle;
    /// # let config = b"{backend: 'null', input: {name: x, data_type: FP32, dims: 2}}".to_vec();
    /// # let server = ServerHandle::builder().model_in_memory("echo", [("config.yaml", config)]).strict().start()?;
    /// use inferlay::ErrorKind;
    /// assert_eq!(server.model_version("echo", 1)?.version()?, 1);
    /// assert_eq!(server.model_version("echo", 7).unwrap_err().kind(), ErrorKind::NotFound);
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn model_version(&self, name: &str, version: u64) -> Result<ModelHandle, Error> {
        ModelHandle::new(self.inner.clone(), self.inner.catalog.entry(name)?, Choice::Number(version))
    }

    /// Runs one request and waits for the answer; see [`ModelHandle::infer`]. A handle saves the look-up of the name.
    ///
    /// # Errors
    /// As for [`ServerHandle::model`] and [`ModelHandle::infer`].
    ///
    /// # Examples
    /// ```
    /// # use inferlay::{Request, ServerHandle, Tensor};
    /// # let config = b"{backend: 'null', input: {name: x, data_type: FP32, dims: 2}}".to_vec();
    /// # let server = ServerHandle::builder().model_in_memory("echo", [("config.yaml", config)]).strict().start()?;
    /// // The model's outputs are its inputs.
    /// let x = Tensor::from_vec(vec![1.0f32, 2.0], [2])?;
    /// let response = server.infer("echo", Request::new().input("x", x))?;
    /// assert_eq!(response.slice::<f32>("x")?, [1.0, 2.0]);
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn infer(&self, model: &str, request: Request<'_>) -> Result<Response, Error> {
        self.model(model)?.infer(request)
    }

    /// Submits one request and returns at once; see [`ModelHandle::infer_async`].
    ///
    /// # Errors
    /// As for [`ServerHandle::model`] and [`ModelHandle::infer_async`]; the refusal gives the request back.
    ///
    /// # Examples
    /// ```
    /// # use inferlay::{Request, ServerHandle, Tensor};
    /// # let config = b"{backend: 'null', input: {name: x, data_type: FP32, dims: 2}}".to_vec();
    /// # let server = ServerHandle::builder().model_in_memory("echo", [("config.yaml", config)]).strict().start()?;
    /// // The model's outputs are its inputs.
    /// let x = Tensor::from_vec(vec![1.0f32, 2.0], [2])?;
    /// let request = Request::new().input("x", x);
    /// let refused = server.infer_async("ecko", request).unwrap_err();
    /// let future = server.infer_async("echo", refused.request)?;
    /// assert_eq!(future.wait()?.slice::<f32>("x")?, [1.0, 2.0]);
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn infer_async(&self, model: &str, request: Request<'static>) -> Result<ResponseFuture, Refused<'static>> {
        match self.model(model) {
            Ok(model) => model.infer_async(request),
            Err(error) => Err(Refused { error, request }),
        }
    }

    /// Makes a model of a function: it gets batching, queueing, deadlines and statistics like any other.
    ///
    /// The function is called with whole batches, by as many threads at once as the config has instances. An error or a
    /// panic answers its batch, and the model goes on serving; only after [`ErrorKind::InstanceLost`] the instance is given
    /// no more, and without another one the model is out of service.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArg`] for a config that contradicts itself; [`ErrorKind::AlreadyExists`] when the name is
    /// taken; [`ErrorKind::Unavailable`] when the server stops.
    ///
    /// # Examples
    /// ```
    /// use inferlay::{DataType, ModelConfig, Request, ServerHandle, Tensor};
    /// let server = ServerHandle::builder().start()?;
    /// let config = ModelConfig::new("length").input("text", DataType::Bytes, [1]).output("len", DataType::Int64, [1]);
    /// let length = server.register_model(config, |batch| {
    ///     let len: i64 = batch.input("text")?.strings()?.map(|text| text.len() as i64).sum();
    ///     batch.set_output("len", Tensor::from_vec(vec![len], [1])?)
    /// })?;
    /// let request = Request::new().input("text", Tensor::from_strings(["to be"], [1])?);
    /// assert_eq!(length.infer(request)?.slice::<i64>("len")?, [5]);
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn register_model(
        &self,
        config: ModelConfig,
        function: impl Fn(&ModelBatch<'_>) -> Result<(), Error> + Send + Sync + 'static,
    ) -> Result<ModelHandle, Error> {
        let model = Arc::new(ClosureModel::new(load::stated(&config), function));
        self.register(config, model, None)
    }

    /// Stops serving a model and lets it go: what waits is drained for up to `within`, then answered with an error. Blocks
    /// until the memory is back; the model is then no longer in the index.
    ///
    /// # Errors
    /// As for [`ServerHandle::stop`], and [`ErrorKind::NotFound`].
    ///
    /// # Examples
    /// ```
    /// # #[allow(unused_imports)]
    /// # use inferlay::{DataType, Input, ModelConfig, Request, ServerHandle, Tensor};
    /// # let server = ServerHandle::builder().start()?;
    /// # let config = ModelConfig::new("double").input("x", DataType::Fp32, [2]).output("y", DataType::Fp32, [2]);
    /// # let double = |batch: &inferlay::ModelBatch<'_>| {
    /// #     let x = batch.input("x")?.as_slice::<f32>()?;
    /// #     let y = batch.output("y", [2])?.as_mut_slice::<f32>()?;
    /// #     y.iter_mut().zip(x).for_each(|(y, x)| *y = 2.0 * x);
    /// #     Ok(())
    /// # };
    /// # let model = server.register_model(config, double)?;
    /// server.remove_model("double", std::time::Duration::from_secs(1))?;
    /// assert!(server.model("double").is_err() && !model.is_ready());
    /// assert!(server.is_live());
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn remove_model(&self, name: &str, within: Duration) -> Result<(), Error> {
        if thread::is_inside() {
            return Err(INSIDE);
        }
        let entry = self.inner.catalog.entry(name)?;
        if entry.served().is_empty() {
            return Err(Error::not_found(format!("model '{name}' does not serve")));
        }
        let operation = self.inner.unload_within(&entry, within, Parting::Forgotten);
        operation.wait()
    }

    /// Whether it takes requests at all.
    ///
    /// # Examples
    /// ```
    /// use inferlay::ServerHandle;
    /// use std::time::Duration;
    /// let server = ServerHandle::builder().start()?;
    /// assert!(server.is_live());
    /// server.stop(Duration::from_secs(1))?;
    /// assert!(!server.is_live());
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn is_live(&self) -> bool {
        !self.inner.is_stopping()
    }

    /// Whether it is live and every model that was to be loaded serves, by some version at least: not one that failed, is
    /// still being loaded, or is stuck. Models that were unloaded, or never asked for, do not count.
    ///
    /// # Examples
    /// ```
    /// use inferlay::ServerHandle;
    /// let files = [("config.yaml", b"backend: nowhere".to_vec())];
    /// let server = ServerHandle::builder().model_in_memory("broken", files).start()?;
    /// assert!(server.is_live() && !server.is_ready());
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn is_ready(&self) -> bool {
        self.is_live() && self.inner.catalog.entries().iter().all(|entry| entry.is_as_wanted())
    }

    /// Every version of every model, with its state and the reason for it.
    ///
    /// # Examples
    /// ```
    /// # #[allow(unused_imports)]
    /// # use inferlay::{DataType, Input, ModelConfig, Request, ServerHandle, Tensor};
    /// # let server = ServerHandle::builder().start()?;
    /// # let config = ModelConfig::new("double").input("x", DataType::Fp32, [2]).output("y", DataType::Fp32, [2]);
    /// # let double = |batch: &inferlay::ModelBatch<'_>| {
    /// #     let x = batch.input("x")?.as_slice::<f32>()?;
    /// #     let y = batch.output("y", [2])?.as_mut_slice::<f32>()?;
    /// #     y.iter_mut().zip(x).for_each(|(y, x)| *y = 2.0 * x);
    /// #     Ok(())
    /// # };
    /// # let model = server.register_model(config, double)?;
    /// use inferlay::ModelState;
    /// let models = server.models();
    /// assert_eq!((&models[0].name[..], models[0].version, models[0].state), ("double", 1, ModelState::Ready));
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn models(&self) -> Vec<ModelStatus> {
        self.inner.catalog.index()
    }

    /// Loads one model of one file, named by the file's stem, while the server runs. Blocks until it is loaded.
    ///
    /// # Errors
    /// [`ErrorKind::NotFound`] or [`ErrorKind::InvalidArg`] for what is not a model's file;
    /// [`ErrorKind::AlreadyExists`] when the name is taken; [`ErrorKind::Unavailable`] when the server stops; and
    /// whatever keeps the model from serving.
    ///
    /// # Examples
    /// ```
    /// # use inferlay::{ErrorKind, ServerHandle};
    /// let server = ServerHandle::builder().start()?;
    /// assert_eq!(server.load_file("nowhere/model.onnx").unwrap_err().kind(), ErrorKind::NotFound);
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn load_file(&self, file: impl AsRef<Path>) -> Result<ModelHandle, Error> {
        let found = repository::open_file(file.as_ref())?;
        if !self.is_live() {
            return Err(STOPPED);
        }
        let name = found.name.clone();
        let at = |error: Error| error.at(format_args!("model '{}'", name.escape_debug()));
        let entry = self.inner.catalog.entry_or_new(&found.name);
        let (version, served) = self.inner.shared().load_only(&entry, found).map_err(at)?;
        if let Err(error) = entry.put_first(version, served.clone(), &self.inner.catalog.events) {
            served.lane.begin_stop();
            served.end_stop();
            return Err(error);
        }
        self.inner.give_up_if_stopping(&entry)?;
        self.model(&name)
    }

    /// What every version that serves has done since it was loaded.
    ///
    /// # Examples
    /// ```
    /// let server = inferlay::ServerHandle::builder().start()?;
    /// assert!(server.statistics().is_empty());
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn statistics(&self) -> Vec<ModelStatistics> {
        self.inner.catalog.served().iter().map(|served| served.lane.statistics()).collect()
    }

    /// The backends there are, in the order in which they are asked whether a file is theirs; then those that were
    /// loaded from backend directories, by name.
    ///
    /// # Examples
    /// ```
    /// let server = inferlay::ServerHandle::builder().start()?;
    /// assert!(server.backends().iter().any(|backend| backend.name == "null"));
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn backends(&self) -> Vec<BackendStatus> {
        let (linked, loaded) = (&self.inner.options.backends, self.inner.options.directories.found());
        linked.iter().chain(&loaded).map(|backend| BackendStatus::new(&**backend)).collect()
    }

    /// Traces one in so many requests from now on; 0: none but those that ask for it.
    ///
    /// # Examples
    /// ```
    /// # use inferlay::{Request, ServerHandle, Tensor};
    /// # let config = b"{backend: 'null', input: {name: x, data_type: FP32, dims: 2}}".to_vec();
    /// # let server = ServerHandle::builder().model_in_memory("echo", [("config.yaml", config)]).strict().start()?;
    /// // The model's outputs are its inputs.
    /// let x = Tensor::from_vec(vec![1.0f32, 2.0], [2])?;
    /// server.set_trace_every(1);
    /// assert!(server.infer("echo", Request::new().input("x", x.clone()))?.trace().is_some());
    /// server.set_trace_every(0);
    /// assert!(server.infer("echo", Request::new().input("x", x))?.trace().is_none());
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn set_trace_every(&self, requests: u32) {
        self.inner.services.tracer.set_every(requests);
    }

    /// The traces of the last requests that were traced, as JSON that Perfetto and Chrome (`chrome://tracing`) read.
    ///
    /// # Examples
    /// ```
    /// # #[allow(unused_imports)]
    /// # use inferlay::{DataType, Input, ModelConfig, Request, ServerHandle, Tensor};
    /// # let server = ServerHandle::builder().start()?;
    /// # let config = ModelConfig::new("double").input("x", DataType::Fp32, [2]).output("y", DataType::Fp32, [2]);
    /// # let double = |batch: &inferlay::ModelBatch<'_>| {
    /// #     let x = batch.input("x")?.as_slice::<f32>()?;
    /// #     let y = batch.output("y", [2])?.as_mut_slice::<f32>()?;
    /// #     y.iter_mut().zip(x).for_each(|(y, x)| *y = 2.0 * x);
    /// #     Ok(())
    /// # };
    /// # let model = server.register_model(config, double)?;
    /// let request = Request::new().input("x", Tensor::from_vec(vec![1.0f32, 2.0], [2])?);
    /// model.infer(request.id("first").traced())?;
    /// assert!(server.traces_json().contains("first"));
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn traces_json(&self) -> String {
        self.inner.services.tracer.to_json()
    }

    /// How many worker threads run or sleep now. Idle models need none.
    ///
    /// # Examples
    /// ```
    /// # use inferlay::{Request, ServerHandle, Tensor};
    /// # let config = b"{backend: 'null', input: {name: x, data_type: FP32, dims: 2}}".to_vec();
    /// # let server = ServerHandle::builder().model_in_memory("echo", [("config.yaml", config)]).strict().start()?;
    /// // The model's outputs are its inputs.
    /// let x = Tensor::from_vec(vec![1.0f32, 2.0], [2])?;
    /// assert_eq!(server.workers_len(), 0);
    /// server.infer_async("echo", Request::new().input("x", x))?.wait()?;
    /// assert_eq!(server.workers_len(), 1);
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn workers_len(&self) -> usize {
        self.inner.services.workers.len()
    }

    /// Bytes of host memory that the engine's pools have taken from the system, idle ones included.
    ///
    /// # Examples
    /// ```
    /// # use inferlay::{Request, ServerHandle, Tensor};
    /// # let config = b"{backend: 'null', input: {name: x, data_type: FP32, dims: 2}}".to_vec();
    /// # let server = ServerHandle::builder().model_in_memory("echo", [("config.yaml", config)]).strict().start()?;
    /// // The model's outputs are its inputs.
    /// let x = Tensor::from_vec(vec![1.0f32, 2.0], [2])?;
    /// let before = server.pool_bytes();
    /// let response = server.infer("echo", Request::new().input("x", x))?;
    /// assert!(server.pool_bytes() > before);
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn pool_bytes(&self) -> usize {
        self.inner.services.blocks.bytes()
    }

    /// Stops: refuses what is new, drains for up to `within`, answers what is left with an error, ends the threads.
    ///
    /// After it returns no callback runs any more. An instance whose backend does not return is abandoned with its
    /// thread: its requests are answered as far as no memory of a waiting caller is lent to them, late answers go nowhere.
    /// Stopping again does nothing, but for waiting until the first stop is over.
    ///
    /// # Errors
    /// [`ErrorKind::Timeout`], naming the models, when something was left after `within`;
    /// [`ErrorKind::FailedPrecondition`] inside a callback or an execution, where it would wait for itself.
    ///
    /// # Examples
    /// ```
    /// # #[allow(unused_imports)]
    /// # use inferlay::{DataType, Input, ModelConfig, Request, ServerHandle, Tensor};
    /// # let server = ServerHandle::builder().start()?;
    /// # let config = ModelConfig::new("double").input("x", DataType::Fp32, [2]).output("y", DataType::Fp32, [2]);
    /// # let double = |batch: &inferlay::ModelBatch<'_>| {
    /// #     let x = batch.input("x")?.as_slice::<f32>()?;
    /// #     let y = batch.output("y", [2])?.as_mut_slice::<f32>()?;
    /// #     y.iter_mut().zip(x).for_each(|(y, x)| *y = 2.0 * x);
    /// #     Ok(())
    /// # };
    /// # let model = server.register_model(config, double)?;
    /// use inferlay::ErrorKind;
    /// use std::time::Duration;
    /// server.stop(Duration::from_secs(1))?;
    /// let request = Request::new().input("x", Tensor::from_vec(vec![1.0f32, 2.0], [2])?);
    /// assert_eq!(model.infer(request).unwrap_err().kind(), ErrorKind::Unavailable);
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn stop(&self, within: Duration) -> Result<(), Error> {
        if thread::is_inside() {
            return Err(INSIDE);
        }
        self.inner.stop(within)
    }
}

impl Inner {
    fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Acquire)
    }

    /// Takes back what was put into the catalog just now, if the server stops: whoever stops may have looked before.
    fn give_up_if_stopping(&self, entry: &Entry) -> Result<(), Error> {
        if !self.is_stopping() {
            return Ok(());
        }
        let (_, removed) = entry.take_out(&self.catalog.events);
        let left = self.stop_until.load(Ordering::Acquire).saturating_sub(self.services.clock.now());
        for (_, served) in removed {
            if left > 0 {
                // It serves, and the stop waits for what is under way there as for all the others.
                self.retiring.retire(served, Duration::from_nanos(left), |_| {});
            } else {
                served.lane.begin_stop();
                served.end_stop();
            }
        }
        Err(STOPPED)
    }

    fn stop(&self, within: Duration) -> Result<(), Error> {
        self.is_stopping.store(true, Ordering::Release);
        let until = self.stop_until.fetch_min(self.after(within), Ordering::AcqRel).min(self.after(within));
        self.services.drained.ring();
        let mut has_stopped = self.stopper.lock();
        if *has_stopped {
            return Ok(());
        }
        *has_stopped = true;
        self.watching.stop();
        // A load that is still under way then finds that the server stops, and drops what it has loaded.
        let has_loaded = self.jobs.stop(&self.services.clock, until);
        self.services.unlisted.end();
        let served = self.catalog.served();
        let drained = self.drain(&served, within);
        self.retiring.stop(until);
        // Only now: a thread that is out of its backend still tells whom it answers, and is waited for.
        self.services.workers.stop();
        self.services.messenger.settle();
        let abandoned = self.retiring.abandoned();
        served.iter().chain(&abandoned).for_each(|served| served.lane.mute());
        // A load may still be in its backend; whoever waits for it is told before the last callbacks run.
        self.operations.stop();
        #[cfg(feature = "capi")]
        self.operations.post_rest(&self.services.messenger);
        // Waits once more for workers: one may have come out of its backend before it was muted.
        self.services.stop();
        if !has_loaded {
            let message = format!("after {:?} a backend was still loading a model", status::rounded(within));
            return drained.and(Err(Error::new(ErrorKind::Timeout, message)));
        }
        drained
    }

    /// So long from now.
    fn after(&self, within: Duration) -> u64 {
        self.services.clock.now().saturating_add(u64::try_from(within.as_nanos()).unwrap_or(u64::MAX))
    }

    /// Stops lanes.
    fn drain(&self, lanes: &[Served], within: Duration) -> Result<(), Error> {
        lanes.iter().for_each(|served| served.lane.begin_stop());
        let own = self.after(within);
        let bell = self.services.drained.listen();
        let mut left: Vec<_> = lanes.iter().map(|served| &served.lane).collect();
        loop {
            left.retain(|lane| !lane.is_drained());
            let until = own.min(self.stop_until.load(Ordering::Acquire));
            if left.is_empty() || self.services.clock.now() >= until {
                break;
            }
            self.services.clock.wait(&bell, Some(until));
        }
        let places: Vec<_> = left.iter().map(|lane| lane.spec.place()).collect();
        lanes.iter().for_each(Served::end_stop);
        if places.is_empty() { Ok(()) } else { Err(status::left_behind(within, &places)) }
    }
}

impl Drop for Owner {
    fn drop(&mut self) {
        if !self.is_stopping() {
            let _left = self.stop(if thread::is_inside() { Duration::ZERO } else { DRAIN_AT_DROP });
        }
    }
}

impl std::fmt::Debug for ServerHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ServerHandle({} model versions)", self.models().len())
    }
}
