//! Whom the application trusts, and what it asks of models that lie in files.
//!
//! Runs on the loading threads, which wait for the file system while sums are taken.

use super::super::FoundModel;
use super::manifest::MANIFEST_NAME;
use super::signature::{self, PublicKey, SIGNATURE_NAME};
use super::{Seal, Sealing, refused};
use inferlay_backend_sdk::Error;

/// What is asked of a model before it is loaded. By default nothing: a manifest that is there is checked all the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trust {
    keys: Vec<PublicKey>,
    asks: Asks,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
enum Asks {
    #[default]
    Nothing,
    Manifest,
    Signature,
}

impl Trust {
    pub(crate) fn add_key(&mut self, key: PublicKey) {
        self.keys.push(key);
    }

    pub(crate) fn require_manifest(&mut self) {
        self.asks = self.asks.max(Asks::Manifest);
    }

    pub(crate) fn require_signature(&mut self) {
        self.asks = Asks::Signature;
    }

    /// Checks that what is asked for can be had.
    ///
    /// # Errors
    /// `INVALID_ARG` when signatures are asked for and no key is trusted.
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.asks == Asks::Signature && self.keys.is_empty() {
            return Err(Error::invalid_arg("require_signature: found no trusted key, expected at least one"));
        }
        Ok(())
    }

    /// Checks that a version of a model may be loaded: who sealed it, and that every file is the one that was sealed.
    ///
    /// # Errors
    /// `FAILED_PRECONDITION` naming the file, what was found and what was expected; `INVALID_ARG` for signatures that
    /// are none; and whatever keeps a file from being read.
    pub(crate) fn admit(&self, model: &FoundModel, version: u64) -> Result<(), Error> {
        self.admit_unread(model)?;
        match &model.sealing {
            Sealing::Sealed(seal) => seal.versions.get(&version).map_or(Ok(()), |files| files.check()),
            Sealing::Missing | Sealing::Own => Ok(()),
        }
    }

    /// Whether a model is to be trusted as far as that can be said without reading its files.
    ///
    /// # Errors
    /// `FAILED_PRECONDITION`, with the reason.
    pub(crate) fn admit_unread(&self, model: &FoundModel) -> Result<(), Error> {
        match &model.sealing {
            Sealing::Sealed(seal) => self.check_signatures(seal),
            Sealing::Missing if self.asks > Asks::Nothing => {
                Err(refused(format!("found no {MANIFEST_NAME}, expected one (require_manifest)")))
            }
            Sealing::Missing | Sealing::Own => Ok(()),
        }
    }

    /// A signature that is there must be right wherever it can be checked, also where none is asked for.
    fn check_signatures(&self, seal: &Seal) -> Result<(), Error> {
        match &seal.signatures {
            Some(text) if !self.keys.is_empty() => {
                signature::check(text, &seal.text, &self.keys).map_err(|error| error.at(SIGNATURE_NAME))
            }
            None if self.asks == Asks::Signature => {
                Err(refused(format!("found no {SIGNATURE_NAME}, expected one (require_signature)")))
            }
            _ => Ok(()),
        }
    }
}
