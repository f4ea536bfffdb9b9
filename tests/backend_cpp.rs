//! The backend in C++ of `examples/backend_cpp`, built as a stranger builds it: texts in batches, and exceptions that stay
//! inside.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may unwrap")]

mod common;
#[path = "common/native.rs"]
mod native;

use common::finishes;
use inferlay::{ErrorKind, ManualClock, ModelHandle, Request, Response, ServerBuilder, ServerHandle, Tensor};
use native::UPPERCASE;

fn builder(config: &str) -> ServerBuilder {
    let config = format!("backend: uppercase\nmax_batch_size: 4\n{config}");
    let files = [("config.yaml", config.into_bytes())];
    ServerHandle::builder().backend_directory(UPPERCASE.built()).model_in_memory("m", files).strict()
}

fn served(config: &str) -> (ServerHandle, ModelHandle) {
    let server = builder(config).manual_clock(&ManualClock::new()).start().unwrap();
    let model = server.model("m").unwrap();
    (server, model)
}

fn ask(texts: &[&str]) -> Request<'static> {
    Request::new().input("text", Tensor::from_strings(texts, [1, texts.len()]).unwrap())
}

fn texts(response: &Response) -> Vec<&str> {
    let strings = response.output("capitals").unwrap().strings().unwrap();
    strings.map(|text| std::str::from_utf8(text).unwrap()).collect()
}

#[test]
fn texts_come_back_in_capitals() {
    finishes(|| {
        let (server, model) = served("parameters: {suffix: {string_value: '!'}}");
        let response = model.infer(ask(&["one", "", "zwölf"])).unwrap();
        assert_eq!(texts(&response), ["ONE!", "!", "ZWöLF!"]);
        let none = model.infer(ask(&[])).unwrap();
        assert!(texts(&none).is_empty());
        // The memory is the plugin's, and outlives the server.
        drop((server, model));
        assert_eq!(texts(&response), ["ONE!", "!", "ZWöLF!"]);
    });
}

#[test]
fn each_request_of_a_batch_gets_its_texts() {
    finishes(|| {
        let (_server, model) = served("dynamic_batching: {max_queue_delay_microseconds: 60000000}");
        let sent = ["a", "bc", "", "def"].map(|text| (text, model.infer_async(ask(&[text])).unwrap()));
        for (text, future) in sent {
            assert_eq!(texts(&future.wait().unwrap()), [text.to_uppercase()]);
        }
        assert_eq!(model.statistics().unwrap().batch_sizes.into_keys().collect::<Vec<_>>(), [4]);
    });
}

#[test]
fn an_exception_becomes_an_error() {
    let error = builder("parameters: {suffix: {string_value: \"a\\nb\"}}").start().map(drop).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::InvalidArg);
    assert!(error.message().contains("parameter 'suffix': found a line end, expected one line"), "{error}");
}
