//! Values through the server and back: every data type, every kind of shape, copied or viewed, alone or in a batch.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may unwrap")]

mod common;

use common::{Gate, finishes};
use inferlay::config::DynamicBatching;
use inferlay::{
    Buffer, DataType, Input, ModelConfig, ModelHandle, Request, ResponseFuture, ServerHandle, Tensor, TensorRef,
};
use proptest::prelude::*;

/// A model `echo` of the null backend, whose batches wait at no gate.
fn null(dtype: DataType, dims: &str, config: &str) -> (ServerHandle, ModelHandle) {
    let text = format!(
        "backend: \"null\"\ninput: {{name: x, data_type: {}, dims: {dims}}}\n\
         output: {{name: y, data_type: {0}, dims: {dims}}}\n{config}",
        match dtype {
            DataType::Bytes => "TYPE_STRING".to_owned(),
            dtype => format!("TYPE_{dtype}"),
        }
    );
    let folder = common::Folder::with(&[("echo/config.yaml", &text)]);
    let server = ServerHandle::builder().repository(folder.path()).strict().start().unwrap();
    let model = server.model("echo").unwrap();
    (server, model)
}

/// A tensor with these dims whose bytes tell their places.
fn numbered(dtype: DataType, dims: &[usize], from: usize) -> Tensor {
    let elements: usize = dims.iter().product();
    match dtype.size() {
        Some(size) => {
            let bytes: Vec<u8> = (0..elements * size).map(|i| (from + i) as u8).collect();
            Tensor::new(dtype, dims, Buffer::copy_of(&bytes)).unwrap()
        }
        None => {
            let word = |i: usize| "x".repeat((from + i) % 5) + &format!("{i}");
            let words = (0..elements).map(|i| if (from + i).is_multiple_of(4) { String::new() } else { word(i) });
            Tensor::from_strings(words, dims).unwrap()
        }
    }
}

/// The bytes of a tensor, or its strings one after the other with their lengths.
fn content(tensor: &TensorRef<'_>) -> Vec<u8> {
    match tensor.dtype() {
        DataType::Bytes => tensor.strings().unwrap().flat_map(|word| [&[word.len() as u8], word].concat()).collect(),
        _ => tensor.bytes().unwrap().to_vec(),
    }
}

fn check_echo(outcome: Result<inferlay::Response, inferlay::Error>, expected: &Tensor) {
    let response = outcome.unwrap();
    let y = response.output("y").unwrap();
    assert_eq!((y.dtype(), y.shape()), (expected.dtype(), expected.shape()));
    assert_eq!(content(&y), content(&expected.view()), "{}", y.dtype());
}

#[test]
fn every_data_type_and_shape_comes_back_as_it_went() {
    for dtype in DataType::all() {
        for (dims, shapes) in [
            ("[]", &[&[][..]][..]),
            ("[3]", &[&[3]]),
            ("[0]", &[&[0]]),
            ("[2, 0, 3]", &[&[2, 0, 3]]),
            ("[-1, 2]", &[&[0, 2], &[1, 2], &[7, 2]]),
            ("[2, -1, -1]", &[&[2, 0, 0], &[2, 3, 1]]),
            ("[1, 1, 1, 1, 1, 1, 1, 1, 2]", &[&[1, 1, 1, 1, 1, 1, 1, 1, 2]]),
        ] {
            let (_server, model) = null(dtype, dims, "");
            for shape in shapes {
                let x = numbered(dtype, shape, 1);
                check_echo(model.infer(Request::new().input("x", x.clone())), &x);
                check_echo(model.infer_async(Request::new().input("x", x.clone())).unwrap().wait(), &x);
            }
        }
    }
}

/// A model that echoes `x` behind a gate, in batches of up to 64 rows.
fn gated_echo(server: &ServerHandle, gate: &Gate, dtype: DataType, dims: Vec<i64>) -> ModelHandle {
    let config = ModelConfig::new("echo").input("x", dtype, dims.clone()).output("y", dtype, dims);
    let config = config.max_batch_size(64).dynamic_batching(DynamicBatching::default());
    let gate = gate.clone();
    let function = move |batch: &inferlay::ModelBatch<'_>| {
        gate.pass();
        batch.set_output("y", batch.input("x")?.to_tensor())
    };
    server.register_model(config, function).unwrap()
}

/// Submits all but the first tensor as one batch, and returns what comes back.
fn batched(model: &ModelHandle, gate: &Gate, tensors: &[Tensor]) -> Vec<inferlay::Response> {
    let submit = |tensor: &Tensor| model.infer_async(Request::new().input("x", tensor.clone())).unwrap();
    let come = gate.come();
    let first = submit(&tensors[0]);
    gate.await_come(come + 1);
    let futures: Vec<_> = tensors[1..].iter().map(submit).collect();
    gate.admit(2);
    let futures = std::iter::once(first).chain(futures);
    futures.map(|future| future.wait().unwrap()).collect()
}

#[test]
fn rows_of_every_data_type_are_joined_and_handed_out_again() {
    for small_max in [0, 1 << 20] {
        for dtype in DataType::all() {
            finishes(move || {
                let (gate, server) =
                    (Gate::new(), ServerHandle::builder().small_output_len_max(small_max).start().unwrap());
                let model = gated_echo(&server, &gate, dtype, vec![2, -1]);
                for width in [0, 3] {
                    let tensors: Vec<_> = [1, 1, 4, 2, 9].map(|rows| numbered(dtype, &[rows, 2, width], rows)).into();
                    let responses = batched(&model, &gate, &tensors);
                    for (tensor, response) in tensors.iter().zip(responses) {
                        check_echo(Ok(response), tensor);
                    }
                }
                let sizes = model.statistics().unwrap().batch_sizes;
                assert_eq!(sizes.into_iter().collect::<Vec<_>>(), [(1, 2), (16, 2)], "{dtype}");
            });
        }
    }
}

#[test]
fn large_rows_are_views_of_one_output_and_small_ones_copies() {
    finishes(|| {
        let (gate, server) = (Gate::new(), ServerHandle::builder().start().unwrap());
        let model = gated_echo(&server, &gate, DataType::Uint8, vec![-1]);
        for (width, are_views) in [(4096, false), (4097, true)] {
            let tensors = [0, 1, 2].map(|from| numbered(DataType::Uint8, &[1, width], from));
            let responses = batched(&model, &gate, &tensors);
            let place = |index: usize| responses[index].output("y").unwrap().data().pointer().as_ptr() as usize;
            assert_eq!(place(2).wrapping_sub(place(1)) == width, are_views, "{width}");
            let mut responses = responses.into_iter();
            let (_alone, view, other) = (responses.next(), responses.next().unwrap(), responses.next());
            let kept = view.tensor("y").unwrap();
            drop((view, other));
            assert_eq!(content(&kept.view()), content(&tensors[1].view()));
        }
    });
}

fn lent(x: &[i32]) -> Request<'_> {
    Request::new().input("x", Input::from_slice(x, [2, 2]).unwrap())
}

#[test]
fn outputs_go_into_the_callers_memory_from_a_batch_of_one_and_of_many() {
    finishes(|| {
        let (gate, server) = (Gate::new(), ServerHandle::builder().start().unwrap());
        let model = gated_echo(&server, &gate, DataType::Int32, vec![2]);
        gate.open();
        let mut memory = [7i32; 6];
        let x = [1i32, 2, 3, 4];
        let response = model.infer(lent(&x).output_into("y", &mut memory)).unwrap();
        assert_eq!(response.outputs().count(), 0);
        drop(response);
        assert_eq!(memory, [1, 2, 3, 4, 7, 7]);
        let mut short = [0i32; 3];
        let error = model.infer(lent(&x).output_into("y", &mut short)).unwrap_err();
        assert!(error.message().ends_with("found 12 bytes of the caller's memory, expected 16"), "{error}");
        let error =
            model.infer(lent(&x).output_into("y", &mut [0i32; 4]).output_into("y", &mut [0i32; 4])).unwrap_err();
        assert!(error.message().contains("output 'y' has memory twice"), "{error}");
    });
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(48) })]

    #[test]
    fn a_batch_answers_each_request_as_if_it_were_alone(
        rows in proptest::collection::vec(1usize..8, 2..8),
        inner in proptest::collection::vec(0usize..4, 0..3),
        dtype in 0usize..14,
        small_max in prop_oneof![Just(0usize), Just(16), Just(4096)],
    ) {
        let dtype = DataType::all().nth(dtype).unwrap();
        finishes(move || {
            let (gate, server) = (Gate::new(), ServerHandle::builder().small_output_len_max(small_max).start().unwrap());
            let model = gated_echo(&server, &gate, dtype, inner.iter().map(|_| -1).collect());
            let shape = |rows: usize| [&[rows], &inner[..]].concat();
            let tensors: Vec<_> = rows.iter().enumerate().map(|(i, rows)| numbered(dtype, &shape(*rows), i)).collect();
            let responses = batched(&model, &gate, &tensors);
            gate.open();
            for (tensor, response) in tensors.iter().zip(responses) {
                let alone = model.infer(Request::new().input("x", tensor.clone())).unwrap();
                let (alone, together) = (alone.output("y").unwrap(), response.output("y").unwrap());
                assert_eq!((alone.shape(), content(&alone)), (together.shape(), content(&together)));
            }
        });
    }

    #[test]
    fn any_sizes_and_orders_are_each_answered_with_their_own_rows(
        sizes in proptest::collection::vec((1usize..=8, 0usize..3), 1..40),
        instances in 1usize..4,
        delay_us in prop_oneof![Just(0u64), Just(50)],
    ) {
        finishes(move || {
            let server = ServerHandle::builder().start().unwrap();
            let config = ModelConfig::new("m").input("x", DataType::Int64, [-1]).output("y", DataType::Int64, [-1]);
            let batching = DynamicBatching { delay_us_max: delay_us, ..DynamicBatching::default() };
            let config = config.max_batch_size(8).instances(instances).dynamic_batching(batching);
            let function = |batch: &inferlay::ModelBatch<'_>| {
                let x = batch.input("x")?;
                let y = batch.output("y", x.shape().clone())?.as_mut_slice::<i64>()?;
                y.iter_mut().zip(x.as_slice::<i64>()?).for_each(|(y, x)| *y = x * x);
                Ok(())
            };
            let model = server.register_model(config, function).unwrap();
            let submit = |(index, (rows, width)): (usize, &(usize, usize))| {
                let values: Vec<_> = (0..rows * width).map(|i| (index * 100 + i) as i64).collect();
                let x = Tensor::from_vec(values.clone(), [*rows, *width]).unwrap();
                (values, model.infer_async(Request::new().input("x", x)).unwrap())
            };
            let futures: Vec<(Vec<i64>, ResponseFuture)> = sizes.iter().enumerate().map(submit).collect();
            for (values, future) in futures {
                let squares: Vec<_> = values.iter().map(|x| x * x).collect();
                assert_eq!(future.wait().unwrap().slice::<i64>("y").unwrap(), squares);
            }
            let statistics = model.statistics().unwrap();
            assert_eq!(statistics.inference_count, sizes.iter().map(|(rows, _)| *rows as u64).sum::<u64>());
            assert!(statistics.batch_sizes.keys().all(|rows| (1..=8).contains(rows)));
        });
    }
}

#[test]
fn traces_tell_when_a_request_passed_its_stations_and_are_json_for_perfetto() {
    let clock = inferlay::ManualClock::new();
    let server = ServerHandle::builder().manual_clock(&clock).trace_every(2).start().unwrap();
    let moving = clock.clone();
    let config = ModelConfig::new("m \"quoted\"").input("x", DataType::Fp32, [1]).output("y", DataType::Fp32, [1]);
    let function = move |batch: &inferlay::ModelBatch<'_>| {
        moving.advance(std::time::Duration::from_micros(3));
        batch.output("y", [1]).map(drop)
    };
    let model = server.register_model(config, function).unwrap();
    let ask = || Request::new().input("x", Tensor::from_vec(vec![1f32], [1]).unwrap()).id("r\n1");
    let traced: Vec<_> = (0..4).map(|_| model.infer(ask()).unwrap().trace().is_some()).collect();
    assert_eq!(traced, [true, false, true, false]);
    server.set_trace_every(0);
    assert!(model.infer(ask()).unwrap().trace().is_none());
    let response = model.infer(ask().traced()).unwrap();
    let trace = response.trace().unwrap();
    assert_eq!((trace.id.as_str(), trace.ended - trace.started, trace.batch_rows), ("r\n1", 3_000, 1));
    assert!(trace.submitted <= trace.started && trace.ended <= trace.answered);
    let json: serde_json::Value = serde_json::from_str(&server.traces_json()).unwrap();
    let events = json["traceEvents"].as_array().unwrap();
    assert_eq!(events.len(), 9);
    for event in events {
        assert!(event["ph"] == "X" && event["cat"] == "m \"quoted\"" && event["args"]["cut"] == "single", "{event}");
        assert!(event["ts"].is_number() && event["dur"].is_number(), "{event}");
    }
}
