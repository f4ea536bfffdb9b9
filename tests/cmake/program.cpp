// A program in C++ that uses what was installed, and nothing else: every class of inferlay.hpp.
#include <inferlay.hpp>

#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sys/wait.h>
#include <thread>
#if defined(__cpp_lib_span)
#include <span>
#endif

#define CHECK(condition) \
  do { \
    if (!(condition)) { \
      std::fprintf(stderr, "%s:%d: not so: %s\n", __FILE__, __LINE__, #condition); \
      std::exit(1); \
    } \
  } while (0)

const char *version_from_elsewhere();
std::string build_from_elsewhere();

namespace {

using namespace std::chrono_literals;
using inferlay::code;

template <class T>
constexpr bool moves_only = std::is_nothrow_move_constructible<T>::value && std::is_nothrow_move_assignable<T>::value &&
                            !std::is_copy_constructible<T>::value && !std::is_copy_assignable<T>::value;
static_assert(moves_only<inferlay::server> && moves_only<inferlay::request> && moves_only<inferlay::response>, "");
static_assert(moves_only<inferlay::queue> && moves_only<inferlay::options> && moves_only<inferlay::tensor>, "");
static_assert(moves_only<inferlay::event> && moves_only<inferlay::result>, "");
static_assert(moves_only<inferlay::batch_queue> && moves_only<inferlay::pulled_batch>, "");

static_assert(std::is_convertible<inferlay::span<float>, inferlay::span<const float>>::value, "");
static_assert(!std::is_convertible<inferlay::span<const float>, inferlay::span<float>>::value, "");
static_assert(!std::is_convertible<inferlay::span<float>, inferlay::span<int>>::value, "");
static_assert(!std::is_convertible<std::vector<float>, inferlay::span<float>>::value, "it would dangle");

// A call that must fail with this code, and say so.
template <class F>
void fails(code expected, F call) {
  try {
    call();
  } catch (const inferlay::error &error) {
    CHECK(error.code() == expected && error.what()[0] != '\0');
    return;
  }
  CHECK(!"it failed");
}

std::string config_of(const std::string &name, const std::string &type) {
  const auto tensor = [&](const char *key, const char *called) {
    return std::string(key) + ": {name: " + called + ", data_type: " + type + ", dims: -1}";
  };
  return "{name: " + name + ", max_batch_size: 8, " + tensor("input", "x") + ", " + tensor("output", "y") + "}";
}

std::int64_t rows_of(const inferlay::batch &batch) { return static_cast<std::int64_t>(batch.rows()); }

// The model `double`.
void add_double(inferlay::server &server) {
  server.register_model(config_of("double", "FP32"), [](inferlay::batch &batch) {
    const auto x = batch.input("x");
    const auto y = batch.output<float>("y", {rows_of(batch), x.shape()[1]});
    for (std::size_t i = 0; i < y.size(); ++i) y[i] = 2 * x.as<float>()[i];
  });
}

void an_answer_is_read_in_place(const inferlay::server &server) {
  const std::vector<float> row{1, 2, 3};
  inferlay::request request(server, std::string("double"));
  request.set_input("x", row, {1, 3});
  const auto response = server.infer(request);
  CHECK(std::strcmp(response.model(), "double") == 0 && response.version() == 1);
  CHECK(response.outputs_len() == 1 && std::strcmp(response.output_name(0), "y") == 0);
  CHECK(response.output_name(1) == nullptr);
  const auto y = response.output("y");
  CHECK(y.datatype() == inferlay::datatype::fp32 && y.memory_kind() == inferlay::memory_kind::host);
  CHECK(y.shape().size() == 2 && y.shape()[0] == 1 && y.shape()[1] == 3);
  const auto all = y.as<float>();
  CHECK(all.size() == 3 && all[0] == 2 && all[1] == 4 && all[2] == 6);
  CHECK(response.output_at(0).bytes().data() == y.bytes().data());
#if defined(__cpp_lib_span)
  const std::span<const float> standard = all;
  CHECK(standard.size() == 3 && standard[2] == 6);
#endif
  fails(code::invalid_arg, [&] { y.as<std::int32_t>(); });
  fails(code::not_found, [&] { response.output("z"); });
  fails(code::not_found, [&] { y.string(0); });
}

void every_way_to_give_an_input_works(const inferlay::server &server) {
  float row[] = {1, 2};
  const std::array<std::int64_t, 2> shape{1, 2};
  const auto last = [&](inferlay::request &request) {
    const auto response = server.infer(request);
    return response.output("y").as<float>()[1];
  };
  inferlay::request request(server, "double");
  CHECK(last(request.set_input("x", row, shape)) == 4);
  CHECK(last(request.set_input("x", inferlay::span<float>(row), shape)) == 4);
  CHECK(last(request.set_input("x", inferlay::datatype::fp32, row, sizeof row, shape)) == 4);
  CHECK(last(request.copy_input("x", std::vector<float>{5, 6}, shape)) == 12);
  CHECK(last(request.take_input("x", std::vector<float>{7, 8}, shape)) == 16);
  const float first[] = {9}, second[] = {10};
  CHECK(last(request.set_input("x", first, {1, 2}).append_input("x", second)) == 20);
  fails(code::invalid_arg, [&] { server.infer(request.remove_input("x")); });
}

void an_output_may_be_written_into_memory_of_the_caller(const inferlay::server &server) {
  const std::vector<float> row{1, 2};
  std::vector<float> y(2);
  inferlay::request request(server, "double");
  request.set_input("x", row, {1, 2}).set_output("y", y);
  const auto response = server.infer(request);
  CHECK(y[0] == 2 && y[1] == 4 && response.output("y").as<float>().data() == y.data());
  fails(code::unsupported, [&] { response.detach("y"); });
  request.clear_outputs().add_output("y");
  CHECK(server.infer(request).output("y").as<float>().data() != y.data());
}

void a_tensor_and_a_share_outlive_their_response(const inferlay::server &server) {
  const float row[] = {1, 2};
  inferlay::request request(server, "double");
  std::optional<inferlay::response> response(server.infer(request.set_input("x", row, {1, 2})));
  const auto tensor = response->detach("y");
  auto share = response->share();
  response.reset();
  CHECK(tensor.view().as<float>()[1] == 4 && share.output("y").as<float>()[1] == 4);
}

void a_future_brings_the_answer_or_the_error(const inferlay::server &server) {
  const float row[] = {1, 2};
  inferlay::request request(server, "double");
  request.set_input("x", row, {1, 2});
  for (int i = 0; i < 50; ++i) {
    // Ready means released: the request may go again at once.
    CHECK(server.infer_async(request).get().output("y").as<float>()[1] == 4);
  }
  request.cancel();
  fails(code::cancelled, [&] { server.infer_async(request).get(); });
  CHECK(server.infer_async(request.rearm()).get().output("y").as<float>()[0] == 2);
  request.set_timeout(-1ns);
  fails(code::timeout, [&] { server.infer_async(request).get(); });
  request.clear_deadline().set_deadline(inferlay::clock::now() + 1h);
  CHECK(server.infer_async(request).get().output("y").as<float>()[0] == 2);
}

void a_request_may_be_sent_again_from_its_release(const inferlay::server &server) {
  const float row[] = {1, 2};
  inferlay::request request(server, "double");
  request.set_input("x", row, {1, 2});
  // Counts copies of itself, to show that the library destroys what it was given.
  const auto alive = std::make_shared<int>();
  std::atomic<int> answers{0};
  std::promise<void> done;
  auto finished = done.get_future();
  std::function<void()> send = [&, alive] {
    const auto on_response = [&answers, alive](inferlay::result result) {
      CHECK(result.is_final() && result.is_response() && !result.is_error());
      CHECK(result.take().output("y").as<float>()[1] == 4);
      ++answers;
    };
    server.infer_async(request, on_response, [&, alive] { answers < 20 ? send() : done.set_value(); });
  };
  send();
  finished.wait();
  CHECK(answers == 20);
  send = nullptr;
  // The last callback may still be on its way out.
  while (alive.use_count() > 1) std::this_thread::yield();
}

void what_a_model_throws_answers_its_batch(inferlay::server &server) {
  struct row {
    code expected;
    std::function<void()> fault;
  };
  const std::vector<row> rows{
      {code::unavailable, [] { throw inferlay::error(code::unavailable, "not today"); }},
      {code::resource_exhausted, [] { throw std::bad_alloc(); }},
      {code::internal, [] { throw std::runtime_error("broken"); }},
      {code::internal, [] { throw 5; }},
  };
  std::size_t at = 0;
  server.register_model(config_of("faulty", "FP32"), [&](inferlay::batch &) { rows[at].fault(); });
  inferlay::request request(server, "faulty");
  request.copy_input("x", std::vector<float>{1}, {1, 1});
  for (at = 0; at < rows.size(); ++at) {
    fails(rows[at].expected, [&] { server.infer(request); });
    fails(rows[at].expected, [&] { server.infer_async(request).get(); });
  }
  server.remove("faulty", 120s);
}

void a_call_that_waits_is_refused_inside_a_model(inferlay::server &server) {
  server.register_model(config_of("inner", "FP32"), [&server](inferlay::batch &) {
    inferlay::request request(server, "double");
    server.infer(request.copy_input("x", std::vector<float>{1}, {1, 1}));
  });
  inferlay::request request(server, "inner");
  fails(code::failed_precondition, [&] { server.infer(request.copy_input("x", std::vector<float>{1}, {1, 1})); });
}

void a_model_sees_what_a_request_says(inferlay::server &server) {
  std::atomic<int> seen{0};
  server.register_model(config_of("curious", "FP32"), [&seen](inferlay::batch &batch) {
    CHECK(batch.size() == 1 && batch.rows() == 1 && batch.output_wanted("y"));
    const auto asked = batch.request(0);
    CHECK(asked.id == "me" && asked.rows == 1 && asked.sequence_id == 7 && asked.deadline && !asked.is_cancelled);
    CHECK(asked.sequence_flags == (INFERLAY_SEQUENCE_START | INFERLAY_SEQUENCE_END));
    CHECK(std::get<std::string_view>(batch.parameter(0, "text").value()) == "t");
    CHECK(std::get<std::int64_t>(batch.parameter(0, "int").value()) == -3);
    CHECK(std::get<double>(batch.parameter(0, "double").value()) == 0.5);
    CHECK(std::get<bool>(batch.parameter(0, "bool").value()));
    CHECK(std::get<std::string_view>(batch.parameter(0, "view").value()) == "v");
    CHECK(!batch.parameter(0, "nothing"));
    ++seen;
    batch.fail(0, inferlay::error(code::already_exists, "seen"));
  });
  inferlay::request request(server, "curious");
  request.copy_input("x", std::vector<float>{1}, {1, 1}).set_id("me").set_timeout(1h).set_queue_timeout(1min).set_traced(true);
  request.set_sequence(7, INFERLAY_SEQUENCE_START | INFERLAY_SEQUENCE_END);
  request.set_parameter("text", std::string("t")).set_parameter("view", std::string_view("v"));
  request.set_parameter("int", -3).set_parameter("double", 0.5).set_parameter("bool", true);
  fails(code::already_exists, [&] { server.infer(request); });
  CHECK(seen == 1);
}

void strings_go_in_and_come_out(inferlay::server &server) {
  server.register_model(config_of("words", "BYTES"), [](inferlay::batch &batch) {
    const auto x = batch.input("x");
    std::vector<std::string> turned;
    for (std::size_t i = 0; i < x.strings_len(); ++i) turned.emplace_back(x.string(i).rbegin(), x.string(i).rend());
    batch.set_strings("y", {turned.begin(), turned.end()}, {rows_of(batch), x.shape()[1]});
  });
  inferlay::request request(server, "words");
  const auto response = server.infer(request.copy_strings("x", {"ab", "", "cde"}, {1, 3}));
  const auto y = response.output("y");
  CHECK(y.strings_len() == 3 && y.string(0) == "ba" && y.string(1).empty() && y.string(2) == "edc");
  CHECK(response.output_wire("y") == std::string("\2\0\0\0ba\0\0\0\0\3\0\0\0edc", 17));
}

void raw_16_bits_are_read_as_what_they_are_stored_in(inferlay::server &server) {
  server.register_model(config_of("half", "FP16"),
                        [](inferlay::batch &batch) { batch.set_output("y", batch.input("x")); });
  const std::vector<std::uint16_t> bits{0x3c00};
  inferlay::request request(server, "half");
  request.set_input("x", inferlay::datatype::fp16, bits.data(), bits.size() * sizeof bits[0], {1, 1});
  CHECK(server.infer(request).output("y").as<std::uint16_t>()[0] == 0x3c00);
}

void a_model_s_function_is_destroyed_once(inferlay::server &server) {
  const auto alive = std::make_shared<int>();
  server.register_model(config_of("brief", "FP32"), [alive](inferlay::batch &) {});
  CHECK(alive.use_count() == 2);
  fails(code::already_exists,
        [&] { server.register_model(config_of("brief", "FP32"), [alive](inferlay::batch &) {}); });
  CHECK(alive.use_count() == 2);
  server.remove("brief", 120s);
  CHECK(alive.use_count() == 1);
}

void a_queue_tells_of_responses_and_releases(const inferlay::server &server) {
  inferlay::queue queue;
  CHECK(queue.fd() >= 0 && !queue.try_next() && !queue.next_for(1us));
  // Lent until the release, which comes after this function has returned.
  static const float row[] = {1, 2};
  inferlay::request request(server, "double");
  request.set_input("x", row, {1, 2});
  int mark = 0;
  server.infer_queue(request, queue, &mark);
  auto response = queue.next();
  CHECK(!response.is_release() && response.user_data() == &mark && response.is_of(request));
  CHECK(response.result().is_final() && response.result().take().output("y").as<float>()[1] == 4);
  const auto release = queue.next_for(120s);
  CHECK(release && release->is_release() && release->user_data() == &mark);
  // An event that nobody takes out is freed with its queue.
  server.infer_queue(request.rearm(), queue);
}

// Counts down from what it is sent, one response a step, on a thread of its own.
void add_count_down(inferlay::server &server) {
  server.register_model(
      "{name: count_down, input: {name: from, data_type: INT32, dims: 1}, output: {name: step, data_type: INT32, dims: 1},"
      " instance_group: {count: 4}, model_transaction_policy: {decoupled: true}}",
      [](inferlay::batch &batch) {
        std::thread([from = batch.input("from").as<std::int32_t>()[0], responder = batch.take(0)]() mutable {
          try {
            for (std::int32_t step[1] = {from}; step[0] > 0; --step[0]) {
              while (responder.credit() == 0 && !responder.is_cancelled()) std::this_thread::yield();
              responder.set_output("step", step, {1}).send();
            }
            if (from == 9) return responder.fail(inferlay::error(code::unavailable, "found 9"));
            responder.finish();
            fails(code::failed_precondition, [&] { responder.finish(); });
          } catch (const inferlay::error &error) {
            // Nobody wants it any more, or the caller takes exactly one.
            CHECK(error.code() == code::unsupported || (error.code() == code::cancelled && responder.is_cancelled()));
            CHECK(responder.credit() == 0);
          }
        }).detach();
      });
}

void responses_are_ranged_over_as_they_come(inferlay::server &server) {
  add_count_down(server);
  inferlay::request request(server, "count_down");
  const auto from = [&](std::int32_t from) -> inferlay::request & {
    return request.copy_input("from", std::array<std::int32_t, 1>{from}, {1});
  };
  const auto step = [](const inferlay::response &response) { return response.output("step").as<std::int32_t>()[0]; };
  for (std::int32_t count : {0, 1, 5}) {
    std::int32_t expected = count;
    for (auto &response : server.infer_stream(from(count))) CHECK(step(response) == expected--);
    CHECK(expected == 0);
  }
  {
    // What is not taken is cancelled, and the request is free again.
    auto some = server.infer_stream(from(1000000));
    fails(code::failed_precondition, [&] { server.infer_stream(request); });
    CHECK(step(*some.next()) == 1000000);
  }
  auto ended = server.infer_stream(from(9));
  for (std::int32_t expected = 9; expected > 0; --expected) CHECK(step(*ended.next()) == expected);
  fails(code::unavailable, [&] { ended.next(); });
  CHECK(!ended.next());
}

void who_takes_one_response_gets_it_if_there_is_one(const inferlay::server &server) {
  inferlay::request request(server, "count_down");
  for (std::int32_t count : {1, 0, 2}) {
    request.copy_input("from", std::array<std::int32_t, 1>{count}, {1});
    if (count == 1) {
      CHECK(server.infer(request).output("step").as<std::int32_t>()[0] == 1);
      CHECK(server.infer_async(request).get().output("step").as<std::int32_t>()[0] == 1);
    } else {
      fails(code::unsupported, [&] { server.infer(request); });
      fails(code::unsupported, [&] { server.infer_async(request).get(); });
    }
  }
  std::promise<int> done;
  int responses = 0;
  server.infer_async(request, [&](inferlay::result told) { responses += told.is_response(); },
                     [&] { done.set_value(responses); });
  CHECK(done.get_future().get() == 2);
}

void batches_are_pulled_and_answered(inferlay::server &server) {
  inferlay::batch_queue queue(server, config_of("pulled", "FP32"));
  CHECK(queue.fd() >= 0);
  fails(code::timeout, [&] { queue.next_for(1us); });
  fails(code::already_exists, [&] { inferlay::batch_queue(server, config_of("pulled", "FP32")); });
  const float row[] = {1, 2};
  const auto send = [&] {
    inferlay::request request(server, "pulled");
    request.copy_input("x", row, {1, 2});
    return server.infer_async(request);
  };
  auto answered = send();
  auto batch = queue.next();
  CHECK(batch && batch->view().size() == 1);
  const auto x = batch->view().input("x");
  batch->view().set_output("y", x);
  batch->answer();
  CHECK(x.as<float>()[1] == 2 && answered.get().output("y").as<float>()[1] == 2);
  fails(code::failed_precondition, [&] { batch->answer(); });
  auto failed = send();
  queue.next_for(10s)->fail(inferlay::error(code::unavailable, "out of order"));
  fails(code::unavailable, [&] { failed.get(); });
  auto dropped = send();
  queue.next().reset();
  fails(code::internal, [&] { dropped.get(); });
  server.remove("pulled", 1s);
  CHECK(!queue.next());
}

void a_server_tells_of_itself(inferlay::server &server) {
  CHECK(server.is_live() && server.is_ready() && server.is_ready("double") && !server.is_ready("double", 9));
  server.set_trace_every(0);
  for (const auto &text : {server.metadata(), server.models(), server.statistics(), server.metrics(), server.traces(),
                           server.backends(), server.devices(), server.model_metadata("double"),
                           server.model_config("double"), server.model_statistics("double")}) {
    CHECK(!text.empty());
  }
  fails(code::not_found, [&] { server.model_config("nothing"); });
  auto pages = server.metric_counter({"app_pages_total", "Pages that were read", {{"format", "pdf"}}});
  auto seconds = server.metric_histogram({"app_seconds"}, {0.5, 1});
  pages.increment(2.5);
  seconds.observe(0.75);
  CHECK(pages.value() == 2.5 && server.metrics().find("app_pages_total{format=\"pdf\"} 2.5\n") != std::string::npos);
  CHECK(server.metrics().find("app_seconds_bucket{le=\"1\"} 1\n") != std::string::npos);
  fails(code::already_exists, [&] { server.metric_gauge({"app_seconds"}).set(1); });
  fails(code::not_found, [&] { server.load("/nothing.onnx"); });
}

void options_say_what_is_loaded_and_who_is_told() {
  const std::string config =
      "{backend: 'null', input: {name: x, data_type: FP32, dims: 2}, output: {name: x, data_type: FP32, dims: 2}}";
  std::atomic<int> lines{0};
  const auto sink = [&lines](inferlay::log_level, std::string_view line) { lines += !line.empty(); };
  int told = 0, failed = 0;
  {
    inferlay::options options;
    options.add_model_in_memory("echo", {{"config.yaml", config}});
    options.add_model_in_memory("bad", {{"config.yaml", "{backend: nowhere}"}});
    options.set_text("{spin_max: 0}").set_caller_runs(inferlay::caller_runs::never).set_load_threads_max(1);
    options.set_execution_threads_max(1).set_spin_max(0).set_small_output_len_max(64).set_trace_every(1);
    options.set_log(sink, inferlay::log_level::verbose).set_progress([&](const inferlay::progress &progress) {
      CHECK(progress.total == 2 && progress.done <= 2);
      told += 1;
      failed += progress.failure && progress.failure->code() == code::unavailable;
    });
    // Moved, to show that what it told the library moves with it.
    const inferlay::options moved(std::move(options));
    const inferlay::server server(moved);
    CHECK(told == 2 && failed == 1 && server.is_ready("echo") && !server.is_ready("bad"));
    inferlay::request request(server, "echo");
    CHECK(server.infer(request.copy_input("x", std::array<float, 2>{1, 2}, {2})).output_at(0).as<float>()[1] == 2);
  }
  CHECK(lines > 0);
  fails(code::invalid_arg, [] { inferlay::options().set_text("{spin_maxx: 1}"); });
  fails(code::unavailable, [] {
    inferlay::options options;
    options.set_strict(true).add_model_in_memory("bad", {{"config.yaml", "{backend: nowhere}"}});
    inferlay::server server(options);
  });
}

void backends_are_looked_for_where_the_options_say() {
  inferlay::options options;
  options.add_model_in_memory("elsewhere", {{"config.yaml", "{backend: elsewhere}"}}).set_strict(true);
  options.add_backend_directory("/no/such/place");
  try {
    inferlay::server server(options);
    CHECK(!"it failed");
  } catch (const inferlay::error &error) {
    CHECK(std::string(error.what()).find("/no/such/place") != std::string::npos);
  }
  fails(code::invalid_arg, [&] { options.add_backend(nullptr); });
}

void after_stop_everything_is_refused(inferlay::server &server) {
  inferlay::request request(server, "double");
  request.copy_input("x", std::vector<float>{1}, {1, 1});
  server.stop(120s);
  CHECK(!server.is_live());
  fails(code::unavailable, [&] { server.infer(request); });
  fails(code::unavailable, [&] { server.infer_async(request); });
}

// Sends a request whose callback throws: this does not return.
void throw_out_of_a_callback() {
  inferlay::server server;
  add_double(server);
  const float row[] = {1, 2};
  inferlay::request request(server, "double");
  server.infer_async(request.set_input("x", row, {1, 2}), [](inferlay::result) { throw std::runtime_error("out"); });
  std::promise<void> never;
  never.get_future().wait();
}

// In a process of its own, as it ends that: told from other ends by the handler that comes first.
void an_exception_that_leaves_a_callback_ends_the_program(const char *program) {
  const std::string command = "'" + std::string(program) + "' throw";
  const int status = std::system(command.c_str());
  CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 42);
}

inferlay::load_options echo_options(std::vector<inferlay::file> files) {
  inferlay::load_options options;
  options.config = "{backend: 'null', input: {name: x, data_type: FP32, dims: 2}}";
  options.files = std::move(files);
  return options;
}

void models_come_and_go_while_it_runs() {
  using state = inferlay::model_state;
  inferlay::options options;
  options.set_model_control(inferlay::model_control::explicitly).set_retire_timeout(60s);
  inferlay::server server(options);
  std::atomic<int> told{0};
  {
    const auto subscription = server.subscribe([&told, last = state::unknown](const inferlay::change &now) mutable {
      CHECK(std::strcmp(now.model, "echo") == 0 && now.version == 3 && now.state != last);
      last = now.state;
      ++told;
    });
    fails(code::not_found, [&] { server.load_model("echo").wait(); });
    const auto count = server.change_count();
    server.load_model("echo", echo_options({{"3/weights.bin", "w"}})).wait();
    CHECK(server.is_ready("echo", 3) && server.change_count() > count);
    inferlay::queue queue;
    const auto unloading = server.unload_model("echo");
    unloading.on_done(queue, &queue);
    const auto event = queue.next();
    CHECK(event.is_done() && !event.is_release() && event.user_data() == &queue);
    CHECK(unloading.is_done() && unloading.wait_for(0s) && !server.is_ready("echo"));
    fails(code::failed_precondition, [&] { server.poll().wait(); });
    fails(code::not_found, [&] { server.remove_repository({"nowhere"}); });
    server.pin_model("echo");
    CHECK(server.paging().find("\"budget_bytes\":0") != std::string::npos);
    server.stop(5s);
  }
  CHECK(told == 4);
}

}  // namespace

void traffic_goes_where_it_is_directed() {
  const std::string config = "{backend: 'null', version_policy: all, input: {name: x, data_type: FP32, dims: 2}}";
  inferlay::options options;
  options.add_model_in_memory("m", {{"config.yaml", config}, {"1/weights.bin", "1"}, {"2/weights.bin", "2"}});
  inferlay::server server(options);
  const std::vector<float> row{1, 2};
  server.set_label("m", "stable", 1);
  CHECK(server.labels("m") == R"({"stable":1})");
  auto labelled = inferlay::request::labelled(server, "m", "stable");
  CHECK(server.infer(labelled.set_input("x", row, {2})).version() == 1);
  server.remove_label("m", "stable");
  fails(code::not_found, [&] { server.infer(labelled); });
  inferlay::request request(server, "m");
  request.set_input("x", row, {2});
  server.set_traffic("m", {{1, 1}, {2, 1}});
  const auto first = server.infer(request).version();
  CHECK(server.infer(request).version() == 3 - first && server.infer(request).version() == first);
  server.set_traffic("m", {});
  server.set_shadow("m", 2);
  CHECK(server.traffic("m") == R"({"shadow":2,"traffic":[]})" && server.infer(request).version() == 1);
}

int main(int argc, char **argv) {
  if (argc > 1) {
    std::set_terminate([] { std::_Exit(42); });
    throw_out_of_a_callback();
  }
  CHECK(std::strcmp(version_from_elsewhere(), inferlay::version()) == 0 && !build_from_elsewhere().empty());
  inferlay::server started;
  // Moved, to show that models and requests do not mind.
  inferlay::server server(std::move(started));
  add_double(server);
  an_answer_is_read_in_place(server);
  every_way_to_give_an_input_works(server);
  an_output_may_be_written_into_memory_of_the_caller(server);
  a_tensor_and_a_share_outlive_their_response(server);
  a_future_brings_the_answer_or_the_error(server);
  a_request_may_be_sent_again_from_its_release(server);
  what_a_model_throws_answers_its_batch(server);
  a_call_that_waits_is_refused_inside_a_model(server);
  a_model_sees_what_a_request_says(server);
  strings_go_in_and_come_out(server);
  raw_16_bits_are_read_as_what_they_are_stored_in(server);
  a_model_s_function_is_destroyed_once(server);
  a_queue_tells_of_responses_and_releases(server);
  responses_are_ranged_over_as_they_come(server);
  who_takes_one_response_gets_it_if_there_is_one(server);
  batches_are_pulled_and_answered(server);
  a_server_tells_of_itself(server);
  options_say_what_is_loaded_and_who_is_told();
  traffic_goes_where_it_is_directed();
  backends_are_looked_for_where_the_options_say();
  models_come_and_go_while_it_runs();
  after_stop_everything_is_refused(server);
  an_exception_that_leaves_a_callback_ends_the_program(argv[0]);
  std::printf("inferlay %s serves C++\n", inferlay::version());
  return 0;
}
