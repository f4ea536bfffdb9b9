//! Gives the C library its name and link flags, and with the feature `header` generates `inferlay.h` from `src/capi`.
//!
//! Builds without these features run this file and nothing in it.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var_os("CARGO_FEATURE_CAPI").is_some() {
        link();
    }
    #[cfg(feature = "header")]
    header();
}

/// A Rust library has no name of its own for the loader, and Rust code must stay where it is once it was loaded.
fn link() {
    let part = |name: &str| std::env::var(format!("CARGO_PKG_VERSION_{name}")).unwrap_or_default();
    // Not `rustc-link-arg-cdylib`: a cdylib is asked for on the command line only, which cargo does not count. In
    // programs, such as tests, the linker ignores the first of the two, and nobody unloads a program.
    println!("cargo::rustc-link-arg=-Wl,-soname,libinferlay.so.{}.{}", part("MAJOR"), part("MINOR"));
    println!("cargo::rustc-link-arg=-Wl,-z,nodelete");
}

/// Writes the header to where a test compares it with the one in `include`.
#[cfg(feature = "header")]
fn header() {
    println!("cargo::rerun-if-changed=src/capi");
    println!("cargo::rerun-if-changed=cbindgen.toml");
    let (root, place) = (std::env::var_os("CARGO_MANIFEST_DIR"), std::env::var_os("OUT_DIR"));
    let (Some(root), Some(place)) = (root, place) else { panic!("cargo has set no folders") };
    let config = cbindgen::Config::from_root_or_default(&root);
    // The order of the header: what all use first, then the nouns in the order in which a program meets them.
    let files = [
        "types",
        "status",
        "text",
        "clock",
        "library",
        "options",
        "server",
        "model",
        "input",
        "output",
        "request",
        "parameter",
        "submission",
        "response",
        "tensor",
        "infer",
        "queue",
        "callback",
    ];
    let builder = cbindgen::Builder::new().with_config(config);
    let builder = files.iter().fold(builder, |builder, file| {
        builder.with_src(std::path::Path::new(&root).join(format!("src/capi/{file}.rs")))
    });
    match builder.generate() {
        Ok(header) => _ = header.write_to_file(std::path::Path::new(&place).join("inferlay.h")),
        Err(error) => panic!("cbindgen: {error}"),
    }
}
