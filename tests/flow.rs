//! The corridor through the public door: batching, deadlines, cancels, errors, stop.

#![allow(clippy::unwrap_used, reason = "a test may unwrap")]

use inferlay::config::DynamicBatching;
use inferlay::{DataType, ErrorKind, Input, ModelConfig, Request, ServerHandle, Tensor};
use std::sync::mpsc;
use std::time::Duration;

fn doubling(name: &str) -> ModelConfig {
    ModelConfig::new(name).input("x", DataType::Fp32, [2]).output("y", DataType::Fp32, [2]).max_batch_size(8)
}

fn double(batch: &inferlay::ModelBatch<'_>) -> Result<(), inferlay::Error> {
    let x = batch.input("x")?.as_slice::<f32>()?;
    let y = batch.output("y", [batch.rows(), 2])?.as_mut_slice::<f32>()?;
    y.iter_mut().zip(x).for_each(|(y, x)| *y = 2.0 * x);
    Ok(())
}

fn x(value: f32) -> Tensor {
    Tensor::from_vec(vec![value, value + 0.5], [1, 2]).unwrap()
}

#[test]
fn requests_that_wait_together_are_answered_each_with_its_own_rows() {
    let server = ServerHandle::builder().start().unwrap();
    let (enter, entered) = mpsc::channel::<()>();
    let (leave, left) = mpsc::channel::<()>();
    let gate = std::sync::Mutex::new((enter, left));
    let config = doubling("m").dynamic_batching(DynamicBatching::default());
    let model = server
        .register_model(config, move |batch| {
            let gate = gate.lock().unwrap();
            gate.0.send(()).unwrap();
            gate.1.recv().unwrap();
            double(batch)
        })
        .unwrap();
    let first = model.infer_async(Request::new().input("x", x(0.0))).unwrap();
    entered.recv().unwrap();
    let futures: Vec<_> = (1..6).map(|i| model.infer_async(Request::new().input("x", x(i as f32))).unwrap()).collect();
    leave.send(()).unwrap();
    entered.recv().unwrap();
    leave.send(()).unwrap();
    assert_eq!(first.wait().unwrap().slice::<f32>("y").unwrap(), [0.0, 1.0]);
    for (i, future) in (1..6).zip(futures) {
        assert_eq!(future.wait().unwrap().slice::<f32>("y").unwrap(), [2.0 * i as f32, 2.0 * i as f32 + 1.0]);
    }
    let statistics = model.statistics().unwrap();
    assert_eq!(statistics.batch_sizes.into_iter().collect::<Vec<_>>(), [(1, 1), (5, 1)]);
    server.stop(Duration::from_secs(120)).unwrap();
    let refused = model.infer_async(Request::new().input("x", x(0.0))).unwrap_err();
    assert_eq!(refused.error.kind(), ErrorKind::Unavailable);
}

#[test]
fn a_callback_gets_the_answer_and_a_blocking_call_inside_it_is_refused() {
    let server = ServerHandle::builder().start().unwrap();
    let model = server.register_model(doubling("m"), double).unwrap();
    let (send, receive) = mpsc::channel();
    let inner = model.clone();
    model
        .infer_callback(Request::new().input("x", x(3.0)), move |outcome| {
            let nested = inner.infer(Request::new().input("x", x(1.0))).unwrap_err();
            send.send((outcome.unwrap().slice::<f32>("y").unwrap().to_vec(), nested.kind())).unwrap();
        })
        .unwrap();
    assert_eq!(receive.recv().unwrap(), (vec![6.0, 7.0], ErrorKind::FailedPrecondition));
}

#[test]
fn a_borrowed_input_and_output_memory_pass_through() {
    let server = ServerHandle::builder().start().unwrap();
    let model = server.register_model(doubling("m"), double).unwrap();
    let (x, mut y) = ([1.0f32, 2.0], [0.0f32; 4]);
    let request = Request::new().input("x", Input::from_slice(&x, [1, 2]).unwrap()).output_into("y", &mut y);
    model.infer(request).unwrap();
    assert_eq!(y, [2.0, 4.0, 0.0, 0.0]);
}

#[test]
fn a_panic_answers_its_batch_and_the_model_goes_on() {
    let server = ServerHandle::builder().start().unwrap();
    let model = server
        .register_model(doubling("m"), |batch| {
            assert!(batch.input("x")?.as_slice::<f32>()?[0] >= 0.0, "a negative x");
            double(batch)
        })
        .unwrap();
    let error = model.infer(Request::new().input("x", x(-1.0))).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Panic);
    assert!(error.message().contains("a negative x"), "{error}");
    assert!(model.infer(Request::new().input("x", x(1.0))).is_ok());
}
