//! Licences and sources of the dependencies, by what cargo knows of them and `deny.toml` allows.
//!
//! Works offline and in seconds, where cargo-deny would have to be compiled first; cargo-deny reads the same file and
//! runs beside it where it is installed.

use crate::House;
use crate::json::{self, Json};
use crate::step::Step;
use std::collections::BTreeMap;
use std::fs;

/// The one registry that dependencies may come from.
const REGISTRY: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Checks every package that a build on Linux may use.
pub(crate) fn check(house: &House) -> Result<String, String> {
    let deny = fs::read_to_string(house.root.join("deny.toml")).map_err(|error| format!("deny.toml: {error}"))?;
    let (allowed, exceptions) = (allowed(&deny), exceptions(&deny));
    let words = "metadata --format-version 1 --all-features --filter-platform x86_64-unknown-linux-gnu \
                 --filter-platform aarch64-unknown-linux-gnu";
    let metadata = json::parse(&Step::cargo(house, words).ask()?)?;
    let Some(Json::List(packages)) = metadata.field("packages") else {
        return Err("cargo metadata: found no list `packages`".to_owned());
    };
    let refused: Vec<_> = packages.iter().filter_map(|package| refusal(package, &allowed, &exceptions)).collect();
    if !refused.is_empty() {
        return Err(refused.join("; "));
    }
    if Step::cargo(house, "deny --version").ask().is_err() {
        return Ok(format!("{}; cargo-deny is not installed and was skipped", remark(packages)));
    }
    Step::cargo(house, "deny --all-features check bans licenses sources").run()?;
    Ok(remark(packages))
}

/// The list `allow` of the table `[licenses]`.
fn allowed(deny: &str) -> Vec<String> {
    let table = deny.lines().skip_while(|line| line.trim() != "[licenses]").skip(1);
    let list = table.take_while(|line| !line.starts_with('[')).skip_while(|line| !line.starts_with("allow"));
    let items = list.take_while(|line| line.trim() != "]").filter_map(|line| line.split('"').nth(1));
    items.map(str::to_owned).collect()
}

/// The list `exceptions` of the same table: packages that may have one licence more.
fn exceptions(deny: &str) -> Vec<(String, String)> {
    let lines = deny.lines().skip_while(|line| !line.starts_with("exceptions")).skip(1);
    let quoted = |line: &str| Some((line.split('"').nth(1)?.to_owned(), line.split('"').nth(3)?.to_owned()));
    lines.take_while(|line| line.trim() != "]").filter_map(quoted).collect()
}

/// Why a package may not be used, if so.
fn refusal(package: &Json, allowed: &[String], exceptions: &[(String, String)]) -> Option<String> {
    let name = format!("{} {}", package.text("name").unwrap_or("?"), package.text("version").unwrap_or("?"));
    match package.text("source") {
        Some(REGISTRY) | None => {}
        Some(source) => return Some(format!("{name} comes from {source}")),
    }
    match package.text("license") {
        Some(licence) if satisfied(licence, allowed) => None,
        Some(licence)
            if exceptions.iter().any(|(known, own)| Some(&**known) == package.text("name") && own == licence) =>
        {
            None
        }
        found => Some(format!("{name} has the licence {}", found.unwrap_or("unknown"))),
    }
}

/// Whether a licence expression can be satisfied with the allowed licences. `/` is an old way to write `OR`.
fn satisfied(expression: &str, allowed: &[String]) -> bool {
    let spaced = expression.replace('/', " OR ").replace('(', " ( ").replace(')', " ) ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut at = 0;
    let result = any(&words, &mut at, allowed);
    result && at == words.len()
}

fn any(words: &[&str], at: &mut usize, allowed: &[String]) -> bool {
    let mut result = all(words, at, allowed);
    while words.get(*at) == Some(&"OR") {
        *at += 1;
        result |= all(words, at, allowed);
    }
    result
}

fn all(words: &[&str], at: &mut usize, allowed: &[String]) -> bool {
    let mut result = one(words, at, allowed);
    while words.get(*at) == Some(&"AND") {
        *at += 1;
        result &= one(words, at, allowed);
    }
    result
}

fn one(words: &[&str], at: &mut usize, allowed: &[String]) -> bool {
    let Some(word) = words.get(*at) else { return false };
    *at += 1;
    if *word == "(" {
        let result = any(words, at, allowed);
        *at += usize::from(words.get(*at) == Some(&")"));
        return result;
    }
    let mut licence = (*word).to_owned();
    if let [with @ "WITH", exception, ..] = words[*at..] {
        licence = format!("{licence} {with} {exception}");
        *at += 2;
    }
    allowed.contains(&licence)
}

/// How many packages there are, and which of them in several versions: each costs build time.
fn remark(packages: &[Json]) -> String {
    let mut versions: BTreeMap<&str, usize> = BTreeMap::new();
    packages.iter().filter_map(|package| package.text("name")).for_each(|name| *versions.entry(name).or_default() += 1);
    let several: Vec<_> = versions.iter().filter(|(_, count)| **count > 1).map(|(name, _)| *name).collect();
    match several.len() {
        0 => format!("{} packages", packages.len()),
        _ => format!("{} packages, in several versions: {}", packages.len(), several.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list() -> Vec<String> {
        let before = "[graph]\nallow = [\"No\"]\n";
        let table = "[licenses]\n# Why.\nallow = [\n    \"MIT\",\n    \"Apache-2.0\",\n]\n";
        allowed(&format!("{before}\n{table}\n[bans]\nallow = [\"Nor\"]\n"))
    }

    #[test]
    fn the_allowed_licences_are_read_from_their_table() {
        assert_eq!(list(), ["MIT", "Apache-2.0"]);
    }

    #[test]
    fn licence_expressions_are_weighed() {
        for (expression, good) in [
            ("MIT", true),
            ("GPL-3.0", false),
            ("MIT OR GPL-3.0", true),
            ("GPL-3.0/MIT", true),
            ("MIT AND GPL-3.0", false),
            ("GPL-3.0 OR MIT AND Apache-2.0", true),
            ("(MIT OR GPL-3.0) AND Unicode-3.0", false),
            ("(GPL-3.0 OR Apache-2.0) AND MIT", true),
            ("Apache-2.0 WITH LLVM-exception", false),
            ("Apache-2.0 WITH LLVM-exception OR MIT", true),
            ("MIT GPL-3.0", false),
            ("MIT AND", false),
            ("(", false),
            ("", false),
        ] {
            assert_eq!(satisfied(expression, &list()), good, "{expression}");
        }
    }

    #[test]
    fn a_package_from_elsewhere_or_without_a_licence_is_refused() {
        let exceptions = exceptions("[licenses]\nexceptions = [\n    { crate = \"a\", allow = [\"MPL-2.0\"] },\n]\n");
        assert_eq!(exceptions, [("a".to_owned(), "MPL-2.0".to_owned())]);
        let refusal = |text: &str| refusal(&json::parse(text).unwrap(), &list(), &exceptions);
        let package = |fields: &str| format!(r#"{{"name":"a","version":"1",{fields}}}"#);
        let registry = format!(r#""source":"{REGISTRY}""#);
        assert_eq!(refusal(&package(&format!(r#"{registry},"license":"MIT""#))), None);
        assert_eq!(refusal(&package(r#""source":null,"license":"MIT""#)), None);
        assert_eq!(refusal(&package(&format!(r#"{registry},"license":"MPL-2.0""#))), None);
        let other = format!(r#"{{"name":"b","version":"1",{registry},"license":"MPL-2.0"}}"#);
        assert!(refusal(&other).is_some());
        assert!(refusal(&package(&format!(r#"{registry},"license":null"#))).is_some());
        assert!(refusal(&package(r#""source":"git+https://example.org/a","license":"MIT""#)).is_some());
    }
}
