//! Answering: exactly once, whoever does it, even when a backend panics or a deadline passes.
//!
//! Whoever wins the state word fills the reply, publishes, and tells whoever wants to know. These compete: the one
//! who ran the batch, the responder of a request that its backend took, the timekeeper (a deadline, or the execution
//! timeout of a batch that hangs), a cancel, and a stop. A callback of the user runs on a worker, on the thread of an
//! instance or on the messenger, never on a caller's thread, never on the timekeeper, never under a lock.

use super::lane::{self, Lane, Refusals};
use super::response::Response;
use super::services::Services;
use super::task::{Ask, HeldReply, Notify, Outcome, Ticket};
use crate::observe::{Record, Stations, TraceEnd};
use crate::sync::{Callback, thread};
use inferlay_backend_sdk::{Error, ErrorKind, LogLevel};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::task::Waker;

const EXPIRED: Error = Error::fixed(ErrorKind::Timeout, "the deadline passed");
const OUTWAITED: Error = Error::fixed(ErrorKind::Timeout, "the timeout of the model's queue passed");
const CANCELLED: Error = Error::fixed(ErrorKind::Cancelled, "the request was cancelled");
pub(super) const ABANDONED: Error =
    Error::fixed(ErrorKind::Unavailable, "the server stopped while the backend was executing");
pub(super) const STOPPED: Error = Error::fixed(ErrorKind::Unavailable, "the server stopped before the request was run");

/// What a backend gave up for: it is only told that nobody wants the answer, and says CANCELLED also when it is too late.
/// That an instance is lost is for the engine; whoever asked is told what that means to him.
pub(super) fn cause(error: Error, deadline: Option<u64>, lane: &Lane) -> Error {
    let is_late = || deadline.is_some_and(|deadline| deadline <= lane.now());
    match error.kind() {
        ErrorKind::Cancelled if is_late() => EXPIRED,
        ErrorKind::InstanceLost => {
            Error::unavailable(format!("{}: an instance is lost: {}", lane.spec.place(), error.message()))
        }
        _ => error,
    }
}

/// The thread that answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum On {
    /// A worker or the messenger: may run a user's callback.
    Worker,
    /// A caller, the timekeeper, or whoever stops: leaves callbacks to the messenger.
    Service,
}

/// The deadline of a request passed.
pub(crate) fn expire(ticket: &Ticket, on: On) {
    give_up(ticket, EXPIRED, |refusals| refusals.expired.add_one(), on);
}

/// A request has waited for as long as it may: for the deadline of its caller, or for the timeout of its queue. Nothing
/// happens to one that runs.
pub(super) fn outwait(ticket: &Ticket, on: On) {
    if ticket.state.win_queued() {
        let is_late = |deadline| deadline <= ticket.home().now();
        let cause = |ask: &Ask| if ask.deadline.is_some_and(is_late) { EXPIRED } else { OUTWAITED };
        leave_queue(ticket, cause, |refusals| refusals.expired.add_one(), on);
    }
}

/// The caller no longer wants the answer.
pub(crate) fn cancel(ticket: &Ticket) {
    let services = ticket.home().services.clone();
    // This may be any thread: a server that stops meanwhile waits until the callback is posted.
    let _held = services.messenger.hold();
    give_up(ticket, CANCELLED, |refusals| refusals.cancelled.add_one(), On::Service);
}

/// The server stops and the request was not run.
pub(crate) fn abandon(ticket: &Ticket) {
    give_up(ticket, STOPPED, |refusals| refusals.other.add_one(), On::Service);
}

/// An instance is stuck and the request is on it.
pub(crate) fn desert(ticket: &Ticket, error: Error) {
    give_up(ticket, error, |refusals| refusals.other.add_one(), On::Service);
}

/// A request that somebody gave up while memory was lent to it, and that still runs now that the memory is released.
pub(super) fn catch_up(ticket: &Ticket, deadline: Option<u64>) {
    if !ticket.state.is_unwanted() {
        return;
    }
    let lane = ticket.home();
    match deadline {
        Some(deadline) if deadline <= lane.now() => expire(ticket, On::Service),
        _ if lane.word.read().is_swept() => desert(ticket, ABANDONED),
        _ => cancel(ticket),
    }
}

/// Answers everything that waits in a lane that has stopped, or serves no more: then with the reason.
pub(crate) fn sweep(lane: &Lane) {
    for ticket in lane::drain(lane) {
        match lane.fault() {
            Some(_) => desert(&ticket, lane.out_of_service()),
            None => abandon(&ticket),
        }
    }
}

/// Answers with an error from outside of the execution: at once from the queue; while it runs, only if nothing is lent.
/// Else the backend is told, and answers when it lets go. `count` comes before the answer, so that whoever has that finds
/// it counted.
fn give_up(ticket: &Ticket, error: Error, count: impl FnOnce(&Refusals), on: On) {
    if ticket.state.win_queued() {
        return leave_queue(ticket, |_| error, count, on);
    }
    ticket.state.give_up();
    let lane = ticket.home();
    if ticket.state.win_running_early() {
        count(&lane.refusals);
        if let Some(order) = &lane.order {
            order.vacate(ticket);
        }
    } else if lane.order.as_ref().is_some_and(|order| order.take_back(ticket, &lane.services)) {
        // Its execution has counted it.
        let mut reply = ticket.reply.lock();
        contain(&lane.services, || reply.clear_outputs());
    } else {
        return;
    }
    ticket.reply.lock().error = Some(error);
    publish(ticket, false);
    tell(ticket.clone(), on, &lane.services);
    if let Some(order) = &lane.order {
        order.advance(lane);
    }
}

/// Answers a request that was won from the queue.
fn leave_queue(ticket: &Ticket, error: impl FnOnce(&Ask) -> Error, count: impl FnOnce(&Refusals), on: On) {
    let lane = ticket.home();
    lane.leave_queue();
    // Nobody will run it: its inputs go now, not when the leader comes across it.
    let (error, timer) = {
        let mut ask = ticket.ask.lock();
        let (error, timer) = (error(&ask), ask.timer.take());
        if let Some(places) = &lane.places {
            places.leave(ask.level);
        }
        if ask.is_traced {
            trace(ticket, &ask, TraceEnd::NotRun);
        }
        contain(&lane.services, || ask.clear());
        (error, timer)
    };
    if let Some(key) = timer {
        lane.services.timekeeper.disarm(key);
    }
    count(&lane.refusals);
    ticket.reply.lock().error = Some(error);
    publish(ticket, true);
    tell(ticket.clone(), on, &lane.services);
}

/// Keeps the trace of a request that no batch answers.
pub(super) fn trace(ticket: &Ticket, ask: &Ask, end: TraceEnd) {
    let lane = ticket.home();
    let now = lane.now();
    let stations = Stations { submitted: ask.submitted, id: &ask.id, answered: now, end };
    let record = Record { started: now, ended: now, ..Record::default() };
    lane.services.tracer.keep(&stations.trace((&lane.spec.model, lane.spec.version), &record));
}

/// Makes the reply visible. A caller who waits is woken if the memory is released too.
pub(crate) fn publish(ticket: &Ticket, is_released: bool) {
    if ticket.state.publish(is_released, ticket.is_sole()) {
        wake_caller(ticket);
    }
}

/// Nothing reaches the request's memory any more.
pub(crate) fn release(ticket: &Ticket) {
    if ticket.state.release() {
        wake_caller(ticket);
    }
}

/// A caller who waits may go on: it waits at its bell, or at the lane's if it leads and waits out a delay.
fn wake_caller(ticket: &Ticket) {
    ticket.bell.ring();
    ticket.home().recall_leader();
}

/// Tells whoever wants to know that the reply is there, unless that is a blocking caller.
pub(crate) fn tell(ticket: Ticket, on: On, services: &Services) {
    if ticket.state.is_blocking() {
        return;
    }
    let notify = std::mem::take(&mut *ticket.notify.lock());
    match notify {
        Notify::Nobody => {}
        Notify::Bell => ticket.bell.ring(),
        Notify::Waker(waker) => wake(waker, services),
        Notify::Stream(stream) => stream.end(ticket),
        Notify::Callback(callback) if on == On::Worker => call(callback, ticket, services),
        Notify::Callback(callback) => services.messenger.post(callback, ticket),
    }
}

/// A waker is code of the user's runtime: on a caller's or a worker's thread it must not unwind.
pub(super) fn wake(waker: Waker, services: &Services) {
    if catch_unwind(AssertUnwindSafe(|| waker.wake())).is_err() {
        services.log.write(LogLevel::Error, "the waker of a response future panicked; the panic was contained");
    }
}

/// Runs a destructor of the user's, or what may contain one, on a thread of the engine: it must not unwind there.
pub(super) fn contain(services: &Services, body: impl FnOnce()) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(body)) {
        services.log.write(LogLevel::Error, "a destructor of the application panicked; the panic was contained");
        // Its payload may panic once more when dropped.
        std::mem::forget(panic);
    }
}

/// Calls a callback of the user with the answer.
pub(crate) fn call(callback: Callback<Outcome>, ticket: Ticket, services: &Services) {
    let outcome = outcome(ticket);
    let inside = thread::Inside::enter();
    let result = catch_unwind(AssertUnwindSafe(|| callback.call(outcome)));
    drop(inside);
    if result.is_err() {
        services.log.write(LogLevel::Error, "a response callback panicked; the panic was contained");
    }
}

/// The reply, by whoever receives it, after it was published.
pub(crate) fn outcome(ticket: Ticket) -> Outcome {
    let mut reply = HeldReply::lock(ticket);
    match reply.error.take() {
        Some(error) => Err(error),
        None => Ok(Response::new(reply)),
    }
}
