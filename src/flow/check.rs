//! What a request asks, compared with what its lane knows of the model: once, at the door, by reference.
//!
//! What is refused stays as it was. What passes is known by index from here on: [`Checked`]. Pure; runs on the thread that
//! submits.

use super::request::Request;
use super::spec::{LaneSpec, Port, bit};
use crate::backend::joint::Join;
use inferlay_backend_sdk::{Error, Tensor};
use smallvec::SmallVec;
use std::hash::{BuildHasher, RandomState};
use std::sync::OnceLock;

const TAKEN: &str = "an input was taken by the engine before";

/// What the check found: everything by index.
pub(crate) struct Checked {
    /// The index in the spec of each input, in the order given.
    pub(super) order: SmallVec<[usize; 4]>,
    /// The index in the spec of each output that has memory of the caller.
    pub(super) into: SmallVec<[usize; 2]>,
    pub(crate) rows: usize,
    pub(crate) key: u64,
    pub(crate) wanted: u64,
    pub(crate) level: usize,
    /// Whether an input or output lies in memory of the caller.
    pub(crate) is_lent: bool,
}

/// Compares a request with what the model takes.
///
/// # Errors
/// `INVALID_ARG` or `NOT_FOUND`, naming the model and the input or output, what was found and what was expected.
pub(crate) fn check(request: &Request<'_>, spec: &LaneSpec) -> Result<Checked, Error> {
    let (order, is_lent) = check_inputs(request, spec)?;
    let rows = check_rows(request, spec)?;
    if spec.shaping.joins || spec.shaping.scatters {
        check_countable(request, &order, spec)?;
    }
    let mut wanted = 0;
    for name in &request.outputs {
        wanted |= bit(find(&spec.outputs, name, "output", spec)?);
    }
    let mut into = SmallVec::new();
    for (name, memory) in &request.into {
        let index = find(&spec.outputs, name, "output", spec)?;
        let expected = spec.outputs[index].dtype;
        if let Some(found) = memory.dtype().filter(|found| *found != expected && expected.size().is_some()) {
            let place = spec.place();
            let message = format!("{place}: output '{name}': found memory for {found}, expected {expected}");
            return Err(Error::invalid_arg(message));
        }
        if spec.outputs[index].dtype.size().is_none() {
            let place = spec.place();
            return Err(Error::unsupported(format!(
                "{place}: output '{name}' is of BYTES, whose size only the answer knows"
            )));
        }
        if into.contains(&index) {
            return Err(Error::invalid_arg(format!("{}: output '{name}' has memory twice", spec.place())));
        }
        into.push(index);
    }
    Ok(Checked {
        key: key(request, spec, &order),
        is_lent: is_lent || !into.is_empty(),
        wanted: if wanted == 0 { spec.offered() } else { wanted },
        level: level(request.priority.unwrap_or(0), spec)?,
        order,
        into,
        rows,
    })
}

fn check_inputs(request: &Request<'_>, spec: &LaneSpec) -> Result<(SmallVec<[usize; 4]>, bool), Error> {
    let (mut order, mut is_lent) = (SmallVec::new(), false);
    for (name, input) in &request.inputs {
        let index = find(&spec.inputs, name, "input", spec)?;
        let Some(tensor) = input.tensor() else { return Err(Error::invalid_arg(TAKEN)) };
        if order.contains(&index) {
            return Err(Error::invalid_arg(format!("{}: input '{name}' is given twice", spec.place())));
        }
        check_input(&spec.inputs[index], tensor, spec)?;
        is_lent |= input.is_borrowed();
        order.push(index);
    }
    if order.len() < spec.inputs.len() {
        let missing = |(index, port): (usize, &Port)| !port.is_optional && !order.contains(&index);
        if let Some((_, port)) = spec.inputs.iter().enumerate().find(|(index, port)| missing((*index, port))) {
            return Err(Error::invalid_arg(format!("{}: input '{}' is missing", spec.place(), port.name)));
        }
    }
    Ok((order, is_lent))
}

fn check_input(port: &Port, tensor: &Tensor, spec: &LaneSpec) -> Result<(), Error> {
    let place = || format!("{}: input '{}'", spec.place(), port.name);
    if tensor.dtype() != port.dtype {
        refuse_told(port, spec)?;
        return Err(Error::invalid_arg(format!("{}: found {}, expected {}", place(), tensor.dtype(), port.dtype)));
    }
    let Some(dims) = &port.dims else { return refuse_told(port, spec) };
    let found = tensor.shape();
    let rest = if spec.batches() { found.get(1..) } else { Some(&found[..]) };
    if rest.is_some_and(|rest| LaneSpec::fits(dims, rest)) {
        return Ok(());
    }
    let batch = if spec.batches() { "[batch]+" } else { "" };
    Err(Error::invalid_arg(format!("{}: found shape {found}, expected {batch}{dims:?}", place())))
}

/// Refuses an input of a size that an INT32 does not hold, or with a part of an output of such a size: what is made of a
/// batch tells of all its requests, and the one that cannot be told of must not fail the others.
#[cold]
fn check_countable(request: &Request<'_>, order: &[usize], spec: &LaneSpec) -> Result<(), Error> {
    let counts = |elements: Option<usize>| elements.is_some_and(|elements| i32::try_from(elements).is_ok());
    for ((name, input), index) in request.inputs.iter().zip(order) {
        let Some(shape) = input.tensor().map(Tensor::shape) else { continue };
        let mut scatters =
            spec.outputs.iter().filter_map(|port| port.scatter.as_ref()).filter(|of| of.source == *index);
        let parts_count = scatters.all(|scatter| !scatter.shape(shape).is_ok_and(|part| !counts(part.elements())));
        if !parts_count || !counts(shape.elements()) || !shape.iter().all(|dim| counts(Some(*dim))) {
            let place = spec.place();
            let most = i32::MAX;
            return Err(Error::invalid_arg(format!(
                "{place}: input '{name}': found shape {shape}, expected dims and sizes of at most {most} in a ragged batch"
            )));
        }
    }
    Ok(())
}

/// Refuses an input that the batch makes; such a one has no dims to be checked against.
fn refuse_told(port: &Port, spec: &LaneSpec) -> Result<(), Error> {
    if port.join.is_of_requests() {
        return Ok(());
    }
    let place = format!("{}: input '{}'", spec.place(), port.name);
    Err(Error::invalid_arg(format!("{place}: found it in a request, expected the batch to make it (batch_input)")))
}

fn check_rows(request: &Request<'_>, spec: &LaneSpec) -> Result<usize, Error> {
    if !spec.batches() {
        return Ok(1);
    }
    let mut rows = None;
    for (name, input) in &request.inputs {
        let found = input.tensor().and_then(|tensor| tensor.shape().first().copied()).unwrap_or(0);
        if found == 0 || found > spec.rows_max {
            return Err(Error::invalid_arg(format!(
                "{}: input '{name}': found a batch of {found}, expected 1 to {} (max_batch_size)",
                spec.place(),
                spec.rows_max
            )));
        }
        if *rows.get_or_insert(found) != found {
            let first = rows.unwrap_or(0);
            let place = spec.place();
            return Err(Error::invalid_arg(format!(
                "{place}: input '{name}': found a batch of {found}, others have {first}"
            )));
        }
    }
    Ok(rows.unwrap_or(1))
}

fn find(ports: &[Port], name: &str, noun: &str, spec: &LaneSpec) -> Result<usize, Error> {
    if let Some(index) = ports.iter().position(|port| port.name == name) {
        return Ok(index);
    }
    let known = ports.iter().filter(|port| port.join.is_of_requests());
    let known: Vec<_> = known.map(|port| port.name.as_str()).collect();
    Err(Error::not_found(format!("{}: {noun} '{name}' not found; known: {}", spec.place(), known.join(", "))))
}

fn level(priority: u32, spec: &LaneSpec) -> Result<usize, Error> {
    match priority as usize {
        0 => Ok(spec.level_default),
        priority if priority <= spec.levels.max(1) => Ok(priority - 1),
        _ if spec.levels == 0 => Ok(0),
        priority => Err(Error::invalid_arg(format!(
            "{}: found priority {priority}, expected 0 to {} (priority_levels)",
            spec.place(),
            spec.levels
        ))),
    }
}

/// Requests batch together only when their keys agree: a keyed hash of which inputs are there and of every dim that the
/// spec leaves open.
fn key(request: &Request<'_>, spec: &LaneSpec, order: &[usize]) -> u64 {
    if !spec.batches() || !spec.inputs.iter().any(Port::is_open) {
        return 0;
    }
    static SEED: OnceLock<RandomState> = OnceLock::new();
    let mut hash = 0u64;
    for ((_, input), index) in request.inputs.iter().zip(order) {
        let dims = input.tensor().and_then(|tensor| tensor.shape().get(1..)).unwrap_or_default();
        let rank = dims.len();
        // Of a ragged one only the number of dims must agree.
        let dims = if spec.inputs[*index].join == Join::Flat { &[] } else { dims };
        // The order in which the inputs were given must not matter.
        hash = hash.wrapping_add(SEED.get_or_init(RandomState::new).hash_one((index, rank, dims)));
    }
    hash
}

#[cfg(all(test, not(loom)))]
#[allow(clippy::unwrap_used)]
pub(super) mod tests {
    use super::super::batch::Policy;
    use super::super::spec::CallerRuns;
    use super::*;
    use inferlay_backend_sdk::DataType;

    fn port(name: &str, dtype: DataType, dims: &[i64]) -> Port {
        Port {
            name: name.into(),
            dtype,
            dims: Some(dims.to_vec()),
            backend_dims: Some(dims.to_vec()),
            join: Default::default(),
            scatter: None,
            is_optional: name == "hint",
            is_offered: true,
            labels: None,
        }
    }

    pub(in super::super) fn spec(rows_max: usize) -> LaneSpec {
        LaneSpec {
            model: "m".into(),
            version: 1,
            inputs: vec![
                port("x", DataType::Fp32, &[2]),
                port("y", DataType::Int32, &[-1]),
                port("hint", DataType::Bool, &[1]),
            ],
            outputs: vec![port("a", DataType::Fp32, &[2]), port("b", DataType::Fp32, &[2])],
            shaping: Default::default(),
            rows_max,
            policy: Policy::default(),
            queued_max: 8,
            levels: 2,
            level_default: 1,
            waits: Default::default(),
            execution_timeout: None,
            caller_runs: CallerRuns::OwnRequest,
            is_thread_bound: false,
            is_ordered: false,
            credit_max: None,
            is_passive: false,
            metric_tags: Default::default(),
            layout: Default::default(),
        }
    }

    fn x(rows: usize) -> Tensor {
        Tensor::from_vec(vec![0f32; rows * 2], [rows, 2]).unwrap()
    }

    fn y(rows: usize, len: usize) -> Tensor {
        Tensor::from_vec(vec![0i32; rows * len], [rows, len]).unwrap()
    }

    #[test]
    fn a_wrong_request_is_told_place_found_and_expected() {
        let right = || Request::new().input("y", y(1, 3));
        let rows: Vec<(Request<'_>, &str)> = vec![
            (right(), "model 'm' version 1: input 'x' is missing"),
            (right().input("z", x(1)), "model 'm' version 1: input 'z' not found; known: x, y, hint"),
            (right().input("x", y(1, 2)), "model 'm' version 1: input 'x': found INT32, expected FP32"),
            (
                right().input("x", Tensor::from_vec(vec![0f32; 3], [1, 3]).unwrap()),
                "model 'm' version 1: input 'x': found shape [1, 3], expected [batch]+[2]",
            ),
            (
                right().input("x", Tensor::from_vec(vec![0f32], []).unwrap()),
                "model 'm' version 1: input 'x': found shape [], expected [batch]+[2]",
            ),
            (right().input("x", x(2)), "model 'm' version 1: input 'x': found a batch of 2, others have 1"),
            (right().input("x", x(1)).input("x", x(1)), "model 'm' version 1: input 'x' is given twice"),
            (right().input("x", x(1)).output("c"), "model 'm' version 1: output 'c' not found; known: a, b"),
            (
                Request::new().input("x", x(5)).input("y", y(5, 1)),
                "model 'm' version 1: input 'x': found a batch of 5, expected 1 to 4 (max_batch_size)",
            ),
            (
                Request::new().input("x", x(0)).input("y", y(0, 1)),
                "model 'm' version 1: input 'x': found a batch of 0, expected 1 to 4 (max_batch_size)",
            ),
            (
                right().input("x", x(1)).priority(3),
                "model 'm' version 1: found priority 3, expected 0 to 2 (priority_levels)",
            ),
        ];
        for (request, message) in rows {
            let error = check(&request, &spec(4)).err().map(|error| error.message().to_owned());
            assert_eq!(error.as_deref(), Some(message));
        }
    }

    #[test]
    fn requests_share_a_key_when_their_open_dims_agree() {
        let key = |len, swap: bool| {
            let request = if swap {
                Request::new().input("y", y(1, len)).input("x", x(1))
            } else {
                Request::new().input("x", x(1)).input("y", y(1, len))
            };
            check(&request, &spec(4)).unwrap().key
        };
        assert_eq!(key(3, false), key(3, true));
        assert_ne!(key(3, false), key(4, false));
    }

    #[test]
    fn wanted_outputs_default_to_all_that_are_offered() {
        let request = || Request::new().input("x", x(1)).input("y", y(1, 0));
        assert_eq!(check(&request(), &spec(4)).unwrap().wanted, 0b11);
        assert_eq!(check(&request().output("b"), &spec(4)).unwrap().wanted, 0b10);
        assert_eq!(check(&request(), &spec(4)).unwrap().level, 1);
        assert_eq!(check(&request().priority(1), &spec(4)).unwrap().level, 0);
    }
}
