//! A batch, as a plugin sees it. One call of `execute`, on its thread.

use super::memory::{Aligned, adopt, check, fill, shape_of};
use super::model::Loaded;
use super::refusal::refused;
use super::request::PluginRequest;
use super::source::{functions, put};
use crate::sync::Ordering;
use inferlay_backend_sdk::abi::{
    guard, guard_or, inferlay_abi_batch, inferlay_abi_placement, inferlay_abi_request, inferlay_abi_status,
    inferlay_abi_tensor, inferlay_abi_timing, read_placement, result,
};
use inferlay_backend_sdk::{Batch, Error, Placement};
use std::sync::Arc;

/// What lies behind `inferlay_abi_batch`.
pub(super) struct PluginBatch<'a> {
    pub(super) batch: &'a dyn Batch,
    pub(super) loaded: &'a Arc<Loaded>,
    pub(super) aligned: Aligned,
}

impl PluginBatch<'_> {
    pub(super) fn handle(&self) -> *const inferlay_abi_batch {
        std::ptr::from_ref(self).cast()
    }

    /// The number of a request of this batch.
    fn number(&self, request: u32) -> Result<usize, Error> {
        let (index, count) = (request as usize, self.batch.len());
        if index < count { Ok(index) } else { Err(Error::invalid_arg(format!("request {index} of {count}"))) }
    }
}

/// # Safety
/// `handle` came from [`PluginBatch::handle`], during the `execute` that it is for.
unsafe fn of<'a>(handle: *const inferlay_abi_batch) -> &'a PluginBatch<'a> {
    // SAFETY: the caller's promise.
    unsafe { &*handle.cast() }
}

/// The memory that a plugin wants; null is the host's.
///
/// # Safety
/// `wanted` is null or readable.
pub(super) unsafe fn wanted_of(wanted: *const inferlay_abi_placement) -> Result<Placement, Error> {
    if wanted.is_null() {
        return Ok(Placement::HOST);
    }
    // SAFETY: the caller's promise; not null.
    read_placement(unsafe { wanted.read() })
}

/// As [`wanted_of`], for memory to be written by the host's processor.
///
/// # Safety
/// As for [`wanted_of`].
pub(super) unsafe fn host_wanted(wanted: *const inferlay_abi_placement) -> Result<(), Error> {
    // SAFETY: the caller's promise.
    let wanted = unsafe { wanted_of(wanted) }?;
    if wanted.kind.is_host() { Ok(()) } else { Err(Error::unsupported("outputs are served in host memory only")) }
}

functions! {
    fn batch_rows(batch: *const inferlay_abi_batch) -> u64 {
        // SAFETY: the plugin's promise; so in all functions below.
        guard_or(0, || unsafe { of(batch) }.batch.rows() as u64)
    }

    fn batch_stream(batch: *const inferlay_abi_batch) -> u64 {
        // SAFETY: see above.
        guard_or(0, || unsafe { of(batch) }.batch.stream().unwrap_or(0) as u64)
    }

    fn batch_input(
        batch: *const inferlay_abi_batch,
        index: u32,
        wanted: *const inferlay_abi_placement,
        tensor: *mut inferlay_abi_tensor,
    ) -> *const inferlay_abi_status {
        guard(|| {
            // SAFETY: see above.
            let wanted = unsafe { wanted_of(wanted) }?;
            // SAFETY: see above.
            let batch = unsafe { of(batch) };
            let found = batch.batch.input(index as usize, wanted)?;
            let found = batch.aligned.describe(&batch.loaded.core, &found)?;
            // SAFETY: see above.
            unsafe { fill(tensor, &found) }
        })
    }

    fn batch_output_wanted(batch: *const inferlay_abi_batch, index: u32) -> u32 {
        guard_or(0, || {
            // SAFETY: see above.
            let batch = unsafe { of(batch) };
            let is_output = (index as usize) < batch.loaded.ports.outputs.len();
            u32::from(is_output && batch.batch.output_wanted(index as usize))
        })
    }

    fn batch_output_buffer(
        batch: *const inferlay_abi_batch,
        index: u32,
        shape: *const i64,
        rank: u32,
        wanted: *const inferlay_abi_placement,
        tensor: *mut inferlay_abi_tensor,
    ) -> *const inferlay_abi_status {
        guard(|| {
            // SAFETY: see above.
            unsafe { host_wanted(wanted) }?;
            // Before the output is claimed: memory that the plugin never learns of would count as written.
            // SAFETY: see above.
            unsafe { check(tensor) }?;
            // SAFETY: see above.
            let (batch, dims) = (unsafe { of(batch) }, unsafe { shape_of(shape, rank) }?);
            let dtype = batch.loaded.ports.output_type(index)?;
            let bytes = batch.batch.output_buffer(index as usize, dims)?.bytes();
            let value = inferlay_abi_tensor {
                dtype: dtype as u32,
                rank,
                shape,
                data: bytes.as_mut_ptr().cast(),
                len: bytes.len() as u64,
                ..inferlay_abi_tensor::EMPTY
            };
            // SAFETY: see above.
            unsafe { fill(tensor, &value) }
        })
    }

    fn batch_output(
        batch: *const inferlay_abi_batch,
        index: u32,
        tensor: *const inferlay_abi_tensor,
    ) -> *const inferlay_abi_status {
        guard(|| {
            // SAFETY: see above.
            let batch = unsafe { of(batch) };
            // SAFETY: see above.
            let tensor = unsafe { adopt(&batch.loaded.core, tensor) };
            let name = batch.loaded.ports.output_name(index)?;
            let tensor = tensor.map_err(|error| error.at(format_args!("output '{name}'")))?;
            batch.batch.output(index as usize, tensor)
        })
    }

    fn batch_fail(
        batch: *const inferlay_abi_batch,
        request: u32,
        status: *const inferlay_abi_status,
    ) -> *const inferlay_abi_status {
        guard(|| {
            // SAFETY: see above; the status is taken.
            let said = unsafe { result(status) };
            // SAFETY: see above.
            let batch = unsafe { of(batch) };
            let number = batch.number(request)?;
            let error = said.err().ok_or_else(|| Error::invalid_arg("found no status, expected why the request failed"))?;
            batch.batch.fail(number, error);
            Ok(())
        })
    }

    fn batch_take(
        batch: *const inferlay_abi_batch,
        request: u32,
        taken: *mut *mut inferlay_abi_request,
    ) -> *const inferlay_abi_status {
        guard(|| {
            // SAFETY: see above.
            let batch = unsafe { of(batch) };
            let number = batch.number(request)?;
            if taken.is_null() {
                return Err(Error::invalid_arg("found null, expected a place for the taken request"));
            }
            let (request, loaded) = (batch.batch.take(number)?, batch.loaded.clone());
            let own = PluginRequest::Taken { request, loaded, aligned: Aligned::default() };
            batch.loaded.taken.fetch_add(1, Ordering::Relaxed);
            // SAFETY: see above. `request_release` takes the box back.
            unsafe { put(taken, Box::into_raw(Box::new(own)).cast()) };
            Ok(())
        })
    }

    fn batch_timing(
        _batch: *const inferlay_abi_batch,
        _timing: *const inferlay_abi_timing,
    ) -> *const inferlay_abi_status {
        refused()
    }
}
