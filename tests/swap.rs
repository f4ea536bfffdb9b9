//! New versions within a budget of memory: beside the old one, in its place, or not at all; and nobody is lost.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may unwrap")]

mod common;

use common::paged::{answers, ask, config, server};
use common::scale::HELD;
use common::{PATIENCE, eventually, finishes};
use inferlay::config::Swap;
use inferlay::{ErrorKind, LoadOptions, ManualClock, ModelState, Operation, ServerHandle};
use std::time::Duration;

#[test]
fn a_swap_without_room_fails_while_the_old_version_serves() {
    finishes(|| {
        let (builder, scale) = server(2, 2);
        let server = builder.start().unwrap();
        let load = |name: &str, factor: &str| {
            let options = LoadOptions::new().files([("1/factor.txt", factor.as_bytes().to_vec())]).config(config(""));
            server.load_model_with(name, options).wait_for(PATIENCE).unwrap()
        };
        answers(&server, 0);
        answers(&server, 1);
        // The other one is idle and goes.
        load("m0", "7         ").unwrap();
        assert_eq!(server.infer("m0", ask(1.0)).unwrap().slice::<f32>("y").unwrap(), [7.0]);
        eventually("the old version is freed", || scale.models() == 1);
        server.pin_model("m1", true);
        answers(&server, 1);
        let error = load("m0", "8         ").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ResourceExhausted);
        assert_eq!(server.infer("m0", ask(1.0)).unwrap().slice::<f32>("y").unwrap(), [7.0]);
        assert!(server.is_ready() && server.paging().used_bytes_max <= 20);
    });
}

/// Has `m0` loaded anew, with another factor, and in place of the old one where there is no room for both.
fn replace(server: &ServerHandle, factor: &str, more: &str) -> Operation {
    let options = LoadOptions::new().files([("1/factor.txt", factor.as_bytes().to_vec())]);
    server.load_model_with("m0", options.config(config(more) + "swap: replace\n"))
}

#[test]
fn a_swap_that_replaces_lets_the_old_version_go_first_and_requests_wait_for_the_new_one() {
    finishes(|| {
        let (clock, (builder, scale)) = (ManualClock::new(), server(1, 1));
        let server = builder.pin("m0").manual_clock(&clock).start().unwrap();
        let busy = server.infer_async("m0", ask(HELD)).unwrap();
        scale.gate.await_come(1);
        let operation = replace(&server, "7         ", ", gate: \"yes\"");
        eventually("the new version takes requests", || server.models()[0].state == ModelState::Loading);
        assert_eq!(server.models()[0].reason, "", "it is loaded unasked");
        let late = server.infer_async("m0", ask(1.0).timeout(Duration::from_secs(5))).unwrap();
        let patient = server.infer_async("m0", ask(1.0)).unwrap();
        clock.advance(Duration::from_secs(6));
        assert_eq!(late.wait().unwrap_err().kind(), ErrorKind::Timeout);
        assert!(!patient.is_ready() && !server.is_ready() && (scale.loads(), scale.models()) == (1, 1));
        scale.gate.open();
        assert_eq!(busy.wait().unwrap().slice::<f32>("y").unwrap(), [HELD], "by the version that it began on");
        assert_eq!(patient.wait().unwrap().slice::<f32>("y").unwrap(), [7.0]);
        operation.wait_for(PATIENCE).unwrap().unwrap();
        assert_eq!((server.paging().used_bytes_max, server.paging().exhausted, scale.models()), (10, 0, 1));
        assert!(server.is_ready() && server.models()[0].reason.is_empty());
    });
}

#[test]
fn what_was_replaced_is_loaded_again_when_the_new_version_fails() {
    finishes(|| {
        let (builder, scale) = server(1, 1);
        let server = builder.start().unwrap();
        answers(&server, 0);
        let operation = replace(&server, "bad", ", gate: \"yes\"");
        scale.gate.await_come(1);
        let waits = server.infer_async("m0", ask(1.0)).unwrap();
        assert_eq!(scale.models(), 0, "the old version is gone");
        scale.gate.open();
        let error = operation.wait_for(PATIENCE).unwrap().unwrap_err();
        assert!(error.message().contains("found 'bad', expected a number"), "{error}");
        assert_eq!(waits.wait().unwrap_err().kind(), error.kind());
        answers(&server, 0);
        assert_eq!((scale.models(), server.paging().used_bytes_max), (1, 10));
        let status = &server.models()[0];
        assert!(status.state == ModelState::Ready && status.reason.contains("an update failed"), "{status:?}");
        replace(&server, "5         ", "").wait_for(PATIENCE).unwrap().unwrap();
        assert_eq!(server.infer("m0", ask(1.0)).unwrap().slice::<f32>("y").unwrap(), [5.0]);
        assert_eq!(server.models()[0].reason, "");
    });
}

#[test]
fn nothing_goes_for_a_version_that_would_not_fit_in_its_place() {
    finishes(|| {
        let (builder, scale) = server(2, 2);
        let server = builder.pin("m1").start().unwrap();
        answers(&server, 0);
        let error = replace(&server, "7          ", "").wait_for(PATIENCE).unwrap().unwrap_err();
        assert_eq!((error.kind(), scale.loads()), (ErrorKind::ResourceExhausted, 2), "{error}");
        answers(&server, 0);
        assert_eq!((scale.loads(), server.paging().exhausted), (2, 1));
    });
}

#[test]
fn a_version_of_another_number_finds_room_or_replaces_or_fails_while_the_old_one_serves() {
    let factor = |server: &ServerHandle| server.infer("m", ask(1.0)).unwrap().slice::<f32>("y").unwrap()[0];
    finishes(move || {
        let folder = common::Folder::with(&[("m/config.yaml", &config("")), ("m/1/factor.txt", "1")]);
        let (builder, scale) = server(1, 2);
        let builder = builder.repository(folder.path()).explicit(["m", "m0"]);
        let server = builder.start().unwrap();
        let load = |swap| server.load_model_with("m", LoadOptions::new().swap(swap)).wait_for(PATIENCE).unwrap();
        assert_eq!(factor(&server), 1.0);
        answers(&server, 0);
        folder.write("m/2/factor.txt", "2");
        load(Swap::Overlap).unwrap();
        assert_eq!((factor(&server), server.paging().evictions), (2.0, 1), "the idle one went");
        eventually("and then the old one", || server.paging().used_bytes == 10);
        server.pin_model("m0", true);
        answers(&server, 0);
        folder.write("m/3/factor.txt", "3");
        assert_eq!(load(Swap::Overlap).unwrap_err().kind(), ErrorKind::ResourceExhausted);
        assert_eq!(factor(&server), 2.0);
        load(Swap::Replace).unwrap();
        assert_eq!((factor(&server), server.model("m").unwrap().version().unwrap()), (3.0, 3));
        folder.write("m/4/factor.txt", "none");
        load(Swap::Replace).unwrap_err();
        assert_eq!((factor(&server), server.model("m").unwrap().version().unwrap()), (3.0, 3));
        let states: Vec<_> = server.models().iter().map(|status| (status.version, status.state)).collect();
        let (ready, not) = (ModelState::Ready, ModelState::Unavailable);
        assert_eq!(states, [(3, ready), (4, not), (1, ready)]);
        assert_eq!((server.paging().used_bytes_max, scale.models()), (20, 2));
    });
}

#[test]
fn a_model_that_is_unloaded_while_it_is_replaced_does_not_come_back() {
    finishes(|| {
        let (builder, scale) = server(1, 1);
        let server = builder.start().unwrap();
        let busy = server.infer_async("m0", ask(HELD)).unwrap();
        scale.gate.await_come(1);
        let operation = replace(&server, "7         ", "");
        eventually("the new version takes requests", || server.models()[0].state == ModelState::Loading);
        let unloaded = server.unload_model("m0");
        assert_eq!(operation.wait_for(PATIENCE).unwrap().unwrap_err().kind(), ErrorKind::Cancelled);
        scale.gate.open();
        unloaded.wait_for(PATIENCE).unwrap().unwrap();
        assert_eq!(busy.wait().unwrap().slice::<f32>("y").unwrap(), [HELD]);
        eventually("everything is freed", || (scale.models(), server.paging().used_bytes) == (0, 0));
        assert_eq!(server.infer("m0", ask(1.0)).unwrap_err().kind(), ErrorKind::Unavailable);
    });
}

#[test]
fn a_model_that_is_unloaded_while_it_is_replaced_by_what_its_config_states_otherwise_is_not_said_to_serve() {
    finishes(|| {
        let (builder, scale) = server(1, 1);
        let server = builder.start().unwrap();
        answers(&server, 0);
        let options = LoadOptions::new().files([("1/factor.txt", b"7         ".to_vec())]);
        // The model's dims are 1; the config leaves them open.
        let config = config(", gate: \"yes\"").replace("dims: 1", "dims: -1") + "swap: replace\n";
        let operation = server.load_model_with("m0", options.config(config));
        scale.gate.await_come(1);
        assert_eq!(server.models()[0].state, ModelState::Loading);
        let unloaded = server.unload_model("m0");
        eventually("it is taken out", || server.models()[0].state != ModelState::Loading);
        scale.gate.open();
        assert_eq!(operation.wait_for(PATIENCE).unwrap().unwrap_err().kind(), ErrorKind::Cancelled);
        unloaded.wait_for(PATIENCE).unwrap().unwrap();
        eventually("everything is freed", || (scale.models(), server.paging().used_bytes) == (0, 0));
        assert_eq!(server.infer("m0", ask(1.0)).unwrap_err().kind(), ErrorKind::Unavailable);
    });
}

#[test]
fn who_waits_for_the_room_of_what_it_replaces_holds_up_no_other_load() {
    finishes(|| {
        let (builder, scale) = server(1, 1);
        let server = builder.load_threads_max(1).start().unwrap();
        let busy = server.infer_async("m0", ask(HELD)).unwrap();
        scale.gate.await_come(1);
        let operation = replace(&server, "7         ", "");
        let later = replace(&server, "8         ", "");
        eventually("the new version takes requests", || server.models()[0].state == ModelState::Loading);
        others_are_loaded(&server);
        assert!(!operation.is_done() && !later.is_done());
        scale.gate.open();
        assert_eq!(busy.wait().unwrap().slice::<f32>("y").unwrap(), [HELD]);
        // Those of the same model come one after the other.
        [operation, later].iter().for_each(|operation| operation.wait_for(PATIENCE).unwrap().unwrap());
        assert_eq!(factor(&server, "m0"), 8.0);
        assert_eq!((server.paging().exhausted, server.paging().used_bytes_max), (0, 10));
    });
}

/// Other loads run to their end, one after the other: where one thread loads, it has looked meanwhile at what waits.
#[track_caller]
fn others_are_loaded(server: &ServerHandle) {
    for _ in 0..3 {
        let refused = server.load_model("nobody").wait_for(PATIENCE).expect("it waits for others").unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::NotFound);
    }
}

fn factor(server: &ServerHandle, model: &str) -> f32 {
    server.infer(model, ask(1.0)).unwrap().slice::<f32>("y").unwrap()[0]
}

#[test]
fn a_swap_that_replaces_waits_until_the_memory_of_the_old_version_is_back() {
    finishes(|| {
        let (builder, scale) = server(1, 1);
        let server = builder.load_threads_max(1).start().unwrap();
        replace(&server, "2         ", ", parting: \"yes\"").wait_for(PATIENCE).unwrap().unwrap();
        assert_eq!(factor(&server, "m0"), 2.0);
        let operation = replace(&server, "7         ", "");
        scale.parting.await_come(1);
        others_are_loaded(&server);
        assert!(!operation.is_done(), "{operation:?}");
        scale.parting.open();
        operation.wait_for(PATIENCE).unwrap().unwrap();
        assert_eq!(factor(&server, "m0"), 7.0);
        assert_eq!((server.paging().exhausted, server.paging().used_bytes_max), (0, 10));
    });
}

/// Has both versions of `m` loaded from memory, with these factors.
fn load_two(server: &ServerHandle, factors: [&str; 2], more: &str) -> Operation {
    let files = ["1/factor.txt", "2/factor.txt"].into_iter().zip(factors.map(|factor| factor.as_bytes().to_vec()));
    let config = config("") + "version_policy: all\nswap: replace\n" + more;
    server.load_model_with("m", LoadOptions::new().files(files).config(config))
}

fn factors(server: &ServerHandle) -> [f32; 2] {
    [1, 2].map(|version| {
        let model = server.model_version("m", version).unwrap();
        model.infer(ask(1.0)).unwrap().slice::<f32>("y").unwrap()[0]
    })
}

#[test]
fn versions_that_were_replaced_together_come_back_together() {
    finishes(|| {
        let (builder, scale) = server(0, 2);
        let server = builder.pin("m").start().unwrap();
        load_two(&server, ["2", "3"], "").wait_for(PATIENCE).unwrap().unwrap();
        assert_eq!(factors(&server), [2.0, 3.0]);
        let error = load_two(&server, ["bad", "worse"], "").wait_for(PATIENCE).unwrap().unwrap_err();
        assert!(error.message().contains("version 1: ") && error.message().contains("found 'bad'"), "{error}");
        assert_eq!(factors(&server), [2.0, 3.0]);
        assert_eq!((scale.loads(), server.paging().evictions), (6, 0), "each was loaded again once");
        assert_eq!((scale.models(), scale.instances(), server.paging().used_bytes_max), (2, 2, 20));
        let reasons: Vec<_> = server.models().into_iter().map(|status| status.reason).collect();
        assert!(reasons[0].contains("found 'bad'") && reasons[1].contains("found 'worse'"), "{reasons:?}");
    });
}

#[test]
fn a_version_that_fails_leaves_those_that_were_replaced_with_it_alone() {
    finishes(|| {
        let (builder, scale) = server(0, 2);
        let server = builder.pin("m").start().unwrap();
        load_two(&server, ["2", "3"], "").wait_for(PATIENCE).unwrap().unwrap();
        assert_eq!(factors(&server), [2.0, 3.0]);
        load_two(&server, ["bad", "7"], "").wait_for(PATIENCE).unwrap().unwrap_err();
        assert_eq!(factors(&server), [2.0, 7.0]);
        assert_eq!((scale.models(), scale.instances(), server.paging().used_bytes_max), (2, 2, 20));
    });
}

#[test]
fn a_swap_that_fails_takes_back_what_its_config_says_of_versions() {
    finishes(|| {
        let (builder, _) = server(0, 2);
        let server = builder.pin("m").start().unwrap();
        let said = |label: &str| format!("version_labels: {{{label}: 1}}\ntraffic: {{1: 1}}\nshadow: 2\n");
        load_two(&server, ["2", "3"], "version_labels: {stable: 1}\n").wait_for(PATIENCE).unwrap().unwrap();
        assert_eq!(factors(&server), [2.0, 3.0]);
        load_two(&server, ["bad", "5"], &said("other")).wait_for(PATIENCE).unwrap().unwrap_err();
        let labels = || server.labels("m").unwrap().into_iter().collect::<Vec<_>>();
        assert_eq!(labels(), [("stable".to_owned(), 1)]);
        assert_eq!(factor(&server, "m"), 5.0, "no split: the newest");
        // The next one that serves counts.
        load_two(&server, ["7", "5"], &said("other")).wait_for(PATIENCE).unwrap().unwrap();
        assert_eq!((labels(), factor(&server, "m")), (vec![("other".to_owned(), 1)], 7.0));
    });
}

#[test]
fn a_version_whose_files_were_overwritten_is_not_given_up() {
    finishes(|| {
        let folder = common::Folder::with(&[("m/config.yaml", &config("")), ("m/1/factor.txt", "2")]);
        let (builder, _) = server(0, 1);
        let server = builder.repository(folder.path()).explicit([""; 0]).start().unwrap();
        let load = |swap| server.load_model_with("m", LoadOptions::new().swap(swap)).wait_for(PATIENCE).unwrap();
        load(Swap::Overlap).unwrap();
        assert_eq!(factor(&server, "m"), 2.0);
        folder.write("m/1/factor.txt", "none");
        let error = load(Swap::Replace).unwrap_err();
        let says = |what: &str| assert!(error.message().contains(what), "{error}");
        says("the old version cannot go first: its files are not those that it was loaded from");
        assert_eq!((error.kind(), factor(&server, "m")), (ErrorKind::ResourceExhausted, 2.0));
        assert!(server.is_ready());
    });
}
