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
    pub(crate) fn new(mut proto: ModelProto, plans_max: usize) -> Result<Self, Error> {
        let (model, general) = read(&mut proto)?;
        let graph = graph(&mut proto)?;
        let stated = signature::read(graph, &[])?;
        let varies = stated.inputs.iter().any(|input| input.dims.as_ref().is_none_or(|dims| dims.contains(&-1)));
        if let Err(error) = &general
            && !(varies && lacking(graph).is_empty() && can_be_shaped(&model, &stated))
        {
            return Err(error.clone());
        }
        let signature = signature::read(graph, &general.as_ref().map(output_dims).unwrap_or_default())?;
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

/// The model, and its general plan if there is one.
///
/// Dims without a name get one, so that each may be of any size; where that contradicts the graph, those that are not
/// rows are left for tract to find out. (An exporter may leave the width of a matrix product open, though its weights
/// say what it must be.)
fn read(proto: &mut ModelProto) -> Result<(InferenceModel, Result<Plan, Error>), Error> {
    file::name_nodes(graph(proto)?);
    signature::name_rows(graph(proto)?);
    let rows_named = graph(proto)?.input.clone();
    signature::name_other_dims(graph(proto)?);
    // The types are looked at first: tract does not say which input or output is of a type that it lacks.
    signature::read(graph(proto)?, &[])?;
    let (model, general) = read_named(proto)?;
    if general.is_ok() || rows_named == graph(proto)?.input {
        return Ok((model, general));
    }
    let all_named = std::mem::replace(&mut graph(proto)?.input, rows_named);
    match read_named(proto)? {
        (model, Ok(general)) => Ok((model, Ok(general))),
        _ => {
            graph(proto)?.input = all_named;
            Ok((model, general))
        }
    }
}

fn read_named(proto: &mut ModelProto) -> Result<(InferenceModel, Result<Plan, Error>), Error> {
    let model = parse(proto)?;
    let graph = graph(proto)?;
    let general = contained(|| plan(model.clone()).map_err(|error| cannot_plan(graph, error)));
    Ok((model, general))
}

fn graph(proto: &mut ModelProto) -> Result<&mut GraphProto, Error> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::{FLOAT, dense, floats, model, value};

    fn network(graph: GraphProto, plans_max: usize) -> Arc<Network> {
        Arc::new(Network::new(model(graph), plans_max).unwrap())
    }

    fn lookups(network: &Arc<Network>, shapes: &[usize]) -> Plan {
        (0..SEEN_MIN).for_each(|_| drop(network.plan(shapes).unwrap()));
        builder::settled();
        network.plan(shapes).unwrap()
    }

    fn is_general(network: &Network, plan: &Plan) -> bool {
        network.general.as_ref().is_ok_and(|general| Arc::ptr_eq(general, plan))
    }

    #[test]
    fn a_frequent_shape_gets_its_own_plan_until_trimmed() {
        let network = network(dense("batch"), 4);
        let shapes = [2, 16, 3];
        assert!(is_general(&network, &network.plan(&shapes).unwrap()));
        let own = lookups(&network, &shapes);
        assert!(!is_general(&network, &own) && network.keeps(&own));
        assert_eq!(own.model().input_fact(0).unwrap().shape.as_concrete(), Some(&[16, 3][..]));
        let (epoch, memory) = (network.epoch(), network.memory_use());
        network.trim();
        assert!(network.epoch() != epoch && !network.keeps(&own) && network.memory_use() < memory);
        assert!(is_general(&network, &network.plan(&shapes).unwrap()));
    }

    #[test]
    fn fixed_shapes_and_plans_max_0_leave_the_general_plan_alone() {
        for (rows, plans_max) in [("4", 8), ("batch", 0)] {
            let network = network(dense(rows), plans_max);
            assert!(is_general(&network, &lookups(&network, &[2, 4, 3])), "rows {rows}, plans_max {plans_max}");
        }
    }

    #[test]
    fn a_width_that_the_weights_decide_need_not_be_stated() {
        let mut graph = dense("batch");
        graph.input[0] = value("x", FLOAT, &["batch", ""]);
        let network = network(graph, 4);
        assert!(network.general_refusal().is_none() && network.signature().batches);
    }

    /// A product over a dim that claims to be of any size, though the weights say 16.
    fn only_shaped() -> GraphProto {
        let mut graph = dense("batch");
        graph.node.truncate(1);
        graph.initializer = vec![floats("w", &[16, 2], &[1.0; 32])];
        (graph.input, graph.output) =
            (vec![value("x", FLOAT, &["batch", "width"])], vec![value("product", FLOAT, &["batch", "2"])]);
        graph
    }

    #[test]
    fn a_model_without_a_general_plan_is_planned_when_a_shape_comes() {
        let network = network(only_shaped(), 2);
        assert!(network.general_refusal().is_some());
        for rows in [1, 2, 3, 1] {
            let plan = network.plan(&[2, rows, 16]).unwrap();
            assert_eq!(plan.model().input_fact(0).unwrap().shape.as_concrete(), Some(&[rows, 16][..]));
            assert!(network.keeps(&plan), "at most two, the newest among them");
        }
        for _ in 0..2 {
            assert_eq!(network.plan(&[2, 1, 5]).err().unwrap().kind(), ErrorKind::InvalidArg);
        }
        assert!(network.shelf().plans().count() <= 2);
    }

    #[test]
    fn shapes_that_do_not_fit_have_no_plan_of_their_own() {
        let network = network(dense("batch"), 4);
        assert_eq!(network.build(&[2, 16, 5]).err().unwrap().kind(), ErrorKind::InvalidArg);
    }

    #[test]
    fn a_wrong_plans_max_is_refused() {
        let parameters = |text: &str| [("plans_max".to_owned(), text.to_owned())].into();
        assert_eq!(plans_max(&parameters("3")), Ok(3));
        assert!(plans_max(&parameters("many")).unwrap_err().message().contains("'many'"));
    }
}
