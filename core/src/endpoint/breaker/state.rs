//! What a breaker remembers in each of its states, and what an outcome means there.

use super::Outcome;
use crate::{
    config::BreakerConfig,
    endpoint::window::{Tally, Window},
};
use std::time::{Duration, Instant};

/// No deadline is further away, whatever a configuration that nobody checked says: keeps it on the clock.
const LONGEST: Duration = Duration::from_secs(365 * 24 * 3600);

#[derive(Clone, Debug)]
pub(super) enum State {
    /// `failures` counts those in a row.
    Closed {
        window: Window,
        failures: u32,
    },
    /// `trips` counts the openings since it was last closed, this one included.
    Open {
        until: Instant,
        trips: u32,
    },
    HalfOpen {
        probes: Vec<Probe>,
        successes: u32,
        trips: u32,
    },
}

/// A place that an admitted call takes while the breaker is half open.
#[derive(Clone, Copy, Debug)]
pub(super) struct Probe {
    ticket: u64,
    lapses: Instant,
}

/// What an outcome asks of the breaker.
pub(super) enum Verdict {
    Stay,
    Freed,
    Open { trips: u32 },
    Close,
}

impl State {
    pub(super) fn closed(config: &BreakerConfig, now: Instant) -> Self {
        Self::Closed { window: Window::new(config.bucket, config.buckets, now), failures: 0 }
    }

    pub(super) fn half_open(trips: u32) -> Self {
        Self::HalfOpen { probes: Vec::new(), successes: 0, trips }
    }

    /// Forgets the calls that were counted, if it counts any.
    pub(super) fn clear_window(&mut self, config: &BreakerConfig, now: Instant) {
        match self {
            Self::Closed { window, .. } => {
                *window = Window::new(config.bucket, config.buckets, now);
            }
            Self::Open { .. } | Self::HalfOpen { .. } => {}
        }
    }

    /// When a call may be admitted, if none may at `now`.
    pub(super) fn next_admission(&self, config: &BreakerConfig, now: Instant) -> Option<Instant> {
        match self {
            Self::Closed { .. } => None,
            Self::Open { until, .. } => Some(*until).filter(|until| *until > now),
            Self::HalfOpen { probes, .. } => first_lapse(probes, config, now),
        }
    }

    /// Admits the call `ticket`, or says when to ask again.
    pub(super) fn admit(
        &mut self,
        config: &BreakerConfig,
        ticket: u64,
        now: Instant,
    ) -> Result<(), Instant> {
        match self {
            Self::Closed { .. } => Ok(()),
            Self::Open { until, .. } => Err(*until),
            Self::HalfOpen { probes, .. } => {
                if let Some(lapse) = first_lapse(probes, config, now) {
                    return Err(lapse);
                }
                probes.retain(|probe| probe.lapses > now);
                probes.push(Probe { ticket, lapses: now + config.probe_deadline.min(LONGEST) });
                Ok(())
            }
        }
    }

    pub(super) fn note(
        &mut self,
        config: &BreakerConfig,
        ticket: u64,
        outcome: Outcome,
        now: Instant,
    ) -> Verdict {
        match self {
            Self::Closed { window, failures } => note_call(window, failures, config, outcome, now),
            // No pass has the generation of an open state.
            Self::Open { .. } => Verdict::Stay,
            Self::HalfOpen { probes, successes, trips } => {
                let place = probes.iter().position(|probe| probe.ticket == ticket);
                let freed = place.map(|place| probes.swap_remove(place)).is_some();
                match outcome {
                    Outcome::Failure => Verdict::Open { trips: trips.saturating_add(1) },
                    Outcome::Success if *successes + 1 >= config.probes => Verdict::Close,
                    Outcome::Success => {
                        *successes += 1;
                        if freed { Verdict::Freed } else { Verdict::Stay }
                    }
                    Outcome::Cancelled if freed => Verdict::Freed,
                    Outcome::Cancelled => Verdict::Stay,
                }
            }
        }
    }
}

fn note_call(
    window: &mut Window,
    failures: &mut u32,
    config: &BreakerConfig,
    outcome: Outcome,
    now: Instant,
) -> Verdict {
    match outcome {
        Outcome::Cancelled => return Verdict::Stay,
        Outcome::Success => {
            window.add(Tally::SUCCESS, now);
            *failures = 0;
            return Verdict::Stay;
        }
        Outcome::Failure => window.add(Tally::FAILURE, now),
    }
    *failures = failures.saturating_add(1);
    let lately = window.total(now);
    let too_many = lately.calls() >= u64::from(config.min_calls)
        && lately.failures as f64 / lately.calls() as f64 >= config.failure_ratio;
    if too_many || *failures >= config.consecutive_failures {
        Verdict::Open { trips: 1 }
    } else {
        Verdict::Stay
    }
}

/// When the first probe lapses, if all places are taken at `now`.
fn first_lapse(probes: &[Probe], config: &BreakerConfig, now: Instant) -> Option<Instant> {
    let out = probes.iter().filter(|probe| probe.lapses > now);
    if out.clone().count() < config.probes.max(1) as usize {
        return None;
    }
    out.map(|probe| probe.lapses).min()
}
