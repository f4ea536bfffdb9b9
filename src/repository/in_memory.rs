//! A model whose files are in memory: laid out as in a folder, and no more trusted than one.

use super::files::MemoryFiles;
use super::name::check_model_name;
use super::scan::{CONFIG_NAMES, Versions};
use super::seal::{self, Sealing};
use super::versions::{FolderName, folder_name};
use super::{ConfigText, FoundModel};
use inferlay_backend_sdk::Error;
use std::collections::BTreeMap;
use std::sync::Arc;

type File = (String, Vec<u8>);

/// The model with these files. `config.yaml` among them is its config; `3/model.onnx` is a file of version 3; without
/// versions, all others are version 1.
///
/// # Errors
/// For a name that no model may bear, a file name that climbs out, files beside versions, or a config that is not UTF-8.
pub(crate) fn in_memory(name: &str, mut files: Vec<File>) -> Result<FoundModel, Error> {
    check_model_name(name)?;
    let at = files.iter().position(|(file, _)| CONFIG_NAMES.contains(&file.as_str()));
    let config = at.map(|at| files.swap_remove(at)).map(|(file, content)| {
        let label = format!("{name}/{file}");
        let text = String::from_utf8(content);
        text.map_err(|_| Error::invalid_arg(format!("{label}: is not UTF-8"))).map(|text| ConfigText { label, text })
    });
    let config = config.transpose()?;
    let whole = sealed(&files).then(|| MemoryFiles::new(files.clone())).transpose()?;
    files.retain(|(file, _)| !seal::NAMES.contains(&file.as_str()));
    let prefixes = prefixes(&files);
    let mut versions = Versions::new();
    for (version, files) in by_version(name, files)? {
        versions.insert(version, Arc::new(MemoryFiles::new(files)?));
    }
    let sealing = match whole {
        Some(whole) => seal::in_memory(&whole, config.as_ref(), &prefixes, &mut versions)?,
        None => Sealing::Own,
    };
    Ok(FoundModel { name: name.to_owned(), config, versions, sealing, stamps: BTreeMap::new() })
}

fn sealed(files: &[File]) -> bool {
    files.iter().any(|(file, _)| seal::NAMES.contains(&file.as_str()))
}

/// What the names of each version's files begin with.
fn prefixes(files: &[File]) -> BTreeMap<u64, String> {
    let folders = files.iter().filter_map(|(file, _)| file.split_once('/')).map(|(folder, _)| folder);
    let versions = folders.filter_map(|folder| match folder_name(folder) {
        FolderName::Version(version) => Some((version, format!("{folder}/"))),
        _ => None,
    });
    let versions: BTreeMap<_, _> = versions.collect();
    if versions.is_empty() { BTreeMap::from([(1, String::new())]) } else { versions }
}

fn by_version(name: &str, files: Vec<File>) -> Result<BTreeMap<u64, Vec<File>>, Error> {
    let version_of = |file: &str| match file.split_once('/').map(|(folder, rest)| (folder_name(folder), rest)) {
        Some((FolderName::Version(version), rest)) => Some((version, rest.to_owned())),
        _ => None,
    };
    if !files.iter().any(|(file, _)| version_of(file).is_some()) {
        return Ok(BTreeMap::from([(1, files)]));
    }
    let mut versions: BTreeMap<u64, Vec<File>> = BTreeMap::new();
    for (file, content) in files {
        let Some((version, rest)) = version_of(&file) else {
            let message =
                format!("model '{name}': found '{}' beside versions, expected all files in one", file.escape_debug());
            return Err(Error::invalid_arg(message));
        };
        versions.entry(version).or_default().push((rest, content));
    }
    Ok(versions)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(files: &[&str]) -> Result<Vec<(u64, Vec<String>)>, Error> {
        let files = files.iter().map(|file| ((*file).to_owned(), Vec::new())).collect();
        let found = in_memory("m", files)?;
        Ok(found.versions.iter().map(|(version, files)| (*version, files.names().to_vec())).collect())
    }

    #[test]
    fn files_are_sorted_into_versions() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert_eq!(found(&["config.yaml", "a.onnx"]).unwrap(), [(1, names(&["a.onnx"]))]);
        assert_eq!(found(&["config.yaml"]).unwrap(), [(1, names(&[]))]);
        assert_eq!(found(&["a/b.bin", "c"]).unwrap(), [(1, names(&["a/b.bin", "c"]))]);
        assert_eq!(found(&["2/a", "10/b/c"]).unwrap(), [(2, names(&["a"])), (10, names(&["b/c"]))]);
    }

    #[test]
    fn a_file_beside_versions_is_refused() {
        let error = found(&["2/a", "b"]).unwrap_err();
        assert!(error.message().contains("found 'b' beside versions"), "{error}");
    }
}
