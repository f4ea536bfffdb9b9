//! Overload: an instance that does not come back, a short queue, and far more requests than can ever run. Every one is
//! answered and lets go of what it owns, however many there were before it.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may unwrap")]

mod common;

use common::{Gate, PATIENCE, answer, ask, doubling, finishes, gated};
use inferlay::{Buffer, DataType, ErrorKind, ManualClock, ModelHandle, Request, ResponseFuture, ServerHandle, Tensor};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

const REQUESTS: usize = 100_000;
/// The bound of the queue.
const QUEUED_MAX: usize = 16;
/// Requests between two moves of the clock: more than the queue takes.
const ROUND: usize = 20;
const TIMEOUT: Duration = Duration::from_millis(1);
/// Timers are as fine as 65.5 us and never early.
const PAST_TIMEOUT: Duration = Duration::from_micros(1_200);
/// By how many bytes the process may grow while requests come and go in vain.
const GROWTH_MAX: usize = 16 << 20;

#[test]
fn a_flood_behind_a_held_instance_is_answered_and_leaves_nothing_behind() {
    finishes(|| {
        let (gate, clock) = (Gate::new(), ManualClock::new());
        let server = ServerHandle::builder().manual_clock(&clock).start().unwrap();
        let config = doubling("m").queue_size_max(QUEUED_MAX);
        let model = server.register_model(config, gated(&gate)).unwrap();
        let running = model.infer_async(ask(1.0)).unwrap();
        gate.await_come(1);

        let mut flood = Flood::new(model.clone(), clock);
        flood.round();
        let (bytes, pool_bytes) = (resident_bytes(), server.pool_bytes());
        (1..REQUESTS / ROUND).for_each(|_| flood.round());
        assert_eq!(flood.expired + flood.refused, REQUESTS);
        assert_eq!(server.pool_bytes(), pool_bytes);
        let grown = resident_bytes().saturating_sub(bytes);

        gate.open();
        assert_eq!(running.wait().unwrap().slice::<f32>("y").unwrap(), answer(1.0));
        assert_eq!(model.infer(ask(2.0)).unwrap().slice::<f32>("y").unwrap(), answer(2.0));
        let statistics = model.statistics().unwrap();
        assert_eq!((statistics.expired_count, statistics.refused_count), (flood.expired as u64, flood.refused as u64));
        assert_eq!((statistics.execution_count, gate.come()), (2, 2), "none of the flood was run");
        assert!(grown < GROWTH_MAX, "{REQUESTS} requests that are answered still hold {} KiB", grown >> 10);
        server.stop(PATIENCE).unwrap();
    });
}

/// Rounds of requests that expire while they wait, and what became of them.
struct Flood {
    model: ModelHandle,
    clock: ManualClock,
    waiting: Vec<ResponseFuture>,
    inputs: Arc<AtomicUsize>,
    expired: usize,
    refused: usize,
}

impl Flood {
    fn new(model: ModelHandle, clock: ManualClock) -> Self {
        Flood { model, clock, waiting: Vec::with_capacity(ROUND), inputs: Arc::default(), expired: 0, refused: 0 }
    }

    /// Fills the queue beyond its bound, lets the deadline of all that wait pass, and receives every answer.
    fn round(&mut self) {
        for _ in 0..ROUND {
            let request = Request::new().input("x", Counted::tensor(&self.inputs)).timeout(TIMEOUT);
            match self.model.infer_async(request) {
                Ok(future) => self.waiting.push(future),
                Err(refused) => {
                    assert_eq!(refused.error.kind(), ErrorKind::ResourceExhausted);
                    self.refused += 1;
                }
            }
        }
        assert_eq!(self.waiting.len(), QUEUED_MAX, "the answered ones gave their places in the queue back");
        assert_eq!(self.inputs.load(Ordering::SeqCst), QUEUED_MAX, "a refusal gives the inputs back");
        self.clock.advance(PAST_TIMEOUT);
        for future in self.waiting.drain(..) {
            assert_eq!(future.wait().unwrap_err().kind(), ErrorKind::Timeout);
            self.expired += 1;
        }
        assert_eq!(self.inputs.load(Ordering::SeqCst), 0, "whoever has the answer finds the inputs released");
    }
}

/// The bytes of an input, counted for as long as they live.
#[repr(align(8))]
struct Counted([u8; 8], Arc<AtomicUsize>);

impl Counted {
    fn tensor(alive: &Arc<AtomicUsize>) -> Tensor {
        alive.fetch_add(1, Ordering::SeqCst);
        let counted = Arc::new(Counted([0; 8], alive.clone()));
        Tensor::new(DataType::Fp32, [1, 2], Buffer::from_arc(counted, |counted| &counted.0)).unwrap()
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.1.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Physical memory of the process.
#[cfg(target_os = "linux")]
fn resident_bytes() -> usize {
    // The second number, in pages; a page is at least this large.
    const PAGE: usize = 4096;
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * PAGE
}

/// Nowhere else is it told by a file.
#[cfg(not(target_os = "linux"))]
fn resident_bytes() -> usize {
    0
}
