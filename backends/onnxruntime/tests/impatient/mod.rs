//! Requests that are cancelled once they were asked more than so often whether they are, and a model that counts for
//! hours, so that no test of interruption depends on time.

#![allow(dead_code, reason = "no test uses all of it")]
#![allow(clippy::unwrap_used, reason = "a test stops where something fails")]

use inferlay_backend_sdk::{
    Batch, Error, ErrorKind, ParameterValue, Placement, Request, RequestInfo, Shape, Tensor, TensorMut, TensorRef,
};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

/// More than any machine counts while the test runs.
pub(crate) const HOURS: i64 = 1 << 40;

/// A request that is cancelled once it was asked more than so often.
pub(crate) struct Impatient {
    inputs: Vec<Tensor>,
    deadline: Option<u64>,
    /// What it was failed with.
    failed: Mutex<Option<ErrorKind>>,
    pub(crate) asked: AtomicU32,
    patience: u32,
}

impl Impatient {
    pub(crate) fn new(count: i64, patience: u32) -> Self {
        let inputs = vec![Tensor::from_vec(vec![count], []).unwrap(), Tensor::from_vec(vec![0.5f32], [1]).unwrap()];
        Impatient { inputs, deadline: None, failed: Mutex::new(None), asked: AtomicU32::new(0), patience }
    }

    pub(crate) fn with_deadline(mut self, deadline_ns: u64) -> Self {
        self.deadline = Some(deadline_ns);
        self
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
        self.deadline
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
pub(crate) struct Impatients(pub(crate) Vec<Impatient>);

impl Impatients {
    /// What each was failed with.
    pub(crate) fn failed(&self) -> Vec<Option<ErrorKind>> {
        self.0.iter().map(|request| *request.failed.lock().unwrap()).collect()
    }
}

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

    fn fail(&self, request: usize, error: Error) {
        *self.0[request].failed.lock().unwrap() = Some(error.kind());
    }

    fn take(&self, _request: usize) -> Result<Request, Error> {
        panic!("taken");
    }
}
