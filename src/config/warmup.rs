//! Requests that every instance of a model executes before it serves. Pure data, any thread.

use inferlay_backend_sdk::DataType;
use std::collections::BTreeMap;

/// One request that every instance executes before its version takes requests: `model_warmup` of a config.
///
/// # Examples
/// ```
/// use inferlay::config::{WarmupData, parse};
/// let text = r#"
/// model_warmup {
///   name: "one image"
///   batch_size: 4
///   inputs { key: "image" value { data_type: TYPE_FP32 dims: [ 1, 8, 8 ] random_data: true } }
/// }"#;
/// let warmup = parse("config.pbtxt", text)?.warmups.remove(0);
/// assert_eq!((&*warmup.name, warmup.batch_size, warmup.count), ("one image", 4, 1));
/// assert_eq!(warmup.inputs["image"].data, WarmupData::Random);
/// # Ok::<(), inferlay::config::ConfigErrors>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Warmup {
    /// What messages call it.
    pub name: String,
    /// How many such requests are executed as one batch; at least 1, and 1 for a model that does not batch.
    pub batch_size: usize,
    /// How often each instance executes it; at least 1.
    pub count: usize,
    /// Its inputs: each that the model cannot do without, and perhaps others.
    pub inputs: BTreeMap<String, WarmupInput>,
}

/// One input of a [`Warmup`].
///
/// # Examples
/// ```
/// use inferlay::{DataType, config::{WarmupData, WarmupInput}};
/// let input = WarmupInput { data_type: DataType::Fp32, dims: vec![1, 8, 8], data: WarmupData::Zero };
/// assert_eq!(input.dims.iter().product::<usize>(), 64);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WarmupInput {
    /// The type of its elements: that of the model's input.
    pub data_type: DataType,
    /// Its dims, none of which varies; without the batch if the model batches.
    pub dims: Vec<usize>,
    /// What it holds.
    pub data: WarmupData,
}

/// What an input of a [`Warmup`] holds.
///
/// # Examples
/// ```
/// use inferlay::config::{WarmupData, parse};
/// let text = "model_warmup: {inputs: {x: {data_type: FP32, dims: 2, input_data_file: two}}}";
/// let warmup = parse("config.yaml", text)?.warmups.remove(0);
/// assert_eq!(warmup.inputs["x"].data, WarmupData::File("two".to_owned()));
/// # Ok::<(), inferlay::config::ConfigErrors>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum WarmupData {
    /// `zero_data`: zeros, or empty strings.
    Zero,
    /// `random_data`: random numbers, or strings.
    Random,
    /// `input_data_file`: the bytes of one request's input, in this file in the folder `warmup` of the model.
    File(String),
}
