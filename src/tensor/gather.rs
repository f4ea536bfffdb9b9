//! Joining the inputs of several requests into one tensor, and copying small parts out of large ones.

use crate::memory::{Block, BlockPool};
use inferlay_backend_sdk::{DataType, Error, ErrorKind, Shape, Tensor};

/// One tensor of all parts along the first dim, in a block of the pool. `parts` is walked twice.
///
/// # Errors
/// `INVALID_ARG` when the parts' types or inner dims differ, `RESOURCE_EXHAUSTED` when there is no such memory.
pub(crate) fn gather<'a, I>(parts: impl Fn() -> I, rows: usize, pool: &BlockPool) -> Result<Tensor, Error>
where
    I: Iterator<Item = Result<&'a Tensor, Error>>,
{
    let Some(first) = parts().next() else { return Err(Error::internal("a batch without requests")) };
    let first = first?;
    let mut len = 0;
    for part in parts() {
        let part = part?;
        let agrees = part.dtype() == first.dtype() && part.shape().get(1..) == first.shape().get(1..);
        if !agrees {
            let (found, expected) = (part.shape(), first.shape());
            return Err(Error::invalid_arg(format!("found shape {found} in a batch of {expected}")));
        }
        len += span(part)?.1 - span(part)?.0;
    }
    let shape = first.shape().clone().with_first(rows);
    join(parts, first.dtype(), (shape, len), pool)
}

/// One tensor of one dim of all parts, one after the other, in a block of the pool; a part alone is shared. `parts` is
/// walked twice.
///
/// # Errors
/// As for [`gather`].
pub(crate) fn flat<'a, I>(parts: impl Fn() -> I, pool: &BlockPool) -> Result<Tensor, Error>
where
    I: Iterator<Item = Result<&'a Tensor, Error>>,
{
    let mut all = parts();
    let Some(first) = all.next() else { return Err(Error::internal("a batch without requests")) };
    let first = first?;
    let elements = |part: &Tensor| part.shape().elements().unwrap_or(0);
    let (mut count, mut len, mut is_alone) = (elements(first), span(first)?.1 - span(first)?.0, true);
    for part in all {
        let part = part?;
        if part.dtype() != first.dtype() {
            return Err(Error::invalid_arg(format!("found {} in a batch of {}", part.dtype(), first.dtype())));
        }
        (count, len, is_alone) = (count + elements(part), len + span(part)?.1 - span(part)?.0, false);
    }
    if is_alone {
        return first.clone().reshaped([count]);
    }
    join(parts, first.dtype(), (Shape::from([count]), len), pool)
}

/// Copies all parts, one after the other, to a tensor of that shape and so many bytes.
fn join<'a, I>(
    parts: impl Fn() -> I,
    dtype: DataType,
    (shape, len): (Shape, usize),
    pool: &BlockPool,
) -> Result<Tensor, Error>
where
    I: Iterator<Item = Result<&'a Tensor, Error>>,
{
    let mut block = take(pool, len)?;
    let mut rest = block.bytes_mut();
    for part in parts() {
        let part = part?;
        let (begin, end) = span(part)?;
        let (place, behind) = rest.split_at_mut(end - begin);
        place.copy_from_slice(&part.data().bytes()?[begin..end]);
        rest = behind;
    }
    match dtype {
        DataType::Bytes => Tensor::new_bytes(shape.clone(), block.share(), offsets(parts(), &shape, pool)?.share()),
        dtype => Tensor::new(dtype, shape, block.share()),
    }
}

/// A copy of a tensor in a block of the pool.
///
/// # Errors
/// As for [`gather`].
pub(crate) fn copy(tensor: &Tensor, pool: &BlockPool) -> Result<Tensor, Error> {
    if tensor.dtype() == DataType::Bytes {
        let rows = tensor.shape().first().copied().unwrap_or(1);
        return gather(|| std::iter::once(Ok(tensor)), rows, pool);
    }
    let bytes = tensor.data().bytes()?;
    let mut block = take(pool, bytes.len())?;
    block.bytes_mut().copy_from_slice(bytes);
    Tensor::new(tensor.dtype(), tensor.shape().clone(), block.share())
}

/// A copy of some rows of a tensor whose elements have a fixed size. `None` when they are not that small.
///
/// # Errors
/// `INVALID_ARG` when the tensor has no such rows, and as for [`gather`].
pub(crate) fn copy_rows(
    tensor: &Tensor,
    (first, rows): (usize, usize),
    len_max: usize,
    pool: &BlockPool,
) -> Result<Option<Tensor>, Error> {
    let total = tensor.shape().first().copied().unwrap_or(0);
    let Some(row_len) = tensor.data().len().checked_div(total) else { return Ok(None) };
    if tensor.dtype() == DataType::Bytes || rows.saturating_mul(row_len) > len_max {
        return Ok(None);
    }
    let (begin, len) = (first.saturating_mul(row_len), rows * row_len);
    let Some(bytes) = tensor.data().bytes()?.get(begin..begin.saturating_add(len)) else {
        return Err(Error::invalid_arg(format!("rows {first}+{rows} of a tensor of shape {}", tensor.shape())));
    };
    let mut block = take(pool, len)?;
    block.bytes_mut().copy_from_slice(bytes);
    Tensor::new(tensor.dtype(), tensor.shape().clone().with_first(rows), block.share()).map(Some)
}

/// The bytes of its data that a tensor uses: of `BYTES`, those between its first and last offset.
fn span(tensor: &Tensor) -> Result<(usize, usize), Error> {
    if tensor.dtype() != DataType::Bytes {
        return Ok((0, tensor.data().len()));
    }
    let offsets = tensor.view().offsets()?;
    let end = |offset: Option<&u64>| offset.map_or(0, |offset| *offset as usize);
    Ok((end(offsets.first()), end(offsets.last())))
}

/// The offsets of joined `BYTES`, each part's moved behind the one before.
fn offsets<'a>(
    parts: impl Iterator<Item = Result<&'a Tensor, Error>>,
    shape: &Shape,
    pool: &BlockPool,
) -> Result<Block, Error> {
    let count = shape.elements().and_then(|elements| elements.checked_add(1));
    let len = count.and_then(|count| count.checked_mul(8)).unwrap_or(usize::MAX);
    let mut block = take(pool, len)?;
    let mut words = block.bytes_mut().chunks_exact_mut(8);
    let mut put = |offset: u64| words.next().map(|word| word.copy_from_slice(&offset.to_ne_bytes()));
    put(0);
    let mut base = 0;
    for part in parts {
        let offsets = part?.view().offsets()?;
        let begin = offsets.first().copied().unwrap_or(0);
        for offset in offsets.iter().skip(1) {
            put(base + offset - begin);
        }
        base += offsets.last().copied().unwrap_or(0) - begin;
    }
    Ok(block)
}

fn take(pool: &BlockPool, len: usize) -> Result<Block, Error> {
    pool.take(len)
        .ok_or_else(|| Error::new(ErrorKind::ResourceExhausted, format!("a tensor of {len} bytes is too large")))
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_few_rows_are_copied_and_many_are_not() {
        let pool = BlockPool::new();
        let tensor = Tensor::from_vec((0..12i32).collect(), [4, 3]).unwrap();
        let copied = copy_rows(&tensor, (1, 2), 24, &pool).unwrap().unwrap();
        assert_eq!(
            (copied.shape().to_string(), copied.view().as_slice::<i32>().unwrap()),
            ("[2, 3]".into(), &[3, 4, 5, 6, 7, 8][..])
        );
        assert!(copy_rows(&tensor, (1, 2), 23, &pool).unwrap().is_none());
        assert!(copy_rows(&tensor, (3, 2), 24, &pool).unwrap_err().message().contains("rows 3+2"));
        let words = Tensor::from_strings(["to", "be"], [2]).unwrap();
        assert!(copy_rows(&words, (0, 1), 24, &pool).unwrap().is_none());
        let empty = Tensor::from_vec(Vec::<f32>::new(), [2, 0]).unwrap();
        assert_eq!(copy_rows(&empty, (1, 1), 24, &pool).unwrap().unwrap().shape().to_string(), "[1, 0]");
    }

    #[test]
    fn numbers_are_joined_in_order() {
        let parts = [vec![1f32, 2.0], vec![3.0, 4.0, 5.0, 6.0]].map(|part| {
            let rows = part.len() / 2;
            Tensor::from_vec(part, [rows, 2]).unwrap()
        });
        let joined = gather(|| parts.iter().map(Ok), 3, &BlockPool::new()).unwrap();
        assert_eq!(joined.shape(), &Shape::from([3, 2]));
        assert_eq!(joined.view().as_slice::<f32>().unwrap(), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    }

    #[test]
    fn strings_are_joined_also_when_a_part_is_a_view() {
        let words = Tensor::from_strings(["skipped", "to", "be"], [3]).unwrap();
        let parts = [words.rows(1, 2).unwrap(), Tensor::from_strings(["", "not"], [2]).unwrap()];
        let joined = gather(|| parts.iter().map(Ok), 4, &BlockPool::new()).unwrap();
        assert_eq!(joined.view().strings().unwrap().collect::<Vec<_>>(), [&b"to"[..], b"be", b"", b"not"]);
        let copied = copy(&parts[0], &BlockPool::new()).unwrap();
        assert_eq!(copied.view().strings().unwrap().collect::<Vec<_>>(), [b"to", b"be"]);
    }

    #[test]
    fn parts_of_any_shape_become_one_dim_and_one_alone_is_not_copied() {
        let pool = BlockPool::new();
        let parts = [&[1usize, 2][..], &[2, 0], &[1, 1, 3]].map(|dims| {
            let len: usize = dims.iter().product();
            Tensor::from_vec((0..len as i32).collect(), dims).unwrap()
        });
        let flat_of = |parts: &[Tensor]| flat(|| parts.iter().map(Ok), &pool).unwrap();
        let joined = flat_of(&parts);
        assert_eq!((&joined.shape()[..], joined.view().as_slice::<i32>().unwrap()), (&[5][..], &[0, 1, 0, 1, 2][..]));
        let alone = flat_of(&parts[2..]);
        assert_eq!((&alone.shape()[..], alone.data().pointer()), (&[3][..], parts[2].data().pointer()));
        let words =
            [Tensor::from_strings(["to", "be"], [1, 2]).unwrap(), Tensor::from_strings(["or"], [1, 1]).unwrap()];
        let joined = flat_of(&words);
        assert_eq!(joined.view().strings().unwrap().collect::<Vec<_>>(), [&b"to"[..], b"be", b"or"]);
        assert!(flat(|| [&parts[0], &words[0]].into_iter().map(Ok), &pool).is_err());
    }

    #[test]
    fn parts_of_different_inner_dims_are_refused() {
        let parts = [[1, 2], [1, 3]].map(|dims| Tensor::from_vec(vec![0u8; dims[1]], dims).unwrap());
        let error = gather(|| parts.iter().map(Ok), 2, &BlockPool::new()).unwrap_err();
        assert_eq!(error.message(), "found shape [1, 3] in a batch of [1, 2]");
    }
}
