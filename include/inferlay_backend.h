/*
 * The plugin ABI of Inferlay: what a backend in a shared library and the engine hand each other.
 *
 * This header is all that a backend needs. It links against nothing of the engine: the engine loads the file
 * libinferlay_backend_<name>.so, looks up its one exported symbol inferlay_backend_<name>, calls it with the table of
 * functions that the engine offers (inferlay_abi_host), and gets the table of those that the backend offers
 * (inferlay_abi_backend). Link it with a version script `{ global: inferlay_backend_*; local: *; };`.
 *
 * The smallest backend: one that fills in inferlay_abi_backend with INFERLAY_ABI_MAJOR, INFERLAY_ABI_MINOR, a name,
 * model_new, model_free and execute.
 *
 * Rules that hold throughout, and for every version with the same major:
 *   - Tables and descriptors begin with struct_size and grow at the end only. Read what both sizes promise.
 *   - Enumerations are uint32_t. A value that you do not know is INFERLAY_ABI_CODE_UNSUPPORTED.
 *   - Who allocates frees: memory, descriptors and statuses carry the function that lets them go.
 *   - What a function takes, it takes also when it fails. What it only borrows, it borrows for the call.
 *   - What a function writes through a pointer, it writes on success only.
 *   - Nothing may unwind (throw, panic, longjmp) out of a function, in either direction.
 *   - A process may hold several servers and several copies of the engine, which share the plugin: keep the host's
 *     table and the engine with your objects, never in a global variable. Plugins are never unloaded.
 *
 * This file is generated from the Rust sources of the SDK, and is the contract, its comments included.
 */


#ifndef INFERLAY_BACKEND_H
#define INFERLAY_BACKEND_H

#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32)
#define INFERLAY_ABI_EXPORT_ATTRIBUTE __declspec(dllexport)
#elif defined(__GNUC__)
#define INFERLAY_ABI_EXPORT_ATTRIBUTE __attribute__((visibility("default")))
#else
#define INFERLAY_ABI_EXPORT_ATTRIBUTE
#endif

/* Before the declaration of inferlay_backend_<name>. */
#if defined(__cplusplus)
#define INFERLAY_ABI_EXPORT extern "C" INFERLAY_ABI_EXPORT_ATTRIBUTE
#else
#define INFERLAY_ABI_EXPORT INFERLAY_ABI_EXPORT_ATTRIBUTE
#endif

/* Initialises an inferlay_abi_text with a literal. */
#define INFERLAY_ABI_TEXT(literal) { (literal), sizeof(literal) - 1 }

/* Initialises a constant inferlay_abi_status with a literal; return its address. */
#define INFERLAY_ABI_STATUS(code, literal) { sizeof(inferlay_abi_status), (code), INFERLAY_ABI_TEXT(literal), NULL }

/* Initialises an inferlay_abi_tensor: ordinary host memory, everything else 0. */
#define INFERLAY_ABI_TENSOR_INIT \
    { sizeof(inferlay_abi_tensor), 0, 0, 0, NULL, NULL, NULL, 0, NULL, { 0, 0, 0, 0 }, 0, 0, 0, NULL, 0, NULL, NULL }

/* Whether a table that another version may have made reaches as far as `field`, and the field is set. */
#define INFERLAY_ABI_HAS(type, table, field) \
    ((table)->struct_size >= offsetof(type, field) + sizeof((table)->field) && (table)->field)


// The major version of this ABI. Host and plugin must agree on it.
#define INFERLAY_ABI_MAJOR 1

// The minor version of this ABI. A newer minor only appends; host and plugin may differ in it.
#define INFERLAY_ABI_MINOR 0

// Nothing better is known.
#define INFERLAY_ABI_CODE_UNKNOWN 0

// The engine or a backend broke a promise of its own.
#define INFERLAY_ABI_CODE_INTERNAL 1

// Nothing has this name or index.
#define INFERLAY_ABI_CODE_NOT_FOUND 2

// The caller's value is wrong.
#define INFERLAY_ABI_CODE_INVALID_ARG 3

// The model or the server does not serve now.
#define INFERLAY_ABI_CODE_UNAVAILABLE 4

// This side cannot do it.
#define INFERLAY_ABI_CODE_UNSUPPORTED 5

// The name is taken.
#define INFERLAY_ABI_CODE_ALREADY_EXISTS 6

// The caller cancelled the request.
#define INFERLAY_ABI_CODE_CANCELLED 7

// The deadline passed.
#define INFERLAY_ABI_CODE_TIMEOUT 8

// A bound was reached: memory, queue length, number of instances.
#define INFERLAY_ABI_CODE_RESOURCE_EXHAUSTED 9

// The call is right, but not now or not here.
#define INFERLAY_ABI_CODE_FAILED_PRECONDITION 10

// Code panicked or threw; it was contained.
#define INFERLAY_ABI_CODE_PANIC 11

// Said by `execute`: this instance will execute nothing any more, as its device, process or connection is gone. It is
// given no further batch; whoever asked is told UNAVAILABLE. A model without instances does not serve until it is loaded
// anew. Not for what the next request may be spared. A host from before this code was there takes it for UNKNOWN.
#define INFERLAY_ABI_CODE_INSTANCE_LOST 12

// One byte, 0 or 1.
#define INFERLAY_ABI_DTYPE_BOOL 1

// Unsigned, 8 bits.
#define INFERLAY_ABI_DTYPE_UINT8 2

// Unsigned, 16 bits.
#define INFERLAY_ABI_DTYPE_UINT16 3

// Unsigned, 32 bits.
#define INFERLAY_ABI_DTYPE_UINT32 4

// Unsigned, 64 bits.
#define INFERLAY_ABI_DTYPE_UINT64 5

// Signed, 8 bits.
#define INFERLAY_ABI_DTYPE_INT8 6

// Signed, 16 bits.
#define INFERLAY_ABI_DTYPE_INT16 7

// Signed, 32 bits.
#define INFERLAY_ABI_DTYPE_INT32 8

// Signed, 64 bits.
#define INFERLAY_ABI_DTYPE_INT64 9

// IEEE 754, 16 bits.
#define INFERLAY_ABI_DTYPE_FP16 10

// IEEE 754, 32 bits.
#define INFERLAY_ABI_DTYPE_FP32 11

// IEEE 754, 64 bits.
#define INFERLAY_ABI_DTYPE_FP64 12

// Byte strings of any length: one data buffer and n+1 offsets, see `inferlay_abi_tensor`.
#define INFERLAY_ABI_DTYPE_BYTES 13

// The upper 16 bits of FP32.
#define INFERLAY_ABI_DTYPE_BF16 14

// Ordinary memory of the process.
#define INFERLAY_ABI_MEMORY_HOST 0

// Page-locked host memory that a device copies from and to directly.
#define INFERLAY_ABI_MEMORY_PINNED 1

// Memory of a device; the processor cannot read it.
#define INFERLAY_ABI_MEMORY_DEVICE 2

// Memory that migrates between host and device.
#define INFERLAY_ABI_MEMORY_MANAGED 3

// Host memory shared with another process.
#define INFERLAY_ABI_MEMORY_SHARED 4

// The host's processors.
#define INFERLAY_ABI_DEVICE_CPU 0

// A CUDA device; its index is CUDA's.
#define INFERLAY_ABI_DEVICE_CUDA 1

// Nothing: the data is there.
#define INFERLAY_ABI_READY_NOW 0

// The event `ready` (a `cudaEvent_t`) must have been reached.
#define INFERLAY_ABI_READY_EVENT 1

// The work queued so far on the stream `ready` (a `cudaStream_t`) must have finished.
#define INFERLAY_ABI_READY_STREAM 2

// Not at all.
#define INFERLAY_ABI_EXPORT_NONE 0

// `export_handle` is a file descriptor, as an `int`.
#define INFERLAY_ABI_EXPORT_FD 1

// `export_handle` points to a handle of the device's own (a `cudaIpcMemHandle_t`).
#define INFERLAY_ABI_EXPORT_IPC 2

// Every detail.
#define INFERLAY_ABI_LOG_VERBOSE 0

// Worth knowing.
#define INFERLAY_ABI_LOG_INFO 1

// Wrong, but served.
#define INFERLAY_ABI_LOG_WARNING 2

// Something failed.
#define INFERLAY_ABI_LOG_ERROR 3

// `text` holds it.
#define INFERLAY_ABI_VALUE_STRING 0

// `number` holds it.
#define INFERLAY_ABI_VALUE_INT 1

// `real` holds it.
#define INFERLAY_ABI_VALUE_DOUBLE 2

// `number` holds it: 0 or 1.
#define INFERLAY_ABI_VALUE_BOOL 3

// The rank of a tensor whose number of dims is not known before it is there.
#define INFERLAY_ABI_RANK_UNKNOWN 4294967295

// The request starts its sequence.
#define INFERLAY_ABI_REQUEST_SEQUENCE_START 1

// The request ends its sequence.
#define INFERLAY_ABI_REQUEST_SEQUENCE_END 2

// The backend is done with its inputs.
#define INFERLAY_ABI_RELEASE_DONE 0

// The host schedules it once more; the backend has not answered it.
#define INFERLAY_ABI_RELEASE_RESCHEDULE 1

// No further response follows.
#define INFERLAY_ABI_RESPONSE_FINAL 1

// There is no response, only flags or a status.
#define INFERLAY_ABI_RESPONSE_EMPTY 2

// Only rises.
#define INFERLAY_ABI_METRIC_COUNTER 0

// Rises and falls.
#define INFERLAY_ABI_METRIC_GAUGE 1

// Counts observations by size.
#define INFERLAY_ABI_METRIC_HISTOGRAM 2

// `execute` may run on a thread of the application that waits for the answer.
#define INFERLAY_ABI_ATTRIBUTE_CALLER_OK 1

// `execute` of one instance must always run on the same thread.
#define INFERLAY_ABI_ATTRIBUTE_INSTANCE_THREAD 2

// `execute` of one instance may run on several threads at once.
#define INFERLAY_ABI_ATTRIBUTE_CONCURRENT_EXECUTE 4

// `model_new` may run on several threads at once.
#define INFERLAY_ABI_ATTRIBUTE_PARALLEL_LOAD 8

// Loading a model may execute code that its files contain.
#define INFERLAY_ABI_ATTRIBUTE_EXECUTES_MODEL_CODE 16

// Inputs may have `strides`.
#define INFERLAY_ABI_ATTRIBUTE_STRIDES_OK 32

// Its last request was answered.
#define INFERLAY_ABI_SEQUENCE_FINISHED 0

// No request came for too long.
#define INFERLAY_ABI_SEQUENCE_TIMED_OUT 1

// Its caller cancelled it.
#define INFERLAY_ABI_SEQUENCE_CANCELLED 2

// A request of it failed.
#define INFERLAY_ABI_SEQUENCE_FAILED 3

// The model is unloaded or the server stops.
#define INFERLAY_ABI_SEQUENCE_STOPPED 4

// One batch. Valid during the call of `execute`, on the thread that it was called on.
typedef struct inferlay_abi_batch inferlay_abi_batch;

// A call of the backend to another model, being put together or under way. Belongs to the backend until
// `call_free`.
typedef struct inferlay_abi_call inferlay_abi_call;

// The server, as one backend sees it. Valid from `backend_new` until `backend_free` has returned. [any thread]
typedef struct inferlay_abi_engine inferlay_abi_engine;

// The host's side of one instance. Valid from `instance_new` until `instance_free` has returned. [any thread]
typedef struct inferlay_abi_instance inferlay_abi_instance;

// A metric of the server. Belongs to the backend until `metric_free`. [any thread]
typedef struct inferlay_abi_metric inferlay_abi_metric;

// What another model answered. Valid during the callback that it is given to.
typedef struct inferlay_abi_reply inferlay_abi_reply;

// One request. Those given to `execute` are valid during that call, on its thread; one from `batch_take` belongs
// to the backend until `request_release`, and may be used by one thread at a time. `request_cancelled` may be called
// by any thread.
typedef struct inferlay_abi_request inferlay_abi_request;

// What answers one request; outlives it. Belongs to the backend until `responder_free`; one thread at a time.
typedef struct inferlay_abi_responder inferlay_abi_responder;

// A response that is being put together. Belongs to the backend until `response_send` or `response_free`; one
// thread at a time.
typedef struct inferlay_abi_response inferlay_abi_response;

// What a model is loaded from. Valid during the call that it is given to.
typedef struct inferlay_abi_source inferlay_abi_source;

// A part of a trace. Belongs to the backend until `span_end`.
typedef struct inferlay_abi_span inferlay_abi_span;

// What a backend promises and needs, as a set.
typedef uint32_t inferlay_abi_attributes;

// A wish for the instance groups of models whose config names none.
typedef struct inferlay_abi_instance_group {
    // `sizeof(inferlay_abi_instance_group)` of the plugin.
    uint32_t struct_size;

    // An `inferlay_abi_device_kind`.
    uint32_t device;

    // Instances per device; 0 leaves it to the host.
    uint32_t count;

    // The number of devices; 0 for all.
    uint32_t device_count;

    // The indices of the devices: `device_count` of them. May be NULL if there are none.
    const uint32_t *devices;
} inferlay_abi_instance_group;

// Codes of `inferlay_abi_status`; the first eight are Triton's. A code that the reader does not know is
// INFERLAY_ABI_CODE_UNKNOWN to it.
typedef uint32_t inferlay_abi_code;

// UTF-8 text, not ended by a null byte: print it with `"%.*s", (int)text.len, text.data`. `data` may be null if
// `len` is 0. Whose memory it is, and for how long, is said where it is handed over. Never grows, so it is passed
// by value.
typedef struct inferlay_abi_text {
    // The first byte.
    const char *data;

    // The number of bytes.
    size_t len;
} inferlay_abi_text;

// Why something failed. Every function that can fail returns a pointer to one, or NULL for success.
//
// Who returns a status allocates it, and the other side calls its `free` once it has read it, on any thread. A
// status that is a constant has no `free`; refusing with one allocates nothing. INFERLAY_ABI_STATUS initialises
// such a constant, `status_new` of the host makes one with a text of its own.
typedef struct inferlay_abi_status {
    // `sizeof(inferlay_abi_status)` of whoever made it.
    uint32_t struct_size;

    // An `inferlay_abi_code`.
    inferlay_abi_code code;

    // The place, what was found and what was expected. Valid until `free`.
    struct inferlay_abi_text message;

    // Frees the status and its message. NULL: it is a constant.
    void (*free)(const struct inferlay_abi_status *status);
} inferlay_abi_status;

// How grave a log message is.
typedef uint32_t inferlay_abi_log_level;

// Kinds of memory.
typedef uint32_t inferlay_abi_memory_kind;

// Kinds of devices.
typedef uint32_t inferlay_abi_device_kind;

// Where memory lies, or is wanted. Never grows. All zeros: ordinary host memory.
typedef struct inferlay_abi_placement {
    // An `inferlay_abi_memory_kind`.
    inferlay_abi_memory_kind memory;

    // An `inferlay_abi_device_kind`: the device that it belongs to or is pinned for.
    inferlay_abi_device_kind device;

    // Which device of that kind.
    uint32_t index;

    // 0.
    uint32_t reserved;
} inferlay_abi_placement;

// Kinds of metrics.
typedef uint32_t inferlay_abi_metric_kind;

// Types of tensor elements, with Triton's numbers. Little-endian; BOOL is one byte, FP16 and BF16 are raw 16 bits.
typedef uint32_t inferlay_abi_dtype;

// What a model says of one input or output.
typedef struct inferlay_abi_tensor_spec {
    // `sizeof(inferlay_abi_tensor_spec)` of whoever made it.
    uint32_t struct_size;

    // An `inferlay_abi_dtype`.
    inferlay_abi_dtype dtype;

    // Its name, unique among the inputs and unique among the outputs.
    struct inferlay_abi_text name;

    // The dims, the batch included where there is one; -1 for one that varies. May be NULL if there are none.
    const int64_t *dims;

    // The number of dims, or INFERLAY_ABI_RANK_UNKNOWN.
    uint32_t rank;

    // Not 0: a request may leave it out.
    uint32_t optional;
} inferlay_abi_tensor_spec;

// The inputs and outputs of a model. Backends and batches number both in this order, from 0.
typedef struct inferlay_abi_signature {
    // `sizeof(inferlay_abi_signature)` of whoever made it.
    uint32_t struct_size;

    // Not 0: the first dim of every input and output is the batch, given as -1.
    uint32_t batches;

    // The number of inputs.
    uint32_t input_count;

    // The number of outputs.
    uint32_t output_count;

    // The inputs: an array of `input_count` pointers. May be NULL if there are none.
    const struct inferlay_abi_tensor_spec *const *inputs;

    // The outputs: an array of `output_count` pointers. May be NULL if there are none.
    const struct inferlay_abi_tensor_spec *const *outputs;
} inferlay_abi_signature;

// What must have happened before memory may be touched.
typedef uint32_t inferlay_abi_ready_kind;

// How memory can be opened by another process.
typedef uint32_t inferlay_abi_export_kind;

// A tensor, and the memory that it lies in.
//
// Whoever fills a descriptor sets every field; INFERLAY_ABI_TENSOR_INIT sets `struct_size` and zeros. A descriptor
// that the other side fills must have its `struct_size` set before the call; no more than that is written.
//
// The descriptor itself, its `shape` and its `strides` are borrowed for the call by a function that takes one. The
// memory is borrowed or handed over:
//
// - `release` is NULL: the memory is only borrowed, for as long as the function says that hands the descriptor
//   over.
// - `release` is not NULL: the memory now belongs to the receiver, who calls `release(release_data, ...)` exactly
//   once, also if the call that took it fails. It may do so on any thread, and long after: after the instance and
//   the model are freed, but never after the backend is. Until then nobody writes to the memory.
//
// A tensor of BYTES has its strings one after the other in `data`, and one offset more than elements in `offsets`,
// always in host memory: element i lies between offset i and offset i+1. Offset 0 need not be 0. `release` lets
// both go.
typedef struct inferlay_abi_tensor {
    // `sizeof(inferlay_abi_tensor)` of whoever owns the descriptor.
    uint32_t struct_size;

    // An `inferlay_abi_dtype`.
    inferlay_abi_dtype dtype;

    // The number of dims; 0 for a scalar.
    uint32_t rank;

    // An `inferlay_abi_ready_kind`.
    inferlay_abi_ready_kind ready_kind;

    // The dims, outermost first, none negative. May be NULL if `rank` is 0.
    const int64_t *shape;

    // The distance between neighbours along each dim, in bytes. NULL: dense, the last dim fastest.
    const int64_t *strides;

    // The elements, aligned to their type. May be NULL if `len` is 0. An address of the device for its memory.
    void *data;

    // The number of bytes at `data`.
    uint64_t len;

    // The offsets of BYTES; NULL for every other type.
    const uint64_t *offsets;

    // Where `data` lies.
    struct inferlay_abi_placement placement;

    // The event or stream that `ready_kind` speaks of; 0 for INFERLAY_ABI_READY_NOW.
    uint64_t ready;

    // An `inferlay_abi_export_kind`.
    inferlay_abi_export_kind export_kind;

    // The number of bytes at `export_handle`.
    uint32_t export_handle_len;

    // What another process opens the memory with; NULL if it cannot. Borrowed as the descriptor is.
    const void *export_handle;

    // Where `data` lies in what `export_handle` opens, in bytes.
    uint64_t export_offset;

    // Lets the memory go; NULL if it is only borrowed. The owner may reuse it once `ready` has happened, which is
    // an event or stream as in the fields of the same name: what the last reader queued on a device. [any thread]
    // [must not block, and calls nothing of the host but `memory_free`]
    void (*release)(void *release_data, inferlay_abi_ready_kind ready_kind, uint64_t ready);

    // Handed to `release`.
    void *release_data;
} inferlay_abi_tensor;

// When the parts of a batch's or a response's work happened, in nanoseconds of `now_ns`; 0 for what did not.
typedef struct inferlay_abi_timing {
    // `sizeof(inferlay_abi_timing)` of the plugin.
    uint32_t struct_size;

    // Not 0: the work failed, and only the times that are set count.
    uint32_t failed;

    // The backend began to read inputs.
    uint64_t started;

    // It began to compute.
    uint64_t compute_started;

    // It had computed, and began to write outputs.
    uint64_t compute_ended;

    // The outputs were complete.
    uint64_t ended;
} inferlay_abi_timing;

// Flags of a request, as a set.
typedef uint32_t inferlay_abi_request_flags;

// The trace that a request belongs to, with the identifiers of W3C Trace Context.
typedef struct inferlay_abi_trace {
    // `sizeof(inferlay_abi_trace)` of whoever owns the descriptor.
    uint32_t struct_size;

    // The flags of `traceparent`; bit 0: it is sampled.
    uint32_t flags;

    // The trace.
    uint8_t trace_id[16];

    // The span that the engine opened for the request.
    uint8_t span_id[8];
} inferlay_abi_trace;

// Kinds of `inferlay_abi_value`.
typedef uint32_t inferlay_abi_value_kind;

// A parameter of a request or response. Never grows; the fields that its kind does not name are 0.
typedef struct inferlay_abi_value {
    // An `inferlay_abi_value_kind`.
    inferlay_abi_value_kind kind;

    // 0.
    uint32_t reserved;

    // A whole number, or a truth value.
    int64_t number;

    // A floating-point number.
    double real;

    // Text.
    struct inferlay_abi_text text;
} inferlay_abi_value;

// What becomes of a request that the backend lets go.
typedef uint32_t inferlay_abi_release;

// Flags of a response, as a set. With one that is not known nothing is sent: UNSUPPORTED.
typedef uint32_t inferlay_abi_response_flags;

// Called for each response to a call to another model, in order; the last has INFERLAY_ABI_RESPONSE_FINAL. `reply`
// is NULL if there is none; `status` is NULL if there is one. Both are borrowed for the callback; the host frees
// them. [an engine thread, no lock held] [must not block]
typedef void (*inferlay_abi_reply_fn)(void *data,
                                      const struct inferlay_abi_reply *reply,
                                      inferlay_abi_response_flags flags,
                                      const struct inferlay_abi_status *status);

// What the host offers. Valid as long as the process runs; the same for all backends of one copy of the engine.
//
// No function is NULL up to `struct_size`. A plugin built against a newer minor than the host's asks with
// INFERLAY_ABI_HAS before it uses what that minor added. Unless a function says otherwise: it may be called on any
// thread, it never blocks, pointers it is given are borrowed for the call, and what it returns by pointer stays as
// valid as the object that it was asked of. Objects are never null. Every status that a function returns belongs
// to the plugin, which frees it.
typedef struct inferlay_abi_host {
    // `sizeof(inferlay_abi_host)` of the host. This field and the two after it are the same for every major.
    uint32_t struct_size;

    // INFERLAY_ABI_MAJOR of the host.
    uint32_t abi_major;

    // INFERLAY_ABI_MINOR of the host.
    uint32_t abi_minor;

    // 0.
    uint32_t reserved;

    // The engine's name, such as `inferlay`.
    const char *name;

    // The engine's version.
    const char *version;

    // A table of functions that is not part of this one, by its name, or NULL. What lies behind it is the
    // extension's.
    const void *(*extension)(const char *id);

    // Makes a status with a copy of `message`. Never NULL: without memory it is a constant.
    const struct inferlay_abi_status *(*status_new)(inferlay_abi_code code, struct inferlay_abi_text message);

    // Writes to the server's log. The sink is the application's and may block.
    void (*log)(const struct inferlay_abi_engine *engine, inferlay_abi_log_level level, struct inferlay_abi_text message);

    // How many threads one execution may use.
    uint32_t (*threads_max)(const struct inferlay_abi_engine *engine);

    // Now, in nanoseconds on the engine's monotonic clock, on which deadlines and timings lie.
    uint64_t (*now_ns)(const struct inferlay_abi_engine *engine);

    // The options that the server was given for this backend, as a JSON object of strings; empty for none.
    struct inferlay_abi_text (*backend_config)(const struct inferlay_abi_engine *engine);

    // The directory that the backend was loaded from; empty for a table in memory.
    struct inferlay_abi_text (*backend_directory)(const struct inferlay_abi_engine *engine);

    // Allocates `len` bytes at `placement`, aligned to `alignment` (a power of two; 0: 64 bytes), for use on
    // `stream` (0: none). The memory belongs to the backend until `memory_free`. UNSUPPORTED for memory that the
    // host cannot provide.
    const struct inferlay_abi_status *(*memory_alloc)(const struct inferlay_abi_engine *engine,
                                                      const struct inferlay_abi_placement *placement,
                                                      uint64_t len,
                                                      uint64_t alignment,
                                                      uint64_t stream,
                                                      void **data);

    // Frees what `memory_alloc` gave, with the same values. `data` may be NULL.
    void (*memory_free)(const struct inferlay_abi_engine *engine,
                        const struct inferlay_abi_placement *placement,
                        uint64_t len,
                        uint64_t alignment,
                        uint64_t stream,
                        void *data);

    // Makes a metric, or finds the one of the same name and labels. `labels` is a JSON object of strings, or
    // empty. The metric belongs to the backend until `metric_free`.
    const struct inferlay_abi_status *(*metric_new)(const struct inferlay_abi_engine *engine,
                                                    inferlay_abi_metric_kind kind,
                                                    struct inferlay_abi_text name,
                                                    struct inferlay_abi_text description,
                                                    struct inferlay_abi_text labels,
                                                    struct inferlay_abi_metric **metric);

    // Adds to a counter (nothing negative) or gauge, or observes a value for a histogram.
    void (*metric_add)(const struct inferlay_abi_metric *metric, double value);

    // Sets a gauge.
    void (*metric_set)(const struct inferlay_abi_metric *metric, double value);

    // Ends the backend's use of a metric; what it counted stays. `metric` may be NULL.
    void (*metric_free)(struct inferlay_abi_metric *metric);

    // The model's name.
    struct inferlay_abi_text (*source_name)(const struct inferlay_abi_source *source);

    // The version, greater than 0.
    uint64_t (*source_version)(const struct inferlay_abi_source *source);

    // The config as JSON, with Triton's names, as far as it is known before the model is loaded: its name, inputs,
    // outputs, largest batch and parameters at least, and all that the user's file says, checked, such as optimization.
    struct inferlay_abi_text (*source_config)(const struct inferlay_abi_source *source);

    // The inputs and outputs that the config states; both lists may be empty. `batches` says whether the config
    // states a largest batch.
    const struct inferlay_abi_signature *(*source_signature)(const struct inferlay_abi_source *source);

    // The largest batch that the config states: 0 for a model that does not batch. NOT_FOUND if it says nothing.
    const struct inferlay_abi_status *(*source_batch_size_max)(const struct inferlay_abi_source *source,
                                                               uint64_t *batch_size_max);

    // How many parameters the config has.
    uint32_t (*source_parameter_count)(const struct inferlay_abi_source *source);

    // A parameter by its number. NOT_FOUND past the last.
    const struct inferlay_abi_status *(*source_parameter_at)(const struct inferlay_abi_source *source,
                                                             uint32_t index,
                                                             struct inferlay_abi_text *name,
                                                             struct inferlay_abi_text *value);

    // A parameter by its name. NOT_FOUND if the config has none of that name.
    const struct inferlay_abi_status *(*source_parameter)(const struct inferlay_abi_source *source,
                                                          struct inferlay_abi_text name,
                                                          struct inferlay_abi_text *value);

    // The name of the model file among the files; empty for a model without one.
    struct inferlay_abi_text (*source_file)(const struct inferlay_abi_source *source);

    // How many files this version of the model has.
    uint32_t (*source_file_count)(const struct inferlay_abi_source *source);

    // The name of a file, sorted; those in sub-folders with `/` between. NOT_FOUND past the last.
    const struct inferlay_abi_status *(*source_file_name)(const struct inferlay_abi_source *source,
                                                          uint32_t index,
                                                          struct inferlay_abi_text *name);

    // Where a file lies in the file system. A name never leads out of the model's files: NOT_FOUND. UNSUPPORTED
    // for a file that lies in memory: read it. May block.
    const struct inferlay_abi_status *(*source_file_path)(const struct inferlay_abi_source *source,
                                                          struct inferlay_abi_text name,
                                                          struct inferlay_abi_text *path);

    // The content of a file, valid as long as the source. May block.
    const struct inferlay_abi_status *(*source_file_read)(const struct inferlay_abi_source *source,
                                                          struct inferlay_abi_text name,
                                                          const void **data,
                                                          uint64_t *len);

    // The instance takes another batch, although requests of earlier ones are not answered yet. Not needed up to
    // `batches_in_flight_max`, nor after the last request of a batch is answered.
    const struct inferlay_abi_status *(*instance_ready)(const struct inferlay_abi_instance *instance);

    // The sum of the requests' rows along the first dim; 1 for a model that does not batch.
    uint64_t (*batch_rows)(const struct inferlay_abi_batch *batch);

    // The stream (a `cudaStream_t`) that the instance's work belongs on; 0 for none.
    uint64_t (*batch_stream)(const struct inferlay_abi_batch *batch);

    // All rows of an input, gathered into `wanted` memory on the first call (NULL: ordinary host memory). The
    // memory is borrowed until `execute` returns, and read-only. One request's own memory passes through. May
    // copy.
    const struct inferlay_abi_status *(*batch_input)(const struct inferlay_abi_batch *batch,
                                                     uint32_t index,
                                                     const struct inferlay_abi_placement *wanted,
                                                     struct inferlay_abi_tensor *tensor);

    // 1 if any request wants the output, else 0.
    uint32_t (*batch_output_wanted)(const struct inferlay_abi_batch *batch, uint32_t index);

    // Memory to write all rows of an output into, dense, of the model's type, valid until `execute` returns; what
    // it holds before is unspecified. It is the caller's own memory where that is possible. `wanted` may be NULL:
    // ordinary host memory. Once per output, and not together with `batch_output`: FAILED_PRECONDITION.
    // UNSUPPORTED for BYTES.
    const struct inferlay_abi_status *(*batch_output_buffer)(const struct inferlay_abi_batch *batch,
                                                             uint32_t index,
                                                             const int64_t *shape,
                                                             uint32_t rank,
                                                             const struct inferlay_abi_placement *wanted,
                                                             struct inferlay_abi_tensor *tensor);

    // Hands over all rows of an output: each request gets its rows. The memory is taken, see
    // `inferlay_abi_tensor`; without a `release` it is copied before the call returns.
    const struct inferlay_abi_status *(*batch_output)(const struct inferlay_abi_batch *batch,
                                                      uint32_t index,
                                                      const struct inferlay_abi_tensor *tensor);

    // Answers one request with an error, whatever becomes of the others. `status` is taken: the host frees it.
    const struct inferlay_abi_status *(*batch_fail)(const struct inferlay_abi_batch *batch,
                                                    uint32_t request,
                                                    const struct inferlay_abi_status *status);

    // Takes one request out of the batch: the backend owns it until `request_release`, and answers it through a
    // responder, possibly long after `execute` has returned. Pointers to its inputs that were got before stay
    // valid only until `execute` returns; those got from `taken` until the release. FAILED_PRECONDITION if it was
    // taken or failed before.
    const struct inferlay_abi_status *(*batch_take)(const struct inferlay_abi_batch *batch,
                                                    uint32_t request,
                                                    struct inferlay_abi_request **taken);

    // Reports when the parts of this execution happened.
    const struct inferlay_abi_status *(*batch_timing)(const struct inferlay_abi_batch *batch,
                                                      const struct inferlay_abi_timing *timing);

    // The caller's name for it; may be empty.
    struct inferlay_abi_text (*request_id)(const struct inferlay_abi_request *request);

    // Its rows along the first dim; 1 for a model that does not batch.
    uint64_t (*request_rows)(const struct inferlay_abi_request *request);

    // 0 is the most urgent.
    uint32_t (*request_priority)(const struct inferlay_abi_request *request);

    // A set of `inferlay_abi_request_flags`.
    inferlay_abi_request_flags (*request_flags)(const struct inferlay_abi_request *request);

    // The sequence that it belongs to, as a number, or as text if `text` is not empty; 0 and empty for none.
    void (*request_correlation_id)(const struct inferlay_abi_request *request,
                                   uint64_t *number,
                                   struct inferlay_abi_text *text);

    // When the answer is worthless, in nanoseconds of `now_ns`; UINT64_MAX for never.
    uint64_t (*request_deadline_ns)(const struct inferlay_abi_request *request);

    // 1 if nobody wants the answer any more, else 0; who computes for long looks now and then.
    // [any thread, while the request is valid]
    uint32_t (*request_cancelled)(const struct inferlay_abi_request *request);

    // The trace that it belongs to. NOT_FOUND if it is not traced.
    const struct inferlay_abi_status *(*request_trace)(const struct inferlay_abi_request *request,
                                                       struct inferlay_abi_trace *trace);

    // How many parameters it has.
    uint32_t (*request_parameter_count)(const struct inferlay_abi_request *request);

    // A parameter by its number. NOT_FOUND past the last.
    const struct inferlay_abi_status *(*request_parameter_at)(const struct inferlay_abi_request *request,
                                                              uint32_t index,
                                                              struct inferlay_abi_text *name,
                                                              struct inferlay_abi_value *value);

    // A parameter by its name. NOT_FOUND if there is none of that name.
    const struct inferlay_abi_status *(*request_parameter)(const struct inferlay_abi_request *request,
                                                           struct inferlay_abi_text name,
                                                           struct inferlay_abi_value *value);

    // The number of an input by its name. NOT_FOUND if the model has none of that name.
    const struct inferlay_abi_status *(*request_input_index)(const struct inferlay_abi_request *request,
                                                             struct inferlay_abi_text name,
                                                             uint32_t *index);

    // One of its own inputs, and how many buffers hold it. With one buffer the descriptor describes it; with
    // several, `data` is NULL and `len` their sum. The memory is borrowed until the request is released (until
    // `execute` returns, if it was not taken), and read-only. NOT_FOUND if it was left out. `buffer_count` may be
    // NULL.
    const struct inferlay_abi_status *(*request_input)(const struct inferlay_abi_request *request,
                                                       uint32_t index,
                                                       struct inferlay_abi_tensor *tensor,
                                                       uint32_t *buffer_count);

    // One of the buffers of an input, in order: a descriptor without `shape` and with `rank` 0. NOT_FOUND past the
    // last.
    const struct inferlay_abi_status *(*request_input_buffer)(const struct inferlay_abi_request *request,
                                                              uint32_t index,
                                                              uint32_t buffer,
                                                              struct inferlay_abi_tensor *part);

    // The number of an output by its name. NOT_FOUND if the model has none of that name.
    const struct inferlay_abi_status *(*request_output_index)(const struct inferlay_abi_request *request,
                                                              struct inferlay_abi_text name,
                                                              uint32_t *index);

    // 1 if this request wants the output, else 0.
    uint32_t (*request_output_wanted)(const struct inferlay_abi_request *request, uint32_t index);

    // The memory that this request wants the output in.
    struct inferlay_abi_placement (*request_output_placement)(const struct inferlay_abi_request *request, uint32_t index);

    // The slot of its sequence, from 0: the same for all requests of the sequence, and free again after
    // `sequence_ended`.
    const struct inferlay_abi_status *(*request_sequence_slot)(const struct inferlay_abi_request *request,
                                                               uint32_t *slot);

    // A state of its sequence, as the request before left it, on the instance's device. Borrowed as an input is.
    const struct inferlay_abi_status *(*request_state_in)(const struct inferlay_abi_request *request,
                                                          uint32_t index,
                                                          struct inferlay_abi_tensor *tensor);

    // Memory on the instance's device to write a state of its sequence into, for the request after. Valid as an
    // input is.
    const struct inferlay_abi_status *(*request_state_buffer)(const struct inferlay_abi_request *request,
                                                              uint32_t index,
                                                              const int64_t *shape,
                                                              uint32_t rank,
                                                              struct inferlay_abi_tensor *tensor);

    // Hands over a state of its sequence, for the request after. The memory is taken as by `batch_output`.
    const struct inferlay_abi_status *(*request_state_out)(const struct inferlay_abi_request *request,
                                                           uint32_t index,
                                                           const struct inferlay_abi_tensor *tensor);

    // Lets a taken request and its inputs go; once, and it is gone whatever is returned. Its answer is independent
    // of it, but for INFERLAY_ABI_RELEASE_RESCHEDULE, after which nobody may answer it.
    const struct inferlay_abi_status *(*request_release)(struct inferlay_abi_request *request, inferlay_abi_release how);

    // What answers a taken request. Belongs to the backend until `responder_free`.
    const struct inferlay_abi_status *(*responder_new)(const struct inferlay_abi_request *request,
                                                       struct inferlay_abi_responder **responder);

    // 1 if nobody wants the answer any more, else 0.
    uint32_t (*responder_cancelled)(const struct inferlay_abi_responder *responder);

    // How many more responses the caller can take before it has fallen behind; it rises when the caller takes some. It
    // is advice: one that is sent past it is not lost. 0 once nobody wants more; 1 where the caller takes one response.
    uint64_t (*responder_credit)(const struct inferlay_abi_responder *responder);

    // Ends the answer without a further response: with an error if `status` is not NULL, which is taken.
    // FAILED_PRECONDITION after the final response; CANCELLED when a deadline, a cancel or a stop has ended it;
    // UNSUPPORTED without a status for a caller that was sent no response yet but expects one, as that of a model that
    // is not decoupled does.
    const struct inferlay_abi_status *(*responder_finish)(struct inferlay_abi_responder *responder,
                                                          const struct inferlay_abi_status *status);

    // Reports when the parts of the work on one response happened; before it is sent.
    const struct inferlay_abi_status *(*responder_timing)(const struct inferlay_abi_responder *responder,
                                                          const struct inferlay_abi_timing *timing);

    // Gives the responder up. If it was the last of its request and nothing final was sent, the caller gets an
    // error. `responder` may be NULL.
    void (*responder_free)(struct inferlay_abi_responder *responder);

    // A new response, empty. Belongs to the backend until it is sent or freed, and must be so before its responder
    // is freed.
    const struct inferlay_abi_status *(*response_new)(struct inferlay_abi_responder *responder,
                                                      struct inferlay_abi_response **response);

    // Hands over an output of this response. The memory is taken as by `batch_output`.
    const struct inferlay_abi_status *(*response_output)(struct inferlay_abi_response *response,
                                                         uint32_t index,
                                                         const struct inferlay_abi_tensor *tensor);

    // Memory to write an output of this response into, as by `batch_output_buffer`; valid until it is sent or
    // freed.
    const struct inferlay_abi_status *(*response_output_buffer)(struct inferlay_abi_response *response,
                                                                uint32_t index,
                                                                const int64_t *shape,
                                                                uint32_t rank,
                                                                const struct inferlay_abi_placement *wanted,
                                                                struct inferlay_abi_tensor *tensor);

    // Sets a parameter of this response.
    const struct inferlay_abi_status *(*response_parameter)(struct inferlay_abi_response *response,
                                                            struct inferlay_abi_text name,
                                                            const struct inferlay_abi_value *value);

    // Sends a response and frees it, whatever is returned. With a status, which is taken, the caller gets that
    // error instead of the outputs, finally. INVALID_ARG if an output contradicts the model: the caller then gets
    // that error. FAILED_PRECONDITION after the final response. UNSUPPORTED for one without FINAL of a model that is
    // not decoupled, which may still send the final one, and for a second response to a caller that takes one, who
    // then gets that error. Of a decoupled model: responses arrive in the order of sending, from several responders of
    // a request too; FINAL without outputs, or with EMPTY, ends the answer without a response; CANCELLED when a
    // deadline, a cancel or a stop has ended it; RESOURCE_EXHAUSTED when the caller is 16 times its credit behind (it
    // may be made and sent anew, later).
    const struct inferlay_abi_status *(*response_send)(struct inferlay_abi_response *response,
                                                       inferlay_abi_response_flags flags,
                                                       const struct inferlay_abi_status *status);

    // Frees a response that is not to be sent. `response` may be NULL.
    void (*response_free)(struct inferlay_abi_response *response);

    // A call to another model of the server; `version` 0 is the newest. With a parent, which may be NULL, it
    // inherits deadline, cancellation and trace, and may not lead back to the parent's model.
    const struct inferlay_abi_status *(*call_new)(const struct inferlay_abi_engine *engine,
                                                  const struct inferlay_abi_request *parent,
                                                  struct inferlay_abi_text model,
                                                  uint64_t version,
                                                  struct inferlay_abi_call **call);

    // Sets an input by its name. The memory is taken; without a `release` it is borrowed until `on_release`.
    const struct inferlay_abi_status *(*call_input)(struct inferlay_abi_call *call,
                                                    struct inferlay_abi_text name,
                                                    const struct inferlay_abi_tensor *tensor);

    // Wants an output by its name; without any, all outputs come. `placement` may be NULL: ordinary host memory.
    const struct inferlay_abi_status *(*call_output)(struct inferlay_abi_call *call,
                                                     struct inferlay_abi_text name,
                                                     const struct inferlay_abi_placement *placement);

    // Sets a parameter. `id`, `priority`, `timeout_us`, `sequence_id`, `sequence_start` and `sequence_end` are the
    // request's own properties.
    const struct inferlay_abi_status *(*call_parameter)(struct inferlay_abi_call *call,
                                                        struct inferlay_abi_text name,
                                                        const struct inferlay_abi_value *value);

    // Sends the call and returns. On success `on_response` runs once or more, never inside this call, and
    // `on_release` once; on failure neither. `on_release` runs once nothing touches the inputs any more, and may
    // be NULL. Both run on a thread of the engine with no lock held, and must not block.
    const struct inferlay_abi_status *(*call_send)(struct inferlay_abi_call *call,
                                                   inferlay_abi_reply_fn on_response,
                                                   void (*on_release)(void *data),
                                                   void *data);

    // Says that nobody wants the answer any more. `on_response` still runs.
    void (*call_cancel)(struct inferlay_abi_call *call);

    // Frees a call; one that is under way goes on to its end. `call` may be NULL.
    void (*call_free)(struct inferlay_abi_call *call);

    // How many outputs a reply has.
    uint32_t (*reply_output_count)(const struct inferlay_abi_reply *reply);

    // An output of a reply and its name. The memory is handed over: it has a `release`. `name` may be NULL.
    // NOT_FOUND past the last.
    const struct inferlay_abi_status *(*reply_output)(const struct inferlay_abi_reply *reply,
                                                      uint32_t index,
                                                      struct inferlay_abi_text *name,
                                                      struct inferlay_abi_tensor *tensor);

    // A parameter of a reply by its name. NOT_FOUND if there is none of that name.
    const struct inferlay_abi_status *(*reply_parameter)(const struct inferlay_abi_reply *reply,
                                                         struct inferlay_abi_text name,
                                                         struct inferlay_abi_value *value);

    // Begins a span within the trace of a request. It may outlive the request. `*span` is NULL if the request is
    // not traced.
    const struct inferlay_abi_status *(*span_begin)(const struct inferlay_abi_request *request,
                                                    struct inferlay_abi_text name,
                                                    struct inferlay_abi_span **span);

    // Sets an attribute of a span. `span` may be NULL.
    void (*span_attribute)(struct inferlay_abi_span *span,
                           struct inferlay_abi_text name,
                           const struct inferlay_abi_value *value);

    // Ends a span and frees it. `span` may be NULL.
    void (*span_end)(struct inferlay_abi_span *span);
} inferlay_abi_host;

// Called once for each placement where memory is in use, with the number of bytes there.
typedef void (*inferlay_abi_memory_fn)(void *data, const struct inferlay_abi_placement *placement, uint64_t len);

// One instance to be made.
typedef struct inferlay_abi_instance_spec {
    // `sizeof(inferlay_abi_instance_spec)` of the host.
    uint32_t struct_size;

    // Counts from 0 within the model version.
    uint32_t index;

    // The device that it executes on; `memory` is 0.
    struct inferlay_abi_placement placement;

    // How many threads one execution may use.
    uint32_t threads_max;

    // 0.
    uint32_t reserved;

    // The instance group of the config as JSON (name, host policy, profiles, secondary devices, passive), or
    // empty. Borrowed for the call.
    struct inferlay_abi_text group;
} inferlay_abi_instance_spec;

// Why a sequence ended.
typedef uint32_t inferlay_abi_sequence_end;

// What a backend can do. Returned by the plugin's symbol; a constant, valid as long as the process runs.
//
// ```text
//   inferlay_backend_<name>(host)
//     backend_new                    once per server; all else lies between this and backend_free
//       model_new                    once per version of a model
//         model_signature            at once after model_new
//         instance_new               once or more per model
//           execute                  over and over
//         instance_free              before model_free, with no execute under way
//       model_free                   before backend_free
//     backend_free                   after every output's `release` has run
// ```
//
// A function may be NULL unless it says that it is required. Unless it says otherwise: it may be called on any
// thread, and on several at once for different objects, but by one at a time for one object; it may block, but
// should not for long; pointers it is given are borrowed for the call, and what it returns by pointer stays as
// valid as the object that it was asked of. Nothing may unwind (throw, panic, longjmp) out of it.
//
// The three `_free` functions may run on a thread of the plugin's own, from inside the function of the host by which it
// lets the last thing go. If they wait for threads, they must leave out the one that they run on.
//
// The pointers `backend`, `model`, `instance`, `batcher` and `batch_data` are the plugin's own: whatever it set
// them to. They may be NULL.
//
// Every status that a function returns belongs to the host, which frees it.
typedef struct inferlay_abi_backend {
    // `sizeof(inferlay_abi_backend)` of the plugin. This field and the two after it are the same for every major.
    uint32_t struct_size;

    // INFERLAY_ABI_MAJOR of the plugin.
    uint32_t abi_major;

    // INFERLAY_ABI_MINOR of the plugin.
    uint32_t abi_minor;

    // A set of `inferlay_abi_attributes`.
    inferlay_abi_attributes attributes;

    // Its name in configs, the `<name>` of its symbol. Required.
    const char *name;

    // The version of the framework. NULL: unknown.
    const char *version;

    // File names or extensions (`model.onnx`, `.onnx`) by which a model of it is recognised, the first the
    // default; ended by a NULL. NULL: none.
    const char *const *file_names;

    // The kinds of memory that `execute` reads inputs from: bit 1 << INFERLAY_ABI_MEMORY_... of each. 0: host
    // memory.
    uint64_t input_memory;

    // The instance groups that it would like for models whose config names none; ended by a NULL. NULL: none.
    const struct inferlay_abi_instance_group *const *instance_groups;

    // A table of functions that is not part of this one, by its name, or NULL. What lies behind it is the
    // extension's.
    const void *(*extension)(const char *id);

    // Begins the backend's work for one server. `host` and `engine` stay valid until `backend_free` has returned.
    const struct inferlay_abi_status *(*backend_new)(const struct inferlay_abi_host *host,
                                                     const struct inferlay_abi_engine *engine,
                                                     void **backend);

    // Ends it. Nothing of it is used afterwards.
    void (*backend_free)(void *backend);

    // Loads one version of a model. Required. `host` and `engine` are those of `backend_new`. Blocks as long as it
    // takes; one at a time per backend, unless INFERLAY_ABI_ATTRIBUTE_PARALLEL_LOAD is set.
    const struct inferlay_abi_status *(*model_new)(void *backend,
                                                   const struct inferlay_abi_host *host,
                                                   const struct inferlay_abi_engine *engine,
                                                   const struct inferlay_abi_source *source,
                                                   void **model);

    // Frees a model. Its instances are freed. Outputs and taken requests may outlive it, as they may an instance.
    void (*model_free)(void *model);

    // What the model itself says of its inputs and outputs, which completes and checks the config. NULL, or a NULL
    // that it returns: `model_config` says it, or else the config must state them all.
    const struct inferlay_abi_signature *(*model_signature)(void *model);

    // The completed config as JSON, with Triton's names; it may leave out what it does not complete. Empty:
    // nothing. With `{"model_transaction_policy": {"decoupled": true}}` in it, a request may get several responses,
    // unless the user's config says otherwise.
    struct inferlay_abi_text (*model_config)(void *model);

    // About how much memory a model will use, before it is loaded, so that room can be made. Called as `model_new` is,
    // and quicker. NULL, a status, or nothing reported: unknown, which is taken for the size of the files.
    const struct inferlay_abi_status *(*model_memory_estimate)(void *backend,
                                                               const struct inferlay_abi_source *source,
                                                               inferlay_abi_memory_fn report,
                                                               void *report_data);

    // How much memory a model uses now, weights and caches. [any thread, at any time]
    void (*model_memory_use)(void *model, inferlay_abi_memory_fn report, void *report_data);

    // Gives back what is only cached. [any thread, at any time]
    void (*model_trim)(void *model);

    // Takes over a new config, as JSON, without a reload. UNSUPPORTED: reload. No `execute` is under way.
    const struct inferlay_abi_status *(*model_reconfigure)(void *model, struct inferlay_abi_text config);

    // Lets go of device memory, and of what can be made again. No `execute` is under way, nor will be until
    // `model_resume`.
    const struct inferlay_abi_status *(*model_suspend)(void *model);

    // Makes the model ready again.
    const struct inferlay_abi_status *(*model_resume)(void *model);

    // Makes one instance. `host_instance` stays valid until `instance_free` has returned. NULL: the state of every
    // instance is NULL.
    const struct inferlay_abi_status *(*instance_new)(void *model,
                                                      const struct inferlay_abi_instance *host_instance,
                                                      const struct inferlay_abi_instance_spec *spec,
                                                      void **instance);

    // Frees an instance. Outputs may outlive it, and so may taken requests: those that are answered and not released,
    // and all of them when a stop has given up waiting.
    void (*instance_free)(void *instance);

    // How many batches may be in flight at once; asked once. NULL: 1. More than 1 is for backends that take
    // requests and answer them after `execute` has returned.
    uint32_t (*batches_in_flight_max)(void *instance);

    // Memory of the backend's own for an input, of `len` bytes, so that the host gathers straight into it. It is
    // handed over as any memory, and comes back through `batch_input` or `request_input`.
    const struct inferlay_abi_status *(*input_alloc)(void *instance,
                                                     uint32_t index,
                                                     uint64_t len,
                                                     const struct inferlay_abi_placement *wanted,
                                                     struct inferlay_abi_tensor *memory);

    // Runs one batch. Required. One call at a time per instance, unless INFERLAY_ABI_ATTRIBUTE_CONCURRENT_EXECUTE
    // is set; always on the same thread if INFERLAY_ABI_ATTRIBUTE_INSTANCE_THREAD is set, else on any.
    //
    // `requests` is an array of `count` requests, valid as they are during the call; `batch` speaks of the same,
    // numbered alike. A request is answered in one of three ways: with its rows of the batch's outputs
    // (`batch_output_buffer`, `batch_output`), with an error of its own (`batch_fail`), or later (`batch_take`).
    //
    // NULL: each request that was neither failed nor taken is answered with its rows; it gets an INTERNAL error if
    // an output that it wants is missing. A status: each of them is answered with that error. Either way the host
    // lets their inputs go, and the instance is ready for more, unless as many batches as `batches_in_flight_max`
    // have taken requests that are not answered.
    const struct inferlay_abi_status *(*execute)(void *instance,
                                                 const struct inferlay_abi_request *const *requests,
                                                 uint32_t count,
                                                 const struct inferlay_abi_batch *batch);

    // The sequence in this slot is over; a new one may follow in it. No `execute` of this instance is under way.
    void (*sequence_ended)(void *instance, uint32_t slot, inferlay_abi_sequence_end reason);

    // Begins to decide for a model which requests share a batch. The next four are required with it. All of them
    // run one at a time per model, hold up the model's queue, and must not block.
    const struct inferlay_abi_status *(*batcher_new)(void *model, void **batcher);

    // Frees a batcher.
    void (*batcher_free)(void *batcher);

    // A new batch is begun. `*batch_data` is the plugin's own, for this batch.
    const struct inferlay_abi_status *(*batch_begin)(void *batcher, void **batch_data);

    // Whether `request` joins the batch: 1 joins, 0 closes the batch without it. The request's properties and
    // inputs may be read, during the call.
    uint32_t (*batch_include)(void *batcher, void *batch_data, const struct inferlay_abi_request *request);

    // The batch is closed. `batch_data` is not used afterwards.
    void (*batch_end)(void *batcher, void *batch_data);

    // Asks the execution that is under way to end soon, as nobody wants its answers any more; `execute` then returns a
    // CANCELLED status. It may come when none is under way, and may be ignored. [any thread, while `execute` runs]
    // [must not block]
    void (*instance_interrupt)(void *instance);
} inferlay_abi_backend;

// The one symbol that a plugin exports, `inferlay_backend_<name>`, in the file `libinferlay_backend_<name>.so`.
// The same for every major.
//
// Called before anything else, possibly several times: once per copy of the engine in the process, and again by
// each. It does no work. It returns its table, also to a host of another major or an older minor: the host
// decides, and says why. NULL: it cannot work with this host at all.
typedef const struct inferlay_abi_backend *(*inferlay_abi_entry_fn)(const struct inferlay_abi_host *host);

#endif  /* INFERLAY_BACKEND_H */
