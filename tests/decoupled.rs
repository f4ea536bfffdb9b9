//! Models that send several responses per request, in every form that a caller may ask in.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may unwrap")]

mod common;
#[path = "common/streams.rs"]
mod streams;

use common::{PATIENCE, answer, ask, double, doubling, eventually, finishes, receive, x};
use futures_core::Stream;
use inferlay::{
    Error, ErrorKind, ManualClock, ModelBatch, ModelHandle, Request, Responder, ResponseFlags, Responses, ServerHandle,
};
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Wake};
use std::thread;
use streams::{LAST, MORE, MS, Told, bench, decoupled, send, told_of, value, values};

#[test]
fn responses_come_in_the_order_of_sending_until_the_last() {
    finishes(|| {
        let bench = decoupled();
        for is_empty in [true, false] {
            let (responses, responder) = bench.stream();
            (0..20).for_each(|i| send(&responder, i as f32, MORE).unwrap());
            if is_empty {
                responder.finish().unwrap()
            } else {
                send(&responder, 20.0, LAST).unwrap()
            };
            let expected: Vec<_> = (0..20 + usize::from(!is_empty)).map(|i| Ok(i as f32)).collect();
            assert_eq!(values(responses), expected);
        }
    });
}

#[test]
fn a_callback_is_told_of_each_response_and_of_the_end_once() {
    finishes(|| {
        let bench = decoupled();
        type Row = (&'static str, fn(Responder), Told);
        let ends: [Row; 4] = [
            ("a last response", |responder| send(&responder, 9.0, LAST).unwrap(), (Ok(Some(9.0)), true)),
            ("nothing more", |responder| responder.finish().unwrap(), (Ok(None), true)),
            ("a send of nothing", |responder| responder.send([], LAST).unwrap(), (Ok(None), true)),
            ("an error", |responder| responder.fail(Error::unavailable("gone")), (Err(ErrorKind::Unavailable), true)),
        ];
        for (what, end, last) in ends {
            let told = told_of(&bench.model, ask(0.0));
            let responder = receive(&bench.responders);
            (0..40).for_each(|i| send(&responder, i as f32, MORE).unwrap());
            end(responder);
            let mut expected: Vec<Told> = (0..40).map(|i| (Ok(Some(i as f32)), false)).collect();
            expected.push(last);
            // The channel ends when the callback is dropped, which comes after the end.
            assert_eq!(told.iter().collect::<Vec<_>>(), expected, "{what}");
        }
    });
}

#[test]
fn an_empty_stream_has_an_end_and_nothing_else() {
    finishes(|| {
        let bench = decoupled();
        let (responses, responder) = bench.stream();
        responder.finish().unwrap();
        assert_eq!(values(responses), []);
        let told = told_of(&bench.model, ask(0.0));
        receive(&bench.responders).finish().unwrap();
        assert_eq!(told.iter().collect::<Vec<_>>(), [(Ok(None), true)]);
    });
}

/// Counts how often it was woken.
#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

#[test]
fn a_runtime_is_woken_for_what_comes() {
    finishes(|| {
        let bench = decoupled();
        let (mut responses, responder) = bench.stream();
        let woken = Arc::new(Woken::default());
        let waker = woken.clone().into();
        let mut context = Context::from_waker(&waker);
        let mut poll =
            |responses: &mut Responses| Pin::new(responses).poll_next(&mut context).map(|item| item.map(value));
        assert_eq!(poll(&mut responses), Poll::Pending);
        send(&responder, 1.0, MORE).unwrap();
        assert_eq!((woken.0.load(Ordering::SeqCst), poll(&mut responses)), (1, Poll::Ready(Some(Ok(1.0)))));
        assert_eq!(poll(&mut responses), Poll::Pending);
        send(&responder, 2.0, LAST).unwrap();
        assert_eq!((woken.0.load(Ordering::SeqCst), poll(&mut responses)), (2, Poll::Ready(Some(Ok(2.0)))));
        assert_eq!(poll(&mut responses), Poll::Ready(None));
    });
}

#[test]
fn a_model_that_is_not_decoupled_sends_one_response_and_may_still_do_so_after_a_refusal() {
    finishes(|| {
        let bench = bench(doubling("m"));
        let future = bench.model.infer_async(ask(0.0)).unwrap();
        let responder = receive(&bench.responders);
        assert_eq!(responder.credit(), 1);
        for error in [send(&responder, 1.0, MORE).unwrap_err(), responder.finish().unwrap_err()] {
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            assert!(error.message().starts_with("the model is not decoupled"), "{error}");
        }
        send(&responder, 2.0, LAST).unwrap();
        assert_eq!(value(future.wait()), Ok(2.0));
        // Whoever can take several may ask it too.
        let (responses, responder) = bench.stream();
        send(&responder, 3.0, LAST).unwrap();
        assert_eq!(values(responses), [Ok(3.0)]);
    });
}

#[test]
fn a_caller_who_takes_one_response_gets_it_if_there_is_exactly_one() {
    type Act = fn(&Responder) -> Result<(), Error>;
    type Row = (&'static str, Act, Result<f32, ErrorKind>, Result<(), ErrorKind>);
    let acts: [Row; 6] = [
        ("the last", |to| send(to, 1.0, LAST), Ok(1.0), Ok(())),
        ("one, then the end", |to| send(to, 1.0, MORE).and_then(|()| to.finish()), Ok(1.0), Ok(())),
        ("none", Responder::finish, Err(ErrorKind::Unsupported), Err(ErrorKind::Unsupported)),
        (
            "two",
            |to| send(to, 1.0, MORE).and_then(|()| send(to, 2.0, MORE)),
            Err(ErrorKind::Unsupported),
            Err(ErrorKind::Unsupported),
        ),
        (
            "two, one of them the last",
            |to| send(to, 1.0, MORE).and_then(|()| send(to, 2.0, LAST)),
            Err(ErrorKind::Unsupported),
            Err(ErrorKind::Unsupported),
        ),
        ("one, and no end", |to| send(to, 1.0, MORE), Err(ErrorKind::Internal), Ok(())),
    ];
    for (what, act, heard, told) in acts {
        finishes(move || {
            let bench = decoupled();
            let blocking = bench.model.clone();
            let (sender, called) = mpsc::channel();
            let blocking = thread::spawn(move || value(blocking.infer(ask(0.0))));
            assert_eq!(act(&receive(&bench.responders)).map_err(|error| error.kind()), told, "{what}");
            let future = bench.model.infer_async(ask(0.0)).unwrap();
            assert_eq!(act(&receive(&bench.responders)).map_err(|error| error.kind()), told, "{what}");
            bench.model.infer_callback(ask(0.0), move |outcome| sender.send(value(outcome)).unwrap()).unwrap();
            assert_eq!(act(&receive(&bench.responders)).map_err(|error| error.kind()), told, "{what}");
            let all = [blocking.join().unwrap(), value(future.wait()), receive(&called)];
            assert_eq!(all, [heard; 3], "{what}");
        });
    }
}

#[test]
fn a_caller_who_takes_one_response_may_lend_memory_for_it() {
    finishes(|| {
        let bench = decoupled();
        let model = bench.model.clone();
        let caller = thread::spawn(move || {
            let mut y = [0f32; 2];
            let outcome = model.infer(Request::new().input("x", x(0.0)).output_into("y", &mut y));
            (outcome.map(drop).map_err(|error| error.kind()), y)
        });
        let responder = receive(&bench.responders);
        send(&responder, 4.0, MORE).unwrap();
        // Nothing that waits for credit waits for ever.
        assert_eq!(responder.credit(), 1);
        responder.finish().unwrap();
        assert_eq!(caller.join().unwrap(), (Ok(()), [4.0, 4.5]));
        let memory: &'static mut [f32] = Box::leak(Box::new([0.0; 2]));
        let refused = bench.model.infer_stream(ask(0.0).output_into("y", memory)).unwrap_err();
        assert_eq!(refused.error.kind(), ErrorKind::Unsupported);
    });
}

#[test]
fn responses_live_independently_of_each_other_and_of_the_server() {
    finishes(|| {
        let bench = decoupled();
        let (mut responses, responder) = bench.stream();
        (0..3).for_each(|i| send(&responder, i as f32, MORE).unwrap());
        let kept: Vec<_> = responses.by_ref().take(2).collect();
        drop((responder, responses, bench));
        let kept: Vec<_> = kept.into_iter().map(value).collect();
        assert_eq!(kept, [Ok(0.0), Ok(1.0)]);
    });
}

#[test]
fn a_request_counts_once_and_its_responses_one_by_one() {
    finishes(|| {
        let bench = decoupled();
        for (responses, is_empty) in [(3, false), (2, true), (0, true)] {
            let (stream, responder) = bench.stream();
            (0..responses).for_each(|i| send(&responder, i as f32, MORE).unwrap());
            if is_empty {
                responder.finish().unwrap()
            } else {
                send(&responder, 9.0, LAST).unwrap()
            };
            drop((stream, responder));
        }
        let (stream, responder) = bench.stream();
        send(&responder, 0.0, MORE).unwrap();
        responder.fail(Error::internal("in the middle"));
        drop(stream);
        let sums = bench.model.statistics().unwrap();
        assert_eq!((sums.success.count, sums.fail.count, sums.response_count), (3, 1, 4 + 2 + 1));
    });
}

/// Looks at the statistics when it is woken.
struct Counted(ModelHandle, AtomicUsize);

impl Wake for Counted {
    fn wake(self: Arc<Self>) {
        self.1.store(self.0.statistics().unwrap().response_count as usize, Ordering::SeqCst);
    }
}

#[test]
fn whoever_hears_of_a_response_finds_it_counted_and_one_that_was_refused_is_not() {
    finishes(|| {
        let bench = bench(doubling("m").decoupled(true).response_credit_max(1));
        let (mut responses, responder) = bench.stream();
        let counted = Arc::new(Counted(bench.model.clone(), AtomicUsize::new(0)));
        let waker = counted.clone().into();
        assert!(Pin::new(&mut responses).poll_next(&mut Context::from_waker(&waker)).is_pending());
        send(&responder, 0.0, MORE).unwrap();
        assert_eq!(counted.1.load(Ordering::SeqCst), 1);
        let sent = 1 + (1..100).take_while(|i| send(&responder, *i as f32, MORE).is_ok()).count();
        assert!(sent < 100, "the bound was not met");
        assert_eq!(bench.model.statistics().unwrap().response_count, sent as u64);
        drop((responses, responder));
    });
}

#[test]
fn the_time_of_the_execution_is_counted_once_whether_answers_come_in_it_or_after_it() {
    finishes(|| {
        let clock = ManualClock::new();
        let server = ServerHandle::builder().manual_clock(&clock).start().unwrap();
        let (sender, responders) = mpsc::channel();
        let (own, sender) = (clock.clone(), Mutex::new(sender));
        let take = move |batch: &ModelBatch<'_>| {
            let responder = batch.responder(0)?;
            own.advance(2 * MS);
            if batch.input("x")?.as_slice::<f32>()?[0] == 1.0 {
                return send(&responder, 1.0, LAST);
            }
            sender.lock().unwrap().send(responder).unwrap_or_default();
            Ok(())
        };
        let model = server.register_model(doubling("m").decoupled(true), take).unwrap();
        let is_back = |count| eventually("the worker is back", || model.statistics().unwrap().execution_count == count);
        let within = model.infer_stream(ask(1.0)).unwrap();
        is_back(1);
        let after = model.infer_stream(ask(2.0)).unwrap();
        let responder = receive(&responders);
        is_back(2);
        clock.advance(5 * MS);
        send(&responder, 2.0, LAST).unwrap();
        drop(responder);
        server.stop(PATIENCE).unwrap();
        assert_eq!((values(within), values(after)), (vec![Ok(1.0)], vec![Ok(2.0)]));
        let sums = model.statistics().unwrap();
        assert_eq!((sums.compute_infer.count, sums.compute_infer.ns, sums.success.ns), (2, 9_000_000, 9_000_000));
    });
}

#[test]
fn a_decoupled_model_may_answer_a_batch_as_others_do() {
    finishes(|| {
        let server = ServerHandle::builder().start().unwrap();
        let model = server.register_model(doubling("m").decoupled(true), double).unwrap();
        assert_eq!(model.infer(ask(1.0)).unwrap().slice::<f32>("y").unwrap(), answer(1.0));
        let mut responses = model.infer_stream(ask(2.0)).unwrap();
        assert_eq!(responses.next().unwrap().unwrap().slice::<f32>("y").unwrap(), answer(2.0));
        assert!(responses.next().is_none());
        assert_eq!(told_of(&model, ask(3.0)).iter().collect::<Vec<_>>(), [(Ok(Some(6.0)), true)]);
        assert_eq!(model.statistics().unwrap().response_count, 3);
    });
}

#[test]
fn what_would_wait_inside_a_callback_is_refused_there() {
    finishes(|| {
        let bench = decoupled();
        let (sender, told) = mpsc::channel();
        let model = bench.model.clone();
        let callback = move |_: Result<_, Error>, _: ResponseFlags| {
            let mut responses = model.infer_stream(ask(0.0)).unwrap();
            sender.send(responses.next().map(value)).unwrap();
            assert!(responses.next().is_none());
        };
        bench.model.infer_stream_callback(ask(0.0), callback).unwrap();
        receive(&bench.responders).finish().unwrap();
        assert_eq!(receive(&told), Some(Err(ErrorKind::FailedPrecondition)));
    });
}

#[test]
fn a_callback_that_panics_is_told_of_the_rest() {
    finishes(|| {
        let bench = decoupled();
        let (sender, told) = mpsc::channel();
        let callback = move |_: Result<_, Error>, flags: ResponseFlags| {
            sender.send(flags.last).unwrap();
            assert!(flags.last, "in the middle");
        };
        bench.model.infer_stream_callback(ask(0.0), callback).unwrap();
        let responder = receive(&bench.responders);
        send(&responder, 1.0, MORE).unwrap();
        send(&responder, 2.0, LAST).unwrap();
        assert_eq!(told.iter().collect::<Vec<_>>(), [false, true]);
    });
}
