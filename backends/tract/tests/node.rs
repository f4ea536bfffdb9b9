//! ONNX's own tests of single operators: the backend passes exactly those that tract passes when called directly.
//!
//! The cases lie in the Python package `onnx` (up to 1.22 they are in the wheel). The folder is taken from
//! `INFERLAY_ONNX_NODE_TESTS`, else from the package of the `python3` at hand; without either the test fails and says so.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test stops where something fails, and reports")]

use inferlay_backend_sdk::conformance::{Case, Example, TestBatch, TestRequest, difference};
use inferlay_backend_sdk::{DataType, Device, InstanceSpec, Tensor};
use inferlay_backend_tract::TractBackend;
use prost::Message;
use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use tract_onnx::data_resolver::FopenDataResolver;
use tract_onnx::pb::TensorProto;
use tract_onnx::prelude::*;
use tract_onnx::tract_core::internal as tract;

/// ONNX's own runner allows a relative error of 1e-3.
const TOLERANCE: f64 = 1e-3;

/// Fewer passes than this mean that the test is broken, not tract.
const PASSES_MIN: usize = 700;

#[test]
fn the_backend_passes_what_bare_tract_passes() {
    let cases = cases(&folder());
    std::panic::set_hook(Box::new(|_| {}));
    let results = Mutex::new(BTreeMap::new());
    let todo = Mutex::new(cases.iter());
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            scope.spawn(|| {
                loop {
                    let Some(case) = todo.lock().unwrap().next() else { return };
                    let outcome = (contained(|| bare(case)), contained(|| ours(case)));
                    results.lock().unwrap().insert(case.name.clone(), outcome);
                }
            });
        }
    });
    let _default = std::panic::take_hook();
    let results = results.into_inner().unwrap();
    let passed = |pick: fn(&Outcome) -> bool| -> BTreeSet<&String> {
        results.iter().filter(|(_, outcome)| pick(outcome)).map(|(name, _)| name).collect()
    };
    let (bare, ours) = (passed(|outcome| outcome.0.is_ok()), passed(|outcome| outcome.1.is_ok()));
    println!("onnx node tests: {} cases, bare tract passes {}, the backend {}", cases.len(), bare.len(), ours.len());
    let differing: Vec<String> =
        bare.symmetric_difference(&ours).map(|name| format!("{name}: {:?}", results[*name])).collect();
    assert!(differing.is_empty(), "{} cases differ (bare, backend):\n{}", differing.len(), differing.join("\n"));
    assert!(bare.len() >= PASSES_MIN, "only {} cases pass: is {:?} the right folder?", bare.len(), folder());
}

type Outcome = (Result<(), String>, Result<(), String>);

/// One model with its sets of inputs and outputs.
struct NodeCase {
    name: String,
    model: PathBuf,
    sets: Vec<PathBuf>,
}

fn folder() -> PathBuf {
    if let Some(folder) = std::env::var_os("INFERLAY_ONNX_NODE_TESTS") {
        return folder.into();
    }
    let script = "import onnx, os; print(os.path.join(os.path.dirname(onnx.__file__), 'backend/test/data/node'))";
    let output = Command::new("python3").args(["-c", script]).output();
    let found = output.ok().filter(|output| output.status.success());
    let folder = found.map(|output| PathBuf::from(String::from_utf8(output.stdout).unwrap().trim()));
    folder.filter(|folder| folder.is_dir()).unwrap_or_else(|| {
        panic!(
            "ONNX's node tests were not found: run `cargo xtask test node`, or `pip install onnx==1.22.0`, or set \
             INFERLAY_ONNX_NODE_TESTS to a folder onnx/backend/test/data/node"
        )
    })
}

fn cases(folder: &Path) -> Vec<NodeCase> {
    let sorted = |folder: &Path| {
        let mut paths: Vec<PathBuf> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths
    };
    let case = |path: PathBuf| NodeCase {
        name: path.file_name().unwrap().to_string_lossy().into_owned(),
        model: path.join("model.onnx"),
        sets: sorted(&path).into_iter().filter(|path| path.is_dir()).collect(),
    };
    let found = sorted(folder).into_iter().filter(|path| path.join("model.onnx").is_file()).map(case);
    // A case without data would pass without a word.
    found.filter(|case| !case.sets.is_empty()).collect()
}

fn bare(case: &NodeCase) -> Result<(), String> {
    for set in &case.sets {
        let (inputs, expected) = (tensors(set, "input")?, tensors(set, "output")?);
        let mut model = tract_onnx::onnx().model_for_path(&case.model).map_err(|error| format!("{error:#}"))?;
        for (index, input) in inputs.iter().enumerate() {
            let fact = InferenceFact::dt_shape(input.datum_type(), input.shape());
            model.set_input_fact(index, fact).map_err(|error| format!("{error:#}"))?;
        }
        let plan = model.into_optimized().and_then(|model| model.into_runnable());
        let plan = plan.map_err(|error| format!("{error:#}"))?;
        let found = plan.run(inputs.into_iter().map(TValue::from).collect()).map_err(|error| format!("{error:#}"))?;
        compare(found.iter().map(|value| ours_of(value)).collect::<Result<_, _>>()?, &expected)?;
    }
    Ok(())
}

fn ours(case: &NodeCase) -> Result<(), String> {
    let content = std::fs::read(&case.model).map_err(|error| error.to_string())?;
    let loaded = Case::new(Box::new(TractBackend), Vec::<Example>::new()).with_file("model.onnx", content);
    let model = loaded.load().map_err(|error| error.to_string())?;
    let spec = InstanceSpec { index: 0, device: Device::Cpu, threads_max: 1 };
    let mut instance = model.instance(&spec).map_err(|error| error.to_string())?;
    for set in &case.sets {
        let (inputs, expected) = (tensors(set, "input")?, tensors(set, "output")?);
        let inputs = inputs.iter().map(ours_of).collect::<Result<Vec<_>, _>>()?;
        let batch = TestBatch::new(model.signature(), vec![TestRequest::new(&inputs)]);
        let outputs = batch.execute(&mut *instance)?.remove(0).map_err(|error| error.to_string())?;
        compare(outputs.into_values().collect(), &expected)?;
    }
    Ok(())
}

fn compare(found: Vec<Tensor>, expected: &[tract::Tensor]) -> Result<(), String> {
    if found.len() != expected.len() {
        return Err(format!("found {} outputs, expected {}", found.len(), expected.len()));
    }
    for (index, (found, expected)) in found.iter().zip(expected).enumerate() {
        if let Some(difference) = difference(found, &ours_of(expected)?, TOLERANCE) {
            return Err(format!("output {index}: {difference}"));
        }
    }
    Ok(())
}

/// The files `input_0.pb`, `input_1.pb` … of a set, in order.
fn tensors(set: &Path, kind: &str) -> Result<Vec<tract::Tensor>, String> {
    let files = (0..).map(|index| set.join(format!("{kind}_{index}.pb"))).take_while(|file| file.is_file());
    files
        .map(|file| {
            let content = std::fs::read(&file).map_err(|error| error.to_string())?;
            let proto = TensorProto::decode(&content[..]).map_err(|error| error.to_string())?;
            tract_onnx::tensor::load_tensor(&FopenDataResolver, &proto, None).map_err(|error| format!("{error:#}"))
        })
        .collect()
}

/// A tensor of tract's as one of ours, by a way that the backend does not use.
fn ours_of(tensor: &tract::Tensor) -> Result<Tensor, String> {
    let cast = match tensor.datum_type() {
        DatumType::TDim => tensor.cast_to_dt(DatumType::I64).map_err(|error| error.to_string())?.into_owned(),
        _ => tensor.clone(),
    };
    let dtype = match cast.datum_type() {
        DatumType::Bool => DataType::Bool,
        DatumType::U8 => DataType::Uint8,
        DatumType::U16 => DataType::Uint16,
        DatumType::U32 => DataType::Uint32,
        DatumType::U64 => DataType::Uint64,
        DatumType::I8 => DataType::Int8,
        DatumType::I16 => DataType::Int16,
        DatumType::I32 => DataType::Int32,
        DatumType::I64 => DataType::Int64,
        DatumType::F16 => DataType::Fp16,
        DatumType::F32 => DataType::Fp32,
        DatumType::F64 => DataType::Fp64,
        DatumType::String => {
            let texts = cast.to_plain_array_view::<String>().map_err(|error| error.to_string())?;
            return Tensor::from_strings(texts.iter(), cast.shape()).map_err(|error| error.to_string());
        }
        other => return Err(format!("found elements of {other:?}")),
    };
    let words: Vec<u64> = cast.as_bytes().chunks(8).map(word).collect();
    let memory = inferlay_backend_sdk::Buffer::from(words).slice(0, cast.as_bytes().len());
    memory.and_then(|memory| Tensor::new(dtype, cast.shape(), memory)).map_err(|error| error.to_string())
}

fn word(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    word[..bytes.len()].copy_from_slice(bytes);
    u64::from_ne_bytes(word)
}

fn contained(work: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err("panicked".to_owned()))
}
