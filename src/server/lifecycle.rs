//! Bringing a model from what serves to what was found: load, then swap, then let go.
//!
//! ```text
//!   found files + config -> per version: stays | resized | re-laned (adapt) | loaded anew | failed   (loading threads)
//!                        -> commit, in one step: what serves now                             (catalog)
//!                        -> what was replaced drains, then is freed                          (retire)
//! ```
//!
//! Invariants: 1. Load first, take out after: a version that fails to load, or any other of the same load, leaves what
//! serves where it is. 2. Requests in a lane that was replaced finish there; those that come to it late go to the one that
//! replaced it (`ModelHandle`). 3. What did not change is not loaded again (`adapt`); what was counted is carried on. 4. An unload is over
//! when nothing of the model is in memory any more: what it took out, what was on its way out before, and what a load or
//! page-in was bringing in. 5. What is loaded, or resized, changes what serves when it is committed, or not at all.

use super::Inner;
use super::adapt::Adapted;
use super::catalog::{Committed, Entry};
use super::hold::Hold;
use super::load::{self, Loader};
use super::operation::{Ending, Operation};
use super::replace::{New, Replacing};
use super::route::Plan;
use super::served::{Served, Source};
use super::version::{Loaded, Parting};
use crate::config::{self, PartialConfig, Swap, VersionPolicy};
use crate::repository::{self, Choice, ConfigText, FoundModel};
use inferlay_backend_sdk::{Error, ErrorKind, LogLevel};
use std::sync::Arc;
use std::time::Duration;

pub(super) const OVERTAKEN: Error =
    Error::fixed(ErrorKind::Cancelled, "the model was unloaded, or asked for anew, before it was loaded");

const CHANGED: Error = Error::fixed(ErrorKind::Unavailable, "its files changed while they were loaded");

/// A model to be brought to serve.
pub(super) struct Wish {
    pub(super) found: Arc<FoundModel>,
    /// In place of the model's own.
    pub(super) config: Option<ConfigText>,
    /// In place of those that the version policy chooses.
    pub(super) versions: Option<Vec<u64>>,
    /// In place of the config's.
    pub(super) swap: Option<Swap>,
    /// The number that the load was asked at.
    pub(super) turn: u64,
}

impl Wish {
    /// As the model's folder says.
    pub(super) fn of(found: Arc<FoundModel>, turn: u64) -> Self {
        Wish { found, config: None, versions: None, swap: None, turn }
    }
}

/// What became of one version, for whoever reports.
pub(super) type Outcome = (u64, Option<Error>);

/// What became of a model.
pub(super) struct Brought {
    pub(super) outcomes: Vec<Outcome>,
    /// Its files changed meanwhile; nothing of it was taken in.
    pub(super) is_stale: bool,
    /// What is not loaded yet, as it has to wait for others to go.
    pub(super) replacing: Option<Replacing>,
}

impl Brought {
    /// All of it came to the same.
    fn to_nothing(versions: &[u64], error: &Error, is_stale: bool) -> Self {
        let outcomes = versions.iter().map(|version| (*version, Some(error.clone()))).collect();
        Brought { outcomes, is_stale, replacing: None }
    }
}

impl Inner {
    pub(super) fn loader(&self) -> Loader<'_> {
        Loader { services: &self.services, options: &self.options, serial: &self.serial }
    }

    /// Loads what is wished for and puts it in the place of what serves, if what was read `is_still_so`. What became of each
    /// version.
    pub(super) fn bring(self: &Arc<Self>, entry: &Arc<Entry>, wish: &Wish, is_still_so: &dyn Fn() -> bool) -> Brought {
        let (config, versions) = (wish.config.as_ref(), wish.versions.as_deref());
        let (partial, chosen) = match self.choose(&wish.found, config, versions, wish.swap) {
            Ok(chosen) => chosen,
            Err(error) => {
                let last = wish.found.versions.keys().last().copied().unwrap_or(0);
                let brought = Brought::to_nothing(&[last], &error, !is_still_so());
                let committed = self.commit(entry, (wish.turn, None), vec![(last, Loaded::Failed(error))], &[]);
                drop(committed);
                return brought;
            }
        };
        if !entry.begin(wish.turn, &chosen, &self.catalog.events) {
            return Brought::to_nothing(&chosen, &OVERTAKEN, false);
        }
        let serving = entry.served();
        let (mut loaded, mut adapted) = (Vec::new(), Vec::new());
        for version in &chosen {
            let source = Source { found: wish.found.clone(), version: *version, partial: partial.clone() };
            let (now, own) = self.load_beside(entry, source, &chosen, &serving);
            loaded.push((*version, now));
            adapted.extend(own);
        }
        let is_stale = !is_still_so();
        if is_stale {
            loaded.iter_mut().for_each(|(_, loaded)| discard(loaded, &serving));
        }
        let outcomes: Vec<_> = loaded.iter().map(|(version, loaded)| (*version, loaded.error())).collect();
        let news: Vec<_> = loaded.iter().filter_map(replaces).collect();
        // What goes for good forgets where it came from.
        let again = |(version, served): &(u64, Served)| Some((*version, served.weights.again()?));
        let backs: Vec<_> = if news.is_empty() { Vec::new() } else { serving.iter().filter_map(again).collect() };
        let stated = Plan::from(&partial);
        let Some(committed) = self.commit(entry, (wish.turn, Some(&stated)), loaded, &serving) else {
            return Brought::to_nothing(&chosen, &OVERTAKEN, is_stale);
        };
        if !is_stale {
            adapted.into_iter().for_each(|adapted| adapted.settle(self, entry));
        }
        let Committed { retired: olds, taken_in, .. } = committed;
        let replacing = self.begin_replacing(Replacing { turn: wish.turn, news, olds, backs, taken_in });
        self.unless_stopping(entry, Brought { outcomes, is_stale, replacing })
    }

    /// What was brought, unless the server stops, which takes it back.
    pub(super) fn unless_stopping(&self, entry: &Entry, brought: Brought) -> Brought {
        let Err(error) = self.give_up_if_stopping(entry) else { return brought };
        let versions: Vec<_> = brought.outcomes.iter().map(|(version, _)| *version).collect();
        Brought::to_nothing(&versions, &error, brought.is_stale)
    }

    /// Loads one of the versions that were `chosen`, beside those that are `serving`.
    fn load_beside(
        self: &Arc<Self>,
        entry: &Arc<Entry>,
        source: Source,
        chosen: &[u64],
        serving: &[(u64, Served)],
    ) -> (Loaded, Option<Adapted>) {
        let goes = |number: &u64| *number == source.version || !chosen.contains(number);
        let olds: Vec<_> = serving.iter().filter(|(number, _)| goes(number)).map(|(_, served)| served).collect();
        let current = serving.iter().find(|(number, _)| *number == source.version).map(|(_, served)| served);
        let loaded = load::contained(|| self.bring_version(entry, source, current, &olds));
        loaded.unwrap_or_else(|error| (Loaded::Failed(error), None))
    }

    /// Loads the one version of a model that is to serve, for whoever puts it into the catalog.
    ///
    /// # Errors
    /// Whatever keeps it from serving.
    pub(super) fn load_only(self: &Arc<Self>, entry: &Arc<Entry>, found: FoundModel) -> Result<(u64, Served), Error> {
        let (partial, chosen) = self.choose(&found, None, None, None)?;
        let version = chosen.last().copied().ok_or_else(|| Error::not_found("no version to be loaded"))?;
        let source = Source { found: Arc::new(found), version, partial };
        let loaded = load::contained(|| self.load_anew(entry, source, &[]))?;
        let served = loaded.served().ok_or_else(|| Error::internal("what was loaded does not serve"))?;
        Ok((version, served))
    }

    /// Puts what was loaded beside what was `serving` in its place, with what its config says of versions. What that did, if
    /// it counted.
    fn commit(
        &self,
        entry: &Arc<Entry>,
        (turn, stated): (u64, Option<&Plan>),
        loaded: Vec<(u64, Loaded)>,
        serving: &[(u64, Served)],
    ) -> Option<Committed> {
        let name = entry.name();
        for (version, loaded) in &loaded {
            if let Loaded::Failed(error) = loaded {
                let error = error.clone().at(format_args!("model '{}' version {version}", name.escape_debug()));
                self.services.log.write(LogLevel::Error, error.message());
            }
        }
        let committed = entry.commit(turn, loaded, stated, &self.catalog.events);
        // Nobody has ever seen it, unless it is a lane that was resized, and drains by now.
        for served in committed.overtaken.iter().filter(|served| !serving.iter().any(|(_, own)| own.is(served))) {
            served.lane.begin_stop();
            served.end_stop();
        }
        for (version, served) in &committed.retired {
            self.retire(entry, (*version, turn), served.clone(), Parting::Replaced);
        }
        committed.counted.then_some(committed)
    }

    /// Lets a version go that is out of the catalog. What is told when it is free.
    /// The number comes with the turn at which it went.
    pub(super) fn retire(&self, entry: &Arc<Entry>, gone: (u64, u64), served: Served, parting: Parting) -> Operation {
        let mut leaving = entry.leaving();
        self.retire_within((entry, &mut leaving), gone, served, (self.options.retire_timeout, parting))
    }

    fn retire_within(
        &self,
        (entry, leaving): (&Arc<Entry>, &mut Vec<Operation>),
        gone: (u64, u64),
        served: Served,
        (within, parting): (Duration, Parting),
    ) -> Operation {
        let operation = Operation::new(self.services.clock.clone());
        leaving.push(operation.clone());
        let (ended, catalog) = (operation.clone(), self.catalog.clone());
        let hold = Hold::new(&catalog, entry.clone());
        self.retiring.retire(served, within, move |result| {
            if parting != Parting::Replaced {
                crate::memory::trim();
            }
            hold.freed(gone, parting, &catalog.events);
            drop(hold);
            ended.end(result);
        });
        operation
    }

    fn bring_version(
        self: &Arc<Self>,
        entry: &Arc<Entry>,
        source: Source,
        current: Option<&Served>,
        olds: &[&Served],
    ) -> Result<(Loaded, Option<Adapted>), Error> {
        // What did not come into memory when it was asked is loaded anew, and tells why it does not.
        let healthy = current.filter(|current| !current.lane.is_stuck() && !entry.is_ailing(current));
        if let Some(current) = healthy.filter(|current| same_files(current, &source))
            && let Some(adapted) = self.adapt(entry, current, &source)?
        {
            let served = adapted.served.clone();
            let is_as_before = served.is(current) && served.config == current.config;
            let loaded = if is_as_before { Loaded::Stays } else { Loaded::Serves(served) };
            return Ok((loaded, Some(adapted)));
        }
        Ok((self.load_anew(entry, source, olds)?, None))
    }

    /// Takes a model out, all its versions, and lets them go. Done when the memory is back, also that of versions that were
    /// on their way out before, and of a load that was under way. Of one that is forgotten nothing is known then but what came
    /// after.
    pub(super) fn unload(&self, entry: &Arc<Entry>, parting: Parting) -> Operation {
        self.unload_within(entry, self.options.retire_timeout, parting)
    }

    /// As [`Inner::unload`], in so long at most.
    pub(super) fn unload_within(&self, entry: &Arc<Entry>, within: Duration, parting: Parting) -> Operation {
        let operation = self.operations.begin(self.services.clock.clone());
        let ending = Ending::of(&operation);
        let mut parts = Vec::new();
        let turn = {
            // Whoever unloads beside this one finds the versions there, or on their way out.
            let mut leaving = entry.leaving();
            let (turn, removed) = entry.take_out(&self.catalog.events);
            for (version, served) in removed {
                parts.push(self.retire_within((entry, &mut leaving), (version, turn), served, (within, parting)));
            }
            turn
        };
        let hold = Hold::new(&self.catalog, entry.clone());
        let all = Operation::new(self.services.clock.clone());
        self.jobs.behind(entry.name(), move |has_waited| {
            if has_waited {
                crate::memory::trim();
            }
            parts.extend(hold.leaving().iter().cloned());
            all.end_with(parts);
            all.then(move |result| {
                if parting == Parting::Forgotten {
                    hold.forget(turn);
                }
                drop(hold);
                ending.end(result);
            });
        });
        operation
    }
}

impl Inner {
    /// The config of a model, and the versions that it chooses. What the config asks for and will not get is told in the
    /// log.
    ///
    /// # Errors
    /// What is wrong with either; of a strict server also what is not served yet.
    fn choose(
        &self,
        found: &FoundModel,
        config: Option<&ConfigText>,
        versions: Option<&[u64]>,
        swap: Option<Swap>,
    ) -> Result<(PartialConfig, Vec<u64>), Error> {
        let text = config.or(found.config.as_ref());
        let mut partial = match text {
            Some(text) => config::parse(&text.label, &text.text)?,
            None => PartialConfig::new(),
        };
        partial.swap = swap.or(partial.swap);
        if self.options.is_strict {
            partial = partial.strict()?;
        }
        for warning in partial.warnings() {
            self.services.log.write(LogLevel::Warning, &warning.to_string());
        }
        let choice = match versions {
            Some(versions) => Choice::Specific(versions.to_vec()),
            None => choice(&partial),
        };
        let (name, found): (_, Vec<_>) = (&found.name, found.versions.keys().copied().collect());
        let chosen = repository::choose(&found, &choice)?;
        for astray in Plan::from(&partial).astray(&chosen) {
            let message = format!("model '{}': {astray}", name.escape_debug());
            self.services.log.write(LogLevel::Warning, &message);
        }
        Ok((partial, chosen))
    }
}

/// Which versions a config wants to be served.
pub(super) fn choice(partial: &PartialConfig) -> Choice {
    match partial.version_policy.clone().unwrap_or_default() {
        VersionPolicy::Latest(count) => Choice::Latest(count),
        VersionPolicy::All => Choice::All,
        VersionPolicy::Specific(versions) => Choice::Specific(versions),
    }
}

/// Whether what is loaded came from the same content.
fn same_files(current: &Served, source: &Source) -> bool {
    match (&current.weights.mark, source.mark()) {
        (Some(old), Some(new)) => old.is_of_same_content(&new),
        _ => false,
    }
}

/// A version that is loaded when others have gone.
fn replaces((version, loaded): &(u64, Loaded)) -> Option<New> {
    match loaded {
        Loaded::Replaces(served) => Some(New::of(*version, served.clone())),
        _ => None,
    }
}

/// What was loaded is not what lies there now.
fn discard(loaded: &mut Loaded, serving: &[(u64, Served)]) {
    if let Some(served) = std::mem::replace(loaded, Loaded::Failed(CHANGED)).served()
        && !serving.iter().any(|(_, own)| own.is(&served))
    {
        served.lane.begin_stop();
        served.end_stop();
    }
}
