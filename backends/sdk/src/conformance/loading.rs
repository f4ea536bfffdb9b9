//! The checks that load models: sound ones, and every kind of broken one.

use super::{Case, MemoryFiles, Verdict, panic_text};
use crate::{Error, ModelFiles, TensorSpec};
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Damaged copies of the model per run: enough to hit headers, names, shapes and weights.
const DAMAGED: u64 = 48;

pub(super) fn the_signature_is_sane(case: &Case) -> Result<Verdict, String> {
    let model = case.load().map_err(|error| format!("load: {error}"))?;
    let signature = model.signature();
    check_specs("input", &signature.inputs, signature.batches)?;
    check_specs("output", &signature.outputs, signature.batches)?;
    for example in &case.examples {
        for (kind, specs, tensors) in
            [("input", &signature.inputs, &example.inputs), ("output", &signature.outputs, &example.outputs)]
        {
            if specs.len() != tensors.len() {
                return Err(format!("found {} {kind}s, the example has {}", specs.len(), tensors.len()));
            }
            for (spec, tensor) in specs.iter().zip(tensors) {
                let fits = spec.dims.as_ref().is_none_or(|dims| {
                    dims.len() == tensor.shape().len()
                        && dims
                            .iter()
                            .zip(tensor.shape().iter())
                            .all(|(dim, found)| *dim < 0 || *dim as usize == *found)
                });
                if spec.dtype != tensor.dtype() || !fits {
                    let (dtype, shape) = (tensor.dtype(), tensor.shape());
                    return Err(format!(
                        "{kind} '{}': found {} {:?}, the example has {dtype} {shape}",
                        spec.name, spec.dtype, spec.dims
                    ));
                }
            }
        }
    }
    Ok(Verdict::Passed)
}

pub(super) fn an_unknown_file_is_refused(case: &Case) -> Result<Verdict, String> {
    if case.file_name.is_empty() {
        return Ok(Verdict::Skipped("the model has no file"));
    }
    let missing = format!("missing-{}", case.file_name);
    match load(case, &missing, &case.files)? {
        Ok(()) => Err("a model was loaded from a file that is not there".to_owned()),
        Err(error) if !error.message().contains(&missing) => Err(format!("the error does not name the file: {error}")),
        Err(_) => Ok(Verdict::Passed),
    }
}

pub(super) fn a_garbage_model_is_refused(case: &Case) -> Result<Verdict, String> {
    if case.file_name.is_empty() {
        return Ok(Verdict::Skipped("the model has no file"));
    }
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let noise: Vec<u8> = (0..4096).map(|_| random.next() as u8).collect();
    let garbage = [vec![0; 1024], vec![0xff; 1024], noise, b"<html>not a model</html>".to_vec()];
    for (index, content) in garbage.into_iter().enumerate() {
        refused(case, content).map_err(|error| format!("garbage {index}: {error}"))?;
    }
    Ok(Verdict::Passed)
}

pub(super) fn a_truncated_model_is_refused(case: &Case) -> Result<Verdict, String> {
    let Ok(whole) = case.files.read(&case.file_name) else { return Ok(Verdict::Skipped("the model has no file")) };
    for kept in [0, 1, whole.len() / 4, whole.len() / 2, whole.len() / 4 * 3] {
        refused(case, whole[..kept].to_vec()).map_err(|error| format!("first {kept} bytes: {error}"))?;
    }
    Ok(Verdict::Passed)
}

/// One byte changed may still be a model; it must load or be refused.
pub(super) fn a_damaged_model_never_panics(case: &Case) -> Result<Verdict, String> {
    let Ok(whole) = case.files.read(&case.file_name) else { return Ok(Verdict::Skipped("the model has no file")) };
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    for _ in 0..DAMAGED {
        // Half of the damage goes to the front, where formats keep what is not weights.
        let reach = if random.next().is_multiple_of(2) { whole.len().min(512) } else { whole.len() };
        let (at, bits) = (random.next() as usize % reach, 1u8 << (random.next() % 8));
        let mut damaged = case.files.clone();
        let mut content = whole.clone();
        content[at] ^= bits;
        damaged.insert(&case.file_name, content);
        let _loaded_or_refused =
            load(case, &case.file_name, &damaged).map_err(|error| format!("byte {at} ^ {bits:#x}: {error}"))?;
    }
    Ok(Verdict::Passed)
}

fn refused(case: &Case, content: Vec<u8>) -> Result<(), String> {
    let mut files = case.files.clone();
    files.insert(&case.file_name, content);
    match load(case, &case.file_name, &files)? {
        Ok(()) => Err("a model was loaded from it".to_owned()),
        Err(error) if !error.message().contains(&case.file_name) => {
            Err(format!("the error does not name the file '{}': {error}", case.file_name))
        }
        Err(_) => Ok(()),
    }
}

/// What the backend says; `Err` when it panicked.
fn load(case: &Case, file_name: &str, files: &MemoryFiles) -> Result<Result<(), Error>, String> {
    let loaded = catch_unwind(AssertUnwindSafe(|| case.load_from(file_name, files).map(drop)));
    loaded.map_err(|panic| format!("load panicked: {}", panic_text(&*panic)))
}

fn check_specs(kind: &str, specs: &[TensorSpec], batches: bool) -> Result<(), String> {
    let mut names = BTreeSet::new();
    if specs.is_empty() {
        return Err(format!("found no {kind}"));
    }
    for spec in specs {
        if spec.name.is_empty() || !names.insert(&spec.name) {
            return Err(format!("{kind} '{}': its name is empty or not unique", spec.name));
        }
        if spec.dims.iter().flatten().any(|dim| *dim < -1) {
            return Err(format!("{kind} '{}': found dims {:?}, expected -1 or more", spec.name, spec.dims));
        }
        if batches && spec.dims.as_ref().is_some_and(|dims| dims.first() != Some(&-1)) {
            let message = "the model batches, but its first dim does not vary";
            return Err(format!("{kind} '{}' {:?}: {message}", spec.name, spec.dims));
        }
    }
    Ok(())
}

/// A xorshift generator: the same damage at every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}
