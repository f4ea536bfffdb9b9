//! The responses to come: an iterator that waits for them, and a stream for any runtime.

use crate::flow::{self, Delivery, Response, Stream, Ticket};
use inferlay_backend_sdk::{Error, ErrorKind};
use std::iter::FusedIterator;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

const INSIDE: Error = Error::fixed(
    ErrorKind::FailedPrecondition,
    "a blocking call inside a callback or an execution could wait for itself",
);

/// The responses to a request that was sent with [`crate::ModelHandle::infer_stream`], in the order of their sending.
///
/// As an iterator it waits for the next one, until the request's deadline at most: a deadline, a cancel, a stop or an
/// error of the model is the last item. As a [`futures_core::Stream`] it does the same in any runtime. Dropping it
/// cancels the request.
///
/// A model that is ahead of whoever takes is told to wait ([`crate::ModelConfig::response_credit_max`]).
///
/// # Examples
/// ```
/// # use inferlay::{DataType, Error, ModelBatch, ModelConfig, Request, ResponseFlags, ServerHandle, Tensor};
/// # fn count_down(batch: &ModelBatch<'_>) -> Result<(), Error> {
/// #     let from = batch.input("from")?.as_slice::<i32>()?[0];
/// #     let responder = batch.responder(0)?;
/// #     for step in (1..=from).rev() {
/// #         responder.send([(0, Tensor::from_vec(vec![step], [1])?)], ResponseFlags { last: step == 1 })?;
/// #     }
/// #     Ok(())
/// # }
/// # let server = ServerHandle::builder().start()?;
/// # let config = ModelConfig::new("count_down").input("from", DataType::Int32, [1]).output("step", DataType::Int32, [1]);
/// # let model = server.register_model(config.decoupled(true), count_down)?;
/// let mut responses = model.infer_stream(Request::new().input("from", Tensor::from_vec(vec![2], [1])?))?;
/// let mut next = || responses.next().transpose();
/// assert_eq!(next()?.expect("the first").slice::<i32>("step")?, [2]);
/// assert_eq!(next()?.expect("the last").slice::<i32>("step")?, [1]);
/// assert!(next()?.is_none());
/// # Ok::<(), inferlay::Error>(())
/// ```
#[must_use = "dropping it cancels the request"]
pub struct Responses {
    ticket: Ticket,
    stream: Arc<Stream>,
    /// Whether the end was taken.
    is_over: bool,
}

impl Responses {
    pub(super) fn new(ticket: Ticket, stream: Arc<Stream>) -> Self {
        Responses { ticket, stream, is_over: false }
    }

    /// Cancels the request: unless it has ended, the last item is [`ErrorKind::Cancelled`], after what came before.
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
    /// let mut responses = model.infer_stream(Request::new().input("x", x))?;
    /// responses.cancel();
    /// assert_eq!(responses.next().unwrap().unwrap_err().kind(), ErrorKind::Cancelled);
    /// assert!(responses.next().is_none());
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn cancel(&self) {
        flow::cancel(&self.ticket);
    }

    fn item(&mut self, delivery: Delivery) -> Option<Result<Response, Error>> {
        match delivery {
            Delivery::Response(response, _taken_now) => Some(Ok(response)),
            Delivery::Last(last) => {
                self.is_over = true;
                last.transpose()
            }
        }
    }
}

impl Iterator for Responses {
    type Item = Result<Response, Error>;

    /// Waits for the next response; `None` after the last. Inside a callback or an execution, where waiting could wait for
    /// itself, what has not come yet is [`ErrorKind::FailedPrecondition`] and the end.
    fn next(&mut self) -> Option<Self::Item> {
        if self.is_over {
            return None;
        }
        let delivery = if crate::sync::thread::is_inside() { self.stream.take(None) } else { Some(self.stream.wait()) };
        match delivery {
            Some(delivery) => self.item(delivery),
            None => {
                self.is_over = true;
                Some(Err(INSIDE))
            }
        }
    }
}

impl FusedIterator for Responses {}

impl futures_core::Stream for Responses {
    type Item = Result<Response, Error>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let own = self.get_mut();
        if own.is_over {
            return Poll::Ready(None);
        }
        match own.stream.take(Some(context.waker())) {
            Some(delivery) => Poll::Ready(own.item(delivery)),
            None => Poll::Pending,
        }
    }
}

impl Drop for Responses {
    fn drop(&mut self) {
        flow::cancel(&self.ticket);
        self.stream.close();
    }
}

impl std::fmt::Debug for Responses {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Responses({})", if self.is_over { "over" } else { "open" })
    }
}
