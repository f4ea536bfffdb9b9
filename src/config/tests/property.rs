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
    fn what_to_json_writes_is_read_back_the_same(config in configs()) {
        prop_assert_eq!(config.check(), Ok(()));
        let json = config.to_json();
        for text in [json.to_string(), serde_json::to_string_pretty(&json).unwrap()] {
            let parsed = parse("config.json", &text).map_err(|errors| TestCaseError::fail(errors.to_string()))?;
            let completed = parsed.complete(&config.name, &config.backend, &Signature::default());
            prop_assert_eq!(completed, Ok(config.clone()));
        }
    }
}

fn configs() -> impl Strategy<Value = ModelConfig> {
    let tensors =
        || btree_set("[ -~é]{1,12}", 0..4).prop_flat_map(|names| names.into_iter().map(tensor).collect::<Vec<_>>());
    let queue = (1..=1usize << 20, option::of(1..1_000_000u64), option::of(1..1_000_000u64));
    let (runs, responses) = (option::of(select(RUNS.to_vec())), (any::<bool>(), 1..=1usize << 16));
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
                config.outputs = outputs.into_iter().map(|output| TensorConfig { optional: false, ..output }).collect();
                (config.inputs, config.version_policy, config.caller_runs) = (inputs, version_policy, runs);
                (config.decoupled, config.response_credit_max) = responses;
                (config.dynamic_batching, config.parameters, config.instance_groups) = (batching, parameters, groups);
                (config.queue_size_max, config.default_timeout_us, config.execution_timeout_us) = queue;
                config
            },
        )
}

fn tensor(name: String) -> impl Strategy<Value = TensorConfig> {
    let data_type = select(DataType::all().collect::<Vec<_>>());
    (data_type, vec(-1..100i64, 0..5), any::<bool>()).prop_map(move |(data_type, dims, optional)| TensorConfig {
        name: name.clone(),
        data_type,
        dims,
        optional,
    })
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
    })
}

fn versions() -> impl Strategy<Value = VersionPolicy> {
    prop_oneof![
        Just(VersionPolicy::All),
        (1..1000usize).prop_map(VersionPolicy::Latest),
        vec(1..=u64::MAX, 1..4).prop_map(VersionPolicy::Specific),
    ]
}

const RUNS: [CallerRuns; 3] = [CallerRuns::Never, CallerRuns::OwnRequest, CallerRuns::Batch];
