//! Instances that leave a lane while it lives, and a lane that dozes: it has none, and asks for them when it is asked.
//!
//! ```text
//!   AWAKE --doze: all free, nothing waits--> DORMANT --a request is published--> WANTED --wake--> AWAKE
//!                                               ^--------- no instances --------'
//! ```
//!
//! Invariants: 1. Instances leave only when the word says that nobody counts on them, or as they arrive from a batch.
//! 2. A request that is published to a lane that dozes is seen: either it was there before the instances left, which then
//! do not leave, or whoever publishes it finds the word without instances, the state DORMANT, and tells; once per doze.
//! 3. A lane that dozes takes requests as ever: its queue is bounded, deadlines pass, cancels and stops answer.
//! 4. Whoever was told ends it: with instances, or by [`Lane::stay_dozing`]. WANTED does not last.
//!
//! Any thread; [`Demand::wanted`] is called on the thread that submits.

use super::answer;
use super::instance::InstanceCell;
use super::lane::{self, Lane};
use super::word::Reading;
use crate::sync::Ordering;
use inferlay_backend_sdk::Error;
use std::sync::Arc;

const AWAKE: u32 = 0;
const DORMANT: u32 = 1;
const WANTED: u32 = 2;

/// Who brings instances to a lane that dozes.
pub(crate) trait Demand: Send + Sync {
    /// A request waits in the lane, which has no instances. Must not block, nor take the lane's own locks.
    fn wanted(&self);
}

#[allow(clippy::vec_box, reason = "as they are kept")]
impl Lane {
    /// How many instances there are, free and busy, but for those that leave when they are back.
    pub(crate) fn instances_len(&self) -> usize {
        self.core.lock().instances.wanted_len()
    }

    /// The index that the next instance gets.
    pub(crate) fn next_index(&self) -> usize {
        self.core.lock().instances.next_index()
    }

    /// Takes instances away until `wanted` are left: those that are free are given back at once, those that are busy are
    /// dropped when they have run their batches.
    pub(crate) fn shrink_to(&self, wanted: usize) -> Vec<Box<InstanceCell>> {
        let mut removed = Vec::new();
        // One lock for all of it: one that is lost meanwhile is one less to take away.
        let mut core = self.core.lock();
        while core.instances.wanted_len() > wanted {
            if !self.word.remove_instance() {
                let more = core.instances.wanted_len() - wanted;
                core.instances.leave_later(more);
                break;
            }
            match core.instances.leave() {
                Some(cell) => removed.push(cell),
                // The lane has stopped for good, and they are gone.
                None => break,
            }
        }
        removed
    }

    /// Takes all instances away, if nothing waits, runs or is owed an answer. From then on `demand` is told when the lane
    /// is asked.
    pub(crate) fn doze(&self, demand: &Arc<dyn Demand>) -> Option<Vec<Box<InstanceCell>>> {
        let mut core = self.core.lock();
        let owes = self.flights.load(Ordering::Acquire) > 0 || !self.taken.lock().is_empty();
        if owes || self.doze.load(Ordering::Relaxed) != AWAKE {
            return None;
        }
        *self.demand.lock() = Some(demand.clone());
        // Before the word says so: whoever publishes reads the word first.
        self.doze.store(DORMANT, Ordering::Release);
        if !self.word.remove_all(core.instances.len()) {
            self.doze.store(AWAKE, Ordering::Release);
            return None;
        }
        Some(core.instances.leave_all())
    }

    /// Whether nothing waits and every instance is free; whoever ran the last batch may not have come to its end.
    pub(crate) fn is_resting(&self) -> bool {
        let len = self.core.lock().instances.len();
        let reading = self.word.read();
        reading.queued() == 0 && reading.idle() == len
    }

    /// Whether it has no instances but would be given some.
    pub(crate) fn is_dozing(&self) -> bool {
        self.doze.load(Ordering::Acquire) != AWAKE
    }

    /// Instances will be added now; what is published from here on need not ask.
    pub(crate) fn wake(&self) {
        self.doze.store(AWAKE, Ordering::Release);
    }

    /// There are no instances to be had this time: what waits is answered with `error`, and the next request asks again.
    /// Nothing happens to a lane of which nobody was told that it wants any.
    pub(crate) fn stay_dozing(&self, error: &Error) {
        let _held = self.services.messenger.hold();
        if self.doze.compare_exchange(WANTED, DORMANT, Ordering::AcqRel, Ordering::Relaxed).is_err() {
            return;
        }
        // Whoever published before this step is found here; whoever does so after it finds the lane DORMANT, and asks.
        self.word.touch();
        for ticket in lane::drain(self) {
            answer::desert(&ticket, error.clone());
        }
    }

    /// There are no instances to be had yet, and nobody waits for them: the next request asks again.
    pub(crate) fn doze_on(&self) {
        if self.doze.compare_exchange(WANTED, DORMANT, Ordering::AcqRel, Ordering::Relaxed).is_ok()
            && self.word.touch().queued() > 0
        {
            // Whoever published in between found that somebody was told already.
            self.ask();
        }
    }

    /// A submission was published when the word read `before`.
    pub(super) fn ask_if_dozing(&self, before: Reading) {
        if before.idle() == 0 && self.doze.load(Ordering::Acquire) == DORMANT {
            self.ask();
        }
    }

    #[cold]
    fn ask(&self) {
        if self.doze.compare_exchange(DORMANT, WANTED, Ordering::AcqRel, Ordering::Relaxed).is_ok() {
            let demand = self.demand.lock().clone();
            if let Some(demand) = demand {
                demand.wanted();
            }
        }
    }
}
