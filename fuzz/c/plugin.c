/*
 * A backend that does at each turn what the next bytes of a script say: right things and wrong ones. Only its pointers are
 * always good, and what it says of their lengths is never too much, as an engine cannot check that. When the script is at
 * its end, every choice is the first, which is the right one.
 *
 * It counts what it hands over and what comes back: `fuzzed_end` says what is left, which should be nothing.
 */
#include "inferlay_backend.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

typedef inferlay_abi_status status;

#define EXPORT __attribute__((visibility("default")))
EXPORT void fuzzed_begin(const uint8_t *bytes, size_t len);
EXPORT int64_t fuzzed_end(void);
INFERLAY_ABI_EXPORT const inferlay_abi_backend *inferlay_backend_fuzzed(const inferlay_abi_host *host);

/* --- The script, and what is out ----------------------------------------------------------------------------------- */

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint8_t *script;
static size_t script_len;
static size_t script_at;
static int64_t out;
static const inferlay_abi_host *host;

static void begin(const uint8_t *bytes, size_t len) {
    pthread_mutex_lock(&lock);
    free(script);
    script = (uint8_t *)malloc(len + 1);
    script_len = script ? len : 0;
    script_at = 0;
    out = 0;
    if (script && len) {
        memcpy(script, bytes, len);
    }
    pthread_mutex_unlock(&lock);
}

void fuzzed_begin(const uint8_t *bytes, size_t len) {
    begin(bytes, len);
}

int64_t fuzzed_end(void) {
    int64_t left = out;
    begin(NULL, 0);
    return left;
}

static void count(int64_t more) {
    pthread_mutex_lock(&lock);
    out += more;
    pthread_mutex_unlock(&lock);
}

static uint8_t byte(void) {
    pthread_mutex_lock(&lock);
    uint8_t next = script_at < script_len ? script[script_at++] : 0;
    pthread_mutex_unlock(&lock);
    return next;
}

/* A number below `end`. */
static uint32_t choose(uint32_t end) {
    return byte() % end;
}

/* Whether something happens that does so now and then. */
static int seldom(void) {
    return byte() > 224;
}

static uint32_t word(void) {
    uint32_t high = byte();
    return high << 24 | (uint32_t)byte() << 8 | byte();
}

/* A number as dims, lengths and indices have them, or one that none has. Nothing between: memory that a plugin asks for,
 * it gets, also too much of it. */
static int64_t number(void) {
    static const int64_t odd[] = {-1, -2, INT64_MIN, INT64_MAX, INT64_MAX / 2, INT64_MAX / 8, 1 << 10};
    uint32_t at = byte();
    return at < 240 ? at % 8 : odd[at % 7];
}

/* --- What is handed over ------------------------------------------------------------------------------------------- */

typedef struct {
    status said;
    char message[24];
} heap_status;

static void heap_status_free(const status *said) {
    count(-1);
    free((void *)(uintptr_t)said);
}

/* Success for the most part, or a status of some kind. */
static const status *outcome(void) {
    static const status constant = INFERLAY_ABI_STATUS(INFERLAY_ABI_CODE_UNAVAILABLE, "constant");
    if (!seldom()) {
        return NULL;
    }
    uint32_t way = choose(3);
    if (way == 0) {
        return &constant;
    }
    if (way == 1 && host) {
        inferlay_abi_text message = {"of the host \xff", 13};
        return host->status_new(word(), message);
    }
    heap_status *own = (heap_status *)calloc(1, sizeof *own);
    memcpy(own->message, "on the heap", 12);
    own->said.struct_size = seldom() ? choose(sizeof own->said) : (uint32_t)sizeof own->said;
    own->said.code = word();
    own->said.message.data = seldom() ? NULL : own->message;
    own->said.message.len = choose(sizeof own->message);
    own->said.free = heap_status_free;
    if (own->said.struct_size < offsetof(status, free) + sizeof own->said.free) {
        /* Too short to say how it is freed: a constant. */
        free(own);
        return &constant;
    }
    count(1);
    return &own->said;
}

static void let_go(const status *said) {
    if (said && said->free) {
        said->free(said);
    }
}

#define BLOCK_LEN 256
#define DIMS 8

/* A shape of which one dim is odd at most. */
static void odd_shape(int64_t shape[DIMS]) {
    uint32_t odd = choose(DIMS);
    for (uint32_t i = 0; i < DIMS; i++) {
        shape[i] = i == odd ? number() : choose(3);
    }
}

/* Memory that is handed over, with room for whatever its descriptor points to. */
typedef struct {
    uint64_t data[BLOCK_LEN / 8];
    uint64_t offsets[BLOCK_LEN / 8];
    int64_t shape[DIMS];
    int64_t strides[DIMS];
} block;

static void block_release(void *data, inferlay_abi_ready_kind ready_kind, uint64_t ready) {
    (void)ready_kind, (void)ready;
    count(-1);
    free(data);
}

/* A descriptor of memory, about as it should be: `rows` of what the specs say, or not. */
static inferlay_abi_tensor tensor(uint32_t dtype, uint64_t rows, block **made) {
    block *own = (block *)calloc(1, sizeof *own);
    inferlay_abi_tensor said = INFERLAY_ABI_TENSOR_INIT;
    said.dtype = seldom() ? choose(20) : dtype;
    said.rank = seldom() ? choose(DIMS) : 2;
    own->shape[0] = seldom() ? number() : (int64_t)rows;
    own->shape[1] = seldom() ? number() : 2;
    for (uint32_t i = 2; i < DIMS; i++) {
        own->shape[i] = number();
    }
    said.shape = own->shape;
    said.data = own->data;
    uint64_t size = said.dtype == INFERLAY_ABI_DTYPE_INT64 ? 8 : said.dtype == INFERLAY_ABI_DTYPE_BYTES ? 1 : 4;
    uint64_t elements = (uint64_t)own->shape[0] * (uint64_t)own->shape[1];
    said.len = seldom() ? choose(BLOCK_LEN) : elements * size;
    if (said.len > BLOCK_LEN) {
        said.len = BLOCK_LEN;
    }
    for (uint64_t i = 0; i < BLOCK_LEN / 8; i++) {
        own->offsets[i] = seldom() ? (uint64_t)number() : i;
    }
    /* A tensor has one offset more than elements: those that a reader may look at must be there. */
    if (said.dtype == INFERLAY_ABI_DTYPE_BYTES) {
        uint64_t all = 1;
        for (uint32_t i = 0; i < said.rank; i++) {
            int64_t dim = own->shape[i];
            own->shape[i] = dim < 0 || dim > 4 || all > 4 ? 1 : dim;
            all *= (uint64_t)own->shape[i];
        }
        said.offsets = seldom() ? NULL : own->offsets;
    }
    if (seldom()) {
        for (uint32_t i = 0; i < DIMS; i++) {
            own->strides[i] = number();
        }
        said.strides = own->strides;
    }
    if (seldom()) {
        said.placement.memory = choose(8);
        said.placement.device = choose(3);
        said.placement.index = word();
    }
    said.ready_kind = seldom() ? choose(4) : 0;
    said.ready = said.ready_kind ? word() : 0;
    said.struct_size = seldom() ? choose(sizeof said) : (uint32_t)sizeof said;
    int is_released = !seldom();
    /* One that does not reach as far as its `release` has none. */
    if (is_released && said.struct_size == sizeof said) {
        said.release = block_release;
        said.release_data = own;
        count(1);
        *made = NULL;
    } else {
        *made = own;
    }
    return said;
}

/* --- Batches and requests ------------------------------------------------------------------------------------------ */

typedef struct {
    uint32_t dtype;
} model;

/* Asks everything of a request, with indices that are right and wrong. */
static void question(const inferlay_abi_request *request) {
    inferlay_abi_tensor seen = INFERLAY_ABI_TENSOR_INIT;
    inferlay_abi_value value;
    inferlay_abi_text name = {"way", 3};
    inferlay_abi_trace trace = {.struct_size = sizeof trace};
    uint32_t index = 0;
    uint64_t id;
    (void)host->request_id(request);
    (void)host->request_rows(request);
    (void)host->request_priority(request);
    (void)host->request_flags(request);
    (void)host->request_deadline_ns(request);
    (void)host->request_cancelled(request);
    host->request_correlation_id(request, &id, &name);
    let_go(host->request_trace(request, &trace));
    let_go(host->request_parameter_at(request, (uint32_t)number(), &name, &value));
    let_go(host->request_parameter(request, name, &value));
    let_go(host->request_input_index(request, name, &index));
    seen.struct_size = seldom() ? choose(sizeof seen) : (uint32_t)sizeof seen;
    const status *failed = host->request_input(request, (uint32_t)number(), &seen, seldom() ? NULL : &index);
    if (!failed && seen.len) {
        /* What the host lends must be there. */
        volatile uint8_t last = ((const uint8_t *)seen.data)[seen.len - 1];
        (void)last;
    }
    let_go(failed);
    let_go(host->request_input_buffer(request, (uint32_t)number(), (uint32_t)number(), &seen));
    let_go(host->request_output_index(request, name, &index));
    (void)host->request_output_wanted(request, (uint32_t)number());
    (void)host->request_output_placement(request, (uint32_t)number());
    let_go(host->request_sequence_slot(request, &index));
}

/* Gives an output: in memory of the host, or in memory that is handed over or copied. */
static void respond(const model *own, inferlay_abi_responder *responder, uint64_t rows) {
    inferlay_abi_response *response;
    const status *failed = host->response_new(responder, &response);
    if (failed) {
        let_go(failed);
        return;
    }
    for (uint32_t puts = choose(3) == 2 ? 2 : 1; puts > 0; puts--) {
        uint32_t index = seldom() ? (uint32_t)number() : 0;
        if (choose(2)) {
            int64_t shape[DIMS];
            odd_shape(shape);
            inferlay_abi_tensor to = INFERLAY_ABI_TENSOR_INIT;
            failed = host->response_output_buffer(response, index, shape, choose(DIMS), NULL, &to);
            if (!failed && to.len) {
                memset(to.data, 3, to.len);
            }
            let_go(failed);
        } else {
            block *left;
            inferlay_abi_tensor given = tensor(own->dtype, rows, &left);
            let_go(host->response_output(response, index, &given));
            free(left);
        }
    }
    if (seldom()) {
        host->response_free(response);
    } else {
        let_go(host->response_send(response, seldom() ? choose(4) : INFERLAY_ABI_RESPONSE_FINAL, outcome()));
    }
}

/* Takes a request and answers it in some way, or lets it go without. */
static void take(const model *own, const inferlay_abi_batch *batch, uint32_t index) {
    inferlay_abi_request *request;
    inferlay_abi_responder *responders[2] = {NULL, NULL};
    const status *failed = host->batch_take(batch, index, &request);
    if (failed) {
        let_go(failed);
        return;
    }
    uint64_t rows = host->request_rows(request);
    for (uint32_t i = 0; i < 1 + choose(2); i++) {
        let_go(host->responder_new(request, &responders[i]));
    }
    question(request);
    int is_early = (int)choose(2);
    if (is_early) {
        let_go(host->request_release(request, seldom() ? choose(3) : INFERLAY_ABI_RELEASE_DONE));
    }
    for (uint32_t i = 0; i < 2; i++) {
        if (responders[i]) {
            (void)host->responder_cancelled(responders[i]);
            (void)host->responder_credit(responders[i]);
            for (uint32_t times = 1 + choose(2); times > 0; times--) {
                if (seldom()) {
                    let_go(host->responder_finish(responders[i], outcome()));
                } else if (!seldom()) {
                    respond(own, responders[i], rows);
                }
            }
            host->responder_free(responders[i]);
        }
    }
    if (!is_early) {
        let_go(host->request_release(request, INFERLAY_ABI_RELEASE_DONE));
    }
}

/* Puts an output of the whole batch. */
static void put(const model *own, const inferlay_abi_batch *batch) {
    inferlay_abi_tensor seen = INFERLAY_ABI_TENSOR_INIT;
    inferlay_abi_placement wanted = {seldom() ? choose(7) : 0, choose(3), 0, 0};
    uint32_t index = seldom() ? (uint32_t)number() : 0;
    const status *failed = host->batch_input(batch, index, seldom() ? &wanted : NULL, &seen);
    if (!failed && seen.len) {
        volatile uint8_t last = ((const uint8_t *)seen.data)[seen.len - 1];
        (void)last;
    }
    let_go(failed);
    (void)host->batch_output_wanted(batch, (uint32_t)number());
    if (choose(2)) {
        block *left;
        inferlay_abi_tensor given = tensor(own->dtype, host->batch_rows(batch), &left);
        let_go(host->batch_output(batch, index, &given));
        free(left);
        return;
    }
    int64_t shape[DIMS] = {(int64_t)host->batch_rows(batch), 2};
    uint32_t rank = 2;
    if (seldom()) {
        rank = choose(DIMS);
        odd_shape(shape);
    }
    inferlay_abi_tensor to = INFERLAY_ABI_TENSOR_INIT;
    to.struct_size = seldom() ? choose(sizeof to) : (uint32_t)sizeof to;
    int is_whole = to.struct_size == sizeof to;
    failed = host->batch_output_buffer(batch, index, shape, rank, NULL, &to);
    if (!failed && is_whole && to.len) {
        memset(to.data, 3, to.len);
    }
    let_go(failed);
}

static const status *execute(void *instance, const inferlay_abi_request *const *requests, uint32_t len,
                             const inferlay_abi_batch *batch) {
    const model *own = (const model *)instance;
    inferlay_abi_timing timing = {sizeof timing, 0, word(), word(), word(), word()};
    for (uint32_t turns = 1 + choose(4); turns > 0; turns--) {
        uint32_t index = seldom() ? word() : choose(len);
        switch (choose(6)) {
        case 0: put(own, batch); break;
        case 1: take(own, batch, index); break;
        case 2: let_go(host->batch_fail(batch, index, outcome())); break;
        case 3: question(requests[index % len]); break;
        case 4: let_go(host->batch_timing(batch, &timing)); break;
        default: (void)host->batch_stream(batch);
        }
    }
    return outcome();
}

/* --- The model ----------------------------------------------------------------------------------------------------- */

static const status *backend_new(const inferlay_abi_host *given, const inferlay_abi_engine *engine, void **state) {
    host = given;
    const status *failed = outcome();
    if (failed) {
        return failed;
    }
    (void)host->threads_max(engine);
    *state = seldom() ? NULL : malloc(1);
    count(*state ? 1 : 0);
    return NULL;
}

static void backend_free(void *state) {
    count(state ? -1 : 0);
    free(state);
}

static void explore(const inferlay_abi_source *source) {
    inferlay_abi_text name = {NULL, 0};
    inferlay_abi_text value = {NULL, 0};
    const void *data;
    uint64_t len;
    (void)host->source_name(source);
    (void)host->source_version(source);
    (void)host->source_config(source);
    (void)host->source_signature(source);
    (void)host->source_file(source);
    let_go(host->source_batch_size_max(source, &len));
    let_go(host->source_parameter_at(source, (uint32_t)number(), &name, &value));
    let_go(host->source_file_name(source, (uint32_t)number(), &name));
    let_go(host->source_file_read(source, name, &data, &len));
    let_go(host->source_file_path(source, name, &value));
    inferlay_abi_text outside = {"../\xff", 4};
    let_go(host->source_file_read(source, outside, &data, &len));
}

static const status *model_new(void *state, const inferlay_abi_host *given, const inferlay_abi_engine *engine,
                               const inferlay_abi_source *source, void **made) {
    (void)state, (void)engine;
    host = given;
    explore(source);
    const status *failed = outcome();
    if (failed) {
        return failed;
    }
    static const uint32_t types[] = {INFERLAY_ABI_DTYPE_FP32, INFERLAY_ABI_DTYPE_INT64, INFERLAY_ABI_DTYPE_BYTES};
    model *own = (model *)calloc(1, sizeof *own);
    own->dtype = types[choose(3)];
    *made = own;
    count(1);
    return NULL;
}

static void model_free(void *state) {
    count(-1);
    free(state);
}

/* A signature in static memory: one server with one model uses it at a time. */
static const inferlay_abi_signature *model_signature(void *state) {
    static const char *const names[] = {"x", "y", "", "x", "\xff\xfe", "a very long name of an input or output"};
    static int64_t dims[4][DIMS];
    static inferlay_abi_tensor_spec specs[4];
    static const inferlay_abi_tensor_spec *places[4];
    static inferlay_abi_signature signature;
    if (choose(3) == 0) {
        return NULL;
    }
    for (uint32_t i = 0; i < 4; i++) {
        const char *name = names[seldom() ? choose(6) : i / 2];
        for (uint32_t k = 0; k < DIMS; k++) {
            dims[i][k] = seldom() ? number() : k == 0 ? -1 : 2;
        }
        specs[i].struct_size = seldom() ? choose(sizeof specs[i]) : (uint32_t)sizeof specs[i];
        specs[i].dtype = seldom() ? choose(20) : ((const model *)state)->dtype;
        specs[i].name.data = seldom() ? NULL : name;
        specs[i].name.len = strlen(name);
        specs[i].dims = seldom() ? NULL : dims[i];
        specs[i].rank = seldom() ? choose(DIMS) : seldom() ? INFERLAY_ABI_RANK_UNKNOWN : 2;
        specs[i].optional = seldom();
        places[i] = seldom() ? NULL : &specs[i];
    }
    signature.struct_size = seldom() ? choose(sizeof signature) : (uint32_t)sizeof signature;
    signature.batches = !seldom();
    signature.input_count = seldom() ? choose(3) : 1;
    signature.output_count = seldom() ? choose(3) : 1;
    signature.inputs = seldom() ? NULL : places;
    signature.outputs = seldom() ? NULL : places + 2;
    return &signature;
}

static inferlay_abi_text model_config(void *state) {
    static const char *const texts[] = {
        "", "{", "null", "{\"max_batch_size\": 2}", "{\"input\": [{\"name\": \"x\", \"data_type\": \"TYPE_FP32\", \"dims\": [2]}]}",
        "{\"input\": {\"name\": \"x\", \"data_type\": \"FP32\", \"dims\": [2]}, \"output\": {\"name\": \"y\", \"data_type\": \"FP32\", \"dims\": 2}}",
        "\xff"};
    (void)state;
    const char *text = texts[choose(7)];
    inferlay_abi_text said = {seldom() ? NULL : text, strlen(text)};
    return said;
}

static void model_memory_use(void *state, inferlay_abi_memory_fn report, void *report_data) {
    inferlay_abi_placement where = {choose(8), choose(4), word(), 0};
    (void)state;
    report(report_data, &where, (uint64_t)number());
}

static void model_trim(void *state) {
    (void)state;
}

static const status *instance_new(void *state, const inferlay_abi_instance *host_instance,
                                  const inferlay_abi_instance_spec *spec, void **instance) {
    (void)spec;
    let_go(host->instance_ready(host_instance));
    const status *failed = outcome();
    if (!failed) {
        *instance = state;
        count(1);
    }
    return failed;
}

static void instance_free(void *instance) {
    (void)instance;
    count(-1);
}

static uint32_t batches_in_flight_max(void *instance) {
    (void)instance;
    return seldom() ? word() : choose(4);
}

/* --- The table ----------------------------------------------------------------------------------------------------- */

/* Room behind the table, for one that says that it is longer. */
static union {
    inferlay_abi_backend table;
    uint8_t bytes[2 * sizeof(inferlay_abi_backend)];
} door;

#define MAYBE(function) (seldom() ? NULL : (function))

const inferlay_abi_backend *inferlay_backend_fuzzed(const inferlay_abi_host *given) {
    static const char *const names[] = {"fuzzed", "another", "", "\xff"};
    static const char *const file_names[] = {"model.fuzzed", ".fuzzed", "", "\xff", NULL};
    /* A `model_new` that leaves an instance without a model would be a wild pointer of the plugin's own. */
    int has_instances = !seldom();
    inferlay_abi_backend *own = &door.table;
    host = given;
    memset(&door, seldom() ? 0xff : 0, sizeof door);
    memset(own, 0, sizeof *own);
    own->struct_size = seldom() ? choose(2) ? choose(sizeof *own) : (uint32_t)sizeof door : (uint32_t)sizeof *own;
    own->abi_major = seldom() ? word() : INFERLAY_ABI_MAJOR;
    own->abi_minor = seldom() ? word() : INFERLAY_ABI_MINOR;
    own->attributes = seldom() ? word() : INFERLAY_ABI_ATTRIBUTE_CALLER_OK;
    own->name = seldom() ? NULL : names[seldom() ? choose(4) : 0];
    own->version = seldom() ? NULL : names[seldom() ? choose(4) : 0];
    own->file_names = seldom() ? NULL : file_names + (seldom() ? choose(5) : 4);
    own->input_memory = seldom() ? word() : 0;
    own->backend_new = MAYBE(backend_new);
    own->backend_free = own->backend_new ? backend_free : NULL;
    own->model_new = MAYBE(model_new);
    own->model_free = model_free;
    own->model_signature = MAYBE(model_signature);
    own->model_config = MAYBE(model_config);
    own->model_memory_use = MAYBE(model_memory_use);
    own->model_trim = MAYBE(model_trim);
    own->instance_new = has_instances ? instance_new : NULL;
    own->instance_free = has_instances ? instance_free : NULL;
    own->batches_in_flight_max = MAYBE(batches_in_flight_max);
    own->execute = has_instances ? MAYBE(execute) : NULL;
    return seldom() ? NULL : own;
}
