//! What is left of a real network's throughput: images through the engine, beside the same plan called in a loop.
//!
//! Both sides run batches of one size on one thread. The engine is given one image a request: alone on the caller's
//! thread, or twice as many at once as a batch holds, so that the next batch fills while one runs.

use crate::arguments::Arguments;
use crate::case::{self, Case, CaseError};
use crate::client::{Client, Manner};
use crate::measure::{Figures, Meter, median, median_figures};
use crate::models::Models;
use inferlay::{ServerHandle, Tensor};
use serde_json::json;
use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::time::{Duration, Instant};
use tract_onnx::prelude as tract;
use tract_onnx::prelude::{Datum, Framework, InferenceFact, InferenceModelExt, IntoRunnable, tvec};

const MODEL: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/models/digits/1/model.onnx");

/// Batch size, and the names of its cases: the bare plan and the engine.
const SIZES: [(usize, &str, &str); 3] =
    [(1, "direct/1", "engine/1"), (8, "direct/8", "engine/8"), (64, "direct/64", "engine/64")];

/// The part of the bare plan's throughput that the engine should reach.
const AIM: f64 = 0.97;

/// Long enough for the backend to notice the size that comes often and to plan for it.
const WARM_UP: Duration = Duration::from_secs(2);

/// Runs the bench and prints its report.
pub(crate) fn run(arguments: &Arguments) -> Result<(), CaseError> {
    let models = Models::new("digits")?;
    for (size, _, engine) in SIZES {
        let folder = models.add(&model_name(engine), &config(size))?.join("1");
        fs::create_dir_all(&folder)?;
        fs::copy(MODEL, folder.join("model.onnx"))?;
    }
    let server = ServerHandle::builder().repository(models.folder()).strict().start()?;
    let mut cases: Vec<Box<dyn Case>> = Vec::new();
    for (size, direct, engine) in SIZES {
        let manner = if size == 1 { (Manner::Sync, 1) } else { (Manner::Callback, 2 * size) };
        let mut client = Client::new(engine, manner, server.model(&model_name(engine))?, ("image", image()?));
        warm_up(&mut client)?;
        cases.push(Box::new(Direct::new(direct, size)?));
        cases.push(Box::new(client));
    }
    let rounds = case::measure(cases, arguments)?;
    server.stop(Duration::from_secs(10))?;
    print(&rounds, arguments)
}

fn model_name(engine: &str) -> String {
    engine.replace('/', "-")
}

fn config(size: usize) -> String {
    let batching = "dynamic_batching: { max_queue_delay_microseconds: 0 }";
    let batching = if size == 1 { "" } else { batching };
    format!("backend: tract\nmax_batch_size: {size}\n{batching}\n")
}

/// Pixels as they come, 0 to 16; a network without branches takes the same time for any.
fn pixels(images: usize) -> Vec<f32> {
    (0..images * 64).map(|index| (index % 17) as f32).collect()
}

fn image() -> Result<Tensor, CaseError> {
    Ok(Tensor::from_vec(pixels(1), [1, 1, 8, 8])?)
}

fn warm_up(client: &mut Client) -> Result<(), CaseError> {
    let begun = Instant::now();
    while begun.elapsed() < WARM_UP {
        client.measure(0, 1_000)?;
    }
    Ok(())
}

/// The plan in a loop, with its state kept and its input made once.
struct Direct {
    name: &'static str,
    size: usize,
    state: tract::TypedSimpleState,
    input: tract::TValue,
}

impl Direct {
    fn new(name: &'static str, size: usize) -> Result<Self, CaseError> {
        let shape = [size, 1, 8, 8];
        let model = tract_onnx::onnx().model_for_path(Path::new(MODEL))?;
        let fact = InferenceFact::dt_shape(f32::datum_type(), shape);
        let plan = model.with_input_fact(0, fact)?.into_optimized()?.into_runnable()?;
        let input = tract::Tensor::from_shape(&shape, &pixels(size))?;
        Ok(Direct { name, size, state: plan.spawn()?, input: input.into() })
    }

    fn run(&mut self, batches: usize, samples: &mut Vec<u64>) -> Result<(), CaseError> {
        for _ in 0..batches {
            let begun = Instant::now();
            let outputs = self.state.run(tvec!(self.input.clone()))?;
            drop(outputs);
            samples.push(begun.elapsed().as_nanos() as u64);
        }
        Ok(())
    }
}

impl Case for Direct {
    fn name(&self) -> &'static str {
        self.name
    }

    fn measure(&mut self, warm_up: usize, requests: usize) -> Result<Figures, CaseError> {
        let (warm_up, batches) = (warm_up.div_ceil(self.size), requests.div_ceil(self.size));
        let mut samples = Vec::with_capacity(warm_up.max(batches));
        self.run(warm_up, &mut samples)?;
        samples.clear();
        let meter = Meter::start();
        self.run(batches, &mut samples)?;
        let mut figures = meter.stop(self.name, batches * self.size, &mut samples);
        figures.mean_batch = self.size as f64;
        Ok(figures)
    }
}

fn print(rounds: &[Vec<Figures>], arguments: &Arguments) -> Result<(), CaseError> {
    let cases: Vec<_> = rounds.iter().map(|case| median_figures(case)).collect();
    let mut out = io::stdout().lock();
    if arguments.is_json {
        writeln!(out, "{}", json!({ "cases": cases }))?;
        return Ok(());
    }
    writeln!(out, "{:12} {:>10} {:>10} {:>10} {:>7}", "case", "images/s", "p50 ns", "cpu ns", "batch")?;
    for case in &cases {
        let (name, speed, batch) = (case.name, case.req_per_s, case.mean_batch);
        writeln!(out, "{name:12} {speed:10.0} {:10.0} {:10.0} {batch:7.2}", case.p50_ns, case.cpu_ns_per_req)?;
    }
    writeln!(out)?;
    for (size, direct, engine) in SIZES {
        let find = |name: &str| rounds.iter().find(|case| case.first().is_some_and(|figures| figures.name == name));
        let (Some(direct), Some(engine)) = (find(direct), find(engine)) else { continue };
        let ratio =
            median(engine.iter().zip(direct).map(|(engine, direct)| engine.req_per_s / direct.req_per_s).collect());
        let said = if ratio >= AIM { "pass" } else { "MISS" };
        writeln!(out, "{said} batch of {size}: {:.1} % of the bare plan's throughput, aim {AIM:.2}", 100.0 * ratio)?;
    }
    Ok(())
}
