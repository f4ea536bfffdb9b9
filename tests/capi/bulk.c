// For callers whose every call is dear: requests described in place, events and outputs taken many at a time, logs and
// progress as events; and tensors as DLPack.
#include "check.h"
#include "gate.h"

enum { MANY = 8 };

static void a_bound_input_is_read_anew_at_each_sending(void) {
  inferlay_server *server = doubling_server();
  inferlay_request *request = NULL;
  OK(inferlay_request_new(server, "double", 0, &request));
  float first[2] = {1, 2}, second[4] = {3, 4, 5, 6};
  int64_t shape[2] = {1, 2};
  inferlay_view x = view_of(INFERLAY_TYPE_FP32, shape, 2, first, sizeof first);
  FAILS(INFERLAY_CODE_INVALID_ARG, inferlay_request_bind_input(request, "x", NULL));
  OK(inferlay_request_bind_input(request, "x", &x));
  inferlay_response *response = NULL;
  OK(inferlay_infer(server, request, &response));
  check_doubled(response, first);
  inferlay_response_free(response);
  x.data = second;
  x.byte_size = sizeof second;
  response = NULL;
  FAILS(INFERLAY_CODE_INVALID_ARG, inferlay_infer(server, request, &response));
  CHECK(response == NULL);
  shape[0] = 2;
  OK(inferlay_infer(server, request, &response));
  inferlay_view y = no_view();
  OK(inferlay_response_output(response, "y", &y));
  CHECK(y.shape[0] == 2 && ((const float *)y.data)[3] == 12);
  inferlay_response_free(response);
  x.datatype = 99;
  FAILS(INFERLAY_CODE_INVALID_ARG, inferlay_infer(server, request, &response));
  x.datatype = INFERLAY_TYPE_FP32;
  x.struct_size = 8;
  FAILS(INFERLAY_CODE_INVALID_ARG, inferlay_infer(server, request, &response));
  // What is bound is not added to, and may be set otherwise.
  FAILS(INFERLAY_CODE_UNSUPPORTED, inferlay_request_append_input(request, "x", first, sizeof first, NULL));
  shape[0] = 1;
  x = view_of(INFERLAY_TYPE_FP32, shape, 2, first, sizeof first);
  OK(inferlay_request_copy_input(request, "x", &x));
  x.struct_size = 0;
  OK(inferlay_infer(server, request, &response));
  check_doubled(response, first);
  inferlay_response_free(response);
  inferlay_request_free(request);
  inferlay_server_free(server);
}

static inferlay_event events[2 * MANY];
static inferlay_event *places[2 * MANY];

static void many_events_are_taken_at_once(void) {
  inferlay_server *server = doubling_server();
  inferlay_queue *queue = NULL;
  OK(inferlay_queue_new(&queue));
  for (int i = 0; i < 2 * MANY; i++) {
    events[i].struct_size = sizeof events[i];
    places[i] = &events[i];
  }
  size_t taken = 77;
  FAILS(INFERLAY_CODE_TIMEOUT, inferlay_queue_next_many(queue, 0, places, 2 * MANY, &taken));
  FAILS(INFERLAY_CODE_INVALID_ARG, inferlay_queue_next_many(queue, 0, places, 0, &taken));
  FAILS(INFERLAY_CODE_INVALID_ARG, inferlay_queue_next_many(queue, 0, NULL, 1, &taken));
  FAILS(INFERLAY_CODE_INVALID_ARG, inferlay_queue_next_many(queue, 0, places, 1, NULL));
  FAILS(INFERLAY_CODE_INVALID_ARG, inferlay_queue_next_many(NULL, 0, places, 1, &taken));
  CHECK(taken == 77);
  const float row[2] = {1, 2};
  inferlay_request *requests[MANY];
  for (int i = 0; i < MANY; i++) {
    requests[i] = double_request(server, row);
    OK(inferlay_infer_queue(server, requests[i], queue, &requests[i]));
  }
  OK(inferlay_server_stop(server, SECONDS(120)));
  // All are there: as many as there are places, then the rest. A place that is too small takes nothing.
  events[2].struct_size = 8;
  FAILS(INFERLAY_CODE_INVALID_ARG, inferlay_queue_next_many(queue, 0, places, 3, &taken));
  events[2].struct_size = sizeof events[2];
  int fd = inferlay_queue_fd(queue);
  CHECK(fd >= 0);
  OK(inferlay_queue_next_many(queue, UINT64_MAX, places, 3, &taken));
  CHECK(taken == 3);
  OK(inferlay_queue_next_many(queue, 0, places + 3, 2 * MANY - 3, &taken));
  CHECK(taken == 2 * MANY - 3);
  FAILS(INFERLAY_CODE_TIMEOUT, inferlay_queue_next_many(queue, 1000, places, 1, &taken));
  int responses = 0, releases = 0;
  for (int i = 0; i < 2 * MANY; i++) {
    inferlay_request *request = *(inferlay_request **)events[i].user_data;
    CHECK(events[i].struct_size == sizeof events[i] && events[i].request == request && events[i].status == NULL);
    if (events[i].kind == INFERLAY_EVENT_RESPONSE) {
      check_doubled(events[i].response, row);
      responses++;
    } else {
      CHECK(events[i].kind == INFERLAY_EVENT_RELEASE && events[i].response == NULL);
      releases++;
    }
    inferlay_response_free(events[i].response);
  }
  CHECK(responses == MANY && releases == MANY);
  for (int i = 0; i < MANY; i++) inferlay_request_free(requests[i]);
  inferlay_queue_free(queue);
  inferlay_server_free(server);
}

static void outputs_are_looked_at_all_at_once(void) {
  inferlay_server *server = doubling_server();
  const float row[2] = {1, 2};
  inferlay_request *request = double_request(server, row);
  inferlay_response *response = NULL;
  OK(inferlay_infer(server, request, &response));
  inferlay_view first = no_view(), second = no_view(), *views[2] = {&first, &second};
  const char *names[2] = {NULL, NULL};
  size_t len = 0;
  OK(inferlay_response_outputs(response, names, views, 2, &len));
  CHECK(len == 1 && strcmp(names[0], "y") == 0 && names[1] == NULL);
  CHECK(((const float *)first.data)[1] == 4 && second.data == NULL);
  first.data = NULL;
  FAILS(INFERLAY_CODE_RESOURCE_EXHAUSTED, inferlay_response_outputs(response, names, views, 0, &len));
  FAILS(INFERLAY_CODE_INVALID_ARG, inferlay_response_outputs(NULL, names, views, 2, &len));
  FAILS(INFERLAY_CODE_INVALID_ARG, inferlay_response_outputs(response, names, NULL, 2, &len));
  FAILS(INFERLAY_CODE_INVALID_ARG, inferlay_response_outputs(response, names, views, 2, NULL));
  CHECK(len == 1 && first.data == NULL);
  OK(inferlay_response_outputs(response, NULL, views, 1, &len));
  CHECK(first.byte_size == sizeof row);
  inferlay_response_free(response);
  inferlay_request_free(request);
  inferlay_server_free(server);
}

struct dl_tensor {
  void *data;
  int32_t device_type, device_id, ndim;
  uint8_t code, bits;
  uint16_t lanes;
  int64_t *shape, *strides;
  uint64_t byte_offset;
};

struct dl_plain {
  struct dl_tensor tensor;
  void *manager;
  void (*deleter)(struct dl_plain *self);
};

struct dl_versioned {
  uint32_t major, minor;
  void *manager;
  void (*deleter)(struct dl_versioned *self);
  uint64_t flags;
  struct dl_tensor tensor;
};

static void check_dlpack(const struct dl_tensor *shown) {
  CHECK(shown->device_type == 1 && shown->device_id == 0 && shown->ndim == 2 && shown->byte_offset == 0);
  CHECK(shown->code == 2 && shown->bits == 32 && shown->lanes == 1);
  CHECK(shown->shape[0] == 1 && shown->shape[1] == 2 && shown->strides[0] == 2 && shown->strides[1] == 1);
  CHECK(((const float *)shown->data)[0] == 2 && ((const float *)shown->data)[1] == 4);
}

static void a_tensor_is_handed_on_as_dlpack_and_outlives_all(void) {
  inferlay_server *server = doubling_server();
  const float row[2] = {1, 2};
  inferlay_request *request = double_request(server, row);
  inferlay_response *response = NULL;
  OK(inferlay_infer(server, request, &response));
  inferlay_tensor *tensor = NULL;
  OK(inferlay_response_detach(response, "y", &tensor));
  void *plain = NULL, *versioned = NULL, *none = NULL;
  OK(inferlay_tensor_to_dlpack(tensor, 0, &plain));
  OK(inferlay_tensor_to_dlpack(tensor, 1, &versioned));
  FAILS(INFERLAY_CODE_UNSUPPORTED, inferlay_tensor_to_dlpack(tensor, 2, &none));
  FAILS(INFERLAY_CODE_INVALID_ARG, inferlay_tensor_to_dlpack(NULL, 0, &none));
  FAILS(INFERLAY_CODE_INVALID_ARG, inferlay_tensor_to_dlpack(tensor, 0, NULL));
  CHECK(none == NULL);
  inferlay_tensor_free(tensor);
  inferlay_response_free(response);
  inferlay_request_free(request);
  inferlay_server_free(server);
  struct dl_plain *first = plain;
  struct dl_versioned *second = versioned;
  check_dlpack(&first->tensor);
  check_dlpack(&second->tensor);
  CHECK(second->major == 1 && second->minor == 0 && second->flags == 1);
  first->deleter(first);
  check_dlpack(&second->tensor);
  second->deleter(second);
}

static void a_server_tells_a_queue_of_its_start_and_its_log(void) {
  inferlay_options *options = echo_and_broken();
  inferlay_queue *queue = NULL;
  OK(inferlay_queue_new(&queue));
  int progress, log;
  OK(inferlay_options_set_progress_queue(options, queue, &progress));
  OK(inferlay_options_set_log_queue(options, queue, &log, INFERLAY_LOG_ERROR));
  inferlay_server *server = NULL;
  OK(inferlay_server_new(INFERLAY_API_VERSION, options, &server));
  int ready = 0, failed = 0, lines = 0;
  for (;;) {
    inferlay_event event;
    memset(&event, 0, sizeof event);
    event.struct_size = sizeof event;
    inferlay_status *status = inferlay_queue_next(queue, 0, &event);
    if (status) {
      inferlay_status_free(status);
      break;
    }
    const char *text = inferlay_status_message(event.status);
    CHECK(event.request == NULL && event.response == NULL);
    if (event.kind == INFERLAY_EVENT_PROGRESS) {
      CHECK(event.user_data == &progress && strstr(text, "\"total\":2"));
      ready += strstr(text, "\"model\":\"echo\"") && strstr(text, "\"version\":1") && strstr(text, "\"reason\":\"\"");
      failed += strstr(text, "\"model\":\"broken\"") && !strstr(text, "\"reason\":\"\"");
    } else {
      CHECK(event.kind == INFERLAY_EVENT_LOG && event.user_data == &log && event.flags == INFERLAY_LOG_ERROR);
      lines += strstr(text, "nowhere") != NULL;
    }
    inferlay_status_free(event.status);
  }
  CHECK(ready == 1 && failed == 1 && lines == 1);
  inferlay_server_free(server);
  // Nobody is told any more; and what a queue holds when it is freed goes with it.
  OK(inferlay_options_set_progress_queue(options, NULL, NULL));
  OK(inferlay_server_new(INFERLAY_API_VERSION, options, &server));
  inferlay_server_free(server);
  OK(inferlay_options_set_log_queue(options, NULL, NULL, INFERLAY_LOG_ERROR));
  inferlay_queue_free(queue);
  inferlay_options_free(options);
}

int main(void) {
  a_bound_input_is_read_anew_at_each_sending();
  many_events_are_taken_at_once();
  outputs_are_looked_at_all_at_once();
  a_tensor_is_handed_on_as_dlpack_and_outlives_all();
  a_server_tells_a_queue_of_its_start_and_its_log();
  return 0;
}
