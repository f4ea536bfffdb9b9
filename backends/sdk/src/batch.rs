//! What the engine offers a backend during one call of `execute`.

use crate::{Error, Placement, Request, Shape, Tensor, TensorMut, TensorRef};

/// One batch, for the length of one call of [`crate::Instance::execute`].
///
/// Inputs and outputs are numbered in the order of the model's [`crate::Signature`]. Rows are counted along the first
/// dim; for a model that does not batch there is one request and its tensors pass through as they are.
///
/// When `execute` returns `Ok`, each request that was not taken is answered with its rows of the outputs, and it is an
/// [`crate::ErrorKind::Internal`] error for it if a wanted output is missing. When it returns an error, each request that
/// was not taken is answered with that error.
///
/// # Examples
/// ```
/// # use inferlay_backend_sdk::*;
/// # #[cfg(feature = "conformance")] {
/// # let (dtype, dims) = (DataType::Fp32, Some(vec![-1, 1]));
/// # let spec = |name: &str| TensorSpec { name: name.into(), dtype, dims: dims.clone(), optional: false };
/// # let signature = Signature { inputs: vec![spec("x")], outputs: vec![spec("y")], batches: true };
/// # let request = |x: f32| conformance::TestRequest::new(&[Tensor::from_vec(vec![x], [1, 1]).unwrap()]);
/// # let batch = conformance::TestBatch::new(&signature, vec![request(1.0), request(2.0)]);
/// # let batch: &dyn Batch = &batch;
/// // Two requests of one row each: x is 1 in the first and 2 in the second.
/// let x = batch.input(0, Placement::HOST)?;
/// assert_eq!((batch.len(), x.as_slice::<f32>()?), (2, &[1.0, 2.0][..]));
/// let y = batch.output_buffer(0, Shape::from([batch.rows(), 1]))?.as_mut_slice::<f32>()?;
/// y.iter_mut().zip(x.as_slice::<f32>()?).for_each(|(y, x)| *y = -x);
/// # }
/// # Ok::<(), Error>(())
/// ```
pub trait Batch {
    /// The number of requests.
    ///
    /// # Examples
    /// ```
    /// # use inferlay_backend_sdk::*;
    /// # #[cfg(feature = "conformance")] {
    /// # let (dtype, dims) = (DataType::Fp32, Some(vec![-1, 1]));
    /// # let spec = |name: &str| TensorSpec { name: name.into(), dtype, dims: dims.clone(), optional: false };
    /// # let signature = Signature { inputs: vec![spec("x")], outputs: vec![spec("y")], batches: true };
    /// # let request = |x: f32| conformance::TestRequest::new(&[Tensor::from_vec(vec![x], [1, 1]).unwrap()]);
    /// # let batch = conformance::TestBatch::new(&signature, vec![request(1.0), request(2.0)]);
    /// # let batch: &dyn Batch = &batch;
    /// // Two requests of one row each.
    /// assert_eq!(batch.len(), 2);
    /// # }
    /// # Ok::<(), Error>(())
    /// ```
    fn len(&self) -> usize;

    /// Whether there are no requests; the engine never sends such a batch.
    ///
    /// # Examples
    /// ```
    /// # use inferlay_backend_sdk::*;
    /// # #[cfg(feature = "conformance")] {
    /// # let (dtype, dims) = (DataType::Fp32, Some(vec![-1, 1]));
    /// # let spec = |name: &str| TensorSpec { name: name.into(), dtype, dims: dims.clone(), optional: false };
    /// # let signature = Signature { inputs: vec![spec("x")], outputs: vec![spec("y")], batches: true };
    /// # let request = |x: f32| conformance::TestRequest::new(&[Tensor::from_vec(vec![x], [1, 1]).unwrap()]);
    /// # let batch = conformance::TestBatch::new(&signature, vec![request(1.0), request(2.0)]);
    /// # let batch: &dyn Batch = &batch;
    /// // Two requests of one row each.
    /// assert!(!batch.is_empty());
    /// # }
    /// # Ok::<(), Error>(())
    /// ```
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The sum of the requests' rows; 1 for a model that does not batch.
    ///
    /// # Examples
    /// ```
    /// # use inferlay_backend_sdk::*;
    /// # #[cfg(feature = "conformance")] {
    /// # let (dtype, dims) = (DataType::Fp32, Some(vec![-1, 1]));
    /// # let spec = |name: &str| TensorSpec { name: name.into(), dtype, dims: dims.clone(), optional: false };
    /// # let signature = Signature { inputs: vec![spec("x")], outputs: vec![spec("y")], batches: true };
    /// # let request = |x: f32| conformance::TestRequest::new(&[Tensor::from_vec(vec![x], [1, 1]).unwrap()]);
    /// # let batch = conformance::TestBatch::new(&signature, vec![request(1.0), request(2.0)]);
    /// # let batch: &dyn Batch = &batch;
    /// // Two requests of one row each.
    /// assert_eq!(batch.rows(), 2);
    /// assert_eq!(batch.rows(), (0..batch.len()).map(|index| batch.request(index).rows()).sum());
    /// # }
    /// # Ok::<(), Error>(())
    /// ```
    fn rows(&self) -> usize;

    /// One request's properties; `index < len()`.
    ///
    /// # Panics
    /// When the batch has no such request.
    ///
    /// # Examples
    /// ```
    /// # use inferlay_backend_sdk::*;
    /// # #[cfg(feature = "conformance")] {
    /// # let (dtype, dims) = (DataType::Fp32, Some(vec![-1, 1]));
    /// # let spec = |name: &str| TensorSpec { name: name.into(), dtype, dims: dims.clone(), optional: false };
    /// # let signature = Signature { inputs: vec![spec("x")], outputs: vec![spec("y")], batches: true };
    /// # let request = |x: f32| conformance::TestRequest::new(&[Tensor::from_vec(vec![x], [1, 1]).unwrap()]);
    /// # let batch = conformance::TestBatch::new(&signature, vec![request(1.0), request(2.0)]);
    /// # let batch: &dyn Batch = &batch;
    /// // Two requests of one row each: x is 1 in the first and 2 in the second.
    /// let second = batch.request(1);
    /// assert_eq!((second.rows(), second.input(0)?.as_slice::<f32>()?), (1, &[2.0][..]));
    /// # }
    /// # Ok::<(), Error>(())
    /// ```
    fn request(&self, index: usize) -> &dyn RequestInfo;

    /// All rows of input `index`, gathered into `wanted` memory on the first call (a single request's memory passes
    /// through where it lies, if that is where it is wanted).
    ///
    /// # Errors
    /// [`crate::ErrorKind::Unsupported`] for memory that the engine cannot provide.
    ///
    /// # Examples
    /// ```
    /// # use inferlay_backend_sdk::*;
    /// # #[cfg(feature = "conformance")] {
    /// # let (dtype, dims) = (DataType::Fp32, Some(vec![-1, 1]));
    /// # let spec = |name: &str| TensorSpec { name: name.into(), dtype, dims: dims.clone(), optional: false };
    /// # let signature = Signature { inputs: vec![spec("x")], outputs: vec![spec("y")], batches: true };
    /// # let request = |x: f32| conformance::TestRequest::new(&[Tensor::from_vec(vec![x], [1, 1]).unwrap()]);
    /// # let batch = conformance::TestBatch::new(&signature, vec![request(1.0), request(2.0)]);
    /// # let batch: &dyn Batch = &batch;
    /// // Two requests of one row each: x is 1 in the first and 2 in the second.
    /// let x = batch.input(0, Placement::HOST)?;
    /// assert_eq!((&x.shape()[..], x.as_slice::<f32>()?), (&[2, 1][..], &[1.0, 2.0][..]));
    /// # }
    /// # Ok::<(), Error>(())
    /// ```
    fn input(&self, index: usize, wanted: Placement) -> Result<TensorRef<'_>, Error>;

    /// Whether any request wants output `index`.
    ///
    /// # Examples
    /// ```
    /// # use inferlay_backend_sdk::*;
    /// # #[cfg(feature = "conformance")] {
    /// # let (dtype, dims) = (DataType::Fp32, Some(vec![-1, 1]));
    /// # let spec = |name: &str| TensorSpec { name: name.into(), dtype, dims: dims.clone(), optional: false };
    /// # let signature = Signature { inputs: vec![spec("x")], outputs: vec![spec("y")], batches: true };
    /// # let request = |x: f32| conformance::TestRequest::new(&[Tensor::from_vec(vec![x], [1, 1]).unwrap()]);
    /// # let batch = conformance::TestBatch::new(&signature, vec![request(1.0), request(2.0)]);
    /// # let batch: &dyn Batch = &batch;
    /// // Every request wants output 0; there is no other.
    /// assert!(batch.output_wanted(0));
    /// # }
    /// # Ok::<(), Error>(())
    /// ```
    fn output_wanted(&self, index: usize) -> bool;

    /// Host memory for all rows of output `index`, dense and of the signature's data type: the caller's own, where it
    /// gave some and is alone in the batch. Once per output.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidArg`] when the shape contradicts the signature or the number of rows;
    /// [`crate::ErrorKind::FailedPrecondition`] for the second call; [`crate::ErrorKind::Unsupported`] for `BYTES`.
    ///
    /// # Examples
    /// ```
    /// # use inferlay_backend_sdk::*;
    /// # #[cfg(feature = "conformance")] {
    /// # let (dtype, dims) = (DataType::Fp32, Some(vec![-1, 1]));
    /// # let spec = |name: &str| TensorSpec { name: name.into(), dtype, dims: dims.clone(), optional: false };
    /// # let signature = Signature { inputs: vec![spec("x")], outputs: vec![spec("y")], batches: true };
    /// # let request = |x: f32| conformance::TestRequest::new(&[Tensor::from_vec(vec![x], [1, 1]).unwrap()]);
    /// # let batch = conformance::TestBatch::new(&signature, vec![request(1.0), request(2.0)]);
    /// # let batch: &dyn Batch = &batch;
    /// // Two requests of one row each.
    /// let y = batch.output_buffer(0, Shape::from([2, 1]))?.as_mut_slice::<f32>()?;
    /// y.fill(0.5);
    /// let error = batch.output_buffer(0, Shape::from([2, 1])).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::FailedPrecondition);
    /// # }
    /// # Ok::<(), Error>(())
    /// ```
    fn output_buffer(&self, index: usize, shape: Shape) -> Result<TensorMut<'_>, Error>;

    /// Hands over all rows of output `index`; requests get views of it.
    ///
    /// # Errors
    /// As for [`Batch::output_buffer`], and [`crate::ErrorKind::InvalidArg`] when the data type is another.
    ///
    /// # Examples
    /// ```
    /// # use inferlay_backend_sdk::*;
    /// # #[cfg(feature = "conformance")] {
    /// # let (dtype, dims) = (DataType::Fp32, Some(vec![-1, 1]));
    /// # let spec = |name: &str| TensorSpec { name: name.into(), dtype, dims: dims.clone(), optional: false };
    /// # let signature = Signature { inputs: vec![spec("x")], outputs: vec![spec("y")], batches: true };
    /// # let request = |x: f32| conformance::TestRequest::new(&[Tensor::from_vec(vec![x], [1, 1]).unwrap()]);
    /// # let batch = conformance::TestBatch::new(&signature, vec![request(1.0), request(2.0)]);
    /// # let batch: &dyn Batch = &batch;
    /// let of_another_type = Tensor::from_vec(vec![1i32, 2], [2, 1])?;
    /// assert!(batch.output(0, of_another_type).is_err());
    /// // Two requests of one row each: the tensor has both rows.
    /// batch.output(0, Tensor::from_vec(vec![0.5f32, 0.25], [2, 1])?)?;
    /// # }
    /// # Ok::<(), Error>(())
    /// ```
    fn output(&self, index: usize, tensor: Tensor) -> Result<(), Error>;

    /// Answers one request with an error, whatever becomes of the others.
    ///
    /// # Panics
    /// When the batch has no such request.
    ///
    /// # Examples
    /// ```
    /// # use inferlay_backend_sdk::*;
    /// # #[cfg(feature = "conformance")] {
    /// # let (dtype, dims) = (DataType::Fp32, Some(vec![-1, 1]));
    /// # let spec = |name: &str| TensorSpec { name: name.into(), dtype, dims: dims.clone(), optional: false };
    /// # let signature = Signature { inputs: vec![spec("x")], outputs: vec![spec("y")], batches: true };
    /// # let request = |x: f32| conformance::TestRequest::new(&[Tensor::from_vec(vec![x], [1, 1]).unwrap()]);
    /// # let batch = conformance::TestBatch::new(&signature, vec![request(1.0), request(2.0)]);
    /// # let batch: &dyn Batch = &batch;
    /// // Two requests of one row each: x is 1 in the first and 2 in the second.
    /// let x = batch.input(0, Placement::HOST)?.as_slice::<f32>()?;
    /// for index in (0..batch.len()).filter(|index| x[*index] > 1.5) {
    ///     batch.fail(index, Error::invalid_arg(format!("input 'x': found {}, expected at most 1.5", x[index])));
    /// }
    /// assert!(batch.take(1).is_err(), "it was failed");
    /// # }
    /// # Ok::<(), Error>(())
    /// ```
    fn fail(&self, request: usize, error: Error);

    /// Takes one request out of the batch: the backend owns it until it is released, and answers it through its
    /// responder, possibly long after `execute` has returned.
    ///
    /// # Errors
    /// [`crate::ErrorKind::FailedPrecondition`] when it was taken or failed before.
    ///
    /// # Panics
    /// When the batch has no such request.
    ///
    /// # Examples
    /// ```
    /// # use inferlay_backend_sdk::*;
    /// # #[cfg(feature = "conformance")] {
    /// # let (dtype, dims) = (DataType::Fp32, Some(vec![-1, 1]));
    /// # let spec = |name: &str| TensorSpec { name: name.into(), dtype, dims: dims.clone(), optional: false };
    /// # let signature = Signature { inputs: vec![spec("x")], outputs: vec![spec("y")], batches: true };
    /// # let request = |x: f32| conformance::TestRequest::new(&[Tensor::from_vec(vec![x], [1, 1]).unwrap()]);
    /// # let batch = conformance::TestBatch::new(&signature, vec![request(1.0), request(2.0)]);
    /// # let batch: &dyn Batch = &batch;
    /// // x is 1 in the first request.
    /// let request = batch.take(0)?;
    /// let (x, responder) = (request.info().input(0)?.as_slice::<f32>()?[0], request.responder());
    /// request.release(Release::Done);
    /// // `execute` may return now. The answer comes from another thread.
    /// let y = Tensor::from_vec(vec![-x], [1, 1])?;
    /// std::thread::spawn(move || responder.respond([(0, y)])).join().unwrap()?;
    /// # }
    /// # Ok::<(), Error>(())
    /// ```
    fn take(&self, request: usize) -> Result<Request, Error>;

    /// The stream (a `cudaStream_t`) that the instance's work belongs on.
    ///
    /// # Examples
    /// ```
    /// # use inferlay_backend_sdk::*;
    /// # #[cfg(feature = "conformance")] {
    /// # let (dtype, dims) = (DataType::Fp32, Some(vec![-1, 1]));
    /// # let spec = |name: &str| TensorSpec { name: name.into(), dtype, dims: dims.clone(), optional: false };
    /// # let signature = Signature { inputs: vec![spec("x")], outputs: vec![spec("y")], batches: true };
    /// # let request = |x: f32| conformance::TestRequest::new(&[Tensor::from_vec(vec![x], [1, 1]).unwrap()]);
    /// # let batch = conformance::TestBatch::new(&signature, vec![request(1.0), request(2.0)]);
    /// # let batch: &dyn Batch = &batch;
    /// // The host has no streams.
    /// assert_eq!(batch.stream(), None);
    /// # }
    /// # Ok::<(), Error>(())
    /// ```
    fn stream(&self) -> Option<usize> {
        None
    }
}

/// A value that a request carries beside its tensors.
///
/// # Examples
/// ```
/// use inferlay_backend_sdk::ParameterValue;
/// let top = |value: &ParameterValue| match value {
///     ParameterValue::Int(count) => usize::try_from(*count).ok(),
///     ParameterValue::String(text) => text.parse().ok(),
///     _ => None,
/// };
/// assert_eq!(top(&ParameterValue::Int(5)), top(&ParameterValue::String("5".to_owned())));
/// assert_eq!(top(&ParameterValue::Int(-5)), None);
/// ```
#[derive(Clone, Debug, PartialEq)]
pub enum ParameterValue {
    /// Text.
    String(String),
    /// A whole number.
    Int(i64),
    /// A floating-point number.
    Double(f64),
    /// A truth value.
    Bool(bool),
}

/// What a request says about itself. Valid before any batch exists and until the request is released; any thread.
///
/// # Examples
/// ```
/// # use inferlay_backend_sdk::*;
/// # #[cfg(feature = "conformance")] {
/// # let (dtype, dims) = (DataType::Fp32, Some(vec![-1, 1]));
/// # let spec = |name: &str| TensorSpec { name: name.into(), dtype, dims: dims.clone(), optional: false };
/// # let signature = Signature { inputs: vec![spec("x")], outputs: vec![spec("y")], batches: true };
/// # let request = |x: f32| conformance::TestRequest::new(&[Tensor::from_vec(vec![x], [1, 1]).unwrap()]);
/// # let batch = conformance::TestBatch::new(&signature, vec![request(1.0), request(2.0)]);
/// # let batch: &dyn Batch = &batch;
/// // Two requests of one row each.
/// for request in (0..batch.len()).map(|index| batch.request(index)) {
///     assert_eq!((request.rows(), request.deadline_ns(), request.cancelled()), (1, None, false));
/// }
/// # }
/// # Ok::<(), Error>(())
/// ```
pub trait RequestInfo {
    /// The caller's name for it; may be empty.
    ///
    /// # Examples
    /// ```
    /// # use inferlay_backend_sdk::*;
    /// # #[cfg(feature = "conformance")] {
    /// # let (dtype, dims) = (DataType::Fp32, Some(vec![-1, 1]));
    /// # let spec = |name: &str| TensorSpec { name: name.into(), dtype, dims: dims.clone(), optional: false };
    /// # let signature = Signature { inputs: vec![spec("x")], outputs: vec![spec("y")], batches: true };
    /// # let request = |x: f32| conformance::TestRequest::new(&[Tensor::from_vec(vec![x], [1, 1]).unwrap()]);
    /// # let batch = conformance::TestBatch::new(&signature, vec![request(1.0), request(2.0)]);
    /// # let batch: &dyn Batch = &batch;
    /// // The name that the conformance suite gives to all of its requests.
    /// assert_eq!(batch.request(0).id(), "conformance");
    /// # }
    /// # Ok::<(), Error>(())
    /// ```
    fn id(&self) -> &str;

    /// Its rows along the first dim; 1 for a model that does not batch.
    ///
    /// # Examples
    /// ```
    /// # use inferlay_backend_sdk::*;
    /// # #[cfg(feature = "conformance")] {
    /// # let (dtype, dims) = (DataType::Fp32, Some(vec![-1, 1]));
    /// # let spec = |name: &str| TensorSpec { name: name.into(), dtype, dims: dims.clone(), optional: false };
    /// # let signature = Signature { inputs: vec![spec("x")], outputs: vec![spec("y")], batches: true };
    /// # let request = |x: f32| conformance::TestRequest::new(&[Tensor::from_vec(vec![x], [1, 1]).unwrap()]);
    /// # let batch = conformance::TestBatch::new(&signature, vec![request(1.0), request(2.0)]);
    /// # let batch: &dyn Batch = &batch;
    /// // Two requests of one row each: where the rows of the second begin.
    /// let first_row: usize = (0..1).map(|index| batch.request(index).rows()).sum();
    /// assert_eq!((first_row, batch.request(1).rows()), (1, 1));
    /// # }
    /// # Ok::<(), Error>(())
    /// ```
    fn rows(&self) -> usize;

    /// 0 is the most urgent.
    ///
    /// # Examples
    /// ```
    /// # use inferlay_backend_sdk::*;
    /// # #[cfg(feature = "conformance")] {
    /// # let (dtype, dims) = (DataType::Fp32, Some(vec![-1, 1]));
    /// # let spec = |name: &str| TensorSpec { name: name.into(), dtype, dims: dims.clone(), optional: false };
    /// # let signature = Signature { inputs: vec![spec("x")], outputs: vec![spec("y")], batches: true };
    /// # let request = |x: f32| conformance::TestRequest::new(&[Tensor::from_vec(vec![x], [1, 1]).unwrap()]);
    /// # let batch = conformance::TestBatch::new(&signature, vec![request(1.0), request(2.0)]);
    /// # let batch: &dyn Batch = &batch;
    /// let most_urgent = (0..batch.len()).min_by_key(|index| batch.request(*index).priority());
    /// assert_eq!(most_urgent, Some(0));
    /// # }
    /// # Ok::<(), Error>(())
    /// ```
    fn priority(&self) -> u32;

    /// When the answer is worthless, in nanoseconds on the engine's monotonic clock.
    ///
    /// # Examples
    /// ```
    /// # use inferlay_backend_sdk::*;
    /// # #[cfg(feature = "conformance")] {
    /// # let (dtype, dims) = (DataType::Fp32, Some(vec![-1, 1]));
    /// # let spec = |name: &str| TensorSpec { name: name.into(), dtype, dims: dims.clone(), optional: false };
    /// # let signature = Signature { inputs: vec![spec("x")], outputs: vec![spec("y")], batches: true };
    /// # let request = |x: f32| conformance::TestRequest::new(&[Tensor::from_vec(vec![x], [1, 1]).unwrap()]);
    /// # let batch = conformance::TestBatch::new(&signature, vec![request(1.0), request(2.0)]);
    /// # let batch: &dyn Batch = &batch;
    /// // When the whole batch is worthless; here no request has a deadline.
    /// let deadlines = (0..batch.len()).map(|index| batch.request(index).deadline_ns());
    /// assert_eq!(deadlines.map(|deadline| deadline.unwrap_or(u64::MAX)).max(), Some(u64::MAX));
    /// # }
    /// # Ok::<(), Error>(())
    /// ```
    fn deadline_ns(&self) -> Option<u64>;

    /// Whether the caller no longer wants the answer; a backend that computes for long looks now and then.
    ///
    /// # Examples
    /// ```
    /// # use inferlay_backend_sdk::*;
    /// # #[cfg(feature = "conformance")] {
    /// # let (dtype, dims) = (DataType::Fp32, Some(vec![-1, 1]));
    /// # let spec = |name: &str| TensorSpec { name: name.into(), dtype, dims: dims.clone(), optional: false };
    /// # let signature = Signature { inputs: vec![spec("x")], outputs: vec![spec("y")], batches: true };
    /// # let request = |x: f32| conformance::TestRequest::new(&[Tensor::from_vec(vec![x], [1, 1]).unwrap()]);
    /// # let batch = conformance::TestBatch::new(&signature, vec![request(1.0), request(2.0)]);
    /// # let batch: &dyn Batch = &batch;
    /// let steps = (0..50).take_while(|_step| (0..batch.len()).any(|index| !batch.request(index).cancelled()));
    /// assert_eq!(steps.count(), 50);
    /// # }
    /// # Ok::<(), Error>(())
    /// ```
    fn cancelled(&self) -> bool;

    /// A parameter by its name.
    ///
    /// # Examples
    /// ```
    /// # use inferlay_backend_sdk::*;
    /// # #[cfg(feature = "conformance")] {
    /// # let (dtype, dims) = (DataType::Fp32, Some(vec![-1, 1]));
    /// # let spec = |name: &str| TensorSpec { name: name.into(), dtype, dims: dims.clone(), optional: false };
    /// # let signature = Signature { inputs: vec![spec("x")], outputs: vec![spec("y")], batches: true };
    /// # let request = |x: f32| conformance::TestRequest::new(&[Tensor::from_vec(vec![x], [1, 1]).unwrap()]);
    /// # let batch = conformance::TestBatch::new(&signature, vec![request(1.0), request(2.0)]);
    /// # let batch: &dyn Batch = &batch;
    /// let temperature = match batch.request(0).parameter("temperature") {
    ///     Some(ParameterValue::Double(value)) => *value,
    ///     _ => 1.0,
    /// };
    /// assert_eq!(temperature, 1.0);
    /// # }
    /// # Ok::<(), Error>(())
    /// ```
    fn parameter(&self, name: &str) -> Option<&ParameterValue>;

    /// A parameter by its number, with its name; `None` past the last.
    ///
    /// # Examples
    /// ```
    /// # use inferlay_backend_sdk::*;
    /// # #[cfg(feature = "conformance")] {
    /// # let (dtype, dims) = (DataType::Fp32, Some(vec![-1, 1]));
    /// # let spec = |name: &str| TensorSpec { name: name.into(), dtype, dims: dims.clone(), optional: false };
    /// # let signature = Signature { inputs: vec![spec("x")], outputs: vec![spec("y")], batches: true };
    /// # let request = |x: f32| conformance::TestRequest::new(&[Tensor::from_vec(vec![x], [1, 1]).unwrap()]);
    /// # let batch = conformance::TestBatch::new(&signature, vec![request(1.0), request(2.0)]);
    /// # let batch: &dyn Batch = &batch;
    /// let names = (0..).map_while(|index| Some(batch.request(0).parameter_at(index)?.0));
    /// assert_eq!(names.count(), 0);
    /// # }
    /// # Ok::<(), Error>(())
    /// ```
    fn parameter_at(&self, _index: usize) -> Option<(&str, &ParameterValue)> {
        None
    }

    /// Whether this request wants output `index`.
    ///
    /// # Examples
    /// ```
    /// # use inferlay_backend_sdk::*;
    /// # #[cfg(feature = "conformance")] {
    /// # let (dtype, dims) = (DataType::Fp32, Some(vec![-1, 1]));
    /// # let spec = |name: &str| TensorSpec { name: name.into(), dtype, dims: dims.clone(), optional: false };
    /// # let signature = Signature { inputs: vec![spec("x")], outputs: vec![spec("y")], batches: true };
    /// # let request = |x: f32| conformance::TestRequest::new(&[Tensor::from_vec(vec![x], [1, 1]).unwrap()]);
    /// # let batch = conformance::TestBatch::new(&signature, vec![request(1.0), request(2.0)]);
    /// # let batch: &dyn Batch = &batch;
    /// let wanting: Vec<_> = (0..batch.len()).filter(|index| batch.request(*index).output_wanted(0)).collect();
    /// assert_eq!(wanting, [0, 1]);
    /// # }
    /// # Ok::<(), Error>(())
    /// ```
    fn output_wanted(&self, index: usize) -> bool;

    /// The memory that this request wants output `index` in.
    ///
    /// # Examples
    /// ```
    /// # use inferlay_backend_sdk::*;
    /// # #[cfg(feature = "conformance")] {
    /// # let (dtype, dims) = (DataType::Fp32, Some(vec![-1, 1]));
    /// # let spec = |name: &str| TensorSpec { name: name.into(), dtype, dims: dims.clone(), optional: false };
    /// # let signature = Signature { inputs: vec![spec("x")], outputs: vec![spec("y")], batches: true };
    /// # let request = |x: f32| conformance::TestRequest::new(&[Tensor::from_vec(vec![x], [1, 1]).unwrap()]);
    /// # let batch = conformance::TestBatch::new(&signature, vec![request(1.0), request(2.0)]);
    /// # let batch: &dyn Batch = &batch;
    /// assert_eq!(batch.request(0).output_placement(0), Placement::HOST);
    /// # }
    /// # Ok::<(), Error>(())
    /// ```
    fn output_placement(&self, index: usize) -> Placement;

    /// This request's own input `index`, as it was given.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`] when there is no such input.
    ///
    /// # Examples
    /// ```
    /// # use inferlay_backend_sdk::*;
    /// # #[cfg(feature = "conformance")] {
    /// # let (dtype, dims) = (DataType::Fp32, Some(vec![-1, 1]));
    /// # let spec = |name: &str| TensorSpec { name: name.into(), dtype, dims: dims.clone(), optional: false };
    /// # let signature = Signature { inputs: vec![spec("x")], outputs: vec![spec("y")], batches: true };
    /// # let request = |x: f32| conformance::TestRequest::new(&[Tensor::from_vec(vec![x], [1, 1]).unwrap()]);
    /// # let batch = conformance::TestBatch::new(&signature, vec![request(1.0), request(2.0)]);
    /// # let batch: &dyn Batch = &batch;
    /// // x is 2 in the second request.
    /// assert_eq!(batch.request(1).input(0)?.as_slice::<f32>()?, [2.0]);
    /// assert_eq!(batch.request(1).input(7).unwrap_err().kind(), ErrorKind::NotFound);
    /// # }
    /// # Ok::<(), Error>(())
    /// ```
    fn input(&self, index: usize) -> Result<TensorRef<'_>, Error>;

    /// The sequence that it belongs to; 0 for none.
    ///
    /// # Examples
    /// ```
    /// # use inferlay_backend_sdk::*;
    /// # #[cfg(feature = "conformance")] {
    /// # let (dtype, dims) = (DataType::Fp32, Some(vec![-1, 1]));
    /// # let spec = |name: &str| TensorSpec { name: name.into(), dtype, dims: dims.clone(), optional: false };
    /// # let signature = Signature { inputs: vec![spec("x")], outputs: vec![spec("y")], batches: true };
    /// # let request = |x: f32| conformance::TestRequest::new(&[Tensor::from_vec(vec![x], [1, 1]).unwrap()]);
    /// # let batch = conformance::TestBatch::new(&signature, vec![request(1.0), request(2.0)]);
    /// # let batch: &dyn Batch = &batch;
    /// // The requests belong to no sequence.
    /// assert_eq!(batch.request(0).correlation_id(), 0);
    /// # }
    /// # Ok::<(), Error>(())
    /// ```
    fn correlation_id(&self) -> u64 {
        0
    }

    /// The sequence that it belongs to, where that has a name instead of a number; empty for none.
    ///
    /// # Examples
    /// ```
    /// # use inferlay_backend_sdk::*;
    /// # #[cfg(feature = "conformance")] {
    /// # let (dtype, dims) = (DataType::Fp32, Some(vec![-1, 1]));
    /// # let spec = |name: &str| TensorSpec { name: name.into(), dtype, dims: dims.clone(), optional: false };
    /// # let signature = Signature { inputs: vec![spec("x")], outputs: vec![spec("y")], batches: true };
    /// # let request = |x: f32| conformance::TestRequest::new(&[Tensor::from_vec(vec![x], [1, 1]).unwrap()]);
    /// # let batch = conformance::TestBatch::new(&signature, vec![request(1.0), request(2.0)]);
    /// # let batch: &dyn Batch = &batch;
    /// // The requests belong to no sequence.
    /// assert_eq!(batch.request(0).correlation_text(), "");
    /// # }
    /// # Ok::<(), Error>(())
    /// ```
    fn correlation_text(&self) -> &str {
        ""
    }

    /// Whether it starts its sequence.
    ///
    /// # Examples
    /// ```
    /// # use inferlay_backend_sdk::*;
    /// # #[cfg(feature = "conformance")] {
    /// # let (dtype, dims) = (DataType::Fp32, Some(vec![-1, 1]));
    /// # let spec = |name: &str| TensorSpec { name: name.into(), dtype, dims: dims.clone(), optional: false };
    /// # let signature = Signature { inputs: vec![spec("x")], outputs: vec![spec("y")], batches: true };
    /// # let request = |x: f32| conformance::TestRequest::new(&[Tensor::from_vec(vec![x], [1, 1]).unwrap()]);
    /// # let batch = conformance::TestBatch::new(&signature, vec![request(1.0), request(2.0)]);
    /// # let batch: &dyn Batch = &batch;
    /// // The requests belong to no sequence.
    /// assert!(!batch.request(0).sequence_start());
    /// # }
    /// # Ok::<(), Error>(())
    /// ```
    fn sequence_start(&self) -> bool {
        false
    }

    /// Whether it ends its sequence.
    ///
    /// # Examples
    /// ```
    /// # use inferlay_backend_sdk::*;
    /// # #[cfg(feature = "conformance")] {
    /// # let (dtype, dims) = (DataType::Fp32, Some(vec![-1, 1]));
    /// # let spec = |name: &str| TensorSpec { name: name.into(), dtype, dims: dims.clone(), optional: false };
    /// # let signature = Signature { inputs: vec![spec("x")], outputs: vec![spec("y")], batches: true };
    /// # let request = |x: f32| conformance::TestRequest::new(&[Tensor::from_vec(vec![x], [1, 1]).unwrap()]);
    /// # let batch = conformance::TestBatch::new(&signature, vec![request(1.0), request(2.0)]);
    /// # let batch: &dyn Batch = &batch;
    /// // The requests belong to no sequence.
    /// assert!(!batch.request(0).sequence_end());
    /// # }
    /// # Ok::<(), Error>(())
    /// ```
    fn sequence_end(&self) -> bool {
        false
    }
}
