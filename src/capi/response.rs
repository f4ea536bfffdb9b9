//! Responses: counted handles on the reply where the engine keeps it; reading copies and allocates nothing.

use super::door::{door, quiet_door};
use super::handle::{Boxed, borrow, out, slice, utf8};
use super::status::Status;
use super::tensor::Tensor;
use super::text::intern;
use super::types::View;
use crate::flow::{self, Answered, HeldReply};
use crate::tensor::wire;
use inferlay_backend_sdk::{DataType, Error, ErrorKind};
use std::ffi::{c_char, c_void};
use std::mem::ManuallyDrop;
use std::ptr::NonNull;

/// The answer to a request: its outputs. Counted; any number of threads may read it at once.
pub struct Response {
    /// A handle points to the engine's own reply, never to one of these.
    _opaque: [u8; 0],
}

/// A handle with one count.
pub(super) fn into_handle(response: flow::Response) -> *mut Response {
    response.into_raw().cast().as_ptr()
}

/// A response behind a handle.
///
/// # Safety
/// `response` is NULL or a response of which the caller has a count.
unsafe fn read<'a>(response: *const Response) -> Result<Reading<'a>, Error> {
    // SAFETY: the caller's promise.
    let raw = NonNull::from(unsafe { borrow(response, "response") }?).cast();
    // SAFETY: handles are made by `into_raw` of a response.
    let reply = unsafe { HeldReply::from_raw(raw) };
    // What the handle owns stays with the handle.
    Ok(Reading { response: ManuallyDrop::new(flow::Response::new(reply)), caller: std::marker::PhantomData })
}

/// A look at a response, for as long as the caller has its count.
struct Reading<'a> {
    response: ManuallyDrop<flow::Response>,
    caller: std::marker::PhantomData<&'a Response>,
}

impl Reading<'_> {
    fn at(&self, index: usize) -> Result<(&str, Answered<'_>), Error> {
        let len = || self.response.answered().count();
        self.response
            .answered()
            .nth(index)
            .ok_or_else(|| Error::not_found(format!("model '{}': output {index} of {}", self.response.model(), len())))
    }

    fn named(&self, name: &str) -> Result<Answered<'_>, Error> {
        let found = self.response.answered().find(|(known, _)| *known == name);
        found.map(|(_, answered)| answered).ok_or_else(|| {
            let there: Vec<_> = self.response.answered().map(|(name, _)| name).collect();
            let model = self.response.model();
            Error::not_found(format!(
                "model '{model}': no output '{name}' in the response; it has: {}",
                there.join(", ")
            ))
        })
    }
}

fn look(answered: Answered<'_>) -> Result<View, Error> {
    match answered {
        Answered::Tensor(tensor) => View::of(tensor.view()),
        Answered::Written { dtype, written } => {
            let data = std::ptr::with_exposed_provenance(written.address);
            Ok(View::new(dtype, &written.shape, data, written.len))
        }
    }
}

/// Adds a count to a response, which then is freed once more.                             [any thread] [never blocks]
///
/// `response`: a NULL one stays NULL. Returns the same response.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_response_retain(response: *mut Response) -> *mut Response {
    quiet_door((), || {
        // SAFETY: the caller's promise.
        unsafe { read(response) }?.response.retain();
        Ok(())
    });
    response
}

/// Gives a count of a response up; with the last one its memory goes.                     [any thread] [never blocks]
///
/// `response`: taken; NULL does nothing. Good after the server was freed too.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_response_free(response: *mut Response) {
    quiet_door((), || {
        // SAFETY: the caller's promise.
        let reading = unsafe { read(response) }?;
        if reading.response.release() {
            drop(ManuallyDrop::into_inner(reading.response));
        }
        Ok(())
    });
}

/// The model that answered.                                                               [any thread] [never blocks]
///
/// The text lives for ever. "" for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_response_model(response: *const Response) -> *const c_char {
    // SAFETY: the caller's promise.
    quiet_door(c"".as_ptr(), || Ok(intern(unsafe { read(response) }?.response.model())))
}

/// The version that answered; 0 for NULL.                                                 [any thread] [never blocks]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_response_version(response: *const Response) -> u64 {
    // SAFETY: the caller's promise.
    quiet_door(0, || Ok(unsafe { read(response) }?.response.version()))
}

/// How many outputs the response has; 0 for NULL.                                         [any thread] [never blocks]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_response_outputs_len(response: *const Response) -> usize {
    // SAFETY: the caller's promise.
    quiet_door(0, || Ok(unsafe { read(response) }?.response.answered().count()))
}

/// The name of an output by its index, in the order of the model; NULL when there is none. [any thread] [never blocks]
///
/// The text lives for ever.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_response_output_name(response: *const Response, index: usize) -> *const c_char {
    // SAFETY: the caller's promise.
    quiet_door(std::ptr::null(), || Ok(intern(unsafe { read(response) }?.at(index)?.0)))
}

/// An output by its name, where the backend wrote it: nothing is copied or allocated.     [any thread] [never blocks]
///
/// `name`: borrowed for the call. `view`: filled on success; what it points to lives until the response is freed, or,
/// for memory that the request brought, as long as that. Fails with NOT_FOUND, naming the outputs there are.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_response_output(
    response: *const Response,
    name: *const c_char,
    view: *mut View,
) -> *mut Status {
    door(|| {
        // SAFETY: the caller's promise.
        let reading = unsafe { read(response) }?;
        // SAFETY: the caller's promise.
        let name = unsafe { utf8(name, "name") }?;
        // SAFETY: the caller's promise.
        unsafe { look(reading.named(name)?)?.fill(view) }
    })
}

/// An output by its index, from 0 to `inferlay_response_outputs_len` - 1; else as `inferlay_response_output`.
///                                                                                        [any thread] [never blocks]
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_response_output_at(
    response: *const Response,
    index: usize,
    view: *mut View,
) -> *mut Status {
    door(|| {
        // SAFETY: the caller's promise.
        let reading = unsafe { read(response) }?;
        // SAFETY: the caller's promise.
        unsafe { look(reading.at(index)?.1)?.fill(view) }
    })
}

/// All outputs at once, in the order of the model.                                        [any thread] [never blocks]
///
/// `names`: places for their names, which live for ever; may be NULL. `views`: places, as for
/// `inferlay_response_output`; pointers, so that the struct may grow. `len`: how many places there are, of each.
/// `outputs_len`: set to the number of outputs, also when there are fewer places: then nothing else is written, and it
/// fails with RESOURCE_EXHAUSTED; not NULL.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_response_outputs(
    response: *const Response,
    names: *mut *const c_char,
    views: *const *mut View,
    len: usize,
    outputs_len: *mut usize,
) -> *mut Status {
    door(|| {
        // SAFETY: the caller's promise.
        let reading = unsafe { read(response) }?;
        // SAFETY: the caller's promise.
        let views = unsafe { slice(views, len, "views") }?;
        // SAFETY: the caller's promise.
        let place = unsafe { out(outputs_len, "outputs_len") }?;
        let found = reading.response.answered().count();
        place.write(found);
        if found > len {
            let text = format!("views: found {len} places, expected {found}");
            return Err(Error::new(ErrorKind::ResourceExhausted, text));
        }
        for (index, (name, answered)) in reading.response.answered().enumerate() {
            // SAFETY: the caller's promise.
            unsafe { look(answered)?.fill(views[index]) }?;
            if !names.is_null() {
                // SAFETY: the caller's promise: there are `len` places, and `index` is below it.
                let place = unsafe { names.add(index) };
                // SAFETY: as above.
                unsafe { place.write(intern(name)) };
            }
        }
        Ok(())
    })
}

/// Writes an output of BYTES in the form of the wire: before each element its length as 4 bytes, little-endian.
///                                                                                        [any thread] [never blocks]
/// `name`: borrowed for the call. `buffer`: where it goes; may be NULL when `buffer_size` is 0. `byte_size`: not NULL;
/// set to the number of bytes that it takes, also when the buffer is too small for it: then nothing is written, and it
/// fails with RESOURCE_EXHAUSTED. Fails with INVALID_ARG for an output of another type.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_response_output_wire(
    response: *const Response,
    name: *const c_char,
    buffer: *mut c_void,
    buffer_size: usize,
    byte_size: *mut usize,
) -> *mut Status {
    door(|| {
        // SAFETY: the caller's promise.
        let reading = unsafe { read(response) }?;
        // SAFETY: the caller's promise.
        let name = unsafe { utf8(name, "name") }?;
        // SAFETY: the caller's promise.
        let place = unsafe { out(byte_size, "byte_size") }?;
        let Answered::Tensor(tensor) = reading.named(name)? else {
            return Err(Error::invalid_arg(format!("output '{name}': found another type than BYTES")));
        };
        if tensor.dtype() != DataType::Bytes {
            return Err(Error::invalid_arg(format!("output '{name}': found {}, expected BYTES", tensor.dtype())));
        }
        let len = wire::len(tensor.view())?;
        place.write(len);
        if buffer_size < len || (buffer.is_null() && len > 0) {
            return Err(super::tensor::too_small(buffer_size, len));
        }
        if len == 0 {
            return Ok(());
        }
        // SAFETY: the caller's promise.
        wire::write(tensor.view(), unsafe { std::slice::from_raw_parts_mut(buffer.cast::<u8>(), len) })
    })
}

/// Detaches an output from its response: a tensor of its own that shares the memory and outlives the response.
///                                                                                        [any thread] [never blocks]
/// `name`: borrowed for the call. `tensor`: where the tensor goes, which is then the caller's, to be freed with
/// `inferlay_tensor_free`; not NULL. The response keeps the output too. Fails with NOT_FOUND, and with UNSUPPORTED for
/// an output in memory that the request brought.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_response_detach(
    response: *const Response,
    name: *const c_char,
    tensor: *mut *mut Tensor,
) -> *mut Status {
    door(|| {
        // SAFETY: the caller's promise.
        let reading = unsafe { read(response) }?;
        // SAFETY: the caller's promise.
        let name = unsafe { utf8(name, "name") }?;
        // SAFETY: the caller's promise.
        let place = unsafe { out(tensor, "tensor") }?;
        match reading.named(name)? {
            Answered::Tensor(tensor) => {
                place.write(Tensor(tensor.clone()).into_handle());
                Ok(())
            }
            Answered::Written { .. } => {
                Err(Error::unsupported(format!("output '{name}': it lies in memory that the request brought")))
            }
        }
    })
}
