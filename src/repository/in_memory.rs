//! A model whose files are in memory: laid out as in a folder, and no more trusted than one.

use super::config_file;
use super::files::MemoryFiles;
use super::name::{Shown, check_model_name};
use super::versions::{FolderName, folder_name};
use super::{ConfigText, FoundModel};
use inferlay_backend_sdk::{Error, ModelFiles};
use std::collections::BTreeMap;
use std::sync::Arc;

type File = (String, Vec<u8>);

/// The model with these files. `config.yaml` among them is its config, or another that a folder may have;
/// `3/model.onnx` is a file of version 3; without versions, all others are version 1.
///
/// # Errors
/// For a name that no model may bear, a file name that climbs out, files beside versions, several configs, or one that is
/// not UTF-8.
pub(crate) fn in_memory(name: &str, mut files: Vec<File>, config_name: Option<&str>) -> Result<FoundModel, Error> {
    check_model_name(name)?;
    let position = |wanted: &str| files.iter().position(|(file, _)| file == wanted);
    let chosen = config_file::choose(|file| position(file).is_some(), config_name);
    let chosen = chosen.map_err(|error| error.at(format_args!("model {}", Shown::text(name))))?;
    let at = chosen.and_then(|file| position(&file));
    let config = at.map(|at| files.swap_remove(at)).map(|(file, content)| {
        let label = format!("{name}/{file}");
        let text = String::from_utf8(content);
        text.map_err(|_| Error::invalid_arg(format!("{label}: is not UTF-8"))).map(|text| ConfigText { label, text })
    });
    // Those that were not chosen are no files of the model.
    files.retain(|(file, _)| !config_file::is_config(file));
    let mut versions: BTreeMap<u64, Arc<dyn ModelFiles>> = BTreeMap::new();
    for (version, files) in by_version(name, files)? {
        versions.insert(version, Arc::new(MemoryFiles::new(files)?));
    }
    Ok(FoundModel { name: name.to_owned(), config: config.transpose()?, versions, stamps: BTreeMap::new() })
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
        let found = in_memory("m", files, None)?;
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
    fn the_config_is_one_of_those_that_a_folder_may_have() {
        let files = || ["config.pbtxt", "configs/a.json", "1/m"].map(|file| (file.to_owned(), file.into())).to_vec();
        for (config_name, expected) in [(None, "config.pbtxt"), (Some("a"), "configs/a.json")] {
            let found = in_memory("m", files(), config_name).unwrap();
            let config = ConfigText { label: format!("m/{expected}"), text: expected.to_owned() };
            assert_eq!((found.config, found.versions[&1].names()), (Some(config), vec!["m".to_owned()]));
        }
        let error = found(&["config.yaml", "config.pbtxt"]).unwrap_err();
        assert_eq!(error.message(), "model 'm': found config.yaml and config.pbtxt, expected one config");
    }

    #[test]
    fn a_file_beside_versions_is_refused() {
        let error = found(&["2/a", "b"]).unwrap_err();
        assert!(error.message().contains("found 'b' beside versions"), "{error}");
    }
}
