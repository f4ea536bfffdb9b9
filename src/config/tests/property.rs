//! Properties: no text panics, and what is written is read back the same.

use super::*;
use inferlay_backend_sdk::{DataType, Signature};
use proptest::collection::{btree_map, btree_set, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

/// Pieces of configs, good and bad, from which texts grow that get further than noise does.
const PIECES: [&str; 44] = [
    "name",
    "input",
    "output",
    "dims",
    "data_type",
    "max_batch_size",
    "instance_group",
    "count",
    "dynamic_batching",
    "preferred_batch_size",
    "version_policy",
    "latest",
    "specific",
    "versions",
    "parameters",
    "string_value",
    ": ",
    ":",
    "\n",
    "\n  ",
    "\n- ",
    "\n    ",
    "- ",
    "[",
    "]",
    "{",
    "}",
    ", ",
    "&a ",
    "*a",
    "!!str ",
    "!x ",
    "\"",
    "'",
    "# ",
    "\t",
    "1",
    "-1",
    "99999999999999999999",
    "FP32",
    "x",
    "é",
    "\r\n",
    "---\n",
];

proptest! {
    #[test]
    fn no_bytes_panic(bytes in vec(any::<u8>(), 0..400)) {
        let _ = parse("config.yaml", &String::from_utf8_lossy(&bytes)).map_err(|errors| errors.to_string());
    }

    #[test]
    fn no_text_panics(text in ".{0,200}") {
        let _ = parse("config.yaml", &text).map_err(|errors| errors.to_string());
    }

    #[test]
    fn no_mix_of_pieces_panics_and_every_error_lies_in_the_text(pieces in vec(select(&PIECES[..]), 0..60)) {
        let text = pieces.concat();
        match parse("config.yaml", &text) {
            Ok(config) => _ = config.complete("x", "null", &Signature::default()).map_err(|errors| errors.to_string()),
            Err(errors) => {
                let lines = text.split('\n').count();
                prop_assert!(errors.iter().all(|error| error.position().is_some_and(|(line, _)| line <= lines + 1)));
                prop_assert!(!errors.to_string().contains('\t'));
            }
        }
    }

    #[test]
    fn no_mix_of_pieces_of_the_text_format_panics(pieces in vec(select(&PBTXT_PIECES[..]), 0..60)) {
        let text = pieces.concat();
        match parse("config.pbtxt", &text) {
            Ok(config) => {
                prop_assert_eq!(parse("config.yaml", &to_yaml(&config)).unwrap().to_json(), config.to_json());
                let completed = config.complete("x", "null", &Signature::default());
                _ = completed.map_err(|errors| errors.to_string());
            }
            Err(errors) => {
                let lines = text.split(['\n', '\r']).count();
                prop_assert!(errors.iter().all(|error| error.position().is_some_and(|(line, _)| line <= lines + 1)));
            }
        }
    }

    #[test]
    fn json_yaml_and_the_text_format_say_the_same(config in configs(), spelling in 0..60usize) {
        prop_assert_eq!(config.check(), Ok(()));
        let json = config.to_json();
        let pbtxt = print::pbtxt(&json, &fields::CONFIG, spelling);
        let yaml = to_yaml(&PartialConfig::from(config.clone()));
        let pretty = serde_json::to_string_pretty(&json).unwrap();
        let written_again = to_yaml(&parsed("config.pbtxt", &pbtxt)?);
        for (file, text) in [
            ("config.json", &json.to_string()),
            ("config.json", &pretty),
            ("config.pbtxt", &pbtxt),
            ("config.yaml", &yaml),
            ("config.yaml", &written_again),
        ] {
            let completed = parsed(file, text)?.complete(&config.name, &config.backend, &Signature::default());
            prop_assert_eq!(completed.as_ref(), Ok(&config), "{}", text);
        }
    }
}

fn parsed(file: &str, text: &str) -> Result<PartialConfig, TestCaseError> {
    parse(file, text).map_err(|errors| TestCaseError::fail(format!("{text}\n{errors}")))
}

/// Configs with everything that they may have.
fn configs() -> impl Strategy<Value = ModelConfig> {
    let queue = (any::<bool>(), any::<bool>(), vec((1..=3u32, option::of(1..100usize), any::<bool>()), 0..3));
    let tags = btree_map("[a-z][a-z0-9_]{0,8}", "[ -~é\n]{0,8}", 0..3);
    let buckets = btree_set(1..1000i32, 0..4);
    let warming = (0..3usize, 1..=1usize << 10, select(vec![WarmupData::Zero, WarmupData::Random]));
    let directed =
        (btree_map("[a-z][a-z0-9._-]{0,8}", 1..4u64, 0..3), btree_map(1..4u64, 1..99u32, 0..3), option::of(1..4u64));
    let warming = (warming, directed);
    (plain_configs(), queue, tags, buckets, warming, 0..8usize, any::<bool>()).prop_map(
        |(mut config, queue, tags, buckets, ((warmups, count, data), directed), carried, flag)| {
            if !matches!(config.version_policy, VersionPolicy::Specific(_)) {
                (config.version_labels, config.traffic, config.shadow) = directed;
            }
            config.metric_tags = tags;
            let buckets: Vec<_> = buckets.into_iter().map(|bound| f64::from(bound) / 8.0).collect();
            config.metrics = vec![MetricConfig { family: "a \"metric\"".to_owned(), buckets }];
            config.warmups = (0..warmups).map(|_| warmup(&config, count, data.clone())).collect();
            let source = config.inputs.iter().find(|input| !input.optional);
            if let Some(source) = source.filter(|_| flag) {
                let (kind, data_type) = (BatchInputKind::ItemShape, DataType::Int32);
                let (targets, sources) =
                    (vec!["as long as no other".to_owned(), "'long' as well".to_owned()], vec![source.name.clone()]);
                let is_like =
                    |output: &&TensorConfig| output.dims.len() <= source.dims.len() && output.reshape.is_none();
                let output = config.outputs.iter().find(is_like).map(|output| vec![output.name.clone()]);
                let scatter = |targets| BatchOutput { targets, sources: sources.clone() };
                config.batch_outputs = output.map(scatter).into_iter().collect();
                config.batch_inputs = vec![BatchInput { kind, targets, data_type, sources }];
            }
            if let Some(batching) = &mut config.dynamic_batching {
                batching.preserve_ordering = queue.0;
                batching.priority_levels = batching.priority_levels.max(3);
                batching.default_priority_level = batching.default_priority_level.max(1);
                batching.priority_queue_policies = queue.2.into_iter().map(policy).collect();
            }
            config.queue_size_max = config.queue_size_max.min(queue_size_max(&config));
            config.allow_timeout_override = queue.0;
            config.timeout_action = if queue.1 { TimeoutAction::Delay } else { TimeoutAction::Reject };
            let with_scheduler = config.dynamic_batching.is_none();
            config.carried =
                self::carried(CARRIED[..carried].iter().filter(|(key, _)| with_scheduler || *key != SCHEDULER));
            config
        },
    )
}

/// What each priority may have, so that there is room for all.
fn queue_size_max(config: &ModelConfig) -> usize {
    let levels = config.dynamic_batching.as_ref().map_or(1, |batching| batching.priority_levels.max(1));
    if levels == 1 { 1 << 20 } else { (1 << 20) / levels as usize - 100 }
}

fn policy((level, queue_size_max, flag): (u32, Option<usize>, bool)) -> (u32, QueuePolicy) {
    let timeout_action = if flag { TimeoutAction::Delay } else { TimeoutAction::Reject };
    let default_timeout_us = flag.then_some(7);
    (level, QueuePolicy { queue_size_max, default_timeout_us, timeout_action, allow_timeout_override: flag })
}

/// A warm-up of one element where a dim varies.
fn warmup(config: &ModelConfig, count: usize, data: WarmupData) -> Warmup {
    let input = |input: &TensorConfig| {
        let dims = input.dims.iter().map(|dim| usize::try_from(*dim).unwrap_or(1)).collect();
        (input.name.clone(), WarmupInput { data_type: input.data_type, dims, data: data.clone() })
    };
    let inputs = config.inputs.iter().map(input).collect();
    Warmup { name: "w".to_owned(), batch_size: config.max_batch_size, count, inputs }
}

fn carried<'a>(sections: impl Iterator<Item = &'a (&'a str, &'a str)>) -> serde_json::Map<String, serde_json::Value> {
    sections.map(|(key, text)| ((*key).to_owned(), serde_json::from_str(text).unwrap())).collect()
}

fn plain_configs() -> impl Strategy<Value = ModelConfig> {
    let tensors =
        || btree_set("[ -~é]{1,12}", 0..4).prop_flat_map(|names| names.into_iter().map(tensor).collect::<Vec<_>>());
    let queue = (1..=1usize << 20, option::of(1..1_000_000u64), option::of(1..1_000_000u64));
    let swap = select(vec![Swap::Overlap, Swap::Replace]);
    let (runs, responses) = ((option::of(select(RUNS.to_vec())), swap), (any::<bool>(), 1..=1usize << 16));
    let parameters = btree_map("[ -~]{1,8}", "[ -~\n\té]{0,20}", 0..3);
    (
        tensors(),
        tensors(),
        0..1000usize,
        groups(),
        versions(),
        option::of(batching()),
        queue,
        parameters,
        (runs, responses),
    )
        .prop_map(
            |(
                inputs,
                outputs,
                max_batch_size,
                groups,
                version_policy,
                batching,
                queue,
                parameters,
                (runs, responses),
            )| {
                let mut config = ModelConfig::new("some model").max_batch_size(max_batch_size.max(1));
                config.outputs = outputs.into_iter().map(output).collect();
                (config.inputs, config.version_policy) = (inputs, version_policy);
                (config.caller_runs, config.swap) = runs;
                (config.decoupled, config.response_credit_max) = responses;
                (config.dynamic_batching, config.parameters, config.instance_groups) = (batching, parameters, groups);
                (config.queue_size_max, config.default_timeout_us, config.execution_timeout_us) = queue;
                config.queue_size_max = config.queue_size_max.min(queue_size_max(&config));
                config
            },
        )
}

fn tensor(name: String) -> impl Strategy<Value = TensorConfig> {
    let data_type = select(DataType::all().collect::<Vec<_>>());
    let reshaped = option::of(Just(1i64));
    (data_type, vec(-1..100i64, 0..4), any::<bool>(), reshaped).prop_map(move |(data_type, dims, optional, one)| {
        let mut tensor = TensorConfig::new(name.clone(), data_type, dims);
        tensor.reshape = one.map(|one| [&[one], &tensor.dims[..]].concat());
        (tensor.optional, tensor.allow_ragged_batch) = (optional, !optional);
        tensor.carried = carried([("format", "\"FORMAT_NHWC\"")].iter().filter(|_| optional));
        tensor
    })
}

/// The tensor as an output.
fn output(tensor: TensorConfig) -> TensorConfig {
    let carried = carried([("is_non_linear_format_io", "true")].iter());
    let label_filename = Some("labels/é.txt".to_owned());
    TensorConfig { optional: false, allow_ragged_batch: false, label_filename, carried, ..tensor }
}

fn groups() -> impl Strategy<Value = Vec<InstanceGroup>> {
    let kinds = select(vec![InstanceKind::Auto, InstanceKind::Gpu, InstanceKind::Model]);
    let groups = vec((kinds, 1..20usize, btree_set(0..1024u32, 0..4)), 1..4);
    groups.prop_map(|groups| {
        let group = |(index, (kind, count, gpus)): (usize, _)| InstanceGroup {
            name: format!("group {index}"),
            kind,
            count,
            gpus: std::collections::BTreeSet::into_iter(gpus).collect(),
            is_passive: count == 1,
            carried: carried(GROUP[..count % 5].iter()),
        };
        groups.into_iter().enumerate().map(group).collect()
    })
}

fn batching() -> impl Strategy<Value = DynamicBatching> {
    let levels = (0..=1024u32).prop_flat_map(|levels| (Just(levels), levels.min(1)..=levels));
    (vec(Just(1usize), 0..3), 0..1_000_000u64, levels).prop_map(|(sizes, delay, levels)| DynamicBatching {
        preferred_batch_sizes: sizes,
        delay_us_max: delay,
        priority_levels: levels.0,
        default_priority_level: levels.1,
        ..DynamicBatching::default()
    })
}

fn versions() -> impl Strategy<Value = VersionPolicy> {
    prop_oneof![
        Just(VersionPolicy::All),
        (1..1000usize).prop_map(VersionPolicy::Latest),
        vec(1..=u64::MAX, 1..4).prop_map(VersionPolicy::Specific),
    ]
}

const SCHEDULER: &str = "sequence_batching";
/// What is checked and carried as it stands.
const CARRIED: [(&str, &str); 7] = [
    ("runtime", r#""model.py""#),
    (
        "optimization",
        r#"{"graph": {"level": -1}, "priority": "PRIORITY_MAX", "eager_batching": false,
        "cuda": {"graphs": true, "graph_spec": [{"batch_size": 9, "input": {"a 'b'": {"dim": [8, -1]}}}]}}"#,
    ),
    (
        SCHEDULER,
        r#"{"direct": {"minimum_slot_utilization": 0.5}, "max_sequence_idle_microseconds": 123456,
        "control_input": [{"name": "c", "control": [{"kind": "CONTROL_SEQUENCE_READY", "fp32_false_true": [-1.5, 1e30],
        "bool_false_true": [false, true], "int32_false_true": [-8, 8], "data_type": "TYPE_STRING"}]}]}"#,
    ),
    ("cc_model_filenames", r#"{"7.5": "a/b.plan", "": "c"}"#),
    ("model_operations", r#"{"op_library_filename": ["a.so", "b c.so"]}"#),
    ("model_repository_agents", r#"{"agents": [{"name": "checksum", "parameters": {"MD5": "", "é": "\"'\\"}}]}"#),
    ("response_cache", r#"{"enable": true}"#),
];
const GROUP: [(&str, &str); 4] = [
    ("profile", r#"["0", "max"]"#),
    ("host_policy", r#""gpu_0""#),
    ("secondary_devices", r#"[{"kind": "KIND_NVDLA", "device_id": 3}]"#),
    ("rate_limiter", r#"{"resources": [{"name": "R", "global": true, "count": 4}], "priority": 2}"#),
];

/// Pieces of configs in the text format, good and bad.
const PBTXT_PIECES: [&str; 44] = [
    "name",
    "input",
    "output",
    "dims",
    "data_type",
    "max_batch_size",
    "instance_group",
    "count",
    "dynamic_batching",
    "priority_queue_policy",
    "version_policy",
    "latest",
    "specific",
    "versions",
    "parameters",
    "string_value",
    "key",
    "value",
    "metric_tags",
    ": ",
    ":",
    " {",
    "}",
    "<",
    ">",
    " [",
    "]",
    ", ",
    "; ",
    "\n",
    "'",
    "\"",
    "'x'",
    "\"y\"",
    "\\",
    "# ",
    "1",
    "-",
    "0x1f",
    "1.5",
    "TYPE_FP32",
    "true",
    "é",
    "\r",
];

const RUNS: [CallerRuns; 3] = [CallerRuns::Never, CallerRuns::OwnRequest, CallerRuns::Batch];
