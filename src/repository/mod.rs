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
//! ```
//!
//! Invariants: 1. One bad model takes nothing else down: it is listed in `Found::broken` with its reason. 2. A name is
//! in `Found::models` or in `Found::broken`, never in both. 3. Nothing outside of a repository is read: names that
//! climb out and symlinks that lead out are refused. The check and the read are two steps, so that this guards against
//! stray names and links, not against somebody who swaps links in a repository while it is read. 4. This room never
//! sees a request, knows no backend and holds no lock.
//!
//! Runs on the thread that calls it, and blocks on the file system.

mod config_file;
mod detect;
mod disk;
mod files;
mod in_memory;
mod name;
mod scan;
#[cfg(test)]
mod temp;
#[cfg(test)]
mod tests;
mod versions;

pub(crate) use config_file::check_config_name;
pub(crate) use detect::{detect, first_of};
pub(crate) use in_memory::in_memory;
pub(crate) use name::check_model_name;
pub(crate) use scan::{open_file, scan};
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
