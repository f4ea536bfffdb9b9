//! A config as JSON with Triton's key names. Pure, any thread.
//!
//! Invariant: the JSON is a config file. Parsed and completed, it gives the same config again.

use super::keys::{CALLER_RUNS, KINDS};
use super::limits;
use super::model::{InstanceGroup, ModelConfig, TensorConfig, VersionPolicy};
use serde_json::{Map, Value, json};

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
        let mut json = json!({
            "name": self.name,
            "backend": self.backend,
            "max_batch_size": self.max_batch_size,
            "input": self.inputs.iter().map(input).collect::<Vec<_>>(),
            "output": self.outputs.iter().map(tensor).collect::<Vec<_>>(),
            "instance_group": self.instance_groups.iter().map(instance_group).collect::<Vec<_>>(),
            "version_policy": version_policy(&self.version_policy),
        });
        let parameters = self.parameters.iter().map(|(key, value)| (key.clone(), json!({ "string_value": value })));
        let optional = [
            ("default_model_filename", self.default_model_filename.as_ref().map(|name| json!(name))),
            ("parameters", (!self.parameters.is_empty()).then(|| parameters.collect())),
            ("execution_timeout_microseconds", self.execution_timeout_us.map(Value::from)),
            ("caller_runs", self.caller_runs.map(|runs| json!(name_of(&CALLER_RUNS, &runs)))),
            ("model_transaction_policy", self.transaction_policy()),
            ("dynamic_batching", self.dynamic_batching_json()),
            ("default_queue_policy", self.dynamic_batching.is_none().then(|| self.queue_policy()).flatten()),
        ];
        for (key, value) in optional.into_iter().filter_map(|(key, value)| Some((key, value?))) {
            json[key] = value;
        }
        json
    }

    fn dynamic_batching_json(&self) -> Option<Value> {
        let batching = self.dynamic_batching.as_ref()?;
        let mut json = json!({
            "preferred_batch_size": batching.preferred_batch_sizes,
            "max_queue_delay_microseconds": batching.delay_us_max,
            "priority_levels": batching.priority_levels,
            "default_priority_level": batching.default_priority_level,
        });
        if let Some(policy) = self.queue_policy() {
            json["default_queue_policy"] = policy;
        }
        Some(json)
    }

    fn transaction_policy(&self) -> Option<Value> {
        let mut policy = Map::new();
        if self.decoupled {
            policy.insert("decoupled".to_owned(), json!(true));
        }
        if self.response_credit_max != limits::RESPONSE_CREDIT_DEFAULT {
            policy.insert("response_credit_max".to_owned(), json!(self.response_credit_max));
        }
        (!policy.is_empty()).then_some(Value::Object(policy))
    }

    /// What differs from the default of the queue.
    fn queue_policy(&self) -> Option<Value> {
        let mut policy = Map::new();
        if self.queue_size_max != limits::QUEUE_SIZE_DEFAULT {
            policy.insert("max_queue_size".to_owned(), json!(self.queue_size_max));
        }
        if let Some(timeout) = self.default_timeout_us {
            policy.insert("default_timeout_microseconds".to_owned(), json!(timeout));
        }
        (!policy.is_empty()).then_some(Value::Object(policy))
    }
}

fn tensor(tensor: &TensorConfig) -> Value {
    let data_type = match tensor.data_type {
        inferlay_backend_sdk::DataType::Bytes => "TYPE_STRING".to_owned(),
        other => format!("TYPE_{other}"),
    };
    json!({ "name": tensor.name, "data_type": data_type, "dims": tensor.dims })
}

fn input(input: &TensorConfig) -> Value {
    let mut json = tensor(input);
    json["optional"] = json!(input.optional);
    json
}

fn instance_group(group: &InstanceGroup) -> Value {
    json!({ "name": group.name, "kind": name_of(&KINDS, &group.kind), "count": group.count, "gpus": group.gpus })
}

fn version_policy(policy: &VersionPolicy) -> Value {
    match policy {
        VersionPolicy::Latest(count) => json!({ "latest": { "num_versions": count } }),
        VersionPolicy::All => json!({ "all": {} }),
        VersionPolicy::Specific(versions) => json!({ "specific": { "versions": versions } }),
    }
}

fn name_of<T: PartialEq>(names: &[(&'static str, T)], value: &T) -> Option<&'static str> {
    names.iter().find(|(_, named)| named == value).map(|(name, _)| *name)
}
