//! Ragged batches by a backend of ONNX models: the tests that each such backend passes through a server.
//!
//! One model has them all: numbers `x` of any shapes and rows `z`, and of what the batch tells of `x` every kind; it
//! answers with one output for each. Whoever includes this has `models`, which writes such files, and says by `backend` who
//! serves them.

use crate::backend;
use crate::models::{FLOAT, Graph, INT32, int, message};
use inferlay::config::parse;
use inferlay::{LoadOptions, ModelHandle, Request, Response, ServerHandle, Tensor};

/// How the exporter named the first dims: of `x`, of what has one number for each request or row, of one number more, of
/// the most elements, and of two numbers for each row.
type Names = [&'static str; 5];
const HONEST: Names = ["elements", "rows", "ends", "most", "pairs"];
const ALIKE: Names = ["batch"; 5];
const NAMELESS: Names = [""; 5];

fn ints(graph: Graph, name: &str, values: &[i32]) -> Graph {
    let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    graph.tensor(name, INT32, &[values.len() as u64], &message(9, &raw))
}

/// The sums of each request's elements, by where they end; and everything that is told, changed a little.
fn file([elements, rows, ends, most, pairs]: Names) -> Vec<u8> {
    let graph = Graph::new()
        .node("Add", &["x", "x"], &["y"], &[])
        .node("CumSum", &["x", "along"], &["running"], &[])
        .node("Concat", &["zero", "running"], &["padded"], &[int("axis", 0)])
        .node("Gather", &["padded", "ends"], &["marks"], &[int("axis", 0)])
        .node("Slice", &["marks", "first", "behind", "axis"], &["upper"], &[])
        .node("Slice", &["marks", "begin", "last", "axis"], &["lower"], &[])
        .node("Sub", &["upper", "lower"], &["sums"], &[])
        .node("Add", &["counts", "one"], &["count"], &[])
        .node("Add", &["lasts", "one"], &["end"], &[])
        .node("Shape", &["most"], &["shape"], &[])
        .node("Cast", &["shape"], &["size"], &[int("to", INT32)])
        .node("Mul", &["counts", "nil"], &["nils"], &[])
        .node("Add", &["nils", "size"], &["largest"], &[])
        .node("Add", &["shapes", "shapes"], &["twice"], &[])
        .node("Reshape", &["flat", "pairwise"], &["reshaped"], &[])
        .node("Add", &["reshaped", "one"], &["paired"], &[])
        .node("Add", &["z", "z"], &["w"], &[])
        .ints("along", &[], &[0])
        .floats("zero", &[1], &[0.0])
        .ints("begin", &[1], &[0])
        .ints("first", &[1], &[1])
        .ints("last", &[1], &[-1])
        .ints("behind", &[1], &[i64::MAX])
        .ints("axis", &[1], &[0])
        .ints("pairwise", &[2], &[-1, 2]);
    let graph = ints(ints(graph, "one", &[1]), "nil", &[0]);
    graph
        .input("x", FLOAT, Some(&[elements]))
        .input("z", FLOAT, Some(&[rows, "2"]))
        .input("counts", INT32, Some(&[rows]))
        .input("lasts", INT32, Some(&[rows]))
        .input("ends", INT32, Some(&[ends]))
        .input("most", INT32, Some(&[most]))
        .input("shapes", FLOAT, Some(&[rows, "2"]))
        .input("flat", INT32, Some(&[pairs]))
        .output("y", FLOAT, Some(&[elements]))
        .output("sums", FLOAT, Some(&[rows]))
        .output("count", INT32, Some(&[rows]))
        .output("end", INT32, Some(&[rows]))
        .output("largest", INT32, Some(&[rows]))
        .output("twice", FLOAT, Some(&[rows, "2"]))
        .output("paired", INT32, Some(&[rows, "2"]))
        .output("w", FLOAT, Some(&[rows, "2"]))
        .encoded()
}

/// A server with the model under the name of its backend; `more` is said in its config.
fn serve(names: Names, more: &str) -> (ServerHandle, ModelHandle) {
    let backend = backend();
    let config = format!(
        "backend: {}\n{more}
input: {{name: x, dims: [-1, -1], allow_ragged_batch: true}}
batch_input:
- {{kind: BATCH_ELEMENT_COUNT, target_name: counts, data_type: INT32, source_input: x}}
- {{kind: BATCH_ACCUMULATED_ELEMENT_COUNT, target_name: lasts, data_type: INT32, source_input: x}}
- {{kind: BATCH_ACCUMULATED_ELEMENT_COUNT_WITH_ZERO, target_name: ends, data_type: INT32, source_input: x}}
- {{kind: BATCH_MAX_ELEMENT_COUNT_AS_SHAPE, target_name: most, data_type: INT32, source_input: x}}
- {{kind: BATCH_ITEM_SHAPE, target_name: shapes, data_type: FP32, source_input: x}}
- {{kind: BATCH_ITEM_SHAPE_FLATTEN, target_name: flat, data_type: INT32, source_input: x}}
output: [{{name: y, dims: [-1, -1]}}, {{name: sums}}, {{name: count}}, {{name: end}}, {{name: largest}}, {{name: twice}},
  {{name: paired}}, {{name: w}}]
batch_output: {{target_name: y, kind: BATCH_SCATTER_WITH_INPUT_SHAPE, source_input: x}}\n",
        backend.name()
    );
    parse("config.yaml", &config).unwrap().strict().unwrap();
    let server = ServerHandle::builder().explicit([""; 0]).backend(backend).start().unwrap();
    let files = [("1/model.onnx".to_owned(), file(names))];
    server.load_model_with("m", LoadOptions::new().config(config).files(files)).wait().unwrap();
    let model = server.model("m").unwrap();
    (server, model)
}

/// Batches that wait until they have so many rows.
fn full(rows: usize) -> String {
    format!("max_batch_size: {rows}\ndynamic_batching: {{max_queue_delay_microseconds: 60000000}}")
}

fn numbers(shape: &[usize], first: usize) -> Tensor {
    let len: usize = shape.iter().product();
    Tensor::from_vec((first..first + len).map(|number| number as f32).collect(), shape).unwrap()
}

/// A request of that shape, whose elements count from `first`.
fn ask(shape: [usize; 3], first: usize) -> Request<'static> {
    Request::new().input("x", numbers(&shape, first)).input("z", numbers(&[shape[0], 2], first))
}

fn floats<'a>(response: &'a Response, output: &str) -> &'a [f32] {
    response.slice(output).unwrap()
}

/// What a request gets whatever else is in its batch.
fn has_its_own(response: &Response, shape: [usize; 3], first: usize) {
    let len: usize = shape.iter().product();
    let doubled: Vec<_> = (first..first + len).map(|number| 2.0 * number as f32).collect();
    assert_eq!(
        (response.output("y").unwrap().shape()[..].to_vec(), floats(response, "y")),
        (shape.into(), &doubled[..])
    );
    let z: Vec<_> = (first..first + 2 * shape[0]).map(|number| 2.0 * number as f32).collect();
    assert_eq!(floats(response, "w"), z);
    let dims = [shape[1], shape[2]].repeat(shape[0]);
    assert_eq!(floats(response, "twice"), dims.iter().map(|dim| 2.0 * *dim as f32).collect::<Vec<_>>());
}

/// What a request of one row is told besides.
fn is_told(response: &Response, shape: [usize; 3], first: usize, (end, largest): (usize, usize)) {
    has_its_own(response, shape, first);
    let len: usize = shape.iter().product();
    let sum: usize = (first..first + len).sum();
    assert_eq!(floats(response, "sums"), [sum as f32]);
    let told = |output| response.slice::<i32>(output).unwrap().to_vec();
    assert_eq!((told("count"), told("end")), (vec![len as i32 + 1], vec![end as i32 + 1]));
    assert_eq!(told("largest"), [largest as i32]);
    assert_eq!(told("paired"), [shape[1] as i32 + 1, shape[2] as i32 + 1]);
}

#[test]
fn requests_of_different_shapes_share_a_batch_and_each_gets_its_own_back() {
    for names in [HONEST, ALIKE, NAMELESS] {
        let (_server, model) = serve(names, &full(3));
        let shapes = [[1, 3, 2], [1, 1, 4], [1, 0, 1]];
        for _ in 0..3 {
            let futures = [0, 1, 2].map(|at| model.infer_async(ask(shapes[at], 10 * at)).unwrap());
            for ((at, end), future) in [6, 10, 10].into_iter().enumerate().zip(futures) {
                is_told(&future.wait().unwrap(), shapes[at], 10 * at, (end, 6));
            }
        }
        assert_eq!(model.statistics().unwrap().execution_count, 3, "{names:?}");
    }
}

#[test]
fn a_request_alone_is_served_as_well_and_may_have_no_elements() {
    for names in [HONEST, ALIKE, NAMELESS] {
        let (_server, model) = serve(names, "max_batch_size: 8");
        for (at, shape) in [[1, 2, 3], [1, 1, 1], [1, 3, 0], [1, 0, 0], [1, 5, 1]].into_iter().enumerate() {
            let len = shape.iter().product();
            is_told(&model.infer(ask(shape, at)).unwrap(), shape, at, (len, len));
        }
    }
}

#[test]
fn requests_of_several_rows_get_as_many_back() {
    for names in [HONEST, ALIKE, NAMELESS] {
        let (_server, model) = serve(names, &full(6));
        let shapes = [[2, 3, 2], [3, 1, 4], [1, 2, 2]];
        // The others have a row for each request, and none for its rows.
        let wants = |request: Request<'static>| request.output("y").output("w").output("twice");
        let futures = [0, 1, 2].map(|at| model.infer_async(wants(ask(shapes[at], 10 * at))).unwrap());
        for (at, future) in futures.into_iter().enumerate() {
            has_its_own(&future.wait().unwrap(), shapes[at], 10 * at);
        }
    }
}

#[test]
fn whatever_the_shapes_every_request_gets_its_own() {
    let (_server, model) = serve(ALIKE, "max_batch_size: 8\ndynamic_batching: {}");
    let shape = |at: usize| [1, at * 7 % 5, at * 11 % 6];
    let futures: Vec<_> = (0..120).map(|at| model.infer_async(ask(shape(at), at)).unwrap()).collect();
    for (at, future) in futures.into_iter().enumerate() {
        let response = future.wait().unwrap();
        has_its_own(&response, shape(at), at);
        let len = shape(at).iter().product::<usize>();
        assert_eq!(floats(&response, "sums"), [(at..at + len).sum::<usize>() as f32]);
    }
}

#[test]
fn a_request_of_an_odd_shape_fails_alone() {
    for names in [HONEST, ALIKE, NAMELESS] {
        let (_server, model) = serve(names, &full(2));
        let first = model.infer_async(ask([1, 2, 2], 0)).unwrap();
        let refused = |request: Request<'static>| model.infer(request).unwrap_err().message().to_owned();
        let (x, z) = (|shape: &[usize]| Request::new().input("x", numbers(shape, 0)), numbers(&[1, 2], 0));
        let place = "model 'm' version 1: input 'x'";
        for shape in [&[1, 4][..], &[1, 2, 2, 1]] {
            let expected = format!("{place}: found shape {shape:?}, expected [batch]+[-1, -1]");
            assert_eq!(refused(x(shape).input("z", z.clone())), expected);
        }
        let huge = Tensor::from_vec(Vec::<f32>::new(), [1, 1 << 40, 0]).unwrap();
        let message = refused(Request::new().input("x", huge).input("z", z));
        assert!(message.contains("expected dims and sizes of at most 2147483647"), "{message}");
        let message = refused(x(&[1, 2, 2]).input("z", numbers(&[1, 3], 0)));
        assert!(message.contains("input 'z': found shape [1, 3], expected [batch]+[2]"), "{message}");
        let second = model.infer_async(ask([1, 1, 3], 5)).unwrap();
        is_told(&first.wait().unwrap(), [1, 2, 2], 0, (4, 4));
        is_told(&second.wait().unwrap(), [1, 1, 3], 5, (7, 4));
    }
}

#[test]
fn without_a_largest_batch_in_the_config_a_ragged_model_batches() {
    for names in [HONEST, ALIKE, NAMELESS] {
        let (_server, model) = serve(names, "");
        assert_eq!(model.config().unwrap().max_batch_size, 64);
        is_told(&model.infer(ask([1, 2, 1], 1)).unwrap(), [1, 2, 1], 1, (2, 2));
    }
}

#[test]
fn a_model_whose_rows_are_fixed_does_not_batch_for_being_ragged() {
    let fixed = ["elements", "2", "ends", "most", "pairs"];
    let server = ServerHandle::builder().explicit([""; 0]).backend(backend()).start().unwrap();
    let config = format!(
        "backend: {}\nmax_batch_size: 8\ninput: {{name: x, dims: [-1], allow_ragged_batch: true}}",
        backend().name()
    );
    let files = [("1/model.onnx".to_owned(), file(fixed))];
    let error = server.load_model_with("m", LoadOptions::new().config(config).files(files)).wait().unwrap_err();
    assert!(error.message().contains("expected 0: the first dim of this model is no batch"), "{error}");
}
