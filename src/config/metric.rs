//! How metrics of one model are gathered. Pure data, any thread.

/// How one metric of a model is gathered: `metric_control` within `model_metrics` of a config.
///
/// # Examples
/// ```
/// let text = r#"
/// model_metrics {
///   metric_control {
///     metric_identifier { family: "nv_inference_first_response_histogram_ms" }
///     histogram_options { buckets: [ 100, 500.5 ] }
///   }
/// }"#;
/// let metric = inferlay::config::parse("config.pbtxt", text)?.metrics.remove(0);
/// assert_eq!(metric.family, "nv_inference_first_response_histogram_ms");
/// assert_eq!(metric.buckets, [100.0, 500.5]);
/// # Ok::<(), inferlay::config::ConfigErrors>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct MetricConfig {
    /// The name of the metric.
    pub family: String,
    /// The upper bounds of its histogram, rising; empty: the default.
    pub buckets: Vec<f64>,
}
