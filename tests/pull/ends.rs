//! How it ends: the server stops, the model is removed, the queue is dropped; nobody is left waiting.

use super::common::{self, Gate, PATIENCE, answer, ask, doubling, eventually, finishes};
use super::{MS, NOW, answer_doubled, kind_of, pull, pulled};
use inferlay::{ErrorKind, ModelConfig, ServerHandle};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

#[test]
fn a_batch_without_an_output_is_an_error_also_where_a_response_is_not_needed() {
    finishes(|| {
        let (_server, model, queue) = pulled(doubling("m").decoupled(true));
        let mut responses = model.infer_stream(ask(1.0)).unwrap();
        let error = pull(&queue).answer().unwrap_err();
        assert!(error.message().contains("did not answer output 'y'"), "{error}");
        assert_eq!(responses.next().unwrap().unwrap_err().message(), error.message());
        // And with one, it is a response like any other.
        let mut responses = model.infer_stream(ask(2.0)).unwrap();
        answer_doubled(pull(&queue));
        assert_eq!(responses.next().unwrap().unwrap().slice::<f32>("y").unwrap(), answer(2.0));
        assert!(responses.next().is_none());
    });
}

#[test]
fn a_stop_drains_what_is_pulled_and_answers_what_is_not() {
    finishes(|| {
        // Nobody pulls: one request is in a batch, one waits for the next.
        let (server, model, queue) = pulled(doubling("m"));
        let left = [1.0, 2.0].map(|value| model.infer_async(ask(value)).unwrap());
        eventually("a batch waits", || model.statistics().unwrap().queue_len == 1);
        let error = server.stop(NOW).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Timeout);
        assert_eq!(left.map(kind_of), [ErrorKind::Unavailable; 2]);
        assert!(queue.next(Duration::MAX).unwrap().is_none() && queue.next(NOW).unwrap().is_none());
    });
    finishes(|| {
        // Somebody pulls, and answers in time.
        let server = ServerHandle::builder().start().unwrap();
        let queue = server.register_pulled_model(doubling("m")).unwrap();
        let model = server.model("m").unwrap();
        let futures: Vec<_> = (0..5).map(|i| model.infer_async(ask(i as f32)).unwrap()).collect();
        let gate = Gate::new();
        let puller = thread::spawn({
            let gate = gate.clone();
            move || {
                while let Some(batch) = queue.next(Duration::MAX).unwrap() {
                    gate.pass();
                    answer_doubled(batch);
                }
            }
        });
        gate.await_come(1);
        let stopper = thread::spawn({
            let server = server.clone();
            move || server.stop(common::PATIENCE)
        });
        eventually("it stops", || !server.is_live());
        gate.open();
        stopper.join().unwrap().unwrap();
        puller.join().unwrap();
        assert!(futures.into_iter().all(|future| future.wait().is_ok()));
    });
}

#[test]
fn a_stop_answers_for_a_batch_that_is_held_and_a_late_answer_goes_nowhere() {
    finishes(|| {
        let (server, model, queue) = pulled(doubling("m"));
        let future = model.infer_async(ask(1.0)).unwrap();
        let held = pull(&queue);
        let queue = Arc::new(queue);
        let waiting = thread::spawn({
            let queue = queue.clone();
            move || queue.next(Duration::MAX).unwrap().is_none()
        });
        assert_eq!(server.stop(NOW).unwrap_err().kind(), ErrorKind::Timeout);
        assert_eq!(kind_of(future), ErrorKind::Unavailable);
        assert!(waiting.join().unwrap(), "whoever waits is told of the end");
        assert!(held.view().request(0).cancelled());
        drop((server, model, queue));
        answer_doubled(held);
    });
}

#[test]
fn a_model_that_is_removed_ends_its_queue_and_its_name_is_free_again() {
    finishes(|| {
        let (server, model, queue) = pulled(doubling("m"));
        assert_eq!(server.register_pulled_model(doubling("m")).unwrap_err().kind(), ErrorKind::AlreadyExists);
        let future = model.infer_async(ask(1.0)).unwrap();
        answer_doubled(pull(&queue));
        future.wait().unwrap();
        server.remove_model("m", MS).unwrap();
        assert!(queue.next(Duration::MAX).unwrap().is_none());
        let again = server.register_pulled_model(doubling("m")).unwrap();
        let future = model.infer_async(ask(2.0)).unwrap();
        answer_doubled(pull(&again));
        assert_eq!(future.wait().unwrap().slice::<f32>("y").unwrap(), answer(2.0));
        server.stop(PATIENCE).unwrap();
        assert_eq!(server.register_pulled_model(doubling("n")).unwrap_err().kind(), ErrorKind::Unavailable);
        assert_eq!(server.register_pulled_model(ModelConfig::new("../m")).unwrap_err().kind(), ErrorKind::InvalidArg);
    });
}

#[test]
fn a_queue_that_is_dropped_leaves_nobody_waiting() {
    finishes(|| {
        let (server, model, queue) = pulled(doubling("m"));
        let waiting = model.infer_async(ask(1.0)).unwrap();
        eventually("a batch waits", || model.statistics().unwrap().queue_len == 0);
        drop(queue);
        let error = waiting.wait().unwrap_err();
        assert_eq!((error.kind(), error.message()), (ErrorKind::Unavailable, "model 'm': nobody pulls its batches"));
        assert_eq!(kind_of(model.infer_async(ask(2.0)).unwrap()), ErrorKind::Unavailable);
        server.remove_model("m", MS).unwrap();
    });
}

#[test]
fn a_server_that_goes_ends_the_queue() {
    finishes(|| {
        let (server, model, queue) = pulled(doubling("m"));
        let puller = thread::spawn(move || queue.next(Duration::MAX).unwrap().is_none());
        drop((server, model));
        assert!(puller.join().unwrap());
    });
}
