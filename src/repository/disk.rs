//! The file system, seen through two rules: nothing outside of the bounds, nothing without bound.
//!
//! Invariants: 1. Every path that [`Bounds::resolve`] returns is free of symlinks and lies below one of its roots.
//! 2. What [`Bounds::open`] opens is that file, even if somebody puts links in its place meanwhile: the path is walked
//! anew from the root, folder by folder, and a link on the way is refused instead of followed.

use super::name::Shown;
use inferlay_backend_sdk::{Error, ErrorKind};
use std::ffi::OsString;
use std::fs::{self, File, FileType};
use std::io::{self, Read};
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
        must_be_file(path, kind).map(|()| real)
    }

    /// Opens the file at `path`, with its symlinks followed as [`Bounds::resolve`] does.
    ///
    /// # Errors
    /// As for [`Bounds::resolve_file`].
    pub(super) fn open(&self, path: &Path) -> Result<File, Error> {
        let real = self.resolve_file(path)?;
        let below = self.roots.iter().find_map(|root| Some((root, real.strip_prefix(root).ok()?)));
        // `resolve` found a root above it.
        let (root, name) = below.unwrap_or((&self.roots[0], &real));
        let file = open_below(root, name).map_err(|error| refused(path, &error))?;
        let kind = file.metadata().map_err(|error| refused(path, &error))?.file_type();
        must_be_file(path, kind).map(|()| file)
    }

    /// The content of the file at `path`.
    ///
    /// # Errors
    /// As for [`Bounds::open`].
    pub(super) fn read(&self, path: &Path) -> Result<Vec<u8>, Error> {
        let mut file = self.open(path)?;
        let mut content = Vec::new();
        let reading = reserve(&mut content, &file).and_then(|()| file.read_to_end(&mut content));
        reading.map(|_| content).map_err(|error| refused(path, &error))
    }

    /// The content of a file that is not long: of `what`.
    ///
    /// # Errors
    /// As for [`Bounds::open`]; `INVALID_ARG` beyond `bytes_max`.
    pub(super) fn read_short(&self, path: &Path, bytes_max: u64, what: &str) -> Result<Vec<u8>, Error> {
        let mut content = Vec::new();
        let reading = self.open(path)?.take(bytes_max + 1).read_to_end(&mut content);
        reading.map_err(|error| refused(path, &error))?;
        if content.len() as u64 <= bytes_max {
            return Ok(content);
        }
        let shown = Shown::path(path);
        Err(Error::invalid_arg(format!("{shown}: found more than {bytes_max} bytes, expected {what}")))
    }
}

/// Makes room for a file, and says so where there is none, instead of ending the process.
fn reserve(content: &mut Vec<u8>, file: &File) -> io::Result<()> {
    let len = usize::try_from(file.metadata()?.len()).map_err(io::Error::other)?;
    content.try_reserve_exact(len).map_err(io::Error::other)
}

fn must_be_file(path: &Path, kind: FileType) -> Result<(), Error> {
    if kind.is_file() {
        return Ok(());
    }
    let found = if kind.is_dir() { "a folder" } else { "a pipe, socket or device" };
    Err(Error::not_found(format!("{}: found {found}, expected a file", Shown::path(path))))
}

/// Opens `name`, which is free of `..`, below `root` without following any link, and without waiting for the other end
/// of a pipe. As `openat2` with `RESOLVE_BENEATH` and `RESOLVE_NO_SYMLINKS` does, which older kernels and sandboxes lack.
#[cfg(target_os = "linux")]
pub(super) fn open_below(root: &Path, name: &Path) -> io::Result<File> {
    use rustix::fs::{Mode, OFlags, open, openat};
    const STEP: OFlags = OFlags::PATH.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);
    const READ: OFlags = OFlags::RDONLY.union(OFlags::NOFOLLOW).union(OFlags::NONBLOCK).union(OFlags::CLOEXEC);
    let mut folder = open(root, STEP, Mode::empty())?;
    for step in name.parent().unwrap_or(Path::new("")) {
        folder = openat(&folder, step, STEP, Mode::empty())?;
    }
    let last = name.file_name().unwrap_or_default();
    Ok(File::from(openat(&folder, last, READ | OFlags::NOCTTY, Mode::empty())?))
}

/// Elsewhere the check and the opening are two steps.
#[cfg(not(target_os = "linux"))]
pub(super) fn open_below(root: &Path, name: &Path) -> io::Result<File> {
    File::open(root.join(name))
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
    Error::new(ErrorKind::ResourceExhausted, message)
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
