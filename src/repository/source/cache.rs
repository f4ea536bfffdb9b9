//! The cache of one source: what is being fetched, and the replicas that are whole.
//!
//! ```text
//!   <cache>/<name of the source, made plain>/
//!     source               the name of the source
//!     lock                 held by whoever fetches
//!     staging/             files on their way, see `part`
//!     replicas/7/         a repository, never changed
//!     replicas/7.listing  what it holds
//!     replicas/7.lock     held, shared, by every server that serves it
//! ```
//!
//! Invariants: 1. A replica's folder appears by one rename, when all of its files are on the disk. 2. A replica that is
//! held is not removed, and one is taken hold of, or removed, only by whoever holds `lock`. Files of a replica are linked
//! into the next one where they are the same, and so are never written to. 3. Only users who could change the models
//! anyway may write into the cache: what lies there is trusted as if it had just been fetched.

use super::super::disk::refused;
use super::super::name::Shown;
use super::listing::{Listing, mark};
use super::part::Part;
use super::{Source, SourceFile};
use inferlay_backend_sdk::{Error, ErrorKind};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// How often a listing may turn out to be out of date before the source is given up.
const LISTINGS_MAX: usize = 5;

/// How often the fetching of one file may be interrupted and go on.
const INTERRUPTIONS_MAX: usize = 32;

/// The folder of one source.
pub(crate) struct Cache {
    folder: PathBuf,
    /// Holds the lock until it is closed.
    _lock: File,
}

/// A whole copy of a source, kept as long as this lives.
#[derive(Debug)]
pub(crate) struct Replica {
    /// A repository.
    pub(crate) folder: PathBuf,
    /// Holds a shared lock until it is closed.
    _lock: File,
}

impl Cache {
    /// Opens the folder of a source in `cache`, and waits until no other process fetches into it.
    pub(crate) fn open(cache: &Path, source: &str) -> Result<Self, Error> {
        let folder = cache.join(plain(source));
        let told = |error: io::Error| refused(&folder, &error);
        fs::create_dir_all(folder.join("replicas")).map_err(told)?;
        let lock = File::create(folder.join("lock")).map_err(told)?;
        lock.lock().map_err(told)?;
        match fs::read_to_string(folder.join("source")) {
            Ok(found) if found == source => {}
            Ok(found) => {
                let (folder, found, source) = (Shown::path(&folder), Shown::text(&found), Shown::text(source));
                return Err(Error::invalid_arg(format!("{folder}: found the cache of {found}, expected of {source}")));
            }
            Err(_) => fs::write(folder.join("source"), source).map_err(told)?,
        }
        Ok(Cache { folder, _lock: lock })
    }

    /// Brings the cache up to date: the newest replica, fetched as far as it is not there. Older ones that nobody holds
    /// are removed.
    ///
    /// # Errors
    /// Those of the source, with its name; what was fetched until then stays, and the next one goes on from there.
    pub(crate) fn update(&self, source: &dyn Source) -> Result<Replica, Error> {
        let mut changed = Error::unavailable("");
        for _ in 0..LISTINGS_MAX {
            let listing = source.list().and_then(Listing::check).map_err(|error| at(source, error))?;
            match self.replica(source, &listing) {
                // Somebody publishes there just now: what is listed is gone, and listed anew.
                Err(error) if error.kind() == ErrorKind::FailedPrecondition => changed = error,
                other => return other.map_err(|error| at(source, error)),
            }
        }
        let message = format!("found other files after each of {LISTINGS_MAX} listings: {}", changed.message());
        Err(at(source, Error::unavailable(message)))
    }

    fn replica(&self, source: &dyn Source, listing: &Listing) -> Result<Replica, Error> {
        let (text, published) = (listing.text(), self.published()?);
        let newest = published.last_key_value().map(|(number, listed)| (*number, listed.as_str()));
        let number = match newest {
            Some((number, listed)) if listed == text => number,
            _ => {
                self.fetch_all(source, listing, newest)?;
                self.publish(newest.map_or(1, |(number, _)| number + 1), &text)?
            }
        };
        let replica = self.hold(number)?;
        self.prune(number);
        Ok(replica)
    }

    /// The replicas that are whole, with their listings.
    fn published(&self) -> Result<BTreeMap<u64, String>, Error> {
        let folder = self.replicas();
        let entries = fs::read_dir(&folder).map_err(|error| refused(&folder, &error))?;
        let number = |entry: io::Result<fs::DirEntry>| entry.ok()?.file_name().to_str()?.parse::<u64>().ok();
        let listing = |number| fs::read_to_string(folder.join(format!("{number}.listing"))).unwrap_or_default();
        Ok(entries.filter_map(number).map(|number| (number, listing(number))).collect())
    }

    fn fetch_all(&self, source: &dyn Source, listing: &Listing, newest: Option<(u64, &str)>) -> Result<(), Error> {
        self.clear_staging(listing);
        for file in listing.files.values() {
            let line = format!("{} {}", mark(file), file.name);
            let earlier = newest.filter(|(_, listed)| listed.lines().any(|listed| listed == line));
            let is_linked = earlier.is_some_and(|(number, _)| self.link(number, &file.name).is_ok());
            if !is_linked {
                fetch(&self.staging(), source, file)?;
            }
        }
        Ok(())
    }

    /// Removes what was on its way and is not listed any more.
    fn clear_staging(&self, listing: &Listing) {
        let data = self.staging().join("data");
        let mut folders = vec![data.clone()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
                let path = entry.path();
                let name = path.strip_prefix(&data).ok().and_then(Path::to_str).unwrap_or_default();
                match (path.is_dir(), listing.files.contains_key(name)) {
                    (true, false) => folders.push(path),
                    (false, true) => {}
                    _ => self.forget(name),
                }
            }
        }
    }

    /// Removes a file or folder that is on its way. What cannot be removed is in the way of what comes, which says so.
    fn forget(&self, name: &str) {
        // The mark first: a file without one is begun anew, a mark of another file would be taken for its own.
        for path in ["marks", "data"].map(|folder| self.staging().join(folder).join(name)) {
            let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
        }
    }

    /// Takes a file that has not changed from an earlier replica.
    fn link(&self, number: u64, name: &str) -> io::Result<()> {
        let to = self.staging().join("data").join(name);
        to.parent().map_or(Ok(()), fs::create_dir_all)?;
        self.forget(name);
        fs::hard_link(self.replicas().join(number.to_string()).join(name), to)
    }

    /// Makes what was fetched a replica.
    fn publish(&self, number: u64, listing: &str) -> Result<u64, Error> {
        let (data, to) = (self.staging().join("data"), self.replicas().join(number.to_string()));
        let publish = || {
            fs::create_dir_all(&data)?;
            remove_empty(&data)?;
            let mut file = File::create(self.replicas().join(format!("{number}.listing")))?;
            file.write_all(listing.as_bytes()).and_then(|()| file.sync_all())?;
            fs::rename(&data, &to)?;
            File::open(self.replicas())?.sync_all()?;
            fs::remove_dir_all(self.staging())
        };
        publish().map_err(|error| refused(&to, &error)).map(|()| number)
    }

    fn hold(&self, number: u64) -> Result<Replica, Error> {
        let path = self.replicas().join(format!("{number}.lock"));
        let lock = File::create(&path).and_then(|lock| lock.lock_shared().map(|()| lock));
        let lock = lock.map_err(|error| refused(&path, &error))?;
        Ok(Replica { folder: self.replicas().join(number.to_string()), _lock: lock })
    }

    /// Removes the replicas before this one that nobody holds. One that stays behind is tried again next time.
    fn prune(&self, newest: u64) {
        for number in self.published().unwrap_or_default().into_keys().filter(|number| *number != newest) {
            let path = |ending: &str| self.replicas().join(format!("{number}{ending}"));
            let is_free = File::create(path(".lock")).is_ok_and(|lock| lock.try_lock().is_ok());
            if is_free && fs::remove_dir_all(path("")).is_ok() {
                let _ = fs::remove_file(path(".listing"));
                let _ = fs::remove_file(path(".lock"));
            }
        }
    }

    fn staging(&self) -> PathBuf {
        self.folder.join("staging")
    }

    fn replicas(&self) -> PathBuf {
        self.folder.join("replicas")
    }
}

/// Fetches one file, going on after interruptions as long as each brings something.
fn fetch(staging: &Path, source: &dyn Source, file: &SourceFile) -> Result<(), Error> {
    let mut part = Part::open(staging, file)?;
    for _ in 0..INTERRUPTIONS_MAX {
        if part.len() == file.size {
            break;
        }
        let begun = part.len();
        let fetched = source.fetch(file, begun, &mut |bytes| part.add(bytes));
        match fetched {
            Ok(()) if part.len() == file.size => {}
            Ok(()) | Err(_) if part.len() > begun && may_go_on(&fetched) => {}
            Ok(()) => return Err(short(&part, file)),
            Err(error) => return part.save().and(Err(error)),
        }
    }
    part.save()?;
    if part.len() == file.size { Ok(()) } else { Err(short(&part, file)) }
}

/// Whether asking again may bring the rest.
fn may_go_on(fetched: &Result<(), Error>) -> bool {
    fetched.as_ref().err().is_none_or(|error| error.kind() == ErrorKind::Unavailable)
}

fn short(part: &Part, file: &SourceFile) -> Error {
    let (name, found, size) = (Shown::text(&file.name), part.len(), file.size);
    Error::unavailable(format!("file {name}: found the end after {found} bytes, expected {size}"))
}

fn at(source: &dyn Source, error: Error) -> Error {
    error.at(format_args!("source {}", Shown::text(source.name())))
}

/// Removes folders without files, and brings the names in the others to the disk.
fn remove_empty(folder: &Path) -> io::Result<bool> {
    let mut is_empty = true;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if !entry.file_type()?.is_dir() {
            is_empty = false;
        } else if remove_empty(&entry.path())? {
            fs::remove_dir(entry.path())?;
        } else {
            is_empty = false;
        }
    }
    File::open(folder)?.sync_all()?;
    Ok(is_empty)
}

/// A name of a source as that of a folder: readable, and with its sum, as two sources may look the same then.
fn plain(source: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || matches!(c, '-' | '.') { c } else { '-' };
    let readable: String = source.chars().map(plain).take(100).collect();
    // FNV-1a. That two names share a folder is noticed there.
    let step = |sum: u64, byte: u8| (sum ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
    let sum = source.bytes().fold(0xcbf2_9ce4_8422_2325, step);
    format!("{}-{sum:016x}", readable.trim_start_matches('.'))
}
