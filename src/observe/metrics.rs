//! Metrics in the text format of Prometheus: the statistics of models, with Triton's names where it has them. Pure.

use super::ModelStatistics;
use std::fmt::Write;

/// What a server has now.
pub(crate) struct Gauges {
    pub(crate) worker_threads: u64,
    pub(crate) pool_bytes: u64,
}

/// A metric with labels `model` and `version`.
struct Metric {
    name: &'static str,
    help: &'static str,
    kind: &'static str,
    read: fn(&ModelStatistics) -> u64,
}

const METRICS: [Metric; 10] = [
    counter("nv_inference_request_success", "Requests that were answered well", |of| of.success.count),
    counter("nv_inference_count", "Inferences performed: rows of the requests that were answered well", |of| {
        of.inference_count
    }),
    counter("nv_inference_exec_count", "Batches that were executed", |of| of.execution_count),
    counter("inferlay_response_count", "Responses that were sent", |of| of.response_count),
    counter("nv_inference_request_duration_us", "Time from submission to answer, summed", |of| of.success.ns / 1000),
    counter("nv_inference_queue_duration_us", "Time from submission to execution, summed", |of| of.queue.ns / 1000),
    counter("nv_inference_compute_input_duration_us", "Time for gathering inputs, summed", |of| {
        of.compute_input.ns / 1000
    }),
    counter("nv_inference_compute_infer_duration_us", "Time for executing, summed", |of| of.compute_infer.ns / 1000),
    counter("nv_inference_compute_output_duration_us", "Time for handing out outputs, summed", |of| {
        of.compute_output.ns / 1000
    }),
    Metric {
        name: "nv_inference_pending_request_count",
        help: "Requests that wait now",
        kind: "gauge",
        read: |of| of.queue_len,
    },
];

const fn counter(name: &'static str, help: &'static str, read: fn(&ModelStatistics) -> u64) -> Metric {
    Metric { name, help, kind: "counter", read }
}

/// Why requests failed, as Triton names it.
type Reason = (&'static str, fn(&ModelStatistics) -> u64);

const FAILURE: &str = "nv_inference_request_failure";
const FAILURES: [Reason; 3] = [
    ("BACKEND", |of| of.fail.count),
    ("REJECTED", |of| of.refused_count + of.expired_count),
    ("CANCELED", |of| of.cancelled_count),
];

/// The metrics of these models.
pub(crate) fn metrics_text(models: &[ModelStatistics], gauges: &Gauges) -> String {
    let mut text = String::new();
    for metric in &METRICS {
        head(&mut text, metric.name, metric.help, metric.kind);
        for model in models {
            line(&mut text, metric.name, model, None, (metric.read)(model));
        }
    }
    head(&mut text, FAILURE, "Requests that were not answered well, by reason", "counter");
    for model in models {
        for (reason, read) in FAILURES {
            line(&mut text, FAILURE, model, Some(reason), read(model));
        }
    }
    for (name, help, value) in [
        ("inferlay_worker_threads", "Worker threads that run or sleep", gauges.worker_threads),
        ("inferlay_pool_bytes", "Bytes of host memory that the pools have taken", gauges.pool_bytes),
    ] {
        head(&mut text, name, help, "gauge");
        let _infallible = writeln!(text, "{name} {value}");
    }
    text
}

fn head(text: &mut String, name: &str, help: &str, kind: &str) {
    let _infallible = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
}

fn line(text: &mut String, name: &str, model: &ModelStatistics, reason: Option<&str>, value: u64) {
    let reason = reason.map(|reason| format!(",reason=\"{reason}\"")).unwrap_or_default();
    let (model, version) = (label(&model.name), model.version);
    let _infallible = writeln!(text, "{name}{{model=\"{model}\",version=\"{version}\"{reason}}} {value}");
}

/// The value of a label, with what the format reserves escaped.
fn label(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn every_metric_has_a_head_and_a_line_per_model() {
        let mut models = vec![ModelStatistics::default(), ModelStatistics::default()];
        (models[0].name, models[0].version, models[0].success.ns) = ("digits".to_owned(), 1, 1_234_567);
        (models[1].name, models[1].version, models[1].cancelled_count) = ("a \"b\" \\ c".to_owned(), 3, 7);
        let text = metrics_text(&models, &Gauges { worker_threads: 2, pool_bytes: 64 });
        for expected in [
            "# TYPE nv_inference_request_success counter\n",
            "nv_inference_request_duration_us{model=\"digits\",version=\"1\"} 1234\n",
            "nv_inference_request_failure{model=\"a \\\"b\\\" \\\\ c\",version=\"3\",reason=\"CANCELED\"} 7\n",
            "# TYPE nv_inference_pending_request_count gauge\n",
            "inferlay_worker_threads 2\n",
        ] {
            assert!(text.contains(expected), "{expected} in\n{text}");
        }
        assert_eq!(text.matches("model=\"digits\"").count(), METRICS.len() + FAILURES.len());
    }
}
