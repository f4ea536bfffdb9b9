/*
 * A backend in plain C: smooths signals. Output row i is the mean of the last `window` values of its input row.
 *
 *   backend   one per server       what the engine gave it; counts the memory that it has handed over
 *   model     one per version      the window, and a thread that answers what is not answered at once
 *   job       one per taken request
 *
 * It answers in both ways that there are. At once: `execute` writes the rows of the whole batch, which the host has
 * gathered, into memory of the host. Later: `execute` takes the request and returns; the model's thread answers it, in
 * memory of its own. A request with the parameter `progress` gets several responses, if the model's config
 * says `model_transaction_policy: {decoupled: true}`.
 */
#include "inferlay_backend.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef inferlay_abi_status status;

typedef struct {
    const inferlay_abi_host *host;
    const inferlay_abi_engine *engine;
    pthread_mutex_t lock;
    uint64_t handed_over;
    uint64_t returned;
} backend;

/* A request that was taken, until it is answered. */
typedef struct job {
    inferlay_abi_request *request;
    inferlay_abi_responder *responder;
    struct job *next;
} job;

typedef struct {
    backend *backend;
    int64_t window;
    int answers_later;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    /* What the thread has to do, oldest first. */
    job *first;
    job **end;
    int is_ending;
    /* Whether the thread frees the model, as nobody can wait for it. */
    int frees_itself;
} model;

/* The widest window. */
#define WINDOW_MAX 1000000
/* After so many additions a computation looks whether anybody still wants it. */
#define ADDITIONS_UNTIL_LOOK 65536
/* So many batches may wait for the model's thread; the host keeps more than that in its own, bounded queue. */
#define BATCHES_IN_FLIGHT_MAX 16

static const status no_memory = INFERLAY_ABI_STATUS(INFERLAY_ABI_CODE_RESOURCE_EXHAUSTED, "found no memory");
static const status no_thread = INFERLAY_ABI_STATUS(INFERLAY_ABI_CODE_RESOURCE_EXHAUSTED, "found no thread");
static const status unwanted = INFERLAY_ABI_STATUS(INFERLAY_ABI_CODE_CANCELLED, "nobody wants the answer any more");
static const status bad_window =
    INFERLAY_ABI_STATUS(INFERLAY_ABI_CODE_INVALID_ARG, "parameter 'window': expected a whole number from 1 to 1000000");

/* Returns what failed to the caller. */
#define TRY(call)                          \
    do {                                   \
        const status *try_failed = (call); \
        if (try_failed) {                  \
            return try_failed;             \
        }                                  \
    } while (0)

static inferlay_abi_text text(const char *string) {
    inferlay_abi_text view;
    view.data = string;
    view.len = strlen(string);
    return view;
}

static int is_text(inferlay_abi_text found, const char *expected) {
    return found.len == strlen(expected) && memcmp(found.data, expected, found.len) == 0;
}

/* Frees a status of the host that nobody else is to see. Whether there was one. */
static int has_failed(const status *found) {
    if (found && found->free) {
        found->free(found);
    }
    return found != NULL;
}

/* --- The backend ------------------------------------------------------------------------------------------------- */

static const status *backend_new(const inferlay_abi_host *host, const inferlay_abi_engine *engine, void **state) {
    backend *own = (backend *)calloc(1, sizeof *own);
    if (!own) {
        return &no_memory;
    }
    own->host = host;
    own->engine = engine;
    pthread_mutex_init(&own->lock, NULL);
    *state = own;
    return NULL;
}

/* The host calls it last of all, so that what was handed over must have come back. */
static void backend_free(void *state) {
    backend *own = (backend *)state;
    char line[96];
    snprintf(line, sizeof line, "moving_average: %llu outputs handed over, %llu returned",
             (unsigned long long)own->handed_over, (unsigned long long)own->returned);
    own->host->log(own->engine, own->handed_over == own->returned ? INFERLAY_ABI_LOG_VERBOSE : INFERLAY_ABI_LOG_ERROR,
                   text(line));
    pthread_mutex_destroy(&own->lock);
    free(own);
}

/* --- The computation --------------------------------------------------------------------------------------------- */

/* Asks whether anybody still wants a result. */
typedef struct {
    const inferlay_abi_host *host;
    const inferlay_abi_request *request;
} watch;

static int is_unwanted(watch asked) {
    return asked.host->request_cancelled(asked.request) != 0;
}

/* Each mean is summed anew: a running sum would carry its rounding errors along. 0 if it was given up. */
static int smooth(const float *x, float *y, int64_t len, int64_t window, watch asked) {
    int64_t additions = 0;
    for (int64_t i = 0; i < len; i++) {
        int64_t start = i < window ? 0 : i - window + 1;
        double sum = 0;
        for (int64_t k = start; k <= i; k++) {
            sum += (double)x[k];
        }
        y[i] = (float)(sum / (double)(i - start + 1));
        additions += i - start + 1;
        if (additions >= ADDITIONS_UNTIL_LOOK) {
            additions = 0;
            if (is_unwanted(asked)) {
                return 0;
            }
        }
    }
    return 1;
}

static int smooth_rows(const float *x, float *y, const int64_t shape[2], int64_t window, watch asked) {
    for (int64_t row = 0; row < shape[0]; row++) {
        if (!smooth(x + row * shape[1], y + row * shape[1], shape[1], window, asked)) {
            return 0;
        }
    }
    return 1;
}

/* The window that a request asks for, or else the model's. */
static const status *window_of(const model *own, const inferlay_abi_request *request, int64_t *window) {
    inferlay_abi_value value;
    if (has_failed(own->backend->host->request_parameter(request, text("window"), &value))) {
        *window = own->window;
        return NULL;
    }
    if (value.kind != INFERLAY_ABI_VALUE_INT || value.number < 1 || value.number > WINDOW_MAX) {
        return &bad_window;
    }
    *window = value.number;
    return NULL;
}

static int wants_progress(const inferlay_abi_host *host, const inferlay_abi_request *request) {
    inferlay_abi_value value;
    return !has_failed(host->request_parameter(request, text("progress"), &value)) &&
           value.kind == INFERLAY_ABI_VALUE_BOOL && value.number;
}

/* --- Answers of the model's thread ------------------------------------------------------------------------------- */

/* Memory that is handed over. */
typedef struct {
    backend *owner;
    float values[];
} block;

static block *block_new(backend *owner, uint64_t len) {
    if (len > SIZE_MAX - sizeof(block)) {
        return NULL;
    }
    block *own = (block *)malloc(sizeof *own + (size_t)len);
    if (own) {
        own->owner = owner;
        pthread_mutex_lock(&owner->lock);
        owner->handed_over++;
        pthread_mutex_unlock(&owner->lock);
    }
    return own;
}

/* Runs once for each block, on any thread, when neither a response nor the host needs it any more. */
static void block_release(void *data, inferlay_abi_ready_kind ready_kind, uint64_t ready) {
    block *own = (block *)data;
    backend *owner = own->owner;
    (void)ready_kind, (void)ready;
    free(own);
    pthread_mutex_lock(&owner->lock);
    owner->returned++;
    pthread_mutex_unlock(&owner->lock);
}

/* Sends one response: `own` as the output. It is taken, whatever happens. */
static const status *respond(const job *asked, const inferlay_abi_host *host, const inferlay_abi_tensor *x, block *own,
                             inferlay_abi_response_flags flags) {
    inferlay_abi_tensor y = INFERLAY_ABI_TENSOR_INIT;
    inferlay_abi_response *response;
    const status *failed = host->response_new(asked->responder, &response);
    if (failed) {
        block_release(own, INFERLAY_ABI_READY_NOW, 0);
        return failed;
    }
    y.dtype = INFERLAY_ABI_DTYPE_FP32;
    y.rank = 2;
    y.shape = x->shape;
    y.data = own->values;
    y.len = x->len;
    y.release = block_release;
    y.release_data = own;
    failed = host->response_output(response, 0, &y);
    if (failed) {
        host->response_free(response);
        return failed;
    }
    return host->response_send(response, flags, NULL);
}

static const status *answer_with_window(model *own, const job *asked, const inferlay_abi_tensor *x, int64_t window,
                                        inferlay_abi_response_flags flags) {
    const inferlay_abi_host *host = own->backend->host;
    watch wanted;
    wanted.host = host;
    wanted.request = asked->request;
    block *y = block_new(own->backend, x->len);
    if (!y) {
        return &no_memory;
    }
    if (!smooth_rows((const float *)x->data, y->values, x->shape, window, wanted)) {
        block_release(y, INFERLAY_ABI_READY_NOW, 0);
        return &unwanted;
    }
    return respond(asked, host, x, y, flags);
}

/*
 * The answer with windows of 1, 2, 4, ... and at last with `window`. The early ones are left out while the caller is
 * behind, and where the model is to send one response. One that nobody wants any more ends it.
 */
static const status *answer_with_progress(model *own, const job *asked, const inferlay_abi_tensor *x, int64_t window) {
    const inferlay_abi_host *host = own->backend->host;
    for (int64_t early = 1; early < window && !host->responder_cancelled(asked->responder); early *= 2) {
        if (host->responder_credit(asked->responder) == 0) {
            continue;
        }
        const status *failed = answer_with_window(own, asked, x, early, 0);
        if (failed && failed->code == INFERLAY_ABI_CODE_UNSUPPORTED) {
            /* The model is not decoupled. One response stays possible. */
            has_failed(failed);
            break;
        }
        TRY(failed);
    }
    return answer_with_window(own, asked, x, window, INFERLAY_ABI_RESPONSE_FINAL);
}

/* An input that lies in several buffers, in one. */
static const status *join(const inferlay_abi_host *host, const job *asked, uint32_t buffer_count,
                          inferlay_abi_tensor *x, void **joined) {
    char *to = (char *)malloc(x->len ? (size_t)x->len : 1);
    if (!to) {
        return &no_memory;
    }
    *joined = to;
    x->data = to;
    for (uint32_t index = 0; index < buffer_count; index++) {
        inferlay_abi_tensor part = INFERLAY_ABI_TENSOR_INIT;
        TRY(host->request_input_buffer(asked->request, 0, index, &part));
        if (part.len) {
            memcpy(to, part.data, (size_t)part.len);
        }
        to += part.len;
    }
    return NULL;
}

static const status *answer(model *own, const job *asked, void **joined) {
    const inferlay_abi_host *host = own->backend->host;
    inferlay_abi_tensor x = INFERLAY_ABI_TENSOR_INIT;
    uint32_t buffer_count;
    int64_t window;
    TRY(window_of(own, asked->request, &window));
    TRY(host->request_input(asked->request, 0, &x, &buffer_count));
    if (buffer_count != 1) {
        TRY(join(host, asked, buffer_count, &x, joined));
    }
    if (wants_progress(host, asked->request)) {
        return answer_with_progress(own, asked, &x, window);
    }
    return answer_with_window(own, asked, &x, window, INFERLAY_ABI_RESPONSE_FINAL);
}

/* Answers a job, with an error if it must be, and frees it. */
static void finish(model *own, job *asked) {
    const inferlay_abi_host *host = own->backend->host;
    void *joined = NULL;
    const status *failed = answer(own, asked, &joined);
    free(joined);
    has_failed(host->request_release(asked->request, INFERLAY_ABI_RELEASE_DONE));
    if (failed) {
        /* Refused if the failure itself was the answer: an output that the host did not take, for one. */
        has_failed(host->responder_finish(asked->responder, failed));
    }
    host->responder_free(asked->responder);
    free(asked);
}

static void model_discard(model *own) {
    pthread_cond_destroy(&own->changed);
    pthread_mutex_destroy(&own->lock);
    free(own);
}

static void *run(void *state) {
    model *own = (model *)state;
    int frees_itself;
    pthread_mutex_lock(&own->lock);
    while (own->first || !own->is_ending) {
        job *next = own->first;
        if (!next) {
            pthread_cond_wait(&own->changed, &own->lock);
            continue;
        }
        own->first = next->next;
        if (!own->first) {
            own->end = &own->first;
        }
        pthread_mutex_unlock(&own->lock);
        finish(own, next);
        pthread_mutex_lock(&own->lock);
    }
    frees_itself = own->frees_itself;
    pthread_mutex_unlock(&own->lock);
    if (frees_itself) {
        pthread_detach(pthread_self());
        model_discard(own);
    }
    return NULL;
}

/* --- Batches ----------------------------------------------------------------------------------------------------- */

/* Takes one request out of the batch, for the model's thread. */
static const status *take(model *own, const inferlay_abi_batch *batch, uint32_t index) {
    const inferlay_abi_host *host = own->backend->host;
    job *taken = (job *)calloc(1, sizeof *taken);
    const status *failed = taken ? host->batch_take(batch, index, &taken->request) : &no_memory;
    if (failed) {
        free(taken);
        return failed;
    }
    failed = host->responder_new(taken->request, &taken->responder);
    if (failed) {
        /* Without a responder the release answers, with an error. */
        has_failed(host->request_release(taken->request, INFERLAY_ABI_RELEASE_DONE));
        free(taken);
        return failed;
    }
    pthread_mutex_lock(&own->lock);
    *own->end = taken;
    own->end = &taken->next;
    pthread_cond_signal(&own->changed);
    pthread_mutex_unlock(&own->lock);
    return NULL;
}

static int is_for_later(const model *own, const inferlay_abi_request *request) {
    return own->answers_later || wants_progress(own->backend->host, request);
}

/* Answers what was not taken with its rows of the batch. */
static const status *answer_at_once(const model *own, const inferlay_abi_request *const *requests, uint32_t count,
                                    const inferlay_abi_batch *batch) {
    const inferlay_abi_host *host = own->backend->host;
    inferlay_abi_tensor x = INFERLAY_ABI_TENSOR_INIT;
    inferlay_abi_tensor y = INFERLAY_ABI_TENSOR_INIT;
    TRY(host->batch_input(batch, 0, NULL, &x));
    TRY(host->batch_output_buffer(batch, 0, x.shape, x.rank, NULL, &y));
    const float *from = (const float *)x.data;
    float *to = (float *)y.data;
    for (uint32_t index = 0; index < count; index++) {
        int64_t shape[2];
        int64_t window;
        watch wanted;
        shape[0] = (int64_t)host->request_rows(requests[index]);
        shape[1] = x.shape[1];
        wanted.host = host;
        wanted.request = requests[index];
        if (!is_for_later(own, requests[index])) {
            const status *failed = window_of(own, requests[index], &window);
            if (!failed && !smooth_rows(from, to, shape, window, wanted)) {
                failed = &unwanted;
            }
            if (failed) {
                /* Its neighbours in the batch are served all the same. */
                TRY(host->batch_fail(batch, index, failed));
            }
        }
        from += shape[0] * shape[1];
        to += shape[0] * shape[1];
    }
    return NULL;
}

static const status *execute(void *instance, const inferlay_abi_request *const *requests, uint32_t count,
                             const inferlay_abi_batch *batch) {
    model *own = (model *)instance;
    uint32_t taken = 0;
    for (uint32_t index = 0; index < count; index++) {
        if (is_for_later(own, requests[index])) {
            TRY(take(own, batch, index));
            taken++;
        }
    }
    return taken < count ? answer_at_once(own, requests, count, batch) : NULL;
}

/* --- The model --------------------------------------------------------------------------------------------------- */

static const int64_t dims[2] = {-1, -1};
static const inferlay_abi_tensor_spec signal_spec = {
    sizeof(inferlay_abi_tensor_spec), INFERLAY_ABI_DTYPE_FP32, INFERLAY_ABI_TEXT("signal"), dims, 2, 0};
static const inferlay_abi_tensor_spec average_spec = {
    sizeof(inferlay_abi_tensor_spec), INFERLAY_ABI_DTYPE_FP32, INFERLAY_ABI_TEXT("average"), dims, 2, 0};
static const inferlay_abi_tensor_spec *const inputs[] = {&signal_spec};
static const inferlay_abi_tensor_spec *const outputs[] = {&average_spec};
static const inferlay_abi_signature signature = {sizeof(inferlay_abi_signature), 1, 1, 1, inputs, outputs};

static const inferlay_abi_signature *model_signature(void *state) {
    (void)state;
    return &signature;
}

/* Reads the parameters of the config: `window`, and `answers` (at_once or later). */
static const status *read_parameters(const inferlay_abi_host *host, const inferlay_abi_source *source, model *own) {
    inferlay_abi_text value;
    own->window = 3;
    if (!has_failed(host->source_parameter(source, text("window"), &value))) {
        own->window = 0;
        for (size_t i = 0; i < value.len; i++) {
            if (value.data[i] < '0' || value.data[i] > '9' || own->window > WINDOW_MAX) {
                return &bad_window;
            }
            own->window = own->window * 10 + (value.data[i] - '0');
        }
        if (own->window < 1 || own->window > WINDOW_MAX) {
            return &bad_window;
        }
    }
    if (has_failed(host->source_parameter(source, text("answers"), &value)) || is_text(value, "at_once")) {
        return NULL;
    }
    if (!is_text(value, "later")) {
        char message[128];
        snprintf(message, sizeof message, "parameter 'answers': found '%.*s', expected at_once or later",
                 (int)(value.len < 40 ? value.len : 40), value.data);
        return host->status_new(INFERLAY_ABI_CODE_INVALID_ARG, text(message));
    }
    own->answers_later = 1;
    return NULL;
}

static const status *model_new(void *state, const inferlay_abi_host *host, const inferlay_abi_engine *engine,
                               const inferlay_abi_source *source, void **made) {
    (void)engine;
    model *own = (model *)calloc(1, sizeof *own);
    if (!own) {
        return &no_memory;
    }
    own->backend = (backend *)state;
    own->end = &own->first;
    pthread_mutex_init(&own->lock, NULL);
    pthread_cond_init(&own->changed, NULL);
    const status *failed = read_parameters(host, source, own);
    if (!failed && pthread_create(&own->thread, NULL, run, own) != 0) {
        failed = &no_thread;
    }
    if (failed) {
        model_discard(own);
        return failed;
    }
    *made = own;
    return NULL;
}

/*
 * Its thread answers what it still has, which is soon done: what nobody wants any more it gives up. When a stop has not
 * waited for that, it may be this very thread that lets the last request go, and so comes here from inside the host.
 */
static void model_free(void *state) {
    model *own = (model *)state;
    int is_own_thread = pthread_equal(pthread_self(), own->thread);
    pthread_mutex_lock(&own->lock);
    own->is_ending = 1;
    own->frees_itself = is_own_thread;
    pthread_cond_signal(&own->changed);
    pthread_mutex_unlock(&own->lock);
    if (!is_own_thread) {
        pthread_join(own->thread, NULL);
        model_discard(own);
    }
}

/* An instance needs nothing of its own: it is its model. */
static const status *instance_new(void *state, const inferlay_abi_instance *host_instance,
                                  const inferlay_abi_instance_spec *spec, void **instance) {
    (void)host_instance, (void)spec;
    *instance = state;
    return NULL;
}

static uint32_t batches_in_flight_max(void *instance) {
    return ((const model *)instance)->answers_later ? BATCHES_IN_FLIGHT_MAX : 1;
}

/* --- The door ---------------------------------------------------------------------------------------------------- */

static const inferlay_abi_backend table = {
    .struct_size = sizeof(inferlay_abi_backend),
    .abi_major = INFERLAY_ABI_MAJOR,
    .abi_minor = INFERLAY_ABI_MINOR,
    .attributes = INFERLAY_ABI_ATTRIBUTE_CALLER_OK | INFERLAY_ABI_ATTRIBUTE_PARALLEL_LOAD,
    .name = "moving_average",
    .version = "1.0",
    .backend_new = backend_new,
    .backend_free = backend_free,
    .model_new = model_new,
    .model_free = model_free,
    .model_signature = model_signature,
    .instance_new = instance_new,
    .batches_in_flight_max = batches_in_flight_max,
    .execute = execute,
};

INFERLAY_ABI_EXPORT const inferlay_abi_backend *inferlay_backend_moving_average(const inferlay_abi_host *host);

const inferlay_abi_backend *inferlay_backend_moving_average(const inferlay_abi_host *host) {
    /* A host of another major refuses this table by its number. Everything used here is there since 1.0. */
    (void)host;
    return &table;
}
