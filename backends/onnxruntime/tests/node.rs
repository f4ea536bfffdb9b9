//! ONNX's own tests of single operators: the backend passes exactly those that ONNX Runtime passes when it is called from
//! Python, and refuses by name those whose inputs or outputs no request can carry.
//!
//! The cases lie in the Python package `onnx` (up to 1.22 they are in the wheel), in the folder that
//! `INFERLAY_ONNX_NODE_TESTS` names, else in the package of the Python at hand; `node_reference.py` runs them there and
//! writes their data down for this test. Without Python or its packages the test fails and says so.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test stops where something fails, and reports")]

#[path = "runtime/mod.rs"]
mod runtime;

use inferlay_backend_sdk::conformance::{TestBatch, TestRequest, difference};
use inferlay_backend_sdk::{Buffer, Device, Error, ErrorKind, InstanceSpec, Model, Shape, Tensor};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

/// ONNX's own runner allows a relative error of 1e-3; `node_reference.py` has the same.
const TOLERANCE: f64 = 1e-3;

/// Fewer passes than this mean that the test is broken, not the runtime.
const PASSES_MIN: usize = 1400;

#[test]
fn the_backend_passes_what_the_runtime_passes_from_python() {
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

fn case(folder: &Path, sets: &[PathBuf]) -> Result<(), Failure> {
    let files = runtime::DiskFiles(folder.canonicalize().unwrap());
    let model = runtime::load(&runtime::backend(), "model.onnx", &files).map_err(Failure::Load)?;
    sets.iter().try_for_each(|set| run(&*model, set).map_err(Failure::Run))
}

fn run(model: &dyn Model, set: &Path) -> Result<(), String> {
    let spec = InstanceSpec { index: 0, device: Device::Cpu, threads_max: 1 };
    let mut instance = model.instance(&spec).map_err(|error| error.to_string())?;
    let (inputs, expected) = tensors(&std::fs::read(set).unwrap());
    let batch = TestBatch::new(model.signature(), vec![TestRequest::new(&inputs)]);
    let found = batch.execute(&mut *instance)?.remove(0).map_err(|error| error.to_string())?;
    if found.len() != expected.len() {
        return Err(format!("found {} outputs, expected {}", found.len(), expected.len()));
    }
    for (index, (found, expected)) in found.values().zip(&expected).enumerate() {
        if let Some(difference) = difference(found, expected, TOLERANCE) {
            return Err(format!("output {index}: {difference}"));
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
            inferlay_backend_sdk::DataType::Bytes => Tensor::from_strings(texts(bytes), shape),
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
