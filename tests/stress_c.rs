//! C programs on the shared library: many threads on one server, and which system calls a server makes.
//!
//! `cargo xtask test sanitize` runs the same program under ThreadSanitizer.
#![cfg(all(feature = "capi", target_os = "linux"))]
#![allow(clippy::unwrap_used, reason = "a test may unwrap")]
#![allow(clippy::print_stdout, reason = "what was left out is said")]

#[path = "common/native.rs"]
mod native;

use native::{ROOT, cc, run, scratch};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// `tests/stress_c/stress.c`, built once with the shared library.
fn stress() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let folder = scratch();
        std::fs::create_dir_all(&folder).unwrap();
        // Static: one file, whose system calls are the program's and the library's and nobody else's.
        let arguments = "rustc --quiet --lib --no-default-features --features capi --crate-type staticlib --target-dir";
        run(Command::new(env!("CARGO")).args(arguments.split(' ')).arg(folder.join("target")).current_dir(ROOT));
        let program = folder.join("stress");
        let include = Path::new(ROOT).join("include");
        let source = Path::new(ROOT).join("tests/stress_c/stress.c");
        let mut command = Command::new(cc());
        command.args(["-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-O1", "-g", "-I"]);
        command.arg(include).arg(source).arg("-o").arg(&program).arg(folder.join("target/debug/libinferlay.a"));
        run(command.args("-lgcc_s -lutil -lrt -lpthread -lm -ldl -lc".split(' ')));
        program
    })
}

#[test]
fn many_threads_share_one_server() {
    run(Command::new(stress()).arg("300"));
}

#[test]
fn the_core_opens_no_socket() {
    let traced = |filter: &str| {
        let log = scratch().join(format!("strace-{filter}"));
        let mut command = Command::new("strace");
        command.args(["-f", "-e", &format!("trace={filter}"), "-o"]).arg(&log).arg(stress()).arg("20");
        command.output().map(|told| (told, log))
    };
    // A machine without strace, or where no process may be traced, cannot tell.
    let (told, log) = match traced("network") {
        Ok((told, log)) if !String::from_utf8_lossy(&told.stderr).contains("PTRACE") => (told, log),
        _ => return println!("strace cannot be had: which system calls are made is not looked at"),
    };
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
    let log = std::fs::read_to_string(log).unwrap();
    let calls: Vec<_> = log.lines().filter(|line| line.contains('(')).collect();
    assert_eq!(calls, Vec::<&str>::new());
    // That nothing was found says something only if it would be.
    let (told, log) = traced("futex").unwrap();
    assert!(told.status.success() && std::fs::read_to_string(log).unwrap().contains("futex("));
}
