//! What `overhead` prints: JSON, or a table with the ratio to the floor and the aims.

use crate::arguments::Arguments;
use crate::case::CaseError;
use crate::measure::{Figures, median, median_figures};
use serde::Serialize;
use std::io::{self, Write};

#[derive(Serialize)]
struct Report {
    cases: Vec<Figures>,
}

/// Prints the medians of `rounds`, which holds the figures of each case, round by round.
pub(crate) fn print(rounds: &[Vec<Figures>], arguments: &Arguments) -> Result<(), CaseError> {
    let cases = rounds.iter().map(|case| median_figures(case)).collect();
    let mut out = io::stdout().lock();
    if arguments.is_json {
        serde_json::to_writer(&mut out, &Report { cases })?;
        writeln!(out)?;
        return Ok(());
    }
    let cores = cores();
    writeln!(out, "{} round(s), {cores} core(s); medians", rounds.first().map_or(0, Vec::len))?;
    table(&mut out, &cases, "of floor", |name| speed_of_floor(rounds, name))?;
    for aim in aims(rounds, &cases, cores == 1) {
        writeln!(out, "{}", aim.line())?;
    }
    Ok(())
}

/// How many cores this process may use.
pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// A line for each case, with a ratio in the last column, and an empty one.
pub(crate) fn table(
    out: &mut impl Write,
    cases: &[Figures],
    last: &str,
    ratio: impl Fn(&str) -> Option<f64>,
) -> io::Result<()> {
    writeln!(
        out,
        "{:18} {:>8} {:>9} {:>9} {:>8} {:>7} {:>8} {:>8} {last:>9}",
        "case", "k req/s", "p50 ns", "p99 ns", "cpu ns", "batch", "allocs", "copied"
    )?;
    for case in cases {
        line(out, case, ratio(case.name))?;
    }
    writeln!(out)
}

fn line(out: &mut impl Write, case: &Figures, ratio: Option<f64>) -> io::Result<()> {
    writeln!(
        out,
        "{:18} {:8.1} {:9.0} {:9.0} {:8.0} {:7.2} {:>8} {:>8} {:>9}",
        case.name,
        case.req_per_s / 1e3,
        case.p50_ns,
        case.p99_ns,
        case.cpu_ns_per_req,
        case.mean_batch,
        known(case.allocs_per_req, 4),
        known(case.bytes_copied_per_req, 2),
        ratio.map_or(String::new(), |ratio| format!("{ratio:.2}")),
    )
}

/// A figure, or a dash for one that cannot be had of this case.
fn known(figure: f64, digits: usize) -> String {
    if figure.is_nan() { "-".to_owned() } else { format!("{figure:.digits$}") }
}

/// An aim, what was found, and whether that is good enough.
pub(crate) struct Aim {
    pub(crate) what: String,
    pub(crate) found: f64,
    pub(crate) is_met: bool,
}

impl Aim {
    pub(crate) fn line(&self) -> String {
        format!("{:4} {:54} found {:.3}", if self.is_met { "pass" } else { "MISS" }, self.what, self.found)
    }
}

fn aims(rounds: &[Vec<Figures>], cases: &[Figures], is_pinned: bool) -> Vec<Aim> {
    let mut aims = Vec::new();
    let case = |name: &str| cases.iter().find(|case| case.name == name);
    let mut at_most = |name: &str, found: Option<f64>, max: f64, what: &str| {
        aims.extend(found.map(|found| Aim { what: format!("{name}: {what}"), found, is_met: found <= max }));
    };
    if is_pinned {
        at_most("sync/1", case("sync/1").map(|case| case.cpu_ns_per_req), 300.0, "cpu ns under 300");
        at_most("async/1", p50_of_floor(rounds, "async/1"), 1.10, "p50 within 1.10 of the floor's");
        // In microseconds a request, so that less is better here too.
        at_most(
            "async/64",
            case("async/64").map(|case| 2e6 / case.req_per_s),
            1.0,
            "2.0 million/s or more (aim/found)",
        );
        let batched = case("batched/64").map(|case| 2.5e6 / case.req_per_s);
        at_most("batched/64", batched, 1.0, "2.5 million/s or more (aim/found)");
    } else {
        for case in cases.iter().filter(|case| !case.name.starts_with("floor")) {
            let slower = speed_of_floor(rounds, case.name).map(|speed| 1.0 / speed);
            at_most(case.name, slower, 1.10, "time within 1.10 of the floor's");
        }
    }
    for case in cases.iter().filter(|case| !case.name.starts_with("floor")) {
        at_most(case.name, Some(case.allocs_per_req), 0.0, "no allocation");
        let copied_max = if case.mean_batch > 1.0 { 128.0 } else { 0.0 };
        at_most(
            case.name,
            Some(case.bytes_copied_per_req),
            copied_max,
            "no byte copied but inputs and outputs of batches",
        );
    }
    aims
}

/// The floor that a case stands on.
fn floor_of<'a>(rounds: &'a [Vec<Figures>], name: &str) -> Option<&'a [Figures]> {
    let floor = if name.contains("/64") { "floor/64" } else { "floor/1" };
    find(rounds, floor)
}

/// The rounds of the case of this name.
pub(crate) fn find<'a>(rounds: &'a [Vec<Figures>], name: &str) -> Option<&'a [Figures]> {
    rounds.iter().find(|case| case.first().is_some_and(|figures| figures.name == name)).map(Vec::as_slice)
}

fn speed_of_floor(rounds: &[Vec<Figures>], name: &str) -> Option<f64> {
    let pairs = find(rounds, name)?.iter().zip(floor_of(rounds, name)?);
    Some(median(pairs.map(|(case, floor)| case.req_per_s / floor.req_per_s).collect()))
}

fn p50_of_floor(rounds: &[Vec<Figures>], name: &str) -> Option<f64> {
    let pairs = find(rounds, name)?.iter().zip(floor_of(rounds, name)?);
    Some(median(pairs.map(|(case, floor)| case.p50_ns / floor.p50_ns).collect()))
}
