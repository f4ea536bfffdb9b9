// A gate that a model waits at, so that tests decide what runs when.
#ifndef INFERLAY_TESTS_GATE_H
#define INFERLAY_TESTS_GATE_H

#include "check.h"
#include <pthread.h>

struct gate {
  pthread_mutex_t lock;
  pthread_cond_t bell;
  int waiting, passed, open;
};

static inline void gate_init(struct gate *gate) {
  memset(gate, 0, sizeof *gate);
  pthread_mutex_init(&gate->lock, NULL);
  pthread_cond_init(&gate->bell, NULL);
}

static inline void gate_pass(struct gate *gate) {
  pthread_mutex_lock(&gate->lock);
  gate->waiting++;
  pthread_cond_broadcast(&gate->bell);
  while (!gate->open) pthread_cond_wait(&gate->bell, &gate->lock);
  gate->waiting--;
  gate->passed++;
  pthread_mutex_unlock(&gate->lock);
}

// Waits until somebody waits at the gate.
static inline void gate_await(struct gate *gate) {
  pthread_mutex_lock(&gate->lock);
  while (gate->waiting == 0) pthread_cond_wait(&gate->bell, &gate->lock);
  pthread_mutex_unlock(&gate->lock);
}

static inline void gate_open(struct gate *gate, int open) {
  pthread_mutex_lock(&gate->lock);
  gate->open = open;
  pthread_cond_broadcast(&gate->bell);
  pthread_mutex_unlock(&gate->lock);
}

static inline inferlay_status *gated_double(void *user_data, inferlay_batch *batch) {
  gate_pass(user_data);
  return double_rows(NULL, batch);
}

// The doubling model behind a gate, one request a batch, two waiting at most.
static const char GATED_CONFIG[] =
    "{name: double, max_batch_size: 8, input: {name: x, data_type: FP32, dims: 2},"
    " output: {name: y, data_type: FP32, dims: 2}, default_queue_policy: {max_queue_size: 2}}";

#endif
