//! Inference, inlaid: a model server that is a library.
#![deny(unsafe_code)]
#![allow(dead_code, unused_imports, unreachable_pub)]
#[allow(unsafe_code)]
mod backend;
mod flow;
#[allow(unsafe_code)]
mod memory;
mod observe;
#[allow(unsafe_code)]
mod sync;
#[allow(unsafe_code)]
mod tensor;
pub use flow::{CancelToken, Refused, Request, Response};
pub use observe::Cut;
pub use inferlay_backend_sdk::{Error, ErrorKind};
pub use sync::ManualClock;
pub use tensor::{Input, Tensor};
