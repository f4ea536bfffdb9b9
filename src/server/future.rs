//! The answer to come: a future for any runtime, and something to wait for without one.

use crate::flow::{self, Notify, Outcome, Response, Ticket};
use inferlay_backend_sdk::{Error, ErrorKind};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

const INSIDE: Error = Error::fixed(
    ErrorKind::FailedPrecondition,
    "a blocking call inside a callback or an execution could wait for itself",
);

/// The answer to a request that was submitted asynchronously.
///
/// A future for any runtime: it needs no executor of its own and never runs inference in `poll`. Dropping it cancels the
/// request.
///
/// # Examples
/// ```no_run
/// # async fn example(model: inferlay::ModelHandle, request: inferlay::Request<'static>) -> Result<(), inferlay::Error> {
/// let response = model.infer_async(request)?.await?;
/// # Ok(()) }
/// ```
#[must_use = "dropping it cancels the request"]
pub struct ResponseFuture {
    /// `None` once the answer was received.
    ticket: Option<Ticket>,
}

impl ResponseFuture {
    pub(super) fn new(ticket: Ticket) -> Self {
        ResponseFuture { ticket: Some(ticket) }
    }

    /// Waits for the answer on this thread.
    ///
    /// # Errors
    /// The error that the request was answered with; [`ErrorKind::FailedPrecondition`] inside a callback or an execution,
    /// where waiting could wait for itself (the request is then cancelled).
    pub fn wait(mut self) -> Result<Response, Error> {
        if crate::sync::thread::is_inside() {
            return Err(INSIDE);
        }
        let Some(ticket) = self.ticket.take() else { return Err(received()) };
        *ticket.notify.lock() = Notify::Bell;
        let spin_max = ticket.home().services.tuning.spin_max;
        while !ticket.state.is_answered() {
            ticket.bell.wait(spin_max);
        }
        flow::outcome(ticket)
    }

    /// Whether the answer is there.
    pub fn is_ready(&self) -> bool {
        self.ticket.as_ref().is_some_and(|ticket| ticket.state.is_answered())
    }

    /// Cancels the request: answered at once with [`ErrorKind::Cancelled`] unless the answer is there already.
    pub fn cancel(&self) {
        if let Some(ticket) = &self.ticket {
            flow::cancel(ticket);
        }
    }
}

impl Future for ResponseFuture {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome> {
        let Some(ticket) = self.ticket.take() else { return Poll::Ready(Err(received())) };
        if !ticket.state.is_answered() {
            let mut notify = ticket.notify.lock();
            // The answer is published before its notify is taken: under this lock it is seen, or the waker is.
            if !ticket.state.is_answered() {
                match &*notify {
                    Notify::Waker(waker) if waker.will_wake(context.waker()) => {}
                    _ => *notify = Notify::Waker(context.waker().clone()),
                }
                drop(notify);
                self.ticket = Some(ticket);
                return Poll::Pending;
            }
        }
        Poll::Ready(flow::outcome(ticket))
    }
}

impl Drop for ResponseFuture {
    fn drop(&mut self) {
        self.cancel();
    }
}

impl std::fmt::Debug for ResponseFuture {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ResponseFuture({})", if self.is_ready() { "ready" } else { "pending" })
    }
}

fn received() -> Error {
    Error::fixed(ErrorKind::FailedPrecondition, "the answer was received before")
}
