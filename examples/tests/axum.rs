//! The web service, over a socket: a request goes in as JSON and comes back doubled.

// Whatever fails must fail the test.
#![allow(clippy::unwrap_used)]

// The example's `main` is not called here.
#[allow(dead_code)]
#[path = "../axum.rs"]
mod service;

use inferlay::{DataType, ModelConfig, ServerHandle};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

/// A server with the model `double`: two numbers per row, each doubled.
fn server() -> ServerHandle {
    let server = ServerHandle::builder().start().unwrap();
    let config = ModelConfig::new("double").input("x", DataType::Fp32, [2]).output("y", DataType::Fp32, [2]);
    let double = |batch: &inferlay::ModelBatch<'_>| {
        let x = batch.input("x")?.as_slice::<f32>()?;
        let y = batch.output("y", [batch.rows(), 2])?.as_mut_slice::<f32>()?;
        y.iter_mut().zip(x).for_each(|(y, x)| *y = 2.0 * x);
        Ok(())
    };
    server.register_model(config.max_batch_size(8), double).unwrap();
    server
}

/// Serves on a free port, makes one request, and stops in good order. The status and the body.
fn ask(method: &str, path: &str, body: &Value) -> (u16, Value) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serving = axum::serve(listener, service::service(server()))
        .with_graceful_shutdown(async move { stopped.await.unwrap_or_default() });
    let serving = runtime.spawn(async { serving.await });
    let answer = exchange(address, method, path, &body.to_string());
    stop.send(()).unwrap();
    runtime.block_on(serving).unwrap().unwrap();
    answer
}

fn exchange(address: SocketAddr, method: &str, path: &str, body: &str) -> (u16, Value) {
    let mut stream = TcpStream::connect(address).unwrap();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all((head + body).as_bytes()).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    let status = head.split(' ').nth(1).unwrap().parse().unwrap();
    (status, serde_json::from_str(body).unwrap_or_default())
}

fn input(name: &str, datatype: &str, shape: Value) -> Value {
    json!({ "inputs": [{ "name": name, "datatype": datatype, "shape": shape, "data": [1.0, 2.0, 3.0, 4.5] }] })
}

#[test]
fn an_inference_comes_back_as_json() {
    let (status, answer) = ask("POST", "/v2/models/double/infer", &input("x", "FP32", json!([2, 2])));
    let output = json!({ "name": "y", "datatype": "FP32", "shape": [2, 2], "data": [2.0, 4.0, 6.0, 9.0] });
    assert_eq!(answer, json!({ "model_name": "double", "model_version": "1", "outputs": [output] }));
    assert_eq!(status, 200);
}

#[test]
fn readiness_and_metadata_are_told() {
    assert_eq!(ask("GET", "/v2/health/ready", &Value::Null).0, 200);
    let (status, metadata) = ask("GET", "/v2/models/double", &Value::Null);
    assert_eq!((status, &metadata["name"], &metadata["inputs"][0]["shape"]), (200, &json!("double"), &json!([-1, 2])));
}

#[test]
fn what_cannot_be_answered_gets_its_status_and_a_reason() {
    for (path, body, status, reason) in [
        ("/v2/models/treble/infer", input("x", "FP32", json!([2, 2])), 404, "treble"),
        ("/v2/models/double/infer", input("z", "FP32", json!([2, 2])), 404, "'z'"),
        ("/v2/models/double/infer", input("x", "FP32", json!([3, 2])), 400, "[3, 2]"),
        ("/v2/models/double/infer", input("x", "FP32", json!([-2])), 400, "\"x\""),
        ("/v2/models/double/infer", input("x", "FP31", json!([2, 2])), 500, "FP31"),
        ("/v2/models/double/infer", json!({}), 400, "'x'"),
    ] {
        let (found, answer) = ask("POST", path, &body);
        assert_eq!(found, status, "{body}: {answer}");
        assert!(answer["error"].as_str().unwrap().contains(reason), "{body}: {answer}");
    }
}
