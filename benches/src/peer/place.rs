//! Where Triton's library lies, and how its own libraries are found.

use crate::case::CaseError;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The package that carries the library, at the version that the bench was written with.
const PACKAGE: &str = "nvidia-pytriton==0.7.0";
/// Where the package keeps its libraries.
const LIBRARIES: &str = "nvidia_pytriton.libs";
/// The loader of Linux looks here first.
const SEARCH_PATH: &str = "LD_LIBRARY_PATH";

/// A `libtritonserver` and the folder of the libraries that it needs.
#[derive(Debug, PartialEq)]
pub(super) struct Place {
    pub(super) library: PathBuf,
    pub(super) folder: PathBuf,
}

impl Place {
    /// Looks in the folder that was named; or, if none was, in the folders that the message of the error names.
    pub(super) fn find(named: Option<&Path>) -> Result<Self, CaseError> {
        if let Some(named) = named {
            return look(named)?
                .ok_or_else(|| format!("--triton: found no libtritonserver in {}", named.display()).into());
        }
        let build = build_folder()?;
        let own = build.join("triton");
        let mut candidates = vec![own.clone()];
        let venvs = [Some(build.join("venv")), env::var_os("VIRTUAL_ENV").map(PathBuf::from)];
        for venv in venvs.into_iter().flatten() {
            candidates.extend(site_packages(&venv)?);
        }
        for candidate in &candidates {
            if let Some(place) = look(candidate)? {
                return Ok(place);
            }
        }
        let looked = candidates.iter().map(|folder| folder.display().to_string()).collect::<Vec<_>>().join(", ");
        let own = own.display();
        Err(format!(
            "peer: found no libtritonserver in {looked}; get it (150 MB) by\n  \
             python3 -m pip install --no-deps --target {own} {PACKAGE}\n\
             or name its folder by --triton DIR"
        )
        .into())
    }

    /// Makes the libraries that Triton's needs findable: the loader reads its search path when a program starts, hence
    /// this one starts itself again where that lacks the folder.
    pub(super) fn enter(&self) -> Result<(), CaseError> {
        let old = env::var_os(SEARCH_PATH).unwrap_or_default();
        if env::split_paths(&old).any(|path| path == self.folder) {
            return Ok(());
        }
        let paths =
            [self.folder.clone()].into_iter().chain(env::split_paths(&old).filter(|path| *path != Path::new("")));
        let error = Command::new(env::current_exe()?)
            .args(env::args_os().skip(1).collect::<Vec<OsString>>())
            .env(SEARCH_PATH, env::join_paths(paths)?)
            .exec();
        Err(format!("peer: cannot start again: {error}").into())
    }
}

/// The library in a folder that holds either it or an installed package.
fn look(folder: &Path) -> io::Result<Option<Place>> {
    for folder in [folder.join(LIBRARIES), folder.to_owned()] {
        for file in files(&folder)? {
            let name = file.file_name().unwrap_or_default().to_string_lossy();
            if name.starts_with("libtritonserver") && name.contains(".so") {
                // What the loader maps is listed by its real path.
                let library = file.canonicalize()?;
                let folder = folder.canonicalize()?;
                return Ok(Some(Place { library, folder }));
            }
        }
    }
    Ok(None)
}

/// The folders for packages of a Python environment, of which most have one.
fn site_packages(venv: &Path) -> io::Result<Vec<PathBuf>> {
    Ok(files(&venv.join("lib"))?.into_iter().map(|python| python.join("site-packages")).collect())
}

/// What is in a folder, sorted; nothing if there is no such folder.
fn files(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut files = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>()?;
    files.sort();
    Ok(files)
}

/// The folder that cargo built this program in: the program lies in a profile's folder there.
fn build_folder() -> io::Result<PathBuf> {
    let program = env::current_exe()?;
    Ok(program.ancestors().nth(2).unwrap_or(Path::new(".")).to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::Models;

    #[test]
    fn the_library_is_found_in_a_package_or_in_its_own_folder() {
        let folder = Models::new("place").unwrap();
        let libraries = folder.folder().join(LIBRARIES);
        assert_eq!(look(folder.folder()).unwrap(), None);
        fs::create_dir(&libraries).unwrap();
        fs::write(libraries.join("libz.so"), "").unwrap();
        assert_eq!(look(folder.folder()).unwrap(), None);
        fs::write(libraries.join("libtritonserver-1.so"), "").unwrap();
        let found = look(folder.folder()).unwrap().unwrap();
        assert!(found.library.ends_with("nvidia_pytriton.libs/libtritonserver-1.so"));
        assert_eq!(look(&libraries).unwrap(), Some(found));
    }

    #[test]
    fn a_folder_without_the_library_is_refused_by_its_name() {
        let error = Place::find(Some(Path::new("/nowhere"))).unwrap_err();
        assert_eq!(error.to_string(), "--triton: found no libtritonserver in /nowhere");
    }
}
