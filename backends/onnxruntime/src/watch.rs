//! Interrupts executions that nobody waits for any more: all of whose requests are cancelled or late.
//!
//! The thread that executes cannot look, so another does: one for the whole process. It starts with the first instance,
//! looks every [`INTERVAL`] while there are executions, sleeps without a timeout when there have been none for
//! [`IDLE_ROUNDS_MAX`] rounds, and ends when no instance is left. An execution pays two locks of its instance's own,
//! which nobody else holds for long.
//!
//! Invariant: no execution goes unseen. The watcher says that it falls asleep before it looks at the seats a last time,
//! and an execution asks after it has taken its seat; the seat's lock orders the two, so that one sees the other.

use crate::raw::{Interrupt, Seat};
use inferlay_backend_sdk::Batch;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

/// How long an execution may outlast its last request, but for the operator that it is in.
const INTERVAL: Duration = Duration::from_millis(10);

/// About a second: whoever computes more often than that never finds the watcher asleep.
const IDLE_ROUNDS_MAX: u32 = if cfg!(test) { 2 } else { 100 };

static WATCHER: Mutex<Watcher> = Mutex::new(Watcher { seats: Vec::new(), running: false });
static WAKE: Condvar = Condvar::new();
static ASLEEP: AtomicBool = AtomicBool::new(false);

struct Watcher {
    seats: Vec<Weak<Seat>>,
    running: bool,
}

impl Watcher {
    /// Looks at every seat; whether there was an execution.
    fn look(&mut self) -> bool {
        let mut used = false;
        self.seats.retain(|seat| {
            seat.upgrade().is_some_and(|seat| {
                used |= seat.look();
                true
            })
        });
        used
    }
}

/// One instance whose executions are watched.
#[derive(Debug)]
pub(crate) struct Watched(Arc<Seat>);

impl Watched {
    /// Has the runs that `interrupt` ends watched. Without a thread for it they are not interrupted.
    pub(crate) fn new(interrupt: Interrupt) -> Self {
        let seat = Arc::new(Seat::new(interrupt));
        let mut watcher = lock();
        watcher.seats.push(Arc::downgrade(&seat));
        if !watcher.running {
            watcher.running = std::thread::Builder::new().name("inferlay-watch".to_owned()).spawn(work).is_ok();
        }
        Watched(seat)
    }

    /// Runs `work`, which may be interrupted when all requests of the batch are cancelled or late.
    pub(crate) fn during<T>(&self, batch: &dyn Batch, work: impl FnOnce() -> T) -> T {
        let wake_if_asleep = || {
            if ASLEEP.load(Ordering::Relaxed) {
                wake();
            }
        };
        self.0.during(batch, wake_if_asleep, work)
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // The watcher ends if this was the last one.
        if ASLEEP.load(Ordering::Relaxed) {
            wake();
        }
    }
}

fn wake() {
    let _watcher = lock();
    ASLEEP.store(false, Ordering::Relaxed);
    WAKE.notify_one();
}

fn work() {
    let mut watcher = lock();
    let mut idle_rounds = 0;
    while !watcher.seats.is_empty() {
        idle_rounds = if watcher.look() { 0 } else { idle_rounds + 1 };
        watcher = if idle_rounds < IDLE_ROUNDS_MAX {
            WAKE.wait_timeout(watcher, INTERVAL).unwrap_or_else(PoisonError::into_inner).0
        } else {
            idle_rounds = 0;
            sleep(watcher)
        };
    }
    watcher.running = false;
}

fn sleep(mut watcher: MutexGuard<'static, Watcher>) -> MutexGuard<'static, Watcher> {
    ASLEEP.store(true, Ordering::Relaxed);
    if watcher.look() || watcher.seats.is_empty() {
        ASLEEP.store(false, Ordering::Relaxed);
        return watcher;
    }
    let asleep = |_: &mut Watcher| ASLEEP.load(Ordering::Relaxed);
    WAKE.wait_while(watcher, asleep).unwrap_or_else(PoisonError::into_inner)
}

fn lock() -> MutexGuard<'static, Watcher> {
    WATCHER.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::impatient::{HOURS, Impatient, Impatients};
    use crate::{models, testing};
    use inferlay_backend_sdk::conformance::MemoryFiles;
    use inferlay_backend_sdk::{Device, ErrorKind, Instance, InstanceSpec};

    /// Waits until `condition` holds, for which only the watcher has to run.
    fn until(condition: impl Fn() -> bool) {
        while !condition() {
            std::thread::yield_now();
        }
    }

    fn check_interrupted(instance: &mut dyn Instance) {
        let batch = Impatients(vec![Impatient::new(HOURS, 1)]);
        instance.execute(&batch).unwrap();
        assert_eq!(batch.failed(), [Some(ErrorKind::Cancelled)]);
    }

    #[test]
    fn the_watcher_falls_asleep_is_woken_by_an_execution_and_ends_with_the_last_instance() {
        let mut files = MemoryFiles::default();
        files.insert("model.onnx", models::counting().encoded());
        let model = testing::load(&testing::backend(), "model.onnx", &files).unwrap();
        let spec = InstanceSpec { index: 0, device: Device::Cpu, threads_max: 1 };
        let mut instance = model.instance(&spec).unwrap();
        for _ in 0..3 {
            until(|| ASLEEP.load(Ordering::Relaxed));
            check_interrupted(&mut *instance);
        }
        until(|| ASLEEP.load(Ordering::Relaxed));
        drop(instance);
        until(|| !lock().running);
        // And another begins anew.
        let mut instance = model.instance(&spec).unwrap();
        check_interrupted(&mut *instance);
    }
}
