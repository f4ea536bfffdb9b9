//! Backends in shared libraries, built by the tests: from `tests/bad_plugins`, and the null backend as a plugin.

#![allow(dead_code, reason = "every program uses a part of it")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock, PoisonError};

/// Where this checkout lies.
const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A folder with `libinferlay_backend_<name>.so` of `plugin.c` with these switches.
pub(crate) fn c_plugin(name: &str, switches: &[&str]) -> PathBuf {
    // Under the lock: two tests may want the same one, and what is open must not be written.
    static DONE: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let mut done = DONE.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = built().join(name);
    if !done.insert(name.to_owned()) {
        return folder;
    }
    std::fs::create_dir_all(&folder).unwrap();
    let compiler = std::env::var_os("CC").unwrap_or_else(|| "cc".into());
    let mut command = Command::new(compiler);
    command.args(["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-g", "-O1", "-shared", "-fPIC"]);
    command.args(["-fvisibility=hidden", "-Wno-unused-function", &format!("-DNAME={name}")]);
    command.args(switches.iter().map(|switch| format!("-D{switch}")));
    command.args(std::env::var("CFLAGS").unwrap_or_default().split_whitespace());
    command.arg("-I").arg(Path::new(ROOT).join("include"));
    command.arg(Path::new(ROOT).join("tests/bad_plugins/plugin.c"));
    run(command.arg("-o").arg(folder.join(file_name(name))));
    folder
}

/// A folder with the plugins in Rust: `null` and `panicking`. Built once per program.
pub(crate) fn rust_plugins() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let target = built().join("cargo");
        let cargo = |args: &[&str]| {
            let mut command = Command::new(env!("CARGO"));
            run(command.args(args).arg("--target-dir").arg(&target).current_dir(ROOT));
        };
        cargo(&["build", "--quiet", "-p", "inferlay-backend-sdk"]);
        let plugin = ["--features", "plugin", "--crate-type", "cdylib"];
        cargo(&[&["rustc", "--quiet", "-p", "inferlay-backend-null"], &plugin[..]].concat());
        let folder = target.join("debug");
        let compiler = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let mut command = Command::new(compiler);
        command.args(["--edition", "2024", "--crate-type", "cdylib", "-C", "debuginfo=1"]).arg("--extern");
        command.arg(format!("inferlay_backend_sdk={}", folder.join("libinferlay_backend_sdk.rlib").display()));
        command.arg(Path::new(ROOT).join("tests/bad_plugins/panicking.rs"));
        run(command.arg("-o").arg(folder.join(file_name("panicking"))));
        folder
    })
}

fn file_name(name: &str) -> String {
    format!("libinferlay_backend_{name}.so")
}

/// A folder of this process, so that programs that run side by side do not overwrite each other's libraries; what cargo
/// builds there is shared all the same.
fn built() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    // The programs of cargo lie in `<target>/<profile>/deps`.
    let program = own.file_stem().unwrap();
    own.ancestors().nth(3).unwrap().join("tmp/plugins").join(program)
}

#[track_caller]
fn run(command: &mut Command) {
    let told = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(told.status.success(), "{command:?}:\n{}", String::from_utf8_lossy(&told.stderr));
}
