//! Threads, locks and time: the one room that knows whether it runs on the real machine or under loom.
//!
//! Everything here is small and safe to use; the unsafe code behind it stays in this room. Under `cfg(loom)` the same
//! types stand on loom's primitives, so that the flow code that ships is the code that is model-checked.
//!
//! - [`Mutex`], atomics, `thread`: the switch itself.
//! - [`Inbox`]: bounded submissions of a lane (crossbeam-channel).
//! - [`Slot`], [`Held`]: a cell with one owner at a time by protocol, checked by one atomic.
//! - [`Pool`], [`Pooled`]: reference-counted objects that return to their home instead of being freed.
//! - [`Doorbell`]: one thread sleeps, any thread wakes it. [`Bells`]: several sleep. [`Clock`]: time as a value.
//! - [`inotify`]: what the system tells of folders, and a sleep that it or any thread ends.
//! - [`Callback`]: an `FnOnce` stored inline when it is small.

mod bells;
mod callback;
mod clock;
mod doorbell;
mod inbox;
pub(crate) mod inotify;
mod lock;
#[cfg(all(test, loom))]
mod model;
#[cfg(all(test, target_os = "linux"))]
pub(crate) mod nobody;
mod pool;
mod slot;
pub(crate) mod thread;
mod witness;

pub(crate) use bells::Bells;
pub(crate) use callback::Callback;
pub(crate) use clock::Clock;
pub use clock::ManualClock;
pub(crate) use doorbell::Doorbell;
pub(crate) use inbox::Inbox;
pub(crate) use lock::{Condvar, Mutex, MutexGuard, deadline};
#[cfg(all(test, loom))]
pub(crate) use model::{model, spawn};
pub(crate) use pool::{Home, Pool, Pooled};
pub(crate) use slot::{Held, Project, Slot};

#[cfg(not(loom))]
pub(crate) use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, AtomicUsize, Ordering};

#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, AtomicUsize, Ordering};
