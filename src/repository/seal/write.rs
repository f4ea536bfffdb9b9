//! Writes the manifest of a model's folder, and its signature.
//!
//! Invariant: each of the two files is there whole or not at all: it is written beside its place, brought to the disk
//! and renamed. Between the two renames a reader finds a signature of the other manifest, and refuses it.
//!
//! Runs on the thread that calls it, and blocks on the file system.

use super::super::disk::{self, Bounds};
use super::super::files::{FolderFiles, folder_of};
use super::super::name::Shown;
use super::digest::{Algorithm, Summing};
use super::manifest::{MANIFEST_NAME, Manifest, Sealed};
use super::signature::{SIGNATURE_NAME, SigningKey};
use super::{NAMES, refused};
use inferlay_backend_sdk::{Error, ModelFiles};
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

/// What [`seal`] has sealed.
///
/// # Examples
/// ```
/// # use inferlay::{Algorithm, seal};
/// # let folder = std::env::temp_dir().join(format!("inferlay-doc-report-{}", std::process::id()));
/// # std::fs::create_dir_all(folder.join("1"))?;
/// std::fs::write(folder.join("1/model.bin"), [1, 2, 3])?;
/// let report = seal(&folder, Algorithm::Blake3, None)?;
/// assert_eq!((report.files, report.bytes), (1, 3));
/// # std::fs::remove_dir_all(folder)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SealReport {
    /// How many files the manifest lists.
    pub files: usize,
    /// How many bytes they have together.
    pub bytes: u64,
}

/// Seals the folder of one model: writes `inferlay.manifest`, which lists each of its files with size and sum, and with a
/// key `inferlay.manifest.sig`, the signature of the manifest. From then on the model is loaded only as it is now, until
/// it is sealed again or the manifest is removed.
///
/// Config, versions and what lies beside them are covered, links with the content that they lead to; hidden files are
/// not, and a sealed model does not get to read them. `sha256sum --check inferlay.manifest` checks a folder sealed with
/// [`Algorithm::Sha256`] too. Without a key, a signature that is there is removed, as it would be of something else.
///
/// # Errors
/// [`ErrorKind::NotFound`](crate::ErrorKind::NotFound) and [`ErrorKind::Unavailable`](crate::ErrorKind::Unavailable) when
/// a folder or file cannot be read or written, or a link leads out of the repository;
/// [`ErrorKind::FailedPrecondition`](crate::ErrorKind::FailedPrecondition) for a file whose name no manifest can hold.
///
/// # Examples
/// ```
/// use inferlay::{Algorithm, ServerHandle, SigningKey, seal};
/// # let repository = std::env::temp_dir().join(format!("inferlay-doc-seal-{}", std::process::id()));
/// # std::fs::create_dir_all(repository.join("echo/1"))?;
/// # let config = "{backend: 'null', input: {name: x, data_type: FP32, dims: 2}}";
/// # std::fs::write(repository.join("echo/config.yaml"), config)?;
/// // Whoever makes the model seals it, with a key that is kept secret.
/// let key = SigningKey::generate()?;
/// seal(repository.join("echo"), Algorithm::Sha256, Some(&key))?;
///
/// // Whoever serves it knows the public half.
/// let builder = || ServerHandle::builder().repository(&repository).trusted_key(key.public()).require_signature();
/// assert!(builder().start()?.model("echo").is_ok());
///
/// std::fs::write(repository.join("echo/config.yaml"), "{backend: other}")?;
/// let error = builder().strict().start().unwrap_err();
/// assert!(error.message().contains("file 'config.yaml': found 16 bytes, expected 61"), "{error}");
/// # std::fs::remove_dir_all(repository)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn seal(folder: impl AsRef<Path>, algorithm: Algorithm, key: Option<&SigningKey>) -> Result<SealReport, Error> {
    let folder = folder.as_ref();
    let bounds = Bounds::of_folder(folder)?;
    // Links may lead to the neighbours in the repository, as they may when the model is loaded.
    let (root, repository) = (bounds.root().to_owned(), folder_of(bounds.root()));
    let files = FolderFiles::open_within(&root, Bounds::of_folder(&repository)?)?;
    if let Some(unlisted) = files.unlisted().first() {
        return Err(refused(format!("{unlisted}, expected a name that a manifest can hold")));
    }
    let mut report = SealReport { files: 0, bytes: 0 };
    let mut manifest = Manifest::default();
    for name in files.names().into_iter().filter(|name| !NAMES.contains(&&**name)) {
        let sealed = summed(&files, &name, algorithm)?;
        report.bytes += sealed.size.unwrap_or(0);
        report.files += 1;
        manifest.files.insert(name, sealed);
    }
    write(&root, manifest.text()?.as_bytes(), key)?;
    Ok(report)
}

fn summed(files: &FolderFiles, name: &str, algorithm: Algorithm) -> Result<Sealed, Error> {
    let mut summing = Summing::new(algorithm);
    let copied = io::copy(&mut files.reader(name)?, &mut summing);
    let size = copied.map_err(|error| Error::unavailable(format!("file {}: {error}", Shown::text(name))))?;
    Ok(Sealed { algorithm, sum: summing.sum(), size: Some(size) })
}

fn write(root: &Path, manifest: &[u8], key: Option<&SigningKey>) -> Result<(), Error> {
    match key {
        Some(key) => put(root, SIGNATURE_NAME, key.sign(manifest).as_bytes())?,
        None => match fs::remove_file(root.join(SIGNATURE_NAME)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(disk::refused(&root.join(SIGNATURE_NAME), &error));
            }
            _ => {}
        },
    }
    put(root, MANIFEST_NAME, manifest)
}

/// Puts a file into its place in one go. What was written beside it is hidden, and gone if something fails; a draft that
/// is there was left by a sealer that was stopped, or belongs to one that seals the same folder now.
fn put(root: &Path, name: &str, content: &[u8]) -> Result<(), Error> {
    let draft = root.join(format!(".{name}.draft"));
    let written = File::create(&draft).and_then(|mut file| file.write_all(content).and_then(|()| file.sync_all()));
    let renamed = written.and_then(|()| fs::rename(&draft, root.join(name)));
    if renamed.is_err() {
        // The first error is the one to tell.
        let _ = fs::remove_file(&draft);
    }
    // The name is on the disk when the folder is.
    let synced = renamed.and_then(|()| File::open(root)).and_then(|folder| folder.sync_all());
    synced.map_err(|error| disk::refused(&root.join(name), &error))
}
