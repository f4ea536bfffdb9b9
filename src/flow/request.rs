//! A request as the caller builds it.
//!
//! [`Request`] is what a caller fills in, by names. It is checked by reference, so that a refusal gives it back untouched;
//! [`Request::fill`] then moves its parts into the lane's pooled task, by index. From there on only checked values travel.

use super::check::Checked;
use super::spec::LaneSpec;
use super::task::{Ask, CancelToken, Sequence};
use crate::memory::BlockPool;
use crate::tensor::{Input, OutputMemory};
use inferlay_backend_sdk::{Error, ParameterValue};
use smallvec::SmallVec;
use std::borrow::Cow;
use std::cell::Cell;
use std::time::{Duration, Instant};

/// One request: named inputs, and what else the engine should know.
///
/// A request whose inputs are all owned is `Request<'static>` and can be sent asynchronously; one that borrows can be
/// passed to a blocking call. Building one allocates nothing for up to two inputs with literal names.
///
/// # Examples
/// ```
/// use inferlay::{Request, Tensor};
/// use std::time::Duration;
/// let request = Request::new()
///     .input("image", Tensor::from_vec(vec![0.0f32; 64], [1, 1, 8, 8])?)
///     .output("logits")
///     .timeout(Duration::from_millis(20));
/// # Ok::<(), inferlay::Error>(())
/// ```
#[derive(Debug, Default)]
pub struct Request<'a> {
    pub(super) inputs: SmallVec<[(Cow<'a, str>, Input<'a>); 2]>,
    pub(super) outputs: SmallVec<[Cow<'a, str>; 2]>,
    pub(super) into: SmallVec<[(Cow<'a, str>, OutputMemory<'a>); 1]>,
    id: Cow<'a, str>,
    due: Due,
    /// 0: the queue's own.
    queue_timeout_ns: u64,
    pub(super) priority: Option<u32>,
    parameters: Vec<(String, ParameterValue)>,
    cancel: Option<Cow<'a, CancelToken>>,
    is_traced: bool,
    sequence: Option<&'a Sequence>,
}

#[derive(Clone, Copy, Debug, Default)]
enum Due {
    #[default]
    Unsaid,
    At(Instant),
    #[cfg(feature = "capi")]
    AtNs(u64),
    After(Duration),
}

impl<'a> Request<'a> {
    /// A request without inputs.
    ///
    /// # Examples
    /// ```
    /// # use inferlay::{Request, ServerHandle, Tensor};
    /// # let config = b"{backend: 'null', input: {name: x, data_type: FP32, dims: 2}}".to_vec();
    /// # let server = ServerHandle::builder().model_in_memory("echo", [("config.yaml", config)]).strict().start()?;
    /// # let model = server.model("echo")?;
    /// // The model's outputs are its inputs.
    /// let x = Tensor::from_vec(vec![1.0f32, 2.0], [2])?;
    /// let error = model.infer(Request::new()).unwrap_err();
    /// assert!(error.message().contains("input 'x' is missing"));
    /// let response = model.infer(Request::new().input("x", x))?;
    /// assert_eq!(response.slice::<f32>("x")?, [1.0, 2.0]);
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    #[inline]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an input: an owned [`Tensor`](crate::Tensor), or an [`Input`] that borrows. For a model that batches, the first
    /// dim is the number of rows, the same for all inputs.
    ///
    /// # Examples
    /// ```
    /// # use inferlay::{Request, ServerHandle, Tensor};
    /// # let config = b"{backend: 'null', input: {name: x, data_type: FP32, dims: 2}}".to_vec();
    /// # let server = ServerHandle::builder().model_in_memory("echo", [("config.yaml", config)]).strict().start()?;
    /// # let model = server.model("echo")?;
    /// # use inferlay::Input;
    /// // The model's outputs are its inputs.
    /// let pixels = [1.0f32, 2.0];
    /// let borrowed = Request::new().input("x", Input::from_slice(&pixels, [2])?);
    /// assert_eq!(model.infer(borrowed)?.slice::<f32>("x")?, pixels);
    /// let owned: Request<'static> = Request::new().input("x", Tensor::from_vec(pixels.to_vec(), [2])?);
    /// assert_eq!(model.infer_async(owned)?.wait()?.slice::<f32>("x")?, pixels);
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    #[must_use]
    #[inline]
    pub fn input(mut self, name: impl Into<Cow<'a, str>>, input: impl Into<Input<'a>>) -> Self {
        self.inputs.push((name.into(), input.into()));
        self
    }

    /// Asks for this output; a request that asks for none gets all.
    ///
    /// # Examples
    /// ```
    /// # use inferlay::{Request, ServerHandle, Tensor};
    /// # let config = "{backend: 'null', input: [{name: x, data_type: FP32, dims: 2}, \
    /// #     {name: y, data_type: FP32, dims: 2}]}";
    /// # let files = [("config.yaml", config.into())];
    /// # let server = ServerHandle::builder().model_in_memory("echo", files).strict().start()?;
    /// # let model = server.model("echo")?;
    /// // The model's outputs are its inputs.
    /// let x = Tensor::from_vec(vec![1.0f32, 2.0], [2])?;
    /// let request = Request::new().input("x", x.clone()).input("y", x).output("y");
    /// let response = model.infer(request)?;
    /// assert!(response.output("y").is_ok() && response.output("x").is_err());
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    #[must_use]
    pub fn output(mut self, name: impl Into<Cow<'a, str>>) -> Self {
        self.outputs.push(name.into());
        self
    }

    /// Asks for this output in the caller's own memory, which must be at least as large: written by the backend itself
    /// when the request is alone in its batch, else copied once.
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
    /// let (x, mut y) = ([1.0f32, 2.0], [0.0f32; 2]);
    /// let request = Request::new().input("x", Input::from_slice(&x, [2])?);
    /// model.infer(request.output_into("y", &mut y))?;
    /// assert_eq!(y, [2.0, 4.0]);
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    #[must_use]
    pub fn output_into(mut self, name: impl Into<Cow<'a, str>>, memory: impl Into<OutputMemory<'a>>) -> Self {
        let name = name.into();
        self.outputs.push(name.clone());
        self.into.push((name, memory.into()));
        self
    }

    /// A name for traces and backends; any text.
    ///
    /// # Examples
    /// ```
    /// # use inferlay::{Request, ServerHandle, Tensor};
    /// # let config = b"{backend: 'null', input: {name: x, data_type: FP32, dims: 2}}".to_vec();
    /// # let server = ServerHandle::builder().model_in_memory("echo", [("config.yaml", config)]).strict().start()?;
    /// # let model = server.model("echo")?;
    /// // The model's outputs are its inputs.
    /// let x = Tensor::from_vec(vec![1.0f32, 2.0], [2])?;
    /// let response = model.infer(Request::new().input("x", x).id("frame 7").traced())?;
    /// assert_eq!(response.trace().map(|trace| &trace.id[..]), Some("frame 7"));
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    #[must_use]
    pub fn id(mut self, id: impl Into<Cow<'a, str>>) -> Self {
        self.id = id.into();
        self
    }

    /// The instant from which the answer is worthless: a request that still waits then is answered with
    /// [`crate::ErrorKind::Timeout`].
    ///
    /// # Examples
    /// ```
    /// # use inferlay::{Request, ServerHandle, Tensor};
    /// use inferlay::ErrorKind;
    /// use std::time::Instant;
    /// # let config = b"{backend: 'null', input: {name: x, data_type: FP32, dims: 2}}".to_vec();
    /// # let server = ServerHandle::builder().model_in_memory("echo", [("config.yaml", config)]).strict().start()?;
    /// # let model = server.model("echo")?;
    /// // The model's outputs are its inputs.
    /// let x = Tensor::from_vec(vec![1.0f32, 2.0], [2])?;
    /// let request = Request::new().input("x", x).deadline(Instant::now());
    /// assert_eq!(model.infer(request).unwrap_err().kind(), ErrorKind::Timeout);
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    #[must_use]
    pub fn deadline(mut self, deadline: Instant) -> Self {
        self.due = Due::At(deadline);
        self
    }

    /// A deadline this long after submission.
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
    /// let request = Request::new().input("x", Tensor::from_vec(vec![1.0f32, 2.0], [2])?);
    /// let error = model.infer(request.timeout(Duration::ZERO)).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::Timeout);
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.due = Due::After(timeout);
        self
    }

    /// How long it may wait in the model's queue before that counts it as late: it is rejected then, or served after those
    /// in time, as the queue's `timeout_action` says. Counts where the queue has `allow_timeout_override` and a longer
    /// timeout of its own, or none; zero says nothing. Unlike a deadline, it ends no execution.
    ///
    /// # Examples
    /// ```
    /// # use inferlay::{Request, ServerHandle, Tensor};
    /// # use std::time::Duration;
    /// let config = "{backend: 'null', max_batch_size: 8, input: {name: x, data_type: FP32, dims: 2}, \
    ///     dynamic_batching: {default_queue_policy: {timeout_action: DELAY, default_timeout_microseconds: 500000, \
    ///         allow_timeout_override: true}}}";
    /// # let files = [("config.yaml", config.into())];
    /// # let server = ServerHandle::builder().model_in_memory("echo", files).strict().start()?;
    /// # let model = server.model("echo")?;
    /// // If it has to wait for more than 20 ms, others may go first; it is not rejected.
    /// let x = Tensor::from_vec(vec![1.0f32, 2.0], [1, 2])?;
    /// let response = model.infer(Request::new().input("x", x).queue_timeout(Duration::from_millis(20)))?;
    /// assert_eq!(response.output("x")?.as_slice::<f32>()?, [1.0, 2.0]);
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    #[must_use]
    pub fn queue_timeout(mut self, timeout: Duration) -> Self {
        self.queue_timeout_ns = nanoseconds(timeout);
        self
    }

    /// Its priority, from 1 (the most urgent) to the model's `priority_levels`; 0 is the model's default, as in Triton.
    ///
    /// # Examples
    /// ```
    /// # use inferlay::{Request, ServerHandle, Tensor};
    /// # let config = "{backend: 'null', max_batch_size: 8, input: {name: x, data_type: FP32, dims: 2}, \
    /// #     dynamic_batching: {priority_levels: 2, default_priority_level: 2}}";
    /// # let files = [("config.yaml", config.into())];
    /// # let server = ServerHandle::builder().model_in_memory("echo", files).strict().start()?;
    /// # let model = server.model("echo")?;
    /// let x = Tensor::from_vec(vec![1.0f32, 2.0], [1, 2])?;
    /// // The config says `priority_levels: 2, default_priority_level: 2`.
    /// assert!(model.infer(Request::new().input("x", x.clone()).priority(1)).is_ok());
    /// let error = model.infer(Request::new().input("x", x).priority(3)).unwrap_err();
    /// assert!(error.message().ends_with("found priority 3, expected 0 to 2 (priority_levels)"));
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    #[must_use]
    pub fn priority(mut self, priority: u32) -> Self {
        self.priority = Some(priority);
        self
    }

    /// A value for the backend.
    ///
    /// # Examples
    /// ```
    /// # use inferlay::{DataType, Error, ModelConfig, Request, ServerHandle, Tensor};
    /// use inferlay::ParameterValue;
    /// # let server = ServerHandle::builder().start()?;
    /// # let config = ModelConfig::new("scale").input("x", DataType::Fp32, [1]).output("y", DataType::Fp32, [1]);
    /// let model = server.register_model(config, |batch| {
    ///     let Some(ParameterValue::Double(factor)) = batch.request(0).parameter("factor") else {
    ///         return Err(Error::invalid_arg("parameter 'factor': found no number"));
    ///     };
    /// #   let x = batch.input("x")?.as_slice::<f32>()?[0];
    ///     // …
    /// #   batch.set_output("y", Tensor::from_vec(vec![x * *factor as f32], [1])?)
    /// })?;
    /// # let request = Request::new().input("x", Tensor::from_vec(vec![2.0f32], [1])?);
    /// let response = model.infer(request.parameter("factor", ParameterValue::Double(1.5)))?;
    /// assert_eq!(response.slice::<f32>("y")?, [3.0]);
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    #[must_use]
    pub fn parameter(mut self, name: impl Into<String>, value: ParameterValue) -> Self {
        self.parameters.push((name.into(), value));
        self
    }

    /// Lets `token` cancel this request, from any thread, also before it is submitted.
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
    /// use inferlay::{CancelToken, ErrorKind};
    /// let token = CancelToken::new();
    /// let request = Request::new().input("x", Tensor::from_vec(vec![1.0f32, 2.0], [2])?);
    /// token.cancel();
    /// assert_eq!(model.infer(request.cancel_with(&token)).unwrap_err().kind(), ErrorKind::Cancelled);
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    #[must_use]
    pub fn cancel_with(mut self, token: &CancelToken) -> Self {
        self.cancel = Some(Cow::Owned(token.clone()));
        self
    }

    /// Records a trace of this request, whatever the server's trace rate is.
    ///
    /// # Examples
    /// ```
    /// # use inferlay::{Request, ServerHandle, Tensor};
    /// # let config = b"{backend: 'null', input: {name: x, data_type: FP32, dims: 2}}".to_vec();
    /// # let server = ServerHandle::builder().model_in_memory("echo", [("config.yaml", config)]).strict().start()?;
    /// # let model = server.model("echo")?;
    /// // The model's outputs are its inputs.
    /// let x = Tensor::from_vec(vec![1.0f32, 2.0], [2])?;
    /// let traced = model.infer(Request::new().input("x", x.clone()).traced())?;
    /// assert!(traced.trace().is_some());
    /// assert!(model.infer(Request::new().input("x", x))?.trace().is_none());
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    #[must_use]
    pub fn traced(mut self) -> Self {
        self.is_traced = true;
        self
    }

    /// How long it wants to wait in time, in nanoseconds; 0: as long as the queue says.
    pub(super) fn queue_timeout_ns(&self) -> u64 {
        self.queue_timeout_ns
    }

    /// The deadline in nanoseconds on the engine's clock.
    pub(crate) fn due(&self, now: u64, at: impl Fn(Instant) -> u64) -> Option<u64> {
        match self.due {
            Due::At(instant) => Some(at(instant)),
            #[cfg(feature = "capi")]
            Due::AtNs(deadline) => Some(deadline),
            Due::After(timeout) => Some(now.saturating_add(nanoseconds(timeout))),
            Due::Unsaid => None,
        }
    }

    /// Whether it brings memory for an output.
    pub(super) fn brings_output_memory(&self) -> bool {
        !self.into.is_empty()
    }

    pub(crate) fn cancel_token(&self) -> Option<&CancelToken> {
        self.cancel.as_deref()
    }

    /// The token, for a request that is let in.
    pub(crate) fn take_cancel_token(&mut self) -> Option<Cow<'a, CancelToken>> {
        self.cancel.take()
    }

    /// The same request, to be sent besides this one: with no deadline, token, or memory for outputs.
    ///
    /// # Errors
    /// `RESOURCE_EXHAUSTED` when there is no memory for a copy of what the caller lends.
    pub(super) fn copy(&self, blocks: &BlockPool) -> Result<Request<'_>, Error> {
        let inputs = self.inputs.iter().map(|(name, input)| Ok((Cow::Borrowed(&**name), input.share(blocks)?)));
        Ok(Request {
            inputs: inputs.collect::<Result<_, Error>>()?,
            outputs: self.outputs.iter().map(|name| Cow::Borrowed(&**name)).collect(),
            id: Cow::Borrowed(&*self.id),
            priority: self.priority,
            parameters: self.parameters.clone(),
            sequence: self.sequence,
            ..Request::default()
        })
    }

    /// A hash of the correlation id, the same in every process; `None` for a request without one.
    pub(crate) fn correlation_hash(&self) -> Option<u64> {
        let sequence = self.sequence.filter(|sequence| sequence.id != 0 || !sequence.text.is_empty())?;
        let bytes = sequence.id.to_le_bytes().into_iter().chain(sequence.text.bytes());
        // FNV-1a, which needs no key: who wants to be served by one version may ask for it.
        Some(
            bytes
                .fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)),
        )
    }

    /// Moves the parts into the lane's task, where backends find them by index. The shell that is left is worth nothing;
    /// it is emptied in place because moving a request costs more than all else here.
    pub(crate) fn fill(&mut self, ask: &mut Ask, spec: &LaneSpec, checked: &Checked) {
        for ((_, input), index) in self.inputs.iter_mut().zip(&checked.order) {
            if *index >= ask.inputs.len() {
                ask.inputs.resize_with(*index, || None);
                ask.inputs.push(input.take());
            } else {
                ask.inputs[*index] = input.take();
            }
        }
        ask.inputs.resize_with(spec.inputs.len(), || None);
        if spec.shaping.inputs {
            ask.inputs.iter_mut().enumerate().for_each(|(index, input)| spec.inward(index, input));
        }
        // Most requests have none of these, and a look is cheaper than emptying an empty list.
        if !self.into.is_empty() {
            let memory = self.into.drain(..).zip(&checked.into);
            ask.into.extend(memory.map(|((_, memory), index)| (*index, Cell::new(Some(memory.into_lent())))));
        }
        if !self.id.is_empty() {
            ask.id.push_str(&self.id);
        }
        if !self.parameters.is_empty() {
            ask.parameters.append(&mut self.parameters);
        }
        (ask.rows, ask.wanted, ask.level) = (checked.rows, checked.wanted, checked.level);
        ask.is_traced = self.is_traced;
        if let Some(sequence) = self.sequence {
            ask.sequence.clone_from(sequence);
        }
    }
}

/// What a request says beside its tensors, as the C door brings it; 0 stands for nothing said.
#[cfg(feature = "capi")]
pub(crate) struct Description<'a> {
    pub(crate) id: &'a str,
    /// On the system's monotonic clock.
    pub(crate) deadline_ns: u64,
    pub(crate) timeout_ns: u64,
    pub(crate) queue_timeout_ns: u64,
    pub(crate) priority: u32,
    pub(crate) is_traced: bool,
    pub(crate) sequence: &'a Sequence,
    pub(crate) parameters: &'a [(String, ParameterValue)],
}

/// The same as the methods above, in place: moving a request costs more than filling it.
#[cfg(feature = "capi")]
impl<'a> Request<'a> {
    pub(crate) fn push_input(&mut self, name: &'a str, input: Input<'a>) {
        self.inputs.push((name.into(), input));
    }

    pub(crate) fn push_output(&mut self, name: &'a str) {
        self.outputs.push(name.into());
    }

    pub(crate) fn push_output_into(&mut self, name: &'a str, memory: OutputMemory<'a>) {
        self.outputs.push(name.into());
        self.into.push((name.into(), memory));
    }

    pub(crate) fn watch_with(&mut self, token: &'a CancelToken) {
        self.cancel = Some(Cow::Borrowed(token));
    }

    pub(crate) fn describe(&mut self, said: Description<'a>) {
        self.id = said.id.into();
        self.due = match (said.deadline_ns, said.timeout_ns) {
            (0, 0) => Due::Unsaid,
            (0, timeout) => Due::After(Duration::from_nanos(timeout)),
            (deadline, _) => Due::AtNs(deadline),
        };
        self.queue_timeout_ns = said.queue_timeout_ns;
        self.priority = Some(said.priority);
        self.is_traced = said.is_traced;
        self.sequence = (!said.sequence.is_none()).then_some(said.sequence);
        self.parameters.extend_from_slice(said.parameters);
    }
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// A call that was not taken: why, and the request, untouched.
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
/// let request = Request::new().input("x", Tensor::from_vec(vec![1.0f32; 3], [3])?);
/// let refused = model.infer_async(request.id("mine")).unwrap_err();
/// assert_eq!(refused.error.kind(), ErrorKind::InvalidArg);
/// let mine_again: Request<'static> = refused.request;
/// # Ok::<(), inferlay::Error>(())
/// ```
#[derive(Debug)]
pub struct Refused<'a> {
    /// Why.
    pub error: Error,
    /// What the engine did not take.
    pub request: Request<'a>,
}

impl From<Refused<'_>> for Error {
    fn from(refused: Refused<'_>) -> Error {
        refused.error
    }
}

impl std::fmt::Display for Refused<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for Refused<'_> {}
