//! A function of the application as a model: batching, queueing, deadlines and statistics like any other.

use inferlay_backend_sdk::{
    Batch, Error, Instance, InstanceSpec, Model, Placement, RequestInfo, Responder, Shape, Signature, Tensor,
    TensorMut, TensorRef, TensorSpec,
};
use std::sync::Arc;

/// The function of a model: reads inputs and writes outputs of one batch. Called by several threads at once when the
/// config has several instances.
type Function = dyn Fn(&ModelBatch<'_>) -> Result<(), Error> + Send + Sync;

/// One batch, as the function of a registered model, or who has pulled it, sees it: inputs and outputs by name.
///
/// Where the model batches, the first dim of every input and output is [`ModelBatch::rows`].
///
/// # Examples
/// ```
/// use inferlay::{DataType, Error, ModelBatch, ModelConfig, Request, ServerHandle, Tensor};
/// fn negate(batch: &ModelBatch<'_>) -> Result<(), Error> {
///     let x = batch.input("x")?.as_slice::<f32>()?;
///     let y = batch.output("y", [batch.rows(), 1])?.as_mut_slice::<f32>()?;
///     y.iter_mut().zip(x).for_each(|(y, x)| *y = -x);
///     Ok(())
/// }
/// # let server = ServerHandle::builder().start()?;
/// let config = ModelConfig::new("negate").input("x", DataType::Fp32, [1]).output("y", DataType::Fp32, [1]);
/// let model = server.register_model(config.max_batch_size(8), negate)?;
/// let request = Request::new().input("x", Tensor::from_vec(vec![1.0f32, 2.0], [2, 1])?);
/// assert_eq!(model.infer(request)?.slice::<f32>("y")?, [-1.0, -2.0]);
/// # Ok::<(), inferlay::Error>(())
/// ```
pub struct ModelBatch<'a> {
    batch: &'a dyn Batch,
    signature: &'a Signature,
}

impl<'a> ModelBatch<'a> {
    pub(super) fn new(batch: &'a dyn Batch, signature: &'a Signature) -> Self {
        ModelBatch { batch, signature }
    }

    /// The same once more.
    #[cfg(feature = "capi")]
    pub(crate) fn again(&self) -> Self {
        ModelBatch::new(self.batch, self.signature)
    }
}

impl ModelBatch<'_> {
    /// The number of requests.
    ///
    /// # Examples
    /// ```
    /// # use inferlay::{DataType, Error, ModelBatch, ModelConfig, Request, ServerHandle, Tensor};
    /// fn double(batch: &ModelBatch<'_>) -> Result<(), Error> {
    ///     // One request of two rows.
    ///     assert_eq!((batch.len(), batch.rows()), (1, 2));
    ///     // …
    /// #     let y = batch.input("x")?.as_slice::<f32>()?.iter().map(|x| 2.0 * x).collect();
    /// #     batch.set_output("y", Tensor::from_vec(y, [batch.rows(), 1])?)
    /// }
    /// # let server = ServerHandle::builder().start()?;
    /// # let config = ModelConfig::new("double").input("x", DataType::Fp32, [1]).output("y", DataType::Fp32, [1]);
    /// # let model = server.register_model(config.max_batch_size(8), double)?;
    /// # let request = Request::new().input("x", Tensor::from_vec(vec![1.0f32, 2.0], [2, 1])?);
    /// # assert_eq!(model.infer(request)?.slice::<f32>("y")?, [2.0, 4.0]);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn len(&self) -> usize {
        self.batch.len()
    }

    /// Whether there are no requests; never so.
    ///
    /// # Examples
    /// ```
    /// # use inferlay::{DataType, Error, ModelBatch, ModelConfig, Request, ServerHandle, Tensor};
    /// fn double(batch: &ModelBatch<'_>) -> Result<(), Error> {
    ///     assert!(!batch.is_empty());
    ///     // …
    /// #     let y = batch.input("x")?.as_slice::<f32>()?.iter().map(|x| 2.0 * x).collect();
    /// #     batch.set_output("y", Tensor::from_vec(y, [batch.rows(), 1])?)
    /// }
    /// # let server = ServerHandle::builder().start()?;
    /// # let config = ModelConfig::new("double").input("x", DataType::Fp32, [1]).output("y", DataType::Fp32, [1]);
    /// # let model = server.register_model(config.max_batch_size(8), double)?;
    /// # let request = Request::new().input("x", Tensor::from_vec(vec![1.0f32, 2.0], [2, 1])?);
    /// # assert_eq!(model.infer(request)?.slice::<f32>("y")?, [2.0, 4.0]);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn is_empty(&self) -> bool {
        self.batch.is_empty()
    }

    /// The sum of the requests' rows; 1 for a model that does not batch.
    ///
    /// # Examples
    /// ```
    /// # use inferlay::{DataType, Error, ModelBatch, ModelConfig, Request, ServerHandle, Tensor};
    /// fn double(batch: &ModelBatch<'_>) -> Result<(), Error> {
    ///     let y: Vec<_> = batch.input("x")?.as_slice::<f32>()?.iter().map(|x| 2.0 * x).collect();
    ///     batch.set_output("y", Tensor::from_vec(y, [batch.rows(), 1])?)
    /// }
    /// # let server = ServerHandle::builder().start()?;
    /// # let config = ModelConfig::new("double").input("x", DataType::Fp32, [1]).output("y", DataType::Fp32, [1]);
    /// # let model = server.register_model(config.max_batch_size(8), double)?;
    /// # let request = Request::new().input("x", Tensor::from_vec(vec![1.0f32, 2.0], [2, 1])?);
    /// # assert_eq!(model.infer(request)?.slice::<f32>("y")?, [2.0, 4.0]);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn rows(&self) -> usize {
        self.batch.rows()
    }

    /// What one request says about itself; `index < len()`.
    ///
    /// # Panics
    /// When the batch has no such request. As any panic of the function, it answers the batch with an error.
    ///
    /// # Examples
    /// ```
    /// # use inferlay::{DataType, Error, ModelBatch, ModelConfig, Request, ServerHandle, Tensor};
    /// use inferlay::ErrorKind;
    /// fn double(batch: &ModelBatch<'_>) -> Result<(), Error> {
    ///     for index in (0..batch.len()).filter(|index| batch.request(*index).cancelled()) {
    ///         batch.fail(index, Error::new(ErrorKind::Cancelled, "seen by the model"));
    ///     }
    /// #     assert_eq!(batch.request(0).rows(), 2);
    ///     // …
    /// #     let y = batch.input("x")?.as_slice::<f32>()?.iter().map(|x| 2.0 * x).collect();
    /// #     batch.set_output("y", Tensor::from_vec(y, [batch.rows(), 1])?)
    /// }
    /// # let server = ServerHandle::builder().start()?;
    /// # let config = ModelConfig::new("double").input("x", DataType::Fp32, [1]).output("y", DataType::Fp32, [1]);
    /// # let model = server.register_model(config.max_batch_size(8), double)?;
    /// # let request = Request::new().input("x", Tensor::from_vec(vec![1.0f32, 2.0], [2, 1])?);
    /// # assert_eq!(model.infer(request)?.slice::<f32>("y")?, [2.0, 4.0]);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn request(&self, index: usize) -> &dyn RequestInfo {
        self.batch.request(index)
    }

    /// All rows of an input. A request alone in its batch passes its memory through; several are joined, once.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`] when there is no such input.
    ///
    /// # Examples
    /// ```
    /// # use inferlay::{DataType, Error, ModelBatch, ModelConfig, Request, ServerHandle, Tensor};
    /// fn double(batch: &ModelBatch<'_>) -> Result<(), Error> {
    ///     let x = batch.input("x")?;
    ///     assert_eq!((x.dtype(), &x.shape()[..]), (DataType::Fp32, &[2, 1][..]));
    ///     let y = batch.output("y", x.shape().clone())?.as_mut_slice::<f32>()?;
    ///     y.iter_mut().zip(x.as_slice::<f32>()?).for_each(|(y, x)| *y = 2.0 * x);
    ///     Ok(())
    /// }
    /// # let server = ServerHandle::builder().start()?;
    /// # let config = ModelConfig::new("double").input("x", DataType::Fp32, [1]).output("y", DataType::Fp32, [1]);
    /// # let model = server.register_model(config.max_batch_size(8), double)?;
    /// # let request = Request::new().input("x", Tensor::from_vec(vec![1.0f32, 2.0], [2, 1])?);
    /// # assert_eq!(model.infer(request)?.slice::<f32>("y")?, [2.0, 4.0]);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn input(&self, name: &str) -> Result<TensorRef<'_>, Error> {
        self.batch.input(index(&self.signature.inputs, name, "input")?, Placement::HOST)
    }

    /// Memory to write all rows of an output into, once.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`] when there is no such output; [`crate::ErrorKind::InvalidArg`] when the shape
    /// contradicts the config or the number of rows.
    ///
    /// # Examples
    /// ```
    /// # use inferlay::{DataType, Error, ModelBatch, ModelConfig, Request, ServerHandle, Tensor};
    /// fn double(batch: &ModelBatch<'_>) -> Result<(), Error> {
    ///     let y = batch.output("y", [batch.rows(), 1])?.as_mut_slice::<f32>()?;
    ///     y.iter_mut().zip(batch.input("x")?.as_slice::<f32>()?).for_each(|(y, x)| *y = 2.0 * x);
    ///     Ok(())
    /// }
    /// # let server = ServerHandle::builder().start()?;
    /// # let config = ModelConfig::new("double").input("x", DataType::Fp32, [1]).output("y", DataType::Fp32, [1]);
    /// # let model = server.register_model(config.max_batch_size(8), double)?;
    /// # let request = Request::new().input("x", Tensor::from_vec(vec![1.0f32, 2.0], [2, 1])?);
    /// # assert_eq!(model.infer(request)?.slice::<f32>("y")?, [2.0, 4.0]);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn output(&self, name: &str, shape: impl Into<Shape>) -> Result<TensorMut<'_>, Error> {
        self.batch.output_buffer(index(&self.signature.outputs, name, "output")?, shape.into())
    }

    /// Hands over all rows of an output, without a copy; the only way for `BYTES`.
    ///
    /// # Errors
    /// As for [`ModelBatch::output`].
    ///
    /// # Examples
    /// ```
    /// # use inferlay::{DataType, Error, ModelBatch, ModelConfig, Request, ServerHandle, Tensor};
    /// fn double(batch: &ModelBatch<'_>) -> Result<(), Error> {
    ///     let y: Vec<_> = batch.input("x")?.as_slice::<f32>()?.iter().map(|x| 2.0 * x).collect();
    ///     batch.set_output("y", Tensor::from_vec(y, [batch.rows(), 1])?)
    /// }
    /// # let server = ServerHandle::builder().start()?;
    /// # let config = ModelConfig::new("double").input("x", DataType::Fp32, [1]).output("y", DataType::Fp32, [1]);
    /// # let model = server.register_model(config.max_batch_size(8), double)?;
    /// # let request = Request::new().input("x", Tensor::from_vec(vec![1.0f32, 2.0], [2, 1])?);
    /// # assert_eq!(model.infer(request)?.slice::<f32>("y")?, [2.0, 4.0]);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn set_output(&self, name: &str, tensor: Tensor) -> Result<(), Error> {
        self.batch.output(index(&self.signature.outputs, name, "output")?, tensor)
    }

    /// Whether any request wants this output.
    ///
    /// # Examples
    /// ```
    /// # use inferlay::{DataType, Error, ModelBatch, ModelConfig, Request, ServerHandle, Tensor};
    /// fn double(batch: &ModelBatch<'_>) -> Result<(), Error> {
    ///     assert!(!batch.output_wanted("z"), "the model has none of this name");
    ///     if batch.output_wanted("y") {
    ///         let y = batch.input("x")?.as_slice::<f32>()?.iter().map(|x| 2.0 * x).collect();
    ///         batch.set_output("y", Tensor::from_vec(y, [batch.rows(), 1])?)?;
    ///     }
    ///     Ok(())
    /// }
    /// # let server = ServerHandle::builder().start()?;
    /// # let config = ModelConfig::new("double").input("x", DataType::Fp32, [1]).output("y", DataType::Fp32, [1]);
    /// # let model = server.register_model(config.max_batch_size(8), double)?;
    /// # let request = Request::new().input("x", Tensor::from_vec(vec![1.0f32, 2.0], [2, 1])?);
    /// # assert_eq!(model.infer(request)?.slice::<f32>("y")?, [2.0, 4.0]);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn output_wanted(&self, name: &str) -> bool {
        index(&self.signature.outputs, name, "output").is_ok_and(|index| self.batch.output_wanted(index))
    }

    /// Answers one request with an error, whatever becomes of the others; `index < len()`.
    ///
    /// # Panics
    /// When the batch has no such request. As any panic of the function, it answers the batch with an error.
    ///
    /// # Examples
    /// ```
    /// # use inferlay::{DataType, Error, ErrorKind, ModelBatch, ModelConfig, Request, ServerHandle, Tensor};
    /// fn roots(batch: &ModelBatch<'_>) -> Result<(), Error> {
    ///     let x = batch.input("x")?.as_slice::<f32>()?;
    ///     // Requests of one row each: row and request have the same number.
    ///     for index in (0..batch.len()).filter(|index| x[*index] < 0.0) {
    ///         batch.fail(index, Error::invalid_arg(format!("found {}, expected no negative number", x[index])));
    ///     }
    ///     batch.set_output("y", Tensor::from_vec(x.iter().map(|x| x.sqrt()).collect(), [batch.rows(), 1])?)
    /// }
    /// # let server = ServerHandle::builder().start()?;
    /// # let config = ModelConfig::new("roots").input("x", DataType::Fp32, [1]).output("y", DataType::Fp32, [1]);
    /// # let model = server.register_model(config.max_batch_size(8), roots)?;
    /// # let ask = |x: f32| model.infer(Request::new().input("x", Tensor::from_vec(vec![x], [1, 1])?));
    /// # assert_eq!(ask(4.0)?.slice::<f32>("y")?, [2.0]);
    /// # assert_eq!(ask(-4.0).unwrap_err().kind(), ErrorKind::InvalidArg);
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn fail(&self, request: usize, error: Error) {
        self.batch.fail(request, error);
    }

    /// Takes one request out of the batch: what it gets back then answers it, in place of the batch's outputs, from any
    /// thread, also after the function has returned. The request's inputs stay readable here, as part of the batch's.
    ///
    /// A decoupled model (see [`crate::ModelConfig::decoupled`]) may send several responses, or none; others send one. An
    /// instance gets its next batch when those that it took from the last are answered.
    ///
    /// # Errors
    /// [`crate::ErrorKind::FailedPrecondition`] when it was taken or failed before; [`crate::ErrorKind::Unsupported`] for a
    /// pulled batch, which is answered as a whole.
    ///
    /// # Panics
    /// As [`ModelBatch::request`].
    ///
    /// # Examples
    /// ```
    /// use inferlay::{DataType, Error, ModelBatch, ModelConfig, Request, ResponseFlags, ServerHandle, Tensor};
    /// fn halves(batch: &ModelBatch<'_>) -> Result<(), Error> {
    ///     let x = batch.input("x")?.as_slice::<f32>()?[0];
    ///     let responder = batch.responder(0)?;
    ///     // Any thread goes on with it.
    ///     std::thread::spawn(move || {
    ///         for half in [x / 2.0, x / 4.0] {
    ///             // The numbers of outputs are as the config lists them.
    ///             let y = Tensor::from_vec(vec![half], [1]).map(|y| [(0, y)]);
    ///             if y.and_then(|y| responder.send(y, ResponseFlags::default())).is_err() {
    ///                 return;
    ///             }
    ///         }
    ///         responder.send([], ResponseFlags { last: true }).unwrap_or_default();
    ///     });
    ///     Ok(())
    /// }
    /// # let server = ServerHandle::builder().start()?;
    /// let config = ModelConfig::new("halves").input("x", DataType::Fp32, [1]).output("y", DataType::Fp32, [1]);
    /// let model = server.register_model(config.decoupled(true), halves)?;
    /// let responses = model.infer_stream(Request::new().input("x", Tensor::from_vec(vec![8.0f32], [1])?))?;
    /// let halves: Result<Vec<_>, Error> = responses.map(|half| Ok(half?.slice::<f32>("y")?[0])).collect();
    /// assert_eq!(halves?, [4.0, 2.0]);
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn responder(&self, request: usize) -> Result<Responder, Error> {
        Ok(self.batch.take(request)?.responder())
    }

    /// The names of the outputs, by which a responder counts them.
    #[cfg(feature = "capi")]
    pub(crate) fn output_names(&self) -> Vec<String> {
        self.signature.outputs.iter().map(|spec| spec.name.clone()).collect()
    }
}

fn index(specs: &[TensorSpec], name: &str, noun: &str) -> Result<usize, Error> {
    specs.iter().position(|spec| spec.name == name).ok_or_else(|| {
        let known: Vec<_> = specs.iter().map(|spec| spec.name.as_str()).collect();
        Error::not_found(format!("{noun} '{name}' not found; known: {}", known.join(", ")))
    })
}

/// The model of a function.
pub(crate) struct ClosureModel {
    signature: Arc<Signature>,
    function: Arc<Function>,
}

impl ClosureModel {
    pub(crate) fn new(
        signature: Signature,
        function: impl Fn(&ModelBatch<'_>) -> Result<(), Error> + Send + Sync + 'static,
    ) -> Self {
        ClosureModel { signature: Arc::new(signature), function: Arc::new(function) }
    }
}

impl Model for ClosureModel {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn instance(&self, _spec: &InstanceSpec) -> Result<Box<dyn Instance>, Error> {
        Ok(Box::new(ClosureInstance { signature: self.signature.clone(), function: self.function.clone() }))
    }
}

struct ClosureInstance {
    signature: Arc<Signature>,
    function: Arc<Function>,
}

impl Instance for ClosureInstance {
    fn execute(&mut self, batch: &dyn Batch) -> Result<(), Error> {
        (self.function)(&ModelBatch::new(batch, &self.signature))
    }
}
