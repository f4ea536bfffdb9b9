//! Who has hold of an entry of the catalog: whoever loads, unloads or has a handle, strongly; who hears of lanes that get
//! stuck, only while there is a catalog.
//!
//! Invariant: a name of which no version is known goes with the last hold of it.

use super::catalog::{Catalog, Entry};
use crate::flow::{Alarm, Lane};
use std::sync::{Arc, Weak};

/// A hold of a name that may turn out to be of nothing: the name is forgotten then, with the last hold.
pub(super) struct Hold {
    entry: Option<Arc<Entry>>,
    catalog: Arc<Catalog>,
}

impl Hold {
    pub(super) fn new(catalog: &Arc<Catalog>, entry: Arc<Entry>) -> Self {
        Hold { entry: Some(entry), catalog: catalog.clone() }
    }

    pub(super) fn entry(&self) -> &Arc<Entry> {
        match &self.entry {
            Some(entry) => entry,
            None => unreachable!("it holds it until it is dropped"),
        }
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        if let Some(entry) = self.entry.take() {
            let name = entry.name().to_owned();
            drop(entry);
            self.catalog.tidy(&name);
        }
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
