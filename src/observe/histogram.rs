//! Durations by size: a histogram whose bounds are powers of two nanoseconds, so that its bucket is one count of leading
//! zeros away. Pure data; a lane keeps two of them under the lock that it holds for its tally anyway.
//!
//! ```text
//!   bucket   0         1         2       ...   24        25
//!   up to    4.096 us  8.192 us  16.4 us ...   68.7 s    any
//! ```
//!
//! Invariant: every duration is in one bucket, the first whose bound it does not pass.

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

/// The time to the first response of a request, by Triton's bounds and some between them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct FirstResponses {
    counts: [u64; FirstResponses::BOUNDS_MS.len() + 1],
    ns: u64,
}

impl FirstResponses {
    const BOUNDS_MS: [u64; 12] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000];

    /// Counts a duration.
    pub(crate) fn add(&mut self, ns: u64) {
        let bucket = Self::BOUNDS_MS.partition_point(|bound| bound * 1_000_000 < ns);
        self.counts[bucket] += 1;
        self.ns += ns;
    }

    /// Adds what another has counted.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.counts.iter_mut().zip(other.counts).for_each(|(own, other)| *own += other);
        self.ns += other.ns;
    }

    /// As [`Histogram::cumulative`], in milliseconds.
    pub(crate) fn cumulative(&self) -> (Vec<(f64, u64)>, u64) {
        let mut sum = 0;
        let bounded = Self::BOUNDS_MS.iter().zip(self.counts).map(|(bound, count)| {
            sum += count;
            (*bound as f64, sum)
        });
        (bounded.collect(), self.counts.iter().sum())
    }

    /// The sum of all durations, in milliseconds.
    pub(crate) fn milliseconds(&self) -> f64 {
        self.ns as f64 / 1e6
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
    fn first_responses_have_the_bounds_that_dashboards_know() {
        let mut first = FirstResponses::default();
        [1_000_000, 1_000_001, 100_000_000, 6_000_000_000].into_iter().for_each(|ns| first.add(ns));
        let (bounds, count) = first.cumulative();
        let below = |ms: f64| bounds.iter().find(|(bound, _)| *bound == ms).map(|(_, count)| *count);
        assert_eq!([below(1.0), below(2.0), below(100.0), below(500.0), below(5000.0)], [1, 2, 3, 3, 3].map(Some));
        assert_eq!((below(2000.0), count, first.milliseconds()), (Some(3), 4, 6102.000001));
    }
}
