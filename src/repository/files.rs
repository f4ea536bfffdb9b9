//! The files of one version of a model: a folder, one file, or memory.
//!
//! Invariants: 1. A name that climbs out or is absolute, and a symlink that leads out of the bounds, is refused before
//! anything is opened. 2. A folder is listed once, when it is found; content is read anew each time. 3. Immutable
//! afterwards: any thread may read.

use super::disk::{self, Bounds, ENTRIES_MAX, Entry};
use super::name::{Shown, passable, relative};
use inferlay_backend_sdk::{Error, ErrorKind, ModelFiles};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// How many folders deep a version is listed.
const DEPTH_MAX: usize = 16;

/// The most bytes of the names of a version's files together: deep folders make each name long.
const NAMES_BYTES_MAX: usize = 1 << 24;

/// The files of a folder and of the folders in it.
pub(crate) struct FolderFiles {
    folder: Folder,
    names: Vec<String>,
    unlisted: Vec<String>,
    folders: Vec<PathBuf>,
}

impl FolderFiles {
    /// The files below `folder`, which must not lead out of it.
    ///
    /// # Errors
    /// When it is not a readable folder, or holds too much to be a model.
    #[cfg(test)]
    pub(crate) fn open(folder: &Path) -> Result<Self, Error> {
        Self::open_within(folder, Bounds::of_folder(folder)?)
    }

    /// The files below `folder`, whose symlinks may lead anywhere within `bounds`: versions share large files so.
    pub(super) fn open_within(folder: &Path, bounds: Bounds) -> Result<Self, Error> {
        Self::open_but(folder, bounds, &[])
    }

    /// [`FolderFiles::open_within`] as if `but` did not lie directly in the folder.
    pub(super) fn open_but(folder: &Path, bounds: Bounds, but: &[&str]) -> Result<Self, Error> {
        let root = bounds.resolve(folder)?;
        let mut folders = Vec::new();
        bounds.folders_of_links(folder, &mut folders);
        let mut walk =
            Walk { bounds: &bounds, but, names: Vec::new(), unlisted: Vec::new(), folders, visited: 0, bytes: 0 };
        walk.folder(&mut vec![root.clone()], "")?;
        let Walk { mut names, unlisted, folders, .. } = walk;
        names.sort_unstable();
        Ok(FolderFiles { folder: Folder { root, bounds }, names, unlisted, folders })
    }

    /// The files of `root`, a folder without symlinks, by their names alone: none is listed.
    pub(super) fn unlisted_in(root: &Path, bounds: &Bounds) -> Self {
        let folder = Folder { root: root.to_owned(), bounds: bounds.clone() };
        FolderFiles { folder, names: Vec::new(), unlisted: Vec::new(), folders: Vec::new() }
    }

    /// The folders in which something may happen that changes what lies here: its own, those in it, and those that
    /// links lead through. Without symlinks.
    pub(super) fn folders(&self) -> &[PathBuf] {
        &self.folders
    }

    /// The folder itself, without symlinks.
    pub(super) fn root(&self) -> &Path {
        &self.folder.root
    }

    /// The content of a file, to be read piece by piece.
    #[cfg(feature = "integrity")]
    pub(super) fn reader(&self, name: &str) -> Result<fs::File, Error> {
        self.folder.bounds.open(&self.folder.root.join(relative(name)?))
    }

    /// What lies there and is not listed because its name cannot be passed on, with the reason.
    pub(super) fn unlisted(&self) -> &[String] {
        &self.unlisted
    }
}

impl ModelFiles for FolderFiles {
    fn names(&self) -> Vec<String> {
        self.names.clone()
    }

    fn read(&self, name: &str) -> Result<Vec<u8>, Error> {
        self.folder.read(name)
    }

    fn path(&self, name: &str) -> Result<Option<PathBuf>, Error> {
        self.folder.path(name)
    }
}

/// One file. Only itself is listed, whatever else its folder is used for; what lies beside it can be read by name,
/// because a large model keeps its weights there.
pub(crate) struct FileFiles {
    folder: Folder,
    name: String,
}

impl FileFiles {
    /// The file at `path`. A symlink is followed, and files beside its target can then be read as well: download caches
    /// keep names in one folder and contents in another.
    ///
    /// # Errors
    /// When it is not a readable file, or its name cannot be passed on.
    pub(crate) fn open(path: &Path) -> Result<Self, Error> {
        let real = fs::canonicalize(path).map_err(|error| disk::refused(path, &error))?;
        let (Some(name), Some(beside), true) = (path.file_name(), real.parent(), real.is_file()) else {
            let found = if real.is_dir() { "a folder" } else { "a pipe, socket or device" };
            return Err(Error::invalid_arg(format!("{}: found {found}, expected a file", Shown::path(path))));
        };
        let name = match name.to_str().map(relative) {
            Some(Ok(plain)) => plain,
            _ => {
                return Err(Error::invalid_arg(format!(
                    "{}: the name is not UTF-8, or holds '\\' or what is not seen",
                    Shown::path(path)
                )));
            }
        };
        let bounds = Bounds::of_folder(&folder_of(path))?.and(beside.to_owned());
        Ok(FileFiles { folder: Folder { root: bounds.root().to_owned(), bounds }, name })
    }
}

impl ModelFiles for FileFiles {
    fn names(&self) -> Vec<String> {
        vec![self.name.clone()]
    }

    fn read(&self, name: &str) -> Result<Vec<u8>, Error> {
        self.folder.read(name)
    }

    fn path(&self, name: &str) -> Result<Option<PathBuf>, Error> {
        self.folder.path(name)
    }
}

/// The folder that a file lies in, `.` for a bare name.
pub(super) fn folder_of(file: &Path) -> PathBuf {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// Files that lie in memory, for a model that never was on disk.
#[derive(Clone, Debug, Default)]
pub(crate) struct MemoryFiles {
    files: BTreeMap<String, Arc<[u8]>>,
}

impl MemoryFiles {
    /// Takes the files with their names.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArg`] for a name that is empty, absolute or holds `..`, `\` or NUL, and for one given twice.
    pub(crate) fn new<B: Into<Arc<[u8]>>>(files: impl IntoIterator<Item = (String, B)>) -> Result<Self, Error> {
        let mut held = BTreeMap::new();
        for (name, content) in files {
            let plain = relative(&name).map_err(|error| Error::invalid_arg(error.message().to_owned()))?;
            if held.insert(plain, content.into()).is_some() {
                return Err(Error::invalid_arg(format!("file {}: found twice, expected once", Shown::text(&name))));
            }
        }
        Ok(MemoryFiles { files: held })
    }

    fn content(&self, name: &str) -> Result<&[u8], Error> {
        let missing = || Error::not_found(format!("file {}: not found in memory", Shown::text(name)));
        Ok(self.files.get(&relative(name)?).ok_or_else(missing)?)
    }
}

impl ModelFiles for MemoryFiles {
    fn names(&self) -> Vec<String> {
        self.files.keys().cloned().collect()
    }

    fn read(&self, name: &str) -> Result<Vec<u8>, Error> {
        self.content(name).map(<[u8]>::to_vec)
    }

    fn path(&self, name: &str) -> Result<Option<PathBuf>, Error> {
        self.content(name).map(|_| None)
    }
}

/// A folder that names are looked up in. Its path is absolute, so that the process may change its working directory.
struct Folder {
    root: PathBuf,
    bounds: Bounds,
}

impl Folder {
    fn read(&self, name: &str) -> Result<Vec<u8>, Error> {
        self.bounds.read(&self.root.join(relative(name)?))
    }

    /// The path with the symlink of the file itself not followed: a framework looks for the weights beside the name
    /// that it is given, not beside the target. A folder has a path too: some models are one, such as `model.savedmodel`.
    fn path(&self, name: &str) -> Result<Option<PathBuf>, Error> {
        let path = self.root.join(relative(name)?);
        let real = self.bounds.resolve(&path)?;
        if !real.is_dir() {
            self.bounds.resolve_file(&path)?;
        }
        Ok(Some(path))
    }
}

/// Lists a folder and the folders in it.
struct Walk<'a> {
    bounds: &'a Bounds,
    /// Not listed where they lie directly in the first folder.
    but: &'a [&'a str],
    names: Vec<String>,
    unlisted: Vec<String>,
    folders: Vec<PathBuf>,
    visited: usize,
    /// Of all names together.
    bytes: usize,
}

impl Walk<'_> {
    /// Lists the last of `open`, the folders from the outermost to this one, without symlinks.
    fn folder(&mut self, open: &mut Vec<PathBuf>, prefix: &str) -> Result<(), Error> {
        let Some(folder) = open.last().cloned() else { return Ok(()) };
        if open.len() > DEPTH_MAX {
            let message = format!("{}: found more than {DEPTH_MAX} folders in each other", Shown::path(&folder));
            return Err(Error::new(ErrorKind::ResourceExhausted, message));
        }
        self.folders.push(folder.clone());
        for entry in disk::entries(&folder)? {
            if prefix.is_empty() && self.but.iter().any(|name| entry.name == **name) {
                continue;
            }
            self.visited += 1;
            if self.visited > ENTRIES_MAX {
                return Err(disk::too_many(&open[0]));
            }
            self.entry(open, &folder.join(&entry.name), prefix, &entry)?;
        }
        Ok(())
    }

    fn entry(&mut self, open: &mut Vec<PathBuf>, path: &Path, prefix: &str, entry: &Entry) -> Result<(), Error> {
        let Some(name) = passable(&entry.name) else {
            let why = "its name is not UTF-8, or holds '\\' or what is not seen";
            self.unlisted.push(format!("{}: passed over: {why}", Shown::path(path)));
            return Ok(());
        };
        let name = format!("{prefix}{name}");
        self.bytes += name.len();
        if self.bytes > NAMES_BYTES_MAX {
            let message = format!("{}: found more than {NAMES_BYTES_MAX} bytes of names", Shown::path(&open[0]));
            return Err(Error::new(ErrorKind::ResourceExhausted, format!("{message}, expected the files of a model")));
        }
        if entry.kind.is_symlink() {
            self.bounds.folders_of_links(path, &mut self.folders);
        }
        match self.folder_to_enter(path, entry) {
            // A link back to a folder that we are in would be listed for ever.
            Some(real) if open.contains(&real) => {}
            Some(real) => {
                open.push(real);
                self.folder(open, &format!("{name}/"))?;
                open.pop();
            }
            // A link that leads nowhere or out is listed as well: reading it says what is wrong with it.
            None if entry.kind.is_file() || entry.kind.is_symlink() => self.names.push(name),
            None => {}
        }
        Ok(())
    }

    fn folder_to_enter(&self, path: &Path, entry: &Entry) -> Option<PathBuf> {
        if entry.kind.is_dir() {
            return Some(path.to_owned());
        }
        let real = entry.kind.is_symlink().then(|| self.bounds.resolve(path).ok())??;
        real.is_dir().then_some(real)
    }
}
