// In the steady state a request allocates nothing, in none of the three ways to ask, and neither does a refusal.
#include "check.h"
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>

static atomic_long allocations;

#if !defined(__SANITIZE_ADDRESS__)
// The allocator of the program, counted for the library too.
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *memory, size_t size);
void *__libc_memalign(size_t align, size_t size);

void *malloc(size_t size) {
  atomic_fetch_add(&allocations, 1);
  return __libc_malloc(size);
}

void *calloc(size_t count, size_t size) {
  atomic_fetch_add(&allocations, 1);
  return __libc_calloc(count, size);
}

void *realloc(void *memory, size_t size) {
  atomic_fetch_add(&allocations, 1);
  return __libc_realloc(memory, size);
}

int posix_memalign(void **memory, size_t align, size_t size) {
  atomic_fetch_add(&allocations, 1);
  *memory = __libc_memalign(align, size);
  return *memory ? 0 : ENOMEM;
}
#endif

enum { IN_FLIGHT = 32, REQUESTS = 2000, WINDOWS_MAX = 5 };

static inferlay_server *server;
static inferlay_request *requests[IN_FLIGHT];
static inferlay_queue *queue;
static const float row[2] = {1, 2};
static float into[IN_FLIGHT][2];

static struct {
  pthread_mutex_t lock;
  pthread_cond_t bell;
  int released;
} told = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0};

static void blocking(void) {
  for (int i = 0; i < REQUESTS; i++) {
    inferlay_response *response = NULL;
    OK(inferlay_infer(server, requests[i % IN_FLIGHT], &response));
    check_doubled(response, row);
    inferlay_response_free(response);
  }
}

static void on_response(void *user_data, inferlay_response *response, inferlay_response_flags flags,
                        inferlay_status *status) {
  (void)user_data, (void)flags;
  CHECK(status == NULL);
  check_doubled(response, row);
  inferlay_response_free(response);
}

static void on_release(void *user_data, inferlay_request *request) {
  (void)user_data, (void)request;
  pthread_mutex_lock(&told.lock);
  told.released++;
  pthread_cond_signal(&told.bell);
  pthread_mutex_unlock(&told.lock);
}

static void callbacks(void) {
  for (int round = 0; round < REQUESTS / IN_FLIGHT; round++) {
    told.released = 0;
    for (int i = 0; i < IN_FLIGHT; i++)
      OK(inferlay_infer_async(server, requests[i], on_response, on_release, NULL));
    pthread_mutex_lock(&told.lock);
    while (told.released < IN_FLIGHT) pthread_cond_wait(&told.bell, &told.lock);
    pthread_mutex_unlock(&told.lock);
  }
}

static void events(void) {
  for (int i = 0; i < IN_FLIGHT; i++) OK(inferlay_infer_queue(server, requests[i], queue, NULL));
  for (int sent = IN_FLIGHT, released = 0; released < sent;) {
    inferlay_event event;
    memset(&event, 0, sizeof event);
    event.struct_size = sizeof event;
    OK(inferlay_queue_next(queue, UINT64_MAX, &event));
    if (event.kind == INFERLAY_EVENT_RESPONSE) {
      check_doubled(event.response, row);
      inferlay_response_free(event.response);
      continue;
    }
    released++;
    if (sent < REQUESTS) {
      sent++;
      OK(inferlay_infer_queue(server, event.request, queue, NULL));
    }
  }
}

static void refusals(void) {
  for (int i = 0; i < REQUESTS; i++) {
    inferlay_response *response = NULL;
    OK(inferlay_request_set_deadline(requests[0], 1));
    FAILS(INFERLAY_CODE_TIMEOUT, inferlay_infer(server, requests[0], &response));
    OK(inferlay_request_set_deadline(requests[0], 0));
    OK(inferlay_request_cancel(requests[0]));
    FAILS(INFERLAY_CODE_CANCELLED, inferlay_infer(server, requests[0], &response));
    OK(inferlay_request_rearm(requests[0]));
  }
}

static void steady(const char *name, void (*work)(void)) {
  // The first windows warm up; how many requests are on their way at once is up to the scheduler, and a pool grows when
  // they are more than ever before. An allocation per request shows in every window.
  long least = -1;
  for (int window = 0; window < WINDOWS_MAX && least != 0; window++) {
    const long before = atomic_load(&allocations);
    work();
    const long count = atomic_load(&allocations) - before;
    if (least < 0 || count < least) least = count;
  }
  if (least != 0) {
    fprintf(stderr, "%s: found %ld allocations in %d requests, expected none\n", name, least, REQUESTS);
    exit(1);
  }
}

int main(void) {
  void *volatile probe = malloc(1);
  free(probe);
  if (atomic_load(&allocations) == 0) {
    printf("the allocator is another's: nothing is counted\n");
    return 0;
  }
  server = doubling_server();
  OK(inferlay_queue_new(&queue));
  for (int i = 0; i < IN_FLIGHT; i++) requests[i] = double_request(server, row);
  steady("blocking", blocking);
  steady("callbacks", callbacks);
  steady("events", events);
  steady("refusals", refusals);
  for (int i = 0; i < IN_FLIGHT; i++) {
    OK(inferlay_request_set_output(requests[i], "y", into[i], sizeof into[i], NULL));
    OK(inferlay_request_set_timeout(requests[i], 100000000000u));
    OK(inferlay_request_set_id(requests[i], "a name"));
  }
  steady("blocking, into memory of the caller", blocking);
  steady("callbacks, into memory of the caller", callbacks);
  steady("events, into memory of the caller", events);
  for (int i = 0; i < IN_FLIGHT; i++) inferlay_request_free(requests[i]);
  inferlay_queue_free(queue);
  inferlay_server_free(server);
  return 0;
}
