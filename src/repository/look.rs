//! One look at the folder of a model: its snapshot, and the way back to the files for reading what a stat cannot tell.
//!
//! ```text
//!   Look::at (stats) --> borrow_sums (of files whose stats stand) --> read_sums (of the rest) --> is_still_true
//! ```
//!
//! Invariants: 1. A look opens no file; [`Look::read_sums`] does, and none of them twice while its stat stands. 2. A
//! sum belongs to the stat beside it: a file that changes while it is read leaves [`Unread::Unsettled`] and no sum.
//! 3. Files outside of the repository are neither looked at nor read.

use super::disk::{self, Bounds};
use super::files::FolderFiles;
use super::snapshot::{FileMark, Part, Snapshot, Stat, Sum, is_scratch};
use crate::sync::thread;
use inferlay_backend_sdk::{Error, ErrorKind, ModelFiles};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// How many bytes are read at a time: after each of them reading can be given up.
const CHUNK_LEN: usize = 1 << 20;

/// From how many bytes on files are read on a thread of low priority; the sums of less are there before such a thread is.
pub(super) const LOW_PRIORITY_LEN_MIN: u64 = 1 << 20;

/// Why the sums of a look are not known.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Unread {
    /// A file changed while it was read, or since the look. What is there now takes another look.
    Unsettled,
    /// A file could not be read.
    Refused(Error),
    /// Whoever asked has given up.
    GivenUp,
}

/// A model's folder as it was looked at.
#[derive(Clone)]
pub(crate) struct Look {
    /// What lay there.
    pub(crate) snapshot: Snapshot,
    /// The folders in which something may happen that changes it, without symlinks.
    pub(super) folders: Vec<PathBuf>,
    root: PathBuf,
    /// The folders of the versions, without symlinks.
    roots: BTreeMap<u64, PathBuf>,
    bounds: Bounds,
}

impl Look {
    /// A look at the model in `root`, a folder without symlinks that the caller
    /// spells `shown`; it yet lacks everything.
    pub(super) fn new(root: &Path, shown: &Path, bounds: &Bounds) -> Self {
        let mut folders = vec![root.to_owned()];
        bounds.folders_of_links(shown, &mut folders);
        Look {
            snapshot: Snapshot::default(),
            folders,
            root: root.to_owned(),
            roots: BTreeMap::new(),
            bounds: bounds.clone(),
        }
    }

    /// Adds the config of that name.
    pub(super) fn add_config(&mut self, name: &str) -> Result<(), Error> {
        let path = self.root.join(name);
        self.bounds.folders_of_links(&path, &mut self.folders);
        self.snapshot.config = part(&self.bounds, &self.root, [name])?;
        Ok(())
    }

    /// Adds a version; `marker` is no file of it.
    pub(super) fn add_version(&mut self, version: u64, files: &FolderFiles, marker: Option<&str>) -> Result<(), Error> {
        let names = files.names();
        let names = names.iter().map(String::as_str).filter(|name| marker != Some(name));
        self.snapshot.versions.insert(version, part(&self.bounds, files.root(), names)?);
        self.folders.extend_from_slice(files.folders());
        self.roots.insert(version, files.root().to_owned());
        self.add_marker(files.root(), marker);
        Ok(())
    }

    /// Adds a file that lies beside the versions, or a folder with all that is in it.
    pub(super) fn add_other(&mut self, name: &str, files: Option<&FolderFiles>) -> Result<(), Error> {
        let path = self.root.join(name);
        self.bounds.folders_of_links(&path, &mut self.folders);
        let names = match files {
            Some(files) => files.names().iter().map(|file| format!("{name}/{file}")).collect(),
            None => vec![name.to_owned()],
        };
        self.folders.extend(files.into_iter().flat_map(FolderFiles::folders).cloned());
        self.snapshot.others.extend(part(&self.bounds, &self.root, names.iter().map(String::as_str))?);
        Ok(())
    }

    /// Looks for a marker in `folder`; the latest counts.
    pub(super) fn add_marker(&mut self, folder: &Path, marker: Option<&str>) {
        let found = marker.and_then(|name| fs::symlink_metadata(folder.join(name)).ok());
        let found = found.map(|metadata| Stat::of(&metadata));
        if let Some(stat) = found.filter(|new| self.snapshot.marker.is_none_or(|old| old.changed_ns <= new.changed_ns))
        {
            self.snapshot.marker = Some(stat);
        }
    }

    /// Puts the list of folders in order, when all is added.
    pub(super) fn done(mut self) -> Self {
        self.folders.sort_unstable();
        self.folders.dedup();
        self
    }

    /// Takes the sums of all files over whose stats stand as they were in `before`.
    pub(crate) fn borrow_sums(&mut self, before: &Snapshot) {
        borrow(&mut self.snapshot.config, &before.config);
        borrow(&mut self.snapshot.others, &before.others);
        for (version, part) in &mut self.snapshot.versions {
            if let Some(before) = before.versions.get(version) {
                borrow(part, before);
            }
        }
    }

    /// Reads all files whose sums are not known yet, for as long as `go_on` says so.
    ///
    /// # Errors
    /// See [`Unread`]; the sums that were read are kept.
    pub(crate) fn read_sums(&mut self, go_on: &(dyn Fn() -> bool + Sync)) -> Result<(), Unread> {
        if self.unread_len() < LOW_PRIORITY_LEN_MIN {
            return self.read_here(go_on);
        }
        thread::at_low_priority("inferlay-sums", || self.read_here(go_on))
    }

    /// How long the files are together whose sums are not known.
    fn unread_len(&self) -> u64 {
        let Snapshot { config, others, versions, .. } = &self.snapshot;
        let marks = [config, others].into_iter().chain(versions.values()).flat_map(|part| part.values());
        marks.filter(|mark| mark.sum.is_none() && mark.is_readable).map(|mark| mark.stat.len).sum()
    }

    fn read_here(&mut self, go_on: &(dyn Fn() -> bool + Sync)) -> Result<(), Unread> {
        let Look { snapshot, root, roots, bounds, .. } = self;
        read(&mut snapshot.config, bounds, root, go_on)?;
        read(&mut snapshot.others, bounds, root, go_on)?;
        for (version, part) in &mut snapshot.versions {
            read(part, bounds, roots.get(version).unwrap_or(root), go_on)?;
        }
        Ok(())
    }
}

fn borrow(part: &mut Part, before: &Part) {
    for (name, mark) in part {
        let known = before.get(name).filter(|known| known.stat == mark.stat);
        mark.sum = mark.sum.or(known.and_then(|known| known.sum));
    }
}

fn read(part: &mut Part, bounds: &Bounds, root: &Path, go_on: &dyn Fn() -> bool) -> Result<(), Unread> {
    for (name, mark) in part {
        if mark.sum.is_none() && mark.is_readable {
            mark.sum = Some(sum(bounds, &root.join(name), &mark.stat, go_on)?);
        }
    }
    Ok(())
}

/// The sum of a file whose stat stands, before and after it is read.
fn sum(bounds: &Bounds, path: &Path, stat: &Stat, go_on: &dyn Fn() -> bool) -> Result<Sum, Unread> {
    let refused = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => Unread::Unsettled,
        _ => Unread::Refused(disk::refused(path, &error)),
    };
    // A link that has been bent since the look is found out here; where it leads out, nothing is opened.
    let mut file = bounds.open(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => Unread::Unsettled,
        _ => Unread::Refused(error),
    })?;
    // Some file systems tell other numbers of an open file than of its name: only the file is compared with itself.
    let stat_of = |file: &File| file.metadata().map(|metadata| Stat::of(&metadata)).map_err(refused);
    let before = stat_of(&file)?;
    let sum = sum_of(&mut file, go_on).map_err(refused)?.ok_or(Unread::GivenUp)?;
    match before.len == stat.len && before == stat_of(&file)? {
        true => Ok(sum),
        false => Err(Unread::Unsettled),
    }
}

/// The sum of all that `from` gives; `None` when it was given up.
fn sum_of(from: &mut impl Read, go_on: &dyn Fn() -> bool) -> io::Result<Option<Sum>> {
    let (mut hasher, mut chunk) = (blake3::Hasher::new(), Vec::new());
    while go_on() {
        chunk.clear();
        from.by_ref().take(CHUNK_LEN as u64).read_to_end(&mut chunk)?;
        if chunk.is_empty() {
            return Ok(Some(Sum(*hasher.finalize().as_bytes())));
        }
        hasher.update(&chunk);
    }
    Ok(None)
}

/// The marks of those files that are meant to stay.
fn part<'n>(bounds: &Bounds, root: &Path, names: impl IntoIterator<Item = &'n str>) -> Result<Part, Error> {
    let mut part = Part::new();
    for name in names.into_iter().filter(|name| !is_scratch(name)) {
        if let Some(mark) = mark(bounds, &root.join(name))? {
            part.insert(name.to_owned(), mark);
        }
    }
    Ok(part)
}

/// The mark of one file, `None` for one that has gone since its folder was listed.
fn mark(bounds: &Bounds, path: &Path) -> Result<Option<FileMark>, Error> {
    let own = match fs::symlink_metadata(path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(disk::refused(path, &error)),
    };
    let target = match own.is_symlink() {
        true => bounds.resolve_file(path).ok().and_then(|real| fs::metadata(real).ok()),
        false => Some(own.clone()).filter(fs::Metadata::is_file),
    };
    let stat = Stat::of(target.as_ref().unwrap_or(&own));
    Ok(Some(FileMark { stat, sum: None, is_readable: target.is_some() }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    /// A disk that gives a little and then fails.
    struct Failing(u32);

    impl Read for Failing {
        fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
            self.0 = self.0.checked_sub(1).ok_or_else(|| io::Error::other("input/output error"))?;
            into[0] = 7;
            Ok(1)
        }
    }

    #[test]
    fn the_sum_is_blake3_of_all_bytes() {
        for len in [0, 1, CHUNK_LEN, CHUNK_LEN + 1] {
            let bytes = vec![3u8; len];
            let sum = sum_of(&mut bytes.as_slice(), &|| true).unwrap();
            assert_eq!(sum, Some(Sum(*blake3::hash(&bytes).as_bytes())), "{len}");
        }
    }

    #[test]
    fn a_disk_that_fails_half_way_gives_no_sum() {
        assert_eq!(sum_of(&mut Failing(3), &|| true).unwrap_err().to_string(), "input/output error");
    }

    #[test]
    fn reading_is_given_up_between_two_chunks() {
        let (bytes, left) = (vec![0u8; 3 * CHUNK_LEN], Cell::new(2));
        let go_on = || left.replace(left.get() - 1) > 0;
        assert_eq!(sum_of(&mut bytes.as_slice(), &go_on).unwrap(), None);
        assert_eq!(left.get(), -1);
    }
}
