//! A Python of the checkout's own, in `target/venv`, with pinned packages: the test data of ONNX, and a runtime to
//! compare with. Made once; made again when a pin changes.

use crate::House;
use crate::machine;
use crate::step::Step;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

/// The packages and their versions. Releases of onnx from 1.23 on do not ship the data of the node tests.
const PACKAGES: &[&str] = &["numpy==2.4.6", "onnx==1.22.0", "onnxruntime==1.31.1"];

/// What builds the Python package and looks at it. With `nodejs`, pyright brings the Node that it runs on.
const TOOLS: &[&str] =
    &["hatchling==1.33.0", "mypy==2.4.1", "ml_dtypes==0.6.0", "pyright[nodejs]==1.1.414", "ruff==0.17.6"];

/// A store that speaks the language of S3, for the tests of repositories at URLs.
const STORE: &[&str] = &["moto[server]==5.2.5"];

/// Fewer node tests than this mean that the data is not what it was: onnx 1.22.0 has 1765.
const NODE_TESTS_MIN: usize = 1700;

/// Folders of the repository that may hold Python.
const PYTHON_IN: &[&str] = &["backends", "examples", "python", "benches", "tests"];

/// Sets Python up, and compiles every Python file of the repository without writing anything.
pub(crate) fn check(house: &House) -> Result<String, String> {
    let python = python(house)?;
    let node_tests = node_tests(house)?;
    let found = fs::read_dir(&node_tests).map_err(|error| format!("{}: {error}", node_tests.display()))?.count();
    if found < NODE_TESTS_MIN {
        return Err(format!("{}: found {found} node tests, expected {NODE_TESTS_MIN}", node_tests.display()));
    }
    let folders = PYTHON_IN.iter().filter(|folder| house.root.join(folder).exists());
    let script = "import pathlib, sys\n\
                  for folder in sys.argv[1:]:\n\
                  \x20for path in pathlib.Path(folder).rglob('*.py'): compile(path.read_bytes(), str(path), 'exec')";
    Step::new(house, python).args(["-c", script]).args(folders).ask()?;
    Ok(String::new())
}

/// The environment of tests that need Python: where the node tests of ONNX lie, and the interpreter.
pub(crate) fn variables(house: &House) -> Result<[(&'static str, PathBuf); 2], String> {
    let python = python(house)?;
    Ok([("INFERLAY_PYTHON", python), ("INFERLAY_ONNX_NODE_TESTS", node_tests(house)?)])
}

/// The environment of tests that need an object store: the program of one. It has an environment of its own, as it brings
/// some sixty packages.
pub(crate) fn store(house: &House) -> Result<(&'static str, PathBuf), String> {
    let venv = house.target.join("venv-store");
    if !is_written(&venv.join("installed"), STORE) {
        // What it takes to make one is there when the other one is.
        Step::new(house, python(house)?).args(["-m", "venv", "--clear"]).args([&venv]).run()?;
        install(house, &venv.join("bin/python3"), STORE)?;
        write(&venv.join("installed"), STORE)?;
    }
    Ok(("INFERLAY_STORE", venv.join("bin/moto_server")))
}

/// The folder of the environment, its packages installed.
pub(crate) fn venv(house: &House) -> Result<PathBuf, String> {
    python(house).map(|_| house.target.join("venv"))
}

/// The interpreter, its packages installed, and the tools too.
pub(crate) fn with_tools(house: &House) -> Result<PathBuf, String> {
    let python = python(house)?;
    let installed = house.target.join("venv/tools");
    if !is_written(&installed, TOOLS) {
        install(house, &python, TOOLS)?;
        write(&installed, TOOLS)?;
    }
    Ok(python)
}

/// The interpreter, its packages installed.
fn python(house: &House) -> Result<PathBuf, String> {
    let venv = house.target.join("venv");
    let python = venv.join("bin/python3");
    let installed = venv.join("installed");
    if is_written(&installed, PACKAGES) {
        return Ok(python);
    }
    // Debian splits venv off: `import venv` works without the part that can install pip.
    if Step::new(house, "python3").args(["-c", "import ensurepip, venv"]).ask().is_err() {
        machine::packages(house, &["python3", "python3-venv"])?;
    }
    Step::new(house, "python3").args(["-m", "venv", "--clear"]).args([&venv]).run()?;
    install(house, &python, PACKAGES)?;
    write(&installed, PACKAGES)?;
    Ok(python)
}

/// Lets the pip of an interpreter install packages, or whatever else its arguments are.
pub(crate) fn install<A: AsRef<OsStr>>(
    house: &House,
    python: &Path,
    packages: impl IntoIterator<Item = A>,
) -> Result<(), String> {
    let words = "-m pip install --quiet --disable-pip-version-check --root-user-action=ignore";
    Step::new(house, python).args(words.split(' ')).args(packages).run()
}

fn is_written(place: &Path, pins: &[&str]) -> bool {
    fs::read_to_string(place).is_ok_and(|found| found == pins.join(" "))
}

fn write(place: &Path, pins: &[&str]) -> Result<(), String> {
    fs::write(place, pins.join(" ")).map_err(|error| format!("{}: {error}", place.display()))
}

fn node_tests(house: &House) -> Result<PathBuf, String> {
    let script = "import onnx, os; print(os.path.dirname(onnx.__file__))";
    let onnx = Step::new(house, python(house)?).args(["-c", script]).ask()?;
    Ok(Path::new(onnx.trim()).join("backend/test/data/node"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tests_of_the_package_run_on_the_same_packages() {
        let path = House::new(false).root.join("python/tests/requirements.txt");
        let requirements = fs::read_to_string(path).unwrap();
        for pin in PACKAGES {
            assert!(requirements.contains(&format!("\n{pin}; python_version >= ")), "{pin}");
        }
    }
}
