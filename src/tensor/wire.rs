//! Strings of bytes in the form of the wire: before each element its length as 4 bytes, little-endian.
//!
//! ```text
//!   wire    02 00 00 00 't' 'o' 03 00 00 00 'b' 'y' 'e'
//!   memory  data "tobye"   offsets 0 2 5
//! ```
//!
//! Pure; any thread. No length of the wire is believed before it is compared with what is there.

use crate::memory::BlockPool;
#[cfg(any(feature = "capi", test))]
use inferlay_backend_sdk::TensorRef;
use inferlay_backend_sdk::{Error, ErrorKind, Shape, Tensor};

/// Bytes of a length.
const PREFIX: usize = 4;

/// The tensor of these bytes, in blocks of the pool.
///
/// # Errors
/// `INVALID_ARG` when the bytes are not as many elements as the shape says; `RESOURCE_EXHAUSTED` without memory.
pub(crate) fn read(wire: &[u8], shape: Shape, pool: &BlockPool) -> Result<Tensor, Error> {
    let wrong = |what: &str| Error::invalid_arg(format!("tensor of BYTES and shape {shape}: {what}"));
    let least = |elements: usize| elements.checked_mul(PREFIX).is_some_and(|least| least <= wire.len());
    let Some(elements) = shape.elements().filter(|elements| least(*elements)) else {
        return Err(wrong(&format!("found {} bytes, too few for the lengths of its elements", wire.len())));
    };
    let no_memory = || Error::new(ErrorKind::ResourceExhausted, "no memory for a tensor of BYTES");
    let mut data = pool.take(wire.len() - elements * PREFIX).ok_or_else(no_memory)?;
    let mut offsets = pool.take((elements + 1) * size_of::<u64>()).ok_or_else(no_memory)?;
    let (mut rest, mut end) = (wire, 0usize);
    let mut places = offsets.bytes_mut().chunks_exact_mut(size_of::<u64>());
    let mut put = |offset: usize| places.next().map(|place| place.copy_from_slice(&(offset as u64).to_ne_bytes()));
    put(0);
    for index in 0..elements {
        let element = take(&mut rest).ok_or_else(|| wrong(&format!("element {index} reaches past the end")))?;
        let place = data.bytes_mut().get_mut(end..end + element.len());
        place.ok_or_else(|| wrong(&format!("element {index} reaches past the end")))?.copy_from_slice(element);
        end += element.len();
        put(end);
    }
    if !rest.is_empty() {
        return Err(wrong(&format!("found {} bytes after its last element", rest.len())));
    }
    Tensor::new_bytes(shape, data.share(), offsets.share())
}

/// The first element, cut off.
fn take<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (prefix, behind) = rest.split_first_chunk::<PREFIX>()?;
    let (element, behind) = behind.split_at_checked(u32::from_le_bytes(*prefix) as usize)?;
    *rest = behind;
    Some(element)
}

/// How many bytes a tensor takes on the wire.
///
/// # Errors
/// Those of a tensor that has no strings to read.
#[cfg(any(feature = "capi", test))]
pub(crate) fn len(tensor: TensorRef<'_>) -> Result<usize, Error> {
    Ok(tensor.strings()?.map(|element| PREFIX + element.len()).sum())
}

/// Writes a tensor to a place of [`len`] bytes.
///
/// # Errors
/// As for [`len`], and `UNSUPPORTED` for an element whose length does not fit its 4 bytes.
#[cfg(any(feature = "capi", test))]
pub(crate) fn write(tensor: TensorRef<'_>, mut place: &mut [u8]) -> Result<(), Error> {
    for element in tensor.strings()? {
        let len = u32::try_from(element.len())
            .map_err(|_| Error::unsupported(format!("an element of {} bytes on the wire", element.len())))?;
        let (prefix, rest) = place.split_at_mut(PREFIX);
        prefix.copy_from_slice(&len.to_le_bytes());
        let (content, rest) = rest.split_at_mut(element.len());
        content.copy_from_slice(element);
        place = rest;
    }
    Ok(())
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_again() {
        for words in [&["to", "", "bye"][..], &[], &["a"]] {
            let tensor = Tensor::from_strings(words, [words.len()]).unwrap();
            let mut wire = vec![0u8; len(tensor.view()).unwrap()];
            write(tensor.view(), &mut wire).unwrap();
            let again = read(&wire, Shape::from([words.len()]), &BlockPool::new()).unwrap();
            let found: Vec<_> = again.view().strings().unwrap().collect();
            assert_eq!(found, words.iter().map(|word| word.as_bytes()).collect::<Vec<_>>());
        }
    }

    #[test]
    fn lengths_that_lie_are_refused() {
        let rows: [(&[u8], usize, &str); 5] = [
            (&[2, 0, 0, 0, b'a'], 1, "element 0 reaches past the end"),
            (&[255, 255, 255, 255, 1, 2], 1, "element 0 reaches past the end"),
            (&[0, 0, 0, 0, 9], 1, "found 1 bytes after its last element"),
            (&[0, 0, 0], 1, "too few"),
            (&[], usize::MAX / 2, "too few"),
        ];
        for (wire, elements, message) in rows {
            let error = read(wire, Shape::from([elements]), &BlockPool::new()).unwrap_err();
            assert!(error.message().contains(message), "{error}");
        }
        // The second element takes what the first has left of the data, and no more.
        let wire = [1, 0, 0, 0, b'a', 4, 0, 0, 0, b'b'];
        assert!(read(&wire, Shape::from([2]), &BlockPool::new()).is_err());
    }
}
