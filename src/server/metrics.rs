//! The metrics of a server: gathers what its models say, reads what the machine says, and holds what the application
//! defines. Nothing listens: whoever has a port serves the text.
//!
//! Models are told of nothing while they run: they are asked when somebody wants the text. Files of the system are read
//! then too. Any thread.

use super::ServerHandle;
use super::served::Served;
use super::status::ModelStatus;
use crate::observe::{
    CONTENT_TYPE, CpuTime, Definition, Exposition, GpuMetrics, MetricCounter, MetricGauge, MetricHistogram,
    PagingCounts, Registry, ServerMetrics, StateMetrics, cpu_time, memory,
};
use crate::sync::{Clock, Mutex};
use inferlay_backend_sdk::Error;

/// Looks at the processors that are nearer than this, in nanoseconds, give the same share, so that a second reader does
/// not disturb the first.
const CPU_LOOK_NS_MIN: u64 = 1_000_000_000;

/// What a server keeps for its metrics.
#[derive(Default)]
pub(super) struct Metrics {
    registry: Registry,
    cpu: Mutex<Cpu>,
}

/// The last look at the processors.
#[derive(Default)]
struct Cpu {
    before: Option<(u64, CpuTime)>,
    utilization: Option<f64>,
}

impl Cpu {
    /// The share in use since the last look that was long enough ago; `None` at the first.
    fn look(&mut self, at: u64, now: Option<CpuTime>) -> Option<f64> {
        let is_due = self.before.is_none_or(|(before, _)| at.saturating_sub(before) >= CPU_LOOK_NS_MIN);
        if let Some(now) = now.filter(|_| is_due) {
            self.utilization = self.before.and_then(|(_, before)| now.utilization(&before));
            self.before = Some((at, now));
        }
        self.utilization
    }
}

impl ServerHandle {
    /// The type of [`ServerHandle::metrics_text`], for the header `Content-Type` of whoever serves it.
    ///
    /// # Examples
    /// ```
    /// assert!(inferlay::ServerHandle::METRICS_CONTENT_TYPE.starts_with("text/plain; version=0.0.4"));
    /// ```
    pub const METRICS_CONTENT_TYPE: &'static str = CONTENT_TYPE;

    /// Metrics in the text format of Prometheus: what every model that serves has done and how it is, under Triton's names
    /// where it has them (`nv_*`), else under `inferlay_*`; what the process may use of the machine; and the metrics of
    /// the application. Nothing listens: serve the text from a port of your own, with
    /// [`ServerHandle::METRICS_CONTENT_TYPE`].
    ///
    /// # Examples
    /// ```
    /// # use inferlay::{Request, ServerHandle, Tensor};
    /// # let config = b"{backend: 'null', input: {name: x, data_type: FP32, dims: 2}}".to_vec();
    /// # let server = ServerHandle::builder().model_in_memory("echo", [("config.yaml", config)]).strict().start()?;
    /// // The model's outputs are its inputs.
    /// let x = Tensor::from_vec(vec![1.0f32, 2.0], [2])?;
    /// server.infer("echo", Request::new().input("x", x))?;
    /// let text = server.metrics_text();
    /// assert!(text.contains("# TYPE nv_inference_count counter\n"));
    /// assert!(text.contains("nv_inference_count{model=\"echo\",version=\"1\"} 1\n"));
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn metrics_text(&self) -> String {
        let (served, states) = (self.inner.catalog.served(), self.models());
        let Metrics { registry, cpu } = &self.inner.metrics;
        // A clock of a test stands still; the processors do not.
        let now = Clock::System.now();
        let server = ServerMetrics {
            models: served.iter().map(|Served { lane, .. }| lane.metrics()).collect(),
            states: states.into_iter().map(state).collect(),
            paging: self.paging_counts(),
            gpus: self.gpus(),
            worker_threads: self.workers_len() as u64,
            pool_bytes: self.pool_bytes() as u64,
            cpu_utilization: cpu.lock().look(now, cpu_time(&read, now)),
            memory: memory(&read),
        };
        let mut text = Exposition::default();
        server.write(&mut text);
        registry.write(&mut text);
        text.into_text()
    }

    /// A counter of the application's own, shown beside the engine's metrics as long as the handle or a clone of it exists.
    /// Whoever asks for the same name and labels gets the same one.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArg`](crate::ErrorKind::InvalidArg) for names that Prometheus does not read, and for the
    /// engine's (`nv_`, `inferlay_`); [`ErrorKind::AlreadyExists`](crate::ErrorKind::AlreadyExists) for a name that is
    /// another kind's.
    ///
    /// # Examples
    /// ```
    /// # let server = inferlay::ServerHandle::builder().start()?;
    /// let pages = server.metric_counter("app_pages_total", "Pages that were read", &[("format", "pdf")])?;
    /// pages.increment(1.0)?;
    /// assert!(server.metrics_text().contains("app_pages_total{format=\"pdf\"} 1\n"));
    /// assert!(server.metric_counter("nv_pages_total", "The prefix is the engine's", &[]).is_err());
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn metric_counter(&self, name: &str, help: &str, labels: &[(&str, &str)]) -> Result<MetricCounter, Error> {
        self.inner.metrics.registry.counter(Definition { name, help, labels })
    }

    /// A gauge of the application's own; see [`ServerHandle::metric_counter`].
    ///
    /// # Errors
    /// As for [`ServerHandle::metric_counter`].
    ///
    /// # Examples
    /// ```
    /// # let server = inferlay::ServerHandle::builder().start()?;
    /// let sessions = server.metric_gauge("app_sessions", "Sessions that are open", &[])?;
    /// sessions.set(3.0);
    /// assert!(server.metrics_text().contains("app_sessions 3\n"));
    /// drop(sessions);
    /// assert!(!server.metrics_text().contains("app_sessions"));
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn metric_gauge(&self, name: &str, help: &str, labels: &[(&str, &str)]) -> Result<MetricGauge, Error> {
        self.inner.metrics.registry.gauge(Definition { name, help, labels })
    }

    /// A histogram of the application's own, with these upper bounds; see [`ServerHandle::metric_counter`].
    ///
    /// # Errors
    /// As for [`ServerHandle::metric_counter`], and [`ErrorKind::InvalidArg`](crate::ErrorKind::InvalidArg) for bounds that
    /// are none, not finite or do not rise.
    ///
    /// # Examples
    /// ```
    /// # let server = inferlay::ServerHandle::builder().start()?;
    /// let parsing = server.metric_histogram("app_parse_seconds", "Time for parsing", &[], &[0.001, 0.01, 0.1])?;
    /// parsing.observe(0.004);
    /// assert!(server.metrics_text().contains("app_parse_seconds_bucket{le=\"0.01\"} 1\n"));
    /// # Ok::<(), inferlay::Error>(())
    /// ```
    pub fn metric_histogram(
        &self,
        name: &str,
        help: &str,
        labels: &[(&str, &str)],
        bounds: &[f64],
    ) -> Result<MetricHistogram, Error> {
        self.inner.metrics.registry.histogram(Definition { name, help, labels }, bounds)
    }

    /// What paging has done, by device; nothing of a server that does not page.
    fn paging_counts(&self) -> Vec<PagingCounts> {
        let told = self.inner.paging();
        let host = PagingCounts {
            device: "host".to_owned(),
            loads: told.loads,
            evictions: told.evictions,
            thrashes: told.thrashes,
            exhausted: told.exhausted,
            resident: told.resident_count,
            bytes_used: told.used_bytes,
            bytes_max: told.budget_bytes,
        };
        if told.budget_bytes > 0 { vec![host] } else { Vec::new() }
    }

    /// What the GPUs say; this build serves on CPUs only.
    fn gpus(&self) -> Vec<GpuMetrics> {
        Vec::new()
    }
}

/// The state under the name that it has in the index.
fn state(status: ModelStatus) -> StateMetrics {
    let state = serde_json::to_value(status.state).unwrap_or_default();
    StateMetrics { model: status.name, version: status.version, state: state.as_str().unwrap_or_default().to_owned() }
}

fn read(path: &str) -> Option<String> {
    std::fs::read_to_string(path).ok()
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn two_readers_see_the_same_share_of_the_processors() {
        let reading = |ticks: u64| {
            let text = format!("cpu  {ticks} 0 0 {ticks} 0 0 0 0 0 0\n");
            cpu_time(&|path: &str| (path == "/proc/stat").then(|| text.clone()), 0)
        };
        let (mut cpu, s) = (Cpu::default(), CPU_LOOK_NS_MIN);
        assert_eq!(cpu.look(5 * s, reading(100)), None);
        assert_eq!(cpu.look(6 * s, reading(200)), Some(0.5));
        assert_eq!(cpu.look(6 * s + 1, reading(200)), Some(0.5));
        assert_eq!(cpu.look(7 * s, None), Some(0.5));
        // Nothing was told since: it is not known, and told again by the next look.
        assert_eq!(cpu.look(8 * s, reading(200)), None);
    }
}
