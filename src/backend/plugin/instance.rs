//! The instance of a plugin: one execution at a time, on whatever thread the engine chooses.

use super::batch::PluginBatch;
use super::memory::Aligned;
use super::model::Loaded;
use super::request::PluginRequest;
use inferlay_backend_sdk::abi::{
    inferlay_abi_instance, inferlay_abi_instance_spec, inferlay_abi_request, placement, result,
};
use inferlay_backend_sdk::{Batch, Error, Instance, InstanceSpec, MemoryKind, Placement};
use std::ffi::c_void;
use std::ptr::null_mut;
use std::sync::Arc;

pub(super) struct PluginInstance {
    loaded: Arc<Loaded>,
    state: *mut c_void,
    /// What lies behind `inferlay_abi_instance`: an address that is its own.
    _host: Box<Site>,
    /// The requests of the batch that is executed, and their handles; kept for their capacity.
    requests: Vec<PluginRequest>,
    handles: Vec<*const inferlay_abi_request>,
}

/// The host's side of an instance, which says nothing yet.
struct Site {
    _index: usize,
}

// SAFETY: the ABI lets an instance move between threads; the lists are empty between executions.
unsafe impl Send for PluginInstance {}

impl PluginInstance {
    /// Makes an instance of a model.
    ///
    /// # Errors
    /// What the plugin says.
    pub(super) fn new(loaded: &Arc<Loaded>, spec: &InstanceSpec) -> Result<Self, Error> {
        let host = Box::new(Site { _index: spec.index });
        let mut state = null_mut();
        if let Some(instance_new) = loaded.core.table.functions.instance_new {
            let device = Placement { kind: MemoryKind::Host, device: spec.device };
            let spec = inferlay_abi_instance_spec {
                struct_size: size_of::<inferlay_abi_instance_spec>() as u32,
                index: spec.index as u32,
                placement: placement(device),
                threads_max: spec.threads_max as u32,
                reserved: 0,
                group: super::source::NO_TEXT,
            };
            let site: *const inferlay_abi_instance = std::ptr::from_ref(&*host).cast();
            // SAFETY: the model is there: it is asked for the instance, and outlives it.
            let status = unsafe { instance_new(loaded.state, site, &raw const spec, &raw mut state) };
            // SAFETY: the status is ours.
            unsafe { result(status) }?;
        }
        let (requests, handles) = (Vec::new(), Vec::new());
        Ok(PluginInstance { loaded: loaded.clone(), state, _host: host, requests, handles })
    }
}

impl Instance for PluginInstance {
    fn execute(&mut self, batch: &dyn Batch) -> Result<(), Error> {
        let PluginInstance { loaded, state, requests, handles, .. } = self;
        // The handshake saw it.
        let Some(execute) = loaded.core.table.functions.execute else { return Err(Error::internal("no 'execute'")) };
        let lent = PluginBatch { batch, loaded, aligned: Aligned::default() };
        let place = std::ptr::from_ref(&lent).cast();
        requests.clear();
        requests.extend((0..batch.len()).map(|index| PluginRequest::InBatch { batch: place, index }));
        handles.clear();
        handles.extend(requests.iter().map(PluginRequest::handle));
        // SAFETY: the batch and its requests are valid during the call; `&mut self` makes it the only one.
        let status = unsafe { execute(*state, handles.as_ptr(), handles.len() as u32, lent.handle()) };
        requests.clear();
        handles.clear();
        // SAFETY: the status is ours.
        unsafe { result(status) }
    }

    fn batches_in_flight_max(&self) -> usize {
        match self.loaded.core.table.functions.batches_in_flight_max {
            // SAFETY: the instance is there.
            Some(batches_in_flight_max) => unsafe { batches_in_flight_max(self.state) }.max(1) as usize,
            None => 1,
        }
    }
}

impl Drop for PluginInstance {
    fn drop(&mut self) {
        if let Some(instance_free) = self.loaded.core.table.functions.instance_free {
            // SAFETY: no execution is under way, as there is no other owner.
            unsafe { instance_free(self.state) };
        }
    }
}
