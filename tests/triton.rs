//! Repositories that were made for Triton, served as they are.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may unwrap")]

mod common;

use common::Folder;
use inferlay::{
    Backend, Error, ErrorKind, LoadOptions, LogLevel, ModelState, Request, ServerBuilder, ServerHandle, Tensor,
};
use inferlay_backend_sdk::{Batch, Instance, InstanceSpec, Model, ModelSource, Signature};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

const CONFIG: &str = r#"
# A config as Triton's users write it.
name: "echo"
backend: "null"
max_batch_size: 4
input [ { name: "x" data_type: TYPE_FP32 dims: [ 2 ] } ]
output [ { name: "x" data_type: TYPE_FP32 dims: [ 2 ] label_filename: "labels.txt" } ]
instance_group [ { count: 2 kind: KIND_CPU } ]
dynamic_batching { max_queue_delay_microseconds: 0 }
parameters { key: "threads" value { string_value: "1" } }
response_cache { enable: true }
"#;

fn echo(server: &ServerHandle, model: &str) -> Vec<f32> {
    let x = Tensor::from_vec(vec![1.0f32, 2.0], [1, 2]).unwrap();
    let response = server.infer(model, Request::new().input("x", x)).unwrap();
    response.slice::<f32>("x").unwrap().to_vec()
}

#[test]
fn a_repository_is_served_and_what_is_not_yet_is_told_in_the_log() {
    let files = [("echo/config.pbtxt", CONFIG), ("echo/labels.txt", "a\nb\n"), ("echo/1/model.bin", "")];
    let folder = Folder::with(&files);
    let lines = Arc::new(Mutex::new(Vec::new()));
    let log = lines.clone();
    let builder = ServerHandle::builder().repository(folder.path()).log(move |record| {
        if record.level >= LogLevel::Warning {
            log.lock().unwrap().push(record.message.to_owned());
        }
    });
    let server = builder.start().unwrap();
    assert_eq!(echo(&server, "echo"), [1.0, 2.0]);
    let config = server.model("echo").unwrap().config().unwrap();
    assert_eq!((config.instance_groups[0].count, &*config.parameters["threads"]), (2, "1"));
    let lines = lines.lock().unwrap();
    assert_eq!(lines.len(), 1, "{lines:?}");
    assert!(lines[0].contains("config.pbtxt:11:1: response_cache: is not served yet"), "{lines:?}");
}

#[test]
fn a_strict_server_refuses_what_is_not_served_yet() {
    let folder = Folder::with(&[("echo/config.pbtxt", CONFIG), ("echo/1/model.bin", "")]);
    let error = ServerHandle::builder().repository(folder.path()).strict().start().unwrap_err();
    assert!(error.message().contains("config.pbtxt:11:1: response_cache: is not served yet"), "{error}");
}

#[test]
fn a_config_in_json_counts_and_a_config_name_chooses() {
    let json = r#"{"backend": "null", "input": [{"name": "x", "data_type": "TYPE_FP32", "dims": [1, 2]}]}"#;
    let large = "backend: 'null' max_batch_size: 64 input { name: 'x' data_type: TYPE_FP32 dims: 2 }";
    let files = [("a/config.json", json), ("a/1/m", ""), ("b/config.json", json), ("b/configs/large.pbtxt", large)];
    let folder = Folder::with(&files);
    folder.write("b/1/m", "");
    let size = |builder: ServerBuilder| {
        let server = builder.repository(folder.path()).strict().start().unwrap();
        assert_eq!(echo(&server, "a"), [1.0, 2.0]);
        server.model("b").unwrap().config().unwrap().max_batch_size
    };
    assert_eq!(size(ServerHandle::builder()), 0);
    assert_eq!(size(ServerHandle::builder().config_name("large")), 64);
    assert!(ServerHandle::builder().config_name("../large").start().is_err());
}

/// Keeps what it is told of the last model, and echoes.
struct Framework {
    name: &'static str,
    told: Arc<Mutex<(String, serde_json::Value)>>,
}

impl Backend for Framework {
    fn name(&self) -> &str {
        self.name
    }

    fn version(&self) -> &str {
        "1"
    }

    fn file_names(&self) -> &[&str] {
        &[]
    }

    fn load(&self, source: &ModelSource<'_>) -> Result<Box<dyn Model>, Error> {
        *self.told.lock().unwrap() = (source.file_name.to_owned(), serde_json::from_str(source.config_json).unwrap());
        inferlay_backend_null::NullBackend.load(source)
    }
}

#[test]
fn a_backend_is_told_the_file_that_triton_would_look_for_and_the_whole_config() {
    let input = "input { name: 'x' data_type: TYPE_FP32 dims: 2 is_shape_tensor: false }";
    let rows = [
        ("platform: 'tensorrt_plan'", "tensorrt", "1/model.plan", "model.plan"),
        ("platform: 'pytorch_libtorch'", "pytorch", "1/model.pt", "model.pt"),
        ("platform: 'tensorflow_graphdef'", "tensorflow", "1/model.graphdef", "model.graphdef"),
        ("platform: 'tensorflow_savedmodel'", "tensorflow", "1/model.savedmodel/saved_model.pb", "model.savedmodel"),
        ("platform: 'caffe2_netdef'", "caffe2", "1/model.netdef", "model.netdef"),
        ("platform: 'onnxruntime_onnx'", "onnxruntime", "1/model.onnx", "model.onnx"),
        ("backend: 'python'", "python", "1/model.py", "model.py"),
        ("backend: 'openvino'", "openvino", "1/model.xml", "model.xml"),
        ("backend: 'openvino' default_model_filename: 'net.xml'", "openvino", "1/net.xml", "net.xml"),
        ("backend: 'mine'", "mine", "1/weights", ""),
    ];
    for (says, name, file, expected) in rows {
        let config = format!("{says} {input} optimization {{ cuda {{ graphs: true }} }} runtime: 'r'");
        let folder = Folder::with(&[("m/config.pbtxt", &config), (&format!("m/{file}"), "")]);
        let told = Arc::default();
        let backend = Arc::new(Framework { name, told: Arc::clone(&told) });
        let server = ServerHandle::builder().repository(folder.path()).backend(backend).strict().start().unwrap();
        let (file_name, json) = told.lock().unwrap().clone();
        assert_eq!(file_name, expected, "{says}");
        assert_eq!((&json["optimization"]["cuda"]["graphs"], &json["runtime"]), (&true.into(), &"r".into()), "{says}");
        let config = server.model("m").unwrap().config().unwrap().to_json();
        assert_eq!(config["optimization"], json["optimization"]);
    }
}

/// Loads a model of three classes; `files` lie beside its config.
fn classes(files: &[(&str, &str)]) -> Result<ServerHandle, Error> {
    let config = "backend: 'null' max_batch_size: 4 input { name: 'x' data_type: TYPE_FP32 dims: 3 } \
                  output { name: 'x' data_type: TYPE_FP32 dims: 3 label_filename: 'names/x.txt' }";
    let all = [("config.pbtxt", config), ("1/model.bin", "")];
    let files = all.iter().chain(files).map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec()));
    ServerHandle::builder().model_in_memory("m", files).strict().start()
}

#[test]
fn labels_are_told_by_the_metadata_and_name_the_best_classes() {
    let server = classes(&[("names/x.txt", "cat\r\ndog\n")]).unwrap();
    let model = server.model("m").unwrap();
    let metadata = model.metadata().unwrap();
    assert_eq!(
        (&metadata.outputs[0].labels[..], metadata.inputs[0].labels.len()),
        (&["cat", "dog"].map(String::from)[..], 0)
    );
    let x = Tensor::from_vec(vec![0.1f32, 0.7, 0.2, 3.0, f32::NAN, 4.0], [2, 3]).unwrap();
    let response = model.infer(Request::new().input("x", x)).unwrap();
    let rows = response.classes("x", 2).unwrap();
    let found: Vec<Vec<_>> = rows
        .iter()
        .map(|row| row.iter().map(|class| (class.index, class.score as f32, class.label)).collect())
        .collect();
    assert_eq!(found, [[(1, 0.7, Some("dog")), (2, 0.2, None)], [(2, 4.0, None), (0, 3.0, Some("cat"))]]);
    assert!(response.classes("y", 1).unwrap_err().message().contains("no output 'y'"));
}

#[test]
fn labels_lie_beside_the_versions_or_in_the_version_or_the_load_fails() {
    let labels = |server: &ServerHandle| server.model("m").unwrap().metadata().unwrap().outputs[0].labels.join(",");
    assert_eq!(labels(&classes(&[("1/names/x.txt", "a\nb\nc")]).unwrap()), "a,b,c");
    assert_eq!(labels(&classes(&[("1/names/x.txt", "a"), ("names/x.txt", "b")]).unwrap()), "b");
    let error = classes(&[("names/y.txt", "a")]).unwrap_err();
    let expected =
        "output 'x': label_filename: found no file 'names/x.txt', expected it in the model's folder or in that";
    assert!(error.message().contains(expected), "{error}");
}

#[test]
fn labels_that_changed_are_told_by_the_next_load_over_the_same_weights() {
    let folder =
        Folder::with(&[("echo/config.pbtxt", CONFIG), ("echo/labels.txt", "a\nb\n"), ("echo/1/model.bin", "")]);
    let server = ServerHandle::builder().repository(folder.path()).explicit(["echo"]).start().unwrap();
    let model = server.model("echo").unwrap();
    let labels = || model.metadata().unwrap().outputs[0].labels.clone();
    assert_eq!((labels(), echo(&server, "echo")), (vec!["a".to_owned(), "b".to_owned()], vec![1.0, 2.0]));
    std::fs::write(folder.path().join("echo/labels.txt"), "c\nd\n").unwrap();
    server.load_model("echo").wait_for(common::PATIENCE).unwrap().unwrap();
    assert_eq!((labels(), echo(&server, "echo")), (vec!["c".to_owned(), "d".to_owned()], vec![1.0, 2.0]));
    // The ledger goes on counting.
    assert_eq!(model.statistics().unwrap().success.count, 2);
    std::fs::remove_file(folder.path().join("echo/labels.txt")).unwrap();
    let error = server.load_model("echo").wait_for(common::PATIENCE).unwrap().unwrap_err();
    assert!(error.message().contains("found no file 'labels.txt'"), "{error}");
    assert_eq!((labels().len(), echo(&server, "echo")), (2, vec![1.0, 2.0]));
}

/// A backend that counts its instances as they come and go.
struct Counting(Arc<AtomicUsize>);

struct Counted {
    instance: Box<dyn Instance>,
    count: Arc<AtomicUsize>,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Instance for Counted {
    fn execute(&mut self, batch: &dyn Batch) -> Result<(), Error> {
        self.instance.execute(batch)
    }
}

struct CountingModel(Box<dyn Model>, Arc<AtomicUsize>);

impl Model for CountingModel {
    fn signature(&self) -> &Signature {
        self.0.signature()
    }

    fn instance(&self, spec: &InstanceSpec) -> Result<Box<dyn Instance>, Error> {
        self.1.fetch_add(1, Ordering::SeqCst);
        Ok(Box::new(Counted { instance: self.0.instance(spec)?, count: self.1.clone() }))
    }
}

impl Backend for Counting {
    fn name(&self) -> &str {
        "counting"
    }

    fn version(&self) -> &str {
        "1"
    }

    fn file_names(&self) -> &[&str] {
        &[]
    }

    fn load(&self, source: &ModelSource<'_>) -> Result<Box<dyn Model>, Error> {
        Ok(Box::new(CountingModel(inferlay_backend_null::NullBackend.load(source)?, self.0.clone())))
    }
}

fn load(server: &ServerHandle, groups: &str) -> Result<(), Error> {
    let config = format!(
        "backend: counting\ninput: {{name: x, data_type: FP32, dims: [-1, 2]}}\ninstance_group: [{groups}]\n\
         model_warmup: {{inputs: {{x: {{data_type: FP32, dims: [1, 2], zero_data: true}}}}}}"
    );
    let options = LoadOptions::new().config(config).files([("1/weights".to_owned(), vec![0])]);
    server.load_model_with("m", options).wait_for(common::PATIENCE).unwrap()
}

#[test]
fn passive_instances_are_there_and_get_no_requests() {
    let count = Arc::new(AtomicUsize::new(0));
    let server =
        ServerHandle::builder().explicit([""; 0]).backend(Arc::new(Counting(count.clone()))).strict().start().unwrap();
    load(&server, "{count: 1}, {count: 3, passive: true}").unwrap();
    assert_eq!((count.load(Ordering::SeqCst), echo(&server, "m")), (4, vec![1.0, 2.0]));
    // One more that serves is added to the lane; others that do not make another lane.
    load(&server, "{count: 2}, {count: 3, passive: true}").unwrap();
    assert_eq!((count.load(Ordering::SeqCst), echo(&server, "m")), (5, vec![1.0, 2.0]));
    load(&server, "{count: 2}, {count: 1, passive: true}").unwrap();
    common::eventually("the old lane is gone", || count.load(Ordering::SeqCst) == 3);
    assert_eq!(echo(&server, "m"), [1.0, 2.0]);
    server.unload_model("m").wait_for(common::PATIENCE).unwrap().unwrap();
    assert_eq!(count.load(Ordering::SeqCst), 0);
}

#[test]
fn a_model_of_passive_instances_alone_is_loaded_and_never_ready() {
    let count = Arc::new(AtomicUsize::new(0));
    let server = ServerHandle::builder().explicit([""; 0]).backend(Arc::new(Counting(count.clone()))).start().unwrap();
    load(&server, "{count: 2, passive: true}").unwrap();
    let status = server.models().remove(0);
    assert_eq!((status.state, count.load(Ordering::SeqCst)), (ModelState::Unavailable, 2));
    assert_eq!(status.reason, "loaded, but all of its instance groups are passive");
    let model = server.model("m").unwrap();
    let x = Tensor::from_vec(vec![1.0f32, 2.0], [1, 2]).unwrap();
    let error = model.infer(Request::new().input("x", x)).unwrap_err();
    let expected = "the model does not serve: all of its instance groups are passive";
    assert_eq!((error.kind(), error.message(), model.is_ready()), (ErrorKind::Unavailable, expected, false));
    // It is as it was asked to be.
    assert!(server.is_ready());
    load(&server, "{count: 1}").unwrap();
    assert!(model.is_ready());
    assert_eq!(echo(&server, "m"), [1.0, 2.0]);
}

#[test]
fn histograms_of_a_model_have_the_bounds_that_its_config_chose() {
    let config = "backend: 'null' input { name: 'x' data_type: TYPE_FP32 dims: 2 } model_metrics { \
        metric_control { metric_identifier { family: 'inferlay_request_duration_seconds' } \
                         histogram_options { buckets: [ 0.5, 100000 ] } } \
        metric_control { metric_identifier { family: 'inferlay_batch_rows' } histogram_options { buckets: 3 } } }";
    let files = |config: &str| [("config.pbtxt", config.as_bytes().to_vec()), ("1/m", Vec::new())];
    let server = ServerHandle::builder().model_in_memory("m", files(config)).strict().start().unwrap();
    let x = Tensor::from_vec(vec![1.0f32, 2.0], [2]).unwrap();
    server.infer("m", Request::new().input("x", x)).unwrap();
    let text = server.metrics_text();
    let lines = |name: &str| text.lines().filter(|line| line.starts_with(name)).map(str::to_owned).collect::<Vec<_>>();
    let durations = lines("inferlay_request_duration_seconds_bucket");
    assert_eq!(durations.len(), 3, "{durations:?}");
    assert_eq!(durations[1], "inferlay_request_duration_seconds_bucket{model=\"m\",version=\"1\",le=\"100000\"} 1");
    assert_eq!(lines("inferlay_batch_rows_bucket").len(), 2);
    assert!(lines("inferlay_queue_duration_seconds_bucket").len() > 3);
    let other = config.replace("inferlay_batch_rows", "nv_inference_count");
    let error = ServerHandle::builder().model_in_memory("m", files(&other)).strict().start().unwrap_err();
    let expected = "metric_identifier.family: found 'nv_inference_count', whose bounds are fixed, expected one of";
    assert!(error.message().contains(expected), "{error}");
}
