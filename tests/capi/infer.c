// The call that waits: inputs in every form, outputs in every place.
#include "check.h"

static void a_request_is_answered_and_used_again(void) {
  inferlay_server *server = doubling_server();
  CHECK(inferlay_server_is_live(server) && inferlay_server_is_ready(server));
  float row[2] = {1, 2};
  inferlay_request *request = double_request(server, row);
  for (int i = 0; i < 100; i++) {
    row[0] = (float)i;
    inferlay_response *response = NULL;
    OK(inferlay_infer(server, request, &response));
    check_doubled(response, row);
    CHECK(strcmp(inferlay_response_model(response), "double") == 0 && inferlay_response_version(response) == 1);
    CHECK(inferlay_response_outputs_len(response) == 1);
    CHECK(strcmp(inferlay_response_output_name(response, 0), "y") == 0);
    CHECK(inferlay_response_output_name(response, 1) == NULL);
    inferlay_view y = no_view();
    OK(inferlay_response_output_at(response, 0, &y));
    CHECK(((const float *)y.data)[0] == 2 * row[0]);
    FAILS(INFERLAY_CODE_NOT_FOUND, inferlay_response_output_at(response, 1, &y));
    FAILS(INFERLAY_CODE_NOT_FOUND, inferlay_response_output(response, "z", &y));
    inferlay_response_free(response);
  }
  inferlay_request_free(request);
  inferlay_server_free(server);
}

static void count_free(void *user_data, void *data) {
  ++*(int *)user_data;
  free(data);
}

static void inputs_may_be_copied_taken_or_in_pieces(void) {
  inferlay_server *server = doubling_server();
  float row[2] = {5, 6};
  const int64_t shape[2] = {1, 2};
  inferlay_request *request = double_request(server, row);
  inferlay_response *response = NULL;

  float copied[2] = {7, 8};
  inferlay_view x = view_of(INFERLAY_TYPE_FP32, shape, 2, copied, sizeof copied);
  OK(inferlay_request_copy_input(request, "x", &x));
  copied[0] = copied[1] = 0;
  const float kept[2] = {7, 8};
  OK(inferlay_infer(server, request, &response));
  check_doubled(response, kept);
  inferlay_response_free(response);

  int freed = 0;
  float *taken = malloc(2 * sizeof(float));
  taken[0] = 9, taken[1] = 10;
  x = view_of(INFERLAY_TYPE_FP32, shape, 2, taken, 2 * sizeof(float));
  OK(inferlay_request_take_input(request, "x", &x, count_free, &freed));
  OK(inferlay_infer(server, request, &response));
  const float was[2] = {9, 10};
  check_doubled(response, was);
  inferlay_response_free(response);
  CHECK(freed == 0);
  FAILS(INFERLAY_CODE_UNSUPPORTED, inferlay_request_append_input(request, "x", row, sizeof row, NULL));

  x = view_of(INFERLAY_TYPE_FP32, shape, 2, row, sizeof(float));
  OK(inferlay_request_set_input(request, "x", &x));
  CHECK(freed == 1);
  FAILS(INFERLAY_CODE_INVALID_ARG, inferlay_infer(server, request, &response));
  OK(inferlay_request_append_input(request, "x", row + 1, sizeof(float), NULL));
  OK(inferlay_request_append_input(request, "x", NULL, 0, NULL));
  OK(inferlay_infer(server, request, &response));
  check_doubled(response, row);
  inferlay_response_free(response);

  OK(inferlay_request_remove_input(request, "x"));
  FAILS(INFERLAY_CODE_NOT_FOUND, inferlay_request_remove_input(request, "x"));
  FAILS(INFERLAY_CODE_NOT_FOUND, inferlay_request_append_input(request, "x", row, sizeof row, NULL));
  FAILS(INFERLAY_CODE_INVALID_ARG, inferlay_infer(server, request, &response));
  x = view_of(INFERLAY_TYPE_FP32, shape, 2, row, sizeof row - 1);
  FAILS(INFERLAY_CODE_INVALID_ARG, inferlay_request_copy_input(request, "x", &x));
  FAILS(INFERLAY_CODE_INVALID_ARG, inferlay_request_take_input(request, "x", &x, count_free, &freed));
  CHECK(freed == 1);
  inferlay_request_free(request);
  inferlay_server_free(server);
}

static void outputs_may_go_to_memory_of_the_caller(void) {
  inferlay_server *server = doubling_server();
  const float rows[6] = {1, 2, 3, 4, 5, 6};
  const int64_t shape[2] = {3, 2};
  inferlay_request *request = NULL;
  OK(inferlay_request_new(server, "double", 1, &request));
  inferlay_view x = view_of(INFERLAY_TYPE_FP32, shape, 2, rows, sizeof rows);
  OK(inferlay_request_set_input(request, "x", &x));
  float into[8] = {0};
  OK(inferlay_request_set_output(request, "y", into, sizeof into, NULL));
  for (int i = 0; i < 3; i++) {
    memset(into, 0, sizeof into);
    inferlay_response *response = NULL;
    OK(inferlay_infer(server, request, &response));
    inferlay_view y = no_view();
    OK(inferlay_response_output(response, "y", &y));
    CHECK(y.data == into && y.byte_size == sizeof rows && y.rank == 2 && y.shape[0] == 3 && y.shape[1] == 2);
    for (int j = 0; j < 6; j++) CHECK(into[j] == 2 * rows[j]);
    CHECK(into[6] == 0 && inferlay_response_outputs_len(response) == 1);
    inferlay_tensor *tensor = NULL;
    FAILS(INFERLAY_CODE_UNSUPPORTED, inferlay_response_detach(response, "y", &tensor));
    inferlay_response_free(response);
  }
  inferlay_response *response = NULL;
  OK(inferlay_request_set_output(request, "y", into, 20, NULL));
  FAILS(INFERLAY_CODE_INVALID_ARG, inferlay_infer(server, request, &response));
  OK(inferlay_request_clear_outputs(request));
  OK(inferlay_request_add_output(request, "y", NULL));
  OK(inferlay_infer(server, request, &response));
  inferlay_tensor *tensor = NULL;
  OK(inferlay_response_detach(response, "y", &tensor));
  CHECK(inferlay_response_retain(response) == response);
  inferlay_response_free(response);
  inferlay_response_free(response);
  inferlay_view y = no_view();
  OK(inferlay_tensor_view(tensor, &y));
  CHECK(y.byte_size == sizeof rows && ((const float *)y.data)[5] == 12);
  OK(inferlay_request_add_output(request, "z", NULL));
  FAILS(INFERLAY_CODE_NOT_FOUND, inferlay_infer(server, request, &response));
  inferlay_request_free(request);
  inferlay_server_free(server);
  // What was detached outlives its server.
  CHECK(((const float *)y.data)[0] == 2);
  inferlay_tensor_free(tensor);
}

static const char ECHO_CONFIG[] = "{backend: 'null', input: {name: s, data_type: BYTES, dims: -1}}";

static inferlay_server *echoing_server(void) {
  inferlay_options *options = inferlay_options_new();
  inferlay_file config = {sizeof config, "config.yaml", ECHO_CONFIG, sizeof ECHO_CONFIG - 1};
  const inferlay_file *files[1] = {&config};
  OK(inferlay_options_add_model_in_memory(options, "echo", files, 1));
  OK(inferlay_options_set_strict(options, true));
  inferlay_server *server = NULL;
  OK(inferlay_server_new(INFERLAY_API_VERSION, options, &server));
  inferlay_options_free(options);
  return server;
}

static void strings_cross_in_both_forms(void) {
  inferlay_server *server = echoing_server();
  inferlay_request *request = NULL;
  OK(inferlay_request_new(server, "echo", 0, &request));
  const char wire[] = "\2\0\0\0to\0\0\0\0\3\0\0\0bye";
  const int64_t shape[1] = {3};
  inferlay_view wired = view_of(INFERLAY_TYPE_BYTES, shape, 1, wire, sizeof wire - 1);
  const uint64_t offsets[4] = {0, 2, 2, 5};
  inferlay_view listed = view_of(INFERLAY_TYPE_BYTES, shape, 1, "tobye", 5);
  listed.offsets = offsets;
  listed.offsets_len = 4;
  for (int form = 0; form < 5; form++) {
    if (form == 0) OK(inferlay_request_set_input(request, "s", &wired));
    if (form == 1) OK(inferlay_request_set_input(request, "s", &listed));
    if (form == 2) OK(inferlay_request_copy_input(request, "s", &wired));
    if (form == 3) OK(inferlay_request_copy_input(request, "s", &listed));
    if (form == 4) {
      inferlay_view first = view_of(INFERLAY_TYPE_BYTES, shape, 1, wire, 5);
      OK(inferlay_request_set_input(request, "s", &first));
      OK(inferlay_request_append_input(request, "s", wire + 5, sizeof wire - 6, NULL));
    }
    inferlay_response *response = NULL;
    OK(inferlay_infer(server, request, &response));
    inferlay_view s = no_view();
    OK(inferlay_response_output(response, "s", &s));
    CHECK(s.datatype == INFERLAY_TYPE_BYTES && s.rank == 1 && s.shape[0] == 3 && s.offsets_len == 4);
    CHECK(s.offsets[0] == 0 && s.offsets[1] == 2 && s.offsets[2] == 2 && s.offsets[3] == 5);
    CHECK(memcmp(s.data, "tobye", 5) == 0);
    char back[32];
    size_t size = 0;
    FAILS(INFERLAY_CODE_RESOURCE_EXHAUSTED, inferlay_response_output_wire(response, "s", NULL, 0, &size));
    CHECK(size == sizeof wire - 1);
    FAILS(INFERLAY_CODE_RESOURCE_EXHAUSTED, inferlay_response_output_wire(response, "s", back, size - 1, &size));
    OK(inferlay_response_output_wire(response, "s", back, sizeof back, &size));
    CHECK(size == sizeof wire - 1 && memcmp(back, wire, size) == 0);
    inferlay_response_free(response);
  }
  inferlay_response *response = NULL;
  wired.byte_size--;
  OK(inferlay_request_set_input(request, "s", &wired));
  FAILS(INFERLAY_CODE_INVALID_ARG, inferlay_infer(server, request, &response));
  listed.offsets_len = 3;
  FAILS(INFERLAY_CODE_INVALID_ARG, inferlay_request_copy_input(request, "s", &listed));
  int freed = 0;
  FAILS(INFERLAY_CODE_UNSUPPORTED, inferlay_request_take_input(request, "s", &listed, count_free, &freed));
  inferlay_request_free(request);
  inferlay_server_free(server);
}

static void a_wrong_request_is_told_what_is_wrong(void) {
  inferlay_server *server = doubling_server();
  inferlay_server *other = doubling_server();
  const float row[2] = {1, 2};
  inferlay_request *request = double_request(server, row);
  inferlay_response *response = NULL;
  FAILS(INFERLAY_CODE_INVALID_ARG, inferlay_infer(other, request, &response));
  const int64_t shape[2] = {2, 1};
  inferlay_view x = view_of(INFERLAY_TYPE_FP32, shape, 2, row, sizeof row);
  OK(inferlay_request_set_input(request, "x", &x));
  inferlay_status *status = inferlay_infer(server, request, &response);
  CHECK(inferlay_status_code(status) == INFERLAY_CODE_INVALID_ARG);
  CHECK(strcmp(inferlay_status_message(status),
               "model 'double' version 1: input 'x': found shape [2, 1], expected [batch]+[2]") == 0);
  inferlay_status_free(status);
  x.datatype = INFERLAY_TYPE_INT32;
  OK(inferlay_request_set_input(request, "x", &x));
  FAILS(INFERLAY_CODE_INVALID_ARG, inferlay_infer(server, request, &response));
  x.datatype = 99;
  FAILS(INFERLAY_CODE_INVALID_ARG, inferlay_request_set_input(request, "x", &x));
  x.datatype = INFERLAY_TYPE_FP32;
  x.memory_kind = INFERLAY_MEMORY_DEVICE;
  FAILS(INFERLAY_CODE_UNSUPPORTED, inferlay_request_set_input(request, "x", &x));
  x.memory_kind = 77;
  FAILS(INFERLAY_CODE_INVALID_ARG, inferlay_request_set_input(request, "x", &x));
  x.memory_kind = INFERLAY_MEMORY_HOST;
  const int64_t negative[2] = {-1, 2};
  x.shape = negative;
  FAILS(INFERLAY_CODE_INVALID_ARG, inferlay_request_set_input(request, "x", &x));
  inferlay_memory device = {sizeof device, INFERLAY_MEMORY_DEVICE, 0, INFERLAY_READY_NOW, NULL};
  FAILS(INFERLAY_CODE_UNSUPPORTED, inferlay_request_add_output(request, "y", &device));
  float into[2];
  FAILS(INFERLAY_CODE_UNSUPPORTED, inferlay_request_set_output(request, "y", into, sizeof into, &device));
  inferlay_request *none = NULL;
  FAILS(INFERLAY_CODE_NOT_FOUND, inferlay_request_new(server, "nothing", 0, &none));
  FAILS(INFERLAY_CODE_NOT_FOUND, inferlay_request_new(server, "double", 7, &none));
  CHECK(none == NULL && response == NULL);
  inferlay_request_free(request);
  inferlay_server_free(other);
  inferlay_server_free(server);
}

static void cancels_and_deadlines_hold_for_waiting_calls_too(void) {
  inferlay_server *server = doubling_server();
  const float row[2] = {1, 2};
  inferlay_request *request = double_request(server, row);
  inferlay_response *response = NULL;
  OK(inferlay_request_cancel(request));
  OK(inferlay_request_cancel(request));
  FAILS(INFERLAY_CODE_CANCELLED, inferlay_infer(server, request, &response));
  // Sticky.
  FAILS(INFERLAY_CODE_CANCELLED, inferlay_infer(server, request, &response));
  OK(inferlay_request_rearm(request));
  OK(inferlay_infer(server, request, &response));
  inferlay_response_free(response);
  OK(inferlay_request_set_deadline(request, inferlay_clock_now() - 1));
  inferlay_status *first = inferlay_infer(server, request, &response);
  inferlay_status *second = inferlay_infer(server, request, &response);
  // What is refused often is one and the same object, of which freeing frees nothing.
  CHECK(first == second && inferlay_status_code(first) == INFERLAY_CODE_TIMEOUT);
  inferlay_status_free(first);
  inferlay_status_free(second);
  CHECK(inferlay_status_code(first) == INFERLAY_CODE_TIMEOUT);
  OK(inferlay_request_set_deadline(request, SECONDS(100)));
  OK(inferlay_infer(server, request, &response));
  inferlay_response_free(response);
  // Nothing waits, so that it is never late.
  OK(inferlay_request_set_queue_timeout(request, 1));
  OK(inferlay_request_set_timeout(request, UINT64_MAX));
  OK(inferlay_infer(server, request, &response));
  inferlay_response_free(response);
  OK(inferlay_request_reset(request));
  FAILS(INFERLAY_CODE_INVALID_ARG, inferlay_infer(server, request, &response));
  inferlay_request_free(request);
  inferlay_server_free(server);
}

int main(void) {
  a_request_is_answered_and_used_again();
  inputs_may_be_copied_taken_or_in_pieces();
  outputs_may_go_to_memory_of_the_caller();
  strings_cross_in_both_forms();
  a_wrong_request_is_told_what_is_wrong();
  cancels_and_deadlines_hold_for_waiting_calls_too();
  return 0;
}
