//! A file that is being fetched, and may have been begun by a process that is gone.
//!
//! ```text
//!   staging/data/<name>    the content so far
//!   staging/marks/<name>   which content it is, and how much of it is known to be on the disk
//! ```
//!
//! Invariant: what the mark counts was brought to the disk before the mark was written, so that a power cut leaves nothing
//! that is taken for content. What lies behind that is cut off and fetched again.

use super::super::disk::refused;
use super::super::name::Shown;
use super::SourceFile;
use super::listing::mark;
use inferlay_backend_sdk::{Error, ErrorKind};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// How many bytes are fetched between two marks: some seconds' worth.
const STEP_BYTES: u64 = 64 << 20;

pub(super) struct Part {
    data: PathBuf,
    marks: PathBuf,
    file: File,
    /// What the mark of this content begins with.
    mark: String,
    name: String,
    size: u64,
    len: u64,
    /// How much of it is marked.
    marked: u64,
}

impl Part {
    /// Goes on where an earlier one of the same content was left, or begins.
    pub(super) fn open(staging: &Path, wanted: &SourceFile) -> Result<Self, Error> {
        let (data, marks) = (staging.join("data").join(&wanted.name), staging.join("marks").join(&wanted.name));
        let told = |error: io::Error| refused(&data, &error);
        for path in [&data, &marks] {
            path.parent().map_or(Ok(()), fs::create_dir_all).map_err(told)?;
        }
        let mark = mark(wanted);
        let marked = fs::read_to_string(&marks).ok().and_then(|text| counted(&text, &mark)).unwrap_or(0);
        if marked == 0 {
            // One without a mark may be a link to a file of a replica, which must not be written to.
            let _ = fs::remove_file(&data);
        }
        let mut file = OpenOptions::new().create(true).truncate(false).write(true).open(&data).map_err(told)?;
        let marked = marked.min(file.metadata().map_err(told)?.len()).min(wanted.size);
        let cut = file.set_len(marked).and_then(|()| file.seek(SeekFrom::Start(marked)));
        cut.map_err(told)?;
        let (name, size, len) = (wanted.name.clone(), wanted.size, marked);
        Ok(Part { data, marks, file, mark, name, size, len, marked })
    }

    /// How many bytes there are.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Adds what comes next.
    ///
    /// # Errors
    /// `FAILED_PRECONDITION` for more than was listed: it is another file then. `UNAVAILABLE` when the disk is full.
    pub(super) fn add(&mut self, bytes: &[u8]) -> Result<(), Error> {
        let len = self.len + bytes.len() as u64;
        if len > self.size {
            let (name, size) = (Shown::text(&self.name), self.size);
            let message = format!("file {name}: found more than {size} bytes, expected as many as were listed");
            return Err(Error::new(ErrorKind::FailedPrecondition, message));
        }
        // Not what ends a fetch that may go on: the disk will not be larger.
        let failed = |error| Error::new(ErrorKind::ResourceExhausted, refused(&self.data, &error).message().to_owned());
        self.file.write_all(bytes).map_err(failed)?;
        self.len = len;
        if self.len - self.marked >= STEP_BYTES { self.save() } else { Ok(()) }
    }

    /// Brings what there is to the disk, and marks it.
    pub(super) fn save(&mut self) -> Result<(), Error> {
        let saved = self.file.sync_data().and_then(|()| {
            let draft = self.marks.with_added_extension("draft");
            fs::write(&draft, format!("{} {}", self.mark, self.len)).and_then(|()| fs::rename(draft, &self.marks))
        });
        saved.map_err(|error| refused(&self.marks, &error))?;
        self.marked = self.len;
        Ok(())
    }
}

/// How many bytes a mark counts, if it is of this content.
fn counted(text: &str, mark: &str) -> Option<u64> {
    text.strip_prefix(mark)?.strip_prefix(' ')?.parse().ok()
}
