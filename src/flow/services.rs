//! What all lanes of a server share: time, threads, memory, the gate, the log and the traces.

use super::lane::Lane;
use super::messenger::Messenger;
use super::permit::Gate;
use super::timekeeper::Timekeeper;
use super::worker::Workers;
use crate::memory::BlockPool;
use crate::observe::{Log, Tracer};
use crate::sync::{Bells, Clock, Mutex};
use std::sync::{Arc, Weak};

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
    /// Who is told of lanes that get stuck.
    pub(crate) alarm: Mutex<Option<Arc<dyn Alarm>>>,
    /// Lanes that no catalog knows.
    pub(crate) unlisted: Unlisted,
}

/// Who wants to know of a lane that serves no more.
pub(crate) trait Alarm: Send + Sync {
    /// An execution passed the limit of its model, or its last instance is lost. Once for a lane; no lock is held. Must not
    /// wait.
    fn is_stuck(&self, lane: &Lane);
}

/// Lanes that no catalog knows, as they live for a few requests of the server's own: a stop ends them as it ends the others,
/// so that nobody waits for an answer that no worker is left to give.
#[derive(Default)]
pub(crate) struct Unlisted(Mutex<Temporary>);

#[derive(Default)]
struct Temporary {
    lanes: Vec<Weak<Lane>>,
    is_over: bool,
}

impl Unlisted {
    /// Whether `lane` may take requests: else everything has stopped.
    pub(crate) fn enlist(&self, lane: &Arc<Lane>) -> bool {
        let mut temporary = self.0.lock();
        if !temporary.is_over {
            temporary.lanes.push(Arc::downgrade(lane));
        }
        !temporary.is_over
    }

    /// It takes none any more.
    pub(crate) fn strike(&self, lane: &Arc<Lane>) {
        self.0.lock().lanes.retain(|other| !std::ptr::eq(other.as_ptr(), Arc::as_ptr(lane)));
    }

    /// Ends all there are, and lets no more in. Workers and messenger are still there.
    pub(crate) fn end(&self) {
        let lanes = {
            let mut temporary = self.0.lock();
            temporary.is_over = true;
            std::mem::take(&mut temporary.lanes)
        };
        for lane in lanes.iter().filter_map(Weak::upgrade) {
            lane.begin_stop();
            lane.end_stop();
        }
    }
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
