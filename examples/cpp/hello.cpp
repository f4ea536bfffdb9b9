// The smallest whole program: a server, a model that is a callable, one question, one answer.
#include "example.hpp"
#include <array>

int main() {
  return run([] {
    inferlay::server server;
    add_double(server);

    // The call that waits. It borrows the memory of the input and copies nothing; the idle model runs on this very
    // thread.
    const std::array<float, 2> row{1.5f, 21};
    inferlay::request request(server, "double");
    request.set_input("x", row, {1, 2});
    const auto response = server.infer(request);

    // The answer is read where the model wrote it, as long as the response lives.
    const auto y = response.output("y").as<float>();
    std::cout << response.model() << " version " << response.version() << ": twice " << row[0] << " is " << y[0]
              << ", twice " << row[1] << " is " << y[1] << '\n';
    return 0;
  });
}
