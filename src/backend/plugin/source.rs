//! What a plugin loads a model from: the engine's [`ModelSource`] behind `inferlay_abi_source`. Any thread, during one call
//! of `model_new` or `model_memory_estimate`.

use crate::sync::Mutex;
use inferlay_backend_sdk::abi::{
    SignatureTable, guard, inferlay_abi_signature, inferlay_abi_source, inferlay_abi_status, inferlay_abi_text,
    read_text, text,
};
use inferlay_backend_sdk::{DataType, Error, ModelSource, TensorSpec};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::ffi::c_void;
use std::ptr::null;

pub(super) struct PluginSource<'a> {
    source: &'a ModelSource<'a>,
    signature: SignatureTable,
    config: String,
    names: Vec<String>,
    /// What was read or looked up, valid as long as the source: nothing is ever taken out.
    contents: Mutex<BTreeMap<String, Vec<u8>>>,
    paths: Mutex<BTreeMap<String, Box<str>>>,
}

pub(super) const NO_TEXT: inferlay_abi_text = inferlay_abi_text { data: null(), len: 0 };

impl<'a> PluginSource<'a> {
    pub(super) fn new(source: &'a ModelSource<'a>) -> Self {
        PluginSource {
            source,
            signature: SignatureTable::new(source.config),
            config: config(source).to_string(),
            names: source.files.names(),
            contents: Mutex::new(BTreeMap::new()),
            paths: Mutex::new(BTreeMap::new()),
        }
    }

    pub(super) fn handle(&self) -> *const inferlay_abi_source {
        std::ptr::from_ref(self).cast()
    }
}

/// The config of the source, and what else it says, as a config with Triton's names.
fn config(source: &ModelSource<'_>) -> Value {
    let batches = source.config.batches;
    let tensors = |specs: &[TensorSpec]| specs.iter().map(|spec| tensor(spec, batches)).collect::<Value>();
    let parameters = source.parameters.iter().map(|(key, value)| (key.clone(), json!({ "string_value": value })));
    let mut config: Map<String, Value> = serde_json::from_str(source.config_json).unwrap_or_default();
    let known = [
        ("input", tensors(&source.config.inputs)),
        ("output", tensors(&source.config.outputs)),
        ("parameters", parameters.collect::<Map<_, _>>().into()),
    ];
    for (key, value) in known {
        config.entry(key).or_insert(value);
    }
    config.insert("name".to_owned(), json!(source.name));
    if let Some(max) = source.batch_size_max {
        config.insert("max_batch_size".to_owned(), json!(max));
    }
    if !source.file_name.is_empty() {
        config.insert("default_model_filename".to_owned(), json!(source.file_name));
    }
    Value::Object(config)
}

fn tensor(spec: &TensorSpec, batches: bool) -> Value {
    let name = match spec.dtype {
        DataType::Bytes => "TYPE_STRING".to_owned(),
        dtype => format!("TYPE_{dtype}"),
    };
    let mut tensor = json!({ "name": spec.name, "data_type": name });
    if let Some(dims) = &spec.dims {
        tensor["dims"] = json!(dims.get(usize::from(batches)..).unwrap_or_default());
    }
    tensor
}

/// # Safety
/// `handle` came from [`PluginSource::handle`], and the source is still there.
unsafe fn of<'a>(handle: *const inferlay_abi_source) -> &'a PluginSource<'a> {
    // SAFETY: the caller's promise.
    unsafe { &*handle.cast() }
}

/// Writes a result that a plugin asked for.
///
/// # Safety
/// `to` is null or writable.
pub(super) unsafe fn put<T>(to: *mut T, value: T) {
    if !to.is_null() {
        // SAFETY: the caller's promise; not null.
        unsafe { to.write(value) };
    }
}

/// Declares functions of the host's table: `fn name(handle: type, ...) -> type { body }`, whose bodies may fail safely.
/// Each is called by a plugin, which promises what the table says of it.
macro_rules! functions {
    ($($(#[$doc:meta])* fn $name:ident($($argument:ident: $type:ty),* $(,)?) $(-> $result:ty)? $body:block)+) => {
        $(
            $(#[$doc])*
            /// # Safety
            /// As `inferlay_abi_host` says.
            pub(super) unsafe extern "C" fn $name($($argument: $type),*) $(-> $result)? $body
        )+
    };
}
pub(super) use functions;

functions! {
    fn source_name(source: *const inferlay_abi_source) -> inferlay_abi_text {
        // SAFETY: the plugin's promise; so in all functions below.
        text(unsafe { of(source) }.source.name)
    }

    fn source_version(source: *const inferlay_abi_source) -> u64 {
        // SAFETY: see above.
        unsafe { of(source) }.source.version
    }

    fn source_config(source: *const inferlay_abi_source) -> inferlay_abi_text {
        // SAFETY: see above.
        text(&unsafe { of(source) }.config)
    }

    fn source_signature(source: *const inferlay_abi_source) -> *const inferlay_abi_signature {
        // SAFETY: see above.
        unsafe { of(source) }.signature.table()
    }

    fn source_batch_size_max(source: *const inferlay_abi_source, max: *mut u64) -> *const inferlay_abi_status {
        guard(|| {
            // SAFETY: see above.
            let found = unsafe { of(source) }.source.batch_size_max;
            let found = found.ok_or_else(|| Error::not_found("the config does not state a largest batch"))?;
            // SAFETY: see above.
            unsafe { put(max, found as u64) };
            Ok(())
        })
    }

    fn source_parameter_count(source: *const inferlay_abi_source) -> u32 {
        // SAFETY: see above.
        unsafe { of(source) }.source.parameters.len() as u32
    }

    fn source_parameter_at(
        source: *const inferlay_abi_source,
        index: u32,
        name: *mut inferlay_abi_text,
        value: *mut inferlay_abi_text,
    ) -> *const inferlay_abi_status {
        guard(|| {
            // SAFETY: see above.
            let parameters = unsafe { of(source) }.source.parameters;
            let found = parameters.iter().nth(index as usize);
            let (key, text_of) = found.ok_or_else(|| past("parameter", index, parameters.len()))?;
            // SAFETY: see above.
            unsafe { put(name, text(key)) };
            // SAFETY: see above.
            unsafe { put(value, text(text_of)) };
            Ok(())
        })
    }

    fn source_parameter(
        source: *const inferlay_abi_source,
        name: inferlay_abi_text,
        value: *mut inferlay_abi_text,
    ) -> *const inferlay_abi_status {
        guard(|| {
            // SAFETY: see above.
            let name = unsafe { read_text(name) };
            // SAFETY: see above.
            let found = unsafe { of(source) }.source.parameters.get(&*name);
            let found = found.ok_or_else(|| Error::not_found(format!("the config has no parameter '{name}'")))?;
            // SAFETY: see above.
            unsafe { put(value, text(found)) };
            Ok(())
        })
    }

    fn source_file(source: *const inferlay_abi_source) -> inferlay_abi_text {
        // SAFETY: see above.
        text(unsafe { of(source) }.source.file_name)
    }

    fn source_file_count(source: *const inferlay_abi_source) -> u32 {
        // SAFETY: see above.
        unsafe { of(source) }.names.len() as u32
    }

    fn source_file_name(
        source: *const inferlay_abi_source,
        index: u32,
        name: *mut inferlay_abi_text,
    ) -> *const inferlay_abi_status {
        guard(|| {
            // SAFETY: see above.
            let names = &unsafe { of(source) }.names;
            let found = names.get(index as usize).ok_or_else(|| past("file", index, names.len()))?;
            // SAFETY: see above.
            unsafe { put(name, text(found)) };
            Ok(())
        })
    }

    fn source_file_path(
        source: *const inferlay_abi_source,
        name: inferlay_abi_text,
        path: *mut inferlay_abi_text,
    ) -> *const inferlay_abi_status {
        guard(|| {
            // SAFETY: see above.
            let (source, name) = (unsafe { of(source) }, unsafe { read_text(name) });
            let found = source.source.files.path(&name)?;
            let found = found.ok_or_else(|| Error::unsupported(format!("file '{name}' lies in memory: read it")))?;
            let found = found.into_os_string().into_string();
            let found = found.map_err(|path| Error::unsupported(format!("found path {path:?}, expected UTF-8")))?;
            let mut paths = source.paths.lock();
            let kept = paths.entry(name.into_owned()).or_insert_with(|| found.into_boxed_str());
            // SAFETY: see above. The text stays where it is, as nothing is taken out of the map.
            unsafe { put(path, text(kept)) };
            Ok(())
        })
    }

    fn source_file_read(
        source: *const inferlay_abi_source,
        name: inferlay_abi_text,
        data: *mut *const c_void,
        len: *mut u64,
    ) -> *const inferlay_abi_status {
        guard(|| {
            // SAFETY: see above.
            let (source, name) = (unsafe { of(source) }, unsafe { read_text(name) });
            let content = source.source.files.read(&name)?;
            let mut contents = source.contents.lock();
            // The first content of a name stays, as the plugin may still read it.
            let kept = contents.entry(name.into_owned()).or_insert(content);
            // SAFETY: see above.
            unsafe { put(data, kept.as_ptr().cast()) };
            // SAFETY: see above.
            unsafe { put(len, kept.len() as u64) };
            Ok(())
        })
    }
}

/// A number past the last of a list.
pub(super) fn past(noun: &str, index: u32, count: usize) -> Error {
    Error::not_found(format!("{noun} {index} of {count}"))
}
