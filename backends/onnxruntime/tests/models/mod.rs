//! Small ONNX models, written by hand in the wire format, for the tests inside and outside the crate.

#![allow(dead_code, reason = "no test uses all of them")]

/// ONNX's numbers of element types.
pub(crate) const FLOAT: u64 = 1;
pub(crate) const INT32: u64 = 6;
pub(crate) const INT64: u64 = 7;
pub(crate) const STRING: u64 = 8;
pub(crate) const BOOL: u64 = 9;
pub(crate) const FLOAT16: u64 = 10;
pub(crate) const BFLOAT16: u64 = 16;

/// A field that holds bytes, texts or a message.
pub(crate) fn message(field: u64, content: &[u8]) -> Vec<u8> {
    [varint(field << 3 | 2), varint(content.len() as u64), content.to_vec()].concat()
}

/// A field that holds a number.
pub(crate) fn number(field: u64, value: u64) -> Vec<u8> {
    [varint(field << 3), varint(value)].concat()
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

/// A graph that grows call by call.
#[derive(Clone, Default)]
pub(crate) struct Graph(Vec<u8>);

impl Graph {
    pub(crate) fn new() -> Self {
        Graph(message(2, b"graph"))
    }

    /// An input: an empty dim has no name, a number is fixed, anything else is a name.
    pub(crate) fn input(self, name: &str, element: u64, dims: Option<&[&str]>) -> Self {
        self.with(11, &value(name, &tensor_type(element, dims)))
    }

    pub(crate) fn output(self, name: &str, element: u64, dims: Option<&[&str]>) -> Self {
        self.with(12, &value(name, &tensor_type(element, dims)))
    }

    /// An input or output (field 11 or 12) whose type is written out.
    pub(crate) fn port(self, field: u64, name: &str, typed: &[u8]) -> Self {
        self.with(field, &value(name, typed))
    }

    pub(crate) fn node(self, operator: &str, inputs: &[&str], outputs: &[&str], attributes: &[Vec<u8>]) -> Self {
        let texts =
            |field, texts: &[&str]| texts.iter().map(|text| message(field, text.as_bytes())).collect::<Vec<_>>();
        let attributes = attributes.iter().map(|attribute| message(5, attribute)).collect::<Vec<_>>();
        let parts = [texts(1, inputs), texts(2, outputs), vec![message(4, operator.as_bytes())], attributes];
        self.with(1, &parts.concat().concat())
    }

    pub(crate) fn floats(self, name: &str, dims: &[u64], values: &[f32]) -> Self {
        let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.tensor(name, FLOAT, dims, &message(9, &raw))
    }

    pub(crate) fn ints(self, name: &str, dims: &[u64], values: &[i64]) -> Self {
        let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        self.tensor(name, INT64, dims, &message(9, &raw))
    }

    /// An initializer whose content is written out.
    pub(crate) fn tensor(self, name: &str, element: u64, dims: &[u64], content: &[u8]) -> Self {
        self.with(5, &tensor(name, element, dims, content))
    }

    fn with(mut self, field: u64, content: &[u8]) -> Self {
        self.0.extend(message(field, content));
        self
    }

    /// The graph as the value of an attribute.
    pub(crate) fn attribute(&self, name: &str) -> Vec<u8> {
        [message(1, name.as_bytes()), message(6, &self.0), number(20, 5)].concat()
    }

    /// The model file.
    pub(crate) fn encoded(&self) -> Vec<u8> {
        let opset = message(8, &number(2, 17));
        [number(1, 8), message(7, &self.0), opset].concat()
    }
}

pub(crate) fn tensor(name: &str, element: u64, dims: &[u64], content: &[u8]) -> Vec<u8> {
    let dims: Vec<u8> = dims.iter().flat_map(|dim| number(1, *dim)).collect();
    [dims, number(2, element), content.to_vec(), message(8, name.as_bytes())].concat()
}

/// A whole number as an attribute.
pub(crate) fn int(name: &str, value: u64) -> Vec<u8> {
    [message(1, name.as_bytes()), number(3, value), number(20, 2)].concat()
}

pub(crate) fn tensor_type(element: u64, dims: Option<&[&str]>) -> Vec<u8> {
    let dim = |text: &&str| match text.parse() {
        Ok(size) => message(1, &number(1, size)),
        Err(_) if text.is_empty() => message(1, &[]),
        Err(_) => message(1, &message(2, text.as_bytes())),
    };
    let shape = dims.map(|dims| message(2, &dims.iter().flat_map(dim).collect::<Vec<_>>()));
    message(1, &[number(1, element), shape.unwrap_or_default()].concat())
}

fn value(name: &str, typed: &[u8]) -> Vec<u8> {
    [message(1, name.as_bytes()), message(2, typed)].concat()
}

/// `y = relu(x W + b)` with x of any number of rows of 3, and `total`, the sum of x over each row.
pub(crate) fn dense(rows: &str) -> Graph {
    dense_with(rows, &message(9, &weights()))
}

/// The same, with the content of `W` written out.
pub(crate) fn dense_with(rows: &str, content: &[u8]) -> Graph {
    Graph::new()
        .node("MatMul", &["x", "w"], &["product"], &[])
        .node("Add", &["product", "b"], &["sum"], &[])
        .node("Relu", &["sum"], &["y"], &[])
        .node("MatMul", &["x", "ones"], &["total"], &[])
        .tensor("w", FLOAT, &[3, 2], content)
        .floats("b", &[2], &[0.5, 1.0])
        .floats("ones", &[3, 1], &[1.0; 3])
        .input("x", FLOAT, Some(&[rows, "3"]))
        .output("y", FLOAT, Some(&[rows, "2"]))
        .output("total", FLOAT, Some(&[rows, "1"]))
}

/// The content of [`dense`]'s `W`.
pub(crate) fn weights() -> Vec<u8> {
    [1.0f32, -1.0, 2.0, 0.5, -3.0, 0.0].iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// What [`dense`] answers.
pub(crate) fn dense_answers(x: &[[f32; 3]]) -> (Vec<f32>, Vec<f32>) {
    let y = x.iter().flat_map(|[a, b, c]| [a + 2.0 * b - 3.0 * c + 0.5, 0.5 * b - a + 1.0]);
    (y.map(|y| y.max(0.0)).collect(), x.iter().map(|row| row.iter().sum()).collect())
}

/// Counts to `n` one by one, which takes as long as one likes: `y = x + n`.
pub(crate) fn counting() -> Graph {
    let body = Graph::new()
        .input("i", INT64, Some(&[]))
        .input("going", BOOL, Some(&[]))
        .input("sum", FLOAT, Some(&["1"]))
        .node("Identity", &["going"], &["still"], &[])
        .node("Add", &["sum", "one"], &["more"], &[])
        .floats("one", &[1], &[1.0])
        .output("still", BOOL, Some(&[]))
        .output("more", FLOAT, Some(&["1"]));
    Graph::new()
        .node("Loop", &["n", "", "x"], &["y"], &[body.attribute("body")])
        .input("n", INT64, Some(&[]))
        .input("x", FLOAT, Some(&["1"]))
        .output("y", FLOAT, None)
}
