//! A lane as a shadow: it gets copies of requests that another lane answers, and its answers are dropped.
//!
//! Invariants: 1. whoever asked never waits for a shadow, is never refused because of it, and hears nothing of it; 2. a copy
//! has no deadline, token or memory of the original: neither ends or keeps the other; 3. few copies wait at a time, and one
//! that finds no place is counted and left out.
//!
//! The copy is made and sent on the thread that asks.

use super::lane::Lane;
use super::request::Request;
use super::task::Notify;
use inferlay_backend_sdk::Error;
use std::sync::Arc;

/// How many copies may wait, or so many full batches if that is more: a shadow that is further behind is slower than what
/// it shadows, and more copies would be no more than memory.
const WAITING_MAX: usize = 64;
const BATCHES_WAITING_MAX: usize = 4;

impl Lane {
    /// Sends a copy of a request on its way, if there is room, and drops what comes of it.
    pub(crate) fn shadow(self: &Arc<Self>, request: &Request<'_>) {
        if !self.has_room_for_copies() || self.send_copy(request).is_err() {
            self.refusals.shadow.add_one();
        }
    }

    fn has_room_for_copies(&self) -> bool {
        let reading = self.word.read();
        let waiting_max = WAITING_MAX.max(BATCHES_WAITING_MAX * self.spec.policy.rows_max).min(self.spec.queued_max);
        !reading.is_stopping() && reading.queued() < waiting_max
    }

    fn send_copy(self: &Arc<Self>, request: &Request<'_>) -> Result<(), Error> {
        let copy = request.copy(&self.services.blocks)?;
        if self.spec.credit_max.is_some() {
            return self.stream_to(copy, || Box::new(drop)).map_err(Error::from);
        }
        self.post(copy, || Notify::Nobody).map_err(Error::from)
    }
}
