//! Live models where a test must reach behind the door: jobs that are dropped without having run, and who starts or stops
//! beside whom.

#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

use super::{Operation, PollOptions, ServerHandle};
use crate::flow::Request;
use crate::sync::{Clock, ManualClock};
use inferlay_backend_sdk::{ErrorKind, Tensor};
use std::time::{Duration, Instant};

/// How long anything may take before it counts as a deadlock.
const PATIENCE: Duration = Duration::from_secs(60);

/// All there is to say of a model, so that it is loaded when it is asked.
const CONFIG: &str = "{backend: 'null', max_batch_size: 4, input: {name: x, data_type: FP32, dims: 2}, \
                      output: {name: x, data_type: FP32, dims: 2}}";

fn ask() -> Request<'static> {
    Request::new().input("x", Tensor::from_vec(vec![1.0f32, 2.0], [1, 2]).unwrap())
}

/// Moves the clock until the operation is over.
#[track_caller]
fn ends(operation: &Operation, clock: &ManualClock) {
    let end = Instant::now() + PATIENCE;
    while !operation.is_done() {
        assert!(Instant::now() < end, "it did not end");
        clock.advance(Duration::from_millis(100));
        std::thread::yield_now();
    }
}

#[test]
fn a_page_in_that_is_dropped_answers_who_waits_for_it() {
    let files = [("config.yaml", CONFIG.as_bytes().to_vec())];
    let server = ServerHandle::builder().memory_budget(1 << 20).model_in_memory("m", files).start().unwrap();
    // The job of the model stands in line behind one that waits until all jobs but it are dropped.
    let (go, gate) = std::sync::mpsc::channel::<()>();
    server.inner.jobs.push("m", move || gate.recv().unwrap_or_default());
    let waiting = server.infer_async("m", ask()).unwrap();
    assert!(!server.inner.jobs.stop(&Clock::System, 0));
    assert!(waiting.is_ready(), "nobody will ever load it");
    assert_eq!(waiting.wait().unwrap_err().kind(), ErrorKind::Unavailable);
    // The next one asks again, and is told at once.
    let next = server.infer_async("m", ask()).unwrap();
    assert!(next.is_ready());
    assert_eq!(next.wait().unwrap_err().kind(), ErrorKind::Unavailable);
    drop(go);
}

#[test]
fn a_load_that_a_watch_ordered_and_that_is_dropped_is_not_waited_for() {
    let clock = ManualClock::new();
    let server = ServerHandle::builder().manual_clock(&clock).start().unwrap();
    assert!(server.inner.jobs.stop(&Clock::System, u64::MAX));
    server.add_repository("examples/models").unwrap();
    let poll = server.poll();
    ends(&poll, &clock);
    assert_eq!(poll.wait(), Ok(()));
    assert!(server.inner.catalog.entries().is_empty(), "nothing is known of the name");
}

#[test]
fn a_poll_beside_a_stop_starts_no_thread_that_nobody_ends() {
    let server = ServerHandle::builder().start().unwrap();
    // As `poll` does, which found the server live just before it stopped.
    server.stop(Duration::ZERO).unwrap();
    let (inner, options) = (server.inner.shared(), PollOptions::new());
    let refused = server.inner.watching.start(&inner, &options).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unavailable);
}

#[test]
fn a_name_goes_with_the_last_handle_of_a_model_that_is_gone() {
    let files = [("config.yaml", CONFIG.as_bytes().to_vec())];
    let server = ServerHandle::builder().model_in_memory("m", files).start().unwrap();
    let names = || server.inner.catalog.entries().len();
    let handle = server.model("m").unwrap();
    let other = handle.clone();
    server.remove_model("m", PATIENCE).unwrap();
    drop(handle);
    assert_eq!(names(), 1, "who asks the other one is told of the model");
    drop(other);
    assert_eq!(names(), 0);
}

#[test]
fn a_handle_keeps_no_files_of_a_paged_model_that_was_unloaded() {
    let files = [("config.yaml", CONFIG.as_bytes().to_vec())];
    let server = ServerHandle::builder().memory_budget(1 << 20).model_in_memory("m", files).start().unwrap();
    let handle = server.model("m").unwrap();
    let source = server.inner.catalog.served()[0].weights.origin().unwrap().source;
    let files = std::sync::Arc::downgrade(&source.found);
    drop(source);
    server.unload_model("m").wait_for(PATIENCE).unwrap().unwrap();
    assert!(files.upgrade().is_none());
    assert!(!handle.is_ready());
}
