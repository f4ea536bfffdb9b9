//! Responders: how the function of a model answers a request that it has taken out of its batch, once or several times.
//!
//! A response is put together output by output and then sent; what was put is the next response's alone. Outputs are
//! copied, so that the model's memory is its own again when a call returns.

use super::callback::{Batch, batch_of, request};
use super::door::{door, quiet_door};
use super::handle::{Boxed, borrow, borrow_mut, out, utf8};
use super::input::{copied, read};
use super::status::Status;
use super::submission::{INFERLAY_RESPONSE_FINAL, ResponseFlags};
use super::types::View;
use inferlay_backend_sdk::{Error, ErrorKind, Tensor};
use std::ffi::c_char;

const ANSWERED: Error = Error::fixed(ErrorKind::FailedPrecondition, "the final response was sent before");

/// What answers one request of a batch, from any thread, also after `execute` has returned.
pub struct Responder {
    /// Gone once it has answered with an error.
    responder: Option<inferlay_backend_sdk::Responder>,
    /// The names of the model's outputs, in its order.
    names: Vec<String>,
    /// The next response so far.
    outputs: Vec<(usize, Tensor)>,
}

impl Boxed for Responder {}

/// Takes one request out of the batch: it is answered by the responder, and not by the batch's outputs or failure.
///                                                                                    [inside execute] [never blocks]
/// `index`: from 0 to `inferlay_batch_len` - 1. `responder`: where the responder goes, which is then the caller's, to
/// be freed with `inferlay_responder_free`; not NULL. The request's inputs can be read until `execute` returns. Fails
/// with NOT_FOUND past the end, FAILED_PRECONDITION for a request that was taken or failed before, UNSUPPORTED for a
/// batch that was pulled.
///
/// A model whose config says `model_transaction_policy: {decoupled: true}` may send any number of responses, or none;
/// others send one. An instance runs its next batch when all that it took is answered.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_batch_responder(
    batch: *mut Batch,
    index: usize,
    responder: *mut *mut Responder,
) -> *mut Status {
    door(|| {
        // SAFETY: the caller's promise.
        let batch = unsafe { batch_of(batch) }?;
        // SAFETY: the caller's promise.
        let place = unsafe { out(responder, "responder") }?;
        request(&batch, index)?;
        let (responder, names) = (batch.responder(index)?, batch.output_names());
        place.write(Responder { responder: Some(responder), names, outputs: Vec::new() }.into_handle());
        Ok(())
    })
}

/// Sets an output of the next response to a copy of a tensor.                             [one thread] [never blocks]
///
/// `name`, `tensor` and all it points to: borrowed for the call. Its first dim is the number of the request's rows,
/// where the model batches. Fails with NOT_FOUND when there is no such output, FAILED_PRECONDITION for the second time,
/// INVALID_ARG when the tensor contradicts itself.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_responder_set_output(
    responder: *mut Responder,
    name: *const c_char,
    tensor: *const View,
) -> *mut Status {
    door(|| {
        // SAFETY: the caller's promise.
        let responder = unsafe { borrow_mut(responder, "responder") }?;
        // SAFETY: the caller's promise.
        let index = responder.output(unsafe { utf8(name, "name") }?)?;
        // SAFETY: the caller's promise.
        let (dtype, shape, view) = unsafe { read(tensor) }?;
        // SAFETY: the caller's promise.
        responder.outputs.push((index, unsafe { copied(dtype, shape, &view) }?));
        Ok(())
    })
}

/// Sends the next response: the outputs that were set.                                    [one thread] [never blocks]
///
/// `flags`: a sum of INFERLAY_RESPONSE_*; FINAL without outputs ends the answer without a further response. Whatever
/// becomes of it, no output is set afterwards. Fails with INVALID_ARG or INTERNAL when an output contradicts the config
/// or is missing: the caller then gets that error; UNSUPPORTED for a response without FINAL, and for FINAL without
/// outputs, of a model that is not decoupled, which may still send one with both, and for a second one to a caller that
/// waits for one; FAILED_PRECONDITION after the end; CANCELLED when a deadline, a cancel or a stop has ended it;
/// RESOURCE_EXHAUSTED when the caller is 16 times its credit behind; INVALID_ARG for other flags.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_responder_send(responder: *mut Responder, flags: ResponseFlags) -> *mut Status {
    door(|| {
        // SAFETY: the caller's promise.
        let responder = unsafe { borrow_mut(responder, "responder") }?;
        let outputs = std::mem::take(&mut responder.outputs);
        if flags & !INFERLAY_RESPONSE_FINAL != 0 {
            return Err(Error::invalid_arg(format!("flags: found {flags}, expected a sum of INFERLAY_RESPONSE_*")));
        }
        let last = flags & INFERLAY_RESPONSE_FINAL != 0;
        let is_end = last && outputs.is_empty() && !responder.names.is_empty();
        let responder = responder.responder.as_ref().ok_or(ANSWERED)?;
        if is_end { responder.finish() } else { responder.send(outputs, inferlay_backend_sdk::ResponseFlags { last }) }
    })
}

/// Ends the answer with an error.                                                         [one thread] [never blocks]
///
/// `status`: taken; NULL ends it with UNKNOWN. After the end nobody hears of it; the second time it fails with
/// FAILED_PRECONDITION.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_responder_fail(responder: *mut Responder, status: *mut Status) -> *mut Status {
    door(|| {
        // SAFETY: the caller's promise.
        let said = unsafe { Status::into_result(status) };
        // SAFETY: the caller's promise.
        let responder = unsafe { borrow_mut(responder, "responder") }?;
        let nothing = || Error::new(ErrorKind::Unknown, "the model gave no reason");
        responder.responder.take().ok_or(ANSWERED)?.fail(said.err().unwrap_or_else(nothing));
        Ok(())
    })
}

/// How many more responses the caller can take before it has fallen behind.               [one thread] [never blocks]
///
/// It is advice: one that is sent past it is not lost. It rises when the caller takes some. 1 for a model that is not
/// decoupled, or whose caller takes one response; 0 once nobody wants more, and for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_responder_credit(responder: *const Responder) -> usize {
    // SAFETY: the caller's promise.
    quiet_door(0, || Ok(unsafe { open(responder) }?.credit()))
}

/// Whether the caller no longer wants the answer; true for NULL.                          [one thread] [never blocks]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_responder_cancelled(responder: *const Responder) -> bool {
    // SAFETY: the caller's promise.
    quiet_door(true, || Ok(unsafe { open(responder) }?.cancelled()))
}

/// Frees a responder. If nothing final was sent, the caller gets an error.                [one thread] [never blocks]
///
/// `responder`: taken; NULL does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_responder_free(responder: *mut Responder) {
    quiet_door((), || {
        // SAFETY: the caller's promise.
        drop(unsafe { Responder::from_handle(responder) });
        Ok(())
    });
}

/// What has not answered with an error yet.
///
/// # Safety
/// `responder` is NULL or a responder of the caller.
unsafe fn open<'a>(responder: *const Responder) -> Result<&'a inferlay_backend_sdk::Responder, Error> {
    // SAFETY: the caller's promise.
    unsafe { borrow(responder, "responder") }?.responder.as_ref().ok_or(ANSWERED)
}

impl Responder {
    /// The number of an output that is not set yet.
    fn output(&self, name: &str) -> Result<usize, Error> {
        let index =
            self.names.iter().position(|known| known == name).ok_or_else(|| {
                Error::not_found(format!("output '{name}' not found; known: {}", self.names.join(", ")))
            })?;
        if self.outputs.iter().any(|(known, _)| *known == index) {
            return Err(Error::new(ErrorKind::FailedPrecondition, format!("output '{name}' is answered twice")));
        }
        Ok(index)
    }
}
