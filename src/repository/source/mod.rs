//! Repositories that lie elsewhere: listed and fetched through [`Source`], and served from a copy in a cache folder.
//!
//! ```text
//!   Source ──list──> Listing (names checked) ──> Cache: fetch what is new ──> replica, renamed into place ──> scan
//!   folder, object store, or the application's own
//! ```
//!
//! Invariants: 1. A name from a source is checked like a name in a request before anything is written under it. 2. A
//! replica that can be seen is whole: every file of one listing, each of the size that was listed. 3. A file that changes
//! between listing and fetching is never mixed with the one before: everything is listed anew.
//!
//! Runs on the thread that calls it, and blocks on the source and the file system.

mod cache;
mod folder;
mod listing;
#[cfg(feature = "object-store")]
mod object;
mod part;
#[cfg(test)]
mod tests;

pub(crate) use cache::{Cache, Replica};
pub use folder::FolderSource;
#[cfg(feature = "object-store")]
pub(crate) use object::ObjectSource;
#[cfg(feature = "object-store")]
pub use object::UrlOptions;

use inferlay_backend_sdk::Error;
use std::time::SystemTime;

/// Where a repository comes from: a folder, an object store, or whatever an application can list and read from.
///
/// # Examples
/// ```
/// use inferlay::{Error, Source, SourceFile};
/// /// One model, compiled into the program.
/// struct BuiltIn;
///
/// impl Source for BuiltIn {
///     fn name(&self) -> &str {
///         "built-in"
///     }
///     fn list(&self) -> Result<Vec<SourceFile>, Error> {
///         Ok(vec![SourceFile::new("echo/1/model.bin", 7)])
///     }
///     fn fetch(
///         &self,
///         _: &SourceFile,
///         offset: u64,
///         sink: &mut dyn FnMut(&[u8]) -> Result<(), Error>,
///     ) -> Result<(), Error> {
///         sink(&b"weights"[offset as usize..])
///     }
/// }
///
/// let mut content = Vec::new();
/// let file = &BuiltIn.list()?[0];
/// BuiltIn.fetch(file, 2, &mut |bytes| Ok(content.extend_from_slice(bytes)))?;
/// assert_eq!(content, b"ights");
/// # Ok::<(), Error>(())
/// ```
pub trait Source: Send + Sync {
    /// What it is called in messages and in the cache, such as `s3://bucket/models`; without passwords.
    ///
    /// # Examples
    /// ```
    /// use inferlay::{FolderSource, Source};
    /// assert_eq!(FolderSource::new("examples/models").name(), "examples/models");
    /// ```
    fn name(&self) -> &str;

    /// All files, in any order, named as they lie in a repository: `<model>/<version>/<file>`.
    ///
    /// # Errors
    /// `NOT_FOUND` when there is no such place, `UNAVAILABLE` when it does not answer.
    ///
    /// # Examples
    /// ```
    /// use inferlay::{FolderSource, Source};
    /// let files = FolderSource::new("examples/models").list()?;
    /// assert!(files.iter().any(|file| file.name == "digits/1/model.onnx" && file.size > 0));
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    fn list(&self) -> Result<Vec<SourceFile>, Error>;

    /// Hands the content of a file to `sink`, piece by piece and in order, from the byte `offset` on. An error of `sink`
    /// is to be returned as it is.
    ///
    /// # Errors
    /// `FAILED_PRECONDITION` when the file is not the one that was listed any more, or gone; `UNAVAILABLE` when the source
    /// does not answer or falls silent. What was handed over until then counts: fetching goes on from there.
    ///
    /// # Examples
    /// ```
    /// use inferlay::{FolderSource, Source};
    /// let source = FolderSource::new("examples/models");
    /// let files = source.list()?;
    /// let mut bytes = 0;
    /// source.fetch(&files[0], 0, &mut |piece| Ok(bytes += piece.len() as u64))?;
    /// assert_eq!(bytes, files[0].size);
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    fn fetch(
        &self,
        file: &SourceFile,
        offset: u64,
        sink: &mut dyn FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<(), Error>;
}

/// A file as a [`Source`] lists it. Two listings of the same file are of the same content when all fields are equal.
///
/// # Examples
/// ```
/// use inferlay::SourceFile;
/// let mut file = SourceFile::new("digits/1/model.onnx", 3456);
/// file.etag = Some("\"9f86d081\"".to_owned());
/// assert_eq!(file.size, 3456);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SourceFile {
    /// Its name from the root of the repository, with `/` between folders.
    pub name: String,
    /// How many bytes it has.
    pub size: u64,
    /// What changes with its content, in the source's own words.
    pub etag: Option<String>,
    /// When it was changed.
    pub modified: Option<SystemTime>,
}

impl SourceFile {
    /// A file of which the source knows no more than name and size.
    ///
    /// # Examples
    /// ```
    /// assert_eq!(inferlay::SourceFile::new("a/1/m", 0).etag, None);
    /// ```
    pub fn new(name: impl Into<String>, size: u64) -> Self {
        SourceFile { name: name.into(), size, etag: None, modified: None }
    }
}
