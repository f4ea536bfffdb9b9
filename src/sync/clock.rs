//! Time as a value: nanoseconds, from the system's monotonic clock or from a test's hand.

use super::{AtomicU64, Doorbell, Mutex, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Where the engine reads time.
#[derive(Clone)]
pub(crate) enum Clock {
    /// The monotonic clock of the system.
    System,
    /// A clock that stands still until a test moves it.
    Manual(ManualClock),
}

impl Clock {
    /// Nanoseconds on this clock; never falls.
    pub(crate) fn now(&self) -> u64 {
        match self {
            Clock::System => monotonic::now(),
            Clock::Manual(clock) => clock.inner.now.load(Ordering::Acquire),
        }
    }

    /// Milliseconds since 1970 when this clock showed `at`, by the system's calendar as it is now.
    pub(crate) fn epoch_ms(&self, at: u64) -> u64 {
        let today = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let since = Duration::from_nanos(self.now().saturating_sub(at));
        u64::try_from(today.saturating_sub(since).as_millis()).unwrap_or(u64::MAX)
    }

    /// What this clock shows, or will show, at `instant`; a manual clock takes the real distance from now. 0 for
    /// an instant that is past.
    pub(crate) fn reading(&self, instant: Instant) -> u64 {
        // An `Instant` does not tell its number; its distance from now does.
        let Some(left) = instant.checked_duration_since(Instant::now()) else { return 0 };
        self.now().saturating_add(u64::try_from(left.as_nanos()).unwrap_or(u64::MAX))
    }

    /// Waits until `bell` rings or this clock shows `until`. May return early; the caller looks again.
    pub(crate) fn wait(&self, bell: &Arc<Doorbell>, until: Option<u64>) {
        match (self, until) {
            (_, None) => bell.wait(0),
            (Clock::System, Some(until)) => {
                let left = until.saturating_sub(self.now());
                if left > 0 {
                    bell.wait_for(0, Some(Duration::from_nanos(left)));
                }
            }
            (Clock::Manual(clock), Some(until)) => {
                clock.watch(bell);
                if self.now() < until {
                    bell.wait(0);
                }
            }
        }
    }
}

/// The system's monotonic clock as a number: half the cost of an `Instant` and its conversion.
#[cfg(unix)]
mod monotonic {
    /// Nanoseconds of `CLOCK_MONOTONIC`.
    #[inline]
    pub(super) fn now() -> u64 {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: `time` is a valid place to write to, and every Unix has this clock.
        unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
        time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
    }
}

#[cfg(not(unix))]
mod monotonic {
    use std::sync::OnceLock;
    use std::time::Instant;

    /// Nanoseconds since the first call.
    pub(super) fn now() -> u64 {
        static ORIGIN: OnceLock<Instant> = OnceLock::new();
        ORIGIN.get_or_init(Instant::now).elapsed().as_nanos() as u64
    }
}

/// A clock for tests: it stands still until it is advanced, and whoever waits on it is woken then.
///
/// # Examples
/// ```
/// use inferlay::ManualClock;
/// use std::time::Duration;
/// let clock = ManualClock::new();
/// clock.advance(Duration::from_millis(3));
/// assert_eq!(clock.elapsed(), Duration::from_millis(3));
/// ```
#[derive(Clone)]
pub struct ManualClock {
    inner: Arc<Manual>,
}

struct Manual {
    now: AtomicU64,
    watchers: Mutex<Vec<Weak<Doorbell>>>,
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new()
    }
}

impl ManualClock {
    /// A clock at zero.
    ///
    /// # Examples
    /// ```
    /// use inferlay::{ManualClock, ServerHandle};
    /// let clock = ManualClock::new();
    /// assert!(clock.elapsed().is_zero());
    /// let server = ServerHandle::builder().manual_clock(&clock).start()?;
    /// # assert!(server.is_live());
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn new() -> Self {
        ManualClock { inner: Arc::new(Manual { now: AtomicU64::new(0), watchers: Mutex::new(Vec::new()) }) }
    }

    /// Moves the clock forward and wakes whoever waits on it. Does not wait for what they then do.
    ///
    /// # Examples
    /// ```
    /// use inferlay::ManualClock;
    /// use std::time::Duration;
    /// let clock = ManualClock::new();
    /// // A clone is the same clock.
    /// clock.clone().advance(Duration::from_millis(2));
    /// clock.advance(Duration::from_millis(3));
    /// assert_eq!(clock.elapsed(), Duration::from_millis(5));
    /// ```
    pub fn advance(&self, by: Duration) {
        self.inner.now.fetch_add(by.as_nanos() as u64, Ordering::AcqRel);
        let watchers = std::mem::take(&mut *self.inner.watchers.lock());
        for bell in watchers.iter().filter_map(Weak::upgrade) {
            bell.ring();
        }
    }

    /// How far it was moved since it was made.
    ///
    /// # Examples
    /// ```
    /// use inferlay::ManualClock;
    /// use std::time::Duration;
    /// let clock = ManualClock::new();
    /// clock.advance(Duration::from_secs(1));
    /// assert_eq!(clock.elapsed(), Duration::from_secs(1));
    /// ```
    pub fn elapsed(&self) -> Duration {
        Duration::from_nanos(self.inner.now.load(Ordering::Acquire))
    }

    fn watch(&self, bell: &Arc<Doorbell>) {
        let mut watchers = self.inner.watchers.lock();
        if !watchers.iter().any(|known| known.as_ptr() == Arc::as_ptr(bell)) {
            watchers.push(Arc::downgrade(bell));
        }
    }
}

impl std::fmt::Debug for ManualClock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ManualClock({:?})", self.elapsed())
    }
}
