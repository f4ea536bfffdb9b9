// Many threads on one server through every kind of call at once: waiting, callbacks, a queue that all share, cancelling
// each other's requests, models that come and go, texts. Meant to be run under ThreadSanitizer; checks every answer too.
//
//   stress [rounds per thread]
#include "../capi/check.h"
#include <pthread.h>
#include <stdatomic.h>

enum { THREADS = 8, ROUNDS = 300, IN_FLIGHT = 4 };

// A request and its memory. Between sending and release nobody writes there.
typedef struct {
  inferlay_request *request;
  float row[2];
  float doubled[2];
  atomic_bool is_out;
  // The answer came as it should, or was cancelled.
  atomic_int answers;
} seat;

typedef struct {
  pthread_t thread;
  unsigned index;
  unsigned rounds;
  uint64_t chance;
  seat seats[IN_FLIGHT];
} worker;

static inferlay_server *server;
static inferlay_queue *queue;
static pthread_mutex_t draining = PTHREAD_MUTEX_INITIALIZER;
static worker workers[THREADS];
static atomic_ulong sent, answered, released, cancelled;

// Requests that any thread may cancel at any time: they live as long as all threads.
static inferlay_request *cancellable[THREADS * IN_FLIGHT];

static unsigned chance(worker *own, unsigned end) {
  own->chance = own->chance * 6364136223846793005u + 1442695040888963407u;
  return (unsigned)(own->chance >> 33) % end;
}

// Either the answer, or the failure that a cancel brings.
static void check_answer(seat *own, inferlay_response *response, inferlay_status *status) {
  if (response) {
    inferlay_view y = no_view();
    OK(inferlay_response_output(response, "y", &y));
    CHECK(((const float *)y.data)[0] == 2 * own->row[0] && ((const float *)y.data)[1] == 2 * own->row[1]);
  } else {
    CHECK(status && inferlay_status_code(status) == INFERLAY_CODE_CANCELLED);
    atomic_fetch_add(&cancelled, 1);
  }
  inferlay_response_free(response);
  inferlay_status_free(status);
}

static void on_response(void *user_data, inferlay_response *response, inferlay_response_flags flags,
                        inferlay_status *status) {
  seat *own = user_data;
  CHECK(flags & INFERLAY_RESPONSE_FINAL);
  check_answer(own, response, status);
  atomic_fetch_add(&answered, 1);
  atomic_fetch_add(&own->answers, 1);
}

static void on_release(void *user_data, inferlay_request *request) {
  seat *own = user_data;
  CHECK(request == own->request && atomic_load(&own->answers) == 1);
  atomic_fetch_add(&released, 1);
  atomic_store(&own->is_out, false);
}

// One thread at a time: a release must not be dealt with before the answer that came before it.
static void take_events(uint64_t timeout_ns) {
  inferlay_event event = {.struct_size = sizeof event};
  CHECK(pthread_mutex_lock(&draining) == 0);
  for (;;) {
    inferlay_status *status = inferlay_queue_next(queue, timeout_ns, &event);
    if (status) {
      CHECK(inferlay_status_code(status) == INFERLAY_CODE_TIMEOUT);
      inferlay_status_free(status);
      break;
    }
    seat *own = event.user_data;
    if (event.kind == INFERLAY_EVENT_RESPONSE) {
      on_response(own, event.response, event.flags, event.status);
    } else {
      on_release(own, event.request);
    }
    timeout_ns = 0;
  }
  CHECK(pthread_mutex_unlock(&draining) == 0);
}

static void refused(seat *own, inferlay_status *status) {
  // Another thread has cancelled it before it was sent.
  CHECK(inferlay_status_code(status) == INFERLAY_CODE_CANCELLED);
  inferlay_status_free(status);
  atomic_fetch_add(&cancelled, 1);
  atomic_store(&own->is_out, false);
}

static void send_one(worker *own) {
  seat *chosen = &own->seats[chance(own, IN_FLIGHT)];
  if (atomic_load(&chosen->is_out)) {
    take_events(0);
    return;
  }
  atomic_store(&chosen->is_out, true);
  atomic_store(&chosen->answers, 0);
  chosen->row[0] = (float)chance(own, 1000);
  chosen->row[1] = (float)own->index;
  OK(inferlay_request_rearm(chosen->request));
  inferlay_status *status = NULL;
  inferlay_response *response = NULL;
  switch (chance(own, 3)) {
    case 0:
      status = inferlay_infer(server, chosen->request, &response);
      if (!status) {
        check_answer(chosen, response, NULL);
        atomic_store(&chosen->is_out, false);
      }
      break;
    case 1: status = inferlay_infer_async(server, chosen->request, on_response, on_release, chosen); break;
    default: status = inferlay_infer_queue(server, chosen->request, queue, chosen);
  }
  if (status) {
    refused(chosen, status);
  } else if (!response) {
    atomic_fetch_add(&sent, 1);
  }
}

// A model of this thread's own comes, answers and goes.
static void come_and_go(worker *own) {
  char config[160];
  char name[16];
  const float row[2] = {3, 4};
  const int64_t shape[2] = {1, 2};
  snprintf(name, sizeof name, "own%u", own->index);
  snprintf(config, sizeof config,
           "{name: %s, max_batch_size: 8, input: {name: x, data_type: FP32, dims: 2},"
           " output: {name: y, data_type: FP32, dims: 2}}",
           name);
  inferlay_model_table table = {sizeof table, double_rows, NULL};
  OK(inferlay_server_register_model(server, config, &table, NULL));
  inferlay_request *request = NULL;
  inferlay_response *response = NULL;
  OK(inferlay_request_new(server, name, 0, &request));
  inferlay_view x = view_of(INFERLAY_TYPE_FP32, shape, 2, row, sizeof row);
  OK(inferlay_request_set_input(request, "x", &x));
  OK(inferlay_infer(server, request, &response));
  check_doubled(response, row);
  OK(inferlay_model_remove(server, name, SECONDS(60)));
  FAILS(INFERLAY_CODE_UNAVAILABLE, inferlay_infer(server, request, &response));
  inferlay_response_free(response);
  inferlay_request_free(request);
}

static void read_texts(worker *own) {
  char *text = NULL;
  // The traces are many, and take their time.
  switch (chance(own, 16)) {
    case 0: OK(inferlay_server_traces(server, &text)); break;
    case 1: OK(inferlay_server_metrics(server, &text)); break;
    case 2: OK(inferlay_server_models(server, &text)); break;
    default: OK(inferlay_server_statistics(server, &text));
  }
  CHECK(*text);
  inferlay_text_free(text);
}

static void *work(void *user_data) {
  worker *own = user_data;
  for (unsigned round = 0; round < own->rounds; round++) {
    switch (chance(own, 16)) {
      case 0: come_and_go(own); break;
      case 1: read_texts(own); break;
      case 2: OK(inferlay_server_set_trace_every(server, chance(own, 4))); break;
      case 3: OK(inferlay_request_cancel(cancellable[chance(own, THREADS * IN_FLIGHT)])); break;
      case 4: take_events(1000); break;
      default: send_one(own);
    }
  }
  return NULL;
}

static void prepare(worker *own) {
  static const int64_t shape[2] = {1, 2};
  for (unsigned i = 0; i < IN_FLIGHT; i++) {
    seat *place = &own->seats[i];
    place->request = double_request(server, place->row);
    inferlay_view x = view_of(INFERLAY_TYPE_FP32, shape, 2, place->row, sizeof place->row);
    OK(inferlay_request_set_input(place->request, "x", &x));
    if (i % 2) OK(inferlay_request_set_output(place->request, "y", place->doubled, sizeof place->doubled, NULL));
    cancellable[own->index * IN_FLIGHT + i] = place->request;
  }
}

int main(int argc, char **argv) {
  server = doubling_server();
  OK(inferlay_queue_new(&queue));
  for (unsigned i = 0; i < THREADS; i++) {
    workers[i].index = i;
    workers[i].chance = i + 1;
    workers[i].rounds = argc > 1 ? (unsigned)atoi(argv[1]) : ROUNDS;
    prepare(&workers[i]);
  }
  for (unsigned i = 0; i < THREADS; i++) CHECK(pthread_create(&workers[i].thread, NULL, work, &workers[i]) == 0);
  for (unsigned i = 0; i < THREADS; i++) CHECK(pthread_join(workers[i].thread, NULL) == 0);
  OK(inferlay_server_stop(server, SECONDS(120)));
  take_events(0);
  CHECK(atomic_load(&answered) == atomic_load(&sent) && atomic_load(&released) == atomic_load(&sent));
  for (unsigned i = 0; i < THREADS * IN_FLIGHT; i++) inferlay_request_free(cancellable[i]);
  inferlay_server_free(server);
  inferlay_queue_free(queue);
  printf("%lu sent, %lu of them or of those that waited cancelled\n", atomic_load(&sent), atomic_load(&cancelled));
  return 0;
}
