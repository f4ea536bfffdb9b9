//! Questions to the operating system: two to the dynamic linker, one to the clock.

use std::ffi::{CStr, CString, OsStr, c_char, c_void};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The folder of the library or program that holds this code.
pub(crate) fn folder_of_this_library() -> Option<PathBuf> {
    let here = folder_of_this_library as *const c_void;
    let mut found = libc::Dl_info {
        dli_fname: std::ptr::null(),
        dli_fbase: std::ptr::null_mut(),
        dli_sname: std::ptr::null(),
        dli_saddr: std::ptr::null_mut(),
    };
    // SAFETY: `here` is an address in a loaded object and `found` is ours to write.
    let told = unsafe { libc::dladdr(here, &raw mut found) };
    if told == 0 || found.dli_fname.is_null() {
        return None;
    }
    // SAFETY: the linker's name of an object that is never unloaded: it is the one that runs.
    let name = unsafe { CStr::from_ptr(found.dli_fname) };
    let path = Path::new(OsStr::from_bytes(name.to_bytes())).canonicalize().ok()?;
    path.parent().map(Path::to_owned)
}

/// The version of the runtime that was loaded from `library`, such as `1.31.1`.
pub(crate) fn loaded_version(library: &Path) -> Option<String> {
    let name = CString::new(library.as_os_str().as_bytes()).ok()?;
    // SAFETY: a text that ends with a zero; with NOLOAD nothing is loaded, so no code of the library runs.
    let handle = unsafe { libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_NOLOAD) };
    if handle.is_null() {
        return None;
    }
    // SAFETY: a live handle, which is not closed: the library is never unloaded anyway.
    let symbol = unsafe { libc::dlsym(handle, c"OrtGetApiBase".as_ptr()) };
    if symbol.is_null() {
        return None;
    }
    type ApiBase = unsafe extern "C" fn() -> *const ort::sys::OrtApiBase;
    // SAFETY: every release of the runtime exports this symbol with this type.
    let api_base = unsafe { std::mem::transmute::<*mut c_void, ApiBase>(symbol) };
    // SAFETY: it takes nothing and returns a constant.
    let base = unsafe { api_base() };
    // SAFETY: the constant lives as long as the library, which is never unloaded.
    let base = unsafe { base.as_ref() }?;
    // SAFETY: it takes nothing and returns a constant text.
    let version: *const c_char = unsafe { (base.GetVersionString)() };
    // SAFETY: the text ends with a zero and lives as long as the library.
    Some(unsafe { CStr::from_ptr(version) }.to_string_lossy().into_owned())
}

/// The time of the monotonic clock, by which deadlines are given, in nanoseconds.
pub(crate) fn monotonic_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is ours to write; this clock is always there.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &raw mut time) };
    time.tv_sec.cast_unsigned() * 1_000_000_000 + time.tv_nsec.cast_unsigned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_library_is_where_the_test_runs() {
        let program = std::env::current_exe().unwrap().canonicalize().unwrap();
        assert_eq!(folder_of_this_library().as_deref(), program.parent());
    }

    #[test]
    fn what_was_not_loaded_has_no_version() {
        assert_eq!(loaded_version(Path::new("/nowhere/libonnxruntime.so")), None);
    }
}
