//! A server that loads what it is asked to, of the backend [`Scale`], from memory.

use super::scale::{Scale, ask};
use super::{PATIENCE, eventually};
use inferlay::{ErrorKind, LoadOptions, ModelState, Operation, ServerBuilder, ServerHandle};
use std::sync::Arc;

/// The server, and its backend.
pub fn server() -> (ServerBuilder, Scale) {
    let scale = Scale::default();
    (ServerHandle::builder().explicit([""; 0]).backend(Arc::new(scale.clone())), scale)
}

/// The model from memory: its versions and what they multiply by.
pub fn versions(factors: &[(u64, &str)]) -> LoadOptions {
    LoadOptions::new()
        .files(factors.iter().map(|(version, text)| (format!("{version}/factor.txt"), text.as_bytes().to_vec())))
}

/// One whose load waits at the gate.
pub fn held(factors: &[(u64, &str)]) -> LoadOptions {
    versions(factors).config("parameters: {gate: \"yes\"}")
}

/// What the model makes of 1.
pub fn factor(server: &ServerHandle, model: &str) -> Result<f32, ErrorKind> {
    let answer = server.infer(model, ask(1.0)).map_err(|error| error.kind())?;
    Ok(answer.slice::<f32>("y").unwrap()[0])
}

/// How an operation ends.
pub fn done(operation: &Operation) -> Result<(), inferlay::Error> {
    operation.wait_for(PATIENCE).expect("the operation did not end")
}

/// Version, state and reason of every version.
pub fn index(server: &ServerHandle) -> Vec<(u64, ModelState, String)> {
    server.models().into_iter().map(|status| (status.version, status.state, status.reason)).collect()
}

/// As [`done`], beside a clock that stands still.
pub fn done_soon(operation: &Operation) -> Result<(), inferlay::Error> {
    eventually("the operation ends", || operation.is_done());
    operation.wait()
}
