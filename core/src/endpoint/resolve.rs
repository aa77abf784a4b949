//! What a name resolves to: for how long an answer is used, and what is used while there is none.

use crate::config::ResolveConfig;
use std::{
    net::IpAddr,
    sync::Arc,
    time::{Duration, Instant},
};

#[cfg(test)]
mod tests;

/// The addresses of one name.
///
/// Who needs them asks; at most one asker at a time is told to look the name up, the others get what was
/// known or wait for that lookup. While lookups fail, the last answer stands in and the next lookup waits,
/// longer after each.
#[derive(Clone, Debug)]
pub struct ResolvedName {
    config: ResolveConfig,
    known: Option<Known>,
    activity: Activity,
    next_ticket: u64,
}

#[derive(Clone, Debug)]
struct Known {
    addresses: Arc<[IpAddr]>,
    expires: Instant,
}

/// `failures` counts the lookups in a row that gave no addresses.
#[derive(Clone, Copy, Debug)]
enum Activity {
    Resting,
    LookingUp { ticket: u64, lapses: Instant, failures: u32 },
    Failed { failures: u32, retry_at: Instant },
}

/// The duty to look the name up, to be given back with what came of it.
///
/// Who drops it instead holds up the others until [`give_up_at`](Self::give_up_at).
#[must_use = "look the name up, then tell on_answer or on_failure"]
#[derive(Debug, PartialEq, Eq)]
pub struct Lookup {
    ticket: u64,
    give_up_at: Instant,
}

/// What an asker gets.
#[must_use]
#[derive(Debug, PartialEq, Eq)]
pub struct Asked {
    /// What it may use.
    pub answer: Answer,
    /// Set for the one asker that must look the name up, whatever the answer.
    pub lookup: Option<Lookup>,
}

/// What is known of a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Addresses whose time has not run out.
    Fresh(Arc<[IpAddr]>),
    /// Addresses whose time has run out, which stand in while a lookup runs or after it failed.
    Stale(Arc<[IpAddr]>),
    /// Nothing, but a lookup runs: ask again when it has ended.
    Pending,
    /// Nothing, and lookups fail.
    Failed {
        /// When the next lookup may begin.
        retry_at: Instant,
    },
}

impl Lookup {
    /// When to give it up and tell that it failed.
    pub fn give_up_at(&self) -> Instant {
        self.give_up_at
    }
}

impl ResolvedName {
    /// Starts without addresses.
    pub fn new(config: ResolveConfig) -> Self {
        Self { config, known: None, activity: Activity::Resting, next_ticket: 0 }
    }

    /// Asks for the addresses at `now`.
    pub fn ask(&mut self, now: Instant) -> Asked {
        if let Some(known) = self.known.as_ref().filter(|known| known.expires > now) {
            return Asked { answer: Answer::Fresh(Arc::clone(&known.addresses)), lookup: None };
        }
        let lookup = self.may_look_up(now).map(|failures| self.look_up(failures, now));
        Asked { answer: self.expired(now), lookup }
    }

    /// Whether there is an answer at `now` whose time has not run out: then nobody is told to look the name up.
    pub fn is_fresh(&self, now: Instant) -> bool {
        self.known.as_ref().is_some_and(|known| known.expires > now)
    }

    /// The lookup found addresses, to be used for `ttl` within the limits of the configuration; a resolver
    /// that tells no time gives zero. Returns whether they are others than before.
    ///
    /// No addresses are a failure, and so is an answer of nothing: use [`on_failure`](Self::on_failure). A
    /// lookup that others have replaced is ignored.
    pub fn on_answer(
        &mut self,
        lookup: Lookup,
        addresses: impl Into<Arc<[IpAddr]>>,
        ttl: Duration,
        now: Instant,
    ) -> bool {
        if !self.is_current(&lookup) {
            return false;
        }
        let addresses = addresses.into();
        let ttl = ttl.max(self.config.min_ttl).min(self.config.max_ttl);
        let changed =
            self.known.as_ref().is_none_or(|known| !is_same_set(&known.addresses, &addresses));
        self.known = Some(Known { addresses, expires: later(now, ttl) });
        self.activity = Activity::Resting;
        changed
    }

    /// The lookup gave no addresses: it failed, took too long, or the name has none. `unit` is a fresh draw
    /// from 0..1. A lookup that others have replaced is ignored.
    pub fn on_failure(&mut self, lookup: Lookup, now: Instant, unit: f64) {
        if let Activity::LookingUp { failures, .. } = self.activity
            && self.is_current(&lookup)
        {
            let failures = failures.saturating_add(1);
            let retry_at = now + self.config.retry.delay(failures, unit);
            self.activity = Activity::Failed { failures, retry_at };
        }
    }

    /// When something will have changed for who keeps a set of endpoints up to date: the addresses run out,
    /// a lookup lapses, or the next may begin. `None` means that it should ask at once.
    pub fn next_event(&self, now: Instant) -> Option<Instant> {
        let fresh = self.known.as_ref().map(|known| known.expires).filter(|expires| *expires > now);
        let active = match self.activity {
            Activity::Resting => None,
            Activity::LookingUp { lapses, .. } => Some(lapses),
            Activity::Failed { retry_at, .. } => Some(retry_at),
        };
        fresh.or(active).filter(|at| *at > now)
    }

    /// How many lookups have failed in a row.
    pub fn failures(&self) -> u32 {
        match self.activity {
            Activity::Resting => 0,
            Activity::LookingUp { failures, .. } | Activity::Failed { failures, .. } => failures,
        }
    }

    /// Whether a lookup may begin, and after how many failures.
    fn may_look_up(&self, now: Instant) -> Option<u32> {
        match self.activity {
            Activity::Resting => Some(0),
            Activity::LookingUp { lapses, failures, .. } => {
                (lapses <= now).then_some(failures.saturating_add(1))
            }
            Activity::Failed { failures, retry_at } => (retry_at <= now).then_some(failures),
        }
    }

    fn look_up(&mut self, failures: u32, now: Instant) -> Lookup {
        let (ticket, lapses) = (self.next_ticket, later(now, self.config.timeout));
        self.next_ticket += 1;
        self.activity = Activity::LookingUp { ticket, lapses, failures };
        Lookup { ticket, give_up_at: lapses }
    }

    /// What stands in for addresses whose time has run out.
    fn expired(&self, now: Instant) -> Answer {
        let patience = match self.failures() {
            0 => self.config.stale_while_lookup,
            _ => self.config.stale_if_error.max(self.config.stale_while_lookup),
        };
        let known = self.known.as_ref().filter(|known| later(known.expires, patience) > now);
        match (known, self.activity) {
            (Some(known), _) => Answer::Stale(Arc::clone(&known.addresses)),
            (None, Activity::Failed { retry_at, .. }) => Answer::Failed { retry_at },
            (None, Activity::Resting | Activity::LookingUp { .. }) => Answer::Pending,
        }
    }

    fn is_current(&self, lookup: &Lookup) -> bool {
        match self.activity {
            Activity::LookingUp { ticket, .. } => ticket == lookup.ticket,
            Activity::Resting | Activity::Failed { .. } => false,
        }
    }
}

/// Whether both hold the same addresses: servers change the order with every answer.
fn is_same_set(one: &[IpAddr], other: &[IpAddr]) -> bool {
    let contains =
        |set: &[IpAddr], part: &[IpAddr]| part.iter().all(|address| set.contains(address));
    contains(one, other) && contains(other, one)
}

/// A time after another, or the other where the clock does not reach that far.
fn later(start: Instant, time: Duration) -> Instant {
    start.checked_add(time).unwrap_or(start)
}
