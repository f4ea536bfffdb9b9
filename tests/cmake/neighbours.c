// Two libraries written in Rust in one program: each with the runtime that it came with.
#include <inferlay.h>
#include <stdio.h>

uint64_t neighbour_sum(uint64_t end);

int main(void) {
  inferlay_server *server = NULL;
  inferlay_status *status = inferlay_server_new(INFERLAY_API_VERSION, NULL, &server);
  if (status != NULL || neighbour_sum(5) != 10 || neighbour_sum(0) != 0) {
    inferlay_status_free(status);
    return 1;
  }
  inferlay_server_free(server);
  printf("inferlay %s has a neighbour\n", inferlay_version());
  return 0;
}
