//! A config as YAML text: what a file in another format says, written down. Pure, any thread.
//!
//! Invariant: what is written is read back with the same values, in the same order.

use super::partial::PartialConfig;
use super::tree::{Key, Node, Value};
use std::fmt::Write;

/// A config as the text of a `config.yaml`: what its file says, in the order of the file, but for remarks. What of it is
/// not served yet is told by [`PartialConfig::warnings`].
///
/// # Examples
/// ```
/// use inferlay::config::{parse, to_yaml};
/// let config = parse("config.pbtxt", r#"
/// backend: "onnxruntime"
/// input { name: "x" data_type: TYPE_FP32 dims: [ -1, 3 ] }
/// parameters { key: "threads" value { string_value: "2" } }
/// "#)?;
/// assert_eq!(to_yaml(&config), "\
/// backend: onnxruntime
/// input:
/// - name: x
///   data_type: TYPE_FP32
///   dims: [-1, 3]
/// parameters:
///   threads: \"2\"
/// ");
/// # Ok::<(), inferlay::config::ConfigErrors>(())
/// ```
#[doc(hidden)]
pub fn to_yaml(config: &PartialConfig) -> String {
    let mut text = String::new();
    match &config.origin {
        Some(origin) => root(&origin.root, &mut text),
        None => root(&node(&config.to_json()), &mut text),
    }
    text
}

fn root(node: &Node, text: &mut String) {
    let Value::Map(entries) = &node.value else { return };
    for (key, value) in entries {
        match &value.value {
            Value::Map(parameters) if &*key.name == "parameters" && !parameters.is_empty() => {
                text.push_str("parameters:\n");
                parameters.iter().for_each(|(key, value)| entry(key, short(value), 1, text));
            }
            _ => entry(key, value, 0, text),
        }
    }
}

/// A parameter without the mapping that Triton wraps it in.
fn short(value: &Node) -> &Node {
    match &value.value {
        Value::Map(entries) => match &entries[..] {
            [(key, only @ Node { value: Value::Scalar { .. }, .. })] if &*key.name == "string_value" => only,
            _ => value,
        },
        _ => value,
    }
}

/// `key: value`, so many levels deep.
fn entry(key: &Key, value: &Node, depth: usize, text: &mut String) {
    let indent = "  ".repeat(depth);
    text.push_str(&indent);
    named(key, &indent, text);
    match &value.value {
        Value::Map(entries) if !entries.is_empty() => {
            text.push('\n');
            entries.iter().for_each(|(key, value)| entry(key, value, depth + 1, text));
        }
        Value::List(items) if items.iter().any(|item| !matches!(item.value, Value::Scalar { .. })) => {
            text.push('\n');
            items.iter().for_each(|item| self::item(item, depth, text));
        }
        _ => {
            text.push(' ');
            flow(value, text);
            text.push('\n');
        }
    }
}

/// The key and its colon. A long one must say that it is a key.
fn named(key: &Key, indent: &str, text: &mut String) {
    if key.name.len() < KEY_LEN_MAX {
        scalar(&key.name, true, text);
    } else {
        text.push_str("? ");
        scalar(&key.name, false, text);
        text.push('\n');
        text.push_str(indent);
    }
    text.push(':');
}

/// One item of a list that does not fit a line: a mapping stands behind the dash, key by key.
fn item(item: &Node, depth: usize, text: &mut String) {
    let start = text.len();
    match &item.value {
        Value::Map(entries) if !entries.is_empty() => {
            entries.iter().for_each(|(key, value)| entry(key, value, depth + 1, text));
            text.replace_range(start + 2 * depth..start + 2 * depth + 2, "- ");
        }
        _ => {
            text.push_str(&"  ".repeat(depth));
            text.push_str("- ");
            flow(item, text);
            text.push('\n');
        }
    }
}

/// A value within one line.
fn flow(node: &Node, text: &mut String) {
    match &node.value {
        Value::Scalar { .. } if node.is_null() => text.push_str("null"),
        Value::Scalar { text: own, plain } => scalar(own, *plain, text),
        Value::List(items) => {
            text.push('[');
            for (index, item) in items.iter().enumerate() {
                text.push_str(if index > 0 { ", " } else { "" });
                flow(item, text);
            }
            text.push(']');
        }
        Value::Map(entries) => {
            text.push('{');
            for (index, (key, value)) in entries.iter().enumerate() {
                text.push_str(if index > 0 { ", " } else { "" });
                named(key, "", text);
                text.push(' ');
                flow(value, text);
            }
            text.push('}');
        }
    }
}

/// A scalar with quotes where something else would be read without.
fn scalar(own: &str, is_plain: bool, text: &mut String) {
    let is_simple = !own.is_empty() && own.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_./+-".contains(&byte));
    let is_word = own.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && !is_reserved(own);
    if is_simple && own != "-" && own != "---" && own != "..." && (is_plain || is_word) {
        return text.push_str(own);
    }
    text.push('"');
    for c in own.chars() {
        match c {
            '"' | '\\' => text.extend(['\\', c]),
            '\n' => text.push_str("\\n"),
            '\t' => text.push_str("\\t"),
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}') => {
                // Writing to a string cannot fail.
                _ = write!(text, "\\u{:04x}", u32::from(c));
            }
            c => text.push(c),
        }
    }
    text.push('"');
}

/// Words that some reader of YAML takes for something else.
fn is_reserved(word: &str) -> bool {
    let words = ["true", "false", "null", "yes", "no", "on", "off", "y", "n", "nan", "inf", "infinity"];
    words.iter().any(|reserved| reserved.eq_ignore_ascii_case(word))
}

/// JSON as the tree that its text becomes.
fn node(json: &serde_json::Value) -> Node {
    use serde_json::Value as Json;
    let scalar = |text: String, plain| Value::Scalar { text: text.into(), plain };
    let value = match json {
        Json::Null => scalar(String::new(), true),
        Json::Bool(flag) => scalar(flag.to_string(), true),
        Json::Number(number) => scalar(number.to_string(), true),
        Json::String(text) => scalar(text.clone(), false),
        Json::Array(items) => Value::List(items.iter().map(node).collect()),
        Json::Object(entries) => {
            let key = |name: &String| Key { at: super::tree::At::START, name: name.as_str().into() };
            Value::Map(entries.iter().map(|(name, value)| (key(name), node(value))).collect())
        }
    };
    Node { at: super::tree::At::START, value }
}

/// Bytes of a key that may stand before its colon without more: YAML allows 1,024 characters, escapes among them.
const KEY_LEN_MAX: usize = 128;
