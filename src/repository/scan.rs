//! Looks through repositories and reads what lies in each model's folder. Parses no config and opens no model file.
//!
//! ```text
//!   scan -> distinct -> Repository::survey -> Repository::model -> read_config, versions
//!                           (names)               (one model)
//! ```
//!
//! Invariant: only a repository that cannot be listed fails a scan; whatever is wrong with one model is told under its
//! name. Names come sorted, so that two scans of the same files say the same.

use super::config_file::{self, CONFIG_NAMES, CONFIGS_FOLDER};
use super::disk::{self, Bounds, Entry};
use super::files::{FileFiles, FolderFiles};
use super::name::{Shown, check_model_name};
use super::versions::{FolderName, folder_name};
use super::{ConfigText, Found, FoundModel};
use inferlay_backend_sdk::{Error, ErrorKind, ModelFiles};
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The most bytes of a config; more is somebody's data under the wrong name.
pub(crate) const CONFIG_BYTES_MAX: u64 = 1 << 20;

/// Finds the models of all repositories. A name that lies in two of them is broken in both. With a config name, the
/// configs of that name are read where models have one.
///
/// # Errors
/// When a repository is not there, is no folder, or cannot be listed.
pub(crate) fn scan(repositories: &[PathBuf], config_name: Option<&str>) -> Result<Found, Error> {
    let mut found = Found::default();
    let mut sightings = BTreeMap::new();
    for repository in distinct(repositories, config_name, &mut found.warnings)? {
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
    Ok(FoundModel { name, config: None, versions: BTreeMap::from([(1, files)]), stamps: BTreeMap::new() })
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

struct Repository<'a> {
    /// As the caller spelt it.
    folder: PathBuf,
    bounds: Bounds,
    config_name: Option<&'a str>,
}

fn distinct<'a>(
    folders: &[PathBuf],
    config_name: Option<&'a str>,
    warnings: &mut Vec<String>,
) -> Result<Vec<Repository<'a>>, Error> {
    let mut repositories: Vec<Repository<'a>> = Vec::new();
    for folder in folders {
        let bounds = Bounds::of_folder(folder).map_err(not_listed)?;
        let shown = Shown::path(folder);
        match repositories.iter().find(|earlier| earlier.bounds.root() == bounds.root()) {
            Some(earlier) => warnings.push(format!("repository {shown}: same as {}", Shown::path(&earlier.folder))),
            None => repositories.push(Repository { folder: folder.clone(), bounds, config_name }),
        }
    }
    Ok(repositories)
}

fn not_listed(error: Error) -> Error {
    Error::new(error.kind(), format!("repository {}", error.message()))
}

impl Repository<'_> {
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
        let reading = ModelFolder { root, shown: &folder, bounds: &self.bounds, config_name: self.config_name };
        let (config, versions) = reading.read(warnings).map_err(at)?;
        Ok(Some(FoundModel { name: name.to_owned(), config, versions, stamps: BTreeMap::new() }))
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

type Versions = BTreeMap<u64, Arc<dyn ModelFiles>>;

/// The folder of one model while it is read.
struct ModelFolder<'a> {
    /// Without symlinks.
    root: PathBuf,
    /// As the caller spelt it.
    shown: &'a Path,
    bounds: &'a Bounds,
    config_name: Option<&'a str>,
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

impl ModelFolder<'_> {
    fn read(&self, warnings: &mut Vec<String>) -> Result<(Option<ConfigText>, Versions), Error> {
        let entries = disk::entries(&self.root)?;
        let contents = self.contents(&entries);
        let config = self.config(&entries, &contents)?;
        // A config alone is enough: not every backend needs a file. Not so beside a version that was misspelt.
        let enough = !contents.files.is_empty() || (config.is_some() && contents.almost.is_empty());
        if contents.versions.is_empty() && !enough {
            return Err(self.empty(&contents));
        }
        let shadowed = self.shadowed(&contents);
        let doubtful = contents.has_own_json(&entries).then(own_json);
        let passed_over = contents.almost.iter().chain(&shadowed).chain(&doubtful);
        warnings.extend(passed_over.map(|why| format!("model {}: passed over: {why}", Shown::path(self.shown))));
        let own: &[&str] = if doubtful.is_some() { &[JSON] } else { &[] };
        Ok((config, self.versions(&contents, own, warnings)?))
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
                _ if CONFIG_NAMES.contains(&name) => {}
                _ => contents.files.push(name),
            }
        }
        contents
    }

    /// The files of each version; `own` are names of configs that are files of the model.
    fn versions(&self, contents: &Contents<'_>, own: &[&str], warnings: &mut Vec<String>) -> Result<Versions, Error> {
        let open = |name: &str| FolderFiles::open_within(&self.root.join(name), self.bounds.clone());
        let mut opened = Vec::new();
        for (version, name) in &contents.versions {
            opened.push((*version, open(name).map_err(|error| error.at(format_args!("version {version}")))?));
        }
        if opened.is_empty() {
            let configs = CONFIG_NAMES.iter().copied().filter(|name| !own.contains(name));
            opened.push((1, open("")?.without(&configs.collect::<Vec<_>>())));
        }
        for (_, files) in &opened {
            warnings.extend_from_slice(files.unlisted());
        }
        Ok(opened.into_iter().map(|(version, files)| (version, Arc::new(files) as Arc<dyn ModelFiles>)).collect())
    }

    /// The config, if there is one. A file that is there and cannot be read is an error, never silence.
    fn config(&self, entries: &[Entry], contents: &Contents<'_>) -> Result<Option<ConfigText>, Error> {
        let has_own_json = contents.has_own_json(entries);
        let is_there = |name: &str| match name.split_once('/') {
            None => entries.iter().any(|entry| entry.name == *name) && !(name == JSON && has_own_json),
            Some((folder, _)) => {
                debug_assert_eq!(folder, CONFIGS_FOLDER);
                fs::symlink_metadata(self.root.join(name)).is_ok()
            }
        };
        config_file::choose(is_there, self.config_name)?.map(|name| self.config_text(&name)).transpose()
    }

    fn config_text(&self, name: &str) -> Result<ConfigText, Error> {
        let path = self.root.join(name);
        let label = self.shown.join(name).display().to_string();
        let real = self.bounds.resolve_file(&path)?;
        let mut bytes = Vec::new();
        let reading = File::open(real).and_then(|file| file.take(CONFIG_BYTES_MAX + 1).read_to_end(&mut bytes));
        reading.map_err(|error| disk::refused(&path, &error))?;
        if bytes.len() as u64 > CONFIG_BYTES_MAX {
            return Err(Error::invalid_arg(format!(
                "{label}: found more than {CONFIG_BYTES_MAX} bytes, expected a config"
            )));
        }
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

impl Contents<'_> {
    /// Whether `config.json` is a file of the model: beside one without a folder of its version, it is more likely to be
    /// that of the model's own framework.
    fn has_own_json(&self, entries: &[Entry]) -> bool {
        self.versions.is_empty() && !self.files.is_empty() && entries.iter().any(|entry| entry.name == *JSON)
    }
}

const JSON: &str = "config.json";

fn own_json() -> String {
    format!(
        "found {JSON} beside the files of a model, which counts as one of them, expected {} or a folder named 1",
        CONFIG_NAMES[0]
    )
}
