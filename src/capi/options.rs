//! Options of a server: plain data, from which a builder is made when the server starts.

use super::control::Control;
use super::door::{door, free_door, quiet_door};
use super::handle::{Boxed, UserData, borrow, borrow_mut, check_size, slice, utf8};
use super::notice;
use super::queue::Queue;
use super::source;
use super::status::Status;
use super::text::intern;
use super::trust::TrustOptions;
use crate::backend::{HOST, TrustedTable};
use crate::config::{CallerRuns, SourceOptions};
use crate::server::{Progress, ServerBuilder, ServerHandle};
use inferlay_backend_sdk::abi::{inferlay_abi_backend, inferlay_abi_entry_fn, inferlay_abi_host};
use inferlay_backend_sdk::{Error, LogLevel};
use std::ffi::{c_char, c_void};
use std::path::PathBuf;
use std::sync::Arc;

/// Options of a server, and what it loads at start. Used by one thread at a time; any number of servers may be started
/// with the same.
#[derive(Default)]
pub struct Options {
    repositories: Vec<PathBuf>,
    pub(super) backend_directories: Vec<PathBuf>,
    backends: Vec<inferlay_abi_entry_fn>,
    pub(super) backend_options: Vec<[String; 3]>,
    pub(super) files: Vec<PathBuf>,
    in_memory: Vec<(String, Files)>,
    pub(super) is_strict: bool,
    pub(super) config_name: Option<String>,
    pub(super) caller_runs: Option<CallerRuns>,
    pub(super) load_threads_max: Option<usize>,
    pub(super) execution_threads_max: Option<usize>,
    pub(super) spin_max: Option<u32>,
    pub(super) small_output_len_max: Option<usize>,
    pub(super) trace_every: u32,
    pub(super) sources: Vec<SourceOptions>,
    pub(super) trust: TrustOptions,
    pub(super) control: Control,
    pub(super) progress: Option<(ProgressTo, UserData)>,
    pub(super) log: Option<(LogTo, UserData, u32)>,
}

impl Boxed for Options {}

/// The files of a model, by name.
pub(super) type Files = Vec<(String, Vec<u8>)>;

/// Where progress goes.
#[derive(Clone)]
pub(super) enum ProgressTo {
    Function(Reporter),
    Queue(Arc<Queue>),
}

/// Where the log goes.
#[derive(Clone)]
pub(super) enum LogTo {
    Function(Sink),
    Queue(Arc<Queue>),
}

type Reporter = unsafe extern "C" fn(*mut c_void, *const ProgressReport);
type Sink = unsafe extern "C" fn(*mut c_void, u32, *const c_char, usize);

/// Who may execute besides the workers: one of `INFERLAY_CALLER_RUNS_*`.
pub type CallerRunsNumber = u32;
/// Workers execute everything.
pub const INFERLAY_CALLER_RUNS_NEVER: u32 = 0;
/// A thread that waits in `inferlay_infer` may execute its own request, when an instance is idle and nothing waits. The
/// default.
pub const INFERLAY_CALLER_RUNS_OWN_REQUEST: u32 = 1;
/// Such a thread may also execute batches with the requests of others, two at most.
pub const INFERLAY_CALLER_RUNS_BATCH: u32 = 2;

/// How grave a line of the log is: one of `INFERLAY_LOG_*`.
pub type LogNumber = u32;
/// Every detail.
pub const INFERLAY_LOG_VERBOSE: u32 = 0;
/// Worth knowing.
pub const INFERLAY_LOG_INFO: u32 = 1;
/// Wrong, but served.
pub const INFERLAY_LOG_WARNING: u32 = 2;
/// Something failed.
pub const INFERLAY_LOG_ERROR: u32 = 3;

/// A model that was loaded or failed to. All of it lives until the callback returns.
#[repr(C)]
pub struct ProgressReport {
    /// `sizeof` this struct, as the library knows it.
    pub struct_size: usize,
    /// The model; this text lives for ever.
    pub model: *const c_char,
    /// The version; 0 when no version of it was found.
    pub version: u64,
    /// Why it does not serve, borrowed for the call; NULL when it does.
    pub status: *const Status,
    /// Models that are done, this one included.
    pub done: usize,
    /// All models.
    pub total: usize,
}

/// Told of each model while a server starts. Called within `inferlay_server_new`, on the thread that starts or on a
/// loading thread, one call at a time. It must not call this library but for statuses, and must return.
pub type ProgressFn = Option<unsafe extern "C" fn(user_data: *mut c_void, progress: *const ProgressReport)>;

/// Takes a line of the log: its level, one of `INFERLAY_LOG_*`, and a text of `len` bytes without a line end, which is
/// NUL-terminated too and borrowed for the call. Called on any thread, several at once, until the server is freed; it
/// must return soon and must not wait for the server.
pub type LogFn =
    Option<unsafe extern "C" fn(user_data: *mut c_void, level: LogNumber, message: *const c_char, len: usize)>;

/// The function that a backend exports, see `inferlay_backend.h`.
pub type EntryFn = Option<unsafe extern "C" fn(host: *const inferlay_abi_host) -> *const inferlay_abi_backend>;

/// A file in memory. Set `struct_size` to `sizeof(inferlay_file)`.
#[repr(C)]
pub struct File {
    /// `sizeof(inferlay_file)`.
    pub struct_size: usize,
    /// Its name, such as `model.onnx` or `config.yaml`.
    pub name: *const c_char,
    /// Its content; may be NULL when `len` is 0.
    pub data: *const c_void,
    /// The number of bytes.
    pub len: usize,
}

impl Options {
    /// The builder of a server with these options.
    pub(super) fn builder(&self) -> ServerBuilder {
        let mut builder = ServerHandle::builder().trace_every(self.trace_every);
        for folder in &self.repositories {
            builder = builder.repository(folder);
        }
        builder = self.sources.iter().fold(builder, source::apply);
        for file in &self.files {
            builder = builder.model_file(file);
        }
        for (name, files) in &self.in_memory {
            builder = builder.model_in_memory(name.clone(), files.clone());
        }
        for directory in &self.backend_directories {
            builder = builder.backend_directory(directory);
        }
        for [backend, name, value] in &self.backend_options {
            builder = builder.backend_option(backend, name, value);
        }
        for entry in &self.backends {
            // SAFETY: who added the function promised that it is a backend's.
            let table = unsafe { entry(&raw const HOST) };
            // SAFETY: as above: what it returns is NULL or a table, for as long as the process runs.
            builder = builder.backend_table(unsafe { TrustedTable::new(table) });
        }
        builder = self.control.tell(self.tuned(if self.is_strict { builder.strict() } else { builder }));
        if let Some((to, user_data)) = self.progress.clone() {
            builder = builder.on_progress(move |progress| match &to {
                ProgressTo::Function(report) => tell(*report, user_data, progress),
                ProgressTo::Queue(queue) => notice::progress(queue, user_data, progress),
            });
        }
        if let Some((to, user_data, level_min)) = self.log.clone() {
            builder = builder.log(move |record| match &to {
                _ if (record.level as u32) < level_min => {}
                LogTo::Function(sink) => write(*sink, user_data, record.level, record.message),
                LogTo::Queue(queue) => notice::line(queue, user_data, record.level, record.message),
            });
        }
        builder
    }

    fn tuned(&self, builder: ServerBuilder) -> ServerBuilder {
        let mut builder = self.trust.apply(builder);
        if let Some(caller_runs) = self.caller_runs {
            builder = builder.caller_runs(caller_runs);
        }
        if let Some(name) = &self.config_name {
            builder = builder.config_name(name);
        }
        if let Some(threads) = self.load_threads_max {
            builder = builder.load_threads_max(threads);
        }
        if let Some(threads) = self.execution_threads_max {
            builder = builder.execution_threads_max(threads);
        }
        if let Some(turns) = self.spin_max {
            builder = builder.spin_max(turns);
        }
        if let Some(len) = self.small_output_len_max {
            builder = builder.small_output_len_max(len);
        }
        builder
    }
}

fn tell(report: Reporter, user_data: UserData, progress: &Progress<'_>) {
    let status = progress.error.map_or(std::ptr::null_mut(), |error| Status::from_error(error.clone()));
    let said = ProgressReport {
        struct_size: size_of::<ProgressReport>(),
        model: intern(progress.model),
        version: progress.version,
        status,
        done: progress.done,
        total: progress.total,
    };
    // SAFETY: whoever set the function promised that it may be called so, on any thread.
    unsafe { report(user_data.0, &raw const said) };
    // SAFETY: made above, and lent for the call only.
    unsafe { super::status::inferlay_status_free(status) };
}

fn write(sink: Sink, user_data: UserData, level: LogLevel, message: &str) {
    let mut line = Vec::with_capacity(message.len() + 1);
    line.extend(message.bytes().filter(|byte| *byte != 0));
    line.push(0);
    // SAFETY: as for `tell`; the line ends with a NUL.
    unsafe { sink(user_data.0, level as u32, line.as_ptr().cast(), line.len() - 1) };
}

/// Makes options: all defaults, nothing to load.                                          [any thread] [never blocks]
///
/// The options are the caller's, to be freed with `inferlay_options_free`. NULL in the child of a fork only.
#[unsafe(no_mangle)]
pub extern "C" fn inferlay_options_new() -> *mut Options {
    quiet_door(std::ptr::null_mut(), || Ok(Options::default().into_handle()))
}

/// Frees options. Servers that were started with them do not mind.                       [any thread] [never blocks]
///
/// `options`: taken; NULL does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_options_free(options: *mut Options) {
    // SAFETY: the caller's promise.
    free_door(|| drop(unsafe { Options::from_handle(options) }));
}

/// Adds a folder of models: `<folder>/<model>/<version>/<file>`.                          [one thread] [never blocks]
///
/// `folder`: borrowed for the call. The folder is opened when a server starts.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_options_add_repository(options: *mut Options, folder: *const c_char) -> *mut Status {
    door(|| {
        // SAFETY: the caller's promise.
        let options = unsafe { borrow_mut(options, "options") }?;
        // SAFETY: the caller's promise.
        options.repositories.push(unsafe { utf8(folder, "folder") }?.into());
        Ok(())
    })
}

/// Adds one model of one file; it is named by the file's stem.                            [one thread] [never blocks]
///
/// `file`: borrowed for the call. The file is opened when a server starts.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_options_add_model_file(options: *mut Options, file: *const c_char) -> *mut Status {
    door(|| {
        // SAFETY: the caller's promise.
        let options = unsafe { borrow_mut(options, "options") }?;
        // SAFETY: the caller's promise.
        options.files.push(unsafe { utf8(file, "file") }?.into());
        Ok(())
    })
}

/// Adds one model from memory: its files by name, such as `model.onnx`, and perhaps `config.yaml`.
///                                                                                        [one thread] [never blocks]
/// `name`, `files` and all they point to: borrowed for the call; the contents are copied. `files` holds pointers, so
/// that the struct may grow.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_options_add_model_in_memory(
    options: *mut Options,
    name: *const c_char,
    files: *const *const File,
    files_len: usize,
) -> *mut Status {
    door(|| {
        // SAFETY: the caller's promise.
        let options = unsafe { borrow_mut(options, "options") }?;
        // SAFETY: the caller's promise.
        let name = unsafe { utf8(name, "name") }?.to_owned();
        // SAFETY: the caller's promise.
        options.in_memory.push((name, unsafe { read_files(files, files_len) }?));
        Ok(())
    })
}

/// Files of the caller, copied.
///
/// # Errors
/// `INVALID_ARG`.
///
/// # Safety
/// `files` is NULL or good for reading so many pointers, with all they point to.
pub(super) unsafe fn read_files(files: *const *const File, files_len: usize) -> Result<Files, Error> {
    // SAFETY: the caller's promise.
    let files = unsafe { slice(files, files_len, "files") }?;
    // SAFETY: the caller's promise.
    files.iter().map(|file| unsafe { read_file(*file) }).collect()
}

/// # Safety
/// `file` is NULL or good for reading, with all it points to.
unsafe fn read_file(file: *const File) -> Result<(String, Vec<u8>), Error> {
    // SAFETY: the caller's promise.
    let file = unsafe { borrow(file, "files") }?;
    check_size::<File>("files", file.struct_size)?;
    // SAFETY: the caller's promise.
    let name = unsafe { utf8(file.name, "files: name") }?.to_owned();
    // SAFETY: the caller's promise.
    Ok((name, unsafe { slice(file.data.cast::<u8>(), file.len, "files: data") }?.to_vec()))
}

/// Looks in a directory for backends that are not linked in: a model whose config says `backend: foo` is served by
/// `libinferlay_backend_foo.so`. Several are searched in the order in which they are added; without any, it is
/// `inferlay/backends` beside the library. Its files run as part of this process.         [one thread] [never blocks]
///
/// `directory`: borrowed for the call.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_options_add_backend_directory(
    options: *mut Options,
    directory: *const c_char,
) -> *mut Status {
    door(|| {
        // SAFETY: the caller's promise.
        let options = unsafe { borrow_mut(options, "options") }?;
        // SAFETY: the caller's promise.
        options.backend_directories.push(unsafe { utf8(directory, "directory") }?.into());
        Ok(())
    })
}

/// Sets an option of a backend that is loaded from a directory or added, such as `library` of `onnxruntime`; its own
/// page lists them. A backend that does not know it fails to begin, and with it the models that need it.
///                                                                                        [one thread] [never blocks]
/// `backend`, `name`, `value`: borrowed for the call.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_options_set_backend_option(
    options: *mut Options,
    backend: *const c_char,
    name: *const c_char,
    value: *const c_char,
) -> *mut Status {
    door(|| {
        // SAFETY: the caller's promise.
        let options = unsafe { borrow_mut(options, "options") }?;
        // SAFETY: the caller's promise.
        let backend = unsafe { utf8(backend, "backend") }?;
        // SAFETY: the caller's promise.
        let name = unsafe { utf8(name, "name") }?;
        // SAFETY: the caller's promise.
        let value = unsafe { utf8(value, "value") }?;
        options.backend_options.push([backend, name, value].map(str::to_owned));
        Ok(())
    })
}

/// Adds a backend that is part of this program: `entry` is the function that its shared library would export as
/// `inferlay_backend_<name>`, see `inferlay_backend.h`. One of the same name as a linked one takes its place.
///                                                                                        [one thread] [never blocks]
/// `entry`: called when a server starts; what it returns must last as long as the process. Not NULL.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_options_add_backend(options: *mut Options, entry: EntryFn) -> *mut Status {
    door(|| {
        // SAFETY: the caller's promise.
        let options = unsafe { borrow_mut(options, "options") }?;
        options.backends.push(entry.ok_or_else(|| Error::invalid_arg("entry: found NULL"))?);
        Ok(())
    })
}

/// Whether the start fails when any model fails to load; false by default.                [one thread] [never blocks]
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_options_set_strict(options: *mut Options, strict: bool) -> *mut Status {
    // SAFETY: the caller's promise.
    unsafe { set(options, |options| options.is_strict = strict) }
}

/// Who may execute besides the workers, for models whose config does not say: one of INFERLAY_CALLER_RUNS_*.
///                                                                                        [one thread] [never blocks]
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_options_set_caller_runs(
    options: *mut Options,
    caller_runs: CallerRunsNumber,
) -> *mut Status {
    door(|| {
        let value = match caller_runs {
            INFERLAY_CALLER_RUNS_NEVER => CallerRuns::Never,
            INFERLAY_CALLER_RUNS_OWN_REQUEST => CallerRuns::OwnRequest,
            INFERLAY_CALLER_RUNS_BATCH => CallerRuns::Batch,
            other => return Err(Error::invalid_arg(format!("caller_runs: found {other}, expected 0, 1 or 2"))),
        };
        // SAFETY: the caller's promise.
        unsafe { borrow_mut(options, "options") }?.caller_runs = Some(value);
        Ok(())
    })
}

/// How many models are loaded at once, at least 1; by default one less than there are cores.
///                                                                                        [one thread] [never blocks]
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_options_set_load_threads_max(options: *mut Options, threads: usize) -> *mut Status {
    // SAFETY: the caller's promise.
    unsafe { set(options, |options| options.load_threads_max = Some(threads)) }
}

/// How many threads one execution may use, at least 1, which is the default and serves several requests at once best.
///                                                                                        [one thread] [never blocks]
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_options_set_execution_threads_max(
    options: *mut Options,
    threads: usize,
) -> *mut Status {
    // SAFETY: the caller's promise.
    unsafe { set(options, |options| options.execution_threads_max = Some(threads)) }
}

/// How many turns a thread spins before it sleeps, at most; 0 for none.                   [one thread] [never blocks]
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_options_set_spin_max(options: *mut Options, turns: u32) -> *mut Status {
    // SAFETY: the caller's promise.
    unsafe { set(options, |options| options.spin_max = Some(turns)) }
}

/// Up to how many bytes a request's part of a batch's output is copied into its response; a larger one is a view that
/// keeps the whole output alive. 4096 by default.                                         [one thread] [never blocks]
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_options_set_small_output_len_max(options: *mut Options, len: usize) -> *mut Status {
    // SAFETY: the caller's promise.
    unsafe { set(options, |options| options.small_output_len_max = Some(len)) }
}

/// Traces one in so many requests; 0, the default, for none.                              [one thread] [never blocks]
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_options_set_trace_every(options: *mut Options, requests: u32) -> *mut Status {
    // SAFETY: the caller's promise.
    unsafe { set(options, |options| options.trace_every = requests) }
}

/// Has `report` called for each model while a server starts, see `inferlay_progress_fn`.  [one thread] [never blocks]
///
/// `report`: NULL for nobody. `user_data`: comes back with each call; borrowed until `inferlay_server_new` returns.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_options_set_progress(
    options: *mut Options,
    report: ProgressFn,
    user_data: *mut c_void,
) -> *mut Status {
    // SAFETY: the caller's promise.
    unsafe {
        set(options, |options| {
            options.progress = report.map(|report| (ProgressTo::Function(report), UserData(user_data)))
        })
    }
}

/// Sends the log of a server to `sink`, see `inferlay_log_fn`. Without it there is no log. [one thread] [never blocks]
///
/// `sink`: NULL for no log. `user_data`: comes back with each call; borrowed until the server was freed and the last of
/// its requests and responses too. `level_min`: one of INFERLAY_LOG_*; what is less grave is left out.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_options_set_log(
    options: *mut Options,
    sink: LogFn,
    user_data: *mut c_void,
    level_min: LogNumber,
) -> *mut Status {
    // SAFETY: the caller's promise.
    unsafe {
        set(options, |options| options.log = sink.map(|sink| (LogTo::Function(sink), UserData(user_data), level_min)))
    }
}

/// # Safety
/// As for [`borrow_mut`].
pub(super) unsafe fn set(options: *mut Options, change: impl FnOnce(&mut Options)) -> *mut Status {
    // SAFETY: the caller's promise.
    door(|| unsafe { borrow_mut(options, "options") }.map(change))
}

/// The numbers of the header are those of the engine.
const _: () = {
    assert!(INFERLAY_LOG_VERBOSE == LogLevel::Verbose as u32);
    assert!(INFERLAY_LOG_INFO == LogLevel::Info as u32);
    assert!(INFERLAY_LOG_WARNING == LogLevel::Warning as u32);
    assert!(INFERLAY_LOG_ERROR == LogLevel::Error as u32);
};
