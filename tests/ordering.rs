//! Models that keep the order of their answers: in which order answers go out, and for whom nobody waits.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may unwrap")]

mod common;
#[path = "common/streams.rs"]
mod streams;

use common::{Chance, Gate, answer, ask, batching, double, doubling, eventually, finishes, gated, receive, x};
use inferlay::config::DynamicBatching;
use inferlay::{
    CallerRuns, CancelToken, Error, ErrorKind, ModelConfig, Request, Responder, Response, ResponseFuture, ServerHandle,
};
use std::pin::Pin;
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Wake, Waker};
use std::thread;
use std::time::Duration;
use streams::{Bench, LAST, MORE, MS, bench, send, value, values};

fn ordered() -> ModelConfig {
    let batching = DynamicBatching { preserve_ordering: true, ..DynamicBatching::default() };
    doubling("m").max_batch_size(1).instances(8).dynamic_batching(batching)
}

/// Sends a request that the backend takes before the next one is sent.
fn begin(bench: &Bench, request: Request<'static>) -> (ResponseFuture, Responder) {
    (bench.model.infer_async(request).unwrap(), receive(&bench.responders))
}

fn respond(responder: Responder, value: f32) {
    responder.respond([(0, x(value))]).unwrap();
}

fn value_of(future: ResponseFuture) -> Result<f32, ErrorKind> {
    value(future.wait())
}

#[test]
fn an_answer_is_held_until_those_before_it_have_gone_out() {
    finishes(|| {
        let bench = bench(ordered());
        let [(first, one), (second, two), (third, three)] = [1.0, 2.0, 3.0].map(|value| begin(&bench, ask(value)));
        respond(three, 3.0);
        two.fail(Error::unavailable("an error has its turn, too"));
        assert!(!first.is_ready() && !second.is_ready() && !third.is_ready());
        respond(one, 1.0);
        assert!(first.is_ready() && second.is_ready() && third.is_ready());
        let outcomes = [first, second, third].map(value_of);
        assert_eq!(outcomes, [Ok(1.0), Err(ErrorKind::Unavailable), Ok(3.0)]);
    });
}

#[test]
fn without_it_answers_go_out_as_they_come() {
    finishes(|| {
        let bench = bench(doubling("m").max_batch_size(1).instances(2).dynamic_batching(DynamicBatching::default()));
        let [(first, one), (second, two)] = [1.0, 2.0].map(|value| begin(&bench, ask(value)));
        respond(two, 2.0);
        assert!(second.is_ready() && !first.is_ready());
        respond(one, 1.0);
        assert_eq!((value_of(first), value_of(second)), (Ok(1.0), Ok(2.0)));
    });
}

#[test]
fn who_gives_up_is_answered_out_of_turn_and_nobody_waits_for_it() {
    finishes(|| {
        let bench = bench(ordered());
        let (token, other) = (CancelToken::new(), CancelToken::new());
        let (runs, one) = begin(&bench, ask(1.0).cancel_with(&token));
        let (late, two) = begin(&bench, ask(2.0).timeout(MS));
        let (cancelled, three) = begin(&bench, ask(3.0).cancel_with(&other));
        let (last, four) = begin(&bench, ask(4.0));
        for (responder, value) in [(two, 2.0), (three, 3.0), (four, 4.0)] {
            respond(responder, value);
        }
        assert!(!late.is_ready() && !cancelled.is_ready());
        // Its answer was there and held; a deadline is a deadline.
        bench.clock.advance(2 * MS);
        assert_eq!(value_of(late), Err(ErrorKind::Timeout));
        other.cancel();
        assert_eq!(value_of(cancelled), Err(ErrorKind::Cancelled));
        assert!(!runs.is_ready() && !last.is_ready());
        token.cancel();
        assert_eq!((value_of(runs), value_of(last)), (Err(ErrorKind::Cancelled), Ok(4.0)));
        assert_eq!(one.respond([(0, x(1.0))]).err().map(|error| error.kind()), None);
    });
}

#[test]
fn a_stop_lets_out_what_is_held() {
    finishes(|| {
        let bench = bench(ordered());
        let ((first, one), (second, two)) = (begin(&bench, ask(1.0)), begin(&bench, ask(2.0)));
        respond(two, 2.0);
        assert!(!second.is_ready());
        let stopped = bench.server.stop(Duration::ZERO);
        assert_eq!(stopped.unwrap_err().kind(), ErrorKind::Timeout);
        assert_eq!((value_of(first), value_of(second)), (Err(ErrorKind::Unavailable), Ok(2.0)));
        drop(one);
    });
}

#[test]
fn what_waits_holds_nobody_up() {
    finishes(|| {
        let levels = DynamicBatching { priority_levels: 2, default_priority_level: 2, ..DynamicBatching::default() };
        let bench =
            bench(ordered().instances(1).dynamic_batching(DynamicBatching { preserve_ordering: true, ..levels }));
        let (first, one) = begin(&bench, ask(1.0));
        let [waits, expires] =
            [ask(2.0), ask(3.0).timeout(MS)].map(|request| bench.model.infer_async(request).unwrap());
        bench.clock.advance(2 * MS);
        assert_eq!(value_of(expires), Err(ErrorKind::Timeout));
        let urgent = bench.model.infer_async(ask(4.0).priority(1)).unwrap();
        respond(one, 1.0);
        respond(receive(&bench.responders), 4.0);
        assert_eq!((value_of(first), value_of(urgent)), (Ok(1.0), Ok(4.0)));
        assert!(!waits.is_ready());
        respond(receive(&bench.responders), 2.0);
        assert_eq!(value_of(waits), Ok(2.0));
    });
}

#[test]
fn a_stream_begins_when_the_one_before_has_ended() {
    finishes(|| {
        let bench = bench(ordered().decoupled(true));
        let (told, all) = mpsc::channel();
        let begin = |number: u32| {
            let told = told.clone();
            let callback = move |item: Result<Option<Response>, Error>, _| {
                told.send((number, item.map(|response| response.map(|response| value(Ok(response)).unwrap()))))
                    .unwrap();
            };
            bench.model.infer_stream_callback(ask(0.0), callback).unwrap();
            receive(&bench.responders)
        };
        let (one, two, three) = (begin(1), begin(2), begin(3));
        // More than the messenger calls one function for in a turn.
        (0..40).for_each(|i| send(&three, i as f32, MORE).unwrap());
        send(&two, 0.0, MORE).unwrap();
        three.finish().unwrap();
        send(&one, 0.0, MORE).unwrap();
        let next = || {
            let (number, item): (u32, Result<Option<f32>, Error>) = receive(&all);
            (number, item.map_err(|error| error.kind()))
        };
        assert_eq!(next(), (1, Ok(Some(0.0))));
        send(&one, 1.0, LAST).unwrap();
        assert_eq!((next(), next()), ((1, Ok(Some(1.0))), (2, Ok(Some(0.0)))), "the second goes on as it comes");
        send(&two, 1.0, MORE).unwrap();
        assert_eq!(next(), (2, Ok(Some(1.0))));
        two.fail(Error::unavailable("gone"));
        assert_eq!(next(), (2, Err(ErrorKind::Unavailable)));
        (0..40).for_each(|i| assert_eq!(next(), (3, Ok(Some(i as f32)))));
        assert_eq!(next(), (3, Ok(None)));
    });
}

#[test]
fn a_long_stream_lets_the_callbacks_of_other_models_have_their_turn() {
    finishes(|| {
        let bench = bench(ordered().decoupled(true));
        let (told, all) = mpsc::channel();
        let (gate, model) = (Gate::new(), bench.model.clone());
        let number = |number: u32| {
            let (told, at_gate) = (told.clone(), gate.clone());
            let callback = move |_: Result<Option<Response>, Error>, _| {
                at_gate.pass();
                told.send(number).unwrap();
            };
            model.infer_stream_callback(ask(0.0), callback).unwrap();
            receive(&bench.responders)
        };
        let (long, next) = (number(1), number(2));
        (0..50).for_each(|i| send(&long, i as f32, MORE).unwrap());
        gate.await_come(1);
        long.finish().unwrap();
        next.finish().unwrap();
        // One of another model, which the messenger calls because a cancel answers.
        let other = bench.server.register_model(doubling("other"), gated(&Gate::new())).unwrap();
        let (token, told) = (CancelToken::new(), told.clone());
        token.cancel();
        other.infer_callback(ask(0.0).cancel_with(&token), move |_| told.send(0).unwrap()).unwrap();
        gate.open();
        let calls: Vec<u32> = (0..53).map(|_| receive(&all)).collect();
        let place = calls.iter().position(|call| *call == 0).unwrap();
        assert!(place < 50, "the other model waits for {place} calls");
        let own: Vec<_> = calls.into_iter().filter(|call| *call > 0).collect();
        assert_eq!(own, [vec![1; 51], vec![2]].concat(), "and the order is kept");
    });
}

#[test]
fn a_stream_whose_turn_has_not_come_is_not_refused_what_nobody_can_take() {
    finishes(|| {
        let bench = bench(ordered().decoupled(true).response_credit_max(1));
        let ((first, one), (mut second, two)) = (bench.stream(), bench.stream());
        // A taker that could take would have fallen behind after 16.
        (0..40).for_each(|i| send(&two, i as f32, MORE).unwrap());
        assert_eq!(two.credit(), 0, "as advice it falls");
        one.finish().unwrap();
        assert!(values(first).is_empty());
        // From now on it could: what was sent before does not count against it, what comes does.
        (40..56).for_each(|i| send(&two, i as f32, MORE).unwrap());
        assert_eq!(send(&two, 56.0, MORE).unwrap_err().kind(), ErrorKind::ResourceExhausted);
        assert_eq!(second.next().map(value), Some(Ok(0.0)));
        two.finish().unwrap();
        let expected: Vec<_> = (1..56).map(|i| Ok(i as f32)).collect();
        assert_eq!(values(second), expected);
    });
}

#[test]
fn what_is_held_is_bounded_as_what_waits_is() {
    finishes(|| {
        let bench = bench(ordered().queue_size_max(2));
        let [(first, one), (second, two), (third, three)] = [1.0, 2.0, 3.0].map(|value| begin(&bench, ask(value)));
        respond(two, 2.0);
        let (fourth, four) = begin(&bench, ask(4.0));
        respond(three, 3.0);
        let refused = bench.model.infer_async(ask(9.0)).unwrap_err();
        assert_eq!(refused.error.message(), "the model's queue is full");
        respond(one, 1.0);
        let (fifth, five) = begin(&bench, ask(5.0));
        respond(four, 4.0);
        respond(five, 5.0);
        let answers = [first, second, third, fourth, fifth].map(value_of);
        assert_eq!(answers, [1.0, 2.0, 3.0, 4.0, 5.0].map(Ok));
    });
}

/// Notes a number and the thread that wakes.
struct Note(usize, mpsc::Sender<(usize, thread::ThreadId)>);

impl Wake for Note {
    fn wake(self: Arc<Self>) {
        self.1.send((self.0, thread::current().id())).unwrap();
    }
}

#[test]
fn nobody_is_held_up_by_a_long_row_of_answers_of_others() {
    const COUNT: usize = 200;
    finishes(|| {
        let bench = bench(ordered().instances(COUNT + 1));
        let token = CancelToken::new();
        let (stuck, _responder) = begin(&bench, ask(0.0).cancel_with(&token));
        let (told, woken) = mpsc::channel();
        let mut futures = Vec::new();
        for number in 0..COUNT {
            let (mut future, responder) = begin(&bench, ask(number as f32));
            respond(responder, number as f32);
            let waker = Waker::from(Arc::new(Note(number, told.clone())));
            assert!(Pin::new(&mut future).poll(&mut Context::from_waker(&waker)).is_pending());
            futures.push(future);
        }
        // Whoever answers the first lets the others out, but for a while.
        token.cancel();
        assert_eq!(value_of(stuck), Err(ErrorKind::Cancelled));
        let all: Vec<_> = (0..COUNT).map(|_| receive(&woken)).collect();
        assert!(all.iter().map(|(number, _)| *number).eq(0..COUNT));
        let own = all.iter().filter(|(_, by)| *by == thread::current().id()).count();
        assert!(0 < own && own <= 64, "the caller of the cancel woke {own}");
        assert!(futures.into_iter().enumerate().all(|(number, future)| value_of(future) == Ok(number as f32)));
    });
}

#[test]
fn a_stream_that_is_given_up_ends_before_its_turn() {
    finishes(|| {
        let bench = bench(ordered().decoupled(true));
        let ((mut first, one), (mut second, two)) = (bench.stream(), bench.stream_of(ask(0.0).timeout(MS)));
        send(&two, 20.0, MORE).unwrap();
        bench.clock.advance(2 * MS);
        assert_eq!(second.next().map(value), Some(Ok(20.0)));
        assert_eq!(second.next().map(value), Some(Err(ErrorKind::Timeout)));
        send(&one, 10.0, LAST).unwrap();
        assert_eq!(first.next().map(value), Some(Ok(10.0)));
    });
}

#[test]
fn a_caller_that_waits_gets_its_answer_whoever_may_run_it() {
    for caller_runs in [CallerRuns::Never, CallerRuns::OwnRequest, CallerRuns::Batch] {
        finishes(move || {
            let (gate, server) = (Gate::new(), ServerHandle::builder().start().unwrap());
            let model = server.register_model(ordered().instances(2).caller_runs(caller_runs), gated(&gate)).unwrap();
            let callers: Vec<_> = [1.0, 2.0, 3.0]
                .map(|value| {
                    let model = model.clone();
                    thread::spawn(move || model.infer(ask(value)).unwrap().slice::<f32>("y").unwrap().to_vec())
                })
                .into();
            gate.await_come(2);
            gate.open();
            for (caller, value) in callers.into_iter().zip([1.0, 2.0, 3.0]) {
                assert_eq!(caller.join().unwrap(), answer(value));
            }
        });
    }
}

#[test]
fn many_callbacks_come_in_the_order_of_their_requests() {
    const COUNT: u32 = 4_000;
    finishes(|| {
        let server = ServerHandle::builder().start().unwrap();
        let mut config = batching("m", 0).instances(4);
        config.dynamic_batching.as_mut().unwrap().preserve_ordering = true;
        let chance = Arc::new(Mutex::new(Chance::new(7)));
        let model = server.register_model(config, move |batch| {
            let (turns, fails) = chance.lock().map(|mut chance| (chance.below(50), chance.once_in(5))).unwrap();
            (0..turns).for_each(|_| thread::yield_now());
            if fails { Err(Error::unavailable("by chance")) } else { double(batch) }
        });
        let (model, (told, order)) = (model.unwrap(), mpsc::channel());
        for i in 0..COUNT {
            let told = told.clone();
            // The queue may be full for a while.
            eventually("there is room", || model.statistics().unwrap().queue_len < 1_000);
            model.infer_callback(ask(i as f32), move |_| told.send(i).unwrap()).unwrap();
        }
        (0..COUNT).for_each(|i| assert_eq!(receive(&order), i));
    });
}
