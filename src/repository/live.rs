//! Repositories while they change: looks where it is hinted to, lets the rules decide, and says what to load and unload.
//!
//! ```text
//!   Watcher::wait --hints--> Live::turn: roots --> places --> looks --> Watch::step --> reads --> Watch::answer
//!        ^                                                                                            |
//!        '-- Live::wake_at ------------ Live::loaded, Live::unloaded <-- the server <-- Order --------'
//! ```
//!
//! The hall's part is a loop on a thread of its own:
//!
//! ```text
//!   hints = watcher.wait(clock, live.wake_at())                  a waker ends it: for a stop, an outcome, a repository
//!   turn  = live.turn(clock, hints, watcher, not stopping)
//!   each order: load beside what serves; afterwards is_still_so(...)? -> live.loaded(Serves | Failed | Stale)
//!               or unload                                            -> live.unloaded
//! ```
//!
//! Invariants: 1. An [`Order::Load`] holds the model as it was read, and nothing changed from before that until after.
//! 2. A repository that cannot be listed, or suddenly holds nothing of several models, takes none of them down: that is
//! told, once. 3. Configs are read for models that are to be loaded, files when their stats no longer stand: to look at
//! a thousand quiet models opens no file.
//!
//! Runs on the thread that calls it, and blocks on the file system; reading can be given up between two chunks.

use super::FoundModel;
use super::events::{Hint, Watcher};
use super::look::{Look, Unread};
use super::name::Shown;
use super::repositories::Repositories;
use super::scan::{Place, Places, Root, places_of, sole};
use super::snapshot::{Change, Snapshot, Stat};
use super::watch::{Command, Observed, Outcome, Rules, Watch};
use crate::sync::Clock;
use inferlay_backend_sdk::Error;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

/// For how long one turn reads; what is left is read in the next one, after what has changed by then.
const READ_NS_MAX: u64 = 1_000_000_000;

/// What the server is to do.
pub(crate) enum Order {
    /// Load this model, and tell [`Live::loaded`]. What serves goes on until then, and also if it fails.
    Load {
        /// The model, read.
        model: Box<FoundModel>,
        /// What is different from what serves.
        change: Change,
        /// What was read.
        snapshot: Arc<Snapshot>,
    },
    /// Unload the model of this name, and tell [`Live::unloaded`].
    Unload(String),
    /// Tell that the model of this name cannot be loaded as it lies there. What serves goes on.
    Broken(String, Error),
}

/// What came of one turn.
#[derive(Default)]
pub(crate) struct Turn {
    /// What to do, each model at most once.
    pub(crate) orders: Vec<Order>,
    /// What to log.
    pub(crate) reports: Vec<String>,
}

/// Repositories that are watched.
pub(crate) struct Live {
    repositories: Repositories,
    watch: Watch,
    /// In which folder of a repository each model was seen last.
    homes: BTreeMap<String, PathBuf>,
    /// What is known of each folder of a repository.
    listed: BTreeMap<PathBuf, Listed>,
}

/// A folder of a repository when it was listed last.
#[derive(Default)]
struct Listed {
    /// Which folder it was, while models lay in it.
    identity: Option<(u64, u64)>,
    /// What was told of it last.
    trouble: Option<String>,
}

impl Live {
    /// Nothing is known yet. What the server has loaded already is told by [`Live::loaded`].
    pub(crate) fn new(repositories: Repositories, mut rules: Rules) -> Self {
        rules.needs_marker = repositories.marker().is_some();
        Live { repositories, watch: Watch::new(rules), homes: BTreeMap::new(), listed: BTreeMap::new() }
    }

    /// Goes by other rules from now on.
    pub(crate) fn go_by(&mut self, mut rules: Rules) {
        rules.needs_marker = self.repositories.marker().is_some();
        self.watch.go_by(rules);
    }

    /// Finds out in which folder of a repository each model lies that was told of and never looked at, so that it is missed
    /// there.
    pub(crate) fn locate(&mut self) {
        let (roots, _) = open(&self.repositories);
        let unlocated = self.watch.names().filter(|name| !self.homes.contains_key(*name));
        let home = |name: &String| match &places_of(&roots, name)[..] {
            [only] => Some((name.clone(), only.home().to_owned())),
            _ => None,
        };
        let located: Vec<_> = unlocated.filter_map(home).collect();
        self.homes.extend(located);
    }

    /// The repositories that are watched. After adding or removing one, the next turn needs [`Hint::All`].
    pub(crate) fn repositories(&mut self) -> &mut Repositories {
        &mut self.repositories
    }

    /// When the next turn is due without a hint.
    pub(crate) fn wake_at(&self) -> Option<u64> {
        self.watch.wake_at()
    }

    /// The models with a change that is still to be tried, and the number of the try that will have been it.
    pub(crate) fn untried(&self) -> BTreeMap<String, u64> {
        self.watch.untried()
    }

    /// Whether that try is over, or there is no reason for it any more.
    pub(crate) fn is_tried(&self, name: &str, number: u64) -> bool {
        self.watch.is_tried(name, number)
    }

    /// Takes in how a load ended, whoever asked for it.
    pub(crate) fn loaded(&mut self, clock: &Clock, name: &str, snapshot: Arc<Snapshot>, outcome: Outcome) {
        self.watch.loaded(clock.now(), name, snapshot, outcome);
    }

    /// Takes in that a model was told of that cannot be loaded as it lies there.
    pub(crate) fn told(&mut self, clock: &Clock, name: &str, error: Error) {
        self.watch.told(clock.now(), name, error);
    }

    /// Takes in that a model was unloaded, whoever asked for it.
    pub(crate) fn unloaded(&mut self, name: &str) {
        self.watch.unloaded(name);
    }

    /// Looks where the hints say and at what is due, and says what to do. Reading is given up when `go_on` says no.
    pub(crate) fn turn(
        &mut self,
        clock: &Clock,
        hints: &[Hint],
        watcher: &mut Watcher,
        go_on: &(dyn Fn() -> bool + Sync),
    ) -> Turn {
        let known: BTreeSet<&String> = self.watch.names().collect();
        self.homes.retain(|name, _| known.contains(name));
        let mut turn = Turn::default();
        let repositories = self.repositories.clone();
        let (roots, lost) = open(&repositories);
        let named = self.places(clock.now(), hints, &roots);
        // A model that is not where it was may be gone, or all of its repository: only a list of all can tell.
        let observed = match hints.contains(&Hint::All) || named.values().any(Vec::is_empty) {
            true => self.look_at_all(&roots, lost, watcher, &mut turn.reports),
            false => self.look_at(named, watcher),
        };
        let commands = self.watch.step(clock.now(), observed);
        self.obey(clock, commands, &roots, go_on, &mut turn);
        turn.reports.extend(watcher.trouble());
        turn
    }

    /// Where the models lie that are hinted at, or due.
    fn places<'r>(&self, now: u64, hints: &[Hint], roots: &'r [Root<'r>]) -> Places<'r> {
        let hinted = hints.iter().filter_map(|hint| match hint {
            Hint::Model(name) => Some(name.clone()),
            Hint::All => None,
        });
        let place = |name: String| {
            let places = places_of(roots, &name);
            (name, places)
        };
        hinted.chain(self.watch.due(now)).map(place).collect()
    }

    fn look_at_all(
        &mut self,
        roots: &[Root<'_>],
        mut lost: Vec<(PathBuf, Error)>,
        watcher: &mut Watcher,
        reports: &mut Vec<String>,
    ) -> Vec<(String, Observed)> {
        let (mut places, mut folders) = (Places::new(), Vec::new());
        let is_known = |folder: &PathBuf| self.repositories.folders().any(|(_, known)| known == folder);
        self.listed.retain(|folder, _| is_known(folder));
        for root in roots {
            match self.list(root) {
                Ok(listed) => listed.into_iter().for_each(|(name, here)| places.entry(name).or_default().extend(here)),
                Err(error) => lost.push((root.folder().to_owned(), error)),
            }
            root.add_folders(&mut folders);
        }
        watcher.follow(&Hint::All, &folders);
        self.report(&lost, reports);
        let absent = self.absent(&places, &lost);
        for (name, _) in absent.iter().filter(|(_, observed)| **observed == Observed::Gone) {
            watcher.leave(&Hint::Model(name.clone()));
        }
        places.retain(|name, _| !absent.contains_key(name));
        let mut observed = self.look_at(places, watcher);
        observed.extend(absent);
        observed
    }

    /// The models in a folder of a repository.
    ///
    /// # Errors
    /// As the system says; and when several models have vanished at once and nothing is left: that is how a file system
    /// looks that is not mounted, and nobody who means it is so quick.
    fn list<'r>(&mut self, root: &'r Root<'r>) -> Result<Places<'r>, Error> {
        let mut places = Places::new();
        root.survey(&mut places, &mut Vec::new())?;
        let identity = fs::metadata(root.path()).ok().map(|metadata| Stat::of(&metadata));
        let identity = identity.map(|stat| (stat.device, stat.inode));
        let known = self.homes.values().filter(|home| *home == root.folder()).count();
        let listed = self.listed.entry(root.folder().to_owned()).or_default();
        let is_other = listed.identity.is_some() && listed.identity != identity;
        if places.is_empty() && (known > 1 || known == 1 && is_other) {
            let folder = Shown::path(root.folder());
            let message = format!("repository {folder}: found nothing, expected the {known} models that were there");
            return Err(Error::unavailable(message));
        }
        if !places.is_empty() {
            listed.identity = identity;
        }
        Ok(places)
    }

    /// Tells what cannot be listed, and what can be again.
    fn report(&mut self, lost: &[(PathBuf, Error)], reports: &mut Vec<String>) {
        for (folder, error) in lost {
            let listed = self.listed.entry(folder.clone()).or_default();
            if listed.trouble.as_deref() != Some(error.message()) {
                listed.trouble = Some(error.message().to_owned());
                reports.push(format!("{}; what was loaded from it goes on serving", error.message()));
            }
        }
        for (folder, listed) in &mut self.listed {
            if !lost.iter().any(|(other, _)| other == folder) && listed.trouble.take().is_some() {
                reports.push(format!("repository {}: can be listed again", Shown::path(folder)));
            }
        }
    }

    /// The models that are known and not to be looked at, gone or not.
    fn absent(&self, places: &Places<'_>, lost: &[(PathBuf, Error)]) -> BTreeMap<String, Observed> {
        let is_lost = |name: &String| match self.homes.get(name) {
            Some(home) => lost.iter().any(|(folder, _)| folder == home),
            None => !lost.is_empty() && !places.contains_key(name),
        };
        let observed = |name: &String| match is_lost(name) {
            true => Some(Observed::Unknown),
            false => (!places.contains_key(name)).then_some(Observed::Gone),
        };
        self.watch.names().filter_map(|name| Some((name.clone(), observed(name)?))).collect()
    }

    fn look_at(&mut self, places: Places<'_>, watcher: &mut Watcher) -> Vec<(String, Observed)> {
        let look_at = |(name, places): (String, Vec<Place<'_>>)| {
            let hint = Hint::Model(name.clone());
            let observed = match sole(&name, &places).and_then(Place::look) {
                Ok(mut look) => {
                    watcher.follow(&hint, &look.folders);
                    self.borrow_sums(&name, &mut look);
                    Observed::Here(look.snapshot)
                }
                Err(error) => {
                    watcher.follow(&hint, &places.iter().filter_map(Place::real).collect::<Vec<_>>());
                    Observed::Broken(error)
                }
            };
            if let [only] = &places[..] {
                self.homes.insert(name.clone(), only.home().to_owned());
            }
            (name, observed)
        };
        places.into_iter().map(look_at).collect()
    }

    fn borrow_sums(&self, name: &str, look: &mut Look) {
        if let Some(last) = self.watch.last(name) {
            look.borrow_sums(last);
        }
    }

    /// Reads what the commands ask for, what may have changed first, and adds the orders.
    fn obey(
        &mut self,
        clock: &Clock,
        commands: Vec<Command>,
        roots: &[Root<'_>],
        go_on: &(dyn Fn() -> bool + Sync),
        turn: &mut Turn,
    ) {
        let start = clock.now();
        let (mut changed, mut others) = (Vec::new(), Vec::new());
        for command in commands {
            match command {
                Command::Read { name, is_change: true } => changed.push(name),
                Command::Read { name, is_change: false } => others.push(name),
                other => turn.orders.extend(order(other, None)),
            }
        }
        for name in changed.into_iter().chain(others) {
            if clock.now() - start > READ_NS_MAX || !go_on() {
                return;
            }
            let (observed, model) = self.read(&name, roots, go_on, &mut turn.reports);
            let command = observed.and_then(|observed| self.watch.answer(clock.now(), &name, observed));
            turn.orders.extend(command.and_then(|command| order(command, model)));
        }
    }

    /// Reads a model; nothing is observed when that was given up.
    fn read(
        &self,
        name: &str,
        roots: &[Root<'_>],
        go_on: &(dyn Fn() -> bool + Sync),
        reports: &mut Vec<String>,
    ) -> (Option<Observed>, Option<FoundModel>) {
        let places = places_of(roots, name);
        let place = match sole(name, &places) {
            Ok(place) => place,
            Err(error) => return (Some(Observed::Broken(error)), None),
        };
        let error = match read_whole(name, place, self.watch.last(name), go_on, reports) {
            Ok((model, snapshot)) => return (Some(Observed::Read(snapshot)), Some(model)),
            Err(Unread::GivenUp) => return (None, None),
            Err(Unread::Unsettled) => None,
            Err(Unread::Refused(error)) => Some(error),
        };
        let observed = match (place.look(), error) {
            (Ok(look), None) => Observed::Unsettled(look.snapshot),
            (Ok(look), Some(error)) => Observed::Unreadable(look.snapshot, error),
            (Err(error), _) => Observed::Broken(error),
        };
        (Some(observed), None)
    }
}

/// The folders of all repositories, each once, and why some cannot be opened.
fn open(repositories: &Repositories) -> (Vec<Root<'_>>, Vec<(PathBuf, Error)>) {
    let (mut roots, mut lost) = (Vec::<Root<'_>>::new(), Vec::new());
    for (repository, folder) in repositories.folders() {
        match Root::open(repository, folder, repositories) {
            Ok(root) if roots.iter().any(|other| other.path() == root.path()) => {}
            Ok(root) => roots.push(root),
            Err(error) => lost.push((folder.to_owned(), error)),
        }
    }
    (roots, lost)
}

/// The order that a command is for the server; a load comes with the `model` that was just read.
fn order(command: Command, model: Option<FoundModel>) -> Option<Order> {
    match command {
        Command::Read { .. } => None,
        Command::Load { change, snapshot, .. } => {
            model.map(|model| Order::Load { model: Box::new(model), change, snapshot })
        }
        Command::Unload { name } => Some(Order::Unload(name)),
        Command::Broken { name, error } => Some(Order::Broken(name, error)),
    }
}

/// A model with its config and the sum of every file, all of which stood still meanwhile. Sums whose stats stand are
/// taken over from `last`.
fn read_whole(
    name: &str,
    place: &Place<'_>,
    last: Option<&Snapshot>,
    go_on: &(dyn Fn() -> bool + Sync),
    reports: &mut Vec<String>,
) -> Result<(FoundModel, Snapshot), Unread> {
    let mut model = place.read(name, reports).map_err(Unread::Refused)?;
    // A model out of a folder always comes with a look.
    let look = model.look.as_mut().ok_or(Unread::Unsettled)?;
    if let Some(last) = last {
        look.borrow_sums(last);
    }
    look.read_sums(go_on)?;
    let snapshot = look.snapshot.clone();
    match place.look() {
        Ok(after) if after.snapshot.has_stats_of(&snapshot) => Ok((model, snapshot)),
        _ => Err(Unread::Unsettled),
    }
}

#[cfg(test)]
mod tests;
