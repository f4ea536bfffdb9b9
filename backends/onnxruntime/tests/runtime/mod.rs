//! Where the tests find ONNX Runtime, and a few of an engine's parts.
//!
//! `cargo xtask test` installs the Python package `onnxruntime` and names its Python in `INFERLAY_PYTHON`; without that the
//! backend looks for the library itself, and the tests fail with its message when there is none.

#![allow(dead_code, reason = "no test uses all of them")]
#![allow(clippy::unwrap_used, reason = "a test stops where something fails")]

use inferlay_backend_onnxruntime::{OnnxRuntimeBackend, Options};
use inferlay_backend_sdk::conformance::TestHost;
use inferlay_backend_sdk::{Backend, Error, Model, ModelFiles, ModelSource, Signature};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The Python that has the packages.
pub(crate) fn python() -> PathBuf {
    std::env::var_os("INFERLAY_PYTHON").map_or_else(|| PathBuf::from("python3"), PathBuf::from)
}

/// What a script of one line prints.
pub(crate) fn ask(script: &str) -> Option<String> {
    let output = Command::new(python()).args(["-c", script]).output().ok()?;
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap().trim().to_owned())
}

/// Options that name the library of that Python's package, if it has one.
pub(crate) fn options() -> Options {
    static LIBRARY: OnceLock<Option<String>> = OnceLock::new();
    let script = "import importlib.util, os; \
                  print(os.path.join(os.path.dirname(importlib.util.find_spec('onnxruntime').origin), 'capi'))";
    let library = LIBRARY.get_or_init(|| ask(script));
    library.as_ref().map_or_else(Options::new, |folder| Options::new().library(folder))
}

/// The backend under test.
pub(crate) fn backend() -> OnnxRuntimeBackend {
    OnnxRuntimeBackend::new(options())
}

/// Loads a model without a config.
pub(crate) fn load(backend: &dyn Backend, file_name: &str, files: &dyn ModelFiles) -> Result<Box<dyn Model>, Error> {
    let (config, parameters) = (Signature::default(), BTreeMap::new());
    backend.load(&ModelSource {
        name: "test",
        version: 1,
        file_name,
        files,
        config: &config,
        batch_size_max: None,
        parameters: &parameters,
        config_json: "",
        host: &TestHost,
    })
}

/// A folder of the test's own, gone afterwards.
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("inferlay-onnxruntime-{}-{name}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Folder(folder.canonicalize().unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        std::fs::remove_dir_all(&self.0).unwrap();
    }
}

/// The files of a folder; one that a link leads out of it is not among them.
pub(crate) struct DiskFiles(pub(crate) PathBuf);

impl ModelFiles for DiskFiles {
    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.0).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    }

    fn read(&self, name: &str) -> Result<Vec<u8>, Error> {
        let path = self.path(name)?.unwrap();
        std::fs::read(path).map_err(|error| Error::not_found(format!("file '{name}': {error}")))
    }

    fn path(&self, name: &str) -> Result<Option<PathBuf>, Error> {
        let path = self.0.join(name).canonicalize();
        let inside = path.ok().filter(|path| path.starts_with(&self.0));
        inside.map(Some).ok_or_else(|| Error::not_found(format!("file '{name}': not in the folder")))
    }
}
