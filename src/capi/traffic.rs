//! Several versions of a model at once: labels, shares of the traffic, a shadow.

use super::door::door;
use super::handle::{borrow, out, slice, utf8};
use super::request::Request;
use super::server::{Server, handle, json_of, tell};
use super::status::Status;
use crate::server::ServerHandle;
use inferlay_backend_sdk::Error;
use serde_json::json;
use std::ffi::c_char;
use std::ptr::NonNull;

/// A call about a model of a server that gives nothing back.
///
/// # Safety
/// `model` is NULL or a NUL-terminated string; `server` is as for [`handle`].
unsafe fn direct(
    server: *const Server,
    model: *const c_char,
    call: impl FnOnce(&ServerHandle, &str) -> Result<(), Error>,
) -> *mut Status {
    door(|| {
        // SAFETY: the caller's promise.
        let server = unsafe { handle(server) }?;
        // SAFETY: the caller's promise.
        call(&server, unsafe { utf8(model, "model") }?)
    })
}

/// Puts a label, such as "stable" or "canary", at a version of a model; one that was at another version moves.
///                                                                                        [any thread] [never blocks]
/// Requests that were made with the label go there from now on.
/// `model`, `label`: borrowed for the call. The version must serve: a label that is moved never leads from a
/// version that answers to one that does not. When it is unloaded later the label stays, and requests by it are
/// refused until the version is back or the label moves. Fails with NOT_FOUND for a model or version that is not
/// there, UNAVAILABLE for a version that does not serve, and INVALID_ARG for a label that is not of 1 to 64
/// letters, digits, '_', '-' and '.', with one letter at least.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_server_set_label(
    server: *const Server,
    model: *const c_char,
    label: *const c_char,
    version: u64,
) -> *mut Status {
    // SAFETY: the caller's promise.
    let label = || unsafe { utf8(label, "label") };
    // SAFETY: the caller's promise.
    unsafe { direct(server, model, |server, model| server.set_label(model, label()?, version)) }
}

/// Takes a label away.                                                                    [any thread] [never blocks]
///
/// `model`, `label`: borrowed for the call. Fails with NOT_FOUND for a model or label that is not there.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_server_remove_label(
    server: *const Server,
    model: *const c_char,
    label: *const c_char,
) -> *mut Status {
    // SAFETY: the caller's promise.
    let label = || unsafe { utf8(label, "label") };
    // SAFETY: the caller's promise.
    unsafe { direct(server, model, |server, model| server.remove_label(model, label()?)) }
}

/// The labels of a model and the versions that they are at, as JSON: `{"stable": 1, "canary": 2}`.
///                                                                                        [any thread] [never blocks]
/// `model`: borrowed for the call. Fails with NOT_FOUND for a model that is not there.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_server_labels(
    server: *const Server,
    model: *const c_char,
    json: *mut *mut c_char,
) -> *mut Status {
    // SAFETY: the caller's promise.
    let model = || unsafe { utf8(model, "model") };
    // SAFETY: the caller's promise.
    unsafe { tell(server, json, |server| json_of(&server.labels(model()?)?)) }
}

/// Splits the requests that name neither version nor label between versions of a model, by weights.
///                                                                                        [any thread] [never blocks]
/// `model`, `versions` and `weights`, of which there are `count` each: borrowed for the call; none ends the split.
/// Over every run of as many requests as the weights come to, each version gets exactly its weight; requests of the
/// same sequence go to the same version. A version that does not serve gets none, and its share goes to the others
/// in proportion; if none of them serves, requests go to the newest version that does. `inferlay_response_version`
/// says who has answered. Fails with NOT_FOUND for a model or version that is not there; with INVALID_ARG for a
/// version that is there twice, weights that are all 0, and weights that come to more than 10000 after what divides
/// them all was taken out.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_server_set_traffic(
    server: *const Server,
    model: *const c_char,
    versions: *const u64,
    weights: *const u32,
    count: usize,
) -> *mut Status {
    // SAFETY: the caller's promise.
    let versions = || unsafe { slice(versions, count, "versions") };
    // SAFETY: the caller's promise.
    let weights = || unsafe { slice(weights, count, "weights") };
    let set = |server: &ServerHandle, model: &str| match count {
        0 => server.clear_traffic(model),
        _ => server.set_traffic(model, versions()?.iter().copied().zip(weights()?.iter().copied())),
    };
    // SAFETY: the caller's promise.
    unsafe { direct(server, model, set) }
}

/// Makes a version the shadow of the others; 0: none.                                     [any thread] [never blocks]
///
/// It gets a copy of every request to the model that another version answers; its answers are dropped, its
/// statistics kept. Whoever asks never waits for it and never hears of it: copies have deadlines of their own,
/// memory that a request borrows is copied, and a shadow that is behind is left out until it has caught up, which
/// `shadow_dropped_count` of its statistics counts. As long as another version serves, the shadow gets no requests
/// of its own but those that ask for it. `model`: borrowed for the call. Fails with NOT_FOUND for a model or
/// version that is not there.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_server_set_shadow(
    server: *const Server,
    model: *const c_char,
    version: u64,
) -> *mut Status {
    // SAFETY: the caller's promise.
    unsafe { direct(server, model, |server, model| server.set_shadow(model, (version != 0).then_some(version))) }
}

/// How the traffic of a model is directed, as JSON: `{"traffic": [{"version": 1, "weight": 9}], "shadow": 2}`.
///                                                                                        [any thread] [never blocks]
/// Without a split there are no versions, without a shadow it is null.
/// `model`: borrowed for the call. Fails with NOT_FOUND for a model that is not there.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_server_traffic(
    server: *const Server,
    model: *const c_char,
    json: *mut *mut c_char,
) -> *mut Status {
    // SAFETY: the caller's promise.
    let model = || unsafe { utf8(model, "model") };
    // SAFETY: the caller's promise.
    unsafe { tell(server, json, |server| traffic(server, model()?)) }
}

fn traffic(server: &ServerHandle, model: &str) -> Result<String, Error> {
    let share = |(version, weight)| json!({ "version": version, "weight": weight });
    let traffic: Vec<_> = server.traffic(model)?.into_iter().map(share).collect();
    json_of(&json!({ "traffic": traffic, "shadow": server.shadow(model)? }))
}

/// Makes a request to the version that a label is at whenever the request is sent, in the place of a number.
///                                                                                        [any thread] [never blocks]
/// `model`, `label`: borrowed for the call. Else as `inferlay_request_new`. Fails with NOT_FOUND for a label that
/// is not there.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_request_new_labelled(
    server: *const Server,
    model: *const c_char,
    label: *const c_char,
    request: *mut *mut Request,
) -> *mut Status {
    door(|| {
        // SAFETY: the caller's promise.
        let place = unsafe { out(request, "request") }?;
        // SAFETY: the caller's promise.
        let found = NonNull::from(unsafe { borrow(server, "server") }?);
        // SAFETY: the caller's promise.
        let model = unsafe { utf8(model, "model") }?;
        // SAFETY: the caller's promise.
        let label = unsafe { utf8(label, "label") }?;
        // SAFETY: it was borrowed just now.
        let model = unsafe { found.as_ref() }.handle()?.model_labelled(model, label)?;
        place.write(Request::new(found, model).as_ptr());
        Ok(())
    })
}
