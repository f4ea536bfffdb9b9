//! What a backend implements, and what the engine offers it.
//!
//! A backend turns the files of a model into something that answers batches. Three objects carry it, each with its own
//! lifetime: a [`Backend`] (one per process and framework), a [`Model`] (the weights of one version) and an
//! [`Instance`] (what one execution at a time needs). The engine calls; the backend answers through the [`Batch`] it is
//! given, or takes single [`Request`]s out of it and answers them later.
//!
//! ```text
//!   Backend::load(source) -> Model::instance(spec) -> Instance::execute(batch)
//!                                                       |-- batch.input(i)          gathered on demand
//!                                                       |-- batch.output_buffer(i)  written in place, or
//!                                                       |-- batch.output(i, tensor) handed over without a copy
//!                                                       `-- batch.take(r)           owned until released
//! ```
//!
//! Three ends are separate: the instance is ready for more, the inputs are let go, the final response is sent. For a
//! backend that answers inside `execute` all three fall together when it returns.
//!
//! Every trait maps one to one onto the table of the plugin ABI; the crate has no dependencies.

#![deny(unsafe_code)]

mod backend;
mod batch;
#[allow(unsafe_code)]
mod buffer;
#[cfg(any(test, feature = "conformance"))]
#[allow(unsafe_code)]
pub mod conformance;
mod dtype;
mod error;
mod memory;
#[allow(unsafe_code)]
mod request;
mod shape;
#[allow(unsafe_code)]
mod tensor;

pub use backend::{
    Attributes, Backend, Host, Instance, InstanceSpec, LogLevel, Model, ModelFiles, ModelSource, Signature, TensorSpec,
};
pub use batch::{Batch, ParameterValue, RequestInfo};
pub use buffer::{Buffer, BufferTable};
pub use dtype::{DataType, Element};
pub use error::{Error, ErrorKind};
pub use memory::{Device, MemoryKind, Placement, Ready};
pub use request::{Release, Request, RequestTable, Responder, ResponderTable, ResponseFlags, Sent};
pub use shape::Shape;
pub use tensor::{Tensor, TensorMut, TensorRef};
