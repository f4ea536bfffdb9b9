//! A lane: the queue and policy of one model version, its free instances and its pooled tasks.
//!
//! The protocol is the word's (see `word`): submit reserves, pushes, publishes; whoever finds a free instance and no
//! leader takes the lead for a worker. The leader drains the inbox into the waiting room, asks the policy, sends a batch
//! off on an instance and hands the lead on, resigns, or waits out a delay. Whoever ran the batch brings the instance back
//! and leads on if more waits. If nothing does, a worker keeps the lead through its answers as long as these are quick,
//! because a client that has its answer asks again at once; where they are slow it resigns first.
//!
//! Locks: `core` (instances, waiting room, tallies) is held for a few lines at a time, never across `execute`, a release or
//! a callback; inside it only a pool's free list and an instance's flights may be locked.

use super::answer;
use super::check::{Checked, check};
use super::doze::Demand;
use super::instance::{InstanceCell, Instances};
use super::ledger::Ledger;
use super::order::Order;
use super::places::Places;
use super::queue::{Entry, Room};
use super::request::{Refused, Request};
use super::services::Services;
use super::slowness;
use super::spec::LaneSpec;
use super::task::{Notify, Task, Ticket};
use super::timekeeper::Timed;
use super::wait::Until;
use super::word::{Refusal, Word};
use crate::observe::{Bounds, ModelMetrics, Saturation, Tally, Totals};
use crate::sync::{
    AtomicBool, AtomicI64, AtomicU32, AtomicU64, AtomicUsize, Doorbell, Home, Inbox, Mutex, Ordering, Pool,
};
use inferlay_backend_sdk::{Error, ErrorKind};
use std::sync::Arc;

const QUEUE_FULL: Error = Error::fixed(ErrorKind::ResourceExhausted, "the model's queue is full");
const STOPPING: Error = Error::fixed(ErrorKind::Unavailable, "the model no longer takes requests");
const PASSIVE: Error =
    Error::fixed(ErrorKind::Unavailable, "the model does not serve: all of its instance groups are passive");
const LATE: Error = Error::fixed(ErrorKind::Timeout, "the deadline passed before the request was submitted");

/// The queue and policy of one model version.
pub(crate) struct Lane {
    pub(crate) spec: LaneSpec,
    pub(crate) services: Arc<Services>,
    pub(crate) word: Word,
    pub(super) inbox: Inbox<Entry<Ticket>>,
    /// Rows that a waiting leader still misses; submitters count it down and ring at zero.
    pub(super) missing: AtomicI64,
    /// Where a leader waits out a delay.
    pub(super) bell: Arc<Doorbell>,
    /// Whether the queue may end a wait by itself: then what leaves it for a batch has a timer to be changed.
    pub(super) ends_waits: bool,
    /// Where answers go out in order.
    pub(super) order: Option<Order>,
    /// Of each priority, where there are several.
    pub(super) places: Option<Places>,
    pub(super) core: Mutex<Core>,
    pub(super) tasks: Pool<Lane>,
    pub(crate) refusals: Refusals,
    /// The counts of this lane and of those that it took the place of.
    pub(super) ledger: Arc<Ledger>,
    /// How long loading took, in nanoseconds.
    load_ns: Count,
    /// Batches that are owed answers though their instance is back: a backend has taken their requests, or a caller who
    /// led has not told the others yet.
    pub(super) flights: AtomicUsize,
    /// Their requests, so that a stop can answer for a backend that does not.
    pub(super) taken: Mutex<Vec<Ticket>>,
    /// How slow answering has been of late; see [`Lane::answers_quickly`].
    pub(super) slowness: AtomicU32,
    /// Whether it has no instances but would be given some; see `doze`.
    pub(super) doze: AtomicU32,
    /// Who gives them.
    pub(super) demand: Mutex<Option<Arc<dyn Demand>>>,
    /// Set once an execution took longer than the config allows, or the last instance was lost.
    pub(super) is_stuck: AtomicBool,
    /// Which of them; set before.
    pub(super) fault: Mutex<Option<Error>>,
    /// Set when a stop no longer waits: whatever still runs is not wanted any more.
    pub(super) has_ended: AtomicBool,
}

/// What the leader and whoever brings an instance share.
pub(super) struct Core {
    pub(super) room: Room<Ticket>,
    pub(super) instances: Instances,
    pub(super) tally: Tally,
    saturation: Saturation,
}

/// Requests that were not run, by reason.
#[derive(Default)]
pub(crate) struct Refusals {
    pub(crate) full: Count,
    pub(crate) expired: Count,
    pub(crate) cancelled: Count,
    /// Copies for a shadow.
    pub(crate) shadow: Count,
    /// They contradicted the spec, or the lane stopped while they waited.
    pub(crate) other: Count,
}

/// A relaxed counter.
pub(crate) struct Count(AtomicU64);

impl Default for Count {
    fn default() -> Self {
        Count(AtomicU64::new(0))
    }
}

impl Count {
    pub(crate) fn add_one(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    fn write(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }
}

impl Home for Lane {
    type Item = Task;

    fn pool(&self) -> &Pool<Lane> {
        &self.tasks
    }

    fn make(&self) -> Task {
        Task::new()
    }

    fn clear(task: &mut Task) {
        task.clear();
    }
}

impl Lane {
    /// A lane without instances; [`Lane::add_instance`] brings them.
    pub(crate) fn new(spec: LaneSpec, services: Arc<Services>) -> Arc<Self> {
        Self::counting(spec, services, Arc::default())
    }

    /// One that counts together with others: those whose place it takes.
    pub(crate) fn counting(spec: LaneSpec, services: Arc<Services>, ledger: Arc<Ledger>) -> Arc<Self> {
        let core = Core {
            room: room(&spec),
            instances: Instances::default(),
            tally: Tally::new(spec.rows_max, &spec.layout),
            saturation: Saturation::new(services.clock.now()),
        };
        let lane = Arc::new(Lane {
            word: Word::new(),
            inbox: Inbox::new(inbox_len_max(&spec)),
            missing: AtomicI64::new(0),
            bell: Arc::new(Doorbell::new()),
            ends_waits: spec.waits.can_end(),
            places: Places::new(&spec),
            order: spec.is_ordered.then(Order::default),
            core: Mutex::new(core),
            tasks: Pool::new(2 * spec.queued_max),
            refusals: Refusals::default(),
            ledger,
            load_ns: Count::default(),
            flights: AtomicUsize::new(0),
            taken: Mutex::new(Vec::new()),
            // Models of the corridor look at the quick way, which has more to go wrong.
            slowness: AtomicU32::new(if cfg!(loom) { 0 } else { slowness::NEW }),
            doze: AtomicU32::new(0),
            demand: Mutex::new(None),
            is_stuck: AtomicBool::new(false),
            fault: Mutex::new(None),
            has_ended: AtomicBool::new(false),
            spec,
            services,
        });
        lane.ledger.join(&lane);
        lane
    }

    /// A free instance joins. Whoever waits already is served.
    pub(crate) fn add_instance(self: &Arc<Self>, cell: Box<InstanceCell>) {
        if cell.is_passive() {
            let late = self.core.lock().instances.join_passive(cell);
            return drop(late);
        }
        let late = self.core.lock().instances.join(cell);
        if late.is_some() {
            return drop(late);
        }
        if self.word.bring_instance(false).0 {
            self.services.workers.lead(self.clone());
        }
    }

    /// Sends a request on its way; `notify` or the task's bell tells of the answer. Never blocks. Whether the caller of a
    /// blocking call now leads.
    ///
    /// # Errors
    /// The request itself with the reason: it contradicts the spec, the queue is full, the lane stops, or it is late.
    pub(crate) fn submit<'a>(
        self: &Arc<Self>,
        request: Request<'a>,
        notify: Notify,
        manner: Manner,
    ) -> Result<(Ticket, bool), Refused<'a>> {
        self.submit_with(request, || notify, manner)
    }

    /// As [`Lane::submit`]; `notify` is called only if the request is taken, so that it is not lost with a refusal.
    ///
    /// # Errors
    /// As for [`Lane::submit`].
    pub(super) fn submit_with<'a>(
        self: &Arc<Self>,
        request: Request<'a>,
        notify: impl FnOnce() -> Notify,
        manner: Manner,
    ) -> Result<(Ticket, bool), Refused<'a>> {
        let entry = self.accept(request, notify, manner)?;
        let ticket = entry.item.clone();
        Ok((ticket, self.enqueue(entry, manner)))
    }

    /// As [`Lane::submit_with`], for a caller who keeps no hold of the request.
    ///
    /// # Errors
    /// As for [`Lane::submit`].
    pub(crate) fn post<'a>(
        self: &Arc<Self>,
        request: Request<'a>,
        notify: impl FnOnce() -> Notify,
    ) -> Result<(), Refused<'a>> {
        let entry = self.accept(request, notify, Manner::Async)?;
        self.enqueue(entry, Manner::Async);
        Ok(())
    }

    /// Checks a request, reserves its place and makes it an entry, which must be enqueued.
    fn accept<'a>(
        self: &Arc<Self>,
        mut request: Request<'a>,
        notify: impl FnOnce() -> Notify,
        manner: Manner,
    ) -> Result<Entry<Ticket>, Refused<'a>> {
        let checked = match check(&request, &self.spec) {
            Ok(checked) => checked,
            Err(error) => {
                self.refusals.other.add_one();
                return Err(Refused { error, request });
            }
        };
        let now = self.services.clock.now();
        let deadline = self.due(&request, now);
        if deadline.is_some_and(|deadline| deadline <= now) {
            self.refusals.expired.add_one();
            return Err(Refused { error: LATE, request });
        }
        let until = self.spec.waits.of(checked.level).until(now, deadline, request.queue_timeout_ns());
        if let Err(refusal) = self.reserve(checked.level) {
            return Err(Refused { error: self.refusal(refusal), request });
        }
        let token = request.take_cancel_token();
        let ticket = self.fill(&mut request, &checked, (now, deadline), notify());
        ticket.state.queue(checked.is_lent, manner == Manner::Blocking);
        if until.ends < u64::MAX {
            let is_deadline = deadline == Some(until.ends);
            let timed = if is_deadline { Timed::Deadline } else { Timed::Wait };
            // The key must be in its place before anybody can answer, and the answer looks for it there.
            let mut ask = ticket.ask.lock();
            ask.timer = Some(self.services.timekeeper.arm(until.ends, timed(ticket.clone())));
        }
        if token.is_some_and(|token| !token.watch(&ticket)) {
            answer::cancel(&ticket);
        }
        let (Checked { rows, key, level, .. }, Until { ends, late }) = (checked, until);
        Ok(Entry { rows, key, level, arrived: now, ends, late, item: ticket })
    }

    fn enqueue(self: &Arc<Self>, entry: Entry<Ticket>, manner: Manner) -> bool {
        let rows = entry.rows;
        self.push(entry);
        self.publish(rows, manner)
    }

    /// A place in the queue.
    fn reserve(&self, level: usize) -> Result<(), Refusal> {
        if self.order.as_ref().is_some_and(|order| order.held_len() >= self.spec.queued_max) {
            return Err(if self.is_stopping() { Refusal::Stopping } else { Refusal::Full });
        }
        let Some(places) = &self.places else { return self.word.reserve(self.spec.queued_max) };
        if !places.enter(level) {
            return Err(if self.is_stopping() { Refusal::Stopping } else { Refusal::Full });
        }
        self.word.reserve(self.spec.queued_max).inspect_err(|_| places.leave(level))
    }

    pub(super) fn due(&self, request: &Request<'_>, now: u64) -> Option<u64> {
        request.due(now, |at| self.services.clock.reading(at))
    }

    /// A task with the parts of a request.
    pub(super) fn fill(
        self: &Arc<Self>,
        request: &mut Request<'_>,
        checked: &Checked,
        (now, deadline): (u64, Option<u64>),
        notify: Notify,
    ) -> Ticket {
        Pool::take_with(self, |task| {
            *task.notify.get_mut() = notify;
            let ask = task.ask.get_mut();
            (ask.submitted, ask.deadline) = (now, deadline);
            request.fill(ask, &self.spec, checked);
            ask.is_traced |= self.services.tracer.samples();
        })
    }

    pub(super) fn refusal(&self, refusal: Refusal) -> Error {
        match refusal {
            Refusal::Full => {
                self.refusals.full.add_one();
                QUEUE_FULL
            }
            // Not counted: another version may take it.
            Refusal::Stopping if self.is_stuck() => self.out_of_service(),
            Refusal::Stopping if self.spec.is_passive => PASSIVE,
            Refusal::Stopping => STOPPING,
        }
    }

    /// Why it takes no requests any more, though it was not stopped.
    #[cold]
    pub(super) fn out_of_service(&self) -> Error {
        let why = self.fault().map_or_else(String::new, |fault| format!(": {}", fault.message()));
        Error::unavailable(format!("the model does not serve{why}"))
    }

    /// Puts an entry into the inbox. It fits, once what lies there is in the waiting room.
    fn push(self: &Arc<Self>, entry: Entry<Ticket>) {
        let mut entry = Some(entry);
        while let Some(next) = entry.take() {
            if let Err(back) = self.inbox.push(next) {
                entry = Some(back);
                let mut core = self.core.lock();
                self.admit(&mut core);
                self.purge(&mut core);
            }
        }
    }

    /// Makes a pushed submission count. Whether the caller of a blocking call in batch manner now leads itself.
    fn publish(self: &Arc<Self>, rows: usize, manner: Manner) -> bool {
        let (before, leads) = self.word.publish();
        if before.is_swept() {
            // Before the reservation is given up, on which the stop waits.
            let _held = self.services.messenger.hold();
            answer::sweep(self);
        }
        if leads {
            if manner == Manner::Blocking && self.spec.caller_runs == super::spec::CallerRuns::Batch {
                return true;
            }
            self.services.workers.lead(self.clone());
        } else if before.is_waiting() {
            let rows = rows as i64;
            let missed = self.missing.fetch_sub(rows, Ordering::AcqRel);
            // Only the one who crosses zero rings.
            if missed > 0 && missed <= rows {
                self.bell.ring();
            }
        } else {
            self.ask_if_dozing(before);
        }
        false
    }

    /// Moves submissions from the inbox to the waiting room, but for those that were answered meanwhile.
    pub(super) fn admit(&self, core: &mut Core) {
        while let Some(entry) = self.inbox.pop() {
            if entry.item.state.is_queued() {
                core.room.push(entry);
            }
        }
    }

    /// Drops what was answered while it waited in the room, if there is any: the word counts the living.
    pub(super) fn purge(&self, core: &mut Core) {
        if core.room.len() > self.word.read().queued() {
            core.room.retain(|ticket| ticket.state.is_queued());
        }
    }

    /// A batch will be owed answers when its instance is back.
    pub(super) fn begin_flight(&self) {
        self.flights.fetch_add(1, Ordering::AcqRel);
    }

    /// That batch was answered whole.
    pub(super) fn end_flight(&self) {
        self.flights.fetch_sub(1, Ordering::AcqRel);
        if self.word.read().is_stopping() {
            self.services.drained.ring();
        }
    }

    /// A deadline or cancel answered a request that still waited.
    pub(super) fn leave_queue(&self) {
        if self.word.unreserve(1).is_stopping() {
            self.services.drained.ring();
        }
    }

    /// How many tasks lie idle in the pool.
    #[cfg(all(test, loom))]
    pub(super) fn idle_tasks(&self) -> usize {
        self.tasks.idle_len()
    }

    /// A blocking caller's request was answered. If it leads and waits out a delay, it has no reason to any more.
    pub(super) fn recall_leader(&self) {
        if self.spec.caller_runs == super::spec::CallerRuns::Batch && self.word.touch().is_waiting() {
            self.bell.ring();
        }
    }

    pub(crate) fn now(&self) -> u64 {
        self.services.clock.now()
    }

    /// When its last execution ended; 0: never.
    pub(crate) fn last_used(&self) -> u64 {
        self.core.lock().tally.last().unwrap_or(0)
    }

    /// What its metrics show.
    pub(crate) fn metrics(&self) -> ModelMetrics {
        let (statistics, counted) = self.counted();
        // Of this lane alone: it is about what the lane could do.
        let mut core = self.core.lock();
        let (bounds, now) = (self.bounds(&core), self.services.clock.now());
        let own = core.tally.read();
        let totals = Totals {
            at: now,
            busy_ns: core.instances.busy_ns(now),
            executions: own.execution_count,
            rows: core.tally.rows(),
            requests: own.queue.count,
            waited_ns: own.queue.ns,
            turned_away: self.refusals.full.read() + self.refusals.expired.read(),
        };
        let saturation = core.saturation.look(&totals, &bounds);
        let durations = counted.durations();
        drop(core);
        ModelMetrics {
            statistics,
            durations,
            saturation,
            tags: self.spec.metric_tags.clone(),
            rows_max: self.spec.rows_max,
            is_decoupled: self.spec.credit_max.is_some(),
            load_ns: self.load_ns(),
            layout: self.spec.layout.clone(),
        }
    }

    fn bounds(&self, core: &Core) -> Bounds {
        let (queue_len, queue_len_max) = match &self.places {
            Some(places) => places.fullest(),
            None => (self.word.read().queued(), self.spec.queued_max),
        };
        Bounds {
            instances: core.instances.len(),
            rows_max: self.spec.policy.rows_max.max(1),
            wait_ns_max: self.spec.waits.of(self.spec.level_default).timeout,
            queue_len,
            queue_len_max,
        }
    }

    /// How long loading its model took.
    pub(crate) fn load_ns(&self) -> u64 {
        self.load_ns.read()
    }

    /// Loading it took so long.
    pub(crate) fn set_load_ns(&self, ns: u64) {
        self.load_ns.write(ns);
    }
}

/// The inbox allocates its places at once: for the largest queue of a priority, not for all of them. Answered requests may
/// still lie in it beside the live ones.
fn inbox_len_max(spec: &LaneSpec) -> usize {
    let queued_max = spec.waits.queued_max().unwrap_or(spec.queued_max).min(spec.queued_max);
    queued_max + queued_max / 4 + 1
}

fn room(spec: &LaneSpec) -> Room<Ticket> {
    let room = if spec.waits.can_delay() { Room::delaying(spec.levels) } else { Room::new(spec.levels) };
    if spec.is_ordered { room.in_order() } else { room }
}

/// How the submitter learns of the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// By its notify.
    Async,
    /// It waits at the bell.
    Blocking,
}

/// Answers what waits in the lane; used when it stops.
pub(super) fn drain(lane: &Lane) -> Vec<Ticket> {
    let mut core = lane.core.lock();
    lane.admit(&mut core);
    let mut tickets = Vec::new();
    core.room.drain(|entry| tickets.push(entry.item));
    drop(core);
    tickets
}
