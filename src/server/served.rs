//! A version that serves: its lane, its config, and what its backend has loaded, each replaceable while the others live.
//!
//! Handles and requests hold the lane; what was loaded is held here alone (beside the instances), so that it is freed when
//! the version retires or goes to make room, whoever still holds a handle. Where it is loaded from again goes with it when it
//! retires.

use super::budget::Use;
use super::labels::Around;
use super::load;
use super::room::RoomId;
use crate::backend::Line;
use crate::config::{ConfigErrors, ModelConfig, PartialConfig};
use crate::flow::{Lane, Ledger};
use crate::repository::{FoundModel, Mark};
use crate::sync::Mutex;
use inferlay_backend_sdk::{Attributes, Model, ModelFiles, Signature};
use std::sync::Arc;

/// A version that serves.
#[derive(Clone)]
pub(super) struct Served {
    pub(super) lane: Arc<Lane>,
    pub(super) config: Arc<ModelConfig>,
    pub(super) weights: Arc<Weights>,
    /// Of a model whose batches are pulled, where they wait.
    pub(super) line: Option<Arc<Line>>,
}

/// What a backend has loaded for a version. Handles keep their lane for as long as they like, but not this.
pub(super) struct Weights {
    held: Mutex<Held>,
    pub(super) attributes: Attributes,
    /// What tells the files that it was loaded from from others.
    pub(super) mark: Option<Mark>,
    /// Whether it may go to make room, and come back.
    pub(super) is_paged: bool,
    /// Where it is loaded from again, if it is paged and was not let go for good.
    origin: Mutex<Option<Origin>>,
    /// What its lanes have counted.
    pub(super) ledger: Arc<Ledger>,
}

#[derive(Clone, Default)]
struct Held {
    /// The model, and which room it holds.
    model: Option<(Arc<dyn Model>, Option<RoomId>)>,
    /// What it did use when it was last in memory, or is thought to.
    used: Option<Use>,
    /// When it last went to make room; 0: never.
    went: u64,
}

/// Where a version is loaded from again, and by which config it serves then.
#[derive(Clone)]
pub(super) struct Origin {
    pub(super) source: Arc<Source>,
    pub(super) config: Arc<ModelConfig>,
}

impl Origin {
    pub(super) fn new(source: Source, config: &Arc<ModelConfig>) -> Self {
        Origin { source: Arc::new(source), config: config.clone() }
    }
}

/// Where a version is loaded from.
#[derive(Clone)]
pub(super) struct Source {
    pub(super) found: Arc<FoundModel>,
    pub(super) version: u64,
    pub(super) partial: PartialConfig,
}

impl Source {
    pub(super) fn mark(&self) -> Option<Mark> {
        self.found.mark(self.version)
    }

    /// The complete config, from what the model says. Its name is the folder's, as far as its text goes, and then the one that
    /// it is served under.
    ///
    /// # Errors
    /// All contradictions at once.
    pub(super) fn complete(
        &self,
        partial: PartialConfig,
        backend: &str,
        signature: &Signature,
    ) -> Result<ModelConfig, ConfigErrors> {
        let config = partial.complete(&self.found.own_name, backend, signature)?;
        Ok(ModelConfig { name: self.found.name.clone(), ..config })
    }

    /// What lies beside the versions.
    pub(super) fn beside(&self) -> Option<&dyn ModelFiles> {
        self.found.beside.as_deref()
    }

    /// What labels and data for warming up are read from.
    pub(super) fn around(&self) -> Around<'_> {
        Around { beside: self.beside(), version: self.files() }
    }

    pub(super) fn files(&self) -> Option<&dyn ModelFiles> {
        self.found.versions.get(&self.version).map(|files| &**files)
    }
}

impl Weights {
    pub(super) fn new(model: Arc<dyn Model>, attributes: Attributes, mark: Option<Mark>) -> Arc<Self> {
        Self::counting(model, attributes, mark, Arc::default())
    }

    /// Of a model that served before, whose counts go on.
    pub(super) fn counting(
        model: Arc<dyn Model>,
        attributes: Attributes,
        mark: Option<Mark>,
        ledger: Arc<Ledger>,
    ) -> Arc<Self> {
        let (held, origin) = (Held { model: Some((model, None)), ..Held::default() }, Mutex::default());
        Arc::new(Weights { held: Mutex::new(held), attributes, mark, is_paged: false, origin, ledger })
    }

    /// Of a version that is not in memory yet.
    pub(super) fn paged(origin: Origin, attributes: Attributes) -> Arc<Self> {
        let (mark, held) = (origin.source.mark(), Mutex::default());
        let origin = Mutex::new(Some(origin));
        Arc::new(Weights { held, attributes, mark, is_paged: true, origin, ledger: Arc::default() })
    }

    /// The same once more, not in memory: of what is to come back. Not of what was let go for good.
    pub(super) fn again(&self) -> Option<Arc<Self>> {
        let (origin, used) = (Mutex::new(Some(self.origin()?)), self.used());
        let (mark, held) = (self.mark.clone(), Mutex::new(Held { used, ..Held::default() }));
        let (attributes, ledger) = (self.attributes, self.ledger.clone());
        Some(Arc::new(Weights { held, attributes, mark, is_paged: true, origin, ledger }))
    }

    /// For another lane over what is loaded, which has it for as long as any of them.
    pub(super) fn shared(&self, mark: Option<Mark>, origin: Option<Origin>) -> Arc<Self> {
        let held = self.held.lock().clone();
        let (attributes, is_paged, ledger) = (self.attributes, self.is_paged, self.ledger.clone());
        let (held, origin) = (Mutex::new(held), Mutex::new(origin));
        Arc::new(Weights { held, attributes, mark, is_paged, origin, ledger })
    }

    /// The model, unless it was let go.
    pub(super) fn model(&self) -> Option<Arc<dyn Model>> {
        self.held.lock().model.as_ref().map(|(model, _)| model.clone())
    }

    /// What it did use when it was last in memory; if it never was, what it is thought to, which is asked for once.
    pub(super) fn used_or(&self, think: impl FnOnce() -> Use) -> Use {
        let used = self.used();
        used.unwrap_or_else(|| {
            // Not under the lock: the backend is asked.
            let thought = think();
            self.held.lock().used.get_or_insert(thought).clone()
        })
    }

    fn used(&self) -> Option<Use> {
        self.held.lock().used.clone()
    }

    /// It is in memory. When it went, if it ever did.
    pub(super) fn come_back(&self, model: Arc<dyn Model>, room: RoomId) -> u64 {
        let mut held = self.held.lock();
        let gone = held.model.replace((model, Some(room)));
        let went = held.went;
        drop(held);
        drop(gone);
        went
    }

    /// What it really uses of the room that it was given: what its backend reports, else what is `thought`.
    pub(super) fn settle(&self, thought: Use, settle: impl FnOnce(RoomId, &Use)) {
        // Not under the lock: the backend is asked.
        let Some(reported) = self.model().map(|model| Use::of(&model.memory_use())) else { return };
        let mut held = self.held.lock();
        let used = if reported.is_empty() { thought } else { reported };
        if let Some((_, Some(room))) = held.model {
            settle(room, &used);
            held.used = Some(used);
        }
    }

    /// It gives back what it only caches, and what it uses then, if its backend says so, is told `correct`. What it used
    /// before is what it will use again.
    pub(super) fn trim(&self, correct: impl FnOnce(RoomId, &Use)) {
        let _used = self.count_after(|model| model.trim(), correct);
    }

    /// What it uses by now, if its backend says so, is told `correct`.
    pub(super) fn count_again(&self, correct: impl FnOnce(RoomId, &Use)) {
        if let Some(used) = self.count_after(|_| {}, correct) {
            self.held.lock().used = Some(used);
        }
    }

    fn count_after(&self, ask: impl FnOnce(&dyn Model), correct: impl FnOnce(RoomId, &Use)) -> Option<Use> {
        let model = self.model()?;
        // The backend's code, and no reason for another model to fail.
        let used = load::contained(|| {
            ask(&*model);
            Ok(Use::of(&model.memory_use()))
        });
        let used = used.ok().filter(|used| !used.is_empty())?;
        {
            let held = self.held.lock();
            let (_, room) = held.model.as_ref()?;
            correct((*room)?, &used);
        }
        // Not under the lock: it may be the last that holds the model.
        drop(model);
        Some(used)
    }

    /// It goes, if it has this room.
    pub(super) fn let_go_of(&self, room: RoomId, now: u64) {
        let gone = {
            let mut held = self.held.lock();
            held.went = now;
            held.model.take_if(|(_, own)| *own == Some(room))
        };
        drop(gone);
    }

    /// The room that it has, while it is in memory.
    pub(super) fn room(&self) -> Option<RoomId> {
        self.held.lock().model.as_ref().and_then(|(_, room)| *room)
    }

    /// Where it is loaded from again.
    pub(super) fn origin(&self) -> Option<Origin> {
        self.origin.lock().clone()
    }

    /// From now on it is loaded from there, unless it was let go for good.
    pub(super) fn adopt(&self, origin: Origin) {
        let mut own = self.origin.lock();
        let before = if own.is_some() { own.replace(origin) } else { None };
        drop(own);
        drop(before);
    }

    /// It goes for good, with where it came from, which may be memory as well; its room goes when nobody has anything of it
    /// any more.
    fn let_go(&self) {
        let gone = (self.held.lock().model.take(), self.origin.lock().take());
        drop(gone);
    }
}

impl Served {
    /// Answers what is left, lets the instances and the model go, and tells whoever pulls.
    pub(super) fn end_stop(&self) {
        self.lane.end_stop();
        self.weights.let_go();
        if let Some(line) = &self.line {
            line.end();
        }
    }

    pub(super) fn is(&self, other: &Served) -> bool {
        Arc::ptr_eq(&self.lane, &other.lane)
    }
}
