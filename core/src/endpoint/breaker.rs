//! Keeps calls away from an endpoint that fails, and lets a few through to learn when it works again.

mod state;

use crate::config::BreakerConfig;
use state::{State, Verdict};
use std::time::{Duration, Instant};

#[cfg(test)]
mod tests;

/// Says whether a call may go to one endpoint, from how the calls before it ended.
///
/// ```text
///              a failure too many               asked after `until`
///   Closed ─────────────────────────▶ Open ─────────────────────────▶ HalfOpen
///     ▲                                ▲                                │   │
///     │                                └──────── a probe failed ────────┘   │
///     └─────────────────── as many successes as probes ─────────────────────┘
/// ```
///
/// Who wants to call asks [`on_admit`](Self::on_admit) first, and tells the end of each admitted call to
/// [`on_outcome`](Self::on_outcome). An outcome counts only in the state that admitted its call.
#[derive(Clone, Debug)]
pub struct Breaker {
    config: BreakerConfig,
    /// Of the state: one higher with each change of it.
    generation: u64,
    state: State,
    /// When it came into its state.
    since: Instant,
    counts: BreakerCounts,
}

/// The right to make one call, to be given back with how the call ended.
///
/// Who drops it instead should tell [`Outcome::Cancelled`]: else a probe's place stays taken until its
/// deadline. A pass means nothing to another breaker.
#[must_use = "tell on_outcome how the call ended"]
#[derive(Debug, PartialEq, Eq)]
pub struct Pass {
    generation: u64,
    ticket: u64,
}

/// How an admitted call ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The endpoint did what it should; an error that is the caller's fault is such a success.
    Success,
    /// The endpoint failed: it refused, broke off or took too long.
    Failure,
    /// Nobody knows: the caller gave up. Counts neither way and frees the place of a probe.
    Cancelled,
}

/// Why a call was not admitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the circuit is open for another {remaining:.1?}")]
pub struct OpenFor {
    /// Time after which asking again makes sense: the rest of the open time or, where all probes are out,
    /// the time until the first of them lapses; one that ends earlier makes room earlier.
    pub remaining: Duration,
}

/// What an outcome changed, for the driver to act on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerChange {
    /// Nothing that a waiting caller could notice.
    Nothing,
    /// A probe's place came free: one more call may be admitted.
    Freed,
    /// No call is admitted before `until`.
    Opened {
        /// When the first probe may start.
        until: Instant,
    },
    /// Every call is admitted.
    Closed,
}

/// Where a breaker stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// Every call is admitted.
    Closed,
    /// No call is admitted before `until`; the first that asks then is a probe.
    Open {
        /// When the first probe may start.
        until: Instant,
    },
    /// A few calls are admitted as probes.
    HalfOpen {
        /// Places that are taken, those included that lapsed since the last call was admitted.
        in_flight: u32,
        /// Probes that succeeded.
        successes: u32,
    },
}

/// What a breaker counted since it was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BreakerCounts {
    /// Calls that were let through.
    pub admitted: u64,
    /// Calls that were not. They are no failures of the endpoint.
    pub rejected: u64,
    /// Outcomes that came after the state had changed.
    pub ignored: u64,
    /// Times that it opened.
    pub opened: u64,
    /// Times that it closed again.
    pub closed: u64,
}

impl Breaker {
    /// Starts closed. The window's buckets are counted from `now`.
    pub fn new(config: BreakerConfig, now: Instant) -> Self {
        let state = State::closed(&config, now);
        Self { config, generation: 0, state, since: now, counts: BreakerCounts::default() }
    }

    /// Asks to let a call through at `now`.
    ///
    /// # Errors
    ///
    /// [`OpenFor`] while it is open, or half open with all probes out.
    pub fn on_admit(&mut self, now: Instant) -> Result<Pass, OpenFor> {
        if let State::Open { until, trips } = self.state
            && until <= now
        {
            self.enter(State::half_open(trips), now);
        }
        let ticket = self.counts.admitted;
        match self.state.admit(&self.config, ticket, now) {
            Ok(()) => {
                self.counts.admitted += 1;
                Ok(Pass { generation: self.generation, ticket })
            }
            Err(again) => {
                self.counts.rejected += 1;
                Err(OpenFor { remaining: again.saturating_duration_since(now) })
            }
        }
    }

    /// The call that `pass` was given for ended at `now`. `unit` is a fresh draw from 0..1, used if the
    /// breaker opens.
    ///
    /// A probe that outlived its deadline still counts; only its place was free before.
    pub fn on_outcome(
        &mut self,
        pass: Pass,
        outcome: Outcome,
        now: Instant,
        unit: f64,
    ) -> BreakerChange {
        if pass.generation != self.generation {
            self.counts.ignored += 1;
            return BreakerChange::Nothing;
        }
        match self.state.note(&self.config, pass.ticket, outcome, now) {
            Verdict::Stay => BreakerChange::Nothing,
            Verdict::Freed => BreakerChange::Freed,
            Verdict::Open { trips } => self.open(trips, now, unit),
            Verdict::Close => self.close(now),
        }
    }

    /// Whether [`on_admit`](Self::on_admit) would let a call through at `now`.
    pub fn is_ready(&self, now: Instant) -> bool {
        self.next_admission(now).is_none()
    }

    /// When a call may be admitted, if none may at `now`: the end of the open time or the first lapse of a
    /// probe.
    pub fn next_admission(&self, now: Instant) -> Option<Instant> {
        self.state.next_admission(&self.config, now)
    }

    /// Closes it and forgets every outcome, as when the host knows that the endpoint was repaired.
    pub fn reset(&mut self, now: Instant) {
        if !matches!(self.state, State::Closed { .. }) {
            self.counts.closed += 1;
        }
        self.enter(State::closed(&self.config, now), now);
    }

    /// Takes other figures from `now` on. The window starts empty; what is open stays open as long as it
    /// was told to.
    pub fn set_config(&mut self, config: BreakerConfig, now: Instant) {
        self.config = config;
        self.state.clear_window(&config, now);
    }

    /// Where it stands. An open time that has passed shows when the next call is admitted.
    pub fn state(&self) -> BreakerState {
        match &self.state {
            State::Closed { .. } => BreakerState::Closed,
            State::Open { until, .. } => BreakerState::Open { until: *until },
            State::HalfOpen { probes, successes, .. } => {
                BreakerState::HalfOpen { in_flight: probes.len() as u32, successes: *successes }
            }
        }
    }

    /// Since when it stands there.
    pub fn since(&self) -> Instant {
        self.since
    }

    /// What it counted.
    pub fn counts(&self) -> BreakerCounts {
        self.counts
    }

    fn open(&mut self, trips: u32, now: Instant, unit: f64) -> BreakerChange {
        let until = now + self.config.open_time(trips, unit);
        self.counts.opened += 1;
        self.enter(State::Open { until, trips }, now);
        BreakerChange::Opened { until }
    }

    fn close(&mut self, now: Instant) -> BreakerChange {
        self.counts.closed += 1;
        self.enter(State::closed(&self.config, now), now);
        BreakerChange::Closed
    }

    fn enter(&mut self, state: State, now: Instant) {
        self.generation += 1;
        self.state = state;
        self.since = now;
    }
}
