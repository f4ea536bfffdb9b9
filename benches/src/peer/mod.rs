//! The cases of `overhead` beside the same ones through Triton's in-process library, in turn in the same run; and what
//! each of the two takes to start, in memory and on disk.
//!
//! The same model in both, an echo of 64 bytes, the same loop, the same means of telling the client. The library is not
//! ours to ship: `place` finds it, and `triton` is all that knows of it.

mod footprint;
mod place;
mod report;
mod repository;
mod triton;

use crate::arguments::Arguments;
use crate::case::{self, Case, CaseError};
use crate::overhead;
use footprint::Footprint;
pub(crate) use footprint::is_child;
use place::Place;
use repository::Repository;
use std::time::Duration;
use triton::{Api, Client};

/// The cases of `overhead` that have a counterpart here, and the floors.
const OURS: &[&str] = &["floor/1", "floor/64", "sync/1", "async/1", "async/64", "batched/64"];

/// The cases of the peer: their names, models, and requests in flight.
const THEIRS: &[(&str, &str, usize)] =
    &[("triton/1", "plain", 1), ("triton/64", "plain", 64), ("triton-batched/64", "batched", 64)];

/// Runs the bench and prints its report.
pub(crate) fn run(arguments: &Arguments) -> Result<(), CaseError> {
    let place = Place::find(arguments.triton.as_deref())?;
    place.enter()?;
    // First, while the machine's memory knows nothing of either.
    let footprints = match arguments.case {
        Some(_) => Vec::new(),
        None => footprint::measure(&place, arguments)?,
    };
    let rounds = measure(&place, arguments)?;
    report::print(&rounds, &footprints, arguments)
}

/// Measures one engine's start in this process, which does nothing else, and prints it for the process that asked.
pub(crate) fn run_child(arguments: &Arguments) -> Result<(), CaseError> {
    let place = Place::find(arguments.triton.as_deref())?;
    footprint::print_own(&arguments.bench, &place)
}

fn measure(place: &Place, arguments: &Arguments) -> Result<Vec<Vec<crate::measure::Figures>>, CaseError> {
    let models = overhead::models("peer")?;
    let ours = overhead::serve(&models)?;
    let repository = Repository::new("peer-triton", place)?;
    let theirs = repository.serve(Api::load(&place.library)?)?;
    let mut cases = overhead::cases(&ours)?;
    cases.retain(|case| OURS.contains(&case.name()));
    for (name, model, in_flight) in THEIRS {
        let client: Box<dyn Case> = Box::new(Client::new((name, model), *in_flight, &theirs, &repository.backend)?);
        cases.push(client);
    }
    let rounds = case::measure(cases, arguments)?;
    ours.stop(Duration::from_secs(10))?;
    Ok(rounds)
}
