//! A cell that has one owner at a time by protocol; one atomic proves it.
//!
//! A request changes hands along its way (submitter, leader, executor, receiver), never shared. A [`Slot`] makes that
//! safe for the price of one swap: locking it twice at once waits, but the protocol of `flow` sees to it that this does
//! not happen outside of a few instructions. [`Held`] is a lock that owns the object around the slot, so that it can
//! travel between threads and be kept for long.

use super::witness::Witness;
use super::{AtomicBool, Home, Ordering, Pooled, thread};
use std::cell::UnsafeCell;
use std::marker::PhantomData;
use std::ops::{Deref, DerefMut};

/// A cell with one owner at a time.
pub(crate) struct Slot<T> {
    busy: AtomicBool,
    witness: Witness,
    value: UnsafeCell<T>,
}

// SAFETY: `busy` lets one thread at a time reach the value, which may be sent between threads.
unsafe impl<T: Send> Sync for Slot<T> {}

impl<T> Slot<T> {
    pub(crate) fn new(value: T) -> Self {
        Slot { busy: AtomicBool::new(false), witness: Witness::new(), value: UnsafeCell::new(value) }
    }

    /// Becomes the owner until the guard is dropped.
    #[inline]
    pub(crate) fn lock(&self) -> SlotGuard<'_, T> {
        self.acquire();
        SlotGuard { slot: self, value: PhantomData }
    }

    /// The value, when nobody else can reach it.
    pub(crate) fn get_mut(&mut self) -> &mut T {
        self.value.get_mut()
    }

    #[inline]
    fn acquire(&self) {
        if self.busy.compare_exchange(false, true, Ordering::Acquire, Ordering::Relaxed).is_err() {
            self.acquire_late();
        }
        self.witness.exclusive();
    }

    /// Becomes the owner when nobody else can reach the slot, and none did who has not been seen to let go.
    #[inline]
    fn acquire_alone(&self) {
        self.busy.store(true, Ordering::Relaxed);
        self.witness.exclusive();
    }

    #[cold]
    fn acquire_late(&self) {
        let mut turns = 0u32;
        while self.busy.compare_exchange_weak(false, true, Ordering::Acquire, Ordering::Relaxed).is_err() {
            // Only reading leaves the owner its cache line.
            while self.busy.load(Ordering::Relaxed) {
                turns = turns.saturating_add(1);
                thread::back_off(turns);
            }
        }
    }

    #[inline]
    fn release(&self) {
        self.witness.exclusive();
        self.busy.store(false, Ordering::Release);
    }
}

/// Ownership of a [`Slot`] for a scope.
pub(crate) struct SlotGuard<'a, T> {
    slot: &'a Slot<T>,
    /// A shared guard gives out `&T`: it may be shared between threads only if a `T` may.
    value: PhantomData<&'a mut T>,
}

impl<T> Deref for SlotGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: this guard is the one owner, since `busy` is set until it is dropped.
        unsafe { &*self.slot.value.get() }
    }
}

impl<T> DerefMut for SlotGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: this guard is the one owner, since `busy` is set until it is dropped.
        unsafe { &mut *self.slot.value.get() }
    }
}

impl<T> Drop for SlotGuard<'_, T> {
    fn drop(&mut self) {
        self.slot.release();
    }
}

/// Names the slot of an item that a [`Held`] owns.
pub(crate) trait Project<H: Home> {
    /// What the slot contains.
    type Value;

    /// The slot: always the same one of an item.
    fn slot(item: &H::Item) -> &Slot<Self::Value>;
}

/// Ownership of a [`Slot`] inside a pooled item, together with a count of that item.
pub(crate) struct Held<H: Home, P: Project<H>> {
    item: Pooled<H>,
    // `fn` keeps `P`, which is never a value, from mattering for `Send` and `Sync`.
    project: PhantomData<fn() -> P>,
    /// A shared `Held` gives out a shared value: it may be shared between threads only if the value may.
    value: PhantomData<P::Value>,
}

impl<H: Home, P: Project<H>> Held<H, P> {
    /// Becomes the owner of the slot until dropped.
    #[inline]
    pub(crate) fn lock(item: Pooled<H>) -> Self {
        let slot = P::slot(&item);
        if item.is_sole() {
            // Whoever held the slot would own a count of the item, or borrow this one.
            slot.acquire_alone();
        } else {
            slot.acquire();
        }
        Held { item, project: PhantomData, value: PhantomData }
    }

    /// Ends the ownership of the slot and keeps the count of the item.
    pub(crate) fn let_go(self) -> Pooled<H> {
        let held = std::mem::ManuallyDrop::new(self);
        P::slot(&held.item).release();
        // SAFETY: `ManuallyDrop` keeps `held` from dropping the item that is read out here, once.
        unsafe { std::ptr::read(&held.item) }
    }

    /// The ownership as a pointer, to be given back by [`Held::from_raw`] once it is forgotten here.
    #[cfg(feature = "capi")]
    pub(crate) fn as_raw(&self) -> std::ptr::NonNull<()> {
        self.item.as_raw()
    }

    /// The ownership that a pointer stands for.
    ///
    /// # Safety
    /// `raw` came from [`Held::as_raw`] of the same type, and of the two at most one is dropped.
    #[cfg(feature = "capi")]
    pub(crate) unsafe fn from_raw(raw: std::ptr::NonNull<()>) -> Self {
        // SAFETY: the caller's promise.
        let item = unsafe { Pooled::from_raw(raw) };
        Held { item, project: PhantomData, value: PhantomData }
    }

    /// The item whose slot is held.
    pub(crate) fn item(&self) -> &Pooled<H> {
        &self.item
    }
}

impl<H: Home, P: Project<H>> Deref for Held<H, P> {
    type Target = P::Value;

    fn deref(&self) -> &P::Value {
        // SAFETY: `lock` made this the one owner until it is dropped; a shared borrow of it only gives shared access.
        unsafe { &*P::slot(&self.item).value.get() }
    }
}

impl<H: Home, P: Project<H>> DerefMut for Held<H, P> {
    fn deref_mut(&mut self) -> &mut P::Value {
        // SAFETY: `lock` made this the one owner until it is dropped, and it is borrowed exclusively.
        unsafe { &mut *P::slot(&self.item).value.get() }
    }
}

impl<H: Home, P: Project<H>> Drop for Held<H, P> {
    fn drop(&mut self) {
        P::slot(&self.item).release();
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn two_threads_never_own_a_slot_at_once() {
        let slot = Arc::new(Slot::new(0u64));
        let other = slot.clone();
        let adder = std::thread::spawn(move || (0..10_000).for_each(|_| *other.lock() += 1));
        (0..10_000).for_each(|_| *slot.lock() += 1);
        adder.join().unwrap();
        assert_eq!(*slot.lock(), 20_000);
    }
}

#[cfg(all(test, loom))]
mod loom_tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn loom_a_slot_has_one_owner_and_its_value_is_seen() {
        crate::sync::model(|| {
            let slot = Arc::new(Slot::new(0u64));
            let other = slot.clone();
            let adder = crate::sync::spawn(move || *other.lock() += 1);
            *slot.lock() += 1;
            adder.join().unwrap();
            assert_eq!(*slot.lock(), 2);
        });
    }
}
