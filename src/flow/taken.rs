//! Requests that a backend has taken out of their batch, to answer them later.
//!
//! A taken request has inputs of its own: shared where the engine or a reference count owns them, copied where they lie in
//! memory of a waiting caller. So the release of the caller's memory never waits for a backend that answers late, and the
//! answer is independent of both. Invariants: 1. it is answered once: by a responder, by a deadline or cancel, or with an
//! error when the last responder goes without an answer; 2. a [`Flight`] lasts until all of its batch are answered.

use super::answer::{self, On};
use super::instance::InFlight;
use super::lane::Lane;
use super::spec::bit;
use super::task::{Ask, Ticket};
use crate::backend::taken::{self, TakenRequest, TakenResponder};
use crate::sync::{AtomicBool, Ordering};
use inferlay_backend_sdk::{
    Error, ErrorKind, ParameterValue, Placement, Release, Request, RequestInfo, ResponseFlags, Sent, Tensor, TensorRef,
};
use smallvec::SmallVec;
use std::sync::Arc;

/// The taken requests of one batch, until all are answered.
pub(super) struct Flight {
    lane: Arc<Lane>,
    in_flight: Arc<InFlight>,
}

impl Flight {
    pub(super) fn begin(lane: &Arc<Lane>, in_flight: Arc<InFlight>) -> Arc<Self> {
        in_flight.begin();
        lane.flights.fetch_add(1, Ordering::AcqRel);
        Arc::new(Flight { lane: lane.clone(), in_flight })
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.in_flight.end();
        self.lane.flights.fetch_sub(1, Ordering::AcqRel);
        if self.lane.word.read().is_stopping() {
            self.lane.services.drained.ring();
        }
    }
}

/// Takes a request out of its batch.
pub(super) fn take(ticket: &Ticket, ask: &Ask, flight: Arc<Flight>) -> Request {
    taken::request(Taken {
        inputs: ask.inputs.clone(),
        id: ask.id.clone(),
        parameters: ask.parameters.clone(),
        rows: ask.rows,
        wanted: ask.wanted,
        level: ask.level,
        deadline: ask.deadline,
        answerer: Arc::new(Answerer { ticket: ticket.clone(), is_answered: AtomicBool::new(false), _flight: flight }),
    })
}

struct Taken {
    inputs: SmallVec<[Option<Tensor>; 2]>,
    id: String,
    parameters: Vec<(String, ParameterValue)>,
    rows: usize,
    wanted: u64,
    level: usize,
    deadline: Option<u64>,
    answerer: Arc<Answerer>,
}

impl TakenRequest for Taken {
    type Responder = Answerer;

    fn responder(&self) -> Arc<Answerer> {
        self.answerer.clone()
    }

    fn release(self, release: Release) {
        if release == Release::Reschedule {
            let error = Error::fixed(ErrorKind::Unsupported, "requests are not rescheduled");
            let _answered_before = self.answerer.send(Err(error), ResponseFlags { last: true });
        }
    }
}

impl RequestInfo for Taken {
    fn id(&self) -> &str {
        &self.id
    }

    fn rows(&self) -> usize {
        self.rows
    }

    fn priority(&self) -> u32 {
        self.level as u32
    }

    fn deadline_ns(&self) -> Option<u64> {
        self.deadline
    }

    fn cancelled(&self) -> bool {
        self.answerer.cancelled()
    }

    fn parameter(&self, name: &str) -> Option<&ParameterValue> {
        self.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    fn output_wanted(&self, index: usize) -> bool {
        self.wanted & bit(index) != 0
    }

    fn output_placement(&self, _index: usize) -> Placement {
        Placement::HOST
    }

    fn input(&self, index: usize) -> Result<TensorRef<'_>, Error> {
        let tensor = self.inputs.get(index).and_then(Option::as_ref);
        tensor.map(Tensor::view).ok_or_else(|| Error::not_found(format!("the request has no input {index}")))
    }
}

/// Answers one taken request.
struct Answerer {
    ticket: Ticket,
    is_answered: AtomicBool,
    /// Ends with the last answerer of the batch.
    _flight: Arc<Flight>,
}

impl Answerer {
    fn outputs(&self, sent: &mut dyn Iterator<Item = (usize, Tensor)>) -> Result<SmallVec<[Option<Tensor>; 2]>, Error> {
        let spec = &self.ticket.home().spec;
        let mut outputs = SmallVec::new();
        outputs.resize_with(spec.outputs.len(), || None);
        for (index, tensor) in sent {
            let Some(port) = spec.outputs.get(index) else {
                return Err(Error::not_found(format!("{}: output {index} of {}", spec.place(), spec.outputs.len())));
            };
            if tensor.dtype() != port.dtype {
                let (place, found) = (spec.place(), tensor.dtype());
                let name = &port.name;
                return Err(Error::invalid_arg(format!(
                    "{place}: output '{name}': found {found}, expected {}",
                    port.dtype
                )));
            }
            outputs[index] = Some(tensor);
        }
        Ok(outputs)
    }

    fn answer(&self, outcome: Result<SmallVec<[Option<Tensor>; 2]>, Error>) {
        if !self.ticket.state.win_running() {
            return;
        }
        {
            let mut reply = self.ticket.reply.lock();
            match outcome {
                Ok(outputs) => reply.outputs = outputs,
                Err(error) => reply.error = Some(error),
            }
        }
        answer::publish(&self.ticket, false);
        // A backend's own thread must not be held up by a user's callback.
        answer::tell(self.ticket.clone(), On::Service);
    }
}

impl TakenResponder for Answerer {
    fn send(&self, sent: Sent<'_>, flags: ResponseFlags) -> Result<(), Error> {
        if !flags.last {
            return Err(Error::fixed(ErrorKind::Unsupported, "one response per request is served, the final one"));
        }
        if self.is_answered.swap(true, Ordering::AcqRel) {
            return Err(Error::fixed(ErrorKind::FailedPrecondition, "the final response was sent before"));
        }
        let outcome = sent.and_then(|outputs| self.outputs(outputs));
        let told = outcome.as_ref().err().cloned().map_or(Ok(()), Err);
        self.answer(outcome);
        told
    }

    fn cancelled(&self) -> bool {
        self.ticket.state.is_unwanted()
    }
}

impl Drop for Answerer {
    fn drop(&mut self) {
        if !self.is_answered.load(Ordering::Acquire) {
            let place = self.ticket.home().spec.place();
            self.answer(Err(Error::internal(format!("{place}: the backend let a request go without an answer"))));
        }
    }
}
