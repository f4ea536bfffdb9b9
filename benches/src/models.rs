//! A repository of models for a bench, in the folder for temporary files; it goes when this does.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

pub(crate) struct Models {
    folder: PathBuf,
}

impl Models {
    /// An empty repository; `bench` keeps it apart from those of other benches.
    pub(crate) fn new(bench: &str) -> io::Result<Self> {
        let folder = std::env::temp_dir().join(format!("inferlay-{bench}-{}", std::process::id()));
        fs::create_dir_all(&folder)?;
        Ok(Models { folder })
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Adds a model with this text as its config. Where its folder is.
    pub(crate) fn add(&self, name: &str, config: &str) -> io::Result<PathBuf> {
        let model = self.folder.join(name);
        fs::create_dir_all(&model)?;
        fs::write(model.join("config.yaml"), config)?;
        Ok(model)
    }
}

impl Drop for Models {
    fn drop(&mut self) {
        // What cannot be removed is a few small files in the folder for temporary ones.
        let _removed = fs::remove_dir_all(&self.folder);
    }
}
