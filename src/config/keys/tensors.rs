//! Inputs and outputs, of requests and of batches. Pure, any thread.

use super::super::batch_io::{BatchInput, BatchInputKind, BatchOutput};
use super::super::carried;
use super::super::error::Report;
use super::super::fields::{BATCH_INPUT, BATCH_OUTPUT, INPUT, OUTPUT, SHAPE};
use super::super::grammar::Message;
use super::super::partial::PartialTensor;
use super::super::read::Cursor;
use super::{flag, text};
use inferlay_backend_sdk::DataType;

pub(super) fn inputs(root: &Cursor<'_>, report: &mut Report) -> Vec<PartialTensor> {
    items(root, "input").iter().map(|item| tensor(item, &INPUT, report)).collect()
}

pub(super) fn outputs(root: &Cursor<'_>, report: &mut Report) -> Vec<PartialTensor> {
    items(root, "output").iter().map(|item| tensor(item, &OUTPUT, report)).collect()
}

fn items<'a>(cursor: &Cursor<'a>, key: &'static str) -> Vec<Cursor<'a>> {
    cursor.key(key).map(|list| list.items()).unwrap_or_default()
}

/// One input or output. Without a readable name it keeps its place in the list, under an empty one.
fn tensor(cursor: &Cursor<'_>, message: &Message, report: &mut Report) -> PartialTensor {
    cursor.check_keys(message, report);
    let reshape = cursor.key("reshape").and_then(|reshape| {
        reshape.check_keys(&SHAPE, report);
        dims(&reshape, "shape", report).or(Some(Vec::new()))
    });
    let is_input = std::ptr::eq(message, &INPUT);
    PartialTensor {
        name: text(cursor, "name", report).unwrap_or_default(),
        data_type: data_type(cursor, report),
        dims: dims(cursor, "dims", report),
        optional: if is_input { flag(cursor, "optional", report) } else { None },
        reshape,
        allow_ragged_batch: is_input && flag(cursor, "allow_ragged_batch", report).unwrap_or(false),
        label_filename: match is_input {
            true => None,
            false => super::stated(cursor, "label_filename", report),
        },
        carried: carried::fields(cursor, message, &CARRIED, report),
    }
}

fn dims(cursor: &Cursor<'_>, key: &'static str, report: &mut Report) -> Option<Vec<i64>> {
    let dims: Vec<_> = cursor.key(key)?.items().iter().map(|dim| dim.dim(report)).collect();
    dims.into_iter().collect()
}

fn data_type(cursor: &Cursor<'_>, report: &mut Report) -> Option<DataType> {
    cursor.key("data_type")?.data_type(report)
}

pub(super) fn batch_inputs(root: &Cursor<'_>, report: &mut Report) -> Vec<BatchInput> {
    let batch_input = |cursor: &Cursor<'_>| {
        cursor.check_keys(&BATCH_INPUT, report);
        BatchInput {
            kind: cursor.key("kind").and_then(|kind| kind.choice(&BATCH_INPUT_KINDS, report)).unwrap_or_default(),
            targets: names(cursor, "target_name", report),
            data_type: data_type(cursor, report).unwrap_or(DataType::Fp32),
            sources: names(cursor, "source_input", report),
        }
    };
    items(root, "batch_input").iter().map(batch_input).collect()
}

pub(super) fn batch_outputs(root: &Cursor<'_>, report: &mut Report) -> Vec<BatchOutput> {
    let batch_output = |cursor: &Cursor<'_>| {
        cursor.check_keys(&BATCH_OUTPUT, report);
        if let Some(kind) = cursor.key("kind") {
            kind.choice(&[("BATCH_SCATTER_WITH_INPUT_SHAPE", ())], report);
        }
        BatchOutput { targets: names(cursor, "target_name", report), sources: names(cursor, "source_input", report) }
    };
    items(root, "batch_output").iter().map(batch_output).collect()
}

fn names(cursor: &Cursor<'_>, key: &'static str, report: &mut Report) -> Vec<String> {
    items(cursor, key).iter().filter_map(|item| item.text(report)).collect()
}

/// What only backends act upon.
const CARRIED: [&str; 3] = ["format", "is_shape_tensor", "is_non_linear_format_io"];

pub(in super::super) const BATCH_INPUT_KINDS: [(&str, BatchInputKind); 6] = [
    ("BATCH_ELEMENT_COUNT", BatchInputKind::ElementCount),
    ("BATCH_ACCUMULATED_ELEMENT_COUNT", BatchInputKind::AccumulatedElementCount),
    ("BATCH_ACCUMULATED_ELEMENT_COUNT_WITH_ZERO", BatchInputKind::AccumulatedElementCountWithZero),
    ("BATCH_MAX_ELEMENT_COUNT_AS_SHAPE", BatchInputKind::MaxElementCountAsShape),
    ("BATCH_ITEM_SHAPE", BatchInputKind::ItemShape),
    ("BATCH_ITEM_SHAPE_FLATTEN", BatchInputKind::ItemShapeFlatten),
];
