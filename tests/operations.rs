//! Loads and polls that are under way when their server stops: whoever waits for one is told.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may unwrap")]

mod common;

use common::scale::Scale;
use common::{Folder, PATIENCE, finishes};
use inferlay::{ErrorKind, LoadOptions, Operation, PollOptions, ServerHandle};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

fn scaling(config: &str) -> LoadOptions {
    LoadOptions::new().config(config).files([("1/factor.txt", b"1".to_vec())])
}

#[track_caller]
fn check_stopped(operation: &Operation) {
    let error = operation.wait_for(PATIENCE).expect("nobody was told").unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
}

#[test]
fn a_load_that_its_server_does_not_wait_for_ends_with_the_server() {
    finishes(|| {
        let scale = Scale::default();
        let server = ServerHandle::builder().explicit([""; 0]).backend(Arc::new(scale.clone())).start().unwrap();
        let begun = server.load_model_with("m", scaling("{max_batch_size: 8, parameters: {gate: 1}}"));
        scale.gate.await_come(1);
        let queued = server.load_model_with("m", scaling("max_batch_size: 8"));
        let waiting = thread::spawn({
            let begun = begun.clone();
            move || begun.wait()
        });
        assert_eq!(server.stop(Duration::ZERO).unwrap_err().kind(), ErrorKind::Timeout);
        assert_eq!(waiting.join().unwrap().unwrap_err().kind(), ErrorKind::Unavailable);
        // The backend is still at it; what it comes to changes nothing any more.
        check_stopped(&begun);
        check_stopped(&queued);
        scale.gate.open();
        check_stopped(&server.load_model("m"));
        check_stopped(&server.poll());
    });
}

#[test]
fn a_poll_that_waits_for_files_to_be_quiet_ends_with_the_server() {
    finishes(|| {
        let folder = Folder::with(&[]);
        let an_hour = Duration::from_secs(3600);
        let options = PollOptions::new().settle_time(an_hour).period(an_hour).by_period_only();
        let server = ServerHandle::builder().repository(folder.path()).poll(options).start().unwrap();
        folder.write("echo/config.yaml", "{backend: 'null', input: {name: x, data_type: FP32, dims: 2}}");
        folder.write("echo/1/weights.bin", "1");
        let operation = server.poll();
        assert!(operation.wait_for(Duration::from_millis(1)).is_none());
        server.stop(PATIENCE).unwrap();
        check_stopped(&operation);
    });
}

#[test]
fn a_config_in_the_text_format_is_taken_in_the_place_of_the_model_s_own() {
    finishes(|| {
        let scale = Scale::default();
        let server = ServerHandle::builder().explicit([""; 0]).backend(Arc::new(scale)).start().unwrap();
        let load = |options: LoadOptions| {
            server.load_model_with("m", options.files([("1/factor.txt", b"1".to_vec())])).wait_for(PATIENCE).unwrap()
        };
        load(LoadOptions::new().config_pbtxt("max_batch_size: 4 instance_group [ { count: 2 } ]")).unwrap();
        let config = server.model("m").unwrap().config().unwrap();
        assert_eq!((config.max_batch_size, config.instance_groups[0].count), (4, 2));
        let error = load(LoadOptions::new().config_pbtxt("max_batch_size: 4\nmax_bacth_size: 5")).unwrap_err();
        let expected = "the config given for 'm': config.pbtxt:2:1: unknown key 'max_bacth_size'";
        assert!(error.message().contains(expected), "{error}");
        // Of two configs the last one counts, in either format.
        load(LoadOptions::new().config_pbtxt("max_batch_size: 4").config("max_batch_size: 5")).unwrap();
        assert_eq!(server.model("m").unwrap().config().unwrap().max_batch_size, 5);
    });
}
