//! The runtime's library and its one environment: loaded with the first model, kept until the process ends.
//!
//! The environment holds the threads that sessions share. Any thread; whoever comes while it is loaded waits.

use crate::library::{Surroundings, VARIABLES, candidates};
use crate::options::Options;
use crate::raw;
use crate::refusal::contained;
use inferlay_backend_sdk::Error;
use ort::environment::{Environment, GlobalThreadPoolOptions};
use ort::logging::LogLevel;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// The process has one, because the runtime itself has one.
static RUNTIME: OnceLock<Runtime> = OnceLock::new();
static LOADING: Mutex<()> = Mutex::new(());

/// The loaded library.
pub(crate) struct Runtime {
    pub(crate) environment: Environment,
    /// Such as `1.31.1`.
    pub(crate) version: String,
    library: PathBuf,
}

impl Runtime {
    /// The runtime, loaded now if it has not been. Options of later callers must name the same library.
    ///
    /// # Errors
    /// `UNAVAILABLE` when it is nowhere, or too old, with what to do about it; `FAILED_PRECONDITION` when another library
    /// than the one that is wanted was loaded before.
    pub(crate) fn load(options: &Options) -> Result<&'static Runtime, Error> {
        if RUNTIME.get().is_none() {
            let _one_at_a_time = LOADING.lock().unwrap_or_else(PoisonError::into_inner);
            if RUNTIME.get().is_none() {
                let runtime = contained(|| start(options))?;
                // Cannot be taken: `LOADING` lets one through at a time.
                let _ours = RUNTIME.set(runtime);
            }
        }
        let runtime = RUNTIME.get().ok_or_else(|| Error::internal("the runtime went away"))?;
        runtime.check(options)?;
        Ok(runtime)
    }

    /// The runtime, if it was loaded.
    pub(crate) fn loaded() -> Option<&'static Runtime> {
        RUNTIME.get()
    }

    fn check(&self, options: &Options) -> Result<(), Error> {
        let Some(wanted) = &options.library else { return Ok(()) };
        let surroundings = Surroundings { variable: &|_| None, own_folder: None };
        let wanted = candidates(&Options::new().library(wanted), &surroundings).remove(0);
        if same(&wanted, &self.library) {
            return Ok(());
        }
        let (loaded, wanted) = (self.library.display(), wanted.display());
        let message = format!("the process has loaded ONNX Runtime from '{loaded}', cannot load '{wanted}' beside it");
        Err(Error::new(inferlay_backend_sdk::ErrorKind::FailedPrecondition, message))
    }
}

fn same(a: &Path, b: &Path) -> bool {
    a == b || matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

fn start(options: &Options) -> Result<Runtime, Error> {
    let surroundings =
        Surroundings { variable: &|name| std::env::var_os(name), own_folder: raw::folder_of_this_library() };
    let mut failures = Vec::new();
    for library in candidates(options, &surroundings) {
        match ort::init_from(&library) {
            Ok(builder) => return environment(builder, options, library),
            Err(error) => failures.push(error.to_string()),
        }
    }
    Err(missing(&failures))
}

fn environment(
    builder: ort::environment::EnvironmentBuilder,
    options: &Options,
    library: PathBuf,
) -> Result<Runtime, Error> {
    let failed = |error: ort::Error| Error::unavailable(format!("ONNX Runtime does not start: {error}"));
    let cores = || std::thread::available_parallelism().map_or(1, usize::from);
    let threads = GlobalThreadPoolOptions::default()
        .with_intra_threads(options.intra_op_thread_count.unwrap_or_else(cores))
        .and_then(|threads| threads.with_inter_threads(1))
        .and_then(|threads| threads.with_spin_control(options.allow_spinning))
        .map_err(failed)?;
    let builder = builder
        .with_name("inferlay")
        .with_telemetry(false)
        .with_global_thread_pool(threads)
        // Without one it prints. What concerns a model is logged by its session.
        .with_logger(Arc::new(|_: LogLevel, _: &str, _: &str, _: &str, _: &str| {}));
    let environment = builder.build().map_err(failed)?;
    environment.set_log_level(LogLevel::Error);
    let version = raw::loaded_version(&library).unwrap_or_else(|| "unknown".to_owned());
    Ok(Runtime { environment, version, library })
}

fn missing(failures: &[String]) -> Error {
    let tried = failures.join("; ");
    Error::unavailable(format!(
        "ONNX Runtime 1.{} or newer was not found: install it with `pip install onnxruntime`, or set {} to the path of \
         libonnxruntime.so; tried: {tried}",
        ort::MINOR_VERSION,
        VARIABLES[0]
    ))
}
