//! What a pool holds under a key: a value, and for how long it may be given out.

use super::reason::PoolCloseReason;
use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, Instant},
};

/// A value of a pool, with its times.
///
/// It is a view, not a lease: the pool may close the value while somebody looks at the entry.
#[derive(Debug)]
pub struct PoolEntry<V> {
    value: V,
    generation: u64,
    created: Instant,
    /// Nanoseconds from `created` to the last use. It changes while others read the entry.
    last_used: AtomicU64,
    terms: Terms,
}

/// For how long an entry may be given out; `None` is never too long.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    /// Since the last use.
    pub(crate) idle: Option<Duration>,
    /// Since it was made.
    pub(crate) lifetime: Option<Duration>,
}

impl<V> PoolEntry<V> {
    pub(super) fn new(value: V, generation: u64, created: Instant, terms: Terms) -> Self {
        Self { value, generation, created, last_used: AtomicU64::new(0), terms }
    }

    /// The value itself.
    pub fn value(&self) -> &V {
        &self.value
    }

    /// A number that no other entry of the same pool has or had: it tells an entry from a later one
    /// under the same key.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// When the entry was put into the pool.
    pub fn created(&self) -> Instant {
        self.created
    }

    /// When the entry was given out last, or put into the pool if it never was.
    pub fn last_used(&self) -> Instant {
        self.created + Duration::from_nanos(self.last_used.load(Ordering::Relaxed))
    }

    /// The time since the entry was put into the pool.
    pub fn age(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.created)
    }

    /// When the entry is no longer given out, if it is not used before; `None` for never.
    pub fn expires(&self) -> Option<Instant> {
        let idle_end = self.terms.idle.and_then(|idle| self.last_used().checked_add(idle));
        match (idle_end, self.lifetime_end()) {
            (Some(idle_end), Some(lifetime_end)) => Some(idle_end.min(lifetime_end)),
            (one, other) => one.or(other),
        }
    }

    /// Why the entry may not be given out at `now`, if so.
    pub(super) fn expired(&self, now: Instant) -> Option<PoolCloseReason> {
        if self.lifetime_end().is_some_and(|end| end <= now) {
            return Some(PoolCloseReason::Lifetime);
        }
        let over = self.expires().is_some_and(|end| end <= now);
        over.then_some(PoolCloseReason::IdleTimeout)
    }

    /// Notes a use. One from before the last that was noted changes nothing.
    pub(super) fn touch(&self, now: Instant) {
        let since = u64::try_from(self.age(now).as_nanos()).unwrap_or(u64::MAX);
        self.last_used.fetch_max(since, Ordering::Relaxed);
    }

    pub(super) fn into_value(self) -> V {
        self.value
    }

    fn lifetime_end(&self) -> Option<Instant> {
        self.terms.lifetime.and_then(|lifetime| self.created.checked_add(lifetime))
    }
}
