//! The catalog: which lane serves a name and version, now, and what became of those that do not.
//!
//! A name's entry lives as long as the server and carries a generation; handles keep the lane they found with the
//! generation they found it at, and look again when it has moved on. Readers of an entry hold its lock for a clone of an
//! `Arc`.
//!
//! ```text
//!   UNKNOWN --begin--> LOADING --commit--> READY --take out--> UNLOADING --freed--> UNAVAILABLE, or gone
//!                         `--commit, failed--> UNAVAILABLE
//! ```
//!
//! Invariants: 1. What comes in and what goes out changes in one step under the entry's lock: whoever asks finds the old
//! or the new, never neither. 2. A load that was overtaken by an unload, or by the name being taken out, changes nothing:
//! it carries the turn at which it was asked for. 3. Every change of a state is told once, in order.
//!
//! Lock order: the list of entries, then an entry, then the subscribers; none is held while anything loads, runs or stops.

use super::events::Events;
use super::served::Served;
use super::status::{ModelState, ModelStatus};
use crate::sync::{AtomicU64, Mutex, Ordering};
use inferlay_backend_sdk::{Error, ErrorKind};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A version: what serves of it, and what there is to say.
#[derive(Default)]
struct Version {
    served: Option<Served>,
    state: Option<ModelState>,
    /// Why it is in that state, or, of one that serves, what became of an update.
    error: Option<Error>,
    /// Who put it there.
    turn: u64,
}

/// What came of loading a version.
pub(super) enum Loaded {
    /// It is to serve.
    Serves(Served),
    /// It serves as before.
    Stays,
    /// It does not.
    Failed(Error),
}

/// One name.
pub(super) struct Entry {
    name: String,
    generation: AtomicU64,
    /// Counts loads and unloads as they are asked for.
    turns: AtomicU64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    versions: BTreeMap<u64, Version>,
    /// Loads that were asked for before this turn change nothing any more.
    barrier: u64,
}

/// Every name.
pub(super) struct Catalog {
    entries: Mutex<BTreeMap<String, Arc<Entry>>>,
    pub(super) events: Events,
}

/// What a commit did.
#[derive(Default)]
pub(super) struct Committed {
    /// What no longer serves, to be drained.
    pub(super) retired: Vec<(u64, Served)>,
    /// What must not serve because something later overtook it.
    pub(super) overtaken: Vec<Served>,
}

impl Catalog {
    pub(super) fn new(events: Events) -> Self {
        Catalog { entries: Mutex::new(BTreeMap::new()), events }
    }

    /// The entry of a name.
    ///
    /// # Errors
    /// `NOT_FOUND`, with the names that are known.
    pub(super) fn entry(&self, name: &str) -> Result<Arc<Entry>, Error> {
        let entries = self.entries.lock();
        entries.get(name).cloned().ok_or_else(|| {
            let known: Vec<_> = entries.keys().map(String::as_str).collect();
            Error::not_found(format!("model '{}' not found; known: {}", name.escape_default(), known.join(", ")))
        })
    }

    /// The entry of a name, made if it is not there.
    pub(super) fn entry_or_new(&self, name: &str) -> Arc<Entry> {
        let mut entries = self.entries.lock();
        let new = || {
            let (generation, turns, state) = (AtomicU64::new(0), AtomicU64::new(0), Mutex::default());
            Arc::new(Entry { name: name.to_owned(), generation, turns, state })
        };
        entries.entry(name.to_owned()).or_insert_with(new).clone()
    }

    /// Every name.
    pub(super) fn entries(&self) -> Vec<Arc<Entry>> {
        self.entries.lock().values().cloned().collect()
    }

    /// Every version that serves.
    pub(super) fn served(&self) -> Vec<Served> {
        self.entries().iter().flat_map(|entry| entry.served()).map(|(_, served)| served).collect()
    }

    /// The index: every version of every name, in order.
    pub(super) fn index(&self) -> Vec<ModelStatus> {
        self.entries().iter().flat_map(|entry| entry.status()).collect()
    }
}

/// Asking.
impl Entry {
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Moves with every change of what serves.
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// The version asked for, else the highest that serves.
    ///
    /// # Errors
    /// `NOT_FOUND` for a version that is not there, `UNAVAILABLE` with the reason for one that does not serve.
    pub(super) fn find(&self, version: Option<u64>) -> Result<Served, Error> {
        let state = self.state.lock();
        let place = |version: u64| format!("model '{}' version {version}", self.name);
        if let Some(number) = version {
            let Some(version) = state.versions.get(&number) else {
                let known: Vec<_> = state.versions.keys().map(u64::to_string).collect();
                let message = format!("{} not found; known: {}", place(number), known.join(", "));
                return Err(Error::not_found(message));
            };
            return version.healthy().cloned().ok_or_else(|| version.refusal(&place(number)));
        }
        let healthy = state.versions.values().rev().find_map(Version::healthy).cloned();
        healthy.ok_or_else(|| match state.versions.last_key_value() {
            Some((number, version)) => version.refusal(&place(*number)),
            None => Error::unavailable(format!("model '{}' has no version that serves", self.name)),
        })
    }

    /// Whether some version serves, or nothing was to be loaded.
    pub(super) fn is_as_wanted(&self) -> bool {
        let state = self.state.lock();
        let serves = state.versions.values().any(Version::serves);
        serves || state.versions.values().all(Version::is_unwanted)
    }

    /// The versions that serve.
    pub(super) fn served(&self) -> Vec<(u64, Served)> {
        let state = self.state.lock();
        let served = state.versions.iter().filter_map(|(number, version)| Some((*number, version.served.clone()?)));
        served.collect()
    }

    pub(super) fn status(&self) -> Vec<ModelStatus> {
        let state = self.state.lock();
        state.versions.iter().map(|(number, version)| version.status(&self.name, *number)).collect()
    }
}

/// Changing.
impl Entry {
    /// Asks for a load or an unload: what is asked for later counts more.
    pub(super) fn turn(&self) -> u64 {
        self.turns.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// Versions that are known and not loaded.
    pub(super) fn know(&self, numbers: &[u64], events: &Events) {
        let mut state = self.state.lock();
        for number in numbers {
            let version = state.versions.entry(*number).or_default();
            if version.state.is_none() {
                version.put(ModelState::Unknown, None, 0);
                events.tell(|| version.status(&self.name, *number));
            }
        }
    }

    /// Versions are being loaded. Whether nothing later was asked for that makes it vain.
    pub(super) fn begin(&self, turn: u64, numbers: &[u64], events: &Events) -> bool {
        let mut state = self.state.lock();
        if turn < state.barrier {
            return false;
        }
        for number in numbers {
            let version = state.versions.entry(*number).or_default();
            if version.served.is_none() {
                version.put(ModelState::Loading, None, turn);
                events.tell(|| version.status(&self.name, *number));
            }
        }
        true
    }

    /// Nothing of it can be loaded.
    pub(super) fn fail(&self, number: u64, error: &Error, events: &Events) {
        let turn = self.turn();
        self.commit(turn, vec![(number, Loaded::Failed(error.clone()))], events);
    }

    /// Puts what was loaded in its place, and takes out what it replaces. When a version failed, nothing is taken out but
    /// what has another of the same number in its place.
    pub(super) fn commit(&self, turn: u64, loaded: Vec<(u64, Loaded)>, events: &Events) -> Committed {
        let mut committed = Committed::default();
        let mut state = self.state.lock();
        if turn < state.barrier {
            committed.overtaken = loaded.into_iter().filter_map(|(_, loaded)| loaded.served()).collect();
            return committed;
        }
        let has_failed = loaded.iter().any(|(_, loaded)| matches!(loaded, Loaded::Failed(_)));
        let kept: Vec<_> = loaded.iter().map(|(number, _)| *number).collect();
        for (number, loaded) in loaded {
            let version = state.versions.entry(number).or_default();
            let replaced = version.settle(loaded, turn);
            committed.retired.extend(replaced.map(|served| (number, served)));
            events.tell(|| version.status(&self.name, number));
        }
        if !has_failed {
            for (number, version) in state.versions.iter_mut().filter(|(number, _)| !kept.contains(number)) {
                if let Some(served) = version.served.take() {
                    version.put(ModelState::Unloading, None, turn);
                    events.tell(|| version.status(&self.name, *number));
                    committed.retired.push((*number, served));
                }
            }
            let is_past = |number: &u64, version: &Version| {
                !kept.contains(number) && version.state != Some(ModelState::Unloading)
            };
            state.versions.retain(|number, version| !is_past(number, version));
        }
        self.generation.fetch_add(1, Ordering::Release);
        committed
    }

    /// Puts the only version of a name that serves nothing yet.
    ///
    /// # Errors
    /// `ALREADY_EXISTS`.
    pub(super) fn put_first(&self, number: u64, served: Served, events: &Events) -> Result<(), Error> {
        let turn = self.turn();
        let mut state = self.state.lock();
        let is_taken = |version: &Version| version.served.is_some() || version.state == Some(ModelState::Loading);
        if state.versions.values().any(is_taken) {
            return Err(Error::new(ErrorKind::AlreadyExists, format!("model '{}' is there already", self.name)));
        }
        state.versions.clear();
        let version = state.versions.entry(number).or_default();
        version.settle(Loaded::Serves(served), turn);
        events.tell(|| version.status(&self.name, number));
        self.generation.fetch_add(1, Ordering::Release);
        Ok(())
    }

    /// Takes all versions out, and makes loads vain that were asked for before.
    pub(super) fn take_out(&self, events: &Events) -> (u64, Vec<(u64, Served)>) {
        let turn = self.turn();
        let mut state = self.state.lock();
        state.barrier = turn;
        let mut removed = Vec::new();
        for (number, version) in &mut state.versions {
            if let Some(served) = version.served.take() {
                version.put(ModelState::Unloading, None, turn);
                removed.push((*number, served));
            } else if version.state == Some(ModelState::Loading) {
                version.put(ModelState::Unavailable, Some(unloaded()), turn);
            } else {
                continue;
            }
            events.tell(|| version.status(&self.name, *number));
        }
        self.generation.fetch_add(1, Ordering::Release);
        (turn, removed)
    }

    /// A version that was taken out is free. It stays in the index if it was unloaded, and goes if it was replaced.
    pub(super) fn freed(&self, number: u64, stays: bool, events: &Events) {
        let mut state = self.state.lock();
        let Some(version) = state.versions.get_mut(&number) else { return };
        if version.state != Some(ModelState::Unloading) || version.served.is_some() {
            return;
        }
        let turn = version.turn;
        version.put(ModelState::Unavailable, Some(unloaded()), turn);
        events.tell(|| version.status(&self.name, number));
        if !stays {
            state.versions.remove(&number);
        }
    }

    /// Puts a lane in the place of another of the same version, if that is still there.
    pub(super) fn replace(&self, number: u64, old: &Served, new: &Served) -> bool {
        let mut state = self.state.lock();
        let Some(version) = state.versions.get_mut(&number) else { return false };
        if !version.served.as_ref().is_some_and(|served| served.is(old)) {
            return false;
        }
        version.served = Some(new.clone());
        self.generation.fetch_add(1, Ordering::Release);
        true
    }

    /// A version that is paged could not be brought into memory.
    pub(super) fn ails(&self, served: &Served, error: &Error, events: &Events) {
        self.of_lane(served, |number, version| {
            let turn = version.turn;
            version.put(ModelState::Unavailable, Some(error.clone()), turn);
            events.tell(|| version.status(&self.name, number));
        });
    }

    /// It is there.
    pub(super) fn recovers(&self, served: &Served, events: &Events) {
        self.of_lane(served, |number, version| {
            if version.state == Some(ModelState::Unavailable) {
                let turn = version.turn;
                version.put(ModelState::Ready, None, turn);
                events.tell(|| version.status(&self.name, number));
            }
        });
    }

    fn of_lane(&self, served: &Served, change: impl FnOnce(u64, &mut Version)) {
        let mut state = self.state.lock();
        let is_it = |version: &Version| version.served.as_ref().is_some_and(|own| own.is(served));
        if let Some((number, version)) = state.versions.iter_mut().find(|(_, version)| is_it(version)) {
            change(*number, version);
        }
    }

    /// Forgets what does not serve.
    pub(super) fn forget(&self) {
        self.state
            .lock()
            .versions
            .retain(|_, version| version.served.is_some() || version.state == Some(ModelState::Loading));
    }
}

impl Loaded {
    /// Why it failed, if it did.
    pub(super) fn error(&self) -> Option<Error> {
        match self {
            Loaded::Failed(error) => Some(error.clone()),
            Loaded::Serves(_) | Loaded::Stays => None,
        }
    }

    fn served(self) -> Option<Served> {
        match self {
            Loaded::Serves(served) => Some(served),
            Loaded::Stays | Loaded::Failed(_) => None,
        }
    }
}

impl Version {
    fn put(&mut self, state: ModelState, error: Option<Error>, turn: u64) {
        (self.state, self.error, self.turn) = (Some(state), error, turn);
    }

    /// Takes in what came of loading. What served before and is replaced.
    fn settle(&mut self, loaded: Loaded, turn: u64) -> Option<Served> {
        match loaded {
            Loaded::Serves(served) => {
                self.put(ModelState::Ready, None, turn);
                let replaced = self.served.replace(served.clone());
                // Of one that was resized the lane is the same.
                replaced.filter(|old| !old.is(&served))
            }
            Loaded::Stays => {
                self.put(ModelState::Ready, None, turn);
                None
            }
            Loaded::Failed(error) => {
                let state = if self.served.is_some() { ModelState::Ready } else { ModelState::Unavailable };
                self.put(state, Some(error), turn);
                None
            }
        }
    }

    /// What serves of it, unless an execution is stuck there.
    fn healthy(&self) -> Option<&Served> {
        self.served.as_ref().filter(|served| !served.lane.is_stuck())
    }

    /// Whether it answers requests.
    fn serves(&self) -> bool {
        self.state == Some(ModelState::Ready) && self.healthy().is_some_and(|served| !served.lane.is_stopping())
    }

    /// Whether it was unloaded or never asked for.
    fn is_unwanted(&self) -> bool {
        match self.state {
            Some(ModelState::Unavailable) => self.error == Some(unloaded()),
            Some(ModelState::Unloading | ModelState::Unknown) | None => self.served.is_none(),
            Some(_) => false,
        }
    }

    fn status(&self, name: &str, version: u64) -> ModelStatus {
        let (state, reason) = self.state();
        ModelStatus { name: name.to_owned(), version, state, reason }
    }

    fn state(&self) -> (ModelState, String) {
        let reason = match (&self.error, &self.served) {
            (Some(error), None) if *error == unloaded() => error.message().to_owned(),
            (Some(error), None) => error.to_string(),
            (Some(error), Some(_)) if self.state == Some(ModelState::Unavailable) => error.to_string(),
            (Some(error), Some(_)) => format!("serves as before, as an update failed: {error}"),
            (None, Some(served)) if served.lane.is_dozing() => "not in memory; loaded by the next request".to_owned(),
            (None, _) => String::new(),
        };
        match &self.served {
            Some(served) if served.lane.is_stuck() => {
                (ModelState::Unavailable, "an execution passed execution_timeout".to_owned())
            }
            Some(served) if served.lane.is_stopping() => (ModelState::Unavailable, "stopping".to_owned()),
            _ => (self.state.unwrap_or(ModelState::Unknown), reason),
        }
    }

    /// Why a request is not taken.
    fn refusal(&self, place: &str) -> Error {
        let (state, reason) = self.state();
        let why = match state {
            _ if !reason.is_empty() => reason,
            ModelState::Loading => "it is being loaded".to_owned(),
            ModelState::Unloading => "it is being unloaded".to_owned(),
            _ => "it is not loaded".to_owned(),
        };
        Error::unavailable(format!("{place} does not serve: {why}"))
    }
}

fn unloaded() -> Error {
    Error::fixed(ErrorKind::Unavailable, "unloaded")
}
