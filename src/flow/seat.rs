//! A seat: one request in a batch, from the claim to the answer.
//!
//! It holds the request's `ask`, says of it what a backend may know, and gets its rows of each output: the whole tensor
//! when it is alone in the batch, a copy when they are few bytes, else a view. Runs on the thread that executes.

use super::answer::{self, On};
use super::execution::{Bench, too_small};
use super::lane::Lane;
use super::services::Services;
use super::spec::{LaneSpec, bit};
use super::task::{CancelToken, HeldAsk, Reply, Ticket, Written};
use crate::backend::joint::Scatter;
use crate::observe::{Record, Timing};
use crate::tensor::gather;
use inferlay_backend_sdk::{Error, ParameterValue, Placement, RequestInfo, Shape, Tensor, TensorRef};
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// A request's place in a batch.
pub(crate) struct Seat {
    pub(super) ask: HeldAsk,
    pub(super) fate: RefCell<Fate>,
    /// Whether this execution has filled the reply.
    pub(super) has_won: Cell<bool>,
    /// Whether it was filled with an error.
    pub(super) has_failed: Cell<bool>,
}

/// Who answers a request of the batch.
pub(super) enum Fate {
    /// The batch, with its outputs.
    Batch,
    /// The backend, through a responder, which may also hold the memory that the caller lent for outputs.
    Taken { holds_memory: bool },
    /// The batch, with this error.
    Failed(Error),
}

impl Seat {
    pub(super) fn new(ask: HeldAsk) -> Self {
        Seat { ask, fate: RefCell::new(Fate::Batch), has_won: Cell::new(false), has_failed: Cell::new(false) }
    }

    pub(super) fn ticket(&self) -> &Ticket {
        self.ask.item()
    }

    pub(super) fn is_taken(&self) -> bool {
        matches!(*self.fate.borrow(), Fate::Taken { .. })
    }

    /// What the tally is told of it.
    pub(super) fn timing(&self) -> Timing {
        Timing { submitted: self.ask.submitted, is_good: self.has_won.get() && !self.has_failed.get() }
    }

    /// The error of its own that it was failed with, taken.
    pub(super) fn failure(&self) -> Option<Error> {
        let mut fate = self.fate.borrow_mut();
        match std::mem::replace(&mut *fate, Fate::Batch) {
            Fate::Failed(error) => Some(error),
            other => {
                *fate = other;
                None
            }
        }
    }

    /// Lets the inputs go and makes the reply known. The ticket, if a caller waits for it.
    pub(super) fn answer(mut self, on: On, services: &Services) -> Option<Ticket> {
        let deadline = self.ask.deadline;
        // Inputs are the application's: letting them go may run its destructors.
        let cleared = catch_unwind(AssertUnwindSafe(|| self.ask.clear()));
        if let Err(panic) = cleared {
            answer::contain(services, || resume_unwind(panic));
        }
        let ticket = self.ask.let_go();
        if self.has_won.get() {
            if let Some(order) = &ticket.home().order {
                answer::release(&ticket);
                order.settle(ticket.clone(), deadline);
                return None;
            }
            answer::publish(&ticket, true);
            if ticket.state.is_blocking() {
                return Some(ticket);
            }
            answer::tell(ticket, on, services);
            return None;
        }
        match self.fate.into_inner() {
            Fate::Taken { holds_memory: true } => {}
            Fate::Taken { holds_memory: false } => {
                answer::release(&ticket);
                // Given up while memory was lent, and nobody looks again.
                answer::catch_up(&ticket, deadline);
            }
            _ => answer::release(&ticket),
        }
        ticket.state.is_blocking().then_some(ticket)
    }
}

/// Which part of an output is a seat's: rows, or elements where it is not handed out by rows.
#[derive(Clone, Copy)]
pub(super) struct Span {
    pub(super) first: usize,
    pub(super) len: usize,
}

impl Seat {
    /// Fills the reply, if nobody answered early and no backend will.
    pub(super) fn win(&self, fill: impl FnOnce(&mut Reply)) {
        let ticket = self.ticket();
        if !self.is_taken() && ticket.state.win_running(ticket.is_sole()) {
            let mut reply = ticket.reply.lock();
            fill(&mut reply);
            if let Some(error) = reply.error.take() {
                self.has_failed.set(true);
                reply.error = Some(answer::cause(error, self.ask.deadline, ticket.home()));
            }
            self.has_won.set(true);
        }
    }

    /// Fills the reply with the whole outputs, which are this seat's alone.
    pub(super) fn fill_alone(&self, lane: &Lane, bench: &mut Bench, record: &mut Record) {
        self.win(|reply| {
            for (index, output) in bench.take_outputs().enumerate() {
                let tensor = match output {
                    Some(tensor) if self.wants(index) && lane.spec.shaping.scatters => self
                        .whole(lane, index, tensor)
                        .and_then(|tensor| self.hand_out(lane, index, tensor, record, &mut reply.written)),
                    Some(tensor) if self.wants(index) => self.hand_out(lane, index, tensor, record, &mut reply.written),
                    None if self.wants(index) => Err(missing(&lane.spec, index)),
                    _ => Ok(None),
                };
                if !put(reply, tensor) {
                    return;
                }
            }
        });
    }

    /// Fills the reply with this seat's rows of the outputs.
    pub(super) fn fill(&self, lane: &Lane, bench: &Bench, rows: Span, record: &mut Record) {
        self.win(|reply| {
            for (index, output) in bench.outputs().enumerate() {
                let tensor = match output {
                    Some(tensor) if self.wants(index) => {
                        let span = if lane.spec.shaping.scatters { bench.span(index).unwrap_or(rows) } else { rows };
                        self.part((lane, index), tensor, span, record, &mut reply.written)
                    }
                    None if self.wants(index) => Err(missing(&lane.spec, index)),
                    _ => Ok(None),
                };
                if !put(reply, tensor) {
                    return;
                }
            }
        });
    }

    fn wants(&self, index: usize) -> bool {
        self.ask.wanted & bit(index) != 0
    }

    /// This seat's part of an output: a copy when it is few bytes, else a view.
    fn part(
        &self,
        (lane, index): (&Lane, usize),
        tensor: &Tensor,
        span: Span,
        record: &mut Record,
        written: &mut Vec<Written>,
    ) -> Result<Option<Tensor>, Error> {
        if let Some(scatter) = lane.spec.scatter(index) {
            let part = self.scattered((lane, index), tensor, (span, scatter), record)?;
            return self.hand_out(lane, index, part, record, written);
        }
        let Services { blocks, tuning, .. } = &*lane.services;
        let small_max = tuning.small_output_len_max;
        if self.ask.into.iter().any(|(output, _)| *output == index) {
            return self.hand_out(lane, index, tensor.rows(span.first, span.len)?, record, written);
        }
        if let Some(copy) = gather::copy_rows(tensor, (span.first, span.len), small_max, blocks)? {
            record.bytes_copied += copy.data().len();
            return Ok(Some(copy));
        }
        let part = tensor.rows(span.first, span.len)?;
        if part.data().len() > small_max {
            return Ok(Some(part));
        }
        record.bytes_copied += part.data().len();
        gather::copy(&part, blocks).map(Some)
    }

    /// The shape of this seat's part of an output that is not handed out by rows.
    pub(super) fn part_shape(&self, scatter: &Scatter) -> Result<Shape, Error> {
        scatter.shape(self.input_tensor(scatter.source)?.shape())
    }

    /// An output that is this seat's alone, under the dims that clients know.
    #[cold]
    #[inline(never)]
    fn whole(&self, lane: &Lane, index: usize, tensor: Tensor) -> Result<Tensor, Error> {
        match lane.spec.scatter(index) {
            Some(scatter) => lane.spec.outward(index, tensor.reshaped(self.part_shape(scatter)?)?),
            None => Ok(tensor),
        }
    }

    /// This seat's elements of an output of one dim: a copy when they are few bytes, else a view.
    #[cold]
    #[inline(never)]
    fn scattered(
        &self,
        (lane, index): (&Lane, usize),
        tensor: &Tensor,
        (span, scatter): (Span, &Scatter),
        record: &mut Record,
    ) -> Result<Tensor, Error> {
        let mut part = tensor.rows(span.first, span.len)?;
        if part.data().len() <= lane.services.tuning.small_output_len_max {
            record.bytes_copied += part.data().len();
            part = gather::copy(&part, &lane.services.blocks)?;
        }
        lane.spec.outward(index, part.reshaped(self.part_shape(scatter)?)?)
    }

    /// An output as the request wants it: itself, or `None` when it is in memory of the caller.
    fn hand_out(
        &self,
        lane: &Lane,
        index: usize,
        tensor: Tensor,
        record: &mut Record,
        written: &mut Vec<Written>,
    ) -> Result<Option<Tensor>, Error> {
        let Some((_, lent)) = self.ask.into.iter().find(|(output, _)| *output == index) else {
            return Ok(Some(tensor));
        };
        let bytes = tensor.data().bytes()?;
        let (shape, len) = (tensor.shape().clone(), bytes.len());
        let Some(mut lent) = lent.take() else {
            // A backend that wrote there itself has taken it out.
            written.push(Written { index, shape, len, address: bytes.as_ptr().expose_provenance() });
            return Ok(None);
        };
        if bytes.len() > lent.len() {
            return Err(too_small(&lane.spec, index, lent.len(), bytes.len()));
        }
        lent.write(bytes);
        record.bytes_copied += len;
        written.push(Written { index, shape, len, address: lent.address() });
        Ok(None)
    }
}

/// Adds an output to a reply; whether it was no error.
fn put(reply: &mut Reply, tensor: Result<Option<Tensor>, Error>) -> bool {
    match tensor {
        Ok(tensor) => {
            reply.outputs.push(tensor);
            true
        }
        Err(error) => {
            reply.clear_outputs();
            reply.error = Some(error);
            false
        }
    }
}

impl Seat {
    pub(super) fn input_tensor(&self, index: usize) -> Result<&Tensor, Error> {
        let tensor = self.ask.inputs.get(index).and_then(Option::as_ref);
        tensor.ok_or_else(|| Error::not_found(format!("the request has no input {index}")))
    }
}

impl RequestInfo for Seat {
    fn id(&self) -> &str {
        &self.ask.id
    }

    fn rows(&self) -> usize {
        self.ask.rows
    }

    fn priority(&self) -> u32 {
        self.ask.level as u32
    }

    fn deadline_ns(&self) -> Option<u64> {
        self.ask.deadline
    }

    fn cancelled(&self) -> bool {
        let is_late = |deadline| self.ticket().home().now() >= deadline;
        let is_cancelled = self.ask.token.as_ref().is_some_and(CancelToken::is_cancelled);
        is_cancelled
            || self.ticket().home().has_ended()
            || self.ticket().state.is_unwanted()
            || self.ask.deadline.is_some_and(is_late)
    }

    fn parameter(&self, name: &str) -> Option<&ParameterValue> {
        self.ask.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    fn parameter_at(&self, index: usize) -> Option<(&str, &ParameterValue)> {
        self.ask.parameters.get(index).map(|(name, value)| (name.as_str(), value))
    }

    fn output_wanted(&self, index: usize) -> bool {
        self.ask.wanted & bit(index) != 0
    }

    fn output_placement(&self, _index: usize) -> Placement {
        Placement::HOST
    }

    fn input(&self, index: usize) -> Result<TensorRef<'_>, Error> {
        self.input_tensor(index).map(Tensor::view)
    }

    fn correlation_id(&self) -> u64 {
        self.ask.sequence.id
    }

    fn correlation_text(&self) -> &str {
        &self.ask.sequence.text
    }

    fn sequence_start(&self) -> bool {
        self.ask.sequence.starts
    }

    fn sequence_end(&self) -> bool {
        self.ask.sequence.ends
    }
}

pub(super) fn missing(spec: &LaneSpec, index: usize) -> Error {
    let place = spec.place();
    Error::internal(format!("{place}: the backend did not answer output '{}'", spec.outputs[index].name))
}
