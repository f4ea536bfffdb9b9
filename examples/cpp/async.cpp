// Many requests at once: first with futures, then with a function that is called with the answer.
#include "example.hpp"
#include <atomic>
#include <condition_variable>
#include <deque>
#include <future>
#include <mutex>
#include <vector>

namespace {

constexpr int rows_len = 100;

double by_futures(const inferlay::server &server) {
  std::vector<std::vector<float>> rows;
  std::vector<inferlay::request> requests;
  std::vector<std::future<inferlay::response>> answers;
  // The rows are lent until their futures are ready, so they must not move.
  rows.reserve(rows_len);
  for (int i = 0; i < rows_len; ++i) {
    rows.push_back({static_cast<float>(i), 1});
    requests.emplace_back(server, "double").set_input("x", rows.back(), {1, 2});
    answers.push_back(server.infer_async(requests.back()));
  }
  double total = 0;
  for (auto &answer : answers) {
    const auto response = answer.get();
    for (const float y : response.output("y").as<float>()) total += y;
  }
  return total;
}

// Counts down to the last release.
class countdown {
 public:
  explicit countdown(int from) : left_(from) {}

  void one() {
    // Rung under the lock: whoever waits may destroy the bell as soon as it has it.
    const std::lock_guard<std::mutex> lock(mutex_);
    if (--left_ == 0) bell_.notify_all();
  }

  void wait() {
    std::unique_lock<std::mutex> lock(mutex_);
    bell_.wait(lock, [this] { return left_ == 0; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable bell_;
  int left_;
};

double by_callbacks(const inferlay::server &server) {
  std::deque<inferlay::request> requests;
  std::atomic<int> total{0}, failures{0};
  countdown left(rows_len);
  for (int i = 0; i < rows_len; ++i) {
    // The request owns this input: nothing is lent.
    auto &request = requests.emplace_back(server, "double");
    request.take_input("x", std::vector<float>{static_cast<float>(i), 1}, {1, 2});
    // On a thread of the library; an exception that leaves it would end the program.
    const auto on_response = [&](inferlay::result result) {
      try {
        const auto response = result.take();
        for (const float y : response.output("y").as<float>()) total += static_cast<int>(y);
      } catch (const inferlay::error &) {
        ++failures;
      }
    };
    server.infer_async(request, on_response, [&] { left.one(); });
  }
  left.wait();
  return failures == 0 ? total.load() : -1;
}

}  // namespace

int main() {
  return run([] {
    inferlay::server server;
    add_double(server);
    std::cout << "futures: " << rows_len << " answers, which add up to " << by_futures(server) << '\n';
    std::cout << "callbacks: " << rows_len << " answers, which add up to " << by_callbacks(server) << '\n';
    return 0;
  });
}
