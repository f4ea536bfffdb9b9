//! Between the C structs and the types of this crate, for both sides: sizes, text, statuses, placements, panics.

use super::{INFERLAY_ABI_DEVICE_CPU, INFERLAY_ABI_DEVICE_CUDA};
use super::{
    inferlay_abi_backend, inferlay_abi_host, inferlay_abi_instance_group, inferlay_abi_instance_spec,
    inferlay_abi_placement, inferlay_abi_signature, inferlay_abi_status, inferlay_abi_tensor, inferlay_abi_tensor_spec,
    inferlay_abi_text, inferlay_abi_timing, inferlay_abi_trace,
};
use crate::{DataType, Device, Error, ErrorKind, MemoryKind, Placement};
use std::any::Any;
use std::borrow::Cow;
use std::mem::MaybeUninit;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// A struct that begins with its size and grows at its end.
///
/// # Safety
/// It is `repr(C)`, its first field is `struct_size: u32`, and all its bytes may be zero.
pub unsafe trait Grows: Sized {}

macro_rules! grows {
    ($($name:ident),+ $(,)?) => {
        // SAFETY: `layout.rs` proves where `struct_size` lies; fields are numbers, raw pointers and optional functions.
        $(unsafe impl Grows for $name {})+
    };
}

grows!(
    inferlay_abi_status,
    inferlay_abi_tensor,
    inferlay_abi_tensor_spec,
    inferlay_abi_signature,
    inferlay_abi_instance_spec,
    inferlay_abi_instance_group,
    inferlay_abi_timing,
    inferlay_abi_trace,
    inferlay_abi_backend,
);

/// A size without what would be part of a field: a pointer that is cut in half points somewhere. Compilers make every
/// size a multiple of the alignment, so that only a size that is wrong gets smaller.
#[inline]
const fn whole<T: Grows>(promised: usize) -> usize {
    promised / align_of::<T>() * align_of::<T>()
}

/// A copy of what the other side has filled in: the fields that both sizes promise, zeros beyond.
///
/// # Safety
/// `from` points to a struct of the other side, readable for the `struct_size` bytes that it says.
#[inline]
pub unsafe fn read<T: Grows>(from: *const T) -> T {
    // SAFETY: `Grows` says that the first field is the size.
    let promised = unsafe { from.cast::<u32>().read() } as usize;
    if promised >= size_of::<T>() {
        // SAFETY: `from` is readable for as much; the other side's fields are of the same plain types.
        return unsafe { from.read() };
    }
    let mut own = MaybeUninit::<T>::zeroed();
    // SAFETY: `from` is readable for `promised` bytes, `own` writable for its size, which is more; they are apart.
    unsafe { std::ptr::copy_nonoverlapping(from.cast::<u8>(), own.as_mut_ptr().cast(), whole::<T>(promised)) };
    // SAFETY: `Grows` says that zeros are a value; the other side's fields are of the same plain types.
    unsafe { own.assume_init() }
}

/// Fills in a struct of the other side, as far as its `struct_size` reaches, which stays as it is.
///
/// # Safety
/// `to` points to a struct of the other side, writable for the `struct_size` bytes that it says.
#[inline]
pub unsafe fn write<T: Grows>(to: *mut T, value: &T) {
    // SAFETY: `Grows` says that the first field is the size.
    let promised = unsafe { to.cast::<u32>().read() };
    if promised as usize >= size_of::<T>() {
        // SAFETY: `to` is writable for as much; they are apart.
        unsafe { std::ptr::copy_nonoverlapping(value, to, 1) };
    } else {
        let from = std::ptr::from_ref(value).cast::<u8>();
        // SAFETY: `to` is writable for `promised` bytes, `value` readable for more; they are apart.
        unsafe { std::ptr::copy_nonoverlapping(from, to.cast(), whole::<T>(promised as usize)) };
    }
    // SAFETY: as for the read: the size stays that of its owner.
    unsafe { to.cast::<u32>().write(promised) };
}

/// Borrowed text, as it crosses.
#[inline]
pub fn text(text: &str) -> inferlay_abi_text {
    inferlay_abi_text { data: text.as_ptr().cast(), len: text.len() }
}

/// Text of the other side; what is no UTF-8 in it is replaced.
///
/// # Safety
/// `text` is what its type says, for `'a`.
pub unsafe fn read_text<'a>(text: inferlay_abi_text) -> Cow<'a, str> {
    if text.data.is_null() || text.len == 0 {
        return Cow::Borrowed("");
    }
    // SAFETY: the caller's promise, and neither null nor empty.
    String::from_utf8_lossy(unsafe { std::slice::from_raw_parts(text.data.cast(), text.len) })
}

/// A status with a message of its own, freed by whoever gets it; NULL for success.
#[inline]
pub fn status(result: Result<(), Error>) -> *const inferlay_abi_status {
    match result {
        Ok(()) => std::ptr::null(),
        Err(error) => owned_status(error.kind() as u32, error.message()),
    }
}

/// A status on the heap, with a copy of its message.
#[repr(C)]
struct OwnedStatus {
    status: inferlay_abi_status,
    message: Box<str>,
}

/// A status with this code, which need not be one of an [`ErrorKind`].
pub fn owned_status(code: u32, message: &str) -> *const inferlay_abi_status {
    let message: Box<str> = message.into();
    let status = inferlay_abi_status {
        struct_size: size_of::<inferlay_abi_status>() as u32,
        code,
        message: text(&message),
        free: Some(free_status),
    };
    Box::into_raw(Box::new(OwnedStatus { status, message })).cast_const().cast()
}

/// # Safety
/// `status` came from `owned_status` and was not freed.
unsafe extern "C" fn free_status(status: *const inferlay_abi_status) {
    // SAFETY: the caller's promise; the status is the first field of what was boxed.
    let owned = unsafe { Box::from_raw(status.cast_mut().cast::<OwnedStatus>()) };
    drop(owned.message);
}

/// What a status of the other side says; frees it.
///
/// # Errors
/// The failure that it stands for.
///
/// # Safety
/// `status` is null, or what its type says, and nobody else frees it.
#[inline]
pub unsafe fn result(status: *const inferlay_abi_status) -> Result<(), Error> {
    if status.is_null() {
        return Ok(());
    }
    // SAFETY: the caller's promise; not null.
    Err(unsafe { error(status) })
}

/// # Safety
/// As for [`result`], and not null.
#[cold]
unsafe fn error(status: *const inferlay_abi_status) -> Error {
    // SAFETY: the caller's promise.
    let own = unsafe { read(status) };
    // SAFETY: the message is valid until `free`, and is copied before.
    let message = unsafe { read_text(own.message) }.into_owned();
    if let Some(free) = own.free {
        // SAFETY: the caller's promise; nobody looks at it afterwards.
        unsafe { free(status) };
    }
    Error::new(kind(own.code), message)
}

/// The kind of failure of a code; `Unknown` for one from the future.
pub fn kind(code: u32) -> ErrorKind {
    const KINDS: [ErrorKind; 13] = [
        ErrorKind::Unknown,
        ErrorKind::Internal,
        ErrorKind::NotFound,
        ErrorKind::InvalidArg,
        ErrorKind::Unavailable,
        ErrorKind::Unsupported,
        ErrorKind::AlreadyExists,
        ErrorKind::Cancelled,
        ErrorKind::Timeout,
        ErrorKind::ResourceExhausted,
        ErrorKind::FailedPrecondition,
        ErrorKind::Panic,
        ErrorKind::InstanceLost,
    ];
    KINDS.into_iter().find(|kind| *kind as u32 == code).unwrap_or(ErrorKind::Unknown)
}

/// The data type of this number.
///
/// # Errors
/// [`ErrorKind::Unsupported`] for one that is not known.
#[inline]
pub fn dtype(number: u32) -> Result<DataType, Error> {
    // They are in the order of their numbers, which begin with 1.
    let found = DataType::all().nth((number as usize).wrapping_sub(1)).filter(|dtype| *dtype as u32 == number);
    found.ok_or_else(|| Error::unsupported(format!("tensor: found data type {number}, which is not known")))
}

/// A placement, as it crosses.
#[inline]
pub fn placement(placement: Placement) -> inferlay_abi_placement {
    let (device, index) = match placement.device {
        Device::Cpu => (INFERLAY_ABI_DEVICE_CPU, 0),
        Device::Cuda(index) => (INFERLAY_ABI_DEVICE_CUDA, index),
    };
    inferlay_abi_placement { memory: placement.kind as u32, device, index, reserved: 0 }
}

/// A placement of the other side.
///
/// # Errors
/// [`ErrorKind::Unsupported`] for a kind of memory or device that is not known.
#[inline]
pub fn read_placement(placement: inferlay_abi_placement) -> Result<Placement, Error> {
    const KINDS: [MemoryKind; 5] =
        [MemoryKind::Host, MemoryKind::Pinned, MemoryKind::Device, MemoryKind::Managed, MemoryKind::Shared];
    let kind = KINDS.into_iter().find(|kind| *kind as u32 == placement.memory);
    let device = match placement.device {
        INFERLAY_ABI_DEVICE_CPU => Some(Device::Cpu),
        INFERLAY_ABI_DEVICE_CUDA => Some(Device::Cuda(placement.index)),
        _ => None,
    };
    match (kind, device) {
        (Some(kind), Some(device)) => Ok(Placement { kind, device }),
        _ => {
            let (memory, device) = (placement.memory, placement.device);
            Err(Error::unsupported(format!("found memory of kind {memory} of device kind {device}, not known here")))
        }
    }
}

/// Runs what a function of the ABI does; a panic becomes a status.
#[inline]
pub fn guard(run: impl FnOnce() -> Result<(), Error>) -> *const inferlay_abi_status {
    status(catch(run).and_then(|result| result))
}

/// Runs what a function of the ABI does that cannot say that it failed.
#[inline]
pub fn guard_or<T>(otherwise: T, run: impl FnOnce() -> T) -> T {
    catch(run).unwrap_or(otherwise)
}

/// Contains a panic.
#[inline]
fn catch<T>(run: impl FnOnce() -> T) -> Result<T, Error> {
    catch_unwind(AssertUnwindSafe(run)).map_err(panicked)
}

/// The error of a panic, which may panic again when it is dropped.
#[cold]
fn panicked(panic: Box<dyn Any + Send>) -> Error {
    let literal = panic.downcast_ref::<&str>().copied();
    let said = literal.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    let error = Error::new(ErrorKind::Panic, format!("panicked: {}", said.unwrap_or("a value that is no text")));
    let _contained = catch_unwind(AssertUnwindSafe(|| drop(panic)));
    error
}

/// Whether a table of functions reaches as far as its version 1.0, by its size.
pub fn is_whole(host: &inferlay_abi_host) -> bool {
    host.struct_size >= super::INFERLAY_ABI_HOST_SIZE_1_0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ptr::null;

    #[test]
    fn a_size_that_ends_within_a_field_leaves_the_field_out() {
        let full = inferlay_abi_signature {
            struct_size: 0,
            batches: 1,
            input_count: 2,
            output_count: 3,
            inputs: std::ptr::dangling(),
            outputs: std::ptr::dangling(),
        };
        let inputs = std::mem::offset_of!(inferlay_abi_signature, inputs);
        for promised in 4..=size_of::<inferlay_abi_signature>() {
            let table = inferlay_abi_signature { struct_size: promised as u32, ..full };
            // SAFETY: it is readable for more than it promises.
            let own = unsafe { read(&raw const table) };
            assert_eq!(own.inputs, if promised < inputs + 8 { null() } else { full.inputs }, "{promised}");
            assert_eq!(own.outputs, if promised < inputs + 16 { null() } else { full.outputs }, "{promised}");
            let mut filled = inferlay_abi_signature { inputs: null(), outputs: null(), ..table };
            // SAFETY: it is writable for more than it promises.
            unsafe { write(&raw mut filled, &full) };
            assert_eq!((filled.struct_size, filled.inputs), (promised as u32, own.inputs), "{promised}");
        }
    }
}
