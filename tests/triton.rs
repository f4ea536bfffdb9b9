//! Repositories that were made for Triton, served as they are.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may unwrap")]

mod common;

use common::Folder;
use inferlay::{Backend, Error, LogLevel, Request, ServerBuilder, ServerHandle, Tensor};
use inferlay_backend_sdk::{Model, ModelSource};
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
    assert!(lines[0].contains("config.pbtxt:7:55: output[0].label_filename: is not served yet"), "{lines:?}");
}

#[test]
fn a_strict_server_refuses_what_is_not_served_yet() {
    let folder = Folder::with(&[("echo/config.pbtxt", CONFIG), ("echo/1/model.bin", "")]);
    let error = ServerHandle::builder().repository(folder.path()).strict().start().unwrap_err();
    assert!(error.message().contains("config.pbtxt:7:55: output[0].label_filename: is not served yet"), "{error}");
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
