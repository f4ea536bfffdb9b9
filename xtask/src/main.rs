//! The chores of the workspace: `cargo xtask help` lists them.
//!
//! ```text
//!   main ── plan: which stages ──> stages: one function each ──> report: time, result, counts
//!                                    ├─ step: one command, its output streamed, or kept
//!                                    ├─ machine, python, prometheus: what a stage needs and installs
//!                                    ├─ dist: what C and C++ programs need, in one folder
//!                                    ├─ wheel, pythons: the Python package, on every Python there is
//!                                    └─ licences, outputs, json: what a command printed, checked
//! ```
//!
//! Stages run one after another on one thread, in the order of their table; a failed stage stops no other. Nothing but
//! the standard library is used, so that the first stage starts within seconds of a fresh clone.

// Talking to the terminal is what this program is for.
#![allow(clippy::print_stdout)]

mod dist;
mod json;
mod licences;
mod machine;
mod outputs;
mod plan;
mod prometheus;
mod python;
mod pythons;
mod report;
mod sanitize;
mod stages;
mod step;
mod wheel;

use plan::{Chore, Plan};
use report::Report;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

/// The checkout that the chores work on.
struct House {
    /// Where `Cargo.toml` of the workspace lies.
    root: PathBuf,
    /// Where cargo builds.
    target: PathBuf,
    /// Whether the long forms are wanted.
    full: bool,
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match plan::parse(&args) {
        Ok(Chore::Help) => {
            print!("{}", plan::help());
            ExitCode::SUCCESS
        }
        Ok(Chore::Dist(without)) => write(&without),
        Ok(Chore::Run(plan)) => run(&plan),
        Err(error) => {
            println!("error: {error}\n\n{}", plan::help());
            ExitCode::from(2)
        }
    }
}

fn write(without: &[&str]) -> ExitCode {
    match dist::write(&House::new(false), without) {
        Ok(sizes) => {
            print!("\n{}", dist::table(&sizes));
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(plan: &Plan) -> ExitCode {
    let house = House::new(plan.full);
    let mut report = Report::default();
    for stage in &plan.stages {
        println!("\n==> {}: {}", stage.name, stage.what);
        let start = Instant::now();
        let outcome = (stage.run)(&house);
        report.add(stage, start.elapsed(), outcome);
    }
    print!("\n{report}");
    if report.failed() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

impl House {
    fn new(full: bool) -> House {
        // The package lies one level below the root.
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let root = root.canonicalize().unwrap_or(root);
        let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), |set| root.join(set));
        House { root, target, full }
    }
}
