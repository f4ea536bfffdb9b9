//! One batch that a thread of the application has pulled, from the take of its requests to their answers.
//!
//! ```text
//!   execute: every request is taken --> Pulled, in the queue --> pulled: the unwanted are let go
//!     --> inputs joined on the first look, outputs set --> settle: each request gets its rows, or an error
//! ```
//!
//! Invariants: 1. every request is answered once: by `settle`, with an error when the batch is dropped before that, or
//! early by a deadline, a cancel or a stop; then the late answer goes nowhere. 2. An input that was looked at stays where
//! it is until the batch is dropped, also after the answer. Used by one thread at a time, whichever it is.

use super::closure::ModelBatch;
use super::joint::{self, Join, Scatter};
use super::queue::Line;
use crate::memory::{Target, WriteOnce};
use crate::tensor::gather;
use inferlay_backend_sdk::{
    Batch, DataType, Error, ErrorKind, Placement, Request, RequestInfo, Responder, Shape, Signature, Tensor, TensorMut,
    TensorRef,
};
use smallvec::SmallVec;
use std::cell::{OnceCell, RefCell};
use std::sync::Arc;

const UNWANTED: Error = Error::fixed(ErrorKind::Cancelled, "the request was cancelled");
const ANSWERED: Error = Error::fixed(ErrorKind::FailedPrecondition, "the batch was answered before");

/// A batch whose requests were taken, in the queue or pulled.
pub(crate) struct Pulled {
    line: Arc<Line>,
    /// None once it is answered.
    seats: Vec<Seat>,
    rows: usize,
    inputs: Vec<OnceCell<Tensor>>,
    outputs: Vec<Output>,
}

/// A request and what answers it.
struct Seat {
    request: Request,
    responder: Responder,
    /// The error of its own that it was failed with.
    failure: RefCell<Option<Error>>,
}

/// One output: handed over, or written in place with its shape.
#[derive(Default)]
struct Output {
    handed: OnceCell<Tensor>,
    written: WriteOnce,
    shape: OnceCell<Shape>,
}

impl Pulled {
    pub(super) fn new(line: Arc<Line>, requests: Vec<Request>) -> Self {
        let seat = |request: Request| Seat { responder: request.responder(), request, failure: RefCell::new(None) };
        let seats: Vec<_> = requests.into_iter().map(seat).collect();
        let signature = line.signature();
        Pulled {
            rows: rows(&seats),
            seats,
            inputs: signature.inputs.iter().map(|_| OnceCell::new()).collect(),
            outputs: signature.outputs.iter().map(|_| Output::default()).collect(),
            line,
        }
    }

    /// The batch without the requests that nobody wants answered any more; `None` when no other is left.
    pub(super) fn wanted(mut self) -> Option<Self> {
        let is_unwanted = |seat: &Seat| seat.request.info().cancelled();
        let (unwanted, wanted): (Vec<_>, _) = std::mem::take(&mut self.seats).into_iter().partition(is_unwanted);
        // Those to which the caller lent memory are not answered yet.
        unwanted.into_iter().for_each(|seat| seat.responder.fail(UNWANTED));
        self.rows = rows(&wanted);
        self.seats = wanted;
        (!self.seats.is_empty()).then_some(self)
    }

    /// As the function of a model would see it.
    pub(crate) fn view(&self) -> ModelBatch<'_> {
        ModelBatch::new(self, self.signature())
    }

    fn signature(&self) -> &Signature {
        self.line.signature()
    }

    /// Whether its requests wait for an answer.
    pub(crate) fn is_open(&self) -> bool {
        !self.seats.is_empty()
    }

    /// Answers every request: with its rows of the outputs, or with the error.
    ///
    /// # Errors
    /// `FAILED_PRECONDITION` for the second time; the first error that an answer became because the outputs do not fit.
    pub(crate) fn settle(&mut self, outcome: Result<(), Error>) -> Result<(), Error> {
        if !self.is_open() {
            return Err(ANSWERED);
        }
        let seats = std::mem::take(&mut self.seats);
        if let Err(error) = outcome {
            seats.into_iter().for_each(|seat| seat.responder.fail(error.clone()));
            return Ok(());
        }
        let (mut next, mut told) = (SmallVec::<[usize; 4]>::from_elem(0, self.outputs.len()), Ok(()));
        let outputs = self.finish();
        for seat in seats {
            let spans: SmallVec<[_; 4]> = (0..next.len()).map(|index| (next[index], self.span(&seat, index))).collect();
            let answered = match &outputs {
                Ok(outputs) => self.answer(seat, outputs, &spans),
                Err(error) => Err(seat.refuse(error.clone())),
            };
            told = told.and(answered);
            next.iter_mut().zip(&spans).for_each(|(next, (_, len))| *next += len);
        }
        told
    }

    /// The outputs that were handed over or written.
    fn finish(&mut self) -> Result<Vec<Option<Tensor>>, Error> {
        let specs = &self.line.signature().outputs;
        let joints = &self.line.joints().outputs;
        let finished = self.outputs.iter_mut().zip(specs).zip(joints).map(|((output, spec), scatter)| {
            let tensor = match (output.written.take(), output.shape.take()) {
                (Some(buffer), Some(shape)) => Some(Tensor::new(spec.dtype, shape, buffer)?),
                _ => output.handed.take(),
            };
            let flat = |tensor: Tensor| {
                let elements = tensor.shape().elements().unwrap_or(0);
                tensor.reshaped([elements])
            };
            if scatter.is_some() { tensor.map(flat).transpose() } else { Ok(tensor) }
        });
        finished.collect()
    }

    fn answer(&self, seat: Seat, outputs: &[Option<Tensor>], spans: &[(usize, usize)]) -> Result<(), Error> {
        if let Some(error) = seat.failure.take() {
            seat.responder.fail(error);
            return Ok(());
        }
        let info = seat.request.info();
        let wanted = outputs.iter().enumerate().filter(|(index, _)| info.output_wanted(*index));
        let parts = wanted.map(|(index, tensor)| {
            // Of a decoupled model no output at all would be an end without a response.
            let tensor = tensor.as_ref().ok_or_else(|| self.missing(index))?;
            match &self.line.joints().outputs[index] {
                Some(scatter) => {
                    let part = self.part(tensor, spans[index], tensor.shape()[0])?;
                    Ok((index, part.reshaped(seat.part_shape(scatter)?)?))
                }
                // One of a model that does not batch is a seat's as it is.
                None => Ok((index, self.part(tensor, spans[index], self.rows)?)),
            }
        });
        match parts.collect::<Result<Vec<_>, Error>>() {
            Ok(parts) => seat.responder.respond(parts),
            Err(error) => Err(seat.refuse(error)),
        }
    }

    /// Some rows of an output that has `all` of them: a copy when they are few bytes, else a view.
    fn part(&self, tensor: &Tensor, (first, rows): (usize, usize), all: usize) -> Result<Tensor, Error> {
        if rows == all {
            return Ok(tensor.clone());
        }
        let (blocks, small_max) = (self.line.blocks(), self.line.small_output_len_max);
        if let Some(copy) = gather::copy_rows(tensor, (first, rows), small_max, blocks)? {
            return Ok(copy);
        }
        let part = tensor.rows(first, rows)?;
        if part.data().len() > small_max { Ok(part) } else { gather::copy(&part, blocks) }
    }

    /// How much of an output is a seat's: rows, or elements of one that is not handed out by rows.
    fn span(&self, seat: &Seat, index: usize) -> usize {
        match &self.line.joints().outputs[index] {
            // That every seat has a part was found out when the output came.
            Some(scatter) => seat.part_shape(scatter).ok().and_then(|shape| shape.elements()).unwrap_or(0),
            None => seat.request.info().rows(),
        }
    }

    fn gather(&self, index: usize) -> Result<Tensor, Error> {
        let (join, spec, blocks) =
            (self.line.joints().inputs[index], &self.signature().inputs[index], self.line.blocks());
        let joined = match join {
            Join::Rows => self.gather_rows(index),
            Join::Flat => self.parts(index).and_then(|parts| gather::flat(|| parts.iter().map(Ok), blocks)),
            Join::Told { kind, source } => {
                joint::told(kind, spec.dtype, || self.seats.iter().map(|seat| seat.input_shape(source)), blocks)
            }
        };
        joined.map_err(|error| error.at(format_args!("input '{}'", spec.name)))
    }

    fn parts(&self, index: usize) -> Result<Vec<Tensor>, Error> {
        self.seats.iter().map(|seat| Ok(seat.request.info().input(index)?.to_tensor())).collect()
    }

    fn gather_rows(&self, index: usize) -> Result<Tensor, Error> {
        match <[Tensor; 1]>::try_from(self.parts(index)?) {
            Ok([alone]) => Ok(alone),
            Err(parts) => gather::gather(|| parts.iter().map(Ok), self.rows, self.line.blocks()),
        }
    }

    /// Whether an output is what the config promises; `dtype` is `None` where there is no choice.
    fn check(&self, index: usize, dtype: Option<DataType>, shape: &Shape) -> Result<&Output, Error> {
        let place = self.line.place();
        let Some((output, spec)) = self.outputs.get(index).zip(self.signature().outputs.get(index)) else {
            return Err(Error::not_found(format!("{place}: output {index} of {}", self.outputs.len())));
        };
        if !self.is_open() {
            return Err(ANSWERED);
        }
        let wrong = |found: &dyn std::fmt::Display, expected: &dyn std::fmt::Display| {
            let name = &spec.name;
            Err(Error::invalid_arg(format!("{place}: output '{name}': found {found}, expected {expected}")))
        };
        if let Some(dtype) = dtype.filter(|dtype| *dtype != spec.dtype) {
            return wrong(&dtype, &spec.dtype);
        }
        if let Some(scatter) = &self.line.joints().outputs[index] {
            let mut expected = 0usize;
            for seat in &self.seats {
                expected = expected.saturating_add(seat.part_shape(scatter)?.elements().unwrap_or(usize::MAX));
            }
            if shape.elements() != Some(expected) {
                return wrong(
                    &format_args!("shape {shape}"),
                    &format_args!("{expected} elements, as the requests have"),
                );
            }
        } else if self.signature().batches && shape.first() != Some(&self.rows) {
            return wrong(&format_args!("shape {shape}"), &format_args!("{} rows", self.rows));
        }
        let fits = |(dim, found): (&i64, &usize)| *dim < 0 || usize::try_from(*dim) == Ok(*found);
        let dims = spec.dims.as_ref().filter(|_| self.line.joints().outputs[index].is_none());
        match dims {
            Some(dims) if dims.len() != shape.len() || !dims.iter().zip(shape.iter()).all(fits) => {
                wrong(&format_args!("shape {shape}"), &format_args!("{dims:?}"))
            }
            _ if output.written.is_set() || output.handed.get().is_some() => Err(self.twice(index)),
            _ => Ok(output),
        }
    }

    fn missing(&self, index: usize) -> Error {
        let (place, name) = (self.line.place(), &self.signature().outputs[index].name);
        Error::internal(format!("{place}: the batch did not answer output '{name}'"))
    }

    fn twice(&self, index: usize) -> Error {
        let (place, name) = (self.line.place(), &self.signature().outputs[index].name);
        Error::new(ErrorKind::FailedPrecondition, format!("{place}: output '{name}' is answered twice"))
    }
}

impl Seat {
    fn part_shape(&self, scatter: &Scatter) -> Result<Shape, Error> {
        scatter.shape(self.input_shape(scatter.source)?)
    }

    fn input_shape(&self, index: usize) -> Result<&Shape, Error> {
        Ok(self.request.info().input(index)?.shape())
    }

    fn refuse(self, error: Error) -> Error {
        self.responder.fail(error.clone());
        error
    }
}

fn rows(seats: &[Seat]) -> usize {
    seats.iter().map(|seat| seat.request.info().rows()).sum()
}

impl Batch for Pulled {
    fn len(&self) -> usize {
        self.seats.len()
    }

    fn rows(&self) -> usize {
        self.rows
    }

    fn request(&self, index: usize) -> &dyn RequestInfo {
        self.seats[index].request.info()
    }

    fn input(&self, index: usize, wanted: Placement) -> Result<TensorRef<'_>, Error> {
        if !wanted.kind.is_host() {
            return Err(Error::fixed(ErrorKind::Unsupported, "inputs are served in host memory only"));
        }
        let Some(cell) = self.inputs.get(index) else {
            return Err(Error::not_found(format!("{}: input {index} of {}", self.line.place(), self.inputs.len())));
        };
        if let Some(tensor) = cell.get() {
            return Ok(tensor.view());
        }
        if !self.is_open() {
            return Err(ANSWERED);
        }
        let tensor = self.gather(index)?;
        Ok(cell.get_or_init(|| tensor).view())
    }

    fn output_wanted(&self, index: usize) -> bool {
        self.seats.iter().any(|seat| seat.request.info().output_wanted(index))
    }

    fn output_buffer(&self, index: usize, shape: Shape) -> Result<TensorMut<'_>, Error> {
        let output = self.check(index, None, &shape)?;
        let dtype = self.signature().outputs[index].dtype;
        let Some(size) = dtype.size() else {
            return Err(Error::fixed(ErrorKind::Unsupported, "an output of BYTES cannot be written in place"));
        };
        let len = shape.elements().and_then(|elements| elements.checked_mul(size));
        let Some(block) = len.and_then(|len| self.line.blocks().take(len)) else {
            return Err(Error::new(ErrorKind::ResourceExhausted, format!("an output of shape {shape} is too large")));
        };
        match (output.shape.set(shape), output.written.lend(Target::Block(block))) {
            (Ok(()), Some(bytes)) => Ok(TensorMut::new(dtype, bytes)),
            _ => Err(self.twice(index)),
        }
    }

    fn output(&self, index: usize, tensor: Tensor) -> Result<(), Error> {
        let output = self.check(index, Some(tensor.dtype()), tensor.shape())?;
        output.handed.set(tensor).map_err(|_| self.twice(index))
    }

    fn fail(&self, request: usize, error: Error) {
        self.seats[request].failure.borrow_mut().get_or_insert(error);
    }

    fn take(&self, _request: usize) -> Result<Request, Error> {
        Err(Error::fixed(ErrorKind::Unsupported, "a request of a pulled batch is answered with its batch"))
    }
}

impl Drop for Pulled {
    fn drop(&mut self) {
        if self.is_open() {
            let place = self.line.place();
            let error = Error::internal(format!("{place}: a pulled batch was dropped before it was answered"));
            let _answered = self.settle(Err(error));
        }
    }
}
