//! THE PLAN: what a config file says, checked, and completed from the model itself.
//!
//! ```text
//! text --parse--> PartialConfig --complete(name, backend, signature)--> ModelConfig
//!  tree.rs   YAML  -> nodes with positions      complete.rs  fills gaps, finds contradictions
//!  pbtxt     pbtxt -> the same nodes            check        the rules for values from anywhere
//!  keys      nodes -> values, with read.rs      json.rs, yaml.rs  values -> text
//! ```
//!
//! A file is YAML, and so may be JSON; or, when its name ends with `.pbtxt`, Triton's text format. Which keys there are is
//! said once, in `fields.rs`, and what becomes of each in `docs/triton-config.md`. The keys are Triton's:
//!
//! ```
//! let text = "
//! backend: tract
//! max_batch_size: 32
//! input: [{name: image, data_type: TYPE_FP32, dims: [1, 8, 8]}]
//! output: [{name: scores, data_type: TYPE_FP32, dims: [10]}]
//! instance_group: [{kind: KIND_CPU, count: 2}]
//! dynamic_batching: {preferred_batch_size: [8, 16], max_queue_delay_microseconds: 500}
//! version_policy: {latest: {num_versions: 2}}
//! parameters: {threads: 1}
//! ";
//! let config = inferlay::config::parse("digits/config.yaml", text)?;
//! assert_eq!(config.max_batch_size, Some(32));
//! # Ok::<(), inferlay::config::ConfigErrors>(())
//! ```
//!
//! Eight keys are not Triton's: `caller_runs` (`never`, `own_request`, `batch`), `execution_timeout_microseconds`,
//! `swap` (`overlap`, `replace`), `response_credit_max` within `model_transaction_policy`, `default_queue_policy` at the top
//! for a model without dynamic batching, and `version_labels`, `traffic` and `shadow`, which direct requests to versions.
//! What Triton serves and this version does not yet is checked, carried and warned of:
//! [`PartialConfig::warnings`]. `docs/config.schema.json` is a JSON Schema, for editors.
//!
//! A single value stands for a list of one. Where Triton takes 0 for "no limit" or "default", so do these keys.
//!
//! Invariants: 1. No file is opened here; the text comes from outside. 2. All errors of a file are reported at once.
//! 3. No text, however hostile, overflows the stack, takes more than bounded memory, or panics. 4. Only
//! [`ModelConfig`], complete and checked, travels further in. Runs on whatever thread calls.

mod batch_io;
mod carried;
mod check;
mod complete;
mod error;
mod fields;
mod grammar;
mod json;
mod keys;
mod limits;
mod metric;
mod model;
mod named;
mod nearest;
mod partial;
mod path;
mod pbtxt;
mod platforms;
mod queue;
mod read;
#[cfg(feature = "capi")]
mod server;
mod tree;
mod warmup;
mod yaml;

pub use batch_io::{BatchInput, BatchInputKind, BatchOutput};
pub use check::check_model_name;
pub(crate) use check::{label_fault, lowest_terms, weights_fault};
pub use error::{ConfigError, ConfigErrors};
pub(crate) use limits::QUEUE_SIZES_MAX;
pub use metric::MetricConfig;
pub use model::{
    CallerRuns, DynamicBatching, InstanceGroup, InstanceKind, ModelConfig, Swap, TensorConfig, VersionPolicy,
};
pub(crate) use named::{Content, NamedFile};
pub use partial::{PartialConfig, PartialTensor};
pub(crate) use platforms::default_file_names;
pub use queue::{QueuePolicy, TimeoutAction};
#[cfg(all(feature = "capi", test))]
pub(crate) use server::server_keys;
#[cfg(feature = "capi")]
pub(crate) use server::{ControlOptions, ModelControl, RepositoryOptions, SourceOptions, parse_server};
pub use warmup::{Warmup, WarmupData, WarmupInput};
#[doc(hidden)]
pub use yaml::to_yaml;

use error::{Report, Source};
use std::sync::Arc;

/// Reads the text of a config file; `file` is what messages call it, and its end, such as `.pbtxt`, says the format.
///
/// # Errors
/// Everything that is wrong with the text: not YAML, JSON or the text format of protocol buffers; larger than 1 MiB, deeper than 64 levels, or blown up by
/// aliases; unknown keys, with the nearest known one; values of the wrong type or out of bounds.
///
/// # Examples
/// ```
/// let errors = inferlay::config::parse("digits/config.yaml", "max_batch_size: -1").unwrap_err();
/// assert_eq!(errors.to_string(), "\
/// digits/config.yaml:1:17: max_batch_size: found -1, expected a whole number from 0 to 2147483647
///    1 | max_batch_size: -1
///      |                 ^^");
/// ```
pub fn parse(file: &str, text: &str) -> Result<PartialConfig, ConfigErrors> {
    let too_large = text.len() > limits::TEXT_SIZE_MAX;
    let text = if too_large { String::new() } else { text.to_owned() };
    let source = Arc::new(Source { file: file.to_owned(), text });
    let mut report = Report::of_file(Arc::clone(&source), None);
    if too_large {
        report.whole(format!("found more than {0} bytes, expected at most {0}", limits::TEXT_SIZE_MAX));
        return report.finish(PartialConfig::new());
    }
    let root = match is_pbtxt(file) {
        true => pbtxt::read(&source.text, &fields::CONFIG, &mut report),
        false => tree::read(&source.text, &mut report),
    };
    let Some(root) = root.map(Arc::new) else { return report.finish(PartialConfig::new()) };
    report.set_root(Arc::clone(&root));
    let mut config = keys::config(&read::Cursor::root(&root), &mut report);
    check::partial(&config, &mut report);
    config.warnings = report.take_warnings();
    config.origin = Some(partial::Origin { source, root });
    report.finish(config)
}

/// Whether a file of that name is in the text format of protocol buffers.
fn is_pbtxt(file: &str) -> bool {
    file.ends_with(".pbtxt")
}

#[cfg(test)]
mod tests;
