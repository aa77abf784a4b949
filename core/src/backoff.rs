//! When to connect again: the gRPC connection backoff, without clock and without chance.

use serde::{Deserialize, Serialize};
use std::time::{Duration, Instant};

/// The shortest time that an attempt is given, however short the delay. Default of [`Backoff::new`].
pub const MIN_CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// No delay is longer, whatever a configuration that nobody checked says: keeps `now + delay` on the clock.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

/// How the delay between attempts to connect grows. Defaults are those of gRPC.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct BackoffConfig {
    /// Time from the start of the first attempt to the start of the second; not jittered.
    /// Default: 1 s. Limits: 1 ms to `max_delay`. Cost: below 100 ms a dead server is hammered.
    #[serde(with = "crate::duration::text")]
    pub base_delay: Duration,
    /// What each failure multiplies the delay by. Default: 1.6. Limits: 1 to 10.
    pub multiplier: f64,
    /// Part of the delay that chance adds or takes away, so that clients of one server do not
    /// return in step. Default: 0.2, that is ±20 %. Limits: 0 to 1.
    pub jitter: f64,
    /// Ceiling before jitter; a jittered delay may exceed it by `jitter`. Default: 120 s, so that
    /// no delay is over 144 s. Limits: `base_delay` to 365 days.
    #[serde(with = "crate::duration::text")]
    pub max_delay: Duration,
}

impl Default for BackoffConfig {
    fn default() -> Self {
        Self {
            base_delay: Duration::from_secs(1),
            multiplier: 1.6,
            jitter: 0.2,
            max_delay: Duration::from_secs(120),
        }
    }
}

impl BackoffConfig {
    /// The delay from the start of an attempt to the start of the next, after so many `failures` in
    /// a row before it. `unit` is a fresh draw from 0..1.
    ///
    /// Total: any configuration and any draw give some delay of at most a year.
    pub fn delay(&self, failures: u32, unit: f64) -> Duration {
        if failures == 0 {
            return self.base_delay.min(LONGEST);
        }
        let exponent = i32::try_from(failures).unwrap_or(i32::MAX);
        let grown = self.base_delay.as_secs_f64() * self.multiplier.powi(exponent);
        // Jitter multiplies after the ceiling: at the ceiling, too, clients must not return in step.
        let jittered =
            grown.min(self.max_delay.as_secs_f64()) * (1.0 + self.jitter * (2.0 * unit - 1.0));
        Duration::try_from_secs_f64(jittered.max(0.0)).unwrap_or(LONGEST).min(LONGEST)
    }
}

/// Where one address stands between its attempts to connect.
///
/// ```text
///              on_attempt                      on_failure
///   Rested ─────────────────▶ Attempting ─────────────────▶ Waiting
///     ▲                         │      ▲                      │
///     │      on_connected       │      │      on_attempt      │
///     └─────────────────────────┘      └──────────────────────┘
///     ▲                                                       │
///     └───────────────────────── reset ───────────────────────┘
/// ```
///
/// Connected means usable: with HTTP/2 the server's SETTINGS have arrived, not just TCP or TLS.
/// A server that accepts and then hangs up is thus backed off from like one that refuses.
#[derive(Clone, Debug)]
pub struct Backoff {
    config: BackoffConfig,
    min_connect_timeout: Duration,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// Nothing has failed since the last connection.
    Rested,
    /// `next_attempt` was fixed when this attempt began: time spent connecting counts against the delay.
    Attempting { failures: u32, next_attempt: Instant },
    /// `failures` counts the attempt that ended in this wait.
    Waiting { failures: u32, next_attempt: Instant },
}

/// What an attempt that just began is bound by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// When to give it up. At least the minimal connect timeout away, and not before `next_attempt`.
    pub give_up_at: Instant,
    /// When the next attempt may begin, should this one fail before.
    pub next_attempt: Instant,
}

impl Default for Backoff {
    fn default() -> Self {
        Self::new(BackoffConfig::default(), MIN_CONNECT_TIMEOUT)
    }
}

impl Backoff {
    /// Starts rested. `min_connect_timeout` is the least time that each attempt is given.
    pub fn new(config: BackoffConfig, min_connect_timeout: Duration) -> Self {
        let min_connect_timeout = min_connect_timeout.min(LONGEST);
        Self { config, min_connect_timeout, state: State::Rested }
    }

    /// An attempt begins at `now`; `unit` is a fresh draw from 0..1.
    ///
    /// The caller waits until [`next_attempt`](Self::next_attempt) before; one who does not is not
    /// held up, and the failures before still count.
    pub fn on_attempt(&mut self, now: Instant, unit: f64) -> Attempt {
        let failures = self.failures();
        let delay = self.config.delay(failures, unit);
        let next_attempt = now + delay;
        self.state = State::Attempting { failures, next_attempt };
        Attempt { give_up_at: now + delay.max(self.min_connect_timeout), next_attempt }
    }

    /// The attempt failed at `now`. Returns when the next may begin: `now` or later.
    pub fn on_failure(&mut self, now: Instant) -> Instant {
        match self.state {
            State::Attempting { failures, next_attempt } => {
                self.state = State::Waiting { failures: failures.saturating_add(1), next_attempt };
                next_attempt.max(now)
            }
            State::Waiting { next_attempt, .. } => next_attempt.max(now),
            State::Rested => now,
        }
    }

    /// The connection became usable: the only thing that takes the delay back to its base.
    pub fn on_connected(&mut self) {
        self.state = State::Rested;
    }

    /// Forgets every failure and ends the wait, as when the host knows that the network is back.
    pub fn reset(&mut self) {
        self.state = State::Rested;
    }

    /// When the next attempt may begin; `None` means at once.
    pub fn next_attempt(&self) -> Option<Instant> {
        match self.state {
            State::Waiting { next_attempt, .. } | State::Attempting { next_attempt, .. } => {
                Some(next_attempt)
            }
            State::Rested => None,
        }
    }

    /// How many attempts have failed in a row.
    pub fn failures(&self) -> u32 {
        match self.state {
            State::Rested => 0,
            State::Attempting { failures, .. } | State::Waiting { failures, .. } => failures,
        }
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

    fn without_jitter() -> Backoff {
        Backoff::new(BackoffConfig { jitter: 0.0, ..BackoffConfig::default() }, MIN_CONNECT_TIMEOUT)
    }

    /// Fails the next attempt at once and returns the delay that it was given.
    fn fail(backoff: &mut Backoff, now: Instant, unit: f64) -> Duration {
        backoff.on_attempt(now, unit);
        backoff.on_failure(now) - now
    }

    #[test]
    fn the_delays_are_those_of_grpc() {
        let mut backoff = without_jitter();
        let delays: Vec<_> =
            (0..13).map(|_| fail(&mut backoff, start(), 0.5).as_secs_f64()).collect();
        let grpc = [
            1.0,
            1.6,
            2.56,
            4.096,
            6.5536,
            10.48576,
            16.777216,
            26.8435456,
            42.94967296,
            68.719476736,
            109.9511627776,
            120.0,
            120.0,
        ];
        for (delay, expected) in delays.iter().zip(grpc) {
            assert!((delay - expected).abs() < 1e-6, "{delays:?}");
        }
    }

    #[test]
    fn the_first_delay_has_no_jitter() {
        for unit in [0.0, 0.3, 0.999] {
            assert_eq!(fail(&mut Backoff::default(), start(), unit), SECOND);
        }
    }

    #[test]
    fn jitter_survives_the_ceiling() {
        let config = BackoffConfig::default();
        assert_eq!(config.delay(100, 0.0), Duration::from_secs(96));
        assert_eq!(config.delay(100, 0.5), Duration::from_secs(120));
        assert!(config.delay(100, 0.999_999) > Duration::from_millis(143_999));
    }

    #[test]
    fn time_spent_connecting_counts_against_the_delay() {
        let (mut backoff, now) = (without_jitter(), start());
        fail(&mut backoff, now, 0.5);
        let attempt = backoff.on_attempt(now, 0.5);

        let failed = now + SECOND;
        assert_eq!(backoff.on_failure(failed), attempt.next_attempt);
        assert_eq!(attempt.next_attempt - failed, Duration::from_millis(600));
    }

    #[test]
    fn an_attempt_that_outlasted_its_delay_is_followed_at_once() {
        let (mut backoff, now) = (Backoff::default(), start());
        backoff.on_attempt(now, 0.5);
        let failed = now + MIN_CONNECT_TIMEOUT;
        assert_eq!(backoff.on_failure(failed), failed);
    }

    #[test]
    fn an_attempt_gets_the_longer_of_its_delay_and_the_minimal_timeout() {
        let (mut backoff, now) = (without_jitter(), start());
        assert_eq!(backoff.on_attempt(now, 0.5).give_up_at, now + MIN_CONNECT_TIMEOUT);
        for _ in 0..20 {
            fail(&mut backoff, now, 0.5);
        }
        assert_eq!(backoff.on_attempt(now, 0.5).give_up_at, now + Duration::from_secs(120));
    }

    #[test]
    fn only_a_usable_connection_or_a_reset_takes_the_delay_back() {
        for back in [Backoff::on_connected, Backoff::reset] {
            let (mut backoff, now) = (without_jitter(), start());
            fail(&mut backoff, now, 0.5);
            fail(&mut backoff, now, 0.5);
            assert_eq!(backoff.failures(), 2);

            backoff.on_attempt(now, 0.5);
            back(&mut backoff);
            assert_eq!((backoff.failures(), backoff.next_attempt()), (0, None));
            assert_eq!(fail(&mut backoff, now, 0.5), SECOND);
        }
    }

    #[test]
    fn a_failure_told_twice_counts_once() {
        let (mut backoff, now) = (Backoff::default(), start());
        backoff.on_attempt(now, 0.5);
        let next = backoff.on_failure(now);
        assert_eq!(backoff.on_failure(now), next);
        assert_eq!(backoff.failures(), 1);
    }

    proptest! {
        #[test]
        fn a_delay_never_leaves_its_band(failures: u32, unit in 0.0f64..1.0) {
            let delay = BackoffConfig::default().delay(failures, unit);
            prop_assert!(delay >= Duration::from_secs(1) && delay <= Duration::from_secs(144));
        }

        #[test]
        fn delays_grow_until_the_ceiling(failures in 0u32..1000, unit in 0.0f64..1.0) {
            let config = BackoffConfig::default();
            prop_assert!(config.delay(failures + 1, unit) >= config.delay(failures, unit));
        }

        #[test]
        fn any_configuration_gives_some_delay(
            base: u64, ceiling: u64, multiplier: f64, jitter: f64, failures: u32, unit: f64,
        ) {
            let (base_delay, max_delay) = (Duration::from_millis(base), Duration::from_millis(ceiling));
            let config = BackoffConfig { base_delay, multiplier, jitter, max_delay };
            prop_assert!(config.delay(failures, unit) <= LONGEST);
        }

        #[test]
        fn a_clock_that_steps_back_or_leaps_never_panics(
            steps in proptest::collection::vec((0u8..4, 0u64..1 << 40, 0.0f64..1.0), 1..50),
        ) {
            let (mut backoff, origin) = (Backoff::default(), start());
            for (event, at, unit) in steps {
                let now = origin + Duration::from_millis(at);
                match event {
                    0 => prop_assert!(backoff.on_attempt(now, unit).give_up_at >= now + MIN_CONNECT_TIMEOUT),
                    1 => prop_assert!(backoff.on_failure(now) >= now),
                    2 => backoff.on_connected(),
                    _ => backoff.reset(),
                }
            }
        }
    }
}
