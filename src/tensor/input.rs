//! What a request takes in: owned tensors, or slices of a caller that waits; and memory for its outputs.

use super::gather;
use crate::memory::{BlockPool, Lent, borrow};
use inferlay_backend_sdk::{DataType, Element, Error, Shape, Tensor};
use std::marker::PhantomData;

/// One input of a request: an owned [`Tensor`], or a slice that is borrowed for `'a`.
///
/// A request whose inputs are all owned is `'static` and can be answered asynchronously; one that borrows can only be
/// passed to a blocking call, which returns when nothing reaches the memory any more.
///
/// # Examples
/// ```
/// use inferlay::{Input, Tensor};
/// let pixels = [0.5f32; 64];
/// let borrowed = Input::from_slice(&pixels, [1, 1, 8, 8]).unwrap();
/// let owned: Input<'static> = Tensor::from_vec(vec![0.5f32; 64], [1, 64]).unwrap().into();
/// assert!(borrowed.is_borrowed() && !owned.is_borrowed());
/// ```
#[derive(Debug)]
pub struct Input<'a> {
    /// `None` once the engine has taken it.
    tensor: Option<Tensor>,
    hold: Hold,
    lifetime: PhantomData<&'a [u8]>,
}

/// Whose the memory of an input is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hold {
    /// Nobody's but the tensor's.
    Owned,
    /// Its caller's, who is told when the last one has let go.
    #[cfg(feature = "capi")]
    Counted,
    /// Its caller's, who waits.
    Borrowed,
}

impl<'a> Input<'a> {
    /// Borrows a slice as a tensor of `shape`; nothing is copied.
    ///
    /// # Errors
    /// [`crate::ErrorKind::InvalidArg`] when the shape's elements are not as many as the slice's.
    ///
    /// # Examples
    /// ```
    /// use inferlay::{ErrorKind, Input};
    /// let pixels = [0.5f32; 64];
    /// assert!(Input::from_slice(&pixels, [1, 1, 8, 8])?.is_borrowed());
    /// assert_eq!(Input::from_slice(&pixels, [65]).unwrap_err().kind(), ErrorKind::InvalidArg);
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn from_slice<T: Element>(elements: &'a [T], shape: impl Into<Shape>) -> Result<Self, Error> {
        let tensor = Tensor::new(T::DTYPE, shape, borrow(elements))?;
        Ok(Input { tensor: Some(tensor), hold: Hold::Borrowed, lifetime: PhantomData })
    }

    /// Whether it borrows memory of the caller.
    ///
    /// # Examples
    /// ```
    /// use inferlay::{Input, Tensor};
    /// let pixels = vec![0.5f32; 64];
    /// assert!(Input::from_slice(&pixels, [64])?.is_borrowed());
    /// assert!(!Input::from(Tensor::from_vec(pixels, [64])?).is_borrowed());
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn is_borrowed(&self) -> bool {
        self.hold == Hold::Borrowed
    }

    /// A tensor over memory of a caller that waits, which the borrow of `'a` stands for.
    #[cfg(feature = "capi")]
    pub(crate) fn lent(tensor: Tensor) -> Self {
        Input { tensor: Some(tensor), hold: Hold::Borrowed, lifetime: PhantomData }
    }

    /// A tensor over memory of a caller who wants it back when the last count of it is gone.
    #[cfg(feature = "capi")]
    pub(crate) fn counted(tensor: Tensor) -> Self {
        Input { tensor: Some(tensor), hold: Hold::Counted, lifetime: PhantomData }
    }

    /// The same input once more, for whoever may keep it longer than the caller waits: shares what is owned, copies what is
    /// the caller's.
    ///
    /// # Errors
    /// `RESOURCE_EXHAUSTED` when there is no memory for a copy.
    pub(crate) fn share(&self, blocks: &BlockPool) -> Result<Input<'static>, Error> {
        let share = |tensor: &Tensor| match self.hold {
            Hold::Owned => Ok(tensor.clone()),
            _ => gather::copy(tensor, blocks),
        };
        let tensor = self.tensor.as_ref().map(share).transpose()?;
        Ok(Input { tensor, hold: Hold::Owned, lifetime: PhantomData })
    }

    /// The tensor, to look at; `None` once it was taken.
    pub(crate) fn tensor(&self) -> Option<&Tensor> {
        self.tensor.as_ref()
    }

    /// The tensor, for as long as the borrow of the caller is known to last.
    pub(crate) fn take(&mut self) -> Option<Tensor> {
        self.tensor.take()
    }
}

/// Owned: good for any lifetime, that of a borrowed output beside it too.
impl From<Tensor> for Input<'_> {
    fn from(tensor: Tensor) -> Self {
        Input { tensor: Some(tensor), hold: Hold::Owned, lifetime: PhantomData }
    }
}

/// Memory of the caller that an output is to be written into.
///
/// For a request that is alone in its batch the backend writes there directly; else the engine copies, once.
///
/// # Examples
/// ```
/// # #[allow(unused_imports)]
/// # use inferlay::{DataType, Input, ModelConfig, Request, ServerHandle, Tensor};
/// # let server = ServerHandle::builder().start()?;
/// # let config = ModelConfig::new("double").input("x", DataType::Fp32, [2]).output("y", DataType::Fp32, [2]);
/// # let double = |batch: &inferlay::ModelBatch<'_>| {
/// #     let x = batch.input("x")?.as_slice::<f32>()?;
/// #     let y = batch.output("y", [2])?.as_mut_slice::<f32>()?;
/// #     y.iter_mut().zip(x).for_each(|(y, x)| *y = 2.0 * x);
/// #     Ok(())
/// # };
/// # let model = server.register_model(config, double)?;
/// let (x, mut y) = ([1.0f32, 2.0], vec![0.0f32; 2]);
/// let request = Request::new().input("x", Input::from_slice(&x, [2])?);
/// model.infer(request.output_into("y", &mut y[..]))?;
/// assert_eq!(y, [2.0, 4.0]);
/// # Ok::<(), inferlay::Error>(())
/// ```
#[derive(Debug)]
pub struct OutputMemory<'a> {
    /// `None`: whatever the output has.
    dtype: Option<DataType>,
    lent: Lent,
    lifetime: PhantomData<&'a mut [u8]>,
}

impl OutputMemory<'_> {
    /// The type of the elements that are to be written, where the memory is for one.
    pub(crate) fn dtype(&self) -> Option<DataType> {
        self.dtype
    }

    /// Memory for an output of any type.
    ///
    /// # Safety
    /// As for [`Lent::from_raw`].
    #[cfg(feature = "capi")]
    pub(crate) unsafe fn from_raw(pointer: std::ptr::NonNull<u8>, len: usize) -> Self {
        // SAFETY: the caller's promise.
        OutputMemory { dtype: None, lent: unsafe { Lent::from_raw(pointer, len) }, lifetime: PhantomData }
    }

    pub(crate) fn into_lent(self) -> Lent {
        self.lent
    }
}

impl<'a, T: Element> From<&'a mut [T]> for OutputMemory<'a> {
    fn from(elements: &'a mut [T]) -> Self {
        OutputMemory { dtype: Some(T::DTYPE), lent: Lent::new(elements), lifetime: PhantomData }
    }
}

impl<'a, T: Element, const N: usize> From<&'a mut [T; N]> for OutputMemory<'a> {
    fn from(elements: &'a mut [T; N]) -> Self {
        OutputMemory { dtype: Some(T::DTYPE), lent: Lent::new(elements), lifetime: PhantomData }
    }
}

impl<'a, T: Element> From<&'a mut Vec<T>> for OutputMemory<'a> {
    fn from(elements: &'a mut Vec<T>) -> Self {
        OutputMemory { dtype: Some(T::DTYPE), lent: Lent::new(elements), lifetime: PhantomData }
    }
}
