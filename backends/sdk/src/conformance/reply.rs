//! What became of one request: the answers it got, whether it was released, and every promise that was broken.
//!
//! Shared by the batch, the request and its responders; any thread.
//!
//! Invariants: 1. `last` is set once, by the first final answer; a later answer is recorded as a fault. 2. When neither
//! the request nor a responder is left and `last` is not set, the request is answered with an error, as the engine does.

use crate::{Error, ResponseFlags, Tensor};
use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The outputs that one request got, by their index.
///
/// # Examples
/// ```
/// use inferlay_backend_sdk::{Error, Tensor, conformance::Outputs};
/// let outputs = Outputs::from([(0, Tensor::from_vec(vec![1.0f32], [1, 1])?)]);
/// assert_eq!(outputs[&0].view().as_slice::<f32>()?, [1.0]);
/// # Ok::<(), Error>(())
/// ```
pub type Outputs = BTreeMap<usize, Tensor>;

/// Longer than any check computes: what has not been answered by then never will be.
const PATIENCE: Duration = if cfg!(test) { Duration::from_secs(10) } else { Duration::from_secs(30) };

#[derive(Debug, Default)]
pub(super) struct Reply {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    outputs: Outputs,
    error: Option<Error>,
    last: bool,
    taken: bool,
    responders: usize,
    faults: Vec<String>,
}

impl Reply {
    /// Records one answer.
    ///
    /// # Errors
    /// `FAILED_PRECONDITION` after the final one.
    pub(super) fn answer(&self, outputs: Result<Outputs, Error>, flags: ResponseFlags) -> Result<(), Error> {
        let mut state = self.lock();
        if state.last {
            state.faults.push("was answered again after its final answer".to_owned());
            return Err(Error::fixed(crate::ErrorKind::FailedPrecondition, "request: answered before"));
        }
        state.last = flags.last;
        match outputs {
            Ok(outputs) => state.outputs.extend(outputs),
            Err(error) => state.error = Some(error),
        }
        self.changed.notify_all();
        Ok(())
    }

    /// Whether the final answer was given, or the backend owns the request or a responder of it.
    pub(super) fn settled(&self) -> bool {
        let state = self.lock();
        state.last || state.taken || state.responders > 0
    }

    pub(super) fn taken(&self) {
        self.lock().taken = true;
    }

    pub(super) fn released(&self) {
        let mut state = self.lock();
        state.taken = false;
        self.abandon_if_last(state);
    }

    pub(super) fn responder_made(&self) {
        self.lock().responders += 1;
    }

    pub(super) fn responder_freed(&self) {
        let mut state = self.lock();
        state.responders -= 1;
        self.abandon_if_last(state);
    }

    fn abandon_if_last(&self, mut state: MutexGuard<'_, State>) {
        if !state.taken && state.responders == 0 && !state.last {
            state.last = true;
            state.error = Some(Error::internal("request: let go without an answer"));
        }
        self.changed.notify_all();
    }

    /// The final answer, once there is one and nobody holds the request any more.
    ///
    /// # Errors
    /// Each promise that was broken.
    pub(super) fn wait(&self) -> Result<Result<Outputs, Error>, String> {
        let waiting = |state: &mut State| !state.last || state.taken || state.responders > 0;
        let (mut state, _) =
            self.changed.wait_timeout_while(self.lock(), PATIENCE, waiting).unwrap_or_else(PoisonError::into_inner);
        if !state.last {
            state.faults.push("was never answered".to_owned());
        }
        if state.taken {
            state.faults.push("was taken and never released".to_owned());
        }
        if !state.faults.is_empty() {
            return Err(state.faults.join("; "));
        }
        Ok(state.error.take().map_or_else(|| Ok(std::mem::take(&mut state.outputs)), Err))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
