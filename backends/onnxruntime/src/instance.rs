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
use crate::raw::{Fetched, Room, Run, Value, element_name, element_of};
use crate::refusal::refused;
use crate::signature::shape_ahead;
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

    /// The inputs as they lie, once they are known to be what the model states.
    fn inputs<'b>(&mut self, batch: &'b dyn Batch) -> Result<Vec<Input<'b>>, Error> {
        self.sizes.fill(None);
        let specs = self.network.signature.inputs.iter().zip(&self.network.dim_numbers);
        let input = |(index, (spec, numbers)): (usize, (&TensorSpec, &Vec<Option<usize>>))| {
            let tensor = batch.input(index, Placement::HOST)?;
            check(spec, &tensor, numbers, &mut self.sizes)?;
            Input::new(tensor).map_err(|error| error.at(format!("input '{}'", spec.name)))
        };
        specs.enumerate().map(input).collect()
    }
}

impl Instance for OnnxRuntimeInstance {
    fn execute(&mut self, batch: &dyn Batch) -> Result<(), Error> {
        let inputs = self.inputs(batch)?;
        let signature = &self.network.signature;
        let rows = signature.batches.then(|| batch.rows());
        let wanted: Vec<usize> = (0..signature.outputs.len()).filter(|index| batch.output_wanted(*index)).collect();
        // Neither nothing nor the nothing that comes of it is worth a run; operators differ in whether they take it.
        if rows == Some(0) {
            return wanted.iter().try_for_each(|index| empty_output(&signature.outputs[*index], *index, batch));
        }
        if wanted.is_empty() {
            return Ok(());
        }
        let values = inputs.iter().zip(&signature.inputs).map(|(input, spec)| input.value(spec));
        let values = values.collect::<Result<Vec<_>, _>>()?;
        let bound = wanted.iter().map(|index| match self.network.is_input[*index] {
            // The runtime would hand the input on and leave the memory as it is.
            true => Ok(None),
            false => bind(&signature.outputs[*index], *index, rows, batch),
        });
        let bound = bound.collect::<Result<Vec<_>, _>>()?;
        let run = &mut self.run;
        let fetched = self.watched.during(batch, || run.run(&values, &wanted, &bound));
        let fetched = fetched.map_err(|error| failed(&error, batch))?;
        for (index, fetched) in wanted.into_iter().zip(fetched) {
            let spec = &signature.outputs[index];
            let tensor = match fetched {
                Fetched::Bound => continue,
                Fetched::Owned(value) => tensor(value, spec.dtype),
                Fetched::Input(input) => inputs[input].copy(),
            };
            batch.output(index, tensor.map_err(|error| error.at(format!("output '{}'", spec.name)))?)?;
        }
        Ok(())
    }
}

/// One input, and its bytes as the runtime may read them.
struct Input<'b> {
    tensor: TensorRef<'b>,
    lent: &'b [u8],
    /// Read instead, where those that were lent will not do.
    own: Option<Buffer>,
}

impl<'b> Input<'b> {
    /// # Errors
    /// `UNSUPPORTED` for memory of a device.
    fn new(tensor: TensorRef<'b>) -> Result<Self, Error> {
        let lent = tensor.bytes()?;
        // Inside the runtime a truth is a `bool` of C++, which may be nothing but 0 and 1.
        let is_foreign = tensor.dtype() == DataType::Bool && lent.iter().any(|byte| *byte > 1);
        // Its kernels expect elements where the compiler would put them.
        let is_aligned = lent.as_ptr().align_offset(tensor.dtype().size().unwrap_or(1)) == 0;
        let own = match (is_foreign, is_aligned) {
            (true, _) => Some(lent.iter().map(|byte| u8::from(*byte != 0)).collect::<Vec<u8>>().into()),
            (false, false) => Some(Buffer::copy_of(lent)),
            (false, true) => None,
        };
        Ok(Input { tensor, lent, own })
    }

    fn bytes(&self) -> Result<&[u8], Error> {
        self.own.as_ref().map_or(Ok(self.lent), Buffer::bytes)
    }

    fn value(&self, spec: &TensorSpec) -> Result<Value<'_>, Error> {
        if spec.dtype == DataType::Bytes {
            return Value::texts(&self.tensor).map_err(|error| error.at(format!("input '{}'", spec.name)));
        }
        let value = Value::reading(spec.dtype, self.tensor.shape(), self.bytes()?);
        value.map_err(|error| refused(&format!("input '{}'", spec.name), ErrorKind::Internal, &error))
    }

    /// The same with memory of its own.
    fn copy(&self) -> Result<Tensor, Error> {
        Tensor::new(self.tensor.dtype(), self.tensor.shape().clone(), Buffer::copy_of(self.bytes()?))
    }
}

/// The engine's memory for an output, if the shape is known before the run.
fn bind<'b>(
    spec: &TensorSpec,
    index: usize,
    rows: Option<usize>,
    batch: &'b dyn Batch,
) -> Result<Option<Room<'b>>, Error> {
    let Some(shape) = shape_ahead(spec, rows) else { return Ok(None) };
    let place = || format!("output '{}'", spec.name);
    let bytes = batch.output_buffer(index, shape.clone())?.bytes();
    if bytes.as_ptr().align_offset(spec.dtype.size().unwrap_or(1)) != 0 {
        return Err(Error::invalid_arg(format!("its memory is not aligned to {}", spec.dtype)).at(place()));
    }
    let room = Room::new(spec.dtype, &shape, bytes);
    room.map(Some).map_err(|error| refused(&place(), ErrorKind::Internal, &error))
}

/// What the runtime allocated, as a tensor that keeps it.
fn tensor(value: Value<'static>, wanted: DataType) -> Result<Tensor, Error> {
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

/// A run that failed: on its own, or because nobody waits for it any more.
fn failed(error: &ort::Error, batch: &dyn Batch) -> Error {
    if (0..batch.len()).all(|index| batch.request(index).cancelled()) {
        return Error::fixed(ErrorKind::Cancelled, "interrupted: no request of the batch is waited for any more");
    }
    refused("ONNX Runtime", ErrorKind::Internal, error)
}

/// An input must have the type, rank and sizes of the model, and dims of one name one size.
fn check(
    spec: &TensorSpec,
    input: &TensorRef<'_>,
    numbers: &[Option<usize>],
    sizes: &mut [Option<usize>],
) -> Result<(), Error> {
    let refused = |found: &dyn std::fmt::Display, expected: &dyn std::fmt::Display| {
        Err(Error::invalid_arg(format!("input '{}': found {found}, expected {expected}", spec.name)))
    };
    if input.dtype() != spec.dtype {
        return refused(&input.dtype(), &spec.dtype);
    }
    let Some(dims) = &spec.dims else { return Ok(()) };
    let fits = |(dim, found): (&i64, &usize)| *dim < 0 || usize::try_from(*dim) == Ok(*found);
    if dims.len() != input.shape().len() || !dims.iter().zip(input.shape().iter()).all(fits) {
        return refused(input.shape(), &format!("{dims:?}"));
    }
    for (number, size) in numbers.iter().zip(input.shape().iter()) {
        let Some(number) = number else { continue };
        let known = *sizes[*number].get_or_insert(*size);
        if known != *size {
            return refused(input.shape(), &format!("{known} where it has {size}, as in another input"));
        }
    }
    Ok(())
}
