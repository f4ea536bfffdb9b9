//! Memory that a backend writes one output into, lent once per batch.

use super::{Block, Lent};
use inferlay_backend_sdk::Buffer;
use std::cell::OnceCell;

/// Where an output is written: a block of the engine, or memory that a blocked caller lent.
pub(crate) enum Target {
    /// The engine's own.
    Block(Block),
    /// The caller's.
    Lent(Lent),
}

/// A target that can be set once and is then lent for writing, exclusively, as long as this lives.
#[derive(Default)]
pub(crate) struct WriteOnce(OnceCell<Target>);

impl WriteOnce {
    /// Sets the target and lends its memory. `None` when it was set before.
    #[allow(clippy::mut_from_ref, reason = "the first call alone succeeds, so there is one exclusive borrow")]
    pub(crate) fn lend(&self, target: Target) -> Option<&mut [u8]> {
        let (pointer, len) = match &target {
            Target::Block(block) => (block.pointer(), block.len()),
            Target::Lent(lent) => (lent.pointer(), lent.len()),
        };
        self.0.set(target).ok()?;
        // SAFETY: the target owns `len` initialised bytes at `pointer` exclusively and stays in this cell; it was set
        // just now, which happens once, so no second borrow is lent; `take` borrows the cell exclusively.
        Some(unsafe { std::slice::from_raw_parts_mut(pointer.as_ptr(), len) })
    }

    /// Whether the target was set.
    pub(crate) fn is_set(&self) -> bool {
        self.0.get().is_some()
    }

    /// What was written, to be shared; the cell can be set anew. `None` when nothing was lent.
    pub(crate) fn take(&mut self) -> Option<Buffer> {
        Some(match self.0.take()? {
            Target::Block(block) => block.share(),
            Target::Lent(lent) => lent.share(),
        })
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::super::BlockPool;
    use super::*;

    #[test]
    fn memory_is_lent_once_and_then_shared() {
        let pool = BlockPool::new();
        let mut cell = WriteOnce::default();
        cell.lend(Target::Block(pool.take(2).unwrap())).unwrap().copy_from_slice(&[1, 2]);
        assert!(cell.lend(Target::Block(pool.take(2).unwrap())).is_none());
        assert_eq!(cell.take().unwrap().bytes().unwrap(), [1, 2]);
        assert!(cell.take().is_none());
    }
}
