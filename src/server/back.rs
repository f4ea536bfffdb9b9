//! Bringing a version into memory whose lane dozes: when it is asked, or when it has taken the place of others.
//!
//! ```text
//!   room (paging) -> its files are what they were -> load -> they still are
//!     -> as its config states: its instances come to the lane, which wakes
//!     -> otherwise: another lane takes its place, and what waited in this one is told so
//! ```
//!
//! Invariants: 1. What comes back is what was loaded, or nothing does. 2. Nobody takes a version for idle that has not
//! served yet. Runs on loading threads.

use super::budget::Use;
use super::catalog::Entry;
use super::jobs::Then;
use super::lifecycle::OVERTAKEN;
use super::load::{self, Opened};
use super::measure::Measure;
use super::paging::{NoRoom, Pager, Wanted};
use super::room::RoomId;
use super::served::{Origin, Served, Source, Weights};
use super::version::Parting;
use super::warmup::warm_up;
use super::{Inner, STOPPED};
use crate::config::ModelConfig;
use crate::memory;
use crate::repository;
use inferlay_backend_sdk::{Error, ErrorKind, LogLevel, Model};
use std::sync::Arc;

/// A version that was loaded for its lane.
pub(super) enum Back {
    /// It serves from there.
    AsStated,
    /// It is not as its config states, and serves from another lane; for what waited in this one, the reason.
    Otherwise(Error),
    /// It is not loaded, as there is no room, and there may be some later.
    NotYet(Error),
}

const OTHERWISE: Error = Error::fixed(
    ErrorKind::Unavailable,
    "its config states inputs and outputs otherwise than the model does; as of now it serves as the model does",
);

/// What was loaded for a lane.
struct Came<'a> {
    model: Arc<dyn Model>,
    room: RoomId,
    config: Arc<ModelConfig>,
    /// What it was thought to use.
    about: Use,
    measure: Measure<'a>,
}

impl Inner {
    /// Loads a version that is asked for and not in memory; again, when there is no room yet and requests wait.
    pub(super) fn page_in(self: &Arc<Self>, entry: &Arc<Entry>, served: &Served) -> Then {
        let lane = &served.lane;
        if !lane.is_dozing() || lane.has_ended() {
            return Then::Over;
        }
        match load::contained(|| self.bring_back(entry, served)) {
            Ok(Back::AsStated) => {}
            Ok(Back::NotYet(_)) if self.is_stopping() => lane.stay_dozing(&STOPPED),
            Ok(Back::NotYet(_)) if lane.word.read().queued() > 0 => return Then::Again,
            // Nobody waits for room any more.
            Ok(Back::NotYet(_)) => lane.doze_on(),
            Ok(Back::Otherwise(error)) => lane.stay_dozing(&error.at(lane.spec.place())),
            // Nobody waits for room any more, as the server stops.
            Err(_) if self.is_stopping() => lane.stay_dozing(&STOPPED),
            // Nothing ails it: it was taken out, or another one serves.
            Err(error) if error == OVERTAKEN => lane.stay_dozing(&error.at(lane.spec.place())),
            Err(error) => {
                let error = error.at(lane.spec.place());
                self.services.log.write(LogLevel::Error, error.message());
                entry.ails(served, &error, &self.catalog.events);
                lane.stay_dozing(&error);
            }
        }
        if lane.has_ended() {
            // It was let go meanwhile, and must not keep what was just loaded.
            served.end_stop();
        }
        Then::Over
    }

    /// Loads a version whose lane dozes, when there is room.
    ///
    /// # Errors
    /// Whatever keeps it from serving.
    pub(super) fn bring_back(self: &Arc<Self>, entry: &Arc<Entry>, served: &Served) -> Result<Back, Error> {
        let Some(pager) = &self.pager else { return Err(Error::unavailable("models are not paged")) };
        let Some(origin) = served.weights.origin() else { return Err(Error::unavailable("it has no files")) };
        let source = &origin.source;
        let mut measure = pager.measuring.begin();
        let about = served.weights.used_or(|| self.about(source));
        let wanted = Wanted { model: entry.name(), about: about.clone(), beside: &[], waits: &|| false };
        let room = match pager.room(&wanted) {
            Ok(room) => room,
            Err(NoRoom { lack, may_come: true }) => return Ok(Back::NotYet(lack)),
            Err(NoRoom { lack, .. }) => {
                pager.count_exhausted();
                return Err(lack);
            }
        };
        self.jobs.need_thread();
        self.refuse_to_bring_back(source)?;
        measure.start(memory::allocated);
        let Opened { model, config, load_ns, .. } = self.loader().open(source)?;
        let (model, room) = room.hold(model);
        self.refuse_to_bring_back(source)?;
        served.lane.set_load_ns(load_ns);
        let is_as_stated = config == *origin.config;
        let came = Came { model, room, config: Arc::new(config), about, measure };
        if is_as_stated {
            self.wake(pager, entry, served, source, came)?;
            return Ok(Back::AsStated);
        }
        // What waits was checked against what the config states, and cannot be run; what comes later can.
        self.serve_otherwise(pager, entry, served, source, came)?;
        Ok(Back::Otherwise(OTHERWISE))
    }

    /// It serves from its own lane.
    fn wake(
        self: &Arc<Self>,
        pager: &Arc<Pager>,
        entry: &Arc<Entry>,
        served: &Served,
        source: &Source,
        came: Came<'_>,
    ) -> Result<(), Error> {
        let Came { model, room, config, about, measure } = came;
        let lane = &served.lane;
        let cells = load::cells(&config, &self.options, &model, lane.spec.is_thread_bound)?;
        let cells = warm_up(&config, source.beside(), &lane.spec, cells, &self.services)?;
        let went = served.weights.come_back(model, room);
        pager.count_load(went, lane.now());
        self.settle(pager, entry, served, self.thought(source, about, measure.end(memory::allocated)));
        entry.recovers(served, &self.catalog.events);
        cells.into_iter().for_each(|cell| lane.add_instance(cell));
        // Only now: until then nobody takes it for idle.
        lane.wake();
        Ok(())
    }

    /// It serves from another lane than the one that asked.
    ///
    /// # Errors
    /// `CANCELLED` when something else has taken the place of that one meanwhile; whatever keeps it from serving.
    fn serve_otherwise(
        self: &Arc<Self>,
        pager: &Arc<Pager>,
        entry: &Arc<Entry>,
        served: &Served,
        source: &Arc<Source>,
        came: Came<'_>,
    ) -> Result<(), Error> {
        let Came { model, room, config, about, measure } = came;
        let version = source.version;
        let origin = Origin { source: source.clone(), config: config.clone() };
        let weights = Weights::paged(origin, served.weights.attributes);
        weights.come_back(model, room);
        let other = load::serve(&self.services, &self.options, (config, version), weights, source.around())?;
        other.lane.set_load_ns(served.lane.load_ns());
        self.settle(pager, entry, &other, self.thought(source, about, measure.end(memory::allocated)));
        if !entry.replace(version, served, &other, &self.catalog.events) {
            other.lane.begin_stop();
            other.end_stop();
            return Err(OVERTAKEN);
        }
        drop(self.retire(entry, (version, 0), served.clone(), Parting::Replaced));
        entry.recovers(&other, &self.catalog.events);
        Ok(())
    }

    /// What is sealed needs no look: each file is held to the manifest when it is read.
    fn refuse_to_bring_back(&self, source: &Source) -> Result<(), Error> {
        if source.found.sealing.is_checked() { Ok(()) } else { self.refuse_if_changed(source) }
    }

    /// What comes back must be what was loaded, by its sums, or else by what the file system tells of it: a change of it is
    /// for a load, and a file that is half copied for nobody.
    pub(super) fn refuse_if_changed(&self, source: &Source) -> Result<(), Error> {
        let Some(before) = &source.found.look else { return Ok(()) };
        let (name, repositories) = (&source.found.name, self.repositories.lock().clone());
        if repository::is_still_so(&repositories, name, &before.snapshot) {
            return Ok(());
        }
        let mut now = repository::scan_model(&repositories, name, &mut Vec::new())?;
        if let Some(now) = now.as_mut().and_then(|found| found.look.as_mut()).filter(|_| before.snapshot.is_read()) {
            now.borrow_sums(&before.snapshot);
            // What cannot be read has no sum, and is not what it was if it was touched.
            let _unread = now.read_sums(&|| !self.is_stopping());
        }
        match (source.mark(), now.and_then(|found| found.mark(source.version))) {
            (Some(before), Some(now)) if before.is_of_same_content(&now) => Ok(()),
            _ => Err(Error::unavailable("its files are not those that it was loaded from; load it anew")),
        }
    }

    /// A version is in memory: counts what it uses, or is `thought` to, and lets it go when room is wanted.
    pub(super) fn settle(self: &Arc<Self>, pager: &Arc<Pager>, entry: &Arc<Entry>, served: &Served, thought: Use) {
        let demand = self.demand(entry, served);
        served.weights.settle(thought, |room, used| pager.settle(room, used, served, demand));
        if !pager.make_up(served) {
            let message = format!("{}: uses more than its estimate, and nobody could go", served.lane.spec.place());
            self.services.log.write(LogLevel::Warning, &message);
        }
    }
}
