//! Warm-ups and metrics. Pure, any thread.

use super::super::error::{Report, listed, quoted};
use super::super::fields::{HISTOGRAM_OPTIONS, METRIC_CONTROL, METRIC_IDENTIFIER, METRICS, WARMUP, WARMUP_INPUT};
use super::super::limits;
use super::super::metric::MetricConfig;
use super::super::read::Cursor;
use super::super::warmup::{Warmup, WarmupData, WarmupInput};
use super::{flag, size, text};
use crate::observe::Layout;
use std::collections::BTreeMap;

pub(super) fn warmups(root: &Cursor<'_>, report: &mut Report) -> Vec<Warmup> {
    let items = root.key("model_warmup").map(|list| list.items()).unwrap_or_default();
    items.iter().map(|item| warmup(item, report)).collect()
}

fn warmup(cursor: &Cursor<'_>, report: &mut Report) -> Warmup {
    cursor.check_keys(&WARMUP, report);
    let mut inputs = BTreeMap::new();
    for (name, input) in cursor.key("inputs").map(|map| map.entries(report)).unwrap_or_default() {
        inputs.extend(warmup_input(&input, report).map(|input| (name, input)));
    }
    Warmup {
        name: text(cursor, "name", report).unwrap_or_default(),
        batch_size: size(cursor, "batch_size", limits::BATCH_SIZE, report).unwrap_or(1).max(1),
        count: size(cursor, "count", limits::WARMUPS, report).unwrap_or(1).max(1),
        inputs,
    }
}

fn warmup_input(cursor: &Cursor<'_>, report: &mut Report) -> Option<WarmupInput> {
    cursor.check_keys(&WARMUP_INPUT, report);
    let dims = cursor.key("dims").map(|dims| dims.items()).unwrap_or_default();
    let dims: Vec<_> = dims.iter().map(|dim| dim.whole(0..=i64::MAX as u64, report)).collect();
    let data_type = match cursor.key("data_type") {
        Some(data_type) => data_type.data_type(report),
        None => cursor.fault("found no data_type, expected that of the input", report),
    };
    let data = warmup_data(cursor, report);
    let dims = dims.into_iter().map(|dim| dim.and_then(|dim| usize::try_from(dim).ok())).collect::<Option<_>>();
    Some(WarmupInput { data_type: data_type?, dims: dims?, data: data? })
}

fn warmup_data(cursor: &Cursor<'_>, report: &mut Report) -> Option<WarmupData> {
    let zero = flag(cursor, "zero_data", report).filter(|is_chosen| *is_chosen);
    let random = flag(cursor, "random_data", report).filter(|is_chosen| *is_chosen);
    let file = cursor.key("input_data_file").map(|file| file.file(report));
    match (zero, random, file) {
        (Some(_), ..) => Some(WarmupData::Zero),
        (_, Some(_), _) => Some(WarmupData::Random),
        (.., Some(file)) => file.map(WarmupData::File),
        _ => {
            let choices = "zero_data, random_data, input_data_file";
            cursor.fault(format_args!("found no data, expected one of {choices}"), report)
        }
    }
}

pub(super) fn metrics(root: &Cursor<'_>, report: &mut Report) -> Vec<MetricConfig> {
    let Some(cursor) = root.key("model_metrics") else { return Vec::new() };
    cursor.check_keys(&METRICS, report);
    let controls = cursor.key("metric_control").map(|list| list.items()).unwrap_or_default();
    controls.iter().map(|control| metric(control, report)).collect()
}

fn metric(cursor: &Cursor<'_>, report: &mut Report) -> MetricConfig {
    cursor.check_keys(&METRIC_CONTROL, report);
    let identifier = cursor.key("metric_identifier").inspect(|it| it.check_keys(&METRIC_IDENTIFIER, report));
    let options = cursor.key("histogram_options").inspect(|it| it.check_keys(&HISTOGRAM_OPTIONS, report));
    let buckets = options.and_then(|options| options.key("buckets")).map(|list| list.items()).unwrap_or_default();
    let family = identifier.and_then(|identifier| identifier.key("family"));
    MetricConfig {
        family: family.and_then(|family| known_family(&family, report)).unwrap_or_default(),
        buckets: buckets.iter().filter_map(|bucket| bucket.real(report)).collect(),
    }
}

/// The name of a metric. One whose bounds nobody can choose is left as it is, as Triton does, and warned of.
fn known_family(cursor: &Cursor<'_>, report: &mut Report) -> Option<String> {
    let family = cursor.text(report)?;
    if !family.is_empty() && !Layout::FAMILIES.contains(&&*family) {
        let (found, known) = (quoted(&family), listed(Layout::FAMILIES));
        cursor.warn(format_args!("found '{found}', whose bounds are fixed, expected one of {known}"), report);
    }
    Some(family)
}
