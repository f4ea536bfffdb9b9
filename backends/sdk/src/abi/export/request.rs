//! Requests and responders, as a backend in Rust sees them, over the host's functions.
//!
//! A request of a batch lies in the instance's scratch; a taken one is a box behind the SDK's [`Request`], and what
//! answers it a box behind a [`Responder`]. Each is used by one thread at a time.

use super::Home;
use super::batch::host_described;
use crate::abi::{
    INFERLAY_ABI_REQUEST_SEQUENCE_END, INFERLAY_ABI_REQUEST_SEQUENCE_START, INFERLAY_ABI_RESPONSE_FINAL,
    INFERLAY_ABI_VALUE_BOOL, INFERLAY_ABI_VALUE_DOUBLE, INFERLAY_ABI_VALUE_INT, hand_over, inferlay_abi_request,
    inferlay_abi_responder, inferlay_abi_tensor, inferlay_abi_text, inferlay_abi_value, read_placement, read_text,
    result, status,
};
use crate::{
    Error, ParameterValue, Placement, Release, Request, RequestInfo, RequestTable, Responder, ResponderTable,
    ResponseFlags, Sent, Tensor, TensorRef,
};
use std::cell::OnceCell;
use std::ptr::{NonNull, null, null_mut};

/// A request of the host, and what was asked of it before.
pub(super) struct PluginRequest {
    home: Home,
    raw: *const inferlay_abi_request,
    input_count: usize,
    inputs: OnceCell<Box<[OnceCell<Tensor>]>>,
    parameters: OnceCell<Vec<(String, ParameterValue)>>,
}

const NO_TEXT: inferlay_abi_text = inferlay_abi_text { data: null(), len: 0 };

impl PluginRequest {
    /// A request that the host keeps valid for as long as this.
    pub(super) fn new(home: Home, raw: *const inferlay_abi_request, input_count: usize) -> Self {
        PluginRequest { home, raw, input_count, inputs: OnceCell::new(), parameters: OnceCell::new() }
    }

    fn fetch(&self, index: usize) -> Result<Tensor, Error> {
        let (mut tensor, mut buffers) = (inferlay_abi_tensor::EMPTY, 0);
        // SAFETY: the request is valid, see `new`; so for all functions below.
        let status =
            unsafe { (self.home.host.request_input)(self.raw, index as u32, &raw mut tensor, &raw mut buffers) };
        // SAFETY: the status is ours.
        unsafe { result(status) }?;
        if buffers > 1 {
            return self.join(index, tensor, buffers);
        }
        // SAFETY: the host has filled the descriptor in.
        let described = unsafe { host_described(&tensor) }?;
        // SAFETY: the memory is valid as long as the request, which is as long as this.
        unsafe { described.borrowed() }
    }

    /// An input in several buffers, as a copy in one.
    fn join(&self, index: usize, mut tensor: inferlay_abi_tensor, buffers: u32) -> Result<Tensor, Error> {
        let mut bytes: Vec<u8> = Vec::with_capacity(tensor.len as usize);
        for buffer in 0..buffers {
            let mut part = inferlay_abi_tensor::EMPTY;
            // SAFETY: as in `fetch`.
            let status =
                unsafe { (self.home.host.request_input_buffer)(self.raw, index as u32, buffer, &raw mut part) };
            // SAFETY: the status is ours.
            unsafe { result(status) }?;
            // SAFETY: the host has filled the descriptor in.
            let part = unsafe { host_described(&part) }?;
            // SAFETY: the memory is valid as long as the request.
            bytes.extend_from_slice(unsafe { std::slice::from_raw_parts(part.data.as_ptr(), part.len) });
        }
        (tensor.data, tensor.len) = (bytes.as_mut_ptr().cast(), bytes.len() as u64);
        // SAFETY: as in `fetch`.
        let described = unsafe { host_described(&tensor) }?;
        Tensor::new(described.dtype, described.shape, crate::Buffer::copy_of(&bytes))
    }

    fn parameters(&self) -> Vec<(String, ParameterValue)> {
        // SAFETY: as in `fetch`.
        let count = unsafe { (self.home.host.request_parameter_count)(self.raw) };
        (0..count).filter_map(|index| self.parameter_number(index)).collect()
    }

    fn parameter_number(&self, index: u32) -> Option<(String, ParameterValue)> {
        let mut name = NO_TEXT;
        let mut value = inferlay_abi_value { kind: 0, reserved: 0, number: 0, real: 0.0, text: NO_TEXT };
        // SAFETY: as in `fetch`.
        let status = unsafe { (self.home.host.request_parameter_at)(self.raw, index, &raw mut name, &raw mut value) };
        // SAFETY: the status is ours.
        unsafe { result(status) }.ok()?;
        // SAFETY: the text is valid as long as the request.
        let name = unsafe { read_text(name) }.into_owned();
        let value = match value.kind {
            INFERLAY_ABI_VALUE_INT => ParameterValue::Int(value.number),
            INFERLAY_ABI_VALUE_DOUBLE => ParameterValue::Double(value.real),
            INFERLAY_ABI_VALUE_BOOL => ParameterValue::Bool(value.number != 0),
            // SAFETY: as for the name.
            _ => ParameterValue::String(unsafe { read_text(value.text) }.into_owned()),
        };
        Some((name, value))
    }

    /// The number and the name of its sequence.
    fn correlation(&self) -> (u64, inferlay_abi_text) {
        let (mut number, mut text) = (0, NO_TEXT);
        // SAFETY: as in `fetch`.
        unsafe { (self.home.host.request_correlation_id)(self.raw, &raw mut number, &raw mut text) };
        (number, text)
    }

    /// # Safety
    /// The text is the host's, about this request: valid as long as that is.
    unsafe fn text(&self, text: inferlay_abi_text) -> &str {
        if text.data.is_null() {
            return "";
        }
        // SAFETY: the caller's promise.
        let bytes = unsafe { std::slice::from_raw_parts(text.data.cast(), text.len) };
        str::from_utf8(bytes).unwrap_or_default()
    }

    fn has_flag(&self, flag: u32) -> bool {
        // SAFETY: as in `fetch`.
        let flags = unsafe { (self.home.host.request_flags)(self.raw) };
        flags & flag != 0
    }
}

impl RequestInfo for PluginRequest {
    fn id(&self) -> &str {
        // SAFETY: as in `fetch`.
        let id = unsafe { (self.home.host.request_id)(self.raw) };
        // SAFETY: the text is valid as long as the request.
        unsafe { self.text(id) }
    }

    fn rows(&self) -> usize {
        // SAFETY: as in `fetch`.
        let rows = unsafe { (self.home.host.request_rows)(self.raw) };
        rows as usize
    }

    fn priority(&self) -> u32 {
        // SAFETY: as in `fetch`.
        unsafe { (self.home.host.request_priority)(self.raw) }
    }

    fn deadline_ns(&self) -> Option<u64> {
        // SAFETY: as in `fetch`.
        let deadline = unsafe { (self.home.host.request_deadline_ns)(self.raw) };
        Some(deadline).filter(|deadline| *deadline != u64::MAX)
    }

    fn cancelled(&self) -> bool {
        // SAFETY: as in `fetch`.
        let is_cancelled = unsafe { (self.home.host.request_cancelled)(self.raw) };
        is_cancelled != 0
    }

    fn parameter(&self, name: &str) -> Option<&ParameterValue> {
        let parameters = self.parameters.get_or_init(|| self.parameters());
        parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    fn parameter_at(&self, index: usize) -> Option<(&str, &ParameterValue)> {
        let parameters = self.parameters.get_or_init(|| self.parameters());
        parameters.get(index).map(|(name, value)| (name.as_str(), value))
    }

    fn output_wanted(&self, index: usize) -> bool {
        // SAFETY: as in `fetch`.
        let is_wanted = unsafe { (self.home.host.request_output_wanted)(self.raw, index as u32) };
        is_wanted != 0
    }

    fn output_placement(&self, index: usize) -> Placement {
        // SAFETY: as in `fetch`.
        let placement = unsafe { (self.home.host.request_output_placement)(self.raw, index as u32) };
        read_placement(placement).unwrap_or_default()
    }

    fn input(&self, index: usize) -> Result<TensorRef<'_>, Error> {
        let empty = || (0..self.input_count).map(|_| OnceCell::new()).collect();
        let Some(cell) = self.inputs.get_or_init(empty).get(index) else {
            return Err(Error::not_found(format!("the request has no input {index}")));
        };
        if let Some(tensor) = cell.get() {
            return Ok(tensor.view());
        }
        let tensor = self.fetch(index)?;
        Ok(cell.get_or_init(|| tensor).view())
    }

    fn correlation_id(&self) -> u64 {
        self.correlation().0
    }

    fn correlation_text(&self) -> &str {
        // SAFETY: the text is valid as long as the request.
        unsafe { self.text(self.correlation().1) }
    }

    fn sequence_start(&self) -> bool {
        self.has_flag(INFERLAY_ABI_REQUEST_SEQUENCE_START)
    }

    fn sequence_end(&self) -> bool {
        self.has_flag(INFERLAY_ABI_REQUEST_SEQUENCE_END)
    }
}

/// The SDK's form of a request that was taken.
pub(super) fn taken(request: PluginRequest) -> Request {
    let raw = NonNull::from(Box::leak(Box::new(request))).cast();
    // SAFETY: `raw` is a leaked box of a request, which every function of the table expects, until `release` takes it.
    unsafe { Request::from_raw(raw, &REQUEST) }
}

const NO_RESPONDER: Error = Error::fixed(crate::ErrorKind::Internal, "the host had no responder");

static REQUEST: RequestTable = RequestTable { info, responder, release };
static RESPONDER: ResponderTable = ResponderTable { send, finish, cancelled, credit, free };

/// # Safety
/// `request` is a leaked box of a [`PluginRequest`] that was not released, as for the two functions below.
unsafe fn info(request: NonNull<()>) -> *const dyn RequestInfo {
    request.cast::<PluginRequest>().as_ptr()
}

/// # Safety
/// As for `info`.
unsafe fn responder(request: NonNull<()>) -> Responder {
    // SAFETY: the caller's promise.
    let request = unsafe { request.cast::<PluginRequest>().as_ref() };
    let mut raw = null_mut();
    // SAFETY: the request is not released.
    let status = unsafe { (request.home.host.responder_new)(request.raw, &raw mut raw) };
    // A host without one answers for it; a responder of nothing refuses.
    // SAFETY: the status is ours.
    let raw = if unsafe { result(status) }.is_ok() { raw } else { null_mut() };
    let own = Box::leak(Box::new(PluginResponder { home: request.home, raw }));
    // SAFETY: `own` is a leaked box of a responder, which every function of the table expects, until `free` takes it.
    unsafe { Responder::from_raw(NonNull::from(own).cast(), &RESPONDER) }
}

/// # Safety
/// As for `info`; the request is not used afterwards.
unsafe fn release(request: NonNull<()>, release: Release) {
    // SAFETY: the caller's promise.
    let request = unsafe { Box::from_raw(request.cast::<PluginRequest>().as_ptr()) };
    // SAFETY: the request is not released before.
    let status = unsafe { (request.home.host.request_release)(request.raw.cast_mut(), release as u32) };
    // SAFETY: the status is ours. There is nothing that could be done about it.
    let _ignored = unsafe { result(status) };
}

/// What answers a request; `raw` is null if the host had none.
struct PluginResponder {
    home: Home,
    raw: *mut inferlay_abi_responder,
}

impl PluginResponder {
    fn send(&self, sent: Sent<'_>, flags: ResponseFlags) -> Result<(), Error> {
        if self.raw.is_null() {
            return Err(NO_RESPONDER);
        }
        let outputs = match sent {
            Ok(outputs) => outputs,
            Err(error) => {
                // SAFETY: the responder is valid until it is freed; the host takes the status.
                let finished = unsafe { (self.home.host.responder_finish)(self.raw, status(Err(error))) };
                // SAFETY: the status is ours.
                return unsafe { result(finished) };
            }
        };
        let mut response = null_mut();
        // SAFETY: as above.
        let made = unsafe { (self.home.host.response_new)(self.raw, &raw mut response) };
        // SAFETY: the status is ours.
        unsafe { result(made) }?;
        let mut wrong = Ok(());
        for (index, tensor) in outputs {
            let tensor = hand_over(tensor);
            // SAFETY: the response is not sent yet; the host takes the memory whatever it answers.
            let given = unsafe { (self.home.host.response_output)(response, index as u32, &raw const tensor) };
            // SAFETY: the status is ours.
            wrong = wrong.and(unsafe { result(given) });
        }
        let flags = if flags.last { INFERLAY_ABI_RESPONSE_FINAL } else { 0 };
        // An output that was refused must not be left out in silence: the caller gets the error.
        let refusal = status(wrong.clone());
        // SAFETY: the response is sent once; the host takes the status.
        let sent = unsafe { (self.home.host.response_send)(response, flags, refusal) };
        // SAFETY: the status is ours.
        let sent = unsafe { result(sent) };
        wrong.and(sent)
    }
}

/// # Safety
/// `responder` is a leaked box of a [`PluginResponder`] that was not freed, as for the functions below.
unsafe fn send(responder: NonNull<()>, sent: Sent<'_>, flags: ResponseFlags) -> Result<(), Error> {
    // SAFETY: the caller's promise.
    unsafe { responder.cast::<PluginResponder>().as_ref() }.send(sent, flags)
}

/// # Safety
/// As for `send`.
unsafe fn finish(responder: NonNull<()>) -> Result<(), Error> {
    // SAFETY: the caller's promise.
    let responder = unsafe { responder.cast::<PluginResponder>().as_ref() };
    if responder.raw.is_null() {
        return Err(NO_RESPONDER);
    }
    // SAFETY: not null, and valid until it is freed.
    let finished = unsafe { (responder.home.host.responder_finish)(responder.raw, null()) };
    // SAFETY: the status is ours.
    unsafe { result(finished) }
}

/// # Safety
/// As for `send`.
unsafe fn cancelled(responder: NonNull<()>) -> bool {
    // SAFETY: the caller's promise.
    let responder = unsafe { responder.cast::<PluginResponder>().as_ref() };
    // SAFETY: not null, and valid until it is freed.
    !responder.raw.is_null() && unsafe { (responder.home.host.responder_cancelled)(responder.raw) } != 0
}

/// # Safety
/// As for `send`.
unsafe fn credit(responder: NonNull<()>) -> usize {
    // SAFETY: the caller's promise.
    let responder = unsafe { responder.cast::<PluginResponder>().as_ref() };
    if responder.raw.is_null() {
        return 0;
    }
    // SAFETY: not null, and valid until it is freed.
    let credit = unsafe { (responder.home.host.responder_credit)(responder.raw) };
    credit as usize
}

/// # Safety
/// As for `send`; the responder is not used afterwards.
unsafe fn free(responder: NonNull<()>) {
    // SAFETY: the caller's promise.
    let responder = unsafe { Box::from_raw(responder.cast::<PluginResponder>().as_ptr()) };
    // SAFETY: freed once; the host takes null too.
    unsafe { (responder.home.host.responder_free)(responder.raw) };
}
