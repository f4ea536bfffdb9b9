//! One array as NumPy writes it: a magic, a version, the text of a Python dict, then the elements. Pure.
//!
//! Invariants: 1. No number of the header is believed before it is compared with what is there. 2. Only little-endian
//! arrays in the order of C are read; nothing is ever unpickled.

use inferlay::{Buffer, DataType, Error, Tensor, TensorRef};

const MAGIC: &[u8; 6] = b"\x93NUMPY";

/// What the elements of numbers are called.
const NAMES: [(&str, DataType); 12] = [
    ("|b1", DataType::Bool),
    ("|u1", DataType::Uint8),
    ("<u2", DataType::Uint16),
    ("<u4", DataType::Uint32),
    ("<u8", DataType::Uint64),
    ("|i1", DataType::Int8),
    ("<i2", DataType::Int16),
    ("<i4", DataType::Int32),
    ("<i8", DataType::Int64),
    ("<f2", DataType::Fp16),
    ("<f4", DataType::Fp32),
    ("<f8", DataType::Fp64),
];

/// Reads an array.
pub(super) fn read(bytes: &[u8]) -> Result<Tensor, Error> {
    let (header, data) = split(bytes).ok_or_else(|| Error::invalid_arg("found no array, expected an .npy file"))?;
    let wrong = |what: &str| Error::invalid_arg(format!("array of header {:?}: {what}", header.trim_end()));
    let descr = value(header, "descr").ok_or_else(|| wrong("expected a descr"))?.trim_matches(['\'', '"']);
    if value(header, "fortran_order") != Some("False") {
        return Err(wrong("found an order other than that of C, expected numpy.ascontiguousarray of it"));
    }
    let shape = value(header, "shape").and_then(shape).ok_or_else(|| wrong("expected a shape"))?;
    if let Some((_, dtype)) = NAMES.iter().find(|(name, _)| *name == descr) {
        return Tensor::new(*dtype, &*shape, Buffer::copy_of(data)).map_err(|error| wrong(error.message()));
    }
    let (kind, len) = descr.split_at_checked(2).unwrap_or_default();
    let unit = match kind {
        "|S" => 1,
        "<U" => 4,
        _ => return Err(wrong("expected little-endian numbers, bools or text")),
    };
    let len = len.parse::<usize>().ok().and_then(|len| len.checked_mul(unit)).filter(|len| *len > 0);
    let strings = data.chunks_exact(len.ok_or_else(|| wrong("expected text of some length"))?);
    let strings: Option<Vec<Vec<u8>>> =
        strings.map(|text| if unit == 1 { Some(cut(text)) } else { utf8(text) }).collect();
    let strings = strings.ok_or_else(|| wrong("found text that is not Unicode"))?;
    Tensor::from_strings(&strings, &*shape).map_err(|error| wrong(error.message()))
}

/// The header and what is behind it.
fn split(bytes: &[u8]) -> Option<(&str, &[u8])> {
    let rest = bytes.strip_prefix(MAGIC)?;
    let (len, rest) = match rest.split_first_chunk::<2>()? {
        ([1, _], rest) => {
            let (len, rest) = rest.split_first_chunk::<2>()?;
            (usize::from(u16::from_le_bytes(*len)), rest)
        }
        ([2 | 3, _], rest) => {
            let (len, rest) = rest.split_first_chunk::<4>()?;
            (u32::from_le_bytes(*len) as usize, rest)
        }
        _ => return None,
    };
    let (header, data) = rest.split_at_checked(len)?;
    Some((std::str::from_utf8(header).ok()?, data))
}

/// The value of a key of the dict, as it is written.
fn value<'a>(header: &'a str, key: &str) -> Option<&'a str> {
    let (_, rest) = header.split_once(&format!("'{key}':"))?;
    let rest = rest.trim_start();
    let end = match rest.strip_prefix('(') {
        Some(inside) => inside.find(')')? + 2,
        None => rest.find([',', '}'])?,
    };
    Some(rest[..end].trim_end())
}

fn shape(text: &str) -> Option<Vec<usize>> {
    let inside = text.strip_prefix('(')?.strip_suffix(')')?;
    let sizes = inside.split(',').map(str::trim).filter(|size| !size.is_empty());
    sizes.map(|size| size.parse().ok()).collect()
}

/// Without the zeros that fill an element of fixed length.
fn cut(text: &[u8]) -> Vec<u8> {
    let len = text.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    text[..len].to_vec()
}

fn utf8(text: &[u8]) -> Option<Vec<u8>> {
    let code = |bytes: &[u8]| bytes.try_into().ok().map(u32::from_le_bytes).and_then(char::from_u32);
    let text: String = text.chunks_exact(4).map(code).collect::<Option<_>>()?;
    Some(text.trim_end_matches('\0').as_bytes().to_vec())
}

/// Writes an array.
pub(super) fn written(tensor: TensorRef<'_>) -> Result<Vec<u8>, Error> {
    let (descr, data) = match NAMES.iter().find(|(_, dtype)| *dtype == tensor.dtype()) {
        Some((descr, _)) => ((*descr).to_owned(), tensor.bytes()?.to_vec()),
        None if tensor.dtype() == DataType::Bytes => {
            let len = tensor.strings()?.map(<[u8]>::len).max().unwrap_or(0).max(1);
            let filled = tensor.strings()?.flat_map(|text| text.iter().copied().chain(std::iter::repeat(0)).take(len));
            (format!("|S{len}"), filled.collect())
        }
        None => return Err(Error::unsupported(format!("{} in an .npz, which NumPy does not have", tensor.dtype()))),
    };
    let sizes: String = tensor.shape().iter().map(|size| format!("{size},")).collect();
    let header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': ({sizes}), }}");
    // The elements begin at a multiple of 64, behind magic, version and length, which are 10 bytes.
    let len = (header.len() + 11).next_multiple_of(64) - 10;
    let len_bytes =
        u16::try_from(len).map_err(|_| Error::unsupported("a shape of so many dims in an .npz"))?.to_le_bytes();
    let padded = format!("{header:len$}", len = len - 1) + "\n";
    Ok([&MAGIC[..], &[1, 0], &len_bytes, padded.as_bytes(), &data].concat())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn npy(header: &str, data: &[u8]) -> Vec<u8> {
        [MAGIC, &[1, 0][..], &u16::try_from(header.len()).unwrap().to_le_bytes(), header.as_bytes(), data].concat()
    }

    #[test]
    fn what_is_written_is_read_back() {
        let numbers = Tensor::from_vec(vec![1.5f32, -2.0, 0.0, 4.0, 5.0, 6.0], [2, 3]).unwrap();
        let texts = Tensor::from_strings(["a", "", "grün"], [3]).unwrap();
        let scalar = Tensor::from_vec(vec![7i64], [0usize; 0]).unwrap();
        for tensor in [numbers, texts, scalar] {
            let bytes = written(tensor.view()).unwrap();
            let read = read(&bytes).unwrap();
            assert_eq!((read.dtype(), read.shape()), (tensor.dtype(), tensor.shape()));
            assert_eq!(read.data().bytes().unwrap(), tensor.data().bytes().unwrap());
        }
    }

    #[test]
    fn text_of_fixed_length_loses_what_fills_it() {
        let header = "{'descr': '<U2', 'fortran_order': False, 'shape': (2,), }\n";
        let data: Vec<u8> =
            [u32::from('é'), 0, u32::from('a'), u32::from('b')].into_iter().flat_map(u32::to_le_bytes).collect();
        let tensor = read(&npy(header, &data)).unwrap();
        assert!(tensor.view().strings().unwrap().eq(["é".as_bytes(), b"ab"]));
    }

    #[test]
    fn a_header_is_not_believed() {
        let header = |descr: &str, order: &str, shape: &str| {
            format!("{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}\n")
        };
        let rows = [
            header("<f4", "False", "(3,)"),
            header("<f4", "False", "(9223372036854775807, 9223372036854775807)"),
            header("<f4", "False", "(-1,)"),
            header("<f4", "True", "(2,)"),
            header(">f4", "False", "(2,)"),
            header("|O", "False", "(2,)"),
            header("|S0", "False", "(2,)"),
            header("|é", "False", "(2,)"),
            "{}".to_owned(),
        ];
        for row in rows {
            assert!(read(&npy(&row, &[0; 8])).is_err(), "{row}");
        }
        let whole = npy(&header("<f4", "False", "(2,)"), &[0; 8]);
        assert!(read(&whole).is_ok());
        for len in 0..whole.len() {
            assert!(read(&whole[..len]).is_err(), "{len}");
        }
    }
}
