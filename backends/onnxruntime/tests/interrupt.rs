//! An execution ends early when nobody waits for it any more, and only then.
//!
//! The model counts for hours. Requests say how often they were asked before they are cancelled, so that no test depends
//! on time.

#![allow(clippy::unwrap_used, reason = "a test stops where something fails")]

mod models;
mod runtime;

use inferlay_backend_sdk::conformance::MemoryFiles;
use inferlay_backend_sdk::{
    Batch, Device, Error, ErrorKind, Instance, InstanceSpec, Model, ParameterValue, Placement, Request, RequestInfo,
    Shape, Tensor, TensorMut, TensorRef,
};
use models::counting;
use std::sync::atomic::{AtomicU32, Ordering};

/// More than any machine counts while the test runs.
const HOURS: i64 = 1 << 40;

/// A request that is cancelled once it was asked more than so often.
struct Impatient {
    inputs: Vec<Tensor>,
    asked: AtomicU32,
    patience: u32,
}

impl Impatient {
    fn new(count: i64, patience: u32) -> Self {
        let inputs = vec![Tensor::from_vec(vec![count], []).unwrap(), Tensor::from_vec(vec![0.5f32], [1]).unwrap()];
        Impatient { inputs, asked: AtomicU32::new(0), patience }
    }
}

impl RequestInfo for Impatient {
    fn id(&self) -> &str {
        "impatient"
    }

    fn rows(&self) -> usize {
        1
    }

    fn priority(&self) -> u32 {
        0
    }

    fn deadline_ns(&self) -> Option<u64> {
        None
    }

    fn cancelled(&self) -> bool {
        self.asked.fetch_add(1, Ordering::SeqCst) >= self.patience
    }

    fn parameter(&self, _name: &str) -> Option<&ParameterValue> {
        None
    }

    fn output_wanted(&self, _index: usize) -> bool {
        true
    }

    fn output_placement(&self, _index: usize) -> Placement {
        Placement::HOST
    }

    fn input(&self, index: usize) -> Result<TensorRef<'_>, Error> {
        Ok(self.inputs[index].view())
    }
}

/// A batch of such requests; nobody looks at its outputs.
struct Impatients(Vec<Impatient>);

impl Batch for Impatients {
    fn len(&self) -> usize {
        self.0.len()
    }

    fn rows(&self) -> usize {
        1
    }

    fn request(&self, index: usize) -> &dyn RequestInfo {
        &self.0[index]
    }

    fn input(&self, index: usize, _wanted: Placement) -> Result<TensorRef<'_>, Error> {
        self.0[0].input(index)
    }

    fn output_wanted(&self, _index: usize) -> bool {
        true
    }

    fn output_buffer(&self, _index: usize, _shape: Shape) -> Result<TensorMut<'_>, Error> {
        panic!("the model's output is of unknown rank");
    }

    fn output(&self, _index: usize, _tensor: Tensor) -> Result<(), Error> {
        Ok(())
    }

    fn fail(&self, _request: usize, error: Error) {
        panic!("failed alone: {error}");
    }

    fn take(&self, _request: usize) -> Result<Request, Error> {
        panic!("taken");
    }
}

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
