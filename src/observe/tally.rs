//! The running sums of a lane: told of every execution once, under the lane's lock, and read now and then.
//!
//! One execution is some fifty instructions, and a dozen more for each request of it; nothing is allocated.

use super::Cut;
use super::histogram::{Histogram, Spread};
use super::layout::Layout;
use super::statistics::{BatchStatistics, DurationStatistics, ModelStatistics};

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
    sizes: Vec<Size>,
    cuts: [u64; Cut::ALL.len()],
    /// Of requests that were answered well, from submission to answer.
    durations: Histogram,
    /// Of requests that were executed, from submission to execution.
    waits: Histogram,
    first_responses: Spread,
    /// As `durations`, by the bounds of a config that has some.
    own_durations: Option<Spread>,
    /// As `waits`, the same.
    own_waits: Option<Spread>,
    /// When the last execution ended.
    last: u64,
}

/// The executions of one size.
#[derive(Clone, Copy, Default)]
struct Size {
    count: u64,
    input_ns: u64,
    infer_ns: u64,
    output_ns: u64,
}

/// One request of an execution.
pub(crate) struct Timing {
    pub(crate) submitted: u64,
    /// Whether the execution answered it well.
    pub(crate) is_good: bool,
}

/// What the metrics show besides the statistics.
#[derive(Clone, Debug, Default)]
pub(crate) struct Durations {
    pub(crate) request: Histogram,
    pub(crate) queue: Histogram,
    /// As `request`, by the bounds of a config that has some.
    pub(crate) own_request: Option<Spread>,
    pub(crate) own_queue: Option<Spread>,
    pub(crate) first_response: Option<Spread>,
}

impl Size {
    fn merge(&mut self, other: Size) {
        self.count += other.count;
        self.input_ns += other.input_ns;
        self.infer_ns += other.infer_ns;
        self.output_ns += other.output_ns;
    }
}

impl Tally {
    /// Adds what another lane of the same version has counted. The bounds stay those of this one.
    pub(crate) fn merge(&mut self, other: &Tally) {
        // Named one by one, so that whoever adds a sum is told to add it here.
        let Tally { statistics, more_responses, empty_ends, sizes, cuts, durations, waits, last, .. } = other;
        let Tally { first_responses, own_durations, own_waits, .. } = other;
        self.statistics.merge(statistics);
        self.more_responses += more_responses;
        self.empty_ends += empty_ends;
        if self.sizes.len() < sizes.len() {
            self.sizes.resize(sizes.len(), Size::default());
        }
        self.sizes.iter_mut().zip(sizes).for_each(|(own, other)| own.merge(*other));
        self.cuts.iter_mut().zip(cuts).for_each(|(own, other)| *own += other);
        self.durations.merge(durations);
        self.waits.merge(waits);
        self.first_responses.merge(first_responses);
        merge_own(&mut self.own_durations, (own_durations, durations));
        merge_own(&mut self.own_waits, (own_waits, waits));
        self.last = self.last.max(*last);
    }

    /// Of a lane of so many rows, whose histograms have these bounds.
    pub(crate) fn new(rows_max: usize, layout: &Layout) -> Self {
        let sizes = vec![Size::default(); rows_max.clamp(1, 4096) + 1];
        Tally {
            statistics: ModelStatistics::default(),
            more_responses: 0,
            empty_ends: 0,
            sizes,
            cuts: [0; Cut::ALL.len()],
            durations: Histogram::default(),
            waits: Histogram::default(),
            first_responses: layout.first_response(),
            own_durations: layout.request(),
            own_waits: layout.queue(),
            last: 0,
        }
    }

    /// Adds one execution and its requests.
    pub(crate) fn add(&mut self, record: &Record, requests: impl Iterator<Item = Timing>) {
        let Some(why) = record.why else { return };
        let has_own = self.own_durations.is_some() || self.own_waits.is_some();
        for timing in requests {
            self.waits.add(record.started.saturating_sub(timing.submitted));
            if timing.is_good {
                self.durations.add(record.ended.saturating_sub(timing.submitted));
            }
            if has_own {
                self.add_to_own(record, &timing);
            }
        }
        self.add_sums(record, why);
    }

    #[cold]
    #[inline(never)]
    fn add_to_own(&mut self, record: &Record, timing: &Timing) {
        if let Some(own) = &mut self.own_waits {
            own.add(record.started.saturating_sub(timing.submitted));
        }
        if let Some(own) = self.own_durations.as_mut().filter(|_| timing.is_good) {
            own.add(record.ended.saturating_sub(timing.submitted));
        }
    }

    fn add_sums(&mut self, record: &Record, why: Cut) {
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
        let size = &mut self.sizes[record.rows.min(last)];
        size.count += 1;
        size.input_ns += record.gathered;
        size.infer_ns += lasted.saturating_sub(record.gathered);
        size.output_ns += record.scattered;
        self.cuts[why as usize] += 1;
        self.last = record.ended.max(self.last);
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
        if !is_failed {
            self.durations.add(ns);
            self.own_durations.iter_mut().for_each(|own| own.add(ns));
        }
    }

    /// Adds the first response of a request of a decoupled model, `ns` after its submission.
    pub(crate) fn add_first_response(&mut self, ns: u64) {
        self.first_responses.add(ns);
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

    /// When the last execution ended; `None` before the first.
    pub(crate) fn last(&self) -> Option<u64> {
        (self.statistics.execution_count > 0).then_some(self.last)
    }

    /// Rows that were executed.
    pub(crate) fn rows(&self) -> u64 {
        self.sizes.iter().enumerate().map(|(rows, size)| rows as u64 * size.count).sum()
    }

    /// The histograms so far.
    pub(crate) fn durations(&self) -> Durations {
        Durations {
            request: self.durations.clone(),
            queue: self.waits.clone(),
            own_request: self.own_durations.clone(),
            own_queue: self.own_waits.clone(),
            first_response: Some(self.first_responses.clone()),
        }
    }

    /// The sums as they are reported.
    pub(crate) fn read(&self) -> ModelStatistics {
        let mut statistics = self.statistics.clone();
        statistics.response_count = statistics.success.count + self.more_responses - self.empty_ends;
        let sizes = || self.sizes.iter().enumerate().filter(|(_, size)| size.count > 0);
        statistics.batch_sizes = sizes().map(|(rows, size)| (rows, size.count)).collect();
        statistics.batches = sizes().map(|(rows, size)| size.statistics(rows)).collect();
        let cuts = Cut::ALL.iter().zip(self.cuts).filter(|(_, count)| *count > 0);
        statistics.cuts = cuts.map(|(why, count)| (why.name(), count)).collect();
        statistics
    }
}

/// Adds durations that another has by bounds of its own, or by those that all have.
fn merge_own(own: &mut Option<Spread>, (other, all): (&Option<Spread>, &Histogram)) {
    match (own, other) {
        (Some(own), Some(other)) => own.merge(other),
        (Some(own), None) => own.merge_histogram(all),
        (None, _) => {}
    }
}

impl Size {
    fn statistics(&self, rows: usize) -> BatchStatistics {
        let sum = |ns| DurationStatistics { count: self.count, ns };
        BatchStatistics {
            batch_size: rows,
            compute_input: sum(self.input_ns),
            compute_infer: sum(self.infer_ns),
            compute_output: sum(self.output_ns),
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn tally(rows_max: usize) -> Tally {
        let mut layout = Layout::default();
        layout.choose(super::super::layout::REQUEST, &[1e-6, 5e-6]);
        Tally::new(rows_max, &layout)
    }

    fn tell(tally: &mut Tally, n: u64) {
        let size = n as usize % 5 + 1;
        let record = Record {
            started: 100 * n,
            ended: 107 * n,
            waited: 3 * n,
            gathered: n,
            scattered: 2 * n,
            requests: size,
            rows: size,
            good_rows: size - 1,
            failed: 1,
            bytes_copied: 11 * size,
            why: Some(Cut::ALL[n as usize % Cut::ALL.len()]),
            ..Record::default()
        };
        tally.add(&record, (0..size).map(|at| timing(90 * n, at > 0)));
        tally.add_response();
        tally.add_flight(n);
    }

    #[test]
    fn two_tallies_merged_say_what_one_would_that_was_told_all() {
        let (mut first, mut second, mut all) = (tally(8), tally(3), tally(8));
        for n in 0..40 {
            // The smaller table is told of what fits it.
            tell(if n % 5 < 3 && n % 2 == 0 { &mut second } else { &mut first }, n);
            tell(&mut all, n);
        }
        let (mut forward, mut backward) = (first.clone(), second.clone());
        forward.merge(&second);
        backward.merge(&first);
        let said = |tally: &Tally| format!("{:?} {:?} {:?}", tally.read(), tally.durations(), tally.last());
        assert_eq!((said(&forward), said(&backward)), (said(&all), said(&all)));
        assert_ne!(said(&first), said(&all));
    }

    fn timing(submitted: u64, is_good: bool) -> Timing {
        Timing { submitted, is_good }
    }

    #[test]
    fn an_execution_counts_once_and_each_of_its_requests_in_the_histograms() {
        let mut tally = tally(4);
        let record = Record {
            started: 10_000,
            ended: 30_000,
            waited: 15_000,
            gathered: 1_000,
            scattered: 500,
            requests: 3,
            rows: 3,
            good_rows: 2,
            failed: 1,
            why: Some(Cut::Ready),
            ..Record::default()
        };
        tally.add(&record, [timing(0, true), timing(5_000, true), timing(10_000, false)].into_iter());
        let (statistics, durations) = (tally.read(), tally.durations());
        assert_eq!((durations.request.cumulative().1, durations.queue.cumulative().1), (2, 3));
        assert_eq!((durations.request.seconds(), durations.queue.seconds()), (55e-6, 15e-6));
        let own = durations.own_request.unwrap();
        assert_eq!((own.cumulative(), own.sum()), ((vec![(1e-6, 0), (5e-6, 0)], 2), 55e-6));
        assert_eq!((statistics.success.count, statistics.fail.count), (2, 1));
        let sum = |ns| DurationStatistics { count: 1, ns };
        let (compute_input, compute_infer, compute_output) = (sum(1_000), sum(19_000), sum(500));
        let batch = BatchStatistics { batch_size: 3, compute_input, compute_infer, compute_output };
        assert_eq!((statistics.batches, tally.last()), (vec![batch], Some(30_000)));
    }

    #[test]
    fn a_lane_with_other_bounds_takes_over_what_was_counted() {
        let mut plain = Tally::new(1, &Layout::default());
        let record = Record { started: 1, ended: 1, requests: 1, why: Some(Cut::Ready), ..Record::default() };
        plain.add(&record, [timing(0, true)].into_iter());
        let mut own = tally(1);
        own.merge(&plain);
        // One nanosecond is in the first bucket, which reaches to 4.096 microseconds.
        assert_eq!(own.durations().own_request.unwrap().cumulative(), (vec![(1e-6, 0), (5e-6, 1)], 1));
        plain.merge(&own);
        assert_eq!((plain.durations().request.cumulative().1, plain.durations().own_request), (2, None));
    }

    #[test]
    fn an_execution_that_never_was_counts_nowhere() {
        let mut tally = tally(1);
        tally.add(&Record::default(), [timing(0, true)].into_iter());
        assert_eq!((tally.durations().queue.cumulative().1, tally.last()), (0, None));
        assert_eq!(tally.read(), ModelStatistics::default());
    }
}
