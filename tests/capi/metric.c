// Metrics of the program, beside those of the library.
#include "check.h"
#include <math.h>
#include <pthread.h>

static const char *const LABELS[] = {"format", "pdf", "tier", "\"1\""};
static const double BOUNDS[] = {0.5, 1};

static inferlay_metric_definition definition_of(inferlay_metric_kind kind, const char *name) {
  inferlay_metric_definition definition;
  memset(&definition, 0, sizeof definition);
  definition.struct_size = sizeof definition;
  definition.kind = kind;
  definition.name = name;
  definition.help = "What it is";
  return definition;
}

static inferlay_metric *metric_of(inferlay_server *server, const inferlay_metric_definition *definition) {
  inferlay_metric *metric = NULL;
  OK(inferlay_metric_new(server, definition, &metric));
  CHECK(metric != NULL);
  return metric;
}

static bool shows(inferlay_server *server, const char *line) {
  char *text = NULL;
  OK(inferlay_server_metrics(server, &text));
  bool is_there = strstr(text, line) != NULL;
  inferlay_text_free(text);
  return is_there;
}

static void a_metric_is_shown_until_its_last_handle_is_freed(inferlay_server *server) {
  inferlay_metric_definition definition = definition_of(INFERLAY_METRIC_COUNTER, "app_pages_total");
  definition.labels = LABELS;
  definition.labels_len = 2;
  inferlay_metric *counter = metric_of(server, &definition), *again = metric_of(server, &definition);
  OK(inferlay_metric_increment(counter, 2));
  OK(inferlay_metric_increment(again, 0.5));
  double value = 0;
  OK(inferlay_metric_value(counter, &value));
  CHECK(value == 2.5);
  CHECK(shows(server, "# HELP app_pages_total What it is\n# TYPE app_pages_total counter\n"));
  CHECK(shows(server, "app_pages_total{format=\"pdf\",tier=\"\\\"1\\\"\"} 2.5\n"));
  inferlay_metric_free(counter);
  CHECK(shows(server, "app_pages_total"));
  inferlay_metric_free(again);
  CHECK(!shows(server, "app_pages_total"));
  inferlay_metric_free(NULL);
}

static void each_kind_does_what_it_can(inferlay_server *server) {
  inferlay_metric_definition definition = definition_of(INFERLAY_METRIC_GAUGE, "app_sessions");
  inferlay_metric *gauge = metric_of(server, &definition);
  OK(inferlay_metric_set(gauge, 3));
  OK(inferlay_metric_increment(gauge, -1));
  CHECK(shows(server, "app_sessions 2\n"));
  FAILS(INFERLAY_CODE_UNSUPPORTED, inferlay_metric_observe(gauge, 1));
  definition = definition_of(INFERLAY_METRIC_HISTOGRAM, "app_seconds");
  definition.bounds = BOUNDS;
  definition.bounds_len = 2;
  inferlay_metric *histogram = metric_of(server, &definition);
  OK(inferlay_metric_observe(histogram, 0.75));
  CHECK(shows(server, "app_seconds_bucket{le=\"0.5\"} 0\n") && shows(server, "app_seconds_bucket{le=\"1\"} 1\n"));
  double value = 4711;
  FAILS(INFERLAY_CODE_UNSUPPORTED, inferlay_metric_set(histogram, 1));
  FAILS(INFERLAY_CODE_UNSUPPORTED, inferlay_metric_increment(histogram, 1));
  FAILS(INFERLAY_CODE_UNSUPPORTED, inferlay_metric_value(histogram, &value));
  definition = definition_of(INFERLAY_METRIC_COUNTER, "app_steps_total");
  inferlay_metric *counter = metric_of(server, &definition);
  FAILS(INFERLAY_CODE_UNSUPPORTED, inferlay_metric_set(counter, 1));
  FAILS(INFERLAY_CODE_INVALID_ARG, inferlay_metric_increment(counter, -1));
  FAILS(INFERLAY_CODE_INVALID_ARG, inferlay_metric_increment(counter, NAN));
  CHECK(value == 4711);
  inferlay_metric_free(gauge), inferlay_metric_free(histogram), inferlay_metric_free(counter);
}

static void what_cannot_be_is_refused(inferlay_server *server) {
  inferlay_metric *metric = NULL;
  inferlay_metric_definition good = definition_of(INFERLAY_METRIC_COUNTER, "app_x"), bad = good;
  FAILS(INFERLAY_CODE_INVALID_ARG, inferlay_metric_new(NULL, &good, &metric));
  FAILS(INFERLAY_CODE_INVALID_ARG, inferlay_metric_new(server, NULL, &metric));
  FAILS(INFERLAY_CODE_INVALID_ARG, inferlay_metric_new(server, &good, NULL));
#define BAD(field, value) \
  bad = good, bad.field = (value); \
  FAILS(INFERLAY_CODE_INVALID_ARG, inferlay_metric_new(server, &bad, &metric))
  BAD(struct_size, sizeof good - 1);
  BAD(kind, 3);
  BAD(name, NULL);
  BAD(name, "nv_x");
  BAD(name, "a b");
  BAD(help, NULL);
  BAD(labels_len, 1);
  BAD(labels_len, (size_t)-1);
  BAD(kind, INFERLAY_METRIC_HISTOGRAM);
  bad = good, bad.bounds = BOUNDS, bad.bounds_len = 2;
  FAILS(INFERLAY_CODE_INVALID_ARG, inferlay_metric_new(server, &bad, &metric));
  inferlay_metric *held = metric_of(server, &good);
  bad = good, bad.kind = INFERLAY_METRIC_GAUGE;
  FAILS(INFERLAY_CODE_ALREADY_EXISTS, inferlay_metric_new(server, &bad, &metric));
  double value = 0;
  FAILS(INFERLAY_CODE_INVALID_ARG, inferlay_metric_set(NULL, 1));
  FAILS(INFERLAY_CODE_INVALID_ARG, inferlay_metric_increment(NULL, 1));
  FAILS(INFERLAY_CODE_INVALID_ARG, inferlay_metric_observe(NULL, 1));
  FAILS(INFERLAY_CODE_INVALID_ARG, inferlay_metric_value(NULL, &value));
  FAILS(INFERLAY_CODE_INVALID_ARG, inferlay_metric_value(held, NULL));
  CHECK(metric == NULL);
  inferlay_metric_free(held);
}

static void *step(void *metric) {
  for (int i = 0; i < 1000; i++) OK(inferlay_metric_increment(metric, 1));
  return NULL;
}

static void many_threads_lose_no_step(inferlay_server *server) {
  inferlay_metric_definition definition = definition_of(INFERLAY_METRIC_COUNTER, "app_steps_total");
  inferlay_metric *counter = metric_of(server, &definition);
  pthread_t threads[4];
  for (int i = 0; i < 4; i++) CHECK(pthread_create(&threads[i], NULL, step, counter) == 0);
  for (int i = 0; i < 4; i++) CHECK(pthread_join(threads[i], NULL) == 0);
  CHECK(shows(server, "app_steps_total 4000\n"));
  inferlay_metric_free(counter);
}

static void a_metric_outlives_its_server(void) {
  inferlay_server *server = doubling_server();
  inferlay_metric_definition definition = definition_of(INFERLAY_METRIC_GAUGE, "app_last");
  inferlay_metric *gauge = metric_of(server, &definition), *late = NULL;
  inferlay_server_free(server);
  OK(inferlay_metric_set(gauge, 1));
  FAILS(INFERLAY_CODE_FAILED_PRECONDITION, inferlay_metric_new(server, &definition, &late));
  CHECK(late == NULL);
  inferlay_metric_free(gauge);
}

int main(void) {
  inferlay_server *server = doubling_server();
  a_metric_is_shown_until_its_last_handle_is_freed(server);
  each_kind_does_what_it_can(server);
  what_cannot_be_is_refused(server);
  many_threads_lose_no_step(server);
  inferlay_server_free(server);
  a_metric_outlives_its_server();
  return 0;
}
