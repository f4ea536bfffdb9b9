//! Signatures under manifests. The one file that names the crate which makes and checks them.
//!
//! ```text
//!   inferlay.manifest.sig:   ED25519 (<public key, 64 digits>) = <signature, 128 digits>
//! ```
//!
//! One line per signer. What is signed are the bytes of the manifest, nothing else, so that other tools check it too.
//!
//! Invariant: a signature counts only under a key that the application trusts; the one in the file is a hint which.

use super::digest::{hex, unhex};
use ed25519_dalek::Signer as _;
use inferlay_backend_sdk::{Error, ErrorKind};
use std::fmt;
use std::fs::File;
use std::io::Read;
use std::str::FromStr;

/// What the file with the signatures is called.
pub(crate) const SIGNATURE_NAME: &str = "inferlay.manifest.sig";

/// The most bytes of it: some hundred signers.
pub(super) const SIGNATURE_BYTES_MAX: u64 = 1 << 16;

const ALGORITHM: &str = "ED25519";

/// The secret half of an Ed25519 key, which signs.
///
/// # Examples
/// ```
/// use inferlay::{PublicKey, SigningKey};
/// let key = SigningKey::generate()?;
/// let public: PublicKey = key.public().to_string().parse()?;
/// assert_eq!(public, key.public());
/// # Ok::<(), inferlay::Error>(())
/// ```
#[derive(Clone)]
pub struct SigningKey(ed25519_dalek::SigningKey);

impl SigningKey {
    /// A new key, from the system's source of randomness.
    ///
    /// # Errors
    /// [`ErrorKind::Unavailable`] when there is none.
    ///
    /// # Examples
    /// ```
    /// use inferlay::SigningKey;
    /// assert_ne!(SigningKey::generate()?.public(), SigningKey::generate()?.public());
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn generate() -> Result<Self, Error> {
        let mut seed = [0; 32];
        let read = File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut seed));
        read.map_err(|error| Error::unavailable(format!("/dev/urandom: {error}")))?;
        Ok(SigningKey::from_bytes(&seed))
    }

    /// The key whose 32 secret bytes these are.
    ///
    /// # Examples
    /// ```
    /// use inferlay::SigningKey;
    /// let key = SigningKey::generate()?;
    /// assert_eq!(SigningKey::from_bytes(&key.to_bytes()).public(), key.public());
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn from_bytes(secret: &[u8; 32]) -> Self {
        SigningKey(ed25519_dalek::SigningKey::from_bytes(secret))
    }

    /// Its 32 secret bytes, to be kept where only the signer reads.
    ///
    /// # Examples
    /// ```
    /// assert_eq!(inferlay::SigningKey::from_bytes(&[7; 32]).to_bytes(), [7; 32]);
    /// ```
    pub fn to_bytes(&self) -> [u8; 32] {
        self.0.to_bytes()
    }

    /// The half of it that is given away.
    ///
    /// # Examples
    /// ```
    /// use inferlay::SigningKey;
    /// assert_eq!(SigningKey::from_bytes(&[7; 32]).public().to_string().len(), 64);
    /// ```
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }

    /// The text of a file with the signature of `content`.
    pub(super) fn sign(&self, content: &[u8]) -> String {
        format!("{ALGORITHM} ({}) = {}\n", self.public(), hex(&self.0.sign(content).to_bytes()))
    }
}

impl FromStr for SigningKey {
    type Err = Error;

    /// Reads 64 hexadecimal digits. What was found is not told: it is a secret.
    fn from_str(digits: &str) -> Result<Self, Error> {
        let secret =
            unhex(digits.trim()).ok_or_else(|| Error::invalid_arg("signing key: expected 64 hexadecimal digits"));
        secret.map(|secret| SigningKey::from_bytes(&secret))
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey(secret of {})", self.public())
    }
}

/// The public half of an Ed25519 key, by which signatures are checked. Shown and read as 64 hexadecimal digits.
///
/// # Examples
/// ```
/// use inferlay::PublicKey;
/// let digits = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
/// assert_eq!(digits.parse::<PublicKey>()?.to_string(), digits);
/// assert!("d75a".parse::<PublicKey>().is_err());
/// # Ok::<(), inferlay::Error>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct PublicKey(ed25519_dalek::VerifyingKey);

impl FromStr for PublicKey {
    type Err = Error;

    fn from_str(digits: &str) -> Result<Self, Error> {
        let digits = digits.trim();
        let refused = |found: &str| Error::invalid_arg(format!("public key: {found}, expected 64 hexadecimal digits"));
        let bytes = unhex(digits).ok_or_else(|| refused(&format!("found {} characters", digits.chars().count())))?;
        let key =
            ed25519_dalek::VerifyingKey::from_bytes(&bytes).map_err(|_| refused("found no point of the curve"))?;
        if key.is_weak() {
            return Err(refused("found a weak key, under which anything is signed"));
        }
        Ok(PublicKey(key))
    }
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(self.0.as_bytes()))
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({self})")
    }
}

/// Checks that one of the `trusted` keys has signed `content`, going by the text of the file with the signatures.
///
/// # Errors
/// `INVALID_ARG` for a line that is none; `FAILED_PRECONDITION` when no trusted key has, or one has signed something else.
pub(super) fn check(text: &str, content: &[u8], trusted: &[PublicKey]) -> Result<(), Error> {
    let mut signers = Vec::new();
    let is_told = |(_, line): &(usize, &str)| !line.trim().is_empty() && !line.starts_with('#');
    for (at, line) in text.lines().enumerate().filter(is_told) {
        let (digits, signature) = tagged(line).ok_or_else(|| {
            Error::invalid_arg(format!("line {}: expected '{ALGORITHM} (<64 digits>) = <128 digits>'", at + 1))
        })?;
        let Some(key) = trusted.iter().find(|key| key.to_string().eq_ignore_ascii_case(digits)) else {
            signers.push(digits.to_ascii_lowercase());
            continue;
        };
        // Strict: of one content and key there is one signature, and none by a key that signs everything.
        return key.0.verify_strict(content, &ed25519_dalek::Signature::from_bytes(&signature)).map_err(|_| {
            refused(format!("line {}: found a signature by {key} of something else, expected of the manifest", at + 1))
        });
    }
    let found = if signers.is_empty() { "nobody".to_owned() } else { signers.join(", ") };
    Err(refused(format!("found signed by {found}, expected by a trusted key")))
}

/// The digits of the key and the bytes of the signature of one line.
fn tagged(line: &str) -> Option<(&str, [u8; 64])> {
    let rest = line.trim_end().strip_prefix(ALGORITHM)?.strip_prefix(" (")?;
    let (key, signature) = rest.split_once(") = ")?;
    unhex::<32>(key)?;
    Some((key, unhex(signature)?))
}

fn refused(message: String) -> Error {
    Error::new(ErrorKind::FailedPrecondition, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(seed: u8) -> SigningKey {
        SigningKey::from_bytes(&[seed; 32])
    }

    #[test]
    fn a_signature_is_the_one_of_the_standard() {
        // RFC 8032, section 7.1, test 2.
        let key: SigningKey = "4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb".parse().unwrap();
        let public = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c";
        let signature = "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da\
                         085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00";
        assert_eq!(key.sign(&[0x72]), format!("ED25519 ({public}) = {signature}\n"));
        check(&key.sign(&[0x72]), &[0x72], &[key.public()]).unwrap();
    }

    #[test]
    fn one_trusted_signer_among_several_is_enough() {
        let text = format!("# who signed\n{}\n{}", key(1).sign(b"content"), key(2).sign(b"content"));
        for trusted in [&[key(1).public()][..], &[key(3).public(), key(2).public()]] {
            check(&text, b"content", trusted).unwrap();
        }
    }

    #[test]
    fn a_signature_that_does_not_count_says_why() {
        let good = key(1).sign(b"content");
        let forged = good.replace(&key(1).public().to_string(), &key(2).public().to_string());
        let rows = [
            (good.clone(), &b"other"[..], ErrorKind::FailedPrecondition, "line 1: found a signature by 8a88"),
            (forged, b"content", ErrorKind::FailedPrecondition, "found a signature by 8139"),
            (key(3).sign(b"content"), b"content", ErrorKind::FailedPrecondition, "found signed by ed49"),
            (String::new(), b"content", ErrorKind::FailedPrecondition, "found signed by nobody, expected by a trusted"),
            ("# nothing\nED25519 = 1".to_owned(), b"content", ErrorKind::InvalidArg, "line 2: expected 'ED25519 ("),
            (good[..good.len() - 3].to_owned(), b"content", ErrorKind::InvalidArg, "line 1: expected"),
        ];
        let trusted = [key(1).public(), key(2).public()];
        for (text, content, kind, message) in rows {
            let error = check(&text, content, &trusted).unwrap_err();
            assert_eq!(error.kind(), kind, "{text}: {error}");
            assert!(error.message().contains(message), "{text}: {error}");
        }
        assert!(check(&good, b"content", &[]).is_err());
    }

    #[test]
    fn a_key_under_which_everything_is_signed_is_refused() {
        let identity = format!("01{}", "00".repeat(31));
        let error = identity.parse::<PublicKey>().unwrap_err();
        assert!(error.message().contains("found a weak key"), "{error}");
    }

    #[test]
    fn a_secret_is_never_shown() {
        let secret = hex(&[9; 32]);
        assert!(!format!("{:?}", key(9)).contains(&secret));
        let error = format!("{secret}0").parse::<SigningKey>().unwrap_err();
        assert!(!error.message().contains("09"), "{error}");
    }
}
