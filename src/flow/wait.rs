//! How long requests of one priority wait, and what becomes of those that have waited longer. Pure data; time is a value.
//!
//! ```text
//!   the caller's deadline -----------------------------.
//!   the queue's timeout, or the request's, if shorter ---+-- REJECT: the sooner of the two ends the wait
//!                                                        '-- DELAY:  only the deadline does; the timeout makes it late
//! ```
//!
//! Invariants: 1. A timeout of the queue ends a wait, never an execution. 2. A request shortens the timeout of its queue
//! only where the queue allows it, and never lengthens it. 3. The caller's deadline holds whatever the queue says.

/// What becomes of a request that has waited for too long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Late {
    /// It is answered with an error.
    #[default]
    Reject,
    /// It is served after all of its priority that are in time.
    Delay,
}

/// How the requests of one priority wait.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Wait {
    /// Nanoseconds for which a request waits in time; `None`: for ever.
    pub(crate) timeout: Option<u64>,
    pub(crate) late: Late,
    /// Whether a request may state a timeout that is shorter.
    pub(crate) may_shorten: bool,
    /// How many of this priority may wait, where there are several; `None`: as many as the lane has places.
    pub(crate) queued_max: Option<usize>,
}

/// Until when a request waits; `u64::MAX` for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Until {
    /// From then on it does not wait any more, and does not run.
    pub(crate) ends: u64,
    /// From then on those of its priority that are in time go first.
    pub(crate) late: u64,
}

impl Wait {
    /// Of a request that comes `now`, with a deadline and a timeout of its own in nanoseconds, where 0 is none.
    pub(crate) fn until(&self, now: u64, deadline: Option<u64>, own: u64) -> Until {
        let own = Some(own).filter(|own| self.may_shorten && *own > 0);
        let timeout = [self.timeout, own].into_iter().flatten().min();
        let over = timeout.map_or(u64::MAX, |timeout| now.saturating_add(timeout));
        let ends = deadline.unwrap_or(u64::MAX);
        match self.late {
            Late::Reject => Until { ends: ends.min(over), late: u64::MAX },
            Late::Delay => Until { ends, late: over },
        }
    }

    fn can_be_over(&self) -> bool {
        self.timeout.is_some() || self.may_shorten
    }
}

/// How requests wait, by level.
#[derive(Clone, Debug)]
pub(crate) struct Waits(Vec<Wait>);

impl Waits {
    /// One for each level, the most urgent first; nothing for none of its own.
    pub(crate) fn new(levels: Vec<Wait>) -> Self {
        Waits(if levels.is_empty() { vec![Wait::default()] } else { levels })
    }

    /// That of a level; levels beyond the last count as the last.
    pub(crate) fn of(&self, level: usize) -> &Wait {
        &self.0[level.min(self.0.len() - 1)]
    }

    /// The largest bound of a level, if each has one.
    pub(crate) fn queued_max(&self) -> Option<usize> {
        self.0.iter().map(|wait| wait.queued_max).try_fold(0, |most, max| max.map(|max| max.max(most)))
    }

    /// Whether a wait may end without a deadline of the caller's.
    pub(crate) fn can_end(&self) -> bool {
        self.0.iter().any(|wait| wait.late == Late::Reject && wait.can_be_over())
    }

    /// Whether a request may become late.
    pub(crate) fn can_delay(&self) -> bool {
        self.0.iter().any(|wait| wait.late == Late::Delay && wait.can_be_over())
    }
}

impl Default for Waits {
    fn default() -> Self {
        Waits::new(Vec::new())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVER: u64 = u64::MAX;

    #[test]
    fn the_queue_ends_or_delays_and_the_deadline_holds_in_any_case() {
        let wait = |timeout, late, may_shorten| Wait { timeout, late, may_shorten, queued_max: None };
        let (none, ten) = (wait(None, Late::Reject, false), wait(Some(10), Late::Reject, false));
        let (open, shorter) = (wait(None, Late::Reject, true), wait(Some(10), Late::Reject, true));
        let (delay, delay_shorter) = (wait(Some(10), Late::Delay, false), wait(Some(10), Late::Delay, true));
        // At 100: the deadline, the request's own timeout; when the wait ends, when it is late.
        let rows: &[(&Wait, Option<u64>, u64, u64, u64)] = &[
            (&none, None, 0, EVER, EVER),
            (&none, Some(150), 5, 150, EVER),
            (&ten, None, 0, 110, EVER),
            (&ten, None, 5, 110, EVER),
            (&ten, Some(105), 0, 105, EVER),
            (&ten, Some(150), 0, 110, EVER),
            (&open, None, 0, EVER, EVER),
            (&open, None, 5, 105, EVER),
            (&shorter, None, 5, 105, EVER),
            (&shorter, None, 50, 110, EVER),
            (&shorter, Some(103), 5, 103, EVER),
            (&delay, None, 0, EVER, 110),
            (&delay, Some(150), 5, 150, 110),
            (&delay_shorter, Some(105), 5, 105, 105),
            (&delay_shorter, None, 50, EVER, 110),
        ];
        for (wait, deadline, own, ends, late) in rows {
            let found = wait.until(100, *deadline, *own);
            assert_eq!(found, Until { ends: *ends, late: *late }, "{wait:?} {deadline:?} {own}");
        }
        assert_eq!(ten.until(EVER, None, 0).ends, EVER);
    }

    #[test]
    fn a_lane_knows_what_may_happen_to_its_requests() {
        let timeout = Some(10);
        let (reject, delay) = (Wait { timeout, ..Wait::default() }, Wait { late: Late::Delay, ..Wait::default() });
        let says = |levels: &[&Wait]| {
            let waits = Waits::new(levels.iter().map(|wait| (*wait).clone()).collect());
            (waits.can_end(), waits.can_delay())
        };
        assert_eq!(says(&[]), (false, false));
        assert_eq!(says(&[&delay]), (false, false), "it is never late");
        assert_eq!(says(&[&delay, &reject]), (true, false));
        assert_eq!(says(&[&Wait { timeout, ..delay.clone() }]), (false, true));
        assert_eq!(says(&[&Wait { may_shorten: true, ..delay }, &reject]), (true, true));
        assert_eq!(Waits::default().of(7), &Wait::default());
    }

    #[test]
    fn the_largest_bound_is_known_where_every_level_has_one() {
        let most = |levels: &[Option<usize>]| {
            let wait = |queued_max: &Option<usize>| Wait { queued_max: *queued_max, ..Wait::default() };
            Waits::new(levels.iter().map(wait).collect()).queued_max()
        };
        assert_eq!([most(&[]), most(&[Some(3), None]), most(&[Some(3), Some(9), Some(1)])], [None, None, Some(9)]);
    }
}
