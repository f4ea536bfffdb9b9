//! The handshake: a plugin's table is read as far as both sides know it, and refused before anything of it is called.

use inferlay_backend_sdk::abi::{INFERLAY_ABI_BACKEND_SIZE_1_0, INFERLAY_ABI_MAJOR, inferlay_abi_backend, read};
use inferlay_backend_sdk::{Attributes, Error};
use std::ffi::{CStr, c_char};

/// A checked table. Its required functions are there.
pub(super) struct Table {
    /// As far as both sides know it; what the plugin's does not reach is `None` or zero.
    pub(super) functions: inferlay_abi_backend,
    pub(super) name: &'static str,
    pub(super) version: &'static str,
    pub(super) file_names: Vec<&'static str>,
    pub(super) attributes: Attributes,
}

/// More than any backend recognises; past it lies somebody's uninitialised memory.
const FILE_NAMES_MAX: usize = 256;

impl Table {
    /// Reads and checks a table.
    ///
    /// # Errors
    /// `UNSUPPORTED` for another major or a table that is too short; `INVALID_ARG` for what is missing in it.
    ///
    /// # Safety
    /// `table` is null or points to a table that keeps the promises of its type for as long as the process runs.
    pub(super) unsafe fn read(table: *const inferlay_abi_backend) -> Result<Self, Error> {
        if table.is_null() {
            return Err(Error::unsupported("the plugin returned no table: it cannot work with this engine"));
        }
        // SAFETY: the caller's promise; the first three fields, the size before the major, are the same for every major.
        let [size, major] = unsafe { table.cast::<[u32; 2]>().read() };
        if major != INFERLAY_ABI_MAJOR {
            return Err(Error::unsupported(format!("found ABI major {major}, expected {INFERLAY_ABI_MAJOR}")));
        }
        if size < INFERLAY_ABI_BACKEND_SIZE_1_0 {
            let least = INFERLAY_ABI_BACKEND_SIZE_1_0;
            return Err(Error::unsupported(format!("found a table of {size} bytes, expected at least {least}")));
        }
        // SAFETY: the caller's promise.
        let functions = unsafe { read(table) };
        require(&functions)?;
        // SAFETY: the caller's promise.
        let name = unsafe { constant(functions.name) }.map_err(|error| error.at("table: name"))?;
        let version = match functions.version.is_null() {
            true => "",
            // SAFETY: the caller's promise.
            false => unsafe { constant(functions.version) }.map_err(|error| error.at("table: version"))?,
        };
        // SAFETY: the caller's promise.
        let file_names = unsafe { file_names(functions.file_names) }.map_err(|error| error.at("table: file_names"))?;
        Ok(Table { attributes: attributes(functions.attributes), functions, name, version, file_names })
    }
}

/// Refuses a table that lacks what every backend must have, by its name.
fn require(table: &inferlay_abi_backend) -> Result<(), Error> {
    let is_batcher = table.batcher_new.is_some();
    let required = [
        ("name", table.name.is_null()),
        ("model_new", table.model_new.is_none()),
        ("execute", table.execute.is_none()),
        ("batcher_free", is_batcher && table.batcher_free.is_none()),
        ("batch_begin", is_batcher && table.batch_begin.is_none()),
        ("batch_include", is_batcher && table.batch_include.is_none()),
        ("batch_end", is_batcher && table.batch_end.is_none()),
    ];
    match required.into_iter().find(|(_, is_missing)| *is_missing) {
        None => Ok(()),
        Some((name, _)) => Err(Error::invalid_arg(format!("table: '{name}' is null, but required"))),
    }
}

/// # Safety
/// `text` is a constant that ends with a null byte.
unsafe fn constant(text: *const c_char) -> Result<&'static str, Error> {
    // SAFETY: the caller's promise.
    let text = unsafe { CStr::from_ptr(text) };
    text.to_str().map_err(|_| Error::invalid_arg(format!("found {text:?}, expected UTF-8")))
}

/// # Safety
/// `names` is null, or a constant array of constants that ends with a null pointer.
unsafe fn file_names(names: *const *const c_char) -> Result<Vec<&'static str>, Error> {
    let mut found = Vec::new();
    if names.is_null() {
        return Ok(found);
    }
    for index in 0..FILE_NAMES_MAX {
        // SAFETY: no entry before this one was null.
        let place = unsafe { names.add(index) };
        // SAFETY: as above.
        let name = unsafe { place.read() };
        if name.is_null() {
            return Ok(found);
        }
        // SAFETY: the caller's promise.
        found.push(unsafe { constant(name) }?);
    }
    Err(Error::invalid_arg(format!("found no null among the first {FILE_NAMES_MAX}")))
}

/// The flags that this engine knows.
fn attributes(bits: u32) -> Attributes {
    let known = [
        Attributes::CALLER_OK,
        Attributes::INSTANCE_THREAD,
        Attributes::CONCURRENT_EXECUTE,
        Attributes::PARALLEL_LOAD,
        Attributes::EXECUTES_MODEL_CODE,
    ];
    let set = known.into_iter().filter(|flag| bits & flag.bits() != 0);
    set.fold(Attributes::NONE, |all, flag| all | flag)
}
