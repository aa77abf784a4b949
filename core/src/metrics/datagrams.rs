//! The counts of datagrams: for one socket or manager, and at the same time in the registry.

use super::{Counter, Metrics};
use std::sync::atomic::{AtomicU64, Ordering};

/// Why a datagram was not delivered. The numbers are part of the ABI and are never reused.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(i32)]
pub enum DropReason {
    /// It was longer than the receiver's buffer: the rest of it is lost.
    Truncated = 1,
    /// It was longer than the way to its destination carries.
    TooLong = 2,
    /// The socket's send buffer was full.
    BufferFull = 3,
    /// Every place for a session was taken by a verified one.
    SessionTableFull = 4,
    /// Its session's upstream was still being made, and enough datagrams waited for it already.
    EarlyQueueFull = 5,
    /// The answer would have been too much for what a source sent that is not verified.
    Amplification = 6,
    /// The destination of its session could not be reached.
    ConnectFailed = 7,
    /// Its session ended before it was sent on.
    SessionClosed = 8,
    /// It would have begun a session while the manager drains.
    Draining = 9,
    /// The system refused to send it, for another reason.
    SendFailed = 10,
}

impl DropReason {
    /// Every reason, in the order of its number.
    pub const ALL: [Self; 10] = [
        Self::Truncated,
        Self::TooLong,
        Self::BufferFull,
        Self::SessionTableFull,
        Self::EarlyQueueFull,
        Self::Amplification,
        Self::ConnectFailed,
        Self::SessionClosed,
        Self::Draining,
        Self::SendFailed,
    ];

    /// Lower-case name, as in metric labels.
    pub fn name(self) -> &'static str {
        match self {
            Self::Truncated => "truncated",
            Self::TooLong => "too_long",
            Self::BufferFull => "buffer_full",
            Self::SessionTableFull => "session_table_full",
            Self::EarlyQueueFull => "early_queue_full",
            Self::Amplification => "amplification",
            Self::ConnectFailed => "connect_failed",
            Self::SessionClosed => "session_closed",
            Self::Draining => "draining",
            Self::SendFailed => "send_failed",
        }
    }

    /// The stable number of this reason.
    pub fn code(self) -> i32 {
        self as i32
    }

    /// Its place in [`ALL`](Self::ALL).
    fn index(self) -> usize {
        self as usize - 1
    }
}

/// Counts of one socket or manager, which add up in the registry as `trunkline_datagrams_received_total`,
/// `trunkline_datagrams_sent_total`, `trunkline_datagrams_refused_total` and, by `reason`, `trunkline_datagrams_dropped_total`.
#[derive(Debug)]
pub(crate) struct DatagramMetrics {
    received: Twice,
    sent: Twice,
    refused: Twice,
    dropped: [Twice; DropReason::ALL.len()],
}

#[derive(Debug)]
struct Twice {
    own: AtomicU64,
    family: Counter,
}

impl Twice {
    fn new(family: Counter) -> Self {
        Self { own: AtomicU64::new(0), family }
    }

    fn add(&self, count: usize) {
        self.own.fetch_add(count as u64, Ordering::Relaxed);
        self.family.add(count as u64);
    }

    fn value(&self) -> u64 {
        self.own.load(Ordering::Relaxed)
    }
}

impl DatagramMetrics {
    pub(crate) fn new(registry: &Metrics) -> Self {
        let dropped = DropReason::ALL.map(|reason| {
            Twice::new(registry.counter(
                "trunkline_datagrams_dropped_total",
                "Datagrams that were not delivered, by reason.",
                &[("reason", reason.name())],
            ))
        });
        Self {
            received: Twice::new(registry.counter(
                "trunkline_datagrams_received_total",
                "Datagrams that came from peers.",
                &[],
            )),
            sent: Twice::new(registry.counter(
                "trunkline_datagrams_sent_total",
                "Datagrams that went to peers.",
                &[],
            )),
            refused: Twice::new(registry.counter(
                "trunkline_datagrams_refused_total",
                "Times that a destination let us know that nobody takes datagrams there.",
                &[],
            )),
            dropped,
        }
    }

    pub(crate) fn add_received(&self, count: usize) {
        self.received.add(count);
    }

    pub(crate) fn add_sent(&self, count: usize) {
        self.sent.add(count);
    }

    pub(crate) fn add_refused(&self, count: usize) {
        if count > 0 {
            self.refused.add(count);
        }
    }

    pub(crate) fn add_dropped(&self, reason: DropReason, count: usize) {
        if count > 0 {
            self.dropped[reason.index()].add(count);
        }
    }

    pub(crate) fn received(&self) -> u64 {
        self.received.value()
    }

    pub(crate) fn sent(&self) -> u64 {
        self.sent.value()
    }

    pub(crate) fn refused(&self) -> u64 {
        self.refused.value()
    }

    pub(crate) fn dropped(&self, reason: DropReason) -> u64 {
        self.dropped[reason.index()].value()
    }

    /// In the order of [`DropReason::ALL`].
    pub(crate) fn all_dropped(&self) -> [u64; DropReason::ALL.len()] {
        self.dropped.each_ref().map(Twice::value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_its_place_and_its_own_name() {
        let registry = Metrics::new();
        let metrics = DatagramMetrics::new(&registry);
        for (index, reason) in DropReason::ALL.into_iter().enumerate() {
            assert_eq!(reason.index(), index);
            metrics.add_dropped(reason, index + 1);
            assert_eq!(metrics.dropped(reason), index as u64 + 1);
            let labels = [("reason", reason.name())];
            let total = registry.snapshot().total("trunkline_datagrams_dropped_total", &labels);
            assert_eq!(total, index as i64 + 1);
        }
    }
}
