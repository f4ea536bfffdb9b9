//! How a stream of responses ends, whoever ends it, and what keeps one from growing without bound.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may unwrap")]

mod common;
#[path = "common/streams.rs"]
mod streams;

use common::{Gate, ask, doubling, eventually, finishes, receive};
use inferlay::{CancelToken, Error, ErrorKind, Responder, Responses, Tensor};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::Duration;
use streams::{Bench, LAST, LONG, MORE, MS, Told, bench, decoupled, send, told_of, value, values};

#[test]
fn nothing_is_sent_after_the_end_and_the_sender_learns_of_it() {
    type End = fn(&Bench, &mut Option<Responses>, &Responder);
    type Row = (&'static str, End, ErrorKind, Option<Result<f32, ErrorKind>>);
    let ends: [Row; 6] = [
        ("the last response", |_, _, to| send(to, 8.0, LAST).unwrap(), ErrorKind::FailedPrecondition, Some(Ok(8.0))),
        (
            "a response of the wrong shape",
            |_, _, to| {
                let wrong = Tensor::from_vec(vec![0f32; 3], [1, 3]).unwrap();
                assert_eq!(to.send([(0, wrong)], MORE).unwrap_err().kind(), ErrorKind::InvalidArg);
            },
            ErrorKind::FailedPrecondition,
            Some(Err(ErrorKind::InvalidArg)),
        ),
        (
            "the deadline",
            |bench, _, _| bench.clock.advance(2 * MS),
            ErrorKind::Cancelled,
            Some(Err(ErrorKind::Timeout)),
        ),
        (
            "a cancel",
            |_, responses, _| responses.as_ref().unwrap().cancel(),
            ErrorKind::Cancelled,
            Some(Err(ErrorKind::Cancelled)),
        ),
        (
            "a stop",
            |bench, _, _| assert_eq!(bench.server.stop(Duration::ZERO).unwrap_err().kind(), ErrorKind::Timeout),
            ErrorKind::Cancelled,
            Some(Err(ErrorKind::Unavailable)),
        ),
        ("the taker going", |_, responses, _| drop(responses.take()), ErrorKind::Cancelled, None),
    ];
    for (what, end, refusal, last) in ends {
        finishes(move || {
            let bench = decoupled();
            let (responses, responder) = bench.stream_of(ask(0.0).timeout(MS));
            send(&responder, 7.0, MORE).unwrap();
            assert!(!responder.cancelled(), "{what}");
            let mut responses = Some(responses);
            end(&bench, &mut responses, &responder);
            eventually(what, || responder.credit() == 0);
            assert_eq!(responder.cancelled(), refusal == ErrorKind::Cancelled, "{what}");
            assert_eq!(send(&responder, 9.0, MORE).unwrap_err().kind(), refusal, "{what}");
            assert_eq!(send(&responder, 9.0, LAST).unwrap_err().kind(), refusal, "{what}");
            assert_eq!(responder.finish().unwrap_err().kind(), ErrorKind::FailedPrecondition, "{what}");
            if let Some(last) = last {
                assert_eq!(values(responses.unwrap()), [Ok(7.0), last], "{what}");
            }
        });
    }
}

#[test]
fn a_responder_that_is_dropped_in_the_middle_ends_the_stream_with_an_error() {
    finishes(|| {
        let bench = decoupled();
        let (responses, responder) = bench.stream();
        send(&responder, 1.0, MORE).unwrap();
        drop(responder);
        assert_eq!(values(responses), [Ok(1.0), Err(ErrorKind::Internal)]);
        let told = told_of(&bench.model, ask(0.0));
        drop(receive(&bench.responders));
        assert_eq!(told.iter().collect::<Vec<_>>(), [(Err(ErrorKind::Internal), true)]);
    });
}

#[test]
fn a_stop_waits_for_a_stream_and_tells_of_its_end_before_it_returns() {
    finishes(|| {
        let bench = decoupled();
        let told = told_of(&bench.model, ask(0.0));
        let responder = receive(&bench.responders);
        send(&responder, 1.0, MORE).unwrap();
        let server = bench.server.clone();
        let stopping = thread::spawn(move || server.stop(LONG));
        eventually("it stops", || !bench.model.is_ready());
        send(&responder, 2.0, MORE).unwrap();
        send(&responder, 3.0, LAST).unwrap();
        drop(responder);
        stopping.join().unwrap().unwrap();
        let all: Vec<_> = told.try_iter().collect();
        assert_eq!(all, [(Ok(Some(1.0)), false), (Ok(Some(2.0)), false), (Ok(Some(3.0)), true)]);
    });
}

#[test]
fn a_stop_that_does_not_wait_ends_the_stream_and_calls_nothing_afterwards() {
    finishes(|| {
        let bench = decoupled();
        let told = told_of(&bench.model, ask(0.0));
        let responder = receive(&bench.responders);
        send(&responder, 1.0, MORE).unwrap();
        assert_eq!(bench.server.stop(Duration::ZERO).unwrap_err().kind(), ErrorKind::Timeout);
        let all: Vec<_> = told.try_iter().collect();
        assert_eq!(all, [(Ok(Some(1.0)), false), (Err(ErrorKind::Unavailable), true)]);
        assert!(responder.cancelled() && send(&responder, 2.0, LAST).is_err());
        assert_eq!(told.try_recv(), Err(mpsc::TryRecvError::Disconnected));
    });
}

#[test]
fn credit_falls_with_what_is_sent_and_rises_with_what_is_taken() {
    finishes(|| {
        let bench = bench(doubling("m").decoupled(true).response_credit_max(3));
        let (mut responses, responder) = bench.stream();
        for credit in [3, 2, 1, 0] {
            assert_eq!(responder.credit(), credit);
            send(&responder, credit as f32, MORE).unwrap();
        }
        // Advice: what was sent past it is there.
        assert_eq!(responder.credit(), 0);
        for (taken, credit) in [(3.0, 0), (2.0, 1), (1.0, 2), (0.0, 3)] {
            assert_eq!((value(responses.next().unwrap()), responder.credit()), (Ok(taken), credit));
        }
    });
}

#[test]
fn a_callback_that_has_not_returned_has_not_taken_its_response() {
    finishes(|| {
        let bench = bench(doubling("m").decoupled(true).response_credit_max(2));
        let gate = Gate::new();
        let held = gate.clone();
        bench.model.infer_stream_callback(ask(0.0), move |_, _| held.pass()).unwrap();
        let responder = receive(&bench.responders);
        send(&responder, 1.0, MORE).unwrap();
        gate.await_come(1);
        assert_eq!(responder.credit(), 1);
        gate.open();
        eventually("it is taken", || responder.credit() == 2);
    });
}

#[test]
fn far_behind_a_response_is_refused_and_may_be_sent_again_but_the_end_always_comes() {
    finishes(|| {
        let bench = bench(doubling("m").decoupled(true).response_credit_max(1));
        let (mut responses, responder) = bench.stream();
        (0..16).for_each(|i| send(&responder, i as f32, MORE).unwrap());
        assert_eq!(send(&responder, 16.0, MORE).unwrap_err().kind(), ErrorKind::ResourceExhausted);
        assert_eq!(value(responses.next().unwrap()), Ok(0.0));
        send(&responder, 16.0, MORE).unwrap();
        assert_eq!(send(&responder, 17.0, MORE).unwrap_err().kind(), ErrorKind::ResourceExhausted);
        send(&responder, 17.0, LAST).unwrap();
        assert_eq!(values(responses), (1..18).map(|i| Ok(i as f32)).collect::<Vec<_>>());
    });
}

#[test]
fn a_slow_stream_does_not_hold_up_the_callbacks_of_another() {
    finishes(|| {
        let bench = decoupled();
        let endless = told_of(&bench.model, ask(0.0));
        let busy = receive(&bench.responders);
        let (sender, answered) = mpsc::channel();
        bench.model.infer_callback(ask(0.0), move |outcome| sender.send(outcome.map(drop)).unwrap()).unwrap();
        let other = receive(&bench.responders);
        let sending = thread::spawn(move || {
            // Keeps the messenger busy until the other was answered.
            while !busy.cancelled() {
                let _too_many_at_times = send(&busy, 1.0, MORE);
            }
            busy
        });
        assert_eq!(receive(&endless), (Ok(Some(1.0)), false));
        send(&other, 2.0, LAST).unwrap();
        receive(&answered).unwrap();
        assert_eq!(bench.server.stop(Duration::ZERO).unwrap_err().kind(), ErrorKind::Timeout);
        drop(sending.join().unwrap());
    });
}

/// How a stream may end while it is sent to.
fn end_somehow(turn: usize, bench: &Bench, token: &CancelToken, responder: Responder) {
    match turn % 5 {
        0 => token.cancel(),
        1 => bench.clock.advance(2 * MS),
        2 => drop(send(&responder, -1.0, LAST)),
        3 => responder.fail(Error::internal("in the middle")),
        _ => drop(responder),
    }
}

#[test]
fn whoever_ends_a_stream_first_it_has_one_end_and_what_was_accepted_comes_in_order() {
    finishes(|| {
        let bench = decoupled();
        for turn in 0..200 {
            let token = CancelToken::new();
            let told = told_of(&bench.model, ask(0.0).timeout(MS).cancel_with(&token));
            let responder = Arc::new(Mutex::new(Some(receive(&bench.responders))));
            let senders: Vec<_> = (0..2)
                .map(|_| {
                    let responder = responder.clone();
                    thread::spawn(move || {
                        let mut accepted = Vec::new();
                        for i in 0..50 {
                            // One at a time, so that the order of sending is known.
                            let responder = responder.lock().unwrap();
                            let Some(own) = &*responder else { break };
                            if send(own, i as f32, MORE).is_ok() {
                                accepted.push(i as f32);
                            }
                        }
                        accepted.len()
                    })
                })
                .collect();
            eventually("some have come", || {
                told.try_recv().is_ok() || senders.iter().all(|sender| sender.is_finished())
            });
            let own = responder.lock().unwrap().take().unwrap();
            end_somehow(turn, &bench, &token, own);
            let accepted: usize = senders.into_iter().map(|sender| sender.join().unwrap()).sum();
            let told: Vec<_> = told.iter().collect();
            assert_eq!(told.iter().filter(|(_, is_last)| *is_last).count(), 1, "{told:?}");
            assert!(told.last().unwrap().1 && told.len() <= accepted + 1, "{told:?}");
        }
        bench.server.stop(LONG).unwrap();
    });
}

#[test]
fn a_stop_in_the_middle_of_many_streams_ends_each_once() {
    finishes(|| {
        for _ in 0..20 {
            let bench = decoupled();
            let told: Vec<_> = (0..8).map(|_| told_of(&bench.model, ask(0.0))).collect();
            let senders: Vec<_> = (0..8)
                .map(|_| {
                    let responder = receive(&bench.responders);
                    thread::spawn(move || {
                        while !responder.cancelled() {
                            let _too_many_at_times = send(&responder, 1.0, MORE);
                        }
                    })
                })
                .collect();
            told.iter().for_each(|told| assert_eq!(receive(told), (Ok(Some(1.0)), false)));
            // Whether the senders let go soon enough or not.
            let _some_may_hang = bench.server.stop(Duration::ZERO);
            let ends = |told: &mpsc::Receiver<Told>| told.try_iter().filter(|(_, is_last)| *is_last).count();
            assert!(told.iter().all(|told| ends(told) == 1));
            senders.into_iter().for_each(|sender| sender.join().unwrap());
            assert!(told.iter().all(|told| told.try_recv() == Err(mpsc::TryRecvError::Disconnected)));
        }
    });
}
