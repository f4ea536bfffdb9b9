//! The flow beside a model of it: random interleavings of priorities, timeouts, `DELAY`, deadlines, cancels, batches, answers
//! in order and streams, over a clock that is moved by hand.
//!
//! The model says after each step which requests are at the backend, which are refused and what each has been told; the
//! engine must agree: every request is answered once, in order where that is asked for, within the bounds.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may unwrap")]

mod common;
#[path = "common/flow_model.rs"]
mod flow_model;

use common::{ask, batching, double, doubling, eventually, finishes, receive, x};
use flow_model::{HALF, Plan, QUEUE_SIZE, STEP, Sim, Stage, TICKS, Told, wait_of};
use futures_core::Stream;
use inferlay::config::{DynamicBatching, QueuePolicy};
use inferlay::{
    CancelToken, Error, ErrorKind, ManualClock, ModelBatch, ModelConfig, ModelHandle, Request, Responder, Response,
    ResponseFlags, ResponseFuture, Responses, ServerHandle,
};
use proptest::prelude::*;
use std::pin::Pin;
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// How a request hears of its answer.
#[derive(Clone, Copy, Debug)]
enum Way {
    /// A future, or responses that are taken.
    Pull,
    Callback,
}

#[derive(Clone, Copy, Debug)]
enum Ending {
    Value,
    /// Of a decoupled model: an end without a response.
    Empty,
    Failure,
    Dropped,
}

/// One step. What it is done to is told by a number, taken modulo how many there are.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Timeouts are in steps of the clock; 0 is none.
    Submit {
        priority: u32,
        way: Way,
        deadline: u64,
        queue_timeout: u64,
    },
    Respond {
        which: usize,
        ending: Ending,
    },
    /// Of a decoupled model: a response that is not the last.
    Send {
        which: usize,
    },
    Cancel {
        which: usize,
    },
    Advance,
}

fn plans() -> impl Strategy<Value = Plan> {
    (any::<bool>(), any::<bool>(), 1..=3usize, 1..=2usize).prop_map(
        |(is_ordered, is_decoupled, instances, rows_max)| Plan { is_ordered, is_decoupled, instances, rows_max },
    )
}

fn steps() -> impl Strategy<Value = Step> {
    let way = prop_oneof![Just(Way::Pull), Just(Way::Callback)];
    let span = || prop_oneof![2 => Just(0u64), 1 => 1..=3u64];
    let submit = (0..=3u32, way, span(), span()).prop_map(|(priority, way, deadline, queue_timeout)| Step::Submit {
        priority,
        way,
        deadline,
        queue_timeout,
    });
    let ending = prop_oneof![4 => Just(Ending::Value), 1 => Just(Ending::Empty), 1 => Just(Ending::Failure),
        1 => Just(Ending::Dropped)];
    prop_oneof![
        8 => submit,
        5 => (0..8usize, ending).prop_map(|(which, ending)| Step::Respond { which, ending }),
        2 => (0..8usize).prop_map(|which| Step::Send { which }),
        2 => (0..16usize).prop_map(|which| Step::Cancel { which }),
        3 => Just(Step::Advance),
    ]
}

fn config(plan: Plan) -> ModelConfig {
    let policies = (0..2).map(|level| {
        let (default_timeout_us, timeout_action, allow_timeout_override) = wait_of(level);
        let policy = QueuePolicy { queue_size_max: None, default_timeout_us, timeout_action, allow_timeout_override };
        (level as u32 + 1, policy)
    });
    let batching = DynamicBatching {
        preserve_ordering: plan.is_ordered,
        priority_levels: 3,
        default_priority_level: 3,
        priority_queue_policies: policies.collect(),
        ..DynamicBatching::default()
    };
    let config = doubling("m").max_batch_size(plan.rows_max).instances(plan.instances).queue_size_max(QUEUE_SIZE);
    config.decoupled(plan.is_decoupled).dynamic_batching(batching)
}

type Departed = Vec<(usize, Responder)>;

/// How a request hears.
enum Hand {
    Future(Option<ResponseFuture>),
    /// With what was taken so far.
    Responses(Responses, Vec<Told>),
    Callback,
}

/// The engine beside its model.
struct Bench {
    sim: Sim,
    /// What the backend has.
    responders: Vec<(usize, Responder)>,
    departed: mpsc::Receiver<Departed>,
    server: ServerHandle,
    model: ModelHandle,
    /// A model that waits for a batch.
    slow: ModelHandle,
    clock: ManualClock,
    hands: Vec<(Hand, CancelToken)>,
    /// What callbacks were told.
    log: Arc<Mutex<Vec<(usize, Told)>>>,
}

fn told(answer: Result<Option<Response>, Error>) -> Told {
    match answer {
        Ok(Some(response)) => Told::Value(response.slice::<f32>("y").unwrap()[0]),
        Ok(None) => Told::End,
        Err(error) => Told::Error(error.kind()),
    }
}

impl Bench {
    fn new(plan: Plan) -> Bench {
        let (send, departed) = mpsc::channel();
        let send = Mutex::new(send);
        let take = move |batch: &ModelBatch<'_>| {
            let numbers = batch.input("x")?.as_slice::<f32>()?;
            let responder = |index| Ok((numbers[2 * index] as usize, batch.responder(index)?));
            let taken = (0..batch.len()).map(responder).collect::<Result<Departed, Error>>()?;
            send.lock().unwrap().send(taken).unwrap_or_default();
            Ok(())
        };
        let (clock, log) = (ManualClock::new(), Arc::default());
        let server = ServerHandle::builder().manual_clock(&clock).start().unwrap();
        let model = server.register_model(config(plan), take).unwrap();
        let slow = server.register_model(batching("slow", 3_600_000_000), double).unwrap();
        let (sim, responders, hands) = (Sim::new(plan), Vec::new(), Vec::new());
        Bench { sim, responders, departed, server, model, slow, clock, hands, log }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Submit { priority, way, deadline, queue_timeout } => {
                let span = |steps: u64| if steps == 0 { 0 } else { steps * STEP + HALF };
                self.submit(priority, way, span(deadline), span(queue_timeout));
            }
            Step::Respond { which, ending } if !self.responders.is_empty() => {
                let (request, responder) = self.responders.remove(which % self.responders.len());
                self.respond(request, responder, ending);
            }
            Step::Send { which } if !self.responders.is_empty() && self.sim.plan.is_decoupled => {
                let (request, responder) = &self.responders[which % self.responders.len()];
                let value = self.value(*request);
                let sent = responder.send([(0, x(value))], ResponseFlags { last: false });
                let is_wanted = self.sim.asked[*request].stage == Stage::Runs;
                assert_eq!(sent.is_ok(), is_wanted, "{sent:?}");
                if is_wanted {
                    self.sim.asked[*request].told.push(Told::Value(value));
                }
            }
            Step::Cancel { which } if !self.hands.is_empty() => {
                let request = which % self.hands.len();
                let may = self.sim.may_give_up(request) && !self.sim.asked[request].is_given_up;
                self.hands[request].1.cancel();
                if may {
                    self.sim.give_up(request, ErrorKind::Cancelled);
                    self.sim.move_on();
                }
            }
            Step::Advance => {
                self.clock.advance(Duration::from_micros(STEP));
                self.sim.advance();
            }
            _ => {}
        }
        self.agree();
        if matches!(step, Step::Advance) {
            self.await_timers();
        }
    }

    /// Whoever watches over timers is done with those that were late before.
    fn await_timers(&self) {
        let late = self.slow.infer_async(ask(0.0).timeout(Duration::from_micros(1))).unwrap();
        self.clock.advance(Duration::from_micros(TICKS));
        assert_eq!(late.wait().unwrap_err().kind(), ErrorKind::Timeout);
    }

    fn submit(&mut self, priority: u32, way: Way, deadline: u64, queue_timeout: u64) {
        // No two come at the same time: so little that no timer is any nearer.
        (self.sim.now, _) = (self.sim.now + 1, self.clock.advance(Duration::from_micros(1)));
        let (number, token) = (self.hands.len(), CancelToken::new());
        let mut request = ask(number as f32).priority(priority).cancel_with(&token);
        if deadline > 0 {
            request = request.timeout(Duration::from_micros(deadline));
        }
        if queue_timeout > 0 {
            request = request.queue_timeout(Duration::from_micros(queue_timeout));
        }
        let is_taken = self.sim.submit(priority, deadline, queue_timeout);
        match self.send(number, request, way) {
            Ok(hand) => self.hands.push((hand, token)),
            Err(error) => assert_eq!((error.kind(), is_taken), (ErrorKind::ResourceExhausted, false), "{number}"),
        }
        assert_eq!(self.hands.len() > number, is_taken, "request {number}");
    }

    fn send(&self, number: usize, request: Request<'static>, way: Way) -> Result<Hand, Error> {
        let log = self.log.clone();
        let note = move |answer| log.lock().unwrap().push((number, told(answer)));
        let sent = match (way, self.sim.plan.is_decoupled) {
            (Way::Pull, true) => {
                self.model.infer_stream(request).map(|responses| Hand::Responses(responses, Vec::new()))
            }
            (Way::Pull, false) => self.model.infer_async(request).map(|future| Hand::Future(Some(future))),
            (Way::Callback, true) => {
                self.model.infer_stream_callback(request, move |answer, _| note(answer)).map(|()| Hand::Callback)
            }
            (Way::Callback, false) => {
                self.model.infer_callback(request, move |answer| note(answer.map(Some))).map(|()| Hand::Callback)
            }
        };
        sent.map_err(|refused| refused.error)
    }

    /// What the backend sends next.
    fn value(&self, request: usize) -> f32 {
        (100 * request + self.sim.asked[request].told.len()) as f32
    }

    fn respond(&mut self, request: usize, responder: Responder, ending: Ending) {
        let value = self.value(request);
        let told = match ending {
            Ending::Empty if self.sim.plan.is_decoupled => Told::End,
            Ending::Value | Ending::Empty => Told::Value(value),
            Ending::Failure => Told::Error(ErrorKind::Unavailable),
            Ending::Dropped => Told::Error(ErrorKind::Internal),
        };
        // Whether anybody wants it is no concern here.
        match (ending, told) {
            (_, Told::End) => drop(responder.finish()),
            (_, Told::Value(value)) => drop(responder.respond([(0, x(value))])),
            (Ending::Failure, _) => responder.fail(Error::unavailable("so it is")),
            _ => drop(responder),
        }
        self.sim.respond(request, told);
    }

    /// The engine does what the model does.
    fn agree(&mut self) {
        if let Some(expected) = self.sim.depart() {
            let taken = receive(&self.departed);
            let found: Vec<_> = taken.iter().map(|(request, _)| *request).collect();
            assert_eq!(found, expected, "the batch that departs");
            self.responders.extend(taken);
        }
        for request in 0..self.hands.len() {
            match &mut self.hands[request].0 {
                Hand::Callback => {
                    let expected = self.sim.heard(request).len();
                    let log = self.log.clone();
                    let found = || log.lock().unwrap().iter().filter(|(other, _)| *other == request).count();
                    eventually("it was told all", || found() >= expected);
                }
                Hand::Future(Some(future)) => {
                    if !self.sim.heard(request).is_empty() {
                        eventually("it has its answer", || future.is_ready());
                    }
                    assert_eq!(future.is_ready(), !self.sim.heard(request).is_empty(), "request {request}");
                }
                Hand::Future(None) => {}
                Hand::Responses(responses, found) => {
                    let expected = self.sim.heard(request);
                    eventually("it has its responses", || {
                        found.extend((found.len() < expected.len()).then(|| poll(responses)).flatten());
                        found.len() >= expected.len()
                    });
                    assert!(!matches!(poll(responses), Some(Told::Value(_) | Told::Error(_))), "request {request}");
                    self.sim.compare(request, found);
                }
            }
        }
        self.compare_log();
    }

    fn compare_log(&self) {
        let log = self.log.lock().unwrap();
        let is_called = |request: &usize| matches!(self.hands[*request].0, Hand::Callback);
        for request in (0..self.hands.len()).filter(is_called) {
            let found: Vec<_> = log.iter().filter(|(other, _)| *other == request).map(|(_, told)| *told).collect();
            self.sim.compare(request, &found);
        }
        let is_in_turn = |request: &usize| self.sim.turns.contains(request) && !self.sim.asked[*request].is_given_up;
        let mut heard: Vec<_> = log.iter().map(|(request, _)| *request).filter(is_in_turn).collect();
        heard.dedup();
        let is_heard = |request: &&usize| heard.contains(request) && is_in_turn(request);
        let expected: Vec<_> = self.sim.turns.iter().filter(is_heard).copied().collect();
        assert_eq!(heard, expected, "the order of turns");
    }

    /// All that are left are answered, and each has heard what the model says, once.
    fn end(mut self) {
        while !self.responders.is_empty() {
            let (request, responder) = self.responders.remove(0);
            self.respond(request, responder, Ending::Value);
            self.agree();
        }
        assert!(self.sim.waiting.is_empty() && self.sim.line.is_empty() && self.sim.idle == self.sim.plan.instances);
        for (request, (hand, _)) in self.hands.iter_mut().enumerate() {
            match hand {
                Hand::Future(future) => {
                    let found = told(future.take().unwrap().wait().map(Some));
                    self.sim.compare(request, &[found]);
                }
                Hand::Responses(responses, _) => assert!(responses.next().is_none(), "request {request}"),
                Hand::Callback => {}
            }
        }
        assert_eq!(self.model.statistics().unwrap().refused_count, self.sim.refused);
        self.server.stop(Duration::from_secs(3600)).unwrap();
        self.compare_log();
        assert!(self.departed.try_recv().is_err(), "nothing departs that the model knows nothing of");
    }
}

/// What has come, if anything has.
fn poll(responses: &mut Responses) -> Option<Told> {
    match Pin::new(responses).poll_next(&mut Context::from_waker(Waker::noop())) {
        Poll::Pending => None,
        Poll::Ready(None) => Some(Told::End),
        Poll::Ready(Some(item)) => Some(told(item.map(Some))),
    }
}

proptest! {
    // A case that hangs fails after a while; it is not worth many of those to make it small.
    #![proptest_config(ProptestConfig { cases: 400, max_shrink_time: 60_000, ..ProptestConfig::default() })]

    #[test]
    fn the_flow_does_what_its_model_does(plan in plans(), steps in prop::collection::vec(steps(), 1..60)) {
        finishes(move || {
            let mut bench = Bench::new(plan);
            steps.into_iter().for_each(|step| bench.step(step));
            bench.end();
        });
    }
}
