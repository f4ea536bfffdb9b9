//! The bounds of what a config may ask for. They keep a slip of the keyboard from claiming the whole machine.

use std::ops::RangeInclusive;

/// Bytes of a config file.
pub(super) const TEXT_SIZE_MAX: usize = 1 << 20;
/// `max_batch_size`; the largest is Triton's.
pub(super) const BATCH_SIZE: RangeInclusive<u64> = 0..=0x7fff_ffff;
/// The largest batch of a model that can batch and whose config says nothing of it.
pub(super) const BATCH_SIZE_DEFAULT: usize = 64;
/// Dims of one tensor.
pub(super) const DIMS_MAX: usize = 64;
/// `count` of an instance group, and the sum over a model.
pub(super) const INSTANCES: RangeInclusive<u64> = 1..=1024;
/// The number of a GPU.
pub(super) const GPU: RangeInclusive<u64> = 0..=1023;
/// Requests that may wait: queues allocate their room at once.
pub(super) const QUEUE_SIZE: RangeInclusive<u64> = 1..=1 << 20;
/// Requests that may wait when the config says nothing of it.
pub(super) const QUEUE_SIZE_DEFAULT: usize = 4096;
/// Requests that may wait in the queues of all priorities together: a lane counts no more.
pub(crate) const QUEUE_SIZES_MAX: usize = 0xf_fffe;
/// Responses of one request that may be on their way before its model is told to wait: they hold memory.
pub(super) const RESPONSE_CREDIT: RangeInclusive<u64> = 1..=1 << 16;
/// As that, when the config says nothing of it.
pub(super) const RESPONSE_CREDIT_DEFAULT: usize = 64;
/// `priority_levels`: each is a queue of its own.
pub(super) const PRIORITY_LEVELS: RangeInclusive<u64> = 0..=1024;
/// A delay or timeout in microseconds: up to a year, so that adding it to a time cannot overflow.
pub(super) const MICROSECONDS: RangeInclusive<u64> = 0..=365 * 24 * 3_600 * 1_000_000;
/// The number of a version.
pub(super) const VERSION: RangeInclusive<u64> = 1..=u64::MAX;
/// The weight of a version in a split of the traffic.
pub(super) const WEIGHT: RangeInclusive<u64> = 0..=u32::MAX as u64;
/// What the weights of a split may come to in their lowest terms: shares go down to 0.01 %.
pub(super) const WEIGHTS_SUM_MAX: u64 = 10_000;
/// Bytes of the label of a version.
pub(super) const LABEL_LEN_MAX: usize = 64;
/// `num_versions` of the version policy.
pub(super) const VERSIONS: RangeInclusive<u64> = 1..=0x7fff_ffff;
/// `count` of a warm-up, which is how often each instance executes it.
pub(super) const WARMUPS: RangeInclusive<u64> = 0..=1_000_000;
/// Bytes of the inputs of one request of a warm-up.
pub(super) const WARMUP_BYTES_MAX: u64 = 1 << 32;
