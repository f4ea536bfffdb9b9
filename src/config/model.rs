//! A complete config: everything that the engine needs to know to serve a model. Pure data, any thread.
//!
//! One comes from [`super::PartialConfig::complete`], or is built in code for a model that is a closure and then held
//! to the same rules by [`ModelConfig::check`].

use super::batch_io::{BatchInput, BatchOutput};
use super::error::{ConfigErrors, Report};
use super::metric::MetricConfig;
use super::partial::{PartialConfig, PartialTensor};
use super::queue::{QueuePolicy, TimeoutAction};
use super::warmup::Warmup;
use super::{check, limits};
use inferlay_backend_sdk::DataType;
use std::collections::BTreeMap;

/// How one model is served. The names in a file are Triton's; see [`crate::config`] for the keys.
///
/// # Examples
/// ```
/// use inferlay::config::{DynamicBatching, ModelConfig};
/// use inferlay_backend_sdk::DataType;
/// let config = ModelConfig::new("doubler")
///     .input("x", DataType::Fp32, [16])
///     .output("y", DataType::Fp32, [16])
///     .max_batch_size(64)
///     .dynamic_batching(DynamicBatching::default());
/// assert!(config.check().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ModelConfig {
    /// The name that requests ask for; see [`super::check_model_name`].
    pub name: String,
    /// The name of the backend that executes it.
    pub backend: String,
    /// Which of the backend's formats the model has, where a config from Triton says so.
    pub platform: Option<String>,
    /// The file in a version's folder that holds the model; `None`: the backend's default.
    pub default_model_filename: Option<String>,
    /// The largest batch; 0 for a model that does not batch.
    pub max_batch_size: usize,
    /// The inputs, in the model's own order where the model names them.
    pub inputs: Vec<TensorConfig>,
    /// The outputs that are served, in the model's own order where the model names them.
    pub outputs: Vec<TensorConfig>,
    /// The inputs of the model that each batch determines.
    pub batch_inputs: Vec<BatchInput>,
    /// The outputs that are handed out by the shape of an input.
    pub batch_outputs: Vec<BatchOutput>,
    /// Which instances execute; never empty.
    pub instance_groups: Vec<InstanceGroup>,
    /// How requests are batched together; `None`: each is executed alone.
    pub dynamic_batching: Option<DynamicBatching>,
    /// Which versions are served.
    pub version_policy: VersionPolicy,
    /// Names that stand for a version, such as `stable`; see [`crate::ServerHandle::set_label`].
    pub version_labels: BTreeMap<String, u64>,
    /// Versions and their weights, by which requests are split that name no version; see
    /// [`crate::ServerHandle::set_traffic`].
    pub traffic: BTreeMap<u64, u32>,
    /// The version that gets a copy of what others answer; see [`crate::ServerHandle::set_shadow`].
    pub shadow: Option<u64>,
    /// What the backend is told, as it stands in the file.
    pub parameters: BTreeMap<String, String>,
    /// How many requests may wait, of each priority that has no bound of its own; one more is refused.
    pub queue_size_max: usize,
    /// How long a request may wait, in microseconds, whatever its own deadline; `None`: for ever.
    pub default_timeout_us: Option<u64>,
    /// What happens to a request that has waited for too long.
    pub timeout_action: TimeoutAction,
    /// Whether a request may state a timeout shorter than the default ([`crate::Request::queue_timeout`]).
    pub allow_timeout_override: bool,
    /// How long one execution may take before the model counts as hanging, in microseconds; `None`: for ever.
    pub execution_timeout_us: Option<u64>,
    /// What blocking callers may execute themselves; `None`: as the server is set.
    pub caller_runs: Option<CallerRuns>,
    /// What becomes of an old version when there is no room for a new one beside it.
    pub swap: Swap,
    /// Whether a request may get any number of responses, none among them, instead of exactly one.
    pub decoupled: bool,
    /// How many responses of one request may be on their way before its model is told to wait; past 16 times as many,
    /// it may send none.
    pub response_credit_max: usize,
    /// Requests that every instance executes before it serves.
    pub warmups: Vec<Warmup>,
    /// Labels that the model's metrics bear.
    pub metric_tags: BTreeMap<String, String>,
    /// How the model's metrics are gathered, where that differs from the default.
    pub metrics: Vec<MetricConfig>,
    /// What the engine does not act upon: checked, with Triton's keys, for backends to read.
    pub carried: serde_json::Map<String, serde_json::Value>,
}

/// One input or output.
///
/// # Examples
/// ```
/// use inferlay::DataType;
/// use inferlay::config::{ModelConfig, TensorConfig};
/// let mut config = ModelConfig::new("a").input("x", DataType::Fp32, [16]).output("y", DataType::Fp32, [16]);
/// let hint = TensorConfig { optional: true, ..TensorConfig::new("hint", DataType::Int64, [1]) };
/// config.inputs.push(hint);
/// assert!(config.check().is_ok());
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct TensorConfig {
    /// Its name, unique among the inputs and unique among the outputs.
    pub name: String,
    /// The type of its elements.
    pub data_type: DataType,
    /// Its dims, -1 for one that varies; without the batch if the model batches (`max_batch_size` > 0).
    pub dims: Vec<i64>,
    /// Whether a request may leave it out.
    pub optional: bool,
    /// The dims by which the backend knows it, where they differ.
    pub reshape: Option<Vec<i64>>,
    /// Whether requests of different shapes may share a batch: the model gets the elements of all as one dim.
    pub allow_ragged_batch: bool,
    /// The file in the model's folder that names the classes of an output, one on each line.
    pub label_filename: Option<String>,
    /// What the engine does not act upon: checked, with Triton's keys, for backends to read.
    pub carried: serde_json::Map<String, serde_json::Value>,
}

impl TensorConfig {
    /// An input or output of which a request may leave out nothing; its dims without the batch.
    ///
    /// # Examples
    /// ```
    /// use inferlay::{DataType, config::TensorConfig};
    /// assert!(!TensorConfig::new("x", DataType::Fp32, [1, 8, 8]).optional);
    /// ```
    pub fn new(name: impl Into<String>, data_type: DataType, dims: impl Into<Vec<i64>>) -> Self {
        TensorConfig {
            name: name.into(),
            data_type,
            dims: dims.into(),
            optional: false,
            reshape: None,
            allow_ragged_batch: false,
            label_filename: None,
            carried: serde_json::Map::new(),
        }
    }
}

/// Instances of one kind.
///
/// # Examples
/// ```
/// use inferlay::config::{InstanceGroup, InstanceKind, parse};
/// let config = parse("config.yaml", "instance_group: [{kind: KIND_CPU, count: 2}]")?;
/// let group = InstanceGroup { kind: InstanceKind::Cpu, count: 2, ..InstanceGroup::default() };
/// assert_eq!(config.instance_groups, [group]);
/// # Ok::<(), inferlay::config::ConfigErrors>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct InstanceGroup {
    /// Its name; empty until completion, which gives it one.
    pub name: String,
    /// On what they execute.
    pub kind: InstanceKind,
    /// How many: in all, or on each of `gpus`. 0 stands for 1, until completion.
    pub count: usize,
    /// On which GPUs; empty: on any.
    pub gpus: Vec<u32>,
    /// Whether its instances are made and given no requests.
    pub is_passive: bool,
    /// What the engine does not act upon: checked, with Triton's keys, for backends to read.
    pub carried: serde_json::Map<String, serde_json::Value>,
}

/// On what an instance executes.
///
/// # Examples
/// ```
/// use inferlay::config::{InstanceKind, parse};
/// let config = parse("config.yaml", "instance_group: [{kind: KIND_GPU, gpus: [0]}, {count: 2}]")?;
/// let kinds: Vec<_> = config.instance_groups.iter().map(|group| group.kind).collect();
/// assert_eq!(kinds, [InstanceKind::Gpu, InstanceKind::Auto]);
/// # Ok::<(), inferlay::config::ConfigErrors>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum InstanceKind {
    /// `KIND_AUTO`: on a GPU if there is one and the backend can use it, else on the CPU.
    #[default]
    Auto,
    /// `KIND_CPU`.
    Cpu,
    /// `KIND_GPU`.
    Gpu,
    /// `KIND_MODEL`: wherever the model itself says.
    Model,
}

/// How requests are batched together.
///
/// # Examples
/// ```
/// use inferlay::config::{DynamicBatching, ModelConfig};
/// let batching = DynamicBatching { preferred_batch_sizes: vec![4, 8], delay_us_max: 500, ..DynamicBatching::default() };
/// let config = ModelConfig::new("a").max_batch_size(8).dynamic_batching(batching.clone());
/// let text = "dynamic_batching: {preferred_batch_size: [4, 8], max_queue_delay_microseconds: 500}";
/// assert_eq!(inferlay::config::parse("config.yaml", text)?.dynamic_batching, Some(batching));
/// # drop(config);
/// # Ok::<(), inferlay::config::ConfigErrors>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct DynamicBatching {
    /// Batch sizes at which a batch does not wait for more; empty: only the largest.
    pub preferred_batch_sizes: Vec<usize>,
    /// How long the oldest request may wait for others, in microseconds.
    pub delay_us_max: u64,
    /// Priorities are 1 (served first) to this; 0: there are none.
    pub priority_levels: u32,
    /// The priority of a request without one.
    pub default_priority_level: u32,
    /// Whether answers leave in the order in which their requests left the queue, which within a priority is that of
    /// their arrival; errors keep it, too. Who gives up, by a deadline or a cancel, is answered at once. Each response to a
    /// request of a decoupled model comes after the end of the request before.
    pub preserve_ordering: bool,
    /// How requests wait, by their priority, where that differs from the queue as a whole.
    pub priority_queue_policies: BTreeMap<u32, QueuePolicy>,
}

/// Which versions of a model are served.
///
/// # Examples
/// ```
/// use inferlay::config::{VersionPolicy, parse};
/// let config = parse("config.yaml", "version_policy: {specific: {versions: [1, 3]}}")?;
/// assert_eq!(config.version_policy, Some(VersionPolicy::Specific(vec![1, 3])));
/// assert_eq!(VersionPolicy::default(), VersionPolicy::Latest(1));
/// # Ok::<(), inferlay::config::ConfigErrors>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum VersionPolicy {
    /// The highest numbers, this many.
    Latest(usize),
    /// Every version.
    All,
    /// These, all of which must be there.
    Specific(Vec<u64>),
}

impl Default for VersionPolicy {
    fn default() -> Self {
        VersionPolicy::Latest(1)
    }
}

/// What a thread that waits for an answer may execute.
///
/// # Examples
/// ```
/// use inferlay::{CallerRuns, ModelConfig, config::parse};
/// let config = ModelConfig::new("a").caller_runs(CallerRuns::Never);
/// assert_eq!(config.caller_runs, parse("config.yaml", "caller_runs: never")?.caller_runs);
/// # Ok::<(), inferlay::config::ConfigErrors>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CallerRuns {
    /// `never`: workers execute everything.
    Never,
    /// `own_request`: its own request, when an instance is idle and nothing waits.
    OwnRequest,
    /// `batch`: also batches with the requests of others.
    Batch,
}

/// What becomes of the version that serves when a new one is to take its place, and a memory budget has no room for both,
/// even if all models go that are idle; see [`crate::ServerBuilder::memory_budget`].
///
/// # Examples
/// ```
/// use inferlay::config::{Swap, parse};
/// assert_eq!(parse("config.yaml", "swap: replace")?.swap, Some(Swap::Replace));
/// assert_eq!(Swap::default(), Swap::Overlap);
/// # Ok::<(), inferlay::config::ConfigErrors>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Swap {
    /// `overlap`: it serves on, and the new one fails with `RESOURCE_EXHAUSTED`.
    #[default]
    Overlap,
    /// `replace`: it finishes what it has and goes first, and requests wait for the new one. Should that fail, the old one
    /// is loaded again.
    Replace,
}

impl ModelConfig {
    /// The config of a model that is a closure: no inputs, no outputs, no batching, one instance. The methods below
    /// add to it.
    ///
    /// # Examples
    /// ```
    /// use inferlay::config::ModelConfig;
    /// let config = ModelConfig::new("a");
    /// assert_eq!((config.max_batch_size, config.inputs.len(), config.instance_groups[0].count), (0, 0, 1));
    /// ```
    pub fn new(name: impl Into<String>) -> Self {
        let name = name.into();
        ModelConfig {
            backend: "closure".to_owned(),
            platform: None,
            default_model_filename: None,
            max_batch_size: 0,
            inputs: Vec::new(),
            outputs: Vec::new(),
            batch_inputs: Vec::new(),
            batch_outputs: Vec::new(),
            instance_groups: vec![InstanceGroup::default().complete(&name, 0)],
            dynamic_batching: None,
            version_policy: VersionPolicy::default(),
            version_labels: BTreeMap::new(),
            traffic: BTreeMap::new(),
            shadow: None,
            parameters: BTreeMap::new(),
            queue_size_max: limits::QUEUE_SIZE_DEFAULT,
            default_timeout_us: None,
            timeout_action: TimeoutAction::Reject,
            allow_timeout_override: false,
            execution_timeout_us: None,
            caller_runs: None,
            swap: Swap::default(),
            decoupled: false,
            response_credit_max: limits::RESPONSE_CREDIT_DEFAULT,
            warmups: Vec::new(),
            metric_tags: BTreeMap::new(),
            metrics: Vec::new(),
            carried: serde_json::Map::new(),
            name,
        }
    }

    /// Adds an input; its dims without the batch.
    ///
    /// # Examples
    /// ```
    /// use inferlay::{DataType, ModelConfig};
    /// // Any number of images of 8 by 8 pixels with one channel, in batches of up to 32 rows.
    /// let config = ModelConfig::new("a").input("images", DataType::Fp32, [1, 8, 8]).max_batch_size(32);
    /// assert_eq!(config.inputs[0].dims, [1, 8, 8]);
    /// ```
    #[must_use]
    pub fn input(mut self, name: impl Into<String>, data_type: DataType, dims: impl Into<Vec<i64>>) -> Self {
        self.inputs.push(TensorConfig::new(name, data_type, dims));
        self
    }

    /// Adds an output; its dims without the batch.
    ///
    /// # Examples
    /// ```
    /// use inferlay::{DataType, ModelConfig};
    /// // -1 stands for a dim that varies from answer to answer.
    /// let config = ModelConfig::new("a").output("boxes", DataType::Fp32, [-1, 4]);
    /// assert_eq!(config.outputs[0].dims, [-1, 4]);
    /// ```
    #[must_use]
    pub fn output(mut self, name: impl Into<String>, data_type: DataType, dims: impl Into<Vec<i64>>) -> Self {
        self.outputs.push(TensorConfig::new(name, data_type, dims));
        self
    }

    /// Sets the largest batch; 0 for a model that does not batch.
    ///
    /// # Examples
    /// ```
    /// use inferlay::{DataType, ModelConfig, ServerHandle};
    /// # let server = ServerHandle::builder().start()?;
    /// let config = ModelConfig::new("a").input("x", DataType::Fp32, [2]).output("y", DataType::Fp32, [2]);
    /// let model = server.register_model(config.max_batch_size(8), |_batch| Ok(()))?;
    /// // Every tensor has the batch as its first dim.
    /// assert_eq!(model.metadata()?.inputs[0].shape, [-1, 2]);
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    #[must_use]
    pub fn max_batch_size(mut self, size: usize) -> Self {
        self.max_batch_size = size;
        self
    }

    /// Batches requests together.
    ///
    /// # Examples
    /// ```
    /// use inferlay::config::{DynamicBatching, ModelConfig};
    /// let batching = DynamicBatching { delay_us_max: 500, ..DynamicBatching::default() };
    /// let config = ModelConfig::new("a").max_batch_size(8).dynamic_batching(batching);
    /// assert!(config.check().is_ok());
    /// ```
    #[must_use]
    pub fn dynamic_batching(mut self, batching: DynamicBatching) -> Self {
        self.dynamic_batching = Some(batching);
        self
    }

    /// Sets the number of instances, in the place of all groups so far.
    ///
    /// # Examples
    /// ```
    /// use inferlay::ModelConfig;
    /// // Up to four batches are executed at once.
    /// let config = ModelConfig::new("a").instances(4);
    /// assert_eq!((config.instance_groups.len(), config.instance_groups[0].count), (1, 4));
    /// ```
    #[must_use]
    pub fn instances(mut self, count: usize) -> Self {
        let group = InstanceGroup::default().complete(&self.name, 0);
        self.instance_groups = vec![InstanceGroup { count, ..group }];
        self
    }

    /// Sets how many requests of each priority may wait.
    ///
    /// # Examples
    /// ```
    /// use inferlay::ModelConfig;
    /// assert_eq!(ModelConfig::new("a").queue_size_max, 4096);
    /// assert_eq!(ModelConfig::new("a").queue_size_max(16).queue_size_max, 16);
    /// ```
    #[must_use]
    pub fn queue_size_max(mut self, size: usize) -> Self {
        self.queue_size_max = size;
        self
    }

    /// Sets how long a request may wait, in microseconds.
    ///
    /// # Examples
    /// ```
    /// # use inferlay::{DataType, ModelConfig, Request, ServerHandle, Tensor};
    /// use inferlay::{ErrorKind, config::DynamicBatching};
    /// # let server = ServerHandle::builder().start()?;
    /// # let config = ModelConfig::new("a").input("x", DataType::Fp32, [1]).output("y", DataType::Fp32, [1]);
    /// let a_minute = DynamicBatching { delay_us_max: 60_000_000, ..DynamicBatching::default() };
    /// let config = config.max_batch_size(8).dynamic_batching(a_minute).default_timeout_us(1_000);
    /// let model = server.register_model(config, |_batch| Ok(()))?;
    /// let request = Request::new().input("x", Tensor::from_vec(vec![1.0f32], [1, 1])?);
    /// assert_eq!(model.infer_async(request)?.wait().unwrap_err().kind(), ErrorKind::Timeout);
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    #[must_use]
    pub fn default_timeout_us(mut self, timeout_us: u64) -> Self {
        self.default_timeout_us = Some(timeout_us);
        self
    }

    /// Sets how long one execution may take, in microseconds.
    ///
    /// # Examples
    /// ```
    /// use inferlay::config::{ModelConfig, parse};
    /// let config = ModelConfig::new("a").execution_timeout_us(250_000);
    /// let text = "execution_timeout_microseconds: 250000";
    /// assert_eq!(config.execution_timeout_us, parse("config.yaml", text)?.execution_timeout_us);
    /// # Ok::<(), inferlay::config::ConfigErrors>(())
    /// ```
    #[must_use]
    pub fn execution_timeout_us(mut self, timeout_us: u64) -> Self {
        self.execution_timeout_us = Some(timeout_us);
        self
    }

    /// Adds a parameter, in the place of one of the same key.
    ///
    /// # Examples
    /// ```
    /// use inferlay::ModelConfig;
    /// let config = ModelConfig::new("a").parameter("threshold", "0.5").parameter("threshold", "0.7");
    /// assert_eq!(config.parameters["threshold"], "0.7");
    /// ```
    #[must_use]
    pub fn parameter(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.parameters.insert(key.into(), value.into());
        self
    }

    /// Sets what blocking callers may execute themselves.
    ///
    /// # Examples
    /// ```
    /// # use inferlay::{DataType, ModelConfig, Request, ServerHandle, Tensor};
    /// use inferlay::CallerRuns;
    /// use std::thread;
    /// # let server = ServerHandle::builder().start()?;
    /// # let config = ModelConfig::new("a").input("x", DataType::Fp32, [1]).output("y", DataType::Fp32, [1]);
    /// let caller = thread::current().id();
    /// let model = server.register_model(config.caller_runs(CallerRuns::Never), move |batch| {
    ///     assert_ne!(thread::current().id(), caller);
    ///     batch.set_output("y", Tensor::from_vec(vec![1.0f32], [1])?)
    /// })?;
    /// model.infer(Request::new().input("x", Tensor::from_vec(vec![1.0f32], [1])?))?;
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    #[must_use]
    pub fn caller_runs(mut self, caller_runs: CallerRuns) -> Self {
        self.caller_runs = Some(caller_runs);
        self
    }

    /// Lets a request get any number of responses instead of exactly one; see [`crate::ModelBatch::responder`].
    ///
    /// # Examples
    /// ```
    /// use inferlay::config::{ModelConfig, parse};
    /// let config = ModelConfig::new("a").decoupled(true);
    /// let text = "model_transaction_policy: {decoupled: true}";
    /// assert_eq!(Some(config.decoupled), parse("config.yaml", text)?.decoupled);
    /// # Ok::<(), inferlay::config::ConfigErrors>(())
    /// ```
    #[must_use]
    pub fn decoupled(mut self, is_decoupled: bool) -> Self {
        self.decoupled = is_decoupled;
        self
    }

    /// Sets how many responses of one request may be on their way before its model is told to wait. It is advice: only
    /// past 16 times as many, a response is refused.
    ///
    /// # Examples
    /// ```
    /// use inferlay::ModelConfig;
    /// assert_eq!(ModelConfig::new("a").decoupled(true).response_credit_max, 64);
    /// assert_eq!(ModelConfig::new("a").response_credit_max(4).response_credit_max, 4);
    /// ```
    #[must_use]
    pub fn response_credit_max(mut self, responses: usize) -> Self {
        self.response_credit_max = responses;
        self
    }

    /// How many instances are given requests.
    pub(crate) fn active_len(&self) -> usize {
        self.instance_groups.iter().filter(|group| !group.is_passive).map(|group| group.count).sum()
    }

    /// Holds a config that was made or changed in code to the rules that a file must keep.
    ///
    /// # Errors
    /// Everything that is wrong with it, each error with the path of keys to the value.
    ///
    /// # Examples
    /// ```
    /// use inferlay::config::ModelConfig;
    /// let errors = ModelConfig::new("a").instances(0).check().unwrap_err();
    /// let expected = "model 'a': instance_group[0].count: found 0, expected a whole number from 1 to 1024";
    /// assert_eq!(errors.to_string(), expected);
    /// ```
    pub fn check(&self) -> Result<(), ConfigErrors> {
        let mut report = Report::of_model(&self.name);
        check::complete(&PartialConfig::from(self.clone()), &mut report);
        report.finish(())
    }
}

impl InstanceGroup {
    /// With the name and count that it has when none is given.
    pub(super) fn complete(self, model: &str, index: usize) -> Self {
        let name = if self.name.is_empty() { format!("{model}_{index}") } else { self.name };
        InstanceGroup { name, count: self.count.max(1), ..self }
    }
}

impl From<ModelConfig> for PartialConfig {
    fn from(config: ModelConfig) -> Self {
        let tensors = |tensors: Vec<TensorConfig>| tensors.into_iter().map(PartialTensor::from).collect();
        PartialConfig {
            name: Some(config.name),
            backend: Some(config.backend),
            platform: config.platform,
            default_model_filename: config.default_model_filename,
            max_batch_size: Some(config.max_batch_size),
            inputs: tensors(config.inputs),
            outputs: tensors(config.outputs),
            batch_inputs: config.batch_inputs,
            batch_outputs: config.batch_outputs,
            instance_groups: config.instance_groups,
            dynamic_batching: config.dynamic_batching,
            version_policy: Some(config.version_policy),
            version_labels: config.version_labels,
            traffic: config.traffic,
            shadow: config.shadow,
            parameters: config.parameters,
            // What is not said otherwise is less where there are very many priorities.
            queue_size_max: Some(config.queue_size_max).filter(|size| *size != limits::QUEUE_SIZE_DEFAULT),
            default_timeout_us: config.default_timeout_us,
            timeout_action: config.timeout_action,
            allow_timeout_override: config.allow_timeout_override,
            execution_timeout_us: config.execution_timeout_us,
            caller_runs: config.caller_runs,
            swap: Some(config.swap),
            decoupled: Some(config.decoupled),
            response_credit_max: Some(config.response_credit_max),
            warmups: config.warmups,
            metric_tags: config.metric_tags,
            metrics: config.metrics,
            carried: config.carried,
            warnings: Vec::new(),
            origin: None,
        }
    }
}

impl From<TensorConfig> for PartialTensor {
    fn from(tensor: TensorConfig) -> Self {
        PartialTensor {
            name: tensor.name,
            data_type: Some(tensor.data_type),
            dims: Some(tensor.dims),
            optional: Some(tensor.optional),
            reshape: tensor.reshape,
            allow_ragged_batch: tensor.allow_ragged_batch,
            label_filename: tensor.label_filename,
            carried: tensor.carried,
        }
    }
}
