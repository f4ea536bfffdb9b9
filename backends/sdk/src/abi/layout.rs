//! Where every field lies, proven when this is compiled: a table that has been released is never reordered.
//!
//! The numbers are those of every 64-bit platform that the engine runs on; what is appended goes behind them.

use super::*;
use std::mem::{offset_of, size_of};

/// The size of version 1.0 of the host's table: no host is shorter.
pub const INFERLAY_ABI_HOST_SIZE_1_0: u32 = 696;
/// The size of version 1.0 of a backend's table: no plugin's is shorter.
pub const INFERLAY_ABI_BACKEND_SIZE_1_0: u32 = 256;

/// `at!(struct: field = offset, ...; size)`, fields in order.
macro_rules! at {
    ($name:ident: $($field:ident = $offset:literal),+; $size:literal) => {
        $(const _: () = assert!(offset_of!($name, $field) == $offset);)+
        const _: () = assert!(size_of::<$name>() == $size);
    };
}

/// `row!(struct from offset: field, ...)`: one pointer after another.
macro_rules! row {
    ($name:ident from $offset:literal: $($field:ident),+ $(,)?) => {
        const _: () = {
            let found = [$(offset_of!($name, $field)),+];
            let mut index = 0;
            while index < found.len() {
                assert!(found[index] == $offset + 8 * index);
                index += 1;
            }
        };
    };
}

const _: () = assert!(size_of::<usize>() == 8 && size_of::<Option<unsafe extern "C" fn()>>() == 8);

at!(inferlay_abi_text: data = 0, len = 8; 16);
at!(inferlay_abi_status: struct_size = 0, code = 4, message = 8, free = 24; 32);
at!(inferlay_abi_placement: memory = 0, device = 4, index = 8, reserved = 12; 16);
at!(inferlay_abi_value: kind = 0, reserved = 4, number = 8, real = 16, text = 24; 40);
at!(inferlay_abi_tensor:
    struct_size = 0, dtype = 4, rank = 8, ready_kind = 12, shape = 16, strides = 24, data = 32, len = 40, offsets = 48,
    placement = 56, ready = 72, export_kind = 80, export_handle_len = 84, export_handle = 88, export_offset = 96,
    release = 104, release_data = 112; 120);
at!(inferlay_abi_tensor_spec: struct_size = 0, dtype = 4, name = 8, dims = 24, rank = 32, optional = 36; 40);
at!(inferlay_abi_signature:
    struct_size = 0, batches = 4, input_count = 8, output_count = 12, inputs = 16, outputs = 24; 32);
at!(inferlay_abi_instance_spec:
    struct_size = 0, index = 4, placement = 8, threads_max = 24, reserved = 28, group = 32; 48);
at!(inferlay_abi_instance_group: struct_size = 0, device = 4, count = 8, device_count = 12, devices = 16; 24);
at!(inferlay_abi_timing:
    struct_size = 0, failed = 4, started = 8, compute_started = 16, compute_ended = 24, ended = 32; 40);
at!(inferlay_abi_trace: struct_size = 0, flags = 4, trace_id = 8, span_id = 24; 32);

at!(inferlay_abi_host: struct_size = 0, abi_major = 4, abi_minor = 8, reserved = 12; 696);
row!(inferlay_abi_host from 16:
    name, version, extension, status_new, log, threads_max, now_ns, backend_config, backend_directory, memory_alloc, memory_free, metric_new,
    metric_add, metric_set, metric_free, source_name, source_version, source_config, source_signature,
    source_batch_size_max, source_parameter_count, source_parameter_at, source_parameter, source_file,
    source_file_count, source_file_name, source_file_path, source_file_read, instance_ready, batch_rows,
    batch_stream, batch_input, batch_output_wanted, batch_output_buffer, batch_output, batch_fail, batch_take,
    batch_timing, request_id, request_rows, request_priority, request_flags, request_correlation_id,
    request_deadline_ns, request_cancelled, request_trace, request_parameter_count, request_parameter_at,
    request_parameter, request_input_index, request_input, request_input_buffer, request_output_index,
    request_output_wanted, request_output_placement, request_sequence_slot, request_state_in, request_state_buffer,
    request_state_out, request_release, responder_new, responder_cancelled, responder_credit, responder_finish,
    responder_timing, responder_free, response_new, response_output, response_output_buffer, response_parameter,
    response_send, response_free, call_new, call_input, call_output, call_parameter, call_send, call_cancel,
    call_free, reply_output_count, reply_output, reply_parameter, span_begin, span_attribute, span_end);
const _: () = assert!(size_of::<inferlay_abi_host>() >= INFERLAY_ABI_HOST_SIZE_1_0 as usize);

at!(inferlay_abi_backend: struct_size = 0, abi_major = 4, abi_minor = 8, attributes = 12; 256);
row!(inferlay_abi_backend from 16:
    name, version, file_names, input_memory, instance_groups, extension, backend_new, backend_free, model_new,
    model_free, model_signature, model_config, model_memory_estimate, model_memory_use, model_trim,
    model_reconfigure, model_suspend, model_resume, instance_new, instance_free, batches_in_flight_max, input_alloc,
    execute, sequence_ended, batcher_new, batcher_free, batch_begin, batch_include, batch_end, instance_interrupt);
const _: () = assert!(size_of::<inferlay_abi_backend>() >= INFERLAY_ABI_BACKEND_SIZE_1_0 as usize);
