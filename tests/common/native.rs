//! Builds backends in C and C++ from their own folders, against the committed header and nothing else of the checkout.
//!
//! With CMake where there is one (`INFERLAY_CMAKE`, empty for none, or `cmake` on the path), else by a compiler with the
//! same flags. What `CFLAGS`, `CXXFLAGS` and `LDFLAGS` say holds for both.

#![allow(dead_code, reason = "every test binary is a crate of its own and uses a part of it")]

use std::ffi::{OsStr, OsString};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

/// Where this checkout lies.
pub(crate) const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// A backend that has a folder, and how a compiler builds it without CMake.
pub(crate) struct Native {
    pub(crate) name: &'static str,
    /// From the root.
    pub(crate) folder: &'static str,
    pub(crate) source: &'static str,
    /// The variables of the compiler and of its flags, and the compiler when the first is not set.
    pub(crate) language: (&'static str, &'static str, &'static str),
    pub(crate) standard: &'static str,
    /// What it brings along, as its CMakeLists says too.
    pub(crate) brings: &'static [&'static str],
}

/// `examples/backend_c`.
pub(crate) const MOVING_AVERAGE: Native = Native {
    name: "moving_average",
    folder: "examples/backend_c",
    source: "moving_average.c",
    language: ("CC", "CFLAGS", "cc"),
    standard: "-std=c99",
    brings: &[],
};

/// `examples/backend_cpp`.
pub(crate) const UPPERCASE: Native = Native {
    name: "uppercase",
    folder: "examples/backend_cpp",
    source: "uppercase.cpp",
    language: ("CXX", "CXXFLAGS", "c++"),
    standard: "-std=c++17",
    brings: &["-static-libstdc++", "-static-libgcc"],
};

impl Native {
    /// A folder with the backend in it. Built once per program.
    pub(crate) fn built(&self) -> PathBuf {
        // Under the lock: several tests want the same one, and what is open must not be written.
        static BUILT: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());
        let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = scratch().join(self.name);
        if !built.contains(&folder) {
            match cmake() {
                Some(cmake) => self.build_with_cmake(&cmake, &folder),
                None => self.build_with_compiler(&folder),
            }
            built.push(folder.clone());
        }
        folder
    }

    fn sources(&self) -> PathBuf {
        Path::new(ROOT).join(self.folder)
    }

    fn build_with_cmake(&self, cmake: &OsStr, folder: &Path) {
        let include = format!("-DINFERLAY_INCLUDE_DIR={}", header_folder().display());
        run(Command::new(cmake)
            .args(["-DCMAKE_BUILD_TYPE=RelWithDebInfo", &include, "-S"])
            .arg(self.sources())
            .arg("-B")
            .arg(folder));
        run(Command::new(cmake).arg("--build").arg(folder));
    }

    fn build_with_compiler(&self, folder: &Path) {
        fs::create_dir_all(folder).unwrap();
        let (compiler, flags, otherwise) = self.language;
        let compiler = std::env::var_os(compiler).unwrap_or_else(|| otherwise.into());
        let exports = self.sources().join("exports.map");
        let mut command = Command::new(compiler);
        command.args([self.standard, "-D_POSIX_C_SOURCE=200809L", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]);
        command.args(["-O2", "-g", "-fPIC", "-shared", "-fvisibility=hidden", "-pthread"]);
        command.arg("-I").arg(header_folder()).args(words(flags)).args(self.brings);
        command.arg(self.sources().join(self.source)).arg("-o");
        command.arg(folder.join(format!("libinferlay_backend_{}.so", self.name)));
        run(command.arg(format!("-Wl,--version-script={}", exports.display())).args(words("LDFLAGS")));
    }
}

/// A folder with the header of the plugin ABI, and nothing else.
pub(crate) fn header_folder() -> PathBuf {
    let folder = scratch().join("include");
    fs::create_dir_all(&folder).unwrap();
    fs::copy(Path::new(ROOT).join("include/inferlay_backend.h"), folder.join("inferlay_backend.h")).unwrap();
    folder
}

/// A folder of this program's own, so that programs that run side by side do not overwrite each other's libraries.
pub(crate) fn scratch() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("native").join(own.file_stem().unwrap())
}

/// The C compiler.
pub(crate) fn cc() -> OsString {
    std::env::var_os("CC").unwrap_or_else(|| "cc".into())
}

/// The words of a variable, none if it is not set.
pub(crate) fn words(variable: &str) -> Vec<String> {
    let value = std::env::var(variable).unwrap_or_default();
    value.split_whitespace().map(str::to_owned).collect()
}

fn cmake() -> Option<OsString> {
    if let Some(given) = std::env::var_os("INFERLAY_CMAKE") {
        return Some(given).filter(|cmake| !cmake.is_empty());
    }
    let is_there = Command::new("cmake").arg("--version").output().is_ok_and(|told| told.status.success());
    is_there.then(|| "cmake".into())
}

/// Runs a command that must succeed.
#[track_caller]
pub(crate) fn run(command: &mut Command) {
    let told = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let (out, err) = (String::from_utf8_lossy(&told.stdout), String::from_utf8_lossy(&told.stderr));
    assert!(told.status.success(), "{command:?}:\n{out}\n{err}");
}
