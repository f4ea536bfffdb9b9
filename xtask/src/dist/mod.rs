//! Writes what a C or C++ program needs into one folder, which may be moved, and into an archive of it.
//!
//! ```text
//!   bin/inferlay                        the command-line program
//!   include/                            inferlay.h, inferlay.hpp, inferlay_backend.h
//!   lib/libinferlay.so.0.1.0            and its links, libinferlay.a
//!   lib/inferlay/backends/              a library for each backend, where the engine looks for them
//!   lib/pkgconfig/  lib/cmake/inferlay/
//!   share/doc/inferlay/                 licences, ours and those of what is linked in
//!   share/bash-completion/ zsh/ fish/   what completes the commands of the program
//! ```
//!
//! [`build`] makes the libraries, [`program`] the program, [`notices`] the licences, [`check`] proves all of it from outside. The wheel of the
//! Python package, which holds the same files, is laid beside the archive; see `wheel.rs`.

mod build;
pub(crate) mod check;
mod notices;
mod program;

use crate::House;
use crate::python;
use crate::step::Step;
use crate::wheel;
use std::fs;
use std::path::{Path, PathBuf};

/// The version of everything in the workspace.
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// What the library without backends is held to, in bytes; see [`check`]. It was to be 3 MB and is 3.7 since models come
/// and go, configs have three formats, and seals and metrics came.
const CORE_BYTES_MAX: u64 = 4_000_000;

/// The files of `cmake/` that become part of the tree, and where.
const TEMPLATES: &[(&str, &str)] = &[
    ("inferlay.pc", "lib/pkgconfig"),
    ("inferlay-static.pc", "lib/pkgconfig"),
    ("inferlay-config.cmake", "lib/cmake/inferlay"),
    ("inferlay-config-version.cmake", "lib/cmake/inferlay"),
];

/// The signature that tells backup programs, and our own tests, that a folder can be made again.
const CACHE_TAG: &str = "Signature: 8a477f597d28d172789f06886806bc55\n";

/// What was written.
pub(crate) struct Written {
    pub(crate) archive: PathBuf,
    /// Each library and its bytes.
    pub(crate) sizes: Vec<(String, u64)>,
}

/// The name by which `--without` leaves the wheel out, which needs Python and packages of its own.
const WHEEL: &str = "wheel";

/// The names that `--without` takes.
pub(crate) fn parts() -> Vec<&'static str> {
    let mut names = build::backends();
    names.extend([program::NAME, WHEEL]);
    names
}

/// `cargo xtask dist`: everything but the parts named. The sizes of all that was written.
pub(crate) fn write(house: &House, without: &[&str]) -> Result<Vec<(String, u64)>, String> {
    let place = house.root.join("dist");
    let has_wheel = !without.contains(&WHEEL);
    if has_wheel {
        // Told at once rather than after minutes of compiling.
        python::with_tools(house).map_err(|why| format!("{why}; `--without {WHEEL}` needs no Python"))?;
    }
    let mut sizes = write_to(house, &place, without)?.sizes;
    if has_wheel {
        let wheel = wheel::build(house, &place, &place)?;
        sizes.extend(size(&place, &wheel));
    }
    Ok(sizes)
}

/// Writes the tree to a place of its own, for the wheel that is tested.
pub(crate) fn tree(house: &House, place: &Path, without: &[&str]) -> Result<(), String> {
    write_to(house, place, without).map(drop)
}

fn write_to(house: &House, place: &Path, without: &[&str]) -> Result<Written, String> {
    let told = |error: std::io::Error| format!("{}: {error}", place.display());
    if place.exists() {
        fs::remove_dir_all(place).map_err(told)?;
    }
    fs::create_dir_all(place).map_err(told)?;
    fs::write(place.join("CACHEDIR.TAG"), CACHE_TAG).map_err(told)?;
    let mut made = build::libraries(house, place, without)?;
    if !without.contains(&program::NAME) {
        made.push(program::write(house, place)?);
    }
    for header in ["inferlay.h", "inferlay.hpp", "inferlay_backend.h"] {
        copy(&house.root.join("include").join(header), &place.join("include").join(header))?;
    }
    for (name, folder) in TEMPLATES {
        let template = read(&house.root.join(format!("cmake/{name}.in")))?;
        put(&place.join(folder).join(name), &filled(&template))?;
    }
    notices::write(house, &place.join("share/doc/inferlay"), without)?;
    let archive = archive(house, place)?;
    Ok(Written { sizes: made.iter().chain([&archive]).filter_map(|path| size(place, path)).collect(), archive })
}

/// A file's path from a folder, and its bytes.
fn size(place: &Path, path: &Path) -> Option<(String, u64)> {
    Some((path.strip_prefix(place).ok()?.display().to_string(), path.metadata().ok()?.len()))
}

/// A template with its places filled.
fn filled(template: &str) -> String {
    let mut numbers = VERSION.split('.');
    let (major, minor) = (numbers.next().unwrap_or("0"), numbers.next().unwrap_or("0"));
    let soversion = format!("{major}.{minor}");
    let places = [("@VERSION@", VERSION), ("@SOVERSION@", &soversion), ("@MAJOR@", major), ("@MINOR@", minor)];
    places.iter().fold(template.to_owned(), |text, (place, value)| text.replace(place, value))
}

/// Everything in one file, the same bytes for the same content.
fn archive(house: &House, place: &Path) -> Result<PathBuf, String> {
    let name = format!("inferlay-{VERSION}-linux-{}", std::env::consts::ARCH);
    let archive = place.join(format!("{name}.tar.gz"));
    Step::new(house, "tar")
        .args(["--create", "--gzip", "--sort=name", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner"])
        // Symbolic links keep what they point to.
        .args([format!("--transform=flags=rh;s,^,{name}/,")])
        .args(["--file".as_ref(), archive.as_os_str(), "--directory".as_ref(), place.as_os_str()])
        .args(["bin", "include", "lib", "share"].iter().filter(|folder| place.join(folder).is_dir()))
        .run()?;
    Ok(archive)
}

/// The sizes as lines of a table.
pub(crate) fn table(sizes: &[(String, u64)]) -> String {
    let line = |(name, bytes): &(String, u64)| format!("{:>9} kB  {name}\n", bytes.div_ceil(1000));
    sizes.iter().map(line).collect()
}

fn read(path: &Path) -> Result<String, String> {
    fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))
}

/// Writes a file, and the folders that lead to it.
fn put(path: &Path, text: &str) -> Result<(), String> {
    let folder = path.parent().unwrap_or(path);
    let written = fs::create_dir_all(folder).and_then(|()| fs::write(path, text));
    written.map_err(|error| format!("{}: {error}", path.display()))
}

/// Copies a file, and makes the folders that lead to it.
fn copy(from: &Path, to: &Path) -> Result<(), String> {
    let folder = to.parent().unwrap_or(to);
    let copied = fs::create_dir_all(folder).and_then(|()| fs::copy(from, to));
    copied.map(drop).map_err(|error| format!("{} to {}: {error}", from.display(), to.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_filled_whole() {
        let house = House::new(false);
        for (name, _) in TEMPLATES {
            let text = filled(&read(&house.root.join(format!("cmake/{name}.in"))).unwrap());
            assert!(text.contains(VERSION) && !text.contains('@'), "{text}");
        }
    }

    #[test]
    fn sizes_are_rounded_up() {
        assert_eq!(table(&[("a".into(), 1), ("b".into(), 2_000_001)]), "        1 kB  a\n     2001 kB  b\n");
    }
}
