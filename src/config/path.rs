//! The way from the root of a config to one value, such as `input[0].dims`. Pure data, any thread.

use super::tree::{At, Node, Value};
use std::borrow::Cow;
use std::fmt;

/// Keys and indices from the root. The root itself is the empty path.
#[derive(Clone, Debug, Default)]
pub(super) struct Path(Vec<Step>);

#[derive(Clone, Debug)]
enum Step {
    Key(Cow<'static, str>),
    Index(usize),
}

impl Path {
    /// The path of a key of the root.
    pub(super) fn root(key: &'static str) -> Self {
        Path::default().key(key)
    }

    /// The path of the value of `key` in the mapping that is here.
    pub(super) fn key(&self, key: impl Into<Cow<'static, str>>) -> Self {
        self.and(Step::Key(key.into()))
    }

    /// The path of one item of the list that is here.
    pub(super) fn index(&self, index: usize) -> Self {
        self.and(Step::Index(index))
    }

    /// Where the deepest node on this path stands. A single value in the place of a list is its only item.
    pub(super) fn locate(&self, root: &Node) -> At {
        let mut node = root;
        for step in &self.0 {
            let next = match (step, &node.value) {
                (Step::Key(key), Value::Map(entries)) => {
                    entries.iter().find(|(name, _)| *name.name == **key).map(|(_, value)| value)
                }
                (Step::Index(index), Value::List(items)) => items.get(*index),
                (Step::Index(0), _) => Some(node),
                _ => None,
            };
            match next {
                Some(next) => node = next,
                None => break,
            }
        }
        node.at
    }

    fn and(&self, step: Step) -> Self {
        Path(self.0.iter().cloned().chain([step]).collect())
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (depth, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(key) if depth == 0 => f.write_str(&super::error::quoted(key))?,
                Step::Key(key) => write!(f, ".{}", super::error::quoted(key))?,
                Step::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}
