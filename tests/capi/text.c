// What a server says of itself, its models and its work; options; progress and log.
#include "check.h"
#include <unistd.h>

static char *said;

// Checks that a text holds all of these.
static void check_text(char *text, const char *const *parts) {
  for (; *parts; parts++) {
    if (!strstr(text, *parts)) {
      fprintf(stderr, "no '%s' in: %s\n", *parts, text);
      exit(1);
    }
  }
  inferlay_text_free(text);
}

#define SAYS(call, ...) \
  do { \
    static const char *const parts[] = {__VA_ARGS__, NULL}; \
    said = NULL; \
    OK(call); \
    check_text(said, parts); \
  } while (0)

static void the_library_says_what_it_is(void) {
  CHECK(strcmp(inferlay_version(), "0.1.0") == 0 && inferlay_api_version() == INFERLAY_API_VERSION);
  SAYS(inferlay_build(&said), "\"version\":\"0.1.0\"", "\"api_version\":1", "-linux\"", "\"features\":[");
  CHECK(strcmp(inferlay_code_name(INFERLAY_CODE_RESOURCE_EXHAUSTED), "RESOURCE_EXHAUSTED") == 0);
  CHECK(strcmp(inferlay_code_name(4711), "UNKNOWN") == 0);
  CHECK(inferlay_clock_now() <= inferlay_clock_now());
}

static void a_server_says_what_it_serves_and_did(void) {
  inferlay_server *server = doubling_server();
  const float row[2] = {1, 2};
  inferlay_request *request = double_request(server, row);
  OK(inferlay_request_set_traced(request, true));
  OK(inferlay_request_set_id(request, "traced one"));
  inferlay_response *response = NULL;
  OK(inferlay_infer(server, request, &response));
  inferlay_response_free(response);
  inferlay_request_free(request);
  SAYS(inferlay_server_metadata(server, &said), "\"name\":\"inferlay\"", "\"version\":\"0.1.0\"", "extensions");
  SAYS(inferlay_server_models(server, &said), "[{\"name\":\"double\",\"version\":1,\"state\":\"READY\",\"reason\":\"\"}]");
  SAYS(inferlay_server_statistics(server, &said), "{\"model_stats\":[{", "\"inference_count\":1");
  SAYS(inferlay_server_metrics(server, &said), "# TYPE nv_inference_request_success counter",
       "nv_inference_request_success{model=\"double\",version=\"1\"} 1\n",
       "nv_inference_request_failure{model=\"double\",version=\"1\",reason=\"BACKEND\"} 0\n",
       "nv_inference_exec_count{model=\"double\",version=\"1\"} 1\n", "nv_inference_count{", "nv_inference_request_duration_us{",
       "nv_inference_queue_duration_us{", "nv_inference_compute_input_duration_us{",
       "nv_inference_compute_infer_duration_us{", "nv_inference_compute_output_duration_us{",
       "nv_inference_pending_request_count{model=\"double\",version=\"1\"} 0\n", "inferlay_worker_threads ");
  SAYS(inferlay_server_traces(server, &said), "traceEvents", "traced one", "\"cat\":\"double\"");
  OK(inferlay_server_set_trace_every(server, 1));
  SAYS(inferlay_server_backends(server, &said), "\"name\":\"null\"", "\"CALLER_OK\"");
  SAYS(inferlay_server_devices(server, &said), "\"kind\":\"CPU\"");
  SAYS(inferlay_model_metadata(server, "double", 0, &said), "\"platform\":\"closure\"", "\"versions\":[\"1\"]",
       "{\"name\":\"x\",\"datatype\":\"FP32\",\"shape\":[-1,2]}");
  SAYS(inferlay_model_config(server, "double", 1, &said), "\"max_batch_size\":8", "TYPE_FP32");
  SAYS(inferlay_model_statistics(server, "double", 0, &said), "\"success\":{\"count\":1,", "\"cuts\":{");
  CHECK(inferlay_model_is_ready(server, "double", 0) && inferlay_model_is_ready(server, "double", 1));
  CHECK(!inferlay_model_is_ready(server, "double", 2) && !inferlay_model_is_ready(server, "nothing", 0));
  said = NULL;
  FAILS(INFERLAY_CODE_NOT_FOUND, inferlay_model_metadata(server, "nothing", 0, &said));
  FAILS(INFERLAY_CODE_NOT_FOUND, inferlay_model_config(server, "double", 9, &said));
  FAILS(INFERLAY_CODE_NOT_FOUND, inferlay_model_statistics(server, "nothing", 0, &said));
  CHECK(said == NULL);
  inferlay_server_free(server);
}

struct seen {
  int ready, failed, lines;
};

static void on_progress(void *user_data, const inferlay_progress *progress) {
  struct seen *seen = user_data;
  CHECK(progress->struct_size >= sizeof *progress && progress->total == 2 && progress->done <= 2);
  if (progress->status) {
    CHECK(strcmp(progress->model, "broken") == 0 && strlen(inferlay_status_message(progress->status)) > 0);
    seen->failed++;
  } else {
    CHECK(strcmp(progress->model, "echo") == 0 && progress->version == 1);
    seen->ready++;
  }
}

static void on_log(void *user_data, inferlay_log_level level, const char *message, size_t len) {
  struct seen *seen = user_data;
  CHECK(level >= INFERLAY_LOG_ERROR && strlen(message) == len);
  if (strstr(message, "nowhere")) seen->lines++;
}

static void a_start_tells_of_each_model_and_logs_what_failed(void) {
  inferlay_options *options = echo_and_broken();
  struct seen seen = {0, 0, 0};
  OK(inferlay_options_set_progress(options, on_progress, &seen));
  OK(inferlay_options_set_log(options, on_log, &seen, INFERLAY_LOG_ERROR));
  OK(inferlay_options_set_caller_runs(options, INFERLAY_CALLER_RUNS_NEVER));
  OK(inferlay_options_set_load_threads_max(options, 1));
  OK(inferlay_options_set_execution_threads_max(options, 2));
  OK(inferlay_options_set_spin_max(options, 0));
  OK(inferlay_options_set_small_output_len_max(options, 0));
  OK(inferlay_options_set_trace_every(options, 1));
  inferlay_server *server = NULL;
  OK(inferlay_server_new(INFERLAY_API_VERSION, options, &server));
  CHECK(seen.ready == 1 && seen.failed == 1 && seen.lines == 1);
  CHECK(inferlay_server_is_live(server) && !inferlay_server_is_ready(server));
  SAYS(inferlay_server_models(server, &said), "\"state\":\"UNAVAILABLE\"", "nowhere");
  inferlay_request *request = NULL;
  FAILS(INFERLAY_CODE_UNAVAILABLE, inferlay_request_new(server, "broken", 0, &request));
  inferlay_server_free(server);
  // A strict start fails with the first failure, and leaves the place alone.
  OK(inferlay_options_set_text(options, "{\"strict\": true, \"caller_runs\": \"batch\"}"));
  server = NULL;
  FAILS(INFERLAY_CODE_UNAVAILABLE, inferlay_server_new(INFERLAY_API_VERSION, options, &server));
  CHECK(server == NULL);
  inferlay_options_free(options);
}

static void write_file(const char *path, const char *text) {
  FILE *file = fopen(path, "w");
  CHECK(file && fputs(text, file) >= 0 && fclose(file) == 0);
}

static void models_come_from_folders_and_files(void) {
  char folder[] = "/tmp/inferlay-capi-XXXXXX", path[256];
  CHECK(mkdtemp(folder));
  inferlay_options *options = inferlay_options_new();
  OK(inferlay_options_add_repository(options, folder));
  inferlay_server *server = NULL;
  OK(inferlay_server_new(INFERLAY_API_VERSION, options, &server));
  CHECK(inferlay_server_is_ready(server));
  snprintf(path, sizeof path, "%s/model.unknown", folder);
  write_file(path, "no model");
  inferlay_status *status = inferlay_model_load(server, path);
  CHECK(status != NULL && strlen(inferlay_status_message(status)) > 0);
  inferlay_status_free(status);
  FAILS(INFERLAY_CODE_NOT_FOUND, inferlay_model_load(server, "/nowhere/model.onnx"));
  CHECK(inferlay_server_is_live(server));
  inferlay_server_free(server);
  server = NULL;
  OK(inferlay_options_add_model_file(options, "/nowhere/model.onnx"));
  FAILS(INFERLAY_CODE_NOT_FOUND, inferlay_server_new(INFERLAY_API_VERSION, options, &server));
  inferlay_options_free(options);
  options = inferlay_options_new();
  FAILS(INFERLAY_CODE_INVALID_ARG, inferlay_options_set_text(options, "repositry: x"));
  OK(inferlay_options_set_text(options, "repositories: [/nowhere/at/all]"));
  FAILS(INFERLAY_CODE_NOT_FOUND, inferlay_server_new(INFERLAY_API_VERSION, options, &server));
  OK(inferlay_options_add_backend_directory(options, folder));
  FAILS(INFERLAY_CODE_INVALID_ARG, inferlay_options_set_caller_runs(options, 3));
  inferlay_options_free(options);
  CHECK(unlink(path) == 0 && rmdir(folder) == 0);
}

int main(void) {
  the_library_says_what_it_is();
  a_server_says_what_it_serves_and_did();
  a_start_tells_of_each_model_and_logs_what_failed();
  models_come_from_folders_and_files();
  return 0;
}
