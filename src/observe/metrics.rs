//! The metrics of a server: what its models and the machine say, under Triton's names where it has them (`nv_*`), else
//! under our own (`inferlay_*`). Pure: values in, text out.
//!
//! A model's metrics are labelled with its name and version, and with the tags of its config. Each family that belongs to
//! something else than models has a file of its own.

use super::exposition::{Distribution, Exposition, Kind, Labels, is_label_name};
use super::gpu::{self, GpuMetrics};
use super::histogram::{Histogram, Spread};
use super::layout::{self, Layout};
use super::paging::{self, PagingCounts};
use super::{Cut, Durations, ModelStatistics};
use std::collections::BTreeMap;

/// What a model version has to show.
#[derive(Clone, Debug, Default)]
pub(crate) struct ModelMetrics {
    pub(crate) statistics: ModelStatistics,
    pub(crate) durations: Durations,
    /// From 0 to 1.
    pub(crate) saturation: f64,
    /// Labels beside name and version.
    pub(crate) tags: BTreeMap<String, String>,
    /// The most rows of a batch; 0 where the first dim is not a batch.
    pub(crate) rows_max: usize,
    pub(crate) is_decoupled: bool,
    pub(crate) load_ns: u64,
    /// The bounds of its histograms.
    pub(crate) layout: Layout,
}

/// The state of a model version.
#[derive(Clone, Debug)]
pub(crate) struct StateMetrics {
    pub(crate) model: String,
    pub(crate) version: u64,
    /// One of [`STATES`].
    pub(crate) state: String,
}

/// What a server has to show.
#[derive(Clone, Debug, Default)]
pub(crate) struct ServerMetrics {
    pub(crate) models: Vec<ModelMetrics>,
    pub(crate) states: Vec<StateMetrics>,
    pub(crate) paging: Vec<PagingCounts>,
    pub(crate) gpus: Vec<GpuMetrics>,
    pub(crate) worker_threads: u64,
    pub(crate) pool_bytes: u64,
    /// Of the container, else of the machine; `None` where that is not known.
    pub(crate) cpu_utilization: Option<f64>,
    pub(crate) memory: Option<Memory>,
}

/// Memory of the container, else of the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Memory {
    pub(crate) total: u64,
    pub(crate) used: u64,
}

/// The states that a model can be in, as labels.
const STATES: [&str; 5] = ["UNKNOWN", "LOADING", "READY", "UNAVAILABLE", "UNLOADING"];

/// Labels that a model's metrics have of their own.
const OWN_LABELS: [&str; 7] = ["model", "version", "reason", "state", "le", "quantile", "gpu_uuid"];

/// One value of a model.
struct Simple {
    name: &'static str,
    kind: Kind,
    help: &'static str,
    read: fn(&ModelMetrics) -> f64,
}

const fn simple(name: &'static str, kind: Kind, help: &'static str, read: fn(&ModelMetrics) -> f64) -> Simple {
    Simple { name, kind, help, read }
}

const SIMPLE: [Simple; 15] = {
    use Kind::{Counter, Gauge};
    [
        simple("nv_inference_request_success", Counter, "Requests that were answered well, of any batch size", |of| {
            of.statistics.success.count as f64
        }),
        simple(
            "nv_inference_count",
            Counter,
            "Inferences performed: rows of the requests that were answered well",
            |of| of.statistics.inference_count as f64,
        ),
        simple("nv_inference_exec_count", Counter, "Batches that were executed", |of| {
            of.statistics.execution_count as f64
        }),
        simple("nv_inference_request_duration_us", Counter, "Time from submission to answer, summed", |of| {
            us(of.statistics.success.ns)
        }),
        simple("nv_inference_queue_duration_us", Counter, "Time from submission to execution, summed", |of| {
            us(of.statistics.queue.ns)
        }),
        simple("nv_inference_compute_input_duration_us", Counter, "Time for gathering inputs, summed", |of| {
            us(of.statistics.compute_input.ns)
        }),
        simple("nv_inference_compute_infer_duration_us", Counter, "Time for executing, summed", |of| {
            us(of.statistics.compute_infer.ns)
        }),
        simple("nv_inference_compute_output_duration_us", Counter, "Time for handing out outputs, summed", |of| {
            us(of.statistics.compute_output.ns)
        }),
        simple("nv_inference_pending_request_count", Gauge, "Requests that wait for execution now", |of| {
            of.statistics.queue_len as f64
        }),
        simple("nv_model_load_duration_secs", Gauge, "Time that loading the model took", |of| of.load_ns as f64 / 1e9),
        simple(
            "inferlay_model_saturation",
            Gauge,
            "How near the model is to the most it can serve, from 0 to 1",
            |of| of.saturation,
        ),
        simple("inferlay_responses_total", Counter, "Responses that were sent", |of| {
            of.statistics.response_count as f64
        }),
        simple("inferlay_shadow_dropped_total", Counter, "Copies of requests that a shadow was not given", |of| {
            of.statistics.shadow_dropped_count as f64
        }),
        simple("inferlay_copied_bytes_total", Counter, "Bytes that were copied into and out of batches", |of| {
            of.statistics.bytes_copied as f64
        }),
        simple(
            "inferlay_last_execution_timestamp_seconds",
            Gauge,
            "When the last execution ended; 0 before the first",
            |of| of.statistics.last_inference as f64 / 1e3,
        ),
    ]
};

/// One histogram of a model.
struct Shown {
    name: &'static str,
    help: &'static str,
    read: fn(&ModelMetrics) -> Option<Distribution>,
}

const SPREADS: [Shown; 4] = [
    Shown {
        name: layout::REQUEST,
        help: "Time from submission to answer, of requests that were answered well",
        read: |of| Some(seconds(&of.durations.request, of.durations.own_request.as_ref())),
    },
    Shown {
        name: layout::QUEUE,
        help: "Time from submission to execution",
        read: |of| Some(seconds(&of.durations.queue, of.durations.own_queue.as_ref())),
    },
    Shown { name: layout::BATCH_ROWS, help: "Rows of the batches that were executed", read: batch_rows },
    Shown {
        name: layout::FIRST_RESPONSE,
        help: "Time from submission to the first response, of decoupled models",
        read: |of| of.durations.first_response.as_ref().filter(|_| of.is_decoupled).map(distribution),
    },
];

/// How many requests failed for a reason.
type Failure = fn(&ModelStatistics) -> u64;

/// Why requests were not answered well, as Triton names it.
const FAILURES: [(&str, Failure); 4] = [
    ("BACKEND", |of| of.fail.count),
    ("REJECTED", |of| of.refused_count + of.expired_count),
    ("CANCELED", |of| of.cancelled_count),
    ("OTHER", |of| of.other_count),
];

impl ServerMetrics {
    /// Writes all of it.
    pub(crate) fn write(&self, text: &mut Exposition) {
        let labels: Vec<_> = self.models.iter().map(ModelMetrics::labels).collect();
        let models = || labels.iter().zip(&self.models);
        for Simple { name, kind, help, read } in &SIMPLE {
            let mut family = text.family(name, *kind, help);
            models().for_each(|(labels, model)| family.sample(labels, read(model)));
        }
        let mut family = text.family(
            "nv_inference_request_failure",
            Kind::Counter,
            "Requests that were not answered well, by reason",
        );
        for (labels, model) in models() {
            for (reason, read) in FAILURES {
                family.sample(&labels.with("reason", reason), read(&model.statistics) as f64);
            }
        }
        let mut family = text.family("inferlay_batch_cuts_total", Kind::Counter, "Batches by why they were closed");
        for (labels, model) in models() {
            // All of them from the start: a counter that appears later seems to begin there.
            for reason in Cut::ALL.map(Cut::name) {
                let count = model.statistics.cuts.get(reason).copied().unwrap_or(0);
                family.sample(&labels.with("reason", reason), count as f64);
            }
        }
        for Shown { name, help, read } in &SPREADS {
            let mut family = text.family(name, Kind::Histogram, help);
            for (labels, model) in models() {
                read(model).iter().for_each(|spread| family.distribution(labels, spread));
            }
        }
        self.write_states(text);
        paging::write(text, &self.paging);
        gpu::write(text, &self.gpus);
        self.write_server(text);
    }

    fn write_states(&self, text: &mut Exposition) {
        let help = "Whether the model is in this state: 1 for the one it is in, 0 for the others";
        let mut family = text.family("inferlay_model_state", Kind::Gauge, help);
        for of in &self.states {
            let labels = Labels::new([("model", &of.model[..]), ("version", &of.version.to_string())]);
            for state in STATES {
                family.sample(&labels.with("state", state), f64::from(u8::from(of.state == state)));
            }
        }
    }

    fn write_server(&self, text: &mut Exposition) {
        let most = self.models.iter().map(|model| model.saturation).fold(0.0, f64::max);
        let mut gauge = |name: &str, help: &str, value: Option<f64>| {
            if let Some(value) = value {
                text.family(name, Kind::Gauge, help).sample(&Labels::default(), value);
            }
        };
        gauge(
            "inferlay_saturation",
            "The saturation of the model that is nearest to the most it can serve",
            Some(most),
        );
        gauge("inferlay_worker_threads", "Worker threads that run or sleep", Some(self.worker_threads as f64));
        gauge("inferlay_pool_bytes", "Bytes of host memory that the pools have taken", Some(self.pool_bytes as f64));
        let (total, used) = (self.memory.map(|of| of.total as f64), self.memory.map(|of| of.used as f64));
        let cpu = "Share of the processors in use since the last look, of the container or machine, from 0 to 1";
        gauge("nv_cpu_utilization", cpu, self.cpu_utilization);
        gauge("nv_cpu_memory_total_bytes", "Memory that the container, else the machine, may use", total);
        gauge("nv_cpu_memory_used_bytes", "Memory that the container, else the machine, uses", used);
    }
}

impl ModelMetrics {
    fn labels(&self) -> Labels {
        let version = self.statistics.version.to_string();
        let own = [("model", &self.statistics.name[..]), ("version", &version)];
        let is_free = |name: &str| is_label_name(name) && !OWN_LABELS.contains(&name);
        let tags = self.tags.iter().filter(|(name, _)| is_free(name)).map(|(name, value)| (&name[..], &value[..]));
        Labels::new(own.into_iter().chain(tags))
    }
}

fn distribution(spread: &Spread) -> Distribution {
    let (bounds, count) = spread.cumulative();
    Distribution { bounds, count, sum: spread.sum() }
}

/// Durations by the bounds that a config chose, else by those of all.
fn seconds(all: &Histogram, own: Option<&Spread>) -> Distribution {
    let (bounds, count) = all.cumulative();
    own.map_or_else(|| Distribution { bounds, count, sum: all.seconds() }, distribution)
}

/// Batches by their rows, with the powers of two as bounds where a config chose none.
fn batch_rows(of: &ModelMetrics) -> Option<Distribution> {
    let sizes = &of.statistics.batch_sizes;
    let last = of.rows_max.max(1).next_power_of_two().ilog2();
    let below = |bound: f64| {
        let sizes = sizes.iter().take_while(|(rows, _)| **rows as f64 <= bound);
        (bound, sizes.map(|(_, count)| count).sum::<u64>())
    };
    let bounds = match of.layout.batch_rows() {
        Some(own) => own.iter().copied().map(below).collect(),
        None => (0..=last).map(|bits| below(f64::from(bits).exp2())).collect(),
    };
    let sum = sizes.iter().map(|(rows, count)| *rows as f64 * *count as f64).sum();
    Some(Distribution { bounds, count: sizes.values().sum(), sum })
}

fn us(ns: u64) -> f64 {
    (ns / 1000) as f64
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn model(name: &str) -> ModelMetrics {
        let mut of = ModelMetrics { rows_max: 6, saturation: 0.25, load_ns: 1_500_000_000, ..ModelMetrics::default() };
        (of.statistics.name, of.statistics.version) = (name.to_owned(), 3);
        of
    }

    fn text(server: &ServerMetrics) -> String {
        let mut text = Exposition::default();
        server.write(&mut text);
        text.into_text()
    }

    #[track_caller]
    fn check(server: &ServerMetrics, expected: &[&str]) {
        let text = text(server);
        expected.iter().for_each(|line| assert!(text.contains(&format!("{line}\n")), "{line} in\n{text}"));
    }

    #[test]
    fn every_value_of_a_model_stands_under_its_name_and_labels() {
        let mut of = model("digits");
        of.tags = [("team", "vision \"a\""), ("model", "stolen"), ("no-label", "x")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        (of.statistics.success.ns, of.statistics.other_count) = (1_234_567, 7);
        of.statistics.shadow_dropped_count = 9;
        (of.statistics.refused_count, of.statistics.expired_count) = (1, 2);
        of.statistics.batch_sizes = [(1, 5), (3, 2), (6, 1)].into();
        of.statistics.cuts = [("full", 4)].into();
        of.durations.request.add(5_000);
        let labels = "model=\"digits\",version=\"3\",team=\"vision \\\"a\\\"\"";
        let expected = [
            ("nv_inference_request_duration_us", "", "1234"),
            ("nv_inference_request_failure", ",reason=\"OTHER\"", "7"),
            ("nv_inference_request_failure", ",reason=\"REJECTED\"", "3"),
            ("nv_model_load_duration_secs", "", "1.5"),
            ("inferlay_model_saturation", "", "0.25"),
            ("inferlay_shadow_dropped_total", "", "9"),
            ("inferlay_batch_cuts_total", ",reason=\"full\"", "4"),
            ("inferlay_batch_rows_bucket", ",le=\"2\"", "5"),
            ("inferlay_batch_rows_bucket", ",le=\"8\"", "8"),
            ("inferlay_batch_rows_sum", "", "17"),
            ("inferlay_request_duration_seconds_bucket", ",le=\"0.000008192\"", "1"),
            ("inferlay_request_duration_seconds_sum", "", "0.000005"),
        ];
        let lines = expected.map(|(name, more, value)| format!("{name}{{{labels}{more}}} {value}"));
        let server = ServerMetrics { models: vec![of], ..ServerMetrics::default() };
        check(&server, &lines.each_ref().map(String::as_str));
        assert!(!text(&server).contains("first_response_histogram_ms_bucket"), "it is of decoupled models");
    }

    #[test]
    fn a_decoupled_model_shows_the_time_to_its_first_response() {
        let mut of = ModelMetrics { is_decoupled: true, ..model("words") };
        let mut first = of.layout.first_response();
        first.add(30_000_000);
        of.durations.first_response = Some(first);
        let server = ServerMetrics { models: vec![of], ..ServerMetrics::default() };
        let name = "nv_inference_first_response_histogram_ms";
        let lines = [("20", 0), ("100", 1)]
            .map(|(bound, count)| format!("{name}_bucket{{model=\"words\",version=\"3\",le=\"{bound}\"}} {count}"));
        check(&server, &lines.each_ref().map(String::as_str));
        check(&server, &[&format!("{name}_sum{{model=\"words\",version=\"3\"}} 30")]);
    }

    #[test]
    fn histograms_have_the_bounds_that_a_config_chose() {
        let mut of = model("words");
        for (family, bounds) in
            [(layout::BATCH_ROWS, &[2.0, 2.5, 4.0][..]), (layout::REQUEST, &[0.5]), ("other", &[1.0])]
        {
            of.layout.choose(family, bounds);
        }
        of.statistics.batch_sizes = [(1, 5), (3, 2), (6, 1)].into();
        let mut own = of.layout.request().unwrap();
        own.add(500_000_000);
        (of.durations.own_request, of.durations.own_queue) = (Some(own), of.layout.queue());
        let labels = "model=\"words\",version=\"3\"";
        let lines = [
            format!("inferlay_batch_rows_bucket{{{labels},le=\"2.5\"}} 5"),
            format!("inferlay_batch_rows_bucket{{{labels},le=\"4\"}} 7"),
            format!("inferlay_request_duration_seconds_bucket{{{labels},le=\"0.5\"}} 1"),
            format!("inferlay_request_duration_seconds_sum{{{labels}}} 0.5"),
            format!("inferlay_queue_duration_seconds_bucket{{{labels},le=\"0.000004096\"}} 0"),
        ];
        let server = ServerMetrics { models: vec![of], ..ServerMetrics::default() };
        check(&server, &lines.each_ref().map(String::as_str));
        assert_eq!(text(&server).matches("inferlay_request_duration_seconds_bucket").count(), 2);
    }

    #[test]
    fn the_server_is_as_saturated_as_its_most_saturated_model() {
        let busy = ModelMetrics { saturation: 0.75, ..model("b") };
        check(
            &ServerMetrics { models: vec![model("a"), busy], ..ServerMetrics::default() },
            &["inferlay_saturation 0.75"],
        );
        check(&ServerMetrics::default(), &["inferlay_saturation 0", "# TYPE nv_inference_count counter"]);
    }

    #[test]
    fn a_model_is_in_one_state() {
        let of = StateMetrics { model: "a".to_owned(), version: 2, state: "READY".to_owned() };
        let server = ServerMetrics { states: vec![of], ..ServerMetrics::default() };
        let line =
            |state, value| format!("inferlay_model_state{{model=\"a\",version=\"2\",state=\"{state}\"}} {value}");
        check(&server, &[&line("READY", 1), &line("LOADING", 0), &line("UNAVAILABLE", 0)]);
    }

    #[test]
    fn what_is_not_known_is_not_shown() {
        let (silent, told) = (
            ServerMetrics::default(),
            ServerMetrics {
                paging: vec![PagingCounts {
                    device: "host".to_owned(),
                    loads: 3,
                    bytes_max: 64,
                    ..PagingCounts::default()
                }],
                cpu_utilization: Some(0.5),
                memory: Some(Memory { total: 1 << 30, used: 1 << 20 }),
                ..ServerMetrics::default()
            },
        );
        let silence = text(&silent);
        assert!(["nv_cpu", "inferlay_paging", "nv_gpu"].iter().all(|name| !silence.contains(name)), "{silence}");
        check(
            &told,
            &["nv_cpu_utilization 0.5", "nv_cpu_memory_total_bytes 1073741824", "nv_cpu_memory_used_bytes 1048576"],
        );
    }
}
