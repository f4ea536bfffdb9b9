//! Each rule of the house catches a violation, and lets pass what only looks like one.

use super::*;

type Rule = fn(&Source) -> Vec<Violation>;

/// Checks which lines of a file a rule finds fault with.
#[track_caller]
fn check(rule: Rule, path: &str, text: &str, lines: &[usize]) {
    let found: Vec<_> = rule(&Source::new(path, text)).iter().map(|violation| violation.line).collect();
    assert_eq!(found, lines, "{path}:\n{text}");
}

#[test]
fn an_import_from_a_higher_or_equal_room_is_found() {
    let rows: &[(&str, &str, &[usize])] = &[
        ("src/flow/queue.rs", "use crate::backend::Lane;\nuse crate::{config, error::Error};", &[]),
        ("src/flow/queue.rs", "use crate::flow::batch;\nuse super::batch::Step;", &[]),
        ("src/flow/queue.rs", "use crate::repository::Version;", &[1]),
        ("src/repository/mod.rs", "\nfn f() { crate::flow::start() }", &[2]),
        (
            "src/backend/mod.rs",
            "use crate::{\n    error::Error,\n    flow::{self, Batch},\n    server,\n};",
            &[3, 3, 4],
        ),
        ("src/flow.rs", "pub(in crate::server) fn f() {}", &[1]),
        ("src/tensor/mod.rs", "use crate::memory::Block;", &[]),
        ("src/sync/mod.rs", "use crate::observe::Log;", &[1]),
        ("src/error.rs", "use crate::sync::Slot;", &[1]),
        ("src/server/mod.rs", "// crate::capi\nlet s = \"crate::capi::x\";\nuse crate::capi::x;", &[3]),
        ("src/lib.rs", "pub use crate::server::ServerHandle;", &[]),
        ("tests/it.rs", "use crate::anything::At;", &[]),
    ];
    rows.iter().for_each(|(path, text, lines)| check(uphill_imports, path, text, lines));
}

#[test]
fn a_way_round_the_import_rule_is_found() {
    check(uphill_imports, "src/flow/queue.rs", "use crate::ServerHandle;", &[1]);
    check(uphill_imports, "src/flow/queue.rs", "use super::super::server::Hall;", &[1]);
    check(uphill_imports, "src/flow/mod.rs", "use super::server::Hall;", &[1]);
    check(uphill_imports, "src/flow/queue.rs", "#[cfg(test)]\nmod tests { use super::super::batch; }", &[]);
    check(uphill_imports, "src/extras/mod.rs", "", &[1]);
}

#[test]
fn two_rooms_that_import_each_other_are_found() {
    let memory = Source::new("src/memory/pool.rs", "use crate::tensor::Shape;");
    let tensor = Source::new("src/tensor/mod.rs", "use crate::memory::Block;");
    assert!(mutual_imports(&[Source::new("src/sync/mod.rs", "use crate::error::Error;")]).is_empty());
    assert_eq!(mutual_imports(&[memory, tensor]), ["src: `memory` and `tensor` import each other"]);
}

#[test]
fn unsafe_outside_its_rooms_is_found() {
    let text = "#![deny(unsafe_code)]\n// unsafe\nunsafe { f() }\n";
    check(unsafe_outside, "src/flow/worker.rs", text, &[3]);
    check(unsafe_outside, "tests/chaos.rs", text, &[3]);
    check(unsafe_outside, "src/synchrony/mod.rs", text, &[3]);
    check(unsafe_outside, "src/sync/ring.rs", text, &[]);
    check(unsafe_outside, "backends/sdk/src/tensor.rs", text, &[]);
    check(unsafe_outside, "backends/null/src/lib.rs", text, &[3]);
}

#[test]
fn a_dependency_named_outside_its_door_is_found() {
    let rows: &[(&str, &str, &[usize])] = &[
        ("src/server/mod.rs", "use parking_lot::Mutex;", &[1]),
        ("src/sync/lock.rs", "use parking_lot::Mutex;", &[]),
        ("src/flow/worker.rs", "#[cfg(all(test, loom))]\nmod x { fn f() { loom::model(|| {}) } }", &[2]),
        ("src/flow/worker.rs", "let x = crossbeam_channel::bounded(1);", &[1]),
        ("src/backend/builtin.rs", "use ::libloading as open;", &[1]),
        ("src/backend/dynamic.rs", "use libloading::Library;", &[]),
        ("src/flow/mod.rs", "use tract_core::ops;\nuse inferlay_backend_tract::Tract;", &[1]),
        ("src/memory/mod.rs", "use {cudarc::driver, std::fmt};", &[1]),
        ("tests/sort.rs", "let sort = ort + support;", &[]),
    ];
    rows.iter().for_each(|(path, text, lines)| check(back_doors, path, text, lines));
}

#[test]
fn a_second_file_that_names_yaml_is_found() {
    let one = Source::new("src/config/yaml.rs", "use serde_yaml::from_str;");
    let two = Source::new("src/config/tree.rs", "fn f() { serde_yaml::to_string() }");
    assert!(second_doors(std::slice::from_ref(&one), "serde_yaml").is_empty());
    assert_eq!(second_doors(&[one, two], "serde_yaml").len(), 1);
}

#[test]
fn a_lock_or_thread_of_std_is_found() {
    let rows: &[(&str, &str, &[usize])] = &[
        ("src/flow/worker.rs", "use std::sync::{Arc, OnceLock};", &[]),
        ("src/flow/worker.rs", "use std::{\n    sync::{Arc, Mutex},\n    thread,\n};", &[2, 3]),
        ("src/flow/worker.rs", "use std::sync::atomic::{AtomicU64, Ordering};", &[1, 1]),
        ("src/server/mod.rs", "std::thread::spawn(f);\nuse core::sync as s;", &[1, 2]),
        ("src/sync/mod.rs", "use std::sync::Mutex;\nInstant::now();", &[]),
        ("src/flow/worker.rs", "use std::time::Instant;\nlet now = Instant::now();", &[2]),
        ("src/flow/queue.rs", "#[cfg(all(test, not(loom)))]\nmod tests { use std::thread; }\nuse std::thread;", &[3]),
        ("src/flow/queue.rs", "#[cfg(not(test))]\nmod real { use std::thread; }", &[2]),
        ("tests/chaos.rs", "use std::thread;", &[]),
    ];
    rows.iter().for_each(|(path, text, lines)| check(foreign_sync, path, text, lines));
}

#[test]
fn a_file_without_an_opening_is_found() {
    check(missing_opening, "src/a.rs", "//! What it is.\nfn f() {}", &[]);
    check(missing_opening, "src/a.rs", "use std::fmt;\n//! Too late.", &[1]);
    check(missing_opening, "src/a.rs", "", &[1]);
}

#[test]
fn a_file_that_is_too_long_is_found_and_its_tests_do_not_count() {
    let code = |lines: usize| "let x = 1;\n".repeat(lines);
    check(too_long, "src/flow/a.rs", &code(CODE_LINES_MAX), &[]);
    check(too_long, "src/flow/a.rs", &code(CODE_LINES_MAX + 1), &[1]);
    check(too_long, "src/flow/a.rs", &format!("{}\n\n// Why.\n/* a\nb */", code(CODE_LINES_MAX)), &[]);
    check(too_long, "src/flow/a.rs", &format!("{}let s = \"\n\";", code(CODE_LINES_MAX - 1)), &[1]);
    let tests = format!("{}#[cfg(test)]\nmod tests {{\n{}}}\n", code(CODE_LINES_MAX), code(500));
    check(too_long, "src/flow/a.rs", &tests, &[]);
    check(too_long, "examples/axum.rs", &code(60), &[1]);
}

#[test]
fn printing_is_found() {
    let text = "//! println!(\"in a comment\")\nprintln!(\"x\");\neprintln!();\n";
    check(prints, "src/observe/log.rs", text, &[2, 3]);
    check(prints, "backends/tract/src/lib.rs", text, &[2, 3]);
    check(prints, "examples/quickstart.rs", text, &[]);
}

#[test]
fn what_the_library_never_does_is_found() {
    let rows: &[(&str, &str, &[usize])] = &[
        ("src/server/mod.rs", "use std::{fs, net::TcpListener};", &[1]),
        ("src/server/mod.rs", "std::process::exit(1);\nprocess::exit(1);", &[1, 2]),
        ("src/observe/log.rs", "writeln!(io::stderr(), \"x\");\nuse std::io::Write;", &[1]),
        ("src/config/mod.rs", "use std::fs;\n#[cfg(test)]\nmod tests { use std::fs; }", &[1]),
        ("src/repository/disk.rs", "use std::fs;", &[]),
        ("tests/it.rs", "use std::net::TcpListener;", &[]),
    ];
    rows.iter().for_each(|(path, text, lines)| check(present, path, text, lines));
}

#[test]
fn an_ignored_or_sleeping_test_is_found() {
    check(ignored_or_sleeping, "src/a.rs", concat!("#[", "ignore]\nfn f() {}"), &[1]);
    check(ignored_or_sleeping, "tests/a.rs", concat!("#[", "ignore = \"slow\"]\nfn f() {}"), &[1]);
    check(ignored_or_sleeping, "tests/a.rs", "fn f() {\n    std::thread::sleep(d);\n}", &[2]);
    check(
        ignored_or_sleeping,
        "src/a.rs",
        "thread::sleep(d);\n#[cfg(test)]\nmod tests {\n    fn f() { thread::sleep(d) }\n}",
        &[4],
    );
}

#[test]
fn left_over_words_are_found_anywhere() {
    let text = format!("// {}: later\nlet todo = 1; // mastodon\n", LEFT_OVERS[0]);
    assert_eq!(left_overs(&text).iter().map(|found| found.line).collect::<Vec<_>>(), [1]);
}

#[test]
fn a_manifest_without_the_lints_is_found() {
    assert!(inherits_lints("[package]\nname = \"a\"\n\n[lints]\nworkspace = true\n"));
    assert!(!inherits_lints("[package]\nname = \"a\"\n[dependencies]\nx = { workspace = true }"));
    assert!(!inherits_lints("[lints]\n\n[dependencies]\nworkspace = true"));
}
