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
pub use backend::ModelBatch;
pub use config::{CallerRuns, ModelConfig};
pub use flow::{CancelToken, Refused, Request, Response};
pub use inferlay_backend_sdk::{
    Backend, DataType, Device, Error, ErrorKind, LogLevel, ParameterValue, RequestInfo, TensorMut,
};
pub use observe::{Cut, DurationStatistics, LogRecord, ModelStatistics, Trace};
pub use server::{
    ModelHandle, ModelMetadata, ModelState, ModelStatus, Progress, ResponseFuture, ServerBuilder, ServerHandle,
    TensorMetadata,
};
pub use sync::ManualClock;
pub use tensor::{Buffer, Element, Input, OutputMemory, Shape, Tensor, TensorRef};
#[cfg(feature = "ndarray")]
pub use tensor::{IntoTensor, ToNdarray};
