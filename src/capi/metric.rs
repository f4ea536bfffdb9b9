//! Metrics of the application: made by a server, changed by any thread, shown in its metrics as long as a handle exists.

use super::door::{door, free_door};
use super::handle::{Boxed, borrow, out, slice, utf8};
use super::server::{Server, handle};
use super::status::Status;
use crate::observe::{MetricCounter, MetricGauge, MetricHistogram};
use crate::server::ServerHandle;
use inferlay_backend_sdk::{Error, ErrorKind};
use std::ffi::c_char;

const NO_SET: Error = Error::fixed(ErrorKind::Unsupported, "metric: only a gauge is set");
const NO_STEP: Error = Error::fixed(ErrorKind::Unsupported, "metric: a histogram observes, it is not incremented");
const NO_OBSERVATION: Error = Error::fixed(ErrorKind::Unsupported, "metric: only a histogram observes");
const NO_VALUE: Error = Error::fixed(ErrorKind::Unsupported, "metric: a histogram has no single value");

/// The kind of a metric: one of `INFERLAY_METRIC_*`, with the numbers of Triton.
pub type MetricKind = u32;
/// It only rises, such as a number of events.
pub const INFERLAY_METRIC_COUNTER: u32 = 0;
/// It rises and falls, such as a number of sessions.
pub const INFERLAY_METRIC_GAUGE: u32 = 1;
/// It counts values by their size.
pub const INFERLAY_METRIC_HISTOGRAM: u32 = 2;

/// What a metric is to be. Set `struct_size` to `sizeof(inferlay_metric_definition)`.
#[repr(C)]
pub struct MetricDefinition {
    /// `sizeof(inferlay_metric_definition)`.
    pub struct_size: usize,
    /// One of `INFERLAY_METRIC_*`.
    pub kind: MetricKind,
    /// Its name, as Prometheus reads them; `nv_` and `inferlay_` are the library's own prefixes.
    pub name: *const c_char,
    /// What it says, for people.
    pub help: *const c_char,
    /// Names and values of its labels in turns: `labels_len` pairs; may be NULL when there are none.
    pub labels: *const *const c_char,
    /// The number of pairs.
    pub labels_len: usize,
    /// Of a histogram the upper bounds, each above the last; may be NULL when there are none.
    pub bounds: *const f64,
    /// The number of bounds; 0 but for a histogram.
    pub bounds_len: usize,
}

/// A metric of the application. Any number of threads may change it at once.
pub enum Metric {
    #[doc(hidden)]
    Counter(MetricCounter),
    #[doc(hidden)]
    Gauge(MetricGauge),
    #[doc(hidden)]
    Histogram(MetricHistogram),
}

impl Boxed for Metric {}

/// Makes a metric, which `inferlay_server_metrics` shows from now on.                     [any thread] [never blocks]
///
/// `definition` and all it points to: borrowed for the call. `metric`: where the metric goes, which is then the
/// caller's, to be freed with `inferlay_metric_free`; not NULL. Of the same name and labels there is one metric, however
/// many handles. It may outlive the server, and then is seen by nobody. Fails with INVALID_ARG for a kind, name, label
/// or bound that cannot be, ALREADY_EXISTS for a name that has another kind or other bounds.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_metric_new(
    server: *const Server,
    definition: *const MetricDefinition,
    metric: *mut *mut Metric,
) -> *mut Status {
    door(|| {
        // SAFETY: the caller's promise.
        let server = unsafe { handle(server) }?;
        // SAFETY: the caller's promise.
        let definition = unsafe { borrow(definition, "definition") }?;
        // SAFETY: the caller's promise.
        let place = unsafe { out(metric, "metric") }?;
        // SAFETY: the caller's promise.
        place.write(unsafe { definition.make(&server) }?.into_handle());
        Ok(())
    })
}

/// Sets a gauge.                                                                          [any thread] [never blocks]
///
/// Fails with UNSUPPORTED for another kind.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_metric_set(metric: *const Metric, value: f64) -> *mut Status {
    // SAFETY: the caller's promise.
    door(|| match unsafe { borrow(metric, "metric") }? {
        Metric::Gauge(gauge) => {
            gauge.set(value);
            Ok(())
        }
        _ => Err(NO_SET),
    })
}

/// Adds to a counter or gauge.                                                            [any thread] [never blocks]
///
/// Fails with UNSUPPORTED for a histogram, INVALID_ARG for a counter that would fall.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_metric_increment(metric: *const Metric, by: f64) -> *mut Status {
    // SAFETY: the caller's promise.
    door(|| match unsafe { borrow(metric, "metric") }? {
        Metric::Counter(counter) => counter.increment(by),
        Metric::Gauge(gauge) => {
            gauge.increment(by);
            Ok(())
        }
        Metric::Histogram(_) => Err(NO_STEP),
    })
}

/// Counts a value in a histogram.                                                         [any thread] [never blocks]
///
/// Fails with UNSUPPORTED for another kind.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_metric_observe(metric: *const Metric, value: f64) -> *mut Status {
    // SAFETY: the caller's promise.
    door(|| match unsafe { borrow(metric, "metric") }? {
        Metric::Histogram(histogram) => {
            histogram.observe(value);
            Ok(())
        }
        _ => Err(NO_OBSERVATION),
    })
}

/// The value of a counter or gauge.                                                       [any thread] [never blocks]
///
/// `value`: where it goes; not NULL. Fails with UNSUPPORTED for a histogram.
#[must_use]
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_metric_value(metric: *const Metric, value: *mut f64) -> *mut Status {
    door(|| {
        // SAFETY: the caller's promise.
        let found = match unsafe { borrow(metric, "metric") }? {
            Metric::Counter(counter) => counter.value(),
            Metric::Gauge(gauge) => gauge.value(),
            Metric::Histogram(_) => return Err(NO_VALUE),
        };
        // SAFETY: the caller's promise.
        unsafe { out(value, "value") }?.write(found);
        Ok(())
    })
}

/// Gives a metric up. The last handle of its name and labels takes it out of the server's metrics.
///                                                                                        [any thread] [never blocks]
/// `metric`: taken; NULL does nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn inferlay_metric_free(metric: *mut Metric) {
    // SAFETY: the caller's promise.
    free_door(|| drop(unsafe { Metric::from_handle(metric) }));
}

impl MetricDefinition {
    /// The metric that it describes.
    ///
    /// # Errors
    /// `INVALID_ARG` for what cannot be, `ALREADY_EXISTS` for a name that is another metric's.
    ///
    /// # Safety
    /// What it points to is good for reading.
    unsafe fn make(&self, server: &ServerHandle) -> Result<Metric, Error> {
        let (found, least) = (self.struct_size, size_of::<MetricDefinition>());
        if found < least {
            let message = format!("definition: found a struct_size of {found}, expected {least} or more");
            return Err(Error::invalid_arg(message));
        }
        // SAFETY: the caller's promise.
        let (name, help) = (unsafe { utf8(self.name, "name") }?, unsafe { utf8(self.help, "help") }?);
        // SAFETY: the caller's promise.
        let labels = unsafe { slice(self.labels, self.labels_len.saturating_mul(2), "labels") }?;
        // SAFETY: the caller's promise.
        let texts = labels.iter().map(|text| unsafe { utf8(*text, "labels") }).collect::<Result<Vec<_>, _>>()?;
        let labels: Vec<_> = texts.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect();
        // SAFETY: the caller's promise.
        let bounds = unsafe { slice(self.bounds, self.bounds_len, "bounds") }?;
        match self.kind {
            INFERLAY_METRIC_HISTOGRAM => server.metric_histogram(name, help, &labels, bounds).map(Metric::Histogram),
            _ if !bounds.is_empty() => Err(Error::invalid_arg("bounds: found some, expected none but for a histogram")),
            INFERLAY_METRIC_COUNTER => server.metric_counter(name, help, &labels).map(Metric::Counter),
            INFERLAY_METRIC_GAUGE => server.metric_gauge(name, help, &labels).map(Metric::Gauge),
            kind => Err(Error::invalid_arg(format!("kind: found {kind}, expected one of INFERLAY_METRIC_*"))),
        }
    }
}
