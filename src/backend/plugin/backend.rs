//! The backend of a table. Any thread.

use super::core::Core;
use super::host::HOST;
use super::model::{PluginModel, report};
use super::source::PluginSource;
use inferlay_backend_sdk::abi::result;
use inferlay_backend_sdk::{Attributes, Backend, Error, Model, ModelSource, Placement};
use std::ptr::null_mut;
use std::sync::Arc;

pub(super) struct PluginBackend {
    core: Arc<Core>,
}

impl PluginBackend {
    pub(super) fn new(core: Arc<Core>) -> Self {
        PluginBackend { core }
    }
}

impl Backend for PluginBackend {
    fn name(&self) -> &str {
        self.core.table.name
    }

    fn version(&self) -> &str {
        self.core.table.version
    }

    fn file_names(&self) -> &[&str] {
        &self.core.table.file_names
    }

    fn attributes(&self) -> Attributes {
        self.core.table.attributes
    }

    fn load(&self, source: &ModelSource<'_>) -> Result<Box<dyn Model>, Error> {
        // The handshake saw it.
        let Some(model_new) = self.core.table.functions.model_new else {
            return Err(Error::internal("no 'model_new'"));
        };
        let lent = PluginSource::new(source);
        let mut state = null_mut();
        let (engine, host) = (self.core.engine.handle(), &raw const HOST);
        // SAFETY: the table passed its handshake; the source is valid during the call.
        let status = unsafe { model_new(self.core.state, host, engine, lent.handle(), &raw mut state) };
        // SAFETY: the status is ours.
        unsafe { result(status) }?;
        Ok(Box::new(PluginModel::new(self.core.clone(), state, source)?))
    }

    fn memory_estimate(&self, source: &ModelSource<'_>) -> Result<Vec<(Placement, usize)>, Error> {
        let mut uses: Vec<(Placement, usize)> = Vec::new();
        let Some(model_memory_estimate) = self.core.table.functions.model_memory_estimate else { return Ok(uses) };
        let lent = PluginSource::new(source);
        // SAFETY: the source is valid during the call, and `report` gets the vector for it.
        let status = unsafe { model_memory_estimate(self.core.state, lent.handle(), report, (&raw mut uses).cast()) };
        // SAFETY: the status is ours.
        unsafe { result(status) }?;
        Ok(uses)
    }
}
