//! What a manager says of its connections.

use crate::{
    address::Address,
    context::{CloseReason, ConnectionId},
};
use std::{sync::Arc, time::Duration};

/// The counts of one TCP manager at one moment.
///
/// They agree with each other in every snapshot: `opened - closed() == active`, `active <= limit`, and
/// `opened == accepted + dialled`. A connection to the destination of a relay belongs to the accepted
/// one and is not counted here.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TcpManagerStats {
    /// Connections that stand.
    pub active: u64,
    /// Those of them that wait in line for a place of their backend.
    pub waiting: u64,
    /// The most that may stand at one time.
    pub limit: u64,
    /// Connections that stood.
    pub opened: u64,
    /// Those of them that were accepted.
    pub accepted: u64,
    /// Those of them that were dialled.
    pub dialled: u64,
    /// Bytes that came from the peers of these connections, counted with every chunk.
    pub bytes_received: u64,
    /// Bytes that went to the peers of these connections, counted with every chunk.
    pub bytes_sent: u64,
    /// Bytes that relays let the kernel move without copying, both ways together.
    pub bytes_spliced: u64,
    /// Times that accepting paused because the process or the system was out of files or memory.
    pub accept_pauses: u64,
    /// Connections that ended, in the order of [`CloseReason::ALL`].
    pub closed_by_reason: [u64; CloseReason::ALL.len()],
}

impl TcpManagerStats {
    /// Connections that ended.
    pub fn closed(&self) -> u64 {
        self.closed_by_reason.iter().sum()
    }

    /// Connections that ended for `reason`.
    pub fn closed_because(&self, reason: CloseReason) -> u64 {
        self.closed_by_reason[place(reason)]
    }
}

/// A connection that stands, as it was seen at one moment.
#[non_exhaustive]
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LiveTcpConnection {
    /// Its number, for [`kill`](super::TcpConnectionManager::kill).
    pub id: ConnectionId,
    /// Who asked for it, as a proxy in front announced it where one did; `None` where that has no name.
    pub source: Option<Address>,
    /// Our end of it; `None` where that has no name.
    pub local: Option<Address>,
    /// Where its bytes go; `None` as long as that is not reached, and for what the program holds accepted.
    pub destination: Option<Address>,
    /// The backend that the routes chose for it.
    pub backend: Option<Arc<str>>,
    /// What its first bytes speak, where they were looked at and it could be told.
    pub protocol: Option<&'static str>,
    /// Who has it.
    pub state: LiveState,
    /// Since when it stands.
    pub age: Duration,
    /// How long no byte has moved either way; `None` unless it is relayed.
    pub idle: Option<Duration>,
    /// Bytes from its peer, the client of one that is relayed.
    pub bytes_received: u64,
    /// Bytes to its peer.
    pub bytes_sent: u64,
}

/// Who has a connection that stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LiveState {
    /// The program, which accepted it or dialled it.
    Held,
    /// The manager, on the way to its destination: header, probe, route, connect.
    Reaching,
    /// The manager, in line for a place of its backend.
    Waiting,
    /// The manager, which relays it.
    Relaying,
}

impl LiveState {
    /// Lower-case name, as it crosses into other languages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Reaching => "reaching",
            Self::Waiting => "waiting",
            Self::Relaying => "relaying",
        }
    }
}

/// The place of a reason in [`CloseReason::ALL`]: its numbers start at 1 and have no gap.
pub(super) fn place(reason: CloseReason) -> usize {
    reason as usize - 1
}

/// What became of the connections that stood when a drain began.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DrainReport {
    /// Those that ended by themselves.
    pub finished: u64,
    /// Those that were closed: by the deadline, or at once because they waited for a place of their backend.
    pub cut: u64,
}

impl DrainReport {
    /// What became of connections during a drain, by the counts before and after it.
    pub(crate) fn between(before: &TcpManagerStats, after: &TcpManagerStats) -> Self {
        let cut = after.closed_because(CloseReason::Drained)
            - before.closed_because(CloseReason::Drained);
        Self { finished: after.closed() - before.closed() - cut, cut }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_has_its_place() {
        for (index, reason) in CloseReason::ALL.into_iter().enumerate() {
            assert_eq!(place(reason), index);
        }
    }
}
