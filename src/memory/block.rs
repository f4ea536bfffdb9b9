//! Pooled blocks of host memory.
//!
//! Sizes are rounded up to powers of two, from 64 bytes on; each size has a free list, so that taking and returning is
//! a pop and a push. What lies idle is bounded.
//!
//! Invariants: 1. a block is written by its one owner, or shared and immutable, never both; 2. the memory outlives every
//! `Buffer` over it; 3. a block on a free list has no owner.

use crate::sync::{AtomicUsize, Home, Ordering, Pool, Pooled};
use inferlay_backend_sdk::{Buffer, BufferTable, Placement};
use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::ptr::NonNull;
use std::sync::Arc;

const ALIGN: usize = 64;
const CLASSES: usize = 40;
/// How many bytes one size may keep idle; of a larger size, one block.
const IDLE_BYTES_MAX: usize = 64 << 20;

/// The pool of a server: one free list per power of two.
pub(crate) struct BlockPool {
    classes: Vec<Arc<Class>>,
    /// Bytes allocated from the system and not given back, idle ones included.
    bytes: Arc<AtomicUsize>,
}

/// The blocks of one size.
pub(crate) struct Class {
    pool: Pool<Class>,
    size: usize,
    bytes: Arc<AtomicUsize>,
}

/// Memory from the system, returned to it when dropped.
pub(crate) struct Memory {
    pointer: NonNull<u8>,
    /// 0 when the system had none.
    size: usize,
    bytes: Arc<AtomicUsize>,
}

// SAFETY: plain memory; who may touch it is decided by `Block` and `Buffer`.
unsafe impl Send for Memory {}
// SAFETY: as for `Send`.
unsafe impl Sync for Memory {}

impl Memory {
    fn new(size: usize, bytes: Arc<AtomicUsize>) -> Self {
        // Zeroed, because backends get to see it before they have written all of it.
        // SAFETY: the size is not zero: classes begin at 64 bytes.
        let pointer = unsafe { alloc_zeroed(layout(size)) };
        let Some(pointer) = NonNull::new(pointer) else {
            // A tensor that is too large for this machine is somebody's error, not the end of the process.
            return Memory { pointer: NonNull::dangling(), size: 0, bytes };
        };
        bytes.fetch_add(size, Ordering::Relaxed);
        Memory { pointer, size, bytes }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        if self.size == 0 {
            return;
        }
        // SAFETY: allocated in `new` with the same layout.
        unsafe { dealloc(self.pointer.as_ptr(), layout(self.size)) };
        self.bytes.fetch_sub(self.size, Ordering::Relaxed);
    }
}

fn layout(size: usize) -> Layout {
    match Layout::from_size_align(size, ALIGN) {
        Ok(layout) => layout,
        // Sizes are powers of two below `1 << CLASSES`, far from overflowing.
        Err(_) => unreachable!("a block of {size} bytes"),
    }
}

impl Home for Class {
    type Item = Memory;

    fn pool(&self) -> &Pool<Class> {
        &self.pool
    }

    fn make(&self) -> Memory {
        Memory::new(self.size, self.bytes.clone())
    }

    fn clear(_memory: &mut Memory) {}
}

impl BlockPool {
    pub(crate) fn new() -> Self {
        let bytes = Arc::new(AtomicUsize::new(0));
        let class = |index: usize| {
            let size = ALIGN << index;
            let pool = Pool::new((IDLE_BYTES_MAX / size).max(1));
            Arc::new(Class { pool, size, bytes: bytes.clone() })
        };
        BlockPool { classes: (0..CLASSES - 6).map(class).collect(), bytes: bytes.clone() }
    }

    /// A block of `len` bytes; what it holds is unspecified. `None` when no machine has that much.
    pub(crate) fn take(&self, len: usize) -> Option<Block> {
        let class = (len.max(1).div_ceil(ALIGN)).checked_next_power_of_two()?.trailing_zeros() as usize;
        let class = self.classes.get(class)?;
        let mut memory = Pool::take(class);
        if memory.size == 0
            && let Some(empty) = memory.only()
        {
            // What the system did not give before it may give now.
            *empty = class.make();
        }
        (memory.size > 0).then_some(Block { memory, len })
    }

    /// Bytes taken from the system and not given back.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }
}

impl Drop for BlockPool {
    fn drop(&mut self) {
        self.classes.iter().for_each(|class| class.pool.close());
    }
}

/// A block with one owner, who may write it.
pub(crate) struct Block {
    memory: Pooled<Class>,
    len: usize,
}

impl Block {
    /// The bytes to write.
    pub(crate) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: the memory is at least `len` bytes and initialised; a `Block` is its one owner (`share` takes `self`).
        unsafe { std::slice::from_raw_parts_mut(self.pointer().as_ptr(), self.len) }
    }

    /// The first byte.
    pub(super) fn pointer(&self) -> NonNull<u8> {
        self.memory.pointer
    }

    pub(super) fn len(&self) -> usize {
        self.len
    }

    /// Ends writing: from now on the bytes are shared and immutable.
    pub(crate) fn share(self) -> Buffer {
        let (pointer, len) = (self.pointer(), self.len);
        // SAFETY: the count that becomes `owner` keeps the memory until `release`; nobody writes it any more, because
        // the only writer, `self`, is gone.
        unsafe { Buffer::from_owner(pointer, len, Placement::HOST, self.memory.into_raw(), &TABLE) }
    }
}

static TABLE: BufferTable = BufferTable { retain, release };

/// # Safety
/// `owner` came from `Pooled::<Class>::into_raw` and holds a count.
unsafe fn retain(owner: NonNull<()>) {
    // SAFETY: the caller's promise; the count is not given up, see `forget`.
    let memory = unsafe { Pooled::<Class>::from_raw(owner) };
    std::mem::forget(memory.clone());
    std::mem::forget(memory);
}

/// # Safety
/// As for `retain`; the count is given up.
unsafe fn release(owner: NonNull<()>) {
    // SAFETY: the caller's promise.
    drop(unsafe { Pooled::<Class>::from_raw(owner) });
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_block_comes_home_when_its_last_buffer_goes() {
        let pool = BlockPool::new();
        let mut block = pool.take(100).unwrap();
        block.bytes_mut().fill(7);
        let place = block.pointer();
        assert_eq!(place.as_ptr() as usize % ALIGN, 0);
        let buffer = block.share();
        let part = buffer.slice(50, 50).unwrap();
        drop(buffer);
        assert_ne!(pool.take(100).unwrap().pointer(), place);
        assert_eq!(part.bytes().unwrap(), [7; 50]);
        let taken = pool.bytes();
        drop(part);
        assert_eq!(pool.take(128).unwrap().pointer(), place);
        assert_eq!(pool.bytes(), taken);
    }

    #[test]
    fn a_size_that_no_machine_has_is_refused() {
        assert!(BlockPool::new().take(usize::MAX).is_none());
        assert!(BlockPool::new().take(1 << 45).is_none());
    }
}
