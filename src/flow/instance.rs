//! Instances as state: what executes is a value that a worker holds while it runs a batch.
//!
//! An [`InstanceCell`] is either in the list of free ones or owned by the thread that runs it (or parked, when its backend
//! answers later and has as many batches in flight as it wants). [`Instances`] also remembers which requests are on each
//! busy one, so that a stuck one can be answered for.

use super::lane::Lane;
use super::task::Ticket;
use super::worker::OwnThread;
use crate::sync::{AtomicBool, Mutex, Ordering};
use inferlay_backend_sdk::{Error, Instance, Model};
use std::sync::{Arc, Weak};

/// One instance and what belongs to it.
pub(crate) struct InstanceCell {
    pub(super) instance: Box<dyn Instance>,
    /// Outlives the instance, being dropped after it.
    _model: Arc<dyn Model>,
    pub(super) index: usize,
    /// Counts its executions.
    pub(super) serial: u64,
    /// When it last left the lane.
    departed: u64,
    /// The thread that it must run on, if its backend says so.
    pub(super) own_thread: Option<OwnThread>,
    /// Batches whose requests the backend has taken and not yet answered.
    pub(super) in_flight: Arc<InFlight>,
    /// Whether it is there, and given no requests.
    is_passive: bool,
    /// Why it executes nothing any more, if its backend has said so.
    pub(super) lost: Option<Error>,
}

impl InstanceCell {
    pub(crate) fn new(
        instance: Box<dyn Instance>,
        model: Arc<dyn Model>,
        index: usize,
        is_thread_bound: bool,
    ) -> Box<Self> {
        let in_flight_max = instance.batches_in_flight_max().max(1);
        let own_thread = is_thread_bound.then(OwnThread::default);
        let in_flight = Arc::new(InFlight::new(in_flight_max));
        let (serial, departed, is_passive, lost) = (0, 0, false, None);
        Box::new(InstanceCell {
            instance,
            _model: model,
            index,
            serial,
            departed,
            own_thread,
            in_flight,
            is_passive,
            lost,
        })
    }

    /// The same, given no requests if `is_passive`.
    pub(crate) fn passive(mut self: Box<Self>, is_passive: bool) -> Box<Self> {
        self.is_passive = is_passive;
        self
    }

    /// Whether it is given no requests.
    pub(crate) fn is_passive(&self) -> bool {
        self.is_passive
    }
}

/// The instances of a lane.
#[derive(Default)]
#[allow(clippy::vec_box, reason = "a cell changes hands with every batch; as a box it is one word")]
pub(super) struct Instances {
    free: Vec<Box<InstanceCell>>,
    /// Those that are given no requests; nobody counts them.
    passive: Vec<Box<InstanceCell>>,
    busy: Vec<Busy>,
    time: BusyTime,
    /// How many there are, free and busy.
    count: usize,
    /// How many of the busy ones are not wanted any more.
    surplus: usize,
    /// The lane has stopped for good.
    is_retired: bool,
}

/// What is on an instance.
#[derive(Default)]
struct Busy {
    tickets: Vec<Ticket>,
    /// The execution that is under way; `None` when the instance is free.
    serial: Option<u64>,
}

/// How long instances were away from their lane. Those that are away now are counted by the sum of their departures, so
/// that nobody goes through them.
#[derive(Default)]
struct BusyTime {
    ended_ns: u64,
    away: u64,
    /// Wraps, as do the sums made with it.
    departed_sum: u64,
}

impl BusyTime {
    fn depart(&mut self, now: u64) {
        self.away += 1;
        self.departed_sum = self.departed_sum.wrapping_add(now);
    }

    fn arrive(&mut self, departed: u64, now: u64) {
        self.away -= 1;
        self.departed_sum = self.departed_sum.wrapping_sub(departed);
        self.ended_ns += now.saturating_sub(departed);
    }

    /// All of it until `now`, which may be a little before the last departure.
    fn until(&self, now: u64) -> u64 {
        let away = self.away.wrapping_mul(now).wrapping_sub(self.departed_sum) as i64;
        self.ended_ns + away.max(0) as u64
    }
}

impl Instances {
    /// A new instance, free. Given back, to be dropped outside of the lock, when the lane has stopped for good.
    pub(super) fn join(&mut self, cell: Box<InstanceCell>) -> Option<Box<InstanceCell>> {
        if self.is_retired {
            return Some(cell);
        }
        if self.busy.len() <= cell.index {
            self.busy.resize_with(cell.index + 1, Busy::default);
        }
        self.count += 1;
        self.free.push(cell);
        None
    }

    /// A free instance leaves for good. The word no longer counts it.
    pub(super) fn leave(&mut self) -> Option<Box<InstanceCell>> {
        let cell = self.free.pop()?;
        self.count -= 1;
        Some(cell)
    }

    /// How many there will be when those that are not wanted any more are gone.
    pub(super) fn wanted_len(&self) -> usize {
        self.count - self.surplus
    }

    /// All free instances leave for good. The word no longer counts them.
    #[allow(clippy::vec_box, reason = "as they are kept")]
    pub(super) fn leave_all(&mut self) -> Vec<Box<InstanceCell>> {
        self.count -= self.free.len();
        // One that was to leave when it is back may have been free, while somebody led: it has left.
        self.surplus = self.surplus.min(self.count);
        self.take_all()
    }

    /// One that is given no requests. Given back, to be dropped outside of the lock, when the lane has stopped for good.
    pub(super) fn join_passive(&mut self, cell: Box<InstanceCell>) -> Option<Box<InstanceCell>> {
        if self.is_retired {
            return Some(cell);
        }
        // Its index is its own.
        if self.busy.len() <= cell.index {
            self.busy.resize_with(cell.index + 1, Busy::default);
        }
        self.passive.push(cell);
        None
    }

    #[allow(clippy::vec_box, reason = "as they are kept")]
    fn take_all(&mut self) -> Vec<Box<InstanceCell>> {
        let mut cells = std::mem::take(&mut self.free);
        cells.append(&mut self.passive);
        cells
    }

    /// So many of those that are busy leave for good when they are back.
    pub(super) fn leave_later(&mut self, count: usize) {
        self.surplus = self.count.min(self.surplus + count);
    }

    /// The index that the next instance gets.
    pub(super) fn next_index(&self) -> usize {
        self.busy.len()
    }

    /// Sends a free instance off with `tickets`. The word said that there is one.
    pub(super) fn depart<'a>(
        &mut self,
        now: u64,
        tickets: impl Iterator<Item = &'a Ticket>,
    ) -> Option<Box<InstanceCell>> {
        let mut cell = self.free.pop()?;
        (cell.serial, cell.departed) = (cell.serial + 1, now);
        self.time.depart(now);
        let busy = &mut self.busy[cell.index];
        busy.serial = Some(cell.serial);
        busy.tickets.extend(tickets.cloned());
        Some(cell)
    }

    /// An instance is back from its batch. Given back, to be dropped outside of the lock, when it is not wanted any
    /// more.
    pub(super) fn arrive(&mut self, cell: Box<InstanceCell>, now: u64) -> Option<Box<InstanceCell>> {
        self.end(cell.index);
        self.time.arrive(cell.departed, now);
        if self.surplus > 0 {
            self.surplus -= 1;
            self.count -= 1;
            return Some(cell);
        }
        if self.is_retired {
            return Some(cell);
        }
        self.free.push(cell);
        None
    }

    /// An instance is lost. Whether others are wanted and there, or the lane has stopped for good.
    pub(super) fn lose(&mut self, cell: &InstanceCell, now: u64) -> bool {
        self.end(cell.index);
        self.time.arrive(cell.departed, now);
        self.count -= 1;
        self.surplus = self.surplus.saturating_sub(1);
        self.wanted_len() > 0 || self.is_retired
    }

    /// The execution on an instance is over, and the instance is parked.
    pub(super) fn end(&mut self, index: usize) {
        let busy = &mut self.busy[index];
        busy.tickets.clear();
        busy.serial = None;
    }

    /// Whether one is free. The word counts those of a lane that has stopped for good as free, but they are gone.
    pub(super) fn has_free(&self) -> bool {
        !self.free.is_empty()
    }

    /// The requests on instance `index`, if its execution `serial` is still under way.
    pub(super) fn on(&self, index: usize, serial: u64) -> Option<Vec<Ticket>> {
        let busy = self.busy.get(index)?;
        (busy.serial == Some(serial)).then(|| busy.tickets.clone())
    }

    /// The requests on all busy instances.
    pub(super) fn all_busy(&self) -> Vec<Ticket> {
        self.busy.iter().flat_map(|busy| busy.tickets.iter().cloned()).collect()
    }

    /// Nanoseconds that they were away from the lane, summed, until `now`.
    pub(super) fn busy_ns(&self, now: u64) -> u64 {
        self.time.until(now)
    }

    /// How many instances there are.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// Takes the free instances out, to be dropped; those that are out are dropped when they arrive.
    #[allow(clippy::vec_box, reason = "as they are kept")]
    pub(super) fn retire(&mut self) -> Vec<Box<InstanceCell>> {
        self.is_retired = true;
        self.take_all()
    }
}

/// Batches of one instance that its backend answers after `execute` has returned.
pub(crate) struct InFlight {
    max: usize,
    /// Whether the state says that it is lost: what is read for each batch.
    is_lost: AtomicBool,
    state: Mutex<Flights>,
}

#[derive(Default)]
struct Flights {
    count: usize,
    /// The instance, while it has as many batches in flight as it wants.
    parked: Option<(Box<InstanceCell>, Weak<Lane>)>,
    /// Why it executes nothing any more, as said by an answer.
    lost: Option<Error>,
}

impl InFlight {
    fn new(max: usize) -> Self {
        InFlight { max, is_lost: AtomicBool::new(false), state: Mutex::default() }
    }

    /// One more batch is in flight.
    pub(super) fn begin(&self) {
        self.state.lock().count += 1;
    }

    /// The instance is lost, and is to leave when it is back, or when it comes back next.
    pub(super) fn lose(&self, error: Error) {
        self.state.lock().lost.get_or_insert(error);
        self.is_lost.store(true, Ordering::Release);
    }

    /// Whether an answer has said that it executes nothing any more.
    pub(super) fn is_lost(&self) -> bool {
        self.is_lost.load(Ordering::Acquire)
    }

    /// Why, if so.
    #[cold]
    pub(super) fn lost(&self) -> Option<Error> {
        self.state.lock().lost.clone()
    }

    /// Keeps the instance if it must not be given more; else gives it back.
    pub(super) fn park(&self, mut cell: Box<InstanceCell>, lane: &Arc<Lane>) -> Option<Box<InstanceCell>> {
        let mut state = self.state.lock();
        cell.lost = cell.lost.take().or_else(|| state.lost.clone());
        if state.count < self.max || cell.lost.is_some() {
            return Some(cell);
        }
        state.parked = Some((cell, Arc::downgrade(lane)));
        None
    }

    /// A batch has been answered whole: a parked instance is free again.
    pub(super) fn end(&self) {
        let parked = {
            let mut state = self.state.lock();
            state.count -= 1;
            let parked = state.parked.take();
            parked.map(|(cell, lane)| (state.lost.clone(), cell, lane))
        };
        if let Some((lost, mut cell, lane)) = parked
            && let Some(lane) = lane.upgrade()
        {
            cell.lost = lost;
            lane.unpark(cell);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn busy_time_counts_what_is_over_and_what_is_under_way() {
        let mut time = BusyTime::default();
        assert_eq!(time.until(100), 0);
        time.depart(100);
        time.depart(150);
        assert_eq!((time.until(200), time.until(100)), (150, 0));
        time.arrive(100, 220);
        assert_eq!((time.until(220), time.until(250)), (190, 220));
        time.arrive(150, 250);
        assert_eq!((time.until(250), time.until(1_000)), (220, 220));
    }
}
