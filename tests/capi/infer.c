// A server, a request, a response, by the call that waits.
#include "check.h"

static void a_request_is_answered_and_used_again(void) {
  inferlay_server *server = doubling_server();
  CHECK(inferlay_server_is_live(server) && inferlay_server_is_ready(server));
  float row[2] = {1, 2};
  inferlay_request *request = double_request(server, row);
  for (int i = 0; i < 100; i++) {
    row[0] = (float)i;
    inferlay_response *response = NULL;
    OK(inferlay_infer(server, request, &response));
    check_doubled(response, row);
    CHECK(strcmp(inferlay_response_model(response), "double") == 0 && inferlay_response_version(response) == 1);
    CHECK(inferlay_response_outputs_len(response) == 1);
    CHECK(strcmp(inferlay_response_output_name(response, 0), "y") == 0);
    CHECK(inferlay_response_output_name(response, 1) == NULL);
    inferlay_response_free(response);
  }
  inferlay_request_free(request);
  inferlay_server_free(server);
}

int main(void) {
  a_request_is_answered_and_used_again();
  return 0;
}
