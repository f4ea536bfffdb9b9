//! The checks that execute batches.

use super::case::instance;
use super::{Case, Example, TestBatch, TestRequest, Verdict, difference, panic_text};
use crate::{Attributes, Buffer, DataType, Error, Instance, Model, Shape, Signature, Tensor};
use std::panic::{AssertUnwindSafe, catch_unwind};

pub(super) fn the_examples_give_their_answers(case: &Case) -> Result<Verdict, String> {
    let model = load(case)?;
    let mut instance = instance(&*model, 0)?;
    for index in 0..case.examples.len() {
        check_examples(case, model.signature(), &mut *instance, &[index])?;
    }
    Ok(Verdict::Passed)
}

pub(super) fn a_batch_answers_like_its_requests_alone(case: &Case) -> Result<Verdict, String> {
    let model = load(case)?;
    if !model.signature().batches {
        return Ok(Verdict::Skipped("the model does not batch"));
    }
    let mut instance = instance(&*model, 0)?;
    for size in [2, 3, 8, 1, 5, 2] {
        let indices: Vec<usize> = (0..size).map(|index| index % case.examples.len()).collect();
        check_examples(case, model.signature(), &mut *instance, &indices)?;
    }
    Ok(Verdict::Passed)
}

pub(super) fn an_instance_survives_an_error(case: &Case) -> Result<Verdict, String> {
    let model = load(case)?;
    let mut instance = instance(&*model, 0)?;
    let mut refused = 0;
    for (wrong, inputs) in wrong_inputs(&case.examples[0].inputs, model.signature()) {
        let batch = TestBatch::new(model.signature(), vec![TestRequest::new(&inputs)]);
        let answers = caught(|| batch.execute(&mut *instance)).map_err(|panic| format!("{wrong}: {panic}"))??;
        refused += usize::from(answers[0].is_err());
        check_examples(case, model.signature(), &mut *instance, &[0])
            .map_err(|error| format!("after {wrong}: {error}"))?;
    }
    if refused == 0 {
        return Err("neither an input of the wrong rank nor one of the wrong type was refused".to_owned());
    }
    Ok(Verdict::Passed)
}

pub(super) fn instances_agree_across_threads(case: &Case) -> Result<Verdict, String> {
    let model = load(case)?;
    let work = |index: usize| -> Result<(), String> {
        let mut instance = instance(&*model, index)?;
        (0..8).try_for_each(|round| {
            let example = (index + round) % case.examples.len();
            check_examples(case, model.signature(), &mut *instance, &[example])
        })
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|index| scope.spawn(move || work(index))).collect();
        let results = threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| Err("panicked".to_owned())));
        results.collect::<Vec<_>>().into_iter().collect::<Result<(), String>>()
    })?;
    Ok(Verdict::Passed)
}

pub(super) fn an_instance_moves_between_threads(case: &Case) -> Result<Verdict, String> {
    if case.backend.attributes().contains(Attributes::INSTANCE_THREAD) {
        return Ok(Verdict::Skipped("an instance of this backend stays on its thread"));
    }
    let model = load(case)?;
    let mut instance = instance(&*model, 0)?;
    for _ in 0..3 {
        let moved = instance;
        instance = std::thread::scope(|scope| {
            let work = scope.spawn(|| {
                let mut instance = moved;
                check_examples(case, model.signature(), &mut *instance, &[0]).map(|()| instance)
            });
            work.join().unwrap_or_else(|_| Err("panicked on another thread".to_owned()))
        })?;
    }
    let last = std::thread::spawn(move || drop(instance));
    last.join().map_err(|_| "panicked when dropped on another thread".to_owned())?;
    Ok(Verdict::Passed)
}

pub(super) fn every_request_is_answered_once(case: &Case) -> Result<Verdict, String> {
    let model = load(case)?;
    let mut instance = instance(&*model, 0)?;
    let requests = if model.signature().batches { 4 } else { 1 };
    let right: Vec<_> = (0..requests).map(|_| TestRequest::new(&case.examples[0].inputs)).collect();
    TestBatch::new(model.signature(), right).execute(&mut *instance)?;
    for (wrong, inputs) in wrong_inputs(&case.examples[0].inputs, model.signature()) {
        let requests = (0..requests).map(|_| TestRequest::new(&inputs)).collect();
        let batch = TestBatch::new(model.signature(), requests);
        batch.execute(&mut *instance).map_err(|error| format!("{wrong}: {error}"))?;
    }
    Ok(Verdict::Passed)
}

pub(super) fn zero_rows_are_answered_or_refused(case: &Case) -> Result<Verdict, String> {
    let model = load(case)?;
    if !model.signature().batches {
        return Ok(Verdict::Skipped("the model does not batch"));
    }
    let mut instance = instance(&*model, 0)?;
    let empty = |tensors: &[Tensor]| tensors.iter().map(|tensor| tensor.rows(0, 0)).collect::<Result<Vec<_>, Error>>();
    let example = &case.examples[0];
    let inputs = empty(&example.inputs).map_err(|error| error.to_string())?;
    let batch = TestBatch::new(model.signature(), vec![TestRequest::new(&inputs)]);
    if let Ok(outputs) = &batch.execute(&mut *instance)?[0] {
        let expected = empty(&example.outputs).map_err(|error| error.to_string())?;
        compare(case, outputs, &expected).map_err(|error| format!("zero rows: {error}"))?;
    }
    check_examples(case, model.signature(), &mut *instance, &[0])
        .map_err(|error| format!("after zero rows: {error}"))?;
    Ok(Verdict::Passed)
}

pub(super) fn outputs_not_wanted_may_be_left_out(case: &Case) -> Result<Verdict, String> {
    let model = load(case)?;
    let mut instance = instance(&*model, 0)?;
    let example = &case.examples[0];
    for wanted in 0..example.outputs.len() {
        let request = TestRequest::new(&example.inputs).wanting(&[wanted]);
        let answers = TestBatch::new(model.signature(), vec![request]).execute(&mut *instance)?;
        let outputs = answers[0].as_ref().map_err(|error| format!("only output {wanted} wanted: {error}"))?;
        let found = outputs.get(&wanted).ok_or_else(|| format!("output {wanted}: wanted and missing"))?;
        if let Some(difference) = difference(found, &example.outputs[wanted], case.tolerance) {
            return Err(format!("only output {wanted} wanted: {difference}"));
        }
    }
    let none = TestRequest::new(&example.inputs).wanting(&[]);
    let answers = TestBatch::new(model.signature(), vec![none]).execute(&mut *instance)?;
    answers[0].as_ref().map(|_| Verdict::Passed).map_err(|error| format!("no output wanted: {error}"))
}

/// `TestBatch` itself looks whether inputs are held on to; here outputs live on meanwhile, which must not keep them.
pub(super) fn inputs_are_let_go(case: &Case) -> Result<Verdict, String> {
    let model = load(case)?;
    let mut instance = instance(&*model, 0)?;
    let requests = if model.signature().batches { 3 } else { 1 };
    let mut kept = Vec::new();
    for requests in [1, requests] {
        let requests = (0..requests).map(|_| TestRequest::new(&case.examples[0].inputs)).collect();
        kept.push(TestBatch::new(model.signature(), requests).execute(&mut *instance)?);
    }
    Ok(Verdict::Passed)
}

pub(super) fn outputs_outlive_instance_and_model(case: &Case) -> Result<Verdict, String> {
    let model = load(case)?;
    let mut instance = instance(&*model, 0)?;
    let example = &case.examples[0];
    let batch = TestBatch::new(model.signature(), vec![TestRequest::new(&example.inputs)]);
    let outputs = batch.execute(&mut *instance)?.remove(0).map_err(|error| error.to_string())?;
    // A second execution would overwrite memory that the first answer still uses.
    let other = &case.examples[case.examples.len() - 1];
    TestBatch::new(model.signature(), vec![TestRequest::new(&other.inputs)]).execute(&mut *instance)?;
    compare(case, &outputs, &example.outputs).map_err(|error| format!("after the next execution: {error}"))?;
    drop(instance);
    compare(case, &outputs, &example.outputs).map_err(|error| format!("after the instance: {error}"))?;
    drop(model);
    compare(case, &outputs, &example.outputs).map_err(|error| format!("after the model: {error}"))?;
    Ok(Verdict::Passed)
}

/// Executes the examples of these indices in one batch and compares every answer.
fn check_examples(
    case: &Case,
    signature: &Signature,
    instance: &mut dyn Instance,
    indices: &[usize],
) -> Result<(), String> {
    let examples: Vec<&Example> = indices.iter().map(|index| &case.examples[*index]).collect();
    let requests = examples.iter().map(|example| TestRequest::new(&example.inputs)).collect();
    let answers = TestBatch::new(signature, requests).execute(instance)?;
    for (place, (answer, example)) in answers.iter().zip(examples).enumerate() {
        let place = format!("request {place} of {} (example {})", indices.len(), indices[place]);
        let outputs = answer.as_ref().map_err(|error| format!("{place}: {error}"))?;
        compare(case, outputs, &example.outputs).map_err(|error| format!("{place}: {error}"))?;
    }
    Ok(())
}

fn compare(case: &Case, found: &super::Outputs, expected: &[Tensor]) -> Result<(), String> {
    for (index, expected) in expected.iter().enumerate() {
        let found = found.get(&index).ok_or_else(|| format!("output {index}: missing"))?;
        if let Some(difference) = difference(found, expected, case.tolerance) {
            return Err(format!("output {index}: {difference}"));
        }
    }
    Ok(())
}

/// Inputs that contradict the signature: the first input is replaced by one of another rank, or another type.
fn wrong_inputs(right: &[Tensor], signature: &Signature) -> Vec<(&'static str, Vec<Tensor>)> {
    let Some(first) = right.first() else { return Vec::new() };
    let rows = if signature.batches { first.shape().first().copied().unwrap_or(1) } else { 2 };
    let rank = if first.shape().len() == 5 { 6 } else { 5 };
    let ranked = Shape::new(&vec![7; rank]).with_first(rows);
    let same_type = if first.dtype() == DataType::Bytes { DataType::Uint8 } else { first.dtype() };
    let other_type = if first.dtype() == DataType::Uint64 { DataType::Uint8 } else { DataType::Uint64 };
    let wrong = [
        ("an input of the wrong rank", zeros(same_type, ranked)),
        ("an input of the wrong type", zeros(other_type, first.shape().clone())),
    ];
    let replaced = |tensor| std::iter::once(tensor).chain(right[1..].iter().cloned()).collect();
    wrong.into_iter().filter_map(|(name, tensor)| Some((name, replaced(tensor?)))).collect()
}

fn zeros(dtype: DataType, shape: Shape) -> Option<Tensor> {
    let len = shape.elements()?.checked_mul(dtype.size()?)?;
    let memory = Buffer::from(vec![0u64; len.div_ceil(8)]).slice(0, len).ok()?;
    Tensor::new(dtype, shape, memory).ok()
}

fn load(case: &Case) -> Result<Box<dyn Model>, String> {
    case.load().map_err(|error| format!("load: {error}"))
}

fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| format!("panicked: {}", panic_text(&*panic)))
}
