//! What a backend sees of a batch: the `Batch` of the SDK over the seats.
//!
//! A request alone in its batch passes its memory through; several are gathered once, on the first look at an input. Each
//! output is answered once: written in place or handed over. Runs on the thread that executes, for one call of `execute`.

use super::answer;
use super::instance::InFlight;
use super::lane::Lane;
use super::seat::{Fate, Seat, Span};
use super::spec::{LaneSpec, bit};
use super::taken::{self, Flight};
use crate::backend::joint::{self, Join};
use crate::memory::{Target, WriteOnce};
use crate::observe::Record;
use crate::tensor::gather;
use inferlay_backend_sdk::{
    Batch, DataType, Error, ErrorKind, Placement, Request, RequestInfo, Shape, Tensor, TensorMut, TensorRef,
};
use std::cell::{Cell, OnceCell};
use std::sync::Arc;

/// The batch as a backend sees it.
pub(super) struct Execution<'a> {
    lane: &'a Arc<Lane>,
    seats: &'a [Seat],
    bench: &'a Bench,
    in_flight: &'a Arc<InFlight>,
    rows: usize,
    flight: OnceCell<Arc<Flight>>,
    gather_time: Cell<u64>,
    bytes_copied: Cell<usize>,
}

/// Where inputs are gathered and outputs are put; kept between batches for its capacity.
#[derive(Default)]
pub(super) struct Bench {
    inputs: Vec<OnceCell<Tensor>>,
    outputs: Vec<Output>,
    /// The shapes of inputs that are one dim for the backend, of a request that is alone.
    flat: Vec<OnceCell<Shape>>,
}

/// One output: handed over, or written in place with its shape.
#[derive(Default)]
struct Output {
    handed: OnceCell<Tensor>,
    written: WriteOnce,
    shape: OnceCell<Shape>,
    /// Of one that is not handed out by rows: which elements the seat gets whose turn it is.
    span: Cell<Option<Span>>,
}

impl Bench {
    /// Makes room for a lane's inputs and outputs.
    pub(super) fn prepare(&mut self, spec: &LaneSpec) {
        self.inputs.resize_with(spec.inputs.len(), OnceCell::new);
        self.outputs.resize_with(spec.outputs.len(), Output::default);
        if spec.shaping.joins {
            self.flat.resize_with(spec.inputs.len(), OnceCell::new);
        }
    }

    /// Turns what was written in place into tensors.
    ///
    /// # Errors
    /// Those of a tensor whose bytes do not fit its shape.
    pub(super) fn finish(&mut self, spec: &LaneSpec) -> Result<(), Error> {
        for (output, port) in self.outputs.iter_mut().zip(&spec.outputs) {
            if let (Some(buffer), Some(shape)) = (output.written.take(), output.shape.take()) {
                output.handed = OnceCell::from(Tensor::new(port.dtype, shape, buffer)?);
            }
        }
        if spec.shaping.outputs { self.turn_outward(spec) } else { Ok(()) }
    }

    /// Gives outputs the dims that clients know, or one dim where each seat gets its own part of the elements.
    #[cold]
    #[inline(never)]
    fn turn_outward(&mut self, spec: &LaneSpec) -> Result<(), Error> {
        for (index, output) in self.outputs.iter_mut().enumerate() {
            // The bench served other lanes before.
            output.span.set(None);
            let Some(tensor) = output.handed.take() else { continue };
            let turned = match spec.scatter(index) {
                None => spec.outward(index, tensor)?,
                Some(_) => {
                    output.span.set(Some(Span { first: 0, len: 0 }));
                    let elements = tensor.shape().elements().unwrap_or(0);
                    tensor.reshaped([elements])?
                }
            };
            output.handed = OnceCell::from(turned);
        }
        Ok(())
    }

    /// It is the turn of the next seat.
    #[cold]
    #[inline(never)]
    pub(super) fn turn_to(&self, seat: &Seat, spec: &LaneSpec) {
        for (index, output) in self.outputs.iter().enumerate() {
            let Some((scatter, span)) = spec.scatter(index).zip(output.span.get()) else { continue };
            // That every seat has a part was found out when the output came.
            let len = seat.part_shape(scatter).ok().and_then(|shape| shape.elements()).unwrap_or(0);
            output.span.set(Some(Span { first: span.first + span.len, len }));
        }
    }

    /// Which elements of an output the seat gets whose turn it is, if not by rows.
    pub(super) fn span(&self, index: usize) -> Option<Span> {
        self.outputs[index].span.get()
    }

    /// The outputs of a finished batch, by index.
    pub(super) fn outputs(&self) -> impl Iterator<Item = Option<&Tensor>> {
        self.outputs.iter().map(|output| output.handed.get())
    }

    /// The outputs, for the one request of a batch of one.
    pub(super) fn take_outputs(&mut self) -> impl Iterator<Item = Option<Tensor>> {
        self.outputs.iter_mut().map(|output| output.handed.take())
    }

    /// Lets everything go and keeps the capacity.
    pub(super) fn clear(&mut self) {
        for input in &mut self.inputs {
            input.take();
        }
        for shape in &mut self.flat {
            shape.take();
        }
        for output in &mut self.outputs {
            output.handed.take();
            output.written.take();
            output.shape.take();
        }
    }
}

impl<'a> Execution<'a> {
    pub(super) fn new(lane: &'a Arc<Lane>, seats: &'a [Seat], bench: &'a Bench, in_flight: &'a Arc<InFlight>) -> Self {
        Execution {
            rows: seats.iter().map(|seat| seat.ask.rows).sum(),
            lane,
            seats,
            bench,
            in_flight,
            flight: OnceCell::new(),
            gather_time: Cell::new(0),
            bytes_copied: Cell::new(0),
        }
    }

    fn spec(&self) -> &'a LaneSpec {
        &self.lane.spec
    }

    /// What it did besides executing, now that this is over.
    pub(super) fn report(&self, record: &mut Record) {
        self.flight.get().into_iter().for_each(|flight| flight.has_executed(record.ended));
        (record.gathered, record.bytes_copied) = (self.gather_time.get(), self.bytes_copied.get());
        record.rows = self.rows;
    }

    /// The one request of a batch of one.
    fn alone(&self) -> Option<&'a Seat> {
        match self.seats {
            [seat] => Some(seat),
            _ => None,
        }
    }

    /// The input of a request that is alone, over its own memory, though it may be one dim.
    #[cold]
    #[inline(never)]
    fn own(&self, seat: &'a Seat, index: usize) -> Result<TensorRef<'a>, Error> {
        let tensor = seat.input_tensor(index)?.view();
        if self.spec().inputs[index].join == Join::Rows {
            return Ok(tensor);
        }
        let elements = tensor.shape().elements().unwrap_or(0);
        tensor.reshaped(self.bench.flat[index].get_or_init(|| Shape::from([elements])))
    }

    #[inline]
    fn check_output(&self, index: usize, dtype: Option<DataType>, shape: &Shape) -> Result<(), Error> {
        match self.spec().shaping.scatters {
            false => self.spec().check_output(index, dtype, shape, self.rows),
            true => self.check_scattered(index, dtype, shape),
        }
    }

    #[cold]
    #[inline(never)]
    fn check_scattered(&self, index: usize, dtype: Option<DataType>, shape: &Shape) -> Result<(), Error> {
        let spec = self.spec();
        let Some(scatter) = spec.scatter(index) else { return spec.check_output(index, dtype, shape, self.rows) };
        let port = &spec.outputs[index];
        if let Some(dtype) = dtype.filter(|dtype| *dtype != port.dtype) {
            return Err(spec.wrong_output(port, &dtype, &port.dtype));
        }
        let mut expected = Some(0usize);
        for seat in self.seats {
            let part = seat.part_shape(scatter).map_err(|error| error.at(format_args!("output '{}'", port.name)))?;
            expected = part.elements().and_then(|part| expected?.checked_add(part));
        }
        match expected {
            Some(expected) if shape.elements() == Some(expected) => Ok(()),
            Some(expected) => {
                let expected = format_args!("{expected} elements, as the requests have");
                Err(spec.wrong_output(port, &format_args!("shape {shape}"), &expected))
            }
            None => Err(spec.wrong_output(port, &"parts whose number of elements overflows", &"fewer")),
        }
    }

    fn gather(&self, index: usize) -> Result<Tensor, Error> {
        let clock = &self.lane.services.clock;
        let begun = clock.now();
        let (port, blocks) = (&self.spec().inputs[index], &self.lane.services.blocks);
        let parts = |index| self.seats.iter().map(move |seat| seat.input_tensor(index));
        let tensor = match port.join {
            Join::Rows => gather::gather(|| parts(index), self.rows, blocks),
            Join::Flat => gather::flat(|| parts(index), blocks),
            Join::Told { kind, source } => {
                joint::told(kind, port.dtype, || parts(source).map(|part| part.map(Tensor::shape)), blocks)
            }
        };
        let tensor = tensor.map_err(|error| error.at(format_args!("input '{}'", port.name)))?;
        if port.join.is_of_requests() {
            self.bytes_copied.set(self.bytes_copied.get() + tensor.data().len());
        }
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
        let Some(cell) = self.bench.inputs.get(index) else {
            return Err(Error::not_found(format!(
                "{}: input {index} of {}",
                self.spec().place(),
                self.bench.inputs.len()
            )));
        };
        if let Some(seat) = self.alone() {
            match self.spec().shaping.joins {
                false => return seat.input_tensor(index).map(Tensor::view),
                true if self.spec().inputs[index].join.is_of_requests() => return self.own(seat, index),
                true => {}
            }
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
        self.check_output(index, None, &shape)?;
        let dtype = self.spec().outputs[index].dtype;
        let Some(size) = dtype.size() else {
            return Err(Error::fixed(ErrorKind::Unsupported, "an output of BYTES cannot be written in place"));
        };
        let len = shape.elements().and_then(|elements| elements.checked_mul(size));
        let Some(len) = len else {
            return Err(Error::invalid_arg(format!("an output of shape {shape}: its size overflows")));
        };
        let output = &self.bench.outputs[index];
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
        self.check_output(index, Some(tensor.dtype()), tensor.shape())?;
        let output = &self.bench.outputs[index];
        if output.written.is_set() || output.handed.set(tensor).is_err() {
            return Err(twice(self.spec(), index));
        }
        Ok(())
    }

    fn fail(&self, request: usize, error: Error) {
        let error = if error.kind() == ErrorKind::InstanceLost {
            let error = answer::cause(error, None, self.lane);
            self.in_flight.lose(error.clone());
            error
        } else {
            error
        };
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
        let flight = self.flight.get_or_init(|| Flight::begin(self.lane, self.in_flight.clone()));
        let (request, holds_memory) = taken::take(seat.ticket(), &seat.ask, flight.clone());
        *fate = Fate::Taken { holds_memory };
        Ok(request)
    }
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
