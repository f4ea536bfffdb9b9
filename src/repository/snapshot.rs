//! Snapshots: what lay in a model's folder at one look, and what has changed between two. Pure: who looks is
//! [`super::scan`], who reads is [`super::contents`].
//!
//! ```text
//!   Snapshot   config    versions            others              marker
//!              |         |  1 -> files       |                   |
//!              files     |  2 -> files       labels, warm-up     when the model was last said to be ready
//!
//!   FileMark = Stat (length, times, place on the disk: from one look, cheap) + Sum (of the content: from reading it)
//! ```
//!
//! Invariants: 1. Equal stats mean equal content, so that a file whose stat stands is never read again. 2. Unequal
//! stats mean nothing: two files with sums are equal when their sums are, however old they are. A touched file is thus
//! no change, and an older file put back is one. 3. What editors and copying programs leave beside the files is not in
//! a snapshot: [`is_scratch`].

use std::collections::BTreeMap;
use std::fs::Metadata;

/// The files of one part of a model, by their names relative to its folder.
pub(crate) type Part = BTreeMap<String, FileMark>;

/// The BLAKE3 sum of a file's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Sum(pub(crate) [u8; 32]);

/// What the file system tells of a file without reading it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stat {
    /// Its length in bytes.
    pub(crate) len: u64,
    /// When its content was last written, in nanoseconds since 1970. Programs set this as they please.
    pub(crate) modified_ns: i128,
    /// When anything of it was last changed, in nanoseconds since 1970. Only the system sets this.
    pub(crate) changed_ns: i128,
    /// The file system that it lies on.
    pub(crate) device: u64,
    /// Its number there.
    pub(crate) inode: u64,
}

impl Stat {
    /// What `metadata` says.
    #[cfg(unix)]
    pub(crate) fn of(metadata: &Metadata) -> Self {
        use std::os::unix::fs::MetadataExt;
        let ns = |seconds: i64, rest: i64| i128::from(seconds) * 1_000_000_000 + i128::from(rest);
        Stat {
            len: metadata.len(),
            modified_ns: ns(metadata.mtime(), metadata.mtime_nsec()),
            changed_ns: ns(metadata.ctime(), metadata.ctime_nsec()),
            device: metadata.dev(),
            inode: metadata.ino(),
        }
    }

    /// What `metadata` says; elsewhere that is less, and a time that programs can set stands for both times.
    #[cfg(not(unix))]
    pub(crate) fn of(metadata: &Metadata) -> Self {
        let since = metadata.modified().ok().and_then(|time| time.duration_since(std::time::UNIX_EPOCH).ok());
        let modified_ns = since.map_or(0, |since| since.as_nanos() as i128);
        Stat { len: metadata.len(), modified_ns, changed_ns: modified_ns, device: 0, inode: 0 }
    }
}

/// One file at one look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileMark {
    /// What the file system told of it.
    pub(crate) stat: Stat,
    /// The sum of its content, where that was read.
    pub(crate) sum: Option<Sum>,
    /// Whether its content can be read at all: a link that leads nowhere or out of the repository has none.
    pub(crate) is_readable: bool,
}

impl FileMark {
    fn holds_what(&self, other: &FileMark) -> bool {
        match (self.sum, other.sum) {
            _ if self.stat == other.stat => true,
            (Some(one), Some(other)) => one == other,
            _ => false,
        }
    }
}

/// What a model's folder held at one look.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Snapshot {
    /// The config, where there is one.
    pub(crate) config: Part,
    /// The files of every version.
    pub(crate) versions: BTreeMap<u64, Part>,
    /// What else lies in the model's folder: labels, data for warming up, notes. Empty without folders of versions,
    /// where all but the config is version 1.
    pub(crate) others: Part,
    /// The latest of the files that say that all is there; see [`super::watch::Rules`].
    pub(crate) marker: Option<Stat>,
}

impl Snapshot {
    /// Whether nothing was touched between the two looks.
    pub(crate) fn has_stats_of(&self, other: &Snapshot) -> bool {
        self.is_like(other, |one, other| one.stat == other.stat) && self.marker == other.marker
    }

    /// Whether the same names hold the same content, as far as sums and stats tell.
    pub(crate) fn holds_what(&self, other: &Snapshot) -> bool {
        self.is_like(other, FileMark::holds_what)
    }

    /// Whether the sum of every file is known that can be read.
    pub(crate) fn is_read(&self) -> bool {
        self.files().all(|mark| mark.sum.is_some() || !mark.is_readable)
    }

    /// Whether a marker says that all is there: none of the files has been changed since it was written.
    pub(crate) fn is_marked(&self) -> bool {
        let marked = self.marker.map(|marker| marker.changed_ns);
        marked.is_some_and(|marked| self.files().all(|mark| mark.stat.changed_ns <= marked))
    }

    fn files(&self) -> impl Iterator<Item = &FileMark> {
        let versions = self.versions.values().flat_map(BTreeMap::values);
        self.config.values().chain(self.others.values()).chain(versions)
    }

    fn is_like(&self, other: &Snapshot, same: fn(&FileMark, &FileMark) -> bool) -> bool {
        let versions = self.versions.len() == other.versions.len()
            && self.versions.iter().zip(&other.versions).all(|(a, b)| a.0 == b.0 && is_like(a.1, b.1, same));
        versions && is_like(&self.config, &other.config, same) && is_like(&self.others, &other.others, same)
    }
}

/// A hash of the content of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stamp([u8; 32]);

impl Stamp {
    /// Of files in memory, each with its name, in the order of names.
    pub(super) fn of(files: &[(String, Vec<u8>)]) -> Self {
        let mut sorted: Vec<_> = files.iter().collect();
        sorted.sort_unstable();
        let mut hasher = blake3::Hasher::new();
        for (name, content) in sorted {
            for part in [name.as_bytes(), content] {
                hasher.update(&(part.len() as u64).to_le_bytes());
                hasher.update(part);
            }
        }
        Stamp(*hasher.finalize().as_bytes())
    }
}

/// Whether the same names hold the same content, as far as sums and stats tell.
pub(super) fn holds_what(one: &Part, other: &Part) -> bool {
    is_like(one, other, FileMark::holds_what)
}

fn is_like(one: &Part, other: &Part, same: fn(&FileMark, &FileMark) -> bool) -> bool {
    one.len() == other.len() && one.iter().zip(other).all(|(a, b)| a.0 == b.0 && same(a.1, b.1))
}

/// What is different between two snapshots of a model. Versions are in ascending order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Change {
    /// Whether the config is another one, is new or is gone.
    pub(crate) config: bool,
    /// Whether something beside the config and the versions is another: labels, data for warming up, notes.
    pub(crate) others: bool,
    /// The versions that are new.
    pub(crate) added: Vec<u64>,
    /// The versions that are gone.
    pub(crate) removed: Vec<u64>,
    /// The versions with other files or other content.
    pub(crate) changed: Vec<u64>,
}

impl std::fmt::Display for Change {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let listed = |versions: &[u64]| versions.iter().map(u64::to_string).collect::<Vec<_>>().join(", ");
        let of_versions = |what: &str, versions: &[u64]| match versions {
            [] => None,
            _ => Some(format!("version {} {what}", listed(versions))),
        };
        let parts = [
            self.config.then(|| "config".to_owned()),
            self.others.then(|| "files beside the versions".to_owned()),
            of_versions("new", &self.added),
            of_versions("changed", &self.changed),
            of_versions("gone", &self.removed),
        ];
        let parts: Vec<_> = parts.into_iter().flatten().collect();
        f.write_str(&if parts.is_empty() { "as before".to_owned() } else { parts.join(", ") })
    }
}

impl Change {
    /// From `before`, or from nothing, to `after`.
    pub(crate) fn between(before: Option<&Snapshot>, after: &Snapshot) -> Self {
        let nothing = Snapshot::default();
        let before = before.unwrap_or(&nothing);
        let differs = |version: &u64| match (before.versions.get(version), after.versions.get(version)) {
            (Some(one), Some(other)) => !is_like(one, other, FileMark::holds_what),
            _ => false,
        };
        let only = |these: &Snapshot, those: &Snapshot| {
            these.versions.keys().filter(|version| !those.versions.contains_key(version)).copied().collect()
        };
        Change {
            config: !is_like(&before.config, &after.config, FileMark::holds_what),
            others: !is_like(&before.others, &after.others, FileMark::holds_what),
            added: only(after, before),
            removed: only(before, after),
            changed: after.versions.keys().copied().filter(differs).collect(),
        }
    }

    /// Whether nothing is different.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        *self == Change::default()
    }
}

/// How the names end that editors and copying programs give to what is not finished or not meant to stay.
const SCRATCH_ENDINGS: [&str; 12] = [
    "~",
    ".swp",
    ".swo",
    ".swx",
    ".tmp",
    ".temp",
    ".part",
    ".partial",
    ".filepart",
    ".crdownload",
    ".download",
    ".bak",
];

/// Whether a file is an editor's or a copying program's own, by the last part of its name. Hidden files never get here.
pub(crate) fn is_scratch(name: &str) -> bool {
    let last = name.rsplit('/').next().unwrap_or(name);
    let ends = |ending: &str| {
        let stem = last.len().checked_sub(ending.len());
        stem.is_some_and(|stem| last.as_bytes()[stem..].eq_ignore_ascii_case(ending.as_bytes()))
    };
    // `#a#` is Emacs's; 4913 is how Vim tries out whether it may write.
    let is_editors = last == "4913" || (last.len() > 1 && last.starts_with('#') && last.ends_with('#'));
    is_editors || SCRATCH_ENDINGS.into_iter().any(ends)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A file of which nothing but its content is told apart; `look` is what a touch moves.
    pub(in crate::repository) fn mark(content: u8, look: u64) -> FileMark {
        let stat = Stat { inode: look * 256 + u64::from(content), changed_ns: look.into(), ..Stat::default() };
        FileMark { stat, sum: Some(Sum([content; 32])), is_readable: true }
    }

    fn part(files: &[(&str, FileMark)]) -> Part {
        files.iter().map(|(name, mark)| ((*name).to_owned(), *mark)).collect()
    }

    fn model(config: FileMark, versions: &[(u64, FileMark)], others: FileMark) -> Snapshot {
        Snapshot {
            config: part(&[("config.yaml", config)]),
            versions: versions.iter().map(|(version, mark)| (*version, part(&[("m", *mark)]))).collect(),
            others: part(&[("labels.txt", others)]),
            marker: None,
        }
    }

    #[test]
    fn a_change_names_what_is_different() {
        let a = mark(1, 1);
        let before = model(a, &[(1, a), (2, a)], a);
        let same = Change::default();
        let rows = [
            (model(a, &[(1, a), (2, a)], a), same.clone()),
            (model(mark(1, 9), &[(1, mark(1, 9)), (2, a)], mark(1, 7)), same.clone()),
            (model(mark(2, 1), &[(1, a), (2, a)], a), Change { config: true, ..same.clone() }),
            (model(a, &[(1, a), (2, mark(2, 0))], a), Change { changed: vec![2], ..same.clone() }),
            (model(a, &[(2, a), (3, a)], a), Change { added: vec![3], removed: vec![1], ..same.clone() }),
            (model(a, &[(1, a), (2, a)], mark(3, 1)), Change { others: true, ..same.clone() }),
        ];
        for (after, change) in rows {
            assert_eq!(Change::between(Some(&before), &after), change);
            assert_eq!(change.is_empty(), before.holds_what(&after));
        }
        let all = Change { config: true, others: true, added: vec![1, 2], ..same };
        assert_eq!(Change::between(None, &before), all);
    }

    #[test]
    fn a_file_under_another_name_is_a_change() {
        let one = Snapshot { versions: [(1, part(&[("a", mark(1, 1))]))].into(), ..Snapshot::default() };
        let other = Snapshot { versions: [(1, part(&[("b", mark(1, 1))]))].into(), ..Snapshot::default() };
        assert_eq!(Change::between(Some(&one), &other).changed, [1]);
        assert!(!one.holds_what(&other) && !one.has_stats_of(&other));
    }

    #[test]
    fn without_sums_only_the_same_stamp_is_the_same_content() {
        let unread = |look| FileMark { sum: None, ..mark(1, look) };
        let (old, same, touched) = (model(unread(1), &[], unread(1)), model(unread(1), &[], mark(1, 1)), unread(2));
        assert!(old.holds_what(&same) && old.has_stats_of(&same) && !old.is_read());
        assert!(!old.holds_what(&model(touched, &[], unread(1))));
        assert!(model(mark(1, 1), &[(1, mark(1, 2))], mark(1, 1)).is_read());
        let dangling = FileMark { is_readable: false, ..unread(1) };
        assert!(model(dangling, &[], mark(1, 1)).is_read());
    }

    #[test]
    fn the_content_of_one_version_is_compared_by_names_and_sums() {
        let of = |files: &[(&str, FileMark)]| part(files);
        let one = of(&[("a", mark(1, 1)), ("b", mark(2, 1))]);
        assert!(holds_what(&one, &of(&[("a", mark(1, 9)), ("b", mark(2, 8))])));
        let others: [&[(&str, FileMark)]; 4] = [
            &[("a", mark(1, 1))],
            &[("a", mark(2, 2)), ("b", mark(1, 2))],
            &[("a", mark(1, 1)), ("c", mark(2, 1))],
            &[],
        ];
        for other in others {
            assert!(!holds_what(&one, &of(other)), "{other:?}");
        }
    }

    #[test]
    fn a_marker_vouches_for_files_that_are_not_newer() {
        let at = |marker: i128| Snapshot {
            marker: Some(Stat { changed_ns: marker, ..Stat::default() }),
            ..model(mark(1, 5), &[(1, mark(1, 7))], mark(1, 3))
        };
        assert!(at(7).is_marked() && at(8).is_marked());
        assert!(!at(6).is_marked());
        assert!(!Snapshot { marker: None, ..at(9) }.is_marked());
    }

    #[test]
    fn what_editors_and_copies_leave_behind_is_scratch() {
        for name in ["a.onnx~", "a.SWP", "sub/a.onnx.part", "#a#", "a.tmp", "4913", "d/4913", "~"] {
            assert!(is_scratch(name), "{name}");
        }
        for name in ["a.onnx", "tmp", "part", "a.part.onnx", "#", "#a", "49133", "größe", "a.tmp/b", ""] {
            assert!(!is_scratch(name), "{name}");
        }
    }
}
