//! What a server asks of models that lie in files: whom it trusts, and whether it serves what nobody has sealed.

use super::ServerBuilder;
use crate::repository::PublicKey;

impl ServerBuilder {
    /// Trusts models whose manifest is signed with the secret half of this key, see [`seal()`](crate::seal). Several may
    /// be trusted; the signature of one of them is enough. With a trusted key, a manifest that is signed by others, or a
    /// signature of something else, keeps a model from being loaded, and so does a missing one with
    /// [`ServerBuilder::require_signature`].
    ///
    /// # Examples
    /// ```
    /// use inferlay::{ServerHandle, SigningKey};
    /// let key = SigningKey::generate()?.public();
    /// assert!(ServerHandle::builder().trusted_key(key).start()?.is_ready());
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn trusted_key(mut self, key: PublicKey) -> Self {
        self.options.trust.add_key(key);
        self
    }

    /// Refuses models in folders and files that have no manifest. One that is there is checked in any case. Models from
    /// memory and functions are the application's own and need none.
    ///
    /// # Examples
    /// ```
    /// use inferlay::ServerHandle;
    /// let builder = ServerHandle::builder().repository("examples/models").require_manifest();
    /// let error = builder.strict().start().unwrap_err();
    /// assert!(error.message().contains("'digits': found no inferlay.manifest, expected one"), "{error}");
    /// ```
    pub fn require_manifest(mut self) -> Self {
        self.options.trust.require_manifest();
        self
    }

    /// Refuses models in folders and files whose manifest is not signed by one of the trusted keys.
    ///
    /// # Examples
    /// ```
    /// use inferlay::ServerHandle;
    /// let error = ServerHandle::builder().require_signature().start().unwrap_err();
    /// assert!(error.message().contains("found no trusted key, expected at least one"), "{error}");
    /// ```
    pub fn require_signature(mut self) -> Self {
        self.options.trust.require_signature();
        self
    }
}
