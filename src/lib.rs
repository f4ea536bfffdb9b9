//! Inference, inlaid: a model server that is a library.
#![deny(unsafe_code)]
#![allow(dead_code, unused_imports, unreachable_pub)]
mod flow;
#[allow(unsafe_code)]
mod memory;
#[allow(unsafe_code)]
mod sync;
#[allow(unsafe_code)]
mod tensor;
pub use flow::Cut;
pub use inferlay_backend_sdk::{Error, ErrorKind};
pub use sync::ManualClock;
pub use tensor::{Input, Tensor};
