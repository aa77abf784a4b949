//! Whether an endpoint passes its checks, and when the next one is due.

use crate::config::HealthConfig;
use std::time::{Duration, Instant};

/// Whether one endpoint passes its checks, and when the next one is due.
///
/// ```text
///               passed                      `fall` failed in a row
///   Unchecked ─────────▶ Healthy ────────────────────────────────▶ Unhealthy
///       │                   ▲                                       ▲  │
///       │                   └──────── `rise` passed in a row ───────┼──┘
///       └───────────────────────── failed ──────────────────────────┘
/// ```
///
/// The first result decides by itself. What a check is, is up to the driver: it starts one when told to,
/// gives it up in time, and tells how it ended.
#[derive(Clone, Debug)]
pub struct HealthCheck {
    config: HealthConfig,
    verdict: Verdict,
    /// When the verdict became what it is.
    since: Instant,
    schedule: Schedule,
}

#[derive(Clone, Copy, Debug)]
enum Verdict {
    Unchecked,
    /// `failed` counts the checks in a row.
    Healthy {
        failed: u32,
    },
    /// `passed` counts the checks in a row.
    Unhealthy {
        passed: u32,
    },
}

#[derive(Clone, Copy, Debug)]
enum Schedule {
    Waiting {
        at: Instant,
    },
    /// `next` was fixed when this check began: time spent checking counts against the interval.
    Checking {
        next: Instant,
    },
}

/// What the driver must do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HealthAction {
    /// Check the endpoint. One that has told nothing by then has failed.
    Check {
        /// When to give it up.
        give_up_at: Instant,
    },
    /// Come back then.
    WakeAt(Instant),
    /// A check runs: tell how it ends.
    Nothing,
}

/// What the result of a check changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HealthChange {
    /// The endpoint is what it was.
    Nothing,
    /// It is healthy from now on.
    Up,
    /// It is not healthy from now on.
    Down,
}

/// What the checks of an endpoint say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum HealthState {
    /// None has ended yet.
    Unchecked,
    /// It passes.
    Healthy,
    /// It does not.
    Unhealthy,
}

impl HealthCheck {
    /// Starts unchecked. The first check is due after some part of the jitter, so that the endpoints of a new
    /// set are not checked all at once; `unit` is a fresh draw from 0..1.
    pub fn new(config: HealthConfig, now: Instant, unit: f64) -> Self {
        let spread = config.interval.as_secs_f64() * config.jitter * unit;
        let pause = Duration::try_from_secs_f64(spread.max(0.0)).unwrap_or_default();
        let at = now.checked_add(pause).unwrap_or(now);
        Self { config, verdict: Verdict::Unchecked, since: now, schedule: Schedule::Waiting { at } }
    }

    /// The clock reached `now`. `unit` is a fresh draw from 0..1, used if a check begins. Early and late calls
    /// are harmless.
    pub fn on_timeout(&mut self, now: Instant, unit: f64) -> HealthAction {
        match self.schedule {
            Schedule::Waiting { at } if at <= now => {
                self.schedule = Schedule::Checking { next: now + self.config.pause(unit) };
                let timeout = self.config.timeout;
                HealthAction::Check { give_up_at: now.checked_add(timeout).unwrap_or(now) }
            }
            Schedule::Waiting { at } => HealthAction::WakeAt(at),
            Schedule::Checking { .. } => HealthAction::Nothing,
        }
    }

    /// The check that runs ended at `now`. A second result of the same check is ignored.
    pub fn on_result(&mut self, passed: bool, now: Instant) -> HealthChange {
        let Schedule::Checking { next } = self.schedule else { return HealthChange::Nothing };
        self.schedule = Schedule::Waiting { at: next.max(now) };
        let (before, state) = (self.is_healthy(), self.state());
        self.verdict = self.verdict.after(passed, &self.config);
        if self.state() != state {
            self.since = now;
        }
        match (before, self.is_healthy()) {
            (false, true) => HealthChange::Up,
            (true, false) => HealthChange::Down,
            (true, true) | (false, false) => HealthChange::Nothing,
        }
    }

    /// The check that runs ended at `now` and told nothing: it counts neither way.
    pub fn on_nothing(&mut self, now: Instant) {
        if let Schedule::Checking { next } = self.schedule {
            self.schedule = Schedule::Waiting { at: next.max(now) };
        }
    }

    /// Whether calls may go there as far as checks say; one that was never checked is given the benefit of
    /// the doubt.
    pub fn is_healthy(&self) -> bool {
        match self.verdict {
            Verdict::Unchecked | Verdict::Healthy { .. } => true,
            Verdict::Unhealthy { .. } => false,
        }
    }

    /// What the checks say.
    pub fn state(&self) -> HealthState {
        match self.verdict {
            Verdict::Unchecked => HealthState::Unchecked,
            Verdict::Healthy { .. } => HealthState::Healthy,
            Verdict::Unhealthy { .. } => HealthState::Unhealthy,
        }
    }

    /// Since when they say that.
    pub fn since(&self) -> Instant {
        self.since
    }
}

impl Verdict {
    fn after(self, passed: bool, config: &HealthConfig) -> Self {
        match (self, passed) {
            (Self::Unchecked | Self::Healthy { .. }, true) => Self::Healthy { failed: 0 },
            (Self::Unchecked | Self::Unhealthy { .. }, false) => Self::Unhealthy { passed: 0 },
            (Self::Healthy { failed }, false) if failed + 1 >= config.fall => {
                Self::Unhealthy { passed: 0 }
            }
            (Self::Healthy { failed }, false) => Self::Healthy { failed: failed + 1 },
            (Self::Unhealthy { passed }, true) if passed + 1 >= config.rise => {
                Self::Healthy { failed: 0 }
            }
            (Self::Unhealthy { passed }, true) => Self::Unhealthy { passed: passed + 1 },
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

    /// Runs a check at once, whenever it is due, and returns what its result changed.
    fn check(health: &mut HealthCheck, now: &mut Instant, passed: bool) -> HealthChange {
        if let HealthAction::WakeAt(at) = health.on_timeout(*now, 0.5) {
            *now = at;
            health.on_timeout(at, 0.5);
        }
        health.on_result(passed, *now)
    }

    fn changes(results: &[bool]) -> Vec<HealthChange> {
        let mut now = start();
        let mut health = HealthCheck::new(HealthConfig::default(), now, 0.5);
        results.iter().map(|passed| check(&mut health, &mut now, *passed)).collect()
    }

    #[test]
    fn the_first_result_decides_by_itself() {
        assert_eq!(changes(&[false]), [HealthChange::Down]);
        assert_eq!(changes(&[true]), [HealthChange::Nothing]);
        assert!(HealthCheck::new(HealthConfig::default(), start(), 0.5).is_healthy());
    }

    #[test]
    fn three_failures_in_a_row_take_it_down_and_two_passes_bring_it_up() {
        use HealthChange::{Down, Nothing, Up};
        let results = [true, false, false, true, false, false, false, true, false, true, true];
        let expected = [
            Nothing, Nothing, Nothing, Nothing, Nothing, Nothing, Down, Nothing, Nothing, Nothing,
            Up,
        ];
        assert_eq!(changes(&results), expected);
    }

    #[test]
    fn checks_start_an_interval_apart_however_long_they_take() {
        let now = start();
        let mut health = HealthCheck::new(HealthConfig::default(), now, 0.0);
        assert_eq!(
            health.on_timeout(now, 0.5),
            HealthAction::Check { give_up_at: now + 2 * SECOND }
        );
        assert_eq!(health.on_timeout(now + SECOND, 0.5), HealthAction::Nothing);
        health.on_result(true, now + 2 * SECOND);
        assert_eq!(
            health.on_timeout(now + 2 * SECOND, 0.5),
            HealthAction::WakeAt(now + 10 * SECOND)
        );
    }

    #[test]
    fn a_second_result_of_a_check_is_ignored() {
        let now = start();
        let mut health = HealthCheck::new(HealthConfig::default(), now, 0.0);
        assert_eq!(health.on_result(false, now), HealthChange::Nothing);
        health.on_timeout(now, 0.5);
        health.on_result(true, now);
        for _ in 0..5 {
            assert_eq!(health.on_result(false, now), HealthChange::Nothing);
        }
        assert_eq!(health.state(), HealthState::Healthy);
    }

    #[test]
    fn it_is_what_it_is_since_the_result_that_changed_it() {
        let mut now = start();
        let mut health = HealthCheck::new(HealthConfig::default(), now, 0.0);
        assert_eq!((health.state(), health.since()), (HealthState::Unchecked, now));
        check(&mut health, &mut now, false);
        let down = now;
        for passed in [false, true, false, true] {
            check(&mut health, &mut now, passed);
            assert_eq!((health.state(), health.since()), (HealthState::Unhealthy, down));
        }
        check(&mut health, &mut now, true);
        assert_eq!((health.state(), health.since()), (HealthState::Healthy, now));
        assert!(now > down);
    }

    #[test]
    fn a_check_that_told_nothing_counts_neither_way_and_the_next_one_comes() {
        let now = start();
        let mut health = HealthCheck::new(HealthConfig::default(), now, 0.0);
        for round in 0..10 {
            let at = now + 10 * SECOND * round;
            assert!(matches!(health.on_timeout(at, 0.5), HealthAction::Check { .. }));
            health.on_nothing(at);
            assert_eq!(health.on_result(false, at), HealthChange::Nothing, "it is over");
        }
        assert_eq!((health.state(), health.since()), (HealthState::Unchecked, now));
    }

    #[test]
    fn the_first_checks_of_many_endpoints_are_spread() {
        let now = start();
        let first =
            |unit| HealthCheck::new(HealthConfig::default(), now, unit).on_timeout(now, 0.5);
        assert_eq!(first(0.25), HealthAction::WakeAt(now + SECOND / 2));
        assert_eq!(first(0.75), HealthAction::WakeAt(now + SECOND * 3 / 2));
    }

    proptest! {
        #[test]
        fn a_pause_never_leaves_its_band(unit in 0.0f64..1.0) {
            let pause = HealthConfig::default().pause(unit);
            prop_assert!(pause >= 8 * SECOND && pause <= 12 * SECOND);
        }

        #[test]
        fn a_change_needs_its_whole_row(results in prop::collection::vec(any::<bool>(), 2..60)) {
            let changes = changes(&results);
            for at in 1..results.len() {
                let row = |passed, length| at + 1 >= length && results[at + 1 - length..=at].iter().all(|r| *r == passed);
                match changes[at] {
                    HealthChange::Up => prop_assert!(row(true, 2)),
                    HealthChange::Down => prop_assert!(row(false, 3)),
                    HealthChange::Nothing => {}
                }
            }
        }

        #[test]
        fn any_configuration_and_any_clock_give_some_action(
            times: (u64, u64), jitter: f64, counts: (u32, u32),
            steps in prop::collection::vec((0u64..1 << 40, any::<f64>(), any::<bool>()), 0..30),
        ) {
            let (interval, timeout) = (Duration::from_secs(times.0), Duration::from_secs(times.1));
            let config = HealthConfig { interval, timeout, jitter, rise: counts.0, fall: counts.1, ..HealthConfig::default() };
            let origin = start();
            let mut health = HealthCheck::new(config, origin, 0.5);
            for (at, unit, passed) in steps {
                let now = origin + Duration::from_millis(at);
                health.on_timeout(now, unit);
                health.on_result(passed, now);
            }
        }
    }
}
