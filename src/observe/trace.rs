//! Traces: when a request passed its stations, and why its batch was closed.
//!
//! A request is traced when it says so or when the server's rate picks it. Off, it costs one load per request. What was
//! traced last is kept, bounded, and exported in the Trace Event Format that Perfetto and Chrome read.

use super::{Cut, Record};
use crate::sync::{AtomicU32, AtomicU64, Mutex, Ordering};
use serde_json::{Value, json};
use std::collections::VecDeque;

const KEPT_MAX: usize = 1 << 16;

/// The way of one request, in nanoseconds on the server's clock.
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
/// let request = Request::new().input("x", Tensor::from_vec(vec![1.0f32, 2.0], [2])?);
/// let response = model.infer(request.traced())?;
/// let trace = response.trace().expect("it was asked for");
/// assert!(trace.submitted <= trace.started && trace.started <= trace.ended && trace.ended <= trace.answered);
/// assert_eq!((trace.batch_requests, trace.cut.map(|cut| cut.name())), (1, Some("single")));
/// # Ok::<(), inferlay::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Trace {
    /// The model that answered.
    pub model: String,
    /// The version that answered.
    pub version: u64,
    /// The request's own name; may be empty.
    pub id: String,
    /// When it was submitted.
    pub submitted: u64,
    /// When its batch was closed and its execution began.
    pub started: u64,
    /// How long the inputs of the batch were gathered, within the execution.
    pub gathered: u64,
    /// When the execution ended.
    pub ended: u64,
    /// When the answer was ready.
    pub answered: u64,
    /// Why the batch was closed; `None` for a request that was in no batch, or whose backend answered it by itself.
    pub cut: Option<Cut>,
    /// How it ended.
    pub end: TraceEnd,
    /// Requests in the batch.
    pub batch_requests: usize,
    /// Rows of the batch.
    pub batch_rows: usize,
}

/// How the way of a request ended.
///
/// # Examples
/// ```
/// # use inferlay::{Request, ServerHandle, Tensor};
/// use inferlay::TraceEnd;
/// # let config = b"{backend: 'null', input: {name: x, data_type: FP32, dims: 2}}".to_vec();
/// # let server = ServerHandle::builder().model_in_memory("echo", [("config.yaml", config)]).strict().start()?;
/// # let model = server.model("echo")?;
/// // The model's outputs are its inputs.
/// let x = Tensor::from_vec(vec![1.0f32, 2.0], [2])?;
/// let response = model.infer(Request::new().input("x", x).traced())?;
/// assert_eq!(response.trace().map(|trace| trace.end), Some(TraceEnd::Ok));
/// # Ok::<(), inferlay::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TraceEnd {
    /// It was answered with outputs.
    Ok,
    /// It was run and answered with an error.
    Error,
    /// A deadline, a cancel or a stop answered it while it ran.
    Early,
    /// A deadline, a cancel or a stop answered it before it was run.
    NotRun,
}

impl TraceEnd {
    fn name(self) -> &'static str {
        match self {
            TraceEnd::Ok => "ok",
            TraceEnd::Error => "error",
            TraceEnd::Early => "early",
            TraceEnd::NotRun => "not run",
        }
    }
}

/// What only the request knows.
pub(crate) struct Stations<'a> {
    pub(crate) end: TraceEnd,
    pub(crate) submitted: u64,
    pub(crate) id: &'a str,
    pub(crate) answered: u64,
}

impl Stations<'_> {
    /// The trace, with what the execution knows.
    pub(crate) fn trace(self, (model, version): (&str, u64), record: &Record) -> Trace {
        Trace {
            model: model.to_owned(),
            version,
            id: self.id.to_owned(),
            submitted: self.submitted,
            started: record.started,
            gathered: record.gathered,
            ended: record.ended,
            answered: self.answered,
            cut: record.why,
            end: self.end,
            batch_requests: record.requests,
            batch_rows: record.rows,
        }
    }
}

/// Picks requests to be traced and keeps their traces.
pub(crate) struct Tracer {
    /// Every so many requests are traced; 0: none.
    every: AtomicU32,
    count: AtomicU64,
    kept: Mutex<VecDeque<Trace>>,
}

impl Tracer {
    pub(crate) fn new(every: u32) -> Self {
        Tracer { every: AtomicU32::new(every), count: AtomicU64::new(0), kept: Mutex::new(VecDeque::new()) }
    }

    /// Traces one in so many requests from now on; 0: none.
    pub(crate) fn set_every(&self, every: u32) {
        self.every.store(every, Ordering::Relaxed);
    }

    /// Whether the next request is to be traced.
    pub(crate) fn samples(&self) -> bool {
        match self.every.load(Ordering::Relaxed) {
            0 => false,
            every => self.count.fetch_add(1, Ordering::Relaxed).is_multiple_of(u64::from(every)),
        }
    }

    /// Keeps a trace; the oldest make room.
    pub(crate) fn keep(&self, trace: &Trace) {
        let mut kept = self.kept.lock();
        if kept.len() == KEPT_MAX {
            kept.pop_front();
        }
        kept.push_back(trace.clone());
    }

    /// What is kept, in the Trace Event Format.
    pub(crate) fn to_json(&self) -> String {
        // A copy: writing thousands of traces takes milliseconds, and every traced request waits for the lock.
        let kept = self.kept.lock().clone();
        let events: Vec<_> = kept.iter().enumerate().flat_map(|(lane, trace)| trace.events(lane % 64)).collect();
        json!({ "displayTimeUnit": "ns", "traceEvents": events }).to_string()
    }
}

impl Trace {
    fn events(&self, lane: usize) -> [Value; 3] {
        let event = |name: &str, from: u64, to: u64| {
            json!({
                "name": name, "cat": self.model, "ph": "X", "pid": 1, "tid": lane,
                "ts": from as f64 / 1e3, "dur": to.saturating_sub(from) as f64 / 1e3,
                "args": {
                    "id": self.id, "version": self.version, "cut": self.cut.map(Cut::name), "end": self.end.name(),
                    "batch_requests": self.batch_requests, "batch_rows": self.batch_rows, "gather_ns": self.gathered,
                },
            })
        };
        [
            event("queue", self.submitted, self.started),
            event("compute", self.started, self.ended),
            event("answer", self.ended, self.answered),
        ]
    }
}
