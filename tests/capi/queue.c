// Completion queues: the same two kinds of event, a descriptor that tells of them, and several takers.
#include "check.h"
#include "gate.h"
#include <errno.h>
#include <poll.h>
#include <sys/epoll.h>
#include <unistd.h>

static inferlay_event no_event(void) {
  inferlay_event event;
  memset(&event, 0, sizeof event);
  event.struct_size = sizeof event;
  return event;
}

static int is_readable(int fd) {
  struct pollfd entry = {fd, POLLIN, 0};
  return poll(&entry, 1, 0) == 1;
}

static void events_come_in_order_and_carry_what_callbacks_would(void) {
  inferlay_server *server = doubling_server();
  inferlay_queue *queue = NULL;
  OK(inferlay_queue_new(&queue));
  inferlay_event event = no_event();
  FAILS(INFERLAY_CODE_TIMEOUT, inferlay_queue_next(queue, 0, &event));
  FAILS(INFERLAY_CODE_TIMEOUT, inferlay_queue_next(queue, 1000000, &event));
  const float row[2] = {1, 2};
  inferlay_request *request = double_request(server, row);
  int mark;
  for (int i = 0; i < 100; i++) {
    OK(inferlay_infer_queue(server, request, queue, &mark));
    OK(inferlay_queue_next(queue, UINT64_MAX, &event));
    CHECK(event.kind == INFERLAY_EVENT_RESPONSE && event.flags == INFERLAY_RESPONSE_FINAL);
    CHECK(event.user_data == &mark && event.request == request && event.status == NULL);
    check_doubled(event.response, row);
    inferlay_response_free(event.response);
    OK(inferlay_queue_next(queue, UINT64_MAX, &event));
    CHECK(event.kind == INFERLAY_EVENT_RELEASE && event.flags == 0 && event.request == request);
    CHECK(event.response == NULL && event.status == NULL && event.user_data == &mark);
  }
  OK(inferlay_request_cancel(request));
  OK(inferlay_infer_queue(server, request, queue, NULL));
  OK(inferlay_queue_next(queue, UINT64_MAX, &event));
  CHECK(event.kind == INFERLAY_EVENT_RESPONSE && event.response == NULL);
  CHECK(inferlay_status_code(event.status) == INFERLAY_CODE_CANCELLED);
  inferlay_status_free(event.status);
  OK(inferlay_queue_next(queue, UINT64_MAX, &event));
  CHECK(event.kind == INFERLAY_EVENT_RELEASE);
  FAILS(INFERLAY_CODE_TIMEOUT, inferlay_queue_next(queue, 0, &event));
  inferlay_request_free(request);
  inferlay_queue_free(queue);
  inferlay_server_free(server);
}

static void the_descriptor_is_readable_while_there_are_events(void) {
  inferlay_server *server = doubling_server();
  inferlay_queue *queue = NULL;
  OK(inferlay_queue_new(&queue));
  const float row[2] = {1, 2};
  inferlay_request *requests[16];
  for (int i = 0; i < 16; i++) {
    requests[i] = double_request(server, row);
    OK(inferlay_infer_queue(server, requests[i], queue, NULL));
  }
  // Asked for while there may be events already.
  int fd = inferlay_queue_fd(queue);
  CHECK(fd >= 0 && inferlay_queue_fd(queue) == fd);
  int epoll = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event interest = {EPOLLIN, {NULL}};
  CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &interest) == 0);
  int responses = 0, releases = 0;
  while (releases < 16) {
    struct epoll_event happened;
    int count = epoll_wait(epoll, &happened, 1, 10000);
    CHECK(count == 1 || (count < 0 && errno == EINTR));
    for (;;) {
      inferlay_event event = no_event();
      inferlay_status *status = inferlay_queue_next(queue, 0, &event);
      if (status) {
        CHECK(inferlay_status_code(status) == INFERLAY_CODE_TIMEOUT);
        inferlay_status_free(status);
        break;
      }
      responses += event.kind == INFERLAY_EVENT_RESPONSE;
      releases += event.kind == INFERLAY_EVENT_RELEASE;
      inferlay_response_free(event.response);
    }
  }
  CHECK(responses == 16 && !is_readable(fd));
  // Several events are one signal, and taking one of them leaves it there.
  OK(inferlay_infer_queue(server, requests[0], queue, NULL));
  OK(inferlay_server_stop(server, SECONDS(120)));
  CHECK(is_readable(fd));
  inferlay_event event = no_event();
  OK(inferlay_queue_next(queue, 0, &event));
  CHECK(event.kind == INFERLAY_EVENT_RESPONSE && is_readable(fd));
  inferlay_response_free(event.response);
  OK(inferlay_queue_next(queue, 0, &event));
  CHECK(event.kind == INFERLAY_EVENT_RELEASE && !is_readable(fd));
  FAILS(INFERLAY_CODE_UNAVAILABLE, inferlay_infer_queue(server, requests[0], queue, NULL));
  CHECK(!is_readable(fd));
  close(epoll);
  for (int i = 0; i < 16; i++) inferlay_request_free(requests[i]);
  inferlay_server_free(server);
  inferlay_queue_free(queue);
}

static void a_queue_may_go_before_its_events_come(void) {
  struct gate gate;
  gate_init(&gate);
  inferlay_server *server = server_with(GATED_CONFIG, gated_double, &gate);
  inferlay_queue *queue = NULL, *other = NULL;
  OK(inferlay_queue_new(&queue));
  OK(inferlay_queue_new(&other));
  CHECK(inferlay_queue_fd(queue) >= 0);
  const float row[2] = {1, 2};
  inferlay_request *first = double_request(server, row), *second = double_request(server, row);
  OK(inferlay_infer_queue(server, first, queue, NULL));
  gate_await(&gate);
  FAILS(INFERLAY_CODE_FAILED_PRECONDITION, inferlay_infer_queue(server, first, other, NULL));
  OK(inferlay_infer_queue(server, second, other, NULL));
  inferlay_queue_free(queue);
  gate_open(&gate, 1);
  inferlay_event event = no_event();
  OK(inferlay_queue_next(other, UINT64_MAX, &event));
  inferlay_response_free(event.response);
  OK(inferlay_queue_next(other, UINT64_MAX, &event));
  // The first one's events were discarded; it is idle again.
  OK(inferlay_infer_queue(server, first, other, NULL));
  OK(inferlay_server_stop(server, SECONDS(120)));
  // Events that nobody takes go with their queue.
  inferlay_queue_free(other);
  inferlay_request_free(first);
  inferlay_request_free(second);
  inferlay_server_free(server);
}

enum { TAKERS = 4, EVENTS = 2 * 2000 };

struct taking {
  inferlay_server *server;
  inferlay_queue *queue;
  pthread_mutex_t lock;
  int responses, releases;
};

// A program that frees a request cannot know whether it is still in flight; the event tells what is true when it is taken.
static void a_request_that_was_freed_is_not_in_its_release_event(void) {
  inferlay_server *server = doubling_server();
  inferlay_queue *queue = NULL;
  OK(inferlay_queue_new(&queue));
  const float row[2] = {1, 2};
  for (int taken = 1; taken >= 0; taken--) {
    inferlay_request *request = double_request(server, row);
    OK(inferlay_infer_queue(server, request, queue, NULL));
    inferlay_event event = no_event();
    OK(inferlay_queue_next(queue, UINT64_MAX, &event));
    inferlay_response_free(event.response);
    struct pollfd entry = {inferlay_queue_fd(queue), POLLIN, 0};
    // The release is in the queue now.
    CHECK(poll(&entry, 1, -1) == 1);
    inferlay_request_free(request);
    if (taken) {
      OK(inferlay_queue_next(queue, UINT64_MAX, &event));
      CHECK(event.kind == INFERLAY_EVENT_RELEASE && event.request == NULL);
    }
  }
  // With an event in it that nobody has taken.
  inferlay_queue_free(queue);
  inferlay_server_free(server);
}

static void *take(void *argument) {
  struct taking *taking = argument;
  for (;;) {
    inferlay_event event = no_event();
    OK(inferlay_queue_next(taking->queue, UINT64_MAX, &event));
    inferlay_response_free(event.response);
    inferlay_status_free(event.status);
    int over = 0;
    pthread_mutex_lock(&taking->lock);
    if (event.kind == INFERLAY_EVENT_RESPONSE) taking->responses++;
    if (event.kind == INFERLAY_EVENT_RELEASE) taking->releases++;
    int total = taking->responses + taking->releases;
    over = total >= EVENTS - 2 * 16;
    pthread_mutex_unlock(&taking->lock);
    if (over) return NULL;
    if (event.kind == INFERLAY_EVENT_RELEASE)
      OK(inferlay_infer_queue(taking->server, event.request, taking->queue, NULL));
  }
}

static void several_threads_take_each_event_once(void) {
  struct taking taking;
  memset(&taking, 0, sizeof taking);
  pthread_mutex_init(&taking.lock, NULL);
  taking.server = doubling_server();
  OK(inferlay_queue_new(&taking.queue));
  const float row[2] = {1, 2};
  inferlay_request *requests[16];
  for (int i = 0; i < 16; i++) {
    requests[i] = double_request(taking.server, row);
    OK(inferlay_infer_queue(taking.server, requests[i], taking.queue, NULL));
  }
  pthread_t takers[TAKERS];
  for (int i = 0; i < TAKERS; i++) CHECK(pthread_create(&takers[i], NULL, take, &taking) == 0);
  for (int i = 0; i < TAKERS; i++) pthread_join(takers[i], NULL);
  OK(inferlay_server_stop(taking.server, SECONDS(120)));
  CHECK(taking.responses >= taking.releases);
  for (int i = 0; i < 16; i++) inferlay_request_free(requests[i]);
  inferlay_queue_free(taking.queue);
  inferlay_server_free(taking.server);
}

int main(void) {
  events_come_in_order_and_carry_what_callbacks_would();
  the_descriptor_is_readable_while_there_are_events();
  a_queue_may_go_before_its_events_come();
  a_request_that_was_freed_is_not_in_its_release_event();
  several_threads_take_each_event_once();
  return 0;
}
