//! Queue policies, over a clock that is moved by hand: who fails, who is delayed, who is refused, and in which order the
//! others are served.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may unwrap")]

mod common;

use common::{Gate, ask, double, doubling, finishes};
use inferlay::config::{DynamicBatching, TimeoutAction};
use inferlay::{ErrorKind, ManualClock, ModelConfig, ModelHandle, Request, ResponseFuture, ServerHandle};
use inferlay_backend_sdk::Signature;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);

/// So many milliseconds, and a little more: timers are as fine as 65.5 us and never early.
fn past(ms: u32) -> Duration {
    ms * MS + Duration::from_micros(200)
}

/// A model whose first execution waits at a gate, so that what follows waits in its queue.
struct Held {
    clock: ManualClock,
    gate: Gate,
    model: ModelHandle,
    /// The requests in the order in which they were executed.
    served: Arc<Mutex<Vec<f32>>>,
    first: ResponseFuture,
    _server: ServerHandle,
}

/// Runs one request at a time, whatever the config says of batches.
fn one_by_one(batching: DynamicBatching) -> ModelConfig {
    doubling("m").max_batch_size(1).dynamic_batching(batching)
}

impl Held {
    fn new(config: ModelConfig) -> Held {
        let (clock, gate, served) = (ManualClock::new(), Gate::new(), Arc::<Mutex<Vec<f32>>>::default());
        let server = ServerHandle::builder().manual_clock(&clock).start().unwrap();
        let (at_gate, seen) = (gate.clone(), served.clone());
        let model = server.register_model(config, move |batch| {
            at_gate.pass();
            seen.lock().unwrap().push(batch.input("x")?.as_slice::<f32>()?[0]);
            double(batch)
        });
        let model = model.unwrap();
        let first = model.infer_async(ask(0.0)).unwrap();
        gate.await_come(1);
        Held { clock, gate, model, served, first, _server: server }
    }

    fn send(&self, request: Request<'static>) -> ResponseFuture {
        self.model.infer_async(request).unwrap()
    }

    /// Opens the gate, waits for all, and says in which order they were executed after the first.
    fn serve(self, futures: Vec<ResponseFuture>) -> Vec<f32> {
        self.gate.open();
        self.first.wait().unwrap();
        for future in futures {
            future.wait().unwrap();
        }
        let served = self.served.lock().unwrap();
        served[1..].to_vec()
    }
}

fn delaying(timeout_us: u64) -> ModelConfig {
    let mut config = one_by_one(DynamicBatching::default()).default_timeout_us(timeout_us);
    config.timeout_action = TimeoutAction::Delay;
    config
}

#[test]
fn a_late_request_is_served_after_those_in_time_and_is_not_rejected() {
    finishes(|| {
        let held = Held::new(delaying(2_000));
        let mut futures = vec![held.send(ask(1.0)), held.send(ask(2.0))];
        held.clock.advance(past(2));
        futures.extend([held.send(ask(3.0)), held.send(ask(4.0))]);
        assert_eq!(held.model.statistics().unwrap().queue_len, 4);
        let model = held.model.clone();
        assert_eq!(held.serve(futures), [3.0, 4.0, 1.0, 2.0]);
        assert_eq!(model.statistics().unwrap().expired_count, 0);
    });
}

#[test]
fn a_late_request_keeps_its_own_deadline() {
    finishes(|| {
        let held = Held::new(delaying(2_000));
        let late = held.send(ask(1.0).timeout(4 * MS));
        held.clock.advance(past(2));
        assert!(!late.is_ready());
        held.clock.advance(past(2));
        assert_eq!(late.wait().unwrap_err().kind(), ErrorKind::Timeout);
        assert!(held.serve(Vec::new()).is_empty());
    });
}

#[test]
fn a_late_request_goes_before_those_of_the_next_priority() {
    finishes(|| {
        let levels = DynamicBatching { priority_levels: 2, default_priority_level: 2, ..DynamicBatching::default() };
        let mut config = one_by_one(levels).default_timeout_us(2_000);
        config.timeout_action = TimeoutAction::Delay;
        let held = Held::new(config);
        let mut futures = vec![held.send(ask(1.0)), held.send(ask(2.0).priority(1))];
        held.clock.advance(past(2));
        futures.extend([held.send(ask(3.0)), held.send(ask(4.0).priority(1))]);
        assert_eq!(held.serve(futures), [4.0, 2.0, 3.0, 1.0]);
    });
}

#[test]
fn late_requests_fill_the_batches_of_those_in_time() {
    finishes(|| {
        let mut config = common::batching("m", 0).default_timeout_us(2_000);
        config.timeout_action = TimeoutAction::Delay;
        let held = Held::new(config);
        let mut futures = vec![held.send(ask(1.0))];
        held.clock.advance(past(2));
        futures.push(held.send(ask(2.0)));
        let model = held.model.clone();
        assert_eq!(held.serve(futures), [2.0], "one batch, which begins with the one in time");
        assert_eq!(model.statistics().unwrap().batch_sizes.into_iter().collect::<Vec<_>>(), [(1, 1), (2, 1)]);
    });
}

/// Three priorities: the first rejects after 1 ms and has one place, the second delays after 2 ms and has as many places as
/// the default, the third is as the default, which rejects after 9 ms and has three places.
fn by_priority() -> ModelConfig {
    let text = r"
        max_batch_size: 1
        input { name: 'x' data_type: TYPE_FP32 dims: 2 }
        output { name: 'y' data_type: TYPE_FP32 dims: 2 }
        dynamic_batching {
          priority_levels: 3 default_priority_level: 3
          default_queue_policy { default_timeout_microseconds: 9000 max_queue_size: 3 }
          priority_queue_policy { key: 1 value { default_timeout_microseconds: 1000 max_queue_size: 1 } }
          priority_queue_policy { key: 2 value { timeout_action: DELAY default_timeout_microseconds: 2000 } }
        }";
    let config = inferlay::config::parse("config.pbtxt", text).unwrap().strict().unwrap();
    config.complete("m", "closure", &Signature::default()).unwrap()
}

#[test]
fn each_priority_waits_as_its_own_policy_says() {
    finishes(|| {
        let held = Held::new(by_priority());
        let urgent = held.send(ask(1.0).priority(1));
        let mut futures = vec![held.send(ask(2.0).priority(2)), held.send(ask(3.0))];
        held.clock.advance(past(1));
        assert_eq!(urgent.wait().unwrap_err().kind(), ErrorKind::Timeout);
        held.clock.advance(past(1));
        futures.push(held.send(ask(4.0).priority(2)));
        assert_eq!(held.serve(futures), [4.0, 2.0, 3.0]);
    });
    finishes(|| {
        let held = Held::new(by_priority());
        let (second, third) = (held.send(ask(2.0).priority(2)), held.send(ask(3.0)));
        held.clock.advance(past(9));
        assert_eq!(third.wait().unwrap_err().kind(), ErrorKind::Timeout);
        assert_eq!(held.serve(vec![second]), [2.0]);
    });
}

#[test]
fn each_priority_is_refused_by_its_own_bound_and_leaves_the_places_of_others_alone() {
    finishes(|| {
        let held = Held::new(by_priority());
        let refused = |value: f32, priority: u32| {
            let error = held.model.infer_async(ask(value).priority(priority)).unwrap_err().error;
            assert_eq!((error.kind(), error.message()), (ErrorKind::ResourceExhausted, "the model's queue is full"));
        };
        let urgent = held.send(ask(1.0).priority(1));
        refused(9.0, 1);
        let others = [(2.0, 2), (2.5, 2), (2.75, 2), (3.0, 3), (3.5, 3), (4.0, 3)];
        let mut futures: Vec<_> = others.map(|(x, of)| held.send(ask(x).priority(of))).into();
        refused(9.0, 2);
        refused(9.0, 0);
        held.clock.advance(past(1));
        assert_eq!(urgent.wait().unwrap_err().kind(), ErrorKind::Timeout);
        // Its place is free again; so is the place of one that is cancelled.
        drop(held.send(ask(9.0).priority(1)));
        futures.push(held.send(ask(5.0).priority(1)));
        refused(9.0, 1);
        let model = held.model.clone();
        assert_eq!(held.serve(futures), [5.0, 2.0, 2.5, 2.75, 3.0, 3.5, 4.0]);
        assert_eq!(model.statistics().unwrap().refused_count, 4);
        // All places are free again.
        for priority in [1, 2, 2, 2, 2, 1, 3] {
            model.infer(ask(6.0).priority(priority)).unwrap();
        }
    });
}

#[test]
fn priorities_without_a_policy_have_a_queue_each() {
    finishes(|| {
        let levels = DynamicBatching { priority_levels: 2, default_priority_level: 2, ..DynamicBatching::default() };
        let held = Held::new(one_by_one(levels).queue_size_max(1));
        let futures = vec![held.send(ask(1.0)), held.send(ask(2.0).priority(1))];
        for priority in [0, 1, 2] {
            let refused = held.model.infer_async(ask(9.0).priority(priority)).unwrap_err();
            assert_eq!(refused.error.kind(), ErrorKind::ResourceExhausted, "priority {priority}");
        }
        assert_eq!(held.serve(futures), [2.0, 1.0]);
    });
}

#[test]
fn a_request_shortens_the_timeout_of_its_queue_only_where_that_is_allowed() {
    // Whether it is allowed, the queue's timeout, the request's; when it is late, in milliseconds.
    let rows: &[(bool, u32, u32, u32)] = &[(false, 3, 1, 3), (true, 3, 1, 1), (true, 3, 9, 3), (true, 0, 2, 2)];
    for action in [TimeoutAction::Reject, TimeoutAction::Delay] {
        for (allowed, queue, own, late) in rows.iter().copied() {
            finishes(move || {
                let mut config = one_by_one(DynamicBatching::default());
                config.default_timeout_us = Some(u64::from(queue) * 1_000).filter(|us| *us > 0);
                (config.timeout_action, config.allow_timeout_override) = (action, allowed);
                let held = Held::new(config);
                let hasty = held.send(ask(1.0).queue_timeout(own * MS));
                held.clock.advance(past(late - 1));
                let after = held.send(ask(2.0));
                assert!(!hasty.is_ready());
                held.clock.advance(MS);
                let case = format!("{action:?} {allowed} {queue} {own}");
                if action == TimeoutAction::Reject {
                    let error = hasty.wait().unwrap_err();
                    assert_eq!(error.message(), "the timeout of the model's queue passed", "{case}");
                    assert_eq!(held.serve(vec![after]), [2.0], "{case}");
                } else {
                    assert_eq!(held.serve(vec![hasty, after]), [2.0, 1.0], "{case}");
                }
            });
        }
    }
}
