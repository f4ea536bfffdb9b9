//! The table of functions that the engine offers a plugin, and the opaque objects that they speak of.

use super::tensor::{inferlay_abi_signature, inferlay_abi_tensor, inferlay_abi_timing, inferlay_abi_trace};
use super::value::{
    inferlay_abi_code, inferlay_abi_log_level, inferlay_abi_placement, inferlay_abi_status, inferlay_abi_text,
    inferlay_abi_value,
};
use std::ffi::{c_char, c_void};
use std::marker::PhantomData;

/// The server, as one backend sees it. Valid from `backend_new` until `backend_free` has returned. [any thread]
#[derive(Debug)]
pub struct inferlay_abi_engine {
    _known_by_address: PhantomData<*mut u8>,
}
/// What a model is loaded from. Valid during the call that it is given to.
#[derive(Debug)]
pub struct inferlay_abi_source {
    _known_by_address: PhantomData<*mut u8>,
}
/// The host's side of one instance. Valid from `instance_new` until `instance_free` has returned. [any thread]
#[derive(Debug)]
pub struct inferlay_abi_instance {
    _known_by_address: PhantomData<*mut u8>,
}
/// One batch. Valid during the call of `execute`, on the thread that it was called on.
#[derive(Debug)]
pub struct inferlay_abi_batch {
    _known_by_address: PhantomData<*mut u8>,
}
/// One request. Those given to `execute` are valid during that call, on its thread; one from `batch_take` belongs
/// to the backend until `request_release`, and may be used by one thread at a time. `request_cancelled` may be called
/// by any thread.
#[derive(Debug)]
pub struct inferlay_abi_request {
    _known_by_address: PhantomData<*mut u8>,
}
/// What answers one request; outlives it. Belongs to the backend until `responder_free`; one thread at a time.
#[derive(Debug)]
pub struct inferlay_abi_responder {
    _known_by_address: PhantomData<*mut u8>,
}
/// A response that is being put together. Belongs to the backend until `response_send` or `response_free`; one
/// thread at a time.
#[derive(Debug)]
pub struct inferlay_abi_response {
    _known_by_address: PhantomData<*mut u8>,
}
/// A call of the backend to another model, being put together or under way. Belongs to the backend until
/// `call_free`.
#[derive(Debug)]
pub struct inferlay_abi_call {
    _known_by_address: PhantomData<*mut u8>,
}
/// What another model answered. Valid during the callback that it is given to.
#[derive(Debug)]
pub struct inferlay_abi_reply {
    _known_by_address: PhantomData<*mut u8>,
}
/// A metric of the server. Belongs to the backend until `metric_free`. [any thread]
#[derive(Debug)]
pub struct inferlay_abi_metric {
    _known_by_address: PhantomData<*mut u8>,
}
/// A part of a trace. Belongs to the backend until `span_end`.
#[derive(Debug)]
pub struct inferlay_abi_span {
    _known_by_address: PhantomData<*mut u8>,
}

/// Flags of a request, as a set.
pub type inferlay_abi_request_flags = u32;
/// The request starts its sequence.
pub const INFERLAY_ABI_REQUEST_SEQUENCE_START: u32 = 1;
/// The request ends its sequence.
pub const INFERLAY_ABI_REQUEST_SEQUENCE_END: u32 = 2;

/// What becomes of a request that the backend lets go.
pub type inferlay_abi_release = u32;
/// The backend is done with its inputs.
pub const INFERLAY_ABI_RELEASE_DONE: u32 = 0;
/// The host schedules it once more; the backend has not answered it.
pub const INFERLAY_ABI_RELEASE_RESCHEDULE: u32 = 1;

/// Flags of a response, as a set. With one that is not known nothing is sent: UNSUPPORTED.
pub type inferlay_abi_response_flags = u32;
/// No further response follows.
pub const INFERLAY_ABI_RESPONSE_FINAL: u32 = 1;
/// There is no response, only flags or a status.
pub const INFERLAY_ABI_RESPONSE_EMPTY: u32 = 2;

/// Kinds of metrics.
pub type inferlay_abi_metric_kind = u32;
/// Only rises.
pub const INFERLAY_ABI_METRIC_COUNTER: u32 = 0;
/// Rises and falls.
pub const INFERLAY_ABI_METRIC_GAUGE: u32 = 1;
/// Counts observations by size.
pub const INFERLAY_ABI_METRIC_HISTOGRAM: u32 = 2;

/// Called for each response to a call to another model, in order; the last has INFERLAY_ABI_RESPONSE_FINAL. `reply`
/// is NULL if there is none; `status` is NULL if there is one. Both are borrowed for the callback; the host frees
/// them. [an engine thread, no lock held] [must not block]
pub type inferlay_abi_reply_fn = unsafe extern "C" fn(
    data: *mut c_void,
    reply: *const inferlay_abi_reply,
    flags: inferlay_abi_response_flags,
    status: *const inferlay_abi_status,
);

/// What the host offers. Valid as long as the process runs; the same for all backends of one copy of the engine.
///
/// No function is NULL up to `struct_size`. A plugin built against a newer minor than the host's asks with
/// INFERLAY_ABI_HAS before it uses what that minor added. Unless a function says otherwise: it may be called on any
/// thread, it never blocks, pointers it is given are borrowed for the call, and what it returns by pointer stays as
/// valid as the object that it was asked of. Objects are never null. Every status that a function returns belongs
/// to the plugin, which frees it.
#[repr(C)]
#[derive(Debug)]
pub struct inferlay_abi_host {
    /// `sizeof(inferlay_abi_host)` of the host. This field and the two after it are the same for every major.
    pub struct_size: u32,
    /// INFERLAY_ABI_MAJOR of the host.
    pub abi_major: u32,
    /// INFERLAY_ABI_MINOR of the host.
    pub abi_minor: u32,
    /// 0.
    pub reserved: u32,
    /// The engine's name, such as `inferlay`.
    pub name: *const c_char,
    /// The engine's version.
    pub version: *const c_char,
    /// A table of functions that is not part of this one, by its name, or NULL. What lies behind it is the
    /// extension's.
    pub extension: unsafe extern "C" fn(id: *const c_char) -> *const c_void,

    /// Makes a status with a copy of `message`. Never NULL: without memory it is a constant.
    pub status_new:
        unsafe extern "C" fn(code: inferlay_abi_code, message: inferlay_abi_text) -> *const inferlay_abi_status,

    // The engine.
    /// Writes to the server's log. The sink is the application's and may block.
    pub log: unsafe extern "C" fn(
        engine: *const inferlay_abi_engine,
        level: inferlay_abi_log_level,
        message: inferlay_abi_text,
    ),
    /// How many threads one execution may use.
    pub threads_max: unsafe extern "C" fn(engine: *const inferlay_abi_engine) -> u32,
    /// Now, in nanoseconds on the engine's monotonic clock, on which deadlines and timings lie.
    pub now_ns: unsafe extern "C" fn(engine: *const inferlay_abi_engine) -> u64,
    /// The options that the server was given for this backend, as a JSON object of strings; empty for none.
    pub backend_config: unsafe extern "C" fn(engine: *const inferlay_abi_engine) -> inferlay_abi_text,
    /// The directory that the backend was loaded from; empty for a table in memory.
    pub backend_directory: unsafe extern "C" fn(engine: *const inferlay_abi_engine) -> inferlay_abi_text,
    /// Allocates `len` bytes at `placement`, aligned to `alignment` (a power of two; 0: 64 bytes), for use on
    /// `stream` (0: none). The memory belongs to the backend until `memory_free`. UNSUPPORTED for memory that the
    /// host cannot provide.
    pub memory_alloc: unsafe extern "C" fn(
        engine: *const inferlay_abi_engine,
        placement: *const inferlay_abi_placement,
        len: u64,
        alignment: u64,
        stream: u64,
        data: *mut *mut c_void,
    ) -> *const inferlay_abi_status,
    /// Frees what `memory_alloc` gave, with the same values. `data` may be NULL.
    pub memory_free: unsafe extern "C" fn(
        engine: *const inferlay_abi_engine,
        placement: *const inferlay_abi_placement,
        len: u64,
        alignment: u64,
        stream: u64,
        data: *mut c_void,
    ),
    /// Makes a metric, or finds the one of the same name and labels. `labels` is a JSON object of strings, or
    /// empty. The metric belongs to the backend until `metric_free`.
    pub metric_new: unsafe extern "C" fn(
        engine: *const inferlay_abi_engine,
        kind: inferlay_abi_metric_kind,
        name: inferlay_abi_text,
        description: inferlay_abi_text,
        labels: inferlay_abi_text,
        metric: *mut *mut inferlay_abi_metric,
    ) -> *const inferlay_abi_status,
    /// Adds to a counter (nothing negative) or gauge, or observes a value for a histogram.
    pub metric_add: unsafe extern "C" fn(metric: *const inferlay_abi_metric, value: f64),
    /// Sets a gauge.
    pub metric_set: unsafe extern "C" fn(metric: *const inferlay_abi_metric, value: f64),
    /// Ends the backend's use of a metric; what it counted stays. `metric` may be NULL.
    pub metric_free: unsafe extern "C" fn(metric: *mut inferlay_abi_metric),

    // What a model is loaded from.
    /// The model's name.
    pub source_name: unsafe extern "C" fn(source: *const inferlay_abi_source) -> inferlay_abi_text,
    /// The version, greater than 0.
    pub source_version: unsafe extern "C" fn(source: *const inferlay_abi_source) -> u64,
    /// The config as JSON, with Triton's names, as far as it is known before the model is loaded: its name, inputs,
    /// outputs, largest batch and parameters at least, and all that the user's file says, checked, such as optimization.
    pub source_config: unsafe extern "C" fn(source: *const inferlay_abi_source) -> inferlay_abi_text,
    /// The inputs and outputs that the config states; both lists may be empty. `batches` says whether the config
    /// states a largest batch.
    pub source_signature: unsafe extern "C" fn(source: *const inferlay_abi_source) -> *const inferlay_abi_signature,
    /// The largest batch that the config states: 0 for a model that does not batch. NOT_FOUND if it says nothing.
    pub source_batch_size_max: unsafe extern "C" fn(
        source: *const inferlay_abi_source,
        batch_size_max: *mut u64,
    ) -> *const inferlay_abi_status,
    /// How many parameters the config has.
    pub source_parameter_count: unsafe extern "C" fn(source: *const inferlay_abi_source) -> u32,
    /// A parameter by its number. NOT_FOUND past the last.
    pub source_parameter_at: unsafe extern "C" fn(
        source: *const inferlay_abi_source,
        index: u32,
        name: *mut inferlay_abi_text,
        value: *mut inferlay_abi_text,
    ) -> *const inferlay_abi_status,
    /// A parameter by its name. NOT_FOUND if the config has none of that name.
    pub source_parameter: unsafe extern "C" fn(
        source: *const inferlay_abi_source,
        name: inferlay_abi_text,
        value: *mut inferlay_abi_text,
    ) -> *const inferlay_abi_status,
    /// The name of the model file among the files; empty for a model without one.
    pub source_file: unsafe extern "C" fn(source: *const inferlay_abi_source) -> inferlay_abi_text,
    /// How many files this version of the model has.
    pub source_file_count: unsafe extern "C" fn(source: *const inferlay_abi_source) -> u32,
    /// The name of a file, sorted; those in sub-folders with `/` between. NOT_FOUND past the last.
    pub source_file_name: unsafe extern "C" fn(
        source: *const inferlay_abi_source,
        index: u32,
        name: *mut inferlay_abi_text,
    ) -> *const inferlay_abi_status,
    /// Where a file lies in the file system. A name never leads out of the model's files: NOT_FOUND. UNSUPPORTED
    /// for a file that lies in memory: read it. May block.
    pub source_file_path: unsafe extern "C" fn(
        source: *const inferlay_abi_source,
        name: inferlay_abi_text,
        path: *mut inferlay_abi_text,
    ) -> *const inferlay_abi_status,
    /// The content of a file, valid as long as the source. May block.
    pub source_file_read: unsafe extern "C" fn(
        source: *const inferlay_abi_source,
        name: inferlay_abi_text,
        data: *mut *const c_void,
        len: *mut u64,
    ) -> *const inferlay_abi_status,

    // The instance.
    /// The instance takes another batch, although requests of earlier ones are not answered yet. Not needed up to
    /// `batches_in_flight_max`, nor after the last request of a batch is answered.
    pub instance_ready: unsafe extern "C" fn(instance: *const inferlay_abi_instance) -> *const inferlay_abi_status,

    // The batch. All of it only during `execute`, on its thread.
    /// The sum of the requests' rows along the first dim; 1 for a model that does not batch.
    pub batch_rows: unsafe extern "C" fn(batch: *const inferlay_abi_batch) -> u64,
    /// The stream (a `cudaStream_t`) that the instance's work belongs on; 0 for none.
    pub batch_stream: unsafe extern "C" fn(batch: *const inferlay_abi_batch) -> u64,
    /// All rows of an input, gathered into `wanted` memory on the first call (NULL: ordinary host memory). The
    /// memory is borrowed until `execute` returns, and read-only. One request's own memory passes through. May
    /// copy.
    pub batch_input: unsafe extern "C" fn(
        batch: *const inferlay_abi_batch,
        index: u32,
        wanted: *const inferlay_abi_placement,
        tensor: *mut inferlay_abi_tensor,
    ) -> *const inferlay_abi_status,
    /// 1 if any request wants the output, else 0.
    pub batch_output_wanted: unsafe extern "C" fn(batch: *const inferlay_abi_batch, index: u32) -> u32,
    /// Memory to write all rows of an output into, dense, of the model's type, valid until `execute` returns; what
    /// it holds before is unspecified. It is the caller's own memory where that is possible. `wanted` may be NULL:
    /// ordinary host memory. Once per output, and not together with `batch_output`: FAILED_PRECONDITION.
    /// UNSUPPORTED for BYTES.
    pub batch_output_buffer: unsafe extern "C" fn(
        batch: *const inferlay_abi_batch,
        index: u32,
        shape: *const i64,
        rank: u32,
        wanted: *const inferlay_abi_placement,
        tensor: *mut inferlay_abi_tensor,
    ) -> *const inferlay_abi_status,
    /// Hands over all rows of an output: each request gets its rows. The memory is taken, see
    /// `inferlay_abi_tensor`; without a `release` it is copied before the call returns.
    pub batch_output: unsafe extern "C" fn(
        batch: *const inferlay_abi_batch,
        index: u32,
        tensor: *const inferlay_abi_tensor,
    ) -> *const inferlay_abi_status,
    /// Answers one request with an error, whatever becomes of the others. `status` is taken: the host frees it.
    pub batch_fail: unsafe extern "C" fn(
        batch: *const inferlay_abi_batch,
        request: u32,
        status: *const inferlay_abi_status,
    ) -> *const inferlay_abi_status,
    /// Takes one request out of the batch: the backend owns it until `request_release`, and answers it through a
    /// responder, possibly long after `execute` has returned. Pointers to its inputs that were got before stay
    /// valid only until `execute` returns; those got from `taken` until the release. FAILED_PRECONDITION if it was
    /// taken or failed before.
    pub batch_take: unsafe extern "C" fn(
        batch: *const inferlay_abi_batch,
        request: u32,
        taken: *mut *mut inferlay_abi_request,
    ) -> *const inferlay_abi_status,
    /// Reports when the parts of this execution happened.
    pub batch_timing: unsafe extern "C" fn(
        batch: *const inferlay_abi_batch,
        timing: *const inferlay_abi_timing,
    ) -> *const inferlay_abi_status,

    // Requests, those of a batch and those taken.
    /// The caller's name for it; may be empty.
    pub request_id: unsafe extern "C" fn(request: *const inferlay_abi_request) -> inferlay_abi_text,
    /// Its rows along the first dim; 1 for a model that does not batch.
    pub request_rows: unsafe extern "C" fn(request: *const inferlay_abi_request) -> u64,
    /// 0 is the most urgent.
    pub request_priority: unsafe extern "C" fn(request: *const inferlay_abi_request) -> u32,
    /// A set of `inferlay_abi_request_flags`.
    pub request_flags: unsafe extern "C" fn(request: *const inferlay_abi_request) -> inferlay_abi_request_flags,
    /// The sequence that it belongs to, as a number, or as text if `text` is not empty; 0 and empty for none.
    pub request_correlation_id:
        unsafe extern "C" fn(request: *const inferlay_abi_request, number: *mut u64, text: *mut inferlay_abi_text),
    /// When the answer is worthless, in nanoseconds of `now_ns`; UINT64_MAX for never.
    pub request_deadline_ns: unsafe extern "C" fn(request: *const inferlay_abi_request) -> u64,
    /// 1 if nobody wants the answer any more, else 0; who computes for long looks now and then.
    /// [any thread, while the request is valid]
    pub request_cancelled: unsafe extern "C" fn(request: *const inferlay_abi_request) -> u32,
    /// The trace that it belongs to. NOT_FOUND if it is not traced.
    pub request_trace: unsafe extern "C" fn(
        request: *const inferlay_abi_request,
        trace: *mut inferlay_abi_trace,
    ) -> *const inferlay_abi_status,
    /// How many parameters it has.
    pub request_parameter_count: unsafe extern "C" fn(request: *const inferlay_abi_request) -> u32,
    /// A parameter by its number. NOT_FOUND past the last.
    pub request_parameter_at: unsafe extern "C" fn(
        request: *const inferlay_abi_request,
        index: u32,
        name: *mut inferlay_abi_text,
        value: *mut inferlay_abi_value,
    ) -> *const inferlay_abi_status,
    /// A parameter by its name. NOT_FOUND if there is none of that name.
    pub request_parameter: unsafe extern "C" fn(
        request: *const inferlay_abi_request,
        name: inferlay_abi_text,
        value: *mut inferlay_abi_value,
    ) -> *const inferlay_abi_status,
    /// The number of an input by its name. NOT_FOUND if the model has none of that name.
    pub request_input_index: unsafe extern "C" fn(
        request: *const inferlay_abi_request,
        name: inferlay_abi_text,
        index: *mut u32,
    ) -> *const inferlay_abi_status,
    /// One of its own inputs, and how many buffers hold it. With one buffer the descriptor describes it; with
    /// several, `data` is NULL and `len` their sum. The memory is borrowed until the request is released (until
    /// `execute` returns, if it was not taken), and read-only. NOT_FOUND if it was left out. `buffer_count` may be
    /// NULL.
    pub request_input: unsafe extern "C" fn(
        request: *const inferlay_abi_request,
        index: u32,
        tensor: *mut inferlay_abi_tensor,
        buffer_count: *mut u32,
    ) -> *const inferlay_abi_status,
    /// One of the buffers of an input, in order: a descriptor without `shape` and with `rank` 0. NOT_FOUND past the
    /// last.
    pub request_input_buffer: unsafe extern "C" fn(
        request: *const inferlay_abi_request,
        index: u32,
        buffer: u32,
        part: *mut inferlay_abi_tensor,
    ) -> *const inferlay_abi_status,
    /// The number of an output by its name. NOT_FOUND if the model has none of that name.
    pub request_output_index: unsafe extern "C" fn(
        request: *const inferlay_abi_request,
        name: inferlay_abi_text,
        index: *mut u32,
    ) -> *const inferlay_abi_status,
    /// 1 if this request wants the output, else 0.
    pub request_output_wanted: unsafe extern "C" fn(request: *const inferlay_abi_request, index: u32) -> u32,
    /// The memory that this request wants the output in.
    pub request_output_placement:
        unsafe extern "C" fn(request: *const inferlay_abi_request, index: u32) -> inferlay_abi_placement,
    /// The slot of its sequence, from 0: the same for all requests of the sequence, and free again after
    /// `sequence_ended`.
    pub request_sequence_slot:
        unsafe extern "C" fn(request: *const inferlay_abi_request, slot: *mut u32) -> *const inferlay_abi_status,
    /// A state of its sequence, as the request before left it, on the instance's device. Borrowed as an input is.
    pub request_state_in: unsafe extern "C" fn(
        request: *const inferlay_abi_request,
        index: u32,
        tensor: *mut inferlay_abi_tensor,
    ) -> *const inferlay_abi_status,
    /// Memory on the instance's device to write a state of its sequence into, for the request after. Valid as an
    /// input is.
    pub request_state_buffer: unsafe extern "C" fn(
        request: *const inferlay_abi_request,
        index: u32,
        shape: *const i64,
        rank: u32,
        tensor: *mut inferlay_abi_tensor,
    ) -> *const inferlay_abi_status,
    /// Hands over a state of its sequence, for the request after. The memory is taken as by `batch_output`.
    pub request_state_out: unsafe extern "C" fn(
        request: *const inferlay_abi_request,
        index: u32,
        tensor: *const inferlay_abi_tensor,
    ) -> *const inferlay_abi_status,
    /// Lets a taken request and its inputs go; once, and it is gone whatever is returned. Its answer is independent
    /// of it, but for INFERLAY_ABI_RELEASE_RESCHEDULE, after which nobody may answer it.
    pub request_release: unsafe extern "C" fn(
        request: *mut inferlay_abi_request,
        how: inferlay_abi_release,
    ) -> *const inferlay_abi_status,

    // Responders: how taken requests are answered.
    /// What answers a taken request. Belongs to the backend until `responder_free`.
    pub responder_new: unsafe extern "C" fn(
        request: *const inferlay_abi_request,
        responder: *mut *mut inferlay_abi_responder,
    ) -> *const inferlay_abi_status,
    /// 1 if nobody wants the answer any more, else 0.
    pub responder_cancelled: unsafe extern "C" fn(responder: *const inferlay_abi_responder) -> u32,
    /// How many more responses the caller can take before it has fallen behind; it rises when the caller takes some. It
    /// is advice: one that is sent past it is not lost. 0 once nobody wants more; 1 where the caller takes one response.
    pub responder_credit: unsafe extern "C" fn(responder: *const inferlay_abi_responder) -> u64,
    /// Ends the answer without a further response: with an error if `status` is not NULL, which is taken.
    /// FAILED_PRECONDITION after the final response; CANCELLED when a deadline, a cancel or a stop has ended it;
    /// UNSUPPORTED without a status for a caller that was sent no response yet but expects one, as that of a model that
    /// is not decoupled does.
    pub responder_finish: unsafe extern "C" fn(
        responder: *mut inferlay_abi_responder,
        status: *const inferlay_abi_status,
    ) -> *const inferlay_abi_status,
    /// Reports when the parts of the work on one response happened; before it is sent.
    pub responder_timing: unsafe extern "C" fn(
        responder: *const inferlay_abi_responder,
        timing: *const inferlay_abi_timing,
    ) -> *const inferlay_abi_status,
    /// Gives the responder up. If it was the last of its request and nothing final was sent, the caller gets an
    /// error. `responder` may be NULL.
    pub responder_free: unsafe extern "C" fn(responder: *mut inferlay_abi_responder),
    /// A new response, empty. Belongs to the backend until it is sent or freed, and must be so before its responder
    /// is freed.
    pub response_new: unsafe extern "C" fn(
        responder: *mut inferlay_abi_responder,
        response: *mut *mut inferlay_abi_response,
    ) -> *const inferlay_abi_status,
    /// Hands over an output of this response. The memory is taken as by `batch_output`.
    pub response_output: unsafe extern "C" fn(
        response: *mut inferlay_abi_response,
        index: u32,
        tensor: *const inferlay_abi_tensor,
    ) -> *const inferlay_abi_status,
    /// Memory to write an output of this response into, as by `batch_output_buffer`; valid until it is sent or
    /// freed.
    pub response_output_buffer: unsafe extern "C" fn(
        response: *mut inferlay_abi_response,
        index: u32,
        shape: *const i64,
        rank: u32,
        wanted: *const inferlay_abi_placement,
        tensor: *mut inferlay_abi_tensor,
    ) -> *const inferlay_abi_status,
    /// Sets a parameter of this response.
    pub response_parameter: unsafe extern "C" fn(
        response: *mut inferlay_abi_response,
        name: inferlay_abi_text,
        value: *const inferlay_abi_value,
    ) -> *const inferlay_abi_status,
    /// Sends a response and frees it, whatever is returned. With a status, which is taken, the caller gets that
    /// error instead of the outputs, finally. INVALID_ARG if an output contradicts the model: the caller then gets
    /// that error. FAILED_PRECONDITION after the final response. UNSUPPORTED for one without FINAL of a model that is
    /// not decoupled, which may still send the final one, and for a second response to a caller that takes one, who
    /// then gets that error. Of a decoupled model: responses arrive in the order of sending, from several responders of
    /// a request too; FINAL without outputs, or with EMPTY, ends the answer without a response; CANCELLED when a
    /// deadline, a cancel or a stop has ended it; RESOURCE_EXHAUSTED when the caller is 16 times its credit behind (it
    /// may be made and sent anew, later).
    pub response_send: unsafe extern "C" fn(
        response: *mut inferlay_abi_response,
        flags: inferlay_abi_response_flags,
        status: *const inferlay_abi_status,
    ) -> *const inferlay_abi_status,
    /// Frees a response that is not to be sent. `response` may be NULL.
    pub response_free: unsafe extern "C" fn(response: *mut inferlay_abi_response),

    // Calls to other models.
    /// A call to another model of the server; `version` 0 is the newest. With a parent, which may be NULL, it
    /// inherits deadline, cancellation and trace, and may not lead back to the parent's model.
    pub call_new: unsafe extern "C" fn(
        engine: *const inferlay_abi_engine,
        parent: *const inferlay_abi_request,
        model: inferlay_abi_text,
        version: u64,
        call: *mut *mut inferlay_abi_call,
    ) -> *const inferlay_abi_status,
    /// Sets an input by its name. The memory is taken; without a `release` it is borrowed until `on_release`.
    pub call_input: unsafe extern "C" fn(
        call: *mut inferlay_abi_call,
        name: inferlay_abi_text,
        tensor: *const inferlay_abi_tensor,
    ) -> *const inferlay_abi_status,
    /// Wants an output by its name; without any, all outputs come. `placement` may be NULL: ordinary host memory.
    pub call_output: unsafe extern "C" fn(
        call: *mut inferlay_abi_call,
        name: inferlay_abi_text,
        placement: *const inferlay_abi_placement,
    ) -> *const inferlay_abi_status,
    /// Sets a parameter. `id`, `priority`, `timeout_us`, `sequence_id`, `sequence_start` and `sequence_end` are the
    /// request's own properties.
    pub call_parameter: unsafe extern "C" fn(
        call: *mut inferlay_abi_call,
        name: inferlay_abi_text,
        value: *const inferlay_abi_value,
    ) -> *const inferlay_abi_status,
    /// Sends the call and returns. On success `on_response` runs once or more, never inside this call, and
    /// `on_release` once; on failure neither. `on_release` runs once nothing touches the inputs any more, and may
    /// be NULL. Both run on a thread of the engine with no lock held, and must not block.
    pub call_send: unsafe extern "C" fn(
        call: *mut inferlay_abi_call,
        on_response: inferlay_abi_reply_fn,
        on_release: Option<unsafe extern "C" fn(data: *mut c_void)>,
        data: *mut c_void,
    ) -> *const inferlay_abi_status,
    /// Says that nobody wants the answer any more. `on_response` still runs.
    pub call_cancel: unsafe extern "C" fn(call: *mut inferlay_abi_call),
    /// Frees a call; one that is under way goes on to its end. `call` may be NULL.
    pub call_free: unsafe extern "C" fn(call: *mut inferlay_abi_call),
    /// How many outputs a reply has.
    pub reply_output_count: unsafe extern "C" fn(reply: *const inferlay_abi_reply) -> u32,
    /// An output of a reply and its name. The memory is handed over: it has a `release`. `name` may be NULL.
    /// NOT_FOUND past the last.
    pub reply_output: unsafe extern "C" fn(
        reply: *const inferlay_abi_reply,
        index: u32,
        name: *mut inferlay_abi_text,
        tensor: *mut inferlay_abi_tensor,
    ) -> *const inferlay_abi_status,
    /// A parameter of a reply by its name. NOT_FOUND if there is none of that name.
    pub reply_parameter: unsafe extern "C" fn(
        reply: *const inferlay_abi_reply,
        name: inferlay_abi_text,
        value: *mut inferlay_abi_value,
    ) -> *const inferlay_abi_status,

    // Traces.
    /// Begins a span within the trace of a request. It may outlive the request. `*span` is NULL if the request is
    /// not traced.
    pub span_begin: unsafe extern "C" fn(
        request: *const inferlay_abi_request,
        name: inferlay_abi_text,
        span: *mut *mut inferlay_abi_span,
    ) -> *const inferlay_abi_status,
    /// Sets an attribute of a span. `span` may be NULL.
    pub span_attribute:
        unsafe extern "C" fn(span: *mut inferlay_abi_span, name: inferlay_abi_text, value: *const inferlay_abi_value),
    /// Ends a span and frees it. `span` may be NULL.
    pub span_end: unsafe extern "C" fn(span: *mut inferlay_abi_span),
}

// SAFETY: a table is a constant, and so are its strings.
unsafe impl Send for inferlay_abi_host {}
// SAFETY: as for `Send`.
unsafe impl Sync for inferlay_abi_host {}
