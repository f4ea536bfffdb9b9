//! Who owns a handle, said once per type, and how pointers of the caller become references.
//!
//! | kind | types | `_free` |
//! |---|---|---|
//! | [`Boxed`], one owner | options, tensor, status, responder, batch queue, a pulled batch, metric | frees it |
//! | counted | request (also by its flight), queue (also by submissions), response | gives one count up |
//! | kept | server | stops it; a small stone stays, so that a stale pointer is noticed |
//! | lent | any other batch | does nothing: it ends with the callback that was given it |
//!
//! A conversion that its kind does not have does not compile.

use inferlay_backend_sdk::{Error, ErrorKind};
use std::ffi::{CStr, c_char, c_void};

/// A type whose handle is its one owner.
pub(super) trait Boxed: Sized {
    /// The handle, which C now owns.
    fn into_handle(self) -> *mut Self {
        Box::into_raw(Box::new(self))
    }

    /// Takes the handle back; `None` for NULL.
    ///
    /// # Safety
    /// `handle` is NULL or came from [`Boxed::into_handle`] and was not taken back.
    unsafe fn from_handle(handle: *mut Self) -> Option<Box<Self>> {
        // SAFETY: the caller's promise.
        (!handle.is_null()).then(|| unsafe { Box::from_raw(handle) })
    }
}

/// A pointer of the caller as a reference for the call.
///
/// # Errors
/// `INVALID_ARG`, naming the parameter, when it is NULL.
///
/// # Safety
/// `pointer` is NULL or good for shared access during the call.
pub(super) unsafe fn borrow<'a, T>(pointer: *const T, parameter: &'static str) -> Result<&'a T, Error> {
    // SAFETY: the caller's promise.
    unsafe { pointer.as_ref() }.ok_or_else(|| null(parameter))
}

/// As [`borrow`], exclusively.
///
/// # Errors
/// As for [`borrow`].
///
/// # Safety
/// `pointer` is NULL or good for exclusive access during the call.
pub(super) unsafe fn borrow_mut<'a, T>(pointer: *mut T, parameter: &'static str) -> Result<&'a mut T, Error> {
    // SAFETY: the caller's promise.
    unsafe { pointer.as_mut() }.ok_or_else(|| null(parameter))
}

/// A place for a result.
///
/// # Errors
/// As for [`borrow`].
///
/// # Safety
/// `pointer` is NULL or good for writing during the call.
pub(super) unsafe fn out<'a, T>(
    pointer: *mut T,
    parameter: &'static str,
) -> Result<&'a mut std::mem::MaybeUninit<T>, Error> {
    // SAFETY: the caller's promise; nothing is read through it.
    unsafe { pointer.cast::<std::mem::MaybeUninit<T>>().as_mut() }.ok_or_else(|| null(parameter))
}

/// A text of the caller.
///
/// # Errors
/// `INVALID_ARG`, naming the parameter, when it is NULL or not UTF-8.
///
/// # Safety
/// `pointer` is NULL or a NUL-terminated string that stays as it is during the call.
pub(super) unsafe fn utf8<'a>(pointer: *const c_char, parameter: &'static str) -> Result<&'a str, Error> {
    if pointer.is_null() {
        return Err(null(parameter));
    }
    // SAFETY: the caller's promise.
    let text = unsafe { CStr::from_ptr(pointer) };
    text.to_str().map_err(|_| Error::invalid_arg(format!("{parameter}: found bytes that are not UTF-8")))
}

/// Elements of the caller; none may have no memory.
///
/// # Errors
/// `INVALID_ARG`, naming the parameter, when there are elements and `pointer` is NULL.
///
/// # Safety
/// `pointer` is NULL or good for reading `len` elements during the call.
pub(super) unsafe fn slice<'a, T>(pointer: *const T, len: usize, parameter: &'static str) -> Result<&'a [T], Error> {
    if len == 0 {
        return Ok(&[]);
    }
    if pointer.is_null() {
        return Err(null(parameter));
    }
    if !pointer.is_aligned() {
        return Err(Error::invalid_arg(format!("{parameter}: found a pointer that is not aligned to its type")));
    }
    if len > isize::MAX as usize / size_of::<T>().max(1) {
        return Err(Error::invalid_arg(format!("{parameter}: {len} elements are more than memory holds")));
    }
    // SAFETY: the caller's promise; the length was checked above.
    Ok(unsafe { std::slice::from_raw_parts(pointer, len) })
}

fn null(parameter: &'static str) -> Error {
    Error::new(ErrorKind::InvalidArg, format!("{parameter}: found NULL"))
}

/// A pointer that only the caller knows the meaning of, and who promises that any thread may bring it back.
#[derive(Clone, Copy, Debug)]
pub(super) struct UserData(pub(super) *mut c_void);

// SAFETY: it is never followed here; every function that takes one says on which threads it comes back.
unsafe impl Send for UserData {}
// SAFETY: as for `Send`.
unsafe impl Sync for UserData {}
