//! Models of a server, by name and version: what they are, what they did, coming and going.

use super::door::{door, quiet_door};
use super::handle::utf8;
use super::server::{Server, handle, json_of, tell, until};
use super::status::Status;
use crate::server::{ModelHandle, ServerHandle};
use inferlay_backend_sdk::Error;
use std::ffi::c_char;

/// A model of a server; version 0 is the highest that serves.
///
/// # Safety
/// `name` is NULL or a NUL-terminated string.
pub(super) unsafe fn find(server: &ServerHandle, name: *const c_char, version: u64) -> Result<ModelHandle, Error> {
    // SAFETY: the caller's promise.
    let name = unsafe { utf8(name, "model") }?;
    match version {
        0 => server.model(name),
        version => server.model_version(name, version),
    }
}

/// Whether this version of a model serves; version 0: whether any does.                   [any thread] [never blocks]
///
/// `model`: borrowed for the call. False for NULL, for names that are not there, after stop and free, and in the child
/// of a fork.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_model_is_ready(server: *const Server, model: *const c_char, version: u64) -> bool {
    quiet_door(false, || {
        // SAFETY: the caller's promise.
        let server = unsafe { handle(server) }?;
        // SAFETY: the caller's promise.
        Ok(unsafe { find(&server, model, version) }?.is_ready())
    })
}

/// What a model takes and gives, as JSON in the form of KServe v2: `{"name", "versions", "platform", "inputs",
/// "outputs"}`.                                                                           [any thread] [never blocks]
///
/// `model`: borrowed for the call. `version`: 0 for the highest that serves. Fails with NOT_FOUND or UNAVAILABLE, with
/// the reason. So for the functions below.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_model_metadata(
    server: *const Server,
    model: *const c_char,
    version: u64,
    json: *mut *mut c_char,
) -> *mut Status {
    // SAFETY: the caller's promise.
    let find = |server: &ServerHandle| unsafe { find(server, model, version) };
    // SAFETY: the caller's promise.
    unsafe { tell(server, json, |server| json_of(&find(server)?.metadata()?)) }
}

/// The complete config of a model, as JSON with Triton's keys.                            [any thread] [never blocks]
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_model_config(
    server: *const Server,
    model: *const c_char,
    version: u64,
    json: *mut *mut c_char,
) -> *mut Status {
    // SAFETY: the caller's promise.
    let find = |server: &ServerHandle| unsafe { find(server, model, version) };
    // SAFETY: the caller's promise.
    unsafe { tell(server, json, |server| Ok(find(server)?.config()?.to_json().to_string())) }
}

/// What a model has done since it was loaded, as JSON with the names of Triton's statistics; times are sums over
/// requests, in nanoseconds.                                                              [any thread] [never blocks]
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_model_statistics(
    server: *const Server,
    model: *const c_char,
    version: u64,
    json: *mut *mut c_char,
) -> *mut Status {
    // SAFETY: the caller's promise.
    let find = |server: &ServerHandle| unsafe { find(server, model, version) };
    // SAFETY: the caller's promise.
    unsafe { tell(server, json, |server| json_of(&find(server)?.statistics()?)) }
}

/// Loads one model of one file, named by the file's stem, into a server that runs.  [any thread] [blocks: loads a model]
///
/// `file`: borrowed for the call. Fails with ALREADY_EXISTS when the name is taken, and with whatever keeps the model
/// from serving; the server goes on as before.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_model_load(server: *const Server, file: *const c_char) -> *mut Status {
    door(|| {
        // SAFETY: the caller's promise.
        let server = unsafe { handle(server) }?;
        // SAFETY: the caller's promise.
        server.load_file(unsafe { utf8(file, "file") }?).map(drop)
    })
}

/// Stops serving a model, all its versions, and lets it go.     [any thread] [blocks until drained or the deadline]
///
/// `model`: borrowed for the call. `deadline_ns`: until when requests on their way may finish; the others are answered
/// with errors. Fails with NOT_FOUND, with TIMEOUT when something was left, and with FAILED_PRECONDITION inside a
/// callback or an execution.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_model_remove(
    server: *const Server,
    model: *const c_char,
    deadline_ns: u64,
) -> *mut Status {
    door(|| {
        // SAFETY: the caller's promise.
        let server = unsafe { handle(server) }?;
        // SAFETY: the caller's promise.
        server.remove_model(unsafe { utf8(model, "model") }?, until(deadline_ns))
    })
}
