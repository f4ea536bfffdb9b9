//! Instances, batching, queues and versions. Pure, any thread.

use super::super::carried;
use super::super::error::Report;
use super::super::fields::{DYNAMIC_BATCHING, INSTANCE_GROUP, LATEST, NOTHING, QUEUE_POLICY, SPECIFIC, VERSION_POLICY};
use super::super::limits;
use super::super::model::{CallerRuns, DynamicBatching, InstanceGroup, InstanceKind, Swap, VersionPolicy};
use super::super::partial::PartialConfig;
use super::super::queue::{QueuePolicy, TimeoutAction};
use super::super::read::Cursor;
use super::{flag, size, text, timeout};
use std::collections::BTreeMap;

pub(super) fn instance_groups(root: &Cursor<'_>, report: &mut Report) -> Vec<InstanceGroup> {
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
        count: size(cursor, "count", 0..=*limits::INSTANCES.end(), report).unwrap_or(1).max(1),
        is_passive: flag(cursor, "passive", report).unwrap_or(false),
        carried: carried::fields(cursor, &INSTANCE_GROUP, &CARRIED, report),
    }
}

/// `dynamic_batching` and the queue, whose policy stands within it, as Triton has it, or at the top for a model without.
pub(super) fn batching(root: &Cursor<'_>, config: &mut PartialConfig, report: &mut Report) {
    let batching = root.key("dynamic_batching");
    config.dynamic_batching = batching.as_ref().map(|batching| dynamic_batching(batching, report));
    let inner = batching.and_then(|batching| batching.key("default_queue_policy"));
    let policy = match (root.key("default_queue_policy"), inner) {
        (Some(_), Some(inner)) => inner.fault("found it here and at the top, expected it once", report),
        (outer, inner) => outer.or(inner),
    };
    if let Some(policy) = policy {
        let policy = queue_policy(&policy, report);
        config.queue_size_max = policy.queue_size_max;
        config.default_timeout_us = policy.default_timeout_us;
        config.timeout_action = policy.timeout_action;
        config.allow_timeout_override = policy.allow_timeout_override;
    }
}

fn dynamic_batching(cursor: &Cursor<'_>, report: &mut Report) -> DynamicBatching {
    cursor.check_keys(&DYNAMIC_BATCHING, report);
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
        preserve_ordering: flag(cursor, "preserve_ordering", report).unwrap_or(false),
        priority_levels: level("priority_levels", report),
        default_priority_level: level("default_priority_level", report),
        priority_queue_policies: priority_queue_policies(cursor, report),
    }
}

fn priority_queue_policies(cursor: &Cursor<'_>, report: &mut Report) -> BTreeMap<u32, QueuePolicy> {
    let entries = cursor.key("priority_queue_policy").map(|map| map.entries(report)).unwrap_or_default();
    let mut policies = BTreeMap::new();
    for (level, policy) in entries {
        match level.parse::<u32>() {
            Ok(level) => _ = policies.insert(level, queue_policy(&policy, report)),
            Err(_) => _ = policy.fault::<()>("found a key that is no number, expected a priority", report),
        }
    }
    policies
}

fn queue_policy(cursor: &Cursor<'_>, report: &mut Report) -> QueuePolicy {
    cursor.check_keys(&QUEUE_POLICY, report);
    let any = 0..=*limits::QUEUE_SIZE.end();
    QueuePolicy {
        queue_size_max: size(cursor, "max_queue_size", any, report).filter(|size| *size > 0),
        default_timeout_us: timeout(cursor, "default_timeout_microseconds", report),
        timeout_action: cursor
            .key("timeout_action")
            .and_then(|action| action.choice(&TIMEOUT_ACTIONS, report))
            .unwrap_or_default(),
        allow_timeout_override: flag(cursor, "allow_timeout_override", report).unwrap_or(false),
    }
}

/// `latest`, `all`, or a mapping with one of the three keys.
pub(super) fn version_policy(root: &Cursor<'_>, report: &mut Report) -> Option<VersionPolicy> {
    let cursor = root.key("version_policy")?;
    if !cursor.is_map() {
        return cursor.choice(&[("latest", VersionPolicy::Latest(1)), ("all", VersionPolicy::All)], report);
    }
    cursor.check_keys(&VERSION_POLICY, report);
    if let Some(all) = cursor.key("all") {
        all.check_keys(&NOTHING, report);
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

/// What only backends act upon, or nobody yet.
const CARRIED: [&str; 4] = ["rate_limiter", "secondary_devices", "profile", "host_policy"];

pub(in super::super) const KINDS: [(&str, InstanceKind); 4] = [
    ("KIND_AUTO", InstanceKind::Auto),
    ("KIND_CPU", InstanceKind::Cpu),
    ("KIND_GPU", InstanceKind::Gpu),
    ("KIND_MODEL", InstanceKind::Model),
];
pub(in super::super) const CALLER_RUNS: [(&str, CallerRuns); 3] =
    [("never", CallerRuns::Never), ("own_request", CallerRuns::OwnRequest), ("batch", CallerRuns::Batch)];
pub(in super::super) const SWAPS: [(&str, Swap); 2] = [("overlap", Swap::Overlap), ("replace", Swap::Replace)];
pub(in super::super) const TIMEOUT_ACTIONS: [(&str, TimeoutAction); 2] =
    [("REJECT", TimeoutAction::Reject), ("DELAY", TimeoutAction::Delay)];
