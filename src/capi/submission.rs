//! The flight of one request that is answered later: who still reaches its memory, and what is told to whom, in which
//! order.
//!
//! ```text
//!   users = 1 (the answer to come) + every buffer of the engine over memory that the request borrows
//!   answered: on_response, then the answer's user goes      last user gone: the request is idle, then on_release
//! ```
//!
//! The counts lie in the request itself, so that a flight allocates nothing. Invariants: 1. `on_release` comes once, and
//! after the final `on_response` has returned. 2. Whoever is the last user posts the release to the messenger, but for
//! the thread that has just called `on_response`: that is the engine's and holds no lock. 3. A flight that was refused,
//! or that nobody can be told of because the server has stopped, ends in silence.

use super::handle::UserData;
use super::input::Piece;
use super::queue::{Event, Queue};
use super::request::Request;
use super::response;
use super::status::Status;
use crate::flow::Response;
use crate::sync::{AtomicBool, AtomicUsize, Callback, Ordering};
use inferlay_backend_sdk::{Buffer, BufferTable, Error, Placement};
use std::cell::UnsafeCell;
use std::ffi::c_void;
use std::mem::ManuallyDrop;
use std::ptr::NonNull;
use std::sync::Arc;

/// Flags of a response: a sum of `INFERLAY_RESPONSE_*`.
pub type ResponseFlags = u32;
/// No further response follows.
pub const INFERLAY_RESPONSE_FINAL: u32 = 1;

/// The function that is told of responses.
pub(super) type OnResponse = unsafe extern "C" fn(*mut c_void, *mut response::Response, ResponseFlags, *mut Status);
/// The function that is told of the release.
pub(super) type OnRelease = unsafe extern "C" fn(*mut c_void, *mut Request);

/// Who is told.
pub(super) enum Receiver {
    Functions { on_response: OnResponse, on_release: Option<OnRelease>, user_data: UserData },
    Queue { queue: Arc<Queue>, user_data: UserData },
}

/// The part of a request that its flight uses.
#[derive(Default)]
pub(super) struct Flight {
    users: AtomicUsize,
    is_silent: AtomicBool,
    /// Written before the first user and after the last; read in between by the one who answers.
    receiver: UnsafeCell<Option<Receiver>>,
}

/// The right to answer a request, and with it one of its users. Dropped unused, nobody is told of anything.
pub(super) struct Submission(NonNull<Request>);

// SAFETY: a request may be used from any thread, and its flight keeps it alive.
unsafe impl Send for Submission {}

impl Submission {
    /// Begins the flight of a request that the caller has made busy and leaves so.
    pub(super) fn begin(request: &Request, receiver: Receiver) -> Submission {
        request.retain();
        let flight = &request.flight;
        // SAFETY: the request is busy through this caller alone, and has no users yet.
        unsafe { *flight.receiver.get() = Some(receiver) };
        flight.is_silent.store(false, Ordering::Relaxed);
        flight.users.store(1, Ordering::Release);
        Submission(NonNull::from(request))
    }

    fn request(&self) -> &Request {
        // SAFETY: the flight holds a count of the request until the last user has gone, and this is one.
        unsafe { self.0.as_ref() }
    }

    /// Tells of the answer. The thread is the engine's, inside a callback, and holds no lock.
    pub(super) fn answer(self, outcome: Result<Response, Error>) {
        let submission = ManuallyDrop::new(self);
        let request = submission.request();
        let outcome = outcome.and_then(|mut response| {
            // A response never keeps memory of the request: the release depends on the engine alone.
            response.copy_foreign(&LENT)?;
            Ok(response)
        });
        let (response, status) = match outcome {
            Ok(response) => (response::into_handle(response), std::ptr::null_mut()),
            Err(error) => (std::ptr::null_mut(), Status::from_error(error)),
        };
        // SAFETY: written before the first user, and not again before the last has gone.
        match unsafe { &*request.flight.receiver.get() } {
            Some(Receiver::Functions { on_response, user_data, .. }) => {
                // SAFETY: whoever gave the function promised that an engine's thread may call it so.
                unsafe { on_response(user_data.0, response, INFERLAY_RESPONSE_FINAL, status) };
            }
            Some(Receiver::Queue { queue, user_data }) => {
                queue.push(Event::response(*user_data, submission.0.as_ptr(), response, status));
            }
            None => unreachable!("a flight without a receiver"),
        }
        if leave(request) {
            land(submission.0);
        }
    }
}

impl Drop for Submission {
    fn drop(&mut self) {
        self.request().flight.is_silent.store(true, Ordering::Release);
        if leave(self.request()) {
            drop(Landing(self.0));
        }
    }
}

/// One user less; whether it was the last.
fn leave(request: &Request) -> bool {
    request.flight.users.fetch_sub(1, Ordering::AcqRel) == 1
}

/// The right to end a flight, once its last user has gone. Dropped, it ends in silence.
struct Landing(NonNull<Request>);

// SAFETY: as for `Submission`.
unsafe impl Send for Landing {}

impl Landing {
    fn request(&self) -> &Request {
        // SAFETY: the flight's count of the request is given up in `end` only.
        unsafe { self.0.as_ref() }
    }

    /// The request may be used again, and may be gone after this.
    fn end(&self) -> Option<Receiver> {
        let request = self.request();
        // SAFETY: no user is left, so nobody else looks at it; the request is still busy.
        let receiver = unsafe { &mut *request.flight.receiver.get() }.take();
        request.end();
        // SAFETY: this is the flight's count, and it is not used after this.
        unsafe { Request::release(self.0) };
        receiver
    }

    /// Ends the flight and tells of it.
    fn tell(self) {
        let landing = ManuallyDrop::new(self);
        let is_freed = landing.request().is_freed();
        let request = if is_freed { std::ptr::null_mut() } else { landing.0.as_ptr() };
        match landing.end() {
            Some(Receiver::Functions { on_release: Some(on_release), user_data, .. }) => {
                // SAFETY: whoever gave the function promised that an engine's thread may call it so.
                unsafe { on_release(user_data.0, request) };
            }
            Some(Receiver::Queue { queue, user_data }) => queue.push(Event::release(user_data, request)),
            _ => {}
        }
    }
}

impl Drop for Landing {
    fn drop(&mut self) {
        let _nobody_is_told = self.end();
    }
}

/// Ends a flight whose last user went on an engine's thread outside of all locks.
fn land(request: NonNull<Request>) {
    Landing(request).tell();
}

/// Ends a flight whose last user may have gone anywhere.
fn land_from_anywhere(request: NonNull<Request>) {
    let landing = Landing(request);
    let flight = &landing.request().flight;
    if flight.is_silent.load(Ordering::Acquire) {
        return;
    }
    // SAFETY: no user is left, so nobody changes it.
    let is_queue = matches!(unsafe { &*flight.receiver.get() }, Some(Receiver::Queue { .. }));
    if is_queue {
        // Pushing runs no code of the user.
        return landing.tell();
    }
    let model = landing.request().model.clone();
    model.post(Callback::new(move |()| landing.tell()));
}

/// A buffer over memory that a request borrows: one more user of it.
///
/// # Safety
/// The request is in flight, and its caller has lent the memory until the release.
pub(super) unsafe fn lend(request: NonNull<Request>, piece: Piece) -> Buffer {
    // SAFETY: `LENT` takes requests in flight.
    unsafe { retain(request.cast()) };
    // SAFETY: the memory is the caller's until the release, which waits for this user; the count was taken above.
    unsafe { Buffer::from_owner(piece.pointer, piece.len, Placement::HOST, request.cast(), &LENT) }
}

static LENT: BufferTable = BufferTable { retain, release };

/// # Safety
/// `owner` is a request in flight.
unsafe fn retain(owner: NonNull<()>) {
    // SAFETY: the caller's promise.
    let request = unsafe { owner.cast::<Request>().as_ref() };
    request.flight.users.fetch_add(1, Ordering::Relaxed);
}

/// # Safety
/// As for `retain`; one user is given up.
unsafe fn release(owner: NonNull<()>) {
    // SAFETY: the caller's promise.
    let request = unsafe { owner.cast::<Request>().as_ref() };
    if leave(request) {
        land_from_anywhere(owner.cast());
    }
}
