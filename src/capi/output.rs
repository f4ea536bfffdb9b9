//! The outputs that a request asks for, and memory of the caller that they go to.

use super::handle::{slice, utf8};
use super::request::{Parts, Request, edit, set};
use super::status::Status;
use super::types::{Memory, check_memory};
use std::ffi::{c_char, c_void};
use std::ptr::NonNull;

/// One output that is asked for.
pub(super) struct Output {
    pub(super) name: String,
    /// Memory of the caller for it.
    pub(super) into: Option<(NonNull<u8>, usize)>,
}

/// Asks for an output; a request that asks for none gets all. The library allocates it.   [one thread] [never blocks]
///
/// `name`, `wanted`: borrowed for the call. `wanted`: the memory that it is wanted in; NULL for host memory. Fails with
/// UNSUPPORTED for memory of devices.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_request_add_output(
    request: *mut Request,
    name: *const c_char,
    wanted: *const Memory,
) -> *mut Status {
    // SAFETY: the caller's promise.
    let name = || unsafe { utf8(name, "name") };
    // SAFETY: the caller's promise.
    let check = || unsafe { check_memory(wanted) };
    let change = |parts: &mut Parts| {
        let name = name()?;
        check()?;
        put(parts, name, None);
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { edit(request, change) }
}

/// Asks for an output in memory of the caller: written by the backend itself when the request is alone in its batch,
/// else copied there once.                                                                [one thread] [never blocks]
///
/// `name`, `memory`: borrowed for the call. `data`: borrowed until release, and touched by nobody else until then; at
/// least as large as the output, aligned to its type, and apart from all inputs. The output of the response then is a
/// view of it, with the shape that was written. A request with such memory is never answered while its backend runs.
/// Fails with UNSUPPORTED for memory of devices; sending fails with UNSUPPORTED for an output of BYTES.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_request_set_output(
    request: *mut Request,
    name: *const c_char,
    data: *mut c_void,
    byte_size: usize,
    memory: *const Memory,
) -> *mut Status {
    // SAFETY: the caller's promise.
    let name = || unsafe { utf8(name, "name") };
    // SAFETY: the caller's promise.
    let check = || unsafe { check_memory(memory) };
    // SAFETY: the caller's promise; only the address is taken.
    let place = || unsafe { slice(data.cast::<u8>().cast_const(), byte_size, "data") };
    let change = |parts: &mut Parts| {
        let name = name()?;
        check()?;
        let pointer = NonNull::new(data.cast::<u8>()).unwrap_or(NonNull::<u128>::dangling().cast());
        let into = Some((pointer, place()?.len()));
        put(parts, name, into);
        Ok(())
    };
    // SAFETY: the caller's promise.
    unsafe { edit(request, change) }
}

/// Asks for no output in particular any more, which is to ask for all.                    [one thread] [never blocks]
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_request_clear_outputs(request: *mut Request) -> *mut Status {
    // SAFETY: the caller's promise.
    unsafe { set(request, |parts| parts.outputs.clear()) }
}

fn put(parts: &mut Parts, name: &str, into: Option<(NonNull<u8>, usize)>) {
    match parts.outputs.iter_mut().find(|output| output.name == name) {
        Some(output) => output.into = into,
        None => parts.outputs.push(Output { name: name.to_owned(), into }),
    }
}
