// Handwritten digits from end to end: an ONNX model of a repository, 450 images, the accuracy.
//
//   digits <repository> <backend>        such as: digits examples/models onnxruntime
//
// The model's own config names no backend, as Rust programs have one built in; here it is named, so the files are read
// and handed over from memory. A config that says `backend: onnxruntime` is loaded from its folder, by
// `inferlay_options_add_repository`.
#include "example.h"
#include <string.h>

enum { PIXELS = 64, DIGITS = 10, ROWS_MAX = 64 };

struct content {
  unsigned char *data;
  size_t len;
};

// The whole file, and `extra` after it; to be freed.
static struct content read_file(const char *folder, const char *name, const char *extra) {
  char path[4096];
  snprintf(path, sizeof path, "%s/digits/%s", folder, name);
  FILE *file = fopen(path, "rb");
  if (file == NULL || fseek(file, 0, SEEK_END) != 0) {
    perror(path);
    exit(1);
  }
  size_t len = (size_t)ftell(file);
  rewind(file);
  struct content content = {malloc(len + strlen(extra)), len + strlen(extra)};
  if (content.data == NULL || fread(content.data, 1, len, file) != len) {
    perror(path);
    exit(1);
  }
  fclose(file);
  memcpy(content.data + len, extra, strlen(extra));
  return content;
}

static inferlay_server *digits_server(const char *folder, const char *backend) {
  char line[256];
  snprintf(line, sizeof line, "\nbackend: %s\n", backend);
  struct content config = read_file(folder, "config.yaml", line);
  struct content model = read_file(folder, "1/model.onnx", "");
  inferlay_file files[] = {
      {sizeof(inferlay_file), "config.yaml", config.data, config.len},
      {sizeof(inferlay_file), "model.onnx", model.data, model.len},
  };
  const inferlay_file *const pointers[] = {&files[0], &files[1]};

  inferlay_options *options = inferlay_options_new();
  expect(inferlay_options_add_model_in_memory(options, "digits", pointers, 2), "model");
  // A model that cannot be loaded is an error here, rather than a model that is not there.
  expect(inferlay_options_set_strict(options, true), "strict");
  inferlay_server *server = NULL;
  expect(inferlay_server_new(INFERLAY_API_VERSION, options, &server), "server");
  inferlay_options_free(options);
  free(config.data);
  free(model.data);
  return server;
}

// The digit with the highest score.
static int best(const float *scores) {
  int at = 0;
  for (int digit = 1; digit < DIGITS; digit++) {
    if (scores[digit] > scores[at]) at = digit;
  }
  return at;
}

// How many of these images are read rightly.
static int right(const inferlay_server *server, inferlay_request *request, const unsigned char *pixels,
                 const unsigned char *labels, size_t rows) {
  float image[ROWS_MAX * PIXELS];
  for (size_t i = 0; i < rows * PIXELS; i++) image[i] = pixels[i];
  const int64_t shape[] = {(int64_t)rows, 1, 8, 8};
  inferlay_view input = floats(shape, 4, image, rows * PIXELS * sizeof(float));
  expect(inferlay_request_set_input(request, "image", &input), "input");

  inferlay_response *response = NULL;
  expect(inferlay_infer(server, request, &response), "infer");
  inferlay_view logits = {0};
  logits.struct_size = sizeof logits;
  expect(inferlay_response_output(response, "logits", &logits), "output");
  int count = 0;
  for (size_t row = 0; row < rows; row++) {
    count += best((const float *)logits.data + row * DIGITS) == labels[row];
  }
  inferlay_response_free(response);
  return count;
}

int main(int argc, char **argv) {
  if (argc != 3) {
    fprintf(stderr, "usage: digits <repository> <backend>\n");
    return 2;
  }
  inferlay_server *server = digits_server(argv[1], argv[2]);
  inferlay_request *request = NULL;
  expect(inferlay_request_new(server, "digits", 0, &request), "request");

  // "DIGITS01", the number of images, the images, the true digits.
  struct content images = read_file(argv[1], "test_images.bin", "");
  uint32_t len;
  memcpy(&len, images.data + 8, sizeof len);
  const unsigned char *pixels = images.data + 12, *labels = pixels + (size_t)len * PIXELS;

  int count = 0;
  for (size_t at = 0; at < len; at += ROWS_MAX) {
    size_t rows = len - at < ROWS_MAX ? len - at : ROWS_MAX;
    count += right(server, request, pixels + at * PIXELS, labels + at, rows);
  }
  printf("accuracy: %.2f %%\n", 100.0 * count / len);

  free(images.data);
  inferlay_request_free(request);
  inferlay_server_free(server);
  return 0;
}
