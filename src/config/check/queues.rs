//! The rules for the sizes of queues: each priority has a queue of its own, and together they have only so many places. Pure,
//! any thread.

use super::super::error::Report;
use super::super::limits::{PRIORITY_LEVELS, QUEUE_SIZE_DEFAULT, QUEUE_SIZES_MAX};
use super::super::model::DynamicBatching;
use super::super::partial::PartialConfig;
use super::super::path::Path;

/// No priority takes the places of another, so there must be room for the queues of all.
pub(super) fn queues(config: &PartialConfig, report: &mut Report) {
    let Some(batching) = config.dynamic_batching.as_ref().filter(|batching| batching.priority_levels > 1) else {
        return;
    };
    let (own, others) = sizes(batching);
    let size = config.queue_size_max.unwrap_or_else(|| queue_size_default(config));
    let sum = own.saturating_add(others.saturating_mul(size));
    if sum > QUEUE_SIZES_MAX {
        let levels = batching.priority_levels;
        let found = format_args!("found {levels} priorities with a max_queue_size of {sum} in all");
        report.on(
            &Path::root("dynamic_batching").key("priority_levels"),
            format_args!("{found}, expected at most {QUEUE_SIZES_MAX}"),
        );
    }
}

/// How many requests of a priority may wait, if the config says nothing of it: fewer where there are very many priorities.
pub(in super::super) fn queue_size_default(config: &PartialConfig) -> usize {
    let (own, others) = config.dynamic_batching.as_ref().map_or((0, 1), sizes);
    let left = QUEUE_SIZES_MAX.saturating_sub(own) / others.max(1);
    QUEUE_SIZE_DEFAULT.min(left).max(1)
}

/// The sum of the sizes that priorities have of their own, and how many have the default.
fn sizes(batching: &DynamicBatching) -> (usize, usize) {
    let own = |level: u32| batching.priority_queue_policies.get(&level)?.queue_size_max;
    // Whatever is stated: that it is too many is said elsewhere.
    let levels_max = u32::try_from(*PRIORITY_LEVELS.end()).unwrap_or(u32::MAX);
    let levels = || 1..=batching.priority_levels.clamp(1, levels_max);
    let sum = levels().filter_map(own).fold(0, usize::saturating_add);
    (sum, levels().filter(|level| own(*level).is_none()).count())
}
