//! One ring for many: each waiter has a doorbell of its own, and a ring goes to every one of them.
//!
//! For what happens rarely: a ring takes a lock.

use super::{Doorbell, Mutex};
use std::sync::{Arc, Weak};

/// Wakes all who listen.
#[derive(Default)]
pub(crate) struct Bells {
    listeners: Mutex<Vec<Weak<Doorbell>>>,
}

impl Bells {
    /// A bell that is rung from now on, until it is dropped.
    pub(crate) fn listen(&self) -> Arc<Doorbell> {
        let bell = Arc::new(Doorbell::new());
        let mut listeners = self.listeners.lock();
        listeners.retain(|listener| listener.strong_count() > 0);
        listeners.push(Arc::downgrade(&bell));
        bell
    }

    /// Wakes every listener, or lets its next wait return at once.
    pub(crate) fn ring(&self) {
        let bells: Vec<_> = self.listeners.lock().iter().filter_map(Weak::upgrade).collect();
        bells.iter().for_each(|bell| bell.ring());
    }
}
