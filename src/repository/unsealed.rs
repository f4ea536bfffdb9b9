//! What stands in the place of seals in a build without the feature `integrity`: a sealed model is refused, as nobody
//! can say whether it is the one that was sealed.

use super::disk::Bounds;
use super::files::MemoryFiles;
use super::{ConfigText, FoundModel, Versions};
use inferlay_backend_sdk::{Error, ModelFiles};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

const MANIFEST_NAME: &str = "inferlay.manifest";

/// Files that are about a model instead of part of it.
pub(crate) const NAMES: [&str; 2] = [MANIFEST_NAME, "inferlay.manifest.sig"];

/// Whether what is found of a model is sealed.
pub(crate) enum Sealing {
    /// The application itself brought the model.
    Own,
    /// It lies in files without a manifest.
    Missing,
}

impl Sealing {
    /// What lies beside the versions of a sealed model; there is none.
    pub(super) fn beside(&self) -> Option<Arc<dyn ModelFiles>> {
        match self {
            Sealing::Own | Sealing::Missing => None,
        }
    }

    /// Whether each file is compared with the manifest whenever it is read; there is none.
    pub(crate) fn is_checked(&self) -> bool {
        match self {
            Sealing::Own | Sealing::Missing => false,
        }
    }
}

/// The folder of a model that may be sealed.
#[allow(dead_code, reason = "what is asked of a folder where seals are opened")]
pub(super) struct Folder<'a> {
    pub(super) root: &'a Path,
    pub(super) bounds: &'a Bounds,
    pub(super) marker: Option<&'a str>,
}

/// Nothing is asked of a model.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trust {}

impl Trust {
    pub(crate) fn check(&self) -> Result<(), Error> {
        Ok(())
    }

    pub(crate) fn admit(&self, model: &FoundModel, _version: u64) -> Result<(), Error> {
        self.admit_unread(model)
    }

    pub(crate) fn admit_unread(&self, model: &FoundModel) -> Result<(), Error> {
        match model.sealing {
            Sealing::Own | Sealing::Missing => Ok(()),
        }
    }
}

pub(super) fn in_folder(
    folder: &Folder<'_>,
    _: Option<&ConfigText>,
    _: &BTreeMap<u64, String>,
    _: &mut Versions,
) -> Result<Sealing, Error> {
    if folder.root.join(MANIFEST_NAME).symlink_metadata().is_ok() { Err(unsupported()) } else { Ok(Sealing::Missing) }
}

pub(super) fn in_memory(
    _: &MemoryFiles,
    _: Option<&ConfigText>,
    _: &BTreeMap<u64, String>,
    _: &mut Versions,
) -> Result<Sealing, Error> {
    Err(unsupported())
}

fn unsupported() -> Error {
    Error::unsupported(format!("found {MANIFEST_NAME}, expected none in a build without the feature `integrity`"))
}

#[cfg(test)]
mod tests {
    use super::super::temp::TempFolder;
    use super::super::{in_memory, scan};
    use inferlay_backend_sdk::ErrorKind;

    #[test]
    fn a_sealed_model_is_refused_where_seals_cannot_be_checked() {
        let repository = TempFolder::with(&["a/1/m", "a/inferlay.manifest", "b/1/m"]);
        let found = scan(&[repository.path().to_owned()], None).unwrap();
        assert_eq!(found.broken["a"].kind(), ErrorKind::Unsupported);
        assert!(found.broken["a"].message().contains("found inferlay.manifest, expected none"));
        assert!(found.models.contains_key("b"));
        let error = in_memory("a", vec![("inferlay.manifest".to_owned(), Vec::new())], None).err().unwrap();
        assert_eq!(error.kind(), ErrorKind::Unsupported);
    }
}
