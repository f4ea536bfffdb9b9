//! Temporary folders for the tests of this room; each is removed when it is dropped.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

pub(super) struct TempFolder {
    path: PathBuf,
}

impl TempFolder {
    /// A folder with these files in it, each holding its own name.
    pub(super) fn with(files: &[&str]) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let unique = format!("inferlay-repository-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let path = fs::canonicalize(std::env::temp_dir()).unwrap().join(unique);
        fs::create_dir(&path).unwrap();
        let folder = TempFolder { path };
        for file in files {
            folder.write(file, file.as_bytes());
        }
        folder
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    pub(super) fn write(&self, name: &str, content: &[u8]) {
        let path = self.path.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    pub(super) fn folder(&self, name: &str) {
        fs::create_dir_all(self.path.join(name)).unwrap();
    }

    /// A symlink at `name` that leads to `target`, relative to where the link lies.
    #[cfg(unix)]
    pub(super) fn link(&self, name: &str, target: impl AsRef<Path>) {
        let path = self.path.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(target, path).unwrap();
    }
}

/// Returns when the clock of the file system has moved on: what is written from now on has another time than what was
/// written before. That clock stands still for some milliseconds at a time.
pub(super) fn tick() {
    let folder = TempFolder::with(&["tick"]);
    let time = || {
        folder.write("tick", b"");
        fs::metadata(folder.join("tick")).unwrap().modified().unwrap()
    };
    let before = time();
    while time() == before {}
}

impl Drop for TempFolder {
    fn drop(&mut self) {
        // A folder that cannot be removed is no reason to fail a test that has passed.
        let _ = fs::remove_dir_all(&self.path);
    }
}
