//! A web service with the engine inside: a folder of models by KServe's protocol, version 2 (JSON, FP32 tensors).
//! `cargo run --release -p inferlay-examples --example axum -- examples/models`

use axum::{Json, Router, extract::Path, extract::State, http::StatusCode as Status, routing};
use inferlay::{Error, ErrorKind, Request, ServerHandle, Tensor};
use serde_json::{Value, from_value, json};

type Answer = Result<Json<Value>, (Status, Json<Value>)>;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let server = ServerHandle::open(std::env::args_os().nth(1).ok_or("which folder of models?")?)?;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:8000").await?;
    let interrupt = async { tokio::signal::ctrl_c().await.unwrap_or_default() };
    axum::serve(listener, service(server.clone())).with_graceful_shutdown(interrupt).await?;
    Ok(server.stop(std::time::Duration::from_secs(10))?)
}

pub(crate) fn service(server: ServerHandle) -> Router {
    let ready =
        async |State::<ServerHandle>(server)| server.is_ready().then_some(()).ok_or(Status::SERVICE_UNAVAILABLE);
    let models = Router::new().route("/{name}", routing::get(metadata)).route("/{name}/infer", routing::post(infer));
    Router::new().route("/v2/health/ready", routing::get(ready)).nest("/v2/models", models).with_state(server)
}

async fn metadata(State(server): State<ServerHandle>, Path(name): Path<String>) -> Answer {
    Ok(Json(json!(server.model(&name).and_then(|model| model.metadata()).map_err(failed)?)))
}

async fn infer(State(server): State<ServerHandle>, Path(name): Path<String>, Json(body): Json<Value>) -> Answer {
    let mut request = Request::new();
    for input in body["inputs"].as_array().into_iter().flatten() {
        request = request.input(input["name"].as_str().unwrap_or_default().to_owned(), tensor(input).map_err(failed)?);
    }
    let reply = server.infer_async(&name, request).map_err(|refused| failed(refused.error))?.await.map_err(failed)?;
    let mut outputs = Vec::new();
    for (name, tensor) in reply.outputs() {
        let data = tensor.as_slice::<f32>().map_err(failed)?;
        outputs.push(json!({ "name": name, "datatype": "FP32", "shape": **tensor.shape(), "data": data }));
    }
    Ok(Json(json!({ "model_name": name, "model_version": reply.version().to_string(), "outputs": outputs })))
}

fn tensor(input: &Value) -> Result<Tensor, Error> {
    let (name, datatype) = (&input["name"], &input["datatype"]);
    let wrong = |error: serde_json::Error| Error::invalid_arg(format!("input {name}: {error}"));
    let (shape, data): (Vec<usize>, Vec<f32>) = from_value(json!([input["shape"], input["data"]])).map_err(wrong)?;
    if datatype == "FP32" { Tensor::from_vec(data, &shape[..]) } else { Err(Error::unsupported(datatype.to_string())) }
}

fn failed(error: Error) -> (Status, Json<Value>) {
    let status = match error.kind() {
        ErrorKind::InvalidArg => Status::BAD_REQUEST,
        ErrorKind::NotFound => Status::NOT_FOUND,
        ErrorKind::ResourceExhausted | ErrorKind::Unavailable => Status::SERVICE_UNAVAILABLE,
        _ => Status::INTERNAL_SERVER_ERROR,
    };
    (status, Json(json!({ "error": error.to_string() })))
}
