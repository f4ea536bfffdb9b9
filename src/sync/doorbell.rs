//! A doorbell: one thread waits, any thread rings. A ring without a waiter is kept, so none is lost.
//!
//! `EMPTY -> RUNG` by a ring; `EMPTY -> PARKED` by the waiter before it sleeps; `PARKED -> RUNG` by a ring, which then
//! wakes the waiter; `RUNG -> EMPTY` by the waiter when it goes on. Before sleeping the waiter spins for a bounded,
//! adaptive number of turns: spins that paid off double the bound, spins in vain halve it.

use super::{AtomicU32, Ordering, thread};
use std::time::Duration;

const EMPTY: u32 = 0;
const RUNG: u32 = 1;
const PARKED: u32 = 2;

/// Wakes one waiting thread.
pub(crate) struct Doorbell {
    state: AtomicU32,
    /// How many turns the next wait spins; moves between 1 and the waiter's maximum.
    spin: AtomicU32,
    sleeper: sleep::Sleeper,
}

impl Doorbell {
    pub(crate) fn new() -> Self {
        Doorbell { state: AtomicU32::new(EMPTY), spin: AtomicU32::new(1), sleeper: sleep::Sleeper::new() }
    }

    /// Wakes the waiter, or lets the next wait return at once. Never blocks.
    pub(crate) fn ring(&self) {
        if self.state.swap(RUNG, Ordering::AcqRel) == PARKED {
            self.sleeper.wake();
        }
    }

    /// Forgets a ring that nobody came for; nobody else can reach it.
    pub(crate) fn reset(&mut self) {
        self.state = AtomicU32::new(EMPTY);
    }

    /// Waits for a ring; `spin_max` is the largest number of turns to spin before sleeping. One thread at a time.
    pub(crate) fn wait(&self, spin_max: u32) {
        self.wait_for(spin_max, None);
    }

    /// Waits for a ring, at most as long as `timeout` says. One thread at a time. Whether it rang.
    pub(crate) fn wait_for(&self, spin_max: u32, timeout: Option<Duration>) -> bool {
        if self.spin(spin_max) {
            return true;
        }
        self.sleeper.prepare();
        if self.state.compare_exchange(EMPTY, PARKED, Ordering::AcqRel, Ordering::Acquire).is_err() {
            self.state.store(EMPTY, Ordering::Relaxed);
            return true;
        }
        self.sleeper.sleep(timeout, || self.state.load(Ordering::Acquire) == RUNG);
        self.state.swap(EMPTY, Ordering::AcqRel) == RUNG
    }

    /// Takes a ring that came already.
    fn answer(&self) -> bool {
        self.state.load(Ordering::Relaxed) == RUNG
            && self.state.compare_exchange(RUNG, EMPTY, Ordering::AcqRel, Ordering::Relaxed).is_ok()
    }

    fn spin(&self, spin_max: u32) -> bool {
        if self.answer() {
            return true;
        }
        if spin_max == 0 || thread::cores() == 1 {
            return false;
        }
        let bound = self.spin.load(Ordering::Relaxed).min(spin_max);
        let rang = (0..bound).any(|_| {
            thread::relax();
            self.answer()
        });
        let next = if rang { bound.saturating_mul(2).min(spin_max) } else { (bound / 2).max(1) };
        self.spin.store(next, Ordering::Relaxed);
        rang
    }
}

#[cfg(not(loom))]
mod sleep {
    use crate::sync::Slot;
    use std::thread::Thread;
    use std::time::{Duration, Instant};

    /// Sleeps by the thread's own parking token: no lock, one system call.
    pub(super) struct Sleeper {
        thread: Slot<Option<Thread>>,
    }

    impl Sleeper {
        pub(super) fn new() -> Self {
            Sleeper { thread: Slot::new(None) }
        }

        pub(super) fn prepare(&self) {
            let mut thread = self.thread.lock();
            let current = std::thread::current();
            if thread.as_ref().is_none_or(|known| known.id() != current.id()) {
                *thread = Some(current);
            }
        }

        pub(super) fn wake(&self) {
            let thread = self.thread.lock().clone();
            if let Some(thread) = thread {
                thread.unpark();
            }
        }

        pub(super) fn sleep(&self, timeout: Option<Duration>, woken: impl Fn() -> bool) {
            let end = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
            while !woken() {
                match end {
                    None => std::thread::park(),
                    Some(end) => {
                        let left = end.saturating_duration_since(Instant::now());
                        if left.is_zero() {
                            return;
                        }
                        std::thread::park_timeout(left);
                    }
                }
            }
        }
    }
}

#[cfg(loom)]
mod sleep {
    use loom::sync::{Condvar, Mutex};
    use std::time::Duration;

    pub(super) struct Sleeper {
        lock: Mutex<()>,
        signal: Condvar,
    }

    impl Sleeper {
        pub(super) fn new() -> Self {
            Sleeper { lock: Mutex::new(()), signal: Condvar::new() }
        }

        pub(super) fn prepare(&self) {}

        pub(super) fn wake(&self) {
            drop(self.lock.lock());
            self.signal.notify_one();
        }

        pub(super) fn sleep(&self, _timeout: Option<Duration>, woken: impl Fn() -> bool) {
            let mut guard = self.lock.lock().unwrap();
            while !woken() {
                guard = self.signal.wait(guard).unwrap();
            }
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_ring_before_the_wait_is_kept_and_taken_once() {
        let bell = Doorbell::new();
        bell.ring();
        bell.ring();
        assert!(bell.wait_for(0, None));
        assert!(!bell.wait_for(0, Some(Duration::ZERO)));
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn loom_no_ring_is_lost() {
        loom::model(|| {
            let bell = Arc::new(Doorbell::new());
            let other = bell.clone();
            let ringer = loom::thread::spawn(move || other.ring());
            bell.wait(1);
            ringer.join().unwrap();
        });
    }
}
