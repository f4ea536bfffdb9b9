//! What is wrong with a text in the text format, and what is warned of; each with its place.

use super::*;

/// Each text has one mistake, answered by this message.
fn check(cases: &[(&str, &str)]) {
    for (text, expected) in cases {
        let errors = match parse("config.pbtxt", text) {
            Ok(config) => panic!("{text}: {config:?}"),
            Err(errors) => lines(&errors),
        };
        assert_eq!(errors, *expected, "{text}");
    }
}

#[test]
fn what_is_not_the_text_format_is_told_where_it_stops_being_so() {
    check(SYNTAX);
}

#[test]
fn a_value_of_the_wrong_sort_is_named_with_its_place() {
    check(SORTS);
}

#[test]
fn an_unknown_field_is_named_once_however_often_it_stands() {
    check(&[
        ("max_bacth_size: 8", "1:1: unknown key 'max_bacth_size'; did you mean 'max_batch_size'?"),
        ("inputs { name: 'x' }\ninputs { dims: [1] }", "1:1: unknown key 'inputs'; did you mean 'input'?"),
        ("input { name: 'x' dim: [1] }", "1:19: unknown key 'dim'; did you mean 'dims'?"),
        ("optimization { cudas { graphs: true } }", "1:16: unknown key 'cudas'; did you mean 'cuda'?"),
        (
            "optimization { cuda { graph_spec { input { key: 'x' value { dims: 1 } } } } }",
            "1:61: unknown key 'dims'; did you mean 'dim'?",
        ),
        (
            "sequence_batching { oldest { candidates: 1 } }",
            "1:30: unknown key 'candidates'; expected one of \
          max_candidate_sequences, preferred_batch_size, max_queue_delay_microseconds, preserve_ordering",
        ),
    ]);
}

#[test]
fn a_value_that_breaks_a_rule_is_named_with_its_place() {
    check(RULES);
}

#[test]
fn what_the_model_shows_to_be_wrong_is_named_with_its_place() {
    let tensors = "max_batch_size: 4 input { name: 'x' data_type: TYPE_FP32 dims: [2] } \
                   output { name: 'y' data_type: TYPE_FP32 dims: [2] }\n";
    let warmup = |inputs: &str| format!("model_warmup {{ {inputs} }}");
    let value = "data_type: TYPE_FP32 dims: 2 zero_data: true";
    let cases = [
        (warmup(""), "2:14: model_warmup[0].inputs: found nothing for x, expected every input"),
        (
            warmup(&format!("batch_size: 5 inputs {{ key: 'x' value {{ {value} }} }}")),
            "2:28: model_warmup[0].batch_size: found 5, expected from 1 to max_batch_size, which is 4",
        ),
        (
            warmup(&format!("inputs {{ key: 'x' value {{ {value} }} }} inputs {{ key: 'z' value {{ {value} }} }}")),
            "2:115: model_warmup[0].inputs.z: found 'z', expected an input: x",
        ),
        (
            warmup("inputs { key: 'x' value { data_type: TYPE_INT8 dims: 3 zero_data: true } }"),
            "2:53: model_warmup[0].inputs.x.data_type: found INT8, expected FP32, the input's\n\
             2:69: model_warmup[0].inputs.x.dims: found [3], expected [2], the input's",
        ),
        (
            "batch_input { target_name: 'n' source_input: 'z' }".to_owned(),
            "2:46: batch_input[0].source_input[0]: found 'z', expected an input: x",
        ),
        (
            "batch_input { target_name: 'n' data_type: TYPE_INT8 source_input: 'x' }".to_owned(),
            "2:43: batch_input[0].data_type: found INT8, expected one of INT32, FP32",
        ),
        (
            "batch_input { target_name: ['x', 'n', 'n'] source_input: 'x' }".to_owned(),
            "2:29: batch_input[0].target_name[0]: found 'x', expected a name that no other input has\n\
             2:39: batch_input[0].target_name[2]: found 'n', expected a name that no other input has",
        ),
        (
            "input { name: 'z' data_type: TYPE_FP32 dims: 1 optional: true } \
             batch_input { target_name: 'n' source_input: 'z' }"
                .to_owned(),
            "2:110: batch_input[0].source_input[0]: found 'z', which a request may leave out, expected one that it has",
        ),
        (
            "batch_output { target_name: ['n', 'y', 'y'] source_input: 'x' }".to_owned(),
            "2:30: batch_output[0].target_name[0]: found 'n', expected an output: y\n\
             2:40: batch_output[0].target_name[2]: found 'y' again, expected each name once",
        ),
        (
            "output { name: 'z' data_type: TYPE_FP32 dims: [1, -1] } \
             batch_output { target_name: 'z' source_input: 'x' }"
                .to_owned(),
            "2:85: batch_output[0].target_name[0]: found 'z' of dims [1, -1], expected no more that vary than in [2]",
        ),
        (
            "batch_output { source_input: ['x', 'x'] }".to_owned(),
            "2:14: batch_output[0].target_name: found nothing, expected at least one name\n\
             2:30: batch_output[0].source_input: found 2 inputs, expected one",
        ),
    ];
    for (text, expected) in cases {
        let config = pbtxt(&format!("{tensors}{text}"));
        let errors = config.complete("m", "null", &inferlay_backend_sdk::Signature::default()).unwrap_err();
        assert_eq!(lines(&errors), expected, "{text}");
    }
}

#[test]
fn what_is_not_served_yet_is_warned_of_with_its_place_and_refused_by_a_strict_server() {
    let cases = [
        ("sequence_batching { }", "1:1: sequence_batching: is not served yet"),
        ("ensemble_scheduling { }", "1:1: ensemble_scheduling: is not served yet"),
        ("response_cache { enable: true }", "1:1: response_cache: is not served yet"),
        ("instance_group { rate_limiter { } }", "1:18: instance_group[0].rate_limiter: is not served yet"),
        (
            "parameters { key: 'x' }\nparameters { key: 'x' }",
            "2:19: found the key 'x' again, which replaces the one in line 1",
        ),
    ];
    for (text, expected) in cases {
        let config = pbtxt(text);
        assert_eq!(config.warnings().iter().map(line).collect::<Vec<_>>(), [expected], "{text}");
        assert_eq!(lines(&config.strict().unwrap_err()), expected);
    }
    let idle = "response_cache { enable: false } metric_tags [] dynamic_batching { preserve_ordering: false \
                default_queue_policy { timeout_action: REJECT allow_timeout_override: false } } \
                input { name: 'x' allow_ragged_batch: false } output { name: 'y' label_filename: '' }";
    assert_eq!(pbtxt(idle).warnings(), []);
    assert!(pbtxt(idle).strict().is_ok());
}

#[test]
fn an_error_shows_its_line() {
    let errors = parse("digits/config.pbtxt", "name: \"digits\"\nmax_batch_size: -8\n").unwrap_err();
    let expected = "\
digits/config.pbtxt:2:17: max_batch_size: found -8, expected a whole number from 0 to 2147483647
   2 | max_batch_size: -8
     |                 ^^";
    assert_eq!(errors.to_string(), expected);
}

#[test]
fn a_text_without_end_in_depth_or_size_is_refused() {
    let refused = |text: &str| lines(&parse("config.pbtxt", text).unwrap_err());
    let deep = "found more than 64 levels, expected at most 64";
    assert_eq!(refused(&"a{".repeat(100_000)), format!("1:128: {deep}"));
    assert_eq!(refused(&"a:[{".repeat(100_000)), format!("1:256: {deep}"));
    assert_eq!(refused(&"input<".repeat(20)), "1:120: not pbtxt: found a message without its end, expected '>'");
    assert!(refused(&"a:1 ".repeat(262_000)).contains("found values of more than 8388608 bytes, expected fewer"));
    let flood = refused(&(0..60_000).map(|n| format!("k{n}: 1\n")).collect::<String>());
    assert_eq!(flood.lines().count(), 100);
}

const RULES: &[(&str, &str)] = &[
    (
        "version_policy { latest {} all {} }",
        "1:32: version_policy.all: found another beside it, expected one of latest, all, specific",
    ),
    (
        "dynamic_batching {}\nsequence_batching {}",
        "2:19: sequence_batching: found another beside it, expected one of dynamic_batching, sequence_batching, \
         ensemble_scheduling",
    ),
    (
        "sequence_batching { direct {} oldest {} }",
        "1:38: sequence_batching.oldest: found another beside it, expected one of direct, oldest",
    ),
    (
        "sequence_batching { state { initial_state { zero_data: true data_file: 'f' } } }",
        "1:72: sequence_batching.state[0].initial_state[0].data_file: found another beside it, expected one of \
         zero_data, data_file",
    ),
    (
        "sequence_batching { direct { minimum_slot_utilization: 'half' } }",
        "1:56: sequence_batching.direct.minimum_slot_utilization: found the text 'half', expected a number",
    ),
    (
        "sequence_batching { direct { minimum_slot_utilization: nan } }",
        "1:56: sequence_batching.direct.minimum_slot_utilization: found 'nan', expected a number",
    ),
    (
        "sequence_batching { control_input { control { kind: START } } }",
        "1:53: sequence_batching.control_input[0].control[0].kind: found 'START', expected one of \
         CONTROL_SEQUENCE_START, CONTROL_SEQUENCE_READY, CONTROL_SEQUENCE_END, CONTROL_SEQUENCE_CORRID",
    ),
    (
        "ensemble_scheduling { step { model_version: -2 } }",
        "1:45: ensemble_scheduling.step[0].model_version: found -2, expected a whole number from -1 to \
         9223372036854775807",
    ),
    (
        "optimization { priority: HIGH }",
        "1:26: optimization.priority: found 'HIGH', expected one of PRIORITY_DEFAULT, PRIORITY_MAX, PRIORITY_MIN",
    ),
    (
        "optimization { gather_kernel_buffer_threshold: 4294967296 }",
        "1:48: optimization.gather_kernel_buffer_threshold: found 4294967296, expected a whole number from 0 to \
         4294967295",
    ),
    (
        "cc_model_filenames { key: '7.5' value: '../x' }",
        "1:40: cc_model_filenames.7.5: found '../x', expected a file name within the version's folder",
    ),
    (
        "output { name: 'y' label_filename: '/etc/passwd' }",
        "1:36: output[0].label_filename: found '/etc/passwd', expected a file name within the version's folder",
    ),
    (
        "input { name: 'x' format: NCHW }",
        "1:27: input[0].format: found 'NCHW', expected one of FORMAT_NONE, FORMAT_NHWC, FORMAT_NCHW",
    ),
    (
        "input { name: 'x' data_type: TYPE_FP32 is_shape_tensor: true }",
        "1:57: input[0].is_shape_tensor: found true, expected it only with INT32 or INT64",
    ),
    (
        "input { name: 'x' dims: [4] reshape { shape: [3] } }",
        "1:46: input[0].reshape.shape: found [3], expected dims of as many elements as [4]",
    ),
    (
        "input { name: 'x' dims: [-1] reshape { shape: [-1, -1] } }",
        "1:47: input[0].reshape.shape: found [-1, -1], expected dims of as many elements as [-1]",
    ),
    (
        "dynamic_batching { priority_queue_policy { key: 3 value { } } priority_levels: 2 default_priority_level: 1 }",
        "1:57: dynamic_batching.priority_queue_policy.3: found priority 3, expected from 1 to priority_levels, which \
         is 2",
    ),
    (
        "dynamic_batching { default_queue_policy { max_queue_size: 500000 } priority_levels: 3 default_priority_level: 1 }",
        "1:85: dynamic_batching.priority_levels: found 3 priorities with a max_queue_size of 1500000 in all, expected at \
         most 1048574",
    ),
    (
        "dynamic_batching { priority_queue_policy { key: 2 value { max_queue_size: 1048574 } } priority_levels: 2 \
         default_priority_level: 1 }",
        "1:104: dynamic_batching.priority_levels: found 2 priorities with a max_queue_size of 1048575 in all, expected \
         at most 1048574",
    ),
    (
        "dynamic_batching { priority_queue_policy { key: 'x' value { } } }",
        "1:59: dynamic_batching.priority_queue_policy.x: found a key that is no number, expected a priority",
    ),
    (
        "metric_tags { key: '1st' value: 'a' }",
        "1:33: metric_tags.1st: found a name that is no label, expected letters, digits and '_', a digit not first",
    ),
    (
        "model_metrics { metric_control { histogram_options { } } }",
        "1:32: model_metrics.metric_control[0].metric_identifier.family: found nothing, expected the name of a metric",
    ),
    (
        "model_metrics { metric_control { metric_identifier { family: 'f' } histogram_options { buckets: [2, 1] } } }",
        "1:97: model_metrics.metric_control[0].histogram_options.buckets: found bounds that do not rise, expected \
         rising",
    ),
    (
        "model_warmup { inputs { key: 'x' value { dims: 1 zero_data: true } } }",
        "1:40: model_warmup[0].inputs.x: found no data_type, expected that of the input",
    ),
    (
        "model_warmup { inputs { key: 'x' value { data_type: TYPE_FP32 } } }",
        "1:40: model_warmup[0].inputs.x: found no data, expected one of zero_data, random_data, input_data_file",
    ),
    (
        "model_warmup { inputs { key: 'x' value { data_type: TYPE_FP32 zero_data: true random_data: true } } }",
        "1:92: model_warmup[0].inputs.x.random_data: found another beside it, expected one of zero_data, random_data, \
         input_data_file",
    ),
    (
        "model_warmup { inputs { key: 'x' value { data_type: TYPE_FP32 dims: -1 zero_data: true } } }",
        "1:69: model_warmup[0].inputs.x.dims[0]: found -1, expected a whole number from 0 to 9223372036854775807",
    ),
    (
        "model_warmup { inputs { key: 'x' value { data_type: TYPE_FP32 input_data_file: '../x' } } }",
        "1:80: model_warmup[0].inputs.x.input_data_file: found '../x', expected a file name within the version's \
         folder",
    ),
    (
        "model_warmup { count: 1000001 }",
        "1:23: model_warmup[0].count: found 1000001, expected a whole number from 0 to 1000000",
    ),
];

const SYNTAX: &[(&str, &str)] = &[
    ("max_batch_size", "1:15: not pbtxt: found the end of the file, expected ':'"),
    ("max_batch_size 8", "1:16: not pbtxt: found '8', expected ':'"),
    ("max_batch_size = 8", "1:16: not pbtxt: found '=', expected ':'"),
    ("max_batch_size:", "1:16: not pbtxt: found the end of the file, expected a value"),
    ("max_batch_size: ;", "1:17: not pbtxt: found ';', expected a value"),
    ("8: 8", "1:1: not pbtxt: found '8', expected the name of a field"),
    ("'name': 'a'", "1:1: not pbtxt: found the text 'name', expected the name of a field"),
    ("{ name: 'a' }", "1:1: not pbtxt: found '{', expected the name of a field"),
    ("name: 'a' }", "1:11: not pbtxt: found '}', expected the name of a field"),
    ("name: 'a',, backend: 'b'", "1:11: not pbtxt: found ',', expected the name of a field"),
    ("[ext.name]: 1", "1:1: not pbtxt: found '[', expected the name of a field"),
    ("input {", "1:7: not pbtxt: found a message without its end, expected '}'"),
    ("input {\n name: 'x'\n", "1:7: not pbtxt: found a message without its end, expected '}'"),
    ("input < name: 'x' }", "1:19: not pbtxt: found '}', expected the name of a field or '>'"),
    ("input { name: 'x' >", "1:19: not pbtxt: found '>', expected the name of a field or '}'"),
    ("input [ { name: 'x' } { name: 'y' } ]", "1:23: not pbtxt: found '{', expected ',' or ']'"),
    ("input [ { name: 'x' }, ]", "1:24: not pbtxt: found ']', expected a value"),
    ("input { dims: [1, 2 }", "1:21: not pbtxt: found '}', expected ',' or ']'"),
    ("input { dims: [1,", "1:7: not pbtxt: found a message without its end, expected '}'"),
    ("input { dims: - }", "1:17: not pbtxt: found '}', expected a number after '-'"),
    ("input { dims: -x }", "1:16: not pbtxt: found 'x', expected a number after '-'"),
    ("name: 'a", "1:7: not pbtxt: found a string without its end, expected ' in the same line"),
    ("name: \"a\nb\"", "1:7: not pbtxt: found a string without its end, expected \" in the same line"),
    ("name: 'a\\", "1:9: not pbtxt: found '\\' at the end, expected an escape"),
    ("name: '\\q'", "1:8: not pbtxt: found the escape '\\q', expected one such as \\n or \\\""),
    ("name: '\\x'", "1:8: not pbtxt: found an escape that is no byte, expected \\0 to \\377"),
    ("name: '\\777'", "1:8: not pbtxt: found an escape that is no byte, expected \\0 to \\377"),
    ("name: '\\u12'", "1:8: not pbtxt: found an escape that ends early, expected 4 hexadecimal digits"),
    ("name: '\\ud800'", "1:8: not pbtxt: found the number 0xd800, expected that of a character"),
    ("name: '\\U00110000'", "1:8: not pbtxt: found the number 0x110000, expected that of a character"),
    ("name: '\\377'", "1:7: not pbtxt: found a string that is not UTF-8, expected UTF-8"),
    ("max_batch_size: 8x", "1:17: not pbtxt: found '8x', expected a number or a name"),
    ("max_batch_size: 0x", "1:17: not pbtxt: found '0x', expected a number or a name"),
    ("max_batch_size: 0xfg", "1:17: not pbtxt: found '0xfg', expected a number or a name"),
    ("max_batch_size: 089", "1:17: not pbtxt: found '089', expected a number or a name"),
    ("max_batch_size: 1.2.3", "1:17: not pbtxt: found '1.2.3', expected a number or a name"),
    ("max_batch_size: 1e", "1:17: not pbtxt: found '1e', expected a number or a name"),
    ("name: 'a' // remark", "1:11: not pbtxt: found '/', expected the name of a field"),
    ("name: 'a'\n\u{7f}", "2:1: not pbtxt: found '\\u{7f}', expected the name of a field"),
    ("name: 'é' é", "1:11: not pbtxt: found 'é', expected the name of a field"),
    ("max_batch_size: {", "1:17: not pbtxt: found a message without its end, expected '}'"),
];

const SORTS: &[(&str, &str)] = &[
    ("name: a", "1:7: name: found a, expected text in quotes"),
    ("name: 8", "1:7: name: found 8, expected text in quotes"),
    ("name: { }", "1:7: name: found a mapping, expected text"),
    ("name: ['a']", "1:7: name: found a list, expected one value"),
    ("name: 'a' name: 'b'", "1:11: found the key 'name' again, expected once; first in line 1"),
    (
        "dynamic_batching {}\ndynamic_batching {}",
        "2:1: found the key 'dynamic_batching' again, expected once; first in line 1",
    ),
    ("max_batch_size: '8'", "1:17: max_batch_size: found the text '8', expected a whole number from 0 to 2147483647"),
    ("max_batch_size: -1", "1:17: max_batch_size: found -1, expected a whole number from 0 to 2147483647"),
    ("max_batch_size: 1.5", "1:17: max_batch_size: found 1.5, expected a whole number from 0 to 2147483647"),
    ("max_batch_size: many", "1:17: max_batch_size: found 'many', expected a whole number from 0 to 2147483647"),
    (
        "max_batch_size: 0xffffffff",
        "1:17: max_batch_size: found 4294967295, expected a whole number from 0 to 2147483647",
    ),
    (
        "max_batch_size: 0xffffffffffffffffffffffffffffffffff",
        "1:17: max_batch_size: found 0xffffffffffffffffffffffffffffffffff, expected a whole number from 0 to \
         2147483647",
    ),
    ("input: 'x'", "1:8: input[0]: found the text 'x', expected a message {…}"),
    ("input { name: 'x' optional: 2 }", "1:29: input[0].optional: found 2, expected one of true, false"),
    (
        "input { name: 'x' optional: 'true' }",
        "1:29: input[0].optional: found the text 'true', expected a name without quotes",
    ),
    ("input { name: 'x' optional: TRUE }", "1:29: input[0].optional: found 'TRUE', expected one of true, false"),
    (
        "input { name: 'x' data_type: 'TYPE_FP32' }",
        "1:30: input[0].data_type: found the text 'TYPE_FP32', expected a name without quotes",
    ),
    (
        "input { name: 'x' data_type: TYPE_FP23 }",
        "1:30: input[0].data_type: found 'TYPE_FP23', expected one of BOOL, UINT8, UINT16, UINT32, UINT64, INT8, \
         INT16, INT32, INT64, FP16, FP32, FP64, BYTES, BF16, also with TYPE_ before it",
    ),
    (
        "instance_group { kind: 9 }",
        "1:24: instance_group[0].kind: found 9, expected one of KIND_AUTO, KIND_CPU, KIND_GPU, KIND_MODEL",
    ),
    ("parameters: 'x'", "1:13: parameters: found the text 'x', expected an entry {key: … value: …}"),
    ("parameters { x: 'y' }", "1:14: unknown key 'x'; expected one of key, value"),
    ("parameters { key: x }", "1:19: parameters.key: found x, expected text in quotes"),
    ("parameters { key: 'x' value: 'y' }", "1:30: parameters.value: found the text 'y', expected a message {…}"),
    (
        "parameters { key: 'x' value { string_value: 1 } }",
        "1:45: parameters.value.string_value: found 1, expected text in quotes",
    ),
    ("parameters { key: 'x' value { int_value: 1 } }", "1:31: unknown key 'int_value'; expected one of string_value"),
    ("metric_tags { key: 'x' value { } }", "1:30: metric_tags.x: found a mapping, expected text"),
];
