//! Values that a run reads and writes: tensors over lent bytes, tensors of texts, and what the runtime allocated.

use super::types::{element, number_of, sizes};
use super::{nothing, outcome};
use inferlay_backend_sdk::{DataType, Error as SdkError, Shape, TensorRef};
use ort::Error;
use ort::sys::{OrtAllocatorType, OrtMemType, OrtMemoryInfo, OrtTensorTypeAndShapeInfo, OrtValue};
use std::marker::PhantomData;
use std::ptr::{NonNull, null_mut};
use std::sync::OnceLock;

/// More dims than this are collected on the heap.
const RANK_INLINE: usize = 8;

/// A value of the runtime, which for `'a` may use bytes that somebody else owns.
#[derive(Debug)]
pub(crate) struct Value<'a> {
    pointer: NonNull<OrtValue>,
    /// Where the lent bytes lie; a length of 0 for memory of the runtime's own.
    lent: (*const u8, usize),
    loan: PhantomData<&'a [u8]>,
}

// SAFETY: any thread may read and release a value; changes need exclusive access, which `run` alone has.
unsafe impl Send for Value<'_> {}
// SAFETY: as for `Send`; a shared value is only read.
unsafe impl Sync for Value<'_> {}

impl<'a> Value<'a> {
    /// A tensor that is read from `bytes`, without a copy.
    ///
    /// # Errors
    /// What the runtime says, for one when the bytes are too few for the shape.
    pub(crate) fn reading(dtype: DataType, shape: &Shape, bytes: &'a [u8]) -> Result<Self, Error> {
        // The API has one kind of pointer for both; a run does not write to its inputs.
        Self::over(dtype, shape, bytes.as_ptr().cast_mut(), bytes.len())
    }

    fn over(dtype: DataType, shape: &Shape, pointer: *mut u8, len: usize) -> Result<Self, Error> {
        let mut value = null_mut();
        let status = with_dims(shape, |dims| {
            let place = host_memory()?;
            // SAFETY: `place` and `dims` are alive for the call, and the caller lends the bytes for `'a`, which the value
            // does not outlive; the runtime checks that they are enough for the shape.
            Ok(unsafe {
                (ort::api().CreateTensorWithDataAsOrtValue)(
                    place,
                    pointer.cast(),
                    len,
                    dims.as_ptr(),
                    dims.len(),
                    number_of(dtype),
                    &raw mut value,
                )
            })
        })?;
        outcome(status)?;
        let pointer_of_value = NonNull::new(value).ok_or_else(|| nothing("value"))?;
        Ok(Value { pointer: pointer_of_value, lent: (pointer, len), loan: PhantomData })
    }

    pub(super) fn pointer(&self) -> *mut OrtValue {
        self.pointer.as_ptr()
    }

    /// Whether `address` lies in the bytes that were lent.
    pub(super) fn lends(&self, address: *const u8) -> bool {
        let (start, len) = (self.lent.0.addr(), self.lent.1);
        (start..start + len).contains(&address.addr())
    }

    /// The number of its element type, and its shape.
    ///
    /// # Errors
    /// What the runtime says.
    pub(crate) fn kind(&self) -> Result<(i32, Shape), Error> {
        let mut is_tensor = 0;
        // SAFETY: the value is alive.
        outcome(unsafe { (ort::api().IsTensor)(self.pointer.as_ptr(), &raw mut is_tensor) })?;
        if is_tensor == 0 {
            return Err(nothing("tensor"));
        }
        let mut info = null_mut();
        // SAFETY: the value is alive.
        outcome(unsafe { (ort::api().GetTensorTypeAndShape)(self.pointer.as_ptr(), &raw mut info) })?;
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
        let status = unsafe { (ort::api().GetTensorMutableData)(self.pointer.as_ptr(), &raw mut data) };
        outcome(status).map_or(null_mut(), |()| data.cast())
    }
}

/// Bytes that a run writes one output to.
#[derive(Debug)]
pub(crate) struct Room<'a>(Value<'a>);

impl<'a> Room<'a> {
    /// Room for a tensor of this shape.
    ///
    /// # Errors
    /// What the runtime says, for one when the bytes are too few for the shape.
    pub(crate) fn new(dtype: DataType, shape: &Shape, bytes: &'a mut [u8]) -> Result<Self, Error> {
        Value::over(dtype, shape, bytes.as_mut_ptr(), bytes.len()).map(Room)
    }

    pub(super) fn pointer(&self) -> *mut OrtValue {
        self.0.pointer()
    }
}

impl Value<'static> {
    /// A value that the runtime made, and that is now ours.
    pub(super) fn owned(pointer: NonNull<OrtValue>) -> Self {
        Value { pointer, lent: (std::ptr::null(), 0), loan: PhantomData }
    }

    /// A tensor of texts, copied; any bytes are a text.
    ///
    /// # Errors
    /// What the runtime says, or that `input` holds no texts.
    pub(crate) fn texts(input: &TensorRef<'_>) -> Result<Self, SdkError> {
        let texts = input.strings()?;
        let failed = |error: Error| SdkError::internal(format!("texts: {error}"));
        let value = Self::empty_texts(input.shape()).map_err(failed)?;
        for (index, text) in texts.enumerate() {
            value.put_text(index, text).map_err(failed)?;
        }
        Ok(value)
    }

    fn empty_texts(shape: &Shape) -> Result<Self, Error> {
        let (mut allocator, mut value) = (null_mut(), null_mut());
        // SAFETY: the runtime's own allocator, which lives as long as its library.
        outcome(unsafe { (ort::api().GetAllocatorWithDefaultOptions)(&raw mut allocator) })?;
        let status = with_dims(shape, |dims| {
            let element = number_of(DataType::Bytes);
            // SAFETY: the allocator and the dims are alive.
            Ok(unsafe {
                (ort::api().CreateTensorAsOrtValue)(allocator, dims.as_ptr(), dims.len(), element, &raw mut value)
            })
        })?;
        outcome(status)?;
        NonNull::new(value).map(Self::owned).ok_or_else(|| nothing("value"))
    }

    fn put_text(&self, index: usize, text: &[u8]) -> Result<(), Error> {
        let mut room = null_mut();
        let make_room = ort::api().GetResizedStringTensorElementBuffer;
        // SAFETY: the value is alive and ours alone; the runtime checks the index.
        outcome(unsafe { make_room(self.pointer.as_ptr(), index, text.len(), &raw mut room) })?;
        if !text.is_empty() {
            // SAFETY: the runtime has just made room for as many bytes, in memory of its own.
            unsafe { std::ptr::copy_nonoverlapping(text.as_ptr(), room.cast(), text.len()) };
        }
        Ok(())
    }

    /// The first `len` bytes of its elements, which are no texts and are `len` bytes at least.
    pub(crate) fn bytes(&self, len: usize) -> &[u8] {
        match NonNull::new(self.data()) {
            // SAFETY: the memory of a tensor that we own holds all its elements, and nobody changes it; the callers
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
        outcome(unsafe { (ort::api().GetStringTensorDataLength)(self.pointer.as_ptr(), &raw mut len) })?;
        let (mut data, mut starts) = (vec![0u8; len], vec![0usize; count]);
        let read = ort::api().GetStringTensorContent;
        let (room, places) = (data.as_mut_ptr().cast(), starts.as_mut_ptr());
        // SAFETY: the value is alive; `data` has room for all bytes, and `starts` for one place per element.
        outcome(unsafe { read(self.pointer.as_ptr(), room, len, places, count) })?;
        let offsets = starts.into_iter().chain([len]).map(|place| place as u64).collect();
        Ok((data, offsets))
    }
}

impl Drop for Value<'_> {
    fn drop(&mut self) {
        // SAFETY: released once; what was lent is left alone.
        unsafe { (ort::api().ReleaseValue)(self.pointer.as_ptr()) };
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
fn with_dims<T>(shape: &Shape, work: impl FnOnce(&[i64]) -> Result<T, Error>) -> Result<T, Error> {
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
