//! Swaps without room for both: the old version goes first, and requests wait for the new one.
//!
//! ```text
//!   no room beside what serves, even if all go that are idle; `swap: replace`
//!     -> a lane for the new version, without instances: it takes the place, and requests wait in it   (catalog)
//!     -> the old version finishes what it has, and is freed                                           (retire)
//!     -> the new one is loaded: what waits is run
//!        or fails: the old one is there again, loaded from where it came; what waited is told why
//! ```
//!
//! Invariants: 1. Nothing goes for a version that would not fit in its place either. 2. What waits is answered once: by the
//! new version, by its deadline, or with the reason why there is none. 3. What cannot be loaded again is not given up.
//! 4. Of several versions of one load, those that fail give way when it is known of all what became of them, and to what
//! nothing else has taken the place of. 5. Whoever waits for an old version to go holds no thread.
//!
//! Runs on loading threads.

use super::Inner;
use super::adapt::completed;
use super::back::Back;
use super::catalog::Entry;
use super::hold::Hold;
use super::jobs::{Job, Then};
use super::lifecycle::{Brought, OVERTAKEN};
use super::load;
use super::paging::Pager;
use super::restore::{Failed, TakenIn};
use super::served::{Origin, Served, Source, Weights};
use crate::config::ModelConfig;
use inferlay_backend_sdk::{Attributes, Error, ErrorKind, LogLevel};
use std::sync::Arc;

/// Versions that have taken the place of others, and are loaded when these have gone.
pub(super) struct Replacing {
    /// The number that the load was asked at.
    pub(super) turn: u64,
    pub(super) news: Vec<New>,
    pub(super) olds: Vec<(u64, Served)>,
    /// As what the olds come back: when they have gone they have forgotten where they came from.
    pub(super) backs: Vec<(u64, Arc<Weights>)>,
    /// What the config of the new ones said.
    pub(super) taken_in: Option<TakenIn>,
}

/// A version that is loaded when others have gone.
pub(super) struct New {
    version: u64,
    served: Served,
    became: Option<Became>,
}

/// What became of it.
enum Became {
    Serving,
    Failed(Error),
    /// Somebody else took it out meanwhile.
    Overtaken,
}

impl New {
    pub(super) fn of(version: u64, served: Served) -> Self {
        New { version, served, became: None }
    }

    fn failed(&self) -> Option<Failed<'_>> {
        match &self.became {
            Some(Became::Failed(error)) => Some(Failed { version: self.version, served: &self.served, error }),
            _ => None,
        }
    }

    fn error(&self) -> Option<Error> {
        match &self.became {
            Some(Became::Failed(error)) => Some(error.clone()),
            Some(Became::Overtaken) => Some(OVERTAKEN),
            Some(Became::Serving) | None => None,
        }
    }
}

impl Inner {
    /// The lane of a version that waits for the room of `olds`, which it replaces. Its config is what it states; where that
    /// is not all, it is taken to be like them.
    ///
    /// # Errors
    /// `lack`, and why they cannot go for it.
    pub(super) fn await_room(
        self: &Arc<Self>,
        entry: &Arc<Entry>,
        source: &Source,
        olds: &[&Served],
        lack: Error,
    ) -> Result<Served, Error> {
        let refuse = |why: &str| {
            let message = format!("{}; the old version cannot go first: {why}", lack.message());
            Err(Error::new(ErrorKind::ResourceExhausted, message))
        };
        if olds.iter().any(|old| !old.weights.is_paged) {
            return refuse("it has no files, from which it could come back");
        }
        // What is not in memory has no room to give, and is not given up.
        for old in olds.iter().filter(|old| old.weights.model().is_some()) {
            if let Some(origin) = old.weights.origin()
                && let Err(changed) = self.refuse_if_changed(&origin.source)
            {
                return refuse(changed.message());
            }
        }
        let Some((config, attributes)) = self.loader().stated(source).or_else(|| like(olds, source)) else {
            return refuse(
                "the new one's config does not state all of its inputs and outputs, and differs from the old",
            );
        };
        let config = Arc::new(config);
        let weights = Weights::paged(Origin::new(source.clone(), &config), attributes);
        self.dozing(entry, (config, source.version), weights)
    }

    /// What was replaced is on its way out. What is left to be done, if anything was.
    pub(super) fn begin_replacing(&self, replacing: Replacing) -> Option<Replacing> {
        let pager = self.pager.as_ref().filter(|_| !replacing.news.is_empty())?;
        pager.leave(&replacing.olds);
        Some(replacing)
    }

    /// Has `then` called with what was brought: now, or by the job that is returned, which loads what has to wait for others
    /// to go.
    pub(super) fn end_bringing(
        self: &Arc<Self>,
        hold: Hold,
        mut brought: Brought,
        then: impl FnOnce(Hold, Brought) + Send + 'static,
    ) -> Option<Job> {
        let Some(replacing) = brought.replacing.take() else {
            then(hold, brought);
            return None;
        };
        let (inner, mut left) = (self.clone(), Some((replacing, hold, brought, then)));
        Some(Box::new(move || {
            let Some((mut replacing, hold, mut brought, then)) = left.take() else { return Then::Over };
            if inner.replace(&hold, &mut replacing) == Then::AgainFirst {
                left = Some((replacing, hold, brought, then));
                return Then::AgainFirst;
            }
            for new in &replacing.news {
                let of_it = brought.outcomes.iter_mut().filter(|(number, _)| *number == new.version);
                of_it.for_each(|(_, error)| *error = new.error());
            }
            let brought = inner.unless_stopping(&hold, brought);
            // Whoever is told that it is over finds nothing of it left.
            drop(replacing);
            then(hold, brought);
            Then::Over
        }))
    }

    /// Loads versions that have taken the place of others, when these are gone. Those come back whose successors fail.
    fn replace(self: &Arc<Self>, entry: &Arc<Entry>, replacing: &mut Replacing) -> Then {
        let Some(pager) = &self.pager else { return Then::Over };
        let Replacing { news, olds, .. } = replacing;
        for new in news.iter_mut().filter(|new| new.became.is_none()) {
            new.became = self.load_in_place(pager, entry, &new.served, olds);
        }
        if news.iter().any(|new| new.became.is_none()) {
            return Then::AgainFirst;
        }
        self.restore(entry, replacing);
        Then::Over
    }

    /// Loads a version that has taken the place of `olds`. What became of it; `None` if it is to be tried again.
    fn load_in_place(
        self: &Arc<Self>,
        pager: &Pager,
        entry: &Arc<Entry>,
        served: &Served,
        olds: &[(u64, Served)],
    ) -> Option<Became> {
        let lane = &served.lane;
        // Before the look for room, so that one is taken after the last of them has gone.
        let waits = pager.is_leaving(olds) || lane.word.read().queued() > 0;
        let result = load::contained(|| self.bring_back(entry, served));
        let became = match result {
            Ok(Back::NotYet(_)) if waits && !self.is_stopping() && !lane.has_ended() => return None,
            Ok(Back::AsStated) if entry.has(served) => Became::Serving,
            Ok(Back::Otherwise(error)) => {
                lane.stay_dozing(&error.at(lane.spec.place()));
                Became::Serving
            }
            Ok(Back::AsStated) => Became::Overtaken,
            Ok(Back::NotYet(_)) | Err(_) if self.is_stopping() || !entry.has(served) => {
                lane.stay_dozing(&OVERTAKEN);
                Became::Overtaken
            }
            Ok(Back::NotYet(lack)) => {
                pager.count_exhausted();
                Became::Failed(lack)
            }
            Err(error) => Became::Failed(error),
        };
        if lane.has_ended() {
            // It was let go meanwhile, and must not keep what was just loaded.
            served.end_stop();
        }
        Some(became)
    }

    /// Puts what was replaced in the place of what replaced it and failed.
    fn restore(self: &Arc<Self>, entry: &Arc<Entry>, replacing: &Replacing) {
        let failed: Vec<_> = replacing.news.iter().filter_map(New::failed).collect();
        if failed.is_empty() {
            return;
        }
        for Failed { served, error, .. } in &failed {
            let message =
                format!("{}: {}; what it replaced is loaded again", served.lane.spec.place(), error.message());
            self.services.log.write(LogLevel::Error, &message);
        }
        let (before, taken_in) = (self.come_back(entry, replacing), replacing.taken_in.as_ref());
        let restored = entry.restore(replacing.turn, &failed, before, taken_in, &self.catalog.events);
        // Whoever comes late goes to what is there again; who waited is told.
        for Failed { served, error, .. } in &failed {
            served.lane.begin_stop();
            served.lane.stay_dozing(error);
            served.end_stop();
        }
        // Nobody has ever seen these.
        for served in &restored.superfluous {
            served.lane.begin_stop();
            served.end_stop();
        }
        for served in &restored.serving {
            // Where there is no room yet, whoever asks in the lane has a job behind this one that tries again.
            let _then = self.page_in(entry, served);
        }
    }

    /// Lanes for what was replaced.
    fn come_back(self: &Arc<Self>, entry: &Arc<Entry>, replacing: &Replacing) -> Vec<(u64, Served)> {
        let back_of = |number: u64| {
            let back = replacing.backs.iter().find(|(of, _)| *of == number);
            back.and_then(|(_, weights)| weights.again())
        };
        let again = |(number, old): &(u64, Served)| match self.again(entry, *number, old, back_of(*number)) {
            Ok(served) => Some((*number, served)),
            Err(error) => {
                self.services.log.write(LogLevel::Error, error.at(old.lane.spec.place()).message());
                None
            }
        };
        replacing.olds.iter().filter_map(again).collect()
    }

    /// A lane for what served before, to be loaded from where it came.
    fn again(
        self: &Arc<Self>,
        entry: &Arc<Entry>,
        version: u64,
        old: &Served,
        weights: Option<Arc<Weights>>,
    ) -> Result<Served, Error> {
        let Some(weights) = weights else { return Err(Error::unavailable("it has no files")) };
        self.dozing(entry, (old.config.clone(), version), weights)
    }
}

/// The config of a version whose model is like one that it replaces.
fn like(olds: &[&Served], source: &Source) -> Option<(ModelConfig, Attributes)> {
    let (old, model) = olds.iter().find_map(|old| Some((old, old.weights.model()?)))?;
    Some((completed(old, Some(&model), source)?, old.weights.attributes))
}
