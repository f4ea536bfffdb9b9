//! Small ONNX models, written by hand, for the tests inside and outside the crate.

#![allow(dead_code, reason = "no test uses all of them")]

use prost::Message;
use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, TensorShapeProto, TypeProto,
    ValueInfoProto, attribute_proto::AttributeType, tensor_shape_proto::Dimension,
    tensor_shape_proto::dimension::Value, type_proto,
};

pub(crate) const FLOAT: i32 = 1;
pub(crate) const INT64: i32 = 7;
pub(crate) const STRING: i32 = 8;
pub(crate) const BFLOAT16: i32 = 16;

/// A value: an empty dim has no name, a number is fixed, anything else is a name.
pub(crate) fn value(name: &str, elem_type: i32, dims: &[&str]) -> ValueInfoProto {
    let dim = |text: &&str| Dimension {
        value: match text.parse() {
            Ok(size) => Some(Value::DimValue(size)),
            Err(_) if text.is_empty() => None,
            Err(_) => Some(Value::DimParam(text.to_string())),
        },
        ..Dimension::default()
    };
    let shape = Some(TensorShapeProto { dim: dims.iter().map(dim).collect() });
    let tensor = type_proto::Tensor { elem_type, shape };
    let r#type = Some(TypeProto { value: Some(type_proto::Value::TensorType(tensor)), ..TypeProto::default() });
    ValueInfoProto { name: name.to_owned(), r#type, ..ValueInfoProto::default() }
}

pub(crate) fn node(op_type: &str, inputs: &[&str], outputs: &[&str]) -> NodeProto {
    NodeProto {
        op_type: op_type.to_owned(),
        name: format!("the {op_type}"), // Not unique, as in many a model.
        input: inputs.iter().map(|name| name.to_string()).collect(),
        output: outputs.iter().map(|name| name.to_string()).collect(),
        ..NodeProto::default()
    }
}

pub(crate) fn with_int(mut node: NodeProto, name: &str, i: i64) -> NodeProto {
    let r#type = AttributeType::Int as i32;
    node.attribute.push(AttributeProto { name: name.to_owned(), i, r#type, ..AttributeProto::default() });
    node
}

pub(crate) fn floats(name: &str, dims: &[i64], values: &[f32]) -> TensorProto {
    let raw_data = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    TensorProto { name: name.to_owned(), dims: dims.to_vec(), data_type: FLOAT, raw_data, ..TensorProto::default() }
}

pub(crate) fn model(graph: GraphProto) -> ModelProto {
    let opset_import = vec![OperatorSetIdProto { domain: String::new(), version: 17 }];
    ModelProto { ir_version: 8, opset_import, graph: Some(graph), ..ModelProto::default() }
}

pub(crate) fn encoded(graph: GraphProto) -> Vec<u8> {
    model(graph).encode_to_vec()
}

/// `y = relu(x W + b)` with x of any number of rows of 3, and `total`, the sum of x over each row.
pub(crate) fn dense(rows: &str) -> GraphProto {
    GraphProto {
        name: "dense".to_owned(),
        node: vec![
            node("MatMul", &["x", "w"], &["product"]),
            node("Add", &["product", "b"], &["sum"]),
            node("Relu", &["sum"], &["y"]),
            node("MatMul", &["x", "ones"], &["total"]),
        ],
        initializer: vec![
            floats("w", &[3, 2], &[1.0, -1.0, 2.0, 0.5, -3.0, 0.0]),
            floats("b", &[2], &[0.5, 1.0]),
            floats("ones", &[3, 1], &[1.0; 3]),
        ],
        input: vec![value("x", FLOAT, &[rows, "3"])],
        output: vec![value("y", FLOAT, &[rows, "2"]), value("total", FLOAT, &[rows, "1"])],
        ..GraphProto::default()
    }
}

/// What [`dense`] answers.
pub(crate) fn dense_answers(x: &[[f32; 3]]) -> (Vec<f32>, Vec<f32>) {
    let y = x.iter().flat_map(|[a, b, c]| [a + 2.0 * b - 3.0 * c + 0.5, 0.5 * b - a + 1.0]);
    (y.map(|y| y.max(0.0)).collect(), x.iter().map(|row| row.iter().sum()).collect())
}
