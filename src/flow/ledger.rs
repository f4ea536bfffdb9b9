//! What the lanes of one loaded version have counted together: a lane that takes the place of another, because the
//! scheduling has changed, goes on counting where that one was.
//!
//! ```text
//!   lane, replaced, draining --.
//!                               >-- ledger: the sums of lanes that are gone + what those say that are there
//!   lane that serves ----------'
//! ```
//!
//! Invariants: 1. every request is counted once, by the lane that took it, before and after that lane is gone; so what
//! is read never sinks, but for the moment in which a lane goes. 2. A lane that runs knows nothing of this: sums are
//! made when they are read.
//!
//! Any thread reads; whoever drops the last of a lane settles it. The ledger is locked before the cores of its lanes.

use super::lane::Lane;
use crate::observe::{Layout, ModelStatistics, Tally};
use crate::sync::Mutex;
use std::sync::{Arc, Weak};

/// The sums of all lanes of one load.
#[derive(Default)]
pub(crate) struct Ledger {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    lanes: Vec<Weak<Lane>>,
    /// Of lanes that are gone.
    past: Sums,
}

/// What a lane counts.
pub(super) struct Sums {
    tally: Tally,
    full: u64,
    expired: u64,
    cancelled: u64,
    other: u64,
    shadow_dropped: u64,
    /// Requests that wait now.
    queued: u64,
}

impl Default for Sums {
    fn default() -> Self {
        Self::with(&Layout::default())
    }
}

impl Sums {
    /// Nothing, to be counted by these bounds.
    fn with(layout: &Layout) -> Self {
        Sums { tally: Tally::new(0, layout), full: 0, expired: 0, cancelled: 0, other: 0, shadow_dropped: 0, queued: 0 }
    }
}

impl Sums {
    fn add(&mut self, other: &Sums) {
        self.tally.merge(&other.tally);
        self.full += other.full;
        self.expired += other.expired;
        self.cancelled += other.cancelled;
        self.other += other.other;
        self.shadow_dropped += other.shadow_dropped;
        self.queued += other.queued;
    }
}

impl Ledger {
    /// `lane` counts here from now on.
    pub(super) fn join(&self, lane: &Arc<Lane>) {
        self.state.lock().lanes.push(Arc::downgrade(lane));
    }

    fn total(&self, layout: &Layout) -> Sums {
        let mut total = Sums::with(layout);
        let lanes: Vec<_> = {
            let state = self.state.lock();
            total.add(&state.past);
            let lanes: Vec<_> = state.lanes.iter().filter_map(Weak::upgrade).collect();
            lanes.iter().for_each(|lane| total.add(&lane.sums()));
            lanes
        };
        // Not under the lock: the last of a lane settles it.
        drop(lanes);
        total
    }

    /// `lane` is gone: what it says now is what counts of it. Not when it ends: somebody may still be answered then.
    fn settle(&self, lane: &Lane) {
        let mut state = self.state.lock();
        let found = state.lanes.iter().position(|known| std::ptr::eq(known.as_ptr(), lane));
        if let Some(found) = found {
            let gone = state.lanes.swap_remove(found);
            // By the bounds of the lane that went last, as whoever reads next is more like it.
            let past = std::mem::replace(&mut state.past, Sums::with(&lane.spec.layout));
            state.past.add(&past);
            state.past.add(&Sums { queued: 0, ..lane.sums() });
            drop(state);
            drop(gone);
        }
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        self.ledger.settle(self);
    }
}

impl Lane {
    /// What the version has done since it was loaded, by this lane and those that it took the place of.
    pub(crate) fn statistics(&self) -> ModelStatistics {
        self.counted().0
    }

    /// The same, with the sums that it is made of.
    pub(super) fn counted(&self) -> (ModelStatistics, Tally) {
        let total = self.ledger.total(&self.spec.layout);
        let (mut statistics, last) = (total.tally.read(), total.tally.last());
        statistics.last_inference = last.map_or(0, |at| self.services.clock.epoch_ms(at));
        (statistics.name, statistics.version) = (self.spec.model.clone(), self.spec.version);
        statistics.refused_count = total.full;
        statistics.expired_count = total.expired;
        statistics.cancelled_count = total.cancelled;
        statistics.other_count = total.other;
        statistics.shadow_dropped_count = total.shadow_dropped;
        statistics.queue_len = total.queued;
        (statistics, total.tally)
    }

    fn sums(&self) -> Sums {
        Sums {
            tally: self.core.lock().tally.clone(),
            full: self.refusals.full.read(),
            expired: self.refusals.expired.read(),
            cancelled: self.refusals.cancelled.read(),
            other: self.refusals.other.read(),
            shadow_dropped: self.refusals.shadow.read(),
            queued: self.word.read().queued() as u64,
        }
    }
}
