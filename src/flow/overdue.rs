//! The execution timeout of a batch whose requests its backend has taken: it goes on until they are answered, also after
//! `execute` has returned.
//!
//! One timer per batch, of models with an execution timeout only. When it fires, the requests are answered as far as
//! nothing is lent, as for an execution that hangs. Begun where the first request is taken, fired by the timekeeper.

use super::lane::Lane;
use super::task::Ticket;
use super::timekeeper::Timed;
use super::timer::Key;
use crate::sync::Mutex;
use std::sync::{Arc, Weak};

/// The requests of one batch that were taken.
pub(crate) type Tickets = Mutex<Vec<Ticket>>;

/// Watches over the taken requests of one batch.
pub(super) struct Watch {
    tickets: Arc<Tickets>,
    timer: Key,
}

impl Watch {
    /// From now on; `None` for a model without an execution timeout.
    pub(super) fn begin(lane: &Arc<Lane>) -> Option<Watch> {
        let timeout = lane.spec.execution_timeout?;
        let tickets = Arc::<Tickets>::default();
        let late = Timed::Taken { lane: Arc::downgrade(lane), tickets: Arc::downgrade(&tickets) };
        let timer = lane.services.timekeeper.arm(lane.now().saturating_add(timeout), late);
        Some(Watch { tickets, timer })
    }

    /// One more request was taken.
    pub(super) fn add(&self, ticket: &Ticket) {
        self.tickets.lock().push(ticket.clone());
    }

    /// They were all answered.
    pub(super) fn end(self, lane: &Lane) {
        lane.services.timekeeper.disarm(self.timer);
    }
}

/// The time is up.
pub(super) fn fire(lane: &Weak<Lane>, tickets: &Weak<Tickets>) {
    if let (Some(lane), Some(tickets)) = (lane.upgrade(), tickets.upgrade()) {
        let late = std::mem::take(&mut *tickets.lock());
        lane.get_stuck(late);
    }
}
