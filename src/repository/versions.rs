//! Versions: which folder names are one, and which versions are served. Pure.
//!
//! Invariant: one number has one spelling, so that two folders never are the same version.

use super::name::Shown;
use inferlay_backend_sdk::Error;

/// Which of the versions found are served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// The highest so many; all of them when there are fewer.
    Latest(usize),
    /// Every one.
    All,
    /// These, each of which must be there.
    Specific(Vec<u64>),
}

impl Default for Choice {
    fn default() -> Self {
        Choice::Latest(1)
    }
}

/// The versions out of `found` that are served, in ascending order, each once.
///
/// # Errors
/// `INVALID_ARG` for a choice of no version, `NOT_FOUND` when there is none at all or a specific one is missing.
pub(crate) fn choose(found: &[u64], choice: &Choice) -> Result<Vec<u64>, Error> {
    let found = ascending(found);
    if found.is_empty() {
        return Err(Error::not_found("versions: found none, expected at least one"));
    }
    match choice {
        Choice::All => Ok(found),
        Choice::Latest(0) => Err(Error::invalid_arg("version_policy: found the latest 0, expected at least 1")),
        Choice::Latest(count) => Ok(found[found.len().saturating_sub(*count)..].to_vec()),
        Choice::Specific(wanted) if wanted.is_empty() => {
            Err(Error::invalid_arg("version_policy: found no specific version, expected at least one"))
        }
        Choice::Specific(wanted) => specific(&found, &ascending(wanted)),
    }
}

fn specific(found: &[u64], wanted: &[u64]) -> Result<Vec<u64>, Error> {
    let absent: Vec<u64> = wanted.iter().copied().filter(|version| !found.contains(version)).collect();
    if absent.is_empty() {
        return Ok(wanted.to_vec());
    }
    let (absent, found) = (listed(&absent), listed(found));
    Err(Error::not_found(format!("version_policy: version {absent} is not there, found {found}")))
}

fn ascending(versions: &[u64]) -> Vec<u64> {
    let mut versions = versions.to_vec();
    versions.sort_unstable();
    versions.dedup();
    versions
}

fn listed(versions: &[u64]) -> String {
    versions.iter().map(u64::to_string).collect::<Vec<_>>().join(", ")
}

/// What the name of a folder says of versions.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum FolderName {
    /// It is one.
    Version(u64),
    /// It looks like one and is not, for this reason.
    Almost(String),
    /// It is about something else.
    Other,
}

/// Reads the name of a folder.
pub(super) fn folder_name(name: &str) -> FolderName {
    match name.parse::<u64>() {
        Ok(version) if version > 0 && version.to_string() == name => return FolderName::Version(version),
        Ok(_) => {}
        Err(_) if !looks_like_a_number(name) => return FolderName::Other,
        Err(_) => {}
    }
    let shown = Shown::text(name);
    FolderName::Almost(format!("found folder {shown}, expected a whole number > 0 without sign, point or leading zero"))
}

fn looks_like_a_number(name: &str) -> bool {
    name.bytes().any(|b| b.is_ascii_digit()) && name.bytes().all(|b| matches!(b, b'0'..=b'9' | b'+' | b'-' | b'.'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use inferlay_backend_sdk::ErrorKind;
    use proptest::prelude::*;

    #[test]
    fn the_choice_decides_what_is_served() {
        let rows: [(&[u64], Choice, &[u64]); 8] = [
            (&[1, 3, 2], Choice::default(), &[3]),
            (&[1, 3, 2], Choice::Latest(2), &[2, 3]),
            (&[1], Choice::Latest(9), &[1]),
            (&[10, 9], Choice::default(), &[10]),
            (&[3, 1], Choice::All, &[1, 3]),
            (&[1, 2, 3], Choice::Specific(vec![3, 1]), &[1, 3]),
            (&[1, 2], Choice::Specific(vec![2, 2]), &[2]),
            (&[u64::MAX], Choice::All, &[u64::MAX]),
        ];
        for (found, choice, served) in rows {
            assert_eq!(choose(found, &choice).unwrap(), served, "{found:?} {choice:?}");
        }
    }

    #[test]
    fn a_choice_that_cannot_be_met_names_what_is_there() {
        let rows: [(&[u64], Choice, ErrorKind, &str); 4] = [
            (&[], Choice::All, ErrorKind::NotFound, "found none"),
            (&[1], Choice::Latest(0), ErrorKind::InvalidArg, "expected at least 1"),
            (&[1], Choice::Specific(vec![]), ErrorKind::InvalidArg, "expected at least one"),
            (&[1, 2], Choice::Specific(vec![7, 2, 5]), ErrorKind::NotFound, "version 5, 7 is not there, found 1, 2"),
        ];
        for (found, choice, kind, message) in rows {
            let error = choose(found, &choice).unwrap_err();
            assert_eq!(error.kind(), kind, "{choice:?}");
            assert!(error.message().contains(message), "{error}");
        }
    }

    #[test]
    fn a_folder_name_is_a_version_nearly_one_or_neither() {
        assert_eq!(folder_name("1"), FolderName::Version(1));
        assert_eq!(folder_name("18446744073709551615"), FolderName::Version(u64::MAX));
        for name in ["0", "00", "-1", "+1", "01", "1.0", "1.", "18446744073709551616"] {
            assert!(matches!(folder_name(name), FolderName::Almost(why) if why.contains(name)), "{name}");
        }
        for name in ["", "v1", "1a", "one", " 1", "१", "-", ".", "assets"] {
            assert_eq!(folder_name(name), FolderName::Other, "{name:?}");
        }
    }

    proptest! {
        #[test]
        fn a_version_has_one_spelling(version in 1..=u64::MAX, name in "[-+.0-9a]{0,6}") {
            prop_assert_eq!(folder_name(&version.to_string()), FolderName::Version(version));
            if let FolderName::Version(read) = folder_name(&name) {
                prop_assert_eq!(read.to_string(), name);
            }
        }

        #[test]
        fn the_latest_are_the_highest(found in prop::collection::vec(1..50u64, 1..20), count in 1..10usize) {
            let served = choose(&found, &Choice::Latest(count)).unwrap();
            let distinct = ascending(&found);
            prop_assert_eq!(served.len(), count.min(distinct.len()));
            prop_assert!(distinct.ends_with(&served));
        }
    }
}
