//! Memory of a caller that waits: read as an input or written as an output, without a copy.
//!
//! The borrow ends with the release of the request, not with its answer: a blocking call returns only when nothing of
//! the engine can reach the memory any more. That promise is made by `flow` and is what makes the two functions here
//! sound; the lifetime is erased because the memory travels through queues.

use inferlay_backend_sdk::{Buffer, Element};
use std::ptr::NonNull;

/// An input that lies in the caller's memory. Its clones are copies, so that none outlives the borrow.
///
/// The caller of this function must keep `elements` borrowed until the buffer is dropped; `tensor::Input` carries the
/// lifetime, and only blocking calls, which wait for the release, take an input whose lifetime is not `'static`.
pub(crate) fn borrow<T: Element>(elements: &[T]) -> Buffer {
    // SAFETY: the memory is readable now and stays so while the lifetime in `tensor::Input` lasts, which a blocking
    // call outlives; see the module's documentation.
    unsafe { Buffer::borrowed(NonNull::from(elements).cast(), size_of_val(elements)) }
}

/// Memory that a waiting caller lent for one output.
#[derive(Debug)]
pub(crate) struct Lent {
    pointer: NonNull<u8>,
    len: usize,
}

// SAFETY: an exclusive borrow of plain bytes may be sent to another thread.
unsafe impl Send for Lent {}
// SAFETY: a shared `Lent` gives no access to the bytes.
unsafe impl Sync for Lent {}

impl Lent {
    /// Lends `elements` until the request is released; see the module's documentation for why that is sound.
    pub(crate) fn new<T: Element>(elements: &mut [T]) -> Self {
        Lent { len: size_of_val(elements), pointer: NonNull::from(elements).cast() }
    }

    /// Memory of a caller by its address.
    ///
    /// # Safety
    /// The memory is good for writing and nobody else's until the engine has released the request that it goes to.
    #[cfg(feature = "capi")]
    pub(crate) unsafe fn from_raw(pointer: NonNull<u8>, len: usize) -> Self {
        Lent { pointer, len }
    }

    /// Where it lies, as a number.
    pub(crate) fn address(&self) -> usize {
        self.pointer.as_ptr().expose_provenance()
    }

    /// How many bytes there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn pointer(&self) -> NonNull<u8> {
        self.pointer
    }

    /// The first `len` bytes of it alone; all of it when it is shorter.
    pub(crate) fn truncate(mut self, len: usize) -> Self {
        self.len = self.len.min(len);
        self
    }

    /// Copies `bytes` to the beginning; they must fit.
    pub(crate) fn write(&mut self, bytes: &[u8]) {
        assert!(bytes.len() <= self.len, "an output that does not fit was let through");
        // SAFETY: the memory is exclusively lent, `bytes` fits (checked above) and cannot overlap an exclusive borrow.
        unsafe { self.pointer.copy_from_nonoverlapping(NonNull::from(bytes).cast(), bytes.len()) };
    }

    /// Ends writing: the bytes as a buffer that lives no longer than the caller's borrow.
    pub(super) fn share(self) -> Buffer {
        // SAFETY: the caller's exclusive borrow lasts until the release, and `self`, the only writer, is gone.
        unsafe { Buffer::borrowed(self.pointer, self.len) }
    }
}
