//! Tensors from and as arrays of the `ndarray` crate.
//!
//! ```text
//!   &Array, &ArrayView  --into, Input::from_ndarray--> Input       borrowed in standard layout, else copied once
//!   Array               --into, into_tensor----------> Input, Tensor   taken over in standard layout, else copied once
//!   &Tensor, TensorRef  --ndarray_view::<T>()--------> ArrayViewD      never copied
//! ```
//!
//! Standard layout is what tensors have: dense, with the last axis running fastest. Pure; any thread.

use super::{Element, Input, Shape, Tensor, TensorRef};
use inferlay_backend_sdk::Error;
use ndarray::{Array, ArrayBase, ArrayRef, ArrayView, ArrayViewD, Data, Dimension, IxDyn};

impl<'a> Input<'a> {
    /// An array, or a view of one: borrowed when it is in standard layout, else copied once.
    ///
    /// # Examples
    /// ```
    /// use inferlay::{Input, Request};
    /// use ndarray::Array2;
    /// let pixels = Array2::<f32>::zeros((8, 8));
    /// assert!(Input::from_ndarray(&pixels).is_borrowed());
    /// assert!(!Input::from_ndarray(&pixels.t()).is_borrowed());
    /// let request = Request::new().input("pixels", &pixels);
    /// ```
    pub fn from_ndarray<T: Element, D: Dimension>(array: &'a ArrayRef<T, D>) -> Self {
        match array.as_slice() {
            Some(elements) => own_shape(Input::from_slice(elements, array.shape())),
            None => tensor(array.iter().copied().collect(), array.shape()).into(),
        }
    }
}

impl<'a, S: Data<Elem: Element>, D: Dimension> From<&'a ArrayBase<S, D>> for Input<'a> {
    fn from(array: &'a ArrayBase<S, D>) -> Self {
        Input::from_ndarray(array)
    }
}

impl<T: Element, D: Dimension> From<Array<T, D>> for Input<'static> {
    fn from(array: Array<T, D>) -> Self {
        array.into_tensor().into()
    }
}

/// Arrays become owned tensors.
///
/// # Examples
/// ```
/// use inferlay::{IntoTensor, Request};
/// use ndarray::Array2;
/// let array = Array2::<f32>::zeros((2, 3));
/// let tensor = array.into_tensor();
/// assert_eq!(tensor.shape()[..], [2, 3]);
/// let request: Request<'static> = Request::new().input("x", tensor);
/// ```
pub trait IntoTensor {
    /// The array as a tensor: its memory is taken over when it is in standard layout, else copied once.
    ///
    /// # Examples
    /// ```
    /// use inferlay::{Input, IntoTensor};
    /// use ndarray::array;
    /// let tensor = array![[1i64, 2], [3, 4]].into_tensor();
    /// assert_eq!(**tensor.shape(), [2, 2]);
    /// let input: Input<'static> = array![1i64, 2].into();
    /// ```
    fn into_tensor(self) -> Tensor;
}

impl<T: Element, D: Dimension> IntoTensor for Array<T, D> {
    fn into_tensor(self) -> Tensor {
        let shape = Shape::from(self.shape());
        if !self.is_standard_layout() {
            return tensor(self.iter().copied().collect(), shape);
        }
        let len = self.len();
        let (mut elements, first) = self.into_raw_vec_and_offset();
        // An array that was sliced in place begins behind the start of its memory and ends before the end.
        let first = first.unwrap_or(0);
        elements.truncate(first + len);
        elements.drain(..first);
        tensor(elements, shape)
    }
}

/// Tensors are read as arrays.
///
/// # Examples
/// ```
/// # use inferlay::{Request, ServerHandle, Tensor};
/// use inferlay::ToNdarray;
/// # let config = b"{backend: 'null', input: {name: x, data_type: FP32, dims: 2}}".to_vec();
/// # let server = ServerHandle::builder().model_in_memory("echo", [("config.yaml", config)]).strict().start()?;
/// # let model = server.model("echo")?;
/// // The model's outputs are its inputs.
/// let x = Tensor::from_vec(vec![1.0f32, 2.0], [2])?;
/// let response = model.infer(Request::new().input("x", x))?;
/// let array = response.output("x")?.ndarray_view::<f32>()?;
/// assert_eq!((array.ndim(), array.sum()), (1, 3.0));
/// # Ok::<(), inferlay::Error>(())
/// ```
pub trait ToNdarray<'a> {
    /// The tensor as a view of an array of its shape; nothing is copied.
    ///
    /// # Errors
    /// As for [`TensorRef::as_slice`]; and [`crate::ErrorKind::Unsupported`] for a shape that `ndarray` does not have:
    /// an empty one whose other dims multiply to more than `isize::MAX`.
    ///
    /// # Examples
    /// ```
    /// use inferlay::{Tensor, ToNdarray};
    /// let tensor = Tensor::from_vec(vec![1.0f32, 2.0, 3.0, 4.0], [2, 2])?;
    /// let array = tensor.ndarray_view::<f32>()?;
    /// assert_eq!(array[[1, 0]], 3.0);
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    fn ndarray_view<T: Element>(self) -> Result<ArrayViewD<'a, T>, Error>;
}

impl<'a> ToNdarray<'a> for TensorRef<'a> {
    fn ndarray_view<T: Element>(self) -> Result<ArrayViewD<'a, T>, Error> {
        let view = ArrayView::from_shape(IxDyn(self.shape()), self.as_slice::<T>()?);
        view.map_err(|error| Error::unsupported(format!("tensor of shape {}: as an array: {error}", self.shape())))
    }
}

impl<'a> ToNdarray<'a> for &'a Tensor {
    fn ndarray_view<T: Element>(self) -> Result<ArrayViewD<'a, T>, Error> {
        self.view().ndarray_view()
    }
}

fn tensor<T: Element>(elements: Vec<T>, shape: impl Into<Shape>) -> Tensor {
    own_shape(Tensor::from_vec(elements, shape))
}

/// What a tensor's constructor says of the elements and the shape of one and the same array.
fn own_shape<R>(made: Result<R, Error>) -> R {
    // The only refusal is that of a shape whose product is not the number of elements; an array's is, and fits.
    #[allow(clippy::expect_used)]
    made.expect("an array has as many elements as its shape says")
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use inferlay_backend_sdk::ErrorKind;
    use ndarray::{Array2, Axis, Slice, array, aview0};

    fn counted() -> Array2<i32> {
        Array2::from_shape_fn((3, 4), |(row, column)| (4 * row + column) as i32)
    }

    #[test]
    fn standard_layout_is_borrowed_and_all_else_is_copied_in_order() {
        let array = counted();
        let middle = array.slice_axis(Axis(0), Slice::from(1..));
        let columns = array.slice_axis(Axis(1), Slice::from(1..3));
        let backwards = array.slice_axis(Axis(0), Slice::new(0, None, -1));
        for (view, borrowed) in [(array.view(), true), (middle, true), (columns, false), (backwards, false)] {
            let input = Input::from(&view);
            assert_eq!((input.is_borrowed(), &**input.tensor().unwrap().shape()), (borrowed, view.shape()));
            let elements: Vec<_> = view.iter().copied().collect();
            assert_eq!(input.tensor().unwrap().view().as_slice::<i32>().unwrap(), elements);
        }
    }

    #[test]
    fn an_owned_array_in_standard_layout_keeps_its_memory() {
        let array = counted();
        let memory = array.as_ptr().cast::<u8>();
        assert_eq!(array.into_tensor().data().pointer().as_ptr().cast_const(), memory);
    }

    #[test]
    fn an_array_that_was_cut_in_place_brings_only_what_is_left() {
        for (from, to) in [(0, 1), (1, 3), (2, 3), (1, 1)] {
            let mut array = counted();
            array.slice_axis_inplace(Axis(0), Slice::from(from..to));
            let expected: Vec<_> = array.iter().copied().collect();
            let tensor = array.into_tensor();
            assert_eq!(**tensor.shape(), [(to - from) as usize, 4]);
            assert_eq!(tensor.view().as_slice::<i32>().unwrap(), expected);
        }
    }

    #[test]
    fn an_owned_array_in_another_layout_is_put_in_order() {
        let tensor = counted().reversed_axes().into_tensor();
        assert_eq!(**tensor.shape(), [4, 3]);
        assert_eq!(tensor.view().as_slice::<i32>().unwrap()[..4], [0, 4, 8, 1]);
    }

    #[test]
    fn scalars_and_empty_arrays_are_tensors_too() {
        let scalar = aview0(&2.5f64);
        assert!(Input::from(&scalar).tensor().unwrap().shape().is_empty());
        assert_eq!(**Array2::<u8>::zeros((0, 7)).into_tensor().shape(), [0, 7]);
        assert!(Tensor::from_vec(vec![2.5f64], Shape::SCALAR).unwrap().ndarray_view::<f64>().unwrap().ndim() == 0);
    }

    #[test]
    fn a_view_reads_the_tensors_own_memory() {
        let tensor = array![[1u16, 2, 3], [4, 5, 6]].into_tensor();
        let view = tensor.ndarray_view::<u16>().unwrap();
        assert_eq!(view.as_ptr().cast::<u8>(), tensor.data().pointer().as_ptr().cast_const());
        assert_eq!(view, array![[1u16, 2, 3], [4, 5, 6]].into_dyn());
    }

    #[test]
    fn what_is_no_such_array_is_refused() {
        let tensor = array![1.0f32].into_tensor();
        assert_eq!(tensor.ndarray_view::<f64>().unwrap_err().kind(), ErrorKind::InvalidArg);
        let vast = Tensor::from_vec(Vec::<u8>::new(), [usize::MAX, usize::MAX, 0]).unwrap();
        assert_eq!(vast.ndarray_view::<u8>().unwrap_err().kind(), ErrorKind::Unsupported);
    }
}
