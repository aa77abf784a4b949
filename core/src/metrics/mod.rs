//! Counts everything that happens to connections, and shows it as one consistent snapshot.
//!
//! ```text
//! Counter    one relaxed add on a cache line of the thread's own      bytes, calls
//! Histogram  the same, into log-linear buckets                        durations, sizes
//! Gauge      one atomic                                               limits, lengths
//! Ledger     one short lock, numbers that change together             opened, closed, active
//!     └──────────── Metrics::snapshot ──▶ Snapshot ──▶ samples, Prometheus or OpenMetrics text
//! ```
//!
//! Absences: no global registry, no thread, no callback per sample, no label whose value a peer chose.

mod connection;
mod datagrams;
mod histogram;
mod instrument;
mod registry;
mod shard;
mod snapshot;
mod text;

pub use connection::{ConnectionMetrics, ConnectionStats};
pub(crate) use datagrams::DatagramMetrics;
pub use datagrams::DropReason;
pub use histogram::{Histogram, HistogramSnapshot};
pub(crate) use instrument::Bookkeeper;
pub use instrument::{CellSpec, Counter, Gauge, Ledger};
pub use snapshot::{Kind, Labels, Sample, Snapshot, Value};

use connection::ConnectionFamilies;
use histogram::Unit;
use parking_lot::RwLock;
use registry::{Registry, Source};
use std::sync::Arc;

/// The registry of all instruments, one per runtime. Clones are handles to the same one.
///
/// An instrument is made on first use of its name and labels and found again after that; keep the
/// handle, for finding it takes a lock and allocates. A series lives as long as its registry.
///
/// Names are `snake_case` with the base unit at the end (`_seconds`, `_bytes`), and `_total` after it
/// on counters. A name keeps the kind of its first use: an instrument of another kind works, but no
/// snapshot shows it (and a debug build panics).
///
/// Label values come from the program or its configuration, never from a peer. Of one label at most
/// 128 values are told apart; series with later ones are counted together as `_other`.
#[derive(Clone, Debug, Default)]
pub struct Metrics {
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    registry: RwLock<Registry>,
    connections: ConnectionFamilies,
}

impl Metrics {
    /// Makes an empty registry.
    pub fn new() -> Self {
        Self::default()
    }

    /// The counter of this name and these labels.
    pub fn counter(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &[(&'static str, &str)],
    ) -> Counter {
        match self.inner.registry.write().series(name, help, labels, Source::counter) {
            Source::Counter(counter) => counter,
            Source::Gauge(_) | Source::Histogram(_) | Source::Cell { .. } => Counter::new(),
        }
    }

    /// The gauge of this name and these labels.
    pub fn gauge(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &[(&'static str, &str)],
    ) -> Gauge {
        match self.inner.registry.write().series(name, help, labels, Source::gauge) {
            Source::Gauge(gauge) => gauge,
            Source::Counter(_) | Source::Histogram(_) | Source::Cell { .. } => Gauge::new(),
        }
    }

    /// The histogram of this name and these labels, of plain numbers.
    pub fn histogram(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &[(&'static str, &str)],
    ) -> Histogram {
        self.histogram_of(Unit::One, name, help, labels)
    }

    /// The histogram of this name and these labels, of durations: recorded in nanoseconds, shown in seconds.
    pub fn duration_histogram(
        &self,
        name: &'static str,
        help: &'static str,
        labels: &[(&'static str, &str)],
    ) -> Histogram {
        self.histogram_of(Unit::Seconds, name, help, labels)
    }

    /// The ledger of these cells, in this order: counters and gauges that change together.
    pub fn ledger(&self, cells: &[CellSpec<'_>]) -> Ledger {
        self.inner.registry.write().ledger(cells)
    }

    /// Reads every instrument.
    ///
    /// What one [`Ledger`] holds is read at one moment, before the rest: a counter or histogram may be
    /// ahead of a ledger by what happened since, and is never behind what was counted before a change
    /// of a ledger that the snapshot shows. The buckets of a histogram always add up to its count.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot::new(self.inner.registry.read().read())
    }

    fn histogram_of(
        &self,
        unit: Unit,
        name: &'static str,
        help: &'static str,
        labels: &[(&'static str, &str)],
    ) -> Histogram {
        let make = || Source::histogram(unit);
        match self.inner.registry.write().series(name, help, labels, make) {
            Source::Histogram(histogram) => histogram,
            Source::Counter(_) | Source::Gauge(_) | Source::Cell { .. } => Histogram::new(unit),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    #[test]
    fn the_same_name_and_labels_give_the_same_instrument_in_any_order() {
        let metrics = Metrics::new();
        metrics.counter("x_total", "X.", &[("a", "1"), ("b", "2")]).add(1);
        metrics.counter("x_total", "X.", &[("b", "2"), ("a", "1")]).add(2);
        metrics.counter("x_total", "X.", &[("b", "3"), ("a", "1")]).add(10);
        let snapshot = metrics.snapshot();
        assert_eq!(snapshot.samples().len(), 2);
        assert_eq!(snapshot.total("x_total", &[("b", "2")]), 3);
        assert_eq!(snapshot.total("x_total", &[("a", "1")]), 13);
        assert_eq!(snapshot.total("y_total", &[]), 0);
    }

    #[test]
    fn samples_are_sorted_by_name_and_then_labels() {
        let metrics = Metrics::new();
        for (name, label) in [("b", "2"), ("a", "9"), ("b", "1")] {
            metrics.gauge(name, "G.", &[("l", label)]).set(1);
        }
        let order: Vec<_> = metrics
            .snapshot()
            .samples()
            .iter()
            .map(|sample| (sample.name, sample.labels.to_string()))
            .collect();
        assert_eq!(
            order,
            [("a", "l=\"9\"".into()), ("b", "l=\"1\"".into()), ("b", "l=\"2\"".into())]
        );
    }

    #[test]
    fn label_values_beyond_the_limit_are_counted_together_and_none_is_lost() {
        let metrics = Metrics::new();
        for pool in 0..registry::VALUES_MAX + 10 {
            let name = pool.to_string();
            metrics.counter("x_total", "X.", &[("pool", &name)]).add(1);
            metrics.ledger(&cells(&[("pool", &name)])).apply(&[(0, 1), (1, 1)]);
        }
        let snapshot = metrics.snapshot();
        assert_eq!(snapshot.samples().len(), 3 * (registry::VALUES_MAX + 1));
        for metric in ["x_total", "made_total", "live"] {
            assert_eq!(snapshot.total(metric, &[("pool", registry::OTHER)]), 10);
            assert_eq!(snapshot.total(metric, &[]), registry::VALUES_MAX as i64 + 10);
        }
    }

    fn cells<'a>(labels: &'a [(&'static str, &'a str)]) -> [CellSpec<'a>; 2] {
        [CellSpec::counter("made_total", "Made.", labels), CellSpec::gauge("live", "Live.", labels)]
    }

    #[test]
    fn a_ledger_is_found_again_by_its_cells() {
        let metrics = Metrics::new();
        metrics.ledger(&cells(&[("pool", "a")])).apply(&[(0, 2), (1, 2)]);
        metrics.ledger(&cells(&[("pool", "a")])).apply(&[(1, -1)]);
        metrics.ledger(&cells(&[("pool", "b")])).apply(&[(0, 5)]);
        let snapshot = metrics.snapshot();
        assert_eq!(snapshot.total("made_total", &[("pool", "a")]), 2);
        assert_eq!(snapshot.total("live", &[("pool", "a")]), 1);
        assert_eq!(snapshot.total("made_total", &[("pool", "b")]), 5);
    }

    #[test]
    fn a_snapshot_that_shows_a_change_of_a_ledger_shows_what_was_counted_before_it() {
        let metrics = Metrics::new();
        let bytes = metrics.counter("x_bytes_total", "Bytes.", &[]);
        let sizes = metrics.histogram("x_bytes", "Sizes.", &[]);
        let ended = metrics.ledger(&[CellSpec::counter("x_ended_total", "Ended.", &[])]);
        thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for _ in 0..3_000 {
                        bytes.add(100);
                        sizes.record(100);
                        ended.apply(&[(0, 1)]);
                    }
                });
            }
            loop {
                let snapshot = metrics.snapshot();
                let ended = snapshot.total("x_ended_total", &[]);
                assert!(snapshot.total("x_bytes_total", &[]) >= 100 * ended);
                let sizes = &snapshot.samples()[0];
                let Value::Histogram(sizes) = &sizes.value else { panic!("{sizes:?}") };
                assert!(sizes.count() as i64 >= ended);
                if ended == 9_000 {
                    break;
                }
            }
        });
    }
}
