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
/// ```
/// # #[allow(unused_imports)]
/// # use inferlay::{DataType, Input, ModelConfig, Request, ServerHandle, Tensor};
/// # let server = ServerHandle::builder().start()?;
/// # let config = ModelConfig::new("double").input("x", DataType::Fp32, [2]).output("y", DataType::Fp32, [2]);
/// # let double = |batch: &inferlay::ModelBatch<'_>| {
/// #     let x = batch.input("x")?.as_slice::<f32>()?;
/// #     let y = batch.output("y", [2])?.as_mut_slice::<f32>()?;
/// #     y.iter_mut().zip(x).for_each(|(y, x)| *y = 2.0 * x);
/// #     Ok(())
/// # };
/// # let model = server.register_model(config, double)?;
/// # let block_on = |future: inferlay::ResponseFuture| {
/// #     let mut future = std::pin::pin!(future);
/// #     let mut context = std::task::Context::from_waker(std::task::Waker::noop());
/// #     loop {
/// #         if let std::task::Poll::Ready(answer) = future.as_mut().poll(&mut context) { break answer }
/// #         std::thread::yield_now();
/// #     }
/// # };
/// # use std::future::Future;
/// let x = Tensor::from_vec(vec![1.0f32, 2.0], [2])?;
/// let future = model.infer_async(Request::new().input("x", x.clone()))?;
/// assert_eq!(future.wait()?.slice::<f32>("y")?, [2.0, 4.0]);
/// // Or by a runtime, here one of a few lines.
/// let response = block_on(model.infer_async(Request::new().input("x", x))?)?;
/// assert_eq!(response.slice::<f32>("y")?, [2.0, 4.0]);
/// # Ok::<(), inferlay::Error>(())
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
    ///
    /// # Examples
    /// ```
    /// # use inferlay::{Request, ServerHandle, Tensor};
    /// use inferlay::ErrorKind;
    /// use std::time::Duration;
    /// # let config = "{backend: 'null', max_batch_size: 8, input: {name: x, data_type: FP32, dims: 2}, \
    /// #     dynamic_batching: {max_queue_delay_microseconds: 60000000}}";
    /// # let files = [("config.yaml", config.into())];
    /// # let server = ServerHandle::builder().model_in_memory("echo", files).strict().start()?;
    /// # let model = server.model("echo")?;
    /// // The model waits for up to a minute to fill a batch.
    /// let x = Tensor::from_vec(vec![1.0f32, 2.0], [1, 2])?;
    /// let request = Request::new().input("x", x).timeout(Duration::from_millis(1));
    /// let late = model.infer_async(request)?;
    /// assert_eq!(late.wait().unwrap_err().kind(), ErrorKind::Timeout);
    /// # Ok::<(), inferlay::Error>(())
    /// ```
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
    ///
    /// # Examples
    /// ```
    /// # use inferlay::{Request, ServerHandle, Tensor};
    /// # let config = "{backend: 'null', max_batch_size: 8, input: {name: x, data_type: FP32, dims: 2}, \
    /// #     dynamic_batching: {max_queue_delay_microseconds: 60000000}}";
    /// # let files = [("config.yaml", config.into())];
    /// # let server = ServerHandle::builder().model_in_memory("echo", files).strict().start()?;
    /// # let model = server.model("echo")?;
    /// // The model waits for up to a minute to fill a batch.
    /// let x = Tensor::from_vec(vec![1.0f32, 2.0], [1, 2])?;
    /// let future = model.infer_async(Request::new().input("x", x))?;
    /// assert!(!future.is_ready());
    /// future.cancel();
    /// assert!(future.is_ready() && future.wait().is_err());
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn is_ready(&self) -> bool {
        self.ticket.as_ref().is_some_and(|ticket| ticket.state.is_answered())
    }

    /// Cancels the request: answered at once with [`ErrorKind::Cancelled`] unless the answer is there already.
    ///
    /// # Examples
    /// ```
    /// # use inferlay::{Request, ServerHandle, Tensor};
    /// use inferlay::ErrorKind;
    /// # let config = "{backend: 'null', max_batch_size: 8, input: {name: x, data_type: FP32, dims: 2}, \
    /// #     dynamic_batching: {max_queue_delay_microseconds: 60000000}}";
    /// # let files = [("config.yaml", config.into())];
    /// # let server = ServerHandle::builder().model_in_memory("echo", files).strict().start()?;
    /// # let model = server.model("echo")?;
    /// // The model waits for up to a minute to fill a batch.
    /// let x = Tensor::from_vec(vec![1.0f32, 2.0], [1, 2])?;
    /// let future = model.infer_async(Request::new().input("x", x))?;
    /// future.cancel();
    /// assert_eq!(future.wait().unwrap_err().kind(), ErrorKind::Cancelled);
    /// # Ok::<(), inferlay::Error>(())
    /// ```
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
