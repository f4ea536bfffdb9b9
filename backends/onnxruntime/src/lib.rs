//! ONNX by ONNX Runtime: the backend for whatever tract does not run, and for accelerators.
//!
//! ```text
//!   library -> runtime: libonnxruntime and its one environment, whose threads all models share
//!   file + external: what the model file refers to, looked at before the runtime reads it   `-- names: those not true
//!   parameters -> settings -> network: one session per model      `-- cache: its optimised graph on disk
//!   instance: checks inputs, runs the session over the memory they lie in, hands outputs over
//!   watch: one thread that interrupts executions nobody waits for
//!   raw: the C API, and all that is unsafe
//! ```
//!
//! Invariants: 1. without the runtime's library a load is `UNAVAILABLE` and says what to install; nothing panics and
//! nothing is downloaded. 2. Weights outside the model's folder are never read, and no file of a model is executed:
//! libraries of custom operators come from the one folder that the server names. 3. An execution provider that cannot be
//! had is an error. 4. The weights of a model exist once, however many instances it has.
//!
//! The README beside this crate says where the runtime is found and which parameters a model may have. Loads run on any
//! thread, executions on whichever thread calls: the runtime's own threads only help.

#![deny(unsafe_code)]

mod cache;
mod external;
mod file;
#[cfg(test)]
#[path = "../tests/impatient/mod.rs"]
mod impatient;
mod instance;
mod library;
#[cfg(test)]
#[path = "../tests/models/mod.rs"]
mod models;
mod names;
mod network;
mod options;
mod parameters;
#[allow(unsafe_code)]
mod raw;
mod refusal;
mod runtime;
mod settings;
mod signature;
#[cfg(test)]
#[path = "../tests/runtime/mod.rs"]
mod testing;
mod watch;

// The tests' modules name the crate as those outside of it do.
#[cfg(test)]
extern crate self as inferlay_backend_onnxruntime;

pub use options::Options;

use inferlay_backend_sdk::{
    Attributes, Backend, Error, Instance, InstanceSpec, Model, ModelSource, Placement, Signature,
};
use network::Network;
use runtime::Runtime;
use std::collections::BTreeMap;
use std::sync::Arc;

#[cfg(feature = "plugin")]
inferlay_backend_sdk::export_backend!(onnxruntime, OnnxRuntimeBackend);

/// The backend named `onnxruntime`.
///
/// Making one loads nothing: the runtime's library is looked for when the first model is loaded.
///
/// # Examples
/// ```
/// use inferlay_backend_onnxruntime::OnnxRuntimeBackend;
/// use inferlay_backend_sdk::Backend;
/// let backend = OnnxRuntimeBackend::default();
/// assert_eq!((backend.name(), backend.file_names()[0]), ("onnxruntime", "model.onnx"));
/// ```
#[derive(Clone, Debug, Default)]
pub struct OnnxRuntimeBackend {
    options: Options,
}

impl OnnxRuntimeBackend {
    /// The backend with these options.
    pub fn new(options: Options) -> Self {
        OnnxRuntimeBackend { options }
    }
}

impl Backend for OnnxRuntimeBackend {
    fn name(&self) -> &str {
        "onnxruntime"
    }

    fn configured(self, options: &BTreeMap<String, String>) -> Result<Self, Error> {
        if options.is_empty() { Ok(self) } else { Options::from_pairs(options).map(Self::new) }
    }

    fn version(&self) -> &str {
        Runtime::loaded().map_or("not loaded", |runtime| &runtime.version)
    }

    fn file_names(&self) -> &[&str] {
        &["model.onnx", ".onnx"]
    }

    fn attributes(&self) -> Attributes {
        // A session belongs to no thread, and the calling one takes part in every execution.
        Attributes::CALLER_OK | Attributes::PARALLEL_LOAD
    }

    fn load(&self, source: &ModelSource<'_>) -> Result<Box<dyn Model>, Error> {
        let runtime = Runtime::load(&self.options)?;
        let network = refusal::contained(|| Network::load(runtime, &self.options, source));
        let network = network.map_err(|error| error.at(format!("file '{}'", source.file_name)))?;
        Ok(Box::new(OnnxRuntimeModel { network: Arc::new(network) }))
    }
}

struct OnnxRuntimeModel {
    network: Arc<Network>,
}

impl Model for OnnxRuntimeModel {
    fn signature(&self) -> &Signature {
        &self.network.signature
    }

    fn instance(&self, spec: &InstanceSpec) -> Result<Box<dyn Instance>, Error> {
        Ok(Box::new(instance::OnnxRuntimeInstance::new(Arc::clone(&self.network), spec)?))
    }

    fn memory_use(&self) -> Vec<(Placement, usize)> {
        // An estimate: the runtime does not tell.
        vec![(Placement::HOST, self.network.len)]
    }
}
