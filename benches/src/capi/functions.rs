//! The functions of `inferlay.h` that the bench calls, declared as a C program would see them.
#![allow(unsafe_code)]

use crate::case::CaseError;
use std::ffi::{CStr, c_char, c_void};
use std::ptr;

pub(super) const API_VERSION: u32 = 1;
pub(super) const TYPE_FP32: u32 = 11;

#[repr(C)]
pub(super) struct Options([u8; 0]);
#[repr(C)]
pub(super) struct Server([u8; 0]);
#[repr(C)]
pub(super) struct Request([u8; 0]);
#[repr(C)]
pub(super) struct Response([u8; 0]);
#[repr(C)]
struct Status([u8; 0]);

/// What a function returns, or hands to a callback: NULL, or a status that is then the receiver's.
#[repr(transparent)]
#[must_use]
pub(super) struct Outcome(*mut Status);

impl Outcome {
    /// Turns a status into an error, and frees it.
    pub(super) fn check(self) -> Result<(), CaseError> {
        if self.0.is_null() {
            return Ok(());
        }
        // SAFETY: only the library makes outcomes, so the status is ours; its message lives as long as it does.
        let message = unsafe { inferlay_status_message(self.0) };
        // SAFETY: a message is never NULL and ends with a NUL.
        let message = unsafe { CStr::from_ptr(message) }.to_string_lossy().into_owned();
        // SAFETY: ours, and not used after this.
        unsafe { inferlay_status_free(self.0) };
        Err(message.into())
    }
}

/// `inferlay_view`.
#[repr(C)]
pub(super) struct View {
    pub(super) struct_size: usize,
    pub(super) datatype: u32,
    pub(super) memory_kind: u32,
    pub(super) device_id: u32,
    pub(super) ready: u32,
    pub(super) ready_handle: *mut c_void,
    pub(super) rank: usize,
    pub(super) shape: *const i64,
    pub(super) data: *const c_void,
    pub(super) byte_size: usize,
    pub(super) offsets: *const u64,
    pub(super) offsets_len: usize,
}

impl View {
    /// A dense tensor of FP32 in host memory.
    pub(super) fn of(data: &'static [f32], shape: &'static [i64]) -> Self {
        View {
            struct_size: size_of::<View>(),
            datatype: TYPE_FP32,
            memory_kind: 0,
            device_id: 0,
            ready: 0,
            ready_handle: ptr::null_mut(),
            rank: shape.len(),
            shape: shape.as_ptr(),
            data: data.as_ptr().cast(),
            byte_size: size_of_val(data),
            offsets: ptr::null(),
            offsets_len: 0,
        }
    }
}

pub(super) type ResponseFn = unsafe extern "C" fn(*mut c_void, *mut Response, u32, Outcome);
pub(super) type ReleaseFn = unsafe extern "C" fn(*mut c_void, *mut Request);

unsafe extern "C" {
    pub(super) safe fn inferlay_options_new() -> *mut Options;
    pub(super) fn inferlay_options_free(options: *mut Options);
    pub(super) fn inferlay_options_set_strict(options: *mut Options, strict: bool) -> Outcome;
    pub(super) fn inferlay_options_add_repository(options: *mut Options, folder: *const c_char) -> Outcome;
    pub(super) fn inferlay_server_new(version: u32, options: *const Options, server: *mut *mut Server) -> Outcome;
    pub(super) fn inferlay_server_free(server: *mut Server);
    pub(super) fn inferlay_model_statistics(
        server: *const Server,
        model: *const c_char,
        version: u64,
        json: *mut *mut c_char,
    ) -> Outcome;
    pub(super) fn inferlay_text_free(text: *mut c_char);
    pub(super) fn inferlay_request_new(
        server: *const Server,
        model: *const c_char,
        version: u64,
        request: *mut *mut Request,
    ) -> Outcome;
    pub(super) fn inferlay_request_free(request: *mut Request);
    pub(super) fn inferlay_request_set_input(
        request: *mut Request,
        name: *const c_char,
        tensor: *const View,
    ) -> Outcome;
    pub(super) fn inferlay_infer(server: *const Server, request: *mut Request, response: *mut *mut Response)
    -> Outcome;
    pub(super) fn inferlay_infer_async(
        server: *const Server,
        request: *mut Request,
        on_response: ResponseFn,
        on_release: ReleaseFn,
        user_data: *mut c_void,
    ) -> Outcome;
    pub(super) fn inferlay_response_free(response: *mut Response);
    fn inferlay_status_message(status: *const Status) -> *const c_char;
    fn inferlay_status_free(status: *mut Status);
}
