//! The rules that values must keep, wherever they come from: a file, a file completed from its model, or code. Pure,
//! any thread.
//!
//! A rule says nothing of what is missing; that is for the completion.

mod extras;
mod queues;
mod versions;

pub(super) use queues::queue_size_default;
pub(crate) use versions::{label_fault, lowest_terms, weights_fault};

use super::error::{Report, quoted};
use super::limits;
use super::model::{DynamicBatching, InstanceGroup, InstanceKind, VersionPolicy};
use super::partial::{PartialConfig, PartialTensor};
use super::path::Path;
use super::read::{DIM, whole_number};
use inferlay_backend_sdk::{DataType, Error};
use std::collections::BTreeSet;
use std::ops::RangeInclusive;

/// Whether a model may have this name: it is the name of a folder, stands in URLs, metrics and logs, and must not lead
/// out of the repository.
///
/// # Errors
/// [`inferlay_backend_sdk::ErrorKind::InvalidArg`] unless the name is 1 to 255 bytes long, does not begin with a dot
/// and has no `/`, `\`, `..` or control character.
///
/// # Examples
/// ```
/// use inferlay::config::check_model_name;
/// assert!(check_model_name("digits-v2").is_ok());
/// assert_eq!(
///     check_model_name("../secret").unwrap_err().message(),
///     "model name '../secret': found '/' in it, expected a name without '/', '\\', '..' and control characters"
/// );
/// ```
pub fn check_model_name(name: &str) -> Result<(), Error> {
    match name_fault(name) {
        None => Ok(()),
        Some(fault) => Err(Error::invalid_arg(format!("model name '{}': {fault}", quoted(name)))),
    }
}

/// The rules for what is there.
pub(super) fn partial(config: &PartialConfig, report: &mut Report) {
    if let Some(fault) = config.name.as_deref().and_then(name_fault) {
        report.on(&Path::root("name"), fault);
    }
    if let Some(fault) = config.default_model_filename.as_deref().and_then(file_fault) {
        report.on(&Path::root("default_model_filename"), fault);
    }
    number(config.max_batch_size, limits::BATCH_SIZE, &Path::root("max_batch_size"), report);
    tensors(&config.inputs, "input", config.max_batch_size, report);
    tensors(&config.outputs, "output", config.max_batch_size, report);
    instance_groups(&config.instance_groups, report);
    if let Some(batching) = &config.dynamic_batching {
        dynamic_batching(batching, config.max_batch_size, report);
        if let Some(other) = scheduler(config) {
            report.on(&Path::root(other), "found it beside dynamic_batching, expected one of them");
        }
    }
    if let Some(policy) = &config.version_policy {
        version_policy(policy, report);
    }
    versions::versions(config, report);
    let credit = Path::root("model_transaction_policy").key("response_credit_max");
    number(config.response_credit_max, limits::RESPONSE_CREDIT, &credit, report);
    queue(config, report);
    queues::queues(config, report);
    extras::metrics(config, report);
}

/// The rules for a config whose inputs and outputs are all there.
pub(super) fn settled(config: &PartialConfig, report: &mut Report) {
    partial(config, report);
    extras::warmups(config, report);
    extras::batch_io(config, report);
}

/// The rules for a config that lacks nothing.
pub(super) fn complete(config: &PartialConfig, report: &mut Report) {
    settled(config, report);
    if config.instance_groups.is_empty() {
        report.on(&Path::root("instance_group"), "found none, expected at least one");
    }
    for (index, group) in config.instance_groups.iter().enumerate() {
        number(Some(group.count), limits::INSTANCES, &Path::root("instance_group").index(index).key("count"), report);
    }
}

/// The scheduler that the config asks for beside dynamic batching, if there is one.
pub(super) fn scheduler(config: &PartialConfig) -> Option<&'static str> {
    ["sequence_batching", "ensemble_scheduling"].into_iter().find(|name| config.carried.contains_key(*name))
}

fn name_fault(name: &str) -> Option<String> {
    let forbidden = ["/", "\\", ".."].into_iter().find(|part| name.contains(part));
    match name.len() {
        0 => Some("found nothing, expected 1 to 255 bytes".to_owned()),
        256.. => Some(format!("found {} bytes, expected 1 to 255", name.len())),
        _ if forbidden.is_some() || name.contains(char::is_control) => {
            let found = forbidden.map_or("a control character".to_owned(), |part| format!("'{part}'"));
            Some(format!("found {found} in it, expected a name without '/', '\\', '..' and control characters"))
        }
        _ if name.starts_with('.') => Some("found a dot at the start, expected another character".to_owned()),
        _ => None,
    }
}

/// A model file lies in the folder of its version or below.
pub(super) fn file_fault(name: &str) -> Option<String> {
    let outward = name.starts_with('/') || name.split('/').any(|part| matches!(part, "" | "." | ".."));
    let odd = name.contains('\\') || name.contains(char::is_control);
    (outward || odd).then(|| format!("found '{}', expected a file name within the version's folder", quoted(name)))
}

fn tensors(tensors: &[PartialTensor], key: &'static str, batch: Option<usize>, report: &mut Report) {
    let mut names = BTreeSet::new();
    for (index, tensor) in tensors.iter().enumerate() {
        let path = Path::root(key).index(index);
        if tensor.name.is_empty() || tensor.name.contains(char::is_control) {
            let found = if tensor.name.is_empty() { "nothing" } else { "a control character in it" };
            report.on(&path.key("name"), format_args!("found {found}, expected the name of an {key}"));
        } else if !names.insert(&tensor.name) {
            report
                .on(&path.key("name"), format_args!("found '{}' again, expected each name once", quoted(&tensor.name)));
        }
        if let Some(dims) = &tensor.dims {
            self::dims(dims, tensor.data_type, batch, &path.key("dims"), report);
        }
        extras::tensor(tensor, &path, report);
    }
}

fn dims(dims: &[i64], data_type: Option<DataType>, batch: Option<usize>, path: &Path, report: &mut Report) {
    if dims.len() > limits::DIMS_MAX {
        report.on(path, format_args!("found {} dims, expected at most {}", dims.len(), limits::DIMS_MAX));
    }
    for (index, dim) in dims.iter().enumerate().filter(|(_, dim)| **dim < -1) {
        report.on(&path.index(index), format_args!("found {dim}, expected {DIM}"));
    }
    // A dim that varies or is zero counts as one: the others must fit together whatever it becomes.
    let element = data_type.and_then(DataType::size).unwrap_or(1).max(1);
    let factors = [element, batch.unwrap_or(1).max(1)].into_iter().map(i64::try_from);
    let mut factors = factors.chain(dims.iter().map(|dim| Ok((*dim).max(1))));
    let bytes = factors.try_fold(1i64, |bytes, factor| bytes.checked_mul(factor.ok()?));
    if bytes.is_none() {
        report.on(path, "found dims whose product overflows, expected at most 9223372036854775807 bytes in a batch");
    }
}

fn instance_groups(groups: &[InstanceGroup], report: &mut Report) {
    let root = Path::root("instance_group");
    let mut names = BTreeSet::new();
    let mut sum = 0u64;
    for (index, group) in groups.iter().enumerate() {
        let path = root.index(index);
        if !group.name.is_empty() && !names.insert(&group.name) {
            report
                .on(&path.key("name"), format_args!("found '{}' again, expected each name once", quoted(&group.name)));
        }
        if group.kind == InstanceKind::Cpu && !group.gpus.is_empty() {
            report.on(&path.key("gpus"), "found GPUs, expected none with KIND_CPU");
        }
        if group.gpus.iter().collect::<BTreeSet<_>>().len() < group.gpus.len() {
            report.on(&path.key("gpus"), "found a GPU twice, expected each once");
        }
        let places = u64::try_from(group.gpus.len().max(1)).unwrap_or(u64::MAX);
        sum = sum.saturating_add(u64::try_from(group.count).unwrap_or(u64::MAX).saturating_mul(places));
    }
    if sum > *limits::INSTANCES.end() {
        report.on(&root, format_args!("found {sum} instances in all, expected at most {}", limits::INSTANCES.end()));
    }
}

fn dynamic_batching(batching: &DynamicBatching, batch: Option<usize>, report: &mut Report) {
    let path = Path::root("dynamic_batching");
    let largest = batch.and_then(|batch| u64::try_from(batch).ok()).unwrap_or(*limits::BATCH_SIZE.end());
    for (index, size) in batching.preferred_batch_sizes.iter().enumerate() {
        let path = path.key("preferred_batch_size").index(index);
        if !in_range(*size, &(1..=largest)) {
            report.on(&path, format_args!("found {size}, expected from 1 to max_batch_size, which is {largest}"));
        }
    }
    number(Some(batching.delay_us_max), limits::MICROSECONDS, &path.key("max_queue_delay_microseconds"), report);
    number(Some(batching.priority_levels), limits::PRIORITY_LEVELS, &path.key("priority_levels"), report);
    let (level, levels) = (batching.default_priority_level, batching.priority_levels);
    if level > levels || (level == 0 && levels > 0) {
        let expected = whole_number(&(u64::from(levels.min(1))..=u64::from(levels)));
        let message = format_args!("found {level}, expected {expected}, as there are {levels} priority_levels");
        report.on(&path.key("default_priority_level"), message);
    }
    let path = path.key("priority_queue_policy");
    for (level, policy) in &batching.priority_queue_policies {
        let path = path.key(level.to_string());
        number(policy.queue_size_max, limits::QUEUE_SIZE, &path.key("max_queue_size"), report);
        number(policy.default_timeout_us, limits::MICROSECONDS, &path.key("default_timeout_microseconds"), report);
        if *level == 0 || *level > levels {
            report.on(
                &path,
                format_args!("found priority {level}, expected from 1 to priority_levels, which is {levels}"),
            );
        }
    }
}

fn version_policy(policy: &VersionPolicy, report: &mut Report) {
    let path = Path::root("version_policy");
    match policy {
        VersionPolicy::All => {}
        VersionPolicy::Latest(count) => {
            number(Some(*count), limits::VERSIONS, &path.key("latest").key("num_versions"), report);
        }
        VersionPolicy::Specific(versions) => {
            let path = path.key("specific").key("versions");
            if versions.is_empty() {
                report.on(&path, "found none, expected at least one");
            }
            for (index, version) in versions.iter().enumerate() {
                number(Some(*version), limits::VERSION, &path.index(index), report);
            }
        }
    }
}

fn queue(config: &PartialConfig, report: &mut Report) {
    let policy = match config.dynamic_batching {
        Some(_) => Path::root("dynamic_batching").key("default_queue_policy"),
        None => Path::root("default_queue_policy"),
    };
    number(config.queue_size_max, limits::QUEUE_SIZE, &policy.key("max_queue_size"), report);
    number(config.default_timeout_us, limits::MICROSECONDS, &policy.key("default_timeout_microseconds"), report);
    let path = Path::root("execution_timeout_microseconds");
    number(config.execution_timeout_us, limits::MICROSECONDS, &path, report);
}

fn number<N: TryInto<u64> + Copy + std::fmt::Display>(
    value: Option<N>,
    limits: RangeInclusive<u64>,
    path: &Path,
    report: &mut Report,
) {
    if let Some(value) = value.filter(|value| !in_range(*value, &limits)) {
        report.on(path, format_args!("found {value}, expected {}", whole_number(&limits)));
    }
}

fn in_range<N: TryInto<u64>>(value: N, limits: &RangeInclusive<u64>) -> bool {
    value.try_into().is_ok_and(|value| limits.contains(&value))
}
