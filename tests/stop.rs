//! Stopping: drains what it can in its time, answers the rest, leaves no thread in user code, and never waits for itself.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may unwrap")]

mod common;

use common::{Gate, answer, ask, batching, double, doubling, eventually, finishes, gated, receive};
use inferlay::{CallerRuns, ErrorKind, Input, ManualClock, ModelState, Request, ServerHandle};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

const LONG: Duration = Duration::from_secs(3600);

#[test]
fn a_stop_drains_what_waits_without_its_delays_and_then_refuses() {
    finishes(|| {
        let server = ServerHandle::builder().manual_clock(&ManualClock::new()).start().unwrap();
        let model = server.register_model(batching("m", 1_000_000), double).unwrap();
        let futures: Vec<_> = (0..5).map(|i| model.infer_async(ask(i as f32)).unwrap()).collect();
        server.stop(LONG).unwrap();
        for (i, future) in futures.into_iter().enumerate() {
            assert_eq!(future.wait().unwrap().slice::<f32>("y").unwrap(), answer(i as f32));
        }
        let cuts = model.statistics().unwrap().cuts;
        assert!(cuts.keys().all(|cut| *cut == "drain"), "{cuts:?}");
        assert!(!server.is_live() && !server.is_ready() && !model.is_ready());
        assert!(server.models().iter().all(|status| status.state == ModelState::Unavailable));
        let refused = model.infer_async(ask(7.0)).unwrap_err();
        assert_eq!(refused.error.kind(), ErrorKind::Unavailable);
        let callback = |_| panic!("called after the stop");
        assert_eq!(model.infer_callback(refused.request, callback).unwrap_err().error.kind(), ErrorKind::Unavailable);
        assert_eq!(model.infer(ask(7.0)).unwrap_err().kind(), ErrorKind::Unavailable);
        assert_eq!(server.register_model(doubling("n"), double).unwrap_err().kind(), ErrorKind::Unavailable);
        server.stop(LONG).unwrap();
        assert_eq!(server.workers_len(), 0);
    });
}

#[test]
fn when_the_time_is_up_the_rest_is_answered_and_the_stuck_instance_left_alone() {
    finishes(|| {
        let (gate, server) = (Gate::new(), ServerHandle::builder().start().unwrap());
        let model = server.register_model(doubling("stuck"), gated(&gate)).unwrap();
        let fine = server.register_model(doubling("fine"), double).unwrap();
        let running = model.infer_async(ask(1.0)).unwrap();
        gate.await_come(1);
        let queued = model.infer_async(ask(2.0)).unwrap();
        let (send, called) = mpsc::channel();
        model.infer_callback(ask(3.0), move |outcome| send.send(outcome.unwrap_err().kind()).unwrap()).unwrap();
        let error = server.stop(Duration::from_millis(1)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout);
        assert!(error.message().contains("model 'stuck' version 1") && !error.message().contains("fine"), "{error}");
        assert!(running.is_ready() && queued.is_ready());
        assert_eq!(called.try_recv(), Ok(ErrorKind::Unavailable));
        let error = running.wait().unwrap_err();
        assert!(error.message().contains("while the backend was executing"), "{error}");
        assert!(queued.wait().unwrap_err().message().contains("before the request was run"));
        assert_eq!(fine.infer(ask(1.0)).unwrap_err().kind(), ErrorKind::Unavailable);
        assert_eq!(server.workers_len(), 1);
        // Its instance is gone for good: there is nothing left to wait for.
        server.stop(Duration::MAX).unwrap();
        gate.open();
        eventually("the worker ends when its backend returns", || server.workers_len() == 0);
        assert_eq!(gate.come(), 1);
    });
}

#[test]
fn a_borrow_outlives_a_stop_until_the_backend_lets_go() {
    for caller_runs in [CallerRuns::Never, CallerRuns::OwnRequest, CallerRuns::Batch] {
        finishes(move || {
            let (gate, server) = (Gate::new(), ServerHandle::builder().start().unwrap());
            let model = server.register_model(doubling("m").caller_runs(caller_runs), gated(&gate)).unwrap();
            let caller = thread::spawn(move || {
                let (x, mut y) = ([1.0f32, 2.0], [0.0f32; 2]);
                let request = Request::new().input("x", Input::from_slice(&x, [1, 2]).unwrap());
                let outcome = model.infer(request.output_into("y", &mut y)).map(|_| ());
                (outcome, y)
            });
            gate.await_come(1);
            assert_eq!(server.stop(Duration::ZERO).unwrap_err().kind(), ErrorKind::Timeout);
            assert!(!caller.is_finished());
            gate.open();
            assert_eq!(caller.join().unwrap(), (Ok(()), [2.0, 4.0]));
        });
    }
}

#[test]
fn no_callback_runs_after_a_stop() {
    for turn in 0..200u64 {
        finishes(move || {
            let server = ServerHandle::builder().start().unwrap();
            let caller_runs = [CallerRuns::Never, CallerRuns::OwnRequest, CallerRuns::Batch][turn as usize % 3];
            let model = server.register_model(batching("m", 0).caller_runs(caller_runs), double).unwrap();
            let (stopped, late, calls) =
                (Arc::new(AtomicBool::new(false)), Arc::<AtomicU64>::default(), mpsc::channel());
            let submitter = {
                let (model, stopped, late) = (model.clone(), stopped.clone(), late.clone());
                thread::spawn(move || {
                    let mut taken = 0;
                    for i in 0..50 {
                        let (stopped, late, send) = (stopped.clone(), late.clone(), calls.0.clone());
                        let callback = move |_| {
                            late.fetch_add(u64::from(stopped.load(Ordering::SeqCst)), Ordering::SeqCst);
                            send.send(()).unwrap();
                        };
                        taken += usize::from(model.infer_callback(ask(1.0), callback).is_ok());
                        if i % 8 == 0 {
                            let _may_be_refused = model.infer(ask(1.0));
                        }
                    }
                    drop(calls.0);
                    (taken, calls.1.iter().count())
                })
            };
            eventually("some were submitted", || model.statistics().unwrap().success.count > turn % 20);
            let _some_may_be_left = server.stop(Duration::from_micros(turn % 5 * 20));
            stopped.store(true, Ordering::SeqCst);
            let (taken, called) = submitter.join().unwrap();
            assert_eq!((taken, late.load(Ordering::SeqCst)), (called, 0));
        });
    }
}

#[test]
fn a_stop_beside_callers_who_run_their_own_requests_answers_them() {
    for turn in 0..200 {
        finishes(move || {
            let server = ServerHandle::builder().start().unwrap();
            let model = server.register_model(doubling("m").instances(2), double).unwrap();
            let callers: Vec<_> = (0..2)
                .map(|_| {
                    let model = model.clone();
                    thread::spawn(move || {
                        let mut count = 0;
                        while model
                            .infer(ask(1.0))
                            .map_err(|error| assert_eq!(error.kind(), ErrorKind::Unavailable))
                            .is_ok()
                        {
                            count += 1;
                        }
                        count
                    })
                })
                .collect();
            eventually("they run", || model.statistics().unwrap().execution_count > turn % 7);
            let _some_may_be_left = server.stop(Duration::ZERO);
            assert!(callers.into_iter().map(|caller| caller.join().unwrap()).sum::<u64>() > 0);
        });
    }
}

#[test]
fn a_server_cannot_be_stopped_from_inside_a_callback_or_an_execution() {
    finishes(|| {
        let server = ServerHandle::builder().start().unwrap();
        let (send, kinds) = mpsc::channel();
        let (inner, sender) = (server.clone(), std::sync::Mutex::new(send.clone()));
        let handles = std::sync::Mutex::new(Some(server.clone()));
        let model = server
            .register_model(doubling("m"), move |batch| {
                // Taken out, so that the model does not keep its own server alive.
                if let Some(server) = handles.lock().unwrap().take() {
                    let sender = sender.lock().unwrap();
                    sender.send(server.stop(LONG).unwrap_err().kind()).unwrap();
                    sender.send(server.remove_model("m", LONG).unwrap_err().kind()).unwrap();
                    sender.send(server.infer("m", ask(1.0)).unwrap_err().kind()).unwrap();
                }
                double(batch)
            })
            .unwrap();
        let callback = move |_| {
            send.send(inner.stop(LONG).unwrap_err().kind()).unwrap();
            send.send(inner.remove_model("m", LONG).unwrap_err().kind()).unwrap();
            send.send(inner.infer_async("m", ask(1.0)).unwrap().wait().unwrap_err().kind()).unwrap();
        };
        model.infer_callback(ask(1.0), callback).unwrap();
        for _ in 0..6 {
            assert_eq!(receive(&kinds), ErrorKind::FailedPrecondition);
        }
        assert!(model.infer(ask(1.0)).is_ok());
        server.stop(LONG).unwrap();
    });
}

#[test]
fn the_last_handle_may_go_inside_a_callback() {
    for (caller_runs, cancelled) in [(CallerRuns::Never, false), (CallerRuns::Batch, false), (CallerRuns::Never, true)]
    {
        finishes(move || {
            let (gate, server) = (Gate::new(), ServerHandle::builder().start().unwrap());
            let model = server.register_model(doubling("m").caller_runs(caller_runs), gated(&gate)).unwrap();
            let pending = model.infer_async(ask(1.0)).unwrap();
            gate.await_come(1);
            let token = inferlay::CancelToken::new();
            let (send, gone) = mpsc::channel();
            let (go, may_go) = mpsc::channel::<()>();
            let last = (model.clone(), server.clone());
            let callback = move |_| {
                may_go.recv().unwrap();
                drop(last);
                send.send(()).unwrap();
            };
            model.infer_callback(ask(2.0).cancel_with(&token), callback).unwrap();
            let behind = model.infer_async(ask(3.0)).unwrap();
            if cancelled {
                token.cancel();
            } else {
                gate.admit(2);
            }
            drop((model, server));
            go.send(()).unwrap();
            receive(&gone);
            assert_eq!(pending.wait().is_ok(), !cancelled);
            gate.open();
            let _either_way = behind.wait();
        });
    }
}

#[test]
fn dropping_the_handles_drains_what_was_submitted() {
    finishes(|| {
        let server = ServerHandle::builder().start().unwrap();
        let model = server.register_model(batching("m", 0), double).unwrap();
        let futures: Vec<_> = (0..50).map(|i| model.infer_async(ask(i as f32)).unwrap()).collect();
        drop((server, model));
        for (i, future) in futures.into_iter().enumerate() {
            assert_eq!(future.wait().unwrap().slice::<f32>("y").unwrap(), answer(i as f32));
        }
    });
}

#[test]
fn two_servers_in_one_process_do_not_know_of_each_other() {
    finishes(|| {
        let servers = [0.0f32, 1.0].map(|bias| {
            let server = ServerHandle::builder().start().unwrap();
            let function = move |batch: &inferlay::ModelBatch<'_>| {
                let x = batch.input("x")?.as_slice::<f32>()?;
                let y = batch.output("y", [batch.rows(), 2])?.as_mut_slice::<f32>()?;
                y.iter_mut().zip(x).for_each(|(y, x)| *y = x + bias);
                Ok(())
            };
            let model = server.register_model(doubling("m"), function).unwrap();
            (server, model)
        });
        let infer = |index: usize| {
            let future = servers[index].1.infer_async(ask(1.0)).map_err(|refused| refused.error.kind())?;
            Ok::<_, ErrorKind>(future.wait().unwrap().slice::<f32>("y").unwrap()[0])
        };
        assert_eq!((infer(0).unwrap(), infer(1).unwrap()), (1.0, 2.0));
        servers[0].0.stop(LONG).unwrap();
        assert_eq!(infer(0).unwrap_err(), ErrorKind::Unavailable);
        assert_eq!(infer(1).unwrap(), 2.0);
    });
}

#[test]
fn a_handle_finds_what_serves_under_its_name_now() {
    finishes(|| {
        let server = ServerHandle::builder().start().unwrap();
        let old = server.register_model(doubling("m"), double).unwrap();
        let taken = server.register_model(doubling("m"), double).unwrap_err();
        assert_eq!((taken.kind(), taken.message()), (ErrorKind::AlreadyExists, "model 'm' is there already"));
        assert_eq!(old.infer(ask(1.0)).unwrap().slice::<f32>("y").unwrap(), answer(1.0));
        server.remove_model("m", LONG).unwrap();
        assert!(!old.is_ready() && server.models().is_empty());
        assert_eq!(old.infer(ask(1.0)).unwrap_err().kind(), ErrorKind::Unavailable);
        let tripling = |batch: &inferlay::ModelBatch<'_>| {
            let x = batch.input("x")?.as_slice::<f32>()?;
            let y = batch.output("y", [batch.rows(), 2])?.as_mut_slice::<f32>()?;
            y.iter_mut().zip(x).for_each(|(y, x)| *y = 3.0 * x);
            Ok(())
        };
        server.register_model(doubling("m"), tripling).unwrap();
        assert!(old.is_ready());
        for _ in 0..2 {
            assert_eq!(old.infer(ask(1.0)).unwrap().slice::<f32>("y").unwrap(), [3.0, 4.5]);
        }
        assert_eq!(old.statistics().unwrap().success.count, 2);
    });
}

#[test]
fn a_model_that_is_removed_while_it_is_stuck_does_not_keep_the_server_from_stopping() {
    finishes(|| {
        let (gate, server) = (Gate::new(), ServerHandle::builder().start().unwrap());
        let model = server.register_model(doubling("m"), gated(&gate)).unwrap();
        let running = model.infer_async(ask(1.0)).unwrap();
        gate.await_come(1);
        assert_eq!(server.remove_model("m", Duration::ZERO).unwrap_err().kind(), ErrorKind::Timeout);
        assert_eq!(running.wait().unwrap_err().kind(), ErrorKind::Unavailable);
        server.stop(LONG).unwrap();
        gate.open();
    });
}

#[test]
fn a_stop_does_not_wait_longer_because_a_model_is_removed_beside_it() {
    finishes(|| {
        let (gate, server) = (Gate::new(), ServerHandle::builder().start().unwrap());
        let model = server.register_model(doubling("m"), gated(&gate)).unwrap();
        let running = model.infer_async(ask(1.0)).unwrap();
        gate.await_come(1);
        let remover = thread::spawn({
            let server = server.clone();
            move || server.remove_model("m", Duration::MAX).unwrap_err().kind()
        });
        let is_leaving =
            |server: &ServerHandle| server.models().iter().all(|status| status.state == ModelState::Unloading);
        eventually("it is on its way out", || is_leaving(&server));
        let _the_remover_may_have_ended_it = server.stop(Duration::ZERO);
        assert_eq!(remover.join().unwrap(), ErrorKind::Timeout);
        assert_eq!(running.wait().unwrap_err().kind(), ErrorKind::Unavailable);
        gate.open();
    });
}

#[test]
fn models_can_be_removed_side_by_side() {
    finishes(|| {
        let (gate, server) = (Gate::new(), ServerHandle::builder().start().unwrap());
        let names: Vec<_> = (0..4).map(|i| format!("m{i}")).collect();
        let futures: Vec<_> = names
            .iter()
            .map(|name| server.register_model(doubling(name), gated(&gate)).unwrap().infer_async(ask(1.0)).unwrap())
            .collect();
        gate.await_come(4);
        let removers: Vec<_> = names
            .into_iter()
            .map(|name| (server.clone(), name))
            .map(|(server, name)| thread::spawn(move || server.remove_model(&name, LONG)))
            .collect();
        let is_leaving =
            |server: &ServerHandle| server.models().iter().all(|status| status.state == ModelState::Unloading);
        eventually("all are on their way out", || is_leaving(&server));
        gate.open();
        removers.into_iter().for_each(|remover| remover.join().unwrap().unwrap());
        futures.into_iter().for_each(|future| drop(future.wait().unwrap()));
    });
}
