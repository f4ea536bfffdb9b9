//! Cancelling: by token, by the future, by dropping it; and futures on an executor of a few lines.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may unwrap")]

mod common;

use common::{Gate, PATIENCE, answer, ask, block_on, double, doubling, finishes, gated, receive, x};
use inferlay::{Buffer, CallerRuns, CancelToken, DataType, ErrorKind, Input, Request, ServerHandle, Tensor};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;

/// Counts how often it was woken.
#[derive(Default)]
struct Bell(AtomicUsize);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// An input whose owner the test holds too.
fn watched(value: f32) -> (Arc<Vec<u8>>, Request<'static>) {
    let owner = Arc::new([value.to_le_bytes(), value.to_le_bytes()].concat());
    let tensor = Tensor::new(DataType::Uint8, [1, 8], Buffer::from_arc(owner.clone(), |bytes| bytes)).unwrap();
    (owner, Request::new().input("x", tensor))
}

#[test]
fn a_waiting_request_is_cancelled_at_once_and_its_inputs_let_go() {
    finishes(|| {
        let (gate, server) = (Gate::new(), ServerHandle::builder().start().unwrap());
        let held = gate.clone();
        let config = inferlay::ModelConfig::new("m").input("x", DataType::Uint8, [8]).max_batch_size(4);
        let config = config.output("y", DataType::Uint8, [8]);
        let function = move |batch: &inferlay::ModelBatch<'_>| {
            held.pass();
            batch.output("y", [batch.rows(), 8]).map(drop)
        };
        let model = server.register_model(config, function).unwrap();
        let first = model.infer_async(watched(0.0).1).unwrap();
        gate.await_come(1);
        let ((by_token, one), (by_future, two), (by_drop, three)) = (watched(1.0), watched(2.0), watched(3.0));
        let token = CancelToken::new();
        let one = model.infer_async(one.cancel_with(&token)).unwrap();
        let two = model.infer_async(two).unwrap();
        let three = model.infer_async(three).unwrap();
        assert_eq!(model.statistics().unwrap().queue_len, 3);
        token.cancel();
        two.cancel();
        drop(three);
        for owner in [by_token, by_future, by_drop] {
            assert_eq!(Arc::strong_count(&owner), 1);
        }
        assert_eq!(one.wait().unwrap_err().kind(), ErrorKind::Cancelled);
        assert_eq!(two.wait().unwrap_err().kind(), ErrorKind::Cancelled);
        let statistics = model.statistics().unwrap();
        assert_eq!((statistics.cancelled_count, statistics.queue_len), (3, 0));
        gate.open();
        first.wait().unwrap();
        assert_eq!(gate.come(), 1);
    });
}

#[test]
fn a_running_request_is_cancelled_early_if_it_owns_its_inputs_else_when_the_backend_lets_go() {
    finishes(|| {
        let (gate, server) = (Gate::new(), ServerHandle::builder().start().unwrap());
        let config = doubling("m").instances(2).caller_runs(CallerRuns::Never);
        let model = server.register_model(config, gated(&gate)).unwrap();
        let token = CancelToken::new();
        let owned = model.infer_async(ask(1.0).cancel_with(&token)).unwrap();
        let (waiting, other) = (model.clone(), token.clone());
        let borrower = thread::spawn(move || {
            let values = [1.0f32, 2.0];
            let request = Request::new().input("x", Input::from_slice(&values, [1, 2]).unwrap());
            waiting.infer(request.cancel_with(&other)).map(|response| response.slice::<f32>("y").unwrap().to_vec())
        });
        gate.await_come(2);
        token.cancel();
        assert_eq!(owned.wait().unwrap_err().kind(), ErrorKind::Cancelled);
        assert!(!borrower.is_finished());
        gate.open();
        assert_eq!(borrower.join().unwrap().unwrap(), [2.0, 4.0]);
        let statistics = model.statistics().unwrap();
        assert_eq!((statistics.cancelled_count, statistics.success.count), (1, 1));
    });
}

#[test]
fn a_backend_on_the_callers_thread_sees_the_token_cancelled() {
    finishes(|| {
        let server = ServerHandle::builder().start().unwrap();
        let (token, runner) = (CancelToken::new(), thread::current().id());
        let cancelling = token.clone();
        let function = move |batch: &inferlay::ModelBatch<'_>| {
            assert_eq!(thread::current().id(), runner);
            let before = batch.request(0).cancelled();
            cancelling.cancel();
            let error =
                inferlay::Error::new(ErrorKind::Cancelled, format!("{before} {}", batch.request(0).cancelled()));
            Err::<(), _>(error)
        };
        let model = server.register_model(doubling("m"), function).unwrap();
        let error = model.infer(ask(1.0).cancel_with(&token)).unwrap_err();
        assert_eq!((error.kind(), error.message()), (ErrorKind::Cancelled, "false true"));
        assert_eq!(model.infer(ask(1.0).cancel_with(&token)).unwrap_err().kind(), ErrorKind::Cancelled);
    });
}

#[test]
fn a_token_cancels_what_is_submitted_later_and_many_at_once() {
    finishes(|| {
        let (gate, server) = (Gate::new(), ServerHandle::builder().start().unwrap());
        let model = server.register_model(doubling("m"), gated(&gate)).unwrap();
        let first = model.infer_async(ask(0.0)).unwrap();
        gate.await_come(1);
        let token = CancelToken::new();
        let futures: Vec<_> = (0..8).map(|_| model.infer_async(ask(1.0).cancel_with(&token)).unwrap()).collect();
        let (send, called) = mpsc::channel();
        let callback = move |outcome: Result<_, inferlay::Error>| send.send(outcome.map(|_| ())).unwrap();
        model.infer_callback(ask(1.0).cancel_with(&token), callback.clone()).unwrap();
        token.cancel();
        token.cancel();
        model.infer_callback(ask(1.0).cancel_with(&token), callback).unwrap();
        for future in futures {
            assert_eq!(future.wait().unwrap_err().kind(), ErrorKind::Cancelled);
        }
        for _ in 0..2 {
            assert_eq!(receive(&called).unwrap_err().kind(), ErrorKind::Cancelled);
        }
        assert_eq!(model.infer(ask(1.0).cancel_with(&token)).unwrap_err().kind(), ErrorKind::Cancelled);
        gate.open();
        assert!(first.wait().is_ok());
        assert_eq!(gate.come(), 1);
    });
}

#[test]
fn a_token_does_not_keep_an_answer_alive() {
    let server = ServerHandle::builder().start().unwrap();
    let config = inferlay::ModelConfig::new("m").input("x", DataType::Uint8, [8]).output("y", DataType::Uint8, [8]);
    let output = Arc::new(vec![7u8; 8]);
    let shared = output.clone();
    let function = move |batch: &inferlay::ModelBatch<'_>| {
        let buffer = Buffer::from_arc(shared.clone(), |bytes| bytes);
        batch.set_output("y", Tensor::new(DataType::Uint8, [8], buffer)?)
    };
    let model = server.register_model(config, function).unwrap();
    let token = CancelToken::new();
    let request = Request::new().input("x", Tensor::from_vec(vec![0u8; 8], [8]).unwrap()).cancel_with(&token);
    let response = model.infer(request).unwrap();
    let kept = response.tensor("y").unwrap();
    assert_eq!(Arc::strong_count(&output), 4);
    drop(response);
    assert_eq!(Arc::strong_count(&output), 3);
    drop(kept);
    assert_eq!((Arc::strong_count(&output), token.is_cancelled()), (2, false));
}

#[test]
fn a_future_is_woken_once_by_its_answer_through_the_last_waker() {
    finishes(|| {
        let (gate, server) = (Gate::new(), ServerHandle::builder().start().unwrap());
        let model = server.register_model(doubling("m"), gated(&gate)).unwrap();
        let mut future = pin!(model.infer_async(ask(1.0)).unwrap());
        let (first, last) = (Arc::new(Bell::default()), Arc::new(Bell::default()));
        for bell in [&first, &first, &last, &last] {
            let waker = Waker::from(bell.clone());
            assert!(future.as_mut().poll(&mut Context::from_waker(&waker)).is_pending());
        }
        gate.open();
        common::eventually("it is woken", || last.0.load(Ordering::SeqCst) == 1);
        assert!(future.is_ready());
        let Poll::Ready(outcome) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) else {
            panic!("woken, but not ready");
        };
        assert_eq!(outcome.unwrap().slice::<f32>("y").unwrap(), answer(1.0));
        let Poll::Ready(again) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) else {
            panic!("polled after the end");
        };
        assert_eq!(again.unwrap_err().kind(), ErrorKind::FailedPrecondition);
        assert_eq!((first.0.load(Ordering::SeqCst), last.0.load(Ordering::SeqCst)), (0, 1));
    });
}

#[test]
fn futures_are_awaited_in_any_order_on_any_thread_and_polled_before_they_are_waited_for() {
    finishes(|| {
        let server = ServerHandle::builder().start().unwrap();
        let model = server.register_model(common::batching("m", 0), double).unwrap();
        let futures: Vec<_> = (0..64).map(|i| (i, model.infer_async(ask(i as f32)).unwrap())).collect();
        let threads: Vec<_> = futures
            .into_iter()
            .rev()
            .map(|(i, mut future)| {
                let first = pin!(&mut future).poll(&mut Context::from_waker(Waker::noop()));
                thread::spawn(move || {
                    let response = match first {
                        Poll::Ready(outcome) => outcome.unwrap(),
                        Poll::Pending if i % 2 == 0 => block_on(future).unwrap(),
                        Poll::Pending => future.wait().unwrap(),
                    };
                    assert_eq!(response.slice::<f32>("y").unwrap(), answer(i as f32));
                })
            })
            .collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
}

#[test]
fn a_callback_that_panics_harms_nobody() {
    finishes(|| {
        let (send, log) = mpsc::channel();
        let send = std::sync::Mutex::new(send);
        let builder = ServerHandle::builder().log(move |record| {
            let _nobody_listens_at_the_end = send.lock().unwrap().send(record.message.to_owned());
        });
        let server = builder.start().unwrap();
        let model = server.register_model(doubling("m"), double).unwrap();
        let token = CancelToken::new();
        token.cancel();
        model.infer_callback(ask(1.0), |_| panic!("on a worker")).unwrap();
        model.infer_callback(ask(1.0).cancel_with(&token), |_| panic!("on the messenger")).unwrap();
        for _ in 0..2 {
            assert!(receive(&log).contains("a response callback panicked"));
        }
        let (send, called) = mpsc::channel();
        model
            .infer_callback(ask(1.0).cancel_with(&token), move |outcome| send.send(outcome.is_err()).unwrap())
            .unwrap();
        assert!(receive(&called) && model.infer(Request::new().input("x", x(1.0))).is_ok());
    });
}

#[test]
fn a_full_queue_refuses_at_once_and_gives_the_request_back() {
    finishes(|| {
        let (gate, server) = (Gate::new(), ServerHandle::builder().start().unwrap());
        let model = server.register_model(doubling("m").queue_size_max(2), gated(&gate)).unwrap();
        let running = model.infer_async(ask(0.0)).unwrap();
        gate.await_come(1);
        let waiting: Vec<_> = (1..3).map(|i| model.infer_async(ask(i as f32)).unwrap()).collect();
        let refused = model.infer_async(ask(3.0)).unwrap_err();
        assert_eq!(refused.error.kind(), ErrorKind::ResourceExhausted);
        assert_eq!(model.infer(ask(3.0)).unwrap_err().kind(), ErrorKind::ResourceExhausted);
        // A place that a cancel leaves is free at once.
        drop(waiting);
        let again = model.infer_async(refused.request).unwrap();
        gate.open();
        assert!(running.wait().is_ok());
        assert_eq!(again.wait().unwrap().slice::<f32>("y").unwrap(), answer(3.0));
        assert_eq!(model.statistics().unwrap().refused_count, 2);
    });
}

#[test]
fn a_request_that_is_not_run_or_answered_early_is_traced_as_such() {
    finishes(|| {
        let (gate, server) = (Gate::new(), ServerHandle::builder().start().unwrap());
        let model = server.register_model(doubling("m"), gated(&gate)).unwrap();
        let running = model.infer_async(ask(1.0).traced().id("running")).unwrap();
        gate.await_come(1);
        let waiting = model.infer_async(ask(2.0).traced().id("waiting")).unwrap();
        for future in [waiting, running] {
            future.cancel();
            assert_eq!(future.wait().unwrap_err().kind(), ErrorKind::Cancelled);
        }
        gate.open();
        server.stop(PATIENCE).unwrap();
        let json: serde_json::Value = serde_json::from_str(&server.traces_json()).unwrap();
        let end = |event: &serde_json::Value| {
            let args = &event["args"];
            (args["id"].as_str().unwrap().to_owned(), args["end"].as_str().unwrap().to_owned())
        };
        let mut ends: Vec<_> = json["traceEvents"].as_array().unwrap().iter().map(end).collect();
        ends.dedup();
        let expected = [("waiting", "not run"), ("running", "early")];
        assert_eq!(ends, expected.map(|(id, end)| (id.to_owned(), end.to_owned())));
    });
}
