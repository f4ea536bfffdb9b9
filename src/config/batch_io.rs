//! Inputs and outputs that a batch as a whole has, beside those of its requests. Pure data, any thread.

use inferlay_backend_sdk::{DataType, TensorSpec};

/// An input of the model that is computed from the requests of a batch: `batch_input` of a config.
///
/// # Examples
/// ```
/// use inferlay::config::{BatchInputKind, parse};
/// let text = r#"
/// input { name: "words" data_type: TYPE_INT64 dims: -1 allow_ragged_batch: true }
/// batch_input {
///   kind: BATCH_ACCUMULATED_ELEMENT_COUNT
///   target_name: "ends" data_type: TYPE_FP32 source_input: "words"
/// }"#;
/// let batch_input = parse("config.pbtxt", text)?.batch_inputs.remove(0);
/// assert_eq!(batch_input.kind, BatchInputKind::AccumulatedElementCount);
/// assert_eq!((batch_input.targets, batch_input.sources), (vec!["ends".to_owned()], vec!["words".to_owned()]));
/// # Ok::<(), inferlay::config::ConfigErrors>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BatchInput {
    /// What it is made of.
    pub kind: BatchInputKind,
    /// The inputs of the model that it becomes; at least one.
    pub targets: Vec<String>,
    /// The type of its elements: INT32 or FP32.
    pub data_type: DataType,
    /// The input of the requests that it is computed from; exactly one.
    pub sources: Vec<String>,
}

impl BatchInput {
    /// What the model says of the inputs that it becomes.
    pub(super) fn specs(&self) -> impl Iterator<Item = TensorSpec> {
        let rank = if self.kind == BatchInputKind::ItemShape { 2 } else { 1 };
        self.targets.iter().map(move |name| TensorSpec {
            name: name.clone(),
            dtype: self.data_type,
            dims: Some(vec![-1; rank]),
            optional: false,
        })
    }
}

/// What a [`BatchInput`] is made of. Every kind counts along the requests of the batch.
///
/// # Examples
/// ```
/// use inferlay::config::{BatchInputKind, parse};
/// let text = "{input: {name: x}, batch_input: {kind: BATCH_ITEM_SHAPE, target_name: n, source_input: x}}";
/// assert_eq!(parse("config.yaml", text)?.batch_inputs[0].kind, BatchInputKind::ItemShape);
/// # Ok::<(), inferlay::config::ConfigErrors>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum BatchInputKind {
    /// The elements of each request.
    #[default]
    ElementCount,
    /// The elements up to and with each request.
    AccumulatedElementCount,
    /// As that, with a zero in front.
    AccumulatedElementCountWithZero,
    /// As many elements as the largest request has; only the shape says something.
    MaxElementCountAsShape,
    /// The dims of each row of each request, one row for each.
    ItemShape,
    /// As that, without the boundaries between the rows.
    ItemShapeFlatten,
}

/// Outputs of the model that are handed to the requests of a batch by the shape of an input: `batch_output` of a config.
///
/// # Examples
/// ```
/// use inferlay::config::parse;
/// let text = "{input: {name: x}, output: {name: y}, batch_output: {target_name: y, source_input: x}}";
/// let batch_output = parse("config.yaml", text)?.batch_outputs.remove(0);
/// assert_eq!((&*batch_output.targets[0], &*batch_output.sources[0]), ("y", "x"));
/// # Ok::<(), inferlay::config::ConfigErrors>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BatchOutput {
    /// The outputs of the model; at least one.
    pub targets: Vec<String>,
    /// The input of the requests whose shape decides; exactly one.
    pub sources: Vec<String>,
}
