//! A witness of accesses: under loom it proves that the ones that must not overlap are ordered; else it is nothing.
//!
//! [`super::Slot`] and [`super::Pool`] hand memory from thread to thread by protocols of their own. A witness lies beside
//! such memory and is told of each access; loom then fails the model in which two of them race.

/// What is told of accesses.
#[cfg(not(loom))]
pub(super) struct Witness;

#[cfg(not(loom))]
impl Witness {
    pub(super) fn new() -> Self {
        Witness
    }

    /// The memory is read by whoever shares it.
    #[inline(always)]
    pub(super) fn shared(&self) {}

    /// The memory belongs to the calling thread alone.
    #[inline(always)]
    pub(super) fn exclusive(&self) {}
}

/// What is told of accesses.
#[cfg(loom)]
pub(super) struct Witness(loom::cell::UnsafeCell<()>);

// SAFETY: nothing is behind the pointer; loom's bookkeeping is for use from every thread of a model.
#[cfg(loom)]
unsafe impl Sync for Witness {}

#[cfg(loom)]
impl Witness {
    pub(super) fn new() -> Self {
        Witness(loom::cell::UnsafeCell::new(()))
    }

    pub(super) fn shared(&self) {
        self.0.with(|_| ());
    }

    pub(super) fn exclusive(&self) {
        self.0.with_mut(|_| ());
    }
}
