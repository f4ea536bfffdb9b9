//! A function of the application as a model: batching, queueing, deadlines and statistics like any other.

use inferlay_backend_sdk::{
    Batch, Error, Instance, InstanceSpec, Model, Placement, RequestInfo, Shape, Signature, Tensor, TensorMut,
    TensorRef, TensorSpec,
};
use std::sync::Arc;

/// The function of a model: reads inputs and writes outputs of one batch. Called by several threads at once when the
/// config has several instances.
type Function = dyn Fn(&ModelBatch<'_>) -> Result<(), Error> + Send + Sync;

/// One batch, as the function of a registered model sees it: inputs and outputs by name.
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

impl ModelBatch<'_> {
    /// The number of requests.
    pub fn len(&self) -> usize {
        self.batch.len()
    }

    /// Whether there are no requests; never so.
    pub fn is_empty(&self) -> bool {
        self.batch.is_empty()
    }

    /// The sum of the requests' rows; 1 for a model that does not batch.
    pub fn rows(&self) -> usize {
        self.batch.rows()
    }

    /// What one request says about itself; `index < len()`.
    pub fn request(&self, index: usize) -> &dyn RequestInfo {
        self.batch.request(index)
    }

    /// All rows of an input. A request alone in its batch passes its memory through; several are joined, once.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`] when there is no such input.
    pub fn input(&self, name: &str) -> Result<TensorRef<'_>, Error> {
        self.batch.input(index(&self.signature.inputs, name, "input")?, Placement::HOST)
    }

    /// Memory to write all rows of an output into, once.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`] when there is no such output; [`crate::ErrorKind::InvalidArg`] when the shape
    /// contradicts the config or the number of rows.
    pub fn output(&self, name: &str, shape: impl Into<Shape>) -> Result<TensorMut<'_>, Error> {
        self.batch.output_buffer(index(&self.signature.outputs, name, "output")?, shape.into())
    }

    /// Hands over all rows of an output, without a copy; the only way for `BYTES`.
    ///
    /// # Errors
    /// As for [`ModelBatch::output`].
    pub fn set_output(&self, name: &str, tensor: Tensor) -> Result<(), Error> {
        self.batch.output(index(&self.signature.outputs, name, "output")?, tensor)
    }

    /// Whether any request wants this output.
    pub fn output_wanted(&self, name: &str) -> bool {
        index(&self.signature.outputs, name, "output").is_ok_and(|index| self.batch.output_wanted(index))
    }

    /// Answers one request with an error, whatever becomes of the others; `index < len()`.
    pub fn fail(&self, request: usize, error: Error) {
        self.batch.fail(request, error);
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
        (self.function)(&ModelBatch { batch, signature: &self.signature })
    }
}
