//! A config as a text in the text format, for tests: from the JSON, in one of several spellings.

use super::super::grammar::{Field, Kind, Message, Times};
use serde_json::Value;

/// The fields of a message; `spelling` chooses among what means the same.
pub(super) fn pbtxt(json: &Value, message: &Message, spelling: usize) -> String {
    let mut text = String::new();
    for (key, value) in json.as_object().unwrap() {
        let field = message.field(key).unwrap_or_else(|| panic!("{key}"));
        text += &field_text(field, value, spelling);
    }
    text
}

fn field_text(field: &Field, value: &Value, spelling: usize) -> String {
    let one = |value: &Value| one(field.kind, value, spelling + 1);
    let (name, end) = (field.name, ["\n", " ", ", ", ";\n", " # remark\n"][spelling % 5]);
    let colon = if matches!(field.kind, Kind::Message(_)) && spelling.is_multiple_of(2) { "" } else { ":" };
    match (field.times, value) {
        (Times::List, Value::Array(items)) if items.is_empty() || spelling.is_multiple_of(3) => {
            let items: Vec<_> = items.iter().map(one).collect();
            format!("{name}: [{}]{end}", items.join(" , "))
        }
        (Times::List, Value::Array(items)) => {
            items.iter().map(|item| format!("{name}{colon} {}{end}", one(item))).collect()
        }
        (Times::Map | Times::NumberMap, Value::Object(entries)) => {
            let key = |key: &str| if field.times == Times::Map { quoted(key, spelling) } else { key.to_owned() };
            let colon = if matches!(field.kind, Kind::Message(_)) { "" } else { ":" };
            let entry = |(name, value): (&String, &Value)| format!("key: {} value{colon} {}", key(name), one(value));
            let entries = entries.iter().map(entry).map(|entry| format!("{name} {{ {entry} }}{end}"));
            entries.collect()
        }
        _ => format!("{name}{colon} {}{end}", one(value)),
    }
}

fn one(kind: Kind, value: &Value, spelling: usize) -> String {
    let number = |least: i64| value.as_i64().filter(|_| spelling.is_multiple_of(4)).filter(|number| *number >= least);
    match (kind, value) {
        (Kind::Message(message), _) => {
            let (open, close) = if spelling.is_multiple_of(3) { ('<', '>') } else { ('{', '}') };
            format!("{open} {}{close}", pbtxt(value, message, spelling))
        }
        (Kind::Text | Kind::File, Value::String(text)) => quoted(text, spelling),
        (Kind::Choice(names), Value::String(text)) if spelling.is_multiple_of(2) => {
            names.iter().position(|name| name == text).unwrap().to_string()
        }
        (Kind::Choice(_) | Kind::DataType, Value::String(text)) => text.clone(),
        (Kind::Flag, Value::Bool(flag)) => {
            let names = if *flag { ["true", "t", "True", "1"] } else { ["false", "f", "False", "0"] };
            names[spelling % 4].to_owned()
        }
        (Kind::Whole(..), _) if number(0).is_some() => format!("{:#x}", number(0).unwrap()),
        (Kind::Int(..), _) if number(1).is_some() => format!("0{:o}", number(1).unwrap()),
        _ => value.to_string(),
    }
}

/// The text in quotes, perhaps in two parts, with what must be escaped and, in some spellings, all that may.
fn quoted(text: &str, spelling: usize) -> String {
    let quote = if spelling.is_multiple_of(2) { '"' } else { '\'' };
    let escaped = |c: char| match c {
        '\\' | '"' | '\'' => format!("\\{c}"),
        '\n' => "\\n".to_owned(),
        c if c.is_control() || (spelling.is_multiple_of(3) && !c.is_ascii()) => {
            c.to_string().bytes().map(|byte| format!("\\{byte:03o}")).collect()
        }
        c => c.to_string(),
    };
    let half = text.chars().count() / 2;
    let part = |part: String| format!("{quote}{part}{quote}");
    match spelling % 5 {
        0 => {
            let first: String = text.chars().take(half).map(escaped).collect();
            let second: String = text.chars().skip(half).map(escaped).collect();
            format!("{} {}", part(first), part(second))
        }
        _ => part(text.chars().map(escaped).collect()),
    }
}
