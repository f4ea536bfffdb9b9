//! The answer as the caller reads it: named outputs, views of the memory that the backend wrote.

use super::spec::LaneSpec;
use super::task::HeldReply;
#[cfg(feature = "capi")]
use super::task::Written;
use crate::observe::Trace;
#[cfg(feature = "capi")]
use crate::{sync::Ordering, tensor::gather};
#[cfg(feature = "capi")]
use inferlay_backend_sdk::{Buffer, BufferTable, DataType};
use inferlay_backend_sdk::{Element, Error, Tensor, TensorRef};

/// The outputs of one request.
///
/// Reading copies nothing: outputs are views of the memory that the backend wrote, kept alive by the response. An output
/// that should outlive it is taken with [`Response::tensor`], which shares the memory.
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
/// let response = model.infer(request)?;
/// assert_eq!((response.model(), response.version()), ("double", 1));
/// assert_eq!(response.output("y")?.as_slice::<f32>()?, [2.0, 4.0]);
/// let outlives: Tensor = response.tensor("y")?;
/// drop(response);
/// assert_eq!(outlives.view().as_slice::<f32>()?, [2.0, 4.0]);
/// # Ok::<(), inferlay::Error>(())
/// ```
pub struct Response {
    reply: HeldReply,
}

impl Response {
    pub(crate) fn new(reply: HeldReply) -> Self {
        Response { reply }
    }

    pub(super) fn spec(&self) -> &LaneSpec {
        &self.reply.item().home().spec
    }

    /// The model that answered.
    ///
    /// # Examples
    /// ```
    /// # use inferlay::{Request, ServerHandle, Tensor};
    /// # let config = b"{backend: 'null', input: {name: x, data_type: FP32, dims: 2}}".to_vec();
    /// # let server = ServerHandle::builder().model_in_memory("echo", [("config.yaml", config)]).strict().start()?;
    /// # let model = server.model("echo")?;
    /// // The model's outputs are its inputs.
    /// let x = Tensor::from_vec(vec![1.0f32, 2.0], [2])?;
    /// assert_eq!(model.infer(Request::new().input("x", x))?.model(), "echo");
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn model(&self) -> &str {
        &self.reply.item().home().spec.model
    }

    /// The version that answered.
    ///
    /// # Examples
    /// ```
    /// # use inferlay::{Request, ServerHandle, Tensor};
    /// # let config = b"{backend: 'null', input: {name: x, data_type: FP32, dims: 2}}".to_vec();
    /// # let server = ServerHandle::builder().model_in_memory("echo", [("config.yaml", config)]).strict().start()?;
    /// # let model = server.model("echo")?;
    /// // The model's outputs are its inputs.
    /// let x = Tensor::from_vec(vec![1.0f32, 2.0], [2])?;
    /// // A model in memory has version 1.
    /// assert_eq!(model.infer(Request::new().input("x", x))?.version(), 1);
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn version(&self) -> u64 {
        self.reply.item().home().spec.version
    }

    /// An output by its name.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`] when the model has no such output or the request did not ask for it.
    ///
    /// # Examples
    /// ```
    /// # use inferlay::{Request, ServerHandle, Tensor};
    /// use inferlay::DataType;
    /// # let config = b"{backend: 'null', input: {name: x, data_type: FP32, dims: 2}}".to_vec();
    /// # let server = ServerHandle::builder().model_in_memory("echo", [("config.yaml", config)]).strict().start()?;
    /// # let model = server.model("echo")?;
    /// // The model's outputs are its inputs.
    /// let x = Tensor::from_vec(vec![1.0f32, 2.0], [2])?;
    /// let response = model.infer(Request::new().input("x", x))?;
    /// let output = response.output("x")?;
    /// assert_eq!((output.dtype(), &output.shape()[..]), (DataType::Fp32, &[2][..]));
    /// assert!(response.output("z").unwrap_err().message().ends_with("no output 'z' in the response; it has: x"));
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn output(&self, name: &str) -> Result<TensorRef<'_>, Error> {
        self.tensor_of(name).map(Tensor::view)
    }

    /// The elements of an output, in order, without copying.
    ///
    /// # Errors
    /// As for [`Response::output`], and [`crate::ErrorKind::InvalidArg`] when the elements are of another type.
    ///
    /// # Examples
    /// ```
    /// # use inferlay::{Request, ServerHandle, Tensor};
    /// # let config = b"{backend: 'null', input: {name: x, data_type: FP32, dims: 2}}".to_vec();
    /// # let server = ServerHandle::builder().model_in_memory("echo", [("config.yaml", config)]).strict().start()?;
    /// # let model = server.model("echo")?;
    /// // The model's outputs are its inputs.
    /// let x = Tensor::from_vec(vec![1.0f32, 2.0], [2])?;
    /// let response = model.infer(Request::new().input("x", x))?;
    /// assert_eq!(response.slice::<f32>("x")?, [1.0, 2.0]);
    /// assert!(response.slice::<i32>("x").is_err());
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn slice<T: Element>(&self, name: &str) -> Result<&[T], Error> {
        self.output(name)?.as_slice()
    }

    /// An output that outlives the response; shares the memory.
    ///
    /// # Errors
    /// As for [`Response::output`].
    ///
    /// # Examples
    /// ```
    /// # use inferlay::{Request, ServerHandle, Tensor};
    /// # let config = b"{backend: 'null', input: {name: x, data_type: FP32, dims: 2}}".to_vec();
    /// # let server = ServerHandle::builder().model_in_memory("echo", [("config.yaml", config)]).strict().start()?;
    /// # let model = server.model("echo")?;
    /// // The model's outputs are its inputs.
    /// let x = Tensor::from_vec(vec![1.0f32, 2.0], [2])?;
    /// let tensor = {
    ///     let response = model.infer(Request::new().input("x", x))?;
    ///     response.tensor("x")?
    /// };
    /// assert_eq!(tensor.view().as_slice::<f32>()?, [1.0, 2.0]);
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn tensor(&self, name: &str) -> Result<Tensor, Error> {
        self.tensor_of(name).cloned()
    }

    /// Every output with its name, in the model's order.
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
    /// let response = model.infer(Request::new().input("x", x.clone()).input("y", x))?;
    /// let names: Vec<_> = response.outputs().map(|(name, _)| name).collect();
    /// assert_eq!(names, ["x", "y"]);
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn outputs(&self) -> impl Iterator<Item = (&str, TensorRef<'_>)> {
        let ports = &self.reply.item().home().spec.outputs;
        let pairs = ports.iter().zip(&self.reply.outputs);
        pairs.filter_map(|(port, tensor)| Some((port.name.as_str(), tensor.as_ref()?.view())))
    }

    /// When the request passed its stations; `None` unless it was traced.
    ///
    /// # Examples
    /// ```
    /// # use inferlay::{Request, ServerHandle, Tensor};
    /// # let config = b"{backend: 'null', input: {name: x, data_type: FP32, dims: 2}}".to_vec();
    /// # let server = ServerHandle::builder().model_in_memory("echo", [("config.yaml", config)]).strict().start()?;
    /// # let model = server.model("echo")?;
    /// // The model's outputs are its inputs.
    /// let x = Tensor::from_vec(vec![1.0f32, 2.0], [2])?;
    /// let response = model.infer(Request::new().input("x", x).traced())?;
    /// let trace = response.trace().expect("it was asked for");
    /// let (_queue_ns, _compute_ns) = (trace.started - trace.submitted, trace.ended - trace.started);
    /// assert_eq!((&trace.model[..], trace.batch_rows), ("echo", 1));
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn trace(&self) -> Option<&Trace> {
        self.reply.trace.as_deref()
    }

    /// Whether it stands for the end of a stream that brings no response.
    pub(super) fn is_end(&self) -> bool {
        let is_decoupled = self.reply.item().home().spec.credit_max.is_some();
        is_decoupled && self.reply.outputs.is_empty() && self.reply.written.is_empty()
    }

    fn tensor_of(&self, name: &str) -> Result<&Tensor, Error> {
        let ports = &self.reply.item().home().spec.outputs;
        let index = ports.iter().position(|port| port.name == name);
        if let Some(tensor) = index.and_then(|index| self.reply.outputs.get(index)?.as_ref()) {
            return Ok(tensor);
        }
        let there: Vec<_> = self.outputs().map(|(name, _)| name).collect();
        Err(Error::not_found(format!(
            "model '{}': no output '{name}' in the response; it has: {}",
            self.model(),
            there.join(", ")
        )))
    }
}

/// An output as the C door reads it.
#[cfg(feature = "capi")]
pub(crate) enum Answered<'a> {
    /// A tensor of the response.
    Tensor(&'a Tensor),
    /// In memory of the caller.
    Written { dtype: DataType, written: &'a Written },
}

/// A response as a pointer with counts of its own, for the C door.
#[cfg(feature = "capi")]
impl Response {
    /// The response as a pointer with one count: to be made one again when the last is given up.
    pub(crate) fn into_raw(self) -> std::ptr::NonNull<()> {
        self.reply.handles.store(1, Ordering::Relaxed);
        std::mem::ManuallyDrop::new(self).reply.as_raw()
    }

    /// One more count.
    pub(crate) fn retain(&self) {
        self.reply.handles.fetch_add(1, Ordering::Relaxed);
    }

    /// One count less; whether it was the last.
    pub(crate) fn release(&self) -> bool {
        let handles = &self.reply.handles;
        // Who has the only count is alone: nobody else can add one. That is the usual case, and one read.
        handles.load(Ordering::Acquire) == 1 || handles.fetch_sub(1, Ordering::AcqRel) == 1
    }

    /// Every output with its name, in the model's order, wherever it lies.
    pub(crate) fn answered(&self) -> impl Iterator<Item = (&str, Answered<'_>)> {
        let reply = &self.reply;
        let ports = reply.item().home().spec.outputs.iter().enumerate();
        ports.filter_map(move |(index, port)| {
            let tensor = reply.outputs.get(index).and_then(Option::as_ref).map(Answered::Tensor);
            let written = || {
                let written = reply.written.iter().find(|written| written.index == index)?;
                Some(Answered::Written { dtype: port.dtype, written })
            };
            Some((port.name.as_str(), tensor.or_else(written)?))
        })
    }

    /// Copies the outputs whose memory is owned through `table`.
    ///
    /// # Errors
    /// `RESOURCE_EXHAUSTED` when there is no memory for that.
    pub(crate) fn copy_foreign(&mut self, table: &'static BufferTable) -> Result<(), Error> {
        let lane = self.reply.item().home().clone();
        for tensor in self.reply.outputs.iter_mut().flatten() {
            let is_foreign = |buffer: &Buffer| buffer.is_owned_through(table);
            if is_foreign(tensor.data()) || tensor.offsets().is_some_and(is_foreign) {
                *tensor = gather::copy(tensor, &lane.services.blocks)?;
            }
        }
        Ok(())
    }
}

impl Drop for Response {
    fn drop(&mut self) {
        // A token or a timer may keep the task for longer, but not what the backend wrote.
        self.reply.clear_outputs();
    }
}

impl std::fmt::Debug for Response {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut debug = f.debug_struct("Response");
        debug.field("model", &self.model()).field("version", &self.version());
        for (name, tensor) in self.outputs() {
            debug.field(name, &format_args!("{}{}", tensor.dtype(), tensor.shape()));
        }
        debug.finish()
    }
}
