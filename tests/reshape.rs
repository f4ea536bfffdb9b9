//! `reshape`: requests have the dims of the config, and the model those of `reshape`, over the same memory.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may unwrap")]

mod common;

use common::finishes;
use inferlay::config::{DynamicBatching, TensorConfig};
use inferlay::{DataType, Input, ModelConfig, Request, ServerHandle, Tensor};
use std::sync::{Arc, Mutex};

fn tensor(name: &str, dims: &[i64], reshape: Option<&[i64]>) -> TensorConfig {
    TensorConfig { reshape: reshape.map(<[_]>::to_vec), ..TensorConfig::new(name, DataType::Int32, dims) }
}

fn config(input: TensorConfig, output: TensorConfig, max_batch_size: usize) -> ModelConfig {
    let mut config = ModelConfig::new("m").max_batch_size(max_batch_size);
    (config.inputs, config.outputs) = (vec![input], vec![output]);
    config
}

/// A row: the dims of the input and what they become; the shape of a request and the one that the model sees; the dims of
/// the output and what they become; the shape that the model answers with and the one of the response.
type Row = (
    usize,
    (&'static [i64], Option<&'static [i64]>),
    [&'static [usize]; 2],
    (&'static [i64], Option<&'static [i64]>),
    [&'static [usize]; 2],
);

const ROWS: &[Row] = &[
    (0, (&[2, 3], Some(&[6])), [&[2, 3], &[6]], (&[6], None), [&[6], &[6]]),
    (0, (&[6], None), [&[6], &[6]], (&[3, 2], Some(&[6])), [&[6], &[3, 2]]),
    (0, (&[1], Some(&[])), [&[1], &[]], (&[1, 1], Some(&[])), [&[], &[1, 1]]),
    (0, (&[-1], Some(&[1, -1])), [&[4], &[1, 4]], (&[-1, 1], Some(&[-1])), [&[4], &[4, 1]]),
    (0, (&[-1, 2, -1], Some(&[-1, 1, 2, -1])), [&[3, 2, 0], &[3, 1, 2, 0]], (&[-1], None), [&[0], &[0]]),
    (8, (&[1], Some(&[])), [&[5, 1], &[5]], (&[1], Some(&[])), [&[5], &[5, 1]]),
    (8, (&[4], Some(&[2, 2])), [&[1, 4], &[1, 2, 2]], (&[2, 1, 2], Some(&[4])), [&[1, 4], &[1, 2, 1, 2]]),
    (
        8,
        (&[-1, 4, -1], Some(&[-1, 2, 2, 1, -1])),
        [&[2, 3, 4, 1], &[2, 3, 2, 2, 1, 1]],
        (&[12], None),
        [&[2, 12], &[2, 12]],
    ),
];

#[test]
fn the_model_sees_other_shapes_over_the_same_memory() {
    for (max_batch_size, input, [asked, seen], output, [answered, given]) in ROWS {
        let server = ServerHandle::builder().start().unwrap();
        let config = config(tensor("x", input.0, input.1), tensor("y", output.0, output.1), *max_batch_size);
        let shown = Arc::new(Mutex::new((Vec::new(), 0)));
        let (shows, answer) = (shown.clone(), answered.to_vec());
        let model = server
            .register_model(config, move |batch| {
                let x = batch.input("x")?;
                *shows.lock().unwrap() = (x.shape().to_vec(), x.bytes()?.as_ptr().addr());
                let mut y = x.as_slice::<i32>()?.to_vec();
                y.reverse();
                batch.set_output("y", Tensor::from_vec(y, &answer[..])?)
            })
            .unwrap();
        let x: Vec<i32> = (0..asked.iter().product::<usize>() as i32).collect();
        let response = model.infer(Request::new().input("x", Input::from_slice(&x, *asked).unwrap())).unwrap();
        assert_eq!(*shown.lock().unwrap(), (seen.to_vec(), x.as_ptr().addr()), "{input:?}");
        let y = response.output("y").unwrap();
        assert_eq!(&y.shape()[..], *given, "{output:?}");
        assert!(y.as_slice::<i32>().unwrap().iter().rev().eq(&x), "{output:?}");
        let metadata = model.metadata().unwrap();
        assert!(metadata.inputs[0].shape.ends_with(input.0) && metadata.outputs[0].shape.ends_with(output.0));
    }
}

#[test]
fn a_request_of_the_models_own_shape_is_refused_and_so_is_an_answer_of_the_requests() {
    let server = ServerHandle::builder().start().unwrap();
    let config = config(tensor("x", &[2, 2], Some(&[4])), tensor("y", &[4], Some(&[2, 2])), 8);
    let model =
        server.register_model(config, |batch| batch.set_output("y", Tensor::from_vec(vec![0i32; 4], [1, 4])?)).unwrap();
    let ask = |shape: &[usize]| {
        let x = Tensor::from_vec(vec![0i32; 4], shape).unwrap();
        model.infer(Request::new().input("x", x)).unwrap_err().message().to_owned()
    };
    assert_eq!(ask(&[1, 4]), "model 'm' version 1: input 'x': found shape [1, 4], expected [batch]+[2, 2]");
    assert_eq!(ask(&[1, 2, 2]), "model 'm' version 1: output 'y': found dims [4], expected [2, 2]");
}

#[test]
fn requests_of_a_batch_are_joined_and_cut_under_the_models_dims() {
    finishes(|| {
        let server = ServerHandle::builder().start().unwrap();
        let batching =
            DynamicBatching { preferred_batch_sizes: vec![6], delay_us_max: 60_000_000, ..Default::default() };
        let config = config(tensor("x", &[2, -1], Some(&[1, 2, -1])), tensor("y", &[-1, 2], Some(&[-1, 1, 2])), 6);
        let shapes = Arc::new(Mutex::new(Vec::new()));
        let shown = shapes.clone();
        let model = server
            .register_model(config.dynamic_batching(batching), move |batch| {
                let x = batch.input("x")?;
                shown.lock().unwrap().push(x.shape().to_vec());
                let y = batch.output("y", [batch.rows(), 3, 1, 2])?.as_mut_slice::<i32>()?;
                y.copy_from_slice(x.as_slice()?);
                Ok(())
            })
            .unwrap();
        let x = |rows: usize, first: i32| {
            Tensor::from_vec((first..first + 6 * rows as i32).collect(), [rows, 2, 3]).unwrap()
        };
        let futures: Vec<_> = [(1, 0), (2, 6), (3, 18)]
            .map(|(rows, first)| (rows, first, model.infer_async(Request::new().input("x", x(rows, first))).unwrap()))
            .into();
        let mut lent = vec![0i32; 36];
        for (rows, first, future) in futures {
            let response = future.wait().unwrap();
            let y = response.output("y").unwrap();
            assert_eq!((&y.shape()[..], y.as_slice::<i32>().unwrap()[0]), (&[rows, 3, 2][..], first));
        }
        assert_eq!(*shapes.lock().unwrap(), [[6, 1, 2, 3]]);
        // Into memory of the caller, too.
        model.infer(Request::new().input("x", x(6, 5)).output_into("y", &mut lent)).unwrap();
        assert!(lent.iter().copied().eq(5..41));
    });
}

#[test]
fn a_request_that_is_answered_later_has_the_clients_shape_as_well() {
    finishes(|| {
        let server = ServerHandle::builder().start().unwrap();
        let config = config(tensor("x", &[1], Some(&[])), tensor("y", &[1], Some(&[])), 4);
        let model = server
            .register_model(config, |batch| {
                let responder = batch.responder(0)?;
                responder.respond([(0, Tensor::from_vec(batch.input("x")?.as_slice::<i32>()?.to_vec(), [2])?)])
            })
            .unwrap();
        let x = Tensor::from_vec(vec![7i32, 8], [2, 1]).unwrap();
        let response = model.infer(Request::new().input("x", x)).unwrap();
        assert_eq!(response.output("y").unwrap().shape()[..], [2, 1]);
    });
}

#[test]
fn a_repository_says_reshape_as_triton_does() {
    let config = "backend: 'null' max_batch_size: 4 input { name: 'x' data_type: TYPE_INT32 dims: [ 1, 2 ] reshape { shape: 2 } } \
                  output { name: 'x' data_type: TYPE_INT32 dims: [ 2, 1 ] reshape { shape: [ 2 ] } }";
    let files = [("config.pbtxt", config.as_bytes().to_vec()), ("1/model.bin", Vec::new())];
    let server = ServerHandle::builder().model_in_memory("m", files).strict().start().unwrap();
    let x = Tensor::from_vec(vec![1i32, 2, 3, 4], [2, 1, 2]).unwrap();
    let response = server.infer("m", Request::new().input("x", x)).unwrap();
    let y = response.output("x").unwrap();
    assert_eq!((&y.shape()[..], y.as_slice::<i32>().unwrap()), (&[2, 2, 1][..], &[1, 2, 3, 4][..]));
}
