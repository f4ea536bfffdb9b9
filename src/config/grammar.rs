//! What a config is made of, as data: every message, its fields, and what becomes of each. Pure data, any thread.
//!
//! ```text
//!   fields.rs --> CONFIG: Message --> pbtxt.rs    which fields repeat, are maps, enums, messages
//!                                \--> read.rs     which keys there are, which are not served yet
//!                                \--> carried.rs  what backends are handed as it stands
//!                                \--> tests       docs/triton-config.md and docs/config.schema.json
//! ```
//!
//! Invariants: 1. Within a message every name is there once. 2. The choices of an enum stand in the order of their
//! numbers, from 0.

/// A message of the grammar: a mapping with known keys.
pub(super) struct Message {
    /// The fields, in the order in which the documentation lists them.
    pub(super) fields: &'static [Field],
    /// Of these fields at most one may be there.
    pub(super) one_of: &'static [&'static str],
    /// What YAML and JSON may say in its place.
    #[cfg(test)]
    pub(super) short: Short,
}

/// A scalar that stands for a whole message.
#[derive(Clone, Copy, PartialEq, Eq)]
#[cfg_attr(not(test), allow(dead_code, reason = "for the documentation, which tests write"))]
pub(super) enum Short {
    /// None does.
    Nothing,
    /// One of these words.
    Words(&'static [&'static str]),
    /// Any text.
    Text,
}

/// One field of a message.
pub(super) struct Field {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    pub(super) times: Times,
    pub(super) state: State,
    /// What it does, in one sentence: for the documentation, which tests write, and no part of the library.
    #[cfg(test)]
    pub(super) about: &'static str,
}

/// What one value of a field is.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Text,
    /// The name of a file, of which a path must not lead out of the model's folder.
    File,
    Flag,
    /// A whole number from the first to the second.
    Whole(u64, u64),
    /// A whole number with a sign.
    Int(i64, i64),
    /// A number with a fraction.
    Real,
    Choice(&'static [&'static str]),
    /// The type of the elements of a tensor.
    DataType,
    Message(&'static Message),
}

/// How often a field may stand in its message.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Times {
    Once,
    List,
    /// Keys of the user's own.
    Map,
    /// Keys that are numbers.
    NumberMap,
}

/// What becomes of a field.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    /// It does what it says.
    Served,
    /// It is checked and handed to the backend, whose matter it is.
    Backend,
    /// It is checked and carried; whoever asks for it is warned, and refused by a strict server.
    NotYet,
    /// It is not Triton's.
    Own,
}

impl Message {
    /// The same, where at most one of these fields may be there.
    pub(super) const fn one_of(self, one_of: &'static [&'static str]) -> Self {
        Message { one_of, ..self }
    }

    /// The same, with a short form.
    pub(super) const fn short(self, short: Short) -> Self {
        let _for_tests = short;
        Message {
            #[cfg(test)]
            short,
            ..self
        }
    }

    /// The field of that name.
    pub(super) fn field(&self, name: &str) -> Option<&'static Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// The names of all fields.
    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.fields.iter().map(|field| field.name)
    }
}

/// A message without a short form.
pub(super) const fn message(fields: &'static [Field]) -> Message {
    Message {
        fields,
        one_of: &[],
        #[cfg(test)]
        short: Short::Nothing,
    }
}

/// A field that stands once and is served.
pub(super) const fn field(name: &'static str, kind: Kind, about: &'static str) -> Field {
    let _for_tests = about;
    Field {
        name,
        kind,
        times: Times::Once,
        state: State::Served,
        #[cfg(test)]
        about,
    }
}

impl Field {
    /// The same, any number of times.
    pub(super) const fn list(self) -> Self {
        Field { times: Times::List, ..self }
    }

    /// The same, once for each key.
    pub(super) const fn map(self) -> Self {
        Field { times: Times::Map, ..self }
    }

    /// The same, once for each number.
    pub(super) const fn number_map(self) -> Self {
        Field { times: Times::NumberMap, ..self }
    }

    /// Whether its keys are not of the grammar.
    pub(super) fn is_map(&self) -> bool {
        matches!(self.times, Times::Map | Times::NumberMap)
    }

    /// The same, for backends.
    pub(super) const fn backend(self) -> Self {
        Field { state: State::Backend, ..self }
    }

    /// The same, not served yet.
    pub(super) const fn not_yet(self) -> Self {
        Field { state: State::NotYet, ..self }
    }

    /// The same, not Triton's.
    pub(super) const fn own(self) -> Self {
        Field { state: State::Own, ..self }
    }
}
