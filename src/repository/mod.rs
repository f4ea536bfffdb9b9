//! The cellar: finds the models that lie in folders, and hands them on as plain values.
//!
//! ```text
//!   <repository>/<model>/config.yaml           optional, also .yml, .json or .pbtxt; handed on as text, parsed elsewhere
//!   <repository>/<model>/configs/<name>.yaml   in its place where a config name is chosen
//!   <repository>/<model>/<version>/<file>      a version is a whole number > 0
//!   <repository>/<model>/<file>                without version folders: all of it is version 1
//!   <file>                                     one model in one file: version 1, named by the file's stem
//!
//!   scan(folders) ----.
//!                      >--> FoundModel --> choose(versions) --> detect(files, backends) --> backend, file name
//!   open_file(file) --'
//!
//!   Watcher (what the system tells) --> Live (looks, rules) --> Order: load this, unload that
//! ```
//!
//! Invariants: 1. One bad model takes nothing else down: it is listed in `Found::broken` with its reason. 2. A name is
//! in `Found::models` or in `Found::broken`, never in both. 3. Nothing outside of a repository is read: names that
//! climb out and symlinks that lead out are refused, and on Linux a file that is read is opened without following links,
//! so that somebody who swaps them meanwhile gains nothing. Not so where a backend asks for a path and opens it itself,
//! and where a folder is listed, which tells names: against who can write into a repository, models are sealed, see
//! `seal`. 4. This room never sees a request, knows no backend and holds no lock.
//!
//! Runs on the thread that calls it, and blocks on the file system.

mod config_file;
mod detect;
mod disk;
mod events;
mod files;
mod in_memory;
mod live;
mod look;
mod name;
mod repositories;
mod scan;
#[cfg_attr(not(feature = "integrity"), path = "unsealed.rs")]
mod seal;
mod snapshot;
mod source;
#[cfg(test)]
mod temp;
#[cfg(test)]
mod tests;
mod versions;
mod watch;

pub(crate) use detect::{detect, first_of};
pub(crate) use events::{Hint, Periods, Waker, Watcher};
pub(crate) use in_memory::in_memory;
pub(crate) use live::{Live, Order};
pub(crate) use look::Look;
pub(crate) use name::check_model_name;
pub(crate) use repositories::{Repositories, Repository};
#[cfg(test)]
pub(crate) use scan::scan;
pub(crate) use scan::{is_still_so, open_file, scan_all, scan_model};
#[cfg(feature = "integrity")]
pub use seal::{Algorithm, PublicKey, SealReport, SigningKey, seal};
pub(crate) use seal::{Sealing, Trust};
use snapshot::{Part, holds_what};
pub(crate) use snapshot::{Snapshot, Stamp};
#[cfg(feature = "object-store")]
pub(crate) use source::ObjectSource;
#[cfg(feature = "object-store")]
pub use source::UrlOptions;
pub(crate) use source::{Cache, Replica};
pub use source::{FolderSource, Source, SourceFile};
pub(crate) use versions::{Choice, choose};
pub(crate) use watch::{Outcome, Rules};

use inferlay_backend_sdk::{Error, ModelFiles};
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a scan of one or several repositories found.
#[derive(Default)]
pub(crate) struct Found {
    /// The models whose files are in order, by name. Whether they load is for a backend to say.
    pub(crate) models: BTreeMap<String, FoundModel>,
    /// The models that cannot be served, and why. A name may hold anything that the file system allows.
    pub(crate) broken: BTreeMap<String, Error>,
    /// What was passed over although somebody may have meant it to be served, for the log.
    pub(crate) warnings: Vec<String>,
}

/// The files of every version.
pub(crate) type Versions = BTreeMap<u64, Arc<dyn ModelFiles>>;

/// The config and the versions of one model.
pub(crate) struct FoundModel {
    /// The name it is served under, each part of it checked by [`check_model_name`].
    pub(crate) name: String,
    /// The name of its folder, which its config may repeat.
    pub(crate) own_name: String,
    /// Its config, where it has one.
    pub(crate) config: Option<ConfigText>,
    /// The files of every version, at least one.
    pub(crate) versions: Versions,
    /// Whether somebody has sealed it.
    pub(crate) sealing: Sealing,
    /// What lies beside the versions, to be read by name: data for warming up, labels.
    pub(crate) beside: Option<Arc<dyn ModelFiles>>,
    /// Of files in memory, what tells each version's content from any other.
    pub(crate) stamps: BTreeMap<u64, Stamp>,
    /// Its files as they were when they were listed; `None` for a single file and for files in memory.
    pub(crate) look: Option<Look>,
}

impl FoundModel {
    /// A model of which no more is known.
    fn new(name: &str, config: Option<ConfigText>, versions: Versions) -> Self {
        let (name, own_name, sealing, stamps) = (name.to_owned(), name.to_owned(), Sealing::Missing, BTreeMap::new());
        FoundModel { name, own_name, config, versions, sealing, beside: None, stamps, look: None }
    }
}

impl FoundModel {
    /// How long the files of a version were together when they were listed, where they lie on a disk.
    pub(crate) fn bytes_on_disk(&self, version: u64) -> Option<u64> {
        let part = self.look.as_ref()?.snapshot.versions.get(&version)?;
        Some(part.values().map(|mark| mark.stat.len).sum())
    }

    /// What tells the files of a version from others, where that is known.
    pub(crate) fn mark(&self, version: u64) -> Option<Mark> {
        let stamp = || self.stamps.get(&version).copied().map(Mark::InMemory);
        let part = self.look.as_ref().and_then(|look| look.snapshot.versions.get(&version).cloned());
        part.map(Mark::OnDisk).or_else(stamp)
    }
}

/// What tells the files of a version from others.
#[derive(Clone, Debug)]
pub(crate) enum Mark {
    /// What the file system told of each, and the sums of those that were read.
    OnDisk(Part),
    /// The hash of them all.
    InMemory(Stamp),
}

impl Mark {
    /// Whether both stand for the same content, as far as is known.
    pub(crate) fn is_of_same_content(&self, other: &Mark) -> bool {
        match (self, other) {
            (Mark::OnDisk(one), Mark::OnDisk(other)) => holds_what(one, other),
            (Mark::InMemory(one), Mark::InMemory(other)) => one == other,
            _ => false,
        }
    }
}

/// A config as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConfigText {
    /// The file as messages show it.
    pub(crate) label: String,
    /// The text, at most [`scan::CONFIG_BYTES_MAX`] long.
    pub(crate) text: String,
}
