//! The backends that are linked into the library.

use inferlay_backend_null::NullBackend;
use inferlay_backend_sdk::Backend;
use std::sync::Arc;

/// Every linked backend, in the order in which they are asked whether a file is theirs.
pub(crate) fn builtin() -> Vec<Arc<dyn Backend>> {
    vec![
        #[cfg(feature = "tract")]
        Arc::new(inferlay_backend_tract::TractBackend),
        Arc::new(NullBackend),
    ]
}
