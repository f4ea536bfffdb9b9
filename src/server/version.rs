//! One version of a model in the catalog: its state, what serves of it, and why it is so. Plain data, under the lock of its
//! entry.
//!
//! Invariant: what serves stays until something takes its place or it is taken out, whatever becomes of loads.

use super::served::Served;
use super::status::{ModelState, ModelStatus};
use inferlay_backend_sdk::{Error, ErrorKind};

/// Why a version does not serve that is loaded and has nobody to.
const PASSIVE: &str = "loaded, but all of its instance groups are passive";

/// A version: what serves of it, and what there is to say.
#[derive(Default)]
pub(super) struct Version {
    pub(super) served: Option<Served>,
    pub(super) state: Option<ModelState>,
    /// Why it is in that state, or, of one that serves, what became of an update.
    pub(super) error: Option<Error>,
    /// Who put it there.
    pub(super) turn: u64,
}

/// What came of loading a version.
pub(super) enum Loaded {
    /// It is to serve.
    Serves(Served),
    /// It is to serve, and will be loaded when what it replaces has gone.
    Replaces(Served),
    /// It serves as before.
    Stays,
    /// It does not.
    Failed(Error),
}

/// Why a version goes, and what is left of it when it is free.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Parting {
    /// Another has come in its place: nothing.
    Replaced,
    /// It was unloaded: it stays in the index.
    Unloaded,
    /// It was taken out of the repository, or removed: nothing.
    Forgotten,
}

impl Loaded {
    /// Why it failed, if it did.
    pub(super) fn error(&self) -> Option<Error> {
        match self {
            Loaded::Failed(error) => Some(error.clone()),
            Loaded::Serves(_) | Loaded::Replaces(_) | Loaded::Stays => None,
        }
    }

    pub(super) fn served(self) -> Option<Served> {
        match self {
            Loaded::Serves(served) | Loaded::Replaces(served) => Some(served),
            Loaded::Stays | Loaded::Failed(_) => None,
        }
    }
}

impl Version {
    pub(super) fn put(&mut self, state: ModelState, error: Option<Error>, turn: u64) {
        (self.state, self.error, self.turn) = (Some(state), error, turn);
    }

    /// Takes in what came of loading. What served before and is replaced.
    pub(super) fn settle(&mut self, loaded: Loaded, turn: u64) -> Option<Served> {
        match loaded {
            Loaded::Serves(served) => {
                self.put(ModelState::Ready, None, turn);
                let replaced = self.served.replace(served.clone());
                // Of one that was resized the lane is the same.
                replaced.filter(|old| !old.is(&served))
            }
            Loaded::Replaces(served) => {
                self.put(ModelState::Loading, None, turn);
                self.served.replace(served)
            }
            Loaded::Stays => {
                self.put(ModelState::Ready, None, turn);
                None
            }
            Loaded::Failed(error) => {
                let state = if self.served.is_some() { ModelState::Ready } else { ModelState::Unavailable };
                self.put(state, Some(error), turn);
                None
            }
        }
    }

    /// What serves of it, unless an execution is stuck there or no instance is left.
    pub(super) fn healthy(&self) -> Option<&Served> {
        self.served.as_ref().filter(|served| !served.lane.is_stuck())
    }

    /// Whether it answers requests.
    pub(super) fn serves(&self) -> bool {
        self.state == Some(ModelState::Ready) && self.healthy().is_some_and(|served| !served.lane.is_stopping())
    }

    /// Whether it is loaded, and is to answer no requests.
    pub(super) fn is_passive(&self) -> bool {
        self.state == Some(ModelState::Ready) && self.healthy().is_some_and(|served| served.config.active_len() == 0)
    }

    /// Whether it was unloaded or never asked for.
    pub(super) fn is_unwanted(&self) -> bool {
        match self.state {
            Some(ModelState::Unavailable) => self.error == Some(unloaded()),
            Some(ModelState::Unloading | ModelState::Unknown) | None => self.served.is_none(),
            Some(_) => false,
        }
    }

    pub(super) fn status(&self, name: &str, version: u64) -> ModelStatus {
        let (state, reason) = self.state();
        ModelStatus { name: name.to_owned(), version, state, reason }
    }

    fn state(&self) -> (ModelState, String) {
        let reason = match (&self.error, &self.served) {
            (Some(error), None) if *error == unloaded() => error.message().to_owned(),
            (Some(error), None) => error.to_string(),
            (Some(error), Some(_)) if self.state == Some(ModelState::Unavailable) => error.to_string(),
            (Some(error), Some(_)) => format!("serves as before, as an update failed: {error}"),
            // One that waits for what it replaces to go is loaded unasked.
            (None, Some(served)) if self.state == Some(ModelState::Ready) && served.lane.is_dozing() => {
                "not in memory; loaded by the next request".to_owned()
            }
            (None, _) => String::new(),
        };
        match &self.served {
            Some(served) if served.lane.is_stuck() => {
                (ModelState::Unavailable, served.lane.fault().map_or(reason, |fault| fault.message().to_owned()))
            }
            Some(served) if served.config.active_len() == 0 => (ModelState::Unavailable, PASSIVE.to_owned()),
            Some(served) if served.lane.is_stopping() => (ModelState::Unavailable, "stopping".to_owned()),
            _ => (self.state.unwrap_or(ModelState::Unknown), reason),
        }
    }

    /// Why a request is not taken.
    pub(super) fn refusal(&self, place: &str) -> Error {
        let (state, reason) = self.state();
        let why = match state {
            _ if !reason.is_empty() => reason,
            ModelState::Loading => "it is being loaded".to_owned(),
            ModelState::Unloading => "it is being unloaded".to_owned(),
            _ => "it is not loaded".to_owned(),
        };
        Error::unavailable(format!("{place} does not serve: {why}"))
    }
}

/// Why a version does not serve that was unloaded.
pub(super) fn unloaded() -> Error {
    Error::fixed(ErrorKind::Unavailable, "unloaded")
}
