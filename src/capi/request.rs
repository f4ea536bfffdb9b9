//! Requests: bound to a model when made, filled in, sent, and used again once they are released.
//!
//! ```text
//!   IDLE --a setter--> BUSY --> IDLE            a setter owns the parts for its call
//!   IDLE --infer-----> BUSY --> IDLE            until it returns
//!   IDLE --infer_async, infer_queue--> BUSY --release--> IDLE       see `submission`
//! ```
//!
//! Invariants: 1. whoever made it BUSY is the one to touch the parts; who comes second gets a status. 2. a request lives
//! until the caller has freed it and its flight is over. 3. `cancel` touches neither, so any thread may call it.

use super::door::{door, quiet_door};
use super::handle::{borrow, out, utf8};
use super::input::Input;
use super::model::find;
use super::output::Output;
use super::server::Server;
use super::status::Status;
use super::submission::Flight;
use crate::flow::{self, CancelToken, Sequence};
use crate::server::ModelHandle;
use crate::sync::{AtomicBool, AtomicU32, Ordering};
use inferlay_backend_sdk::{Error, ErrorKind, ParameterValue};
use std::cell::UnsafeCell;
use std::ffi::c_char;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

const IN_FLIGHT: Error = Error::fixed(ErrorKind::FailedPrecondition, "the request is in flight");

/// One request to one model: inputs, wishes, parameters. Used by one thread at a time, but for cancel, which any thread
/// may call at any time; used any number of times, one after the other.
pub struct Request {
    /// The caller's count, and the flight's.
    owners: AtomicU32,
    is_busy: AtomicBool,
    /// Whether the caller has freed it while it was in flight.
    is_freed: AtomicBool,
    cancel: CancelToken,
    server: NonNull<Server>,
    pub(super) model: ModelHandle,
    pub(super) flight: Flight,
    parts: UnsafeCell<Parts>,
}

// SAFETY: the parts belong to whoever made it busy, see the module's invariants; all else may be shared.
unsafe impl Send for Request {}
// SAFETY: as for `Send`.
unsafe impl Sync for Request {}

/// What is asked.
#[derive(Default)]
pub(super) struct Parts {
    pub(super) inputs: Vec<Input>,
    pub(super) outputs: Vec<Output>,
    pub(super) id: String,
    /// 0 for none.
    pub(super) deadline_ns: u64,
    /// 0 for none.
    pub(super) timeout_ns: u64,
    pub(super) queue_timeout_ns: u64,
    pub(super) priority: u32,
    pub(super) is_traced: bool,
    pub(super) sequence: Sequence,
    pub(super) parameters: Vec<(String, ParameterValue)>,
}

impl Parts {
    /// What is not a tensor, as the engine takes it.
    pub(super) fn describe<'a>(&'a self, request: &mut flow::Request<'a>) {
        request.describe(flow::Description {
            id: &self.id,
            deadline_ns: self.deadline_ns,
            timeout_ns: self.timeout_ns,
            queue_timeout_ns: self.queue_timeout_ns,
            priority: self.priority,
            is_traced: self.is_traced,
            sequence: &self.sequence,
            parameters: &self.parameters,
        });
    }
}

/// An owner of a request for the length of a call.
pub(super) struct Alive(NonNull<Request>);

impl Alive {
    pub(super) fn new(request: &Request) -> Self {
        request.retain();
        Alive(NonNull::from(request))
    }
}

impl Drop for Alive {
    fn drop(&mut self) {
        // SAFETY: the count that `new` added.
        unsafe { Request::release(self.0) };
    }
}

/// The right to a request's parts.
pub(super) struct Busy<'a>(&'a Request);

impl Request {
    pub(super) fn new(server: NonNull<Server>, model: ModelHandle) -> NonNull<Request> {
        let request = Request {
            owners: AtomicU32::new(1),
            is_busy: AtomicBool::new(false),
            is_freed: AtomicBool::new(false),
            cancel: CancelToken::new(),
            server,
            model,
            flight: Flight::default(),
            parts: UnsafeCell::new(Parts::default()),
        };
        NonNull::from(Box::leak(Box::new(request)))
    }

    /// Makes it busy.
    ///
    /// # Errors
    /// `FAILED_PRECONDITION` when it is so already.
    pub(super) fn begin(&self) -> Result<Busy<'_>, Error> {
        if self.is_busy.swap(true, Ordering::Acquire) { Err(IN_FLIGHT) } else { Ok(Busy(self)) }
    }

    /// Refuses another server than the one that the request was made for.
    #[inline]
    pub(super) fn check(&self, server: *const Server) -> Result<(), Error> {
        if !std::ptr::eq(self.server.as_ptr(), server) {
            // SAFETY: checked for NULL here, and what is not NULL is a server by the promise of every caller.
            unsafe { borrow(server, "server") }?;
            return Err(Error::fixed(ErrorKind::InvalidArg, "request: it was made for another server"));
        }
        // SAFETY: a server's stone is never freed.
        unsafe { self.server.as_ref() }.check()
    }

    pub(super) fn cancel_token(&self) -> &CancelToken {
        &self.cancel
    }

    pub(super) fn is_freed(&self) -> bool {
        self.is_freed.load(Ordering::Acquire)
    }

    /// One more owner: the flight, or a call.
    pub(super) fn retain(&self) {
        self.owners.fetch_add(1, Ordering::Relaxed);
    }

    /// Ends being busy, for the one who kept it so with [`Busy::keep`].
    pub(super) fn end(&self) {
        self.is_busy.store(false, Ordering::Release);
    }

    /// One owner less; the last one frees.
    ///
    /// # Safety
    /// The caller has a count and gives it up; `request` is not used afterwards.
    pub(super) unsafe fn release(request: NonNull<Request>) {
        // SAFETY: the caller's count keeps it alive.
        let is_last = unsafe { request.as_ref() }.owners.fetch_sub(1, Ordering::AcqRel) == 1;
        if is_last {
            // SAFETY: it came from a leaked box in `new`, and nobody else is left.
            drop(unsafe { Box::from_raw(request.as_ptr()) });
        }
    }
}

impl<'a> Busy<'a> {
    /// Leaves it busy, until [`Request::end`]. The parts are not to be looked at after that.
    pub(super) fn keep(self) -> &'a Parts {
        let request = self.0;
        std::mem::forget(self);
        // SAFETY: nobody changes the parts while the request is busy.
        unsafe { &*request.parts.get() }
    }
}

impl Deref for Busy<'_> {
    type Target = Parts;

    fn deref(&self) -> &Parts {
        // SAFETY: this is the one owner of the parts, until it is dropped.
        unsafe { &*self.0.parts.get() }
    }
}

impl DerefMut for Busy<'_> {
    fn deref_mut(&mut self) -> &mut Parts {
        // SAFETY: this is the one owner of the parts, until it is dropped, and it is borrowed exclusively.
        unsafe { &mut *self.0.parts.get() }
    }
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Changes the parts of an idle request.
///
/// # Safety
/// `request` is NULL or a request of the caller.
pub(super) unsafe fn edit(request: *mut Request, change: impl FnOnce(&mut Parts) -> Result<(), Error>) -> *mut Status {
    door(|| {
        // SAFETY: the caller's promise.
        let request = unsafe { borrow(request.cast_const(), "request") }?;
        change(&mut *request.begin()?)
    })
}

/// As [`edit`], for a change that cannot fail.
///
/// # Safety
/// As for [`edit`].
pub(super) unsafe fn set(request: *mut Request, change: impl FnOnce(&mut Parts)) -> *mut Status {
    let change = |parts: &mut Parts| {
        change(parts);
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { edit(request, change) }
}

/// Makes a request to a model of a server.                                                [any thread] [never blocks]
///
/// `model`: borrowed for the call. `version`: 0 for the highest that serves, also after the model has changed.
/// `request`: where the request goes, which is then the caller's, to be freed with `inferlay_request_free`; not NULL.
/// Fails with NOT_FOUND or UNAVAILABLE, with the reason. Make requests once and use them again: a request that is sent
/// a second time allocates nothing.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_request_new(
    server: *const Server,
    model: *const c_char,
    version: u64,
    request: *mut *mut Request,
) -> *mut Status {
    door(|| {
        // SAFETY: the caller's promise.
        let place = unsafe { out(request, "request") }?;
        // SAFETY: the caller's promise.
        let found = NonNull::from(unsafe { borrow(server, "server") }?);
        // SAFETY: it was borrowed just now.
        let handle = unsafe { found.as_ref() }.handle()?;
        // SAFETY: the caller's promise.
        let model = unsafe { find(&handle, model, version) }?;
        place.write(Request::new(found, model).as_ptr());
        Ok(())
    })
}

/// Frees a request.                                                                       [any thread] [never blocks]
///
/// `request`: taken; NULL does nothing. One that is in flight is answered and released as if it were not freed, and
/// goes then; `on_release` is given NULL in its place. Do not free it while `inferlay_infer` runs with it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_request_free(request: *mut Request) {
    quiet_door((), || {
        // SAFETY: the caller's promise.
        let found = NonNull::from(unsafe { borrow(request.cast_const(), "request") }?);
        // SAFETY: it was borrowed just now.
        unsafe { found.as_ref() }.is_freed.store(true, Ordering::Release);
        // SAFETY: the caller gives its count up.
        unsafe { Request::release(found) };
        Ok(())
    });
}

/// Empties a request: no inputs, outputs, parameters or wishes, not cancelled, for the same model.
///                                                                                        [one thread] [never blocks]
/// Fails with FAILED_PRECONDITION while it is in flight. So do all functions that change a request.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_request_reset(request: *mut Request) -> *mut Status {
    door(|| {
        // SAFETY: the caller's promise.
        let request = unsafe { borrow(request.cast_const(), "request") }?;
        let mut parts = request.begin()?;
        *parts = Parts::default();
        request.cancel.reset();
        Ok(())
    })
}

/// Cancels a request: what waits is answered at once with CANCELLED, what runs as soon as no memory of the caller is in
/// the backend's hands.                                                                   [any thread] [never blocks]
///
/// At any time, also before the request is sent: it then is refused or answered with CANCELLED; any number of times. It
/// stays cancelled until `inferlay_request_rearm` or `inferlay_request_reset`. No callback runs inside this call.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_request_cancel(request: *mut Request) -> *mut Status {
    door(|| {
        // SAFETY: the caller's promise.
        unsafe { borrow(request.cast_const(), "request") }?.cancel.cancel();
        Ok(())
    })
}

/// Makes a request that was cancelled good for sending again, with all it has.            [one thread] [never blocks]
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_request_rearm(request: *mut Request) -> *mut Status {
    door(|| {
        // SAFETY: the caller's promise.
        let request = unsafe { borrow(request.cast_const(), "request") }?;
        let _parts = request.begin()?;
        request.cancel.reset();
        Ok(())
    })
}

/// A name for traces and backends; any text, "" for none.                                 [one thread] [never blocks]
///
/// `id`: borrowed for the call.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_request_set_id(request: *mut Request, id: *const c_char) -> *mut Status {
    // SAFETY: the caller's promise.
    let id = || unsafe { utf8(id, "id") };
    let change = |parts: &mut Parts| {
        let id = id()?;
        parts.id.clear();
        parts.id.push_str(id);
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { edit(request, change) }
}
