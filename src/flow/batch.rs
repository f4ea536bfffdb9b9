//! When a batch is closed: a pure decision over what waits and what time it is.
//!
//! The policy is asked while an instance is free, so that a batch grows until the moment it can run. Invariants: 1. it
//! never waits past the delay of the oldest request, in this batch or not: a free instance is not kept from who could have
//! it; 2. it never waits when the batch is full, when a preferred size is reached, when no delay is configured or when the
//! lane drains; 3. `Wait` names the rows that would end the wait.

use super::queue::View;
use crate::observe::Cut;

/// What a lane's batches look like.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Policy {
    /// The most rows of a batch; 0: one request at a time.
    pub(crate) rows_max: usize,
    /// Sizes that close a batch at once, rising.
    pub(crate) preferred: Vec<usize>,
    /// How long the oldest request may wait for more, in nanoseconds.
    pub(crate) delay: u64,
}

/// What the leader does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing waits.
    Idle,
    /// Run a batch of at most `rows`.
    Close { rows: usize, why: Cut },
    /// Wait until then, or until `rows` wait.
    Wait { until: u64, rows: usize },
}

impl Policy {
    /// The decision for what `view` shows at `now`.
    pub(crate) fn step(&self, view: View, is_draining: bool, now: u64) -> Step {
        if view.len == 0 {
            return Step::Idle;
        }
        if self.rows_max == 0 {
            return Step::Close { rows: 1, why: Cut::Single };
        }
        if view.rows >= self.rows_max {
            return Step::Close { rows: self.rows_max, why: Cut::Full };
        }
        if is_draining {
            return Step::Close { rows: self.rows_max, why: Cut::Drain };
        }
        if let Some(rows) = self.preferred.iter().rev().find(|size| **size <= view.rows) {
            return Step::Close { rows: *rows, why: Cut::Preferred };
        }
        let until = view.oldest.saturating_add(self.delay);
        if now >= until {
            let why = if self.delay == 0 { Cut::Ready } else { Cut::Delay };
            return Step::Close { rows: self.rows_max, why };
        }
        let rows = self.preferred.iter().copied().find(|size| *size > view.rows).unwrap_or(self.rows_max);
        Step::Wait { until, rows }
    }

    /// Whether a request of `rows` that arrives now and finds nobody would run at once, alone.
    pub(crate) fn runs_alone(&self, rows: usize) -> Option<Cut> {
        match self.step(View { rows, oldest: 0, len: 1 }, false, 0) {
            Step::Close { why, .. } => Some(why),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn policy(rows_max: usize, preferred: &[usize], delay: u64) -> Policy {
        Policy { rows_max, preferred: preferred.to_vec(), delay }
    }

    fn view(rows: usize, oldest: u64) -> View {
        View { rows, oldest, len: rows }
    }

    const fn close(rows: usize, why: Cut) -> Step {
        Step::Close { rows, why }
    }

    #[test]
    fn a_batch_closes_for_its_reason_and_not_before() {
        let wait = |until, rows| Step::Wait { until, rows };
        let rows: &[(&str, Policy, View, u64, Step)] = &[
            ("nothing waits", policy(8, &[], 0), view(0, 0), 9, Step::Idle),
            ("batching is off", policy(0, &[], 0), view(3, 0), 9, close(1, Cut::Single)),
            ("no delay", policy(8, &[], 0), view(3, 5), 5, close(8, Cut::Ready)),
            ("full", policy(8, &[4], 100), view(8, 5), 5, close(8, Cut::Full)),
            ("more than full", policy(8, &[], 100), view(9, 5), 5, close(8, Cut::Full)),
            ("delay begins", policy(8, &[], 100), view(3, 5), 5, wait(105, 8)),
            ("delay lasts", policy(8, &[], 100), view(3, 5), 104, wait(105, 8)),
            ("delay ends", policy(8, &[], 100), view(3, 5), 105, close(8, Cut::Delay)),
            ("a preferred size", policy(8, &[2, 4], 100), view(4, 5), 5, close(4, Cut::Preferred)),
            ("between preferred sizes", policy(8, &[2, 4], 100), view(3, 5), 5, close(2, Cut::Preferred)),
            ("below preferred sizes", policy(8, &[2, 4], 100), view(1, 5), 5, wait(105, 2)),
            ("below, delay over", policy(8, &[2, 4], 100), view(1, 5), 105, close(8, Cut::Delay)),
            ("preferred without delay", policy(8, &[4], 0), view(3, 5), 5, close(8, Cut::Ready)),
            ("a delay without end", policy(8, &[], u64::MAX), view(3, 5), 9, wait(u64::MAX, 8)),
        ];
        for (name, policy, view, now, step) in rows {
            assert_eq!(policy.step(*view, false, *now), *step, "{name}");
        }
    }

    #[test]
    fn a_draining_lane_waits_for_nothing() {
        assert_eq!(policy(8, &[4], 100).step(view(1, 5), true, 5), close(8, Cut::Drain));
        assert_eq!(policy(8, &[4], 100).step(view(0, 5), true, 5), Step::Idle);
    }

    #[test]
    fn a_request_runs_alone_only_where_nothing_else_is_worth_waiting_for() {
        assert_eq!(policy(0, &[], 0).runs_alone(1), Some(Cut::Single));
        assert_eq!(policy(8, &[], 0).runs_alone(1), Some(Cut::Ready));
        assert_eq!(policy(8, &[], 100).runs_alone(1), None);
        assert_eq!(policy(8, &[1, 4], 100).runs_alone(1), Some(Cut::Preferred));
        assert_eq!(policy(8, &[], 100).runs_alone(8), Some(Cut::Full));
    }

    proptest::proptest! {
        #[test]
        fn time_alone_always_closes_a_batch(rows_max in 1usize..20, preferred in proptest::collection::vec(1usize..20, 0..3),
            delay in 0u64..1_000, rows in 1usize..20, oldest in 0u64..1_000, now in 0u64..3_000) {
            let mut preferred = preferred;
            preferred.sort_unstable();
            let policy = policy(rows_max, &preferred, delay);
            match policy.step(view(rows, oldest), false, now) {
                Step::Wait { until, rows: wanted } => {
                    assert!(until > now && until == oldest + delay && wanted > rows);
                    let later = policy.step(view(rows, oldest), false, until);
                    let closed = matches!(later, Step::Close { .. });
                    assert!(closed);
                }
                Step::Close { rows: closed, .. } => assert!(closed > 0),
                Step::Idle => panic!("{rows} rows wait"),
            }
        }
    }
}
