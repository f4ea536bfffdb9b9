//! In the steady state a request allocates nothing, and copies what a batch needs and no more.
//!
//! The allocator of this program counts for all threads. So that nothing but the engine can add to the count, the
//! program has one test, which goes through its cases one after the other.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test may unwrap")]

mod common;
#[path = "common/plugins.rs"]
mod plugins;

use common::{PATIENCE, finishes};
use inferlay::{Input, ModelHandle, Request, ResponseFuture, ServerBuilder, ServerHandle, Tensor};
use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex};
use std::time::Duration;

/// Requests before the first window, until pools and queues have the size that they keep.
const WARM_UP: usize = 4_000;
/// Requests of a window.
const WINDOW: usize = 2_000;
/// How many windows may be tried until one has no allocation. How many requests are on their way at once is up to the
/// scheduler, and a pool grows when they are more than ever before; an allocation per request shows in every window.
const WINDOWS_MAX: usize = 4;
/// Requests that are on their way at once, in the cases with several.
const IN_FLIGHT: usize = 64;
/// Rows of a full batch of the model `full`, and of `large`.
const ROWS: usize = 8;
/// A deadline that never passes.
const NEVER: Duration = Duration::from_secs(3600);
/// What is asked, and answered.
const X: [f32; 16] = [0.5; 16];

const PLAIN: &str = "backend: \"null\"\ninput: [{ name: x, data_type: TYPE_FP32, dims: [16] }]\n";
const WORKERS_ONLY: &str =
    "backend: \"null\"\ncaller_runs: never\ninput: [{ name: x, data_type: TYPE_FP32, dims: [16] }]\n";
const BATCHED: &str = "backend: \"null\"\nmax_batch_size: 64\ninput: [{ name: x, data_type: TYPE_FP32, dims: [16] }]\n\
    dynamic_batching: {}\n";
/// Its delay is so long that a batch is closed by its last row alone.
const FULL: &str = "backend: \"null\"\nmax_batch_size: 8\ninput: [{ name: x, data_type: TYPE_FP32, dims: [16] }]\n\
    dynamic_batching: { max_queue_delay_microseconds: 60000000 }\n";
/// Everything that a queue can be asked for: an order, priorities with places of their own, timeouts that reject or delay.
const QUEUED: &str = "backend: \"null\"\nmax_batch_size: 8\ninput: [{ name: x, data_type: TYPE_FP32, dims: [16] }]\n\
    instance_group: { count: 2 }\n\
    dynamic_batching: { preserve_ordering: true, priority_levels: 2, default_priority_level: 1, \
      default_queue_policy: { default_timeout_microseconds: 3600000000, allow_timeout_override: true }, \
      priority_queue_policy: { 2: { timeout_action: DELAY, default_timeout_microseconds: 1, max_queue_size: 100 } } }\n";
/// As `full`, with rows that are too large to be copied into responses.
const LARGE: &str = "backend: \"null\"\nmax_batch_size: 8\ninput: [{ name: x, data_type: TYPE_FP32, dims: [2048] }]\n\
    dynamic_batching: { max_queue_delay_microseconds: 60000000 }\n";
/// Ragged, told of by the batch, and handed out by its shape.
const RAGGED: &str = "backend: \"null\"\nmax_batch_size: 8\n\
    input: [{ name: x, data_type: TYPE_FP32, dims: [-1], allow_ragged_batch: true }]\n\
    output: [{ name: x, data_type: TYPE_FP32, dims: [-1] }, { name: n, data_type: TYPE_FP32, dims: [] }]\n\
    batch_input: [{ kind: BATCH_ELEMENT_COUNT, target_name: n, data_type: TYPE_FP32, source_input: x }]\n\
    batch_output: [{ target_name: x, source_input: x }]\n\
    dynamic_batching: { max_queue_delay_microseconds: 60000000 }\n";
/// Other dims for the model than for clients.
const RESHAPED: &str = "backend: \"null\"\nmax_batch_size: 8\n\
    input: [{ name: x, data_type: TYPE_FP32, dims: [16], reshape: { shape: [4, 4] } }]\n\
    output: [{ name: x, data_type: TYPE_FP32, dims: [2, 8], reshape: { shape: [4, 4] } }]\n\
    dynamic_batching: { max_queue_delay_microseconds: 60000000 }\n";

#[test]
fn a_request_allocates_nothing_and_copies_no_more_than_its_batch_needs() {
    let models = [
        ("plain", PLAIN),
        ("workers", WORKERS_ONLY),
        ("batched", BATCHED),
        ("full", FULL),
        ("queued", QUEUED),
        ("large", LARGE),
        ("ragged", RAGGED),
        ("reshaped", RESHAPED),
    ];
    let plugins = ["writes", "hands_over"];
    let builder = plugins.into_iter().fold(ServerHandle::builder(), with_plugin);
    let server = models.into_iter().fold(builder, with_model).strict().start().unwrap();
    blocking_calls_allocate_nothing(&server);
    asynchronous_calls_allocate_nothing(&server);
    batches_allocate_nothing(&server);
    plugins.into_iter().for_each(|name| a_plugin_costs_no_allocation(&server, name));
    a_request_alone_is_never_copied(&server);
    a_batch_copies_its_inputs_and_its_small_outputs(&server);
    server.stop(PATIENCE).unwrap();
}

fn with_model(builder: ServerBuilder, (name, config): (&str, &str)) -> ServerBuilder {
    builder.model_in_memory(name, [("config.yaml", config.as_bytes().to_vec())])
}

/// A model of a backend in C that multiplies by one; what the backend itself allocates does not count.
fn with_plugin(builder: ServerBuilder, name: &str) -> ServerBuilder {
    let directory = plugins::c_plugin(name, &["FACTOR=1", &name.to_uppercase()]);
    let ports = "put: [{ name: x, data_type: TYPE_FP32, dims: [16] }]";
    let batching = "max_batch_size: 8\ndynamic_batching: { max_queue_delay_microseconds: 60000000 }";
    let [alone, batched] = ["", batching].map(|own| format!("backend: {name}\nin{ports}\nout{ports}\n{own}\n"));
    let builder = with_model(builder.backend_directory(directory), (name, &alone));
    with_model(builder, (&format!("{name}_batched"), &batched))
}

fn a_plugin_costs_no_allocation(server: &ServerHandle, name: &str) {
    let (model, x) = (server.model(name).unwrap(), owned([16]));
    steady(&format!("{name}: futures"), futures(model.clone(), x.clone(), IN_FLIGHT, |request| request));
    steady(&format!("{name}: blocking"), {
        let model = model.clone();
        move |requests| (0..requests).for_each(|_| call(&model, of(&x)))
    });
    assert_eq!(model.statistics().unwrap().bytes_copied, 0, "{name}");
    let batched = server.model(&format!("{name}_batched")).unwrap();
    steady(&format!("{name}: batches"), futures(batched, owned([1, 16]), ROWS, |request| request));
}

fn blocking_calls_allocate_nothing(server: &ServerHandle) {
    for name in ["plain", "workers"] {
        let model = server.model(name).unwrap();
        steady(&format!("{name}: blocking, owned"), {
            let (model, x) = (model.clone(), owned([16]));
            move |requests| (0..requests).for_each(|_| call(&model, of(&x)))
        });
        steady(&format!("{name}: blocking, borrowed"), {
            let model = model.clone();
            move |requests| {
                let x = X;
                let request = || Request::new().input("x", Input::from_slice(&x, [16]).unwrap());
                (0..requests).for_each(|_| call(&model, request()));
            }
        });
        let x = owned([16]);
        steady(&format!("{name}: blocking, with a timeout"), move |requests| {
            (0..requests).for_each(|_| call(&model, of(&x).timeout(NEVER)));
        });
    }
}

fn asynchronous_calls_allocate_nothing(server: &ServerHandle) {
    let model = || server.model("plain").unwrap();
    for in_flight in [1, IN_FLIGHT] {
        steady(&format!("plain: {in_flight} futures"), futures(model(), owned([16]), in_flight, |request| request));
        steady(
            &format!("plain: {in_flight} futures with a timeout"),
            futures(model(), owned([16]), in_flight, |request| request.timeout(NEVER)),
        );
        steady(&format!("plain: {in_flight} callbacks"), callbacks(model(), owned([16]), in_flight));
    }
}

fn batches_allocate_nothing(server: &ServerHandle) {
    let model = |name| server.model(name).unwrap();
    steady("batched: futures", futures(model("batched"), owned([1, 16]), IN_FLIGHT, |request| request));
    steady(
        "batched: futures with a timeout",
        futures(model("batched"), owned([1, 16]), IN_FLIGHT, |request| request.timeout(NEVER)),
    );
    steady("batched: callbacks", callbacks(model("batched"), owned([1, 16]), IN_FLIGHT));
    steady("full: futures", futures(model("full"), owned([1, 16]), ROWS, |request| request));
    steady("full: callbacks", callbacks(model("full"), owned([1, 16]), ROWS));
    steady("ragged: futures", futures(model("ragged"), owned([1, 16]), ROWS, |request| request));
    steady("reshaped: futures", futures(model("reshaped"), owned([1, 16]), ROWS, |request| request));
    steady("queued: callbacks", callbacks(model("queued"), owned([1, 16]), IN_FLIGHT));
    steady(
        "queued: futures with two timeouts",
        futures(model("queued"), owned([1, 16]), IN_FLIGHT, |request| request.timeout(NEVER).queue_timeout(NEVER / 2)),
    );
    steady("queued: late futures", futures(model("queued"), owned([1, 16]), IN_FLIGHT, |request| request.priority(2)));
}

fn a_request_alone_is_never_copied(server: &ServerHandle) {
    for name in ["plain", "workers"] {
        let statistics = server.model(name).unwrap().statistics().unwrap();
        assert!(statistics.success.count > WARM_UP as u64, "{name}");
        assert_eq!(statistics.bytes_copied, 0, "{name}");
    }
    let (model, x) = (server.model("batched").unwrap(), owned([1, 16]));
    let before = model.statistics().unwrap().bytes_copied;
    (0..10).for_each(|_| call(&model, of(&x)));
    (0..10).for_each(|_| drop(model.infer_async(of(&x)).unwrap().wait().unwrap()));
    assert_eq!(model.statistics().unwrap().bytes_copied, before, "a batch of one");
}

fn a_batch_copies_its_inputs_and_its_small_outputs(server: &ServerHandle) {
    let row = size_of_val(&X) as u64;
    // However the requests fell into batches: those of a batch of several were copied on their way in and out.
    for name in ["batched", "full"] {
        let statistics = server.model(name).unwrap().statistics().unwrap();
        let gathered: u64 = statistics.batch_sizes.iter().filter(|(rows, _)| **rows > 1).map(rows_of).sum();
        assert_eq!(statistics.bytes_copied, gathered * 2 * row, "{name}: {:?}", statistics.batch_sizes);
    }
    let full = server.model("full").unwrap().statistics().unwrap();
    assert_eq!(full.batch_sizes.keys().collect::<Vec<_>>(), [&ROWS], "the delay never passed");

    let large = server.model("large").unwrap();
    let x = Tensor::from_vec(vec![0.5f32; 2048], [1, 2048]).unwrap();
    let row = x.data().len() as u64;
    finishes({
        let large = large.clone();
        move || {
            let waiting: Vec<_> = (0..ROWS).map(|_| large.infer_async(of(&x)).unwrap()).collect();
            for future in waiting {
                assert_eq!(future.wait().unwrap().slice::<f32>("x").unwrap(), [0.5; 2048]);
            }
        }
    });
    let copied = large.statistics().unwrap().bytes_copied;
    assert_eq!(copied, ROWS as u64 * row, "large outputs are views of the batch's");
}

fn rows_of((rows, executions): (&usize, &u64)) -> u64 {
    *rows as u64 * executions
}

/// Fails unless `run`, which is told how many requests to make, comes to run without an allocation.
fn steady(case: &str, mut run: impl FnMut(usize) + Send + 'static) {
    let counts = finishes(move || {
        run(WARM_UP);
        let mut counts = [0; WINDOWS_MAX];
        for place in &mut counts {
            let before = count();
            run(WINDOW);
            *place = count() - before;
            if *place == 0 {
                return None;
            }
        }
        Some(counts)
    });
    assert_eq!(counts, None, "{case}: allocations in each window of {WINDOW} requests");
}

/// What is asked, as a tensor that requests share.
fn owned<const N: usize>(shape: [usize; N]) -> Tensor {
    Tensor::from_vec(X.to_vec(), shape).unwrap()
}

fn of(x: &Tensor) -> Request<'static> {
    Request::new().input("x", x.clone())
}

fn call(model: &ModelHandle, request: Request<'_>) {
    assert_eq!(model.infer(request).unwrap().slice::<f32>("x").unwrap(), X);
}

/// Makes requests that are waited for, `in_flight` at once.
fn futures(
    model: ModelHandle,
    x: Tensor,
    in_flight: usize,
    adorn: fn(Request<'static>) -> Request<'static>,
) -> impl FnMut(usize) + Send + 'static {
    let mut waiting: Vec<ResponseFuture> = Vec::with_capacity(in_flight);
    move |requests| {
        for _ in 0..requests.div_ceil(in_flight) {
            waiting.extend((0..in_flight).map(|_| model.infer_async(adorn(of(&x))).unwrap()));
            waiting.drain(..).for_each(|future| assert_eq!(future.wait().unwrap().slice::<f32>("x").unwrap(), X));
        }
    }
}

/// Makes requests that a callback tells of, `in_flight` at once.
fn callbacks(model: ModelHandle, x: Tensor, in_flight: usize) -> impl FnMut(usize) + Send + 'static {
    // It lives as long as the program, so that a callback captures a reference.
    let desk: &'static Desk = Box::leak(Box::default());
    move |requests| {
        for _ in 0..requests.div_ceil(in_flight) {
            for index in 0..in_flight {
                let tell = move |outcome: Result<inferlay::Response, inferlay::Error>| {
                    let is_right = outcome.is_ok_and(|response| response.slice::<f32>("x").is_ok_and(|x| x == X));
                    desk.tell(index, is_right);
                };
                model.infer_callback(of(&x), tell).unwrap();
            }
            desk.await_told(in_flight);
        }
    }
}

/// Where callbacks tell that they were called, each by its bit.
#[derive(Default)]
struct Desk {
    right: Mutex<u64>,
    told: Condvar,
}

impl Desk {
    fn tell(&self, index: usize, is_right: bool) {
        *self.right.lock().unwrap() |= u64::from(is_right) << index;
        self.told.notify_one();
    }

    /// Waits until as many have told, and forgets them.
    fn await_told(&self, count: usize) {
        let right = self.right.lock().unwrap();
        let missing = |right: &mut u64| right.count_ones() < count as u32;
        let (mut right, waited) = self.told.wait_timeout_while(right, PATIENCE, missing).unwrap();
        assert!(!waited.timed_out(), "{} of {count} answers were right", right.count_ones());
        *right = 0;
    }
}

static COUNT: AtomicU64 = AtomicU64::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The system's allocator with a count of the allocations beside it, for all threads.
struct Counting;

/// How often memory was allocated or moved to grow since the program began.
fn count() -> u64 {
    COUNT.load(Ordering::Relaxed)
}

// SAFETY: every method passes its arguments on to the system's allocator and returns what that returned.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        COUNT.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, len: usize) -> *mut u8 {
        COUNT.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.realloc(pointer, layout, len) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) };
    }
}
