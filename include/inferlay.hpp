/* inferlay.hpp - inferlay.h for C++17 and later, in this one header.
 *
 * Every class holds one handle of the C API and frees it: it can be moved, not copied. What fails throws
 * `inferlay::error`, which carries the code. One that was moved from may be assigned to or destroyed, nothing else.
 *
 * Memory: `set_input`, `append_input` and `set_output` lend memory to a request; it must stay, and stay unchanged,
 * until nothing of the library can touch it any more: until `infer` has returned, the future is ready, the release was
 * told or its event was taken. `copy_input` and `take_input` lend nothing. A view (`tensor_view`, `span`,
 * `std::string_view`) owns nothing; each function that gives one says how long it is good.
 *
 * Threads: a server, a queue, a response and a tensor may be used by any number of threads at once. Options and a
 * request are used by one at a time, but for `request::cancel`. A call that waits fails with `failed_precondition`
 * inside a callback or an execution.
 *
 * Exceptions never cross into the library. One that leaves a model's function answers the batch with its code and text.
 * One that leaves any other callback ends the program through `std::terminate`, as one that leaves a thread does.
 *
 * inferlay.h says more of each function; the names are the same.
 */

#ifndef INFERLAY_HPP
#define INFERLAY_HPP

#include "inferlay.h"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <future>
#include <initializer_list>
#include <iterator>
#include <map>
#include <memory>
#include <new>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

namespace inferlay {

// What kind of failure an error tells of.
enum class code : inferlay_code {
  unknown = INFERLAY_CODE_UNKNOWN,
  internal = INFERLAY_CODE_INTERNAL,
  not_found = INFERLAY_CODE_NOT_FOUND,
  invalid_arg = INFERLAY_CODE_INVALID_ARG,
  unavailable = INFERLAY_CODE_UNAVAILABLE,
  unsupported = INFERLAY_CODE_UNSUPPORTED,
  already_exists = INFERLAY_CODE_ALREADY_EXISTS,
  cancelled = INFERLAY_CODE_CANCELLED,
  timeout = INFERLAY_CODE_TIMEOUT,
  resource_exhausted = INFERLAY_CODE_RESOURCE_EXHAUSTED,
  failed_precondition = INFERLAY_CODE_FAILED_PRECONDITION,
  panic = INFERLAY_CODE_PANIC,
  instance_lost = INFERLAY_CODE_INSTANCE_LOST
};

// The type of a tensor's elements. `fp16` and `bf16` are raw 16 bits; `bytes` are strings of any length.
enum class datatype : inferlay_datatype {
  boolean = INFERLAY_TYPE_BOOL,
  uint8 = INFERLAY_TYPE_UINT8,
  uint16 = INFERLAY_TYPE_UINT16,
  uint32 = INFERLAY_TYPE_UINT32,
  uint64 = INFERLAY_TYPE_UINT64,
  int8 = INFERLAY_TYPE_INT8,
  int16 = INFERLAY_TYPE_INT16,
  int32 = INFERLAY_TYPE_INT32,
  int64 = INFERLAY_TYPE_INT64,
  fp16 = INFERLAY_TYPE_FP16,
  fp32 = INFERLAY_TYPE_FP32,
  fp64 = INFERLAY_TYPE_FP64,
  bytes = INFERLAY_TYPE_BYTES,
  bf16 = INFERLAY_TYPE_BF16
};

// The kind of memory that a tensor lies in.
enum class memory_kind : inferlay_memory_kind {
  host = INFERLAY_MEMORY_HOST,
  pinned = INFERLAY_MEMORY_PINNED,
  device = INFERLAY_MEMORY_DEVICE,
  managed = INFERLAY_MEMORY_MANAGED
};

// Which models a server loads, and when.
enum class model_control : inferlay_model_control {
  none = INFERLAY_MODEL_CONTROL_NONE,
  explicitly = INFERLAY_MODEL_CONTROL_EXPLICIT,
  poll = INFERLAY_MODEL_CONTROL_POLL
};

// The state of a version of a model.
enum class model_state : inferlay_model_state {
  unknown = INFERLAY_STATE_UNKNOWN,
  loading = INFERLAY_STATE_LOADING,
  ready = INFERLAY_STATE_READY,
  unavailable = INFERLAY_STATE_UNAVAILABLE,
  unloading = INFERLAY_STATE_UNLOADING
};

// Who may execute besides the workers.
enum class caller_runs : inferlay_caller_runs {
  never = INFERLAY_CALLER_RUNS_NEVER,
  own_request = INFERLAY_CALLER_RUNS_OWN_REQUEST,
  batch = INFERLAY_CALLER_RUNS_BATCH
};

// How grave a line of the log is.
enum class log_level : inferlay_log_level {
  verbose = INFERLAY_LOG_VERBOSE,
  info = INFERLAY_LOG_INFO,
  warning = INFERLAY_LOG_WARNING,
  error = INFERLAY_LOG_ERROR
};

// The clock of deadlines: monotonic, in nanoseconds.
struct clock {
  using rep = std::int64_t;
  using period = std::nano;
  using duration = std::chrono::nanoseconds;
  using time_point = std::chrono::time_point<clock>;
  static constexpr bool is_steady = true;

  static time_point now() noexcept { return time_point(duration(static_cast<rep>(inferlay_clock_now()))); }
};

// A failure: its code, and as `what` the place, what was found and what was expected.
class error : public std::runtime_error {
 public:
  error(inferlay::code code, const std::string &message) : std::runtime_error(message), code_(code) {}

  inferlay::code code() const noexcept { return code_; }

  // Such as "INVALID_ARG"; lives for ever.
  const char *code_name() const noexcept { return inferlay_code_name(static_cast<inferlay_code>(code_)); }

 private:
  inferlay::code code_;
};

// A text that ends with a NUL, borrowed for a call: a literal or a `std::string`.
class text {
 public:
  text(const char *chars) noexcept : chars_(chars) {}
  text(const std::string &chars) noexcept : chars_(chars.c_str()) {}

  const char *chars() const noexcept { return chars_; }

 private:
  const char *chars_;
};

// Elements one after the other, which somebody else owns: what `std::span` is from C++20 on, and converts to it.
template <class T>
class span {
 public:
  using element_type = T;
  using value_type = std::remove_cv_t<T>;
  using iterator = T *;

  constexpr span() noexcept = default;
  constexpr span(T *data, std::size_t size) noexcept : data_(data), size_(size) {}

  // Of what has `data` and `size`: `std::vector`, `std::array`, `std::string`, `std::span`.
  template <class C, class D = decltype(std::declval<C &>().data()),
            class = std::enable_if_t<std::is_convertible<std::remove_pointer_t<D> (*)[], T (*)[]>::value>,
            class = decltype(std::declval<C &>().size())>
  constexpr span(C &elements) noexcept : data_(elements.data()), size_(elements.size()) {}

  // Of what may be written, to be read.
  template <class U, class = std::enable_if_t<std::is_convertible<U (*)[], T (*)[]>::value>>
  constexpr span(const span<U> &elements) noexcept : data_(elements.data()), size_(elements.size()) {}

  template <std::size_t N>
  constexpr span(T (&elements)[N]) noexcept : data_(elements), size_(N) {}

  constexpr T *data() const noexcept { return data_; }
  constexpr std::size_t size() const noexcept { return size_; }
  constexpr std::size_t size_bytes() const noexcept { return size_ * sizeof(T); }
  constexpr bool empty() const noexcept { return size_ == 0; }
  constexpr T *begin() const noexcept { return data_; }
  constexpr T *end() const noexcept { return data_ + size_; }
  constexpr T &operator[](std::size_t index) const noexcept { return data_[index]; }

 private:
  T *data_ = nullptr;
  std::size_t size_ = 0;
};

// The dims of a tensor, outermost first, borrowed for a call: `{1, 64}`, a `std::vector` or a `std::array`.
class shape {
 public:
  shape(std::initializer_list<std::int64_t> dims) noexcept : rank_(dims.size()) {
    // Not in the list above, where compilers warn: the dims are good as long as the call that they are written in.
    dims_ = dims.begin();
  }
  template <class C, class = std::enable_if_t<std::is_convertible<const C &, span<const std::int64_t>>::value>>
  shape(const C &dims) noexcept : dims_(dims.data()), rank_(dims.size()) {}

  const std::int64_t *dims() const noexcept { return dims_; }
  std::size_t rank() const noexcept { return rank_; }

 private:
  const std::int64_t *dims_ = nullptr;
  std::size_t rank_;
};

// What follows is not for users.
namespace detail {

// Throws what a call has failed with.
inline void check(inferlay_status *status) {
  if (status == nullptr) return;
  const std::unique_ptr<inferlay_status, void (*)(inferlay_status *)> owned(status, inferlay_status_free);
  throw error(static_cast<code>(inferlay_status_code(status)), inferlay_status_message(status));
}

// The text that a call hands out.
template <class F, class... Given>
std::string json(F call, Given... given) {
  char *chars = nullptr;
  check(call(given..., &chars));
  const std::unique_ptr<char, void (*)(char *)> owned(chars, inferlay_text_free);
  return chars;
}

template <class T, void (*Free)(T *)>
struct freeing {
  void operator()(T *handle) const noexcept { Free(handle); }
};

template <class T, void (*Free)(T *)>
using handle = std::unique_ptr<T, freeing<T, Free>>;

// What a function of `_new` hands out.
template <class T, class F, class... Given>
T *made(F call, Given... given) {
  T *handle = nullptr;
  check(call(given..., &handle));
  return handle;
}

// As a number on the clock; a time before the clock's beginning has passed as well as its first nanosecond.
inline std::uint64_t nanoseconds(clock::time_point time) noexcept {
  const auto since = time.time_since_epoch().count();
  return since < 1 ? 1 : static_cast<std::uint64_t>(since);
}

inline std::uint64_t nanoseconds(std::chrono::nanoseconds time) noexcept {
  return time.count() < 0 ? 0 : static_cast<std::uint64_t>(time.count());
}

// A deadline this long from now.
inline std::uint64_t deadline_in(std::chrono::nanoseconds time) noexcept {
  return inferlay_clock_now() + nanoseconds(time);
}

inline inferlay_view empty_view() noexcept {
  inferlay_view view = {};
  view.struct_size = sizeof view;
  return view;
}

inline inferlay_view view_of(datatype type, const void *data, std::size_t byte_size, const shape &shape) noexcept {
  inferlay_view view = empty_view();
  view.datatype = static_cast<inferlay_datatype>(type);
  view.shape = shape.dims();
  view.rank = shape.rank();
  view.data = data;
  view.byte_size = byte_size;
  return view;
}

static_assert(sizeof(bool) == 1, "a BOOL is one byte");

template <class T>
constexpr datatype datatype_of() {
  using E = std::remove_cv_t<T>;
  static_assert(std::is_arithmetic<E>::value && sizeof(E) <= 8, "no datatype has elements of this type");
  if constexpr (std::is_same<E, bool>::value) return datatype::boolean;
  if constexpr (std::is_floating_point<E>::value) return sizeof(E) == 4 ? datatype::fp32 : datatype::fp64;
  constexpr auto first = std::is_signed<E>::value ? datatype::int8 : datatype::uint8;
  constexpr inferlay_datatype step = sizeof(E) == 1 ? 0 : sizeof(E) == 2 ? 1 : sizeof(E) == 4 ? 2 : 3;
  return static_cast<datatype>(static_cast<inferlay_datatype>(first) + step);
}

// Whether elements of this type may stand for that datatype: 16 raw bits are read as what they are stored in.
template <class T>
constexpr bool stands_for(datatype type) {
  const bool is_raw = type == datatype::fp16 || type == datatype::bf16;
  return type == datatype_of<T>() || (is_raw && std::is_same<std::remove_cv_t<T>, std::uint16_t>::value);
}

// Strings in the form of a tensor of BYTES.
class strings {
 public:
  explicit strings(span<const std::string_view> elements) : offsets_{0} {
    offsets_.reserve(elements.size() + 1);
    for (const auto &element : elements) {
      contents_.append(element);
      offsets_.push_back(contents_.size());
    }
  }

  // Good as long as this object and the shape.
  inferlay_view view(const shape &shape) const noexcept {
    inferlay_view view = view_of(datatype::bytes, contents_.data(), contents_.size(), shape);
    view.offsets = offsets_.data();
    view.offsets_len = offsets_.size();
    return view;
  }

 private:
  std::string contents_;
  std::vector<std::uint64_t> offsets_;
};

// As a status, for a function that the library has called.
inline inferlay_status *status_of(const error &error) noexcept {
  return inferlay_status_new(static_cast<inferlay_code>(error.code()), error.what());
}

}  // namespace detail

// A tensor to look at; who gives one says how long it is good.
class tensor_view {
 public:
  explicit tensor_view(const inferlay_view &view) noexcept : view_(view) {}

  inferlay::datatype datatype() const noexcept { return static_cast<inferlay::datatype>(view_.datatype); }
  inferlay::memory_kind memory_kind() const noexcept { return static_cast<inferlay::memory_kind>(view_.memory_kind); }

  // Outermost first.
  span<const std::int64_t> shape() const noexcept { return {view_.shape, view_.rank}; }

  // The elements as they lie in memory; of `bytes` their contents, one after the other.
  span<const std::byte> bytes() const noexcept { return {static_cast<const std::byte *>(view_.data), view_.byte_size}; }

  // The elements. Throws `invalid_arg` when they are of another type, `unsupported` when the host cannot read them now.
  template <class T>
  span<const T> as() const {
    if (!detail::stands_for<T>(datatype())) {
      throw error(code::invalid_arg, "tensor: found datatype " + std::to_string(view_.datatype) + ", expected " +
                                         std::to_string(static_cast<inferlay_datatype>(detail::datatype_of<T>())));
    }
    readable();
    return {static_cast<const T *>(view_.data), view_.byte_size / sizeof(T)};
  }

  // How many strings a tensor of `bytes` has; 0 for other types.
  std::size_t strings_len() const noexcept { return view_.offsets_len == 0 ? 0 : view_.offsets_len - 1; }

  // A string of a tensor of `bytes`. Throws `not_found` past the end.
  std::string_view string(std::size_t index) const {
    if (index >= strings_len()) {
      throw error(code::not_found, "tensor: found string index " + std::to_string(index) + ", expected less than " +
                                       std::to_string(strings_len()));
    }
    readable();
    const auto begin = static_cast<std::size_t>(view_.offsets[index]);
    return {static_cast<const char *>(view_.data) + begin, static_cast<std::size_t>(view_.offsets[index + 1]) - begin};
  }

  // With all that the C API says of it.
  const inferlay_view &raw() const noexcept { return view_; }

 private:
  void readable() const {
    if (memory_kind() == memory_kind::device || view_.ready != INFERLAY_READY_NOW) {
      throw error(code::unsupported, "tensor: found memory of a device, expected memory that the host can read now");
    }
  }

  inferlay_view view_;
};

// A tensor that owns a share of its memory, and outlives the response that it is of.
class tensor {
 public:
  // Takes the handle over.
  explicit tensor(inferlay_tensor *raw) noexcept : handle_(raw) {}

  // Good as long as the tensor.
  tensor_view view() const {
    inferlay_view view = detail::empty_view();
    detail::check(inferlay_tensor_view(raw(), &view));
    return tensor_view(view);
  }

  inferlay_tensor *raw() const noexcept { return handle_.get(); }

 private:
  detail::handle<inferlay_tensor, inferlay_tensor_free> handle_;
};

// The answer to a request: its outputs. Good after the server is gone, too.
class response {
 public:
  // Takes the handle over.
  explicit response(inferlay_response *raw) noexcept : handle_(raw) {}

  // Another owner of the same response.
  response share() const noexcept { return response(inferlay_response_retain(raw())); }

  // The model that answered; the text lives for ever.
  const char *model() const noexcept { return inferlay_response_model(raw()); }
  std::uint64_t version() const noexcept { return inferlay_response_version(raw()); }

  std::size_t outputs_len() const noexcept { return inferlay_response_outputs_len(raw()); }

  // The name of an output, in the order of the model; null past the end.
  const char *output_name(std::size_t index) const noexcept { return inferlay_response_output_name(raw(), index); }

  // An output, where the backend wrote it: good as long as any owner of the response, or, for memory that the request
  // brought, as long as that. Throws `not_found`, naming the outputs there are.
  tensor_view output(text name) const {
    inferlay_view view = detail::empty_view();
    detail::check(inferlay_response_output(raw(), name.chars(), &view));
    return tensor_view(view);
  }
  tensor_view output_at(std::size_t index) const {
    inferlay_view view = detail::empty_view();
    detail::check(inferlay_response_output_at(raw(), index, &view));
    return tensor_view(view);
  }

  // An output that outlives the response; throws `unsupported` for one in memory that the request brought.
  tensor detach(text name) const {
    return tensor(detail::made<inferlay_tensor>(inferlay_response_detach, raw(), name.chars()));
  }

  // An output of `bytes` in the form of the wire: before each string its length as 4 bytes, little-endian.
  std::string output_wire(text name) const {
    std::size_t byte_size = 0;
    inferlay_status *status = inferlay_response_output_wire(raw(), name.chars(), nullptr, 0, &byte_size);
    if (byte_size == 0) detail::check(status);
    inferlay_status_free(status);
    std::string wire(byte_size, '\0');
    detail::check(inferlay_response_output_wire(raw(), name.chars(), &wire[0], wire.size(), &byte_size));
    return wire;
  }

  inferlay_response *raw() const noexcept { return handle_.get(); }

 private:
  detail::handle<inferlay_response, inferlay_response_free> handle_;
};

// What a callback or a queue is told of a request: a response, or why there is none. A final one may be neither: then
// nothing was left to say.
class result {
 public:
  // Takes both handles over.
  result(inferlay_response *response, inferlay_response_flags flags, inferlay_status *status) noexcept
      : response_(response), flags_(flags), status_(status) {}

  bool is_final() const noexcept { return (flags_ & INFERLAY_RESPONSE_FINAL) != 0; }
  bool is_response() const noexcept { return response_.raw() != nullptr; }
  bool is_error() const noexcept { return status_ != nullptr; }

  // The response, which then is the caller's; throws what there is in its place.
  response take() {
    detail::check(status_.release());
    if (!is_response()) throw error(code::not_found, "result: found the end of the responses, expected a response");
    return std::move(response_);
  }

 private:
  response response_;
  inferlay_response_flags flags_;
  detail::handle<inferlay_status, inferlay_status_free> status_;
};

class server;

// One request to one model: inputs, wishes, parameters; used any number of times, one after the other, and cheaper the
// second time. It may be destroyed while it is in flight, the memory that it was lent may not. While it is in flight
// all that changes it throws `failed_precondition`.
class request {
 public:
  // Version 0: the highest that serves. Throws `not_found` or `unavailable`.
  inline request(const server &server, text model, std::uint64_t version = 0);

  // A request to the version that a label is at whenever it is sent. Throws as above.
  static inline request labelled(const server &server, text model, text label);

  // Sets an input that borrows its memory, until release: a `std::vector`, a `std::array`, an array, or a `span` of
  // numbers. For a model that batches, the first dim is the number of rows.
  template <class C>
  request &set_input(text name, C &elements, const inferlay::shape &shape) {
    return set_input(name, span<const typename span_of<C>::value_type>(elements), shape);
  }
  template <class T>
  request &set_input(text name, span<T> elements, const inferlay::shape &shape) {
    return set_input(name, detail::datatype_of<T>(), elements.data(), elements.size_bytes(), shape);
  }
  request &set_input(text name, datatype type, const void *data, std::size_t byte_size, const inferlay::shape &shape) {
    return set_input(name, detail::view_of(type, data, byte_size, shape));
  }
  request &set_input(text name, const inferlay_view &view) {
    return done(inferlay_request_set_input(raw(), name.chars(), &view));
  }

  // Appends a piece to an input, whose shape is that of all pieces together; borrows it until release.
  template <class C>
  request &append_input(text name, C &elements) {
    const span<const typename span_of<C>::value_type> piece(elements);
    return done(inferlay_request_append_input(raw(), name.chars(), piece.data(), piece.size_bytes(), nullptr));
  }

  // Sets an input to a copy.
  template <class C>
  request &copy_input(text name, const C &elements, const inferlay::shape &shape) {
    const span<const typename span_of<const C>::value_type> all(elements);
    return copy_input(name, detail::datatype_of<typename span_of<const C>::value_type>(), all.data(), all.size_bytes(),
                      shape);
  }
  request &copy_input(text name, datatype type, const void *data, std::size_t byte_size, const inferlay::shape &shape) {
    return copy_input(name, detail::view_of(type, data, byte_size, shape));
  }
  request &copy_input(text name, const inferlay_view &view) {
    return done(inferlay_request_copy_input(raw(), name.chars(), &view));
  }

  // Sets an input of `bytes` to a copy of strings.
  request &copy_strings(text name, const std::vector<std::string_view> &elements, const inferlay::shape &shape) {
    return copy_input(name, detail::strings(elements).view(shape));
  }

  // Sets an input to a vector, which the library destroys when nothing needs it any more, on any thread.
  template <class T>
  request &take_input(text name, std::vector<T> elements, const inferlay::shape &shape) {
    auto owned = std::make_unique<std::vector<T>>(std::move(elements));
    const auto view = detail::view_of(detail::datatype_of<T>(), owned->data(), owned->size() * sizeof(T), shape);
    const inferlay_free_fn free = [](void *user_data, void *) { delete static_cast<std::vector<T> *>(user_data); };
    detail::check(inferlay_request_take_input(raw(), name.chars(), &view, free, owned.get()));
    static_cast<void>(owned.release());
    return *this;
  }

  request &remove_input(text name) { return done(inferlay_request_remove_input(raw(), name.chars())); }

  // Asks for an output; a request that asks for none gets all.
  request &add_output(text name) { return done(inferlay_request_add_output(raw(), name.chars(), nullptr)); }

  // Asks for an output in this memory, which is borrowed until release and at least as large as the output.
  template <class C>
  request &set_output(text name, C &elements) {
    const span<typename span_of<C>::element_type> all(elements);
    return set_output(name, all.data(), all.size_bytes());
  }
  request &set_output(text name, void *data, std::size_t byte_size) {
    return done(inferlay_request_set_output(raw(), name.chars(), data, byte_size, nullptr));
  }
  request &clear_outputs() { return done(inferlay_request_clear_outputs(raw())); }

  // Empties it: as it was when it was made.
  request &reset() { return done(inferlay_request_reset(raw())); }

  // Cancels it: any thread, at any time, also before it is sent; it stays cancelled until `rearm` or `reset`.
  void cancel() { detail::check(inferlay_request_cancel(raw())); }
  request &rearm() { return done(inferlay_request_rearm(raw())); }

  // A name for traces and backends.
  request &set_id(text id) { return done(inferlay_request_set_id(raw(), id.chars())); }

  // When the answer is worthless: at one time, or so long after each sending.
  request &set_deadline(clock::time_point time) {
    return done(inferlay_request_set_deadline(raw(), detail::nanoseconds(time)));
  }
  request &set_timeout(std::chrono::nanoseconds time) {
    // To the library 0 is none, here it is none left.
    const std::uint64_t timeout_ns = detail::nanoseconds(time);
    return done(inferlay_request_set_timeout(raw(), timeout_ns == 0 ? 1 : timeout_ns));
  }
  request &clear_deadline() {
    detail::check(inferlay_request_set_deadline(raw(), 0));
    return done(inferlay_request_set_timeout(raw(), 0));
  }

  // How long it may wait before its queue counts it as late, where the queue lets requests shorten that; 0: its own.
  request &set_queue_timeout(std::chrono::nanoseconds time) {
    return done(inferlay_request_set_queue_timeout(raw(), detail::nanoseconds(time)));
  }

  // From 1, the most urgent; 0 is the model's default.
  request &set_priority(std::uint32_t priority) { return done(inferlay_request_set_priority(raw(), priority)); }

  // The sequence that it belongs to; `flags`: a sum of INFERLAY_SEQUENCE_*.
  request &set_sequence(std::uint64_t id, inferlay_sequence_flags flags) {
    return done(inferlay_request_set_sequence(raw(), id, flags));
  }
  request &set_sequence(text id, inferlay_sequence_flags flags) {
    return done(inferlay_request_set_sequence_text(raw(), id.chars(), flags));
  }

  request &set_traced(bool is_traced) { return done(inferlay_request_set_traced(raw(), is_traced)); }

  // Gives the backend a value under a name: a `bool`, a whole number, a floating-point number or a text.
  template <class V>
  request &set_parameter(text name, const V &value) {
    if constexpr (std::is_same<V, bool>::value) {
      return done(inferlay_request_set_parameter_bool(raw(), name.chars(), value));
    } else if constexpr (std::is_integral<V>::value) {
      return done(inferlay_request_set_parameter_int(raw(), name.chars(), static_cast<std::int64_t>(value)));
    } else if constexpr (std::is_floating_point<V>::value) {
      return done(inferlay_request_set_parameter_double(raw(), name.chars(), static_cast<double>(value)));
    } else if constexpr (std::is_convertible<const V &, text>::value) {
      return done(inferlay_request_set_parameter_string(raw(), name.chars(), text(value).chars()));
    } else {
      return done(inferlay_request_set_parameter_string(raw(), name.chars(), std::string(value).c_str()));
    }
  }
  request &clear_parameters() { return done(inferlay_request_clear_parameters(raw())); }

  inferlay_request *raw() const noexcept { return handle_.get(); }

 private:
  explicit request(inferlay_request *raw) noexcept : handle_(raw) {}

  // What a container or array of this type holds.
  template <class C>
  using span_of = span<std::remove_pointer_t<decltype(std::data(std::declval<C &>()))>>;

  request &done(inferlay_status *status) {
    detail::check(status);
    return *this;
  }

  detail::handle<inferlay_request, inferlay_request_free> handle_;
};

// Something that a queue was told of a request: a response, or its release.
class event {
 public:
  // Takes the event's handles over.
  explicit event(const inferlay_event &raw) noexcept
      : result_(raw.response, raw.flags, raw.status), raw_(raw) {}

  // Nothing touches the request's memory any more; it may be sent again.
  bool is_release() const noexcept { return raw_.kind == INFERLAY_EVENT_RELEASE; }

  // An operation is over; `result` says why it failed, if it did.
  bool is_done() const noexcept { return raw_.kind == INFERLAY_EVENT_DONE; }

  // What was said; of a release nothing.
  inferlay::result &result() noexcept { return result_; }

  // What was given to `infer_queue`.
  void *user_data() const noexcept { return raw_.user_data; }

  // Whether it is of this request.
  bool is_of(const request &request) const noexcept { return raw_.request == request.raw(); }

 private:
  inferlay::result result_;
  inferlay_event raw_;
};

// A completion queue: where answers are waited for, of any number of requests to any number of servers.
class queue {
 public:
  queue() : handle_(detail::made<inferlay_queue>(inferlay_queue_new)) {}

  // Waits for the next event.
  event next() { return std::move(next(UINT64_MAX).value()); }

  // Waits so long at most; nothing when none came.
  std::optional<event> next_for(std::chrono::nanoseconds time) { return next(detail::nanoseconds(time)); }

  // The next event that is there; nothing when there is none.
  std::optional<event> try_next() { return next(0); }

  // A descriptor that is readable while there are events, for poll and epoll. It stays the queue's; do not read it, but
  // call `try_next` until there is nothing. -1 when the system has none left.
  int fd() const noexcept { return inferlay_queue_fd(raw()); }

  inferlay_queue *raw() const noexcept { return handle_.get(); }

 private:
  std::optional<event> next(std::uint64_t timeout_ns) {
    inferlay_event raw_event = {};
    raw_event.struct_size = sizeof raw_event;
    inferlay_status *status = inferlay_queue_next(raw(), timeout_ns, &raw_event);
    if (status != nullptr && inferlay_status_code(status) == INFERLAY_CODE_TIMEOUT) {
      inferlay_status_free(status);
      return std::nullopt;
    }
    detail::check(status);
    return event(raw_event);
  }

  detail::handle<inferlay_queue, inferlay_queue_free> handle_;
};

// The responses to one request, as they come: for (auto &response : server.infer_stream(request)) ... The request must
// outlive it. One thread at a time.
class responses {
 public:
  responses(responses &&other) noexcept
      : queue_(std::move(other.queue_)), request_(std::exchange(other.request_, nullptr)), is_over_(other.is_over_) {}
  responses &operator=(responses &&) = delete;

  // Cancels what has not come, and waits until nothing touches the request's memory any more; inside a callback it
  // cancels only. The request may then be sent again.
  ~responses() {
    if (request_ == nullptr) return;
    const bool cancels = !is_over_;
    if (cancels) inferlay_status_free(inferlay_request_cancel(request_));
    try {
      while (!queue_.next().is_release()) {
      }
      if (cancels) inferlay_status_free(inferlay_request_rearm(request_));
    } catch (const error &) {
      // It would wait for itself.
    }
  }

  // Waits for the next response; nothing after the last. Throws what ended them in its place.
  std::optional<response> next() {
    if (is_over_) return std::nullopt;
    event event = queue_.next();
    is_over_ = event.result().is_final();
    if (is_over_ && !event.result().is_response() && !event.result().is_error()) return std::nullopt;
    return event.result().take();
  }

  // For a loop over what is yet to come; each step waits and throws as `next`.
  class iterator {
   public:
    using iterator_category = std::input_iterator_tag;
    using value_type = response;
    using difference_type = std::ptrdiff_t;
    using pointer = response *;
    using reference = response &;

    iterator() noexcept : of_(nullptr) {}
    explicit iterator(responses &of) : of_(&of) { ++*this; }
    reference operator*() noexcept { return *current_; }
    pointer operator->() noexcept { return &*current_; }
    iterator &operator++() {
      current_ = of_->next();
      if (!current_) of_ = nullptr;
      return *this;
    }
    bool operator==(const iterator &other) const noexcept { return of_ == other.of_; }
    bool operator!=(const iterator &other) const noexcept { return of_ != other.of_; }

   private:
    responses *of_;
    std::optional<response> current_;
  };

  iterator begin() { return iterator(*this); }
  iterator end() noexcept { return iterator(); }

 private:
  friend class server;
  responses() = default;

  queue queue_;
  // What was sent, unless nothing was.
  inferlay_request *request_ = nullptr;
  bool is_over_ = false;
};

// A file in memory; both texts are borrowed for the call.
struct file {
  std::string name;
  std::string_view content;
};

// Folders of models that are searched as one, and the names that their models are served under.
struct repository {
  std::vector<std::string> folders;
  // Put before the names of all models, with a '/'; empty for nothing.
  std::string prefix = {};
  // Names of models' folders, and under which they are served.
  std::vector<std::pair<std::string, std::string>> served_as = {};
};

namespace detail {

inline std::vector<const char *> pointers(const std::vector<std::string> &texts) {
  std::vector<const char *> made;
  for (const auto &text : texts) made.push_back(text.c_str());
  return made;
}

// Calls with what C calls a repository.
template <class F>
void with(const repository &said, F call) {
  const auto folders = pointers(said.folders);
  std::vector<const char *> own, served;
  for (const auto &names : said.served_as) {
    own.push_back(names.first.c_str());
    served.push_back(names.second.c_str());
  }
  inferlay_repository raw = {};
  raw.struct_size = sizeof raw;
  raw.folders = folders.data();
  raw.folders_len = folders.size();
  raw.prefix = said.prefix.empty() ? nullptr : said.prefix.c_str();
  raw.own_names = own.data();
  raw.served_names = served.data();
  raw.names_len = own.size();
  check(call(&raw));
}

// Files as C calls them, as long as both live.
struct raw_files {
  explicit raw_files(const std::vector<file> &files) {
    raw.reserve(files.size());
    for (const auto &file : files) {
      raw.push_back({sizeof(inferlay_file), file.name.c_str(), file.content.data(), file.content.size()});
      pointers.push_back(&raw.back());
    }
  }

  std::vector<inferlay_file> raw;
  std::vector<const inferlay_file *> pointers;
};

}  // namespace detail

// What the text of a config is.
enum class config_format : std::uint32_t {
  yaml = INFERLAY_CONFIG_FORMAT_YAML,
  // As `config.pbtxt` has it.
  pbtxt = INFERLAY_CONFIG_FORMAT_PBTXT,
};

// What becomes of a version that serves when there is no room for the new one beside it.
enum class swap : std::uint32_t {
  as_configured = INFERLAY_SWAP_AS_CONFIGURED,
  // It serves on, and the new one fails with RESOURCE_EXHAUSTED.
  overlap = INFERLAY_SWAP_OVERLAP,
  // It finishes what it has and goes first, and requests wait for the new one.
  replace = INFERLAY_SWAP_REPLACE,
};

// How a model is to be loaded, where that is not what its folder says.
struct load_options {
  // In the place of the model's own config: YAML or JSON, or what `format` says; empty for its own.
  std::string config = {};
  // Empty for those that the config chooses.
  std::vector<std::uint64_t> versions = {};
  // In the place of those of a repository: paths within the model's folder, such as `1/model.onnx`; they are copied.
  std::vector<file> files = {};
  // What `config` is.
  config_format format = config_format::yaml;
  // In the place of the config's `swap`.
  inferlay::swap swap = inferlay::swap::as_configured;
};

// A load, an unload or a poll that is under way, or over. It goes on when it is destroyed.
class operation {
 public:
  // Takes the handle over.
  explicit operation(inferlay_operation *raw) noexcept : handle_(raw) {}

  // Waits until it is over; throws why it failed.
  void wait() const { detail::check(inferlay_operation_wait(raw(), UINT64_MAX)); }

  // Waits so long at most. Whether it is over; throws why it failed.
  bool wait_for(std::chrono::nanoseconds time) const {
    inferlay_status *status = inferlay_operation_wait(raw(), detail::nanoseconds(time));
    if (status != nullptr && !is_done() && inferlay_status_code(status) == INFERLAY_CODE_TIMEOUT) {
      inferlay_status_free(status);
      return false;
    }
    detail::check(status);
    return true;
  }

  bool is_done() const noexcept { return inferlay_operation_is_done(raw()); }

  // Adds an event to the queue when it is over, with `user_data`: `is_done`.
  void on_done(const queue &queue, void *user_data = nullptr) const {
    detail::check(inferlay_operation_on_done_queue(raw(), queue.raw(), user_data));
  }

  inferlay_operation *raw() const noexcept { return handle_.get(); }

 private:
  detail::handle<inferlay_operation, inferlay_operation_free> handle_;
};

// A version of a model whose state has changed. All of it lives until the function that is told returns.
struct change {
  const char *model;
  std::uint64_t version;
  model_state state;
  // Why it is in that state; "" when it serves.
  const char *reason;
};

// Keeps a function told of changes until it is destroyed. A call that is under way then is not waited for.
class subscription {
 public:
  // Takes the handle over.
  explicit subscription(inferlay_subscription *raw) noexcept : handle_(raw) {}

  inferlay_subscription *raw() const noexcept { return handle_.get(); }

 private:
  detail::handle<inferlay_subscription, inferlay_subscription_free> handle_;
};

// A model that was loaded or failed to, as the progress callback is told.
struct progress {
  const char *model;
  std::uint64_t version;
  // Why it does not serve; empty when it does.
  std::optional<error> failure;
  std::size_t done;
  std::size_t total;
};

// Options of a server, and what it loads at start. Any number of servers may be started with the same.
class options {
 public:
  options() : handle_(inferlay_options_new()) {
    if (!handle_) throw error(code::failed_precondition, "options: found the child of a fork");
  }

  // Reads YAML or JSON, with the names of the functions below as keys.
  options &set_text(text yaml) { return done(inferlay_options_set_text(raw(), yaml.chars())); }

  options &add_repository(text folder) { return done(inferlay_options_add_repository(raw(), folder.chars())); }
  options &add_model_file(text path) { return done(inferlay_options_add_model_file(raw(), path.chars())); }

  // Adds a model whose files are in memory; they are copied.
  options &add_model_in_memory(text name, const std::vector<file> &files) {
    const detail::raw_files all(files);
    return done(
        inferlay_options_add_model_in_memory(raw(), name.chars(), all.pointers.data(), all.pointers.size()));
  }

  // Looks there for backends that are not linked in; without any such folder, in `inferlay/backends` beside the library.
  options &add_backend_directory(text folder) {
    return done(inferlay_options_add_backend_directory(raw(), folder.chars()));
  }

  // Sets an option of a backend that is loaded from a folder or added, such as `library` of `onnxruntime`.
  options &set_backend_option(text backend, text name, text value) {
    return done(inferlay_options_set_backend_option(raw(), backend.chars(), name.chars(), value.chars()));
  }

  // Adds a backend that is part of this program, by the function that its shared library would export. What that returns
  // lasts as long as the process.
  options &add_backend(inferlay_backend_fn entry) { return done(inferlay_options_add_backend(raw(), entry)); }

  // Whether the start fails when any model fails to load.
  options &set_strict(bool is_strict) { return done(inferlay_options_set_strict(raw(), is_strict)); }

  // Trusts models whose manifest is signed with the secret half of this Ed25519 key: 64 hexadecimal digits.
  options &add_trusted_key(text key) { return done(inferlay_options_add_trusted_key(raw(), key.chars())); }
  // Whether models in folders and files need a manifest, or one that is signed by a trusted key.
  options &set_require_manifest(bool is_required) {
    return done(inferlay_options_set_require_manifest(raw(), is_required));
  }
  options &set_require_signature(bool is_required) {
    return done(inferlay_options_set_require_signature(raw(), is_required));
  }

  options &set_caller_runs(caller_runs who) {
    return done(inferlay_options_set_caller_runs(raw(), static_cast<inferlay_caller_runs>(who)));
  }
  options &set_load_threads_max(std::size_t threads) {
    return done(inferlay_options_set_load_threads_max(raw(), threads));
  }
  options &set_execution_threads_max(std::size_t threads) {
    return done(inferlay_options_set_execution_threads_max(raw(), threads));
  }
  options &set_spin_max(std::uint32_t turns) { return done(inferlay_options_set_spin_max(raw(), turns)); }
  options &set_small_output_len_max(std::size_t len) {
    return done(inferlay_options_set_small_output_len_max(raw(), len));
  }
  options &set_trace_every(std::uint32_t requests) { return done(inferlay_options_set_trace_every(raw(), requests)); }

  options &add_repository(const repository &repository) {
    detail::with(repository, [&](auto raw_one) { return inferlay_options_add_repository_with(raw(), raw_one); });
    return *this;
  }

  // Adds a repository that lies elsewhere, such as `file:///drive/models`, which is served from a copy in `cache`.
  // `store`: options of an object store by name; with `from_environment` environment variables, too.
  options &add_source(text url, text cache, const std::map<std::string, std::string> &store = {},
                      bool from_environment = false) {
    std::vector<const char *> names, values;
    for (const auto &option : store) {
      names.push_back(option.first.c_str());
      values.push_back(option.second.c_str());
    }
    const inferlay_source source = {sizeof source, url.chars(), cache.chars(), names.data(), values.data(),
                                    names.size(), from_environment};
    return done(inferlay_options_add_source(raw(), &source));
  }

  // What is wrong with what was added, without loading anything, as JSON.
  std::string lint() const { return detail::json(inferlay_options_lint, raw()); }

  // Which models are loaded, and when; those that a server with explicit control loads when it starts.
  options &set_model_control(model_control control) {
    return done(inferlay_options_set_model_control(raw(), static_cast<inferlay_model_control>(control)));
  }
  options &add_load(text model) { return done(inferlay_options_add_load(raw(), model.chars())); }

  // Of a server that polls: for how long nothing may have changed before it acts, or the file that it waits for instead;
  // how often it looks, and whether only then; after how long it tries again what failed.
  options &set_settle_time(std::chrono::nanoseconds time) {
    return done(inferlay_options_set_settle_time(raw(), detail::nanoseconds(time)));
  }
  options &set_ready_marker(text name) { return done(inferlay_options_set_ready_marker(raw(), name.chars())); }
  options &set_poll_period(std::chrono::nanoseconds period) {
    return done(inferlay_options_set_poll_period(raw(), detail::nanoseconds(period)));
  }
  options &set_poll_by_period_only() { return done(inferlay_options_set_poll_by_period_only(raw())); }
  options &set_retry_after(std::chrono::nanoseconds time) {
    return done(inferlay_options_set_retry_after(raw(), detail::nanoseconds(time)));
  }

  // How long a version that was replaced or unloaded may take to answer what it has.
  options &set_retire_timeout(std::chrono::nanoseconds timeout) {
    return done(inferlay_options_set_retire_timeout(raw(), detail::nanoseconds(timeout)));
  }

  // How many bytes models may use together, of the host or of a device; models that stay in memory whatever that is.
  options &set_memory_budget(std::uint64_t bytes) { return done(inferlay_options_set_memory_budget(raw(), bytes)); }
  options &set_device_memory_budget(std::uint32_t device_id, std::uint64_t bytes) {
    return done(inferlay_options_set_device_memory_budget(raw(), device_id, bytes));
  }
  options &add_pinned(text model) { return done(inferlay_options_add_pinned(raw(), model.chars())); }

  // Has `report` called for each model while a server starts, one call at a time, on any thread of the start. What it
  // is told lives until it returns; it must not call this library.
  options &set_progress(std::function<void(const progress &)> report) {
    auto owned = std::make_unique<std::function<void(const progress &)>>(std::move(report));
    const inferlay_progress_fn told = [](void *user_data, const inferlay_progress *raw) noexcept {
      progress now{raw->model, raw->version, std::nullopt, raw->done, raw->total};
      if (raw->status != nullptr) {
        now.failure.emplace(static_cast<code>(inferlay_status_code(raw->status)), inferlay_status_message(raw->status));
      }
      (*static_cast<std::function<void(const progress &)> *>(user_data))(now);
    };
    detail::check(inferlay_options_set_progress(raw(), told, owned.get()));
    progress_ = std::move(owned);
    return *this;
  }

  // Sends the log to `sink(log_level, std::string_view)`, called on any thread, several at once, and waiting for
  // nothing. `sink` is borrowed: until the servers, and the last of their requests and responses too, are gone.
  template <class F>
  options &set_log(F &sink, log_level least) {
    const inferlay_log_fn told = [](void *user_data, inferlay_log_level level, const char *message,
                                    std::size_t len) noexcept {
      (*static_cast<F *>(user_data))(static_cast<log_level>(level), std::string_view(message, len));
    };
    void *user_data = const_cast<void *>(static_cast<const void *>(std::addressof(sink)));
    return done(inferlay_options_set_log(raw(), told, user_data, static_cast<inferlay_log_level>(least)));
  }

  inferlay_options *raw() const noexcept { return handle_.get(); }

 private:
  options &done(inferlay_status *status) {
    detail::check(status);
    return *this;
  }

  detail::handle<inferlay_options, inferlay_options_free> handle_;
  std::unique_ptr<std::function<void(const progress &)>> progress_;
};

// A value that a request carries.
using parameter = std::variant<std::string_view, std::int64_t, double, bool>;

// What a request of a batch says beside its tensors.
struct asked {
  std::string_view id;
  std::size_t rows;
  std::uint32_t priority;
  std::uint64_t sequence_id;
  std::string_view sequence_text;
  // A sum of INFERLAY_SEQUENCE_*.
  inferlay_sequence_flags sequence_flags;
  std::optional<clock::time_point> deadline;
  // Whether the caller no longer wants the answer, now.
  bool is_cancelled;
};

// What answers one request that a model's function took out of its batch: on any thread, one at a time, also when the
// function has returned. Destroying it before the end answers with an error.
class responder {
 public:
  // Takes the handle over.
  explicit responder(inferlay_responder *raw) noexcept : handle_(raw) {}

  // Sets an output of the next response to a copy of a tensor, of elements, or of strings.
  responder &set_output(text name, const tensor_view &view) { return set(name, view.raw()); }
  template <class C>
  responder &set_output(text name, const C &elements, const shape &shape) {
    const span<const std::remove_pointer_t<decltype(std::data(elements))>> all(elements);
    using element = std::remove_cv_t<std::remove_pointer_t<decltype(std::data(elements))>>;
    return set(name, detail::view_of(detail::datatype_of<element>(), all.data(), all.size_bytes(), shape));
  }
  responder &set_strings(text name, const std::vector<std::string_view> &elements, const shape &shape) {
    const detail::strings all(elements);
    return set(name, all.view(shape));
  }

  // Sends the outputs that were set, as one of several responses. Throws `unsupported` unless the model is decoupled,
  // `cancelled` when nobody wants it any more, `resource_exhausted` when the caller is far behind.
  void send() { detail::check(inferlay_responder_send(raw(), 0)); }

  // Sends the outputs that were set as the last response; without any, ends the answer. Throws as `send`.
  void finish() { detail::check(inferlay_responder_send(raw(), INFERLAY_RESPONSE_FINAL)); }

  // Ends the answer with an error.
  void fail(const error &error) { detail::check(inferlay_responder_fail(raw(), detail::status_of(error))); }

  // How many more responses the caller can take before it has fallen behind.
  std::size_t credit() const noexcept { return inferlay_responder_credit(raw()); }

  // Whether the caller no longer wants the answer.
  bool is_cancelled() const noexcept { return inferlay_responder_cancelled(raw()); }

  inferlay_responder *raw() const noexcept { return handle_.get(); }

 private:
  responder &set(text name, const inferlay_view &view) {
    detail::check(inferlay_responder_set_output(raw(), name.chars(), &view));
    return *this;
  }

  detail::handle<inferlay_responder, inferlay_responder_free> handle_;
};

// One batch, for the length of one call of a model's function, or of one that was pulled; all that it gives lives as
// long. Where the model batches, the first dim of every input and output is the number of rows.
class batch {
 public:
  explicit batch(inferlay_batch *raw) noexcept : raw_(raw) {}
  batch(const batch &) = delete;
  batch &operator=(const batch &) = delete;

  // The number of requests, and the sum of their rows.
  std::size_t size() const noexcept { return inferlay_batch_len(raw_); }
  std::size_t rows() const noexcept { return inferlay_batch_rows(raw_); }

  // All rows of an input.
  tensor_view input(text name) const {
    inferlay_view view = detail::empty_view();
    detail::check(inferlay_batch_input(raw_, name.chars(), &view));
    return tensor_view(view);
  }

  // Memory to write all rows of an output into, once; not for `bytes`. Throws `invalid_arg` when elements of this type
  // do not fit into it.
  template <class T>
  span<T> output(text name, const shape &shape) {
    void *data = nullptr;
    std::size_t byte_size = 0;
    detail::check(inferlay_batch_output(raw_, name.chars(), shape.dims(), shape.rank(), &data, &byte_size));
    std::size_t elements = 1;
    for (std::size_t at = 0; at < shape.rank(); ++at) elements *= static_cast<std::size_t>(shape.dims()[at]);
    if (elements * sizeof(T) != byte_size) {
      throw error(code::invalid_arg, std::string("output '") + name.chars() + "': found elements of " +
                                         std::to_string(sizeof(T)) + " bytes, expected " + std::to_string(byte_size) +
                                         " bytes in all");
    }
    return {static_cast<T *>(data), elements};
  }

  // Sets all rows of an output to a copy of a tensor, or of strings.
  void set_output(text name, const tensor_view &view) {
    detail::check(inferlay_batch_set_output(raw_, name.chars(), &view.raw()));
  }
  void set_strings(text name, const std::vector<std::string_view> &elements, const shape &shape) {
    const detail::strings all(elements);
    const inferlay_view view = all.view(shape);
    detail::check(inferlay_batch_set_output(raw_, name.chars(), &view));
  }

  bool output_wanted(text name) const noexcept { return inferlay_batch_output_wanted(raw_, name.chars()); }

  // Answers one request with an error, whatever becomes of the others.
  void fail(std::size_t index, const error &error) {
    detail::check(inferlay_batch_fail(raw_, index, detail::status_of(error)));
  }

  // Takes one request out of the batch: the responder answers it, in place of the batch's outputs.
  responder take(std::size_t index) {
    inferlay_responder *raw = nullptr;
    detail::check(inferlay_batch_responder(raw_, index, &raw));
    return responder(raw);
  }

  // What one request says. Throws `not_found` past the end.
  asked request(std::size_t index) const {
    inferlay_asked raw = {};
    raw.struct_size = sizeof raw;
    detail::check(inferlay_batch_request(raw_, index, &raw));
    asked found{{raw.id, raw.id_len},
                raw.rows,
                raw.priority,
                raw.sequence_id,
                {raw.sequence_text, raw.sequence_text_len},
                raw.sequence_flags,
                std::nullopt,
                raw.cancelled};
    if (raw.deadline_ns != UINT64_MAX) {
      found.deadline = clock::time_point(std::chrono::nanoseconds(static_cast<std::int64_t>(raw.deadline_ns)));
    }
    return found;
  }

  // A parameter of one request; nothing when it has none of this name.
  std::optional<inferlay::parameter> parameter(std::size_t index, text name) const {
    inferlay_parameter raw = {};
    raw.struct_size = sizeof raw;
    inferlay_status *status = inferlay_batch_parameter(raw_, index, name.chars(), &raw);
    if (status != nullptr && inferlay_status_code(status) == INFERLAY_CODE_NOT_FOUND) {
      inferlay_status_free(status);
      return std::nullopt;
    }
    detail::check(status);
    switch (raw.kind) {
      case INFERLAY_PARAMETER_STRING: return std::string_view(raw.string_value, raw.string_len);
      case INFERLAY_PARAMETER_INT: return raw.int_value;
      case INFERLAY_PARAMETER_DOUBLE: return raw.double_value;
      case INFERLAY_PARAMETER_BOOL: return raw.bool_value;
      default: throw error(code::unsupported, "parameter: found kind " + std::to_string(raw.kind));
    }
  }

  inferlay_batch *raw() const noexcept { return raw_; }

 private:
  inferlay_batch *raw_;
};

// A batch that was pulled from a queue: one thread at a time answers it as a whole. Destroyed before that, it is answered
// with an error.
class pulled_batch {
 public:
  // Takes the handle over.
  explicit pulled_batch(inferlay_batch *raw) noexcept : handle_(raw) {}

  // What a model's function would be given. Once the batch is answered, only inputs that were looked at before are good.
  batch view() const noexcept { return batch(raw()); }

  // Answers each request with its rows of the outputs. Throws what they are answered with when an output is missing or
  // does not fit.
  void answer() { detail::check(inferlay_batch_answer(raw(), nullptr)); }

  // Answers each request with this error.
  void fail(const error &error) { detail::check(inferlay_batch_answer(raw(), detail::status_of(error))); }

  inferlay_batch *raw() const noexcept { return handle_.get(); }

 private:
  detail::handle<inferlay_batch, inferlay_batch_free> handle_;
};

// A model whose batches are pulled, by any number of threads, and where they wait. When the queue is destroyed, which no
// thread may pull from then, requests are answered with an error until the model is removed.
class batch_queue {
 public:
  // Makes the model, in a server that runs; `config`: YAML or JSON with the keys of a model's `config.yaml`.
  batch_queue(const server &server, text config);

  // Waits for the next batch; nothing once the model has ended, because it was removed or the server has stopped.
  std::optional<pulled_batch> next() { return next(UINT64_MAX); }

  // Waits so long at most; throws `timeout` when none came.
  std::optional<pulled_batch> next_for(std::chrono::nanoseconds time) { return next(detail::nanoseconds(time)); }

  // A descriptor that is readable while `next` would return at once, for poll and epoll. It stays the queue's; do not
  // read it. -1 when the system has none left.
  int fd() const noexcept { return inferlay_batch_queue_fd(raw()); }

  inferlay_batch_queue *raw() const noexcept { return handle_.get(); }

 private:
  std::optional<pulled_batch> next(std::uint64_t timeout_ns) {
    auto *batch = detail::made<inferlay_batch>(inferlay_batch_queue_next, raw(), timeout_ns);
    if (batch == nullptr) return std::nullopt;
    return pulled_batch(batch);
  }

  detail::handle<inferlay_batch_queue, inferlay_batch_queue_free> handle_;
};

// What a metric is called and labelled, for `server::metric_counter` and its siblings.
struct metric_name {
  text name;
  text help = "";
  std::vector<std::pair<text, text>> labels = {};
};

// A metric of the program, shown in the server's metrics as long as a handle of it exists. Any thread may change it.
class metric {
 public:
  // Takes the handle over.
  explicit metric(inferlay_metric *raw) noexcept : handle_(raw) {}

  // Of a gauge.
  void set(double value) { detail::check(inferlay_metric_set(raw(), value)); }
  // Of a counter, which never falls, and of a gauge.
  void increment(double by = 1) { detail::check(inferlay_metric_increment(raw(), by)); }
  // Of a histogram.
  void observe(double value) { detail::check(inferlay_metric_observe(raw(), value)); }
  // Of a counter or gauge.
  double value() const {
    double value = 0;
    detail::check(inferlay_metric_value(raw(), &value));
    return value;
  }

  inferlay_metric *raw() const noexcept { return handle_.get(); }

 private:
  detail::handle<inferlay_metric, inferlay_metric_free> handle_;
};

// A model server in this process. Destroying it stops it, and drains for up to 5 seconds; inside a callback it is not
// destroyed but lost.
class server {
 public:
  // Starts it: loads everything the options name, and serves. A model that fails to load does not fail the start unless
  // the options are strict.
  server() : server(nullptr) {}
  explicit server(const options &options) : server(options.raw()) {}

  // Stops it: refuses what is new, drains so long at most, answers what is left with errors. Throws `timeout`, naming
  // the models, when a backend did not let go: what its requests borrowed stays borrowed.
  void stop(std::chrono::nanoseconds drain) { detail::check(inferlay_server_stop(raw(), detail::deadline_in(drain))); }

  bool is_live() const noexcept { return inferlay_server_is_live(raw()); }
  bool is_ready() const noexcept { return inferlay_server_is_ready(raw()); }
  bool is_ready(text model, std::uint64_t version = 0) const noexcept {
    return inferlay_model_is_ready(raw(), model.chars(), version);
  }

  // Texts of JSON; inferlay.h says of what form. `metrics` is in the text format of Prometheus.
  std::string metadata() const { return detail::json(inferlay_server_metadata, raw()); }
  std::string models() const { return detail::json(inferlay_server_models, raw()); }
  std::string statistics() const { return detail::json(inferlay_server_statistics, raw()); }
  std::string metrics() const { return detail::json(inferlay_server_metrics, raw()); }
  std::string traces() const { return detail::json(inferlay_server_traces, raw()); }
  std::string backends() const { return detail::json(inferlay_server_backends, raw()); }
  std::string devices() const { return detail::json(inferlay_server_devices, raw()); }
  std::string model_metadata(text model, std::uint64_t version = 0) const {
    return detail::json(inferlay_model_metadata, raw(), model.chars(), version);
  }
  std::string model_config(text model, std::uint64_t version = 0) const {
    return detail::json(inferlay_model_config, raw(), model.chars(), version);
  }
  std::string model_statistics(text model, std::uint64_t version = 0) const {
    return detail::json(inferlay_model_statistics, raw(), model.chars(), version);
  }
  void set_trace_every(std::uint32_t requests) {
    detail::check(inferlay_server_set_trace_every(raw(), requests));
  }

  // Labels, such as "stable", stand for versions and are moved live. `labels` is JSON: {"stable": 1}.
  void set_label(text model, text label, std::uint64_t version) {
    detail::check(inferlay_server_set_label(raw(), model.chars(), label.chars(), version));
  }
  void remove_label(text model, text label) {
    detail::check(inferlay_server_remove_label(raw(), model.chars(), label.chars()));
  }
  std::string labels(text model) const { return detail::json(inferlay_server_labels, raw(), model.chars()); }

  // Splits the requests that name no version between versions, by weights; none ends the split. `traffic` is JSON:
  // {"traffic": [{"version": 1, "weight": 9}], "shadow": null}.
  void set_traffic(text model, const std::vector<std::pair<std::uint64_t, std::uint32_t>> &weighted) {
    std::vector<std::uint64_t> versions;
    std::vector<std::uint32_t> weights;
    for (const auto &[version, weight] : weighted) {
      versions.push_back(version);
      weights.push_back(weight);
    }
    detail::check(
        inferlay_server_set_traffic(raw(), model.chars(), versions.data(), weights.data(), weighted.size()));
  }
  std::string traffic(text model) const { return detail::json(inferlay_server_traffic, raw(), model.chars()); }

  // Gives a version copies of what others answer, and drops its answers; version 0: nobody.
  void set_shadow(text model, std::uint64_t version) {
    detail::check(inferlay_server_set_shadow(raw(), model.chars(), version));
  }

  // Metrics of the program's own, beside those of the library. Whoever asks for the same name and labels gets the same.
  metric metric_counter(const metric_name &of) { return make_metric(INFERLAY_METRIC_COUNTER, of, {}); }
  metric metric_gauge(const metric_name &of) { return make_metric(INFERLAY_METRIC_GAUGE, of, {}); }
  metric metric_histogram(const metric_name &of, const std::vector<double> &bounds) {
    return make_metric(INFERLAY_METRIC_HISTOGRAM, of, bounds);
  }

  // Loads one model of one file into the server; takes a model away, draining so long at most.
  void load(text path) { detail::check(inferlay_model_load(raw(), path.chars())); }
  void remove(text model, std::chrono::nanoseconds drain) {
    detail::check(inferlay_model_remove(raw(), model.chars(), detail::deadline_in(drain)));
  }

  // Loads a model of the repositories by its name, or loads it anew; unloads it; looks at all repositories now. Each
  // returns at once, and goes on if the operation is destroyed.
  operation load_model(text model, const load_options &said = {}) {
    const detail::raw_files all(said.files);
    inferlay_load_options raw_options = {};
    raw_options.struct_size = sizeof raw_options;
    raw_options.config = said.config.empty() ? nullptr : said.config.c_str();
    raw_options.versions = said.versions.data();
    raw_options.versions_len = said.versions.size();
    raw_options.files = all.pointers.data();
    raw_options.files_len = all.pointers.size();
    raw_options.config_format = static_cast<inferlay_config_format>(said.format);
    raw_options.swap = static_cast<inferlay_swap>(said.swap);
    return operation(
        detail::made<inferlay_operation>(inferlay_server_load_model, raw(), model.chars(), &raw_options));
  }
  operation unload_model(text model) {
    const inferlay_unload_options *defaults = nullptr;
    return operation(
        detail::made<inferlay_operation>(inferlay_server_unload_model, raw(), model.chars(), defaults));
  }
  operation poll() { return operation(detail::made<inferlay_operation>(inferlay_server_poll, raw())); }

  // Adds repositories, and takes one away by all its folders.
  void add_repository(text folder) { detail::check(inferlay_server_add_repository(raw(), folder.chars())); }
  void add_repository(const repository &repository) {
    detail::with(repository, [&](auto raw_one) { return inferlay_server_add_repository_with(raw(), raw_one); });
  }
  void remove_repository(const std::vector<std::string> &folders) {
    const auto raw_folders = detail::pointers(folders);
    detail::check(inferlay_server_remove_repository(raw(), raw_folders.data(), raw_folders.size()));
  }

  // Has a model stay in memory, or go again when others need room.
  void pin_model(text model, bool is_pinned = true) {
    detail::check(inferlay_server_pin_model(raw(), model.chars(), is_pinned));
  }

  // What paging has done, as JSON; and how many times any state has changed.
  std::string paging() const { return detail::json(inferlay_server_paging, raw()); }
  std::uint64_t change_count() const noexcept {
    const std::uint64_t *count = inferlay_server_change_counter(raw());
    return count == nullptr ? 0 : __atomic_load_n(count, __ATOMIC_ACQUIRE);
  }

  // Has `on_change(const change &)` called with every change of a version's state, in order, one call at a time, on a
  // thread of the library, until the subscription is destroyed. It waits for nothing, throws nothing, and is destroyed
  // when it is not called any more.
  template <class F>
  subscription subscribe(F on_change) {
    const inferlay_change_fn told = [](void *user_data, const inferlay_change *raw_change) noexcept {
      const change now{raw_change->model, raw_change->version, static_cast<model_state>(raw_change->state),
                       raw_change->reason};
      (*static_cast<F *>(user_data))(now);
    };
    const inferlay_gone_fn gone = [](void *user_data) noexcept { delete static_cast<F *>(user_data); };
    auto owned = std::make_unique<F>(std::move(on_change));
    void *user_data = owned.get();
    subscription made(
        detail::made<inferlay_subscription>(inferlay_server_subscribe, raw(), told, gone, user_data));
    // The subscription destroys it now.
    static_cast<void>(owned.release());
    return made;
  }

  // Makes a model of `execute(batch &)`, which runs one batch; what it throws answers the batch. It is called by as
  // many threads at once as the config has instances, waits for nothing of this library, and is destroyed when the
  // model is gone. `config`: YAML or JSON with the keys of a model's `config.yaml`.
  template <class F>
  void register_model(text config, F execute) {
    const inferlay_execute_fn run = [](void *user_data, inferlay_batch *raw) noexcept -> inferlay_status * {
      try {
        batch lent(raw);
        (*static_cast<F *>(user_data))(lent);
        return nullptr;
      } catch (const error &failure) {
        return detail::status_of(failure);
      } catch (const std::bad_alloc &failure) {
        return inferlay_status_new(INFERLAY_CODE_RESOURCE_EXHAUSTED, failure.what());
      } catch (const std::exception &failure) {
        return inferlay_status_new(INFERLAY_CODE_INTERNAL, failure.what());
      } catch (...) {
        return inferlay_status_new(INFERLAY_CODE_INTERNAL, "the model's function threw what is no std::exception");
      }
    };
    auto owned = std::make_unique<F>(std::move(execute));
    inferlay_model_table table = {};
    table.struct_size = sizeof table;
    table.execute = run;
    table.gone = [](void *user_data) noexcept { delete static_cast<F *>(user_data); };
    detail::check(inferlay_server_register_model(raw(), config.chars(), &table, owned.get()));
    // The model destroys it now.
    static_cast<void>(owned.release());
  }

  // Sends a request and waits for the answer, on this thread if an instance is idle.
  response infer(request &request) const {
    return response(detail::made<inferlay_response>(inferlay_infer, raw(), request.raw()));
  }

  // Sends a request and returns at once. The future is ready when `infer` would have returned: the request may be used
  // again, and what it borrowed is free; to drop the future ends no borrow. It throws `unsupported` when a decoupled
  // model sends none or several responses: for these use the others. Throws what is known at once.
  std::future<response> infer_async(request &request) const {
    auto flight = std::make_unique<promised>();
    auto answer = flight->promise.get_future();
    send(request, std::move(flight));
    return answer;
  }

  // Sends a request and returns at once. `on_response(result)` is called 1..n times, the last with `is_final`; then
  // `on_release()`, once: the request may be sent again from there, and what it borrowed is free. Both are called on
  // threads of the library, wait for nothing, and are destroyed afterwards. Throws what is known at once; then nothing
  // is called.
  template <class F, class R>
  void infer_async(request &request, F on_response, R on_release) const {
    send(request, std::make_unique<called<F, R>>(std::move(on_response), std::move(on_release)));
  }
  template <class F>
  void infer_async(request &request, F on_response) const {
    infer_async(request, std::move(on_response), [] {});
  }

  // Sends a request and returns at once, with the responses as they come; of a model that is not decoupled, one. Throws
  // what is known at once.
  responses infer_stream(request &request) const {
    responses coming;
    detail::check(inferlay_infer_queue(raw(), request.raw(), coming.queue_.raw(), nullptr));
    coming.request_ = request.raw();
    return coming;
  }

  // Sends a request and returns at once; what would be called comes to the queue, with `user_data`.
  void infer_queue(request &request, const queue &queue, void *user_data = nullptr) const {
    detail::check(inferlay_infer_queue(raw(), request.raw(), queue.raw(), user_data));
  }

  inferlay_server *raw() const noexcept { return handle_.get(); }

 private:
  explicit server(const inferlay_options *options)
      : handle_(detail::made<inferlay_server>(inferlay_server_new, INFERLAY_API_VERSION, options)) {}

  metric make_metric(inferlay_metric_kind kind, const metric_name &of, const std::vector<double> &bounds) {
    std::vector<const char *> labels;
    for (const auto &[name, value] : of.labels) {
      labels.push_back(name.chars());
      labels.push_back(value.chars());
    }
    inferlay_metric_definition definition{};
    definition.struct_size = sizeof definition;
    definition.kind = kind;
    definition.name = of.name.chars();
    definition.help = of.help.chars();
    definition.labels = labels.data();
    definition.labels_len = of.labels.size();
    definition.bounds = bounds.data();
    definition.bounds_len = bounds.size();
    return metric(detail::made<inferlay_metric>(inferlay_metric_new, raw(), &definition));
  }

  // Two functions to tell, from sending to release.
  template <class F, class R>
  struct called {
    called(F response, R release) : on_response(std::move(response)), on_release(std::move(release)) {}

    void respond(result told) { on_response(std::move(told)); }
    void release() { on_release(); }

    F on_response;
    R on_release;
  };

  // A promise to keep: the one response or the error, until the release.
  struct promised {
    void respond(result told) {
      if (told.is_error() || (told.is_response() && count++ == 0)) one.emplace(std::move(told));
    }
    void release() {
      try {
        if (!one || (count > 1 && !one->is_error())) {
          throw error(code::unsupported,
                      "found " + std::to_string(count) + " responses, expected one; ask for a stream");
        }
        promise.set_value(one->take());
      } catch (...) {
        promise.set_exception(std::current_exception());
      }
    }

    std::promise<response> promise;
    std::optional<result> one;
    std::size_t count = 0;
  };

  template <class T>
  void send(request &request, std::unique_ptr<T> flight) const {
    const inferlay_response_fn on_response = [](void *user_data, inferlay_response *response,
                                                inferlay_response_flags flags, inferlay_status *status) noexcept {
      static_cast<T *>(user_data)->respond(result(response, flags, status));
    };
    const inferlay_release_fn on_release = [](void *user_data, inferlay_request *) noexcept {
      const std::unique_ptr<T> last(static_cast<T *>(user_data));
      last->release();
    };
    detail::check(inferlay_infer_async(raw(), request.raw(), on_response, on_release, flight.get()));
    // The release destroys it.
    static_cast<void>(flight.release());
  }

  detail::handle<inferlay_server, inferlay_server_free> handle_;
};

inline request::request(const server &server, text model, std::uint64_t version)
    : handle_(detail::made<inferlay_request>(inferlay_request_new, server.raw(), model.chars(),
                           version)) {}

inline request request::labelled(const server &server, text model, text label) {
  return request(
      detail::made<inferlay_request>(inferlay_request_new_labelled, server.raw(), model.chars(), label.chars()));
}

inline batch_queue::batch_queue(const server &server, text config)
    : handle_(detail::made<inferlay_batch_queue>(inferlay_batch_queue_new, server.raw(), config.chars())) {}

// The version of the library, such as "0.1.0"; and how it was built, as JSON.
inline const char *version() noexcept { return inferlay_version(); }
inline std::string build() { return detail::json(inferlay_build); }

// How the sum of a file is computed.
enum class sum : std::uint32_t { sha256 = INFERLAY_SUM_SHA256, blake3 = INFERLAY_SUM_BLAKE3 };

// A key with which models are signed: 64 hexadecimal digits each.
struct signing_key {
  std::string secret_half;
  std::string public_half;
};

// Makes a key.
inline signing_key make_signing_key() {
  char *secret_half = nullptr, *public_half = nullptr;
  detail::check(inferlay_signing_key_new(&secret_half, &public_half));
  const std::unique_ptr<char, void (*)(char *)> first(secret_half, inferlay_text_free);
  const std::unique_ptr<char, void (*)(char *)> second(public_half, inferlay_text_free);
  return {first.get(), second.get()};
}

// Seals the folder of one model, which is then loaded only as it is now; signed, unless the secret key is empty. How many
// files and bytes, as JSON.
inline std::string seal(text folder, sum how = sum::sha256, const std::string &secret_key = {}) {
  const char *key = secret_key.empty() ? nullptr : secret_key.c_str();
  return detail::json(inferlay_seal, folder.chars(), static_cast<inferlay_sum>(how), key);
}

}  // namespace inferlay

#endif  // INFERLAY_HPP
