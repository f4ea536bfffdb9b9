//! More models than fit: they are loaded when they are asked, the least recently used go, and nobody is lost.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may unwrap")]

mod common;

use common::paged::{answers, ask, config, server};
use common::scale::{HELD, Scale};
use common::{PATIENCE, eventually, finishes};
use inferlay::{ErrorKind, LoadOptions, ManualClock, ModelState, ServerHandle};
use std::sync::Arc;
use std::time::Duration;

#[test]
fn a_model_is_loaded_by_its_first_request_and_the_least_recently_used_goes() {
    finishes(|| {
        let (builder, scale) = server(3, 2);
        let server = builder.start().unwrap();
        assert_eq!((scale.loads(), server.is_ready()), (0, true));
        assert!(
            server.models().iter().all(|status| status.state == ModelState::Ready && status.reason.contains("not in"))
        );
        [0, 1, 0, 2, 0, 1].into_iter().for_each(|model| answers(&server, model));
        // 0 and 1 came; 1 went for 2, 2 for 1.
        let paging = server.paging();
        assert_eq!((paging.loads, paging.evictions, paging.resident_count, paging.thrashes), (4, 2, 2, 1));
        assert_eq!((paging.used_bytes, paging.used_bytes_max, paging.budget_bytes), (20, 20, 20));
        assert_eq!((scale.models(), scale.instances()), (2, 2));
        assert_eq!(server.model("m1").unwrap().statistics().unwrap().success.count, 2, "the lane stays");
    });
}

#[test]
fn many_who_wait_for_a_model_cause_one_load() {
    finishes(|| {
        let (builder, scale) = server(0, 2);
        let files = [("config.yaml", config(", gate: \"yes\"").into_bytes()), ("factor.txt", b"3".to_vec())];
        let server = builder.model_in_memory("m", files).start().unwrap();
        let futures: Vec<_> = (0..20).map(|value| server.infer_async("m", ask(value as f32)).unwrap()).collect();
        scale.gate.await_come(1);
        assert!(futures.iter().all(|future| !future.is_ready()));
        futures[7].cancel();
        assert!(futures[7].is_ready(), "a request that waits for its model can be cancelled");
        scale.gate.open();
        for (value, future) in futures.into_iter().enumerate().filter(|(value, _)| *value != 7) {
            assert_eq!(future.wait().unwrap().slice::<f32>("y").unwrap(), [3.0 * value as f32]);
        }
        assert_eq!(scale.loads(), 1);
    });
}

#[test]
fn an_unload_of_a_model_that_is_on_its_way_into_memory_ends_when_that_is_over() {
    finishes(|| {
        let (builder, scale) = server(0, 2);
        let files = [("config.yaml", config(", gate: \"yes\"").into_bytes()), ("factor.txt", b"3".to_vec())];
        let server = builder.model_in_memory("m", files).start().unwrap();
        let asked = server.infer_async("m", ask(1.0)).unwrap();
        scale.gate.await_come(1);
        asked.cancel();
        let unload = server.unload_model("m");
        eventually("it is let go", || server.models()[0].state == ModelState::Unavailable);
        assert!(!unload.is_done(), "the load has memory still");
        scale.gate.open();
        unload.wait_for(PATIENCE).unwrap().unwrap();
        assert_eq!((scale.models(), server.paging().used_bytes), (0, 0));
    });
}

#[test]
fn a_busy_model_does_not_go_and_who_waits_for_its_room_keeps_its_deadline() {
    finishes(|| {
        let (clock, (builder, scale)) = (ManualClock::new(), server(2, 1));
        let server = builder.manual_clock(&clock).start().unwrap();
        let busy = server.infer_async("m0", ask(HELD)).unwrap();
        scale.gate.await_come(1);
        let late = server.infer_async("m1", ask(1.0).timeout(Duration::from_secs(5))).unwrap();
        clock.advance(Duration::from_secs(6));
        assert_eq!(late.wait().unwrap_err().kind(), ErrorKind::Timeout);
        let patient = server.infer_async("m1", ask(1.0)).unwrap();
        assert!(!patient.is_ready() && scale.models() == 1);
        scale.gate.open();
        assert_eq!(busy.wait().unwrap().slice::<f32>("y").unwrap(), [HELD]);
        assert_eq!(patient.wait().unwrap().slice::<f32>("y").unwrap(), [2.0]);
        assert_eq!(server.paging().used_bytes_max, 10);
    });
}

#[test]
fn who_waits_for_room_holds_up_nobody_else() {
    finishes(|| {
        let (builder, scale) = server(3, 1);
        let server = builder.load_threads_max(1).start().unwrap();
        let busy = server.infer_async("m0", ask(HELD)).unwrap();
        scale.gate.await_come(1);
        // Both wait for the room of the first, beside the one thread that loads.
        let patient = [1, 2].map(|model| server.infer_async(&format!("m{model}"), ask(1.0)).unwrap());
        let other = server.load_model("nobody");
        let refused = other.wait_for(PATIENCE).expect("it waits for the room of others").unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::NotFound);
        assert!(patient.iter().all(|future| !future.is_ready()));
        scale.gate.open();
        assert_eq!(busy.wait().unwrap().slice::<f32>("y").unwrap(), [HELD]);
        for (model, future) in patient.into_iter().enumerate() {
            assert_eq!(future.wait().unwrap().slice::<f32>("y").unwrap(), [(model + 2) as f32]);
        }
        assert_eq!((server.paging().used_bytes_max, server.paging().exhausted), (10, 0));
    });
}

#[test]
fn nobody_waits_for_the_room_of_a_model_that_is_stuck() {
    finishes(|| {
        let (clock, (builder, scale)) = (ManualClock::new(), server(1, 1));
        let files = [
            ("config.yaml", (config("") + "execution_timeout_microseconds: 1000000\n").into_bytes()),
            ("factor.txt", b"3".to_vec()),
        ];
        let server = builder.manual_clock(&clock).model_in_memory("stuck", files).start().unwrap();
        let running = server.infer_async("stuck", ask(HELD)).unwrap();
        scale.gate.await_come(1);
        let waiting = server.infer_async("m0", ask(1.0)).unwrap();
        clock.advance(Duration::from_secs(2));
        assert_eq!(running.wait().unwrap_err().kind(), ErrorKind::Timeout);
        let error = waiting.wait().unwrap_err();
        assert!(error.kind() == ErrorKind::ResourceExhausted && error.message().contains("no room"), "{error}");
        scale.gate.open();
    });
}

#[test]
fn what_is_pinned_stays_and_leaves_the_others_what_is_left() {
    finishes(|| {
        let (builder, scale) = server(3, 2);
        let server = builder.pin("m0").start().unwrap();
        assert_eq!(scale.loads(), 1, "it is loaded at once");
        [1, 2, 1, 0].into_iter().for_each(|model| answers(&server, model));
        assert_eq!(server.paging().evictions, 2);
        server.pin_model("m1", true);
        let error = server.infer("m2", ask(1.0)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ResourceExhausted);
        assert!(error.message().contains("no room for about 10 bytes of host memory: 20 of 20"), "{error}");
        assert_eq!(server.paging().exhausted, 1);
        let status = &server.models()[2];
        assert!(status.state == ModelState::Unavailable && status.reason.contains("no room"), "{status:?}");
        server.pin_model("m1", false);
        answers(&server, 2);
        assert_eq!(server.models()[2].state, ModelState::Ready);
    });
}

#[test]
fn a_model_that_cannot_be_loaded_answers_who_waits_and_tries_again_with_the_next() {
    finishes(|| {
        let (builder, scale) = server(1, 1);
        let files = [("config.yaml", config("").into_bytes()), ("factor.txt", b"x".to_vec())];
        let server = builder.model_in_memory("bad", files).start().unwrap();
        assert!(server.is_ready(), "nobody knows yet");
        for tries in 1..=2 {
            let error = server.infer("bad", ask(1.0)).unwrap_err();
            assert!(error.message().contains("found 'x', expected a number"), "{error}");
            assert_eq!((scale.loads(), server.paging().resident_count), (tries, 0));
        }
        assert!(!server.is_ready());
        answers(&server, 0);
        // Its own kind of trouble needs no room of others.
        assert_eq!(server.paging().used_bytes, 10);
    });
}

/// Models `a` and `b` in files, which multiply by 2 and 3.
fn two_models() -> common::Folder {
    let config = config("");
    let files =
        [("a/config.yaml", &*config), ("a/1/factor.txt", "2"), ("b/config.yaml", &config), ("b/1/factor.txt", "3")];
    common::Folder::with(&files)
}

#[test]
fn a_model_whose_files_changed_does_not_come_back_as_another() {
    finishes(|| {
        let folder = two_models();
        let builder = ServerHandle::builder().backend(Arc::new(Scale::default())).memory_budget(10).explicit([""; 0]);
        let server = builder.repository(folder.path()).start().unwrap();
        let load = |name: &str| server.load_model(name).wait_for(PATIENCE).unwrap().unwrap();
        let factor = |name: &str| server.infer(name, ask(1.0)).map(|answer| answer.slice::<f32>("y").unwrap()[0]);
        ["a", "b"].into_iter().for_each(load);
        assert_eq!([factor("a").unwrap(), factor("b").unwrap()], [2.0, 3.0]);
        folder.write("a/1/factor.txt", "4");
        let error = factor("a").unwrap_err();
        assert!(error.message().contains("not those that it was loaded from"), "{error}");
        // The same content under another time is the same model.
        folder.write("a/1/factor.txt", "2");
        assert_eq!(factor("a").unwrap(), 2.0);
        // Another one is, once it was loaded; there is no room for it beside the first.
        folder.write("a/1/factor.txt", "4");
        assert_eq!(factor("b").unwrap(), 3.0);
        load("a");
        assert_eq!([factor("b").unwrap(), factor("a").unwrap()], [3.0, 4.0]);
    });
}

#[test]
fn a_model_whose_sums_are_not_known_comes_back_only_if_its_files_were_not_touched() {
    finishes(|| {
        let folder = two_models();
        // All are loaded at the start, and nobody watches: their files were never read for a sum.
        let builder = ServerHandle::builder().backend(Arc::new(Scale::default())).memory_budget(10);
        let server = builder.repository(folder.path()).start().unwrap();
        let factor = |name: &str| server.infer(name, ask(1.0)).map(|answer| answer.slice::<f32>("y").unwrap()[0]);
        assert_eq!([factor("a").unwrap(), factor("b").unwrap()], [2.0, 3.0]);
        folder.write("a/1/factor.txt", "4");
        let error = factor("a").unwrap_err();
        assert!(error.message().contains("not those that it was loaded from"), "{error}");
        server.load_model("a").wait_for(PATIENCE).unwrap().unwrap();
        assert_eq!(factor("a").unwrap(), 4.0);
        // What comes to lie beside a version is not of it.
        folder.write("b/2/factor.txt", "half");
        assert_eq!(factor("b").unwrap(), 3.0);
    });
}

#[test]
fn what_was_just_loaded_counts_as_used() {
    finishes(|| {
        let (clock, (builder, scale)) = (ManualClock::new(), server(4, 3));
        let server = builder.manual_clock(&clock).start().unwrap();
        let tick = || clock.advance(Duration::from_secs(1));
        for model in [1, 0] {
            tick();
            answers(&server, model);
        }
        tick();
        let options = LoadOptions::new().files([("1/factor.txt", b"2         ".to_vec())]).config(config(", n: \"1\""));
        server.load_model_with("m1", options).wait_for(PATIENCE).unwrap().unwrap();
        eventually("the old one is freed", || scale.models() == 2);
        for model in [2, 3] {
            tick();
            answers(&server, model);
        }
        assert_eq!((scale.loads(), server.paging().evictions), (5, 1));
        answers(&server, 1);
        assert_eq!(scale.loads(), 5, "the one that was used before it was loaded went");
    });
}

#[test]
fn a_model_that_uses_more_than_its_files_makes_others_go() {
    finishes(|| {
        let (builder, scale) = server(2, 2);
        let files = |bytes: &str| {
            let config = config("").replace("\"10\"", bytes);
            [("config.yaml", config.into_bytes()), ("factor.txt", b"3".to_vec())]
        };
        let server = builder.model_in_memory("big", files("\"15\"")).start().unwrap();
        answers(&server, 0);
        answers(&server, 1);
        assert_eq!(server.infer("big", ask(1.0)).unwrap().slice::<f32>("y").unwrap(), [3.0]);
        assert_eq!((server.paging().used_bytes, scale.models()), (15, 1));
    });
}

#[test]
fn a_model_that_is_not_as_its_config_states_serves_from_the_second_request_on() {
    finishes(|| {
        let (builder, _) = server(0, 1);
        // The model's dims are 1; the config leaves them open.
        let files =
            [("config.yaml", config("").replace("dims: 1", "dims: -1").into_bytes()), ("factor.txt", b"3".to_vec())];
        let server = builder.model_in_memory("m", files).start().unwrap();
        let error = server.infer("m", ask(1.0)).unwrap_err();
        assert!(
            error.kind() == ErrorKind::Unavailable && error.message().contains("otherwise than the model"),
            "{error}"
        );
        assert_eq!(server.infer("m", ask(1.0)).unwrap().slice::<f32>("y").unwrap(), [3.0]);
        assert_eq!(server.model("m").unwrap().config().unwrap().inputs[0].dims, [1]);
    });
}

#[test]
fn a_stop_answers_who_waits_for_a_model() {
    finishes(|| {
        let (builder, scale) = server(2, 1);
        let server = builder.start().unwrap();
        let busy = server.infer_async("m0", ask(HELD)).unwrap();
        scale.gate.await_come(1);
        let waiting = server.infer_async("m1", ask(1.0)).unwrap();
        let error = server.stop(Duration::from_millis(20)).unwrap_err();
        assert!(error.message().contains("m0"), "{error}");
        assert_eq!(waiting.wait().unwrap_err().kind(), ErrorKind::Unavailable);
        assert_eq!(busy.wait().unwrap_err().kind(), ErrorKind::Unavailable);
        scale.gate.open();
        eventually("everything is freed", || scale.models() == 0);
    });
}

/// The files of a model that says nothing of its memory but this.
fn saying(parameters: &str) -> [(&'static str, Vec<u8>); 2] {
    let config = config("").replace("bytes: \"10\"", parameters);
    [("config.yaml", config.into_bytes()), ("factor.txt", b"3".to_vec())]
}

#[test]
fn room_is_taken_by_the_estimate_of_a_backend_and_corrected_by_its_report() {
    finishes(|| {
        let (builder, scale) = server(2, 2);
        let builder = builder.model_in_memory("grows", saying("estimate: \"11\", bytes: \"3\""));
        let builder = builder.model_in_memory("too_large", saying("estimate: \"21\", bytes: \"3\""));
        let builder = builder.model_in_memory("unknown", saying("estimate: \"many\", bytes: \"3\""));
        let server = builder.start().unwrap();
        let factor = |name: &str| server.infer(name, ask(1.0)).map(|answer| answer.slice::<f32>("y").unwrap()[0]);
        [0, 1].into_iter().for_each(|model| answers(&server, model));
        assert_eq!(factor("grows").unwrap(), 3.0);
        assert_eq!((server.paging().evictions, server.paging().used_bytes, scale.models()), (2, 3, 1));
        let error = factor("too_large").unwrap_err();
        assert!(error.message().contains("no room for about 21 bytes"), "{error}");
        // What cannot be told is taken for the size of the files.
        assert_eq!(factor("unknown").unwrap(), 3.0);
        assert_eq!((server.paging().used_bytes, server.paging().used_bytes_max), (6, 20));
    });
}

#[test]
fn models_that_stay_give_back_what_they_cache_before_a_load_fails_for_room() {
    finishes(|| {
        let (builder, scale) = server(2, 2);
        let caching = saying("bytes: \"10\", caches: \"10\"");
        let server = builder.model_in_memory("caching", caching).pin("caching").start().unwrap();
        assert_eq!(server.paging().used_bytes, 20);
        answers(&server, 0);
        let paging = server.paging();
        assert_eq!((paging.used_bytes, paging.used_bytes_max, paging.exhausted, scale.models()), (20, 20, 0, 2));
        // It has nothing more to give back.
        server.pin_model("m0", true);
        assert_eq!(server.infer("m1", ask(1.0)).unwrap_err().kind(), ErrorKind::ResourceExhausted);
    });
}

#[test]
fn what_grows_while_it_runs_is_counted_when_others_want_room() {
    finishes(|| {
        let (builder, scale) = server(2, 2);
        let growing = saying("bytes: \"10\", grows: \"5\"");
        let server = builder.model_in_memory("growing", growing).start().unwrap();
        let factor = || server.infer("growing", ask(1.0)).unwrap().slice::<f32>("y").unwrap()[0];
        assert_eq!((factor(), factor(), server.paging().used_bytes), (3.0, 3.0, 10));
        answers(&server, 0);
        assert_eq!((server.paging().evictions, server.paging().used_bytes, scale.models()), (1, 10, 1));
        // When it comes back it needs what it used.
        answers(&server, 1);
        assert_eq!(factor(), 3.0);
        assert_eq!((server.paging().evictions, scale.models()), (3, 1));
    });
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[test]
fn what_no_backend_reports_is_measured() {
    const LEN: u64 = 1 << 30;
    finishes(|| {
        let holds = saying(&format!("holds: \"{LEN}\""));
        let builder = ServerHandle::builder().backend(Arc::new(Scale::default())).memory_budget(LEN + LEN / 2);
        let builder = builder.model_in_memory("a", holds.clone()).model_in_memory("b", holds);
        let server = builder.start().unwrap();
        for name in ["a", "b"] {
            assert_eq!(server.infer(name, ask(1.0)).unwrap().slice::<f32>("y").unwrap(), [3.0]);
            // Other tests run beside this one; what they allocate meanwhile is small beside it.
            let used = server.paging().used_bytes;
            assert!((LEN / 4 * 3..LEN / 4 * 5).contains(&used), "{used}");
        }
        assert_eq!(server.paging().evictions, 1, "there is room for one");
    });
}
