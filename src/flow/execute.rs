//! One execution: run the backend, fill the replies, keep count.
//!
//! Per seat the order is: reply filled (if nobody answered early), instance brought back, inputs let go, reply published,
//! whoever waits told. The first step and the counting happen here, the others in `lead` and `seat`. A backend that panics
//! or fails answers its batch with the error.

use super::answer;
use super::execution::{Bench, Execution};
use super::instance::InstanceCell;
use super::lane::Lane;
use super::messenger;
use super::permit::Permit;
use super::seat::{Seat, Span};
use super::spec::CallerRuns;
use super::worker::{Away, is_worker};
use crate::observe::{Record, Stations, TraceEnd};
use crate::sync::thread;
use inferlay_backend_sdk::{Error, ErrorKind, LogLevel};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// Runs the batch in `seats` and fills the replies of those that are still wanted. The result is to be kept until they
/// are answered, see [`hold`].
pub(super) fn run(
    lane: &Arc<Lane>,
    cell: &mut InstanceCell,
    seats: &mut [Seat],
    bench: &mut Bench,
    record: &mut Record,
) -> Option<messenger::Held> {
    bench.prepare(&lane.spec);
    let InstanceCell { instance, in_flight, own_thread, lost, .. } = cell;
    if in_flight.is_lost()
        && let Some(error) = in_flight.lost()
    {
        // An answer said so while it was free.
        let held = hold(lane, own_thread.is_some());
        (record.ended, record.requests) = (lane.now(), seats.len());
        refuse(seats, lost.insert(error));
        settle(lane, seats, record);
        return held;
    }
    let execution = Execution::new(lane, seats, bench, in_flight);
    let result = {
        let _permit = Permit::new(&*lane.services.gate);
        let _inside = thread::Inside::enter();
        let _away = Away::begin();
        catch_unwind(AssertUnwindSafe(|| instance.execute(&execution)))
    };
    let held = hold(lane, own_thread.is_some());
    record.ended = lane.now();
    record.requests = seats.len();
    execution.report(record);
    let result = result.unwrap_or_else(|panic| {
        let error = panicked(lane, &*panic);
        answer::contain(&lane.services, || drop(panic));
        Err(error)
    });
    let result = result.map_err(|error| match error.kind() {
        ErrorKind::InstanceLost => lost.insert(answer::cause(error, None, lane)).clone(),
        _ => error,
    });
    match result.and_then(|()| bench.finish(&lane.spec)) {
        Ok(()) => fill(lane, seats, bench, record),
        Err(error) => refuse(seats, &error),
    }
    // Outputs may be the backend's own, with destructors of theirs.
    answer::contain(&lane.services, || bench.clear());
    settle(lane, seats, record);
    held
}

/// A stop waits for workers, but not for a caller who leads or for an instance's own thread: where such a thread may have
/// callbacks to call or to post, it says so before it wins their requests.
fn hold(lane: &Lane, is_own_thread: bool) -> Option<messenger::Held> {
    let is_leading_caller = || lane.spec.caller_runs == CallerRuns::Batch && !is_worker();
    (is_own_thread || is_leading_caller()).then(|| lane.services.messenger.hold())
}

/// Answers every seat that the batch has to answer with an error.
pub(super) fn refuse(seats: &mut [Seat], error: &Error) {
    for seat in seats.iter_mut().filter(|seat| !seat.is_taken()) {
        let own = seat.failure();
        seat.win(|reply| reply.error = Some(own.unwrap_or_else(|| error.clone())));
    }
}

fn fill(lane: &Lane, seats: &mut [Seat], bench: &mut Bench, record: &mut Record) {
    if let [seat] = seats {
        match seat.failure() {
            Some(error) => seat.win(|reply| reply.error = Some(error)),
            None => seat.fill_alone(lane, bench, record),
        }
        return;
    }
    let mut first = 0;
    for seat in seats {
        let rows = seat.ask.rows;
        if lane.spec.shaping.scatters {
            bench.turn_to(seat, &lane.spec);
        }
        match seat.failure() {
            Some(error) => seat.win(|reply| reply.error = Some(error)),
            None => seat.fill(lane, bench, Span { first, len: rows }, record),
        }
        first += rows;
    }
    record.scattered = lane.now().saturating_sub(record.ended);
}

/// Timers, counts and traces, once the replies are filled.
pub(super) fn settle(lane: &Lane, seats: &mut [Seat], record: &mut Record) {
    for seat in seats {
        record.waited += record.started.saturating_sub(seat.ask.submitted);
        if seat.is_taken() {
            // Its timer goes on: the deadline holds for the backend that answers later.
            record.taken += 1;
            continue;
        }
        if let Some(key) = seat.ask.timer.take() {
            lane.services.timekeeper.disarm(key);
        }
        if !seat.has_won.get() {
            record.lost += 1;
        } else if seat.has_failed.get() {
            record.failed += 1;
        } else {
            record.good_rows += seat.ask.rows;
        }
        if seat.ask.is_traced {
            trace(lane, seat, record);
        }
    }
}

fn trace(lane: &Lane, seat: &Seat, record: &Record) {
    let end = match (seat.has_won.get(), seat.has_failed.get()) {
        (true, false) => TraceEnd::Ok,
        (true, true) => TraceEnd::Error,
        (false, _) => TraceEnd::Early,
    };
    let stations = Stations { submitted: seat.ask.submitted, id: &seat.ask.id, answered: lane.now(), end };
    let trace = stations.trace((&lane.spec.model, lane.spec.version), record);
    lane.services.tracer.keep(&trace);
    if seat.has_won.get() {
        seat.ticket().reply.lock().trace = Some(Box::new(trace));
    }
}

fn panicked(lane: &Lane, panic: &(dyn std::any::Any + Send)) -> Error {
    let said = thread::panic_text(panic);
    let error = Error::new(ErrorKind::Panic, format!("{}: the backend panicked: {said}", lane.spec.place()));
    lane.services.log.write(LogLevel::Error, error.message());
    error
}
