//! The null backend behind its door: the conformance suite, and what it promises beyond it.

#![allow(clippy::unwrap_used, reason = "a test stops where something fails")]
use inferlay_backend_null::NullBackend;
use inferlay_backend_sdk::conformance::{Case, Example, TestBatch, TestRequest, run};
use inferlay_backend_sdk::{DataType, Device, Error, ErrorKind, InstanceSpec, Signature, Tensor, TensorSpec};

fn spec(name: &str, dtype: DataType, dims: &[i64]) -> TensorSpec {
    TensorSpec { name: name.to_owned(), dtype, dims: Some(dims.to_vec()), optional: false }
}

fn echo(inputs: Vec<Tensor>) -> Example {
    Example { outputs: inputs.clone(), inputs }
}

fn case(inputs: Vec<TensorSpec>, examples: Vec<Example>) -> Case {
    let config = Signature { inputs, outputs: Vec::new(), batches: true };
    Case::new(Box::new(NullBackend), examples).with_config(config)
}

fn numbers_and_words() -> Case {
    let numbers = |rows: usize| Tensor::from_vec((0..rows * 16).map(|n| n as f32).collect(), [rows, 16]).unwrap();
    let words = |rows: usize| Tensor::from_strings((0..rows).map(|n| "w".repeat(n)), [rows]).unwrap();
    let examples = vec![echo(vec![numbers(1), words(1)]), echo(vec![numbers(3), words(3)])];
    case(vec![spec("x", DataType::Fp32, &[-1, 16]), spec("w", DataType::Bytes, &[-1])], examples)
}

#[test]
fn it_conforms() {
    run(&numbers_and_words()).assert_passed();
}

#[test]
fn it_conforms_without_batches_and_with_scalars() {
    let scalar = echo(vec![Tensor::from_vec(vec![7i64], []).unwrap()]);
    let mut case = case(vec![spec("x", DataType::Int64, &[])], vec![scalar]);
    case.config.batches = false;
    run(&case).assert_passed();
}

#[test]
fn every_data_type_is_echoed() {
    for dtype in DataType::all() {
        let tensor = match dtype.size() {
            Some(size) => Tensor::new(dtype, [2, 4], vec![1u64; size].into()).unwrap(),
            None => Tensor::from_strings(["a", "", "ccc", "d", "e", "f", "g", "h"], [2, 4]).unwrap(),
        };
        run(&case(vec![spec("x", dtype, &[-1, 4])], vec![echo(vec![tensor])])).assert_passed();
    }
}

#[test]
fn fewer_outputs_than_inputs_are_echoed_under_their_own_names() {
    let mut case = numbers_and_words();
    case.config.outputs = vec![spec("y", DataType::Fp32, &[-1, 16])];
    case.examples.iter_mut().for_each(|example| example.outputs.truncate(1));
    run(&case).assert_passed();
    assert_eq!(case.load().unwrap().signature().outputs[0].name, "y");
}

#[test]
fn a_config_that_cannot_be_echoed_is_refused() {
    let mut none = numbers_and_words();
    none.config = Signature::default();
    let mut more = numbers_and_words();
    more.config.outputs = [&more.config.inputs[..], &[spec("z", DataType::Fp32, &[-1])]].concat();
    let mut other = numbers_and_words();
    other.config.outputs = vec![spec("y", DataType::Int8, &[-1, 16])];
    for (case, expected) in [(none, "expected one or more"), (more, "expected at most 2"), (other, "expected FP32")] {
        let error = case.load().err().unwrap();
        assert_eq!(error.kind(), ErrorKind::InvalidArg);
        assert!(error.message().contains(expected), "{error}");
    }
}

#[test]
fn it_fails_when_told_and_serves_on() {
    let mut case = numbers_and_words();
    case.parameters.insert("fail_every".to_owned(), "2".to_owned());
    let model = case.load().unwrap();
    let mut instance = model.instance(&InstanceSpec { index: 0, device: Device::Cpu, threads_max: 1 }).unwrap();
    let outcomes: Vec<Option<ErrorKind>> = (0..4)
        .map(|_| {
            let batch = TestBatch::new(model.signature(), vec![TestRequest::new(&case.examples[0].inputs)]);
            let answers = batch.execute(&mut *instance).unwrap();
            answers[0].as_ref().err().map(Error::kind)
        })
        .collect();
    assert_eq!(outcomes, [None, Some(ErrorKind::Internal), None, Some(ErrorKind::Internal)]);
}
