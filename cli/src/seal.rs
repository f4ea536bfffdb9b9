//! `inferlay seal` and `inferlay key`: manifests of models, and keys that sign them.

use crate::arguments::{Seal, Sums};
use crate::report::{count, escaped};
use crate::{End, print};
use inferlay::{Algorithm, Error, SigningKey};
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Seals each model; the first that cannot be sealed ends it, and says which are not.
pub(crate) fn seal(own: &Seal) -> Result<End, Error> {
    let key = own.key.as_deref().map(read).transpose()?;
    let models = if own.models.is_empty() { models(&own.repository)? } else { own.models.clone() };
    let algorithm = match own.algorithm {
        Sums::Sha256 => Algorithm::Sha256,
        Sums::Blake3 => Algorithm::Blake3,
    };
    for model in &models {
        if Path::new(model).components().count() != 1 || model.starts_with('.') {
            return Err(Error::invalid_arg(format!("found '{}', expected the name of a model", escaped(model))));
        }
        let sealed = inferlay::seal(own.repository.join(model), algorithm, key.as_ref());
        let sealed = sealed.map_err(|error| error.at(format_args!("model '{}'", escaped(model))))?;
        let (files, bytes) = (count(sealed.files, "file"), sealed.bytes);
        print(&format!("{}: {files}, {bytes} bytes, {}\n", escaped(model), algorithm.name()))?;
    }
    Ok(End::Fine)
}

/// The folders of models in a repository, sorted.
fn models(repository: &Path) -> Result<Vec<String>, Error> {
    let entries = fs::read_dir(repository).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let entries = entries.map_err(|error| refused(repository, &error))?;
    let folders = entries.into_iter().filter(|entry| entry.path().is_dir());
    let names = folders.filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<_> = names.filter(|name| !name.starts_with('.')).collect();
    names.sort();
    Ok(names)
}

fn read(file: &Path) -> Result<SigningKey, Error> {
    let digits = fs::read_to_string(file).map_err(|error| refused(file, &error))?;
    digits.parse().map_err(|error: Error| error.at(file.display()))
}

/// Writes a new key to a file that is not there yet.
pub(crate) fn key(file: &Path) -> Result<End, Error> {
    let key = SigningKey::generate()?;
    let digits: String = key.to_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    let opened = OpenOptions::new().write(true).create_new(true).mode(0o600).open(file);
    let written =
        opened.and_then(|mut file| file.write_all(format!("{digits}\n").as_bytes()).and_then(|()| file.sync_all()));
    written.map_err(|error| refused(file, &error))?;
    print(&format!("{}\n", key.public()))
}

fn refused(path: &Path, error: &io::Error) -> Error {
    Error::unavailable(format!("{}: {error}", path.display()))
}
