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
//! # A whole backend
//!
//! It loads the text of a number, and multiplies by it. [`Backend`] is handed to `ServerBuilder::backend`.
//!
//! ```
//! use inferlay_backend_sdk::*;
//!
//! struct Scale;
//!
//! impl Backend for Scale {
//!     fn name(&self) -> &str { "scale" }
//!     fn version(&self) -> &str { "1" }
//!     fn file_names(&self) -> &[&str] { &["factor.txt"] }
//!     fn load(&self, source: &ModelSource<'_>) -> Result<Box<dyn Model>, Error> {
//!         let text = String::from_utf8_lossy(&source.files.read(source.file_name)?).into_owned();
//!         let factor = text.trim().parse().map_err(|_| Error::invalid_arg(format!("found '{text}', expected a number")))?;
//!         let tensor = |name: &str| TensorSpec {
//!             name: name.to_owned(), dtype: DataType::Fp32, dims: Some(vec![-1, 1]), optional: false,
//!         };
//!         let signature = Signature { inputs: vec![tensor("x")], outputs: vec![tensor("y")], batches: true };
//!         Ok(Box::new(Scaling { factor, signature }))
//!     }
//! }
//!
//! struct Scaling { factor: f32, signature: Signature }
//!
//! impl Model for Scaling {
//!     fn signature(&self) -> &Signature { &self.signature }
//!     fn instance(&self, _spec: &InstanceSpec) -> Result<Box<dyn Instance>, Error> {
//!         Ok(Box::new(Scaler(self.factor)))
//!     }
//! }
//!
//! struct Scaler(f32);
//!
//! impl Instance for Scaler {
//!     fn execute(&mut self, batch: &dyn Batch) -> Result<(), Error> {
//!         let x = batch.input(0, Placement::HOST)?;
//!         let y = batch.output_buffer(0, x.shape().clone())?.as_mut_slice::<f32>()?;
//!         y.iter_mut().zip(x.as_slice::<f32>()?).for_each(|(y, x)| *y = self.0 * x);
//!         Ok(())
//!     }
//! }
//! # assert_eq!(Scale.file_names(), ["factor.txt"]);
//! ```
//!
//! Every trait maps one to one onto the table of the plugin ABI; the crate has no dependencies.

#![deny(unsafe_code)]

#[allow(unsafe_code)]
pub mod abi;
mod backend;
mod batch;
#[allow(unsafe_code)]
mod buffer;
#[cfg(any(test, feature = "conformance"))]
#[allow(unsafe_code)]
pub mod conformance;
mod dtype;
mod error;
mod json;
mod memory;
mod ragged;
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
pub use ragged::Ragged;
pub use request::{Release, Request, RequestTable, Responder, ResponderTable, ResponseFlags, Sent};
pub use shape::Shape;
pub use tensor::{Tensor, TensorMut, TensorRef};
