//! One node seen as the type that is expected there; what does not fit is reported. Pure, any thread.
//!
//! Rules for every key: a single value stands for a list of one; nothing stands for an empty list or mapping, and for
//! nothing else.

use super::check::file_fault;
use super::error::{Report, listed, quoted};
use super::fields::RESPONSE_CACHE;
use super::grammar::{Field, Kind, Message, State, Times};
use super::nearest::nearest;
use super::path::Path;
use super::tree::{Node, Value};
use inferlay_backend_sdk::DataType;
use std::fmt::Display;
use std::ops::RangeInclusive;

/// A node and the path that leads to it.
pub(super) struct Cursor<'a> {
    node: &'a Node,
    path: Path,
}

/// Why a key that is not of the message is refused.
fn refusal(message: &Message, key: &str) -> String {
    let name = quoted(key);
    if key == "<<" {
        "merge keys ('<<') are not supported; write the keys out".to_owned()
    } else if let Some(near) = nearest(key, message.names()) {
        format!("unknown key '{name}'; did you mean '{near}'?")
    } else {
        format!("unknown key '{name}'; expected one of {}", listed(message.names()))
    }
}

impl<'a> Cursor<'a> {
    /// At the root of a file.
    pub(super) fn root(node: &'a Node) -> Self {
        Cursor { node, path: Path::default() }
    }

    /// Whether this is a mapping.
    pub(super) fn is_map(&self) -> bool {
        matches!(self.node.value, Value::Map(_))
    }

    /// The value of a key, if this is a mapping that has it.
    pub(super) fn key(&self, key: &'static str) -> Option<Cursor<'a>> {
        let Value::Map(entries) = &self.node.value else { return None };
        let (_, node) = entries.iter().find(|(name, _)| &*name.name == key)?;
        Some(Cursor { node, path: self.path.key(key) })
    }

    /// Reports every key that is not of the message, and warns of those that are not served yet; a node that is no
    /// mapping has none, and is reported too.
    pub(super) fn check_keys(&self, message: &Message, report: &mut Report) {
        for (key, node) in self.map_entries(report) {
            match message.field(&key.name) {
                Some(field) if field.state == State::NotYet && asks(field, node) => {
                    report.warn(key.at, format!("{}: is not served yet", self.path.key(field.name)));
                }
                Some(_) => {}
                None if report.is_full() => report.at(key.at, String::new()),
                None => report.at(key.at, refusal(message, &key.name)),
            }
        }
        let chosen = message.one_of.iter().filter(|name| self.key(name).is_some()).copied();
        if let [_, .., last] = chosen.collect::<Vec<_>>()[..]
            && let Some(cursor) = self.key(last)
        {
            let choices = listed(message.one_of.iter().copied());
            cursor.fault::<()>(format_args!("found another beside it, expected one of {choices}"), report);
        }
    }

    /// The items of a list.
    pub(super) fn items(&self) -> Vec<Cursor<'a>> {
        let item = |(index, node)| Cursor { node, path: self.path.index(index) };
        match &self.node.value {
            Value::List(items) => items.iter().enumerate().map(item).collect(),
            _ if self.node.is_null() => Vec::new(),
            _ => vec![item((0, self.node))],
        }
    }

    /// The keys and values of a mapping whose keys are the user's own.
    pub(super) fn entries(&self, report: &mut Report) -> Vec<(String, Cursor<'a>)> {
        let entries = self.map_entries(report).iter();
        entries
            .map(|(key, node)| (key.name.to_string(), Cursor { node, path: self.path.key(key.name.to_string()) }))
            .collect()
    }

    /// The text of a scalar, a number as it is spelt.
    pub(super) fn text(&self, report: &mut Report) -> Option<String> {
        match &self.node.value {
            Value::Scalar { text, .. } if !self.node.is_null() => Some(text.to_string()),
            _ => self.wrong("text", report),
        }
    }

    /// The text of a scalar, where no value at all is the empty text.
    pub(super) fn text_or_empty(&self, report: &mut Report) -> Option<String> {
        if self.node.is_null() { Some(String::new()) } else { self.text(report) }
    }

    /// A whole number within the limits.
    pub(super) fn whole(&self, limits: RangeInclusive<u64>, report: &mut Report) -> Option<u64> {
        match self.number() {
            Some(number) if u64::try_from(number).is_ok_and(|number| limits.contains(&number)) => {
                u64::try_from(number).ok()
            }
            _ => self.wrong(whole_number(&limits), report),
        }
    }

    /// A whole number with a sign.
    pub(super) fn int(&self, least: i64, most: i64, report: &mut Report) -> Option<i64> {
        match self.number().map(i64::try_from) {
            Some(Ok(number)) if (least..=most).contains(&number) => Some(number),
            _ => self.wrong(format_args!("a whole number from {least} to {most}"), report),
        }
    }

    /// A number with a fraction.
    pub(super) fn real(&self, report: &mut Report) -> Option<f64> {
        match &self.node.value {
            Value::Scalar { text, plain: true } => match text.parse::<f64>() {
                Ok(number) if number.is_finite() => Some(number),
                _ => self.wrong("a number", report),
            },
            _ => self.wrong("a number", report),
        }
    }

    /// One of the dims of a tensor.
    pub(super) fn dim(&self, report: &mut Report) -> Option<i64> {
        match self.number().map(i64::try_from) {
            Some(Ok(dim)) if dim >= -1 => Some(dim),
            _ => self.wrong(DIM, report),
        }
    }

    /// `true` or `false`.
    pub(super) fn flag(&self, report: &mut Report) -> Option<bool> {
        self.choice(&[("true", true), ("false", false)], report)
    }

    /// What the text stands for, of several.
    pub(super) fn choice<T: Clone>(&self, choices: &[(&str, T)], report: &mut Report) -> Option<T> {
        if let Value::Scalar { text, .. } = &self.node.value
            && let Some((_, choice)) = choices.iter().find(|(name, _)| *name == &**text)
        {
            return Some(choice.clone());
        }
        self.wrong(format_args!("one of {}", listed(choices.iter().map(|(name, _)| *name))), report)
    }

    /// One of these words, as it is spelt.
    pub(super) fn word(&self, words: &[&'static str], report: &mut Report) -> Option<&'static str> {
        if let Value::Scalar { text, .. } = &self.node.value
            && let Some(word) = words.iter().find(|word| ***word == **text)
        {
            return Some(word);
        }
        self.wrong(format_args!("one of {}", listed(words.iter().copied())), report)
    }

    /// The type of the elements of a tensor.
    pub(super) fn data_type(&self, report: &mut Report) -> Option<DataType> {
        let text = self.text(report)?;
        let names = || DataType::all().map(DataType::name).collect::<Vec<_>>().join(", ");
        text.parse().ok().or_else(|| self.wrong(format_args!("one of {}, also with TYPE_ before it", names()), report))
    }

    /// The name of a file that lies in the model's folder.
    pub(super) fn file(&self, report: &mut Report) -> Option<String> {
        let name = self.text(report)?;
        match file_fault(&name) {
            Some(fault) => self.fault(fault, report),
            None => Some(name),
        }
    }

    /// Reports that something else was expected here.
    pub(super) fn wrong<T>(&self, expected: impl Display, report: &mut Report) -> Option<T> {
        self.fault(format_args!("found {}, expected {expected}", self.found()), report)
    }

    /// Reports whatever else is wrong with the value here.
    pub(super) fn fault<T>(&self, message: impl Display, report: &mut Report) -> Option<T> {
        match self.path.to_string() {
            root if root.is_empty() => report.at(self.node.at, message.to_string()),
            path => report.at(self.node.at, format!("{path}: {message}")),
        }
        None
    }

    /// Warns of what is there.
    pub(super) fn warn(&self, message: impl Display, report: &mut Report) {
        report.warn(self.node.at, format!("{}: {message}", self.path));
    }

    fn map_entries(&self, report: &mut Report) -> &'a [(super::tree::Key, Node)] {
        match &self.node.value {
            Value::Map(entries) => entries,
            _ if self.node.is_null() => &[],
            _ => self.wrong("a mapping of keys", report).unwrap_or(&[]),
        }
    }

    fn number(&self) -> Option<i128> {
        let Value::Scalar { text, plain: true } = &self.node.value else { return None };
        let digits = text.strip_prefix('-').unwrap_or(text);
        if digits.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
    }

    fn found(&self) -> String {
        match &self.node.value {
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a mapping".to_owned(),
            Value::Scalar { .. } if self.node.is_null() => "nothing".to_owned(),
            Value::Scalar { text, plain: true } => {
                let bare = text.starts_with(|c: char| c.is_ascii_digit() || "+-.".contains(c));
                if bare { quoted(text) } else { format!("'{}'", quoted(text)) }
            }
            Value::Scalar { text, plain: false } => format!("the text '{}'", quoted(text)),
        }
    }
}

/// Whether a field asks for more than its absence would.
fn asks(field: &Field, node: &Node) -> bool {
    let first = match field.kind {
        Kind::Choice(names) => names[0],
        _ => "false",
    };
    let is_idle = |node: &Node| match &node.value {
        Value::Scalar { text, .. } => node.is_null() || matches!(&**text, "" | "0") || **text == *first,
        Value::List(items) => items.is_empty(),
        Value::Map(entries) => entries.is_empty(),
    };
    match (field.times, field.kind, &node.value) {
        // The cache of a model that says it wants none.
        (Times::Once, Kind::Message(message), Value::Map(entries)) if std::ptr::eq(message, &RESPONSE_CACHE) => {
            !entries.iter().all(|(_, node)| is_idle(node))
        }
        // Being there at all is what they say.
        (Times::Once, Kind::Message(_), _) => true,
        _ => !is_idle(node),
    }
}

/// How a message names a whole number within limits.
pub(super) fn whole_number(limits: &RangeInclusive<u64>) -> String {
    format!("a whole number from {} to {}", limits.start(), limits.end())
}

/// How a message names a dim.
pub(super) const DIM: &str = "a whole number from 0 to 9223372036854775807, or -1 for a dim that varies";
