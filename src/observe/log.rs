//! The log of one server: records go to the function that the server was given, and nowhere else.

use inferlay_backend_sdk::LogLevel;

/// One line of the log.
///
/// # Examples
/// ```
/// use inferlay::{LogLevel, LogRecord, ServerHandle};
/// fn print(record: LogRecord<'_>) {
///     if record.level >= LogLevel::Warning {
///         eprintln!("{:?}: {}", record.level, record.message);
///     }
/// }
/// let server = ServerHandle::builder().log(print).start()?;
/// # Ok::<(), inferlay::Error>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct LogRecord<'a> {
    /// How grave it is.
    pub level: LogLevel,
    /// The text, without a line end.
    pub message: &'a str,
}

/// Where a server's log goes.
#[derive(Default)]
pub(crate) struct Log {
    sink: Option<Box<Sink>>,
}

type Sink = dyn Fn(LogRecord<'_>) + Send + Sync;

impl Log {
    pub(crate) fn to(sink: impl Fn(LogRecord<'_>) + Send + Sync + 'static) -> Self {
        Log { sink: Some(Box::new(sink)) }
    }

    /// Writes one record. A sink that panics is not heard of; it must not take a worker down.
    pub(crate) fn write(&self, level: LogLevel, message: &str) {
        if let Some(sink) = &self.sink {
            let write = std::panic::AssertUnwindSafe(|| sink(LogRecord { level, message }));
            let _contained = std::panic::catch_unwind(write);
        }
    }
}
