//! Which file of a model is its config. Pure but for looking files up.
//!
//! ```text
//!   config name `gpu`:  configs/gpu.yaml, .yml, .json or .pbtxt      where the model has one of them
//!   else:               config.yaml, .yml, .json or .pbtxt           where it has one of them
//! ```
//!
//! Invariant: of two that could be meant none is chosen: that is an error which names both.

use super::name::Shown;
use inferlay_backend_sdk::Error;

/// What a config may be called.
pub(super) const CONFIG_NAMES: [&str; 4] = ["config.yaml", "config.yml", "config.json", "config.pbtxt"];

/// The folder of a model that holds its named configs.
pub(super) const CONFIGS_FOLDER: &str = "configs";

/// Whether configs may be chosen by this name.
///
/// # Errors
/// `INVALID_ARG` for a name that is no plain file name.
pub(crate) fn check_config_name(name: &str) -> Result<(), Error> {
    let is_plain = !name.is_empty() && !name.starts_with('.') && !name.contains(['/', '\\', '\0']);
    if is_plain && name.len() <= 200 {
        return Ok(());
    }
    let message = format!("config name {}: expected the name of a file in the folder configs", Shown::text(name));
    Err(Error::invalid_arg(message))
}

/// Whether a file of that name in a model's folder could be its config.
pub(super) fn is_config(name: &str) -> bool {
    CONFIG_NAMES.contains(&name) || name.strip_prefix(CONFIGS_FOLDER).is_some_and(|rest| rest.starts_with('/'))
}

/// The config among the files that are there: the named one, else the one beside the versions.
///
/// # Errors
/// `INVALID_ARG` when there are several.
pub(super) fn choose(is_there: impl Fn(&str) -> bool, config_name: Option<&str>) -> Result<Option<String>, Error> {
    let ends = CONFIG_NAMES.iter().filter_map(|name| name.strip_prefix("config"));
    let named = config_name.map(|name| ends.map(|end| format!("{CONFIGS_FOLDER}/{name}{end}")).collect::<Vec<_>>());
    if let Some(found) = sole(named.unwrap_or_default(), &is_there)? {
        return Ok(Some(found));
    }
    sole(CONFIG_NAMES.iter().map(|name| (*name).to_owned()).collect(), &is_there)
}

fn sole(names: Vec<String>, is_there: &dyn Fn(&str) -> bool) -> Result<Option<String>, Error> {
    let mut found = names.into_iter().filter(|name| is_there(name));
    match (found.next(), found.next()) {
        (Some(one), Some(other)) => Err(Error::invalid_arg(format!("found {one} and {other}, expected one config"))),
        (found, _) => Ok(found),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(files: &[&str], config_name: Option<&str>) -> Result<Option<String>, String> {
        choose(|name| files.contains(&name), config_name).map_err(|error| error.message().to_owned())
    }

    #[test]
    fn the_named_config_is_chosen_before_the_one_beside_the_versions() {
        let cases: [(&[&str], Option<&str>, Option<&str>); 7] = [
            (&["config.pbtxt"], None, Some("config.pbtxt")),
            (&["config.json", "model.onnx"], None, Some("config.json")),
            (&["config.pbtxt", "configs/gpu.pbtxt"], None, Some("config.pbtxt")),
            (&["config.pbtxt", "configs/gpu.pbtxt"], Some("gpu"), Some("configs/gpu.pbtxt")),
            (&["config.pbtxt", "configs/gpu.yaml"], Some("gpu"), Some("configs/gpu.yaml")),
            (&["config.pbtxt", "configs/gpu.pbtxt"], Some("cpu"), Some("config.pbtxt")),
            (&["configs/gpu.pbtxt"], Some("cpu"), None),
        ];
        for (files, config_name, expected) in cases {
            assert_eq!(chosen(files, config_name), Ok(expected.map(str::to_owned)), "{files:?} {config_name:?}");
        }
    }

    #[test]
    fn two_that_could_be_meant_are_an_error_that_names_both() {
        let both = chosen(&["config.yaml", "config.pbtxt"], None).unwrap_err();
        assert_eq!(both, "found config.yaml and config.pbtxt, expected one config");
        let both = chosen(&["config.yaml", "configs/a.yml", "configs/a.json"], Some("a")).unwrap_err();
        assert_eq!(both, "found configs/a.yml and configs/a.json, expected one config");
    }

    #[test]
    fn a_config_name_cannot_lead_out_of_its_folder() {
        assert!(["gpu", "gpu.small", "größe"].iter().all(|name| check_config_name(name).is_ok()));
        assert!(["", "..", ".a", "a/b", "../a", "a\\b", "a\0"].iter().all(|name| check_config_name(name).is_err()));
    }
}
