//! The tract backend behind its door: the conformance suite, signatures, and what bad models get.

#![allow(clippy::unwrap_used, reason = "a test stops where something fails")]

mod models;

use inferlay_backend_sdk::conformance::{Case, Example, MemoryFiles, TestBatch, TestRequest, run};
use inferlay_backend_sdk::{DataType, Device, Error, ErrorKind, InstanceSpec, Model, Tensor};
use inferlay_backend_tract::TractBackend;
use models::{BFLOAT16, FLOAT, INT64, STRING, dense, dense_answers, encoded, floats, node, value, with_int};
use prost::Message;
use tract_onnx::pb::{GraphProto, ModelProto, StringStringEntryProto, tensor_proto::DataLocation};

const X: [[f32; 3]; 4] = [[1.0, 2.0, 3.0], [0.5, -4.0, 1.0], [7.0, 7.0, -7.0], [0.0, 0.0, 0.0]];

fn example(x: &[[f32; 3]]) -> Example {
    let (y, total) = dense_answers(x);
    Example {
        inputs: vec![Tensor::from_vec(x.concat(), [x.len(), 3]).unwrap()],
        outputs: vec![Tensor::from_vec(y, [x.len(), 2]).unwrap(), Tensor::from_vec(total, [x.len(), 1]).unwrap()],
    }
}

fn case(examples: Vec<Example>, model: Vec<u8>) -> Case {
    Case::new(Box::new(TractBackend), examples).with_tolerance(1e-5).with_file("model.onnx", model)
}

fn load(graph: GraphProto) -> Result<Box<dyn Model>, Error> {
    case(Vec::new(), encoded(graph)).load()
}

fn refusal(graph: GraphProto) -> Error {
    load(graph).err().unwrap()
}

#[test]
fn a_model_for_any_batch_size_conforms() {
    for rows in ["batch", ""] {
        run(&case(vec![example(&X[..1]), example(&X[1..])], encoded(dense(rows)))).assert_passed();
    }
}

#[test]
fn a_model_of_fixed_shapes_conforms() {
    run(&case(vec![example(&X)], encoded(dense("4")))).assert_passed();
}

#[test]
fn texts_conform() {
    let graph = GraphProto {
        name: "texts".to_owned(),
        node: vec![node("Identity", &["t"], &["u"])],
        input: vec![value("t", STRING, &["n", "2"])],
        output: vec![value("u", STRING, &["n", "2"])],
        ..GraphProto::default()
    };
    let texts = |texts: &[&str]| vec![Tensor::from_strings(texts, [texts.len() / 2, 2]).unwrap()];
    let echo = |words: &[&str]| Example { inputs: texts(words), outputs: texts(words) };
    run(&case(vec![echo(&["to", "be"]), echo(&["or", "", "not", "ü"])], encoded(graph))).assert_passed();
}

#[test]
fn frequent_shapes_get_plans_that_answer_alike() {
    let examples: Vec<Example> = (1..=4).map(|rows| example(&X[..rows])).collect();
    let case = case(examples, encoded(dense("batch")));
    let model = case.load().unwrap();
    let mut instance = model.instance(&InstanceSpec { index: 0, device: Device::Cpu, threads_max: 2 }).unwrap();
    for round in 0..400 {
        let example = &case.examples[round % 4];
        let batch = TestBatch::new(model.signature(), vec![TestRequest::new(&example.inputs)]);
        let answers = batch.execute(&mut *instance).unwrap();
        let outputs = answers[0].as_ref().unwrap();
        for (index, expected) in example.outputs.iter().enumerate() {
            assert_eq!(inferlay_backend_sdk::conformance::difference(&outputs[&index], expected, 1e-5), None);
        }
        if round == 300 {
            model.trim();
        }
    }
}

#[test]
fn the_signature_says_what_the_graph_says() {
    for (rows, batches, first) in [("batch", true, -1), ("", true, -1), ("4", false, 4)] {
        let model = load(dense(rows)).unwrap();
        let signature = model.signature();
        let shown = |specs: &[inferlay_backend_sdk::TensorSpec]| {
            specs.iter().map(|spec| (spec.name.clone(), spec.dtype, spec.dims.clone().unwrap())).collect::<Vec<_>>()
        };
        assert_eq!(shown(&signature.inputs), [("x".to_owned(), DataType::Fp32, vec![first, 3])]);
        assert_eq!(
            shown(&signature.outputs),
            [("y".to_owned(), DataType::Fp32, vec![first, 2]), ("total".to_owned(), DataType::Fp32, vec![first, 1])]
        );
        assert_eq!(signature.batches, batches, "rows: '{rows}'");
    }
}

#[test]
fn a_first_dim_that_differs_is_no_batch() {
    let graph = GraphProto {
        name: "concat".to_owned(),
        node: vec![with_int(node("Concat", &["a", "b"], &["c"]), "axis", 0)],
        input: vec![value("a", FLOAT, &["n", "3"]), value("b", FLOAT, &["m", "3"])],
        output: vec![value("c", FLOAT, &["k", "3"])],
        ..GraphProto::default()
    };
    let model = load(graph).unwrap();
    assert!(!model.signature().batches);
    assert_eq!(model.signature().outputs[0].dims, Some(vec![-1, 3]));
}

#[test]
fn inputs_that_disagree_on_a_named_dim_are_refused() {
    let graph = GraphProto {
        name: "add".to_owned(),
        node: vec![node("Add", &["a", "b"], &["c"])],
        input: vec![value("a", FLOAT, &["n", "k"]), value("b", FLOAT, &["n", "k"])],
        output: vec![value("c", FLOAT, &["n", "k"])],
        ..GraphProto::default()
    };
    let model = load(graph).unwrap();
    let mut instance = model.instance(&InstanceSpec { index: 0, device: Device::Cpu, threads_max: 1 }).unwrap();
    let tensor = |columns: usize| Tensor::from_vec(vec![1.0f32; 2 * columns], [2, columns]).unwrap();
    for (columns, right) in [(3, true), (1, false), (4, false), (3, true)] {
        let batch = TestBatch::new(model.signature(), vec![TestRequest::new(&[tensor(3), tensor(columns)])]);
        let answers = batch.execute(&mut *instance).unwrap();
        assert_eq!(answers[0].as_ref().err().map(Error::kind), (!right).then_some(ErrorKind::InvalidArg));
    }
}

#[test]
fn a_size_that_only_a_reshape_decides_is_an_error() {
    let mut graph = dense("batch");
    graph.input[0] = value("x", FLOAT, &["2", "a", "1"]);
    graph.node[0].input[0] = "flat".to_owned();
    graph.node[3].input[0] = "flat".to_owned();
    graph.node.insert(0, node("Flatten", &["x"], &["flat"]));
    let model = load(graph).unwrap();
    let mut instance = model.instance(&InstanceSpec { index: 0, device: Device::Cpu, threads_max: 1 }).unwrap();
    for (a, right) in [(3, true), (5, false), (2, false), (3, true), (5, false)] {
        let x = Tensor::from_vec(vec![1.0f32; 2 * a], [2, a, 1]).unwrap();
        let batch = TestBatch::new(model.signature(), vec![TestRequest::new(&[x])]);
        let answers = batch.execute(&mut *instance).unwrap();
        assert_eq!(answers[0].is_ok(), right, "{a}: {:?}", answers[0]);
    }
}

#[test]
fn a_size_that_the_graph_leaves_open_but_the_weights_do_not_is_an_error() {
    let mut graph = dense("batch");
    graph.input[0] = value("x", FLOAT, &["batch", "width"]);
    let model = load(graph).unwrap();
    let mut instance = model.instance(&InstanceSpec { index: 0, device: Device::Cpu, threads_max: 1 }).unwrap();
    for (width, right) in [(3, true), (5, false), (1, false), (0, false), (3, true)] {
        let x = Tensor::from_vec(vec![1.0f32; 2 * width], [2, width]).unwrap();
        let batch = TestBatch::new(model.signature(), vec![TestRequest::new(&[x])]);
        let answers = batch.execute(&mut *instance).unwrap();
        assert_eq!(answers[0].is_ok(), right, "width {width}: {:?}", answers[0]);
    }
}

#[test]
fn an_operator_that_tract_lacks_is_named_with_a_way_out() {
    let mut graph = dense("batch");
    graph.node[2].op_type = "RoiFrobnicate".to_owned();
    let error = refusal(graph);
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    for word in ["model.onnx", "RoiFrobnicate", "onnxruntime"] {
        assert!(error.message().contains(word), "{error}");
    }
}

#[test]
fn element_types_that_tract_lacks_are_unsupported() {
    let mut graph = dense("batch");
    graph.input[0] = value("x", BFLOAT16, &["batch", "3"]);
    let error = refusal(graph);
    assert!(error.kind() == ErrorKind::Unsupported && error.message().contains("input 'x'"), "{error}");
}

type Break = fn(&mut GraphProto);

#[test]
fn a_graph_that_contradicts_itself_is_refused() {
    let broken: [(&str, Break); 9] = [
        ("a tensor shorter than its dims", |graph| graph.initializer[0].raw_data.truncate(8)),
        ("a tensor of negative dims", |graph| graph.initializer[0].dims[0] = -3),
        ("a tensor of overflowing dims", |graph| graph.initializer[0].dims = vec![i64::MAX, i64::MAX]),
        ("an output that no node gives", |graph| graph.output[0] = value("nothing", FLOAT, &["batch", "2"])),
        ("an input that no node gives", |graph| graph.node[1].input[0] = "nothing".to_owned()),
        ("a cycle", |graph| graph.node[0].input[0] = "y".to_owned()),
        ("two inputs of one name", |graph| graph.input.push(value("x", FLOAT, &["batch", "3"]))),
        ("a type that contradicts the nodes", |graph| graph.input[0] = value("x", INT64, &["batch", "3"])),
        ("a dim expression nested without end", |graph| {
            let deep = format!("{}n{}", "(".repeat(100_000), ")".repeat(100_000));
            graph.input[0] = value("x", FLOAT, &[&deep, "3"]);
        }),
    ];
    for (what, break_it) in broken {
        let mut graph = dense("batch");
        break_it(&mut graph);
        match load(graph) {
            Ok(_) => panic!("{what}: loaded"),
            Err(error) => assert!(error.message().contains("model.onnx"), "{what}: {error}"),
        }
    }
}

#[test]
fn messages_nested_without_end_are_refused() {
    // A graph inside an attribute inside a node inside a graph, and so on: each level wraps the one before.
    let mut graph = GraphProto::default();
    for _ in 0..2000 {
        let mut outer = node("If", &["c"], &["y"]);
        let attribute = tract_onnx::pb::AttributeProto { g: Some(graph), ..Default::default() };
        outer.attribute.push(attribute);
        graph = GraphProto { node: vec![outer], ..GraphProto::default() };
    }
    let content = ModelProto { graph: Some(graph), ..ModelProto::default() };
    // Writing and dropping it recurses as deep: a thread with room for that.
    let writer = std::thread::Builder::new().stack_size(256 << 20).spawn(move || content.encode_to_vec());
    let error = case(Vec::new(), writer.unwrap().join().unwrap()).load().err().unwrap();
    assert_eq!(error.kind(), ErrorKind::InvalidArg, "{error}");
}

fn external(location: &str) -> Vec<u8> {
    let mut graph = dense("batch");
    let weights = &mut graph.initializer[0];
    weights.raw_data.clear();
    weights.data_location = Some(DataLocation::External as i32);
    let entry = |key: &str, value: &str| StringStringEntryProto { key: key.to_owned(), value: value.to_owned() };
    weights.external_data = vec![entry("location", location), entry("offset", "4"), entry("length", "24")];
    encoded(graph)
}

#[test]
fn weights_in_a_file_beside_the_model_are_read() {
    let weights = floats("w", &[7], &[9.0, 1.0, -1.0, 2.0, 0.5, -3.0, 0.0]).raw_data;
    let mut case = case(vec![example(&X[..1]), example(&X[1..])], external("weights.bin"));
    case.files.insert("weights.bin", weights);
    run(&case).assert_passed();
}

#[test]
fn weights_outside_the_models_folder_are_refused() {
    for location in ["../weights.bin", "/etc/passwd", "a/../../b"] {
        let mut case = case(Vec::new(), external(location));
        case.files.insert(location, vec![0; 64]);
        let error = case.load().err().unwrap();
        assert_eq!(error.kind(), ErrorKind::InvalidArg);
        assert!(error.message().contains("out of the model's folder") && error.message().contains("'w'"), "{error}");
    }
    let missing = case(Vec::new(), external("weights.bin")).load_from("model.onnx", &{
        let mut files = MemoryFiles::default();
        files.insert("model.onnx", external("weights.bin"));
        files
    });
    assert_eq!(missing.err().unwrap().kind(), ErrorKind::NotFound);
}
