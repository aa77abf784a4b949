//! Writes samples as Prometheus 0.0.4 and as OpenMetrics 1.0 text. Total: no sample can break a line.

use super::{
    histogram::HistogramSnapshot,
    snapshot::{Kind, Labels, Sample, Value},
};
use std::fmt::{self, Write};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Prometheus,
    OpenMetrics,
}

/// Writes `samples`, those of one metric beside each other.
pub(super) fn encode(samples: &[Sample], format: Format) -> String {
    let mut text = String::new();
    for metric in samples.chunk_by(|a, b| a.name == b.name) {
        write_metric(&mut text, metric, format).expect("writing to a String cannot fail");
    }
    if format == Format::OpenMetrics {
        text.push_str("# EOF\n");
    }
    text
}

/// Writes `name="value",…` with values escaped, without braces.
pub(super) fn write_labels(out: &mut impl Write, labels: &Labels) -> fmt::Result {
    let mut comma = "";
    for (name, value) in labels.iter() {
        write!(out, "{comma}{}=\"{}\"", Name(name), Escaped { text: value, quote: true })?;
        comma = ",";
    }
    Ok(())
}

fn write_metric(out: &mut String, metric: &[Sample], format: Format) -> fmt::Result {
    let Some(first) = metric.first() else { return Ok(()) };
    let kind = first.kind();
    let base = match kind {
        Kind::Counter => first.name.strip_suffix("_total").unwrap_or(first.name),
        Kind::Gauge | Kind::Histogram => first.name,
    };
    // OpenMetrics names the family, Prometheus the sample; they differ for counters.
    let suffix = if kind == Kind::Counter { "_total" } else { "" };
    let head_suffix = if format == Format::Prometheus { suffix } else { "" };
    let head = format_args!("{}{head_suffix}", Name(base)).to_string();

    let help = Escaped { text: first.help, quote: format == Format::OpenMetrics };
    writeln!(out, "# HELP {head} {help}")?;
    writeln!(out, "# TYPE {head} {}", kind.name())?;
    let unit = ["seconds", "bytes"]
        .into_iter()
        .find(|unit| base.strip_suffix(unit).is_some_and(|rest| rest.ends_with('_')));
    if let (Format::OpenMetrics, Some(unit)) = (format, unit) {
        writeln!(out, "# UNIT {head} {unit}")?;
    }
    for Sample { labels, value, .. } in metric {
        let line = Line { base, labels };
        match value {
            Value::Counter(count) => line.write(out, suffix, None, count)?,
            Value::Gauge(value) => line.write(out, "", None, value)?,
            Value::Histogram(histogram) => line.write_histogram(out, histogram)?,
        }
    }
    Ok(())
}

/// What the lines of one sample have in common.
struct Line<'a> {
    base: &'a str,
    labels: &'a Labels,
}

impl Line<'_> {
    fn write(
        &self,
        out: &mut String,
        suffix: &str,
        bound: Option<f64>,
        value: impl fmt::Display,
    ) -> fmt::Result {
        write!(out, "{}{suffix}", Name(self.base))?;
        let labelled = self.labels.iter().next().is_some();
        if labelled || bound.is_some() {
            out.push('{');
            write_labels(out, self.labels)?;
            if let Some(bound) = bound {
                write!(out, "{}le=\"{}\"", if labelled { "," } else { "" }, Bound(bound))?;
            }
            out.push('}');
        }
        writeln!(out, " {value}")
    }

    fn write_histogram(&self, out: &mut String, histogram: &HistogramSnapshot) -> fmt::Result {
        for (bound, count) in histogram.cumulative() {
            self.write(out, "_bucket", Some(bound), count)?;
        }
        self.write(out, "_sum", None, histogram.sum())?;
        self.write(out, "_count", None, histogram.count())
    }
}

/// An upper bound as both formats want it: always with a decimal point, infinity as `+Inf`.
struct Bound(f64);

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_infinite() { f.write_str("+Inf") } else { write!(f, "{:?}", self.0) }
    }
}

/// A name with every character that a name must not have replaced by `_`.
struct Name<'a>(&'a str);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.starts_with(|first: char| first.is_ascii_digit()) || self.0.is_empty() {
            f.write_char('_')?;
        }
        let allowed = |c: &char| c.is_ascii_alphanumeric() || *c == '_';
        self.0.chars().try_for_each(|c| f.write_char(Some(c).filter(allowed).unwrap_or('_')))
    }
}

/// Text with backslash and line feed escaped, and the quotation mark where it would end a value.
struct Escaped<'a> {
    text: &'a str,
    quote: bool,
}

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.text.chars() {
            match c {
                '\\' => f.write_str("\\\\")?,
                '\n' => f.write_str("\\n")?,
                '"' if self.quote => f.write_str("\\\"")?,
                other => f.write_char(other)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::metrics::Metrics;
    use proptest::prelude::*;

    #[test]
    fn both_formats_read_as_written_here() {
        let metrics = Metrics::new();
        let closed =
            |reason| metrics.counter("x_closed_total", "Says \"why\".", &[("reason", reason)]);
        closed("reset").add(2);
        closed("a\\b\"c\nd").add(1);
        metrics.gauge("x_active", "Now.", &[]).set(-3);
        metrics.counter("x_sent_bytes_total", "Sent.", &[]).add(7);

        let prometheus = concat!(
            "# HELP x_active Now.\n# TYPE x_active gauge\nx_active -3\n",
            "# HELP x_closed_total Says \"why\".\n# TYPE x_closed_total counter\n",
            "x_closed_total{reason=\"a\\\\b\\\"c\\nd\"} 1\nx_closed_total{reason=\"reset\"} 2\n",
            "# HELP x_sent_bytes_total Sent.\n# TYPE x_sent_bytes_total counter\nx_sent_bytes_total 7\n",
        );
        assert_eq!(metrics.snapshot().to_prometheus(), prometheus);

        let openmetrics = concat!(
            "# HELP x_active Now.\n# TYPE x_active gauge\nx_active -3\n",
            "# HELP x_closed Says \\\"why\\\".\n# TYPE x_closed counter\n",
            "x_closed_total{reason=\"a\\\\b\\\"c\\nd\"} 1\nx_closed_total{reason=\"reset\"} 2\n",
            "# HELP x_sent_bytes Sent.\n# TYPE x_sent_bytes counter\n# UNIT x_sent_bytes bytes\n",
            "x_sent_bytes_total 7\n# EOF\n",
        );
        assert_eq!(metrics.snapshot().to_openmetrics(), openmetrics);
    }

    #[test]
    fn a_histogram_ends_with_infinity_sum_and_count() {
        let metrics = Metrics::new();
        let waits = metrics.duration_histogram("x_wait_seconds", "Waits.", &[("pool", "db")]);
        waits.record(1 << 30);
        waits.record(u64::from(u32::MAX) << 20);
        let text = metrics.snapshot().to_openmetrics();
        for line in [
            "# TYPE x_wait_seconds histogram\n# UNIT x_wait_seconds seconds\n",
            "x_wait_seconds_bucket{pool=\"db\",le=\"1.024e-6\"} 0\n",
            "x_wait_seconds_bucket{pool=\"db\",le=\"0.536870912\"} 0\n",
            "x_wait_seconds_bucket{pool=\"db\",le=\"1.073741824\"} 1\n",
            "x_wait_seconds_bucket{pool=\"db\",le=\"+Inf\"} 2\n",
            "x_wait_seconds_sum{pool=\"db\"} 4503600",
            "x_wait_seconds_count{pool=\"db\"} 2\n",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }

    #[test]
    fn an_empty_snapshot_is_a_valid_text() {
        let empty = Metrics::new().snapshot();
        assert_eq!((&*empty.to_prometheus(), &*empty.to_openmetrics()), ("", "# EOF\n"));
    }

    /// Undoes what a label value went through, or says that it is not one.
    fn unescape(text: &str) -> Option<String> {
        let mut chars = text.chars();
        let mut out = String::new();
        while let Some(c) = chars.next() {
            out.push(match c {
                '\\' => match chars.next()? {
                    'n' => '\n',
                    other @ ('\\' | '"') => other,
                    _ => return None,
                },
                '"' | '\n' => return None,
                other => other,
            });
        }
        Some(out)
    }

    proptest! {
        #[test]
        fn any_label_value_stays_on_its_line_and_can_be_read_back(value in any::<String>()) {
            let metrics = Metrics::new();
            metrics.gauge("x", "Help.", &[("name", &value)]).set(1);
            let text = metrics.snapshot().to_openmetrics();
            let lines: Vec<_> = text.split('\n').collect();
            prop_assert_eq!(lines.len(), 5);
            let written = lines[2].strip_prefix("x{name=\"").and_then(|rest| rest.strip_suffix("\"} 1"));
            prop_assert_eq!(written.and_then(unescape), Some(value));
        }
    }
}
