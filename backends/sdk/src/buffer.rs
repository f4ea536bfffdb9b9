//! A reference-counted region of memory whose owner is behind a small table of functions.
//!
//! One type carries a `Vec` of the caller, a pooled block of the engine and memory that a framework owns: cloning and
//! dropping go through [`BufferTable`], so handing over costs no allocation and no copy.
//!
//! Invariant: while a `Buffer` exists, `pointer .. pointer + len` stays allocated and, unless its owner hands out
//! exclusive access, unchanged.

use crate::{Error, ErrorKind, Placement};
use std::fmt;
use std::ptr::NonNull;
use std::sync::Arc;

/// How to keep and let go of the memory behind a [`Buffer`]; both functions may run on any thread.
///
/// # Examples
/// ```
/// use inferlay_backend_sdk::{Buffer, BufferTable, Placement};
/// use std::ptr::NonNull;
/// static WEIGHTS: [u8; 3] = [1, 2, 3];
/// // Memory that lives as long as the process needs no count.
/// static FOR_EVER: BufferTable = BufferTable { retain: |_owner| (), release: |_owner| () };
/// let (pointer, owner) = (NonNull::from(&WEIGHTS).cast(), NonNull::dangling());
/// // SAFETY: nobody ever frees or writes the memory, and the functions make no use of the owner.
/// let buffer = unsafe { Buffer::from_owner(pointer, 3, Placement::HOST, owner, &FOR_EVER) };
/// assert_eq!(buffer.bytes().unwrap(), [1, 2, 3]);
/// ```
#[derive(Debug)]
pub struct BufferTable {
    /// Adds one owner.
    pub retain: unsafe fn(owner: NonNull<()>),
    /// Removes one owner; the last frees the memory or returns it to its pool.
    pub release: unsafe fn(owner: NonNull<()>),
}

/// A reference-counted, immutable region of memory: what tensors are made of.
///
/// Cloning shares it. The last owner to go returns the memory to whoever allocated it, on whatever thread that is.
///
/// # Examples
/// ```
/// use inferlay_backend_sdk::Buffer;
/// let buffer = Buffer::from(vec![1.0f32, 2.0]);
/// assert_eq!(buffer.len(), 8);
/// assert_eq!(buffer.slice(4, 4).unwrap().bytes().unwrap(), 2.0f32.to_le_bytes());
/// ```
pub struct Buffer {
    pointer: NonNull<u8>,
    len: usize,
    placement: Placement,
    owner: Option<(NonNull<()>, &'static BufferTable)>,
}

// SAFETY: the memory is immutable while shared, and the promise of `from_owner` lets any thread retain and release it.
unsafe impl Send for Buffer {}
// SAFETY: as for `Send`; a shared `Buffer` only reads.
unsafe impl Sync for Buffer {}

impl Buffer {
    /// A buffer of no bytes.
    pub const EMPTY: Buffer =
        Buffer { pointer: NonNull::<u64>::dangling().cast(), len: 0, placement: Placement::HOST, owner: None };

    /// A buffer over memory that `owner` keeps alive; takes over one count of `owner`.
    ///
    /// # Safety
    /// Until `release` has run once for this buffer and for each of its clones, `pointer` is valid for reads of `len`
    /// bytes (by the host if `placement` is host memory) and nobody writes there. Both functions of `table` accept
    /// `owner` on any thread.
    ///
    /// # Examples
    /// ```
    /// # use inferlay_backend_sdk::{Buffer, BufferTable, Placement};
    /// # use std::{ptr::NonNull, sync::Arc};
    /// // SAFETY of both: the owner is a count of an `Arc<[u8; 3]>`, as made below.
    /// static COUNTED: BufferTable = BufferTable {
    ///     retain: |owner| unsafe { Arc::increment_strong_count(owner.cast::<[u8; 3]>().as_ptr()) },
    ///     release: |owner| unsafe { Arc::decrement_strong_count(owner.cast::<[u8; 3]>().as_ptr()) },
    /// };
    /// let memory = Arc::new([1u8, 2, 3]);
    /// let owner = NonNull::new(Arc::into_raw(memory.clone()).cast_mut()).unwrap();
    /// // SAFETY: the count keeps the memory, which nobody writes while it is shared.
    /// let buffer = unsafe { Buffer::from_owner(owner.cast(), 3, Placement::HOST, owner.cast(), &COUNTED) };
    /// # assert_eq!((buffer.bytes().unwrap(), Arc::strong_count(&memory)), (&[1, 2, 3][..], 2));
    /// drop(buffer);
    /// assert_eq!(Arc::strong_count(&memory), 1);
    /// ```
    #[inline]
    pub unsafe fn from_owner(
        pointer: NonNull<u8>,
        len: usize,
        placement: Placement,
        owner: NonNull<()>,
        table: &'static BufferTable,
    ) -> Self {
        Buffer { pointer, len, placement, owner: Some((owner, table)) }
    }

    /// A buffer over memory that somebody waiting lent. Clones and slices of it are copies, so that only this one object
    /// must not outlive the loan.
    ///
    /// # Safety
    /// `pointer` is valid for reads of `len` bytes, and nobody writes there, for as long as this very buffer exists.
    ///
    /// # Examples
    /// ```
    /// use inferlay_backend_sdk::Buffer;
    /// use std::ptr::NonNull;
    /// let lent = [1u8, 2, 3];
    /// // SAFETY: `lent` outlives the buffer and is not written.
    /// let buffer = unsafe { Buffer::borrowed(NonNull::from(&lent).cast(), lent.len()) };
    /// assert_eq!(buffer.bytes().unwrap().as_ptr(), lent.as_ptr());
    /// assert_ne!(buffer.clone().bytes().unwrap().as_ptr(), lent.as_ptr());
    /// ```
    pub unsafe fn borrowed(pointer: NonNull<u8>, len: usize) -> Self {
        Buffer { pointer, len, placement: Placement::HOST, owner: None }
    }

    /// A buffer over the elements of something shared, such as a tensor of a framework. Allocates nothing.
    ///
    /// # Examples
    /// ```
    /// use inferlay_backend_sdk::Buffer;
    /// use std::sync::Arc;
    /// let weights = Arc::new(vec![1u8, 2, 3]);
    /// let buffer = Buffer::from_arc(weights.clone(), |vec| vec.as_slice());
    /// assert_eq!(Arc::strong_count(&weights), 2);
    /// drop(buffer);
    /// assert_eq!(Arc::strong_count(&weights), 1);
    /// ```
    pub fn from_arc<T: Send + Sync + 'static>(owner: Arc<T>, bytes: impl FnOnce(&T) -> &[u8]) -> Self {
        let slice = bytes(&owner);
        let (pointer, len) = (NonNull::from(slice).cast(), slice.len());
        // SAFETY: `Arc::into_raw` never returns null.
        let raw = unsafe { NonNull::new_unchecked(Arc::into_raw(owner).cast_mut().cast()) };
        // SAFETY: `slice` borrows from the value inside the `Arc`, of which `raw` holds one count until `release`; as
        // the value is `Sync` and shared, nobody gets exclusive access to it.
        unsafe { Buffer::from_owner(pointer, len, Placement::HOST, raw, ArcTable::<T>::TABLE) }
    }

    /// A buffer with a copy of `bytes`, aligned to 16 bytes.
    ///
    /// # Examples
    /// ```
    /// assert_eq!(inferlay_backend_sdk::Buffer::copy_of(&[1, 2, 3]).bytes().unwrap(), [1, 2, 3]);
    /// ```
    pub fn copy_of(bytes: &[u8]) -> Self {
        let mut words = vec![0u128; bytes.len().div_ceil(16)];
        for (word, chunk) in words.iter_mut().zip(bytes.chunks(16)) {
            let mut aligned = [0; 16];
            aligned[..chunk.len()].copy_from_slice(chunk);
            *word = u128::from_ne_bytes(aligned);
        }
        let len = bytes.len();
        let mut buffer = Buffer::from_arc(Arc::new(words), |words| words_as_bytes(words));
        buffer.len = len;
        buffer
    }

    /// The number of bytes.
    ///
    /// # Examples
    /// ```
    /// use inferlay_backend_sdk::Buffer;
    /// // Bytes, not elements.
    /// assert_eq!(Buffer::from(vec![1.0f32, 2.0]).len(), 8);
    /// ```
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no bytes.
    ///
    /// # Examples
    /// ```
    /// use inferlay_backend_sdk::Buffer;
    /// assert!(Buffer::EMPTY.is_empty() && !Buffer::from(vec![0u8]).is_empty());
    /// ```
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Where the memory lies.
    ///
    /// # Examples
    /// ```
    /// use inferlay_backend_sdk::{Buffer, Placement};
    /// assert_eq!(Buffer::from(vec![1.0f32]).placement(), Placement::HOST);
    /// ```
    #[inline]
    pub fn placement(&self) -> Placement {
        self.placement
    }

    /// The first byte; dangling when the buffer is empty.
    ///
    /// # Examples
    /// ```
    /// use inferlay_backend_sdk::Buffer;
    /// let elements = vec![1u8, 2, 3];
    /// let address = elements.as_ptr();
    /// // The memory of the vector is taken over where it lies.
    /// assert_eq!(Buffer::from(elements).pointer().as_ptr().cast_const(), address);
    /// ```
    #[inline]
    pub fn pointer(&self) -> NonNull<u8> {
        self.pointer
    }

    /// The bytes.
    ///
    /// # Errors
    /// [`ErrorKind::Unsupported`] when the memory is a device's.
    ///
    /// # Examples
    /// ```
    /// use inferlay_backend_sdk::Buffer;
    /// assert_eq!(Buffer::from(vec![0x0201u16]).bytes().unwrap(), [1, 2]);
    /// ```
    #[inline]
    pub fn bytes(&self) -> Result<&[u8], Error> {
        if !self.placement.kind.is_host() {
            return Err(Error::fixed(ErrorKind::Unsupported, "device memory cannot be read by the host"));
        }
        // SAFETY: the memory is the host's, and the invariant of the type keeps it readable and unchanged.
        Ok(unsafe { std::slice::from_raw_parts(self.pointer.as_ptr(), self.len) })
    }

    /// Whether its owner is behind this very table.
    ///
    /// # Examples
    /// ```
    /// use inferlay_backend_sdk::{Buffer, BufferTable};
    /// static TABLE: BufferTable = BufferTable { retain: |_| {}, release: |_| {} };
    /// assert!(!Buffer::from(vec![1u8]).is_owned_through(&TABLE));
    /// ```
    pub fn is_owned_through(&self, table: &'static BufferTable) -> bool {
        self.owner.is_some_and(|(_, own)| std::ptr::eq(own, table))
    }

    /// The bytes of lent memory, which is always the host's.
    fn lent_bytes(&self) -> &[u8] {
        // SAFETY: the promise of `borrowed` holds while `self` exists; an empty buffer's pointer is not null.
        unsafe { std::slice::from_raw_parts(self.pointer.as_ptr(), self.len) }
    }

    /// `len` bytes from `offset` on, sharing the memory.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArg`] when the range reaches past the end.
    ///
    /// # Examples
    /// ```
    /// use inferlay_backend_sdk::Buffer;
    /// let buffer = Buffer::from(vec![1u8, 2, 3, 4]);
    /// assert_eq!(buffer.slice(1, 2).unwrap().bytes().unwrap(), [2, 3]);
    /// assert!(buffer.slice(3, 2).is_err());
    /// ```
    pub fn slice(&self, offset: usize, len: usize) -> Result<Buffer, Error> {
        let end = offset.checked_add(len).filter(|end| *end <= self.len);
        if end.is_none() {
            return Err(Error::invalid_arg(format!("buffer: {len} bytes from {offset} reach past {}", self.len)));
        }
        if self.owner.is_none() {
            return Ok(Buffer::copy_of(&self.lent_bytes()[offset..offset + len]));
        }
        let mut part = self.clone();
        // SAFETY: `offset <= self.len`, so the pointer stays inside the region or at its end.
        part.pointer = unsafe { part.pointer.add(offset) };
        part.len = len;
        Ok(part)
    }
}

impl Clone for Buffer {
    #[inline]
    fn clone(&self) -> Self {
        match self.owner {
            // SAFETY: this buffer holds one count of `owner`, so it is alive.
            Some((owner, table)) => unsafe { (table.retain)(owner) },
            None if self.len == 0 => {}
            // Lent memory: a clone could outlive the loan.
            None => return Buffer::copy_of(self.lent_bytes()),
        }
        Buffer { ..*self }
    }
}

impl Drop for Buffer {
    #[inline]
    fn drop(&mut self) {
        if let Some((owner, table)) = self.owner {
            // SAFETY: this buffer holds one count of `owner` and gives it up here, once.
            unsafe { (table.release)(owner) };
        }
    }
}

impl Default for Buffer {
    fn default() -> Self {
        Self::EMPTY
    }
}

impl fmt::Debug for Buffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Buffer({} bytes, {:?})", self.len, self.placement)
    }
}

impl<T: crate::Element> From<Vec<T>> for Buffer {
    fn from(elements: Vec<T>) -> Self {
        Buffer::from_arc(Arc::new(elements), |vec| crate::tensor::bytes_of(vec))
    }
}

fn words_as_bytes(words: &[u128]) -> &[u8] {
    // SAFETY: every byte of an integer is initialised; the length is the slice's own.
    unsafe { std::slice::from_raw_parts(words.as_ptr().cast(), size_of_val(words)) }
}

/// The table of buffers whose owner is an `Arc<T>`.
struct ArcTable<T>(std::marker::PhantomData<T>);

impl<T: Send + Sync + 'static> ArcTable<T> {
    const TABLE: &'static BufferTable = &BufferTable { retain: Self::retain, release: Self::release };

    /// # Safety
    /// `owner` came from `Arc::<T>::into_raw` and at least one count of it is left.
    unsafe fn retain(owner: NonNull<()>) {
        // SAFETY: the caller's promise.
        unsafe { Arc::increment_strong_count(owner.cast::<T>().as_ptr()) };
    }

    /// # Safety
    /// As for `retain`; gives up one count.
    unsafe fn release(owner: NonNull<()>) {
        // SAFETY: the caller's promise.
        unsafe { Arc::decrement_strong_count(owner.cast::<T>().as_ptr()) };
    }
}
