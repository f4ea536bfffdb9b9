// Models whose batches are pulled: by a thread that waits, by a loop that polls, and by nobody.
#include "check.h"
#include <poll.h>
#include <pthread.h>

static const char PULLED_CONFIG[] =
    "{name: double, max_batch_size: 8, input: {name: x, data_type: FP32, dims: 2},"
    " output: {name: y, data_type: FP32, dims: 2}, dynamic_batching: {}}";

enum { REQUESTS = 6 };

static inferlay_batch_queue *pulled_by(inferlay_server **server) {
  OK(inferlay_server_new(INFERLAY_API_VERSION, NULL, server));
  inferlay_batch_queue *queue = NULL;
  OK(inferlay_batch_queue_new(*server, PULLED_CONFIG, &queue));
  return queue;
}

static inferlay_batch *next(inferlay_batch_queue *queue) {
  inferlay_batch *batch = NULL;
  OK(inferlay_batch_queue_next(queue, UINT64_MAX, &batch));
  CHECK(batch != NULL);
  return batch;
}

static void answer(inferlay_batch *batch) {
  OK(double_rows(NULL, batch));
  OK(inferlay_batch_answer(batch, NULL));
  inferlay_batch_free(batch);
}

static int is_readable(int fd) {
  struct pollfd poller = {fd, POLLIN, 0};
  return poll(&poller, 1, 0) == 1;
}

// Requests in flight, told of by a completion queue.
struct flight {
  inferlay_server *server;
  inferlay_queue *done;
  inferlay_request *requests[REQUESTS];
  float rows[REQUESTS][2];
};

static void send(struct flight *flight, int index) {
  flight->rows[index][0] = (float)index;
  flight->rows[index][1] = 1;
  flight->requests[index] = double_request(flight->server, flight->rows[index]);
  OK(inferlay_infer_queue(flight->server, flight->requests[index], flight->done, flight->rows[index]));
}

// Waits for the answers and the releases of so many requests; the code of all, 99 for success.
static inferlay_code land(struct flight *flight, int count) {
  inferlay_code code = 99;
  for (int responses = 0, releases = 0; responses < count || releases < count;) {
    inferlay_event event;
    memset(&event, 0, sizeof event);
    event.struct_size = sizeof event;
    OK(inferlay_queue_next(flight->done, UINT64_MAX, &event));
    if (event.kind == INFERLAY_EVENT_RELEASE) {
      releases++;
      continue;
    }
    responses++;
    if (event.response) check_doubled(event.response, event.user_data);
    if (event.status) code = inferlay_status_code(event.status);
    inferlay_response_free(event.response);
    inferlay_status_free(event.status);
  }
  return code;
}

static void release(struct flight *flight, int count) {
  for (int i = 0; i < count; i++) inferlay_request_free(flight->requests[i]);
  inferlay_queue_free(flight->done);
}

static void what_waits_is_one_batch_and_the_descriptor_tells_of_it(void) {
  struct flight flight;
  inferlay_batch_queue *queue = pulled_by(&flight.server);
  OK(inferlay_queue_new(&flight.done));
  const int fd = inferlay_batch_queue_fd(queue);
  inferlay_batch *batch = NULL;
  CHECK(fd >= 0 && inferlay_batch_queue_fd(queue) == fd && !is_readable(fd));
  FAILS(INFERLAY_CODE_TIMEOUT, inferlay_batch_queue_next(queue, 0, &batch));
  FAILS(INFERLAY_CODE_TIMEOUT, inferlay_batch_queue_next(queue, 1000, &batch));
  send(&flight, 0);
  struct pollfd poller = {fd, POLLIN, 0};
  CHECK(poll(&poller, 1, -1) == 1);
  OK(inferlay_batch_queue_next(queue, 0, &batch));
  CHECK(!is_readable(fd) && inferlay_batch_len(batch) == 1 && inferlay_batch_rows(batch) == 1);
  for (int i = 1; i < REQUESTS; i++) send(&flight, i);
  FAILS(INFERLAY_CODE_TIMEOUT, inferlay_batch_queue_next(queue, 0, &(inferlay_batch *){NULL}));
  answer(batch);
  CHECK(land(&flight, 1) == 99);

  batch = next(queue);
  CHECK(inferlay_batch_len(batch) == REQUESTS - 1 && inferlay_batch_output_wanted(batch, "y"));
  inferlay_asked asked;
  memset(&asked, 0, sizeof asked);
  asked.struct_size = sizeof asked;
  OK(inferlay_batch_request(batch, REQUESTS - 2, &asked));
  CHECK(asked.rows == 1 && !asked.cancelled);
  inferlay_view x = no_view();
  OK(inferlay_batch_input(batch, "x", &x));
  OK(double_rows(NULL, batch));
  OK(inferlay_batch_answer(batch, NULL));
  CHECK(land(&flight, REQUESTS - 1) == 99);
  // What was looked at stays; all else is over.
  for (int i = 1; i < REQUESTS; i++) CHECK(((const float *)x.data)[2 * (i - 1)] == (float)i);
  inferlay_view again = no_view();
  CHECK(inferlay_batch_len(batch) == 0 && !inferlay_batch_output_wanted(batch, "y"));
  FAILS(INFERLAY_CODE_FAILED_PRECONDITION, inferlay_batch_input(batch, "x", &again));
  FAILS(INFERLAY_CODE_FAILED_PRECONDITION, inferlay_batch_answer(batch, NULL));
  FAILS(INFERLAY_CODE_FAILED_PRECONDITION,
        inferlay_batch_answer(batch, inferlay_status_new(INFERLAY_CODE_INTERNAL, "too late")));
  inferlay_batch_free(batch);

  inferlay_server_free(flight.server);
  CHECK(is_readable(fd));
  OK(inferlay_batch_queue_next(queue, UINT64_MAX, &batch));
  CHECK(batch == NULL);
  inferlay_batch_queue_free(queue);
  release(&flight, REQUESTS);
}

static void *pull(void *argument) {
  inferlay_batch_queue *queue = argument;
  inferlay_batch *batch = NULL;
  for (;;) {
    OK(inferlay_batch_queue_next(queue, UINT64_MAX, &batch));
    if (batch == NULL) return NULL;
    answer(batch);
  }
}

static void threads_pull_until_the_model_is_removed(void) {
  inferlay_server *server = NULL;
  inferlay_batch_queue *queue = pulled_by(&server);
  FAILS(INFERLAY_CODE_ALREADY_EXISTS, inferlay_batch_queue_new(server, PULLED_CONFIG, &queue));
  pthread_t pullers[2];
  for (int i = 0; i < 2; i++) CHECK(pthread_create(&pullers[i], NULL, pull, queue) == 0);
  for (int i = 0; i < 100; i++) {
    const float row[2] = {(float)i, 1};
    ask_doubled(server, row);
  }
  OK(inferlay_model_remove(server, "double", SECONDS(120)));
  for (int i = 0; i < 2; i++) CHECK(pthread_join(pullers[i], NULL) == 0);
  inferlay_batch_queue_free(queue);
  // The name is free again.
  OK(inferlay_batch_queue_new(server, PULLED_CONFIG, &queue));
  inferlay_batch_queue_free(queue);
  inferlay_server_free(server);
}

static void failures_reach_every_request_of_the_batch(void) {
  static const inferlay_code expected[] = {INFERLAY_CODE_UNAVAILABLE, INFERLAY_CODE_INTERNAL, INFERLAY_CODE_INTERNAL,
                                           INFERLAY_CODE_NOT_FOUND};
  for (int how = 0; how < 4; how++) {
    struct flight flight;
    inferlay_batch_queue *queue = pulled_by(&flight.server);
    OK(inferlay_queue_new(&flight.done));
    send(&flight, 0);
    inferlay_batch *batch = next(queue);
    send(&flight, 1);
    send(&flight, 2);
    answer(batch);
    CHECK(land(&flight, 1) == 99);
    batch = next(queue);
    CHECK(inferlay_batch_len(batch) == 2);
    if (how == 0) OK(inferlay_batch_answer(batch, inferlay_status_new(INFERLAY_CODE_UNAVAILABLE, "out of order")));
    if (how == 1) FAILS(INFERLAY_CODE_INTERNAL, inferlay_batch_answer(batch, NULL));
    if (how == 3) {
      for (size_t i = 0; i < 2; i++)
        OK(inferlay_batch_fail(batch, i, inferlay_status_new(INFERLAY_CODE_NOT_FOUND, "not for you")));
      OK(inferlay_batch_answer(batch, NULL));
    }
    // Of how == 2 this is the only answer.
    inferlay_batch_free(batch);
    CHECK(land(&flight, 2) == expected[how]);
    inferlay_batch_queue_free(queue);
    inferlay_server_free(flight.server);
    release(&flight, 3);
  }
}

static void a_stop_answers_what_nobody_pulls_or_answers(void) {
  struct flight flight;
  inferlay_batch_queue *queue = pulled_by(&flight.server);
  OK(inferlay_queue_new(&flight.done));
  send(&flight, 0);
  inferlay_batch *held = next(queue);
  inferlay_view x = no_view();
  OK(inferlay_batch_input(held, "x", &x));
  send(&flight, 1);
  FAILS(INFERLAY_CODE_TIMEOUT, inferlay_server_stop(flight.server, inferlay_clock_now()));
  for (int i = 0; i < 2; i++) {
    inferlay_event event;
    memset(&event, 0, sizeof event);
    event.struct_size = sizeof event;
    do OK(inferlay_queue_next(flight.done, UINT64_MAX, &event));
    while (event.kind == INFERLAY_EVENT_RELEASE);
    CHECK(event.response == NULL && inferlay_status_code(event.status) == INFERLAY_CODE_UNAVAILABLE);
    inferlay_status_free(event.status);
  }
  inferlay_batch *batch = held;
  OK(inferlay_batch_queue_next(queue, UINT64_MAX, &batch));
  CHECK(batch == NULL);
  inferlay_server_free(flight.server);
  inferlay_batch_queue_free(queue);
  // Late, but good: the memory is still there.
  CHECK(((const float *)x.data)[1] == 1);
  answer(held);
  release(&flight, 2);
}

static void what_is_not_a_queue_is_refused(void) {
  inferlay_server *server = NULL;
  inferlay_batch_queue *queue = pulled_by(&server);
  inferlay_batch *batch = NULL;
  FAILS(INFERLAY_CODE_INVALID_ARG, inferlay_batch_queue_next(NULL, 0, &batch));
  FAILS(INFERLAY_CODE_INVALID_ARG, inferlay_batch_queue_next(queue, 0, NULL));
  FAILS(INFERLAY_CODE_INVALID_ARG, inferlay_batch_queue_new(server, PULLED_CONFIG, NULL));
  FAILS(INFERLAY_CODE_INVALID_ARG, inferlay_batch_queue_new(server, "{input: {name: x}}", &queue));
  FAILS(INFERLAY_CODE_INVALID_ARG, inferlay_batch_queue_new(NULL, PULLED_CONFIG, &queue));
  FAILS(INFERLAY_CODE_INVALID_ARG, inferlay_batch_answer(NULL, NULL));
  CHECK(inferlay_batch_queue_fd(NULL) == -1);
  inferlay_batch_free(NULL);
  inferlay_batch_queue_free(NULL);
  inferlay_batch_queue_free(queue);
  inferlay_server_free(server);
}

// A batch that a function was given is answered by its return.
static inferlay_status *answers_itself(void *user_data, inferlay_batch *batch) {
  (void)user_data;
  FAILS(INFERLAY_CODE_FAILED_PRECONDITION, inferlay_batch_answer(batch, NULL));
  inferlay_batch_free(batch);
  return double_rows(NULL, batch);
}

static void a_batch_of_execute_is_not_answered_or_freed(void) {
  inferlay_server *server = server_with(DOUBLE_CONFIG, answers_itself, NULL);
  const float row[2] = {1, 2};
  ask_doubled(server, row);
  inferlay_server_free(server);
}

int main(void) {
  what_waits_is_one_batch_and_the_descriptor_tells_of_it();
  threads_pull_until_the_model_is_removed();
  failures_reach_every_request_of_the_batch();
  a_stop_answers_what_nobody_pulls_or_answers();
  what_is_not_a_queue_is_refused();
  a_batch_of_execute_is_not_answered_or_freed();
  return 0;
}
