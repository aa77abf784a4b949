//! The counts of one live connection, and the families into which they add up.

use super::{CellSpec, Counter, Histogram, Ledger, Metrics};
use crate::context::{CloseReason, ConnectionContext, Direction, Protocol};
use std::{
    array, fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// Cells of the ledger. Those of the close reasons follow, in the order of [`CloseReason::ALL`].
const OPENED: usize = 0;
const ACTIVE: usize = 1;
const CLOSED: usize = 2;

const PROTOCOLS: usize = 6;
const DIRECTIONS: usize = 2;

/// The counts of one live connection; exact also when it is aborted.
///
/// Every chunk counts at once, here and in the registry: two relaxed adds per call. Dropping it without
/// [`close`](Self::close) closes it as [`CloseReason::Cancelled`]. Share it behind an `Arc` or a
/// reference: one connection has one of these.
///
/// It feeds, labelled with `protocol` and `direction`: `trunkline_connections_opened_total`,
/// `trunkline_connections_closed_total` (and by `reason`), `trunkline_connections_active`,
/// `trunkline_bytes_received_total`, `trunkline_bytes_sent_total` and
/// `trunkline_connection_duration_seconds`. In every snapshot opened − closed = active.
pub struct ConnectionMetrics {
    family: Arc<ConnectionFamily>,
    opened: Instant,
    received: AtomicU64,
    sent: AtomicU64,
    /// Why it ended and how long it had stood.
    closed: OnceLock<(CloseReason, Duration)>,
}

/// What [`ConnectionMetrics`] showed at one moment.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionStats {
    /// When the connection stood, on the monotonic clock.
    pub opened: Instant,
    /// Bytes that came from the peer.
    pub bytes_received: u64,
    /// Bytes that went to the peer.
    pub bytes_sent: u64,
    /// Why it ended and how long it had stood; `None` while it lives.
    pub closed: Option<(CloseReason, Duration)>,
}

impl ConnectionStats {
    /// How long the connection stood, or has stood so far if it lives at `now`.
    pub fn duration(&self, now: Instant) -> Duration {
        match self.closed {
            Some((_, duration)) => duration,
            None => now.saturating_duration_since(self.opened),
        }
    }

    /// Why the connection ended; `None` while it lives.
    pub fn close_reason(&self) -> Option<CloseReason> {
        self.closed.map(|(reason, _)| reason)
    }
}

impl ConnectionMetrics {
    /// Counts the connection of `context` as opened.
    pub fn open(registry: &Metrics, context: &ConnectionContext) -> Self {
        let family = registry.inner.connections.get(registry, context.protocol, context.direction);
        family.lifecycle.apply(&[(OPENED, 1), (ACTIVE, 1)]);
        Self {
            family,
            opened: context.created,
            received: AtomicU64::new(0),
            sent: AtomicU64::new(0),
            closed: OnceLock::new(),
        }
    }

    /// Counts bytes that came from the peer.
    pub fn add_received(&self, bytes: u64) {
        self.received.fetch_add(bytes, Ordering::Relaxed);
        self.family.received.add(bytes);
    }

    /// Counts bytes that went to the peer.
    pub fn add_sent(&self, bytes: u64) {
        self.sent.fetch_add(bytes, Ordering::Relaxed);
        self.family.sent.add(bytes);
    }

    /// Bytes that came from the peer so far.
    pub fn bytes_received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Bytes that went to the peer so far.
    pub fn bytes_sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Counts the connection as closed. The first call wins; later ones, and the drop, change nothing.
    #[expect(clippy::disallowed_methods, reason = "called from drivers and from Drop")]
    pub fn close(&self, reason: CloseReason) {
        self.close_at(reason, Instant::now());
    }

    /// [`close`](Self::close) for callers that know the time.
    pub fn close_at(&self, reason: CloseReason, now: Instant) {
        let duration = now.saturating_duration_since(self.opened);
        if self.closed.set((reason, duration)).is_ok() {
            self.family.durations.record_duration(duration);
            self.family.lifecycle.apply(&[(closed_cell(reason), 1), (ACTIVE, -1)]);
        }
    }

    /// Why the connection ended; `None` while it lives.
    pub fn close_reason(&self) -> Option<CloseReason> {
        self.closed.get().map(|(reason, _)| *reason)
    }

    /// Everything above at one go.
    pub fn stats(&self) -> ConnectionStats {
        ConnectionStats {
            opened: self.opened,
            bytes_received: self.bytes_received(),
            bytes_sent: self.bytes_sent(),
            closed: self.closed.get().copied(),
        }
    }
}

impl Drop for ConnectionMetrics {
    fn drop(&mut self) {
        if self.closed.get().is_none() {
            self.close(CloseReason::Cancelled);
        }
    }
}

impl fmt::Debug for ConnectionMetrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ConnectionMetrics").field(&self.stats()).finish()
    }
}

fn closed_cell(reason: CloseReason) -> usize {
    // The numbers of the reasons start at 1 and have no gap; a test holds them to it.
    CLOSED + reason as usize - 1
}

/// The series of one protocol and direction.
#[derive(Debug)]
struct ConnectionFamily {
    lifecycle: Ledger,
    received: Counter,
    sent: Counter,
    durations: Histogram,
}

impl ConnectionFamily {
    fn new(registry: &Metrics, protocol: Protocol, direction: Direction) -> Self {
        let labels = [("protocol", protocol.name()), ("direction", direction.name())];
        let [of_protocol, of_direction] = labels;
        let by_reason = CloseReason::ALL.map(|r| [of_protocol, of_direction, ("reason", r.name())]);
        let opened = CellSpec::counter(
            "trunkline_connections_opened_total",
            "Connections that stood.",
            &labels,
        );
        let active = CellSpec::gauge(
            "trunkline_connections_active",
            "Connections that stand now: those opened less those closed.",
            &labels,
        );
        let closed = by_reason.each_ref().map(|labels| {
            CellSpec::counter(
                "trunkline_connections_closed_total",
                "Connections that ended, by reason.",
                labels,
            )
        });
        let cells: Vec<_> = [opened, active].into_iter().chain(closed).collect();
        Self {
            lifecycle: registry.ledger(&cells),
            received: registry.counter(
                "trunkline_bytes_received_total",
                "Bytes that came from peers.",
                &labels,
            ),
            sent: registry.counter(
                "trunkline_bytes_sent_total",
                "Bytes that went to peers.",
                &labels,
            ),
            durations: registry.duration_histogram(
                "trunkline_connection_duration_seconds",
                "How long connections stood that ended.",
                &labels,
            ),
        }
    }
}

/// The families in use, so that opening a connection looks no name up.
#[derive(Debug)]
pub(super) struct ConnectionFamilies([[OnceLock<Arc<ConnectionFamily>>; DIRECTIONS]; PROTOCOLS]);

impl Default for ConnectionFamilies {
    fn default() -> Self {
        Self(array::from_fn(|_| array::from_fn(|_| OnceLock::new())))
    }
}

impl ConnectionFamilies {
    fn get(
        &self,
        registry: &Metrics,
        protocol: Protocol,
        direction: Direction,
    ) -> Arc<ConnectionFamily> {
        let by_protocol = match protocol {
            Protocol::Tcp => &self.0[0],
            Protocol::Unix => &self.0[1],
            Protocol::Pipe => &self.0[2],
            Protocol::Udp => &self.0[3],
            Protocol::Tls => &self.0[4],
            Protocol::Tunnel => &self.0[5],
        };
        let family = match direction {
            Direction::Accepted => &by_protocol[0],
            Direction::Dialled => &by_protocol[1],
        };
        let make = || Arc::new(ConnectionFamily::new(registry, protocol, direction));
        Arc::clone(family.get_or_init(make))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::ConnectionId;
    use std::thread;

    #[expect(clippy::disallowed_methods, reason = "any moment will do")]
    fn context(protocol: Protocol, direction: Direction) -> ConnectionContext {
        ConnectionContext {
            id: ConnectionId::next(),
            protocol,
            direction,
            source: None,
            destination: None,
            created: Instant::now(),
        }
    }

    #[test]
    fn each_close_reason_has_its_own_cell() {
        for (index, reason) in CloseReason::ALL.into_iter().enumerate() {
            assert_eq!(closed_cell(reason), CLOSED + index);
        }
    }

    #[test]
    fn each_reason_is_counted_under_its_own_name() {
        let metrics = Metrics::new();
        let context = context(Protocol::Pipe, Direction::Dialled);
        for (count, reason) in (1..).zip(CloseReason::ALL) {
            for _ in 0..count {
                ConnectionMetrics::open(&metrics, &context).close(reason);
            }
        }
        let snapshot = metrics.snapshot();
        for (count, reason) in (1..).zip(CloseReason::ALL) {
            let labels =
                [("protocol", "pipe"), ("direction", "dialled"), ("reason", reason.name())];
            assert_eq!(snapshot.total("trunkline_connections_closed_total", &labels), count);
        }
        let all = (1..).zip(CloseReason::ALL).map(|(count, _)| count).sum::<i64>();
        assert_eq!(snapshot.total("trunkline_connections_opened_total", &[]), all);
        assert_eq!(snapshot.total("trunkline_connections_active", &[]), 0);
    }

    #[test]
    fn the_first_close_wins_and_the_drop_adds_nothing() {
        let metrics = Metrics::new();
        let context = context(Protocol::Tcp, Direction::Accepted);
        let connection = ConnectionMetrics::open(&metrics, &context);
        assert_eq!(connection.close_reason(), None);
        let (first, second) = (Duration::from_secs(3), Duration::from_secs(9));
        connection.close_at(CloseReason::Reset, context.created + first);
        connection.close_at(CloseReason::Finished, context.created + second);
        assert_eq!(connection.stats().closed, Some((CloseReason::Reset, first)));
        assert_eq!(connection.stats().duration(context.created + second), first);
        drop(connection);
        let closed = |labels: &[(&str, &str)]| {
            metrics.snapshot().total("trunkline_connections_closed_total", labels)
        };
        assert_eq!((closed(&[]), closed(&[("reason", "reset")])), (1, 1));
    }

    #[test]
    fn a_dropped_connection_keeps_its_bytes_and_counts_as_cancelled() {
        let metrics = Metrics::new();
        let connection =
            ConnectionMetrics::open(&metrics, &context(Protocol::Tcp, Direction::Dialled));
        connection.add_received(100);
        connection.add_sent(7);
        connection.add_sent(8);
        assert_eq!((connection.bytes_received(), connection.bytes_sent()), (100, 15));
        drop(connection);
        let snapshot = metrics.snapshot();
        let total = |name| snapshot.total(name, &[("protocol", "tcp"), ("direction", "dialled")]);
        assert_eq!(total("trunkline_bytes_received_total"), 100);
        assert_eq!(total("trunkline_bytes_sent_total"), 15);
        assert_eq!(total("trunkline_connections_active"), 0);
        let cancelled = [("reason", "cancelled")];
        assert_eq!(snapshot.total("trunkline_connections_closed_total", &cancelled), 1);
    }

    #[test]
    fn a_live_connection_has_stood_until_now() {
        let context = context(Protocol::Unix, Direction::Accepted);
        let connection = ConnectionMetrics::open(&Metrics::new(), &context);
        let later = context.created + Duration::from_secs(5);
        assert_eq!(connection.stats().duration(later), Duration::from_secs(5));
        assert_eq!(connection.stats().close_reason(), None);
    }

    #[test]
    fn in_every_snapshot_under_load_opened_less_closed_is_active_and_within_the_limit() {
        const WORKERS: usize = 4;
        const EACH: usize = 2_000;
        let metrics = Metrics::new();
        let worker = |number: usize| {
            let context = context(Protocol::Tcp, Direction::Accepted);
            for round in 0..EACH {
                let connection = ConnectionMetrics::open(&metrics, &context);
                connection.add_received(10);
                if !(number + round).is_multiple_of(3) {
                    connection.close(CloseReason::ALL[round % CloseReason::ALL.len()]);
                }
            }
        };
        thread::scope(|scope| {
            for number in 0..WORKERS {
                scope.spawn(move || worker(number));
            }
            loop {
                let snapshot = metrics.snapshot();
                let total = |name| snapshot.total(name, &[]);
                let opened = total("trunkline_connections_opened_total");
                let closed = total("trunkline_connections_closed_total");
                let active = total("trunkline_connections_active");
                assert_eq!(opened - closed, active);
                assert!((0..=WORKERS as i64).contains(&active), "{active}");
                assert!(total("trunkline_bytes_received_total") >= 10 * closed);
                if closed == (WORKERS * EACH) as i64 {
                    break;
                }
            }
        });
        assert_eq!(
            metrics.snapshot().total("trunkline_bytes_received_total", &[]),
            (10 * WORKERS * EACH) as i64
        );
    }
}
