//! Sealed models: what a manifest lists is loaded, byte for byte, and nothing else.
//!
//! ```text
//!   scan ──> open: manifest, its signatures; config and list of files compared ──> Sealing, SealedFiles
//!   load ──> Trust::admit: who signed; each file's size and sum ──> backend ──> SealedFiles::read: the sum once more
//!   seal ──> every file summed ──> manifest, signature
//! ```
//!
//! A manifest covers the folder of a model: config, versions and what lies beside them, but for hidden files. What is
//! wrong with the files of one version fails that version; what is wrong with the others fails the model.
//!
//! Invariants: 1. A backend gets the files of a sealed model as bytes whose sum was taken after they were read, never as
//! paths: what was checked is what is loaded, whoever writes into the folder meanwhile. 2. The same holds for the config:
//! the sum is that of the text which is parsed. 3. A file that the manifest does not list is neither listed nor read.
//! 4. A manifest does not say how its model is called, nor that it is the newest: who can write into a repository can put
//! one signed model in the place of another, or an older one in its place.

mod digest;
mod files;
mod manifest;
mod signature;
#[cfg(test)]
mod tests;
mod trust;
mod write;

pub use digest::Algorithm;
pub(crate) use manifest::MANIFEST_NAME;
pub(crate) use signature::SIGNATURE_NAME;
pub use signature::{PublicKey, SigningKey};
pub(crate) use trust::Trust;
pub use write::{SealReport, seal};

use super::disk::Bounds;
use super::files::{FolderFiles, MemoryFiles};
use super::name::Shown;
use super::{ConfigText, Versions};
use files::{SealedFiles, Whole};
use inferlay_backend_sdk::{Error, ErrorKind, ModelFiles};
use manifest::{MANIFEST_BYTES_MAX, Manifest};
use signature::SIGNATURE_BYTES_MAX;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

/// Files that are about a model instead of part of it.
pub(crate) const NAMES: [&str; 2] = [MANIFEST_NAME, SIGNATURE_NAME];

/// Whether what is found of a model is sealed.
pub(crate) enum Sealing {
    /// The application itself brought the model, which it may trust.
    Own,
    /// It lies in files without a manifest.
    Missing,
    Sealed(Seal),
}

/// The seal of a model.
pub(crate) struct Seal {
    /// The manifest, byte for byte as it was signed.
    text: Vec<u8>,
    /// The file with the signatures, if there is one.
    signatures: Option<String>,
    /// The files of each version, to be checked before they are loaded.
    versions: BTreeMap<u64, Arc<SealedFiles>>,
    /// All files of the model, to be read by name.
    beside: Arc<SealedFiles>,
}

impl Sealing {
    /// What lies beside the versions of a sealed model, to be read by name: what is read is what was sealed.
    pub(super) fn beside(&self) -> Option<Arc<dyn ModelFiles>> {
        match self {
            Sealing::Sealed(seal) => Some(seal.beside.clone()),
            Sealing::Own | Sealing::Missing => None,
        }
    }

    /// Whether each file is compared with the manifest whenever it is read.
    pub(crate) fn is_checked(&self) -> bool {
        matches!(self, Sealing::Sealed(_))
    }
}

/// The folder of a model that may be sealed.
pub(super) struct Folder<'a> {
    /// Without symlinks.
    pub(super) root: &'a Path,
    pub(super) bounds: &'a Bounds,
    /// The name of a file that says when a model is ready; it is no file of the model, and not in its manifest.
    pub(super) marker: Option<&'a str>,
}

/// The files that are there of a sealed model, but for the marker.
struct There<'a> {
    whole: Whole,
    marker: Option<&'a str>,
}

/// What is there of a model while its seal is opened.
struct Opening<'a> {
    whole: Arc<Whole>,
    manifest: Arc<Manifest>,
    marker: Option<&'a str>,
    config: Option<&'a ConfigText>,
    /// What the names of each version's files begin with: `3/`, or nothing in a folder without versions.
    prefixes: &'a BTreeMap<u64, String>,
}

/// Opens the seal of the folder at `root`, if it has one: compares what is there with what should be, but for the
/// contents of files, and puts the sealed files of each version in the place of its files.
///
/// # Errors
/// For a manifest that cannot be read, and for files and a config that are not those of the manifest.
pub(super) fn in_folder(
    folder: &Folder<'_>,
    config: Option<&ConfigText>,
    prefixes: &BTreeMap<u64, String>,
    versions: &mut Versions,
) -> Result<Sealing, Error> {
    let Folder { root, bounds, marker } = *folder;
    if root.join(MANIFEST_NAME).symlink_metadata().is_err() {
        return Ok(Sealing::Missing);
    }
    let text = bounds.read_short(&root.join(MANIFEST_NAME), MANIFEST_BYTES_MAX, "a manifest")?;
    let signatures = match root.join(SIGNATURE_NAME).symlink_metadata() {
        Ok(_) => Some(bounds.read_short(&root.join(SIGNATURE_NAME), SIGNATURE_BYTES_MAX, "signatures")?),
        Err(_) => None,
    };
    let files = FolderFiles::open_within(root, bounds.clone())?;
    if let Some(unlisted) = files.unlisted().first() {
        return Err(refused(unlisted.clone()));
    }
    let there = There { whole: Whole::Folder(files), marker };
    open((text, signatures), there, config, prefixes, versions).map(Sealing::Sealed)
}

/// Opens the seal among files in memory.
///
/// # Errors
/// As for [`in_folder`].
pub(super) fn in_memory(
    files: &MemoryFiles,
    config: Option<&ConfigText>,
    prefixes: &BTreeMap<u64, String>,
    versions: &mut Versions,
) -> Result<Sealing, Error> {
    let (text, signatures) = (files.read(MANIFEST_NAME)?, files.read(SIGNATURE_NAME).ok());
    let there = There { whole: Whole::Memory(files.clone()), marker: None };
    open((text, signatures), there, config, prefixes, versions).map(Sealing::Sealed)
}

fn open(
    (text, signatures): (Vec<u8>, Option<Vec<u8>>),
    There { whole, marker }: There<'_>,
    config: Option<&ConfigText>,
    prefixes: &BTreeMap<u64, String>,
    versions: &mut Versions,
) -> Result<Seal, Error> {
    let manifest = Manifest::parse(utf8(&text).map_err(at_manifest)?).map_err(at_manifest)?;
    let opening = Opening { whole: Arc::new(whole), manifest: Arc::new(manifest), marker, config, prefixes };
    let sealed = opening.versions(versions)?;
    let beside = Arc::new(opening.beside());
    for (version, files) in &sealed {
        versions.insert(*version, files.clone());
    }
    let signatures = signatures.map(|text| utf8(&text).map(str::to_owned)).transpose();
    let signatures = signatures.map_err(|error| error.at(SIGNATURE_NAME))?;
    Ok(Seal { text, signatures, versions: sealed, beside })
}

impl Opening<'_> {
    /// The sealed files of each version.
    fn versions(&self, found: &Versions) -> Result<BTreeMap<u64, Arc<SealedFiles>>, Error> {
        let config = self.check_config()?;
        let mut flaws = self.flaws(config.as_deref());
        if let Some(flaw) = flaws.remove(&None) {
            return Err(flaw);
        }
        let is_loose = |name: &&String| self.place(name).is_none() && config.as_ref() != Some(name);
        let loose: Vec<String> = self.manifest.files.keys().filter(is_loose).cloned().collect();
        let mut sealed = BTreeMap::new();
        for (version, prefix) in self.prefixes {
            let files = found.get(version).map(|files| files.names()).unwrap_or_default();
            let files = SealedFiles {
                whole: self.whole.clone(),
                manifest: self.manifest.clone(),
                prefix: prefix.clone(),
                names: files.into_iter().filter(|name| !self.is_about(&format!("{prefix}{name}"))).collect(),
                loose: if prefix.is_empty() { Vec::new() } else { loose.clone() },
                config: config.clone(),
                flaw: flaws.remove(&Some(*version)),
            };
            sealed.insert(*version, Arc::new(files));
        }
        Ok(sealed)
    }

    /// All files of the model, none of them listed.
    fn beside(&self) -> SealedFiles {
        SealedFiles {
            whole: self.whole.clone(),
            manifest: self.manifest.clone(),
            prefix: String::new(),
            names: Vec::new(),
            loose: Vec::new(),
            config: None,
            flaw: None,
        }
    }

    /// Whether a file is about the model instead of part of it.
    fn is_about(&self, name: &str) -> bool {
        let is_marker = |marker: &str| match name.strip_suffix(marker) {
            Some(folder) => folder.is_empty() || self.prefixes.values().any(|prefix| prefix == folder),
            None => false,
        };
        NAMES.contains(&name) || (!self.manifest.files.contains_key(name) && self.marker.is_some_and(is_marker))
    }

    /// The name of the config, whose text must be the one that the manifest has the sum of.
    fn check_config(&self) -> Result<Option<String>, Error> {
        let Some(ConfigText { label, text }) = self.config else { return Ok(None) };
        // A config may lie in a folder of the model; a label ends with its name.
        let there = self.whole.names();
        let names = there.iter().chain(self.manifest.files.keys()).filter(|name| Path::new(label).ends_with(name));
        let Some(name) = names.max_by_key(|name| name.len()) else {
            let name = label.rsplit('/').next().unwrap_or_default();
            return Err(extra(name));
        };
        let sealed = self.manifest.files.get(name).ok_or_else(|| extra(name))?;
        sealed.check(name, text.as_bytes())?;
        Ok(Some(name.clone()))
    }

    /// The first difference between what is there and what should be, by version; of none for the model itself.
    fn flaws(&self, config: Option<&str>) -> BTreeMap<Option<u64>, Error> {
        let there: BTreeSet<String> = self.whole.names().into_iter().filter(|name| !self.is_about(name)).collect();
        let mut flaws = BTreeMap::new();
        for name in there.iter().filter(|name| !self.manifest.files.contains_key(*name)) {
            flaws.entry(self.place(name)).or_insert_with(|| extra(name));
        }
        let is_missing = |name: &&String| !there.contains(*name) && config != Some(name);
        for name in self.manifest.files.keys().filter(is_missing) {
            let missing =
                || refused(format!("file {}: found no file, expected one ({MANIFEST_NAME})", Shown::text(name)));
            flaws.entry(self.place(name)).or_insert_with(missing);
        }
        flaws
    }

    /// The version that a file belongs to, if it belongs to one.
    fn place(&self, name: &str) -> Option<u64> {
        self.prefixes.iter().find(|(_, prefix)| name.starts_with(&***prefix)).map(|(version, _)| *version)
    }
}

fn extra(name: &str) -> Error {
    refused(format!("file {}: found a file that {MANIFEST_NAME} does not list, expected none", Shown::text(name)))
}

/// The error for files that are not what the manifest says.
fn refused(message: String) -> Error {
    Error::new(ErrorKind::FailedPrecondition, message)
}

fn at_manifest(error: Error) -> Error {
    error.at(MANIFEST_NAME)
}

fn utf8(bytes: &[u8]) -> Result<&str, Error> {
    str::from_utf8(bytes).map_err(|error| {
        Error::invalid_arg(format!(
            "found a byte at offset {} that is not UTF-8, expected UTF-8 text",
            error.valid_up_to()
        ))
    })
}
