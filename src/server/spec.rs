//! From a complete config and the model's own signature to what a lane must know. Pure.

use super::builder::Options;
use crate::backend::joint::{Join, Scatter};
use crate::config::{self, InstanceGroup, InstanceKind, ModelConfig, QueuePolicy, TensorConfig, TimeoutAction};
use crate::flow::{CallerRuns, INSTANCES_MAX, LaneSpec, Late, Policy, Port, QUEUED_MAX, Shaping, Wait, Waits};
use crate::observe::Layout;
use inferlay_backend_sdk::{Attributes, Device, Error, ErrorKind, Signature, TensorSpec};

// A lane counts as many requests as a config may ask for.
const _: () = assert!(config::QUEUE_SIZES_MAX == QUEUED_MAX);

/// The model's own signature, or the config's where the model says nothing.
pub(super) fn signature_of(config: &ModelConfig, model: &Signature) -> Signature {
    if model.inputs.is_empty() && model.outputs.is_empty() { super::load::stated(config) } else { model.clone() }
}

/// The device of an instance group.
///
/// # Errors
/// `UNAVAILABLE` for a kind that this build has no device for.
pub(super) fn device(group: &InstanceGroup) -> Result<Device, Error> {
    match group.kind {
        InstanceKind::Gpu => Err(Error::unavailable(format!(
            "instance group '{}': KIND_GPU, but this build serves on CPUs only",
            group.name
        ))),
        _ => Ok(Device::Cpu),
    }
}

/// What the lane of a model version must know.
///
/// # Errors
/// `INVALID_ARG` for numbers beyond what a lane can count.
pub(super) fn lane_spec(
    config: &ModelConfig,
    version: u64,
    signature: &Signature,
    options: &Options,
    attributes: Attributes,
) -> Result<LaneSpec, Error> {
    let instances: usize = config.instance_groups.iter().map(|group| group.count).sum();
    if instances > INSTANCES_MAX {
        let message = format!("found {instances} instances, expected at most {INSTANCES_MAX}");
        return Err(Error::new(ErrorKind::InvalidArg, message));
    }
    let batching = config.dynamic_batching.as_ref();
    let mut preferred = batching.map(|batching| batching.preferred_batch_sizes.clone()).unwrap_or_default();
    preferred.sort_unstable();
    let policy = Policy {
        rows_max: if batching.is_some() { config.max_batch_size } else { 0 },
        preferred,
        delay: batching.map_or(0, |batching| nanoseconds(batching.delay_us_max)),
    };
    let levels = batching.map_or(0, |batching| batching.priority_levels as usize);
    let waits = waits(config);
    let level_default = batching.map_or(0, |batching| (batching.default_priority_level as usize).saturating_sub(1));
    let inputs: Vec<_> = signature.inputs.iter().map(|spec| input(spec, config, signature)).collect();
    let outputs: Vec<_> = signature.outputs.iter().map(|spec| output(spec, config, signature)).collect();
    Ok(LaneSpec {
        model: config.name.clone(),
        version,
        shaping: Shaping::of(&inputs, &outputs),
        inputs,
        outputs,
        rows_max: config.max_batch_size,
        policy,
        queued_max: queued_max(&waits, levels),
        levels,
        level_default,
        waits,
        execution_timeout: config.execution_timeout_us.map(nanoseconds),
        caller_runs: caller_runs(config, options, attributes),
        is_ordered: config.dynamic_batching.as_ref().is_some_and(|batching| batching.preserve_ordering),
        is_thread_bound: attributes.contains(Attributes::INSTANCE_THREAD),
        credit_max: config.decoupled.then_some(config.response_credit_max),
        is_passive: config.active_len() == 0,
        metric_tags: config.metric_tags.clone(),
        layout: layout(config),
    })
}

/// How requests wait, by level.
fn waits(config: &ModelConfig) -> Waits {
    let all = QueuePolicy {
        queue_size_max: Some(config.queue_size_max),
        default_timeout_us: config.default_timeout_us,
        timeout_action: config.timeout_action,
        allow_timeout_override: config.allow_timeout_override,
    };
    let batching = config.dynamic_batching.as_ref();
    let levels = batching.map_or(0, |batching| batching.priority_levels).max(1);
    let own = |level: u32| batching.and_then(|batching| batching.priority_queue_policies.get(&level));
    Waits::new((1..=levels).map(|level| wait(own(level).unwrap_or(&all), config.queue_size_max)).collect())
}

fn wait(policy: &QueuePolicy, queued_max: usize) -> Wait {
    Wait {
        timeout: policy.default_timeout_us.map(nanoseconds),
        late: if policy.timeout_action == TimeoutAction::Delay { Late::Delay } else { Late::Reject },
        may_shorten: policy.allow_timeout_override,
        queued_max: policy.queue_size_max.or(Some(queued_max)),
    }
}

/// The places of all levels: each has a queue of its own.
fn queued_max(waits: &Waits, levels: usize) -> usize {
    let bounds = (0..levels.max(1)).filter_map(|level| waits.of(level).queued_max);
    bounds.fold(0usize, usize::saturating_add).clamp(1, QUEUED_MAX)
}

/// The bounds of the histograms.
fn layout(config: &ModelConfig) -> Layout {
    let mut layout = Layout::default();
    config.metrics.iter().for_each(|metric| layout.choose(&metric.family, &metric.buckets));
    layout
}

fn input(spec: &TensorSpec, config: &ModelConfig, signature: &Signature) -> Port {
    let port = port(spec, &config.inputs, config.max_batch_size > 0);
    match Join::of(&spec.name, config, signature) {
        // Requests do not have it.
        join @ Join::Told { .. } => Port { join, dims: None, backend_dims: None, is_optional: true, ..port },
        join => Port { join, ..port },
    }
}

fn output(spec: &TensorSpec, config: &ModelConfig, signature: &Signature) -> Port {
    let port = port(spec, &config.outputs, config.max_batch_size > 0);
    Port { scatter: Scatter::of(&spec.name, config, signature), ..port }
}

fn port(spec: &TensorSpec, stated: &[TensorConfig], has_batch: bool) -> Port {
    let config = stated.iter().find(|config| config.name == spec.name);
    let own = || spec.dims.as_ref().map(|dims| dims.get(usize::from(has_batch)..).unwrap_or_default().to_vec());
    // Of a model that does not know its own rank, a config without dims says nothing either.
    let stated = config.filter(|config| spec.dims.is_some() || !config.dims.is_empty());
    let dims = stated.map_or_else(own, |config| Some(config.dims.clone()));
    Port {
        name: spec.name.clone(),
        dtype: spec.dtype,
        backend_dims: stated.and_then(|config| config.reshape.clone()).or_else(|| dims.clone()),
        dims,
        join: Join::Rows,
        scatter: None,
        is_optional: config.map_or(spec.optional, |config| config.optional || spec.optional),
        is_offered: config.is_some(),
        labels: None,
    }
}

fn caller_runs(config: &ModelConfig, options: &Options, attributes: Attributes) -> CallerRuns {
    let is_ordered = config.dynamic_batching.as_ref().is_some_and(|batching| batching.preserve_ordering);
    // Whoever runs his own request would hold his answer on his own thread.
    if !attributes.contains(Attributes::CALLER_OK) || is_ordered {
        return CallerRuns::Never;
    }
    match config.caller_runs.unwrap_or(options.caller_runs) {
        config::CallerRuns::Never => CallerRuns::Never,
        config::CallerRuns::OwnRequest => CallerRuns::OwnRequest,
        config::CallerRuns::Batch => CallerRuns::Batch,
    }
}

fn nanoseconds(microseconds: u64) -> u64 {
    microseconds.saturating_mul(1000)
}
