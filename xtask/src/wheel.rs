//! The Python package: its wheel built, installed where nothing else is, and tested there, on every Python there is.
//!
//! ```text
//!   dist, and tract as the tests have it -> hatchling -> wheel -> a fresh environment of the Python at hand
//!     style and types of the sources: ruff, mypy, pyright            pytest, doctests, examples
//!                                                              -> and one of every other CPython: pytest, doctests
//! ```
//!
//! The tests run on what was installed, never on the sources.

use crate::House;
use crate::dist;
use crate::outputs;
use crate::python;
use crate::pythons::{self, Python};
use crate::report::{Outcome, Tally};
use crate::step::Step;
use std::fs;
use std::path::{Path, PathBuf};

/// The crate that becomes the plugin of the tests: what it links exports the backend's symbol.
const PLUGIN: &str = "//! Tract as a plugin.\n\nextern crate inferlay_backend_tract;\n";

/// What looks at the sources, in `python/`: a module and its arguments.
const LOOKS: &[&str] = &["ruff format --no-cache --check .", "ruff check --no-cache .", "mypy", "pyright --pythonpath"];

/// Where the path of the interpreter belongs, whose packages are looked at.
const PYTHON_FOLLOWS: &str = "--pythonpath";

/// Builds the wheel of what `cargo xtask dist` has put into a folder: its path.
pub(crate) fn build(house: &House, dist: &Path, into: &Path) -> Result<PathBuf, String> {
    let python = python::with_tools(house)?;
    Step::new(house, python)
        .args("-m hatchling build --target wheel --directory".split(' '))
        .args([into])
        .env("INFERLAY_DIST", dist)
        .within("python")
        .run()?;
    let is_wheel = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "whl");
    let found = fs::read_dir(into).map_err(|error| format!("{}: {error}", into.display()))?;
    let wheel = found.flatten().map(|entry| entry.path()).find(is_wheel);
    wheel.ok_or_else(|| format!("{}: found no wheel", into.display()))
}

/// The stage of `cargo xtask test`.
pub(crate) fn stage(house: &House) -> Outcome {
    let made = || {
        let dist = house.target.join("wheel/dist");
        dist::tree(house, &dist, &["tract", "cli"])?;
        tract(house, &dist)?;
        let (wheel, environment) = installed(house, &dist)?;
        python::install(house, &environment, ["--no-compile", "-r", "python/tests/requirements-at-hand.txt"])?;
        Ok((wheel, environment))
    };
    let (wheel, environment) = match made() {
        Ok(made) => made,
        Err(why) => return Err(why).into(),
    };
    let mut tally = Tally::default();
    looks(house, &mut tally);
    tests(house, &environment, &[], &mut tally);
    examples(house, &environment, &mut tally);
    let remark = others(house, &wheel, &mut tally);
    let bytes = fs::metadata(&wheel).map_or(0, |file| file.len());
    tally.outcome(format!("the wheel has {} kB; {remark}", bytes.div_ceil(1000)))
}

/// The stage of `cargo xtask soak`: the long forms, without tract.
pub(crate) fn soak(house: &House) -> Outcome {
    let made = || {
        let dist = house.target.join("wheel/dist");
        dist::tree(house, &dist, &["tract", "cli"])?;
        installed(house, &dist)
    };
    let mut tally = Tally::default();
    match made() {
        Ok((_, environment)) => tests(house, &environment, &["-k", "soak or exit"], &mut tally),
        Err(why) => return Err(why).into(),
    }
    tally.outcome(String::new())
}

/// Puts tract into the tree as the other stages have built it, which saves optimising it. Cargo can make a plugin of one
/// package only, with the features that this one asks for, and would build all of tract anew for it.
fn tract(house: &House, dist: &Path) -> Result<(), String> {
    Step::cargo(house, &format!("build {} --lib", crate::stages::EVERYTHING)).run()?;
    let (debug, source) = (house.target.join("debug"), house.target.join("wheel/plugin.rs"));
    fs::write(&source, PLUGIN).map_err(|error| format!("{}: {error}", source.display()))?;
    let library = dist.join("lib/inferlay/backends/libinferlay_backend_tract.so");
    Step::new(house, "rustc")
        .args("--edition 2024 --crate-type cdylib --crate-name plugin -C strip=symbols".split(' '))
        .args(["--extern".into(), path_of("inferlay_backend_tract", &debug.join("libinferlay_backend_tract.rlib"))])
        .args(["-L".into(), path_of("dependency", &debug.join("deps"))])
        .args([source.as_path(), Path::new("-o"), &library])
        .run()
}

fn path_of(name: &str, path: &Path) -> String {
    format!("{name}={}", path.display())
}

/// Builds the wheel and installs it for the Python at hand: the wheel, and the environment's interpreter.
fn installed(house: &House, dist: &Path) -> Result<(PathBuf, PathBuf), String> {
    let into = house.target.join("wheel/built");
    let _absent = fs::remove_dir_all(&into);
    let wheel = build(house, dist, &into)?;
    let environment = environment(house, &python::with_tools(house)?, "at-hand", &wheel)?;
    Ok((wheel, environment))
}

/// A fresh environment with the wheel and what its tests need: its interpreter.
fn environment(house: &House, python: &Path, name: &str, wheel: &Path) -> Result<PathBuf, String> {
    let folder = house.target.join("wheel").join(name);
    Step::new(house, python).args(["-m", "venv", "--clear"]).args([&folder]).run()?;
    let python = folder.join("bin/python3");
    // Most of what they bring is never imported here, so that compiling it would be the longer part of installing it.
    python::install(house, &python, ["--no-compile", "-r", "python/tests/requirements.txt"])?;
    // Nothing is left to download: what the wheel asks for is there, under the names that it asks for.
    python::install(house, &python, ["--no-index", &format!("{}[onnxruntime,numpy,test]", wheel.display())])?;
    Ok(python)
}

/// Style and types of the sources.
fn looks(house: &House, tally: &mut Tally) {
    let python = match python::with_tools(house) {
        Ok(python) => python,
        Err(why) => return tally.add("tools", Err(why)),
    };
    for words in LOOKS {
        let mut step = Step::new(house, &python).args(["-m"]).args(words.split(' ')).within("python");
        if words.ends_with(PYTHON_FOLLOWS) {
            step = step.args([&python]);
        }
        tally.add(words, step.env("MYPY_CACHE_DIR", house.target.join("wheel/mypy")).run());
    }
}

/// Runs the tests and doctests of what is installed, never of the sources.
fn tests(house: &House, python: &Path, only: &[&str], tally: &mut Tally) {
    let step = Step::new(house, python)
        .args("-m pytest -q -p no:cacheprovider -o pythonpath=tests --pyargs tests inferlay".split(' '))
        .within("python")
        .args(only);
    let step = crate::stages::with_prometheus(house, step);
    let step = if house.full { step.env("INFERLAY_SOAK", "1") } else { step };
    let told = step.hear();
    tally.add_many("pytest", outputs::pytest(&told.text), told.end);
}

/// Runs the examples as a user does, by the Python of an environment that has the wheel.
fn examples(house: &House, python: &Path, tally: &mut Tally) {
    let entries = fs::read_dir(house.root.join("examples/python")).into_iter().flatten().flatten();
    let mut programs: Vec<_> = entries.map(|entry| entry.path()).collect();
    programs.retain(|path| path.extension().is_some_and(|extension| extension == "py"));
    programs.sort();
    for program in programs {
        let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        tally.add(&name, Step::new(house, python).args([&program]).run());
    }
}

/// The same tests on every other Python, but for those that one Python is enough for: which Pythons they were.
fn others(house: &House, wheel: &Path, tally: &mut Tally) -> String {
    let found = python::with_tools(house).map(|own| pythons::others(house, &own)).unwrap_or_default();
    let (able, unable): (Vec<Python>, Vec<Python>) = found.into_iter().partition(|python| python.has_venv);
    for python in &able {
        let name = format!("python-{}", python.version);
        match environment(house, &python.program, &name, wheel) {
            Ok(python) => tests(house, &python, &["-m", "not once"], tally),
            Err(why) => tally.add(&name, Err(why)),
        }
        let _absent = fs::remove_dir_all(house.target.join("wheel").join(&name));
    }
    let names = |pythons: &[Python]| pythons.iter().map(|python| python.version.clone()).collect::<Vec<_>>().join(", ");
    let also =
        if able.is_empty() { "no other Python is there".to_owned() } else { format!("also on {}", names(&able)) };
    if unable.is_empty() { also } else { format!("{also}; {} left out, which cannot make a venv", names(&unable)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_package_has_the_version_of_the_workspace() {
        let project = fs::read_to_string(House::new(false).root.join("python/pyproject.toml")).unwrap();
        assert!(project.contains(&format!("\nversion = \"{}\"\n", env!("CARGO_PKG_VERSION"))));
    }
}
