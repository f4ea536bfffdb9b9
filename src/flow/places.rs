//! How many requests of each priority may wait, where priorities have bounds of their own. Beside the lane's word, which
//! bounds all that wait; a lane whose priorities have none does without.
//!
//! Invariants: 1. At no level with a bound do more requests wait than that, and what waits there takes no place from
//! others. 2. The levels without a bound share one. 3. A place is taken before its request is in the queue, and given back
//! once: by whoever claims the request for a batch, or answers it while it waits.

use super::spec::LaneSpec;
use crate::sync::{AtomicUsize, Ordering};

/// The places of each level.
pub(crate) struct Places {
    /// The first is that of the levels without a bound of their own.
    shares: Vec<Share>,
    /// Which share is a level's.
    of_level: Vec<usize>,
}

struct Share {
    max: usize,
    taken: AtomicUsize,
}

impl Places {
    /// As the waits of a spec say; `None` if no level has a bound of its own.
    pub(crate) fn new(spec: &LaneSpec) -> Option<Self> {
        let own = |level| spec.waits.of(level).queued_max;
        let levels = 0..spec.levels.max(1);
        let sum: usize = levels.clone().filter_map(own).sum();
        let share = |max| Share { max, taken: AtomicUsize::new(0) };
        let mut places = Places { shares: vec![share(spec.queued_max.saturating_sub(sum))], of_level: Vec::new() };
        for level in levels {
            let index = own(level).map(|max| {
                places.shares.push(share(max));
                places.shares.len() - 1
            });
            places.of_level.push(index.unwrap_or(0));
        }
        (places.shares.len() > 1).then_some(places)
    }

    /// Takes a place; whether there was one.
    pub(crate) fn enter(&self, level: usize) -> bool {
        let share = self.share(level);
        let next = |taken| (taken < share.max).then_some(taken + 1);
        share.taken.fetch_update(Ordering::AcqRel, Ordering::Relaxed, next).is_ok()
    }

    /// Gives a place back.
    pub(crate) fn leave(&self, level: usize) {
        self.share(level).taken.fetch_sub(1, Ordering::AcqRel);
    }

    fn share(&self, level: usize) -> &Share {
        &self.shares[self.of_level[level.min(self.of_level.len() - 1)]]
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::super::check::tests::spec;
    use super::super::wait::{Wait, Waits};
    use super::*;

    #[test]
    fn levels_with_a_bound_have_places_of_their_own_and_the_others_share() {
        let wait = |queued_max| Wait { queued_max, ..Wait::default() };
        let waits = Waits::new(vec![wait(Some(1)), wait(None), wait(Some(2)), wait(None)]);
        let places = Places::new(&LaneSpec { levels: 4, queued_max: 5, waits, ..spec(4) }).unwrap();
        // What comes and what goes (level), and whether there was a place.
        let steps =
            [(0, true), (0, false), (1, true), (3, true), (1, false), (2, true), (2, true), (2, false), (9, false)];
        for (index, (level, expected)) in steps.into_iter().enumerate() {
            assert_eq!(places.enter(level), expected, "step {index}");
        }
        places.leave(3);
        assert!(places.enter(1) && !places.enter(3) && !places.enter(0));
    }

    #[test]
    fn a_lane_without_bounds_of_levels_has_none() {
        assert!(Places::new(&spec(4)).is_none());
    }
}
