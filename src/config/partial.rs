//! What a config file says, and what it leaves out. Pure data, any thread.
//!
//! Invariant: a partial config that came from a file keeps its text and tree, so that what only the model shows to be
//! wrong is still reported with line and column.

use super::batch_io::{BatchInput, BatchOutput};
use super::error::{ConfigError, ConfigErrors, Report, Source};
use super::metric::MetricConfig;
use super::model::{CallerRuns, DynamicBatching, InstanceGroup, Swap, VersionPolicy};
use super::queue::TimeoutAction;
use super::tree::Node;
use super::warmup::Warmup;
use inferlay_backend_sdk::{DataType, Signature, TensorSpec};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A config of which any part may be missing: what a file says, or nothing at all. [`PartialConfig::complete`] adds
/// the rest from the model itself. The fields are those of [`super::ModelConfig`].
///
/// # Examples
/// ```
/// use inferlay::config::{PartialConfig, parse};
/// let partial = parse("config.yaml", "max_batch_size: 8")?;
/// assert_eq!((partial.max_batch_size, partial.backend), (Some(8), None));
/// assert_eq!(PartialConfig::new().max_batch_size, None);
/// # Ok::<(), inferlay::config::ConfigErrors>(())
/// ```
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct PartialConfig {
    /// Must be the name of the model's folder.
    pub name: Option<String>,
    /// The key `backend`, or what `platform` stands for.
    pub backend: Option<String>,
    /// See [`super::ModelConfig::platform`].
    pub platform: Option<String>,
    /// See [`super::ModelConfig::default_model_filename`].
    pub default_model_filename: Option<String>,
    /// `None`: see [`PartialConfig::complete`].
    pub max_batch_size: Option<usize>,
    /// Empty or partial: the model's own.
    pub inputs: Vec<PartialTensor>,
    /// Empty: all of the model's own.
    pub outputs: Vec<PartialTensor>,
    /// See [`super::ModelConfig::batch_inputs`].
    pub batch_inputs: Vec<BatchInput>,
    /// See [`super::ModelConfig::batch_outputs`].
    pub batch_outputs: Vec<BatchOutput>,
    /// Empty: one instance.
    pub instance_groups: Vec<InstanceGroup>,
    /// See [`super::ModelConfig::dynamic_batching`].
    pub dynamic_batching: Option<DynamicBatching>,
    /// `None`: the highest version.
    pub version_policy: Option<VersionPolicy>,
    /// See [`super::ModelConfig::version_labels`].
    pub version_labels: BTreeMap<String, u64>,
    /// See [`super::ModelConfig::traffic`].
    pub traffic: BTreeMap<u64, u32>,
    /// See [`super::ModelConfig::shadow`].
    pub shadow: Option<u64>,
    /// See [`super::ModelConfig::parameters`].
    pub parameters: BTreeMap<String, String>,
    /// `None`: 4096.
    pub queue_size_max: Option<usize>,
    /// See [`super::ModelConfig::default_timeout_us`].
    pub default_timeout_us: Option<u64>,
    /// See [`super::ModelConfig::timeout_action`].
    pub timeout_action: TimeoutAction,
    /// See [`super::ModelConfig::allow_timeout_override`].
    pub allow_timeout_override: bool,
    /// See [`super::ModelConfig::execution_timeout_us`].
    pub execution_timeout_us: Option<u64>,
    /// See [`super::ModelConfig::caller_runs`].
    pub caller_runs: Option<CallerRuns>,
    /// See [`super::ModelConfig::swap`].
    pub swap: Option<Swap>,
    /// `None`: it is not.
    pub decoupled: Option<bool>,
    /// `None`: 64.
    pub response_credit_max: Option<usize>,
    /// See [`super::ModelConfig::warmups`].
    pub warmups: Vec<Warmup>,
    /// See [`super::ModelConfig::metric_tags`].
    pub metric_tags: BTreeMap<String, String>,
    /// See [`super::ModelConfig::metrics`].
    pub metrics: Vec<MetricConfig>,
    /// See [`super::ModelConfig::carried`].
    pub carried: serde_json::Map<String, serde_json::Value>,
    pub(super) warnings: Vec<ConfigError>,
    pub(super) origin: Option<Origin>,
}

/// What a config file says of one input or output.
///
/// # Examples
/// ```
/// use inferlay::config::{PartialTensor, parse};
/// // The type and the dims are those that the model itself states.
/// let config = parse("config.yaml", "output: {name: scores}")?;
/// let scores = PartialTensor { name: "scores".to_owned(), ..PartialTensor::default() };
/// assert_eq!(config.outputs, [scores]);
/// # Ok::<(), inferlay::config::ConfigErrors>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PartialTensor {
    /// Its name.
    pub name: String,
    /// `None`: the model's own.
    pub data_type: Option<DataType>,
    /// `None`: the model's own.
    pub dims: Option<Vec<i64>>,
    /// `None`: the model's own.
    pub optional: Option<bool>,
    /// See [`super::TensorConfig::reshape`].
    pub reshape: Option<Vec<i64>>,
    /// See [`super::TensorConfig::allow_ragged_batch`].
    pub allow_ragged_batch: bool,
    /// See [`super::TensorConfig::label_filename`].
    pub label_filename: Option<String>,
    /// See [`super::TensorConfig::carried`].
    pub carried: serde_json::Map<String, serde_json::Value>,
}

/// The file that a config came from.
#[derive(Clone, Debug)]
pub(super) struct Origin {
    pub(super) source: Arc<Source>,
    pub(super) root: Arc<Node>,
}

impl PartialConfig {
    /// A config that says nothing: the model without a file.
    ///
    /// # Examples
    /// ```
    /// use inferlay::config::PartialConfig;
    /// use inferlay_backend_sdk::{DataType, Signature, TensorSpec};
    /// let x = TensorSpec { name: "x".to_owned(), dtype: DataType::Fp32, dims: Some(vec![-1, 16]), optional: false };
    /// let signature = Signature { inputs: vec![x.clone()], outputs: vec![x], batches: true };
    /// // The rest comes from the model.
    /// let config = PartialConfig::new().complete("a", "null", &signature)?;
    /// assert_eq!((config.max_batch_size, &config.inputs[0].dims), (64, &vec![16]));
    /// # Ok::<(), inferlay::config::ConfigErrors>(())
    /// ```
    pub fn new() -> Self {
        Self::default()
    }

    /// What the config states of inputs and outputs, for a backend that loads the model. An input or output without a
    /// `data_type` is left out; with a `max_batch_size` above 0 the batch is the first of the dims.
    ///
    /// # Examples
    /// ```
    /// let text = "{max_batch_size: 8, input: {name: x, data_type: FP32, dims: 16}}";
    /// let signature = inferlay::config::parse("config.yaml", text)?.signature();
    /// assert!(signature.batches);
    /// assert_eq!(signature.inputs[0].dims, Some(vec![-1, 16]));
    /// # Ok::<(), inferlay::config::ConfigErrors>(())
    /// ```
    pub fn signature(&self) -> Signature {
        let batches = self.max_batch_size.is_some_and(|size| size > 0);
        let specs = |tensors: &[PartialTensor]| tensors.iter().filter_map(|tensor| tensor.spec(batches)).collect();
        let mut signature = Signature { inputs: specs(&self.inputs), outputs: specs(&self.outputs), batches };
        signature.inputs.extend(self.batch_inputs.iter().flat_map(BatchInput::specs));
        let scattered = signature.outputs.iter_mut().filter(|spec| self.is_scattered(&spec.name));
        scattered.for_each(|spec| spec.dims = Some(vec![-1]));
        signature
    }

    /// What the file asks for that is not served yet, each with its place, in the order of the file; and, in the text
    /// format, keys of a map that are there twice, of which the last one counts.
    ///
    /// # Examples
    /// ```
    /// let text = "max_batch_size: 8 response_cache { enable: true }";
    /// let config = inferlay::config::parse("config.pbtxt", text)?;
    /// assert_eq!(config.warnings()[0].position(), Some((1, 19)));
    /// assert_eq!(config.warnings()[0].message(), "response_cache: is not served yet");
    /// # Ok::<(), inferlay::config::ConfigErrors>(())
    /// ```
    pub fn warnings(&self) -> &[ConfigError] {
        &self.warnings
    }

    /// The same config, if there is nothing to warn of.
    ///
    /// # Errors
    /// The warnings.
    ///
    /// # Examples
    /// ```
    /// use inferlay::config::parse;
    /// assert!(parse("config.yaml", "max_batch_size: 8")?.strict().is_ok());
    /// assert!(parse("config.yaml", "response_cache: {enable: true}")?.strict().is_err());
    /// # Ok::<(), inferlay::config::ConfigErrors>(())
    /// ```
    pub fn strict(self) -> Result<Self, ConfigErrors> {
        if self.warnings.is_empty() { Ok(self) } else { Err(ConfigErrors::of(self.warnings)) }
    }

    /// Whether an output is handed out by the shape of an input.
    pub(super) fn is_scattered(&self, output: &str) -> bool {
        self.batch_outputs.iter().any(|batch| batch.targets.iter().any(|target| target == output))
    }

    /// A report that knows the places of this config.
    pub(super) fn report(&self, name: &str) -> Report {
        match &self.origin {
            Some(origin) => Report::of_file(Arc::clone(&origin.source), Some(Arc::clone(&origin.root))),
            None => Report::of_model(name),
        }
    }
}

impl PartialTensor {
    fn spec(&self, batches: bool) -> Option<TensorSpec> {
        let batch: &[i64] = if batches { &[-1] } else { &[] };
        let dims = || self.reshape.as_ref().or(self.dims.as_ref()).map(|dims| [batch, dims].concat());
        Some(TensorSpec {
            name: self.name.clone(),
            dtype: self.data_type?,
            // Those of all requests are one after the other.
            dims: if self.allow_ragged_batch { Some(vec![-1]) } else { dims() },
            optional: self.optional.unwrap_or(false),
        })
    }
}
