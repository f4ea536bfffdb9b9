//! The rules for what goes beyond names, dims and queues: reshaped tensors, inputs of batches, warm-ups, metrics. Pure,
//! any thread.

use super::super::batch_io::BatchOutput;
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

/// `batch_input` and `batch_output` name inputs and outputs that are there.
pub(super) fn batch_io(config: &PartialConfig, report: &mut Report) {
    for (index, input) in config.batch_inputs.iter().enumerate() {
        let path = Path::root("batch_input").index(index);
        ends(&input.targets, &input.sources, config, &path, report);
        if !matches!(input.data_type, DataType::Int32 | DataType::Fp32) {
            report.on(&path.key("data_type"), format_args!("found {}, expected one of INT32, FP32", input.data_type));
        }
    }
    for (index, BatchOutput { targets, sources }) in config.batch_outputs.iter().enumerate() {
        ends(targets, sources, config, &Path::root("batch_output").index(index), report);
    }
}

fn ends(targets: &[String], sources: &[String], config: &PartialConfig, path: &Path, report: &mut Report) {
    if targets.is_empty() || targets.iter().any(String::is_empty) {
        report.on(&path.key("target_name"), "found nothing, expected at least one name");
    }
    match sources {
        [source] if config.inputs.iter().any(|input| input.name == *source) => {}
        [source] => {
            let known = listed(config.inputs.iter().map(|input| &*input.name));
            let source = quoted(source);
            report.on(&path.key("source_input").index(0), format_args!("found '{source}', expected an input: {known}"));
        }
        _ => report.on(&path.key("source_input"), format_args!("found {} inputs, expected one", sources.len())),
    }
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
