//! The catalog: which lane serves a name and version, now.
//!
//! A name's entry lives as long as the server and carries a generation; handles keep the lane they found with the
//! generation they found it at, and look again when it has moved on. Readers of an entry hold its lock for a clone of an
//! `Arc`. Lock order: the list of entries, then an entry; neither is held while anything loads, runs or stops.

use super::status::{ModelState, ModelStatus};
use crate::backend::Line;
use crate::config::ModelConfig;
use crate::flow::Lane;
use crate::sync::{AtomicU64, Mutex, Ordering};
use inferlay_backend_sdk::{Error, ErrorKind};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A version that serves.
#[derive(Clone)]
pub(super) struct Served {
    pub(super) lane: Arc<Lane>,
    pub(super) config: Arc<ModelConfig>,
    /// Of a model whose batches are pulled, where they wait.
    pub(super) line: Option<Arc<Line>>,
}

impl Served {
    /// Answers what is left, lets the instances go, and tells whoever pulls.
    pub(super) fn end_stop(&self) {
        self.lane.end_stop();
        if let Some(line) = &self.line {
            line.end();
        }
    }
}

/// A version, serving or not.
#[derive(Clone)]
pub(super) enum Version {
    Ready(Served),
    Unavailable(Error),
}

/// One name.
pub(super) struct Entry {
    name: String,
    generation: AtomicU64,
    versions: Mutex<BTreeMap<u64, Version>>,
}

/// Every name.
pub(super) struct Catalog {
    entries: Mutex<BTreeMap<String, Arc<Entry>>>,
}

impl Catalog {
    pub(super) fn new() -> Self {
        Catalog { entries: Mutex::new(BTreeMap::new()) }
    }

    /// The entry of a name.
    ///
    /// # Errors
    /// `NOT_FOUND`, with the names that are known.
    pub(super) fn entry(&self, name: &str) -> Result<Arc<Entry>, Error> {
        let entries = self.entries.lock();
        entries.get(name).cloned().ok_or_else(|| {
            let known: Vec<_> = entries.keys().map(String::as_str).collect();
            Error::not_found(format!("model '{}' not found; known: {}", name.escape_default(), known.join(", ")))
        })
    }

    /// The entry of a name, made if it is not there.
    pub(super) fn entry_or_new(&self, name: &str) -> Arc<Entry> {
        let mut entries = self.entries.lock();
        let new = || {
            let (generation, versions) = (AtomicU64::new(0), Mutex::new(BTreeMap::new()));
            Arc::new(Entry { name: name.to_owned(), generation, versions })
        };
        entries.entry(name.to_owned()).or_insert_with(new).clone()
    }

    /// Every version that serves.
    pub(super) fn served(&self) -> Vec<Served> {
        let entries: Vec<_> = self.entries.lock().values().cloned().collect();
        entries.iter().flat_map(|entry| entry.served()).map(|(_, served)| served).collect()
    }

    /// The index: every version of every name, in order.
    pub(super) fn index(&self) -> Vec<ModelStatus> {
        let entries: Vec<_> = self.entries.lock().values().cloned().collect();
        entries.iter().flat_map(|entry| entry.status()).collect()
    }
}

impl Entry {
    /// Moves with every change of what serves.
    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Puts versions in their places.
    pub(super) fn put(&self, versions: impl IntoIterator<Item = (u64, Version)>) {
        let mut places = self.versions.lock();
        places.extend(versions);
        self.generation.fetch_add(1, Ordering::Release);
    }

    /// Puts the only version of a name that serves nothing yet.
    ///
    /// # Errors
    /// `ALREADY_EXISTS`.
    pub(super) fn put_first(&self, version: u64, served: Served) -> Result<(), Error> {
        let mut places = self.versions.lock();
        if !places.is_empty() {
            return Err(Error::new(ErrorKind::AlreadyExists, format!("model '{}' is there already", self.name)));
        }
        places.insert(version, Version::Ready(served));
        self.generation.fetch_add(1, Ordering::Release);
        Ok(())
    }

    /// Takes all versions out.
    pub(super) fn clear(&self) -> Vec<Served> {
        let versions = std::mem::take(&mut *self.versions.lock());
        self.generation.fetch_add(1, Ordering::Release);
        versions.into_values().filter_map(Version::ready).collect()
    }

    /// The version asked for, else the highest that serves.
    ///
    /// # Errors
    /// `NOT_FOUND` for a version that is not there, `UNAVAILABLE` with the reason for one that does not serve.
    pub(super) fn find(&self, version: Option<u64>) -> Result<Served, Error> {
        let versions = self.versions.lock();
        let place = |version: u64| format!("model '{}' version {version}", self.name);
        if let Some(version) = version {
            return match versions.get(&version) {
                Some(ready @ Version::Ready(served)) => match served.lane.is_stuck() {
                    true => Err(Error::unavailable(format!("{} does not serve: {}", place(version), ready.reason()))),
                    false => Ok(served.clone()),
                },
                Some(Version::Unavailable(error)) => Err(unavailable(&place(version), error)),
                None => {
                    let known: Vec<_> = versions.keys().map(u64::to_string).collect();
                    Err(Error::not_found(format!("{} not found; known: {}", place(version), known.join(", "))))
                }
            };
        }
        let mut ready = versions.values().rev().filter_map(|version| version.clone().ready());
        let healthy = ready.find(|served| !served.lane.is_stuck());
        healthy.ok_or_else(|| match versions.last_key_value() {
            Some((version, Version::Unavailable(error))) => unavailable(&place(*version), error),
            Some((version, stuck)) => {
                Error::unavailable(format!("{} does not serve: {}", place(*version), stuck.reason()))
            }
            None => Error::unavailable(format!("model '{}' has no version that serves", self.name)),
        })
    }

    /// The versions that serve.
    pub(super) fn served(&self) -> Vec<(u64, Served)> {
        let versions = self.versions.lock();
        let served = versions.iter().filter_map(|(version, place)| Some((*version, place.clone().ready()?)));
        served.collect()
    }

    fn status(&self) -> Vec<ModelStatus> {
        let versions = self.versions.lock();
        let status = versions.iter().map(|(version, place)| {
            let reason = place.reason();
            let state = if reason.is_empty() { ModelState::Ready } else { ModelState::Unavailable };
            ModelStatus { name: self.name.clone(), version: *version, state, reason }
        });
        status.collect()
    }
}

impl Version {
    fn ready(self) -> Option<Served> {
        match self {
            Version::Ready(served) => Some(served),
            Version::Unavailable(_) => None,
        }
    }

    /// Why it does not serve; empty when it does.
    fn reason(&self) -> String {
        match self {
            Version::Unavailable(error) => error.to_string(),
            Version::Ready(served) if served.lane.is_stuck() => "an execution passed execution_timeout".to_owned(),
            Version::Ready(served) if served.lane.is_stopping() => "stopping".to_owned(),
            Version::Ready(_) => String::new(),
        }
    }
}

fn unavailable(place: &str, error: &Error) -> Error {
    Error::unavailable(format!("{place} does not serve: {error}"))
}
