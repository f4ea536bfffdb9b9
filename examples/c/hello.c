// The smallest whole program: a server, a model that is a function, one question, one answer.
#include "example.h"

int main(void) {
  inferlay_server *server = doubling_server();

  // The call that waits. It borrows the memory of the input and copies nothing; the idle model runs on this very
  // thread.
  const float row[] = {1.5f, 21};
  inferlay_request *request = row_request(server, row);
  inferlay_response *response = NULL;
  expect(inferlay_infer(server, request, &response), "infer");

  // The answer is read where the model wrote it, until the response is freed.
  const float *y = answer(response);
  printf("%s version %d: twice %g is %g, twice %g is %g\n", inferlay_response_model(response),
         (int)inferlay_response_version(response), row[0], y[0], row[1], y[1]);

  inferlay_response_free(response);
  inferlay_request_free(request);
  inferlay_server_free(server);
  return 0;
}
