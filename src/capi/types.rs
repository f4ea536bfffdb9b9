//! The numbers and structs that cross. Numbers are `uint32_t`; a value that is not known is refused, never guessed.

use inferlay_backend_sdk::{DataType, Device, Error, ErrorKind, MemoryKind, Placement, Ready, TensorRef};
use std::ffi::c_void;

/// The version of this header. `inferlay_server_new` takes it, so that a program built against another one is noticed.
pub const INFERLAY_API_VERSION: u32 = 1;

/// What kind of failure a status tells of: one of `INFERLAY_CODE_*`. The numbers never change.
pub type Code = u32;
/// Nothing better is known.
pub const INFERLAY_CODE_UNKNOWN: u32 = 0;
/// The library or a backend broke a promise of its own.
pub const INFERLAY_CODE_INTERNAL: u32 = 1;
/// No model, version, input, output or file has this name.
pub const INFERLAY_CODE_NOT_FOUND: u32 = 2;
/// A value of the caller is wrong; the message says which, what was found and what was expected.
pub const INFERLAY_CODE_INVALID_ARG: u32 = 3;
/// The model or the server does not serve now.
pub const INFERLAY_CODE_UNAVAILABLE: u32 = 4;
/// Neither the library nor the backend can do this.
pub const INFERLAY_CODE_UNSUPPORTED: u32 = 5;
/// The name is taken.
pub const INFERLAY_CODE_ALREADY_EXISTS: u32 = 6;
/// The request was cancelled.
pub const INFERLAY_CODE_CANCELLED: u32 = 7;
/// The deadline passed.
pub const INFERLAY_CODE_TIMEOUT: u32 = 8;
/// A bound was reached: queue length, memory, number of instances.
pub const INFERLAY_CODE_RESOURCE_EXHAUSTED: u32 = 9;
/// The call is right but not now or not here, such as a call that waits inside a callback.
pub const INFERLAY_CODE_FAILED_PRECONDITION: u32 = 10;
/// Code of a backend or of the library panicked; it was contained.
pub const INFERLAY_CODE_PANIC: u32 = 11;
/// Said by a function that is a model: this instance will execute nothing any more, as its device, process or connection
/// is gone. It is given no further batch; whoever asked is told UNAVAILABLE, and so is everybody when none is left. Not for
/// what the next request may be spared. No request is answered with it.
pub const INFERLAY_CODE_INSTANCE_LOST: u32 = 12;

/// The type of a tensor's elements: one of `INFERLAY_TYPE_*`, with the names of KServe v2 and the numbers of Triton.
/// Elements are little-endian; BOOL is one byte; FP16 and BF16 are raw 16 bits.
pub type Datatype = u32;
/// One byte, 0 or 1.
pub const INFERLAY_TYPE_BOOL: u32 = 1;
/// `uint8_t`
pub const INFERLAY_TYPE_UINT8: u32 = 2;
/// `uint16_t`
pub const INFERLAY_TYPE_UINT16: u32 = 3;
/// `uint32_t`
pub const INFERLAY_TYPE_UINT32: u32 = 4;
/// `uint64_t`
pub const INFERLAY_TYPE_UINT64: u32 = 5;
/// `int8_t`
pub const INFERLAY_TYPE_INT8: u32 = 6;
/// `int16_t`
pub const INFERLAY_TYPE_INT16: u32 = 7;
/// `int32_t`
pub const INFERLAY_TYPE_INT32: u32 = 8;
/// `int64_t`
pub const INFERLAY_TYPE_INT64: u32 = 9;
/// IEEE half precision.
pub const INFERLAY_TYPE_FP16: u32 = 10;
/// `float`
pub const INFERLAY_TYPE_FP32: u32 = 11;
/// `double`
pub const INFERLAY_TYPE_FP64: u32 = 12;
/// Strings of bytes, of any length. In memory: their contents one after the other, and n+1 offsets (`uint64_t`) into
/// these. On the wire: before each element its length as 4 bytes, little-endian.
pub const INFERLAY_TYPE_BYTES: u32 = 13;
/// The upper half of a `float`.
pub const INFERLAY_TYPE_BF16: u32 = 14;

/// The kind of memory that a buffer lies in: one of `INFERLAY_MEMORY_*`.
pub type MemoryNumber = u32;
/// Ordinary memory of the process.
pub const INFERLAY_MEMORY_HOST: u32 = 0;
/// Page-locked host memory.
pub const INFERLAY_MEMORY_PINNED: u32 = 1;
/// Memory of a device, which the host cannot read.
pub const INFERLAY_MEMORY_DEVICE: u32 = 2;
/// Memory that migrates between host and device.
pub const INFERLAY_MEMORY_MANAGED: u32 = 3;

/// What must have happened before memory may be touched: one of `INFERLAY_READY_*`.
pub type ReadyNumber = u32;
/// Nothing: the data is there.
pub const INFERLAY_READY_NOW: u32 = 0;
/// A device event (`cudaEvent_t`) has been reached.
pub const INFERLAY_READY_EVENT: u32 = 1;
/// The work queued so far on a stream (`cudaStream_t`) has finished.
pub const INFERLAY_READY_STREAM: u32 = 2;

/// Where a buffer lies and what orders access to it. Wherever a function takes one, NULL stands for ordinary host
/// memory that may be touched now. Set `struct_size` to `sizeof(inferlay_memory)`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Memory {
    /// `sizeof(inferlay_memory)`.
    pub struct_size: usize,
    /// One of `INFERLAY_MEMORY_*`.
    pub kind: MemoryNumber,
    /// The device that it belongs to or is pinned for; 0 for host memory.
    pub device_id: u32,
    /// One of `INFERLAY_READY_*`.
    pub ready: ReadyNumber,
    /// The event or stream, if `ready` says so; else NULL.
    pub ready_handle: *mut c_void,
}

/// A tensor to look at. Whoever fills it says how long the pointers are good. Set `struct_size` to
/// `sizeof(inferlay_view)` before the call.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct View {
    /// In: `sizeof(inferlay_view)`.
    pub struct_size: usize,
    /// One of `INFERLAY_TYPE_*`.
    pub datatype: Datatype,
    /// One of `INFERLAY_MEMORY_*`.
    pub memory_kind: MemoryNumber,
    /// The device of the memory; 0 for the host.
    pub device_id: u32,
    /// One of `INFERLAY_READY_*`.
    pub ready: ReadyNumber,
    /// The event or stream, if `ready` says so; else NULL.
    pub ready_handle: *mut c_void,
    /// The number of dims.
    pub rank: usize,
    /// The dims, outermost first; may be NULL when there are none.
    pub shape: *const i64,
    /// The elements, dense; of BYTES their contents. Not NULL, but not to be followed when `byte_size` is 0.
    pub data: *const c_void,
    /// The number of bytes at `data`.
    pub byte_size: usize,
    /// Of BYTES the offsets of the elements within `data`, one more than there are elements; else NULL.
    pub offsets: *const u64,
    /// The number of offsets; 0 but for BYTES.
    pub offsets_len: usize,
}

/// The type of this number.
///
/// # Errors
/// `INVALID_ARG` for a number that stands for none.
pub(super) fn datatype(number: Datatype) -> Result<DataType, Error> {
    let known = DataType::all().nth((number as usize).wrapping_sub(1));
    known.ok_or_else(|| Error::invalid_arg(format!("datatype: found {number}, expected one of INFERLAY_TYPE_*")))
}

/// Refuses memory that this build does not serve.
///
/// # Errors
/// `INVALID_ARG` for numbers that stand for nothing, `UNSUPPORTED` for memory of devices.
///
/// # Safety
/// `memory` is NULL or good for reading.
pub(super) unsafe fn check_memory(memory: *const Memory) -> Result<(), Error> {
    // SAFETY: the caller's promise.
    let Some(memory) = (unsafe { memory.as_ref() }) else { return Ok(()) };
    if memory.struct_size < size_of::<Memory>() {
        let (found, least) = (memory.struct_size, size_of::<Memory>());
        return Err(Error::invalid_arg(format!("memory: found a struct_size of {found}, expected {least} or more")));
    }
    match (memory.kind, memory.ready) {
        (INFERLAY_MEMORY_HOST | INFERLAY_MEMORY_PINNED | INFERLAY_MEMORY_MANAGED, INFERLAY_READY_NOW) => Ok(()),
        (INFERLAY_MEMORY_HOST..=INFERLAY_MEMORY_MANAGED, INFERLAY_READY_NOW..=INFERLAY_READY_STREAM) => {
            Err(Error::unsupported("memory: this build serves host memory that is ready only"))
        }
        (kind, ready) => Err(Error::invalid_arg(format!("memory: found kind {kind} and ready {ready}"))),
    }
}

impl View {
    /// A view of a tensor.
    pub(super) fn of(tensor: TensorRef<'_>) -> Result<View, Error> {
        let offsets = if tensor.dtype() == DataType::Bytes { tensor.offsets()? } else { &[] };
        let (ready, handle) = match tensor.ready() {
            Ready::Event(event) => (INFERLAY_READY_EVENT, event),
            Ready::Stream(stream) => (INFERLAY_READY_STREAM, stream),
            _ => (INFERLAY_READY_NOW, 0),
        };
        let mut view = View::new(tensor.dtype(), tensor.shape(), tensor.data().pointer().as_ptr(), tensor.data().len());
        (view.memory_kind, view.device_id) = place(tensor.placement());
        (view.ready, view.ready_handle) = (ready, handle as *mut c_void);
        if tensor.dtype() == DataType::Bytes {
            (view.offsets, view.offsets_len) = (offsets.as_ptr(), offsets.len());
        }
        Ok(view)
    }

    /// A view of host memory.
    pub(super) fn new(dtype: DataType, shape: &[usize], data: *const u8, byte_size: usize) -> View {
        // A dim of an engine's tensor is never as large as 2^63, except beside a zero; there the number is all there is.
        const { assert!(size_of::<usize>() == size_of::<i64>()) };
        View {
            struct_size: size_of::<View>(),
            datatype: dtype as u32,
            memory_kind: INFERLAY_MEMORY_HOST,
            device_id: 0,
            ready: INFERLAY_READY_NOW,
            ready_handle: std::ptr::null_mut(),
            rank: shape.len(),
            shape: shape.as_ptr().cast(),
            data: data.cast(),
            byte_size,
            offsets: std::ptr::null(),
            offsets_len: 0,
        }
    }

    /// Fills the caller's struct, which may be of a later version of the header.
    ///
    /// # Errors
    /// `INVALID_ARG` when it is NULL or too small.
    ///
    /// # Safety
    /// `place` is NULL or good for writing a struct whose first field is set.
    pub(super) unsafe fn fill(mut self, place: *mut View) -> Result<(), Error> {
        if place.is_null() {
            return Err(Error::invalid_arg("view: found NULL"));
        }
        // SAFETY: the caller's promise.
        let size = unsafe { (*place).struct_size };
        if size < size_of::<View>() {
            let least = size_of::<View>();
            return Err(Error::invalid_arg(format!("view: found a struct_size of {size}, expected {least} or more")));
        }
        self.struct_size = size;
        // SAFETY: the caller's promise, and the place is large enough.
        unsafe { place.write(self) };
        Ok(())
    }
}

fn place(placement: Placement) -> (u32, u32) {
    let device = match placement.device {
        Device::Cuda(device) => device,
        _ => 0,
    };
    (
        match placement.kind {
            MemoryKind::Shared => INFERLAY_MEMORY_HOST,
            kind => kind as u32,
        },
        device,
    )
}

/// The numbers of the header are those of the engine.
const _: () = {
    assert!(INFERLAY_CODE_UNKNOWN == ErrorKind::Unknown as u32);
    assert!(INFERLAY_CODE_INTERNAL == ErrorKind::Internal as u32);
    assert!(INFERLAY_CODE_NOT_FOUND == ErrorKind::NotFound as u32);
    assert!(INFERLAY_CODE_INVALID_ARG == ErrorKind::InvalidArg as u32);
    assert!(INFERLAY_CODE_UNAVAILABLE == ErrorKind::Unavailable as u32);
    assert!(INFERLAY_CODE_UNSUPPORTED == ErrorKind::Unsupported as u32);
    assert!(INFERLAY_CODE_ALREADY_EXISTS == ErrorKind::AlreadyExists as u32);
    assert!(INFERLAY_CODE_CANCELLED == ErrorKind::Cancelled as u32);
    assert!(INFERLAY_CODE_TIMEOUT == ErrorKind::Timeout as u32);
    assert!(INFERLAY_CODE_RESOURCE_EXHAUSTED == ErrorKind::ResourceExhausted as u32);
    assert!(INFERLAY_CODE_FAILED_PRECONDITION == ErrorKind::FailedPrecondition as u32);
    assert!(INFERLAY_CODE_PANIC == ErrorKind::Panic as u32);
    assert!(INFERLAY_CODE_INSTANCE_LOST == ErrorKind::InstanceLost as u32);
    assert!(INFERLAY_TYPE_BOOL == DataType::Bool as u32);
    assert!(INFERLAY_TYPE_UINT8 == DataType::Uint8 as u32);
    assert!(INFERLAY_TYPE_UINT16 == DataType::Uint16 as u32);
    assert!(INFERLAY_TYPE_UINT32 == DataType::Uint32 as u32);
    assert!(INFERLAY_TYPE_UINT64 == DataType::Uint64 as u32);
    assert!(INFERLAY_TYPE_INT8 == DataType::Int8 as u32);
    assert!(INFERLAY_TYPE_INT16 == DataType::Int16 as u32);
    assert!(INFERLAY_TYPE_INT32 == DataType::Int32 as u32);
    assert!(INFERLAY_TYPE_INT64 == DataType::Int64 as u32);
    assert!(INFERLAY_TYPE_FP16 == DataType::Fp16 as u32);
    assert!(INFERLAY_TYPE_FP32 == DataType::Fp32 as u32);
    assert!(INFERLAY_TYPE_FP64 == DataType::Fp64 as u32);
    assert!(INFERLAY_TYPE_BYTES == DataType::Bytes as u32);
    assert!(INFERLAY_TYPE_BF16 == DataType::Bf16 as u32);
    assert!(INFERLAY_MEMORY_HOST == MemoryKind::Host as u32);
    assert!(INFERLAY_MEMORY_PINNED == MemoryKind::Pinned as u32);
    assert!(INFERLAY_MEMORY_DEVICE == MemoryKind::Device as u32);
    assert!(INFERLAY_MEMORY_MANAGED == MemoryKind::Managed as u32);
};
