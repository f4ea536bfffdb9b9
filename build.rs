//! Gives the C library its name and link flags. Builds without the feature `capi` run this file and nothing in it.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var_os("CARGO_FEATURE_CAPI").is_some() {
        link();
    }
}

/// A Rust library has no name of its own for the loader, and Rust code must stay where it is once it was loaded.
fn link() {
    let part = |name: &str| std::env::var(format!("CARGO_PKG_VERSION_{name}")).unwrap_or_default();
    // Not `rustc-link-arg-cdylib`: a cdylib is asked for on the command line only, which cargo does not count. In
    // programs, such as tests, the linker ignores the first of the two, and nobody unloads a program.
    println!("cargo::rustc-link-arg=-Wl,-soname,libinferlay.so.{}.{}", part("MAJOR"), part("MINOR"));
    println!("cargo::rustc-link-arg=-Wl,-z,nodelete");
}
