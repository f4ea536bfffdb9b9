//! The way back for an entry of the catalog: from versions that took the place of others and failed, to these.
//!
//! Invariants: 1. It is one step under the entry's lock, as the commit was. 2. What came since stays: another version, an
//! unload, and what the application said of versions. 3. What finds no place is handed back, to be stopped.

use super::catalog::{Entry, State};
use super::events::Events;
use super::route::Plan;
use super::served::Served;
use super::status::ModelState;
use super::version::Version;
use crate::sync::Ordering;
use inferlay_backend_sdk::Error;
use std::collections::BTreeSet;

/// What was taken in from a config, and what counted before.
pub(super) struct TakenIn {
    pub(super) before: Plan,
    pub(super) after: Plan,
    pub(super) stated_before: Plan,
}

/// A version that took the place of another and could not be loaded.
pub(super) struct Failed<'a> {
    pub(super) version: u64,
    pub(super) served: &'a Served,
    pub(super) error: &'a Error,
}

/// What a restore did.
#[derive(Default)]
pub(super) struct Restored {
    /// What serves again.
    pub(super) serving: Vec<Served>,
    /// What has no place to come back to.
    pub(super) superfluous: Vec<Served>,
}

impl Entry {
    /// Puts what was there `before` in the place of versions that replaced it and failed, where nothing else has come since
    /// the load that was asked at `turn`; and takes back what its config said.
    pub(super) fn restore(
        &self,
        turn: u64,
        failed: &[Failed<'_>],
        before: Vec<(u64, Served)>,
        taken_in: Option<&TakenIn>,
        events: &Events,
    ) -> Restored {
        let mut restored = Restored::default();
        let mut state = self.changing();
        let mut changed = state.remove_failed(turn, failed);
        if turn < state.barrier || changed.is_empty() {
            restored.superfluous.extend(before.into_iter().map(|(_, served)| served));
            return restored;
        }
        for (number, served) in before {
            let version = state.versions.entry(number).or_default();
            if version.served.is_some() {
                restored.superfluous.push(served);
                continue;
            }
            let own = failed.iter().find(|failed| failed.version == number).or(failed.first());
            version.served = Some(served.clone());
            version.put(ModelState::Ready, own.map(|failed| failed.error.clone()), turn);
            changed.insert(number);
            restored.serving.push(served);
        }
        if let Some(taken_in) = taken_in {
            state.unread(taken_in);
        }
        for number in changed {
            let version = state.versions.entry(number).or_default();
            events.tell(|| version.status(self.name(), number));
        }
        self.generation.fetch_add(1, Ordering::Release);
        restored
    }
}

impl State {
    /// Takes it back; what was said since counts.
    fn unread(&mut self, taken_in: &TakenIn) {
        self.plan.take_back(&taken_in.after, &taken_in.before);
        self.stated.clone_from(&taken_in.stated_before);
    }

    /// Takes out those that failed and are there still. Which these are.
    fn remove_failed(&mut self, turn: u64, failed: &[Failed<'_>]) -> BTreeSet<u64> {
        let mut removed = BTreeSet::new();
        for Failed { version: number, served: failed, error } in failed {
            let version = self.versions.get_mut(number);
            let is_it = |version: &&mut Version| version.served.as_ref().is_some_and(|served| served.is(failed));
            if let Some(version) = version.filter(is_it) {
                version.served = None;
                version.put(ModelState::Unavailable, Some((*error).clone()), turn);
                removed.insert(*number);
            }
        }
        removed
    }
}
