//! Where to look again: what the system tells of folders, and else the passing of time.
//!
//! ```text
//!   folder --(inotify)--> watch --> whom it concerns: one model, or all (a repository's own folder) --.
//!   Waker::wake, from any thread ------------------------------------------------------ (nobody) -----+--> Watcher::wait
//!   the period: long where all folders are watched, short where not ------------------- all ----------'
//! ```
//!
//! Invariants: 1. A hint may be needless and is never the only one for good: what no event told, the period finds. 2. A
//! folder is watched for as long as somebody follows it. 3. What was not yet watched when it was looked at is hinted at
//! once more, as what happened between the look and the watch was seen by neither.
//!
//! Runs on the one thread that waits; any thread may wake it.

use crate::sync::inotify::{self, Event, Inotify};
use crate::sync::{Clock, Doorbell};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// How long more events are waited for after one: whoever writes a thousand files is looked at a few times.
const GATHER_NS: u64 = 20_000_000;

/// Whom something concerns.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Hint {
    /// Look at everything.
    All,
    /// Look at the model of this name.
    Model(String),
}

/// How often everything is looked at without a hint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Periods {
    /// Where the system tells of every change: for file systems that other machines write to, of whose writes no system
    /// tells.
    pub(crate) watched_ns: u64,
    /// Where it does not.
    pub(crate) blind_ns: u64,
}

impl Default for Periods {
    fn default() -> Self {
        Periods { watched_ns: 30_000_000_000, blind_ns: 2_000_000_000 }
    }
}

/// Wakes the thread that waits, from any thread.
#[derive(Clone)]
pub(crate) struct Waker {
    bell: Arc<Doorbell>,
    inotify: Option<inotify::Waker>,
}

impl Waker {
    /// Ends the wait, or the next one.
    pub(crate) fn wake(&self) {
        self.bell.ring();
        if let Some(inotify) = &self.inotify {
            inotify.wake();
        }
    }
}

/// Waits for changes of folders.
pub(crate) struct Watcher {
    inotify: Option<Inotify>,
    bell: Arc<Doorbell>,
    periods: Periods,
    /// When everything was looked at last.
    looked_at: u64,
    /// Who follows the folder of a watch.
    followers: HashMap<i32, BTreeSet<Hint>>,
    followed: BTreeMap<Hint, BTreeSet<i32>>,
    pending: BTreeSet<Hint>,
    /// Why some folder is not watched.
    trouble: Option<String>,
}

impl Watcher {
    /// Follows nothing yet; the first wait hints at everything.
    pub(crate) fn new(periods: Periods) -> Self {
        let (inotify, trouble) = match Inotify::new() {
            Ok(inotify) => (Some(inotify), None),
            Err(error) => {
                (None, Some(format!("no folder is watched, but all are looked at from time to time: {error}")))
            }
        };
        Self::with(periods, inotify, trouble)
    }

    /// A watcher that the system tells nothing.
    pub(crate) fn blind(periods: Periods) -> Self {
        Self::with(periods, None, None)
    }

    fn with(periods: Periods, inotify: Option<Inotify>, trouble: Option<String>) -> Self {
        Watcher {
            inotify,
            bell: Arc::new(Doorbell::new()),
            periods,
            looked_at: 0,
            followers: HashMap::new(),
            followed: BTreeMap::new(),
            pending: [Hint::All].into(),
            trouble,
        }
    }

    /// What wakes this one.
    pub(crate) fn waker(&self) -> Waker {
        Waker { bell: self.bell.clone(), inotify: self.inotify.as_ref().map(Inotify::waker) }
    }

    /// Why not all folders are watched, when that has changed since the last call.
    pub(crate) fn trouble(&mut self) -> Option<String> {
        self.trouble.take()
    }

    /// From now on `hint` comes from these folders, without symlinks, and no others.
    pub(crate) fn follow(&mut self, hint: &Hint, folders: &[PathBuf]) {
        let Some(inotify) = &self.inotify else { return };
        let mut watches = BTreeSet::new();
        for folder in folders {
            // Each time, though it may be watched: another folder may lie at that path now.
            match inotify.add(folder) {
                Ok(watch) => drop(watches.insert(watch)),
                Err(error) if is_passing(&error) => {}
                Err(error) => {
                    self.see_less(format!("{}: {error}", folder.display()));
                    break;
                }
            }
        }
        self.exchange(hint, watches);
    }

    /// `hint` comes from nowhere any more.
    pub(crate) fn leave(&mut self, hint: &Hint) {
        self.exchange(hint, BTreeSet::new());
        self.pending.remove(hint);
    }

    /// Waits until there is something to look at, until another thread wakes this one, or until `until`. What comes with
    /// one wait is told once; after a wake or at `until` it may be nothing.
    pub(crate) fn wait(&mut self, clock: &Clock, until: Option<u64>) -> Vec<Hint> {
        self.take();
        let period = self.looked_at.saturating_add(self.period_ns());
        if self.pending.is_empty() && clock.now() < period {
            self.sleep(clock, until.map_or(period, |until| until.min(period)));
            self.take();
            self.gather(clock);
        }
        if clock.now() >= period {
            self.pending.insert(Hint::All);
        }
        if self.pending.contains(&Hint::All) {
            self.looked_at = clock.now();
            self.pending.clear();
            return vec![Hint::All];
        }
        std::mem::take(&mut self.pending).into_iter().collect()
    }

    fn period_ns(&self) -> u64 {
        if self.inotify.is_some() { self.periods.watched_ns } else { self.periods.blind_ns }
    }

    fn sleep(&self, clock: &Clock, until: u64) {
        match (&self.inotify, clock) {
            (Some(inotify), Clock::System) => {
                inotify.wait(Some(Duration::from_nanos(until.saturating_sub(clock.now()))));
            }
            // A clock that is moved by hand rings the bell; what the system tells is found then.
            _ => clock.wait(&self.bell, Some(until)),
        }
    }

    fn gather(&mut self, clock: &Clock) {
        if let (Clock::System, false) = (clock, self.pending.is_empty()) {
            clock.wait(&self.bell, Some(clock.now().saturating_add(GATHER_NS)));
            self.take();
        }
    }

    /// Takes what the system tells.
    fn take(&mut self) {
        let mut events = Vec::new();
        if let Some(inotify) = &mut self.inotify {
            inotify.take(&mut events);
        }
        events.into_iter().for_each(|event| self.told(event));
    }

    fn told(&mut self, event: Event) {
        match event {
            Event::In(watch) => self.pending.extend(self.followers.get(&watch).into_iter().flatten().cloned()),
            Event::Overflow => drop(self.pending.insert(Hint::All)),
            Event::Ended(watch) => self.ended(watch),
        }
    }

    fn ended(&mut self, watch: i32) {
        for hint in self.followers.remove(&watch).unwrap_or_default() {
            if let Some(watches) = self.followed.get_mut(&hint) {
                watches.remove(&watch);
            }
            self.pending.insert(hint);
        }
    }

    fn exchange(&mut self, hint: &Hint, watches: BTreeSet<i32>) {
        let before = self.followed.remove(hint).unwrap_or_default();
        for watch in before.difference(&watches) {
            let Some(followers) = self.followers.get_mut(watch) else { continue };
            followers.remove(hint);
            if followers.is_empty() {
                self.followers.remove(watch);
                self.inotify.iter().for_each(|inotify| inotify.remove(*watch));
            }
        }
        for watch in watches.difference(&before) {
            self.followers.entry(*watch).or_default().insert(hint.clone());
            self.pending.insert(hint.clone());
        }
        if !watches.is_empty() {
            self.followed.insert(hint.clone(), watches);
        }
    }

    /// Looks more often from now on, as not every folder is watched.
    fn see_less(&mut self, why: String) {
        if self.periods.watched_ns > self.periods.blind_ns {
            self.periods.watched_ns = self.periods.blind_ns;
            self.trouble = Some(format!("not all folders are watched, but looked at from time to time: {why}"));
        }
    }
}

/// Whether a folder cannot be watched for a reason that the folder above tells the end of: it is gone, or locked.
fn is_passing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::PermissionDenied)
}

#[cfg(test)]
mod tests;
