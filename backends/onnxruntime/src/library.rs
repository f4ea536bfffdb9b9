//! Where the runtime's library is: a list of files to try, in order. Reads folders and environment variables only; starts
//! no process and loads nothing.
//!
//! ```text
//!   option `library`  ->  INFERLAY_ONNXRUNTIME, ORT_DYLIB_PATH     one that is given is the only one tried
//!   else, the first that is there of:
//!     beside this library (or the program that it is linked into), and in its `lib` and `onnxruntime`
//!     the package `onnxruntime` of the Python at hand: VIRTUAL_ENV, CONDA_PREFIX, PYTHONPATH, the `python3`s of PATH
//!     what the dynamic linker finds under the library's name
//! ```

use crate::options::Options;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// The variables that name the library; the first is our own.
pub(crate) const VARIABLES: [&str; 2] = ["INFERLAY_ONNXRUNTIME", "ORT_DYLIB_PATH"];

/// What every file name of the library begins with.
const NAME: &str = "libonnxruntime.so";

/// The names that the dynamic linker may know; the second is that of distributions without their development package.
const LINKER_NAMES: [&str; 2] = [NAME, "libonnxruntime.so.1"];

/// What the search depends on, apart from the files.
pub(crate) struct Surroundings<'a> {
    /// Environment variables.
    pub(crate) variable: &'a dyn Fn(&str) -> Option<OsString>,
    /// The folder of this very library.
    pub(crate) own_folder: Option<PathBuf>,
}

/// The files to try, in order: one where the user names it.
pub(crate) fn candidates(options: &Options, surroundings: &Surroundings<'_>) -> Vec<PathBuf> {
    let named = |name: &&str| (surroundings.variable)(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let named = options.library.clone().or_else(|| VARIABLES.iter().find_map(named));
    if let Some(path) = named {
        return vec![newest_in(&path).unwrap_or(path)];
    }
    let beside = surroundings.own_folder.iter().flat_map(|own| [own.clone(), own.join("lib"), own.join("onnxruntime")]);
    let packaged = site_packages(surroundings.variable).into_iter().map(|site| site.join("onnxruntime/capi"));
    let mut found: Vec<PathBuf> = beside.chain(packaged).filter_map(|folder| newest_in(&folder)).collect();
    found.dedup();
    found.into_iter().chain(LINKER_NAMES.map(PathBuf::from)).collect()
}

/// The library of the highest version in a folder.
fn newest_in(folder: &Path) -> Option<PathBuf> {
    let names = std::fs::read_dir(folder).ok()?.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let version = |name: &str| -> Option<Vec<u32>> {
        let rest = name.strip_prefix(NAME)?;
        let numbers = rest.split('.').filter(|part| !part.is_empty());
        numbers.map(|number| number.parse().ok()).collect()
    };
    let newest = names.filter_map(|name| Some((version(&name)?, name))).max()?;
    Some(folder.join(newest.1))
}

/// The folders of packages of the Pythons at hand.
fn site_packages(variable: &dyn Fn(&str) -> Option<OsString>) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for prefix in ["VIRTUAL_ENV", "CONDA_PREFIX"].iter().filter_map(|name| variable(name)) {
        found.extend(sites_of(Path::new(&prefix)));
    }
    if let Some(paths) = variable("PYTHONPATH") {
        found.extend(std::env::split_paths(&paths));
    }
    for folder in variable("PATH").iter().flat_map(std::env::split_paths) {
        let python = folder.join("python3");
        // A virtual environment's `python3` is a link to the one that it was made with, which has packages of its own.
        for python in [Some(python.clone()), python.canonicalize().ok()].into_iter().flatten() {
            if let (true, Some(prefix)) = (python.is_file(), python.parent().and_then(Path::parent)) {
                found.extend(sites_of(prefix));
            }
        }
    }
    if let Some(home) = variable("HOME") {
        found.extend(sites_of(&Path::new(&home).join(".local")));
    }
    found
}

/// `lib/python3.*/site-packages` of one prefix, and Debian's name for it; the newest Python first.
fn sites_of(prefix: &Path) -> Vec<PathBuf> {
    let library = prefix.join("lib");
    let entries = std::fs::read_dir(&library).into_iter().flatten().filter_map(|entry| entry.ok());
    let mut versions: Vec<(u32, PathBuf)> = entries
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let minor = name.strip_prefix("python3")?;
            Some((minor.trim_start_matches('.').parse().unwrap_or(0), entry.path()))
        })
        .collect();
    versions.sort_by(|a, b| b.cmp(a));
    let sites = versions.into_iter().flat_map(|(_, path)| [path.join("site-packages"), path.join("dist-packages")]);
    sites.filter(|site| site.is_dir()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    /// A folder of the test's own, gone afterwards.
    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str, files: &[&str]) -> Self {
            let folder = std::env::temp_dir().join(format!("inferlay-library-{}-{name}", std::process::id()));
            for file in files {
                let path = folder.join(file);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, "").unwrap();
            }
            Folder(folder)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            fs::remove_dir_all(&self.0).unwrap();
        }
    }

    fn search(options: &Options, own: Option<&Path>, variables: &[(&str, PathBuf)]) -> Vec<PathBuf> {
        let variable =
            |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| value.clone().into());
        candidates(options, &Surroundings { variable: &variable, own_folder: own.map(Path::to_owned) })
    }

    #[test]
    fn what_the_user_names_is_the_only_one_tried() {
        let folder =
            Folder::new("named", &["libonnxruntime.so.1.9.0", "libonnxruntime.so.1.20.1", "libonnxruntime.so.x"]);
        let (file, newest) = (folder.0.join("libonnxruntime.so.1.9.0"), folder.0.join("libonnxruntime.so.1.20.1"));
        let ours = (VARIABLES[0], file.clone());
        let theirs = (VARIABLES[1], PathBuf::from("/theirs.so"));
        for (options, variables, expected) in [
            (Options::new().library("/option.so"), vec![ours.clone()], PathBuf::from("/option.so")),
            (Options::new().library(&folder.0), vec![], newest),
            (Options::new(), vec![theirs.clone(), ours], file),
            (Options::new(), vec![theirs.clone(), (VARIABLES[0], PathBuf::new())], PathBuf::from("/theirs.so")),
        ] {
            assert_eq!(search(&options, Some(&folder.0), &variables), [expected]);
        }
    }

    #[test]
    fn beside_this_library_comes_before_python_and_the_linker_last() {
        let package = "lib/python3.9/site-packages/onnxruntime/capi/libonnxruntime.so.1.19.0";
        let newer = "lib/python3.12/site-packages/onnxruntime/capi/libonnxruntime.so.1.22.0";
        let folder = Folder::new(
            "beside",
            &[
                "own/lib/libonnxruntime.so.1.18.0",
                &format!("venv/{package}"),
                &format!("venv/{newer}"),
                "venv/bin/python3",
                "system/lib/python3/dist-packages/onnxruntime/capi/libonnxruntime.so",
                "system/bin/python3",
            ],
        );
        let at = |path: &str| folder.0.join(path);
        let path = std::env::join_paths([at("nowhere"), at("venv/bin"), at("system/bin")]).unwrap();
        let found = search(&Options::new(), Some(&at("own")), &[("PATH", path.into())]);
        let expected =
            [at("own/lib/libonnxruntime.so.1.18.0"), at(&format!("venv/{newer}")), at(&format!("venv/{package}"))];
        assert_eq!(found[..3], expected);
        assert!(found.contains(&at("system/lib/python3/dist-packages/onnxruntime/capi/libonnxruntime.so")));
        assert_eq!(found[found.len() - 2..], LINKER_NAMES.map(PathBuf::from));
    }

    #[test]
    fn the_active_environment_comes_first_of_the_pythons() {
        let site = "lib/python3.11/site-packages/onnxruntime/capi/libonnxruntime.so.1";
        let folder = Folder::new("active", &[&format!("a/{site}"), &format!("b/{site}"), "b/bin/python3"]);
        let at = |path: &str| folder.0.join(path);
        let found = search(&Options::new(), None, &[("PATH", at("b/bin")), ("VIRTUAL_ENV", at("a"))]);
        assert_eq!(found[..2], [at("a").join(site), at("b").join(site)]);
    }
}
