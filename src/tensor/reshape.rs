//! The same elements under other dims: those that clients know, and those that the backend does. Pure; any thread.
//!
//! A dim that varies has the same value on both sides: the first of one side is the first of the other, and so on. The
//! config promises that as many elements lie between them. Nothing is copied.

use inferlay_backend_sdk::{Error, Shape, Tensor};

/// The tensor under the dims `to`, which has the dims `from` behind `batch` dims that stay.
///
/// # Errors
/// `INVALID_ARG` when it has other dims than `from`.
pub(crate) fn reshape(tensor: Tensor, batch: usize, (from, to): (&[i64], &[i64])) -> Result<Tensor, Error> {
    let found = tensor.shape();
    let (stay, rest) = found.split_at(batch.min(found.len()));
    if rest.len() != from.len() {
        return Err(Error::invalid_arg(format!("found shape {found}, expected {} dims", batch + from.len())));
    }
    let mut varying = from.iter().zip(rest).filter(|(dim, _)| **dim < 0).map(|(_, found)| *found);
    let value = |dim: &i64| usize::try_from(*dim).ok().or_else(|| varying.next()).unwrap_or(1);
    let shape = Shape::from_iter(stay.iter().copied().chain(to.iter().map(value)));
    tensor.reshaped(shape)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    /// A shape, how many dims of it stay, its dims and others, and the shape under those.
    type Row = (&'static [usize], usize, &'static [i64], &'static [i64], &'static [usize]);

    #[test]
    fn dims_that_vary_keep_their_values_in_their_order() {
        let rows: [Row; 6] = [
            (&[2, 3], 0, &[2, 3], &[6], &[6]),
            (&[5, 1], 1, &[1], &[], &[5]),
            (&[5], 1, &[], &[1, 1], &[5, 1, 1]),
            (&[2, 3, 4, 7], 1, &[-1, 4, -1], &[-1, 2, 2, -1], &[2, 3, 2, 2, 7]),
            (&[0, 4], 0, &[-1, 4], &[1, -1, 4], &[1, 0, 4]),
            (&[1, 1, 1, 2, 2, 2], 0, &[1, 1, 1, 2, 2, 2], &[1, 1, 1, 1, 2, 2, 2], &[1, 1, 1, 1, 2, 2, 2]),
        ];
        for (found, batch, from, to, expected) in rows {
            let tensor = Tensor::from_vec(vec![0u8; found.iter().product()], found).unwrap();
            assert_eq!(&reshape(tensor, batch, (from, to)).unwrap().shape()[..], expected, "{found:?}");
        }
        let tensor = Tensor::from_vec(vec![0u8; 2], [2]).unwrap();
        let error = reshape(tensor, 1, (&[2], &[1, 2])).unwrap_err();
        assert_eq!(error.message(), "found shape [2], expected 2 dims");
    }
}
