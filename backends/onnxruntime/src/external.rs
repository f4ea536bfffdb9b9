//! Weights that lie beside the model file: found among the model's own files, or refused.
//!
//! The runtime would open paths itself. It gets the chance only when each of them was seen to be the model's own file;
//! otherwise the content is read through the model's files and handed over in memory.

use crate::refusal::shortened;
use inferlay_backend_sdk::{Error, ModelFiles};
use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

/// What the runtime takes a location for that is an address in memory. Written into a file, it would have it read
/// anywhere.
const ADDRESS_MARK: &str = "_ORT_MEM_ADDR_";

/// Where the runtime is to find the weights.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Weights {
    /// In the model file.
    Inside,
    /// In files beside the model file, which lies here.
    Beside(PathBuf),
    /// In memory, by location.
    Memory(Vec<(String, Arc<[u8]>)>),
}

/// Finds the weights at `locations`, as they are written in the model file `model_file`.
///
/// # Errors
/// `INVALID_ARG` when a location leads out of the model's folder; `NOT_FOUND` when there is no such file.
pub(crate) fn weights(files: &dyn ModelFiles, model_file: &str, locations: &BTreeSet<&[u8]>) -> Result<Weights, Error> {
    if locations.is_empty() {
        return Ok(Weights::Inside);
    }
    let folder = model_file.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut named = Vec::new();
    for location in locations {
        let location = text(location)?;
        named.push((location, name(folder, location)?));
    }
    if let Some(path) = files.path(model_file)? {
        for (location, name) in &named {
            check(files, &path, location, name)?;
        }
        return Ok(Weights::Beside(path));
    }
    let read = |(location, name): (&str, String)| {
        let content = files.read(&name).map_err(|error| error.at("external data"))?;
        Ok((location.to_owned(), content.into()))
    };
    named.into_iter().map(read).collect::<Result<_, Error>>().map(Weights::Memory)
}

/// Whether what the runtime would open is the model's own file of that name.
fn check(files: &dyn ModelFiles, model: &Path, location: &str, name: &str) -> Result<(), Error> {
    let own = files.path(name).map_err(|error| error.at("external data"))?;
    let opened = model.parent().unwrap_or(Path::new("")).join(location).canonicalize();
    let own = own.and_then(|own| own.canonicalize().ok());
    match (own, opened) {
        (Some(own), Ok(opened)) if own == opened => Ok(()),
        _ => Err(refused(location)),
    }
}

fn text(location: &[u8]) -> Result<&str, Error> {
    str::from_utf8(location).map_err(|_| refused(&String::from_utf8_lossy(location)))
}

/// The file's name among the model's files, which a location cannot leave.
fn name(folder: &str, location: &str) -> Result<String, Error> {
    // A backslash is a separator elsewhere; no exporter writes one into a portable model.
    if location.is_empty() || location.contains(['\\', '\0']) || location.contains(ADDRESS_MARK) {
        return Err(refused(location));
    }
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for component in Path::new(location).components() {
        match component {
            Component::CurDir => {}
            Component::Normal(part) => parts.push(part.to_str().ok_or_else(|| refused(location))?),
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return Err(refused(location)),
        }
    }
    Ok(parts.join("/"))
}

fn refused(location: &str) -> Error {
    let message = "leads out of the model's folder, expected a relative path inside it";
    Error::invalid_arg(format!("external data '{}': {message}", shortened(location)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use inferlay_backend_sdk::{ErrorKind, conformance::MemoryFiles};

    fn find(location: &str) -> Result<Weights, Error> {
        let mut files = MemoryFiles::default();
        files.insert("sub/model.onnx", vec![0]);
        files.insert("sub/weights.bin", vec![1, 2, 3, 4]);
        weights(&files, "sub/model.onnx", &[location.as_bytes()].into())
    }

    #[test]
    fn data_inside_the_folder_is_handed_over_under_its_location() {
        for location in ["weights.bin", "./weights.bin"] {
            let expected = vec![(location.to_owned(), [1, 2, 3, 4].into())];
            assert_eq!(find(location), Ok(Weights::Memory(expected)));
        }
        assert_eq!(weights(&MemoryFiles::default(), "model.onnx", &BTreeSet::new()), Ok(Weights::Inside));
    }

    #[test]
    fn whatever_leads_out_is_refused() {
        for location in
            ["../model.onnx", "/etc/passwd", "a/../../x", "..", "", "a\\..\\x", "weights.bin\0", "*/_ORT_MEM_ADDR_/*"]
        {
            let error = find(location).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArg, "{location}: {error}");
            assert!(error.message().contains("out of the model's folder"), "{error}");
        }
        assert_eq!(find("other.bin").unwrap_err().kind(), ErrorKind::NotFound);
    }
}
