//! Another config for what is served already: loaded again only where nothing less will do.
//!
//! ```text
//!   the same files, and a config that differs   | not paged, or in memory           | paged, and not in memory
//!     in what is said of versions               | stays                             | stays
//!     in the number of instances                | more or fewer in the same lane    | as many, when it is loaded
//!     in what a lane does                       | another lane over what is loaded  | another lane that dozes
//!     in what the backend was told              | loaded anew                       | loaded anew
//! ```
//!
//! Invariants: 1. What is made ready here changes what serves when its config has come to serve, or not at all. 2. What is
//! paged is loaded by the config that it is served by, and comes from the files that its config was read with. 3. A version
//! gets other instances in no moment in which it goes: those of one that went would keep its memory.
//!
//! Runs on loading threads, between the jobs of a model, so that what is not in memory does not come meanwhile.

use super::Inner;
use super::catalog::Entry;
use super::labels;
use super::load;
use super::served::{Origin, Served, Source};
use super::warmup::warm_up;
use crate::config::{InstanceGroup, ModelConfig};
use crate::flow::{INSTANCES_MAX, InstanceCell, Lane};
use inferlay_backend_sdk::{Device, Error, InstanceSpec, Model, Signature};
use std::sync::Arc;

/// What a changed config means for what is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Change {
    Nothing,
    /// Another number of instances.
    Instances,
    /// Another queue, policy or timeout.
    Lane,
    /// What the backend was told is different.
    Model,
}

impl Change {
    fn of(old: &ModelConfig, new: &ModelConfig) -> Self {
        let mut like = old.clone();
        like.version_policy = new.version_policy.clone();
        like.version_labels = new.version_labels.clone();
        (like.traffic, like.shadow) = (new.traffic.clone(), new.shadow);
        like.swap = new.swap;
        if like == *new {
            return Change::Nothing;
        }
        // Those that are passive are in no lane that could grow or shrink.
        let shape = |group: &InstanceGroup| {
            let passive = group.is_passive.then_some(group.count);
            (group.kind, group.gpus.clone(), passive, group.carried.clone())
        };
        let resized = |groups: &ModelConfig| groups.instance_groups.iter().map(shape).collect::<Vec<_>>();
        if resized(&like) == resized(new) {
            like.instance_groups = new.instance_groups.clone();
            if like == *new {
                return Change::Instances;
            }
        }
        like.instance_groups = new.instance_groups.clone();
        like.dynamic_batching = new.dynamic_batching.clone();
        like.queue_size_max = new.queue_size_max;
        like.default_timeout_us = new.default_timeout_us;
        like.execution_timeout_us = new.execution_timeout_us;
        (like.timeout_action, like.allow_timeout_override) = (new.timeout_action, new.allow_timeout_override);
        like.caller_runs = new.caller_runs;
        like.metric_tags = new.metric_tags.clone();
        like.metrics = new.metrics.clone();
        like.response_credit_max = new.response_credit_max;
        if like == *new { Change::Lane } else { Change::Model }
    }
}

/// Instances that come to a lane, or leave it.
struct Resize {
    #[allow(clippy::vec_box, reason = "a cell changes hands as a box")]
    more: Vec<Box<InstanceCell>>,
    wanted: usize,
    /// Outlives what is done to the lane: nothing of it is freed in a moment in which nobody goes.
    _model: Arc<dyn Model>,
}

impl Resize {
    /// Those that leave.
    #[allow(clippy::vec_box, reason = "a cell changes hands as a box")]
    fn apply(&mut self, lane: &Arc<Lane>) -> Vec<Box<InstanceCell>> {
        self.more.drain(..).for_each(|cell| lane.add_instance(cell));
        lane.shrink_to(self.wanted)
    }
}

/// A version under another config, and what is left to do when that has come to serve. Dropped when it does not.
pub(super) struct Adapted {
    pub(super) served: Served,
    /// Where it is loaded from from then on, if it is paged.
    origin: Option<Origin>,
    resize: Option<Resize>,
}

impl Adapted {
    /// Its config has come to serve.
    pub(super) fn settle(mut self, inner: &Arc<Inner>, entry: &Arc<Entry>) {
        let Served { lane, weights, .. } = &self.served;
        if let Some(origin) = self.origin.take() {
            weights.adopt(origin);
        }
        let resize = self.resize.as_mut();
        let Some(pager) = inner.pager.as_ref().filter(|_| weights.is_paged) else {
            return drop(resize.map(|resize| resize.apply(lane)));
        };
        if let Some(room) = weights.room() {
            pager.hand_over(room, &self.served, inner.demand(entry, &self.served));
        }
        let leaving = pager.keeping_all(|| {
            // One that has gone meanwhile comes back as its new config says.
            let resize = resize.filter(|_| !lane.is_dozing());
            resize.map(|resize| resize.apply(lane))
        });
        drop(leaving);
    }
}

impl Inner {
    /// The same files under a config that may have changed: what is loaded is kept, where that will do.
    ///
    /// # Errors
    /// What is wrong with the config, or keeps an instance from being made.
    pub(super) fn adapt(
        self: &Arc<Self>,
        entry: &Arc<Entry>,
        current: &Served,
        source: &Source,
    ) -> Result<Option<Adapted>, Error> {
        // A config decides what is done with the weights, and is sealed as they are.
        self.options.trust.admit(&source.found, source.version)?;
        let model = current.weights.model();
        // One that does not fit what is loaded may fit what its backend makes of it anew, which else says why not.
        let Some(config) = completed(current, model.as_ref(), source) else { return Ok(None) };
        // What nobody would bring into memory is loaded now.
        let is_pinned = self.pager.as_ref().is_some_and(|pager| pager.is_pinned(entry.name()));
        if model.is_none() && (is_pinned || config.active_len() == 0) {
            return Ok(None);
        }
        // Labels are a lane's, and their file may change where the config does not.
        let is_labelled = labels::are_those_of(&current.lane.spec, &labels::read(&config, source.around())?);
        // Those that were lost come back.
        let lacks = !current.lane.is_dozing() && current.lane.instances_len() < current.config.active_len();
        let least = if lacks { Change::Instances } else { Change::Nothing };
        let least = if is_labelled { least } else { Change::Lane };
        let change = Change::of(&current.config, &config).max(least);
        let config = Arc::new(config);
        let origin = current.weights.is_paged.then(|| Origin::new(source.clone(), &config));
        let served = Served { config: config.clone(), ..current.clone() };
        Ok(match (change, model) {
            (Change::Nothing, _) => Some(Adapted { served, origin, resize: None }),
            (Change::Instances, model) => {
                let resize = self.resize(current, model.as_ref(), &config, source)?;
                // A lane that has lost its last instance meanwhile takes no other: it is loaded anew.
                (!current.lane.is_stuck()).then_some(Adapted { served, origin, resize })
            }
            (Change::Lane, _) => {
                let served = self.another_lane(entry, current, config, (source, origin))?;
                Some(Adapted { served, origin: None, resize: None })
            }
            (Change::Model, _) => None,
        })
    }

    /// Another number of instances, of a version that is in memory.
    fn resize(
        &self,
        current: &Served,
        model: Option<&Arc<dyn Model>>,
        config: &ModelConfig,
        source: &Source,
    ) -> Result<Option<Resize>, Error> {
        let lane = &current.lane;
        let (wanted, found) = (config.active_len(), lane.instances_len());
        if wanted > INSTANCES_MAX {
            return Err(Error::invalid_arg(format!("found {wanted} instances, expected at most {INSTANCES_MAX}")));
        }
        let Some(model) = model else { return Ok(None) };
        let active = config.instance_groups.iter().find(|group| !group.is_passive);
        let device = active.map_or(Ok(Device::Cpu), super::spec::device)?;
        let mut cells = Vec::new();
        for more in 0..wanted.saturating_sub(found) {
            let threads_max = self.options.execution_threads_max;
            let spec = InstanceSpec { index: lane.next_index() + more, device, threads_max };
            cells.push(load::cell(model, &spec, lane.spec.is_thread_bound)?);
        }
        let more = warm_up(config, source.beside(), &lane.spec, cells, &self.services)?;
        Ok(Some(Resize { more, wanted, _model: model.clone() }))
    }

    /// A lane over the same weights.
    fn another_lane(
        self: &Arc<Self>,
        entry: &Arc<Entry>,
        current: &Served,
        config: Arc<ModelConfig>,
        (source, origin): (&Source, Option<Origin>),
    ) -> Result<Served, Error> {
        let weights = current.weights.shared(source.mark(), origin);
        if weights.model().is_none() {
            return self.dozing(entry, (config, source.version), weights);
        }
        let served = load::serve(&self.services, &self.options, (config, source.version), weights, source.around())?;
        served.lane.set_load_ns(current.lane.load_ns());
        Ok(served)
    }
}

/// The config of a version, as its model completes it; of one that is not in memory, as far as that can be told.
pub(super) fn completed(current: &Served, model: Option<&Arc<dyn Model>>, source: &Source) -> Option<ModelConfig> {
    let backend = &current.config.backend;
    let complete = |source: &Source, is_decoupled: bool, signature: &Signature| {
        let mut partial = source.partial.clone();
        if partial.backend.as_ref().is_some_and(|other| other != backend) {
            return None;
        }
        partial.decoupled.get_or_insert(is_decoupled);
        source.complete(partial, backend, signature).ok()
    };
    if let Some(model) = model {
        return complete(source, model.is_decoupled(), model.signature());
    }
    // What it serves by stands for the model, if that leads from the config that it was loaded by to what it serves by.
    let (origin, signature) = (current.weights.origin()?, load::stated(&current.config));
    let of = |source: &Source| complete(source, current.config.decoupled, &signature);
    if of(&origin.source)? == *origin.config { of(source) } else { None }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::config::{CallerRuns, DynamicBatching, Swap, VersionPolicy};
    use inferlay_backend_sdk::DataType;

    #[test]
    fn a_changed_config_costs_no_more_than_it_must() {
        let old = || ModelConfig::new("m").input("x", DataType::Fp32, [2]).max_batch_size(8);
        let group =
            |count, is_passive| InstanceGroup { count, is_passive, name: count.to_string(), ..Default::default() };
        let passive = |count| ModelConfig { instance_groups: vec![group(1, false), group(count, true)], ..old() };
        assert_eq!(Change::of(&passive(1), &passive(2)), Change::Lane);
        let rows = [
            (old(), Change::Nothing),
            (ModelConfig { version_policy: VersionPolicy::All, ..old() }, Change::Nothing),
            (ModelConfig { shadow: Some(2), traffic: [(1, 9)].into(), ..old() }, Change::Nothing),
            (ModelConfig { version_labels: [("a".to_owned(), 1)].into(), ..old() }, Change::Nothing),
            (ModelConfig { swap: Swap::Replace, ..old() }, Change::Nothing),
            (old().instances(3), Change::Instances),
            (old().queue_size_max(7), Change::Lane),
            (old().instances(3).dynamic_batching(DynamicBatching::default()), Change::Lane),
            (old().default_timeout_us(5).caller_runs(CallerRuns::Never), Change::Lane),
            (passive(1), Change::Lane),
            (old().max_batch_size(9), Change::Model),
            (old().parameter("threads", "2"), Change::Model),
            (old().instances(3).input("y", DataType::Fp32, [2]), Change::Model),
        ];
        for (new, change) in rows {
            assert_eq!(Change::of(&old(), &new), change, "{new:?}");
        }
    }
}
