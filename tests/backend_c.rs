//! The backend in C of `examples/backend_c`, built as a stranger builds it: alone and in batches, at once and later, with
//! every kind of memory, cancelled, too late, stopped.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may unwrap")]

mod common;
#[path = "common/native.rs"]
mod native;

use common::{eventually, finishes};
use inferlay::{
    Error, ErrorKind, Input, LogLevel, ManualClock, ModelHandle, ParameterValue, Request, Response, ServerBuilder,
    ServerHandle, Tensor,
};
use native::MOVING_AVERAGE;
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);
const LONG: Duration = Duration::from_secs(3600);

/// Both ways of answering.
const WAYS: [&str; 2] = ["at_once", "later"];

/// Values and a window that take a processor a quarter of an hour: only giving up ends it in time.
const ENDLESS: usize = 1_000_000;

fn config(answers: &str, more: &str) -> String {
    format!(
        "backend: moving_average\nmax_batch_size: 8\n\
         parameters: {{window: {{string_value: '2'}}, answers: {{string_value: {answers}}}}}\n{more}"
    )
}

fn builder(config: &str) -> ServerBuilder {
    let files = [("config.yaml", config.as_bytes().to_vec())];
    ServerHandle::builder().backend_directory(MOVING_AVERAGE.built()).model_in_memory("m", files).strict()
}

fn served(builder: ServerBuilder) -> (ServerHandle, ModelHandle) {
    let server = builder.start().unwrap();
    let model = server.model("m").unwrap();
    (server, model)
}

/// What the backend should make of one row.
fn smoothed(row: &[f32], window: usize) -> Vec<f32> {
    let mean = |part: &[f32]| (part.iter().map(|x| f64::from(*x)).sum::<f64>() / part.len() as f64) as f32;
    (0..row.len()).map(|i| mean(&row[(i + 1).saturating_sub(window)..=i])).collect()
}

fn row(seed: usize) -> Vec<f32> {
    (0..7).map(|i| ((seed * 31 + i * 17) % 23) as f32 - 7.5).collect()
}

fn ask<'a>(row: &[f32]) -> Request<'a> {
    Request::new().input("signal", Tensor::from_vec(row.to_vec(), [1, row.len()]).unwrap())
}

fn lend(row: &[f32]) -> Request<'_> {
    Request::new().input("signal", Input::from_slice(row, [1, row.len()]).unwrap())
}

fn ask_endlessly() -> Request<'static> {
    ask(&vec![1.0; ENDLESS]).parameter("window", ParameterValue::Int(ENDLESS as i64))
}

#[track_caller]
fn check(response: Result<Response, Error>, expected: &[f32]) {
    assert_eq!(response.unwrap().slice::<f32>("average").unwrap(), expected);
}

#[test]
fn a_signal_is_smoothed_at_once_and_later() {
    for way in WAYS {
        finishes(move || {
            let (_server, model) = served(builder(&config(way, "")));
            check(model.infer(ask(&[1.0, 3.0, 5.0, 7.0])), &[1.0, 2.0, 4.0, 6.0]);
            check(model.infer(ask(&[5.0])), &[5.0]);
            check(model.infer(ask(&[])), &[]);
            for window in [1, 4, 100] {
                let request = ask(&row(1)).parameter("window", ParameterValue::Int(window));
                check(model.infer(request), &smoothed(&row(1), window as usize));
            }
            let rows = Tensor::from_vec([row(1), row(2)].concat(), [2, 7]).unwrap();
            let both = [smoothed(&row(1), 2), smoothed(&row(2), 2)].concat();
            check(model.infer(Request::new().input("signal", rows)), &both);
        });
    }
}

#[test]
fn requests_share_a_batch_and_each_gets_its_rows_or_its_own_error() {
    for way in WAYS {
        finishes(move || {
            let batching = "dynamic_batching: {max_queue_delay_microseconds: 60000000}";
            let (_server, model) = served(builder(&config(way, batching)).manual_clock(&ManualClock::new()));
            let sent: Vec<_> = (0..8)
                .map(|i| {
                    let window = ParameterValue::Int([3, 0, 1, 4][i % 4]);
                    model.infer_async(ask(&row(i)).parameter("window", window)).unwrap()
                })
                .collect();
            for (i, future) in sent.into_iter().enumerate() {
                match i % 4 {
                    1 => {
                        let error = future.wait().unwrap_err();
                        assert_eq!(error.kind(), ErrorKind::InvalidArg, "{error}");
                        assert!(error.message().contains("parameter 'window'"), "{error}");
                    }
                    other => check(future.wait(), &smoothed(&row(i), [3, 0, 1, 4][other])),
                }
            }
            // The thread of the model may answer before `execute` has returned.
            eventually("it is counted", || model.statistics().unwrap().execution_count > 0);
            let statistics = model.statistics().unwrap();
            assert_eq!((statistics.execution_count, statistics.success.count, statistics.fail.count), (1, 6, 2));
        });
    }
}

#[test]
fn memory_may_be_owned_borrowed_or_the_callers_own() {
    for way in WAYS {
        finishes(move || {
            let (_server, model) = served(builder(&config(way, "")));
            let (x, expected) = (row(3), smoothed(&row(3), 2));
            check(model.infer(ask(&x)), &expected);
            check(model.infer(lend(&x)), &expected);
            let mut y = [0f32; 7];
            model.infer(lend(&x).output_into("average", &mut y)).unwrap();
            assert_eq!(y, expected[..]);
            let mut y = [0f32; 7];
            model.infer(ask(&x).output_into("average", &mut y)).unwrap();
            assert_eq!(y, expected[..]);
            let mut too_small = [0f32; 6];
            let error = model.infer(lend(&x).output_into("average", &mut too_small)).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArg, "{error}");
        });
    }
}

#[test]
fn many_requests_are_answered_by_the_thread_of_the_model() {
    finishes(|| {
        let (server, model) = served(builder(&config("later", "instance_group: {count: 2}\ndynamic_batching: {}")));
        let sent: Vec<_> = (0..200).map(|i| model.infer_async(ask(&row(i))).unwrap()).collect();
        for (i, future) in sent.into_iter().enumerate() {
            check(future.wait(), &smoothed(&row(i), 2));
        }
        server.stop(LONG).unwrap();
        assert_eq!(model.statistics().unwrap().success.count, 200);
    });
}

#[test]
fn who_asks_for_progress_gets_the_last_response_where_only_one_is_served() {
    for way in WAYS {
        finishes(move || {
            let (_server, model) = served(builder(&config(way, "dynamic_batching: {}")));
            let progress = |i| {
                let request = ask(&row(i)).parameter("progress", ParameterValue::Bool(i % 2 == 0));
                model.infer_async(request.parameter("window", ParameterValue::Int(5))).unwrap()
            };
            let sent: Vec<_> = (0..20).map(progress).collect();
            for (i, future) in sent.into_iter().enumerate() {
                check(future.wait(), &smoothed(&row(i), 5));
            }
        });
    }
}

#[test]
fn who_asks_for_progress_of_a_decoupled_model_gets_every_response_in_order() {
    for way in WAYS {
        finishes(move || {
            let decoupled = "model_transaction_policy: {decoupled: true}\ndynamic_batching: {}";
            let (server, model) = served(builder(&config(way, decoupled)));
            let progress = |is_wanted| ask(&row(1)).parameter("progress", ParameterValue::Bool(is_wanted));
            let sent: Vec<_> = (0..20)
                .map(|i| model.infer_stream(progress(i % 2 == 0).parameter("window", ParameterValue::Int(5))).unwrap())
                .collect();
            for (i, responses) in sent.into_iter().enumerate() {
                let windows: &[usize] = if i % 2 == 0 { &[1, 2, 4, 5] } else { &[5] };
                let expected: Vec<_> = windows.iter().map(|window| smoothed(&row(1), *window)).collect();
                let found = responses.map(|response| response.unwrap().slice::<f32>("average").unwrap().to_vec());
                assert_eq!(found.collect::<Vec<_>>(), expected);
            }
            // One that nobody waits for is given up, and one that is too late ends so.
            drop(model.infer_stream(progress(true)).unwrap());
            check(model.infer(ask(&row(0))), &smoothed(&row(0), 2));
            server.stop(LONG).unwrap();
        });
    }
}

#[test]
fn what_nobody_wants_any_more_is_given_up() {
    for way in WAYS {
        finishes(move || {
            let clock = ManualClock::new();
            let (server, model) = served(builder(&config(way, "")).manual_clock(&clock));
            let cancelled = model.infer_async(ask_endlessly()).unwrap();
            eventually("it runs", || model.statistics().unwrap().queue_len == 0);
            cancelled.cancel();
            assert_eq!(cancelled.wait().unwrap_err().kind(), ErrorKind::Cancelled);
            let late = model.infer_async(ask_endlessly().timeout(MS)).unwrap();
            eventually("it runs", || model.statistics().unwrap().queue_len == 0);
            clock.advance(2 * MS);
            assert_eq!(late.wait().unwrap_err().kind(), ErrorKind::Timeout);
            check(model.infer(ask(&row(0))), &smoothed(&row(0), 2));
            server.stop(LONG).unwrap();
        });
    }
}

#[test]
fn a_stop_answers_for_the_backend_which_gives_up_what_it_has() {
    finishes(|| {
        let (log, told) = mpsc::channel();
        let noted = builder(&config("later", "")).log(move |record| _ = log.send(record.message.to_owned()));
        let (server, model) = served(noted.manual_clock(&ManualClock::new()));
        let sent: Vec<_> = (0..3).map(|_| model.infer_async(ask_endlessly()).unwrap()).collect();
        eventually("all are in flight", || model.statistics().unwrap().execution_count == 3);
        let error = server.stop(Duration::ZERO).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout, "{error}");
        for future in sent {
            assert_eq!(future.wait().unwrap_err().kind(), ErrorKind::Unavailable);
        }
        drop((server, model));
        // The thread of the model lets the last request go, and the backend end with it, from inside the host.
        eventually("it ends", || told.try_iter().any(|line| line.contains("3 outputs handed over, 3 returned")));
    });
}

#[test]
fn memory_of_the_backend_outlives_the_server_and_returns_before_the_backend_ends() {
    finishes(|| {
        let log = Arc::new(Mutex::new(Vec::new()));
        let sink = log.clone();
        let told = builder(&config("later", ""))
            .log(move |record| sink.lock().unwrap().push((record.level, record.message.to_owned())));
        let (server, model) = served(told);
        // Larger than what is copied into a response.
        let long = vec![1.0; 10_000];
        let kept = model.infer(ask(&long)).unwrap();
        let refused = model.infer(ask(&long).output_into("average", &mut [0f32; 1])).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::InvalidArg);
        server.stop(LONG).unwrap();
        drop((server, model));
        assert!(log.lock().unwrap().iter().all(|(_, message)| !message.contains("handed over")));
        assert_eq!(kept.slice::<f32>("average").unwrap(), long);
        drop(kept);
        let last = log.lock().unwrap().pop().unwrap();
        assert_eq!(last, (LogLevel::Verbose, "moving_average: 2 outputs handed over, 2 returned".to_owned()));
    });
}

#[test]
fn what_the_config_says_wrongly_is_refused_by_name() {
    let rows = [
        ("window: {string_value: '0'}", "parameter 'window': expected a whole number from 1"),
        ("window: {string_value: 'wide'}", "parameter 'window': expected a whole number from 1"),
        ("window: {string_value: '99999999999999999999'}", "parameter 'window': expected a whole number from 1"),
        ("answers: {string_value: 'never'}", "parameter 'answers': found 'never', expected at_once or later"),
    ];
    for (parameter, expected) in rows {
        let config = format!("backend: moving_average\nparameters: {{{parameter}}}");
        let error = builder(&config).start().map(drop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArg);
        assert!(error.message().contains(expected), "{error}");
    }
}
