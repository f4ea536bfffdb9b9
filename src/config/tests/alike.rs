//! Configs in the text format beside the same in YAML: both give the same values, and so does the first written as YAML.

use super::*;

/// Each text in the text format says what the YAML says.
fn check(cases: &[(&str, &str)]) {
    for (text, yaml) in cases {
        let expected = parse("config.yaml", yaml).unwrap_or_else(|errors| panic!("{yaml}\n{errors}"));
        assert_eq!(pbtxt(text).to_json(), expected.to_json(), "{text}");
        let written = to_yaml(&pbtxt(text));
        let again = parse("config.yaml", &written).unwrap_or_else(|errors| panic!("{written}\n{errors}"));
        assert_eq!(again.to_json(), expected.to_json(), "{written}");
    }
}

#[test]
fn the_text_format_is_read_in_all_its_spellings() {
    check(SPELLINGS);
}

#[test]
fn inputs_and_outputs_say_the_same_in_both() {
    check(TENSORS);
}

#[test]
fn what_serves_says_the_same_in_both() {
    check(SERVING);
}

#[test]
fn what_backends_and_later_schedulers_read_says_the_same_in_both() {
    check(CARRIED);
}

pub(super) const SPELLINGS: &[(&str, &str)] = &[
    ("", ""),
    ("# a remark", ""),
    ("\u{feff}name: 'a'", "name: a"),
    (r#"name: "a""#, "name: a"),
    ("name:'a'max_batch_size:8", "{name: a, max_batch_size: 8}"),
    ("name: 'a', max_batch_size: 8;", "{name: a, max_batch_size: 8}"),
    ("name : 'a' # remark\r\n\tmax_batch_size : 8", "{name: a, max_batch_size: 8}"),
    (r#"backend: "a" 'b' "c""#, "backend: abc"),
    ("backend: 'a'\n  # remark\n  'b'", "backend: ab"),
    (r#"backend: "a\"b\'c\\d\?""#, r#"backend: "a\"b'c\\d?""#),
    (r"backend: 'a\n\t\r\a\b\f\v'", r#"backend: "a\n\t\r\a\b\f\v""#),
    (r"backend: '\101\x42\x4a\7\0'", r#"backend: "ABJ\a\0""#),
    (r"backend: '\303\251\xc3\xa9\u00e9\U000000e9'", "backend: éééé"),
    ("backend: 'é\u{1f600}'", "backend: é\u{1f600}"),
    ("max_batch_size: 0x10", "max_batch_size: 16"),
    ("max_batch_size: 0X1f", "max_batch_size: 31"),
    ("max_batch_size: 010", "max_batch_size: 8"),
    ("max_batch_size: 0", "max_batch_size: 0"),
    ("input { name: 'x' dims: - 1 }", "input: {name: x, dims: -1}"),
    ("input { name: 'x' dims: -0x0 }", "input: {name: x, dims: 0}"),
    ("input: { name: 'x' }", "input: {name: x}"),
    ("input < name: 'x' >", "input: {name: x}"),
    ("input: < name: 'x'; dims: 1, dims: 2 >", "input: {name: x, dims: [1, 2]}"),
    ("input [ { name: 'x' }, < name: 'y' > ]", "input: [{name: x}, {name: y}]"),
    ("input: []", "input: []"),
    ("input { name: 'x' } input { name: 'y' }", "input: [{name: x}, {name: y}]"),
    ("input [{ name: 'x' }] input { name: 'y' }", "input: [{name: x}, {name: y}]"),
    ("input { name: 'x' dims: [1, 2] dims: 3 }", "input: {name: x, dims: [1, 2, 3]}"),
    ("input { name: 'x' dims: [] }", "input: {name: x, dims: []}"),
    ("input { name: 'x' data_type: 11 }", "input: {name: x, data_type: FP32}"),
    ("input { name: 'x' data_type: 0xd }", "input: {name: x, data_type: BYTES}"),
    ("input { name: 'x' optional: true }", "input: {name: x, optional: true}"),
    ("input { name: 'x' optional: True }", "input: {name: x, optional: true}"),
    ("input { name: 'x' optional: t }", "input: {name: x, optional: true}"),
    ("input { name: 'x' optional: 1 }", "input: {name: x, optional: true}"),
    ("input { name: 'x' optional: False }", "input: {name: x, optional: false}"),
    ("input { name: 'x' optional: f }", "input: {name: x, optional: false}"),
    ("input { name: 'x' optional: 0 }", "input: {name: x, optional: false}"),
    ("parameters { key: 'x' value { string_value: 'y' } }", "parameters: {x: y}"),
    ("parameters: { value: { string_value: 'y' } key: 'x' }", "parameters: {x: y}"),
    (
        "parameters [ { key: 'x' value { string_value: '1' } }, { key: 'y' value { string_value: 'true' } } ]",
        "parameters: {x: 1, y: true}",
    ),
    ("parameters { key: 'x' value {} }", "parameters: {x: {}}"),
    ("parameters { key: 'x' }", "parameters: {x: ''}"),
    ("parameters { value { string_value: 'y' } }", "parameters: {'': y}"),
    ("name: '' backend: '' platform: '' default_model_filename: ''", ""),
];

pub(super) const TENSORS: &[(&str, &str)] = &[
    (
        "input { name: 'x' data_type: TYPE_FP32 dims: [ -1, 3 ] }",
        "input: {name: x, data_type: TYPE_FP32, dims: [-1, 3]}",
    ),
    ("input { name: 'x' data_type: TYPE_STRING dims: 1 }", "input: {name: x, data_type: BYTES, dims: 1}"),
    ("input { name: 'x' data_type: TYPE_BF16 }", "input: {name: x, data_type: BF16}"),
    ("input { name: 'x' format: FORMAT_NCHW dims: [3,2,2] }", "input: {name: x, format: FORMAT_NCHW, dims: [3, 2, 2]}"),
    ("input { name: 'x' format: 1 }", "input: {name: x, format: FORMAT_NHWC}"),
    ("input { name: 'x' dims: [4] reshape { shape: [2, 2] } }", "input: {name: x, dims: 4, reshape: {shape: [2, 2]}}"),
    ("input { name: 'x' dims: 1 reshape { shape: [] } }", "input: {name: x, dims: 1, reshape: {shape: []}}"),
    ("input { name: 'x' dims: 1 reshape { } }", "input: {name: x, dims: 1, reshape: {shape: []}}"),
    ("input { name: 'x' is_shape_tensor: true }", "input: {name: x, is_shape_tensor: true}"),
    ("input { name: 'x' is_non_linear_format_io: true }", "input: {name: x, is_non_linear_format_io: true}"),
    ("input { name: 'x' allow_ragged_batch: true }", "input: {name: x, allow_ragged_batch: true}"),
    ("output { name: 'y' data_type: TYPE_INT64 dims: [] }", "output: {name: y, data_type: INT64, dims: []}"),
    ("output { name: 'y' label_filename: 'labels.txt' }", "output: {name: y, label_filename: labels.txt}"),
    ("output { name: 'y' is_shape_tensor: false }", "output: {name: y, is_shape_tensor: false}"),
    (
        "output { name: 'y' dims: [-1, 6] reshape { shape: [-1, 2, 3] } }",
        "output: {name: y, dims: [-1, 6], reshape: {shape: [-1, 2, 3]}}",
    ),
    (
        "batch_input { kind: BATCH_ELEMENT_COUNT target_name: 'n' data_type: TYPE_INT32 source_input: 'x' }",
        "batch_input: {target_name: n, data_type: INT32, source_input: x}",
    ),
    (
        "batch_input [{ kind: 5 target_name: ['n', 'm'] data_type: TYPE_FP32 source_input: ['x'] }]",
        "batch_input: [{kind: BATCH_ITEM_SHAPE_FLATTEN, target_name: [n, m], data_type: FP32, source_input: x}]",
    ),
    (
        "batch_output { target_name: 'y' kind: BATCH_SCATTER_WITH_INPUT_SHAPE source_input: 'x' }",
        "batch_output: {target_name: y, source_input: x}",
    ),
];

pub(super) const SERVING: &[(&str, &str)] = &[
    ("platform: 'onnxruntime_onnx'", "{platform: onnxruntime_onnx, backend: onnxruntime}"),
    ("platform: 'tensorrt_plan'", "{platform: tensorrt_plan, backend: tensorrt}"),
    ("platform: 'tensorflow_savedmodel' backend: 'tensorflow'", "platform: tensorflow_savedmodel"),
    ("platform: 'caffe2_netdef'", "platform: caffe2_netdef"),
    ("platform: 'pytorch_libtorch' runtime: 'model.py'", "{platform: pytorch_libtorch, runtime: model.py}"),
    ("platform: 'mine' backend: 'own'", "{platform: mine, backend: own}"),
    ("version_policy { latest { num_versions: 2 } }", "version_policy: {latest: {num_versions: 2}}"),
    ("version_policy: { latest {} }", "version_policy: latest"),
    ("version_policy: { all {} }", "version_policy: all"),
    ("version_policy { all: < > }", "version_policy: {all: {}}"),
    ("version_policy { specific { versions: [1, 3] } }", "version_policy: {specific: {versions: [1, 3]}}"),
    ("version_policy { specific: { versions: 1 versions: 3 } }", "version_policy: {specific: {versions: [1, 3]}}"),
    (
        "version_labels { key: 'stable' value: 1 } version_labels { key: 'canary' value: 2 }",
        "version_labels: {stable: 1, canary: 2}",
    ),
    ("traffic { key: 1 value: 90 } traffic { key: 2 value: 10 } shadow: 3", "{traffic: {1: 90, 2: 10}, shadow: 3}"),
    ("traffic [] shadow: 0", "{traffic: {}, shadow: 0}"),
    ("instance_group [ { count: 2 kind: KIND_CPU } ]", "instance_group: {count: 2, kind: KIND_CPU}"),
    ("instance_group { kind: KIND_GPU gpus: [0, 1] }", "instance_group: {kind: KIND_GPU, gpus: [0, 1]}"),
    ("instance_group { kind: 2 count: 0 }", "instance_group: {kind: KIND_CPU, count: 1}"),
    ("instance_group { name: 'g' profile: ['0', '1'] }", "instance_group: {name: g, profile: ['0', '1']}"),
    ("instance_group { passive: true host_policy: 'h' }", "instance_group: {passive: true, host_policy: h}"),
    (
        "instance_group { secondary_devices { kind: KIND_NVDLA device_id: 1 } }",
        "instance_group: {secondary_devices: [{kind: KIND_NVDLA, device_id: 1}]}",
    ),
    (
        "instance_group { rate_limiter { resources [{ name: 'r' global: true count: 2 }] priority: 3 } }",
        "instance_group: {rate_limiter: {resources: {name: r, global: true, count: 2}, priority: 3}}",
    ),
    ("dynamic_batching {}", "dynamic_batching: {}"),
    (
        "max_batch_size: 8 dynamic_batching { preferred_batch_size: [4, 8] max_queue_delay_microseconds: 100 }",
        "{max_batch_size: 8, dynamic_batching: {preferred_batch_size: [4, 8], max_queue_delay_microseconds: 100}}",
    ),
    ("dynamic_batching { preserve_ordering: true }", "dynamic_batching: {preserve_ordering: true}"),
    (
        "dynamic_batching { priority_levels: 3 default_priority_level: 2 }",
        "dynamic_batching: {priority_levels: 3, default_priority_level: 2}",
    ),
    (
        "dynamic_batching { default_queue_policy { timeout_action: DELAY default_timeout_microseconds: 9 \
         allow_timeout_override: true max_queue_size: 7 } }",
        "dynamic_batching: {default_queue_policy: {timeout_action: DELAY, default_timeout_microseconds: 9, \
         allow_timeout_override: true, max_queue_size: 7}}",
    ),
    (
        "dynamic_batching { priority_levels: 2 default_priority_level: 1 \
         priority_queue_policy { key: 1 value { max_queue_size: 7 } } \
         priority_queue_policy { key: 0x2 value { timeout_action: 0 } } }",
        "dynamic_batching: {priority_levels: 2, default_priority_level: 1, \
         priority_queue_policy: {1: {max_queue_size: 7}, '2': {}}}",
    ),
    ("model_transaction_policy { decoupled: True }", "model_transaction_policy: {decoupled: true}"),
    ("model_transaction_policy { response_credit_max: 3 }", "model_transaction_policy: {response_credit_max: 3}"),
    ("caller_runs: own_request", "caller_runs: own_request"),
    ("swap: replace", "swap: replace"),
    ("execution_timeout_microseconds: 500", "execution_timeout_microseconds: 500"),
    ("default_queue_policy { max_queue_size: 9 }", "default_queue_policy: {max_queue_size: 9}"),
    ("default_model_filename: 'net/model.pt'", "default_model_filename: net/model.pt"),
    ("cc_model_filenames { key: '7.5' value: 'turing.plan' }", "cc_model_filenames: {'7.5': turing.plan}"),
    ("metric_tags { key: 'team' value: 'a' }", "metric_tags: {team: a}"),
    ("metric_tags [{ key: 'a' value: '1' }, { key: 'b' }]", "metric_tags: {a: 1, b: ''}"),
    ("response_cache { enable: true }", "response_cache: {enable: true}"),
    (
        "model_metrics { metric_control { metric_identifier { family: 'f' } \
         histogram_options { buckets: [1, 2.5, 1e3, 2000f, 3e+3] } } }",
        "model_metrics: {metric_control: [{metric_identifier: {family: f}, \
         histogram_options: {buckets: [1, 2.5, 1000, 2000, 3000]}}]}",
    ),
    (
        "model_warmup { name: 'w' batch_size: 1 count: 3 \
         inputs { key: 'x' value { data_type: TYPE_FP32 dims: [2] zero_data: true } } \
         inputs { key: 'y' value { data_type: TYPE_FP32 dims: [] random_data: true } } \
         inputs { key: 'z' value { data_type: TYPE_FP32 input_data_file: 'z.bin' } } }",
        "model_warmup: [{name: w, batch_size: 1, count: 3, inputs: {x: {data_type: FP32, dims: 2, zero_data: true}, \
         y: {data_type: FP32, random_data: true}, z: {data_type: FP32, input_data_file: z.bin}}}]",
    ),
    ("model_warmup { name: 'w' }", "model_warmup: {name: w, batch_size: 0, count: 0}"),
];

pub(super) const CARRIED: &[(&str, &str)] = &[
    ("optimization { graph { level: -1 } }", "optimization: {graph: {level: -1}}"),
    ("optimization { priority: PRIORITY_MAX }", "optimization: {priority: PRIORITY_MAX}"),
    ("optimization { priority: 2 }", "optimization: {priority: PRIORITY_MIN}"),
    (
        "optimization { cuda { graphs: true busy_wait_events: false output_copy_stream: t } }",
        "optimization: {cuda: {graphs: true, busy_wait_events: false, output_copy_stream: true}}",
    ),
    (
        "optimization { cuda { graph_spec { batch_size: 4 input { key: 'x' value { dim: [1, -1] } } \
         graph_lower_bound { batch_size: 1 input { key: 'x' value { dim: 1 } } } } } }",
        "optimization: {cuda: {graph_spec: [{batch_size: 4, input: {x: {dim: [1, -1]}}, \
         graph_lower_bound: {batch_size: 1, input: {x: {dim: 1}}}}]}}",
    ),
    (
        "optimization { execution_accelerators { \
         gpu_execution_accelerator: [ { name: 'tensorrt' parameters { key: 'precision_mode' value: 'FP16' } } ] \
         cpu_execution_accelerator { name: 'openvino' } } }",
        "optimization: {execution_accelerators: {\
         gpu_execution_accelerator: {name: tensorrt, parameters: {precision_mode: FP16}}, \
         cpu_execution_accelerator: [{name: openvino}]}}",
    ),
    (
        "optimization { input_pinned_memory { enable: true } output_pinned_memory { enable: false } }",
        "optimization: {input_pinned_memory: {enable: true}, output_pinned_memory: {enable: false}}",
    ),
    (
        "optimization { gather_kernel_buffer_threshold: 8 eager_batching: true }",
        "optimization: {gather_kernel_buffer_threshold: 8, eager_batching: true}",
    ),
    (
        "model_operations { op_library_filename: ['a.so', 'b.so'] }",
        "model_operations: {op_library_filename: [a.so, b.so]}",
    ),
    (
        "model_repository_agents { agents [{ name: 'checksum' parameters { key: 'MD5:f' value: '0' } }] }",
        "model_repository_agents: {agents: {name: checksum, parameters: {'MD5:f': 0}}}",
    ),
    ("sequence_batching {}", "sequence_batching: {}"),
    (
        "sequence_batching { direct { max_queue_delay_microseconds: 5 minimum_slot_utilization: .5 } }",
        "sequence_batching: {direct: {max_queue_delay_microseconds: 5, minimum_slot_utilization: 0.5}}",
    ),
    (
        "sequence_batching { oldest { max_candidate_sequences: 4 preferred_batch_size: [2, 4] \
         max_queue_delay_microseconds: 5 preserve_ordering: true } iterative_sequence: true }",
        "sequence_batching: {oldest: {max_candidate_sequences: 4, preferred_batch_size: [2, 4], \
         max_queue_delay_microseconds: 5, preserve_ordering: true}, iterative_sequence: true}",
    ),
    (
        "sequence_batching { max_sequence_idle_microseconds: 5000000 control_input [ { name: 'START' control [ \
         { kind: CONTROL_SEQUENCE_START int32_false_true: [0, 1] }, \
         { kind: 1 fp32_false_true: [0.0, 1.0] }, { kind: 2 bool_false_true: [f, t] }, \
         { kind: CONTROL_SEQUENCE_CORRID data_type: TYPE_UINT64 } ] } ] }",
        "sequence_batching: {max_sequence_idle_microseconds: 5000000, control_input: {name: START, control: [\
         {kind: CONTROL_SEQUENCE_START, int32_false_true: [0, 1]}, \
         {kind: CONTROL_SEQUENCE_READY, fp32_false_true: [0, 1]}, \
         {kind: CONTROL_SEQUENCE_END, bool_false_true: [false, true]}, \
         {kind: CONTROL_SEQUENCE_CORRID, data_type: UINT64}]}}",
    ),
    (
        "sequence_batching { state { input_name: 'i' output_name: 'o' data_type: TYPE_FP32 dims: [-1] \
         initial_state { name: 's' data_type: TYPE_FP32 dims: 1 zero_data: true } \
         use_same_buffer_for_input_output: true use_growable_memory: true } }",
        "sequence_batching: {state: {input_name: i, output_name: o, data_type: FP32, dims: -1, \
         initial_state: {name: s, data_type: FP32, dims: 1, zero_data: true}, \
         use_same_buffer_for_input_output: true, use_growable_memory: true}}",
    ),
    (
        "sequence_batching { state { initial_state { data_file: 'init' } } }",
        "sequence_batching: {state: {initial_state: {data_file: init}}}",
    ),
    (
        "platform: 'ensemble' ensemble_scheduling { step [ { model_name: 'a' model_version: -1 \
         input_map { key: 'x' value: 'X' } output_map { key: 'y' value: 'Y' } model_namespace: 'n' } ] \
         max_inflight_requests: 4 }",
        "{platform: ensemble, ensemble_scheduling: {step: {model_name: a, model_version: -1, \
         input_map: {x: X}, output_map: {y: Y}, model_namespace: n}, max_inflight_requests: 4}}",
    ),
];
