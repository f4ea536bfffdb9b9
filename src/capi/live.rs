//! Models that come and go while a server runs, by name, and what they use.

use super::door::{door, quiet_door};
use super::handle::{Boxed, borrow, check_size, slice, utf8};
use super::operation::Operation;
use super::options::{File, read_files};
use super::server::{Server, handle, json_of, tell};
use super::status::Status;
use crate::config;
use crate::server::{self, ServerHandle};
use inferlay_backend_sdk::Error;
use std::ffi::c_char;
use std::ptr;

/// What the text of a config is: one of `INFERLAY_CONFIG_FORMAT_*`.
pub type ConfigFormat = u32;
/// YAML, and so may be JSON. The default.
pub const INFERLAY_CONFIG_FORMAT_YAML: u32 = 0;
/// The text format of protocol buffers, as `config.pbtxt` has it.
pub const INFERLAY_CONFIG_FORMAT_PBTXT: u32 = 1;

/// What becomes of a version that serves when there is no room for the new one beside it: one of `INFERLAY_SWAP_*`.
pub type Swap = u32;
/// What the config says. The default.
pub const INFERLAY_SWAP_AS_CONFIGURED: u32 = 0;
/// It serves on, and the new one fails with RESOURCE_EXHAUSTED.
pub const INFERLAY_SWAP_OVERLAP: u32 = 1;
/// It finishes what it has and goes first, and requests wait for the new one.
pub const INFERLAY_SWAP_REPLACE: u32 = 2;

/// How a model is to be loaded, where that is not what its folder says. Set `struct_size` to
/// `sizeof(inferlay_load_options)`, and what is not used to 0.
#[repr(C)]
pub struct LoadOptions {
    /// `sizeof(inferlay_load_options)`.
    pub struct_size: usize,
    /// In the place of the model's own config: YAML or JSON, or what `config_format` says; NULL for its own.
    pub config: *const c_char,
    /// The versions to load, whatever the config's `version_policy` says; each must be there.
    pub versions: *const u64,
    /// The number of versions; 0 for those that the config chooses.
    pub versions_len: usize,
    /// The model's files, in the place of those of a repository: paths within its folder, such as `1/model.onnx`. Those
    /// without a folder are version 1, but for the config.
    pub files: *const *const File,
    /// The number of files; 0 for those of a repository.
    pub files_len: usize,
    /// What `config` is: one of INFERLAY_CONFIG_FORMAT_*.
    pub config_format: ConfigFormat,
    /// In the place of the config's `swap`: one of INFERLAY_SWAP_*.
    pub swap: Swap,
}

/// How a model is to be unloaded. Set `struct_size` to `sizeof(inferlay_unload_options)`, and what is not used to 0.
#[repr(C)]
pub struct UnloadOptions {
    /// `sizeof(inferlay_unload_options)`.
    pub struct_size: usize,
    /// Whether models that were loaded for this one alone go with it. Without effect so far: no model has dependents
    /// until there are ensembles.
    pub unload_dependents: bool,
}

impl LoadOptions {
    /// # Safety
    /// `options` is NULL or good for reading, with all it points to.
    unsafe fn read(options: *const LoadOptions) -> Result<server::LoadOptions, Error> {
        let mut made = server::LoadOptions::new();
        // SAFETY: the caller's promise.
        let Some(said) = (unsafe { options.as_ref() }) else { return Ok(made) };
        check_size::<Self>("options", said.struct_size)?;
        if !said.config.is_null() {
            // SAFETY: the caller's promise.
            let text = unsafe { utf8(said.config, "options: config") }?;
            made = match said.config_format {
                INFERLAY_CONFIG_FORMAT_YAML => made.config(text),
                INFERLAY_CONFIG_FORMAT_PBTXT => made.config_pbtxt(text),
                other => {
                    return Err(Error::invalid_arg(format!("options: config_format: found {other}, expected 0 or 1")));
                }
            };
        }
        if said.versions_len > 0 {
            // SAFETY: the caller's promise.
            let versions = unsafe { slice(said.versions, said.versions_len, "options: versions") }?;
            made = made.versions(versions.iter().copied());
        }
        if said.files_len > 0 {
            // SAFETY: the caller's promise.
            made = made.files(unsafe { read_files(said.files, said.files_len) }?);
        }
        match said.swap {
            INFERLAY_SWAP_AS_CONFIGURED => Ok(made),
            INFERLAY_SWAP_OVERLAP => Ok(made.swap(config::Swap::Overlap)),
            INFERLAY_SWAP_REPLACE => Ok(made.swap(config::Swap::Replace)),
            other => Err(Error::invalid_arg(format!("options: swap: found {other}, expected 0 to 2"))),
        }
    }
}

/// Loads a model of the repositories by its name, or loads it anew, and returns at once.  [any thread] [never blocks]
///
/// What serves goes on serving until all of the new is loaded; then new requests go there, and those on their way finish
/// where they are. If anything of it fails, what served serves on. What has not changed is not loaded again.
/// `model`, `options` and all it points to: borrowed for the call; the files are copied. `options`: NULL for what the
/// model's folder says. `operation`: where the operation goes, which is then the caller's, to be freed with
/// `inferlay_operation_free`; NULL if nobody wants to know. The operation fails with NOT_FOUND for a model that is in no
/// repository, with CANCELLED when it is unloaded meanwhile, and with whatever keeps a version from serving.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_server_load_model(
    server: *const Server,
    model: *const c_char,
    options: *const LoadOptions,
    operation: *mut *mut Operation,
) -> *mut Status {
    door(|| {
        // SAFETY: the caller's promise.
        let server = unsafe { handle(server) }?;
        // SAFETY: the caller's promise.
        let model = unsafe { utf8(model, "model") }?;
        // SAFETY: the caller's promise.
        let begun = server.load_model_with(model, unsafe { LoadOptions::read(options) }?);
        // SAFETY: the caller's promise.
        unsafe { hand_out(&server, begun, operation) };
        Ok(())
    })
}

/// Unloads a model, all its versions, and returns at once: from now on it takes no requests. Those on their way are
/// answered, for as long as the retire timeout allows. The model stays in the index, and can be loaded again.
///                                                                                        [any thread] [never blocks]
/// `model`, `options`: borrowed for the call. `options`: NULL for the defaults. `operation`: as for
/// `inferlay_server_load_model`; it is over when the memory is back. It fails with NOT_FOUND, and with TIMEOUT when
/// requests were left when the time was up.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_server_unload_model(
    server: *const Server,
    model: *const c_char,
    options: *const UnloadOptions,
    operation: *mut *mut Operation,
) -> *mut Status {
    door(|| {
        // SAFETY: the caller's promise.
        let server = unsafe { handle(server) }?;
        // SAFETY: the caller's promise.
        if let Some(options) = unsafe { options.as_ref() } {
            check_size::<UnloadOptions>("options", options.struct_size)?;
        }
        // SAFETY: the caller's promise.
        let begun = server.unload_model(unsafe { utf8(model, "model") }?);
        // SAFETY: the caller's promise.
        unsafe { hand_out(&server, begun, operation) };
        Ok(())
    })
}

/// Looks at all repositories now, does what has changed there asks for, and returns at once. A model that is being
/// written is waited for.                                                                 [any thread] [never blocks]
///
/// `operation`: as for `inferlay_server_load_model`; it is over when all is done, whether or not models failed to load,
/// see `inferlay_server_models`. It fails with FAILED_PRECONDITION for a server with explicit control. A server that was
/// not started to poll looks only when this is called.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_server_poll(server: *const Server, operation: *mut *mut Operation) -> *mut Status {
    door(|| {
        // SAFETY: the caller's promise.
        let server = unsafe { handle(server) }?;
        // SAFETY: the caller's promise.
        unsafe { hand_out(&server, server.poll(), operation) };
        Ok(())
    })
}

/// # Safety
/// `place` is NULL or good for writing.
unsafe fn hand_out(server: &ServerHandle, begun: server::Operation, place: *mut *mut Operation) {
    if !place.is_null() {
        // SAFETY: the caller's promise.
        unsafe { place.write(Operation::new(server, begun).into_handle()) };
    }
}

/// Has a model stay in memory once it is there, or go again when others need room, which is so unless it was pinned.
/// Without a memory budget all models stay.                                               [any thread] [never blocks]
///
/// `model`: borrowed for the call; it need not be loaded.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_server_pin_model(
    server: *const Server,
    model: *const c_char,
    pinned: bool,
) -> *mut Status {
    door(|| {
        // SAFETY: the caller's promise.
        let server = unsafe { handle(server) }?;
        // SAFETY: the caller's promise.
        server.pin_model(unsafe { utf8(model, "model") }?, pinned);
        Ok(())
    })
}

/// What paging has done, as JSON: `{"budget_bytes", "used_bytes", "used_bytes_max", "resident_count", "loads",
/// "evictions", "thrashes", "exhausted"}`; all 0 without a memory budget.                 [any thread] [never blocks]
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_server_paging(server: *const Server, json: *mut *mut c_char) -> *mut Status {
    // SAFETY: the caller's promise.
    unsafe { tell(server, json, |server| json_of(&server.paging())) }
}

/// Where it is counted how many times the state of any version of any model has changed: who keeps what it has been told
/// of models reads this, atomically, before each use, and asks again when it is another number.
///                                                                                        [any thread] [never blocks]
/// Read-only, and good for ever, also when the server was freed. NULL for NULL, and in the child of a fork.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_server_change_counter(server: *const Server) -> *const u64 {
    // SAFETY: the caller's promise; a server's stone is never freed.
    quiet_door(ptr::null(), || Ok(unsafe { borrow(server, "server") }?.change_counter()))
}
