//! Tensors in three forms: owned ([`Tensor`]), read ([`TensorRef`]) and written in place ([`TensorMut`]).
//!
//! All are dense and little-endian. A tensor of `BYTES` has one data buffer and n+1 `u64` offsets into it: element `i`
//! lies between offset `i` and offset `i + 1`. A tensor without elements may have no memory at all.
//!
//! Invariants, checked by every constructor: 1. the shape's product fits a `usize`; 2. the data holds exactly
//! `elements * size` bytes; 3. for `BYTES`, the offsets are n+1, never fall, and the last is at most the data's length.

use crate::{Buffer, DataType, Element, Error, Placement, Ready, Shape};

/// An owned tensor: type, shape and a shared, immutable [`Buffer`].
///
/// # Examples
/// ```
/// use inferlay_backend_sdk::{DataType, Tensor};
/// let tensor = Tensor::from_vec(vec![1.0f32, 2.0, 3.0], [1, 3]).unwrap();
/// assert_eq!(tensor.dtype(), DataType::Fp32);
/// assert_eq!(tensor.view().as_slice::<f32>().unwrap(), [1.0, 2.0, 3.0]);
/// ```
#[derive(Clone, Debug)]
pub struct Tensor {
    dtype: DataType,
    shape: Shape,
    data: Buffer,
    /// What few tensors have; apart, because tensors are moved on the hot path.
    rare: Option<Box<Rare>>,
}

#[derive(Clone, Debug, Default)]
struct Rare {
    offsets: Option<Buffer>,
    ready: Ready,
}

impl Tensor {
    /// A tensor over a buffer of dense elements.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidArg`] when the shape does not fit the buffer, or `dtype` is `BYTES`.
    ///
    /// # Examples
    /// ```
    /// use inferlay_backend_sdk::{Buffer, DataType, Error, Tensor};
    /// // Two numbers of 16 bits that a framework wrote.
    /// let tensor = Tensor::new(DataType::Bf16, [2], Buffer::from(vec![0x3f80u16, 0x4000]))?;
    /// assert_eq!(tensor.data().len(), 4);
    /// assert!(Tensor::new(DataType::Bf16, [3], tensor.data().clone()).is_err());
    /// # Ok::<(), Error>(())
    /// ```
    #[inline]
    pub fn new(dtype: DataType, shape: impl Into<Shape>, data: Buffer) -> Result<Self, Error> {
        let shape = shape.into();
        check_len(dtype, &shape, data.len())?;
        Ok(Tensor { dtype, shape, data, rare: None })
    }

    /// A tensor of `BYTES` over a data buffer and n+1 offsets (`u64`, host memory).
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidArg`] when the offsets do not fit the shape or the data.
    ///
    /// # Examples
    /// ```
    /// use inferlay_backend_sdk::{Buffer, Error, Tensor};
    /// let words = Tensor::new_bytes([2], Buffer::from(b"tobe".to_vec()), Buffer::from(vec![0u64, 2, 4]))?;
    /// assert!(words.view().strings()?.eq([b"to", b"be"]));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn new_bytes(shape: impl Into<Shape>, data: Buffer, offsets: Buffer) -> Result<Self, Error> {
        let shape = shape.into();
        check_offsets(&shape, data.len(), cast_slice(offsets.bytes()?)?)?;
        let rare = Rare { offsets: Some(offsets), ready: Ready::Now };
        Ok(Tensor { dtype: DataType::Bytes, shape, data, rare: Some(Box::new(rare)) })
    }

    /// A tensor that takes over a `Vec` without copying it.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidArg`] when the shape's elements are not as many as the vector's.
    ///
    /// # Examples
    /// ```
    /// use inferlay_backend_sdk::{Error, Tensor};
    /// let tensor = Tensor::from_vec(vec![1i64, 2, 3, 4], [2, 2])?;
    /// assert_eq!(tensor.view().as_slice::<i64>()?, [1, 2, 3, 4]);
    /// assert!(Tensor::from_vec(vec![1i64, 2, 3], [2, 2]).is_err());
    /// # Ok::<(), Error>(())
    /// ```
    pub fn from_vec<T: Element>(elements: Vec<T>, shape: impl Into<Shape>) -> Result<Self, Error> {
        Self::new(T::DTYPE, shape, Buffer::from(elements))
    }

    /// A tensor of `BYTES` from its elements, copied into one buffer.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidArg`] when the shape's elements are not as many as the iterator's.
    ///
    /// # Examples
    /// ```
    /// use inferlay_backend_sdk::Tensor;
    /// let words = Tensor::from_strings(["to", "be"], [2]).unwrap();
    /// assert_eq!(words.view().strings().unwrap().collect::<Vec<_>>(), [b"to", b"be"]);
    /// ```
    pub fn from_strings<S: AsRef<[u8]>>(
        elements: impl IntoIterator<Item = S>,
        shape: impl Into<Shape>,
    ) -> Result<Self, Error> {
        let (mut data, mut offsets) = (Vec::<u8>::new(), vec![0u64]);
        for element in elements {
            data.extend_from_slice(element.as_ref());
            offsets.push(data.len() as u64);
        }
        Self::new_bytes(shape, data.into(), offsets.into())
    }

    /// The same tensor, to be touched only after `ready`.
    ///
    /// # Examples
    /// ```
    /// use inferlay_backend_sdk::{Error, Ready, Tensor};
    /// let event = 0x7f00; // A `cudaEvent_t` as a number.
    /// let tensor = Tensor::from_vec(vec![1.0f32], [1])?.with_ready(Ready::Event(event));
    /// assert_eq!(tensor.ready(), Ready::Event(event));
    /// # Ok::<(), Error>(())
    /// ```
    #[must_use]
    pub fn with_ready(mut self, ready: Ready) -> Self {
        if ready != self.ready() {
            self.rare.get_or_insert_default().ready = ready;
        }
        self
    }

    /// The type of the elements.
    ///
    /// # Examples
    /// ```
    /// use inferlay_backend_sdk::{DataType, Error, Tensor};
    /// assert_eq!(Tensor::from_vec(vec![1u8], [1])?.dtype(), DataType::Uint8);
    /// # Ok::<(), Error>(())
    /// ```
    #[inline]
    pub fn dtype(&self) -> DataType {
        self.dtype
    }

    /// The dims, outermost first.
    ///
    /// # Examples
    /// ```
    /// use inferlay_backend_sdk::{Error, Tensor};
    /// assert_eq!(Tensor::from_vec(vec![0.0f32; 6], [2, 3])?.shape()[..], [2, 3]);
    /// # Ok::<(), Error>(())
    /// ```
    #[inline]
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// The memory of the elements (of `BYTES`: of their contents).
    ///
    /// # Examples
    /// ```
    /// use inferlay_backend_sdk::{Error, Tensor};
    /// let tensor = Tensor::from_vec(vec![0.0f32; 6], [2, 3])?;
    /// assert_eq!(tensor.data().len(), 24);
    /// # Ok::<(), Error>(())
    /// ```
    #[inline]
    pub fn data(&self) -> &Buffer {
        &self.data
    }

    /// The offsets of `BYTES` elements.
    ///
    /// # Examples
    /// ```
    /// use inferlay_backend_sdk::{Error, Tensor};
    /// let words = Tensor::from_strings(["to", "be"], [2])?;
    /// assert_eq!(words.offsets().map(|offsets| offsets.len()), Some(3 * 8));
    /// assert!(Tensor::from_vec(vec![1.0f32], [1])?.offsets().is_none());
    /// # Ok::<(), Error>(())
    /// ```
    #[inline]
    pub fn offsets(&self) -> Option<&Buffer> {
        self.rare.as_ref()?.offsets.as_ref()
    }

    /// What must have happened before the memory may be touched.
    ///
    /// # Examples
    /// ```
    /// use inferlay_backend_sdk::{Error, Ready, Tensor};
    /// assert_eq!(Tensor::from_vec(vec![1.0f32], [1])?.ready(), Ready::Now);
    /// # Ok::<(), Error>(())
    /// ```
    #[inline]
    pub fn ready(&self) -> Ready {
        self.rare.as_ref().map_or(Ready::Now, |rare| rare.ready)
    }

    /// The tensor as something to read.
    ///
    /// # Examples
    /// ```
    /// use inferlay_backend_sdk::{Error, Tensor};
    /// let tensor = Tensor::from_vec(vec![1.0f32, 2.0], [2])?;
    /// assert_eq!(tensor.view().as_slice::<f32>()?.iter().sum::<f32>(), 3.0);
    /// # Ok::<(), Error>(())
    /// ```
    #[inline]
    pub fn view(&self) -> TensorRef<'_> {
        TensorRef {
            dtype: self.dtype,
            shape: &self.shape,
            data: &self.data,
            offsets: self.offsets(),
            ready: self.ready(),
        }
    }

    /// The same elements in the same order, in another shape.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidArg`] when the shape has another number of elements.
    ///
    /// # Examples
    /// ```
    /// use inferlay_backend_sdk::Tensor;
    /// let flat = Tensor::from_vec(vec![1i32, 2, 3, 4], [4]).unwrap();
    /// let square = flat.clone().reshaped([2, 2]).unwrap();
    /// assert_eq!(square.rows(1, 1).unwrap().view().as_slice::<i32>().unwrap(), [3, 4]);
    /// assert_eq!(square.data().pointer(), flat.data().pointer());
    /// assert!(flat.reshaped([5]).is_err());
    /// ```
    pub fn reshaped(self, shape: impl Into<Shape>) -> Result<Self, Error> {
        let shape = shape.into();
        if shape.elements() != self.shape.elements() {
            return Err(Error::invalid_arg(format!(
                "found shape {shape}, expected as many elements as {}",
                self.shape
            )));
        }
        Ok(Tensor { shape, ..self })
    }

    /// `rows` rows from `first` on, along the first dim, sharing the memory.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidArg`] when the tensor has no such rows.
    ///
    /// # Examples
    /// ```
    /// use inferlay_backend_sdk::Tensor;
    /// let tensor = Tensor::from_vec(vec![1i32, 2, 3, 4], [2, 2]).unwrap();
    /// assert_eq!(tensor.rows(1, 1).unwrap().view().as_slice::<i32>().unwrap(), [3, 4]);
    /// ```
    pub fn rows(&self, first: usize, rows: usize) -> Result<Tensor, Error> {
        let total = self.shape.first().copied().unwrap_or(0);
        if first.checked_add(rows).is_none_or(|end| end > total) {
            return Err(Error::invalid_arg(format!("rows {first}+{rows} of a tensor of shape {}", self.shape)));
        }
        let shape = self.shape.clone().with_first(rows);
        let elements_per_row = self.shape.elements().unwrap_or(0).checked_div(total).unwrap_or(0);
        let (skipped, kept) = (first * elements_per_row, rows * elements_per_row);
        match (self.dtype.size(), self.offsets()) {
            (Some(size), _) => {
                let data = self.data.slice(skipped * size, kept * size)?;
                Ok(Tensor { dtype: self.dtype, shape, data, rare: None })
            }
            (None, Some(offsets)) => {
                let offsets = offsets.slice(skipped * 8, (kept + 1) * 8)?;
                Self::new_bytes(shape, self.data.clone(), offsets)
            }
            (None, None) => Err(Error::fixed(crate::ErrorKind::Internal, "a BYTES tensor without offsets")),
        }
    }
}

/// A tensor to read: borrows its shape and memory.
///
/// # Examples
/// ```
/// use inferlay_backend_sdk::{Error, Tensor, TensorRef};
/// fn mean(tensor: TensorRef<'_>) -> Result<f32, Error> {
///     let elements = tensor.as_slice::<f32>()?;
///     Ok(elements.iter().sum::<f32>() / elements.len() as f32)
/// }
/// assert_eq!(mean(Tensor::from_vec(vec![1.0f32, 2.0], [2])?.view())?, 1.5);
/// # Ok::<(), Error>(())
/// ```
#[derive(Clone, Copy, Debug)]
pub struct TensorRef<'a> {
    dtype: DataType,
    shape: &'a Shape,
    data: &'a Buffer,
    offsets: Option<&'a Buffer>,
    ready: Ready,
}

impl<'a> TensorRef<'a> {
    /// The type of the elements.
    ///
    /// # Examples
    /// ```
    /// use inferlay_backend_sdk::{DataType, Error, Tensor};
    /// let tensor = Tensor::from_strings(["to", "be"], [2])?;
    /// assert_eq!(tensor.view().dtype(), DataType::Bytes);
    /// # Ok::<(), Error>(())
    /// ```
    #[inline]
    pub fn dtype(&self) -> DataType {
        self.dtype
    }

    /// The dims, outermost first.
    ///
    /// # Examples
    /// ```
    /// use inferlay_backend_sdk::{Error, Tensor};
    /// let tensor = Tensor::from_vec(vec![0u8; 6], [2, 3])?;
    /// let [rows, columns] = tensor.view().shape()[..] else { panic!("it has two dims") };
    /// assert_eq!((rows, columns), (2, 3));
    /// # Ok::<(), Error>(())
    /// ```
    #[inline]
    pub fn shape(&self) -> &'a Shape {
        self.shape
    }

    /// The same elements in the same order, in another shape.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidArg`] when the shape has another number of elements.
    ///
    /// # Examples
    /// ```
    /// use inferlay_backend_sdk::{Error, Shape, Tensor};
    /// let tensor = Tensor::from_vec(vec![1i32, 2, 3, 4], [2, 2])?;
    /// let flat = Shape::from([4]);
    /// assert_eq!(tensor.view().reshaped(&flat)?.as_slice::<i32>()?, [1, 2, 3, 4]);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn reshaped(self, shape: &'a Shape) -> Result<Self, Error> {
        if shape.elements() == self.shape.elements() {
            return Ok(TensorRef { shape, ..self });
        }
        Err(Error::invalid_arg(format!("found shape {shape}, expected as many elements as {}", self.shape)))
    }

    /// The memory of the elements (of `BYTES`: of their contents).
    ///
    /// # Examples
    /// ```
    /// use inferlay_backend_sdk::{Error, Tensor};
    /// let tensor = Tensor::from_vec(vec![1.0f32, 2.0], [2])?;
    /// // The buffer is shared when it is cloned, and outlives the tensor.
    /// let data = tensor.view().data().clone();
    /// drop(tensor);
    /// assert_eq!(data.len(), 8);
    /// # Ok::<(), Error>(())
    /// ```
    #[inline]
    pub fn data(&self) -> &'a Buffer {
        self.data
    }

    /// Where the memory lies.
    ///
    /// # Examples
    /// ```
    /// use inferlay_backend_sdk::{Error, Placement, Tensor};
    /// assert_eq!(Tensor::from_vec(vec![1.0f32], [1])?.view().placement(), Placement::HOST);
    /// # Ok::<(), Error>(())
    /// ```
    #[inline]
    pub fn placement(&self) -> Placement {
        self.data.placement()
    }

    /// What must have happened before the memory may be touched.
    ///
    /// # Examples
    /// ```
    /// use inferlay_backend_sdk::{Error, Ready, Tensor};
    /// assert_eq!(Tensor::from_vec(vec![1.0f32], [1])?.view().ready(), Ready::Now);
    /// # Ok::<(), Error>(())
    /// ```
    #[inline]
    pub fn ready(&self) -> Ready {
        self.ready
    }

    /// The elements' bytes.
    ///
    /// # Errors
    /// [`crate::ErrorKind::Unsupported`] when the memory is a device's.
    ///
    /// # Examples
    /// ```
    /// use inferlay_backend_sdk::{Error, Tensor};
    /// let tensor = Tensor::from_vec(vec![0x0201u16, 0x0403], [2])?;
    /// assert_eq!(tensor.view().bytes()?, [1, 2, 3, 4]);
    /// # Ok::<(), Error>(())
    /// ```
    #[inline]
    pub fn bytes(&self) -> Result<&'a [u8], Error> {
        self.data.bytes()
    }

    /// The elements, without copying.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidArg`] when the data type is another, or the memory is not aligned to it;
    /// [`crate::ErrorKind::Unsupported`] when it is a device's.
    ///
    /// # Examples
    /// ```
    /// use inferlay_backend_sdk::{Error, ErrorKind, Tensor};
    /// let tensor = Tensor::from_vec(vec![1.0f32, 2.0], [2])?;
    /// assert_eq!(tensor.view().as_slice::<f32>()?, [1.0, 2.0]);
    /// assert_eq!(tensor.view().as_slice::<f64>().unwrap_err().kind(), ErrorKind::InvalidArg);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn as_slice<T: Element>(&self) -> Result<&'a [T], Error> {
        if T::DTYPE != self.dtype {
            return Err(Error::invalid_arg(format!("tensor of {}: read as {}", self.dtype, T::DTYPE)));
        }
        cast_slice(self.data.bytes()?)
    }

    /// The n+1 offsets of `BYTES` elements into [`TensorRef::bytes`].
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidArg`] when the data type is not `BYTES`.
    ///
    /// # Examples
    /// ```
    /// use inferlay_backend_sdk::{Error, Tensor};
    /// let words = Tensor::from_strings(["to", "question"], [2])?;
    /// assert_eq!(words.view().offsets()?, [0, 2, 10]);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn offsets(&self) -> Result<&'a [u64], Error> {
        let offsets =
            self.offsets.ok_or_else(|| Error::invalid_arg(format!("tensor of {}: no offsets", self.dtype)))?;
        cast_slice(offsets.bytes()?)
    }

    /// The offsets' buffer, of a tensor of `BYTES`.
    ///
    /// # Examples
    /// ```
    /// use inferlay_backend_sdk::{Error, Tensor};
    /// let words = Tensor::from_strings(["to", "be"], [2])?;
    /// // What makes another tensor of the same elements.
    /// let (data, offsets) = (words.view().data().clone(), words.view().offsets_buffer().unwrap().clone());
    /// assert!(Tensor::new_bytes([1, 2], data, offsets)?.view().strings()?.eq([b"to", b"be"]));
    /// # Ok::<(), Error>(())
    /// ```
    pub fn offsets_buffer(&self) -> Option<&'a Buffer> {
        self.offsets
    }

    /// The elements of a tensor of `BYTES`.
    ///
    /// # Errors
    /// As for [`TensorRef::offsets`].
    ///
    /// # Examples
    /// ```
    /// use inferlay_backend_sdk::{Error, Tensor};
    /// let words = Tensor::from_strings(["to", "question"], [2])?;
    /// let lens: Vec<_> = words.view().strings()?.map(<[u8]>::len).collect();
    /// assert_eq!(lens, [2, 8]);
    /// # Ok::<(), Error>(())
    /// ```
    pub fn strings(&self) -> Result<impl ExactSizeIterator<Item = &'a [u8]> + use<'a>, Error> {
        let (bytes, offsets) = (self.bytes()?, self.offsets()?);
        Ok(offsets.windows(2).map(move |pair| &bytes[pair[0] as usize..pair[1] as usize]))
    }

    /// An owned tensor that shares the memory.
    ///
    /// Inside a backend, only for memory that outlives the batch; an input may be borrowed from the caller.
    ///
    /// # Examples
    /// ```
    /// use inferlay_backend_sdk::{Error, Tensor};
    /// let tensor = Tensor::from_vec(vec![1.0f32, 2.0], [2])?;
    /// let same = tensor.view().to_tensor();
    /// assert_eq!(same.data().pointer(), tensor.data().pointer());
    /// # Ok::<(), Error>(())
    /// ```
    pub fn to_tensor(&self) -> Tensor {
        let (offsets, ready) = (self.offsets.cloned(), self.ready);
        let rare = (offsets.is_some() || ready != Ready::Now).then(|| Box::new(Rare { offsets, ready }));
        Tensor { dtype: self.dtype, shape: self.shape.clone(), data: self.data.clone(), rare }
    }
}

/// A tensor to write in place: host memory that the engine provides for one output.
///
/// # Examples
/// ```
/// use inferlay_backend_sdk::{DataType, Error, TensorMut};
/// let mut memory = [0u8; 4];
/// TensorMut::new(DataType::Uint8, &mut memory).as_mut_slice::<u8>()?.copy_from_slice(&[1, 2, 3, 4]);
/// assert_eq!(memory, [1, 2, 3, 4]);
/// # Ok::<(), Error>(())
/// ```
#[derive(Debug)]
pub struct TensorMut<'a> {
    dtype: DataType,
    bytes: &'a mut [u8],
}

impl<'a> TensorMut<'a> {
    /// An output of `dtype` over `bytes`.
    ///
    /// # Examples
    /// ```
    /// use inferlay_backend_sdk::{DataType, TensorMut};
    /// let mut memory = [0u8; 4];
    /// let output = TensorMut::new(DataType::Bool, &mut memory);
    /// assert_eq!(output.bytes().len(), 4);
    /// ```
    #[inline]
    pub fn new(dtype: DataType, bytes: &'a mut [u8]) -> Self {
        TensorMut { dtype, bytes }
    }

    /// The bytes to write; what they hold before is unspecified.
    ///
    /// # Examples
    /// ```
    /// use inferlay_backend_sdk::{DataType, TensorMut};
    /// let mut memory = [0u8; 4];
    /// TensorMut::new(DataType::Bf16, &mut memory).bytes().copy_from_slice(&[0x80, 0x3f, 0x00, 0x40]);
    /// assert_eq!(memory, [0x80, 0x3f, 0x00, 0x40]);
    /// ```
    #[inline]
    pub fn bytes(self) -> &'a mut [u8] {
        self.bytes
    }

    /// The elements to write; what they hold before is unspecified.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidArg`] when the data type is another, or the memory is not aligned to it.
    ///
    /// # Examples
    /// ```
    /// use inferlay_backend_sdk::{DataType, ErrorKind, TensorMut};
    /// let mut memory = [0u8; 4];
    /// TensorMut::new(DataType::Int8, &mut memory).as_mut_slice::<i8>().unwrap().fill(-1);
    /// let error = TensorMut::new(DataType::Int8, &mut memory).as_mut_slice::<f32>().unwrap_err();
    /// assert_eq!(error.kind(), ErrorKind::InvalidArg);
    /// ```
    pub fn as_mut_slice<T: Element>(self) -> Result<&'a mut [T], Error> {
        if T::DTYPE != self.dtype {
            return Err(Error::invalid_arg(format!("output of {}: written as {}", self.dtype, T::DTYPE)));
        }
        check_aligned::<T>(self.bytes.as_ptr(), self.bytes.len())?;
        let len = self.bytes.len() / size_of::<T>();
        let pointer = if len == 0 { std::ptr::NonNull::dangling().as_ptr() } else { self.bytes.as_mut_ptr().cast() };
        // SAFETY: the slice is exclusively ours for `'a`, aligned and long enough (checked above), and `Element`
        // promises that every bit pattern is a value and that there is no padding.
        Ok(unsafe { std::slice::from_raw_parts_mut(pointer, len) })
    }
}

/// The bytes of a slice of elements.
pub(crate) fn bytes_of<T: Element>(elements: &[T]) -> &[u8] {
    // SAFETY: `Element` promises that there is no padding, so every byte is initialised; the length is the slice's own.
    unsafe { std::slice::from_raw_parts(elements.as_ptr().cast(), size_of_val(elements)) }
}

fn cast_slice<T: Element>(bytes: &[u8]) -> Result<&[T], Error> {
    check_aligned::<T>(bytes.as_ptr(), bytes.len())?;
    let len = bytes.len() / size_of::<T>();
    let pointer = if len == 0 { std::ptr::NonNull::dangling().as_ptr() } else { bytes.as_ptr().cast() };
    // SAFETY: the bytes live as long as the result, are aligned and long enough (checked above), and `Element` promises
    // that every bit pattern is a value.
    Ok(unsafe { std::slice::from_raw_parts(pointer, len) })
}

fn check_aligned<T: Element>(pointer: *const u8, len: usize) -> Result<(), Error> {
    if len != 0 && pointer.align_offset(align_of::<T>()) != 0 {
        return Err(Error::invalid_arg(format!(
            "tensor of {}: its memory is not aligned to {}",
            T::DTYPE,
            align_of::<T>()
        )));
    }
    if !len.is_multiple_of(size_of::<T>()) {
        return Err(Error::invalid_arg(format!("tensor of {}: {len} bytes are not whole elements", T::DTYPE)));
    }
    Ok(())
}

#[inline]
fn check_len(dtype: DataType, shape: &Shape, found: usize) -> Result<(), Error> {
    let Some(size) = dtype.size() else {
        return Err(Error::invalid_arg("tensor of BYTES: its elements need offsets"));
    };
    match shape.elements().and_then(|elements| elements.checked_mul(size)) {
        Some(expected) if expected == found => Ok(()),
        Some(expected) => Err(Error::invalid_arg(format!(
            "tensor of {dtype} and shape {shape}: found {found} bytes, expected {expected}"
        ))),
        None => Err(Error::invalid_arg(format!("tensor of {dtype} and shape {shape}: its size overflows"))),
    }
}

fn check_offsets(shape: &Shape, data_len: usize, offsets: &[u64]) -> Result<(), Error> {
    let elements = shape.elements().and_then(|elements| elements.checked_add(1));
    if elements != Some(offsets.len()) {
        return Err(Error::invalid_arg(format!(
            "tensor of BYTES and shape {shape}: found {} offsets, expected one more than elements",
            offsets.len()
        )));
    }
    if offsets.windows(2).any(|pair| pair[0] > pair[1]) {
        return Err(Error::invalid_arg(format!("tensor of BYTES and shape {shape}: its offsets fall")));
    }
    match offsets.last() {
        Some(last) if *last > data_len as u64 => Err(Error::invalid_arg(format!(
            "tensor of BYTES and shape {shape}: the last offset is {last}, past {data_len} bytes of data"
        ))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tensor_whose_bytes_do_not_fit_its_shape_is_refused() {
        for (shape, found) in [(&[2, 2][..], 12), (&[usize::MAX, 8], 0), (&[], 0)] {
            assert!(Tensor::new(DataType::Fp32, shape, vec![0u8; found].into()).is_err(), "{shape:?}");
        }
        assert!(Tensor::new(DataType::Fp32, [0, usize::MAX], Buffer::EMPTY).is_ok());
        assert!(Tensor::new(DataType::Bytes, [0], Buffer::EMPTY).is_err());
    }

    #[test]
    fn offsets_that_fall_or_reach_out_are_refused() {
        for (offsets, right) in
            [(vec![0u64, 1, 3], true), (vec![0, 2, 1], false), (vec![0, 1, 4], false), (vec![0, 3], false)]
        {
            let tensor = Tensor::new_bytes([2], b"abc".to_vec().into(), offsets.into());
            assert_eq!(tensor.is_ok(), right);
        }
    }

    #[test]
    fn rows_of_strings_share_the_data() {
        let words = Tensor::from_strings(["to", "be", "or", "not"], [2, 2]).unwrap();
        let row = words.rows(1, 1).unwrap();
        assert_eq!(row.view().strings().unwrap().collect::<Vec<_>>(), [&b"or"[..], b"not"]);
        assert!(words.rows(1, 2).is_err());
    }

    #[test]
    fn unaligned_memory_is_refused_not_read() {
        let buffer = Buffer::from(vec![0u64; 2]).slice(1, 8).unwrap();
        let tensor = Tensor::new(DataType::Fp32, [2], buffer).unwrap();
        assert!(tensor.view().as_slice::<f32>().is_err());
        assert_eq!(tensor.view().bytes().unwrap().len(), 8);
    }
}
