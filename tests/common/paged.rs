//! Models of the backend `scale` in a server with room for a few of them.

use super::scale::Scale;
use inferlay::{Request, ServerBuilder, ServerHandle, Tensor};
use std::sync::Arc;

/// All that there is to say of a model of the backend, which uses 10 bytes; and more.
pub fn config(more: &str) -> String {
    let parameters = format!("parameters: {{bytes: \"10\"{more}}}");
    let ports = "input: {name: x, data_type: FP32, dims: 1}\noutput: {name: y, data_type: FP32, dims: 1}";
    format!("backend: scale\nmax_batch_size: 8\n{ports}\n{parameters}\n")
}

/// Models `m0`, `m1` and so on, which multiply by 1, 2 and so on, and a server with room for so many of them.
pub fn server(models: usize, room: u64) -> (ServerBuilder, Scale) {
    let scale = Scale::default();
    (server_of(&scale, models, room), scale)
}

/// As [`server`], of a backend that is there already.
pub fn server_of(scale: &Scale, models: usize, room: u64) -> ServerBuilder {
    let builder = ServerHandle::builder().backend(Arc::new(scale.clone())).memory_budget(10 * room);
    let model = |builder: ServerBuilder, index: usize| {
        let factor = format!("{:<10}", index + 1);
        let files = [("config.yaml", config("").into_bytes()), ("factor.txt", factor.into_bytes())];
        builder.model_in_memory(format!("m{index}"), files)
    };
    (0..models).fold(builder, model)
}

pub fn ask(value: f32) -> Request<'static> {
    Request::new().input("x", Tensor::from_vec(vec![value], [1, 1]).unwrap())
}

#[track_caller]
pub fn answers(server: &ServerHandle, model: usize) {
    let answer = server.infer(&format!("m{model}"), ask(2.0)).unwrap();
    assert_eq!(answer.slice::<f32>("y").unwrap(), [2.0 * (model + 1) as f32]);
}
