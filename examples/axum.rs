//! A web service with the engine inside: a folder of models, served by KServe's protocol (version 2, HTTP with JSON).
//!
//! `cargo run --release -p inferlay-examples --example axum -- examples/models`

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Json, Router, routing};
use inferlay::{DataType, Error, ErrorKind, Request, ServerHandle, Shape, Tensor, TensorRef};
use serde_json::{Error as JsonError, Value, from_value, json};

type Answer = Result<Json<Value>, (StatusCode, Json<Value>)>;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = ServerHandle::open(std::env::args_os().nth(1).ok_or("which folder of models?")?)?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:8000").await?;
    let interrupt = async { tokio::signal::ctrl_c().await.unwrap_or_default() };
    axum::serve(listener, service(server.clone())).with_graceful_shutdown(interrupt).await?;
    Ok(server.stop(std::time::Duration::from_secs(10))?)
}

pub(crate) fn service(server: ServerHandle) -> Router {
    let models = Router::new().route("/{name}", routing::get(metadata)).route("/{name}/infer", routing::post(infer));
    Router::new().route("/v2/health/ready", routing::get(ready)).nest("/v2/models", models).with_state(server)
}

async fn ready(State(server): State<ServerHandle>) -> Result<(), StatusCode> {
    server.is_ready().then_some(()).ok_or(StatusCode::SERVICE_UNAVAILABLE)
}

async fn metadata(State(server): State<ServerHandle>, Path(name): Path<String>) -> Answer {
    Ok(Json(json!(server.model(&name).and_then(|model| model.metadata()).map_err(failed)?)))
}

async fn infer(State(server): State<ServerHandle>, Path(name): Path<String>, Json(body): Json<Value>) -> Answer {
    let mut request = Request::new();
    for input in body["inputs"].as_array().into_iter().flatten() {
        request = request.input(input["name"].as_str().unwrap_or_default().to_owned(), tensor(input).map_err(failed)?);
    }
    let response = server.infer_async(&name, request).map_err(failed)?.await.map_err(failed)?;
    let outputs = response.outputs().map(output).collect::<Result<Vec<_>, _>>().map_err(failed)?;
    Ok(Json(json!({ "model_name": name, "model_version": response.version().to_string(), "outputs": outputs })))
}

fn tensor(input: &Value) -> Result<Tensor, Error> {
    let wrong = |error: JsonError| Error::invalid_arg(format!("input {}: {error}", input["name"]));
    let shape = Shape::from(&from_value::<Vec<usize>>(input["shape"].clone()).map_err(wrong)?[..]);
    match (input["datatype"].as_str(), input["data"].clone()) {
        (Some("FP32"), data) => Tensor::from_vec(from_value::<Vec<f32>>(data).map_err(wrong)?, shape),
        (Some("INT64"), data) => Tensor::from_vec(from_value::<Vec<i64>>(data).map_err(wrong)?, shape),
        (other, _) => Err(Error::unsupported(format!("found datatype {other:?}, expected FP32 or INT64"))),
    }
}

fn output((name, tensor): (&str, TensorRef<'_>)) -> Result<Value, Error> {
    let data = match tensor.dtype() {
        DataType::Int64 => json!(tensor.as_slice::<i64>()?),
        _ => json!(tensor.as_slice::<f32>()?),
    };
    Ok(json!({ "name": name, "datatype": tensor.dtype().name(), "shape": **tensor.shape(), "data": data }))
}

fn failed(error: impl Into<Error>) -> (StatusCode, Json<Value>) {
    let error = error.into();
    let status = match error.kind() {
        ErrorKind::InvalidArg => StatusCode::BAD_REQUEST,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::ResourceExhausted | ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    (status, Json(json!({ "error": error.to_string() })))
}
