//! The trivial gate: everybody may enter, and the number inside is known.

use crate::flow::Gate;
use crate::sync::{AtomicUsize, Ordering};

/// Lets every execution in.
pub(super) struct OpenGate {
    inside: AtomicUsize,
}

impl OpenGate {
    pub(super) fn new() -> Self {
        OpenGate { inside: AtomicUsize::new(0) }
    }
}

impl Gate for OpenGate {
    fn enter(&self) {
        self.inside.fetch_add(1, Ordering::Relaxed);
    }

    fn leave(&self) {
        self.inside.fetch_sub(1, Ordering::Relaxed);
    }
}
