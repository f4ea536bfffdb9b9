//! The keys of a config file: which there are, and what each becomes. Pure, any thread.
//!
//! A value that cannot be read is reported and left out, and reading goes on: one pass finds every error.

use super::error::Report;
use super::limits;
use super::model::{CallerRuns, DynamicBatching, InstanceGroup, InstanceKind, VersionPolicy};
use super::partial::{PartialConfig, PartialTensor};
use super::read::{Cursor, Keys};
use inferlay_backend_sdk::DataType;
use std::collections::BTreeMap;

/// Reads the whole file.
pub(super) fn config(root: &Cursor<'_>, report: &mut Report) -> PartialConfig {
    root.check_keys(&TOP, report);
    let batching = root.key("dynamic_batching");
    let transaction = root.key("model_transaction_policy");
    if let Some(policy) = &transaction {
        policy.check_keys(&TRANSACTION_POLICY, report);
    }
    let mut config = PartialConfig {
        name: text(root, "name", report),
        backend: backend(root, report),
        default_model_filename: text(root, "default_model_filename", report),
        max_batch_size: size(root, "max_batch_size", limits::BATCH_SIZE, report),
        inputs: tensors(root, "input", &INPUT, report),
        outputs: tensors(root, "output", &OUTPUT, report),
        instance_groups: instance_groups(root, report),
        dynamic_batching: batching.as_ref().map(|batching| dynamic_batching(batching, report)),
        version_policy: root.key("version_policy").and_then(|policy| version_policy(&policy, report)),
        parameters: parameters(root, report),
        execution_timeout_us: timeout(root, "execution_timeout_microseconds", report),
        decoupled: transaction.as_ref().and_then(|policy| flag(policy, "decoupled", report)),
        response_credit_max: transaction
            .and_then(|policy| size(&policy, "response_credit_max", limits::RESPONSE_CREDIT, report)),
        caller_runs: root.key("caller_runs").and_then(|cursor| cursor.choice(&CALLER_RUNS, report)),
        ..PartialConfig::default()
    };
    let inner = batching.and_then(|batching| batching.key("default_queue_policy"));
    if let Some(policy) = queue_policy(root.key("default_queue_policy"), inner, report) {
        queue(&policy, &mut config, report);
    }
    config
}

fn text(cursor: &Cursor<'_>, key: &'static str, report: &mut Report) -> Option<String> {
    cursor.key(key)?.text(report)
}

fn size(
    cursor: &Cursor<'_>,
    key: &'static str,
    limits: std::ops::RangeInclusive<u64>,
    report: &mut Report,
) -> Option<usize> {
    cursor.key(key)?.whole(limits, report).and_then(|size| usize::try_from(size).ok())
}

/// A time in microseconds, where 0 stands for none.
fn timeout(cursor: &Cursor<'_>, key: &'static str, report: &mut Report) -> Option<u64> {
    cursor.key(key)?.whole(limits::MICROSECONDS, report).filter(|timeout| *timeout > 0)
}

fn flag(cursor: &Cursor<'_>, key: &'static str, report: &mut Report) -> Option<bool> {
    cursor.key(key)?.flag(report)
}

/// `backend`, or what the older `platform` stands for; both may be given if they agree.
fn backend(root: &Cursor<'_>, report: &mut Report) -> Option<String> {
    let backend = text(root, "backend", report);
    let platform = root.key("platform").and_then(|cursor| Some((cursor.choice(&PLATFORMS, report)?, cursor)));
    match (backend, platform) {
        (Some(backend), Some((platform, cursor))) if backend != platform => cursor.fault(
            format_args!(
                "found a platform of the backend '{platform}', expected one of '{}'",
                super::error::quoted(&backend)
            ),
            report,
        ),
        (backend, platform) => backend.or(platform.map(|(platform, _)| platform.to_owned())),
    }
}

fn tensors(root: &Cursor<'_>, key: &'static str, keys: &Keys, report: &mut Report) -> Vec<PartialTensor> {
    let items = root.key(key).map(|list| list.items()).unwrap_or_default();
    items.iter().map(|item| tensor(item, keys, report)).collect()
}

/// One input or output. Without a readable name it keeps its place in the list, under an empty one.
fn tensor(cursor: &Cursor<'_>, keys: &Keys, report: &mut Report) -> PartialTensor {
    cursor.check_keys(keys, report);
    let dims = cursor.key("dims").and_then(|dims| {
        let dims: Vec<Option<i64>> = dims.items().iter().map(|dim| dim.dim(report)).collect();
        dims.into_iter().collect()
    });
    PartialTensor {
        name: text(cursor, "name", report).unwrap_or_default(),
        data_type: cursor.key("data_type").and_then(|cursor| data_type(&cursor, report)),
        dims,
        optional: flag(cursor, "optional", report),
    }
}

fn data_type(cursor: &Cursor<'_>, report: &mut Report) -> Option<DataType> {
    let text = cursor.text(report)?;
    let names = || DataType::all().map(DataType::name).collect::<Vec<_>>().join(", ");
    text.parse().ok().or_else(|| cursor.wrong(format_args!("one of {}, also with TYPE_ before it", names()), report))
}

fn instance_groups(root: &Cursor<'_>, report: &mut Report) -> Vec<InstanceGroup> {
    let items = root.key("instance_group").map(|list| list.items()).unwrap_or_default();
    items.iter().map(|item| instance_group(item, report)).collect()
}

fn instance_group(cursor: &Cursor<'_>, report: &mut Report) -> InstanceGroup {
    cursor.check_keys(&INSTANCE_GROUP, report);
    let gpus = cursor.key("gpus").map(|gpus| gpus.items()).unwrap_or_default();
    let gpu = |cursor: &Cursor<'_>| cursor.whole(limits::GPU, report).and_then(|gpu| u32::try_from(gpu).ok());
    InstanceGroup {
        gpus: gpus.iter().filter_map(gpu).collect(),
        name: text(cursor, "name", report).unwrap_or_default(),
        kind: cursor.key("kind").and_then(|kind| kind.choice(&KINDS, report)).unwrap_or_default(),
        count: size(cursor, "count", limits::INSTANCES, report).unwrap_or(1),
    }
}

fn dynamic_batching(cursor: &Cursor<'_>, report: &mut Report) -> DynamicBatching {
    cursor.check_keys(&DYNAMIC_BATCHING, report);
    refuse_ordering(cursor, report);
    let preferred = cursor.key("preferred_batch_size").map(|sizes| sizes.items()).unwrap_or_default();
    let level = |key, report: &mut Report| {
        let level = cursor.key(key).and_then(|level| level.whole(limits::PRIORITY_LEVELS, report));
        level.and_then(|level| u32::try_from(level).ok()).unwrap_or(0)
    };
    DynamicBatching {
        preferred_batch_sizes: preferred
            .iter()
            .filter_map(|size| size.whole(1..=*limits::BATCH_SIZE.end(), report))
            .filter_map(|size| usize::try_from(size).ok())
            .collect(),
        delay_us_max: timeout(cursor, "max_queue_delay_microseconds", report).unwrap_or(0),
        priority_levels: level("priority_levels", report),
        default_priority_level: level("default_priority_level", report),
    }
}

/// Answers go out as they are ready; a config that wants them in order must not be served otherwise.
fn refuse_ordering(cursor: &Cursor<'_>, report: &mut Report) {
    if flag(cursor, "preserve_ordering", report) == Some(true)
        && let Some(ordering) = cursor.key("preserve_ordering")
    {
        ordering.fault::<()>("found true, which is not supported yet, expected false", report);
    }
}

/// The queue policy stands within `dynamic_batching`, as Triton has it, or at the top for a model without batching.
fn queue_policy<'a>(outer: Option<Cursor<'a>>, inner: Option<Cursor<'a>>, report: &mut Report) -> Option<Cursor<'a>> {
    match (outer, inner) {
        (Some(_), Some(inner)) => inner.fault("found it here and at the top, expected it once", report),
        (outer, inner) => outer.or(inner),
    }
}

fn queue(cursor: &Cursor<'_>, config: &mut PartialConfig, report: &mut Report) {
    cursor.check_keys(&QUEUE_POLICY, report);
    let any = 0..=*limits::QUEUE_SIZE.end();
    config.queue_size_max = size(cursor, "max_queue_size", any, report).filter(|size| *size > 0);
    config.default_timeout_us = timeout(cursor, "default_timeout_microseconds", report);
    if let Some(action) = cursor.key("timeout_action") {
        action.choice(&[("REJECT", ())], report);
    }
}

/// `latest`, `all`, or a mapping with one of the three keys.
fn version_policy(cursor: &Cursor<'_>, report: &mut Report) -> Option<VersionPolicy> {
    if !cursor.is_map() {
        return cursor.choice(&[("latest", VersionPolicy::Latest(1)), ("all", VersionPolicy::All)], report);
    }
    cursor.check_keys(&VERSION_POLICY, report);
    match VERSION_POLICY.served.iter().filter(|key| cursor.key(key).is_some()).count() {
        0 | 1 => one_version_policy(cursor, report),
        _ => cursor.fault("found several policies, expected one of latest, all, specific", report),
    }
}

fn one_version_policy(cursor: &Cursor<'_>, report: &mut Report) -> Option<VersionPolicy> {
    if let Some(all) = cursor.key("all") {
        all.check_keys(&NO_KEYS, report);
        return Some(VersionPolicy::All);
    }
    if let Some(latest) = cursor.key("latest") {
        latest.check_keys(&LATEST, report);
        return Some(VersionPolicy::Latest(size(&latest, "num_versions", limits::VERSIONS, report).unwrap_or(1)));
    }
    let specific = cursor.key("specific")?;
    specific.check_keys(&SPECIFIC, report);
    let versions = specific.key("versions").map(|versions| versions.items()).unwrap_or_default();
    if versions.is_empty() {
        return specific.fault("found no versions, expected at least one under the key 'versions'", report);
    }
    let versions: Vec<_> = versions.iter().map(|version| version.whole(limits::VERSION, report)).collect();
    versions.into_iter().collect::<Option<_>>().map(VersionPolicy::Specific)
}

/// `key: value`, or Triton's `key: {string_value: value}`.
fn parameters(root: &Cursor<'_>, report: &mut Report) -> BTreeMap<String, String> {
    let Some(cursor) = root.key("parameters") else { return BTreeMap::new() };
    let mut parameters = BTreeMap::new();
    for (key, value) in cursor.entries(report) {
        let text = match value.key("string_value") {
            Some(text) => {
                value.check_keys(&PARAMETER, report);
                text.text_or_empty(report)
            }
            None => value.text_or_empty(report),
        };
        parameters.extend(text.map(|text| (key, text)));
    }
    parameters
}

const TOP: Keys = Keys {
    served: &[
        "backend",
        "caller_runs",
        "default_model_filename",
        "default_queue_policy",
        "dynamic_batching",
        "execution_timeout_microseconds",
        "input",
        "instance_group",
        "max_batch_size",
        "model_transaction_policy",
        "name",
        "output",
        "parameters",
        "platform",
        "version_policy",
    ],
    later: &[
        "batch_input",
        "batch_output",
        "cc_model_filenames",
        "ensemble_scheduling",
        "metric_tags",
        "model_metrics",
        "model_operations",
        "model_repository_agents",
        "model_warmup",
        "optimization",
        "response_cache",
        "runtime",
        "sequence_batching",
    ],
};
const INPUT: Keys = Keys {
    served: &["name", "data_type", "dims", "optional"],
    later: &["allow_ragged_batch", "format", "is_non_linear_format_io", "is_shape_tensor", "reshape"],
};
const OUTPUT: Keys = Keys {
    served: &["name", "data_type", "dims"],
    later: &["is_non_linear_format_io", "is_shape_tensor", "label_filename", "reshape"],
};
const INSTANCE_GROUP: Keys = Keys {
    served: &["name", "kind", "count", "gpus"],
    later: &["host_policy", "passive", "profile", "rate_limiter", "secondary_devices"],
};
const DYNAMIC_BATCHING: Keys = Keys {
    served: &[
        "default_priority_level",
        "default_queue_policy",
        "max_queue_delay_microseconds",
        "preferred_batch_size",
        "preserve_ordering",
        "priority_levels",
    ],
    later: &["priority_queue_policy"],
};
const QUEUE_POLICY: Keys = Keys {
    served: &["default_timeout_microseconds", "max_queue_size", "timeout_action"],
    later: &["allow_timeout_override"],
};
const TRANSACTION_POLICY: Keys = Keys { served: &["decoupled", "response_credit_max"], later: &[] };
const VERSION_POLICY: Keys = Keys { served: &["latest", "all", "specific"], later: &[] };
const LATEST: Keys = Keys { served: &["num_versions"], later: &[] };
const SPECIFIC: Keys = Keys { served: &["versions"], later: &[] };
const PARAMETER: Keys = Keys { served: &["string_value"], later: &[] };
const NO_KEYS: Keys = Keys { served: &[], later: &[] };

pub(super) const KINDS: [(&str, InstanceKind); 4] = [
    ("KIND_AUTO", InstanceKind::Auto),
    ("KIND_CPU", InstanceKind::Cpu),
    ("KIND_GPU", InstanceKind::Gpu),
    ("KIND_MODEL", InstanceKind::Model),
];
pub(super) const CALLER_RUNS: [(&str, CallerRuns); 3] =
    [("never", CallerRuns::Never), ("own_request", CallerRuns::OwnRequest), ("batch", CallerRuns::Batch)];
/// Triton's platforms and the backends that they stand for.
const PLATFORMS: [(&str, &str); 5] = [
    ("onnxruntime_onnx", "onnxruntime"),
    ("pytorch_libtorch", "pytorch"),
    ("tensorflow_graphdef", "tensorflow"),
    ("tensorflow_savedmodel", "tensorflow"),
    ("tensorrt_plan", "tensorrt"),
];
