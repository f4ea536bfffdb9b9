//! Ragged batches by tract, through a server.

#![allow(clippy::unwrap_used, reason = "a test stops where something fails")]

#[path = "../../onnxruntime/tests/models/mod.rs"]
mod models;
#[path = "../../../tests/common/ragged.rs"]
mod suite;

use inferlay_backend_sdk::Backend;
use inferlay_backend_tract::TractBackend;
use std::sync::Arc;

/// The backend that the tests are about.
fn backend() -> Arc<dyn Backend> {
    Arc::new(TractBackend)
}
