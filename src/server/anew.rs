//! Loading a version anew: at once, when its lane asks, or in the place of what serves.
//!
//! ```text
//!   no budget                                        -> loaded
//!   replaces nobody, its config states everything    -> a lane that dozes; loaded when it is asked   (paging)
//!   room beside what it replaces, which may go for it -> loaded
//!   no room, `swap: replace`                         -> a lane that dozes until the old one has gone  (replace)
//!   no room, `swap: overlap`                         -> RESOURCE_EXHAUSTED, and the old one serves
//! ```
//!
//! Invariant: room is taken before anything is loaded. Runs on loading threads.

use super::Inner;
use super::budget::{Place, Use};
use super::catalog::Entry;
use super::load::{self, Opened};
use super::paging::{NoRoom, Wanted};
use super::served::{Origin, Served, Source, Weights};
use super::version::Loaded;
use crate::config::{ModelConfig, Swap};
use crate::memory;
use inferlay_backend_sdk::{Attributes, Error, ModelFiles};
use std::cell::Cell;
use std::sync::Arc;

/// How often to look, once in a millisecond, for a model that has become idle and may go. One that has just answered, or is
/// asked now and then, is no reason to fail a load.
const LOOKS_MAX: u32 = 1000;

impl Inner {
    /// Loads a version anew, which is to take the place of `olds`, within the budget if there is one; where it takes nobody's
    /// place and its config says all there is to say, when it is asked.
    ///
    /// # Errors
    /// Whatever keeps it from serving.
    pub(super) fn load_anew(
        self: &Arc<Self>,
        entry: &Arc<Entry>,
        source: Source,
        olds: &[&Served],
    ) -> Result<Loaded, Error> {
        let Some(pager) = &self.pager else { return self.load_for_good(&source).map(Loaded::Serves) };
        if olds.is_empty()
            && !pager.is_pinned(entry.name())
            && let Some(stated) = self.loader().stated(&source)
            && stated.0.active_len() > 0
        {
            return self.load_when_asked(entry, source, stated).map(Loaded::Serves);
        }
        let mut measure = pager.measuring.begin();
        let about = self.about(&source);
        let looks = Cell::new(0);
        let waits = || looks.replace(looks.get() + 1) < LOOKS_MAX && !self.is_stopping();
        let wanted = Wanted { model: entry.name(), about: about.clone(), beside: olds, waits: &waits };
        let room = match pager.room(&wanted) {
            Ok(room) => room,
            Err(NoRoom { lack, .. }) if source.partial.swap == Some(Swap::Replace) && pager.fits_in_place(&wanted) => {
                self.options.trust.admit(&source.found, source.version)?;
                return self.await_room(entry, &source, olds, lack).map(Loaded::Replaces);
            }
            Err(NoRoom { lack, .. }) => {
                pager.count_exhausted();
                return Err(lack);
            }
        };
        measure.start(memory::allocated);
        let Opened { model, config, attributes, load_ns } = self.loader().open(&source)?;
        let (model, room) = room.hold(model);
        let config = Arc::new(config);
        let weights = Weights::paged(Origin::new(source.clone(), &config), attributes);
        weights.come_back(model, room);
        let named = (config, source.version);
        let served = load::serve(&self.services, &self.options, named, weights, source.around())?;
        served.lane.set_load_ns(load_ns);
        self.settle(pager, entry, &served, self.thought(&source, about, measure.end(memory::allocated)));
        Ok(Loaded::Serves(served))
    }

    /// Loads a version that never goes to make room.
    fn load_for_good(&self, source: &Source) -> Result<Served, Error> {
        let Opened { model, config, attributes, load_ns } = self.loader().open(source)?;
        let weights = Weights::new(model, attributes, source.mark());
        let named = (Arc::new(config), source.version);
        let served = load::serve(&self.services, &self.options, named, weights, source.around())?;
        served.lane.set_load_ns(load_ns);
        Ok(served)
    }

    /// A version that is loaded by its first request.
    fn load_when_asked(
        self: &Arc<Self>,
        entry: &Arc<Entry>,
        source: Source,
        (config, attributes): (ModelConfig, Attributes),
    ) -> Result<Served, Error> {
        let (config, version) = (Arc::new(config), source.version);
        // Told now, not when it is asked; what is loaded then is checked then.
        self.options.trust.admit(&source.found, version)?;
        let weights = Weights::paged(Origin::new(source, &config), attributes);
        self.dozing(entry, (config, version), weights)
    }

    /// About what a version will use, before it is loaded: what its backend says, else as much as its files.
    pub(super) fn about(&self, source: &Source) -> Use {
        self.loader().estimate(source).unwrap_or_else(|| Use::host(files_len(source)))
    }

    /// What a version that was thought to use `about` so much is thought to use after it was loaded, unless its backend says.
    pub(super) fn thought(&self, source: &Source, mut about: Use, measured: Option<u64>) -> Use {
        if let Some(measured) = measured {
            // Never less than its files, if these are what it was thought to hold: it may have mapped them.
            let mapped = about.at(Place::Host).min(files_len(source));
            about.set(Place::Host, measured.max(mapped));
        }
        about
    }
}

/// How long the files of a version are together.
fn files_len(source: &Source) -> u64 {
    let read = |files: &dyn ModelFiles| {
        let len = |name: &String| match files.path(name) {
            Ok(Some(path)) => std::fs::metadata(path).map(|metadata| metadata.len()).unwrap_or(0),
            Ok(None) => files.read(name).map(|content| content.len() as u64).unwrap_or(0),
            Err(_) => 0,
        };
        files.names().iter().map(len).sum()
    };
    source.found.bytes_on_disk(source.version).unwrap_or_else(|| source.files().map_or(0, read))
}
