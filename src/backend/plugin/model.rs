//! The model of a plugin. Any thread.

use super::core::Core;
use super::instance::PluginInstance;
use crate::config::{self, PartialConfig};
use crate::sync::{AtomicUsize, Mutex, Ordering};
use inferlay_backend_sdk::abi::{inferlay_abi_placement, read_placement, read_text, signature};
use inferlay_backend_sdk::{
    DataType, Error, Instance, InstanceSpec, LogLevel, Model, ModelSource, Placement, Signature, TensorSpec,
};
use std::ffi::c_void;
use std::sync::Arc;

/// One version of a model, as the engine holds it.
pub(super) struct PluginModel {
    loaded: Arc<Loaded>,
    /// Held while an instance is made: the ABI promises one call at a time for one object.
    making: Mutex<()>,
}

/// What all that is of a model knows of it. The requests and responders that the plugin has taken may outlive the model
/// itself, which `PluginModel` frees.
pub(super) struct Loaded {
    pub(super) core: Arc<Core>,
    pub(super) state: *mut c_void,
    pub(super) ports: Ports,
    signature: Signature,
    is_decoupled: bool,
    /// Requests that the plugin has taken and not released.
    pub(super) taken: AtomicUsize,
}

// SAFETY: the ABI lets any thread use a model; calls that must not be concurrent are kept apart.
unsafe impl Send for Loaded {}
// SAFETY: as for `Send`.
unsafe impl Sync for Loaded {}

/// Names and types of inputs and outputs, by number.
#[derive(Default)]
pub(super) struct Ports {
    pub(super) inputs: Vec<String>,
    pub(super) outputs: Vec<(String, DataType)>,
}

impl Ports {
    fn new(signature: &Signature) -> Self {
        let inputs = signature.inputs.iter().map(|spec| spec.name.clone()).collect();
        let outputs = signature.outputs.iter().map(|spec| (spec.name.clone(), spec.dtype)).collect();
        Ports { inputs, outputs }
    }

    /// The number of an input.
    pub(super) fn input(&self, name: &str) -> Result<u32, Error> {
        let found = self.inputs.iter().position(|known| known == name);
        found.map(|index| index as u32).ok_or_else(|| Error::not_found(format!("the model has no input '{name}'")))
    }

    /// The number of an output.
    pub(super) fn output(&self, name: &str) -> Result<u32, Error> {
        let found = self.outputs.iter().position(|(known, _)| known == name);
        found.map(|index| index as u32).ok_or_else(|| Error::not_found(format!("the model has no output '{name}'")))
    }

    pub(super) fn output_name(&self, index: u32) -> Result<&str, Error> {
        self.port(index).map(|(name, _)| name.as_str())
    }

    pub(super) fn output_type(&self, index: u32) -> Result<DataType, Error> {
        self.port(index).map(|(_, dtype)| *dtype)
    }

    fn port(&self, index: u32) -> Result<&(String, DataType), Error> {
        let count = self.outputs.len();
        self.outputs.get(index as usize).ok_or_else(|| Error::not_found(format!("output {index} of {count}")))
    }
}

impl PluginModel {
    /// Takes over what `model_new` made.
    ///
    /// # Errors
    /// What is wrong with its signature.
    pub(super) fn new(core: Arc<Core>, state: *mut c_void, source: &ModelSource<'_>) -> Result<Self, Error> {
        let (ports, signature, taken) = (Ports::default(), Signature::default(), AtomicUsize::new(0));
        let mut loaded = Loaded { core, state, ports, signature, is_decoupled: false, taken };
        match loaded.stated(source) {
            Ok((signature, is_decoupled)) => (loaded.signature, loaded.is_decoupled) = (signature, is_decoupled),
            Err(error) => {
                loaded.free();
                return Err(error);
            }
        }
        loaded.ports = Ports::new(&loaded.signature);
        Ok(PluginModel { loaded: Arc::new(loaded), making: Mutex::new(()) })
    }
}

impl Loaded {
    /// The signature that the plugin states, itself or in a config, else the one of the user's config; and whether it says
    /// that it is decoupled.
    fn stated(&self, source: &ModelSource<'_>) -> Result<(Signature, bool), Error> {
        let config = self.stated_config()?;
        let is_decoupled = config.as_ref().and_then(|config| config.decoupled).unwrap_or(false);
        Ok((self.stated_signature(config, source)?, is_decoupled))
    }

    fn stated_config(&self) -> Result<Option<PartialConfig>, Error> {
        let Some(model_config) = self.core.table.functions.model_config else { return Ok(None) };
        // SAFETY: the model is there.
        let text = unsafe { model_config(self.state) };
        // SAFETY: the plugin's promise: what it returns is valid as long as the model.
        let text = unsafe { read_text(text) };
        if text.is_empty() { Ok(None) } else { Ok(Some(config::parse("model_config", &text)?)) }
    }

    fn stated_signature(&self, config: Option<PartialConfig>, source: &ModelSource<'_>) -> Result<Signature, Error> {
        if let Some(model_signature) = self.core.table.functions.model_signature {
            // SAFETY: the model is there.
            let table = unsafe { model_signature(self.state) };
            if !table.is_null() {
                // SAFETY: the plugin's promise: what it returns is valid as long as the model.
                return unsafe { signature(table) };
            }
        }
        if let Some(config) = config {
            return Ok(config.signature());
        }
        let mut signature = source.config.clone();
        signature.batches |= source.batch_size_max.is_some_and(|max| max > 0);
        let (inputs, outputs) = (known(&signature.inputs), known(&signature.outputs));
        if inputs && outputs {
            return Ok(signature);
        }
        let place = if inputs { "outputs" } else { "inputs" };
        Err(Error::invalid_arg(format!("neither the backend nor the config says what the {place} are")))
    }
}

fn known(specs: &[TensorSpec]) -> bool {
    !specs.is_empty()
}

impl Model for PluginModel {
    fn signature(&self) -> &Signature {
        &self.loaded.signature
    }

    fn instance(&self, spec: &InstanceSpec) -> Result<Box<dyn Instance>, Error> {
        let _one_at_a_time = self.making.lock();
        Ok(Box::new(PluginInstance::new(&self.loaded, spec)?))
    }

    fn is_decoupled(&self) -> bool {
        self.loaded.is_decoupled
    }

    fn memory_use(&self) -> Vec<(Placement, usize)> {
        let mut uses: Vec<(Placement, usize)> = Vec::new();
        if let Some(model_memory_use) = self.loaded.core.table.functions.model_memory_use {
            // SAFETY: the model is there; `report` gets the vector for the call.
            unsafe { model_memory_use(self.loaded.state, report, (&raw mut uses).cast()) };
        }
        uses
    }

    fn trim(&self) {
        if let Some(model_trim) = self.loaded.core.table.functions.model_trim {
            // SAFETY: the model is there.
            unsafe { model_trim(self.loaded.state) };
        }
    }
}

/// Takes down what a plugin says of memory.
///
/// # Safety
/// `uses` is a vector as here, lent for the call that is given this function.
pub(super) unsafe extern "C" fn report(uses: *mut c_void, placement: *const inferlay_abi_placement, len: u64) {
    // SAFETY: the caller's promise.
    let uses = unsafe { &mut *uses.cast::<Vec<(Placement, usize)>>() };
    if placement.is_null() {
        return;
    }
    // SAFETY: the plugin's promise; not null.
    if let (Ok(placement), Ok(len)) = (read_placement(unsafe { placement.read() }), usize::try_from(len)) {
        uses.push((placement, len));
    }
}

impl Loaded {
    /// Frees the model itself; once, when its instances are gone.
    fn free(&self) {
        if let Some(model_free) = self.core.table.functions.model_free {
            // SAFETY: no function of the table is given the model afterwards.
            unsafe { model_free(self.state) };
        }
    }
}

impl Drop for PluginModel {
    fn drop(&mut self) {
        self.loaded.free();
        let held = self.loaded.taken.load(Ordering::Relaxed);
        if held > 0 {
            let name = self.loaded.core.table.name;
            let message = format!("backend '{name}': a model has ended, but {held} requests of it are not released");
            self.loaded.core.engine.surroundings.log.write(LogLevel::Warning, &message);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_use_of_memory_without_a_placement_is_left_out() {
        let mut uses: Vec<(Placement, usize)> = Vec::new();
        let host = inferlay_abi_placement::default();
        for placement in [std::ptr::null(), &raw const host] {
            // SAFETY: the vector is there, and the placement is null or readable.
            unsafe { report((&raw mut uses).cast(), placement, 7) };
        }
        assert_eq!(uses, [(Placement::HOST, 7)]);
    }
}
