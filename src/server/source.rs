//! Repositories that lie elsewhere: named when a server is built, brought into a cache when it starts.

use super::ServerBuilder;
use crate::repository::{Cache, Replica, Source};
#[cfg(feature = "object-store")]
use crate::repository::{ObjectSource, UrlOptions};
use crate::sync::{Mutex, thread};
use inferlay_backend_sdk::Error;
use std::path::PathBuf;
use std::sync::Arc;

/// A repository elsewhere, and the folder that its copies lie in.
pub(super) enum Origin {
    Source(Arc<dyn Source>, PathBuf),
    #[cfg(feature = "object-store")]
    Url(String, UrlOptions),
}

impl Origin {
    /// Brings the cache up to date, and keeps the newest copy.
    ///
    /// On a thread of its own: the calling one may be inside of a future, where others cannot be waited for.
    pub(super) fn update(self) -> Result<Replica, Error> {
        let told = Arc::new(Mutex::new(None));
        let tell = told.clone();
        let body = move || *tell.lock() = Some(self.update_here());
        let thread = thread::spawn("inferlay-source", body);
        let thread = thread.map_err(|error| Error::unavailable(format!("a thread for a source: {error}")))?;
        let ended = thread.join();
        let told = told.lock().take();
        told.unwrap_or_else(|| {
            let said = ended.err().map_or_else(String::new, |panic| thread::panic_text(&*panic).to_owned());
            Err(Error::internal(format!("a source panicked: {said}")))
        })
    }

    fn update_here(self) -> Result<Replica, Error> {
        match self {
            Origin::Source(source, cache) => Cache::open(&cache, source.name())?.update(&*source),
            #[cfg(feature = "object-store")]
            Origin::Url(url, options) => {
                let source = ObjectSource::new(&url, &options)?;
                Cache::open(&options.cache, source.name())?.update(&source)
            }
        }
    }
}

impl ServerBuilder {
    /// Loads the models of a repository that lies elsewhere: what `source` lists is brought into `cache` when the server
    /// starts, as far as it is not there, and served from this copy.
    ///
    /// A download that was interrupted goes on where it ended, also in the next process. A copy is seen only when it is
    /// whole; older ones are removed when no server uses them any more. Several servers and processes may share a cache;
    /// only users who may change the models should be able to write into it.
    ///
    /// # Examples
    /// ```
    /// use inferlay::{FolderSource, ServerHandle};
    /// # let folder = std::env::temp_dir().join(format!("inferlay-doc-source-{}", std::process::id()));
    /// # let (drive, cache) = (folder.join("drive"), folder.join("cache"));
    /// # std::fs::create_dir_all(drive.join("echo/1"))?;
    /// # let config = "{backend: 'null', input: {name: x, data_type: FP32, dims: 2}}";
    /// # std::fs::write(drive.join("echo/config.yaml"), config)?;
    /// let server = ServerHandle::builder().source(FolderSource::new(&drive), &cache).start()?;
    /// // The drive may go now.
    /// std::fs::remove_dir_all(&drive)?;
    /// assert_eq!(server.model("echo")?.version()?, 1);
    /// # std::fs::remove_dir_all(folder)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn source(mut self, source: impl Source + 'static, cache: impl Into<PathBuf>) -> Self {
        self.options.sources.push(Origin::Source(Arc::new(source), cache.into()));
        self
    }

    /// Loads the models of a repository in an object store, by way of a cache as for [`ServerBuilder::source`]:
    /// `s3://bucket/prefix`, `gs://bucket/prefix`, `az://container/prefix`, or `https://host/folder` where WebDAV is spoken.
    /// The start fails when it cannot be reached.
    ///
    /// # Examples
    /// ```
    /// use inferlay::{ServerHandle, UrlOptions};
    /// let cache = std::env::temp_dir().join("inferlay-doc-url");
    /// let options = UrlOptions::new(cache).option("aws_region", "eu-central-1").from_environment();
    /// let builder = ServerHandle::builder().repository_url("s3://models/production", options);
    /// # let _not_started = builder;
    /// ```
    #[cfg(feature = "object-store")]
    pub fn repository_url(mut self, url: impl Into<String>, options: UrlOptions) -> Self {
        self.options.sources.push(Origin::Url(url.into(), options));
        self
    }
}
