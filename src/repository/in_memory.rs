//! A model whose files are in memory: laid out as in a folder, and no more trusted than one.

use super::config_file;
use super::files::MemoryFiles;
use super::name::{Shown, check_model_name};
use super::seal::{self, Sealing};
use super::versions::{FolderName, folder_name};
use super::{ConfigText, FoundModel, Stamp, Versions};
use inferlay_backend_sdk::{Error, ModelFiles};
use std::collections::BTreeMap;
use std::sync::Arc;

type File = (String, Vec<u8>);

/// The model with these files. `config.yaml` among them is its config, or another that a folder may have;
/// `3/model.onnx` is a file of version 3, and what is in no version lies beside them; without versions, all others are
/// version 1.
///
/// # Errors
/// For a name that no model may bear, a file name that climbs out, several configs, or one that is not UTF-8.
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
    let config = config.transpose()?;
    let whole = is_sealed(&files).then(|| MemoryFiles::new(files.clone())).transpose()?;
    // Those that were not chosen are no files of the model.
    files.retain(|(file, _)| !config_file::is_config(file) && !seal::NAMES.contains(&file.as_str()));
    let prefixes = prefixes(&files);
    let mut versions = Versions::new();
    let mut stamps = BTreeMap::new();
    let beside: Arc<dyn ModelFiles> = Arc::new(MemoryFiles::new(beside(&files))?);
    for (version, files) in by_version(files) {
        stamps.insert(version, Stamp::of(&files));
        versions.insert(version, Arc::new(MemoryFiles::new(files)?));
    }
    let sealing = match whole {
        Some(whole) => seal::in_memory(&whole, config.as_ref(), &prefixes, &mut versions)?,
        None => Sealing::Own,
    };
    let beside = Some(sealing.beside().unwrap_or(beside));
    Ok(FoundModel { sealing, beside, stamps, ..FoundModel::new(name, config, versions) })
}

fn is_sealed(files: &[File]) -> bool {
    files.iter().any(|(file, _)| seal::NAMES.contains(&file.as_str()))
}

/// What the names of each version's files begin with.
fn prefixes(files: &[File]) -> BTreeMap<u64, String> {
    let folders = files.iter().filter_map(|(file, _)| Some((version_of(file)?.0, file.split_once('/')?.0)));
    let versions: BTreeMap<_, _> = folders.map(|(version, folder)| (version, format!("{folder}/"))).collect();
    if versions.is_empty() { BTreeMap::from([(1, String::new())]) } else { versions }
}

/// The version that a file belongs to, and its name there.
fn version_of(file: &str) -> Option<(u64, &str)> {
    match file.split_once('/').map(|(folder, rest)| (folder_name(folder), rest)) {
        Some((FolderName::Version(version), rest)) => Some((version, rest)),
        _ => None,
    }
}

/// The files that lie in no version's folder.
fn beside(files: &[File]) -> Vec<File> {
    files.iter().filter(|(file, _)| version_of(file).is_none()).cloned().collect()
}

/// The files of each version; without folders of versions, all are version 1.
fn by_version(files: Vec<File>) -> BTreeMap<u64, Vec<File>> {
    if !files.iter().any(|(file, _)| version_of(file).is_some()) {
        return BTreeMap::from([(1, files)]);
    }
    let mut versions: BTreeMap<u64, Vec<File>> = BTreeMap::new();
    for (file, content) in files {
        if let Some((version, rest)) = version_of(&file) {
            versions.entry(version).or_default().push((rest.to_owned(), content));
        }
    }
    versions
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
    fn what_lies_beside_versions_can_be_read_by_its_name() {
        let files = [("2/a", 1), ("warmup/x", 2), ("labels.txt", 3)].map(|(name, byte)| (name.to_owned(), vec![byte]));
        let found = in_memory("m", files.to_vec(), None).unwrap();
        let beside = found.beside.unwrap();
        assert_eq!((beside.read("warmup/x").unwrap(), beside.read("labels.txt").unwrap()), (vec![2], vec![3]));
        assert!(beside.read("2/a").is_err() && found.versions[&2].read("warmup/x").is_err());
    }

    #[test]
    fn the_same_content_has_the_same_mark() {
        let found = |files: &[(&str, u8)]| {
            let files = files.iter().map(|(name, byte)| ((*name).to_owned(), vec![*byte])).collect();
            in_memory("m", files, None).unwrap()
        };
        let (one, turned) = (found(&[("1/a", 1), ("1/b", 2)]), found(&[("1/b", 2), ("1/a", 1)]));
        let is_same = |other: &FoundModel| one.mark(1).unwrap().is_of_same_content(&other.mark(1).unwrap());
        assert!(is_same(&turned) && is_same(&found(&[("1/a", 1), ("1/b", 2), ("2/a", 3)])));
        assert!(!is_same(&found(&[("1/a", 2), ("1/b", 2)])) && !is_same(&found(&[("1/a", 1), ("1/c", 2)])));
    }
}
