//! Texts that the library hands out: NUL-terminated, owned by the caller. And names that live for ever.

use super::door::free_door;
use super::handle::out;
use crate::sync::Mutex;
use inferlay_backend_sdk::Error;
use std::collections::BTreeMap;
use std::ffi::{CStr, CString, c_char};
use std::sync::OnceLock;

/// Hands a text to the caller.
///
/// # Errors
/// `INVALID_ARG` when there is no place for it.
///
/// # Safety
/// `place` is NULL or good for writing.
pub(super) unsafe fn give(text: String, place: *mut *mut c_char) -> Result<(), Error> {
    // SAFETY: the caller's promise.
    let place = unsafe { out(place, "text") }?;
    let text = CString::new(text).map_err(|_| Error::internal("a text with a NUL in it"))?;
    place.write(text.into_raw());
    Ok(())
}

/// A name as C reads it, for ever: a program has few of them, and they come again.
pub(super) fn intern(name: &str) -> *const c_char {
    static NAMES: OnceLock<Mutex<BTreeMap<String, &'static CStr>>> = OnceLock::new();
    let mut names = NAMES.get_or_init(Mutex::default).lock();
    if let Some(known) = names.get(name) {
        return known.as_ptr();
    }
    let new: &'static CStr = Box::leak(CString::new(name).unwrap_or_default().into_boxed_c_str());
    names.insert(name.to_owned(), new);
    new.as_ptr()
}

/// Frees a text that a function of this library has handed out as `char **`.             [any thread] [never blocks]
///
/// `text`: taken; NULL does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_text_free(text: *mut c_char) {
    if !text.is_null() {
        // SAFETY: the caller's promise: it came from `give`, and is given back once.
        free_door(|| drop(unsafe { CString::from_raw(text) }));
    }
}
