//! Statistics of one model version: counts and durations, with the meaning that Triton's statistics give them.

use super::Cut;
use serde::Serialize;
use std::collections::BTreeMap;

/// How often something happened and how long it took in all.
///
/// # Examples
/// ```
/// # use inferlay::{Request, ServerHandle, Tensor};
/// # let config = b"{backend: 'null', input: {name: x, data_type: FP32, dims: 2}}".to_vec();
/// # let server = ServerHandle::builder().model_in_memory("echo", [("config.yaml", config)]).strict().start()?;
/// # let model = server.model("echo")?;
/// // The model's outputs are its inputs.
/// let x = Tensor::from_vec(vec![1.0f32, 2.0], [2])?;
/// model.infer(Request::new().input("x", x))?;
/// let success = model.statistics()?.success;
/// assert_eq!(success.count, 1);
/// let _mean_us = success.ns / success.count / 1_000;
/// # Ok::<(), inferlay::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct DurationStatistics {
    /// How many requests.
    pub count: u64,
    /// The sum over these requests, in nanoseconds.
    pub ns: u64,
}

/// What a model version has done since it was loaded.
///
/// Durations are sums over requests: every request of a batch is charged the batch's whole time, as in Triton.
///
/// # Examples
/// ```
/// # #[allow(unused_imports)]
/// # use inferlay::{DataType, Input, ModelConfig, Request, ServerHandle, Tensor};
/// # let server = ServerHandle::builder().start()?;
/// # let config = ModelConfig::new("double").input("x", DataType::Fp32, [2]).output("y", DataType::Fp32, [2]);
/// # let double = |batch: &inferlay::ModelBatch<'_>| {
/// #     let x = batch.input("x")?.as_slice::<f32>()?;
/// #     let y = batch.output("y", [2])?.as_mut_slice::<f32>()?;
/// #     y.iter_mut().zip(x).for_each(|(y, x)| *y = 2.0 * x);
/// #     Ok(())
/// # };
/// # let model = server.register_model(config, double)?;
/// model.infer(Request::new().input("x", Tensor::from_vec(vec![1.0f32, 2.0], [2])?))?;
/// let statistics = model.statistics()?;
/// assert_eq!((statistics.success.count, statistics.fail.count, statistics.queue_len), (1, 0, 0));
/// let _mean_ns = statistics.success.ns / statistics.success.count;
/// # Ok::<(), inferlay::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ModelStatistics {
    /// The model.
    pub name: String,
    /// The version.
    pub version: u64,
    /// Rows of the requests that were answered well.
    pub inference_count: u64,
    /// Responses that were sent: one for each request that was answered well, but for decoupled models.
    pub response_count: u64,
    /// Batches that were executed.
    pub execution_count: u64,
    /// Requests that were answered well, from submission to the end of the execution.
    pub success: DurationStatistics,
    /// Requests that were executed and answered with an error.
    pub fail: DurationStatistics,
    /// From submission to the start of the execution.
    pub queue: DurationStatistics,
    /// Gathering inputs.
    pub compute_input: DurationStatistics,
    /// Executing, without gathering; where a backend answers later, until the last answer of the batch.
    pub compute_infer: DurationStatistics,
    /// Handing out outputs; not timed for a request alone in its batch, where nothing is to be done.
    pub compute_output: DurationStatistics,
    /// Requests refused because the queue was full.
    pub refused_count: u64,
    /// Requests whose deadline passed before they were run.
    pub expired_count: u64,
    /// Requests that were cancelled before they were answered.
    pub cancelled_count: u64,
    /// Of a version that shadows another, the copies of requests that were left out, because it was behind or did not take
    /// them; see [`crate::ServerHandle::set_shadow`].
    pub shadow_dropped_count: u64,
    /// Requests that wait now.
    pub queue_len: u64,
    /// Executions by the number of their rows.
    pub batch_sizes: BTreeMap<usize, u64>,
    /// Executions by the reason for which their batch was closed; see [`crate::Cut`].
    pub cuts: BTreeMap<&'static str, u64>,
    /// Bytes that the engine copied: gathered inputs, and small outputs into their responses.
    pub bytes_copied: u64,
}

impl DurationStatistics {
    fn merge(&mut self, other: DurationStatistics) {
        self.count += other.count;
        self.ns += other.ns;
    }
}

impl ModelStatistics {
    /// Adds the sums that a tally keeps here; the rest is written when they are read.
    fn merge(&mut self, other: &ModelStatistics) {
        self.inference_count += other.inference_count;
        self.execution_count += other.execution_count;
        self.success.merge(other.success);
        self.fail.merge(other.fail);
        self.queue.merge(other.queue);
        self.compute_input.merge(other.compute_input);
        self.compute_infer.merge(other.compute_infer);
        self.compute_output.merge(other.compute_output);
        self.bytes_copied += other.bytes_copied;
    }
}

/// One execution, as it is reported to the tally.
#[derive(Clone, Debug, Default)]
pub(crate) struct Record {
    pub(crate) started: u64,
    pub(crate) ended: u64,
    /// Nanoseconds that the requests waited, summed.
    pub(crate) waited: u64,
    pub(crate) gathered: u64,
    pub(crate) scattered: u64,
    pub(crate) requests: usize,
    pub(crate) rows: usize,
    /// Rows of the requests that were answered well.
    pub(crate) good_rows: usize,
    pub(crate) failed: usize,
    /// Requests that a deadline, a cancel or a stop answered while they ran.
    pub(crate) lost: usize,
    /// Requests that the backend answers later; they are counted then.
    pub(crate) taken: usize,
    pub(crate) bytes_copied: usize,
    pub(crate) why: Option<Cut>,
}

/// The running sums of a lane.
#[derive(Clone)]
pub(crate) struct Tally {
    statistics: ModelStatistics,
    /// Responses that were not the last of their requests.
    more_responses: u64,
    /// Requests that were answered well without a last response.
    empty_ends: u64,
    /// Executions by rows, while they are few enough for a table.
    sizes: Vec<u64>,
    cuts: [u64; Cut::ALL.len()],
}

impl Tally {
    pub(crate) fn new(rows_max: usize) -> Self {
        let sizes = vec![0; rows_max.clamp(1, 4096) + 1];
        Tally {
            statistics: ModelStatistics::default(),
            more_responses: 0,
            empty_ends: 0,
            sizes,
            cuts: [0; Cut::ALL.len()],
        }
    }

    /// Adds one execution.
    pub(crate) fn add(&mut self, record: &Record) {
        let Some(why) = record.why else { return };
        let sums = &mut self.statistics;
        let lasted = record.ended.saturating_sub(record.started);
        let (requests, failed) = (record.requests as u64, record.failed as u64);
        let add = |sum: &mut DurationStatistics, count: u64, ns: u64| {
            sum.count += count;
            sum.ns += ns;
        };
        let total = record.waited + lasted * requests;
        let share = total / requests.max(1);
        let good = requests - failed - (record.lost + record.taken) as u64;
        add(&mut sums.fail, failed, share * failed);
        add(&mut sums.success, good, if good == requests { total } else { share * good });
        add(&mut sums.queue, requests, record.waited);
        add(&mut sums.compute_input, requests, record.gathered * requests);
        add(&mut sums.compute_infer, requests, lasted.saturating_sub(record.gathered) * requests);
        add(&mut sums.compute_output, requests, record.scattered * requests);
        sums.execution_count += 1;
        sums.inference_count += record.good_rows as u64;
        sums.bytes_copied += record.bytes_copied as u64;
        let last = self.sizes.len() - 1;
        self.sizes[record.rows.min(last)] += 1;
        self.cuts[why as usize] += 1;
    }

    /// Adds a request that its backend took and has answered now, `ns` after its submission.
    /// `is_empty`: whether the answer brought no response; `None` for an error.
    pub(crate) fn add_taken(&mut self, rows: usize, is_empty: Option<bool>, ns: u64) {
        let sums = &mut self.statistics;
        let is_failed = is_empty.is_none();
        self.empty_ends += u64::from(is_empty == Some(true));
        let sum = if is_failed { &mut sums.fail } else { &mut sums.success };
        sum.count += 1;
        sum.ns += ns;
        sums.inference_count += if is_failed { 0 } else { rows as u64 };
    }

    /// Adds a response that is not the last of its request.
    pub(crate) fn add_response(&mut self) {
        self.more_responses += 1;
    }

    /// That response was refused.
    pub(crate) fn take_response_back(&mut self) {
        self.more_responses -= 1;
    }

    /// Adds the time from the end of an execution until its backend had answered what it took, summed over these requests.
    pub(crate) fn add_flight(&mut self, ns: u64) {
        self.statistics.compute_infer.ns += ns;
    }

    /// Adds what another lane of the same version has counted.
    pub(crate) fn merge(&mut self, other: &Tally) {
        // Named one by one, so that whoever adds a sum is told to add it here.
        let Tally { statistics, more_responses, empty_ends, sizes, cuts } = other;
        self.statistics.merge(statistics);
        self.more_responses += more_responses;
        self.empty_ends += empty_ends;
        if self.sizes.len() < sizes.len() {
            self.sizes.resize(sizes.len(), 0);
        }
        self.sizes.iter_mut().zip(sizes).for_each(|(own, other)| *own += other);
        self.cuts.iter_mut().zip(cuts).for_each(|(own, other)| *own += other);
    }

    /// The sums as they are reported.
    pub(crate) fn read(&self) -> ModelStatistics {
        let mut statistics = self.statistics.clone();
        statistics.response_count = statistics.success.count + self.more_responses - self.empty_ends;
        let sizes = self.sizes.iter().enumerate().filter(|(_, count)| **count > 0);
        statistics.batch_sizes = sizes.map(|(rows, count)| (rows, *count)).collect();
        let cuts = Cut::ALL.iter().zip(self.cuts).filter(|(_, count)| *count > 0);
        statistics.cuts = cuts.map(|(why, count)| (why.name(), count)).collect();
        statistics
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// The `n`th execution of some; no two are alike.
    fn record(n: u64) -> Record {
        let size = n as usize % 5 + 1;
        Record {
            started: 100 * n,
            ended: 100 * n + 7 * n,
            waited: 3 * n,
            gathered: n,
            scattered: 2 * n,
            requests: size,
            rows: size,
            good_rows: size - 1,
            failed: 1,
            lost: 0,
            taken: 0,
            bytes_copied: 11 * size,
            why: Some(Cut::ALL[n as usize % Cut::ALL.len()]),
        }
    }

    fn tell(tally: &mut Tally, n: u64) {
        tally.add(&record(n));
        tally.add_taken(2, [None, Some(false), Some(true)][n as usize % 3], 5 * n);
        tally.add_response();
        tally.add_flight(n);
    }

    #[test]
    fn two_tallies_merged_say_what_one_would_that_was_told_all() {
        let (mut first, mut second, mut all) = (Tally::new(8), Tally::new(3), Tally::new(8));
        for n in 0..40 {
            // The smaller table is told of what fits it.
            tell(if n % 5 < 3 && n % 2 == 0 { &mut second } else { &mut first }, n);
            tell(&mut all, n);
        }
        let (mut forward, mut backward) = (first.clone(), second.clone());
        forward.merge(&second);
        backward.merge(&first);
        assert_eq!(forward.read(), all.read());
        assert_eq!(backward.read(), all.read());
        assert_ne!(first.read(), all.read());
    }
}
