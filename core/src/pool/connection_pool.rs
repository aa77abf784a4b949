//! The pool as its users see it, whatever it is built on.

use super::stats::PoolStats;
use crate::error::ConnectionError;
use std::{error::Error, fmt};

/// Values kept by key for use again, shared by all who ask for the key.
///
/// A value is a handle: every caller gets a clone of it, and the pool keeps its own. An entry that has
/// expired is never given out, whether it was pruned or not. At no time, under any interleaving, are
/// there more entries than [`max_size`](Self::max_size).
pub trait ConnectionPool<K, V>: Send + Sync {
    /// Puts `value` under `key`. A value that was there is closed as replaced.
    ///
    /// # Errors
    ///
    /// [`InsertError`] with the value in it: [`LimitExceeded`](ConnectionError::LimitExceeded) if the pool
    /// is full and nothing may make room, [`Closed`](ConnectionError::Closed) if it is closed.
    fn insert(&self, key: K, value: V) -> Result<(), InsertError<V>>;

    /// The value under `key`, which counts as a use of it.
    fn get(&self, key: &K) -> Option<V>;

    /// Takes the value under `key` out of the pool. It is the caller's: the pool will not close it.
    fn remove(&self, key: &K) -> Option<V>;

    /// The value under `key`, made by `factory` if there is none.
    ///
    /// For each key one factory is under way at a time. Callers who come meanwhile wait for its value, or
    /// get a clone of its error. A place in the pool is taken before the factory is called. If a value is
    /// inserted under the key meanwhile, that one stays and is what all callers get; the new one is closed.
    ///
    /// The factory's future is polled by the callers in turn: it must not wait for the same key, and a
    /// caller that stops polling holds the others up. If it panics, the panic is that of the caller who
    /// polled, and the next caller's factory is tried.
    ///
    /// # Errors
    ///
    /// Those of the factory, and [`LimitExceeded`](ConnectionError::LimitExceeded) and
    /// [`Closed`](ConnectionError::Closed) as [`insert`](Self::insert).
    ///
    /// # Cancel safety
    ///
    /// Dropping the future hands its part to the next caller for the key, who goes on with the same
    /// attempt. The attempt is dropped with its last caller.
    fn get_or_create<F, Fut>(
        &self,
        key: K,
        factory: F,
    ) -> impl Future<Output = Result<V, ConnectionError>> + Send
    where
        Self: Sized,
        F: FnOnce() -> Fut + Send,
        Fut: Future<Output = Result<V, ConnectionError>> + Send + 'static;

    /// Closes every entry that is in the pool when this is called.
    fn clear(&self);

    /// How many entries there are, those included that have expired and were not pruned.
    fn size(&self) -> usize;

    /// The most entries there can be.
    fn max_size(&self) -> usize;

    /// Closes entries that have expired, one bounded step of it: looks at 256 entries at most.
    ///
    /// Entries are looked at only when they can have expired, in the order of their ends.
    fn prune_expired(&self) -> Pruned;

    /// Counts, all of one moment but for hits and misses. Costs the same at every size.
    fn stats(&self) -> PoolStats;

    /// Whether there is no entry.
    fn is_empty(&self) -> bool {
        self.size() == 0
    }

    /// The part of [`max_size`](Self::max_size) that is in use, from 0 to 1.
    fn utilization(&self) -> f64 {
        self.stats().utilization()
    }

    /// The part of all values that ended because they expired, from 0 to 1.
    fn expiration_ratio(&self) -> f64 {
        self.stats().expiration_ratio()
    }
}

/// What a step of pruning did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pruned {
    /// How many entries were closed.
    pub closed: usize,
    /// Whether another step may find more at once.
    pub more: bool,
}

/// A value that a pool did not take, and why.
#[derive(Clone)]
pub struct InsertError<V> {
    /// The value, as it was given.
    pub value: V,
    /// Why it was not taken.
    pub error: ConnectionError,
}

impl<V> fmt::Debug for InsertError<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InsertError").field("error", &self.error).finish_non_exhaustive()
    }
}

impl<V> fmt::Display for InsertError<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl<V> Error for InsertError<V> {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.error.source()
    }
}

impl<V> From<InsertError<V>> for ConnectionError {
    fn from(error: InsertError<V>) -> Self {
        error.error
    }
}

#[cfg(test)]
mod tests;
