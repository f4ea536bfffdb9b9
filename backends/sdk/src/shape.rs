//! Shapes of tensors: up to six dims inline, more on the heap; every product is checked.

use std::fmt;
use std::ops::Deref;

const INLINE: usize = 6;

/// The dims of a concrete tensor, outermost first. A scalar has none; a dim may be zero.
///
/// # Examples
/// ```
/// use inferlay_backend_sdk::Shape;
/// let shape = Shape::from([2, 3]);
/// assert_eq!((shape.len(), shape.elements(), shape.to_string()), (2, Some(6), "[2, 3]".to_owned()));
/// ```
#[derive(Clone)]
pub struct Shape(Dims);

#[derive(Clone)]
enum Dims {
    Inline { rank: u8, dims: [usize; INLINE] },
    Heap(Box<[usize]>),
}

impl Shape {
    /// The shape of a scalar: no dims.
    pub const SCALAR: Shape = Shape(Dims::Inline { rank: 0, dims: [0; INLINE] });

    /// A shape with these dims; more than six are kept on the heap.
    ///
    /// # Examples
    /// ```
    /// use inferlay_backend_sdk::Shape;
    /// let dims = vec![1, 8, 8];
    /// assert_eq!(Shape::new(&dims), Shape::from([1, 8, 8]));
    /// ```
    #[inline]
    pub fn new(dims: &[usize]) -> Self {
        if dims.len() > INLINE {
            return Shape(Dims::Heap(dims.into()));
        }
        let mut inline = [0; INLINE];
        inline[..dims.len()].copy_from_slice(dims);
        Shape(Dims::Inline { rank: dims.len() as u8, dims: inline })
    }

    /// The number of elements; `None` when it does not fit a `usize`.
    ///
    /// # Examples
    /// ```
    /// use inferlay_backend_sdk::Shape;
    /// assert_eq!(Shape::from([2, 3]).elements(), Some(6));
    /// assert_eq!(Shape::SCALAR.elements(), Some(1));
    /// assert_eq!(Shape::from([usize::MAX, 2]).elements(), None);
    /// ```
    #[inline]
    pub fn elements(&self) -> Option<usize> {
        let mut product = Some(1usize);
        for dim in &**self {
            // A zero dim makes the tensor empty however large its other dims are.
            if *dim == 0 {
                return Some(0);
            }
            product = product.and_then(|product| product.checked_mul(*dim));
        }
        product
    }

    /// This shape with its first dim replaced; a scalar stays a scalar.
    ///
    /// # Examples
    /// ```
    /// use inferlay_backend_sdk::Shape;
    /// // The shape of one row becomes that of a batch.
    /// assert_eq!(Shape::from([1, 8, 8]).with_first(32), Shape::from([32, 8, 8]));
    /// ```
    #[must_use]
    #[inline]
    pub fn with_first(mut self, rows: usize) -> Self {
        match &mut self.0 {
            Dims::Inline { rank: 0, .. } => {}
            Dims::Inline { dims, .. } => dims[0] = rows,
            Dims::Heap(dims) => dims[0] = rows,
        }
        self
    }
}

impl Default for Shape {
    fn default() -> Self {
        Self::SCALAR
    }
}

impl Deref for Shape {
    type Target = [usize];

    #[inline]
    fn deref(&self) -> &[usize] {
        match &self.0 {
            Dims::Inline { rank, dims } => &dims[..usize::from(*rank)],
            Dims::Heap(dims) => dims,
        }
    }
}

impl PartialEq for Shape {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Shape {}

impl FromIterator<usize> for Shape {
    fn from_iter<I: IntoIterator<Item = usize>>(dims: I) -> Self {
        let (mut inline, mut rank) = ([0; INLINE], 0);
        let mut dims = dims.into_iter();
        while let Some(dim) = dims.next() {
            let Some(place) = inline.get_mut(rank) else {
                return Shape(Dims::Heap(inline.into_iter().chain([dim]).chain(dims).collect()));
            };
            (*place, rank) = (dim, rank + 1);
        }
        Shape(Dims::Inline { rank: rank as u8, dims: inline })
    }
}

impl From<&[usize]> for Shape {
    fn from(dims: &[usize]) -> Self {
        Shape::new(dims)
    }
}

impl<const N: usize> From<[usize; N]> for Shape {
    fn from(dims: [usize; N]) -> Self {
        Shape::new(&dims)
    }
}

impl<const N: usize> From<&[usize; N]> for Shape {
    fn from(dims: &[usize; N]) -> Self {
        Shape::new(dims)
    }
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&**self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dims_that_come_one_by_one_are_a_shape() {
        for len in 0..9usize {
            let dims: Vec<_> = (1..=len).collect();
            assert_eq!((Shape::from_iter(1..=len), Shape::from_iter(1..=len).len()), (Shape::new(&dims), len));
        }
    }

    #[test]
    fn elements_are_counted_without_overflow() {
        for (dims, elements) in [
            (&[][..], Some(1)),
            (&[2, 3], Some(6)),
            (&[usize::MAX, 0], Some(0)),
            (&[usize::MAX, 2], None),
            (&[1; 12], Some(1)),
        ] {
            assert_eq!(Shape::new(dims).elements(), elements, "{dims:?}");
        }
    }

    #[test]
    fn the_first_dim_is_replaced_where_there_is_one() {
        assert_eq!(Shape::from([2, 3]).with_first(7), Shape::from([7, 3]));
        assert_eq!(Shape::SCALAR.with_first(7), Shape::SCALAR);
        assert_eq!(Shape::from([1; 9]).with_first(7)[0], 7);
    }
}
