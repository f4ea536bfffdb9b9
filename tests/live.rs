//! Models that are loaded, replaced and unloaded while requests are on their way.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may unwrap")]

mod common;

use common::custom::Custom;
use common::explicit::{done, done_soon, factor, held, index, server, versions};
use common::scale::{HELD, POISON, Scale, ask, ask_in_turn};
use common::{Folder, Gate, PATIENCE, eventually, finishes, receive};
use inferlay::{ErrorKind, LoadOptions, ManualClock, ModelHandle, ModelState, ServerHandle};
use inferlay_backend_sdk::{Attributes, Batch, Shape};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

#[test]
fn a_config_that_does_not_fit_what_is_loaded_loads_the_same_files_anew() {
    finishes(|| {
        let server = ServerHandle::builder().explicit([""; 0]).start().unwrap();
        let load = |input: &str| {
            let config = format!("{{backend: 'null', input: {{name: {input}, data_type: FP32, dims: 2}}}}");
            done(&server.load_model_with("echo", versions(&[(1, "same")]).config(config)))
        };
        load("x").unwrap();
        load("y").unwrap();
        assert_eq!(server.model("echo").unwrap().metadata().unwrap().inputs[0].name, "y");
    });
}

#[test]
fn a_new_version_takes_the_place_of_the_old_one_which_is_freed() {
    finishes(|| {
        let (server, scale) = server();
        let server = server.start().unwrap();
        done(&server.load_model_with("m", versions(&[(1, "2")]))).unwrap();
        let handle = server.model("m").unwrap();
        assert_eq!(factor(&server, "m"), Ok(2.0));
        done(&server.load_model_with("m", versions(&[(1, "2"), (2, "3")]))).unwrap();
        assert_eq!((factor(&server, "m"), handle.version().unwrap()), (Ok(3.0), 2));
        assert_eq!(handle.infer(ask(1.0)).unwrap().slice::<f32>("y").unwrap(), [3.0]);
        eventually("the old version is freed", || (scale.models(), scale.instances()) == (1, 1));
        eventually("it leaves the index", || index(&server) == [(2, ModelState::Ready, String::new())]);
    });
}

#[test]
fn a_version_that_fails_to_load_leaves_the_old_one_serving_and_says_why() {
    finishes(|| {
        let (server, scale) = server();
        let server = server.start().unwrap();
        done(&server.load_model_with("m", versions(&[(1, "2")]))).unwrap();
        let error = done(&server.load_model_with("m", versions(&[(2, "three")]))).unwrap_err();
        assert!(error.message().contains("model 'm' version 2: found 'three', expected a number"), "{error}");
        assert_eq!(factor(&server, "m"), Ok(2.0));
        let states = index(&server);
        assert_eq!((states[0].1, states[1].1), (ModelState::Ready, ModelState::Unavailable));
        assert!(states[1].2.contains("three") && server.is_ready());
        // The same number anew: what serves of it stays, and says what became of the update.
        done(&server.load_model_with("m", versions(&[(1, "bad")]))).unwrap_err();
        let states = index(&server);
        assert!(states[0].1 == ModelState::Ready && states[0].2.contains("found 'bad'"), "{states:?}");
        assert_eq!((factor(&server, "m"), scale.models()), (Ok(2.0), 1));
        done(&server.load_model_with("m", versions(&[(3, "4")]))).unwrap();
        assert_eq!(factor(&server, "m"), Ok(4.0));
        eventually("what is past leaves the index", || index(&server).len() == 1);
    });
}

#[test]
fn one_broken_version_of_several_takes_nothing_out() {
    finishes(|| {
        let (server, _) = server();
        let server = server.start().unwrap();
        let all = |factors| versions(factors).config("version_policy: all");
        done(&server.load_model_with("m", all(&[(1, "2"), (2, "3")]))).unwrap();
        done(&server.load_model_with("m", all(&[(3, "4"), (4, "five")]))).unwrap_err();
        let serving: Vec<_> = (1..=4).map(|version| server.model_version("m", version).is_ok()).collect();
        assert_eq!(serving, [true, true, true, false]);
        done(&server.load_model_with("m", all(&[(3, "4"), (4, "5")]))).unwrap();
        assert!(server.model_version("m", 1).is_err());
        assert_eq!(factor(&server, "m"), Ok(5.0));
    });
}

#[test]
fn requests_on_their_way_finish_on_the_version_they_started_with() {
    finishes(|| {
        let (server, scale) = server();
        let server = server.start().unwrap();
        done(&server.load_model_with("m", versions(&[(1, "2")]))).unwrap();
        let handle = server.model("m").unwrap();
        let running = handle.infer_async(ask(HELD)).unwrap();
        scale.gate.await_come(1);
        let waiting = handle.infer_async(ask(5.0)).unwrap();
        done(&server.load_model_with("m", versions(&[(2, "3")]))).unwrap();
        assert_eq!(handle.infer(ask(1.0)).unwrap().slice::<f32>("y").unwrap(), [3.0]);
        assert!(index(&server).contains(&(1, ModelState::Unloading, String::new())), "{:?}", index(&server));
        assert!(!running.is_ready() && !waiting.is_ready());
        scale.gate.open();
        assert_eq!(running.wait().unwrap().slice::<f32>("y").unwrap(), [2.0 * HELD]);
        assert_eq!(waiting.wait().unwrap().slice::<f32>("y").unwrap(), [10.0]);
        eventually("the old version is freed", || scale.models() == 1);
    });
}

#[test]
fn what_is_left_when_the_time_is_up_is_answered_with_an_error() {
    finishes(|| {
        let (clock, (server, scale)) = (ManualClock::new(), server());
        let server = server.manual_clock(&clock).retire_timeout(Duration::from_secs(60)).start().unwrap();
        done(&server.load_model_with("m", versions(&[(1, "2")]))).unwrap();
        let running = server.infer_async("m", ask(HELD)).unwrap();
        scale.gate.await_come(1);
        let unload = server.unload_model("m");
        assert!(!unload.is_done());
        clock.advance(Duration::from_secs(61));
        let error = done_soon(&unload).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout);
        assert!(error.message().contains("model 'm' version 1"), "{error}");
        assert_eq!(running.wait().unwrap_err().kind(), ErrorKind::Unavailable);
        scale.gate.open();
        eventually("the backend lets go", || scale.models() == 0);
    });
}

#[test]
fn an_unload_is_finished_when_everything_is_freed_and_the_model_can_come_back() {
    finishes(|| {
        let (server, scale) = server();
        let server = server.start().unwrap();
        done(&server.load_model_with("m", versions(&[(1, "2")]))).unwrap();
        let handle = server.model("m").unwrap();
        done(&server.unload_model("m")).unwrap();
        assert_eq!((scale.models(), scale.instances()), (0, 0));
        assert_eq!(index(&server), [(1, ModelState::Unavailable, "unloaded".to_owned())]);
        assert!(server.is_ready(), "what was unloaded is not missed");
        let error = handle.infer(ask(1.0)).unwrap_err();
        assert!(error.kind() == ErrorKind::Unavailable && error.message().contains("unloaded"), "{error}");
        done(&server.load_model_with("m", versions(&[(1, "7")]))).unwrap();
        assert_eq!(handle.infer(ask(1.0)).unwrap().slice::<f32>("y").unwrap(), [7.0]);
        assert_eq!(done(&server.unload_model("nobody")).unwrap_err().kind(), ErrorKind::NotFound);
    });
}

#[test]
fn loads_of_one_model_come_in_order_beside_those_of_others() {
    finishes(|| {
        let (server, scale) = server();
        let server = server.load_threads_max(2).start().unwrap();
        let first = server.load_model_with("m", held(&[(1, "2")]));
        scale.gate.await_come(1);
        let second = server.load_model_with("m", versions(&[(1, "3")]));
        done(&server.load_model_with("n", versions(&[(1, "4")]))).unwrap();
        assert!(!first.is_done() && !second.is_done());
        scale.gate.open();
        done(&first).unwrap();
        done(&second).unwrap();
        assert_eq!((factor(&server, "m"), factor(&server, "n")), (Ok(3.0), Ok(4.0)));
    });
}

#[test]
fn a_stop_ends_loads_and_unloads_that_are_under_way() {
    finishes(|| {
        let (server, scale) = server();
        let server = server.load_threads_max(1).start().unwrap();
        let (first, second) =
            (server.load_model_with("m", held(&[(1, "2")])), server.load_model_with("n", versions(&[(1, "2")])));
        scale.gate.await_come(1);
        let error = server.stop(Duration::ZERO).unwrap_err();
        assert!(error.kind() == ErrorKind::Timeout && error.message().contains("still loading"), "{error}");
        assert_eq!(done(&second).unwrap_err().kind(), ErrorKind::Unavailable);
        scale.gate.open();
        assert_eq!(done(&first).unwrap_err().kind(), ErrorKind::Unavailable);
        eventually("what it loaded is freed", || scale.models() == 0);
        assert_eq!(
            done(&server.load_model_with("m", versions(&[(1, "2")]))).unwrap_err().kind(),
            ErrorKind::Unavailable
        );
    });
}

#[test]
fn a_stop_that_ends_a_load_waits_for_what_runs_on_the_version_that_serves() {
    finishes(|| {
        let (builder, scale) = server();
        let gate = Gate::new();
        let own = gate.clone();
        let execute = move |batch: &dyn Batch| {
            own.pass();
            batch.output_buffer(0, Shape::from([1, 1]))?.as_mut_slice::<f32>()?[0] = 7.0;
            Ok(())
        };
        let attributes = Attributes::CALLER_OK | Attributes::PARALLEL_LOAD;
        let custom = Custom { attributes, in_flight_max: 1, execute: Arc::new(execute) };
        let server = builder.backend(Arc::new(custom)).start().unwrap();
        let ports = "input: {name: x, data_type: FP32, dims: [1, 1]}, output: {name: y, data_type: FP32, dims: [1, 1]}";
        let first = versions(&[(1, "")]).config(format!("{{backend: custom, {ports}}}"));
        done(&server.load_model_with("m", first)).unwrap();
        let running = server.model("m").unwrap().infer_async(ask(1.0)).unwrap();
        gate.await_come(1);
        let second = server.load_model_with("m", held(&[(2, "no number")]));
        scale.gate.await_come(1);
        thread::scope(|scope| {
            let stop = scope.spawn(|| server.stop(PATIENCE));
            eventually("it stops", || !server.is_live());
            scale.gate.open();
            assert_eq!(done(&second).unwrap_err().kind(), ErrorKind::Unavailable);
            gate.open();
            assert_eq!(running.wait().unwrap().slice::<f32>("y").unwrap(), [7.0]);
            stop.join().unwrap().unwrap();
        });
    });
}

#[test]
fn a_server_is_told_what_to_load_of_its_folders_and_in_which_version() {
    let folder = Folder::with(&[
        ("a/1/factor.txt", "2"),
        ("a/2/factor.txt", "3"),
        ("b/1/factor.txt", "4"),
        ("c/1/factor.txt", "x"),
    ]);
    let path = folder.path().to_owned();
    finishes(move || {
        let scale = Scale::default();
        let builder = || ServerHandle::builder().repository(&path).backend(Arc::new(scale.clone()));
        let server = builder().explicit(["a"]).start().unwrap();
        let states: Vec<_> =
            server.models().into_iter().map(|status| (status.name, status.version, status.state)).collect();
        let unknown = |name: &str, version| (name.to_owned(), version, ModelState::Unknown);
        assert_eq!(states, [("a".to_owned(), 2, ModelState::Ready), unknown("b", 1), unknown("c", 1)]);
        assert!(server.is_ready() && factor(&server, "b") == Err(ErrorKind::Unavailable));
        done(&server.load_model("b")).unwrap();
        done(&server.load_model_with("a", LoadOptions::new().versions([1]))).unwrap();
        assert_eq!((factor(&server, "a"), factor(&server, "b")), (Ok(2.0), Ok(4.0)));
        let error = done(&server.load_model_with("a", LoadOptions::new().versions([9]))).unwrap_err();
        assert!(error.message().contains("version 9 is not there"), "{error}");
        assert_eq!(factor(&server, "a"), Ok(2.0));
        assert!(done(&server.load_model("c")).unwrap_err().message().contains("found 'x'") && !server.is_ready());
        let error = builder().explicit(["z"]).start().unwrap_err();
        assert!(error.message().contains("model 'z' is in no repository; found: a, b, c"), "{error}");
    });
}

#[test]
fn a_change_of_state_is_told_once_and_in_order() {
    finishes(|| {
        let (server, _) = server();
        let server = server.start().unwrap();
        let (tell, told) = mpsc::channel();
        let subscription = server.subscribe(move |status| tell.send((status.version, status.state)).unwrap());
        done(&server.load_model_with("m", versions(&[(1, "2")]))).unwrap();
        done(&server.load_model_with("m", versions(&[(2, "3")]))).unwrap();
        done(&server.unload_model("m")).unwrap();
        use ModelState::{Loading, Ready, Unavailable, Unloading};
        let of = |version: u64, count: usize, all: &[(u64, ModelState)]| {
            let states: Vec<_> = all.iter().filter(|(of, _)| *of == version).map(|(_, state)| *state).collect();
            assert_eq!(states.len(), count);
            states
        };
        let all: Vec<_> = (0..8).map(|_| receive(&told)).collect();
        assert_eq!(of(1, 4, &all), [Loading, Ready, Unloading, Unavailable]);
        assert_eq!(of(2, 4, &all), [Loading, Ready, Unloading, Unavailable]);
        drop(subscription);
        done(&server.load_model_with("m", versions(&[(3, "3")]))).unwrap();
        assert!(told.recv().is_err(), "the subscriber is gone, and with it the sender");
    });
}

#[test]
fn no_request_is_refused_while_versions_are_swapped() {
    const SWAPS: u64 = 60;
    finishes(|| {
        let (server, scale) = server();
        let server = server.start().unwrap();
        done(&server.load_model_with("m", versions(&[(1, "1")]))).unwrap();
        let (is_over, asked, handle) = (AtomicBool::new(false), AtomicU64::new(0), server.model("m").unwrap());
        thread::scope(|scope| {
            for client in 0..8 {
                let (handle, is_over, asked) = (handle.clone(), &is_over, &asked);
                scope.spawn(move || client_of(&handle, client, is_over, asked));
            }
            for version in 2..SWAPS {
                // Every seventh is broken, and must change nothing.
                let text = if version % 7 == 0 { "broken".to_owned() } else { version.to_string() };
                let result = done(&server.load_model_with("m", versions(&[(version, &text)])));
                assert_eq!(result.is_err(), version % 7 == 0);
                let before = asked.load(Ordering::SeqCst);
                eventually("the clients go on", || asked.load(Ordering::SeqCst) >= before + 8);
            }
            is_over.store(true, Ordering::SeqCst);
        });
        eventually("all but the last are freed", || scale.models() == 1);
    });
}

/// Asks until it is over, and counts; every answer must be of a version that was there, and versions only rise.
fn client_of(model: &ModelHandle, client: u64, is_over: &AtomicBool, asked: &AtomicU64) {
    let mut newest = 0.0;
    for turn in client.. {
        if is_over.load(Ordering::SeqCst) {
            return;
        }
        let number = (turn % 100 + 1) as f32;
        let response = ask_in_turn(model, turn, number).unwrap();
        let factor = response.slice::<f32>("y").unwrap()[0] / number;
        assert!(
            factor >= newest && factor.fract().abs() < 1e-3 && !(factor.round() as u64).is_multiple_of(7),
            "{factor} after {newest}"
        );
        newest = factor;
        asked.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_backend_that_panics_while_it_loads_fails_that_load() {
    finishes(|| {
        let (server, _) = server();
        let server = server.start().unwrap();
        // A file that is not UTF-8 makes this backend panic.
        let bad = LoadOptions::new().files([("1/factor.txt", vec![0xff])]);
        assert_eq!(done(&server.load_model_with("m", bad)).unwrap_err().kind(), ErrorKind::Panic);
        done(&server.load_model_with("m", versions(&[(1, "2")]))).unwrap();
        assert_eq!(server.infer("m", ask(POISON)).unwrap_err().kind(), ErrorKind::InvalidArg);
        assert_eq!(factor(&server, "m"), Ok(2.0));
    });
}

#[test]
fn an_operation_may_be_awaited_or_dropped_and_not_waited_for_inside_a_callback() {
    finishes(|| {
        let (server, scale) = server();
        let server = server.start().unwrap();
        drop(server.load_model_with("m", versions(&[(1, "2")])));
        eventually("it is loaded all the same", || factor(&server, "m") == Ok(2.0));
        common::block_on(server.load_model_with("m", versions(&[(2, "3")]))).unwrap();
        let (tell, told) = mpsc::channel();
        let operation = server.load_model_with("n", held(&[(1, "2")]));
        scale.gate.await_come(1);
        let inside = operation.clone();
        server.model("m").unwrap().infer_callback(ask(1.0), move |_| tell.send(inside.wait()).unwrap()).unwrap();
        assert_eq!(receive(&told).unwrap_err().kind(), ErrorKind::FailedPrecondition);
        assert!(operation.wait_for(Duration::ZERO).is_none());
        scale.gate.open();
        done(&operation).unwrap();
    });
}
