//! What happened: statistics, traces and the log. Records, never decides.

mod cut;
mod log;
mod statistics;
mod trace;

pub use cut::Cut;
pub use log::LogRecord;
pub(crate) use log::Log;
pub(crate) use statistics::{Record, Tally};
pub use statistics::{DurationStatistics, ModelStatistics};
pub(crate) use trace::{Stations, Tracer};
pub use trace::Trace;
