//! What readiness tells: of models that cannot be brought into memory, that wait for what they replace, and whose instances
//! are lost.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may unwrap")]

mod common;

use common::paged::{answers, ask, config, server, server_of};
use common::scale::{HELD, Scale};
use common::{Folder, Gate, PATIENCE, doubling, eventually, finishes};
use inferlay::{
    DataType, Error, ErrorKind, LoadOptions, ManualClock, ModelBatch, ModelConfig, ModelHandle, ModelState, Request,
    ServerHandle, Tensor,
};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

/// What the index says of the only version of a model, and whether model and server are ready.
fn told(server: &ServerHandle, model: &ModelHandle) -> (ModelState, bool, bool) {
    let status = server.models().into_iter().find(|status| status.name == model.name()).unwrap();
    (status.state, model.is_ready(), server.is_ready())
}

const READY: (ModelState, bool, bool) = (ModelState::Ready, true, true);
const UNAVAILABLE: (ModelState, bool, bool) = (ModelState::Unavailable, false, false);

#[test]
fn a_model_that_could_not_be_brought_into_memory_is_not_ready_until_it_can() {
    finishes(|| {
        let folder = Folder::with(&[("m/config.yaml", &config("")), ("m/1/factor.txt", "none")]);
        let (builder, _) = server(1, 1);
        let server = builder.repository(folder.path()).start().unwrap();
        let model = server.model("m").unwrap();
        assert_eq!(told(&server, &model), READY, "nobody knows yet");
        assert!(model.infer(ask(1.0)).is_err());
        assert_eq!(told(&server, &model), UNAVAILABLE);
        assert!(!server.model_version("m", 1).unwrap().is_ready() && server.model("m0").unwrap().is_ready());
        folder.write("m/1/factor.txt", "3");
        server.load_model("m").wait_for(PATIENCE).unwrap().unwrap();
        assert_eq!(told(&server, &model), READY);
    });
}

#[test]
fn a_model_that_waits_for_what_it_replaces_is_not_ready() {
    finishes(|| {
        let (builder, scale) = server(1, 1);
        let server = builder.start().unwrap();
        answers(&server, 0);
        let model = server.model("m0").unwrap();
        let running = model.infer_async(ask(HELD)).unwrap();
        scale.gate.await_come(1);
        let files = [("factor.txt", b"7".to_vec())];
        let options = LoadOptions::new().files(files).config(config("") + "swap: replace\n");
        let operation = server.load_model_with("m0", options);
        eventually("the new one has its place", || told(&server, &model).0 == ModelState::Loading);
        assert_eq!(told(&server, &model), (ModelState::Loading, false, false));
        scale.gate.open();
        operation.wait_for(PATIENCE).unwrap().unwrap();
        assert_eq!(told(&server, &model), READY);
        running.wait().unwrap();
    });
}

#[test]
fn a_hung_execution_and_failures_of_single_requests_are_told_apart() {
    finishes(|| {
        let (gate, clock) = (Gate::new(), ManualClock::new());
        let server = ServerHandle::builder().manual_clock(&clock).start().unwrap();
        let kinds = [ErrorKind::Internal, ErrorKind::Unavailable, ErrorKind::Panic];
        for (kind, name) in kinds.into_iter().zip(["internal", "unavailable", "panics"]) {
            let fail = move |_: &ModelBatch<'_>| match kind {
                ErrorKind::Panic => panic!("a function of a test"),
                kind => Err(Error::new(kind, "not this one")),
            };
            let model = server.register_model(doubling(name), fail).unwrap();
            for _ in 0..20 {
                assert_eq!(model.infer(common::ask(1.0)).unwrap_err().kind(), kind);
            }
            // One client whose requests all fail takes nothing from the others.
            assert_eq!(told(&server, &model), READY);
        }
        let hangs = server.register_model(doubling("hangs").execution_timeout_us(1), common::gated(&gate)).unwrap();
        let running = hangs.infer_async(common::ask(1.0)).unwrap();
        gate.await_come(1);
        clock.advance(Duration::from_secs(1));
        assert_eq!(running.wait().unwrap_err().kind(), ErrorKind::Timeout);
        assert_eq!(told(&server, &hangs), UNAVAILABLE);
        gate.open();
    });
}

/// A model of so many instances, each of which is lost when `x` is below 0, after the gate.
fn losing(server: &ServerHandle, gate: &Gate, instances: usize) -> ModelHandle {
    let config = ModelConfig::new("m").input("x", DataType::Fp32, [1]).output("y", DataType::Fp32, [1]);
    let gate = gate.clone();
    let function = move |batch: &ModelBatch<'_>| {
        let x = batch.input("x")?.as_slice::<f32>()?[0];
        if x < 0.0 {
            gate.pass();
            return Err(Error::new(ErrorKind::InstanceLost, "the device fell off the bus"));
        }
        batch.set_output("y", Tensor::from_vec(vec![x], [1])?)
    };
    server.register_model(config.instances(instances), function).unwrap()
}

fn one(value: f32) -> Request<'static> {
    Request::new().input("x", Tensor::from_vec(vec![value], [1]).unwrap())
}

#[test]
fn a_model_whose_last_instance_is_lost_serves_no_more_and_tells_everybody_why() {
    finishes(|| {
        let (server, gate, changes) =
            (ServerHandle::builder().start().unwrap(), Gate::new(), Arc::new(AtomicUsize::new(0)));
        let model = losing(&server, &gate, 2);
        let is_told = |error: &Error| error.kind() == ErrorKind::Unavailable && error.message().contains("off the bus");
        gate.admit(1);
        assert!(is_told(&model.infer(one(-1.0)).unwrap_err()));
        // The other one goes on.
        assert_eq!(told(&server, &model), READY);
        model.infer(one(1.0)).unwrap();
        let count = changes.clone();
        let _subscription = server.subscribe(move |status| {
            count.fetch_add(usize::from(status.state == ModelState::Unavailable), Ordering::SeqCst);
        });
        let last = model.infer_async(one(-1.0)).unwrap();
        gate.await_come(2);
        let waiting: Vec<_> = (0..3).map(|_| model.infer_async(one(1.0)).unwrap()).collect();
        gate.open();
        for future in waiting.into_iter().chain([last]) {
            let error = future.wait().unwrap_err();
            assert!(is_told(&error), "{error}");
        }
        assert_eq!(told(&server, &model), UNAVAILABLE);
        assert!(server.models()[0].reason.contains("off the bus"), "{:?}", server.models());
        let refused = model.infer(one(1.0)).unwrap_err();
        assert!(is_told(&refused), "{refused}");
        eventually("it was told", || changes.load(Ordering::SeqCst) == 1);
        server.remove_model("m", PATIENCE).unwrap();
        losing(&server, &gate, 1).infer(one(1.0)).unwrap();
        server.stop(PATIENCE).unwrap();
    });
}

#[test]
fn an_answer_that_comes_later_says_as_well_that_its_instance_is_lost() {
    finishes(|| {
        let server = ServerHandle::builder().start().unwrap();
        let queue = server.register_pulled_model(doubling("m").instances(2)).unwrap();
        let model = server.model("m").unwrap();
        for is_last in [false, true] {
            let asked = model.infer_async(common::ask(1.0)).unwrap();
            let batch = queue.next(PATIENCE).unwrap().unwrap();
            batch.fail(Error::new(ErrorKind::InstanceLost, "the worker process ended"));
            assert_eq!(asked.wait().unwrap_err().kind(), ErrorKind::Unavailable);
            if !is_last {
                // The other one serves.
                let asked = model.infer_async(common::ask(1.0)).unwrap();
                let batch = queue.next(PATIENCE).unwrap().unwrap();
                common::double(&batch.view()).unwrap();
                batch.answer().unwrap();
                assert_eq!(asked.wait().unwrap().slice::<f32>("y").unwrap(), common::answer(1.0));
                assert_eq!(told(&server, &model), READY);
            }
        }
        // The instance is back a moment after its answer.
        eventually("nobody is left", || told(&server, &model) == UNAVAILABLE);
        assert!(server.models()[0].reason.contains("the worker process ended"));
        server.stop(PATIENCE).unwrap();
    });
}

#[test]
fn a_function_that_fails_one_request_as_lost_is_lost() {
    finishes(|| {
        let server = ServerHandle::builder().start().unwrap();
        let function = |batch: &ModelBatch<'_>| {
            batch.fail(0, Error::new(ErrorKind::InstanceLost, "no link"));
            Ok(())
        };
        let model = server.register_model(doubling("m"), function).unwrap();
        let error = model.infer(common::ask(1.0)).unwrap_err();
        assert_eq!(
            (error.kind(), error.message().contains("an instance is lost: no link")),
            (ErrorKind::Unavailable, true)
        );
        assert_eq!(told(&server, &model), UNAVAILABLE);
    });
}

#[test]
fn what_is_lost_gives_its_room_to_others() {
    finishes(|| {
        let is_lost = Arc::new(AtomicBool::new(false));
        let scale = Scale { is_lost: is_lost.clone(), ..Scale::default() };
        let server = server_of(&scale, 3, 2).start().unwrap();
        answers(&server, 0);
        answers(&server, 1);
        is_lost.store(true, Ordering::SeqCst);
        assert_eq!(server.infer("m0", ask(1.0)).unwrap_err().kind(), ErrorKind::Unavailable);
        is_lost.store(false, Ordering::SeqCst);
        server.pin_model("m1", true);
        answers(&server, 2);
        assert_eq!((server.paging().resident_count, scale.models()), (2, 2));
        assert_eq!(server.infer("m0", ask(1.0)).unwrap_err().kind(), ErrorKind::Unavailable);
        answers(&server, 1);
    });
}

#[test]
fn what_is_lost_is_loaded_anew_where_there_is_room_for_one() {
    finishes(|| {
        let is_lost = Arc::new(AtomicBool::new(false));
        let scale = Scale { is_lost: is_lost.clone(), ..Scale::default() };
        let folder = Folder::with(&[("m/config.yaml", &config("")), ("m/1/factor.txt", "3")]);
        let server = server_of(&scale, 0, 1).repository(folder.path()).start().unwrap();
        let model = server.model("m").unwrap();
        is_lost.store(true, Ordering::SeqCst);
        assert_eq!(model.infer(ask(1.0)).unwrap_err().kind(), ErrorKind::Unavailable);
        is_lost.store(false, Ordering::SeqCst);
        assert_eq!(told(&server, &model), UNAVAILABLE);
        server.load_model("m").wait_for(PATIENCE).unwrap().unwrap();
        assert_eq!(told(&server, &model), READY);
        assert_eq!(model.infer(ask(1.0)).unwrap().slice::<f32>("y").unwrap(), [3.0]);
        eventually("the dead one is freed", || scale.models() == 1);
    });
}

#[test]
fn a_load_brings_back_the_instances_that_were_lost() {
    finishes(|| {
        let is_lost = Arc::new(AtomicBool::new(false));
        let scale = Scale { is_lost: is_lost.clone(), ..Scale::default() };
        let server = ServerHandle::builder().explicit([""; 0]).backend(Arc::new(scale.clone())).start().unwrap();
        let load = || {
            let options = LoadOptions::new().files([("1/factor.txt", b"2".to_vec())]);
            server.load_model_with("m", options.config("instance_group: {count: 2}")).wait_for(PATIENCE).unwrap()
        };
        load().unwrap();
        let model = server.model("m").unwrap();
        for (losses, state, loads) in [(1, READY, 1), (2, UNAVAILABLE, 2)] {
            is_lost.store(true, Ordering::SeqCst);
            for _ in 0..losses {
                assert_eq!(model.infer(ask(1.0)).unwrap_err().kind(), ErrorKind::Unavailable);
            }
            is_lost.store(false, Ordering::SeqCst);
            assert_eq!((told(&server, &model), scale.instances()), (state, 2 - losses));
            load().unwrap();
            assert_eq!(told(&server, &model), READY);
            // Where one was left, only the other one was made anew.
            eventually("there are two", || (scale.instances(), scale.models()) == (2, 1));
            assert_eq!(scale.loads(), loads);
            assert_eq!(model.infer(ask(1.0)).unwrap().slice::<f32>("y").unwrap(), [2.0]);
        }
    });
}
