//! Which folders are repositories, and under which names their models are served. Pure values.
//!
//! ```text
//!   Repositories   a repository --- folders: one or several, searched as one
//!                  |            |-- served_as: digits -> numbers
//!                  |            '-- namespace: vision         digits is served as `vision/numbers`
//!                  a repository ...
//! ```
//!
//! Invariants: 1. A model's name follows from its own repository alone, so that adding one renames nothing in another.
//! 2. A repository is known by its folders: no two have the same ones.

use super::config_file::check_config_name;
use super::name::{Shown, check_model_name};
use inferlay_backend_sdk::{Error, ErrorKind};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Folders of models that are searched as one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Repository {
    /// Where its models lie; a model lies in one of them.
    pub(crate) folders: Vec<PathBuf>,
    /// Models that are served under another name than their folder's: from the folder's name to the other.
    pub(crate) served_as: BTreeMap<String, String>,
    /// What is put before the names of its models, with a `/` between: two repositories may hold the same name then.
    pub(crate) namespace: Option<String>,
}

impl Repository {
    /// One folder, whose models are served under their own names.
    pub(crate) fn at(folder: PathBuf) -> Self {
        Repository { folders: vec![folder], ..Repository::default() }
    }

    /// The name under which the model in the folder `own` is served.
    pub(super) fn served_name(&self, own: &str) -> String {
        let name = self.served_as.get(own).map_or(own, String::as_str);
        match &self.namespace {
            Some(namespace) => format!("{namespace}/{name}"),
            None => name.to_owned(),
        }
    }

    /// The names of the folders in which a model may lie that is served as `name`.
    pub(super) fn own_names<'a>(&'a self, name: &'a str) -> Vec<&'a str> {
        let name = match &self.namespace {
            Some(namespace) => name.strip_prefix(namespace.as_str()).and_then(|rest| rest.strip_prefix('/')),
            None => Some(name),
        };
        let Some(name) = name else { return Vec::new() };
        let mapped = self.served_as.iter().filter(|(_, served)| *served == name).map(|(own, _)| own.as_str());
        mapped.chain(Some(name).filter(|own| !self.served_as.contains_key(*own))).collect()
    }

    fn check(&self) -> Result<(), Error> {
        for name in self.namespace.iter().chain(self.served_as.values()) {
            check_model_name(name)?;
        }
        let served: Vec<&String> = self.served_as.values().collect();
        let twice = served.iter().enumerate().find(|(at, name)| served[..*at].contains(name));
        match twice {
            Some((_, name)) => {
                let message = format!("model {}: found as the name of two folders, expected of one", Shown::text(name));
                Err(Error::new(ErrorKind::AlreadyExists, message))
            }
            None => Ok(()),
        }
    }
}

/// All repositories of a server, and what their files say when they are ready.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Repositories {
    list: Vec<Repository>,
    /// The name of the file by which whoever publishes a model says that all of it is there; it is no file of the
    /// model. It lies in the model's folder or in a version's.
    marker: Option<String>,
    /// Which of the configs of a model is read, where it has several.
    config_name: Option<String>,
}

impl Repositories {
    /// None yet. `marker` names the file that says when a model is ready, where there is such a rule.
    ///
    /// # Errors
    /// `INVALID_ARG` for a marker that is no plain file name.
    pub(crate) fn new(marker: Option<String>) -> Result<Self, Error> {
        let odd =
            |name: &String| name.is_empty() || matches!(name.as_str(), "." | "..") || name.contains(['/', '\\', '\0']);
        match marker.iter().find(|name| odd(name)) {
            Some(name) => Err(Error::invalid_arg(format!(
                "ready marker: found {}, expected the name of a file",
                Shown::text(name)
            ))),
            None => Ok(Repositories { marker, ..Repositories::default() }),
        }
    }

    /// The same, where the configs of that name are read of the models that have one.
    ///
    /// # Errors
    /// `INVALID_ARG` for what is no plain file name.
    pub(crate) fn with_config_name(self, config_name: Option<String>) -> Result<Self, Error> {
        config_name.as_deref().map_or(Ok(()), check_config_name)?;
        Ok(Repositories { config_name, ..self })
    }

    /// Which of the configs of a model is read.
    pub(crate) fn config_name(&self) -> Option<&str> {
        self.config_name.as_deref()
    }

    /// A repository for each of `folders`.
    #[cfg(test)]
    pub(crate) fn of_folders(folders: &[PathBuf]) -> Self {
        Repositories { list: folders.iter().cloned().map(Repository::at).collect(), ..Repositories::default() }
    }

    /// Adds one. Where its folders are not there yet, a scan says so.
    ///
    /// # Errors
    /// `INVALID_ARG` for a namespace or a name that no model may bear, or no folder at all; `ALREADY_EXISTS` for a
    /// repository of the same folders, and for one name that two folders shall bear.
    pub(crate) fn add(&mut self, repository: Repository) -> Result<(), Error> {
        repository.check()?;
        let Some(first) = repository.folders.first() else {
            return Err(Error::invalid_arg("repository: found no folder, expected at least one"));
        };
        if self.list.iter().any(|other| other.folders == repository.folders) {
            let message =
                format!("repository {}: found among the repositories, expected a new one", Shown::path(first));
            return Err(Error::new(ErrorKind::AlreadyExists, message));
        }
        self.list.push(repository);
        Ok(())
    }

    /// Takes the repository of these folders away.
    ///
    /// # Errors
    /// `NOT_FOUND` when there is none.
    pub(crate) fn remove(&mut self, folders: &[PathBuf]) -> Result<Repository, Error> {
        let at = self.list.iter().position(|repository| repository.folders == folders);
        at.map(|at| self.list.remove(at)).ok_or_else(|| {
            let shown: Vec<String> = folders.iter().map(|folder| Shown::path(folder).to_string()).collect();
            Error::not_found(format!("repository {}: not found among the repositories", shown.join(", ")))
        })
    }

    /// Each of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Repository> {
        self.list.iter()
    }

    /// Each folder of each of them.
    pub(super) fn folders(&self) -> impl Iterator<Item = (&Repository, &Path)> {
        self.list.iter().flat_map(|one| one.folders.iter().map(move |folder| (one, folder.as_path())))
    }

    /// The name of the file that says when a model is ready.
    pub(crate) fn marker(&self) -> Option<&str> {
        self.marker.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(served_as: &[(&str, &str)], namespace: Option<&str>) -> Repository {
        Repository {
            served_as: served_as.iter().map(|(own, served)| ((*own).to_owned(), (*served).to_owned())).collect(),
            namespace: namespace.map(str::to_owned),
            ..Repository::at(PathBuf::from("models"))
        }
    }

    #[test]
    fn a_name_is_mapped_and_put_into_its_namespace() {
        let rows: [(Repository, &str, &str); 5] = [
            (named(&[], None), "a", "a"),
            (named(&[("a", "b")], None), "a", "b"),
            (named(&[("a", "b")], None), "c", "c"),
            (named(&[], Some("größe")), "a", "größe/a"),
            (named(&[("a", "b")], Some("n")), "a", "n/b"),
        ];
        for (repository, own, served) in rows {
            assert_eq!(repository.served_name(own), served);
            assert!(repository.own_names(served).contains(&own), "{own} {served}");
        }
    }

    #[test]
    fn a_mapped_folder_no_longer_bears_its_own_name() {
        let repository = named(&[("a", "b"), ("b", "a")], None);
        assert_eq!((repository.own_names("a"), repository.own_names("b")), (vec!["b"], vec!["a"]));
        assert_eq!(named(&[("a", "b")], None).own_names("a"), Vec::<&str>::new());
        // Both are looked at: that they are two is for a scan to say.
        assert_eq!(named(&[("a", "b")], None).own_names("b"), ["a", "b"]);
        assert_eq!(named(&[], Some("n")).own_names("a"), Vec::<&str>::new());
        assert_eq!(named(&[], Some("n")).own_names("na"), Vec::<&str>::new());
    }

    #[test]
    fn repositories_come_and_go_by_their_folders() {
        let mut all = Repositories::new(Some("READY".to_owned())).unwrap();
        all.add(named(&[], None)).unwrap();
        assert_eq!(all.add(named(&[], Some("n"))).unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(all.remove(&[PathBuf::from("other")]).unwrap_err().kind(), ErrorKind::NotFound);
        assert_eq!(all.remove(&[PathBuf::from("models")]).unwrap(), named(&[], None));
        assert_eq!(all.iter().count(), 0);
    }

    #[test]
    fn what_cannot_be_a_repository_is_refused() {
        let rows = [
            (named(&[], Some("a/b")), ErrorKind::InvalidArg),
            (named(&[("a", "..")], None), ErrorKind::InvalidArg),
            (named(&[("a", "c"), ("b", "c")], None), ErrorKind::AlreadyExists),
            (Repository::default(), ErrorKind::InvalidArg),
        ];
        for (repository, kind) in rows {
            assert_eq!(Repositories::default().add(repository).unwrap_err().kind(), kind);
        }
        for marker in ["", "..", "a/b"] {
            assert_eq!(Repositories::new(Some(marker.to_owned())).unwrap_err().kind(), ErrorKind::InvalidArg);
        }
    }
}
