//! The counts of a checkout pool in the registry, in the words of OpenTelemetry's `db.client.connection.*`.

use super::{connector::Connector, shared::Shared, stats::CheckoutPoolStats};
use crate::{
    metrics::{Bookkeeper, CellSpec, Histogram, Ledger, Metrics},
    pool::reason::PoolCloseReason,
};
use std::{
    fmt,
    sync::{Arc, Weak},
    time::Duration,
};

const POOL: &str = "db_client_connection_pool_name";
const STATE: &str = "db_client_connection_state";

/// The instruments of one pool; pools of one name count into the same.
#[derive(Debug)]
pub(crate) struct Meter {
    ledger: Ledger,
    bookkeeper: Weak<dyn Bookkeeper>,
    wait_time: Histogram,
    use_time: Histogram,
    create_time: Histogram,
}

impl Meter {
    pub(crate) fn new<C: Connector>(
        metrics: &Metrics,
        pool: &str,
        shared: &Arc<Shared<C>>,
    ) -> Self {
        let time = |name, help| metrics.duration_histogram(name, help, &[(POOL, pool)]);
        let weak: Weak<Shared<C>> = Arc::downgrade(shared);
        let bookkeeper: Weak<dyn Bookkeeper> = weak;
        let ledger = ledger(metrics, pool);
        ledger.follow(bookkeeper.clone());
        Self {
            ledger,
            bookkeeper,
            wait_time: time(
                "db_client_connection_wait_time_seconds",
                "Time that callers stood in line for a connection they got; zero for those who did not.",
            ),
            use_time: time(
                "db_client_connection_use_time_seconds",
                "Time between taking a connection and putting it back.",
            ),
            create_time: time(
                "db_client_connection_create_time_seconds",
                "Time that making a connection took.",
            ),
        }
    }

    pub(crate) fn waited(&self, time: Duration) {
        self.wait_time.record_duration(time);
    }

    pub(crate) fn used(&self, time: Duration) {
        self.use_time.record_duration(time);
    }

    pub(crate) fn created(&self, time: Duration) {
        self.create_time.record_duration(time);
    }

    /// The pool ends with these counts.
    pub(crate) fn leave(&self, last: &CheckoutPoolStats) {
        let nothing_left =
            CheckoutPoolStats { max_size: 0, min_idle: 0, waiting: 0, ..last.clone() };
        self.ledger.leave(&self.bookkeeper, &cells(&nothing_left));
    }
}

/// Makes the cells, in the order in which [`cells`] fills them.
fn ledger(metrics: &Metrics, pool: &str) -> Ledger {
    let plain = [(POOL, pool)];
    let states = ["idle", "used", "validating", "connecting", "closing"]
        .map(|state| [(POOL, pool), (STATE, state)]);
    let results = ["hit", "miss"].map(|result| [(POOL, pool), ("result", result)]);
    let reasons = PoolCloseReason::ALL.map(|reason| [(POOL, pool), ("reason", reason.name())]);
    let mut specs: Vec<_> = states
        .iter()
        .map(|labels| {
            let help = "Connections of the pool, by where they stand.";
            CellSpec::gauge("db_client_connection_count", help, labels)
        })
        .collect();
    let gauge = |name, help| CellSpec::gauge(name, help, &plain);
    let counter = |name, help| CellSpec::counter(name, help, &plain);
    specs.extend([
        gauge("db_client_connection_max", "The most connections that there may be."),
        gauge("db_client_connection_idle_min", "Connections that are to stand ready."),
        gauge("db_client_connection_pending_requests", "Callers that wait for a connection."),
        counter("db_client_connection_timeouts_total", "Callers that got nothing in time."),
        counter("db_client_connection_cancelled_total", "Callers that gave up waiting."),
        counter("db_client_connection_refused_total", "Callers refused because too many waited."),
        counter("db_client_connection_created_total", "Connections made."),
        counter("db_client_connection_create_failed_total", "Attempts to connect that failed."),
        counter("db_client_connection_invalid_total", "Checks and resets that failed."),
        counter("db_client_connection_leaks_total", "Leases held for longer than leak_after."),
    ]);
    specs.extend(results.iter().map(|labels| {
        let help = "Connections lent: idle ones at once, or after a wait.";
        CellSpec::counter("db_client_connection_acquired_total", help, labels)
    }));
    specs.extend(reasons.iter().map(|labels| {
        let help = "Connections given up, by reason.";
        CellSpec::counter("db_client_connection_closed_total", help, labels)
    }));
    metrics.ledger(&specs)
}

fn cells(stats: &CheckoutPoolStats) -> Box<[i64]> {
    let standing = [stats.idle, stats.used, stats.validating, stats.connecting, stats.closing];
    let limits = [stats.max_size, stats.min_idle, stats.waiting];
    let counted = [
        stats.timeouts,
        stats.cancelled,
        stats.refused,
        stats.created,
        stats.create_failed,
        stats.invalid,
        stats.leaks,
        stats.hits,
        stats.misses(),
    ];
    let closed = PoolCloseReason::ALL.map(|reason| stats.closed_for(reason));
    let gauges = standing.into_iter().chain(limits).map(i64::from);
    gauges.chain(counted.into_iter().chain(closed).map(|count| count as i64)).collect()
}

impl<C: Connector> Bookkeeper for Shared<C> {
    fn read(&self) -> Box<[i64]> {
        cells(&self.stats())
    }
}

impl<C: Connector> fmt::Debug for Shared<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}
