//! The mutex of the engine: parking_lot's, or loom's behind the same face. Never poisoned.

#[cfg(not(loom))]
pub(crate) use parking_lot::{Mutex, MutexGuard};

/// Where any number of threads sleep until they are woken, one by one.
#[cfg(all(feature = "capi", not(loom)))]
pub(crate) struct Condvar(parking_lot::Condvar);

#[cfg(all(feature = "capi", not(loom)))]
impl Condvar {
    pub(crate) fn new() -> Self {
        Condvar(parking_lot::Condvar::new())
    }

    /// Wakes one sleeper.
    pub(crate) fn notify_one(&self) {
        self.0.notify_one();
    }

    /// Sleeps without the lock until woken, or until the time; may return early. Whether the time has come.
    pub(crate) fn wait<T>(&self, guard: &mut MutexGuard<'_, T>, until: Option<std::time::Instant>) -> bool {
        match until {
            Some(until) => self.0.wait_until(guard, until).timed_out(),
            None => {
                self.0.wait(guard);
                false
            }
        }
    }
}

/// So many nanoseconds from now; `None` for more than any clock counts.
#[cfg(all(feature = "capi", not(loom)))]
pub(crate) fn deadline(timeout_ns: u64) -> Option<std::time::Instant> {
    let timeout = std::time::Duration::from_nanos(timeout_ns);
    (timeout_ns < u64::MAX).then(|| std::time::Instant::now().checked_add(timeout)).flatten()
}

#[cfg(loom)]
pub(crate) use loom::sync::MutexGuard;

#[cfg(loom)]
pub(crate) struct Mutex<T>(loom::sync::Mutex<T>);

#[cfg(loom)]
impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Self {
        Mutex(loom::sync::Mutex::new(value))
    }

    pub(crate) fn into_inner(self) -> T {
        self.0.into_inner().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    pub(crate) fn lock(&self) -> loom::sync::MutexGuard<'_, T> {
        self.0.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

#[cfg(loom)]
impl<T: Default> Default for Mutex<T> {
    fn default() -> Self {
        Mutex::new(T::default())
    }
}
