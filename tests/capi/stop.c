// Stopping while requests are on their way: drained, answered, or abandoned with a backend that does not return.
#include "check.h"
#include "gate.h"

struct told {
  pthread_mutex_t lock;
  int responses, releases;
  inferlay_code code;
};

static void on_response(void *user_data, inferlay_response *response, inferlay_response_flags flags,
                        inferlay_status *status) {
  (void)flags;
  struct told *told = user_data;
  pthread_mutex_lock(&told->lock);
  told->responses++;
  told->code = inferlay_status_code(status);
  pthread_mutex_unlock(&told->lock);
  inferlay_response_free(response);
  inferlay_status_free(status);
}

static void on_release(void *user_data, inferlay_request *request) {
  struct told *told = user_data;
  (void)request;
  pthread_mutex_lock(&told->lock);
  told->releases++;
  pthread_mutex_unlock(&told->lock);
}

static void what_is_on_its_way_is_drained(void) {
  inferlay_server *server = doubling_server();
  enum { REQUESTS = 64 };
  struct told told = {PTHREAD_MUTEX_INITIALIZER, 0, 0, 0};
  const float row[2] = {1, 2};
  inferlay_request *requests[REQUESTS];
  for (int i = 0; i < REQUESTS; i++) {
    requests[i] = double_request(server, row);
    OK(inferlay_infer_async(server, requests[i], on_response, on_release, &told));
  }
  OK(inferlay_server_stop(server, SECONDS(120)));
  // After that nothing is called any more: all of it has been.
  CHECK(told.responses == REQUESTS && told.releases == REQUESTS);
  for (int i = 0; i < REQUESTS; i++) inferlay_request_free(requests[i]);
  inferlay_server_free(server);
}

static void what_waits_too_long_is_answered_and_a_stuck_backend_is_left(void) {
  struct gate gate;
  gate_init(&gate);
  inferlay_server *server = server_with(GATED_CONFIG, gated_double, &gate);
  struct told stuck = {PTHREAD_MUTEX_INITIALIZER, 0, 0, 0}, waiting = stuck;
  const float row[2] = {1, 2};
  float into[2];
  inferlay_request *first = double_request(server, row), *second = double_request(server, row);
  OK(inferlay_request_set_output(first, "y", into, sizeof into, NULL));
  OK(inferlay_infer_async(server, first, on_response, on_release, &stuck));
  gate_await(&gate);
  OK(inferlay_infer_async(server, second, on_response, on_release, &waiting));
  inferlay_status *status = inferlay_server_stop(server, inferlay_clock_now() + 1000000);
  CHECK(inferlay_status_code(status) == INFERLAY_CODE_TIMEOUT);
  CHECK(strstr(inferlay_status_message(status), "double"));
  inferlay_status_free(status);
  CHECK(waiting.responses == 1 && waiting.releases == 1 && waiting.code == INFERLAY_CODE_UNAVAILABLE);
  // The backend may still write to memory of the first: it is neither answered nor released.
  CHECK(stuck.responses == 0 && stuck.releases == 0);
  FAILS(INFERLAY_CODE_FAILED_PRECONDITION, inferlay_request_set_id(first, "x"));
  inferlay_server_free(server);
  // What comes late goes nowhere, and the request is nobody's any more then.
  inferlay_request_free(second);
  gate_open(&gate, 1);
  for (;;) {
    inferlay_status *busy = inferlay_request_set_id(first, "x");
    if (!busy) break;
    inferlay_status_free(busy);
  }
  CHECK(stuck.responses == 0 && stuck.releases == 0);
  inferlay_request_free(first);
}

static void a_removed_model_tells_as_long_as_its_server_lives(void) {
  for (int stops = 0; stops < 2; stops++) {
    struct gate gate;
    gate_init(&gate);
    inferlay_server *server = server_with(GATED_CONFIG, gated_double, &gate);
    struct told told = {PTHREAD_MUTEX_INITIALIZER, 0, 0, 0};
    const float row[2] = {1, 2};
    float into[2];
    inferlay_request *request = double_request(server, row);
    OK(inferlay_request_set_output(request, "y", into, sizeof into, NULL));
    OK(inferlay_infer_async(server, request, on_response, on_release, &told));
    gate_await(&gate);
    FAILS(INFERLAY_CODE_TIMEOUT, inferlay_model_remove(server, "double", 0));
    if (stops) OK(inferlay_server_stop(server, 0));
    gate_open(&gate, 1);
    for (;;) {
      inferlay_status *busy = inferlay_request_set_id(request, "x");
      if (!busy) break;
      inferlay_status_free(busy);
    }
    inferlay_server_free(server);
    CHECK(told.responses == !stops && told.releases == !stops);
    inferlay_request_free(request);
  }
}

int main(void) {
  a_removed_model_tells_as_long_as_its_server_lives();
  what_is_on_its_way_is_drained();
  what_waits_too_long_is_answered_and_a_stuck_backend_is_left();
  return 0;
}
