//! Inference, inlaid: a model server that is a library.
#![deny(unsafe_code)]
#![allow(dead_code, unused_imports, unreachable_pub)]
#[allow(unsafe_code)]
mod backend;
pub mod config;
mod flow;
#[allow(unsafe_code)]
mod memory;
mod observe;
mod repository;
mod server;
#[allow(unsafe_code)]
mod sync;
#[allow(unsafe_code)]
mod tensor;
pub use config::ModelConfig;
pub use flow::{CancelToken, Refused, Request, Response};
pub use observe::Cut;
pub use inferlay_backend_sdk::{Error, ErrorKind, DataType};
pub use sync::ManualClock;
pub use tensor::{Input, Tensor};
