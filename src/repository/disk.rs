//! The file system, seen through two rules: nothing outside of the bounds, nothing without bound.
//!
//! Invariant: every path that [`Bounds::resolve`] returns is free of symlinks and lies below one of its roots.

use super::name::Shown;
use inferlay_backend_sdk::Error;
use std::ffi::OsString;
use std::fs::{self, FileType};
use std::io;
use std::path::{Path, PathBuf};

/// The most entries of one folder, and of the folders of one version together. A folder with more is not a model but
/// somebody's data set, named by mistake.
pub(super) const ENTRIES_MAX: usize = 100_000;

/// How many links in a row are followed, as Linux does.
const LINKS_MAX: usize = 40;

/// The folders that a path must not lead out of.
#[derive(Clone, Debug)]
pub(super) struct Bounds {
    /// Without symlinks. The first one is shown in messages.
    roots: Vec<PathBuf>,
}

impl Bounds {
    /// Bounds of one folder, with the symlinks in its own path followed: whoever named the folder meant its target.
    pub(super) fn of_folder(folder: &Path) -> Result<Self, Error> {
        let root = fs::canonicalize(folder).map_err(|error| refused(folder, &error))?;
        if !root.is_dir() {
            return Err(Error::invalid_arg(format!("{}: found a file, expected a folder", Shown::path(folder))));
        }
        Ok(Bounds { roots: vec![root] })
    }

    /// The same bounds, made wider by a folder without symlinks.
    pub(super) fn and(mut self, root: PathBuf) -> Self {
        self.roots.push(root);
        self
    }

    /// The folder without symlinks.
    pub(super) fn root(&self) -> &Path {
        &self.roots[0]
    }

    /// Follows all symlinks of `path`.
    ///
    /// # Errors
    /// `NOT_FOUND` when it leads nowhere or outside, naming the target; `UNAVAILABLE` when the system refuses.
    pub(super) fn resolve(&self, path: &Path) -> Result<PathBuf, Error> {
        let real = fs::canonicalize(path).map_err(|error| refused(path, &error))?;
        if self.roots.iter().any(|root| real.starts_with(root)) {
            return Ok(real);
        }
        let (path, real, root) = (Shown::path(path), Shown::path(&real), Shown::path(self.root()));
        Err(Error::not_found(format!("{path}: found a link to {real}, expected a target inside of {root}")))
    }

    /// [`folders_of_links`], as far as they lie within.
    pub(super) fn folders_of_links(&self, path: &Path, folders: &mut Vec<PathBuf>) {
        let before = folders.len();
        folders_of_links(path, folders);
        let mut at = 0;
        folders.retain(|folder| {
            at += 1;
            at <= before || self.roots.iter().any(|root| folder.starts_with(root))
        });
    }

    /// [`Bounds::resolve`] for what must be a regular file: reading a pipe or a device could take forever.
    pub(super) fn resolve_file(&self, path: &Path) -> Result<PathBuf, Error> {
        let real = self.resolve(path)?;
        let kind = fs::metadata(&real).map_err(|error| refused(path, &error))?.file_type();
        if kind.is_file() {
            return Ok(real);
        }
        let found = if kind.is_dir() { "a folder" } else { "a pipe, socket or device" };
        Err(Error::not_found(format!("{}: found {found}, expected a file", Shown::path(path))))
    }
}

/// Adds the folders, without symlinks, that the links of `path` lie in and lead through: whoever swaps one of the links
/// does it there.
pub(super) fn folders_of_links(path: &Path, folders: &mut Vec<PathBuf>) {
    let mut path = path.to_owned();
    for _ in 0..LINKS_MAX {
        let (Ok(target), Some(parent)) = (fs::read_link(&path), path.parent().map(Path::to_owned)) else { return };
        path = parent.join(target);
        folders.extend(
            [Some(parent.as_path()), path.parent()].into_iter().flatten().filter_map(|at| fs::canonicalize(at).ok()),
        );
    }
}

/// One name in a folder.
pub(super) struct Entry {
    pub(super) name: OsString,
    /// Of the entry itself: a symlink is not followed.
    pub(super) kind: FileType,
}

impl Entry {
    pub(super) fn is_hidden(&self) -> bool {
        self.name.as_encoded_bytes().starts_with(b".")
    }
}

/// What a folder holds, sorted by name, so that two scans of one folder say the same; hidden entries left out.
///
/// # Errors
/// As the system refuses; `RESOURCE_EXHAUSTED` beyond [`ENTRIES_MAX`].
pub(super) fn entries(folder: &Path) -> Result<Vec<Entry>, Error> {
    let mut entries = Vec::new();
    for entry in fs::read_dir(folder).map_err(|error| refused(folder, &error))? {
        let entry = entry.map_err(|error| refused(folder, &error))?;
        let kind = entry.file_type().map_err(|error| refused(&entry.path(), &error))?;
        entries.push(Entry { name: entry.file_name(), kind });
        if entries.len() > ENTRIES_MAX {
            return Err(too_many(folder));
        }
    }
    entries.retain(|entry| !entry.is_hidden());
    entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

pub(super) fn too_many(folder: &Path) -> Error {
    let message =
        format!("{}: found more than {ENTRIES_MAX} entries, expected a folder of models", Shown::path(folder));
    Error::new(inferlay_backend_sdk::ErrorKind::ResourceExhausted, message)
}

/// The error for a path that the system did not let us follow or read.
pub(super) fn refused(path: &Path, error: &io::Error) -> Error {
    let shown = Shown::path(path);
    if error.kind() != io::ErrorKind::NotFound {
        return Error::unavailable(format!("{shown}: {error}"));
    }
    match fs::read_link(path) {
        Ok(target) => {
            Error::not_found(format!("{shown}: found a link to {}, which is not there", Shown::path(&target)))
        }
        Err(_) => Error::not_found(format!("{shown}: not found")),
    }
}
