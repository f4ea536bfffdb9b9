//! What a request says beside its tensors: when, how urgent, of which sequence, and values for the backend.

use super::handle::utf8;
use super::request::{Parts, Request, edit, set};
use super::status::Status;
use inferlay_backend_sdk::{Error, ParameterValue};
use std::ffi::c_char;

/// Flags of a request within its sequence: a sum of `INFERLAY_SEQUENCE_*`.
pub type SequenceFlags = u32;
/// The request starts its sequence.
pub const INFERLAY_SEQUENCE_START: u32 = 1;
/// The request ends its sequence.
pub const INFERLAY_SEQUENCE_END: u32 = 2;

/// The time, on the clock of `inferlay_clock_now`, from which the answer is worthless: a request that still waits then
/// is answered with TIMEOUT. 0 for none.                                                  [one thread] [never blocks]
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_request_set_deadline(request: *mut Request, deadline_ns: u64) -> *mut Status {
    // SAFETY: the caller's promise.
    unsafe { set(request, |parts| (parts.deadline_ns, parts.timeout_ns) = (deadline_ns, 0)) }
}

/// A deadline this long after each sending, in place of one at a time. 0 for none.        [one thread] [never blocks]
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_request_set_timeout(request: *mut Request, timeout_ns: u64) -> *mut Status {
    // SAFETY: the caller's promise.
    unsafe { set(request, |parts| (parts.deadline_ns, parts.timeout_ns) = (0, timeout_ns)) }
}

/// How long it may wait in the model's queue, from each sending, before that counts it as late: it is rejected with
/// TIMEOUT then, or served after those in time, as the queue's `timeout_action` says. Counts where the queue has
/// `allow_timeout_override` and a longer timeout of its own, or none; unlike a deadline, it ends no execution. 0 for the
/// queue's own.                                                                           [one thread] [never blocks]
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_request_set_queue_timeout(request: *mut Request, timeout_ns: u64) -> *mut Status {
    // SAFETY: the caller's promise.
    unsafe { set(request, |parts| parts.queue_timeout_ns = timeout_ns) }
}

/// Its priority, from 1 (the most urgent) to the model's `priority_levels`; 0 is the model's default.
///                                                                                        [one thread] [never blocks]
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_request_set_priority(request: *mut Request, priority: u32) -> *mut Status {
    // SAFETY: the caller's promise.
    unsafe { set(request, |parts| parts.priority = priority) }
}

/// The sequence that the request belongs to, by a number; 0 for none.                     [one thread] [never blocks]
///
/// `flags`: a sum of INFERLAY_SEQUENCE_*.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_request_set_sequence(
    request: *mut Request,
    id: u64,
    flags: SequenceFlags,
) -> *mut Status {
    // SAFETY: the caller's promise.
    unsafe { edit(request, |parts| set_sequence(parts, id, "", flags)) }
}

/// The sequence that the request belongs to, by a text; "" for none.                      [one thread] [never blocks]
///
/// `id`: borrowed for the call. `flags`: a sum of INFERLAY_SEQUENCE_*.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_request_set_sequence_text(
    request: *mut Request,
    id: *const c_char,
    flags: SequenceFlags,
) -> *mut Status {
    // SAFETY: the caller's promise.
    let id = || unsafe { utf8(id, "id") };
    // SAFETY: the caller's promise.
    unsafe { edit(request, |parts| set_sequence(parts, 0, id()?, flags)) }
}

fn set_sequence(parts: &mut Parts, id: u64, text: &str, flags: u32) -> Result<(), Error> {
    if flags & !(INFERLAY_SEQUENCE_START | INFERLAY_SEQUENCE_END) != 0 {
        return Err(Error::invalid_arg(format!("flags: found {flags}, expected a sum of INFERLAY_SEQUENCE_*")));
    }
    let sequence = &mut parts.sequence;
    sequence.id = id;
    sequence.text.clear();
    sequence.text.push_str(text);
    sequence.starts = flags & INFERLAY_SEQUENCE_START != 0;
    sequence.ends = flags & INFERLAY_SEQUENCE_END != 0;
    Ok(())
}

/// Whether a trace of the request is recorded, whatever the server's rate is.             [one thread] [never blocks]
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_request_set_traced(request: *mut Request, traced: bool) -> *mut Status {
    // SAFETY: the caller's promise.
    unsafe { set(request, |parts| parts.is_traced = traced) }
}

/// Gives the backend a text under a name; what had the name before is replaced.           [one thread] [never blocks]
///
/// `name`, `value`: borrowed for the call.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_request_set_parameter_string(
    request: *mut Request,
    name: *const c_char,
    value: *const c_char,
) -> *mut Status {
    // SAFETY: the caller's promise.
    let value = || unsafe { utf8(value, "value") };
    // SAFETY: the caller's promise.
    unsafe { set_parameter(request, name, || Ok(ParameterValue::String(value()?.to_owned()))) }
}

/// Gives the backend a whole number under a name.                                         [one thread] [never blocks]
///
/// `name`: borrowed for the call.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_request_set_parameter_int(
    request: *mut Request,
    name: *const c_char,
    value: i64,
) -> *mut Status {
    // SAFETY: the caller's promise.
    unsafe { set_parameter(request, name, || Ok(ParameterValue::Int(value))) }
}

/// Gives the backend a floating-point number under a name.                                [one thread] [never blocks]
///
/// `name`: borrowed for the call.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_request_set_parameter_double(
    request: *mut Request,
    name: *const c_char,
    value: f64,
) -> *mut Status {
    // SAFETY: the caller's promise.
    unsafe { set_parameter(request, name, || Ok(ParameterValue::Double(value))) }
}

/// Gives the backend a truth value under a name.                                          [one thread] [never blocks]
///
/// `name`: borrowed for the call.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_request_set_parameter_bool(
    request: *mut Request,
    name: *const c_char,
    value: bool,
) -> *mut Status {
    // SAFETY: the caller's promise.
    unsafe { set_parameter(request, name, || Ok(ParameterValue::Bool(value))) }
}

/// Takes all parameters away.                                                             [one thread] [never blocks]
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_request_clear_parameters(request: *mut Request) -> *mut Status {
    // SAFETY: the caller's promise.
    unsafe { set(request, |parts| parts.parameters.clear()) }
}

/// # Safety
/// `request` is NULL or a request of the caller, `name` is NULL or a NUL-terminated string.
unsafe fn set_parameter(
    request: *mut Request,
    name: *const c_char,
    value: impl FnOnce() -> Result<ParameterValue, Error>,
) -> *mut Status {
    // SAFETY: the caller's promise.
    let name = || unsafe { utf8(name, "name") };
    let change = |parts: &mut Parts| {
        let (name, value) = (name()?, value()?);
        match parts.parameters.iter_mut().find(|(known, _)| known == name) {
            Some((_, place)) => *place = value,
            None => parts.parameters.push((name.to_owned(), value)),
        }
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { edit(request, change) }
}
