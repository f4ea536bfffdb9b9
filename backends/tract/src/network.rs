//! One loaded model: what requests must look like, and the plans that answer them.
//!
//! There are two kinds of plan. The general one serves any size of the dims that vary and exists from the start; plans
//! for one set of shapes are faster (a small network alone in its batch: twice) and are built once the shapes have come
//! often. A model of fixed shapes has the general plan only; one that tract cannot plan for unknown sizes has only
//! plans for shapes, and the first request of each waits for its own.
//!
//! Shapes are written as one list of numbers: for each input its rank, then its dims. Any thread.

use crate::builder;
use crate::plans::{self, InferenceModel, Plan};
use crate::shelf::{Found, Rules, Shelf};
use crate::signature;
use inferlay_backend_sdk::{Error, Ragged, Signature, TensorSpec};
use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tract_onnx::pb::{ModelProto, TensorProto};

/// Plans beside the general one, unless the parameter `plans_max` says otherwise.
const PLANS_MAX: usize = 8;
/// Each plan packs its own copy of the weights; together they may take this much.
const PLANS_BYTES_MAX: usize = 1 << 30;
/// How many shapes are remembered as fitting; past that, all are forgotten.
const CHECKED_MAX: usize = 4096;
/// Sizes to try, no two of which have a common divisor.
const SIZES: [usize; 16] = [2, 3, 5, 7, 11, 13, 17, 19, 23, 29, 31, 37, 41, 43, 47, 53];
/// How often shapes must have come before they get a plan: building took as long as 50 to 350 executions of a small network.
const SEEN_MIN: u64 = 32;
/// For how many executions a plan must have been unused before another may take its place.
const IDLE_MIN: u64 = 4096;

pub(crate) struct Network {
    signature: Signature,
    dim_names: Vec<Vec<Option<String>>>,
    general: Result<Plan, Error>,
    /// What plans for shapes are made from; `None` when all shapes are fixed.
    source: Option<InferenceModel>,
    shelf: Mutex<Shelf<Plan>>,
    /// Whether the general plan is known to serve every shape that the signature allows.
    any_shape: bool,
    /// The shapes that it is known to serve, otherwise: tract itself does not look.
    checked: Mutex<HashSet<Box<[usize]>>>,
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
    /// Builds the general plan of a model of which the config says what is not by rows.
    ///
    /// # Errors
    /// `UNSUPPORTED` when tract lacks an operator or cannot plan a model of fixed shapes; `INVALID_ARG` when the graph
    /// contradicts itself.
    pub(crate) fn new(mut proto: ModelProto, ragged: &Ragged, plans_max: usize) -> Result<Self, Error> {
        let (model, general) = plans::read(&mut proto, ragged)?;
        let graph = plans::graph(&mut proto)?;
        let stated = signature::read(graph, &signature::Known::default(), ragged)?;
        let varies = stated.inputs.iter().any(|input| input.dims.as_ref().is_none_or(|dims| dims.contains(&-1)));
        if let Err(error) = &general
            && !(varies && plans::lacking(graph).is_empty() && plans::can_be_shaped(&model, &stated))
        {
            return Err(error.clone());
        }
        let known = general.as_ref().map(plans::known_dims).unwrap_or_default();
        let signature = signature::read(graph, &known, ragged)?;
        let dim_names = signature::dim_names(graph);
        let weights_bytes = graph.initializer.iter().map(bytes).sum::<usize>();
        let rules = rules(plans_max.min(PLANS_BYTES_MAX / weights_bytes.max(1)), general.is_ok());
        Ok(Network {
            any_shape: !varies || serves_any_shape(&model, &signature, &dim_names),
            signature,
            dim_names,
            general,
            source: varies.then_some(model),
            shelf: Mutex::new(Shelf::new(rules)),
            checked: Mutex::default(),
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
    /// `INVALID_ARG` when the model does not work with these shapes.
    pub(crate) fn plan(self: &Arc<Self>, shapes: &[usize]) -> Result<Plan, Error> {
        if let (Ok(general), None) = (&self.general, &self.source) {
            return Ok(Arc::clone(general));
        }
        let found = self.find(shapes);
        let Ok(general) = &self.general else { return self.plan_for_shapes(found, shapes) };
        if let Found::Ready(plan) = found {
            return Ok(plan);
        }
        let checked = self.check(shapes);
        match found {
            Found::Build if checked.is_ok() => builder::submit(self, shapes),
            Found::Build => self.put(shapes, checked.clone().map(|()| Arc::clone(general))),
            _ => {}
        }
        checked?;
        Ok(Arc::clone(general))
    }

    fn plan_for_shapes(&self, found: Found<Plan>, shapes: &[usize]) -> Result<Plan, Error> {
        match found {
            Found::Ready(plan) => Ok(plan),
            Found::Refused(error) => Err(error),
            Found::Build => {
                let built = self.build(shapes);
                self.put(shapes, built.clone());
                built
            }
            // Another instance is building the same; waiting for it would take as long.
            Found::Nothing => self.build(shapes),
        }
    }

    /// Makes sure that the general plan serves these shapes: at their first sight only.
    fn check(&self, shapes: &[usize]) -> Result<(), Error> {
        let checked = || self.checked.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(source) = self.source.as_ref().filter(|_| !self.any_shape && !checked().contains(shapes)) else {
            return Ok(());
        };
        plans::check(source, shapes)?;
        let mut checked = checked();
        if checked.len() >= CHECKED_MAX {
            checked.clear();
        }
        checked.insert(shapes.into());
        Ok(())
    }

    /// Builds a plan for these shapes; takes as long as it takes.
    ///
    /// # Errors
    /// `INVALID_ARG` when tract cannot make sense of the model with these shapes.
    pub(crate) fn build(&self, shapes: &[usize]) -> Result<Plan, Error> {
        self.source.as_ref().map_or_else(|| self.general.clone(), |source| plans::build(source, shapes))
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

/// Whether a model serves any size of its inputs' first dims: nothing else varies, and two sizes without a common divisor
/// fit. First dims of different names, which a ragged batch has, are tried with different sizes.
fn serves_any_shape(source: &InferenceModel, signature: &Signature, names: &[Vec<Option<String>>]) -> bool {
    let varies = |dims: &[i64]| dims.get(1..).is_some_and(|dims| dims.contains(&-1));
    let first_only = |input: &TensorSpec| input.dims.as_ref().is_some_and(|dims| !varies(dims));
    let firsts: Vec<_> = names.iter().map(|dims| dims.first()).collect();
    let place = |index: usize| firsts.iter().position(|first| *first == firsts[index]).unwrap_or(index);
    let fits = |sizes: &[usize]| {
        let shapes = plans::shapes_of(signature, |index| sizes[place(index)]);
        shapes.is_some_and(|shapes| plans::check(source, &shapes).is_ok())
    };
    signature.batches
        && (0..firsts.len()).all(|index| place(index) + 1 < SIZES.len())
        && signature.inputs.iter().all(first_only)
        && fits(&SIZES)
        && fits(&SIZES[1..])
}

fn rules(plans_max: usize, general: bool) -> Rules {
    match general {
        true => Rules { plans_max, seen_min: SEEN_MIN, idle_min: IDLE_MIN },
        false => Rules { plans_max: plans_max.max(1), seen_min: 1, idle_min: 0 },
    }
}

fn bytes(tensor: &TensorProto) -> usize {
    let listed = 4 * (tensor.float_data.len() + tensor.int32_data.len())
        + 8 * (tensor.double_data.len() + tensor.int64_data.len() + tensor.uint64_data.len());
    tensor.raw_data.len() + listed
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::{FLOAT, INT64, dense, floats, model, node, value, with_int};
    use inferlay_backend_sdk::ErrorKind;
    use tract_onnx::pb::GraphProto;

    fn network(graph: GraphProto, plans_max: usize) -> Arc<Network> {
        Arc::new(Network::new(model(graph), &Ragged::default(), plans_max).unwrap())
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
    fn a_width_that_the_weights_decide_is_found_out() {
        for width in ["", "channels"] {
            let graph = GraphProto {
                name: "conv".to_owned(),
                node: vec![node("Conv", &["x", "w"], &["y"])],
                initializer: vec![floats("w", &[2, 3, 1, 1], &[1.0; 6])],
                input: vec![value("x", FLOAT, &["n", width, "8", "8"])],
                output: vec![value("y", FLOAT, &["n", "2", "8", "8"])],
                ..GraphProto::default()
            };
            let network = network(graph, 4);
            assert!(network.general_refusal().is_none() && network.signature().batches);
            assert_eq!(network.signature().inputs[0].dims, Some(vec![-1, 3, 8, 8]), "'{width}'");
        }
    }

    #[test]
    fn a_model_without_a_general_plan_is_planned_when_a_shape_comes() {
        let graph = GraphProto {
            name: "blocks".to_owned(),
            node: vec![with_int(node("SpaceToDepth", &["x"], &["y"]), "blocksize", 2)],
            input: vec![value("x", FLOAT, &["n", "c", "h", "w"])],
            output: vec![value("y", FLOAT, &["n", "d", "k", "l"])],
            ..GraphProto::default()
        };
        let network = network(graph, 2);
        assert!(network.general_refusal().is_some());
        for rows in [1, 2, 3, 1] {
            let plan = network.plan(&[4, rows, 1, 4, 4]).unwrap();
            assert_eq!(plan.model().input_fact(0).unwrap().shape.as_concrete(), Some(&[rows, 1, 4, 4][..]));
            assert!(network.keeps(&plan), "at most two, the newest among them");
        }
        assert!(network.shelf().plans().count() <= 2);
    }

    #[test]
    fn shapes_that_do_not_fit_have_no_plan_of_their_own() {
        let network = network(dense("batch"), 4);
        assert_eq!(network.build(&[2, 16, 5]).err().unwrap().kind(), ErrorKind::InvalidArg);
    }

    #[test]
    fn the_first_dims_of_a_ragged_batch_are_no_rows_and_may_differ() {
        let ragged = Ragged { flat: ["x".to_owned()].into(), made: ["n".to_owned()].into(), ..Ragged::default() };
        let fours = TensorProto { raw_data: [-1i64, 4].map(i64::to_le_bytes).concat(), ..TensorProto::default() };
        let fours = TensorProto { name: "fours".to_owned(), dims: vec![2], data_type: INT64, ..fours };
        for (made, fits_all) in
            [(node("Add", &["n", "n"], &["y"]), true), (node("Reshape", &["x", "fours"], &["y"]), false)]
        {
            for name in ["", "batch"] {
                let graph = GraphProto {
                    name: "ragged".to_owned(),
                    node: vec![made.clone()],
                    initializer: vec![fours.clone()],
                    input: vec![value("x", FLOAT, &[name]), value("n", FLOAT, &[name])],
                    output: vec![value("y", FLOAT, &[""])],
                    ..GraphProto::default()
                };
                let network = Arc::new(Network::new(model(graph), &ragged, 4).unwrap());
                assert!(network.dim_names()[0] != network.dim_names()[1], "'{name}'");
                assert_eq!((network.signature().batches, network.any_shape), (true, fits_all), "'{name}'");
                assert_eq!(network.plan(&[1, 5, 1, 3]).is_ok(), fits_all);
                assert!(network.plan(&[1, 8, 1, 3]).is_ok());
            }
        }
    }

    #[test]
    fn a_wrong_plans_max_is_refused() {
        let parameters = |text: &str| [("plans_max".to_owned(), text.to_owned())].into();
        assert_eq!(plans_max(&parameters("3")), Ok(3));
        assert!(plans_max(&parameters("many")).unwrap_err().message().contains("'many'"));
    }
}
