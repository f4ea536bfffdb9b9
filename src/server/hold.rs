//! Who has hold of an entry of the catalog: whoever loads, unloads or has a handle, strongly; who hears of lanes that get
//! stuck, only while there is a catalog.
//!
//! Invariant: a name of which no version is known goes with the last hold of it. Holds, and whether any version is known, are
//! one word of the entry: whoever leaves it at neither takes the name out of the catalog, and nobody else looks.

use super::catalog::{Catalog, Entry, State};
use crate::flow::{Alarm, Lane};
use crate::sync::{AtomicU64, MutexGuard, Ordering};
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Weak};

/// A hold of a name that may turn out to be of nothing: the name is forgotten then, with the last hold.
pub(super) struct Hold {
    entry: Arc<Entry>,
    catalog: Arc<Catalog>,
}

impl Hold {
    /// Of an entry that is in the catalog: one that is held, or found under the catalog's lock.
    pub(super) fn new(catalog: &Arc<Catalog>, entry: Arc<Entry>) -> Self {
        entry.holders.add();
        Hold { entry, catalog: catalog.clone() }
    }
}

impl Deref for Hold {
    type Target = Arc<Entry>;

    fn deref(&self) -> &Arc<Entry> {
        &self.entry
    }
}

impl Clone for Hold {
    fn clone(&self) -> Self {
        Hold::new(&self.catalog, self.entry.clone())
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if self.entry.holders.remove() {
            self.catalog.tidy(self.entry.name());
        }
    }
}

/// How many holds of a name there are, and whether any version of it is known.
pub(super) struct Holders(AtomicU64);

/// Set while a version is known.
const KNOWN: u64 = 1 << 63;

impl Holders {
    /// Of a name that was just made.
    pub(super) fn new() -> Self {
        Holders(AtomicU64::new(0))
    }

    fn add(&self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }

    /// Whether it was the last one, of a name of which nothing is known.
    fn remove(&self) -> bool {
        self.0.fetch_sub(1, Ordering::AcqRel) == 1
    }

    /// Whether a version is known, as of now. By whoever has a hold.
    pub(super) fn know(&self, is_known: bool) {
        if is_known {
            self.0.fetch_or(KNOWN, Ordering::AcqRel);
        } else {
            self.0.fetch_and(!KNOWN, Ordering::AcqRel);
        }
    }

    /// Whether there is neither.
    pub(super) fn is_over(&self) -> bool {
        self.0.load(Ordering::Acquire) == 0
    }
}

/// The state of an entry to be changed; whether any version is known afterwards is noted when this is dropped.
pub(super) struct Changing<'a> {
    state: MutexGuard<'a, State>,
    holders: &'a Holders,
}

impl<'a> Changing<'a> {
    pub(super) fn of(state: MutexGuard<'a, State>, holders: &'a Holders) -> Self {
        Changing { state, holders }
    }
}

impl Deref for Changing<'_> {
    type Target = State;

    fn deref(&self) -> &State {
        &self.state
    }
}

impl DerefMut for Changing<'_> {
    fn deref_mut(&mut self) -> &mut State {
        &mut self.state
    }
}

impl Drop for Changing<'_> {
    fn drop(&mut self) {
        self.holders.know(!self.state.versions.is_empty());
    }
}

/// Hears of lanes that get stuck, for a catalog.
pub(super) struct Watchman(Weak<Catalog>);

impl Watchman {
    pub(super) fn of(catalog: &Arc<Catalog>) -> Self {
        Watchman(Arc::downgrade(catalog))
    }
}

impl Alarm for Watchman {
    fn is_stuck(&self, lane: &Lane) {
        let Some(catalog) = self.0.upgrade() else { return };
        if let Ok(entry) = catalog.entry(&lane.spec.model) {
            entry.is_stuck(lane, &catalog.events);
        }
    }
}
