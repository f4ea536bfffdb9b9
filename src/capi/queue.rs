//! Completion queues: events in the place of callbacks, for programs that have a loop of their own.
//!
//! Invariants: 1. events leave in the order in which they came. 2. once somebody has asked for the file descriptor, it
//! is readable exactly while there are events: it is written when the queue stops being empty and read when it becomes
//! so, which is once for a batch of events. 3. whoever sleeps is woken by an event. Any thread may push, any number may
//! take; no code of the user runs here.

use super::door::{door, quiet_door};
use super::handle::{UserData, borrow, out};
use super::request::Request;
use super::response::{Response, inferlay_response_free};
use super::signal::Signal;
use super::status::{Status, inferlay_status_free};
use super::submission::ResponseFlags;
use crate::flow::Untaken;
use crate::sync::{AtomicUsize, Condvar, Mutex, Ordering, deadline, thread};
use inferlay_backend_sdk::{Error, ErrorKind};
use smallvec::SmallVec;
use std::collections::VecDeque;
use std::ffi::c_void;
use std::ptr::NonNull;
use std::sync::Arc;

const NONE_CAME: Error = Error::fixed(ErrorKind::Timeout, "no event came in time");
const INSIDE: Error = Error::fixed(
    ErrorKind::FailedPrecondition,
    "a blocking call inside a callback or an execution could wait for itself",
);

/// How many turns a thread looks for an event before it sleeps, where there are several cores.
const SPIN_MAX: u32 = 1_000;

/// What kind of event it is: one of `INFERLAY_EVENT_*`.
pub type EventKind = u32;
/// A response: what `inferlay_response_fn` would be told.
pub const INFERLAY_EVENT_RESPONSE: u32 = 1;
/// A release: what `inferlay_release_fn` would be told.
pub const INFERLAY_EVENT_RELEASE: u32 = 2;
/// A line of a server's log, see `inferlay_options_set_log_queue`.
pub const INFERLAY_EVENT_LOG: u32 = 3;
/// A model that was loaded or failed to, see `inferlay_options_set_progress_queue`.
pub const INFERLAY_EVENT_PROGRESS: u32 = 4;
/// An operation that is over, see `inferlay_operation_on_done_queue`.
pub const INFERLAY_EVENT_DONE: u32 = 5;
/// A version of a model whose state has changed, see `inferlay_server_subscribe_queue`.
pub const INFERLAY_EVENT_CHANGE: u32 = 6;

/// One event. Set `struct_size` to `sizeof(inferlay_event)` before the call.
#[repr(C)]
pub struct Event {
    /// In: `sizeof(inferlay_event)`.
    pub struct_size: usize,
    /// One of `INFERLAY_EVENT_*`.
    pub kind: EventKind,
    /// Of a response: a sum of `INFERLAY_RESPONSE_*`. Of a line of the log: one of `INFERLAY_LOG_*`. Of a change: one of
    /// `INFERLAY_STATE_*`. Else 0.
    pub flags: ResponseFlags,
    /// What was given with the queue: to `inferlay_infer_queue`, to the options and so on.
    pub user_data: *mut c_void,
    /// The request; of a release, NULL if it was freed meanwhile. Of a response, not to be used but for comparing.
    pub request: *mut Request,
    /// Of a response: the response, which is then the caller's; else NULL.
    pub response: *mut Response,
    /// Of a response that is NULL: why; both are NULL where a decoupled model has ended without a last response. Of a
    /// line of the log, of progress and of a change: what holds the text. Of an operation: why it failed, or NULL. It is
    /// then the caller's. Else NULL.
    pub status: *mut Status,
}

// SAFETY: its handles may be used from any thread.
unsafe impl Send for Event {}

impl Event {
    pub(super) fn response(
        UserData(user_data): UserData,
        request: *mut Request,
        flags: ResponseFlags,
        (response, status): (*mut Response, *mut Status),
    ) -> Event {
        let kind = INFERLAY_EVENT_RESPONSE;
        Event { struct_size: size_of::<Event>(), kind, flags, user_data, request, response, status }
    }

    /// An event that owns a count of `request` until somebody takes it.
    pub(super) fn release(UserData(user_data): UserData, request: NonNull<Request>) -> Event {
        let request = request.as_ptr();
        let (response, status) = (std::ptr::null_mut(), std::ptr::null_mut());
        let kind = INFERLAY_EVENT_RELEASE;
        Event { struct_size: size_of::<Event>(), kind, flags: 0, user_data, request, response, status }
    }

    /// An event that is about no request.
    pub(super) fn notice(kind: EventKind, flags: u32, UserData(user_data): UserData, status: *mut Status) -> Event {
        let (request, response) = (std::ptr::null_mut(), std::ptr::null_mut());
        Event { struct_size: size_of::<Event>(), kind, flags, user_data, request, response, status }
    }

    /// Refuses a place that does not hold an event.
    ///
    /// # Errors
    /// `INVALID_ARG` when it is NULL or too small.
    ///
    /// # Safety
    /// `place` is NULL or good for reading its first field.
    pub(super) unsafe fn check(place: *const Event) -> Result<(), Error> {
        if place.is_null() {
            return Err(Error::invalid_arg("event: found NULL"));
        }
        // SAFETY: the caller's promise: the first field is set.
        let size = unsafe { (*place).struct_size };
        if size < size_of::<Event>() {
            let least = size_of::<Event>();
            return Err(Error::invalid_arg(format!("event: found a struct_size of {size}, expected {least} or more")));
        }
        Ok(())
    }

    /// Writes an event to a place of the caller, which keeps its size.
    ///
    /// # Safety
    /// [`Event::check`] let the place pass, and it is good for writing.
    pub(super) unsafe fn put(place: *mut Event, event: Event) {
        // SAFETY: the caller's promise.
        let struct_size = unsafe { (*place).struct_size };
        // SAFETY: the caller's promise, and the place is large enough.
        unsafe { place.write(Event { struct_size, ..event }) };
    }

    /// Makes an event the caller's, in its place.
    ///
    /// # Safety
    /// [`Event::put`] wrote it there, and nobody has looked at it since.
    pub(super) unsafe fn hand_over(place: *mut Event) {
        // SAFETY: the caller's promise; it is written again at once.
        let event = unsafe { place.read() };
        // SAFETY: the caller's promise.
        unsafe { place.write(event.taken()) };
    }

    /// As whoever takes it sees it: without a request that was freed meanwhile.
    fn taken(mut self) -> Event {
        if self.kind == INFERLAY_EVENT_RELEASE
            && let Some(request) = NonNull::new(self.request)
        {
            // SAFETY: the event owns a count.
            if unsafe { request.as_ref() }.is_freed() {
                self.request = std::ptr::null_mut();
            }
            // SAFETY: the event's count, which is given up once, here.
            unsafe { Request::release(request) };
        }
        self
    }

    /// Frees what it carries.
    fn discard(self) {
        let event = self.taken();
        // SAFETY: the event owned it, and is gone.
        unsafe { inferlay_response_free(event.response) };
        // SAFETY: as above.
        unsafe { inferlay_status_free(event.status) };
    }
}

/// A completion queue: where answers are waited for, of any number of requests to any number of servers.
pub struct Queue {
    state: Mutex<State>,
    bell: Condvar,
    /// How many events there are, to look at without the lock.
    len: AtomicUsize,
}

#[derive(Default)]
struct State {
    /// Each with what makes it count as untaken.
    events: VecDeque<(Event, Option<Untaken>)>,
    sleepers: usize,
    is_freed: bool,
    /// There once somebody has asked for it.
    signal: Option<Signal>,
}

impl Queue {
    fn new() -> Arc<Queue> {
        Arc::new(Queue { state: Mutex::default(), bell: Condvar::new(), len: AtomicUsize::new(0) })
    }

    /// One more owner.
    ///
    /// # Errors
    /// `INVALID_ARG` for NULL.
    ///
    /// # Safety
    /// `queue` is NULL or a queue of the caller.
    pub(super) unsafe fn share(queue: *const Queue) -> Result<Arc<Queue>, Error> {
        // SAFETY: the caller's promise.
        unsafe { borrow(queue, "queue") }?;
        // SAFETY: the caller has a count, so it is alive.
        unsafe { Arc::increment_strong_count(queue) };
        // SAFETY: the count was added just now.
        Ok(unsafe { Arc::from_raw(queue) })
    }

    /// Adds an event. Never blocks.
    pub(super) fn push(&self, event: Event, untaken: Option<Untaken>) {
        self.push_below(usize::MAX, event, untaken);
    }

    /// Adds an event unless there are so many already: then it is discarded. Never blocks.
    pub(super) fn push_below(&self, len_max: usize, event: Event, untaken: Option<Untaken>) {
        let mut state = self.state.lock();
        if state.is_freed || state.events.len() >= len_max {
            drop(state);
            return event.discard();
        }
        state.events.push_back((event, untaken));
        self.len.store(state.events.len(), Ordering::Release);
        if state.events.len() == 1 {
            state.signal.iter().for_each(Signal::raise);
        }
        let has_sleepers = state.sleepers > 0;
        drop(state);
        if has_sleepers {
            self.bell.notify_one();
        }
    }

    fn pop(&self, state: &mut State) -> Option<(Event, Option<Untaken>)> {
        let event = state.events.pop_front()?;
        self.len.store(state.events.len(), Ordering::Release);
        if state.events.is_empty() {
            state.signal.iter().for_each(Signal::lower);
        }
        Some(event)
    }

    /// Takes the events that are there, so many at most. `put` runs under the lock.
    pub(super) fn pop_while(&self, len_max: usize, mut put: impl FnMut(Event)) {
        if len_max == 0 || self.len.load(Ordering::Acquire) == 0 {
            return;
        }
        // These go when the lock has been let go.
        let mut taken_now = SmallVec::<[Untaken; 4]>::new();
        let mut state = self.state.lock();
        let len = len_max.min(state.events.len());
        if len == 0 {
            return;
        }
        for (event, untaken) in state.events.drain(..len) {
            put(event);
            taken_now.extend(untaken);
        }
        self.len.store(state.events.len(), Ordering::Release);
        if state.events.is_empty() {
            state.signal.iter().for_each(Signal::lower);
        }
        drop(state);
    }

    pub(super) fn next(&self, timeout_ns: u64) -> Result<Event, Error> {
        // The second half goes when the lock has been let go.
        self.next_untaken(timeout_ns).map(|(event, _taken_now)| event)
    }

    fn next_untaken(&self, timeout_ns: u64) -> Result<(Event, Option<Untaken>), Error> {
        if let Some(event) = self.pop(&mut self.state.lock()) {
            return Ok(event);
        }
        if timeout_ns == 0 {
            return Err(NONE_CAME);
        }
        if thread::is_inside() {
            return Err(INSIDE);
        }
        self.spin();
        let until = deadline(timeout_ns);
        let mut state = self.state.lock();
        loop {
            if let Some(event) = self.pop(&mut state) {
                return Ok(event);
            }
            state.sleepers += 1;
            let is_late;
            (state, is_late) = self.bell.wait(state, until);
            state.sleepers -= 1;
            if is_late && state.events.is_empty() {
                return Err(NONE_CAME);
            }
        }
    }

    fn spin(&self) {
        if thread::cores() > 1 {
            let is_empty = |_: &u32| self.len.load(Ordering::Acquire) == 0;
            (0..SPIN_MAX).take_while(is_empty).for_each(|_| thread::relax());
        }
    }

    fn fd(&self) -> Option<i32> {
        let mut state = self.state.lock();
        if state.signal.is_none() {
            let signal = Signal::new()?;
            if !state.events.is_empty() {
                signal.raise();
            }
            state.signal = Some(signal);
        }
        state.signal.as_ref().map(Signal::fd)
    }

    fn close(&self) {
        let events = {
            let mut state = self.state.lock();
            state.is_freed = true;
            state.signal = None;
            std::mem::take(&mut state.events)
        };
        events.into_iter().for_each(|(event, _untaken)| event.discard());
    }
}

/// Makes a completion queue.                                                              [any thread] [never blocks]
///
/// `queue`: where the queue goes, which is then the caller's, to be freed with `inferlay_queue_free`; not NULL. It
/// belongs to no server and outlives all.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_queue_new(queue: *mut *mut Queue) -> *mut Status {
    door(|| {
        // SAFETY: the caller's promise.
        let place = unsafe { out(queue, "queue") }?;
        place.write(Arc::into_raw(Queue::new()).cast_mut());
        Ok(())
    })
}

/// Frees a queue, with the events in it; those that would still come are discarded.       [any thread] [never blocks]
///
/// `queue`: taken; NULL does nothing. Its file descriptor is closed. No other call with it may be running.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_queue_free(queue: *mut Queue) {
    quiet_door((), || {
        // SAFETY: the caller's promise.
        unsafe { borrow(queue.cast_const(), "queue") }?.close();
        // SAFETY: the count that `inferlay_queue_new` handed out is given back.
        drop(unsafe { Arc::from_raw(queue.cast_const()) });
        Ok(())
    });
}

/// Takes the next event out of a queue.                                 [any thread] [blocks for `timeout_ns` at most]
///
/// `timeout_ns`: how long to wait for one; 0 for not at all, UINT64_MAX for ever. `event`: filled on success; its
/// response and status are then the caller's. Fails with TIMEOUT when none came, and with FAILED_PRECONDITION when it
/// would wait inside a callback or an execution; neither allocates.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_queue_next(queue: *const Queue, timeout_ns: u64, event: *mut Event) -> *mut Status {
    door(|| {
        // SAFETY: the caller's promise.
        let queue = unsafe { borrow(queue, "queue") }?;
        // SAFETY: the caller's promise: the first field is set.
        unsafe { Event::check(event) }?;
        // SAFETY: the place was checked just now.
        unsafe { Event::put(event, queue.next(timeout_ns)?) };
        // SAFETY: an event was written there just now.
        unsafe { Event::hand_over(event) };
        Ok(())
    })
}

/// A file descriptor (an eventfd) that is readable while the queue has events: for poll, epoll and the like. Do not
/// read it: take events with `inferlay_queue_next` and a timeout of 0 until that fails with TIMEOUT.
///                                                                                        [any thread] [never blocks]
/// The descriptor is the queue's, which closes it when freed. The same one each time; -1 for NULL and when the system
/// has none left.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_queue_fd(queue: *const Queue) -> i32 {
    // SAFETY: the caller's promise.
    quiet_door(-1, || Ok(unsafe { borrow(queue, "queue") }?.fd().unwrap_or(-1)))
}
