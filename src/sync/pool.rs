//! Reference-counted objects that go home instead of being freed.
//!
//! A [`Pooled`] is like an `Arc`, but its last owner puts the object back on the free list of its home, where the next
//! [`Pool::take`] finds it with all its capacity. In the steady state nothing is allocated.
//!
//! Invariants: 1. an object is on the free list, or has owners, never both; 2. it always holds a count of its home, so the
//! home outlives it; 3. idle objects therefore keep their home alive, until [`Pool::close`] frees them: whoever ends a
//! home's use closes its pool, and what comes home afterwards is freed; 4. an object is cleared by [`Home::clear`] before
//! it goes on the list. Holding the count while idle saves two atomic operations per use.

use super::witness::Witness;
use super::{AtomicUsize, Ordering, Slot};
use std::ops::Deref;
use std::ptr::NonNull;
use std::sync::Arc;

/// Where pooled objects live: owns the [`Pool`] and knows how to make and clear an item.
pub(crate) trait Home: Send + Sync + Sized + 'static {
    /// The pooled object.
    type Item: Send + Sync;

    /// The pool that this home owns: always the same one.
    fn pool(&self) -> &Pool<Self>;

    /// A new object for the pool.
    fn make(&self) -> Self::Item;

    /// Called by the last owner, before the object goes back on the list.
    fn clear(item: &mut Self::Item);
}

/// The free list of a [`Home`].
pub(crate) struct Pool<H: Home> {
    /// A slot and not a lock: it is held for a push or a pop, and costs one atomic operation instead of two.
    free: Slot<Free<H>>,
    /// Objects beyond this many are freed when they come home.
    idle_max: usize,
}

struct Free<H: Home> {
    idle: Vec<Idle<H>>,
    is_closed: bool,
}

struct Node<H: Home> {
    owners: AtomicUsize,
    home: Arc<H>,
    witness: Witness,
    item: H::Item,
}

/// A node on the free list: exclusively the list's.
struct Idle<H: Home>(NonNull<Node<H>>);

// SAFETY: an idle node is owned by the list alone, and its parts may be sent between threads.
unsafe impl<H: Home> Send for Idle<H> {}

impl<H: Home> Drop for Idle<H> {
    fn drop(&mut self) {
        // SAFETY: the node came from `Box::into_raw` in `take`, and the list was its only owner.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

impl<H: Home> Pool<H> {
    pub(crate) fn new(idle_max: usize) -> Self {
        Pool { free: Slot::new(Free { idle: Vec::new(), is_closed: false }), idle_max }
    }

    /// An object with one owner, prepared before anybody can share it: from the list, else a new one.
    #[inline]
    pub(crate) fn take_with(home: &Arc<H>, prepare: impl FnOnce(&mut H::Item)) -> Pooled<H> {
        let mut item = Self::take(home);
        // SAFETY: the one count of the node is `item`'s, exclusively borrowed.
        prepare(unsafe { &mut item.node.as_mut().item });
        item
    }

    /// An object with one owner.
    #[inline]
    pub(crate) fn take(home: &Arc<H>) -> Pooled<H> {
        let idle = home.pool().free.lock().idle.pop();
        let Some(idle) = idle else { return Self::grow(home) };
        let mut node = std::mem::ManuallyDrop::new(idle).0;
        // SAFETY: the node was the list's alone and is now ours alone.
        let fields = unsafe { node.as_mut() };
        fields.witness.exclusive();
        fields.owners.store(1, Ordering::Relaxed);
        Pooled { node }
    }

    #[cold]
    fn grow(home: &Arc<H>) -> Pooled<H> {
        let (owners, witness) = (AtomicUsize::new(1), Witness::new());
        let node = Node { owners, home: home.clone(), witness, item: home.make() };
        Pooled { node: NonNull::from(Box::leak(Box::new(node))) }
    }

    /// Frees what is idle, and from now on what comes home.
    pub(crate) fn close(&self) {
        let idle = {
            let mut free = self.free.lock();
            free.is_closed = true;
            std::mem::take(&mut free.idle)
        };
        // Outside of the lock: each gives up a count of the home.
        drop(idle);
    }

    /// How many objects lie idle.
    #[cfg(all(test, loom))]
    pub(crate) fn idle_len(&self) -> usize {
        self.free.lock().idle.len()
    }

    fn put(mut node: NonNull<Node<H>>) {
        // SAFETY: the caller was the last owner, so the node is ours alone.
        let fields = unsafe { node.as_mut() };
        fields.witness.exclusive();
        H::clear(&mut fields.item);
        let idle = Idle(node);
        let pool = fields.home.pool();
        let mut free = pool.free.lock();
        if free.idle.len() < pool.idle_max && !free.is_closed {
            free.idle.push(idle);
            return;
        }
        drop(free);
        // Last, and outside of the lock: this may be the last count of the home.
        drop(idle);
    }
}

/// One count of a pooled object.
pub(crate) struct Pooled<H: Home> {
    node: NonNull<Node<H>>,
}

// SAFETY: owners share the item, which may be used from and sent to any thread.
unsafe impl<H: Home> Send for Pooled<H> {}
// SAFETY: as for `Send`.
unsafe impl<H: Home> Sync for Pooled<H> {}

impl<H: Home> Pooled<H> {
    /// Where the object lives.
    pub(crate) fn home(&self) -> &Arc<H> {
        &self.fields().home
    }

    /// Whether this is the only owner, which then stays so: nobody else is left who could share it, and all that they did
    /// has been seen.
    #[inline]
    pub(crate) fn is_sole(&self) -> bool {
        self.fields().owners.load(Ordering::Acquire) == 1
    }

    /// The object, if this is its only owner.
    pub(crate) fn only(&mut self) -> Option<&mut H::Item> {
        if !self.is_sole() {
            return None;
        }
        // SAFETY: this is the only owner, exclusively borrowed, and it has seen the others let go.
        Some(unsafe { &mut self.node.as_mut().item })
    }

    /// Whether both are counts of the same object.
    pub(crate) fn is(&self, other: &Pooled<H>) -> bool {
        self.node == other.node
    }

    /// The count as a pointer, to be given back by [`Pooled::from_raw`].
    pub(crate) fn into_raw(self) -> NonNull<()> {
        std::mem::ManuallyDrop::new(self).node.cast()
    }

    /// As [`Pooled::into_raw`], for a count that is to be forgotten.
    #[cfg(feature = "capi")]
    pub(crate) fn as_raw(&self) -> NonNull<()> {
        self.node.cast()
    }

    /// The count that `into_raw` turned into a pointer.
    ///
    /// # Safety
    /// `raw` came from `into_raw` of the same type, and that count was not given back before.
    pub(crate) unsafe fn from_raw(raw: NonNull<()>) -> Self {
        Pooled { node: raw.cast() }
    }

    fn fields(&self) -> &Node<H> {
        // SAFETY: this owner's count keeps the node allocated and off the free list; owners only share it.
        unsafe { self.node.as_ref() }
    }
}

impl<H: Home> Deref for Pooled<H> {
    type Target = H::Item;

    fn deref(&self) -> &H::Item {
        let fields = self.fields();
        fields.witness.shared();
        &fields.item
    }
}

impl<H: Home> Clone for Pooled<H> {
    fn clone(&self) -> Self {
        self.fields().owners.fetch_add(1, Ordering::Relaxed);
        Pooled { node: self.node }
    }
}

impl<H: Home> Drop for Pooled<H> {
    fn drop(&mut self) {
        if self.is_sole() || self.fields().owners.fetch_sub(1, Ordering::AcqRel) == 1 {
            Pool::put(self.node);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Shelf {
        pool: Pool<Shelf>,
        made: AtomicUsize,
    }

    impl Home for Shelf {
        type Item = Vec<u32>;

        fn pool(&self) -> &Pool<Shelf> {
            &self.pool
        }

        fn make(&self) -> Vec<u32> {
            self.made.fetch_add(1, Ordering::Relaxed);
            Vec::with_capacity(4)
        }

        fn clear(item: &mut Vec<u32>) {
            item.clear();
        }
    }

    fn shelf(idle_max: usize) -> Arc<Shelf> {
        Arc::new(Shelf { pool: Pool::new(idle_max), made: AtomicUsize::new(0) })
    }

    #[cfg(not(loom))]
    #[test]
    fn the_last_owner_brings_an_object_home_cleared() {
        let home = shelf(8);
        let mut first = Pool::take(&home);
        first.only().unwrap().push(7);
        let second = first.clone();
        assert!(first.only().is_none());
        drop(first);
        assert_eq!((second.len(), home.pool.free.lock().idle.len()), (1, 0));
        drop(second);
        assert_eq!(home.pool.free.lock().idle.len(), 1);
        assert!(Pool::take(&home).is_empty());
        assert_eq!(home.made.load(Ordering::Relaxed), 1);
    }

    #[cfg(not(loom))]
    #[test]
    fn a_closed_home_goes_when_its_last_object_comes_home() {
        let home = shelf(8);
        let seen = Arc::downgrade(&home);
        let (item, idle) = (Pool::take(&home), Pool::take(&home));
        drop(idle);
        home.pool.close();
        drop(home);
        assert!(seen.upgrade().is_some());
        drop(item);
        assert!(seen.upgrade().is_none());
    }

    #[cfg(not(loom))]
    #[test]
    fn objects_beyond_the_bound_are_freed() {
        let home = shelf(1);
        let pair = (Pool::take(&home), Pool::take(&home));
        drop(pair);
        assert_eq!(home.pool.free.lock().idle.len(), 1);
    }

    #[cfg(loom)]
    #[test]
    fn loom_two_owners_bring_an_object_home_once() {
        crate::sync::model(|| {
            let home = shelf(8);
            let first = Pool::take(&home);
            let second = first.clone();
            let other = crate::sync::spawn(move || drop(second));
            drop(first);
            other.join().unwrap();
            assert_eq!(home.pool.free.lock().idle.len(), 1);
        });
    }
}
