//! What a lane knows of its model: names, types, dims and limits. Checked once when the model loads; plain values.

use super::batch::Policy;
use super::wait::Waits;
use crate::backend::joint::{Join, Scatter};
use crate::observe::Layout;
use crate::tensor::reshape::reshape;
use inferlay_backend_sdk::{DataType, Error, Shape, Tensor};
use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::Arc;

/// Who may execute a batch besides the workers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum CallerRuns {
    /// Workers alone.
    Never,
    /// A blocking caller that finds an instance free and nothing waiting runs its own request.
    #[default]
    OwnRequest,
    /// A blocking caller that has to wait leads the lane while it does, for two batches at most.
    Batch,
}

/// One input or output.
#[derive(Clone, Debug)]
pub(crate) struct Port {
    pub(crate) name: String,
    pub(crate) dtype: DataType,
    /// The dims that requests and responses have, without the batch; -1 varies. `None`: any rank.
    pub(crate) dims: Option<Vec<i64>>,
    /// Those by which the backend knows it.
    pub(crate) backend_dims: Option<Vec<i64>>,
    /// How an input of a batch is made.
    pub(crate) join: Join,
    /// How an output is handed out, if not by rows.
    pub(crate) scatter: Option<Scatter>,
    /// An input that may be left out.
    pub(crate) is_optional: bool,
    /// An output that the config offers.
    pub(crate) is_offered: bool,
    /// The names of an output's classes.
    pub(crate) labels: Option<Arc<[String]>>,
}

/// What some of the inputs or outputs are like, looked up once per request or execution.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Shaping {
    /// Whether an input has other dims for the backend than for clients.
    pub(crate) inputs: bool,
    /// Whether an output has, or is handed out otherwise than by rows.
    pub(crate) outputs: bool,
    /// Whether an output is handed out otherwise than by rows.
    pub(crate) scatters: bool,
    /// Whether an input is made otherwise than by joining rows.
    pub(crate) joins: bool,
}

/// What a lane knows of its model.
#[derive(Clone, Debug)]
pub(crate) struct LaneSpec {
    pub(crate) model: String,
    pub(crate) version: u64,
    /// In the order of the model's signature, as backends number them.
    pub(crate) inputs: Vec<Port>,
    /// As `inputs`.
    pub(crate) outputs: Vec<Port>,
    pub(crate) shaping: Shaping,
    /// The most rows of one request, and of a batch; 0: the first dim is not a batch.
    pub(crate) rows_max: usize,
    pub(crate) policy: Policy,
    pub(crate) queued_max: usize,
    pub(crate) levels: usize,
    pub(crate) level_default: usize,
    /// How requests wait, by level.
    pub(crate) waits: Waits,
    /// Nanoseconds after which an execution counts as stuck.
    pub(crate) execution_timeout: Option<u64>,
    pub(crate) caller_runs: CallerRuns,
    /// Whether answers go out in the order in which requests depart; then callers run nothing.
    pub(crate) is_ordered: bool,
    /// Whether `execute` must stay on one thread of the instance's own.
    pub(crate) is_thread_bound: bool,
    /// Of a model that may send any number of responses: how many of one request may be untaken before it is told to
    /// wait. `None`: it sends exactly one.
    pub(crate) credit_max: Option<usize>,
    /// Whether it has instances, none of which is given requests.
    pub(crate) is_passive: bool,
    /// Labels of its metrics, beside its name and version.
    pub(crate) metric_tags: BTreeMap<String, String>,
    /// The bounds of its histograms.
    pub(crate) layout: Layout,
}

impl LaneSpec {
    /// Whether the first dim is a batch.
    pub(crate) fn batches(&self) -> bool {
        self.rows_max > 0
    }

    /// `model 'digits' version 1`, for messages.
    pub(crate) fn place(&self) -> String {
        format!("model '{}' version {}", self.model, self.version)
    }

    /// One bit per output that a request gets when it names none.
    pub(crate) fn offered(&self) -> u64 {
        let bits = self.outputs.iter().enumerate().filter(|(_, port)| port.is_offered);
        bits.fold(0, |mask, (index, _)| mask | bit(index))
    }

    /// The names of the classes of an output.
    pub(crate) fn labels(&self, output: &str) -> &[String] {
        let port = self.outputs.iter().find(|port| port.name == output);
        port.and_then(|port| port.labels.as_deref()).unwrap_or_default()
    }

    /// Whether an output of a backend is what the model promises; `dtype` is `None` where there is no choice.
    ///
    /// # Errors
    /// `NOT_FOUND` or `INVALID_ARG`, with what was found and what was expected.
    pub(crate) fn check_output(
        &self,
        index: usize,
        dtype: Option<DataType>,
        shape: &Shape,
        rows: usize,
    ) -> Result<(), Error> {
        let Some(port) = self.outputs.get(index) else {
            return Err(Error::not_found(format!("{}: output {index} of {}", self.place(), self.outputs.len())));
        };
        if let Some(dtype) = dtype.filter(|dtype| *dtype != port.dtype) {
            return Err(self.wrong_output(port, &dtype, &port.dtype));
        }
        if self.batches() && shape.first() != Some(&rows) {
            return Err(self.wrong_output(port, &format_args!("shape {shape}"), &format_args!("{rows} rows")));
        }
        let rest = if self.batches() { &shape[1..] } else { &shape[..] };
        match &port.backend_dims {
            Some(dims) if !LaneSpec::fits(dims, rest) => {
                Err(self.wrong_output(port, &format_args!("dims {rest:?}"), &format_args!("{dims:?}")))
            }
            _ => Ok(()),
        }
    }

    /// Why an output is refused.
    #[cold]
    #[inline(never)]
    pub(super) fn wrong_output(&self, port: &Port, found: &dyn Display, expected: &dyn Display) -> Error {
        let place = self.place();
        Error::invalid_arg(format!("{place}: output '{}': found {found}, expected {expected}", port.name))
    }

    /// How an output is handed out, if not by rows.
    #[inline]
    pub(super) fn scatter(&self, index: usize) -> Option<&Scatter> {
        if self.shaping.scatters { self.outputs.get(index)?.scatter.as_ref() } else { None }
    }

    /// An input as the backend sees it, in place: the same memory under other dims.
    pub(crate) fn inward(&self, index: usize, tensor: &mut Option<Tensor>) {
        let Port { dims: Some(dims), backend_dims: Some(backend_dims), .. } = &self.inputs[index] else { return };
        if dims != backend_dims {
            // What it was checked for at the door cannot fail here.
            *tensor = tensor.take().and_then(|tensor| reshape(tensor, self.batch_dims(), (dims, backend_dims)).ok());
        }
    }

    /// An output as clients see it.
    ///
    /// # Errors
    /// `INVALID_ARG` for one that was not checked.
    pub(crate) fn outward(&self, index: usize, tensor: Tensor) -> Result<Tensor, Error> {
        let Port { dims: Some(dims), backend_dims: Some(backend_dims), .. } = &self.outputs[index] else {
            return Ok(tensor);
        };
        if dims == backend_dims { Ok(tensor) } else { reshape(tensor, self.batch_dims(), (backend_dims, dims)) }
    }

    fn batch_dims(&self) -> usize {
        usize::from(self.batches())
    }

    /// Whether dims agree with those of a port.
    pub(crate) fn fits(expected: &[i64], found: &[usize]) -> bool {
        let fit = |(expected, found): (&i64, &usize)| *expected < 0 || usize::try_from(*expected) == Ok(*found);
        expected.len() == found.len() && expected.iter().zip(found).all(fit)
    }
}

impl Port {
    /// Whether requests may differ in it that may not share a batch.
    pub(super) fn is_open(&self) -> bool {
        let is_any_rank = self.dims.is_none();
        match self.join {
            Join::Rows => self.is_optional || is_any_rank || self.dims.as_ref().is_some_and(|dims| dims.contains(&-1)),
            Join::Flat => self.is_optional || is_any_rank,
            Join::Told { .. } => false,
        }
    }
}

impl Shaping {
    pub(crate) fn of(inputs: &[Port], outputs: &[Port]) -> Self {
        let is_reshaped = |port: &Port| port.dims != port.backend_dims;
        let scatters = outputs.iter().any(|port| port.scatter.is_some());
        let outputs = scatters || outputs.iter().any(is_reshaped);
        let joins = inputs.iter().any(|port| port.join != Join::Rows);
        Shaping { inputs: inputs.iter().any(is_reshaped), outputs, scatters, joins }
    }
}

/// The bit of an output in a mask of wanted ones; those past the 63rd share the last bit.
pub(crate) fn bit(index: usize) -> u64 {
    1 << index.min(63)
}
