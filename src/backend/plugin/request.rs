//! Requests, as a plugin sees them: those of a batch, during `execute`, and those that it has taken.

use super::batch::PluginBatch;
use super::memory::{Aligned, adopt, fill};
use super::model::Loaded;
use super::refusal::refused;
use super::source::{NO_TEXT, functions, past, put};
use crate::sync::Ordering;
use inferlay_backend_sdk::abi::{
    INFERLAY_ABI_RELEASE_DONE, INFERLAY_ABI_RELEASE_RESCHEDULE, INFERLAY_ABI_REQUEST_SEQUENCE_END,
    INFERLAY_ABI_REQUEST_SEQUENCE_START, INFERLAY_ABI_VALUE_BOOL, INFERLAY_ABI_VALUE_DOUBLE, INFERLAY_ABI_VALUE_INT,
    INFERLAY_ABI_VALUE_STRING, guard, guard_or, inferlay_abi_placement, inferlay_abi_release, inferlay_abi_request,
    inferlay_abi_request_flags, inferlay_abi_status, inferlay_abi_tensor, inferlay_abi_text, inferlay_abi_trace,
    inferlay_abi_value, placement, read_text, text,
};
use inferlay_backend_sdk::{Error, ParameterValue, Release, Request, RequestInfo};
use std::sync::Arc;

/// What lies behind `inferlay_abi_request`.
pub(super) enum PluginRequest {
    /// One of a batch, by its number.
    InBatch { batch: *const PluginBatch<'static>, index: usize },
    /// One that the plugin owns until it releases it.
    Taken { request: Request, loaded: Arc<Loaded>, aligned: Aligned },
}

impl PluginRequest {
    pub(super) fn handle(&self) -> *const inferlay_abi_request {
        std::ptr::from_ref(self).cast()
    }

    pub(super) fn info(&self) -> &dyn RequestInfo {
        match self {
            // SAFETY: the batch is there during `execute`, and requests of it are used only then.
            PluginRequest::InBatch { batch, index } => unsafe { &**batch }.batch.request(*index),
            PluginRequest::Taken { request, .. } => request.info(),
        }
    }

    pub(super) fn loaded(&self) -> &Arc<Loaded> {
        match self {
            // SAFETY: as in `info`.
            PluginRequest::InBatch { batch, .. } => unsafe { &**batch }.loaded,
            PluginRequest::Taken { loaded, .. } => loaded,
        }
    }

    /// What describes one of its inputs, for as long as it is there.
    fn input(&self, index: u32) -> Result<inferlay_abi_tensor, Error> {
        let found = self.info().input(index as usize)?;
        let aligned = match self {
            // SAFETY: as in `info`.
            PluginRequest::InBatch { batch, .. } => &unsafe { &**batch }.aligned,
            PluginRequest::Taken { aligned, .. } => aligned,
        };
        aligned.describe(&self.loaded().core, &found)
    }
}

/// # Safety
/// `handle` is that of a request that is still there.
pub(super) unsafe fn of<'a>(handle: *const inferlay_abi_request) -> &'a PluginRequest {
    // SAFETY: the caller's promise.
    unsafe { &*handle.cast() }
}

/// A parameter as it crosses; text is borrowed.
fn value_of(value: &ParameterValue) -> inferlay_abi_value {
    let empty = inferlay_abi_value { kind: 0, reserved: 0, number: 0, real: 0.0, text: NO_TEXT };
    match value {
        ParameterValue::String(string) => {
            inferlay_abi_value { kind: INFERLAY_ABI_VALUE_STRING, text: text(string), ..empty }
        }
        ParameterValue::Int(number) => inferlay_abi_value { kind: INFERLAY_ABI_VALUE_INT, number: *number, ..empty },
        ParameterValue::Double(real) => inferlay_abi_value { kind: INFERLAY_ABI_VALUE_DOUBLE, real: *real, ..empty },
        ParameterValue::Bool(is_true) => {
            inferlay_abi_value { kind: INFERLAY_ABI_VALUE_BOOL, number: i64::from(*is_true), ..empty }
        }
    }
}

functions! {
    fn request_id(request: *const inferlay_abi_request) -> inferlay_abi_text {
        // SAFETY: the plugin's promise; so in all functions below.
        guard_or(NO_TEXT, || text(unsafe { of(request) }.info().id()))
    }

    fn request_rows(request: *const inferlay_abi_request) -> u64 {
        // SAFETY: see above.
        guard_or(0, || unsafe { of(request) }.info().rows() as u64)
    }

    fn request_priority(request: *const inferlay_abi_request) -> u32 {
        // SAFETY: see above.
        guard_or(0, || unsafe { of(request) }.info().priority())
    }

    fn request_flags(request: *const inferlay_abi_request) -> inferlay_abi_request_flags {
        guard_or(0, || {
            // SAFETY: see above.
            let info = unsafe { of(request) }.info();
            let start = if info.sequence_start() { INFERLAY_ABI_REQUEST_SEQUENCE_START } else { 0 };
            let end = if info.sequence_end() { INFERLAY_ABI_REQUEST_SEQUENCE_END } else { 0 };
            start | end
        })
    }

    fn request_correlation_id(
        request: *const inferlay_abi_request,
        number: *mut u64,
        name: *mut inferlay_abi_text,
    ) {
        let (id, said) = guard_or((0, NO_TEXT), || {
            // SAFETY: see above.
            let info = unsafe { of(request) }.info();
            (info.correlation_id(), text(info.correlation_text()))
        });
        // SAFETY: see above.
        unsafe { put(number, id) };
        // SAFETY: see above.
        unsafe { put(name, said) };
    }

    fn request_deadline_ns(request: *const inferlay_abi_request) -> u64 {
        // SAFETY: see above.
        guard_or(u64::MAX, || unsafe { of(request) }.info().deadline_ns().unwrap_or(u64::MAX))
    }

    fn request_cancelled(request: *const inferlay_abi_request) -> u32 {
        // SAFETY: see above.
        guard_or(0, || u32::from(unsafe { of(request) }.info().cancelled()))
    }

    fn request_trace(
        _request: *const inferlay_abi_request,
        _trace: *mut inferlay_abi_trace,
    ) -> *const inferlay_abi_status {
        refused()
    }

    fn request_parameter_count(request: *const inferlay_abi_request) -> u32 {
        guard_or(0, || {
            // SAFETY: see above.
            let info = unsafe { of(request) }.info();
            (0..).take_while(|index| info.parameter_at(*index).is_some()).count() as u32
        })
    }

    fn request_parameter_at(
        request: *const inferlay_abi_request,
        index: u32,
        name: *mut inferlay_abi_text,
        value: *mut inferlay_abi_value,
    ) -> *const inferlay_abi_status {
        guard(|| {
            // SAFETY: see above.
            let found = unsafe { of(request) }.info().parameter_at(index as usize);
            let (key, found) = found.ok_or_else(|| Error::not_found(format!("the request has no parameter {index}")))?;
            // SAFETY: see above.
            unsafe { put(name, text(key)) };
            // SAFETY: see above.
            unsafe { put(value, value_of(found)) };
            Ok(())
        })
    }

    fn request_parameter(
        request: *const inferlay_abi_request,
        name: inferlay_abi_text,
        value: *mut inferlay_abi_value,
    ) -> *const inferlay_abi_status {
        guard(|| {
            // SAFETY: see above.
            let (request, name) = (unsafe { of(request) }, unsafe { read_text(name) });
            let found = request.info().parameter(&name);
            let found = found.ok_or_else(|| Error::not_found(format!("the request has no parameter '{name}'")))?;
            // SAFETY: see above.
            unsafe { put(value, value_of(found)) };
            Ok(())
        })
    }

    fn request_input_index(
        request: *const inferlay_abi_request,
        name: inferlay_abi_text,
        index: *mut u32,
    ) -> *const inferlay_abi_status {
        guard(|| {
            // SAFETY: see above.
            let (request, name) = (unsafe { of(request) }, unsafe { read_text(name) });
            let found = request.loaded().ports.input(&name)?;
            // SAFETY: see above.
            unsafe { put(index, found) };
            Ok(())
        })
    }

    fn request_input(
        request: *const inferlay_abi_request,
        index: u32,
        tensor: *mut inferlay_abi_tensor,
        buffer_count: *mut u32,
    ) -> *const inferlay_abi_status {
        guard(|| {
            // SAFETY: see above.
            let found = unsafe { of(request) }.input(index)?;
            // SAFETY: see above.
            unsafe { fill(tensor, &found) }?;
            // SAFETY: see above.
            unsafe { put(buffer_count, 1) };
            Ok(())
        })
    }

    fn request_input_buffer(
        request: *const inferlay_abi_request,
        index: u32,
        buffer: u32,
        part: *mut inferlay_abi_tensor,
    ) -> *const inferlay_abi_status {
        guard(|| {
            // SAFETY: see above.
            let whole = unsafe { of(request) }.input(index)?;
            if buffer > 0 {
                return Err(past("buffer", buffer, 1));
            }
            // SAFETY: see above.
            unsafe { fill(part, &inferlay_abi_tensor { rank: 0, shape: std::ptr::null(), ..whole }) }
        })
    }

    fn request_output_index(
        request: *const inferlay_abi_request,
        name: inferlay_abi_text,
        index: *mut u32,
    ) -> *const inferlay_abi_status {
        guard(|| {
            // SAFETY: see above.
            let (request, name) = (unsafe { of(request) }, unsafe { read_text(name) });
            let found = request.loaded().ports.output(&name)?;
            // SAFETY: see above.
            unsafe { put(index, found) };
            Ok(())
        })
    }

    fn request_output_wanted(request: *const inferlay_abi_request, index: u32) -> u32 {
        guard_or(0, || {
            // SAFETY: see above.
            let request = unsafe { of(request) };
            let is_output = (index as usize) < request.loaded().ports.outputs.len();
            u32::from(is_output && request.info().output_wanted(index as usize))
        })
    }

    fn request_output_placement(request: *const inferlay_abi_request, index: u32) -> inferlay_abi_placement {
        // SAFETY: see above.
        guard_or(inferlay_abi_placement::default(), || {
            // SAFETY: see above.
            placement(unsafe { of(request) }.info().output_placement(index as usize))
        })
    }

    fn request_sequence_slot(
        _request: *const inferlay_abi_request,
        _slot: *mut u32,
    ) -> *const inferlay_abi_status {
        refused()
    }

    fn request_state_in(
        _request: *const inferlay_abi_request,
        _index: u32,
        _tensor: *mut inferlay_abi_tensor,
    ) -> *const inferlay_abi_status {
        refused()
    }

    fn request_state_buffer(
        _request: *const inferlay_abi_request,
        _index: u32,
        _shape: *const i64,
        _rank: u32,
        _tensor: *mut inferlay_abi_tensor,
    ) -> *const inferlay_abi_status {
        refused()
    }

    fn request_state_out(
        request: *const inferlay_abi_request,
        _index: u32,
        tensor: *const inferlay_abi_tensor,
    ) -> *const inferlay_abi_status {
        guard(|| {
            // SAFETY: see above.
            let request = unsafe { of(request) };
            // What is taken is let go, also by who refuses.
            // SAFETY: see above.
            unsafe { adopt(&request.loaded().core, tensor) }.map(drop)?;
            Err(Error::unsupported("this engine does not keep states of sequences yet"))
        })
    }

    fn request_release(
        request: *mut inferlay_abi_request,
        how: inferlay_abi_release,
    ) -> *const inferlay_abi_status {
        guard(|| {
            // SAFETY: see above.
            if matches!(unsafe { of(request) }, PluginRequest::InBatch { .. }) {
                return Err(Error::invalid_arg("found a request of a batch, expected one that was taken"));
            }
            // SAFETY: `batch_take` made the box, and the plugin releases it once.
            let taken = unsafe { Box::from_raw(request.cast::<PluginRequest>()) };
            let PluginRequest::Taken { request, loaded, .. } = *taken else { return Ok(()) };
            loaded.taken.fetch_sub(1, Ordering::Relaxed);
            match how {
                INFERLAY_ABI_RELEASE_DONE => request.release(Release::Done),
                INFERLAY_ABI_RELEASE_RESCHEDULE => request.release(Release::Reschedule),
                _ => return Err(Error::unsupported(format!("found release {how}, which is not known"))),
            }
            Ok(())
        })
    }
}
