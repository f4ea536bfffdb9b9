//! A request that a backend has taken out of its batch, and the responder that answers it.
//!
//! Both are an opaque pointer of the engine with the engine's table of functions: the same two words that cross the
//! plugin ABI. The engine allocates what the pointer points to when a request is taken; the rest of a batch pays nothing
//! for it. Neither the release nor the answer can be forgotten: dropping
//! a [`Request`] releases it, dropping the last [`Responder`] before the final response answers with an error.

use crate::{Error, RequestInfo, Tensor};
use std::ptr::NonNull;

/// What becomes of a request that the backend lets go.
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
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ResponseFlags {
    /// No further response follows.
    pub last: bool,
}

/// The engine's functions behind a [`Request`].
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
pub type Sent<'a> = Result<&'a mut dyn Iterator<Item = (usize, Tensor)>, Error>;

/// The engine's functions behind a [`Responder`]; all may run on any thread.
#[derive(Debug)]
pub struct ResponderTable {
    /// Sends one response: outputs by index, or an error.
    pub send: unsafe fn(responder: NonNull<()>, outputs: Sent<'_>, flags: ResponseFlags) -> Result<(), Error>,
    /// Whether the caller no longer wants the answer.
    pub cancelled: unsafe fn(responder: NonNull<()>) -> bool,
    /// How many more responses the caller can take without blocking.
    pub credit: unsafe fn(responder: NonNull<()>) -> usize,
    /// Gives the responder up; the engine answers with an error if nothing final was sent.
    pub free: unsafe fn(responder: NonNull<()>),
}

/// A request that a backend owns, with its inputs, until it is released. Dropping releases it as [`Release::Done`].
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
    pub unsafe fn from_raw(raw: NonNull<()>, table: &'static RequestTable) -> Self {
        Request { raw, table }
    }

    /// Its properties and inputs.
    pub fn info(&self) -> &dyn RequestInfo {
        // SAFETY: `from_raw` promised that `raw` is valid until the release, which takes `self`.
        let info = unsafe { (self.table.info)(self.raw) };
        // SAFETY: the table promises that the properties stay valid until the release, which takes `self`.
        unsafe { &*info }
    }

    /// What answers it; may outlive it and go to any thread.
    pub fn responder(&self) -> Responder {
        // SAFETY: as for `info`.
        unsafe { (self.table.responder)(self.raw) }
    }

    /// Lets the request and its inputs go.
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

/// Answers one request, from any thread, once or (for decoupled models) several times.
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
    pub unsafe fn from_raw(raw: NonNull<()>, table: &'static ResponderTable) -> Self {
        Responder { raw, table }
    }

    /// Sends the one and final response: outputs by their index.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidArg`] when an output contradicts the signature: the caller then gets that error.
    pub fn respond(self, outputs: impl IntoIterator<Item = (usize, Tensor)>) -> Result<(), Error> {
        self.send(outputs, ResponseFlags { last: true })
    }

    /// Sends a response.
    ///
    /// # Errors
    /// As for [`Responder::respond`]; [`crate::ErrorKind::FailedPrecondition`] after the final one;
    /// [`crate::ErrorKind::Unsupported`] for a second response to a caller that expects one.
    pub fn send(&self, outputs: impl IntoIterator<Item = (usize, Tensor)>, flags: ResponseFlags) -> Result<(), Error> {
        let mut outputs = outputs.into_iter();
        // SAFETY: `from_raw` promised that `raw` is valid until it is freed, which `drop` alone does.
        unsafe { (self.table.send)(self.raw, Ok(&mut outputs), flags) }
    }

    /// Answers with an error, finally.
    pub fn fail(self, error: Error) {
        // SAFETY: as for `send`.
        let _after_an_answer = unsafe { (self.table.send)(self.raw, Err(error), ResponseFlags { last: true }) };
    }

    /// Whether the caller no longer wants the answer.
    pub fn cancelled(&self) -> bool {
        // SAFETY: as for `send`.
        unsafe { (self.table.cancelled)(self.raw) }
    }

    /// How many more responses the caller can take now.
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
