//! The configs of a repository that are not YAML, and how YAML takes their place.
//!
//! In place, a config is replaced in three steps, each of which is one call that happens or does not:
//!
//! ```text
//!   .config.yaml.new   written and synced          nobody reads it
//!   config.yaml        renamed from that           both are there: a server keeps what it serves, and says so
//!   config.pbtxt.bak   renamed from config.pbtxt   the new one is read
//! ```
//!
//! The old one is not renamed first: a model without a config would be served as if nothing had been said of it.

use inferlay::{Error, ErrorKind};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

/// A config that is not YAML.
pub(super) struct Old {
    pub(super) model: String,
    /// Its name within the model's folder.
    pub(super) file: String,
    folder: PathBuf,
}

/// The configs of every model of a repository, in the order of their names.
///
/// # Errors
/// When the repository cannot be listed.
pub(super) fn configs(repository: &Path) -> Result<Vec<Old>, Error> {
    let root = repository.canonicalize().map_err(|error| refused(repository, &error))?;
    let mut all = Vec::new();
    for model in names(&root)? {
        let folder = repository.join(&model);
        // What a link leads to beyond the repository belongs to somebody else.
        let is_inside = folder.canonicalize().is_ok_and(|real| real.starts_with(&root) && real != root);
        if model.starts_with('.') || !is_inside || !folder.is_dir() {
            continue;
        }
        let file = |file: String| Old { model: model.clone(), file, folder: folder.clone() };
        all.extend(files(&folder).into_iter().map(file));
    }
    Ok(all)
}

fn files(folder: &Path) -> Vec<String> {
    let is_version = |name: &String| name.parse::<u64>().is_ok() && folder.join(name).is_dir();
    let has_versions = names(folder).unwrap_or_default().iter().any(is_version);
    // Without folders of versions, a config.json beside other files is one of the model's own.
    let is_alone = names(folder).unwrap_or_default().iter().all(|name| name == JSON || folder.join(name).is_dir());
    let mut found = Vec::new();
    found.extend(folder.join(PBTXT).exists().then(|| PBTXT.to_owned()));
    found.extend((folder.join(JSON).exists() && (has_versions || is_alone)).then(|| JSON.to_owned()));
    let named = names(&folder.join(NAMED)).unwrap_or_default().into_iter();
    found.extend(named.filter(|name| split(name).is_some()).map(|name| format!("{NAMED}/{name}")));
    found
}

/// The names in a folder that are text, sorted.
fn names(folder: &Path) -> Result<Vec<String>, Error> {
    let entries = fs::read_dir(folder).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let entries = entries.map_err(|error| refused(folder, &error))?;
    let mut names: Vec<_> = entries.into_iter().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    Ok(names)
}

/// The name of a config without its end.
fn split(file: &str) -> Option<&str> {
    file.strip_suffix(".pbtxt").or_else(|| file.strip_suffix(".json"))
}

impl Old {
    /// What messages call it.
    pub(super) fn label(&self) -> String {
        self.folder.join(&self.file).display().to_string()
    }

    /// The name of what takes its place.
    pub(super) fn new_file(&self) -> String {
        format!("{}.yaml", split(&self.file).unwrap_or(&self.file))
    }

    /// Its text, unless there is another config, so that nobody knows which one is meant.
    pub(super) fn text(&self) -> Result<String, Error> {
        let stem = split(&self.file).unwrap_or(&self.file);
        let others = ENDS.map(|end| format!("{stem}{end}")).into_iter();
        let other = others.filter(|other| *other != self.file).find(|other| self.folder.join(other).exists());
        if let Some(other) = other {
            return Err(Error::invalid_arg(format!("found {} and {other}, expected one config", self.file)));
        }
        let path = self.folder.join(&self.file);
        let mut bytes = Vec::new();
        let reading = File::open(&path).and_then(|file| file.take(SIZE_MAX).read_to_end(&mut bytes));
        reading.map_err(|error| refused(&path, &error))?;
        String::from_utf8(bytes).map_err(|_| Error::invalid_arg(format!("{}: is not UTF-8", self.label())))
    }

    /// Writes the new one beside the old one, which is kept under another name.
    pub(super) fn replace(&self, yaml: &str) -> Result<(), Error> {
        let old = self.folder.join(&self.file);
        let kept = self.folder.join(format!("{}.bak", self.file));
        if kept.symlink_metadata().is_ok() {
            let message = format!("{}: is there already, so that {} cannot be kept", kept.display(), self.file);
            return Err(Error::new(ErrorKind::AlreadyExists, message));
        }
        publish(&self.folder.join(self.new_file()), yaml)?;
        fs::rename(&old, &kept).map_err(|error| refused(&old, &error))
    }

    /// Writes the new one into the model's folder below another folder.
    pub(super) fn write_below(&self, folder: &Path, yaml: &str) -> Result<(), Error> {
        let path = folder.join(&self.model).join(self.new_file());
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(|error| refused(parent, &error))?;
        }
        publish(&path, yaml)
    }
}

/// Writes a file that is not there yet: all of it, or nothing.
fn publish(path: &Path, text: &str) -> Result<(), Error> {
    if path.symlink_metadata().is_ok() {
        return Err(Error::new(ErrorKind::AlreadyExists, format!("{}: is there already", path.display())));
    }
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let new = path.with_file_name(format!(".{name}.new"));
    let written = OpenOptions::new().write(true).create_new(true).open(&new).and_then(|mut file| {
        let all = file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).and_then(|()| fs::rename(&new, path));
        all.inspect_err(|_| _ = fs::remove_file(&new))
    });
    written.map_err(|error| refused(path, &error))
}

fn refused(path: &Path, error: &io::Error) -> Error {
    let kind = match error.kind() {
        io::ErrorKind::NotFound => ErrorKind::NotFound,
        _ => ErrorKind::Unavailable,
    };
    Error::new(kind, format!("{}: {error}", path.display()))
}

const PBTXT: &str = "config.pbtxt";
const JSON: &str = "config.json";
const NAMED: &str = "configs";
const ENDS: [&str; 4] = [".yaml", ".yml", ".json", ".pbtxt"];

/// A byte more than a config may have, so that a longer one is found to be so.
const SIZE_MAX: u64 = (1 << 20) + 1;
