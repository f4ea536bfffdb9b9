/*
 * Calls of the C API in any order, with arguments right and wrong, as the bytes say. `fuzz_door` returns the line of the
 * first promise that was broken, or 0.
 *
 * What is checked: a failed call leaves its output alone and a status behind; every accepted request is answered finally
 * and released, once each, before the server is freed, or as events of its queue; memory that a request took is freed once.
 */
#include "inferlay.h"

#include <stdlib.h>
#include <string.h>

int fuzz_door(const uint8_t *data, size_t len);

#define REQUESTS 4
#define RESPONSES 4
#define CALLS_MAX 200

#define BROKEN_IF(condition)                     \
    do {                                         \
        if ((condition) && !door->broken_line) { \
            door->broken_line = __LINE__;        \
        }                                        \
    } while (0)

typedef struct {
    inferlay_request *request;
    /* Not to be changed by us while it is in flight. */
    float input[16];
    float output[16];
} seat;

typedef struct {
    const uint8_t *data;
    size_t len;
    int broken_line;
    inferlay_server *server;
    inferlay_queue *queue;
    seat seats[REQUESTS];
    inferlay_response *responses[RESPONSES];
    inferlay_tensor *tensor;
    /* Counted by callbacks too, which run on other threads. */
    int64_t sent;
    int64_t finals;
    int64_t releases;
    int64_t queued;
    int64_t events;
    int64_t taken;
    int64_t freed;
    int gone;
} fuzzed;

static uint8_t byte(fuzzed *door) {
    if (!door->len) {
        return 0;
    }
    door->len--;
    return *door->data++;
}

static uint32_t choose(fuzzed *door, uint32_t end) {
    return byte(door) % end;
}

static int seldom(fuzzed *door) {
    return byte(door) > 224;
}

static int64_t number(fuzzed *door) {
    static const int64_t odd[] = {-1, INT64_MIN, INT64_MAX, INT64_MAX / 2, UINT32_MAX, 1 << 20, 4096};
    uint32_t at = byte(door);
    return at < 240 ? at % 8 : odd[at % 7];
}

/* Whether a call succeeded. A failure has a code and a message, and is freed. */
static int is_ok(fuzzed *door, inferlay_status *status) {
    if (!status) {
        return 1;
    }
    BROKEN_IF(inferlay_status_code(status) > INFERLAY_CODE_PANIC);
    BROKEN_IF(!inferlay_status_message(status));
    /* What panicked was contained, but must not have panicked. */
    BROKEN_IF(inferlay_status_code(status) == INFERLAY_CODE_PANIC);
    BROKEN_IF(inferlay_status_code(status) == INFERLAY_CODE_INTERNAL);
    inferlay_status_free(status);
    return 0;
}

static void text_call(fuzzed *door, inferlay_status *status, char **text) {
    if (is_ok(door, status)) {
        BROKEN_IF(!*text);
        inferlay_text_free(*text);
    } else {
        BROKEN_IF(*text);
    }
    *text = NULL;
}

static inferlay_status *execute(void *user_data, inferlay_batch *batch) {
    inferlay_view x = {.struct_size = sizeof x};
    void *data;
    size_t byte_size;
    inferlay_status *failed = inferlay_batch_input(batch, "x", &x);
    (void)user_data;
    if (failed) {
        return failed;
    }
    if (x.byte_size && ((const float *)x.data)[0] == 7) {
        return inferlay_status_new(INFERLAY_CODE_UNAVAILABLE, "seven");
    }
    failed = inferlay_batch_output(batch, "y", x.shape, x.rank, &data, &byte_size);
    if (!failed) {
        memcpy(data, x.data, byte_size);
    }
    return failed;
}

static void gone(void *user_data) {
    __atomic_add_fetch(&((fuzzed *)user_data)->gone, 1, __ATOMIC_SEQ_CST);
}

static void on_response(void *user_data, inferlay_response *response, inferlay_response_flags flags,
                        inferlay_status *status) {
    fuzzed *door = (fuzzed *)user_data;
    __atomic_add_fetch(&door->finals, flags & INFERLAY_RESPONSE_FINAL ? 1 : 0, __ATOMIC_SEQ_CST);
    inferlay_response_free(response);
    inferlay_status_free(status);
}

static void on_release(void *user_data, inferlay_request *request) {
    (void)request;
    __atomic_add_fetch(&((fuzzed *)user_data)->releases, 1, __ATOMIC_SEQ_CST);
}

static void free_taken(void *user_data, void *data) {
    __atomic_add_fetch(&((fuzzed *)user_data)->freed, 1, __ATOMIC_SEQ_CST);
    free(data);
}

/* --- The calls ----------------------------------------------------------------------------------------------------- */

static const char *name(fuzzed *door) {
    static const char *const names[] = {"x", "y", "m", "n", "", "\xff\xfe", "a name that is nobody's", "rows"};
    return seldom(door) ? NULL : names[seldom(door) ? choose(door, 8) : 0];
}

static const char *model(fuzzed *door) {
    static const char *const names[] = {"m", "n", "", "nobody"};
    return seldom(door) ? NULL : names[seldom(door) ? choose(door, 4) : 0];
}

static void register_model(fuzzed *door) {
    static const char *const configs[] = {
        "{name: m, max_batch_size: 4, dynamic_batching: {}, input: {name: x, data_type: FP32, dims: 2},"
        " output: {name: y, data_type: FP32, dims: 2}}",
        "{name: n, input: {name: x, data_type: FP32, dims: [-1]}, output: {name: y, data_type: FP32, dims: [-1]}}",
        "{name: m", "", "{name: o, max_batch_size: -1}", "[]"};
    inferlay_model_table table = {sizeof table, execute, gone};
    table.struct_size = seldom(door) ? choose(door, sizeof table) : sizeof table;
    const char *config = seldom(door) ? configs[choose(door, 6)] : configs[choose(door, 2)];
    is_ok(door, inferlay_server_register_model(door->server, config, seldom(door) ? NULL : &table, door));
}

static void set_input(fuzzed *door, seat *own) {
    int64_t shape[3] = {1, 2, 1};
    inferlay_view view = {.struct_size = sizeof view, .datatype = INFERLAY_TYPE_FP32};
    for (int i = 0; i < 3; i++) {
        shape[i] = seldom(door) ? number(door) : shape[i];
    }
    view.struct_size = seldom(door) ? choose(door, sizeof view) : sizeof view;
    view.datatype = seldom(door) ? choose(door, 20) : INFERLAY_TYPE_FP32;
    view.memory_kind = seldom(door) ? choose(door, 6) : INFERLAY_MEMORY_HOST;
    view.ready = seldom(door) ? choose(door, 4) : INFERLAY_READY_NOW;
    view.rank = seldom(door) ? choose(door, 4) : 2;
    view.shape = seldom(door) ? NULL : shape;
    view.data = seldom(door) ? NULL : own->input;
    view.byte_size = seldom(door) ? choose(door, sizeof own->input) : 2 * sizeof(float);
    uint32_t way = choose(door, 4);
    if (way == 0) {
        is_ok(door, inferlay_request_copy_input(own->request, name(door), &view));
    } else if (way == 1) {
        float *mine = (float *)calloc(1, sizeof own->input);
        view.data = mine;
        if (is_ok(door, inferlay_request_take_input(own->request, name(door), &view, free_taken, door))) {
            door->taken++;
        } else {
            free(mine);
        }
    } else {
        is_ok(door, inferlay_request_set_input(own->request, name(door), &view));
    }
}

static void change(fuzzed *door, seat *own) {
    inferlay_memory memory = {.struct_size = sizeof memory};
    inferlay_request *request = seldom(door) ? NULL : own->request;
    memory.kind = seldom(door) ? choose(door, 6) : INFERLAY_MEMORY_HOST;
    const inferlay_memory *where = seldom(door) ? &memory : NULL;
    switch (choose(door, 16)) {
    case 0: is_ok(door, inferlay_request_append_input(request, name(door), own->input, choose(door, 16), where)); break;
    case 1: is_ok(door, inferlay_request_remove_input(request, name(door))); break;
    case 2: is_ok(door, inferlay_request_add_output(request, seldom(door) ? name(door) : "y", where)); break;
    case 3:
        is_ok(door, inferlay_request_set_output(request, seldom(door) ? name(door) : "y", own->output,
                                                choose(door, sizeof own->output), where));
        break;
    case 4: is_ok(door, inferlay_request_clear_outputs(request)); break;
    case 5: is_ok(door, inferlay_request_reset(request)); break;
    case 6: is_ok(door, inferlay_request_rearm(request)); break;
    case 7: is_ok(door, inferlay_request_set_id(request, name(door))); break;
    case 8: is_ok(door, inferlay_request_set_deadline(request, (uint64_t)number(door))); break;
    case 9: is_ok(door, inferlay_request_set_timeout(request, (uint64_t)number(door))); break;
    case 10: is_ok(door, inferlay_request_set_priority(request, (uint32_t)number(door))); break;
    case 11: is_ok(door, inferlay_request_set_sequence(request, (uint64_t)number(door), choose(door, 5))); break;
    case 12: is_ok(door, inferlay_request_set_sequence_text(request, name(door), choose(door, 5))); break;
    case 13: is_ok(door, inferlay_request_set_parameter_string(request, name(door), name(door))); break;
    case 14: is_ok(door, inferlay_request_clear_parameters(request)); break;
    default: is_ok(door, inferlay_request_cancel(request));
    }
}

static void read_response(fuzzed *door, inferlay_response **place) {
    inferlay_response *response = seldom(door) ? NULL : *place;
    inferlay_view view = {.struct_size = sizeof view};
    uint8_t wire[64];
    size_t byte_size = 0;
    view.struct_size = seldom(door) ? choose(door, sizeof view) : sizeof view;
    switch (choose(door, 7)) {
    case 0:
        if (is_ok(door, inferlay_response_output(response, seldom(door) ? name(door) : "y", &view)) && view.byte_size) {
            volatile uint8_t last = ((const uint8_t *)view.data)[view.byte_size - 1];
            (void)last;
        }
        break;
    case 1: is_ok(door, inferlay_response_output_at(response, (size_t)number(door), &view)); break;
    case 2: is_ok(door, inferlay_response_output_wire(response, name(door), wire, choose(door, 64), &byte_size)); break;
    case 3:
        inferlay_tensor_free(door->tensor);
        door->tensor = NULL;
        BROKEN_IF(!is_ok(door, inferlay_response_detach(response, "y", &door->tensor)) && door->tensor);
        break;
    case 4: is_ok(door, inferlay_tensor_view(door->tensor, &view)); break;
    case 5: inferlay_response_free(inferlay_response_retain(response)); break;
    default:
        (void)inferlay_response_model(response);
        (void)inferlay_response_version(response);
        (void)inferlay_response_output_name(response, (size_t)number(door));
        inferlay_response_free(*place);
        *place = NULL;
    }
}

static void take_event(fuzzed *door, inferlay_event *event) {
    door->events += event->kind == INFERLAY_EVENT_RELEASE;
    inferlay_response_free(event->response);
    inferlay_status_free(event->status);
}

static void drain(fuzzed *door) {
    inferlay_event event = {.struct_size = sizeof event};
    while (is_ok(door, inferlay_queue_next(door->queue, 0, &event))) {
        take_event(door, &event);
    }
}

static void send(fuzzed *door, seat *own) {
    inferlay_response **place = &door->responses[choose(door, RESPONSES)];
    inferlay_response *response = NULL;
    switch (choose(door, 3)) {
    case 0:
        if (is_ok(door, inferlay_infer(door->server, own->request, &response))) {
            BROKEN_IF(!response);
            inferlay_response_free(*place);
            *place = response;
        } else {
            BROKEN_IF(response);
        }
        break;
    case 1:
        door->sent += is_ok(door, inferlay_infer_async(door->server, own->request, seldom(door) ? NULL : on_response,
                                                       on_release, door));
        break;
    default: door->queued += is_ok(door, inferlay_infer_queue(door->server, own->request, door->queue, door));
    }
}

/* A metric of any kind, made, changed in every way and given up. */
static void measure(fuzzed *door, const inferlay_server *server) {
    static const double bounds[] = {0, 1, 1};
    char name[5] = "app_";
    char label[2] = {(char)byte(door), 0};
    const char *labels[] = {label, "b", "l", label};
    name[choose(door, 4)] = (char)byte(door);
    inferlay_metric_definition definition = {sizeof definition, choose(door, 4), name, label, labels, choose(door, 3),
                                             bounds, choose(door, 4)};
    inferlay_metric *metric = NULL;
    bool is_made = is_ok(door, inferlay_metric_new(server, seldom(door) ? NULL : &definition, &metric));
    BROKEN_IF(is_made != (metric != NULL));
    double value = byte(door) - 3.0;
    is_ok(door, inferlay_metric_set(metric, value));
    is_ok(door, inferlay_metric_increment(metric, value));
    is_ok(door, inferlay_metric_observe(metric, value));
    is_ok(door, inferlay_metric_value(metric, &value));
    inferlay_metric_free(metric);
}

static void ask_server(fuzzed *door) {
    inferlay_server *server = seldom(door) ? NULL : door->server;
    uint64_t version = seldom(door) ? (uint64_t)number(door) : 0;
    char *text = NULL;
    switch (choose(door, 13)) {
    case 0: text_call(door, inferlay_server_metadata(server, &text), &text); break;
    case 1: text_call(door, inferlay_server_models(server, &text), &text); break;
    case 2: text_call(door, inferlay_server_statistics(server, &text), &text); break;
    case 3: text_call(door, inferlay_server_metrics(server, &text), &text); break;
    case 4: text_call(door, inferlay_server_traces(server, &text), &text); break;
    case 5: is_ok(door, inferlay_server_set_trace_every(server, choose(door, 3))); break;
    case 6: text_call(door, inferlay_server_backends(server, &text), &text); break;
    case 7: text_call(door, inferlay_model_metadata(server, model(door), version, &text), &text); break;
    case 8: text_call(door, inferlay_model_config(server, model(door), version, &text), &text); break;
    case 9: text_call(door, inferlay_model_statistics(server, model(door), version, &text), &text); break;
    case 10: is_ok(door, inferlay_model_load(server, "/no/such/file")); break;
    case 11: measure(door, server); break;
    default: (void)inferlay_model_is_ready(server, model(door), version);
    }
}

static void start(fuzzed *door) {
    inferlay_options *options = inferlay_options_new();
    char text[65];
    size_t len = choose(door, 64);
    for (size_t i = 0; i < len; i++) {
        text[i] = (char)byte(door);
    }
    text[len] = 0;
    if (seldom(door)) {
        is_ok(door, inferlay_options_set_text(options, text));
    }
    is_ok(door, inferlay_options_set_caller_runs(options, seldom(door) ? choose(door, 5) : choose(door, 3)));
    is_ok(door, inferlay_options_set_spin_max(options, 0));
    /* Options that the text made wrong, such as paths, keep the server from starting. */
    if (!is_ok(door, inferlay_server_new(INFERLAY_API_VERSION, options, &door->server))) {
        BROKEN_IF(!is_ok(door, inferlay_server_new(INFERLAY_API_VERSION, NULL, &door->server)));
    }
    BROKEN_IF(!is_ok(door, inferlay_queue_new(&door->queue)));
    inferlay_options_free(options);
}

static void call(fuzzed *door) {
    seat *own = &door->seats[choose(door, REQUESTS)];
    inferlay_event event = {.struct_size = sizeof event};
    switch (choose(door, 12)) {
    case 0: register_model(door); break;
    case 1:
        if (!own->request) {
            BROKEN_IF(!is_ok(door, inferlay_request_new(door->server, model(door), 0, &own->request)) && own->request);
        }
        break;
    case 2:
    case 3: set_input(door, own); break;
    case 4: change(door, own); break;
    case 5:
    case 6:
    case 7: send(door, own); break;
    case 8: read_response(door, &door->responses[choose(door, RESPONSES)]); break;
    case 9:
        if (is_ok(door, inferlay_queue_next(seldom(door) ? NULL : door->queue, 0, &event))) {
            take_event(door, &event);
        }
        break;
    case 10: ask_server(door); break;
    default:
        switch (choose(door, 6)) {
        case 0: is_ok(door, inferlay_model_remove(door->server, model(door), inferlay_clock_now() + 60000000000u)); break;
        case 1: is_ok(door, inferlay_server_stop(door->server, inferlay_clock_now() + 60000000000u)); break;
        case 2:
            inferlay_request_free(own->request);
            own->request = NULL;
            break;
        default: (void)inferlay_queue_fd(door->queue);
        }
    }
}

/* The memory of requests outlives the server, whose end is the last release. */
static int finish(fuzzed *door) {
    for (int i = 0; i < RESPONSES; i++) {
        inferlay_response_free(door->responses[i]);
    }
    inferlay_tensor_free(door->tensor);
    is_ok(door, inferlay_server_stop(door->server, inferlay_clock_now() + 60000000000u));
    inferlay_server_free(door->server);
    drain(door);
    for (int i = 0; i < REQUESTS; i++) {
        inferlay_request_free(door->seats[i].request);
    }
    inferlay_queue_free(door->queue);
    BROKEN_IF(door->finals != door->sent);
    BROKEN_IF(door->releases != door->sent);
    BROKEN_IF(door->events != door->queued);
    BROKEN_IF(door->freed != door->taken);
    return door->broken_line;
}

int fuzz_door(const uint8_t *data, size_t len) {
    fuzzed *door = (fuzzed *)calloc(1, sizeof *door);
    door->data = data;
    door->len = len;
    start(door);
    if (door->server && door->queue) {
        register_model(door);
        for (int calls = 0; calls < CALLS_MAX && door->len; calls++) {
            call(door);
        }
    }
    int broken = finish(door);
    free(door);
    return broken;
}
