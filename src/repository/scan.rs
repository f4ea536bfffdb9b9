//! Looks through repositories and reads what lies in each model's folder. Parses no config and opens no model file.
//!
//! ```text
//!   scan -> distinct -> Repository::survey -> Repository::model -> read_config, versions
//!                           (names)               (one model)
//! ```
//!
//! Invariant: only a repository that cannot be listed fails a scan; whatever is wrong with one model is told under its
//! name. Names come sorted, so that two scans of the same files say the same.

use super::disk::{self, Bounds, Entry};
use super::files::{FileFiles, FolderFiles};
use super::name::{Shown, check_model_name};
use super::seal::{self, Sealing};
use super::versions::{FolderName, folder_name};
use super::{ConfigText, Found, FoundModel};
use inferlay_backend_sdk::{Error, ErrorKind, ModelFiles};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The most bytes of a config; more is somebody's data under the wrong name.
pub(crate) const CONFIG_BYTES_MAX: u64 = 1 << 20;

/// What a config may be called.
pub(super) const CONFIG_NAMES: [&str; 2] = ["config.yaml", "config.yml"];

/// Finds the models of all repositories. A name that lies in two of them is broken in both.
///
/// # Errors
/// When a repository is not there, is no folder, or cannot be listed.
pub(crate) fn scan(repositories: &[PathBuf]) -> Result<Found, Error> {
    let mut found = Found::default();
    let mut sightings = BTreeMap::new();
    for repository in distinct(repositories, &mut found.warnings)? {
        repository.survey(&mut sightings, &mut found.warnings)?;
    }
    for (name, seen) in sightings {
        match sole(&name, seen) {
            Ok(model) => drop(found.models.insert(name, model)),
            Err(error) => drop(found.broken.insert(name, error)),
        }
    }
    Ok(found)
}

/// The model in one file, as version 1, named by the file's stem: `digits` for `path/digits.onnx`, `model` for
/// `model.onnx`. A config beside it is not looked for: whoever names a file means that file.
///
/// # Errors
/// When it is not a readable file, or its stem cannot name a model.
pub(crate) fn open_file(path: &Path) -> Result<FoundModel, Error> {
    let files: Arc<dyn ModelFiles> = Arc::new(FileFiles::open(path)?);
    let name = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default().to_owned();
    check_model_name(&name).map_err(|error| error.at(Shown::path(path)))?;
    let (versions, stamps) = (BTreeMap::from([(1, files)]), BTreeMap::new());
    Ok(FoundModel { name, config: None, versions, sealing: Sealing::Missing, stamps })
}

/// A model's folder in one repository, and what lies in it.
struct Sighting {
    folder: PathBuf,
    model: Result<FoundModel, Error>,
}

/// The model of that name, if only one repository has it.
fn sole(name: &str, mut seen: Vec<Sighting>) -> Result<FoundModel, Error> {
    if seen.len() == 1
        && let Some(only) = seen.pop()
    {
        return only.model;
    }
    let folders: Vec<String> = seen.iter().map(|sighting| Shown::path(&sighting.folder).to_string()).collect();
    let message =
        format!("model {}: found in {}, expected in one repository", Shown::text(name), folders.join(" and "));
    Err(Error::new(ErrorKind::AlreadyExists, message))
}

struct Repository {
    /// As the caller spelt it.
    folder: PathBuf,
    bounds: Bounds,
}

fn distinct(folders: &[PathBuf], warnings: &mut Vec<String>) -> Result<Vec<Repository>, Error> {
    let mut repositories: Vec<Repository> = Vec::new();
    for folder in folders {
        let bounds = Bounds::of_folder(folder).map_err(not_listed)?;
        let shown = Shown::path(folder);
        match repositories.iter().find(|earlier| earlier.bounds.root() == bounds.root()) {
            Some(earlier) => warnings.push(format!("repository {shown}: same as {}", Shown::path(&earlier.folder))),
            None => repositories.push(Repository { folder: folder.clone(), bounds }),
        }
    }
    Ok(repositories)
}

fn not_listed(error: Error) -> Error {
    Error::new(error.kind(), format!("repository {}", error.message()))
}

impl Repository {
    /// Adds every model of this repository to `sightings`.
    fn survey(&self, sightings: &mut BTreeMap<String, Vec<Sighting>>, warnings: &mut Vec<String>) -> Result<(), Error> {
        let entries = disk::entries(self.bounds.root()).map_err(not_listed)?;
        for entry in &entries {
            let folder = self.folder.join(&entry.name);
            let Some(name) = entry.name.to_str() else {
                warnings.push(format!("{}: passed over: found a name that is not UTF-8", Shown::path(&folder)));
                continue;
            };
            if let Some(model) = self.model(name, entry, warnings).transpose() {
                sightings.entry(name.to_owned()).or_default().push(Sighting { folder, model });
            } else if CONFIG_NAMES.contains(&name) {
                let repository = Shown::path(&self.folder);
                warnings.push(format!(
                    "repository {repository}: found a {name}, expected a folder of models, not one model"
                ));
            }
        }
        Ok(())
    }

    /// The model in one entry; `None` for a file, which is none.
    fn model(&self, name: &str, entry: &Entry, warnings: &mut Vec<String>) -> Result<Option<FoundModel>, Error> {
        let folder = self.folder.join(name);
        let at = |error: Error| error.at(format_args!("model {}", Shown::text(name)));
        if Kind::of(&folder, entry) == Kind::File {
            return Ok(None);
        }
        check_model_name(name)?;
        let root = self.bounds.resolve(&folder).map_err(at)?;
        if root == self.bounds.root() {
            return Err(at(Error::not_found("found a link to the repository itself, expected a folder inside of it")));
        }
        let reading = ModelFolder { root, shown: &folder, bounds: &self.bounds };
        let (config, versions, sealing) = reading.read(warnings).map_err(at)?;
        Ok(Some(FoundModel { name: name.to_owned(), config, versions, sealing, stamps: BTreeMap::new() }))
    }
}

/// What an entry is once its symlinks are followed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Folder,
    File,
    /// A symlink that cannot be followed: whatever it was meant to be is told with the error of following it.
    BrokenLink,
}

impl Kind {
    fn of(path: &Path, entry: &Entry) -> Kind {
        let is_folder = match entry.kind.is_symlink() {
            true => fs::metadata(path).map(|metadata| metadata.is_dir()),
            false => Ok(entry.kind.is_dir()),
        };
        match is_folder {
            Ok(true) => Kind::Folder,
            Ok(false) => Kind::File,
            Err(_) => Kind::BrokenLink,
        }
    }
}

/// The files of every version.
pub(super) type Versions = BTreeMap<u64, Arc<dyn ModelFiles>>;

/// The folder of one model while it is read.
struct ModelFolder<'a> {
    /// Without symlinks.
    root: PathBuf,
    /// As the caller spelt it.
    shown: &'a Path,
    bounds: &'a Bounds,
}

/// What lies in the folder of a model.
#[derive(Default)]
struct Contents<'a> {
    versions: BTreeMap<u64, &'a str>,
    /// Folders that are not quite versions, each with its reason.
    almost: Vec<String>,
    /// Folders that are about something else.
    others: Vec<&'a str>,
    files: Vec<&'a str>,
}

impl Contents<'_> {
    /// What the names of each version's files begin with, seen from the model's folder.
    fn prefixes(&self) -> BTreeMap<u64, String> {
        if self.versions.is_empty() {
            return BTreeMap::from([(1, String::new())]);
        }
        self.versions.iter().map(|(version, name)| (*version, format!("{name}/"))).collect()
    }
}

impl ModelFolder<'_> {
    fn read(&self, warnings: &mut Vec<String>) -> Result<(Option<ConfigText>, Versions, Sealing), Error> {
        let entries = disk::entries(&self.root)?;
        let contents = self.contents(&entries);
        let config = self.config(&entries)?;
        // A config alone is enough: not every backend needs a file. Not so beside a version that was misspelt.
        let enough = !contents.files.is_empty() || (config.is_some() && contents.almost.is_empty());
        if contents.versions.is_empty() && !enough {
            return Err(self.empty(&contents));
        }
        let shadowed = self.shadowed(&contents);
        let foreign = foreign_config(&contents).filter(|_| config.is_none());
        let passed_over = contents.almost.iter().chain(&shadowed).chain(&foreign);
        warnings.extend(passed_over.map(|why| format!("model {}: passed over: {why}", Shown::path(self.shown))));
        let mut versions = self.versions(&contents, warnings)?;
        let prefixes = contents.prefixes();
        let sealing = seal::in_folder((&self.root, self.bounds), config.as_ref(), &prefixes, &mut versions)?;
        Ok((config, versions, sealing))
    }

    fn contents<'e>(&self, entries: &'e [Entry]) -> Contents<'e> {
        let mut contents = Contents::default();
        for entry in entries {
            let Some(name) = entry.name.to_str() else { continue };
            match (Kind::of(&self.root.join(name), entry), folder_name(name)) {
                (Kind::Folder | Kind::BrokenLink, FolderName::Version(version)) => {
                    contents.versions.insert(version, name);
                }
                (Kind::Folder, FolderName::Almost(why)) => contents.almost.push(why),
                (Kind::Folder, FolderName::Other) => contents.others.push(name),
                _ if CONFIG_NAMES.contains(&name) || seal::NAMES.contains(&name) => {}
                _ => contents.files.push(name),
            }
        }
        contents
    }

    fn versions(&self, contents: &Contents<'_>, warnings: &mut Vec<String>) -> Result<Versions, Error> {
        let open = |name: &str| FolderFiles::open_within(&self.root.join(name), self.bounds.clone());
        let mut opened = Vec::new();
        for (version, name) in &contents.versions {
            opened.push((*version, open(name).map_err(|error| error.at(format_args!("version {version}")))?));
        }
        if opened.is_empty() {
            opened.push((1, open("")?.without(&CONFIG_NAMES).without(&seal::NAMES)));
        }
        for (_, files) in &opened {
            warnings.extend_from_slice(files.unlisted());
        }
        Ok(opened.into_iter().map(|(version, files)| (version, Arc::new(files) as Arc<dyn ModelFiles>)).collect())
    }

    /// The config, if there is one. A file that is there and cannot be read is an error, never silence.
    fn config(&self, entries: &[Entry]) -> Result<Option<ConfigText>, Error> {
        let mut names = CONFIG_NAMES.iter().filter(|name| entries.iter().any(|entry| entry.name == **name));
        match (names.next(), names.next()) {
            (None, _) => Ok(None),
            (Some(name), None) => self.config_text(name).map(Some),
            (Some(one), Some(other)) => {
                Err(Error::invalid_arg(format!("found {one} and {other}, expected one config")))
            }
        }
    }

    fn config_text(&self, name: &str) -> Result<ConfigText, Error> {
        let path = self.root.join(name);
        let label = self.shown.join(name).display().to_string();
        let bytes = self.bounds.read_short(&path, CONFIG_BYTES_MAX, "a config")?;
        let text = String::from_utf8(bytes).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            Error::invalid_arg(format!("{label}: found a byte at offset {at} that is not UTF-8, expected UTF-8 text"))
        })?;
        Ok(ConfigText { label, text })
    }

    /// Loose files beside version folders are labels and notes, unless a version has a file of the same name: then
    /// somebody may think that the loose one is served.
    fn shadowed(&self, contents: &Contents<'_>) -> Vec<String> {
        let in_version = |file: &str| contents.versions.values().find(|name| self.root.join(name).join(file).exists());
        let shadow = |file: &&str| {
            let version = in_version(file)?;
            Some(format!("found file {}, expected it only in version {version}, which is served", Shown::text(file)))
        };
        contents.files.iter().filter_map(shadow).collect()
    }

    fn empty(&self, contents: &Contents<'_>) -> Error {
        let folder = Shown::path(self.shown);
        let found = match (&contents.almost[..], &contents.others[..]) {
            ([], []) => "found an empty folder".to_owned(),
            ([], [other, ..]) => format!("found folder {}", Shown::text(other)),
            (almost, _) => almost.join("; "),
        };
        let message = format!("{folder}: no version: {found}, expected a folder named 1 with a model in it");
        Error::not_found(message)
    }
}

/// Triton's own config is the one that a folder from elsewhere is most likely to bring along.
fn foreign_config(contents: &Contents<'_>) -> Option<String> {
    let file = contents.files.iter().find(|file| **file == "config.pbtxt")?;
    Some(format!("found {file}, which is not read, expected {}", CONFIG_NAMES[0]))
}
