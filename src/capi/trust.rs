//! What a server asks of models that lie in files: options that are about seals.

use super::door::door;
use super::handle::{borrow_mut, utf8};
use super::options::Options;
use super::status::Status;
use crate::server::ServerBuilder;
use inferlay_backend_sdk::Error;
use std::ffi::c_char;

/// What is asked, as far as this library can check it.
#[derive(Clone, Default)]
pub(super) struct TrustOptions {
    #[cfg(feature = "integrity")]
    keys: Vec<crate::repository::PublicKey>,
    requires_manifest: bool,
    requires_signature: bool,
}

#[cfg(feature = "integrity")]
impl TrustOptions {
    pub(super) fn apply(&self, mut builder: ServerBuilder) -> ServerBuilder {
        builder = self.keys.iter().fold(builder, |builder, key| builder.trusted_key(*key));
        builder = if self.requires_manifest { builder.require_manifest() } else { builder };
        if self.requires_signature { builder.require_signature() } else { builder }
    }

    fn add_key(&mut self, key: &str) -> Result<(), Error> {
        self.keys.push(key.parse()?);
        Ok(())
    }

    fn supported() -> Result<(), Error> {
        Ok(())
    }
}

#[cfg(not(feature = "integrity"))]
impl TrustOptions {
    pub(super) fn apply(&self, builder: ServerBuilder) -> ServerBuilder {
        builder
    }

    fn add_key(&mut self, _: &str) -> Result<(), Error> {
        Self::supported()
    }

    fn supported() -> Result<(), Error> {
        Err(Error::unsupported("seals: found a build without the feature `integrity`, expected one with it"))
    }
}

impl TrustOptions {
    /// These, and what a text says.
    ///
    /// # Errors
    /// `INVALID_ARG` for what is no key, `UNSUPPORTED` in a build without seals.
    pub(super) fn with(
        &self,
        keys: &[String],
        (requires_manifest, requires_signature): (Option<bool>, Option<bool>),
    ) -> Result<TrustOptions, Error> {
        let mut made = self.clone();
        keys.iter().try_for_each(|key| made.add_key(key))?;
        if requires_manifest.or(requires_signature).is_some() {
            Self::supported()?;
        }
        made.requires_manifest = requires_manifest.unwrap_or(made.requires_manifest);
        made.requires_signature = requires_signature.unwrap_or(made.requires_signature);
        Ok(made)
    }
}

/// Trusts models whose manifest is signed with the secret half of an Ed25519 key. Several may be trusted; the signature
/// of one of them is enough. A manifest that is signed by others keeps its model from being loaded.
///                                                                                        [one thread] [never blocks]
/// `key`: the public half, 64 hexadecimal digits; borrowed for the call.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_options_add_trusted_key(options: *mut Options, key: *const c_char) -> *mut Status {
    door(|| {
        // SAFETY: the caller's promise.
        let options = unsafe { borrow_mut(options, "options") }?;
        // SAFETY: the caller's promise.
        let key = unsafe { utf8(key, "key") }?;
        options.trust.add_key(key)
    })
}

/// Whether models in folders and files are refused that have no `inferlay.manifest`; false by default. One that is there
/// is checked in any case.                                                                [one thread] [never blocks]
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_options_set_require_manifest(
    options: *mut Options,
    require_manifest: bool,
) -> *mut Status {
    door(|| {
        // SAFETY: the caller's promise.
        let options = unsafe { borrow_mut(options, "options") }?;
        TrustOptions::supported().map(|()| options.trust.requires_manifest = require_manifest)
    })
}

/// Whether models in folders and files are refused whose manifest is not signed by a trusted key; false by default.
///                                                                                        [one thread] [never blocks]
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_options_set_require_signature(
    options: *mut Options,
    require_signature: bool,
) -> *mut Status {
    door(|| {
        // SAFETY: the caller's promise.
        let options = unsafe { borrow_mut(options, "options") }?;
        TrustOptions::supported().map(|()| options.trust.requires_signature = require_signature)
    })
}

#[cfg(all(test, feature = "integrity"))]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_is_asked_of_models() {
        let started = |set: fn(&mut TrustOptions)| {
            let mut trust = TrustOptions::default();
            set(&mut trust);
            let builder = crate::server::ServerHandle::builder().repository("examples/models").strict();
            trust.apply(builder).start().unwrap_err().message().to_owned()
        };
        let manifest = started(|trust| trust.requires_manifest = true);
        assert!(manifest.contains("found no inferlay.manifest"), "{manifest}");
        let signature = started(|trust| trust.requires_signature = true);
        assert!(signature.contains("found no trusted key"), "{signature}");
        let key = started(|trust| {
            trust.requires_signature = true;
            let key = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
            trust.add_key(key).unwrap();
        });
        assert!(key.contains("found no inferlay.manifest"), "{key}");
        assert!(TrustOptions::default().add_key("d75a").is_err());
    }
}
