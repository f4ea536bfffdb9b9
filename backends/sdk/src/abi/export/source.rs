//! What a backend in Rust is given to load a model, over the host's functions. Valid during one call.

use super::Home;
use crate::abi::{inferlay_abi_source, inferlay_abi_text, read_text, result, signature, text};
use crate::{Error, ErrorKind, Host, LogLevel, ModelFiles, ModelSource, Signature};
use std::collections::BTreeMap;
use std::ffi::c_void;
use std::path::PathBuf;
use std::ptr::null;

/// The source of one model.
struct Source {
    home: Home,
    source: *const inferlay_abi_source,
}

// SAFETY: during the call the host lets any thread ask a source.
unsafe impl Send for Source {}
// SAFETY: as for `Send`.
unsafe impl Sync for Source {}

const NO_TEXT: inferlay_abi_text = inferlay_abi_text { data: null(), len: 0 };

/// Has a backend look at `source`.
///
/// # Errors
/// What the backend says, or the host.
///
/// # Safety
/// `source` is the host's, and valid during the call.
pub(super) unsafe fn with<R>(
    home: Home,
    source: *const inferlay_abi_source,
    look: impl FnOnce(&ModelSource<'_>) -> Result<R, Error>,
) -> Result<R, Error> {
    let own = Source { home, source };
    // SAFETY: the caller's promise, for each function of the source.
    let name = unsafe { (home.host.source_name)(source) };
    // SAFETY: the text is valid as long as the source.
    let name = unsafe { read_text(name) };
    // SAFETY: as above.
    let file_name = unsafe { (home.host.source_file)(source) };
    // SAFETY: as above.
    let file_name = unsafe { read_text(file_name) };
    // SAFETY: as above.
    let version = unsafe { (home.host.source_version)(source) };
    // SAFETY: as above.
    let config_json = unsafe { (home.host.source_config)(source) };
    // SAFETY: as above.
    let config_json = unsafe { read_text(config_json) };
    let (config, parameters) = (own.config()?, own.parameters()?);
    look(&ModelSource {
        name: &name,
        version,
        file_name: &file_name,
        files: &own,
        config: &config,
        batch_size_max: own.batch_size_max(),
        parameters: &parameters,
        config_json: &config_json,
        host: &home,
    })
}

impl Source {
    fn config(&self) -> Result<Signature, Error> {
        // SAFETY: the source is valid, see `with`.
        let table = unsafe { (self.home.host.source_signature)(self.source) };
        // SAFETY: the host's signature is valid as long as the source.
        unsafe { signature(table) }
    }

    fn batch_size_max(&self) -> Option<usize> {
        let mut max = 0;
        // SAFETY: the source is valid, see `with`.
        let status = unsafe { (self.home.host.source_batch_size_max)(self.source, &raw mut max) };
        // SAFETY: the status is ours.
        unsafe { result(status) }.ok().and_then(|()| usize::try_from(max).ok())
    }

    fn parameters(&self) -> Result<BTreeMap<String, String>, Error> {
        // SAFETY: the source is valid, see `with`.
        let count = unsafe { (self.home.host.source_parameter_count)(self.source) };
        let parameter = |index| {
            let (mut name, mut value) = (NO_TEXT, NO_TEXT);
            // SAFETY: as above.
            let status =
                unsafe { (self.home.host.source_parameter_at)(self.source, index, &raw mut name, &raw mut value) };
            // SAFETY: the status is ours.
            unsafe { result(status) }?;
            // SAFETY: the text is valid as long as the source.
            let name = unsafe { read_text(name) }.into_owned();
            // SAFETY: as above.
            Ok((name, unsafe { read_text(value) }.into_owned()))
        };
        (0..count).map(parameter).collect()
    }
}

impl ModelFiles for Source {
    fn names(&self) -> Vec<String> {
        // SAFETY: the source is valid, see `with`.
        let count = unsafe { (self.home.host.source_file_count)(self.source) };
        let name = |index| {
            let mut name = NO_TEXT;
            // SAFETY: as above.
            let status = unsafe { (self.home.host.source_file_name)(self.source, index, &raw mut name) };
            // SAFETY: the status is ours.
            unsafe { result(status) }.ok()?;
            // SAFETY: the text is valid as long as the source.
            Some(unsafe { read_text(name) }.into_owned())
        };
        (0..count).filter_map(name).collect()
    }

    fn read(&self, name: &str) -> Result<Vec<u8>, Error> {
        let (mut data, mut len) = (null::<c_void>(), 0);
        // SAFETY: the source is valid, see `with`.
        let status = unsafe { (self.home.host.source_file_read)(self.source, text(name), &raw mut data, &raw mut len) };
        // SAFETY: the status is ours.
        unsafe { result(status) }?;
        if data.is_null() || len == 0 {
            return Ok(Vec::new());
        }
        let len = usize::try_from(len).map_err(|_| Error::internal(format!("file '{name}': its length overflows")))?;
        // SAFETY: the content is valid as long as the source; neither null nor empty.
        Ok(unsafe { std::slice::from_raw_parts(data.cast::<u8>(), len) }.to_vec())
    }

    fn path(&self, name: &str) -> Result<Option<PathBuf>, Error> {
        let mut path = NO_TEXT;
        // SAFETY: the source is valid, see `with`.
        let status = unsafe { (self.home.host.source_file_path)(self.source, text(name), &raw mut path) };
        // SAFETY: the status is ours.
        match unsafe { result(status) } {
            Err(error) if error.kind() == ErrorKind::Unsupported => return Ok(None),
            other => other?,
        }
        // SAFETY: the text is valid as long as the source.
        Ok(Some(PathBuf::from(&*unsafe { read_text(path) })))
    }
}

impl Host for Home {
    fn log(&self, level: LogLevel, message: &str) {
        // SAFETY: the engine is valid until `backend_free`, and who logs belongs to the backend.
        unsafe { (self.host.log)(self.engine, level as u32, text(message)) };
    }

    fn threads_max(&self) -> usize {
        // SAFETY: as for `log`.
        let threads = unsafe { (self.host.threads_max)(self.engine) };
        threads as usize
    }
}
