//! Scalars of the text format as YAML spells them. Pure, any thread.

use super::super::tree::{Node, Value};
use std::sync::Arc;

/// A name without quotes.
pub(super) fn plain(name: &str) -> Value {
    Value::Scalar { text: name.into(), plain: true }
}

/// A number without a sign: whole ones in decimal digits, whatever they were written in.
pub(super) fn decimal(number: &str) -> Arc<str> {
    let hexadecimal = number.strip_prefix("0x").or_else(|| number.strip_prefix("0X"));
    let is_octal = number.len() > 1 && number.starts_with('0') && number.bytes().all(|byte| byte.is_ascii_digit());
    let whole = match hexadecimal {
        Some(digits) => u128::from_str_radix(digits, 16).ok(),
        None if is_octal => u128::from_str_radix(number, 8).ok(),
        None => None,
    };
    match whole {
        Some(whole) => whole.to_string().into(),
        // The final `f` of C is no part of the number.
        None if hexadecimal.is_none() => number.trim_end_matches(['f', 'F']).into(),
        None => number.into(),
    }
}

/// Whether this is a number without digits.
pub(super) fn is_real_name(name: &str) -> bool {
    ["inf", "infinity", "nan"].iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// A choice by its name, where it was given by its number.
pub(super) fn named(node: Node, names: &[&str]) -> Node {
    let Value::Scalar { text, .. } = &node.value else { return node };
    match text.parse::<usize>().ok().and_then(|number| names.get(number)) {
        Some(name) => Node { at: node.at, value: plain(name) },
        None => node,
    }
}

/// A flag as `true` or `false`, where it was given by another of its names.
pub(super) fn flagged(node: Node) -> Node {
    let Value::Scalar { text, .. } = &node.value else { return node };
    let flag = match &**text {
        "t" | "True" | "1" => "true",
        "f" | "False" | "0" => "false",
        _ => return node,
    };
    Node { at: node.at, value: plain(flag) }
}
