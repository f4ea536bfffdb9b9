//! Tensors into tract's memory (one copy) and out of it (none). Pure.

use inferlay_backend_sdk::{Buffer, DataType, Element, Error, Tensor, TensorRef};
use std::sync::Arc;
use tract_onnx::tract_core::internal as tract;
use tract_onnx::tract_core::internal::{Datum, DatumType, TValue};

/// A copy in tract's memory, which it aligns for its kernels and keeps at will.
///
/// # Errors
/// `INVALID_ARG` for a text that is not UTF-8; `UNSUPPORTED` for a type that tract lacks or memory of a device.
pub(crate) fn to_tract(input: &TensorRef<'_>) -> Result<TValue, Error> {
    let tensor = match input.dtype() {
        DataType::Fp32 => numbers::<f32>(input)?,
        DataType::Fp64 => numbers::<f64>(input)?,
        DataType::Int8 => numbers::<i8>(input)?,
        DataType::Int16 => numbers::<i16>(input)?,
        DataType::Int32 => numbers::<i32>(input)?,
        DataType::Int64 => numbers::<i64>(input)?,
        DataType::Uint8 => numbers::<u8>(input)?,
        DataType::Uint16 => numbers::<u16>(input)?,
        DataType::Uint32 => numbers::<u32>(input)?,
        DataType::Uint64 => numbers::<u64>(input)?,
        DataType::Bool => truths(input)?,
        DataType::Fp16 => raw(DatumType::F16, input)?,
        DataType::Bytes => texts(input)?,
        other => return Err(Error::unsupported(format!("tract does not compute in {other}"))),
    };
    Ok(tensor.into())
}

/// The same memory as a tensor of ours.
///
/// # Errors
/// `INTERNAL` when tract computed another type than the model states.
pub(crate) fn from_tract(value: TValue, wanted: DataType) -> Result<Tensor, Error> {
    let mut tensor = tract::IntoArcTensor::into_arc_tensor(value);
    // Sizes are symbolic expressions inside tract; outside they are the model's integers.
    if tensor.datum_type() == DatumType::TDim {
        let cast = tensor.cast_to_dt(DatumType::I64).map_err(|error| failed("an output of sizes", error))?;
        tensor = Arc::new(cast.into_owned());
    }
    let found = data_type(tensor.datum_type());
    if found != Some(wanted) || !tensor.is_plain_ram() {
        return Err(Error::internal(format!("tract computed {:?}, the model states {wanted}", tensor.datum_type())));
    }
    if wanted == DataType::Bytes {
        let view = tensor.to_plain_array_view::<String>().map_err(|error| failed("an output of texts", error))?;
        return Tensor::from_strings(view.iter(), tensor.shape());
    }
    let shape = inferlay_backend_sdk::Shape::new(tensor.shape());
    Tensor::new(wanted, shape, Buffer::from_arc(tensor, |tensor| tensor.as_bytes()))
}

fn data_type(datum: DatumType) -> Option<DataType> {
    Some(match datum.unquantized() {
        DatumType::Bool => DataType::Bool,
        DatumType::U8 => DataType::Uint8,
        DatumType::U16 => DataType::Uint16,
        DatumType::U32 => DataType::Uint32,
        DatumType::U64 => DataType::Uint64,
        DatumType::I8 => DataType::Int8,
        DatumType::I16 => DataType::Int16,
        DatumType::I32 => DataType::Int32,
        DatumType::I64 => DataType::Int64,
        DatumType::F16 => DataType::Fp16,
        DatumType::F32 => DataType::Fp32,
        DatumType::F64 => DataType::Fp64,
        DatumType::String => DataType::Bytes,
        _ => return None,
    })
}

fn numbers<T: Element + Datum>(input: &TensorRef<'_>) -> Result<tract::Tensor, Error> {
    match input.as_slice::<T>() {
        Ok(elements) => tract::Tensor::from_shape(input.shape(), elements).map_err(|error| failed("an input", error)),
        // Memory of the caller's that is not aligned to its type.
        Err(_) => raw(T::datum_type(), input),
    }
}

fn raw(datum: DatumType, input: &TensorRef<'_>) -> Result<tract::Tensor, Error> {
    let mut tensor = tract::Tensor::zero_dt(datum, input.shape()).map_err(|error| failed("an input", error))?;
    tensor.as_bytes_mut().copy_from_slice(input.bytes()?);
    Ok(tensor)
}

/// Any byte but 0 is true: tract's elements are Rust's `bool`, which may be nothing but 0 and 1.
fn truths(input: &TensorRef<'_>) -> Result<tract::Tensor, Error> {
    let truths: Vec<bool> = input.bytes()?.iter().map(|byte| *byte != 0).collect();
    tract::Tensor::from_shape(input.shape(), &truths).map_err(|error| failed("an input", error))
}

fn texts(input: &TensorRef<'_>) -> Result<tract::Tensor, Error> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec());
    let texts = input.strings()?.map(text).collect::<Result<Vec<String>, _>>();
    let texts = texts.map_err(|error| Error::invalid_arg(format!("a text is not UTF-8: {error}")))?;
    let array = tract::tract_ndarray::ArrayD::from_shape_vec(&input.shape()[..], texts);
    Ok(array.map_err(|error| failed("an input", error))?.into())
}

fn failed(place: &str, error: impl std::fmt::Display) -> Error {
    Error::internal(format!("{place}: {error:#}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_that_tract_has_comes_back_as_it_went() {
        for dtype in DataType::all().filter(|dtype| *dtype != DataType::Bf16) {
            let tensor = match dtype.size() {
                Some(size) => Tensor::new(dtype, [2, 4], vec![1u8; 8 * size].into()).unwrap(),
                None => Tensor::from_strings(["a", "", "ü", "d", "e", "f", "g", "h"], [2, 4]).unwrap(),
            };
            let back = from_tract(to_tract(&tensor.view()).unwrap(), dtype).unwrap();
            assert_eq!(inferlay_backend_sdk::conformance::difference(&back, &tensor, 0.0), None, "{dtype}");
        }
    }

    #[test]
    fn a_type_that_tract_lacks_is_refused() {
        let tensor = Tensor::new(DataType::Bf16, [1], vec![0u8; 2].into()).unwrap();
        assert_eq!(to_tract(&tensor.view()).unwrap_err().kind(), inferlay_backend_sdk::ErrorKind::Unsupported);
    }

    #[test]
    fn truths_are_0_and_1_whatever_the_bytes() {
        let tensor = Tensor::new(DataType::Bool, [3], vec![0u8, 1, 255].into()).unwrap();
        let back = from_tract(to_tract(&tensor.view()).unwrap(), DataType::Bool).unwrap();
        assert_eq!(back.view().bytes().unwrap(), [0, 1, 1]);
    }

    #[test]
    fn unaligned_numbers_are_read() {
        let bytes: Vec<u8> = [0u8, 0].into_iter().chain(7.0f32.to_le_bytes()).collect();
        let buffer = Buffer::from(bytes).slice(2, 4).unwrap();
        let tensor = Tensor::new(DataType::Fp32, [1], buffer).unwrap();
        let back = from_tract(to_tract(&tensor.view()).unwrap(), DataType::Fp32).unwrap();
        assert_eq!(back.view().as_slice::<f32>().unwrap(), [7.0]);
    }

    #[test]
    fn a_text_that_is_not_utf8_is_refused() {
        let tensor = Tensor::from_strings([&[0xffu8][..]], [1]).unwrap();
        assert!(to_tract(&tensor.view()).unwrap_err().message().contains("UTF-8"));
    }
}
