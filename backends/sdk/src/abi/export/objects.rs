//! The functions of the table: backend, model and instance as boxes behind the host's pointers.

use super::batch::{PluginBatch, Scratch};
use super::{Home, options, source};
use crate::abi::{
    SignatureTable, guard, guard_or, inferlay_abi_batch, inferlay_abi_engine, inferlay_abi_host, inferlay_abi_instance,
    inferlay_abi_instance_spec, inferlay_abi_memory_fn, inferlay_abi_request, inferlay_abi_signature,
    inferlay_abi_source, inferlay_abi_status, inferlay_abi_text, is_whole, placement, read, read_placement, read_text,
    text,
};
use crate::{Backend, DataType, Error, Instance, InstanceSpec, Model, Placement};
use std::ffi::c_void;
use std::sync::Arc;

/// What is to be said in a config of a model that sends several responses.
const DECOUPLED: &str = r#"{"model_transaction_policy": {"decoupled": true}}"#;

struct BackendBox {
    backend: Box<dyn Backend>,
    home: Home,
}

struct ModelBox {
    model: Box<dyn Model>,
    signature: SignatureTable,
    outputs: Arc<[DataType]>,
    home: Home,
}

struct InstanceBox {
    instance: Box<dyn Instance>,
    scratch: Scratch,
    outputs: Arc<[DataType]>,
    home: Home,
}

/// Hands a box to the host.
///
/// # Safety
/// `place` is writable.
unsafe fn give<T>(place: *mut *mut c_void, value: T) {
    // SAFETY: the caller's promise.
    unsafe { place.write(Box::into_raw(Box::new(value)).cast()) };
}

/// # Safety
/// `pointer` came from `give::<T>` and is not used again.
unsafe fn free<T>(pointer: *mut c_void) {
    guard_or((), || {
        // SAFETY: the caller's promise.
        drop(unsafe { Box::from_raw(pointer.cast::<T>()) });
    });
}

/// # Safety
/// As the table says of `backend_new`.
pub(super) unsafe extern "C" fn backend_new<B: Backend + Default + 'static>(
    host: *const inferlay_abi_host,
    engine: *const inferlay_abi_engine,
    backend: *mut *mut c_void,
) -> *const inferlay_abi_status {
    guard(|| {
        // SAFETY: the host's table is valid until `backend_free`.
        let table = unsafe { &*host };
        if !is_whole(table) {
            return Err(Error::unsupported("the host's table is shorter than its version 1.0"));
        }
        // SAFETY: the engine is the host's, whose table is whole.
        let said = unsafe { (table.backend_config)(engine) };
        // SAFETY: the text is valid as long as the engine.
        let options = options::read(&unsafe { read_text(said) })?;
        // SAFETY: the host's table outlives the backend.
        let home = Home { host: unsafe { &*host }, engine };
        // SAFETY: the host's promise.
        unsafe { give(backend, BackendBox { backend: Box::new(B::default().configured(&options)?), home }) };
        Ok(())
    })
}

/// # Safety
/// As the table says of `backend_free`.
pub(super) unsafe extern "C" fn backend_free(backend: *mut c_void) {
    // SAFETY: `backend_new` gave it.
    unsafe { free::<BackendBox>(backend) };
}

/// # Safety
/// As the table says of `model_new`.
pub(super) unsafe extern "C" fn model_new(
    backend: *mut c_void,
    host: *const inferlay_abi_host,
    engine: *const inferlay_abi_engine,
    source: *const inferlay_abi_source,
    model: *mut *mut c_void,
) -> *const inferlay_abi_status {
    guard(|| {
        // SAFETY: the host's table outlives the backend, and with it everything that keeps this reference.
        let home = Home { host: unsafe { &*host }, engine };
        // SAFETY: `backend_new` gave it.
        let backend = unsafe { &*backend.cast::<BackendBox>() };
        // SAFETY: the host's promise.
        let loaded = unsafe { source::with(home, source, |source| backend.backend.load(source)) }?;
        let signature = SignatureTable::new(loaded.signature());
        let outputs = loaded.signature().outputs.iter().map(|spec| spec.dtype).collect();
        // SAFETY: the host's promise.
        unsafe { give(model, ModelBox { model: loaded, signature, outputs, home }) };
        Ok(())
    })
}

/// # Safety
/// As the table says of `model_memory_estimate`.
pub(super) unsafe extern "C" fn model_memory_estimate(
    backend: *mut c_void,
    source: *const inferlay_abi_source,
    report: inferlay_abi_memory_fn,
    report_data: *mut c_void,
) -> *const inferlay_abi_status {
    guard(|| {
        // SAFETY: `backend_new` gave it.
        let BackendBox { backend, home } = unsafe { &*backend.cast::<BackendBox>() };
        // SAFETY: the host's promise.
        let uses = unsafe { source::with(*home, source, |source| backend.memory_estimate(source)) }?;
        // SAFETY: the host's promise.
        unsafe { tell(&uses, report, report_data) };
        Ok(())
    })
}

/// Tells of memory.
///
/// # Safety
/// `report` may be called with `report_data`.
unsafe fn tell(uses: &[(Placement, usize)], report: inferlay_abi_memory_fn, report_data: *mut c_void) {
    for (place, len) in uses {
        // SAFETY: the caller's promise.
        unsafe { report(report_data, &placement(*place), *len as u64) };
    }
}

/// # Safety
/// As the table says of `model_free`.
pub(super) unsafe extern "C" fn model_free(model: *mut c_void) {
    // SAFETY: `model_new` gave it.
    unsafe { free::<ModelBox>(model) };
}

/// # Safety
/// As the table says of `model_signature`.
pub(super) unsafe extern "C" fn model_signature(model: *mut c_void) -> *const inferlay_abi_signature {
    // SAFETY: `model_new` gave it.
    let model = unsafe { &*model.cast::<ModelBox>() };
    model.signature.table()
}

/// # Safety
/// As the table says of `model_config`.
pub(super) unsafe extern "C" fn model_config(model: *mut c_void) -> inferlay_abi_text {
    // SAFETY: `model_new` gave it.
    let model = unsafe { &*model.cast::<ModelBox>() };
    guard_or(text(""), || text(if model.model.is_decoupled() { DECOUPLED } else { "" }))
}

/// # Safety
/// As the table says of `model_memory_use`.
pub(super) unsafe extern "C" fn model_memory_use(
    model: *mut c_void,
    report: inferlay_abi_memory_fn,
    report_data: *mut c_void,
) {
    // SAFETY: `model_new` gave it.
    let model = unsafe { &*model.cast::<ModelBox>() };
    let uses = guard_or(Vec::new(), || model.model.memory_use());
    // SAFETY: the host's promise.
    unsafe { tell(&uses, report, report_data) };
}

/// # Safety
/// As the table says of `model_trim`.
pub(super) unsafe extern "C" fn model_trim(model: *mut c_void) {
    // SAFETY: `model_new` gave it.
    let model = unsafe { &*model.cast::<ModelBox>() };
    guard_or((), || model.model.trim());
}

/// # Safety
/// As the table says of `instance_new`.
pub(super) unsafe extern "C" fn instance_new(
    model: *mut c_void,
    _host_instance: *const inferlay_abi_instance,
    spec: *const inferlay_abi_instance_spec,
    instance: *mut *mut c_void,
) -> *const inferlay_abi_status {
    guard(|| {
        // SAFETY: `model_new` gave it.
        let model = unsafe { &*model.cast::<ModelBox>() };
        // SAFETY: the host's promise.
        let spec = unsafe { read(spec) };
        let device = read_placement(spec.placement)?.device;
        let spec = InstanceSpec { index: spec.index as usize, device, threads_max: spec.threads_max as usize };
        let made = model.model.instance(&spec)?;
        let scratch = Scratch::new(model.model.signature().inputs.len());
        let own = InstanceBox { instance: made, scratch, outputs: model.outputs.clone(), home: model.home };
        // SAFETY: the host's promise.
        unsafe { give(instance, own) };
        Ok(())
    })
}

/// # Safety
/// As the table says of `instance_free`.
pub(super) unsafe extern "C" fn instance_free(instance: *mut c_void) {
    // SAFETY: `instance_new` gave it.
    unsafe { free::<InstanceBox>(instance) };
}

/// # Safety
/// As the table says of `batches_in_flight_max`.
pub(super) unsafe extern "C" fn batches_in_flight_max(instance: *mut c_void) -> u32 {
    // SAFETY: `instance_new` gave it.
    let instance = unsafe { &*instance.cast::<InstanceBox>() };
    let max = guard_or(1, || instance.instance.batches_in_flight_max());
    u32::try_from(max).unwrap_or(u32::MAX)
}

/// # Safety
/// As the table says of `execute`.
pub(super) unsafe extern "C" fn execute(
    instance: *mut c_void,
    requests: *const *const inferlay_abi_request,
    count: u32,
    batch: *const inferlay_abi_batch,
) -> *const inferlay_abi_status {
    guard(|| {
        // SAFETY: `instance_new` gave it, and the host calls one at a time: the table does not say CONCURRENT_EXECUTE.
        let InstanceBox { instance, scratch, outputs, home } = unsafe { &mut *instance.cast::<InstanceBox>() };
        let requests = match count {
            0 => &[][..],
            // SAFETY: the host's promise.
            count => unsafe { std::slice::from_raw_parts(requests, count as usize) },
        };
        scratch.begin(*home, requests);
        let done = instance.execute(&PluginBatch { home: *home, raw: batch, scratch, outputs });
        scratch.end();
        done
    })
}
