//! Prometheus, to which the tests show metrics: that of the search path, else Debian's package, unpacked into the target
//! folder. It is not installed, because that would start a daemon on the machine.

use crate::House;
use crate::machine;
use crate::step::Step;
use std::fs;
use std::path::PathBuf;

/// The variable in which tests look for the folder of the programs.
pub(crate) const VARIABLE: &str = "INFERLAY_PROMETHEUS";

/// The folder of `prometheus` and `promtool`; `None` where the search path has them.
///
/// # Errors
/// How to get it, when that is not possible from here.
pub(crate) fn folder(house: &House) -> Result<Option<PathBuf>, String> {
    let runs = |program: PathBuf| Step::new(house, program).args(["--version"]).ask().is_ok();
    if runs("prometheus".into()) && runs("promtool".into()) {
        return Ok(None);
    }
    let place = house.target.join("prometheus");
    let folder = place.join("usr/bin");
    if !runs(folder.join("prometheus")) {
        unpack(house, &place).map_err(|error| format!("install prometheus by hand and try again: {error}"))?;
    }
    Ok(Some(folder))
}

fn unpack(house: &House, place: &PathBuf) -> Result<(), String> {
    fs::create_dir_all(place).map_err(|error| format!("{}: {error}", place.display()))?;
    let download = || Step::new(house, "apt-get").args(["-q", "download", "prometheus"]).within(place).run();
    // The lists of a fresh machine are empty.
    download().or_else(|_| machine::packages(house, &["ca-certificates"]).and_then(|()| download()))?;
    let entries = fs::read_dir(place).map_err(|error| format!("{}: {error}", place.display()))?;
    let mut packages = entries.flatten().map(|entry| entry.path());
    let package = packages.find(|path| path.extension().is_some_and(|extension| extension == "deb"));
    let package = package.ok_or_else(|| format!("{}: found no package of prometheus", place.display()))?;
    Step::new(house, "dpkg").args(["-x".into(), package]).args([place]).run()
}
