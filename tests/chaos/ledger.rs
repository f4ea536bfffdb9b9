//! What happened in a storm, counted once for each request, and what must not have happened.

use super::expected;
use inferlay::{CancelToken, Error, ErrorKind};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// What happened, over all clients.
#[derive(Default)]
pub(super) struct Ledger {
    pub(super) submitted: AtomicU64,
    pub(super) outcomes: Mutex<BTreeMap<String, u64>>,
    pub(super) callbacks_open: AtomicU64,
    pub(super) callbacks_lost: AtomicU64,
    /// Owned inputs that still exist.
    pub(super) inputs_alive: AtomicUsize,
    pub(super) poison_seen: AtomicU64,
    pub(super) stop_began: AtomicBool,
    pub(super) stop_ended: AtomicBool,
    pub(super) called_after_stop: AtomicU64,
    pub(super) wrong: Mutex<Vec<String>>,
    pub(super) tokens: Mutex<Vec<CancelToken>>,
    hang: (Mutex<u64>, Condvar),
}

impl Ledger {
    pub(super) fn wrong(&self, what: String) {
        self.wrong.lock().unwrap().push(what);
    }

    pub(super) fn count(&self, outcome: &str) {
        *self.outcomes.lock().unwrap().entry(outcome.to_owned()).or_default() += 1;
    }

    /// Blocks until some other request was made, or for a moment if nobody makes any.
    pub(super) fn hang(&self) {
        let turn = self.hang.0.lock().unwrap();
        let now = *turn;
        drop(self.hang.1.wait_timeout_while(turn, Duration::from_millis(2), |turn| *turn < now + 4).unwrap());
    }

    pub(super) fn end_hangs(&self) {
        *self.hang.0.lock().unwrap() += 1;
        self.hang.1.notify_all();
    }

    /// Judges one answer. `why` says which errors the request asked for.
    pub(super) fn judge(&self, outcome: Result<Option<Vec<u8>>, Error>, input: &[u8], why: Why) {
        let name = match outcome {
            Ok(None) => "ok".to_owned(),
            Ok(Some(found)) => {
                if found != expected(input) {
                    self.wrong(format!("for {input:?} the answer was {found:?}"));
                }
                "ok".to_owned()
            }
            Err(error) => {
                let is_allowed = match error.kind() {
                    ErrorKind::Internal if error.message().contains("let a request go without an answer") => true,
                    ErrorKind::Internal | ErrorKind::Panic => error.message().contains("chaos"),
                    ErrorKind::ResourceExhausted => true,
                    ErrorKind::Timeout => why.has_deadline,
                    ErrorKind::Cancelled => why.has_cancel,
                    ErrorKind::Unavailable => self.stop_began.load(Ordering::SeqCst),
                    _ => false,
                };
                if !is_allowed {
                    self.wrong(format!("{why:?}: {error}"));
                }
                error.kind().name().to_owned()
            }
        };
        self.count(&name);
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Why {
    pub(super) has_deadline: bool,
    pub(super) has_cancel: bool,
}

/// An owned input that is missed when it stays.
pub(super) struct Owned(pub(super) Vec<u8>, pub(super) Arc<Ledger>);

impl Drop for Owned {
    fn drop(&mut self) {
        self.1.inputs_alive.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Goes with a callback; missed when it goes without a call.
pub(super) struct Receipt(pub(super) Arc<Ledger>, pub(super) bool);

impl Drop for Receipt {
    fn drop(&mut self) {
        if !self.1 {
            self.0.callbacks_lost.fetch_add(1, Ordering::SeqCst);
        }
        self.0.callbacks_open.fetch_sub(1, Ordering::SeqCst);
    }
}
