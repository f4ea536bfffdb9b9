//! Which shapes have a plan of their own. Pure data: no thread, no clock; time is the count of look-ups.
//!
//! Invariants: 1. at most `plans_max` plans are ready or being built. 2. At most [`ENTRIES_MAX`] shapes are remembered.
//! 3. For one shape, `Found::Build` is said once until `put` or `clear`.

use inferlay_backend_sdk::Error;

/// Enough to tell the frequent shapes from the rest.
const ENTRIES_MAX: usize = 64;

/// When a shape is worth a plan.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    /// How many plans there may be.
    pub(crate) plans_max: usize,
    /// How often a shape must have been looked up.
    pub(crate) seen_min: u64,
    /// For how many look-ups a plan must have been unused before it makes room for another.
    pub(crate) idle_min: u64,
}

/// What the shelf has for a shape.
#[derive(Debug, PartialEq)]
pub(crate) enum Found<P> {
    /// A plan.
    Ready(P),
    /// Nothing yet; the caller is the one to have it built and `put`.
    Build,
    /// Nothing for now.
    Nothing,
    /// It could not be built.
    Refused(Error),
}

#[derive(Debug)]
pub(crate) struct Shelf<P> {
    rules: Rules,
    lookups: u64,
    epoch: u64,
    entries: Vec<Entry<P>>,
}

#[derive(Debug)]
struct Entry<P> {
    shapes: Box<[usize]>,
    seen: u64,
    last: u64,
    place: Place<P>,
}

#[derive(Debug)]
enum Place<P> {
    Seen,
    Building,
    Ready(P),
    Refused(Error),
}

impl<P: Clone> Shelf<P> {
    pub(crate) fn new(rules: Rules) -> Self {
        Shelf { rules, lookups: 0, epoch: 0, entries: Vec::new() }
    }

    /// Counts a look-up of `shapes` and says what there is for them.
    pub(crate) fn find(&mut self, shapes: &[usize]) -> Found<P> {
        self.lookups += 1;
        let index = self.entry(shapes);
        let entry = &mut self.entries[index];
        entry.seen += 1;
        entry.last = self.lookups;
        match &entry.place {
            Place::Ready(plan) => return Found::Ready(plan.clone()),
            Place::Refused(error) => return Found::Refused(error.clone()),
            Place::Building => return Found::Nothing,
            Place::Seen if entry.seen < self.rules.seen_min => return Found::Nothing,
            Place::Seen => {}
        }
        if !self.make_room() {
            return Found::Nothing;
        }
        self.entries[index].place = Place::Building;
        Found::Build
    }

    /// Keeps what was built for `shapes`, if it is still expected.
    pub(crate) fn put(&mut self, shapes: &[usize], built: Result<P, Error>) {
        let expected = |entry: &&mut Entry<P>| *entry.shapes == *shapes && matches!(entry.place, Place::Building);
        if let Some(entry) = self.entries.iter_mut().find(expected) {
            entry.place = built.map_or_else(Place::Refused, Place::Ready);
        }
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.entries.clear();
        self.epoch += 1;
    }

    /// Changes whenever a plan has left the shelf.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The plans that are ready.
    pub(crate) fn plans(&self) -> impl Iterator<Item = &P> {
        self.entries.iter().filter_map(|entry| match &entry.place {
            Place::Ready(plan) => Some(plan),
            _ => None,
        })
    }

    fn entry(&mut self, shapes: &[usize]) -> usize {
        if let Some(index) = self.entries.iter().position(|entry| *entry.shapes == *shapes) {
            return index;
        }
        let new = Entry { shapes: shapes.into(), seen: 0, last: self.lookups, place: Place::Seen };
        let spare = |entry: &Entry<P>| matches!(entry.place, Place::Seen | Place::Refused(_));
        let oldest =
            self.entries.iter().enumerate().filter(|(_, entry)| spare(entry)).min_by_key(|(_, entry)| entry.last);
        match oldest.map(|(index, _)| index) {
            Some(index) if self.entries.len() >= ENTRIES_MAX => {
                self.entries[index] = new;
                index
            }
            _ => {
                self.entries.push(new);
                self.entries.len() - 1
            }
        }
    }

    /// Whether one more plan may be built, if need be after the longest unused one has gone.
    fn make_room(&mut self) -> bool {
        let held = |entry: &Entry<P>| matches!(entry.place, Place::Ready(_) | Place::Building);
        if self.entries.iter().filter(|entry| held(entry)).count() < self.rules.plans_max {
            return true;
        }
        let ready = self.entries.iter_mut().filter(|entry| matches!(entry.place, Place::Ready(_)));
        match ready.min_by_key(|entry| entry.last) {
            Some(entry) if self.lookups - entry.last > self.rules.idle_min => {
                (entry.place, entry.seen) = (Place::Seen, 0);
                self.epoch += 1;
                true
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rules = Rules { plans_max: 2, seen_min: 3, idle_min: 10 };

    fn times(shelf: &mut Shelf<u32>, rows: usize, count: usize) -> Found<u32> {
        (1..count).for_each(|_| drop(shelf.find(&[1, rows])));
        shelf.find(&[1, rows])
    }

    #[test]
    fn a_shape_seen_often_is_built_once_and_then_found() {
        let mut shelf = Shelf::new(RULES);
        assert_eq!(times(&mut shelf, 8, 2), Found::Nothing);
        assert_eq!(times(&mut shelf, 8, 1), Found::Build);
        assert_eq!(times(&mut shelf, 8, 5), Found::Nothing);
        shelf.put(&[1, 8], Ok(80));
        assert_eq!(times(&mut shelf, 8, 1), Found::Ready(80));
        assert_eq!(shelf.plans().count(), 1);
    }

    #[test]
    fn a_refusal_is_remembered() {
        let mut shelf = Shelf::new(RULES);
        times(&mut shelf, 8, 3);
        shelf.put(&[1, 8], Err(Error::internal("no")));
        assert_eq!(times(&mut shelf, 8, 9), Found::Refused(Error::internal("no")));
    }

    #[test]
    fn only_a_plan_long_unused_makes_room() {
        let mut shelf = Shelf::new(RULES);
        for rows in [1, 2] {
            assert_eq!(times(&mut shelf, rows, 3), Found::Build);
            shelf.put(&[1, rows], Ok(rows as u32));
        }
        assert_eq!(times(&mut shelf, 3, 3), Found::Nothing, "both are in use");
        let epoch = shelf.epoch();
        times(&mut shelf, 2, 8);
        assert_eq!(times(&mut shelf, 3, 1), Found::Build, "1 was last used 14 look-ups ago");
        assert!(shelf.epoch() > epoch);
        assert_eq!(shelf.plans().collect::<Vec<_>>(), [&2]);
    }

    #[test]
    fn memory_is_bounded_however_many_shapes_come() {
        let mut shelf = Shelf::new(RULES);
        for rows in 0..10_000 {
            if times(&mut shelf, rows, 3) == Found::Build {
                shelf.put(&[1, rows], Ok(0));
            }
        }
        assert!(shelf.entries.len() <= ENTRIES_MAX && shelf.plans().count() <= RULES.plans_max);
    }

    #[test]
    fn what_comes_after_a_clear_is_not_kept() {
        let mut shelf = Shelf::new(RULES);
        assert_eq!(times(&mut shelf, 8, 3), Found::Build);
        shelf.clear();
        shelf.put(&[1, 8], Ok(80));
        assert_eq!(shelf.plans().count(), 0);
    }
}
