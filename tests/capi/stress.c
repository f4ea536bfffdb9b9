// Many threads, all ways to ask, cancels and deadlines in between, and a stop in the middle of it: each request is
// answered once and released once, unless it was refused.
#include "check.h"
#include <pthread.h>
#include <stdatomic.h>

enum { THREADS = 4, REQUESTS = 8, ROUNDS = 150 };

struct flight {
  inferlay_request *request;
  atomic_int sent, answered, released;
  // The same by callbacks alone: threads that take from a queue may count a release before its response.
  atomic_int responses, releases;
  float row[2];
};

static inferlay_server *server;
static inferlay_queue *queue;
static struct flight flights[THREADS][REQUESTS];

static int is_expected(inferlay_code code) {
  return code == INFERLAY_CODE_CANCELLED || code == INFERLAY_CODE_TIMEOUT || code == INFERLAY_CODE_UNAVAILABLE ||
         code == INFERLAY_CODE_RESOURCE_EXHAUSTED;
}

static void look(struct flight *flight, inferlay_response *response, inferlay_status *status) {
  if (response) check_doubled(response, flight->row);
  CHECK(response || is_expected(inferlay_status_code(status)));
  inferlay_response_free(response);
  inferlay_status_free(status);
}

static void on_response(void *user_data, inferlay_response *response, inferlay_response_flags flags,
                        inferlay_status *status) {
  struct flight *flight = user_data;
  CHECK(flags == INFERLAY_RESPONSE_FINAL);
  look(flight, response, status);
  // Once it is released it may be sent again, which can be answered before this hears of the release.
  const int responses = atomic_fetch_add(&flight->responses, 1) + 1;
  CHECK(responses >= atomic_load(&flight->releases) + 1);
  atomic_fetch_add(&flight->answered, 1);
}

static void on_release(void *user_data, inferlay_request *request) {
  struct flight *flight = user_data;
  CHECK(request == flight->request);
  CHECK(atomic_fetch_add(&flight->releases, 1) + 1 <= atomic_load(&flight->responses));
  atomic_fetch_add(&flight->released, 1);
}

// One turn with one request: whatever it is in the middle of, nothing may break.
static void turn(struct flight *flight, unsigned dice) {
  inferlay_status *status = NULL;
  if (dice % 7 == 0) OK(inferlay_request_cancel(flight->request));
  if (dice % 5 == 0) {
    inferlay_status_free(inferlay_request_rearm(flight->request));
    inferlay_status_free(inferlay_request_set_timeout(flight->request, dice % 3 ? 0 : 20000));
  }
  atomic_fetch_add(&flight->sent, 1);
  if (dice % 4 == 0) {
    inferlay_response *response = NULL;
    status = inferlay_infer(server, flight->request, &response);
    if (response) look(flight, response, NULL);
    atomic_fetch_sub(&flight->sent, 1);
  } else if (dice % 4 == 1) {
    status = inferlay_infer_queue(server, flight->request, queue, flight);
    if (status) atomic_fetch_sub(&flight->sent, 1);
  } else {
    status = inferlay_infer_async(server, flight->request, on_response, on_release, flight);
    if (status) atomic_fetch_sub(&flight->sent, 1);
  }
  if (status) {
    const inferlay_code code = inferlay_status_code(status);
    // In flight already, or refused.
    CHECK(code == INFERLAY_CODE_FAILED_PRECONDITION || is_expected(code));
    inferlay_status_free(status);
  }
}

static void take(uint64_t timeout_ns) {
  for (;;) {
    inferlay_event event;
    memset(&event, 0, sizeof event);
    event.struct_size = sizeof event;
    inferlay_status *status = inferlay_queue_next(queue, timeout_ns, &event);
    if (status) {
      CHECK(inferlay_status_code(status) == INFERLAY_CODE_TIMEOUT);
      inferlay_status_free(status);
      return;
    }
    struct flight *flight = event.user_data;
    if (event.kind == INFERLAY_EVENT_RESPONSE) {
      look(flight, event.response, event.status);
      atomic_fetch_add(&flight->answered, 1);
    } else {
      CHECK(event.kind == INFERLAY_EVENT_RELEASE);
      atomic_fetch_add(&flight->released, 1);
    }
  }
}

static void *work(void *argument) {
  struct flight *own = argument;
  unsigned dice = (unsigned)(own - flights[0]) + 1;
  for (int i = 0; i < ROUNDS * REQUESTS; i++) {
    dice = dice * 1103515245u + 12345u;
    turn(&own[(dice >> 20) % REQUESTS], dice >> 16);
    if (i % 16 == 0) take(0);
  }
  return NULL;
}

// Cancels the requests of others.
static void *cancel(void *argument) {
  (void)argument;
  for (int i = 0; i < ROUNDS; i++)
    for (int thread = 0; thread < THREADS; thread++)
      OK(inferlay_request_cancel(flights[thread][i % REQUESTS].request));
  return NULL;
}

static void run(int stops_early) {
  server = doubling_server();
  OK(inferlay_queue_new(&queue));
  for (int thread = 0; thread < THREADS; thread++)
    for (int i = 0; i < REQUESTS; i++) {
      struct flight *flight = &flights[thread][i];
      memset(flight, 0, sizeof *flight);
      flight->row[0] = (float)thread, flight->row[1] = (float)i;
      flight->request = double_request(server, flight->row);
    }
  pthread_t threads[THREADS + 1];
  for (int i = 0; i < THREADS; i++) CHECK(pthread_create(&threads[i], NULL, work, flights[i]) == 0);
  CHECK(pthread_create(&threads[THREADS], NULL, cancel, NULL) == 0);
  if (stops_early) OK(inferlay_server_stop(server, SECONDS(120)));
  for (int i = 0; i <= THREADS; i++) pthread_join(threads[i], NULL);
  OK(inferlay_server_stop(server, SECONDS(120)));
  take(0);
  for (int thread = 0; thread < THREADS; thread++)
    for (int i = 0; i < REQUESTS; i++) {
      struct flight *flight = &flights[thread][i];
      CHECK(flight->sent == flight->answered && flight->sent == flight->released);
      inferlay_request_free(flight->request);
    }
  inferlay_queue_free(queue);
  inferlay_server_free(server);
}

int main(void) {
  run(0);
  run(1);
  return 0;
}
