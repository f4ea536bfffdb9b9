//! What a request costs when the model costs nothing, beside a bare hand-off between two threads.
//!
//! All cases are measured in turn, round after round, so that whatever else the machine does falls on all of them; the
//! report holds the median of the rounds. Each measurement begins with a warm-up that is not counted.

mod engine;
mod floor;
mod report;

use crate::arguments::Arguments;
use crate::measure::Figures;
use engine::{Engine, Manner};
use floor::Floor;
use inferlay::ServerHandle;
use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

pub(crate) type CaseError = Box<dyn std::error::Error>;

/// A closed loop of one kind.
trait Case {
    fn name(&self) -> &'static str;

    /// Figures of `requests` requests, after `warm_up` others.
    fn measure(&mut self, warm_up: usize, requests: usize) -> Result<Figures, CaseError>;
}

/// How long a run takes.
struct Plan {
    rounds: usize,
    /// The time of one measurement.
    slice: Duration,
    /// The number of requests of one measurement, if it is fixed.
    requests: Option<usize>,
}

/// Requests that show how fast a case is, before anything is measured.
const PROBED: usize = 2_000;
/// Requests that a measurement is at least preceded by.
const WARM_UP_MIN: usize = 256;

/// Runs the bench and prints its report.
pub(crate) fn run(arguments: &Arguments) -> Result<(), CaseError> {
    let models = Models::write()?;
    let server = ServerHandle::builder().repository(&models.folder).strict().start()?;
    let mut cases = cases(&server)?;
    if let Some(wanted) = &arguments.case {
        cases.retain(|case| case.name() == wanted);
        if cases.is_empty() {
            return Err(format!("--case: no case is called '{wanted}'").into());
        }
    }
    let (rounds, slice) = if arguments.is_short { (3, 10) } else { (11, 200) };
    let rounds = arguments.rounds.unwrap_or(rounds);
    let plan = Plan { rounds, slice: Duration::from_millis(slice), requests: arguments.requests };
    let rounds = measure(&mut cases, &plan)?;
    server.stop(Duration::from_secs(10))?;
    report::print(&rounds, arguments)
}

fn cases(server: &ServerHandle) -> Result<Vec<Box<dyn Case>>, CaseError> {
    let plain = || server.model("plain");
    Ok(vec![
        Box::new(Floor::new("floor/1", 1)),
        Box::new(Floor::new("floor/64", 64)),
        Box::new(Engine::new("sync/1", Manner::Sync, 1, plain()?)?),
        Box::new(Engine::new("async/1", Manner::Callback, 1, plain()?)?),
        Box::new(Engine::new("async/64", Manner::Callback, 64, plain()?)?),
        Box::new(Engine::new("async/64-deadline", Manner::Deadline, 64, plain()?)?),
        Box::new(Engine::new("async/64-cancel10", Manner::Cancel, 64, plain()?)?),
        Box::new(Engine::new("batched/64", Manner::Callback, 64, server.model("batched")?)?),
    ])
}

/// The figures of each case, round by round.
fn measure(cases: &mut [Box<dyn Case>], plan: &Plan) -> Result<Vec<Vec<Figures>>, CaseError> {
    let mut requests = Vec::new();
    for case in cases.iter_mut() {
        requests.push(match plan.requests {
            Some(requests) => requests,
            None => requests_within(plan.slice, case.as_mut())?,
        });
    }
    let mut rounds = vec![Vec::with_capacity(plan.rounds); cases.len()];
    for round in 0..plan.rounds {
        for turn in 0..cases.len() {
            // Another case begins each round, so that none always follows the same one.
            let index = (round + turn) % cases.len();
            let warm_up = (requests[index] / 20).max(WARM_UP_MIN);
            rounds[index].push(cases[index].measure(warm_up, requests[index])?);
        }
    }
    Ok(rounds)
}

fn requests_within(slice: Duration, case: &mut dyn Case) -> Result<usize, CaseError> {
    let begun = Instant::now();
    case.measure(WARM_UP_MIN, PROBED)?;
    let each = begun.elapsed().as_secs_f64() / (WARM_UP_MIN + PROBED) as f64;
    Ok((slice.as_secs_f64() / each) as usize + 1)
}

/// A folder of models that goes when this does.
struct Models {
    folder: PathBuf,
}

/// Model, and its config: the same echo of 64 bytes, once request by request and once batched.
const CONFIGS: [(&str, &str); 2] = [
    ("plain", "backend: \"null\"\ninput: [{ name: x, data_type: TYPE_FP32, dims: [1, 16] }]\n"),
    (
        "batched",
        "backend: \"null\"\nmax_batch_size: 64\ninput: [{ name: x, data_type: TYPE_FP32, dims: [16] }]\n\
         dynamic_batching: { max_queue_delay_microseconds: 0 }\n",
    ),
];

impl Models {
    fn write() -> std::io::Result<Self> {
        let folder = std::env::temp_dir().join(format!("inferlay-overhead-{}", std::process::id()));
        let models = Models { folder };
        for (name, config) in CONFIGS {
            let model = models.folder.join(name);
            fs::create_dir_all(&model)?;
            fs::write(model.join("config.yaml"), config)?;
        }
        Ok(models)
    }
}

impl Drop for Models {
    fn drop(&mut self) {
        // What cannot be removed is a few bytes in the folder for temporary files.
        let _removed = fs::remove_dir_all(&self.folder);
    }
}
