//! Backends in Rust, exported and adapted back: behind the table everything is as it is without.

#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

use super::{Surroundings, TrustedTable};
use crate::backend::Directories;
use crate::observe::Log;
use crate::sync::Clock;
use crate::{Request, ServerBuilder, ServerHandle, Tensor};
use inferlay_backend_null::NullBackend;
use inferlay_backend_sdk::abi::Table;
use inferlay_backend_sdk::conformance::{Case, Example, run};
use inferlay_backend_sdk::{
    Attributes, Backend, Batch, DataType, Error, ErrorKind, Instance, InstanceSpec, LogLevel, MemoryKind, Model,
    ModelSource, ParameterValue, Placement, RequestInfo, Shape, Signature, TensorSpec,
};
use std::sync::{Arc, Mutex};
use std::thread;

#[path = "../../../tests/common/plugins.rs"]
mod plugins;

fn surroundings() -> Surroundings {
    Surroundings { log: Arc::new(Log::default()), clock: Clock::System, threads_max: 3 }
}

/// A backend as the engine sees it behind its table.
fn behind_its_table<B: Backend + Default + 'static>() -> Arc<dyn Backend> {
    table_of::<B>().begin(None, surroundings()).unwrap()
}

fn table_of<B: Backend + Default + 'static>() -> TrustedTable {
    let table: &'static Table = Box::leak(Box::new(Table::new::<B>()));
    // SAFETY: the SDK made the table, and it is leaked.
    unsafe { TrustedTable::new(table.table()) }
}

/// The null backend out of `libinferlay_backend_null.so`.
fn in_a_library() -> Arc<dyn Backend> {
    let mut directories = Directories::default();
    directories.add(plugins::rust_plugins().to_owned());
    directories.find("null", &surroundings()).unwrap().unwrap()
}

/// A case takes a box.
struct Shared(Arc<dyn Backend>);

impl Backend for Shared {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn version(&self) -> &str {
        self.0.version()
    }

    fn file_names(&self) -> &[&str] {
        self.0.file_names()
    }

    fn attributes(&self) -> Attributes {
        self.0.attributes()
    }

    fn load(&self, source: &ModelSource<'_>) -> Result<Box<dyn Model>, Error> {
        self.0.load(source)
    }
}

fn spec(name: &str, dtype: DataType, dims: &[i64]) -> TensorSpec {
    TensorSpec { name: name.to_owned(), dtype, dims: Some(dims.to_vec()), optional: false }
}

/// A case of a backend that echoes.
fn echo(backend: &Arc<dyn Backend>, inputs: Vec<TensorSpec>, examples: Vec<Vec<Tensor>>) -> Case {
    let examples = examples.into_iter().map(|inputs| Example { outputs: inputs.clone(), inputs });
    let batches = inputs.iter().all(|spec| spec.dims.as_ref().is_some_and(|dims| dims.first() == Some(&-1)));
    let config = Signature { outputs: inputs.clone(), inputs, batches };
    Case::new(Box::new(Shared(backend.clone())), examples.collect()).with_config(config)
}

fn numbers_and_words(backend: &Arc<dyn Backend>) -> Case {
    let numbers = |rows: usize| Tensor::from_vec((0..rows * 16).map(|n| n as f32).collect(), [rows, 16]).unwrap();
    let words = |rows: usize| Tensor::from_strings((0..rows).map(|n| "w".repeat(n)), [rows]).unwrap();
    let inputs = vec![spec("x", DataType::Fp32, &[-1, 16]), spec("w", DataType::Bytes, &[-1])];
    echo(backend, inputs, vec![vec![numbers(1), words(1)], vec![numbers(3), words(3)]])
}

fn conforms(backend: &Arc<dyn Backend>) {
    run(&numbers_and_words(backend)).assert_passed();
    let scalar = vec![Tensor::from_vec(vec![7i64], []).unwrap()];
    run(&echo(backend, vec![spec("x", DataType::Int64, &[])], vec![scalar])).assert_passed();
    for dtype in DataType::all() {
        let tensor = match dtype.size() {
            Some(size) => Tensor::new(dtype, [2, 4], vec![1u64; size].into()).unwrap(),
            None => Tensor::from_strings(["a", "", "ccc", "d", "e", "f", "g", "h"], [2, 4]).unwrap(),
        };
        run(&echo(backend, vec![spec("x", dtype, &[-1, 4])], vec![vec![tensor]])).assert_passed();
    }
    let deep = Tensor::from_vec(vec![1u8, 2], [1, 1, 1, 1, 1, 1, 2, 1]).unwrap();
    run(&echo(backend, vec![spec("x", DataType::Uint8, &[-1, 1, 1, 1, 1, 1, 2, 1])], vec![vec![deep]])).assert_passed();
}

#[test]
fn the_null_backend_conforms_behind_its_table() {
    conforms(&behind_its_table::<NullBackend>());
}

#[test]
fn the_null_backend_conforms_in_a_library() {
    conforms(&in_a_library());
}

#[test]
fn a_table_says_of_its_backend_what_the_backend_says() {
    for backend in [behind_its_table::<NullBackend>(), in_a_library()] {
        let found = (backend.name(), backend.version(), backend.file_names(), backend.attributes());
        let own = NullBackend;
        assert_eq!(found, (own.name(), own.version(), own.file_names(), own.attributes()));
        let case = numbers_and_words(&backend);
        let model = case.load().unwrap();
        assert_eq!(*model.signature(), case.config);
    }
}

#[test]
fn errors_of_a_backend_come_through_its_table_as_they_are() {
    let mut case = numbers_and_words(&behind_its_table::<NullBackend>());
    case.parameters.insert("fail_every".to_owned(), "no number".to_owned());
    let through = case.load().err().unwrap();
    case.backend = Box::new(NullBackend);
    assert_eq!(through, case.load().err().unwrap());
}

/// A backend that takes every request and answers it on another thread; its model knows neither names nor ranks.
#[derive(Default)]
struct Later;

struct LaterModel {
    signature: Signature,
    answered: Arc<Mutex<Vec<thread::JoinHandle<()>>>>,
}

impl Backend for Later {
    fn name(&self) -> &str {
        "later"
    }

    fn version(&self) -> &str {
        "1"
    }

    fn file_names(&self) -> &[&str] {
        &[".later", "model.later"]
    }

    fn load(&self, source: &ModelSource<'_>) -> Result<Box<dyn Model>, Error> {
        source.host.log(LogLevel::Info, "loading");
        assert!(source.host.threads_max() > 0);
        Ok(Box::new(LaterModel { signature: source.config.clone(), answered: Arc::default() }))
    }
}

impl Model for LaterModel {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn instance(&self, _spec: &InstanceSpec) -> Result<Box<dyn Instance>, Error> {
        let (signature, answered) = (self.signature.clone(), self.answered.clone());
        Ok(Box::new(LaterModel { signature, answered }))
    }

    fn memory_use(&self) -> Vec<(Placement, usize)> {
        vec![(Placement::HOST, 7), (Placement { kind: MemoryKind::Pinned, ..Placement::HOST }, 8)]
    }
}

impl Instance for LaterModel {
    fn execute(&mut self, batch: &dyn Batch) -> Result<(), Error> {
        for index in 0..batch.len() {
            let taken = batch.take(index)?;
            assert_eq!(batch.take(index).unwrap_err().kind(), ErrorKind::FailedPrecondition);
            let specs = self.signature.outputs.clone();
            let answer = move || {
                let info = taken.info();
                let wanted = specs.iter().enumerate().filter(|(index, _)| info.output_wanted(*index));
                let outputs: Result<Vec<_>, Error> = wanted.map(|(index, spec)| echoed(info, index, spec)).collect();
                let responder = taken.responder();
                match outputs {
                    Ok(outputs) => drop(responder.respond(outputs)),
                    Err(error) => responder.fail(error),
                }
            };
            self.answered.lock().unwrap().push(thread::spawn(answer));
        }
        Ok(())
    }

    fn batches_in_flight_max(&self) -> usize {
        5
    }
}

/// An input as an output, if it is what the signature says.
fn echoed(info: &dyn RequestInfo, index: usize, spec: &TensorSpec) -> Result<(usize, Tensor), Error> {
    let input = info.input(index)?;
    let rank = spec.dims.as_ref().map_or(0, Vec::len);
    if (input.dtype(), input.shape().len()) != (spec.dtype, rank) {
        return Err(Error::invalid_arg(format!("found {}{}, expected {spec:?}", input.dtype(), input.shape())));
    }
    Ok((index, input.to_tensor()))
}

impl Drop for LaterModel {
    fn drop(&mut self) {
        // Nothing of the backend may run when its model has gone.
        let threads = std::mem::take(&mut *self.answered.lock().unwrap());
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    }
}

#[test]
fn a_backend_that_answers_later_conforms_behind_its_table() {
    let backend = behind_its_table::<Later>();
    run(&numbers_and_words(&backend)).assert_passed();
    let model = numbers_and_words(&backend).load().unwrap();
    assert_eq!(
        model.memory_use(),
        LaterModel { signature: Signature::default(), answered: Arc::default() }.memory_use()
    );
    let spec = InstanceSpec { index: 0, device: Default::default(), threads_max: 1 };
    assert_eq!(model.instance(&spec).unwrap().batches_in_flight_max(), 5);
    assert_eq!(backend.file_names(), [".later", "model.later"]);
}

/// A backend that answers with what it was told: about its source, and about each request.
#[derive(Default)]
struct Telling;

struct TellingModel {
    signature: Signature,
    source: String,
}

impl Backend for Telling {
    fn name(&self) -> &str {
        "telling"
    }

    fn version(&self) -> &str {
        "1"
    }

    fn file_names(&self) -> &[&str] {
        &["model.telling"]
    }

    fn load(&self, source: &ModelSource<'_>) -> Result<Box<dyn Model>, Error> {
        let files: Vec<_> = source.files.names().iter().map(|name| (name.clone(), source.files.read(name))).collect();
        let missing = (source.files.read("none").map_err(|error| error.kind()), source.files.path("none").is_err());
        let path = source.files.path(source.file_name)?;
        let ModelSource { name, version, file_name, config, batch_size_max, parameters, .. } = source;
        let told = (name, version, file_name, config, batch_size_max, parameters, files, missing, path);
        Ok(Box::new(TellingModel { signature: source.config.clone(), source: format!("{told:?}") }))
    }
}

impl Model for TellingModel {
    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn instance(&self, spec: &InstanceSpec) -> Result<Box<dyn Instance>, Error> {
        let source = format!("{}; {spec:?}", self.source);
        Ok(Box::new(TellingModel { signature: Signature::default(), source }))
    }
}

/// All that a request says of itself, but for what differs from run to run.
fn said(info: &dyn RequestInfo) -> String {
    let parameters: Vec<_> = (0..).map_while(|index| info.parameter_at(index)).collect();
    let by_name = (info.parameter("speed"), info.parameter("none"));
    let wanted = [0, 1, 2].map(|index| info.output_wanted(index));
    let inputs = [0, 1, 9].map(|index| info.input(index).map(|input| format!("{input:?}")).is_ok());
    let flags = (info.correlation_id(), info.sequence_start(), info.sequence_end(), info.output_placement(0));
    let own = (info.id(), info.rows(), info.priority(), info.deadline_ns().is_some(), info.cancelled());
    format!("{own:?} {parameters:?} {by_name:?} {wanted:?} {inputs:?} {flags:?}")
}

impl Instance for TellingModel {
    fn execute(&mut self, batch: &dyn Batch) -> Result<(), Error> {
        let mut told = format!("{}; {} {}", self.source, batch.rows(), batch.output_wanted(1));
        let errors = [
            batch.input(0, Placement { kind: MemoryKind::Device, ..Placement::HOST }).map(drop),
            batch.input(7, Placement::HOST).map(drop),
            batch.output_buffer(0, Shape::from([3, 3])).map(drop),
            batch.output_buffer(0, Shape::from([batch.rows()])).map(drop),
        ];
        told += &format!("{:?}", errors.map(|error| error.map_err(|error| error.kind())));
        for index in 0..batch.len() {
            told += &said(batch.request(index));
        }
        let words = vec![told; batch.rows()];
        batch.output(0, Tensor::from_strings(words, [batch.rows()])?)
    }
}

#[test]
fn a_backend_is_told_the_same_through_its_table() {
    let told = |builder: ServerBuilder| {
        let config = "backend: telling\nmax_batch_size: 4\nparameters: {depth: '3', way: up}\n\
            input: [{name: x, data_type: TYPE_FP32, dims: [-1]}, {name: o, data_type: TYPE_INT8, dims: [1], optional: true}]\n\
            output: [{name: said, data_type: TYPE_STRING, dims: []}, {name: other, data_type: TYPE_FP64, dims: [2]}]\n";
        let files = [("config.yaml", config.as_bytes().to_vec()), ("model.telling", vec![1, 2]), ("a/b", Vec::new())];
        let server = builder.model_in_memory("m", files).strict().start().unwrap();
        let request = || {
            let x = Tensor::from_vec(vec![1.0f32, 2.0], [2, 1]).unwrap();
            Request::new().input("x", x).id("é").output("said")
        };
        let string = ParameterValue::String("é".to_owned());
        let numbers = request().parameter("speed", ParameterValue::Double(1.5)).parameter("n", ParameterValue::Int(-3));
        let speed = numbers.parameter("name", string).parameter("on", ParameterValue::Bool(true));
        [request(), speed].map(|request| {
            let response = server.infer("m", request).unwrap();
            let words = response.output("said").unwrap();
            words.strings().unwrap().map(|word| String::from_utf8(word.to_vec()).unwrap()).collect::<Vec<_>>()
        })
    };
    let directly = told(ServerHandle::builder().backend(Arc::new(Telling)));
    let behind_its_table = told(ServerHandle::builder().backend_table(table_of::<Telling>()));
    assert_eq!(directly, behind_its_table);
    assert!(directly[1][0].contains("Double(1.5)") && directly[0][0].contains("model.telling"), "{directly:?}");
}
