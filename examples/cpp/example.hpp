// What the examples share: a model that doubles rows of two floats.
#ifndef INFERLAY_EXAMPLE_HPP
#define INFERLAY_EXAMPLE_HPP

#include <cstdint>
#include <exception>
#include <inferlay.hpp>
#include <iostream>

// Adds the model `double`, whose backend is a callable. It runs batches: the rows of many requests at once.
inline void add_double(inferlay::server &server) {
  const char *config = R"(
    name: double
    max_batch_size: 64
    dynamic_batching: {}
    input: {name: x, data_type: FP32, dims: 2}
    output: {name: y, data_type: FP32, dims: 2}
  )";
  server.register_model(config, [](inferlay::batch &batch) {
    const auto x = batch.input("x").as<float>();
    const auto y = batch.output<float>("y", {static_cast<std::int64_t>(batch.rows()), 2});
    for (std::size_t i = 0; i < y.size(); ++i) y[i] = 2 * x[i];
  });
}

// Runs an example and shows what went wrong.
template <class F>
int run(F example) {
  try {
    return example();
  } catch (const inferlay::error &error) {
    std::cerr << error.code_name() << ": " << error.what() << '\n';
  } catch (const std::exception &error) {
    std::cerr << error.what() << '\n';
  }
  return 1;
}

#endif
