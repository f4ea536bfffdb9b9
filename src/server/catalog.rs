//! The catalog: which lane serves a name and version, now, and what became of those that do not.
//!
//! A name's entry lives as long as a version of it is known or anybody holds it, and carries a generation; handles keep the lane they found with the
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
//! it carries the turn at which it was asked for. 3. Every change of a state is told once, in order: also of one
//! that got stuck.
//!
//! What is asked of an entry stands in `asked`.
//!
//! Lock order: what leaves an entry, then the list of entries, then an entry, then the subscribers; none is held while anything loads, runs or stops.

mod asked;

use super::course::Course;
use super::events::Events;
use super::hold::{Changing, Hold, Holders, Watchman};
use super::operation::Operation;
use super::restore::TakenIn;
use super::route::Plan;
use super::served::Served;
use super::status::{ModelState, ModelStatus};
use super::version::{Loaded, Parting, Version, unloaded};
use crate::flow::{Lane, Services};
use crate::sync::{AtomicU64, Mutex, MutexGuard, Ordering};
use inferlay_backend_sdk::{Error, ErrorKind};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How a version must be of which something is said.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Must {
    /// In the index.
    BeKnown,
    Serve,
}

/// One name.
pub(super) struct Entry {
    name: String,
    pub(super) generation: AtomicU64,
    /// Counts loads and unloads as they are asked for.
    turns: AtomicU64,
    /// Counts requests, as far as they are spread over versions.
    numbers: AtomicU64,
    pub(super) holders: Holders,
    pub(super) state: Mutex<State>,
    /// Of versions that are on their way out, whoever took them out.
    leaving: Mutex<Vec<Operation>>,
}

/// What is known of its versions.
#[derive(Default)]
pub(super) struct State {
    pub(super) versions: BTreeMap<u64, Version>,
    /// Loads that were asked for before this turn change nothing any more.
    pub(super) barrier: u64,
    /// What was said about the versions, whether or not they are there.
    pub(super) plan: Plan,
    /// What the config says of that, as it was last taken in.
    pub(super) stated: Plan,
    /// Where requests go that make no choice, as found at a generation: whoever has no handle asks for each request.
    course: Option<(u64, Arc<Course>)>,
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
    /// Whether nothing overtook it.
    pub(super) counted: bool,
    /// What the config said of versions, if that counts now.
    pub(super) taken_in: Option<TakenIn>,
}

impl Catalog {
    /// One that is told of lanes that get stuck.
    pub(super) fn begin(services: Arc<Services>) -> Arc<Self> {
        let events = Events::new(services.clone());
        let catalog = Arc::new(Catalog { entries: Mutex::new(BTreeMap::new()), events });
        *services.alarm.lock() = Some(Arc::new(Watchman::of(&catalog)));
        catalog
    }

    /// A hold of a name.
    ///
    /// # Errors
    /// `NOT_FOUND`, with the names that are known.
    pub(super) fn entry(self: &Arc<Self>, name: &str) -> Result<Hold, Error> {
        let entries = self.entries.lock();
        entries.get(name).map(|entry| Hold::new(self, entry.clone())).ok_or_else(|| {
            let known = entries.iter().filter(|(_, entry)| !entry.is_empty()).map(|(name, _)| name.as_str());
            let known: Vec<_> = known.collect();
            let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
            Error::not_found(format!("model '{}' not found; known: {known}", name.escape_default()))
        })
    }

    /// A hold of a name, made if it is not there.
    pub(super) fn entry_or_new(self: &Arc<Self>, name: &str) -> Hold {
        let mut entries = self.entries.lock();
        let new = || {
            let (generation, turns, numbers) = (AtomicU64::new(0), AtomicU64::new(0), AtomicU64::new(0));
            let (name, state, leaving) = (name.to_owned(), Mutex::default(), Mutex::default());
            Arc::new(Entry { name, generation, turns, numbers, holders: Holders::new(), state, leaving })
        };
        let entry = entries.entry(name.to_owned()).or_insert_with(new).clone();
        Hold::new(self, entry)
    }

    /// Forgets a name of which no version is known, and that nobody holds.
    pub(super) fn tidy(&self, name: &str) {
        let forgotten = {
            let mut entries = self.entries.lock();
            // Whoever comes by a hold of one does so under this lock, or has one.
            if entries.get(name).is_some_and(|entry| entry.holders.is_over()) { entries.remove(name) } else { None }
        };
        drop(forgotten);
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
    /// The state, to be changed by somebody who has a hold.
    pub(super) fn changing(&self) -> Changing<'_> {
        Changing::of(self.state.lock(), &self.holders)
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Moves with every change of what serves.
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// What is on its way out. Held while something is taken out, so that nobody looks in between.
    pub(super) fn leaving(&self) -> MutexGuard<'_, Vec<Operation>> {
        let mut leaving = self.leaving.lock();
        leaving.retain(|operation| !operation.is_done());
        leaving
    }

    /// The number of a request, among those that are spread over versions.
    pub(super) fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }
}

impl State {
    /// Takes in what the config says of versions.
    fn read(&mut self, stated: &Plan) -> TakenIn {
        let before = self.plan.clone();
        let stated_before = std::mem::replace(&mut self.stated, stated.clone());
        self.plan.take_in(&stated_before, stated);
        TakenIn { before, after: self.plan.clone(), stated_before }
    }
}

/// Changing.
impl Entry {
    /// Says something else about its versions.
    ///
    /// # Errors
    /// `NOT_FOUND` or `UNAVAILABLE` for a version that is not as it must be; nothing was said then.
    pub(super) fn say(
        &self,
        (named, must): (&[u64], Must),
        events: &Events,
        change: impl FnOnce(&mut Plan),
    ) -> Result<(), Error> {
        let mut state = self.state.lock();
        for number in named {
            let version = state.versions.get(number);
            if version.is_none_or(|version| must == Must::Serve && version.healthy().is_none()) {
                return Err(state.refusal(*number, &format!("model '{}' version {number}", self.name)));
            }
        }
        change(&mut state.plan);
        self.generation.fetch_add(1, Ordering::Release);
        events.directed();
        Ok(())
    }

    /// Asks for a load or an unload: what is asked for later counts more.
    pub(super) fn turn(&self) -> u64 {
        self.turns.fetch_add(1, Ordering::AcqRel) + 1
    }

    /// Versions that are known and not loaded.
    pub(super) fn know(&self, numbers: &[u64], events: &Events) {
        let mut state = self.changing();
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
        let mut state = self.changing();
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
        self.commit(turn, vec![(number, Loaded::Failed(error.clone()))], None, events);
    }

    /// Puts what was loaded in its place, and takes out what it replaces. When a version failed, nothing is taken out but
    /// what has another of the same number in its place, and what the config says of versions waits with the rest of it.
    pub(super) fn commit(
        &self,
        turn: u64,
        loaded: Vec<(u64, Loaded)>,
        stated: Option<&Plan>,
        events: &Events,
    ) -> Committed {
        let mut committed = Committed::default();
        let mut state = self.changing();
        if turn < state.barrier {
            committed.overtaken = loaded.into_iter().filter_map(|(_, loaded)| loaded.served()).collect();
            return committed;
        }
        committed.counted = true;
        let has_failed = loaded.iter().any(|(_, loaded)| matches!(loaded, Loaded::Failed(_)));
        if let Some(stated) = stated.filter(|_| !has_failed || state.versions.values().all(|own| own.served.is_none()))
        {
            committed.taken_in = Some(state.read(stated));
        }
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
        let mut state = self.changing();
        let is_taken = |version: &Version| version.served.is_some() || version.state == Some(ModelState::Loading);
        if state.versions.values().any(is_taken) {
            return Err(Error::new(ErrorKind::AlreadyExists, format!("model '{}' is there already", self.name)));
        }
        state.versions.clear();
        state.read(&Plan::from(&*served.config));
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
        state.course = None;
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
    pub(super) fn freed(&self, (number, turn): (u64, u64), parting: Parting, events: &Events) {
        let mut state = self.changing();
        let Some(version) = state.versions.get_mut(&number) else { return };
        let is_it = version.turn == turn && version.state == Some(ModelState::Unloading);
        if !is_it || version.served.is_some() {
            return;
        }
        version.put(ModelState::Unavailable, Some(unloaded()), turn);
        events.tell(|| version.status(&self.name, number));
        if parting != Parting::Unloaded {
            state.versions.remove(&number);
        }
    }

    /// Puts a lane in the place of another of the same version, if that is still there.
    pub(super) fn replace(&self, number: u64, old: &Served, new: &Served, events: &Events) -> bool {
        let mut state = self.state.lock();
        let Some(version) = state.versions.get_mut(&number) else { return false };
        if !version.served.as_ref().is_some_and(|served| served.is(old)) {
            return false;
        }
        version.served = Some(new.clone());
        self.generation.fetch_add(1, Ordering::Release);
        events.directed();
        true
    }

    /// A lane serves no more, as its backend does not come back.
    pub(super) fn is_stuck(&self, lane: &Lane, events: &Events) {
        let state = self.state.lock();
        let is_it = |version: &Version| version.served.as_ref().is_some_and(|own| std::ptr::eq(&*own.lane, lane));
        if let Some((number, version)) = state.versions.iter().find(|(_, version)| is_it(version)) {
            events.tell(|| version.status(&self.name, *number));
            self.generation.fetch_add(1, Ordering::Release);
        }
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
            if matches!(version.state, Some(ModelState::Unavailable | ModelState::Loading)) {
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

    /// Forgets what does not serve since the unload at this `turn` or longer, and what was said about versions if none is
    /// left.
    pub(super) fn forget(&self, turn: u64) {
        let mut state = self.changing();
        let is_wanted = |version: &Version| version.served.is_some() || version.state == Some(ModelState::Loading);
        state.versions.retain(|_, version| is_wanted(version) || version.turn > turn);
        if state.versions.is_empty() {
            (state.plan, state.stated) = (Plan::default(), Plan::default());
        }
    }
}
