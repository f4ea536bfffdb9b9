//! Inference, inlaid: a model server that is a library.
//!
//! A program links Inferlay and gets what people run a model server for, in its own process: a folder of models and
//! their versions, dynamic batching, bounded queues, deadlines, cancellation, statistics and traces.
//!
//! # A first answer
//!
//! A [`ServerHandle`] serves models; [`ServerHandle::open`] loads a folder of them or one file. Here the model is a
//! function of the program, which is served like any other:
//!
//! ```
//! use inferlay::{DataType, Input, ModelConfig, Request, ServerHandle};
//!
//! let server = ServerHandle::builder().start()?;
//! let config = ModelConfig::new("sum")
//!     .input("numbers", DataType::Fp32, [-1])
//!     .output("sum", DataType::Fp32, [1])
//!     .max_batch_size(64);
//! let sum = server.register_model(config, |batch| {
//!     let numbers = batch.input("numbers")?;
//!     let (rows, numbers) = (batch.rows(), numbers.as_slice::<f32>()?);
//!     let sums = batch.output("sum", [rows, 1])?.as_mut_slice::<f32>()?;
//!     sums.iter_mut().zip(numbers.chunks(numbers.len() / rows)).for_each(|(sum, row)| *sum = row.iter().sum());
//!     Ok(())
//! })?;
//!
//! let numbers = [1.0f32, 2.0, 3.0, 4.0];
//! let request = Request::new().input("numbers", Input::from_slice(&numbers, [2, 2])?);
//! let response = sum.infer(request)?;
//! assert_eq!(response.slice::<f32>("sum")?, [3.0, 7.0]);
//! # Ok::<(), inferlay::Error>(())
//! ```
//!
//! A [`ModelHandle`] has resolved a model's name once. A [`Request`] names its inputs; where the model batches, the first
//! dim of each is the number of rows. A [`Response`] is read where the model wrote it.
//!
//! # Four ways to ask
//!
//! | call | waits | inputs | answer |
//! |---|---|---|---|
//! | [`ModelHandle::infer`] | yes; may execute on this very thread | owned or borrowed | returned |
//! | [`ModelHandle::infer_async`] | no | owned | a [`ResponseFuture`], for any runtime or to wait for |
//! | [`ModelHandle::infer_callback`] | no | owned | passed to a function, on a thread of the engine |
//! | [`ModelHandle::infer_stream`] | no | owned | [`Responses`], as they come: for models that send several |
//!
//! Requests that wait at the same time run as one batch, up to the model's `max_batch_size`:
//!
//! ```
//! # use inferlay::{DataType, Error, ModelBatch, ServerHandle, Tensor, Request};
//! use inferlay::config::{DynamicBatching, ModelConfig};
//! # fn negate(batch: &ModelBatch<'_>) -> Result<(), Error> {
//! #     let x = batch.input("x")?.as_slice::<i64>()?;
//! #     let y = batch.output("y", [batch.rows()])?.as_mut_slice::<i64>()?;
//! #     y.iter_mut().zip(x).for_each(|(y, x)| *y = -x);
//! #     Ok(())
//! # }
//! let server = ServerHandle::builder().start()?;
//! let config = ModelConfig::new("negate")
//!     .input("x", DataType::Int64, [])
//!     .output("y", DataType::Int64, [])
//!     .max_batch_size(8)
//!     .dynamic_batching(DynamicBatching { delay_us_max: 1_000_000, ..DynamicBatching::default() });
//! let model = server.register_model(config, negate)?;
//! let ask = |x: i64| Ok(model.infer_async(Request::new().input("x", Tensor::from_vec(vec![x], [1])?))?);
//! let futures = (0..8).map(ask).collect::<Result<Vec<_>, Error>>()?;
//! for (x, future) in (0..8).zip(futures) {
//!     assert_eq!(future.wait()?.slice::<i64>("y")?, [-x]);
//! }
//! # Ok::<(), inferlay::Error>(())
//! ```
//!
//! # Limits
//!
//! Whatever goes wrong is an [`Error`] with an [`ErrorKind`] and a message that names the place, what was found and what
//! was expected. A request that is not let in comes back in [`Refused`]:
//!
//! ```
//! # use inferlay::{DataType, ModelConfig, ServerHandle, Tensor};
//! use inferlay::{CancelToken, ErrorKind, Request};
//! use std::time::Duration;
//! # let server = ServerHandle::builder().start()?;
//! # let config = ModelConfig::new("first").input("x", DataType::Fp32, [2]).output("y", DataType::Fp32, [1]);
//! # let model = server.register_model(config, |batch| {
//! #     batch.output("y", [1])?.as_mut_slice::<f32>()?[0] = batch.input("x")?.as_slice::<f32>()?[0];
//! #     Ok(())
//! # })?;
//! let request = Request::new().input("x", Tensor::from_vec(vec![1.0f32; 3], [3])?);
//! let refused = model.infer_async(request).unwrap_err();
//! assert_eq!(refused.error.kind(), ErrorKind::InvalidArg);
//! let _mine_again = refused.request;
//!
//! let token = CancelToken::new();
//! let request = Request::new().input("x", Tensor::from_vec(vec![1.0f32; 2], [2])?);
//! let future = model.infer_async(request.timeout(Duration::from_secs(1)).cancel_with(&token))?;
//! assert_eq!(future.wait()?.slice::<f32>("y")?, [1.0]);
//! # Ok::<(), inferlay::Error>(())
//! ```
//!
//! # Where to go on
//!
//! - [`ServerBuilder`]: several folders, options, progress, the log. [`config`]: what a model's `config.yaml` may say.
//! - [`ModelHandle::statistics`], [`ServerHandle::models`], [`ServerHandle::traces_json`]: what happens inside.
//! - [`ServerHandle::register_pulled_model`]: batches that threads of the program pull, instead of being called.
//! - [`Backend`], and the crate `inferlay-backend-sdk`: other frameworks. [`ManualClock`]: tests without waiting.
//!
//! # Cargo features
//!
//! - `tract`, on by default: the ONNX backend. It takes minutes to compile; leave it out of builds that need no ONNX.
//! - `ndarray`, on by default: `ndarray` arrays as inputs, and tensors as views of arrays.
//! - `integrity`, on by default: models that are sealed by a manifest of sums, which may be signed, see [`seal()`].
//! - `object-store`: repositories in S3, Google Cloud Storage, Azure and WebDAV, see `ServerBuilder::repository_url`.
//!   A program that speaks TLS by `rustls` itself sets its own provider before; else `ring` is set for the process.
//!
//! The library opens no socket but to an object store that it is given the URL of, prints nothing and installs no handler
//! of any kind.
#![deny(unsafe_code)]

#[allow(unsafe_code)]
mod backend;
#[cfg(feature = "capi")]
#[allow(unsafe_code)]
mod capi;
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
pub use backend::{BatchQueue, ModelBatch, PulledBatch};
pub use config::{CallerRuns, ModelConfig};
pub use flow::{CancelToken, Class, Refused, Request, Response};
pub use inferlay_backend_sdk::{
    Backend, DataType, Device, Error, ErrorKind, LogLevel, ParameterValue, RequestInfo, Responder, ResponseFlags,
    TensorMut,
};
pub use observe::{
    BatchStatistics, Cut, DurationStatistics, LogRecord, MetricCounter, MetricGauge, MetricHistogram, ModelStatistics,
    Trace, TraceEnd,
};
#[cfg(feature = "object-store")]
pub use repository::UrlOptions;
#[cfg(feature = "integrity")]
pub use repository::{Algorithm, PublicKey, SealReport, SigningKey, seal};
pub use repository::{FolderSource, Source, SourceFile};
pub use server::{
    BackendStatus, Finding, LoadOptions, ModelHandle, ModelMetadata, ModelState, ModelStatus, Operation,
    PagingStatistics, PollOptions, Progress, Repository, ResponseFuture, Responses, ServerBuilder, ServerHandle,
    Severity, Subscription, TensorMetadata,
};
pub use sync::ManualClock;
pub use tensor::{Buffer, Element, Input, OutputMemory, Shape, Tensor, TensorRef};
#[cfg(feature = "ndarray")]
pub use tensor::{IntoTensor, ToNdarray};

/// The README's examples, which are tested with the documentation.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

/// The examples of the page for whoever runs the engine, as well.
#[cfg(doctest)]
#[doc = include_str!("../docs/operations.md")]
struct Operations;
