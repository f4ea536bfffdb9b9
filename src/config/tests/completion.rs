//! What the model adds to a config, and where the two contradict each other.

use super::*;
use inferlay_backend_sdk::{DataType, Signature, TensorSpec};

fn spec(name: &str, dims: &[i64]) -> TensorSpec {
    TensorSpec { name: name.to_owned(), dtype: DataType::Fp32, dims: Some(dims.to_vec()), optional: false }
}

/// A model with the batch in front: two inputs, of which the second may be missing, and two outputs.
fn batching() -> Signature {
    Signature {
        inputs: vec![spec("image", &[-1, 1, 8, 8]), TensorSpec { optional: true, ..spec("mask", &[-1, -1]) }],
        outputs: vec![spec("scores", &[-1, 10]), spec("label", &[-1])],
        batches: true,
    }
}

fn fixed() -> Signature {
    Signature { inputs: vec![spec("image", &[1, 8, 8])], outputs: vec![spec("scores", &[10])], batches: false }
}

fn complete(text: &str, signature: &Signature) -> Result<ModelConfig, ConfigErrors> {
    parse("config.yaml", text).unwrap().complete("digits", "tract", signature)
}

fn shown(tensors: &[TensorConfig]) -> String {
    let optional = |tensor: &TensorConfig| if tensor.optional { "?" } else { "" };
    let tensors = tensors.iter().map(|t| format!("{}{} {} {:?}", t.name, optional(t), t.data_type, t.dims));
    tensors.collect::<Vec<_>>().join(", ")
}

#[test]
fn the_model_fills_in_what_the_config_leaves_out() {
    let full = "image FP32 [-1, 1, 8, 8], mask? FP32 [-1, -1]";
    let bare = "image FP32 [1, 8, 8], mask? FP32 [-1]";
    let cases = [
        ("", 64, bare, "scores FP32 [10], label FP32 []"),
        ("max_batch_size: 8", 8, bare, "scores FP32 [10], label FP32 []"),
        ("max_batch_size: 0", 0, full, "scores FP32 [-1, 10], label FP32 [-1]"),
        ("output: {name: label}", 64, bare, "label FP32 []"),
        ("output: [{name: label}, {name: scores}]", 64, bare, "scores FP32 [10], label FP32 []"),
        ("input: {name: mask, dims: 5}", 64, "image FP32 [1, 8, 8], mask? FP32 [5]", "scores FP32 [10], label FP32 []"),
        (
            "input: {name: mask, optional: false}",
            64,
            "image FP32 [1, 8, 8], mask FP32 [-1]",
            "scores FP32 [10], label FP32 []",
        ),
        ("input: {name: image, dims: [-1, -1, 8]}", 64, bare, "scores FP32 [10], label FP32 []"),
        (
            "input: {name: image, dims: [4, 1, 8, 8]}",
            0,
            "image FP32 [4, 1, 8, 8], mask? FP32 [-1, -1]",
            "scores FP32 [-1, 10], label FP32 [-1]",
        ),
        ("dynamic_batching: {preferred_batch_size: [100]}", 100, bare, "scores FP32 [10], label FP32 []"),
    ];
    for (text, max_batch_size, inputs, outputs) in cases {
        let config = complete(text, &batching()).unwrap();
        let found = (config.max_batch_size, shown(&config.inputs), shown(&config.outputs));
        assert_eq!(found, (max_batch_size, inputs.to_owned(), outputs.to_owned()), "{text}");
        config.check().unwrap();
    }
}

#[test]
fn a_config_that_says_nothing_of_batching_batches_where_the_model_can() {
    let cases = [
        ("", batching(), Some(DynamicBatching::default())),
        (
            "dynamic_batching: {max_queue_delay_microseconds: 5}",
            batching(),
            Some(DynamicBatching { delay_us_max: 5, ..DynamicBatching::default() }),
        ),
        ("max_batch_size: 8", batching(), None),
        ("sequence_batching: {}", batching(), None),
        ("max_batch_size: 0", batching(), None),
        ("", fixed(), None),
    ];
    for (text, signature, expected) in cases {
        assert_eq!(complete(text, &signature).unwrap().dynamic_batching, expected, "{text}");
    }
}

#[test]
fn defaults_are_one_instance_the_latest_version_and_a_bounded_queue() {
    let config = PartialConfig::new().complete("digits", "tract", &fixed()).unwrap();
    let group = InstanceGroup { name: "digits_0".to_owned(), count: 1, ..InstanceGroup::default() };
    assert_eq!(config.instance_groups, [group]);
    assert_eq!((&*config.name, &*config.backend, config.max_batch_size), ("digits", "tract", 0));
    assert_eq!((config.version_policy, config.queue_size_max), (VersionPolicy::Latest(1), 4096));
    assert_eq!((config.default_timeout_us, config.caller_runs, config.swap), (None, None, Swap::Overlap));
}

#[test]
fn a_queue_of_which_nothing_is_said_is_shorter_where_there_are_very_many() {
    // Priorities, the size that the first has of its own; the size of the others.
    for (levels, own, expected) in [(0, None, 4096), (255, None, 4096), (1024, None, 1023), (2, Some(1_048_000), 574)] {
        let mut config = PartialConfig::new();
        let dynamic = config.dynamic_batching.insert(DynamicBatching::default());
        (dynamic.priority_levels, dynamic.default_priority_level) = (levels, levels.min(1));
        if levels > 0 {
            let policy = QueuePolicy { queue_size_max: own, ..QueuePolicy::default() };
            dynamic.priority_queue_policies.insert(1, policy);
        }
        let config = config.complete("digits", "tract", &batching()).unwrap();
        assert_eq!(config.queue_size_max, expected, "{levels} priorities");
    }
}

#[test]
fn every_contradiction_is_named_with_its_place() {
    let cases = [
        ("name: letters", "1:7: name: found 'letters', expected 'digits', the name of the model's folder"),
        (
            "backend: onnxruntime",
            "1:10: backend: found 'onnxruntime', expected 'tract', the backend that loaded the model",
        ),
        (
            "input: {name: imgae}",
            "1:15: input[0].name: found 'imgae', expected an input of the model: image, mask; \
            did you mean 'image'?",
        ),
        (
            "output: {name: boxes}",
            "1:16: output[0].name: found 'boxes', expected an output of the model: scores, label",
        ),
        (
            "input: {name: image, data_type: INT64}",
            "1:33: input[0].data_type: found INT64, expected FP32, the model's own",
        ),
        (
            "input: {name: image, dims: [1, 9, 8]}",
            "1:28: input[0].dims: found [1, 9, 8], expected [1, 8, 8], the model's own dims without the batch",
        ),
        (
            "input: {name: image, dims: [8, 8]}",
            "1:28: input[0].dims: found [8, 8], expected [1, 8, 8], the model's own dims without the batch",
        ),
        (
            "max_batch_size: 0\ninput: {name: image, dims: [1, 8, 8]}",
            "2:28: input[0].dims: found [1, 8, 8], expected [-1, 1, 8, 8], the model's own dims",
        ),
        (
            "output: {name: label, dims: 1}\nmax_batch_size: 4",
            "1:29: output[0].dims: found [1], expected [], the model's own dims without the batch",
        ),
        (
            "input: {name: image, optional: true}",
            "1:32: input[0].optional: found true, expected false: the model cannot do without it",
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(lines(&complete(text, &batching()).unwrap_err()), expected, "{text}");
    }
    let found = lines(&complete("max_batch_size: 8", &fixed()).unwrap_err());
    assert_eq!(found, "1:17: max_batch_size: found 8, expected 0: the first dim of this model is no batch");
}

#[test]
fn what_is_reshaped_is_held_to_the_model_after_it() {
    let text = "output: {name: scores, dims: [2, 5], reshape: {shape: 10}}";
    let config = complete(text, &batching()).unwrap();
    assert_eq!((&config.outputs[0].dims, &config.outputs[0].reshape), (&vec![2, 5], &Some(vec![10])));
    assert_eq!(
        parse("config.yaml", "input: {name: x, data_type: INT8, dims: 4, reshape: {shape: [2, 2]}}")
            .unwrap()
            .signature()
            .inputs[0]
            .dims,
        Some(vec![2, 2])
    );
    let found = lines(
        &complete("max_batch_size: 8\noutput: {name: scores, dims: [12], reshape: {shape: [3, 4]}}", &batching())
            .unwrap_err(),
    );
    assert_eq!(found, "2:53: output[0].reshape.shape: found [3, 4], expected [10], the model's own dims");
}

#[test]
fn what_a_ragged_batch_has_not_by_rows_has_no_dims_of_the_model() {
    let signature = Signature {
        inputs: vec![spec("x", &[-1]), spec("z", &[-1, 2]), spec("n", &[-1])],
        outputs: vec![spec("y", &[-1]), spec("w", &[-1, 2])],
        batches: true,
    };
    let ragged = "input: {name: x, dims: [-1, 3], allow_ragged_batch: true}
batch_input: {kind: BATCH_ELEMENT_COUNT, target_name: n, data_type: FP32, source_input: x}
batch_output: {target_name: y, source_input: x}\n";
    let whole = complete(&format!("{ragged}output: [{{name: w}}, {{name: y, dims: [-1, 4]}}]"), &signature).unwrap();
    assert_eq!((whole.max_batch_size, shown(&whole.inputs)), (64, "x FP32 [-1, 3], z FP32 [2]".to_owned()));
    assert_eq!(shown(&whole.outputs), "y FP32 [-1, 4], w FP32 [2]");
    for outputs in ["", "output: {name: y}"] {
        let errors = complete(&format!("{ragged}{outputs}"), &signature).unwrap_err().to_string();
        assert!(errors.contains("expected it here: the model says nothing of output 'y'"), "{errors}");
    }
}

#[test]
fn contradictions_come_all_at_once_with_their_lines() {
    let text = "name: letters\ninput:\n- name: image\n  data_type: INT64\noutput: [{name: score}]\n";
    let expected = "\
config.yaml:1:7: name: found 'letters', expected 'digits', the name of the model's folder
   1 | name: letters
     |       ^^^^^^^
config.yaml:4:14: input[0].data_type: found INT64, expected FP32, the model's own
   4 |   data_type: INT64
     |              ^^^^^
config.yaml:5:17: output[0].name: found 'score', expected an output of the model: scores, label; did you mean 'scores'?
   5 | output: [{name: score}]
     |                 ^^^^^";
    assert_eq!(complete(text, &batching()).unwrap_err().to_string(), expected);
}

#[test]
fn a_model_that_says_nothing_takes_the_config_as_it_stands() {
    let text =
        "max_batch_size: 4\ninput: {name: x, data_type: INT8, dims: 3}\noutput: {name: y, data_type: BYTES, dims: []}";
    let config = complete(text, &Signature::default()).unwrap();
    assert_eq!((shown(&config.inputs), shown(&config.outputs)), ("x INT8 [3]".to_owned(), "y BYTES []".to_owned()));
    let errors = complete("input: {name: x, data_type: INT8}", &Signature::default()).unwrap_err();
    assert_eq!(
        lines(&errors),
        "1:8: input[0].dims: found nothing, expected it here: the model says nothing of input 'x'"
    );
}

#[test]
fn dims_that_the_model_does_not_know_come_from_the_config() {
    let unknown = |name| TensorSpec { dims: None, ..spec(name, &[]) };
    let signature = Signature { inputs: vec![unknown("x")], outputs: vec![spec("y", &[-1])], batches: true };
    assert_eq!(complete("input: {name: x, dims: [3]}", &signature).unwrap().inputs[0].dims, [3]);
    let errors = complete("max_batch_size: 1", &signature).unwrap_err();
    assert_eq!(
        lines(&errors),
        "1:1: input[0].dims: found nothing, expected it here: the model says nothing of input 'x'"
    );
}

#[test]
fn the_signature_of_a_config_has_the_batch_in_front() {
    let tensors = "input: [{name: x, data_type: FP32, dims: [2]}, {name: untyped}]";
    let dims =
        |text: &str| parse("config.yaml", &format!("{tensors}\n{text}")).unwrap().signature().inputs[0].dims.clone();
    assert_eq!(dims("max_batch_size: 8"), Some(vec![-1, 2]));
    assert_eq!(dims("max_batch_size: 0"), Some(vec![2]));
    assert_eq!(dims(""), Some(vec![2]));
}
