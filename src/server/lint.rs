//! Whether what lies in repositories could be served, found out without loading anything.
//!
//! ```text
//!   found ----> broken models                          errors
//!         `---> what was passed over                   warnings
//!         `---> each model: config parsed -----------> its errors and warnings, all of them
//!                           versions chosen, each:
//!                           seal, model file, backend  errors; a backend that is not there is a note
//!                           files that the config names: labels, data of warm-ups
//! ```
//!
//! Invariants: 1. No backend is asked to load, and none is looked for by opening a library. 2. What is an error here
//! fails the model at a start as well; what only a loaded model shows, such as a misspelt input, is not found here.
//!
//! Runs on the thread that calls it, and blocks on the file system.

use super::builder::{Options, ServerBuilder};
use super::lifecycle::choice;
use super::load::detect;
use super::named;
use crate::config::{self, ConfigError, ConfigErrors, PartialConfig, default_file_names};
use crate::repository::{self, FoundModel};
use inferlay_backend_sdk::{Error, ModelFiles};
use std::fmt;
use std::ops::Range;

/// How much a [`Finding`] matters.
///
/// # Examples
/// ```
/// use inferlay::Severity;
/// assert!(Severity::Error > Severity::Warning && Severity::Warning > Severity::Note);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Severity {
    /// The repository may be right, and served elsewhere: a backend is not there.
    Note,
    /// It is served, but perhaps not as somebody meant it.
    Warning,
    /// The model is not served.
    Error,
}

/// Something that [`ServerBuilder::lint`] found. Its `Display` is the message, behind the place and before the line of
/// the file where there are any.
///
/// # Examples
/// ```
/// use inferlay::{ServerHandle, Severity};
/// let files = [("config.yaml", b"backend: 'null'\nmax_bacth_size: 8".to_vec())];
/// let findings = ServerHandle::builder().model_in_memory("echo", files).lint()?;
/// let found = &findings[0];
/// assert_eq!((found.severity(), found.model(), found.place()), (Severity::Error, Some("echo"), Some("echo/config.yaml")));
/// assert_eq!(found.message(), "unknown key 'max_bacth_size'; did you mean 'max_batch_size'?");
/// let (line, marked) = found.snippet().unwrap();
/// assert_eq!((found.position(), &line[marked]), (Some((2, 1)), "max_bacth_size"));
/// # Ok::<(), inferlay::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    severity: Severity,
    model: Option<String>,
    what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    Config(ConfigError),
    Other(String),
}

impl Finding {
    /// How much it matters.
    ///
    /// # Examples
    /// ```
    /// # use inferlay::{ServerHandle, Severity};
    /// # let config = b"backend: 'null'\nmax_batch_size: -1".to_vec();
    /// let builder = ServerHandle::builder().model_in_memory("echo", [("config.yaml", config)]);
    /// let found = &builder.lint()?[0];
    /// assert_eq!(found.severity(), Severity::Error);
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn severity(&self) -> Severity {
        self.severity
    }

    /// The model, if it is about one.
    ///
    /// # Examples
    /// ```
    /// # use inferlay::ServerHandle;
    /// # let config = b"backend: 'null'\nmax_batch_size: -1".to_vec();
    /// let builder = ServerHandle::builder().model_in_memory("echo", [("config.yaml", config)]);
    /// let found = &builder.lint()?[0];
    /// assert_eq!(found.model(), Some("echo"));
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn model(&self) -> Option<&str> {
        self.model.as_deref()
    }

    /// The config file, if it is about what one says.
    ///
    /// # Examples
    /// ```
    /// # use inferlay::ServerHandle;
    /// # let config = b"backend: 'null'\nmax_batch_size: -1".to_vec();
    /// let builder = ServerHandle::builder().model_in_memory("echo", [("config.yaml", config)]);
    /// let found = &builder.lint()?[0];
    /// assert_eq!(found.place(), Some("echo/config.yaml"));
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn place(&self) -> Option<&str> {
        self.config().map(ConfigError::place)
    }

    /// Line and column, see [`ConfigError::position`].
    ///
    /// # Examples
    /// ```
    /// # use inferlay::ServerHandle;
    /// # let config = b"backend: 'null'\nmax_batch_size: -1".to_vec();
    /// let builder = ServerHandle::builder().model_in_memory("echo", [("config.yaml", config)]);
    /// let found = &builder.lint()?[0];
    /// assert_eq!(found.position(), Some((2, 17)));
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn position(&self) -> Option<(usize, usize)> {
        self.config()?.position()
    }

    /// The line and what of it is marked, see [`ConfigError::snippet`].
    ///
    /// # Examples
    /// ```
    /// # use inferlay::ServerHandle;
    /// # let config = b"backend: 'null'\nmax_batch_size: -1".to_vec();
    /// let builder = ServerHandle::builder().model_in_memory("echo", [("config.yaml", config)]);
    /// let found = &builder.lint()?[0];
    /// assert_eq!(found.snippet(), Some(("max_batch_size: -1", 16..18)));
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn snippet(&self) -> Option<(&str, Range<usize>)> {
        self.config()?.snippet()
    }

    /// What was found and what was expected.
    ///
    /// # Examples
    /// ```
    /// # use inferlay::ServerHandle;
    /// # let config = b"backend: 'null'\nmax_batch_size: -1".to_vec();
    /// let builder = ServerHandle::builder().model_in_memory("echo", [("config.yaml", config)]);
    /// let found = &builder.lint()?[0];
    /// assert_eq!(found.message(), "max_batch_size: found -1, expected a whole number from 0 to 2147483647");
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn message(&self) -> &str {
        match &self.what {
            What::Config(error) => error.message(),
            What::Other(message) => message,
        }
    }

    fn config(&self) -> Option<&ConfigError> {
        match &self.what {
            What::Config(error) => Some(error),
            What::Other(_) => None,
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.what {
            What::Config(error) => write!(f, "{error}"),
            What::Other(message) => f.write_str(message),
        }
    }
}

impl ServerBuilder {
    /// Finds what is wrong with the repositories, files and models in memory of this builder, without loading any model:
    /// all errors and warnings of all configs, missing model files and versions, files of labels and warm-ups that are missing
    /// or too short, what is not as it was sealed, and what lies
    /// where nothing is served from. In the order of the models' names; empty when all is well as far as can be told without loading.
    ///
    /// # Errors
    /// [`crate::ErrorKind::NotFound`] or [`crate::ErrorKind::InvalidArg`] for a folder or file that is not one.
    ///
    /// # Examples
    /// ```
    /// use inferlay::{ServerHandle, Severity};
    /// let findings = ServerHandle::builder().repository("examples/models").lint()?;
    /// assert!(findings.iter().all(|found| found.severity() < Severity::Error));
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn lint(mut self) -> Result<Vec<Finding>, Error> {
        let repositories = self.all_repositories()?;
        let found = self.found(&repositories)?;
        let mut findings = Vec::new();
        for message in found.warnings {
            findings.push(Finding { severity: Severity::Warning, model: None, what: What::Other(message) });
        }
        for (name, error) in &found.broken {
            Look::new(name, self.options(), &mut findings).told(Severity::Error, error.message());
        }
        for (name, model) in &found.models {
            Look::new(name, self.options(), &mut findings).at_model(model);
        }
        // Names come sorted from either map; what is about no model comes first.
        findings.sort_by(|one, other| one.model.cmp(&other.model));
        Ok(findings)
    }
}

/// One model while it is looked at.
struct Look<'a> {
    name: &'a str,
    options: &'a Options,
    findings: &'a mut Vec<Finding>,
}

impl<'a> Look<'a> {
    fn new(name: &'a str, options: &'a Options, findings: &'a mut Vec<Finding>) -> Self {
        Look { name, options, findings }
    }

    fn at_model(&mut self, model: &FoundModel) {
        let text = model.config.as_ref();
        let parsed = text.map_or_else(|| Ok(PartialConfig::new()), |text| config::parse(&text.label, &text.text));
        let partial = match parsed {
            Ok(partial) => partial,
            Err(errors) => return self.config(Severity::Error, &errors),
        };
        if let Err(errors) = partial.check_alone(&model.own_name) {
            self.config(Severity::Error, &errors);
        }
        for warning in partial.warnings() {
            self.push(Severity::Warning, What::Config(warning.clone()));
        }
        let versions: Vec<_> = model.versions.keys().copied().collect();
        match repository::choose(&versions, &choice(&partial)) {
            Ok(versions) => self.at_versions(model, &versions, &partial),
            Err(error) => self.fault(&partial, "version_policy", &error),
        }
    }

    /// Each version that would be served must have the file of a model.
    fn at_versions(&mut self, model: &FoundModel, versions: &[u64], partial: &PartialConfig) {
        let is_elsewhere = match partial.backend.as_deref() {
            Some(backend) => self.is_elsewhere(backend, partial),
            None => !self.options.directories.names().is_empty(),
        };
        for version in versions {
            let Some(files) = model.versions.get(version) else { continue };
            if let Err(error) = self.options.trust.admit(model, *version) {
                self.told(Severity::Error, error.at(format_args!("version {version}")).message());
            }
            let around = [model.beside.as_deref(), Some(&**files)];
            if let Err(errors) = partial.check_named_files(self.name, |file| named::fault(file, around)) {
                self.config(Severity::Error, &errors);
            }
            let Err(error) = self.model_file(&**files, partial) else { continue };
            let error = error.at(format_args!("version {version}"));
            match partial.default_model_filename {
                Some(_) => self.fault(partial, "default_model_filename", &error),
                // Whoever reads it may know names that are not known here.
                None if is_elsewhere && !files.names().is_empty() => self.told(Severity::Warning, error.message()),
                None => self.told(Severity::Error, error.message()),
            }
        }
    }

    /// Whether a backend is not linked in, so that nobody says what it reads; a note if it is in no directory either.
    fn is_elsewhere(&mut self, backend: &str, partial: &PartialConfig) -> bool {
        if self.options.backends.iter().any(|own| own.name() == backend) {
            return false;
        }
        if !self.options.directories.names().iter().any(|name| name == backend) {
            let missing = self.options.directories.missing(backend);
            let message = format!("the backend '{backend}' is not there: {missing}");
            let key = if partial.platform.is_some() { "platform" } else { "backend" };
            self.config(Severity::Note, &partial.fault(self.name, key, &message));
        }
        true
    }

    /// Whether a version has the file that its backend reads.
    fn model_file(&mut self, files: &dyn ModelFiles, partial: &PartialConfig) -> Result<(), Error> {
        let file = partial.default_model_filename.as_deref();
        let Some(backend) = partial.backend.as_deref() else {
            let reads_files = self.options.backends.iter().filter(|own| !own.file_names().is_empty());
            if detect(files, &reads_files.cloned().collect::<Vec<_>>(), partial).is_ok() {
                return Ok(());
            }
            let (index, _) = repository::detect(files, &KNOWN, file)?;
            self.is_elsewhere(KNOWN[index].0, partial);
            return Ok(());
        };
        let linked: Vec<_> = self.options.backends.iter().filter(|own| own.name() == backend).cloned().collect();
        if !linked.is_empty() {
            return detect(files, &linked, partial).map(drop);
        }
        let usual = || default_file_names(partial.platform.as_deref(), backend);
        let known = KNOWN.into_iter().find(|(name, _)| *name == backend);
        let patterns: Vec<_> = known.map(|(_, patterns)| patterns.to_vec()).unwrap_or_else(|| usual().collect());
        if file.is_none() && repository::first_of(files, usual()).is_some() {
            return Ok(());
        }
        repository::detect(files, &[(backend, &patterns)], file).map(drop)
    }

    fn fault(&mut self, partial: &PartialConfig, key: &'static str, error: &Error) {
        let message = error.message();
        let message = message.strip_prefix(key).and_then(|rest| rest.strip_prefix(": ")).unwrap_or(message);
        self.config(Severity::Error, &partial.fault(self.name, key, message));
    }

    fn config(&mut self, severity: Severity, errors: &ConfigErrors) {
        errors.iter().for_each(|error| self.push(severity, What::Config(error.clone())));
    }

    fn told(&mut self, severity: Severity, message: &str) {
        let own = format!("model '{}': ", self.name);
        let message = message.strip_prefix(&own).unwrap_or(message).to_owned();
        self.push(severity, What::Other(message));
    }

    fn push(&mut self, severity: Severity, what: What) {
        let finding = Finding { severity, model: Some(self.name.to_owned()), what };
        // What several versions show is said once.
        let own = self.findings.iter().rev().take_while(|other| other.model == finding.model);
        if !own.into_iter().any(|other| *other == finding) {
            self.findings.push(finding);
        }
    }
}

/// What backends of this project read that need not be linked in.
const KNOWN: [(&str, &[&str]); 2] =
    [("tract", &["model.onnx", ".onnx"]), ("onnxruntime", &["model.onnx", "model.ort", ".onnx", ".ort"])];
