//! The text of a manifest: which files a model has, with size and sum. Pure.
//!
//! ```text
//!   # inferlay manifest 1
//!   # 3456 bytes
//!   SHA256 (1/model.onnx) = 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
//! ```
//!
//! The first line is as above. A line with a sum is what `sha256sum --tag` and `b3sum --tag` write, and what
//! `sha256sum --check` reads, for which the rest is a comment; it may follow a line with the size. Names are relative to
//! the model's folder. The first line also says, under a signature, what was signed.
//!
//! Invariant: every name of a [`Manifest`] is plain, as [`relative`] makes them, and there once.

use super::super::disk::ENTRIES_MAX;
use super::super::name::{Shown, relative};
use super::digest::{Algorithm, Sum, unhex};
use inferlay_backend_sdk::{Error, ErrorKind};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// What a manifest is called.
pub(crate) const MANIFEST_NAME: &str = "inferlay.manifest";

/// The most bytes of a manifest: 100,000 files with names of some length.
pub(super) const MANIFEST_BYTES_MAX: u64 = 1 << 25;

const FIRST_LINE: &str = "# inferlay manifest 1";

/// What a manifest says of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Sealed {
    pub(super) algorithm: Algorithm,
    pub(super) sum: Sum,
    /// Where the manifest says it. The sum alone decides; the size tells sooner.
    pub(super) size: Option<u64>,
}

/// The files of a model, by name.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Manifest {
    pub(super) files: BTreeMap<String, Sealed>,
}

impl Manifest {
    /// Reads the text of a manifest.
    ///
    /// # Errors
    /// `INVALID_ARG` with the number of the line.
    pub(super) fn parse(text: &str) -> Result<Self, Error> {
        let mut manifest = Manifest::default();
        let mut size = None;
        for (at, line) in text.lines().enumerate() {
            let told = if at == 0 { first(line) } else { manifest.line(line, &mut size) };
            told.map_err(|found| Error::invalid_arg(format!("line {}: {found}", at + 1)))?;
        }
        if text.is_empty() {
            return Err(Error::invalid_arg(format!("found an empty file, expected '{FIRST_LINE}'")));
        }
        Ok(manifest)
    }

    fn line(&mut self, line: &str, size: &mut Option<u64>) -> Result<(), String> {
        if let Some(comment) = line.strip_prefix('#') {
            *size = stated_size(comment)?.or(*size);
            return Ok(());
        }
        if line.trim().is_empty() {
            return Ok(());
        }
        let (name, mut sealed) = tagged(line)?;
        sealed.size = size.take();
        if self.files.insert(name.clone(), sealed).is_some() {
            return Err(format!("found file {} again, expected it once", Shown::text(&name)));
        }
        if self.files.len() > ENTRIES_MAX {
            return Err(format!("found more than {ENTRIES_MAX} files, expected a model"));
        }
        Ok(())
    }

    /// The text that [`Manifest::parse`] reads.
    ///
    /// # Errors
    /// `RESOURCE_EXHAUSTED` when it would be longer than is read.
    pub(super) fn text(&self) -> Result<String, Error> {
        let mut text = format!("{FIRST_LINE}\n");
        for (name, Sealed { algorithm, sum, size }) in &self.files {
            let size = size.map_or(String::new(), |size| format!("# {size} bytes\n"));
            // Writing into a string cannot fail.
            let _ = writeln!(text, "{size}{algorithm} ({name}) = {sum}");
        }
        if text.len() as u64 > MANIFEST_BYTES_MAX {
            let message = format!(
                "{} files: found a manifest of {} bytes, expected at most {MANIFEST_BYTES_MAX}",
                self.files.len(),
                text.len()
            );
            return Err(Error::new(ErrorKind::ResourceExhausted, message));
        }
        Ok(text)
    }
}

fn first(line: &str) -> Result<(), String> {
    if line == FIRST_LINE {
        return Ok(());
    }
    Err(format!("found {}, expected '{FIRST_LINE}'", shown(line)))
}

/// The size in a comment such as ` 12 bytes`; any other comment is only one.
fn stated_size(comment: &str) -> Result<Option<u64>, String> {
    let Some(number) = comment.trim().strip_suffix(" bytes") else { return Ok(None) };
    if !number.bytes().all(|b| b.is_ascii_digit()) {
        return Ok(None);
    }
    number.parse().map(Some).map_err(|_| format!("found {} bytes, expected a size", shown(number)))
}

/// The parts of `SHA256 (name) = sum`. A name may hold parentheses: the last ones count, as for `sha256sum`.
fn tagged(line: &str) -> Result<(String, Sealed), String> {
    let expected =
        || format!("found {}, expected such as 'SHA256 (1/model.onnx) = <64 hexadecimal digits>'", shown(line));
    let (algorithm, rest) = line.split_once(" (").ok_or_else(expected)?;
    let (name, digits) = rest.rsplit_once(") = ").ok_or_else(expected)?;
    let algorithm = algorithm.parse::<Algorithm>().map_err(|error| error.message().to_owned())?;
    let sum = Sum(unhex(digits.trim_end()).ok_or_else(expected)?);
    match relative(name) {
        Ok(plain) if plain == name => Ok((plain, Sealed { algorithm, sum, size: None })),
        Ok(plain) => Err(format!("found file {}, expected {}", Shown::text(name), Shown::text(&plain))),
        Err(error) => Err(error.message().to_owned()),
    }
}

/// A piece of a line, short enough for a message.
fn shown(line: &str) -> String {
    let cut: String = line.chars().take(100).collect();
    Shown::text(&cut).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const DIGITS: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

    #[test]
    fn a_manifest_is_read_line_by_line() {
        let text = format!(
            "{FIRST_LINE}\n# made by hand\n\n# 12 bytes\nSHA256 (1/a (b) = c) = {DIGITS}\nBLAKE3 (größe) = {}\n",
            DIGITS.to_uppercase()
        );
        let manifest = Manifest::parse(&text).unwrap();
        let found: Vec<_> = manifest.files.iter().map(|(name, file)| (&name[..], file.algorithm, file.size)).collect();
        assert_eq!(found, [("1/a (b) = c", Algorithm::Sha256, Some(12)), ("größe", Algorithm::Blake3, None)]);
        assert!(manifest.files.values().all(|file| file.sum.to_string() == DIGITS));
        assert!(Manifest::parse(FIRST_LINE).unwrap().files.is_empty());
    }

    #[test]
    fn a_line_that_is_not_understood_is_named() {
        let sum = |name: &str| format!("{FIRST_LINE}\nSHA256 ({name}) = {DIGITS}");
        let rows = [
            (String::new(), "found an empty file, expected '# inferlay manifest 1'"),
            ("# inferlay manifest 2\n".to_owned(), "line 1: found '# inferlay manifest 2', expected"),
            (format!("SHA256 (a) = {DIGITS}"), "line 1: found 'SHA256 (a)"),
            (format!("{FIRST_LINE}\nnonsense\u{7}"), "line 2: found 'nonsense\\u{7}', expected such as 'SHA256"),
            (format!("{FIRST_LINE}\nMD5 (a) = {DIGITS}"), "line 2: found 'MD5', expected SHA256 or BLAKE3"),
            (format!("{FIRST_LINE}\nSHA256 (a) = {}", &DIGITS[1..]), "line 2: found 'SHA256 (a) = f86d"),
            (format!("{FIRST_LINE}\nSHA256 (a) = {DIGITS}0"), "expected such as"),
            (format!("{FIRST_LINE}\n{DIGITS}  a"), "expected such as"),
            (format!("{FIRST_LINE}\n# 99999999999999999999 bytes"), "line 2: found '99999999999999999999' bytes"),
            (format!("{}\nBLAKE3 (a) = {DIGITS}", sum("a")), "line 3: found file 'a' again"),
            (sum("../a"), "line 2: file '../a': found '..'"),
            (sum("/a"), "found an absolute path"),
            (sum("./a"), "found file './a', expected 'a'"),
            (sum(""), "found no name"),
        ];
        for (text, message) in rows {
            let error = Manifest::parse(&text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArg, "{text:?}");
            assert!(error.message().contains(message), "{text:?}: {error}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(names in prop::collection::btree_set("[a-c() =#/.]{1,8}", 0..6), size in any::<Option<u64>>()) {
            let plain = names.into_iter().filter(|name| relative(name).is_ok_and(|plain| plain == *name));
            let sealed = Sealed { algorithm: Algorithm::Sha256, sum: Sum([7; 32]), size };
            let manifest = Manifest { files: plain.map(|name| (name, sealed)).collect() };
            prop_assert_eq!(Manifest::parse(&manifest.text().unwrap()).unwrap(), manifest);
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in "(# inferlay manifest 1\n)?(.|\n){0,200}") {
            let _ = Manifest::parse(&text);
        }
    }
}
