//! Every field of a model's config: Triton's `ModelConfig`, and what is our own. Pure data, any thread.

use super::grammar::{Field, Kind, Message, Short, field, message};
use super::limits;
use Kind::{Choice, DataType, File, Flag, Int, Real, Text, Whole};

/// The whole config.
pub(super) static CONFIG: Message = message(&[
    field("name", Text, "The name of the model, which must be the name of its folder."),
    field("platform", Text, "The older way to name a backend; handed to the backend."),
    field("backend", Text, "The backend that executes the model."),
    field("runtime", Text, "Which of the backend's implementations executes the model.").backend(),
    field("version_policy", Kind::Message(&VERSION_POLICY), "Which versions are served; the newest one by default."),
    field("max_batch_size", whole(&limits::BATCH_SIZE), "The largest batch; 0 for a model that does not batch."),
    field("input", Kind::Message(&INPUT), "The inputs.").list(),
    field("output", Kind::Message(&OUTPUT), "The outputs that are served.").list(),
    field("batch_input", Kind::Message(&BATCH_INPUT), "Inputs that the batch itself determines.").list(),
    field("batch_output", Kind::Message(&BATCH_OUTPUT), "Outputs that are scattered by the shape of an input.").list(),
    field("optimization", Kind::Message(&OPTIMIZATION), "How the framework optimizes and places the model.").backend(),
    field("dynamic_batching", Kind::Message(&DYNAMIC_BATCHING), "How requests are batched together."),
    field("sequence_batching", Kind::Message(&SEQUENCE_BATCHING), "How requests of one sequence are kept together.")
        .not_yet(),
    field("ensemble_scheduling", Kind::Message(&ENSEMBLE), "The steps of a model that is made of models.").not_yet(),
    field("instance_group", Kind::Message(&INSTANCE_GROUP), "The instances that execute; one by default.").list(),
    field("default_model_filename", File, "The file in a version's folder that holds the model."),
    field("cc_model_filenames", File, "The file of the model for each compute capability of a GPU.").map().backend(),
    field("metric_tags", Text, "Labels that the metrics of the model bear.").map(),
    field("parameters", Kind::Message(&PARAMETER), "What the backend is told.").map(),
    field("model_warmup", Kind::Message(&WARMUP), "Requests that every instance executes before it serves.").list(),
    field("model_operations", Kind::Message(&OPERATIONS), "Libraries of the framework's own operations.").backend(),
    field("model_transaction_policy", Kind::Message(&TRANSACTION_POLICY), "How many responses answer a request."),
    field("model_repository_agents", Kind::Message(&AGENTS), "Programs that prepare the model's files.").backend(),
    field("response_cache", Kind::Message(&RESPONSE_CACHE), "Whether equal requests are answered from memory.")
        .not_yet(),
    field("model_metrics", Kind::Message(&METRICS), "How metrics of the model are gathered."),
    field("caller_runs", Choice(&["never", "own_request", "batch"]), "What threads that wait for an answer execute.")
        .own(),
    field("default_queue_policy", Kind::Message(&QUEUE_POLICY), "The queue of a model without dynamic batching.").own(),
    field("swap", Choice(&["overlap", "replace"]), "What becomes of an old version when there is no room beside it.")
        .own(),
    field(
        "execution_timeout_microseconds",
        MICROSECONDS,
        "How long an execution may take before it counts as hanging.",
    )
    .own(),
    field("version_labels", whole(&limits::VERSION), "Names that stand for a version, such as stable and canary.")
        .map()
        .own(),
    field("traffic", whole(&limits::WEIGHT), "The weights of versions, by which requests that name none are split.")
        .number_map()
        .own(),
    field("shadow", from(0, &limits::VERSION), "The version that gets a copy of what others answer; 0 for none.").own(),
])
.one_of(&["dynamic_batching", "sequence_batching", "ensemble_scheduling"]);

/// `version_policy`.
pub(super) static VERSION_POLICY: Message = message(&[
    field("latest", Kind::Message(&LATEST), "The newest ones."),
    field("all", Kind::Message(&NOTHING), "All of them."),
    field("specific", Kind::Message(&SPECIFIC), "Those that are named."),
])
.one_of(&["latest", "all", "specific"])
.short(Short::Words(&["latest", "all"]));
pub(super) static LATEST: Message =
    message(&[field("num_versions", whole(&limits::VERSIONS), "How many; 1 by default.")]);
pub(super) static SPECIFIC: Message = message(&[field("versions", whole(&limits::VERSION), "Their numbers.").list()]);
pub(super) static NOTHING: Message = message(&[]);

/// One of `input`.
pub(super) static INPUT: Message = message(&[
    TENSOR_NAME,
    TENSOR_TYPE,
    field("format", Choice(&FORMATS), "The order of an image's dims.").backend(),
    TENSOR_DIMS,
    RESHAPE,
    SHAPE_TENSOR,
    field("allow_ragged_batch", Flag, "Whether requests of different shapes may share a batch."),
    field("optional", Flag, "Whether a request may leave it out."),
    NON_LINEAR,
]);
/// One of `output`.
pub(super) static OUTPUT: Message = message(&[
    TENSOR_NAME,
    TENSOR_TYPE,
    TENSOR_DIMS,
    RESHAPE,
    field("label_filename", File, "The file beside the versions that names the classes, one on each line."),
    SHAPE_TENSOR,
    NON_LINEAR,
]);
const TENSOR_NAME: Field = field("name", Text, "Its name.");
const TENSOR_TYPE: Field = field("data_type", DataType, "The type of its elements.");
const TENSOR_DIMS: Field =
    field("dims", DIM, "Its dims, -1 for one that varies; without the batch if the model batches.").list();
const RESHAPE: Field =
    field("reshape", Kind::Message(&SHAPE), "The dims by which the backend knows it, where they differ.");
const SHAPE_TENSOR: Field = field("is_shape_tensor", Flag, "Whether TensorRT takes it as a shape.").backend();
const NON_LINEAR: Field =
    field("is_non_linear_format_io", Flag, "Whether TensorRT takes it in a layout of its own.").backend();
pub(super) static SHAPE: Message = message(&[field("shape", DIM, "The dims.").list()]);

pub(super) static BATCH_INPUT: Message = message(&[
    field("kind", Choice(&BATCH_INPUT_KINDS), "What it is made of."),
    field("target_name", Text, "The inputs of the model that it becomes.").list(),
    field("data_type", DataType, "The type of its elements."),
    field("source_input", Text, "The inputs that it is computed from.").list(),
]);
pub(super) static BATCH_OUTPUT: Message = message(&[
    field("target_name", Text, "The outputs that are scattered.").list(),
    field("kind", Choice(&BATCH_OUTPUT_KINDS), "How they are scattered."),
    field("source_input", Text, "The inputs whose shape decides.").list(),
]);

/// One of `instance_group`.
pub(super) static INSTANCE_GROUP: Message = message(&[
    field("name", Text, "Its name."),
    field("kind", Choice(&INSTANCE_KINDS), "On what its instances execute."),
    field("count", from(0, &limits::INSTANCES), "How many, in all or on each GPU; 0 stands for 1."),
    field("rate_limiter", Kind::Message(&RATE_LIMITER), "What an execution waits for.").not_yet(),
    field("gpus", whole(&limits::GPU), "On which GPUs.").list(),
    field("secondary_devices", Kind::Message(&SECONDARY_DEVICE), "Further devices that TensorRT uses.")
        .list()
        .backend(),
    field("profile", Text, "The optimization profiles of TensorRT.").list().backend(),
    field("passive", Flag, "Whether its instances are made and given no requests."),
    field("host_policy", Text, "The name of the policy of the host.").backend(),
]);
static RATE_LIMITER: Message = message(&[
    field("resources", Kind::Message(&RESOURCE), "What is held during an execution.").list(),
    field("priority", U32, "Who goes first."),
]);
static RESOURCE: Message = message(&[
    field("name", Text, "Its name."),
    field("global", Flag, "Whether all devices share it."),
    field("count", U32, "How many are held."),
]);
static SECONDARY_DEVICE: Message = message(&[
    field("kind", Choice(&["KIND_NVDLA"]), "What it is.").backend(),
    field("device_id", Int(0, i64::MAX), "Its number.").backend(),
]);

static OPTIMIZATION: Message = message(&[
    field("graph", Kind::Message(&GRAPH), "How the graph is optimized.").backend(),
    field("priority", Choice(&["PRIORITY_DEFAULT", "PRIORITY_MAX", "PRIORITY_MIN"]), "Its priority on the device.")
        .backend(),
    field("cuda", Kind::Message(&CUDA), "What is CUDA's.").backend(),
    field("execution_accelerators", Kind::Message(&ACCELERATORS), "What speeds the framework up.").backend(),
    field("input_pinned_memory", Kind::Message(&PINNED), "Whether inputs are staged in pinned memory.").backend(),
    field("output_pinned_memory", Kind::Message(&PINNED), "Whether outputs are staged in pinned memory.").backend(),
    field("gather_kernel_buffer_threshold", U32, "From how many buffers on a kernel gathers them.").backend(),
    field("eager_batching", Flag, "Whether the next batch is prepared during an execution.").backend(),
]);
static GRAPH: Message = message(&[field("level", Int(i32::MIN as i64, i32::MAX as i64), "How far it goes.").backend()]);
static CUDA: Message = message(&[
    field("graphs", Flag, "Whether CUDA graphs are used.").backend(),
    field("busy_wait_events", Flag, "Whether events are waited for without sleep.").backend(),
    field("graph_spec", Kind::Message(&GRAPH_SPEC), "The graphs that are captured.").list().backend(),
    field("output_copy_stream", Flag, "Whether outputs are copied on a stream of their own.").backend(),
]);
static GRAPH_SPEC: Message = message(&[
    field("batch_size", whole(&limits::BATCH_SIZE), "The size of the batch.").backend(),
    field("input", Kind::Message(&GRAPH_SHAPE), "The dims of each input.").map().backend(),
    field("graph_lower_bound", Kind::Message(&LOWER_BOUND), "The smallest batch and dims that it serves.").backend(),
]);
static LOWER_BOUND: Message = message(&[
    field("batch_size", whole(&limits::BATCH_SIZE), "The size of the batch.").backend(),
    field("input", Kind::Message(&GRAPH_SHAPE), "The dims of each input.").map().backend(),
]);
static GRAPH_SHAPE: Message = message(&[field("dim", DIM, "The dims.").list().backend()]);
static ACCELERATORS: Message = message(&[
    field("gpu_execution_accelerator", Kind::Message(&ACCELERATOR), "Those on a GPU.").list().backend(),
    field("cpu_execution_accelerator", Kind::Message(&ACCELERATOR), "Those on the CPU.").list().backend(),
]);
static ACCELERATOR: Message = message(&[
    field("name", Text, "Its name.").backend(),
    field("parameters", Text, "What it is told.").map().backend(),
]);
static PINNED: Message = message(&[field("enable", Flag, "Whether it is.").backend()]);

/// `dynamic_batching`.
pub(super) static DYNAMIC_BATCHING: Message = message(&[
    field("preferred_batch_size", from(1, &limits::BATCH_SIZE), "Sizes at which a batch waits for no more.").list(),
    field("max_queue_delay_microseconds", MICROSECONDS, "How long the oldest request may wait for others."),
    field("preserve_ordering", Flag, "Whether answers leave in the order of the requests."),
    field("priority_levels", whole(&limits::PRIORITY_LEVELS), "Priorities are 1, served first, to this."),
    field("default_priority_level", whole(&limits::PRIORITY_LEVELS), "The priority of a request without one."),
    field("default_queue_policy", Kind::Message(&QUEUE_POLICY), "How requests wait."),
    field(
        "priority_queue_policy",
        Kind::Message(&QUEUE_POLICY),
        "How requests of one priority wait, in place of that.",
    )
    .number_map(),
]);
/// How requests wait.
pub(super) static QUEUE_POLICY: Message = message(&[
    field(
        "timeout_action",
        Choice(&["REJECT", "DELAY"]),
        "What happens to a request that has waited for too long: it fails, or goes behind those in time.",
    ),
    field("default_timeout_microseconds", MICROSECONDS, "How long a request may wait; 0 for ever."),
    field(
        "allow_timeout_override",
        Flag,
        "Whether a request may shorten its time, by a queue timeout of its own. Also where the queue has none \
         (`default_timeout_microseconds` is 0): Triton then ignores the timeout of the request.",
    ),
    field(
        "max_queue_size",
        from(0, &limits::QUEUE_SIZE),
        "How many requests of each priority may wait; 0 for the default, or of one priority for that of all.",
    ),
]);

static SEQUENCE_BATCHING: Message = message(&[
    field("direct", Kind::Message(&DIRECT), "Each sequence has a slot of the batch."),
    field("oldest", Kind::Message(&OLDEST), "The oldest sequences are batched."),
    field("max_sequence_idle_microseconds", MICROSECONDS, "How long a sequence may be silent."),
    field("control_input", Kind::Message(&CONTROL_INPUT), "Inputs that tell of the sequence.").list(),
    field("state", Kind::Message(&SEQUENCE_STATE), "What is kept from one request to the next.").list(),
    field("iterative_sequence", Flag, "Whether the model asks for further turns itself."),
])
.one_of(&["direct", "oldest"]);
static DIRECT: Message = message(&[
    field("max_queue_delay_microseconds", MICROSECONDS, "How long a request may wait for others."),
    field("minimum_slot_utilization", Real, "The part of the slots that must be taken, from 0 to 1."),
]);
static OLDEST: Message = message(&[
    field("max_candidate_sequences", whole(&limits::BATCH_SIZE), "How many sequences are considered."),
    field("preferred_batch_size", from(1, &limits::BATCH_SIZE), "Sizes at which a batch waits for no more.").list(),
    field("max_queue_delay_microseconds", MICROSECONDS, "How long a request may wait for others."),
    field("preserve_ordering", Flag, "Whether answers leave in the order of the requests."),
]);
static CONTROL_INPUT: Message = message(&[
    field("name", Text, "The name of the input."),
    field("control", Kind::Message(&CONTROL), "What it tells.").list(),
]);
static CONTROL: Message = message(&[
    field("kind", Choice(&CONTROL_KINDS), "What it tells."),
    field("int32_false_true", Int(i32::MIN as i64, i32::MAX as i64), "How false and true are told.").list(),
    field("fp32_false_true", Real, "How false and true are told.").list(),
    field("bool_false_true", Flag, "How false and true are told.").list(),
    field("data_type", DataType, "The type of a correlation id."),
]);
static SEQUENCE_STATE: Message = message(&[
    field("input_name", Text, "The input that gets it."),
    field("output_name", Text, "The output that it comes from."),
    field("data_type", DataType, "The type of its elements."),
    field("dims", DIM, "Its dims.").list(),
    field("initial_state", Kind::Message(&INITIAL_STATE), "What it starts as.").list(),
    field("use_same_buffer_for_input_output", Flag, "Whether it is changed in its place."),
    field("use_growable_memory", Flag, "Whether its memory grows."),
]);
static INITIAL_STATE: Message = message(&[
    field("name", Text, "Its name."),
    field("data_type", DataType, "The type of its elements."),
    field("dims", DIM, "Its dims.").list(),
    field("zero_data", Flag, "Zeros."),
    field("data_file", File, "The file that holds it."),
])
.one_of(&["zero_data", "data_file"]);

static ENSEMBLE: Message = message(&[
    field("step", Kind::Message(&STEP), "The models that are asked.").list(),
    field("max_inflight_requests", U32, "How many requests may be on their way."),
]);
static STEP: Message = message(&[
    field("model_name", Text, "The model."),
    field("model_version", Int(-1, i64::MAX), "Its version; -1 for the newest."),
    field("input_map", Text, "The tensor that each of its inputs gets.").map(),
    field("output_map", Text, "The tensor that each of its outputs becomes.").map(),
    field("model_namespace", Text, "The namespace of the model."),
]);

/// One of `parameters`.
pub(super) static PARAMETER: Message = message(&[field("string_value", Text, "Its value.")]).short(Short::Text);

/// One of `model_warmup`.
pub(super) static WARMUP: Message = message(&[
    field("name", Text, "Its name."),
    field("batch_size", whole(&limits::BATCH_SIZE), "How many such requests make one batch; 0 stands for 1."),
    field("inputs", Kind::Message(&WARMUP_INPUT), "Its inputs.").map(),
    field("count", whole(&limits::WARMUPS), "How often it is executed; 0 stands for 1."),
]);
/// One of the `inputs` of a warm-up.
pub(super) static WARMUP_INPUT: Message = message(&[
    field("data_type", DataType, "The type of its elements."),
    field("dims", Int(0, i64::MAX), "Its dims, none of which varies.").list(),
    field("zero_data", Flag, "Zeros, or empty strings."),
    field("random_data", Flag, "Random numbers."),
    field("input_data_file", File, "The file in the folder 'warmup' of the model that holds it."),
])
.one_of(&["zero_data", "random_data", "input_data_file"]);

static OPERATIONS: Message =
    message(&[field("op_library_filename", Text, "The libraries, in the order of loading.").list().backend()]);
/// `model_transaction_policy`.
pub(super) static TRANSACTION_POLICY: Message = message(&[
    field("decoupled", Flag, "Whether a request may get any number of responses."),
    field(
        "response_credit_max",
        whole(&limits::RESPONSE_CREDIT),
        "How many responses of a request may be on their way.",
    )
    .own(),
]);
static AGENTS: Message = message(&[field("agents", Kind::Message(&AGENT), "In their order.").list().backend()]);
static AGENT: Message = message(&[
    field("name", Text, "Its name.").backend(),
    field("parameters", Text, "What it is told.").map().backend(),
]);
/// `response_cache`.
pub(super) static RESPONSE_CACHE: Message = message(&[field("enable", Flag, "Whether they are.")]);

pub(super) static METRICS: Message =
    message(&[field("metric_control", Kind::Message(&METRIC_CONTROL), "How each is gathered.").list()]);
pub(super) static METRIC_CONTROL: Message = message(&[
    field("metric_identifier", Kind::Message(&METRIC_IDENTIFIER), "Which metric it is."),
    field("histogram_options", Kind::Message(&HISTOGRAM_OPTIONS), "How a histogram is gathered."),
]);
pub(super) static METRIC_IDENTIFIER: Message = message(&[field("family", Text, "Its name.")]);
pub(super) static HISTOGRAM_OPTIONS: Message = message(&[field("buckets", Real, "The upper bounds, rising.").list()]);

const U32: Kind = Whole(0, u32::MAX as u64);
const MICROSECONDS: Kind = whole(&limits::MICROSECONDS);
const DIM: Kind = Int(-1, i64::MAX);

/// From another number on than the limits.
const fn from(least: u64, limits: &std::ops::RangeInclusive<u64>) -> Kind {
    Whole(least, *limits.end())
}

const fn whole(limits: &std::ops::RangeInclusive<u64>) -> Kind {
    Whole(*limits.start(), *limits.end())
}

/// The types of elements, in the order of Triton's numbers.
pub(super) const DATA_TYPES: [&str; 15] = [
    "TYPE_INVALID",
    "TYPE_BOOL",
    "TYPE_UINT8",
    "TYPE_UINT16",
    "TYPE_UINT32",
    "TYPE_UINT64",
    "TYPE_INT8",
    "TYPE_INT16",
    "TYPE_INT32",
    "TYPE_INT64",
    "TYPE_FP16",
    "TYPE_FP32",
    "TYPE_FP64",
    "TYPE_STRING",
    "TYPE_BF16",
];
const FORMATS: [&str; 3] = ["FORMAT_NONE", "FORMAT_NHWC", "FORMAT_NCHW"];
const INSTANCE_KINDS: [&str; 4] = ["KIND_AUTO", "KIND_GPU", "KIND_CPU", "KIND_MODEL"];
const BATCH_INPUT_KINDS: [&str; 6] = [
    "BATCH_ELEMENT_COUNT",
    "BATCH_ACCUMULATED_ELEMENT_COUNT",
    "BATCH_ACCUMULATED_ELEMENT_COUNT_WITH_ZERO",
    "BATCH_MAX_ELEMENT_COUNT_AS_SHAPE",
    "BATCH_ITEM_SHAPE",
    "BATCH_ITEM_SHAPE_FLATTEN",
];
const BATCH_OUTPUT_KINDS: [&str; 1] = ["BATCH_SCATTER_WITH_INPUT_SHAPE"];
const CONTROL_KINDS: [&str; 4] =
    ["CONTROL_SEQUENCE_START", "CONTROL_SEQUENCE_READY", "CONTROL_SEQUENCE_END", "CONTROL_SEQUENCE_CORRID"];
