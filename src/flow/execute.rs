//! One execution: what a backend sees of a batch, and what becomes of its outputs.
//!
//! [`Execution`] is the `Batch` of the SDK over the seats of a batch. A request alone in its batch passes its memory
//! through; several are gathered once, on the first look at an input. Afterwards each seat gets its rows of each output:
//! the whole tensor when it is alone, a copy when they are few bytes, else a view.
//!
//! Per seat the order is: reply filled (if nobody answered early), instance brought back, inputs let go, reply published,
//! whoever waits told.

use super::answer::{self, On};
use super::instance::InstanceCell;
use super::lane::Lane;
use super::messenger;
use super::permit::Permit;
use super::spec::{CallerRuns, LaneSpec, bit};
use super::taken::{self, Flight};
use super::task::{Ask, HeldAsk, Ticket};
use super::worker::{Away, is_worker};
use crate::memory::{Target, WriteOnce};
use crate::observe::{Record, Stations};
use crate::sync::thread;
use crate::tensor::gather;
use inferlay_backend_sdk::{
    Batch, Error, ErrorKind, LogLevel, ParameterValue, Placement, Request, RequestInfo, Shape, Tensor, TensorMut,
    TensorRef,
};
use smallvec::SmallVec;
use std::cell::{Cell, OnceCell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// A request's place in a batch.
pub(crate) struct Seat {
    ask: HeldAsk,
    fate: RefCell<Fate>,
    /// Whether this execution has filled the reply.
    has_won: Cell<bool>,
}

/// Who answers a request of the batch.
enum Fate {
    /// The batch, with its outputs.
    Batch,
    /// The backend, through a responder, which may also hold the memory that the caller lent for outputs.
    Taken { holds_memory: bool },
    /// The batch, with this error.
    Failed(Error),
}

impl Seat {
    pub(super) fn new(ask: HeldAsk) -> Self {
        Seat { ask, fate: RefCell::new(Fate::Batch), has_won: Cell::new(false) }
    }

    pub(super) fn ticket(&self) -> &Ticket {
        self.ask.item()
    }

    fn is_taken(&self) -> bool {
        matches!(*self.fate.borrow(), Fate::Taken { .. })
    }

    /// Lets the inputs go and makes the reply known.
    pub(super) fn answer(mut self, on: On) {
        let deadline = self.ask.deadline;
        self.ask.clear();
        let ticket = self.ask.let_go();
        if self.has_won.get() {
            answer::publish(&ticket, true);
            answer::tell(ticket, on);
            return;
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
    }
}

/// Runs the batch in `seats` and fills the replies of those that are still wanted. The result is to be kept until they
/// are answered, see [`hold`].
pub(super) fn run(
    lane: &Arc<Lane>,
    cell: &mut InstanceCell,
    seats: &mut [Seat],
    record: &mut Record,
) -> Option<messenger::Held> {
    let clock = &lane.services.clock;
    let execution = Execution::new(lane, seats, cell);
    let result = {
        let _permit = Permit::new(&*lane.services.gate);
        let _inside = thread::Inside::enter();
        let _away = Away::begin();
        catch_unwind(AssertUnwindSafe(|| cell.instance.execute(&execution)))
    };
    let held = hold(lane, cell);
    record.ended = clock.now();
    let result = result.unwrap_or_else(|panic| Err(panicked(lane, &*panic)));
    (record.gathered, record.bytes_copied) = (execution.gather_time.get(), execution.bytes_copied.get());
    (record.requests, record.rows) = (seats.len(), execution.rows);
    let outcome = result.and_then(|()| execution.finish());
    match outcome {
        Ok(outputs) => fill(lane, seats, &outputs, record),
        Err(error) => refuse(seats, &error),
    }
    settle(lane, seats, record);
    held
}

/// A stop waits for workers, but not for a caller who leads or for an instance's own thread: where such a thread may have
/// callbacks to call or to post, it says so before it wins their requests.
fn hold(lane: &Lane, cell: &InstanceCell) -> Option<messenger::Held> {
    let is_leading_caller = || lane.spec.caller_runs == CallerRuns::Batch && !is_worker();
    (cell.own_thread.is_some() || is_leading_caller()).then(|| lane.services.messenger.hold())
}

/// Answers every seat that the batch has to answer with an error.
pub(super) fn refuse(seats: &mut [Seat], error: &Error) {
    for seat in seats.iter_mut().filter(|seat| !seat.is_taken()) {
        let error = match seat.fate.replace(Fate::Batch) {
            Fate::Failed(own) => own,
            _ => error.clone(),
        };
        seat.win(|reply| reply.error = Some(error));
    }
}

fn fill(lane: &Lane, seats: &mut [Seat], outputs: &Outputs, record: &mut Record) {
    let is_alone = seats.len() == 1;
    let mut first_row = 0;
    for seat in seats {
        let rows = seat.ask.rows;
        let place = if is_alone { Rows::All } else { Rows::Some { first: first_row, rows } };
        first_row += rows;
        if seat.is_taken() {
            continue;
        }
        match seat.fate.replace(Fate::Batch) {
            Fate::Failed(error) => seat.win(|reply| reply.error = Some(error)),
            _ => seat.fill(lane, outputs, place, record),
        }
    }
    if !is_alone {
        record.scattered = lane.services.clock.now().saturating_sub(record.ended);
    }
}

/// Timers, counts and traces, once the replies are filled.
fn settle(lane: &Lane, seats: &mut [Seat], record: &mut Record) {
    for seat in seats {
        record.waited += record.started.saturating_sub(seat.ask.submitted);
        if seat.is_taken() {
            // Its timer goes on: the deadline holds for the backend that answers later.
            record.taken += 1;
            continue;
        }
        if let Some(key) = seat.ask.timer.take() {
            lane.services.timekeeper.disarm(key);
        }
        if !seat.has_won.get() {
            record.lost += 1;
        } else if seat.has_won.get() && seat.ticket().reply.lock().error.is_some() {
            record.failed += 1;
        }
        if seat.ask.is_traced && seat.has_won.get() {
            let stations = Stations { submitted: seat.ask.submitted, id: &seat.ask.id, answered: lane.now() };
            let trace = stations.trace((&lane.spec.model, lane.spec.version), record);
            lane.services.tracer.keep(&trace);
            seat.ticket().reply.lock().trace = Some(Box::new(trace));
        }
    }
}

fn panicked(lane: &Lane, panic: &(dyn std::any::Any + Send)) -> Error {
    let said = panic.downcast_ref::<&str>().copied();
    let said = said.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message");
    let error = Error::new(ErrorKind::Panic, format!("{}: the backend panicked: {said}", lane.spec.place()));
    lane.services.log.write(LogLevel::Error, error.message());
    error
}

/// Which rows of the batch's outputs.
#[derive(Clone, Copy)]
enum Rows {
    All,
    Some { first: usize, rows: usize },
}

impl Seat {
    fn win(&self, fill: impl FnOnce(&mut super::task::Reply)) {
        if self.ticket().state.win_running() {
            fill(&mut self.ticket().reply.lock());
            self.has_won.set(true);
        }
    }

    fn fill(&mut self, lane: &Lane, outputs: &Outputs, place: Rows, record: &mut Record) {
        if !self.ticket().state.win_running() {
            return;
        }
        self.has_won.set(true);
        let ticket = self.ticket().clone();
        let mut reply = ticket.reply.lock();
        for (index, output) in outputs.iter().enumerate() {
            let wanted = self.ask.wanted & bit(index) != 0;
            let tensor = match output {
                Some(tensor) if wanted => self.part(lane, index, tensor, place, record),
                None if wanted => Err(missing(&lane.spec, index)),
                _ => Ok(None),
            };
            match tensor {
                Ok(tensor) => reply.outputs.push(tensor),
                Err(error) => {
                    reply.outputs.clear();
                    reply.error = Some(error);
                    return;
                }
            }
        }
    }

    /// This seat's rows of an output: `None` when they were written to memory of the caller.
    fn part(
        &mut self,
        lane: &Lane,
        index: usize,
        tensor: &Tensor,
        place: Rows,
        record: &mut Record,
    ) -> Result<Option<Tensor>, Error> {
        let rows = match place {
            Rows::All => None,
            Rows::Some { first, rows } => Some(tensor.rows(first, rows)?),
        };
        let part = rows.as_ref().unwrap_or(tensor);
        let into = self.ask.into.iter_mut().find(|(output, _)| *output == index);
        if let Some((_, lent)) = into {
            // A backend that wrote there itself has taken it out.
            let Some(mut lent) = lent.take() else { return Ok(None) };
            let bytes = part.data().bytes()?;
            if bytes.len() > lent.len() {
                return Err(too_small(&lane.spec, index, lent.len(), bytes.len()));
            }
            lent.write(bytes);
            record.bytes_copied += bytes.len();
            return Ok(None);
        }
        match rows {
            None => Ok(Some(tensor.clone())),
            Some(part) if part.data().len() > lane.services.tuning.small_output_len_max => Ok(Some(part)),
            Some(part) => {
                record.bytes_copied += part.data().len();
                gather::copy(&part, &lane.services.blocks).map(Some)
            }
        }
    }
}

type Outputs = SmallVec<[Option<Tensor>; 2]>;

/// The batch as a backend sees it.
struct Execution<'a> {
    lane: &'a Arc<Lane>,
    seats: &'a [Seat],
    rows: usize,
    inputs: SmallVec<[OnceCell<Tensor>; 2]>,
    outputs: SmallVec<[Output; 2]>,
    flight: OnceCell<Arc<Flight>>,
    cell: Arc<super::instance::InFlight>,
    gather_time: Cell<u64>,
    bytes_copied: Cell<usize>,
}

/// One output: handed over, or written in place with its shape.
#[derive(Default)]
struct Output {
    handed: OnceCell<Tensor>,
    written: WriteOnce,
    shape: OnceCell<Shape>,
}

impl<'a> Execution<'a> {
    fn new(lane: &'a Arc<Lane>, seats: &'a [Seat], cell: &InstanceCell) -> Self {
        let mut inputs = SmallVec::new();
        inputs.resize_with(lane.spec.inputs.len(), OnceCell::new);
        let mut outputs = SmallVec::new();
        outputs.resize_with(lane.spec.outputs.len(), Output::default);
        Execution {
            rows: seats.iter().map(|seat| seat.ask.rows).sum(),
            lane,
            seats,
            inputs,
            outputs,
            flight: OnceCell::new(),
            cell: cell.in_flight.clone(),
            gather_time: Cell::new(0),
            bytes_copied: Cell::new(0),
        }
    }

    fn spec(&self) -> &'a LaneSpec {
        &self.lane.spec
    }

    /// The one request of a batch of one.
    fn alone(&self) -> Option<&'a Seat> {
        match self.seats {
            [seat] => Some(seat),
            _ => None,
        }
    }

    fn gather(&self, index: usize) -> Result<Tensor, Error> {
        let clock = &self.lane.services.clock;
        let begun = clock.now();
        let parts = || self.seats.iter().map(|seat| seat.input_tensor(index));
        let tensor = gather::gather(parts, self.rows, &self.lane.services.blocks)
            .map_err(|error| error.at(format_args!("input '{}'", self.spec().inputs[index].name)))?;
        self.bytes_copied.set(self.bytes_copied.get() + tensor.data().len());
        self.gather_time.set(self.gather_time.get() + clock.now().saturating_sub(begun));
        Ok(tensor)
    }

    /// Memory for an output: the caller's own, if it lent some and is alone.
    fn target(&self, index: usize, len: usize) -> Result<Target, Error> {
        let alone = self.alone().filter(|seat| !seat.is_taken());
        let into = alone.and_then(|seat| seat.ask.into.iter().find(|(output, _)| *output == index));
        if let Some((_, cell)) = into
            && let Some(lent) = cell.take()
        {
            if lent.len() < len {
                return Err(too_small(self.spec(), index, lent.len(), len));
            }
            return Ok(Target::Lent(lent.truncate(len)));
        }
        match self.lane.services.blocks.take(len) {
            Some(block) => Ok(Target::Block(block)),
            None => Err(Error::new(ErrorKind::ResourceExhausted, format!("an output of {len} bytes is too large"))),
        }
    }

    /// The outputs, once the backend has returned.
    fn finish(self) -> Result<Outputs, Error> {
        let ports = &self.lane.spec.outputs;
        let outputs = self.outputs.into_iter().zip(ports).map(|(output, port)| {
            if let Some(tensor) = output.handed.into_inner() {
                return Ok(Some(tensor));
            }
            match (output.written.into_buffer(), output.shape.into_inner()) {
                (Some(buffer), Some(shape)) => Tensor::new(port.dtype, shape, buffer).map(Some),
                _ => Ok(None),
            }
        });
        outputs.collect()
    }
}

impl Batch for Execution<'_> {
    fn len(&self) -> usize {
        self.seats.len()
    }

    fn rows(&self) -> usize {
        self.rows
    }

    fn request(&self, index: usize) -> &dyn RequestInfo {
        &self.seats[index]
    }

    fn input(&self, index: usize, wanted: Placement) -> Result<TensorRef<'_>, Error> {
        if !wanted.kind.is_host() {
            return Err(Error::fixed(ErrorKind::Unsupported, "inputs are served in host memory only"));
        }
        let Some(cell) = self.inputs.get(index) else {
            return Err(Error::not_found(format!("{}: input {index} of {}", self.spec().place(), self.inputs.len())));
        };
        if let Some(seat) = self.alone() {
            return seat.input_tensor(index).map(Tensor::view);
        }
        if let Some(tensor) = cell.get() {
            return Ok(tensor.view());
        }
        let tensor = self.gather(index)?;
        Ok(cell.get_or_init(|| tensor).view())
    }

    fn output_wanted(&self, index: usize) -> bool {
        self.seats.iter().any(|seat| seat.ask.wanted & bit(index) != 0)
    }

    fn output_buffer(&self, index: usize, shape: Shape) -> Result<TensorMut<'_>, Error> {
        self.spec().check_output(index, None, &shape, self.rows)?;
        let dtype = self.spec().outputs[index].dtype;
        let Some(size) = dtype.size() else {
            return Err(Error::fixed(ErrorKind::Unsupported, "an output of BYTES cannot be written in place"));
        };
        let len = shape.elements().and_then(|elements| elements.checked_mul(size));
        let Some(len) = len else {
            return Err(Error::invalid_arg(format!("an output of shape {shape}: its size overflows")));
        };
        let output = &self.outputs[index];
        if output.written.is_set() || output.handed.get().is_some() {
            return Err(twice(self.spec(), index));
        }
        let target = self.target(index, len)?;
        match (output.shape.set(shape), output.written.lend(target)) {
            (Ok(()), Some(bytes)) => Ok(TensorMut::new(dtype, bytes)),
            _ => Err(twice(self.spec(), index)),
        }
    }

    fn output(&self, index: usize, tensor: Tensor) -> Result<(), Error> {
        self.spec().check_output(index, Some(tensor.dtype()), tensor.shape(), self.rows)?;
        let output = &self.outputs[index];
        if output.written.is_set() || output.handed.set(tensor).is_err() {
            return Err(twice(self.spec(), index));
        }
        Ok(())
    }

    fn fail(&self, request: usize, error: Error) {
        let mut fate = self.seats[request].fate.borrow_mut();
        if matches!(*fate, Fate::Batch) {
            *fate = Fate::Failed(error);
        }
    }

    fn take(&self, request: usize) -> Result<Request, Error> {
        let seat = &self.seats[request];
        let mut fate = seat.fate.borrow_mut();
        if !matches!(*fate, Fate::Batch) {
            return Err(Error::fixed(ErrorKind::FailedPrecondition, "the request was taken or failed before"));
        }
        let flight = self.flight.get_or_init(|| Flight::begin(self.lane, self.cell.clone()));
        let (request, holds_memory) = taken::take(seat.ticket(), &seat.ask, flight.clone());
        *fate = Fate::Taken { holds_memory };
        Ok(request)
    }
}

impl Seat {
    fn input_tensor(&self, index: usize) -> Result<&Tensor, Error> {
        let tensor = self.ask.inputs.get(index).and_then(Option::as_ref);
        tensor.ok_or_else(|| Error::not_found(format!("the request has no input {index}")))
    }

    fn ask(&self) -> &Ask {
        &self.ask
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
        self.ask().level as u32
    }

    fn deadline_ns(&self) -> Option<u64> {
        self.ask.deadline
    }

    fn cancelled(&self) -> bool {
        self.ticket().state.is_unwanted()
    }

    fn parameter(&self, name: &str) -> Option<&ParameterValue> {
        self.ask.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value)
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
}

pub(super) fn missing(spec: &LaneSpec, index: usize) -> Error {
    let place = spec.place();
    Error::internal(format!("{place}: the backend did not answer output '{}'", spec.outputs[index].name))
}

fn twice(spec: &LaneSpec, index: usize) -> Error {
    let name = &spec.outputs[index].name;
    Error::new(ErrorKind::FailedPrecondition, format!("{}: output '{name}' is answered twice", spec.place()))
}

pub(super) fn too_small(spec: &LaneSpec, index: usize, found: usize, expected: usize) -> Error {
    let name = &spec.outputs[index].name;
    let place = spec.place();
    Error::invalid_arg(format!(
        "{place}: output '{name}': found {found} bytes of the caller's memory, expected {expected}"
    ))
}
