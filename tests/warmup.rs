//! Warm-up: every instance executes what the config lists before it serves, and a failure fails the load.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may unwrap")]

mod common;

use common::custom::Custom;
use common::scale::Scale;
use common::{Gate, PATIENCE, eventually, finishes};
use inferlay::{ErrorKind, LoadOptions, Request, ServerHandle, Tensor};
use inferlay_backend_sdk::{Attributes, Batch, Placement, Shape};
use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// What the backend has seen: rows and first element of every execution, in order.
type Seen = Arc<Mutex<Vec<(usize, f32)>>>;

/// A backend that answers with its input, and fails for a first element of -1.
fn echo(seen: &Seen, attributes: Attributes) -> Custom {
    let seen = seen.clone();
    let execute = move |batch: &dyn Batch| {
        let values = batch.input(0, Placement::HOST)?.as_slice::<f32>()?;
        seen.lock().unwrap().push((batch.rows(), values[0]));
        if values[0] == -1.0 {
            return Err(inferlay::Error::invalid_arg("minus one"));
        }
        let y = batch.output_buffer(0, Shape::from([batch.rows(), 2]))?.as_mut_slice::<f32>()?;
        y.copy_from_slice(values);
        Ok(())
    };
    Custom { attributes, in_flight_max: 1, execute: Arc::new(execute) }
}

fn config(more: &str) -> String {
    let ports = "input: {name: x, data_type: FP32, dims: 2}\noutput: {name: y, data_type: FP32, dims: 2}";
    format!("backend: custom\nmax_batch_size: 8\n{ports}\n{more}\n")
}

fn load(server: &ServerHandle, warmup: &str, files: &[(&str, Vec<u8>)]) -> Result<(), inferlay::Error> {
    let files = files.iter().map(|(name, content)| ((*name).to_owned(), content.clone()));
    let options = LoadOptions::new().config(config(warmup)).files(files.chain([("1/weights".to_owned(), vec![0])]));
    server.load_model_with("m", options).wait_for(PATIENCE).expect("the load did not end")
}

fn server(attributes: Attributes) -> (ServerHandle, Seen) {
    let seen = Seen::default();
    let server = ServerHandle::builder().explicit([""; 0]).backend(Arc::new(echo(&seen, attributes))).start().unwrap();
    (server, seen)
}

const ZEROS: &str = "{name: zeros, batch_size: 3, count: 2, inputs: {x: {data_type: FP32, dims: 2, zero_data: true}}}";

#[test]
fn every_instance_executes_every_request_so_often_and_nobody_counts_it() {
    for attributes in [Attributes::CALLER_OK, Attributes::NONE, Attributes::INSTANCE_THREAD] {
        finishes(move || {
            let (server, seen) = server(attributes);
            load(&server, &format!("model_warmup: [{ZEROS}]\ninstance_group: {{count: 3}}"), &[]).unwrap();
            assert_eq!(*seen.lock().unwrap(), [(3, 0.0); 6]);
            let model = server.model("m").unwrap();
            assert_eq!(model.statistics().unwrap().execution_count, 0);
            let x = Tensor::from_vec(vec![5.0f32, 6.0], [1, 2]).unwrap();
            assert_eq!(model.infer(Request::new().input("x", x)).unwrap().slice::<f32>("y").unwrap(), [5.0, 6.0]);
        });
    }
}

#[test]
fn a_warm_up_that_outlasts_a_stop_ends() {
    // Executed by a worker, or by the instance's own thread: the next execution would need one that is gone by then.
    for attributes in [Attributes::NONE, Attributes::INSTANCE_THREAD] {
        finishes(move || {
            let (gate, seen) = (Gate::new(), Seen::default());
            let (at, inner) = (gate.clone(), echo(&seen, attributes));
            let execute = inner.execute.clone();
            let held = move |batch: &dyn Batch| {
                at.pass();
                execute(batch)
            };
            let backend = Custom { execute: Arc::new(held), ..inner };
            let freed = Arc::downgrade(&backend.execute);
            let server = ServerHandle::builder().explicit([""; 0]).backend(Arc::new(backend)).start().unwrap();
            let files = [("1/weights".to_owned(), vec![0])];
            let options = LoadOptions::new().config(config(&format!("model_warmup: [{ZEROS}]"))).files(files);
            let load = server.load_model_with("m", options);
            gate.await_come(1);
            assert_eq!(server.stop(Duration::ZERO).unwrap_err().kind(), ErrorKind::Timeout);
            gate.open();
            let ended = load.wait_for(PATIENCE).expect("the load did not end");
            assert_eq!(ended.unwrap_err().kind(), ErrorKind::Unavailable);
            drop(server);
            eventually("its thread lets go of everything", || freed.strong_count() == 0);
            assert_eq!(gate.come(), 1, "it is executed once");
        });
    }
}

#[test]
fn a_warm_up_that_begins_after_a_stop_ends() {
    finishes(|| {
        let scale = Scale::default();
        let server = ServerHandle::builder().explicit([""; 0]).backend(Arc::new(scale.clone())).start().unwrap();
        // No caller may execute it, and there are no workers by then.
        let warmup = "{name: w, batch_size: 1, inputs: {x: {data_type: FP32, dims: 1, zero_data: true}}}";
        let config = format!("parameters: {{gate: \"yes\"}}\ncaller_runs: never\nmodel_warmup: [{warmup}]");
        let files = [("1/factor.txt".to_owned(), b"2".to_vec())];
        let load = server.load_model_with("m", LoadOptions::new().config(config).files(files));
        scale.gate.await_come(1);
        assert_eq!(server.stop(Duration::ZERO).unwrap_err().kind(), ErrorKind::Timeout);
        scale.gate.open();
        assert_eq!(load.wait().unwrap_err().kind(), ErrorKind::Unavailable);
        drop(server);
        // The server has one hold of its backend, and its models have others.
        eventually("its thread lets go of everything", || Arc::strong_count(&scale.models) == 1);
    });
}

#[test]
fn instances_that_come_later_are_warmed_up_as_well() {
    finishes(|| {
        let (server, seen) = server(Attributes::CALLER_OK);
        let with = |count: usize| format!("model_warmup: [{ZEROS}]\ninstance_group: {{count: {count}}}");
        load(&server, &with(1), &[]).unwrap();
        load(&server, &with(3), &[]).unwrap();
        assert_eq!(*seen.lock().unwrap(), [(3, 0.0); 6]);
    });
}

#[test]
fn data_is_random_or_from_a_file_beside_the_versions() {
    finishes(|| {
        let (server, seen) = server(Attributes::CALLER_OK);
        let random = "{name: random, batch_size: 1, inputs: {x: {data_type: FP32, dims: 2, random_data: true}}}";
        let file = "{name: file, batch_size: 2, inputs: {x: {data_type: FP32, dims: 2, input_data_file: two}}}";
        let two: Vec<u8> = [7.0f32, 8.0].iter().flat_map(|value| value.to_le_bytes()).collect();
        load(&server, &format!("model_warmup: [{random}, {file}]"), &[("warmup/two", two)]).unwrap();
        let seen = seen.lock().unwrap().clone();
        assert!(seen[0].0 == 1 && (0.0..1.0).contains(&seen[0].1), "{seen:?}");
        assert_eq!(seen[1], (2, 7.0));
    });
}

#[test]
fn what_goes_wrong_fails_the_load_and_leaves_what_serves() {
    finishes(|| {
        let (server, _) = server(Attributes::CALLER_OK);
        load(&server, "", &[]).unwrap();
        let file = |name: &str| {
            format!("model_warmup: [{{name: w, inputs: {{x: {{data_type: FP32, dims: 2, input_data_file: {name}}}}}}}]")
        };
        let minus: Vec<u8> = [-1.0f32, 0.0].iter().flat_map(|value| value.to_le_bytes()).collect();
        type Row<'a> = (String, &'a [(&'a str, Vec<u8>)], &'a str);
        let rows: [Row<'_>; 4] = [
            (file("minus"), &[("warmup/minus", minus)], "model_warmup 'w': minus one"),
            (
                file("short"),
                &[("warmup/short", vec![0; 7])],
                "model_warmup 'w': input 'x': found a file of 7 bytes, expected 8",
            ),
            (file("none"), &[], "file 'warmup/none'"),
            (file("'../1/weights'"), &[], "model_warmup"),
        ];
        for (warmup, files, message) in rows {
            let error = load(&server, &warmup, files).unwrap_err();
            assert!(error.message().contains(message), "{error}");
            let x = Tensor::from_vec(vec![1.0f32, 2.0], [1, 2]).unwrap();
            assert!(server.infer("m", Request::new().input("x", x)).is_ok());
        }
    });
}

#[test]
fn an_instance_is_warm_before_its_first_request() {
    finishes(|| {
        let (executions, cold) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(BTreeSet::new())));
        let (count, early) = (executions.clone(), cold.clone());
        let execute = move |batch: &dyn Batch| {
            let values = batch.input(0, Placement::HOST)?.as_slice::<f32>()?;
            let before = count.fetch_add(1, Ordering::SeqCst);
            if values[0] != 0.0 && before < 2 {
                early.lock().unwrap().insert(before);
            }
            let y = batch.output_buffer(0, Shape::from([batch.rows(), 2]))?.as_mut_slice::<f32>()?;
            y.copy_from_slice(values);
            Ok(())
        };
        let custom = Custom { attributes: Attributes::NONE, in_flight_max: 1, execute: Arc::new(execute) };
        let server = ServerHandle::builder().explicit([""; 0]).backend(Arc::new(custom)).start().unwrap();
        let loading = {
            let options =
                LoadOptions::new().config(config(&format!("model_warmup: [{ZEROS}]"))).files([("1/weights", vec![0])]);
            server.load_model_with("m", options)
        };
        let x = || Tensor::from_vec(vec![1.0f32, 2.0], [1, 2]).unwrap();
        common::eventually("it serves", || server.infer("m", Request::new().input("x", x())).is_ok());
        loading.wait().unwrap();
        assert!(cold.lock().unwrap().is_empty() && executions.load(Ordering::SeqCst) == 3);
    });
}
