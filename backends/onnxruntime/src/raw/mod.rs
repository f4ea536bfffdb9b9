//! The C API of ONNX Runtime, and the only room of this crate with `unsafe`.
//!
//! The `ort` crate finds the library, makes the environment and the options; sessions, values and runs are made here,
//! because only the C call binds memory of the caller's without a copy and runs one session from several threads.
//!
//! ```text
//!   session: model -> Session: what it says of itself, run from any thread
//!   value:   bytes that somebody lends, texts, copies -> Value
//!   run:     one execution at a time, over bytes that are lent for its length
//!   types:   what a value or a port is
//!   seat:    the batch of an execution, as another thread may see it
//!   log:     what the runtime says while a model loads
//!   process: where this library lies, which version of the runtime was loaded, what time it is
//! ```
//!
//! Invariant: every function here is called after `ort` has loaded the library, so that `ort::api()` cannot fail; only
//! [`crate::runtime`] hands out the environment that all of them need. No function of the API unwinds.

mod log;
mod process;
mod run;
mod seat;
mod session;
mod types;
mod value;

pub(crate) use log::Log;
pub(crate) use process::{folder_of_this_library, loaded_version, monotonic_ns};
pub(crate) use run::{Call, Fetched, Interrupt, Run};
pub(crate) use seat::Seat;
pub(crate) use session::{Port, Session, Source};
pub(crate) use types::{Dim, element_name, element_of};
pub(crate) use value::Value;

use ort::sys::OrtStatusPtr;

/// What a call of the API came to: takes the status over, which the call has just returned.
fn outcome(status: OrtStatusPtr) -> Result<(), ort::Error> {
    // SAFETY: the callers, all of them in this room, pass what a function of the API has returned, once.
    unsafe { ort::Error::result_from_status(status) }
}

/// What stands for a null pointer where the API promises none.
fn nothing(what: &str) -> ort::Error {
    ort::Error::new(format!("found no {what}"))
}
