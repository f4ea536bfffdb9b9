//! Values that cross by copy: versions, codes, text, statuses, parameters. Structs without `struct_size` never grow.

use std::ffi::c_char;

/// The major version of this ABI. Host and plugin must agree on it.
pub const INFERLAY_ABI_MAJOR: u32 = 1;
/// The minor version of this ABI. A newer minor only appends; host and plugin may differ in it.
pub const INFERLAY_ABI_MINOR: u32 = 0;

/// Codes of `inferlay_abi_status`; the first eight are Triton's. A code that the reader does not know is
/// INFERLAY_ABI_CODE_UNKNOWN to it.
pub type inferlay_abi_code = u32;
/// Nothing better is known.
pub const INFERLAY_ABI_CODE_UNKNOWN: u32 = 0;
/// The engine or a backend broke a promise of its own.
pub const INFERLAY_ABI_CODE_INTERNAL: u32 = 1;
/// Nothing has this name or index.
pub const INFERLAY_ABI_CODE_NOT_FOUND: u32 = 2;
/// The caller's value is wrong.
pub const INFERLAY_ABI_CODE_INVALID_ARG: u32 = 3;
/// The model or the server does not serve now.
pub const INFERLAY_ABI_CODE_UNAVAILABLE: u32 = 4;
/// This side cannot do it.
pub const INFERLAY_ABI_CODE_UNSUPPORTED: u32 = 5;
/// The name is taken.
pub const INFERLAY_ABI_CODE_ALREADY_EXISTS: u32 = 6;
/// The caller cancelled the request.
pub const INFERLAY_ABI_CODE_CANCELLED: u32 = 7;
/// The deadline passed.
pub const INFERLAY_ABI_CODE_TIMEOUT: u32 = 8;
/// A bound was reached: memory, queue length, number of instances.
pub const INFERLAY_ABI_CODE_RESOURCE_EXHAUSTED: u32 = 9;
/// The call is right, but not now or not here.
pub const INFERLAY_ABI_CODE_FAILED_PRECONDITION: u32 = 10;
/// Code panicked or threw; it was contained.
pub const INFERLAY_ABI_CODE_PANIC: u32 = 11;
/// Said by `execute`: this instance will execute nothing any more, as its device, process or connection is gone. It is
/// given no further batch; whoever asked is told UNAVAILABLE. A model without instances does not serve until it is loaded
/// anew. Not for what the next request may be spared. A host from before this code was there takes it for UNKNOWN.
pub const INFERLAY_ABI_CODE_INSTANCE_LOST: u32 = 12;

/// Types of tensor elements, with Triton's numbers. Little-endian; BOOL is one byte, FP16 and BF16 are raw 16 bits.
pub type inferlay_abi_dtype = u32;
/// One byte, 0 or 1.
pub const INFERLAY_ABI_DTYPE_BOOL: u32 = 1;
/// Unsigned, 8 bits.
pub const INFERLAY_ABI_DTYPE_UINT8: u32 = 2;
/// Unsigned, 16 bits.
pub const INFERLAY_ABI_DTYPE_UINT16: u32 = 3;
/// Unsigned, 32 bits.
pub const INFERLAY_ABI_DTYPE_UINT32: u32 = 4;
/// Unsigned, 64 bits.
pub const INFERLAY_ABI_DTYPE_UINT64: u32 = 5;
/// Signed, 8 bits.
pub const INFERLAY_ABI_DTYPE_INT8: u32 = 6;
/// Signed, 16 bits.
pub const INFERLAY_ABI_DTYPE_INT16: u32 = 7;
/// Signed, 32 bits.
pub const INFERLAY_ABI_DTYPE_INT32: u32 = 8;
/// Signed, 64 bits.
pub const INFERLAY_ABI_DTYPE_INT64: u32 = 9;
/// IEEE 754, 16 bits.
pub const INFERLAY_ABI_DTYPE_FP16: u32 = 10;
/// IEEE 754, 32 bits.
pub const INFERLAY_ABI_DTYPE_FP32: u32 = 11;
/// IEEE 754, 64 bits.
pub const INFERLAY_ABI_DTYPE_FP64: u32 = 12;
/// Byte strings of any length: one data buffer and n+1 offsets, see `inferlay_abi_tensor`.
pub const INFERLAY_ABI_DTYPE_BYTES: u32 = 13;
/// The upper 16 bits of FP32.
pub const INFERLAY_ABI_DTYPE_BF16: u32 = 14;

/// Kinds of memory.
pub type inferlay_abi_memory_kind = u32;
/// Ordinary memory of the process.
pub const INFERLAY_ABI_MEMORY_HOST: u32 = 0;
/// Page-locked host memory that a device copies from and to directly.
pub const INFERLAY_ABI_MEMORY_PINNED: u32 = 1;
/// Memory of a device; the processor cannot read it.
pub const INFERLAY_ABI_MEMORY_DEVICE: u32 = 2;
/// Memory that migrates between host and device.
pub const INFERLAY_ABI_MEMORY_MANAGED: u32 = 3;
/// Host memory shared with another process.
pub const INFERLAY_ABI_MEMORY_SHARED: u32 = 4;

/// Kinds of devices.
pub type inferlay_abi_device_kind = u32;
/// The host's processors.
pub const INFERLAY_ABI_DEVICE_CPU: u32 = 0;
/// A CUDA device; its index is CUDA's.
pub const INFERLAY_ABI_DEVICE_CUDA: u32 = 1;

/// What must have happened before memory may be touched.
pub type inferlay_abi_ready_kind = u32;
/// Nothing: the data is there.
pub const INFERLAY_ABI_READY_NOW: u32 = 0;
/// The event `ready` (a `cudaEvent_t`) must have been reached.
pub const INFERLAY_ABI_READY_EVENT: u32 = 1;
/// The work queued so far on the stream `ready` (a `cudaStream_t`) must have finished.
pub const INFERLAY_ABI_READY_STREAM: u32 = 2;

/// How memory can be opened by another process.
pub type inferlay_abi_export_kind = u32;
/// Not at all.
pub const INFERLAY_ABI_EXPORT_NONE: u32 = 0;
/// `export_handle` is a file descriptor, as an `int`.
pub const INFERLAY_ABI_EXPORT_FD: u32 = 1;
/// `export_handle` points to a handle of the device's own (a `cudaIpcMemHandle_t`).
pub const INFERLAY_ABI_EXPORT_IPC: u32 = 2;

/// How grave a log message is.
pub type inferlay_abi_log_level = u32;
/// Every detail.
pub const INFERLAY_ABI_LOG_VERBOSE: u32 = 0;
/// Worth knowing.
pub const INFERLAY_ABI_LOG_INFO: u32 = 1;
/// Wrong, but served.
pub const INFERLAY_ABI_LOG_WARNING: u32 = 2;
/// Something failed.
pub const INFERLAY_ABI_LOG_ERROR: u32 = 3;

/// UTF-8 text, not ended by a null byte: print it with `"%.*s", (int)text.len, text.data`. `data` may be null if
/// `len` is 0. Whose memory it is, and for how long, is said where it is handed over. Never grows, so it is passed
/// by value.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct inferlay_abi_text {
    /// The first byte.
    pub data: *const c_char,
    /// The number of bytes.
    pub len: usize,
}

/// Why something failed. Every function that can fail returns a pointer to one, or NULL for success.
///
/// Who returns a status allocates it, and the other side calls its `free` once it has read it, on any thread. A
/// status that is a constant has no `free`; refusing with one allocates nothing. INFERLAY_ABI_STATUS initialises
/// such a constant, `status_new` of the host makes one with a text of its own.
#[repr(C)]
#[derive(Debug)]
pub struct inferlay_abi_status {
    /// `sizeof(inferlay_abi_status)` of whoever made it.
    pub struct_size: u32,
    /// An `inferlay_abi_code`.
    pub code: inferlay_abi_code,
    /// The place, what was found and what was expected. Valid until `free`.
    pub message: inferlay_abi_text,
    /// Frees the status and its message. NULL: it is a constant.
    pub free: Option<unsafe extern "C" fn(status: *const inferlay_abi_status)>,
}

/// Where memory lies, or is wanted. Never grows. All zeros: ordinary host memory.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct inferlay_abi_placement {
    /// An `inferlay_abi_memory_kind`.
    pub memory: inferlay_abi_memory_kind,
    /// An `inferlay_abi_device_kind`: the device that it belongs to or is pinned for.
    pub device: inferlay_abi_device_kind,
    /// Which device of that kind.
    pub index: u32,
    /// 0.
    pub reserved: u32,
}

/// Kinds of `inferlay_abi_value`.
pub type inferlay_abi_value_kind = u32;
/// `text` holds it.
pub const INFERLAY_ABI_VALUE_STRING: u32 = 0;
/// `number` holds it.
pub const INFERLAY_ABI_VALUE_INT: u32 = 1;
/// `real` holds it.
pub const INFERLAY_ABI_VALUE_DOUBLE: u32 = 2;
/// `number` holds it: 0 or 1.
pub const INFERLAY_ABI_VALUE_BOOL: u32 = 3;

/// A parameter of a request or response. Never grows; the fields that its kind does not name are 0.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct inferlay_abi_value {
    /// An `inferlay_abi_value_kind`.
    pub kind: inferlay_abi_value_kind,
    /// 0.
    pub reserved: u32,
    /// A whole number, or a truth value.
    pub number: i64,
    /// A floating-point number.
    pub real: f64,
    /// Text.
    pub text: inferlay_abi_text,
}
