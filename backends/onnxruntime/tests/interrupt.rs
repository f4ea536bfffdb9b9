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

/// What an execution that is interrupted answers each request with.
fn interrupted(instance: &mut dyn Instance, requests: Vec<Impatient>) -> Vec<Option<ErrorKind>> {
    let batch = Impatients(requests);
    instance.execute(&batch).unwrap();
    batch.failed()
}

const CANCELLED: Option<ErrorKind> = Some(ErrorKind::Cancelled);

#[test]
fn an_execution_that_nobody_waits_for_is_interrupted_and_the_next_is_not() {
    let model = model();
    let mut instance = instance(&*model);
    for _ in 0..3 {
        assert_eq!(interrupted(&mut *instance, vec![Impatient::new(HOURS, 2)]), [CANCELLED]);
        assert_eq!(interrupted(&mut *instance, vec![Impatient::new(10, u32::MAX)]), [None]);
    }
}

#[test]
fn an_execution_goes_on_as_long_as_one_request_is_waited_for() {
    let model = model();
    let batch = Impatients(vec![Impatient::new(HOURS, 0), Impatient::new(HOURS, 5), Impatient::new(HOURS, 0)]);
    instance(&*model).execute(&batch).unwrap();
    assert_eq!(batch.failed(), [CANCELLED; 3]);
    assert!(batch.0[1].asked.load(Ordering::SeqCst) > 5, "the one that waits was asked until it gave up");
}

#[test]
fn a_request_whose_deadline_has_passed_is_late_and_not_cancelled() {
    let model = model();
    let request = || Impatient::new(HOURS, 1);
    let requests = vec![request().with_deadline(1), request(), request().with_deadline(u64::MAX)];
    let found = interrupted(&mut *instance(&*model), requests);
    assert_eq!(found, [Some(ErrorKind::Timeout), CANCELLED, CANCELLED]);
}

#[test]
fn instances_of_one_model_are_interrupted_each_for_itself() {
    let model = model();
    std::thread::scope(|scope| {
        for patience in [1, 3, 9] {
            let mut instance = instance(&*model);
            scope.spawn(move || {
                assert_eq!(interrupted(&mut *instance, vec![Impatient::new(HOURS, patience)]), [CANCELLED]);
            });
        }
        assert_eq!(interrupted(&mut *instance(&*model), vec![Impatient::new(1000, u32::MAX)]), [None]);
    });
}

#[test]
fn a_request_that_was_cancelled_before_is_interrupted_too() {
    let model = model();
    assert_eq!(interrupted(&mut *instance(&*model), vec![Impatient::new(HOURS, 0)]), [CANCELLED]);
}
