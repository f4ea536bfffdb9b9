//! What happened: statistics, metrics, traces and the log. Records, never decides.
//!
//! ```text
//!   tally        told of every execution under a lane's lock: sums, and histograms of durations
//!   statistics   what it is read as; saturation   how near a model is to its most, from two readings
//!   metrics      all of a server as text for Prometheus; exposition   the grammar; registry   the application's own
//!   layout       by what bounds a model's histograms are gathered
//!   machine      processors and memory that may be used; paging gpu   what others count
//!   cut trace log
//! ```

mod cut;
mod exposition;
mod gpu;
mod histogram;
mod layout;
mod log;
mod machine;
mod metrics;
mod paging;
mod registry;
mod saturation;
mod statistics;
mod tally;
mod trace;

pub use cut::Cut;
pub(crate) use exposition::{CONTENT_TYPE, Exposition};
pub(crate) use gpu::GpuMetrics;
pub(crate) use layout::Layout;
pub(crate) use log::Log;
pub use log::LogRecord;
pub(crate) use machine::{CpuTime, cpu_time, memory};
pub(crate) use metrics::{ModelMetrics, ServerMetrics, StateMetrics};
pub(crate) use paging::PagingCounts;
pub(crate) use registry::{Definition, Registry};
pub use registry::{MetricCounter, MetricGauge, MetricHistogram};
pub(crate) use saturation::{Bounds, Saturation, Totals};
pub use statistics::{BatchStatistics, DurationStatistics, ModelStatistics};
pub(crate) use tally::{Durations, Record, Tally, Timing};
pub(crate) use trace::{Stations, Tracer};
pub use trace::{Trace, TraceEnd};
