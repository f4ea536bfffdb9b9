//! The cellar: finds the models that lie in folders, and hands them on as plain values.
//!
//! ```text
//!   <repository>/<model>/config.yaml           optional; handed on as text, parsed elsewhere
//!   <repository>/<model>/<version>/<file>      a version is a whole number > 0
//!   <repository>/<model>/<file>                without version folders: all of it is version 1
//!   <file>                                     one model in one file: version 1, named by the file's stem
//!
//!   scan(folders) ----.
//!                      >--> FoundModel --> choose(versions) --> detect(files, backends) --> backend, file name
//!   open_file(file) --'
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

mod detect;
mod disk;
mod files;
mod in_memory;
mod name;
mod scan;
#[cfg_attr(not(feature = "integrity"), path = "unsealed.rs")]
mod seal;
mod source;
#[cfg(test)]
mod temp;
#[cfg(test)]
mod tests;
mod versions;

pub(crate) use detect::detect;
pub(crate) use in_memory::in_memory;
pub(crate) use name::check_model_name;
pub(crate) use scan::{open_file, scan};
#[cfg(feature = "integrity")]
pub use seal::{Algorithm, PublicKey, SealReport, SigningKey, seal};
pub(crate) use seal::{Sealing, Trust};
#[cfg(feature = "object-store")]
pub(crate) use source::ObjectSource;
#[cfg(feature = "object-store")]
pub use source::UrlOptions;
pub(crate) use source::{Cache, Replica};
pub use source::{FolderSource, Source, SourceFile};
pub(crate) use versions::{Choice, choose};

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

/// The config and the versions of one model.
pub(crate) struct FoundModel {
    /// Its name, checked by [`check_model_name`].
    pub(crate) name: String,
    /// Its config, where it has one.
    pub(crate) config: Option<ConfigText>,
    /// The files of every version, at least one.
    pub(crate) versions: BTreeMap<u64, Arc<dyn ModelFiles>>,
    /// Whether somebody has sealed it.
    pub(crate) sealing: Sealing,
    /// What tells the content of a version's files from any other, where that is known.
    pub(crate) stamps: BTreeMap<u64, Stamp>,
}

/// A hash of the content of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp(pub(crate) [u8; 32]);

/// A config as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConfigText {
    /// The file as messages show it.
    pub(crate) label: String,
    /// The text, at most [`scan::CONFIG_BYTES_MAX`] long.
    pub(crate) text: String,
}
