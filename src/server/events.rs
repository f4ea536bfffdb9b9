//! Changes of states, told to whoever subscribed.
//!
//! Invariant: a subscriber is told of every change from when it subscribed until it leaves, in the order in which the
//! states of a model changed; on the messenger's thread, one call at a time, never under a lock. A panic of a subscriber
//! is contained.

use super::status::ModelStatus;
use crate::flow::Services;
use crate::sync::{AtomicU64, Callback, Mutex, Ordering};
use std::sync::{Arc, Weak};

type Subscriber = dyn Fn(&ModelStatus) + Send + Sync;

/// The subscribers of a server.
pub(super) struct Events {
    subscribers: Arc<Subscribers>,
    count: ChangeCount,
    services: Arc<Services>,
}

/// How many changes there were, also when the server is gone.
#[derive(Clone, Debug, Default)]
pub(crate) struct ChangeCount(Arc<AtomicU64>);

#[cfg(feature = "capi")]
impl ChangeCount {
    /// Where the number lies, as long as this or a clone of it lives.
    pub(crate) fn place(&self) -> *const u64 {
        self.0.as_ptr()
    }

    #[cfg(all(test, not(loom)))]
    pub(super) fn read(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }
}

#[derive(Default)]
struct Subscribers(Mutex<Vec<Arc<Subscriber>>>);

impl Events {
    pub(super) fn new(services: Arc<Services>) -> Self {
        Events { subscribers: Arc::default(), count: ChangeCount::default(), services }
    }

    /// Has `subscriber` called from now on.
    pub(super) fn subscribe(&self, subscriber: Arc<Subscriber>) -> Subscription {
        self.subscribers.0.lock().push(subscriber.clone());
        Subscription { subscriber, subscribers: Arc::downgrade(&self.subscribers) }
    }

    #[cfg(feature = "capi")]
    pub(super) fn count(&self) -> ChangeCount {
        self.count.clone()
    }

    /// Requests go elsewhere than before, which changes no state.
    pub(super) fn directed(&self) {
        self.count.0.fetch_add(1, Ordering::Release);
    }

    /// Something has changed. The order of calls is the order of telling. Under the lock of what has changed, so that who
    /// sees another count and asks then is told of it.
    pub(super) fn tell(&self, status: impl FnOnce() -> ModelStatus) {
        self.count.0.fetch_add(1, Ordering::Release);
        let subscribers = self.subscribers.0.lock();
        if subscribers.is_empty() {
            return;
        }
        let status = status();
        for subscriber in &*subscribers {
            let (subscriber, all, status) = (subscriber.clone(), Arc::downgrade(&self.subscribers), status.clone());
            self.services.messenger.post_call(Callback::new(move |()| {
                if is_there(&all, &subscriber) {
                    subscriber(&status);
                }
            }));
        }
    }
}

fn is_there(all: &Weak<Subscribers>, subscriber: &Arc<Subscriber>) -> bool {
    all.upgrade().is_some_and(|all| all.0.lock().iter().any(|other| Arc::ptr_eq(other, subscriber)))
}

/// Keeps a subscriber subscribed until it is dropped; see [`crate::ServerHandle::subscribe`].
///
/// A call that is under way on another thread when it is dropped is not waited for.
///
/// # Examples
/// ```
/// # use inferlay::ServerHandle;
/// let server = ServerHandle::builder().start()?;
/// let subscription = server.subscribe(|status| eprintln!("{} is {:?}", status.name, status.state));
/// drop(subscription);
/// # Ok::<(), inferlay::Error>(())
/// ```
#[must_use = "dropping it ends the subscription"]
pub struct Subscription {
    subscriber: Arc<Subscriber>,
    subscribers: Weak<Subscribers>,
}

impl Drop for Subscription {
    fn drop(&mut self) {
        if let Some(subscribers) = self.subscribers.upgrade() {
            subscribers.0.lock().retain(|other| !Arc::ptr_eq(other, &self.subscriber));
        }
    }
}

impl std::fmt::Debug for Subscription {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Subscription")
    }
}
