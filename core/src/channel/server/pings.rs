//! Whether a client asks more often than a server allows.

use crate::config::ChannelServerConfig;
use std::time::{Duration, Instant};

/// Pings that come too soon and are forgiven, until something is sent.
const FORGIVEN: u32 = 2;
/// The least time between pings of a client without calls, where such pings are not permitted.
const WITHOUT_CALLS: Duration = Duration::from_secs(2 * 60 * 60);

/// Judges the pings of one client, as gRPC servers do.
#[derive(Debug)]
pub(super) struct PingRule {
    interval: Duration,
    without_calls: bool,
    last: Option<Instant>,
    has_sent: bool,
    strikes: u32,
}

impl PingRule {
    pub(super) fn new(config: &ChannelServerConfig) -> Self {
        Self {
            interval: config.min_ping_interval,
            without_calls: config.permit_pings_without_calls,
            last: None,
            has_sent: false,
            strikes: 0,
        }
    }

    /// Headers or data of an answer were sent: the next ping is free.
    pub(super) fn on_sent(&mut self) {
        self.has_sent = true;
    }

    /// A ping came at `now`, while so many calls were open. Returns whether that is one too many.
    pub(super) fn on_ping(&mut self, now: Instant, calls: usize) -> bool {
        let last = self.last.replace(now);
        if std::mem::take(&mut self.has_sent) {
            self.strikes = 0;
            return false;
        }
        let least = match calls {
            0 if !self.without_calls && !self.interval.is_zero() => WITHOUT_CALLS,
            _ => self.interval,
        };
        if last.is_some_and(|last| now < last + least) {
            self.strikes += 1;
        }
        self.strikes > FORGIVEN
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    fn start() -> Instant {
        Instant::now()
    }

    fn rule(interval: Duration, permit_pings_without_calls: bool) -> PingRule {
        PingRule::new(&ChannelServerConfig {
            min_ping_interval: interval,
            permit_pings_without_calls,
            ..ChannelServerConfig::default()
        })
    }

    /// How many pings, so far apart, are let through.
    fn allowed(rule: &mut PingRule, every: Duration, calls: usize) -> usize {
        let start = start();
        (0..10).take_while(|nth| !rule.on_ping(start + every * *nth, calls)).count()
    }

    #[test]
    fn two_pings_too_soon_are_forgiven_and_the_third_is_not() {
        assert_eq!(allowed(&mut rule(60 * SECOND, true), 59 * SECOND, 1), 3);
        assert_eq!(allowed(&mut rule(60 * SECOND, true), 60 * SECOND, 1), 10);
    }

    #[test]
    fn without_calls_and_permission_two_hours_must_pass() {
        assert_eq!(allowed(&mut rule(60 * SECOND, false), 119 * 60 * SECOND, 0), 3);
        assert_eq!(allowed(&mut rule(60 * SECOND, false), 120 * 60 * SECOND, 0), 10);
        assert_eq!(allowed(&mut rule(60 * SECOND, false), 60 * SECOND, 1), 10);
        assert_eq!(allowed(&mut rule(60 * SECOND, true), 60 * SECOND, 0), 10);
    }

    #[test]
    fn what_is_sent_takes_strikes_back_and_zero_allows_all() {
        let mut rule = rule(60 * SECOND, true);
        let start = start();
        for nth in 0..20 {
            if nth % 3 == 0 {
                rule.on_sent();
            }
            assert!(!rule.on_ping(start + nth * SECOND, 1), "{nth}");
        }
        assert_eq!(allowed(&mut self::rule(Duration::ZERO, false), Duration::ZERO, 0), 10);
    }

    proptest! {
        #[test]
        fn who_keeps_the_interval_is_never_refused(gaps in prop::collection::vec(60u64..600, 0..50), calls in 1usize..5) {
            let mut rule = rule(60 * SECOND, false);
            let mut now = start();
            for gap in gaps {
                now += Duration::from_secs(gap);
                prop_assert!(!rule.on_ping(now, calls));
            }
        }
    }
}
