// An event loop with epoll: answers come to a completion queue, whose file descriptor stands beside all others.
#include "example.h"
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { ROWS = 100 };

struct flight {
  float row[2];
  float sum;
};

// Takes all the events that there are; how many requests were released.
static int drain(inferlay_queue *queue) {
  int released = 0;
  for (;;) {
    inferlay_event event = {0};
    event.struct_size = sizeof event;
    inferlay_status *status = inferlay_queue_next(queue, 0, &event);
    if (status != NULL && inferlay_status_code(status) == INFERLAY_CODE_TIMEOUT) {
      // The queue is empty.
      inferlay_status_free(status);
      return released;
    }
    expect(status, "queue");
    if (event.kind == INFERLAY_EVENT_RESPONSE) {
      struct flight *flight = event.user_data;
      expect(event.status, "answer");
      const float *y = answer(event.response);
      flight->sum = y[0] + y[1];
      inferlay_response_free(event.response);
    } else {
      // Nothing touches the memory of the request any more. It could be sent again.
      inferlay_request_free(event.request);
      released++;
    }
  }
}

int main(void) {
  inferlay_server *server = doubling_server();
  inferlay_queue *queue = NULL;
  expect(inferlay_queue_new(&queue), "queue");

  int loop = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event readable = {.events = EPOLLIN, .data.fd = inferlay_queue_fd(queue)};
  if (loop < 0 || epoll_ctl(loop, EPOLL_CTL_ADD, inferlay_queue_fd(queue), &readable) != 0) {
    perror("epoll");
    return 1;
  }

  struct flight flights[ROWS];
  memset(flights, 0, sizeof flights);
  for (int i = 0; i < ROWS; i++) {
    flights[i].row[0] = (float)i;
    flights[i].row[1] = 1;
    inferlay_request *request = row_request(server, flights[i].row);
    expect(inferlay_infer_queue(server, request, queue, &flights[i]), "infer");
  }

  for (int left = ROWS; left > 0;) {
    struct epoll_event event;
    if (epoll_wait(loop, &event, 1, -1) == 1 && event.data.fd == inferlay_queue_fd(queue)) left -= drain(queue);
  }

  double total = 0;
  for (int i = 0; i < ROWS; i++) total += flights[i].sum;
  printf("%d answers, which add up to %g\n", ROWS, total);
  close(loop);
  inferlay_queue_free(queue);
  inferlay_server_free(server);
  return 0;
}
