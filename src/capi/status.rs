//! Statuses: a code and a message. What is refused often is told by statuses that are there for ever, so that refusing
//! allocates nothing.

use super::door::free_door;
use super::handle::{Boxed, borrow, utf8};
use super::types::Code;
use inferlay_backend_sdk::abi::kind;
use inferlay_backend_sdk::{Error, ErrorKind};
use std::ffi::{CStr, CString, c_char};

/// A failure: its code and a message. NULL wherever a function returns one stands for success.
pub struct Status {
    kind: ErrorKind,
    message: Message,
}

enum Message {
    Fixed(&'static CStr),
    Own(CString),
}

impl Boxed for Status {}

/// The refusals of a busy server. Each has the text of the error that it stands for.
static FIXED: [Status; 14] = [
    fixed(ErrorKind::ResourceExhausted, c"the model's queue is full"),
    fixed(ErrorKind::Cancelled, c"the request was cancelled"),
    fixed(ErrorKind::Timeout, c"the deadline passed"),
    fixed(ErrorKind::Timeout, c"the deadline passed before the request was submitted"),
    fixed(ErrorKind::Timeout, c"no event came in time"),
    fixed(ErrorKind::Timeout, c"no batch came in time"),
    fixed(ErrorKind::Timeout, c"the operation is still under way"),
    fixed(ErrorKind::Unavailable, c"the model no longer takes requests"),
    fixed(ErrorKind::Unavailable, c"the server has stopped"),
    fixed(ErrorKind::Unavailable, c"the server stopped before the request was run"),
    fixed(ErrorKind::Unavailable, c"the server stopped while the backend was executing"),
    fixed(ErrorKind::FailedPrecondition, c"the request is in flight"),
    fixed(ErrorKind::FailedPrecondition, c"a blocking call inside a callback or an execution could wait for itself"),
    fixed(
        ErrorKind::FailedPrecondition,
        c"this process is the child of a fork: the server's threads stayed in the parent",
    ),
];

const fn fixed(kind: ErrorKind, message: &'static CStr) -> Status {
    Status { kind, message: Message::Fixed(message) }
}

impl Status {
    /// The handle for an error, which C then owns.
    pub(super) fn from_error(error: Error) -> *mut Status {
        let bytes = error.message().as_bytes();
        let is_it = |status: &&Status| status.kind == error.kind() && status.message().to_bytes() == bytes;
        if let Some(status) = FIXED.iter().find(is_it) {
            // Nobody writes through it: the functions below take statuses as const, and `free` leaves these alone.
            return std::ptr::from_ref(status).cast_mut();
        }
        // A NUL within a message would end it early.
        let message = CString::new(bytes).unwrap_or_else(|_| {
            let bytes: Vec<u8> = bytes.iter().copied().filter(|byte| *byte != 0).collect();
            CString::new(bytes).unwrap_or_default()
        });
        Status { kind: error.kind(), message: Message::Own(message) }.into_handle()
    }

    /// The error that a status of C's making tells of, which is thereby freed. `Ok` for NULL.
    ///
    /// # Errors
    /// What the status says.
    ///
    /// # Safety
    /// `status` is NULL or a status that the caller owns.
    pub(super) unsafe fn into_result(status: *mut Status) -> Result<(), Error> {
        // SAFETY: the caller's promise.
        let Some(known) = (unsafe { status.as_ref() }) else { return Ok(()) };
        let error = Error::new(known.kind, known.message().to_string_lossy().into_owned());
        // SAFETY: the caller's promise; `known` is not used any more.
        unsafe { free(status) };
        Err(error)
    }

    fn message(&self) -> &CStr {
        match &self.message {
            Message::Fixed(message) => message,
            Message::Own(message) => message,
        }
    }
}

/// # Safety
/// `status` is NULL or a status that the caller owns and does not use any more.
unsafe fn free(status: *mut Status) {
    let is_fixed = FIXED.as_ptr_range().contains(&status.cast_const());
    if !is_fixed {
        // SAFETY: the caller's promise; a status that is not fixed came from `into_handle`.
        drop(unsafe { Status::from_handle(status) });
    }
}

/// Makes a status, for a callback that has to return one.                                [any thread] [never blocks]
///
/// `code`: one of INFERLAY_CODE_*; any other number becomes UNKNOWN. `message`: borrowed for the call; NULL, or bytes
/// that are not UTF-8, become an empty message. The status is the caller's, to return or to free. Never NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_status_new(code: Code, message: *const c_char) -> *mut Status {
    // SAFETY: the caller's promise.
    let message = unsafe { utf8(message, "message") }.unwrap_or_default();
    Status::from_error(Error::new(kind(code), message.to_owned()))
}

/// Frees a status.                                                                        [any thread] [never blocks]
///
/// `status`: taken; NULL does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_status_free(status: *mut Status) {
    // SAFETY: the caller's promise.
    free_door(|| unsafe { free(status) });
}

/// The code of a status: one of INFERLAY_CODE_*.                                          [any thread] [never blocks]
///
/// `status`: borrowed for the call; UNKNOWN for NULL.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_status_code(status: *const Status) -> Code {
    // SAFETY: the caller's promise.
    unsafe { borrow(status, "status") }.map_or(ErrorKind::Unknown, |status| status.kind) as Code
}

/// The message of a status, NUL-terminated UTF-8: the place, what was found and what was expected.
///                                                                                        [any thread] [never blocks]
/// `status`: borrowed. The text is the status's and lives as long as that. Never NULL; empty for a NULL status.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_status_message(status: *const Status) -> *const c_char {
    // SAFETY: the caller's promise.
    unsafe { borrow(status, "status") }.map_or(c"", |status| status.message()).as_ptr()
}

/// The name of a code, such as "INVALID_ARG".                                             [any thread] [never blocks]
///
/// The text lives for ever; "UNKNOWN" for a number that is no code. Never NULL.
#[unsafe(no_mangle)]
pub extern "C" fn inferlay_code_name(code: Code) -> *const c_char {
    let name = match kind(code) {
        ErrorKind::Internal => c"INTERNAL",
        ErrorKind::NotFound => c"NOT_FOUND",
        ErrorKind::InvalidArg => c"INVALID_ARG",
        ErrorKind::Unavailable => c"UNAVAILABLE",
        ErrorKind::Unsupported => c"UNSUPPORTED",
        ErrorKind::AlreadyExists => c"ALREADY_EXISTS",
        ErrorKind::Cancelled => c"CANCELLED",
        ErrorKind::Timeout => c"TIMEOUT",
        ErrorKind::ResourceExhausted => c"RESOURCE_EXHAUSTED",
        ErrorKind::FailedPrecondition => c"FAILED_PRECONDITION",
        ErrorKind::Panic => c"PANIC",
        ErrorKind::InstanceLost => c"INSTANCE_LOST",
        _ => c"UNKNOWN",
    };
    name.as_ptr()
}
