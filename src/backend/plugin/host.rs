//! The table of the engine's functions, and those of them that speak of no model: status, log, time, memory.

use super::core::Engine;
use super::source::{functions, put};
use super::{batch, refusal, request, responder, source};
use inferlay_backend_sdk::abi::{
    INFERLAY_ABI_LOG_ERROR, INFERLAY_ABI_LOG_INFO, INFERLAY_ABI_LOG_VERBOSE, INFERLAY_ABI_MAJOR, INFERLAY_ABI_MINOR,
    guard, guard_or, inferlay_abi_code, inferlay_abi_engine, inferlay_abi_host, inferlay_abi_log_level,
    inferlay_abi_placement, inferlay_abi_status, inferlay_abi_text, owned_status, read_placement, read_text, text,
};
use inferlay_backend_sdk::{Error, ErrorKind, LogLevel, MemoryKind};
use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ffi::{c_char, c_void};
use std::ptr::{null, null_mut};

/// The one table of this copy of the engine.
pub(crate) static HOST: inferlay_abi_host = inferlay_abi_host {
    struct_size: size_of::<inferlay_abi_host>() as u32,
    abi_major: INFERLAY_ABI_MAJOR,
    abi_minor: INFERLAY_ABI_MINOR,
    reserved: 0,
    name: c"inferlay".as_ptr(),
    version: concat!(env!("CARGO_PKG_VERSION"), "\0").as_ptr().cast(),
    extension,
    status_new,
    log,
    threads_max,
    now_ns,
    backend_config,
    backend_directory,
    memory_alloc,
    memory_free,
    metric_new: refusal::metric_new,
    metric_add: refusal::metric_add,
    metric_set: refusal::metric_set,
    metric_free: refusal::metric_free,
    source_name: source::source_name,
    source_version: source::source_version,
    source_config: source::source_config,
    source_signature: source::source_signature,
    source_batch_size_max: source::source_batch_size_max,
    source_parameter_count: source::source_parameter_count,
    source_parameter_at: source::source_parameter_at,
    source_parameter: source::source_parameter,
    source_file: source::source_file,
    source_file_count: source::source_file_count,
    source_file_name: source::source_file_name,
    source_file_path: source::source_file_path,
    source_file_read: source::source_file_read,
    instance_ready: refusal::instance_ready,
    batch_rows: batch::batch_rows,
    batch_stream: batch::batch_stream,
    batch_input: batch::batch_input,
    batch_output_wanted: batch::batch_output_wanted,
    batch_output_buffer: batch::batch_output_buffer,
    batch_output: batch::batch_output,
    batch_fail: batch::batch_fail,
    batch_take: batch::batch_take,
    batch_timing: batch::batch_timing,
    request_id: request::request_id,
    request_rows: request::request_rows,
    request_priority: request::request_priority,
    request_flags: request::request_flags,
    request_correlation_id: request::request_correlation_id,
    request_deadline_ns: request::request_deadline_ns,
    request_cancelled: request::request_cancelled,
    request_trace: request::request_trace,
    request_parameter_count: request::request_parameter_count,
    request_parameter_at: request::request_parameter_at,
    request_parameter: request::request_parameter,
    request_input_index: request::request_input_index,
    request_input: request::request_input,
    request_input_buffer: request::request_input_buffer,
    request_output_index: request::request_output_index,
    request_output_wanted: request::request_output_wanted,
    request_output_placement: request::request_output_placement,
    request_sequence_slot: request::request_sequence_slot,
    request_state_in: request::request_state_in,
    request_state_buffer: request::request_state_buffer,
    request_state_out: request::request_state_out,
    request_release: request::request_release,
    responder_new: responder::responder_new,
    responder_cancelled: responder::responder_cancelled,
    responder_credit: responder::responder_credit,
    responder_finish: responder::responder_finish,
    responder_timing: responder::responder_timing,
    responder_free: responder::responder_free,
    response_new: responder::response_new,
    response_output: responder::response_output,
    response_output_buffer: responder::response_output_buffer,
    response_parameter: responder::response_parameter,
    response_send: responder::response_send,
    response_free: responder::response_free,
    call_new: refusal::call_new,
    call_input: refusal::call_input,
    call_output: refusal::call_output,
    call_parameter: refusal::call_parameter,
    call_send: refusal::call_send,
    call_cancel: refusal::call_cancel,
    call_free: refusal::call_free,
    reply_output_count: refusal::reply_output_count,
    reply_output: refusal::reply_output,
    reply_parameter: refusal::reply_parameter,
    span_begin: refusal::span_begin,
    span_attribute: refusal::span_attribute,
    span_end: refusal::span_end,
};

/// What memory is aligned to when the plugin does not say.
const ALIGNMENT: u64 = 64;

/// How memory of a plugin was, or is to be, allocated.
///
/// # Errors
/// `UNSUPPORTED` for memory that is not the host's, `INVALID_ARG` for sizes that cannot be.
///
/// # Safety
/// `placement` is null or readable.
unsafe fn layout(placement: *const inferlay_abi_placement, len: u64, alignment: u64) -> Result<Layout, Error> {
    if placement.is_null() {
        return Err(Error::invalid_arg("found null, expected a placement"));
    }
    // SAFETY: the caller's promise; not null.
    let placement = read_placement(unsafe { placement.read() })?;
    if placement.kind != MemoryKind::Host {
        return Err(Error::unsupported(format!("found {:?} memory, expected the host's", placement.kind)));
    }
    let alignment = if alignment == 0 { ALIGNMENT } else { alignment };
    let sizes = usize::try_from(len).ok().zip(usize::try_from(alignment).ok());
    let layout = sizes.and_then(|(len, alignment)| Layout::from_size_align(len, alignment).ok());
    layout.ok_or_else(|| Error::invalid_arg(format!("found {len} bytes aligned to {alignment}, which cannot be")))
}

functions! {
    /// There are none.
    fn extension(_id: *const c_char) -> *const c_void {
        null()
    }

    fn status_new(code: inferlay_abi_code, message: inferlay_abi_text) -> *const inferlay_abi_status {
        guard_or(refusal::refused(), || {
            // SAFETY: the plugin's promise; so in all functions below.
            owned_status(code, &unsafe { read_text(message) })
        })
    }

    fn log(engine: *const inferlay_abi_engine, level: inferlay_abi_log_level, message: inferlay_abi_text) {
        guard_or((), || {
            let level = match level {
                INFERLAY_ABI_LOG_VERBOSE => LogLevel::Verbose,
                INFERLAY_ABI_LOG_INFO => LogLevel::Info,
                INFERLAY_ABI_LOG_ERROR => LogLevel::Error,
                _ => LogLevel::Warning,
            };
            // SAFETY: see above.
            let (engine, message) = (unsafe { Engine::of(engine) }, unsafe { read_text(message) });
            engine.surroundings.log.write(level, &message);
        });
    }

    fn threads_max(engine: *const inferlay_abi_engine) -> u32 {
        // SAFETY: see above.
        let threads = unsafe { Engine::of(engine) }.surroundings.threads_max;
        u32::try_from(threads).unwrap_or(u32::MAX)
    }

    fn now_ns(engine: *const inferlay_abi_engine) -> u64 {
        // SAFETY: see above.
        guard_or(0, || unsafe { Engine::of(engine) }.surroundings.clock.now())
    }

    fn backend_config(engine: *const inferlay_abi_engine) -> inferlay_abi_text {
        // SAFETY: see above.
        text(&unsafe { Engine::of(engine) }.options)
    }

    fn backend_directory(engine: *const inferlay_abi_engine) -> inferlay_abi_text {
        // SAFETY: see above.
        text(&unsafe { Engine::of(engine) }.directory)
    }

    fn memory_alloc(
        _engine: *const inferlay_abi_engine,
        placement: *const inferlay_abi_placement,
        len: u64,
        alignment: u64,
        _stream: u64,
        data: *mut *mut c_void,
    ) -> *const inferlay_abi_status {
        guard(|| {
            // SAFETY: see above.
            let layout = unsafe { layout(placement, len, alignment) }?;
            let memory = match layout.size() {
                0 => null_mut(),
                // SAFETY: the size is not zero.
                _ => unsafe { alloc_zeroed(layout) },
            };
            if memory.is_null() && len > 0 {
                return Err(Error::new(ErrorKind::ResourceExhausted, format!("there is no memory for {len} bytes")));
            }
            // SAFETY: see above.
            unsafe { put(data, memory.cast()) };
            Ok(())
        })
    }

    fn memory_free(
        _engine: *const inferlay_abi_engine,
        placement: *const inferlay_abi_placement,
        len: u64,
        alignment: u64,
        _stream: u64,
        data: *mut c_void,
    ) {
        // SAFETY: see above.
        let layout = unsafe { layout(placement, len, alignment) };
        if let (Ok(layout), false) = (layout, data.is_null()) {
            // SAFETY: `memory_alloc` gave it for the same values, the plugin's promise.
            unsafe { dealloc(data.cast(), layout) };
        }
    }
}
