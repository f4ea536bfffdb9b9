//! Leading a lane: drain, decide, send off, run, bring back. Thin loops around pure decisions.

use super::answer::{self, On};
use super::batch::Step;
use super::check::check;
use super::execute;
use super::execution::Bench;
use super::instance::InstanceCell;
use super::lane::{Core, Lane, Manner};
use super::queue::Entry;
use super::request::{Refused, Request};
use super::seat::Seat;
use super::slowness;
use super::spec::CallerRuns;
use super::task::{CancelToken, HeldAsk, Notify, Outcome, Ticket};
use super::timekeeper::Timed;
use super::word::{Lead, Reading};
use super::worker::run_on_own_thread;
use crate::observe::{Cut, Record};
use crate::sync::{MutexGuard, Ordering, thread};
use inferlay_backend_sdk::{Error, ErrorKind};
use std::borrow::Cow;
use std::cell::Cell;
use std::sync::Arc;

const WOULD_WAIT: Error = Error::fixed(
    ErrorKind::FailedPrecondition,
    "a blocking call inside a callback or an execution could wait for itself",
);

/// How many batches a waiting caller leads at most.
const CALLER_BATCHES_MAX: usize = 2;

/// How often the time that answering takes is looked at while it is quick and batches are small, in executions.
const ANSWERS_MEASURED_EVERY: u64 = 16;
/// From this many requests on, the two looks at the clock weigh nothing, and every batch is measured.
const ANSWERS_MEASURED_LEN: usize = 8;
/// Answering a batch for longer than this, in nanoseconds, is slow: a hand-off to another worker costs less.
const ANSWERS_SLOW: u64 = 100_000;
/// On a single core a hand-off gains nothing, and clients run while they are answered; only a callback that waits is slow.
const ANSWERS_SLOW_ALONE: u64 = 5_000_000;

/// A thread's turn at leading.
pub(crate) struct Turn<'a> {
    on: On,
    /// The caller's own request; it leads until that is answered.
    own: Option<&'a Ticket>,
    batches_left: usize,
}

impl Turn<'_> {
    /// A worker leads as long as there is something to lead.
    pub(crate) fn worker() -> Self {
        Turn { on: On::Worker, own: None, batches_left: usize::MAX }
    }

    /// A thread of somebody else leads because no worker could be started.
    pub(crate) fn stand_in() -> Self {
        Turn { on: On::Service, own: None, batches_left: usize::MAX }
    }

    fn goes_on(&self) -> bool {
        self.batches_left > 0 && !self.own.is_some_and(|own| own.state.is_over())
    }
}

/// What a thread needs to run batches, kept for its capacity.
#[derive(Default)]
pub(crate) struct Scratch {
    pub(super) seats: Vec<Seat>,
    bench: Bench,
    /// Requests that the leader found too late.
    late: Vec<Ticket>,
}

std::thread_local! {
    static SCRATCH: Cell<Option<Box<Scratch>>> = const { Cell::new(None) };
}

impl Scratch {
    fn take() -> Box<Scratch> {
        SCRATCH.with(Cell::take).unwrap_or_default()
    }

    pub(super) fn put(scratch: Box<Scratch>) {
        SCRATCH.with(|kept| kept.set(Some(scratch)));
    }

    /// A waiting request becomes part of the batch, if nobody answered it meanwhile. How many rows it brings.
    fn claim(&mut self, entry: Entry<Ticket>, now: u64) -> usize {
        if entry.ends <= now {
            self.late.push(entry.item);
            return 0;
        }
        if !entry.item.state.claim() {
            return 0;
        }
        self.seats.push(Seat::new(HeldAsk::lock(entry.item)));
        entry.rows
    }
}

/// What is left when a batch was run and answered.
pub(super) struct Ran {
    /// Whether this thread now has the lead.
    pub(super) leads: bool,
    /// The last request, if a caller waits for it: of a batch of one that its caller ran, his own.
    last: Option<Ticket>,
}

enum Next {
    /// Somebody else leads, or will when there is something to lead.
    Resigned,
    /// The word has changed, or a wait is over.
    Again,
    /// A batch sits in the scratch.
    Run { cell: Box<InstanceCell>, started: u64, why: Cut },
}

impl Lane {
    /// Leads until there is nothing to lead, or the turn is over and the lead is handed on. The caller has the lead.
    pub(crate) fn lead(self: &Arc<Self>, mut turn: Turn<'_>) {
        let mut scratch = Scratch::take();
        while turn.goes_on() {
            match self.next(&mut scratch, &turn) {
                Next::Again => continue,
                Next::Resigned => return Scratch::put(scratch),
                Next::Run { cell, started, why } if cell.own_thread.is_some() => {
                    return self.send_home(cell, scratch, (started, why), turn.on);
                }
                Next::Run { cell, started, why } => {
                    turn.batches_left -= 1;
                    let owes = turn.own.is_some();
                    if owes {
                        // Until a caller has answered the others of its batch, the lane is not drained.
                        self.begin_flight();
                    }
                    let leads = self.run(cell, &mut scratch, (started, why), turn.on).leads;
                    if owes {
                        self.end_flight();
                    }
                    if !leads {
                        return Scratch::put(scratch);
                    }
                }
            }
        }
        Scratch::put(scratch);
        self.services.workers.lead(self.clone());
    }

    fn next(self: &Arc<Self>, scratch: &mut Scratch, turn: &Turn<'_>) -> Next {
        let seen = self.word.read();
        let mut core = self.core.lock();
        self.admit(&mut core);
        // The policy decides by the living alone.
        self.purge(&mut core);
        if core.room.delays() {
            core.room.delay(self.now());
        }
        let view = core.room.view(self.spec.policy.rows_max.max(1));
        if seen.idle() == 0 || view.len == 0 {
            drop(core);
            return if self.word.resign(seen) { Next::Resigned } else { Next::Again };
        }
        if !core.instances.has_free() {
            // The lane was swept and its instances retired, though the word still counts them.
            drop(core);
            answer::sweep(self);
            return Next::Again;
        }
        let now = self.services.clock.now();
        match self.spec.policy.step(view, seen.is_stopping(), now) {
            Step::Close { rows, why } => self.close(core, rows, (now, why), scratch),
            Step::Wait { until, rows } => {
                drop(core);
                // Looked at after the word was read: an answer changes the word, see `recall_leader`.
                if turn.goes_on() {
                    self.wait_out(seen, until, rows - view.rows);
                }
                Next::Again
            }
            Step::Idle => Next::Again,
        }
    }

    /// Sends a batch off on a free instance; hands the lead on if there is more to lead.
    fn close(
        self: &Arc<Self>,
        mut core: MutexGuard<'_, Core>,
        rows: usize,
        (now, why): (u64, Cut),
        scratch: &mut Scratch,
    ) -> Next {
        core.room.take(rows, now, |entry| scratch.claim(entry, now));
        let cell = match scratch.seats.as_slice() {
            [] => None,
            seats => core.instances.depart(now, seats.iter().map(Seat::ticket)),
        };
        if let (Some(order), Some(_)) = (&self.order, &cell) {
            order.depart(scratch.seats.iter().map(Seat::ticket));
        }
        drop(core);
        for ticket in scratch.late.drain(..) {
            answer::outwait(&ticket, On::Service);
        }
        let Some(cell) = cell else { return Next::Again };
        if self.word.depart(scratch.seats.len()) == Lead::Kept {
            self.services.workers.lead(self.clone());
        }
        // Others may lead by now: what is left to do is for this batch alone.
        self.leave_waits(&mut scratch.seats);
        Next::Run { cell, started: now, why }
    }

    /// Requests have left the queue for a batch.
    fn leave_waits(self: &Arc<Self>, seats: &mut [Seat]) {
        if let Some(places) = &self.places {
            seats.iter().for_each(|seat| places.leave(seat.ask.level));
        }
        if let Some(order) = self.order.as_ref().filter(|_| self.spec.credit_max.is_some()) {
            // Of the one whose turn it is, the stream opens before its first response.
            order.advance(self);
        }
        if self.ends_waits {
            seats.iter_mut().for_each(|seat| self.end_wait(seat));
        }
    }

    /// A request has left the queue for a batch: from now on only its own deadline counts.
    fn end_wait(&self, seat: &mut Seat) {
        if let Some(key) = seat.ask.timer.take() {
            self.services.timekeeper.disarm(key);
        }
        let arm = |deadline| self.services.timekeeper.arm(deadline, Timed::Deadline(seat.ticket().clone()));
        seat.ask.timer = seat.ask.deadline.map(arm);
    }

    /// Holds the lead, but no instance, until more has come or the delay is over.
    fn wait_out(&self, seen: Reading, until: u64, missing: usize) {
        self.missing.store(missing as i64, Ordering::Release);
        if self.word.begin_wait(seen) {
            self.services.clock.wait(&self.bell, Some(until));
            self.word.end_wait();
        }
    }

    /// Runs the batch in the scratch and answers it.
    pub(super) fn run(
        self: &Arc<Self>,
        mut cell: Box<InstanceCell>,
        scratch: &mut Scratch,
        (started, why): (u64, Cut),
        on: On,
    ) -> Ran {
        let timer = self.spec.execution_timeout.map(|timeout| {
            let late = Timed::Execution { lane: Arc::downgrade(self), index: cell.index, serial: cell.serial };
            self.services.timekeeper.arm(started.saturating_add(timeout), late)
        });
        let mut record = Record { started, why: Some(why), ..Record::default() };
        let _held = execute::run(self, &mut cell, &mut scratch.seats, &mut scratch.bench, &mut record);
        if let Some(timer) = timer {
            self.services.timekeeper.disarm(timer);
        }
        let keeps = on == On::Worker && cell.own_thread.is_none() && self.answers_quickly();
        let is_rare = record.requests < ANSWERS_MEASURED_LEN && self.slowness.load(Ordering::Relaxed) == 0;
        let is_due = !keeps || !is_rare || cell.serial.is_multiple_of(ANSWERS_MEASURED_EVERY);
        let is_measured = on == On::Worker && is_due;
        let mut leads = self.bring(cell, (&record, &scratch.seats), keeps);
        if leads && !keeps && on == On::Worker {
            // Others lead while the callbacks run.
            self.services.workers.lead(self.clone());
            leads = false;
        }
        let begun = if is_measured { self.now() } else { 0 };
        let mut last = None;
        for seat in scratch.seats.drain(..) {
            last = seat.answer(on, &self.services);
        }
        if is_measured {
            self.answers_took(self.now().saturating_sub(begun));
        }
        Ran { leads, last }
    }

    /// Whether a worker keeps the lead while it answers: a client that is woken by its answer and asks again then finds a
    /// leader, and no second worker is woken for it. Not where callbacks were slow of late: they would hold up the lane.
    fn answers_quickly(&self) -> bool {
        slowness::is_quick(self.slowness.load(Ordering::Relaxed))
    }

    fn answers_took(&self, ns: u64) {
        let slow = if thread::cores() == 1 { ANSWERS_SLOW_ALONE } else { ANSWERS_SLOW };
        let next = slowness::after(self.slowness.load(Ordering::Relaxed), ns > slow);
        self.slowness.store(next, Ordering::Relaxed);
    }

    /// Brings an instance back from its batch. Whether this thread now has the lead.
    fn bring(self: &Arc<Self>, mut cell: Box<InstanceCell>, (record, seats): (&Record, &[Seat]), keeps: bool) -> bool {
        let index = cell.index;
        if cell.in_flight.is_lost() {
            cell.lost = cell.lost.take().or_else(|| cell.in_flight.lost());
        }
        let mut core = self.core.lock();
        core.tally.add(record, seats.iter().map(Seat::timing));
        // Under the lock: the backend may answer at once, and the instance must not depart again before it has arrived.
        let cell = if record.taken > 0 { cell.in_flight.clone().park(cell, self) } else { Some(cell) };
        match cell {
            Some(cell) => self.arrive(core, cell, record.ended, keeps),
            None => {
                core.instances.end(index);
                drop(core);
                self.welcome(false, None, keeps)
            }
        }
    }

    /// An instance has arrived: free again, not wanted any more, or lost. Whether this thread now has the lead.
    fn arrive(&self, mut core: MutexGuard<'_, Core>, cell: Box<InstanceCell>, now: u64, keeps: bool) -> bool {
        let Some(error) = &cell.lost else {
            let retired = core.instances.arrive(cell, now);
            drop(core);
            return self.welcome(true, retired, keeps);
        };
        let goes_on = core.instances.lose(&cell, now);
        drop(core);
        self.has_lost_one(error, goes_on);
        self.welcome(false, Some(cell), keeps)
    }

    /// An instance whose backend had too many batches in flight may take more.
    pub(super) fn unpark(self: &Arc<Self>, cell: Box<InstanceCell>) {
        let now = self.now();
        if self.arrive(self.core.lock(), cell, now, false) {
            self.services.workers.lead(self.clone());
        }
    }

    /// An instance has arrived, or is parked, or comes too late to be needed. Whether this thread now has the lead.
    fn welcome(&self, is_back: bool, retired: Option<Box<InstanceCell>>, keeps: bool) -> bool {
        let is_late = retired.is_some();
        drop(retired);
        if is_late && self.word.read().is_stopping() {
            self.services.drained.ring();
        }
        is_back && !is_late && self.free_instance(keeps)
    }

    fn free_instance(&self, keeps: bool) -> bool {
        let (leads, is_stopping) = self.word.bring_instance(keeps);
        if is_stopping {
            self.services.drained.ring();
        }
        leads
    }

    fn send_home(self: &Arc<Self>, cell: Box<InstanceCell>, scratch: Box<Scratch>, when: (u64, Cut), on: On) {
        if let Err((cell, mut scratch, error)) = run_on_own_thread(self, cell, scratch, when) {
            let error =
                Error::new(ErrorKind::ResourceExhausted, format!("the instance's thread did not start: {error}"));
            execute::refuse(&mut scratch.seats, &error);
            execute::settle(self, &mut scratch.seats, &mut Record::default());
            let leads = self.bring(cell, (&Record::default(), &[]), false);
            for seat in scratch.seats.drain(..) {
                seat.answer(on, &self.services);
            }
            if leads {
                self.services.workers.lead(self.clone());
            }
        }
    }

    /// The blocking call: on this thread if an instance is free and nothing waits, else through the queue.
    ///
    /// # Errors
    /// The request itself, if it was not taken; the error that answered it, if it was.
    pub(crate) fn infer<'a>(self: &Arc<Self>, mut request: Request<'a>) -> Result<Outcome, Refused<'a>> {
        if thread::is_inside() {
            return Err(Refused { error: WOULD_WAIT, request });
        }
        let borrowed = Borrowed;
        let outcome = match self.infer_directly(&mut request) {
            Ok(Some(outcome)) => Ok(outcome),
            Ok(None) => self.infer_queued(request),
            Err(error) => Err(Refused { error, request }),
        };
        std::mem::forget(borrowed);
        outcome
    }

    #[inline(never)]
    fn infer_queued<'a>(self: &Arc<Self>, request: Request<'a>) -> Result<Outcome, Refused<'a>> {
        let (ticket, leads) = self.submit(request, Notify::Nobody, Manner::Blocking)?;
        if leads {
            self.lead(Turn { on: On::Service, own: Some(&ticket), batches_left: CALLER_BATCHES_MAX });
        }
        Ok(self.wait(ticket))
    }

    /// Runs a request on this thread, if that is allowed and nothing is before it; takes the request only then.
    fn infer_directly(self: &Arc<Self>, request: &mut Request<'_>) -> Result<Option<Outcome>, Error> {
        let is_cancelled = request.cancel_token().is_some_and(CancelToken::is_cancelled);
        if self.spec.caller_runs == CallerRuns::Never || self.spec.is_thread_bound || is_cancelled {
            return Ok(None);
        }
        let checked = check(request, &self.spec).inspect_err(|_| self.refusals.other.add_one())?;
        let Some(why) = self.spec.policy.runs_alone(checked.rows) else { return Ok(None) };
        let now = self.now();
        let deadline = self.due(request, now);
        if deadline.is_some_and(|deadline| deadline <= now) || !self.word.take_instance() {
            return Ok(None);
        }
        let token = request.take_cancel_token();
        let ticket = self.fill(request, &checked, (now, deadline), Notify::Nobody);
        ticket.state.run_directly(checked.is_lent);
        // The seat has the ticket: where nobody else gets one, because the backend takes the request, there is no other
        // side to agree with.
        let mut seat = Seat::new(HeldAsk::lock(ticket));
        seat.ask.token = token.map(Cow::into_owned);
        // Nobody could be told early of a request that this very thread runs: the instance departs without it, unless an
        // execution timeout is to tell the backend.
        let watched = self.spec.execution_timeout.is_some().then_some(seat.ticket());
        let cell = self.core.lock().instances.depart(now, watched.into_iter());
        let Some(cell) = cell else { return Ok(self.turn_away(seat)) };
        let mut scratch = Scratch::take();
        scratch.seats.push(seat);
        let ran = self.run(cell, &mut scratch, (now, why), On::Service);
        Scratch::put(scratch);
        if ran.leads {
            self.services.workers.lead(self.clone());
        }
        Ok(ran.last.map(|ticket| self.wait(ticket)))
    }

    /// Answers a caller who was given an instance by the word just before the lane was swept and its instances retired.
    fn turn_away(self: &Arc<Self>, mut seat: Seat) -> Option<Outcome> {
        execute::refuse(std::slice::from_mut(&mut seat), &answer::STOPPED);
        seat.answer(On::Service, &self.services).map(|ticket| self.wait(ticket))
    }

    /// Waits for answer and release, both.
    fn wait(&self, ticket: Ticket) -> Outcome {
        while !ticket.state.is_over() {
            ticket.bell.wait(self.services.tuning.spin_max);
        }
        answer::outcome(ticket)
    }
}

/// Lives while the engine may reach a waiting caller's memory. Unwinding past it would free that memory under a backend,
/// so a panic here (of a destructor of the user's, say: everything else is contained) ends the process.
struct Borrowed;

impl Drop for Borrowed {
    fn drop(&mut self) {
        // It is forgotten on the way that does not unwind; a panic during an unwinding aborts.
        panic!("a panic would have ended a borrow that the engine still uses");
    }
}
