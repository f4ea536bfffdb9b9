//! How many requests of each priority may wait: each has a queue of its own, with its own bound. Beside the lane's word,
//! which bounds all that wait; a lane with one priority does without.
//!
//! Invariants: 1. At no level do more requests wait than its bound, and what waits there takes no place from others: the
//! word has room for all of them. 2. A place is taken before its request is in the queue, and given back once: by whoever
//! claims the request for a batch, or answers it while it waits.

use super::spec::LaneSpec;
use crate::sync::{AtomicUsize, Ordering};

/// The places of each level.
pub(crate) struct Places(Vec<Queue>);

struct Queue {
    max: usize,
    taken: AtomicUsize,
}

impl Places {
    /// As the waits of a spec say; `None` for one level, of which the word is the bound.
    pub(crate) fn new(spec: &LaneSpec) -> Option<Self> {
        let max = |level| spec.waits.of(level).queued_max.unwrap_or(usize::MAX);
        let queue = |level| Queue { max: max(level), taken: AtomicUsize::new(0) };
        (spec.levels > 1).then(|| Places((0..spec.levels).map(queue).collect()))
    }

    /// Takes a place; whether there was one.
    pub(crate) fn enter(&self, level: usize) -> bool {
        let queue = self.queue(level);
        let next = |taken| (taken < queue.max).then_some(taken + 1);
        queue.taken.fetch_update(Ordering::AcqRel, Ordering::Relaxed, next).is_ok()
    }

    /// Gives a place back.
    pub(crate) fn leave(&self, level: usize) {
        self.queue(level).taken.fetch_sub(1, Ordering::AcqRel);
    }

    /// How many wait in the fullest queue, and how many may.
    pub(crate) fn fullest(&self) -> (usize, usize) {
        let queues = self.0.iter().map(|queue| (queue.taken.load(Ordering::Relaxed), queue.max));
        queues.fold((0, usize::MAX), |full, next| {
            let is_fuller = next.0 as u128 * full.1 as u128 > full.0 as u128 * next.1 as u128;
            if is_fuller { next } else { full }
        })
    }

    fn queue(&self, level: usize) -> &Queue {
        &self.0[level.min(self.0.len() - 1)]
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::super::check::tests::spec;
    use super::super::wait::{Wait, Waits};
    use super::*;

    #[test]
    fn each_level_has_places_of_its_own() {
        let wait = |queued_max| Wait { queued_max, ..Wait::default() };
        let waits = Waits::new(vec![wait(Some(1)), wait(Some(2)), wait(None)]);
        let places = Places::new(&LaneSpec { levels: 3, queued_max: 3, waits, ..spec(4) }).unwrap();
        // What comes (level), and whether there was a place.
        let steps = [(0, true), (0, false), (1, true), (1, true), (1, false), (2, true), (9, true), (0, false)];
        for (index, (level, expected)) in steps.into_iter().enumerate() {
            assert_eq!(places.enter(level), expected, "step {index}");
        }
        assert_eq!(places.fullest(), (1, 1));
        places.leave(0);
        places.leave(1);
        assert_eq!(places.fullest(), (1, 2));
        assert!(places.enter(0) && places.enter(1) && !places.enter(1) && !places.enter(0));
    }

    #[test]
    fn a_lane_with_one_level_has_none() {
        assert!(Places::new(&LaneSpec { levels: 1, ..spec(4) }).is_none());
    }
}
