//! A handle on one model: resolves its name once, and again when what serves has changed.

use super::course::Course;
use super::future::ResponseFuture;
use super::hold::Hold;
use super::responses::Responses;
use super::route::{Choice, Plan};
use super::served::Served;
use super::status::ModelMetadata;
use super::{Owner, ServerHandle};
use crate::config::ModelConfig;
use crate::flow::{Delivery, Lane, Listener, Manner, Notify, Refused, Request, Response};
use crate::observe::ModelStatistics;
use crate::sync::{Callback, Mutex};
use inferlay_backend_sdk::{Error, ErrorKind, ResponseFlags};
use std::sync::Arc;

/// What a request that is on its way between two lanes was refused for; nobody sees it.
const MOVED: Error = Error::fixed(ErrorKind::Unavailable, "the model is being replaced");

/// A course, and the generation at which it was found.
type Dated = (u64, Arc<Course>);

/// A generation that never is.
const NEVER: u64 = u64::MAX;

/// What is to be given away once, to whoever takes the request.
struct Once<T>(Option<T>);

impl<T> Once<T> {
    fn new(value: T) -> Self {
        Once(Some(value))
    }

    fn take(&mut self) -> T {
        match self.0.take() {
            Some(value) => value,
            None => unreachable!("a request is taken once"),
        }
    }
}

/// A model of a server, by name and perhaps version or label.
///
/// Cheap to clone and to use from many threads. It resolves the name once; when another version begins to serve, a label
/// moves, or traffic is split, it follows, with one load per request to notice. It does not keep an old version's weights
/// alive. A handle made while things are as they stay is the fastest.
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
/// let handle = server.model("double")?;
/// let request = Request::new().input("x", Tensor::from_vec(vec![1.0f32, 2.0], [2])?);
/// assert_eq!(handle.infer(request)?.slice::<f32>("y")?, [2.0, 4.0]);
/// assert_eq!((handle.name(), handle.version()?), ("double", 1));
/// # Ok::<(), inferlay::Error>(())
/// ```
pub struct ModelHandle {
    inner: Arc<Owner>,
    entry: Hold,
    choice: Choice,
    /// What served when the handle was made, and the generation of that; [`NEVER`] if requests had more than one way to go.
    generation: u64,
    served: Served,
    /// Where requests go since then, once it has changed.
    newer: Arc<Mutex<Option<Dated>>>,
}

impl ModelHandle {
    pub(super) fn new(inner: Arc<Owner>, entry: Hold, choice: Choice) -> Result<Self, Error> {
        let generation = entry.generation();
        let course = entry.course(&choice)?;
        let served = course.main().clone();
        if course.is_plain() {
            return Ok(ModelHandle { inner, entry, choice, generation, served, newer: Arc::default() });
        }
        let newer = Arc::new(Mutex::new(Some((generation, course))));
        Ok(ModelHandle { inner, entry, choice, generation: NEVER, served, newer })
    }

    /// The model's name.
    ///
    /// # Examples
    /// ```
    /// # use inferlay::ServerHandle;
    /// # let config = b"{backend: 'null', input: {name: x, data_type: FP32, dims: 2}}".to_vec();
    /// # let server = ServerHandle::builder().model_in_memory("echo", [("config.yaml", config)]).strict().start()?;
    /// # let model = server.model("echo")?;
    /// assert_eq!(model.name(), "echo");
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn name(&self) -> &str {
        &self.served.config.name
    }

    /// The version that serves a request now; with traffic split between versions, the one that gets most of it. Which one
    /// has answered a request says [`Response::version`].
    ///
    /// # Errors
    /// [`crate::ErrorKind::Unavailable`] when none does any more.
    ///
    /// # Examples
    /// ```
    /// # use inferlay::ServerHandle;
    /// # let config = b"{backend: 'null', input: {name: x, data_type: FP32, dims: 2}}".to_vec();
    /// # let server = ServerHandle::builder().model_in_memory("echo", [("config.yaml", config)]).strict().start()?;
    /// # let model = server.model("echo")?;
    /// use std::time::Duration;
    /// assert_eq!(model.version()?, 1);
    /// server.remove_model("echo", Duration::from_secs(1))?;
    /// assert!(model.version().is_err());
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn version(&self) -> Result<u64, Error> {
        self.with(|served| served.lane.spec.version)
    }

    /// Runs one request and waits for the answer.
    ///
    /// If an instance is free and nothing waits, it executes on this thread, where the backend allows that. The request
    /// may borrow: when this returns, nothing of the engine reaches its memory any more.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidArg`] or [`crate::ErrorKind::NotFound`] for a request that the model does not take;
    /// [`crate::ErrorKind::ResourceExhausted`] when the queue is full; [`crate::ErrorKind::Timeout`],
    /// [`crate::ErrorKind::Cancelled`], or whatever the backend answers; [`crate::ErrorKind::FailedPrecondition`] inside
    /// a callback or an execution; [`crate::ErrorKind::Unsupported`] when a decoupled model does not send exactly one
    /// response. To get a refused request back, use [`ModelHandle::infer_async`].
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
    /// let x = [1.0f32, 2.0];
    /// let request = Request::new().input("x", Input::from_slice(&x, [2])?);
    /// let response = model.infer(request)?;
    /// assert_eq!(response.slice::<f32>("y")?, [2.0, 4.0]);
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn infer(&self, request: Request<'_>) -> Result<Response, Error> {
        self.send(request, |lane, request| lane.infer(request))?
    }

    /// Submits one request and returns at once, with a future for the answer.
    ///
    /// # Errors
    /// As for [`ModelHandle::infer`], for what is known at once; the refusal gives the request back.
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
    /// let future = model.infer_async(request)?;
    /// // Without a runtime; with one, `future.await` does the same.
    /// assert_eq!(future.wait()?.slice::<f32>("y")?, [2.0, 4.0]);
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn infer_async(&self, request: Request<'static>) -> Result<ResponseFuture, Refused<'static>> {
        self.send(request, |lane, request| lane.submit(request, Notify::Nobody, Manner::Async))
            .map(|(ticket, _)| ResponseFuture::new(ticket))
    }

    /// Submits one request and has `callback` called with the answer, once, on a thread of the engine.
    ///
    /// The callback must not wait; calls that would, return [`crate::ErrorKind::FailedPrecondition`] there. Nor may it wait
    /// for anything else that another answer of the same model ends, such as a lock of a thread inside `infer`. One that
    /// captures up to four words is stored without an allocation.
    ///
    /// # Errors
    /// As for [`ModelHandle::infer_async`]; `callback` is then dropped, uncalled.
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
    /// let (sender, receiver) = std::sync::mpsc::channel();
    /// let request = Request::new().input("x", Tensor::from_vec(vec![1.0f32, 2.0], [2])?);
    /// model.infer_callback(request, move |answer| {
    ///     let y = answer.and_then(|response| Ok(response.slice::<f32>("y")?.to_vec()));
    ///     sender.send(y).unwrap_or_default();
    /// })?;
    /// assert_eq!(receiver.recv().unwrap()?, [2.0, 4.0]);
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn infer_callback(
        &self,
        request: Request<'static>,
        callback: impl FnOnce(Result<Response, Error>) + Send + 'static,
    ) -> Result<(), Refused<'static>> {
        let mut callback = Once::new(callback);
        self.send(request, |lane, request| lane.post(request, || Notify::Callback(Callback::new(callback.take()))))
    }

    /// Submits one request and returns at once, with the responses as they come.
    ///
    /// For models that are decoupled (see [`ModelConfig::decoupled`]); any other gives one response. Such a model is
    /// asked by the other calls too, if it is known to send exactly one response to this request: else they fail with
    /// [`crate::ErrorKind::Unsupported`].
    ///
    /// # Errors
    /// As for [`ModelHandle::infer_async`]; [`crate::ErrorKind::Unsupported`] for a request with memory for outputs.
    ///
    /// # Examples
    /// ```
    /// # use inferlay::{DataType, Error, ModelBatch, ModelConfig, Request, ResponseFlags, ServerHandle, Tensor};
    /// // A model that counts down to 1, one response per step.
    /// fn count_down(batch: &ModelBatch<'_>) -> Result<(), Error> {
    ///     let from = batch.input("from")?.as_slice::<i32>()?[0];
    ///     let responder = batch.responder(0)?;
    ///     for step in (1..=from).rev() {
    ///         responder.send([(0, Tensor::from_vec(vec![step], [1])?)], ResponseFlags { last: step == 1 })?;
    ///     }
    ///     Ok(())
    /// }
    /// # let server = ServerHandle::builder().start()?;
    /// let config = ModelConfig::new("count_down").input("from", DataType::Int32, [1]).output("step", DataType::Int32, [1]);
    /// let model = server.register_model(config.decoupled(true), count_down)?;
    /// let mut steps = Vec::new();
    /// for response in model.infer_stream(Request::new().input("from", Tensor::from_vec(vec![3], [1])?))? {
    ///     steps.push(response?.slice::<i32>("step")?[0]);
    /// }
    /// assert_eq!(steps, [3, 2, 1]);
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn infer_stream(&self, request: Request<'static>) -> Result<Responses, Refused<'static>> {
        self.send(request, |lane, request| lane.stream(request)).map(|(ticket, stream)| Responses::new(ticket, stream))
    }

    /// Submits one request and has `callback` called with each response, in order, on a thread of the engine.
    ///
    /// It is called once or more often, never twice at a time, the last time with [`ResponseFlags::last`]: with a response,
    /// with `None` if the model ended without a further one, or with the error that ended it. Nothing comes after that.
    /// Else as [`ModelHandle::infer_stream`] and [`ModelHandle::infer_callback`].
    ///
    /// # Errors
    /// As for [`ModelHandle::infer_stream`]; `callback` is then dropped, uncalled.
    ///
    /// # Examples
    /// ```
    /// # use inferlay::{DataType, Error, ModelBatch, ModelConfig, Request, ResponseFlags, ServerHandle, Tensor};
    /// # fn count_down(batch: &ModelBatch<'_>) -> Result<(), Error> {
    /// #     let from = batch.input("from")?.as_slice::<i32>()?[0];
    /// #     let responder = batch.responder(0)?;
    /// #     for step in (1..=from).rev() {
    /// #         responder.send([(0, Tensor::from_vec(vec![step], [1])?)], ResponseFlags::default())?;
    /// #     }
    /// #     responder.send([], ResponseFlags { last: true })
    /// # }
    /// # let server = ServerHandle::builder().start()?;
    /// # let config = ModelConfig::new("count_down").input("from", DataType::Int32, [1]).output("step", DataType::Int32, [1]);
    /// # let model = server.register_model(config.decoupled(true), count_down)?;
    /// let (sender, receiver) = std::sync::mpsc::channel();
    /// let request = Request::new().input("from", Tensor::from_vec(vec![2], [1])?);
    /// model.infer_stream_callback(request, move |response, flags| {
    ///     let step = response.unwrap().map(|response| response.slice::<i32>("step").unwrap()[0]);
    ///     sender.send((step, flags.last)).unwrap_or_default();
    /// })?;
    /// let told: Vec<_> = receiver.into_iter().collect();
    /// // This model ends without a last response.
    /// assert_eq!(told, [(Some(2), false), (Some(1), false), (None, true)]);
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn infer_stream_callback(
        &self,
        request: Request<'static>,
        mut callback: impl FnMut(Result<Option<Response>, Error>, ResponseFlags) + Send + 'static,
    ) -> Result<(), Refused<'static>> {
        let mut listener = Once::new(Box::new(move |delivery| match delivery {
            // It counts as taken when the callback has returned.
            Delivery::Response(response, _untaken) => callback(Ok(Some(response)), ResponseFlags::default()),
            Delivery::Last(last) => callback(last, ResponseFlags { last: true }),
        }) as Listener);
        self.send(request, |lane, request| lane.stream_to(request, || listener.take()))
    }

    /// Whether a version serves that this handle would use: one that the index calls ready.
    ///
    /// # Examples
    /// ```
    /// # use inferlay::ServerHandle;
    /// # let config = b"{backend: 'null', input: {name: x, data_type: FP32, dims: 2}}".to_vec();
    /// # let server = ServerHandle::builder().model_in_memory("echo", [("config.yaml", config)]).strict().start()?;
    /// # let model = server.model("echo")?;
    /// use std::time::Duration;
    /// assert!(model.is_ready());
    /// server.remove_model("echo", Duration::from_secs(1))?;
    /// assert!(!model.is_ready());
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn is_ready(&self) -> bool {
        self.entry.is_ready(&self.choice)
    }

    /// What the model takes and gives.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Unavailable`] when no version serves any more.
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
    /// let metadata = model.metadata()?;
    /// assert_eq!((&metadata.inputs[0].name[..], &metadata.inputs[0].shape[..]), ("x", &[2][..]));
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn metadata(&self) -> Result<ModelMetadata, Error> {
        let versions: Vec<_> = self.entry.served().into_iter().map(|(version, _)| version).collect();
        self.with(|served| ModelMetadata::new(&served.config, versions, |output| served.lane.spec.labels(output)))
    }

    /// The complete config, with labels, shares of the traffic and shadow as they are now.
    ///
    /// # Errors
    /// As for [`ModelHandle::metadata`].
    ///
    /// # Examples
    /// ```
    /// # use inferlay::ServerHandle;
    /// # let config = b"{backend: 'null', input: {name: x, data_type: FP32, dims: 2}}".to_vec();
    /// # let server = ServerHandle::builder().model_in_memory("echo", [("config.yaml", config)]).strict().start()?;
    /// # let model = server.model("echo")?;
    /// let config = model.config()?;
    /// assert_eq!((&config.backend[..], config.max_batch_size, config.queue_size_max), ("null", 0, 4096));
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn config(&self) -> Result<ModelConfig, Error> {
        let mut config = self.with(|served| (*served.config).clone())?;
        let Plan { labels, traffic, shadow } = self.entry.plan();
        (config.version_labels, config.traffic, config.shadow) = (labels, traffic.into_iter().collect(), shadow);
        Ok(config)
    }

    /// What the version has done since it was loaded.
    ///
    /// # Errors
    /// As for [`ModelHandle::metadata`].
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
    /// model.infer(Request::new().input("x", Tensor::from_vec(vec![1.0f32, 2.0], [2])?))?;
    /// let statistics = model.statistics()?;
    /// assert_eq!((statistics.inference_count, statistics.execution_count), (1, 1));
    /// assert_eq!(statistics.cuts["single"], 1);
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn statistics(&self) -> Result<ModelStatistics, Error> {
        self.with(|served| served.lane.statistics())
    }

    /// The server that it belongs to.
    ///
    /// # Examples
    /// ```
    /// # use inferlay::ServerHandle;
    /// # let config = b"{backend: 'null', input: {name: x, data_type: FP32, dims: 2}}".to_vec();
    /// # let server = ServerHandle::builder().model_in_memory("echo", [("config.yaml", config)]).strict().start()?;
    /// # let model = server.model("echo")?;
    /// // The handle alone keeps the server alive.
    /// drop(server);
    /// assert!(model.server().is_live());
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn server(&self) -> ServerHandle {
        ServerHandle { inner: self.inner.clone() }
    }

    /// Gives a request to the lane that serves now. A lane that was replaced meanwhile gives it back, and the next one is
    /// asked: nobody is refused because of a swap.
    fn send<'a, R>(
        &self,
        request: Request<'a>,
        mut send: impl FnMut(&Arc<Lane>, Request<'a>) -> Result<R, Refused<'a>>,
    ) -> Result<R, Refused<'a>> {
        // While nothing has changed, the lane is used where it is.
        let (refused, asked) = match self.current() {
            Some(served) => match send(&served.lane, request) {
                Err(refused) if served.lane.is_stopping() => (refused, Some(served.lane.clone())),
                outcome => return outcome,
            },
            None => (Refused { error: MOVED, request }, None),
        };
        self.send_on(refused, asked, send)
    }

    /// Of versions among which requests are spread, one is picked for this one; whoever shadows them gets a copy.
    #[cold]
    fn send_on<'a, R>(
        &self,
        mut refused: Refused<'a>,
        asked: Option<Arc<Lane>>,
        mut send: impl FnMut(&Arc<Lane>, Request<'a>) -> Result<R, Refused<'a>>,
    ) -> Result<R, Refused<'a>> {
        let (mut asked, mut is_copied) = (Vec::from_iter(asked), false);
        loop {
            // Who was sent away looks anew: a lane that is stuck leaves its place without a change of what serves.
            let course = if asked.is_empty() { self.course() } else { self.find_course() };
            let course = match course {
                Ok(course) => course,
                Err(error) => return Err(Refused { error, ..refused }),
            };
            let served = course.pick(&refused.request, || self.entry.number());
            if asked.iter().any(|asked| Arc::ptr_eq(asked, &served.lane)) {
                return Err(refused);
            }
            if !std::mem::replace(&mut is_copied, true) {
                course.copy(&refused.request, served);
            }
            refused = match send(&served.lane, refused.request) {
                Err(refused) if served.lane.is_stopping() => refused,
                outcome => return outcome,
            };
            asked.push(served.lane.clone());
        }
    }

    /// As [`ModelHandle::infer_callback`], or for a decoupled model as [`ModelHandle::infer_stream_callback`], for a request
    /// whose names alone are borrowed: its inputs are owned by counts, and its memory for outputs is good until the answer.
    #[cfg(feature = "capi")]
    pub(crate) fn infer_shared<'a, L: crate::flow::Listen>(
        &self,
        request: Request<'a>,
        listener: L,
    ) -> Result<(), Refused<'a>> {
        let mut listener = Once::new(listener);
        self.send(request, |lane, request| lane.post_to(request, || listener.take()))
    }

    /// Has `callback` called on a thread of the server, soon; once the server has stopped it is dropped, uncalled.
    #[cfg(feature = "capi")]
    pub(crate) fn post(&self, callback: Callback<()>) {
        self.inner.services.messenger.post_call(callback);
    }

    /// The server's pool of memory.
    #[cfg(feature = "capi")]
    pub(crate) fn blocks(&self) -> &crate::memory::BlockPool {
        &self.inner.services.blocks
    }

    /// What served when the handle was made, if that still does.
    fn current(&self) -> Option<&Served> {
        (self.entry.generation() == self.generation).then_some(&self.served)
    }

    /// Uses what serves now; of several versions, the one that gets most.
    fn with<R>(&self, use_it: impl FnOnce(&Served) -> R) -> Result<R, Error> {
        match self.current() {
            Some(served) => Ok(use_it(served)),
            None => Ok(use_it(self.course()?.main())),
        }
    }

    /// Where requests go now.
    fn course(&self) -> Result<Arc<Course>, Error> {
        let generation = self.entry.generation();
        let newer = self.newer.lock().clone();
        match newer {
            Some((known, course)) if known == generation => Ok(course),
            _ => self.find_course(),
        }
    }

    fn find_course(&self) -> Result<Arc<Course>, Error> {
        // Read first: what changes after that is found the next time.
        let generation = self.entry.generation();
        let course = self.entry.course(&self.choice)?;
        let older = self.newer.lock().replace((generation, course.clone()));
        drop(older);
        Ok(course)
    }
}

impl Clone for ModelHandle {
    fn clone(&self) -> Self {
        ModelHandle {
            inner: self.inner.clone(),
            entry: self.entry.clone(),
            choice: self.choice.clone(),
            generation: self.generation,
            served: self.served.clone(),
            newer: self.newer.clone(),
        }
    }
}

impl std::fmt::Debug for ModelHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ModelHandle({})", self.name())
    }
}
