//! What a channel, an address of it and its pool of connections have counted.

use std::{fmt, time::Instant};

/// Calls that began and ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) started: u64,
    pub(super) succeeded: u64,
    pub(super) failed: u64,
    /// When the last one began.
    pub(super) last: Option<Instant>,
}

impl Tally {
    pub(super) fn on_start(&mut self, now: Instant) {
        self.started += 1;
        self.last = Some(now);
    }

    pub(super) fn on_end(&mut self, is_success: bool) {
        match is_success {
            true => self.succeeded += 1,
            false => self.failed += 1,
        }
    }
}

/// Why a connection of a channel takes no new calls.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RetireReason {
    /// Nobody called for the idle timeout.
    Idle,
    /// The channel was closed or dropped.
    Closed,
    /// Its address is no longer one of the channel's.
    Unlisted,
    /// Another address had answered, or nobody waited for it any more.
    Surplus,
    /// Its peer said GOAWAY.
    GoAway,
    /// Its peer did not answer a keepalive ping.
    Unanswered,
    /// Its peer or the network ended it.
    Lost,
}

impl RetireReason {
    /// Every reason.
    pub const ALL: [Self; 7] = [
        Self::Idle,
        Self::Closed,
        Self::Unlisted,
        Self::Surplus,
        Self::GoAway,
        Self::Unanswered,
        Self::Lost,
    ];

    /// Lower-case name, as in metric labels and other languages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Closed => "closed",
            Self::Unlisted => "unlisted",
            Self::Surplus => "surplus",
            Self::GoAway => "goaway",
            Self::Unanswered => "unanswered",
            Self::Lost => "lost",
        }
    }
}

impl fmt::Display for RetireReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What the connections of a channel were good for.
#[non_exhaustive]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChannelPoolStats {
    /// Attempts of calls that found a place on a connection at once.
    pub hits: u64,
    /// Attempts of calls that had to wait for one.
    pub misses: u64,
    /// Connections that stood.
    pub created: u64,
    closed: [u64; RetireReason::ALL.len()],
}

impl ChannelPoolStats {
    /// Connections that have ended for this reason.
    pub fn closed(&self, reason: RetireReason) -> u64 {
        self.closed[reason as usize]
    }

    /// A connection that was retired for this reason has ended.
    pub(super) fn on_closed(&mut self, reason: RetireReason) {
        self.closed[reason as usize] += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_is_counted_under_its_own_name() {
        let mut stats = ChannelPoolStats::default();
        for (nth, reason) in RetireReason::ALL.into_iter().enumerate() {
            (0..=nth).for_each(|_| stats.on_closed(reason));
        }
        let counts = RetireReason::ALL.map(|reason| stats.closed(reason));
        assert_eq!(counts, [1, 2, 3, 4, 5, 6, 7]);
    }
}
