//! A Python of the checkout's own, in `target/venv`, with pinned packages: the test data of ONNX, and a runtime to
//! compare with. Made once; made again when a pin changes.

use crate::House;
use crate::machine;
use crate::step::Step;
use std::fs;
use std::path::{Path, PathBuf};

/// The packages and their versions. Releases of onnx from 1.23 on do not ship the data of the node tests.
const PACKAGES: &[&str] = &["numpy==2.4.6", "onnx==1.22.0", "onnxruntime==1.31.1"];

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

/// The folder of the environment, its packages installed.
pub(crate) fn venv(house: &House) -> Result<PathBuf, String> {
    python(house).map(|_| house.target.join("venv"))
}

/// The interpreter, its packages installed.
fn python(house: &House) -> Result<PathBuf, String> {
    let venv = house.target.join("venv");
    let python = venv.join("bin/python3");
    let installed = venv.join("installed");
    if fs::read_to_string(&installed).is_ok_and(|pins| pins == PACKAGES.join(" ")) {
        return Ok(python);
    }
    // Debian splits venv off: `import venv` works without the part that can install pip.
    if Step::new(house, "python3").args(["-c", "import ensurepip, venv"]).ask().is_err() {
        machine::packages(house, &["python3", "python3-venv"])?;
    }
    Step::new(house, "python3").args(["-m", "venv", "--clear"]).args([&venv]).run()?;
    Step::new(house, &python)
        .args("-m pip install --quiet --disable-pip-version-check --root-user-action=ignore".split(' '))
        .args(PACKAGES)
        .run()?;
    fs::write(&installed, PACKAGES.join(" ")).map_err(|error| format!("{}: {error}", installed.display()))?;
    Ok(python)
}

fn node_tests(house: &House) -> Result<PathBuf, String> {
    let script = "import onnx, os; print(os.path.dirname(onnx.__file__))";
    let onnx = Step::new(house, python(house)?).args(["-c", script]).ask()?;
    Ok(Path::new(onnx.trim()).join("backend/test/data/node"))
}
