// What a program may get wrong: NULL, stale handles and versions, structs of another size, texts that are none, forks.
// Each is answered with a status, never with a crash.
#include "check.h"
#include <sys/wait.h>
#include <unistd.h>

#define NULLED(call) FAILS(INFERLAY_CODE_INVALID_ARG, call)

static void on_response(void *user_data, inferlay_response *response, inferlay_response_flags flags,
                        inferlay_status *status) {
  (void)user_data, (void)response, (void)flags, (void)status;
  CHECK(!"called");
}

static void free_nothing(void *user_data, void *data) { (void)user_data, (void)data; }

static void null_is_refused_by_options_servers_and_models(void) {
  char *text = NULL;
  inferlay_server *server = NULL;
  inferlay_options_free(NULL), inferlay_server_free(NULL), inferlay_text_free(NULL), inferlay_status_free(NULL);
  CHECK(inferlay_status_code(NULL) == INFERLAY_CODE_UNKNOWN && *inferlay_status_message(NULL) == 0);
  inferlay_status *empty = inferlay_status_new(INFERLAY_CODE_CANCELLED, NULL);
  CHECK(inferlay_status_code(empty) == INFERLAY_CODE_CANCELLED && *inferlay_status_message(empty) == 0);
  inferlay_status_free(empty);
  inferlay_options *options = inferlay_options_new();
  NULLED(inferlay_options_set_text(NULL, "{}")), NULLED(inferlay_options_set_text(options, NULL));
  NULLED(inferlay_options_add_repository(NULL, "x")), NULLED(inferlay_options_add_repository(options, NULL));
  NULLED(inferlay_options_add_model_file(NULL, "x")), NULLED(inferlay_options_add_model_file(options, NULL));
  const inferlay_file *files[1] = {NULL};
  NULLED(inferlay_options_add_model_in_memory(NULL, "x", files, 0));
  NULLED(inferlay_options_add_model_in_memory(options, NULL, files, 0));
  NULLED(inferlay_options_add_model_in_memory(options, "x", NULL, 1));
  NULLED(inferlay_options_add_model_in_memory(options, "x", files, 1));
  NULLED(inferlay_options_set_strict(NULL, true)), NULLED(inferlay_options_set_caller_runs(NULL, 0));
  NULLED(inferlay_options_set_load_threads_max(NULL, 1)), NULLED(inferlay_options_set_execution_threads_max(NULL, 1));
  NULLED(inferlay_options_add_trusted_key(NULL, "x")), NULLED(inferlay_options_add_trusted_key(options, NULL));
  NULLED(inferlay_options_set_require_manifest(NULL, true)), NULLED(inferlay_options_set_require_signature(NULL, true));
  NULLED(inferlay_options_set_spin_max(NULL, 1)), NULLED(inferlay_options_set_small_output_len_max(NULL, 1));
  NULLED(inferlay_options_add_backend_directory(NULL, "x"));
  NULLED(inferlay_options_add_backend_directory(options, NULL));
  NULLED(inferlay_options_set_backend_option(NULL, "a", "b", "c"));
  NULLED(inferlay_options_set_backend_option(options, NULL, "b", "c"));
  NULLED(inferlay_options_set_backend_option(options, "a", NULL, "c"));
  NULLED(inferlay_options_set_backend_option(options, "a", "b", NULL));
  NULLED(inferlay_options_add_backend(NULL, NULL)), NULLED(inferlay_options_add_backend(options, NULL));
  NULLED(inferlay_options_set_trace_every(NULL, 1)), NULLED(inferlay_options_set_progress(NULL, NULL, NULL));
  NULLED(inferlay_options_set_log(NULL, NULL, NULL, 0));
  inferlay_options_free(options);
  NULLED(inferlay_build(NULL));
  NULLED(inferlay_server_new(INFERLAY_API_VERSION, NULL, NULL)), NULLED(inferlay_server_stop(NULL, 0));
  NULLED(inferlay_server_metadata(NULL, &text)), NULLED(inferlay_server_models(NULL, &text));
  NULLED(inferlay_server_statistics(NULL, &text)), NULLED(inferlay_server_metrics(NULL, &text));
  NULLED(inferlay_server_traces(NULL, &text)), NULLED(inferlay_server_set_trace_every(NULL, 1));
  NULLED(inferlay_server_backends(NULL, &text)), NULLED(inferlay_server_devices(NULL, &text));
  NULLED(inferlay_server_register_model(NULL, DOUBLE_CONFIG, NULL, NULL));
  NULLED(inferlay_model_metadata(NULL, "x", 0, &text)), NULLED(inferlay_model_config(NULL, "x", 0, &text));
  NULLED(inferlay_model_statistics(NULL, "x", 0, &text)), NULLED(inferlay_model_load(NULL, "x"));
  NULLED(inferlay_model_remove(NULL, "x", 0));
  CHECK(!inferlay_server_is_live(NULL) && !inferlay_server_is_ready(NULL) && !inferlay_model_is_ready(NULL, "x", 0));
  server = doubling_server();
  NULLED(inferlay_server_models(server, NULL)), NULLED(inferlay_model_metadata(server, NULL, 0, &text));
  NULLED(inferlay_server_metrics(server, NULL)), NULLED(inferlay_model_load(server, NULL));
  NULLED(inferlay_model_remove(server, NULL, 0)), NULLED(inferlay_server_register_model(server, NULL, NULL, NULL));
  CHECK(!inferlay_model_is_ready(server, NULL, 0) && text == NULL);
  inferlay_server_free(server);
}

static void null_is_refused_by_requests(void) {
  inferlay_server *server = doubling_server();
  const float row[2] = {1, 2};
  const int64_t shape[2] = {1, 2};
  inferlay_request *request = NULL;
  NULLED(inferlay_request_new(NULL, "double", 0, &request)), NULLED(inferlay_request_new(server, NULL, 0, &request));
  NULLED(inferlay_request_new(server, "double", 0, NULL));
  CHECK(request == NULL);
  request = double_request(server, row);
  inferlay_view x = view_of(INFERLAY_TYPE_FP32, shape, 2, row, sizeof row);
  inferlay_request_free(NULL);
  NULLED(inferlay_request_reset(NULL)), NULLED(inferlay_request_cancel(NULL)), NULLED(inferlay_request_rearm(NULL));
  NULLED(inferlay_request_set_id(NULL, "x")), NULLED(inferlay_request_set_id(request, NULL));
  NULLED(inferlay_request_set_input(NULL, "x", &x)), NULLED(inferlay_request_set_input(request, NULL, &x));
  NULLED(inferlay_request_set_input(request, "x", NULL)), NULLED(inferlay_request_copy_input(request, "x", NULL));
  NULLED(inferlay_request_copy_input(NULL, "x", &x)), NULLED(inferlay_request_copy_input(request, NULL, &x));
  NULLED(inferlay_request_take_input(NULL, "x", &x, free_nothing, NULL));
  NULLED(inferlay_request_take_input(request, NULL, &x, free_nothing, NULL));
  NULLED(inferlay_request_take_input(request, "x", NULL, free_nothing, NULL));
  NULLED(inferlay_request_take_input(request, "x", &x, NULL, NULL));
  NULLED(inferlay_request_append_input(NULL, "x", row, 4, NULL));
  NULLED(inferlay_request_append_input(request, NULL, row, 4, NULL));
  NULLED(inferlay_request_append_input(request, "x", NULL, 4, NULL));
  NULLED(inferlay_request_remove_input(NULL, "x")), NULLED(inferlay_request_remove_input(request, NULL));
  NULLED(inferlay_request_add_output(NULL, "y", NULL)), NULLED(inferlay_request_add_output(request, NULL, NULL));
  NULLED(inferlay_request_set_output(NULL, "y", NULL, 0, NULL));
  NULLED(inferlay_request_set_output(request, NULL, NULL, 0, NULL));
  NULLED(inferlay_request_set_output(request, "y", NULL, 8, NULL)), NULLED(inferlay_request_clear_outputs(NULL));
  NULLED(inferlay_request_set_deadline(NULL, 1)), NULLED(inferlay_request_set_timeout(NULL, 1));
  NULLED(inferlay_request_set_queue_timeout(NULL, 1));
  NULLED(inferlay_request_set_priority(NULL, 1)), NULLED(inferlay_request_set_traced(NULL, true));
  NULLED(inferlay_request_set_sequence(NULL, 1, 0)), NULLED(inferlay_request_set_sequence_text(NULL, "x", 0));
  NULLED(inferlay_request_set_sequence_text(request, NULL, 0)), NULLED(inferlay_request_clear_parameters(NULL));
  NULLED(inferlay_request_set_parameter_string(NULL, "x", "y"));
  NULLED(inferlay_request_set_parameter_string(request, NULL, "y"));
  NULLED(inferlay_request_set_parameter_string(request, "x", NULL));
  NULLED(inferlay_request_set_parameter_int(request, NULL, 1)), NULLED(inferlay_request_set_parameter_int(NULL, "x", 1));
  NULLED(inferlay_request_set_parameter_double(request, NULL, 1));
  NULLED(inferlay_request_set_parameter_bool(request, NULL, true));
  x.data = NULL;
  NULLED(inferlay_request_set_input(request, "x", &x));
  x.data = row, x.shape = NULL;
  NULLED(inferlay_request_set_input(request, "x", &x));
  // None of it has changed the request.
  inferlay_response *response = NULL;
  NULLED(inferlay_infer(NULL, request, &response)), NULLED(inferlay_infer(server, NULL, &response));
  NULLED(inferlay_infer(server, request, NULL)), NULLED(inferlay_infer_async(NULL, request, on_response, NULL, NULL));
  NULLED(inferlay_infer_async(server, NULL, on_response, NULL, NULL));
  NULLED(inferlay_infer_async(server, request, NULL, NULL, NULL));
  NULLED(inferlay_infer_queue(server, request, NULL, NULL));
  OK(inferlay_infer(server, request, &response));
  check_doubled(response, row);
  inferlay_response_free(response);
  inferlay_request_free(request);
  inferlay_server_free(server);
}

static void null_is_refused_by_responses_tensors_and_queues(void) {
  inferlay_view view = no_view();
  inferlay_tensor *tensor = NULL;
  size_t size;
  inferlay_response_free(NULL), inferlay_tensor_free(NULL), inferlay_queue_free(NULL);
  CHECK(inferlay_response_retain(NULL) == NULL && *inferlay_response_model(NULL) == 0);
  CHECK(inferlay_response_version(NULL) == 0 && inferlay_response_outputs_len(NULL) == 0);
  CHECK(inferlay_response_output_name(NULL, 0) == NULL && inferlay_queue_fd(NULL) == -1);
  NULLED(inferlay_response_output(NULL, "y", &view)), NULLED(inferlay_response_output_at(NULL, 0, &view));
  NULLED(inferlay_response_output_wire(NULL, "y", NULL, 0, &size)), NULLED(inferlay_response_detach(NULL, "y", &tensor));
  NULLED(inferlay_tensor_view(NULL, &view)), NULLED(inferlay_queue_new(NULL));
  inferlay_event event;
  memset(&event, 0, sizeof event);
  NULLED(inferlay_queue_next(NULL, 0, &event));
  inferlay_queue *queue = NULL;
  OK(inferlay_queue_new(&queue));
  NULLED(inferlay_queue_next(queue, 0, NULL)), NULLED(inferlay_queue_next(queue, 0, &event));
  inferlay_queue_free(queue);
  inferlay_server *server = doubling_server();
  const float row[2] = {1, 2};
  inferlay_request *request = double_request(server, row);
  inferlay_response *response = NULL;
  OK(inferlay_infer(server, request, &response));
  NULLED(inferlay_response_output(response, NULL, &view)), NULLED(inferlay_response_output(response, "y", NULL));
  NULLED(inferlay_response_output_at(response, 0, NULL)), NULLED(inferlay_response_detach(response, "y", NULL));
  NULLED(inferlay_response_detach(response, NULL, &tensor));
  NULLED(inferlay_response_output_wire(response, NULL, NULL, 0, &size));
  NULLED(inferlay_response_output_wire(response, "y", NULL, 0, &size));
  NULLED(inferlay_response_output_wire(response, "y", NULL, 0, NULL));
  view.struct_size = 8;
  NULLED(inferlay_response_output(response, "y", &view));
  inferlay_response_free(response);
  // A struct of a later version of the header is filled as far as this library knows it.
  struct {
    inferlay_view view;
    char more[64];
  } later;
  memset(&later, 7, sizeof later);
  later.view.struct_size = sizeof later;
  OK(inferlay_infer(server, request, &response));
  OK(inferlay_response_output(response, "y", &later.view));
  CHECK(later.view.struct_size == sizeof later && later.more[0] == 7);
  inferlay_response_free(response);
  view.struct_size = 0;
  NULLED(inferlay_request_set_input(request, "x", &view));
  inferlay_memory memory = {0, 0, 0, 0, NULL};
  NULLED(inferlay_request_add_output(request, "y", &memory));
  inferlay_request_free(request);
  inferlay_server_free(server);
  inferlay_batch_len(NULL), inferlay_batch_rows(NULL), inferlay_batch_output_wanted(NULL, "x");
  NULLED(inferlay_batch_input(NULL, "x", &view)), NULLED(inferlay_batch_fail(NULL, 0, NULL));
  NULLED(inferlay_batch_output(NULL, "x", NULL, 0, NULL, NULL)), NULLED(inferlay_batch_set_output(NULL, "x", &view));
  NULLED(inferlay_batch_request(NULL, 0, NULL)), NULLED(inferlay_batch_parameter(NULL, 0, "x", NULL));
}

static void another_version_and_texts_that_are_none_are_refused(void) {
  inferlay_server *server = NULL;
  FAILS(INFERLAY_CODE_UNSUPPORTED, inferlay_server_new(INFERLAY_API_VERSION + 1, NULL, &server));
  FAILS(INFERLAY_CODE_UNSUPPORTED, inferlay_server_new(0, NULL, &server));
  CHECK(server == NULL);
  server = doubling_server();
  inferlay_request *request = NULL;
  NULLED(inferlay_request_new(server, "dou\xff" "ble", 0, &request));
  inferlay_options *options = inferlay_options_new();
  NULLED(inferlay_options_set_text(options, "strict: \xc3\x28"));
  inferlay_options_free(options);
  inferlay_server_free(server);
}

static void a_server_that_stopped_or_went_answers_with_a_status(void) {
  inferlay_server *server = doubling_server();
  const float row[2] = {1, 2};
  inferlay_request *request = double_request(server, row);
  inferlay_response *response = NULL;
  char *text = NULL;
  OK(inferlay_infer(server, request, &response));
  OK(inferlay_server_stop(server, SECONDS(120)));
  OK(inferlay_server_stop(server, 0));
  CHECK(!inferlay_server_is_live(server) && !inferlay_server_is_ready(server));
  inferlay_response *none = NULL;
  FAILS(INFERLAY_CODE_UNAVAILABLE, inferlay_infer(server, request, &none));
  FAILS(INFERLAY_CODE_UNAVAILABLE, inferlay_infer_async(server, request, on_response, NULL, NULL));
  inferlay_model_table table = {sizeof table, double_rows, NULL};
  FAILS(INFERLAY_CODE_UNAVAILABLE, inferlay_server_register_model(server, DOUBLE_CONFIG, &table, NULL));
  OK(inferlay_server_metrics(server, &text));
  inferlay_text_free(text);
  text = NULL;
  inferlay_server_free(server);
  inferlay_server_free(server);
#define GONE(call) FAILS(INFERLAY_CODE_FAILED_PRECONDITION, call)
  GONE(inferlay_server_stop(server, 0)), GONE(inferlay_server_models(server, &text));
  GONE(inferlay_server_metadata(server, &text)), GONE(inferlay_server_metrics(server, &text));
  GONE(inferlay_model_metadata(server, "double", 0, &text)), GONE(inferlay_model_load(server, "x"));
  GONE(inferlay_infer(server, request, &none)), GONE(inferlay_infer_async(server, request, on_response, NULL, NULL));
  inferlay_request *late = NULL;
  GONE(inferlay_request_new(server, "double", 0, &late));
  GONE(inferlay_server_register_model(server, DOUBLE_CONFIG, &table, NULL));
  CHECK(!inferlay_server_is_live(server) && none == NULL && late == NULL && text == NULL);
  OK(inferlay_request_set_id(request, "still there"));
  // Another server does not take the place of the one that went.
  inferlay_server *other = doubling_server();
  CHECK(other != server);
  GONE(inferlay_infer(server, request, &none));
  FAILS(INFERLAY_CODE_INVALID_ARG, inferlay_infer(other, request, &none));
  inferlay_server_free(other);
  check_doubled(response, row);
  inferlay_response_free(response);
  inferlay_request_free(request);
}

static void the_child_of_a_fork_gets_a_status(void) {
  inferlay_server *server = doubling_server();
  const float row[2] = {1, 2};
  inferlay_request *request = double_request(server, row);
  inferlay_response *response = NULL, *none = NULL;
  OK(inferlay_infer(server, request, &response));
  inferlay_queue *queue = NULL;
  OK(inferlay_queue_new(&queue));
  fflush(stderr);
  pid_t child = fork();
  if (child == 0) {
    inferlay_event event;
    memset(&event, 0, sizeof event);
    event.struct_size = sizeof event;
    inferlay_server *other = NULL;
    GONE(inferlay_infer(server, request, &none));
    GONE(inferlay_infer_async(server, request, on_response, NULL, NULL));
    GONE(inferlay_server_stop(server, SECONDS(1)));
    GONE(inferlay_server_new(INFERLAY_API_VERSION, NULL, &other));
    GONE(inferlay_queue_next(queue, UINT64_MAX, &event));
    GONE(inferlay_request_cancel(request));
    CHECK(!inferlay_server_is_live(server) && inferlay_options_new() == NULL && inferlay_queue_fd(queue) == -1);
    inferlay_status *status = inferlay_infer(server, request, &none);
    CHECK(strstr(inferlay_status_message(status), "fork"));
    inferlay_status_free(status);
    inferlay_response_free(response), inferlay_request_free(request), inferlay_queue_free(queue);
    inferlay_server_free(server);
    _exit(0);
  }
  int end = -1;
  CHECK(child > 0 && waitpid(child, &end, 0) == child && WIFEXITED(end) && WEXITSTATUS(end) == 0);
  // The parent is as it was.
  inferlay_response_free(response);
  OK(inferlay_infer(server, request, &response));
  check_doubled(response, row);
  inferlay_response_free(response), inferlay_request_free(request), inferlay_queue_free(queue);
  inferlay_server_free(server);
}

int main(void) {
  null_is_refused_by_options_servers_and_models();
  null_is_refused_by_requests();
  null_is_refused_by_responses_tensors_and_queues();
  another_version_and_texts_that_are_none_are_refused();
  a_server_that_stopped_or_went_answers_with_a_status();
  the_child_of_a_fork_gets_a_status();
  return 0;
}
