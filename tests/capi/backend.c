// A backend that is part of the program: the example in C, of which nothing is loaded.
#include "../../examples/backend_c/moving_average.c"

#include "check.h"

static void a_model_is_served_by_a_backend_of_the_program(void) {
  static const char config[] =
      "{backend: moving_average, max_batch_size: 8, parameters: {window: {string_value: '2'}}}";
  inferlay_file file = {sizeof file, "config.yaml", config, sizeof config - 1};
  const inferlay_file *files[1] = {&file};
  inferlay_options *options = inferlay_options_new();
  OK(inferlay_options_add_model_in_memory(options, "smooth", files, 1));
  OK(inferlay_options_set_strict(options, true));
  inferlay_server *server = NULL;
  // Not there before it is added.
  FAILS(INFERLAY_CODE_UNAVAILABLE, inferlay_server_new(INFERLAY_API_VERSION, options, &server));
  OK(inferlay_options_add_backend(options, inferlay_backend_moving_average));
  OK(inferlay_server_new(INFERLAY_API_VERSION, options, &server));
  inferlay_options_free(options);
  char *json = NULL;
  OK(inferlay_server_backends(server, &json));
  CHECK(strstr(json, "\"moving_average\""));
  inferlay_text_free(json);
  inferlay_request *request = NULL;
  OK(inferlay_request_new(server, "smooth", 0, &request));
  const float signal[4] = {1, 3, 5, 7};
  const int64_t shape[2] = {1, 4};
  inferlay_view view = view_of(INFERLAY_TYPE_FP32, shape, 2, signal, sizeof signal);
  OK(inferlay_request_set_input(request, "signal", &view));
  inferlay_response *response = NULL;
  OK(inferlay_infer(server, request, &response));
  inferlay_view smoothed = no_view();
  OK(inferlay_response_output_at(response, 0, &smoothed));
  const float *values = smoothed.data;
  CHECK(smoothed.byte_size == sizeof signal && values[0] == 1 && values[1] == 2 && values[2] == 4 && values[3] == 6);
  inferlay_response_free(response);
  inferlay_request_free(request);
  inferlay_server_free(server);
}

int main(void) {
  a_model_is_served_by_a_backend_of_the_program();
  return 0;
}
