//! Dynamic batching over a clock that is moved by hand: when a batch closes, what goes into it, and who runs it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may unwrap")]

mod common;

use common::{Gate, PATIENCE, answer, ask, batching, double, doubling, finishes, gated, receive};
use inferlay::config::DynamicBatching;
use inferlay::{
    CallerRuns, DataType, ManualClock, ModelConfig, ModelHandle, Request, ResponseFuture, ServerHandle, Tensor,
};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);
const HOUR_US: u64 = 3_600_000_000;

fn submit(model: &ModelHandle, count: usize) -> Vec<ResponseFuture> {
    (0..count).map(|i| model.infer_async(ask(i as f32)).unwrap()).collect()
}

fn check_answers(futures: Vec<ResponseFuture>) {
    for (i, future) in futures.into_iter().enumerate() {
        assert_eq!(future.wait().unwrap().slice::<f32>("y").unwrap(), answer(i as f32));
    }
}

type Counts<K> = Vec<(K, u64)>;

/// Batches by their sizes, and by the reasons for which they were closed.
fn batches(model: &ModelHandle) -> (Counts<usize>, Counts<&'static str>) {
    let statistics = model.statistics().unwrap();
    (statistics.batch_sizes.into_iter().collect(), statistics.cuts.into_iter().collect())
}

#[test]
fn a_delay_closes_a_batch_and_nothing_closes_it_before() {
    finishes(|| {
        let clock = ManualClock::new();
        let server = ServerHandle::builder().manual_clock(&clock).start().unwrap();
        let model = server.register_model(batching("m", 1_000), double).unwrap();
        let early = submit(&model, 3);
        clock.advance(MS - Duration::from_nanos(1));
        let late = submit(&model, 2);
        assert_eq!(model.statistics().unwrap().execution_count, 0);
        clock.advance(Duration::from_nanos(1));
        check_answers(early);
        check_answers(late);
        assert_eq!(batches(&model), (vec![(5, 1)], vec![("delay", 1)]));
        server.stop(PATIENCE).unwrap();
    });
}

#[test]
fn a_preferred_size_or_a_full_batch_closes_at_once() {
    finishes(|| {
        let server = ServerHandle::builder().manual_clock(&ManualClock::new()).start().unwrap();
        let policy = DynamicBatching { delay_us_max: HOUR_US, ..DynamicBatching::default() };
        let preferring = DynamicBatching { preferred_batch_sizes: vec![4], ..policy.clone() };
        let preferred = server.register_model(doubling("p").dynamic_batching(preferring), double).unwrap();
        check_answers(submit(&preferred, 4));
        assert_eq!(batches(&preferred), (vec![(4, 1)], vec![("preferred", 1)]));
        let full = server.register_model(doubling("f").dynamic_batching(policy), double).unwrap();
        check_answers(submit(&full, 16));
        assert_eq!(batches(&full), (vec![(8, 2)], vec![("full", 2)]));
        let rows = |rows: usize| Request::new().input("x", Tensor::from_vec(vec![1f32; rows * 2], [rows, 2]).unwrap());
        let whole = full.infer(rows(8)).unwrap();
        assert_eq!(whole.output("y").unwrap().shape()[..], [8, 2]);
        assert_eq!(batches(&full).0, [(8, 3)]);
        server.stop(PATIENCE).unwrap();
    });
}

#[test]
fn no_batch_is_larger_than_the_maximum_and_none_is_torn() {
    finishes(|| {
        let (gate, server) = (Gate::new(), ServerHandle::builder().start().unwrap());
        let model = server.register_model(batching("m", 0), gated(&gate)).unwrap();
        let first = model.infer_async(ask(0.0)).unwrap();
        gate.await_come(1);
        let rows =
            |rows: usize| Request::new().input("x", Tensor::from_vec(vec![rows as f32; rows * 2], [rows, 2]).unwrap());
        let futures = [3, 3, 3, 8, 1, 7].map(|count| (count, model.infer_async(rows(count)).unwrap()));
        gate.open();
        first.wait().unwrap();
        for (count, future) in futures {
            let response = future.wait().unwrap();
            assert_eq!(response.slice::<f32>("y").unwrap(), vec![2.0 * count as f32; count * 2]);
        }
        let statistics = model.statistics().unwrap();
        assert_eq!(statistics.batch_sizes.into_iter().collect::<Vec<_>>(), [(1, 1), (3, 1), (6, 1), (8, 2)]);
        assert_eq!((statistics.inference_count, statistics.success.count), (26, 7));
    });
}

#[test]
fn a_model_without_dynamic_batching_runs_requests_one_by_one_and_says_so() {
    finishes(|| {
        let server = ServerHandle::builder().start().unwrap();
        for (name, max) in [("rows", 8), ("whole", 0)] {
            let config = doubling(name).max_batch_size(max);
            let dims: &[usize] = if max == 0 { &[2] } else { &[1, 2] };
            let shape: Vec<usize> = dims.to_vec();
            let function = move |batch: &inferlay::ModelBatch<'_>| {
                let x = batch.input("x")?.as_slice::<f32>()?;
                let y = batch.output("y", &shape[..])?.as_mut_slice::<f32>()?;
                y.copy_from_slice(x);
                Ok(())
            };
            let model = server.register_model(config, function).unwrap();
            let ask = || Request::new().input("x", Tensor::from_vec(vec![1f32, 2.0], dims).unwrap());
            let futures: Vec<_> = (0..5).map(|_| model.infer_async(ask()).unwrap()).collect();
            futures.into_iter().for_each(|future| drop(future.wait().unwrap()));
            assert_eq!(batches(&model), (vec![(1, 5)], vec![("single", 5)]), "{name}");
        }
    });
}

#[test]
fn requests_batch_together_only_when_their_shapes_agree() {
    finishes(|| {
        let (gate, server) = (Gate::new(), ServerHandle::builder().start().unwrap());
        let config = ModelConfig::new("m").input("x", DataType::Fp32, [-1]).output("y", DataType::Fp32, [-1]);
        let config = config.max_batch_size(8).dynamic_batching(DynamicBatching::default());
        let held = gate.clone();
        let function = move |batch: &inferlay::ModelBatch<'_>| {
            held.pass();
            let x = batch.input("x")?;
            let y = batch.output("y", x.shape().clone())?.as_mut_slice::<f32>()?;
            y.copy_from_slice(x.as_slice()?);
            Ok(())
        };
        let model = server.register_model(config, function).unwrap();
        let ask =
            |len: usize, value: f32| Request::new().input("x", Tensor::from_vec(vec![value; len], [1, len]).unwrap());
        let first = model.infer_async(ask(1, 0.0)).unwrap();
        gate.await_come(1);
        let lens = [2, 3, 2, 0, 3, 2, 0];
        let futures: Vec<_> =
            lens.iter().map(|len| (*len, model.infer_async(ask(*len, *len as f32)).unwrap())).collect();
        gate.open();
        first.wait().unwrap();
        for (len, future) in futures {
            assert_eq!(future.wait().unwrap().slice::<f32>("y").unwrap(), vec![len as f32; len]);
        }
        assert_eq!(batches(&model).0, [(1, 1), (2, 2), (3, 1)]);
    });
}

#[test]
fn urgent_requests_go_first_and_equals_in_the_order_in_which_they_came() {
    finishes(|| {
        let (gate, server) = (Gate::new(), ServerHandle::builder().start().unwrap());
        let (send, order) = mpsc::channel();
        let (held, send) = (gate.clone(), Mutex::new(send));
        let policy = DynamicBatching { priority_levels: 3, default_priority_level: 2, ..DynamicBatching::default() };
        let config = doubling("m").max_batch_size(1).dynamic_batching(policy);
        let function = move |batch: &inferlay::ModelBatch<'_>| {
            held.pass();
            send.lock().unwrap().send(batch.request(0).id().to_owned()).unwrap();
            double(batch)
        };
        let model = server.register_model(config, function).unwrap();
        let first = model.infer_async(ask(0.0).id("first")).unwrap();
        gate.await_come(1);
        let ask = |id: &'static str, priority| model.infer_async(ask(0.0).id(id).priority(priority)).unwrap();
        let futures = [ask("c1", 3), ask("b1", 0), ask("a1", 1), ask("c2", 3), ask("a2", 1), ask("b2", 2)];
        gate.open();
        first.wait().unwrap();
        futures.into_iter().for_each(|future| drop(future.wait().unwrap()));
        let seen: Vec<_> = (0..7).map(|_| receive(&order)).collect();
        assert_eq!(seen, ["first", "a1", "a2", "b1", "b2", "c1", "c2"]);
        let error = model.infer(common::ask(0.0).priority(4)).unwrap_err();
        assert!(error.message().contains("found priority 4, expected 0 to 3"), "{error}");
    });
}

#[test]
fn one_request_that_fails_does_not_fail_its_batch() {
    finishes(|| {
        let (gate, server) = (Gate::new(), ServerHandle::builder().start().unwrap());
        let held = gate.clone();
        let function = move |batch: &inferlay::ModelBatch<'_>| {
            held.pass();
            if batch.len() > 1 {
                batch.fail(1, inferlay::Error::unavailable("not this one"));
            }
            double(batch)
        };
        let model = server.register_model(batching("m", 0), function).unwrap();
        let first = model.infer_async(ask(0.0)).unwrap();
        gate.await_come(1);
        let futures = submit(&model, 3);
        gate.open();
        first.wait().unwrap();
        for (i, future) in futures.into_iter().enumerate() {
            match future.wait() {
                Ok(response) => assert_eq!(response.slice::<f32>("y").unwrap(), answer(i as f32)),
                Err(error) => assert_eq!((i, error.message()), (1, "not this one")),
            }
        }
        let statistics = model.statistics().unwrap();
        assert_eq!((statistics.success.count, statistics.fail.count), (3, 1));
    });
}

/// Where executions run while callers wait: the threads of the executions, and of the callers.
fn run_with(caller_runs: CallerRuns) -> (Vec<thread::ThreadId>, Vec<thread::ThreadId>) {
    let (threads, server) = (Arc::new(Mutex::new(Vec::new())), ServerHandle::builder().start().unwrap());
    let seen = threads.clone();
    let function = move |batch: &inferlay::ModelBatch<'_>| {
        seen.lock().unwrap().push(thread::current().id());
        double(batch)
    };
    let model = server.register_model(doubling("m").caller_runs(caller_runs), function).unwrap();
    for i in 0..20 {
        assert_eq!(model.infer(ask(i as f32)).unwrap().slice::<f32>("y").unwrap(), answer(i as f32));
    }
    let threads = threads.lock().unwrap().clone();
    (threads, vec![thread::current().id()])
}

#[test]
fn a_caller_runs_its_own_request_where_it_may() {
    finishes(|| {
        let (ran, callers) = run_with(CallerRuns::Never);
        assert!(ran.iter().all(|thread| !callers.contains(thread)));
        for caller_runs in [CallerRuns::OwnRequest, CallerRuns::Batch] {
            let (ran, callers) = run_with(caller_runs);
            assert!(ran.iter().all(|thread| callers.contains(thread)), "{caller_runs:?}");
        }
    });
}

#[test]
fn a_caller_that_leads_runs_two_batches_at_most_and_never_a_callback() {
    finishes(|| {
        // Whether the caller or a worker is the first to lead is theirs to settle.
        assert!((0..200).any(|_| batches_of_a_waiting_caller() > 0), "no caller ever led");
    });
}

/// How many batches a caller runs while he waits, others' requests among them.
fn batches_of_a_waiting_caller() -> usize {
    let (gate, clock) = (Gate::new(), ManualClock::new());
    let server = ServerHandle::builder().manual_clock(&clock).start().unwrap();
    let (send, ran) = mpsc::channel();
    let (held, send) = (gate.clone(), Mutex::new(send));
    let policy = DynamicBatching {
        delay_us_max: HOUR_US,
        priority_levels: 2,
        default_priority_level: 2,
        ..DynamicBatching::default()
    };
    let config = doubling("m").max_batch_size(2).caller_runs(CallerRuns::Batch).dynamic_batching(policy);
    let function = move |batch: &inferlay::ModelBatch<'_>| {
        send.lock().unwrap().send(thread::current().id()).unwrap();
        held.pass();
        double(batch)
    };
    let model = server.register_model(config, function).unwrap();
    let waiting = model.clone();
    let caller = thread::spawn(move || waiting.infer(ask(0.0).priority(2)).map(drop));
    let id = caller.thread().id();
    common::eventually("it waits", || model.statistics().unwrap().queue_len == 1);
    let (calls, called) = mpsc::channel();
    // Urgent ones, each a full batch by itself, go before the caller's own.
    let urgent = || Request::new().input("x", Tensor::from_vec(vec![1f32; 4], [2, 2]).unwrap()).priority(1);
    for _ in 0..8 {
        let calls = calls.clone();
        let callback = move |_| calls.send(thread::current().id()).unwrap();
        model.infer_callback(urgent(), callback).unwrap();
    }
    gate.open();
    let callbacks: Vec<_> = (0..8).map(|_| receive(&called)).collect();
    assert!(!callbacks.contains(&id));
    clock.advance(Duration::from_secs(3600));
    caller.join().unwrap().unwrap();
    let by_caller = ran.try_iter().filter(|thread| *thread == id).count();
    assert!(by_caller <= 2, "{by_caller} batches");
    server.stop(PATIENCE).unwrap();
    by_caller
}
