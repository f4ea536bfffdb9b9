//! A sound backend passes every check, and for each check there is a flaw that makes it fail.

use super::{CHECKS, Case, Example, MemoryFiles, Report, TestBatch, TestRequest, run};
use crate::{
    Attributes, Backend, Batch, DataType, Error, Instance, InstanceSpec, Model, ModelSource, Release, ResponseFlags,
    Signature, Tensor, TensorSpec,
};
use std::collections::BTreeSet;
use std::thread::ThreadId;

/// How a backend can be wrong.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Flaw {
    Nothing,
    DuplicateNames,
    WrongSums,
    FirstRowOnly,
    StaysBroken,
    AcceptsAnyInput,
    WrongInSecondInstance,
    BoundToThread,
    AnswersTwice,
    NeverAnswers,
    PanicsWithoutRows,
    WantsAllWanted,
    KeepsInputs,
    PanicsWhenDropped,
    LoadsAnyName,
    LoadsGarbage,
    LoadsAPart,
    PanicsOnDamage,
}

/// Sums the three numbers of each row: output 0 as a number, output 1 as text. Its model is `SUM` and a checksum.
struct Sums {
    flaw: Flaw,
    takes: bool,
}

const MODEL: &[u8] = b"SUM of three numbers per row; checksum:";

fn model_file() -> Vec<u8> {
    let sum = MODEL.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte));
    [MODEL, &[sum]].concat()
}

impl Backend for Sums {
    fn name(&self) -> &str {
        "sums"
    }

    fn version(&self) -> &str {
        "1"
    }

    fn file_names(&self) -> &[&str] {
        &["model.sum"]
    }

    fn load(&self, source: &ModelSource<'_>) -> Result<Box<dyn Model>, Error> {
        let content = match source.files.read(source.file_name) {
            Err(_) if self.flaw == Flaw::LoadsAnyName => model_file(),
            content => content?,
        };
        let right = match self.flaw {
            Flaw::LoadsGarbage => true,
            Flaw::LoadsAPart => content.starts_with(b"S"),
            _ => content == model_file(),
        };
        assert!(right || self.flaw != Flaw::PanicsOnDamage, "damaged");
        if !right {
            return Err(Error::invalid_arg(format!("file '{}': not a sum", source.file_name)));
        }
        let spec = |name: &str, dtype, dims: &[i64]| TensorSpec {
            name: name.to_owned(),
            dtype,
            dims: Some(dims.to_vec()),
            optional: false,
        };
        let text = if self.flaw == Flaw::DuplicateNames { "sum" } else { "text" };
        let outputs = vec![spec("sum", DataType::Fp32, &[-1, 1]), spec(text, DataType::Bytes, &[-1])];
        let inputs = vec![spec("x", DataType::Fp32, &[-1, 3])];
        let signature = Signature { inputs, outputs, batches: true };
        Ok(Box::new(SumModel { signature, flaw: self.flaw, takes: self.takes }))
    }
}

struct SumModel {
    signature: Signature,
    flaw: Flaw,
    takes: bool,
}

impl Model for SumModel {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn instance(&self, spec: &InstanceSpec) -> Result<Box<dyn Instance>, Error> {
        let (flaw, takes, index) = (self.flaw, self.takes, spec.index);
        Ok(Box::new(SumInstance { flaw, takes, index, broken: false, home: std::thread::current().id(), kept: None }))
    }
}

struct SumInstance {
    flaw: Flaw,
    takes: bool,
    index: usize,
    broken: bool,
    home: ThreadId,
    kept: Option<Tensor>,
}

impl SumInstance {
    fn outputs(&self, input: &Tensor) -> Result<[Tensor; 2], Error> {
        let rows = input.shape().first().copied().unwrap_or(0);
        if input.shape()[..] != [rows, 3] && self.flaw != Flaw::AcceptsAnyInput {
            return Err(Error::invalid_arg(format!("input 'x': found {}, expected [-1, 3]", input.shape())));
        }
        let numbers = match input.view().as_slice::<f32>() {
            Err(_) if self.flaw == Flaw::AcceptsAnyInput => &[0.0; 3],
            numbers => numbers?,
        };
        let mut sums: Vec<f32> = numbers.chunks(3).take(rows).map(|row| row.iter().sum()).collect();
        sums.resize(rows, 0.0);
        match self.flaw {
            Flaw::WrongSums => sums.iter_mut().for_each(|sum| *sum += 1.0),
            Flaw::WrongInSecondInstance if self.index > 0 => sums.iter_mut().for_each(|sum| *sum += 1.0),
            Flaw::FirstRowOnly => sums.iter_mut().skip(1).for_each(|sum| *sum = 0.0),
            Flaw::PanicsWithoutRows => assert!(rows > 0, "no rows"),
            _ => {}
        }
        let texts = Tensor::from_strings(sums.iter().map(|sum| sum.to_string()), [rows])?;
        Ok([Tensor::from_vec(sums, [rows, 1])?, texts])
    }

    fn answer_taken(&self, batch: &dyn Batch) -> Result<(), Error> {
        for index in 0..batch.len() {
            let request = batch.take(index)?;
            let outputs = request.info().input(0).and_then(|input| self.outputs(&input.to_tensor()));
            let (responder, flaw) = (request.responder(), self.flaw);
            if flaw == Flaw::NeverAnswers {
                std::mem::forget(request);
                continue;
            }
            // Answered and released on another thread, in either order.
            let thread = std::thread::spawn(move || {
                if index % 2 == 0 {
                    request.release(Release::Done);
                }
                match outputs {
                    Ok(outputs) => {
                        let outputs = outputs.into_iter().enumerate();
                        responder.send(outputs.clone(), ResponseFlags { last: true }).unwrap();
                        if flaw == Flaw::AnswersTwice {
                            let _refused = responder.respond(outputs);
                        }
                    }
                    Err(error) => responder.fail(error),
                }
            });
            drop(thread);
        }
        Ok(())
    }
}

impl Instance for SumInstance {
    fn execute(&mut self, batch: &dyn Batch) -> Result<(), Error> {
        if self.flaw == Flaw::BoundToThread && self.home != std::thread::current().id() {
            return Err(Error::internal("not my thread"));
        }
        if self.broken || (self.flaw == Flaw::WantsAllWanted && !(batch.output_wanted(0) && batch.output_wanted(1))) {
            return Err(Error::internal("gave up"));
        }
        if self.takes {
            return self.answer_taken(batch);
        }
        let input = batch.input(0, Default::default())?.to_tensor();
        if self.flaw == Flaw::KeepsInputs {
            self.kept = Some(input.clone());
        }
        let outputs = self.outputs(&input).inspect_err(|_| self.broken = self.flaw == Flaw::StaysBroken)?;
        let [sums, texts] = outputs;
        let written = batch.output_buffer(0, sums.shape().clone())?;
        written.as_mut_slice()?.copy_from_slice(sums.view().as_slice::<f32>()?);
        if batch.output_wanted(1) { batch.output(1, texts) } else { Ok(()) }
    }
}

impl Drop for SumInstance {
    fn drop(&mut self) {
        assert!(self.flaw != Flaw::PanicsWhenDropped, "dropped");
    }
}

fn case(flaw: Flaw, takes: bool) -> Case {
    let example = |rows: &[[f32; 3]]| {
        let sums: Vec<f32> = rows.iter().map(|row| row.iter().sum()).collect();
        let texts = Tensor::from_strings(sums.iter().map(|sum| sum.to_string()), [rows.len()]).unwrap();
        Example {
            inputs: vec![Tensor::from_vec(rows.concat(), [rows.len(), 3]).unwrap()],
            outputs: vec![Tensor::from_vec(sums, [rows.len(), 1]).unwrap(), texts],
        }
    };
    let examples = vec![example(&[[1.0, 2.0, 3.0]]), example(&[[0.5, 0.0, -4.0], [7.0, 7.0, 7.0]])];
    Case::new(Box::new(Sums { flaw, takes }), examples).with_file("model.sum", model_file())
}

#[test]
fn a_sound_backend_passes_every_check() {
    for takes in [false, true] {
        let report = run(&case(Flaw::Nothing, takes));
        report.assert_passed();
        assert_eq!(report.passed.len(), CHECKS.len(), "{report}");
    }
}

#[test]
fn each_check_fails_for_the_flaw_that_it_is_there_for() {
    let rows = [
        (Flaw::DuplicateNames, false, "the_signature_is_sane"),
        (Flaw::WrongSums, false, "the_examples_give_their_answers"),
        (Flaw::FirstRowOnly, false, "a_batch_answers_like_its_requests_alone"),
        (Flaw::StaysBroken, false, "an_instance_survives_an_error"),
        (Flaw::AcceptsAnyInput, false, "an_instance_survives_an_error"),
        (Flaw::WrongInSecondInstance, false, "instances_agree_across_threads"),
        (Flaw::BoundToThread, false, "an_instance_moves_between_threads"),
        (Flaw::AnswersTwice, true, "every_request_is_answered_once"),
        (Flaw::NeverAnswers, true, "every_request_is_answered_once"),
        (Flaw::PanicsWithoutRows, false, "zero_rows_are_answered_or_refused"),
        (Flaw::WantsAllWanted, false, "outputs_not_wanted_may_be_left_out"),
        (Flaw::KeepsInputs, false, "inputs_are_let_go"),
        (Flaw::PanicsWhenDropped, false, "outputs_outlive_instance_and_model"),
        (Flaw::LoadsAnyName, false, "an_unknown_file_is_refused"),
        (Flaw::LoadsGarbage, false, "a_garbage_model_is_refused"),
        (Flaw::LoadsAPart, false, "a_truncated_model_is_refused"),
        (Flaw::PanicsOnDamage, false, "a_damaged_model_never_panics"),
    ];
    for (flaw, takes, check) in rows {
        let mut report = Report::default();
        let (name, made) = CHECKS.iter().find(|(name, _)| *name == check).unwrap();
        report.make(&case(flaw, takes), name, *made);
        assert!(report.failed(check), "{flaw:?} was not noticed by {check}: {report}");
    }
    let covered: BTreeSet<_> = rows.iter().map(|(_, _, check)| *check).collect();
    assert_eq!(covered.len(), CHECKS.len(), "every check has a flaw");
}

#[test]
fn a_report_lists_every_failure() {
    let report = run(&case(Flaw::WrongSums, false));
    assert!(report.failures.len() > 1 && report.to_string().matches("FAILED").count() == report.failures.len());
    assert!(!report.failed("a_garbage_model_is_refused"));
}

#[test]
fn a_backend_may_say_that_its_instances_stay_on_their_thread() {
    struct Bound(Sums);
    impl Backend for Bound {
        fn name(&self) -> &str {
            "bound"
        }
        fn version(&self) -> &str {
            "1"
        }
        fn file_names(&self) -> &[&str] {
            &[]
        }
        fn attributes(&self) -> Attributes {
            Attributes::INSTANCE_THREAD
        }
        fn load(&self, source: &ModelSource<'_>) -> Result<Box<dyn Model>, Error> {
            self.0.load(source)
        }
    }
    let case = Case {
        backend: Box::new(Bound(Sums { flaw: Flaw::BoundToThread, takes: false })),
        ..case(Flaw::Nothing, false)
    };
    let report = run(&case);
    report.assert_passed();
    assert_eq!(report.skipped.len(), 1, "{report}");
}

#[test]
fn one_failed_request_leaves_the_others_their_answers() {
    struct FailsSecond(Box<dyn Instance>);
    impl Instance for FailsSecond {
        fn execute(&mut self, batch: &dyn Batch) -> Result<(), Error> {
            batch.fail(1, Error::invalid_arg("the second"));
            assert!(batch.take(1).is_err());
            self.0.execute(batch)
        }
    }
    let case = case(Flaw::Nothing, false);
    let model = case.load_from("model.sum", &MemoryFiles::clone(&case.files)).unwrap();
    let mut instance = FailsSecond(super::case::instance(&*model, 0).unwrap());
    let requests = [0, 1, 0].map(|index: usize| TestRequest::new(&case.examples[index].inputs));
    let answers = TestBatch::new(model.signature(), requests.into()).execute(&mut instance).unwrap();
    assert_eq!(answers.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true]);
    let third = answers[2].as_ref().unwrap();
    assert_eq!(third[&0].view().as_slice::<f32>().unwrap(), [6.0]);
}
