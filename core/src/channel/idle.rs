//! Whether a channel that nobody calls gives its connections up, and when.

use crate::config::TimeLimit;
use std::time::{Duration, Instant};

/// Counts the calls that are under way.
///
/// ```text
///   Quiet { since } ── call ──▶ Busy { calls } ── last one ended ──▶ Quiet
///        │
///        └── `limit` after `since` ──▶ it is time to rest
/// ```
#[derive(Debug)]
pub(super) struct Idleness {
    limit: TimeLimit,
    state: State,
}

#[derive(Debug)]
enum State {
    /// `None`: a connection was asked for without a call, and the limit is zero: it counts from the next call.
    Quiet {
        since: Option<Instant>,
    },
    Busy {
        calls: u64,
    },
}

impl Idleness {
    pub(super) fn new(limit: TimeLimit, now: Instant) -> Self {
        Self { limit, state: State::Quiet { since: Some(now) } }
    }

    pub(super) fn on_call(&mut self) {
        self.state = match self.state {
            State::Quiet { .. } => State::Busy { calls: 1 },
            State::Busy { calls } => State::Busy { calls: calls + 1 },
        };
    }

    /// A call ended at `now`. True if it was the last one.
    pub(super) fn on_call_ended(&mut self, now: Instant) -> bool {
        match self.state {
            State::Busy { calls: 2.. } | State::Quiet { .. } => {
                if let State::Busy { calls } = &mut self.state {
                    *calls -= 1;
                }
                false
            }
            State::Busy { .. } => {
                self.state = State::Quiet { since: Some(now) };
                true
            }
        }
    }

    /// Somebody asked for a connection without a call: the time begins anew.
    pub(super) fn on_use(&mut self, now: Instant) {
        if let State::Quiet { since } = &mut self.state {
            *since = (self.limit != TimeLimit::After(Duration::ZERO)).then_some(now);
        }
    }

    /// Calls under way.
    pub(super) fn calls(&self) -> u64 {
        match self.state {
            State::Quiet { .. } => 0,
            State::Busy { calls } => calls,
        }
    }

    /// When the channel rests if nobody calls; `None` while somebody does, and for never.
    pub(super) fn rests_at(&self) -> Option<Instant> {
        match self.state {
            State::Quiet { since } => since.and_then(|since| self.limit.from(since)),
            State::Busy { .. } => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    fn start() -> Instant {
        Instant::now()
    }

    #[test]
    fn the_time_counts_from_the_end_of_the_last_call() {
        let (start, minute) = (start(), Duration::from_secs(60));
        let mut idle = Idleness::new(TimeLimit::After(minute), start);
        assert_eq!(idle.rests_at(), Some(start + minute));
        idle.on_call();
        idle.on_call();
        assert_eq!((idle.rests_at(), idle.calls()), (None, 2));
        assert!(!idle.on_call_ended(start + minute));
        assert!(idle.on_call_ended(start + 5 * minute));
        assert_eq!(idle.rests_at(), Some(start + 6 * minute));
        idle.on_use(start + 6 * minute);
        assert_eq!(idle.rests_at(), Some(start + 7 * minute));
    }

    #[test]
    fn never_is_never_and_zero_is_at_once() {
        let start = start();
        assert_eq!(Idleness::new(TimeLimit::Never, start).rests_at(), None);
        let at_once = Idleness::new(TimeLimit::After(Duration::ZERO), start);
        assert_eq!(at_once.rests_at(), Some(start));
    }

    #[test]
    fn with_a_limit_of_zero_who_asks_for_a_connection_gets_one_to_call_on() {
        let start = start();
        let mut idle = Idleness::new(TimeLimit::After(Duration::ZERO), start);
        idle.on_use(start);
        assert_eq!(idle.rests_at(), None);
        idle.on_call();
        assert!(idle.on_call_ended(start));
        assert_eq!(idle.rests_at(), Some(start));
    }
}
