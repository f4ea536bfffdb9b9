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
//!
//! Runs on loading threads.

use super::Inner;
use super::catalog::Entry;
use super::lifecycle::OVERTAKEN;
use super::load;
use super::paging::Back;
use super::served::{Served, Source, Weights};
use crate::config::ModelConfig;
use inferlay_backend_sdk::{Attributes, Error, ErrorKind, LogLevel};
use std::sync::Arc;

/// What a version replaces, and as what it comes back: when it has gone it has forgotten where it came from.
pub(super) struct Past<'a> {
    pub(super) olds: &'a [(u64, Served)],
    pub(super) backs: &'a [(u64, Arc<Weights>)],
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
        let Some((config, attributes)) = self.loader().stated(source).or_else(|| like(olds, source)) else {
            return refuse(
                "the new one's config does not state all of its inputs and outputs, and differs from the old",
            );
        };
        let weights = Weights::paged(source.clone(), attributes);
        let served = load::dormant(&self.services, &self.options, (config, source.version), weights)?;
        let dozes = served.lane.doze(&self.demand(entry, &served)).is_some();
        debug_assert!(dozes, "a lane without instances can always doze");
        Ok(served)
    }

    /// Loads a version that has taken the place of others, when these are gone. They come back if it fails.
    ///
    /// # Errors
    /// Why the new one does not serve.
    pub(super) fn finish_replacing(
        self: &Arc<Self>,
        entry: &Arc<Entry>,
        (turn, version): (u64, u64),
        served: &Served,
        past: &Past<'_>,
    ) -> Result<(), Error> {
        let Some(pager) = &self.pager else { return Ok(()) };
        let olds = past.olds;
        pager.leave(olds);
        let lane = &served.lane;
        let holds = || olds.iter().any(|(_, old)| old.weights.model().is_some());
        let waits = || !self.is_stopping() && !lane.has_ended() && (holds() || lane.word.read().queued() > 0);
        let result = match load::contained(|| self.bring_back(entry, served, &waits)) {
            Ok(Back::NotYet(lack)) => {
                pager.count_exhausted();
                Err(lack)
            }
            result => result,
        };
        let result = match result {
            Ok(Back::AsStated) if entry.has(served) => Ok(()),
            Ok(Back::AsStated | Back::NotYet(_)) => Err(OVERTAKEN),
            Ok(Back::Otherwise(error)) => {
                lane.stay_dozing(&error.at(lane.spec.place()));
                Ok(())
            }
            Err(_) if self.is_stopping() || !entry.has(served) => {
                lane.stay_dozing(&OVERTAKEN);
                Err(OVERTAKEN)
            }
            Err(error) => {
                self.restore(entry, (turn, version), served, &error, past);
                Err(error)
            }
        };
        if lane.has_ended() {
            // It was let go meanwhile, and must not keep what was just loaded.
            served.end_stop();
        }
        result
    }

    /// Puts what was replaced in the place of what replaced it and failed.
    fn restore(
        self: &Arc<Self>,
        entry: &Arc<Entry>,
        (turn, version): (u64, u64),
        failed: &Served,
        error: &Error,
        past: &Past<'_>,
    ) {
        let place = failed.lane.spec.place();
        let message = format!("{place}: {}; what it replaced is loaded again", error.message());
        self.services.log.write(LogLevel::Error, &message);
        let back_of =
            |number: u64| past.backs.iter().find(|(of, _)| *of == number).and_then(|(_, weights)| weights.again());
        let again = |(number, old): &(u64, Served)| match self.again(entry, *number, old, back_of(*number)) {
            Ok(served) => Some((*number, served)),
            Err(error) => {
                self.services.log.write(LogLevel::Error, error.at(old.lane.spec.place()).message());
                None
            }
        };
        let back: Vec<_> = past.olds.iter().filter_map(again).collect();
        let is_back = entry.restore(turn, (version, failed), error, &back, &self.catalog.events);
        // Whoever comes late goes to what is there again; who waited is told.
        failed.lane.begin_stop();
        failed.lane.stay_dozing(error);
        failed.end_stop();
        for (_, served) in back.iter().filter(|_| is_back) {
            self.page_in(entry, served);
        }
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
        let config = ModelConfig::clone(&old.config);
        let served = load::dormant(&self.services, &self.options, (config, version), weights)?;
        let dozes = served.lane.doze(&self.demand(entry, &served)).is_some();
        debug_assert!(dozes, "a lane without instances can always doze");
        Ok(served)
    }
}

/// The config of a version whose model is like one that it replaces.
fn like(olds: &[&Served], source: &Source) -> Option<(ModelConfig, Attributes)> {
    let old = olds.iter().find(|old| old.weights.model().is_some())?;
    let mut partial = source.partial.clone();
    if partial.backend.as_ref().is_some_and(|backend| *backend != old.config.backend) {
        return None;
    }
    let model = old.weights.model()?;
    partial.decoupled.get_or_insert(model.is_decoupled());
    let config = source.complete(partial, &old.config.backend, model.signature()).ok()?;
    Some((config, old.weights.attributes))
}
