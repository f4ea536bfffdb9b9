//! When what lies in a repository is acted on. Pure: no file, no thread, no clock; callers bring `now` and what they saw.
//!
//! ```text
//!   look --- Here ----> stats as before? --- no --> quiet from now on
//!        |                   | yes, for settle_ns, or marked as ready
//!        |                   v
//!        |              content as commanded last? --- yes --> nothing (again after retry_ns, if that failed)
//!        |                   | no
//!        |                   v
//!        |              Command::Read --- Read, stats as before ---> Command::Load --> loaded(ok or failed)
//!        |--- Gone, for settle_ns ----------------------------------> Command::Unload --> unloaded
//!        |--- Broken, for settle_ns --------------------------------> Command::Broken, once
//!        '--- Unknown ----------------------------------------------> nothing: what serves goes on serving
//! ```
//!
//! Invariants: 1. A load or unload is commanded only for a state that every look of the last `settle_ns` has seen, or
//! that a marker vouches for. 2. A model has one command out at a time; the next one waits for the outcome. 3. What was
//! commanded is not commanded again before its content changes; a failed load is, after `retry_ns`, if that is set. What
//! serves is loaded once more when it is back after something that failed, so that the server can say that all is well.
//! 4. Nothing is unloaded because it could not be looked at.

use super::snapshot::{Change, Snapshot};
use inferlay_backend_sdk::Error;
use std::collections::BTreeMap;
use std::sync::Arc;

/// For how long a state is quiet by default before it is acted on.
pub(crate) const SETTLE_NS: u64 = 1_000_000_000;

/// The grain of a file system's clock, with room to spare: two writes within it may leave the same times behind.
const GRAIN_NS: u64 = 20_000_000;

/// When a state is acted on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rules {
    /// For how long nothing may change. With 0 a state is acted on as it is seen, which only whoever knows that nobody
    /// writes may ask for.
    pub(crate) settle_ns: u64,
    /// Whether a model waits for a marker instead: a file newer than all others of the model, and another one, or a
    /// newer one, than at the last command.
    pub(crate) needs_marker: bool,
    /// After how long a failed load is tried again although nothing has changed.
    pub(crate) retry_ns: Option<u64>,
}

impl Default for Rules {
    fn default() -> Self {
        Rules { settle_ns: SETTLE_NS, needs_marker: false, retry_ns: None }
    }
}

/// What a look at a model saw.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Observed {
    /// The model, as far as its stats tell.
    Here(Snapshot),
    /// The model, with the sum of every file: the answer to [`Command::Read`].
    Read(Snapshot),
    /// The model, of which something cannot be read: the other answer to [`Command::Read`].
    Unreadable(Snapshot, Error),
    /// The model, whose files changed while they were read: the third answer to [`Command::Read`].
    Unsettled(Snapshot),
    /// A folder in which no model can be made out.
    Broken(Error),
    /// Nothing of that name, in repositories that could be listed.
    Gone,
    /// The repository could not be listed, or is empty as if it were not mounted.
    Unknown,
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    /// Read all of the model's files that changed, and tell with [`Watch::answer`]: it has been quiet.
    Read {
        /// The model.
        name: String,
        /// Whether it may have changed; else there is no hurry.
        is_change: bool,
    },
    /// Load the model as it is, and tell with [`Watch::loaded`].
    Load {
        /// The model.
        name: String,
        /// What is different from what serves.
        change: Change,
        /// What there is.
        snapshot: Arc<Snapshot>,
    },
    /// Unload the model, and tell with [`Watch::unloaded`].
    Unload {
        /// The model.
        name: String,
    },
    /// Tell that the model cannot be served as it lies there; what serves goes on.
    Broken {
        /// The model.
        name: String,
        /// Why.
        error: Error,
    },
}

/// How a load ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// What was loaded serves.
    Serves,
    /// What served goes on serving, if anything did.
    Failed,
    /// The files changed while they were loaded: as failed, but the load is to be tried again.
    Stale,
}

/// What is known of all models.
#[derive(Debug)]
pub(crate) struct Watch {
    rules: Rules,
    tracks: BTreeMap<String, Track>,
}

impl Watch {
    /// Nothing seen yet.
    pub(crate) fn new(rules: Rules) -> Self {
        Watch { rules, tracks: BTreeMap::new() }
    }

    /// Goes by other rules from now on.
    pub(crate) fn go_by(&mut self, rules: Rules) {
        self.rules = rules;
    }

    /// Takes in what was seen, and says what is to be done now. `now` never falls.
    pub(crate) fn step(&mut self, now: u64, observed: impl IntoIterator<Item = (String, Observed)>) -> Vec<Command> {
        for (name, observed) in observed {
            self.tracks.entry(name).or_insert_with(|| Track::new(now)).observe(now, observed);
        }
        let rules = &self.rules;
        let commands = self.tracks.iter_mut().filter_map(|(name, track)| track.decide(now, name, rules)).collect();
        self.tracks.retain(|_, track| !track.is_over());
        commands
    }

    /// [`Watch::step`] for the one model that [`Command::Read`] was about.
    pub(crate) fn answer(&mut self, now: u64, name: &str, observed: Observed) -> Option<Command> {
        let track = self.tracks.get_mut(name)?;
        track.observe(now, observed);
        track.decide(now, name, &self.rules)
    }

    /// Takes in the outcome of a load, whoever asked for it: `snapshot` is what was loaded, or was to be.
    pub(crate) fn loaded(&mut self, now: u64, name: &str, snapshot: Arc<Snapshot>, outcome: Outcome) {
        // Whoever loads a model that was never looked at has seen it. One that was lost sight of has to be seen again.
        let seen = || Track { seen: Seen::Here(snapshot.clone()), ..Track::new(now) };
        self.tracks.entry(name.to_owned()).or_insert_with(seen).loaded(now, snapshot, outcome);
    }

    /// Takes in that a model was told of that cannot be served as it lies there.
    pub(crate) fn told(&mut self, now: u64, name: &str, error: Error) {
        let track = self.tracks.entry(name.to_owned()).or_insert_with(|| Track::new(now));
        (track.told, track.is_ill) = (Some(error), true);
    }

    /// Takes in that a model was unloaded, whoever asked for it. One that lies there is loaded again when it changes.
    pub(crate) fn unloaded(&mut self, name: &str) {
        if let Some(track) = self.tracks.get_mut(name) {
            track.unloaded();
        }
        self.tracks.retain(|_, track| !track.is_over());
    }

    /// When the next command may be due if nothing else is seen.
    pub(crate) fn wake_at(&self) -> Option<u64> {
        self.tracks.values().filter_map(|track| track.due_at(&self.rules)).min()
    }

    /// The models that something is due for, and which should be looked at once more before it is done.
    pub(crate) fn due(&self, now: u64) -> Vec<String> {
        let due = |track: &Track| track.due_at(&self.rules).is_some_and(|at| at <= now);
        self.tracks.iter().filter(|(_, track)| due(track)).map(|(name, _)| name.clone()).collect()
    }

    /// The models with a change that is still to be tried, and the number of the try that will have been it.
    pub(crate) fn untried(&self) -> BTreeMap<String, u64> {
        let number = |track: &Track| track.tries + u64::from(!(track.is_busy && track.is_aimed_for()));
        let untried = self.tracks.iter().filter(|(_, track)| track.is_untried(&self.rules));
        untried.map(|(name, track)| (name.clone(), number(track))).collect()
    }

    /// Whether that try is over, or there is no reason for it any more.
    pub(crate) fn is_tried(&self, name: &str, number: u64) -> bool {
        self.tracks.get(name).is_none_or(|track| {
            let is_over = track.tries > number || track.tries == number && !track.is_busy;
            is_over || !track.is_untried(&self.rules)
        })
    }

    /// The models that were seen, or loaded, and are not over.
    pub(crate) fn names(&self) -> impl Iterator<Item = &String> {
        self.tracks.keys()
    }

    /// The last snapshot of a model, for the sums in it.
    pub(crate) fn last(&self, name: &str) -> Option<&Snapshot> {
        self.tracks.get(name)?.last.as_deref()
    }
}

/// What the last look saw.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Seen {
    Here(Arc<Snapshot>),
    Broken(Error),
    Gone,
    Unknown,
}

/// One model.
#[derive(Debug)]
struct Track {
    seen: Seen,
    /// Since when every look has seen that.
    since: u64,
    /// Whether `seen` was just read, so that a load may follow.
    is_read: bool,
    /// The last snapshot there was, whatever was seen since.
    last: Option<Arc<Snapshot>>,
    /// What the last command wanted to serve: nothing, after an unload.
    aim: Option<Arc<Snapshot>>,
    /// What serves.
    served: Option<Arc<Snapshot>>,
    /// Whether a command is out.
    is_busy: bool,
    /// Whether that is a load of what failed before.
    is_retry: bool,
    /// How many commands there were.
    tries: u64,
    /// When `aim` failed.
    failed_at: Option<u64>,
    /// What was told last, so that it is told once.
    told: Option<Error>,
    /// Whether what serves could not be read: a touch of its files will count as a change.
    is_unreadable: bool,
    /// Whether what was tried last did not come to serve: the server says so until a load goes well.
    is_ill: bool,
}

impl Track {
    fn new(now: u64) -> Self {
        Track {
            seen: Seen::Unknown,
            since: now,
            is_read: false,
            last: None,
            aim: None,
            served: None,
            is_busy: false,
            is_retry: false,
            tries: 0,
            failed_at: None,
            told: None,
            is_unreadable: false,
            is_ill: false,
        }
    }

    fn observe(&mut self, now: u64, observed: Observed) {
        let (seen, is_read, error) = match observed {
            Observed::Here(snapshot) => (Seen::Here(Arc::new(snapshot)), false, None),
            Observed::Read(snapshot) => (Seen::Here(Arc::new(snapshot)), true, None),
            Observed::Unsettled(snapshot) => {
                self.seen = Seen::Unknown;
                (Seen::Here(Arc::new(snapshot)), false, None)
            }
            Observed::Unreadable(snapshot, error) => (Seen::Here(Arc::new(snapshot)), false, Some(error)),
            Observed::Broken(error) => (Seen::Broken(error), false, None),
            Observed::Gone => (Seen::Gone, false, None),
            Observed::Unknown => (Seen::Unknown, false, None),
        };
        let stands = match (&self.seen, &seen) {
            (Seen::Here(before), Seen::Here(after)) => before.has_stats_of(after),
            (before, after) => before == after,
        };
        if !stands {
            self.since = now;
        }
        if let Seen::Here(snapshot) = &seen {
            self.last = Some(snapshot.clone());
            self.is_unreadable &= stands;
        }
        (self.is_read, self.seen) = (is_read && stands, seen);
        if let Some(error) = error.filter(|_| stands) {
            self.unreadable(now, error);
        }
    }

    /// What could be a new state cannot be read: it counts as tried. What serves stays as it is, but for its sums; it counts
    /// as what was aimed for, or it would be read for ever when it is back after something that failed.
    fn unreadable(&mut self, now: u64, error: Error) {
        let Seen::Here(snapshot) = &self.seen else { return };
        if self.served.as_ref().is_some_and(|served| served.holds_what(snapshot)) {
            (self.aim, self.failed_at) = (Some(snapshot.clone()), None);
            self.is_unreadable = true;
        } else {
            (self.aim, self.failed_at) = (Some(snapshot.clone()), Some(now));
            self.seen = Seen::Broken(error);
        }
    }

    fn decide(&mut self, now: u64, name: &str, rules: &Rules) -> Option<Command> {
        let is_read = std::mem::take(&mut self.is_read);
        self.follow_back(is_read);
        if self.due_at(rules).is_none_or(|at| now < at) {
            return None;
        }
        let name = name.to_owned();
        match self.seen.clone() {
            Seen::Here(snapshot) if !is_read => {
                let is_change = self.aim.as_ref().is_none_or(|aim| !aim.holds_what(&snapshot));
                Some(Command::Read { name, is_change })
            }
            Seen::Here(snapshot) => {
                let change = Change::between(self.served.as_deref(), &snapshot);
                self.is_retry = self.failed_at.is_some() && self.is_aimed_for();
                self.tries += 1;
                (self.aim, self.is_busy, self.failed_at, self.told) = (Some(snapshot.clone()), true, None, None);
                self.is_ill = false;
                Some(Command::Load { name, change, snapshot })
            }
            Seen::Gone => {
                (self.is_retry, self.tries) = (false, self.tries + 1);
                (self.aim, self.is_busy, self.failed_at, self.told) = (None, true, None, None);
                self.is_ill = false;
                Some(Command::Unload { name })
            }
            Seen::Broken(error) => {
                (self.told, self.tries, self.is_ill) = (Some(error.clone()), self.tries + 1, true);
                Some(Command::Broken { name, error })
            }
            Seen::Unknown => None,
        }
    }

    /// Follows a state that holds what was aimed for or serves, though its stats or sums are others now. After something
    /// that failed it is loaded all the same: that costs nothing, and the server is told that all is well, or takes out what
    /// it had taken in of the failed one.
    fn follow_back(&mut self, is_read: bool) {
        let Seen::Here(snapshot) = &self.seen else { return };
        if self.is_busy {
            return;
        }
        let holds = |other: &Option<Arc<Snapshot>>| other.as_ref().is_some_and(|other| other.holds_what(snapshot));
        if holds(&self.served) && self.failed_at.is_none() {
            // What was there is back: the next trouble is told even if it is the same.
            self.told = None;
        }
        if holds(&self.served) && !self.is_ill && (is_read || !holds(&self.aim)) {
            (self.aim, self.failed_at, self.told) = (Some(snapshot.clone()), None, None);
            self.served = Some(snapshot.clone());
        } else if is_read && holds(&self.aim) {
            self.aim = Some(snapshot.clone());
        }
    }

    /// When something may be due if nothing else is seen.
    fn due_at(&self, rules: &Rules) -> Option<u64> {
        let settled = self.since.saturating_add(rules.settle_ns);
        match &self.seen {
            _ if self.is_busy => None,
            Seen::Unknown => None,
            Seen::Gone => (!self.is_forgotten()).then_some(settled),
            Seen::Broken(error) => (self.told.as_ref() != Some(error)).then_some(settled),
            Seen::Here(snapshot) => self.due_here(snapshot, rules),
        }
    }

    fn due_here(&self, snapshot: &Snapshot, rules: &Rules) -> Option<u64> {
        let quiet_ns = if rules.needs_marker { rules.settle_ns.min(GRAIN_NS) } else { rules.settle_ns };
        let quiet = self.since.saturating_add(quiet_ns);
        let aim = self.aim.as_ref();
        if aim.is_none_or(|aim| !aim.holds_what(snapshot)) {
            let is_new = aim.is_none_or(|aim| aim.marker != snapshot.marker);
            return (!rules.needs_marker || is_new && snapshot.is_marked()).then_some(quiet);
        }
        match self.failed_at {
            Some(failed_at) => Some(failed_at.saturating_add(rules.retry_ns?).max(quiet)),
            // What cannot be read cannot be loaded either: the server says that all is well when it is touched.
            None if self.is_ill && !self.is_unreadable => Some(quiet),
            // What serves is read once, so that a touch of it can be told from a change.
            None => (!snapshot.is_read() && !self.is_unreadable && self.served.is_some()).then_some(quiet),
        }
    }

    /// Whether what was seen is what the last command was about.
    fn is_aimed_for(&self) -> bool {
        match &self.seen {
            Seen::Here(snapshot) => self.aim.as_ref().is_some_and(|aim| aim.holds_what(snapshot)),
            Seen::Gone => self.aim.is_none(),
            Seen::Broken(_) | Seen::Unknown => false,
        }
    }

    /// Whether something is to be done that is not the same once more.
    fn is_untried(&self, rules: &Rules) -> bool {
        let is_again = if self.is_busy { self.is_retry } else { self.failed_at.is_some() };
        let is_wanted = self.is_busy || self.due_at(rules).is_some();
        is_wanted && !(is_again && self.is_aimed_for())
    }

    fn loaded(&mut self, now: u64, snapshot: Arc<Snapshot>, outcome: Outcome) {
        if self.is_busy && outcome == Outcome::Stale {
            // Nothing of it was tried.
            self.tries -= 1;
        }
        (self.is_busy, self.failed_at, self.is_ill) = (false, None, outcome != Outcome::Serves);
        self.last = self.last.take().or_else(|| Some(snapshot.clone()));
        match outcome {
            Outcome::Serves => {
                (self.served, self.told) = (Some(snapshot.clone()), None);
                self.aim = Some(snapshot);
            }
            Outcome::Failed => (self.aim, self.failed_at) = (Some(snapshot), Some(now)),
            Outcome::Stale => (self.aim, self.since) = (self.served.clone(), now),
        }
    }

    fn unloaded(&mut self) {
        // After our own command nothing is aimed for; after somebody else's, what lies there is not to come back.
        (self.is_busy, self.served, self.failed_at, self.is_ill) = (false, None, None, false);
    }

    /// Whether the model is gone from the repository and from the server.
    fn is_over(&self) -> bool {
        self.seen == Seen::Gone && !self.is_busy && self.is_forgotten()
    }

    /// Whether the server has no reason to know the model.
    fn is_forgotten(&self) -> bool {
        self.aim.is_none() && self.served.is_none() && self.told.is_none()
    }
}

#[cfg(test)]
mod tests;
