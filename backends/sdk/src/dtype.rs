//! The data types of tensors, with the names and numbers that KServe v2 and Triton use.

use std::fmt;
use std::str::FromStr;

/// The type of a tensor's elements.
///
/// The names are those of KServe v2, the numbers those of Triton. Elements are little-endian; `BOOL` is one byte;
/// `FP16` and `BF16` are raw 16 bits; `BYTES` elements vary in length, see [`DataType::size`].
///
/// # Examples
/// ```
/// use inferlay_backend_sdk::DataType;
/// assert_eq!("FP32".parse(), Ok(DataType::Fp32));
/// assert_eq!("TYPE_STRING".parse(), Ok(DataType::Bytes));
/// assert_eq!(DataType::Int64.to_string(), "INT64");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[allow(missing_docs)]
#[repr(u32)]
#[non_exhaustive]
pub enum DataType {
    Bool = 1,
    Uint8 = 2,
    Uint16 = 3,
    Uint32 = 4,
    Uint64 = 5,
    Int8 = 6,
    Int16 = 7,
    Int32 = 8,
    Int64 = 9,
    Fp16 = 10,
    Fp32 = 11,
    Fp64 = 12,
    Bytes = 13,
    Bf16 = 14,
}

/// Every type with its KServe name; Triton's config files spell them `TYPE_…`, with `TYPE_STRING` for `BYTES`.
const NAMES: [(DataType, &str); 14] = [
    (DataType::Bool, "BOOL"),
    (DataType::Uint8, "UINT8"),
    (DataType::Uint16, "UINT16"),
    (DataType::Uint32, "UINT32"),
    (DataType::Uint64, "UINT64"),
    (DataType::Int8, "INT8"),
    (DataType::Int16, "INT16"),
    (DataType::Int32, "INT32"),
    (DataType::Int64, "INT64"),
    (DataType::Fp16, "FP16"),
    (DataType::Fp32, "FP32"),
    (DataType::Fp64, "FP64"),
    (DataType::Bytes, "BYTES"),
    (DataType::Bf16, "BF16"),
];

impl DataType {
    /// Every data type, in the order of their numbers.
    ///
    /// # Examples
    /// ```
    /// use inferlay_backend_sdk::DataType;
    /// assert_eq!(DataType::all().count(), 14);
    /// ```
    pub fn all() -> impl Iterator<Item = DataType> {
        NAMES.iter().map(|(dtype, _)| *dtype)
    }

    /// The KServe name, such as `FP32`.
    ///
    /// # Examples
    /// ```
    /// assert_eq!(inferlay_backend_sdk::DataType::Fp32.name(), "FP32");
    /// ```
    pub fn name(self) -> &'static str {
        NAMES[self as usize - 1].1
    }

    /// Bytes per element; `None` for `BYTES`, whose elements lie in one data buffer between n+1 `u64` offsets.
    ///
    /// # Examples
    /// ```
    /// use inferlay_backend_sdk::DataType;
    /// assert_eq!(DataType::Bf16.size(), Some(2));
    /// assert_eq!(DataType::Bytes.size(), None);
    /// ```
    #[inline]
    pub fn size(self) -> Option<usize> {
        match self {
            DataType::Bool | DataType::Uint8 | DataType::Int8 => Some(1),
            DataType::Uint16 | DataType::Int16 | DataType::Fp16 | DataType::Bf16 => Some(2),
            DataType::Uint32 | DataType::Int32 | DataType::Fp32 => Some(4),
            DataType::Uint64 | DataType::Int64 | DataType::Fp64 => Some(8),
            DataType::Bytes => None,
        }
    }
}

impl fmt::Display for DataType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// Accepts KServe names (`FP32`) and Triton's config spelling (`TYPE_FP32`, `TYPE_STRING`).
///
/// # Errors
/// The text itself, when it names no data type.
impl FromStr for DataType {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let name = text.strip_prefix("TYPE_").unwrap_or(text);
        let name = if name == "STRING" { "BYTES" } else { name };
        NAMES.iter().find(|(_, known)| *known == name).map(|(dtype, _)| *dtype).ok_or_else(|| text.to_owned())
    }
}

/// A Rust type that is the element of a tensor of one data type.
///
/// # Safety
/// The type has no padding, every bit pattern is a value of it, and its size is `DTYPE.size()`.
///
/// # Examples
/// ```
/// use inferlay_backend_sdk::{Element, Error, Tensor};
/// fn scalar<T: Element>(value: T) -> Result<Tensor, Error> {
///     Tensor::from_vec(vec![value], [])
/// }
/// assert_eq!(scalar(1.5f64)?.dtype(), f64::DTYPE);
/// # Ok::<(), Error>(())
/// ```
#[allow(unsafe_code)]
pub unsafe trait Element: Copy + Send + Sync + 'static {
    /// The data type whose elements these are.
    const DTYPE: DataType;
}

macro_rules! elements {
    ($($rust:ty => $dtype:ident),*) => {
        $(
            // SAFETY: a primitive number has no padding, accepts every bit pattern and has the width its type names.
            #[allow(unsafe_code)]
            unsafe impl Element for $rust {
                const DTYPE: DataType = DataType::$dtype;
            }
        )*
    };
}

elements!(u8 => Uint8, u16 => Uint16, u32 => Uint32, u64 => Uint64, i8 => Int8, i16 => Int16, i32 => Int32,
    i64 => Int64, f32 => Fp32, f64 => Fp64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_stands_at_its_number_and_reads_back_from_both_spellings() {
        for (index, (dtype, name)) in NAMES.iter().enumerate() {
            assert_eq!(*dtype as usize, index + 1);
            assert_eq!(name.parse(), Ok(*dtype));
            assert_eq!(format!("TYPE_{name}").parse(), Ok(*dtype));
        }
        assert_eq!("TYPE_STRING".parse(), Ok(DataType::Bytes));
        assert_eq!("float".parse::<DataType>(), Err("float".to_owned()));
    }
}
