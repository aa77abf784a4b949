//! What a manager says of its connections.

use crate::context::CloseReason;

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
    /// Those that were closed at the deadline.
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
