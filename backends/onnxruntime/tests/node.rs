//! ONNX's own tests of single operators: a server with this backend passes exactly those that ONNX Runtime passes when it
//! is called from Python, and refuses by name those whose inputs or outputs no request can carry.
//!
//! The cases lie in the Python package `onnx` (up to 1.22 they are in the wheel), in the folder that
//! `INFERLAY_ONNX_NODE_TESTS` names, else in the package of the Python at hand; `node_reference.py` runs them there and
//! writes their data down for this test. Without Python or its packages the test fails and says so.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test stops where something fails, and reports")]

#[path = "runtime/mod.rs"]
mod runtime;

use inferlay::{Buffer, Error, ErrorKind, ModelHandle, Request, ServerHandle, Shape, Tensor};
use inferlay_backend_sdk::conformance::difference;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

/// ONNX's own runner allows a relative error of 1e-3; `node_reference.py` has the same.
const TOLERANCE: f64 = 1e-3;

/// Fewer passes than this mean that the test is broken, not the runtime.
const PASSES_MIN: usize = 1400;

/// How long a server that is asked nothing any more may take to stop.
const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn a_server_passes_what_the_runtime_passes_from_python() {
    let (folder, data) = (folder(), runtime::Folder::new("nodes"));
    let reference = reference(&folder, data.path());
    let sets = sets(data.path());
    let count = |outcome: &str| reference.values().filter(|(found, _)| found == outcome).count();
    println!(
        "onnx node tests: {} cases, ONNX Runtime's Python passes {}, fails {}, {} have values that are not ours",
        reference.len(),
        count("passed"),
        count("failed"),
        count("foreign")
    );
    let mut differing = Vec::new();
    for (name, (outcome, why)) in &reference {
        let found = case(&folder.join(name), sets.get(name).map_or(&[], Vec::as_slice));
        let agrees = match &outcome[..] {
            "foreign" => matches!(&found, Err(Failure::Load(error)) if is_refused_by_name(error, why)),
            outcome => found.is_ok() == (outcome == "passed"),
        };
        if !agrees {
            differing.push(format!("{name}: from Python {outcome} {why}, here {found:?}"));
        }
    }
    assert!(differing.is_empty(), "{} cases differ:\n{}", differing.len(), differing.join("\n"));
    assert!(count("passed") >= PASSES_MIN, "only {} cases pass: is {folder:?} the right folder?", count("passed"));
}

/// Whether an error names the value that `why` begins with.
fn is_refused_by_name(error: &Error, why: &str) -> bool {
    let name = why.split(" is ").next().unwrap();
    error.kind() == ErrorKind::Unsupported && error.message().contains(name)
}

fn folder() -> PathBuf {
    if let Some(folder) = std::env::var_os("INFERLAY_ONNX_NODE_TESTS") {
        return folder.into();
    }
    let script = "import onnx, os; print(os.path.join(os.path.dirname(onnx.__file__), 'backend/test/data/node'))";
    let folder = runtime::ask(script).map(PathBuf::from).filter(|folder| folder.is_dir());
    folder.unwrap_or_else(|| {
        panic!(
            "ONNX's node tests were not found: run `cargo xtask test`, or `pip install onnx==1.22.0`, or set \
             INFERLAY_ONNX_NODE_TESTS to a folder onnx/backend/test/data/node"
        )
    })
}

/// How each case went from Python, and why.
fn reference(folder: &Path, out: &Path) -> BTreeMap<String, (String, String)> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/node_reference.py");
    let status = Command::new(runtime::python()).arg(script).args([folder, out]).status();
    let why = "run `cargo xtask test`, or `pip install onnx==1.22.0 onnxruntime`";
    assert!(status.as_ref().is_ok_and(|status| status.success()), "the reference did not run ({status:?}): {why}");
    let line = |line: &str| {
        let mut parts = line.splitn(3, '\t').map(str::to_owned);
        (parts.next().unwrap(), (parts.next().unwrap(), parts.next().unwrap()))
    };
    std::fs::read_to_string(out.join("results")).unwrap().lines().map(line).collect()
}

/// The files of each case, in order.
fn sets(data: &Path) -> BTreeMap<String, Vec<PathBuf>> {
    let paths: BTreeSet<PathBuf> = std::fs::read_dir(data).unwrap().map(|entry| entry.unwrap().path()).collect();
    let mut sets = BTreeMap::<String, Vec<PathBuf>>::new();
    for path in paths.into_iter().filter(|path| path.extension().is_some()) {
        let case = path.file_stem().unwrap().to_string_lossy().into_owned();
        sets.entry(case).or_default().push(path);
    }
    sets
}

/// How a case failed; its fields are shown.
#[derive(Debug)]
#[allow(dead_code, reason = "shown by `Debug`")]
enum Failure {
    Load(Error),
    Run(String),
}

/// A case goes through a server of its own, which is stopped afterwards.
fn case(folder: &Path, sets: &[PathBuf]) -> Result<(), Failure> {
    let server = server(std::fs::read(folder.join("model.onnx")).unwrap()).map_err(Failure::Load)?;
    let model = server.model("case").unwrap();
    let ran = sets.iter().try_for_each(|set| run(&model, set).map_err(Failure::Run));
    drop(model);
    server.stop(PATIENCE).map_err(|error| Failure::Run(format!("the server does not stop: {error}")))?;
    ran
}

/// A server with one model.
fn server(content: Vec<u8>) -> Result<ServerHandle, Error> {
    // Another linked backend may read the same files.
    let config = b"backend: onnxruntime".to_vec();
    let files = [("config.yaml", config), ("model.onnx", content)];
    ServerHandle::builder().backend(Arc::new(runtime::backend())).model_in_memory("case", files).strict().start()
}

/// Asks for one set of data: on this thread, and by way of the queue.
fn run(model: &ModelHandle, set: &Path) -> Result<(), String> {
    let metadata = model.metadata().unwrap();
    let (inputs, expected) = tensors(&std::fs::read(set).unwrap());
    if (inputs.len(), expected.len()) != (metadata.inputs.len(), metadata.outputs.len()) {
        let (inputs, outputs) = (metadata.inputs.len(), metadata.outputs.len());
        return Err(format!("the data are not those of {inputs} inputs and {outputs} outputs"));
    }
    let request = || {
        let named = metadata.inputs.iter().zip(&inputs);
        named.fold(Request::new(), |request, (port, input)| request.input(port.name.clone(), input.clone()))
    };
    let queued = || model.infer_async(request()).map_err(|refused| refused.error)?.wait();
    for answer in [model.infer(request()), queued()] {
        let response = answer.map_err(|error| error.to_string())?;
        for (port, expected) in metadata.outputs.iter().zip(&expected) {
            let found = response.tensor(&port.name).map_err(|error| error.to_string())?;
            if let Some(difference) = difference(&found, expected, TOLERANCE) {
                return Err(format!("output '{}': {difference}", port.name));
            }
        }
    }
    Ok(())
}

/// The inputs and outputs of a set, as `node_reference.py` writes them: for each a line `kind type bytes dims`, then the
/// bytes.
fn tensors(mut rest: &[u8]) -> (Vec<Tensor>, Vec<Tensor>) {
    let (mut inputs, mut outputs) = (Vec::new(), Vec::new());
    while !rest.is_empty() {
        let end = rest.iter().position(|byte| *byte == b'\n').unwrap();
        let line = str::from_utf8(&rest[..end]).unwrap();
        let [kind, dtype, len, dims] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("line '{line}'") };
        let (bytes, after) = rest[end + 1..].split_at(len.parse().unwrap());
        rest = after;
        let dims = dims.split(',').filter(|dim| *dim != "-").map(|dim| dim.parse().unwrap());
        let shape = Shape::new(&dims.collect::<Vec<usize>>());
        let tensor = match dtype.parse().unwrap() {
            inferlay::DataType::Bytes => Tensor::from_strings(texts(bytes), shape),
            dtype => Tensor::new(dtype, shape, Buffer::copy_of(bytes)),
        };
        if kind == "input" { &mut inputs } else { &mut outputs }.push(tensor.unwrap());
    }
    (inputs, outputs)
}

fn texts(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut texts = Vec::new();
    while let Some((len, rest)) = bytes.split_first_chunk() {
        let (text, after) = rest.split_at(u32::from_le_bytes(*len) as usize);
        texts.push(text);
        bytes = after;
    }
    texts
}
