//! Looks through repositories and reads what lies in each model's folder. Parses no config and opens no model file.
//!
//! ```text
//!   scan_all -> distinct -> Root::survey -> sole -> Place::read -> ModelFolder::list -> config_text
//!                              (names)          /   Place::look         (files)    `-> look
//!   scan_model -> distinct -> places_of -------'      (one model)
//! ```
//!
//! Invariant: only a repository that cannot be listed fails a scan; whatever is wrong with one model is told under its
//! name. Names come sorted, so that two scans of the same files say the same.

use super::config_file::{self, CONFIG_NAMES};
use super::disk::{self, Bounds, Entry};
use super::files::{FileFiles, FolderFiles};
use super::look::Look;
use super::name::{Shown, check_model_name};
use super::repositories::{Repositories, Repository};
use super::seal;
use super::snapshot::Snapshot;
use super::versions::{FolderName, folder_name};
use super::{ConfigText, Found, FoundModel};
use inferlay_backend_sdk::{Error, ErrorKind, ModelFiles};
use std::collections::BTreeMap;
use std::fs::{self, FileType};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The most bytes of a config; more is somebody's data under the wrong name.
pub(crate) const CONFIG_BYTES_MAX: u64 = 1 << 20;

/// Finds the models of these folders, each a repository. A name that lies in two of them is broken in both.
///
/// # Errors
/// When a repository is not there, is no folder, or cannot be listed.
#[cfg(test)]
pub(crate) fn scan(folders: &[PathBuf], config_name: Option<&str>) -> Result<Found, Error> {
    scan_all(&Repositories::of_folders(folders).with_config_name(config_name.map(str::to_owned))?)
}

/// Finds the models of all repositories. A name that two of their folders bear is broken.
///
/// # Errors
/// When a folder of a repository is not there, is no folder, or cannot be listed.
pub(crate) fn scan_all(repositories: &Repositories) -> Result<Found, Error> {
    let mut found = Found::default();
    let roots = distinct(repositories, &mut found.warnings)?;
    let mut places = Places::new();
    for root in &roots {
        root.survey(&mut places, &mut found.warnings)?;
    }
    for (name, places) in places {
        match sole(&name, &places).and_then(|place| place.read(&name, &mut found.warnings)) {
            Ok(model) => drop(found.models.insert(name, model)),
            Err(error) => drop(found.broken.insert(name, error)),
        }
    }
    Ok(found)
}

/// The model that is served as `name`; `None` when there is none. Costs as much as that one model. What was passed over
/// is told in `warnings`.
///
/// # Errors
/// When a folder of a repository is not there, or something is wrong with the model.
pub(crate) fn scan_model(
    repositories: &Repositories,
    name: &str,
    warnings: &mut Vec<String>,
) -> Result<Option<FoundModel>, Error> {
    let roots = distinct(repositories, &mut Vec::new())?;
    let places = places_of(&roots, name);
    if places.is_empty() {
        return Ok(None);
    }
    sole(name, &places)?.read(name, warnings).map(Some)
}

/// Whether a look at the model would see what `snapshot` saw: that none of its files was touched since.
pub(crate) fn is_still_so(repositories: &Repositories, name: &str, snapshot: &Snapshot) -> bool {
    let look = |roots: Vec<Root<'_>>| sole(name, &places_of(&roots, name)).and_then(Place::look);
    let look = distinct(repositories, &mut Vec::new()).and_then(look);
    look.is_ok_and(|look| look.snapshot.has_stats_of(snapshot))
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
    Ok(FoundModel::new(&name, None, BTreeMap::from([(1, files)])))
}

/// The folders that bear each name, by the name that their models are served under.
pub(super) type Places<'a> = BTreeMap<String, Vec<Place<'a>>>;

/// A model's folder in one repository.
pub(super) struct Place<'a> {
    root: &'a Root<'a>,
    /// The folder's name.
    own: String,
}

/// Where the model of that name lies, if only one folder bears it.
///
/// # Errors
/// `ALREADY_EXISTS` naming the others.
pub(super) fn sole<'a, 'r>(name: &str, places: &'a [Place<'r>]) -> Result<&'a Place<'r>, Error> {
    if let [only] = places {
        return Ok(only);
    }
    let folders: Vec<String> = places.iter().map(|place| Shown::path(&place.folder()).to_string()).collect();
    let message =
        format!("model {}: found in {}, expected in one repository", Shown::text(name), folders.join(" and "));
    Err(Error::new(ErrorKind::AlreadyExists, message))
}

/// Where a model lies that is served as `name`, without listing any repository.
pub(super) fn places_of<'a>(roots: &'a [Root<'a>], name: &str) -> Vec<Place<'a>> {
    let mut places = Vec::new();
    for root in roots {
        for own in root.repository.own_names(name) {
            // A name that climbs out is no folder of the repository.
            if check_model_name(own).is_ok() && root.holds(own) {
                places.push(Place { root, own: own.to_owned() });
            }
        }
    }
    places
}

impl Place<'_> {
    /// The folder as the caller spelt it.
    pub(super) fn folder(&self) -> PathBuf {
        self.root.folder.join(&self.own)
    }

    /// The folder without symlinks, where it can be followed.
    pub(super) fn real(&self) -> Option<PathBuf> {
        self.root.bounds.resolve(&self.folder()).ok()
    }

    /// The folder of the repository that it lies in, as the caller spelt it.
    pub(super) fn home(&self) -> &Path {
        self.root.folder
    }

    /// Reads the model's config, and lists its files.
    pub(super) fn read(&self, name: &str, warnings: &mut Vec<String>) -> Result<FoundModel, Error> {
        let reading = |folder: &ModelFolder<'_>| {
            let listing = folder.list(warnings)?;
            // Looked at first: what changes while it is read has another stat afterwards.
            let look = folder.look(&listing)?;
            let config = listing.config.map(|name| folder.config_text(&name)).transpose()?;
            let shared = |(version, files)| (version, Arc::new(files) as Arc<dyn ModelFiles>);
            let mut versions = listing.versions.into_iter().map(shared).collect();
            let sealed = seal::Folder { root: &folder.root, bounds: folder.bounds, marker: folder.marker };
            let sealing = seal::in_folder(&sealed, config.as_ref(), &listing.prefixes, &mut versions)?;
            let beside = || Arc::new(FolderFiles::unlisted_in(&folder.root, folder.bounds)) as Arc<dyn ModelFiles>;
            let (look, beside) = (Some(look), Some(sealing.beside().unwrap_or_else(beside)));
            let own_name = self.own.clone();
            Ok(FoundModel { own_name, look, sealing, beside, ..FoundModel::new(name, config, versions) })
        };
        self.within(reading)
    }

    /// Looks at the model's files without opening any.
    pub(super) fn look(&self) -> Result<Look, Error> {
        self.within(|folder| folder.look(&folder.list(&mut Vec::new())?))
    }

    fn within<T>(&self, read: impl FnOnce(&ModelFolder<'_>) -> Result<T, Error>) -> Result<T, Error> {
        let (Root { bounds, marker, config_name, .. }, folder) = (self.root, self.folder());
        let at = |error: Error| error.at(format_args!("model {}", Shown::text(&self.own)));
        check_model_name(&self.own)?;
        let root = bounds.resolve(&folder).map_err(at)?;
        if root == bounds.root() {
            return Err(at(Error::not_found("found a link to the repository itself, expected a folder inside of it")));
        }
        let (marker, config_name) = (*marker, *config_name);
        read(&ModelFolder { root, shown: &folder, bounds, marker, config_name }).map_err(at)
    }
}

/// One folder of a repository.
pub(super) struct Root<'a> {
    repository: &'a Repository,
    /// As the caller spelt it.
    folder: &'a Path,
    bounds: Bounds,
    marker: Option<&'a str>,
    config_name: Option<&'a str>,
}

fn distinct<'a>(repositories: &'a Repositories, warnings: &mut Vec<String>) -> Result<Vec<Root<'a>>, Error> {
    let mut roots: Vec<Root<'a>> = Vec::new();
    for (repository, folder) in repositories.iter().flat_map(|one| one.folders.iter().map(move |folder| (one, folder)))
    {
        let root = Root::open(repository, folder, repositories)?;
        match roots.iter().find(|earlier| earlier.path() == root.path()) {
            Some(earlier) => {
                let (folder, earlier) = (Shown::path(folder), Shown::path(earlier.folder));
                warnings.push(format!("repository {folder}: same as {earlier}"));
            }
            None => roots.push(root),
        }
    }
    Ok(roots)
}

fn not_listed(error: Error) -> Error {
    Error::new(error.kind(), format!("repository {}", error.message()))
}

impl<'a> Root<'a> {
    /// The folder as it lies there now.
    pub(super) fn open(repository: &'a Repository, folder: &'a Path, all: &'a Repositories) -> Result<Self, Error> {
        let bounds = Bounds::of_folder(folder).map_err(not_listed)?;
        let (marker, config_name) = (all.marker(), all.config_name());
        Ok(Root { repository, folder, bounds, marker, config_name })
    }

    /// The folder without symlinks.
    pub(super) fn path(&self) -> &Path {
        self.bounds.root()
    }

    /// The folder as the caller spelt it.
    pub(super) fn folder(&self) -> &Path {
        self.folder
    }

    /// Adds the folders in which something may happen that makes other models lie here.
    pub(super) fn add_folders(&self, folders: &mut Vec<PathBuf>) {
        folders.push(self.path().to_owned());
        disk::folders_of_links(self.folder, folders);
    }

    /// Adds every model that lies here to `places`.
    pub(super) fn survey(&'a self, places: &mut Places<'a>, warnings: &mut Vec<String>) -> Result<(), Error> {
        for entry in &disk::entries(self.path()).map_err(not_listed)? {
            let folder = self.folder.join(&entry.name);
            let Some(own) = entry.name.to_str() else {
                warnings.push(format!("{}: passed over: found a name that is not UTF-8", Shown::path(&folder)));
                continue;
            };
            if Kind::of(&folder, entry.kind) != Kind::File {
                let place = Place { root: self, own: own.to_owned() };
                places.entry(self.repository.served_name(own)).or_default().push(place);
            } else if CONFIG_NAMES.contains(&own) {
                let repository = Shown::path(self.folder);
                let what = format!("found a {own}, expected a folder of models, not one model");
                warnings.push(format!("repository {repository}: {what}"));
            }
        }
        Ok(())
    }

    fn holds(&self, own: &str) -> bool {
        let folder = self.folder.join(own);
        fs::symlink_metadata(&folder).is_ok_and(|entry| Kind::of(&folder, entry.file_type()) != Kind::File)
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
    fn of(path: &Path, own: FileType) -> Kind {
        let is_folder = match own.is_symlink() {
            true => fs::metadata(path).map(|metadata| metadata.is_dir()),
            false => Ok(own.is_dir()),
        };
        match is_folder {
            Ok(true) => Kind::Folder,
            Ok(false) => Kind::File,
            Err(_) => Kind::BrokenLink,
        }
    }
}

/// The folder of one model while it is read.
struct ModelFolder<'a> {
    /// Without symlinks.
    root: PathBuf,
    /// As the caller spelt it.
    shown: &'a Path,
    bounds: &'a Bounds,
    marker: Option<&'a str>,
    config_name: Option<&'a str>,
}

/// The files of a model, none of them opened.
struct Listing {
    config: Option<String>,
    versions: BTreeMap<u64, FolderFiles>,
    /// What the names of each version's files begin with, seen from the model's folder.
    prefixes: BTreeMap<u64, String>,
    /// Files beside the versions, and the seal.
    files: Vec<String>,
    /// Folders beside the versions.
    folders: Vec<String>,
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
    fn list(&self, warnings: &mut Vec<String>) -> Result<Listing, Error> {
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
        let versions = self.versions(&contents, own, warnings)?;
        let beside = |names: &[&str]| match contents.versions.is_empty() {
            true => Vec::new(),
            false => names.iter().filter(|name| Some(**name) != self.marker).map(|name| (*name).to_owned()).collect(),
        };
        let mut files = beside(&contents.files);
        // Who seals a model or signs it changes it.
        let is_there = |name: &&str| entries.iter().any(|entry| entry.name == **name);
        files.extend(seal::NAMES.iter().copied().filter(is_there).map(str::to_owned));
        let (prefixes, folders) = (contents.prefixes(), beside(&contents.others));
        Ok(Listing { config, versions, prefixes, files, folders })
    }

    fn look(&self, listing: &Listing) -> Result<Look, Error> {
        let mut look = Look::new(&self.root, self.shown, self.bounds);
        look.add_marker(&self.root, self.marker);
        for (version, files) in &listing.versions {
            look.add_version(*version, files, self.marker)?;
        }
        for name in listing.config.iter().chain(&listing.files) {
            match listing.config.as_ref() == Some(name) {
                true => look.add_config(name)?,
                false => look.add_other(name, None)?,
            }
        }
        for name in &listing.folders {
            // A folder that is about something else may hold anything: what cannot be listed is not the model's trouble.
            if let Ok(files) = FolderFiles::open_within(&self.root.join(name), self.bounds.clone()) {
                look.add_other(name, Some(&files))?;
            }
        }
        Ok(look.done())
    }

    fn contents<'e>(&self, entries: &'e [Entry]) -> Contents<'e> {
        let mut contents = Contents::default();
        for entry in entries {
            let Some(name) = entry.name.to_str() else { continue };
            match (Kind::of(&self.root.join(name), entry.kind), folder_name(name)) {
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

    /// The files of each version; `own` are names of configs that are files of the model.
    fn versions(
        &self,
        contents: &Contents<'_>,
        own: &[&str],
        warnings: &mut Vec<String>,
    ) -> Result<BTreeMap<u64, FolderFiles>, Error> {
        let open = |name: &str, but: &[&str]| FolderFiles::open_but(&self.root.join(name), self.bounds.clone(), but);
        let mut opened = BTreeMap::new();
        for (version, name) in &contents.versions {
            opened.insert(*version, open(name, &[]).map_err(|error| error.at(format_args!("version {version}")))?);
        }
        if opened.is_empty() {
            let configs = CONFIG_NAMES.iter().copied().filter(|name| !own.contains(name));
            opened.insert(1, open("", &configs.chain(seal::NAMES).collect::<Vec<_>>())?);
        }
        for files in opened.values() {
            warnings.extend_from_slice(files.unlisted());
        }
        Ok(opened)
    }

    /// The name of the config, if there is one.
    fn config(&self, entries: &[Entry], contents: &Contents<'_>) -> Result<Option<String>, Error> {
        let has_own_json = contents.has_own_json(entries);
        let is_there = |name: &str| match name.contains('/') {
            true => fs::symlink_metadata(self.root.join(name)).is_ok(),
            false => entries.iter().any(|entry| entry.name == *name) && !(name == JSON && has_own_json),
        };
        config_file::choose(is_there, self.config_name)
    }

    /// The text of the config. A file that is there and cannot be read is an error, never silence.
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

impl Contents<'_> {
    /// Whether `config.json` is a file of the model: beside one without a folder of its version, it is more likely to be
    /// that of the model's own framework.
    fn has_own_json(&self, entries: &[Entry]) -> bool {
        self.versions.is_empty() && !self.files.is_empty() && entries.iter().any(|entry| entry.name == *JSON)
    }
}

const JSON: &str = "config.json";

fn own_json() -> String {
    let expected = CONFIG_NAMES[0];
    format!(
        "found {JSON} beside the files of a model, which counts as one of them, expected {expected} or a folder named 1"
    )
}
