//! Statistics of one model version: counts and durations, with the meaning that Triton's statistics give them.

use serde::ser::SerializeStruct;
use serde::{Serialize, Serializer};
use std::collections::BTreeMap;

/// How often something happened and how long it took in all.
///
/// # Examples
/// ```
/// # use inferlay::{Request, ServerHandle, Tensor};
/// # let config = b"{backend: 'null', input: {name: x, data_type: FP32, dims: 2}}".to_vec();
/// # let server = ServerHandle::builder().model_in_memory("echo", [("config.yaml", config)]).strict().start()?;
/// # let model = server.model("echo")?;
/// // The model's outputs are its inputs.
/// let x = Tensor::from_vec(vec![1.0f32, 2.0], [2])?;
/// model.infer(Request::new().input("x", x))?;
/// let success = model.statistics()?.success;
/// assert_eq!(success.count, 1);
/// let _mean_us = success.ns / success.count / 1_000;
/// # Ok::<(), inferlay::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct DurationStatistics {
    /// How many requests.
    pub count: u64,
    /// The sum over these requests, in nanoseconds.
    pub ns: u64,
}

/// What a model version has done since it was loaded.
///
/// Durations are sums over requests: every request of a batch is charged the batch's whole time, as in Triton. As JSON it
/// has the form of Triton's statistics extension, and beside it what Triton does not count.
///
/// # Examples
/// ```
/// # #[allow(unused_imports)]
/// # use inferlay::{DataType, Input, ModelConfig, Request, ServerHandle, Tensor};
/// # let server = ServerHandle::builder().start()?;
/// # let config = ModelConfig::new("double").input("x", DataType::Fp32, [2]).output("y", DataType::Fp32, [2]);
/// # let double = |batch: &inferlay::ModelBatch<'_>| {
/// #     let x = batch.input("x")?.as_slice::<f32>()?;
/// #     let y = batch.output("y", [2])?.as_mut_slice::<f32>()?;
/// #     y.iter_mut().zip(x).for_each(|(y, x)| *y = 2.0 * x);
/// #     Ok(())
/// # };
/// # let model = server.register_model(config, double)?;
/// model.infer(Request::new().input("x", Tensor::from_vec(vec![1.0f32, 2.0], [2])?))?;
/// let statistics = model.statistics()?;
/// assert_eq!((statistics.success.count, statistics.fail.count, statistics.queue_len), (1, 0, 0));
/// let _mean_ns = statistics.success.ns / statistics.success.count;
/// # Ok::<(), inferlay::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ModelStatistics {
    /// The model.
    pub name: String,
    /// The version.
    pub version: u64,
    /// Rows of the requests that were answered well.
    pub inference_count: u64,
    /// Responses that were sent: one for each request that was answered well, but for decoupled models.
    pub response_count: u64,
    /// Batches that were executed.
    pub execution_count: u64,
    /// Requests that were answered well, from submission to the end of the execution.
    pub success: DurationStatistics,
    /// Requests that were executed and answered with an error.
    pub fail: DurationStatistics,
    /// From submission to the start of the execution.
    pub queue: DurationStatistics,
    /// Gathering inputs.
    pub compute_input: DurationStatistics,
    /// Executing, without gathering; where a backend answers later, until the last answer of the batch.
    pub compute_infer: DurationStatistics,
    /// Handing out outputs; not timed for a request alone in its batch, where nothing is to be done.
    pub compute_output: DurationStatistics,
    /// Requests refused because the queue was full.
    pub refused_count: u64,
    /// Requests whose deadline passed before they were run.
    pub expired_count: u64,
    /// Requests that were cancelled before they were answered.
    pub cancelled_count: u64,
    /// Requests that were not answered well for another reason: they contradicted the config, or the model or server
    /// stopped meanwhile.
    pub other_count: u64,
    /// Of a version that shadows another, the copies of requests that were left out, because it was behind or did not take
    /// them; see [`crate::ServerHandle::set_shadow`].
    pub shadow_dropped_count: u64,
    /// Requests that wait now.
    pub queue_len: u64,
    /// When the last execution ended, in milliseconds since 1970; 0 before the first.
    pub last_inference: u64,
    /// Executions by the number of their rows.
    pub batch_sizes: BTreeMap<usize, u64>,
    /// Executions by the number of their rows, with how long they took.
    pub batches: Vec<BatchStatistics>,
    /// Executions by the reason for which their batch was closed; see [`crate::Cut`].
    pub cuts: BTreeMap<&'static str, u64>,
    /// Bytes that the engine copied: gathered inputs, and small outputs into their responses.
    pub bytes_copied: u64,
}

/// The executions of one size; durations are sums over executions.
///
/// # Examples
/// ```
/// # use inferlay::{Request, ServerHandle, Tensor};
/// # let config = b"{backend: 'null', input: {name: x, data_type: FP32, dims: 2}}".to_vec();
/// # let server = ServerHandle::builder().model_in_memory("echo", [("config.yaml", config)]).strict().start()?;
/// # let model = server.model("echo")?;
/// // The model's outputs are its inputs.
/// let x = Tensor::from_vec(vec![1.0f32, 2.0], [2])?;
/// model.infer(Request::new().input("x", x))?;
/// let batches = model.statistics()?.batches;
/// assert_eq!((batches[0].batch_size, batches[0].compute_infer.count), (1, 1));
/// # Ok::<(), inferlay::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct BatchStatistics {
    /// Their rows; sizes above 4096 count as that.
    pub batch_size: usize,
    /// Gathering inputs.
    pub compute_input: DurationStatistics,
    /// Executing, until `execute` returned.
    pub compute_infer: DurationStatistics,
    /// Handing out outputs.
    pub compute_output: DurationStatistics,
}

/// The part of the statistics that Triton calls `inference_stats`.
#[derive(Serialize)]
struct InferenceStatistics {
    success: DurationStatistics,
    fail: DurationStatistics,
    queue: DurationStatistics,
    compute_input: DurationStatistics,
    compute_infer: DurationStatistics,
    compute_output: DurationStatistics,
    /// Nothing is cached; clients of Triton expect the fields.
    cache_hit: DurationStatistics,
    cache_miss: DurationStatistics,
}

impl DurationStatistics {
    fn merge(&mut self, other: DurationStatistics) {
        self.count += other.count;
        self.ns += other.ns;
    }
}

impl ModelStatistics {
    /// Adds the sums that a tally keeps here; the rest is written when they are read.
    pub(super) fn merge(&mut self, other: &ModelStatistics) {
        self.inference_count += other.inference_count;
        self.execution_count += other.execution_count;
        self.success.merge(other.success);
        self.fail.merge(other.fail);
        self.queue.merge(other.queue);
        self.compute_input.merge(other.compute_input);
        self.compute_infer.merge(other.compute_infer);
        self.compute_output.merge(other.compute_output);
        self.bytes_copied += other.bytes_copied;
    }

    fn inference(&self) -> InferenceStatistics {
        InferenceStatistics {
            success: self.success,
            fail: self.fail,
            queue: self.queue,
            compute_input: self.compute_input,
            compute_infer: self.compute_infer,
            compute_output: self.compute_output,
            cache_hit: DurationStatistics::default(),
            cache_miss: DurationStatistics::default(),
        }
    }
}

impl Serialize for ModelStatistics {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut json = serializer.serialize_struct("ModelStatistics", 16)?;
        json.serialize_field("name", &self.name)?;
        json.serialize_field("version", &self.version.to_string())?;
        json.serialize_field("last_inference", &self.last_inference)?;
        json.serialize_field("inference_count", &self.inference_count)?;
        json.serialize_field("execution_count", &self.execution_count)?;
        json.serialize_field("inference_stats", &self.inference())?;
        json.serialize_field("batch_stats", &self.batches)?;
        json.serialize_field("response_count", &self.response_count)?;
        json.serialize_field("refused_count", &self.refused_count)?;
        json.serialize_field("expired_count", &self.expired_count)?;
        json.serialize_field("cancelled_count", &self.cancelled_count)?;
        json.serialize_field("other_count", &self.other_count)?;
        json.serialize_field("shadow_dropped_count", &self.shadow_dropped_count)?;
        json.serialize_field("queue_len", &self.queue_len)?;
        json.serialize_field("cuts", &self.cuts)?;
        json.serialize_field("bytes_copied", &self.bytes_copied)?;
        json.end()
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn as_json_it_has_the_form_of_tritons_statistics() {
        let sum = |count, ns| DurationStatistics { count, ns };
        let batch = BatchStatistics { batch_size: 4, compute_infer: sum(2, 20), ..BatchStatistics::default() };
        let statistics = ModelStatistics {
            name: "digits".to_owned(),
            version: 3,
            success: sum(8, 90),
            batches: vec![batch],
            ..ModelStatistics::default()
        };
        let json = serde_json::to_value(&statistics).unwrap();
        assert_eq!(json["version"], "3");
        assert_eq!(json["inference_stats"]["success"], serde_json::json!({"count": 8, "ns": 90}));
        assert_eq!(json["inference_stats"]["cache_miss"]["count"], 0);
        assert_eq!(json["batch_stats"][0]["batch_size"], 4);
        assert_eq!(json["batch_stats"][0]["compute_infer"], serde_json::json!({"count": 2, "ns": 20}));
    }
}
