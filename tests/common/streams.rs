//! A model that sends several responses per request, which are the test's own.

#![allow(dead_code, reason = "every program uses a part of it")]

use crate::common::{ask, doubling, receive, x};
use inferlay::{
    Error, ErrorKind, ManualClock, ModelBatch, ModelConfig, ModelHandle, Request, Responder, Response, ResponseFlags,
    Responses, ServerHandle,
};
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::Duration;

pub(crate) const MS: Duration = Duration::from_millis(1);
pub(crate) const LONG: Duration = Duration::from_secs(3600);
pub(crate) const MORE: ResponseFlags = ResponseFlags { last: false };
pub(crate) const LAST: ResponseFlags = ResponseFlags { last: true };

/// A server with one model, whose requests are answered by the test.
pub(crate) struct Bench {
    /// Dropped first: the server drains what a responder in here would still have to answer.
    pub(crate) responders: mpsc::Receiver<Responder>,
    pub(crate) server: ServerHandle,
    pub(crate) model: ModelHandle,
    pub(crate) clock: ManualClock,
}

pub(crate) fn bench(config: ModelConfig) -> Bench {
    let (send, responders) = mpsc::channel();
    let send = Mutex::new(send);
    let take = move |batch: &ModelBatch<'_>| {
        for index in 0..batch.len() {
            send.lock().unwrap().send(batch.responder(index)?).unwrap_or_default();
        }
        Ok(())
    };
    let clock = ManualClock::new();
    let server = ServerHandle::builder().manual_clock(&clock).start().unwrap();
    let model = server.register_model(config, take).unwrap();
    Bench { server, model, responders, clock }
}

/// With as many instances as a test has requests at once: one that has taken a request gets the next when it has answered.
pub(crate) fn decoupled() -> Bench {
    bench(doubling("m").decoupled(true).instances(8))
}

impl Bench {
    pub(crate) fn stream(&self) -> (Responses, Responder) {
        self.stream_of(ask(0.0))
    }

    pub(crate) fn stream_of(&self, request: Request<'static>) -> (Responses, Responder) {
        let responses = self.model.infer_stream(request).unwrap();
        (responses, receive(&self.responders))
    }
}

pub(crate) fn send(responder: &Responder, value: f32, flags: ResponseFlags) -> Result<(), Error> {
    responder.send([(0, x(value))], flags)
}

/// What was sent with [`send`], or why nothing was.
pub(crate) fn value(item: Result<Response, Error>) -> Result<f32, ErrorKind> {
    item.map(|response| response.slice::<f32>("y").unwrap()[0]).map_err(|error| error.kind())
}

pub(crate) fn values(responses: Responses) -> Vec<Result<f32, ErrorKind>> {
    responses.map(value).collect()
}

/// What a callback was told: a value, an end, or an error, each with whether it was final.
pub(crate) type Told = (Result<Option<f32>, ErrorKind>, bool);

pub(crate) fn told_of(model: &ModelHandle, request: Request<'static>) -> mpsc::Receiver<Told> {
    let (sender, told) = mpsc::channel();
    let caller = thread::current().id();
    let callback = move |response: Result<Option<Response>, Error>, flags: ResponseFlags| {
        assert_ne!(thread::current().id(), caller);
        let response = response.map_err(|error| error.kind());
        let told = response.map(|response| response.map(|response| value(Ok(response)).unwrap()));
        sender.send((told, flags.last)).unwrap_or_default();
    };
    model.infer_stream_callback(request, callback).unwrap();
    told
}
