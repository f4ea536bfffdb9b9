//! THE PLAN: what a config file says, checked, and completed from the model itself.
//!
//! ```text
//! text --parse--> PartialConfig --complete(name, backend, signature)--> ModelConfig
//!  tree.rs   text -> nodes with positions       complete.rs  fills gaps, finds contradictions
//!  keys.rs   nodes -> values, with read.rs      check.rs     the rules for values from anywhere
//! ```
//!
//! A file is YAML, and so may be JSON. The keys are Triton's:
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
//! Further keys: `name`, `platform`, `default_model_filename`; `priority_levels`, `default_priority_level`,
//! `preserve_ordering` (only `false`) and `default_queue_policy` (`max_queue_size`, `default_timeout_microseconds`) within
//! `dynamic_batching`; `model_transaction_policy` (`decoupled`). Four are not Triton's: `caller_runs` (`never`,
//! `own_request`, `batch`), `execution_timeout_microseconds`, `response_credit_max` within `model_transaction_policy`, and
//! `default_queue_policy` at the top for a model without dynamic batching.
//! A single value stands for a list of one. Where Triton takes 0 for "no limit" or "default", so do these keys.
//!
//! Invariants: 1. No file is opened here; the text comes from outside. 2. All errors of a file are reported at once.
//! 3. No text, however hostile, overflows the stack, takes more than bounded memory, or panics. 4. Only
//! [`ModelConfig`], complete and checked, travels further in. Runs on whatever thread calls.

mod check;
mod complete;
mod error;
mod json;
mod keys;
mod limits;
mod model;
mod nearest;
mod partial;
mod path;
mod read;
#[cfg(feature = "capi")]
mod server;
mod tree;

pub use check::check_model_name;
pub use error::{ConfigError, ConfigErrors};
pub use model::{CallerRuns, DynamicBatching, InstanceGroup, InstanceKind, ModelConfig, TensorConfig, VersionPolicy};
pub use partial::{PartialConfig, PartialTensor};
#[cfg(feature = "capi")]
pub(crate) use server::parse_server;

use error::{Report, Source};
use std::sync::Arc;

/// Reads the text of a config file; `file` is what messages call it.
///
/// # Errors
/// Everything that is wrong with the text: not YAML, or JSON; larger than 1 MiB, deeper than 64 levels, or blown up by
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
    let Some(root) = tree::read(&source.text, &mut report).map(Arc::new) else {
        return report.finish(PartialConfig::new());
    };
    report.set_root(Arc::clone(&root));
    let mut config = keys::config(&read::Cursor::root(&root), &mut report);
    check::partial(&config, &mut report);
    config.origin = Some(partial::Origin { source, root });
    report.finish(config)
}

#[cfg(test)]
mod tests;
