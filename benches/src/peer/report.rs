//! What `peer` prints: JSON, or a table with the ratio to the peer, the footprints and the aims.

use super::Footprint;
use crate::arguments::Arguments;
use crate::case::CaseError;
use crate::measure::{Figures, median, median_figures};
use crate::overhead::report::{Aim, cores, find, table};
use serde::Serialize;
use std::io::{self, Write};

/// Our cases, and those of the peer beside which they stand.
const PAIRS: &[(&str, &str)] =
    &[("sync/1", "triton/1"), ("async/1", "triton/1"), ("async/64", "triton/64"), ("batched/64", "triton-batched/64")];

const START_MS_MAX: f64 = 5.0;
const RESIDENT_MAX: f64 = 1.0 / 3.0;

#[derive(Serialize)]
struct Report<'a> {
    cases: Vec<Figures>,
    footprints: &'a [Footprint],
}

/// Prints the medians of `rounds`, which holds the figures of each case, round by round, and the footprints.
pub(super) fn print(rounds: &[Vec<Figures>], footprints: &[Footprint], arguments: &Arguments) -> Result<(), CaseError> {
    let cases: Vec<_> = rounds.iter().map(|case| median_figures(case)).collect();
    let mut out = io::stdout().lock();
    if arguments.is_json {
        serde_json::to_writer(&mut out, &Report { cases, footprints })?;
        return Ok(writeln!(out)?);
    }
    let cores = cores();
    writeln!(out, "{} round(s), {cores} core(s); medians", rounds.first().map_or(0, Vec::len))?;
    table(&mut out, &cases, "of peer", |name| {
        let (_, theirs) = PAIRS.iter().find(|(ours, _)| *ours == name)?;
        ratio(rounds, (name, theirs), |figures| figures.req_per_s)
    })?;
    for footprint in footprints {
        line(&mut out, footprint)?;
    }
    writeln!(out)?;
    let pinned = if cores == 1 { aims(rounds) } else { Vec::new() };
    for aim in pinned.iter().chain(&footprint_aims(footprints)) {
        writeln!(out, "{}", aim.line())?;
    }
    Ok(())
}

fn line(out: &mut impl Write, footprint: &Footprint) -> io::Result<()> {
    const MIB: f64 = 1024.0 * 1024.0;
    writeln!(
        out,
        "{:18} load {:6.2} ms, start to ready {:6.2} ms, resident {:6.1} MiB, on disk {:6.1} MiB",
        footprint.name,
        footprint.load_ms,
        footprint.start_to_ready_ms,
        footprint.resident_bytes / MIB,
        footprint.disk_bytes / MIB,
    )
}

/// The aims on one core, as far as their cases were measured.
fn aims(rounds: &[Vec<Figures>]) -> Vec<Aim> {
    let speed: fn(&Figures) -> f64 = |figures| figures.req_per_s;
    let ratios = [
        ("sync/1: 20 times less cpu a request", ratio(rounds, ("triton/1", "sync/1"), |f| f.cpu_ns_per_req), 20.0),
        ("async/64: 8 times the requests a second", ratio(rounds, ("async/64", "triton/64"), speed), 8.0),
        ("batched/64: 4.5 times the requests a second", ratio(rounds, ("batched/64", "triton-batched/64"), speed), 4.5),
        ("async/1: p50 no slower (theirs/ours)", ratio(rounds, ("triton/1", "async/1"), |f| f.p50_ns), 1.0),
    ];
    let found = ratios.into_iter().filter_map(|(what, found, min)| Some((what, found?, min)));
    found.map(|(what, found, min)| Aim { what: what.to_owned(), found, is_met: found >= min }).collect()
}

/// The aims for starting and for memory, if both engines were measured.
fn footprint_aims(footprints: &[Footprint]) -> Vec<Aim> {
    let [ours, theirs] = footprints else { return Vec::new() };
    let resident = ours.resident_bytes / theirs.resident_bytes;
    vec![
        Aim {
            what: format!("start to ready in {START_MS_MAX} ms"),
            found: ours.start_to_ready_ms,
            is_met: ours.start_to_ready_ms < START_MS_MAX,
        },
        Aim { what: "a third of the memory".to_owned(), found: resident, is_met: resident <= RESIDENT_MAX },
    ]
}

/// A figure of the first case over that of the second, round by round; the median.
fn ratio(rounds: &[Vec<Figures>], (over, under): (&str, &str), figure: fn(&Figures) -> f64) -> Option<f64> {
    let pairs = find(rounds, over)?.iter().zip(find(rounds, under)?);
    Some(median(pairs.map(|(over, under)| figure(over) / figure(under)).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(name: &'static str, req_per_s: f64, cpu_ns_per_req: f64, p50_ns: f64) -> Vec<Figures> {
        vec![Figures { name, req_per_s, cpu_ns_per_req, p50_ns, ..Figures::default() }; 3]
    }

    #[test]
    fn an_aim_is_met_from_its_figure_on_and_missed_below() {
        let theirs = [figures("triton/1", 1.0, 6000.0, 500.0), figures("triton/64", 10.0, 0.0, 0.0)];
        let met = [figures("sync/1", 0.0, 300.0, 0.0), figures("async/64", 80.0, 0.0, 0.0)];
        let missed = [figures("sync/1", 0.0, 301.0, 0.0), figures("async/1", 0.0, 0.0, 501.0)];
        let outcomes = |ours: &[Vec<Figures>]| {
            aims(&[&theirs[..], ours].concat()).iter().map(|aim| aim.is_met).collect::<Vec<_>>()
        };
        assert_eq!(outcomes(&met), [true, true]);
        assert_eq!(outcomes(&missed), [false, false]);
    }
}
