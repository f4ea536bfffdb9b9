//! Loads, unloads and polls that are under way: waited for, looked at, or told of.

use super::door::{door, free_door, quiet_door};
use super::handle::{Boxed, UserData, borrow};
use super::queue::{Event, INFERLAY_EVENT_DONE, Queue};
use super::status::Status;
use crate::server::{self, Callbacks, ServerHandle};
use inferlay_backend_sdk::{Error, ErrorKind};
use std::ffi::c_void;
use std::time::Duration;

const UNDER_WAY: Error = Error::fixed(ErrorKind::Timeout, "the operation is still under way");

/// A load, an unload or a poll that is under way, or over. It goes on when it is freed.
pub struct Operation {
    operation: server::Operation,
    callbacks: Callbacks,
}

impl Boxed for Operation {}

impl Operation {
    pub(super) fn new(server: &ServerHandle, operation: server::Operation) -> Operation {
        Operation { operation, callbacks: server.callbacks() }
    }

    fn wait(&self, timeout_ns: u64) -> Result<(), Error> {
        if timeout_ns == 0 && !self.operation.is_done() {
            return Err(UNDER_WAY);
        }
        self.operation.wait_for(Duration::from_nanos(timeout_ns)).unwrap_or(Err(UNDER_WAY))
    }
}

/// Told that an operation is over. `status`: how: NULL, or why it failed, which is then the function's to free. Called
/// once, on an engine thread with no engine lock held; it must not call what waits. UNAVAILABLE: the server stopped
/// before the operation was over.
pub type DoneFn = Option<unsafe extern "C" fn(user_data: *mut c_void, status: *mut Status)>;

/// Waits until an operation is over, and says how it ended.          [any thread] [blocks for `timeout_ns` at most]
///
/// `timeout_ns`: how long to wait; 0 for not at all, UINT64_MAX for ever. Fails with what the operation failed with:
/// what served before serves still. CANCELLED: a later operation on the same model came before its end. UNAVAILABLE: the
/// server stopped before. Fails with TIMEOUT when it is under way still, then `inferlay_operation_is_done` is false; and
/// with FAILED_PRECONDITION when it would wait inside a callback or an execution.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_operation_wait(operation: *const Operation, timeout_ns: u64) -> *mut Status {
    // SAFETY: the caller's promise.
    door(|| unsafe { borrow(operation, "operation") }?.wait(timeout_ns))
}

/// Whether an operation is over.                                                          [any thread] [never blocks]
///
/// False for NULL, and in the child of a fork.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_operation_is_done(operation: *const Operation) -> bool {
    // SAFETY: the caller's promise.
    quiet_door(false, || Ok(unsafe { borrow(operation, "operation") }?.operation.is_done()))
}

/// Has `on_done` called when an operation is over, see `inferlay_done_fn`; soon, if it is.
///                                                                                        [any thread] [never blocks]
/// `on_done`: not NULL; each one that is given is called once, before a stop of the server is over. `user_data`: comes
/// back with the call; borrowed until then. The operation may be freed before. Fails with UNAVAILABLE when the server
/// has stopped; then it is not called.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_operation_on_done(
    operation: *const Operation,
    on_done: DoneFn,
    user_data: *mut c_void,
) -> *mut Status {
    door(|| {
        // SAFETY: the caller's promise.
        let operation = unsafe { borrow(operation, "operation") }?;
        let on_done = on_done.ok_or_else(|| Error::invalid_arg("on_done: found NULL"))?;
        let user_data = UserData(user_data);
        operation.callbacks.call_when_done(&operation.operation, move |result| tell(on_done, user_data, result))
    })
}

/// Adds an event to a completion queue when an operation is over, in the place of a function.
///                                                                                        [any thread] [never blocks]
/// The event is of the kind DONE: its `status` is NULL, or why the operation failed. It comes for sure: at a stop too.
/// `queue`: borrowed for the call. `user_data`: comes back with the event. The operation may be freed before.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_operation_on_done_queue(
    operation: *const Operation,
    queue: *const Queue,
    user_data: *mut c_void,
) -> *mut Status {
    door(|| {
        // SAFETY: the caller's promise.
        let operation = unsafe { borrow(operation, "operation") }?;
        // SAFETY: the caller's promise.
        let queue = unsafe { Queue::share(queue) }?;
        let user_data = UserData(user_data);
        operation.operation.then(move |result| queue.push(event(user_data, result), None));
        Ok(())
    })
}

/// Frees an operation, which goes on.                                                     [any thread] [never blocks]
///
/// `operation`: taken; NULL does nothing. It outlives the server.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_operation_free(operation: *mut Operation) {
    // SAFETY: the caller's promise.
    free_door(|| drop(unsafe { Operation::from_handle(operation) }));
}

fn tell(on_done: unsafe extern "C" fn(*mut c_void, *mut Status), user_data: UserData, result: Result<(), Error>) {
    // SAFETY: whoever gave the function promised that it may be called so, on any thread.
    unsafe { on_done(user_data.0, status(result)) };
}

fn event(user_data: UserData, result: Result<(), Error>) -> Event {
    Event::notice(INFERLAY_EVENT_DONE, 0, user_data, status(result))
}

fn status(result: Result<(), Error>) -> *mut Status {
    result.err().map_or(std::ptr::null_mut(), Status::from_error)
}
