//! A batch, as a backend in Rust sees it, over the host's functions. One execution, on its thread.

use super::Home;
use super::request::{self, PluginRequest};
use crate::abi::{
    Described, described, hand_over, inferlay_abi_batch, inferlay_abi_request, inferlay_abi_tensor, placement, result,
    status,
};
use crate::{Batch, DataType, Error, Placement, Request, RequestInfo, Shape, Tensor, TensorMut, TensorRef};
use std::cell::OnceCell;
use std::ptr::{NonNull, null_mut};

/// What an instance keeps between batches for its capacity.
pub(super) struct Scratch {
    requests: Vec<PluginRequest>,
    inputs: Vec<OnceCell<Tensor>>,
}

// SAFETY: between executions it is empty, and one execution uses it on one thread.
unsafe impl Send for Scratch {}

impl Scratch {
    pub(super) fn new(inputs: usize) -> Self {
        let mut scratch = Scratch { requests: Vec::new(), inputs: Vec::new() };
        scratch.inputs.resize_with(inputs, OnceCell::new);
        scratch
    }

    pub(super) fn begin(&mut self, home: Home, requests: &[*const inferlay_abi_request]) {
        // What an execution that panicked has left.
        self.end();
        let inputs = self.inputs.len();
        self.requests.extend(requests.iter().map(|raw| PluginRequest::new(home, *raw, inputs)));
    }

    pub(super) fn end(&mut self) {
        self.requests.clear();
        for input in &mut self.inputs {
            input.take();
        }
    }
}

/// One batch of the host. All that it hands out is valid until `execute` returns, and borrows from it.
pub(super) struct PluginBatch<'a> {
    pub(super) home: Home,
    pub(super) raw: *const inferlay_abi_batch,
    pub(super) scratch: &'a Scratch,
    pub(super) outputs: &'a [DataType],
}

impl PluginBatch<'_> {
    fn fetch(&self, index: usize, wanted: Placement) -> Result<Tensor, Error> {
        let mut tensor = inferlay_abi_tensor::EMPTY;
        let wanted = placement(wanted);
        // SAFETY: the batch is valid during `execute`.
        let status =
            unsafe { (self.home.host.batch_input)(self.raw, index as u32, &raw const wanted, &raw mut tensor) };
        // SAFETY: the status is ours.
        unsafe { result(status) }?;
        // SAFETY: the host has filled the descriptor in.
        let described = unsafe { host_described(&tensor) }?;
        // SAFETY: the memory is valid until `execute` returns, and the scratch that keeps the tensor is emptied then.
        unsafe { described.borrowed() }
    }
}

/// What a descriptor of the host says, if the host's processor can read the memory.
///
/// # Errors
/// Those of [`described`], and UNSUPPORTED for other memory.
///
/// # Safety
/// `tensor` is what its type says.
pub(super) unsafe fn host_described(tensor: &inferlay_abi_tensor) -> Result<Described, Error> {
    if !crate::abi::read_placement(tensor.placement)?.kind.is_host() {
        return Err(Error::unsupported("device memory is not served through this table"));
    }
    // SAFETY: the caller's promise.
    unsafe { described(tensor) }
}

impl Batch for PluginBatch<'_> {
    fn len(&self) -> usize {
        self.scratch.requests.len()
    }

    fn rows(&self) -> usize {
        // SAFETY: the batch is valid during `execute`.
        let rows = unsafe { (self.home.host.batch_rows)(self.raw) };
        rows as usize
    }

    fn request(&self, index: usize) -> &dyn RequestInfo {
        &self.scratch.requests[index]
    }

    fn input(&self, index: usize, wanted: Placement) -> Result<TensorRef<'_>, Error> {
        let Some(cell) = self.scratch.inputs.get(index) else {
            return Err(Error::not_found(format!("input {index} of {}", self.scratch.inputs.len())));
        };
        if let Some(tensor) = cell.get() {
            return Ok(tensor.view());
        }
        let tensor = self.fetch(index, wanted)?;
        Ok(cell.get_or_init(|| tensor).view())
    }

    fn output_wanted(&self, index: usize) -> bool {
        // SAFETY: the batch is valid during `execute`.
        let is_wanted = unsafe { (self.home.host.batch_output_wanted)(self.raw, index as u32) };
        is_wanted != 0
    }

    fn output_buffer(&self, index: usize, shape: Shape) -> Result<TensorMut<'_>, Error> {
        let Some(dtype) = self.outputs.get(index) else {
            return Err(Error::not_found(format!("output {index} of {}", self.outputs.len())));
        };
        let mut tensor = inferlay_abi_tensor::EMPTY;
        let dims: &[usize] = &shape;
        // SAFETY: the batch is valid during `execute`; dims are below 2^63, so both types read alike.
        let status = unsafe {
            (self.home.host.batch_output_buffer)(
                self.raw,
                index as u32,
                dims.as_ptr().cast(),
                dims.len() as u32,
                std::ptr::null(),
                &raw mut tensor,
            )
        };
        // SAFETY: the status is ours.
        unsafe { result(status) }?;
        let bytes = match NonNull::new(tensor.data.cast::<u8>()) {
            None => &mut [][..],
            // SAFETY: the host gives an output's memory once, initialised, valid until `execute` returns, and writes and
            // reads nothing there meanwhile.
            Some(data) => unsafe { std::slice::from_raw_parts_mut(data.as_ptr(), tensor.len as usize) },
        };
        Ok(TensorMut::new(*dtype, bytes))
    }

    fn output(&self, index: usize, tensor: Tensor) -> Result<(), Error> {
        let tensor = hand_over(tensor);
        // SAFETY: the batch is valid during `execute`; the host takes the memory whatever it answers.
        let status = unsafe { (self.home.host.batch_output)(self.raw, index as u32, &raw const tensor) };
        // SAFETY: the status is ours.
        unsafe { result(status) }
    }

    fn fail(&self, request: usize, error: Error) {
        // SAFETY: the batch is valid during `execute`; the host takes the status.
        let failed = unsafe { (self.home.host.batch_fail)(self.raw, request as u32, status(Err(error))) };
        // SAFETY: the status is ours. There is nothing that could be done about it.
        let _ignored = unsafe { result(failed) };
    }

    fn take(&self, request: usize) -> Result<Request, Error> {
        let mut taken = null_mut();
        // SAFETY: the batch is valid during `execute`.
        let status = unsafe { (self.home.host.batch_take)(self.raw, request as u32, &raw mut taken) };
        // SAFETY: the status is ours.
        unsafe { result(status) }?;
        Ok(request::taken(PluginRequest::new(self.home, taken, self.scratch.inputs.len())))
    }

    fn stream(&self) -> Option<usize> {
        // SAFETY: the batch is valid during `execute`.
        let stream = unsafe { (self.home.host.batch_stream)(self.raw) };
        Some(stream as usize).filter(|stream| *stream != 0)
    }
}
