//! The table of functions that a plugin offers the engine, and the symbol that it exports.

use super::host::{
    inferlay_abi_batch, inferlay_abi_engine, inferlay_abi_host, inferlay_abi_instance, inferlay_abi_request,
    inferlay_abi_source,
};
use super::tensor::{
    inferlay_abi_instance_group, inferlay_abi_instance_spec, inferlay_abi_signature, inferlay_abi_tensor,
};
use super::value::{inferlay_abi_placement, inferlay_abi_status, inferlay_abi_text};
use std::ffi::{c_char, c_void};

/// What a backend promises and needs, as a set.
pub type inferlay_abi_attributes = u32;
/// `execute` may run on a thread of the application that waits for the answer.
pub const INFERLAY_ABI_ATTRIBUTE_CALLER_OK: u32 = 1;
/// `execute` of one instance must always run on the same thread.
pub const INFERLAY_ABI_ATTRIBUTE_INSTANCE_THREAD: u32 = 2;
/// `execute` of one instance may run on several threads at once.
pub const INFERLAY_ABI_ATTRIBUTE_CONCURRENT_EXECUTE: u32 = 4;
/// `model_new` may run on several threads at once.
pub const INFERLAY_ABI_ATTRIBUTE_PARALLEL_LOAD: u32 = 8;
/// Loading a model may execute code that its files contain.
pub const INFERLAY_ABI_ATTRIBUTE_EXECUTES_MODEL_CODE: u32 = 16;
/// Inputs may have `strides`.
pub const INFERLAY_ABI_ATTRIBUTE_STRIDES_OK: u32 = 32;

/// Why a sequence ended.
pub type inferlay_abi_sequence_end = u32;
/// Its last request was answered.
pub const INFERLAY_ABI_SEQUENCE_FINISHED: u32 = 0;
/// No request came for too long.
pub const INFERLAY_ABI_SEQUENCE_TIMED_OUT: u32 = 1;
/// Its caller cancelled it.
pub const INFERLAY_ABI_SEQUENCE_CANCELLED: u32 = 2;
/// A request of it failed.
pub const INFERLAY_ABI_SEQUENCE_FAILED: u32 = 3;
/// The model is unloaded or the server stops.
pub const INFERLAY_ABI_SEQUENCE_STOPPED: u32 = 4;

/// Called once for each placement where memory is in use, with the number of bytes there.
pub type inferlay_abi_memory_fn =
    unsafe extern "C" fn(data: *mut c_void, placement: *const inferlay_abi_placement, len: u64);

/// What a backend can do. Returned by the plugin's symbol; a constant, valid as long as the process runs.
///
/// ```text
///   inferlay_backend_<name>(host)
///     backend_new                    once per server; all else lies between this and backend_free
///       model_new                    once per version of a model
///         model_signature            at once after model_new
///         instance_new               once or more per model
///           execute                  over and over
///         instance_free              before model_free, with no execute under way
///       model_free                   before backend_free
///     backend_free                   after every output's `release` has run
/// ```
///
/// A function may be NULL unless it says that it is required. Unless it says otherwise: it may be called on any
/// thread, and on several at once for different objects, but by one at a time for one object; it may block, but
/// should not for long; pointers it is given are borrowed for the call, and what it returns by pointer stays as
/// valid as the object that it was asked of. Nothing may unwind (throw, panic, longjmp) out of it.
///
/// The three `_free` functions may run on a thread of the plugin's own, from inside the function of the host by which it
/// lets the last thing go. If they wait for threads, they must leave out the one that they run on.
///
/// The pointers `backend`, `model`, `instance`, `batcher` and `batch_data` are the plugin's own: whatever it set
/// them to. They may be NULL.
///
/// Every status that a function returns belongs to the host, which frees it.
#[repr(C)]
#[derive(Debug)]
pub struct inferlay_abi_backend {
    /// `sizeof(inferlay_abi_backend)` of the plugin. This field and the two after it are the same for every major.
    pub struct_size: u32,
    /// INFERLAY_ABI_MAJOR of the plugin.
    pub abi_major: u32,
    /// INFERLAY_ABI_MINOR of the plugin.
    pub abi_minor: u32,
    /// A set of `inferlay_abi_attributes`.
    pub attributes: inferlay_abi_attributes,
    /// Its name in configs, the `<name>` of its symbol. Required.
    pub name: *const c_char,
    /// The version of the framework. NULL: unknown.
    pub version: *const c_char,
    /// File names or extensions (`model.onnx`, `.onnx`) by which a model of it is recognised, the first the
    /// default; ended by a NULL. NULL: none.
    pub file_names: *const *const c_char,
    /// The kinds of memory that `execute` reads inputs from: bit 1 << INFERLAY_ABI_MEMORY_... of each. 0: host
    /// memory.
    pub input_memory: u64,
    /// The instance groups that it would like for models whose config names none; ended by a NULL. NULL: none.
    pub instance_groups: *const *const inferlay_abi_instance_group,
    /// A table of functions that is not part of this one, by its name, or NULL. What lies behind it is the
    /// extension's.
    pub extension: Option<unsafe extern "C" fn(id: *const c_char) -> *const c_void>,

    /// Begins the backend's work for one server. `host` and `engine` stay valid until `backend_free` has returned.
    pub backend_new: Option<
        unsafe extern "C" fn(
            host: *const inferlay_abi_host,
            engine: *const inferlay_abi_engine,
            backend: *mut *mut c_void,
        ) -> *const inferlay_abi_status,
    >,
    /// Ends it. Nothing of it is used afterwards.
    pub backend_free: Option<unsafe extern "C" fn(backend: *mut c_void)>,

    /// Loads one version of a model. Required. `host` and `engine` are those of `backend_new`. Blocks as long as it
    /// takes; one at a time per backend, unless INFERLAY_ABI_ATTRIBUTE_PARALLEL_LOAD is set.
    pub model_new: Option<
        unsafe extern "C" fn(
            backend: *mut c_void,
            host: *const inferlay_abi_host,
            engine: *const inferlay_abi_engine,
            source: *const inferlay_abi_source,
            model: *mut *mut c_void,
        ) -> *const inferlay_abi_status,
    >,
    /// Frees a model. Its instances are freed. Outputs and taken requests may outlive it, as they may an instance.
    pub model_free: Option<unsafe extern "C" fn(model: *mut c_void)>,
    /// What the model itself says of its inputs and outputs, which completes and checks the config. NULL, or a NULL
    /// that it returns: `model_config` says it, or else the config must state them all.
    pub model_signature: Option<unsafe extern "C" fn(model: *mut c_void) -> *const inferlay_abi_signature>,
    /// The completed config as JSON, with Triton's names; it may leave out what it does not complete. Empty:
    /// nothing. With `{"model_transaction_policy": {"decoupled": true}}` in it, a request may get several responses,
    /// unless the user's config says otherwise.
    pub model_config: Option<unsafe extern "C" fn(model: *mut c_void) -> inferlay_abi_text>,
    /// About how much memory a model will use, before it is loaded, so that room can be made. Called as `model_new` is,
    /// and quicker. NULL, a status, or nothing reported: unknown, which is taken for the size of the files.
    pub model_memory_estimate: Option<
        unsafe extern "C" fn(
            backend: *mut c_void,
            source: *const inferlay_abi_source,
            report: inferlay_abi_memory_fn,
            report_data: *mut c_void,
        ) -> *const inferlay_abi_status,
    >,
    /// How much memory a model uses now, weights and caches. [any thread, at any time]
    pub model_memory_use:
        Option<unsafe extern "C" fn(model: *mut c_void, report: inferlay_abi_memory_fn, report_data: *mut c_void)>,
    /// Gives back what is only cached. [any thread, at any time]
    pub model_trim: Option<unsafe extern "C" fn(model: *mut c_void)>,
    /// Takes over a new config, as JSON, without a reload. UNSUPPORTED: reload. No `execute` is under way.
    pub model_reconfigure:
        Option<unsafe extern "C" fn(model: *mut c_void, config: inferlay_abi_text) -> *const inferlay_abi_status>,
    /// Lets go of device memory, and of what can be made again. No `execute` is under way, nor will be until
    /// `model_resume`.
    pub model_suspend: Option<unsafe extern "C" fn(model: *mut c_void) -> *const inferlay_abi_status>,
    /// Makes the model ready again.
    pub model_resume: Option<unsafe extern "C" fn(model: *mut c_void) -> *const inferlay_abi_status>,

    /// Makes one instance. `host_instance` stays valid until `instance_free` has returned. NULL: the state of every
    /// instance is NULL.
    pub instance_new: Option<
        unsafe extern "C" fn(
            model: *mut c_void,
            host_instance: *const inferlay_abi_instance,
            spec: *const inferlay_abi_instance_spec,
            instance: *mut *mut c_void,
        ) -> *const inferlay_abi_status,
    >,
    /// Frees an instance. Outputs may outlive it, and so may taken requests: those that are answered and not released,
    /// and all of them when a stop has given up waiting.
    pub instance_free: Option<unsafe extern "C" fn(instance: *mut c_void)>,
    /// How many batches may be in flight at once; asked once. NULL: 1. More than 1 is for backends that take
    /// requests and answer them after `execute` has returned.
    pub batches_in_flight_max: Option<unsafe extern "C" fn(instance: *mut c_void) -> u32>,
    /// Memory of the backend's own for an input, of `len` bytes, so that the host gathers straight into it. It is
    /// handed over as any memory, and comes back through `batch_input` or `request_input`.
    pub input_alloc: Option<
        unsafe extern "C" fn(
            instance: *mut c_void,
            index: u32,
            len: u64,
            wanted: *const inferlay_abi_placement,
            memory: *mut inferlay_abi_tensor,
        ) -> *const inferlay_abi_status,
    >,
    /// Runs one batch. Required. One call at a time per instance, unless INFERLAY_ABI_ATTRIBUTE_CONCURRENT_EXECUTE
    /// is set; always on the same thread if INFERLAY_ABI_ATTRIBUTE_INSTANCE_THREAD is set, else on any.
    ///
    /// `requests` is an array of `count` requests, valid as they are during the call; `batch` speaks of the same,
    /// numbered alike. A request is answered in one of three ways: with its rows of the batch's outputs
    /// (`batch_output_buffer`, `batch_output`), with an error of its own (`batch_fail`), or later (`batch_take`).
    ///
    /// NULL: each request that was neither failed nor taken is answered with its rows; it gets an INTERNAL error if
    /// an output that it wants is missing. A status: each of them is answered with that error. Either way the host
    /// lets their inputs go, and the instance is ready for more, unless as many batches as `batches_in_flight_max`
    /// have taken requests that are not answered.
    pub execute: Option<
        unsafe extern "C" fn(
            instance: *mut c_void,
            requests: *const *const inferlay_abi_request,
            count: u32,
            batch: *const inferlay_abi_batch,
        ) -> *const inferlay_abi_status,
    >,
    /// The sequence in this slot is over; a new one may follow in it. No `execute` of this instance is under way.
    pub sequence_ended:
        Option<unsafe extern "C" fn(instance: *mut c_void, slot: u32, reason: inferlay_abi_sequence_end)>,

    /// Begins to decide for a model which requests share a batch. The next four are required with it. All of them
    /// run one at a time per model, hold up the model's queue, and must not block.
    pub batcher_new:
        Option<unsafe extern "C" fn(model: *mut c_void, batcher: *mut *mut c_void) -> *const inferlay_abi_status>,
    /// Frees a batcher.
    pub batcher_free: Option<unsafe extern "C" fn(batcher: *mut c_void)>,
    /// A new batch is begun. `*batch_data` is the plugin's own, for this batch.
    pub batch_begin:
        Option<unsafe extern "C" fn(batcher: *mut c_void, batch_data: *mut *mut c_void) -> *const inferlay_abi_status>,
    /// Whether `request` joins the batch: 1 joins, 0 closes the batch without it. The request's properties and
    /// inputs may be read, during the call.
    pub batch_include: Option<
        unsafe extern "C" fn(
            batcher: *mut c_void,
            batch_data: *mut c_void,
            request: *const inferlay_abi_request,
        ) -> u32,
    >,
    /// The batch is closed. `batch_data` is not used afterwards.
    pub batch_end: Option<unsafe extern "C" fn(batcher: *mut c_void, batch_data: *mut c_void)>,
    /// Asks the execution that is under way to end soon, as nobody wants its answers any more; `execute` then returns a
    /// CANCELLED status. It may come when none is under way, and may be ignored. [any thread, while `execute` runs]
    /// [must not block]
    pub instance_interrupt: Option<unsafe extern "C" fn(instance: *mut c_void)>,
}

/// The one symbol that a plugin exports, `inferlay_backend_<name>`, in the file `libinferlay_backend_<name>.so`.
/// The same for every major.
///
/// Called before anything else, possibly several times: once per copy of the engine in the process, and again by
/// each. It does no work. It returns its table, also to a host of another major or an older minor: the host
/// decides, and says why. NULL: it cannot work with this host at all.
pub type inferlay_abi_entry_fn = unsafe extern "C" fn(host: *const inferlay_abi_host) -> *const inferlay_abi_backend;

// SAFETY: a table is a constant, and so is what it points to.
unsafe impl Send for inferlay_abi_backend {}
// SAFETY: as for `Send`.
unsafe impl Sync for inferlay_abi_backend {}
