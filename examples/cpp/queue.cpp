// An event loop with epoll: answers come to a completion queue, whose file descriptor stands beside all others.
#include "example.hpp"
#include <deque>
#include <sys/epoll.h>
#include <system_error>
#include <unistd.h>
#include <vector>

namespace {

constexpr int rows_len = 100;

// An epoll that watches one descriptor.
class loop {
 public:
  explicit loop(int fd) : fd_(epoll_create1(EPOLL_CLOEXEC)) {
    epoll_event readable{};
    readable.events = EPOLLIN;
    readable.data.fd = fd;
    if (fd_ < 0 || epoll_ctl(fd_, EPOLL_CTL_ADD, fd, &readable) != 0) {
      throw std::system_error(errno, std::generic_category(), "epoll");
    }
  }
  loop(const loop &) = delete;
  loop &operator=(const loop &) = delete;
  ~loop() { close(fd_); }

  void wait() const {
    epoll_event event;
    epoll_wait(fd_, &event, 1, -1);
  }

 private:
  int fd_;
};

}  // namespace

int main() {
  return run([] {
    inferlay::server server;
    add_double(server);
    inferlay::queue queue;
    const loop loop(queue.fd());

    std::deque<inferlay::request> requests;
    for (int i = 0; i < rows_len; ++i) {
      auto &request = requests.emplace_back(server, "double");
      request.take_input("x", std::vector<float>{static_cast<float>(i), 1}, {1, 2});
      server.infer_queue(request, queue);
    }

    double total = 0;
    for (int left = rows_len; left > 0;) {
      loop.wait();
      // Until there is nothing left: the descriptor is readable again with the next event only.
      while (auto event = queue.try_next()) {
        if (event->is_release()) {
          --left;
        } else {
          const auto response = event->result().take();
          for (const float y : response.output("y").as<float>()) total += y;
        }
      }
    }
    std::cout << rows_len << " answers, which add up to " << total << '\n';
    return 0;
  });
}
