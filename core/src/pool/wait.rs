//! What a full pool's callers do who may wait: they stand in line for a place.

use super::{
    connection_pool::{ConnectionPool, InsertError},
    dash_map::{DashMapConnectionPool, Landing, closed, now},
    entry::Terms,
    table::{Clash, Full},
};
use crate::{
    budget::Permit,
    config::TimeLimit,
    error::{ConnectionError, Place, Step},
};
use std::{
    future::pending,
    hash::Hash,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::time::sleep_until;

/// How long a pool that nobody sweeps may go on without a look for expired entries while somebody waits.
const LOOK_PERIOD: Duration = Duration::from_secs(1);

impl<K, V> DashMapConnectionPool<K, V>
where
    K: Eq + Hash + Send + Sync,
    V: Clone + Send + Sync + 'static,
{
    /// Puts `value` under `key`; where the pool is full and its policy is
    /// [`Wait`](crate::config::FullPolicy::Wait), as soon as a place is free.
    ///
    /// Those who wait are served in the order of their first polls, also where somebody else puts a value under their
    /// key meanwhile. `lifetime` is one of its own, without jitter,
    /// instead of the pool's. A deadline of `None` never comes. Waiting needs a tokio runtime with its clock enabled.
    ///
    /// # Errors
    ///
    /// [`InsertError`] with the value in it: [`Timeout`](ConnectionError::Timeout) at the deadline,
    /// [`Closed`](ConnectionError::Closed) if the pool is closed, before or during the wait, and
    /// [`LimitExceeded`](ConnectionError::LimitExceeded) as [`insert`](ConnectionPool::insert) with another policy.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses the place in line and drops the value, which is not the pool's yet. A place that was
    /// free for it goes to the next in line.
    pub async fn insert_wait(
        &self,
        key: K,
        value: V,
        lifetime: Option<TimeLimit>,
        deadline: Option<Instant>,
    ) -> Result<(), InsertError<V>> {
        let terms = match lifetime {
            Some(own) => Terms { lifetime: own.duration(), ..self.terms },
            None => self.drawn_terms(),
        };
        let key = Arc::new(key);
        let put = match self.table.put_if_free(Arc::clone(&key), value, terms, now()) {
            Ok(put) => put,
            Err(Full(value)) => match self.place(deadline).await {
                Ok(place) => self.table.put(key, value, terms, now(), Clash::Replace, place),
                Err(error) => return Err(InsertError { value, error }),
            },
        };
        self.settle(put)
    }

    /// How many callers stand in line for a place.
    pub fn waiting(&self) -> usize {
        self.table.places().waiting()
    }

    /// A place for one more entry: a free one, that of a victim, or, where the pool waits, the next.
    pub(super) async fn place(&self, deadline: Option<Instant>) -> Result<Permit, ConnectionError> {
        let started = now();
        if let Some(place) = self.table.places().try_acquire().or_else(|| self.make_room(started)) {
            return Ok(place);
        }
        if !self.waits {
            return Err(self.refuse());
        }
        let mut place = pin!(self.table.places().acquire());
        loop {
            tokio::select! {
                biased;
                () = self.closing.cancelled() => return Err(closed()),
                place = &mut place => return Ok(place),
                () = until(deadline) => {
                    let waited = now().saturating_duration_since(started);
                    let at = Place::at(Step::Acquire).because(self.refuse());
                    return Err(ConnectionError::timeout(Some(waited), at));
                }
                () = until(self.next_look()) => drop(self.prune_expired()),
            }
        }
    }

    /// A place for a value that is to be made, unless there is an entry by now.
    pub(super) async fn place_to_make(&self, key: &K) -> Result<Permit, Landing<V>> {
        if let Some(entry) = self.find(key, now()) {
            return Err(Ok(entry));
        }
        if self.is_closed() {
            return Err(Err(closed()));
        }
        let place = self.place(None).await.map_err(Err)?;
        // Somebody may have inserted one while this waited.
        match self.find(key, now()) {
            Some(entry) if self.waits => Err(Ok(entry)),
            Some(_) | None => Ok(place),
        }
    }

    /// When an expired entry may make room that nobody else would notice.
    fn next_look(&self) -> Option<Instant> {
        if self.sweeper.get().is_some() {
            return None;
        }
        let end = self.next_expiry()?;
        Some(end.min(now() + LOOK_PERIOD))
    }
}

async fn until(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time.into()).await,
        None => pending().await,
    }
}
