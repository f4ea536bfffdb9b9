//! What is done to repositories without a server: keys, seals, and a look at what is wrong.

use super::door::door;
use super::handle::{borrow, out, utf8};
use super::options::Options;
use super::server::json_of;
use super::status::Status;
use super::text::give;
use crate::server::{Finding, Severity};
use inferlay_backend_sdk::Error;
use serde_json::{Value, json};
use std::ffi::{CString, c_char};

/// How the sum of a file is computed: one of `INFERLAY_SUM_*`.
pub type SumNumber = u32;
/// SHA-256, which every system can check: `sha256sum --check inferlay.manifest`.
pub const INFERLAY_SUM_SHA256: u32 = 0;
/// BLAKE3, a few times faster on large files.
pub const INFERLAY_SUM_BLAKE3: u32 = 1;

#[cfg(feature = "integrity")]
fn seal(folder: &str, sum: SumNumber, secret_key: Option<&str>) -> Result<Value, Error> {
    use crate::repository::{Algorithm, SealReport, SigningKey};
    let algorithm = if sum == INFERLAY_SUM_BLAKE3 { Algorithm::Blake3 } else { Algorithm::Sha256 };
    let key: Option<SigningKey> = secret_key.map(str::parse).transpose()?;
    let SealReport { files, bytes } = crate::repository::seal(folder, algorithm, key.as_ref())?;
    Ok(json!({ "files": files, "bytes": bytes }))
}

#[cfg(feature = "integrity")]
fn keys() -> Result<[String; 2], Error> {
    let key = crate::repository::SigningKey::generate()?;
    let secret = key.to_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok([secret, key.public().to_string()])
}

#[cfg(not(feature = "integrity"))]
fn seal(_: &str, _: SumNumber, _: Option<&str>) -> Result<Value, Error> {
    Err(UNSUPPORTED)
}

#[cfg(not(feature = "integrity"))]
fn keys() -> Result<[String; 2], Error> {
    Err(UNSUPPORTED)
}

#[cfg(not(feature = "integrity"))]
const UNSUPPORTED: Error = Error::fixed(
    inferlay_backend_sdk::ErrorKind::Unsupported,
    "seals: found a build without the feature `integrity`, expected one with it",
);

/// Seals the folder of one model: writes `inferlay.manifest`, which lists each of its files with size and sum, and
/// with a key `inferlay.manifest.sig`. From then on the model is loaded only as it is now, until it is sealed again
/// or the manifest is removed.                                                [any thread] [blocks: reads all files]
///
/// `folder`, `secret_key`: borrowed for the call. `sum`: one of INFERLAY_SUM_*. `secret_key`: 64 hexadecimal
/// digits, as of `inferlay_signing_key_new`; NULL for no signature. `json`: where `{"files": 3, "bytes": 4096}`
/// goes, which is then the caller's, to be freed with `inferlay_text_free`; NULL if nobody wants to know. Fails
/// with NOT_FOUND or UNAVAILABLE when a folder or file cannot be read or written, with FAILED_PRECONDITION for a
/// file whose name no manifest can hold, and with UNSUPPORTED when this library was built without seals.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_seal(
    folder: *const c_char,
    sum: SumNumber,
    secret_key: *const c_char,
    json: *mut *mut c_char,
) -> *mut Status {
    door(|| {
        if !(INFERLAY_SUM_SHA256..=INFERLAY_SUM_BLAKE3).contains(&sum) {
            return Err(Error::invalid_arg(format!("sum: found {sum}, expected 0 or 1")));
        }
        // SAFETY: the caller's promise.
        let folder = unsafe { utf8(folder, "folder") }?;
        // SAFETY: the caller's promise.
        let key = (!secret_key.is_null()).then(|| unsafe { utf8(secret_key, "secret_key") }).transpose()?;
        let sealed = seal(folder, sum, key)?;
        // SAFETY: the caller's promise.
        if json.is_null() { Ok(()) } else { unsafe { give(json_of(&sealed)?, json) } }
    })
}

/// Makes a key of Ed25519, with which models are signed.                                  [any thread] [never blocks]
///
/// `secret_key`, `public_key`: where its halves go, 64 hexadecimal digits each, which are then the caller's, to be
/// freed with `inferlay_text_free`. Keep the secret one where only whoever makes models can read it; give the
/// public one to `inferlay_options_add_trusted_key`. Fails with UNSUPPORTED when this library was built without
/// seals.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_signing_key_new(
    secret_key: *mut *mut c_char,
    public_key: *mut *mut c_char,
) -> *mut Status {
    door(|| {
        // SAFETY: the caller's promise.
        let secret_place = unsafe { out(secret_key, "secret_key") }?;
        // SAFETY: the caller's promise.
        let public_place = unsafe { out(public_key, "public_key") }?;
        let [secret, public] = keys()?.map(|digits| CString::new(digits).unwrap_or_default());
        secret_place.write(secret.into_raw());
        public_place.write(public.into_raw());
        Ok(())
    })
}

/// Finds what is wrong with the repositories, files and models in memory of options, without loading any model:
/// errors of configs, missing files, what is not as it was sealed.    [any thread] [blocks: reads what is looked at]
///
/// `options`: borrowed for the call. `json`: where a list of `{"severity", "model", "file", "line", "column",
/// "message"}` goes, empty when all is well: `severity` is "error", "warning" or "note"; what is about no model,
/// file or line has null there. It is then the caller's, to be freed with `inferlay_text_free`. Fails for a folder
/// that is not one.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_options_lint(options: *const Options, json: *mut *mut c_char) -> *mut Status {
    door(|| {
        // SAFETY: the caller's promise.
        let findings = unsafe { borrow(options, "options") }?.builder().lint()?;
        let findings: Vec<_> = findings.iter().map(told).collect();
        // SAFETY: the caller's promise.
        unsafe { give(json_of(&findings)?, json) }
    })
}

fn told(finding: &Finding) -> Value {
    let severity = match finding.severity() {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Note => "note",
    };
    json!({
        "severity": severity,
        "model": finding.model(),
        "file": finding.place().filter(|_| finding.position().is_some()),
        "line": finding.position().map(|(line, _)| line),
        "column": finding.position().map(|(_, column)| column),
        "message": finding.message(),
    })
}
