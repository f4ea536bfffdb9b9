//! A backend is told the same of its models and requests, whether it is linked in or behind a C table.

#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

use super::{ServerBuilder, ServerHandle};
use crate::backend::TrustedTable;
use crate::flow::Request;
#[cfg(feature = "capi")]
use crate::flow::{Description, Sequence};
use inferlay_backend_sdk::{
    Backend, Batch, Error, Instance, InstanceSpec, MemoryKind, Model, ModelSource, ParameterValue, Placement,
    RequestInfo, Shape, Signature, Tensor,
};
use std::sync::Arc;

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
        let json: serde_json::Value = serde_json::from_str(source.config_json).unwrap();
        let carried = [&json["optimization"], &json["instance_group"], &json["input"]].map(ToString::to_string);
        let ragged = source.ragged();
        let told =
            (name, version, file_name, config, batch_size_max, parameters, files, missing, path, carried, ragged);
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
    let sequence = (info.correlation_id(), info.correlation_text(), info.sequence_start(), info.sequence_end());
    let flags = (sequence, info.output_placement(0));
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

/// The same request in a sequence, which only callers in C can say.
#[cfg(feature = "capi")]
pub(super) fn of_sequence<'a>(mut request: Request<'a>, sequence: &'a Sequence) -> Request<'a> {
    let (id, priority, is_traced) = ("é", 0, false);
    let said = Description {
        id,
        deadline_ns: 0,
        timeout_ns: 0,
        queue_timeout_ns: 0,
        priority,
        is_traced,
        sequence,
        parameters: &[],
    };
    request.describe(said);
    request
}

#[test]
fn a_backend_is_told_the_same_through_its_table() {
    #[cfg(feature = "capi")]
    let session = Sequence { id: 7, text: "session é".to_owned(), starts: true, ends: true };
    let told = |builder: ServerBuilder| {
        let config = "backend: telling\nmax_batch_size: 4\nparameters: {depth: '3', way: up}\n\
            optimization: {graph: {level: 3}}\ninstance_group: {profile: '1'}\n\
            input: [{name: x, data_type: TYPE_FP32, dims: [-1]}, {name: o, data_type: TYPE_INT8, dims: [1], optional: true}]\n\
            batch_input: {kind: BATCH_ITEM_SHAPE, target_name: n, source_input: x}\n\
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
        #[cfg_attr(not(feature = "capi"), allow(unused_mut, reason = "only C adds to it"))]
        let mut asked = vec![request(), speed];
        #[cfg(feature = "capi")]
        asked.push(of_sequence(request(), &session));
        let told = asked.into_iter().map(|request| {
            let response = server.infer("m", request).unwrap();
            let words = response.output("said").unwrap();
            words.strings().unwrap().map(|word| String::from_utf8(word.to_vec()).unwrap()).collect::<Vec<_>>()
        });
        told.collect::<Vec<_>>()
    };
    let directly = told(ServerHandle::builder().backend(Arc::new(Telling)));
    let behind_its_table = told(ServerHandle::builder().backend_table(TrustedTable::of::<Telling>()));
    assert_eq!(directly, behind_its_table);
    #[cfg(feature = "capi")]
    assert!(directly[2][0].contains("(7, \"session é\", true, true)"), "{directly:?}");
    assert!(directly[1][0].contains("Double(1.5)") && directly[0][0].contains("model.telling"), "{directly:?}");
    assert!(directly[0][0].contains("level") && directly[0][0].contains("profile"), "{directly:?}");
    assert!(directly[0][0].contains("made: {\"n\"}"), "{directly:?}");
}
