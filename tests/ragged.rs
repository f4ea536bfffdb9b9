//! Ragged batches: requests of different shapes in one batch, inputs that tell the model of them, and outputs that are
//! handed out by their shapes.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may unwrap")]

mod common;

use common::{PATIENCE, finishes};
use inferlay::config::{BatchInputKind, DynamicBatching, TensorConfig, parse};
use inferlay::{DataType, Error, Input, ModelBatch, ModelConfig, ModelHandle, Request, ServerHandle, Tensor};
use proptest::prelude::*;
use std::sync::{Arc, Mutex};

/// Ragged numbers `x` of these dims, what the batch tells of them, and numbers `y` of the same dims by the shape of `x`.
fn config(dims: &[i64], rows_max: usize) -> ModelConfig {
    let text = "{input: {name: x}, batch_input: [
        {kind: BATCH_ACCUMULATED_ELEMENT_COUNT_WITH_ZERO, target_name: ends, data_type: INT32, source_input: x},
        {kind: BATCH_ITEM_SHAPE, target_name: [shapes, again], data_type: FP32, source_input: x}],
        batch_output: {target_name: y, source_input: x}}";
    let said = parse("config.yaml", text).unwrap();
    let batching = DynamicBatching { delay_us_max: 60_000_000, ..DynamicBatching::default() };
    let mut config = ModelConfig::new("m").max_batch_size(rows_max).dynamic_batching(batching);
    let x = TensorConfig { allow_ragged_batch: true, ..TensorConfig::new("x", DataType::Int32, dims) };
    (config.inputs, config.outputs) = (vec![x], vec![TensorConfig::new("y", DataType::Int32, dims)]);
    (config.batch_inputs, config.batch_outputs) = (said.batch_inputs, said.batch_outputs);
    config
}

/// The same, each request in a batch of its own.
fn alone(rows_max: usize) -> ModelConfig {
    let mut config = config(&[-1], rows_max);
    config.dynamic_batching = None;
    config
}

/// What one batch was like: the elements, where those of each request end, the shapes of the rows.
type Seen = Arc<Mutex<Vec<(Vec<i32>, Vec<i32>, Vec<f32>)>>>;

/// Adds to each element the number of its request in the batch, times a million.
fn numbered(batch: &ModelBatch<'_>, seen: &Seen) -> Result<(), Error> {
    let (x, ends) = (batch.input("x")?, batch.input("ends")?.as_slice::<i32>()?);
    let (elements, shapes) = (x.as_slice::<i32>()?, batch.input("shapes")?);
    assert_eq!((x.shape().len(), shapes.shape()[0], ends.len()), (1, batch.rows(), batch.len() + 1));
    assert_eq!(batch.input("again")?.as_slice::<f32>()?, shapes.as_slice::<f32>()?);
    let mut y = elements.to_vec();
    for (number, span) in ends.windows(2).enumerate() {
        y[span[0] as usize..span[1] as usize].iter_mut().for_each(|y| *y += 1_000_000 * number as i32);
    }
    seen.lock().unwrap().push((elements.to_vec(), ends.to_vec(), shapes.as_slice::<f32>()?.to_vec()));
    batch.set_output("y", Tensor::from_vec(y, [elements.len()])?)
}

fn numbers(shape: &[usize], first: i32) -> Tensor {
    Tensor::from_vec((first..first + shape.iter().product::<usize>() as i32).collect(), shape).unwrap()
}

fn ask(shape: &[usize], first: i32) -> Request<'static> {
    Request::new().input("x", numbers(shape, first))
}

#[test]
fn requests_of_different_shapes_share_a_batch_and_each_gets_its_own_back() {
    finishes(|| {
        let server = ServerHandle::builder().start().unwrap();
        let (seen, shown) = (Seen::default(), Seen::default());
        let look = seen.clone();
        let model = server.register_model(config(&[-1, -1], 4), move |batch| numbered(batch, &look)).unwrap();
        let shapes: [&[usize]; 3] = [&[1, 3, 2], &[2, 1, 4], &[1, 0, 1]];
        let futures: Vec<_> = (0..3).map(|at| model.infer_async(ask(shapes[at], 100 * at as i32)).unwrap()).collect();
        for (at, future) in futures.into_iter().enumerate() {
            let response = future.wait().unwrap();
            let y = response.output("y").unwrap();
            let first = 1_000_100 * at as i32;
            assert_eq!(&y.shape()[..], shapes[at]);
            assert!(
                y.as_slice::<i32>()
                    .unwrap()
                    .iter()
                    .copied()
                    .eq(first..first + shapes[at].iter().product::<usize>() as i32)
            );
        }
        let x = (0..6).chain(100..108).collect();
        shown.lock().unwrap().push((x, vec![0, 6, 14, 14], vec![3.0, 2.0, 1.0, 4.0, 1.0, 4.0, 0.0, 1.0]));
        assert_eq!(*seen.lock().unwrap(), *shown.lock().unwrap());
    });
}

#[test]
fn every_kind_is_told_to_a_closure() {
    finishes(|| {
        let kinds: [(&str, &[usize], &[i32]); 6] = [
            ("ELEMENT_COUNT", &[3], &[6, 8, 0]),
            ("ACCUMULATED_ELEMENT_COUNT", &[3], &[6, 14, 14]),
            ("ACCUMULATED_ELEMENT_COUNT_WITH_ZERO", &[4], &[0, 6, 14, 14]),
            ("MAX_ELEMENT_COUNT_AS_SHAPE", &[8], &[0; 8]),
            ("ITEM_SHAPE", &[4, 2], &[3, 2, 1, 4, 1, 4, 0, 1]),
            ("ITEM_SHAPE_FLATTEN", &[8], &[3, 2, 1, 4, 1, 4, 0, 1]),
        ];
        let told = kinds.map(|(kind, ..)| {
            format!("{{kind: BATCH_{kind}, target_name: {kind}, data_type: INT32, source_input: x}}")
        });
        let text = format!("{{input: {{name: x}}, batch_input: [{}]}}", told.join(", "));
        let mut config = config(&[-1, -1], 4);
        config.batch_inputs = parse("config.yaml", &text).unwrap().batch_inputs;
        let server = ServerHandle::builder().start().unwrap();
        let model = server.register_model(config, move |batch| {
            for (kind, shape, values) in kinds {
                let input = batch.input(kind)?;
                assert_eq!((&input.shape()[..], input.as_slice::<i32>()?), (shape, values), "{kind}");
            }
            batch.set_output("y", batch.input("x")?.to_tensor())
        });
        let model = model.unwrap();
        let shapes: [&[usize]; 3] = [&[1, 3, 2], &[2, 1, 4], &[1, 0, 1]];
        let futures = shapes.map(|shape| model.infer_async(ask(shape, 0)).unwrap());
        futures.into_iter().for_each(|future| drop(future.wait().unwrap()));
    });
}

#[test]
fn a_request_alone_is_one_dim_as_well_over_the_callers_memory() {
    let server = ServerHandle::builder().start().unwrap();
    let places = Arc::new(Mutex::new(Vec::new()));
    let look = places.clone();
    let config = alone(8);
    let model = server
        .register_model(config, move |batch| {
            look.lock().unwrap().push(batch.input("x")?.bytes()?.as_ptr().addr());
            numbered(batch, &Seen::default())
        })
        .unwrap();
    let (x, mut lent) = ([1, 2, 3, 4, 5, 6], [0; 6]);
    let request = || Request::new().input("x", Input::from_slice(&x, [2, 3]).unwrap());
    assert_eq!(model.infer(request()).unwrap().output("y").unwrap().shape()[..], [2, 3]);
    model.infer(request().output_into("y", &mut lent)).unwrap();
    assert_eq!((lent, &places.lock().unwrap()[..]), (x, &[x.as_ptr().addr(); 2][..]));
    assert_eq!(model.statistics().unwrap().bytes_copied, 24);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn whatever_the_shapes_every_request_gets_its_own_rows(
        shapes in prop::collection::vec((1..=3usize, 0..=5usize, 0..=900usize), 1..24),
        reshaped in any::<bool>(),
        pulled in any::<bool>(),
    ) {
        finishes(move || {
            let server = ServerHandle::builder().start().unwrap();
            let batching = DynamicBatching { delay_us_max: 0, ..DynamicBatching::default() };
            let mut config = config(&[-1, -1], 8).dynamic_batching(batching);
            if reshaped {
                // What clients have as [a, b], the model has as [a, 1, b].
                for tensor in config.inputs.iter_mut().chain(&mut config.outputs) {
                    tensor.reshape = Some(vec![-1, 1, -1]);
                }
            }
            let model = if pulled { pull(&server, config) } else {
                server.register_model(config, |batch| numbered(batch, &Seen::default())).unwrap()
            };
            let mut first = 0;
            let futures: Vec<_> = shapes.iter().map(|(rows, height, width)| {
                let (shape, begin) = ([*rows, *height, *width], first);
                first += shape.iter().product::<usize>() as i32;
                (shape, begin, model.infer_async(ask(&shape, begin)).unwrap())
            }).collect();
            for (shape, begin, future) in futures {
                let response = future.wait().unwrap();
                let y = response.output("y").unwrap();
                assert_eq!(y.shape()[..], shape);
                let elements = y.as_slice::<i32>().unwrap();
                assert!(elements.iter().map(|y| y % 1_000_000).eq((begin..).take(elements.len())));
                let number = elements.first().map(|y| y / 1_000_000);
                assert!(elements.iter().all(|y| Some(y / 1_000_000) == number));
            }
        });
    }
}

/// The same model, whose batches a thread of the application pulls.
fn pull(server: &ServerHandle, config: ModelConfig) -> ModelHandle {
    let queue = server.register_pulled_model(config).unwrap();
    std::thread::spawn(move || {
        while let Some(batch) = queue.next(PATIENCE).unwrap() {
            numbered(&batch.view(), &Seen::default()).unwrap();
            batch.answer().unwrap();
        }
    });
    server.model("m").unwrap()
}

#[test]
fn requests_that_differ_in_another_input_do_not_share_a_batch() {
    finishes(|| {
        let server = ServerHandle::builder().start().unwrap();
        let mut config = config(&[-1], 2);
        config.inputs.push(TensorConfig::new("z", DataType::Int32, [-1]));
        let model = server.register_model(config, |batch| {
            assert_eq!(batch.len(), 2);
            numbered(batch, &Seen::default())
        });
        let model = model.unwrap();
        let ask = |x: usize, z: usize| model.infer_async(ask(&[1, x], 0).input("z", numbers(&[1, z], 0))).unwrap();
        // Of four requests those with the same `z` fill a batch.
        let futures = [ask(1, 1), ask(2, 2), ask(3, 1), ask(4, 2)];
        let numbers = futures.map(|future| future.wait().unwrap().slice::<i32>("y").unwrap()[0] / 1_000_000);
        assert_eq!(numbers, [0, 0, 1, 1]);
    });
}

#[test]
fn strings_are_ragged_too() {
    finishes(|| {
        let server = ServerHandle::builder().start().unwrap();
        let mut config = config(&[-1], 2);
        config.inputs[0].data_type = DataType::Bytes;
        config.outputs[0].data_type = DataType::Bytes;
        let model =
            server.register_model(config, |batch| batch.set_output("y", batch.input("x")?.to_tensor())).unwrap();
        let ask = |words: &[&str]| {
            let x = Tensor::from_strings(words, [1, words.len()]).unwrap();
            model.infer_async(Request::new().input("x", x)).unwrap()
        };
        let futures = [(ask(&["to", "", "be"]), 3), (ask(&["or"]), 1)];
        for (future, len) in futures {
            let response = future.wait().unwrap();
            assert_eq!(response.output("y").unwrap().shape()[..], [1, len]);
            let words: Vec<_> = response.output("y").unwrap().strings().unwrap().map(<[u8]>::to_vec).collect();
            assert_eq!(words.concat(), if len == 3 { &b"tobe"[..] } else { b"or" });
        }
    });
}

#[test]
fn what_does_not_fit_is_refused_with_place_found_and_expected() {
    let server = ServerHandle::builder().start().unwrap();
    let shape = Arc::new(Mutex::new((vec![5usize], DataType::Int32)));
    let answer = shape.clone();
    let model = server.register_model(alone(4), move |batch| {
        let (shape, dtype) = answer.lock().unwrap().clone();
        let len = shape.iter().product();
        match dtype {
            DataType::Int32 => batch.set_output("y", Tensor::from_vec(vec![0i32; len], &shape[..])?),
            _ => batch.set_output("y", Tensor::from_vec(vec![0f32; len], &shape[..])?),
        }
    });
    let model = model.unwrap();
    let refused = |request: Request<'static>| model.infer(request).unwrap_err().message().to_owned();
    let place = "model 'm' version 1";
    assert_eq!(
        refused(ask(&[2, 2], 0)),
        format!("{place}: output 'y': found shape [5], expected 4 elements, as the requests have")
    );
    *shape.lock().unwrap() = (vec![4], DataType::Fp32);
    assert_eq!(refused(ask(&[2, 2], 0)), format!("{place}: output 'y': found FP32, expected INT32"));
    let ends = Tensor::from_vec(vec![0i32, 4], [2, 1]).unwrap();
    let expected = "found it in a request, expected the batch to make it (batch_input)";
    assert_eq!(refused(ask(&[2, 2], 0).input("ends", ends.clone())), format!("{place}: input 'ends': {expected}"));
    assert_eq!(refused(ask(&[2, 2], 0).input("shapes", ends)), format!("{place}: input 'shapes': {expected}"));
    assert_eq!(
        refused(ask(&[2, 2], 0).input("end", numbers(&[2], 0))),
        format!("{place}: input 'end' not found; known: x")
    );
    *shape.lock().unwrap() = (vec![2, 2], DataType::Int32);
    assert!(model.infer(ask(&[2, 2], 0)).is_ok());
}

#[test]
fn a_shape_that_cannot_be_told_of_fails_nobody_else() {
    finishes(|| {
        let server = ServerHandle::builder().start().unwrap();
        let model = server.register_model(config(&[-1, -1], 2), |batch| numbered(batch, &Seen::default())).unwrap();
        let others = [0, 100].map(|first| {
            let future = model.infer_async(ask(&[1, 2, 3], first)).unwrap();
            let empty = Tensor::from_vec(Vec::<i32>::new(), [1, 1 << 40, 0]).unwrap();
            assert_eq!(
                model.infer(Request::new().input("x", empty)).unwrap_err().message(),
                "model 'm' version 1: input 'x': found shape [1, 1099511627776, 0], expected dims and sizes of at most \
                 2147483647 in a ragged batch"
            );
            future
        });
        assert!(others.into_iter().all(|other| other.wait().is_ok()));
    });
}

#[test]
fn what_tells_of_a_batch_wants_a_model_that_batches() {
    let server = ServerHandle::builder().start().unwrap();
    let error = server.register_model(alone(0), |_| Ok(())).unwrap_err().to_string();
    let expected = "found it with max_batch_size: 0, expected a model that batches";
    assert!(error.contains(&format!("batch_input: {expected}")), "{error}");
    assert!(error.contains(&format!("batch_output: {expected}")), "{error}");
}

#[test]
fn a_request_that_fails_alone_leaves_the_others_their_parts() {
    finishes(|| {
        let server = ServerHandle::builder().start().unwrap();
        let model = server.register_model(config(&[-1], 3), |batch| {
            batch.fail(1, Error::invalid_arg("not this one"));
            numbered(batch, &Seen::default())
        });
        let model = model.unwrap();
        let futures = [2usize, 5, 3].map(|len| model.infer_async(ask(&[1, len], 10 * len as i32)).unwrap());
        let answers = futures.map(|future| future.wait().map(|response| response.slice::<i32>("y").unwrap().to_vec()));
        assert_eq!(answers[0].as_ref().unwrap()[..], [20, 21]);
        assert_eq!(answers[1].as_ref().unwrap_err().message(), "not this one");
        assert_eq!(answers[2].as_ref().unwrap()[..], [2_000_030, 2_000_031, 2_000_032]);
    });
}

#[test]
fn a_repository_says_it_as_triton_does() {
    let config = "backend: 'null' max_batch_size: 8 dynamic_batching { }
        input { name: 'INPUT' data_type: TYPE_FP32 dims: [ -1 ] allow_ragged_batch: true }
        output { name: 'INPUT' data_type: TYPE_FP32 dims: [ -1 ] }
        output { name: 'INDEX' data_type: TYPE_FP32 dims: [ ] }
        batch_input { kind: BATCH_ACCUMULATED_ELEMENT_COUNT target_name: 'INDEX' data_type: TYPE_FP32 source_input: 'INPUT' }
        batch_output { target_name: 'INPUT' kind: BATCH_SCATTER_WITH_INPUT_SHAPE source_input: 'INPUT' }";
    let files = [("config.pbtxt", config.as_bytes().to_vec()), ("1/model.bin", Vec::new())];
    let server = ServerHandle::builder().model_in_memory("m", files).strict().start().unwrap();
    let model = server.model("m").unwrap();
    let metadata = model.metadata().unwrap();
    assert_eq!((metadata.inputs.len(), &metadata.inputs[0].shape[..]), (1, &[-1, -1][..]));
    let config = model.config().unwrap();
    let (kind, targets) = (config.batch_inputs[0].kind, &config.batch_outputs[0].targets[..]);
    assert_eq!((kind, targets), (BatchInputKind::AccumulatedElementCount, &["INPUT".to_owned()][..]));
    let x = Tensor::from_vec(vec![1.0f32, 2.0, 3.0], [1, 3]).unwrap();
    let response = model.infer(Request::new().input("INPUT", x)).unwrap();
    assert_eq!(
        (response.slice::<f32>("INPUT").unwrap(), response.slice::<f32>("INDEX").unwrap()),
        (&[1.0, 2.0, 3.0][..], &[3.0][..])
    );
}
