//! A request that a backend has taken out of its batch, and the responder that answers it.
//!
//! Both are an opaque pointer of the engine with the engine's table of functions: the same two words that cross the
//! plugin ABI. The engine allocates what the pointer points to when a request is taken; the rest of a batch pays nothing
//! for it. Neither the release nor the answer can be forgotten: dropping
//! a [`Request`] releases it, dropping the last [`Responder`] before the final response answers with an error.

use crate::{Error, RequestInfo, Tensor};
use std::ptr::NonNull;

/// What becomes of a request that the backend lets go.
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
/// let request = batch.take(0)?;
/// let responder = request.responder();
/// request.release(Release::Done);
/// // The request and its inputs are gone; the answer may come later.
/// responder.fail(Error::unavailable("the device is gone"));
/// # }
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
#[non_exhaustive]
pub enum Release {
    /// The backend is done with its inputs.
    Done = 0,
    /// The engine schedules it once more; the backend has not answered it.
    Reschedule = 1,
}

/// What is said together with a response.
///
/// # Examples
/// ```
/// use inferlay_backend_sdk::ResponseFlags;
/// assert!(!ResponseFlags::default().last);
/// let last = ResponseFlags { last: true };
/// assert_ne!(last, ResponseFlags::default());
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResponseFlags {
    /// No further response follows.
    pub last: bool,
}

/// The engine's functions behind a [`Request`].
///
/// # Examples
/// ```
/// # #[cfg(feature = "conformance")] {
/// # use inferlay_backend_sdk::{Request, RequestTable, Responder, ResponderTable, conformance::TestRequest};
/// # use std::ptr::NonNull;
/// # static RESPONDER: ResponderTable = ResponderTable {
/// #     send: |_, _, _| Ok(()), finish: |_| Ok(()), cancelled: |_| false, credit: |_| 1, free: |_| (),
/// # };
/// // The engine's side: here a request is a pointer to a `TestRequest` that outlives it.
/// static TABLE: RequestTable = RequestTable {
///     info: |request| request.cast::<TestRequest>().as_ptr(),
///     // SAFETY: no function of that table uses the pointer.
///     responder: |request| unsafe { Responder::from_raw(request, &RESPONDER) },
///     release: |_request, _release| (),
/// };
/// let info = TestRequest::new(&[]);
/// // SAFETY: `info` outlives the request, and is not written.
/// let request = unsafe { Request::from_raw(NonNull::from(&info).cast(), &TABLE) };
/// assert_eq!(request.info().id(), "conformance");
/// # }
/// ```
#[derive(Debug)]
pub struct RequestTable {
    /// The request's properties, valid until `release`.
    pub info: unsafe fn(request: NonNull<()>) -> *const dyn RequestInfo,
    /// A new responder, which may outlive the request.
    pub responder: unsafe fn(request: NonNull<()>) -> Responder,
    /// Ends the backend's ownership; once.
    pub release: unsafe fn(request: NonNull<()>, release: Release),
}

/// What a responder sends: outputs by index, or the error that stands for them.
///
/// # Examples
/// ```
/// use inferlay_backend_sdk::{Sent, Tensor};
/// // The engine's side: how many outputs a response has.
/// let count = |sent: Sent<'_>| sent.map(|outputs| outputs.count());
/// let tensor = Tensor::from_vec(vec![1.0f32], [1]).unwrap();
/// assert_eq!(count(Ok(&mut [(0, tensor.clone()), (2, tensor)].into_iter())), Ok(2));
/// ```
pub type Sent<'a> = Result<&'a mut dyn Iterator<Item = (usize, Tensor)>, Error>;

/// The engine's functions behind a [`Responder`]; all may run on any thread.
///
/// # Examples
/// ```
/// # use inferlay_backend_sdk::{Responder, ResponderTable};
/// # use std::{ptr::NonNull, sync::atomic::{AtomicUsize, Ordering}};
/// # static SENT: AtomicUsize = AtomicUsize::new(0);
/// // The engine's side: here it only counts what is sent.
/// static TABLE: ResponderTable = ResponderTable {
///     send: |_responder, _outputs, _flags| Ok(_ = SENT.fetch_add(1, Ordering::Relaxed)),
///     finish: |_responder| Ok(()), cancelled: |_responder| false, credit: |_responder| 1, free: |_responder| (),
/// };
/// // SAFETY: no function of the table uses the pointer.
/// let responder = unsafe { Responder::from_raw(NonNull::dangling(), &TABLE) };
/// responder.respond([]).unwrap();
/// assert_eq!(SENT.load(Ordering::Relaxed), 1);
/// ```
#[derive(Debug)]
pub struct ResponderTable {
    /// Sends one response: outputs by index, or an error.
    pub send: unsafe fn(responder: NonNull<()>, outputs: Sent<'_>, flags: ResponseFlags) -> Result<(), Error>,
    /// Ends the answer without a further response.
    pub finish: unsafe fn(responder: NonNull<()>) -> Result<(), Error>,
    /// Whether the caller no longer wants the answer.
    pub cancelled: unsafe fn(responder: NonNull<()>) -> bool,
    /// How many more responses the caller can take without blocking.
    pub credit: unsafe fn(responder: NonNull<()>) -> usize,
    /// Gives the responder up; the engine answers with an error if nothing final was sent.
    pub free: unsafe fn(responder: NonNull<()>),
}

/// A request that a backend owns, with its inputs, until it is released. Dropping releases it as [`Release::Done`].
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
/// assert_eq!(request.info().input(0)?.as_slice::<f32>()?, [1.0]);
/// request.responder().respond([(0, Tensor::from_vec(vec![-1.0f32], [1, 1])?)])?;
/// assert!(batch.take(0).is_err(), "it was taken before");
/// # }
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug)]
pub struct Request {
    raw: NonNull<()>,
    table: &'static RequestTable,
}

// SAFETY: the promise of `from_raw` lets any one thread at a time use it.
unsafe impl Send for Request {}

impl Request {
    /// A request of the engine.
    ///
    /// # Safety
    /// Until `release` has run, `raw` may be passed to each function of `table`, on any one thread at a time.
    ///
    /// # Examples
    /// ```
    /// # #[cfg(feature = "conformance")] {
    /// # use inferlay_backend_sdk::{Request, RequestTable, Responder, ResponderTable, conformance::TestRequest};
    /// # use std::ptr::NonNull;
    /// # static RESPONDER: ResponderTable = ResponderTable {
    /// #     send: |_, _, _| Ok(()), finish: |_| Ok(()), cancelled: |_| false, credit: |_| 1, free: |_| (),
    /// # };
    /// # static TABLE: RequestTable = RequestTable {
    /// #     info: |request| request.cast::<TestRequest>().as_ptr(),
    /// #     responder: |request| unsafe { Responder::from_raw(request, &RESPONDER) },
    /// #     release: |_, _| (),
    /// # };
    /// let info = TestRequest::new(&[]);
    /// // SAFETY: `info` outlives the request, and every function of `TABLE` takes a pointer to a `TestRequest`.
    /// let request = unsafe { Request::from_raw(NonNull::from(&info).cast(), &TABLE) };
    /// assert_eq!(request.info().rows(), 1);
    /// # }
    /// ```
    pub unsafe fn from_raw(raw: NonNull<()>, table: &'static RequestTable) -> Self {
        Request { raw, table }
    }

    /// Its properties and inputs.
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
    /// let info = request.info();
    /// assert_eq!((info.rows(), info.input(0)?.as_slice::<f32>()?), (1, &[1.0][..]));
    /// # }
    /// # Ok::<(), Error>(())
    /// ```
    pub fn info(&self) -> &dyn RequestInfo {
        // SAFETY: `from_raw` promised that `raw` is valid until the release, which takes `self`.
        let info = unsafe { (self.table.info)(self.raw) };
        // SAFETY: the table promises that the properties stay valid until the release, which takes `self`.
        unsafe { &*info }
    }

    /// What answers it; may outlive it and go to any thread.
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
    /// let request = batch.take(0)?;
    /// let responder = request.responder();
    /// drop(request);
    /// let y = Tensor::from_vec(vec![-1.0f32], [1, 1])?;
    /// std::thread::spawn(move || responder.respond([(0, y)])).join().unwrap()?;
    /// # }
    /// # Ok::<(), Error>(())
    /// ```
    pub fn responder(&self) -> Responder {
        // SAFETY: as for `info`.
        unsafe { (self.table.responder)(self.raw) }
    }

    /// Lets the request and its inputs go.
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
    /// let request = batch.take(0)?;
    /// let (x, responder) = (request.info().input(0)?.as_slice::<f32>()?[0], request.responder());
    /// // The input is read; the caller may have its memory back.
    /// request.release(Release::Done);
    /// responder.respond([(0, Tensor::from_vec(vec![-x], [1, 1])?)])?;
    /// # }
    /// # Ok::<(), Error>(())
    /// ```
    pub fn release(self, release: Release) {
        let request = std::mem::ManuallyDrop::new(self);
        // SAFETY: `ManuallyDrop` keeps `drop` from releasing a second time.
        unsafe { (request.table.release)(request.raw, release) };
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        // SAFETY: dropped once, and `release` forgets `self`.
        unsafe { (self.table.release)(self.raw, Release::Done) };
    }
}

/// Answers one request, from any thread: once, or as often as it likes where the model is decoupled
/// (`model_transaction_policy: {decoupled: true}` in its config, or [`crate::Model::is_decoupled`]).
///
/// Responses arrive in the order of their sending. A model that may be ahead of the caller looks at
/// [`Responder::credit`] before each. The last response, an error, or [`Responder::finish`] ends the answer; so does a
/// deadline, a cancel or a stop, which [`Responder::cancelled`] tells.
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
/// let responder = batch.take(0)?.responder();
/// // Any thread, any time later:
/// if responder.cancelled() {
///     responder.fail(Error::new(ErrorKind::Cancelled, "seen by the backend"));
/// } else {
///     responder.respond([(0, Tensor::from_vec(vec![-1.0f32], [1, 1])?)])?;
/// }
/// # }
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug)]
pub struct Responder {
    raw: NonNull<()>,
    table: &'static ResponderTable,
}

// SAFETY: the promise of `from_raw` lets any thread use it.
unsafe impl Send for Responder {}

impl Responder {
    /// A responder of the engine.
    ///
    /// # Safety
    /// Until `free` has run, `raw` may be passed to each function of `table`, on any one thread at a time.
    ///
    /// # Examples
    /// ```
    /// # use inferlay_backend_sdk::{Responder, ResponderTable};
    /// # use std::ptr::NonNull;
    /// # static TABLE: ResponderTable = ResponderTable {
    /// #     send: |_, _, _| Ok(()), finish: |_| Ok(()), cancelled: |_| false, credit: |_| 1, free: |_| (),
    /// # };
    /// // SAFETY: no function of `TABLE` uses the pointer.
    /// let responder = unsafe { Responder::from_raw(NonNull::dangling(), &TABLE) };
    /// assert_eq!(responder.credit(), 1);
    /// ```
    pub unsafe fn from_raw(raw: NonNull<()>, table: &'static ResponderTable) -> Self {
        Responder { raw, table }
    }

    /// Sends the one and final response: outputs by their index.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidArg`] when an output contradicts the signature: the caller then gets that error.
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
    /// let responder = batch.take(0)?.responder();
    /// let y = Tensor::from_vec(vec![-1.0f32], [1, 1])?;
    /// assert!(responder.respond([(0, y)]).is_ok());
    /// # }
    /// # Ok::<(), Error>(())
    /// ```
    pub fn respond(self, outputs: impl IntoIterator<Item = (usize, Tensor)>) -> Result<(), Error> {
        self.send(outputs, ResponseFlags { last: true })
    }

    /// Sends a response; without outputs and as the last, what [`Responder::finish`] does.
    ///
    /// # Errors
    /// As for [`Responder::respond`]; [`crate::ErrorKind::FailedPrecondition`] after the final one;
    /// [`crate::ErrorKind::Unsupported`] for one that is not the last, of a model that is not decoupled, and for a
    /// second one to a caller that takes one. Of a decoupled model, also [`crate::ErrorKind::Cancelled`] when nobody
    /// takes it any more, and [`crate::ErrorKind::ResourceExhausted`] when the caller is 16 times its credit behind:
    /// then it may be sent once more, later.
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
    /// let responder = batch.take(0)?.responder();
    /// let y = Tensor::from_vec(vec![-1.0f32], [1, 1])?;
    /// responder.send([(0, y)], ResponseFlags { last: true })?;
    /// let error = responder.send([], ResponseFlags { last: true }).unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::FailedPrecondition);
    /// # }
    /// # Ok::<(), Error>(())
    /// ```
    pub fn send(&self, outputs: impl IntoIterator<Item = (usize, Tensor)>, flags: ResponseFlags) -> Result<(), Error> {
        let mut outputs = outputs.into_iter();
        // SAFETY: `from_raw` promised that `raw` is valid until it is freed, which `drop` alone does.
        unsafe { (self.table.send)(self.raw, Ok(&mut outputs), flags) }
    }

    /// Ends the answer without a further response.
    ///
    /// # Errors
    /// As for [`Responder::send`]; [`crate::ErrorKind::Unsupported`] where the caller was sent nothing and expects one
    /// response.
    ///
    /// # Examples
    /// ```
    /// # use inferlay_backend_sdk::*;
    /// // Of a decoupled model: the positive numbers, one response each, if there are any.
    /// fn positive(x: &[f32], responder: &Responder) -> Result<(), Error> {
    ///     for x in x.iter().filter(|x| **x > 0.0) {
    ///         if responder.cancelled() {
    ///             break;
    ///         }
    ///         responder.send([(0, Tensor::from_vec(vec![*x], [1])?)], ResponseFlags::default())?;
    ///     }
    ///     responder.finish()
    /// }
    /// # #[cfg(feature = "conformance")] {
    /// # let batch = conformance::TestBatch::new(&Signature::default(), vec![conformance::TestRequest::new(&[])]);
    /// # let batch: &dyn Batch = &batch;
    /// let responder = batch.take(0)?.responder();
    /// positive(&[1.0, -1.0, 2.0], &responder)?;
    /// assert_eq!(responder.finish().unwrap_err().kind(), ErrorKind::FailedPrecondition);
    /// # }
    /// # Ok::<(), Error>(())
    /// ```
    pub fn finish(&self) -> Result<(), Error> {
        // SAFETY: as for `send`.
        unsafe { (self.table.finish)(self.raw) }
    }

    /// Answers with an error, finally.
    ///
    /// # Examples
    /// ```
    /// # use inferlay_backend_sdk::*;
    /// # struct Refuse;
    /// impl Instance for Refuse {
    ///     fn execute(&mut self, batch: &dyn Batch) -> Result<(), Error> {
    ///         batch.take(0)?.responder().fail(Error::unavailable("the device is gone"));
    ///         Ok(())
    ///     }
    /// }
    /// # #[cfg(feature = "conformance")] {
    /// # let batch = conformance::TestBatch::new(&Signature::default(), vec![conformance::TestRequest::new(&[])]);
    /// # let answers = batch.execute(&mut Refuse).unwrap();
    /// # assert_eq!(answers[0].as_ref().unwrap_err().message(), "the device is gone");
    /// # }
    /// ```
    pub fn fail(self, error: Error) {
        // SAFETY: as for `send`.
        let _after_an_answer = unsafe { (self.table.send)(self.raw, Err(error), ResponseFlags { last: true }) };
    }

    /// Whether the caller no longer wants the answer.
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
    /// let responder = batch.take(0)?.responder();
    /// let steps = (0..50).take_while(|_step| !responder.cancelled());
    /// assert_eq!(steps.count(), 50);
    /// # }
    /// # Ok::<(), Error>(())
    /// ```
    pub fn cancelled(&self) -> bool {
        // SAFETY: as for `send`.
        unsafe { (self.table.cancelled)(self.raw) }
    }

    /// How many more responses the caller can take now, before it has fallen behind. It is advice: one that is sent past
    /// it is not lost. It rises again when the caller takes responses; 0 once nothing more is wanted.
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
    /// // The caller of this request takes one answer.
    /// assert_eq!(batch.take(0)?.responder().credit(), 1);
    /// # }
    /// # Ok::<(), Error>(())
    /// ```
    pub fn credit(&self) -> usize {
        // SAFETY: as for `send`.
        unsafe { (self.table.credit)(self.raw) }
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        // SAFETY: dropped once.
        unsafe { (self.table.free)(self.raw) };
    }
}
