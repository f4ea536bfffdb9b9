// Models that are functions of the program: what they are given, what they may answer, and when they are gone.
#include "check.h"
#include "gate.h"

// Answers each request with what it said: id, rows, priority, sequence and parameters, as one string per row.
static inferlay_status *tell(void *user_data, inferlay_batch *batch) {
  (void)user_data;
  char text[4096] = "";
  uint64_t offsets[64] = {0};
  size_t len = 0, rows = 0;
  for (size_t i = 0; i < inferlay_batch_len(batch); i++) {
    inferlay_asked asked;
    memset(&asked, 0, sizeof asked);
    asked.struct_size = sizeof asked;
    OK(inferlay_batch_request(batch, i, &asked));
    CHECK(!asked.cancelled);
    inferlay_parameter parameter;
    memset(&parameter, 0, sizeof parameter);
    parameter.struct_size = sizeof parameter;
    char said[512] = "";
    static const char *const names[] = {"text", "int", "double", "bool"};
    for (size_t j = 0; j < 4; j++) {
      inferlay_status *status = inferlay_batch_parameter(batch, i, names[j], &parameter);
      if (status) {
        CHECK(inferlay_status_code(status) == INFERLAY_CODE_NOT_FOUND);
        inferlay_status_free(status);
        continue;
      }
      char one[64] = "";
      if (parameter.kind == INFERLAY_PARAMETER_STRING)
        snprintf(one, sizeof one, " %.*s", (int)parameter.string_len, parameter.string_value);
      if (parameter.kind == INFERLAY_PARAMETER_INT) snprintf(one, sizeof one, " %lld", (long long)parameter.int_value);
      if (parameter.kind == INFERLAY_PARAMETER_DOUBLE) snprintf(one, sizeof one, " %g", parameter.double_value);
      if (parameter.kind == INFERLAY_PARAMETER_BOOL) snprintf(one, sizeof one, " %s", parameter.bool_value ? "yes" : "no");
      strcat(said, one);
    }
    for (size_t row = 0; row < asked.rows; row++) {
      int count = snprintf(text + len, sizeof text - len, "%.*s/%zu p%u s%llu%.*s f%u d%d%s", (int)asked.id_len,
                           asked.id, asked.rows, asked.priority, (unsigned long long)asked.sequence_id,
                           (int)asked.sequence_text_len, asked.sequence_text, asked.sequence_flags,
                           asked.deadline_ns != UINT64_MAX, said);
      len += (size_t)count;
      offsets[++rows] = len;
    }
  }
  CHECK(rows == inferlay_batch_rows(batch) && inferlay_batch_output_wanted(batch, "said"));
  CHECK(!inferlay_batch_output_wanted(batch, "nothing"));
  const int64_t shape[1] = {(int64_t)rows};
  inferlay_view view = view_of(INFERLAY_TYPE_BYTES, shape, 1, text, len);
  view.offsets = offsets;
  view.offsets_len = rows + 1;
  FAILS(INFERLAY_CODE_NOT_FOUND, inferlay_batch_set_output(batch, "nothing", &view));
  return inferlay_batch_set_output(batch, "said", &view);
}

static void check_said(const inferlay_response *response, const char *expected) {
  inferlay_view said = no_view();
  OK(inferlay_response_output(response, "said", &said));
  const size_t len = (size_t)(said.offsets[1] - said.offsets[0]);
  if (len != strlen(expected) || memcmp((const char *)said.data + said.offsets[0], expected, len) != 0) {
    fprintf(stderr, "found '%.*s', expected '%s'\n", (int)len, (const char *)said.data + said.offsets[0], expected);
    exit(1);
  }
}

static void the_model_sees_what_the_request_says(void) {
  inferlay_server *server = server_with(
      "{name: tell, max_batch_size: 8, input: {name: x, data_type: UINT8, dims: []},"
      " output: {name: said, data_type: BYTES, dims: []}, dynamic_batching: {priority_levels: 3, default_priority_level: 1}}",
      tell, NULL);
  inferlay_request *request = NULL;
  OK(inferlay_request_new(server, "tell", 0, &request));
  const uint8_t rows[2] = {1, 2};
  const int64_t shape[1] = {2};
  inferlay_view x = view_of(INFERLAY_TYPE_UINT8, shape, 1, rows, 2);
  OK(inferlay_request_set_input(request, "x", &x));
  inferlay_response *response = NULL;
  OK(inferlay_infer(server, request, &response));
  check_said(response, "/2 p0 s0 f0 d0");
  inferlay_response_free(response);
  OK(inferlay_request_set_id(request, "a request"));
  OK(inferlay_request_set_priority(request, 3));
  OK(inferlay_request_set_sequence(request, 42, INFERLAY_SEQUENCE_START | INFERLAY_SEQUENCE_END));
  OK(inferlay_request_set_deadline(request, SECONDS(100)));
  OK(inferlay_request_set_parameter_string(request, "text", "before"));
  OK(inferlay_request_set_parameter_string(request, "text", "t"));
  OK(inferlay_request_set_parameter_int(request, "int", -7));
  OK(inferlay_request_set_parameter_double(request, "double", 1.5));
  OK(inferlay_request_set_parameter_bool(request, "bool", true));
  OK(inferlay_infer(server, request, &response));
  check_said(response, "a request/2 p2 s42 f3 d1 t -7 1.5 yes");
  inferlay_response_free(response);
  OK(inferlay_request_set_sequence_text(request, "chat", INFERLAY_SEQUENCE_END));
  OK(inferlay_request_clear_parameters(request));
  OK(inferlay_request_set_priority(request, 1));
  OK(inferlay_infer(server, request, &response));
  check_said(response, "a request/2 p0 s0chat f2 d1");
  inferlay_response_free(response);
  FAILS(INFERLAY_CODE_INVALID_ARG, inferlay_request_set_sequence(request, 1, 4));
  OK(inferlay_request_set_priority(request, 4));
  FAILS(INFERLAY_CODE_INVALID_ARG, inferlay_infer(server, request, &response));
  inferlay_request_free(request);
  inferlay_server_free(server);
}

// Fails as its one input says.
static inferlay_status *failing(void *user_data, inferlay_batch *batch) {
  (void)user_data;
  inferlay_view x = no_view();
  OK(inferlay_batch_input(batch, "x", &x));
  FAILS(INFERLAY_CODE_NOT_FOUND, inferlay_batch_input(batch, "y", &x));
  FAILS(INFERLAY_CODE_NOT_FOUND,
        inferlay_batch_fail(batch, 7, inferlay_status_new(INFERLAY_CODE_INTERNAL, "no such request")));
  const int64_t shape[1] = {1}, wrong[1] = {-1};
  void *data = NULL;
  size_t size = 0;
  switch (((const uint8_t *)x.data)[0]) {
    case 0: return inferlay_status_new(INFERLAY_CODE_UNAVAILABLE, "out of order");
    case 1:
      OK(inferlay_batch_fail(batch, 0, inferlay_status_new(INFERLAY_CODE_NOT_FOUND, "not for you")));
      break;
    case 2: OK(inferlay_batch_fail(batch, 0, NULL)); break;
    case 3: return NULL;  // No output.
    case 4: FAILS(INFERLAY_CODE_INVALID_ARG, inferlay_batch_output(batch, "y", wrong, 1, &data, &size)); break;
    case 5: return inferlay_status_new(12345, "a code of its own");
    default:
      OK(inferlay_batch_output(batch, "y", shape, 1, &data, &size));
      CHECK(size == 1);
      FAILS(INFERLAY_CODE_FAILED_PRECONDITION, inferlay_batch_output(batch, "y", shape, 1, &data, &size));
      *(uint8_t *)data = 8;
      return NULL;
  }
  OK(inferlay_batch_output(batch, "y", shape, 1, &data, &size));
  return NULL;
}

static void failures_reach_the_caller_with_code_and_message(void) {
  inferlay_server *server = server_with(
      "{name: failing, input: {name: x, data_type: UINT8, dims: 1}, output: {name: y, data_type: UINT8, dims: 1}}",
      failing, NULL);
  inferlay_request *request = NULL;
  OK(inferlay_request_new(server, "failing", 0, &request));
  uint8_t what;
  const int64_t shape[1] = {1};
  inferlay_view x = view_of(INFERLAY_TYPE_UINT8, shape, 1, &what, 1);
  OK(inferlay_request_set_input(request, "x", &x));
  static const struct {
    inferlay_code code;
    const char *message;
  } expected[] = {{INFERLAY_CODE_UNAVAILABLE, "out of order"},
                  {INFERLAY_CODE_NOT_FOUND, "not for you"},
                  {INFERLAY_CODE_UNKNOWN, "the model gave no reason"},
                  {INFERLAY_CODE_INTERNAL, "model 'failing' version 1: the backend did not answer output 'y'"},
                  {0, NULL},
                  {INFERLAY_CODE_UNKNOWN, "a code of its own"}};
  for (what = 0; what < 6; what++) {
    inferlay_response *response = NULL;
    inferlay_status *status = inferlay_infer(server, request, &response);
    CHECK((status == NULL) == (expected[what].message == NULL));
    if (status) {
      CHECK(response == NULL && inferlay_status_code(status) == expected[what].code);
      CHECK(strcmp(inferlay_status_message(status), expected[what].message) == 0);
    }
    inferlay_status_free(status);
    inferlay_response_free(response);
  }
  inferlay_response *response = NULL;
  OK(inferlay_infer(server, request, &response));
  inferlay_response_free(response);
  inferlay_request_free(request);
  inferlay_server_free(server);
}

static inferlay_status *lost(void *user_data, inferlay_batch *batch) {
  ++*(int *)user_data;
  (void)batch;
  return inferlay_status_new(INFERLAY_CODE_INSTANCE_LOST, "the device is gone");
}

static void a_function_that_says_it_is_lost_is_asked_no_more_until_it_is_registered_anew(void) {
  inferlay_server *server = doubling_server();
  static const char config[] = "{name: lost, output: {name: y, data_type: FP32, dims: 1}}";
  int asked = 0;
  inferlay_model_table table = {sizeof table, lost, NULL};
  for (int round = 1; round <= 2; round++) {
    OK(inferlay_server_register_model(server, config, &table, &asked));
    CHECK(inferlay_model_is_ready(server, "lost", 0) && inferlay_server_is_ready(server));
    inferlay_request *request = NULL;
    OK(inferlay_request_new(server, "lost", 0, &request));
    inferlay_response *response = NULL;
    inferlay_status *status = inferlay_infer(server, request, &response);
    CHECK(status && inferlay_status_code(status) == INFERLAY_CODE_UNAVAILABLE && asked == round);
    CHECK(strcmp(inferlay_status_message(status), "model 'lost' version 1: an instance is lost: the device is gone") == 0);
    inferlay_status_free(status);
    CHECK(!inferlay_model_is_ready(server, "lost", 0) && !inferlay_server_is_ready(server));
    FAILS(INFERLAY_CODE_UNAVAILABLE, inferlay_infer(server, request, &response));
    CHECK(asked == round);
    inferlay_request_free(request);
    OK(inferlay_model_remove(server, "lost", SECONDS(120)));
  }
  inferlay_server_free(server);
}

static void count(void *user_data) { ++*(int *)user_data; }

static inferlay_status *nothing(void *user_data, inferlay_batch *batch) {
  (void)user_data;
  (void)batch;
  return NULL;
}

static void a_model_is_told_once_that_it_is_gone(void) {
  inferlay_server *server = doubling_server();
  int gone = 0;
  inferlay_model_table table = {sizeof table, nothing, count};
  static const char config[] = "{name: short, output: {name: y, data_type: FP32, dims: 1}}";
  OK(inferlay_server_register_model(server, config, &table, &gone));
  FAILS(INFERLAY_CODE_ALREADY_EXISTS, inferlay_server_register_model(server, config, &table, &gone));
  FAILS(INFERLAY_CODE_INVALID_ARG, inferlay_server_register_model(server, "{input: {name: x}}", &table, &gone));
  FAILS(INFERLAY_CODE_INVALID_ARG, inferlay_server_register_model(server, "{name: a, inputs: 1}", &table, &gone));
  FAILS(INFERLAY_CODE_INVALID_ARG, inferlay_server_register_model(server, config, NULL, &gone));
  inferlay_model_table bad = {sizeof bad, NULL, count};
  FAILS(INFERLAY_CODE_INVALID_ARG, inferlay_server_register_model(server, config, &bad, &gone));
  bad.struct_size = 0;
  FAILS(INFERLAY_CODE_INVALID_ARG, inferlay_server_register_model(server, config, &bad, &gone));
  CHECK(gone == 0 && inferlay_model_is_ready(server, "short", 0));
  OK(inferlay_model_remove(server, "short", SECONDS(120)));
  CHECK(gone == 1 && !inferlay_model_is_ready(server, "short", 0));
  FAILS(INFERLAY_CODE_NOT_FOUND, inferlay_model_remove(server, "short", SECONDS(10)));
  OK(inferlay_server_register_model(server, config, &table, &gone));
  inferlay_server_free(server);
  CHECK(gone == 2);
}

enum { CALLERS = 8 };

static struct batched {
  struct gate gate;
  inferlay_server *server;
  pthread_mutex_t lock;
  size_t largest;
} batched;

static inferlay_status *largest_batch(void *user_data, inferlay_batch *batch) {
  struct batched *own = user_data;
  pthread_mutex_lock(&own->lock);
  if (inferlay_batch_len(batch) > own->largest) own->largest = inferlay_batch_len(batch);
  pthread_mutex_unlock(&own->lock);
  gate_pass(&own->gate);
  return double_rows(NULL, batch);
}

static void *call(void *argument) {
  const float row[2] = {*(const float *)argument, 1};
  inferlay_request *request = double_request(batched.server, row);
  inferlay_response *response = NULL;
  OK(inferlay_infer(batched.server, request, &response));
  check_doubled(response, row);
  inferlay_response_free(response);
  inferlay_request_free(request);
  return NULL;
}

static void requests_that_wait_together_run_together(void) {
  gate_init(&batched.gate);
  pthread_mutex_init(&batched.lock, NULL);
  batched.server = server_with(DOUBLE_CONFIG, largest_batch, &batched);
  pthread_t callers[CALLERS];
  float values[CALLERS];
  for (int i = 0; i < CALLERS; i++) {
    values[i] = (float)i;
    CHECK(pthread_create(&callers[i], NULL, call, &values[i]) == 0);
    if (i == 0) gate_await(&batched.gate);
  }
  // All but the first wait by the time that the statistics say so, or have their places and are about to.
  for (size_t waiting = 0; waiting < CALLERS - 1;) {
    char *text = NULL;
    OK(inferlay_server_metrics(batched.server, &text));
    const char *line = strstr(text, "nv_inference_pending_request_count{");
    waiting = (size_t)strtoul(strchr(line, '}') + 1, NULL, 10);
    inferlay_text_free(text);
  }
  gate_open(&batched.gate, 1);
  for (int i = 0; i < CALLERS; i++) pthread_join(callers[i], NULL);
  CHECK(batched.largest > 1 && batched.largest < CALLERS);
  inferlay_server_free(batched.server);
}

int main(void) {
  the_model_sees_what_the_request_says();
  failures_reach_the_caller_with_code_and_message();
  a_function_that_says_it_is_lost_is_asked_no_more_until_it_is_registered_anew();
  a_model_is_told_once_that_it_is_gone();
  requests_that_wait_together_run_together();
  return 0;
}
