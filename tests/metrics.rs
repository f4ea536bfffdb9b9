//! Metrics from outside: what is counted, where it is shown, and what the time and the clock make of it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may unwrap")]

mod common;
#[path = "common/streams.rs"]
mod streams;

use common::{Gate, PATIENCE, ask, double, doubling, finishes, gated, receive};
use inferlay::{Error, ManualClock, Request, ServerHandle, Tensor};
use std::path::Path;
use std::time::Duration;
use streams::{LAST, MORE, MS, decoupled, send};

/// The value of a sample, by its name and labels.
#[track_caller]
fn sample(server: &ServerHandle, name: &str) -> f64 {
    let text = server.metrics_text();
    let found = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    found.unwrap_or_else(|| panic!("{name} in\n{text}")).parse().unwrap()
}

fn of_m(name: &str, more: &str) -> String {
    format!("{name}{{model=\"m\",version=\"1\"{more}}}")
}

#[test]
fn what_fails_is_counted_by_its_reason() {
    finishes(|| {
        let gate = Gate::new();
        let server = ServerHandle::builder().start().unwrap();
        let function = {
            let pass = gated(&gate);
            move |batch: &inferlay::ModelBatch<'_>| {
                pass(batch)?;
                let is_bad = batch.input("x")?.as_slice::<f32>()?[0] < 0.0;
                if is_bad { Err(Error::invalid_arg("below zero")) } else { Ok(()) }
            }
        };
        let model = server.register_model(doubling("m").queue_size_max(1), function).unwrap();
        let running = model.infer_async(ask(-1.0)).unwrap();
        gate.await_come(1);
        let waiting = model.infer_async(ask(1.0)).unwrap();
        assert!(model.infer_async(ask(1.0)).is_err(), "the queue is full");
        drop(waiting);
        let wrong = Request::new().input("x", Tensor::from_vec(vec![1.0f32; 3], [1, 3]).unwrap());
        assert!(model.infer(wrong).is_err());
        gate.open();
        assert!(running.wait().is_err());
        for reason in ["BACKEND", "REJECTED", "CANCELED", "OTHER"] {
            let name = of_m("nv_inference_request_failure", &format!(",reason=\"{reason}\""));
            assert_eq!(sample(&server, &name), 1.0, "{reason}");
        }
        assert_eq!(sample(&server, &of_m("nv_inference_request_success", "")), 0.0);
        server.stop(PATIENCE).unwrap();
    });
}

#[test]
fn durations_are_counted_by_their_size() {
    finishes(|| {
        let (gate, clock) = (Gate::new(), ManualClock::new());
        let server = ServerHandle::builder().manual_clock(&clock).start().unwrap();
        let model = server.register_model(doubling("m"), gated(&gate)).unwrap();
        let first = model.infer_async(ask(1.0)).unwrap();
        gate.await_come(1);
        let second = model.infer_async(ask(2.0)).unwrap();
        clock.advance(Duration::from_secs(3));
        gate.open();
        [first, second].into_iter().for_each(|future| drop(future.wait().unwrap()));
        let (request, queue) = ("inferlay_request_duration_seconds", "inferlay_queue_duration_seconds");
        assert_eq!(sample(&server, &of_m(&format!("{request}_sum"), "")), 6.0);
        assert_eq!(sample(&server, &of_m(&format!("{queue}_sum"), "")), 3.0);
        // 2^31 and 2^32 nanoseconds.
        for (name, below, all) in [(request, 0.0, 2.0), (queue, 1.0, 2.0)] {
            let bucket = |bound: &str| sample(&server, &of_m(&format!("{name}_bucket"), &format!(",le=\"{bound}\"")));
            assert_eq!((bucket("2.147483648"), bucket("4.294967296"), bucket("+Inf")), (below, all, all), "{name}");
        }
        assert_eq!(sample(&server, &of_m("nv_inference_queue_duration_us", "")), 3e6);
        server.stop(PATIENCE).unwrap();
    });
}

#[test]
fn a_model_whose_instance_is_away_saturates_and_recovers() {
    finishes(|| {
        let (gate, clock) = (Gate::new(), ManualClock::new());
        let server = ServerHandle::builder().manual_clock(&clock).start().unwrap();
        let model = server.register_model(doubling("m"), gated(&gate)).unwrap();
        server.register_model(doubling("idle"), double).unwrap();
        let running = model.infer_async(ask(1.0)).unwrap();
        gate.await_come(1);
        clock.advance(Duration::from_secs(30));
        // The execution is under way and counts all the same.
        let saturated = sample(&server, &of_m("inferlay_model_saturation", ""));
        assert!((saturated - (1.0 - (-3f64).exp())).abs() < 1e-9, "{saturated}");
        assert_eq!(sample(&server, "inferlay_saturation"), saturated);
        assert_eq!(sample(&server, "inferlay_model_saturation{model=\"idle\",version=\"1\"}"), 0.0);
        gate.open();
        running.wait().unwrap();
        clock.advance(Duration::from_secs(1000));
        assert!(sample(&server, "inferlay_saturation") < 1e-9);
        server.stop(PATIENCE).unwrap();
    });
}

#[test]
fn the_first_response_of_a_stream_is_timed_once() {
    finishes(|| {
        let bench = decoupled();
        let (responses, responder) = bench.stream();
        bench.clock.advance(30 * MS);
        send(&responder, 1.0, MORE).unwrap();
        bench.clock.advance(300 * MS);
        send(&responder, 2.0, MORE).unwrap();
        send(&responder, 3.0, LAST).unwrap();
        assert_eq!(responses.count(), 3);
        let (responses, responder) = bench.stream();
        bench.clock.advance(400 * MS);
        send(&responder, 1.0, LAST).unwrap();
        assert_eq!(responses.count(), 1);
        // An end without a response has no first one.
        let (responses, responder) = bench.stream();
        responder.finish().unwrap();
        assert_eq!(responses.count(), 0);
        let first = |more: &str| sample(&bench.server, &of_m("nv_inference_first_response_histogram_ms_bucket", more));
        assert_eq!([first(",le=\"20\""), first(",le=\"50\""), first(",le=\"500\"")], [0.0, 1.0, 2.0]);
        assert_eq!(sample(&bench.server, &of_m("nv_inference_first_response_histogram_ms_sum", "")), 430.0);
        assert_eq!(sample(&bench.server, &of_m("inferlay_responses_total", "")), 4.0);
    });
}

#[test]
fn states_and_loading_times_are_shown() {
    let config = |text: &str| [("config.yaml", text.as_bytes().to_vec())];
    let good = config("{backend: 'null', input: {name: x, data_type: FP32, dims: 2}}");
    let server =
        ServerHandle::builder().model_in_memory("m", good).model_in_memory("broken", config("backend: nowhere"));
    let server = server.start().unwrap();
    assert!(sample(&server, &of_m("nv_model_load_duration_secs", "")) > 0.0);
    assert_eq!(sample(&server, &of_m("inferlay_model_state", ",state=\"READY\"")), 1.0);
    assert_eq!(sample(&server, &of_m("inferlay_model_state", ",state=\"UNAVAILABLE\"")), 0.0);
    let broken = "inferlay_model_state{model=\"broken\",version=\"1\",state=\"UNAVAILABLE\"}";
    assert_eq!(sample(&server, broken), 1.0);
}

#[test]
fn the_tags_of_a_config_are_labels() {
    let config = "{backend: 'null', input: {name: x, data_type: FP32, dims: 2}, metric_tags: {team: vision}}";
    let files = [("config.yaml", config.as_bytes().to_vec())];
    let server = ServerHandle::builder().model_in_memory("m", files).start().unwrap();
    assert_eq!(sample(&server, &of_m("nv_inference_count", ",team=\"vision\"")), 0.0);
}

#[test]
fn every_metric_stands_in_the_documentation_with_its_kind() {
    let page = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operations.md")).unwrap();
    let server = ServerHandle::builder().memory_budget(1 << 30).start().unwrap();
    let text = server.metrics_text();
    let families = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let families: Vec<_> = families.map(|(name, kind)| format!("| `{name}` | {kind} | ")).collect();
    let missing: Vec<_> = families.iter().filter(|row| !page.contains(&row[..])).collect();
    assert!(missing.is_empty() && families.len() > 20, "docs/operations.md: {missing:#?}");
    let rows = page.lines().filter(|line| line.starts_with("| `nv_inf") || line.starts_with("| `inferlay_"));
    let unknown: Vec<_> = rows.filter(|row| !families.iter().any(|family| row.starts_with(&family[..]))).collect();
    assert!(unknown.is_empty(), "docs/operations.md has what no server shows: {unknown:#?}");
}

#[test]
fn the_application_adds_metrics_from_many_threads_while_they_are_read() {
    let server = ServerHandle::builder().start().unwrap();
    let steps = server.metric_counter("app_steps_total", "Steps", &[]).unwrap();
    let (told, done) = std::sync::mpsc::channel();
    std::thread::scope(|scope| {
        for thread in ["1", "2", "3"] {
            let (server, steps, told) = (&server, &steps, told.clone());
            scope.spawn(move || {
                for _ in 0..100 {
                    let own = server.metric_gauge("app_own", "Of a thread", &[("thread", thread)]).unwrap();
                    own.set(1.0);
                    steps.increment(1.0).unwrap();
                }
                told.send(()).unwrap();
            });
        }
        (0..3).for_each(|_| {
            assert!(server.metrics_text().contains("app_steps_total "));
            receive(&done);
        });
    });
    assert_eq!(sample(&server, "app_steps_total"), 300.0);
    assert!(!server.metrics_text().contains("app_own"));
}
