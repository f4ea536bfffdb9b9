//! The files of one version of a sealed model.
//!
//! Invariant: no byte leaves [`SealedFiles`] whose sum was not compared after it was read.

use super::super::files::{FolderFiles, MemoryFiles};
use super::super::look::LOW_PRIORITY_LEN_MIN;
use super::super::name::{Shown, relative};
use super::digest::{Sum, Summing};
use super::manifest::{MANIFEST_NAME, Manifest, Sealed};
use super::refused;
use crate::sync::thread;
use inferlay_backend_sdk::{Error, ModelFiles};
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

/// All files of a model.
pub(super) enum Whole {
    Folder(FolderFiles),
    Memory(MemoryFiles),
}

impl Whole {
    fn files(&self) -> &dyn ModelFiles {
        match self {
            Whole::Folder(files) => files,
            Whole::Memory(files) => files,
        }
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.files().names()
    }

    /// Compares a file, however large, without holding it in memory.
    fn check(&self, name: &str, sealed: &Sealed) -> Result<(), Error> {
        let files = match self {
            Whole::Memory(files) => return sealed.check(name, &files.read(name)?),
            Whole::Folder(files) => files,
        };
        let mut file = files.reader(name)?;
        let failed = |error: io::Error| Error::unavailable(format!("file {}: {error}", Shown::text(name)));
        sealed.check_size(name, file.metadata().map_err(failed)?.len())?;
        let mut summing = Summing::new(sealed.algorithm);
        let size = io::copy(&mut file, &mut summing).map_err(failed)?;
        sealed.check_size(name, size)?;
        sealed.check_sum(name, summing.sum())
    }
}

impl Sealed {
    /// Compares a content that is at hand.
    pub(super) fn check(&self, name: &str, content: &[u8]) -> Result<(), Error> {
        self.check_size(name, content.len() as u64)?;
        self.check_sum(name, Summing::of(self.algorithm, content))
    }

    fn check_size(&self, name: &str, found: u64) -> Result<(), Error> {
        match self.size {
            Some(size) if size != found => {
                let name = Shown::text(name);
                Err(refused(format!("file {name}: found {found} bytes, expected {size} ({MANIFEST_NAME})")))
            }
            _ => Ok(()),
        }
    }

    fn check_sum(&self, name: &str, found: Sum) -> Result<(), Error> {
        let Sealed { algorithm, sum, .. } = self;
        if found == *sum {
            return Ok(());
        }
        let name = Shown::text(name);
        Err(refused(format!("file {name}: found {algorithm} {found}, expected {sum} ({MANIFEST_NAME})")))
    }
}

/// The files of one version of a sealed model.
pub(super) struct SealedFiles {
    pub(super) whole: Arc<Whole>,
    pub(super) manifest: Arc<Manifest>,
    /// What the names of its files begin with in the manifest: `3/`, or nothing in a folder without versions.
    pub(super) prefix: String,
    pub(super) names: Vec<String>,
    /// The model's files that belong to no version, but for the config.
    pub(super) loose: Vec<String>,
    /// The config, whose text was compared when it was read.
    pub(super) config: Option<String>,
    /// What is known to be wrong before a file was read.
    pub(super) flaw: Option<Error>,
}

impl SealedFiles {
    /// Compares every file with the manifest.
    ///
    /// # Errors
    /// `FAILED_PRECONDITION` for the first that is missing, is not listed, or is another.
    pub(super) fn check(&self) -> Result<(), Error> {
        if let Some(flaw) = &self.flaw {
            return Err(flaw.clone());
        }
        let is_large =
            self.manifest.files.values().any(|sealed| sealed.size.is_none_or(|size| size >= LOW_PRIORITY_LEN_MIN));
        match is_large {
            true => thread::at_low_priority("inferlay-sums", || self.check_here()),
            false => self.check_here(),
        }
    }

    fn check_here(&self) -> Result<(), Error> {
        let is_own = |name: &&String| name.starts_with(&self.prefix) && self.config.as_ref() != Some(name);
        let own = self.manifest.files.keys().filter(is_own);
        for name in own.chain(&self.loose) {
            self.whole.check(name, &self.manifest.files[name])?;
        }
        Ok(())
    }

    fn sealed(&self, name: &str) -> Result<(String, &Sealed), Error> {
        let name = format!("{}{}", self.prefix, relative(name)?);
        let shown = Shown::text(&name);
        let missing = || Error::not_found(format!("file {shown}: found no such file in {MANIFEST_NAME}"));
        let sealed = self.manifest.files.get(&name).ok_or_else(missing)?;
        Ok((name, sealed))
    }
}

impl ModelFiles for SealedFiles {
    fn names(&self) -> Vec<String> {
        self.names.clone()
    }

    fn read(&self, name: &str) -> Result<Vec<u8>, Error> {
        let (name, sealed) = self.sealed(name)?;
        let content = self.whole.files().read(&name)?;
        sealed.check(&name, &content).map(|()| content)
    }

    /// Never a path: who opened it might find something else than what was compared.
    fn path(&self, name: &str) -> Result<Option<PathBuf>, Error> {
        let (name, _) = self.sealed(name)?;
        self.whole.files().path(&name).map(|_| None)
    }
}
