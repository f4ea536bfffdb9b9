//! The files of a model in memory.

use crate::{Error, ModelFiles};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Files that lie in memory only.
///
/// # Examples
/// ```
/// use inferlay_backend_sdk::{ModelFiles, conformance::MemoryFiles};
/// let mut files = MemoryFiles::default();
/// files.insert("weights/a.bin", vec![1, 2]);
/// assert_eq!(files.read("weights/a.bin").unwrap(), [1, 2]);
/// assert!(files.read("../a.bin").is_err());
/// ```
#[derive(Clone, Debug, Default)]
pub struct MemoryFiles(BTreeMap<String, Vec<u8>>);

impl MemoryFiles {
    /// Adds a file, or replaces the one of this name.
    ///
    /// # Examples
    /// ```
    /// use inferlay_backend_sdk::{ModelFiles, conformance::MemoryFiles};
    /// let mut files = MemoryFiles::default();
    /// files.insert("model.bin", vec![1]);
    /// files.insert("model.bin", vec![1, 2]);
    /// assert_eq!(files.read("model.bin").unwrap(), [1, 2]);
    /// ```
    pub fn insert(&mut self, name: &str, content: Vec<u8>) {
        self.0.insert(name.to_owned(), content);
    }
}

impl ModelFiles for MemoryFiles {
    fn names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }

    fn read(&self, name: &str) -> Result<Vec<u8>, Error> {
        let content = self.0.get(name).cloned();
        content.ok_or_else(|| Error::not_found(format!("file '{name}': not among {:?}", self.names())))
    }

    fn path(&self, name: &str) -> Result<Option<PathBuf>, Error> {
        self.read(name).map(|_| None)
    }
}
