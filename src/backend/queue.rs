//! A model whose batches are pulled: the engine batches, and threads of the application take whole batches out of a queue
//! and answer them, instead of being called.
//!
//! ```text
//!   worker: execute --> every request taken --> Line --> a thread of the application: next, look, answer
//!                `-- the instance is out of the lane until its batch is answered
//! ```
//!
//! Invariants: 1. as many batches are out at once, waiting or pulled, as the config has instances; no thread waits for
//! them. 2. What nobody will pull is answered with an error: by the end of the model, or when the queue goes. 3. Once the
//! model has ended, `next` says so, to every thread and for ever. No code of the application runs here, and no batch is
//! dropped, under the lock.

use super::closure::ModelBatch;
use super::joint::Joints;
use super::pulled::Pulled;
use crate::memory::BlockPool;
use crate::sync::{Condvar, Mutex, deadline, thread};
use inferlay_backend_sdk::{Batch, Error, ErrorKind, Instance, InstanceSpec, Model, Signature};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

const NONE_CAME: Error = Error::fixed(ErrorKind::Timeout, "no batch came in time");
const INSIDE: Error = Error::fixed(
    ErrorKind::FailedPrecondition,
    "a blocking call inside a callback or an execution could wait for itself",
);

/// Where the batches of a pulled model wait; see [`crate::ServerHandle::register_pulled_model`].
///
/// Any number of threads may pull from it at once; share it by reference or in an `Arc`. When it is dropped, batches in
/// it and all requests to come are answered with an error, until the model is removed.
///
/// # Examples
/// ```
/// use inferlay::{DataType, ModelConfig, Request, ServerHandle, Tensor};
/// use std::time::Duration;
/// let server = ServerHandle::builder().start()?;
/// let config = ModelConfig::new("double").input("x", DataType::Fp32, [1]).output("y", DataType::Fp32, [1]);
/// let queue = server.register_pulled_model(config.max_batch_size(8))?;
/// let puller = std::thread::spawn(move || {
///     while let Some(batch) = queue.next(Duration::MAX)? {
///         let x = batch.view().input("x")?.as_slice::<f32>()?.to_vec();
///         batch.view().set_output("y", Tensor::from_vec(x.iter().map(|x| 2.0 * x).collect(), [x.len(), 1])?)?;
///         batch.answer()?;
///     }
///     Ok::<(), inferlay::Error>(())
/// });
/// let request = Request::new().input("x", Tensor::from_vec(vec![1.0f32, 2.0], [2, 1])?);
/// assert_eq!(server.infer("double", request)?.slice::<f32>("y")?, [2.0, 4.0]);
/// server.stop(Duration::from_secs(1))?;
/// puller.join().unwrap()?;
/// # Ok::<(), inferlay::Error>(())
/// ```
pub struct BatchQueue(Arc<Line>);

impl BatchQueue {
    pub(crate) fn new(line: Arc<Line>) -> Self {
        BatchQueue(line)
    }

    /// The next batch, waiting for it so long at most; [`Duration::MAX`] for as long as it takes. `None` once the model has
    /// ended: it was removed, or the server has stopped. Time is that of the system, whatever the server's clock is.
    ///
    /// A batch comes without the requests that were cancelled or became too late while it waited.
    ///
    /// # Errors
    /// [`ErrorKind::Timeout`] when none came; [`ErrorKind::FailedPrecondition`] where it would wait inside a callback or an
    /// execution.
    ///
    /// # Examples
    /// ```
    /// # use inferlay::{DataType, ModelConfig, ServerHandle};
    /// use inferlay::ErrorKind;
    /// use std::time::Duration;
    /// # let server = ServerHandle::builder().start()?;
    /// # let config = ModelConfig::new("m").input("x", DataType::Fp32, [1]).output("y", DataType::Fp32, [1]);
    /// let queue = server.register_pulled_model(config)?;
    /// assert_eq!(queue.next(Duration::ZERO).unwrap_err().kind(), ErrorKind::Timeout);
    /// server.remove_model("m", Duration::ZERO)?;
    /// assert!(queue.next(Duration::MAX)?.is_none());
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn next(&self, within: Duration) -> Result<Option<PulledBatch>, Error> {
        let next = self.0.next(u64::try_from(within.as_nanos()).unwrap_or(u64::MAX))?;
        Ok(next.map(PulledBatch))
    }

    /// Has `watch` called with whether `next` would return at once, now and whenever that changes. It is called under a
    /// lock: it must return at once, and call nothing here.
    #[cfg(feature = "capi")]
    pub(crate) fn watch(&self, watch: impl Fn(bool) + Send + 'static) {
        let mut state = self.0.state.lock();
        watch(state.is_ready());
        state.watch = Some(Box::new(watch));
    }
}

impl Drop for BatchQueue {
    fn drop(&mut self) {
        self.0.close(Phase::Left);
    }
}

impl std::fmt::Debug for BatchQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "BatchQueue({})", self.0.place())
    }
}

/// A batch that was pulled, to be answered as a whole by whichever thread has it.
///
/// When it is dropped before it was answered, its requests are answered with an error.
///
/// # Examples
/// ```
/// # use inferlay::{DataType, ModelConfig, Request, ServerHandle, Tensor};
/// # use std::time::Duration;
/// # let server = ServerHandle::builder().start()?;
/// # let config = ModelConfig::new("m").input("x", DataType::Fp32, [1]).output("y", DataType::Fp32, [1]);
/// # let queue = server.register_pulled_model(config)?;
/// # let x = Tensor::from_vec(vec![1.0f32], [1])?;
/// let future = server.infer_async("m", Request::new().input("x", x))?;
/// if let Some(batch) = queue.next(Duration::MAX)? {
///     assert_eq!(batch.view().len(), 1);
///     drop(batch);
/// }
/// assert!(future.wait().unwrap_err().message().contains("dropped before it was answered"));
/// # Ok::<(), inferlay::Error>(())
/// ```
pub struct PulledBatch(Pulled);

impl PulledBatch {
    /// What a function that is a model would be given: requests, inputs, places for outputs.
    ///
    /// # Examples
    /// ```
    /// # use inferlay::{DataType, ModelConfig, Request, ServerHandle, Tensor};
    /// # use std::time::Duration;
    /// # let server = ServerHandle::builder().start()?;
    /// # let config = ModelConfig::new("m").input("x", DataType::Fp32, [1]).output("y", DataType::Fp32, [1]);
    /// # let queue = server.register_pulled_model(config)?;
    /// # let x = Tensor::from_vec(vec![1.0f32], [1])?;
    /// let future = server.infer_async("m", Request::new().input("x", x).id("first"))?;
    /// if let Some(batch) = queue.next(Duration::MAX)? {
    ///     let view = batch.view();
    ///     assert_eq!((view.request(0).id(), view.input("x")?.as_slice::<f32>()?), ("first", &[1.0][..]));
    ///     view.output("y", [1])?.as_mut_slice::<f32>()?[0] = 3.0;
    ///     batch.answer()?;
    /// }
    /// assert_eq!(future.wait()?.slice::<f32>("y")?, [3.0]);
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn view(&self) -> ModelBatch<'_> {
        self.0.view()
    }

    /// Answers each request with its rows of the outputs that were set. Requests that were cancelled or became too late
    /// meanwhile, and those that a stop has answered, do not hear of it.
    ///
    /// # Errors
    /// What the requests are answered with when an output is missing or does not fit.
    ///
    /// # Examples
    /// ```
    /// # use inferlay::{DataType, ModelConfig, Request, ServerHandle, Tensor};
    /// # use std::time::Duration;
    /// # let server = ServerHandle::builder().start()?;
    /// # let config = ModelConfig::new("m").input("x", DataType::Fp32, [1]).output("y", DataType::Fp32, [1]);
    /// # let queue = server.register_pulled_model(config)?;
    /// # let x = Tensor::from_vec(vec![1.0f32], [1])?;
    /// let future = server.infer_async("m", Request::new().input("x", x))?;
    /// if let Some(batch) = queue.next(Duration::MAX)? {
    ///     assert!(batch.answer().unwrap_err().message().contains("did not answer output 'y'"));
    /// }
    /// assert!(future.wait().is_err());
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn answer(mut self) -> Result<(), Error> {
        self.0.settle(Ok(()))
    }

    /// Answers each request with this error.
    ///
    /// # Examples
    /// ```
    /// # use inferlay::{DataType, Error, ModelConfig, Request, ServerHandle, Tensor};
    /// # use std::time::Duration;
    /// # let server = ServerHandle::builder().start()?;
    /// # let config = ModelConfig::new("m").input("x", DataType::Fp32, [1]).output("y", DataType::Fp32, [1]);
    /// # let queue = server.register_pulled_model(config)?;
    /// # let x = Tensor::from_vec(vec![1.0f32], [1])?;
    /// let future = server.infer_async("m", Request::new().input("x", x))?;
    /// if let Some(batch) = queue.next(Duration::MAX)? {
    ///     batch.fail(Error::unavailable("out of order"));
    /// }
    /// assert_eq!(future.wait().unwrap_err().message(), "out of order");
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn fail(mut self, error: Error) {
        // It is the first answer: an answer takes the batch.
        let _first = self.0.settle(Err(error));
    }

    /// The batch itself, which may be looked at after its answer.
    #[cfg(feature = "capi")]
    pub(crate) fn into_inner(self) -> Pulled {
        self.0
    }
}

impl std::fmt::Debug for PulledBatch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "PulledBatch({} requests)", self.0.len())
    }
}

/// What the model, its queue and its batches share.
pub(crate) struct Line {
    model: String,
    signature: Signature,
    joints: Joints,
    /// The server's pool, and whatever keeps it.
    memory: Arc<dyn AsRef<BlockPool> + Send + Sync>,
    pub(super) small_output_len_max: usize,
    state: Mutex<State>,
    bell: Condvar,
}

#[derive(Default)]
struct State {
    batches: VecDeque<Pulled>,
    sleepers: usize,
    phase: Phase,
    watch: Option<Box<dyn Fn(bool) + Send>>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    /// Batches may come.
    #[default]
    Open,
    /// The queue was dropped; requests still come, and are refused.
    Left,
    /// The model is gone.
    Ended,
}

impl State {
    /// Whether `next` would return at once.
    fn is_ready(&self) -> bool {
        !self.batches.is_empty() || self.phase == Phase::Ended
    }

    /// Tells whoever watches, if that has changed.
    fn tell(&self, was_ready: bool) {
        if let Some(watch) = self.watch.as_ref().filter(|_| was_ready != self.is_ready()) {
            watch(self.is_ready());
        }
    }
}

impl Line {
    pub(crate) fn new(
        model: String,
        (signature, joints): (Signature, Joints),
        memory: Arc<dyn AsRef<BlockPool> + Send + Sync>,
        small_output_len_max: usize,
    ) -> Arc<Self> {
        let (state, bell) = (Mutex::default(), Condvar::new());
        Arc::new(Line { model, signature, joints, memory, small_output_len_max, state, bell })
    }

    /// The model has ended: what waits is let go, and whoever waits for more is told.
    pub(crate) fn end(&self) {
        self.close(Phase::Ended);
    }

    pub(super) fn signature(&self) -> &Signature {
        &self.signature
    }

    pub(super) fn joints(&self) -> &Joints {
        &self.joints
    }

    pub(super) fn blocks(&self) -> &BlockPool {
        (*self.memory).as_ref()
    }

    /// `model 'double'`, for messages.
    pub(super) fn place(&self) -> String {
        format!("model '{}'", self.model)
    }

    /// Why a batch is not answered by whoever pulls.
    fn refusal(&self, phase: Phase) -> Error {
        let why =
            if phase == Phase::Ended { "it ended before the batch was pulled" } else { "nobody pulls its batches" };
        Error::unavailable(format!("{}: {why}", self.place()))
    }

    fn close(&self, phase: Phase) {
        let mut state = self.state.lock();
        let was_ready = state.is_ready();
        let batches = std::mem::take(&mut state.batches);
        // The end is the last word.
        state.phase = if state.phase == Phase::Ended { Phase::Ended } else { phase };
        if phase == Phase::Left {
            state.watch = None;
        }
        state.tell(was_ready);
        drop(state);
        self.bell.notify_all();
        for mut batch in batches {
            let _first = batch.settle(Err(self.refusal(phase)));
        }
    }

    /// Adds a batch; one that nobody will pull is answered at once. Never blocks.
    fn push(&self, mut batch: Pulled) {
        let mut state = self.state.lock();
        let phase = state.phase;
        if phase != Phase::Open {
            drop(state);
            let _first = batch.settle(Err(self.refusal(phase)));
            return;
        }
        let was_ready = state.is_ready();
        state.batches.push_back(batch);
        state.tell(was_ready);
        let has_sleepers = state.sleepers > 0;
        drop(state);
        if has_sleepers {
            self.bell.notify_one();
        }
    }

    fn next(&self, timeout_ns: u64) -> Result<Option<Pulled>, Error> {
        let until = deadline(timeout_ns);
        let mut is_late = timeout_ns == 0;
        let mut state = self.state.lock();
        loop {
            let was_ready = state.is_ready();
            if let Some(batch) = state.batches.pop_front() {
                state.tell(was_ready);
                drop(state);
                // Its unwanted requests are answered and let go outside of the lock.
                if let Some(batch) = batch.wanted() {
                    return Ok(Some(batch));
                }
                state = self.state.lock();
                continue;
            }
            if state.phase == Phase::Ended {
                return Ok(None);
            }
            if is_late {
                return Err(NONE_CAME);
            }
            if thread::is_inside() {
                return Err(INSIDE);
            }
            state.sleepers += 1;
            (state, is_late) = self.bell.wait(state, until);
            state.sleepers -= 1;
        }
    }
}

/// The model of a queue.
pub(crate) struct PulledModel(pub(crate) Arc<Line>);

impl Model for PulledModel {
    fn signature(&self) -> &Signature {
        self.0.signature()
    }

    fn instance(&self, _spec: &InstanceSpec) -> Result<Box<dyn Instance>, Error> {
        Ok(Box::new(PulledInstance(self.0.clone())))
    }
}

struct PulledInstance(Arc<Line>);

impl Instance for PulledInstance {
    fn execute(&mut self, batch: &dyn Batch) -> Result<(), Error> {
        let phase = self.0.state.lock().phase;
        if phase != Phase::Open {
            return Err(self.0.refusal(phase));
        }
        let requests = (0..batch.len()).map(|index| batch.take(index)).collect::<Result<Vec<_>, _>>()?;
        self.0.push(Pulled::new(self.0.clone(), requests));
        Ok(())
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;

    struct Memory(BlockPool);

    impl AsRef<BlockPool> for Memory {
        fn as_ref(&self) -> &BlockPool {
            &self.0
        }
    }

    #[test]
    fn loom_whoever_waits_is_told_of_the_end() {
        crate::sync::model(|| {
            let memory = Arc::new(Memory(BlockPool::new()));
            let line = Line::new("m".to_owned(), Default::default(), memory, 0);
            let pullers = [(); 2].map(|()| {
                let line = line.clone();
                crate::sync::spawn(move || line.next(u64::MAX).is_ok_and(|batch| batch.is_none()))
            });
            line.end();
            assert!(pullers.into_iter().all(|puller| puller.join().unwrap()));
        });
    }
}
