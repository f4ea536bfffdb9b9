//! How much memory models may take, and which of them goes when another needs room. Pure.
//!
//! Invariants: 1. what is taken never exceeds a limit, but by what a model turned out to use beyond its estimate, and then
//! nothing more is taken until that is made up for; 2. who goes is who was used least recently, of those that may go;
//! 3. nobody goes for one that would not fit in any case.

use inferlay_backend_sdk::{Device, MemoryKind, Placement};
use std::collections::BTreeMap;

/// Where memory is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Place {
    Host,
    Device(u32),
}

impl Place {
    fn of(placement: Placement) -> Self {
        match (placement.kind, placement.device) {
            (MemoryKind::Device | MemoryKind::Managed, Device::Cuda(index)) => Place::Device(index),
            _ => Place::Host,
        }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Place::Host => f.write_str("host memory"),
            Place::Device(index) => write!(f, "memory of device {index}"),
        }
    }
}

/// Bytes at each place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Use(BTreeMap<Place, u64>);

impl Use {
    pub(super) fn host(bytes: u64) -> Self {
        Use(BTreeMap::from([(Place::Host, bytes)]))
    }

    pub(super) fn of(reported: &[(Placement, usize)]) -> Self {
        let mut used = Use::default();
        for (placement, bytes) in reported {
            *used.0.entry(Place::of(*placement)).or_default() += *bytes as u64;
        }
        used
    }

    pub(super) fn set(&mut self, place: Place, bytes: u64) {
        self.0.insert(place, bytes);
    }

    pub(super) fn at(&self, place: Place) -> u64 {
        self.0.get(&place).copied().unwrap_or(0)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.values().all(|bytes| *bytes == 0)
    }

    pub(super) fn add(&mut self, other: &Use) {
        other.0.iter().for_each(|(place, bytes)| *self.0.entry(*place).or_default() += bytes);
    }

    fn subtract(&mut self, other: &Use) {
        for (place, bytes) in &other.0 {
            let mine = self.0.entry(*place).or_default();
            *mine = mine.saturating_sub(*bytes);
        }
    }
}

/// What is allowed and what is taken.
#[derive(Debug, Default)]
pub(super) struct Budget {
    limits: Use,
    taken: Use,
}

/// Room that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Lack {
    pub(super) place: Place,
    pub(super) wanted: u64,
    pub(super) limit: u64,
    pub(super) taken: u64,
}

impl Budget {
    pub(super) fn new(limits: Use) -> Self {
        Budget { limits, taken: Use::default() }
    }

    pub(super) fn limits(&self) -> &Use {
        &self.limits
    }

    pub(super) fn taken(&self) -> &Use {
        &self.taken
    }

    /// Takes room.
    ///
    /// # Errors
    /// Where it lacks; nothing is taken then.
    pub(super) fn take(&mut self, wanted: &Use) -> Result<(), Lack> {
        match self.lack(wanted, &self.taken) {
            Some(lack) => Err(lack),
            None => {
                self.taken.add(wanted);
                Ok(())
            }
        }
    }

    /// Where `wanted` would lack room even if all but `staying` went.
    pub(super) fn never_fits(&self, wanted: &Use, staying: &Use) -> Option<Lack> {
        self.lack(wanted, staying)
    }

    fn lack(&self, wanted: &Use, taken: &Use) -> Option<Lack> {
        self.limits.0.iter().find_map(|(place, limit)| {
            let (wanted, taken) = (wanted.at(*place), taken.at(*place));
            let fits = taken.checked_add(wanted).is_some_and(|sum| sum <= *limit);
            (wanted > 0 && !fits).then_some(Lack { place: *place, wanted, limit: *limit, taken })
        })
    }

    /// What was taken as `old` turned out to be `new`.
    pub(super) fn correct(&mut self, old: &Use, new: &Use) {
        self.taken.subtract(old);
        self.taken.add(new);
    }

    /// Whether more is taken at some place than is allowed.
    pub(super) fn is_exceeded(&self) -> bool {
        self.limits.0.iter().any(|(place, limit)| self.taken.at(*place) > *limit)
    }

    pub(super) fn give_back(&mut self, used: &Use) {
        self.taken.subtract(used);
    }
}

/// A model in memory, as seen by whoever looks for one that goes.
#[derive(Clone, Debug)]
pub(super) struct Candidate<K> {
    pub(super) key: K,
    pub(super) last_used: u64,
    pub(super) may_go: bool,
}

/// The one that goes: the least recently used, of equals the first.
pub(super) fn victim<K>(candidates: impl IntoIterator<Item = Candidate<K>>) -> Option<K> {
    let going = candidates.into_iter().filter(|candidate| candidate.may_go);
    going.min_by_key(|candidate| candidate.last_used).map(|candidate| candidate.key)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn room_is_taken_up_to_the_limit_and_given_back() {
        let mut budget = Budget::new(Use::host(100));
        assert_eq!(budget.take(&Use::host(60)), Ok(()));
        let lack = Lack { place: Place::Host, wanted: 41, limit: 100, taken: 60 };
        assert_eq!(budget.take(&Use::host(41)), Err(lack));
        assert_eq!(budget.take(&Use::host(40)), Ok(()));
        budget.give_back(&Use::host(60));
        assert_eq!((budget.taken().at(Place::Host), budget.is_exceeded()), (40, false));
        budget.correct(&Use::host(40), &Use::host(110));
        assert!(budget.is_exceeded() && budget.take(&Use::host(1)).is_err());
        assert_eq!(budget.take(&Use::host(0)), Ok(()), "what takes nothing always fits");
    }

    #[test]
    fn places_are_counted_apart_and_those_without_a_limit_not_at_all() {
        let mut limits = Use::host(10);
        limits.set(Place::Device(1), 5);
        let mut budget = Budget::new(limits);
        let mut wanted = Use::host(10);
        (0..2).for_each(|device| wanted.set(Place::Device(device), 5));
        assert_eq!(budget.take(&wanted), Ok(()));
        let mut more = Use::default();
        more.set(Place::Device(0), u64::MAX / 2);
        assert_eq!(budget.take(&more), Ok(()));
        more.set(Place::Device(1), 1);
        assert_eq!(budget.take(&more).unwrap_err().place, Place::Device(1));
    }

    #[test]
    fn what_never_fits_is_told_before_anybody_goes() {
        let budget = Budget::new(Use::host(100));
        assert_eq!(budget.never_fits(&Use::host(70), &Use::host(30)), None);
        assert!(budget.never_fits(&Use::host(71), &Use::host(30)).is_some());
        assert!(budget.never_fits(&Use::host(u64::MAX), &Use::host(30)).is_some());
    }

    #[test]
    fn the_least_recently_used_goes_that_may() {
        let candidate = |key, last_used, may_go| Candidate { key, last_used, may_go };
        let all = [candidate("a", 3, true), candidate("b", 1, false), candidate("c", 2, true), candidate("d", 2, true)];
        assert_eq!(victim(all), Some("c"));
        assert_eq!(victim([candidate("b", 1, false)]), None);
    }
}
