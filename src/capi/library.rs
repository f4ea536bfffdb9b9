//! What was built: versions, features, devices.

use super::door::door;
use super::status::Status;
use super::text::give;
use super::types::INFERLAY_API_VERSION;
use serde_json::json;
use std::ffi::{CStr, c_char};

const VERSION: &CStr = match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
    Ok(version) => version,
    Err(_) => panic!("a version with a NUL in it"),
};

/// The version of the library, such as "0.1.0".                                           [any thread] [never blocks]
///
/// The text lives for ever. Never NULL.
#[unsafe(no_mangle)]
pub extern "C" fn inferlay_version() -> *const c_char {
    VERSION.as_ptr()
}

/// The API version that the library was built with, to compare with INFERLAY_API_VERSION. [any thread] [never blocks]
#[unsafe(no_mangle)]
pub extern "C" fn inferlay_api_version() -> u32 {
    INFERLAY_API_VERSION
}

/// How the library was built, as JSON: `{"version", "api_version", "target", "features"}`. [any thread] [never blocks]
///
/// `json`: as for `inferlay_server_metadata`.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_build(json: *mut *mut c_char) -> *mut Status {
    // SAFETY: the caller's promise.
    door(|| unsafe { give(build(), json) })
}

fn build() -> String {
    let features = [("tract", cfg!(feature = "tract")), ("ndarray", cfg!(feature = "ndarray"))];
    let features: Vec<_> = features.iter().filter(|(_, on)| *on).map(|(name, _)| *name).collect();
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "api_version": INFERLAY_API_VERSION,
        "target": format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS),
        "debug": cfg!(debug_assertions),
        "features": features,
    })
    .to_string()
}

/// KServe's metadata of a server.
pub(super) fn metadata() -> String {
    let extensions =
        ["binary_tensor_data", "model_configuration", "model_repository", "schedule_policy", "statistics", "trace"];
    json!({ "name": "inferlay", "version": env!("CARGO_PKG_VERSION"), "extensions": extensions }).to_string()
}

/// The devices that this build executes on.
pub(super) fn devices() -> String {
    json!([{ "kind": "CPU", "id": 0, "name": std::env::consts::ARCH, "threads": crate::sync::thread::cores() }])
        .to_string()
}
