//! More models than fit into memory: they are loaded when they are asked, and the least recently used go.
//!
//! ```text
//!   a request for a model that is not in memory -> its lane dozes and asks (flow/doze) -> a loading thread
//!     -> room: taken, or idle models go until it is there, or asked for again while requests wait   (budget)
//!     -> load, count what it really uses -> instances -> the lane wakes, and what waits is run
//! ```
//!
//! Invariants: 1. Room is taken before a model is loaded and given back after it is freed: what is in memory stays within
//! the budget, as far as backends tell what they will use. 2. Only a model that is idle goes: nothing waits for it, runs on
//! it, or is owed an answer. Its lane stays, takes requests and keeps their deadlines. 3. One load for all who wait: a lane
//! asks once. 4. What is pinned never goes. 5. A load that finds no room, and nobody who could make some, answers those who
//! wait with RESOURCE_EXHAUSTED, and the next request tries again. 6. Requests that wait for room hold no loading thread.
//! 7. A model that is stuck in its backend counts as one that never goes. 8. Where
//! nobody can go, models give back what they only cache before a load waits or fails.

use super::Inner;
use super::budget::{Budget, Candidate, Lack, Place, Use, victim};
use super::measure::Measuring;
use super::room::{Room, RoomId};
use super::served::Served;
use crate::flow::Demand;
use crate::sync::{AtomicU64, Doorbell, Mutex, Ordering};
use inferlay_backend_sdk::{Error, ErrorKind};
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

/// How long to wait before looking again for somebody who has become idle.
const LOOK_AGAIN: Duration = Duration::from_millis(1);

/// How often to look again for one that is about to be idle, before another one goes.
const MOMENTS_MAX: u32 = 20;

/// A model that is wanted again so soon after it went, in nanoseconds, should not have gone.
const THRASH: u64 = 10_000_000_000;

/// How long a model keeps what it caches again after it gave that back, in nanoseconds.
const TRIM_AFTER: u64 = 1_000_000_000;

/// What paging has done.
///
/// # Examples
/// ```
/// # use inferlay::ServerHandle;
/// let server = ServerHandle::builder().memory_budget(1 << 30).start()?;
/// let paging = server.paging();
/// assert_eq!((paging.budget_bytes, paging.used_bytes, paging.loads), (1 << 30, 0, 0));
/// # Ok::<(), inferlay::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct PagingStatistics {
    /// The budget of host memory, in bytes; 0 without one.
    pub budget_bytes: u64,
    /// What models in memory use of it, in bytes.
    pub used_bytes: u64,
    /// The most that they ever used at once.
    pub used_bytes_max: u64,
    /// Versions in memory.
    pub resident_count: u64,
    /// Versions that were loaded because they were asked.
    pub loads: u64,
    /// Versions that went to make room.
    pub evictions: u64,
    /// Loads of versions that had gone less than ten seconds before: the budget is too small for the traffic.
    pub thrashes: u64,
    /// Loads that found no room.
    pub exhausted: u64,
}

/// Who is in memory, and who goes.
pub(super) struct Pager {
    state: Mutex<State>,
    counts: Counts,
    pub(super) measuring: Measuring,
}

#[derive(Default)]
struct Counts {
    loads: AtomicU64,
    evictions: AtomicU64,
    thrashes: AtomicU64,
    exhausted: AtomicU64,
}

#[derive(Default)]
struct State {
    budget: Budget,
    rooms: BTreeMap<RoomId, Taken>,
    next: u64,
    used_max: u64,
    pinned: BTreeSet<String>,
}

impl State {
    /// Whether it never goes to make room: it was asked to stay, or does not come back from its backend.
    fn stays(&self, taken: &Taken) -> bool {
        self.pinned.contains(&taken.model) && !taken.leaves || taken.is_stuck() && !taken.is_dead()
    }

    /// The one that goes next: none of those `beside`, nor of those that were asked to go `in_vain`.
    fn next_to_go(&self, beside: &[&Served], in_vain: &BTreeSet<RoomId>) -> Option<Going> {
        let candidates = self.rooms.iter().filter(|(_, taken)| taken.resident.is_some()).map(|(id, taken)| {
            let is_beside = taken.is_one_of(beside) && !taken.is_dead();
            let may_go = !self.stays(taken) && !is_beside && !in_vain.contains(id);
            Candidate { key: *id, last_used: taken.last_used(), may_go }
        });
        let id = victim(candidates)?;
        let (served, demand) = self.rooms.get(&id)?.resident.clone()?;
        Some(Going { id, served, demand })
    }
}

/// One that is to go for another.
struct Going {
    id: RoomId,
    served: Served,
    demand: Arc<dyn Demand>,
}

/// Why there is no room.
enum Short {
    /// This one has to go first.
    Until(Going),
    Of(NoRoom),
}

/// Room that was taken.
struct Taken {
    used: Use,
    model: String,
    /// What may go, once it is there.
    resident: Option<(Served, Arc<dyn Demand>)>,
    /// When it was there.
    since: u64,
    /// Whether it is on its way out, to make room for what replaces it.
    leaves: bool,
    /// When it was last asked to give back what it only caches.
    trimmed: Option<u64>,
    /// When it was last asked what it uses.
    counted: u64,
}

impl Taken {
    fn by(wanted: &Wanted<'_>) -> Self {
        let (used, model) = (wanted.about.clone(), wanted.model.to_owned());
        Taken { used, model, resident: None, since: 0, leaves: false, trimmed: None, counted: 0 }
    }

    /// Whether it may cache something: it has run since it was last asked to give that back, and that was not just now.
    fn may_cache(&self, now: u64) -> bool {
        let is_due = |at: u64| self.last_used() > at && now.saturating_sub(at) >= TRIM_AFTER;
        self.resident.is_some() && self.trimmed.is_none_or(is_due)
    }

    /// When it last ran, or was loaded: what was just loaded is about to be asked.
    fn last_used(&self) -> u64 {
        let ran = self.resident.as_ref().map_or(0, |(served, _)| served.lane.last_used());
        ran.max(self.since)
    }

    fn is_stuck(&self) -> bool {
        self.resident.as_ref().is_some_and(|(served, _)| served.lane.is_stuck())
    }

    /// Whether it serves no more, and its backend has nothing of it: nobody misses it.
    fn is_dead(&self) -> bool {
        self.resident.as_ref().is_some_and(|(served, _)| served.lane.is_stuck() && served.lane.is_deserted())
    }

    /// Whether it has run since what it uses was counted.
    fn may_have_grown(&self) -> bool {
        self.resident.as_ref().is_some_and(|(served, _)| served.lane.last_used() > self.counted)
    }

    /// Whether it was let go of while its backend had it, which may never give it back.
    fn is_abandoned(&self) -> bool {
        let lane = self.resident.as_ref().map(|(served, _)| &served.lane);
        lane.is_some_and(|lane| lane.has_ended() && !lane.is_deserted())
    }

    fn is_one_of(&self, those: &[&Served]) -> bool {
        self.resident.as_ref().is_some_and(|(served, _)| those.iter().any(|one| served.is(one)))
    }
}

/// A model that waits for room.
pub(super) struct Wanted<'a> {
    pub(super) model: &'a str,
    /// About what it will use.
    pub(super) about: Use,
    /// What must not go for it: the versions that it is to replace.
    pub(super) beside: &'a [&'a Served],
    /// Whether to wait here until somebody is idle.
    pub(super) waits: &'a dyn Fn() -> bool,
}

/// Room that is not there.
pub(super) struct NoRoom {
    pub(super) lack: Error,
    /// Whether there may be some later: somebody is in the way who may become idle, or is on its way out.
    pub(super) may_come: bool,
}

impl Pager {
    pub(super) fn new(limits: Use, pinned: BTreeSet<String>) -> Arc<Self> {
        let state = State { budget: Budget::new(limits), pinned, ..State::default() };
        Arc::new(Pager { state: Mutex::new(state), counts: Counts::default(), measuring: Measuring::default() })
    }

    /// Room for a model; models that are idle go for it.
    ///
    /// # Errors
    /// `RESOURCE_EXHAUSTED`, naming place, what was wanted and what there is.
    pub(super) fn room(self: &Arc<Self>, wanted: &Wanted<'_>) -> Result<Room, NoRoom> {
        let mut in_vain = BTreeSet::new();
        let pause = Arc::new(Doorbell::new());
        let mut moments = 0;
        self.count_again();
        loop {
            // Before the look, so that one is taken after the last that it waited for has gone.
            let waits = (wanted.waits)();
            let going = match self.take(wanted, &in_vain) {
                Ok(room) => return Ok(room),
                Err(Short::Until(going)) => going,
                Err(Short::Of(_)) if self.trim() => continue,
                Err(Short::Of(lack)) if lack.may_come && waits => {
                    // Real time, whatever clock the server has: it is only the pace at which to look again.
                    pause.wait_for(0, Some(LOOK_AGAIN));
                    in_vain.clear();
                    continue;
                }
                Err(Short::Of(lack)) => return Err(lack),
            };
            if self.evict(&going) {
                continue;
            }
            if moments < MOMENTS_MAX && going.served.lane.is_resting() {
                // Whoever has just answered there has not come to its end: it is idle in a moment, and nobody else should go.
                moments += 1;
                pause.wait_for(0, Some(LOOK_AGAIN));
            } else {
                in_vain.insert(going.id);
            }
        }
    }

    /// Whether it would find room if what it is to replace went, and all that may go. It found none beside that.
    pub(super) fn fits_in_place(&self, wanted: &Wanted<'_>) -> bool {
        let state = self.state.lock();
        let mut staying = Use::default();
        let stays = |taken: &&Taken| state.stays(taken) && !taken.is_one_of(wanted.beside);
        state.rooms.values().filter(stays).for_each(|taken| staying.add(&taken.used));
        let goes = state.rooms.values().any(|taken| taken.is_one_of(wanted.beside));
        goes && state.budget.never_fits(&wanted.about, &staying).is_none()
    }

    /// A version was loaded because it was asked, which `went` then; 0: never.
    pub(super) fn count_load(&self, went: u64, now: u64) {
        self.counts.loads.fetch_add(1, Ordering::Relaxed);
        if went > 0 && now.saturating_sub(went) < THRASH {
            self.counts.thrashes.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A load found no room.
    pub(super) fn count_exhausted(&self) {
        self.counts.exhausted.fetch_add(1, Ordering::Relaxed);
    }

    /// These are on their way out: their room is as good as there.
    pub(super) fn leave(&self, olds: &[(u64, Served)]) {
        let mut state = self.state.lock();
        for taken in state.rooms.values_mut() {
            taken.leaves |= olds.iter().any(|(_, old)| taken.is_one_of(&[old]));
        }
    }

    /// Whether room of one of these is still taken, which are on their way out; as far as that comes to an end.
    pub(super) fn is_leaving(&self, olds: &[(u64, Served)]) -> bool {
        let state = self.state.lock();
        let is_leaving = |taken: &Taken| taken.leaves && !taken.is_abandoned();
        state.rooms.values().any(|taken| is_leaving(taken) && olds.iter().any(|(_, old)| taken.is_one_of(&[old])))
    }

    /// Takes room.
    ///
    /// # Errors
    /// Who is to go for it, or where it lacks.
    fn take(self: &Arc<Self>, wanted: &Wanted<'_>, in_vain: &BTreeSet<RoomId>) -> Result<Room, Short> {
        let mut state = self.state.lock();
        let lack = match state.budget.take(&wanted.about) {
            Ok(()) => {
                let id = RoomId(state.next);
                state.next += 1;
                state.used_max = state.used_max.max(state.budget.taken().at(Place::Host));
                state.rooms.insert(id, Taken::by(wanted));
                return Ok(Room::new(self.clone(), id));
            }
            Err(lack) => lack,
        };
        let mut staying = Use::default();
        let stays = |taken: &&Taken| state.stays(taken) || taken.is_one_of(wanted.beside) && !taken.is_dead();
        state.rooms.values().filter(stays).for_each(|taken| staying.add(&taken.used));
        if let Some(lack) = state.budget.never_fits(&wanted.about, &staying) {
            return Err(Short::Of(NoRoom { lack: exhausted(wanted.model, lack), may_come: false }));
        }
        let lack = || Short::Of(NoRoom { lack: exhausted(wanted.model, lack), may_come: true });
        Err(state.next_to_go(wanted.beside, in_vain).map_or_else(lack, Short::Until))
    }

    /// Has the models in memory give back what they only cache, as nobody is left who could go. Whether any may have.
    fn trim(&self) -> bool {
        let mut caching = Vec::new();
        for taken in self.state.lock().rooms.values_mut() {
            let Some((served, _)) = &taken.resident else { continue };
            let (served, now) = (served.clone(), served.lane.now());
            if taken.may_cache(now) {
                taken.trimmed = Some(now);
                caching.push(served);
            }
        }
        caching.iter().for_each(|served| served.weights.trim(|room, used| self.correct(room, used)));
        !caching.is_empty()
    }

    /// Asks those that have run what they use by now: backends make plans and caches while they run.
    fn count_again(&self) {
        let mut grown = Vec::new();
        for taken in self.state.lock().rooms.values_mut().filter(|taken| taken.may_have_grown()) {
            let Some((served, _)) = &taken.resident else { continue };
            taken.counted = served.lane.now();
            grown.push(served.clone());
        }
        grown.iter().for_each(|served| served.weights.count_again(|room, used| self.correct(room, used)));
    }

    /// What has this room uses so much now.
    fn correct(&self, room: RoomId, used: &Use) {
        let mut state = self.state.lock();
        let State { budget, rooms, used_max, .. } = &mut *state;
        if let Some(taken) = rooms.get_mut(&room) {
            budget.correct(&taken.used, used);
            *used_max = (*used_max).max(budget.taken().at(Place::Host));
            taken.used = used.clone();
        }
    }

    /// Frees a model, if it is idle.
    fn evict(&self, going: &Going) -> bool {
        let Going { id, served, demand } = going;
        if served.lane.is_stuck() {
            return self.clear(going);
        }
        let Some(cells) = self.keeping_all(|| served.lane.doze(demand)) else { return false };
        drop(cells);
        // It may have been asked for again by now, and be back with another room.
        served.weights.let_go_of(*id, served.lane.now());
        self.counts.evictions.fetch_add(1, Ordering::Relaxed);
        true
    }

    /// Frees a model that serves no more. Its lane stays as it is, and its room is gone if nobody else has the model.
    fn clear(&self, Going { id, served, .. }: &Going) -> bool {
        if !served.lane.is_deserted() {
            return false;
        }
        served.weights.let_go_of(*id, served.lane.now());
        !self.state.lock().rooms.contains_key(id)
    }

    /// Runs `body` in a moment in which nobody goes. It must free nothing that has room.
    pub(super) fn keeping_all<R>(&self, body: impl FnOnce() -> R) -> R {
        let _nobody_goes = self.state.lock();
        body()
    }

    /// What has this room is another lane's now, which goes for others.
    pub(super) fn hand_over(&self, room: RoomId, served: &Served, demand: Arc<dyn Demand>) {
        let mut state = self.state.lock();
        let taken = state.rooms.get_mut(&room);
        let before = taken.and_then(|taken| taken.resident.replace((served.clone(), demand)));
        drop(state);
        drop(before);
    }

    /// Nothing is there any more of the model that had this room.
    pub(super) fn give_back(&self, id: RoomId) {
        let gone = {
            let mut state = self.state.lock();
            let gone = state.rooms.remove(&id);
            if let Some(gone) = &gone {
                state.budget.give_back(&gone.used);
            }
            gone
        };
        drop(gone);
    }

    /// A model is in memory: from now on it may go.
    pub(super) fn settle(&self, room: RoomId, used: &Use, served: &Served, demand: Arc<dyn Demand>) {
        self.correct(room, used);
        if let Some(taken) = self.state.lock().rooms.get_mut(&room) {
            (taken.since, taken.counted) = (served.lane.now(), served.lane.now());
            taken.resident = Some((served.clone(), demand));
        }
    }

    /// Makes models go until what models turned out to use fits. Whether it does.
    pub(super) fn make_up(&self, beside: &Served) -> bool {
        let mut in_vain = BTreeSet::new();
        loop {
            let going = {
                let state = self.state.lock();
                if !state.budget.is_exceeded() {
                    return true;
                }
                state.next_to_go(&[beside], &in_vain)
            };
            let Some(going) = going else { return false };
            if !self.evict(&going) {
                in_vain.insert(going.id);
            }
        }
    }

    /// Whether models of this name stay in memory.
    pub(super) fn is_pinned(&self, model: &str) -> bool {
        self.state.lock().pinned.contains(model)
    }

    pub(super) fn pin(&self, model: &str, is_pinned: bool) {
        let mut state = self.state.lock();
        if is_pinned {
            state.pinned.insert(model.to_owned());
        } else {
            state.pinned.remove(model);
        }
    }

    fn statistics(&self) -> PagingStatistics {
        let state = self.state.lock();
        let count = |count: &AtomicU64| count.load(Ordering::Relaxed);
        PagingStatistics {
            budget_bytes: state.budget.limits().at(Place::Host),
            used_bytes: state.budget.taken().at(Place::Host),
            used_bytes_max: state.used_max,
            resident_count: state.rooms.values().filter(|taken| taken.resident.is_some()).count() as u64,
            loads: count(&self.counts.loads),
            evictions: count(&self.counts.evictions),
            thrashes: count(&self.counts.thrashes),
            exhausted: count(&self.counts.exhausted),
        }
    }
}

fn exhausted(model: &str, lack: Lack) -> Error {
    let Lack { place, wanted, limit, taken } = lack;
    let message = format!(
        "model '{model}': no room for about {wanted} bytes of {place}: {taken} of {limit} are taken by models that cannot go"
    );
    Error::new(ErrorKind::ResourceExhausted, message)
}

impl Inner {
    pub(super) fn paging(&self) -> PagingStatistics {
        self.pager.as_ref().map(|pager| pager.statistics()).unwrap_or_default()
    }
}
