//! What changes cost: the latency of clients while versions are swapped in, and the time to load many models.
//!
//! `swaps`: one client for each core but one asks a model that costs nothing, in a closed loop, with and without a thread
//! that loads a new version of it each millisecond; rounds take turns. There are as many instances as clients, so that the
//! clients do not wait for each other, and a core is left for the loads, as a server leaves one. `loads`: a hundred models,
//! each of whose loads reads and sums as many bytes as the digits network has, beside what these loads take by themselves,
//! divided by the cores.

use crate::arguments::Arguments;
use crate::case::CaseError;
use crate::measure::{median, percentile};
use inferlay::{Backend, Error, LoadOptions, ModelHandle, Request, ServerHandle, Tensor};
use inferlay_backend_sdk::{Attributes, Batch, Instance, InstanceSpec, Model, ModelSource, Signature};
use serde_json::json;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// From the begin of one swap to that of the next, unless it takes longer.
const SWAP_EVERY: Duration = Duration::from_millis(1);
const MODELS: usize = 100;
/// As many bytes as the digits network has.
const WEIGHTS_LEN: usize = 40_000;
/// How often a load goes over its bytes: about as long as a small network takes to be planned.
const PASSES: usize = 200;

const AIM_SWAPS: f64 = 2.0;
const AIM_LOADS: f64 = 1.3;

/// Runs the bench and prints its report.
pub(crate) fn run(arguments: &Arguments) -> Result<(), CaseError> {
    let (rounds, slice) = if arguments.is_short { (1, 50) } else { (7, 1000) };
    let rounds = arguments.rounds.unwrap_or(rounds);
    let slice = Duration::from_millis(slice);
    let (mut calm, mut swapping, mut swaps, mut ratios) = (Vec::new(), Vec::new(), 0, Vec::new());
    for _ in 0..rounds {
        calm.push(latencies(slice, false)?.0);
        let (samples, count) = latencies(slice, true)?;
        swapping.push(samples);
        swaps += count;
        ratios.push(loads()?);
    }
    let of = |rounds: &[Vec<u64>], rank| median(rounds.iter().map(|samples| percentile(samples, rank)).collect());
    let figures = [50, 99].map(|rank| (of(&calm, rank), of(&swapping, rank)));
    let loads = median(ratios);
    print(figures, swaps, loads, arguments)
}

fn print(figures: [(f64, f64); 2], swaps: u64, loads: f64, arguments: &Arguments) -> Result<(), CaseError> {
    let mut out = io::stdout().lock();
    let [(p50, p50_swapping), (p99, p99_swapping)] = figures;
    let ratio = p99_swapping / p99;
    if arguments.is_json {
        let report = json!({
            "p50_ns": p50, "p50_swapping_ns": p50_swapping, "p99_ns": p99, "p99_swapping_ns": p99_swapping,
            "p99_ratio": ratio, "swaps": swaps, "load_ratio": loads,
        });
        return Ok(writeln!(out, "{report:#}")?);
    }
    writeln!(out, "               p50 us   p99 us")?;
    writeln!(out, "calm         {:>8.2} {:>8.2}", p50 / 1000.0, p99 / 1000.0)?;
    writeln!(out, "swapping     {:>8.2} {:>8.2}   {swaps} swaps", p50_swapping / 1000.0, p99_swapping / 1000.0)?;
    writeln!(out, "p99 swapping / calm      {ratio:.2}  (aim: at most {AIM_SWAPS})")?;
    writeln!(out, "{MODELS} loads / their own time over the cores  {loads:.2}  (aim: at most {AIM_LOADS})")?;
    Ok(())
}

fn clients_max() -> usize {
    thread::available_parallelism().map_or(1, |cores| cores.get().saturating_sub(1).max(1))
}

fn version(number: u64) -> LoadOptions {
    let input = "input: {name: x, data_type: FP32, dims: [16]}";
    let config = format!("{{backend: 'null', {input}, instance_group: {{count: {}}}}}", clients_max());
    LoadOptions::new().config(config).files([(format!("{number}/weights"), vec![0; WEIGHTS_LEN])])
}

/// How long each request took, sorted, and how many versions were swapped in meanwhile.
fn latencies(slice: Duration, swaps: bool) -> Result<(Vec<u64>, u64), CaseError> {
    let server = ServerHandle::builder().explicit([""; 0]).start()?;
    server.load_model_with("m", version(1)).wait()?;
    let model = server.model("m")?;
    let is_over = AtomicBool::new(false);
    let (samples, count) = thread::scope(|scope| {
        let clients: Vec<_> = (0..clients_max()).map(|_| scope.spawn(|| client(&model.clone(), &is_over))).collect();
        let end = Instant::now() + slice;
        let mut count = 0;
        loop {
            let now = Instant::now();
            if now >= end {
                break;
            }
            if swaps {
                count += 1;
                server.load_model_with("m", version(count + 1)).wait()?;
            }
            thread::sleep(SWAP_EVERY.saturating_sub(now.elapsed()));
        }
        is_over.store(true, Ordering::Release);
        let mut samples = Vec::new();
        for client in clients {
            samples.extend(client.join().map_err(|_| "a client panicked")??);
        }
        Ok::<_, CaseError>((samples, count))
    })?;
    server.stop(Duration::from_secs(10))?;
    let mut samples = samples;
    samples.sort_unstable();
    Ok((samples, count))
}

fn client(model: &ModelHandle, is_over: &AtomicBool) -> Result<Vec<u64>, Error> {
    let mut samples = Vec::with_capacity(1 << 20);
    let x = Tensor::from_vec(vec![0.0f32; 16], [16])?;
    while !is_over.load(Ordering::Acquire) {
        let begun = Instant::now();
        drop(model.infer(Request::new().input("x", x.clone()))?);
        samples.push(begun.elapsed().as_nanos() as u64);
    }
    Ok(samples)
}

/// The time to load all models, over the sum of what their backend takes divided by the cores.
fn loads() -> Result<f64, CaseError> {
    let took = Arc::new(AtomicU64::new(0));
    let builder = ServerHandle::builder().backend(Arc::new(Summing(took.clone()))).strict();
    let builder = (0..MODELS).fold(builder, |builder, index| {
        let config = "{backend: summing, input: {name: x, data_type: FP32, dims: [1]}}".as_bytes().to_vec();
        builder.model_in_memory(format!("m{index}"), [("config.yaml", config), ("weights", vec![7; WEIGHTS_LEN])])
    });
    let cores = thread::available_parallelism()?.get();
    let begun = Instant::now();
    let server = builder.load_threads_max(cores).start()?;
    let all = begun.elapsed();
    server.stop(Duration::from_secs(10))?;
    Ok(all.as_nanos() as f64 / (took.load(Ordering::Relaxed) as f64 / cores as f64))
}

/// A backend whose loads take time, which it counts.
struct Summing(Arc<AtomicU64>);

struct Sum(Signature);

impl Backend for Summing {
    fn name(&self) -> &str {
        "summing"
    }

    fn version(&self) -> &str {
        "1"
    }

    fn file_names(&self) -> &[&str] {
        &[]
    }

    fn attributes(&self) -> Attributes {
        Attributes::CALLER_OK | Attributes::PARALLEL_LOAD
    }

    fn load(&self, source: &ModelSource<'_>) -> Result<Box<dyn Model>, Error> {
        let begun = Instant::now();
        let weights = source.files.read("weights")?;
        let pass = |sum: u64, _: usize| weights.iter().fold(sum, |sum, byte| sum.wrapping_mul(31) ^ u64::from(*byte));
        std::hint::black_box((0..PASSES).fold(0, pass));
        self.0.fetch_add(begun.elapsed().as_nanos() as u64, Ordering::Relaxed);
        Ok(Box::new(Sum(source.config.clone())))
    }
}

impl Model for Sum {
    fn signature(&self) -> &Signature {
        &self.0
    }

    fn instance(&self, _spec: &InstanceSpec) -> Result<Box<dyn Instance>, Error> {
        Ok(Box::new(Sum(Signature::default())))
    }
}

impl Instance for Sum {
    fn execute(&mut self, _batch: &dyn Batch) -> Result<(), Error> {
        Err(Error::unsupported("it is only loaded"))
    }
}
