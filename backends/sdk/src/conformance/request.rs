//! One request of a test, and the tables behind it when a backend takes it out of its batch.
//!
//! The opaque pointer of a taken request is one count of its `Arc`, that of a responder one count of its reply's.

use super::reply::{Outputs, Reply};
use crate::tensor::bytes_of;
use crate::{
    Buffer, Error, ParameterValue, Placement, Request, RequestInfo, RequestTable, Responder, ResponderTable,
    ResponseFlags, Tensor, TensorRef,
};
use std::ptr::NonNull;
use std::sync::{Arc, Weak};

/// A request with inputs in memory of its own, so that the suite sees who holds on to them.
///
/// # Examples
/// ```
/// use inferlay_backend_sdk::{Error, RequestInfo, Tensor, conformance::TestRequest};
/// let request = TestRequest::new(&[Tensor::from_vec(vec![1.0f32, 2.0], [2, 1])?]);
/// assert_eq!((request.rows(), request.input(0)?.as_slice::<f32>()?), (2, &[1.0, 2.0][..]));
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug)]
pub struct TestRequest {
    inputs: Vec<Tensor>,
    rows: usize,
    wanted: Option<Vec<usize>>,
    pub(super) reply: Arc<Reply>,
    memory: Memory,
}

/// The memory of a request's inputs, seen without keeping it.
pub(super) type Memory = Vec<Weak<Vec<u64>>>;

impl TestRequest {
    /// A request with copies of these inputs that wants every output.
    ///
    /// # Examples
    /// ```
    /// use inferlay_backend_sdk::{Error, RequestInfo, Tensor, conformance::TestRequest};
    /// let x = Tensor::from_vec(vec![1.0f32], [1, 1])?;
    /// let request = TestRequest::new(std::slice::from_ref(&x));
    /// assert_ne!(request.input(0)?.data().pointer(), x.data().pointer());
    /// # Ok::<(), Error>(())
    /// ```
    pub fn new(inputs: &[Tensor]) -> Self {
        let mut memory = Memory::new();
        let inputs: Vec<Tensor> = inputs.iter().map(|input| tracked(input, &mut memory)).collect();
        let rows = inputs.first().and_then(|input| input.shape().first().copied()).unwrap_or(1);
        TestRequest { inputs, rows, wanted: None, reply: Arc::default(), memory }
    }

    /// The same, wanting these outputs only.
    ///
    /// # Examples
    /// ```
    /// use inferlay_backend_sdk::{RequestInfo, conformance::TestRequest};
    /// let request = TestRequest::new(&[]).wanting(&[1]);
    /// assert!(request.output_wanted(1) && !request.output_wanted(0));
    /// ```
    #[must_use]
    pub fn wanting(mut self, outputs: &[usize]) -> Self {
        self.wanted = Some(outputs.to_vec());
        self
    }

    pub(super) fn memory(&self) -> Memory {
        self.memory.clone()
    }
}

impl RequestInfo for TestRequest {
    fn id(&self) -> &str {
        "conformance"
    }

    fn rows(&self) -> usize {
        self.rows
    }

    fn priority(&self) -> u32 {
        0
    }

    fn deadline_ns(&self) -> Option<u64> {
        None
    }

    fn cancelled(&self) -> bool {
        false
    }

    fn parameter(&self, _name: &str) -> Option<&ParameterValue> {
        None
    }

    fn output_wanted(&self, index: usize) -> bool {
        self.wanted.as_ref().is_none_or(|wanted| wanted.contains(&index))
    }

    fn output_placement(&self, _index: usize) -> Placement {
        Placement::HOST
    }

    fn input(&self, index: usize) -> Result<TensorRef<'_>, Error> {
        let input = self.inputs.get(index).map(Tensor::view);
        input.ok_or_else(|| Error::not_found(format!("input {index}: the request has {}", self.inputs.len())))
    }
}

/// A copy of a tensor in memory whose end can be seen through `memory`.
pub(super) fn tracked(tensor: &Tensor, memory: &mut Memory) -> Tensor {
    let data = match tensor.data().bytes() {
        Ok(bytes) => tracked_bytes(bytes, memory),
        Err(_) => tensor.data().clone(),
    };
    let copy = match tensor.offsets() {
        Some(offsets) => Tensor::new_bytes(tensor.shape().clone(), data, offsets.clone()),
        None => Tensor::new(tensor.dtype(), tensor.shape().clone(), data),
    };
    copy.unwrap_or_else(|_| tensor.clone())
}

/// A copy of bytes in memory aligned to 8 whose end can be seen through `memory`.
pub(super) fn tracked_bytes(bytes: &[u8], memory: &mut Memory) -> Buffer {
    let word = |chunk: &[u8]| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        u64::from_ne_bytes(word)
    };
    let words: Arc<Vec<u64>> = Arc::new(bytes.chunks(8).map(word).collect());
    memory.push(Arc::downgrade(&words));
    Buffer::from_arc(words, |words| &bytes_of(words)[..bytes.len()])
}

/// Hands a request over to a backend.
pub(super) fn into_request(request: Arc<TestRequest>) -> Request {
    request.reply.taken();
    let raw = NonNull::from(&*request).cast();
    std::mem::forget(request);
    // SAFETY: `raw` is one count of an `Arc<TestRequest>`, which the functions of the table expect and `release` ends;
    // `TestRequest` is `Sync`, so any thread may use it.
    unsafe { Request::from_raw(raw, &REQUEST) }
}

static REQUEST: RequestTable = RequestTable { info, responder, release };
static RESPONDER: ResponderTable = ResponderTable { send, finish, cancelled, credit, free };

/// # Safety
/// `request` is one count of an `Arc<TestRequest>`, as for the two functions below.
unsafe fn info(request: NonNull<()>) -> *const dyn RequestInfo {
    request.cast::<TestRequest>().as_ptr()
}

/// # Safety
/// As for `info`.
unsafe fn responder(request: NonNull<()>) -> Responder {
    // SAFETY: the caller's promise.
    let request = unsafe { request.cast::<TestRequest>().as_ref() };
    request.reply.responder_made();
    let reply = Arc::clone(&request.reply);
    let raw = NonNull::from(&*reply).cast();
    std::mem::forget(reply);
    // SAFETY: `raw` is one count of an `Arc<Reply>`, which the functions of the table expect and `free` ends; `Reply`
    // is `Sync`, so any thread may use it.
    unsafe { Responder::from_raw(raw, &RESPONDER) }
}

/// # Safety
/// As for `info`; ends the count.
unsafe fn release(request: NonNull<()>, _release: crate::Release) {
    // SAFETY: the caller's promise.
    let request = unsafe { Arc::from_raw(request.cast::<TestRequest>().as_ptr()) };
    let reply = Arc::clone(&request.reply);
    // The inputs go first: whoever waits for the release may look at their memory.
    drop(request);
    reply.released();
}

/// # Safety
/// `responder` is one count of an `Arc<Reply>`, as for the functions below.
unsafe fn send(
    responder: NonNull<()>,
    outputs: Result<&mut dyn Iterator<Item = (usize, Tensor)>, Error>,
    flags: ResponseFlags,
) -> Result<(), Error> {
    // SAFETY: the caller's promise.
    let reply = unsafe { responder.cast::<Reply>().as_ref() };
    reply.answer(outputs.map(|outputs| outputs.collect::<Outputs>()), flags)
}

/// # Safety
/// As for `send`.
unsafe fn finish(responder: NonNull<()>) -> Result<(), Error> {
    // SAFETY: the caller's promise.
    let reply = unsafe { responder.cast::<Reply>().as_ref() };
    reply.answer(Ok(Outputs::new()), crate::ResponseFlags { last: true })
}

/// # Safety
/// As for `send`.
unsafe fn cancelled(_responder: NonNull<()>) -> bool {
    false
}

/// # Safety
/// As for `send`.
unsafe fn credit(_responder: NonNull<()>) -> usize {
    1
}

/// # Safety
/// As for `send`; ends the count.
unsafe fn free(responder: NonNull<()>) {
    // SAFETY: the caller's promise.
    let reply = unsafe { Arc::from_raw(responder.cast::<Reply>().as_ptr()) };
    reply.responder_freed();
}
