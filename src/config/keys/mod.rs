//! The keys of a config file: what each becomes. Which there are is said in `fields.rs`. Pure, any thread.
//!
//! ```text
//!   mod.rs      the config as a whole          tensors.rs  input, output, batch_input, batch_output
//!   serving.rs  instances, batching, versions  extras.rs   warm-up, metrics
//!   versions.rs labels, traffic, shadow
//! ```
//!
//! A value that cannot be read is reported and left out, and reading goes on: one pass finds every error.

mod extras;
mod serving;
mod tensors;
mod versions;

pub(super) use serving::{CALLER_RUNS, KINDS, SWAPS, TIMEOUT_ACTIONS};
pub(super) use tensors::BATCH_INPUT_KINDS;

use super::carried;
use super::error::{Report, quoted};
use super::fields::{CONFIG, PARAMETER, TRANSACTION_POLICY};
use super::limits;
use super::partial::PartialConfig;
use super::platforms::platforms;
use super::read::Cursor;
use std::collections::BTreeMap;

/// Reads the whole file.
pub(super) fn config(root: &Cursor<'_>, report: &mut Report) -> PartialConfig {
    root.check_keys(&CONFIG, report);
    let (platform, backend) = platform_and_backend(root, report);
    let mut config = PartialConfig {
        name: stated(root, "name", report),
        platform,
        backend,
        default_model_filename: stated(root, "default_model_filename", report),
        max_batch_size: size(root, "max_batch_size", limits::BATCH_SIZE, report),
        inputs: tensors::inputs(root, report),
        outputs: tensors::outputs(root, report),
        batch_inputs: tensors::batch_inputs(root, report),
        batch_outputs: tensors::batch_outputs(root, report),
        instance_groups: serving::instance_groups(root, report),
        version_policy: serving::version_policy(root, report),
        version_labels: versions::labels(root, report),
        traffic: versions::traffic(root, report),
        shadow: versions::shadow(root, report),
        parameters: parameters(root, report),
        warmups: extras::warmups(root, report),
        metric_tags: texts(root, "metric_tags", report),
        metrics: extras::metrics(root, report),
        execution_timeout_us: timeout(root, "execution_timeout_microseconds", report),
        caller_runs: root.key("caller_runs").and_then(|cursor| cursor.choice(&CALLER_RUNS, report)),
        swap: root.key("swap").and_then(|cursor| cursor.choice(&SWAPS, report)),
        carried: carried::fields(root, &CONFIG, &CARRIED, report),
        ..PartialConfig::default()
    };
    if let Some(policy) = root.key("model_transaction_policy") {
        policy.check_keys(&TRANSACTION_POLICY, report);
        config.decoupled = flag(&policy, "decoupled", report);
        config.response_credit_max = size(&policy, "response_credit_max", limits::RESPONSE_CREDIT, report);
    }
    serving::batching(root, &mut config, report);
    config
}

/// A text, where an empty one stands for none.
fn stated(cursor: &Cursor<'_>, key: &'static str, report: &mut Report) -> Option<String> {
    text(cursor, key, report).filter(|text| !text.is_empty())
}

fn text(cursor: &Cursor<'_>, key: &'static str, report: &mut Report) -> Option<String> {
    cursor.key(key)?.text(report)
}

/// A mapping of texts.
fn texts(cursor: &Cursor<'_>, key: &'static str, report: &mut Report) -> BTreeMap<String, String> {
    let entries = cursor.key(key).map(|map| map.entries(report)).unwrap_or_default();
    entries.into_iter().filter_map(|(key, value)| Some((key, value.text_or_empty(report)?))).collect()
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

/// `platform`, and `backend` or what the platform stands for; both may be given if they agree. Beside a backend, a
/// platform may be any: then it is the backend's matter.
fn platform_and_backend(root: &Cursor<'_>, report: &mut Report) -> (Option<String>, Option<String>) {
    let backend = stated(root, "backend", report);
    let Some(platform) = stated(root, "platform", report) else { return (None, backend) };
    let (Some(cursor), known) = (root.key("platform"), platforms().find(|(name, _)| *name == platform)) else {
        return (None, backend);
    };
    match (&backend, known) {
        (Some(backend), Some((_, own))) if *backend != own => {
            let backend = quoted(backend);
            cursor.fault::<()>(
                format_args!("found a platform of the backend '{own}', expected one of '{backend}'"),
                report,
            );
        }
        (None, None) => _ = cursor.choice(&platforms().collect::<Vec<_>>(), report),
        _ => {}
    }
    let backend = backend.or(known.map(|(_, backend)| backend.to_owned()));
    (Some(platform), backend)
}

/// `key: value`, or Triton's `key: {string_value: value}`.
fn parameters(root: &Cursor<'_>, report: &mut Report) -> BTreeMap<String, String> {
    let Some(cursor) = root.key("parameters") else { return BTreeMap::new() };
    let mut parameters = BTreeMap::new();
    for (key, value) in cursor.entries(report) {
        let text = match value.is_map() {
            true => {
                value.check_keys(&PARAMETER, report);
                value.key("string_value").map_or(Some(String::new()), |text| text.text_or_empty(report))
            }
            false => value.text_or_empty(report),
        };
        parameters.extend(text.map(|text| (key, text)));
    }
    parameters
}

/// What is checked here and read by backends only, or not yet served.
pub(super) const CARRIED: [&str; 8] = [
    "runtime",
    "optimization",
    "sequence_batching",
    "ensemble_scheduling",
    "cc_model_filenames",
    "model_operations",
    "model_repository_agents",
    "response_cache",
];
