//! What all instruments showed at one moment.

use super::{histogram::HistogramSnapshot, text};
use std::fmt;

/// How a metric behaves over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// A distribution.
    Histogram,
}

impl Kind {
    /// Lower-case name, as in the text formats.
    pub fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// What one series showed.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// A counter's total.
    Counter(u64),
    /// A gauge's value.
    Gauge(i64),
    /// A histogram's distribution.
    Histogram(HistogramSnapshot),
}

/// The names and values that tell the series of one metric apart, sorted by name.
///
/// `Display` writes them as in the text formats, `protocol="tcp",direction="accepted"`, escaped.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Labels(Box<[(&'static str, Box<str>)]>);

impl Labels {
    /// Each name with its value.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0.iter().map(|(name, value)| (*name, &**value))
    }

    /// The value of label `name`.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find_map(|(label, value)| (label == name).then_some(value))
    }
}

impl FromIterator<(&'static str, Box<str>)> for Labels {
    fn from_iter<I: IntoIterator<Item = (&'static str, Box<str>)>>(labels: I) -> Self {
        let mut labels: Box<[_]> = labels.into_iter().collect();
        labels.sort_unstable();
        Self(labels)
    }
}

impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        text::write_labels(f, self)
    }
}

/// One series of one metric.
#[non_exhaustive]
#[derive(Clone, Debug)]
pub struct Sample {
    /// Name of the metric; a counter's ends in `_total`.
    pub name: &'static str,
    /// What the metric means, in one sentence.
    pub help: &'static str,
    /// What tells this series from others of the same name.
    pub labels: Labels,
    /// What it showed.
    pub value: Value,
}

impl Sample {
    /// How the metric behaves over time.
    pub fn kind(&self) -> Kind {
        match self.value {
            Value::Counter(_) => Kind::Counter,
            Value::Gauge(_) => Kind::Gauge,
            Value::Histogram(_) => Kind::Histogram,
        }
    }
}

/// What all instruments of a [`Metrics`](super::Metrics) showed at one moment, sorted by name and labels.
#[derive(Clone, Debug, Default)]
pub struct Snapshot(Vec<Sample>);

impl Snapshot {
    pub(super) fn new(mut samples: Vec<Sample>) -> Self {
        samples.sort_by(|a, b| (a.name, &a.labels).cmp(&(b.name, &b.labels)));
        Self(samples)
    }

    /// Every series, those of one metric beside each other.
    pub fn samples(&self) -> &[Sample] {
        &self.0
    }

    /// The sum of a counter or gauge over the series that have all of `labels`; 0 if there are none.
    pub fn total(&self, name: &str, labels: &[(&str, &str)]) -> i64 {
        let chosen = |sample: &&Sample| {
            sample.name == name
                && labels.iter().all(|(label, value)| sample.labels.get(label) == Some(value))
        };
        let number = |sample: &Sample| match &sample.value {
            Value::Counter(count) => *count as i64,
            Value::Gauge(value) => *value,
            Value::Histogram(_) => 0,
        };
        self.0.iter().filter(chosen).map(number).sum()
    }

    /// The text that Prometheus reads, format 0.0.4 (`text/plain; version=0.0.4`).
    pub fn to_prometheus(&self) -> String {
        text::encode(&self.0, text::Format::Prometheus)
    }

    /// OpenMetrics 1.0 text (`application/openmetrics-text; version=1.0.0; charset=utf-8`).
    pub fn to_openmetrics(&self) -> String {
        text::encode(&self.0, text::Format::OpenMetrics)
    }
}
