// The call that returns at once, with functions that are told: who is told what, when, and on which thread.
#include "check.h"
#include "gate.h"

struct told {
  pthread_mutex_t lock;
  pthread_cond_t bell;
  int responses, releases;
  pthread_t caller;
  float row[2];
  inferlay_code code;
  const inferlay_server *server;
  inferlay_request *request, *released;
  inferlay_response *kept;
  int again, keeps;
};

enum { SUCCESS = 99 };

static void on_release(void *user_data, inferlay_request *request);

static void on_response(void *user_data, inferlay_response *response, inferlay_response_flags flags,
                        inferlay_status *status) {
  struct told *told = user_data;
  CHECK(!pthread_equal(pthread_self(), told->caller));
  CHECK(flags == INFERLAY_RESPONSE_FINAL && (response == NULL) == (status != NULL));
  if (response) check_doubled(response, told->row);
  // What would wait is refused here, and the request, unless it was freed, is not free yet.
  inferlay_response *none = NULL;
  FAILS(INFERLAY_CODE_FAILED_PRECONDITION, inferlay_server_stop(told->server, SECONDS(1)));
  if (told->request != NULL) {
    FAILS(INFERLAY_CODE_FAILED_PRECONDITION, inferlay_infer(told->server, told->request, &none));
    FAILS(INFERLAY_CODE_FAILED_PRECONDITION, inferlay_request_set_id(told->request, "x"));
  }
  inferlay_server_free((inferlay_server *)told->server);
  CHECK(none == NULL);
  pthread_mutex_lock(&told->lock);
  CHECK(told->releases == 0 && told->responses == 0);
  told->responses++;
  told->code = status ? inferlay_status_code(status) : SUCCESS;
  if (told->keeps) {
    told->kept = response;
    response = NULL;
  }
  pthread_cond_signal(&told->bell);
  pthread_mutex_unlock(&told->lock);
  inferlay_response_free(response);
  inferlay_status_free(status);
}

static void on_release(void *user_data, inferlay_request *request) {
  struct told *told = user_data;
  CHECK(!pthread_equal(pthread_self(), told->caller));
  pthread_mutex_lock(&told->lock);
  CHECK(told->responses == 1);
  told->released = request;
  if (told->again > 0) {
    // The request may be used again right here.
    told->again--;
    told->responses = 0;
    pthread_mutex_unlock(&told->lock);
    told->row[0] += 1;
    OK(inferlay_infer_async(told->server, request, on_response, on_release, told));
    return;
  }
  told->releases++;
  pthread_cond_signal(&told->bell);
  pthread_mutex_unlock(&told->lock);
}

static inferlay_code await(struct told *told) {
  pthread_mutex_lock(&told->lock);
  while (told->releases == 0) pthread_cond_wait(&told->bell, &told->lock);
  CHECK(told->releases == 1 && told->responses == 1);
  told->releases = told->responses = 0;
  inferlay_code code = told->code;
  pthread_mutex_unlock(&told->lock);
  return code;
}

static void begin(struct told *told, const inferlay_server *server) {
  memset(told, 0, sizeof *told);
  pthread_mutex_init(&told->lock, NULL);
  pthread_cond_init(&told->bell, NULL);
  told->caller = pthread_self();
  told->row[0] = 3;
  told->row[1] = 4;
  told->server = server;
  told->request = double_request(server, told->row);
}

static void send(struct told *told) {
  OK(inferlay_infer_async(told->server, told->request, on_response, on_release, told));
}

static void a_response_comes_and_then_the_release(void) {
  inferlay_server *server = doubling_server();
  struct told told;
  begin(&told, server);
  for (int i = 0; i < 200; i++) {
    told.row[1] = (float)i;
    send(&told);
    CHECK(await(&told) == SUCCESS && told.released == told.request);
  }
  told.again = 50;
  send(&told);
  CHECK(await(&told) == SUCCESS && told.row[0] == 53);
  inferlay_request_free(told.request);
  inferlay_server_free(server);
}

static void who_waits_is_cancelled_at_once_and_who_is_late_too(void) {
  struct gate gate;
  gate_init(&gate);
  inferlay_server *server = server_with(GATED_CONFIG, gated_double, &gate);
  struct told runs, waits, late;
  begin(&runs, server);
  begin(&waits, server);
  begin(&late, server);
  send(&runs);
  gate_await(&gate);
  send(&waits);
  OK(inferlay_request_set_timeout(late.request, 1000000));
  send(&late);
  // The queue is full now: a refusal leaves the request as it was, and nobody is told.
  struct told refused;
  begin(&refused, server);
  inferlay_status *status = inferlay_infer_async(server, refused.request, on_response, on_release, &refused);
  if (status) CHECK(inferlay_status_code(status) == INFERLAY_CODE_RESOURCE_EXHAUSTED);
  CHECK(await(&late) == INFERLAY_CODE_TIMEOUT);
  OK(inferlay_request_cancel(waits.request));
  CHECK(await(&waits) == INFERLAY_CODE_CANCELLED);
  // What runs is cancelled early, as its inputs are counted; its release waits for the backend.
  OK(inferlay_request_cancel(runs.request));
  pthread_mutex_lock(&runs.lock);
  while (runs.responses == 0) pthread_cond_wait(&runs.bell, &runs.lock);
  CHECK(runs.releases == 0 && runs.code == INFERLAY_CODE_CANCELLED);
  pthread_mutex_unlock(&runs.lock);
  FAILS(INFERLAY_CODE_FAILED_PRECONDITION, inferlay_request_rearm(runs.request));
  gate_open(&gate, 1);
  CHECK(await(&runs) == INFERLAY_CODE_CANCELLED);
  if (!status) CHECK(await(&refused) == SUCCESS);
  CHECK(refused.responses == 0 && refused.releases == 0);
  inferlay_status_free(status);
  OK(inferlay_request_rearm(runs.request));
  send(&runs);
  CHECK(await(&runs) == SUCCESS);
  inferlay_request_free(runs.request);
  inferlay_request_free(waits.request);
  inferlay_request_free(late.request);
  inferlay_request_free(refused.request);
  inferlay_server_free(server);
}

static void a_refused_request_is_as_before(void) {
  inferlay_server *server = doubling_server();
  struct told told;
  begin(&told, server);
  FAILS(INFERLAY_CODE_INVALID_ARG, inferlay_infer_async(server, told.request, NULL, on_release, &told));
  OK(inferlay_request_add_output(told.request, "nothing", NULL));
  FAILS(INFERLAY_CODE_NOT_FOUND, inferlay_infer_async(server, told.request, on_response, on_release, &told));
  OK(inferlay_request_clear_outputs(told.request));
  const int64_t shape[2] = {1, 2};
  inferlay_view x = view_of(INFERLAY_TYPE_FP32, shape, 2, told.row, 4);
  OK(inferlay_request_set_input(told.request, "x", &x));
  FAILS(INFERLAY_CODE_INVALID_ARG, inferlay_infer_async(server, told.request, on_response, on_release, &told));
  x.byte_size = 8;
  OK(inferlay_request_set_input(told.request, "x", &x));
  OK(inferlay_request_set_deadline(told.request, 1));
  FAILS(INFERLAY_CODE_TIMEOUT, inferlay_infer_async(server, told.request, on_response, on_release, &told));
  OK(inferlay_request_set_deadline(told.request, 0));
  CHECK(told.responses == 0 && told.releases == 0);
  // Cancelled before it is sent: answered so.
  OK(inferlay_request_cancel(told.request));
  send(&told);
  CHECK(await(&told) == INFERLAY_CODE_CANCELLED);
  OK(inferlay_request_rearm(told.request));
  send(&told);
  CHECK(await(&told) == SUCCESS);
  inferlay_request_free(told.request);
  inferlay_server_free(server);
}

static void a_request_may_be_freed_on_its_way(void) {
  struct gate gate;
  gate_init(&gate);
  inferlay_server *server = server_with(GATED_CONFIG, gated_double, &gate);
  struct told told;
  begin(&told, server);
  inferlay_request *own = told.request;
  told.request = NULL;
  OK(inferlay_infer_async(server, own, on_response, on_release, &told));
  gate_await(&gate);
  FAILS(INFERLAY_CODE_FAILED_PRECONDITION,
        inferlay_infer_async(server, own, on_response, on_release, &told));
  gate_open(&gate, 0);
  inferlay_request_free(own);
  gate_open(&gate, 1);
  CHECK(await(&told) == SUCCESS && told.released == NULL);
  inferlay_server_free(server);
}

static void outputs_of_the_caller_are_written_before_the_release(void) {
  inferlay_server *server = doubling_server();
  struct told told;
  begin(&told, server);
  float into[2] = {0, 0};
  OK(inferlay_request_set_output(told.request, "y", into, sizeof into, NULL));
  told.keeps = 1;
  send(&told);
  CHECK(await(&told) == SUCCESS && into[0] == 6 && into[1] == 8);
  inferlay_view y = no_view();
  OK(inferlay_response_output(told.kept, "y", &y));
  CHECK(y.data == into);
  inferlay_response_free(told.kept);
  inferlay_request_free(told.request);
  inferlay_server_free(server);
}

int main(void) {
  a_response_comes_and_then_the_release();
  who_waits_is_cancelled_at_once_and_who_is_late_too();
  a_refused_request_is_as_before();
  a_request_may_be_freed_on_its_way();
  outputs_of_the_caller_are_written_before_the_release();
  return 0;
}
