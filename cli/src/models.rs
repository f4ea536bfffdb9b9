//! `inferlay models`: what a repository serves, and why it does not serve the rest.

use crate::arguments::{Backends, Models};
use crate::report::{self, escaped};
use crate::{End, print};
use inferlay::{Error, ModelState, ModelStatus, ServerBuilder, ServerHandle, TensorMetadata};
use serde_json::{Value, json};
use std::path::Path;

pub(crate) fn models(own: &Models) -> Result<End, Error> {
    let server = start(builder(&own.repository, &own.backends))?;
    let all = server.models();
    let text = if own.json {
        let rows: Vec<Value> = all.iter().map(|status| as_json(&server, status)).collect();
        format!("{:#}\n", Value::Array(rows))
    } else {
        let rows: Vec<_> = all.iter().map(|status| as_row(&server, status)).collect();
        report::table(["model", "version", "state", "inputs", "outputs"], &rows) + &reasons(&all)
    };
    print(&text)?;
    Ok(End::problems_if(all.iter().any(|status| status.state == ModelState::Unavailable)))
}

/// A server of a repository, or of the file of one model.
pub(crate) fn builder(path: &Path, backends: &Backends) -> ServerBuilder {
    let builder = ServerHandle::builder();
    let builder = if path.is_file() { builder.model_file(path) } else { builder.repository(path) };
    backends.folders().into_iter().fold(builder, ServerBuilder::backend_directory)
}

pub(crate) fn start(builder: ServerBuilder) -> Result<ServerHandle, Error> {
    let (builder, bar) = report::with_progress(builder);
    let server = builder.start();
    bar.finish_and_clear();
    server
}

fn tensors(server: &ServerHandle, status: &ModelStatus) -> [Vec<TensorMetadata>; 2] {
    let metadata = match status.state {
        ModelState::Ready => server.model_version(&status.name, status.version).and_then(|model| model.metadata()).ok(),
        _ => None,
    };
    metadata.map(|metadata| [metadata.inputs, metadata.outputs]).unwrap_or_default()
}

fn as_json(server: &ServerHandle, status: &ModelStatus) -> Value {
    let [inputs, outputs] = tensors(server, status);
    json!({
        "name": status.name,
        "version": status.version,
        "state": status.state,
        "reason": status.reason,
        "inputs": inputs,
        "outputs": outputs,
    })
}

fn as_row(server: &ServerHandle, status: &ModelStatus) -> [String; 5] {
    let tensor = |tensor: &TensorMetadata| format!("{} {}{:?}", escaped(&tensor.name), tensor.datatype, tensor.shape);
    let listed = |tensors: &[TensorMetadata]| tensors.iter().map(tensor).collect::<Vec<_>>().join(", ");
    let [inputs, outputs] = tensors(server, status).map(|tensors| listed(&tensors));
    let state = json!(status.state).as_str().unwrap_or_default().to_owned();
    [escaped(&status.name), status.version.to_string(), state, inputs, outputs]
}

fn reasons(all: &[ModelStatus]) -> String {
    let told = all.iter().filter(|status| !status.reason.is_empty());
    told.map(|status| format!("{}: {}\n", escaped(&status.name), status.reason)).collect()
}
