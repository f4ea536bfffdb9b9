//! Stopping a lane: drain, then answer what is left; and an instance that does not come back.
//!
//! First, STOPPING refuses what is new and makes the policy close batches without waiting. When the time is up, SWEPT makes
//! whoever still publishes answer it himself; what waits is answered with an error; what runs is answered as far as
//! nothing is lent to it. Last, free instances are dropped; one that is stuck in its backend is abandoned with its thread.

use super::answer;
use super::lane::Lane;
use inferlay_backend_sdk::{Error, ErrorKind, LogLevel};
use std::sync::Arc;

const ABANDONED: Error = Error::fixed(ErrorKind::Unavailable, "the server stopped while the backend was executing");

impl Lane {
    /// Refuses what is new; what waits is run without delays.
    pub(crate) fn begin_stop(&self) {
        self.word.stop();
        self.bell.ring();
        self.services.drained.ring();
    }

    /// Whether it takes no more requests.
    pub(crate) fn is_stopping(&self) -> bool {
        self.word.read().is_stopping()
    }

    /// Whether an execution is past the model's `execution_timeout`.
    pub(crate) fn is_stuck(&self) -> bool {
        self.is_stuck.load(crate::sync::Ordering::Acquire)
    }

    /// Whether nothing waits, runs, or is owed an answer by a backend.
    pub(crate) fn is_drained(&self) -> bool {
        let reading = self.word.read();
        let len = self.core.lock().instances.len();
        reading.queued() == 0 && reading.idle() == len && self.flights.load(crate::sync::Ordering::Acquire) == 0
    }

    /// Answers what is left, and lets the instances go. How many are stuck.
    pub(crate) fn end_stop(&self) -> usize {
        self.word.mark_swept();
        answer::sweep(self);
        let (stuck, tickets, retired) = {
            let mut core = self.core.lock();
            let (stuck, tickets) = core.instances.all_busy();
            (stuck, tickets, core.instances.retire())
        };
        for ticket in tickets {
            answer::desert(&ticket, ABANDONED);
        }
        drop(retired);
        stuck
    }

    /// An execution has passed the model's `execution_timeout`: its requests are answered as far as nothing is lent, and
    /// the model takes no more.
    pub(super) fn execution_is_late(self: &Arc<Self>, index: usize, serial: u64) {
        let Some(tickets) = self.core.lock().instances.on(index, serial) else { return };
        self.is_stuck.store(true, crate::sync::Ordering::Release);
        let place = self.spec.place();
        let error = Error::new(ErrorKind::Timeout, format!("{place}: the execution passed execution_timeout"));
        self.services.log.write(LogLevel::Error, error.message());
        self.begin_stop();
        for ticket in tickets {
            answer::desert(&ticket, error.clone());
        }
        answer::sweep(self);
    }
}
