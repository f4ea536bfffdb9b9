//! Models whose batches are pulled by threads of the program, instead of being pushed into a function: for interpreters,
//! and for programs with a loop of their own.

use super::callback::{Batch, model_config};
use super::door::{door, free_door, quiet_door};
use super::handle::{Boxed, borrow, borrow_mut, out};
use super::server::{Server, handle};
use super::signal::Signal;
use super::status::Status;
use crate::backend;
use crate::sync::Mutex;
use std::ffi::c_char;
use std::sync::Arc;
use std::time::Duration;

/// Where the batches of a pulled model wait. Any number of threads may pull from it at once.
pub struct BatchQueue {
    queue: backend::BatchQueue,
    /// There once somebody has asked for it.
    signal: Mutex<Option<Arc<Signal>>>,
}

impl Boxed for BatchQueue {}
impl Boxed for Batch {}

impl BatchQueue {
    fn fd(&self) -> Option<i32> {
        let mut signal = self.signal.lock();
        if signal.is_none() {
            let new = Arc::new(Signal::new()?);
            let watching = new.clone();
            self.queue.watch(move |is_ready| if is_ready { watching.raise() } else { watching.lower() });
            *signal = Some(new);
        }
        signal.as_deref().map(Signal::fd)
    }
}

/// Makes a model whose batches are pulled, in a server that runs: it gets batching, queueing, deadlines and statistics
/// like any other, and no thread of the library calls the program for it.                 [any thread] [never blocks]
///
/// `config`: borrowed for the call; as for `inferlay_server_register_model`. `queue`: where the queue goes, the caller's
/// from then on, to be freed with `inferlay_batch_queue_free`; not NULL. As many batches are out at once, waiting in the
/// queue or pulled, as the config has instances; more requests wait in the model's own queue and become larger batches.
/// `execution_timeout` counts until the answer. `inferlay_model_remove` takes the model away. Fails as
/// `inferlay_server_register_model`.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_batch_queue_new(
    server: *const Server,
    config: *const c_char,
    queue: *mut *mut BatchQueue,
) -> *mut Status {
    door(|| {
        // SAFETY: the caller's promise.
        let place = unsafe { out(queue, "queue") }?;
        // SAFETY: the caller's promise.
        let server = unsafe { handle(server) }?;
        // SAFETY: the caller's promise.
        let queue = server.register_pulled_model(unsafe { model_config(config) }?)?;
        place.write(BatchQueue { queue, signal: Mutex::default() }.into_handle());
        Ok(())
    })
}

/// Frees a queue; batches in it, and requests to come until the model is removed, are answered with UNAVAILABLE.
///                                                                                        [any thread] [never blocks]
/// `queue`: taken; NULL does nothing. Its file descriptor is closed. No other call with it may be running: to end the
/// threads that pull, remove the model or stop the server, and wait until `inferlay_batch_queue_next` has told each of
/// the end. Batches that were pulled outlive it, as it outlives the server.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_batch_queue_free(queue: *mut BatchQueue) {
    // SAFETY: the caller's promise.
    free_door(|| drop(unsafe { BatchQueue::from_handle(queue) }));
}

/// Takes the next batch out of a queue.                                 [any thread] [blocks for `timeout_ns` at most]
///
/// `timeout_ns`: how long to wait for one; 0 for not at all, UINT64_MAX for ever. `batch`: where the batch goes, which
/// then is the caller's, to be answered with `inferlay_batch_answer` and freed with `inferlay_batch_free`; NULL once the
/// model has ended, because it was removed or the server has stopped; not NULL itself. A batch comes without the
/// requests that were cancelled or became too late while it waited. Fails with TIMEOUT when none came, and with
/// FAILED_PRECONDITION when it would wait inside a callback or an execution; neither allocates.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_batch_queue_next(
    queue: *const BatchQueue,
    timeout_ns: u64,
    batch: *mut *mut Batch,
) -> *mut Status {
    door(|| {
        // SAFETY: the caller's promise.
        let place = unsafe { out(batch, "batch") }?;
        // SAFETY: the caller's promise.
        let queue = unsafe { borrow(queue, "queue") }?;
        let within = if timeout_ns == u64::MAX { Duration::MAX } else { Duration::from_nanos(timeout_ns) };
        let next = queue.queue.next(within)?;
        place.write(next.map_or(std::ptr::null_mut(), |batch| Batch::pulled(batch.into_inner()).into_handle()));
        Ok(())
    })
}

/// A file descriptor (an eventfd) that is readable while `inferlay_batch_queue_next` would return at once: for poll,
/// epoll and the like. Do not read it: take batches with a timeout of 0 until that fails with TIMEOUT.
///                                                                                        [any thread] [never blocks]
/// The descriptor is the queue's, which closes it when freed. The same one each time; -1 for NULL and when the system
/// has none left.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_batch_queue_fd(queue: *const BatchQueue) -> i32 {
    // SAFETY: the caller's promise.
    quiet_door(-1, || Ok(unsafe { borrow(queue, "queue") }?.fd().unwrap_or(-1)))
}

/// Answers a batch that was pulled.                                                       [one thread] [never blocks]
///
/// `batch`: from then on only to be freed; inputs that were looked at stay where they are until then. `status`: NULL:
/// each request is answered with its rows of the outputs. A status, which is taken: it answers every request. Requests
/// that were cancelled or became too late meanwhile, and those that a stop has answered, do not hear of it. Fails with
/// what the requests are answered with when an output is missing or does not fit, and with FAILED_PRECONDITION for the
/// second time and for a batch that was not pulled.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_batch_answer(batch: *mut Batch, status: *mut Status) -> *mut Status {
    door(|| {
        // SAFETY: the caller's promise.
        let said = unsafe { Status::into_result(status) };
        // SAFETY: the caller's promise.
        unsafe { borrow_mut(batch, "batch") }?.settle(said)
    })
}

/// Frees a batch that was pulled. One that was not answered is answered with INTERNAL.     [one thread] [never blocks]
///
/// `batch`: taken; NULL, and a batch that was not pulled, do nothing. What its functions pointed to is gone, and memory
/// that requests lent is released, if it was looked at as an input.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_batch_free(batch: *mut Batch) {
    quiet_door((), || {
        // SAFETY: the caller's promise.
        if unsafe { borrow(batch.cast_const(), "batch") }?.is_pulled() {
            // SAFETY: a pulled batch came from `into_handle`, and is taken back once.
            drop(unsafe { Batch::from_handle(batch) });
        }
        Ok(())
    });
}
