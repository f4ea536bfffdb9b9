//! Models that leave: what an unload waits for, what is told of it, and what stays behind.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may unwrap")]

mod common;

use common::explicit::{done, done_soon, factor, held, index, server, versions};
use common::scale::{HELD, ask};
use common::{Folder, PATIENCE, eventually, finishes, receive};
use inferlay::{ErrorKind, ManualClock, ModelState};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

#[test]
fn a_second_unload_ends_when_the_memory_is_back_and_not_before() {
    finishes(|| {
        let (server, scale) = server();
        let server = server.start().unwrap();
        done(&server.load_model_with("m", versions(&[(1, "2")]))).unwrap();
        let running = server.infer_async("m", ask(HELD)).unwrap();
        scale.gate.await_come(1);
        // A version that drains because it was replaced is in memory as well.
        done(&server.load_model_with("m", versions(&[(2, "3")]))).unwrap();
        let unloads = [(); 2].map(|()| server.unload_model("m"));
        eventually("the second version is freed", || scale.models() == 1);
        assert!(unloads.iter().all(|unload| !unload.is_done()));
        scale.gate.open();
        unloads.iter().for_each(|unload| done(unload).unwrap());
        assert_eq!((scale.models(), scale.instances()), (0, 0));
        assert_eq!(running.wait().unwrap().slice::<f32>("y").unwrap(), [2.0 * HELD]);
    });
}

#[test]
fn a_name_of_which_nothing_can_be_loaded_is_not_remembered() {
    finishes(|| {
        let (server, _) = server();
        let server = server.start().unwrap();
        done(&server.load_model_with("m", versions(&[(1, "2")]))).unwrap();
        assert_eq!(done(&server.load_model("ghost")).unwrap_err().kind(), ErrorKind::NotFound);
        let refusals = [done(&server.unload_model("ghost")), server.model("ghost").map(drop)];
        for refused in refusals {
            let error = refused.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotFound);
            assert!(error.message().ends_with("model 'ghost' not found; known: m"), "{error}");
        }
        // What somebody has a handle of may come back, and is not there before.
        let handle = server.model("m").unwrap();
        server.remove_model("m", PATIENCE).unwrap();
        assert_eq!(done(&server.unload_model("m")).unwrap_err().kind(), ErrorKind::NotFound);
        done(&server.load_model_with("m", versions(&[(1, "5")]))).unwrap();
        assert_eq!(handle.infer(ask(1.0)).unwrap().slice::<f32>("y").unwrap(), [5.0]);
    });
}

#[test]
fn a_model_that_gets_stuck_is_told_of_and_is_not_ready() {
    finishes(|| {
        let (clock, (server, scale)) = (ManualClock::new(), server());
        let server = server.manual_clock(&clock).start().unwrap();
        let (tell, told) = mpsc::channel();
        let _subscription = server.subscribe(move |status| tell.send(status.clone()).unwrap());
        let limit = |factor| versions(&[(1, factor)]).config("execution_timeout_microseconds: 1000000");
        done_soon(&server.load_model_with("m", limit("2"))).unwrap();
        let (model, running) = (server.model("m").unwrap(), server.infer_async("m", ask(HELD)).unwrap());
        scale.gate.await_come(1);
        assert!(server.is_ready() && model.is_ready());
        clock.advance(Duration::from_secs(2));
        assert_eq!(running.wait().unwrap_err().kind(), ErrorKind::Timeout);
        assert!(!server.is_ready() && !model.is_ready());
        let states = [(); 3].map(|()| receive(&told));
        assert_eq!(
            states.each_ref().map(|status| status.state),
            [ModelState::Loading, ModelState::Ready, ModelState::Unavailable]
        );
        assert!(states[2].reason.contains("execution_timeout"), "{:?}", states[2]);
        assert_eq!(server.models()[0], states[2]);
        done_soon(&server.load_model_with("m", limit("3"))).unwrap();
        assert_eq!(receive(&told).state, ModelState::Ready);
        assert!(server.is_ready() && model.is_ready());
        scale.gate.open();
    });
}

#[test]
fn a_change_of_instances_that_was_not_taken_in_changes_none() {
    let config = |count: usize| {
        let warmup = "{name: w, batch_size: 1, inputs: {x: {data_type: FP32, dims: 1, zero_data: true}}}";
        format!("instance_group: {{count: {count}}}\nmodel_warmup: [{warmup}]")
    };
    // Executions of a negative number wait at the gate, those of a warm-up as well.
    let folder = Folder::with(&[("m/1/factor.txt", "-2"), ("m/config.yaml", &config(1))]);
    finishes(move || {
        let (server, scale) = server();
        let server = server.repository(folder.path()).start().unwrap();
        scale.gate.admit(1);
        done(&server.load_model("m")).unwrap();
        folder.write("m/config.yaml", &config(2));
        let stale = server.load_model("m");
        scale.gate.await_come(2);
        folder.write("m/config.yaml", &config(1));
        scale.gate.admit(1);
        let error = done(&stale).unwrap_err();
        assert!(error.message().contains("files changed while"), "{error}");
        done(&server.load_model("m")).unwrap();
        assert_eq!((scale.instances(), scale.loads()), (1, 1));
    });
}

#[test]
fn an_unload_overtakes_a_load_that_is_under_way() {
    finishes(|| {
        let (server, scale) = server();
        let server = server.start().unwrap();
        let load = server.load_model_with("m", held(&[(1, "2")]));
        scale.gate.await_come(1);
        assert_eq!(index(&server), [(1, ModelState::Loading, String::new())]);
        assert!(!server.is_ready() && !load.is_done());
        let unload = server.unload_model("m");
        assert_eq!(index(&server), [(1, ModelState::Unavailable, "unloaded".to_owned())]);
        assert!(!unload.is_done(), "the load has memory still");
        // Whatever becomes of it: this one would have failed.
        let failing = server.load_model_with("n", held(&[(1, "broken")]));
        scale.gate.admit(1);
        assert_eq!(done(&load).unwrap_err().kind(), ErrorKind::Cancelled);
        done(&unload).unwrap();
        assert_eq!(scale.models(), 0);
        scale.gate.await_come(2);
        let unload = server.unload_model("n");
        let again = server.load_model_with("m", versions(&[(1, "3")]));
        scale.gate.open();
        assert_eq!(done(&failing).unwrap_err().kind(), ErrorKind::Cancelled);
        done(&unload).unwrap();
        done(&again).unwrap();
        assert_eq!((factor(&server, "m"), scale.models()), (Ok(3.0), 1));
    });
}

#[test]
fn what_fails_while_a_removed_model_drains_is_still_told() {
    finishes(|| {
        let (server, scale) = server();
        let server = server.start().unwrap();
        done(&server.load_model_with("m", versions(&[(1, "2")]))).unwrap();
        let running = server.infer_async("m", ask(HELD)).unwrap();
        scale.gate.await_come(1);
        thread::scope(|scope| {
            let removing = scope.spawn(|| server.remove_model("m", PATIENCE));
            eventually("it drains", || index(&server)[0].1 == ModelState::Unloading);
            done(&server.load_model_with("m", versions(&[(2, "three")]))).unwrap_err();
            scale.gate.open();
            removing.join().unwrap().unwrap();
        });
        running.wait().unwrap();
        let states = index(&server);
        assert!(matches!(&states[..], [(2, ModelState::Unavailable, why)] if why.contains("three")), "{states:?}");
    });
}
