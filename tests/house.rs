//! Proves the rules of the house over the files of the repository: which way imports run, where `unsafe` may stand,
//! which one place names a dependency, how long a file may grow.
//!
//! Every rule is a pure function from a [`Source`] to the lines that break it, so that the module `tests` can show each
//! of them catching a violation. A source is read into tokens first: comments and the insides of strings never match.

// A file that cannot be read must fail the test that wanted it.
#![allow(clippy::unwrap_used)]

#[path = "house/examples.rs"]
mod examples;
#[path = "house/source.rs"]
mod source;
#[path = "house/tests.rs"]
mod tests;

use source::{PathOf, Source};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Code lines that a file may have; its tests are not counted.
const CODE_LINES_MAX: usize = 400;

/// Files with a limit of their own, which the documentation promises.
const CODE_LINES_MAX_OF: &[(&str, usize)] = &[("examples/axum.rs", 59)];

/// The rooms of `src` from the street door down. A room imports from lower ranks only; see [`NEIGHBOURS`] for equals.
const RANKS: &[(&str, u32)] = &[
    ("capi", 7),
    ("server", 6),
    ("repository", 5),
    ("flow", 5),
    ("backend", 4),
    ("config", 3),
    ("memory", 2),
    ("tensor", 2),
    ("observe", 2),
    ("sync", 1),
    ("error", 0),
];

/// The rank whose rooms may import one another, as long as no two import each other.
const NEIGHBOURS: u32 = 2;

/// Where `unsafe` may stand: the rooms that meet memory and threads, the crate that holds the ABI, the room that calls the
/// C API of ONNX Runtime, the allocators that count, and the benches that call engines through C.
const UNSAFE_IN: &[&str] = &[
    "src/capi",
    "src/backend",
    "src/memory",
    "src/tensor",
    "src/sync",
    "backends/sdk/src",
    "backends/onnxruntime/src/raw",
    "benches/src/allocations.rs",
    "benches/src/capi",
    "benches/src/onnxruntime",
    "benches/src/peer/triton",
    "fuzz/src",
    "tests/allocations.rs",
    "tests/common/memory.rs",
];

/// The door of each dependency: nothing else names the crate. A trailing `_` stands for every name that starts so.
const DOORS: &[(&str, &[&str])] = &[
    ("libloading", &["src/backend/dynamic.rs", "benches/src/peer/triton"]),
    ("cudarc", &["src/memory/device.rs"]),
    ("serde_yaml", &["src/config"]),
    ("crossbeam_channel", &["src/sync"]),
    ("futures_core", &["src/server/responses.rs", "tests/decoupled.rs", "tests/interleavings.rs"]),
    ("parking_lot", &["src/sync", "benches"]),
    ("loom", &["src/sync"]),
    ("blake3", &["src/repository"]),
    ("annotate_snippets", &["cli"]),
    ("clap", &["cli"]),
    ("clap_complete", &["cli"]),
    ("indicatif", &["cli"]),
    ("zip", &["cli"]),
    ("cbindgen", &["tests/capi.rs", "backends/sdk/tests/header.rs"]),
    ("tract_", &["backends/tract", "benches"]),
    ("sha2", &["src/repository/seal/digest.rs", "backends/onnxruntime/src/cache.rs"]),
    ("blake3", &["src/repository"]),
    ("ed25519_dalek", &["src/repository/seal/signature.rs"]),
    ("object_store", &["src/repository/source/object.rs"]),
    ("rustls", &["src/repository/source/object.rs"]),
    ("rustix", &["src/repository/disk.rs", "benches"]),
    ("ort", &["backends/onnxruntime", "benches/src/onnxruntime"]),
];

/// What may be taken from `std::sync` outside `src/sync`: nothing that blocks or orders where loom should see it.
const STD_SYNC_ALLOWED: &[&str] = &["Arc", "Weak", "OnceLock", "LazyLock"];

/// What the code of a place never does, by a pair of names that such a path would hold.
const ABSENT: &[(&str, [&str; 2], &str)] = &[
    ("src", ["std", "net"], "the library opens no socket"),
    ("src", ["std", "process"], "the library starts and ends no process"),
    ("src", ["process", "exit"], "the library starts and ends no process"),
    ("src", ["io", "stdout"], "the library prints nothing"),
    ("src", ["io", "stderr"], "the library prints nothing"),
    ("src", ["env", "set_var"], "the library changes no environment variable"),
    ("src", ["env", "set_current_dir"], "the library changes no working directory"),
    ("src", ["panic", "set_hook"], "the library changes no panic hook"),
    ("src/config", ["std", "fs"], "config opens no file"),
    ("src/flow", ["std", "fs"], "flow opens no file"),
    ("src/observe", ["std", "fs"], "observe opens no file"),
];

/// Words that stand for unfinished work, each in two halves because this file obeys the rule too.
const LEFT_OVERS: &[&str] = &[concat!("TO", "DO"), concat!("FIX", "ME")];

#[test]
fn imports_run_downhill() {
    let sources = rust_sources();
    refuse(&violations(&sources, uphill_imports));
    refuse(&mutual_imports(&sources));
}

#[test]
fn unsafe_stands_in_its_rooms_only() {
    refuse(&violations(&rust_sources(), unsafe_outside));
}

#[test]
fn each_dependency_has_one_door() {
    let sources = rust_sources();
    refuse(&violations(&sources, back_doors));
    refuse(&second_doors(&sources, "serde_yaml"));
}

#[test]
fn threads_locks_and_time_come_from_sync() {
    refuse(&violations(&rust_sources(), foreign_sync));
}

#[test]
fn every_file_opens_with_what_it_is() {
    refuse(&violations(&rust_sources(), missing_opening));
}

#[test]
fn every_public_item_has_an_example() {
    refuse(&violations(&rust_sources(), examples::missing_examples));
}

#[test]
fn files_stay_short() {
    refuse(&violations(&rust_sources(), too_long));
}

#[test]
fn the_library_never_prints() {
    refuse(&violations(&rust_sources(), prints));
}

#[test]
fn the_library_leaves_the_process_alone() {
    refuse(&violations(&rust_sources(), present));
}

#[test]
fn no_test_is_ignored_and_none_sleeps() {
    refuse(&violations(&rust_sources(), ignored_or_sleeping));
}

#[test]
fn nothing_is_left_over() {
    let endings = [".rs", ".py", ".toml", ".c", ".h", ".hpp", ".cpp", ".cmake", ".sh"];
    for (path, text) in files(&|path| endings.iter().any(|ending| path.ends_with(ending))) {
        refuse(&left_overs(&text).iter().map(|found| found.at(&path)).collect::<Vec<_>>());
    }
}

#[test]
fn every_crate_inherits_the_lints() {
    let manifests = files(&|path| path == "Cargo.toml" || path.ends_with("/Cargo.toml"));
    assert!(manifests.len() > 5, "the walk lost its way: {} manifests", manifests.len());
    for (path, text) in manifests {
        assert!(inherits_lints(&text), "{path}: found no `[lints]` table with `workspace = true`");
    }
}

/// A line that breaks a rule.
#[derive(Debug)]
struct Violation {
    line: usize,
    what: String,
}

impl Violation {
    fn new(line: usize, what: impl Into<String>) -> Violation {
        Violation { line, what: what.into() }
    }

    fn at(&self, path: &str) -> String {
        format!("{path}:{}: {}", self.line, self.what)
    }
}

fn violations(sources: &[Source], rule: fn(&Source) -> Vec<Violation>) -> Vec<String> {
    sources.iter().flat_map(|source| rule(source).into_iter().map(|found| found.at(&source.path))).collect()
}

fn refuse(found: &[String]) {
    assert!(found.is_empty(), "the house rules are broken:\n{}", found.join("\n"));
}

fn rust_sources() -> Vec<Source> {
    let files = files(&|path| path.ends_with(".rs"));
    for known in ["src/lib.rs", "tests/house.rs"] {
        assert!(files.iter().any(|(path, _)| path == known), "the walk lost its way: {known} is not among the files");
    }
    let mut sources: Vec<_> = files.iter().map(|(path, text)| Source::new(path, text)).collect();
    source::mark_test_files(&mut sources);
    sources
}

/// The files of the repository that `wanted` takes, as (path from the root, text), sorted.
fn files(wanted: &dyn Fn(&str) -> bool) -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut folders, mut found) = (vec![root.to_owned()], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let entry = entry.unwrap();
            let path = entry.path();
            let kind = entry.file_type().unwrap();
            let relative = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            // Hidden folders and what cargo builds into are not files of the repository; a link is listed where it leads.
            let built = relative == "target" || path.join("CACHEDIR.TAG").exists();
            if kind.is_dir() && !built && !entry.file_name().to_string_lossy().starts_with('.') {
                folders.push(path);
            } else if kind.is_file() && wanted(&relative) {
                let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{relative}: {error}"));
                found.push((relative, text));
            }
        }
    }
    found.sort();
    found
}

// The rules.

/// Imports from a room of the same or a higher rank, and ways round the check.
fn uphill_imports(source: &Source) -> Vec<Violation> {
    let Some(room) = room(&source.path).filter(|room| *room != "lib") else { return Vec::new() };
    let Some(own) = rank(room) else {
        return vec![Violation::new(1, format!("`{room}` is not a room of the house"))];
    };
    let depth = source.path.trim_end_matches("/mod.rs").matches('/').count();
    let mut found = Vec::new();
    for path in source.paths() {
        let supers = path.names.iter().take_while(|name| *name == "super").count();
        if supers >= depth && !path.in_tests {
            found.push(Violation::new(path.line, format!("`{}` leaves the room: start at `crate`", path.text())));
        }
        let Some(target) = path.names.get(1).filter(|_| path.names[0] == "crate") else { continue };
        match rank(target) {
            _ if target == room => {}
            None => found.push(Violation::new(path.line, format!("`{}` does not start with a room", path.text()))),
            Some(lower) if lower < own || lower == own && own == NEIGHBOURS => {}
            Some(_) => found.push(Violation::new(path.line, format!("`{room}` may not import `{target}`"))),
        }
    }
    found
}

/// Rooms that import each other, which the ranks leave open among neighbours.
fn mutual_imports(sources: &[Source]) -> Vec<String> {
    let mut edges = BTreeSet::new();
    for source in sources {
        let Some(from) = room(&source.path) else { continue };
        for path in source.paths().iter().filter(|path| path.names[0] == "crate") {
            edges.extend(path.names.get(1).map(|to| (from.to_owned(), to.clone())));
        }
    }
    let mutual = |(from, to): &&(String, String)| from < to && edges.contains(&(to.clone(), from.clone()));
    edges.iter().filter(mutual).map(|(a, b)| format!("src: `{a}` and `{b}` import each other")).collect()
}

fn unsafe_outside(source: &Source) -> Vec<Violation> {
    if within(&source.path, UNSAFE_IN) {
        return Vec::new();
    }
    let found = source.tokens.iter().filter(|token| token.text == "unsafe");
    found.map(|token| Violation::new(token.line, "`unsafe` outside its rooms")).collect()
}

fn back_doors(source: &Source) -> Vec<Violation> {
    let mut found = Vec::new();
    for path in source.paths() {
        let Some((_, doors)) = DOORS.iter().find(|(name, _)| names_crate(&path.names[0], name)) else { continue };
        if !within(&source.path, doors) {
            found.push(Violation::new(path.line, format!("`{}` outside {}", path.text(), doors.join(" and "))));
        }
    }
    found
}

/// All files after the first that name a crate which one file alone may name.
fn second_doors(sources: &[Source], name: &str) -> Vec<String> {
    let naming = sources.iter().filter(|source| source.paths().iter().any(|path| path.names[0] == name));
    naming.skip(1).map(|source| format!("{}: a second file that names `{name}`", source.path)).collect()
}

fn foreign_sync(source: &Source) -> Vec<Violation> {
    if !source.path.starts_with("src/") || within(&source.path, &["src/sync"]) {
        return Vec::new();
    }
    let foreign = |path: &PathOf| match path.names.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["std" | "core", "thread", ..] | ["std" | "core", "sync"] => true,
        ["std" | "core", "sync", name, ..] => !STD_SYNC_ALLOWED.contains(&name),
        // Time is a value, read from the one clock.
        _ => path.holds("Instant", "now") || path.holds("SystemTime", "now"),
    };
    let paths = source.paths();
    let found = paths.iter().filter(|path| !path.in_tests && foreign(path));
    found.map(|path| Violation::new(path.line, format!("`{}` outside src/sync", path.text()))).collect()
}

fn missing_opening(source: &Source) -> Vec<Violation> {
    if source.text.starts_with("//!") { Vec::new() } else { vec![Violation::new(1, "does not open with `//!`")] }
}

fn too_long(source: &Source) -> Vec<Violation> {
    let own = CODE_LINES_MAX_OF.iter().find(|(path, _)| *path == source.path);
    let max = own.map_or(CODE_LINES_MAX, |(_, max)| *max);
    let code = source.tokens.iter().filter(|token| !token.in_tests);
    let lines: BTreeSet<_> =
        code.flat_map(|token| token.line..=token.line + token.text.matches('\n').count()).collect();
    match lines.len() {
        count if count <= max => Vec::new(),
        count => vec![Violation::new(1, format!("{count} lines of code, at most {max} expected"))],
    }
}

fn prints(source: &Source) -> Vec<Violation> {
    let backend = source.path.starts_with("backends/") && source.path.contains("/src/");
    if !source.path.starts_with("src/") && !backend {
        return Vec::new();
    }
    let macros = ["print", "println", "eprint", "eprintln", "dbg"];
    let calls = source.tokens.windows(2).filter(|t| t[1].text == "!" && macros.contains(&t[0].text.as_str()));
    calls.map(|t| Violation::new(t[0].line, format!("`{}!`", t[0].text))).collect()
}

fn present(source: &Source) -> Vec<Violation> {
    let mut found = Vec::new();
    for path in source.paths().iter().filter(|path| !path.in_tests) {
        let broken = |(place, [first, second], _): &&(&str, [&str; 2], &str)| {
            within(&source.path, &[place]) && path.holds(first, second)
        };
        if let Some((_, _, why)) = ABSENT.iter().find(broken) {
            found.push(Violation::new(path.line, format!("`{}`: {why}", path.text())));
        }
    }
    found
}

fn ignored_or_sleeping(source: &Source) -> Vec<Violation> {
    let ignored = source.tokens.windows(3).filter(|t| t[0].text == "#" && t[1].text == "[" && t[2].text == "ignore");
    let mut found: Vec<_> = ignored.map(|t| Violation::new(t[0].line, "an ignored test")).collect();
    let all_tests = source.path.starts_with("tests/") || source.path.contains("/tests/");
    let paths = source.paths();
    let sleeps = paths.iter().filter(|path| (path.in_tests || all_tests) && path.holds("thread", "sleep"));
    found.extend(sleeps.map(|path| Violation::new(path.line, "a test that sleeps: time is a value")));
    found
}

fn left_overs(text: &str) -> Vec<Violation> {
    let border = |c: char| !c.is_alphanumeric() && c != '_';
    let lines = text.lines().enumerate();
    let hits = lines.filter(|(_, line)| line.split(border).any(|word| LEFT_OVERS.contains(&word)));
    hits.map(|(at, line)| Violation::new(at + 1, format!("left over: {}", line.trim()))).collect()
}

fn inherits_lints(manifest: &str) -> bool {
    let mut table = manifest.lines().map(str::trim).skip_while(|line| *line != "[lints]").skip(1);
    table.find(|line| !line.is_empty() && !line.starts_with('#')) == Some("workspace = true")
}

/// The room that a file of `src` belongs to.
fn room(path: &str) -> Option<&str> {
    path.strip_prefix("src/")?.split('/').next().map(|first| first.trim_end_matches(".rs"))
}

fn rank(room: &str) -> Option<u32> {
    RANKS.iter().find(|(name, _)| *name == room).map(|(_, rank)| *rank)
}

/// Whether a file is one of `places` or lies in one of them; `src/sync` stands for `src/sync.rs` too.
fn within(path: &str, places: &[&str]) -> bool {
    let inside = |rest: &str| rest.is_empty() || rest == ".rs" || rest.starts_with('/');
    places.iter().any(|place| path.strip_prefix(place).is_some_and(inside))
}

fn names_crate(found: &str, name: &str) -> bool {
    if name.ends_with('_') { found.starts_with(name) } else { found == name }
}
