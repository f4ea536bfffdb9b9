//! Tensors in files: JSON (`json.rs`), and NumPy's `.npy` (`npy.rs`) and `.npz`, which is a zip archive of those.

pub(crate) mod json;
mod npy;

use inferlay::{Error, Response, Tensor, TensorMetadata};
use std::fs;
use std::io::{Cursor, Read, Write};
use std::path::Path;
use zip::write::{SimpleFileOptions, ZipWriter};
use zip::{CompressionMethod, ZipArchive};

/// The inputs that a file holds, for a model with these.
pub(crate) fn read(path: &Path, expected: &[TensorMetadata]) -> Result<Vec<(String, Tensor)>, Error> {
    let place = path.display();
    let bytes = match path.to_str() {
        Some("-") => {
            let mut bytes = Vec::new();
            std::io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes)
        }
        _ => fs::read(path),
    };
    let bytes = bytes.map_err(|error| Error::not_found(format!("{place}: {error}")))?;
    let read = match path.extension().and_then(|end| end.to_str()) {
        Some("npy") => Ok(vec![(only(expected)?.name.clone(), npy::read(&bytes)?)]),
        Some("npz") => from_npz(bytes),
        _ => json::read(&bytes, expected),
    };
    read.map_err(|error| error.at(place))
}

/// The input of a model that has one.
fn only(expected: &[TensorMetadata]) -> Result<&TensorMetadata, Error> {
    match expected {
        [one] => Ok(one),
        _ => {
            let names: Vec<_> = expected.iter().map(|input| &*input.name).collect();
            let message = format!("found one array without a name, expected one for each of {}", names.join(", "));
            Err(Error::invalid_arg(message))
        }
    }
}

fn from_npz(bytes: Vec<u8>) -> Result<Vec<(String, Tensor)>, Error> {
    let no_archive = |error| Error::invalid_arg(format!("found no archive of arrays: {error}"));
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(no_archive)?;
    let mut all = Vec::new();
    for index in 0..archive.len() {
        let mut file = archive.by_index(index).map_err(no_archive)?;
        let name = file.name().to_owned();
        let name = name.strip_suffix(".npy").unwrap_or(&name).to_owned();
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).map_err(|error| Error::invalid_arg(format!("{name}: {error}")))?;
        all.push((name.clone(), npy::read(&bytes).map_err(|error| error.at(name))?));
    }
    Ok(all)
}

/// The outputs as the bytes of an `.npz`.
pub(crate) fn npz(response: &Response) -> Result<Vec<u8>, Error> {
    let mut archive = ZipWriter::new(Cursor::new(Vec::new()));
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored).large_file(true);
    let failed = |error: &dyn std::fmt::Display| Error::internal(format!("archive of the outputs: {error}"));
    for (name, tensor) in response.outputs() {
        let bytes = npy::written(tensor).map_err(|error| error.at(format_args!("output '{name}'")))?;
        archive.start_file(format!("{name}.npy"), stored).map_err(|error| failed(&error))?;
        archive.write_all(&bytes).map_err(|error| failed(&error))?;
    }
    Ok(archive.finish().map_err(|error| failed(&error))?.into_inner())
}
