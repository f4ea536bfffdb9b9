// What the C tests share: checks that name their place, and a model to ask.
#ifndef INFERLAY_TESTS_CHECK_H
#define INFERLAY_TESTS_CHECK_H

#include "inferlay.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition) \
  do { \
    if (!(condition)) { \
      fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
      exit(1); \
    } \
  } while (0)

// A call that must succeed.
#define OK(call) check_status((call), __FILE__, __LINE__, #call)

// A call that must fail with this code; the status is freed.
#define FAILS(code, call) check_failure((code), (call), __FILE__, __LINE__, #call)

static inline void check_status(inferlay_status *status, const char *file, int line, const char *call) {
  if (status != NULL) {
    fprintf(stderr, "%s:%d: %s: %s: %s\n", file, line, call, inferlay_code_name(inferlay_status_code(status)),
            inferlay_status_message(status));
    exit(1);
  }
}

static inline void check_failure(inferlay_code code, inferlay_status *status, const char *file, int line,
                                 const char *call) {
  if (status == NULL || inferlay_status_code(status) != code) {
    fprintf(stderr, "%s:%d: %s: found %s (%s), expected %s\n", file, line, call,
            status ? inferlay_code_name(inferlay_status_code(status)) : "success", inferlay_status_message(status),
            inferlay_code_name(code));
    exit(1);
  }
  inferlay_status_free(status);
}

#define SECONDS(n) (inferlay_clock_now() + (uint64_t)(n) * 1000000000u)

// A view of dense host memory.
static inline inferlay_view view_of(inferlay_datatype datatype, const int64_t *shape, size_t rank, const void *data,
                                    size_t byte_size) {
  inferlay_view view;
  memset(&view, 0, sizeof view);
  view.struct_size = sizeof view;
  view.datatype = datatype;
  view.shape = shape;
  view.rank = rank;
  view.data = data;
  view.byte_size = byte_size;
  return view;
}

// An empty view, to be filled.
static inline inferlay_view no_view(void) {
  inferlay_view view;
  memset(&view, 0, sizeof view);
  view.struct_size = sizeof view;
  return view;
}

// A model that doubles rows of two floats, batching up to 8.
static const char DOUBLE_CONFIG[] =
    "{name: double, max_batch_size: 8, input: {name: x, data_type: FP32, dims: 2},"
    " output: {name: y, data_type: FP32, dims: 2}, dynamic_batching: {}}";

static inline inferlay_status *double_rows(void *user_data, inferlay_batch *batch) {
  (void)user_data;
  inferlay_view x = no_view();
  inferlay_status *status = inferlay_batch_input(batch, "x", &x);
  if (status) return status;
  int64_t shape[2] = {(int64_t)inferlay_batch_rows(batch), 2};
  void *data;
  size_t byte_size;
  status = inferlay_batch_output(batch, "y", shape, 2, &data, &byte_size);
  if (status) return status;
  for (size_t i = 0; i < byte_size / sizeof(float); i++) ((float *)data)[i] = 2 * ((const float *)x.data)[i];
  return NULL;
}

static inline inferlay_server *server_with(const char *config, inferlay_execute_fn execute, void *user_data) {
  inferlay_server *server = NULL;
  OK(inferlay_server_new(INFERLAY_API_VERSION, NULL, &server));
  inferlay_model_table table = {sizeof table, execute, NULL};
  OK(inferlay_server_register_model(server, config, &table, user_data));
  return server;
}

static inline inferlay_server *doubling_server(void) { return server_with(DOUBLE_CONFIG, double_rows, NULL); }

// A request of one row to that model; the memory stays the caller's.
static inline inferlay_request *double_request(const inferlay_server *server, const float row[2]) {
  static const int64_t shape[2] = {1, 2};
  inferlay_request *request = NULL;
  OK(inferlay_request_new(server, "double", 0, &request));
  inferlay_view x = view_of(INFERLAY_TYPE_FP32, shape, 2, row, 2 * sizeof(float));
  OK(inferlay_request_set_input(request, "x", &x));
  return request;
}

static inline void check_doubled(const inferlay_response *response, const float row[2]) {
  inferlay_view y = no_view();
  OK(inferlay_response_output(response, "y", &y));
  CHECK(y.datatype == INFERLAY_TYPE_FP32 && y.rank == 2 && y.shape[0] == 1 && y.shape[1] == 2);
  CHECK(y.byte_size == 2 * sizeof(float) && y.memory_kind == INFERLAY_MEMORY_HOST && y.ready == INFERLAY_READY_NOW);
  CHECK(((const float *)y.data)[0] == 2 * row[0] && ((const float *)y.data)[1] == 2 * row[1]);
}

// Sends one row to that model and waits for the answer.
static inline void ask_doubled(const inferlay_server *server, const float row[2]) {
  inferlay_request *request = double_request(server, row);
  inferlay_response *response = NULL;
  OK(inferlay_infer(server, request, &response));
  check_doubled(response, row);
  inferlay_response_free(response);
  inferlay_request_free(request);
}

// A model that loads and one that does not, so that a start has something to tell.
static inline inferlay_options *echo_and_broken(void) {
  static const char echo[] = "{backend: 'null', input: {name: x, data_type: FP32, dims: 2}}";
  static const char broken[] = "{backend: nowhere}";
  inferlay_file echo_file = {sizeof echo_file, "config.yaml", echo, sizeof echo - 1};
  inferlay_file broken_file = {sizeof broken_file, "config.yaml", broken, sizeof broken - 1};
  const inferlay_file *echo_files[1] = {&echo_file}, *broken_files[1] = {&broken_file};
  inferlay_options *options = inferlay_options_new();
  OK(inferlay_options_add_model_in_memory(options, "echo", echo_files, 1));
  OK(inferlay_options_add_model_in_memory(options, "broken", broken_files, 1));
  return options;
}

#endif
