//! The one gate per device or CPU budget, through which every execution passes.
//!
//! Rate limits, fair sharing and thread budgets live here and nowhere else. The server implements [`Gate`]; the corridor
//! only enters and leaves.

/// Lets executions in.
pub(crate) trait Gate: Send + Sync {
    /// Waits until an execution may begin.
    fn enter(&self);

    /// An execution has ended.
    fn leave(&self);
}

/// The right to execute, until dropped.
pub(crate) struct Permit<'a>(&'a dyn Gate);

impl<'a> Permit<'a> {
    pub(crate) fn new(gate: &'a dyn Gate) -> Self {
        gate.enter();
        Permit(gate)
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.0.leave();
    }
}
