//! Element types, and the dims that the runtime tells.

use super::{nothing, outcome};
use inferlay_backend_sdk::DataType;
use ort::Error;
use ort::sys::{ONNXTensorElementDataType, OrtTensorTypeAndShapeInfo};
use std::ffi::{CStr, c_char};

/// Our types and the runtime's numbers of them, which are ONNX's own.
const ELEMENTS: [(DataType, ONNXTensorElementDataType); 14] = {
    use ONNXTensorElementDataType as Onnx;
    [
        (DataType::Bool, Onnx::ONNX_TENSOR_ELEMENT_DATA_TYPE_BOOL),
        (DataType::Uint8, Onnx::ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8),
        (DataType::Uint16, Onnx::ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT16),
        (DataType::Uint32, Onnx::ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT32),
        (DataType::Uint64, Onnx::ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT64),
        (DataType::Int8, Onnx::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8),
        (DataType::Int16, Onnx::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT16),
        (DataType::Int32, Onnx::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32),
        (DataType::Int64, Onnx::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT64),
        (DataType::Fp16, Onnx::ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT16),
        (DataType::Fp32, Onnx::ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT),
        (DataType::Fp64, Onnx::ONNX_TENSOR_ELEMENT_DATA_TYPE_DOUBLE),
        (DataType::Bytes, Onnx::ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING),
        (DataType::Bf16, Onnx::ONNX_TENSOR_ELEMENT_DATA_TYPE_BFLOAT16),
    ]
};

/// The names of ONNX's element types that are none of ours, by number.
const FOREIGN: [(i32, &str); 13] = [
    (14, "complex64"),
    (15, "complex128"),
    (17, "float8e4m3fn"),
    (18, "float8e4m3fnuz"),
    (19, "float8e5m2"),
    (20, "float8e5m2fnuz"),
    (21, "uint4"),
    (22, "int4"),
    (23, "float4e2m1"),
    (24, "uint2"),
    (25, "int2"),
    (26, "float8e8m0"),
    (0, "undefined"),
];

/// Our type for the runtime's number of it.
pub(crate) fn element_of(number: i32) -> Option<DataType> {
    ELEMENTS.iter().find(|(_, known)| *known as i32 == number).map(|(dtype, _)| *dtype)
}

/// A name for an element type that is none of ours.
pub(crate) fn element_name(number: i32) -> String {
    let known = FOREIGN.iter().find(|(known, _)| *known == number);
    known.map_or_else(|| format!("number {number}"), |(_, name)| (*name).to_owned())
}

/// The runtime's type for one of ours.
pub(super) fn number_of(dtype: DataType) -> ONNXTensorElementDataType {
    let known = ELEMENTS.iter().find(|(known, _)| *known == dtype);
    known.map_or(ONNXTensorElementDataType::ONNX_TENSOR_ELEMENT_DATA_TYPE_UNDEFINED, |(_, number)| *number)
}

/// One dim of an input or output, as the model states it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Dim {
    /// A fixed size.
    Size(usize),
    /// Any size, the same wherever this name stands.
    Named(String),
    /// Any size.
    Any,
}

impl Dim {
    pub(crate) fn name(&self) -> Option<&str> {
        if let Dim::Named(name) = self { Some(name) } else { None }
    }
}

/// The element type's number. A number rather than the enum: a newer runtime may know types that the enum lacks.
pub(super) fn element(info: &OrtTensorTypeAndShapeInfo) -> Result<i32, Error> {
    let mut number = 0i32;
    // SAFETY: a live `info`; the enum is as wide as an `i32`.
    let status = unsafe { (ort::api().GetTensorElementType)(info, (&raw mut number).cast()) };
    outcome(status).map(|()| number)
}

/// The dims as numbers, -1 for one that varies.
pub(super) fn sizes(info: &OrtTensorTypeAndShapeInfo) -> Result<Vec<i64>, Error> {
    let mut rank = 0;
    // SAFETY: a live `info`.
    outcome(unsafe { (ort::api().GetDimensionsCount)(info, &raw mut rank) })?;
    let mut sizes = vec![0i64; rank];
    // SAFETY: a live `info`; `sizes` has room for `rank` of them.
    outcome(unsafe { (ort::api().GetDimensions)(info, sizes.as_mut_ptr(), rank) })?;
    Ok(sizes)
}

/// The dims with their names.
pub(super) fn dims(info: &OrtTensorTypeAndShapeInfo) -> Result<Vec<Dim>, Error> {
    let sizes = sizes(info)?;
    let mut names = vec![std::ptr::null::<c_char>(); sizes.len()];
    // SAFETY: a live `info`; `names` has room for as many as there are dims.
    outcome(unsafe { (ort::api().GetSymbolicDimensions)(info, names.as_mut_ptr(), names.len()) })?;
    let dim = |(size, name): (i64, *const c_char)| {
        if name.is_null() {
            return Err(nothing("name of a dim"));
        }
        // SAFETY: not null, and a text of `info`, which is alive.
        let name = unsafe { CStr::from_ptr(name) }.to_string_lossy();
        Ok(match usize::try_from(size) {
            Ok(size) => Dim::Size(size),
            Err(_) if name.is_empty() => Dim::Any,
            Err(_) => Dim::Named(name.into_owned()),
        })
    };
    sizes.into_iter().zip(names).map(dim).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_of_ours_has_a_number_and_comes_back() {
        for dtype in DataType::all() {
            assert_eq!(element_of(number_of(dtype) as i32), Some(dtype));
        }
        assert_eq!((element_of(22), &*element_name(22), &*element_name(99)), (None, "int4", "number 99"));
    }
}
