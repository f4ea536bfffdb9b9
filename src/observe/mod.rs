//! What happened: statistics, traces and the log. Records, never decides.

mod cut;
mod log;
mod metrics;
mod statistics;
mod trace;

pub use cut::Cut;
pub(crate) use log::Log;
pub use log::LogRecord;
pub(crate) use metrics::{Gauges, metrics_text};
pub use statistics::{DurationStatistics, ModelStatistics};
pub(crate) use statistics::{Record, Tally};
pub(crate) use trace::{Stations, Tracer};
pub use trace::{Trace, TraceEnd};
