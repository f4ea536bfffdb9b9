//! The C header of the plugin ABI: generated from `src/abi`, committed, and compared here.
//!
//! `INFERLAY_BLESS=1 cargo test -p inferlay-backend-sdk --test header` writes it anew.

// A test may unwrap: what cannot be read must fail it.
#![allow(clippy::unwrap_used)]

use cbindgen::{Builder, Config};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The order in which a reader wants them.
const SOURCES: [&str; 4] = ["value.rs", "tensor.rs", "host.rs", "backend.rs"];

#[test]
fn the_committed_header_is_the_generated_one() {
    let (path, generated) = (header(), generate());
    if std::env::var_os("INFERLAY_BLESS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &generated).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap();
    assert!(committed == generated, "{} is not what src/abi says: write it anew, see the top", path.display());
}

#[test]
fn the_header_passes_no_type_of_rust_and_no_long_line() {
    let header = generate();
    assert!(!header.contains("Option_"), "a type alias hides an optional function from cbindgen");
    // What cbindgen sets itself, the heads of functions, may be longer.
    let long = header.lines().find(|line| line.trim_start().starts_with("//") && line.len() > 120);
    assert_eq!(long, None);
}

#[test]
fn the_documentation_names_what_the_header_has() {
    let (header, document) = (generate(), Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/abi.md"));
    let document = std::fs::read_to_string(document).unwrap();
    let mut rows = 0;
    for row in document.lines().filter(|line| line.starts_with("| `")) {
        let Some(here) = row.split('|').nth(2) else { continue };
        for name in here.split('`').skip(1).step_by(2) {
            assert!(has(&header, name), "docs/abi.md names `{name}`, the header does not");
        }
        rows += 1;
    }
    assert!(rows > 100, "found {rows} rows, expected one for each function of Triton's");
}

#[test]
fn the_header_compiles_alone_and_twice_in_every_language_of_c() {
    let compilers = [("gcc", "g++"), ("clang", "clang++")];
    let there = |name: &str| Command::new(name).arg("--version").output().is_ok_and(|told| told.status.success());
    let mut compiled = 0;
    for (c, cpp) in compilers {
        let languages = [(c, "c", ["c99", "c11"].as_slice()), (cpp, "c++", ["c++11", "c++17", "c++20"].as_slice())];
        for (compiler, language, standards) in languages.into_iter().filter(|(compiler, ..)| there(compiler)) {
            for standard in standards {
                compile(compiler, language, standard);
                compiled += 1;
            }
        }
    }
    assert!(compiled > 0, "no C compiler was found");
}

/// Compiles a file that includes the header twice and uses its macros.
fn compile(compiler: &str, language: &str, standard: &str) {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("header-{compiler}-{standard}"));
    std::fs::create_dir_all(&folder).unwrap();
    let source = folder.join("twice.c");
    std::fs::write(&source, TWICE).unwrap();
    let mut command = Command::new(compiler);
    command.args(["-x", language, &format!("-std={standard}"), "-Wall", "-Wextra", "-Wpedantic", "-Werror"]);
    command.args(["-fsyntax-only", "-I"]).arg(header().parent().unwrap()).arg(&source);
    let told = command.output().unwrap();
    assert!(told.status.success(), "{compiler} -std={standard}:\n{}", String::from_utf8_lossy(&told.stderr));
}

const TWICE: &str = r#"
#include "inferlay_backend.h"
#include "inferlay_backend.h"

static const inferlay_abi_status refusal = INFERLAY_ABI_STATUS(INFERLAY_ABI_CODE_UNSUPPORTED, "not here");

const inferlay_abi_status *check(const inferlay_abi_host *host, const inferlay_abi_batch *batch);
const inferlay_abi_status *check(const inferlay_abi_host *host, const inferlay_abi_batch *batch) {
    inferlay_abi_tensor tensor = INFERLAY_ABI_TENSOR_INIT;
    if (!INFERLAY_ABI_HAS(inferlay_abi_host, host, span_end)) {
        return &refusal;
    }
    return host->batch_input(batch, 0, NULL, &tensor);
}

INFERLAY_ABI_EXPORT const inferlay_abi_backend *inferlay_backend_twice(const inferlay_abi_host *host);
const inferlay_abi_backend *inferlay_backend_twice(const inferlay_abi_host *host) {
    (void)host;
    return NULL;
}
"#;

/// Whether a text has this name as a word.
fn has(text: &str, name: &str) -> bool {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').any(|word| word == name)
}

fn header() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../include/inferlay_backend.h")
}

fn generate() -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let config = Config::from_file(folder.join("cbindgen.toml")).unwrap();
    let mut builder = Builder::new().with_config(config);
    for source in SOURCES {
        builder = builder.with_src(folder.join("src/abi").join(source));
    }
    let mut header = Vec::new();
    builder.generate().unwrap().write(&mut header);
    spaced(&String::from_utf8(header).unwrap())
}

/// With an empty line before each commented field and function, which cbindgen does without.
fn spaced(header: &str) -> String {
    let mut spaced = String::new();
    let mut before = "";
    for line in header.lines() {
        let ends_a_field = before.ends_with(';') && !before.trim_start().starts_with("//");
        if line.starts_with("    // ") && ends_a_field {
            spaced.push('\n');
        }
        spaced.push_str(line.trim_end());
        spaced.push('\n');
        before = line;
    }
    spaced
}
