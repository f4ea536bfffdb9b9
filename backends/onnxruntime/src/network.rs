//! One loaded model: its session and what requests must look like. Shared by its instances; any thread.

use crate::cache::{self, Place};
use crate::external::{self, Weights};
use crate::file::{self, Facts};
use crate::names;
use crate::options::Options;
use crate::parameters::{Parameters, ProviderKind, Threads};
use crate::raw::{Port, Run, Session, Source};
use crate::refusal::{refused, shortened};
use crate::runtime::Runtime;
use crate::settings;
use crate::signature;
use inferlay_backend_sdk::{Device, Error, ErrorKind, Host, LogLevel, ModelSource, Shape, Signature, TensorSpec};
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use std::borrow::Cow;
use std::ffi::CString;
use std::sync::Arc;

pub(crate) struct Network {
    session: Arc<Session>,
    pub(crate) signature: Signature,
    /// For each input, the number of each dim's name.
    pub(crate) dim_numbers: Vec<Vec<Option<usize>>>,
    /// For each output its shape, if it can be bound to memory before the run; the first dim stands for the rows where
    /// the model batches.
    pub(crate) shapes_ahead: Vec<Option<Shape>>,
    inputs: Vec<CString>,
    outputs: Vec<CString>,
    /// The devices that it computes on.
    devices: Vec<Device>,
    /// The bytes of the model and its weights.
    pub(crate) len: usize,
}

impl Network {
    /// Loads a model.
    ///
    /// # Errors
    /// `INVALID_ARG` when it is no ONNX model or contradicts itself; `UNSUPPORTED` for what requests cannot carry;
    /// `UNAVAILABLE` when a provider cannot be had; `NOT_FOUND` when a file is missing.
    pub(crate) fn load(runtime: &Runtime, options: &Options, source: &ModelSource<'_>) -> Result<Self, Error> {
        let content = source.files.read(source.file_name)?;
        let facts = file::read(&content)?;
        let weights = external::weights(source.files, source.file_name, &facts.external)?;
        let ragged = source.ragged();
        let mut parameters = Parameters::read(source.parameters)?;
        parameters.pattern = parameters.pattern.or_else(|| Some(few_shapes(&facts) && ragged.is_empty()));
        let loader = Loader { runtime, options, parameters: &parameters, host: source.host, name: source.name };
        let named = names::true_ones(&content, &facts, &ragged)?;
        if let (Cow::Owned(_), Weights::Beside(_)) = (&named, &weights) {
            // The runtime reads the file itself.
            let message = format!("'{}': names of dims that a ragged batch makes untrue stay", source.name);
            source.host.log(LogLevel::Warning, &message);
        }
        let session = loader.session(&named, &weights)?;
        let failed = |error: ort::Error| refused("the session", ErrorKind::Internal, &error);
        let (inputs, outputs) = (session.inputs().map_err(failed)?, session.outputs().map_err(failed)?);
        for message in session.log().close() {
            source.host.log(LogLevel::Warning, &format!("'{}': {}", source.name, shortened(&message)));
        }
        let names = |ports: &[Port]| ports.iter().map(|port| port.name.clone()).collect();
        let mut signature = signature::signature(&inputs, &outputs, &facts, &ragged)?;
        signature.batches &= signature::is_to_batch(source.batch_size_max, source.config, &signature, &ragged);
        let is_input = |name: &str| signature.inputs.iter().any(|input| input.name == name);
        // The runtime hands an input that is an output on, and would leave the memory as it is; and of what is not handed
        // out by rows the rows do not tell how much there is.
        let is_bound = |spec: &TensorSpec| !is_input(&spec.name) && !ragged.has_output(&spec.name);
        let ahead = |spec| signature::shape_ahead(spec, signature.batches).filter(|_| is_bound(spec));
        Ok(Network {
            session: Arc::new(session),
            shapes_ahead: signature.outputs.iter().map(ahead).collect(),
            signature,
            dim_numbers: signature::dim_numbers(&inputs, &ragged),
            inputs: names(&inputs),
            outputs: names(&outputs),
            devices: devices(&parameters)?,
            len: content.len() + beside(&weights),
        })
    }

    /// A way to run it, for one execution at a time.
    ///
    /// # Errors
    /// `UNSUPPORTED` for a device that its providers do not compute on.
    pub(crate) fn run(&self, device: Device) -> Result<Run, Error> {
        if device != Device::Cpu && !self.devices.contains(&device) {
            let message = format!("device {device:?}: the model's execution providers compute on {:?}", self.devices);
            return Err(Error::unsupported(message));
        }
        let run = Run::new(Arc::clone(&self.session), self.inputs.clone(), self.outputs.clone());
        run.map_err(|error| refused("the session", ErrorKind::Internal, &error))
    }
}

/// What a session is loaded with.
struct Loader<'a> {
    runtime: &'a Runtime,
    options: &'a Options,
    parameters: &'a Parameters,
    host: &'a dyn Host,
    name: &'a str,
}

impl Loader<'_> {
    fn session(&self, content: &[u8], weights: &Weights) -> Result<Session, Error> {
        let Some(folder) = &self.parameters.cache else { return self.plain(content, weights) };
        if [ProviderKind::TensorRt, ProviderKind::OpenVino].iter().any(|kind| self.parameters.provider(*kind).is_some())
        {
            let message = "tensorrt and openvino compile parts that it cannot hold; they have caches of their own";
            return Err(Error::unsupported(message).at("parameter 'optimized_model_cache'"));
        }
        let place = self.place(folder, content, weights)?;
        if let Some(session) = place.read().and_then(|graph| self.cached(&graph)) {
            return Ok(session);
        }
        self.optimised(&place, content, weights).or_else(|error| {
            let message = format!("'{}': its optimised graph is not kept: {error}", self.name);
            self.host.log(LogLevel::Warning, &message);
            // The model alone, for which the cache is no condition.
            self.plain(content, weights)
        })
    }

    fn plain(&self, content: &[u8], weights: &Weights) -> Result<Session, Error> {
        self.build(settings::with_weights(self.builder()?, weights)?, content, weights)
    }

    /// A session of a graph that was optimised before; `None` when the file is not what it was, and is made anew.
    fn cached(&self, graph: &[u8]) -> Option<Session> {
        // Whatever lies in the folder is looked at like a model.
        file::read(graph).ok().filter(|facts| facts.external.is_empty())?;
        let builder = self.builder().ok()?.with_optimization_level(GraphOptimizationLevel::Disable).ok()?;
        self.build(builder, graph, &Weights::Inside).ok()
    }

    /// A session of the model, whose optimised graph is written to `place` meanwhile.
    fn optimised(&self, place: &Place, content: &[u8], weights: &Weights) -> Result<Session, Error> {
        let draft = place.begin()?;
        let builder = settings::with_weights(self.builder()?, weights)?
            .with_optimized_model_path(draft.path())
            .map_err(|error| refused("optimised graph", ErrorKind::Internal, &error))?;
        let session = self.build(builder, content, weights)?;
        draft.keep()?;
        Ok(session)
    }

    fn builder(&self) -> Result<SessionBuilder, Error> {
        settings::session(&self.runtime.environment, self.parameters, self.options, self.threads())
    }

    fn build(&self, mut builder: SessionBuilder, content: &[u8], weights: &Weights) -> Result<Session, Error> {
        let source = match weights {
            Weights::Beside(path) => Source::Path(path),
            Weights::Inside | Weights::Memory(_) => Source::Bytes(content),
        };
        let shared = self.threads() == Threads::Shared;
        let session = Session::new(&self.runtime.environment, &mut builder, source, shared);
        session.map_err(|error| refused("ONNX Runtime", ErrorKind::InvalidArg, &error))
    }

    fn threads(&self) -> Threads {
        self.parameters.threads(self.host.threads_max())
    }

    fn place(&self, folder: &std::path::Path, content: &[u8], weights: &Weights) -> Result<Place, Error> {
        let (key, processor) = (self.parameters.graph_key(), cache::processor());
        let mut parts = vec![content, self.runtime.version.as_bytes(), key.as_bytes(), processor.as_bytes()];
        match weights {
            Weights::Inside => {}
            Weights::Memory(files) => parts.extend(files.iter().map(|(_, content)| &content[..])),
            Weights::Beside(_) => {
                let message =
                    "weights in files of their own are not kept a second time, expected them in the model file";
                return Err(Error::unsupported(message).at("parameter 'optimized_model_cache'"));
            }
        }
        Ok(Place::new(folder, &parts))
    }
}

/// Whether inputs vary in their rows at most: the runtime keeps one plan of its memory for every set of shapes that it
/// has seen, and lets none go. Ragged ones have another shape in almost every batch.
fn few_shapes(facts: &Facts<'_>) -> bool {
    let varying = |name: &&[u8]| facts.values.get(*name).copied().flatten();
    facts.inputs.iter().all(|name| varying(name).is_some_and(|varying| varying <= 1))
}

fn devices(parameters: &Parameters) -> Result<Vec<Device>, Error> {
    let mut devices = vec![Device::Cpu];
    for kind in [ProviderKind::Cuda, ProviderKind::TensorRt] {
        let Some(provider) = parameters.provider(kind) else { continue };
        let stated =
            provider.options.iter().find(|(name, _)| name == "device_id").map(|(_, value)| value.trim().parse());
        let number = stated.unwrap_or(Ok(0)).map_err(|_| {
            Error::invalid_arg(format!("parameter '{}.device_id': expected a whole number", kind.name()))
        })?;
        devices.push(Device::Cuda(number));
    }
    Ok(devices)
}

fn beside(weights: &Weights) -> usize {
    match weights {
        Weights::Memory(files) => files.iter().map(|(_, content)| content.len()).sum(),
        // Mapped from the files, and so the page cache's.
        Weights::Inside | Weights::Beside(_) => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_planned_ahead_for_models_that_see_few_shapes() {
        for (varying, expected) in [(Some(0), true), (Some(1), true), (Some(2), false), (None, false)] {
            let facts = Facts { values: [(&b"x"[..], varying)].into(), inputs: [&b"x"[..]].into(), ..Facts::default() };
            assert_eq!(few_shapes(&facts), expected, "{varying:?}");
        }
    }

    #[test]
    fn devices_are_those_of_the_providers() {
        let read = |pairs: &[(&str, &str)]| {
            let pairs = pairs.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
            devices(&Parameters::read(&pairs).unwrap())
        };
        assert_eq!(read(&[]), Ok(vec![Device::Cpu]));
        let cuda = ("execution_providers", "cuda");
        assert_eq!(read(&[cuda]), Ok(vec![Device::Cpu, Device::Cuda(0)]));
        assert_eq!(read(&[cuda, ("cuda.device_id", "2")]), Ok(vec![Device::Cpu, Device::Cuda(2)]));
        assert!(read(&[cuda, ("cuda.device_id", "two")]).unwrap_err().message().contains("cuda.device_id"));
    }
}
