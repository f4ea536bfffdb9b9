/* inferlay.h - a model server that is a library: load models, send requests, read responses, in this very process.
 *
 * Handles are opaque. What a function of `_new` hands out goes to the `_free` of the same noun. Every call that can
 * fail returns an `inferlay_status *`: NULL when all went well, else a status that is the caller's, with a code and a
 * message; what a busy server refuses allocates nothing. Results are written on success only. Strings are UTF-8 and
 * NUL-terminated.
 *
 * Each comment says who owns what afterwards: a parameter is borrowed for the call, borrowed until release, or taken.
 * In brackets stand the threads, and whether the call waits:
 *   [any thread]      any number of threads at once, on the same object too
 *   [one thread]      one thread at a time for the same object
 *   [inside execute]  the thread that runs a model's function, until that returns; for a batch that was pulled, one
 *                     thread at a time
 *   [blocks: ..]      may wait; inside a callback or an execution it fails with FAILED_PRECONDITION instead
 * Parameters are never NULL where their comment does not say so; a NULL fails with INVALID_ARG, and a string that is
 * not UTF-8 too.
 *
 * In the child of a fork every call fails with FAILED_PRECONDITION, and every `_free` does nothing. The library
 * installs no signal handlers, changes no environment and prints nothing.
 */

#ifndef INFERLAY_H
#define INFERLAY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#if defined(__GNUC__)
#define INFERLAY_MUST_USE __attribute__((warn_unused_result))
#else
#define INFERLAY_MUST_USE
#endif

// Of inferlay_backend.h, which only programs with backends of their own include.
struct inferlay_abi_backend;
struct inferlay_abi_host;

// The version of this header. `inferlay_server_new` takes it, so that a program built against another one is noticed.
#define INFERLAY_API_VERSION 1

// Nothing better is known.
#define INFERLAY_CODE_UNKNOWN 0

// The library or a backend broke a promise of its own.
#define INFERLAY_CODE_INTERNAL 1

// No model, version, input, output or file has this name.
#define INFERLAY_CODE_NOT_FOUND 2

// A value of the caller is wrong; the message says which, what was found and what was expected.
#define INFERLAY_CODE_INVALID_ARG 3

// The model or the server does not serve now.
#define INFERLAY_CODE_UNAVAILABLE 4

// Neither the library nor the backend can do this.
#define INFERLAY_CODE_UNSUPPORTED 5

// The name is taken.
#define INFERLAY_CODE_ALREADY_EXISTS 6

// The request was cancelled.
#define INFERLAY_CODE_CANCELLED 7

// The deadline passed.
#define INFERLAY_CODE_TIMEOUT 8

// A bound was reached: queue length, memory, number of instances.
#define INFERLAY_CODE_RESOURCE_EXHAUSTED 9

// The call is right but not now or not here, such as a call that waits inside a callback.
#define INFERLAY_CODE_FAILED_PRECONDITION 10

// Code of a backend or of the library panicked; it was contained.
#define INFERLAY_CODE_PANIC 11

// Said by a function that is a model: this instance will execute nothing any more, as its device, process or connection
// is gone. It is given no further batch; whoever asked is told UNAVAILABLE, and so is everybody when none is left. Not for
// what the next request may be spared. No request is answered with it.
#define INFERLAY_CODE_INSTANCE_LOST 12

// One byte, 0 or 1.
#define INFERLAY_TYPE_BOOL 1

// `uint8_t`
#define INFERLAY_TYPE_UINT8 2

// `uint16_t`
#define INFERLAY_TYPE_UINT16 3

// `uint32_t`
#define INFERLAY_TYPE_UINT32 4

// `uint64_t`
#define INFERLAY_TYPE_UINT64 5

// `int8_t`
#define INFERLAY_TYPE_INT8 6

// `int16_t`
#define INFERLAY_TYPE_INT16 7

// `int32_t`
#define INFERLAY_TYPE_INT32 8

// `int64_t`
#define INFERLAY_TYPE_INT64 9

// IEEE half precision.
#define INFERLAY_TYPE_FP16 10

// `float`
#define INFERLAY_TYPE_FP32 11

// `double`
#define INFERLAY_TYPE_FP64 12

// Strings of bytes, of any length. In memory: their contents one after the other, and n+1 offsets (`uint64_t`) into
// these. On the wire: before each element its length as 4 bytes, little-endian.
#define INFERLAY_TYPE_BYTES 13

// The upper half of a `float`.
#define INFERLAY_TYPE_BF16 14

// Ordinary memory of the process.
#define INFERLAY_MEMORY_HOST 0

// Page-locked host memory.
#define INFERLAY_MEMORY_PINNED 1

// Memory of a device, which the host cannot read.
#define INFERLAY_MEMORY_DEVICE 2

// Memory that migrates between host and device.
#define INFERLAY_MEMORY_MANAGED 3

// Nothing: the data is there.
#define INFERLAY_READY_NOW 0

// A device event (`cudaEvent_t`) has been reached.
#define INFERLAY_READY_EVENT 1

// The work queued so far on a stream (`cudaStream_t`) has finished.
#define INFERLAY_READY_STREAM 2

// Workers execute everything.
#define INFERLAY_CALLER_RUNS_NEVER 0

// A thread that waits in `inferlay_infer` may execute its own request, when an instance is idle and nothing waits. The
// default.
#define INFERLAY_CALLER_RUNS_OWN_REQUEST 1

// Such a thread may also execute batches with the requests of others, two at most.
#define INFERLAY_CALLER_RUNS_BATCH 2

// Every detail.
#define INFERLAY_LOG_VERBOSE 0

// Worth knowing.
#define INFERLAY_LOG_INFO 1

// Wrong, but served.
#define INFERLAY_LOG_WARNING 2

// Something failed.
#define INFERLAY_LOG_ERROR 3

// All, when it starts. The default. `inferlay_server_poll` looks again.
#define INFERLAY_MODEL_CONTROL_NONE 0

// Those that are asked for, by `inferlay_options_add_load` and `inferlay_server_load_model`.
#define INFERLAY_MODEL_CONTROL_EXPLICIT 1

// All, when it starts, and whatever changes in the repositories afterwards.
#define INFERLAY_MODEL_CONTROL_POLL 2

// SHA-256, which every system can check: `sha256sum --check inferlay.manifest`.
#define INFERLAY_SUM_SHA256 0

// BLAKE3, a few times faster on large files.
#define INFERLAY_SUM_BLAKE3 1

// The request starts its sequence.
#define INFERLAY_SEQUENCE_START 1

// The request ends its sequence.
#define INFERLAY_SEQUENCE_END 2

// No further response follows.
#define INFERLAY_RESPONSE_FINAL 1

// A response: what `inferlay_response_fn` would be told.
#define INFERLAY_EVENT_RESPONSE 1

// A release: what `inferlay_release_fn` would be told.
#define INFERLAY_EVENT_RELEASE 2

// A line of a server's log, see `inferlay_options_set_log_queue`.
#define INFERLAY_EVENT_LOG 3

// A model that was loaded or failed to, see `inferlay_options_set_progress_queue`.
#define INFERLAY_EVENT_PROGRESS 4

// An operation that is over, see `inferlay_operation_on_done_queue`.
#define INFERLAY_EVENT_DONE 5

// A version of a model whose state has changed, see `inferlay_server_subscribe_queue`.
#define INFERLAY_EVENT_CHANGE 6

// A text.
#define INFERLAY_PARAMETER_STRING 1

// A whole number.
#define INFERLAY_PARAMETER_INT 2

// A floating-point number.
#define INFERLAY_PARAMETER_DOUBLE 3

// A truth value.
#define INFERLAY_PARAMETER_BOOL 4

// YAML, and so may be JSON. The default.
#define INFERLAY_CONFIG_FORMAT_YAML 0

// The text format of protocol buffers, as `config.pbtxt` has it.
#define INFERLAY_CONFIG_FORMAT_PBTXT 1

// What the config says. The default.
#define INFERLAY_SWAP_AS_CONFIGURED 0

// It serves on, and the new one fails with RESOURCE_EXHAUSTED.
#define INFERLAY_SWAP_OVERLAP 1

// It finishes what it has and goes first, and requests wait for the new one.
#define INFERLAY_SWAP_REPLACE 2

// Known, and not asked to be loaded.
#define INFERLAY_STATE_UNKNOWN 0

// Being loaded.
#define INFERLAY_STATE_LOADING 1

// Serving.
#define INFERLAY_STATE_READY 2

// Not serving; the reason says why.
#define INFERLAY_STATE_UNAVAILABLE 3

// No longer serving: what it has is being answered, and then it is freed.
#define INFERLAY_STATE_UNLOADING 4

// It only rises, such as a number of events.
#define INFERLAY_METRIC_COUNTER 0

// It rises and falls, such as a number of sessions.
#define INFERLAY_METRIC_GAUGE 1

// It counts values by their size.
#define INFERLAY_METRIC_HISTOGRAM 2

// One batch: inputs, places for outputs, and what the requests say. Where the model batches, the first dim of every
// input and output is the number of rows. One that `execute` was given lives until that returns; one that was pulled
// from a queue is the caller's until it is freed, and is used by one thread at a time.
typedef struct inferlay_batch inferlay_batch;

// Where the batches of a pulled model wait. Any number of threads may pull from it at once.
typedef struct inferlay_batch_queue inferlay_batch_queue;

// A metric of the application. Any number of threads may change it at once.
typedef struct inferlay_metric inferlay_metric;

// A load, an unload or a poll that is under way, or over. It goes on when it is freed.
typedef struct inferlay_operation inferlay_operation;

// Options of a server, and what it loads at start. Used by one thread at a time; any number of servers may be started
// with the same.
typedef struct inferlay_options inferlay_options;

// A completion queue: where answers are waited for, of any number of requests to any number of servers.
typedef struct inferlay_queue inferlay_queue;

// One request to one model: inputs, wishes, parameters. Used by one thread at a time, but for cancel, which any thread
// may call at any time; used any number of times, one after the other.
typedef struct inferlay_request inferlay_request;

// What answers one request of a batch, from any thread, also after `execute` has returned.
typedef struct inferlay_responder inferlay_responder;

// The answer to a request: its outputs. Counted; any number of threads may read it at once.
typedef struct inferlay_response inferlay_response;

// A model server in this process. Any number of threads may use it at once.
typedef struct inferlay_server inferlay_server;

// A failure: its code and a message. NULL wherever a function returns one stands for success.
typedef struct inferlay_status inferlay_status;

// Keeps somebody told of changes until it is freed.
typedef struct inferlay_subscription inferlay_subscription;

// A tensor that owns a share of its memory. Any number of threads may read it at once.
typedef struct inferlay_tensor inferlay_tensor;

// What kind of failure a status tells of: one of `INFERLAY_CODE_*`. The numbers never change.
typedef uint32_t inferlay_code;

// A file in memory. Set `struct_size` to `sizeof(inferlay_file)`.
typedef struct {
  // `sizeof(inferlay_file)`.
  size_t struct_size;
  // Its name, such as `model.onnx` or `config.yaml`.
  const char *name;
  // Its content; may be NULL when `len` is 0.
  const void *data;
  // The number of bytes.
  size_t len;
} inferlay_file;

// The function that a backend exports, see `inferlay_backend.h`.
typedef const struct inferlay_abi_backend *(*inferlay_backend_fn)(const struct inferlay_abi_host *host);

// Who may execute besides the workers: one of `INFERLAY_CALLER_RUNS_*`.
typedef uint32_t inferlay_caller_runs;

// A model that was loaded or failed to. All of it lives until the callback returns.
typedef struct {
  // `sizeof` this struct, as the library knows it.
  size_t struct_size;
  // The model; this text lives for ever.
  const char *model;
  // The version; 0 when no version of it was found.
  uint64_t version;
  // Why it does not serve, borrowed for the call; NULL when it does.
  const inferlay_status *status;
  // Models that are done, this one included.
  size_t done;
  // All models.
  size_t total;
} inferlay_progress;

// Told of each model while a server starts. Called within `inferlay_server_new`, on the thread that starts or on a
// loading thread, one call at a time. It must not call this library but for statuses, and must return.
typedef void (*inferlay_progress_fn)(void *user_data, const inferlay_progress *progress);

// How grave a line of the log is: one of `INFERLAY_LOG_*`.
typedef uint32_t inferlay_log_level;

// Takes a line of the log: its level, one of `INFERLAY_LOG_*`, and a text of `len` bytes without a line end, which is
// NUL-terminated too and borrowed for the call. Called on any thread, several at once, until the server is freed; it
// must return soon and must not wait for the server.
typedef void (*inferlay_log_fn)(void *user_data, inferlay_log_level level, const char *message, size_t len);

// Which models a server loads, and when: one of `INFERLAY_MODEL_CONTROL_*`.
typedef uint32_t inferlay_model_control;

// A repository: folders of models that are searched as one, and the names that their models are served under. Set
// `struct_size` to `sizeof(inferlay_repository)`, and what is not used to 0.
typedef struct {
  // `sizeof(inferlay_repository)`.
  size_t struct_size;
  // The folders: `<folder>/<model>/<version>/<file>`. A model lies in one of them.
  const char *const *folders;
  // The number of folders, at least 1.
  size_t folders_len;
  // What is put before the names of all models, and a '/', so that two repositories may hold the same name; NULL for
  // nothing.
  const char *prefix;
  // Names of models' folders.
  const char *const *own_names;
  // Under which they are served, one for each of `own_names`.
  const char *const *served_names;
  // The number of names; 0 when all are served as their folders are called.
  size_t names_len;
} inferlay_repository;

// A repository that lies elsewhere, and the folder that its copies are kept in. Set `struct_size` to
// `sizeof(inferlay_source)`, and what is not used to 0.
typedef struct {
  // `sizeof(inferlay_source)`.
  size_t struct_size;
  // Where it lies: `file:///folder`, such as a drive of the network; or, of a library that was built with the feature
  // `object-store`, `s3://bucket/prefix`, `gs://bucket/prefix`, `az://container/prefix`, or `https://host/folder`
  // where WebDAV is spoken.
  const char *url;
  // The folder for copies. Several servers and processes may share it; only users who may change the models should be
  // able to write into it.
  const char *cache;
  // Names of options of an object store, such as `aws_endpoint` and `aws_region`.
  const char *const *option_names;
  // Their values, one for each of `option_names`.
  const char *const *option_values;
  // The number of options.
  size_t options_len;
  // Whether the environment variables `AWS_*`, `AZURE_*` and `GOOGLE_*` are options, too; those that are given go
  // first.
  bool from_environment;
} inferlay_source;

// How the sum of a file is computed: one of `INFERLAY_SUM_*`.
typedef uint32_t inferlay_sum;

// The type of a tensor's elements: one of `INFERLAY_TYPE_*`, with the names of KServe v2 and the numbers of Triton.
// Elements are little-endian; BOOL is one byte; FP16 and BF16 are raw 16 bits.
typedef uint32_t inferlay_datatype;

// The kind of memory that a buffer lies in: one of `INFERLAY_MEMORY_*`.
typedef uint32_t inferlay_memory_kind;

// What must have happened before memory may be touched: one of `INFERLAY_READY_*`.
typedef uint32_t inferlay_ready;

// A tensor to look at. Whoever fills it says how long the pointers are good. Set `struct_size` to
// `sizeof(inferlay_view)` before the call.
typedef struct {
  // In: `sizeof(inferlay_view)`.
  size_t struct_size;
  // One of `INFERLAY_TYPE_*`.
  inferlay_datatype datatype;
  // One of `INFERLAY_MEMORY_*`.
  inferlay_memory_kind memory_kind;
  // The device of the memory; 0 for the host.
  uint32_t device_id;
  // One of `INFERLAY_READY_*`.
  inferlay_ready ready;
  // The event or stream, if `ready` says so; else NULL.
  void *ready_handle;
  // The number of dims.
  size_t rank;
  // The dims, outermost first; may be NULL when there are none.
  const int64_t *shape;
  // The elements, dense; of BYTES their contents. Not NULL, but not to be followed when `byte_size` is 0.
  const void *data;
  // The number of bytes at `data`.
  size_t byte_size;
  // Of BYTES the offsets of the elements within `data`, one more than there are elements; else NULL.
  const uint64_t *offsets;
  // The number of offsets; 0 but for BYTES.
  size_t offsets_len;
} inferlay_view;

// Where a buffer lies and what orders access to it. Wherever a function takes one, NULL stands for ordinary host
// memory that may be touched now. Set `struct_size` to `sizeof(inferlay_memory)`.
typedef struct {
  // `sizeof(inferlay_memory)`.
  size_t struct_size;
  // One of `INFERLAY_MEMORY_*`.
  inferlay_memory_kind kind;
  // The device that it belongs to or is pinned for; 0 for host memory.
  uint32_t device_id;
  // One of `INFERLAY_READY_*`.
  inferlay_ready ready;
  // The event or stream, if `ready` says so; else NULL.
  void *ready_handle;
} inferlay_memory;

// Frees memory that a request has taken. Called once, on any thread, also inside calls to this library; it must not
// wait, and must not call this library.
typedef void (*inferlay_free_fn)(void *user_data, void *data);

// Flags of a request within its sequence: a sum of `INFERLAY_SEQUENCE_*`.
typedef uint32_t inferlay_sequence_flags;

// Flags of a response: a sum of `INFERLAY_RESPONSE_*`.
typedef uint32_t inferlay_response_flags;

// Told of a response: `response`, or NULL with a `status`; both are then this function's, to be freed with
// `inferlay_response_free` and `inferlay_status_free`. `flags`: a sum of INFERLAY_RESPONSE_*. Models that are not
// decoupled send one response, the final one; others any number, in order, never two at a time. Of these the final one
// may be NULL without a status: then nothing was left to say. A status is final, but for one response that there was no
// memory to copy (RESOURCE_EXHAUSTED).
//
// Called on a thread of the library with none of its locks held, never inside a call, never on a thread that waits. It
// may call any function that does not wait; those that would fail with FAILED_PRECONDITION. While it runs it may delay
// other callbacks, never deadlines. It must return (a C++ exception must not leave it).
typedef void (*inferlay_response_fn)(void *user_data,
                                     inferlay_response *response,
                                     inferlay_response_flags flags,
                                     inferlay_status *status);

// Told that nothing touches the request's memory any more: it may be sent again, changed or freed, from within this
// very function too. `request`: NULL if it was freed meanwhile; do not free it on another thread while this runs.
// Called as `inferlay_response_fn`, once, and after the final response.
typedef void (*inferlay_release_fn)(void *user_data, inferlay_request *request);

// What kind of event it is: one of `INFERLAY_EVENT_*`.
typedef uint32_t inferlay_event_kind;

// One event. Set `struct_size` to `sizeof(inferlay_event)` before the call.
typedef struct {
  // In: `sizeof(inferlay_event)`.
  size_t struct_size;
  // One of `INFERLAY_EVENT_*`.
  inferlay_event_kind kind;
  // Of a response: a sum of `INFERLAY_RESPONSE_*`. Of a line of the log: one of `INFERLAY_LOG_*`. Of a change: one of
  // `INFERLAY_STATE_*`. Else 0.
  inferlay_response_flags flags;
  // What was given with the queue: to `inferlay_infer_queue`, to the options and so on.
  void *user_data;
  // The request; of a release, NULL if it was freed meanwhile. Of a response, not to be used but for comparing.
  inferlay_request *request;
  // Of a response: the response, which is then the caller's; else NULL.
  inferlay_response *response;
  // Of a response that is NULL: why; both are NULL where a decoupled model has ended without a last response. Of a
  // line of the log, of progress and of a change: what holds the text. Of an operation: why it failed, or NULL. It is
  // then the caller's. Else NULL.
  inferlay_status *status;
} inferlay_event;

// Runs one batch. NULL: each request is answered with its rows of the outputs. A status, which is taken: it answers
// every request of the batch. Called by one thread at a time, or by as many as the config has instances: threads of
// the library, and with `caller_runs` those that wait in `inferlay_infer`. It must not call what waits, and must
// return (a C++ exception must not leave it). `batch`: borrowed for the call.
typedef inferlay_status *(*inferlay_execute_fn)(void *user_data, inferlay_batch *batch);

// Told once that a model's functions are not called any more, on any thread, also inside calls to this library. It
// must not call this library.
typedef void (*inferlay_gone_fn)(void *user_data);

// The functions of a model. Set `struct_size` to `sizeof(inferlay_model_table)`.
typedef struct {
  // `sizeof(inferlay_model_table)`.
  size_t struct_size;
  // Runs one batch; not NULL.
  inferlay_execute_fn execute;
  // Told when the model is gone; may be NULL.
  inferlay_gone_fn gone;
} inferlay_model_table;

// What a request of a batch says beside its tensors. Set `struct_size` to `sizeof(inferlay_asked)` before the call.
// The texts are not NUL-terminated; all of it lives until `execute` returns, or until a pulled batch is answered.
typedef struct {
  // In: `sizeof(inferlay_asked)`.
  size_t struct_size;
  // Its name; may be empty.
  const char *id;
  // The bytes of `id`.
  size_t id_len;
  // Its rows in the batch; they follow those of the requests before it.
  size_t rows;
  // Its priority; 0 is the most urgent.
  uint32_t priority;
  // A sum of `INFERLAY_SEQUENCE_*`.
  inferlay_sequence_flags sequence_flags;
  // The number of its sequence; 0 for none.
  uint64_t sequence_id;
  // The name of its sequence; empty for none.
  const char *sequence_text;
  // The bytes of `sequence_text`.
  size_t sequence_text_len;
  // When the answer is worthless, on the clock of `inferlay_clock_now`; UINT64_MAX for never.
  uint64_t deadline_ns;
  // Whether the caller no longer wants the answer, now.
  bool cancelled;
} inferlay_asked;

// The kind of a parameter: one of `INFERLAY_PARAMETER_*`.
typedef uint32_t inferlay_parameter_kind;

// A value that a request carries. Set `struct_size` to `sizeof(inferlay_parameter)` before the call.
typedef struct {
  // In: `sizeof(inferlay_parameter)`.
  size_t struct_size;
  // One of `INFERLAY_PARAMETER_*`, which says what of the following is set; the others are 0.
  inferlay_parameter_kind kind;
  // A truth value.
  bool bool_value;
  // A whole number.
  int64_t int_value;
  // A floating-point number.
  double double_value;
  // A text, not NUL-terminated; lives as `inferlay_asked`.
  const char *string_value;
  // The bytes of the text.
  size_t string_len;
} inferlay_parameter;

// What the text of a config is: one of `INFERLAY_CONFIG_FORMAT_*`.
typedef uint32_t inferlay_config_format;

// What becomes of a version that serves when there is no room for the new one beside it: one of `INFERLAY_SWAP_*`.
typedef uint32_t inferlay_swap;

// How a model is to be loaded, where that is not what its folder says. Set `struct_size` to
// `sizeof(inferlay_load_options)`, and what is not used to 0.
typedef struct {
  // `sizeof(inferlay_load_options)`.
  size_t struct_size;
  // In the place of the model's own config: YAML or JSON, or what `config_format` says; NULL for its own.
  const char *config;
  // The versions to load, whatever the config's `version_policy` says; each must be there.
  const uint64_t *versions;
  // The number of versions; 0 for those that the config chooses.
  size_t versions_len;
  // The model's files, in the place of those of a repository: paths within its folder, such as `1/model.onnx`. Those
  // without a folder are version 1, but for the config.
  const inferlay_file *const *files;
  // The number of files; 0 for those of a repository.
  size_t files_len;
  // What `config` is: one of INFERLAY_CONFIG_FORMAT_*.
  inferlay_config_format config_format;
  // In the place of the config's `swap`: one of INFERLAY_SWAP_*.
  inferlay_swap swap;
} inferlay_load_options;

// How a model is to be unloaded. Set `struct_size` to `sizeof(inferlay_unload_options)`, and what is not used to 0.
typedef struct {
  // `sizeof(inferlay_unload_options)`.
  size_t struct_size;
  // Whether models that were loaded for this one alone go with it. Without effect so far: no model has dependents
  // until there are ensembles.
  bool unload_dependents;
} inferlay_unload_options;

// Told that an operation is over. `status`: how: NULL, or why it failed, which is then the function's to free. Called
// once, on an engine thread with no engine lock held; it must not call what waits. UNAVAILABLE: the server stopped
// before the operation was over.
typedef void (*inferlay_done_fn)(void *user_data, inferlay_status *status);

// The state of a version of a model: one of `INFERLAY_STATE_*`.
typedef uint32_t inferlay_model_state;

// A version of a model whose state has changed. All of it lives until the callback returns.
typedef struct {
  // `sizeof` this struct, as the library knows it.
  size_t struct_size;
  // The model; this text lives for ever.
  const char *model;
  // The version; 0 when no version of it was found.
  uint64_t version;
  // Its state: one of `INFERLAY_STATE_*`.
  inferlay_model_state state;
  // Why it is in that state; "" when it serves. Of one that serves though an update of it failed, why that failed.
  const char *reason;
} inferlay_change;

// Told of each change, in order, one call at a time, on an engine thread with no engine lock held; it must not call
// what waits.
typedef void (*inferlay_change_fn)(void *user_data, const inferlay_change *change);

// The kind of a metric: one of `INFERLAY_METRIC_*`, with the numbers of Triton.
typedef uint32_t inferlay_metric_kind;

// What a metric is to be. Set `struct_size` to `sizeof(inferlay_metric_definition)`.
typedef struct {
  // `sizeof(inferlay_metric_definition)`.
  size_t struct_size;
  // One of `INFERLAY_METRIC_*`.
  inferlay_metric_kind kind;
  // Its name, as Prometheus reads them; `nv_` and `inferlay_` are the library's own prefixes.
  const char *name;
  // What it says, for people.
  const char *help;
  // Names and values of its labels in turns: `labels_len` pairs; may be NULL when there are none.
  const char *const *labels;
  // The number of pairs.
  size_t labels_len;
  // Of a histogram the upper bounds, each above the last; may be NULL when there are none.
  const double *bounds;
  // The number of bounds; 0 but for a histogram.
  size_t bounds_len;
} inferlay_metric_definition;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

// Makes a status, for a callback that has to return one.                                [any thread] [never blocks]
//
// `code`: one of INFERLAY_CODE_*; any other number becomes UNKNOWN. `message`: borrowed for the call; NULL, or bytes
// that are not UTF-8, become an empty message. The status is the caller's, to return or to free. Never NULL.
inferlay_status *inferlay_status_new(inferlay_code code, const char *message);

// Frees a status.                                                                        [any thread] [never blocks]
//
// `status`: taken; NULL does nothing.
void inferlay_status_free(inferlay_status *status);

// The code of a status: one of INFERLAY_CODE_*.                                          [any thread] [never blocks]
//
// `status`: borrowed for the call; UNKNOWN for NULL.
inferlay_code inferlay_status_code(const inferlay_status *status);

// The message of a status, NUL-terminated UTF-8: the place, what was found and what was expected.
//                                                                                        [any thread] [never blocks]
// `status`: borrowed. The text is the status's and lives as long as that. Never NULL; empty for a NULL status.
const char *inferlay_status_message(const inferlay_status *status);

// The name of a code, such as "INVALID_ARG".                                             [any thread] [never blocks]
//
// The text lives for ever; "UNKNOWN" for a number that is no code. Never NULL.
const char *inferlay_code_name(inferlay_code code);

// Frees a text that a function of this library has handed out as `char **`.             [any thread] [never blocks]
//
// `text`: taken; NULL does nothing.
void inferlay_text_free(char *text);

// Now, in nanoseconds on the monotonic clock (CLOCK_MONOTONIC): what deadlines are compared with.
//                                                                                        [any thread] [never blocks]
// A deadline of 20 ms from now: `inferlay_clock_now() + 20000000`.
uint64_t inferlay_clock_now(void);

// The version of the library, such as "0.1.0".                                           [any thread] [never blocks]
//
// The text lives for ever. Never NULL.
const char *inferlay_version(void);

// The API version that the library was built with, to compare with INFERLAY_API_VERSION. [any thread] [never blocks]
uint32_t inferlay_api_version(void);

// How the library was built, as JSON: `{"version", "api_version", "target", "features"}`. [any thread] [never blocks]
//
// `json`: as for `inferlay_server_metadata`.
INFERLAY_MUST_USE inferlay_status *inferlay_build(char **json);

// Makes options: all defaults, nothing to load.                                          [any thread] [never blocks]
//
// The options are the caller's, to be freed with `inferlay_options_free`. NULL in the child of a fork only.
inferlay_options *inferlay_options_new(void);

// Frees options. Servers that were started with them do not mind.                       [any thread] [never blocks]
//
// `options`: taken; NULL does nothing.
void inferlay_options_free(inferlay_options *options);

// Adds a folder of models: `<folder>/<model>/<version>/<file>`.                          [one thread] [never blocks]
//
// `folder`: borrowed for the call. The folder is opened when a server starts.
INFERLAY_MUST_USE inferlay_status *inferlay_options_add_repository(inferlay_options *options, const char *folder);

// Adds one model of one file; it is named by the file's stem.                            [one thread] [never blocks]
//
// `file`: borrowed for the call. The file is opened when a server starts.
INFERLAY_MUST_USE inferlay_status *inferlay_options_add_model_file(inferlay_options *options, const char *file);

// Adds one model from memory: its files by name, such as `model.onnx`, and perhaps `config.yaml`.
//                                                                                        [one thread] [never blocks]
// `name`, `files` and all they point to: borrowed for the call; the contents are copied. `files` holds pointers, so
// that the struct may grow.
INFERLAY_MUST_USE
inferlay_status *inferlay_options_add_model_in_memory(inferlay_options *options,
                                                      const char *name,
                                                      const inferlay_file *const *files,
                                                      size_t files_len);

// Looks in a directory for backends that are not linked in: a model whose config says `backend: foo` is served by
// `libinferlay_backend_foo.so`. Several are searched in the order in which they are added; without any, it is
// `inferlay/backends` beside the library. Its files run as part of this process.         [one thread] [never blocks]
//
// `directory`: borrowed for the call.
INFERLAY_MUST_USE
inferlay_status *inferlay_options_add_backend_directory(inferlay_options *options,
                                                        const char *directory);

// Sets an option of a backend that is loaded from a directory or added, such as `library` of `onnxruntime`; its own
// page lists them. A backend that does not know it fails to begin, and with it the models that need it.
//                                                                                        [one thread] [never blocks]
// `backend`, `name`, `value`: borrowed for the call.
INFERLAY_MUST_USE
inferlay_status *inferlay_options_set_backend_option(inferlay_options *options,
                                                     const char *backend,
                                                     const char *name,
                                                     const char *value);

// Adds a backend that is part of this program: `entry` is the function that its shared library would export as
// `inferlay_backend_<name>`, see `inferlay_backend.h`. One of the same name as a linked one takes its place.
//                                                                                        [one thread] [never blocks]
// `entry`: called when a server starts; what it returns must last as long as the process. Not NULL.
INFERLAY_MUST_USE inferlay_status *inferlay_options_add_backend(inferlay_options *options, inferlay_backend_fn entry);

// Whether the start fails when any model fails to load; false by default.                [one thread] [never blocks]
INFERLAY_MUST_USE inferlay_status *inferlay_options_set_strict(inferlay_options *options, bool strict);

// Who may execute besides the workers, for models whose config does not say: one of INFERLAY_CALLER_RUNS_*.
//                                                                                        [one thread] [never blocks]
INFERLAY_MUST_USE
inferlay_status *inferlay_options_set_caller_runs(inferlay_options *options,
                                                  inferlay_caller_runs caller_runs);

// How many models are loaded at once, at least 1; by default one less than there are cores.
//                                                                                        [one thread] [never blocks]
INFERLAY_MUST_USE inferlay_status *inferlay_options_set_load_threads_max(inferlay_options *options, size_t threads);

// How many threads one execution may use, at least 1, which is the default and serves several requests at once best.
//                                                                                        [one thread] [never blocks]
INFERLAY_MUST_USE
inferlay_status *inferlay_options_set_execution_threads_max(inferlay_options *options,
                                                            size_t threads);

// How many turns a thread spins before it sleeps, at most; 0 for none.                   [one thread] [never blocks]
INFERLAY_MUST_USE inferlay_status *inferlay_options_set_spin_max(inferlay_options *options, uint32_t turns);

// Up to how many bytes a request's part of a batch's output is copied into its response; a larger one is a view that
// keeps the whole output alive. 4096 by default.                                         [one thread] [never blocks]
INFERLAY_MUST_USE inferlay_status *inferlay_options_set_small_output_len_max(inferlay_options *options, size_t len);

// Traces one in so many requests; 0, the default, for none.                              [one thread] [never blocks]
INFERLAY_MUST_USE inferlay_status *inferlay_options_set_trace_every(inferlay_options *options, uint32_t requests);

// Has `report` called for each model while a server starts, see `inferlay_progress_fn`.  [one thread] [never blocks]
//
// `report`: NULL for nobody. `user_data`: comes back with each call; borrowed until `inferlay_server_new` returns.
INFERLAY_MUST_USE
inferlay_status *inferlay_options_set_progress(inferlay_options *options,
                                               inferlay_progress_fn report,
                                               void *user_data);

// Sends the log of a server to `sink`, see `inferlay_log_fn`. Without it there is no log. [one thread] [never blocks]
//
// `sink`: NULL for no log. `user_data`: comes back with each call; borrowed until the server was freed and the last of
// its requests and responses too. `level_min`: one of INFERLAY_LOG_*; what is less grave is left out.
INFERLAY_MUST_USE
inferlay_status *inferlay_options_set_log(inferlay_options *options,
                                          inferlay_log_fn sink,
                                          void *user_data,
                                          inferlay_log_level level_min);

// Reads options from a text, YAML or JSON.                                               [one thread] [never blocks]
//
// Keys, all optional; they mean what the functions of these names mean, and times are in microseconds:
// - lists, which are added to: `repositories` (paths, or mappings of `folders`, `namespace` and `serve_as`),
//   `sources` (mappings of `url`, `cache`, `options` and `from_environment`), `model_files`, `backend_directories`,
//   `load`, `pinned`, `trusted_keys`;
// - mappings, which are added to: `backend_options` (by backend and name), `device_memory_budgets_bytes` (by device);
// - `model_control` (none, explicit, poll), `settle_time_microseconds`, `poll_period_microseconds`,
//   `poll_by_period_only`, `ready_marker`, `retry_after_microseconds`, `retire_timeout_microseconds`,
//   `memory_budget_bytes`, `strict`, `require_manifest`, `require_signature`, `caller_runs` (never, own_request,
//   batch), `load_threads_max`, `execution_threads_max`, `spin_max`, `small_output_len_max`, `trace_every`;
// - `config_name`: reads `configs/<name>.yaml` of each model that has it (also .yml, .json or .pbtxt) in the place of
//   its `config.yaml`.
//
// `text`: borrowed for the call. On failure (INVALID_ARG with every error and its line; UNSUPPORTED for what this
// library was built without) the options are as before.
INFERLAY_MUST_USE inferlay_status *inferlay_options_set_text(inferlay_options *options, const char *text);

// Trusts models whose manifest is signed with the secret half of an Ed25519 key. Several may be trusted; the signature
// of one of them is enough. A manifest that is signed by others keeps its model from being loaded.
//                                                                                        [one thread] [never blocks]
// `key`: the public half, 64 hexadecimal digits; borrowed for the call.
INFERLAY_MUST_USE inferlay_status *inferlay_options_add_trusted_key(inferlay_options *options, const char *key);

// Whether models in folders and files are refused that have no `inferlay.manifest`; false by default. One that is there
// is checked in any case.                                                                [one thread] [never blocks]
INFERLAY_MUST_USE
inferlay_status *inferlay_options_set_require_manifest(inferlay_options *options,
                                                       bool require_manifest);

// Whether models in folders and files are refused whose manifest is not signed by a trusted key; false by default.
//                                                                                        [one thread] [never blocks]
INFERLAY_MUST_USE
inferlay_status *inferlay_options_set_require_signature(inferlay_options *options,
                                                        bool require_signature);

// Which models are loaded, and when: one of INFERLAY_MODEL_CONTROL_*.                    [one thread] [never blocks]
INFERLAY_MUST_USE
inferlay_status *inferlay_options_set_model_control(inferlay_options *options,
                                                    inferlay_model_control control);

// Adds a model that a server with explicit control loads when it starts; others do not mind.
//                                                                                        [one thread] [never blocks]
// `model`: borrowed for the call. One that is in no repository fails the start with NOT_FOUND.
INFERLAY_MUST_USE inferlay_status *inferlay_options_add_load(inferlay_options *options, const char *model);

// Adds a repository of several folders, or whose models are served under other names.    [one thread] [never blocks]
//
// `repository` and all it points to: borrowed for the call. The folders are opened when a server starts.
INFERLAY_MUST_USE
inferlay_status *inferlay_options_add_repository_with(inferlay_options *options,
                                                      const inferlay_repository *repository);

// For how long nothing of a model's folder may have changed before a server that polls acts on it; a second by default.
// Longer than whoever writes it ever pauses.                                             [one thread] [never blocks]
INFERLAY_MUST_USE inferlay_status *inferlay_options_set_settle_time(inferlay_options *options, uint64_t time_ns);

// How often a server that polls looks at everything without being told to by the system; every 30 seconds by default,
// every 2 where the system does not tell.                                                [one thread] [never blocks]
INFERLAY_MUST_USE inferlay_status *inferlay_options_set_poll_period(inferlay_options *options, uint64_t period_ns);

// Has a server that polls look only at every period: for file systems of whose changes the system tells nothing.
//                                                                                        [one thread] [never blocks]
INFERLAY_MUST_USE inferlay_status *inferlay_options_set_poll_by_period_only(inferlay_options *options);

// Has a server that polls wait for a file of this name, in the model's folder or a version's, instead of for quiet:
// written last, and anew for each change.                                                [one thread] [never blocks]
//
// `name`: borrowed for the call.
INFERLAY_MUST_USE inferlay_status *inferlay_options_set_ready_marker(inferlay_options *options, const char *name);

// Has a server that polls try a load that failed again after so long, although nothing has changed. Else it waits for
// a change.                                                                              [one thread] [never blocks]
INFERLAY_MUST_USE inferlay_status *inferlay_options_set_retry_after(inferlay_options *options, uint64_t time_ns);

// How long a version that was replaced or unloaded may take to answer what it has; then that is answered with errors.
// Five minutes by default.                                                               [one thread] [never blocks]
INFERLAY_MUST_USE inferlay_status *inferlay_options_set_retire_timeout(inferlay_options *options, uint64_t timeout_ns);

// How many bytes of host memory models may use together. Then they are loaded when they are first asked, and the least
// recently used go, when they are idle, to make room. Without a budget all stay.         [one thread] [never blocks]
INFERLAY_MUST_USE inferlay_status *inferlay_options_set_memory_budget(inferlay_options *options, uint64_t bytes);

// The same for the memory of a device.                                                   [one thread] [never blocks]
INFERLAY_MUST_USE
inferlay_status *inferlay_options_set_device_memory_budget(inferlay_options *options,
                                                           uint32_t device_id,
                                                           uint64_t bytes);

// Has a model stay in memory, whatever the budget: it is loaded at the start and never goes to make room.
//                                                                                        [one thread] [never blocks]
// `model`: borrowed for the call.
INFERLAY_MUST_USE inferlay_status *inferlay_options_add_pinned(inferlay_options *options, const char *model);

// Adds a folder of models to a server that runs. One that polls loads them; else they are loaded when they are asked
// for.                                                                                   [any thread] [never blocks]
//
// `folder`: borrowed for the call. Fails with ALREADY_EXISTS for a repository of the same folder.
INFERLAY_MUST_USE inferlay_status *inferlay_server_add_repository(const inferlay_server *server, const char *folder);

// Adds a repository of several folders, or whose models are served under other names, to a server that runs.
//                                                                                        [any thread] [never blocks]
// `repository` and all it points to: borrowed for the call. Fails as `inferlay_server_add_repository`, and with
// INVALID_ARG for a name or prefix that no model may bear.
INFERLAY_MUST_USE
inferlay_status *inferlay_server_add_repository_with(const inferlay_server *server,
                                                     const inferlay_repository *repository);

// Takes a repository away, by its folders. A server that polls unloads its models; else they serve on.
//                                                                                        [any thread] [never blocks]
// `folders`: borrowed for the call, all those that the repository was added with. Fails with NOT_FOUND.
INFERLAY_MUST_USE
inferlay_status *inferlay_server_remove_repository(const inferlay_server *server,
                                                   const char *const *folders,
                                                   size_t folders_len);

// Adds a repository that lies elsewhere: what it lists is brought into its cache when a server starts, as far as it is
// not there, and served from this copy.                                                  [one thread] [never blocks]
//
// A download that was interrupted goes on where it ended, also in the next process; a copy is seen only when it is
// whole. `source` and all it points to: borrowed for the call. Fails with UNSUPPORTED for an object store when this
// library was built without; what cannot be reached fails the start.
INFERLAY_MUST_USE
inferlay_status *inferlay_options_add_source(inferlay_options *options,
                                             const inferlay_source *source);

// Seals the folder of one model: writes `inferlay.manifest`, which lists each of its files with size and sum, and
// with a key `inferlay.manifest.sig`. From then on the model is loaded only as it is now, until it is sealed again
// or the manifest is removed.                                                [any thread] [blocks: reads all files]
//
// `folder`, `secret_key`: borrowed for the call. `sum`: one of INFERLAY_SUM_*. `secret_key`: 64 hexadecimal
// digits, as of `inferlay_signing_key_new`; NULL for no signature. `json`: where `{"files": 3, "bytes": 4096}`
// goes, which is then the caller's, to be freed with `inferlay_text_free`; NULL if nobody wants to know. Fails
// with NOT_FOUND or UNAVAILABLE when a folder or file cannot be read or written, with FAILED_PRECONDITION for a
// file whose name no manifest can hold, and with UNSUPPORTED when this library was built without seals.
INFERLAY_MUST_USE
inferlay_status *inferlay_seal(const char *folder,
                               inferlay_sum sum,
                               const char *secret_key,
                               char **json);

// Makes a key of Ed25519, with which models are signed.                                  [any thread] [never blocks]
//
// `secret_key`, `public_key`: where its halves go, 64 hexadecimal digits each, which are then the caller's, to be
// freed with `inferlay_text_free`. Keep the secret one where only whoever makes models can read it; give the
// public one to `inferlay_options_add_trusted_key`. Fails with UNSUPPORTED when this library was built without
// seals.
INFERLAY_MUST_USE inferlay_status *inferlay_signing_key_new(char **secret_key, char **public_key);

// Finds what is wrong with the repositories, files and models in memory of options, without loading any model:
// errors of configs, missing files, what is not as it was sealed.    [any thread] [blocks: reads what is looked at]
//
// `options`: borrowed for the call. `json`: where a list of `{"severity", "model", "file", "line", "column",
// "message"}` goes, empty when all is well: `severity` is "error", "warning" or "note"; what is about no model,
// file or line has null there. It is then the caller's, to be freed with `inferlay_text_free`. Fails for a folder
// that is not one.
INFERLAY_MUST_USE inferlay_status *inferlay_options_lint(const inferlay_options *options, char **json);

// Starts a server: loads everything the options name, and serves.             [any thread] [blocks: loads the models]
//
// `api_version`: INFERLAY_API_VERSION. `options`: borrowed for the call; NULL for the defaults and no models.
// `server`: where the server goes, which is then the caller's, to be freed with `inferlay_server_free`; not NULL.
// Fails with UNSUPPORTED for another API version, NOT_FOUND or INVALID_ARG for a path that is not a model's; a model
// that fails to load does not fail the start unless the options are strict. On failure `server` is left alone.
INFERLAY_MUST_USE
inferlay_status *inferlay_server_new(uint32_t api_version,
                                     const inferlay_options *options,
                                     inferlay_server **server);

// Stops a server: refuses what is new, drains until the deadline, answers what is left with errors, ends the threads.
//                                                               [any thread] [blocks until drained or the deadline]
// `deadline_ns`: on the clock of `inferlay_clock_now`; one that has passed does not drain at all. After it returns, no
// callback runs any more. Fails with TIMEOUT, naming the models, when something was left: an instance whose backend
// does not return is abandoned with its thread, and the memory of its requests is not released. Fails with
// FAILED_PRECONDITION inside a callback or an execution. Stopping again does nothing.
INFERLAY_MUST_USE inferlay_status *inferlay_server_stop(const inferlay_server *server, uint64_t deadline_ns);

// Frees a server. One that was not stopped is stopped first, and drains for up to 5 seconds.
//                                                                 [any thread but inside a callback] [blocks: stops]
// `server`: taken; NULL, and one that was freed before, do nothing. Inside a callback or an execution it does nothing.
// Calls with the server afterwards fail with FAILED_PRECONDITION. No other call with the server may be running.
// Requests, responses, tensors and queues outlive the server and are freed on their own.
void inferlay_server_free(inferlay_server *server);

// Whether the server takes requests at all.                                              [any thread] [never blocks]
//
// False for NULL, after stop and free, and in the child of a fork.
bool inferlay_server_is_live(const inferlay_server *server);

// Whether the server is live and every model of it is ready.                             [any thread] [never blocks]
//
// False as for `inferlay_server_is_live`.
bool inferlay_server_is_ready(const inferlay_server *server);

// What the server is, as JSON in the form of KServe v2: `{"name", "version", "extensions"}`.
//                                                                                        [any thread] [never blocks]
// `json`: where the text goes, which is then the caller's, to be freed with `inferlay_text_free`; not NULL; left alone
// on failure. So for all functions that give texts.
INFERLAY_MUST_USE inferlay_status *inferlay_server_metadata(const inferlay_server *server, char **json);

// Every version of every model, as JSON: `[{"name", "version", "state", "reason"}]`, where the state is UNKNOWN,
// LOADING, READY, UNAVAILABLE or UNLOADING.                                              [any thread] [never blocks]
INFERLAY_MUST_USE inferlay_status *inferlay_server_models(const inferlay_server *server, char **json);

// What every model that serves has done since it was loaded, as JSON: `{"model_stats": [...]}`, with the names of
// Triton's statistics.                                                                   [any thread] [never blocks]
INFERLAY_MUST_USE inferlay_status *inferlay_server_statistics(const inferlay_server *server, char **json);

// What the models have done and how they are, what the process may use of the machine, and the metrics of the
// application, in the text format of Prometheus (`text/plain; version=0.0.4`), under Triton's names where it has them
// (`nv_*`). Nothing listens: the program serves the text.                                [any thread] [never blocks]
INFERLAY_MUST_USE inferlay_status *inferlay_server_metrics(const inferlay_server *server, char **metrics);

// The traces of the last requests that were traced, as JSON that Perfetto and Chrome read. [any thread] [never blocks]
INFERLAY_MUST_USE inferlay_status *inferlay_server_traces(const inferlay_server *server, char **json);

// Traces one in so many requests from now on; 0: none but those that ask for it.         [any thread] [never blocks]
INFERLAY_MUST_USE inferlay_status *inferlay_server_set_trace_every(const inferlay_server *server, uint32_t requests);

// The backends of the server, as JSON: `[{"name", "version", "file_names", "attributes"}]`.
//                                                                                        [any thread] [never blocks]
INFERLAY_MUST_USE inferlay_status *inferlay_server_backends(const inferlay_server *server, char **json);

// The devices that the server executes on, as JSON: `[{"kind", "id", "name"}]`.          [any thread] [never blocks]
INFERLAY_MUST_USE inferlay_status *inferlay_server_devices(const inferlay_server *server, char **json);

// Whether this version of a model serves; version 0: whether any does.                   [any thread] [never blocks]
//
// `model`: borrowed for the call. False for NULL, for names that are not there, after stop and free, and in the child
// of a fork.
bool inferlay_model_is_ready(const inferlay_server *server, const char *model, uint64_t version);

// What a model takes and gives, as JSON in the form of KServe v2: `{"name", "versions", "platform", "inputs",
// "outputs"}`.                                                                           [any thread] [never blocks]
//
// `model`: borrowed for the call. `version`: 0 for the highest that serves. Fails with NOT_FOUND or UNAVAILABLE, with
// the reason. So for the functions below.
INFERLAY_MUST_USE
inferlay_status *inferlay_model_metadata(const inferlay_server *server,
                                         const char *model,
                                         uint64_t version,
                                         char **json);

// The complete config of a model, as JSON with Triton's keys.                            [any thread] [never blocks]
INFERLAY_MUST_USE
inferlay_status *inferlay_model_config(const inferlay_server *server,
                                       const char *model,
                                       uint64_t version,
                                       char **json);

// What a model has done since it was loaded, as JSON with the names of Triton's statistics; times are sums over
// requests, in nanoseconds.                                                              [any thread] [never blocks]
INFERLAY_MUST_USE
inferlay_status *inferlay_model_statistics(const inferlay_server *server,
                                           const char *model,
                                           uint64_t version,
                                           char **json);

// Loads one model of one file, named by the file's stem, into a server that runs.  [any thread] [blocks: loads a model]
//
// `file`: borrowed for the call. Fails with ALREADY_EXISTS when the name is taken, and with whatever keeps the model
// from serving; the server goes on as before.
INFERLAY_MUST_USE inferlay_status *inferlay_model_load(const inferlay_server *server, const char *file);

// Stops serving a model, all its versions, and lets it go.     [any thread] [blocks until drained or the deadline]
//
// `model`: borrowed for the call. `deadline_ns`: until when requests on their way may finish; the others are answered
// with errors. Fails with NOT_FOUND, with TIMEOUT when something was left, and with FAILED_PRECONDITION inside a
// callback or an execution.
INFERLAY_MUST_USE
inferlay_status *inferlay_model_remove(const inferlay_server *server,
                                       const char *model,
                                       uint64_t deadline_ns);

// Makes a request to a model of a server.                                                [any thread] [never blocks]
//
// `model`: borrowed for the call. `version`: 0 for the highest that serves, also after the model has changed.
// `request`: where the request goes, which is then the caller's, to be freed with `inferlay_request_free`; not NULL.
// Fails with NOT_FOUND or UNAVAILABLE, with the reason. Make requests once and use them again: a request that is sent
// a second time allocates nothing.
INFERLAY_MUST_USE
inferlay_status *inferlay_request_new(const inferlay_server *server,
                                      const char *model,
                                      uint64_t version,
                                      inferlay_request **request);

// Frees a request.                                                                       [any thread] [never blocks]
//
// `request`: taken; NULL does nothing. One that is in flight is answered and released as if it were not freed, and
// goes then; `on_release` is given NULL in its place. Do not free it while `inferlay_infer` runs with it.
void inferlay_request_free(inferlay_request *request);

// Empties a request: no inputs, outputs, parameters or wishes, not cancelled, for the same model.
//                                                                                        [one thread] [never blocks]
// Fails with FAILED_PRECONDITION while it is in flight. So do all functions that change a request.
INFERLAY_MUST_USE inferlay_status *inferlay_request_reset(inferlay_request *request);

// Cancels a request: what waits is answered at once with CANCELLED, what runs as soon as no memory of the caller is in
// the backend's hands.                                                                   [any thread] [never blocks]
//
// At any time, also before the request is sent: it then is refused or answered with CANCELLED; any number of times. It
// stays cancelled until `inferlay_request_rearm` or `inferlay_request_reset`. No callback runs inside this call.
INFERLAY_MUST_USE inferlay_status *inferlay_request_cancel(inferlay_request *request);

// Makes a request that was cancelled good for sending again, with all it has.            [one thread] [never blocks]
INFERLAY_MUST_USE inferlay_status *inferlay_request_rearm(inferlay_request *request);

// A name for traces and backends; any text, "" for none.                                 [one thread] [never blocks]
//
// `id`: borrowed for the call.
INFERLAY_MUST_USE inferlay_status *inferlay_request_set_id(inferlay_request *request, const char *id);

// Sets an input that borrows its memory; one of the same name is replaced. Nothing is copied.
//                                                                                        [one thread] [never blocks]
// `name`, `tensor` and its `shape`: borrowed for the call. The memory at `data` and `offsets`: borrowed until release
// (of every sending), and not written by anybody meanwhile; aligned to its type. BYTES without `offsets` are read in
// the form of the wire, and copied, when the request is sent. For a model that batches, the first dim is the number of
// rows, the same for all inputs. Fails with INVALID_ARG for numbers that stand for nothing, UNSUPPORTED for memory of
// devices; whether size and shape agree is checked when the request is sent.
INFERLAY_MUST_USE
inferlay_status *inferlay_request_set_input(inferlay_request *request,
                                            const char *name,
                                            const inferlay_view *tensor);

// Sets an input that is described by a struct of the caller, which is read anew at each sending: to send a request
// again with other memory, write to the struct in between.                               [one thread] [never blocks]
//
// `name`: borrowed for the call. `tensor`: borrowed until the input is set otherwise or the request freed, with its
// `shape` and the memory; what they hold, until the release of a sending. What `inferlay_request_set_input` would
// refuse, the sending does.
INFERLAY_MUST_USE
inferlay_status *inferlay_request_bind_input(inferlay_request *request,
                                             const char *name,
                                             const inferlay_view *tensor);

// Appends a piece to an input, whose shape is that of all pieces together. Pieces are copied into one when the request
// is sent.                                                                               [one thread] [never blocks]
//
// `name`, `memory`: borrowed for the call. `data`: borrowed until release. Fails with NOT_FOUND when the input was not
// set before, UNSUPPORTED for one of BYTES with offsets, one that is not borrowed, or memory of devices.
INFERLAY_MUST_USE
inferlay_status *inferlay_request_append_input(inferlay_request *request,
                                               const char *name,
                                               const void *data,
                                               size_t byte_size,
                                               const inferlay_memory *memory);

// Sets an input to a copy of a tensor, which the request owns.                           [one thread] [never blocks]
//
// `name`, `tensor` and all it points to: borrowed for the call. Fails as `inferlay_request_set_input`, and with
// INVALID_ARG when size and shape do not agree.
INFERLAY_MUST_USE
inferlay_status *inferlay_request_copy_input(inferlay_request *request,
                                             const char *name,
                                             const inferlay_view *tensor);

// Sets an input to memory that the request takes over: it is freed with `free_fn(user_data, data)` when neither the
// request nor any response needs it any more.                                            [one thread] [never blocks]
//
// `name`, `tensor` and its `shape`: borrowed for the call. `data`: taken, on success only. `free_fn`: not NULL. Fails
// as `inferlay_request_copy_input`, and with UNSUPPORTED for BYTES.
INFERLAY_MUST_USE
inferlay_status *inferlay_request_take_input(inferlay_request *request,
                                             const char *name,
                                             const inferlay_view *tensor,
                                             inferlay_free_fn free_fn,
                                             void *user_data);

// Takes an input away.                                                                   [one thread] [never blocks]
//
// `name`: borrowed for the call. Fails with NOT_FOUND when the request has none of this name.
INFERLAY_MUST_USE inferlay_status *inferlay_request_remove_input(inferlay_request *request, const char *name);

// Asks for an output; a request that asks for none gets all. The library allocates it.   [one thread] [never blocks]
//
// `name`, `wanted`: borrowed for the call. `wanted`: the memory that it is wanted in; NULL for host memory. Fails with
// UNSUPPORTED for memory of devices.
INFERLAY_MUST_USE
inferlay_status *inferlay_request_add_output(inferlay_request *request,
                                             const char *name,
                                             const inferlay_memory *wanted);

// Asks for an output in memory of the caller: written by the backend itself when the request is alone in its batch,
// else copied there once.                                                                [one thread] [never blocks]
//
// `name`, `memory`: borrowed for the call. `data`: borrowed until release, and touched by nobody else until then; at
// least as large as the output, aligned to its type, and apart from all inputs. The output of the response then is a
// view of it, with the shape that was written. A request with such memory is never answered while its backend runs.
// Fails with UNSUPPORTED for memory of devices; sending fails with UNSUPPORTED for an output of BYTES.
INFERLAY_MUST_USE
inferlay_status *inferlay_request_set_output(inferlay_request *request,
                                             const char *name,
                                             void *data,
                                             size_t byte_size,
                                             const inferlay_memory *memory);

// Asks for no output in particular any more, which is to ask for all.                    [one thread] [never blocks]
INFERLAY_MUST_USE inferlay_status *inferlay_request_clear_outputs(inferlay_request *request);

// The time, on the clock of `inferlay_clock_now`, from which the answer is worthless: a request that still waits then
// is answered with TIMEOUT. 0 for none.                                                  [one thread] [never blocks]
INFERLAY_MUST_USE inferlay_status *inferlay_request_set_deadline(inferlay_request *request, uint64_t deadline_ns);

// A deadline this long after each sending, in place of one at a time. 0 for none.        [one thread] [never blocks]
INFERLAY_MUST_USE inferlay_status *inferlay_request_set_timeout(inferlay_request *request, uint64_t timeout_ns);

// How long it may wait in the model's queue, from each sending, before that counts it as late: it is rejected with
// TIMEOUT then, or served after those in time, as the queue's `timeout_action` says. Counts where the queue has
// `allow_timeout_override` and a longer timeout of its own, or none; unlike a deadline, it ends no execution. 0 for the
// queue's own.                                                                           [one thread] [never blocks]
INFERLAY_MUST_USE inferlay_status *inferlay_request_set_queue_timeout(inferlay_request *request, uint64_t timeout_ns);

// Its priority, from 1 (the most urgent) to the model's `priority_levels`; 0 is the model's default.
//                                                                                        [one thread] [never blocks]
INFERLAY_MUST_USE inferlay_status *inferlay_request_set_priority(inferlay_request *request, uint32_t priority);

// The sequence that the request belongs to, by a number; 0 for none.                     [one thread] [never blocks]
//
// `flags`: a sum of INFERLAY_SEQUENCE_*.
INFERLAY_MUST_USE
inferlay_status *inferlay_request_set_sequence(inferlay_request *request,
                                               uint64_t id,
                                               inferlay_sequence_flags flags);

// The sequence that the request belongs to, by a text; "" for none.                      [one thread] [never blocks]
//
// `id`: borrowed for the call. `flags`: a sum of INFERLAY_SEQUENCE_*.
INFERLAY_MUST_USE
inferlay_status *inferlay_request_set_sequence_text(inferlay_request *request,
                                                    const char *id,
                                                    inferlay_sequence_flags flags);

// Whether a trace of the request is recorded, whatever the server's rate is.             [one thread] [never blocks]
INFERLAY_MUST_USE inferlay_status *inferlay_request_set_traced(inferlay_request *request, bool traced);

// Gives the backend a text under a name; what had the name before is replaced.           [one thread] [never blocks]
//
// `name`, `value`: borrowed for the call.
INFERLAY_MUST_USE
inferlay_status *inferlay_request_set_parameter_string(inferlay_request *request,
                                                       const char *name,
                                                       const char *value);

// Gives the backend a whole number under a name.                                         [one thread] [never blocks]
//
// `name`: borrowed for the call.
INFERLAY_MUST_USE
inferlay_status *inferlay_request_set_parameter_int(inferlay_request *request,
                                                    const char *name,
                                                    int64_t value);

// Gives the backend a floating-point number under a name.                                [one thread] [never blocks]
//
// `name`: borrowed for the call.
INFERLAY_MUST_USE
inferlay_status *inferlay_request_set_parameter_double(inferlay_request *request,
                                                       const char *name,
                                                       double value);

// Gives the backend a truth value under a name.                                          [one thread] [never blocks]
//
// `name`: borrowed for the call.
INFERLAY_MUST_USE
inferlay_status *inferlay_request_set_parameter_bool(inferlay_request *request,
                                                     const char *name,
                                                     bool value);

// Takes all parameters away.                                                             [one thread] [never blocks]
INFERLAY_MUST_USE inferlay_status *inferlay_request_clear_parameters(inferlay_request *request);

// Sends a request and waits for the answer.                                 [any thread] [blocks until it is answered]
//
// If an instance is idle and nothing waits, this thread executes it, where the backend allows that. `request`:
// borrowed for the call; when this returns, nothing touches its memory any more. `response`: where the response goes,
// which is then the caller's, to be freed with `inferlay_response_free`; not NULL; left alone on failure. Fails with
// INVALID_ARG or NOT_FOUND for a request that the model does not take, RESOURCE_EXHAUSTED when the queue is full,
// TIMEOUT, CANCELLED, UNAVAILABLE after stop, with FAILED_PRECONDITION inside a callback or an execution or when the
// request is in flight, or with what the backend answers. A decoupled model may be asked too; it fails with
// UNSUPPORTED unless the model sends exactly one response.
INFERLAY_MUST_USE
inferlay_status *inferlay_infer(const inferlay_server *server,
                                inferlay_request *request,
                                inferlay_response **response);

// Sends a request and returns at once; the answer comes to a function.                   [any thread] [never blocks]
//
// NULL: `request` and the memory it borrows are borrowed until `on_release` has run. `on_response(user_data, response
// or NULL, flags, status)` runs 1..n times, in order of sending, the last with FINAL; `on_release(user_data,
// request)` runs once, after that, when nothing touches the request's memory any more. Otherwise: nothing happened,
// nothing will run, and the request is as before; fails as `inferlay_infer`, for what is known at once, and with
// UNSUPPORTED for a request to a decoupled model that brings memory for outputs.
//
// A decoupled model that is ahead is told to wait: responses count as untaken until `on_response` has returned.
//
// `on_response`: not NULL. `on_release`: may be NULL. `user_data`: comes back with each call. After
// `inferlay_server_stop` or `_free` has returned nothing is called any more; every request was answered and released
// before, but for those that a stuck backend holds.
INFERLAY_MUST_USE
inferlay_status *inferlay_infer_async(const inferlay_server *server,
                                      inferlay_request *request,
                                      inferlay_response_fn on_response,
                                      inferlay_release_fn on_release,
                                      void *user_data);

// Sends a request and returns at once; the answer comes to a completion queue.           [any thread] [never blocks]
//
// As `inferlay_infer_async`, with events in the place of calls: what would be called is pushed to `queue` in the same
// order, with `user_data`. `queue`: borrowed for the call; it may be freed while requests are on their way. A response
// counts as untaken until `inferlay_queue_next` has taken its event.
INFERLAY_MUST_USE
inferlay_status *inferlay_infer_queue(const inferlay_server *server,
                                      inferlay_request *request,
                                      const inferlay_queue *queue,
                                      void *user_data);

// Puts a label, such as "stable" or "canary", at a version of a model; one that was at another version moves.
//                                                                                        [any thread] [never blocks]
// Requests that were made with the label go there from now on.
// `model`, `label`: borrowed for the call. The version must serve: a label that is moved never leads from a
// version that answers to one that does not. When it is unloaded later the label stays, and requests by it are
// refused until the version is back or the label moves. Fails with NOT_FOUND for a model or version that is not
// there, UNAVAILABLE for a version that does not serve, and INVALID_ARG for a label that is not of 1 to 64
// letters, digits, '_', '-' and '.', with one letter at least.
INFERLAY_MUST_USE
inferlay_status *inferlay_server_set_label(const inferlay_server *server,
                                           const char *model,
                                           const char *label,
                                           uint64_t version);

// Takes a label away.                                                                    [any thread] [never blocks]
//
// `model`, `label`: borrowed for the call. Fails with NOT_FOUND for a model or label that is not there.
INFERLAY_MUST_USE
inferlay_status *inferlay_server_remove_label(const inferlay_server *server,
                                              const char *model,
                                              const char *label);

// The labels of a model and the versions that they are at, as JSON: `{"stable": 1, "canary": 2}`.
//                                                                                        [any thread] [never blocks]
// `model`: borrowed for the call. Fails with NOT_FOUND for a model that is not there.
INFERLAY_MUST_USE
inferlay_status *inferlay_server_labels(const inferlay_server *server,
                                        const char *model,
                                        char **json);

// Splits the requests that name neither version nor label between versions of a model, by weights.
//                                                                                        [any thread] [never blocks]
// `model`, `versions` and `weights`, of which there are `count` each: borrowed for the call; none ends the split.
// Over every run of as many requests as the weights come to, each version gets exactly its weight; requests of the
// same sequence go to the same version. A version that does not serve gets none, and its share goes to the others
// in proportion; if none of them serves, requests go to the newest version that does. `inferlay_response_version`
// says who has answered. Fails with NOT_FOUND for a model or version that is not there; with INVALID_ARG for a
// version that is there twice, weights that are all 0, and weights that come to more than 10000 after what divides
// them all was taken out.
INFERLAY_MUST_USE
inferlay_status *inferlay_server_set_traffic(const inferlay_server *server,
                                             const char *model,
                                             const uint64_t *versions,
                                             const uint32_t *weights,
                                             size_t count);

// Makes a version the shadow of the others; 0: none.                                     [any thread] [never blocks]
//
// It gets a copy of every request to the model that another version answers; its answers are dropped, its
// statistics kept. Whoever asks never waits for it and never hears of it: copies have deadlines of their own,
// memory that a request borrows is copied, and a shadow that is behind is left out until it has caught up, which
// `shadow_dropped_count` of its statistics counts. As long as another version serves, the shadow gets no requests
// of its own but those that ask for it. `model`: borrowed for the call. Fails with NOT_FOUND for a model or
// version that is not there.
INFERLAY_MUST_USE
inferlay_status *inferlay_server_set_shadow(const inferlay_server *server,
                                            const char *model,
                                            uint64_t version);

// How the traffic of a model is directed, as JSON: `{"traffic": [{"version": 1, "weight": 9}], "shadow": 2}`.
//                                                                                        [any thread] [never blocks]
// Without a split there are no versions, without a shadow it is null.
// `model`: borrowed for the call. Fails with NOT_FOUND for a model that is not there.
INFERLAY_MUST_USE
inferlay_status *inferlay_server_traffic(const inferlay_server *server,
                                         const char *model,
                                         char **json);

// Makes a request to the version that a label is at whenever the request is sent, in the place of a number.
//                                                                                        [any thread] [never blocks]
// `model`, `label`: borrowed for the call. Else as `inferlay_request_new`. Fails with NOT_FOUND for a label that
// is not there.
INFERLAY_MUST_USE
inferlay_status *inferlay_request_new_labelled(const inferlay_server *server,
                                               const char *model,
                                               const char *label,
                                               inferlay_request **request);

// Adds a count to a response, which then is freed once more.                             [any thread] [never blocks]
//
// `response`: a NULL one stays NULL. Returns the same response.
inferlay_response *inferlay_response_retain(inferlay_response *response);

// Gives a count of a response up; with the last one its memory goes.                     [any thread] [never blocks]
//
// `response`: taken; NULL does nothing. Good after the server was freed too.
void inferlay_response_free(inferlay_response *response);

// The model that answered.                                                               [any thread] [never blocks]
//
// The text lives for ever. "" for NULL.
const char *inferlay_response_model(const inferlay_response *response);

// The version that answered; 0 for NULL.                                                 [any thread] [never blocks]
uint64_t inferlay_response_version(const inferlay_response *response);

// How many outputs the response has; 0 for NULL.                                         [any thread] [never blocks]
size_t inferlay_response_outputs_len(const inferlay_response *response);

// The name of an output by its index, in the order of the model; NULL when there is none. [any thread] [never blocks]
//
// The text lives for ever.
const char *inferlay_response_output_name(const inferlay_response *response, size_t index);

// An output by its name, where the backend wrote it: nothing is copied or allocated.     [any thread] [never blocks]
//
// `name`: borrowed for the call. `view`: filled on success; what it points to lives until the response is freed, or,
// for memory that the request brought, as long as that. Fails with NOT_FOUND, naming the outputs there are.
INFERLAY_MUST_USE
inferlay_status *inferlay_response_output(const inferlay_response *response,
                                          const char *name,
                                          inferlay_view *view);

// An output by its index, from 0 to `inferlay_response_outputs_len` - 1; else as `inferlay_response_output`.
//                                                                                        [any thread] [never blocks]
INFERLAY_MUST_USE
inferlay_status *inferlay_response_output_at(const inferlay_response *response,
                                             size_t index,
                                             inferlay_view *view);

// All outputs at once, in the order of the model.                                        [any thread] [never blocks]
//
// `names`: places for their names, which live for ever; may be NULL. `views`: places, as for
// `inferlay_response_output`; pointers, so that the struct may grow. `len`: how many places there are, of each.
// `outputs_len`: set to the number of outputs, also when there are fewer places: then nothing else is written, and it
// fails with RESOURCE_EXHAUSTED; not NULL.
INFERLAY_MUST_USE
inferlay_status *inferlay_response_outputs(const inferlay_response *response,
                                           const char **names,
                                           inferlay_view *const *views,
                                           size_t len,
                                           size_t *outputs_len);

// Writes an output of BYTES in the form of the wire: before each element its length as 4 bytes, little-endian.
//                                                                                        [any thread] [never blocks]
// `name`: borrowed for the call. `buffer`: where it goes; may be NULL when `buffer_size` is 0. `byte_size`: not NULL;
// set to the number of bytes that it takes, also when the buffer is too small for it: then nothing is written, and it
// fails with RESOURCE_EXHAUSTED. Fails with INVALID_ARG for an output of another type.
INFERLAY_MUST_USE
inferlay_status *inferlay_response_output_wire(const inferlay_response *response,
                                               const char *name,
                                               void *buffer,
                                               size_t buffer_size,
                                               size_t *byte_size);

// Detaches an output from its response: a tensor of its own that shares the memory and outlives the response.
//                                                                                        [any thread] [never blocks]
// `name`: borrowed for the call. `tensor`: where the tensor goes, which is then the caller's, to be freed with
// `inferlay_tensor_free`; not NULL. The response keeps the output too. Fails with NOT_FOUND, and with UNSUPPORTED for
// an output in memory that the request brought.
INFERLAY_MUST_USE
inferlay_status *inferlay_response_detach(const inferlay_response *response,
                                          const char *name,
                                          inferlay_tensor **tensor);

// What to look at of a tensor.                                                           [any thread] [never blocks]
//
// `view`: filled on success; what it points to lives until the tensor is freed.
INFERLAY_MUST_USE inferlay_status *inferlay_tensor_view(const inferlay_tensor *tensor, inferlay_view *view);

// Frees a tensor.                                                                        [any thread] [never blocks]
//
// `tensor`: taken; NULL does nothing.
void inferlay_tensor_free(inferlay_tensor *tensor);

// Hands a tensor on as DLPack, which shares its memory and outlives the tensor.          [any thread] [never blocks]
//
// `version`: 0 for `DLManagedTensor`, 1 for `DLManagedTensorVersioned`, which says that the memory is read-only.
// `managed`: where the struct goes, which is then the caller's, to be freed with the deleter in it, on any thread; not
// NULL. Its elements are not to be written. Fails with UNSUPPORTED for BYTES, another version and memory of devices.
INFERLAY_MUST_USE
inferlay_status *inferlay_tensor_to_dlpack(const inferlay_tensor *tensor,
                                           uint32_t version,
                                           void **managed);

// Makes a completion queue.                                                              [any thread] [never blocks]
//
// `queue`: where the queue goes, which is then the caller's, to be freed with `inferlay_queue_free`; not NULL. It
// belongs to no server and outlives all.
INFERLAY_MUST_USE inferlay_status *inferlay_queue_new(inferlay_queue **queue);

// Frees a queue, with the events in it; those that would still come are discarded.       [any thread] [never blocks]
//
// `queue`: taken; NULL does nothing. Its file descriptor is closed. No other call with it may be running.
void inferlay_queue_free(inferlay_queue *queue);

// Takes the next event out of a queue.                                 [any thread] [blocks for `timeout_ns` at most]
//
// `timeout_ns`: how long to wait for one; 0 for not at all, UINT64_MAX for ever. `event`: filled on success; its
// response and status are then the caller's. Fails with TIMEOUT when none came, and with FAILED_PRECONDITION when it
// would wait inside a callback or an execution; neither allocates.
INFERLAY_MUST_USE
inferlay_status *inferlay_queue_next(const inferlay_queue *queue,
                                     uint64_t timeout_ns,
                                     inferlay_event *event);

// A file descriptor (an eventfd) that is readable while the queue has events: for poll, epoll and the like. Do not
// read it: take events with `inferlay_queue_next` and a timeout of 0 until that fails with TIMEOUT.
//                                                                                        [any thread] [never blocks]
// The descriptor is the queue's, which closes it when freed. The same one each time; -1 for NULL and when the system
// has none left.
int32_t inferlay_queue_fd(const inferlay_queue *queue);

// Takes as many events out of a queue as there are and as there are places, one at least.
//                                                                      [any thread] [blocks for `timeout_ns` at most]
// `timeout_ns`: as for `inferlay_queue_next`. `events`: places, each with its `struct_size` set; pointers, so that the
// struct may grow; borrowed for the call. `events_len`: how many there are, at least 1. `taken`: set on success to the
// number of events that were taken, which fill the first places in order; not NULL. Fails as `inferlay_queue_next`.
INFERLAY_MUST_USE
inferlay_status *inferlay_queue_next_many(const inferlay_queue *queue,
                                          uint64_t timeout_ns,
                                          inferlay_event *const *events,
                                          size_t events_len,
                                          size_t *taken);

// Sends the log of a server to a completion queue, in the place of a function.          [one thread] [never blocks]
//
// Each line is an event of the kind LOG: `flags` is its level, the message of `status` its text. Lines that nobody
// takes are left out from 65536 events on. `queue`: borrowed for the call; NULL for no log. `user_data`: comes back
// with each event. `level_min`: as for `inferlay_options_set_log`.
INFERLAY_MUST_USE
inferlay_status *inferlay_options_set_log_queue(inferlay_options *options,
                                                const inferlay_queue *queue,
                                                void *user_data,
                                                uint32_t level_min);

// Tells a completion queue of each model while a server starts, in the place of a function.
//                                                                                        [one thread] [never blocks]
// Each model is an event of the kind PROGRESS: the message of `status` is JSON, `{"model", "version", "done", "total",
// "reason"}`, with the meaning of `inferlay_progress`; the reason is "" for a model that serves. `queue`: borrowed for
// the call; NULL for nobody. `user_data`: comes back with each event.
INFERLAY_MUST_USE
inferlay_status *inferlay_options_set_progress_queue(inferlay_options *options,
                                                     const inferlay_queue *queue,
                                                     void *user_data);

// Makes a model of a function of the program.                                            [any thread] [never blocks]
//
// `config`: YAML or JSON with the keys of a model's `config.yaml`; needs `name`, and `name`, `data_type` and `dims` of
// each `input` and `output`. `table`: borrowed for the call; `user_data`: borrowed until `gone` has been called. Fails
// with INVALID_ARG for a config that contradicts itself, ALREADY_EXISTS when the name is taken, UNAVAILABLE when the
// server stops; then nothing is called.
INFERLAY_MUST_USE
inferlay_status *inferlay_server_register_model(const inferlay_server *server,
                                                const char *config,
                                                const inferlay_model_table *table,
                                                void *user_data);

// The number of requests in a batch; 0 for NULL.                                     [inside execute] [never blocks]
size_t inferlay_batch_len(const inferlay_batch *batch);

// The sum of the requests' rows; 1 for a model that does not batch; 0 for NULL.      [inside execute] [never blocks]
size_t inferlay_batch_rows(const inferlay_batch *batch);

// All rows of an input: a request alone in its batch passes its memory through, several are joined once.
//                                                                                    [inside execute] [never blocks]
// `name`: borrowed for the call. `view`: filled on success; what it points to lives until `execute` returns, or until a
// pulled batch is freed. Fails with NOT_FOUND when there is no such input.
INFERLAY_MUST_USE
inferlay_status *inferlay_batch_input(const inferlay_batch *batch,
                                      const char *name,
                                      inferlay_view *view);

// Memory to write all rows of an output into, once; not for BYTES.                   [inside execute] [never blocks]
//
// `name`, `shape`: borrowed for the call. `data`, `byte_size`: where the memory and its size go; it is written until
// `execute` returns, or a pulled batch is answered. Not NULL. Fails with NOT_FOUND when there is no such output,
// INVALID_ARG when the shape contradicts the config or the number of rows, FAILED_PRECONDITION for the second time.
INFERLAY_MUST_USE
inferlay_status *inferlay_batch_output(inferlay_batch *batch,
                                       const char *name,
                                       const int64_t *shape,
                                       size_t rank,
                                       void **data,
                                       size_t *byte_size);

// Sets all rows of an output to a copy of a tensor; the only way for BYTES.           [inside execute] [never blocks]
//
// `name`, `tensor` and all it points to: borrowed for the call. Fails as `inferlay_batch_output`, and with INVALID_ARG
// when the tensor contradicts itself.
INFERLAY_MUST_USE
inferlay_status *inferlay_batch_set_output(inferlay_batch *batch,
                                           const char *name,
                                           const inferlay_view *tensor);

// Whether any request wants this output; false for NULL.                             [inside execute] [never blocks]
bool inferlay_batch_output_wanted(const inferlay_batch *batch, const char *name);

// Answers one request with an error, whatever becomes of the others.                 [inside execute] [never blocks]
//
// `index`: from 0 to `inferlay_batch_len` - 1. `status`: taken; NULL answers with UNKNOWN.
INFERLAY_MUST_USE inferlay_status *inferlay_batch_fail(inferlay_batch *batch, size_t index, inferlay_status *status);

// What one request of the batch says.                                                [inside execute] [never blocks]
//
// `index`: from 0 to `inferlay_batch_len` - 1. `asked`: filled on success. Fails with NOT_FOUND past the end.
INFERLAY_MUST_USE
inferlay_status *inferlay_batch_request(const inferlay_batch *batch,
                                        size_t index,
                                        inferlay_asked *asked);

// A parameter of one request of the batch.                                           [inside execute] [never blocks]
//
// `index`: from 0 to `inferlay_batch_len` - 1. `name`: borrowed for the call. `parameter`: filled on success. Fails
// with NOT_FOUND when the request has none of this name.
INFERLAY_MUST_USE
inferlay_status *inferlay_batch_parameter(const inferlay_batch *batch,
                                          size_t index,
                                          const char *name,
                                          inferlay_parameter *parameter);

// Makes a model whose batches are pulled, in a server that runs: it gets batching, queueing, deadlines and statistics
// like any other, and no thread of the library calls the program for it.                 [any thread] [never blocks]
//
// `config`: borrowed for the call; as for `inferlay_server_register_model`. `queue`: where the queue goes, the caller's
// from then on, to be freed with `inferlay_batch_queue_free`; not NULL. As many batches are out at once, waiting in the
// queue or pulled, as the config has instances; more requests wait in the model's own queue and become larger batches.
// `execution_timeout` counts until the answer. `inferlay_model_remove` takes the model away. Fails as
// `inferlay_server_register_model`.
INFERLAY_MUST_USE
inferlay_status *inferlay_batch_queue_new(const inferlay_server *server,
                                          const char *config,
                                          inferlay_batch_queue **queue);

// Frees a queue; batches in it, and requests to come until the model is removed, are answered with UNAVAILABLE.
//                                                                                        [any thread] [never blocks]
// `queue`: taken; NULL does nothing. Its file descriptor is closed. No other call with it may be running: to end the
// threads that pull, remove the model or stop the server, and wait until `inferlay_batch_queue_next` has told each of
// the end. Batches that were pulled outlive it, as it outlives the server.
void inferlay_batch_queue_free(inferlay_batch_queue *queue);

// Takes the next batch out of a queue.                                 [any thread] [blocks for `timeout_ns` at most]
//
// `timeout_ns`: how long to wait for one; 0 for not at all, UINT64_MAX for ever. `batch`: where the batch goes, which
// then is the caller's, to be answered with `inferlay_batch_answer` and freed with `inferlay_batch_free`; NULL once the
// model has ended, because it was removed or the server has stopped; not NULL itself. A batch comes without the
// requests that were cancelled or became too late while it waited. Fails with TIMEOUT when none came, and with
// FAILED_PRECONDITION when it would wait inside a callback or an execution; neither allocates.
INFERLAY_MUST_USE
inferlay_status *inferlay_batch_queue_next(const inferlay_batch_queue *queue,
                                           uint64_t timeout_ns,
                                           inferlay_batch **batch);

// A file descriptor (an eventfd) that is readable while `inferlay_batch_queue_next` would return at once: for poll,
// epoll and the like. Do not read it: take batches with a timeout of 0 until that fails with TIMEOUT.
//                                                                                        [any thread] [never blocks]
// The descriptor is the queue's, which closes it when freed. The same one each time; -1 for NULL and when the system
// has none left.
int32_t inferlay_batch_queue_fd(const inferlay_batch_queue *queue);

// Answers a batch that was pulled.                                                       [one thread] [never blocks]
//
// `batch`: from then on only to be freed; inputs that were looked at stay where they are until then. `status`: NULL:
// each request is answered with its rows of the outputs. A status, which is taken: it answers every request. Requests
// that were cancelled or became too late meanwhile, and those that a stop has answered, do not hear of it. Fails with
// what the requests are answered with when an output is missing or does not fit, and with FAILED_PRECONDITION for the
// second time and for a batch that was not pulled.
INFERLAY_MUST_USE inferlay_status *inferlay_batch_answer(inferlay_batch *batch, inferlay_status *status);

// Frees a batch that was pulled. One that was not answered is answered with INTERNAL.     [one thread] [never blocks]
//
// `batch`: taken; NULL, and a batch that was not pulled, do nothing. What its functions pointed to is gone, and memory
// that requests lent is released, if it was looked at as an input.
void inferlay_batch_free(inferlay_batch *batch);

// Takes one request out of the batch: it is answered by the responder, and not by the batch's outputs or failure.
//                                                                                    [inside execute] [never blocks]
// `index`: from 0 to `inferlay_batch_len` - 1. `responder`: where the responder goes, which is then the caller's, to
// be freed with `inferlay_responder_free`; not NULL. The request's inputs can be read until `execute` returns. Fails
// with NOT_FOUND past the end, FAILED_PRECONDITION for a request that was taken or failed before, UNSUPPORTED for a
// batch that was pulled.
//
// A model whose config says `model_transaction_policy: {decoupled: true}` may send any number of responses, or none;
// others send one. An instance runs its next batch when all that it took is answered.
INFERLAY_MUST_USE
inferlay_status *inferlay_batch_responder(inferlay_batch *batch,
                                          size_t index,
                                          inferlay_responder **responder);

// Sets an output of the next response to a copy of a tensor.                             [one thread] [never blocks]
//
// `name`, `tensor` and all it points to: borrowed for the call. Its first dim is the number of the request's rows,
// where the model batches. Fails with NOT_FOUND when there is no such output, FAILED_PRECONDITION for the second time,
// INVALID_ARG when the tensor contradicts itself.
INFERLAY_MUST_USE
inferlay_status *inferlay_responder_set_output(inferlay_responder *responder,
                                               const char *name,
                                               const inferlay_view *tensor);

// Sends the next response: the outputs that were set.                                    [one thread] [never blocks]
//
// `flags`: a sum of INFERLAY_RESPONSE_*; FINAL without outputs ends the answer without a further response. Whatever
// becomes of it, no output is set afterwards. Fails with INVALID_ARG or INTERNAL when an output contradicts the config
// or is missing: the caller then gets that error; UNSUPPORTED for a response without FINAL, and for FINAL without
// outputs, of a model that is not decoupled, which may still send one with both, and for a second one to a caller that
// waits for one; FAILED_PRECONDITION after the end; CANCELLED when a deadline, a cancel or a stop has ended it;
// RESOURCE_EXHAUSTED when the caller is 16 times its credit behind; INVALID_ARG for other flags.
INFERLAY_MUST_USE
inferlay_status *inferlay_responder_send(inferlay_responder *responder,
                                         inferlay_response_flags flags);

// Ends the answer with an error.                                                         [one thread] [never blocks]
//
// `status`: taken; NULL ends it with UNKNOWN. After the end nobody hears of it; the second time it fails with
// FAILED_PRECONDITION.
INFERLAY_MUST_USE inferlay_status *inferlay_responder_fail(inferlay_responder *responder, inferlay_status *status);

// How many more responses the caller can take before it has fallen behind.               [one thread] [never blocks]
//
// It is advice: one that is sent past it is not lost. It rises when the caller takes some. 1 for a model that is not
// decoupled, or whose caller takes one response; 0 once nobody wants more, and for NULL.
size_t inferlay_responder_credit(const inferlay_responder *responder);

// Whether the caller no longer wants the answer; true for NULL.                          [one thread] [never blocks]
bool inferlay_responder_cancelled(const inferlay_responder *responder);

// Frees a responder. If nothing final was sent, the caller gets an error.                [one thread] [never blocks]
//
// `responder`: taken; NULL does nothing.
void inferlay_responder_free(inferlay_responder *responder);

// Loads a model of the repositories by its name, or loads it anew, and returns at once.  [any thread] [never blocks]
//
// What serves goes on serving until all of the new is loaded; then new requests go there, and those on their way finish
// where they are. If anything of it fails, what served serves on. What has not changed is not loaded again.
// `model`, `options` and all it points to: borrowed for the call; the files are copied. `options`: NULL for what the
// model's folder says. `operation`: where the operation goes, which is then the caller's, to be freed with
// `inferlay_operation_free`; NULL if nobody wants to know. The operation fails with NOT_FOUND for a model that is in no
// repository, with CANCELLED when it is unloaded meanwhile, and with whatever keeps a version from serving.
INFERLAY_MUST_USE
inferlay_status *inferlay_server_load_model(const inferlay_server *server,
                                            const char *model,
                                            const inferlay_load_options *options,
                                            inferlay_operation **operation);

// Unloads a model, all its versions, and returns at once: from now on it takes no requests. Those on their way are
// answered, for as long as the retire timeout allows. The model stays in the index, and can be loaded again.
//                                                                                        [any thread] [never blocks]
// `model`, `options`: borrowed for the call. `options`: NULL for the defaults. `operation`: as for
// `inferlay_server_load_model`; it is over when the memory is back. It fails with NOT_FOUND, and with TIMEOUT when
// requests were left when the time was up.
INFERLAY_MUST_USE
inferlay_status *inferlay_server_unload_model(const inferlay_server *server,
                                              const char *model,
                                              const inferlay_unload_options *options,
                                              inferlay_operation **operation);

// Looks at all repositories now, does what has changed there asks for, and returns at once. A model that is being
// written is waited for.                                                                 [any thread] [never blocks]
//
// `operation`: as for `inferlay_server_load_model`; it is over when all is done, whether or not models failed to load,
// see `inferlay_server_models`. It fails with FAILED_PRECONDITION for a server with explicit control. A server that was
// not started to poll looks only when this is called.
INFERLAY_MUST_USE inferlay_status *inferlay_server_poll(const inferlay_server *server, inferlay_operation **operation);

// Has a model stay in memory once it is there, or go again when others need room, which is so unless it was pinned.
// Without a memory budget all models stay.                                               [any thread] [never blocks]
//
// `model`: borrowed for the call; it need not be loaded.
INFERLAY_MUST_USE
inferlay_status *inferlay_server_pin_model(const inferlay_server *server,
                                           const char *model,
                                           bool pinned);

// What paging has done, as JSON: `{"budget_bytes", "used_bytes", "used_bytes_max", "resident_count", "loads",
// "evictions", "thrashes", "exhausted"}`; all 0 without a memory budget.                 [any thread] [never blocks]
INFERLAY_MUST_USE inferlay_status *inferlay_server_paging(const inferlay_server *server, char **json);

// Where it is counted how many times the state of any version of any model has changed: who keeps what it has been told
// of models reads this, atomically, before each use, and asks again when it is another number.
//                                                                                        [any thread] [never blocks]
// Read-only, and good for ever, also when the server was freed. NULL for NULL, and in the child of a fork.
const uint64_t *inferlay_server_change_counter(const inferlay_server *server);

// Waits until an operation is over, and says how it ended.          [any thread] [blocks for `timeout_ns` at most]
//
// `timeout_ns`: how long to wait; 0 for not at all, UINT64_MAX for ever. Fails with what the operation failed with:
// what served before serves still. CANCELLED: a later operation on the same model came before its end. UNAVAILABLE: the
// server stopped before. Fails with TIMEOUT when it is under way still, then `inferlay_operation_is_done` is false; and
// with FAILED_PRECONDITION when it would wait inside a callback or an execution.
INFERLAY_MUST_USE inferlay_status *inferlay_operation_wait(const inferlay_operation *operation, uint64_t timeout_ns);

// Whether an operation is over.                                                          [any thread] [never blocks]
//
// False for NULL, and in the child of a fork.
bool inferlay_operation_is_done(const inferlay_operation *operation);

// Has `on_done` called when an operation is over, see `inferlay_done_fn`; soon, if it is.
//                                                                                        [any thread] [never blocks]
// `on_done`: not NULL; each one that is given is called once, before a stop of the server is over. `user_data`: comes
// back with the call; borrowed until then. The operation may be freed before. Fails with UNAVAILABLE when the server
// has stopped; then it is not called.
INFERLAY_MUST_USE
inferlay_status *inferlay_operation_on_done(const inferlay_operation *operation,
                                            inferlay_done_fn on_done,
                                            void *user_data);

// Adds an event to a completion queue when an operation is over, in the place of a function.
//                                                                                        [any thread] [never blocks]
// The event is of the kind DONE: its `status` is NULL, or why the operation failed. It comes for sure: at a stop too.
// `queue`: borrowed for the call. `user_data`: comes back with the event. The operation may be freed before.
INFERLAY_MUST_USE
inferlay_status *inferlay_operation_on_done_queue(const inferlay_operation *operation,
                                                  const inferlay_queue *queue,
                                                  void *user_data);

// Frees an operation, which goes on.                                                     [any thread] [never blocks]
//
// `operation`: taken; NULL does nothing. It outlives the server.
void inferlay_operation_free(inferlay_operation *operation);

// Has `on_change` called with every change of a version's state from now on, see `inferlay_change_fn`.
//                                                                                        [any thread] [never blocks]
// `on_change`: not NULL. `gone`: may be NULL; told once that `on_change` is not called any more, see
// `inferlay_gone_fn`: soon after the subscription was freed, as a call may be under way, or within that. On failure it
// is not told.
// `user_data`: comes back with each call; borrowed until `gone`. `subscription`: where the subscription goes, which is
// then the caller's, to be freed with `inferlay_subscription_free`; not NULL.
INFERLAY_MUST_USE
inferlay_status *inferlay_server_subscribe(const inferlay_server *server,
                                           inferlay_change_fn on_change,
                                           inferlay_gone_fn gone,
                                           void *user_data,
                                           inferlay_subscription **subscription);

// Sends every change of a version's state from now on to a completion queue, in the place of a function.
//                                                                                        [any thread] [never blocks]
// Each change is an event of the kind CHANGE: `flags` is the state, one of INFERLAY_STATE_*, the message of `status` is
// JSON, a line of `inferlay_server_models`. Whoever subscribes and then asks for that misses nothing. Changes that
// nobody takes are left out from 65536 events on. `queue`: borrowed for the call. `user_data`: comes back with each
// event. `subscription`: as for `inferlay_server_subscribe`; events may still come soon after it was freed.
INFERLAY_MUST_USE
inferlay_status *inferlay_server_subscribe_queue(const inferlay_server *server,
                                                 const inferlay_queue *queue,
                                                 void *user_data,
                                                 inferlay_subscription **subscription);

// Ends a subscription.                                                                   [any thread] [never blocks]
//
// `subscription`: taken; NULL does nothing. It outlives the server. A call that is under way is not waited for: see
// `gone` of `inferlay_server_subscribe`.
void inferlay_subscription_free(inferlay_subscription *subscription);

// Makes a metric, which `inferlay_server_metrics` shows from now on.                     [any thread] [never blocks]
//
// `definition` and all it points to: borrowed for the call. `metric`: where the metric goes, which is then the
// caller's, to be freed with `inferlay_metric_free`; not NULL. Of the same name and labels there is one metric, however
// many handles. It may outlive the server, and then is seen by nobody. Fails with INVALID_ARG for a kind, name, label
// or bound that cannot be, ALREADY_EXISTS for a name that has another kind or other bounds.
INFERLAY_MUST_USE
inferlay_status *inferlay_metric_new(const inferlay_server *server,
                                     const inferlay_metric_definition *definition,
                                     inferlay_metric **metric);

// Sets a gauge.                                                                          [any thread] [never blocks]
//
// Fails with UNSUPPORTED for another kind.
INFERLAY_MUST_USE inferlay_status *inferlay_metric_set(const inferlay_metric *metric, double value);

// Adds to a counter or gauge.                                                            [any thread] [never blocks]
//
// Fails with UNSUPPORTED for a histogram, INVALID_ARG for a counter that would fall.
INFERLAY_MUST_USE inferlay_status *inferlay_metric_increment(const inferlay_metric *metric, double by);

// Counts a value in a histogram.                                                         [any thread] [never blocks]
//
// Fails with UNSUPPORTED for another kind.
INFERLAY_MUST_USE inferlay_status *inferlay_metric_observe(const inferlay_metric *metric, double value);

// The value of a counter or gauge.                                                       [any thread] [never blocks]
//
// `value`: where it goes; not NULL. Fails with UNSUPPORTED for a histogram.
INFERLAY_MUST_USE inferlay_status *inferlay_metric_value(const inferlay_metric *metric, double *value);

// Gives a metric up. The last handle of its name and labels takes it out of the server's metrics.
//                                                                                        [any thread] [never blocks]
// `metric`: taken; NULL does nothing.
void inferlay_metric_free(inferlay_metric *metric);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* INFERLAY_H */
