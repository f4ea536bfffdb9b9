//! What has to be known of a model file before the runtime reads it: a walk over its protocol-buffer messages, without
//! decoding what it does not need. Pure.
//!
//! It looks for whatever would lead the runtime out of the model's folder, and for what the C API does not tell: which
//! values are of unknown rank, and whether inputs vary in more than their rows.
//!
//! Invariants: 1. the walk sees at least what the runtime's own parser sees: of fields that stand several times it looks
//! at each. 2. Depth is bounded as in every protobuf parser, so a file cannot exhaust the stack.

use inferlay_backend_sdk::Error;
use std::collections::{BTreeMap, BTreeSet};

/// What the protobuf libraries allow.
const DEPTH_MAX: usize = 100;

/// Where the format of the runtime's own has its mark; such a file needs no protobuf and is not looked into.
const OWN_FORMAT: (std::ops::Range<usize>, &[u8]) = (4..8, b"ORTM");

/// Operators of the runtime's own that lead out of the model: to what a provider has compiled, and, in builds for
/// training, to code in Python.
const REFUSED: [&[u8]; 4] = [b"EPContext", b"PythonOp", b"TritonOp", b"ATen"];

/// What a model file says of itself.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Facts<'a> {
    /// Where the weights lie that are not in the file, as they are written there.
    pub(crate) external: BTreeSet<&'a [u8]>,
    /// The values of the main graph with their numbers of dims that vary; `None` where the rank is unknown.
    pub(crate) values: BTreeMap<&'a [u8], Option<usize>>,
    /// The names of the main graph's inputs that no initializer gives a value.
    pub(crate) inputs: BTreeSet<&'a [u8]>,
    pub(crate) has_graph: bool,
}

/// The messages of ONNX that lead to something of interest.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Message {
    Model,
    Graph { is_main: bool },
    Node,
    Attribute,
    Tensor,
    SparseTensor,
    Function,
    Training,
}

impl Message {
    /// What the field of this number holds, if it leads further.
    fn child(self, field: u64) -> Option<Message> {
        let graph = Message::Graph { is_main: false };
        Some(match (self, field) {
            (Message::Model, 7) => Message::Graph { is_main: true },
            (Message::Model, 20) => Message::Training,
            (Message::Model, 25) => Message::Function,
            (Message::Graph { .. }, 1) | (Message::Function, 7) => Message::Node,
            (Message::Graph { .. }, 5) | (Message::SparseTensor, 1 | 2) | (Message::Attribute, 5 | 10) => {
                Message::Tensor
            }
            (Message::Graph { .. }, 15) | (Message::Attribute, 22 | 23) => Message::SparseTensor,
            (Message::Node, 5) | (Message::Function, 11) => Message::Attribute,
            (Message::Attribute, 6 | 11) | (Message::Training, 1 | 2) => graph,
            _ => return None,
        })
    }
}

/// Reads a model file.
///
/// # Errors
/// `INVALID_ARG` when it is no ONNX model; `UNSUPPORTED` when it is one in another format, or holds an operator that leads
/// out of it.
pub(crate) fn read(bytes: &[u8]) -> Result<Facts<'_>, Error> {
    if bytes.get(OWN_FORMAT.0) == Some(OWN_FORMAT.1) {
        return Err(Error::unsupported("found a model in ORT format, expected ONNX"));
    }
    let mut facts = Facts::default();
    walk(Message::Model, bytes, 0, &mut facts)?;
    if !facts.has_graph {
        return Err(not_onnx("found no graph"));
    }
    Ok(facts)
}

fn walk<'a>(message: Message, bytes: &'a [u8], depth: usize, facts: &mut Facts<'a>) -> Result<(), Error> {
    if depth > DEPTH_MAX {
        return Err(not_onnx(&format!("its messages nest more than {DEPTH_MAX} deep")));
    }
    let mut initializers = Vec::new();
    for field in Fields(bytes) {
        let (number, value) = field?;
        let Value::Bytes(value) = value else { continue };
        match (message, number) {
            (Message::Tensor, 13) => note_external(value, facts)?,
            (Message::Node, 4) if REFUSED.contains(&value) => {
                let name = String::from_utf8_lossy(value);
                return Err(Error::unsupported(format!("found an operator {name}, which leads out of the model")));
            }
            (Message::Graph { is_main: true }, 11 | 12) => note_value(value, number == 11, facts)?,
            (Message::Graph { is_main: true }, 5) => initializers.push(value),
            _ => {}
        }
        if let Some(child) = message.child(number) {
            let is_main = matches!(child, Message::Graph { is_main: true });
            // The runtime's parser would merge a second one into the first: the facts are of one graph.
            if is_main && facts.has_graph {
                return Err(not_onnx("found two graphs"));
            }
            facts.has_graph |= is_main;
            walk(child, value, depth + 1, facts)?;
        }
    }
    for initializer in initializers {
        // The name of a tensor.
        for name in texts(initializer, 8)? {
            facts.inputs.remove(name);
        }
    }
    Ok(())
}

/// One pair of key and value of a tensor's external data.
fn note_external<'a>(pair: &'a [u8], facts: &mut Facts<'a>) -> Result<(), Error> {
    if texts(pair, 1)?.contains(&&b"location"[..]) {
        facts.external.extend(texts(pair, 2)?);
    }
    Ok(())
}

/// An input or output: name 1, type 2 -> tensor 1 -> shape 2 -> dim 1 -> size 1.
fn note_value<'a>(value: &'a [u8], is_input: bool, facts: &mut Facts<'a>) -> Result<(), Error> {
    let Some(name) = texts(value, 1)?.last().copied() else { return Ok(()) };
    let tensors = descend(descend(vec![value], 2)?, 1)?;
    let shapes = descend(tensors, 2)?;
    let is_ranked = !shapes.is_empty();
    let mut varying = 0;
    for dim in descend(shapes, 1)? {
        let mut fixed = false;
        for field in Fields(dim) {
            fixed |= matches!(field?, (1, Value::Number(size)) if size.cast_signed() >= 0);
        }
        varying += usize::from(!fixed);
    }
    facts.values.insert(name, is_ranked.then_some(varying));
    if is_input {
        facts.inputs.insert(name);
    }
    Ok(())
}

/// The messages in this field of all messages.
pub(crate) fn descend(messages: Vec<&[u8]>, field: u64) -> Result<Vec<&[u8]>, Error> {
    let mut found = Vec::new();
    for message in messages {
        found.extend(texts(message, field)?);
    }
    Ok(found)
}

/// Every field of this number that holds bytes.
pub(crate) fn texts(message: &[u8], field: u64) -> Result<Vec<&[u8]>, Error> {
    let mut found = Vec::new();
    for read in Fields(message) {
        if let (number, Value::Bytes(bytes)) = read?
            && number == field
        {
            found.push(bytes);
        }
    }
    Ok(found)
}

/// The value of a field, as far as it matters.
enum Value<'a> {
    Number(u64),
    Bytes(&'a [u8]),
    Fixed,
}

/// The fields of a message, by their wire format.
struct Fields<'a>(&'a [u8]);

impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u64, Value<'a>), Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field().ok_or_else(|| not_onnx("found bytes that are no protobuf message"));
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

impl<'a> Fields<'a> {
    fn field(&mut self) -> Option<(u64, Value<'a>)> {
        // The runtime's parser cuts a key to 32 bits, or refuses it: a longer one would be another field to it than here.
        let key = u64::from(u32::try_from(self.varint()?).ok()?);
        let value = match key & 7 {
            0 => Value::Number(self.varint()?),
            1 => self.take(8).map(|_| Value::Fixed)?,
            2 => {
                let len = usize::try_from(self.varint()?).ok()?;
                Value::Bytes(self.take(len)?)
            }
            5 => self.take(4).map(|_| Value::Fixed)?,
            // Groups, which ONNX does not have.
            _ => return None,
        };
        (key >> 3 != 0).then_some((key >> 3, value))
    }

    fn varint(&mut self) -> Option<u64> {
        let mut number = 0u64;
        for shift in (0..70).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            number |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }
}

fn not_onnx(why: &str) -> Error {
    Error::invalid_arg(format!("not an ONNX model: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::{Graph, message, number};
    use inferlay_backend_sdk::ErrorKind;

    #[test]
    fn a_file_tells_its_values_and_how_they_vary() {
        let graph = Graph::new()
            .input("x", 1, Some(&["n", "3", ""]))
            .input("w", 1, Some(&["3"]))
            .floats("w", &[3], &[1.0; 3])
            .output("y", 1, None)
            .output("s", 1, Some(&[]));
        let model = graph.encoded();
        let facts = read(&model).unwrap();
        let values: Vec<_> = facts.values.iter().map(|(name, varying)| (*name, *varying)).collect();
        assert_eq!(values, [(&b"s"[..], Some(0)), (&b"w"[..], Some(0)), (&b"x"[..], Some(2)), (&b"y"[..], None)]);
        assert_eq!(facts.inputs, [&b"x"[..]].into());
    }

    #[test]
    fn external_data_is_found_wherever_it_hides() {
        let pair =
            |key: &str, value: &str| message(13, &[message(1, key.as_bytes()), message(2, value.as_bytes())].concat());
        let tensor = |place: &str| [pair("offset", "no"), pair("location", place)].concat();
        let attribute = [message(5, &tensor("t")), message(10, &tensor("ts")), message(22, &message(1, &tensor("s")))];
        let inner = message(6, &message(5, &tensor("inner")));
        let node = message(1, &message(5, &[attribute.concat(), inner].concat()));
        let graph = message(7, &[node, message(5, &tensor("w")), message(15, &message(2, &tensor("i")))].concat());
        let function = message(25, &message(7, &message(5, &message(11, &message(5, &tensor("f"))))));
        let training = message(20, &message(2, &message(5, &tensor("train"))));
        let model = [graph, function, training].concat();
        let found: Vec<_> = read(&model).unwrap().external.into_iter().map(String::from_utf8_lossy).collect();
        assert_eq!(found, ["f", "i", "inner", "s", "t", "train", "ts", "w"]);
    }

    #[test]
    fn what_is_no_model_is_refused() {
        let (mut deep, graph) = (Vec::new(), message(7, b""));
        for _ in 0..DEPTH_MAX {
            deep = message(1, &message(5, &message(6, &deep)));
        }
        for (bytes, what) in [
            (vec![], "no graph"),
            (number(1, 8), "no graph"),
            (vec![0xff; 20], "no protobuf"),
            (b"\x0b\x0c".to_vec(), "no protobuf"),
            (vec![0x3a, 0x7f, 0], "no protobuf"),
            // Graphs whose keys are longer than the 32 bits that the runtime's parser keeps of them.
            ([&[0xba, 0x80, 0x80, 0x80, 0x10, 0][..], &graph].concat(), "no protobuf"),
            ([&graph[..], &[0xba, 0x80, 0x80, 0x80, 0x80, 0x01, 0]].concat(), "no protobuf"),
            ([&graph[..], &[0xba, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01, 0]].concat(), "no protobuf"),
            (message(7, &[0xaa, 0x80, 0x80, 0x80, 0x10, 0]), "no protobuf"),
            ([&graph[..], &graph].concat(), "two graphs"),
            (message(7, &deep), "nest"),
        ] {
            let error = read(&bytes).unwrap_err();
            assert!(error.kind() == ErrorKind::InvalidArg && error.message().contains(what), "{error}");
        }
    }

    #[test]
    fn a_key_may_be_padded_as_long_as_its_value_fits() {
        let hidden = [&[0xba, 0x80, 0x80, 0x80, 0x00][..], &message(7, &message(1, &message(4, b"EPContext")))[1..]];
        assert_eq!(read(&hidden.concat()).unwrap_err().kind(), ErrorKind::Unsupported);
    }

    #[test]
    fn other_formats_and_operators_that_lead_out_are_unsupported() {
        let holding = |operator: &[u8]| message(7, &message(1, &message(4, operator)));
        let inside = message(7, &message(1, &message(5, &message(6, &message(1, &message(4, b"PythonOp"))))));
        for bytes in [b"\x1c\0\0\0ORTM rest".to_vec(), holding(b"EPContext"), holding(b"TritonOp"), inside] {
            assert_eq!(read(&bytes).unwrap_err().kind(), ErrorKind::Unsupported);
        }
        assert!(read(&holding(b"Add")).is_ok());
    }
}
