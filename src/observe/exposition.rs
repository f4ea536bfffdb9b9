//! The text format of Prometheus: families with a head, samples with labels, values. Pure; the only place that knows its
//! grammar.

use std::fmt::Write;

/// What the text is, for the header `Content-Type` of whoever serves it.
pub(crate) const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

/// The kind of a family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Counter,
    Gauge,
    Histogram,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        }
    }
}

/// Labels as they stand between the braces.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Labels(String);

impl Labels {
    /// Labels of these names and values, in this order.
    pub(crate) fn new<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> Self {
        let mut labels = Labels::default();
        pairs.into_iter().for_each(|(name, value)| labels.push(name, value));
        labels
    }

    /// These and one more.
    pub(crate) fn with(&self, name: &str, value: &str) -> Self {
        let mut labels = self.clone();
        labels.push(name, value);
        labels
    }

    fn push(&mut self, name: &str, value: &str) {
        let comma = if self.0.is_empty() { "" } else { "," };
        let _infallible = write!(self.0, "{comma}{name}=\"{}\"", escaped(value).replace('"', "\\\""));
    }
}

/// A histogram as it is written: the bounds with how many values did not pass them, how many values there were, and their
/// sum.
pub(crate) struct Distribution {
    pub(crate) bounds: Vec<(f64, u64)>,
    pub(crate) count: u64,
    pub(crate) sum: f64,
}

/// A text under construction.
#[derive(Default)]
pub(crate) struct Exposition(String);

impl Exposition {
    /// Begins a family: its samples follow.
    pub(crate) fn family<'a>(&'a mut self, name: &'a str, kind: Kind, help: &str) -> Family<'a> {
        let (text, help, kind) = (&mut self.0, escaped(help), kind.name());
        let _infallible = writeln!(text, "# HELP {name} {help}\n# TYPE {name} {kind}");
        Family { text, name }
    }

    pub(crate) fn into_text(self) -> String {
        self.0
    }
}

/// A family whose samples are being written.
pub(crate) struct Family<'a> {
    text: &'a mut String,
    name: &'a str,
}

impl Family<'_> {
    /// A counter or gauge.
    pub(crate) fn sample(&mut self, labels: &Labels, value: f64) {
        self.line("", labels, value);
    }

    /// A histogram.
    pub(crate) fn distribution(&mut self, labels: &Labels, of: &Distribution) {
        for (bound, count) in &of.bounds {
            self.line("_bucket", &labels.with("le", &number(*bound)), *count as f64);
        }
        self.line("_bucket", &labels.with("le", "+Inf"), of.count as f64);
        self.line("_sum", labels, of.sum);
        self.line("_count", labels, of.count as f64);
    }

    fn line(&mut self, suffix: &str, Labels(labels): &Labels, value: f64) {
        let (name, value) = (self.name, number(value));
        let _infallible = match labels.is_empty() {
            true => writeln!(self.text, "{name}{suffix} {value}"),
            false => writeln!(self.text, "{name}{suffix}{{{labels}}} {value}"),
        };
    }
}

/// Whether a metric may have this name.
pub(crate) fn is_metric_name(name: &str) -> bool {
    is_name(name, |c| c == ':')
}

/// Whether a label may have this name: what starts with two underscores is Prometheus's own.
pub(crate) fn is_label_name(name: &str) -> bool {
    is_name(name, |_| false) && !name.starts_with("__")
}

fn is_name(name: &str, also: fn(char) -> bool) -> bool {
    let is_letter = |c: char| c.is_ascii_alphabetic() || c == '_' || also(c);
    name.starts_with(is_letter) && name.chars().all(|c| is_letter(c) || c.is_ascii_digit())
}

/// What the format reserves in every text, escaped. A NUL would end the text for readers in C.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\n', "\\n").replace('\0', "\u{fffd}")
}

fn number(value: f64) -> String {
    if value.is_infinite() {
        return if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned();
    }
    // The sum of nothing is -0.
    (value + 0.0).to_string()
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn samples_stand_below_the_head_of_their_family() {
        let mut text = Exposition::default();
        text.family("a_total", Kind::Counter, "Has a \\ and\na \"line\"").sample(&Labels::default(), 3.0);
        let labels = Labels::new([("model", "a \"b\" \\ c\nd"), ("version", "1")]);
        text.family("b", Kind::Gauge, "Of b").sample(&labels, f64::NAN);
        let of = Distribution { bounds: vec![(0.000004096, 1), (2.5, 3)], count: 4, sum: 1e3 };
        text.family("c", Kind::Histogram, "Of c").distribution(&Labels::new([("x", "")]), &of);
        let expected = "# HELP a_total Has a \\\\ and\\na \"line\"\n# TYPE a_total counter\na_total 3\n\
            # HELP b Of b\n# TYPE b gauge\nb{model=\"a \\\"b\\\" \\\\ c\\nd\",version=\"1\"} NaN\n\
            # HELP c Of c\n# TYPE c histogram\nc_bucket{x=\"\",le=\"0.000004096\"} 1\nc_bucket{x=\"\",le=\"2.5\"} 3\n\
            c_bucket{x=\"\",le=\"+Inf\"} 4\nc_sum{x=\"\"} 1000\nc_count{x=\"\"} 4\n";
        assert_eq!(text.into_text(), expected);
    }

    #[test]
    fn numbers_are_those_of_the_format() {
        for (value, expected) in
            [(0.0, "0"), (-0.0, "0"), (1e21, "1000000000000000000000"), (-0.5, "-0.5"), (1e-9, "0.000000001")]
        {
            assert_eq!(number(value), expected);
        }
        assert_eq!([number(f64::INFINITY), number(f64::NEG_INFINITY)], ["+Inf", "-Inf"]);
    }

    #[test]
    fn names_are_those_that_prometheus_reads() {
        for (name, is_metric, is_label) in [
            ("requests_total", true, true),
            ("a:b", true, false),
            ("_a1", true, true),
            ("__a", true, false),
            ("1a", false, false),
            ("a-b", false, false),
            ("größe", false, false),
            ("", false, false),
        ] {
            assert_eq!((is_metric_name(name), is_label_name(name)), (is_metric, is_label), "{name}");
        }
    }
}
