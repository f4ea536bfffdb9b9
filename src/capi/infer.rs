//! The three ways to ask: wait, be called, or look into a queue.

use super::door::door;
use super::handle::{UserData, borrow, out};
use super::input::Piece;
use super::queue::Queue;
use super::request::{Alive, Parts, Request};
use super::response::{self, Response};
use super::server::Server;
use super::status::Status;
use super::submission::{OnRelease, OnResponse, Receiver, ResponseFlags, Submission, lend};
use crate::flow;
use crate::tensor::{self, OutputMemory};
use inferlay_backend_sdk::{Buffer, Error};
use std::ffi::c_void;
use std::ptr::NonNull;

/// Told of a response: `response`, or NULL with a `status`; both are then this function's, to be freed with
/// `inferlay_response_free` and `inferlay_status_free`. `flags`: a sum of INFERLAY_RESPONSE_*. Models that are not
/// decoupled send one response, the final one; others any number, in order, never two at a time. Of these the final one
/// may be NULL without a status: then nothing was left to say. A status is final, but for one response that there was no
/// memory to copy (RESOURCE_EXHAUSTED).
///
/// Called on a thread of the library with none of its locks held, never inside a call, never on a thread that waits. It
/// may call any function that does not wait; those that would fail with FAILED_PRECONDITION. While it runs it may delay
/// other callbacks, never deadlines. It must return (a C++ exception must not leave it).
pub type ResponseFn = Option<
    unsafe extern "C" fn(user_data: *mut c_void, response: *mut Response, flags: ResponseFlags, status: *mut Status),
>;

/// Told that nothing touches the request's memory any more: it may be sent again, changed or freed, from within this
/// very function too. `request`: NULL if it was freed meanwhile; do not free it on another thread while this runs.
/// Called as `inferlay_response_fn`, once, and after the final response.
pub type ReleaseFn = Option<unsafe extern "C" fn(user_data: *mut c_void, request: *mut Request)>;

/// Fills in the request as the engine takes it: in place, because it is large.
///
/// # Safety
/// The caller's memory is readable, that for outputs writable, for as long as the buffers of `lend` exist and, where
/// `is_waiting`, until the engine has released the request.
unsafe fn ask<'a>(
    asked: &mut flow::Request<'a>,
    parts: &'a Parts,
    request: &'a Request,
    lend: impl Fn(Piece) -> Buffer,
    is_waiting: bool,
) -> Result<(), Error> {
    for input in &parts.inputs {
        // SAFETY: the caller's promise.
        let (tensor, is_lent) = unsafe { input.tensor(&lend, request.model.blocks()) }?;
        let tensor = match (is_lent, is_waiting) {
            (true, true) => tensor::Input::lent(tensor),
            (true, false) => tensor::Input::counted(tensor),
            (false, _) => tensor.into(),
        };
        asked.push_input(&input.name, tensor);
    }
    for output in &parts.outputs {
        match output.into {
            None => asked.push_output(&output.name),
            Some((pointer, len)) => {
                // SAFETY: the caller's promise.
                let memory = unsafe { OutputMemory::from_raw(pointer, len) };
                asked.push_output_into(&output.name, memory);
            }
        }
    }
    parts.describe(asked);
    asked.watch_with(request.cancel_token());
    Ok(())
}

/// Sends a request and waits for the answer.                                 [any thread] [blocks until it is answered]
///
/// If an instance is idle and nothing waits, this thread executes it, where the backend allows that. `request`:
/// borrowed for the call; when this returns, nothing touches its memory any more. `response`: where the response goes,
/// which is then the caller's, to be freed with `inferlay_response_free`; not NULL; left alone on failure. Fails with
/// INVALID_ARG or NOT_FOUND for a request that the model does not take, RESOURCE_EXHAUSTED when the queue is full,
/// TIMEOUT, CANCELLED, UNAVAILABLE after stop, with FAILED_PRECONDITION inside a callback or an execution or when the
/// request is in flight, or with what the backend answers. A decoupled model may be asked too; it fails with
/// UNSUPPORTED unless the model sends exactly one response.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_infer(
    server: *const Server,
    request: *mut Request,
    response: *mut *mut Response,
) -> *mut Status {
    door(|| {
        // SAFETY: the caller's promise.
        let request = unsafe { borrow(request.cast_const(), "request") }?;
        // SAFETY: the caller's promise.
        let place = unsafe { out(response, "response") }?;
        request.check(server)?;
        let parts = request.begin()?;
        // SAFETY: the blocking call returns when the engine has released the request, until when the memory is lent.
        let lend = |piece: Piece| unsafe { Buffer::borrowed(piece.pointer, piece.len) };
        let mut asked = flow::Request::new();
        // SAFETY: as above.
        unsafe { ask(&mut asked, &parts, request, lend, true) }?;
        place.write(response::into_handle(request.model.infer(asked)?));
        Ok(())
    })
}

/// Sends a request and returns at once; the answer comes to a function.                   [any thread] [never blocks]
///
/// NULL: `request` and the memory it borrows are borrowed until `on_release` has run. `on_response(user_data, response
/// or NULL, flags, status)` runs 1..n times, in order of sending, the last with FINAL; `on_release(user_data,
/// request)` runs once, after that, when nothing touches the request's memory any more. Otherwise: nothing happened,
/// nothing will run, and the request is as before; fails as `inferlay_infer`, for what is known at once, and with
/// UNSUPPORTED for a request to a decoupled model that brings memory for outputs.
///
/// A decoupled model that is ahead is told to wait: responses count as untaken until `on_response` has returned.
///
/// `on_response`: not NULL. `on_release`: may be NULL. `user_data`: comes back with each call. After
/// `inferlay_server_stop` or `_free` has returned nothing is called any more; every request was answered and released
/// before, but for those that a stuck backend holds.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_infer_async(
    server: *const Server,
    request: *mut Request,
    on_response: ResponseFn,
    on_release: ReleaseFn,
    user_data: *mut c_void,
) -> *mut Status {
    door(|| {
        let Some(on_response): Option<OnResponse> = on_response else {
            return Err(Error::invalid_arg("on_response: found NULL"));
        };
        let on_release: Option<OnRelease> = on_release;
        let user_data = UserData(user_data);
        let receiver = || Ok(Receiver::Functions { on_response, on_release, user_data });
        // SAFETY: the caller's promise.
        unsafe { submit(server, request, receiver) }
    })
}

/// Sends a request and returns at once; the answer comes to a completion queue.           [any thread] [never blocks]
///
/// As `inferlay_infer_async`, with events in the place of calls: what would be called is pushed to `queue` in the same
/// order, with `user_data`. `queue`: borrowed for the call; it may be freed while requests are on their way. A response
/// counts as untaken until `inferlay_queue_next` has taken its event.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_infer_queue(
    server: *const Server,
    request: *mut Request,
    queue: *const Queue,
    user_data: *mut c_void,
) -> *mut Status {
    door(|| {
        let receiver = || {
            // SAFETY: the caller's promise.
            let queue = unsafe { Queue::share(queue) }?;
            Ok(Receiver::Queue { queue, user_data: UserData(user_data) })
        };
        // SAFETY: the caller's promise.
        unsafe { submit(server, request, receiver) }
    })
}

/// # Safety
/// The handles are NULL or the caller's; the memory of the request is lent until its release.
unsafe fn submit(
    server: *const Server,
    request: *mut Request,
    receiver: impl FnOnce() -> Result<Receiver, Error>,
) -> Result<(), Error> {
    // SAFETY: the caller's promise.
    let request = unsafe { borrow(request.cast_const(), "request") }?;
    request.check(server)?;
    let receiver = receiver()?;
    // The answer may come, and the program free the request, before the engine is done with its token and its model.
    let _alive = Alive::new(request);
    // The flight's end makes it idle again, which may come before this returns.
    let parts = request.begin()?.keep();
    let submission = Submission::begin(request, receiver);
    let own = NonNull::from(request);
    // SAFETY: the request is in flight, and its memory is lent until the release.
    let lend = |piece: Piece| unsafe { lend(own, piece) };
    let mut asked = flow::Request::new();
    // SAFETY: as above; the engine releases memory for outputs before it answers.
    unsafe { ask(&mut asked, parts, request, lend, false) }?;
    request.model.infer_shared(asked, submission).map_err(Error::from)
}
