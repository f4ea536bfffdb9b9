//! What is left of ONNX Runtime's speed: networks through the engine, beside bare calls of the same C API.
//!
//! Both sides compute on one thread. The engine is given one image a request: alone on the caller's thread, or twice as
//! many at once as a batch holds, so that the next batch fills while one runs.

mod direct;

use crate::arguments::Arguments;
use crate::case::{self, Case, CaseError};
use crate::client::{Client, Manner};
use crate::measure::{Figures, median, median_figures};
use crate::models::Models;
use crate::overhead::report;
use direct::Direct;
use inferlay::{ServerHandle, Tensor};
use inferlay_backend_onnxruntime::OnnxRuntimeBackend;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

const DIGITS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/models/digits/1/model.onnx");
const RESNET: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/native/resnet18.py");

/// The part of the bare calls' throughput that the engine should reach.
const AIM: f64 = 0.98;
/// What a request alone may take longer, in nanoseconds.
const ABOVE_MAX: f64 = 2_000.0;

/// A network and what it takes and gives.
pub(crate) struct Network {
    name: &'static str,
    input: &'static str,
    dims: &'static [usize],
    output: &'static str,
    output_len: usize,
    /// Batch size, and the names of its cases: the bare calls and the engine.
    sizes: &'static [(usize, &'static str, &'static str)],
}

const NETWORKS: [Network; 2] = [
    Network {
        name: "digits",
        input: "image",
        dims: &[1, 8, 8],
        output: "logits",
        output_len: 10,
        sizes: &[
            (1, "digits-bare/1", "digits/1"),
            (8, "digits-bare/8", "digits/8"),
            (64, "digits-bare/64", "digits/64"),
        ],
    },
    Network {
        name: "resnet18",
        input: "image",
        dims: &[3, 224, 224],
        output: "scores",
        output_len: 1000,
        sizes: &[(1, "resnet18-bare/1", "resnet18/1"), (8, "resnet18-bare/8", "resnet18/8")],
    },
];

impl Network {
    fn shape(&self, rows: usize) -> Vec<i64> {
        [&[rows], self.dims].concat().into_iter().map(|dim| dim as i64).collect()
    }

    /// Pixels of some pattern; a network without branches takes the same time for any.
    fn pixels(&self, rows: usize) -> Vec<f32> {
        (0..rows * self.dims.iter().product::<usize>()).map(|index| (index % 17) as f32 / 16.0).collect()
    }

    fn image(&self) -> Result<Tensor, CaseError> {
        Ok(Tensor::from_vec(self.pixels(1), &[&[1], self.dims].concat()[..])?)
    }
}

/// Runs the bench and prints its report.
pub(crate) fn run(arguments: &Arguments) -> Result<(), CaseError> {
    let models = Models::new("onnxruntime")?;
    let files = Models::new("onnxruntime-files")?;
    let resnet = resnet(files.folder(), arguments)?;
    let file = |network: &Network| if network.name == "digits" { Path::new(DIGITS) } else { &resnet };
    for network in &NETWORKS {
        for (rows, _, engine) in network.sizes {
            let folder = models.add(&model_name(engine), &config(*rows))?.join("1");
            fs::create_dir_all(&folder)?;
            fs::copy(file(network), folder.join("model.onnx"))?;
        }
    }
    let backend = Arc::new(OnnxRuntimeBackend::default());
    let server = ServerHandle::builder().backend(backend).repository(models.folder()).strict().start()?;
    let mut cases: Vec<Box<dyn Case>> = Vec::new();
    for network in &NETWORKS {
        for (rows, bare, engine) in network.sizes {
            let manner = if *rows == 1 { (Manner::Sync, 1) } else { (Manner::Callback, 2 * rows) };
            cases.push(Box::new(Direct::new(bare, file(network), network, *rows)?));
            let model = server.model(&model_name(engine))?;
            cases.push(Box::new(Client::new(engine, manner, model, (network.input, network.image()?))));
        }
    }
    let rounds = case::measure(cases, arguments)?;
    server.stop(Duration::from_secs(10))?;
    print(&rounds, arguments)
}

fn model_name(engine: &str) -> String {
    engine.replace('/', "-")
}

fn config(rows: usize) -> String {
    let batching = if rows == 1 { "" } else { "dynamic_batching: { max_queue_delay_microseconds: 0 }" };
    format!("backend: onnxruntime\nmax_batch_size: {rows}\n{batching}\n")
}

/// The file of the large network: given, or written by the script.
fn resnet(folder: &Path, arguments: &Arguments) -> Result<PathBuf, CaseError> {
    let file = folder.join("resnet18.onnx");
    let python = arguments.python.clone().unwrap_or_else(|| "python3".into());
    let ended = Command::new(&python).arg(RESNET).arg(&file).status();
    match ended {
        Ok(status) if status.success() => Ok(file),
        ended => Err(format!(
            "'{} {RESNET}' did not write the network ({ended:?}): it needs numpy and onnx; name a Python that has them \
             with --python, such as target/venv/bin/python3 after `cargo xtask test`",
            python.display()
        )
        .into()),
    }
}

fn print(rounds: &[Vec<Figures>], arguments: &Arguments) -> Result<(), CaseError> {
    if arguments.is_json {
        return report::print(rounds, arguments);
    }
    let mut out = io::stdout().lock();
    let cases: Vec<_> = rounds.iter().map(|case| median_figures(case)).collect();
    report::table(&mut out, &cases, "of bare", |name| of_bare(rounds, name))?;
    writeln!(out)?;
    for (rows, bare, engine) in NETWORKS.iter().flat_map(|network| network.sizes) {
        let Some(ratio) = of_bare(rounds, engine) else { continue };
        let said = if ratio >= AIM { "pass" } else { "MISS" };
        writeln!(out, "{said} {engine}: {:.1} % of the bare throughput, aim {:.0} %", 100.0 * ratio, 100.0 * AIM)?;
        if let (1, Some(through), Some(bare)) = (*rows, report::find(rounds, engine), report::find(rounds, bare)) {
            let above = through.iter().zip(bare).map(|(engine, bare)| engine.p50_ns - bare.p50_ns);
            let above = median(above.collect());
            let said = if above <= ABOVE_MAX { "pass" } else { "MISS" };
            writeln!(out, "{said} {engine}: {above:.0} ns longer than the bare call, aim {ABOVE_MAX:.0}")?;
        }
    }
    Ok(())
}

/// The part of the bare calls' throughput that a case of the engine reaches.
fn of_bare(rounds: &[Vec<Figures>], engine: &str) -> Option<f64> {
    let mut sizes = NETWORKS.iter().flat_map(|network| network.sizes);
    let (_, bare, _) = sizes.find(|(_, _, name)| *name == engine)?;
    let pairs = report::find(rounds, engine)?.iter().zip(report::find(rounds, bare)?);
    Some(median(pairs.map(|(engine, bare)| engine.req_per_s / bare.req_per_s).collect()))
}
