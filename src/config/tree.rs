//! YAML to a tree of nodes, each with its position: the only file that names the YAML crate. Pure, any thread.
//!
//! ```text
//! text --parser--> events --Builder (explicit stack, counted)--> Node
//! ```
//!
//! The tree is built from the parser's events rather than through serde: a scalar keeps its spelling (a tensor may be
//! called `1.10` or `y`), every key has a position, and one file may show several errors.
//!
//! Invariants: 1. Nothing recurses while parsing, and no tree is deeper than [`DEPTH_MAX`]. 2. What a tree occupies,
//! copies made by aliases included, is bounded by [`TREE_SIZE_MAX`]. 3. Within a mapping every key is there once.

use super::error::{Report, printable, quoted};
use serde_yaml::granit_parser::{Event, Parser, ScalarStyle, Span, Tag, options};
use std::collections::HashMap;
use std::sync::Arc;

/// Where a node or key stands in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct At {
    /// Bytes from the start of the text.
    pub(super) offset: u32,
    /// From 1.
    pub(super) line: u32,
    /// From 1, in characters.
    pub(super) column: u32,
    /// In characters; may reach beyond the line.
    pub(super) len: u32,
}

impl At {
    /// The start of the text.
    pub(super) const START: At = At { offset: 0, line: 1, column: 1, len: 1 };
}

/// A value and its place.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) at: At,
    pub(super) value: Value,
}

/// What a node holds.
#[derive(Clone, Debug)]
pub(super) enum Value {
    /// A scalar as it is spelt; `plain` when it stands without quotes, so that it may be a number.
    Scalar { text: Arc<str>, plain: bool },
    /// The items in their order.
    List(Vec<Node>),
    /// Keys and values in their order.
    Map(Vec<(Key, Node)>),
}

/// A key of a mapping and its place.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) at: At,
    pub(super) name: Arc<str>,
}

impl Node {
    /// Whether it is YAML's null: nothing at all, `~` or `null`.
    pub(super) fn is_null(&self) -> bool {
        let Value::Scalar { text, plain: true } = &self.value else { return false };
        matches!(&**text, "" | "~" | "null" | "Null" | "NULL")
    }
}

/// The tree of a text; `None` when it is not YAML or beyond the limits, which the report then says. Smaller faults,
/// such as a key given twice, are reported and left out of the tree.
pub(super) fn read(text: &str, report: &mut Report) -> Option<Node> {
    // The parser looks ahead, so that its own limits would be met before the depth is known to be too large: they are
    // set out of the way, and cost no more than the text has characters.
    let options = options! { flow_nesting_limit: usize::MAX, block_nesting_limit: usize::MAX };
    let mut builder = Builder { report, open: Vec::new(), anchors: HashMap::new(), size: 0, root: None, documents: 0 };
    for event in Parser::new_from_str_with_options(text, options) {
        let step = match event {
            Ok((event, span)) => builder.step(event, at(&span)),
            Err(error) => Err(Fatal(at(&Span::empty(*error.marker())), not_yaml(&error.info()))),
        };
        if let Err(Fatal(at, message)) = step {
            builder.report.at(at, message);
            return None;
        }
    }
    let nothing = Value::Scalar { text: "".into(), plain: true };
    Some(builder.root.unwrap_or(Node { at: At::START, value: nothing }))
}

/// An error after which the rest of the text means nothing.
pub(super) struct Fatal(pub(super) At, pub(super) String);

struct Builder<'r> {
    report: &'r mut Report,
    /// The lists and mappings that the next node lies in, outermost first.
    open: Vec<Open>,
    /// The nodes that aliases may name.
    anchors: HashMap<usize, (Node, Extent)>,
    size: usize,
    root: Option<Node>,
    documents: usize,
}

/// A list or mapping whose end has not come yet.
struct Open {
    at: At,
    anchor: usize,
    extent: Extent,
    content: Content,
}

/// How much a node is, with all that lies in it.
#[derive(Clone, Copy)]
struct Extent {
    size: usize,
    /// The levels of lists and mappings: 0 for a scalar.
    levels: usize,
}

enum Content {
    List(Vec<Node>),
    Map { entries: Vec<(Key, Node)>, keys: HashMap<Arc<str>, At>, key: Option<Key> },
}

impl Builder<'_> {
    fn step(&mut self, event: Event<'_>, at: At) -> Result<(), Fatal> {
        match event {
            Event::DocumentStart(..) => self.document(at),
            Event::Scalar(text, style, anchor, tag) => {
                let plain = self.scalar_tag(tag.as_deref(), at) && style == ScalarStyle::Plain;
                let extent = Extent { size: NODE_SIZE + text.len(), levels: 0 };
                self.grow(extent.size, at)?;
                self.close(Node { at, value: Value::Scalar { text: text.into(), plain } }, anchor, extent)
            }
            Event::SequenceStart(_, anchor, tag) => self.open(at, anchor, tag.as_deref(), Content::List(Vec::new())),
            Event::MappingStart(_, anchor, tag) => {
                let content = Content::Map { entries: Vec::new(), keys: HashMap::new(), key: None };
                self.open(at, anchor, tag.as_deref(), content)
            }
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(open) => {
                    let value = match open.content {
                        Content::List(items) => Value::List(items),
                        Content::Map { entries, .. } => Value::Map(entries),
                    };
                    self.close(Node { at: open.at, value }, open.anchor, open.extent)
                }
                None => Ok(()),
            },
            Event::Alias(anchor) => self.alias(anchor, at),
            _ => Ok(()),
        }
    }

    fn document(&mut self, at: At) -> Result<(), Fatal> {
        self.documents += 1;
        match self.documents {
            1 => Ok(()),
            _ => Err(Fatal(at, "found a second document, expected one".to_owned())),
        }
    }

    fn open(&mut self, at: At, anchor: usize, tag: Option<&Tag>, content: Content) -> Result<(), Fatal> {
        self.fits(1, at)?;
        if let Some(tag) = tag.filter(|tag| !tag.is_yaml_core_schema()) {
            self.report.at(at, format!("found the tag '{}', expected none", quoted(&tag.original())));
        }
        self.grow(NODE_SIZE, at)?;
        self.open.push(Open { at, anchor, extent: Extent { size: NODE_SIZE, levels: 1 }, content });
        Ok(())
    }

    /// Whether the tag leaves it open what a plain scalar is.
    fn scalar_tag(&mut self, tag: Option<&Tag>, at: At) -> bool {
        match tag {
            None => true,
            Some(tag) if tag.is_yaml_core_schema() => !tag.is_yaml_core_schema_tag("str"),
            Some(tag) => {
                self.report.at(at, format!("found the tag '{}', expected none", quoted(&tag.original())));
                true
            }
        }
    }

    /// Copies what the alias names. The copy's parts keep the places where they are written.
    fn alias(&mut self, anchor: usize, at: At) -> Result<(), Fatal> {
        // It is taken out so that the bounds can be checked before the copy is made.
        let Some((node, extent)) = self.anchors.remove(&anchor) else {
            return Err(Fatal(at, "found an alias inside the node that it names".to_owned()));
        };
        self.fits(extent.levels, at)?;
        self.grow(extent.size, at)?;
        let copy = Node { at, value: node.value.clone() };
        self.anchors.insert(anchor, (node, extent));
        self.place(copy, extent)
    }

    fn close(&mut self, node: Node, anchor: usize, extent: Extent) -> Result<(), Fatal> {
        if anchor != 0 {
            self.grow(extent.size, node.at)?;
            self.anchors.insert(anchor, (node.clone(), extent));
        }
        self.place(node, extent)
    }

    /// Puts a finished node where it belongs: as the root, an item, a key, or the value of the last key.
    fn place(&mut self, node: Node, extent: Extent) -> Result<(), Fatal> {
        if let Some(open) = self.open.last_mut() {
            open.extent.size += extent.size;
            open.extent.levels = open.extent.levels.max(extent.levels + 1);
        }
        match self.open.last_mut().map(|open| &mut open.content) {
            None => self.root = Some(node),
            Some(Content::List(items)) => items.push(node),
            Some(Content::Map { entries, keys, key }) => match (key.take(), node) {
                (Some(key), node) => match keys.get(&key.name) {
                    Some(first) => {
                        let name = quoted(&key.name);
                        let message =
                            format!("found the key '{name}' again, expected once; first in line {}", first.line);
                        self.report.at(key.at, message);
                    }
                    None => {
                        keys.insert(Arc::clone(&key.name), key.at);
                        entries.push((key, node));
                    }
                },
                (None, Node { at, value: Value::Scalar { text, .. } }) => *key = Some(Key { at, name: text }),
                (None, Node { at, .. }) => {
                    return Err(Fatal(at, "found a list or mapping as a key, expected a name".to_owned()));
                }
            },
        }
        Ok(())
    }

    fn grow(&mut self, size: usize, at: At) -> Result<(), Fatal> {
        self.size += size;
        if self.size <= TREE_SIZE_MAX {
            return Ok(());
        }
        Err(Fatal(at, format!("found values of more than {TREE_SIZE_MAX} bytes with aliases expanded, expected fewer")))
    }

    /// Whether so many levels more stay within the bound.
    fn fits(&self, levels: usize, at: At) -> Result<(), Fatal> {
        if self.open.len() + levels <= DEPTH_MAX {
            return Ok(());
        }
        Err(Fatal(at, format!("found more than {DEPTH_MAX} levels, expected at most {DEPTH_MAX}")))
    }
}

fn not_yaml(fault: &str) -> String {
    format!("not YAML: {}", fault.chars().map(printable).collect::<String>())
}

fn at(span: &Span) -> At {
    // The text is at most TEXT_SIZE_MAX bytes long, which fits an u32.
    let narrow = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    At {
        offset: narrow(span.start.byte_offset().unwrap_or(0)),
        line: narrow(span.start.line()),
        column: narrow(span.start.col() + 1),
        len: narrow(span.len()),
    }
}

/// Lists and mappings within each other.
pub(super) const DEPTH_MAX: usize = 64;
/// What a node counts for besides its text.
pub(super) const NODE_SIZE: usize = 64;
/// The bytes that all nodes of a tree may count for.
pub(super) const TREE_SIZE_MAX: usize = 8 << 20;
