//! The rules for what directs requests to versions, wherever it comes from: a config, or whoever directs a server. Pure,
//! any thread.

use super::super::error::{Report, listed, quoted};
use super::super::limits;
use super::super::model::VersionPolicy;
use super::super::partial::PartialConfig;
use super::super::path::Path;
use super::number;

/// Labels, shares and a shadow, and that the versions may be served which they name.
pub(super) fn versions(config: &PartialConfig, report: &mut Report) {
    let root = Path::root("version_labels");
    for (label, version) in &config.version_labels {
        let path = root.key(label.clone());
        if let Some(fault) = label_fault(label) {
            report.on(&path, format_args!("found the label '{}', {fault}", quoted(label)));
        }
        self::version(*version, config, &path, report);
    }
    let root = Path::root("traffic");
    let traffic: Vec<_> = config.traffic.values().copied().collect();
    if let Some(fault) = weights_fault(&traffic).filter(|_| !traffic.is_empty()) {
        report.on(&root, fault);
    }
    for version in config.traffic.keys() {
        self::version(*version, config, &root.key(version.to_string()), report);
    }
    if let Some(shadow) = config.shadow {
        self::version(shadow, config, &Path::root("shadow"), report);
    }
}

/// A version that something is said of. Of the newest ones nobody knows which they will be.
fn version(version: u64, config: &PartialConfig, path: &Path, report: &mut Report) {
    number(Some(version), limits::VERSION, path, report);
    if let Some(VersionPolicy::Specific(versions)) = &config.version_policy
        && !versions.contains(&version)
    {
        let known = versions.iter().map(u64::to_string).collect::<Vec<_>>();
        let known = listed(known.iter().map(String::as_str));
        report.on(path, format_args!("found version {version}, expected one that version_policy names: {known}"));
    }
}

/// What is wrong with a label, if something is: nobody may take one for a number, or for several words.
pub(crate) fn label_fault(label: &str) -> Option<String> {
    let is_good = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte);
    let has_letter = label.bytes().any(|byte| byte.is_ascii_alphabetic());
    let most = limits::LABEL_LEN_MAX;
    let is_label = has_letter && label.len() <= most && label.bytes().all(is_good);
    (!is_label).then(|| format!("expected 1 to {most} letters, digits, '_', '-' and '.', one letter at least"))
}

/// What is wrong with the weights of a split, if something is.
pub(crate) fn weights_fault(weights: &[u32]) -> Option<String> {
    if weights.iter().all(|weight| *weight == 0) {
        return Some("found no version with a weight, expected one at least".to_owned());
    }
    let most = limits::WEIGHTS_SUM_MAX;
    let sum: u64 = lowest_terms(weights).into_iter().map(u64::from).sum();
    let is_split = sum <= most && weights.len() as u64 <= most;
    (!is_split).then(|| format!("found weights that come to {sum}, expected at most {most}"))
}

/// The same shares in the smallest whole numbers.
pub(crate) fn lowest_terms(weights: &[u32]) -> Vec<u32> {
    let divisor = weights.iter().fold(0, |divisor, weight| common_divisor(divisor, *weight)).max(1);
    weights.iter().map(|weight| weight / divisor).collect()
}

fn common_divisor(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { common_divisor(b, a % b) }
}
