//! What a UDP manager says of its sessions.

use crate::{
    address::Address,
    context::{CloseReason, ConnectionId},
    manager::stats::place,
    metrics::DropReason,
};
use std::time::Duration;

/// The counts of one UDP manager at one moment.
///
/// Those of sessions agree with each other in every snapshot: `opened - closed() == active`,
/// `active == verified + unverified` and `active <= limit`. Datagrams and bytes are those between the clients and
/// the manager.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UdpManagerStats {
    /// Sessions that stand.
    pub active: u64,
    /// Those of them whose client has answered an answer.
    pub verified: u64,
    /// The others.
    pub unverified: u64,
    /// The most that may stand at one time.
    pub limit: u64,
    /// Sessions that stood.
    pub opened: u64,
    /// Datagrams that came from clients, dropped ones included.
    pub datagrams_received: u64,
    /// Datagrams that went to clients.
    pub datagrams_sent: u64,
    /// Bytes that came from clients of sessions.
    pub bytes_received: u64,
    /// Bytes that went to clients of sessions.
    pub bytes_sent: u64,
    /// Times that a destination let us know that nobody takes datagrams there. The session goes on.
    pub refused: u64,
    /// Times that receiving paused because it failed.
    pub receive_pauses: u64,
    /// Sessions that ended, in the order of [`CloseReason::ALL`].
    pub closed_by_reason: [u64; CloseReason::ALL.len()],
    /// Datagrams that were dropped, in the order of [`DropReason::ALL`].
    pub dropped_by_reason: [u64; DropReason::ALL.len()],
}

impl UdpManagerStats {
    /// Sessions that ended.
    pub fn closed(&self) -> u64 {
        self.closed_by_reason.iter().sum()
    }

    /// Sessions that ended for `reason`.
    pub fn closed_because(&self, reason: CloseReason) -> u64 {
        self.closed_by_reason[place(reason)]
    }

    /// Datagrams that were dropped.
    pub fn dropped(&self) -> u64 {
        self.dropped_by_reason.iter().sum()
    }

    /// Datagrams that were dropped for `reason`.
    pub fn dropped_because(&self, reason: DropReason) -> u64 {
        self.dropped_by_reason[reason as usize - 1]
    }
}

/// A session that stands, as it was seen at one moment.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveUdpConnection {
    /// Its number, for [`kill`](super::UdpConnectionManager::kill).
    pub id: ConnectionId,
    /// The client.
    pub source: Address,
    /// Which of our addresses it sends to.
    pub local: Address,
    /// Where its datagrams go.
    pub destination: Address,
    /// Whether its client has answered an answer.
    pub verified: bool,
    /// Since when it stands.
    pub age: Duration,
    /// Datagrams from the client.
    pub datagrams_received: u64,
    /// Datagrams to the client.
    pub datagrams_sent: u64,
    /// Bytes from the client.
    pub bytes_received: u64,
    /// Bytes to the client.
    pub bytes_sent: u64,
}
