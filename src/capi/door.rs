//! What every call passes on its way in and out: no panic leaves, and nothing enters in the child of a fork.

use super::status::Status;
use crate::sync::{AtomicBool, Ordering, thread};
use inferlay_backend_sdk::{Error, ErrorKind};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::OnceLock;

pub(super) const FORKED: Error = Error::fixed(
    ErrorKind::FailedPrecondition,
    "this process is the child of a fork: the server's threads stayed in the parent",
);

/// Set in the child of a fork, for good.
static IS_FORKED: AtomicBool = AtomicBool::new(false);

/// Runs a fallible call. NULL when all went well.
pub(super) fn door(body: impl FnOnce() -> Result<(), Error>) -> *mut Status {
    match enter(body) {
        Ok(()) => std::ptr::null_mut(),
        Err(error) => Status::from_error(error),
    }
}

/// Runs a call that cannot tell of errors: `otherwise` is what it returns instead.
pub(super) fn quiet_door<T>(otherwise: T, body: impl FnOnce() -> Result<T, Error>) -> T {
    enter(body).unwrap_or(otherwise)
}

/// Runs a call that gives something up. In the child of a fork nothing is given up: its owner's threads are not there.
pub(super) fn free_door(body: impl FnOnce()) {
    quiet_door((), || {
        body();
        Ok(())
    });
}

fn enter<T>(body: impl FnOnce() -> Result<T, Error>) -> Result<T, Error> {
    if is_forked() {
        return Err(FORKED);
    }
    catch_unwind(AssertUnwindSafe(body)).unwrap_or_else(|panic| {
        let error = Error::new(ErrorKind::Panic, format!("inferlay: {}", thread::panic_text(&*panic)));
        // Its payload may panic once more when dropped.
        std::mem::forget(panic);
        Err(error)
    })
}

/// Whether this process was forked off one that had a server.
pub(super) fn is_forked() -> bool {
    IS_FORKED.load(Ordering::Relaxed)
}

/// Notices forks from now on. The first server calls it: a program may fork as it likes before.
pub(super) fn watch_forks() {
    static WATCHED: OnceLock<()> = OnceLock::new();
    WATCHED.get_or_init(|| {
        // SAFETY: the child's handler stores to one atomic, which is all that is allowed after a fork.
        let _watched = unsafe { libc::pthread_atfork(None, None, Some(note_fork)) };
    });
}

extern "C" fn note_fork() {
    IS_FORKED.store(true, Ordering::Relaxed);
}
