//! Sends a train as far as it goes, and counts what was dropped under its reason.

use crate::{
    metrics::{DatagramMetrics, DropReason},
    transport::udp::{Refusal, Train},
};

/// What of a train was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Delivered {
    pub(super) datagrams: usize,
    pub(super) bytes: usize,
}

/// Calls `send` until every datagram is either sent or dropped. A full buffer drops all that is left.
pub(super) fn deliver(
    train: Train<'_>,
    metrics: &DatagramMetrics,
    send: impl Fn(Train<'_>) -> Result<(), Refusal>,
) -> Delivered {
    let mut delivered = Delivered::default();
    let mut next = Some(train);
    while let Some(train) = next {
        let Err(refusal) = send(train) else {
            delivered.datagrams += train.len();
            delivered.bytes += train.bytes().len();
            return delivered;
        };
        delivered.datagrams += refusal.sent;
        delivered.bytes += refusal.sent * train.stride();
        let left = train.len() - refusal.sent;
        let ends_all = matches!(refusal.reason, DropReason::BufferFull | DropReason::SessionClosed);
        metrics.add_dropped(refusal.reason, if ends_all { left } else { 1 });
        tracing::trace!(error = %refusal.error, "a datagram was not sent");
        next = if ends_all { None } else { train.skip(refusal.sent + 1) };
    }
    delivered
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        error::{ConnectionError, Step},
        metrics::Metrics,
    };
    use std::cell::RefCell;

    /// Sends three datagrams of 10 bytes and one of 5, where `verdict` says what happens to each.
    fn run(verdict: fn(&[u8]) -> Option<DropReason>) -> (Vec<u8>, Delivered, DatagramMetrics) {
        let bytes = [[0; 10], [1; 10], [2; 10], [3; 10]].concat();
        let metrics = DatagramMetrics::new(&Metrics::new());
        let arrived = RefCell::new(Vec::new());
        let send = |train: Train<'_>| {
            for (sent, datagram) in train.datagrams().enumerate() {
                if let Some(reason) = verdict(datagram) {
                    let error = ConnectionError::closed(Step::Write);
                    return Err(Refusal { sent, reason, error });
                }
                arrived.borrow_mut().push(datagram[0]);
            }
            Ok(())
        };
        let delivered = deliver(Train::new(&bytes[..35], 10), &metrics, send);
        (arrived.into_inner(), delivered, metrics)
    }

    #[test]
    fn one_datagram_that_is_too_long_costs_no_other() {
        let (arrived, delivered, metrics) =
            run(|datagram| (datagram[0] == 1).then_some(DropReason::TooLong));
        assert_eq!(arrived, [0, 2, 3]);
        assert_eq!(delivered, Delivered { datagrams: 3, bytes: 25 });
        assert_eq!(metrics.dropped(DropReason::TooLong), 1);
    }

    #[test]
    fn a_full_buffer_drops_the_rest_and_counts_all_of_it() {
        let (arrived, delivered, metrics) =
            run(|datagram| (datagram[0] == 2).then_some(DropReason::BufferFull));
        assert_eq!(arrived, [0, 1]);
        assert_eq!(delivered, Delivered { datagrams: 2, bytes: 20 });
        assert_eq!(metrics.dropped(DropReason::BufferFull), 2);
    }
}
