//! Builds what is in C: the plugin that misbehaves, as a library of its own, and the caller of the C API, to be linked.

use std::path::{Path, PathBuf};
use std::process::Command;

fn main() {
    println!("cargo::rerun-if-changed=c");
    let (Some(root), Some(out)) = (folder("CARGO_MANIFEST_DIR"), folder("OUT_DIR")) else { panic!("no folders") };
    let include = root.join("../include");
    println!("cargo::rerun-if-changed={}", include.display());
    let plugin = out.join("libinferlay_backend_fuzzed.so");
    run(compiler(&include).args(["-shared", "-pthread", "-o"]).arg(plugin).arg(root.join("c/plugin.c")));
    println!("cargo::rustc-env=FUZZED_PLUGIN={}", out.display());
    let object = out.join("door.o");
    run(compiler(&include).args(["-c", "-o"]).arg(&object).arg(root.join("c/door.c")));
    run(Command::new("ar").arg("rcs").arg(out.join("libfuzz_door.a")).arg(object));
    println!("cargo::rustc-link-search=native={}", out.display());
    println!("cargo::rustc-link-lib=static=fuzz_door");
}

fn compiler(include: &Path) -> Command {
    println!("cargo::rerun-if-env-changed=CC");
    let mut command = Command::new(std::env::var_os("CC").unwrap_or_else(|| "cc".into()));
    command.args(["-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Werror", "-g", "-O1", "-fPIC", "-I"]).arg(include);
    command
}

fn folder(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).map(PathBuf::from)
}

fn run(command: &mut Command) {
    match command.status() {
        Ok(status) if status.success() => {}
        told => panic!("{command:?}: {told:?}"),
    }
}
