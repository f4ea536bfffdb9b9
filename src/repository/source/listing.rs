//! What a source listed, checked: names that lead nowhere else, and no more than a repository may have. Pure.

use super::super::disk::ENTRIES_MAX;
use super::super::name::{Shown, relative};
use super::SourceFile;
use inferlay_backend_sdk::{Error, ErrorKind};
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::time::UNIX_EPOCH;

/// The most bytes of all files together: 16 TiB, more than fits on a machine.
const BYTES_MAX: u64 = 1 << 44;

/// How many folders deep a name may lie: repository, model, version, and what a version may hold.
const DEPTH_MAX: usize = 18;

/// The most bytes of one name, and of one part of it: what file systems allow.
const NAME_BYTES_MAX: usize = 4096 - 1024;
const PART_BYTES_MAX: usize = 255;

/// Files by name.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Listing {
    pub(super) files: BTreeMap<String, SourceFile>,
}

impl Listing {
    /// Checks what a source listed.
    ///
    /// # Errors
    /// `INVALID_ARG` for a name that leads out, lies in a file or is there twice; `RESOURCE_EXHAUSTED` for too much.
    pub(super) fn check(found: Vec<SourceFile>) -> Result<Self, Error> {
        if found.len() > ENTRIES_MAX {
            return Err(exhausted(format!("found {} files, expected at most {ENTRIES_MAX}", found.len())));
        }
        let bytes = found.iter().try_fold(0u64, |sum, file| sum.checked_add(file.size)).unwrap_or(u64::MAX);
        if bytes > BYTES_MAX {
            return Err(exhausted(format!("found {bytes} bytes, expected at most {BYTES_MAX}")));
        }
        let mut files = BTreeMap::new();
        for file in found {
            check_name(&file.name)?;
            let name = file.name.clone();
            if files.insert(name.clone(), file).is_some() {
                return Err(Error::invalid_arg(format!("file {}: found twice, expected once", Shown::text(&name))));
            }
        }
        let listing = Listing { files };
        listing.check_folders().map(|()| listing)
    }

    /// In an object store, one name may go on where another one ends; in a folder it cannot.
    fn check_folders(&self) -> Result<(), Error> {
        for name in self.files.keys() {
            let above = name.match_indices('/').map(|(at, _)| &name[..at]);
            if let Some(file) = above.into_iter().find(|folder| self.files.contains_key(*folder)) {
                let (file, name) = (Shown::text(file), Shown::text(name));
                return Err(Error::invalid_arg(format!("file {name}: found a file {file}, expected a folder")));
            }
        }
        Ok(())
    }

    /// A text that two listings share exactly when all of their files are the same.
    pub(super) fn text(&self) -> String {
        let mut text = String::new();
        for (name, file) in &self.files {
            // Writing into a string cannot fail.
            let _ = writeln!(text, "{} {name}", mark(file));
        }
        text
    }
}

/// What tells one content of a file from another, on one line.
pub(super) fn mark(file: &SourceFile) -> String {
    let modified = file.modified.and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let modified = modified.map_or(0, |since| since.as_nanos());
    format!("{} {modified} {:?}", file.size, file.etag.as_deref().unwrap_or(""))
}

fn check_name(name: &str) -> Result<(), Error> {
    let shown = || Shown::text(name);
    let plain = relative(name).map_err(|error| Error::invalid_arg(error.message().to_owned()))?;
    if plain != name {
        return Err(Error::invalid_arg(format!("file {}: expected {}", shown(), Shown::text(&plain))));
    }
    if name.split('/').count() > DEPTH_MAX {
        return Err(exhausted(format!("file {}: found more than {DEPTH_MAX} folders in each other", shown())));
    }
    if name.len() > NAME_BYTES_MAX || name.split('/').any(|part| part.len() > PART_BYTES_MAX) {
        let cut: String = name.chars().take(100).collect();
        let cut = Shown::text(&cut);
        return Err(exhausted(format!("file {cut}: found a name of {} bytes, expected a shorter one", name.len())));
    }
    Ok(())
}

fn exhausted(message: String) -> Error {
    Error::new(ErrorKind::ResourceExhausted, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(names: &[&str]) -> Result<Listing, Error> {
        Listing::check(names.iter().map(|name| SourceFile::new(*name, 1)).collect())
    }

    #[test]
    fn a_name_that_leads_elsewhere_is_refused() {
        let long = format!("m/{}", "a".repeat(256));
        let deep = format!("{}f", "d/".repeat(18));
        let rows: [(&[&str], ErrorKind, &str); 11] = [
            (&["../a"], ErrorKind::InvalidArg, "file '../a': found '..'"),
            (&["m/../../a"], ErrorKind::InvalidArg, "found '..'"),
            (&["/etc/passwd"], ErrorKind::InvalidArg, "found an absolute path"),
            (&["m//a"], ErrorKind::InvalidArg, "file 'm//a': expected 'm/a'"),
            (&["m\\a"], ErrorKind::InvalidArg, "found '\\'"),
            (&["m/a\nb"], ErrorKind::InvalidArg, "found '\\n'"),
            (&[""], ErrorKind::InvalidArg, "found no name"),
            (&["m/a", "m/a"], ErrorKind::InvalidArg, "file 'm/a': found twice"),
            (&["m/a", "m/a/b"], ErrorKind::InvalidArg, "file 'm/a/b': found a file 'm/a', expected a folder"),
            (&[&long], ErrorKind::ResourceExhausted, "found a name of 258 bytes"),
            (&[&deep], ErrorKind::ResourceExhausted, "found more than 18 folders"),
        ];
        for (names, kind, message) in rows {
            let error = check(names).unwrap_err();
            assert_eq!(error.kind(), kind, "{names:?}");
            assert!(error.message().contains(message), "{names:?}: {error}");
        }
        assert_eq!(check(&["m/a.b", "m/a", "größe/1/m"]).unwrap().files.len(), 3);
    }

    #[test]
    fn too_much_is_refused() {
        let many = (0..=ENTRIES_MAX).map(|i| SourceFile::new(i.to_string(), 0)).collect();
        let large = vec![SourceFile::new("a", u64::MAX), SourceFile::new("b", 1)];
        for (found, message) in [(many, "found 100001 files"), (large, "bytes, expected at most")] {
            let error = Listing::check(found).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ResourceExhausted);
            assert!(error.message().contains(message), "{error}");
        }
    }

    #[test]
    fn two_listings_are_the_same_when_every_field_is() {
        let file = SourceFile::new("a", 1);
        let mut others = vec![SourceFile::new("a", 2), SourceFile::new("b", 1), file.clone(), file.clone()];
        others[2].etag = Some("1\n2".to_owned());
        others[3].modified = Some(UNIX_EPOCH + std::time::Duration::from_nanos(1));
        let text = |file: &SourceFile| Listing::check(vec![file.clone()]).unwrap().text();
        for other in &others {
            assert_ne!(text(&file), text(other), "{other:?}");
            assert_eq!(text(other).lines().count(), 1, "{other:?}");
        }
    }
}
