//! Names: of models, of files inside of a model, and how either is shown in a message. Pure.
//!
//! Invariant: a name that passed a check here joins to a path below the folder it is joined to; only symlinks can
//! still lead out, which [`super::disk`] looks at.

use inferlay_backend_sdk::{Error, ErrorKind};
use std::ffi::OsStr;
use std::fmt;
use std::ops::RangeInclusive;
use std::path::{Component, Path};

/// The most bytes of a model's name: what a file system allows for one folder.
const NAME_BYTES_MAX: usize = 255;

/// Characters that are read as another one, or join to the one before: the same word could be written in two ways, and
/// would be two models. Text as keyboards write it (the composed form, NFC) holds none of them but for a few scripts
/// whose vowels are such marks; those stand outside of these blocks.
const AMBIGUOUS: [RangeInclusive<char>; 16] = [
    '\u{a0}'..='\u{a0}',
    '\u{300}'..='\u{36f}',
    '\u{37e}'..='\u{37e}',
    '\u{387}'..='\u{387}',
    '\u{1100}'..='\u{11ff}',
    '\u{1680}'..='\u{1680}',
    '\u{1ab0}'..='\u{1aff}',
    '\u{1dc0}'..='\u{1dff}',
    '\u{2000}'..='\u{200a}',
    '\u{202f}'..='\u{202f}',
    '\u{205f}'..='\u{205f}',
    '\u{20d0}'..='\u{20ff}',
    '\u{2126}'..='\u{212b}',
    '\u{3000}'..='\u{3000}',
    '\u{f900}'..='\u{faff}',
    '\u{fe20}'..='\u{ff5e}',
];

/// Characters that are not seen, or turn the text round them: what is shown would not be what is meant.
const INVISIBLE: [RangeInclusive<char>; 12] = [
    '\u{ad}'..='\u{ad}',
    '\u{61c}'..='\u{61c}',
    '\u{180e}'..='\u{180e}',
    '\u{200b}'..='\u{200f}',
    '\u{2028}'..='\u{202e}',
    '\u{2060}'..='\u{206f}',
    '\u{e000}'..='\u{f8ff}',
    '\u{fe00}'..='\u{fe0f}',
    '\u{feff}'..='\u{feff}',
    '\u{fff0}'..='\u{ffff}',
    '\u{e0000}'..='\u{e0fff}',
    '\u{f0000}'..='\u{10ffff}',
];

/// Checks that `name` can name a model.
///
/// # Errors
/// [`ErrorKind::InvalidArg`] for a name that is empty, too long, begins with `.` or a space or ends with a space, or holds
/// `..`, `/`, `\` or a character that cannot be seen or be told from another one.
pub(crate) fn check_model_name(name: &str) -> Result<(), Error> {
    let Some(found) = unfit(name) else { return Ok(()) };
    let shown: String = name.chars().take(NAME_BYTES_MAX).collect();
    Err(Error::invalid_arg(format!(
        "model {}: found {found}, expected a name of visible characters in composed form, without leading '.', without \
         '..', '/', '\\' and outer spaces",
        Shown::text(&shown)
    )))
}

/// What keeps a name from being that of a model.
fn unfit(name: &str) -> Option<String> {
    let is_unfit = |c: char| matches!(c, '/' | '\\') || is_unseen(c) || is_in(&AMBIGUOUS, c);
    match name {
        "" => Some("an empty name".to_owned()),
        _ if name.len() > NAME_BYTES_MAX => Some(format!("a name of {} bytes", name.len())),
        _ if name.contains("..") => Some("'..' in the name".to_owned()),
        _ if name.starts_with('.') => Some("a name that begins with '.'".to_owned()),
        _ if name.starts_with(' ') || name.ends_with(' ') => Some("a space at an end of the name".to_owned()),
        _ => name.chars().find(|c| is_unfit(*c)).map(|c| format!("{} in the name", shown_char(c))),
    }
}

/// Whether a character is not seen where a name is shown.
fn is_unseen(c: char) -> bool {
    c.is_control() || is_in(&INVISIBLE, c)
}

fn is_in(ranges: &[RangeInclusive<char>], c: char) -> bool {
    ranges.iter().any(|range| range.contains(&c))
}

/// A character between quotes, by its number where it cannot be seen or be told from another.
fn shown_char(c: char) -> String {
    let is_plain = !is_in(&AMBIGUOUS, c) && !is_unseen(c);
    if is_plain { format!("'{c}'") } else { format!("'{}'", c.escape_default()) }
}

/// The name of a file inside of a model, with `/` between folders and without needless `.` and `/`.
///
/// # Errors
/// [`ErrorKind::NotFound`] for a name that is empty, absolute or holds `..`, `\` or a character that is not seen: no file
/// lies there.
pub(super) fn relative(name: &str) -> Result<String, Error> {
    let mut parts = Vec::new();
    for component in Path::new(name).components() {
        match component {
            // A part of valid UTF-8 is valid UTF-8: the default is never taken.
            Component::Normal(part) => parts.push(part.to_str().unwrap_or_default()),
            Component::CurDir => {}
            Component::ParentDir => return Err(outside(name, "'..'")),
            Component::RootDir | Component::Prefix(_) => return Err(outside(name, "an absolute path")),
        }
    }
    match stray(name) {
        Some(c) => Err(outside(name, &shown_char(c))),
        None if parts.is_empty() => Err(outside(name, "no name")),
        None => Ok(parts.join("/")),
    }
}

/// The first character that keeps a file's name from being passed on.
fn stray(name: &str) -> Option<char> {
    name.chars().find(|c| *c == '\\' || is_unseen(*c))
}

/// The name of an entry of a folder, if it can be passed on.
pub(super) fn passable(name: &OsStr) -> Option<&str> {
    name.to_str().filter(|name| stray(name).is_none())
}

fn outside(name: &str, found: &str) -> Error {
    let shown = Shown::text(name);
    let expected = "a name relative to the model's folder, of visible characters, without '..' and '\\'";
    Error::new(ErrorKind::NotFound, format!("file {shown}: found {found}, expected {expected}"))
}

/// Shows a name or path between quotes on one line, with stray bytes and all that is not seen escaped: whoever names a
/// file must not be able to forge a line of a log, nor to turn its text round.
pub(super) struct Shown<'a>(&'a OsStr);

impl<'a> Shown<'a> {
    pub(super) fn text(text: &'a str) -> Self {
        Shown(OsStr::new(text))
    }

    pub(super) fn path(path: &'a Path) -> Self {
        Shown(path.as_os_str())
    }
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("'")?;
        for chunk in self.0.as_encoded_bytes().utf8_chunks() {
            for c in chunk.valid().chars() {
                if is_unseen(c) { write!(f, "{}", c.escape_default())? } else { write!(f, "{c}")? }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        f.write_str("'")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_model_name_is_refused_for_what_it_holds() {
        let rows = [
            ("", "found an empty name"),
            (".", "found a name that begins with '.'"),
            (".git", "found a name that begins with '.'"),
            ("..", "found '..' in the name"),
            ("a..b", "found '..' in the name"),
            ("a/b", "found '/' in the name"),
            ("a\\b", "found '\\' in the name"),
            ("a\nb", "model 'a\\nb': found '\\n' in the name"),
            ("a\u{85}", "found '\\u{85}' in the name"),
            ("a\u{202e}gpj.b", "model 'a\\u{202e}gpj.b': found '\\u{202e}' in the name"),
            ("a\u{200b}", "found '\\u{200b}' in the name"),
            ("a\u{2028}b", "found '\\u{2028}' in the name"),
            ("\u{feff}a", "found '\\u{feff}' in the name"),
            ("gro\u{308}ße", "found '\\u{308}' in the name"),
            ("\u{212a}elvin", "found '\\u{212a}' in the name"),
            ("\u{1112}\u{1161}\u{11ab}", "found '\\u{1112}' in the name"),
            ("a\u{a0}b", "found '\\u{a0}' in the name"),
            ("\u{ff44}igits", "found '\\u{ff44}' in the name"),
            (" a", "found a space at an end of the name"),
            ("a ", "found a space at an end of the name"),
            (&"é".repeat(128), "found a name of 256 bytes"),
        ];
        for (name, expected) in rows {
            let error = check_model_name(name).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArg, "{name:?}");
            assert!(error.message().contains(expected), "{name:?}: {error}");
        }
        for name in ["digits", "net.int8", "größe", "a b", "1", "-", "a'b", "한글", "模型", "модель", "हिन्दी", "বাংলা"]
        {
            check_model_name(name).unwrap();
        }
    }

    #[test]
    fn a_file_name_is_made_plain_or_refused() {
        for (name, plain) in [("a", "a"), ("./a", "a"), ("a//b", "a/b"), ("a/./b/", "a/b"), ("a..b", "a..b")] {
            assert_eq!(relative(name).unwrap(), plain);
        }
        for (name, found) in [
            ("", "no name"),
            (".", "no name"),
            ("/a", "an absolute path"),
            ("a/../b", "'..'"),
            ("..", "'..'"),
            ("a\\b", "'\\'"),
            ("a\0", "'\\u{0}'"),
            ("a\nb", "'\\n'"),
            ("a\u{202e}b", "'\\u{202e}'"),
        ] {
            let error = relative(name).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::NotFound, "{name:?}");
            assert!(error.message().contains(&format!("found {found}, expected")), "{name:?}: {error}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_shown_name_escapes_stray_bytes_and_keeps_letters() {
        use std::os::unix::ffi::OsStrExt;
        let name = OsStr::from_bytes(b"gr\xc3\xb6\xff\x1b[1m\n");
        assert_eq!(Shown(name).to_string(), "'grö\\xff\\u{1b}[1m\\n'");
    }

    proptest! {
        #[test]
        fn a_shown_name_is_always_one_line(name in any::<String>()) {
            prop_assert!(!Shown::text(&name).to_string().chars().any(is_unseen));
        }

        #[test]
        fn an_accepted_name_joins_to_a_path_below(name in "[a./\\\\\u{0}]{0,8}") {
            if let Ok(plain) = relative(&name) {
                prop_assert!(Path::new(&plain).components().all(|c| matches!(c, Component::Normal(_))));
                prop_assert_eq!(relative(&plain).unwrap(), plain);
            }
            if check_model_name(&name).is_ok() {
                let parts: Vec<_> = Path::new(&name).components().collect();
                prop_assert_eq!(parts, [Component::Normal(OsStr::new(&name))]);
            }
        }
    }
}
