//! Decides when to accept again after an accept that failed.

use std::time::{Duration, Instant};

/// ```text
///   Accepting ── out of resources, or the second failure in a row ──▶ Paused
///       ▲ └── one other failure: again at once                         │
///       └─────────────────────── accepted ─────────────────────────────┘
/// ```
///
/// While it is paused, an accept is tried once per pause.
#[derive(Debug)]
pub(crate) struct Pacing {
    state: State,
    pause: Duration,
}

#[derive(Clone, Copy, Debug)]
enum State {
    Accepting,
    /// One connection could not be taken, for a reason of its own.
    Doubtful,
    Paused,
}

/// What to do after a failed accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    AtOnce,
    /// Not before this time. `is_new` says that accepting went well until now.
    Pause {
        until: Instant,
        is_new: bool,
    },
}

impl Pacing {
    pub(crate) fn new(pause: Duration) -> Self {
        Self { state: State::Accepting, pause }
    }

    /// Pauses last this long from now on.
    pub(crate) fn set_pause(&mut self, pause: Duration) {
        self.pause = pause;
    }

    /// An accept failed at `now`; `out_of_resources` where the next one would fail alike.
    pub(crate) fn on_failed(&mut self, out_of_resources: bool, now: Instant) -> Next {
        let (state, next) = match self.state {
            State::Accepting if !out_of_resources => (State::Doubtful, Next::AtOnce),
            State::Accepting | State::Doubtful => {
                (State::Paused, Next::Pause { until: now + self.pause, is_new: true })
            }
            State::Paused => {
                (State::Paused, Next::Pause { until: now + self.pause, is_new: false })
            }
        };
        self.state = state;
        next
    }

    /// A connection was accepted; says whether that ends a pause.
    pub(crate) fn on_accepted(&mut self) -> bool {
        let was_paused = matches!(self.state, State::Paused);
        self.state = State::Accepting;
        was_paused
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAUSE: Duration = Duration::from_millis(100);

    #[expect(clippy::disallowed_methods, reason = "any moment will do")]
    fn pacing() -> (Pacing, Instant) {
        (Pacing::new(PAUSE), Instant::now())
    }

    #[test]
    fn out_of_files_pauses_at_once_and_is_told_once_per_period() {
        let (mut pacing, now) = pacing();
        let until = now + PAUSE;
        assert_eq!(pacing.on_failed(true, now), Next::Pause { until, is_new: true });
        assert_eq!(pacing.on_failed(true, now), Next::Pause { until, is_new: false });
        assert!(pacing.on_accepted());
        assert!(!pacing.on_accepted());
        assert_eq!(pacing.on_failed(true, now), Next::Pause { until, is_new: true });
    }

    #[test]
    fn one_connection_that_went_wrong_does_not_stop_the_next() {
        let (mut pacing, now) = pacing();
        for _ in 0..3 {
            assert_eq!(pacing.on_failed(false, now), Next::AtOnce);
            assert!(!pacing.on_accepted());
        }
    }

    #[test]
    fn an_accept_that_keeps_failing_does_not_spin() {
        let (mut pacing, now) = pacing();
        assert_eq!(pacing.on_failed(false, now), Next::AtOnce);
        let until = now + PAUSE;
        assert_eq!(pacing.on_failed(false, now), Next::Pause { until, is_new: true });
        assert_eq!(pacing.on_failed(false, now), Next::Pause { until, is_new: false });
    }
}
