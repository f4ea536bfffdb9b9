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
pub trait Batch {
    /// The number of requests.
    fn len(&self) -> usize;

    /// Whether there are no requests; the engine never sends such a batch.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The sum of the requests' rows; 1 for a model that does not batch.
    fn rows(&self) -> usize;

    /// One request's properties; `index < len()`.
    fn request(&self, index: usize) -> &dyn RequestInfo;

    /// All rows of input `index`, gathered into `wanted` memory on the first call (a single request's memory passes
    /// through where it lies, if that is where it is wanted).
    ///
    /// # Errors
    /// [`crate::ErrorKind::Unsupported`] for memory that the engine cannot provide.
    fn input(&self, index: usize, wanted: Placement) -> Result<TensorRef<'_>, Error>;

    /// Whether any request wants output `index`.
    fn output_wanted(&self, index: usize) -> bool;

    /// Host memory for all rows of output `index`, dense and of the signature's data type: the caller's own, where it
    /// gave some and is alone in the batch. Once per output.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidArg`] when the shape contradicts the signature or the number of rows;
    /// [`crate::ErrorKind::FailedPrecondition`] for the second call; [`crate::ErrorKind::Unsupported`] for `BYTES`.
    fn output_buffer(&self, index: usize, shape: Shape) -> Result<TensorMut<'_>, Error>;

    /// Hands over all rows of output `index`; requests get views of it.
    ///
    /// # Errors
    /// As for [`Batch::output_buffer`], and [`crate::ErrorKind::InvalidArg`] when the data type is another.
    fn output(&self, index: usize, tensor: Tensor) -> Result<(), Error>;

    /// Answers one request with an error, whatever becomes of the others.
    fn fail(&self, request: usize, error: Error);

    /// Takes one request out of the batch: the backend owns it until it is released, and answers it through its
    /// responder, possibly long after `execute` has returned.
    ///
    /// # Errors
    /// [`crate::ErrorKind::FailedPrecondition`] when it was taken or failed before.
    fn take(&self, request: usize) -> Result<Request, Error>;

    /// The stream (a `cudaStream_t`) that the instance's work belongs on.
    fn stream(&self) -> Option<usize> {
        None
    }
}

/// A value that a request carries beside its tensors.
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
pub trait RequestInfo {
    /// The caller's name for it; may be empty.
    fn id(&self) -> &str;

    /// Its rows along the first dim; 1 for a model that does not batch.
    fn rows(&self) -> usize;

    /// 0 is the most urgent.
    fn priority(&self) -> u32;

    /// When the answer is worthless, in nanoseconds on the engine's monotonic clock.
    fn deadline_ns(&self) -> Option<u64>;

    /// Whether the caller no longer wants the answer; a backend that computes for long looks now and then.
    fn cancelled(&self) -> bool;

    /// A parameter by its name.
    fn parameter(&self, name: &str) -> Option<&ParameterValue>;

    /// Whether this request wants output `index`.
    fn output_wanted(&self, index: usize) -> bool;

    /// The memory that this request wants output `index` in.
    fn output_placement(&self, index: usize) -> Placement;

    /// This request's own input `index`, as it was given.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`] when there is no such input.
    fn input(&self, index: usize) -> Result<TensorRef<'_>, Error>;

    /// The sequence that it belongs to; 0 for none.
    fn correlation_id(&self) -> u64 {
        0
    }

    /// The sequence that it belongs to, where that has a name instead of a number; empty for none.
    fn correlation_text(&self) -> &str {
        ""
    }

    /// Whether it starts its sequence.
    fn sequence_start(&self) -> bool {
        false
    }

    /// Whether it ends its sequence.
    fn sequence_end(&self) -> bool {
        false
    }
}
