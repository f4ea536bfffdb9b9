// A small backend in C++17: texts in capitals. What is C++ about it: objects that clean up after themselves, and
// exceptions, which are contained at every function of the table and cross the border as statuses.
//
// `examples/backend_c` explains the ABI itself, step by step.
#include "inferlay_backend.h"

#include <cstring>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace {

using Status = const inferlay_abi_status *;

inferlay_abi_text text(std::string_view view) { return {view.data(), view.size()}; }

std::string_view view(inferlay_abi_text text) { return text.len ? std::string_view(text.data, text.len) : ""; }

// A failure with the code that the caller gets.
class Failure : public std::runtime_error {
public:
    Failure(inferlay_abi_code code, const std::string &message) : std::runtime_error(message), code(code) {}

    const inferlay_abi_code code;
};

// Throws what the host refused; frees its status.
void check(Status status) {
    if (!status) {
        return;
    }
    const auto free = [](Status status) {
        if (status->free) {
            status->free(status);
        }
    };
    const std::unique_ptr<const inferlay_abi_status, decltype(free)> owned(status, free);
    throw Failure(owned->code, std::string(view(owned->message)));
}

// Runs what a function of the table does. No exception passes.
template <typename Run> Status contained(const inferlay_abi_host *host, Run run) noexcept {
    static const inferlay_abi_status no_memory =
        INFERLAY_ABI_STATUS(INFERLAY_ABI_CODE_RESOURCE_EXHAUSTED, "found no memory");
    try {
        run();
        return nullptr;
    } catch (const Failure &failure) {
        return host->status_new(failure.code, text(failure.what()));
    } catch (const std::bad_alloc &) {
        return &no_memory;
    } catch (const std::exception &error) {
        return host->status_new(INFERLAY_ABI_CODE_INTERNAL, text(error.what()));
    } catch (...) {
        return host->status_new(INFERLAY_ABI_CODE_INTERNAL, text("threw what is no std::exception"));
    }
}

// Texts one after the other and where each ends: a tensor of BYTES that owns its memory.
struct Texts {
    std::string data;
    std::vector<std::uint64_t> offsets{0};

    void add(std::string_view added) {
        data += added;
        offsets.push_back(data.size());
    }

    // Hands the texts over to the host, which deletes them when nobody needs them any more.
    static inferlay_abi_tensor hand_over(std::unique_ptr<Texts> texts, const std::vector<std::int64_t> &shape) {
        inferlay_abi_tensor tensor = INFERLAY_ABI_TENSOR_INIT;
        tensor.dtype = INFERLAY_ABI_DTYPE_BYTES;
        tensor.rank = static_cast<std::uint32_t>(shape.size());
        tensor.shape = shape.data();
        tensor.data = texts->data.data();
        tensor.len = texts->data.size();
        tensor.offsets = texts->offsets.data();
        tensor.release = [](void *data, inferlay_abi_ready_kind, std::uint64_t) { delete static_cast<Texts *>(data); };
        tensor.release_data = texts.release();
        return tensor;
    }
};

// ASCII letters only, so that it depends on nobody's locale; everything else passes.
std::string upper(std::string_view from) {
    std::string to(from);
    for (char &c : to) {
        c = c >= 'a' && c <= 'z' ? static_cast<char>(c - 'a' + 'A') : c;
    }
    return to;
}

class Model {
public:
    Model(const inferlay_abi_host *host, const inferlay_abi_source *source) : host_(host) {
        inferlay_abi_text found{};
        try {
            check(host->source_parameter(source, text("suffix"), &found));
            suffix_ = view(found);
        } catch (const Failure &failure) {
            if (failure.code != INFERLAY_ABI_CODE_NOT_FOUND) {
                throw;
            }
        }
        if (suffix_.find('\n') != std::string::npos) {
            throw Failure(INFERLAY_ABI_CODE_INVALID_ARG, "parameter 'suffix': found a line end, expected one line");
        }
    }

    const inferlay_abi_host *host() const { return host_; }

    void execute(const inferlay_abi_batch *batch) const {
        inferlay_abi_tensor in = INFERLAY_ABI_TENSOR_INIT;
        check(host_->batch_input(batch, 0, nullptr, &in));
        const std::vector<std::int64_t> shape(in.shape, in.shape + in.rank);
        std::size_t count = 1;
        for (const std::int64_t dim : shape) {
            count *= static_cast<std::size_t>(dim);
        }
        auto texts = std::make_unique<Texts>();
        const char *data = static_cast<const char *>(in.data);
        for (std::size_t i = 0; i < count; i++) {
            const auto start = in.offsets[i], end = in.offsets[i + 1];
            texts->add(end > start ? upper({data + start, end - start}) + suffix_ : suffix_);
        }
        const inferlay_abi_tensor out = Texts::hand_over(std::move(texts), shape);
        check(host_->batch_output(batch, 0, &out));
    }

private:
    const inferlay_abi_host *host_;
    std::string suffix_;
};

const std::int64_t dims[2] = {-1, -1};
const inferlay_abi_tensor_spec input = {
    sizeof(inferlay_abi_tensor_spec), INFERLAY_ABI_DTYPE_BYTES, INFERLAY_ABI_TEXT("text"), dims, 2, 0};
const inferlay_abi_tensor_spec output = {
    sizeof(inferlay_abi_tensor_spec), INFERLAY_ABI_DTYPE_BYTES, INFERLAY_ABI_TEXT("capitals"), dims, 2, 0};
const inferlay_abi_tensor_spec *const inputs[] = {&input};
const inferlay_abi_tensor_spec *const outputs[] = {&output};
const inferlay_abi_signature signature = {sizeof(inferlay_abi_signature), 1, 1, 1, inputs, outputs};

// Functions without a name, but with the linkage that C++ gives to C.
inferlay_abi_backend make_table() {
    inferlay_abi_backend table{};
    table.struct_size = sizeof table;
    table.abi_major = INFERLAY_ABI_MAJOR;
    table.abi_minor = INFERLAY_ABI_MINOR;
    table.attributes = INFERLAY_ABI_ATTRIBUTE_CALLER_OK | INFERLAY_ABI_ATTRIBUTE_PARALLEL_LOAD;
    table.name = "uppercase";
    table.version = "1.0";
    table.model_new = [](void *, const inferlay_abi_host *host, const inferlay_abi_engine *,
                         const inferlay_abi_source *source, void **model) -> Status {
        return contained(host, [&] { *model = std::make_unique<Model>(host, source).release(); });
    };
    table.model_free = [](void *model) { delete static_cast<Model *>(model); };
    table.model_signature = [](void *) { return &signature; };
    // An instance has no state of its own: it is its model.
    table.instance_new = [](void *model, const inferlay_abi_instance *, const inferlay_abi_instance_spec *,
                            void **instance) -> Status {
        *instance = model;
        return nullptr;
    };
    table.execute = [](void *instance, const inferlay_abi_request *const *, std::uint32_t,
                       const inferlay_abi_batch *batch) -> Status {
        const auto *model = static_cast<const Model *>(instance);
        return contained(model->host(), [&] { model->execute(batch); });
    };
    return table;
}

} // namespace

INFERLAY_ABI_EXPORT const inferlay_abi_backend *inferlay_backend_uppercase(const inferlay_abi_host *) {
    static const inferlay_abi_backend table = make_table();
    return &table;
}
