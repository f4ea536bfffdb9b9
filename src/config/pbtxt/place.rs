//! Where a value goes among the fields of its message. Pure, any thread.

use super::super::error::{Report, quoted};
use super::super::grammar::{Kind, Times};
use super::super::path::Path;
use super::super::tree::{At, Key, Node, Value};
use super::Spec;
use std::collections::HashMap;
use std::sync::Arc;

/// What stood behind a key; values that have been reported are `None`.
pub(super) enum Values {
    One(Option<Node>),
    /// A list in brackets, and where it begins.
    List(At, Vec<Option<Node>>),
}

/// The fields of one message so far.
#[derive(Default)]
pub(super) struct Fields {
    pub(super) entries: Vec<(Key, Node)>,
    places: HashMap<Arc<str>, usize>,
    /// The keys of each map, by the place of the map.
    keys: HashMap<(usize, Arc<str>), usize>,
}

impl Fields {
    /// Adds what stood behind a key. A field that is not of the grammar is there once, however often it stands: the
    /// first is reported by whoever reads the tree.
    pub(super) fn place(&mut self, key: Key, values: Values, spec: Option<Spec>, path: &Path, report: &mut Report) {
        let times = spec.map(|spec| spec.times);
        let (list_at, values) = match values {
            Values::One(value) => (None, vec![value]),
            Values::List(at, values) => (Some(at), values),
        };
        let known = self.places.get(&key.name).copied();
        match (times, list_at, known) {
            (Some(Times::Once), Some(at), _) => report.at(at, format!("{path}: found a list, expected one value")),
            (Some(Times::Once), None, Some(first)) => again(&key, self.entries[first].0.at, report),
            (Some(Times::Once), None, None) => values.into_iter().flatten().for_each(|node| self.add(&key, node)),
            (None, _, Some(_)) => {}
            (None | Some(Times::List), at, _) => {
                let at = at.or_else(|| values.iter().flatten().next().map(|node| node.at)).unwrap_or(key.at);
                let index = self.opened(&key, at, Value::List(Vec::new()));
                if let Value::List(items) = &mut self.entries[index].1.value {
                    items.extend(values.into_iter().flatten());
                }
            }
            (Some(Times::Map | Times::NumberMap), at, _) => {
                let at = at.or_else(|| values.iter().flatten().next().map(|node| node.at)).unwrap_or(key.at);
                let index = self.opened(&key, at, Value::Map(Vec::new()));
                let kind = spec.map(|spec| spec.kind);
                values.into_iter().flatten().for_each(|node| self.enter(index, node, kind, report));
            }
        }
    }

    /// How many values there are of that key.
    pub(super) fn len(&self, key: &Key) -> usize {
        let node = self.places.get(&key.name).and_then(|index| self.entries.get(*index));
        match node.map(|(_, node)| &node.value) {
            Some(Value::List(items)) => items.len(),
            _ => 0,
        }
    }

    fn add(&mut self, key: &Key, node: Node) {
        self.places.insert(Arc::clone(&key.name), self.entries.len());
        self.entries.push((key.clone(), node));
    }

    /// The place of the list or map of that key, which is made if there is none yet.
    fn opened(&mut self, key: &Key, at: At, empty: Value) -> usize {
        if !self.places.contains_key(&key.name) {
            self.add(key, Node { at, value: empty });
        }
        self.places[&key.name]
    }

    /// Adds one entry, a message of `key` and `value`, to the map at `index`. Of two with the same key the last one
    /// counts, as it does for protocol buffers.
    fn enter(&mut self, index: usize, entry: Node, kind: Option<Kind>, report: &mut Report) {
        let Value::Map(fields) = entry.value else { return };
        let (mut name, mut value) = (Key { at: entry.at, name: "".into() }, None);
        for (key, node) in fields {
            match (&*key.name, node) {
                ("key", Node { at, value: Value::Scalar { text, .. } }) => name = Key { at, name: text },
                ("value", node) => value = Some(node),
                _ => report.at(key.at, format!("unknown key '{}'; expected one of key, value", quoted(&key.name))),
            }
        }
        let value = value.unwrap_or_else(|| Node { at: entry.at, value: nothing(kind) });
        let Value::Map(entries) = &mut self.entries[index].1.value else { return };
        match self.keys.get(&(index, Arc::clone(&name.name))) {
            Some(first) => {
                let line = entries[*first].0.at.line;
                let text = quoted(&name.name);
                report.warn(name.at, format!("found the key '{text}' again, which replaces the one in line {line}"));
                entries[*first] = (name, value);
            }
            None => {
                self.keys.insert((index, Arc::clone(&name.name)), entries.len());
                entries.push((name, value));
            }
        }
    }
}

fn again(key: &Key, first: At, report: &mut Report) {
    let name = quoted(&key.name);
    report.at(key.at, format!("found the key '{name}' again, expected once; first in line {}", first.line));
}

/// What an entry without a value holds.
fn nothing(kind: Option<Kind>) -> Value {
    match kind {
        Some(Kind::Message(_)) => Value::Map(Vec::new()),
        _ => Value::Scalar { text: "".into(), plain: false },
    }
}
