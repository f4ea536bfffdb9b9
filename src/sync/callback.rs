//! An `FnOnce` that is stored inline when it is small, so that a callback with a few captured words costs no allocation.

use std::marker::PhantomData;
use std::mem::MaybeUninit;

/// Room for four words: an `Arc`, an index and a little more.
const WORDS: usize = 4;

type Storage = MaybeUninit<[usize; WORDS]>;

/// A function to be called once with an `A`, from any thread.
pub(crate) struct Callback<A: 'static> {
    storage: Storage,
    table: &'static Table<A>,
    argument: PhantomData<fn(A)>,
}

struct Table<A> {
    call: unsafe fn(*mut Storage, A),
    drop: unsafe fn(*mut Storage),
}

// SAFETY: only functions that are `Send` get in.
unsafe impl<A: 'static> Send for Callback<A> {}

impl<A: 'static> Callback<A> {
    pub(crate) fn new<F: FnOnce(A) + Send + 'static>(function: F) -> Self {
        if size_of::<F>() <= size_of::<Storage>() && align_of::<F>() <= align_of::<Storage>() {
            Self::inline(function)
        } else {
            Self::inline(Box::new(function))
        }
    }

    fn inline<F: FnOnce(A) + Send + 'static>(function: F) -> Self {
        let mut storage = Storage::uninit();
        const { assert!(size_of::<Box<()>>() <= size_of::<Storage>()) };
        // A larger `F` only comes here inside a box, see `new`.
        if size_of::<F>() <= size_of::<Storage>() {
            // SAFETY: `F` fits by size (checked here) and by alignment (checked in `new`, and a box is a word).
            unsafe { storage.as_mut_ptr().cast::<F>().write(function) };
        }
        Callback { storage, table: Tables::<F, A>::TABLE, argument: PhantomData }
    }

    /// Calls the function.
    pub(crate) fn call(self, argument: A) {
        let mut callback = std::mem::ManuallyDrop::new(self);
        // SAFETY: the storage holds the function, and `ManuallyDrop` keeps `drop` from seeing it again.
        unsafe { (callback.table.call)(&mut callback.storage, argument) };
    }
}

impl<A: 'static> Drop for Callback<A> {
    fn drop(&mut self) {
        // SAFETY: the storage holds the function: `call` forgets `self` before it takes it.
        unsafe { (self.table.drop)(&mut self.storage) };
    }
}

struct Tables<F, A>(PhantomData<(F, fn(A))>);

impl<F: FnOnce(A) + 'static, A: 'static> Tables<F, A> {
    const TABLE: &'static Table<A> = &Table { call: Self::call, drop: Self::drop };

    /// # Safety
    /// `storage` holds an `F`, which is moved out.
    unsafe fn call(storage: *mut Storage, argument: A) {
        // SAFETY: the caller's promise.
        let function = unsafe { storage.cast::<F>().read() };
        function(argument);
    }

    /// # Safety
    /// `storage` holds an `F`, which is dropped.
    unsafe fn drop(storage: *mut Storage) {
        // SAFETY: the caller's promise.
        unsafe { storage.cast::<F>().drop_in_place() };
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    #[test]
    fn small_and_large_functions_are_called_once_or_dropped_once() {
        let count = Arc::new(AtomicUsize::new(0));
        let (small, large) = (count.clone(), (count.clone(), [1usize; 16]));
        let add = |count: &AtomicUsize, by| _ = count.fetch_add(by, Ordering::Relaxed);
        let callbacks: [Callback<usize>; 2] =
            [Callback::new(move |by| add(&small, by)), Callback::new(move |by| add(&large.0, by + large.1[15]))];
        for callback in callbacks {
            callback.call(10);
        }
        assert_eq!((count.load(Ordering::Relaxed), Arc::strong_count(&count)), (21, 1));
        let unused = count.clone();
        drop(Callback::<()>::new(move |()| drop(unused)));
        assert_eq!(Arc::strong_count(&count), 1);
    }
}
