//! One measurement: wall time, processor time and allocations between two moments, and medians over rounds.

use crate::{allocations, machine};
use serde::Serialize;
use std::time::{Duration, Instant};

/// Every so many requests one is timed: reading the clock twice would cost as much as a tenth of a request.
pub(crate) const SAMPLED_EVERY: usize = 16;

/// Runs from [`Meter::start`] to [`Meter::stop`].
pub(crate) struct Meter {
    allocations: u64,
    cpu: Duration,
    begun: Instant,
}

/// What one measurement, or the median of several, says of a case. The field names are those of the JSON.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub(crate) struct Figures {
    pub(crate) name: &'static str,
    pub(crate) req_per_s: f64,
    pub(crate) p50_ns: f64,
    pub(crate) p99_ns: f64,
    pub(crate) cpu_ns_per_req: f64,
    pub(crate) mean_batch: f64,
    pub(crate) allocs_per_req: f64,
    pub(crate) bytes_copied_per_req: f64,
}

impl Meter {
    pub(crate) fn start() -> Self {
        Meter { allocations: allocations::count(), cpu: machine::cpu_time(), begun: Instant::now() }
    }

    /// The figures of `requests` requests, of which some took `samples` nanoseconds.
    pub(crate) fn stop(self, name: &'static str, requests: usize, samples: &mut [u64]) -> Figures {
        let (took, cpu) = (self.begun.elapsed(), machine::cpu_time() - self.cpu);
        let allocations = allocations::count() - self.allocations;
        samples.sort_unstable();
        let per_request = |total: f64| total / requests as f64;
        Figures {
            name,
            req_per_s: requests as f64 / took.as_secs_f64(),
            p50_ns: percentile(samples, 50),
            p99_ns: percentile(samples, 99),
            cpu_ns_per_req: per_request(cpu.as_nanos() as f64),
            mean_batch: 1.0,
            allocs_per_req: per_request(allocations as f64),
            bytes_copied_per_req: 0.0,
        }
    }
}

/// Figure by figure the median over the rounds of one case.
pub(crate) fn median_figures(rounds: &[Figures]) -> Figures {
    let of = |figure: fn(&Figures) -> f64| median(rounds.iter().map(figure).collect());
    Figures {
        name: rounds.first().map_or("", |round| round.name),
        req_per_s: of(|f| f.req_per_s),
        p50_ns: of(|f| f.p50_ns),
        p99_ns: of(|f| f.p99_ns),
        cpu_ns_per_req: of(|f| f.cpu_ns_per_req),
        mean_batch: of(|f| f.mean_batch),
        allocs_per_req: of(|f| f.allocs_per_req),
        bytes_copied_per_req: of(|f| f.bytes_copied_per_req),
    }
}

/// The middle value, or the mean of the two in the middle; 0 of nothing.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match (values.len() / 2, values.len() % 2) {
        (0, 0) => 0.0,
        (half, 1) => values[half],
        (half, _) => (values[half - 1] + values[half]) / 2.0,
    }
}

/// The smallest of the sorted values that `percent` of them do not exceed; 0 of nothing.
pub(crate) fn percentile(sorted: &[u64], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.saturating_sub(1)).map_or(0.0, |value| *value as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_of_any_order() {
        for (values, expected) in [(vec![], 0.0), (vec![3.0], 3.0), (vec![9.0, 1.0, 4.0], 4.0), (vec![4.0, 2.0], 3.0)] {
            assert_eq!(median(values), expected);
        }
    }

    #[test]
    fn a_percentile_is_one_of_the_values() {
        let sorted: Vec<_> = (1..=200).collect();
        assert_eq!((percentile(&sorted, 50), percentile(&sorted, 99)), (100.0, 198.0));
        assert_eq!((percentile(&sorted[..1], 99), percentile(&[], 50)), (1.0, 0.0));
    }
}
