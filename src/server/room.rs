//! Room that a model takes, for as long as anything of it is in memory.
//!
//! Invariant: room is given back after the model is freed, whoever held it last: its version, an instance that was on its way
//! out, or somebody who looked at it.

use super::paging::Pager;
use inferlay_backend_sdk::{Error, Instance, InstanceSpec, Model, Placement, Signature};
use std::sync::Arc;

/// Room that a model takes; given back when it is dropped.
pub(super) struct Room {
    pager: Arc<Pager>,
    id: RoomId,
}

/// Which room it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct RoomId(pub(super) u64);

impl Room {
    pub(super) fn new(pager: Arc<Pager>, id: RoomId) -> Self {
        Room { pager, id }
    }

    /// The model that it was taken for, which holds it from now on.
    pub(super) fn hold(self, model: Arc<dyn Model>) -> (Arc<dyn Model>, RoomId) {
        let id = self.id;
        (Arc::new(Resident { model, _room: self }), id)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        self.pager.give_back(self.id);
    }
}

/// A model with its room.
struct Resident {
    model: Arc<dyn Model>,
    /// After the model, which is freed first.
    _room: Room,
}

impl Model for Resident {
    fn signature(&self) -> &Signature {
        self.model.signature()
    }

    fn instance(&self, spec: &InstanceSpec) -> Result<Box<dyn Instance>, Error> {
        self.model.instance(spec)
    }

    fn is_decoupled(&self) -> bool {
        self.model.is_decoupled()
    }

    fn memory_use(&self) -> Vec<(Placement, usize)> {
        self.model.memory_use()
    }

    fn trim(&self) {
        self.model.trim();
    }
}
