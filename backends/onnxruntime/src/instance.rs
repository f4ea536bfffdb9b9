//! One execution at a time: checks the inputs, runs the session over the memory that they lie in, hands the outputs over.
//!
//! ```text
//!   input   bytes of the batch, as they lie; texts are copied into the runtime, and so is what is not aligned
//!   output  shape known ahead: written into the memory that the engine provides
//!           otherwise:         memory of the runtime's, handed over with the value that owns it
//! ```
//!
//! Invariant: no memory of an input is kept after `execute`, and none of an output by the runtime.

use crate::network::Network;
use crate::raw::{Call, Fetched, Run, Value, element_name, element_of, monotonic_ns};
use crate::refusal::refused;
use crate::watch::Watched;
use inferlay_backend_sdk::{
    Batch, Buffer, DataType, Error, ErrorKind, Instance, InstanceSpec, Placement, Shape, Tensor, TensorRef, TensorSpec,
};
use std::sync::Arc;

pub(crate) struct OnnxRuntimeInstance {
    network: Arc<Network>,
    run: Run,
    watched: Watched,
    /// The size of each named dim in this batch.
    sizes: Vec<Option<usize>>,
}

impl OnnxRuntimeInstance {
    /// # Errors
    /// `UNSUPPORTED` for a device that the model's providers do not compute on.
    pub(crate) fn new(network: Arc<Network>, spec: &InstanceSpec) -> Result<Self, Error> {
        let run = network.run(spec.device)?;
        let names = network.dim_numbers.iter().flatten().flatten().max().map_or(0, |highest| highest + 1);
        let watched = Watched::new(run.interrupt());
        Ok(OnnxRuntimeInstance { network, run, watched, sizes: vec![None; names] })
    }
}

impl Instance for OnnxRuntimeInstance {
    fn execute(&mut self, batch: &dyn Batch) -> Result<(), Error> {
        let (network, signature) = (&*self.network, &self.network.signature);
        let mut call = self.run.begin();
        self.sizes.fill(None);
        for (index, (spec, numbers)) in signature.inputs.iter().zip(&network.dim_numbers).enumerate() {
            let input = batch.input(index, Placement::HOST)?;
            spec.check_input(&input, numbers, &mut self.sizes)?;
            feed(&mut call, &input).map_err(|error| error.at(format!("input '{}'", spec.name)))?;
        }
        let wanted = || (0..signature.outputs.len()).filter(|index| batch.output_wanted(*index));
        // Neither nothing nor the nothing that comes of it is worth a run; operators differ in whether they take it.
        if signature.batches && batch.rows() == 0 {
            return wanted().try_for_each(|index| empty_output(&signature.outputs[index], index, batch));
        }
        for index in wanted() {
            want(&mut call, network, index, batch)?;
        }
        if wanted().next().is_none() {
            return Ok(());
        }
        if let Err(error) = self.watched.during(batch, || call.run()) {
            return failed(&error, batch);
        }
        for (index, fetched) in wanted().zip(call.outputs()) {
            answer(batch, index, &signature.outputs[index], fetched)?;
        }
        Ok(())
    }
}

/// Has an input read from where it lies, if the runtime can.
fn feed<'b>(call: &mut Call<'_, 'b>, input: &TensorRef<'b>) -> Result<(), Error> {
    let failed = |error: ort::Error| refused("ONNX Runtime", ErrorKind::Internal, &error);
    let (dtype, shape, bytes) = (input.dtype(), input.shape(), input.bytes()?);
    // Inside the runtime a truth is a `bool` of C++, which may be nothing but 0 and 1; and its kernels expect elements
    // where the compiler would put them.
    let is_foreign = dtype == DataType::Bool && bytes.iter().any(|byte| *byte > 1);
    let value = match dtype.size() {
        None => Value::texts(shape, input.strings()?),
        Some(_) if is_foreign => Value::copied(dtype, shape, bytes, |byte| u8::from(byte != 0)),
        Some(size) if bytes.as_ptr().align_offset(size) != 0 => Value::copied(dtype, shape, bytes, |byte| byte),
        Some(_) => return call.feed(dtype, shape, bytes).map_err(failed),
    };
    call.feed_value(value.map_err(failed)?).map_err(failed)
}

/// Wants an output: in the engine's memory, if its shape is known before the run.
fn want<'b>(call: &mut Call<'_, 'b>, network: &Network, index: usize, batch: &'b dyn Batch) -> Result<(), Error> {
    let (spec, batches) = (&network.signature.outputs[index], network.signature.batches);
    let Some(shape) = &network.shapes_ahead[index] else {
        call.want(index);
        return Ok(());
    };
    let shape = if batches { shape.clone().with_first(batch.rows()) } else { shape.clone() };
    let bytes = batch.output_buffer(index, shape.clone())?.bytes();
    let place = || format!("output '{}'", spec.name);
    if bytes.as_ptr().align_offset(spec.dtype.size().unwrap_or(1)) != 0 {
        return Err(Error::invalid_arg(format!("its memory is not aligned to {}", spec.dtype)).at(place()));
    }
    let bound = call.want_in(index, spec.dtype, &shape, bytes);
    bound.map_err(|error| refused(&place(), ErrorKind::Internal, &error))
}

/// Hands over what a run has left.
fn answer(
    batch: &dyn Batch,
    index: usize,
    spec: &TensorSpec,
    fetched: Result<Fetched, ort::Error>,
) -> Result<(), Error> {
    let place = || format!("output '{}'", spec.name);
    let tensor = match fetched.map_err(|error| refused(&place(), ErrorKind::Internal, &error))? {
        Fetched::Bound => return Ok(()),
        Fetched::Owned(value) => tensor(value, spec.dtype),
        Fetched::Input(input) => batch
            .input(input, Placement::HOST)
            .and_then(|input| Tensor::new(input.dtype(), input.shape().clone(), Buffer::copy_of(input.bytes()?))),
    };
    batch.output(index, tensor.map_err(|error| error.at(place()))?)
}

/// What the runtime allocated, as a tensor that keeps it.
fn tensor(value: Value, wanted: DataType) -> Result<Tensor, Error> {
    let unreadable = |error: ort::Error| refused("unreadable", ErrorKind::Internal, &error);
    let (element, shape) = value.kind().map_err(unreadable)?;
    if element_of(element) != Some(wanted) {
        let found = element_of(element).map_or_else(|| element_name(element), |dtype| dtype.to_string());
        return Err(Error::internal(format!("found elements of {found}, the model states {wanted}")));
    }
    let elements = shape.elements().unwrap_or(0);
    let Some(size) = wanted.size() else {
        let (data, offsets) = value.read_texts(elements).map_err(unreadable)?;
        return Tensor::new_bytes(shape, Buffer::from(data), Buffer::from(offsets));
    };
    let len = elements.checked_mul(size).ok_or_else(|| Error::internal("its size overflows"))?;
    Tensor::new(wanted, shape, Buffer::from_arc(Arc::new(value), |value| value.bytes(len)))
}

/// What comes of no rows is known where the other dims are.
fn empty_output(spec: &TensorSpec, index: usize, batch: &dyn Batch) -> Result<(), Error> {
    let dims = spec.dims.iter().flat_map(|dims| dims.iter().skip(1)).map(|dim| usize::try_from(*dim));
    let Ok(dims) = dims.collect::<Result<Vec<usize>, _>>() else {
        let message = format!("output '{}': its shape depends on the rows, and there are none", spec.name);
        return Err(Error::invalid_arg(message));
    };
    let shape = Shape::new(&[&[0], &dims[..]].concat());
    let tensor = match spec.dtype.size() {
        Some(_) => Tensor::new(spec.dtype, shape, Buffer::EMPTY)?,
        None => Tensor::from_strings([""; 0], shape)?,
    };
    batch.output(index, tensor)
}

/// A run that failed: on its own, or because nobody waits for it any more, and each request for its own reason.
fn failed(error: &ort::Error, batch: &dyn Batch) -> Result<(), Error> {
    let requests = || (0..batch.len()).map(|index| (index, batch.request(index)));
    if !requests().all(|(_, request)| request.cancelled()) {
        return Err(refused("ONNX Runtime", ErrorKind::Internal, error));
    }
    let now = monotonic_ns();
    for (index, request) in requests() {
        let is_late = request.deadline_ns().is_some_and(|deadline| deadline <= now);
        batch.fail(index, if is_late { LATE } else { CANCELLED });
    }
    Ok(())
}

const LATE: Error = Error::fixed(ErrorKind::Timeout, "the deadline passed while the model ran, which was interrupted");
const CANCELLED: Error = Error::fixed(ErrorKind::Cancelled, "cancelled while the model ran, which was interrupted");
