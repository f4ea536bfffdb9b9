//! A server of Triton's, from its options to its end, with everything off that ours does not do either.
//!
//! It listens nowhere: that is the business of Triton's program, not of its library.
#![allow(unsafe_code)]

use super::api::{self, Api, Error, Options};
use std::ffi::{CString, c_char};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::ptr;
use std::rc::Rc;

/// A running server. Clients share it: it ends after the last of them.
pub(crate) struct Server {
    pub(super) api: &'static Api,
    pub(super) server: *mut api::Server,
}

impl Server {
    /// Starts a server, which returns when its models are loaded.
    ///
    /// # Errors
    /// What Triton says, among others when a model cannot be loaded.
    pub(crate) fn start(api: &'static Api, repository: &Path, backends: &Path) -> Result<Rc<Self>, String> {
        let options = Settings::new(api)?;
        options.set_path("repository", api.ServerOptionsSetModelRepositoryPath, repository)?;
        options.set_path("backends", api.ServerOptionsSetBackendDirectory, backends)?;
        options.set("metrics", api.ServerOptionsSetMetrics, false)?;
        options.set("gpu metrics", api.ServerOptionsSetGpuMetrics, false)?;
        options.set("cpu metrics", api.ServerOptionsSetCpuMetrics, false)?;
        // What goes wrong is returned. The log would hold that this machine has no GPU, if it has none.
        for level in [api.ServerOptionsSetLogInfo, api.ServerOptionsSetLogWarn, api.ServerOptionsSetLogError] {
            options.set("log", level, false)?;
        }
        options.set("pinned memory", api.ServerOptionsSetPinnedMemoryPoolByteSize, 0)?;
        let mut server = ptr::null_mut();
        // SAFETY: the options live until the end of this function, and the server is written only during the call.
        api.check("ServerNew", unsafe { (api.ServerNew)(&raw mut server, options.options) })?;
        Ok(Rc::new(Server { api, server }))
    }

    /// Whether all models can be asked.
    ///
    /// # Errors
    /// What Triton says.
    pub(crate) fn is_ready(&self) -> Result<bool, String> {
        let mut is_ready = false;
        // SAFETY: the server lives as long as `self`, and the flag is written only during the call.
        let error = unsafe { (self.api.ServerIsReady)(self.server, &raw mut is_ready) };
        self.api.check("ServerIsReady", error)?;
        Ok(is_ready)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // SAFETY: the server is ours, and every client that uses it shares `self` and hence is gone.
        let error = unsafe { (self.api.ServerDelete)(self.server) };
        if let Err(message) = self.api.check("ServerDelete", error) {
            eprintln!("{message}");
        }
    }
}

/// The options of a server that is about to start.
struct Settings {
    api: &'static Api,
    options: *mut Options,
}

impl Settings {
    fn new(api: &'static Api) -> Result<Self, String> {
        let mut options = ptr::null_mut();
        // SAFETY: the options are written only during the call.
        api.check("ServerOptionsNew", unsafe { (api.ServerOptionsNew)(&raw mut options) })?;
        Ok(Settings { api, options })
    }

    fn set<T>(
        &self,
        what: &str,
        set: unsafe extern "C" fn(*mut Options, T) -> *mut Error,
        to: T,
    ) -> Result<(), String> {
        // SAFETY: `set` is one of the table's setters, which take options that live and a value of this type; a path is
        // copied.
        self.api.check(what, unsafe { set(self.options, to) })
    }

    fn set_path(
        &self,
        what: &str,
        set: unsafe extern "C" fn(*mut Options, *const c_char) -> *mut Error,
        path: &Path,
    ) -> Result<(), String> {
        let path = CString::new(path.as_os_str().as_bytes()).map_err(|error| format!("{what}: {error}"))?;
        self.set(what, set, path.as_ptr())
    }
}

impl Drop for Settings {
    fn drop(&mut self) {
        // SAFETY: the options are ours, and a server copies what it needs of them.
        let error = unsafe { (self.api.ServerOptionsDelete)(self.options) };
        // Options that cannot be deleted are lost, which nobody needs to know.
        let _deleted = self.api.check("ServerOptionsDelete", error);
    }
}
