//! Loading: from the files of one version to a lane that could serve.
//!
//! Which backend reads a version is found out here, and what it loads becomes a lane with its instances; nothing of that
//! is visible to anybody yet. Backends that cannot load in parallel are called one at a time.

use super::budget::Use;
use super::builder::Options;
use super::labels::{self, Around};
use super::served::{Served, Source, Weights};
use super::spec::{device, lane_spec, signature_of};
use super::warmup::warm_up;
use crate::config::{ModelConfig, PartialConfig, default_file_names};
use crate::flow::{InstanceCell, Lane, Services};
use crate::observe::Log;
use crate::repository::{self, FoundModel};
use crate::sync::{Mutex, thread};
use inferlay_backend_sdk::{
    Attributes, Backend, Error, ErrorKind, Host, InstanceSpec, LogLevel, Model, ModelFiles, ModelSource, Signature,
};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// What loading needs.
pub(super) struct Loader<'a> {
    pub(super) services: &'a Arc<Services>,
    pub(super) options: &'a Options,
    /// Held while a backend loads that cannot load in parallel.
    pub(super) serial: &'a Mutex<()>,
}

/// A version that was loaded.
pub(super) struct Opened {
    pub(super) model: Arc<dyn Model>,
    pub(super) config: ModelConfig,
    pub(super) attributes: Attributes,
    /// How long it took.
    pub(super) load_ns: u64,
}

/// What a backend is offered outside of batches.
struct BackendHost {
    log: Arc<Log>,
    threads_max: usize,
}

impl Host for BackendHost {
    fn log(&self, level: LogLevel, message: &str) {
        self.log.write(level, message);
    }

    fn threads_max(&self) -> usize {
        self.threads_max
    }
}

/// Runs the code of a backend: a panic of it is an error.
///
/// # Errors
/// Its own, or `PANIC`.
pub(super) fn contained<R>(body: impl FnOnce() -> Result<R, Error>) -> Result<R, Error> {
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|panic| {
        let said = format!("the backend panicked: {}", thread::panic_text(&*panic));
        Err(Error::new(ErrorKind::Panic, said))
    })
}

impl Loader<'_> {
    /// Loads one version.
    ///
    /// # Errors
    /// Whatever keeps it from serving.
    pub(super) fn open(&self, source: &Source) -> Result<Opened, Error> {
        let (model, version, mut partial) = (&*source.found, source.version, source.partial.clone());
        let Some(files) = model.versions.get(&version) else {
            return Err(Error::not_found(format!("version {version} has no files")));
        };
        let begun = self.services.clock.now();
        self.options.trust.admit(model, version)?;
        let is_free = partial.backend.is_none();
        let mut backends = self.candidates(&mut partial)?;
        let mut plugins = if is_free { Some(|| self.plugins()) } else { None };
        // Asked once, when nothing that is linked in reads it, or can.
        let mut ask_plugins = |backends: &mut Vec<Arc<dyn Backend>>| {
            if detect(&**files, backends, &partial).is_err() {
                backends.extend(plugins.take().map(|plugins| plugins()).unwrap_or_default());
            }
        };
        ask_plugins(&mut backends);
        loop {
            let (index, file_name) = detect(&**files, &backends, &partial)?;
            let backend = backends.remove(index);
            let loaded =
                self.ask(&backend, (model, version), &**files, (&file_name, &partial), |source| backend.load(source));
            match loaded {
                // A runtime that is not installed: where nobody asked for it, another one may read the file.
                Err(error) if error.kind() == ErrorKind::Unavailable && is_free => {
                    ask_plugins(&mut backends);
                    if detect(&**files, &backends, &partial).is_err() {
                        return Err(error);
                    }
                    let (model, name) = (&model.name, backend.name());
                    let message = format!("model '{model}' is not served by '{name}': {}", error.message());
                    self.services.log.write(LogLevel::Info, &message);
                }
                Err(error) => return Err(error),
                Ok(loaded) => {
                    partial.decoupled.get_or_insert(loaded.is_decoupled());
                    let config = source.complete(partial, backend.name(), loaded.signature())?;
                    let load_ns = self.services.clock.now().saturating_sub(begun);
                    return Ok(Opened { model: loaded.into(), config, attributes: backend.attributes(), load_ns });
                }
            }
        }
    }

    /// The config of a version, if it says without the model all that there is to say, and what its backend promises.
    pub(super) fn stated(&self, source: &Source) -> Option<(ModelConfig, Attributes)> {
        let mut partial = source.partial.clone();
        partial.backend.as_ref()?;
        let [backend] = &self.candidates(&mut partial).ok()?[..] else { return None };
        detect(source.files()?, std::slice::from_ref(backend), &partial).ok()?;
        let signature = partial.signature();
        let is_whole =
            !signature.inputs.is_empty() && !signature.outputs.is_empty() && partial.max_batch_size.is_some();
        let is_known = signature.inputs.iter().chain(&signature.outputs).all(|tensor| tensor.dims.is_some());
        // A model that is not said to be decoupled may be so all the same.
        partial.decoupled.get_or_insert(false);
        let config = source.complete(partial, backend.name(), &signature).ok()?;
        (is_whole && is_known).then(|| (config, backend.attributes()))
    }

    /// About what a version will use, if its backend says so.
    pub(super) fn estimate(&self, source: &Source) -> Option<Use> {
        let mut partial = source.partial.clone();
        let (mut backends, files) = (self.candidates(&mut partial).ok()?, source.files()?);
        // Whether its seal allows that it is read; what is read is compared with the seal then.
        self.options.trust.admit_unread(&source.found).ok()?;
        let (index, file_name) = detect(files, &backends, &partial).ok()?;
        let backend = backends.remove(index);
        let place = (&*source.found, source.version);
        let said = contained(|| {
            self.ask(&backend, place, files, (&file_name, &partial), |source| backend.memory_estimate(source))
        });
        let said = said.inspect_err(|error| {
            let message = format!("model '{}': its memory cannot be estimated: {}", source.found.name, error.message());
            self.services.log.write(LogLevel::Info, &message);
        });
        said.ok().filter(|said| !said.is_empty()).map(|said| Use::of(&said))
    }

    /// Has a backend look at a version.
    fn ask<R>(
        &self,
        backend: &Arc<dyn Backend>,
        (model, version): (&FoundModel, u64),
        files: &dyn ModelFiles,
        (file_name, partial): (&str, &PartialConfig),
        look: impl FnOnce(&ModelSource<'_>) -> Result<R, Error>,
    ) -> Result<R, Error> {
        let signature = partial.signature();
        let host = BackendHost { log: self.services.log.clone(), threads_max: self.options.execution_threads_max };
        let config_json = partial.to_json().to_string();
        let source = ModelSource {
            name: &model.name,
            version,
            file_name,
            files,
            config: &signature,
            batch_size_max: partial.max_batch_size,
            parameters: &partial.parameters,
            config_json: &config_json,
            host: &host,
        };
        let is_parallel = backend.attributes().contains(Attributes::PARALLEL_LOAD);
        let _serial = (!is_parallel).then(|| self.serial.lock());
        look(&source)
    }

    /// The backends of the backend directories that read files, by name; one that is broken is logged and left out.
    fn plugins(&self) -> Vec<Arc<dyn Backend>> {
        let surroundings = self.options.surroundings(&self.services.log, &self.services.clock);
        let names = self.options.directories.names();
        let found = names.iter().filter_map(|name| match self.options.directories.find(name, &surroundings) {
            Ok(backend) => backend,
            Err(error) => {
                self.services.log.write(LogLevel::Warning, error.message());
                None
            }
        });
        let is_new = |backend: &Arc<dyn Backend>| !self.options.backends.iter().any(|own| own.name() == backend.name());
        found.filter(|backend| !backend.file_names().is_empty() && is_new(backend)).collect()
    }

    fn candidates(&self, partial: &mut PartialConfig) -> Result<Vec<Arc<dyn Backend>>, Error> {
        let all = &self.options.backends;
        let Some(wanted) = partial.backend.clone() else {
            let reads_files = |backend: &&Arc<dyn Backend>| !backend.file_names().is_empty();
            return Ok(all.iter().filter(reads_files).cloned().collect());
        };
        let named = |name: &str| all.iter().find(|backend| backend.name() == name).cloned();
        if let Some(backend) = named(&wanted) {
            return Ok(vec![backend]);
        }
        let surroundings = self.options.surroundings(&self.services.log, &self.services.clock);
        if let Some(backend) = self.options.directories.find(&wanted, &surroundings)? {
            return Ok(vec![backend]);
        }
        // Repositories made for ONNX Runtime serve unchanged where tract is what there is.
        if let ("onnxruntime", Some(tract)) = (wanted.as_str(), named("tract")) {
            let message = "a config asks for the backend 'onnxruntime', which is not there; 'tract' serves instead";
            self.services.log.write(LogLevel::Info, message);
            partial.backend = None;
            return Ok(vec![tract]);
        }
        let known: Vec<_> = all.iter().map(|backend| backend.name()).collect();
        let missing = self.options.directories.missing(&wanted);
        Err(Error::unavailable(format!("backend '{wanted}' is not there: {missing}; linked in: {}", known.join(", "))))
    }
}

/// The backend among `backends` that reads a model, by its index, and the name of the model's file.
pub(super) fn detect(
    files: &dyn ModelFiles,
    backends: &[Arc<dyn Backend>],
    partial: &PartialConfig,
) -> Result<(usize, String), Error> {
    let patterns: Vec<_> = backends.iter().map(|backend| (backend.name(), backend.file_names())).collect();
    let found = repository::detect(files, &patterns, partial.default_model_filename.as_deref());
    match (&found, backends) {
        (Ok((_, name)), _) if !name.is_empty() => found,
        // What Triton calls the model's file, where the backend does not say.
        (_, [backend]) if partial.default_model_filename.is_none() => {
            let names = default_file_names(partial.platform.as_deref(), backend.name());
            repository::first_of(files, names).map(|name| (0, name)).map_or(found, Ok)
        }
        _ => found,
    }
}

/// Makes the lane of a loaded model, whose labels lie `around`, and its instances, which have been warmed up with what lies
/// there.
///
/// # Errors
/// Whatever keeps an instance from being made, or labels from being read.
pub(super) fn serve(
    services: &Arc<Services>,
    options: &Options,
    (config, version): (Arc<ModelConfig>, u64),
    weights: Arc<Weights>,
    around: Around<'_>,
) -> Result<Served, Error> {
    let Some(model) = weights.model() else { return Err(Error::unavailable("the model was let go")) };
    let labels = labels::read(&config, around)?;
    let signature = signature_of(&config, model.signature());
    let mut spec = lane_spec(&config, version, &signature, options, weights.attributes)?;
    labels::put(&mut spec, labels);
    let cells = cells(&config, options, &model, spec.is_thread_bound)?;
    let cells = warm_up(&config, around.beside, &spec, cells, services)?;
    let lane = Lane::counting(spec, services.clone(), weights.ledger.clone());
    for cell in cells {
        lane.add_instance(cell);
    }
    if config.active_len() == 0 {
        // Nobody would ever answer what it takes.
        lane.begin_stop();
    }
    Ok(Served { lane, config, weights, line: None })
}

/// Makes the lane of a version that is not loaded, whose labels lie around its source.
///
/// # Errors
/// For numbers beyond what a lane can count, and labels that cannot be read.
pub(super) fn dormant(
    services: &Arc<Services>,
    options: &Options,
    (config, version): (Arc<ModelConfig>, u64),
    weights: Arc<Weights>,
) -> Result<Served, Error> {
    let origin = weights.origin();
    let labels = labels::read(&config, origin.as_ref().map(|origin| origin.source.around()).unwrap_or_default())?;
    let mut spec = lane_spec(&config, version, &stated(&config), options, weights.attributes)?;
    labels::put(&mut spec, labels);
    let lane = Lane::counting(spec, services.clone(), weights.ledger.clone());
    Ok(Served { lane, config, weights, line: None })
}

/// The instances that a config wants.
///
/// # Errors
/// Whatever keeps one from being made.
#[allow(clippy::vec_box, reason = "a cell changes hands as a box")]
pub(super) fn cells(
    config: &ModelConfig,
    options: &Options,
    model: &Arc<dyn Model>,
    is_thread_bound: bool,
) -> Result<Vec<Box<InstanceCell>>, Error> {
    let mut cells = Vec::new();
    for group in &config.instance_groups {
        for _ in 0..group.count {
            let threads_max = options.execution_threads_max;
            let spec = InstanceSpec { index: cells.len(), device: device(group)?, threads_max };
            cells.push(cell(model, &spec, is_thread_bound)?.passive(group.is_passive));
        }
    }
    Ok(cells)
}

/// An instance of a model.
///
/// # Errors
/// The backend's.
pub(super) fn cell(
    model: &Arc<dyn Model>,
    spec: &InstanceSpec,
    is_thread_bound: bool,
) -> Result<Box<InstanceCell>, Error> {
    Ok(InstanceCell::new(model.instance(spec)?, model.clone(), spec.index, is_thread_bound))
}

/// The signature that a config states in full.
pub(super) fn stated(config: &ModelConfig) -> Signature {
    PartialConfig::from(config.clone()).signature()
}
