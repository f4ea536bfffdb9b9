//! The source that is built in: a folder, such as one on a network drive that is not always there.

use super::super::disk::{self, Bounds};
use super::super::files::FolderFiles;
use super::super::name::Shown;
use super::{Source, SourceFile};
use inferlay_backend_sdk::{Error, ErrorKind, ModelFiles};
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;

/// A folder as a [`Source`]: of a network drive, say, whose models are to be served from a copy.
///
/// # Examples
/// ```
/// use inferlay::{FolderSource, Source};
/// assert!(!FolderSource::new("examples/models").list()?.is_empty());
/// assert!(FolderSource::new("no/such/folder").list().is_err());
/// # Ok::<(), inferlay::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct FolderSource {
    folder: PathBuf,
    name: String,
}

impl FolderSource {
    /// The folder at this path.
    ///
    /// # Examples
    /// ```
    /// let source = inferlay::FolderSource::new("/mnt/models");
    /// ```
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        let folder = folder.into();
        let name = folder.display().to_string();
        FolderSource { folder, name }
    }

    fn open(&self, name: &str) -> Result<(File, SourceFile), Error> {
        let file = Bounds::of_folder(&self.folder)?.open(&self.folder.join(name))?;
        let metadata = file.metadata().map_err(|error| disk::refused(&self.folder.join(name), &error))?;
        let (size, modified) = (metadata.len(), metadata.modified().ok());
        Ok((file, SourceFile { name: name.to_owned(), size, etag: None, modified }))
    }
}

impl Source for FolderSource {
    fn name(&self) -> &str {
        &self.name
    }

    fn list(&self) -> Result<Vec<SourceFile>, Error> {
        let files = FolderFiles::open_within(&self.folder, Bounds::of_folder(&self.folder)?)?;
        files.names().iter().map(|name| self.open(name).map(|(_, file)| file)).collect()
    }

    fn fetch(
        &self,
        file: &SourceFile,
        offset: u64,
        sink: &mut dyn FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let shown = Shown::text(&file.name);
        let changed = |why: &str| Error::new(ErrorKind::FailedPrecondition, format!("file {shown}: {why} meanwhile"));
        let failed = |error: io::Error| Error::unavailable(format!("file {shown}: {error}"));
        let (mut content, _) = match self.open(&file.name) {
            Ok((content, found)) if found == *file => (content, found),
            Ok(_) => return Err(changed("found another one")),
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(changed("found none")),
            Err(error) => return Err(error),
        };
        content.seek(SeekFrom::Start(offset)).map_err(failed)?;
        let mut piece = vec![0; 1 << 16];
        loop {
            match content.read(&mut piece).map_err(failed)? {
                0 => return Ok(()),
                len => sink(&piece[..len])?,
            }
        }
    }
}
