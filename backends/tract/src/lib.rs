//! ONNX by tract: the backend that is linked into every program.
//!
//! ```text
//!   bytes --file--> checked proto --plans----> one plan for any batch size, now
//!                        |                     plans for the sizes that come often, built by `builder` off the hot path
//!                        `--signature--> names, types, dims        `-- shelf: which shapes have a plan (bounded)
//!   instance: checks shapes, copies inputs once into tract's memory, runs, hands outputs over without a copy
//! ```
//!
//! Invariants: 1. a file, however broken, is an error and never a crash: sizes, external data and nesting are checked
//! before tract sees them, and a panic inside tract while loading becomes an error. 2. External data is read through
//! [`ModelFiles`] only, so it never leads out of the model's folder. 3. No plan is built while a request waits, unless
//! tract cannot plan the model for unknown sizes at all. 4. Plans are bounded in number and by the weights' size. 5. No
//! plan runs on shapes that it was not made or checked for: tract itself does not look, and would read past its weights.
//!
//! Loads run on any thread; instances execute on one thread at a time; one background thread per process builds plans,
//! and only while there are plans to build.
//!
//! | parameter   | meaning                                                             | default |
//! |-------------|---------------------------------------------------------------------|---------|
//! | `plans_max` | how many shapes may have a plan of their own beside the general one | 8       |
//!
//! [`ModelFiles`]: inferlay_backend_sdk::ModelFiles

// An exported symbol is unsafe code, as two of one name would clash.
#![cfg_attr(not(feature = "plugin"), forbid(unsafe_code))]
#![cfg_attr(feature = "plugin", deny(unsafe_code))]

mod builder;
mod external;
mod file;
mod instance;
#[cfg(test)]
#[path = "../tests/models/mod.rs"]
mod models;
mod network;
mod plans;
mod refusal;
mod shelf;
mod signature;
mod tensors;
mod threads;

use inferlay_backend_sdk::{
    Backend, Error, Instance, InstanceSpec, LogLevel, Model, ModelSource, Placement, Signature,
};
use network::Network;
use std::sync::Arc;

/// The version of tract that is linked in.
const TRACT_VERSION: &str = "0.23.9";

/// The backend named `tract`.
///
/// # Examples
/// ```
/// use inferlay_backend_sdk::Backend;
/// use inferlay_backend_tract::TractBackend;
/// assert_eq!((TractBackend.name(), TractBackend.file_names()[0]), ("tract", "model.onnx"));
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct TractBackend;

#[cfg(feature = "plugin")]
inferlay_backend_sdk::export_backend!(tract, TractBackend);

impl Backend for TractBackend {
    fn name(&self) -> &str {
        "tract"
    }

    fn version(&self) -> &str {
        TRACT_VERSION
    }

    fn file_names(&self) -> &[&str] {
        &["model.onnx", ".onnx"]
    }

    fn load(&self, source: &ModelSource<'_>) -> Result<Box<dyn Model>, Error> {
        let load = || {
            let proto = file::read(source)?;
            let plans_max = network::plans_max(source.parameters)?;
            let network = Network::new(proto, &source.ragged(), plans_max)?;
            if let Some(reason) = network.general_refusal() {
                let message =
                    format!("'{}': no plan for unknown sizes, each is planned when it comes: {reason}", source.name);
                source.host.log(LogLevel::Warning, &message);
            }
            Ok(Box::new(TractModel { network: Arc::new(network) }) as Box<dyn Model>)
        };
        refusal::contained(load).map_err(|error| error.at(format!("file '{}'", source.file_name)))
    }
}

struct TractModel {
    network: Arc<Network>,
}

impl Model for TractModel {
    fn signature(&self) -> &Signature {
        self.network.signature()
    }

    fn instance(&self, spec: &InstanceSpec) -> Result<Box<dyn Instance>, Error> {
        Ok(Box::new(instance::TractInstance::new(Arc::clone(&self.network), spec)?))
    }

    fn memory_use(&self) -> Vec<(Placement, usize)> {
        vec![(Placement::HOST, self.network.memory_use())]
    }

    fn trim(&self) {
        self.network.trim();
    }
}
