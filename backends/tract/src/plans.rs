//! Every call into tract's side of graphs: from a checked proto to a model, and from that to plans.
//!
//! Pure but for the time it takes; a panic inside tract becomes an error here.

use crate::file;
use crate::refusal::{contained, refused};
use crate::signature;
use inferlay_backend_sdk::{Error, ErrorKind, Ragged, Signature};
use std::collections::HashMap;
use std::sync::Arc;
use tract_onnx::pb::{GraphProto, ModelProto};
use tract_onnx::prelude::{InferenceModelExt, IntoRunnable, TractResult};
use tract_onnx::tract_core::internal::{Symbol, TDim, TypedFact, TypedSimplePlan};
use tract_onnx::tract_hir::infer::{Factoid, GenericFactoid};

pub(crate) use tract_onnx::prelude::InferenceModel;

/// An optimised plan, shared by the states of all instances.
pub(crate) type Plan = Arc<TypedSimplePlan>;

/// Sizes to try for the dims that vary: one element, a short sequence, an image.
const PROBES: [usize; 3] = [1, 16, 224];

/// The model, and its general plan if there is one.
pub(crate) fn read(proto: &mut ModelProto, ragged: &Ragged) -> Result<(InferenceModel, Result<Plan, Error>), Error> {
    file::name_nodes(graph(proto)?);
    // The types are looked at first: tract does not say which input or output is of a type that it lacks.
    signature::read(graph(proto)?, &signature::Known::default(), ragged)?;
    find_dims_out(proto)?;
    signature::forget_names(graph(proto)?, ragged);
    signature::name_all(graph(proto)?, ragged);
    let model = parse(proto)?;
    let graph = graph(proto)?;
    let general = contained(|| plan(model.clone()).map_err(|error| cannot_plan(graph, error)));
    Ok((model, general))
}

/// Fixes the dims of inputs that the graph leaves open though its nodes allow one size only, such as the width of a
/// product with weights: a plan for any size would take any size there, and read past the weights.
fn find_dims_out(proto: &mut ModelProto) -> Result<(), Error> {
    let stated = graph(proto)?.input.clone();
    signature::forget_dims(graph(proto)?);
    let open = stated != graph(proto)?.input;
    let found = contained(|| {
        let mut model = parse(proto)?;
        // It goes as far as it can; what it cannot find out stays open.
        let _complete = model.analyse(true);
        let size = |dim: &GenericFactoid<TDim>| dim.concretize().and_then(|dim| dim.as_i64());
        let dims = |index: usize| model.input_fact(index).map(|fact| fact.shape.dims().map(size).collect());
        Ok((0..model.inputs.len()).map(|index| dims(index).unwrap_or_default()).collect::<Vec<_>>())
    });
    graph(proto)?.input = stated;
    if let (true, Ok(found)) = (open, found) {
        signature::fix_dims(graph(proto)?, &found);
    }
    Ok(())
}

/// Whether tract finds no contradiction in the model with inputs of these shapes.
///
/// # Errors
/// `INVALID_ARG` with the contradiction.
pub(crate) fn check(source: &InferenceModel, shapes: &[usize]) -> Result<(), Error> {
    contained(|| {
        let typed = shaped(source.clone(), shapes).and_then(InferenceModelExt::into_typed);
        typed.map(drop).map_err(unfit)
    })
}

fn unfit(error: impl std::fmt::Display) -> Error {
    refused(ErrorKind::InvalidArg, "these input shapes do not fit the model", error)
}

pub(crate) fn graph(proto: &mut ModelProto) -> Result<&mut GraphProto, Error> {
    proto.graph.as_mut().ok_or(Error::fixed(ErrorKind::InvalidArg, "found no graph"))
}

fn parse(proto: &ModelProto) -> Result<InferenceModel, Error> {
    let graph = proto.graph.as_ref();
    let parsed = contained(|| {
        let parsed = tract_onnx::onnx().parse(proto, None);
        parsed.map_err(|error| refused(ErrorKind::Unsupported, "tract cannot read it", error))
    })?;
    let mut unresolved = parsed.unresolved_inputs;
    unresolved.sort();
    unresolved.dedup();
    if !unresolved.is_empty() {
        let values = crate::refusal::shortened(&unresolved.join(", "));
        return Err(Error::invalid_arg(format!("values {values}: used by a node, but given by none")));
    }
    let wanted = graph.map_or(0, |graph| file::inputs(graph).count());
    if parsed.model.inputs.len() != wanted {
        let found = parsed.model.inputs.len();
        return Err(Error::invalid_arg(format!("found {found} inputs in the graph, expected {wanted} as it states")));
    }
    Ok(parsed.model)
}

fn plan(model: InferenceModel) -> TractResult<Plan> {
    model.into_optimized()?.into_runnable()
}

pub(crate) fn build(source: &InferenceModel, shapes: &[usize]) -> Result<Plan, Error> {
    contained(|| {
        let shaped = shaped(source.clone(), shapes).and_then(plan);
        shaped.map_err(unfit)
    })
}

/// Whether a model without a general plan has one for some shapes at least; else it could never answer.
pub(crate) fn can_be_shaped(source: &InferenceModel, signature: &Signature) -> bool {
    // An input of unknown rank leaves nothing to try; the first request will tell.
    PROBES.iter().any(|size| shapes_of(signature, |_| *size).is_none_or(|shapes| build(source, &shapes).is_ok()))
}

/// The inputs' shapes with `size` of the input, by its index, for every dim that varies; `None` when a rank is unknown.
pub(crate) fn shapes_of(signature: &Signature, size: impl Fn(usize) -> usize) -> Option<Vec<usize>> {
    signature.inputs.iter().enumerate().try_fold(Vec::new(), |mut shapes, (index, input)| {
        let dims = input.dims.as_ref()?;
        shapes.push(dims.len());
        shapes.extend(dims.iter().map(|dim| usize::try_from(*dim).unwrap_or_else(|_| size(index))));
        Some(shapes)
    })
}

/// The model with its inputs of exactly these shapes.
fn shaped(mut model: InferenceModel, shapes: &[usize]) -> TractResult<InferenceModel> {
    let mut sizes: HashMap<Symbol, TDim> = HashMap::new();
    let mut facts = Vec::new();
    let mut rest = shapes;
    for outlet in model.inputs.clone() {
        let (rank, tail) = rest.split_first().unwrap_or((&0, &[]));
        let (dims, tail) = tail.split_at(*rank);
        rest = tail;
        let fact = model.outlet_fact(outlet)?.clone();
        for (stated, dim) in fact.shape.dims().zip(dims) {
            if let Some(TDim::Sym(symbol)) = stated.concretize() {
                sizes.insert(symbol, TDim::from(*dim));
            }
        }
        facts.push((outlet, fact, dims));
    }
    InferenceModelExt::set_symbols(&mut model, &sizes)?;
    for (outlet, fact, dims) in facts {
        model.set_outlet_fact(outlet, fact.with_shape(dims))?;
    }
    Ok(model)
}

/// What tract knows of the inputs' and outputs' shapes, which may be more than the graph states.
pub(crate) fn known_dims(plan: &Plan) -> signature::Known {
    let model = plan.model();
    let dims =
        |fact: TractResult<&TypedFact>| Some(fact.ok()?.shape.iter().map(|dim| dim.as_i64().unwrap_or(-1)).collect());
    signature::Known {
        inputs: (0..model.inputs.len()).map(|index| dims(model.input_fact(index))).collect(),
        outputs: (0..model.outputs.len()).map(|index| dims(model.output_fact(index))).collect(),
    }
}

/// The operators that tract does not have.
pub(crate) fn lacking(graph: &GraphProto) -> Vec<String> {
    let onnx = tract_onnx::onnx();
    file::operators_lacking(graph, &|name| onnx.op_register.0.contains_key(name))
}

fn cannot_plan(graph: &GraphProto, error: impl std::fmt::Display) -> Error {
    let lacking = lacking(graph);
    if lacking.is_empty() {
        return refused(ErrorKind::Unsupported, "tract cannot plan it (the backend `onnxruntime` may)", error);
    }
    let names = crate::refusal::shortened(&lacking.join(", "));
    Error::unsupported(format!("operators {names}: tract does not have them; the backend `onnxruntime` may"))
}
