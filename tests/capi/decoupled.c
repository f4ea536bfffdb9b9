// A model that sends several responses per request: the example backend in C, asked for its progress.
#include "../../examples/backend_c/moving_average.c"

#include "check.h"
#include <poll.h>
#include <sched.h>

enum { LEN = 4, WINDOW = 5, RESPONSES = 4 };

static const float signal_values[LEN] = {1, 3, 5, 7};

static inferlay_server *decoupled_server(const char *policy) {
  char config[256];
  int len = snprintf(config, sizeof config,
                     "{backend: moving_average, max_batch_size: 8, instance_group: {count: 4},"
                     " model_transaction_policy: {%s}}", policy);
  inferlay_file file = {sizeof file, "config.yaml", config, (size_t)len};
  const inferlay_file *files[1] = {&file};
  inferlay_options *options = inferlay_options_new();
  OK(inferlay_options_add_model_in_memory(options, "smooth", files, 1));
  OK(inferlay_options_set_strict(options, true));
  OK(inferlay_options_add_backend(options, inferlay_backend_moving_average));
  inferlay_server *server = NULL;
  OK(inferlay_server_new(INFERLAY_API_VERSION, options, &server));
  inferlay_options_free(options);
  return server;
}

// Windows of 1, 2, 4 and at last 5, if there is to be progress; else the last alone.
static inferlay_request *smooth_request(const inferlay_server *server, bool progress) {
  inferlay_request *request = NULL;
  OK(inferlay_request_new(server, "smooth", 0, &request));
  static const int64_t shape[2] = {1, LEN};
  inferlay_view view = view_of(INFERLAY_TYPE_FP32, shape, 2, signal_values, sizeof signal_values);
  OK(inferlay_request_set_input(request, "signal", &view));
  OK(inferlay_request_set_parameter_int(request, "window", WINDOW));
  OK(inferlay_request_set_parameter_bool(request, "progress", progress));
  return request;
}

static void check_smoothed(const inferlay_response *response, int64_t window) {
  inferlay_view found = no_view();
  OK(inferlay_response_output(response, "average", &found));
  CHECK(found.byte_size == sizeof signal_values);
  for (int64_t i = 0; i < LEN; i++) {
    int64_t start = i < window ? 0 : i - window + 1;
    float sum = 0;
    for (int64_t k = start; k <= i; k++) sum += signal_values[k];
    CHECK(((const float *)found.data)[i] == sum / (float)(i - start + 1));
  }
}

static int64_t window_of_response(int number) { return number == RESPONSES - 1 ? WINDOW : (int64_t)1 << number; }

struct told {
  pthread_mutex_t lock;
  pthread_cond_t bell;
  int responses, finals, releases, is_inside, cancels;
  inferlay_code code;
  inferlay_request *request;
  inferlay_response *kept[RESPONSES];
};

static void on_response(void *user_data, inferlay_response *response, inferlay_response_flags flags,
                        inferlay_status *status) {
  struct told *told = user_data;
  pthread_mutex_lock(&told->lock);
  CHECK(!told->is_inside && told->finals == 0 && told->releases == 0 && told->responses < RESPONSES);
  told->is_inside = 1;
  pthread_mutex_unlock(&told->lock);
  // A status is final, and so is an end without a response.
  CHECK((flags == 0 && response && !status) || (flags == INFERLAY_RESPONSE_FINAL && !(response && status)));
  if (told->cancels) OK(inferlay_request_cancel(told->request));
  pthread_mutex_lock(&told->lock);
  told->is_inside = 0;
  told->finals += flags == INFERLAY_RESPONSE_FINAL;
  if (status) told->code = inferlay_status_code(status);
  if (response) told->kept[told->responses++] = response;
  pthread_cond_signal(&told->bell);
  pthread_mutex_unlock(&told->lock);
  inferlay_status_free(status);
}

static void on_release(void *user_data, inferlay_request *request) {
  struct told *told = user_data;
  pthread_mutex_lock(&told->lock);
  CHECK(told->finals == 1 && told->releases == 0 && request == told->request);
  told->releases = 1;
  pthread_cond_signal(&told->bell);
  pthread_mutex_unlock(&told->lock);
}

static void send_and_await(const inferlay_server *server, struct told *told) {
  OK(inferlay_infer_async(server, told->request, on_response, on_release, told));
  pthread_mutex_lock(&told->lock);
  while (!told->releases) pthread_cond_wait(&told->bell, &told->lock);
  pthread_mutex_unlock(&told->lock);
}

static void begin(struct told *told, inferlay_request *request) {
  memset(told, 0, sizeof *told);
  pthread_mutex_init(&told->lock, NULL);
  pthread_cond_init(&told->bell, NULL);
  told->request = request;
}

static void end(struct told *told) {
  for (int i = 0; i < told->responses; i++) inferlay_response_free(told->kept[i]);
  inferlay_request_free(told->request);
}

static void functions_are_told_of_each_response_in_order(void) {
  inferlay_server *server = decoupled_server("decoupled: true");
  struct told told;
  begin(&told, smooth_request(server, true));
  send_and_await(server, &told);
  CHECK(told.responses == RESPONSES && told.code == 0);
  // The request is free, and its responses live on.
  OK(inferlay_request_set_parameter_bool(told.request, "progress", false));
  inferlay_server_free(server);
  for (int i = 0; i < RESPONSES; i++) check_smoothed(told.kept[i], window_of_response(i));
  end(&told);
}

static void a_cancel_in_the_middle_brings_one_end(void) {
  inferlay_server *server = decoupled_server("decoupled: true");
  for (int turn = 0; turn < 20; turn++) {
    struct told told;
    begin(&told, smooth_request(server, true));
    told.cancels = 1;
    send_and_await(server, &told);
    CHECK(told.code == INFERLAY_CODE_CANCELLED || told.responses == RESPONSES);
    end(&told);
  }
  OK(inferlay_server_stop(server, SECONDS(60)));
  inferlay_server_free(server);
}

static inferlay_event next(inferlay_queue *queue) {
  struct pollfd readable = {inferlay_queue_fd(queue), POLLIN, 0};
  CHECK(poll(&readable, 1, 60000) == 1);
  inferlay_event event;
  memset(&event, 0, sizeof event);
  event.struct_size = sizeof event;
  OK(inferlay_queue_next(queue, 0, &event));
  return event;
}

// Takes events until the release; each response must be of the window that is expected.
static void take_all(inferlay_queue *queue, const int64_t *windows, int count) {
  for (int i = 0; i < count; i++) {
    inferlay_event event = next(queue);
    CHECK(event.kind == INFERLAY_EVENT_RESPONSE && event.response && !event.status);
    CHECK(event.flags == (i == count - 1 ? INFERLAY_RESPONSE_FINAL : 0u));
    check_smoothed(event.response, windows[i]);
    inferlay_response_free(event.response);
  }
  CHECK(next(queue).kind == INFERLAY_EVENT_RELEASE);
}

static void a_queue_has_an_event_for_each_response_and_counts_what_is_not_taken(void) {
  inferlay_queue *queue = NULL;
  OK(inferlay_queue_new(&queue));
  inferlay_server *server = decoupled_server("decoupled: true");
  inferlay_request *request = smooth_request(server, true);
  OK(inferlay_infer_queue(server, request, queue, NULL));
  static const int64_t all[RESPONSES] = {1, 2, 4, WINDOW};
  take_all(queue, all, RESPONSES);
  inferlay_request_free(request);
  inferlay_server_free(server);
  // With a credit of one, what is early is left out until the first response is taken.
  server = decoupled_server("decoupled: true, response_credit_max: 1");
  request = smooth_request(server, true);
  OK(inferlay_infer_queue(server, request, queue, NULL));
  for (bool is_answered = false; !is_answered; sched_yield()) {
    char *statistics = NULL;
    OK(inferlay_model_statistics(server, "smooth", 1, &statistics));
    is_answered = strstr(statistics, "\"success\":{\"count\":1") != NULL;
    inferlay_text_free(statistics);
  }
  static const int64_t two[2] = {1, WINDOW};
  take_all(queue, two, 2);
  // A queue may go with what is in it.
  OK(inferlay_infer_queue(server, request, queue, NULL));
  inferlay_queue_free(queue);
  inferlay_request_free(request);
  inferlay_server_free(server);
}

static void who_waits_gets_the_one_response_or_an_error(void) {
  inferlay_server *server = decoupled_server("decoupled: true");
  inferlay_request *one = smooth_request(server, false), *several = smooth_request(server, true);
  inferlay_response *response = NULL;
  FAILS(INFERLAY_CODE_UNSUPPORTED, inferlay_infer(server, several, &response));
  CHECK(response == NULL);
  OK(inferlay_infer(server, one, &response));
  check_smoothed(response, WINDOW);
  inferlay_response_free(response);
  // Memory for outputs is for a single response.
  float memory[LEN];
  OK(inferlay_request_set_output(one, "average", memory, sizeof memory, NULL));
  OK(inferlay_infer(server, one, &response));
  inferlay_response_free(response);
  FAILS(INFERLAY_CODE_UNSUPPORTED, inferlay_infer_async(server, one, on_response, on_release, NULL));
  inferlay_request_free(one);
  inferlay_request_free(several);
  inferlay_server_free(server);
}

static void a_model_that_is_not_decoupled_sends_the_last_response_alone(void) {
  inferlay_server *server = decoupled_server("decoupled: false");
  struct told told;
  begin(&told, smooth_request(server, true));
  send_and_await(server, &told);
  CHECK(told.responses == 1);
  check_smoothed(told.kept[0], WINDOW);
  inferlay_server_free(server);
  end(&told);
}

// A model of the program: it counts down, from another thread, and says how it is to end.
struct countdown {
  inferlay_responder *responder;
  int64_t from;
  pthread_t thread;
};

static void *count_down(void *state) {
  struct countdown *own = state;
  for (int64_t step = own->from; step > 0 && !inferlay_responder_cancelled(own->responder); step--) {
    const int64_t shape[1] = {1};
    inferlay_view view = view_of(INFERLAY_TYPE_INT64, shape, 1, &step, sizeof step);
    OK(inferlay_responder_set_output(own->responder, "step", &view));
    FAILS(INFERLAY_CODE_FAILED_PRECONDITION, inferlay_responder_set_output(own->responder, "step", &view));
    FAILS(INFERLAY_CODE_NOT_FOUND, inferlay_responder_set_output(own->responder, "steps", &view));
    CHECK(inferlay_responder_credit(own->responder) > 0);
    OK(inferlay_responder_send(own->responder, 0));
  }
  if (own->from == 3) {
    OK(inferlay_responder_send(own->responder, INFERLAY_RESPONSE_FINAL));
    FAILS(INFERLAY_CODE_FAILED_PRECONDITION, inferlay_responder_send(own->responder, INFERLAY_RESPONSE_FINAL));
  } else if (own->from == 2) {
    OK(inferlay_responder_fail(own->responder, inferlay_status_new(INFERLAY_CODE_UNAVAILABLE, "out of numbers")));
    FAILS(INFERLAY_CODE_FAILED_PRECONDITION, inferlay_responder_fail(own->responder, NULL));
    FAILS(INFERLAY_CODE_FAILED_PRECONDITION, inferlay_responder_send(own->responder, 0));
  }
  // Else it goes without an end, which is an error.
  CHECK(own->from == 1 || inferlay_responder_credit(own->responder) == 0);
  inferlay_responder_free(own->responder);
  return NULL;
}

static inferlay_status *begin_count_down(void *user_data, inferlay_batch *batch) {
  struct countdown *own = user_data;
  inferlay_view from = no_view();
  OK(inferlay_batch_responder(batch, 0, &own->responder));
  FAILS(INFERLAY_CODE_FAILED_PRECONDITION, inferlay_batch_responder(batch, 0, &own->responder));
  FAILS(INFERLAY_CODE_NOT_FOUND, inferlay_batch_responder(batch, 1, &own->responder));
  OK(inferlay_batch_input(batch, "from", &from));
  own->from = *(const int64_t *)from.data;
  CHECK(pthread_create(&own->thread, NULL, count_down, own) == 0);
  return NULL;
}

static void a_function_of_the_program_sends_several_responses(void) {
  struct countdown countdown;
  inferlay_server *server = server_with(
      "{name: count_down, input: {name: from, data_type: INT64, dims: 1}, output: {name: step, data_type: INT64,"
      " dims: 1}, model_transaction_policy: {decoupled: true}}", begin_count_down, &countdown);
  inferlay_queue *queue = NULL;
  OK(inferlay_queue_new(&queue));
  for (int64_t from = 3; from > 0; from--) {
    inferlay_request *request = NULL;
    OK(inferlay_request_new(server, "count_down", 0, &request));
    const int64_t shape[1] = {1};
    inferlay_view view = view_of(INFERLAY_TYPE_INT64, shape, 1, &from, sizeof from);
    OK(inferlay_request_set_input(request, "from", &view));
    OK(inferlay_infer_queue(server, request, queue, NULL));
    for (int64_t step = from; step > 0; step--) {
      inferlay_event event = next(queue);
      CHECK(event.response && event.flags == 0);
      inferlay_view found = no_view();
      OK(inferlay_response_output(event.response, "step", &found));
      CHECK(*(const int64_t *)found.data == step);
      inferlay_response_free(event.response);
    }
    static const inferlay_code codes[4] = {0, INFERLAY_CODE_INTERNAL, INFERLAY_CODE_UNAVAILABLE, 0};
    inferlay_event end = next(queue);
    CHECK(end.flags == INFERLAY_RESPONSE_FINAL && !end.response && (end.status != NULL) == (from != 3));
    if (end.status) CHECK(inferlay_status_code(end.status) == codes[from]);
    inferlay_status_free(end.status);
    CHECK(next(queue).kind == INFERLAY_EVENT_RELEASE);
    pthread_join(countdown.thread, NULL);
    inferlay_request_free(request);
  }
  inferlay_responder_free(NULL);
  CHECK(inferlay_responder_credit(NULL) == 0 && inferlay_responder_cancelled(NULL));
  FAILS(INFERLAY_CODE_INVALID_ARG, inferlay_responder_send(NULL, 0));
  const inferlay_view nothing = no_view();
  FAILS(INFERLAY_CODE_INVALID_ARG, inferlay_responder_set_output(NULL, "step", &nothing));
  FAILS(INFERLAY_CODE_INVALID_ARG, inferlay_responder_fail(NULL, inferlay_status_new(INFERLAY_CODE_INTERNAL, "taken")));
  inferlay_queue_free(queue);
  inferlay_server_free(server);
}

// A model that says nothing but that it is done.
static inferlay_status *does_it(void *user_data, inferlay_batch *batch) {
  (void)user_data;
  inferlay_responder *responder = NULL;
  FAILS(INFERLAY_CODE_INVALID_ARG, inferlay_batch_responder(batch, 0, NULL));
  FAILS(INFERLAY_CODE_INVALID_ARG, inferlay_batch_responder(NULL, 0, &responder));
  OK(inferlay_batch_responder(batch, 0, &responder));
  FAILS(INFERLAY_CODE_INVALID_ARG, inferlay_responder_send(responder, 2 | INFERLAY_RESPONSE_FINAL));
  OK(inferlay_responder_send(responder, INFERLAY_RESPONSE_FINAL));
  inferlay_responder_free(responder);
  return NULL;
}

static void a_model_without_outputs_is_answered_by_a_last_response_without_any(void) {
  inferlay_server *server = server_with("{name: do_it, input: {name: x, data_type: FP32, dims: 2}}", does_it, NULL);
  inferlay_request *request = NULL;
  OK(inferlay_request_new(server, "do_it", 0, &request));
  const int64_t shape[1] = {2};
  inferlay_view x = view_of(INFERLAY_TYPE_FP32, shape, 1, signal_values, 2 * sizeof(float));
  OK(inferlay_request_set_input(request, "x", &x));
  inferlay_response *response = NULL;
  OK(inferlay_infer(server, request, &response));
  CHECK(inferlay_response_outputs_len(response) == 0);
  inferlay_response_free(response);
  inferlay_request_free(request);
  inferlay_server_free(server);
}

int main(void) {
  functions_are_told_of_each_response_in_order();
  a_cancel_in_the_middle_brings_one_end();
  a_queue_has_an_event_for_each_response_and_counts_what_is_not_taken();
  who_waits_gets_the_one_response_or_an_error();
  a_model_that_is_not_decoupled_sends_the_last_response_alone();
  a_function_of_the_program_sends_several_responses();
  a_model_without_outputs_is_answered_by_a_last_response_without_any();
  return 0;
}
