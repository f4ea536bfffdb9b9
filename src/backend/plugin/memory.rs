//! Memory that a plugin hands over, as tensors of the engine: without a copy, and without an allocation in the steady
//! state.
//!
//! Invariant: `release` of a descriptor that was adopted runs exactly once, on whatever thread lets go last, also when the
//! descriptor is refused; the core lives until it has run.

use super::core::Core;
use crate::sync::{Home, Pool, Pooled};
use crate::tensor::gather;
use inferlay_backend_sdk::abi::{
    INFERLAY_ABI_READY_NOW, describe, described, inferlay_abi_tensor, read, read_placement, shape,
};
use inferlay_backend_sdk::{Buffer, BufferTable, Error, ErrorKind, Shape, Tensor, TensorRef};
use std::cell::RefCell;
use std::ffi::c_void;
use std::ptr::NonNull;
use std::sync::Arc;

/// Counts that lie idle, at most.
const IDLE_MAX: usize = 256;

/// The pool of counts of foreign memory.
pub(super) struct Foreign {
    pool: Pool<Foreign>,
}

/// Memory of a plugin, until the last count goes.
pub(super) struct Loan {
    release: Option<Release>,
    core: Option<Arc<Core>>,
}

struct Release {
    function: unsafe extern "C" fn(*mut c_void, u32, u64),
    data: *mut c_void,
}

// SAFETY: the ABI lets `release` run on any thread.
unsafe impl Send for Release {}
// SAFETY: as for `Send`; it is used once, exclusively.
unsafe impl Sync for Release {}

impl Foreign {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Foreign { pool: Pool::new(IDLE_MAX) })
    }

    /// Frees the counts, and from now on those that come home: idle ones would keep this alive for ever.
    pub(super) fn close(&self) {
        self.pool.close();
    }
}

impl Home for Foreign {
    type Item = Loan;

    fn pool(&self) -> &Pool<Foreign> {
        &self.pool
    }

    fn make(&self) -> Loan {
        Loan { release: None, core: None }
    }

    fn clear(loan: &mut Loan) {
        if let Some(Release { function, data }) = loan.release.take() {
            // SAFETY: the plugin's promise: once, on any thread, before `backend_free`, which waits for `core`. The host
            // has queued nothing on a device.
            unsafe { function(data, INFERLAY_ABI_READY_NOW, 0) };
        }
        loan.core.take();
    }
}

static TABLE: BufferTable = BufferTable { retain, release };

/// # Safety
/// `owner` is a count of a loan.
unsafe fn retain(owner: NonNull<()>) {
    // SAFETY: the caller's promise; neither count is given up.
    let count = unsafe { Pooled::<Foreign>::from_raw(owner) };
    std::mem::forget(count.clone());
    std::mem::forget(count);
}

/// # Safety
/// As for `retain`; the count is given up.
unsafe fn release(owner: NonNull<()>) {
    // SAFETY: the caller's promise.
    drop(unsafe { Pooled::<Foreign>::from_raw(owner) });
}

/// Takes a tensor over from the plugin. Without a `release` its memory is copied.
///
/// # Errors
/// What is wrong with the descriptor. Its memory is let go all the same.
///
/// # Safety
/// `tensor` is null or a descriptor that keeps the promises of its type.
pub(super) unsafe fn adopt(core: &Arc<Core>, tensor: *const inferlay_abi_tensor) -> Result<Tensor, Error> {
    // SAFETY: the caller's promise.
    unsafe { check(tensor) }?;
    // SAFETY: as above; not null.
    let tensor = unsafe { read(tensor) };
    let Some(function) = tensor.release else {
        // SAFETY: the caller's promise.
        return unsafe { copy(core, &tensor) };
    };
    let mut loan = Pool::take(&core.foreign);
    if let Some(empty) = loan.only() {
        *empty = Loan { release: Some(Release { function, data: tensor.release_data }), core: Some(core.clone()) };
    }
    // From here on, whatever fails lets the memory go by dropping the loan.
    // SAFETY: the caller's promise.
    let found = unsafe { described(&tensor) }?;
    let placement = read_placement(tensor.placement)?;
    let counted = |pointer, len, loan: Pooled<Foreign>| {
        // SAFETY: the plugin promises that the memory is readable, and that nobody writes there until `release`, which
        // the loan calls when its last count goes.
        unsafe { Buffer::from_owner(pointer, len, placement, loan.into_raw(), &TABLE) }
    };
    let made = match found.offsets {
        None => Tensor::new(found.dtype, found.shape, counted(found.data, found.len, loan)),
        Some((offsets, len)) => {
            let offsets = counted(offsets, len, loan.clone());
            Tensor::new_bytes(found.shape, counted(found.data, found.len, loan), offsets)
        }
    };
    Ok(made?.with_ready(found.ready))
}

/// Refuses what is no descriptor.
///
/// # Errors
/// `INVALID_ARG` for one that is null or shorter than this ABI's first.
///
/// # Safety
/// `tensor` is null or a descriptor that keeps the promises of its type.
#[inline]
pub(super) unsafe fn check(tensor: *const inferlay_abi_tensor) -> Result<(), Error> {
    if tensor.is_null() {
        return Err(Error::fixed(ErrorKind::InvalidArg, "found null, expected a tensor"));
    }
    // SAFETY: the caller's promise; not null.
    let found = unsafe { tensor.cast::<u32>().read() };
    let least = size_of::<inferlay_abi_tensor>();
    if (found as usize) < least {
        return Err(Error::invalid_arg(format!("tensor: found a struct_size of {found}, expected at least {least}")));
    }
    Ok(())
}

/// # Safety
/// As for [`adopt`].
unsafe fn copy(core: &Core, tensor: &inferlay_abi_tensor) -> Result<Tensor, Error> {
    if !read_placement(tensor.placement)?.kind.is_host() {
        return Err(Error::unsupported("tensor: device memory without a release cannot be copied here"));
    }
    // SAFETY: the caller's promise.
    let described = unsafe { described(tensor) }?;
    // SAFETY: the memory is borrowed for this call, which the tensor does not outlive.
    let borrowed = unsafe { described.borrowed() }?;
    gather::copy(&borrowed, &core.blocks)
}

/// Fills in a descriptor of the plugin.
///
/// # Errors
/// `INVALID_ARG` for one that is null or shorter than this ABI's first.
///
/// # Safety
/// `to` is null or a descriptor of the plugin, writable as far as it says.
pub(super) unsafe fn fill(to: *mut inferlay_abi_tensor, value: &inferlay_abi_tensor) -> Result<(), Error> {
    // SAFETY: the caller's promise.
    unsafe { check(to) }?;
    // SAFETY: as above; not null.
    unsafe { inferlay_backend_sdk::abi::write(to, value) };
    Ok(())
}

/// Copies of inputs whose memory is not aligned to their type, which the ABI promises; kept as long as what they are
/// inputs of.
#[derive(Default)]
#[allow(clippy::vec_box, reason = "descriptors point at the shapes, which must stay where they are")]
pub(super) struct Aligned(RefCell<Vec<Box<Tensor>>>);

impl Aligned {
    /// A descriptor of an input, or of an aligned copy of it.
    ///
    /// # Errors
    /// Those of a copy.
    pub(super) fn describe(&self, core: &Core, tensor: &TensorRef<'_>) -> Result<inferlay_abi_tensor, Error> {
        let size = tensor.dtype().size().unwrap_or(1);
        let is_aligned = tensor.data().is_empty() || (tensor.data().pointer().as_ptr() as usize).is_multiple_of(size);
        if is_aligned || !tensor.placement().kind.is_host() {
            return Ok(describe(tensor));
        }
        let copy = Box::new(gather::copy(&tensor.to_tensor(), &core.blocks)?);
        let descriptor = describe(&copy.view());
        self.0.borrow_mut().push(copy);
        Ok(descriptor)
    }
}

/// The shape that a plugin wants an output of.
///
/// # Errors
/// `INVALID_ARG` for dims that cannot be.
///
/// # Safety
/// `dims` is null or points to `rank` dims.
pub(super) unsafe fn shape_of(dims: *const i64, rank: u32) -> Result<Shape, Error> {
    // SAFETY: the caller's promise.
    unsafe { shape(dims, rank) }
}
