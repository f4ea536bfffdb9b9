// A program in C that uses what was installed, and nothing else: a model in memory, and a model that is a function.
#include <inferlay.h>
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

static void ok(inferlay_status *status) {
  if (status == NULL) return;
  fprintf(stderr, "%s: %s\n", inferlay_code_name(inferlay_status_code(status)), inferlay_status_message(status));
  exit(1);
}

// Written by the backend `null`, which gives its input back.
static const char CONFIG[] =
    "{backend: 'null', input: {name: x, data_type: FP32, dims: 2}, output: {name: x, data_type: FP32, dims: 2}}";

static inferlay_server *server_with_echo(void) {
  inferlay_file file = {sizeof file, "config.yaml", CONFIG, sizeof CONFIG - 1};
  const inferlay_file *const files[] = {&file};
  inferlay_options *options = inferlay_options_new();
  ok(inferlay_options_add_model_in_memory(options, "echo", files, 1));
  ok(inferlay_options_set_strict(options, true));
  inferlay_server *server = NULL;
  ok(inferlay_server_new(INFERLAY_API_VERSION, options, &server));
  inferlay_options_free(options);
  return server;
}

static void an_answer_comes(const inferlay_server *server) {
  const int64_t shape[] = {2};
  const float row[] = {3, 4};
  inferlay_view x;
  memset(&x, 0, sizeof x);
  x.struct_size = sizeof x;
  x.datatype = INFERLAY_TYPE_FP32;
  x.rank = 1;
  x.shape = shape;
  x.data = row;
  x.byte_size = sizeof row;

  inferlay_request *request = NULL;
  ok(inferlay_request_new(server, "echo", 0, &request));
  ok(inferlay_request_set_input(request, "x", &x));
  inferlay_response *response = NULL;
  ok(inferlay_infer(server, request, &response));
  inferlay_view y;
  memset(&y, 0, sizeof y);
  y.struct_size = sizeof y;
  ok(inferlay_response_output_at(response, 0, &y));
  CHECK(y.byte_size == sizeof row && memcmp(y.data, row, sizeof row) == 0);
  inferlay_response_free(response);
  inferlay_request_free(request);
}

static void an_error_has_its_code(const inferlay_server *server) {
  inferlay_request *request = NULL;
  inferlay_status *status = inferlay_request_new(server, "nothing", 0, &request);
  CHECK(status != NULL && inferlay_status_code(status) == INFERLAY_CODE_NOT_FOUND && request == NULL);
  inferlay_status_free(status);
}

int main(void) {
  CHECK(inferlay_api_version() == INFERLAY_API_VERSION);
  inferlay_server *server = server_with_echo();
  an_answer_comes(server);
  an_error_has_its_code(server);
  inferlay_server_free(server);
  printf("inferlay %s serves C\n", inferlay_version());
  return 0;
}
