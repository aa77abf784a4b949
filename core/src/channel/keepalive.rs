//! When to ask a silent peer whether it is still there, and what a complaint about it changes.

use crate::config::{KeepaliveParams, TimeLimit};
use std::time::{Duration, Instant};

/// The least time that a channel which was told that it pings too often uses from then on.
const AFTER_COMPLAINT: Duration = Duration::from_secs(300);
/// Pings more often than this are never sent.
const FLOOR: Duration = Duration::from_secs(10);

/// The time between pings of a channel's next connections: doubled, to 300 s at least, whenever a peer complains.
#[derive(Clone, Copy, Debug)]
pub(super) struct PingTime(Option<Duration>);

impl PingTime {
    pub(super) fn new(params: &KeepaliveParams) -> Self {
        match params.time {
            TimeLimit::After(time) => Self(Some(time.max(FLOOR))),
            TimeLimit::Never => Self(None),
        }
    }

    pub(super) fn time(self) -> Option<Duration> {
        self.0
    }

    /// A peer said `too_many_pings` to a connection that used `time`. Connections that were made before and
    /// hear the same change nothing more. Returns the new time.
    pub(super) fn on_complaint(&mut self, time: Option<Duration>) -> Option<Duration> {
        if self.0 == time {
            self.0 = time.map(|time| time.saturating_mul(2).max(AFTER_COMPLAINT));
        }
        self.0
    }
}

/// Asks one peer. Driven with the time of the last byte that came.
///
/// ```text
///   Watching ── silent for `time`, and calls or permitted ──▶ Asked ── no byte for `timeout` ──▶ Dead
///      ▲                                                        │
///      └────────────────────── any byte ────────────────────────┘
/// ```
#[derive(Debug)]
pub(super) struct Keepalive {
    time: Duration,
    timeout: Duration,
    without_calls: bool,
    asked: Option<Instant>,
}

/// What to do about a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Check {
    /// Nothing before this time.
    At(Instant),
    /// Nothing until there is a call.
    WhenCalled,
    /// Ask now.
    Ask,
    /// It did not answer.
    Dead,
}

impl Keepalive {
    /// `None` where pings are never sent.
    pub(super) fn new(time: PingTime, params: &KeepaliveParams) -> Option<Self> {
        let time = time.time()?;
        let (timeout, without_calls) = (params.timeout, params.permit_without_stream);
        Some(Self { time, timeout, without_calls, asked: None })
    }

    /// Looks at `now`, when the last byte came at `heard` and so many calls are open.
    pub(super) fn check(&mut self, now: Instant, heard: Instant, calls: usize) -> Check {
        if let Some(asked) = self.asked {
            if heard < asked {
                let dead_at = asked + self.timeout;
                return if dead_at <= now { Check::Dead } else { Check::At(dead_at) };
            }
            self.asked = None;
        }
        if calls == 0 && !self.without_calls {
            return Check::WhenCalled;
        }
        let due = heard + self.time;
        if due > now {
            return Check::At(due);
        }
        self.asked = Some(now);
        Check::Ask
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    fn start() -> Instant {
        Instant::now()
    }

    fn keepalive(without_calls: bool) -> Keepalive {
        let params = KeepaliveParams {
            time: TimeLimit::secs(10),
            timeout: 5 * SECOND,
            permit_without_stream: without_calls,
        };
        Keepalive::new(PingTime::new(&params), &params).unwrap()
    }

    #[test]
    fn a_silent_peer_is_asked_and_one_that_does_not_answer_is_dead() {
        let (mut keepalive, heard) = (keepalive(true), start());
        assert_eq!(keepalive.check(heard, heard, 0), Check::At(heard + 10 * SECOND));
        let asked = heard + 10 * SECOND;
        assert_eq!(keepalive.check(asked, heard, 0), Check::Ask);
        assert_eq!(keepalive.check(asked + SECOND, heard, 0), Check::At(asked + 5 * SECOND));
        assert_eq!(keepalive.check(asked + 5 * SECOND, heard, 0), Check::Dead);
    }

    #[test]
    fn any_byte_is_an_answer_and_puts_the_next_question_off() {
        let (mut keepalive, start) = (keepalive(true), start());
        let asked = start + 10 * SECOND;
        assert_eq!(keepalive.check(asked, start, 0), Check::Ask);
        let heard = asked + SECOND;
        assert_eq!(keepalive.check(heard, heard, 0), Check::At(heard + 10 * SECOND));
    }

    #[test]
    fn without_permission_nothing_is_asked_until_a_call_begins_and_then_at_once() {
        let (mut keepalive, heard) = (keepalive(false), start());
        let late = heard + 60 * SECOND;
        assert_eq!(keepalive.check(late, heard, 0), Check::WhenCalled);
        assert_eq!(keepalive.check(late, heard, 1), Check::Ask);
    }

    #[test]
    fn ten_seconds_is_the_floor_and_never_is_never() {
        let short = KeepaliveParams { time: TimeLimit::secs(1), ..KeepaliveParams::default() };
        assert_eq!(PingTime::new(&short).time(), Some(10 * SECOND));
        let never = KeepaliveParams { time: TimeLimit::Never, ..KeepaliveParams::default() };
        let mut never_time = PingTime::new(&never);
        assert!(Keepalive::new(never_time, &never).is_none());
        assert_eq!(never_time.on_complaint(None), None);
    }

    #[test]
    fn a_complaint_doubles_the_time_to_five_minutes_at_least_and_counts_once() {
        let mut time = PingTime::new(&KeepaliveParams::default());
        let first = time.time();
        assert_eq!(time.on_complaint(first), Some(300 * SECOND));
        assert_eq!(time.on_complaint(first), Some(300 * SECOND));
        assert_eq!(time.on_complaint(Some(300 * SECOND)), Some(600 * SECOND));
    }
}
