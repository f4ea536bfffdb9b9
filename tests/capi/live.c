// Models that come and go while the server runs: loads, unloads and polls as operations, repositories, changes, paging.
#include "check.h"
#include "gate.h"
#include <stdatomic.h>
#include <sys/stat.h>
#include <unistd.h>

static const char ECHO_CONFIG[] = "{backend: 'null', input: {name: x, data_type: FP32, dims: 2}}";

static void write_text(const char *path, const char *text) {
  FILE *file = fopen(path, "w");
  CHECK(file != NULL && fputs(text, file) >= 0 && fclose(file) == 0);
}

// A folder of the test's own with a model `echo` in it.
static void make_repository(char folder[64]) {
  strcpy(folder, "/tmp/inferlay-live-XXXXXX");
  CHECK(mkdtemp(folder) != NULL);
  char path[128];
  static const char *const PARTS[] = {"echo", "echo/1", NULL};
  for (const char *const *part = PARTS; *part; part++) {
    snprintf(path, sizeof path, "%s/%s", folder, *part);
    CHECK(mkdir(path, 0700) == 0);
  }
  snprintf(path, sizeof path, "%s/echo/config.yaml", folder);
  write_text(path, ECHO_CONFIG);
}

static void remove_repository(const char *folder) {
  char path[128];
  static const char *const PARTS[] = {"/echo/config.yaml", "/echo/1", "/echo", "", NULL};
  for (const char *const *part = PARTS; *part; part++) {
    snprintf(path, sizeof path, "%s%s", folder, *part);
    CHECK(remove(path) == 0);
  }
}

static inferlay_server *server_of(inferlay_options *options) {
  inferlay_server *server = NULL;
  OK(inferlay_server_new(INFERLAY_API_VERSION, options, &server));
  inferlay_options_free(options);
  return server;
}

static inferlay_options *explicit_options(void) {
  inferlay_options *options = inferlay_options_new();
  OK(inferlay_options_set_model_control(options, INFERLAY_MODEL_CONTROL_EXPLICIT));
  return options;
}

// Waits for an operation, and frees it.
static inferlay_status *end_of(inferlay_operation *operation) {
  CHECK(operation != NULL);
  inferlay_status *status = inferlay_operation_wait(operation, UINT64_MAX);
  CHECK(inferlay_operation_is_done(operation));
  inferlay_operation_free(operation);
  return status;
}

static inferlay_status *load(inferlay_server *server, const char *model, const inferlay_load_options *options) {
  inferlay_operation *operation = NULL;
  OK(inferlay_server_load_model(server, model, options, &operation));
  return end_of(operation);
}

static inferlay_status *unload(inferlay_server *server, const char *model) {
  inferlay_operation *operation = NULL;
  inferlay_unload_options options = {sizeof options, true};
  OK(inferlay_server_unload_model(server, model, &options, &operation));
  return end_of(operation);
}

static inferlay_load_options echo_options(const inferlay_file *const *files, size_t files_len) {
  inferlay_load_options options;
  memset(&options, 0, sizeof options);
  options.struct_size = sizeof options;
  options.config = ECHO_CONFIG;
  options.files = files;
  options.files_len = files_len;
  return options;
}

static void check_models(const inferlay_server *server, const char *expected) {
  char *json = NULL;
  OK(inferlay_server_models(server, &json));
  if (strcmp(json, expected) != 0) fprintf(stderr, "found %s, expected %s\n", json, expected);
  CHECK(strcmp(json, expected) == 0);
  inferlay_text_free(json);
}

static void models_come_from_memory_and_go(void) {
  inferlay_server *server = server_of(explicit_options());
  FAILS(INFERLAY_CODE_NOT_FOUND, load(server, "echo", NULL));
  inferlay_file one = {sizeof one, "1/weights.bin", "1", 1}, four = {sizeof four, "4/weights.bin", "4", 1};
  const inferlay_file *files[2] = {&one, &four};
  inferlay_load_options options = echo_options(files, 2);
  const uint64_t versions[2] = {1, 4};
  options.versions = versions;
  options.versions_len = 2;
  const _Atomic uint64_t *count = (const _Atomic uint64_t *)inferlay_server_change_counter(server);
  const uint64_t before = atomic_load(count);
  OK(load(server, "echo", &options));
  CHECK(atomic_load(count) > before);
  CHECK(inferlay_model_is_ready(server, "echo", 1) && inferlay_model_is_ready(server, "echo", 4));
  OK(unload(server, "echo"));
  CHECK(!inferlay_model_is_ready(server, "echo", 0));
  check_models(server, "[{\"name\":\"echo\",\"version\":1,\"state\":\"UNAVAILABLE\",\"reason\":\"unloaded\"},"
                       "{\"name\":\"echo\",\"version\":4,\"state\":\"UNAVAILABLE\",\"reason\":\"unloaded\"}]");
  // Nobody need wait.
  OK(inferlay_server_load_model(server, "echo", &options, NULL));
  options.versions_len = 0;
  OK(load(server, "echo", &options));
  CHECK(inferlay_model_is_ready(server, "echo", 4) && !inferlay_model_is_ready(server, "echo", 1));
  FAILS(INFERLAY_CODE_NOT_FOUND, unload(server, "ecco"));
  inferlay_server_free(server);
  FAILS(INFERLAY_CODE_FAILED_PRECONDITION, inferlay_server_load_model(server, "echo", NULL, NULL));
  FAILS(INFERLAY_CODE_FAILED_PRECONDITION, inferlay_server_unload_model(server, "echo", NULL, NULL));
}

static void repositories_come_and_go(void) {
  char folder[64];
  make_repository(folder);
  inferlay_options *options = explicit_options();
  OK(inferlay_options_add_repository(options, folder));
  OK(inferlay_options_add_load(options, "echo"));
  inferlay_server *server = server_of(options);
  CHECK(inferlay_model_is_ready(server, "echo", 1));
  FAILS(INFERLAY_CODE_ALREADY_EXISTS, inferlay_server_add_repository(server, folder));
  const char *folders[1] = {folder}, *own[1] = {"echo"}, *served[1] = {"sounds"};
  OK(inferlay_server_remove_repository(server, folders, 1));
  FAILS(INFERLAY_CODE_NOT_FOUND, inferlay_server_remove_repository(server, folders, 1));
  inferlay_repository repository = {sizeof repository, folders, 1, "lab", own, served, 1};
  OK(inferlay_server_add_repository_with(server, &repository));
  OK(load(server, "lab/sounds", NULL));
  CHECK(inferlay_model_is_ready(server, "lab/sounds", 1));
  repository.folders_len = 0;
  FAILS(INFERLAY_CODE_INVALID_ARG, inferlay_server_add_repository_with(server, &repository));
  inferlay_server_free(server);

  options = explicit_options();
  repository.folders_len = 1;
  OK(inferlay_options_add_repository_with(options, &repository));
  OK(inferlay_options_add_load(options, "lab/sounds"));
  server = server_of(options);
  CHECK(inferlay_model_is_ready(server, "lab/sounds", 1));
  inferlay_operation *operation = NULL;
  OK(inferlay_server_poll(server, &operation));
  FAILS(INFERLAY_CODE_FAILED_PRECONDITION, end_of(operation));
  inferlay_server_free(server);
  remove_repository(folder);
}

static void a_server_that_polls_takes_up_what_has_come(void) {
  char folder[64];
  make_repository(folder);
  inferlay_options *options = inferlay_options_new();
  OK(inferlay_options_set_model_control(options, INFERLAY_MODEL_CONTROL_POLL));
  OK(inferlay_options_set_settle_time(options, 1));
  OK(inferlay_options_set_poll_period(options, 3600000000000u));
  OK(inferlay_options_set_poll_by_period_only(options));
  OK(inferlay_options_set_retry_after(options, 3600000000000u));
  OK(inferlay_options_set_retire_timeout(options, 60000000000u));
  inferlay_server *server = server_of(options);
  OK(inferlay_server_add_repository(server, folder));
  inferlay_operation *operation = NULL;
  OK(inferlay_server_poll(server, &operation));
  OK(end_of(operation));
  CHECK(inferlay_model_is_ready(server, "echo", 1));
  inferlay_server_free(server);

  // A marker is a file beside others.
  options = inferlay_options_new();
  OK(inferlay_options_set_model_control(options, INFERLAY_MODEL_CONTROL_POLL));
  OK(inferlay_options_set_ready_marker(options, "echo/READY"));
  FAILS(INFERLAY_CODE_INVALID_ARG, inferlay_server_new(INFERLAY_API_VERSION, options, &server));
  OK(inferlay_options_set_ready_marker(options, "READY"));
  inferlay_server_free(server_of(options));
  remove_repository(folder);
}

// What a subscriber was told.
struct told {
  atomic_uint count;
  inferlay_model_state states[8];
  struct gate gone;
};

static void on_change(void *user_data, const inferlay_change *change) {
  struct told *told = user_data;
  CHECK(change->struct_size == sizeof *change && strcmp(change->model, "echo") == 0 && change->version == 1);
  CHECK(strcmp(change->reason, change->state == INFERLAY_STATE_UNAVAILABLE ? "unloaded" : "") == 0 ||
        change->state == INFERLAY_STATE_UNLOADING);
  told->states[atomic_fetch_add(&told->count, 1)] = change->state;
}

static void on_gone(void *user_data) { gate_open(&((struct told *)user_data)->gone, 1); }

static void changes_are_told_to_functions_and_queues(void) {
  inferlay_server *server = server_of(explicit_options());
  inferlay_queue *queue = NULL;
  OK(inferlay_queue_new(&queue));
  static struct told told;
  gate_init(&told.gone);
  inferlay_subscription *called = NULL, *queued = NULL;
  OK(inferlay_server_subscribe(server, on_change, on_gone, &told, &called));
  OK(inferlay_server_subscribe_queue(server, queue, &told, &queued));
  FAILS(INFERLAY_CODE_INVALID_ARG, inferlay_server_subscribe(server, NULL, NULL, NULL, &called));
  inferlay_file file = {sizeof file, "1/weights.bin", "1", 1};
  const inferlay_file *files[1] = {&file};
  const inferlay_load_options options = echo_options(files, 1);
  OK(load(server, "echo", &options));
  OK(unload(server, "echo"));
  static const inferlay_model_state EXPECTED[4] = {INFERLAY_STATE_LOADING, INFERLAY_STATE_READY,
                                                   INFERLAY_STATE_UNLOADING, INFERLAY_STATE_UNAVAILABLE};
  static const char *const NAMES[4] = {"\"LOADING\"", "\"READY\"", "\"UNLOADING\"", "\"UNAVAILABLE\""};
  for (int i = 0; i < 4; i++) {
    inferlay_event event = {0};
    event.struct_size = sizeof event;
    OK(inferlay_queue_next(queue, UINT64_MAX, &event));
    CHECK(event.kind == INFERLAY_EVENT_CHANGE && event.flags == EXPECTED[i] && event.user_data == &told);
    CHECK(strstr(inferlay_status_message(event.status), NAMES[i]) != NULL);
    CHECK(event.request == NULL && event.response == NULL);
    inferlay_status_free(event.status);
  }
  inferlay_subscription_free(queued);
  inferlay_subscription_free(called);
  gate_pass(&told.gone);
  CHECK(atomic_load(&told.count) == 4 && memcmp(told.states, EXPECTED, sizeof EXPECTED) == 0);
  inferlay_subscription_free(NULL);
  inferlay_server_free(server);
  inferlay_queue_free(queue);
}

struct done {
  struct gate gate;
  inferlay_code code;
};

static void on_done(void *user_data, inferlay_status *status) {
  struct done *done = user_data;
  done->code = inferlay_status_code(status);
  inferlay_status_free(status);
  gate_open(&done->gate, 1);
}

static void count_done(void *user_data, inferlay_status *status) {
  // The calls, and the sum of their codes.
  atomic_uint *counted = user_data;
  atomic_fetch_add(&counted[0], 1);
  atomic_fetch_add(&counted[1], inferlay_status_code(status));
  inferlay_status_free(status);
}

static void the_end_of_an_operation_is_told(void) {
  inferlay_server *server = server_of(explicit_options());
  inferlay_operation *operation = NULL;
  OK(inferlay_server_load_model(server, "nowhere", NULL, &operation));
  inferlay_queue *queue = NULL;
  OK(inferlay_queue_new(&queue));
  static struct done done;
  gate_init(&done.gate);
  OK(inferlay_operation_on_done(operation, on_done, &done));
  OK(inferlay_operation_on_done_queue(operation, queue, &done));
  FAILS(INFERLAY_CODE_INVALID_ARG, inferlay_operation_on_done(operation, NULL, NULL));
  inferlay_event event = {0};
  event.struct_size = sizeof event;
  OK(inferlay_queue_next(queue, UINT64_MAX, &event));
  CHECK(event.kind == INFERLAY_EVENT_DONE && event.user_data == &done);
  CHECK(inferlay_status_code(event.status) == INFERLAY_CODE_NOT_FOUND);
  inferlay_status_free(event.status);
  gate_pass(&done.gate);
  CHECK(done.code == INFERLAY_CODE_NOT_FOUND);
  FAILS(INFERLAY_CODE_NOT_FOUND, inferlay_operation_wait(operation, 0));
  inferlay_server_free(server);
  // It outlives the server; nothing is called any more.
  FAILS(INFERLAY_CODE_UNAVAILABLE, inferlay_operation_on_done(operation, on_done, &done));
  FAILS(INFERLAY_CODE_NOT_FOUND, inferlay_operation_wait(operation, UINT64_MAX));
  inferlay_operation_free(operation);
  inferlay_queue_free(queue);
}

// A model that does not answer before the gate opens keeps its unload under way.
static void an_operation_that_is_under_way_says_so(void) {
  static struct gate gate;
  gate_init(&gate);
  inferlay_server *server = server_with(DOUBLE_CONFIG, gated_double, &gate);
  inferlay_queue *queue = NULL;
  OK(inferlay_queue_new(&queue));
  const float row[2] = {1, 2};
  inferlay_request *request = double_request(server, row);
  OK(inferlay_infer_queue(server, request, queue, NULL));
  inferlay_operation *operation = NULL;
  OK(inferlay_server_unload_model(server, "double", NULL, &operation));
  CHECK(!inferlay_operation_is_done(operation));
  FAILS(INFERLAY_CODE_TIMEOUT, inferlay_operation_wait(operation, 0));
  FAILS(INFERLAY_CODE_TIMEOUT, inferlay_operation_wait(operation, 1));
  gate_open(&gate, 1);
  OK(end_of(operation));
  inferlay_event event = {0};
  event.struct_size = sizeof event;
  OK(inferlay_queue_next(queue, UINT64_MAX, &event));
  check_doubled(event.response, row);
  inferlay_response_free(event.response);
  inferlay_queue_free(queue);
  inferlay_request_free(request);
  inferlay_server_free(server);
}

// What waits for files to be quiet, for an hour, is told of the end of its server: each once, and before that is over.
static void what_is_under_way_at_a_stop_is_told(void) {
  char folder[64];
  make_repository(folder);
  inferlay_options *options = inferlay_options_new();
  OK(inferlay_options_set_text(options, "{model_control: poll, settle_time_microseconds: 3600000000, "
                                        "poll_period_microseconds: 3600000000, poll_by_period_only: true}"));
  inferlay_server *server = server_of(options);
  OK(inferlay_server_add_repository(server, folder));
  inferlay_operation *operation = NULL;
  OK(inferlay_server_poll(server, &operation));
  inferlay_queue *queue = NULL;
  OK(inferlay_queue_new(&queue));
  static atomic_uint counted[2];
  OK(inferlay_operation_on_done(operation, count_done, counted));
  OK(inferlay_operation_on_done(operation, count_done, counted));
  OK(inferlay_operation_on_done_queue(operation, queue, counted));
  CHECK(!inferlay_operation_is_done(operation));
  OK(inferlay_server_stop(server, UINT64_MAX));
  CHECK(atomic_load(&counted[0]) == 2 && atomic_load(&counted[1]) == 2 * INFERLAY_CODE_UNAVAILABLE);
  inferlay_event event = {0};
  event.struct_size = sizeof event;
  OK(inferlay_queue_next(queue, 0, &event));
  CHECK(event.kind == INFERLAY_EVENT_DONE && event.user_data == counted);
  CHECK(inferlay_status_code(event.status) == INFERLAY_CODE_UNAVAILABLE);
  inferlay_status_free(event.status);
  FAILS(INFERLAY_CODE_TIMEOUT, inferlay_queue_next(queue, 0, &event));
  FAILS(INFERLAY_CODE_UNAVAILABLE, inferlay_operation_on_done(operation, count_done, counted));
  FAILS(INFERLAY_CODE_UNAVAILABLE, end_of(operation));
  inferlay_server_free(server);
  CHECK(atomic_load(&counted[0]) == 2);
  inferlay_queue_free(queue);
  remove_repository(folder);
}

static void a_config_is_given_in_either_format(void) {
  inferlay_server *server = server_of(explicit_options());
  inferlay_file file = {sizeof file, "1/weights.bin", "1", 1};
  const inferlay_file *files[1] = {&file};
  inferlay_load_options options = echo_options(files, 1);
  options.config = "backend: 'null' input { name: 'x' data_type: TYPE_FP32 dims: 2 }";
  FAILS(INFERLAY_CODE_INVALID_ARG, load(server, "echo", &options));
  options.config_format = INFERLAY_CONFIG_FORMAT_PBTXT;
  OK(load(server, "echo", &options));
  CHECK(inferlay_model_is_ready(server, "echo", 1));
  options.config_format = 2;
  FAILS(INFERLAY_CODE_INVALID_ARG, inferlay_server_load_model(server, "echo", &options, NULL));
  options.config_format = INFERLAY_CONFIG_FORMAT_PBTXT;
  for (inferlay_swap swap = INFERLAY_SWAP_AS_CONFIGURED; swap <= INFERLAY_SWAP_REPLACE; swap++) {
    options.swap = swap;
    OK(load(server, "echo", &options));
  }
  options.swap = INFERLAY_SWAP_REPLACE + 1;
  FAILS(INFERLAY_CODE_INVALID_ARG, inferlay_server_load_model(server, "echo", &options, NULL));
  inferlay_server_free(server);
}

static void a_repository_elsewhere_is_served_from_a_copy(void) {
  char folder[64], cache[] = "/tmp/inferlay-cache-XXXXXX", url[80], command[96];
  make_repository(folder);
  CHECK(mkdtemp(cache) != NULL);
  snprintf(url, sizeof url, "file://%s", folder);
  inferlay_options *options = inferlay_options_new();
  inferlay_source source = {sizeof source, url, cache, NULL, NULL, 0, false};
  OK(inferlay_options_add_source(options, &source));
  inferlay_server *server = server_of(options);
  CHECK(inferlay_model_is_ready(server, "echo", 1));
  inferlay_server_free(server);
  options = inferlay_options_new();
  source.url = "models";
  FAILS(INFERLAY_CODE_INVALID_ARG, inferlay_options_add_source(options, &source));
  source.url = NULL;
  FAILS(INFERLAY_CODE_INVALID_ARG, inferlay_options_add_source(options, &source));
  source.struct_size = 8;
  FAILS(INFERLAY_CODE_INVALID_ARG, inferlay_options_add_source(options, &source));
  inferlay_options_free(options);
  remove_repository(folder);
  snprintf(command, sizeof command, "rm -r '%s'", cache);
  CHECK(system(command) == 0);
}

static void models_are_sealed_and_looked_at(void) {
  char folder[64], path[128], *secret = NULL, *public = NULL, *json = NULL;
  inferlay_status *status = inferlay_signing_key_new(&secret, &public);
  if (status != NULL && inferlay_status_code(status) == INFERLAY_CODE_UNSUPPORTED) {
    inferlay_status_free(status);
    FAILS(INFERLAY_CODE_UNSUPPORTED, inferlay_seal("/nowhere/at/all", INFERLAY_SUM_SHA256, NULL, NULL));
    return;
  }
  OK(status);
  make_repository(folder);
  CHECK(strlen(secret) == 64 && strlen(public) == 64);
  snprintf(path, sizeof path, "%s/echo", folder);
  OK(inferlay_seal(path, INFERLAY_SUM_BLAKE3, NULL, NULL));
  OK(inferlay_seal(path, INFERLAY_SUM_SHA256, secret, &json));
  CHECK(strstr(json, "\"files\":1") != NULL);
  inferlay_text_free(json);
  FAILS(INFERLAY_CODE_INVALID_ARG, inferlay_seal(path, 2, NULL, NULL));
  FAILS(INFERLAY_CODE_INVALID_ARG, inferlay_seal(path, INFERLAY_SUM_SHA256, "1234", NULL));
  FAILS(INFERLAY_CODE_NOT_FOUND, inferlay_seal("/nowhere/at/all", INFERLAY_SUM_SHA256, NULL, NULL));
  FAILS(INFERLAY_CODE_INVALID_ARG, inferlay_signing_key_new(NULL, &public));

  inferlay_options *options = inferlay_options_new();
  OK(inferlay_options_add_repository(options, folder));
  OK(inferlay_options_add_trusted_key(options, public));
  OK(inferlay_options_set_require_signature(options, true));
  OK(inferlay_options_lint(options, &json));
  CHECK(strcmp(json, "[]") == 0);
  inferlay_text_free(json);
  snprintf(path, sizeof path, "%s/echo/config.yaml", folder);
  write_text(path, "backend: 'null'\nmax_bacth_size: 8");
  OK(inferlay_options_lint(options, &json));
  CHECK(strstr(json, "\"severity\":\"error\"") != NULL && strstr(json, "file 'config.yaml'") != NULL);
  inferlay_text_free(json);
  FAILS(INFERLAY_CODE_INVALID_ARG, inferlay_options_lint(options, NULL));
  inferlay_options_free(options);
  inferlay_text_free(secret);
  inferlay_text_free(public);

  // Without the seal what it says is looked at.
  static const char *const SEALS[] = {"inferlay.manifest", "inferlay.manifest.sig", NULL};
  for (const char *const *seal = SEALS; *seal; seal++) {
    snprintf(path, sizeof path, "%s/echo/%s", folder, *seal);
    CHECK(remove(path) == 0);
  }
  options = inferlay_options_new();
  OK(inferlay_options_add_repository(options, folder));
  OK(inferlay_options_lint(options, &json));
  CHECK(strstr(json, "\"line\":2") != NULL && strstr(json, "did you mean 'max_batch_size'?") != NULL);
  inferlay_text_free(json);
  inferlay_options_free(options);
  remove_repository(folder);
}

static void budgets_and_pins_are_told_of(void) {
  inferlay_options *options = inferlay_options_new();
  OK(inferlay_options_set_memory_budget(options, 1 << 20));
  OK(inferlay_options_set_device_memory_budget(options, 0, 1 << 20));
  OK(inferlay_options_add_pinned(options, "echo"));
  inferlay_file file = {sizeof file, "config.yaml", ECHO_CONFIG, sizeof ECHO_CONFIG - 1};
  const inferlay_file *files[1] = {&file};
  OK(inferlay_options_add_model_in_memory(options, "echo", files, 1));
  inferlay_server *server = server_of(options);
  char *json = NULL;
  OK(inferlay_server_paging(server, &json));
  CHECK(strstr(json, "\"budget_bytes\":1048576") != NULL && strstr(json, "\"resident_count\":1") != NULL);
  inferlay_text_free(json);
  OK(inferlay_server_pin_model(server, "echo", false));
  inferlay_server_free(server);
}

static void what_is_no_option_is_refused(void) {
  inferlay_options *options = inferlay_options_new();
  FAILS(INFERLAY_CODE_INVALID_ARG, inferlay_options_set_model_control(options, 3));
  FAILS(INFERLAY_CODE_INVALID_ARG, inferlay_options_add_load(options, NULL));
  inferlay_repository repository = {0};
  FAILS(INFERLAY_CODE_INVALID_ARG, inferlay_options_add_repository_with(options, &repository));
  inferlay_server *server = server_of(options);
  inferlay_load_options load_options = {0};
  FAILS(INFERLAY_CODE_INVALID_ARG, inferlay_server_load_model(server, "echo", &load_options, NULL));
  inferlay_unload_options unload_options = {0};
  FAILS(INFERLAY_CODE_INVALID_ARG, inferlay_server_unload_model(server, "echo", &unload_options, NULL));
  FAILS(INFERLAY_CODE_INVALID_ARG, inferlay_operation_wait(NULL, 0));
  CHECK(!inferlay_operation_is_done(NULL) && inferlay_server_change_counter(NULL) == NULL);
  inferlay_operation_free(NULL);
  inferlay_server_free(server);
}

int main(void) {
  models_come_from_memory_and_go();
  repositories_come_and_go();
  a_server_that_polls_takes_up_what_has_come();
  changes_are_told_to_functions_and_queues();
  the_end_of_an_operation_is_told();
  an_operation_that_is_under_way_says_so();
  what_is_under_way_at_a_stop_is_told();
  a_config_is_given_in_either_format();
  a_repository_elsewhere_is_served_from_a_copy();
  models_are_sealed_and_looked_at();
  budgets_and_pins_are_told_of();
  what_is_no_option_is_refused();
  return 0;
}
