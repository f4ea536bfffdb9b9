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
//! 7. A model that is stuck in its backend counts as one that never goes.

use super::budget::{Budget, Candidate, Lack, Place, Use, victim};
use super::catalog::Entry;
use super::jobs::Then;
use super::load::{self, Opened};
use super::measure::Measuring;
use super::room::{Room, RoomId};
use super::served::{Origin, Served, Source, Weights};
use super::warmup::warm_up;
use super::{Inner, STOPPED};
use crate::flow::Demand;
use crate::memory;
use crate::repository;
use crate::sync::{AtomicU64, Doorbell, Mutex, Ordering};
use inferlay_backend_sdk::{Error, ErrorKind, LogLevel};
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
        self.pinned.contains(&taken.model) && !taken.leaves || taken.is_stuck()
    }
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
}

impl Taken {
    /// When it last ran, or was loaded: what was just loaded is about to be asked.
    fn last_used(&self) -> u64 {
        let ran = self.resident.as_ref().map_or(0, |(served, _)| served.lane.last_used());
        ran.max(self.since)
    }

    fn is_stuck(&self) -> bool {
        self.resident.as_ref().is_some_and(|(served, _)| served.lane.is_stuck())
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
        loop {
            // Before the look, so that one is taken after the last that it waited for has gone.
            let waits = (wanted.waits)();
            let going = match self.take(wanted, &in_vain) {
                Ok(room) => return Ok(room),
                Err((lack, None)) if !lack.1 && waits => {
                    // Real time, whatever clock the server has: it is only the pace at which to look again.
                    pause.wait_for(0, Some(LOOK_AGAIN));
                    in_vain.clear();
                    continue;
                }
                Err((lack, None)) => {
                    return Err(NoRoom { lack: exhausted(wanted.model, lack.0), may_come: !lack.1 });
                }
                Err((_, Some(going))) => going,
            };
            let (id, served, demand) = going;
            if self.evict(id, &served, &demand) {
                continue;
            }
            if moments < MOMENTS_MAX && served.lane.is_resting() {
                // Whoever has just answered there has not come to its end: it is idle in a moment, and nobody else should go.
                moments += 1;
                pause.wait_for(0, Some(LOOK_AGAIN));
            } else {
                in_vain.insert(id);
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

    /// Takes room, or says where it lacks (and whether for ever) and who is to go.
    #[allow(clippy::type_complexity, reason = "what its one caller takes apart at once")]
    fn take(
        self: &Arc<Self>,
        wanted: &Wanted<'_>,
        in_vain: &BTreeSet<RoomId>,
    ) -> Result<Room, ((Lack, bool), Option<(RoomId, Served, Arc<dyn Demand>)>)> {
        let mut state = self.state.lock();
        let lack = match state.budget.take(&wanted.about) {
            Ok(()) => {
                let id = RoomId(state.next);
                state.next += 1;
                state.used_max = state.used_max.max(state.budget.taken().at(Place::Host));
                let model = wanted.model.to_owned();
                state
                    .rooms
                    .insert(id, Taken { used: wanted.about.clone(), model, resident: None, since: 0, leaves: false });
                return Ok(Room::new(self.clone(), id));
            }
            Err(lack) => lack,
        };
        let stays = |taken: &Taken| state.stays(taken) || taken.is_one_of(wanted.beside);
        let mut staying = Use::default();
        state.rooms.values().filter(|taken| stays(taken)).for_each(|taken| staying.add(&taken.used));
        if let Some(lack) = state.budget.never_fits(&wanted.about, &staying) {
            return Err(((lack, true), None));
        }
        let candidates = state.rooms.iter().filter_map(|(id, taken)| {
            taken.resident.as_ref()?;
            let may_go = !stays(taken) && !in_vain.contains(id);
            Some(Candidate { key: *id, last_used: taken.last_used(), may_go })
        });
        let going = victim(candidates).and_then(|id| {
            let (served, demand) = state.rooms.get(&id)?.resident.as_ref()?;
            Some((id, served.clone(), demand.clone()))
        });
        Err(((lack, false), going))
    }

    /// Frees a model, if it is idle.
    fn evict(&self, id: RoomId, served: &Served, demand: &Arc<dyn Demand>) -> bool {
        let Some(cells) = self.keeping_all(|| served.lane.doze(demand)) else { return false };
        drop(cells);
        // It may have been asked for again by now, and be back with another room.
        served.weights.let_go_of(id, served.lane.now());
        self.counts.evictions.fetch_add(1, Ordering::Relaxed);
        true
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
    pub(super) fn settle(&self, room: RoomId, used: Use, served: &Served, demand: Arc<dyn Demand>) {
        let mut state = self.state.lock();
        let State { budget, rooms, used_max, .. } = &mut *state;
        if let Some(taken) = rooms.get_mut(&room) {
            budget.correct(&taken.used, &used);
            *used_max = (*used_max).max(budget.taken().at(Place::Host));
            taken.used = used;
            taken.since = served.lane.now();
            taken.resident = Some((served.clone(), demand));
        }
    }

    /// Makes models go until what models turned out to use fits. Whether it does.
    pub(super) fn make_up(self: &Arc<Self>, model: &str, beside: &Served) -> bool {
        let mut in_vain = BTreeSet::new();
        while self.state.lock().budget.is_exceeded() {
            let nothing = Wanted { model, about: Use::default(), beside: &[beside], waits: &|| false };
            let Some((id, served, demand)) = self.next_to_go(&nothing, &in_vain) else { return false };
            if !self.evict(id, &served, &demand) {
                in_vain.insert(id);
            }
        }
        true
    }

    fn next_to_go(&self, wanted: &Wanted<'_>, in_vain: &BTreeSet<RoomId>) -> Option<(RoomId, Served, Arc<dyn Demand>)> {
        let state = self.state.lock();
        let candidates = state.rooms.iter().filter_map(|(id, taken)| {
            taken.resident.as_ref()?;
            let may_go = !taken.is_one_of(wanted.beside) && !in_vain.contains(id) && !state.stays(taken);
            Some(Candidate { key: *id, last_used: taken.last_used(), may_go })
        });
        let id = victim(candidates)?;
        let (served, demand) = state.rooms.get(&id)?.resident.as_ref()?;
        Some((id, served.clone(), demand.clone()))
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

/// A version that was loaded for its lane.
pub(super) enum Back {
    /// It serves from there.
    AsStated,
    /// It is not as its config states, and serves from another lane; for what waited in this one, the reason.
    Otherwise(Error),
    /// It is not loaded, as there is no room, and there may be some later.
    NotYet(Error),
}

const OTHERWISE: Error = Error::fixed(
    ErrorKind::Unavailable,
    "its config states inputs and outputs otherwise than the model does; as of now it serves as the model does",
);

impl Inner {
    /// Loads a version that is asked for and not in memory; again, when there is no room yet and requests wait.
    pub(super) fn page_in(self: &Arc<Self>, entry: &Arc<Entry>, served: &Served) -> Then {
        let lane = &served.lane;
        if !lane.is_dozing() || lane.has_ended() {
            return Then::Over;
        }
        match load::contained(|| self.bring_back(entry, served)) {
            Ok(Back::AsStated) => {}
            Ok(Back::NotYet(_)) if self.is_stopping() => lane.stay_dozing(&STOPPED),
            Ok(Back::NotYet(_)) if lane.word.read().queued() > 0 => return Then::Again,
            // Nobody waits for room any more.
            Ok(Back::NotYet(_)) => lane.doze_on(),
            Ok(Back::Otherwise(error)) => lane.stay_dozing(&error.at(lane.spec.place())),
            // Nobody waits for room any more, as the server stops.
            Err(_) if self.is_stopping() => lane.stay_dozing(&STOPPED),
            Err(error) => {
                let error = error.at(lane.spec.place());
                self.services.log.write(LogLevel::Error, error.message());
                entry.ails(served, &error, &self.catalog.events);
                lane.stay_dozing(&error);
            }
        }
        if lane.has_ended() {
            // It was let go meanwhile, and must not keep what was just loaded.
            served.end_stop();
        }
        Then::Over
    }

    /// Loads a version whose lane dozes, when there is room.
    ///
    /// # Errors
    /// Whatever keeps it from serving.
    pub(super) fn bring_back(self: &Arc<Self>, entry: &Arc<Entry>, served: &Served) -> Result<Back, Error> {
        let Some(pager) = &self.pager else { return Err(Error::unavailable("models are not paged")) };
        let Some(Origin { source, config: expected }) = served.weights.origin() else {
            return Err(Error::unavailable("it has no files"));
        };
        let lane = &served.lane;
        let mut measure = pager.measuring.begin();
        let about = served.weights.used_or(|| self.about(&source));
        let room =
            match pager.room(&Wanted { model: entry.name(), about: about.clone(), beside: &[], waits: &|| false }) {
                Ok(room) => room,
                Err(NoRoom { lack, may_come: true }) => return Ok(Back::NotYet(lack)),
                Err(NoRoom { lack, .. }) => {
                    pager.count_exhausted();
                    return Err(lack);
                }
            };
        self.jobs.need_thread();
        self.refuse_if_changed(&source)?;
        measure.start(memory::allocated);
        let Opened { model, config, load_ns, .. } = self.loader().open(&source)?;
        let (model, room) = room.hold(model);
        self.refuse_if_changed(&source)?;
        lane.set_load_ns(load_ns);
        if config != *expected {
            // What waits was checked against what the config states, and cannot be run; what comes later can.
            let version = source.version;
            let config = Arc::new(config);
            let weights =
                Weights::paged(Origin { source: source.clone(), config: config.clone() }, served.weights.attributes);
            weights.come_back(model, room);
            let other = load::serve(&self.services, &self.options, (config, version), weights, source.around())?;
            other.lane.set_load_ns(load_ns);
            self.settle(pager, entry, &other, self.thought(&source, about, measure.end(memory::allocated)));
            if entry.replace(version, served, &other) {
                drop(self.retire(entry, (version, 0), served.clone(), false));
            } else {
                other.lane.begin_stop();
                other.end_stop();
            }
            entry.recovers(&other, &self.catalog.events);
            return Ok(Back::Otherwise(OTHERWISE));
        }
        let cells = load::cells(&config, &self.options, &model, lane.spec.is_thread_bound)?;
        let cells = warm_up(&config, source.beside(), &lane.spec, cells, &self.services)?;
        let went = served.weights.come_back(model, room);
        pager.counts.loads.fetch_add(1, Ordering::Relaxed);
        if went > 0 && lane.now().saturating_sub(went) < THRASH {
            pager.counts.thrashes.fetch_add(1, Ordering::Relaxed);
        }
        self.settle(pager, entry, served, self.thought(&source, about, measure.end(memory::allocated)));
        entry.recovers(served, &self.catalog.events);
        cells.into_iter().for_each(|cell| lane.add_instance(cell));
        // Only now: until then nobody takes it for idle.
        lane.wake();
        Ok(Back::AsStated)
    }

    /// What comes back must be what was loaded, by its sums, or else by what the file system tells of it: a change of it is
    /// for a load, and a file that is half copied for nobody.
    pub(super) fn refuse_if_changed(&self, source: &Source) -> Result<(), Error> {
        let Some(before) = &source.found.look else { return Ok(()) };
        let (name, repositories) = (&source.found.name, self.repositories.lock().clone());
        if repository::is_still_so(&repositories, name, &before.snapshot) {
            return Ok(());
        }
        let mut now = repository::scan_model(&repositories, name, &mut Vec::new())?;
        if let Some(now) = now.as_mut().and_then(|found| found.look.as_mut()).filter(|_| before.snapshot.is_read()) {
            now.borrow_sums(&before.snapshot);
            // What cannot be read has no sum, and is not what it was if it was touched.
            let _unread = now.read_sums(&|| !self.is_stopping());
        }
        match (source.mark(), now.and_then(|found| found.mark(source.version))) {
            (Some(before), Some(now)) if before.is_of_same_content(&now) => Ok(()),
            _ => Err(Error::unavailable("its files are not those that it was loaded from; load it anew")),
        }
    }

    /// A version is in memory: counts what it uses, or is `thought` to, and lets it go when room is wanted.
    pub(super) fn settle(self: &Arc<Self>, pager: &Arc<Pager>, entry: &Arc<Entry>, served: &Served, thought: Use) {
        let demand = self.demand(entry, served);
        served.weights.settle(thought, |room, used| pager.settle(room, used.clone(), served, demand));
        if !pager.make_up(entry.name(), served) {
            let message = format!("{}: uses more than its estimate, and nobody could go", served.lane.spec.place());
            self.services.log.write(LogLevel::Warning, &message);
        }
    }

    pub(super) fn paging(&self) -> PagingStatistics {
        self.pager.as_ref().map(|pager| pager.statistics()).unwrap_or_default()
    }
}
