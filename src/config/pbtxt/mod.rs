//! The text format of protocol buffers to the tree of nodes that YAML becomes, guided by the grammar. Pure, any thread.
//!
//! ```text
//! text --lex.rs--> words --Reader--> fields --place--> Node, as if it had been written in YAML
//! ```
//!
//! What only this format has is gone afterwards: fields that repeat are lists, entries of a map are keys, numbers are
//! decimal, choices are names, and flags are `true` or `false`. What is wrong with a value, but for its quotes, is for
//! whoever reads the tree to say, as it is for YAML.
//!
//! Invariants: 1. Nothing recurses deeper than [`DEPTH_MAX`]. 2. What a tree occupies is bounded by [`TREE_SIZE_MAX`].
//! 3. Within a mapping every key is there once.

mod lex;
mod place;
mod scalar;

use super::error::{Report, quoted};
use super::grammar::{Field, Kind, Message, Times};
use super::path::Path;
use super::tree::{At, DEPTH_MAX, Fatal, Key, NODE_SIZE, Node, TREE_SIZE_MAX, Value};
use lex::{Lexer, Word};
use place::{Fields, Values};
use scalar::{decimal, flagged, is_real_name, named, plain};

/// The tree of a text that is one message; `None` when it is not in the text format or beyond the limits, which the
/// report then says. Smaller faults are reported and left out of the tree.
pub(super) fn read(text: &str, message: &'static Message, report: &mut Report) -> Option<Node> {
    match Reader::new(text, report).and_then(|mut reader| reader.root(message)) {
        Ok(root) => Some(root),
        Err(Fatal(at, fault)) => {
            report.at(at, fault);
            None
        }
    }
}

impl Fatal {
    fn new(at: At, fault: String) -> Self {
        Fatal(at, format!("not pbtxt: {fault}"))
    }
}

/// What the fields of a mapping may be.
#[derive(Clone, Copy)]
enum Scope {
    Message(&'static Message),
    /// One entry of this map: `key` and `value`.
    Entry(&'static Field),
    /// Nobody knows: the field that it belongs to is not of the grammar.
    Unknown,
}

/// What one field may be.
#[derive(Clone, Copy)]
struct Spec {
    kind: Kind,
    times: Times,
    /// The map that each value is an entry of.
    map: Option<&'static Field>,
}

impl Scope {
    fn spec(self, name: &str) -> Option<Spec> {
        let once = |kind| Some(Spec { kind, times: Times::Once, map: None });
        match (self, name) {
            (Scope::Message(message), _) => {
                let field = message.field(name)?;
                let map = field.is_map().then_some(field);
                Some(Spec { kind: field.kind, times: field.times, map })
            }
            (Scope::Entry(map), "key") if map.times == Times::NumberMap => once(Kind::Whole(0, u64::MAX)),
            (Scope::Entry(_), "key") => once(Kind::Text),
            (Scope::Entry(map), "value") => once(map.kind),
            _ => None,
        }
    }
}

struct Reader<'t, 'r> {
    lexer: Lexer<'t>,
    report: &'r mut Report,
    /// The word that comes next, and its place.
    word: Word<'t>,
    at: At,
    depth: usize,
    size: usize,
}

impl<'t, 'r> Reader<'t, 'r> {
    fn new(text: &'t str, report: &'r mut Report) -> Result<Self, Fatal> {
        let mut lexer = Lexer::new(text);
        let (word, at) = lexer.next()?;
        Ok(Reader { lexer, report, word, at, depth: 0, size: 0 })
    }

    fn root(&mut self, message: &'static Message) -> Result<Node, Fatal> {
        let fields = self.fields(Scope::Message(message), Word::End, &Path::default())?;
        Ok(Node { at: At::START, value: Value::Map(fields) })
    }

    /// Takes the next word.
    fn next(&mut self) -> Result<(Word<'t>, At), Fatal> {
        let (word, at) = self.lexer.next()?;
        Ok((std::mem::replace(&mut self.word, word), std::mem::replace(&mut self.at, at)))
    }

    /// Takes the mark if it comes next.
    fn take(&mut self, mark: char) -> Result<bool, Fatal> {
        let comes = self.word == Word::Mark(mark);
        if comes {
            self.next()?;
        }
        Ok(comes)
    }

    /// The fields up to the word that ends them, which stays.
    fn fields(&mut self, scope: Scope, end: Word<'t>, path: &Path) -> Result<Vec<(Key, Node)>, Fatal> {
        let mut fields = Fields::default();
        while self.word != end {
            let (key, spec) = self.key(scope, &end)?;
            let has_colon = self.take(':')?;
            let path = path.key(key.name.to_string());
            let values = self.values(fields.len(&key), spec, has_colon, &path)?;
            fields.place(key, values, spec, &path, self.report);
            if !self.take(',')? {
                self.take(';')?;
            }
        }
        Ok(fields.entries)
    }

    fn key(&mut self, scope: Scope, end: &Word<'t>) -> Result<(Key, Option<Spec>), Fatal> {
        let Word::Name(name) = self.word else {
            let end = match end {
                Word::Mark(mark) => format!(" or '{mark}'"),
                _ => String::new(),
            };
            return Err(self.unexpected(&format!("the name of a field{end}")));
        };
        let (_, at) = self.next()?;
        self.grow(NODE_SIZE + name.len(), at)?;
        Ok((Key { at, name: name.into() }, scope.spec(name)))
    }

    /// What stands behind a key of which there are `len` values already: one value, or those of a list.
    fn values(&mut self, len: usize, spec: Option<Spec>, has_colon: bool, path: &Path) -> Result<Values, Fatal> {
        let at = self.at;
        let is_list = spec.is_some_and(|spec| spec.times == Times::List);
        let path = |index: usize| if is_list { path.index(len + index) } else { path.clone() };
        if !self.take('[')? {
            let is_message = matches!(self.word, Word::Mark('{' | '<'));
            if !has_colon && !is_message {
                return Err(self.unexpected("':'"));
            }
            return Ok(Values::One(self.value(spec, &path(0))?));
        }
        let mut items = Vec::new();
        while !self.take(']')? {
            if !items.is_empty() && !self.take(',')? {
                return Err(self.unexpected("',' or ']'"));
            }
            items.push(self.value(spec, &path(items.len()))?);
        }
        Ok(Values::List(at, items))
    }

    /// One value; `None` for one that has been reported.
    fn value(&mut self, spec: Option<Spec>, path: &Path) -> Result<Option<Node>, Fatal> {
        let (word, at) = self.next()?;
        let scope = match spec {
            Some(Spec { map: Some(map), .. }) => Scope::Entry(map),
            Some(Spec { kind: Kind::Message(message), .. }) => Scope::Message(message),
            _ => Scope::Unknown,
        };
        let node = match word {
            Word::Mark('{') => return self.message(scope, at, '}', path).map(Some),
            Word::Mark('<') => return self.message(scope, at, '>', path).map(Some),
            Word::Text(bytes) => self.text(bytes, at)?,
            Word::Mark('-') => self.negative(at)?,
            Word::Name(name) => Node { at, value: plain(name) },
            Word::Number(number) => Node { at, value: Value::Scalar { text: decimal(number), plain: true } },
            other => return Err(unexpected(&other, at, "a value")),
        };
        self.grow(NODE_SIZE, at)?;
        Ok(self.fitting(node, spec, path))
    }

    /// The rest of a message whose first mark was just taken.
    fn message(&mut self, scope: Scope, at: At, end: char, path: &Path) -> Result<Node, Fatal> {
        self.depth += 1;
        if self.depth >= DEPTH_MAX {
            return Err(Fatal(at, format!("found more than {DEPTH_MAX} levels, expected at most {DEPTH_MAX}")));
        }
        let fields = self.fields(scope, Word::Mark(end), path).map_err(|fault| {
            let is_at_end = self.word == Word::End && fault.0.offset == self.at.offset;
            let unclosed = || Fatal::new(at, format!("found a message without its end, expected '{end}'"));
            if is_at_end { unclosed() } else { fault }
        })?;
        self.next()?;
        self.depth -= 1;
        Ok(Node { at, value: Value::Map(fields) })
    }

    /// A string, and those that follow it at once: together they are one.
    fn text(&mut self, mut bytes: Vec<u8>, at: At) -> Result<Node, Fatal> {
        while matches!(self.word, Word::Text(_)) {
            if let (Word::Text(more), _) = self.next()? {
                bytes.extend(more);
            }
        }
        self.grow(bytes.len(), at)?;
        let text = String::from_utf8(bytes)
            .map_err(|_| Fatal::new(at, "found a string that is not UTF-8, expected UTF-8".to_owned()))?;
        Ok(Node { at, value: Value::Scalar { text: text.into(), plain: false } })
    }

    fn negative(&mut self, minus: At) -> Result<Node, Fatal> {
        let (word, end) = self.next()?;
        let at = At { len: (end.offset + end.len).saturating_sub(minus.offset).max(1), ..minus };
        let text = match word {
            Word::Number(number) => decimal(number),
            Word::Name(name) if is_real_name(name) => name.into(),
            other => return Err(unexpected(&other, end, "a number after '-'")),
        };
        Ok(Node { at, value: Value::Scalar { text: format!("-{text}").into(), plain: true } })
    }

    /// The value as YAML would have it, unless it is of a sort that this format keeps apart and YAML does not.
    fn fitting(&mut self, node: Node, spec: Option<Spec>, path: &Path) -> Option<Node> {
        let (Some(spec), Value::Scalar { text, plain: is_plain }) = (spec, &node.value) else { return Some(node) };
        let expected = match spec.kind {
            _ if spec.map.is_some() => "an entry {key: … value: …}",
            Kind::Message(_) => "a message {…}",
            Kind::Text | Kind::File if *is_plain => "text in quotes",
            Kind::Choice(_) | Kind::DataType | Kind::Flag if !is_plain => "a name without quotes",
            Kind::Choice(names) => return Some(named(node, names)),
            Kind::DataType => return Some(named(node, &super::fields::DATA_TYPES)),
            Kind::Flag => return Some(flagged(node)),
            _ => return Some(node),
        };
        let found = if *is_plain { quoted(text) } else { format!("the text '{}'", quoted(text)) };
        self.report.at(node.at, format!("{path}: found {found}, expected {expected}"));
        None
    }

    fn unexpected(&self, expected: &str) -> Fatal {
        unexpected(&self.word, self.at, expected)
    }

    fn grow(&mut self, size: usize, at: At) -> Result<(), Fatal> {
        self.size += size;
        if self.size <= TREE_SIZE_MAX {
            return Ok(());
        }
        Err(Fatal(at, format!("found values of more than {TREE_SIZE_MAX} bytes, expected fewer")))
    }
}

fn unexpected(word: &Word<'_>, at: At, expected: &str) -> Fatal {
    let found = match word {
        Word::Name(text) | Word::Number(text) => format!("'{}'", quoted(text)),
        Word::Text(bytes) => format!("the text '{}'", quoted(&String::from_utf8_lossy(bytes))),
        Word::Mark(mark) => format!("'{}'", quoted(mark.encode_utf8(&mut [0; 4]))),
        Word::End => "the end of the file".to_owned(),
    };
    Fatal::new(at, format!("found {found}, expected {expected}"))
}
