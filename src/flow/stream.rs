//! Streams: the responses of one request, on their way from whoever sends them to whoever takes them.
//!
//! ```text
//!   send -> responses, in order --.                       .-> the messenger calls a function
//!                                  >-- one taker at a time --
//!   tell -> the end, once --------'                       `-> `Responses` takes, when it likes
//! ```
//!
//! The end is the request's one answer, with whatever that brings: an error, a last response, or neither. So who ends a
//! stream is decided where every answer is, by the state word, and a stream adds nothing to requests that have none.
//!
//! Invariants:
//! 1. Responses are taken in the order in which they were sent, and the end is taken once, after all of them.
//! 2. Nothing comes after the end: a send that finds it, or a taker that has gone, is refused.
//! 3. The function is called by one thread at a time, the messenger's: a stream is posted there at most once at a time.
//! 4. Each response has a task of its own from the lane's pool, so that it lives as long as its taker wants.
//! 5. At most `untaken_max` responses are untaken, the last one aside, and those that were sent while nobody could take them:
//!    before the turn of their request nothing is refused. `credit` is advice and ends earlier, in any case.
//! 6. No lock is held while a function, a waker or a destructor of somebody else runs.
//!
//! Any thread sends; the thread that takes is the messenger or whoever has the `Responses`.

use super::answer;
use super::lane::{Lane, Manner};
use super::messenger::Chain;
use super::request::{Refused, Request};
use super::response::Response;
use super::services::Services;
use super::task::{HeldReply, Notify, Ticket};
#[cfg(feature = "capi")]
use crate::sync::Callback;
use crate::sync::{AtomicUsize, Doorbell, Mutex, MutexGuard, Ordering, Pool, thread};
use inferlay_backend_sdk::{Error, ErrorKind, LogLevel, Tensor};
use smallvec::SmallVec;
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::task::Waker;

/// Nobody takes responses any more: a deadline, a cancel or a stop has ended the stream.
pub(super) const UNWANTED: Error = Error::fixed(ErrorKind::Cancelled, "the request was ended before this response");
const FULL: Error =
    Error::fixed(ErrorKind::ResourceExhausted, "too many responses of the request are untaken; the credit was used up");
const MEMORY: Error = Error::fixed(
    ErrorKind::Unsupported,
    "a request that may get several responses brings no memory for outputs, which each of them would write",
);

/// So many times the credit may be sent before a response is refused.
const UNTAKEN_PER_CREDIT: usize = 16;

/// The outputs of a response, by index.
pub(super) type Outputs = SmallVec<[Option<Tensor>; 2]>;

/// What a taker is given.
pub(crate) enum Delivery {
    /// A response. It counts as untaken until the second half is dropped.
    Response(Response, Untaken),
    /// The end, which may bring a response.
    Last(Result<Option<Response>, Error>),
}

/// A function that is given what comes.
pub(crate) type Listener = Box<dyn FnMut(Delivery) + Send>;

/// The responses of one request.
pub(crate) struct Stream {
    state: Mutex<State>,
    /// Responses that were sent and not yet taken.
    untaken: AtomicUsize,
    credit_max: usize,
    /// Where the order of answers is kept.
    chain: Option<Arc<Chain>>,
    /// Where a taker waits.
    bell: Doorbell,
    services: Arc<Services>,
}

struct State {
    responses: VecDeque<Response>,
    /// How many of them were sent while nothing was taken because the turn of the request had not come.
    early: usize,
    end: End,
    taker: Taker,
    /// Whether the messenger has it, or is at it.
    is_posted: bool,
    /// Whether nothing is taken until the turn of its request has come, see `order`.
    is_closed: bool,
}

enum End {
    Open,
    /// The answered request.
    Come(Ticket),
    /// It was taken, or the taker has gone.
    Over,
}

enum Taker {
    /// The messenger, with this function; out while it is called.
    Listener(Option<Listener>),
    /// Whoever waits at the bell or left a waker.
    Waiter(Option<Waker>),
}

/// Whoever hears of the answer of a request, in whichever form its model answers.
#[cfg(feature = "capi")]
pub(crate) trait Listen: Send + Sized + 'static {
    /// The one answer of a model that is not decoupled.
    fn answered(self, outcome: super::Outcome);

    /// A response that is not the last.
    fn responded(&mut self, response: Response, untaken: Untaken);

    /// The end.
    fn ended(self, last: Result<Option<Response>, Error>);
}

#[cfg(feature = "capi")]
impl Lane {
    /// Sends a request on its way whose answer, or responses, `listener` hears. Never blocks.
    ///
    /// # Errors
    /// As for [`Lane::stream_to`].
    pub(crate) fn post_to<'a, L: Listen>(
        self: &Arc<Self>,
        request: Request<'a>,
        listener: impl FnOnce() -> L,
    ) -> Result<(), Refused<'a>> {
        if self.spec.credit_max.is_some() {
            return self.stream_to(request, || deliveries_to(listener()));
        }
        self.post(request, || {
            let listener = listener();
            Notify::Callback(Callback::new(move |outcome| listener.answered(outcome)))
        })
    }
}

#[cfg(feature = "capi")]
fn deliveries_to(listener: impl Listen) -> Listener {
    let mut listener = Some(listener);
    Box::new(move |delivery| match delivery {
        Delivery::Response(response, untaken) => {
            if let Some(listener) = &mut listener {
                listener.responded(response, untaken);
            }
        }
        Delivery::Last(last) => {
            if let Some(listener) = listener.take() {
                listener.ended(last);
            }
        }
    })
}

impl Lane {
    /// Sends a request on its way whose responses come to `listener`, on the messenger's thread. Never blocks.
    ///
    /// # Errors
    /// As for [`Lane::submit`]; `UNSUPPORTED` for memory for the outputs of a decoupled model.
    pub(crate) fn stream_to<'a>(
        self: &Arc<Self>,
        request: Request<'a>,
        listener: impl FnOnce() -> Listener,
    ) -> Result<(), Refused<'a>> {
        self.begin_stream(request, || Taker::Listener(Some(listener()))).map(drop)
    }

    /// As [`Lane::stream_to`], for a model that stands in for the messenger.
    #[cfg(all(test, loom))]
    pub(super) fn listening<'a>(
        self: &Arc<Self>,
        request: Request<'a>,
        listener: Listener,
    ) -> Result<Arc<Stream>, Refused<'a>> {
        self.begin_stream(request, || Taker::Listener(Some(listener))).map(|(_, stream)| stream)
    }

    /// As [`Lane::stream_to`], with responses that are taken from the stream.
    ///
    /// # Errors
    /// As for [`Lane::stream_to`].
    pub(crate) fn stream<'a>(self: &Arc<Self>, request: Request<'a>) -> Result<(Ticket, Arc<Stream>), Refused<'a>> {
        self.begin_stream(request, || Taker::Waiter(None))
    }

    fn begin_stream<'a>(
        self: &Arc<Self>,
        request: Request<'a>,
        taker: impl FnOnce() -> Taker,
    ) -> Result<(Ticket, Arc<Stream>), Refused<'a>> {
        if self.spec.credit_max.is_some() && request.brings_output_memory() {
            return Err(Refused { error: MEMORY, request });
        }
        let mut begun = None;
        let notify = || {
            let (responses, is_closed) = (VecDeque::new(), self.order.is_some() && self.spec.credit_max.is_some());
            let state = State { responses, early: 0, end: End::Open, taker: taker(), is_posted: false, is_closed };
            let stream = Arc::new(Stream {
                state: Mutex::new(state),
                untaken: AtomicUsize::new(0),
                credit_max: self.spec.credit_max.unwrap_or(1),
                chain: self.order.as_ref().map(|order| order.chain().clone()),
                bell: Doorbell::new(),
                services: self.services.clone(),
            });
            Notify::Stream(begun.insert(stream).clone())
        };
        let (ticket, _) = self.submit_with(request, notify, Manner::Async)?;
        let Some(stream) = begun else { unreachable!("a request that is taken has its notify") };
        Ok((ticket, stream))
    }
}

/// Sending.
impl Stream {
    /// Sends a response that is not the last.
    ///
    /// # Errors
    /// `CANCELLED` after the end, `RESOURCE_EXHAUSTED` when too many are untaken.
    pub(super) fn send(self: &Arc<Self>, lane: &Arc<Lane>, outputs: Outputs) -> Result<(), Error> {
        let response = Self::response(lane, outputs);
        // A stop which does not wait for this has ended the stream before.
        let _held = self.services.messenger.hold();
        let mut state = self.state.lock();
        let refusal = match state.end {
            // No taker falls behind before its turn.
            End::Open if state.is_closed => None,
            End::Open if self.untaken.load(Ordering::Relaxed).saturating_sub(state.early) < self.untaken_max() => None,
            End::Open => Some(FULL),
            _ => Some(UNWANTED),
        };
        if let Some(refusal) = refusal {
            drop(state);
            drop(response);
            return Err(refusal);
        }
        self.untaken.fetch_add(1, Ordering::Relaxed);
        state.early += usize::from(state.is_closed);
        state.responses.push_back(response);
        self.call_taker(state);
        Ok(())
    }

    fn response(lane: &Arc<Lane>, outputs: Outputs) -> Response {
        let ticket = Pool::take_with(lane, |task| task.reply.get_mut().outputs = outputs);
        Response::new(HeldReply::lock(ticket))
    }

    /// The request was answered.
    pub(super) fn end(self: &Arc<Self>, ticket: Ticket) {
        let mut state = self.state.lock();
        if matches!(state.end, End::Open) {
            (state.end, state.is_closed) = (End::Come(ticket), false);
            return self.call_taker(state);
        }
        drop(state);
        drop(ticket);
    }

    /// The turn of its request has come.
    pub(super) fn open(self: &Arc<Self>) {
        let mut state = self.state.lock();
        if std::mem::replace(&mut state.is_closed, false) && !state.responses.is_empty() {
            self.call_taker(state);
        }
    }

    /// How many more responses may be sent before the taker has fallen behind.
    pub(super) fn credit(&self) -> usize {
        self.credit_max.saturating_sub(self.untaken.load(Ordering::Relaxed))
    }

    fn untaken_max(&self) -> usize {
        self.credit_max.saturating_mul(UNTAKEN_PER_CREDIT)
    }

    /// Something has come.
    fn call_taker(self: &Arc<Self>, mut state: MutexGuard<'_, State>) {
        if state.is_closed {
            return;
        }
        match &mut state.taker {
            Taker::Listener(_) => {
                let is_posted = std::mem::replace(&mut state.is_posted, true);
                drop(state);
                if !is_posted {
                    self.services.messenger.post_stream(self.clone());
                }
            }
            Taker::Waiter(waker) => {
                let waker = waker.take();
                drop(state);
                self.bell.ring();
                if let Some(waker) = waker {
                    answer::wake(waker, &self.services);
                }
            }
        }
    }
}

/// Taking.
impl Stream {
    /// What has come, if anything has; else the waker is kept for it.
    pub(crate) fn take(self: &Arc<Self>, waker: Option<&Waker>) -> Option<Delivery> {
        let mut state = self.state.lock();
        let next = state.next();
        let mut old = None;
        if let (None, Taker::Waiter(kept), Some(waker)) = (&next, &mut state.taker, waker)
            && !kept.as_ref().is_some_and(|kept| kept.will_wake(waker))
        {
            old = kept.replace(waker.clone());
        }
        drop(state);
        drop(old);
        next.map(|next| self.delivery(next))
    }

    /// Waits for what comes. One thread at a time.
    pub(crate) fn wait(self: &Arc<Self>) -> Delivery {
        loop {
            if let Some(delivery) = self.take(None) {
                return delivery;
            }
            self.bell.wait(self.services.tuning.spin_max);
        }
    }

    /// The taker goes: nothing is sent any more, and what was not taken is dropped.
    pub(crate) fn close(&self) {
        let (responses, end) = {
            let mut state = self.state.lock();
            (std::mem::take(&mut state.responses), std::mem::replace(&mut state.end, End::Over))
        };
        self.untaken.fetch_sub(responses.len(), Ordering::Relaxed);
        answer::contain(&self.services, || drop((responses, end)));
    }

    /// Calls the listener for what has come, so often at most. Runs on the messenger's thread. Whether it is to be called
    /// again soon.
    pub(super) fn deliver(self: &Arc<Self>, calls_left: &mut usize) -> bool {
        let Some(mut listener) = self.listener() else { return false };
        while *calls_left > 0 {
            *calls_left -= 1;
            let mut state = self.state.lock();
            let Some(next) = state.next() else {
                // Under the lock of the look: who sends from now on posts the stream again.
                (state.taker, state.is_posted) = (Taker::Listener(Some(listener)), false);
                return false;
            };
            drop(state);
            let is_last = matches!(next, Next::Last(_));
            self.call(&mut listener, self.delivery(next));
            if is_last {
                // What it captured may be the last handle of the server, which must not wait for this thread.
                let inside = thread::Inside::enter();
                answer::contain(&self.services, || drop(listener));
                drop(inside);
                return false;
            }
        }
        self.state.lock().taker = Taker::Listener(Some(listener));
        true
    }

    /// Where it stands in line with others of its lane, if it does.
    pub(super) fn chain(&self) -> Option<&Arc<Chain>> {
        self.chain.as_ref()
    }

    /// Whether the messenger has it.
    #[cfg(all(test, loom))]
    pub(super) fn is_posted(&self) -> bool {
        self.state.lock().is_posted
    }

    fn listener(&self) -> Option<Listener> {
        match &mut self.state.lock().taker {
            Taker::Listener(listener) => listener.take(),
            Taker::Waiter(_) => None,
        }
    }

    fn call(&self, listener: &mut Listener, delivery: Delivery) {
        let inside = thread::Inside::enter();
        let result = catch_unwind(AssertUnwindSafe(|| listener(delivery)));
        drop(inside);
        if let Err(panic) = result {
            self.services.log.write(LogLevel::Error, "a response callback panicked; the panic was contained");
            answer::contain(&self.services, || drop(panic));
        }
    }

    fn delivery(self: &Arc<Self>, next: Next) -> Delivery {
        match next {
            Next::Response(response) => Delivery::Response(response, Untaken(self.clone())),
            Next::Last(ticket) => {
                Delivery::Last(answer::outcome(ticket).map(|response| Some(response).filter(|last| !last.is_end())))
            }
        }
    }
}

enum Next {
    Response(Response),
    Last(Ticket),
}

impl State {
    fn next(&mut self) -> Option<Next> {
        if self.is_closed {
            return None;
        }
        if let Some(response) = self.responses.pop_front() {
            self.early = self.early.saturating_sub(1);
            return Some(Next::Response(response));
        }
        match std::mem::replace(&mut self.end, End::Over) {
            End::Come(ticket) => Some(Next::Last(ticket)),
            other => {
                self.end = other;
                None
            }
        }
    }
}

/// One response that counts as untaken, until dropped.
pub(crate) struct Untaken(Arc<Stream>);

impl Drop for Untaken {
    fn drop(&mut self) {
        self.0.untaken.fetch_sub(1, Ordering::Relaxed);
    }
}

/// How a request to a decoupled model is answered.
pub(super) enum Several {
    /// With any number of responses.
    Stream(Arc<Stream>),
    /// With exactly one, because the caller takes no more: this, unless another follows.
    One(Box<Mutex<Option<Outputs>>>),
}

impl Several {
    /// As the request says that runs.
    pub(super) fn of(ticket: &Ticket) -> Several {
        match &*ticket.notify.lock() {
            Notify::Stream(stream) => Several::Stream(stream.clone()),
            // Or it was answered just now, and nothing that is sent is wanted.
            _ => Several::One(Box::new(Mutex::new(None))),
        }
    }

    pub(super) fn credit(&self) -> usize {
        match self {
            Several::Stream(stream) => stream.credit(),
            // It never falls: a model that waits for it to rise would wait for ever, and hear of nothing.
            Several::One(_) => 1,
        }
    }
}
