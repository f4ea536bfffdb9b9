//! Tensors on their own: outputs that were detached from their response.

use super::door::{door, free_door};
use super::handle::{Boxed, borrow};
use super::status::Status;
use super::types::View;
use inferlay_backend_sdk::{Error, ErrorKind};

/// A tensor that owns a share of its memory. Any number of threads may read it at once.
pub struct Tensor(pub(super) inferlay_backend_sdk::Tensor);

impl Boxed for Tensor {}

/// What to look at of a tensor.                                                           [any thread] [never blocks]
///
/// `view`: filled on success; what it points to lives until the tensor is freed.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_tensor_view(tensor: *const Tensor, view: *mut View) -> *mut Status {
    door(|| {
        // SAFETY: the caller's promise.
        let tensor = unsafe { borrow(tensor, "tensor") }?;
        // SAFETY: the caller's promise.
        unsafe { View::of(tensor.0.view())?.fill(view) }
    })
}

/// Frees a tensor.                                                                        [any thread] [never blocks]
///
/// `tensor`: taken; NULL does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_tensor_free(tensor: *mut Tensor) {
    // SAFETY: the caller's promise.
    free_door(|| drop(unsafe { Tensor::from_handle(tensor) }));
}

/// The caller's buffer does not hold what was to be written there.
pub(super) fn too_small(found: usize, expected: usize) -> Error {
    Error::new(ErrorKind::ResourceExhausted, format!("buffer: found {found} bytes, expected {expected}"))
}
