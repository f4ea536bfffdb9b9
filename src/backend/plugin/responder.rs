//! How a plugin answers the requests that it has taken. Any thread, one at a time per object.

use super::batch::host_wanted;
use super::memory::{adopt, check, fill, shape_of};
use super::model::Loaded;
use super::refusal::refused;
use super::request::{self, PluginRequest};
use super::source::{functions, put};
use crate::memory::Block;
use inferlay_backend_sdk::abi::{
    INFERLAY_ABI_RESPONSE_EMPTY, INFERLAY_ABI_RESPONSE_FINAL, guard, guard_or, inferlay_abi_placement,
    inferlay_abi_request, inferlay_abi_responder, inferlay_abi_response, inferlay_abi_response_flags,
    inferlay_abi_status, inferlay_abi_tensor, inferlay_abi_text, inferlay_abi_timing, inferlay_abi_value, result,
};
use inferlay_backend_sdk::{DataType, Error, ErrorKind, Responder, ResponseFlags, Shape, Tensor};
use std::sync::Arc;

/// What lies behind `inferlay_abi_responder`.
struct PluginResponder {
    /// Gone once it has answered with an error.
    responder: Option<Responder>,
    loaded: Arc<Loaded>,
}

/// What lies behind `inferlay_abi_response`.
struct PluginResponse {
    responder: *mut PluginResponder,
    outputs: Vec<(usize, Output)>,
}

enum Output {
    HandedOver(Tensor),
    Written { dtype: DataType, shape: Shape, block: Block },
}

impl PluginResponder {
    fn answer(&mut self, response: PluginResponse, flags: inferlay_abi_response_flags) -> Result<(), Error> {
        if flags & !(INFERLAY_ABI_RESPONSE_FINAL | INFERLAY_ABI_RESPONSE_EMPTY) != 0 {
            return Err(Error::unsupported(format!("found response flags {flags}, expected a sum of FINAL and EMPTY")));
        }
        let is_final = flags & INFERLAY_ABI_RESPONSE_FINAL != 0;
        if flags & INFERLAY_ABI_RESPONSE_EMPTY == 0 {
            let outputs = response.outputs.into_iter().map(|(index, output)| Ok((index, output.tensor()?)));
            return self.send(outputs.collect::<Result<Vec<_>, Error>>()?, is_final);
        }
        if !is_final || !response.outputs.is_empty() {
            return Err(Error::invalid_arg(
                "found EMPTY without FINAL or with outputs, expected an end without a response",
            ));
        }
        self.finish()
    }

    fn finish(&self) -> Result<(), Error> {
        self.responder.as_ref().ok_or(ANSWERED)?.finish()
    }

    fn send(&self, outputs: Vec<(usize, Tensor)>, is_final: bool) -> Result<(), Error> {
        self.responder.as_ref().ok_or(ANSWERED)?.send(outputs, ResponseFlags { last: is_final })
    }

    fn fail(&mut self, error: Error) -> Result<(), Error> {
        self.responder.take().ok_or(ANSWERED)?.fail(error);
        Ok(())
    }
}

const ANSWERED: Error = Error::fixed(ErrorKind::FailedPrecondition, "the final response was sent before");

impl Output {
    fn tensor(self) -> Result<Tensor, Error> {
        match self {
            Output::HandedOver(tensor) => Ok(tensor),
            Output::Written { dtype, shape, block } => Tensor::new(dtype, shape, block.share()),
        }
    }
}

/// # Safety
/// `handle` is that of a responder that was not freed, and no other thread uses it.
unsafe fn responder_of<'a>(handle: *mut inferlay_abi_responder) -> &'a mut PluginResponder {
    // SAFETY: the caller's promise.
    unsafe { &mut *handle.cast() }
}

/// # Safety
/// `handle` is that of a response that was neither sent nor freed, and no other thread uses it.
unsafe fn response_of<'a>(handle: *mut inferlay_abi_response) -> &'a mut PluginResponse {
    // SAFETY: the caller's promise.
    unsafe { &mut *handle.cast() }
}

impl PluginResponse {
    fn loaded(&self) -> &Loaded {
        // SAFETY: the responder is freed after its responses, the plugin's promise.
        unsafe { &(*self.responder).loaded }
    }

    fn put(&mut self, index: u32, output: Output) -> Result<(), Error> {
        if self.outputs.iter().any(|(known, _)| *known == index as usize) {
            let name = self.loaded().ports.output_name(index)?;
            let message = format!("output '{name}' is answered twice");
            return Err(Error::new(ErrorKind::FailedPrecondition, message));
        }
        self.outputs.push((index as usize, output));
        Ok(())
    }

    fn block(&mut self, index: u32, shape: Shape) -> Result<(DataType, *mut u8, usize), Error> {
        let dtype = self.loaded().ports.output_type(index)?;
        let size = dtype.size().ok_or_else(|| Error::unsupported("an output of BYTES cannot be written in place"))?;
        let len = shape.elements().and_then(|elements| elements.checked_mul(size));
        let block = len.and_then(|len| self.loaded().core.blocks.take(len));
        let (Some(len), Some(mut block)) = (len, block) else {
            return Err(Error::new(ErrorKind::ResourceExhausted, format!("an output of shape {shape} is too large")));
        };
        let data = block.bytes_mut().as_mut_ptr();
        self.put(index, Output::Written { dtype, shape, block })?;
        Ok((dtype, data, len))
    }
}

functions! {
    fn responder_new(
        request: *const inferlay_abi_request,
        responder: *mut *mut inferlay_abi_responder,
    ) -> *const inferlay_abi_status {
        guard(|| {
            // SAFETY: the plugin's promise; so in all functions below.
            let PluginRequest::Taken { request, loaded, .. } = (unsafe { request::of(request) }) else {
                return Err(Error::invalid_arg("found a request of a batch, expected one that was taken"));
            };
            if responder.is_null() {
                return Err(Error::invalid_arg("found null, expected a place for the responder"));
            }
            let own = PluginResponder { responder: Some(request.responder()), loaded: loaded.clone() };
            // SAFETY: see above. `responder_free` takes the box back.
            unsafe { put(responder, Box::into_raw(Box::new(own)).cast()) };
            Ok(())
        })
    }

    fn responder_cancelled(responder: *const inferlay_abi_responder) -> u32 {
        guard_or(1, || {
            // SAFETY: see above.
            let own = unsafe { responder_of(responder.cast_mut()) };
            u32::from(own.responder.as_ref().is_none_or(Responder::cancelled))
        })
    }

    fn responder_credit(responder: *const inferlay_abi_responder) -> u64 {
        guard_or(0, || {
            // SAFETY: see above.
            let own = unsafe { responder_of(responder.cast_mut()) };
            own.responder.as_ref().map_or(0, Responder::credit) as u64
        })
    }

    fn responder_finish(
        responder: *mut inferlay_abi_responder,
        status: *const inferlay_abi_status,
    ) -> *const inferlay_abi_status {
        guard(|| {
            // SAFETY: see above; the status is taken.
            let said = unsafe { result(status) };
            // SAFETY: see above.
            let own = unsafe { responder_of(responder) };
            match said {
                Err(error) => own.fail(error),
                Ok(()) => own.finish(),
            }
        })
    }

    fn responder_timing(
        _responder: *const inferlay_abi_responder,
        _timing: *const inferlay_abi_timing,
    ) -> *const inferlay_abi_status {
        refused()
    }

    fn responder_free(responder: *mut inferlay_abi_responder) {
        if !responder.is_null() {
            guard_or((), || {
                // SAFETY: see above; `responder_new` made the box.
                drop(unsafe { Box::from_raw(responder.cast::<PluginResponder>()) });
            });
        }
    }

    fn response_new(
        responder: *mut inferlay_abi_responder,
        response: *mut *mut inferlay_abi_response,
    ) -> *const inferlay_abi_status {
        guard(|| {
            if response.is_null() {
                return Err(Error::invalid_arg("found null, expected a place for the response"));
            }
            let own = PluginResponse { responder: responder.cast(), outputs: Vec::new() };
            // SAFETY: see above. `response_send` or `response_free` takes the box back.
            unsafe { put(response, Box::into_raw(Box::new(own)).cast()) };
            Ok(())
        })
    }

    fn response_output(
        response: *mut inferlay_abi_response,
        index: u32,
        tensor: *const inferlay_abi_tensor,
    ) -> *const inferlay_abi_status {
        guard(|| {
            // SAFETY: see above.
            let own = unsafe { response_of(response) };
            // SAFETY: see above.
            let tensor = unsafe { adopt(&own.loaded().core, tensor) };
            let name = own.loaded().ports.output_name(index)?;
            let tensor = tensor.map_err(|error| error.at(format_args!("output '{name}'")))?;
            own.put(index, Output::HandedOver(tensor))
        })
    }

    fn response_output_buffer(
        response: *mut inferlay_abi_response,
        index: u32,
        shape: *const i64,
        rank: u32,
        wanted: *const inferlay_abi_placement,
        tensor: *mut inferlay_abi_tensor,
    ) -> *const inferlay_abi_status {
        guard(|| {
            // SAFETY: see above.
            unsafe { host_wanted(wanted) }?;
            // Before the output is claimed, as by `batch_output_buffer`.
            // SAFETY: see above.
            unsafe { check(tensor) }?;
            // SAFETY: see above.
            let (own, dims) = (unsafe { response_of(response) }, unsafe { shape_of(shape, rank) }?);
            let (dtype, data, len) = own.block(index, dims)?;
            let (dtype, len, data) = (dtype as u32, len as u64, data.cast());
            let value = inferlay_abi_tensor { dtype, rank, shape, data, len, ..inferlay_abi_tensor::EMPTY };
            // SAFETY: see above.
            unsafe { fill(tensor, &value) }
        })
    }

    fn response_parameter(
        _response: *mut inferlay_abi_response,
        _name: inferlay_abi_text,
        _value: *const inferlay_abi_value,
    ) -> *const inferlay_abi_status {
        refused()
    }

    fn response_send(
        response: *mut inferlay_abi_response,
        flags: inferlay_abi_response_flags,
        status: *const inferlay_abi_status,
    ) -> *const inferlay_abi_status {
        guard(|| {
            // SAFETY: see above; `response_new` made the box.
            let own = unsafe { Box::from_raw(response.cast::<PluginResponse>()) };
            // SAFETY: the responder is freed after its responses, and no other thread uses it.
            let responder = unsafe { &mut *own.responder };
            // SAFETY: see above; the status is taken.
            match unsafe { result(status) } {
                Err(error) => responder.fail(error),
                Ok(()) => responder.answer(*own, flags),
            }
        })
    }

    fn response_free(response: *mut inferlay_abi_response) {
        if !response.is_null() {
            guard_or((), || {
                // SAFETY: see above; `response_new` made the box.
                drop(unsafe { Box::from_raw(response.cast::<PluginResponse>()) });
            });
        }
    }
}
