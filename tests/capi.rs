//! The C API from outside: C programs against the shared library that this test builds, plain, under AddressSanitizer
//! and under valgrind; and the header and the exported symbols against what is committed.
//!
//! `INFERLAY_BLESS=1 cargo test --features capi --test capi header` writes the header anew, and `exports` the list.
//! What a machine lacks (clang, valgrind) is said on the test's output and left out.
#![cfg(feature = "capi")]
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test may unwrap, and says what it leaves out")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// The C programs of `tests/capi`; each is a `main` that exits with 0.
const PROGRAMS: [&str; 16] = [
    "allocations",
    "async",
    "backend",
    "bulk",
    "decoupled",
    "infer",
    "live",
    "metric",
    "misuse",
    "model",
    "pull",
    "queue",
    "stop",
    "stress",
    "text",
    "traffic",
];

const WARNINGS: [&str; 4] = ["-Wall", "-Wextra", "-Wpedantic", "-Werror"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A place of this test's own.
fn place() -> PathBuf {
    let place = Path::new(env!("CARGO_TARGET_TMPDIR")).join("capi");
    std::fs::create_dir_all(&place).unwrap();
    place
}

/// The folder of the shared library, built once, under its own name and that of its soname.
fn library() -> &'static Path {
    static LIBRARY: OnceLock<PathBuf> = OnceLock::new();
    LIBRARY.get_or_init(|| {
        let target = place().join("target");
        let arguments = "rustc --lib --no-default-features --features capi,integrity --crate-type cdylib";
        run(Command::new(env!("CARGO"))
            .args(arguments.split(' '))
            .arg("--target-dir")
            .arg(&target)
            .env_remove("RUSTFLAGS")
            .current_dir(root()));
        let folder = target.join("debug");
        let soname = folder.join(soname());
        let _it_may_be_new = std::fs::remove_file(&soname);
        std::fs::hard_link(folder.join("libinferlay.so"), soname).unwrap();
        folder
    })
}

fn soname() -> String {
    format!("libinferlay.so.{}.{}", env!("CARGO_PKG_VERSION_MAJOR"), env!("CARGO_PKG_VERSION_MINOR"))
}

/// Runs a command that must succeed.
fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        text(&output.stdout),
        text(&output.stderr)
    );
    output
}

/// Whether a tool is there; says so if it is not.
fn is_there(tool: &str) -> bool {
    let is_there = Command::new(tool).arg("--version").output().is_ok_and(|output| output.status.success());
    if !is_there {
        println!("{tool} is not there: what needs it is left out");
    }
    is_there
}

/// Compiles a C program against the header and the shared library.
fn compile(program: &str, kind: &str, flags: &[&str]) -> PathBuf {
    let made = place().join(format!("{program}-{kind}"));
    let source = root().join("tests/capi").join(program).with_extension("c");
    run(Command::new("cc")
        .args(["-std=c11", "-g", "-O1", "-D_GNU_SOURCE"])
        .args(WARNINGS)
        .args(flags)
        .arg("-I")
        .arg(root().join("include"))
        .arg(source)
        .arg("-o")
        .arg(&made)
        .arg(library().join("libinferlay.so"))
        .arg(format!("-Wl,-rpath,{}", library().display()))
        .arg("-lpthread"));
    made
}

#[test]
fn c_programs_pass() {
    for program in PROGRAMS {
        run(&mut Command::new(compile(program, "plain", &[])));
    }
}

#[test]
fn c_programs_pass_under_address_sanitizer_without_leaks() {
    for program in PROGRAMS {
        let made = compile(program, "asan", &["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]);
        run(Command::new(made).env("ASAN_OPTIONS", "detect_leaks=1"));
    }
}

#[test]
fn c_programs_pass_under_valgrind_without_leaks() {
    if !is_there("valgrind") {
        return;
    }
    for program in PROGRAMS {
        let arguments = "-q --error-exitcode=9 --leak-check=full --errors-for-leak-kinds=definite,indirect";
        run(Command::new("valgrind").args(arguments.split(' ')).arg(compile(program, "valgrind", &[])));
    }
}

#[test]
fn every_program_is_run() {
    let files = std::fs::read_dir(root().join("tests/capi")).unwrap();
    let paths = files.map(|file| file.unwrap().path()).filter(|path| path.extension().is_some_and(|kind| kind == "c"));
    let mut found: Vec<_> = paths.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    found.sort();
    assert_eq!(found, PROGRAMS);
}

#[test]
fn the_header_compiles_alone_and_twice_in_every_dialect() {
    let (c, cpp) = (["c99", "c11"], ["c++11", "c++17", "c++20"]);
    for (compilers, kind, dialects) in [(["gcc", "clang"], "c", &c[..]), (["g++", "clang++"], "c++", &cpp[..])] {
        let source = place().join(format!("twice.{}", kind.replace("++", "pp")));
        std::fs::write(&source, "#include <inferlay.h>\n#include <inferlay.h>\nint main(void) { return 0; }\n")
            .unwrap();
        for compiler in compilers.into_iter().filter(|compiler| is_there(compiler)) {
            for dialect in dialects {
                let mut command = Command::new(compiler);
                command.arg(format!("-std={dialect}")).args(WARNINGS).args(["-fsyntax-only", "-x", kind, "-I"]);
                run(command.arg(root().join("include")).arg(&source));
            }
        }
    }
}

#[test]
fn the_library_exports_what_is_listed_and_bears_its_name() {
    let library = library().join("libinferlay.so");
    let symbols = run(Command::new("nm").args(["-D", "--defined-only"]).arg(&library)).stdout;
    let symbols = String::from_utf8(symbols).unwrap();
    let names: Vec<_> = symbols.lines().filter_map(|line| line.split_whitespace().nth(2)).collect();
    let list = root().join("tests/capi/exports.txt");
    if std::env::var_os("INFERLAY_BLESS").is_some() {
        std::fs::write(&list, names.join("\n") + "\n").unwrap();
    }
    let listed = std::fs::read_to_string(list).unwrap();
    let listed: Vec<_> = listed.lines().collect();
    assert_eq!(names, listed, "tests/capi/exports.txt lists what `nm -D --defined-only` finds");
    let dynamic = run(Command::new("readelf").arg("-d").arg(&library)).stdout;
    let dynamic = String::from_utf8(dynamic).unwrap();
    assert!(dynamic.contains(&format!("[{}]", soname())) && dynamic.contains("NODELETE"), "{dynamic}");
}

#[test]
fn the_header_is_the_one_that_is_generated() {
    let (path, generated) = (root().join("include/inferlay.h"), generate());
    if std::env::var_os("INFERLAY_BLESS").is_some() {
        std::fs::write(&path, &generated).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap();
    assert!(committed == generated, "{} is not what src/capi says: write it anew, see the top", path.display());
}

#[test]
fn the_header_passes_no_type_of_rust_and_has_no_long_line() {
    let header = generate();
    assert!(!header.contains("Option_") && !header.contains("struct inferlay_request *"), "a type is not renamed");
    let long: Vec<_> = header.lines().filter(|line| line.len() > 120).collect();
    assert!(long.is_empty(), "{long:#?}");
}

/// What all use first, then the nouns in the order in which a program meets them.
const SOURCES: [&str; 34] = [
    "types",
    "status",
    "text",
    "clock",
    "library",
    "options",
    "options_text",
    "trust",
    "control",
    "repository",
    "source",
    "seal",
    "server",
    "model",
    "request",
    "input",
    "output",
    "parameter",
    "infer",
    "traffic",
    "response",
    "tensor",
    "dlpack",
    "submission",
    "queue",
    "drain",
    "notice",
    "callback",
    "batch_queue",
    "responder",
    "live",
    "operation",
    "subscription",
    "metric",
];

/// The header as `src/capi` and `cbindgen.toml` say it.
fn generate() -> String {
    let config = cbindgen::Config::from_file(root().join("cbindgen.toml")).unwrap();
    let builder = cbindgen::Builder::new().with_config(config);
    let file = |source: &str| root().join("src/capi").join(source).with_extension("rs");
    let builder = SOURCES.iter().fold(builder, |builder, source| builder.with_src(file(source)));
    let mut text = Vec::new();
    builder.generate().unwrap().write(&mut text);
    String::from_utf8(text).unwrap()
}

/// Every function of the header is called by a C program.
#[test]
fn every_function_is_tested() {
    let listed = std::fs::read_to_string(root().join("tests/capi/exports.txt")).unwrap();
    let folder = std::fs::read_dir(root().join("tests/capi")).unwrap();
    let texts: String = folder.map(|file| std::fs::read_to_string(file.unwrap().path()).unwrap()).collect();
    // Called, or handed to what calls it.
    let is_tested = |name: &&str| ["(", ","].iter().any(|after| texts.contains(&format!("{name}{after}")));
    let untested = listed.lines().filter(|name| !is_tested(name)).collect::<Vec<_>>();
    assert!(untested.is_empty(), "no C program calls {untested:?}");
}
