//! Where an instance shows its current batch to the watcher, which runs on another thread.

use super::Interrupt;
use inferlay_backend_sdk::{Batch, RequestInfo};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// One instance, as the watcher sees it.
///
/// Invariant: `requests` is empty but while [`Seat::during`] runs, and is used under the lock only.
#[derive(Debug)]
pub(crate) struct Seat {
    interrupt: Interrupt,
    current: Mutex<Current>,
}

#[derive(Debug, Default)]
struct Current {
    requests: Vec<Shown>,
    interrupted: bool,
    /// Whether there was an execution since the last look.
    used: bool,
}

#[derive(Debug)]
struct Shown(*const dyn RequestInfo);

// SAFETY: the pointer is used as `Seat::all_cancelled` says.
unsafe impl Send for Shown {}

impl Seat {
    /// A seat for an instance whose runs `interrupt` ends.
    pub(crate) fn new(interrupt: Interrupt) -> Self {
        Seat { interrupt, current: Mutex::default() }
    }

    /// Shows the batch while `work` runs; afterwards runs are let through again if one was interrupted.
    pub(crate) fn during<T>(&self, batch: &dyn Batch, seated: impl FnOnce(), work: impl FnOnce() -> T) -> T {
        let mut current = self.lock();
        for index in 0..batch.len() {
            // SAFETY: only the lifetime changes. `Clear` empties the list before this function returns or unwinds, and
            // until then the batch is borrowed.
            let shown =
                unsafe { std::mem::transmute::<&dyn RequestInfo, &'static dyn RequestInfo>(batch.request(index)) };
            current.requests.push(Shown(shown));
        }
        current.used = true;
        drop(current);
        let _clear = Clear(self);
        seated();
        work()
    }

    /// Interrupts the execution if nobody waits for it any more. Whether there was one since the last look.
    pub(crate) fn look(&self) -> bool {
        let mut current = self.lock();
        if !current.interrupted && Self::all_cancelled(&current.requests) {
            current.interrupted = true;
            self.interrupt.set();
        }
        std::mem::take(&mut current.used) || !current.requests.is_empty()
    }

    fn all_cancelled(requests: &[Shown]) -> bool {
        // SAFETY: a request in the list is alive, as `during` empties it first, under the lock that is held here.
        // `RequestInfo` lets any thread ask, and of its functions only this one is asked.
        let cancelled = |shown: &Shown| unsafe { (*shown.0).cancelled() };
        !requests.is_empty() && requests.iter().all(cancelled)
    }

    fn lock(&self) -> MutexGuard<'_, Current> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes the batch out of sight.
struct Clear<'a>(&'a Seat);

impl Drop for Clear<'_> {
    fn drop(&mut self) {
        let mut current = self.0.lock();
        current.requests.clear();
        if std::mem::take(&mut current.interrupted) {
            self.0.interrupt.clear();
        }
    }
}
