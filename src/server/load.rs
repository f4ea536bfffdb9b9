//! Loading: from files found to lanes that serve.
//!
//! Models are loaded side by side on a few threads; one that fails takes nothing else down. Within a model its versions
//! are loaded one after the other. Backends that cannot load in parallel are called one at a time.

use super::builder::Options;
use super::catalog::{Catalog, Served, Version};
use super::spec::{device, lane_spec, signature_of};
use super::status::Progress;
use crate::config::{self, ModelConfig, PartialConfig, VersionPolicy};
use crate::flow::{InstanceCell, Lane, Services};
use crate::observe::Log;
use crate::repository::{self, Choice, Found, FoundModel};
use crate::sync::{AtomicUsize, Mutex, Ordering, thread};
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

type Versions = Vec<(u64, Version)>;

impl Loader<'_> {
    /// Loads all that was found and puts it into the catalog.
    ///
    /// # Errors
    /// In strict manner, the first failure.
    pub(super) fn load_all(&self, found: Found, catalog: &Catalog) -> Result<(), Error> {
        for warning in &found.warnings {
            self.services.log.write(LogLevel::Warning, warning);
        }
        let total = found.models.len() + found.broken.len();
        let course = Course { loader: self, catalog, total, done: AtomicUsize::new(0), first_error: Mutex::new(None) };
        for (name, error) in found.broken {
            course.finish(&name, vec![(0, Version::Unavailable(error))]);
        }
        let models: Vec<_> = found.models.into_values().collect();
        let next = AtomicUsize::new(0);
        let work = || {
            while let Some(model) = models.get(next.fetch_add(1, Ordering::Relaxed)) {
                course.finish(&model.name, self.load(model));
            }
        };
        let threads = self.options.load_threads_max.clamp(1, models.len().max(1));
        thread::scope(threads - 1, "inferlay-load", &work);
        match course.first_error.into_inner() {
            Some(error) if self.options.is_strict => Err(error),
            _ => Ok(()),
        }
    }

    /// Loads the versions of one model that its policy names.
    fn load(&self, model: &FoundModel) -> Versions {
        let parsed = self.config(model);
        let (partial, chosen) = match parsed {
            Ok(parsed) => parsed,
            Err(error) => {
                let last = model.versions.keys().last().copied().unwrap_or(0);
                return vec![(last, Version::Unavailable(error))];
            }
        };
        let load = |version: u64| {
            let contained = AssertUnwindSafe(|| self.load_version(model, version, partial.clone()));
            catch_unwind(contained)
                .unwrap_or_else(|panic| {
                    let said = format!("the backend panicked: {}", thread::panic_text(&*panic));
                    Err(Error::new(ErrorKind::Panic, said))
                })
                .map_or_else(Version::Unavailable, Version::Ready)
        };
        chosen.into_iter().map(|version| (version, load(version))).collect()
    }

    /// Loads the one version of a model that is to serve.
    ///
    /// # Errors
    /// Whatever keeps it from serving.
    pub(super) fn load_one(&self, model: &FoundModel) -> Result<(u64, Served), Error> {
        let (version, place) = self.load(model).pop().ok_or_else(|| Error::not_found("no version to be loaded"))?;
        match place {
            Version::Ready(served) => Ok((version, served)),
            Version::Unavailable(error) => Err(error.at(format_args!("model '{}'", model.name.escape_debug()))),
        }
    }

    fn config(&self, model: &FoundModel) -> Result<(PartialConfig, Vec<u64>), Error> {
        let partial = match &model.config {
            Some(text) => config::parse(&text.label, &text.text)?,
            None => PartialConfig::new(),
        };
        let choice = match partial.version_policy.clone().unwrap_or_default() {
            VersionPolicy::Latest(count) => Choice::Latest(count),
            VersionPolicy::All => Choice::All,
            VersionPolicy::Specific(versions) => Choice::Specific(versions),
        };
        let found: Vec<_> = model.versions.keys().copied().collect();
        let chosen = repository::choose(&found, &choice)?;
        Ok((partial, chosen))
    }

    fn load_version(&self, model: &FoundModel, version: u64, mut partial: PartialConfig) -> Result<Served, Error> {
        let Some(files) = model.versions.get(&version) else {
            return Err(Error::not_found(format!("version {version} has no files")));
        };
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
            match self.load_by(&backend, (model, version), &**files, &file_name, &partial) {
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
                    let config = partial.complete(&model.name, backend.name(), loaded.signature())?;
                    let attributes = backend.attributes();
                    return serve(self.services, self.options, (config, version), loaded.into(), attributes);
                }
            }
        }
    }

    fn load_by(
        &self,
        backend: &Arc<dyn Backend>,
        (model, version): (&FoundModel, u64),
        files: &dyn ModelFiles,
        file_name: &str,
        partial: &PartialConfig,
    ) -> Result<Box<dyn Model>, Error> {
        let signature = partial.signature();
        let host = BackendHost { log: self.services.log.clone(), threads_max: self.options.execution_threads_max };
        let source = ModelSource {
            name: &model.name,
            version,
            file_name,
            files,
            config: &signature,
            batch_size_max: partial.max_batch_size,
            parameters: &partial.parameters,
            host: &host,
        };
        let is_parallel = backend.attributes().contains(Attributes::PARALLEL_LOAD);
        let _serial = (!is_parallel).then(|| self.serial.lock());
        backend.load(&source)
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
fn detect(
    files: &dyn ModelFiles,
    backends: &[Arc<dyn Backend>],
    partial: &PartialConfig,
) -> Result<(usize, String), Error> {
    let patterns: Vec<_> = backends.iter().map(|backend| (backend.name(), backend.file_names())).collect();
    repository::detect(files, &patterns, partial.default_model_filename.as_deref())
}

/// Makes the lane of a loaded model and its instances.
///
/// # Errors
/// Whatever keeps an instance from being made.
pub(super) fn serve(
    services: &Arc<Services>,
    options: &Options,
    (config, version): (ModelConfig, u64),
    model: Arc<dyn Model>,
    attributes: Attributes,
) -> Result<Served, Error> {
    let signature = signature_of(&config, model.signature());
    let spec = lane_spec(&config, version, &signature, options, attributes)?;
    let is_thread_bound = spec.is_thread_bound;
    let mut cells = Vec::new();
    for group in &config.instance_groups {
        for _ in 0..group.count {
            let threads_max = options.execution_threads_max;
            let spec = InstanceSpec { index: cells.len(), device: device(group)?, threads_max };
            let instance = model.instance(&spec)?;
            cells.push(InstanceCell::new(instance, model.clone(), cells.len(), is_thread_bound));
        }
    }
    let lane = Lane::new(spec, services.clone());
    for cell in cells {
        lane.add_instance(cell);
    }
    Ok(Served { lane, config: Arc::new(config), line: None })
}

/// One course of loading: who is done, and the first failure.
struct Course<'a> {
    loader: &'a Loader<'a>,
    catalog: &'a Catalog,
    total: usize,
    done: AtomicUsize,
    first_error: Mutex<Option<Error>>,
}

impl Course<'_> {
    fn finish(&self, name: &str, versions: Versions) {
        // Counted under the lock, so that the callback sees the numbers rise.
        let mut first_error = self.first_error.lock();
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        for (version, place) in &versions {
            let error = match place {
                Version::Unavailable(error) => Some(error),
                Version::Ready(_) => None,
            };
            if let Some(error) = error {
                let error = error.clone().at(format_args!("model '{}'", name.escape_debug()));
                self.loader.services.log.write(LogLevel::Error, error.message());
                first_error.get_or_insert(error);
            }
            let total = self.total;
            self.loader.options.report(&Progress { model: name, version: *version, error, done, total });
        }
        drop(first_error);
        self.catalog.entry_or_new(name).put(versions);
    }
}

/// The signature that a config states in full.
pub(super) fn stated(config: &ModelConfig) -> Signature {
    PartialConfig::from(config.clone()).signature()
}
