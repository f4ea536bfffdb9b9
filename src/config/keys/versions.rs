//! Which version a request gets: labels, shares of the traffic, a shadow. Pure, any thread.

use super::super::error::Report;
use super::super::limits;
use super::super::read::Cursor;
use std::collections::BTreeMap;

/// `stable: 1`.
pub(super) fn labels(root: &Cursor<'_>, report: &mut Report) -> BTreeMap<String, u64> {
    let entries = root.key("version_labels").map(|map| map.entries(report)).unwrap_or_default();
    entries.into_iter().filter_map(|(label, version)| Some((label, version.whole(limits::VERSION, report)?))).collect()
}

/// `1: 90`, a version and its weight.
pub(super) fn traffic(root: &Cursor<'_>, report: &mut Report) -> BTreeMap<u64, u32> {
    let entries = root.key("traffic").map(|map| map.entries(report)).unwrap_or_default();
    let mut traffic = BTreeMap::new();
    for (version, weight) in entries {
        let number = weight.whole(limits::WEIGHT, report).and_then(|number| u32::try_from(number).ok());
        match (version.parse(), number) {
            (Ok(version), Some(number)) if limits::VERSION.contains(&version) => {
                if traffic.insert(version, number).is_some() {
                    weight.fault::<()>(format_args!("found version {version} again, expected each once"), report);
                }
            }
            (Ok(_) | Err(_), None) => {}
            _ => _ = weight.fault::<()>("found a key that is no version, expected a number from 1 on", report),
        }
    }
    traffic
}

/// The number of a version, where 0 stands for none.
pub(super) fn shadow(root: &Cursor<'_>, report: &mut Report) -> Option<u64> {
    root.key("shadow")?.whole(0..=*limits::VERSION.end(), report).filter(|version| *version > 0)
}
