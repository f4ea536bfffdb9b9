/*
 * A backend in plain C that multiplies FP32, and the same with one thing wrong with it: each -D below is one of them.
 *
 * NAME is the name of the backend, FACTOR what it multiplies by; every other switch names what it breaks.
 */
#include "inferlay_backend.h"

#include <stdlib.h>
#include <string.h>

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define QUOTE_(a) #a
#define QUOTE(a) QUOTE_(a)

#ifndef FACTOR
#define FACTOR 2
#endif

typedef inferlay_abi_status status;

/* One server's backend: what it counts, it says in the log when it ends. */
typedef struct {
    const inferlay_abi_host *host;
    const inferlay_abi_engine *engine;
    int handed_over;
    int released;
    int models;
} backend;

static inferlay_abi_text text(const char *string) {
    inferlay_abi_text view;
    view.data = string;
    view.len = strlen(string);
    return view;
}

#ifdef INIT_FAILS
static const status no_licence = INFERLAY_ABI_STATUS(INFERLAY_ABI_CODE_FAILED_PRECONDITION, "found no licence");
#endif

static const status *backend_new(const inferlay_abi_host *host, const inferlay_abi_engine *engine, void **state) {
#ifdef INIT_FAILS
    (void)host, (void)engine, (void)state;
    return &no_licence;
#else
    backend *own = (backend *)calloc(1, sizeof *own);
    if (!own) {
        return host->status_new(INFERLAY_ABI_CODE_RESOURCE_EXHAUSTED, text("no memory"));
    }
    own->host = host;
    own->engine = engine;
#ifdef WANTS_OPTIONS
    inferlay_abi_text wanted = text("{\"a \\\"b\\\"\":\"\303\251\\n\"}");
#else
    inferlay_abi_text wanted = text("");
#endif
    inferlay_abi_text found = host->backend_config(engine);
    int is_wanted = found.len == wanted.len && (found.len == 0 || memcmp(found.data, wanted.data, found.len) == 0);
    if (host->backend_directory(engine).len == 0 || !is_wanted) {
        free(own);
        return host->status_new(INFERLAY_ABI_CODE_INTERNAL, text("found no directory, or other options"));
    }
    *state = own;
    return NULL;
#endif
}

static void backend_free(void *state) {
    backend *own = (backend *)state;
    if (own) {
        char line[] = "ended: 0 models, handed over 00, released 00";
        line[7] = (char)('0' + own->models);
        line[29] = (char)('0' + own->handed_over / 10 % 10), line[30] = (char)('0' + own->handed_over % 10);
        line[42] = (char)('0' + own->released / 10 % 10), line[43] = (char)('0' + own->released % 10);
        own->host->log(own->engine, INFERLAY_ABI_LOG_INFO, text(line));
        free(own);
    }
}

static const status *model_new(void *state, const inferlay_abi_host *host, const inferlay_abi_engine *engine,
                               const inferlay_abi_source *source, void **model) {
    (void)engine;
#ifdef LOAD_FAILS
    (void)state, (void)model, (void)source;
    return host->status_new(INFERLAY_ABI_CODE_INVALID_ARG, text("found no weights"));
#elif defined(IS_NOT_INSTALLED)
    (void)state, (void)model, (void)source;
    return host->status_new(INFERLAY_ABI_CODE_UNAVAILABLE, text("install the runtime"));
#else
    inferlay_abi_text name = host->source_name(source);
    if (name.len == 0) {
        return host->status_new(INFERLAY_ABI_CODE_INTERNAL, text("found no name"));
    }
    ((backend *)state)->models++;
    *model = state;
    return NULL;
#endif
}

static void model_free(void *model) { ((backend *)model)->models--; }

#ifdef STATES_JSON
static inferlay_abi_text model_config(void *model) {
    (void)model;
    return text("{\"max_batch_size\": 4, \"input\": {\"name\": \"x\", \"data_type\": \"TYPE_FP32\", \"dims\": 2},"
                " \"output\": {\"name\": \"y\", \"data_type\": \"TYPE_FP32\", \"dims\": 2}}");
}
#endif

#ifdef STREAMS
/* The user's config says the rest. */
static inferlay_abi_text model_config(void *model) {
    (void)model;
    return text("{\"model_transaction_policy\": {\"decoupled\": true}, \"max_batch_size\": 8,"
                " \"input\": {\"name\": \"x\", \"data_type\": \"TYPE_FP32\", \"dims\": 2},"
                " \"output\": {\"name\": \"y\", \"data_type\": \"TYPE_FP32\", \"dims\": 2}}");
}
#endif

#ifdef STATES_NONSENSE
static const inferlay_abi_signature *model_signature(void *model) {
    static const int64_t dims[2] = {-1, 2};
    static const inferlay_abi_tensor_spec x = {sizeof(inferlay_abi_tensor_spec), 99, INFERLAY_ABI_TEXT("x"), dims, 2, 0};
    static const inferlay_abi_tensor_spec *const inputs[1] = {&x};
    static const inferlay_abi_signature signature = {sizeof(inferlay_abi_signature), 1, 1, 0, inputs, NULL};
    (void)model;
    return &signature;
}
#endif

static const status *instance_new(void *model, const inferlay_abi_instance *host_instance,
                                  const inferlay_abi_instance_spec *spec, void **instance) {
    (void)host_instance, (void)spec;
    *instance = model;
#ifdef INSTANCE_FAILS
    return ((backend *)model)->host->status_new(INFERLAY_ABI_CODE_UNAVAILABLE, text("found no accelerator"));
#else
    return NULL;
#endif
}

/* Frees a status and says whether its code is the expected one. */
static int is(const status *found, inferlay_abi_code expected) {
    int same = found && found->code == expected && found->message.len > 0;
    if (found && found->free) {
        found->free(found);
    }
    return same;
}

/* Asks for an output without saying how long the descriptor is, and goes on as if nothing were wrong. */
static const status *forget_size(const status *refused) {
    static const status taken = INFERLAY_ABI_STATUS(INFERLAY_ABI_CODE_UNKNOWN, "found no refusal");
    return is(refused, INFERLAY_ABI_CODE_INVALID_ARG) ? NULL : &taken;
}

#if !defined(NO_EXECUTE)
static void multiply(float *y, const float *x, uint64_t len) {
    for (uint64_t i = 0; i < len / sizeof *x; i++) {
        y[i] = FACTOR * x[i];
    }
}

static const status unaligned = INFERLAY_ABI_STATUS(INFERLAY_ABI_CODE_INTERNAL, "found memory that is not aligned");

static const status *aligned(const inferlay_abi_tensor *x) {
    return (uintptr_t)x->data % sizeof(float) ? &unaligned : NULL;
}

/* The right answer, through the batch. */
static const status *answer(const backend *own, const inferlay_abi_batch *batch) {
    inferlay_abi_tensor x = INFERLAY_ABI_TENSOR_INIT, y = INFERLAY_ABI_TENSOR_INIT;
    const status *failed = own->host->batch_input(batch, 0, NULL, &x);
    failed = failed ? failed : aligned(&x);
#ifdef FORGETS_SIZE
    y.struct_size = 0;
    return failed ? failed : forget_size(own->host->batch_output_buffer(batch, 0, x.shape, x.rank, NULL, &y));
#endif
    if (!failed) {
        failed = own->host->batch_output_buffer(batch, 0, x.shape, x.rank, NULL, &y);
    }
    if (!failed) {
        multiply((float *)y.data, (const float *)x.data, x.len);
    }
    return failed;
}
#endif

#if defined(TAKES) || defined(LEAKS) || defined(ANSWERS_TWICE) || defined(LETS_GO)
/* Answers one request that was taken; the status is that of the second answer, if there is one. */
static const status *answer_taken(const inferlay_abi_host *host, inferlay_abi_request *request, int times) {
    inferlay_abi_responder *responder = NULL;
    const status *failed = host->responder_new(request, &responder);
    while (!failed && times-- > 0) {
        inferlay_abi_response *response = NULL;
        inferlay_abi_tensor x = INFERLAY_ABI_TENSOR_INIT, y = INFERLAY_ABI_TENSOR_INIT;
        failed = host->response_new(responder, &response);
        if (!failed) {
            failed = host->request_input(request, 0, &x, NULL);
            failed = failed ? failed : aligned(&x);
        }
#ifdef FORGETS_SIZE
        y.struct_size = 0;
        failed = failed ? failed : forget_size(host->response_output_buffer(response, 0, x.shape, x.rank, NULL, &y));
#else
        if (!failed) {
            failed = host->response_output_buffer(response, 0, x.shape, x.rank, NULL, &y);
        }
#endif
        if (failed) {
            host->response_free(response);
            break;
        }
        if (y.data) {
            multiply((float *)y.data, (const float *)x.data, x.len);
        }
        failed = host->response_send(response, INFERLAY_ABI_RESPONSE_FINAL, NULL);
    }
    host->responder_free(responder);
    return failed;
}
#endif

#ifdef STREAMS
/* Sends a response with the right answer, or with no output. */
static const status *send(const inferlay_abi_host *host, const inferlay_abi_request *request,
                          inferlay_abi_responder *responder, inferlay_abi_response_flags flags) {
    inferlay_abi_response *response = NULL;
    inferlay_abi_tensor x = INFERLAY_ABI_TENSOR_INIT, y = INFERLAY_ABI_TENSOR_INIT;
    const status *failed = host->response_new(responder, &response);
    if (!failed && !(flags & INFERLAY_ABI_RESPONSE_EMPTY)) {
        failed = host->request_input(request, 0, &x, NULL);
        failed = failed ? failed : host->response_output_buffer(response, 0, x.shape, x.rank, NULL, &y);
        if (failed) {
            host->response_free(response);
            return failed;
        }
        multiply((float *)y.data, (const float *)x.data, x.len);
    }
    return failed ? failed : host->response_send(response, flags, NULL);
}

/* Two responses and an end, and then what must not come. */
static const status *stream(const backend *own, const inferlay_abi_request *request) {
    const inferlay_abi_host *host = own->host;
    inferlay_abi_responder *responder = NULL;
    const status *failed = host->responder_new(request, &responder);
    int is_right = !failed && host->responder_credit(responder) == 64;
    for (int i = 0; !failed && i < 2; i++) {
        failed = send(host, request, responder, 0);
    }
    if (failed) {
        host->responder_free(responder);
        return failed;
    }
    is_right &= is(send(host, request, responder, INFERLAY_ABI_RESPONSE_EMPTY), INFERLAY_ABI_CODE_INVALID_ARG);
    is_right &= is(send(host, request, responder, INFERLAY_ABI_RESPONSE_FINAL | 4), INFERLAY_ABI_CODE_UNSUPPORTED);
    failed = send(host, request, responder, INFERLAY_ABI_RESPONSE_EMPTY | INFERLAY_ABI_RESPONSE_FINAL);
    is_right &= is(send(host, request, responder, 0), INFERLAY_ABI_CODE_FAILED_PRECONDITION);
    is_right &= is(send(host, request, responder, INFERLAY_ABI_RESPONSE_FINAL), INFERLAY_ABI_CODE_FAILED_PRECONDITION);
    is_right &= is(host->responder_finish(responder, NULL), INFERLAY_ABI_CODE_FAILED_PRECONDITION);
    is_right &= host->responder_credit(responder) == 0;
    host->responder_free(responder);
    host->log(own->engine, INFERLAY_ABI_LOG_INFO, text(is_right ? "refused as it should be" : "wrongly served"));
    return failed;
}
#endif

#if defined(HANDS_OVER) || defined(MISUSES)
typedef struct {
    backend *own;
    float y[];
} output;

static void release(void *data, inferlay_abi_ready_kind ready_kind, uint64_t ready) {
    output *gone = (output *)data;
    (void)ready_kind, (void)ready;
    gone->own->released++;
    free(gone);
}

/* An output in memory of our own, of the shape of an input. */
static inferlay_abi_tensor handed_over(backend *own, const inferlay_abi_tensor *x) {
    inferlay_abi_tensor y = INFERLAY_ABI_TENSOR_INIT;
    output *made = (output *)calloc(1, sizeof *made + x->len);
    if (made) {
        made->own = own;
        multiply(made->y, (const float *)x->data, x->len);
        y.dtype = x->dtype, y.rank = x->rank, y.shape = x->shape;
        y.data = made->y, y.len = x->len;
        y.release = release, y.release_data = made;
        own->handed_over++;
    }
    return y;
}
#endif

#ifdef MISUSES
#define EXPECT(code, call) \
    if (!is((call), INFERLAY_ABI_CODE_##code)) return host->status_new(INFERLAY_ABI_CODE_INTERNAL, text(QUOTE(__LINE__) ": " #call))

static const status *misuse(backend *own, const inferlay_abi_request *const *requests, const inferlay_abi_batch *batch) {
    const inferlay_abi_host *host = own->host;
    const int64_t negative[2] = {1, -2}, wrong[2] = {1, 3}, x_dims[2] = {1, 2};
    const inferlay_abi_placement device = {INFERLAY_ABI_MEMORY_DEVICE, INFERLAY_ABI_DEVICE_CUDA, 0, 0};
    const inferlay_abi_placement unknown = {77, 0, 0, 0};
    inferlay_abi_tensor x = INFERLAY_ABI_TENSOR_INIT, y = INFERLAY_ABI_TENSOR_INIT, unset;
    inferlay_abi_request *taken = NULL;
    inferlay_abi_value value;
    uint32_t index = 0;
    memset(&unset, 0, sizeof unset);
    EXPECT(INVALID_ARG, host->batch_input(batch, 0, NULL, &unset));
    EXPECT(INVALID_ARG, host->batch_input(batch, 0, NULL, NULL));
    EXPECT(NOT_FOUND, host->batch_input(batch, 9, NULL, &x));
    EXPECT(UNSUPPORTED, host->batch_input(batch, 0, &device, &x));
    EXPECT(UNSUPPORTED, host->batch_input(batch, 0, &unknown, &x));
    EXPECT(NOT_FOUND, host->request_input(requests[0], 9, &x, NULL));
    EXPECT(NOT_FOUND, host->request_input_buffer(requests[0], 0, 1, &x));
    EXPECT(NOT_FOUND, host->request_input_index(requests[0], text("z"), &index));
    EXPECT(NOT_FOUND, host->request_output_index(requests[0], text("z"), &index));
    EXPECT(NOT_FOUND, host->request_parameter(requests[0], text("z"), &value));
    EXPECT(INVALID_ARG, host->batch_output_buffer(batch, 0, x_dims, 2, NULL, &unset));
    EXPECT(INVALID_ARG, host->batch_output_buffer(batch, 0, x_dims, 2, NULL, NULL));
    EXPECT(INVALID_ARG, host->batch_output_buffer(batch, 0, negative, 2, NULL, &y));
    EXPECT(INVALID_ARG, host->batch_output_buffer(batch, 0, NULL, 2, NULL, &y));
    EXPECT(INVALID_ARG, host->batch_output_buffer(batch, 0, wrong, 4000000000u, NULL, &y));
    EXPECT(INVALID_ARG, host->batch_output_buffer(batch, 0, wrong, 2, NULL, &y));
    EXPECT(NOT_FOUND, host->batch_output_buffer(batch, 9, wrong, 2, NULL, &y));
    EXPECT(UNSUPPORTED, host->batch_output_buffer(batch, 0, wrong, 2, &device, &y));
    EXPECT(INVALID_ARG, host->batch_output(batch, 0, NULL));
    if (host->batch_input(batch, 0, NULL, &x)) {
        return host->status_new(INFERLAY_ABI_CODE_INTERNAL, text("found no input"));
    }
    EXPECT(INVALID_ARG, host->batch_output(batch, 0, &unset));
    y = handed_over(own, &x), y.dtype = 99;
    EXPECT(UNSUPPORTED, host->batch_output(batch, 0, &y));
    y = handed_over(own, &x), y.dtype = INFERLAY_ABI_DTYPE_INT64;
    EXPECT(INVALID_ARG, host->batch_output(batch, 0, &y));
    y = handed_over(own, &x), y.len = 4;
    EXPECT(INVALID_ARG, host->batch_output(batch, 0, &y));
    y = handed_over(own, &x), y.strides = negative;
    EXPECT(UNSUPPORTED, host->batch_output(batch, 0, &y));
    y = handed_over(own, &x), y.ready_kind = 55;
    EXPECT(UNSUPPORTED, host->batch_output(batch, 0, &y));
    y = handed_over(own, &x);
    EXPECT(NOT_FOUND, host->batch_output(batch, 9, &y));
    y = handed_over(own, &x);
    EXPECT(UNSUPPORTED, host->request_state_out(requests[0], 0, &y));
    EXPECT(INVALID_ARG, host->batch_fail(batch, 9, host->status_new(0, text("nobody"))));
    EXPECT(INVALID_ARG, host->batch_fail(batch, 0, NULL));
    EXPECT(INVALID_ARG, host->batch_take(batch, 9, &taken));
    EXPECT(INVALID_ARG, host->batch_take(batch, 0, NULL));
    EXPECT(INVALID_ARG, host->request_release((inferlay_abi_request *)requests[0], INFERLAY_ABI_RELEASE_DONE));
    EXPECT(UNSUPPORTED, host->call_new(own->engine, requests[0], text("m"), 0, NULL));
    EXPECT(UNSUPPORTED, host->batch_timing(batch, NULL));
    return answer(own, batch);
}
#endif

#if !defined(NO_EXECUTE)
static const status *execute(void *instance, const inferlay_abi_request *const *requests, uint32_t count,
                             const inferlay_abi_batch *batch) {
    backend *own = (backend *)instance;
    const inferlay_abi_host *host = own->host;
    (void)requests, (void)count, (void)host;
#if defined(BUFFER_TWICE)
    const status *failed = answer(own, batch);
    return failed ? failed : answer(own, batch);
#elif defined(ANSWERS_NOTHING)
    (void)batch;
    return NULL;
#elif defined(MISUSES)
    return misuse(own, requests, batch);
#elif defined(HANDS_OVER)
    inferlay_abi_tensor x = INFERLAY_ABI_TENSOR_INIT, y;
    const status *failed = host->batch_input(batch, 0, NULL, &x);
    if (failed) {
        return failed;
    }
    y = handed_over(own, &x);
    return host->batch_output(batch, 0, &y);
#elif defined(NEVER_ANSWERS) || defined(TAKES) || defined(LEAKS) || defined(ANSWERS_TWICE) || defined(LETS_GO) || defined(STREAMS)
    for (uint32_t i = 0; i < count; i++) {
        inferlay_abi_request *taken = NULL;
        const status *failed = host->batch_take(batch, i, &taken);
        if (failed) {
            return failed;
        }
#if defined(TAKES)
        failed = answer_taken(host, taken, 1);
        if (!failed) {
            failed = host->request_release(taken, INFERLAY_ABI_RELEASE_DONE);
        }
#elif defined(STREAMS)
        failed = stream(own, taken);
        {
            const status *released = host->request_release(taken, INFERLAY_ABI_RELEASE_DONE);
            failed = failed ? failed : released;
        }
#elif defined(LEAKS)
        failed = answer_taken(host, taken, 1);
#elif defined(LETS_GO)
        failed = host->request_release(taken, INFERLAY_ABI_RELEASE_DONE);
#elif defined(ANSWERS_TWICE)
        failed = answer_taken(host, taken, 2);
        if (failed) {
            own->host->log(own->engine, INFERLAY_ABI_LOG_ERROR, failed->message);
        }
        {
            const status *released = host->request_release(taken, INFERLAY_ABI_RELEASE_DONE);
            failed = failed ? failed : released;
        }
#endif
        if (failed) {
            return failed;
        }
    }
    return NULL;
#else
    return answer(own, batch);
#endif
}
#endif

#ifdef HALF_A_BATCHER
static const status *batcher_new(void *model, void **batcher) {
    *batcher = model;
    return NULL;
}
#endif

/* A table that another minor has made longer. */
typedef struct {
    inferlay_abi_backend known;
    void *unknown[8];
} longer;

static longer table;

#ifdef OTHER_SYMBOL
#define SYMBOL inferlay_backend_somebody_else
#else
#define SYMBOL JOIN(inferlay_backend_, NAME)
#endif

INFERLAY_ABI_EXPORT const inferlay_abi_backend *SYMBOL(const inferlay_abi_host *host);
const inferlay_abi_backend *SYMBOL(const inferlay_abi_host *host) {
    (void)host;
    inferlay_abi_backend *known = &table.known;
    known->struct_size = sizeof *known;
    known->abi_major = INFERLAY_ABI_MAJOR;
    known->abi_minor = INFERLAY_ABI_MINOR;
    known->attributes = INFERLAY_ABI_ATTRIBUTE_CALLER_OK;
    known->name = QUOTE(NAME);
    known->backend_new = backend_new;
    known->backend_free = backend_free;
    known->model_new = model_new;
    known->model_free = model_free;
    known->instance_new = instance_new;
#if !defined(NO_EXECUTE)
    known->execute = execute;
#endif
#ifdef READS_FILES
    static const char *const file_names[] = {"model.text", NULL};
    known->file_names = file_names;
#endif
#if defined(STATES_JSON) || defined(STREAMS)
    known->model_config = model_config;
#endif
#ifdef STATES_NONSENSE
    known->model_signature = model_signature;
#endif
#ifdef OTHER_MAJOR
    known->abi_major = 2;
    known->execute = NULL;
#endif
#ifdef SHORT_TABLE
    known->struct_size = 40;
#endif
#ifdef NEWER_MINOR
    known->abi_minor = 7;
    known->struct_size = sizeof table;
    table.unknown[0] = &table;
    known->attributes |= 1u << 31;
#endif
#ifdef NO_MODEL_NEW
    known->model_new = NULL;
#endif
#ifdef HALF_A_BATCHER
    known->batcher_new = batcher_new;
#endif
#ifdef OTHER_NAME
    known->name = "another";
#endif
#ifdef NO_TABLE
    return NULL;
#else
    return known;
#endif
}
