//! One backend of one server: its table, its state, and the engine that it sees. Any thread.

use super::Surroundings;
use super::host::HOST;
use super::memory::Foreign;
use super::table::Table;
use crate::memory::BlockPool;
use inferlay_backend_sdk::Error;
use inferlay_backend_sdk::abi::{inferlay_abi_engine, result};
use std::ffi::c_void;
use std::ptr::null_mut;
use std::sync::Arc;

/// Held by everything that is of the backend; the last one to go ends it.
pub(super) struct Core {
    pub(super) table: Table,
    pub(super) state: *mut c_void,
    pub(super) engine: Box<Engine>,
    /// Counts of memory that the plugin has handed over.
    pub(super) foreign: Arc<Foreign>,
    /// Memory that outputs are copied or written into.
    pub(super) blocks: BlockPool,
}

/// What lies behind `inferlay_abi_engine`.
pub(super) struct Engine {
    pub(super) surroundings: Surroundings,
    /// Where the backend was loaded from; empty for a table in memory.
    pub(super) directory: String,
    /// The options of the backend, as JSON; empty for none.
    pub(super) options: String,
}

// SAFETY: the plugin lets any thread use its state, as the ABI says; the rest is of types that any thread may use.
unsafe impl Send for Core {}
// SAFETY: as for `Send`.
unsafe impl Sync for Core {}

impl Core {
    /// Begins the backend's work for a server.
    ///
    /// # Errors
    /// What its `backend_new` says.
    pub(super) fn begin(table: Table, engine: Engine) -> Result<Arc<Self>, Error> {
        let engine = Box::new(engine);
        let mut state = null_mut();
        if let Some(backend_new) = table.functions.backend_new {
            // SAFETY: the table passed its handshake; host and engine outlive the core, which ends with `backend_free`.
            let status = unsafe { backend_new(&raw const HOST, engine.handle(), &raw mut state) };
            // SAFETY: the status is ours.
            unsafe { result(status) }.map_err(|error| error.at("backend_new"))?;
        }
        Ok(Arc::new(Core { table, state, engine, foreign: Foreign::new(), blocks: BlockPool::new() }))
    }
}

impl Drop for Core {
    fn drop(&mut self) {
        if let Some(backend_free) = self.table.functions.backend_free {
            // SAFETY: everything of the backend held this core, and is gone.
            unsafe { backend_free(self.state) };
        }
        self.foreign.close();
    }
}

impl Engine {
    pub(super) fn handle(&self) -> *const inferlay_abi_engine {
        std::ptr::from_ref(self).cast()
    }

    /// # Safety
    /// `handle` came from [`Engine::handle`], and the engine is still there.
    pub(super) unsafe fn of<'a>(handle: *const inferlay_abi_engine) -> &'a Engine {
        // SAFETY: the caller's promise.
        unsafe { &*handle.cast() }
    }
}
