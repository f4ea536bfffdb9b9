//! Backends in Rust, exported and adapted back: behind the table everything is as it is without.

#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

use super::{Surroundings, TrustedTable};
use crate::backend::Directories;
use crate::observe::Log;
use crate::sync::Clock;
use inferlay_backend_null::NullBackend;
use inferlay_backend_sdk::conformance::{Case, Example, TestHost, run};
use inferlay_backend_sdk::{
    Attributes, Backend, Batch, DataType, Error, ErrorKind, Instance, InstanceSpec, LogLevel, MemoryKind, Model,
    ModelSource, Placement, RequestInfo, Signature, Tensor, TensorSpec,
};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::thread;

#[path = "../../../tests/common/plugins.rs"]
mod plugins;

fn surroundings() -> Surroundings {
    Surroundings { log: Arc::new(Log::default()), clock: Clock::System, threads_max: 3, options: Arc::default() }
}

/// A backend as the engine sees it behind its table.
fn behind_its_table<B: Backend + Default + 'static>() -> Arc<dyn Backend> {
    TrustedTable::of::<B>().begin(None, surroundings()).unwrap()
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

    fn memory_estimate(&self, source: &ModelSource<'_>) -> Result<Vec<(Placement, usize)>, Error> {
        match source.parameters.contains_key("silent") {
            true => Err(Error::unsupported("it is silent")),
            false => Ok(vec![(Placement::HOST, source.name.len()), (Placement::HOST, source.files.names().len())]),
        }
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
fn an_estimate_of_memory_passes_through_a_table() {
    let backend = behind_its_table::<Later>();
    let case = numbers_and_words(&backend).with_file("model.later", vec![0]);
    let estimate = |parameters: BTreeMap<String, String>| {
        backend.memory_estimate(&ModelSource {
            name: "conformance",
            version: 1,
            file_name: &case.file_name,
            files: &case.files,
            config: &case.config,
            batch_size_max: None,
            parameters: &parameters,
            config_json: "{}",
            host: &TestHost,
        })
    };
    assert_eq!(estimate(BTreeMap::new()).unwrap(), [(Placement::HOST, "conformance".len()), (Placement::HOST, 1)]);
    let silent = BTreeMap::from([("silent".to_owned(), String::new())]);
    assert!(estimate(silent).unwrap_err().message().contains("it is silent"));
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
