// Several versions of a model: labels, shares of the traffic, a shadow.
#include "check.h"
#include <sched.h>

// A model `m` of three versions that echo.
static inferlay_server *three_versions(void) {
  static const char config[] =
      "{backend: 'null', version_policy: all, input: {name: x, data_type: FP32, dims: 2}}";
  const inferlay_file files[4] = {{sizeof files[0], "config.yaml", config, sizeof config - 1},
                                  {sizeof files[0], "1/weights.bin", "1", 1},
                                  {sizeof files[0], "2/weights.bin", "2", 1},
                                  {sizeof files[0], "3/weights.bin", "3", 1}};
  const inferlay_file *const pointers[4] = {&files[0], &files[1], &files[2], &files[3]};
  inferlay_options *options = inferlay_options_new();
  OK(inferlay_options_add_model_in_memory(options, "m", pointers, 4));
  OK(inferlay_options_set_strict(options, true));
  inferlay_server *server = NULL;
  OK(inferlay_server_new(INFERLAY_API_VERSION, options, &server));
  inferlay_options_free(options);
  return server;
}

static const float row[2] = {1, 2};

// Sets the input of a request to the model.
static inferlay_request *filled(inferlay_request *request) {
  static const int64_t shape[1] = {2};
  inferlay_view x = view_of(INFERLAY_TYPE_FP32, shape, 1, row, sizeof row);
  OK(inferlay_request_set_input(request, "x", &x));
  return request;
}

static inferlay_request *request_to(const inferlay_server *server) {
  inferlay_request *request = NULL;
  OK(inferlay_request_new(server, "m", 0, &request));
  return filled(request);
}

// Which version answers.
static uint64_t asked(const inferlay_server *server, inferlay_request *request) {
  inferlay_response *response = NULL;
  OK(inferlay_infer(server, request, &response));
  const uint64_t version = inferlay_response_version(response);
  inferlay_response_free(response);
  return version;
}

typedef inferlay_status *(*text_fn)(const inferlay_server *, const char *, char **);

static void check_text(const inferlay_server *server, text_fn text_of, const char *expected) {
  char *text = NULL;
  OK(text_of(server, "m", &text));
  if (strcmp(text, expected) != 0) {
    fprintf(stderr, "found %s, expected %s\n", text, expected);
    exit(1);
  }
  inferlay_text_free(text);
}

// The number behind a quoted name in the statistics of a version.
static unsigned long statistic(const inferlay_server *server, uint64_t version, const char *name) {
  char *text = NULL;
  OK(inferlay_model_statistics(server, "m", version, &text));
  const char *found = strstr(text, name);
  CHECK(found != NULL);
  const unsigned long value = strtoul(found + strlen(name) + 1, NULL, 10);
  inferlay_text_free(text);
  return value;
}

static void a_label_stands_for_a_number_and_moves(const inferlay_server *server) {
  OK(inferlay_server_set_label(server, "m", "stable", 1));
  OK(inferlay_server_set_label(server, "m", "canary", 3));
  check_text(server, inferlay_server_labels, "{\"canary\":3,\"stable\":1}");
  inferlay_request *request = NULL;
  OK(inferlay_request_new_labelled(server, "m", "stable", &request));
  CHECK(asked(server, filled(request)) == 1);
  OK(inferlay_server_set_label(server, "m", "stable", 2));
  CHECK(asked(server, request) == 2);
  OK(inferlay_server_remove_label(server, "m", "stable"));
  inferlay_response *response = NULL;
  FAILS(INFERLAY_CODE_NOT_FOUND, inferlay_infer(server, request, &response));
  inferlay_request_free(request);
  request = NULL;
  FAILS(INFERLAY_CODE_NOT_FOUND, inferlay_request_new_labelled(server, "m", "stable", &request));
  FAILS(INFERLAY_CODE_INVALID_ARG, inferlay_request_new_labelled(server, "m", NULL, &request));
  CHECK(request == NULL);
  FAILS(INFERLAY_CODE_NOT_FOUND, inferlay_server_remove_label(server, "m", "stable"));
  FAILS(INFERLAY_CODE_NOT_FOUND, inferlay_server_set_label(server, "m", "stable", 9));
  FAILS(INFERLAY_CODE_INVALID_ARG, inferlay_server_set_label(server, "m", "12", 1));
  FAILS(INFERLAY_CODE_INVALID_ARG, inferlay_server_set_label(server, NULL, "stable", 1));
}

static void traffic_is_split_and_sequences_stay(const inferlay_server *server) {
  inferlay_request *request = request_to(server);
  const uint64_t versions[2] = {1, 2};
  const uint32_t weights[2] = {30, 10};
  OK(inferlay_server_set_traffic(server, "m", versions, weights, 2));
  check_text(server, inferlay_server_traffic,
             "{\"shadow\":null,\"traffic\":[{\"version\":1,\"weight\":30},{\"version\":2,\"weight\":10}]}");
  int counts[3] = {0, 0, 0};
  for (int i = 0; i < 40; i++) counts[asked(server, request)]++;
  CHECK(counts[1] == 30 && counts[2] == 10);
  for (uint64_t id = 1; id < 20; id++) {
    OK(inferlay_request_set_sequence(request, id, 0));
    const uint64_t version = asked(server, request);
    for (int i = 0; i < 3; i++) CHECK(asked(server, request) == version);
  }
  OK(inferlay_request_set_sequence(request, 0, 0));
  const uint32_t nothing[2] = {0, 0};
  FAILS(INFERLAY_CODE_INVALID_ARG, inferlay_server_set_traffic(server, "m", versions, nothing, 2));
  FAILS(INFERLAY_CODE_INVALID_ARG, inferlay_server_set_traffic(server, "m", versions, NULL, 2));
  OK(inferlay_server_set_traffic(server, "m", NULL, NULL, 0));
  CHECK(asked(server, request) == 3);
  inferlay_request_free(request);
}

struct told {
  volatile int responses;
  volatile int releases;
};

static void on_response(void *told, inferlay_response *response, inferlay_response_flags flags, inferlay_status *status) {
  CHECK(status == NULL && flags == INFERLAY_RESPONSE_FINAL && inferlay_response_version(response) == 2);
  inferlay_response_free(response);
  __atomic_add_fetch(&((struct told *)told)->responses, 1, __ATOMIC_SEQ_CST);
}

static void on_release(void *told, inferlay_request *request) {
  (void)request;
  __atomic_add_fetch(&((struct told *)told)->releases, 1, __ATOMIC_SEQ_CST);
}

static void a_shadow_gets_copies_and_nobody_hears_of_it(const inferlay_server *server) {
  const unsigned long before = statistic(server, 3, "\"execution_count\"");
  OK(inferlay_server_set_shadow(server, "m", 3));
  check_text(server, inferlay_server_traffic, "{\"shadow\":3,\"traffic\":[]}");
  inferlay_request *request = request_to(server);
  CHECK(asked(server, request) == 2);
  struct told told = {0, 0};
  OK(inferlay_infer_async(server, request, on_response, on_release, &told));
  while (__atomic_load_n(&told.releases, __ATOMIC_SEQ_CST) == 0) sched_yield();
  CHECK(told.responses == 1);
  while (statistic(server, 3, "\"execution_count\"") < before + 2) sched_yield();
  CHECK(statistic(server, 3, "\"shadow_dropped_count\"") == 0);
  OK(inferlay_server_set_shadow(server, "m", 0));
  CHECK(asked(server, request) == 3);
  FAILS(INFERLAY_CODE_NOT_FOUND, inferlay_server_set_shadow(server, "m", 9));
  inferlay_request_free(request);
}

int main(void) {
  inferlay_server *server = three_versions();
  a_label_stands_for_a_number_and_moves(server);
  traffic_is_split_and_sequences_stay(server);
  a_shadow_gets_copies_and_nobody_hears_of_it(server);
  inferlay_server_free(server);
  return 0;
}
