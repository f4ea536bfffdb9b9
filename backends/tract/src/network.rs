//! One loaded model: what requests must look like, and the plans that answer them.
//!
//! There are two kinds of plan. The general one serves any size of the dims that vary and exists from the start; plans
//! for one set of shapes are faster (a small network alone in its batch: twice) and are built once the shapes have come
//! often. A model of fixed shapes has the general plan only; one that tract cannot plan for unknown sizes has only
//! plans for shapes, and the first request of each waits for its own.
//!
//! Shapes are written as one list of numbers: for each input its rank, then its dims. Any thread.

use crate::builder;
use crate::file;
use crate::refusal::{contained, refused};
use crate::shelf::{Found, Rules, Shelf};
use crate::signature;
use inferlay_backend_sdk::{Error, ErrorKind, Signature};
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tract_onnx::pb::{GraphProto, ModelProto, TensorProto};
use tract_onnx::prelude::{InferenceModelExt, IntoRunnable, TractResult};
use tract_onnx::tract_core::internal::{Symbol, TDim, TypedSimplePlan};
use tract_onnx::tract_hir::infer::Factoid;

type InferenceModel = tract_onnx::prelude::InferenceModel;

/// An optimised plan, shared by the states of all instances.
pub(crate) type Plan = Arc<TypedSimplePlan>;

/// Plans beside the general one, unless the parameter `plans_max` says otherwise.
const PLANS_MAX: usize = 8;
/// Each plan packs its own copy of the weights; together they may take this much.
const PLANS_BYTES_MAX: usize = 1 << 30;
/// How often shapes must have come before they get a plan: building costs as much as thousands of small executions.
const SEEN_MIN: u64 = 32;
/// For how many executions a plan must have been unused before another may take its place.
const IDLE_MIN: u64 = 4096;

/// Sizes to try for the dims that vary: one element, a short sequence, an image.
const PROBES: [usize; 3] = [1, 16, 224];

pub(crate) struct Network {
    signature: Signature,
    dim_names: Vec<Vec<Option<String>>>,
    general: Result<Plan, Error>,
    /// What plans for shapes are made from; `None` when all shapes are fixed.
    source: Option<InferenceModel>,
    shelf: Mutex<Shelf<Plan>>,
    /// The shelf's epoch, readable without its lock.
    epoch: AtomicU64,
    weights_bytes: usize,
}

/// The parameter `plans_max`.
///
/// # Errors
/// `INVALID_ARG` when it is not a whole number.
pub(crate) fn plans_max(parameters: &BTreeMap<String, String>) -> Result<usize, Error> {
    let Some(text) = parameters.get("plans_max") else { return Ok(PLANS_MAX) };
    text.trim()
        .parse()
        .map_err(|_| Error::invalid_arg(format!("parameter 'plans_max': found '{text}', expected a whole number")))
}

impl Network {
    /// Builds the general plan.
    ///
    /// # Errors
    /// `UNSUPPORTED` when tract lacks an operator or cannot plan a model of fixed shapes; `INVALID_ARG` when the graph
    /// contradicts itself.
    pub(crate) fn new(proto: &ModelProto, plans_max: usize) -> Result<Self, Error> {
        let mut proto = proto.clone();
        let graph = proto.graph.as_mut().ok_or(Error::fixed(ErrorKind::InvalidArg, "found no graph"))?;
        signature::name_dims(graph);
        let stated = signature::read(graph, &[])?;
        let varies = stated.inputs.iter().any(|input| input.dims.as_ref().is_none_or(|dims| dims.contains(&-1)));
        let model = parse(&proto)?;
        let graph = proto.graph.as_ref().ok_or(Error::fixed(ErrorKind::InvalidArg, "found no graph"))?;
        let general = contained(|| plan(model.clone()).map_err(|error| cannot_plan(graph, error)));
        if let Err(error) = &general
            && !(varies && lacking(graph).is_empty() && can_be_shaped(&model, &stated))
        {
            return Err(error.clone());
        }
        let signature = signature::read(graph, &general.as_ref().map(|plan| output_dims(plan)).unwrap_or_default())?;
        let weights_bytes = graph.initializer.iter().map(bytes).sum::<usize>();
        let rules = rules(plans_max.min(PLANS_BYTES_MAX / weights_bytes.max(1)), general.is_ok());
        Ok(Network {
            signature,
            dim_names: signature::dim_names(graph),
            general,
            source: varies.then_some(model),
            shelf: Mutex::new(Shelf::new(rules)),
            epoch: AtomicU64::new(0),
            weights_bytes,
        })
    }

    pub(crate) fn signature(&self) -> &Signature {
        &self.signature
    }

    /// The names of each input's dims; two of the same name must be of one size.
    pub(crate) fn dim_names(&self) -> &[Vec<Option<String>>] {
        &self.dim_names
    }

    /// Why there is no general plan, if there is none.
    pub(crate) fn general_refusal(&self) -> Option<&Error> {
        self.general.as_ref().err()
    }

    /// Changes whenever a plan was retired: states of plans must then be looked through.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::Acquire)
    }

    /// Whether this plan is still in use.
    pub(crate) fn keeps(&self, plan: &Plan) -> bool {
        self.general.as_ref().is_ok_and(|general| Arc::ptr_eq(general, plan))
            || self.shelf().plans().any(|kept| Arc::ptr_eq(kept, plan))
    }

    /// The best plan there is now for these shapes.
    ///
    /// # Errors
    /// Only when there is no general plan: what keeps one for these shapes from being built.
    pub(crate) fn plan(self: &Arc<Self>, shapes: &[usize]) -> Result<Plan, Error> {
        if let (Ok(general), None) = (&self.general, &self.source) {
            return Ok(Arc::clone(general));
        }
        let found = self.find(shapes);
        match (found, &self.general) {
            (Found::Ready(plan), _) => Ok(plan),
            (Found::Build, Ok(general)) => {
                builder::submit(self, shapes);
                Ok(Arc::clone(general))
            }
            (Found::Nothing | Found::Refused(_), Ok(general)) => Ok(Arc::clone(general)),
            (Found::Refused(error), Err(_)) => Err(error),
            (Found::Build, Err(_)) => {
                let built = self.build(shapes);
                self.put(shapes, built.clone());
                built
            }
            // Another instance is building the same; waiting for it would take as long.
            (Found::Nothing, Err(_)) => self.build(shapes),
        }
    }

    /// Builds a plan for these shapes; takes as long as it takes.
    ///
    /// # Errors
    /// `INVALID_ARG` when tract cannot make sense of the model with these shapes.
    pub(crate) fn build(&self, shapes: &[usize]) -> Result<Plan, Error> {
        self.source.as_ref().map_or_else(|| self.general.clone(), |source| build(source, shapes))
    }

    /// Keeps what was built for these shapes.
    pub(crate) fn put(&self, shapes: &[usize], built: Result<Plan, Error>) {
        self.shelf().put(shapes, built);
    }

    /// Lets all plans but the general one go.
    pub(crate) fn trim(&self) {
        let mut shelf = self.shelf();
        shelf.clear();
        self.epoch.store(shelf.epoch(), Ordering::Release);
    }

    /// An estimate: the weights, once for the source and once for every plan.
    pub(crate) fn memory_use(&self) -> usize {
        let copies =
            usize::from(self.source.is_some()) + usize::from(self.general.is_ok()) + self.shelf().plans().count();
        self.weights_bytes * copies
    }

    fn find(&self, shapes: &[usize]) -> Found<Plan> {
        let mut shelf = self.shelf();
        let found = shelf.find(shapes);
        if matches!(found, Found::Build) {
            self.epoch.store(shelf.epoch(), Ordering::Release);
        }
        found
    }

    fn shelf(&self) -> MutexGuard<'_, Shelf<Plan>> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn rules(plans_max: usize, general: bool) -> Rules {
    match general {
        true => Rules { plans_max, seen_min: SEEN_MIN, idle_min: IDLE_MIN },
        false => Rules { plans_max: plans_max.max(1), seen_min: 1, idle_min: 0 },
    }
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

fn build(source: &InferenceModel, shapes: &[usize]) -> Result<Plan, Error> {
    contained(|| {
        let shaped = shaped(source.clone(), shapes).and_then(plan);
        shaped.map_err(|error| refused(ErrorKind::InvalidArg, "these input shapes do not fit the model", error))
    })
}

/// Whether a model without a general plan has one for some shapes at least; else it could never answer.
fn can_be_shaped(source: &InferenceModel, signature: &Signature) -> bool {
    let shapes = |size: usize| {
        signature.inputs.iter().try_fold(Vec::new(), |mut shapes, input| {
            let dims = input.dims.as_ref()?;
            shapes.push(dims.len());
            shapes.extend(dims.iter().map(|dim| usize::try_from(*dim).unwrap_or(size)));
            Some(shapes)
        })
    };
    // An input of unknown rank leaves nothing to try; the first request will tell.
    PROBES.iter().any(|size| shapes(*size).is_none_or(|shapes| build(source, &shapes).is_ok()))
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

/// What tract knows of the outputs' shapes.
fn output_dims(plan: &Plan) -> Vec<Option<Vec<i64>>> {
    let model = plan.model();
    let dims = |index: usize| {
        let fact = model.output_fact(index).ok()?;
        Some(fact.shape.iter().map(|dim| dim.as_i64().unwrap_or(-1)).collect())
    };
    (0..model.outputs.len()).map(dims).collect()
}

/// The operators that tract does not have.
fn lacking(graph: &GraphProto) -> Vec<String> {
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

fn bytes(tensor: &TensorProto) -> usize {
    let listed = 4 * (tensor.float_data.len() + tensor.int32_data.len())
        + 8 * (tensor.double_data.len() + tensor.int64_data.len() + tensor.uint64_data.len());
    tensor.raw_data.len() + listed
}
