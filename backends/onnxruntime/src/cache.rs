//! Optimised graphs on disk, so that the next load skips the optimisation.
//!
//! One file per key, named by a hash over all that the graph depends on: the model and its weights, the runtime's
//! version, the parameters that change the graph, and the processor, for which some of it is laid out. A file is written
//! under a name of its own and renamed when it is whole, so that other processes see all of it or nothing. Any thread.

use inferlay_backend_sdk::Error;
use sha2::{Digest, Sha256};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts the files that this process begins.
static BEGUN: AtomicU64 = AtomicU64::new(0);

/// The place of one optimised graph.
#[derive(Debug)]
pub(crate) struct Place {
    folder: PathBuf,
    name: String,
}

impl Place {
    /// The place in `folder` for a graph that depends on these parts.
    pub(crate) fn new(folder: &Path, parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        for part in parts {
            // With its length, so that no two lists of parts run together to the same bytes.
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        let name = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        Place { folder: folder.to_owned(), name }
    }

    /// The graph, if it is there.
    pub(crate) fn read(&self) -> Option<Vec<u8>> {
        fs::read(self.path()).ok()
    }

    /// Where to write it to; the folder is made if need be.
    ///
    /// # Errors
    /// `UNAVAILABLE` when the folder cannot be made.
    pub(crate) fn begin(&self) -> Result<Draft<'_>, Error> {
        fs::create_dir_all(&self.folder).map_err(|error| {
            Error::unavailable(format!("parameter 'optimized_model_cache': '{}': {error}", self.folder.display()))
        })?;
        let begun = BEGUN.fetch_add(1, Ordering::Relaxed);
        let path = self.folder.join(format!("{}.{}.{begun}.tmp", self.name, std::process::id()));
        Ok(Draft { place: self, path })
    }

    fn path(&self) -> PathBuf {
        self.folder.join(format!("{}.onnx", self.name))
    }
}

/// A file that is being written; removed unless it is kept.
#[derive(Debug)]
pub(crate) struct Draft<'a> {
    place: &'a Place,
    path: PathBuf,
}

impl Draft<'_> {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Gives it its name.
    ///
    /// # Errors
    /// `UNAVAILABLE` when the file system refuses.
    pub(crate) fn keep(self) -> Result<(), Error> {
        let kept = fs::rename(&self.path, self.place.path());
        kept.map_err(|error| Error::unavailable(format!("optimised graph '{}': {error}", self.path.display())))
    }
}

impl Drop for Draft<'_> {
    fn drop(&mut self) {
        // Not there once it was kept.
        let _gone = fs::remove_file(&self.path);
    }
}

/// What the graph's layout depends on of this machine: what its processor can do.
pub(crate) fn processor() -> String {
    let told = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let abilities = told.lines().find(|line| line.starts_with("flags") || line.starts_with("Features"));
    format!("{} {}", std::env::consts::ARCH, abilities.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_has_another_name() {
        let name = |parts: &[&[u8]]| Place::new(Path::new("/"), parts).name;
        assert_eq!(name(&[b"ab", b"c"]), name(&[b"ab", b"c"]));
        for other in [&[&b"a"[..], b"bc"][..], &[b"abc"], &[b"ab", b"d"], &[b"ab", b"c", b""]] {
            assert_ne!(name(&[b"ab", b"c"]), name(other));
        }
    }

    #[test]
    fn a_draft_is_seen_when_it_is_kept_and_gone_when_it_is_not() {
        let folder = std::env::temp_dir().join(format!("inferlay-cache-{}", std::process::id()));
        let place = Place::new(&folder, &[b"model"]);
        let draft = place.begin().unwrap();
        fs::write(draft.path(), "half").unwrap();
        assert_eq!(place.read(), None);
        drop(draft);
        let draft = place.begin().unwrap();
        fs::write(draft.path(), "whole").unwrap();
        draft.keep().unwrap();
        assert_eq!(place.read().as_deref(), Some(&b"whole"[..]));
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_folder_that_cannot_be_is_an_error() {
        let place = Place::new(Path::new("/proc/inferlay"), &[b"model"]);
        assert!(place.begin().unwrap_err().message().contains("/proc/inferlay"));
    }
}
