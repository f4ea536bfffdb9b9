//! What the runtime says while a model loads: kept, then passed on to the server's log; it never prints.
//!
//! Any thread; a session keeps its log as long as it lives, because the runtime may write there until it is released.

use ort::session::builder::SessionBuilder;
use ort::sys::OrtLoggingLevel;
use ort::{AsPointer, Error};
use std::ffi::{CStr, c_char, c_void};
use std::sync::{Arc, Mutex, PoisonError};

/// More than this of one load helps nobody.
const MESSAGES_MAX: usize = 16;

/// Where one session writes.
#[derive(Debug, Default)]
pub(crate) struct Log(Mutex<Messages>);

#[derive(Debug, Default)]
struct Messages {
    kept: Vec<String>,
    closed: bool,
}

impl Log {
    /// Has the session that is made of these options write here. The log must live as long as the session, which
    /// [`super::Session`] sees to.
    ///
    /// # Errors
    /// What the runtime says.
    pub(super) fn attach(self: &Arc<Self>, options: &mut SessionBuilder) -> Result<(), Error> {
        let sink = Arc::as_ptr(self).cast_mut().cast();
        // SAFETY: the options are alive; `write` expects a `Log` behind the pointer, which the session keeps alive.
        super::outcome(unsafe { (ort::api().SetUserLoggingFunction)(options.ptr_mut(), write, sink) })
    }

    /// What was said so far; nothing is kept from now on.
    pub(crate) fn close(&self) -> Vec<String> {
        let mut messages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        messages.closed = true;
        std::mem::take(&mut messages.kept)
    }

    fn keep(&self, message: &CStr) {
        let mut messages = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !messages.closed && messages.kept.len() < MESSAGES_MAX {
            messages.kept.push(message.to_string_lossy().into_owned());
        }
    }
}

/// The runtime's logging function; `sink` is a [`Log`].
unsafe extern "system" fn write(
    sink: *mut c_void,
    _severity: OrtLoggingLevel,
    _category: *const c_char,
    _id: *const c_char,
    _place: *const c_char,
    message: *const c_char,
) {
    if message.is_null() {
        return;
    }
    // SAFETY: `attach` gave a pointer to a log that outlives the session.
    let log = unsafe { &*sink.cast::<Log>() };
    // SAFETY: the runtime passes a text that ends with a zero and lives as long as the call.
    log.keep(unsafe { CStr::from_ptr(message) });
}
