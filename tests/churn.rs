//! Versions that come and go under traffic, for long and at random: no request is lost or refused that a version could have
//! answered, none is answered by a version that did not serve at the time, and nothing is left behind.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::print_stdout,
    reason = "a test may unwrap, and tell figures"
)]
#![cfg(all(target_os = "linux", target_env = "gnu"))]

mod common;
#[path = "common/memory.rs"]
mod memory;

use common::scale::{Scale, ask_in_turn};
use common::{Chance, eventually};
use inferlay::{ErrorKind, LoadOptions, ModelHandle, ModelState, ServerHandle};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// Whether this is the long form, which `INFERLAY_SOAK` asks for.
fn is_soak() -> bool {
    std::env::var_os("INFERLAY_SOAK").is_some()
}

fn server() -> (ServerHandle, Scale) {
    let scale = Scale::default();
    let builder = ServerHandle::builder().explicit([""; 0]).backend(Arc::new(scale.clone()));
    (builder.load_threads_max(2).start().unwrap(), scale)
}

fn version(number: u64, factor: &str) -> LoadOptions {
    LoadOptions::new().files([(format!("{number}/factor.txt"), factor.as_bytes().to_vec())])
}

/// What the model makes of a value, asked for in one of the three ways.
fn answer(model: &ModelHandle, turn: u64, value: f32) -> Result<f32, inferlay::Error> {
    Ok(ask_in_turn(model, turn, value)?.slice::<f32>("y").unwrap()[0])
}

/// What the clients know of the versions, each of which multiplies by its number.
#[derive(Default)]
struct Story {
    /// The version that serves for certain, and the last whose load has begun.
    serves: AtomicU64,
    begun: AtomicU64,
    answered: AtomicU64,
    is_over: AtomicBool,
}

/// Every fifth version is broken.
fn is_broken(version: u64) -> bool {
    version.is_multiple_of(5)
}

impl Story {
    fn client(&self, model: &ModelHandle, client: u64) {
        for turn in client.. {
            if self.is_over.load(Ordering::SeqCst) {
                return;
            }
            let number = (turn % 50 + 1) as f32;
            let least = self.serves.load(Ordering::SeqCst);
            let value = answer(model, turn, number).expect("a version serves at all times");
            let most = self.begun.load(Ordering::SeqCst);
            let by = (value / number).round() as u64;
            assert!((least..=most).contains(&by) && !is_broken(by), "version {by} answered, of {least} to {most}");
            self.answered.fetch_add(1, Ordering::SeqCst);
        }
    }
}

#[test]
fn soak_swaps_under_load_refuse_and_lose_nobody() {
    let versions = if is_soak() { 5000 } else { 200 };
    let (server, scale) = server();
    let story = Story { serves: AtomicU64::new(1), begun: AtomicU64::new(1), ..Story::default() };
    server.load_model_with("m", version(1, "1")).wait().unwrap();
    let model = server.model("m").unwrap();
    thread::scope(|scope| {
        for client in 0..16 {
            let (story, model) = (&story, model.clone());
            scope.spawn(move || story.client(&model, client));
        }
        for number in 2..=versions {
            let factor = if is_broken(number) { "broken".to_owned() } else { number.to_string() };
            story.begun.store(number, Ordering::SeqCst);
            let loaded = server.load_model_with("m", version(number, &factor)).wait();
            assert_eq!(loaded.is_err(), is_broken(number));
            if loaded.is_ok() {
                story.serves.store(number, Ordering::SeqCst);
            }
            let before = story.answered.load(Ordering::SeqCst);
            eventually("the clients go on", || story.answered.load(Ordering::SeqCst) >= before + 16);
        }
        story.is_over.store(true, Ordering::SeqCst);
    });
    eventually("all but one are freed", || (scale.models(), scale.instances()) == (1, 1));
    assert!(server.is_ready());
    let answered = story.answered.load(Ordering::SeqCst);
    println!("swaps: {versions} versions, {answered} requests answered by 16 clients, none refused; 1 model is left");
}

const MODELS: u64 = 5;

/// How long the loads and unloads go on.
#[derive(Clone, Copy)]
enum End {
    /// So many of each thread.
    After(u64),
    /// By the clock.
    At(Instant),
}

impl End {
    /// As the form wants that runs.
    fn of_form() -> Self {
        if is_soak() { End::At(Instant::now() + Duration::from_secs(5 * 60)) } else { End::After(60) }
    }

    fn is_there(self, turns: u64) -> bool {
        match self {
            End::After(all) => turns >= all,
            End::At(instant) => Instant::now() >= instant,
        }
    }
}

/// What came of the loads, unloads and requests.
#[derive(Default)]
struct Counts {
    operations: AtomicU64,
    answered: AtomicU64,
    refused: AtomicU64,
    /// Bytes that were resident after every [`SAMPLE`] operations.
    sizes: Mutex<Vec<f64>>,
}

const SAMPLE: u64 = 10_000;

impl Counts {
    fn operation(&self) {
        if self.operations.fetch_add(1, Ordering::SeqCst) % SAMPLE == SAMPLE - 1 {
            self.sizes.lock().unwrap().push(memory::resident());
        }
    }

    fn tell(&self) {
        let [operations, answered, refused] =
            [&self.operations, &self.answered, &self.refused].map(|count| count.load(Ordering::SeqCst));
        println!(
            "churn: {operations} loads and unloads by 8 threads, {answered} requests answered and {refused} refused as \
             not served; the states agree, and no model or instance is left"
        );
        let sizes = self.sizes.lock().unwrap();
        assert!(sizes.len() > 1 || !memory::is_long(), "nothing was measured");
        if let warm @ [_, .., end] = &sizes[sizes.len() / 10..] {
            let growth = memory::slope(warm) * 1000.0 / SAMPLE as f64 / 1024.0;
            let end = end / 1024.0;
            println!("churn: {end:.0} KB resident, growing by {growth:.2} KB per 1000 loads and unloads");
            assert!(growth < GROWTH_KB_MAX, "resident memory grows by {growth:.2} KB in 1000 loads and unloads");
        }
    }
}

/// What the resident size may grow by in 1,000 operations: by 5 MB in 10,000.
const GROWTH_KB_MAX: f64 = 500.0;

/// Loads and unloads at random; whatever comes of it must be one of what may come of it.
fn churn(server: &ServerHandle, seed: u64, end: End, counts: &Counts) {
    let mut chance = Chance::new(seed);
    for _ in (0..).take_while(|turns| !end.is_there(*turns)) {
        counts.operation();
        let model = format!("m{}", chance.below(MODELS));
        let number = 1 + chance.below(3);
        let operation = match chance.below(4) {
            0 => server.unload_model(&model),
            1 => server.load_model_with(&model, version(number, "broken")),
            _ => server.load_model_with(&model, version(number, &number.to_string())),
        };
        if chance.once_in(3) {
            continue;
        }
        if let Err(error) = operation.wait() {
            let expected = [ErrorKind::Cancelled, ErrorKind::InvalidArg, ErrorKind::NotFound];
            assert!(expected.contains(&error.kind()), "{error}");
        }
    }
}

/// Asks at random; a model may not serve, but one that does answers right.
fn traffic(server: &ServerHandle, seed: u64, is_over: &AtomicBool, counts: &Counts) {
    let mut chance = Chance::new(seed);
    while !is_over.load(Ordering::SeqCst) {
        let name = format!("m{}", chance.below(MODELS));
        let value = server.model(&name).and_then(|model| answer(&model, chance.number(), 2.0));
        match value {
            Ok(value) => {
                assert!([2.0, 4.0, 6.0].contains(&value), "{value}");
                counts.answered.fetch_add(1, Ordering::SeqCst);
            }
            Err(error) => {
                counts.refused.fetch_add(1, Ordering::SeqCst);
                assert!([ErrorKind::Unavailable, ErrorKind::NotFound].contains(&error.kind()), "{error}");
            }
        }
    }
}

#[test]
fn soak_loads_and_unloads_at_random_leave_a_server_in_order() {
    let (server, scale) = server();
    let (is_over, counts, end) = (AtomicBool::new(false), Counts::default(), End::of_form());
    thread::scope(|scope| {
        let (server, is_over, counts) = (&server, &is_over, &counts);
        for seed in 0..2 {
            scope.spawn(move || traffic(server, seed, is_over, counts));
        }
        let threads: Vec<_> = (0..8).map(|seed| scope.spawn(move || churn(server, 100 + seed, end, counts))).collect();
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        is_over.store(true, Ordering::SeqCst);
    });
    // Whatever was asked for and not waited for comes first: loads of a model come in order.
    for model in 0..MODELS {
        let name = format!("m{model}");
        server.load_model_with(&name, version(4, "4")).wait().unwrap();
        assert_eq!(answer(&server.model(&name).unwrap(), 0, 2.0).unwrap(), 8.0);
    }
    eventually("one version of each is left", || {
        (scale.models(), scale.instances()) == (MODELS as usize, MODELS as usize)
    });
    eventually("and no other is told of", || server.models().len() == MODELS as usize);
    assert!(server.models().iter().all(|status| status.version == 4 && status.state == ModelState::Ready));
    for model in 0..MODELS {
        server.unload_model(&format!("m{model}")).wait().unwrap();
    }
    assert_eq!((scale.models(), scale.instances()), (0, 0));
    counts.tell();
}
