//! The CPythons that the machine offers beside the one at hand: in `PATH`, in the usual folders, and in those of pyenv.

use crate::House;
use crate::step::Step;
use std::ffi::OsString;
use std::fs;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

/// The versions 3.x that the package is for.
const MINORS: RangeInclusive<u32> = 9..=14;

/// Folders that may not be in `PATH`.
const FOLDERS: [&str; 2] = ["/usr/bin", "/usr/local/bin"];

/// What an interpreter says of itself, one fact a line. Links lead to the interpreter that an environment was made with.
const SCRIPT: &str = "import importlib.util, os, platform, sys, sysconfig\n\
                      print(os.path.realpath(sys.executable), sys.implementation.name, platform.python_version(),\n\
                      \x20     'free-threaded' if sysconfig.get_config_var('Py_GIL_DISABLED') else 'ordinary',\n\
                      \x20     'venv' if importlib.util.find_spec('ensurepip') else 'no venv', sep='\\n')";

/// An interpreter.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Python {
    pub(crate) program: PathBuf,
    /// Such as `3.11.7`.
    pub(crate) version: String,
    /// Whether it can make an environment with pip.
    pub(crate) has_venv: bool,
}

/// Every CPython that the package is for but that of `own`, the oldest first.
pub(crate) fn others(house: &House, own: &Path) -> Vec<Python> {
    let own = asked(house, own).map(|python| python.program);
    let mut found: Vec<Python> = Vec::new();
    for program in candidates(&|name| std::env::var_os(name)).iter().filter(|program| program.is_file()) {
        let Some(python) = asked(house, program) else { continue };
        let is_known = found.iter().any(|known| known.program == python.program);
        if !is_known && own.as_ref() != Some(&python.program) {
            found.push(python);
        }
    }
    found.sort_by_key(|python| numbers(&python.version));
    found
}

/// What a program says of itself, if it is a CPython that the package is for. Scripts that stand for one may fail.
fn asked(house: &House, program: &Path) -> Option<Python> {
    read(&Step::new(house, program).args(["-c", SCRIPT]).ask().ok()?)
}

fn read(facts: &str) -> Option<Python> {
    let [program, "cpython", version, "ordinary", venv] = facts.lines().collect::<Vec<_>>()[..] else { return None };
    match numbers(version)[..] {
        [3, minor, ..] if MINORS.contains(&minor) => {
            Some(Python { program: program.into(), version: version.to_owned(), has_venv: venv == "venv" })
        }
        _ => None,
    }
}

/// The numbers of a version; what is none, such as that of a release candidate, counts as 0.
fn numbers(version: &str) -> Vec<u32> {
    version.split('.').map(|number| number.parse().unwrap_or(0)).collect()
}

/// Where interpreters may be.
fn candidates(variable: &dyn Fn(&str) -> Option<OsString>) -> Vec<PathBuf> {
    let mut folders: Vec<PathBuf> = variable("PATH").iter().flat_map(std::env::split_paths).collect();
    folders.extend(FOLDERS.map(PathBuf::from));
    let names: Vec<_> = MINORS.map(|minor| format!("python3.{minor}")).chain(["python3".to_owned()]).collect();
    let mut found: Vec<_> = folders.iter().flat_map(|folder| names.iter().map(move |name| folder.join(name))).collect();
    let home = variable("PYENV_ROOT").or_else(|| Some(Path::new(&variable("HOME")?).join(".pyenv").into()));
    let versions = home.and_then(|home| fs::read_dir(Path::new(&home).join("versions")).ok());
    found.extend(versions.into_iter().flatten().flatten().map(|version| version.path().join("bin/python3")));
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interpreter_that_the_package_is_for_is_taken() {
        let python =
            |version: &str, has_venv| Some(Python { program: "/a/b".into(), version: version.into(), has_venv });
        for (facts, expected) in [
            ("/a/b\ncpython\n3.9.18\nordinary\nvenv\n", python("3.9.18", true)),
            ("/a/b\ncpython\n3.14.0rc1\nordinary\nno venv\n", python("3.14.0rc1", false)),
            ("/a/b\ncpython\n3.8.1\nordinary\nvenv\n", None),
            ("/a/b\ncpython\n3.15.0\nordinary\nvenv\n", None),
            ("/a/b\npypy\n3.10.1\nordinary\nvenv\n", None),
            ("/a/b\ncpython\n3.13.0\nfree-threaded\nvenv\n", None),
            ("", None),
        ] {
            assert_eq!(read(facts), expected, "{facts}");
        }
    }

    #[test]
    fn the_path_comes_before_the_usual_folders() {
        let found = candidates(&|name| (name == "PATH").then(|| "/one:/two".into()));
        let at = |path: &str| found.iter().position(|found| found == Path::new(path)).unwrap();
        assert!(at("/one/python3.9") < at("/two/python3.14") && at("/two/python3") < at("/usr/bin/python3.11"));
    }

    #[test]
    fn versions_are_ordered_by_their_numbers() {
        assert!(numbers("3.9.18") < numbers("3.10.2"));
    }
}
