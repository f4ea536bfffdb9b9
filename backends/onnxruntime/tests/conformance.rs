//! The backend behind its door: the conformance suite, signatures, parameters, and what bad models get.
//!
//! The runtime's library comes from the Python of `INFERLAY_PYTHON`, if that is set, else it is looked for as always.

#![allow(clippy::unwrap_used, reason = "a test stops where something fails")]

mod models;
mod runtime;

use inferlay_backend_onnxruntime::OnnxRuntimeBackend;
use inferlay_backend_sdk::conformance::{Case, Example, MemoryFiles, TestBatch, TestRequest, difference, run};
use inferlay_backend_sdk::{Backend, Buffer, DataType, Device, Error, ErrorKind, InstanceSpec, Model, Tensor};
use models::{
    BFLOAT16, BOOL, FLOAT, FLOAT16, Graph, INT64, STRING, dense, dense_answers, dense_with, int, message, number,
    tensor_type, weights,
};
use ort::ep::{CUDA, ExecutionProvider, OpenVINO, TensorRT};
use runtime::backend;
use std::path::Path;
use std::process::Command;

const X: [[f32; 3]; 4] = [[1.0, 2.0, 3.0], [0.5, -4.0, 1.0], [7.0, 7.0, -7.0], [0.0, 0.0, 0.0]];
const SPEC: InstanceSpec = InstanceSpec { index: 0, device: Device::Cpu, threads_max: 1 };

fn example(x: &[[f32; 3]]) -> Example {
    let (y, total) = dense_answers(x);
    Example {
        inputs: vec![Tensor::from_vec(x.concat(), [x.len(), 3]).unwrap()],
        outputs: vec![Tensor::from_vec(y, [x.len(), 2]).unwrap(), Tensor::from_vec(total, [x.len(), 1]).unwrap()],
    }
}

fn case(examples: Vec<Example>, model: Vec<u8>) -> Case {
    Case::new(Box::new(backend()), examples).with_tolerance(1e-5).with_file("model.onnx", model)
}

fn dense_case() -> Case {
    case(vec![example(&X[..1]), example(&X[1..])], dense("batch").encoded())
}

fn with(mut case: Case, parameters: &[(&str, &str)]) -> Case {
    case.parameters = parameters.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
    case
}

fn load(graph: &Graph) -> Result<Box<dyn Model>, Error> {
    case(Vec::new(), graph.encoded()).load()
}

/// What a model answers, one request in one batch.
fn answer(model: &dyn Model, inputs: &[Tensor]) -> Result<Vec<Tensor>, Error> {
    let mut instance = model.instance(&SPEC).unwrap();
    let batch = TestBatch::new(model.signature(), vec![TestRequest::new(inputs)]);
    batch.execute(&mut *instance).unwrap().remove(0).map(|outputs| outputs.into_values().collect())
}

fn raw(dtype: DataType, shape: &[usize], bytes: &[u8]) -> Tensor {
    Tensor::new(dtype, shape, Buffer::copy_of(bytes)).unwrap()
}

#[test]
fn a_model_for_any_batch_size_conforms() {
    for rows in ["batch", ""] {
        run(&case(vec![example(&X[..1]), example(&X[1..])], dense(rows).encoded())).assert_passed();
    }
}

#[test]
fn a_model_of_fixed_shapes_conforms() {
    run(&case(vec![example(&X)], dense("4").encoded())).assert_passed();
}

#[test]
fn outputs_whose_shape_is_not_known_ahead_conform() {
    let graph = Graph::new()
        .node("Concat", &["x", "x"], &["y"], &[int("axis", 1)])
        .input("x", FLOAT, Some(&["n", "k"]))
        .output("y", FLOAT, Some(&["n", "twice"]));
    let doubled = |x: &[f32], rows: usize| Example {
        inputs: vec![Tensor::from_vec(x.to_vec(), [rows, x.len() / rows]).unwrap()],
        outputs: vec![{
            let twice: Vec<f32> = x.chunks(x.len() / rows).flat_map(|row| [row, row].concat()).collect();
            Tensor::from_vec(twice, [rows, 2 * x.len() / rows]).unwrap()
        }],
    };
    run(&case(vec![doubled(&[1.0, 2.0], 1), doubled(&[3.0, 4.0, 5.0, 6.0], 2)], graph.encoded())).assert_passed();
}

#[test]
fn texts_conform_and_may_be_any_bytes() {
    let graph = Graph::new().node("Identity", &["t"], &["u"], &[]).input("t", STRING, Some(&["n", "2"])).output(
        "u",
        STRING,
        Some(&["n", "2"]),
    );
    let texts = |texts: &[&[u8]]| vec![Tensor::from_strings(texts, [texts.len() / 2, 2]).unwrap()];
    let echo = |words: &[&[u8]]| Example { inputs: texts(words), outputs: texts(words) };
    let examples = vec![echo(&[b"to", b"be"]), echo(&[b"or", b"", b"a\0b", b"\xff\xfe"])];
    run(&case(examples, graph.encoded())).assert_passed();
}

#[test]
fn half_and_brain_floats_pass_through_as_they_are() {
    for (element, dtype) in [(FLOAT16, DataType::Fp16), (BFLOAT16, DataType::Bf16)] {
        let graph = Graph::new()
            .node("Reshape", &["x", "shape"], &["y"], &[])
            .ints("shape", &[1], &[3])
            .input("x", element, Some(&["1", "3"]))
            .output("y", element, Some(&["3"]));
        let model = load(&graph).unwrap();
        assert_eq!(model.signature().inputs[0].dtype, dtype);
        let x = raw(dtype, &[1, 3], &[0, 0x3c, 0, 0xc0, 1, 0]);
        let y = answer(&*model, std::slice::from_ref(&x)).unwrap().remove(0);
        assert_eq!((y.dtype(), y.view().bytes().unwrap()), (dtype, x.view().bytes().unwrap()));
    }
}

#[test]
fn an_input_that_is_also_an_output_is_not_kept() {
    // Bound to memory of the engine, and handed on by the runtime as it is.
    for columns in ["2", "k"] {
        let graph = Graph::new()
            .node("Add", &["x", "x"], &["y"], &[])
            .input("x", FLOAT, Some(&["n", columns]))
            .output("y", FLOAT, Some(&["n", columns]))
            .output("x", FLOAT, Some(&["n", columns]));
        let tensor = |x: &[f32]| Tensor::from_vec(x.to_vec(), [1, x.len()]).unwrap();
        let (x, y) = (tensor(&[1.0, 2.0]), tensor(&[2.0, 4.0]));
        let example = Example { inputs: vec![x.clone()], outputs: vec![y, x] };
        run(&case(vec![example], graph.encoded())).assert_passed();
    }
}

#[test]
fn an_output_that_is_a_weight_is_given() {
    let graph = Graph::new()
        .node("Add", &["x", "w"], &["y"], &[])
        .floats("w", &[2], &[3.0, 4.0])
        .input("x", FLOAT, Some(&["2"]))
        .output("y", FLOAT, Some(&["2"]))
        .output("w", FLOAT, Some(&["2"]));
    let tensor = |x: &[f32]| Tensor::from_vec(x.to_vec(), [x.len()]).unwrap();
    let outputs = vec![tensor(&[4.0, 6.0]), tensor(&[3.0, 4.0])];
    let example = Example { inputs: vec![tensor(&[1.0, 2.0])], outputs };
    run(&case(vec![example], graph.encoded())).assert_passed();
}

#[test]
fn an_output_that_the_runtime_has_folded_into_a_weight_is_a_copy_of_it() {
    // Its size is not known ahead, so that the memory is the runtime's.
    let graph = Graph::new()
        .node("NonZero", &["w"], &["places"], &[])
        .node("Add", &["x", "w"], &["y"], &[])
        .floats("w", &[3], &[3.0, 0.0, 4.0])
        .input("x", FLOAT, Some(&["3"]))
        .output("y", FLOAT, Some(&["3"]))
        .output("places", INT64, Some(&["1", "count"]));
    let model = load(&graph).unwrap();
    let x = Tensor::from_vec(vec![1.0f32; 3], [3]).unwrap();
    let (a, b) = (answer(&*model, std::slice::from_ref(&x)).unwrap(), answer(&*model, &[x]).unwrap());
    drop(model);
    assert_eq!((a[1].view().as_slice::<i64>(), b[1].view().as_slice::<i64>()), (Ok(&[0, 2][..]), Ok(&[0, 2][..])));
    assert_ne!(a[1].data().pointer(), b[1].data().pointer());
}

#[test]
fn truths_are_0_and_1_whatever_the_bytes() {
    let graph =
        Graph::new().node("Not", &["x"], &["y"], &[]).input("x", BOOL, Some(&["n"])).output("y", BOOL, Some(&["n"]));
    let model = load(&graph).unwrap();
    let y = answer(&*model, &[raw(DataType::Bool, &[4], &[0, 1, 2, 255])]).unwrap().remove(0);
    assert_eq!(y.view().bytes().unwrap(), [1, 0, 0, 0]);
}

#[test]
fn a_scalar_is_told_from_a_value_of_unknown_rank() {
    let graph = Graph::new()
        .node("Add", &["s", "u"], &["y"], &[])
        .input("s", FLOAT, Some(&[]))
        .input("u", FLOAT, None)
        .output("y", FLOAT, None);
    let model = load(&graph).unwrap();
    let dims: Vec<_> = model.signature().inputs.iter().map(|spec| spec.dims.clone()).collect();
    assert_eq!(dims, [Some(vec![]), None]);
    assert_eq!(model.signature().outputs[0].dims, None);
    let u = Tensor::from_vec(vec![1.0f32, 2.0], [2, 1]).unwrap();
    let y = answer(&*model, &[Tensor::from_vec(vec![0.5f32], []).unwrap(), u]).unwrap().remove(0);
    assert_eq!((y.view().as_slice::<f32>().unwrap(), &y.shape()[..]), (&[1.5f32, 2.5][..], &[2, 1][..]));
}

#[test]
fn the_signature_says_what_the_graph_says() {
    for (rows, batches, first) in [("batch", true, -1), ("", true, -1), ("4", false, 4)] {
        let model = load(&dense(rows)).unwrap();
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
fn inputs_that_disagree_on_a_named_dim_are_refused() {
    let graph = Graph::new()
        .node("Add", &["a", "b"], &["c"], &[])
        .input("a", FLOAT, Some(&["n", "k"]))
        .input("b", FLOAT, Some(&["n", "k"]))
        .output("c", FLOAT, Some(&["n", "k"]));
    let model = load(&graph).unwrap();
    let tensor = |columns: usize| Tensor::from_vec(vec![1.0f32; 2 * columns], [2, columns]).unwrap();
    for (columns, right) in [(3, true), (1, false), (4, false), (3, true)] {
        let found = answer(&*model, &[tensor(3), tensor(columns)]);
        assert_eq!(found.err().map(|error| error.kind()), (!right).then_some(ErrorKind::InvalidArg));
    }
}

#[test]
fn values_that_are_no_tensors_of_ours_are_unsupported_by_name() {
    let float = |dims| tensor_type(FLOAT, dims);
    let sequence = message(4, &message(1, &float(None)));
    let optional = message(9, &message(1, &float(Some(&["2"]))));
    let map = message(5, &[number(1, INT64), message(2, &float(None))].concat());
    let named = |graph: Graph, what: &str| {
        let error = load(&graph).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
        for part in ["model.onnx", "'odd'", what] {
            assert!(error.message().contains(part), "{error}");
        }
    };
    let identity =
        |typed: &[u8]| Graph::new().node("Identity", &["x"], &["odd"], &[]).port(11, "x", typed).port(12, "odd", typed);
    let construct = Graph::new()
        .node("SequenceConstruct", &["x"], &["odd"], &[])
        .input("x", FLOAT, Some(&["2"]))
        .port(12, "odd", &sequence);
    named(construct, "a sequence");
    let at = Graph::new().node("SequenceLength", &["odd"], &["y"], &[]).port(11, "odd", &sequence).output(
        "y",
        INT64,
        Some(&[]),
    );
    named(at, "a sequence");
    let has = Graph::new().node("OptionalHasElement", &["odd"], &["y"], &[]).port(11, "odd", &optional).output(
        "y",
        BOOL,
        Some(&[]),
    );
    named(has, "an optional value");
    // Maps need operators of another domain, and the runtime refuses them here by itself.
    assert!(load(&identity(&map)).is_err());
}

#[test]
fn what_the_runtime_lacks_is_refused_with_its_reason() {
    let graph = Graph::new().node("Frobnicate", &["x"], &["y"], &[]).input("x", FLOAT, Some(&["n"])).output(
        "y",
        FLOAT,
        Some(&["n"]),
    );
    let error = load(&graph).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::InvalidArg, "{error}");
    assert!(error.message().contains("model.onnx") && error.message().contains("Frobnicate"), "{error}");
}

#[test]
fn an_instance_for_a_device_that_no_provider_has_is_unsupported() {
    let model = load(&dense("batch")).unwrap();
    let spec = InstanceSpec { device: Device::Cuda(0), ..SPEC };
    assert_eq!(model.instance(&spec).err().unwrap().kind(), ErrorKind::Unsupported);
}

#[test]
fn every_setting_of_threads_and_optimisation_answers_alike() {
    for parameters in [
        &[("intra_op_thread_count", "2")][..],
        &[("intra_op_thread_count", "1"), ("inter_op_thread_count", "2"), ("execution_mode", "1")],
        &[("optimization", "disabled")],
        &[("optimization", "basic"), ("enable_mem_pattern", "0"), ("enable_mem_arena", "0")],
        &[("execution_providers", "cpu"), ("session.disable_prepacking", "1")],
    ] {
        run(&with(dense_case(), parameters)).assert_passed();
    }
}

#[test]
fn a_provider_that_cannot_be_had_is_an_error() {
    drop(dense_case().load().unwrap());
    // What this build of the runtime holds; where it holds a provider, the machine may have the device for it or not.
    let held = [
        ("cuda", CUDA::is_available()),
        ("tensorrt", TensorRT::is_available()),
        ("openvino", OpenVINO::is_available()),
    ];
    for (provider, is_held) in held {
        match with(dense_case(), &[("execution_providers", &format!("{provider},cpu"))]).load() {
            Ok(_) => assert!(is_held.unwrap(), "{provider}: the runtime does not hold it, but the model was loaded"),
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
                assert!(error.message().contains(provider), "{error}");
            }
        }
    }
}

#[test]
fn custom_operators_are_loaded_from_the_servers_folder_and_refused_without_one() {
    let wanting = |library: &str| with(dense_case(), &[("custom_op_libraries", library)]);
    let error = wanting("ops.so").load().err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.message().contains("custom_op_folder"), "{error}");
    let folder = runtime::Folder::new("custom-ops");
    // The one function that the runtime calls; it returns a status, and null is none.
    compile("void *RegisterCustomOps(void *options, const void *api) { return 0; }", &folder.path().join("ops.so"));
    compile("int nothing;", &folder.path().join("empty.so"));
    let allowing = |mut case: Case| {
        case.backend = Box::new(OnnxRuntimeBackend::new(runtime::options().custom_op_folder(folder.path())));
        case
    };
    assert!(allowing(wanting("ops.so")).load().is_ok());
    for (library, kind) in [("empty.so", ErrorKind::Unavailable), ("missing.so", ErrorKind::NotFound)] {
        let error = allowing(wanting(&format!("ops.so, {library}"))).load().err().unwrap();
        assert!(error.kind() == kind && error.message().contains(library), "{error}");
    }
}

/// Makes a library of a line of C, by the compiler that Rust links with.
fn compile(code: &str, library: &Path) {
    let source = library.with_extension("c");
    std::fs::write(&source, code).unwrap();
    let status = Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(library).arg(&source).status().unwrap();
    assert!(status.success());
}

#[test]
fn an_optimised_graph_is_kept_and_used() {
    let folder = runtime::Folder::new("cache");
    let path = folder.path().join("graphs");
    let files = || {
        let mut files: Vec<_> = std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()).collect();
        files.sort();
        files
    };
    let cached = with(dense_case(), &[("optimized_model_cache", path.to_str().unwrap())]);
    drop(cached.load().unwrap());
    let kept = files();
    assert_eq!(kept.len(), 1);
    run(&cached).assert_passed();
    // The suite loads damaged models too, some of which are models.
    assert!(files().contains(&kept[0]));
    // What is used is what was kept: another model under the same name answers instead.
    std::fs::write(&kept[0], dense_with("batch", &message(9, &[0; 24])).encoded()).unwrap();
    let model = cached.load().unwrap();
    let y = answer(&*model, &cached.examples[0].inputs).unwrap().remove(0);
    assert_eq!(y.view().as_slice::<f32>().unwrap(), [0.5, 1.0]);
    // What is no model any more is made anew, and so is what reaches out of the folder.
    for broken in [b"broken".to_vec(), dense_with("batch", &external("/etc/passwd")).encoded()] {
        std::fs::write(&kept[0], &broken).unwrap();
        let model = cached.load().unwrap();
        let y = answer(&*model, &cached.examples[0].inputs).unwrap().remove(0);
        assert_eq!(difference(&y, &cached.examples[0].outputs[0], 1e-5), None);
        assert_ne!(std::fs::read(&kept[0]).unwrap(), broken);
    }
}

#[test]
fn a_cache_that_cannot_be_written_does_not_keep_a_model_from_loading() {
    run(&with(dense_case(), &[("optimized_model_cache", "/proc/inferlay")])).assert_passed();
}

/// The content of a tensor that lies elsewhere.
fn external(location: &str) -> Vec<u8> {
    let entry =
        |(key, value): (&str, &str)| message(13, &[message(1, key.as_bytes()), message(2, value.as_bytes())].concat());
    let entries = [("location", location), ("offset", "4"), ("length", "24")].map(entry).concat();
    [entries, number(14, 1)].concat()
}

fn shifted_weights() -> Vec<u8> {
    [vec![9; 4], weights(), vec![9; 4]].concat()
}

#[test]
fn weights_in_a_file_beside_the_model_are_read() {
    for location in ["weights.bin", "./weights.bin"] {
        let mut case =
            case(vec![example(&X[..1]), example(&X[1..])], dense_with("batch", &external(location)).encoded());
        case.files.insert("weights.bin", shifted_weights());
        run(&case).assert_passed();
    }
}

#[test]
fn weights_outside_the_models_folder_are_refused() {
    for location in ["../weights.bin", "/etc/passwd", "a/../../b", "*/_ORT_MEM_ADDR_/*"] {
        let mut case = case(Vec::new(), dense_with("batch", &external(location)).encoded());
        case.files.insert(location, vec![0; 64]);
        let error = case.load().err().unwrap();
        assert_eq!(error.kind(), ErrorKind::InvalidArg);
        assert!(error.message().contains("out of the model's folder"), "{error}");
    }
    let missing = case(Vec::new(), dense_with("batch", &external("weights.bin")).encoded());
    assert_eq!(missing.load().err().unwrap().kind(), ErrorKind::NotFound);
}

#[test]
fn weights_on_disk_are_read_there_unless_a_link_leads_out() {
    let (folder, elsewhere) = (runtime::Folder::new("weights"), runtime::Folder::new("elsewhere"));
    let put = |name: &str, content: &[u8]| std::fs::write(folder.path().join(name), content).unwrap();
    put("model.onnx", &dense_with("batch", &external("weights.bin")).encoded());
    put("weights.bin", &shifted_weights());
    let files = runtime::DiskFiles(folder.path().to_owned());
    let model = runtime::load(&backend(), "model.onnx", &files).unwrap();
    let example = example(&X);
    let y = answer(&*model, &example.inputs).unwrap().remove(0);
    assert_eq!(difference(&y, &example.outputs[0], 1e-5), None);
    std::fs::write(elsewhere.path().join("weights.bin"), shifted_weights()).unwrap();
    std::fs::remove_file(folder.path().join("weights.bin")).unwrap();
    std::os::unix::fs::symlink(elsewhere.path().join("weights.bin"), folder.path().join("weights.bin")).unwrap();
    let error = runtime::load(&backend(), "model.onnx", &files).err().unwrap();
    assert!(matches!(error.kind(), ErrorKind::NotFound | ErrorKind::InvalidArg), "{error}");
}

#[test]
fn a_model_of_another_format_is_unsupported() {
    let mut files = MemoryFiles::default();
    files.insert("model.onnx", b"\x1c\0\0\0ORTM and so on".to_vec());
    let error = case(Vec::new(), Vec::new()).load_from("model.onnx", &files).err().unwrap();
    assert_eq!(error.kind(), ErrorKind::Unsupported, "{error}");
}

#[test]
fn the_version_is_known_once_a_model_was_loaded() {
    let backend = backend();
    drop(runtime::load(&backend, "model.onnx", &{
        let mut files = MemoryFiles::default();
        files.insert("model.onnx", dense("batch").encoded());
        files
    }));
    assert!(backend.version().starts_with("1."), "{}", backend.version());
}
