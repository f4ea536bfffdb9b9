//! How near a model is to the most that it can serve, from 0 to 1, for autoscalers. Pure: callers bring the totals and
//! the time.
//!
//! ```text
//!   work   = share of its instances' time spent executing, between two looks
//!            * (1 + rows per execution / most rows) / 2      where it batches
//!   wait   = mean time in the queue / default deadline       where it has one
//!   queue  = requests that wait now / most that may wait
//!   load   = the largest of these; 1 when a request was refused for a full queue, or expired
//!   value += (load - value) * (1 - exp(-elapsed / 10 s))
//! ```
//!
//! A model that batches is busy all the time long before it is full, because a batch leaves as soon as an instance is free
//! and the next one grows meanwhile: with batches nearly empty it counts as half saturated. Looks less than a second apart
//! give the same value, so that a second reader does not disturb the first.

/// The time in which a change shows by two thirds.
const WINDOW_NS: f64 = 10e9;
/// Looks that are nearer than this change nothing.
const LOOK_NS_MIN: u64 = 1_000_000_000;

/// What a model has done until a time; sums since it was loaded.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Totals {
    pub(crate) at: u64,
    /// Nanoseconds that instances were away from the lane, executions under way included.
    pub(crate) busy_ns: u64,
    pub(crate) executions: u64,
    pub(crate) rows: u64,
    pub(crate) requests: u64,
    /// Nanoseconds that these requests waited.
    pub(crate) waited_ns: u64,
    /// Requests that were refused for a full queue or expired.
    pub(crate) turned_away: u64,
}

/// What a model is measured by.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Bounds {
    pub(crate) instances: usize,
    /// Rows that a batch may have; 1 for a model that does not batch.
    pub(crate) rows_max: usize,
    /// The default deadline.
    pub(crate) wait_ns_max: Option<u64>,
    /// Requests that wait now.
    pub(crate) queue_len: usize,
    pub(crate) queue_len_max: usize,
}

/// The smoothed value and what it was last seen from.
#[derive(Clone, Debug)]
pub(crate) struct Saturation {
    last: Totals,
    value: f64,
}

impl Saturation {
    /// Of a model that was loaded at this time.
    pub(crate) fn new(at: u64) -> Self {
        Saturation { last: Totals { at, ..Totals::default() }, value: 0.0 }
    }

    /// The value now.
    pub(crate) fn look(&mut self, now: &Totals, bounds: &Bounds) -> f64 {
        let elapsed = now.at.saturating_sub(self.last.at);
        if elapsed >= LOOK_NS_MIN {
            let weight = 1.0 - (-(elapsed as f64) / WINDOW_NS).exp();
            self.value += (load(&self.last, now, bounds) - self.value) * weight;
            self.last = *now;
        }
        self.value
    }
}

/// The load between two looks, from 0 to 1.
pub(crate) fn load(before: &Totals, now: &Totals, bounds: &Bounds) -> f64 {
    let since = |of: fn(&Totals) -> u64| of(now).saturating_sub(of(before)) as f64;
    if since(|totals| totals.turned_away) > 0.0 {
        return 1.0;
    }
    let ratio = |part: f64, whole: f64| if whole > 0.0 { (part / whole).min(1.0) } else { 0.0 };
    let busy = ratio(since(|totals| totals.busy_ns), since(|totals| totals.at) * bounds.instances.max(1) as f64);
    let executions = since(|totals| totals.executions);
    let fill = match executions > 0.0 && bounds.rows_max > 1 {
        true => ratio(since(|totals| totals.rows), executions * bounds.rows_max as f64),
        false => 1.0,
    };
    let wait = bounds.wait_ns_max.map_or(0.0, |wait_max| {
        ratio(since(|totals| totals.waited_ns), since(|totals| totals.requests) * wait_max as f64)
    });
    let queue = ratio(bounds.queue_len as f64, bounds.queue_len_max as f64);
    (busy * (1.0 + fill) / 2.0).max(wait).max(queue)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    const S: u64 = 1_000_000_000;

    fn check(now: Totals, bounds: Bounds, expected: f64) {
        let found = load(&Totals::default(), &now, &bounds);
        assert!((found - expected).abs() < 1e-9, "found {found}, expected {expected}: {now:?} {bounds:?}");
    }

    #[test]
    fn the_load_is_the_largest_of_work_wait_and_queue() {
        let now = Totals { at: 10 * S, busy_ns: 5 * S, executions: 10, rows: 10, requests: 10, ..Totals::default() };
        let bounds = Bounds { instances: 1, rows_max: 1, queue_len_max: 100, ..Bounds::default() };
        check(Totals { at: 10 * S, ..Totals::default() }, bounds, 0.0);
        check(now, bounds, 0.5);
        check(now, Bounds { instances: 2, ..bounds }, 0.25);
        check(now, Bounds { queue_len: 80, ..bounds }, 0.8);
        let late = Totals { waited_ns: 10 * 9 * S, ..now };
        check(late, bounds, 0.5);
        check(late, Bounds { wait_ns_max: Some(10 * S), ..bounds }, 0.9);
        check(late, Bounds { wait_ns_max: Some(S), ..bounds }, 1.0);
        check(Totals { turned_away: 1, ..now }, bounds, 1.0);
        // An execution that lasts longer than the time between two looks.
        check(Totals { at: 10 * S, busy_ns: 11 * S, ..Totals::default() }, bounds, 1.0);
        check(Totals::default(), Bounds::default(), 0.0);
    }

    #[test]
    fn a_model_that_batches_is_saturated_when_its_batches_are_full() {
        let bounds = Bounds { instances: 1, rows_max: 8, queue_len_max: 100, ..Bounds::default() };
        let rows = |rows| Totals { at: S, busy_ns: S, executions: 10, rows, requests: rows, ..Totals::default() };
        check(rows(10), bounds, 0.5625);
        check(rows(40), bounds, 0.75);
        check(rows(80), bounds, 1.0);
    }

    #[test]
    fn the_value_follows_the_load_and_two_readers_see_the_same() {
        let bounds = Bounds { instances: 1, rows_max: 1, ..Bounds::default() };
        let mut saturation = Saturation::new(100 * S);
        let mut totals = Totals { at: 100 * S, ..Totals::default() };
        let mut busy_for = |seconds: u64, saturation: &mut Saturation| {
            (totals.at, totals.busy_ns) = (totals.at + seconds * S, totals.busy_ns + seconds * S);
            let value = saturation.look(&totals, &bounds);
            assert_eq!(saturation.look(&Totals { at: totals.at + S - 1, ..totals }, &bounds), value);
            value
        };
        let risen = busy_for(10, &mut saturation);
        assert!((risen - (1.0 - (-1f64).exp())).abs() < 1e-9, "{risen}");
        assert!(busy_for(10, &mut saturation) > risen);
        assert!(busy_for(100, &mut saturation) > 0.999);
        let idle = Totals { at: totals.at + 1000 * S, ..totals };
        assert!(saturation.look(&idle, &bounds) < 0.001);
    }
}
