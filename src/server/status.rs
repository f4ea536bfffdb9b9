//! What a server says of its models: states, metadata, progress. Plain values, ready to be written as JSON.

use crate::config::{ModelConfig, TensorConfig};
use inferlay_backend_sdk::{Attributes, Backend, Error, ErrorKind};
use serde::Serialize;
use std::time::Duration;

/// The state of one version of a model.
///
/// # Examples
/// ```
/// use inferlay::{ModelState, ServerHandle};
/// let files = [("config.yaml", b"backend: nowhere".to_vec())];
/// let server = ServerHandle::builder().model_in_memory("broken", files).start()?;
/// assert_eq!(server.models()[0].state, ModelState::Unavailable);
/// # Ok::<(), inferlay::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "UPPERCASE")]
#[non_exhaustive]
pub enum ModelState {
    /// Known, and not asked to be loaded.
    Unknown,
    /// Being loaded.
    Loading,
    /// Serving.
    Ready,
    /// Not serving; the status says why.
    Unavailable,
    /// No longer serving: what it has is being answered, and then it is freed.
    Unloading,
}

/// One line of the index of models.
///
/// # Examples
/// ```
/// use inferlay::{ModelState, ServerHandle};
/// let files = [("config.yaml", b"backend: nowhere".to_vec())];
/// let server = ServerHandle::builder().model_in_memory("broken", files).start()?;
/// for status in server.models().iter().filter(|status| status.state != ModelState::Ready) {
///     assert_eq!(status.name, "broken");
///     assert!(status.reason.contains("nowhere"));
/// }
/// # assert_eq!(server.models().len(), 1);
/// # Ok::<(), inferlay::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ModelStatus {
    /// The model.
    pub name: String,
    /// The version; 0 when no version of it was found.
    pub version: u64,
    /// Its state.
    pub state: ModelState,
    /// Why it is in that state; empty when it serves. Of one that serves though an update of it failed, why that failed.
    pub reason: String,
}

/// A backend that models can be served by.
///
/// # Examples
/// ```
/// let server = inferlay::ServerHandle::builder().start()?;
/// let null = server.backends().pop().unwrap();
/// assert_eq!((&null.name[..], null.file_names.len()), ("null", 0));
/// # Ok::<(), inferlay::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct BackendStatus {
    /// Its name in configs.
    pub name: String,
    /// The version of its framework.
    pub version: String,
    /// The file names or extensions from which its models are recognised.
    pub file_names: Vec<String>,
    /// What it promises and needs.
    pub attributes: Vec<&'static str>,
}

impl BackendStatus {
    pub(super) fn new(backend: &dyn Backend) -> Self {
        const NAMES: [(Attributes, &str); 5] = [
            (Attributes::CALLER_OK, "CALLER_OK"),
            (Attributes::INSTANCE_THREAD, "INSTANCE_THREAD"),
            (Attributes::CONCURRENT_EXECUTE, "CONCURRENT_EXECUTE"),
            (Attributes::PARALLEL_LOAD, "PARALLEL_LOAD"),
            (Attributes::EXECUTES_MODEL_CODE, "EXECUTES_MODEL_CODE"),
        ];
        let attributes = backend.attributes();
        BackendStatus {
            name: backend.name().to_owned(),
            version: backend.version().to_owned(),
            file_names: backend.file_names().iter().map(|name| (*name).to_owned()).collect(),
            attributes: NAMES.iter().filter(|(flag, _)| attributes.contains(*flag)).map(|(_, name)| *name).collect(),
        }
    }
}

/// How far loading has come: one call per version that was loaded or failed.
///
/// # Examples
/// ```
/// use inferlay::{Progress, ServerHandle};
/// fn tell(progress: &Progress<'_>) {
///     let end = progress.error.map_or("ready".to_owned(), |error| error.to_string());
///     eprintln!("{}/{}: {} version {}: {end}", progress.done, progress.total, progress.model, progress.version);
/// }
/// let server = ServerHandle::builder().on_progress(tell).start()?;
/// # Ok::<(), inferlay::Error>(())
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Progress<'a> {
    /// The model.
    pub model: &'a str,
    /// The version; 0 when no version of it was found.
    pub version: u64,
    /// Why it does not serve, if it does not.
    pub error: Option<&'a Error>,
    /// Models that are done, this one included.
    pub done: usize,
    /// All models.
    pub total: usize,
}

/// What a model takes and gives, in the form of KServe v2's model metadata.
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
/// let metadata = model.metadata()?;
/// assert_eq!((&metadata.platform[..], &metadata.versions[0][..]), ("closure", "1"));
/// assert_eq!((&metadata.outputs[0].name[..], &metadata.outputs[0].datatype[..]), ("y", "FP32"));
/// # Ok::<(), inferlay::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct ModelMetadata {
    /// The model.
    pub name: String,
    /// The versions that serve.
    pub versions: Vec<String>,
    /// The backend.
    pub platform: String,
    /// Its inputs.
    pub inputs: Vec<TensorMetadata>,
    /// Its outputs.
    pub outputs: Vec<TensorMetadata>,
}

/// The name, type and shape of one input or output, the batch included; -1 varies.
///
/// # Examples
/// ```
/// # use inferlay::{Request, ServerHandle, Tensor};
/// # let config = "{backend: 'null', max_batch_size: 8, input: {name: x, data_type: FP32, dims: 2}, \
/// #     dynamic_batching: {max_queue_delay_microseconds: 60000000}}";
/// # let files = [("config.yaml", config.into())];
/// # let server = ServerHandle::builder().model_in_memory("echo", files).strict().start()?;
/// # let model = server.model("echo")?;
/// // The model waits for up to a minute to fill a batch.
/// let x = Tensor::from_vec(vec![1.0f32, 2.0], [1, 2])?;
/// // The config says `max_batch_size: 8, input: {name: x, data_type: FP32, dims: 2}`.
/// let x = &model.metadata()?.inputs[0];
/// assert_eq!((&x.name[..], &x.datatype[..], &x.shape[..]), ("x", "FP32", &[-1, 2][..]));
/// # Ok::<(), inferlay::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct TensorMetadata {
    /// Its name.
    pub name: String,
    /// The KServe name of its type.
    pub datatype: String,
    /// Its dims.
    pub shape: Vec<i64>,
    /// The names of the classes of an output whose config has a `label_filename`, in the order of their numbers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<String>,
}

impl ModelMetadata {
    /// That of a config; `labels` are those of an output.
    pub(super) fn new<'a>(
        config: &ModelConfig,
        versions: impl IntoIterator<Item = u64>,
        labels: impl Fn(&str) -> &'a [String],
    ) -> Self {
        let batch = (config.max_batch_size > 0).then_some(-1);
        let tensor = |tensor: &TensorConfig| TensorMetadata {
            name: tensor.name.clone(),
            datatype: tensor.data_type.name().to_owned(),
            shape: batch.into_iter().chain(tensor.dims.iter().copied()).collect(),
            labels: Vec::new(),
        };
        let labelled =
            |output: &TensorConfig| TensorMetadata { labels: labels(&output.name).to_vec(), ..tensor(output) };
        ModelMetadata {
            name: config.name.clone(),
            versions: versions.into_iter().map(|version| version.to_string()).collect(),
            platform: config.backend.clone(),
            inputs: config.inputs.iter().map(tensor).collect(),
            outputs: config.outputs.iter().map(labelled).collect(),
        }
    }
}

/// What a stop fails with that was not over when its time was: the models that still have requests.
pub(super) fn left_behind(within: Duration, places: &[String]) -> Error {
    let (within, places) = (rounded(within), places.join(", "));
    let message = format!("after {within:?} requests were left, unanswered (now with errors) or unreleased: {places}");
    Error::new(ErrorKind::Timeout, message)
}

/// The nearest time of three digits. Who asks through C says until when, of which a little has passed when it is read:
/// this is what was asked for again.
pub(super) fn rounded(within: Duration) -> Duration {
    let nanos = within.as_nanos();
    let unit = 10_u128.pow(nanos.checked_ilog10().unwrap_or(0).saturating_sub(2));
    Duration::from_nanos(u64::try_from((nanos + unit / 2) / unit * unit).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_tells_the_time_that_it_was_given() {
        let places = ["model 'a'".to_owned(), "model 'b'".to_owned()];
        for (nanos, expected) in [
            (0, "0ns"),
            (999, "999ns"),
            (99_995_904, "100ms"),
            (250_000_000, "250ms"),
            (4_999_990_656, "5s"),
            (u64::MAX, "18400000000s"),
        ] {
            let told = left_behind(Duration::from_nanos(nanos), &places);
            let rest = "requests were left, unanswered (now with errors) or unreleased: model 'a', model 'b'";
            assert_eq!(told.message(), format!("after {expected} {rest}"));
        }
    }
}
