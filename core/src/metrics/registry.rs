//! Which series exist: the books behind `Metrics`, kept under its one lock.

use super::{
    histogram::{Histogram, Unit},
    instrument::{CellSpec, Counter, Gauge, Ledger},
    snapshot::{Kind, Labels, Sample, Value},
};
use std::collections::{HashMap, HashSet};

/// Most values of one label, over all metrics. Later ones are counted together as [`OTHER`].
pub(super) const VALUES_MAX: usize = 128;
/// The label value that stands for all beyond [`VALUES_MAX`].
pub(super) const OTHER: &str = "_other";

#[derive(Debug, Default)]
pub(super) struct Registry {
    families: Vec<Family>,
    ledgers: Vec<Ledger>,
    label_values: HashMap<&'static str, HashSet<Box<str>>>,
}

/// All series of one name.
#[derive(Debug)]
struct Family {
    name: &'static str,
    help: &'static str,
    kind: Kind,
    series: Vec<(Labels, Source)>,
}

/// Where a series takes its value from.
#[derive(Clone, Debug)]
pub(super) enum Source {
    Counter(Counter),
    Gauge(Gauge),
    Histogram(Histogram),
    /// One cell of `ledgers[ledger]`.
    Cell {
        ledger: usize,
        cell: usize,
        kind: Kind,
    },
}

impl Source {
    pub(super) fn counter() -> Self {
        Self::Counter(Counter::new())
    }

    pub(super) fn gauge() -> Self {
        Self::Gauge(Gauge::new())
    }

    pub(super) fn histogram(unit: Unit) -> Self {
        Self::Histogram(Histogram::new(unit))
    }

    fn kind(&self) -> Kind {
        match self {
            Self::Counter(_) => Kind::Counter,
            Self::Gauge(_) => Kind::Gauge,
            Self::Histogram(_) => Kind::Histogram,
            Self::Cell { kind, .. } => *kind,
        }
    }
}

impl Registry {
    /// The source of a series, which `make` makes if there is none yet.
    pub(super) fn series(
        &mut self,
        name: &'static str,
        help: &'static str,
        labels: &[(&'static str, &str)],
        make: impl FnOnce() -> Source,
    ) -> Source {
        let labels = self.admit(labels);
        if let Some(known) = self.find(name, &labels) {
            return known.clone();
        }
        let source = make();
        self.insert(name, help, labels, source.clone());
        source
    }

    /// The ledger that holds `cells` in this order, which is a new one if there is none yet.
    pub(super) fn ledger(&mut self, cells: &[CellSpec<'_>]) -> Ledger {
        let labels: Vec<_> = cells.iter().map(|spec| self.admit(spec.labels)).collect();
        let known = cells.iter().zip(&labels).map(|(spec, labels)| self.find(spec.name, labels));
        if let Some(ledger) = self.ledger_of(known) {
            return ledger;
        }
        let made = Ledger::new(cells.len());
        let ledger = self.ledgers.len();
        self.ledgers.push(made.clone());
        for (cell, (spec, labels)) in cells.iter().zip(labels).enumerate() {
            let source = Source::Cell { ledger, cell, kind: spec.kind };
            self.insert(spec.name, spec.help, labels, source);
        }
        made
    }

    /// Reads everything; see [`Metrics::snapshot`](super::Metrics::snapshot) for what that promises.
    pub(super) fn read(&self) -> Vec<Sample> {
        // Ledgers first: who counts bytes and then, in a ledger, the end of their connection has
        // released both with the ledger's lock, so no end is seen here without its bytes.
        let cells: Vec<_> = self.ledgers.iter().map(Ledger::values).collect();
        let read = |source: &Source| match *source {
            Source::Counter(ref counter) => Value::Counter(counter.value()),
            Source::Gauge(ref gauge) => Value::Gauge(gauge.value()),
            Source::Histogram(ref histogram) => Value::Histogram(histogram.snapshot()),
            Source::Cell { ledger, cell, kind: Kind::Counter } => {
                Value::Counter(cells[ledger][cell] as u64)
            }
            Source::Cell { ledger, cell, kind: Kind::Gauge | Kind::Histogram } => {
                Value::Gauge(cells[ledger][cell])
            }
        };
        let mut samples = Vec::new();
        for &Family { name, help, ref series, .. } in &self.families {
            samples.extend(series.iter().map(|(labels, source)| Sample {
                name,
                help,
                labels: labels.clone(),
                value: read(source),
            }));
        }
        samples
    }

    /// `labels`, with the values that are one too many replaced by [`OTHER`].
    fn admit(&mut self, labels: &[(&'static str, &str)]) -> Labels {
        let mut admit = |&(name, value): &(&'static str, &str)| {
            let known = self.label_values.entry(name).or_default();
            if known.contains(value) {
                return (name, value.into());
            }
            if known.len() == VALUES_MAX {
                return (name, OTHER.into());
            }
            known.insert(value.into());
            (name, value.into())
        };
        labels.iter().map(&mut admit).collect()
    }

    fn find(&self, name: &str, labels: &Labels) -> Option<&Source> {
        let family = self.families.iter().find(|family| family.name == name)?;
        family.series.iter().find_map(|(known, source)| (known == labels).then_some(source))
    }

    /// The one ledger whose cells these are, in order.
    fn ledger_of<'a>(&self, sources: impl Iterator<Item = Option<&'a Source>>) -> Option<Ledger> {
        let mut common = None;
        for (place, source) in sources.enumerate() {
            let Some(Source::Cell { ledger, cell, .. }) = source else { return None };
            if *cell != place || *common.get_or_insert(*ledger) != *ledger {
                return None;
            }
        }
        common.map(|ledger| self.ledgers[ledger].clone())
    }

    /// Shows `source` from now on, unless that would mix kinds under one name or show a series twice.
    fn insert(&mut self, name: &'static str, help: &'static str, labels: Labels, source: Source) {
        let kind = source.kind();
        let known = self.families.iter().position(|family| family.name == name);
        let family = known.unwrap_or_else(|| {
            self.families.push(Family { name, help, kind, series: Vec::new() });
            self.families.len() - 1
        });
        let fits = self.families[family].kind == kind && self.find(name, &labels).is_none();
        debug_assert!(fits, "{name} is in use with another kind or for another instrument");
        if fits {
            self.families[family].series.push((labels, source));
        }
    }
}
