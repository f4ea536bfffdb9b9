//! The libraries: built by cargo, stripped, put where the engine and the linker look for them.
//!
//! The engine is built without tract, so that it is small; tract is a plugin like any other backend.

use super::{VERSION, copy, filled};
use crate::House;
use crate::step::Step;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// A crate that becomes libraries.
pub(super) struct Part {
    /// The name by which `--without` leaves it out; the engine has none.
    pub(super) backend: Option<&'static str>,
    /// What cargo selects: the package and its features.
    pub(super) selection: &'static str,
    profile: &'static str,
    crate_types: &'static str,
}

/// Whatever is built, the engine first.
const PARTS: &[Part] = &[
    Part {
        backend: None,
        selection: "-p inferlay --no-default-features --features capi,integrity",
        profile: "dist",
        crate_types: "cdylib,staticlib",
    },
    Part {
        backend: Some("null"),
        selection: "-p inferlay-backend-null --features plugin",
        profile: "dist",
        crate_types: "cdylib",
    },
    Part {
        backend: Some("onnxruntime"),
        selection: "-p inferlay-backend-onnxruntime --features plugin",
        profile: "dist",
        crate_types: "cdylib",
    },
    // Linking all of tract as one unit would take far longer than compiling it, which the examples have perhaps done.
    Part {
        backend: Some("tract"),
        selection: "-p inferlay-backend-tract --features plugin",
        profile: "release",
        crate_types: "cdylib",
    },
];

/// The backends that may be left out.
pub(super) fn backends() -> Vec<&'static str> {
    PARTS.iter().filter_map(|part| part.backend).collect()
}

/// The parts that are not left out.
pub(super) fn parts<'a>(without: &'a [&str]) -> impl Iterator<Item = &'static Part> + 'a {
    PARTS.iter().filter(|part| part.backend.is_none_or(|name| !without.contains(&name)))
}

/// Builds every library and puts it into the tree: their paths.
pub(super) fn libraries(house: &House, place: &Path, without: &[&str]) -> Result<Vec<PathBuf>, String> {
    let mut made = Vec::new();
    for part in parts(without) {
        let words =
            format!("rustc --profile {} --lib {} --crate-type {}", part.profile, part.selection, part.crate_types);
        Step::cargo(house, &words).run()?;
        let built = house.target.join(part.profile);
        match part.backend {
            None => made.extend(engine(house, &built, &place.join("lib"))?),
            Some(backend) => {
                let name = format!("libinferlay_backend_{backend}.so");
                let library = place.join("lib/inferlay/backends").join(&name);
                copy(&built.join(&name), &library)?;
                strip(house, "--strip-unneeded", &library)?;
                made.push(library);
            }
        }
    }
    Ok(made)
}

/// The two forms of the engine, and the names by which the loader and the linker know the shared one.
fn engine(house: &House, built: &Path, folder: &Path) -> Result<[PathBuf; 2], String> {
    let real_name = format!("libinferlay.so.{VERSION}");
    let (shared, archive) = (folder.join(&real_name), folder.join("libinferlay.a"));
    copy(&built.join("libinferlay.so"), &shared)?;
    strip(house, "--strip-unneeded", &shared)?;
    isolate(house, &built.join("libinferlay.a"), &archive)?;
    let soname = filled("libinferlay.so.@SOVERSION@");
    for (link, target) in [(soname.as_str(), real_name.as_str()), ("libinferlay.so", soname.as_str())] {
        let link = folder.join(link);
        symlink(target, &link).map_err(|error| format!("{}: {error}", link.display()))?;
    }
    Ok([shared, archive])
}

/// Makes the static library one object that shows `inferlay_*` and nothing else, as the shared one does. As cargo makes
/// it, it shows parts of Rust's runtime too, and does not link into a program that holds another library written in Rust.
fn isolate(house: &House, built: &Path, archive: &Path) -> Result<(), String> {
    let (whole, object) = (built.with_extension("whole.o"), built.with_file_name("inferlay.o"));
    let _absent = fs::remove_file(archive);
    // Groups are resolved here: what another library has of the same name must not stand in for ours.
    let tied = ["-r", "--force-group-allocation", "--whole-archive", "-o"];
    Step::new(house, "ld").args(tied).args([whole.as_path(), built]).run()?;
    // The bitcode is for Rust's own linking, and confuses tools with another version of LLVM.
    let shown = ["--strip-debug", "--remove-section=.llvmbc", "--remove-section=.llvmcmd"];
    let only = ["--wildcard", "--keep-global-symbol=inferlay_*"];
    Step::new(house, "objcopy").args(shown).args(only).args([&whole, &object]).run()?;
    Step::new(house, "ar").args(["rcsD".as_ref(), archive.as_os_str(), object.as_os_str()]).run()
}

fn strip(house: &House, how_much: &str, library: &Path) -> Result<(), String> {
    Step::new(house, "strip").args([how_much.as_ref(), library.as_os_str()]).run()?;
    // What cargo builds is executable, an archive is not a program.
    let mode = fs::metadata(library).map(|file| file.permissions());
    let set = mode.and_then(|mut mode| {
        std::os::unix::fs::PermissionsExt::set_mode(&mut mode, 0o644);
        fs::set_permissions(library, mode)
    });
    set.map_err(|error| format!("{}: {error}", library.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_out_is_not_built() {
        let built = |without: &[&str]| parts(without).map(|part| part.backend).collect::<Vec<_>>();
        assert_eq!(built(&[]).len(), PARTS.len());
        assert_eq!(built(&["tract", "null"]), [None, Some("onnxruntime")]);
    }

    #[test]
    fn the_engine_is_built_without_tract() {
        let engine = &PARTS[0];
        assert!(engine.backend.is_none() && engine.selection.contains("--no-default-features"));
        assert!(!engine.selection.contains("tract"));
    }
}
