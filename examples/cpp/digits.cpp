// Handwritten digits from end to end: an ONNX model of a repository, 450 images, the accuracy.
//
//   digits <repository> <backend>        such as: digits examples/models onnxruntime
//
// The model's own config names no backend, as Rust programs have one built in; here it is named, so the files are read
// and handed over from memory. A config that says `backend: onnxruntime` is loaded from its folder, by
// `options::add_repository`.
#include "example.hpp"
#include <algorithm>
#include <cstring>
#include <fstream>
#include <iomanip>
#include <iterator>
#include <string>
#include <vector>

namespace {

constexpr std::size_t pixels_len = 64, digits_len = 10, rows_max = 64;

std::string read_file(const std::string &path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw std::runtime_error(path + ": not found");
  return {std::istreambuf_iterator<char>(file), {}};
}

inferlay::server start(const std::string &folder, const std::string &backend) {
  const std::string config = read_file(folder + "/config.yaml") + "\nbackend: " + backend + "\n";
  const std::string model = read_file(folder + "/1/model.onnx");
  inferlay::options options;
  options.add_model_in_memory("digits", {{"config.yaml", config}, {"model.onnx", model}});
  // A model that cannot be loaded is an error here, rather than a model that is not there.
  options.set_strict(true);
  return inferlay::server(options);
}

// How many of these images are read rightly.
int right(const inferlay::server &server, inferlay::request &request, inferlay::span<const unsigned char> pixels,
          inferlay::span<const unsigned char> labels) {
  const std::vector<float> image(pixels.begin(), pixels.end());
  request.set_input("image", image, {static_cast<std::int64_t>(labels.size()), 1, 8, 8});
  const auto response = server.infer(request);
  const auto logits = response.output("logits").as<float>();
  int count = 0;
  for (std::size_t row = 0; row < labels.size(); ++row) {
    const float *scores = logits.data() + row * digits_len;
    count += std::max_element(scores, scores + digits_len) - scores == labels[row];
  }
  return count;
}

int digits(const std::string &repository, const std::string &backend) {
  const std::string folder = repository + "/digits";
  const auto server = start(folder, backend);
  inferlay::request request(server, "digits");

  // "DIGITS01", the number of images, the images, the true digits.
  const std::string file = read_file(folder + "/test_images.bin");
  std::uint32_t len;
  std::memcpy(&len, file.data() + 8, sizeof len);
  const auto *pixels = reinterpret_cast<const unsigned char *>(file.data()) + 12;
  const auto *labels = pixels + len * pixels_len;

  int count = 0;
  for (std::size_t at = 0; at < len; at += rows_max) {
    const std::size_t rows = std::min<std::size_t>(len - at, rows_max);
    count += right(server, request, {pixels + at * pixels_len, rows * pixels_len}, {labels + at, rows});
  }
  std::cout << "accuracy: " << std::fixed << std::setprecision(2) << 100.0 * count / len << " %\n";
  return 0;
}

}  // namespace

int main(int argc, char **argv) {
  if (argc != 3) {
    std::cerr << "usage: digits <repository> <backend>\n";
    return 2;
  }
  return run([argv] { return digits(argv[1], argv[2]); });
}
