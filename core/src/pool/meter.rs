//! The counts of a pool in the registry, where it was given one.

use super::{
    books::{Change, Leaves, Watch},
    reason::PoolCloseReason,
};
use crate::metrics::{CellSpec, Counter, Ledger, Metrics};

/// Cells of the ledger. Those of the close reasons follow, in the order of [`PoolCloseReason::ALL`].
const ENTRIES: usize = 0;
const INSERTED: usize = 1;
const TAKEN: usize = 2;
const REFUSED: usize = 3;
const CLOSED: usize = 4;

/// The instruments of one pool; pools of one name count into the same.
#[derive(Debug)]
pub(super) struct Meter {
    ledger: Ledger,
    hits: Counter,
    misses: Counter,
}

impl Meter {
    pub(super) fn new(metrics: &Metrics, pool: &str) -> Self {
        let labels = [("pool", pool)];
        let closed_labels =
            PoolCloseReason::ALL.map(|reason| [("pool", pool), ("reason", reason.name())]);
        let mut cells = vec![
            CellSpec::gauge("trunkline_pool_entries", "Entries in the pool.", &labels),
            CellSpec::counter("trunkline_pool_inserted_total", "Values taken over.", &labels),
            CellSpec::counter("trunkline_pool_taken_total", "Values taken out.", &labels),
            CellSpec::counter(
                "trunkline_pool_refused_total",
                "Times that a full pool had no room.",
                &labels,
            ),
        ];
        cells.extend(closed_labels.iter().map(|labels| {
            CellSpec::counter("trunkline_pool_closed_total", "Values closed, by reason.", labels)
        }));
        let gets = |result| {
            let labels = [("pool", pool), ("result", result)];
            metrics.counter("trunkline_pool_gets_total", "Lookups, by result.", &labels)
        };
        Self { ledger: metrics.ledger(&cells), hits: gets("hit"), misses: gets("miss") }
    }

    pub(super) fn looked_up(&self, hit: bool) {
        if hit { self.hits.add(1) } else { self.misses.add(1) }
    }
}

impl Watch for Meter {
    fn note(&self, change: Change) {
        match change {
            Change::Entered => self.ledger.apply(&[(ENTRIES, 1), (INSERTED, 1)]),
            Change::Left(leaves) => self.ledger.apply(&[(ENTRIES, -1), (left_cell(leaves), 1)]),
            Change::PassedThrough(reason) => {
                self.ledger.apply(&[(INSERTED, 1), (left_cell(Leaves::Closed(reason)), 1)]);
            }
            Change::Refused => self.ledger.apply(&[(REFUSED, 1)]),
        }
    }
}

fn left_cell(leaves: Leaves) -> usize {
    match leaves {
        Leaves::Taken => TAKEN,
        Leaves::Closed(reason) => CLOSED + reason.index(),
    }
}
