//! Stopping a lane: drain, then answer what is left; and an instance that does not come back, or comes back and is lost.
//!
//! First, STOPPING refuses what is new and makes the policy close batches without waiting. When the time is up, SWEPT makes
//! whoever still publishes answer it himself; what waits is answered with an error; what runs is answered as far as
//! nothing is lent to it. Last, free instances are dropped; one that is stuck in its backend is abandoned with its thread.

use super::answer;
use super::lane::{self, Lane};
use super::task::Ticket;
use crate::sync::{Ordering, thread};
use inferlay_backend_sdk::{Error, ErrorKind, LogLevel};
use std::sync::Arc;

/// Why a lane serves no more on which an execution hangs.
const STUCK: Error = Error::fixed(ErrorKind::Timeout, "an execution passed execution_timeout");

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

    /// Whether it serves no more: an execution is past the model's `execution_timeout`, or the last instance is lost.
    pub(crate) fn is_stuck(&self) -> bool {
        self.is_stuck.load(Ordering::Acquire)
    }

    /// Why it serves no more.
    pub(crate) fn fault(&self) -> Option<Error> {
        self.fault.lock().clone()
    }

    /// Whether a stop no longer waits for what runs.
    pub(crate) fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::Relaxed)
    }

    /// Whether nothing waits, runs, is owed an answer by a backend, or is held by one that has answered it.
    pub(crate) fn is_drained(&self) -> bool {
        let reading = self.word.read();
        let len = self.core.lock().instances.len();
        let is_idle = reading.queued() == 0 && reading.idle() == len;
        is_idle && self.flights.load(Ordering::Acquire) == 0 && self.taken.lock().is_empty()
    }

    /// Answers what is left, and lets the instances go.
    pub(crate) fn end_stop(&self) {
        self.has_ended.store(true, Ordering::Release);
        self.word.mark_swept();
        answer::sweep(self);
        let (running, retired) = {
            let mut core = self.core.lock();
            (core.instances.all_busy(), core.instances.retire())
        };
        // Whoever has reserved a place and not yet published answers it himself, in a few instructions.
        while self.word.read().queued() > 0 {
            thread::yield_now();
            answer::sweep(self);
        }
        // What is held has its answer.
        self.end_order();
        let taken = self.taken.lock().clone();
        for ticket in running.iter().chain(&taken) {
            answer::desert(ticket, answer::ABANDONED);
        }
        drop(retired);
        // Idle tasks keep the lane alive. Those that are still out, with a response say, are freed when they come home.
        self.tasks.close();
    }

    /// Whether no backend has anything of it any more.
    pub(crate) fn is_deserted(&self) -> bool {
        self.core.lock().instances.all_busy().is_empty() && self.taken.lock().is_empty()
    }

    /// Nobody is told any more of what is still on an instance: the server has stopped, and its workers are out of reach in
    /// a backend. Left are requests to which memory is lent, as all others were answered. (What a backend took is told
    /// through the messenger, which stops after this.)
    pub(crate) fn mute(&self) {
        let running = self.core.lock().instances.all_busy();
        for ticket in &running {
            let untold = std::mem::take(&mut *ticket.notify.lock());
            drop(untold);
        }
    }

    /// An execution has passed the model's `execution_timeout`.
    pub(super) fn execution_is_late(self: &Arc<Self>, index: usize, serial: u64) {
        let tickets = self.core.lock().instances.on(index, serial);
        if let Some(tickets) = tickets {
            self.get_stuck(tickets);
        }
    }

    /// These requests have passed the model's `execution_timeout`: they are answered as far as nothing is lent, and the
    /// model takes no more.
    pub(super) fn get_stuck(&self, tickets: Vec<Ticket>) {
        let place = self.spec.place();
        let error = Error::new(ErrorKind::Timeout, format!("{place}: the execution passed execution_timeout"));
        self.services.log.write(LogLevel::Error, error.message());
        self.serve_no_more(&STUCK);
        for ticket in tickets {
            answer::desert(&ticket, error.clone());
        }
        answer::sweep(self);
    }

    /// The backend of an instance has said that it is lost. Without another one that is wanted, nothing is taken any more,
    /// and what waits is told why.
    #[cold]
    pub(super) fn has_lost_one(&self, error: &Error, goes_on: bool) {
        self.services.log.write(LogLevel::Error, error.message());
        if goes_on {
            return;
        }
        // This may be a caller's thread: a server that stops meanwhile waits until the callbacks are posted.
        let _held = self.services.messenger.hold();
        self.serve_no_more(error);
        for ticket in lane::drain(self) {
            answer::desert(&ticket, error.clone());
        }
    }

    fn serve_no_more(&self, why: &Error) {
        self.fault.lock().get_or_insert_with(|| why.clone());
        let is_first = !self.is_stuck.swap(true, Ordering::AcqRel);
        self.begin_stop();
        self.word.mark_swept();
        let alarm = if is_first { self.services.alarm.lock().clone() } else { None };
        if let Some(alarm) = alarm {
            // Before the answers: who has one finds it told.
            alarm.is_stuck(self);
        }
        self.end_order();
    }

    /// What is stuck holds up nobody's answer.
    fn end_order(&self) {
        if let Some(order) = &self.order {
            order.end(&self.services);
        }
    }
}
