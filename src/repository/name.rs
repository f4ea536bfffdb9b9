//! Names: of models, of files inside of a model, and how either is shown in a message. Pure.
//!
//! Invariant: a name that passed a check here joins to a path below the folder it is joined to; only symlinks can
//! still lead out, which [`super::disk`] looks at.

use inferlay_backend_sdk::{Error, ErrorKind};
use std::ffi::OsStr;
use std::fmt;
use std::path::{Component, Path};

/// Checks that `name` can name a model.
///
/// # Errors
/// [`ErrorKind::InvalidArg`] for a name that is empty, begins with `.` or holds `..`, `/`, `\` or a control character.
pub(crate) fn check_model_name(name: &str) -> Result<(), Error> {
    let found = match name {
        "" => "an empty name".to_owned(),
        _ if name.contains("..") => "'..' in the name".to_owned(),
        _ if name.starts_with('.') => "a name that begins with '.'".to_owned(),
        _ => match name.chars().find(|c| matches!(c, '/' | '\\') || c.is_control()) {
            Some(c) => format!("{} in the name", Shown::text(c.encode_utf8(&mut [0; 4]))),
            None => return Ok(()),
        },
    };
    Err(Error::invalid_arg(format!(
        "model {}: found {found}, expected a name without leading '.', without '..', '/', '\\' and control characters",
        Shown::text(name)
    )))
}

/// The name of a file inside of a model, with `/` between folders and without needless `.` and `/`.
///
/// # Errors
/// [`ErrorKind::NotFound`] for a name that is empty, absolute or holds `..`, `\` or NUL: no file lies there.
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
    match name.chars().find(|c| matches!(c, '\\' | '\0')) {
        Some(c) => Err(outside(name, &Shown::text(c.encode_utf8(&mut [0; 4])).to_string())),
        None if parts.is_empty() => Err(outside(name, "no name")),
        None => Ok(parts.join("/")),
    }
}

fn outside(name: &str, found: &str) -> Error {
    let shown = Shown::text(name);
    Error::new(
        ErrorKind::NotFound,
        format!(
            "file {shown}: found {found}, expected a name relative to the model's folder, without '..', '\\' and NUL"
        ),
    )
}

/// Shows a name or path between quotes on one line, with every control character and stray byte escaped: whoever
/// names a file must not be able to forge a line of a log.
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
                if c.is_control() { write!(f, "{}", c.escape_default())? } else { write!(f, "{c}")? }
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
        ];
        for (name, expected) in rows {
            let error = check_model_name(name).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArg, "{name:?}");
            assert!(error.message().contains(expected), "{name:?}: {error}");
        }
        for name in ["digits", "net.int8", "größe", "a b", "1", "-", "a'b"] {
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
            prop_assert!(!Shown::text(&name).to_string().chars().any(char::is_control));
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
