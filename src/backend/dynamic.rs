//! Backends in shared libraries: found in the backend directories, loaded once, never unloaded. The only file that names
//! libloading.
//!
//! ```text
//!   name -> libinferlay_backend_<name>.so in a directory -> dlopen -> inferlay_backend_<name>(host) -> table -> backend
//! ```
//!
//! Invariants: 1. a name is letters, digits and underscores, so that it never leads out of a directory; 2. a model's folder
//! is never searched; 3. a library that was opened stays open, as its memory, functions and thread-locals may outlive
//! every object of it. Runs on the threads that load models; one opens at a time.

use super::plugin::{HOST, Origin, Surroundings, TrustedTable};
use crate::sync::Mutex;
use inferlay_backend_sdk::abi::inferlay_abi_entry_fn;
use inferlay_backend_sdk::{Backend, Error};
use libloading::os::unix::{Library, RTLD_LOCAL, RTLD_NOW};
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{CStr, OsStr, c_void};
use std::mem::ManuallyDrop;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where backends are looked for when no directory was given: beside the image that holds the engine.
const BESIDE: &str = "inferlay/backends";

/// What the file of a backend begins with.
const PREFIX: &str = "libinferlay_backend_";

/// The longest name: with what is put round it, it is still a file name everywhere.
const NAME_LEN_MAX: usize = 64;

/// Where a server looks for backends, and those that it has found.
#[derive(Default)]
pub(crate) struct Directories {
    given: Vec<PathBuf>,
    found: Mutex<BTreeMap<String, Arc<dyn Backend>>>,
    /// Held while one is opened, which takes its time; `found` is held for a moment only.
    opening: Mutex<()>,
}

impl Directories {
    /// Looks there too, after those before.
    pub(crate) fn add(&mut self, directory: PathBuf) {
        self.given.push(directory);
    }

    /// The backend of this name, begun for the server; `None` when there is no such file.
    ///
    /// # Errors
    /// `INVALID_ARG` for what is no name; what is wrong with the file, which is named.
    pub(crate) fn find(&self, name: &str, surroundings: &Surroundings) -> Result<Option<Arc<dyn Backend>>, Error> {
        check_name(name)?;
        let _one_at_a_time = self.opening.lock();
        let known = self.found.lock().get(name).cloned();
        if known.is_some() {
            return Ok(known);
        }
        let file_name = file_name(name);
        let files = self.searched().into_iter().map(|directory| directory.join(&file_name));
        let Some(file) = files.into_iter().find(|file| file.is_file()) else { return Ok(None) };
        let backend = open(&file, name, surroundings.clone())?;
        self.found.lock().insert(name.to_owned(), backend.clone());
        Ok(Some(backend))
    }

    /// The names of all backends in the directories, sorted. None of them is opened.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names = BTreeSet::new();
        for entry in self.searched().iter().filter_map(|directory| directory.read_dir().ok()).flatten().flatten() {
            let file = entry.file_name();
            let name = file.to_str().and_then(|file| file.strip_prefix(PREFIX)?.strip_suffix(".so"));
            names.extend(name.filter(|name| check_name(name).is_ok()).map(str::to_owned));
        }
        names.into_iter().collect()
    }

    /// Those that were found so far, by name. Does not wait for one that is being opened.
    pub(crate) fn found(&self) -> Vec<Arc<dyn Backend>> {
        self.found.lock().values().cloned().collect()
    }

    /// What is said when there is no such backend: the file and the directories that were searched.
    pub(crate) fn missing(&self, name: &str) -> String {
        let searched: Vec<_> = self.searched().iter().map(|directory| directory.display().to_string()).collect();
        format!("found no '{}' in: {}", file_name(name), searched.join(", "))
    }

    /// The directories, as absolute paths: the loader would look for a bare file name elsewhere.
    fn searched(&self) -> Vec<PathBuf> {
        let own = if self.given.is_empty() { beside_the_engine().into_iter().collect() } else { self.given.clone() };
        own.into_iter().filter_map(|directory| std::path::absolute(directory).ok()).collect()
    }
}

fn file_name(name: &str) -> String {
    format!("{PREFIX}{name}.so")
}

/// Refuses a name that could not be part of a symbol, and one that could lead elsewhere.
fn check_name(name: &str) -> Result<(), Error> {
    let is_plain = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if is_plain && !name.is_empty() && name.len() <= NAME_LEN_MAX {
        return Ok(());
    }
    let name = name.escape_debug();
    Err(Error::invalid_arg(format!("backend '{name}': expected up to {NAME_LEN_MAX} letters, digits and underscores")))
}

fn open(file: &Path, name: &str, surroundings: Surroundings) -> Result<Arc<dyn Backend>, Error> {
    let place = format!("'{}'", file.display());
    // SAFETY: who put the file into a backend directory answers for what it runs when it is opened.
    let library = unsafe { Library::open(Some(file.as_os_str()), RTLD_NOW | RTLD_LOCAL) };
    // Never unloaded, also not when it is refused: its code may have left threads behind.
    let library =
        ManuallyDrop::new(library.map_err(|error| Error::unavailable(format!("{place}: {}", reason(&error))))?);
    let symbol = format!("inferlay_backend_{name}");
    // SAFETY: the ABI says that a symbol of this name is of this type, for every major.
    let entry = unsafe { library.get::<inferlay_abi_entry_fn>(symbol.as_bytes()) };
    let entry = *entry.map_err(|_| Error::unsupported(format!("{place}: found no symbol '{symbol}'")))?;
    // SAFETY: as above.
    let table = unsafe { entry(&raw const HOST) };
    // SAFETY: the ABI says that what the symbol returns is null or a table, for as long as the process runs.
    let table = unsafe { TrustedTable::new(table) };
    table.begin(Some(Origin { file, name }), surroundings)
}

/// What the loader says, which is the source of the error: the error itself says only that it failed.
fn reason(error: &libloading::Error) -> String {
    use std::error::Error as _;
    error.source().map_or_else(|| error.to_string(), |source| source.to_string())
}

/// The directory beside the executable or shared library that this code is in.
fn beside_the_engine() -> Option<PathBuf> {
    let own: fn() -> Option<PathBuf> = beside_the_engine;
    let address = own as *const c_void;
    // The loader knows a library that was named by a relative path, and an executable, only by how they were called, which
    // says little once the directory has changed; the system knows where they lie.
    let mapped = || image_at(&std::fs::read("/proc/self/maps").ok()?, address as usize);
    let named = named_by_the_loader(address).filter(|path| path.is_absolute());
    let file = named.or_else(mapped).or_else(|| std::env::current_exe().ok())?;
    Some(file.parent()?.join(BESIDE))
}

/// The file of the image that an address is in, as the loader was told it.
fn named_by_the_loader(address: *const c_void) -> Option<PathBuf> {
    let mut image = libc::Dl_info {
        dli_fname: std::ptr::null(),
        dli_fbase: std::ptr::null_mut(),
        dli_sname: std::ptr::null(),
        dli_saddr: std::ptr::null_mut(),
    };
    // SAFETY: any address may be asked for, and `image` is writable.
    let is_found = unsafe { libc::dladdr(address, &raw mut image) } != 0;
    if !is_found || image.dli_fname.is_null() {
        return None;
    }
    // SAFETY: the loader's own string, which stays as long as the image that this code is in.
    let name = unsafe { CStr::from_ptr(image.dli_fname) };
    Some(PathBuf::from(OsStr::from_bytes(name.to_bytes())))
}

/// The file that is mapped at an address, by `/proc/self/maps`: of each mapping a line
/// `start-end rights offset device inode   path`. None for memory of no file, and for a file that was removed.
fn image_at(maps: &[u8], address: usize) -> Option<PathBuf> {
    let line = maps.split(|byte| *byte == b'\n').find(|line| holds(line, address).unwrap_or(false))?;
    // Nothing before the path has a '/'; the path itself may hold spaces.
    let path = &line[line.iter().position(|byte| *byte == b'/')?..];
    (!path.ends_with(b" (deleted)")).then(|| PathBuf::from(OsStr::from_bytes(path)))
}

/// Whether the mapping of this line holds an address.
fn holds(line: &[u8], address: usize) -> Option<bool> {
    let range = line.split(|byte| *byte == b' ').next()?;
    let (start, end) = str::from_utf8(range).ok()?.split_once('-')?;
    let bound = |text| usize::from_str_radix(text, 16).ok();
    Some((bound(start)?..bound(end)?).contains(&address))
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for name in ["", "..", "../null", "a/b", "a\0b", "a.b", "né", &"a".repeat(65)] {
            let error = check_name(name).unwrap_err();
            assert!(error.message().contains("letters, digits and underscores"), "{error}");
        }
        assert!(check_name("onnx_runtime2").is_ok());
    }

    #[test]
    fn directories_name_the_backends_in_them() {
        let folder = std::env::temp_dir().join(format!("inferlay-names-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        for file in ["b.so", "a.so", "a.txt", "a.b.so", ".so"] {
            std::fs::write(folder.join(format!("{PREFIX}{file}")), "").unwrap();
        }
        let mut directories = Directories::default();
        directories.add(folder.clone());
        directories.add(folder.join("missing"));
        assert_eq!(directories.names(), ["a", "b"]);
        std::fs::remove_dir_all(folder).unwrap();
    }

    #[test]
    fn a_library_that_cannot_be_opened_is_refused_with_the_reason_of_the_loader() {
        let own = std::env::current_exe().unwrap().with_file_name("no such file");
        // SAFETY: nothing is opened.
        let error = unsafe { Library::open(Some(&own), RTLD_NOW) }.map(drop).unwrap_err();
        assert!(reason(&error).contains("No such file or directory"), "{}", reason(&error));
    }

    #[test]
    fn the_file_that_an_address_is_in_is_read_from_the_mappings() {
        let maps = b"559f0000-559f8000 r--p 00000000 fe:01 131 /usr/bin/program\n\
            559f8000-559fa000 rw-p 00000000 00:00 0 \n\
            55a00000-55a21000 rw-p 00000000 00:00 0                          [heap]\n\
            7f100000-7f180000 r-xp 00002000 fe:01 132                        /opt/my app/lib inferlay.so\n\
            7f180000-7f190000 r--p 00002000 fe:01 133                        /opt/libold.so (deleted)\n\
            7f190000-7f1a0000 r--p 00002000 fe:01 134                        /opt/lib\xff.so\n\
            no mapping\n";
        let rows: [(usize, Option<&[u8]>); 9] = [
            (0x559f_0000, Some(b"/usr/bin/program")),
            (0x559f_7fff, Some(b"/usr/bin/program")),
            (0x559f_8000, None),
            (0x55a0_0000, None),
            (0x7f0f_ffff, None),
            (0x7f10_0001, Some(b"/opt/my app/lib inferlay.so")),
            (0x7f18_0000, None),
            (0x7f19_0000, Some(b"/opt/lib\xff.so")),
            (0x7f1a_0000, None),
        ];
        for (address, expected) in rows {
            let found = image_at(maps, address);
            assert_eq!(found.as_deref(), expected.map(|path| Path::new(OsStr::from_bytes(path))), "{address:#x}");
        }
    }

    #[test]
    fn the_mappings_know_the_program_that_runs() {
        let own: fn(&str) -> Result<(), Error> = check_name;
        let maps = std::fs::read("/proc/self/maps").unwrap();
        assert_eq!(image_at(&maps, own as usize), std::env::current_exe().ok());
    }

    #[test]
    fn without_a_directory_the_one_beside_the_image_is_searched() {
        let searched = Directories::default().searched();
        let own = std::env::current_exe().unwrap();
        assert_eq!(searched, [own.parent().unwrap().join("inferlay/backends")]);
    }
}
