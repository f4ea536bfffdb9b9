//! Models whose batches are pulled: a thread of the application takes whole batches out of a queue and answers them.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may unwrap")]

#[path = "../common/mod.rs"]
mod common;
mod ends;

use common::{PATIENCE, answer, ask, batching, double, doubling, eventually, finishes};
use inferlay::config::{DynamicBatching, ModelConfig};
use inferlay::{
    BatchQueue, CancelToken, DataType, Error, ErrorKind, Input, ManualClock, ModelHandle, PulledBatch, Request,
    ResponseFuture, ServerHandle, Tensor,
};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);
/// For a stop that must not wait.
const NOW: Duration = Duration::ZERO;

fn pulled(config: ModelConfig) -> (ServerHandle, ModelHandle, BatchQueue) {
    on_clock(&ManualClock::new(), config)
}

fn on_clock(clock: &ManualClock, config: ModelConfig) -> (ServerHandle, ModelHandle, BatchQueue) {
    let server = ServerHandle::builder().manual_clock(clock).start().unwrap();
    let name = config.name.clone();
    let queue = server.register_pulled_model(config).unwrap();
    let model = server.model(&name).unwrap();
    (server, model, queue)
}

/// The next batch, which must come.
fn pull(queue: &BatchQueue) -> PulledBatch {
    queue.next(Duration::MAX).unwrap().expect("the model ended")
}

fn answer_doubled(batch: PulledBatch) {
    double(&batch.view()).unwrap();
    batch.answer().unwrap();
}

fn kind_of(future: ResponseFuture) -> ErrorKind {
    future.wait().unwrap_err().kind()
}

fn is_empty(queue: &BatchQueue) -> bool {
    queue.next(NOW).is_err_and(|error| error.kind() == ErrorKind::Timeout)
}

#[test]
fn requests_that_come_while_a_batch_is_held_are_one_batch() {
    finishes(|| {
        let (server, model, queue) = pulled(batching("m", 0));
        let first = model.infer_async(ask(0.0)).unwrap();
        let held = pull(&queue);
        let futures: Vec<_> = (1..7).map(|i| model.infer_async(ask(i as f32)).unwrap()).collect();
        assert!(is_empty(&queue), "one instance: one batch is out");
        answer_doubled(held);
        assert_eq!(first.wait().unwrap().slice::<f32>("y").unwrap(), answer(0.0));
        let batch = pull(&queue);
        assert_eq!((batch.view().len(), batch.view().rows()), (6, 6));
        answer_doubled(batch);
        for (i, future) in (1..7).zip(futures) {
            assert_eq!(future.wait().unwrap().slice::<f32>("y").unwrap(), answer(i as f32));
        }
        // A worker counts its batch when it is back, which may be after the answer.
        server.stop(PATIENCE).unwrap();
        let statistics = model.statistics().unwrap();
        assert_eq!((statistics.success.count, statistics.inference_count, statistics.execution_count), (7, 7, 2));
        assert_eq!(statistics.batch_sizes, [(1, 1), (6, 1)].into());
    });
}

#[test]
fn the_time_until_the_answer_is_the_time_of_the_execution() {
    finishes(|| {
        let clock = ManualClock::new();
        let (server, model, queue) = on_clock(&clock, batching("m", 0));
        let first = model.infer_async(ask(0.0)).unwrap();
        let held = pull(&queue);
        let futures = [1.0, 2.0].map(|value| model.infer_async(ask(value)).unwrap());
        let is_back = |count| eventually("the worker is back", || model.statistics().unwrap().execution_count == count);
        is_back(1);
        clock.advance(MS);
        answer_doubled(held);
        let held = pull(&queue);
        is_back(2);
        clock.advance(2 * MS);
        answer_doubled(held);
        first.wait().unwrap();
        futures.into_iter().for_each(|future| drop(future.wait().unwrap()));
        server.stop(PATIENCE).unwrap();
        let statistics = model.statistics().unwrap();
        assert_eq!((statistics.compute_infer.count, statistics.compute_infer.ns), (3, 5_000_000));
        assert_eq!((statistics.queue.ns, statistics.success.ns), (2_000_000, 7_000_000));
    });
}

#[test]
fn requests_of_several_rows_and_of_strings_get_their_own_rows() {
    finishes(|| {
        let config = batching("m", 0).input("word", DataType::Bytes, []).output("said", DataType::Bytes, []);
        let (_server, model, queue) = pulled(config);
        let ask = |rows: usize, word: &str| {
            let x = Tensor::from_vec(vec![rows as f32; 2 * rows], [rows, 2]).unwrap();
            let words = Tensor::from_strings(vec![word; rows], [rows]).unwrap();
            model.infer_async(Request::new().input("x", x).input("word", words)).unwrap()
        };
        let first = ask(1, "first");
        let held = pull(&queue);
        let (two, three) = (ask(2, "two"), ask(3, "three"));
        held.fail(Error::unavailable("not this one"));
        assert_eq!(kind_of(first), ErrorKind::Unavailable);
        let batch = pull(&queue);
        assert_eq!([batch.view().request(0).rows(), batch.view().request(1).rows()], [2, 3]);
        let words: Vec<_> = batch.view().input("word").unwrap().strings().unwrap().map(<[u8]>::to_vec).collect();
        batch.view().set_output("said", Tensor::from_strings(words, [5]).unwrap()).unwrap();
        answer_doubled(batch);
        for (future, rows, word) in [(two, 2, "two"), (three, 3, "three")] {
            let response = future.wait().unwrap();
            assert_eq!(response.slice::<f32>("y").unwrap(), vec![2.0 * rows as f32; 2 * rows]);
            let said = response.output("said").unwrap().strings().unwrap();
            assert_eq!(said.collect::<Vec<_>>(), vec![word.as_bytes(); rows]);
        }
    });
}

#[test]
fn a_request_alone_in_its_batch_passes_its_memory_through_and_large_answers_are_views() {
    finishes(|| {
        let config = ModelConfig::new("m").input("x", DataType::Fp32, [-1]).output("y", DataType::Fp32, [-1]);
        let config = config.max_batch_size(8).dynamic_batching(DynamicBatching::default());
        let (_server, model, queue) = pulled(config);
        let x = Tensor::from_vec(vec![1.0f32; 4096], [1, 4096]).unwrap();
        let ask = || model.infer_async(Request::new().input("x", x.clone())).unwrap();
        let alone = ask();
        let batch = pull(&queue);
        let (found, given) = (batch.view().input("x").unwrap().data().pointer(), x.data().pointer());
        assert_eq!(found, given);
        let others = [ask(), ask()];
        batch.view().set_output("y", x.clone()).unwrap();
        batch.answer().unwrap();
        assert_eq!(alone.wait().unwrap().output("y").unwrap().data().pointer(), given);
        let batch = pull(&queue);
        let y = Tensor::from_vec(vec![3.0f32; 2 * 4096], [2, 4096]).unwrap();
        batch.view().set_output("y", y.clone()).unwrap();
        batch.answer().unwrap();
        let pointers = others.map(|other| other.wait().unwrap().output("y").unwrap().data().pointer());
        assert_eq!(pointers[0], y.data().pointer());
        assert_eq!(pointers[1].as_ptr() as usize - pointers[0].as_ptr() as usize, 4096 * 4);
    });
}

#[test]
fn the_output_of_a_model_that_does_not_batch_goes_out_whole() {
    finishes(|| {
        let config = ModelConfig::new("m").input("x", DataType::Fp32, [-1]).output("y", DataType::Fp32, [-1]);
        let (_server, model, queue) = pulled(config);
        for len in [0, 1, 3] {
            let x = Tensor::from_vec(vec![2.0f32; len], [len]).unwrap();
            let future = model.infer_async(Request::new().input("x", x.clone())).unwrap();
            let batch = pull(&queue);
            batch.view().set_output("y", x).unwrap();
            batch.answer().unwrap();
            assert_eq!(future.wait().unwrap().slice::<f32>("y").unwrap(), vec![2.0; len]);
        }
    });
}

/// How a batch of two is ended, and what its requests then hear.
type Ending = (&'static str, fn(PulledBatch), [ErrorKind; 2]);

fn set_what_does_not_fit(batch: PulledBatch) {
    let view = batch.view();
    let wrong = [
        Tensor::from_vec(vec![0u8; 4], [2, 2]).unwrap(),
        Tensor::from_vec(vec![0f32; 2], [1, 2]).unwrap(),
        Tensor::from_vec(vec![0f32; 6], [2, 3]).unwrap(),
    ];
    for tensor in wrong {
        assert_eq!(view.set_output("y", tensor).unwrap_err().kind(), ErrorKind::InvalidArg);
    }
    for shape in [[1, 2], [2, 3]] {
        assert_eq!(view.output("y", shape).unwrap_err().kind(), ErrorKind::InvalidArg);
    }
    assert_eq!(view.output("z", [2, 2]).unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(view.input("z").unwrap_err().kind(), ErrorKind::NotFound);
    batch.fail(Error::unsupported("nothing fits"));
}

#[test]
fn whatever_becomes_of_a_batch_each_of_its_requests_is_answered_once() {
    let rows: [Ending; 6] = [
        ("failed", |batch| batch.fail(Error::unavailable("no more")), [ErrorKind::Unavailable; 2]),
        ("dropped", drop, [ErrorKind::Internal; 2]),
        ("without outputs", |batch| assert!(batch.answer().is_err()), [ErrorKind::Internal; 2]),
        (
            "failed one by one",
            |batch| {
                batch.view().fail(0, Error::not_found("not for you"));
                batch.view().fail(0, Error::internal("too late"));
                batch.view().fail(1, Error::invalid_arg("nor for you"));
                batch.answer().unwrap();
            },
            [ErrorKind::NotFound, ErrorKind::InvalidArg],
        ),
        ("with outputs that do not fit", set_what_does_not_fit, [ErrorKind::Unsupported; 2]),
        (
            "with an output that is set twice",
            |batch| {
                double(&batch.view()).unwrap();
                for _ in 0..2 {
                    assert_eq!(double(&batch.view()).unwrap_err().kind(), ErrorKind::FailedPrecondition);
                }
                let y = Tensor::from_vec(vec![0f32; 4], [2, 2]).unwrap();
                assert_eq!(batch.view().set_output("y", y).unwrap_err().kind(), ErrorKind::FailedPrecondition);
            },
            [ErrorKind::Internal; 2],
        ),
    ];
    for (name, end, expected) in rows {
        finishes(move || {
            let (server, model, queue) = pulled(batching("m", 0));
            let first = model.infer_async(ask(0.0)).unwrap();
            let held = pull(&queue);
            let futures = [1.0, 2.0].map(|value| model.infer_async(ask(value)).unwrap());
            answer_doubled(held);
            first.wait().unwrap();
            let batch = pull(&queue);
            assert_eq!(batch.view().len(), 2, "{name}");
            end(batch);
            assert_eq!(futures.map(kind_of), expected, "{name}");
            // The model goes on.
            let next = model.infer_async(ask(3.0)).unwrap();
            answer_doubled(pull(&queue));
            assert_eq!(next.wait().unwrap().slice::<f32>("y").unwrap(), answer(3.0), "{name}");
            server.stop(PATIENCE).unwrap();
        });
    }
}

#[test]
fn a_batch_comes_without_the_requests_that_nobody_wants_any_more() {
    finishes(|| {
        let clock = ManualClock::new();
        let (_server, model, queue) = on_clock(&clock, batching("m", 0));
        let held = {
            let _answered_with_an_error = model.infer_async(ask(0.0)).unwrap();
            pull(&queue)
        };
        let token = CancelToken::new();
        let late = model.infer_async(ask(1.0).timeout(MS)).unwrap();
        let wanted = model.infer_async(ask(2.0)).unwrap();
        let cancelled = model.infer_async(ask(3.0).cancel_with(&token)).unwrap();
        held.fail(Error::unavailable("not this one"));
        // They are a batch now, which waits to be pulled.
        eventually("the three are in a batch", || model.statistics().unwrap().queue_len == 0);
        token.cancel();
        clock.advance(2 * MS);
        assert_eq!((kind_of(late), kind_of(cancelled)), (ErrorKind::Timeout, ErrorKind::Cancelled));
        let batch = pull(&queue);
        assert_eq!(batch.view().input("x").unwrap().as_slice::<f32>().unwrap(), [2.0, 2.5]);
        // A batch of which nobody wants anything does not come at all.
        let token = CancelToken::new();
        let unwanted = model.infer_async(ask(4.0).cancel_with(&token)).unwrap();
        answer_doubled(batch);
        assert_eq!(wanted.wait().unwrap().slice::<f32>("y").unwrap(), answer(2.0));
        eventually("it is in a batch", || model.statistics().unwrap().queue_len == 0);
        token.cancel();
        assert_eq!(kind_of(unwanted), ErrorKind::Cancelled);
        let last = model.infer_async(ask(5.0)).unwrap();
        answer_doubled(pull(&queue));
        assert_eq!(last.wait().unwrap().slice::<f32>("y").unwrap(), answer(5.0));
    });
}

#[test]
fn a_cancel_and_a_deadline_answer_requests_of_a_batch_that_is_held() {
    finishes(|| {
        let clock = ManualClock::new();
        let (server, model, queue) = on_clock(&clock, batching("m", 0));
        let token = CancelToken::new();
        let cancelled = model.infer_async(ask(1.0).cancel_with(&token)).unwrap();
        let held = pull(&queue);
        assert!(!held.view().request(0).cancelled());
        token.cancel();
        assert_eq!(kind_of(cancelled), ErrorKind::Cancelled);
        assert!(held.view().request(0).cancelled());
        let late = model.infer_async(ask(2.0).timeout(MS)).unwrap();
        answer_doubled(held);
        let held = pull(&queue);
        clock.advance(2 * MS);
        assert_eq!(kind_of(late), ErrorKind::Timeout);
        answer_doubled(held);
        server.stop(PATIENCE).unwrap();
    });
}

#[test]
fn a_batch_that_is_held_past_the_execution_timeout_is_answered_and_the_model_serves_no_more() {
    finishes(|| {
        let clock = ManualClock::new();
        let (server, model, queue) = on_clock(&clock, doubling("m").execution_timeout_us(1_000));
        let quick = model.infer_async(ask(0.0)).unwrap();
        answer_doubled(pull(&queue));
        quick.wait().unwrap();
        eventually("the worker is back", || model.statistics().unwrap().execution_count == 1);
        clock.advance(2 * MS);
        let held_up = model.infer_async(ask(1.0)).unwrap();
        let held = pull(&queue);
        let waiting = model.infer_async(ask(2.0)).unwrap();
        clock.advance(2 * MS);
        assert_eq!((kind_of(held_up), kind_of(waiting)), (ErrorKind::Timeout, ErrorKind::Unavailable));
        assert!(held.view().request(0).cancelled() && !model.is_ready());
        let refused = model.infer_async(ask(3.0)).unwrap_err();
        assert!(refused.error.message().contains("execution_timeout"), "{}", refused.error);
        // Too late for anybody to hear.
        answer_doubled(held);
        server.stop(PATIENCE).unwrap();
        assert!(queue.next(Duration::MAX).unwrap().is_none());
    });
}

#[test]
fn a_blocking_call_is_answered_by_whoever_pulls_into_memory_of_its_own() {
    finishes(|| {
        let (server, model, queue) = pulled(doubling("m"));
        let caller = thread::spawn(move || {
            let (x, mut y) = ([1.0f32, 1.5], [0.0f32; 2]);
            let request = Request::new().input("x", Input::from_slice(&x, [1, 2]).unwrap()).output_into("y", &mut y);
            model.infer(request).unwrap();
            y
        });
        answer_doubled(pull(&queue));
        assert_eq!(caller.join().unwrap()[..], answer(1.0));
        server.stop(PATIENCE).unwrap();
    });
}

#[test]
fn as_many_batches_are_out_at_once_as_there_are_instances_and_any_thread_may_answer_them() {
    finishes(|| {
        let (server, model, queue) = pulled(doubling("m").instances(2));
        let futures: Vec<_> = (0..20).map(|i| model.infer_async(ask(i as f32)).unwrap()).collect();
        let (first, second) = (pull(&queue), pull(&queue));
        assert!(is_empty(&queue));
        thread::spawn(move || answer_doubled(second)).join().unwrap();
        answer_doubled(first);
        let queue = Arc::new(queue);
        let pullers = [(); 2].map(|()| {
            let queue = queue.clone();
            thread::spawn(move || {
                while let Some(batch) = queue.next(Duration::MAX).unwrap() {
                    answer_doubled(batch);
                }
            })
        });
        for (i, future) in futures.into_iter().enumerate() {
            assert_eq!(future.wait().unwrap().slice::<f32>("y").unwrap(), answer(i as f32));
        }
        server.stop(PATIENCE).unwrap();
        pullers.into_iter().for_each(|puller| puller.join().unwrap());
    });
}

#[test]
fn a_callback_may_look_but_not_wait() {
    finishes(|| {
        let (server, model, queue) = pulled(doubling("m"));
        let queue = Arc::new(queue);
        let (send, said) = std::sync::mpsc::channel();
        let looked = queue.clone();
        let told = move |_| {
            let kind = |within| looked.next(within).unwrap_err().kind();
            send.send([kind(NOW), kind(Duration::MAX)]).unwrap();
        };
        model.infer_callback(ask(1.0), told).unwrap();
        answer_doubled(pull(&queue));
        assert_eq!(common::receive(&said), [ErrorKind::Timeout, ErrorKind::FailedPrecondition]);
        server.stop(PATIENCE).unwrap();
    });
}
