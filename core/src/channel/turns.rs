//! When the task of a connection has its turn: behind the calls that are ready, while what they send is small.

use crate::{give_way::GiveWay, metrics::ConnectionMetrics};
use std::{
    sync::Arc,
    task::{Context, Poll, ready},
};

/// What one turn sends at least that is worth a write of its own: a frame of HTTP/2's least limit. With more, the peer
/// works on one part while the next is made.
const WORTH_A_WRITE: u64 = 16 << 10;
/// Calls under way at most that one write may wait for, for the same reason.
const FEW: usize = 128;

/// The turns of one connection's task.
#[derive(Debug)]
pub(super) struct Turns {
    way: GiveWay,
    metrics: Arc<ConnectionMetrics>,
    /// Bytes that had been sent when the last turn began.
    sent: u64,
}

impl Turns {
    pub(super) fn new(metrics: Arc<ConnectionMetrics>) -> Self {
        Self { way: GiveWay::default(), metrics, sent: 0 }
    }

    /// Ready once it is the task's turn, with so many `calls` under way. One call alone has nobody to wait for.
    pub(super) fn poll_next(&mut self, calls: usize, cx: &mut Context<'_>) -> Poll<()> {
        let sent = self.metrics.bytes_sent();
        let is_small = sent.saturating_sub(self.sent) < WORTH_A_WRITE;
        ready!(self.way.poll_if((2..=FEW).contains(&calls) && is_small, cx));
        self.sent = sent;
        Poll::Ready(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        channel::wire::now,
        context::{ConnectionContext, ConnectionId, Direction, Protocol},
        metrics::Metrics,
    };
    use std::task::Waker;

    #[test]
    fn a_turn_waits_for_calls_that_are_ready_unless_there_is_one_or_many_or_they_send_much() {
        let context = ConnectionContext {
            id: ConnectionId::next(),
            protocol: Protocol::Tcp,
            direction: Direction::Dialled,
            source: None,
            destination: None,
            created: now(),
        };
        let metrics = Arc::new(ConnectionMetrics::open(&Metrics::new(), &context));
        let (mut turns, cx) =
            (Turns::new(Arc::clone(&metrics)), &mut Context::from_waker(Waker::noop()));
        assert!(turns.poll_next(1, cx).is_ready(), "one call has nobody to wait for");
        assert!(turns.poll_next(2, cx).is_pending());
        assert!(turns.poll_next(2, cx).is_ready(), "the others have had their turn");
        assert!(turns.poll_next(FEW + 1, cx).is_ready(), "they would all wait for the last");
        metrics.add_sent(WORTH_A_WRITE);
        assert!(turns.poll_next(2, cx).is_ready(), "the last turn sent much");
        metrics.add_sent(WORTH_A_WRITE - 1);
        assert!(turns.poll_next(2, cx).is_pending(), "and this one little");
    }
}
