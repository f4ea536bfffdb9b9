//! An operation on a model that takes its time: loading or unloading. A handle on it can be waited on, polled, or dropped.
//!
//! Invariants: 1. an operation ends once, with the result that everybody is given, at the latest when its server has
//! stopped; 2. it goes on whether or not anybody waits, and a handle keeps nothing alive but the result; 3. a callback
//! that was taken is called once, before the stop of its server is over.

use super::STOPPED;
#[cfg(feature = "capi")]
use super::{Inner, ServerHandle};
#[cfg(feature = "capi")]
use crate::flow::Messenger;
use crate::sync::{Bells, Callback, Clock, Mutex, thread};
use inferlay_backend_sdk::{Error, ErrorKind};
#[cfg(feature = "capi")]
use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

const INSIDE: Error = Error::fixed(
    ErrorKind::FailedPrecondition,
    "waiting for an operation inside a callback or an execution could wait for itself",
);

const DROPPED: Error = Error::fixed(
    ErrorKind::Unavailable,
    "the operation did not run: the server has stopped, or the system gave no thread for it",
);

/// A load or unload that is under way, or over.
///
/// Cheap to clone; to be used from any thread. It goes on when it is dropped.
///
/// # Examples
/// ```
/// # use inferlay::ServerHandle;
/// let server = ServerHandle::builder().repository("examples/models").explicit([""; 0]).start()?;
/// let operation = server.load_model("no_such_model");
/// assert!(operation.wait().unwrap_err().message().contains("no_such_model"));
/// assert!(operation.is_done());
/// # Ok::<(), inferlay::Error>(())
/// ```
#[derive(Clone)]
pub struct Operation {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    bells: Bells,
    clock: Clock,
}

#[derive(Default)]
struct State {
    result: Option<Result<(), Error>>,
    wakers: Vec<Waker>,
    callbacks: Vec<Callback<Result<(), Error>>>,
}

impl Operation {
    pub(super) fn new(clock: Clock) -> Self {
        Operation { shared: Arc::new(Shared { state: Mutex::default(), bells: Bells::default(), clock }) }
    }

    /// One that is over.
    pub(super) fn over(clock: Clock, result: Result<(), Error>) -> Self {
        let operation = Self::new(clock);
        operation.end(result);
        operation
    }

    /// It is over; only the first result counts.
    pub(super) fn end(&self, result: Result<(), Error>) {
        let (wakers, callbacks) = {
            let mut state = self.shared.state.lock();
            if state.result.is_some() {
                return;
            }
            state.result = Some(result.clone());
            (std::mem::take(&mut state.wakers), std::mem::take(&mut state.callbacks))
        };
        self.shared.bells.ring();
        wakers.into_iter().for_each(Waker::wake);
        callbacks.into_iter().for_each(|callback| callback.call(result.clone()));
    }

    /// It is over when all `parts` are; the first error of theirs is its own.
    pub(super) fn end_with(&self, parts: Vec<Operation>) {
        let rest = Arc::new(Mutex::new((parts.len(), Ok(()))));
        if parts.is_empty() {
            return self.end(Ok(()));
        }
        for part in parts {
            let (rest, whole) = (rest.clone(), self.clone());
            part.then(move |result| {
                let mut rest = rest.lock();
                rest.0 -= 1;
                if rest.1.is_ok() {
                    rest.1 = result;
                }
                if rest.0 == 0 {
                    let result = rest.1.clone();
                    drop(rest);
                    whole.end(result);
                }
            });
        }
    }

    /// Has `callback` called with the result: by whoever ends it, or now. It must not wait, nor panic.
    pub(crate) fn then(&self, callback: impl FnOnce(Result<(), Error>) + Send + 'static) {
        let mut state = self.shared.state.lock();
        match state.result.clone() {
            None => state.callbacks.push(Callback::new(callback)),
            Some(result) => {
                drop(state);
                callback(result);
            }
        }
    }

    /// Whether it is over.
    ///
    /// # Examples
    /// ```
    /// # use inferlay::ServerHandle;
    /// # let server = ServerHandle::builder().explicit([""; 0]).start()?;
    /// let operation = server.load_model("digits");
    /// while !operation.is_done() {
    ///     // Something useful; or `operation.wait()`, or `operation.await`.
    ///     std::thread::yield_now();
    /// }
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn is_done(&self) -> bool {
        self.shared.state.lock().result.is_some()
    }

    /// Waits until it is over.
    ///
    /// # Errors
    /// Why it failed: with that, what served before serves still. [`ErrorKind::Cancelled`] when a later operation on the
    /// same model came before its end, [`ErrorKind::Unavailable`] when the server stopped before;
    /// [`ErrorKind::FailedPrecondition`] inside a callback or an execution.
    ///
    /// # Examples
    /// ```
    /// # use inferlay::{ErrorKind, ServerHandle};
    /// let server = ServerHandle::builder().explicit([""; 0]).start()?;
    /// assert_eq!(server.load_model("digits").wait().unwrap_err().kind(), ErrorKind::NotFound);
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn wait(&self) -> Result<(), Error> {
        match self.wait_until(None) {
            Some(result) => result,
            None => unreachable!("it waits until there is a result"),
        }
    }

    /// Waits until it is over, at most so long; `None` when it is still under way.
    ///
    /// # Examples
    /// ```
    /// # use inferlay::ServerHandle;
    /// # use std::time::Duration;
    /// # let server = ServerHandle::builder().explicit([""; 0]).start()?;
    /// match server.load_model("digits").wait_for(Duration::from_secs(60)) {
    ///     None => eprintln!("digits is still being loaded"),
    ///     Some(Ok(())) => eprintln!("digits serves"),
    ///     Some(Err(error)) => eprintln!("digits was not loaded: {error}"),
    /// }
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn wait_for(&self, timeout: Duration) -> Option<Result<(), Error>> {
        let timeout = u64::try_from(timeout.as_nanos()).unwrap_or(u64::MAX);
        self.wait_until(Some(self.shared.clock.now().saturating_add(timeout)))
    }

    fn wait_until(&self, until: Option<u64>) -> Option<Result<(), Error>> {
        let bell = self.shared.bells.listen();
        loop {
            if let Some(result) = self.shared.state.lock().result.clone() {
                return Some(result);
            }
            if thread::is_inside() {
                return Some(Err(INSIDE));
            }
            if until.is_some_and(|until| self.shared.clock.now() >= until) {
                return None;
            }
            self.shared.clock.wait(&bell, until);
        }
    }
}

/// The operations of a server that are under way, and who is to be called at their ends.
#[derive(Default)]
pub(super) struct Operations(Mutex<UnderWay>);

#[derive(Default)]
struct UnderWay {
    all: Vec<Weak<Shared>>,
    #[cfg(feature = "capi")]
    callbacks: BTreeMap<u64, (Operation, Callback<Result<(), Error>>)>,
    #[cfg(feature = "capi")]
    callbacks_taken: u64,
    is_over: bool,
}

impl Operations {
    /// A new one, which ends when the server stops, if nothing else ends it before.
    pub(super) fn begin(&self, clock: Clock) -> Operation {
        let operation = Operation::new(clock);
        let mut under_way = self.0.lock();
        under_way.all.retain(|other| other.strong_count() > 0);
        under_way.all.push(Arc::downgrade(&operation.shared));
        operation
    }

    /// Ends those that are under way; from now on no callback is taken.
    pub(super) fn stop(&self) {
        let all = {
            let mut under_way = self.0.lock();
            under_way.is_over = true;
            std::mem::take(&mut under_way.all)
        };
        // Not under the lock: whoever is told may ask for the next one.
        let all = all.into_iter().filter_map(|shared| shared.upgrade());
        all.for_each(|shared| Operation { shared }.end(Err(STOPPED)));
    }
}

/// Callbacks. One that was taken out is posted under the same lock, so that a stop that finds it gone finds it posted.
#[cfg(feature = "capi")]
impl Operations {
    /// # Errors
    /// `UNAVAILABLE` when they have ended.
    fn add(&self, operation: &Operation, callback: Callback<Result<(), Error>>) -> Result<u64, Error> {
        let mut under_way = self.0.lock();
        if under_way.is_over {
            return Err(STOPPED);
        }
        under_way.callbacks_taken += 1;
        let key = under_way.callbacks_taken;
        under_way.callbacks.insert(key, (operation.clone(), callback));
        Ok(key)
    }

    fn post(&self, key: u64, result: Result<(), Error>, messenger: &Messenger) {
        let mut under_way = self.0.lock();
        if let Some((operation, callback)) = under_way.callbacks.remove(&key) {
            messenger.post_call(Callback::new(move |()| callback.call(result)));
            drop(under_way);
            drop(operation);
        }
    }

    /// After a stop: those whose operation was ended just now by somebody who has not come to post them.
    pub(super) fn post_rest(&self, messenger: &Messenger) {
        let mut under_way = self.0.lock();
        for (operation, callback) in std::mem::take(&mut under_way.callbacks).into_values() {
            let result = operation.shared.state.lock().result.clone().unwrap_or(Err(STOPPED));
            messenger.post_call(Callback::new(move |()| callback.call(result)));
        }
    }
}

/// Where a server calls whoever wants to hear of operations; it does not keep the server.
#[cfg(feature = "capi")]
pub(crate) struct Callbacks(Weak<Inner>);

#[cfg(feature = "capi")]
impl ServerHandle {
    pub(crate) fn callbacks(&self) -> Callbacks {
        Callbacks(Arc::downgrade(&self.inner.shared()))
    }
}

#[cfg(feature = "capi")]
impl Callbacks {
    /// Has `callback` called with the result of an operation, once, on a thread of the engine.
    ///
    /// # Errors
    /// `UNAVAILABLE` when it has stopped.
    pub(crate) fn call_when_done(
        &self,
        operation: &Operation,
        callback: impl FnOnce(Result<(), Error>) + Send + 'static,
    ) -> Result<(), Error> {
        let Some(inner) = self.0.upgrade().filter(|inner| !inner.is_stopping()) else { return Err(STOPPED) };
        let key = inner.operations.add(operation, Callback::new(callback))?;
        let server = self.0.clone();
        operation.then(move |result| {
            if let Some(inner) = server.upgrade() {
                inner.operations.post(key, result, &inner.services.messenger);
            }
        });
        Ok(())
    }
}

/// Ends an operation, at the latest when it is dropped: whoever waits is told whatever happens to the job.
pub(super) struct Ending(Option<Operation>);

impl Ending {
    pub(super) fn of(operation: &Operation) -> Self {
        Ending(Some(operation.clone()))
    }

    pub(super) fn end(mut self, result: Result<(), Error>) {
        if let Some(operation) = self.0.take() {
            operation.end(result);
        }
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        if let Some(operation) = self.0.take() {
            operation.end(Err(DROPPED));
        }
    }
}

impl Future for Operation {
    type Output = Result<(), Error>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.shared.state.lock();
        match &state.result {
            Some(result) => Poll::Ready(result.clone()),
            None => {
                if !state.wakers.iter().any(|waker| waker.will_wake(context.waker())) {
                    state.wakers.push(context.waker().clone());
                }
                Poll::Pending
            }
        }
    }
}

impl std::fmt::Debug for Operation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = self.shared.state.lock();
        match &state.result {
            None => write!(f, "Operation(under way)"),
            Some(Ok(())) => write!(f, "Operation(done)"),
            Some(Err(error)) => write!(f, "Operation(failed: {error})"),
        }
    }
}
