//! What an ONNX graph says of its inputs and outputs, as a signature and as rules that requests must keep.
//!
//! Dims that the model leaves without a name get one, so that tract can plan for any size: pure functions over the proto.

use crate::file;
use inferlay_backend_sdk::{DataType, Error, Ragged, Signature, TensorSpec};
use std::collections::BTreeSet;
use tract_onnx::pb::{
    GraphProto, TypeProto, ValueInfoProto, tensor_proto, tensor_shape_proto::Dimension,
    tensor_shape_proto::dimension::Value, type_proto,
};

/// The first dim of inputs by rows whose first dims all have no name.
const ROWS: &str = "inferlay_rows";

/// Our type for ONNX's number of it; `None` for one that we or tract lack.
pub(crate) fn data_type(number: i32) -> Option<DataType> {
    use tensor_proto::DataType as Onnx;
    Some(match Onnx::try_from(number).ok()? {
        Onnx::Bool => DataType::Bool,
        Onnx::Uint8 => DataType::Uint8,
        Onnx::Uint16 => DataType::Uint16,
        Onnx::Uint32 => DataType::Uint32,
        Onnx::Uint64 => DataType::Uint64,
        Onnx::Int8 => DataType::Int8,
        Onnx::Int16 => DataType::Int16,
        Onnx::Int32 => DataType::Int32,
        Onnx::Int64 => DataType::Int64,
        Onnx::Float16 => DataType::Fp16,
        Onnx::Float => DataType::Fp32,
        Onnx::Double => DataType::Fp64,
        Onnx::String => DataType::Bytes,
        _ => return None,
    })
}

/// Takes the names of first dims away that a ragged batch makes different though they bear one name.
pub(crate) fn forget_names(graph: &mut GraphProto, ragged: &Ragged) {
    let firsts: Vec<_> = file::inputs(graph).map(|input| (&*input.name, first_name(input))).collect();
    let believed: Vec<bool> = firsts.iter().map(|(input, _)| ragged.believes(input, &firsts)).collect();
    for_each_dim(graph, |index, place, dim| {
        if place == 0 && !believed[index] && matches!(dim_of(dim), Dim::Named(_)) {
            dim.value = None;
        }
    });
}

/// Gives every dim of an input that has neither size nor name a name: the first dims of those that are by rows one for
/// all, every other one its own.
pub(crate) fn name_all(graph: &mut GraphProto, ragged: &Ragged) {
    let rows = rows_name(graph, ragged);
    let by_rows: Vec<bool> = file::inputs(graph).map(|input| !ragged.has_input(&input.name)).collect();
    for_each_dim(graph, |index, place, dim| {
        if dim_of(dim) == Dim::Unnamed {
            let is_rows = place == 0 && by_rows[index];
            let name = if is_rows { rows.clone() } else { format!("inferlay_{index}_{place}") };
            dim.value = Some(Value::DimParam(name));
        }
    });
}

/// Leaves every dim of an input that is not fixed for others to find out.
pub(crate) fn forget_dims(graph: &mut GraphProto) {
    for_each_dim(graph, |_, _, dim| {
        if !matches!(dim_of(dim), Dim::Size(_)) {
            dim.value = None;
        }
    });
}

/// Fixes the dims of inputs that were found out.
pub(crate) fn fix_dims(graph: &mut GraphProto, found: &[Vec<Option<i64>>]) {
    for_each_dim(graph, |index, place, dim| {
        let size = found.get(index).and_then(|dims| *dims.get(place)?);
        if let (Some(size), false) = (size, matches!(dim_of(dim), Dim::Size(_))) {
            dim.value = Some(Value::DimValue(size));
        }
    });
}

fn for_each_dim(graph: &mut GraphProto, mut change: impl FnMut(usize, usize, &mut Dimension)) {
    let own: BTreeSet<String> = file::inputs(graph).map(|input| input.name.clone()).collect();
    let inputs = graph.input.iter_mut().filter(|input| own.contains(&input.name));
    for (index, input) in inputs.enumerate() {
        for (place, dim) in dims_mut(input).into_iter().flatten().enumerate() {
            change(index, place, dim);
        }
    }
}

/// Dims that are known from elsewhere, by input and output.
#[derive(Default)]
pub(crate) struct Known {
    pub(crate) inputs: Vec<Option<Vec<i64>>>,
    pub(crate) outputs: Vec<Option<Vec<i64>>>,
}

impl Known {
    fn complete(specs: &mut [TensorSpec], known: &[Option<Vec<i64>>]) {
        for (spec, known) in specs.iter_mut().zip(known) {
            if let Some(known) = known {
                spec.dims = Some(known.clone());
            }
        }
    }
}

/// The signature of a graph, completed by what is `known`; `ragged` is what the config says of it.
///
/// # Errors
/// `UNSUPPORTED` for values that are no tensors, and for element types that tract lacks; `INVALID_ARG` for names that
/// are empty or not unique.
pub(crate) fn read(graph: &GraphProto, known: &Known, ragged: &Ragged) -> Result<Signature, Error> {
    let mut inputs = file::inputs(graph).map(|input| spec("input", input)).collect::<Result<Vec<_>, _>>()?;
    let mut outputs = graph.output.iter().map(|output| spec("output", output)).collect::<Result<Vec<_>, _>>()?;
    Known::complete(&mut inputs, &known.inputs);
    Known::complete(&mut outputs, &known.outputs);
    for (kind, specs) in [("input", &inputs), ("output", &outputs)] {
        let mut names = BTreeSet::new();
        if let Some(twice) = specs.iter().find(|spec| spec.name.is_empty() || !names.insert(&spec.name)) {
            return Err(Error::invalid_arg(format!("{kind} '{}': its name is empty or not unique", twice.name)));
        }
    }
    let batches = !inputs.is_empty() && batches(graph, ragged, ragged.by_rows(&inputs, &outputs));
    Ok(Signature { inputs, outputs, batches })
}

/// Whether the first dim of every input that is by rows has the same name, and neither the graph nor tract knows its size
/// or that of such an output's.
fn batches<'a>(graph: &GraphProto, ragged: &Ragged, mut specs: impl Iterator<Item = &'a TensorSpec>) -> bool {
    let by_rows = file::inputs(graph).filter(|input| !ragged.has_input(&input.name));
    let firsts: Vec<Option<&str>> = by_rows.map(first_name).collect();
    let same = firsts.iter().all(|first| first.is_some() && *first == firsts[0]);
    same && specs.all(|spec| spec.dims.as_ref().is_some_and(|dims| dims.first() == Some(&-1)))
}

/// The names of the dims of each input: two that share a name must be of one size.
pub(crate) fn dim_names(graph: &GraphProto) -> Vec<Vec<Option<String>>> {
    let name = |dim: &Dimension| match dim_of(dim) {
        Dim::Named(name) => Some(name.to_owned()),
        _ => None,
    };
    file::inputs(graph).map(|input| dims(input).into_iter().flatten().map(name).collect()).collect()
}

#[derive(PartialEq)]
enum Dim<'a> {
    Size(i64),
    Named(&'a str),
    Unnamed,
}

fn dim_of(dim: &Dimension) -> Dim<'_> {
    match &dim.value {
        Some(Value::DimValue(size)) if *size >= 0 => Dim::Size(*size),
        Some(Value::DimParam(name)) if !name.is_empty() && name != "?" => Dim::Named(name),
        _ => Dim::Unnamed,
    }
}

/// The name of an input's first dim.
fn first_name(input: &ValueInfoProto) -> Option<&str> {
    match dim_of(dims(input)?.first()?) {
        Dim::Named(name) => Some(name),
        _ => None,
    }
}

fn rows_name(graph: &GraphProto, ragged: &Ragged) -> String {
    let by_rows = file::inputs(graph).filter(|input| !ragged.has_input(&input.name));
    let names: BTreeSet<String> = by_rows.filter_map(first_name).map(str::to_owned).collect();
    if names.len() == 1 { names.into_iter().collect() } else { ROWS.to_owned() }
}

fn spec(kind: &str, value: &ValueInfoProto) -> Result<TensorSpec, Error> {
    let place = format!("{kind} '{}'", value.name);
    let Some(tensor) = tensor_type(value.r#type.as_ref()) else {
        return Err(Error::unsupported("found a value that is no tensor, or without a type").at(place));
    };
    let Some(dtype) = data_type(tensor.elem_type) else {
        let message = format!("element type {} of ONNX is not one that tract computes in", tensor.elem_type);
        return Err(Error::unsupported(message).at(place));
    };
    let size = |dim: &Dimension| match dim_of(dim) {
        Dim::Size(size) => size,
        _ => -1,
    };
    let dims = dims(value).map(|dims| dims.iter().map(size).collect());
    Ok(TensorSpec { name: value.name.clone(), dtype, dims, optional: false })
}

fn tensor_type(typed: Option<&TypeProto>) -> Option<&type_proto::Tensor> {
    typed?.value.as_ref().map(|type_proto::Value::TensorType(tensor)| tensor)
}

fn dims(value: &ValueInfoProto) -> Option<&[Dimension]> {
    tensor_type(value.r#type.as_ref())?.shape.as_ref().map(|shape| &shape.dim[..])
}

fn dims_mut(value: &mut ValueInfoProto) -> Option<&mut [Dimension]> {
    let type_proto::Value::TensorType(tensor) = value.r#type.as_mut()?.value.as_mut()?;
    tensor.shape.as_mut().map(|shape| &mut shape.dim[..])
}
