//! Durations by size: a histogram whose bounds are powers of two nanoseconds, so that its bucket is one count of leading
//! zeros away; and one whose bounds somebody chose. Pure data; a lane keeps two of the first kind under the lock that it
//! holds for its tally anyway.
//!
//! ```text
//!   bucket   0         1         2       ...   24        25
//!   up to    4.096 us  8.192 us  16.4 us ...   68.7 s    any
//! ```
//!
//! Invariant: every duration is in one bucket, the first whose bound it does not pass.

use std::sync::Arc;

/// The bits of the first bound.
const FIRST_BITS: u32 = 12;
/// Buckets with a bound; one more holds what is longer.
const BOUNDED_LEN: usize = 25;

/// Durations by size.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Histogram {
    counts: [u64; BOUNDED_LEN + 1],
    ns: u64,
}

impl Histogram {
    /// Counts a duration.
    #[inline]
    pub(crate) fn add(&mut self, ns: u64) {
        let bits = u64::BITS - (ns.saturating_sub(1) >> FIRST_BITS).leading_zeros();
        self.counts[(bits as usize).min(BOUNDED_LEN)] += 1;
        self.ns += ns;
    }

    /// Adds what another has counted.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.counts.iter_mut().zip(other.counts).for_each(|(own, other)| *own += other);
        self.ns += other.ns;
    }

    /// The bounds in seconds, each with how many were no longer; then how many there were.
    pub(crate) fn cumulative(&self) -> (Vec<(f64, u64)>, u64) {
        let mut sum = 0;
        let bounded = self.counts.iter().take(BOUNDED_LEN).enumerate().map(|(index, count)| {
            sum += count;
            (((1u64 << FIRST_BITS) << index) as f64 / 1e9, sum)
        });
        (bounded.collect(), self.counts.iter().sum())
    }

    /// The sum of all durations, in seconds.
    pub(crate) fn seconds(&self) -> f64 {
        self.ns as f64 / 1e9
    }
}

/// Upper bounds that rise, as they are told and in nanoseconds.
#[derive(Debug, PartialEq)]
pub(crate) struct Buckets {
    told: Vec<f64>,
    ns: Vec<u64>,
    unit_ns: f64,
}

impl Buckets {
    /// Bounds in a unit of so many nanoseconds.
    pub(crate) fn new(told: &[f64], unit_ns: f64) -> Arc<Self> {
        let ns = |bound: &f64| (bound * unit_ns).round() as u64;
        Arc::new(Buckets { told: told.to_vec(), ns: told.iter().map(ns).collect(), unit_ns })
    }
}

/// Durations by bounds that somebody chose.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Spread {
    buckets: Arc<Buckets>,
    /// One more than there are bounds.
    counts: Vec<u64>,
    ns: u64,
}

impl Spread {
    pub(crate) fn new(buckets: Arc<Buckets>) -> Self {
        Spread { counts: vec![0; buckets.ns.len() + 1], buckets, ns: 0 }
    }

    /// Counts a duration.
    pub(crate) fn add(&mut self, ns: u64) {
        self.count(ns, 1);
        self.ns += ns;
    }

    /// Adds what another has counted. Where its bounds are others, each of its buckets counts as the longest that is in it,
    /// so that no count under a bound is more than it was.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.merge_by(other.buckets.ns.iter().copied(), &other.counts);
        self.ns += other.ns;
    }

    /// As [`Spread::merge`].
    pub(crate) fn merge_histogram(&mut self, other: &Histogram) {
        self.merge_by((0..BOUNDED_LEN).map(|index| (1 << FIRST_BITS) << index), &other.counts);
        self.ns += other.ns;
    }

    fn merge_by(&mut self, bounds: impl Iterator<Item = u64>, counts: &[u64]) {
        for (bound, count) in bounds.map(Some).chain([None]).zip(counts) {
            match bound {
                Some(bound) => self.count(bound, *count),
                None => self.counts.last_mut().into_iter().for_each(|last| *last += count),
            }
        }
    }

    fn count(&mut self, ns: u64, count: u64) {
        let bucket = self.buckets.ns.partition_point(|bound| *bound < ns);
        self.counts[bucket] += count;
    }

    /// As [`Histogram::cumulative`], in the unit of the bounds.
    pub(crate) fn cumulative(&self) -> (Vec<(f64, u64)>, u64) {
        let mut sum = 0;
        let bounded = self.buckets.told.iter().zip(&self.counts).map(|(bound, count)| {
            sum += count;
            (*bound, sum)
        });
        (bounded.collect(), self.counts.iter().sum())
    }

    /// The sum of all durations, in the unit of the bounds.
    pub(crate) fn sum(&self) -> f64 {
        self.ns as f64 / self.buckets.unit_ns
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_in_the_first_bucket_whose_bound_it_does_not_pass() {
        for (ns, bucket) in [
            (0, 0),
            (1, 0),
            (4096, 0),
            (4097, 1),
            (8192, 1),
            (8193, 2),
            (1 << 36, 24),
            ((1 << 36) + 1, 25),
            (u64::MAX, 25),
        ] {
            let mut histogram = Histogram::default();
            histogram.add(ns);
            assert_eq!(histogram.counts.iter().position(|count| *count == 1), Some(bucket), "{ns}");
            let (bounds, count) = histogram.cumulative();
            assert_eq!(count, 1);
            assert!(bounds.iter().all(|(bound, below)| (*below == 1) == (ns as f64 / 1e9 <= *bound)), "{ns}");
        }
    }

    #[test]
    fn sums_are_those_of_the_durations() {
        let mut histogram = Histogram::default();
        [1_000, 2_000_000, 3_000_000_000].into_iter().for_each(|ns| histogram.add(ns));
        assert_eq!((histogram.seconds(), histogram.cumulative().1), (3.002001, 3));
    }

    #[test]
    fn durations_are_counted_by_the_bounds_that_were_chosen() {
        let mut spread = Spread::new(Buckets::new(&[1.0, 2.5, 100.0], 1e6));
        [1_000_000, 1_000_001, 2_500_000, 100_000_000, 6_000_000_000].into_iter().for_each(|ns| spread.add(ns));
        assert_eq!((spread.cumulative(), spread.sum()), ((vec![(1.0, 1), (2.5, 3), (100.0, 4)], 5), 6104.500001));
    }

    #[test]
    fn what_was_counted_by_other_bounds_counts_as_the_longest_it_can_be() {
        let mut spread = Spread::new(Buckets::new(&[2.0, 5.0, 1e6], 1e6));
        let mut other = Spread::new(Buckets::new(&[1.0, 3.0], 1e6));
        [900_000, 2_000_000, 4_000_000].into_iter().for_each(|ns| other.add(ns));
        spread.merge(&other);
        assert_eq!(spread.cumulative(), (vec![(2.0, 1), (5.0, 2), (1e6, 2)], 3));
        let mut histogram = Histogram::default();
        // Of 4 096 nanoseconds at most, of 8.4 milliseconds at most, and without a bound.
        [4_000, 5_000_000, u64::MAX >> 1].into_iter().for_each(|ns| histogram.add(ns));
        spread.merge_histogram(&histogram);
        assert_eq!(spread.cumulative(), (vec![(2.0, 2), (5.0, 3), (1e6, 4)], 6));
        let mut same = Spread::new(Buckets::new(&[1.0, 3.0], 1e6));
        same.merge(&other);
        assert_eq!(same, other);
    }
}
