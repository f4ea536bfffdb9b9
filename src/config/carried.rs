//! What the engine itself does not act upon: checked against the grammar and carried as JSON, for backends to read. Pure,
//! any thread.

use super::error::Report;
use super::grammar::{Field, Kind, Message, Times};
use super::read::Cursor;
use serde_json::{Map, Value};

/// The fields of `names` that are there, as JSON with Triton's keys.
pub(super) fn fields(
    cursor: &Cursor<'_>,
    message: &Message,
    names: &[&'static str],
    report: &mut Report,
) -> Map<String, Value> {
    let wanted = message.fields.iter().filter(|field| names.contains(&field.name));
    wanted.filter_map(|field| Some((field.name.to_owned(), value(&cursor.key(field.name)?, field, report)?))).collect()
}

fn value(cursor: &Cursor<'_>, field: &Field, report: &mut Report) -> Option<Value> {
    match field.times {
        Times::Once => one(cursor, field.kind, report),
        Times::List => {
            let items: Vec<_> = cursor.items().iter().filter_map(|item| one(item, field.kind, report)).collect();
            (!items.is_empty()).then_some(Value::Array(items))
        }
        Times::Map | Times::NumberMap => {
            let entries = cursor.entries(report);
            let entry = |(key, value): (String, Cursor<'_>)| Some((key, one(&value, field.kind, report)?));
            let entries: Map<_, _> = entries.into_iter().filter_map(entry).collect();
            (!entries.is_empty()).then_some(Value::Object(entries))
        }
    }
}

/// One value; `None` when it is reported, or says no more than its absence.
fn one(cursor: &Cursor<'_>, kind: Kind, report: &mut Report) -> Option<Value> {
    match kind {
        Kind::Text => Some(cursor.text_or_empty(report)?.into()),
        Kind::File => cursor.file(report).map(Value::from),
        Kind::Flag => cursor.flag(report).map(Value::from),
        Kind::Whole(least, most) => cursor.whole(least..=most, report).map(Value::from),
        Kind::Int(least, most) => cursor.int(least, most, report).map(Value::from),
        Kind::Real => cursor.real(report).map(Value::from),
        Kind::Choice(names) => cursor.word(names, report).map(Value::from),
        Kind::DataType => cursor.data_type(report).map(|data_type| super::json::data_type(data_type).into()),
        Kind::Message(message) => {
            cursor.check_keys(message, report);
            let all: Vec<_> = message.names().collect();
            Some(Value::Object(fields(cursor, message, &all, report)))
        }
    }
}
