//! Metrics that the application defines: a registry per server, and handles that are cheap to change.
//!
//! ```text
//!   Registry ── name ──> Family: kind, help, bounds ── labels ──> Series: atomics, shared with the handles
//! ```
//!
//! Invariants: 1. a family has one kind and one set of bounds; 2. no two families write a line of the same name; 3. a
//! series is shown as long as a handle of it exists. The lock is held while handles are made and while the text is
//! written, never by a change of a value. Any thread.

use super::exposition::{Distribution, Exposition, Kind, Labels, is_label_name, is_metric_name};
use crate::sync::{AtomicU64, Mutex, Ordering};
use inferlay_backend_sdk::{Error, ErrorKind};
use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

const FALLS: Error = Error::fixed(ErrorKind::InvalidArg, "a counter: found a step below zero or none, expected a rise");

/// A metric of the application that only rises, such as a number of events. Cheap to clone; a clone is the same metric.
///
/// # Examples
/// ```
/// let server = inferlay::ServerHandle::builder().start()?;
/// let pages = server.metric_counter("app_pages_total", "Pages that were read", &[("format", "pdf")])?;
/// pages.increment(3.0)?;
/// assert!(server.metrics_text().contains("app_pages_total{format=\"pdf\"} 3\n"));
/// # Ok::<(), inferlay::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct MetricCounter(Arc<Series>);

/// A metric of the application that rises and falls, such as a number of sessions. Cheap to clone; a clone is the same
/// metric.
///
/// # Examples
/// ```
/// let server = inferlay::ServerHandle::builder().start()?;
/// let sessions = server.metric_gauge("app_sessions", "Sessions that are open", &[])?;
/// sessions.set(3.0);
/// sessions.increment(-1.0);
/// assert_eq!(sessions.value(), 2.0);
/// # Ok::<(), inferlay::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct MetricGauge(Arc<Series>);

/// A metric of the application that counts values by their size. Cheap to clone; a clone is the same metric.
///
/// # Examples
/// ```
/// let server = inferlay::ServerHandle::builder().start()?;
/// let lengths = server.metric_histogram("app_text_chars", "Lengths of texts", &[], &[100.0, 1000.0])?;
/// lengths.observe(250.0);
/// assert!(server.metrics_text().contains("app_text_chars_bucket{le=\"1000\"} 1\n"));
/// # Ok::<(), inferlay::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct MetricHistogram(Arc<Series>);

impl MetricCounter {
    /// Adds to it.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArg`] for what is below zero or no number.
    ///
    /// # Examples
    /// ```
    /// # let server = inferlay::ServerHandle::builder().start()?;
    /// let seconds = server.metric_counter("app_parse_seconds_total", "Time spent parsing", &[])?;
    /// seconds.increment(0.25)?;
    /// assert!(seconds.increment(-1.0).is_err());
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn increment(&self, by: f64) -> Result<(), Error> {
        if by.is_nan() || by < 0.0 {
            return Err(FALLS);
        }
        self.0.add(by);
        Ok(())
    }

    /// Its value.
    ///
    /// # Examples
    /// ```
    /// # let server = inferlay::ServerHandle::builder().start()?;
    /// let pages = server.metric_counter("app_pages_total", "Pages that were read", &[])?;
    /// // Whoever asks for the same name and labels gets the same metric.
    /// server.metric_counter("app_pages_total", "Pages that were read", &[])?.increment(2.0)?;
    /// assert_eq!(pages.value(), 2.0);
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn value(&self) -> f64 {
        self.0.value()
    }
}

impl MetricGauge {
    /// Sets it.
    ///
    /// # Examples
    /// ```
    /// # let server = inferlay::ServerHandle::builder().start()?;
    /// let temperature = server.metric_gauge("app_temperature_celsius", "Of the sensor", &[("sensor", "1")])?;
    /// temperature.set(21.5);
    /// assert_eq!(temperature.value(), 21.5);
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn set(&self, value: f64) {
        self.0.value.store(value.to_bits(), Ordering::Relaxed);
    }

    /// Adds to it, or takes away.
    ///
    /// # Examples
    /// ```
    /// # let server = inferlay::ServerHandle::builder().start()?;
    /// let open = server.metric_gauge("app_connections", "Connections that are open", &[])?;
    /// open.increment(1.0);
    /// open.increment(-1.0);
    /// assert_eq!(open.value(), 0.0);
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn increment(&self, by: f64) {
        self.0.add(by);
    }

    /// Its value.
    ///
    /// # Examples
    /// ```
    /// # let server = inferlay::ServerHandle::builder().start()?;
    /// assert_eq!(server.metric_gauge("app_sessions", "Sessions that are open", &[])?.value(), 0.0);
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn value(&self) -> f64 {
        self.0.value()
    }
}

impl MetricHistogram {
    /// Counts a value; one that is no number counts as larger than every bound.
    ///
    /// # Examples
    /// ```
    /// # let server = inferlay::ServerHandle::builder().start()?;
    /// let scores = server.metric_histogram("app_score", "Scores of answers", &[], &[0.5, 0.9])?;
    /// scores.observe(0.9);
    /// assert!(server.metrics_text().contains("app_score_bucket{le=\"0.9\"} 1\n"));
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn observe(&self, value: f64) {
        let series = &self.0;
        let bucket = series.bounds.iter().position(|bound| value <= *bound).unwrap_or(series.bounds.len());
        if let Some(count) = series.counts.get(bucket) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        series.add(value);
    }
}

/// What a metric is to be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Definition<'a> {
    pub(crate) name: &'a str,
    pub(crate) help: &'a str,
    pub(crate) labels: &'a [(&'a str, &'a str)],
}

/// One metric with its labels.
#[derive(Debug)]
struct Series {
    /// The bits of a floating-point number; of a histogram the sum.
    value: AtomicU64,
    bounds: Arc<[f64]>,
    /// Of a histogram: values by the first bound that they do not pass, and those that pass all.
    counts: Box<[AtomicU64]>,
}

/// The metrics of one name.
struct Family {
    kind: Kind,
    help: String,
    bounds: Arc<[f64]>,
    series: BTreeMap<Labels, Weak<Series>>,
}

/// The metrics of one server's application.
#[derive(Default)]
pub(crate) struct Registry {
    families: Mutex<BTreeMap<String, Family>>,
}

impl Registry {
    /// The counter of this name and these labels.
    ///
    /// # Errors
    /// As for [`Registry::histogram`].
    pub(crate) fn counter(&self, of: Definition<'_>) -> Result<MetricCounter, Error> {
        self.series(of, Kind::Counter, &[]).map(MetricCounter)
    }

    /// The gauge of this name and these labels.
    ///
    /// # Errors
    /// As for [`Registry::histogram`].
    pub(crate) fn gauge(&self, of: Definition<'_>) -> Result<MetricGauge, Error> {
        self.series(of, Kind::Gauge, &[]).map(MetricGauge)
    }

    /// The histogram of this name and these labels.
    ///
    /// # Errors
    /// `INVALID_ARG` for names that Prometheus does not read or that are the engine's, and for bounds that do not rise;
    /// `ALREADY_EXISTS` for a name that is another kind's, or has other bounds.
    pub(crate) fn histogram(&self, of: Definition<'_>, bounds: &[f64]) -> Result<MetricHistogram, Error> {
        let wrong = |found: String| Error::invalid_arg(format!("metric '{}': bounds: {found}", of.name));
        if bounds.is_empty() {
            return Err(wrong("found none, expected one or more".to_owned()));
        }
        if !bounds.iter().all(|bound| bound.is_finite()) || !bounds.is_sorted_by(|one, next| one < next) {
            return Err(wrong(format!("found {bounds:?}, expected finite numbers, each above the last")));
        }
        self.series(of, Kind::Histogram, bounds).map(MetricHistogram)
    }

    fn series(&self, of: Definition<'_>, kind: Kind, bounds: &[f64]) -> Result<Arc<Series>, Error> {
        check(of)?;
        let mut families = self.families.lock();
        families.retain(|_, family| family.has_series());
        if let Some(taken) = families.iter().find(|(name, family)| family.meets(name, of.name, kind)) {
            let message = format!("metric '{}': metric '{}' writes lines of the same name", of.name, taken.0);
            return Err(Error::new(ErrorKind::AlreadyExists, message));
        }
        let family = families.entry(of.name.to_owned()).or_insert_with(|| Family::new(of.help, kind, bounds));
        if family.kind != kind || *family.bounds != *bounds {
            let message = format!("metric '{}': it is there with another kind or other bounds", of.name);
            return Err(Error::new(ErrorKind::AlreadyExists, message));
        }
        Ok(family.series(Labels::new(of.labels.iter().copied())))
    }

    /// Writes every metric that somebody holds.
    pub(crate) fn write(&self, text: &mut Exposition) {
        let mut families = self.families.lock();
        families.retain(|_, family| family.has_series());
        for (name, family) in families.iter() {
            let mut lines = text.family(name, family.kind, &family.help);
            for (labels, series) in &family.series {
                match (series.upgrade(), family.kind) {
                    (Some(series), Kind::Histogram) => lines.distribution(labels, &series.distribution()),
                    (Some(series), _) => lines.sample(labels, series.value()),
                    (None, _) => {}
                }
            }
        }
    }
}

impl Family {
    fn new(help: &str, kind: Kind, bounds: &[f64]) -> Self {
        Family { kind, help: help.to_owned(), bounds: bounds.into(), series: BTreeMap::new() }
    }

    fn has_series(&mut self) -> bool {
        self.series.retain(|_, series| series.strong_count() > 0);
        !self.series.is_empty()
    }

    /// Whether a line of this family, which has this name, has the name of a line of another one.
    fn meets(&self, name: &str, other: &str, kind: Kind) -> bool {
        let is_line_of = |line: &str, name: &str, kind: Kind| {
            let rest = line.strip_prefix(name).unwrap_or("?");
            kind == Kind::Histogram && ["_bucket", "_sum", "_count"].contains(&rest)
        };
        is_line_of(other, name, self.kind) || is_line_of(name, other, kind)
    }

    fn series(&mut self, labels: Labels) -> Arc<Series> {
        let place = self.series.entry(labels).or_default();
        place.upgrade().unwrap_or_else(|| {
            let len = if self.kind == Kind::Histogram { self.bounds.len() + 1 } else { 0 };
            let counts = (0..len).map(|_| AtomicU64::new(0)).collect();
            let new = Arc::new(Series { value: AtomicU64::new(0), bounds: self.bounds.clone(), counts });
            *place = Arc::downgrade(&new);
            new
        })
    }
}

impl Series {
    fn value(&self) -> f64 {
        f64::from_bits(self.value.load(Ordering::Relaxed))
    }

    fn add(&self, by: f64) {
        let mut bits = self.value.load(Ordering::Relaxed);
        loop {
            let sum = (f64::from_bits(bits) + by).to_bits();
            match self.value.compare_exchange_weak(bits, sum, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return,
                Err(found) => bits = found,
            }
        }
    }

    fn distribution(&self) -> Distribution {
        let mut count = 0;
        let mut counts = self.counts.iter().map(|bucket| {
            count += bucket.load(Ordering::Relaxed);
            count
        });
        let bounds = self.bounds.iter().copied().zip(&mut counts).collect();
        let count = counts.next().unwrap_or(0);
        Distribution { bounds, count, sum: self.value() }
    }
}

/// Refuses names that cannot be shown.
fn check(of: Definition<'_>) -> Result<(), Error> {
    let wrong = |what: &str, found: &str, expected: &str| {
        Err(Error::invalid_arg(format!("{what}: found '{}', expected {expected}", found.escape_debug())))
    };
    if !is_metric_name(of.name) {
        return wrong("metric", of.name, "letters, digits, '_' and ':', no digit first");
    }
    if of.name.starts_with("nv_") || of.name.starts_with("inferlay_") {
        return wrong("metric", of.name, "a name without the engine's prefixes 'nv_' and 'inferlay_'");
    }
    for (index, (name, _)) in of.labels.iter().enumerate() {
        let place = || format!("metric '{}': label", of.name);
        if !is_label_name(name) || ["le", "quantile"].contains(name) {
            return wrong(&place(), name, "letters, digits and '_', no digit first, none of Prometheus's own");
        }
        if of.labels[..index].iter().any(|(other, _)| other == name) {
            return wrong(&place(), name, "each name once");
        }
    }
    Ok(())
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn of<'a>(name: &'a str, labels: &'a [(&'a str, &'a str)]) -> Definition<'a> {
        Definition { name, help: "What it is", labels }
    }

    fn text(registry: &Registry) -> String {
        let mut text = Exposition::default();
        registry.write(&mut text);
        text.into_text()
    }

    #[test]
    fn a_metric_is_shown_as_long_as_a_handle_of_it_exists() {
        let registry = Registry::default();
        let one = registry.counter(of("a_total", &[("x", "1")])).unwrap();
        let other = registry.counter(of("a_total", &[("x", "2")])).unwrap();
        one.increment(1.5).unwrap();
        registry.counter(of("a_total", &[("x", "1")])).unwrap().increment(1.0).unwrap();
        let head = "# HELP a_total What it is\n# TYPE a_total counter\n";
        assert_eq!(text(&registry), format!("{head}a_total{{x=\"1\"}} 2.5\na_total{{x=\"2\"}} 0\n"));
        drop(one);
        assert_eq!(text(&registry), format!("{head}a_total{{x=\"2\"}} 0\n"));
        drop(other);
        assert_eq!(text(&registry), "");
        // The name is free again, for another kind too.
        assert_eq!(registry.gauge(of("a_total", &[])).unwrap().value(), 0.0);
    }

    #[test]
    fn a_counter_never_falls() {
        let counter = Registry::default().counter(of("a", &[])).unwrap();
        for by in [-1.0, f64::NAN, f64::NEG_INFINITY] {
            assert_eq!(counter.increment(by).unwrap_err().kind(), ErrorKind::InvalidArg);
        }
        assert_eq!(counter.value(), 0.0);
    }

    #[test]
    fn a_histogram_counts_a_value_below_every_bound_that_it_does_not_pass() {
        let registry = Registry::default();
        let histogram = registry.histogram(of("a", &[("x", "y")]), &[1.0, 2.5]).unwrap();
        [0.5, 1.0, 2.0, 3.5].into_iter().for_each(|value| histogram.observe(value));
        let lines =
            ["a_bucket{x=\"y\",le=\"1\"} 2", "a_bucket{x=\"y\",le=\"2.5\"} 3", "a_bucket{x=\"y\",le=\"+Inf\"} 4"];
        let text = text(&registry);
        for line in lines.into_iter().chain(["a_sum{x=\"y\"} 7", "a_count{x=\"y\"} 4"]) {
            assert!(text.contains(&format!("{line}\n")), "{line} in\n{text}");
        }
    }

    #[test]
    fn what_cannot_be_shown_is_refused() {
        let registry = Registry::default();
        let _held = (registry.counter(of("a", &[])).unwrap(), registry.histogram(of("h", &[]), &[1.0]).unwrap());
        type Row = (&'static str, fn(&Registry) -> Result<(), Error>, ErrorKind);
        let rows: [Row; 11] = [
            ("no name", |r| r.counter(of("", &[])).map(drop), ErrorKind::InvalidArg),
            ("the engine's name", |r| r.gauge(of("nv_x", &[])).map(drop), ErrorKind::InvalidArg),
            ("a space", |r| r.gauge(of("x y", &[])).map(drop), ErrorKind::InvalidArg),
            ("a label twice", |r| r.gauge(of("x", &[("l", "1"), ("l", "2")])).map(drop), ErrorKind::InvalidArg),
            ("a label of its own", |r| r.gauge(of("x", &[("le", "1")])).map(drop), ErrorKind::InvalidArg),
            ("no bounds", |r| r.histogram(of("x", &[]), &[]).map(drop), ErrorKind::InvalidArg),
            ("falling bounds", |r| r.histogram(of("x", &[]), &[2.0, 1.0]).map(drop), ErrorKind::InvalidArg),
            ("endless bounds", |r| r.histogram(of("x", &[]), &[f64::INFINITY]).map(drop), ErrorKind::InvalidArg),
            ("another kind", |r| r.gauge(of("a", &[])).map(drop), ErrorKind::AlreadyExists),
            ("other bounds", |r| r.histogram(of("h", &[]), &[2.0]).map(drop), ErrorKind::AlreadyExists),
            ("a line of another", |r| r.counter(of("h_count", &[])).map(drop), ErrorKind::AlreadyExists),
        ];
        for (what, make, kind) in rows {
            assert_eq!(make(&registry).unwrap_err().kind(), kind, "{what}");
        }
        let _other = registry.gauge(of("g_sum", &[])).unwrap();
        assert_eq!(registry.histogram(of("g", &[]), &[1.0]).unwrap_err().kind(), ErrorKind::AlreadyExists);
    }

    #[test]
    fn many_threads_lose_no_step() {
        let registry = Registry::default();
        let (counter, histogram) =
            (registry.counter(of("a", &[])).unwrap(), registry.histogram(of("h", &[]), &[0.5]).unwrap());
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        counter.increment(1.0).unwrap();
                        histogram.observe(1.0);
                    }
                });
            }
        });
        let text = text(&registry);
        assert!(
            counter.value() == 4000.0 && text.contains("h_sum 4000\n") && text.contains("h_count 4000\n"),
            "{text}"
        );
    }
}
