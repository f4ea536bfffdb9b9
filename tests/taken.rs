//! Requests that a backend takes out of their batch and answers later, from another thread, or never; and where backends
//! with needs of their own are run.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may unwrap")]

mod common;

use common::custom::Custom;
use common::{Folder, Gate, PATIENCE, answer, ask, eventually, finishes, receive};
use inferlay::{CancelToken, Error, ErrorKind, Input, ManualClock, ModelHandle, Request, ServerHandle, Tensor};
use inferlay_backend_sdk::{Attributes, Batch, Placement, Release, Request as Taken, ResponseFlags};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::{self, ThreadId};
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);

const CONFIG: &str = "
backend: custom
max_batch_size: 4
input: {name: x, data_type: TYPE_FP32, dims: [2]}
output: {name: y, data_type: TYPE_FP32, dims: [2]}
";

/// A server with one model `m` of a custom backend.
fn served(clock: &ManualClock, config: &str, backend: Custom) -> (ServerHandle, ModelHandle) {
    let folder = Folder::with(&[("m/config.yaml", &format!("{CONFIG}{config}"))]);
    let builder = ServerHandle::builder().manual_clock(clock).repository(folder.path()).strict();
    let server = builder.backend(Arc::new(backend)).start().unwrap();
    let model = server.model("m").unwrap();
    (server, model)
}

/// A backend that hands everything it takes to the test.
fn taking(in_flight_max: usize) -> (Custom, mpsc::Receiver<Taken>) {
    let (send, taken) = mpsc::channel();
    let send = Mutex::new(send);
    let execute = move |batch: &dyn Batch| {
        for index in 0..batch.len() {
            send.lock().unwrap().send(batch.take(index)?).unwrap();
        }
        Ok(())
    };
    let attributes = Attributes::CALLER_OK | Attributes::PARALLEL_LOAD;
    (Custom { attributes, in_flight_max, execute: Arc::new(execute) }, taken)
}

fn doubled(taken: &Taken) -> Tensor {
    let x = taken.info().input(0).unwrap();
    let y = x.as_slice::<f32>().unwrap().iter().map(|x| 2.0 * x).collect();
    Tensor::from_vec(y, x.shape().clone()).unwrap()
}

fn respond(taken: &Taken) {
    taken.responder().respond([(0, doubled(taken))]).unwrap();
}

#[test]
fn an_instance_that_is_lost_while_it_is_free_is_given_nothing() {
    finishes(|| {
        let (backend, taken) = taking(2);
        let (_server, model) = served(&ManualClock::new(), "", backend);
        let first = model.infer_async(ask(1.0)).unwrap();
        let request = receive(&taken);
        eventually("it may take another", || model.statistics().unwrap().execution_count == 1);
        request.responder().fail(Error::new(ErrorKind::InstanceLost, "the worker process ended"));
        assert_eq!(first.wait().unwrap_err().kind(), ErrorKind::Unavailable);
        let error = model.infer(ask(1.0)).unwrap_err();
        assert!(error.message().contains("the worker process ended"), "{error}");
        assert!(taken.try_recv().is_err() && !model.is_ready());
    });
}

#[test]
fn the_execution_timeout_goes_on_until_what_was_taken_is_answered() {
    finishes(|| {
        let (clock, (backend, taken)) = (ManualClock::new(), taking(8));
        let (server, model) = served(&clock, "execution_timeout_microseconds: 1000", backend);
        let in_time = model.infer_async(ask(1.0)).unwrap();
        respond(&receive(&taken));
        in_time.wait().unwrap();
        eventually("the worker is back", || model.statistics().unwrap().execution_count == 1);
        clock.advance(2 * MS);
        assert!(model.is_ready());
        let late = model.infer_async(ask(2.0)).unwrap();
        let request = receive(&taken);
        clock.advance(2 * MS);
        assert_eq!(late.wait().unwrap_err().kind(), ErrorKind::Timeout);
        assert!(request.info().cancelled() && !model.is_ready());
        respond(&request);
        drop(request);
        server.stop(PATIENCE).unwrap();
    });
}

#[test]
fn a_token_cancels_a_blocking_call_whose_request_was_taken_on_its_own_thread() {
    finishes(|| {
        let (backend, taken) = taking(8);
        let (_server, model) = served(&ManualClock::new(), "", backend);
        let token = CancelToken::new();
        let caller = thread::spawn({
            let (model, token) = (model.clone(), token.clone());
            move || model.infer(ask(1.0).cancel_with(&token)).map(drop)
        });
        let request = receive(&taken);
        assert!(!request.info().cancelled());
        token.cancel();
        assert_eq!(caller.join().unwrap().unwrap_err().kind(), ErrorKind::Cancelled);
        assert!(request.info().cancelled());
        // Too late for anybody to hear.
        respond(&request);
    });
}

#[test]
fn requests_are_answered_later_out_of_order_and_from_another_thread() {
    finishes(|| {
        let (backend, taken) = taking(8);
        let (server, model) = served(&ManualClock::new(), "", backend);
        let futures: Vec<_> = (0..6).map(|i| model.infer_async(ask(i as f32)).unwrap()).collect();
        let mut requests: Vec<_> = (0..6).map(|_| receive(&taken)).collect();
        assert!(futures.iter().all(|future| !future.is_ready()));
        thread::spawn(move || {
            requests.reverse();
            requests.iter().for_each(respond);
        })
        .join()
        .unwrap();
        for (i, future) in futures.into_iter().enumerate() {
            assert_eq!(future.wait().unwrap().slice::<f32>("y").unwrap(), answer(i as f32));
        }
        server.stop(PATIENCE).unwrap();
        let statistics = model.statistics().unwrap();
        assert_eq!((statistics.success.count, statistics.inference_count, statistics.execution_count), (6, 6, 6));
    });
}

#[test]
fn a_responder_answers_once_and_one_that_goes_without_an_answer_answers_with_an_error() {
    finishes(|| {
        let (backend, taken) = taking(8);
        let (_server, model) = served(&ManualClock::new(), "", backend);
        let last = ResponseFlags { last: true };
        type Row = (&'static str, fn(Taken), Result<(), ErrorKind>);
        let rows: [Row; 7] = [
            (
                "released, then answered",
                |taken| {
                    let (responder, y) = (taken.responder(), doubled(&taken));
                    taken.release(Release::Done);
                    responder.respond([(0, y)]).unwrap();
                },
                Ok(()),
            ),
            (
                "answered twice",
                |taken| {
                    let responder = taken.responder();
                    responder.send([(0, doubled(&taken))], ResponseFlags { last: true }).unwrap();
                    let error = responder.send([(0, doubled(&taken))], ResponseFlags { last: true }).unwrap_err();
                    assert_eq!(error.kind(), ErrorKind::FailedPrecondition);
                    responder.fail(Error::internal("too late"));
                },
                Ok(()),
            ),
            ("released without an answer", drop, Err(ErrorKind::Internal)),
            (
                "all responders dropped",
                |taken| {
                    let responders = [taken.responder(), taken.responder()];
                    drop(taken);
                    drop(responders);
                },
                Err(ErrorKind::Internal),
            ),
            ("failed", |taken| taken.responder().fail(Error::unavailable("no more")), Err(ErrorKind::Unavailable)),
            ("rescheduled", |taken| taken.release(Release::Reschedule), Err(ErrorKind::Unsupported)),
            (
                "of the wrong shape",
                |taken| {
                    let wrong = Tensor::from_vec(vec![0f32; 3], [1, 3]).unwrap();
                    assert_eq!(taken.responder().respond([(0, wrong)]).unwrap_err().kind(), ErrorKind::InvalidArg);
                },
                Err(ErrorKind::InvalidArg),
            ),
        ];
        assert!(last.last);
        for (what, act, expected) in rows {
            let future = model.infer_async(ask(1.0)).unwrap();
            act(receive(&taken));
            let outcome = future.wait().map(|_| ()).map_err(|error| error.kind());
            assert_eq!(outcome, expected, "{what}");
        }
    });
}

#[test]
fn an_answer_without_a_wanted_output_is_an_error() {
    finishes(|| {
        let (backend, taken) = taking(8);
        let (_server, model) = served(&ManualClock::new(), "", backend);
        let future = model.infer_async(ask(1.0)).unwrap();
        assert_eq!(receive(&taken).responder().respond([]).unwrap_err().kind(), ErrorKind::Internal);
        let error = future.wait().unwrap_err();
        assert!(error.message().contains("did not answer output 'y'"), "{error}");
    });
}

#[test]
fn an_instance_gets_no_more_batches_than_it_wants_in_flight() {
    finishes(|| {
        let (backend, taken) = taking(2);
        let (_server, model) = served(&ManualClock::new(), "", backend);
        let futures: Vec<_> = (0..5).map(|i| model.infer_async(ask(i as f32)).unwrap()).collect();
        let mut held = vec![receive(&taken), receive(&taken)];
        for next in 2..5 {
            // Both batches are in flight, so the statistics cannot show a third until one is answered.
            eventually("two were sent", || model.statistics().unwrap().execution_count == next);
            assert!(taken.try_recv().is_err());
            let oldest = held.remove(0);
            respond(&oldest);
            drop(oldest);
            held.push(receive(&taken));
        }
        held.iter().for_each(respond);
        drop(held);
        for (i, future) in futures.into_iter().enumerate() {
            assert_eq!(future.wait().unwrap().slice::<f32>("y").unwrap(), answer(i as f32));
        }
    });
}

#[test]
fn a_deadline_and_a_cancel_answer_for_a_backend_that_has_taken_the_request() {
    finishes(|| {
        let clock = ManualClock::new();
        let (backend, taken) = taking(8);
        let (server, model) = served(&clock, "", backend);
        let late = model.infer_async(ask(1.0).timeout(MS)).unwrap();
        let unwanted = model.infer_async(ask(2.0)).unwrap();
        let requests = [receive(&taken), receive(&taken)];
        // The instance is back: what it does from now on, the backend does by itself.
        eventually("both are in flight", || model.statistics().unwrap().execution_count == 2);
        assert!(!requests[0].info().cancelled());
        clock.advance(2 * MS);
        assert_eq!(late.wait().unwrap_err().kind(), ErrorKind::Timeout);
        unwanted.cancel();
        assert_eq!(unwanted.wait().unwrap_err().kind(), ErrorKind::Cancelled);
        assert!(requests.iter().all(|taken| taken.responder().cancelled()));
        requests.iter().for_each(respond);
        drop(requests);
        server.stop(PATIENCE).unwrap();
        let sums = model.statistics().unwrap();
        assert_eq!((sums.success.count, sums.fail.count, sums.expired_count, sums.cancelled_count), (0, 0, 1, 1));
    });
}

#[test]
fn what_a_waiting_caller_lent_is_read_from_a_copy_and_written_with_the_answer() {
    finishes(|| {
        let clock = ManualClock::new();
        let (backend, taken) = taking(8);
        let (_server, model) = served(&clock, "", backend);
        let caller = thread::spawn(move || {
            let (mut x, mut y) = ([1.0f32, 2.0], [0.0f32; 2]);
            let input = || Input::from_slice(&x, [1, 2]).unwrap();
            model.infer(Request::new().input("x", input()).output_into("y", &mut y)).unwrap();
            // Only an input is lent: its release does not wait for the backend, so the deadline answers.
            let error = model.infer(Request::new().input("x", input()).timeout(MS)).unwrap_err();
            x.fill(0.0);
            (error.kind(), y)
        });
        let lent = receive(&taken);
        respond(&lent);
        let late = receive(&taken);
        clock.advance(2 * MS);
        assert_eq!(caller.join().unwrap(), (ErrorKind::Timeout, [2.0, 4.0]));
        assert_eq!(late.info().input(0).unwrap().as_slice::<f32>().unwrap(), [1.0, 2.0]);
    });
}

#[test]
fn a_stop_answers_for_a_backend_that_never_does() {
    finishes(|| {
        let clock = ManualClock::new();
        let (backend, taken) = taking(8);
        let (server, model) = served(&clock, "", backend);
        let future = model.infer_async(ask(1.0)).unwrap();
        let (send, called) = mpsc::channel();
        model.infer_callback(ask(2.0), move |outcome| send.send(outcome.unwrap_err().kind()).unwrap()).unwrap();
        let requests = [receive(&taken), receive(&taken)];
        let error = server.stop(Duration::ZERO).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout);
        assert!(error.message().contains("model 'm' version 1"), "{error}");
        assert_eq!(future.wait().unwrap_err().kind(), ErrorKind::Unavailable);
        assert_eq!(called.try_recv(), Ok(ErrorKind::Unavailable));
        // Late answers go nowhere.
        requests.iter().for_each(|taken| drop(taken.responder().respond([(0, doubled(taken))])));
        drop((model, server));
        drop(requests);
    });
}

fn observed(threads: &Arc<Mutex<Vec<ThreadId>>>, gate: &Gate, attributes: Attributes) -> Custom {
    let (threads, gate) = (threads.clone(), gate.clone());
    let execute = move |batch: &dyn Batch| {
        threads.lock().unwrap().push(thread::current().id());
        gate.pass();
        let x = batch.input(0, Placement::HOST)?;
        let y = x.as_slice::<f32>()?.iter().map(|x| 2.0 * x).collect();
        batch.output(0, Tensor::from_vec(y, x.shape().clone())?)
    };
    Custom { attributes, in_flight_max: 1, execute: Arc::new(execute) }
}

#[test]
fn a_backend_that_needs_its_own_thread_is_always_run_on_one_per_instance() {
    finishes(|| {
        let (threads, gate) = (Arc::default(), Gate::new());
        gate.open();
        let attributes = Attributes::CALLER_OK | Attributes::INSTANCE_THREAD;
        let (server, model) = served(&ManualClock::new(), "", observed(&threads, &gate, attributes));
        let callers: Vec<_> = (0..4)
            .map(|_| {
                let model = model.clone();
                thread::spawn(move || {
                    for i in 0..25 {
                        let future = model.infer_async(ask(i as f32)).unwrap();
                        assert_eq!(model.infer(ask(0.5)).unwrap().slice::<f32>("y").unwrap(), answer(0.5));
                        assert_eq!(future.wait().unwrap().slice::<f32>("y").unwrap(), answer(i as f32));
                    }
                })
            })
            .collect();
        let mut foreign: Vec<_> = callers.iter().map(|caller| caller.thread().id()).collect();
        foreign.push(thread::current().id());
        callers.into_iter().for_each(|caller| caller.join().unwrap());
        let threads = threads.lock().unwrap();
        assert_eq!(threads.len(), 200);
        assert!(threads.iter().all(|thread| *thread == threads[0]) && !foreign.contains(&threads[0]));
        server.stop(PATIENCE).unwrap();
    });
}

#[test]
fn each_instance_that_needs_a_thread_has_its_own() {
    finishes(|| {
        let (threads, gate) = (Arc::default(), Gate::new());
        let backend = observed(&threads, &gate, Attributes::INSTANCE_THREAD);
        let (server, model) = served(&ManualClock::new(), "instance_group: {count: 2}", backend);
        let futures: Vec<_> = (0..2).map(|i| model.infer_async(ask(i as f32)).unwrap()).collect();
        gate.await_come(2);
        let seen = threads.lock().unwrap().clone();
        assert_ne!(seen[0], seen[1]);
        gate.open();
        futures.into_iter().for_each(|future| drop(future.wait().unwrap()));
        server.stop(PATIENCE).unwrap();
    });
}

#[test]
fn a_backend_that_does_not_allow_it_is_never_run_on_a_callers_thread() {
    for config in ["", "caller_runs: own_request", "caller_runs: batch"] {
        finishes(move || {
            let (threads, gate) = (Arc::<Mutex<Vec<ThreadId>>>::default(), Gate::new());
            gate.open();
            let backend = observed(&threads, &gate, Attributes::PARALLEL_LOAD);
            let (_server, model) = served(&ManualClock::new(), config, backend);
            for _ in 0..20 {
                model.infer(ask(1.0)).unwrap();
            }
            assert!(!threads.lock().unwrap().contains(&thread::current().id()));
        });
    }
}

#[test]
fn a_backend_that_takes_a_request_and_panics_answers_it_once() {
    finishes(|| {
        let count = Arc::new(AtomicUsize::new(0));
        let counting = count.clone();
        let execute = move |batch: &dyn Batch| {
            counting.fetch_add(1, Ordering::SeqCst);
            let _taken = batch.take(0)?;
            assert_eq!(batch.take(0).unwrap_err().kind(), ErrorKind::FailedPrecondition);
            panic!("after it took one");
        };
        let backend = Custom { attributes: Attributes::CALLER_OK, in_flight_max: 1, execute: Arc::new(execute) };
        let (server, model) = served(&ManualClock::new(), "", backend);
        for turn in 1..4 {
            assert_eq!(model.infer(ask(1.0)).unwrap_err().kind(), ErrorKind::Internal);
            assert_eq!(model.infer_async(ask(1.0)).unwrap().wait().unwrap_err().kind(), ErrorKind::Internal);
            assert_eq!(count.load(Ordering::SeqCst), 2 * turn);
        }
        server.stop(PATIENCE).unwrap();
    });
}
