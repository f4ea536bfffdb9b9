//! Requests that a backend answers later: once, whoever comes first, and the instance is free afterwards.

use super::*;
use std::time::Duration;

fn take_one(bench: &Bench) -> (Ticket, Responder) {
    let ticket = bench.submit().unwrap();
    bench.work();
    let responder = bench.taken.lock().pop().unwrap();
    (ticket, responder)
}

#[test]
fn loom_a_late_answer_and_a_deadline_answer_once_between_them() {
    model(|| {
        let bench = Arc::new(Plan { takes: true, ..Plan::default() }.bench());
        let (ticket, responder) = take_one(&bench);
        assert!(bench.lane.word.read().idle() == 0, "one batch in flight is all that it wants");
        let backend = spawn(move || responder.respond([(0, sevens(1))]).unwrap());
        answer::expire(&ticket, On::Service);
        backend.join().unwrap();
        let expected = if bench.lane.refusals.expired.read() == 1 { Err(ErrorKind::Timeout) } else { Ok(()) };
        assert_eq!(outcome(ticket), expected);
        bench.work();
        bench.is_at_rest_with(1);
        assert!(bench.lane.is_drained());
    });
}

#[test]
fn loom_an_instance_whose_flight_ends_serves_who_waits() {
    model(|| {
        let bench = Arc::new(Plan { takes: true, ..Plan::default() }.bench());
        let (first, responder) = take_one(&bench);
        let backend = spawn(move || responder.respond([(0, sevens(1))]).unwrap());
        let second = bench.submit().unwrap();
        bench.work();
        backend.join().unwrap();
        bench.work();
        assert_eq!(outcome(first), Ok(()));
        let responder = bench.taken.lock().pop().unwrap();
        responder.respond([(0, sevens(1))]).unwrap();
        assert_eq!(outcome(second), Ok(()));
        bench.is_at_rest_with(1);
    });
}

#[test]
fn loom_a_responder_that_goes_without_an_answer_still_answers() {
    model(|| {
        let bench = Arc::new(Plan { takes: true, ..Plan::default() }.bench());
        let (ticket, responder) = take_one(&bench);
        let backend = spawn(move || drop(responder));
        answer::cancel(&ticket);
        backend.join().unwrap();
        let cancelled = bench.lane.refusals.cancelled.read() == 1;
        let expected = if cancelled { ErrorKind::Cancelled } else { ErrorKind::Internal };
        assert_eq!(outcome(ticket), Err(expected));
        bench.is_at_rest_with(1);
    });
}

#[test]
fn loom_a_borrow_ends_with_the_release_while_the_backend_still_computes() {
    model(|| {
        let bench = Arc::new(Plan { takes: true, ..Plan::default() }.bench());
        let x = [1u8];
        let request = Request::new().input("x", crate::tensor::Input::from_slice(&x, [1, 1]).unwrap());
        let (ticket, _) = bench.lane.submit(request, Notify::Nobody, Manner::Blocking).map_err(drop).unwrap();
        let worker = spawn({
            let bench = bench.clone();
            move || bench.work()
        });
        answer::cancel(&ticket);
        worker.join().unwrap();
        // Executed or not: nothing reaches `x` any more; once it is released, a cancel answers early again.
        answer::cancel(&ticket);
        assert!(ticket.state.is_over());
        assert_eq!(outcome(ticket), Err(ErrorKind::Cancelled));
        drop(std::mem::take(&mut *bench.taken.lock()));
        bench.work();
        bench.is_at_rest_with(1);
    });
}

#[test]
fn loom_a_deadline_outlasts_the_execution_of_a_taken_request() {
    model(|| {
        let bench = Plan { takes: true, ..Plan::default() }.bench();
        for is_late in [true, false] {
            let request = bench.request().timeout(Duration::from_millis(1));
            let (ticket, _) = bench.lane.submit(request, Notify::Nobody, Manner::Async).map_err(drop).unwrap();
            bench.work();
            let responder = bench.taken.lock().pop().unwrap();
            if is_late {
                bench.clock.advance(Duration::from_millis(2));
                bench.lane.services.timekeeper.fire();
            }
            assert_eq!(ticket.state.is_answered(), is_late);
            responder.respond([(0, sevens(1))]).unwrap();
            assert_eq!(outcome(ticket), if is_late { Err(ErrorKind::Timeout) } else { Ok(()) });
            assert_eq!(bench.lane.idle_tasks(), 1, "the timer still holds the task");
        }
        bench.is_at_rest_with(1);
    });
}
