//! Whether two tensors say the same.

use crate::{DataType, Element, Tensor, TensorRef};

/// How `found` differs from `expected`, as half a sentence; `None` when it does not.
///
/// Floating-point elements may differ by `tolerance`, relative to the expected element where that exceeds 1; not-a-number
/// equals itself. Everything else must be equal.
///
/// # Examples
/// ```
/// use inferlay_backend_sdk::{Tensor, conformance::difference};
/// let a = Tensor::from_vec(vec![1.0f32, 100.0], [2]).unwrap();
/// let b = Tensor::from_vec(vec![1.0f32, 100.5], [2]).unwrap();
/// assert_eq!(difference(&a, &b, 0.01), None);
/// assert!(difference(&a, &b, 0.001).unwrap().contains("element 1"));
/// ```
pub fn difference(found: &Tensor, expected: &Tensor, tolerance: f64) -> Option<String> {
    if (found.dtype(), found.shape()) != (expected.dtype(), expected.shape()) {
        return Some(format!(
            "found {} {}, expected {} {}",
            found.dtype(),
            found.shape(),
            expected.dtype(),
            expected.shape()
        ));
    }
    let (found, expected) = (found.view(), expected.view());
    match expected.dtype() {
        DataType::Fp32 => floats(&found, &expected, tolerance, f64::from as fn(f32) -> f64),
        DataType::Fp64 => floats(&found, &expected, tolerance, |element: f64| element),
        DataType::Fp16 => raw_floats(&found, &expected, tolerance, half_value),
        DataType::Bf16 => raw_floats(&found, &expected, tolerance, brain_value),
        DataType::Bytes => strings(&found, &expected),
        dtype => raw(&found, &expected, dtype.size().unwrap_or(1)),
    }
}

fn floats<T: Element>(a: &TensorRef<'_>, b: &TensorRef<'_>, tolerance: f64, value: fn(T) -> f64) -> Option<String> {
    let (a, b) = match (a.as_slice::<T>(), b.as_slice::<T>()) {
        (Ok(a), Ok(b)) => (a, b),
        (a, b) => return Some(format!("unreadable: {:?} {:?}", a.err(), b.err())),
    };
    closest(a.iter().copied().map(value).zip(b.iter().copied().map(value)), tolerance)
}

fn raw_floats(a: &TensorRef<'_>, b: &TensorRef<'_>, tolerance: f64, value: fn(u16) -> f64) -> Option<String> {
    let (a, b) = (a.bytes().ok()?, b.bytes().ok()?);
    let read = |pair: &[u8]| value(u16::from_le_bytes([pair[0], pair[1]]));
    closest(a.chunks_exact(2).map(read).zip(b.chunks_exact(2).map(read)), tolerance)
}

fn closest(pairs: impl Iterator<Item = (f64, f64)>, tolerance: f64) -> Option<String> {
    let same = |a: f64, b: f64| a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= tolerance * b.abs().max(1.0);
    let differs = pairs.enumerate().find(|(_, (a, b))| !same(*a, *b));
    differs.map(|(index, (a, b))| format!("element {index}: found {a}, expected {b}"))
}

fn strings(a: &TensorRef<'_>, b: &TensorRef<'_>) -> Option<String> {
    let (a, b) = match (a.strings(), b.strings()) {
        (Ok(a), Ok(b)) => (a, b),
        _ => return Some("its elements are unreadable".to_owned()),
    };
    let differs = a.zip(b).enumerate().find(|(_, (a, b))| a != b);
    differs.map(|(index, (a, b))| {
        format!("element {index}: found {:?}, expected {:?}", String::from_utf8_lossy(a), String::from_utf8_lossy(b))
    })
}

fn raw(a: &TensorRef<'_>, b: &TensorRef<'_>, size: usize) -> Option<String> {
    let (a, b) = match (a.bytes(), b.bytes()) {
        (Ok(a), Ok(b)) => (a, b),
        _ => return Some("its memory is unreadable".to_owned()),
    };
    let differs = a.chunks(size).zip(b.chunks(size)).enumerate().find(|(_, (a, b))| a != b);
    differs.map(|(index, (a, b))| format!("element {index}: found bytes {a:?}, expected {b:?}"))
}

/// The value of an IEEE half: sign, 5 bits of exponent, 10 of fraction.
fn half_value(bits: u16) -> f64 {
    let sign = if bits & 0x8000 == 0 { 1.0 } else { -1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 0x1f), f64::from(bits & 0x3ff) / 1024.0);
    sign * match exponent {
        0 => fraction * 2f64.powi(-14),
        31 if fraction == 0.0 => f64::INFINITY,
        31 => f64::NAN,
        _ => (1.0 + fraction) * 2f64.powi(exponent - 15),
    }
}

/// The value of a bfloat16: the upper half of an `f32`.
fn brain_value(bits: u16) -> f64 {
    f64::from(f32::from_bits(u32::from(bits) << 16))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_have_their_values() {
        for (bits, value) in [(0x3c00, 1.0), (0xc000, -2.0), (0x7bff, 65504.0), (0x0001, 2f64.powi(-24))] {
            assert_eq!(half_value(bits), value, "{bits:#x}");
        }
        assert_eq!(half_value(0xfc00), f64::NEG_INFINITY);
        assert!(half_value(0x7e00).is_nan());
        assert_eq!(brain_value(0x3fc0), 1.5);
    }

    #[test]
    fn a_difference_is_found_in_every_kind_of_element() {
        let words = |last: &str| Tensor::from_strings(["a", last], [2]).unwrap();
        let halves = |last: u16| {
            let raw: Vec<u8> = [0x3c00u16, last].iter().flat_map(|bits| bits.to_le_bytes()).collect();
            Tensor::new(DataType::Fp16, [2], raw.into()).unwrap()
        };
        let ints = |last: i64| Tensor::from_vec(vec![1, last], [2]).unwrap();
        for (a, b) in [(words("b"), words("c")), (halves(0), halves(0x3c00)), (ints(2), ints(3))] {
            assert_eq!(difference(&a, &a, 0.0), None);
            assert!(difference(&a, &b, 0.1).unwrap().starts_with("element 1:"));
        }
        assert!(difference(&ints(2), &words("b"), 0.0).unwrap().contains("expected BYTES"));
    }
}
