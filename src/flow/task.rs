//! A task: the pooled home of one request on its way through a lane.
//!
//! Three slots have one owner at a time: `ask` (inputs and wishes: the submitter, then the executor until the release),
//! `reply` (the winner of the state word, then the receiver) and `notify` (whoever registers or fires it). When the last
//! owner lets go, the task returns to its lane's pool with its capacity.

use super::answer;
use super::lane::Lane;
use super::state::State;
use super::stream::Stream;
use super::timer::Key;
use crate::memory::Lent;
use crate::observe::Trace;
use crate::sync::{AtomicBool, AtomicU64, Callback, Doorbell, Held, Mutex, Ordering, Pooled, Slot};
use inferlay_backend_sdk::{Error, ParameterValue, Shape, Tensor};
use smallvec::SmallVec;
use std::cell::Cell;
use std::sync::Arc;
use std::task::Waker;

/// A task with its lane.
pub(crate) type Ticket = Pooled<Lane>;
/// The right to a task's `ask`, with the task.
pub(crate) type HeldAsk = Held<Lane, AskSlot>;
/// The right to a task's `reply`, with the task.
pub(crate) type HeldReply = Held<Lane, ReplySlot>;

/// One request on its way.
pub(crate) struct Task {
    pub(crate) state: State,
    pub(crate) ask: Slot<Ask>,
    pub(crate) reply: Slot<Reply>,
    pub(crate) notify: Slot<Notify>,
    /// Where a blocking caller waits.
    pub(crate) bell: Doorbell,
    /// In a lane that keeps an order; 0 for none.
    pub(crate) turn: AtomicU64,
}

/// What is asked. Inputs are by index of the lane's spec.
#[derive(Default)]
pub(crate) struct Ask {
    pub(crate) inputs: SmallVec<[Option<Tensor>; 2]>,
    /// Memory of the caller for outputs; taken out by whoever writes there.
    pub(crate) into: Vec<(usize, Cell<Option<Lent>>)>,
    pub(crate) id: String,
    pub(crate) parameters: Vec<(String, ParameterValue)>,
    pub(crate) rows: usize,
    /// One bit per wanted output.
    pub(crate) wanted: u64,
    pub(crate) level: usize,
    pub(crate) deadline: Option<u64>,
    pub(crate) timer: Option<Key>,
    /// Of a request that its caller runs: looked at instead of told, as nobody but the caller waits for it.
    pub(crate) token: Option<CancelToken>,
    pub(crate) submitted: u64,
    pub(crate) is_traced: bool,
    pub(crate) sequence: Sequence,
}

/// The sequence that a request belongs to: by a number or a text, and whether it is the first or last of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sequence {
    /// 0 for none.
    pub(crate) id: u64,
    /// Empty for none.
    pub(crate) text: String,
    pub(crate) starts: bool,
    pub(crate) ends: bool,
}

impl Sequence {
    #[cfg(feature = "capi")]
    pub(crate) fn is_none(&self) -> bool {
        self.id == 0 && self.text.is_empty() && !self.starts && !self.ends
    }

    fn clear(&mut self) {
        self.text.clear();
        (self.id, self.starts, self.ends) = (0, false, false);
    }
}

impl Ask {
    /// Lets inputs and lent memory go and keeps the capacity.
    pub(crate) fn clear(&mut self) {
        self.inputs.clear();
        self.into.clear();
        self.id.clear();
        self.parameters.clear();
        (self.deadline, self.timer, self.token, self.is_traced) = (None, None, None, false);
        self.sequence.clear();
    }
}

/// What is answered. Outputs are by index of the lane's spec.
#[derive(Default)]
pub(crate) struct Reply {
    pub(crate) outputs: SmallVec<[Option<Tensor>; 2]>,
    /// The outputs that went to memory of the caller.
    pub(crate) written: Vec<Written>,
    pub(crate) error: Option<Error>,
    pub(crate) trace: Option<Box<Trace>>,
    /// Handles of the C door on it.
    #[cfg(feature = "capi")]
    pub(crate) handles: crate::sync::AtomicUsize,
}

/// An output that went to memory of the caller: what of it, and where. Read by the C door.
#[cfg_attr(not(feature = "capi"), allow(dead_code, reason = "a Rust caller knows what it lent"))]
pub(crate) struct Written {
    pub(crate) index: usize,
    pub(crate) shape: Shape,
    pub(crate) address: usize,
    pub(crate) len: usize,
}

impl Reply {
    /// Lets the outputs go and keeps the capacity.
    pub(crate) fn clear_outputs(&mut self) {
        self.outputs.clear();
        self.written.clear();
    }
}

/// What a callback is given.
pub(crate) type Outcome = Result<super::Response, Error>;

/// Who wants to know of the answer.
#[derive(Default)]
pub(crate) enum Notify {
    /// Nobody, or a blocking caller, whom the state word knows of.
    #[default]
    Nobody,
    /// Whoever began to wait at the task's bell after an asynchronous submission.
    Bell,
    /// A future.
    Waker(Waker),
    /// A function of the user.
    Callback(Callback<Outcome>),
    /// Whoever takes responses as they come, of which the answer is the end.
    Stream(Arc<Stream>),
}

/// Names [`Task::ask`] for [`Held`].
pub(crate) struct AskSlot;

impl crate::sync::Project<Lane> for AskSlot {
    type Value = Ask;

    fn slot(task: &Task) -> &Slot<Ask> {
        &task.ask
    }
}

/// Names [`Task::reply`] for [`Held`].
pub(crate) struct ReplySlot;

impl crate::sync::Project<Lane> for ReplySlot {
    type Value = Reply;

    fn slot(task: &Task) -> &Slot<Reply> {
        &task.reply
    }
}

impl Task {
    pub(crate) fn new() -> Self {
        Task {
            state: State::new(),
            ask: Slot::new(Ask::default()),
            reply: Slot::new(Reply::default()),
            notify: Slot::new(Notify::Nobody),
            bell: Doorbell::new(),
            turn: AtomicU64::new(0),
        }
    }

    /// Makes it as good as new; its last owner calls this.
    pub(crate) fn clear(&mut self) {
        self.state.reset();
        self.ask.get_mut().clear();
        let reply = self.reply.get_mut();
        reply.clear_outputs();
        (reply.error, reply.trace) = (None, None);
        *self.notify.get_mut() = Notify::Nobody;
        self.bell.reset();
        self.turn.store(0, Ordering::Relaxed);
    }
}

/// Cancels requests: from any thread, any number of times, also before they are submitted.
///
/// # Examples
/// ```
/// use inferlay::{CancelToken, ErrorKind, ModelConfig, Request, ServerHandle, Tensor, DataType};
/// let server = ServerHandle::builder().start()?;
/// let config = ModelConfig::new("double").input("x", DataType::Fp32, [1]).output("y", DataType::Fp32, [1]);
/// server.register_model(config, |batch| {
///     let x = batch.input("x")?.as_slice::<f32>()?;
///     batch.output("y", [1])?.as_mut_slice::<f32>()?[0] = 2.0 * x[0];
///     Ok(())
/// })?;
/// let token = CancelToken::new();
/// token.cancel();
/// let request = Request::new().input("x", Tensor::from_vec(vec![1.0f32], [1])?).cancel_with(&token);
/// assert_eq!(server.infer("double", request).unwrap_err().kind(), ErrorKind::Cancelled);
/// # Ok::<(), inferlay::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct CancelToken {
    inner: Arc<CancelState>,
}

struct CancelState {
    /// Set under the lock, so that a request is watched over or finds it set.
    is_cancelled: AtomicBool,
    /// The requests that it was given to and that may still be on their way.
    tickets: Mutex<Vec<Ticket>>,
}

impl Default for CancelState {
    fn default() -> Self {
        CancelState { is_cancelled: AtomicBool::new(false), tickets: Mutex::default() }
    }
}

impl CancelToken {
    /// A token that cancels nothing yet.
    ///
    /// # Examples
    /// ```
    /// # use inferlay::{Request, ServerHandle, Tensor};
    /// use inferlay::CancelToken;
    /// # let config = b"{backend: 'null', input: {name: x, data_type: FP32, dims: 2}}".to_vec();
    /// # let server = ServerHandle::builder().model_in_memory("echo", [("config.yaml", config)]).strict().start()?;
    /// # let model = server.model("echo")?;
    /// // The model's outputs are its inputs.
    /// let x = Tensor::from_vec(vec![1.0f32, 2.0], [2])?;
    /// let token = CancelToken::new();
    /// let response = model.infer(Request::new().input("x", x).cancel_with(&token))?;
    /// assert!(!token.is_cancelled() && response.output("x").is_ok());
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// Cancels every request that bears this token, now and later.
    ///
    /// # Examples
    /// ```
    /// # use inferlay::{Request, ServerHandle, Tensor};
    /// use inferlay::{CancelToken, ErrorKind};
    /// # let config = "{backend: 'null', max_batch_size: 8, input: {name: x, data_type: FP32, dims: 2}, \
    /// #     dynamic_batching: {max_queue_delay_microseconds: 60000000}}";
    /// # let files = [("config.yaml", config.into())];
    /// # let server = ServerHandle::builder().model_in_memory("echo", files).strict().start()?;
    /// # let model = server.model("echo")?;
    /// // The model waits for up to a minute to fill a batch.
    /// let x = Tensor::from_vec(vec![1.0f32, 2.0], [1, 2])?;
    /// let token = CancelToken::new();
    /// let ask = || model.infer_async(Request::new().input("x", x.clone()).cancel_with(&token));
    /// let (waits, waits_too) = (ask()?, ask()?);
    /// token.cancel();
    /// assert_eq!(waits.wait().unwrap_err().kind(), ErrorKind::Cancelled);
    /// assert!(waits_too.wait().is_err() && ask()?.wait().is_err());
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn cancel(&self) {
        let tickets = {
            let mut tickets = self.inner.tickets.lock();
            self.inner.is_cancelled.store(true, Ordering::Release);
            std::mem::take(&mut *tickets)
        };
        for ticket in tickets {
            answer::cancel(&ticket);
        }
    }

    /// Whether it was cancelled.
    ///
    /// # Examples
    /// ```
    /// use inferlay::CancelToken;
    /// let token = CancelToken::new();
    /// let same = token.clone();
    /// std::thread::spawn(move || same.cancel()).join().unwrap();
    /// assert!(token.is_cancelled());
    /// ```
    pub fn is_cancelled(&self) -> bool {
        self.inner.is_cancelled.load(Ordering::Acquire)
    }

    /// Cancels nothing any more. None of its requests is on its way.
    #[cfg(feature = "capi")]
    pub(crate) fn reset(&self) {
        let answered = {
            let mut tickets = self.inner.tickets.lock();
            self.inner.is_cancelled.store(false, Ordering::Release);
            std::mem::take(&mut *tickets)
        };
        drop(answered);
    }

    /// Watches over a request that is about to be submitted; false when it is cancelled already.
    pub(crate) fn watch(&self, ticket: &Ticket) -> bool {
        let mut tickets = self.inner.tickets.lock();
        if self.is_cancelled() {
            return false;
        }
        let answered = tickets.extract_if(.., |known| known.state.is_answered());
        let answered: SmallVec<[Ticket; 4]> = answered.collect();
        tickets.push(ticket.clone());
        drop(tickets);
        // Outside of the lock: with the last ticket go outputs, whose memory may be the application's.
        drop(answered);
        true
    }
}

impl std::fmt::Debug for CancelToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "CancelToken({})", if self.is_cancelled() { "cancelled" } else { "open" })
    }
}
