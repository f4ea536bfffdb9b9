//! Descriptors of tensors and of models' inputs and outputs. They grow at the end; `struct_size` says how far to read.

use super::value::{
    inferlay_abi_dtype, inferlay_abi_export_kind, inferlay_abi_placement, inferlay_abi_ready_kind, inferlay_abi_text,
};
use std::ffi::c_void;

/// A tensor, and the memory that it lies in.
///
/// Whoever fills a descriptor sets every field; INFERLAY_ABI_TENSOR_INIT sets `struct_size` and zeros. A descriptor
/// that the other side fills must have its `struct_size` set before the call; no more than that is written.
///
/// The descriptor itself, its `shape` and its `strides` are borrowed for the call by a function that takes one. The
/// memory is borrowed or handed over:
///
/// - `release` is NULL: the memory is only borrowed, for as long as the function says that hands the descriptor
///   over.
/// - `release` is not NULL: the memory now belongs to the receiver, who calls `release(release_data, ...)` exactly
///   once, also if the call that took it fails. It may do so on any thread, and long after: after the instance and
///   the model are freed, but never after the backend is. Until then nobody writes to the memory.
///
/// A tensor of BYTES has its strings one after the other in `data`, and one offset more than elements in `offsets`,
/// always in host memory: element i lies between offset i and offset i+1. Offset 0 need not be 0. `release` lets
/// both go.
#[repr(C)]
#[derive(Debug)]
pub struct inferlay_abi_tensor {
    /// `sizeof(inferlay_abi_tensor)` of whoever owns the descriptor.
    pub struct_size: u32,
    /// An `inferlay_abi_dtype`.
    pub dtype: inferlay_abi_dtype,
    /// The number of dims; 0 for a scalar.
    pub rank: u32,
    /// An `inferlay_abi_ready_kind`.
    pub ready_kind: inferlay_abi_ready_kind,
    /// The dims, outermost first, none negative. May be NULL if `rank` is 0.
    pub shape: *const i64,
    /// The distance between neighbours along each dim, in bytes. NULL: dense, the last dim fastest.
    pub strides: *const i64,
    /// The elements, aligned to their type. May be NULL if `len` is 0. An address of the device for its memory.
    pub data: *mut c_void,
    /// The number of bytes at `data`.
    pub len: u64,
    /// The offsets of BYTES; NULL for every other type.
    pub offsets: *const u64,
    /// Where `data` lies.
    pub placement: inferlay_abi_placement,
    /// The event or stream that `ready_kind` speaks of; 0 for INFERLAY_ABI_READY_NOW.
    pub ready: u64,
    /// An `inferlay_abi_export_kind`.
    pub export_kind: inferlay_abi_export_kind,
    /// The number of bytes at `export_handle`.
    pub export_handle_len: u32,
    /// What another process opens the memory with; NULL if it cannot. Borrowed as the descriptor is.
    pub export_handle: *const c_void,
    /// Where `data` lies in what `export_handle` opens, in bytes.
    pub export_offset: u64,
    /// Lets the memory go; NULL if it is only borrowed. The owner may reuse it once `ready` has happened, which is
    /// an event or stream as in the fields of the same name: what the last reader queued on a device. [any thread]
    /// [must not block, and calls nothing of the host but `memory_free`]
    pub release:
        Option<unsafe extern "C" fn(release_data: *mut c_void, ready_kind: inferlay_abi_ready_kind, ready: u64)>,
    /// Handed to `release`.
    pub release_data: *mut c_void,
}

/// The rank of a tensor whose number of dims is not known before it is there.
pub const INFERLAY_ABI_RANK_UNKNOWN: u32 = 0xffff_ffff;

/// What a model says of one input or output.
#[repr(C)]
#[derive(Debug)]
pub struct inferlay_abi_tensor_spec {
    /// `sizeof(inferlay_abi_tensor_spec)` of whoever made it.
    pub struct_size: u32,
    /// An `inferlay_abi_dtype`.
    pub dtype: inferlay_abi_dtype,
    /// Its name, unique among the inputs and unique among the outputs.
    pub name: inferlay_abi_text,
    /// The dims, the batch included where there is one; -1 for one that varies. May be NULL if there are none.
    pub dims: *const i64,
    /// The number of dims, or INFERLAY_ABI_RANK_UNKNOWN.
    pub rank: u32,
    /// Not 0: a request may leave it out.
    pub optional: u32,
}

/// The inputs and outputs of a model. Backends and batches number both in this order, from 0.
#[repr(C)]
#[derive(Debug)]
pub struct inferlay_abi_signature {
    /// `sizeof(inferlay_abi_signature)` of whoever made it.
    pub struct_size: u32,
    /// Not 0: the first dim of every input and output is the batch, given as -1.
    pub batches: u32,
    /// The number of inputs.
    pub input_count: u32,
    /// The number of outputs.
    pub output_count: u32,
    /// The inputs: an array of `input_count` pointers. May be NULL if there are none.
    pub inputs: *const *const inferlay_abi_tensor_spec,
    /// The outputs: an array of `output_count` pointers. May be NULL if there are none.
    pub outputs: *const *const inferlay_abi_tensor_spec,
}

/// One instance to be made.
#[repr(C)]
#[derive(Debug)]
pub struct inferlay_abi_instance_spec {
    /// `sizeof(inferlay_abi_instance_spec)` of the host.
    pub struct_size: u32,
    /// Counts from 0 within the model version.
    pub index: u32,
    /// The device that it executes on; `memory` is 0.
    pub placement: inferlay_abi_placement,
    /// How many threads one execution may use.
    pub threads_max: u32,
    /// 0.
    pub reserved: u32,
    /// The instance group of the config as JSON (name, host policy, profiles, secondary devices, passive), or
    /// empty. Borrowed for the call.
    pub group: inferlay_abi_text,
}

/// A wish for the instance groups of models whose config names none.
#[repr(C)]
#[derive(Debug)]
pub struct inferlay_abi_instance_group {
    /// `sizeof(inferlay_abi_instance_group)` of the plugin.
    pub struct_size: u32,
    /// An `inferlay_abi_device_kind`.
    pub device: u32,
    /// Instances per device; 0 leaves it to the host.
    pub count: u32,
    /// The number of devices; 0 for all.
    pub device_count: u32,
    /// The indices of the devices: `device_count` of them. May be NULL if there are none.
    pub devices: *const u32,
}

/// When the parts of a batch's or a response's work happened, in nanoseconds of `now_ns`; 0 for what did not.
#[repr(C)]
#[derive(Debug)]
pub struct inferlay_abi_timing {
    /// `sizeof(inferlay_abi_timing)` of the plugin.
    pub struct_size: u32,
    /// Not 0: the work failed, and only the times that are set count.
    pub failed: u32,
    /// The backend began to read inputs.
    pub started: u64,
    /// It began to compute.
    pub compute_started: u64,
    /// It had computed, and began to write outputs.
    pub compute_ended: u64,
    /// The outputs were complete.
    pub ended: u64,
}

/// The trace that a request belongs to, with the identifiers of W3C Trace Context.
#[repr(C)]
#[derive(Debug)]
pub struct inferlay_abi_trace {
    /// `sizeof(inferlay_abi_trace)` of whoever owns the descriptor.
    pub struct_size: u32,
    /// The flags of `traceparent`; bit 0: it is sampled.
    pub flags: u32,
    /// The trace.
    pub trace_id: [u8; 16],
    /// The span that the engine opened for the request.
    pub span_id: [u8; 8],
}
