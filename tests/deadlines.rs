//! Deadlines: answered promptly while a request waits, early while it runs if nothing is lent, never by a batch.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may unwrap")]

mod common;

use common::{Gate, answer, ask, double, doubling, eventually, finishes, gated, receive};
use inferlay::{CallerRuns, ErrorKind, Input, ManualClock, ModelState, Request, ServerHandle};
use std::sync::mpsc;
use std::time::{Duration, Instant};

const MS: Duration = Duration::from_millis(1);

/// So many milliseconds, and a little more: timers are as fine as 65.5 us and never early.
fn past(ms: u32) -> Duration {
    ms * MS + Duration::from_micros(200)
}

fn server() -> (ManualClock, ServerHandle) {
    let clock = ManualClock::new();
    let server = ServerHandle::builder().manual_clock(&clock).start().unwrap();
    (clock, server)
}

#[test]
fn a_request_that_waits_behind_a_held_instance_is_answered_when_its_deadline_passes() {
    finishes(|| {
        let (gate, (clock, server)) = (Gate::new(), server());
        let model = server.register_model(doubling("m"), gated(&gate)).unwrap();
        let first = model.infer_async(ask(1.0)).unwrap();
        gate.await_come(1);
        let late = model.infer_async(ask(2.0).timeout(10 * MS)).unwrap();
        let later = model.infer_async(ask(3.0).timeout(11 * MS)).unwrap();
        let (send, outcomes) = mpsc::channel();
        let callback = move |outcome: Result<_, inferlay::Error>| send.send(outcome.map(|_| ())).unwrap();
        model.infer_callback(ask(4.0).timeout(10 * MS), callback).unwrap();
        clock.advance(past(10));
        assert_eq!(late.wait().unwrap_err().kind(), ErrorKind::Timeout);
        assert_eq!(receive(&outcomes).unwrap_err().kind(), ErrorKind::Timeout);
        assert!(!later.is_ready());
        assert_eq!(model.statistics().unwrap().queue_len, 1);
        gate.open();
        assert_eq!(first.wait().unwrap().slice::<f32>("y").unwrap(), answer(1.0));
        assert_eq!(later.wait().unwrap().slice::<f32>("y").unwrap(), answer(3.0));
        assert_eq!((gate.come(), model.statistics().unwrap().expired_count), (2, 2));
    });
}

#[test]
fn a_blocking_caller_in_the_queue_is_answered_when_its_deadline_passes() {
    for caller_runs in [CallerRuns::Never, CallerRuns::OwnRequest, CallerRuns::Batch] {
        finishes(move || {
            let (gate, (clock, server)) = (Gate::new(), server());
            let model = server.register_model(doubling("m").caller_runs(caller_runs), gated(&gate)).unwrap();
            let first = model.infer_async(ask(1.0)).unwrap();
            gate.await_come(1);
            let waiting = model.clone();
            let caller = std::thread::spawn(move || {
                let x = [1.0f32, 2.0];
                let request = Request::new().input("x", Input::from_slice(&x, [1, 2]).unwrap());
                waiting.infer(request.timeout(MS)).map(|_| ())
            });
            eventually("it waits", || model.statistics().unwrap().queue_len == 1);
            clock.advance(past(1));
            assert_eq!(caller.join().unwrap().unwrap_err().kind(), ErrorKind::Timeout);
            gate.open();
            assert!(first.wait().is_ok());
            assert_eq!(gate.come(), 1);
        });
    }
}

#[test]
fn a_deadline_shorter_than_the_delay_is_kept_also_by_a_caller_that_leads() {
    for caller_runs in [CallerRuns::Never, CallerRuns::OwnRequest, CallerRuns::Batch] {
        finishes(move || {
            let (clock, server) = server();
            let config = common::batching("m", 1_000_000).caller_runs(caller_runs);
            let model = server.register_model(config, double).unwrap();
            let waiting = model.clone();
            let caller = std::thread::spawn(move || waiting.infer(ask(1.0).timeout(MS)).map(|_| ()));
            eventually("it waits", || model.statistics().unwrap().queue_len == 1);
            clock.advance(past(1));
            assert_eq!(caller.join().unwrap().unwrap_err().kind(), ErrorKind::Timeout, "{caller_runs:?}");
            assert_eq!(model.statistics().unwrap().execution_count, 0);
        });
    }
}

#[test]
fn an_expired_request_never_reaches_a_batch() {
    finishes(|| {
        let (gate, (clock, server)) = (Gate::new(), server());
        let (send, batches) = mpsc::channel();
        let (held, send) = (gate.clone(), std::sync::Mutex::new(send));
        let model = server
            .register_model(common::batching("m", 0), move |batch| {
                held.pass();
                send.lock().unwrap().send(batch.input("x")?.as_slice::<f32>()?.to_vec()).unwrap();
                double(batch)
            })
            .unwrap();
        let first = model.infer_async(ask(0.0)).unwrap();
        gate.await_come(1);
        let requests = [(1.0, 1), (2.0, 9), (3.0, 2), (4.0, 3), (5.0, 9)];
        let futures = requests.map(|(value, ms)| (ms, model.infer_async(ask(value).timeout(ms * MS)).unwrap()));
        clock.advance(past(3));
        gate.open();
        for (ms, future) in futures {
            assert_eq!(future.wait().is_ok(), ms == 9, "{ms} ms");
        }
        assert!(first.wait().is_ok());
        assert_eq!(receive(&batches), [0.0, 0.5]);
        assert_eq!(receive(&batches), [2.0, 2.5, 5.0, 5.5]);
        let statistics = model.statistics().unwrap();
        assert_eq!((statistics.expired_count, statistics.success.count, statistics.queue_len), (3, 3, 0));
    });
}

#[test]
fn the_timeout_of_a_queue_ends_every_wait_that_is_longer_and_no_execution() {
    finishes(|| {
        let (gate, (clock, server)) = (Gate::new(), server());
        let model = server.register_model(doubling("m").default_timeout_us(2_000), gated(&gate)).unwrap();
        let runs = model.infer_async(ask(0.0)).unwrap();
        gate.await_come(1);
        let (silent, patient) = (model.infer_async(ask(1.0)).unwrap(), ask(2.0).timeout(99 * MS));
        let (patient, hasty) = (model.infer_async(patient).unwrap(), ask(3.0).timeout(MS));
        let hasty = model.infer_async(hasty).unwrap();
        clock.advance(past(1));
        assert_eq!(hasty.wait().unwrap_err().message(), "the deadline passed");
        assert!(!silent.is_ready() && !patient.is_ready());
        clock.advance(past(1));
        for late in [silent, patient] {
            let error = late.wait().unwrap_err();
            assert_eq!(
                (error.kind(), error.message()),
                (ErrorKind::Timeout, "the timeout of the model's queue passed")
            );
        }
        gate.open();
        assert_eq!(runs.wait().unwrap().slice::<f32>("y").unwrap(), answer(0.0));
        assert_eq!(model.statistics().unwrap().expired_count, 3);
    });
}

#[test]
fn a_request_that_has_left_the_queue_in_time_still_has_its_own_deadline() {
    finishes(|| {
        let (gate, (clock, server)) = (Gate::new(), server());
        let model = server.register_model(doubling("m").default_timeout_us(2_000), gated(&gate)).unwrap();
        let runs = model.infer_async(ask(0.0).timeout(5 * MS)).unwrap();
        gate.await_come(1);
        clock.advance(past(4));
        assert!(!runs.is_ready());
        clock.advance(past(1));
        assert_eq!(runs.wait().unwrap_err().message(), "the deadline passed");
        gate.open();
    });
}

#[test]
fn a_deadline_in_the_past_is_refused_at_once_and_the_request_given_back() {
    let (manual, system) = (server().1, ServerHandle::builder().start().unwrap());
    for server in [manual, system] {
        let model = server.register_model(doubling("m"), double).unwrap();
        let past = Instant::now().checked_sub(MS).unwrap();
        for late in [ask(1.0).deadline(past), ask(1.0).timeout(Duration::ZERO)] {
            let refused = model.infer_async(late).unwrap_err();
            assert_eq!(refused.error.kind(), ErrorKind::Timeout);
            let again = refused.request.timeout(1000 * MS);
            assert_eq!(model.infer(again).unwrap().slice::<f32>("y").unwrap(), answer(1.0));
        }
        assert_eq!(model.infer(ask(1.0).deadline(past)).unwrap_err().kind(), ErrorKind::Timeout);
        let called = |_| panic!("a refused request's callback is never called");
        let refused = model.infer_callback(ask(1.0).deadline(past), called).unwrap_err();
        assert_eq!(refused.error.kind(), ErrorKind::Timeout);
        assert_eq!(model.statistics().unwrap().expired_count, 4);
    }
}

#[test]
fn a_running_request_that_owns_its_inputs_is_answered_while_the_backend_still_holds_it() {
    finishes(|| {
        let (gate, (clock, server)) = (Gate::new(), server());
        let model = server.register_model(doubling("m"), gated(&gate)).unwrap();
        let running = model.infer_async(ask(1.0).timeout(5 * MS)).unwrap();
        gate.await_come(1);
        clock.advance(past(5));
        assert_eq!(running.wait().unwrap_err().kind(), ErrorKind::Timeout);
        gate.open();
        assert_eq!(model.infer(ask(2.0)).unwrap().slice::<f32>("y").unwrap(), answer(2.0));
        let statistics = model.statistics().unwrap();
        assert_eq!((statistics.expired_count, statistics.success.count), (1, 1));
    });
}

#[test]
fn a_running_request_that_borrows_is_answered_when_the_backend_lets_go_and_the_backend_can_see_why() {
    finishes(|| {
        let (gate, (clock, server)) = (Gate::new(), server());
        let (send, unwanted) = mpsc::channel();
        let (held, send) = (gate.clone(), std::sync::Mutex::new(send));
        let model = server
            .register_model(doubling("m").caller_runs(CallerRuns::Never), move |batch| {
                held.pass();
                send.lock().unwrap().send(batch.request(0).cancelled()).unwrap();
                double(batch)
            })
            .unwrap();
        let waiting = model.clone();
        let caller = std::thread::spawn(move || {
            let (x, mut y) = ([1.0f32, 2.0], [0.0f32; 2]);
            let request = Request::new().input("x", Input::from_slice(&x, [1, 2]).unwrap()).output_into("y", &mut y);
            let outcome = waiting.infer(request.timeout(MS)).map(|_| ());
            (outcome, y)
        });
        gate.await_come(1);
        // The second one's timeout shows that the timekeeper has passed the first one's deadline.
        let second = model.infer_async(ask(1.0).timeout(2 * MS)).unwrap();
        clock.advance(past(2));
        assert_eq!(second.wait().unwrap_err().kind(), ErrorKind::Timeout);
        assert!(!caller.is_finished());
        gate.open();
        assert!(receive(&unwanted));
        assert_eq!(caller.join().unwrap(), (Ok(()), [2.0, 4.0]));
    });
}

#[test]
fn a_backend_that_gives_a_late_request_up_answers_timeout_and_a_cancelled_one_cancelled() {
    finishes(|| {
        let (clock, server) = server();
        let given_up = clock.clone();
        let model = server
            .register_model(doubling("m"), move |_batch| {
                // The caller runs it, so that nobody else answers first.
                given_up.advance(past(1));
                Err::<(), _>(inferlay::Error::new(ErrorKind::Cancelled, "nobody wants it"))
            })
            .unwrap();
        assert_eq!(model.infer(ask(1.0).timeout(MS)).unwrap_err().kind(), ErrorKind::Timeout);
        assert_eq!(model.infer(ask(1.0)).unwrap_err().kind(), ErrorKind::Cancelled);
        assert_eq!(model.infer(ask(1.0).timeout(100 * MS)).unwrap_err().kind(), ErrorKind::Cancelled);
    });
}

#[test]
fn an_execution_past_its_timeout_makes_the_model_unavailable_and_answers_what_waits() {
    finishes(|| {
        let (gate, (clock, server)) = (Gate::new(), server());
        let stuck = server.register_model(doubling("stuck").execution_timeout_us(1_000), gated(&gate)).unwrap();
        let other = server.register_model(doubling("other"), double).unwrap();
        let running = stuck.infer_async(ask(1.0)).unwrap();
        gate.await_come(1);
        let queued = stuck.infer_async(ask(2.0)).unwrap();
        assert!(stuck.is_ready() && server.is_ready());
        clock.advance(past(1));
        let error = running.wait().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout);
        assert!(error.message().contains("model 'stuck' version 1") && error.message().contains("execution_timeout"));
        assert_eq!(queued.wait().unwrap_err().kind(), ErrorKind::Unavailable);
        assert!(!stuck.is_ready() && !server.is_ready() && server.is_live() && other.is_ready());
        let status = server.models().into_iter().find(|status| status.name == "stuck").unwrap();
        assert_eq!(status.state, ModelState::Unavailable);
        assert!(status.reason.contains("execution_timeout"), "{}", status.reason);
        assert_eq!(stuck.infer(ask(3.0)).unwrap_err().kind(), ErrorKind::Unavailable);
        assert!(other.infer(ask(1.0)).is_ok());
        gate.open();
        server.stop(1000 * MS).unwrap();
    });
}

#[test]
fn a_backend_on_the_callers_thread_hears_of_the_execution_timeout_and_of_a_stop() {
    for is_stopped in [false, true] {
        finishes(move || {
            let (clock, server) = server();
            let (send, begun) = mpsc::channel();
            let send = std::sync::Mutex::new(send);
            let own = clock.clone();
            let function = move |batch: &inferlay::ModelBatch<'_>| {
                if !is_stopped {
                    own.advance(past(1));
                }
                send.lock().unwrap().send(()).unwrap();
                while !batch.request(0).cancelled() {
                    std::thread::yield_now();
                }
                Err::<(), _>(inferlay::Error::new(ErrorKind::Cancelled, "nobody wants it"))
            };
            let model = server.register_model(doubling("m").execution_timeout_us(1_000), function).unwrap();
            let caller = std::thread::spawn(move || model.infer(ask(1.0)).unwrap_err().kind());
            receive(&begun);
            if is_stopped {
                assert_eq!(server.stop(Duration::ZERO).unwrap_err().kind(), ErrorKind::Timeout);
            }
            let expected = if is_stopped { ErrorKind::Unavailable } else { ErrorKind::Timeout };
            assert_eq!(caller.join().unwrap(), expected);
        });
    }
}

#[test]
fn an_execution_within_its_timeout_changes_nothing() {
    finishes(|| {
        let (gate, (clock, server)) = (Gate::new(), server());
        let model = server.register_model(doubling("m").execution_timeout_us(1_000), gated(&gate)).unwrap();
        for turn in 1..5 {
            let running = model.infer_async(ask(1.0)).unwrap();
            gate.await_come(turn);
            clock.advance(MS - Duration::from_nanos(1));
            gate.admit(1);
            assert!(running.wait().is_ok() && model.is_ready());
        }
    });
}
