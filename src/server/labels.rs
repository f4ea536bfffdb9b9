//! The names of the classes of outputs, from the files that `label_filename` says: one on each line. Read when a version is
//! made to serve; whoever loads, on its thread.
//!
//! A file lies beside the versions, where Triton has it, or else among the files of the version. `files` resolve names
//! beneath the folder of the model, so that none leads out.

use crate::config::ModelConfig;
use crate::flow::LaneSpec;
use inferlay_backend_sdk::{Error, ErrorKind, ModelFiles};
use std::sync::Arc;

/// The files around a version that serves, where there are any.
#[derive(Clone, Copy, Default)]
pub(super) struct Around<'a> {
    /// What lies beside the versions.
    pub(super) beside: Option<&'a dyn ModelFiles>,
    /// The files of the version.
    pub(super) version: Option<&'a dyn ModelFiles>,
}

/// The classes of one output, in the order of their numbers.
pub(crate) type Labels = Arc<[String]>;

/// The classes of every output of a config that names a file for them, with the name of the output.
///
/// # Errors
/// `NOT_FOUND` for a file that is nowhere, `INVALID_ARG` for one that is no text, with the output.
pub(super) fn read(config: &ModelConfig, around: Around<'_>) -> Result<Vec<(String, Labels)>, Error> {
    let named = config.outputs.iter().filter_map(|output| Some((&output.name, output.label_filename.as_deref()?)));
    named.map(|(output, file)| Ok((output.clone(), lines(output, file, around)?))).collect()
}

/// Gives the outputs of a lane their classes.
pub(super) fn put(spec: &mut LaneSpec, labels: Vec<(String, Labels)>) {
    for (name, labels) in labels {
        let output = spec.outputs.iter_mut().find(|output| output.name == name);
        output.into_iter().for_each(|output| output.labels = Some(labels.clone()));
    }
}

/// Whether the outputs of a lane have just these classes.
pub(super) fn are_those_of(spec: &LaneSpec, labels: &[(String, Labels)]) -> bool {
    let stated = |name: &str| labels.iter().find(|(own, _)| own == name).map(|(_, labels)| labels);
    spec.outputs.iter().all(|output| output.labels.as_ref() == stated(&output.name))
}

fn lines(output: &str, file: &str, around: Around<'_>) -> Result<Labels, Error> {
    let labels = lines_of(file, around);
    labels.map_err(|error| error.at(format_args!("output '{}': label_filename", output.escape_debug())))
}

fn lines_of(file: &str, around: Around<'_>) -> Result<Labels, Error> {
    let places = [around.beside, around.version].into_iter().flatten();
    let read = places.map(|files| files.read(file)).find(|read| !is_missing(read));
    let name = file.escape_debug();
    let Some(read) = read else {
        let expected = "expected it in the model's folder or in that of the version";
        return Err(Error::not_found(format!("found no file '{name}', {expected}")));
    };
    match String::from_utf8(read?) {
        Ok(text) => Ok(text.lines().map(str::to_owned).collect()),
        Err(_) => Err(Error::invalid_arg(format!("file '{name}': found bytes that are no text, expected UTF-8"))),
    }
}

fn is_missing(read: &Result<Vec<u8>, Error>) -> bool {
    read.as_ref().is_err_and(|error| error.kind() == ErrorKind::NotFound)
}
