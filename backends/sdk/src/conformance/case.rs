//! What the suite needs to know of one backend: how to load a model of it, and what that model answers.

use super::{MemoryFiles, TestHost};
use crate::{Backend, Device, Error, Instance, InstanceSpec, Model, ModelSource, Signature, Tensor};
use std::collections::BTreeMap;

/// One backend with one model and what it should answer.
pub struct Case {
    /// The backend under test.
    pub backend: Box<dyn Backend>,
    /// The name of the model file among `files`; empty for a backend that needs none.
    pub file_name: String,
    /// The files of the model.
    pub files: MemoryFiles,
    /// What the config states.
    pub config: Signature,
    /// What the config states as the largest batch.
    pub batch_size_max: Option<usize>,
    /// What the config states as parameters.
    pub parameters: BTreeMap<String, String>,
    /// What the model answers; one at least.
    pub examples: Vec<Example>,
    /// How far a floating-point output may lie from the expected one, relative to its size where that exceeds 1.
    pub tolerance: f64,
}

/// Inputs and the outputs that they give, each in the order of the signature. The examples of one case agree in all but
/// the first dim, so that they can share a batch.
#[derive(Clone, Debug)]
pub struct Example {
    /// One tensor per input.
    pub inputs: Vec<Tensor>,
    /// One tensor per output.
    pub outputs: Vec<Tensor>,
}

impl Case {
    /// A case without files, config or parameters, whose outputs must be exact.
    pub fn new(backend: Box<dyn Backend>, examples: Vec<Example>) -> Self {
        Case {
            backend,
            file_name: String::new(),
            files: MemoryFiles::default(),
            config: Signature::default(),
            batch_size_max: None,
            parameters: BTreeMap::new(),
            examples,
            tolerance: 0.0,
        }
    }

    /// The same with a model file.
    #[must_use]
    pub fn with_file(mut self, name: &str, content: Vec<u8>) -> Self {
        self.files.insert(name, content);
        name.clone_into(&mut self.file_name);
        self
    }

    /// The same with a config that states inputs and outputs.
    #[must_use]
    pub fn with_config(mut self, config: Signature) -> Self {
        self.config = config;
        self
    }

    /// The same, with floating-point outputs that need not be exact.
    #[must_use]
    pub fn with_tolerance(mut self, tolerance: f64) -> Self {
        self.tolerance = tolerance;
        self
    }

    /// Loads the model.
    ///
    /// # Errors
    /// What the backend says.
    pub fn load(&self) -> Result<Box<dyn Model>, Error> {
        self.load_from(&self.file_name, &self.files)
    }

    /// Loads another file, or the same from other files.
    ///
    /// # Errors
    /// What the backend says.
    pub fn load_from(&self, file_name: &str, files: &MemoryFiles) -> Result<Box<dyn Model>, Error> {
        self.backend.load(&ModelSource {
            name: "conformance",
            version: 1,
            file_name,
            files,
            config: &self.config,
            batch_size_max: self.batch_size_max,
            parameters: &self.parameters,
            host: &TestHost,
        })
    }
}

/// An instance with one thread on the processor, which every backend must offer.
pub(super) fn instance(model: &dyn Model, index: usize) -> Result<Box<dyn Instance>, String> {
    let spec = InstanceSpec { index, device: Device::Cpu, threads_max: 1 };
    model.instance(&spec).map_err(|error| format!("instance {index}: {error}"))
}
