//! The mutex of the engine: parking_lot's, or loom's behind the same face. Never poisoned.

#[cfg(not(loom))]
pub(crate) use parking_lot::{Mutex, MutexGuard};

/// Where any number of threads sleep until they are woken.
#[cfg(not(loom))]
pub(crate) struct Condvar(parking_lot::Condvar);

#[cfg(not(loom))]
impl Condvar {
    pub(crate) fn new() -> Self {
        Condvar(parking_lot::Condvar::new())
    }

    /// Wakes one sleeper.
    pub(crate) fn notify_one(&self) {
        self.0.notify_one();
    }

    /// Wakes all sleepers.
    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }

    /// Sleeps without the lock until woken, or until the time; may return early. The lock, and whether the time has come.
    pub(crate) fn wait<'a, T>(
        &self,
        mut guard: MutexGuard<'a, T>,
        until: Option<std::time::Instant>,
    ) -> (MutexGuard<'a, T>, bool) {
        let is_late = match until {
            Some(until) => self.0.wait_until(&mut guard, until).timed_out(),
            None => {
                self.0.wait(&mut guard);
                false
            }
        };
        (guard, is_late)
    }
}

/// So many nanoseconds from now; `None` for more than any clock counts.
pub(crate) fn deadline(timeout_ns: u64) -> Option<std::time::Instant> {
    let timeout = std::time::Duration::from_nanos(timeout_ns);
    (timeout_ns < u64::MAX).then(|| std::time::Instant::now().checked_add(timeout)).flatten()
}

/// As above; no time passes in a model.
#[cfg(loom)]
pub(crate) struct Condvar(loom::sync::Condvar);

#[cfg(loom)]
impl Condvar {
    pub(crate) fn new() -> Self {
        Condvar(loom::sync::Condvar::new())
    }

    pub(crate) fn notify_one(&self) {
        self.0.notify_one();
    }

    pub(crate) fn notify_all(&self) {
        self.0.notify_all();
    }

    pub(crate) fn wait<'a, T>(
        &self,
        guard: MutexGuard<'a, T>,
        _until: Option<std::time::Instant>,
    ) -> (MutexGuard<'a, T>, bool) {
        (self.0.wait(guard).unwrap_or_else(|poisoned| poisoned.into_inner()), false)
    }
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
