// What the examples share: how to give up, and a model that doubles rows of two floats.
#ifndef INFERLAY_EXAMPLE_H
#define INFERLAY_EXAMPLE_H

#include <inferlay.h>
#include <stdio.h>
#include <stdlib.h>

// Ends the program when a call has failed; a real one would handle the code and free the status.
static inline void expect(inferlay_status *status, const char *what) {
  if (status == NULL) return;
  fprintf(stderr, "%s: %s: %s\n", what, inferlay_code_name(inferlay_status_code(status)),
          inferlay_status_message(status));
  inferlay_status_free(status);
  exit(1);
}

// A dense tensor of floats in ordinary memory.
static inline inferlay_view floats(const int64_t *shape, size_t rank, const float *data, size_t byte_size) {
  inferlay_view view = {0};
  view.struct_size = sizeof view;
  view.datatype = INFERLAY_TYPE_FP32;
  view.shape = shape;
  view.rank = rank;
  view.data = data;
  view.byte_size = byte_size;
  return view;
}

// The output `y` of a response, which holds floats.
static inline const float *answer(const inferlay_response *response) {
  inferlay_view y = {0};
  y.struct_size = sizeof y;
  expect(inferlay_response_output(response, "y", &y), "output");
  return y.data;
}

// Runs a batch: it may hold the rows of many requests.
static inline inferlay_status *twice(void *user_data, inferlay_batch *batch) {
  (void)user_data;
  inferlay_view x = {0};
  x.struct_size = sizeof x;
  inferlay_status *status = inferlay_batch_input(batch, "x", &x);
  if (status) return status;

  const int64_t shape[] = {(int64_t)inferlay_batch_rows(batch), 2};
  void *data;
  size_t byte_size;
  status = inferlay_batch_output(batch, "y", shape, 2, &data, &byte_size);
  if (status) return status;

  const float *from = x.data;
  float *to = data;
  for (size_t i = 0; i < byte_size / sizeof(float); i++) to[i] = 2 * from[i];
  return NULL;
}

// A server with one model, `double`, whose backend is that function.
static inline inferlay_server *doubling_server(void) {
  inferlay_server *server = NULL;
  expect(inferlay_server_new(INFERLAY_API_VERSION, NULL, &server), "server");
  const char *config =
      "name: double\n"
      "max_batch_size: 64\n"
      "dynamic_batching: {}\n"
      "input: {name: x, data_type: FP32, dims: 2}\n"
      "output: {name: y, data_type: FP32, dims: 2}\n";
  inferlay_model_table table = {sizeof table, twice, NULL};
  expect(inferlay_server_register_model(server, config, &table, NULL), "model");
  return server;
}

// A request of one row, which stays the caller's memory.
static inline inferlay_request *row_request(const inferlay_server *server, const float *row) {
  static const int64_t shape[] = {1, 2};
  inferlay_request *request = NULL;
  expect(inferlay_request_new(server, "double", 0, &request), "request");
  inferlay_view x = floats(shape, 2, row, 2 * sizeof(float));
  expect(inferlay_request_set_input(request, "x", &x), "input");
  return request;
}

#endif
