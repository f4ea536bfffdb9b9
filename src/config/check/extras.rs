//! The rules for what goes beyond names, dims and queues: reshaped tensors, inputs of batches, warm-ups, metrics. Pure,
//! any thread.

use super::super::error::{Report, listed, quoted};
use super::super::limits;
use super::super::partial::{PartialConfig, PartialTensor};
use super::super::path::Path;
use super::super::warmup::{Warmup, WarmupData, WarmupInput};
use super::{file_fault, number};
use inferlay_backend_sdk::DataType;
use std::collections::BTreeSet;

/// What one input or output asks for beside its type and dims.
pub(super) fn tensor(tensor: &PartialTensor, path: &Path, report: &mut Report) {
    if let Some(fault) = tensor.label_filename.as_deref().and_then(file_fault) {
        report.on(&path.key("label_filename"), fault);
    }
    if let (Some(dims), Some(reshape)) = (&tensor.dims, &tensor.reshape) {
        self::reshape(dims, reshape, &path.key("reshape").key("shape"), report);
    }
    if tensor.carried.get("is_shape_tensor").is_some_and(|flag| flag == true)
        && !matches!(tensor.data_type, None | Some(DataType::Int32 | DataType::Int64))
    {
        report.on(&path.key("is_shape_tensor"), "found true, expected it only with INT32 or INT64");
    }
}

/// The same elements, in the same order: the dims that vary stay, and between them lies as much as before.
fn reshape(dims: &[i64], reshape: &[i64], path: &Path, report: &mut Report) {
    if reshape.len() > limits::DIMS_MAX || reshape.iter().any(|dim| *dim < -1) {
        let most = limits::DIMS_MAX;
        return report.on(path, format_args!("found {reshape:?}, expected at most {most} dims of -1 or more"));
    }
    if between_variable(dims) != between_variable(reshape) {
        let message = format_args!("found {reshape:?}, expected dims of as many elements as {dims:?}");
        report.on(path, message);
    }
}

/// The products of the dims between those that vary; `None` for one that overflows.
fn between_variable(dims: &[i64]) -> Vec<Option<i64>> {
    dims.split(|dim| *dim == -1).map(|run| run.iter().try_fold(1i64, |all, dim| all.checked_mul(*dim))).collect()
}

/// `batch_input` and `batch_output` name inputs and outputs that are there, each once.
pub(super) fn batch_io(config: &PartialConfig, report: &mut Report) {
    let mut names: BTreeSet<_> = config.inputs.iter().map(|input| &input.name).collect();
    let made = [("batch_input", config.batch_inputs.is_empty()), ("batch_output", config.batch_outputs.is_empty())];
    for (key, _) in made.iter().filter(|(_, is_empty)| !is_empty && config.max_batch_size == Some(0)) {
        report.on(&Path::root(key), "found it with max_batch_size: 0, expected a model that batches");
    }
    for (index, input) in config.batch_inputs.iter().enumerate() {
        let path = Path::root("batch_input").index(index);
        source(&input.sources, config, &path, report);
        for (target, path) in targets(&input.targets, &path, report) {
            if !names.insert(target) {
                let found = quoted(target);
                report.on(&path, format_args!("found '{found}', expected a name that no other input has"));
            }
        }
        if !matches!(input.data_type, DataType::Int32 | DataType::Fp32) {
            report.on(&path.key("data_type"), format_args!("found {}, expected one of INT32, FP32", input.data_type));
        }
    }
    let mut names = BTreeSet::new();
    for (index, output) in config.batch_outputs.iter().enumerate() {
        let path = Path::root("batch_output").index(index);
        let source = source(&output.sources, config, &path, report);
        for (target, path) in targets(&output.targets, &path, report) {
            match config.outputs.iter().find(|own| own.name == *target) {
                Some(_) if !names.insert(target) => {
                    report.on(&path, format_args!("found '{}' again, expected each name once", quoted(target)));
                }
                Some(output) => scatter(output, source, &path, report),
                None => {
                    let known = listed(config.outputs.iter().map(|output| &*output.name));
                    report.on(&path, format_args!("found '{}', expected an output: {known}", quoted(target)));
                }
            }
        }
    }
}

/// Every dim of the output that varies is taken from the dim of the input in the same place.
fn scatter(output: &PartialTensor, source: Option<&PartialTensor>, path: &Path, report: &mut Report) {
    let dims = |tensor: &PartialTensor| tensor.reshape.clone().or_else(|| tensor.dims.clone());
    let (Some(own), Some(from)) = (dims(output), source.and_then(dims)) else { return };
    if own.iter().rposition(|dim| *dim == -1).is_some_and(|last| last >= from.len()) {
        let found = quoted(&output.name);
        report.on(path, format_args!("found '{found}' of dims {own:?}, expected no more that vary than in {from:?}"));
    }
}

/// The names, each with its place; one at least is expected.
fn targets<'a>(
    targets: &'a [String],
    path: &Path,
    report: &mut Report,
) -> impl Iterator<Item = (&'a String, Path)> + use<'a> {
    let path = path.key("target_name");
    if targets.is_empty() || targets.iter().any(String::is_empty) {
        report.on(&path, "found nothing, expected at least one name");
    }
    let names = targets.iter().enumerate().filter(|(_, name)| !name.is_empty());
    names.map(move |(index, name)| (name, path.index(index)))
}

/// The one input that every request has.
fn source<'a>(
    sources: &[String],
    config: &'a PartialConfig,
    path: &Path,
    report: &mut Report,
) -> Option<&'a PartialTensor> {
    let path = path.key("source_input");
    let [source] = sources else {
        report.on(&path, format_args!("found {} inputs, expected one", sources.len()));
        return None;
    };
    let (path, found) = (path.index(0), quoted(source));
    let input = config.inputs.iter().find(|input| input.name == *source);
    match input {
        None => {
            let known = listed(config.inputs.iter().map(|input| &*input.name));
            report.on(&path, format_args!("found '{found}', expected an input: {known}"));
        }
        Some(input) if input.optional == Some(true) => {
            report.on(&path, format_args!("found '{found}', which a request may leave out, expected one that it has"));
        }
        Some(_) => {}
    }
    input
}

/// Labels that Prometheus takes, and bounds that rise.
pub(super) fn metrics(config: &PartialConfig, report: &mut Report) {
    for key in config.metric_tags.keys().filter(|key| !is_label(key)) {
        let path = Path::root("metric_tags").key(key.clone());
        report.on(&path, "found a name that is no label, expected letters, digits and '_', a digit not first");
    }
    for (index, metric) in config.metrics.iter().enumerate() {
        let path = Path::root("model_metrics").key("metric_control").index(index);
        if metric.family.is_empty() {
            report.on(&path.key("metric_identifier").key("family"), "found nothing, expected the name of a metric");
        }
        let rises = metric.buckets.is_sorted_by(|low, high| low < high);
        if !rises || metric.buckets.iter().any(|bound| !bound.is_finite()) {
            report.on(&path.key("histogram_options").key("buckets"), "found bounds that do not rise, expected rising");
        }
    }
}

fn is_label(name: &str) -> bool {
    let is_letter = |c: char| c.is_ascii_alphabetic() || c == '_';
    name.starts_with(is_letter) && name.chars().all(|c| is_letter(c) || c.is_ascii_digit()) && !name.starts_with("__")
}

/// A warm-up is a request that the model takes.
pub(super) fn warmups(config: &PartialConfig, report: &mut Report) {
    for (index, warmup) in config.warmups.iter().enumerate() {
        let path = Path::root("model_warmup").index(index);
        number(Some(warmup.count), 1..=*limits::WARMUPS.end(), &path.key("count"), report);
        let largest = config.max_batch_size.unwrap_or(0).max(1);
        if warmup.batch_size == 0 || warmup.batch_size > largest {
            let found = warmup.batch_size;
            let message = format_args!("found {found}, expected from 1 to max_batch_size, which is {largest}");
            report.on(&path.key("batch_size"), message);
        }
        warmup_inputs(warmup, &config.inputs, &path.key("inputs"), report);
    }
}

fn warmup_inputs(warmup: &Warmup, inputs: &[PartialTensor], path: &Path, report: &mut Report) {
    for (name, own) in &warmup.inputs {
        match inputs.iter().find(|input| input.name == *name) {
            Some(input) => warmup_input(own, input, &path.key(name.clone()), report),
            None => {
                let known = listed(inputs.iter().map(|input| &*input.name));
                let name = quoted(name);
                report.on(&path.key(name.clone()), format_args!("found '{name}', expected an input: {known}"));
            }
        }
    }
    let needed = inputs.iter().filter(|input| input.optional != Some(true));
    let missing: BTreeSet<_> =
        needed.map(|input| &*input.name).filter(|name| !warmup.inputs.contains_key(*name)).collect();
    if !missing.is_empty() {
        report.on(path, format_args!("found nothing for {}, expected every input", listed(missing)));
    }
}

fn warmup_input(own: &WarmupInput, input: &PartialTensor, path: &Path, report: &mut Report) {
    if let Some(data_type) = input.data_type.filter(|data_type| *data_type != own.data_type) {
        report.on(&path.key("data_type"), format_args!("found {}, expected {data_type}, the input's", own.data_type));
    }
    let fits = |dims: &Vec<i64>| {
        let agree = |(own, dim): (&usize, &i64)| *dim == -1 || i64::try_from(*own).is_ok_and(|own| own == *dim);
        dims.len() == own.dims.len() && own.dims.iter().zip(dims).all(agree)
    };
    if let Some(dims) = input.dims.as_ref().filter(|dims| !fits(dims)) {
        report.on(&path.key("dims"), format_args!("found {:?}, expected {dims:?}, the input's", own.dims));
    }
    let element = own.data_type.size().unwrap_or(1);
    let bytes = own.dims.iter().try_fold(element, |bytes, dim| bytes.checked_mul(*dim));
    if bytes.is_none_or(|bytes| bytes as u64 > limits::WARMUP_BYTES_MAX) {
        let most = limits::WARMUP_BYTES_MAX;
        report.on(&path.key("dims"), format_args!("found more than {most} bytes, expected fewer"));
    }
    if let WarmupData::File(name) = &own.data
        && let Some(fault) = file_fault(name)
    {
        report.on(&path.key("input_data_file"), fault);
    }
}
