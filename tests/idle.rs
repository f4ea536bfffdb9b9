//! A thousand models that nobody asks anything cost next to nothing. Alone in its binary, because it counts threads.

#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

use inferlay::{DataType, ModelConfig, Request, ServerHandle, Tensor};
use std::fs;

fn threads() -> usize {
    fs::read_dir("/proc/self/task").map_or(0, Iterator::count)
}

#[test]
fn a_thousand_idle_models_are_served_by_fewer_than_twenty_threads() {
    let server = ServerHandle::builder().start().unwrap();
    let models: Vec<_> = (0..1000)
        .map(|index| {
            let config = ModelConfig::new(format!("m{index}")).instances(4);
            let config = config.input("x", DataType::Int64, [1]).output("y", DataType::Int64, [1]);
            let function = move |batch: &inferlay::ModelBatch<'_>| {
                let x = batch.input("x")?.as_slice::<i64>()?[0];
                batch.output("y", [1])?.as_mut_slice::<i64>()?[0] = x + index;
                Ok(())
            };
            server.register_model(config, function).unwrap()
        })
        .collect();
    assert_eq!(server.workers_len(), 0);
    for (index, model) in (0i64..).zip(&models) {
        let ask = || Request::new().input("x", Tensor::from_vec(vec![7i64], [1]).unwrap());
        let response = if index % 2 == 0 { model.infer(ask()) } else { model.infer_async(ask()).unwrap().wait() };
        assert_eq!(response.unwrap().slice::<i64>("y").unwrap(), [7 + index]);
    }
    let count = threads();
    assert!((1..20).contains(&count), "{count} threads");
    assert!(server.is_ready() && server.models().len() == 1000);
}
