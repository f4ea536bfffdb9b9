//! Taking many events at once, for callers whose every call costs more than the taking does.

use super::door::door;
use super::handle::{borrow, out, slice};
use super::queue::{Event, Queue};
use super::status::Status;
use inferlay_backend_sdk::Error;

/// Takes as many events out of a queue as there are and as there are places, one at least.
///                                                                      [any thread] [blocks for `timeout_ns` at most]
/// `timeout_ns`: as for `inferlay_queue_next`. `events`: places, each with its `struct_size` set; pointers, so that the
/// struct may grow; borrowed for the call. `events_len`: how many there are, at least 1. `taken`: set on success to the
/// number of events that were taken, which fill the first places in order; not NULL. Fails as `inferlay_queue_next`.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_queue_next_many(
    queue: *const Queue,
    timeout_ns: u64,
    events: *const *mut Event,
    events_len: usize,
    taken: *mut usize,
) -> *mut Status {
    door(|| {
        // SAFETY: the caller's promise.
        let queue = unsafe { borrow(queue, "queue") }?;
        // SAFETY: the caller's promise.
        let events = unsafe { slice(events, events_len, "events") }?;
        // SAFETY: the caller's promise.
        let taken = unsafe { out(taken, "taken") }?;
        for event in events {
            // SAFETY: the caller's promise: the first field of each place is set.
            unsafe { Event::check(*event) }?;
        }
        let Some((first, others)) = events.split_first() else {
            return Err(Error::invalid_arg("events_len: found 0, expected 1 or more"));
        };
        // SAFETY: the place was checked above.
        unsafe { Event::put(*first, queue.next(timeout_ns)?) };
        let mut len = 1;
        queue.pop_while(others.len(), |event| {
            // SAFETY: as above; `pop_while` gives no more events than there are places.
            unsafe { Event::put(others[len - 1], event) };
            len += 1;
        });
        for event in &events[..len] {
            // SAFETY: an event was written there just now.
            unsafe { Event::hand_over(*event) };
        }
        taken.write(len);
        Ok(())
    })
}
