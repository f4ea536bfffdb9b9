// The call that returns at once, with functions that are told.
#include "check.h"
#include <pthread.h>

struct told {
  pthread_mutex_t lock;
  pthread_cond_t bell;
  int responses, releases, order;
  pthread_t caller;
  float row[2];
  inferlay_code code;
};

static void on_response(void *user_data, inferlay_response *response, inferlay_response_flags flags,
                        inferlay_status *status) {
  struct told *told = user_data;
  CHECK(!pthread_equal(pthread_self(), told->caller));
  CHECK(flags == INFERLAY_RESPONSE_FINAL && (response == NULL) == (status != NULL));
  if (response) check_doubled(response, told->row);
  pthread_mutex_lock(&told->lock);
  CHECK(told->releases == 0 && told->responses == 0);
  told->responses++;
  told->code = status ? inferlay_status_code(status) : 99;
  pthread_mutex_unlock(&told->lock);
  inferlay_response_free(response);
  inferlay_status_free(status);
}

static void on_release(void *user_data, inferlay_request *request) {
  struct told *told = user_data;
  CHECK(!pthread_equal(pthread_self(), told->caller));
  (void)request;
  pthread_mutex_lock(&told->lock);
  CHECK(told->responses == 1);
  told->releases++;
  pthread_cond_signal(&told->bell);
  pthread_mutex_unlock(&told->lock);
}

static void await_release(struct told *told) {
  pthread_mutex_lock(&told->lock);
  while (told->releases == 0) pthread_cond_wait(&told->bell, &told->lock);
  CHECK(told->releases == 1 && told->responses == 1);
  told->releases = told->responses = 0;
  pthread_mutex_unlock(&told->lock);
}

static void init(struct told *told) {
  memset(told, 0, sizeof *told);
  pthread_mutex_init(&told->lock, NULL);
  pthread_cond_init(&told->bell, NULL);
  told->caller = pthread_self();
  told->row[0] = 3;
  told->row[1] = 4;
}

static void a_response_comes_and_then_the_release(void) {
  inferlay_server *server = doubling_server();
  struct told told;
  init(&told);
  inferlay_request *request = double_request(server, told.row);
  for (int i = 0; i < 200; i++) {
    told.row[1] = (float)i;
    OK(inferlay_infer_async(server, request, on_response, on_release, &told));
    await_release(&told);
    CHECK(told.code == 99);
  }
  inferlay_request_free(request);
  inferlay_server_free(server);
}

int main(void) {
  a_response_comes_and_then_the_release();
  return 0;
}
