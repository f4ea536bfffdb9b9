//! Values that a run reads and writes: tensors over bytes of somebody's, and tensors in memory of the runtime's.

use super::types::{element, number_of, sizes};
use super::{nothing, outcome};
use inferlay_backend_sdk::{DataType, Shape};
use ort::Error;
use ort::sys::{OrtAllocatorType, OrtMemType, OrtMemoryInfo, OrtTensorTypeAndShapeInfo, OrtValue};
use std::ptr::{NonNull, null_mut};
use std::sync::OnceLock;

/// More dims than this are collected on the heap.
const RANK_INLINE: usize = 8;

/// A value of the runtime.
///
/// Invariant: outside of this room a value refers to memory of its own; those over lent bytes stay inside
/// [`super::Run`], which knows how long the loan is.
#[derive(Debug)]
pub(crate) struct Value(NonNull<OrtValue>);

// SAFETY: any thread may read and release a value; changes need exclusive access, which `Run` alone has.
unsafe impl Send for Value {}
// SAFETY: as for `Send`; a shared value is only read.
unsafe impl Sync for Value {}

impl Value {
    /// A tensor over `len` bytes at `pointer`, without a copy.
    ///
    /// # Errors
    /// What the runtime says, for one when the bytes are too few for the shape.
    ///
    /// # Safety
    /// Whenever a run uses the value, the bytes are valid for what it does: reading an input, writing an output.
    pub(super) unsafe fn over(dtype: DataType, shape: &Shape, pointer: *mut u8, len: usize) -> Result<Self, Error> {
        let (mut value, place) = (null_mut(), host_memory()?);
        let status = with_dims(shape, |dims| {
            let (create, element) = (ort::api().CreateTensorWithDataAsOrtValue, number_of(dtype));
            // SAFETY: `place` and `dims` are alive for the call, which only notes the pointer; the runtime compares the
            // length with the shape.
            unsafe { create(place, pointer.cast(), len, dims.as_ptr(), dims.len(), element, &raw mut value) }
        });
        outcome(status)?;
        NonNull::new(value).map(Value).ok_or_else(|| nothing("value"))
    }

    /// A value that the runtime made, and that is now ours.
    pub(super) fn owned(pointer: NonNull<OrtValue>) -> Self {
        Value(pointer)
    }

    /// A tensor of texts, copied; any bytes are a text.
    ///
    /// # Errors
    /// What the runtime says.
    pub(crate) fn texts<'t>(shape: &Shape, texts: impl Iterator<Item = &'t [u8]>) -> Result<Self, Error> {
        let value = Self::allocated(DataType::Bytes, shape)?;
        let make_room = ort::api().GetResizedStringTensorElementBuffer;
        for (index, text) in texts.enumerate() {
            let mut room = null_mut();
            // SAFETY: the value is alive and ours alone; the runtime checks the index.
            outcome(unsafe { make_room(value.0.as_ptr(), index, text.len(), &raw mut room) })?;
            if !text.is_empty() {
                // SAFETY: the runtime has just made room for as many bytes, in memory of its own.
                unsafe { std::ptr::copy_nonoverlapping(text.as_ptr(), room.cast(), text.len()) };
            }
        }
        Ok(value)
    }

    /// A tensor with a copy of `bytes`, each changed by `change`.
    ///
    /// # Errors
    /// What the runtime says, or that the bytes are not as many as the shape asks for.
    pub(crate) fn copied(dtype: DataType, shape: &Shape, bytes: &[u8], change: fn(u8) -> u8) -> Result<Self, Error> {
        let value = Self::allocated(dtype, shape)?;
        let len = shape.elements().zip(dtype.size()).and_then(|(elements, size)| elements.checked_mul(size));
        if len != Some(bytes.len()) {
            return Err(nothing("bytes for each element"));
        }
        let Some(data) = NonNull::new(value.data()).filter(|_| !bytes.is_empty()) else { return Ok(value) };
        for (index, byte) in bytes.iter().enumerate() {
            // SAFETY: the runtime has allocated as many bytes as the shape asks for, which are as many as these.
            let place = unsafe { data.add(index) };
            // SAFETY: as above; the memory is ours alone.
            unsafe { place.write(change(*byte)) };
        }
        Ok(value)
    }

    /// A tensor in memory of the runtime's, its elements still to be written.
    fn allocated(dtype: DataType, shape: &Shape) -> Result<Self, Error> {
        let (mut allocator, mut value) = (null_mut(), null_mut());
        // SAFETY: the runtime's own allocator, which lives as long as its library.
        outcome(unsafe { (ort::api().GetAllocatorWithDefaultOptions)(&raw mut allocator) })?;
        let status = with_dims(shape, |dims| {
            let (create, element) = (ort::api().CreateTensorAsOrtValue, number_of(dtype));
            // SAFETY: the allocator and the dims are alive.
            unsafe { create(allocator, dims.as_ptr(), dims.len(), element, &raw mut value) }
        });
        outcome(status)?;
        NonNull::new(value).map(Value).ok_or_else(|| nothing("value"))
    }

    pub(super) fn pointer(&self) -> *mut OrtValue {
        self.0.as_ptr()
    }

    /// The number of its element type, and its shape.
    ///
    /// # Errors
    /// What the runtime says, or that it is no tensor.
    pub(crate) fn kind(&self) -> Result<(i32, Shape), Error> {
        let mut info = null_mut();
        // SAFETY: the value is alive.
        outcome(unsafe { (ort::api().GetTensorTypeAndShape)(self.0.as_ptr(), &raw mut info) })?;
        let owner = ShapeInfo(NonNull::new(info).ok_or_else(|| nothing("shape"))?);
        // SAFETY: ours until it is released, and nobody changes it.
        let info = unsafe { owner.0.as_ref() };
        let dims: Vec<usize> = sizes(info)?.into_iter().map(|dim| usize::try_from(dim).unwrap_or(0)).collect();
        Ok((element(info)?, Shape::new(&dims)))
    }

    /// The first byte of its elements; null if there is none.
    pub(super) fn data(&self) -> *mut u8 {
        let mut data = null_mut();
        // SAFETY: the value is alive.
        let status = unsafe { (ort::api().GetTensorMutableData)(self.0.as_ptr(), &raw mut data) };
        outcome(status).map_or(null_mut(), |()| data.cast())
    }

    /// The first `len` bytes of its elements, which are no texts and are `len` bytes at least.
    pub(crate) fn bytes(&self, len: usize) -> &[u8] {
        match NonNull::new(self.data()) {
            // SAFETY: the memory of a tensor that owns it holds all its elements, and nobody changes it; the callers
            // compute `len` from its shape.
            Some(data) if len > 0 => unsafe { std::slice::from_raw_parts(data.as_ptr(), len) },
            _ => &[],
        }
    }

    /// Its `count` texts, one after another, and where each begins; the last of the offsets is the end.
    ///
    /// # Errors
    /// What the runtime says.
    pub(crate) fn read_texts(&self, count: usize) -> Result<(Vec<u8>, Vec<u64>), Error> {
        let mut len = 0;
        // SAFETY: the value is alive.
        outcome(unsafe { (ort::api().GetStringTensorDataLength)(self.0.as_ptr(), &raw mut len) })?;
        let (mut data, mut starts) = (vec![0u8; len], vec![0usize; count]);
        let read = ort::api().GetStringTensorContent;
        let (room, places) = (data.as_mut_ptr().cast(), starts.as_mut_ptr());
        // SAFETY: the value is alive; `data` has room for all bytes, and `starts` for one place per element.
        outcome(unsafe { read(self.0.as_ptr(), room, len, places, count) })?;
        let offsets = starts.into_iter().chain([len]).map(|place| place as u64).collect();
        Ok((data, offsets))
    }
}

impl Drop for Value {
    fn drop(&mut self) {
        // SAFETY: released once; what was lent is left alone.
        unsafe { (ort::api().ReleaseValue)(self.0.as_ptr()) };
    }
}

/// A shape that is ours to release.
struct ShapeInfo(NonNull<OrtTensorTypeAndShapeInfo>);

impl Drop for ShapeInfo {
    fn drop(&mut self) {
        // SAFETY: released once.
        unsafe { (ort::api().ReleaseTensorTypeAndShapeInfo)(self.0.as_ptr()) };
    }
}

/// The runtime's name for ordinary memory; made once, never released.
fn host_memory() -> Result<*const OrtMemoryInfo, Error> {
    struct Place(NonNull<OrtMemoryInfo>);
    // SAFETY: a constant, which any thread may read.
    unsafe impl Send for Place {}
    // SAFETY: as for `Send`.
    unsafe impl Sync for Place {}
    static HOST: OnceLock<Place> = OnceLock::new();
    if let Some(place) = HOST.get() {
        return Ok(place.0.as_ptr());
    }
    let mut place = null_mut();
    let (kind, memory) = (OrtAllocatorType::OrtArenaAllocator, OrtMemType::OrtMemTypeDefault);
    // SAFETY: two constants, and a place of ours to write to.
    outcome(unsafe { (ort::api().CreateCpuMemoryInfo)(kind, memory, &raw mut place) })?;
    let place = NonNull::new(place).ok_or_else(|| nothing("memory info"))?;
    Ok(HOST.get_or_init(|| Place(place)).0.as_ptr())
}

/// Hands the dims over as the runtime writes them.
fn with_dims<T>(shape: &Shape, work: impl FnOnce(&[i64]) -> T) -> T {
    let mut inline = [0i64; RANK_INLINE];
    let wide = |dim: &usize| i64::try_from(*dim).unwrap_or(i64::MAX);
    match inline.get_mut(..shape.len()) {
        Some(dims) => {
            dims.iter_mut().zip(shape.iter()).for_each(|(to, from)| *to = wide(from));
            work(dims)
        }
        None => work(&shape.iter().map(wide).collect::<Vec<_>>()),
    }
}
