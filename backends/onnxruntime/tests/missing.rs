//! Without ONNX Runtime a load fails with what to do about it, and a process that has it has one.
//!
//! One test, because all that it looks at belongs to the process.

#![allow(clippy::unwrap_used, reason = "a test stops where something fails")]

mod models;
mod runtime;

use inferlay_backend_onnxruntime::{OnnxRuntimeBackend, Options};
use inferlay_backend_sdk::conformance::MemoryFiles;
use inferlay_backend_sdk::{Backend, Error, ErrorKind};
use models::dense;

fn load(options: Options) -> Result<String, Error> {
    let mut files = MemoryFiles::default();
    files.insert("model.onnx", dense("batch").encoded());
    let backend = OnnxRuntimeBackend::new(options);
    runtime::load(&backend, "model.onnx", &files).map(|_| backend.version().to_owned())
}

#[test]
fn a_missing_library_is_unavailable_until_there_is_one_and_a_second_one_is_refused() {
    let folder = runtime::Folder::new("missing");
    let no_library = folder.path().join("libonnxruntime.so.1.20.0");
    std::fs::write(&no_library, "no library").unwrap();
    let nowhere = folder.path().join("nowhere.so");
    for path in [&nowhere, &no_library, &folder.path().to_owned()] {
        let error = load(Options::new().library(path)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        for part in ["pip install onnxruntime", "INFERLAY_ONNXRUNTIME", path.to_str().unwrap()] {
            assert!(error.message().contains(part), "{error}");
        }
    }
    assert_eq!(OnnxRuntimeBackend::default().version(), "not loaded");
    assert!(load(runtime::options()).unwrap().starts_with("1."));
    assert!(load(runtime::options()).is_ok(), "the same once more");
    let error = load(Options::new().library(&nowhere)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::FailedPrecondition, "{error}");
    assert!(error.message().contains(nowhere.to_str().unwrap()), "{error}");
}
