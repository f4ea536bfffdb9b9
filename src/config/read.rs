//! One node seen as the type that is expected there; what does not fit is reported. Pure, any thread.
//!
//! Rules for every key: a single value stands for a list of one; nothing stands for an empty list or mapping, and for
//! nothing else.

use super::error::{Report, listed, quoted};
use super::nearest::nearest;
use super::path::Path;
use super::tree::{Node, Value};
use std::fmt::Display;
use std::ops::RangeInclusive;

/// A node and the path that leads to it.
pub(super) struct Cursor<'a> {
    node: &'a Node,
    path: Path,
}

/// The keys of one kind of mapping.
pub(super) struct Keys {
    /// Those that are served.
    pub(super) served: &'static [&'static str],
    /// Those that Triton serves and this version does not yet.
    pub(super) later: &'static [&'static str],
}

impl Keys {
    /// Why a key that is not served is refused.
    fn refusal(&self, key: &str) -> String {
        let name = quoted(key);
        if self.later.contains(&key) {
            format!("key '{name}' is not supported yet")
        } else if key == "<<" {
            "merge keys ('<<') are not supported; write the keys out".to_owned()
        } else if let Some(near) = nearest(key, self.served.iter().chain(self.later).copied()) {
            format!("unknown key '{name}'; did you mean '{near}'?")
        } else {
            format!("unknown key '{name}'; expected one of {}", listed(self.served.iter().copied()))
        }
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

    /// Reports every key that is not among `keys`; a node that is no mapping has none, and is reported too.
    pub(super) fn check_keys(&self, keys: &Keys, report: &mut Report) {
        for (key, _) in self.map_entries(report) {
            if !keys.served.contains(&&*key.name) {
                let message = if report.is_full() { String::new() } else { keys.refusal(&key.name) };
                report.at(key.at, message);
            }
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

/// How a message names a whole number within limits.
pub(super) fn whole_number(limits: &RangeInclusive<u64>) -> String {
    format!("a whole number from {} to {}", limits.start(), limits.end())
}

/// How a message names a dim.
pub(super) const DIM: &str = "a whole number from 0 to 9223372036854775807, or -1 for a dim that varies";
