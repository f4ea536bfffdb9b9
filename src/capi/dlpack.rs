//! Tensors in the form of DLPack, whose deleter is the library's own: no code of the program runs when the memory goes.
//!
//! The structs are those of DLPack's `dlpack.h`, versions 0 and 1; see <https://dmlc.github.io/dlpack/latest/>.
//! Invariant: the struct that is handed out lies at the start of what the deleter frees. Any thread.

use super::door::{door, free_door};
use super::handle::{borrow, out};
use super::status::Status;
use super::tensor::Tensor;
use inferlay_backend_sdk::{DataType, Error, MemoryKind};
use std::ffi::c_void;

const CPU: i32 = 1;
const READ_ONLY: u64 = 1;

/// `DLTensor`.
#[repr(C)]
struct DlTensor {
    data: *mut c_void,
    device_type: i32,
    device_id: i32,
    ndim: i32,
    code: u8,
    bits: u8,
    lanes: u16,
    shape: *mut i64,
    strides: *mut i64,
    byte_offset: u64,
}

/// `DLManagedTensor`.
#[repr(C)]
struct Plain {
    tensor: DlTensor,
    manager: *mut c_void,
    deleter: unsafe extern "C" fn(*mut Plain),
}

/// `DLManagedTensorVersioned`.
#[repr(C)]
struct Versioned {
    major: u32,
    minor: u32,
    manager: *mut c_void,
    deleter: unsafe extern "C" fn(*mut Versioned),
    flags: u64,
    tensor: DlTensor,
}

/// What is handed out, and what it points to.
#[repr(C)]
struct Held<T> {
    shown: T,
    dims: Vec<i64>,
    strides: Vec<i64>,
    _tensor: inferlay_backend_sdk::Tensor,
}

/// Hands a tensor on as DLPack, which shares its memory and outlives the tensor.          [any thread] [never blocks]
///
/// `version`: 0 for `DLManagedTensor`, 1 for `DLManagedTensorVersioned`, which says that the memory is read-only.
/// `managed`: where the struct goes, which is then the caller's, to be freed with the deleter in it, on any thread; not
/// NULL. Its elements are not to be written. Fails with UNSUPPORTED for BYTES, another version and memory of devices.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_tensor_to_dlpack(
    tensor: *const Tensor,
    version: u32,
    managed: *mut *mut c_void,
) -> *mut Status {
    door(|| {
        // SAFETY: the caller's promise.
        let tensor = &unsafe { borrow(tensor, "tensor") }?.0;
        // SAFETY: the caller's promise.
        let place = unsafe { out(managed, "managed") }?;
        let made = match version {
            0 => plain(tensor)?,
            1 => versioned(tensor)?,
            _ => return Err(Error::unsupported(format!("version: found {version} of DLPack, expected 0 or 1"))),
        };
        place.write(made);
        Ok(())
    })
}

fn plain(tensor: &inferlay_backend_sdk::Tensor) -> Result<*mut c_void, Error> {
    let shown = Plain { tensor: describe(tensor)?, manager: std::ptr::null_mut(), deleter: free_plain };
    Ok(hold(shown, tensor, |shown| &mut shown.tensor))
}

fn versioned(tensor: &inferlay_backend_sdk::Tensor) -> Result<*mut c_void, Error> {
    let (tensor_shown, manager) = (describe(tensor)?, std::ptr::null_mut());
    let (deleter, flags) = (free_versioned as unsafe extern "C" fn(*mut Versioned), READ_ONLY);
    let shown = Versioned { major: 1, minor: 0, manager, deleter, flags, tensor: tensor_shown };
    Ok(hold(shown, tensor, |shown| &mut shown.tensor))
}

/// Puts what is shown beside what it points to.
fn hold<T>(shown: T, tensor: &inferlay_backend_sdk::Tensor, part: fn(&mut T) -> &mut DlTensor) -> *mut c_void {
    let dims: Vec<i64> = tensor.shape().iter().map(|dim| i64::try_from(*dim).unwrap_or(i64::MAX)).collect();
    let mut held = Box::new(Held { shown, strides: dense(&dims), dims, _tensor: tensor.clone() });
    let (dims, strides) = (held.dims.as_mut_ptr(), held.strides.as_mut_ptr());
    let described = part(&mut held.shown);
    (described.shape, described.strides) = (dims, strides);
    Box::into_raw(held).cast()
}

/// The strides, in elements, of dense rows.
fn dense(dims: &[i64]) -> Vec<i64> {
    let mut strides = vec![1i64; dims.len()];
    for index in (1..dims.len()).rev() {
        strides[index - 1] = strides[index].saturating_mul(dims[index]);
    }
    strides
}

fn describe(tensor: &inferlay_backend_sdk::Tensor) -> Result<DlTensor, Error> {
    if matches!(tensor.view().placement().kind, MemoryKind::Device) {
        return Err(Error::unsupported("tensor: memory of devices is not handed on"));
    }
    let (code, bits) = element(tensor.dtype())?;
    Ok(DlTensor {
        data: tensor.view().data().pointer().as_ptr().cast(),
        device_type: CPU,
        device_id: 0,
        ndim: i32::try_from(tensor.shape().len()).map_err(|_| Error::unsupported("tensor: too many dims"))?,
        code,
        bits,
        lanes: 1,
        shape: std::ptr::null_mut(),
        strides: std::ptr::null_mut(),
        byte_offset: 0,
    })
}

/// `DLDataTypeCode` and bits of an element.
fn element(dtype: DataType) -> Result<(u8, u8), Error> {
    Ok(match dtype {
        DataType::Int8 => (0, 8),
        DataType::Int16 => (0, 16),
        DataType::Int32 => (0, 32),
        DataType::Int64 => (0, 64),
        DataType::Uint8 => (1, 8),
        DataType::Uint16 => (1, 16),
        DataType::Uint32 => (1, 32),
        DataType::Uint64 => (1, 64),
        DataType::Fp16 => (2, 16),
        DataType::Fp32 => (2, 32),
        DataType::Fp64 => (2, 64),
        DataType::Bf16 => (4, 16),
        DataType::Bool => (6, 8),
        other => return Err(Error::unsupported(format!("tensor: DLPack has no {other}"))),
    })
}

/// # Safety
/// `managed` is NULL or came from [`plain`], and is freed once.
unsafe extern "C" fn free_plain(managed: *mut Plain) {
    if !managed.is_null() {
        // SAFETY: the caller's promise; what is shown lies at the start of what is held.
        free_door(|| drop(unsafe { Box::from_raw(managed.cast::<Held<Plain>>()) }));
    }
}

/// # Safety
/// `managed` is NULL or came from [`versioned`], and is freed once.
unsafe extern "C" fn free_versioned(managed: *mut Versioned) {
    if !managed.is_null() {
        // SAFETY: the caller's promise; what is shown lies at the start of what is held.
        free_door(|| drop(unsafe { Box::from_raw(managed.cast::<Held<Versioned>>()) }));
    }
}
