//! The echo that Triton is given as a backend: compiled from our own source, read by its counters.
#![allow(unsafe_code)]

use crate::case::CaseError;
use libloading::Library;
use std::fs;
use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};
use std::process::Command;

const SOURCE: &str = include_str!("../../../native/identity.c");

const FLAGS: &[&str] =
    &["-std=c11", "-O2", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-shared", "-fPIC", "-fvisibility=hidden"];

/// A compiled backend of this name, in a folder of backends.
pub(crate) struct Backend {
    library: PathBuf,
}

/// Where the backend keeps count; see `inferlay_peer_counts` in its source.
#[derive(Clone, Copy)]
pub(super) struct Counters(unsafe extern "C" fn(*mut u64, *mut u64));

impl Backend {
    /// The name by which models ask for it.
    pub(crate) const NAME: &str = "identity";

    /// Compiles the backend into `folder`, against the functions that `triton` has.
    ///
    /// # Errors
    /// When there is no C compiler, or it refuses.
    pub(crate) fn compile(folder: &Path, triton: &Path) -> Result<Self, CaseError> {
        let home = folder.join(Self::NAME);
        fs::create_dir_all(&home)?;
        let (source, library) = (home.join("identity.c"), home.join(format!("libtriton_{}.so", Self::NAME)));
        fs::write(&source, SOURCE)?;
        let told = Command::new("cc")
            .args(FLAGS)
            .arg("-o")
            .args([&library, &source])
            .arg(triton)
            .output()
            .map_err(|error| format!("cc: {error}"))?;
        if !told.status.success() {
            return Err(format!("cc: {}\n{}", told.status, String::from_utf8_lossy(&told.stderr)).into());
        }
        Ok(Backend { library })
    }

    /// The counters of the library that Triton has loaded.
    ///
    /// # Errors
    /// When it cannot be loaded, for example because Triton's own library is not.
    pub(super) fn counters(&self) -> Result<Counters, libloading::Error> {
        // SAFETY: the library is compiled from our own source and does nothing when it is loaded. It stays loaded, and
        // loading it again finds the same one.
        let library = ManuallyDrop::new(unsafe { Library::new(&self.library) }?);
        // SAFETY: the source defines the function with this type.
        let counts = *unsafe { library.get("inferlay_peer_counts") }?;
        Ok(Counters(counts))
    }
}

impl Counters {
    /// Executions so far, and the requests in them.
    pub(super) fn read(self) -> (u64, u64) {
        let (mut executions, mut requests) = (0, 0);
        // SAFETY: the library stays loaded, and the function writes both during the call only.
        unsafe { (self.0)(&raw mut executions, &raw mut requests) };
        (executions, requests)
    }
}
