//! What the integration tests share: models that wait at a gate, patience with an end, folders that go away, and chance
//! that can be repeated.
//!
//! Nothing here sleeps. Whatever waits, waits for an event, and for [`PATIENCE`] at most: a deadlock fails its test.

#![allow(dead_code, unreachable_pub, reason = "every test binary is a crate of its own and uses a part of it")]

pub mod custom;
pub mod explicit;
pub mod paged;
pub mod scale;
pub mod site;

use inferlay::config::DynamicBatching;
use inferlay::{DataType, Error, ModelBatch, ModelConfig, Request, Tensor};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Condvar, Mutex};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

/// How long anything may take before it counts as a deadlock, on a machine that is busy with other things.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Runs `body` on a thread of its own and fails if it does not come back.
pub fn finishes<T: Send + 'static>(body: impl FnOnce() -> T + Send + 'static) -> T {
    let (send, receive) = mpsc::channel();
    let thread = thread::spawn(move || {
        let _nobody_listens_any_more = send.send(body());
    });
    match receive.recv_timeout(PATIENCE) {
        Ok(result) => {
            thread.join().unwrap();
            result
        }
        Err(RecvTimeoutError::Disconnected) => match thread.join() {
            Err(panic) => std::panic::resume_unwind(panic),
            Ok(()) => unreachable!("a body that came back has sent its result"),
        },
        Err(RecvTimeoutError::Timeout) => panic!("not finished after {PATIENCE:?}: a deadlock"),
    }
}

/// Waits for a message, with patience.
#[track_caller]
pub fn receive<T>(from: &mpsc::Receiver<T>) -> T {
    from.recv_timeout(PATIENCE).expect("nothing came")
}

/// Waits until `is_so`, with patience. For states that nothing tells of.
#[track_caller]
pub fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < end, "never so: {what}");
        thread::yield_now();
    }
}

/// Holds executions until they are let through, and counts those that have come.
#[derive(Clone, Default)]
pub struct Gate(Arc<(Mutex<GateState>, Condvar)>);

#[derive(Default)]
struct GateState {
    come: usize,
    passes: usize,
    is_open: bool,
}

impl Gate {
    /// A gate that holds everything.
    pub fn new() -> Self {
        Self::default()
    }

    /// Waits at the gate.
    pub fn pass(&self) {
        let mut state = self.0.0.lock().unwrap();
        state.come += 1;
        self.0.1.notify_all();
        let mut state = self.0.1.wait_while(state, |state| !state.is_open && state.passes == 0).unwrap();
        if !state.is_open {
            state.passes -= 1;
        }
    }

    /// Lets `count` executions through.
    pub fn admit(&self, count: usize) {
        self.0.0.lock().unwrap().passes += count;
        self.0.1.notify_all();
    }

    /// Lets everything through from now on.
    pub fn open(&self) {
        self.0.0.lock().unwrap().is_open = true;
        self.0.1.notify_all();
    }

    /// How many have come.
    pub fn come(&self) -> usize {
        self.0.0.lock().unwrap().come
    }

    /// Waits until `count` executions have come.
    #[track_caller]
    pub fn await_come(&self, count: usize) {
        let state = self.0.0.lock().unwrap();
        let (state, waited) = self.0.1.wait_timeout_while(state, PATIENCE, |state| state.come < count).unwrap();
        assert!(!waited.timed_out(), "{} executions came, expected {count}", state.come);
    }
}

/// The config of a model that doubles `x` into `y`, rows of two, without batching of requests.
pub fn doubling(name: &str) -> ModelConfig {
    ModelConfig::new(name).input("x", DataType::Fp32, [2]).output("y", DataType::Fp32, [2]).max_batch_size(8)
}

/// The same with dynamic batching and a delay.
pub fn batching(name: &str, delay_us: u64) -> ModelConfig {
    doubling(name).dynamic_batching(DynamicBatching { delay_us_max: delay_us, ..DynamicBatching::default() })
}

/// The function of that model.
pub fn double(batch: &ModelBatch<'_>) -> Result<(), Error> {
    let x = batch.input("x")?.as_slice::<f32>()?;
    let y = batch.output("y", [batch.rows(), 2])?.as_mut_slice::<f32>()?;
    y.iter_mut().zip(x).for_each(|(y, x)| *y = 2.0 * x);
    Ok(())
}

/// The function of that model behind a gate.
pub fn gated(gate: &Gate) -> impl Fn(&ModelBatch<'_>) -> Result<(), Error> + Send + Sync + 'static {
    let gate = gate.clone();
    move |batch| {
        gate.pass();
        double(batch)
    }
}

/// One row.
pub fn x(value: f32) -> Tensor {
    Tensor::from_vec(vec![value, value + 0.5], [1, 2]).unwrap()
}

/// A request of one row.
pub fn ask(value: f32) -> Request<'static> {
    Request::new().input("x", x(value))
}

/// What the model makes of it.
pub fn answer(value: f32) -> Vec<f32> {
    vec![2.0 * value, 2.0 * value + 1.0]
}

/// A temporary folder, removed when dropped.
pub struct Folder(PathBuf);

impl Folder {
    /// A folder that holds these files.
    pub fn with(files: &[(&str, &str)]) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let unique = format!("inferlay-it-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let folder = Folder(fs::canonicalize(std::env::temp_dir()).unwrap().join(unique));
        fs::create_dir(&folder.0).unwrap();
        files.iter().for_each(|(name, text)| folder.write(name, text));
        folder
    }

    /// Adds a file.
    pub fn write(&self, name: &str, text: &str) {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _it_may_stay_behind = fs::remove_dir_all(&self.0);
    }
}

/// The smallest executor: polls on this thread, sleeps until woken.
pub fn block_on<F: Future>(future: F) -> F::Output {
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = std::pin::pin!(future);
    let end = Instant::now() + PATIENCE;
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        let left = end.saturating_duration_since(Instant::now());
        assert!(!left.is_zero(), "the future was never woken");
        thread::park_timeout(left);
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Numbers that look random and are the same for the same seed (SplitMix64).
pub struct Chance(u64);

impl Chance {
    /// A series of numbers.
    pub fn new(seed: u64) -> Self {
        Chance(seed)
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.number() % end
    }

    /// Whether something happens that does so once in `times`.
    pub fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }
}
