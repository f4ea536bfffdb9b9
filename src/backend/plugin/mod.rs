//! A backend behind a C table, as the engine's own kind of backend.
//!
//! ```text
//!   table    handshake: sizes, versions, required functions -> what is called afterwards
//!   core     one backend of one server: its state and the engine that it sees
//!     backend, model, instance                the SDK's traits over the table        engine -> plugin
//!     host                                    the table of the engine's functions    plugin -> engine
//!       source, batch, request, responder     what they do
//!       memory                                descriptors to tensors and back
//! ```
//!
//! A table comes from a shared library, see [`super::dynamic`], or from memory, see [`TrustedTable`].
//!
//! Invariants: 1. nothing of a table is called before its handshake; 2. `backend_free` comes after every model, instance,
//! taken request and output of the backend is gone, each of which holds its [`core::Core`]; 3. every function that a
//! plugin calls contains panics; 4. what a plugin says is checked before it is believed, except for its pointers.
//! Functions run on whatever thread the engine or the plugin calls them.

mod backend;
mod batch;
mod core;
mod host;
mod instance;
mod memory;
mod model;
mod refusal;
mod request;
mod responder;
mod source;
mod table;
#[cfg(all(test, not(loom)))]
mod tests;

use crate::observe::Log;
use crate::sync::Clock;
use inferlay_backend_sdk::abi::inferlay_abi_backend;
use inferlay_backend_sdk::{Backend, Error};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

pub(crate) use host::HOST;

/// What a server gives every plugin.
#[derive(Clone)]
pub(crate) struct Surroundings {
    pub(crate) log: Arc<Log>,
    pub(crate) clock: Clock,
    pub(crate) threads_max: usize,
    /// The options of single backends.
    pub(crate) options: Arc<BackendOptions>,
}

/// Options by the name of the backend and their own.
pub(crate) type BackendOptions = BTreeMap<String, BTreeMap<String, String>>;

/// A table that keeps its promises: from a shared library, or registered in memory by the application.
#[derive(Clone, Copy)]
pub(crate) struct TrustedTable(*const inferlay_abi_backend);

// SAFETY: a table is a constant.
unsafe impl Send for TrustedTable {}
// SAFETY: as for `Send`.
unsafe impl Sync for TrustedTable {}

impl TrustedTable {
    /// Trusts a table.
    ///
    /// # Safety
    /// `table` is null or points to a table that keeps the promises of its type for as long as the process runs.
    pub(crate) unsafe fn new(table: *const inferlay_abi_backend) -> Self {
        TrustedTable(table)
    }

    /// The table of a backend in Rust, for tests.
    #[cfg(all(test, not(loom)))]
    pub(crate) fn of<B: Backend + Default + 'static>() -> Self {
        use inferlay_backend_sdk::abi::Table;
        let table: &'static Table = Box::leak(Box::new(Table::new::<B>()));
        TrustedTable(table.table())
    }

    /// Begins the backend's work for one server. A table without an origin is one in memory.
    ///
    /// # Errors
    /// What is wrong with the table, or what its `backend_new` says.
    pub(crate) fn begin(
        self,
        origin: Option<Origin<'_>>,
        surroundings: Surroundings,
    ) -> Result<Arc<dyn Backend>, Error> {
        let (place, directory) = match &origin {
            Some(Origin { file, .. }) => (format!("'{}'", file.display()), file.parent().and_then(Path::to_str)),
            None => ("a backend in memory".to_owned(), None),
        };
        // SAFETY: the promise of `new`.
        let table = unsafe { table::Table::read(self.0) }.map_err(|error| error.at(&place))?;
        if let Some(Origin { name, .. }) = origin.filter(|origin| origin.name != table.name) {
            let found = table.name;
            return Err(Error::unsupported(format!(
                "{place}: found the table of backend '{found}', expected '{name}'"
            )));
        }
        let options = surroundings.options.get(table.name);
        let options = options.map(serde_json::to_string).transpose();
        let options = options.map_err(|error| Error::internal(error.to_string()))?.unwrap_or_default();
        let engine = core::Engine { surroundings, directory: directory.unwrap_or_default().to_owned(), options };
        let core = core::Core::begin(table, engine).map_err(|error| error.at(&place))?;
        Ok(Arc::new(backend::PluginBackend::new(core)))
    }
}

/// Which library a table is from, and what backend it should be.
#[derive(Clone, Copy)]
pub(crate) struct Origin<'a> {
    pub(crate) file: &'a Path,
    pub(crate) name: &'a str,
}
