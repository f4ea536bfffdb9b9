// Many requests at once, each of which is told of its answer by a function.
#include "example.h"
#include <pthread.h>

enum { ROWS = 100 };

// How many requests are still on their way.
struct flights {
  pthread_mutex_t lock;
  pthread_cond_t landed;
  int left;
};

struct flight {
  struct flights *all;
  inferlay_request *request;
  float row[2];
  float sum;
};

// Called on a thread of the library. Response and status are ours now; one of them is NULL.
static void on_response(void *user_data, inferlay_response *response, inferlay_response_flags flags,
                        inferlay_status *status) {
  struct flight *flight = user_data;
  (void)flags;
  expect(status, "answer");
  const float *y = answer(response);
  flight->sum = y[0] + y[1];
  inferlay_response_free(response);
}

// Called last: nothing touches the memory of the request any more. It could be sent again from here.
static void on_release(void *user_data, inferlay_request *request) {
  struct flights *all = ((struct flight *)user_data)->all;
  (void)request;
  pthread_mutex_lock(&all->lock);
  if (--all->left == 0) pthread_cond_signal(&all->landed);
  pthread_mutex_unlock(&all->lock);
}

int main(void) {
  inferlay_server *server = doubling_server();
  struct flights all = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, ROWS};
  struct flight flights[ROWS];

  for (int i = 0; i < ROWS; i++) {
    struct flight *flight = &flights[i];
    *flight = (struct flight){&all, NULL, {(float)i, 1}, 0};
    flight->request = row_request(server, flight->row);
    expect(inferlay_infer_async(server, flight->request, on_response, on_release, flight), "infer");
  }

  pthread_mutex_lock(&all.lock);
  while (all.left > 0) pthread_cond_wait(&all.landed, &all.lock);
  pthread_mutex_unlock(&all.lock);

  double total = 0;
  for (int i = 0; i < ROWS; i++) {
    total += flights[i].sum;
    inferlay_request_free(flights[i].request);
  }
  printf("%d answers, which add up to %g\n", ROWS, total);
  inferlay_server_free(server);
  return 0;
}
