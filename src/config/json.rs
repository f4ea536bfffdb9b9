//! A config as JSON with Triton's key names. Pure, any thread.
//!
//! Invariant: the JSON is a config file. Parsed and completed, it gives the same config again.

use super::batch_io::{BatchInput, BatchOutput};
use super::keys::{BATCH_INPUT_KINDS, CALLER_RUNS, KINDS, SWAPS, TIMEOUT_ACTIONS};
use super::limits;
use super::metric::MetricConfig;
use super::model::{DynamicBatching, InstanceGroup, ModelConfig, Swap, VersionPolicy};
use super::partial::{PartialConfig, PartialTensor};
use super::queue::{QueuePolicy, TimeoutAction};
use super::warmup::{Warmup, WarmupData, WarmupInput};
use inferlay_backend_sdk::DataType;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

impl ModelConfig {
    /// The config as JSON, with the keys of a config file.
    ///
    /// # Examples
    /// ```
    /// use inferlay::config::ModelConfig;
    /// let json = ModelConfig::new("echo").max_batch_size(8).to_json();
    /// assert_eq!(json["max_batch_size"], 8);
    /// ```
    pub fn to_json(&self) -> Value {
        PartialConfig::from(self.clone()).to_json()
    }
}

impl PartialConfig {
    /// What the config says as JSON, with the keys of a config file.
    ///
    /// # Examples
    /// ```
    /// let config = inferlay::config::parse("config.pbtxt", r#"backend: "echo" optimization { cuda { graphs: t } }"#)?;
    /// assert_eq!(config.to_json()["optimization"]["cuda"]["graphs"], true);
    /// # Ok::<(), inferlay::config::ConfigErrors>(())
    /// ```
    pub fn to_json(&self) -> Value {
        let mut json = self.carried.clone();
        let tensors = |tensors: &[PartialTensor], of: fn(&PartialTensor) -> Value| list(tensors, of);
        let optional = [
            ("name", self.name.as_ref().map(|name| json!(name))),
            ("platform", self.platform.as_ref().map(|platform| json!(platform))),
            ("backend", self.backend.as_ref().map(|backend| json!(backend))),
            ("version_policy", self.version_policy.as_ref().map(version_policy)),
            ("version_labels", (!self.version_labels.is_empty()).then(|| json!(self.version_labels))),
            ("traffic", (!self.traffic.is_empty()).then(|| json!(self.traffic))),
            ("shadow", self.shadow.map(Value::from)),
            ("max_batch_size", self.max_batch_size.map(Value::from)),
            ("input", Some(tensors(&self.inputs, input).unwrap_or(json!([])))),
            ("output", Some(tensors(&self.outputs, tensor).unwrap_or(json!([])))),
            ("batch_input", list(&self.batch_inputs, batch_input)),
            ("batch_output", list(&self.batch_outputs, batch_output)),
            ("instance_group", list(&self.instance_groups, instance_group)),
            ("default_model_filename", self.default_model_filename.as_ref().map(|name| json!(name))),
            ("parameters", texts(&self.parameters, |value| json!({ "string_value": value }))),
            ("metric_tags", texts(&self.metric_tags, |value| json!(value))),
            ("model_warmup", list(&self.warmups, warmup)),
            ("model_metrics", list(&self.metrics, metric).map(|controls| json!({ "metric_control": controls }))),
            ("execution_timeout_microseconds", self.execution_timeout_us.map(Value::from)),
            ("caller_runs", self.caller_runs.map(|runs| name_of(&CALLER_RUNS, &runs))),
            ("swap", self.swap.filter(|swap| *swap != Swap::default()).map(|swap| name_of(&SWAPS, &swap))),
            ("model_transaction_policy", self.transaction_policy()),
            ("dynamic_batching", self.dynamic_batching.as_ref().map(|batching| self.batching(batching))),
            ("default_queue_policy", self.dynamic_batching.is_none().then(|| self.queue_policy()).flatten()),
        ];
        json.extend(optional.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))));
        Value::Object(json)
    }

    fn batching(&self, batching: &DynamicBatching) -> Value {
        let mut json = json!({
            "preferred_batch_size": batching.preferred_batch_sizes,
            "max_queue_delay_microseconds": batching.delay_us_max,
            "priority_levels": batching.priority_levels,
            "default_priority_level": batching.default_priority_level,
        });
        if batching.preserve_ordering {
            json["preserve_ordering"] = json!(true);
        }
        if let Some(policy) = self.queue_policy() {
            json["default_queue_policy"] = policy;
        }
        let own = batching.priority_queue_policies.iter();
        let own: Map<_, _> = own.map(|(level, own)| (level.to_string(), json!(policy(own)))).collect();
        if !own.is_empty() {
            json["priority_queue_policy"] = own.into();
        }
        json
    }

    fn transaction_policy(&self) -> Option<Value> {
        let mut policy = Map::new();
        if self.decoupled == Some(true) {
            policy.insert("decoupled".to_owned(), json!(true));
        }
        if let Some(credit) = self.response_credit_max.filter(|credit| *credit != limits::RESPONSE_CREDIT_DEFAULT) {
            policy.insert("response_credit_max".to_owned(), json!(credit));
        }
        (!policy.is_empty()).then_some(Value::Object(policy))
    }

    /// What differs from the default of the queue.
    fn queue_policy(&self) -> Option<Value> {
        let policy = policy(&QueuePolicy {
            queue_size_max: self.queue_size_max.filter(|size| *size != limits::QUEUE_SIZE_DEFAULT),
            default_timeout_us: self.default_timeout_us,
            timeout_action: self.timeout_action,
            allow_timeout_override: self.allow_timeout_override,
        });
        (!policy.is_empty()).then_some(Value::Object(policy))
    }
}

/// The items as JSON, if there are any.
fn list<T>(items: &[T], of: impl FnMut(&T) -> Value) -> Option<Value> {
    (!items.is_empty()).then(|| Value::Array(items.iter().map(of).collect()))
}

fn texts(texts: &BTreeMap<String, String>, of: impl Fn(&str) -> Value) -> Option<Value> {
    let object: Map<_, _> = texts.iter().map(|(key, value)| (key.clone(), of(value))).collect();
    (!object.is_empty()).then_some(Value::Object(object))
}

fn policy(policy: &QueuePolicy) -> Map<String, Value> {
    let late = policy.timeout_action != TimeoutAction::Reject;
    let all = [
        ("max_queue_size", policy.queue_size_max.map(Value::from)),
        ("default_timeout_microseconds", policy.default_timeout_us.map(Value::from)),
        ("timeout_action", late.then(|| name_of(&TIMEOUT_ACTIONS, &policy.timeout_action))),
        ("allow_timeout_override", policy.allow_timeout_override.then_some(Value::Bool(true))),
    ];
    all.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))).collect()
}

/// Triton's name of a type.
pub(super) fn data_type(data_type: DataType) -> String {
    match data_type {
        DataType::Bytes => "TYPE_STRING".to_owned(),
        other => format!("TYPE_{other}"),
    }
}

fn tensor(tensor: &PartialTensor) -> Value {
    let mut json = tensor.carried.clone();
    let optional = [
        ("name", Some(json!(tensor.name))),
        ("data_type", tensor.data_type.map(|own| json!(data_type(own)))),
        ("dims", tensor.dims.as_ref().map(|dims| json!(dims))),
        ("reshape", tensor.reshape.as_ref().map(|shape| json!({ "shape": shape }))),
        ("label_filename", tensor.label_filename.as_ref().map(|name| json!(name))),
        ("allow_ragged_batch", tensor.allow_ragged_batch.then_some(Value::Bool(true))),
    ];
    json.extend(optional.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?))));
    Value::Object(json)
}

fn input(input: &PartialTensor) -> Value {
    let mut json = tensor(input);
    if let Some(optional) = input.optional {
        json["optional"] = json!(optional);
    }
    json
}

fn batch_input(input: &BatchInput) -> Value {
    json!({
        "kind": name_of(&BATCH_INPUT_KINDS, &input.kind),
        "target_name": input.targets,
        "data_type": data_type(input.data_type),
        "source_input": input.sources,
    })
}

fn batch_output(output: &BatchOutput) -> Value {
    json!({
        "target_name": output.targets,
        "kind": "BATCH_SCATTER_WITH_INPUT_SHAPE",
        "source_input": output.sources,
    })
}

fn instance_group(group: &InstanceGroup) -> Value {
    let mut json = group.carried.clone();
    json.extend([
        ("name".to_owned(), json!(group.name)),
        ("kind".to_owned(), name_of(&KINDS, &group.kind)),
        ("count".to_owned(), json!(group.count)),
        ("gpus".to_owned(), json!(group.gpus)),
    ]);
    if group.is_passive {
        json.insert("passive".to_owned(), json!(true));
    }
    Value::Object(json)
}

fn version_policy(policy: &VersionPolicy) -> Value {
    match policy {
        VersionPolicy::Latest(count) => json!({ "latest": { "num_versions": count } }),
        VersionPolicy::All => json!({ "all": {} }),
        VersionPolicy::Specific(versions) => json!({ "specific": { "versions": versions } }),
    }
}

fn warmup(warmup: &Warmup) -> Value {
    let inputs: Map<_, _> = warmup.inputs.iter().map(|(name, own)| (name.clone(), warmup_input(own))).collect();
    json!({ "name": warmup.name, "batch_size": warmup.batch_size, "count": warmup.count, "inputs": inputs })
}

fn warmup_input(input: &WarmupInput) -> Value {
    let mut json = json!({ "data_type": data_type(input.data_type), "dims": input.dims });
    match &input.data {
        WarmupData::Zero => json["zero_data"] = json!(true),
        WarmupData::Random => json["random_data"] = json!(true),
        WarmupData::File(name) => json["input_data_file"] = json!(name),
    }
    json
}

fn metric(metric: &MetricConfig) -> Value {
    let mut json = json!({ "metric_identifier": { "family": metric.family } });
    if !metric.buckets.is_empty() {
        json["histogram_options"] = json!({ "buckets": metric.buckets });
    }
    json
}

fn name_of<T: PartialEq>(names: &[(&'static str, T)], value: &T) -> Value {
    names.iter().find(|(_, named)| named == value).map(|(name, _)| *name).into()
}
