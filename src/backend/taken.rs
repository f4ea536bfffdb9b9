//! The engine's side of a request that a backend has taken, behind the SDK's tables.
//!
//! A boxed [`TakenRequest`] becomes a `Request`, an `Arc` of a [`TakenResponder`] a `Responder`; the tables are made once
//! per type.

use inferlay_backend_sdk::{
    Error, Release, Request, RequestInfo, RequestTable, Responder, ResponderTable, ResponseFlags, Sent,
};
use std::marker::PhantomData;
use std::ptr::NonNull;
use std::sync::Arc;

/// A request that a backend owns until it is released.
pub(crate) trait TakenRequest: RequestInfo + Send + Sized + 'static {
    /// What answers it.
    type Responder: TakenResponder;

    /// What answers it; may outlive it.
    fn responder(&self) -> Arc<Self::Responder>;

    /// The backend lets it go.
    fn release(self, release: Release);
}

/// What answers a taken request; dropped when the backend gives its last responder up.
pub(crate) trait TakenResponder: Send + Sync + 'static {
    /// Sends a response.
    fn send(&self, outputs: Sent<'_>, flags: ResponseFlags) -> Result<(), Error>;

    /// Ends the answer without a further response.
    fn finish(&self) -> Result<(), Error>;

    /// Whether the caller no longer wants the answer.
    fn cancelled(&self) -> bool;

    /// How many more responses the caller can take.
    fn credit(&self) -> usize;
}

/// The SDK's form of a taken request.
pub(crate) fn request<T: TakenRequest>(taken: T) -> Request {
    let raw = NonNull::from(Box::leak(Box::new(taken))).cast();
    // SAFETY: `raw` is a leaked box of `T`, which every function of `Table::<T>` expects, until `release` takes it back.
    unsafe { Request::from_raw(raw, &Table::<T>::REQUEST) }
}

struct Table<T>(PhantomData<T>);

impl<T: TakenRequest> Table<T> {
    const REQUEST: RequestTable = RequestTable { info: Self::info, responder: Self::responder, release: Self::release };

    /// # Safety
    /// `request` is a leaked box of `T` that was not released.
    unsafe fn info(request: NonNull<()>) -> *const dyn RequestInfo {
        request.cast::<T>().as_ptr()
    }

    /// # Safety
    /// As for `info`.
    unsafe fn responder(request: NonNull<()>) -> Responder {
        // SAFETY: the caller's promise.
        let request = unsafe { request.cast::<T>().as_ref() };
        let raw = Arc::into_raw(request.responder()).cast_mut().cast();
        // SAFETY: `Arc::into_raw` never returns null.
        let raw = unsafe { NonNull::new_unchecked(raw) };
        // SAFETY: `raw` holds a count of an `Arc` of the responder, which every function of the table expects, until
        // `free` gives it up.
        unsafe { Responder::from_raw(raw, &ResponderTables::<T::Responder>::RESPONDER) }
    }

    /// # Safety
    /// As for `info`; the request is not used afterwards.
    unsafe fn release(request: NonNull<()>, release: Release) {
        // SAFETY: the caller's promise.
        let request = unsafe { Box::from_raw(request.cast::<T>().as_ptr()) };
        request.release(release);
    }
}

struct ResponderTables<R>(PhantomData<R>);

impl<R: TakenResponder> ResponderTables<R> {
    const RESPONDER: ResponderTable = ResponderTable {
        send: Self::send,
        finish: Self::finish,
        cancelled: Self::cancelled,
        credit: Self::credit,
        free: Self::free,
    };

    /// # Safety
    /// `responder` holds a count of an `Arc<R>`.
    unsafe fn send(responder: NonNull<()>, outputs: Sent<'_>, flags: ResponseFlags) -> Result<(), Error> {
        // SAFETY: the caller's promise.
        unsafe { responder.cast::<R>().as_ref() }.send(outputs, flags)
    }

    /// # Safety
    /// As for `send`.
    unsafe fn finish(responder: NonNull<()>) -> Result<(), Error> {
        // SAFETY: the caller's promise.
        unsafe { responder.cast::<R>().as_ref() }.finish()
    }

    /// # Safety
    /// As for `send`.
    unsafe fn cancelled(responder: NonNull<()>) -> bool {
        // SAFETY: the caller's promise.
        unsafe { responder.cast::<R>().as_ref() }.cancelled()
    }

    /// # Safety
    /// As for `send`.
    unsafe fn credit(responder: NonNull<()>) -> usize {
        // SAFETY: the caller's promise.
        unsafe { responder.cast::<R>().as_ref() }.credit()
    }

    /// # Safety
    /// As for `send`; the count is given up.
    unsafe fn free(responder: NonNull<()>) {
        // SAFETY: the caller's promise.
        drop(unsafe { Arc::from_raw(responder.cast::<R>().as_ptr()) });
    }
}
