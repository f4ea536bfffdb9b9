//! What an engine takes before it is asked much: time to start, memory, and room on disk.
//!
//! Each start is measured in a process of its own, this program started again, so that neither engine finds anything
//! warm that the other left, and neither counts for the other. Both serve the same two models and answer one request of
//! each before memory is read.

use super::place::Place;
use super::repository::Repository;
use super::triton::{Api, Client};
use crate::arguments::Arguments;
use crate::case::CaseError;
use crate::measure::median;
use crate::overhead;
use inferlay::{Request, Tensor};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::env;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// The hidden benches that measure one start each, and print it as JSON.
const CHILDREN: &[(&str, &str)] = &[("peer-inferlay", "inferlay"), ("peer-triton", "triton")];

/// One start, or figure by figure the median of several. The field names are those of the JSON.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Footprint {
    pub(super) name: String,
    /// Loading the engine's library; nothing where it is part of the program.
    pub(super) load_ms: f64,
    /// From naming the folder of models until all can be asked.
    pub(super) start_to_ready_ms: f64,
    /// Of the whole process, this program's own part included.
    pub(super) resident_bytes: f64,
    /// The engine's library and those of its own that it loads; or the program, where the engine is part of it.
    pub(super) disk_bytes: f64,
}

/// Whether a bench of this name is one that another process asked for.
pub(crate) fn is_child(bench: &str) -> bool {
    CHILDREN.iter().any(|(child, _)| *child == bench)
}

/// The footprints of both, ours first, over several starts in turn.
pub(super) fn measure(place: &Place, arguments: &Arguments) -> Result<Vec<Footprint>, CaseError> {
    let starts = if arguments.is_short { 1 } else { 11 };
    let mut found = vec![Vec::new(); CHILDREN.len()];
    for _ in 0..starts {
        for ((child, _), found) in CHILDREN.iter().zip(&mut found) {
            found.push(ask(child, place)?);
        }
    }
    Ok(found.iter().map(|starts| median_footprint(starts)).collect())
}

fn ask(child: &str, place: &Place) -> Result<Footprint, CaseError> {
    let told = Command::new(env::current_exe()?).arg(child).arg("--triton").arg(&place.folder).output()?;
    if !told.status.success() {
        return Err(format!("{child}: {}\n{}", told.status, String::from_utf8_lossy(&told.stderr)).into());
    }
    Ok(serde_json::from_slice(&told.stdout)?)
}

fn median_footprint(starts: &[Footprint]) -> Footprint {
    let of = |figure: fn(&Footprint) -> f64| median(starts.iter().map(figure).collect());
    Footprint {
        name: starts.first().map_or(String::new(), |start| start.name.clone()),
        load_ms: of(|f| f.load_ms),
        start_to_ready_ms: of(|f| f.start_to_ready_ms),
        resident_bytes: of(|f| f.resident_bytes),
        disk_bytes: of(|f| f.disk_bytes),
    }
}

/// Measures the engine that `child` stands for, here and now, and prints what it found.
pub(super) fn print_own(child: &str, place: &Place) -> Result<(), CaseError> {
    let found = match CHILDREN.iter().find(|(name, _)| *name == child) {
        Some((_, "triton")) => theirs(place)?,
        _ => ours()?,
    };
    let mut out = io::stdout().lock();
    serde_json::to_writer(&mut out, &found)?;
    Ok(writeln!(out)?)
}

fn ours() -> Result<Footprint, CaseError> {
    let models = overhead::models("peer-inferlay")?;
    let begun = Instant::now();
    let server = overhead::serve(&models)?;
    if !server.is_ready() {
        return Err("inferlay: found it not ready after its start".into());
    }
    let start_to_ready_ms = millis(begun.elapsed());
    let input = Tensor::from_vec(vec![1.0f32; 16], [1, 16])?;
    for model in ["plain", "batched"] {
        server.model(model)?.infer(Request::new().input("x", input.clone()))?;
    }
    let (resident_bytes, disk_bytes) = (resident_bytes()?, fs::metadata(env::current_exe()?)?.len() as f64);
    server.stop(Duration::from_secs(10))?;
    Ok(Footprint { name: "inferlay".to_owned(), load_ms: 0.0, start_to_ready_ms, resident_bytes, disk_bytes })
}

fn theirs(place: &Place) -> Result<Footprint, CaseError> {
    let repository = Repository::new("peer-triton", place)?;
    let begun = Instant::now();
    let api = Api::load(&place.library)?;
    let load_ms = millis(begun.elapsed());
    let begun = Instant::now();
    let server = repository.serve(api)?;
    let start_to_ready_ms = millis(begun.elapsed());
    // A client has one request answered when it is made.
    for model in ["plain", "batched"] {
        Client::new(("peer-triton", model), 1, &server, &repository.backend)?;
    }
    let resident_bytes = resident_bytes()?;
    let mut disk_bytes = 0;
    for file in mapped(&fs::read_to_string("/proc/self/maps")?, &place.folder) {
        disk_bytes += fs::metadata(file)?.len();
    }
    let name = "triton".to_owned();
    Ok(Footprint { name, load_ms, start_to_ready_ms, resident_bytes, disk_bytes: disk_bytes as f64 })
}

fn millis(took: Duration) -> f64 {
    took.as_secs_f64() * 1e3
}

fn resident_bytes() -> Result<f64, CaseError> {
    let status = fs::read_to_string("/proc/self/status")?;
    Ok(resident_kib(&status).ok_or("/proc/self/status: found no VmRSS in kB")? * 1024.0)
}

/// The resident memory that a process's status tells of.
fn resident_kib(status: &str) -> Option<f64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    line.trim().strip_suffix("kB")?.trim().parse().ok()
}

/// The files of `folder` that a process has mapped, each once.
fn mapped(maps: &str, folder: &Path) -> BTreeSet<PathBuf> {
    let paths = maps.lines().filter_map(|line| Some(PathBuf::from(&line[line.find('/')?..])));
    paths.filter(|path| path.starts_with(folder)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn resident_memory_is_read_from_the_status() {
        assert_eq!(resident_kib("VmHWM:\t   9 kB\nVmRSS:\t    2048 kB\nThreads:\t1\n"), Some(2048.0));
        assert_eq!(resident_kib("VmSize:\t 1 kB\n"), None);
    }

    #[test]
    fn a_file_that_is_mapped_in_pieces_is_one_file() {
        let maps = "7f00-7f01 r--p 00000000 fe:00 1   /opt/t/libt.so\n\
                    7f01-7f02 r-xp 00001000 fe:00 1   /opt/t/libt.so\n\
                    7f03-7f04 r-xp 00000000 fe:00 2   /lib/libc.so.6\n\
                    7f05-7f06 rw-p 00000000 00:00 0   [heap]\n\
                    7f07-7f08 rw-p 00000000 00:00 0\n";
        assert_eq!(mapped(maps, Path::new("/opt/t")), BTreeSet::from([PathBuf::from("/opt/t/libt.so")]));
    }
}
