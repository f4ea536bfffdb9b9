//! Object stores as sources: S3 and what speaks its language, Google Cloud Storage, Azure, WebDAV. The one file that names
//! the crates `object_store`, `rustls` and `tokio`.
//!
//! Each call runs its futures to their end on one thread of the source's own, as a thread of the application may itself
//! be in the middle of a future, where none can be waited for.
//!
//! Invariant: passwords and keys are neither in the name of a source nor in an error.

use super::super::name::Shown;
use super::{Source, SourceFile};
use futures_util::StreamExt;
use inferlay_backend_sdk::{Error, ErrorKind};
use object_store::aws::AmazonS3ConfigKey;
use object_store::azure::AzureConfigKey;
use object_store::gcp::GoogleConfigKey;
use object_store::path::Path;
use object_store::{ClientConfigKey, GetOptions, GetRange, ObjectMeta, ObjectStore};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::SystemTime;
use tokio::runtime::{Builder, Runtime};

/// What the environment variables begin with that [`UrlOptions::from_environment`] reads.
const ENVIRONMENT: [&str; 3] = ["AWS_", "AZURE_", "GOOGLE_"];

/// How a repository at a URL is reached, and where its copy is kept.
///
/// # Examples
/// ```
/// use inferlay::UrlOptions;
/// let options = UrlOptions::new("/var/cache/models")
///     .option("aws_endpoint", "https://objects.example.com")
///     .option("aws_region", "eu-central-1")
///     .from_environment();
/// ```
#[derive(Clone)]
#[must_use]
pub struct UrlOptions {
    pub(crate) cache: PathBuf,
    options: Vec<(String, String)>,
    is_from_environment: bool,
}

impl UrlOptions {
    /// No options, and a folder for copies that only this user should be able to write into. Several servers and processes
    /// may share it.
    ///
    /// # Examples
    /// ```
    /// let options = inferlay::UrlOptions::new("/var/cache/models");
    /// ```
    pub fn new(cache: impl Into<PathBuf>) -> Self {
        UrlOptions { cache: cache.into(), options: Vec::new(), is_from_environment: false }
    }

    /// An option of the store, under the name that the crate `object_store` gives it: `aws_endpoint`, `aws_region`,
    /// `aws_access_key_id`, `aws_secret_access_key`, `google_service_account`, `azure_storage_account_name`, `allow_http`
    /// and others.
    ///
    /// # Examples
    /// ```
    /// // A store on this machine, without TLS.
    /// let options = inferlay::UrlOptions::new("cache").option("aws_endpoint", "http://localhost:9000");
    /// let options = options.option("allow_http", "true");
    /// ```
    pub fn option(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.options.push((name.into(), value.into()));
        self
    }

    /// Also takes what the environment variables `AWS_*`, `AZURE_*` and `GOOGLE_*` say; options that are given go first.
    ///
    /// # Examples
    /// ```
    /// // AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and the like.
    /// let options = inferlay::UrlOptions::new("cache").from_environment();
    /// ```
    pub fn from_environment(mut self) -> Self {
        self.is_from_environment = true;
        self
    }

    /// Checks that some store has each option that was given: the crate passes over those that it does not know.
    fn check(&self) -> Result<(), Error> {
        let is_known = |name: &str| {
            AmazonS3ConfigKey::from_str(name).is_ok()
                || AzureConfigKey::from_str(name).is_ok()
                || GoogleConfigKey::from_str(name).is_ok()
                || ClientConfigKey::from_str(name).is_ok()
        };
        match self.options.iter().find(|(name, _)| !is_known(name)) {
            Some((name, _)) => Err(Error::invalid_arg(format!(
                "option {}: found none of that name, expected one such as aws_endpoint",
                Shown::text(name)
            ))),
            None => Ok(()),
        }
    }

    /// All options, the ones that go first last.
    fn all(&self) -> Vec<(String, String)> {
        let is_ours = |(name, _): &(String, String)| ENVIRONMENT.iter().any(|prefix| name.starts_with(prefix));
        // A variable that is not text is none of these.
        let variables =
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
        let said = variables.filter(|_| self.is_from_environment).filter(is_ours);
        said.map(|(name, value)| (name.to_ascii_lowercase(), value)).chain(self.options.iter().cloned()).collect()
    }
}

/// Everything below one prefix of an object store.
pub(crate) struct ObjectSource {
    name: String,
    prefix: Path,
    store: Box<dyn ObjectStore>,
    runtime: Runtime,
}

/// TLS asks for its arithmetic by way of the process, unless the application has said which it wants.
fn use_ring() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Somebody else may just have said so; then that stands.
        drop(rustls::crypto::ring::default_provider().install_default());
    }
}

impl ObjectSource {
    /// The place that a URL names. Asks nothing of it yet.
    ///
    /// # Errors
    /// `INVALID_ARG` for a URL that names no store, or options that it does not have.
    pub(crate) fn new(url: &str, options: &UrlOptions) -> Result<Self, Error> {
        options.check()?;
        let parsed = url.parse().map_err(|error| Error::invalid_arg(format!("{}: {error}", Shown::text(url))))?;
        let name = without_secrets(url);
        let refused = |error: object_store::Error| Error::invalid_arg(format!("{}: {error}", Shown::text(&name)));
        use_ring();
        let (store, prefix) = object_store::parse_url_opts(&parsed, options.all()).map_err(refused)?;
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| Error::unavailable(format!("runtime of a source: {error}")))?;
        Ok(ObjectSource { name, prefix, store, runtime })
    }

    fn location(&self, name: &str) -> Path {
        name.split('/').fold(self.prefix.clone(), |path, part| path.join(part))
    }

    /// The file of an object, by its name below the prefix; none for what stands for a folder.
    fn file(&self, meta: ObjectMeta) -> Option<SourceFile> {
        let name = meta.location.as_ref().strip_prefix(self.prefix.as_ref())?.trim_start_matches('/').to_owned();
        let modified = Some(SystemTime::from(meta.last_modified));
        let is_folder = name.is_empty() || (meta.size == 0 && name.ends_with('/'));
        (!is_folder).then_some(SourceFile { name, size: meta.size, etag: meta.e_tag, modified })
    }

    async fn pull(
        &self,
        file: &SourceFile,
        offset: u64,
        sink: &mut dyn FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        // Some stores answer a range from the start on with an error when there is nothing.
        let range = (offset > 0).then_some(GetRange::Offset(offset));
        let options = GetOptions { if_match: file.etag.clone(), range, ..GetOptions::default() };
        let told = |error| failed(file, &error);
        let found = self.store.get_opts(&self.location(&file.name), options).await.map_err(told)?;
        // Not every store heeds the condition.
        if found.meta.e_tag != file.etag || found.meta.size != file.size || found.range.start != offset {
            return Err(changed(file, "found another one"));
        }
        let mut pieces = found.into_stream();
        while let Some(piece) = pieces.next().await {
            sink(&piece.map_err(told)?)?;
        }
        Ok(())
    }
}

impl Source for ObjectSource {
    fn name(&self) -> &str {
        &self.name
    }

    fn list(&self) -> Result<Vec<SourceFile>, Error> {
        let all = async {
            let (mut objects, mut files) = (self.store.list(Some(&self.prefix)), Vec::new());
            while let Some(object) = objects.next().await {
                files.extend(self.file(object?));
            }
            Ok(files)
        };
        self.runtime.block_on(all).map_err(|error: object_store::Error| Error::new(kind(&error), cause(&error)))
    }

    fn fetch(
        &self,
        file: &SourceFile,
        offset: u64,
        sink: &mut dyn FnMut(&[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        self.runtime.block_on(self.pull(file, offset, sink))
    }
}

/// A URL as messages may show it: who logs in, and what a query may prove it with, is left out.
fn without_secrets(url: &str) -> String {
    let url = url.split(['?', '#']).next().unwrap_or_default().trim_end_matches('/');
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (host, path) = rest.split_once('/').map_or((rest, ""), |(host, path)| (host, path));
    let is_secret = host.rsplit_once('@').filter(|(login, _)| login.contains(':'));
    let host = is_secret.map_or(host, |(_, host)| host);
    if path.is_empty() { format!("{scheme}://{host}") } else { format!("{scheme}://{host}/{path}") }
}

fn failed(file: &SourceFile, error: &object_store::Error) -> Error {
    match error {
        object_store::Error::NotFound { .. } => changed(file, "found none"),
        object_store::Error::Precondition { .. } => changed(file, "found another one"),
        _ => Error::new(kind(error), format!("file {}: {}", Shown::text(&file.name), cause(error))),
    }
}

fn changed(file: &SourceFile, why: &str) -> Error {
    Error::new(ErrorKind::FailedPrecondition, format!("file {}: {why} meanwhile", Shown::text(&file.name)))
}

fn kind(error: &object_store::Error) -> ErrorKind {
    match error {
        object_store::Error::NotFound { .. } => ErrorKind::NotFound,
        object_store::Error::InvalidPath { .. } | object_store::Error::UnknownConfigurationKey { .. } => {
            ErrorKind::InvalidArg
        }
        _ => ErrorKind::Unavailable,
    }
}

/// An error with what is behind it, on one line.
fn cause(error: &object_store::Error) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        let more = error.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = error.source();
    }
    let shown = Shown::text(&text).to_string();
    shown.trim_matches('\'').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_no_secret() {
        for (url, name) in [
            ("s3://bucket/a/b/", "s3://bucket/a/b"),
            ("s3://bucket", "s3://bucket"),
            ("https://user:secret@host/a?token=secret#x", "https://host/a"),
            ("abfss://container@account.dfs.core.windows.net/a", "abfss://container@account.dfs.core.windows.net/a"),
        ] {
            assert_eq!(without_secrets(url), name);
        }
    }

    #[test]
    fn a_url_that_names_no_store_is_refused() {
        for (url, message) in [("nonsense", "'nonsense': "), ("ftp://host/a", "'ftp://host/a': ")] {
            let error = ObjectSource::new(url, &UrlOptions::new("cache")).err().unwrap();
            assert_eq!(error.kind(), ErrorKind::InvalidArg);
            assert!(error.message().starts_with(message), "{error}");
        }
    }

    #[test]
    fn an_option_that_no_store_has_is_refused() {
        let options = UrlOptions::new("cache").option("aws_region", "here").option("aws_regoin", "there");
        let error = ObjectSource::new("s3://bucket", &options).err().unwrap();
        assert_eq!(error.message(), "option 'aws_regoin': found none of that name, expected one such as aws_endpoint");
    }

    #[test]
    fn options_that_are_given_come_after_those_of_the_environment() {
        let options = UrlOptions::new("cache").option("aws_region", "here").from_environment().all();
        assert_eq!(options.last().unwrap(), &("aws_region".to_owned(), "here".to_owned()));
        assert!(options.iter().all(|(name, _)| !name.starts_with("path")));
    }
}
