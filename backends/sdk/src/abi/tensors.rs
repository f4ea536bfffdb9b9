//! Tensors of this crate as descriptors, and back.

use super::convert::{dtype, placement};
use super::{
    INFERLAY_ABI_READY_EVENT, INFERLAY_ABI_READY_NOW, INFERLAY_ABI_READY_STREAM, inferlay_abi_placement,
    inferlay_abi_tensor,
};
use crate::{Buffer, DataType, Error, Ready, Shape, Tensor, TensorRef};
use std::ffi::c_void;
use std::ptr::{NonNull, null, null_mut};

/// The most dims that a descriptor may have: more are somebody's uninitialised memory.
const RANK_MAX: u32 = 64;

impl inferlay_abi_tensor {
    /// A descriptor of nothing, to be filled in.
    pub const EMPTY: Self = inferlay_abi_tensor {
        struct_size: size_of::<Self>() as u32,
        dtype: 0,
        rank: 0,
        ready_kind: INFERLAY_ABI_READY_NOW,
        shape: null(),
        strides: null(),
        data: null_mut(),
        len: 0,
        offsets: null(),
        placement: inferlay_abi_placement { memory: 0, device: 0, index: 0, reserved: 0 },
        ready: 0,
        export_kind: 0,
        export_handle_len: 0,
        export_handle: null(),
        export_offset: 0,
        release: None,
        release_data: null_mut(),
    };
}

/// A descriptor that borrows all of a tensor.
#[inline]
pub fn describe(tensor: &TensorRef<'_>) -> inferlay_abi_tensor {
    let (ready_kind, ready) = match tensor.ready() {
        Ready::Now => (INFERLAY_ABI_READY_NOW, 0),
        Ready::Event(event) => (INFERLAY_ABI_READY_EVENT, event as u64),
        Ready::Stream(stream) => (INFERLAY_ABI_READY_STREAM, stream as u64),
    };
    let shape: &[usize] = tensor.shape();
    inferlay_abi_tensor {
        dtype: tensor.dtype() as u32,
        rank: shape.len() as u32,
        // Dims are below 2^63, so both types read alike.
        shape: shape.as_ptr().cast(),
        data: tensor.data().pointer().as_ptr().cast(),
        len: tensor.data().len() as u64,
        offsets: tensor.offsets_buffer().map_or(null(), |offsets| offsets.pointer().as_ptr().cast_const().cast()),
        placement: placement(tensor.placement()),
        ready_kind,
        ready,
        ..inferlay_abi_tensor::EMPTY
    }
}

/// A descriptor that hands a tensor over: it stays until `release` has run, its shape included.
pub fn hand_over(tensor: Tensor) -> inferlay_abi_tensor {
    let tensor = Box::new(tensor);
    let mut descriptor = describe(&tensor.view());
    descriptor.release = Some(drop_tensor);
    descriptor.release_data = Box::into_raw(tensor).cast();
    descriptor
}

/// # Safety
/// `tensor` came from `hand_over` and was not released.
unsafe extern "C" fn drop_tensor(tensor: *mut c_void, _ready_kind: u32, _ready: u64) {
    super::convert::guard_or((), || {
        // SAFETY: the caller's promise.
        drop(unsafe { Box::from_raw(tensor.cast::<Tensor>()) });
    });
}

/// The shape that a descriptor states.
///
/// # Errors
/// [`crate::ErrorKind::InvalidArg`] for dims that are negative, missing or too many.
///
/// # Safety
/// `shape` is null or points to `rank` dims.
#[inline]
pub unsafe fn shape(shape: *const i64, rank: u32) -> Result<Shape, Error> {
    if rank == 0 {
        return Ok(Shape::SCALAR);
    }
    if shape.is_null() || rank > RANK_MAX {
        let found = if shape.is_null() { "no shape" } else { "too many dims" };
        return Err(Error::invalid_arg(format!(
            "tensor of rank {rank}: found {found}, at most {RANK_MAX} dims expected"
        )));
    }
    // SAFETY: the caller's promise; not null.
    let dims = unsafe { std::slice::from_raw_parts(shape, rank as usize) };
    if let Some(dim) = dims.iter().find(|dim| **dim < 0) {
        return Err(Error::invalid_arg(format!("tensor: found a dim of {dim}, expected 0 or more")));
    }
    // SAFETY: as above; no dim is negative, so both types read alike.
    Ok(Shape::new(unsafe { std::slice::from_raw_parts(shape.cast::<usize>(), rank as usize) }))
}

/// What a descriptor says of itself, checked: all but whose the memory is.
#[derive(Debug)]
pub struct Described {
    /// The type of the elements.
    pub dtype: DataType,
    /// The dims.
    pub shape: Shape,
    /// The memory; dangling if there is none.
    pub data: NonNull<u8>,
    /// Its length in bytes.
    pub len: usize,
    /// The offsets of `BYTES` and their length in bytes.
    pub offsets: Option<(NonNull<u8>, usize)>,
    /// What must have happened before the memory may be touched.
    pub ready: Ready,
}

/// Checks a descriptor of the other side.
///
/// # Errors
/// [`crate::ErrorKind::Unsupported`] for types, strides and events that are not known;
/// [`crate::ErrorKind::InvalidArg`] for one that contradicts itself.
///
/// # Safety
/// `tensor` is what its type says.
#[inline]
pub unsafe fn described(tensor: &inferlay_abi_tensor) -> Result<Described, Error> {
    let dtype = dtype(tensor.dtype)?;
    // SAFETY: the caller's promise.
    let shape = unsafe { shape(tensor.shape, tensor.rank) }?;
    if !tensor.strides.is_null() {
        return Err(Error::unsupported("tensor: found strides, expected dense memory"));
    }
    let len = usize::try_from(tensor.len).map_err(|_| Error::invalid_arg("tensor: its length overflows"))?;
    let data = match NonNull::new(tensor.data.cast()) {
        Some(data) => data,
        None if len == 0 => NonNull::<u64>::dangling().cast(),
        None => return Err(Error::invalid_arg(format!("tensor: found no data, expected {len} bytes"))),
    };
    let offsets = match (dtype, NonNull::new(tensor.offsets.cast_mut())) {
        (DataType::Bytes, Some(offsets)) => Some((offsets.cast(), offsets_len(&shape)?)),
        (DataType::Bytes, None) => return Err(Error::invalid_arg("tensor of BYTES: found no offsets")),
        _ => None,
    };
    let ready = match tensor.ready_kind {
        INFERLAY_ABI_READY_NOW => Ready::Now,
        INFERLAY_ABI_READY_EVENT => Ready::Event(tensor.ready as usize),
        INFERLAY_ABI_READY_STREAM => Ready::Stream(tensor.ready as usize),
        kind => return Err(Error::unsupported(format!("tensor: found ready kind {kind}, which is not known"))),
    };
    Ok(Described { dtype, shape, data, len, offsets, ready })
}

fn offsets_len(shape: &Shape) -> Result<usize, Error> {
    let count = shape.elements().and_then(|elements| elements.checked_add(1));
    let len = count.and_then(|count| count.checked_mul(8));
    len.ok_or_else(|| Error::invalid_arg(format!("tensor of shape {shape}: its size overflows")))
}

impl Described {
    /// The tensor, over memory that is only borrowed: clones of it are copies.
    ///
    /// # Errors
    /// Those of [`Tensor::new`] and [`Tensor::new_bytes`].
    ///
    /// # Safety
    /// The memory is the host's, readable and unchanged for as long as the tensor exists.
    #[inline]
    pub unsafe fn borrowed(self) -> Result<Tensor, Error> {
        // SAFETY: the caller's promise.
        let data = unsafe { Buffer::borrowed(self.data, self.len) };
        match self.offsets {
            None => Tensor::new(self.dtype, self.shape, data),
            Some((offsets, len)) => {
                // SAFETY: the caller's promise; there is one offset more than elements.
                let offsets = unsafe { Buffer::borrowed(offsets, len) };
                Tensor::new_bytes(self.shape, data, offsets)
            }
        }
        .map(|tensor| tensor.with_ready(self.ready))
    }
}
