//! Weights that lie beside the model file: read through the model's files only, and moved into the proto.
//!
//! Tract would open paths itself; afterwards there is nothing left for it to open. Pure, but for the reading.

use inferlay_backend_sdk::{Error, ModelFiles};
use std::collections::BTreeMap;
use std::path::{Component, Path};
use tract_onnx::pb::{TensorProto, tensor_proto::DataLocation};

/// Reads external data; each file once.
pub(crate) struct External<'a> {
    files: &'a dyn ModelFiles,
    folder: &'a str,
    read: BTreeMap<String, Vec<u8>>,
}

impl<'a> External<'a> {
    /// Data for the model file `model_file`, in whose folder locations are looked up.
    pub(crate) fn new(files: &'a dyn ModelFiles, model_file: &'a str) -> Self {
        let folder = model_file.rsplit_once('/').map_or("", |(folder, _)| folder);
        External { files, folder, read: BTreeMap::new() }
    }

    /// Moves the data of an external tensor into the tensor; leaves any other as it is.
    ///
    /// # Errors
    /// `INVALID_ARG` when the location leads out of the folder or the range out of the file; `NOT_FOUND` when there is
    /// no such file.
    pub(crate) fn inline(&mut self, tensor: &mut TensorProto) -> Result<(), Error> {
        if tensor.data_location != Some(DataLocation::External as i32) {
            return Ok(());
        }
        let place = format!("tensor '{}'", tensor.name);
        tensor.raw_data = self.range(tensor).map_err(|error| error.at(place))?;
        tensor.data_location = None;
        tensor.external_data.clear();
        Ok(())
    }

    fn range(&mut self, tensor: &TensorProto) -> Result<Vec<u8>, Error> {
        let entry =
            |key: &str| tensor.external_data.iter().find(|entry| entry.key == key).map(|entry| &entry.value[..]);
        let location = entry("location").ok_or_else(|| Error::invalid_arg("external data without a location"))?;
        let number = |key: &str| match entry(key) {
            None => Ok(None),
            Some(text) => text.parse::<usize>().map(Some).map_err(|_| {
                Error::invalid_arg(format!("external data: found {key} '{text}', expected a whole number"))
            }),
        };
        let (offset, length) = (number("offset")?.unwrap_or(0), number("length")?);
        let content = self.content(location)?;
        let end = length.map_or(Some(content.len()), |length| offset.checked_add(length));
        let range = end.and_then(|end| content.get(offset..end));
        range.map(<[u8]>::to_vec).ok_or_else(|| {
            Error::invalid_arg(format!(
                "external data '{location}': {length:?} bytes from {offset} reach past its {} bytes",
                content.len()
            ))
        })
    }

    fn content(&mut self, location: &str) -> Result<&[u8], Error> {
        let name = self.name(location)?;
        if !self.read.contains_key(&name) {
            let content = self.files.read(&name).map_err(|error| error.at("external data"))?;
            self.read.insert(name.clone(), content);
        }
        Ok(&self.read[&name])
    }

    /// The file's name among the model's files, which a location cannot leave.
    fn name(&self, location: &str) -> Result<String, Error> {
        let refused = || {
            let message = "leads out of the model's folder, expected a relative path inside it";
            Error::invalid_arg(format!("external data '{}': {message}", crate::refusal::shortened(location)))
        };
        // A backslash is a separator elsewhere; no exporter writes one into a portable model.
        if location.is_empty() || location.contains('\\') || location.contains('\0') {
            return Err(refused());
        }
        let mut parts: Vec<&str> = self.folder.split('/').filter(|part| !part.is_empty()).collect();
        for component in Path::new(location).components() {
            match component {
                Component::CurDir => {}
                Component::Normal(part) => parts.push(part.to_str().ok_or_else(refused)?),
                Component::ParentDir | Component::RootDir | Component::Prefix(_) => return Err(refused()),
            }
        }
        Ok(parts.join("/"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use inferlay_backend_sdk::{ErrorKind, conformance::MemoryFiles};
    use tract_onnx::pb::StringStringEntryProto;

    fn inline(entries: &[(&str, &str)]) -> Result<Vec<u8>, Error> {
        let mut files = MemoryFiles::default();
        files.insert("sub/weights.bin", vec![1, 2, 3, 4]);
        let entry =
            |(key, value): &(&str, &str)| StringStringEntryProto { key: key.to_string(), value: value.to_string() };
        let mut tensor = TensorProto {
            data_location: Some(DataLocation::External as i32),
            external_data: entries.iter().map(entry).collect(),
            ..TensorProto::default()
        };
        External::new(&files, "sub/model.onnx").inline(&mut tensor).map(|()| tensor.raw_data)
    }

    #[test]
    fn data_inside_the_folder_is_read_by_range() {
        for (entries, bytes) in [
            (&[("location", "weights.bin")][..], &[1u8, 2, 3, 4][..]),
            (&[("location", "./weights.bin"), ("offset", "1"), ("length", "2")], &[2, 3]),
            (&[("location", "weights.bin"), ("offset", "4")], &[]),
        ] {
            assert_eq!(inline(entries).unwrap(), bytes, "{entries:?}");
        }
    }

    #[test]
    fn whatever_leads_out_is_refused() {
        for location in ["../model.onnx", "/etc/passwd", "a/../../x", "..", "", "a\\..\\x", "weights.bin\0"] {
            let error = inline(&[("location", location)]).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArg, "{location}: {error}");
            assert!(error.message().contains("out of the model's folder"), "{error}");
        }
    }

    #[test]
    fn a_range_past_the_end_is_refused() {
        let huge = usize::MAX.to_string();
        for (offset, length) in [("5", "0"), ("0", "5"), ("1", &huge[..]), ("-1", "1"), ("x", "1")] {
            let entries = [("location", "weights.bin"), ("offset", offset), ("length", length)];
            assert_eq!(inline(&entries).unwrap_err().kind(), ErrorKind::InvalidArg);
        }
        assert_eq!(inline(&[("location", "other.bin")]).unwrap_err().kind(), ErrorKind::NotFound);
    }
}
