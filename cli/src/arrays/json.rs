//! Tensors as JSON: lists within lists by the names of inputs, or requests and responses in the form of KServe v2. Pure.
//!
//! What is written is strict JSON, which has no numbers that are not finite: these are the texts `"NaN"`, `"Infinity"` and
//! `"-Infinity"`, which are read as well.

use super::only;
use inferlay::{Buffer, DataType, Element, Error, Response, Tensor, TensorMetadata, TensorRef};
use serde_json::{Map, Value, json};

/// Reads the inputs of a model.
pub(super) fn read(bytes: &[u8], expected: &[TensorMetadata]) -> Result<Vec<(String, Tensor)>, Error> {
    let value: Value =
        serde_json::from_slice(bytes).map_err(|error| Error::invalid_arg(format!("found no JSON: {error}")))?;
    match value {
        Value::Object(named) => match named.get("inputs") {
            Some(Value::Array(inputs)) => inputs.iter().map(|input| described(input, expected)).collect(),
            _ => named.iter().map(|(name, data)| input(name, data, None, expected)).collect(),
        },
        data => input(&only(expected)?.name, &data, None, expected).map(|input| vec![input]),
    }
}

/// An input in the form of KServe v2, whose data may be flat.
fn described(value: &Value, expected: &[TensorMetadata]) -> Result<(String, Tensor), Error> {
    let wrong = || Error::invalid_arg("inputs: expected objects of name, datatype, shape and data".to_owned());
    let name = value["name"].as_str().ok_or_else(wrong)?;
    let data = value.get("data").ok_or_else(wrong)?;
    let shape = match &value["shape"] {
        Value::Null => None,
        shape => Some(serde_json::from_value::<Vec<usize>>(shape.clone()).map_err(|_| wrong())?),
    };
    if let (Some(stated), Some(own)) = (value["datatype"].as_str(), expected.iter().find(|own| own.name == name))
        && stated != own.datatype
    {
        return Err(Error::invalid_arg(format!("input '{name}': found {stated}, expected {}", own.datatype)));
    }
    input(name, data, shape, expected)
}

fn input(
    name: &str,
    data: &Value,
    shape: Option<Vec<usize>>,
    expected: &[TensorMetadata],
) -> Result<(String, Tensor), Error> {
    let Some(own) = expected.iter().find(|own| own.name == name) else {
        let names: Vec<_> = expected.iter().map(|own| &*own.name).collect();
        return Err(Error::invalid_arg(format!("found input '{name}', expected {}", names.join(", "))));
    };
    let nested = nesting(data);
    let shape = shape.unwrap_or_else(|| nested.clone());
    let mut flat = Vec::new();
    let is_even = flatten(data, &nested, &mut flat);
    let tensor = match is_even {
        true => tensor(&own.datatype, &flat, &shape),
        false => Err(Error::invalid_arg("found lists of different lengths, expected those of one array")),
    };
    Ok((name.to_owned(), tensor.map_err(|error| error.at(format_args!("input '{name}'")))?))
}

/// The lengths of lists within lists, by the first of each.
fn nesting(mut data: &Value) -> Vec<usize> {
    let mut shape = Vec::new();
    while let Value::Array(items) = data {
        shape.push(items.len());
        match items.first() {
            Some(first) => data = first,
            None => break,
        }
    }
    shape
}

/// Whether all lists have these lengths; their elements go to `flat`.
fn flatten<'a>(data: &'a Value, nested: &[usize], flat: &mut Vec<&'a Value>) -> bool {
    match (data, nested) {
        (Value::Array(items), [len, inner @ ..]) => {
            items.len() == *len && items.iter().all(|item| flatten(item, inner, flat))
        }
        (Value::Array(_), []) | (_, [_, ..]) => false,
        (element, []) => {
            flat.push(element);
            true
        }
    }
}

fn tensor(datatype: &str, flat: &[&Value], shape: &[usize]) -> Result<Tensor, Error> {
    fn whole<T: Element + TryFrom<i128>>(flat: &[&Value], shape: &[usize]) -> Result<Tensor, Error> {
        let number = |value: &Value| value.as_i64().map(i128::from).or_else(|| value.as_u64().map(i128::from));
        let read = |value: &Value| number(value).and_then(|number| T::try_from(number).ok());
        Tensor::from_vec(all(flat, std::any::type_name::<T>(), read)?, shape)
    }
    match datatype {
        "BOOL" => {
            let bytes = all(flat, "true or false", |value| value.as_bool().map(u8::from))?;
            Tensor::new(DataType::Bool, shape, Buffer::copy_of(&bytes))
        }
        "UINT8" => whole::<u8>(flat, shape),
        "UINT16" => whole::<u16>(flat, shape),
        "UINT32" => whole::<u32>(flat, shape),
        "UINT64" => whole::<u64>(flat, shape),
        "INT8" => whole::<i8>(flat, shape),
        "INT16" => whole::<i16>(flat, shape),
        "INT32" => whole::<i32>(flat, shape),
        "INT64" => whole::<i64>(flat, shape),
        #[allow(clippy::cast_possible_truncation, reason = "the nearest number of that type is what is meant")]
        "FP32" => Tensor::from_vec(all(flat, "a number", |value| real(value).map(|real| real as f32))?, shape),
        "FP64" => Tensor::from_vec(all(flat, "a number", real)?, shape),
        "BYTES" => Tensor::from_strings(&all(flat, "a text", |value| value.as_str().map(str::to_owned))?, shape),
        other => Err(Error::unsupported(format!("{other} as JSON; write it to an .npy"))),
    }
}

/// Every element, if each is one.
fn all<T>(flat: &[&Value], expected: &str, read: impl Fn(&Value) -> Option<T>) -> Result<Vec<T>, Error> {
    let wrong = |value: &Value| Error::invalid_arg(format!("found {value:.60}, expected {expected}"));
    flat.iter().map(|value| read(value).ok_or_else(|| wrong(value))).collect()
}

fn real(value: &Value) -> Option<f64> {
    match value.as_str() {
        Some(text) => UNBOUNDED.iter().find(|(name, _)| *name == text).map(|(_, number)| *number),
        None => value.as_f64(),
    }
}

const UNBOUNDED: [(&str, f64); 3] = [("NaN", f64::NAN), ("Infinity", f64::INFINITY), ("-Infinity", f64::NEG_INFINITY)];

/// A response in the form of KServe v2.
pub(crate) fn written(response: &Response) -> Result<Value, Error> {
    let mut outputs = Vec::new();
    for (name, tensor) in response.outputs() {
        let mut flat = elements(tensor).map_err(|error| error.at(format_args!("output '{name}'")))?.into_iter();
        let dims: &[usize] = tensor.shape();
        let output = [
            ("name", json!(name)),
            ("datatype", json!(tensor.dtype().name())),
            ("shape", json!(dims)),
            ("data", nested(&mut flat, dims)),
        ];
        outputs
            .push(Value::Object(output.map(|(key, value)| (key.to_owned(), value)).into_iter().collect::<Map<_, _>>()));
    }
    let version = response.version().to_string();
    Ok(json!({ "model_name": response.model(), "model_version": version, "outputs": outputs }))
}

fn nested(flat: &mut impl Iterator<Item = Value>, dims: &[usize]) -> Value {
    match dims {
        [] => flat.next().unwrap_or_default(),
        [size, inner @ ..] => (0..*size).map(|_| nested(flat, inner)).collect(),
    }
}

fn elements(tensor: TensorRef<'_>) -> Result<Vec<Value>, Error> {
    fn whole<T: Element + Into<Value>>(tensor: TensorRef<'_>) -> Result<Vec<Value>, Error> {
        Ok(tensor.as_slice::<T>()?.iter().map(|number| (*number).into()).collect())
    }
    let halves = |widened: fn(u16) -> f32| -> Result<Vec<Value>, Error> {
        let (pairs, _) = tensor.bytes()?.as_chunks::<2>();
        Ok(pairs.iter().map(|pair| number(f64::from(widened(u16::from_le_bytes(*pair))))).collect())
    };
    match tensor.dtype() {
        DataType::Bool => Ok(tensor.bytes()?.iter().map(|byte| (*byte != 0).into()).collect()),
        DataType::Uint8 => whole::<u8>(tensor),
        DataType::Uint16 => whole::<u16>(tensor),
        DataType::Uint32 => whole::<u32>(tensor),
        DataType::Uint64 => whole::<u64>(tensor),
        DataType::Int8 => whole::<i8>(tensor),
        DataType::Int16 => whole::<i16>(tensor),
        DataType::Int32 => whole::<i32>(tensor),
        DataType::Int64 => whole::<i64>(tensor),
        // The shortest text of a float is that of the double which has the same text.
        DataType::Fp32 => {
            let short = |one: &f32| one.to_string().parse().unwrap_or(f64::from(*one));
            Ok(tensor.as_slice::<f32>()?.iter().map(|one| number(short(one))).collect())
        }
        DataType::Fp64 => Ok(tensor.as_slice::<f64>()?.iter().map(|one| number(*one)).collect()),
        DataType::Fp16 => halves(widened),
        DataType::Bf16 => halves(|bits| f32::from_bits(u32::from(bits) << 16)),
        DataType::Bytes => Ok(tensor.strings()?.map(|text| String::from_utf8_lossy(text).into()).collect()),
        other => Err(Error::unsupported(format!("{other} as JSON"))),
    }
}

fn number(real: f64) -> Value {
    match real {
        _ if real.is_nan() => "NaN".into(),
        f64::INFINITY => "Infinity".into(),
        f64::NEG_INFINITY => "-Infinity".into(),
        real => real.into(),
    }
}

/// The number of a half: sign, 5 bits of exponent, 10 of fraction.
fn widened(bits: u16) -> f32 {
    let sign = if bits >> 15 == 1 { -1.0 } else { 1.0 };
    let (exponent, fraction) = (i32::from(bits >> 10 & 0x1f), f32::from(bits & 0x3ff));
    sign * match exponent {
        0 => fraction * (-24f32).exp2(),
        31 if fraction > 0.0 => f32::NAN,
        31 => f32::INFINITY,
        _ => (1024.0 + fraction) * 2f32.powi(exponent - 25),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expected(datatype: &str) -> Vec<TensorMetadata> {
        let files = format!("{{backend: 'null', input: {{name: x, data_type: {datatype}, dims: [-1, -1]}}}}");
        let server = inferlay::ServerHandle::builder().model_in_memory("m", [("config.yaml", files.into_bytes())]);
        server.start().unwrap().model("m").unwrap().metadata().unwrap().inputs
    }

    fn read_one(text: &str, datatype: &str) -> Result<Tensor, String> {
        let read = read(text.as_bytes(), &expected(datatype)).map_err(|error| error.message().to_owned());
        read.map(|mut inputs| inputs.remove(0).1)
    }

    #[test]
    fn an_input_is_a_list_a_name_or_in_the_form_of_kserve() {
        let kserve = r#"{"inputs": [{"name": "x", "datatype": "FP32", "shape": [2, 1], "data": [1, 2.5]}]}"#;
        for text in ["[[1], [2.5]]", r#"{"x": [[1], [2.5]]}"#, kserve] {
            let tensor = read_one(text, "FP32").unwrap();
            assert_eq!(**tensor.shape(), [2, 1], "{text}");
            assert_eq!(tensor.view().as_slice::<f32>().unwrap(), [1.0, 2.5], "{text}");
        }
    }

    #[test]
    fn what_is_no_array_of_the_type_is_refused_with_what_was_found() {
        let rows = [
            ("[[1], [2, 3]]", "UINT8", "lists of different lengths"),
            ("[[1], 2]", "UINT8", "lists of different lengths"),
            ("[[256]]", "UINT8", "found 256, expected u8"),
            ("[[1.5]]", "INT32", "found 1.5, expected i32"),
            ("[[\"a\"]]", "FP32", "found \"a\", expected a number"),
            ("{\"y\": 1}", "FP32", "found input 'y', expected x"),
            ("[[1", "FP32", "found no JSON"),
        ];
        for (text, datatype, message) in rows {
            let error = read_one(text, datatype).unwrap_err();
            assert!(error.contains(message), "{text}: {error}");
        }
    }

    #[test]
    fn numbers_that_are_not_finite_are_texts_both_ways() {
        let tensor = read_one(r#"[["NaN", "-Infinity", 0.1]]"#, "FP32").unwrap();
        assert_eq!(Value::Array(elements(tensor.view()).unwrap()), json!(["NaN", "-Infinity", 0.1]));
    }

    #[test]
    fn halves_are_widened() {
        let rows =
            [(0x3c00, 1.0), (0xc000, -2.0), (0x0001, 5.960_464_5e-8), (0x7bff, 65504.0), (0x7c00, f32::INFINITY)];
        for (bits, expected) in rows {
            assert_eq!(widened(bits), expected, "{bits:x}");
        }
        assert!(widened(0x7e00).is_nan());
    }
}
