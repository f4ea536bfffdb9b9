//! What the C functions cost above the Rust ones: the same cases through both, in turn.

mod client;
mod functions;

use crate::arguments::Arguments;
use crate::case::{self, Case, CaseError};
use crate::measure::{Figures, median};
use crate::overhead::{self, report};
use client::{Client, Server};
use std::io::{self, Write};
use std::time::Duration;

/// A case in Rust and the same in C.
const PAIRS: [(&str, &str); 4] = [
    ("sync/1", "capi-sync/1"),
    ("async/1", "capi-async/1"),
    ("async/64", "capi-async/64"),
    ("batched/64", "capi-batched/64"),
];

/// What a request through C may cost more, in nanoseconds of processor time.
const ABOVE_MAX: f64 = 50.0;

/// Runs the bench and prints its report.
pub(crate) fn run(arguments: &Arguments) -> Result<(), CaseError> {
    let models = overhead::models("capi")?;
    let server = overhead::serve(&models)?;
    let mut cases: Vec<Box<dyn Case>> = overhead::cases(&server)?;
    cases.retain(|case| case.name().starts_with("floor") || PAIRS.iter().any(|(rust, _)| *rust == case.name()));
    let foreign = Server::new(models.folder())?;
    let clients = [
        ("capi-sync/1", (false, 1), "plain"),
        ("capi-async/1", (true, 1), "plain"),
        ("capi-async/64", (true, 64), "plain"),
        ("capi-batched/64", (true, 64), "batched"),
    ];
    for (name, manner, model) in clients {
        cases.push(Box::new(Client::new(name, manner, &foreign, model)?));
    }
    let rounds = case::measure(cases, arguments)?;
    server.stop(Duration::from_secs(10))?;
    print(&rounds, arguments)
}

fn print(rounds: &[Vec<Figures>], arguments: &Arguments) -> Result<(), CaseError> {
    report::print(rounds, arguments)?;
    if arguments.is_json {
        return Ok(());
    }
    let mut out = io::stdout().lock();
    let find = |name: &str| rounds.iter().find(|case| case.first().is_some_and(|figures| figures.name == name));
    for (rust, c) in PAIRS {
        let (Some(rust), Some(c_rounds)) = (find(rust), find(c)) else { continue };
        let above = c_rounds.iter().zip(rust).map(|(c, rust)| c.cpu_ns_per_req - rust.cpu_ns_per_req);
        let above = median(above.collect());
        let said = if above <= ABOVE_MAX { "pass" } else { "MISS" };
        writeln!(out, "{said} {c}: {above:.0} ns of CPU above the Rust call, aim {ABOVE_MAX:.0}")?;
    }
    Ok(())
}
