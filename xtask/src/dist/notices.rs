//! The licences of all that the libraries contain: ours, and those of the crates that are linked in, with their texts.
//!
//! Which crates these are is what cargo says of the very selections that are built; macros that run while compiling and
//! tests are not among them. Whether a licence is allowed at all is for `licences.rs`.

use super::{build, copy, program, put};
use crate::House;
use crate::json::{self, Json};
use crate::step::Step;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// What the names of files with licences begin with.
const TEXTS: &[&str] = &["LICENSE", "LICENCE", "COPYING", "COPYRIGHT", "NOTICE", "UNLICENSE"];

/// A crate that is linked in.
#[derive(Debug, PartialEq)]
struct Notice {
    /// Name and version.
    package: String,
    licence: String,
    repository: String,
    /// The texts that came with it.
    texts: Vec<String>,
}

/// Writes the licences into a folder.
pub(super) fn write(house: &House, folder: &Path, without: &[&str]) -> Result<(), String> {
    for name in ["LICENSE-MIT", "LICENSE-APACHE"] {
        copy(&house.root.join(name), &folder.join(name))?;
    }
    let mut linked = BTreeSet::new();
    let program = (!without.contains(&program::NAME)).then_some(program::SELECTION);
    for selection in build::parts(without).map(|part| part.selection).chain(program) {
        let words = format!("tree {selection} --edges normal,no-proc-macro --prefix none --format {{p}}");
        linked.extend(packages(&Step::cargo(house, &words).ask()?));
    }
    let metadata = json::parse(&Step::cargo(house, "metadata --format-version 1 --all-features").ask()?)?;
    let Some(Json::List(known)) = metadata.field("packages") else {
        return Err("cargo metadata: found no list `packages`".to_owned());
    };
    let notices: Vec<_> = known.iter().filter_map(|package| notice(package, &linked)).collect();
    put(&folder.join("THIRD-PARTY.txt"), &page(&notices))?;
    standard_library(house, folder)
}

/// Name and version of each line of `cargo tree`; those of the workspace, which show their folder, are ours.
fn packages(tree: &str) -> Vec<String> {
    let lines = tree.lines().map(|line| line.trim_end_matches(" (*)"));
    let foreign = lines.filter(|line| !line.is_empty() && !line.contains('('));
    foreign.map(|line| line.replacen(" v", " ", 1)).collect()
}

/// What is to say of a package, if it is linked in.
fn notice(package: &Json, linked: &BTreeSet<String>) -> Option<Notice> {
    let text = |field: &str| package.text(field).unwrap_or_default().to_owned();
    let name = format!("{} {}", text("name"), text("version"));
    let folder = PathBuf::from(text("manifest_path")).parent()?.to_owned();
    let is_linked = linked.contains(&name);
    let notice =
        || Notice { package: name, licence: text("license"), repository: text("repository"), texts: texts(&folder) };
    is_linked.then(notice)
}

/// The files with licences in a package's folder, by name.
fn texts(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().filter_map(|entry| entry.ok().map(|entry| entry.path()));
    let is_text = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_uppercase();
        path.is_file() && TEXTS.iter().any(|begin| name.starts_with(begin))
    };
    let mut files: Vec<_> = entries.filter(is_text).collect();
    files.sort();
    files.iter().filter_map(|file| Some(fs::read_to_string(file).ok()?.trim().to_owned())).collect()
}

/// The list of all, then each text once.
fn page(notices: &[Notice]) -> String {
    let mut page = String::from(
        "The libraries and the program of Inferlay contain these Rust crates, each under its own licence.\n\n",
    );
    let mut users: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for notice in notices {
        let Notice { package, licence, repository, texts } = notice;
        let remark = if texts.is_empty() { "; came without a text of its licence" } else { "" };
        let _infallible = writeln!(page, "{package}: {licence}, {repository}{remark}");
        texts.iter().for_each(|text| users.entry(text).or_default().push(package));
    }
    page +=
        "\nThey also contain parts of Rust's standard library: MIT OR Apache-2.0, https://github.com/rust-lang/rust.\n";
    for (text, users) in users {
        let _infallible = write!(page, "\n{}\n{}\n\n{text}\n", "-".repeat(80), users.join(", "));
    }
    page
}

/// The copyright page of the standard library, where the toolchain brings one.
fn standard_library(house: &House, folder: &Path) -> Result<(), String> {
    let sysroot = Step::new(house, "rustc").args(["--print", "sysroot"]).ask()?;
    let page = Path::new(sysroot.trim()).join("share/doc/rust/COPYRIGHT-library.html");
    if page.is_file() { copy(&page, &folder.join("RUST-STANDARD-LIBRARY.html")) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_crates_are_not_third_parties() {
        let tree = "inferlay v0.1.0 (/a/b)\nserde v1.0.2\nitoa v1.0.1 (*)\n\nserde_derive v1.0.2 (proc-macro)\n";
        assert_eq!(packages(tree), ["serde 1.0.2", "itoa 1.0.1"]);
    }

    #[test]
    fn a_text_that_two_crates_share_is_shown_once() {
        let notice = |package: &str, texts: &[&str]| Notice {
            package: package.into(),
            licence: "MIT".into(),
            repository: "https://example.org".into(),
            texts: texts.iter().map(|text| (*text).to_owned()).collect(),
        };
        let page = page(&[notice("a 1", &["Shared"]), notice("b 2", &["Shared", "Own"]), notice("c 3", &[])]);
        assert!(page.contains("c 3: MIT, https://example.org; came without"));
        assert!(page.contains("a 1, b 2\n\nShared\n") && page.contains("b 2\n\nOwn\n"), "{page}");
        assert_eq!(page.matches("Shared").count(), 1);
    }
}
