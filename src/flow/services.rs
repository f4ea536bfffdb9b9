//! What all lanes of a server share: time, threads, memory, the gate, the log and the traces.

use super::messenger::Messenger;
use super::permit::Gate;
use super::timekeeper::Timekeeper;
use super::worker::Workers;
use crate::memory::BlockPool;
use crate::observe::{Log, Tracer};
use crate::sync::{Bells, Clock};
use std::sync::Arc;

/// Shared by all lanes of a server.
pub(crate) struct Services {
    pub(crate) clock: Clock,
    pub(crate) workers: Workers,
    pub(crate) timekeeper: Timekeeper,
    pub(crate) messenger: Messenger,
    pub(crate) blocks: BlockPool,
    pub(crate) gate: Box<dyn Gate>,
    pub(crate) log: Arc<Log>,
    pub(crate) tracer: Tracer,
    pub(crate) tuning: Tuning,
    /// Rung by lanes that stop, when they may have nothing left.
    pub(crate) drained: Bells,
}

/// Numbers that trade one thing for another.
#[derive(Clone, Debug)]
pub(crate) struct Tuning {
    /// How many turns a thread spins before it sleeps, at most.
    pub(crate) spin_max: u32,
    /// Rows of an output up to this many bytes are copied into the response, so that a small answer does not keep a large
    /// buffer alive.
    pub(crate) small_output_len_max: usize,
    /// The most worker threads.
    pub(crate) workers_max: usize,
}

impl AsRef<BlockPool> for Services {
    fn as_ref(&self) -> &BlockPool {
        &self.blocks
    }
}

impl Services {
    /// Ends the threads, but for workers whose backends do not return. Every lane has stopped.
    pub(crate) fn stop(&self) {
        self.workers.stop();
        self.timekeeper.stop();
        self.messenger.stop();
    }
}
