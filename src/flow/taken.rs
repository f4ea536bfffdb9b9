//! Requests that a backend has taken out of their batch, to answer them later.
//!
//! A taken request has inputs of its own: shared where the engine or a reference count owns them, copied where they lie in
//! memory of a waiting caller. So the release of what the caller lent for reading never waits for a backend that answers
//! late, and the answer is independent of both; what the caller lent for outputs is released with the answer that is
//! written there. Invariants: 1. it is answered once: by a responder, by a deadline, cancel or stop, or with an error when
//! the last responder goes without an answer. Responses before the last go to its `stream`, if its model is decoupled and
//! its caller takes several; 2. a [`Flight`] lasts until all of its batch are answered.

use super::answer::{self, On};
use super::execution::too_small;
use super::instance::InFlight;
use super::lane::Lane;
use super::overdue::Watch;
use super::seat::missing;
use super::spec::bit;
use super::stream::{Outputs, Several, UNWANTED};
use super::task::{Ask, Sequence, Ticket, Written};
use super::timekeeper::Timed;
use super::timer::Key;
use crate::backend::taken::{self, TakenRequest, TakenResponder};
use crate::memory::Lent;
use crate::observe::{Record, Stations, Trace, TraceEnd};
use crate::sync::{AtomicBool, AtomicU64, AtomicUsize, Mutex, Ordering};
use inferlay_backend_sdk::{
    Error, ErrorKind, ParameterValue, Placement, Release, Request, RequestInfo, ResponseFlags, Sent, Tensor, TensorRef,
};
use smallvec::SmallVec;
use std::sync::Arc;

/// The taken requests of one batch, until all are answered.
pub(super) struct Flight {
    lane: Arc<Lane>,
    in_flight: Arc<InFlight>,
    /// When `execute` returned, which holds a count until then; what came before is the execution's own time.
    executed: AtomicU64,
    /// How many requests were taken.
    len: AtomicUsize,
    /// Of a model with an execution timeout.
    watch: Option<Watch>,
}

impl Flight {
    pub(super) fn begin(lane: &Arc<Lane>, in_flight: Arc<InFlight>) -> Arc<Self> {
        in_flight.begin();
        lane.begin_flight();
        let (executed, len, watch) = (AtomicU64::new(lane.now()), AtomicUsize::new(0), Watch::begin(lane));
        Arc::new(Flight { lane: lane.clone(), in_flight, executed, len, watch })
    }

    /// `execute` has returned, at this time.
    pub(super) fn has_executed(&self, at: u64) {
        self.executed.store(at, Ordering::Relaxed);
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if let Some(watch) = self.watch.take() {
            watch.end(&self.lane);
        }
        let lasted = self.lane.now().saturating_sub(self.executed.load(Ordering::Relaxed));
        let len = self.len.load(Ordering::Relaxed) as u64;
        self.lane.core.lock().tally.add_flight(lasted.saturating_mul(len));
        self.in_flight.end();
        self.lane.end_flight();
    }
}

/// Takes a request out of its batch. Whether it holds memory of the caller.
pub(super) fn take(ticket: &Ticket, ask: &Ask, flight: Arc<Flight>) -> (Request, bool) {
    let into: Vec<_> = ask.into.iter().filter_map(|(index, lent)| Some((*index, lent.take()?))).collect();
    let holds_memory = !into.is_empty();
    let lane = ticket.home();
    lane.taken.lock().push(ticket.clone());
    flight.len.fetch_add(1, Ordering::Relaxed);
    flight.watch.iter().for_each(|watch| watch.add(ticket));
    // A caller who runs his own request arms no timer; now the request will outlast the execution.
    let arm = |deadline| lane.services.timekeeper.arm(deadline, Timed::Deadline(ticket.clone()));
    let timer = ask.timer.or_else(|| ask.deadline.map(arm));
    let answerer = Answerer {
        ticket: ticket.clone(),
        is_answered: AtomicBool::new(false),
        has_responded: AtomicBool::new(false),
        rows: ask.rows,
        wanted: ask.wanted,
        submitted: ask.submitted,
        taken: lane.now(),
        traced: ask.is_traced.then(|| ask.id.clone()),
        deadline: ask.deadline,
        timer,
        into: Mutex::new(into),
        holds_memory,
        several: lane.spec.credit_max.map(|_| Several::of(ticket)),
        flight: Mutex::new(Some(flight)),
    };
    let request = taken::request(Taken {
        inputs: ask.inputs.clone(),
        id: ask.id.clone(),
        parameters: ask.parameters.clone(),
        rows: ask.rows,
        wanted: ask.wanted,
        level: ask.level,
        deadline: ask.deadline,
        sequence: ask.sequence.clone(),
        answerer: Arc::new(answerer),
    });
    if ask.token.as_ref().is_some_and(|token| !token.watch(ticket)) {
        answer::cancel(ticket);
    }
    if lane.word.read().is_swept() {
        // A stop has looked for what is taken before this was.
        answer::desert(ticket, answer::ABANDONED);
    }
    (request, holds_memory)
}

struct Taken {
    inputs: SmallVec<[Option<Tensor>; 2]>,
    id: String,
    parameters: Vec<(String, ParameterValue)>,
    rows: usize,
    wanted: u64,
    level: usize,
    deadline: Option<u64>,
    sequence: Sequence,
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
            let _answered_before = self.answerer.conclude(|| Err(error));
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

    fn parameter_at(&self, index: usize) -> Option<(&str, &ParameterValue)> {
        self.parameters.get(index).map(|(name, value)| (name.as_str(), value))
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

    fn correlation_id(&self) -> u64 {
        self.sequence.id
    }

    fn correlation_text(&self) -> &str {
        &self.sequence.text
    }

    fn sequence_start(&self) -> bool {
        self.sequence.starts
    }

    fn sequence_end(&self) -> bool {
        self.sequence.ends
    }
}

const ANSWERED: Error = Error::fixed(ErrorKind::FailedPrecondition, "the final response was sent before");
const NOT_DECOUPLED: Error = Error::fixed(
    ErrorKind::Unsupported,
    "the model is not decoupled: one response per request is served, the final one",
);

const NOT_EMPTY: Error =
    Error::fixed(ErrorKind::Unsupported, "the model is not decoupled: found an end without a response, expected one");

/// Answers one taken request.
struct Answerer {
    ticket: Ticket,
    is_answered: AtomicBool,
    /// Of a decoupled model: whether a response was sent.
    has_responded: AtomicBool,
    rows: usize,
    wanted: u64,
    submitted: u64,
    /// When the backend took it.
    taken: u64,
    /// Its name, if it is traced.
    traced: Option<String>,
    deadline: Option<u64>,
    timer: Option<Key>,
    /// Memory of the caller for outputs.
    into: Mutex<Vec<(usize, Lent)>>,
    holds_memory: bool,
    /// Of a decoupled model; else it is answered with one response.
    several: Option<Several>,
    /// Let go with the answer, though not with one that a deadline, cancel or stop gives: then the backend is still at it.
    flight: Mutex<Option<Arc<Flight>>>,
}

impl Answerer {
    fn outputs(&self, sent: &mut dyn Iterator<Item = (usize, Tensor)>) -> Result<Outputs, Error> {
        let spec = &self.ticket.home().spec;
        let mut outputs = Outputs::new();
        outputs.resize_with(spec.outputs.len(), || None);
        for (index, tensor) in sent {
            spec.check_output(index, Some(tensor.dtype()), tensor.shape(), self.rows)?;
            let is_wanted = self.wanted & bit(index) != 0;
            outputs[index] = Some(spec.outward(index, tensor)?).filter(|_| is_wanted);
        }
        let is_missing = |index: &usize| self.wanted & bit(*index) != 0 && outputs[*index].is_none();
        if let Some(index) = (0..outputs.len()).find(is_missing) {
            return Err(missing(spec, index));
        }
        Ok(outputs)
    }

    /// Writes the outputs for which the caller lent memory there. The request was won.
    fn write(&self, outputs: &mut [Option<Tensor>]) -> Result<Vec<Written>, Error> {
        let mut written = Vec::new();
        for (index, mut lent) in self.into.lock().drain(..) {
            let Some(tensor) = outputs[index].take() else { continue };
            let bytes = tensor.data().bytes()?;
            if bytes.len() > lent.len() {
                return Err(too_small(&self.ticket.home().spec, index, lent.len(), bytes.len()));
            }
            lent.write(bytes);
            let (shape, len) = (tensor.shape().clone(), bytes.len());
            written.push(Written { index, shape, len, address: lent.address() });
        }
        Ok(written)
    }

    /// Answers, unless somebody has; whether nobody had.
    fn answer(&self, outcome: Result<Outputs, Error>) -> bool {
        let services = self.ticket.home().services.clone();
        let _held = services.messenger.hold();
        if let Err(error) = &outcome
            && error.kind() == ErrorKind::InstanceLost
            && let Some(flight) = &*self.flight.lock()
        {
            flight.in_flight.lose(answer::cause(error.clone(), None, self.ticket.home()));
        }
        if !self.ticket.state.win_running(false) {
            self.trace(TraceEnd::Early);
            return false;
        }
        let outcome = outcome.and_then(|mut outputs| self.write(&mut outputs).map(|written| (outputs, written)));
        let outcome = outcome.map_err(|error| answer::cause(error, self.deadline, self.ticket.home()));
        self.into.lock().clear();
        let is_end = |outputs: &Outputs| self.several.is_some() && outputs.is_empty();
        self.count(outcome.as_ref().map(|(outputs, _)| is_end(outputs)).ok());
        let trace = self.trace(if outcome.is_err() { TraceEnd::Error } else { TraceEnd::Ok });
        {
            let mut reply = self.ticket.reply.lock();
            reply.trace = trace;
            match outcome {
                Ok((outputs, written)) => (reply.outputs, reply.written) = (outputs, written),
                Err(error) => reply.error = Some(error),
            }
        }
        if let Some(order) = &self.ticket.home().order {
            if self.holds_memory {
                answer::release(&self.ticket);
            }
            order.settle(self.ticket.clone(), self.deadline);
            return true;
        }
        answer::publish(&self.ticket, self.holds_memory);
        // A backend's own thread must not be held up by a user's callback.
        answer::tell(self.ticket.clone(), On::Service, &services);
        true
    }

    fn trace(&self, end: TraceEnd) -> Option<Box<Trace>> {
        let id = self.traced.as_ref()?;
        let lane = self.ticket.home();
        let now = lane.now();
        let record = Record { started: self.taken, ended: now, requests: 1, rows: self.rows, ..Record::default() };
        let stations = Stations { submitted: self.submitted, id, answered: now, end };
        let trace = stations.trace((&lane.spec.model, lane.spec.version), &record);
        lane.services.tracer.keep(&trace);
        Some(Box::new(trace))
    }

    /// Counts the request: answered without a last response (or with one), or failed.
    fn count(&self, is_empty: Option<bool>) {
        let lane = self.ticket.home();
        let lasted = lane.now().saturating_sub(self.submitted);
        let is_first = is_empty == Some(false) && self.is_first();
        let mut core = lane.core.lock();
        core.tally.add_taken(self.rows, is_empty, lasted);
        if is_first {
            core.tally.add_first_response(lasted);
        }
    }

    /// Whether this is the first response of a decoupled model to its request.
    fn is_first(&self) -> bool {
        self.several.is_some() && !self.has_responded.swap(true, Ordering::Relaxed)
    }

    /// Counts a response before it is sent, so that whoever has it finds it counted.
    fn count_response(&self) {
        let lane = self.ticket.home();
        let first = self.is_first().then(|| lane.now().saturating_sub(self.submitted));
        let mut core = lane.core.lock();
        core.tally.add_response();
        if let Some(ns) = first {
            core.tally.add_first_response(ns);
        }
    }

    /// Answers with the final response, or an error; the sender learns whether somebody wanted it.
    fn conclude(&self, outcome: impl FnOnce() -> Result<Outputs, Error>) -> Result<(), Error> {
        if self.is_answered.swap(true, Ordering::AcqRel) {
            return Err(ANSWERED);
        }
        let outcome = outcome();
        let told = outcome.as_ref().err().cloned().map_or(Ok(()), Err);
        let is_heard = self.answer(outcome);
        let flight = self.flight.lock().take();
        drop(flight);
        match &self.several {
            Some(_) if !is_heard => told.and(Err(UNWANTED)),
            _ => told,
        }
    }

    /// Sends one of several responses.
    fn send_one(&self, several: &Several, outputs: Outputs) -> Result<(), Error> {
        match several {
            _ if self.is_answered.load(Ordering::Acquire) => Err(ANSWERED),
            Several::Stream(stream) => {
                let lane = self.ticket.home();
                self.count_response();
                stream.send(lane, outputs).inspect_err(|_| lane.core.lock().tally.take_response_back())
            }
            Several::One(_) if self.cancelled() => Err(UNWANTED),
            Several::One(first) => {
                let second = first.lock().replace(outputs);
                if second.is_some() { self.conclude(|| Err(self.not_one("several"))) } else { Ok(()) }
            }
        }
    }

    /// Sends the last of several responses, or an end without one.
    fn send_last(&self, several: &Several, outputs: Option<Outputs>) -> Result<(), Error> {
        let first = match several {
            Several::Stream(_) => return self.conclude(|| Ok(outputs.unwrap_or_default())),
            Several::One(first) => first.lock().take(),
        };
        self.conclude(|| match (first, outputs) {
            (Some(_), Some(_)) => Err(self.not_one("several")),
            (None, None) => Err(self.not_one("none")),
            (first, last) => Ok(first.or(last).unwrap_or_default()),
        })
    }

    fn not_one(&self, found: &str) -> Error {
        let place = self.ticket.home().spec.place();
        Error::unsupported(format!("{place}: found {found} of the model's responses, expected one; ask for a stream"))
    }
}

impl TakenResponder for Answerer {
    fn send(&self, sent: Sent<'_>, flags: ResponseFlags) -> Result<(), Error> {
        let several = match &self.several {
            Some(several) => several,
            None if flags.last => return self.conclude(|| sent.and_then(|outputs| self.outputs(outputs))),
            None => return Err(NOT_DECOUPLED),
        };
        let mut sent = match sent {
            Ok(outputs) => outputs.peekable(),
            Err(error) => return self.conclude(|| Err(error)),
        };
        if flags.last && sent.peek().is_none() {
            return self.send_last(several, None);
        }
        match self.outputs(&mut sent) {
            Ok(outputs) if flags.last => self.send_last(several, Some(outputs)),
            Ok(outputs) => self.send_one(several, outputs),
            Err(error) => self.conclude(|| Err(error)),
        }
    }

    fn finish(&self) -> Result<(), Error> {
        match &self.several {
            _ if self.is_answered.load(Ordering::Acquire) => Err(ANSWERED),
            Some(several) => self.send_last(several, None),
            None => Err(NOT_EMPTY),
        }
    }

    fn credit(&self) -> usize {
        match &self.several {
            None => 1,
            Some(_) if self.cancelled() || self.is_answered.load(Ordering::Acquire) => 0,
            Some(several) => several.credit(),
        }
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
        let lane = self.ticket.home();
        if let Some(timer) = self.timer {
            lane.services.timekeeper.disarm(timer);
        }
        let mut taken = lane.taken.lock();
        if let Some(index) = taken.iter().position(|known| known.is(&self.ticket)) {
            let own = taken.swap_remove(index);
            drop(taken);
            drop(own);
        }
        if lane.word.read().is_stopping() {
            lane.services.drained.ring();
        }
    }
}
