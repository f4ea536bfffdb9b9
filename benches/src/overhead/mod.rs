//! What a request costs when the model costs nothing, beside a bare hand-off between two threads.

mod floor;
pub(crate) mod report;

use crate::arguments::Arguments;
use crate::case::{self, Case, CaseError};
use crate::client::{Client, Manner};
use crate::models::Models;
use floor::Floor;
use inferlay::{ServerHandle, Tensor};
use std::io;
use std::time::Duration;

/// An echo of 64 bytes, request by request.
const PLAIN: &str = "backend: \"null\"\ninput: [{ name: x, data_type: TYPE_FP32, dims: [1, 16] }]\n";
/// The same for batches, which grow as long as the instance is busy.
const BATCHED: &str = "backend: \"null\"\nmax_batch_size: 64\ninput: [{ name: x, data_type: TYPE_FP32, dims: [16] }]\n\
                       dynamic_batching: { max_queue_delay_microseconds: 0 }\n";

/// Runs the bench and prints its report.
pub(crate) fn run(arguments: &Arguments) -> Result<(), CaseError> {
    let models = models("overhead")?;
    let server = serve(&models)?;
    let rounds = case::measure(cases(&server)?, arguments)?;
    server.stop(Duration::from_secs(10))?;
    report::print(&rounds, arguments)
}

/// The models that all cases share; `bench` names their folder.
pub(crate) fn models(bench: &str) -> io::Result<Models> {
    let models = Models::new(bench)?;
    models.add("plain", PLAIN)?;
    models.add("batched", BATCHED)?;
    Ok(models)
}

/// A server of these models, ready.
pub(crate) fn serve(models: &Models) -> Result<ServerHandle, inferlay::Error> {
    ServerHandle::builder().repository(models.folder()).strict().start()
}

/// The cases of this bench, floors first.
pub(crate) fn cases(server: &ServerHandle) -> Result<Vec<Box<dyn Case>>, CaseError> {
    let input = Tensor::from_vec(vec![1.0f32; 16], [1, 16])?;
    let mut cases: Vec<Box<dyn Case>> = vec![Box::new(Floor::new("floor/1", 1)), Box::new(Floor::new("floor/64", 64))];
    let clients = [
        ("sync/1", "plain", Manner::Sync, 1),
        ("async/1", "plain", Manner::Callback, 1),
        ("async/64", "plain", Manner::Callback, 64),
        ("async/64-deadline", "plain", Manner::Deadline, 64),
        ("async/64-cancel10", "plain", Manner::Cancel, 64),
        ("batched/64", "batched", Manner::Callback, 64),
    ];
    for (name, model, manner, in_flight) in clients {
        let model = server.model(model)?;
        cases.push(Box::new(Client::new(name, (manner, in_flight), model, ("x", input.clone()))));
    }
    Ok(cases)
}
