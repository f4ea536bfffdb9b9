//! An execution ends early when nobody waits for it any more, and only then.

#![allow(clippy::unwrap_used, reason = "a test stops where something fails")]

mod impatient;
mod models;
mod runtime;

use impatient::{HOURS, Impatient, Impatients};
use inferlay_backend_sdk::conformance::MemoryFiles;
use inferlay_backend_sdk::{Device, ErrorKind, Instance, InstanceSpec, Model};
use models::counting;
use std::sync::atomic::Ordering;

fn model() -> Box<dyn Model> {
    let mut files = MemoryFiles::default();
    files.insert("model.onnx", counting().encoded());
    runtime::load(&runtime::backend(), "model.onnx", &files).unwrap()
}

fn instance(model: &dyn Model) -> Box<dyn Instance> {
    model.instance(&InstanceSpec { index: 0, device: Device::Cpu, threads_max: 1 }).unwrap()
}

#[test]
fn an_execution_that_nobody_waits_for_is_interrupted_and_the_next_is_not() {
    let model = model();
    let mut instance = instance(&*model);
    for _ in 0..3 {
        let error = instance.execute(&Impatients(vec![Impatient::new(HOURS, 2)])).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Cancelled, "{error}");
        instance.execute(&Impatients(vec![Impatient::new(10, u32::MAX)])).unwrap();
    }
}

#[test]
fn an_execution_goes_on_as_long_as_one_request_is_waited_for() {
    let model = model();
    let batch = Impatients(vec![Impatient::new(HOURS, 0), Impatient::new(HOURS, 5), Impatient::new(HOURS, 0)]);
    let error = instance(&*model).execute(&batch).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled);
    assert!(batch.0[1].asked.load(Ordering::SeqCst) > 5, "the one that waits was asked until it gave up");
}

#[test]
fn instances_of_one_model_are_interrupted_each_for_itself() {
    let model = model();
    std::thread::scope(|scope| {
        for patience in [1, 3, 9] {
            let mut instance = instance(&*model);
            scope.spawn(move || {
                let error = instance.execute(&Impatients(vec![Impatient::new(HOURS, patience)])).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::Cancelled);
            });
        }
        instance(&*model).execute(&Impatients(vec![Impatient::new(1000, u32::MAX)])).unwrap();
    });
}

#[test]
fn a_request_that_was_cancelled_before_is_interrupted_too() {
    let model = model();
    let error = instance(&*model).execute(&Impatients(vec![Impatient::new(HOURS, 0)])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Cancelled);
}
