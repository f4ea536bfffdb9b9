//! Whether the files that a config names hold what they are named for: found out without loading anything. Blocks on the
//! file system.

use crate::config::{Content, NamedFile};
use crate::memory::BlockPool;
use crate::tensor::wire;
use inferlay_backend_sdk::{DataType, Error, ErrorKind, ModelFiles, Shape};

/// Where the files of warm-ups lie, beside the versions.
const WARMUP_FOLDER: &str = "warmup";

/// What is wrong with a file, if something is. `files`: those beside the versions, then those of a version.
pub(super) fn fault(file: &NamedFile<'_>, files: [Option<&dyn ModelFiles>; 2]) -> Option<String> {
    match &file.content {
        Content::Labels => labels_fault(file.name, files),
        Content::Row(data_type, dims) => {
            let path = format!("{WARMUP_FOLDER}/{}", file.name);
            match read(&path, [files[0], None]) {
                Ok(row) => row_fault(&row, *data_type, dims),
                Err(why) => Some(why),
            }
        }
    }
}

fn labels_fault(name: &str, files: [Option<&dyn ModelFiles>; 2]) -> Option<String> {
    match read(name, files).map(String::from_utf8) {
        Ok(Ok(_)) => None,
        Ok(Err(_)) => Some(format!("file '{}': found bytes that are no text, expected UTF-8", name.escape_debug())),
        Err(why) => Some(why),
    }
}

/// A row is repeated until there is a batch of it.
fn row_fault(row: &[u8], data_type: DataType, dims: &[usize]) -> Option<String> {
    let Some(size) = data_type.size() else {
        let read = wire::read(row, Shape::from(dims), &BlockPool::new());
        return read.err().map(|error| error.message().to_owned());
    };
    let expected = dims.iter().try_fold(size, |bytes, dim| bytes.checked_mul(*dim));
    match expected {
        Some(expected) if expected == row.len() => None,
        Some(expected) => Some(format!("found a file of {} bytes, expected {expected}", row.len())),
        None => Some("found more elements than there can be".to_owned()),
    }
}

fn read(path: &str, files: [Option<&dyn ModelFiles>; 2]) -> Result<Vec<u8>, String> {
    let is_missing = |read: &Result<Vec<u8>, Error>| matches!(read, Err(error) if error.kind() == ErrorKind::NotFound);
    let found = files.into_iter().flatten().map(|files| files.read(path)).find(|read| !is_missing(read));
    match found {
        Some(read) => read.map_err(|error| error.message().to_owned()),
        None => Err(format!("found no file '{}' in the folder of the model, expected one", path.escape_debug())),
    }
}
