//! The terms on which a pool lends its connections: its configuration, in the form in which it decides.

use super::slots::{Life, RETIRED, Relief};
use crate::{
    config::{CheckoutPoolConfig, IdleOrder},
    pool::{
        moment::{Moment, Span},
        reason::PoolCloseReason,
    },
};
use std::{sync::Arc, time::Duration};

/// Part of the keepalive time by which chance moves each check.
const PROBE_JITTER: f64 = 0.2;
/// How long before its end a connection is relieved, at most.
const RELIEF_LEAD: Duration = Duration::from_secs(30);

/// A checked configuration, and what the connector can do. `None` is never.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    pub(crate) name: Arc<str>,
    pub(crate) max_size: u32,
    pub(crate) min_idle: u32,
    pub(crate) max_waiters: Option<u32>,
    pub(crate) newest_first: bool,
    pub(crate) leak_after: Option<Duration>,
    /// Whether connections are reset when they come back.
    pub(crate) resets: bool,
    idle_timeout: Span,
    max_lifetime: Option<Duration>,
    lifetime_jitter: f64,
    check_after: Span,
    keepalive: Option<Duration>,
}

/// Whether a connector has something to do for these.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Abilities {
    /// [`check`](super::Connector::check) does more than say yes.
    pub checks: bool,
    /// [`reset`](super::Connector::reset) does more than say yes.
    pub resets: bool,
    /// [`is_broken`](super::Connector::is_broken) looks at the connection.
    pub peeks: bool,
}

impl Terms {
    pub(crate) fn new(config: &CheckoutPoolConfig, abilities: Abilities) -> Self {
        let checked = |limit: Option<Duration>| limit.filter(|_| abilities.checks);
        Self {
            name: config.name.as_str().into(),
            max_size: config.max_size,
            min_idle: config.min_idle,
            max_waiters: config.max_waiters,
            newest_first: config.idle_order == IdleOrder::Lifo,
            leak_after: config.leak_after.duration(),
            resets: abilities.resets,
            idle_timeout: Span::limit(config.idle_timeout.duration()),
            max_lifetime: config.max_lifetime.duration(),
            lifetime_jitter: config.lifetime_jitter,
            check_after: Span::limit(checked(config.check_after.duration())),
            keepalive: checked(config.keepalive.duration()),
        }
    }

    /// The shortest time after which something becomes of a connection; more than any if none does.
    pub(crate) fn shortest(&self) -> Duration {
        let others = [self.max_lifetime, self.leak_after].map(Span::limit);
        self.idle_timeout.min(self.check_after).min(others[0]).min(others[1]).into()
    }

    /// What is known of a connection made at `now`.
    pub(crate) fn life(&self, now: Moment, epoch: u32, endpoint: u32, chance: fn() -> f64) -> Life {
        let shortened = |lifetime: Duration| {
            lifetime.mul_f64((1.0 - self.lifetime_jitter * chance()).clamp(0.0, 1.0))
        };
        Life {
            ends: self.max_lifetime.and_then(|lifetime| now.checked_add(shortened(lifetime))),
            last_used: now,
            proven: now,
            probe_at: self.probe_at(now, chance),
            epoch,
            endpoint,
            mark: 0,
            relief: Relief::None,
        }
    }

    /// When a connection that is idle from `now` on is due for a check in the background.
    pub(crate) fn probe_at(&self, now: Moment, chance: fn() -> f64) -> Option<Moment> {
        let moved = |time: Duration| time.mul_f64(1.0 + PROBE_JITTER * (2.0 * chance() - 1.0));
        self.keepalive.and_then(|keepalive| now.checked_add(moved(keepalive)))
    }

    /// Why a connection of this life is not lent at `now`, if so.
    #[inline(always)]
    pub(crate) fn over(&self, life: &Life, epoch: u32, now: Moment) -> Option<PoolCloseReason> {
        if life.epoch != epoch {
            return Some(retired(life));
        }
        // Not in the very moment of its end: with a lifetime of zero it could not even be lent once.
        if life.ends.is_some_and(|ends| ends < now) {
            return Some(PoolCloseReason::Lifetime);
        }
        let too_long = self.idle_timeout <= now.passed_since(life.last_used) && was_idle(life, now);
        too_long.then_some(PoolCloseReason::IdleTimeout)
    }

    /// Whether a connection that nobody used or checked lately is checked before it is lent.
    #[inline(always)]
    pub(crate) fn needs_check(&self, life: &Life, now: Moment) -> bool {
        self.check_after <= now.passed_since(life.proven)
    }

    /// Whether it is time to make the connection that will relieve this one.
    pub(crate) fn ends_soon(&self, life: &Life, now: Moment) -> bool {
        let lead =
            self.max_lifetime.map_or(Duration::ZERO, |lifetime| (lifetime / 10).min(RELIEF_LEAD));
        life.ends.is_some_and(|ends| ends <= now + lead)
    }
}

/// Why a connection of another generation is closed.
#[cold]
fn retired(life: &Life) -> PoolCloseReason {
    match life.epoch {
        RETIRED => PoolCloseReason::EndpointRemoved,
        _ => PoolCloseReason::Cleared,
    }
}

/// An idle timeout of zero must not end a connection in the moment in which it is made or comes back.
fn was_idle(life: &Life, now: Moment) -> bool {
    life.last_used < now
}
