//! What a file may say, and what each mistake is answered with.

use super::*;
use inferlay_backend_sdk::{DataType, ErrorKind};

/// Each text has one mistake, answered by this message.
fn check(cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        assert_eq!(errors(text), *expected, "{text}");
    }
}

#[test]
fn a_mistake_in_the_keys_is_named_with_its_place() {
    check(&[
        (
            "speed: 1",
            "1:1: unknown key 'speed'; expected one of name, platform, backend, runtime, version_policy, max_batch_size, \
             input, output, batch_input, batch_output, optimization, dynamic_batching, sequence_batching, \
             ensemble_scheduling, instance_group, default_model_filename, cc_model_filenames, metric_tags, parameters, \
             model_warmup, model_operations, model_transaction_policy, model_repository_agents, response_cache, \
             model_metrics, caller_runs, default_queue_policy, swap, execution_timeout_microseconds, version_labels, \
             traffic, shadow",
        ),
        ("inputs: []", "1:1: unknown key 'inputs'; did you mean 'input'?"),
        ("model_warmpu: []", "1:1: unknown key 'model_warmpu'; did you mean 'model_warmup'?"),
        ("<<: {}", "1:1: merge keys ('<<') are not supported; write the keys out"),
        ("name: a\nname: b", "2:1: found the key 'name' again, expected once; first in line 1"),
        (
            "output: {name: x, optional: true}",
            "1:19: unknown key 'optional'; expected one of name, data_type, dims, reshape, \
             label_filename, is_shape_tensor, is_non_linear_format_io",
        ),
        ("input: {name: x, reshape: {dims: []}}", "1:28: unknown key 'dims'; expected one of shape"),
        ("model_transaction_policy: {coupled: true}", "1:28: unknown key 'coupled'; did you mean 'decoupled'?"),
        ("version_policy: {newest: 1}", "1:18: unknown key 'newest'; expected one of latest, all, specific"),
        (
            "default_queue_policy: {}\ndynamic_batching: {default_queue_policy: {}}",
            "2:42: dynamic_batching.default_queue_policy: found it here and at the top, expected it once",
        ),
    ]);
}

#[test]
fn a_mistake_in_what_directs_requests_to_versions_is_named() {
    check(&[
        ("version_labels: [stable]", "1:17: version_labels: found a list, expected a mapping of keys"),
        (
            "version_labels: {stable: newest}",
            "1:26: version_labels.stable: found 'newest', expected a whole number from 1 to 18446744073709551615",
        ),
        (
            "version_labels: {'1': 2}",
            "1:23: version_labels.1: found the label '1', expected 1 to 64 letters, digits, '_', '-' and '.', one letter at \
             least",
        ),
        ("traffic: {canary: 1}", "1:19: traffic.canary: found a key that is no version, expected a number from 1 on"),
        ("traffic: {0: 1}", "1:14: traffic.0: found a key that is no version, expected a number from 1 on"),
        ("traffic: {1: -1}", "1:14: traffic.1: found -1, expected a whole number from 0 to 4294967295"),
        ("traffic: {1: 1, '01': 2}", "1:23: traffic.01: found version 1 again, expected each once"),
        ("traffic: {1: 0, 2: 0}", "1:10: traffic: found no version with a weight, expected one at least"),
        ("traffic: {1: 10000, 2: 1}", "1:10: traffic: found weights that come to 10001, expected at most 10000"),
        ("shadow: canary", "1:9: shadow: found 'canary', expected a whole number from 0 to 18446744073709551615"),
        (
            "{version_policy: {specific: {versions: [1, 3]}}, version_labels: {stable: 2}}",
            "1:75: version_labels.stable: found version 2, expected one that version_policy names: 1, 3",
        ),
        (
            "{version_policy: {specific: {versions: [1, 3]}}, traffic: {1: 9, 2: 1}}",
            "1:69: traffic.2: found version 2, expected one that version_policy names: 1, 3",
        ),
        (
            "{version_policy: {specific: {versions: [1, 3]}}, shadow: 2}",
            "1:58: shadow: found version 2, expected one that version_policy names: 1, 3",
        ),
    ]);
}

#[test]
fn a_mistake_in_names_and_sizes_is_named_with_found_and_expected() {
    check(&[
        ("name: [a]", "1:7: name: found a list, expected text"),
        ("name: a/../b", "1:7: name: found '/' in it, expected a name without '/', '\\', '..' and control characters"),
        ("name:", "1:5: name: found nothing, expected text"),
        ("name: !secret a", "1:15: found the tag '!secret', expected none"),
        (
            "platform: caffe",
            "1:11: platform: found 'caffe', expected one of onnxruntime_onnx, pytorch_libtorch, torch_aoti, \
             tensorflow_graphdef, tensorflow_savedmodel, tensorrt_plan, caffe2_netdef, ensemble, custom",
        ),
        (
            "backend: tract\nplatform: tensorrt_plan",
            "2:11: platform: found a platform of the backend 'tensorrt', expected one of 'tract'",
        ),
        (
            "default_model_filename: ../a.onnx",
            "1:25: default_model_filename: found '../a.onnx', expected a file name within the version's \
             folder",
        ),
        ("max_batch_size: -1", "1:17: max_batch_size: found -1, expected a whole number from 0 to 2147483647"),
        ("max_batch_size: 8.5", "1:17: max_batch_size: found 8.5, expected a whole number from 0 to 2147483647"),
        ("max_batch_size: eight", "1:17: max_batch_size: found 'eight', expected a whole number from 0 to 2147483647"),
        (
            "max_batch_size: '8'",
            "1:17: max_batch_size: found the text '8', expected a whole number from 0 to 2147483647",
        ),
        ("max_batch_size: {}", "1:17: max_batch_size: found a mapping, expected a whole number from 0 to 2147483647"),
        (
            "max_batch_size: 99999999999999999999999999999999999999999999",
            "1:17: max_batch_size: found 99999999999999999999999999999999999999999999, expected a whole \
             number from 0 to 2147483647",
        ),
        ("parameters: {a: [1]}", "1:17: parameters.a: found a list, expected text"),
    ]);
}

#[test]
fn a_mistake_in_inputs_and_outputs_is_named_with_found_and_expected() {
    check(&[
        ("input: x", "1:8: input[0]: found 'x', expected a mapping of keys"),
        ("input: {dims: 1}", "1:8: input[0].name: found nothing, expected the name of an input"),
        ("input: {name: ''}", "1:15: input[0].name: found nothing, expected the name of an input"),
        ("input: [{name: x}, {name: y}, {name: x}]", "1:38: input[2].name: found 'x' again, expected each name once"),
        ("output: [{name: x}, {name: x}]", "1:28: output[1].name: found 'x' again, expected each name once"),
        (
            "input: {name: x, data_type: FLOAT}",
            "1:29: input[0].data_type: found 'FLOAT', expected one of BOOL, UINT8, UINT16, UINT32, UINT64, \
             INT8, INT16, INT32, INT64, FP16, FP32, FP64, BYTES, BF16, also with TYPE_ before it",
        ),
        (
            "input: {name: x, dims: [1, -2]}",
            "1:28: input[0].dims[1]: found -2, expected a whole number from 0 to 9223372036854775807, or -1 \
             for a dim that varies",
        ),
        (
            "input: {name: x, dims: 9223372036854775808}",
            "1:24: input[0].dims[0]: found 9223372036854775808, expected a whole number from 0 to \
             9223372036854775807, or -1 for a dim that varies",
        ),
        (
            "input: {name: x, data_type: FP32, dims: [4611686018427387904]}",
            "1:41: input[0].dims: found dims whose product overflows, expected at most 9223372036854775807 \
             bytes in a batch",
        ),
    ]);
}

#[test]
fn a_mistake_in_how_a_model_is_served_is_named_with_found_and_expected() {
    check(&[
        (
            "instance_group: {kind: GPU}",
            "1:24: instance_group[0].kind: found 'GPU', expected one of KIND_AUTO, KIND_CPU, KIND_GPU, \
             KIND_MODEL",
        ),
        (
            "instance_group: {count: 1025}",
            "1:25: instance_group[0].count: found 1025, expected a whole number from 0 to 1024",
        ),
        (
            "instance_group: [{count: 1000}, {count: 100}]",
            "1:17: instance_group: found 1100 instances in all, expected at most 1024",
        ),
        (
            "instance_group: {kind: KIND_CPU, gpus: 0}",
            "1:40: instance_group[0].gpus: found GPUs, expected none with KIND_CPU",
        ),
        ("instance_group: {gpus: [1, 1]}", "1:24: instance_group[0].gpus: found a GPU twice, expected each once"),
        (
            "max_batch_size: 8\ndynamic_batching: {preferred_batch_size: [4, 16]}",
            "2:46: dynamic_batching.preferred_batch_size[1]: found 16, expected from 1 to max_batch_size, \
             which is 8",
        ),
        (
            "dynamic_batching: {max_queue_delay_microseconds: 1e3}",
            "1:50: dynamic_batching.max_queue_delay_microseconds: found 1e3, expected a whole number from 0 \
             to 31536000000000",
        ),
        (
            "dynamic_batching: {priority_levels: 3}",
            "1:19: dynamic_batching.default_priority_level: found 0, expected a whole number from 1 to 3, as \
             there are 3 priority_levels",
        ),
        ("dynamic_batching: true", "1:19: dynamic_batching: found 'true', expected a mapping of keys"),
        (
            "dynamic_batching: {preserve_ordering: yes}",
            "1:39: dynamic_batching.preserve_ordering: found 'yes', expected one of true, false",
        ),
        (
            "dynamic_batching: {default_queue_policy: {timeout_action: LATER}}",
            "1:59: dynamic_batching.default_queue_policy.timeout_action: found 'LATER', expected one of \
             REJECT, DELAY",
        ),
    ]);
}

#[test]
fn a_mistake_in_the_version_policy_is_named_with_found_and_expected() {
    check(&[
        ("version_policy: newest", "1:17: version_policy: found 'newest', expected one of latest, all"),
        (
            "version_policy: {latest: {}, all: {}}",
            "1:35: version_policy.all: found another beside it, expected one of latest, all, specific",
        ),
        (
            "version_policy: {specific: {versions: [0]}}",
            "1:40: version_policy.specific.versions[0]: found 0, expected a whole number from 1 to \
             18446744073709551615",
        ),
        (
            "version_policy: {specific: {}}",
            "1:28: version_policy.specific: found no versions, expected at least one under the key \
             'versions'",
        ),
        (
            "model_transaction_policy: {decoupled: often}",
            "1:39: model_transaction_policy.decoupled: found 'often', expected one of true, false",
        ),
        (
            "model_transaction_policy: {response_credit_max: 0}",
            "1:49: model_transaction_policy.response_credit_max: found 0, expected a whole number from 1 to 65536",
        ),
        ("caller_runs: always", "1:14: caller_runs: found 'always', expected one of never, own_request, batch"),
        ("swap: later", "1:7: swap: found 'later', expected one of overlap, replace"),
    ]);
}

#[test]
fn all_errors_of_a_file_come_at_once_in_its_order_each_with_its_line() {
    let text = "\
max_bacth_size: 8
input:
  - name: image
    data_type: FP23
    dims: [-3, 8]
  - name: image
dynamic_batching:
\tpreferred: 1
"
    .replace('\t', "  ");
    let expected = "\
config.yaml:1:1: unknown key 'max_bacth_size'; did you mean 'max_batch_size'?
   1 | max_bacth_size: 8
     | ^^^^^^^^^^^^^^
config.yaml:4:16: input[0].data_type: found 'FP23', expected one of BOOL, UINT8, UINT16, UINT32, UINT64, INT8, INT16, \
INT32, INT64, FP16, FP32, FP64, BYTES, BF16, also with TYPE_ before it
   4 |     data_type: FP23
     |                ^^^^
config.yaml:5:12: input[0].dims[0]: found -3, expected a whole number from 0 to 9223372036854775807, or -1 for a dim \
that varies
   5 |     dims: [-3, 8]
     |            ^^
config.yaml:6:11: input[1].name: found 'image' again, expected each name once
   6 |   - name: image
     |           ^^^^^
config.yaml:8:3: unknown key 'preferred'; expected one of preferred_batch_size, max_queue_delay_microseconds, \
preserve_ordering, priority_levels, default_priority_level, default_queue_policy, priority_queue_policy
   8 |   preferred: 1
     |   ^^^^^^^^^";
    let errors = parse("config.yaml", &text).unwrap_err();
    assert_eq!(errors.to_string(), expected);
    let error = inferlay_backend_sdk::Error::from(errors);
    assert_eq!((error.kind(), error.message()), (ErrorKind::InvalidArg, expected));
}

#[test]
fn every_key_is_read_into_its_field() {
    let text = "
name: digits
platform: onnxruntime_onnx
default_model_filename: deep/model.onnx
max_batch_size: 32
input:
- {name: 1.10, data_type: TYPE_STRING, dims: [-1, 0], optional: true}
- {name: y, data_type: BF16, dims: []}
output: {name: null_, dims: 10}
instance_group: [{name: a, kind: KIND_GPU, count: 2, gpus: [0, 1]}, {}]
dynamic_batching:
  preferred_batch_size: [8, 16]
  max_queue_delay_microseconds: 500
  priority_levels: 3
  default_priority_level: 2
  preserve_ordering: false
  default_queue_policy: {max_queue_size: 7, default_timeout_microseconds: 9, timeout_action: REJECT}
version_policy: {specific: {versions: [1, 3]}}
parameters: {threads: 010, path: {string_value: /x}, empty: }
execution_timeout_microseconds: 1000
caller_runs: batch
";
    let config = parse("config.yaml", text).unwrap();
    let tensor = |name: &str, data_type, dims: &[i64], optional| PartialTensor {
        name: name.to_owned(),
        data_type,
        dims: Some(dims.to_vec()),
        optional,
        ..PartialTensor::default()
    };
    assert_eq!(config.name.as_deref(), Some("digits"));
    assert_eq!(config.backend.as_deref(), Some("onnxruntime"));
    assert_eq!(config.default_model_filename.as_deref(), Some("deep/model.onnx"));
    assert_eq!(config.max_batch_size, Some(32));
    let inputs =
        [tensor("1.10", Some(DataType::Bytes), &[-1, 0], Some(true)), tensor("y", Some(DataType::Bf16), &[], None)];
    assert_eq!(config.inputs, inputs);
    assert_eq!(config.outputs, [tensor("null_", None, &[10], None)]);
    let gpu = InstanceGroup {
        name: "a".to_owned(),
        kind: InstanceKind::Gpu,
        count: 2,
        gpus: vec![0, 1],
        ..InstanceGroup::default()
    };
    assert_eq!(config.instance_groups, [gpu, InstanceGroup { count: 1, ..InstanceGroup::default() }]);
    let batching = DynamicBatching {
        preferred_batch_sizes: vec![8, 16],
        delay_us_max: 500,
        priority_levels: 3,
        default_priority_level: 2,
        ..DynamicBatching::default()
    };
    assert_eq!(config.dynamic_batching, Some(batching));
    assert_eq!(config.version_policy, Some(VersionPolicy::Specific(vec![1, 3])));
    let parameters = [("empty", ""), ("path", "/x"), ("threads", "010")];
    assert!(config.parameters.iter().map(|(key, value)| (&**key, &**value)).eq(parameters));
    assert_eq!((config.queue_size_max, config.default_timeout_us), (Some(7), Some(9)));
    assert_eq!((config.execution_timeout_us, config.caller_runs), (Some(1000), Some(CallerRuns::Batch)));
}

#[test]
fn short_forms_nothing_json_and_aliases_are_read_too() {
    let read = |text: &str| parse("config.yaml", text).unwrap();
    let latest = |count| Some(VersionPolicy::Latest(count));
    assert!(["", "\u{feff}", "# nothing", "---\n", "{}", "~"].iter().all(|text| read(text).max_batch_size.is_none()));
    assert_eq!(read("version_policy: all").version_policy, Some(VersionPolicy::All));
    assert_eq!(read("version_policy: latest").version_policy, latest(1));
    assert_eq!(read("version_policy: {latest: {num_versions: 2}}").version_policy, latest(2));
    assert_eq!(read("dynamic_batching:").dynamic_batching, Some(DynamicBatching::default()));
    assert_eq!(
        read("dynamic_batching: {preferred_batch_size: 4}").dynamic_batching.unwrap().preferred_batch_sizes,
        [4]
    );
    assert_eq!(read("default_queue_policy: {max_queue_size: 9}").queue_size_max, Some(9));
    assert_eq!(read("default_queue_policy: {max_queue_size: 0}").queue_size_max, None);
    let json =
        "{\n\t\"max_batch_size\":8,\r\n\t\"input\":[{\"name\":\"\\u00e9\\\"\",\"dims\":[1]}],\"parameters\":null}";
    assert_eq!((read(json).max_batch_size, &*read(json).inputs[0].name), (Some(8), "é\""));
    let alias = "input: &tensors [{name: x, dims: &dims [1, 2]}, {name: y, dims: *dims}]\noutput: *tensors";
    assert_eq!(read(alias).inputs[1].dims, Some(vec![1, 2]));
    assert!(read(alias).outputs.iter().map(|tensor| &*tensor.name).eq(["x", "y"]));
}

#[test]
fn a_config_from_code_keeps_the_same_rules_and_names_the_path() {
    let config = ModelConfig::new("a b")
        .input("x", DataType::Fp32, [-2])
        .input("x", DataType::Fp32, [i64::MAX])
        .output("", DataType::Fp32, vec![1; 65])
        .dynamic_batching(DynamicBatching { delay_us_max: u64::MAX, ..DynamicBatching::default() })
        .queue_size_max(0);
    let expected = "\
model 'a b': input[0].dims[0]: found -2, expected a whole number from 0 to 9223372036854775807, or -1 for a \
dim that varies
model 'a b': input[1].name: found 'x' again, expected each name once
model 'a b': input[1].dims: found dims whose product overflows, expected at most 9223372036854775807 bytes in a batch
model 'a b': output[0].name: found nothing, expected the name of an output
model 'a b': output[0].dims: found 65 dims, expected at most 64
model 'a b': dynamic_batching.max_queue_delay_microseconds: found 18446744073709551615, expected a whole number \
from 0 to 31536000000000
model 'a b': dynamic_batching.default_queue_policy.max_queue_size: found 0, expected a whole number from 1 to 1048576";
    assert_eq!(config.check().unwrap_err().to_string(), expected);
}

#[test]
fn a_model_name_cannot_lead_out_of_its_folder() {
    let good = ["digits", "a", "modèle 1", "a.b", "-", &"x".repeat(255)];
    assert!(good.iter().all(|name| check_model_name(name).is_ok()));
    let bad = ["", ".", "..", ".a", "a/b", "/", "a\\b", "a..b", "a\0", "a\nb", "\u{7f}", "\u{85}", &"x".repeat(256)];
    for name in bad {
        assert_eq!(check_model_name(name).unwrap_err().kind(), ErrorKind::InvalidArg, "{name:?}");
    }
}
