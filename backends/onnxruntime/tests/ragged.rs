//! Ragged batches by ONNX Runtime, through a server.

#![allow(clippy::unwrap_used, reason = "a test stops where something fails")]

mod models;
mod runtime;
#[path = "../../../tests/common/ragged.rs"]
mod suite;

use inferlay_backend_sdk::Backend;
use std::sync::Arc;

/// The backend that the tests are about.
fn backend() -> Arc<dyn Backend> {
    Arc::new(runtime::backend())
}
