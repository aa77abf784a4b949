//! The right to make the value for a key, for those who make it outside of a future.

use super::{
    connection_pool::ConnectionPool,
    dash_map::{Attempt, DashMapConnectionPool, Landing, closed},
    flight::{self, Held, Start},
    reason::PoolCloseReason,
};
use crate::{
    budget::Permit,
    error::{ConnectionError, Place, Step},
};
use std::{fmt, hash::Hash, pin::Pin, sync::Arc};

/// What there is for a caller who asks for a key and could make its value.
#[derive(Debug)]
pub enum Got<K, V>
where
    K: Eq + Hash + Send + Sync,
    V: Clone + Send + Sync + 'static,
{
    /// The value under the key.
    Value(V),
    /// None, and it is this caller's turn to make one.
    Turn(Turn<K, V>),
}

/// The right to make the value for one key, and a place for it in the pool.
///
/// Nobody else makes one for that key meanwhile, in whatever language: they wait for [`fill`](Self::fill). Dropped
/// without it, because the making failed or was given up, the right goes to the next of them.
pub struct Turn<K, V>
where
    K: Eq + Hash + Send + Sync,
    V: Clone + Send + Sync + 'static,
{
    pool: Arc<DashMapConnectionPool<K, V>>,
    key: Arc<K>,
    /// Absent once it was given up.
    right: Option<Right<K, V>>,
}

/// The place is free before the next caller has the turn, who needs it.
struct Right<K: Eq + Hash, V> {
    place: Permit,
    held: Held<K, Pin<Box<Attempt<V>>>, Landing<V>>,
}

impl<K, V> DashMapConnectionPool<K, V>
where
    K: Eq + Hash + Send + Sync,
    V: Clone + Send + Sync + 'static,
{
    /// The value under `key`, or the turn to make it. As [`get_or_create`](ConnectionPool::get_or_create), for values
    /// that are made elsewhere; callers of both share the turn.
    ///
    /// Those who wait for a key are served in the order in which they came. A failure of the maker is its own: the next
    /// caller makes another try.
    ///
    /// # Errors
    ///
    /// [`Closed`](ConnectionError::Closed) if the pool is closed, before or during the wait, and
    /// [`LimitExceeded`](ConnectionError::LimitExceeded) if it is full and nothing may make room.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future hands its part to the next caller for the key.
    pub async fn get_or_turn(self: &Arc<Self>, key: K) -> Result<Got<K, V>, ConnectionError> {
        if let Some(value) = self.get(&key) {
            return Ok(Got::Value(value));
        }
        tokio::select! {
            biased;
            () = self.closing.cancelled() => Err(closed()),
            got = self.wait_for_turn(Arc::new(key)) => got,
        }
    }

    /// Begins an attempt for `key`, unless there is an entry by now.
    pub(super) async fn start<F, Fut>(
        &self,
        key: &K,
        factory: F,
    ) -> Start<Pin<Box<Attempt<V>>>, Landing<V>>
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Result<V, ConnectionError>> + Send + 'static,
    {
        match self.place_to_make(key).await {
            Err(landing) => Start::Land(landing),
            Ok(place) => {
                let making = factory();
                Start::Attempt(Box::pin(async move { (making.await, place) }))
            }
        }
    }

    async fn wait_for_turn(self: &Arc<Self>, key: Arc<K>) -> Result<Got<K, V>, ConnectionError> {
        let finish = |(made, place)| self.land(&key, made, place);
        let held = match self.flights.take_turn(Arc::clone(&key), finish).await {
            flight::Turn::Landed(landing) => return Ok(Got::Value(landing?.value().clone())),
            flight::Turn::Held(held) => held,
        };
        match self.place_to_make(&key).await {
            Ok(place) => {
                let right = Some(Right { place, held });
                Ok(Got::Turn(Turn { pool: Arc::clone(self), key, right }))
            }
            Err(landing) => Ok(Got::Value(held.land(landing)?.value().clone())),
        }
    }
}

impl<K, V> Turn<K, V>
where
    K: Eq + Hash + Send + Sync,
    V: Clone + Send + Sync + 'static,
{
    /// The key whose value is to be made.
    pub fn key(&self) -> &K {
        &self.key
    }

    /// Puts `value` into the pool, and says which one is under the key: one that was inserted meanwhile stays, and
    /// `value` is closed as a duplicate. All who wait for the key get the same.
    ///
    /// # Errors
    ///
    /// [`Closed`](ConnectionError::Closed) if the pool is, [`Timeout`](ConnectionError::Timeout) after a
    /// [`give_up`](Self::give_up). `value` is then closed by the pool.
    pub fn fill(mut self, value: V) -> Result<V, ConnectionError> {
        let Some(Right { place, held }) = self.right.take() else {
            self.pool.pass_through(&self.key, value, PoolCloseReason::Unwanted);
            return Err(ConnectionError::timeout(None, Place::at(Step::Acquire)));
        };
        let landing = held.land(self.pool.land(&self.key, Ok(value), place));
        Ok(landing?.value().clone())
    }

    /// Gives the right to the next caller once what this returns is dropped, although the value may still be made: it
    /// comes too late then, and is closed as unwanted.
    pub fn give_up(&mut self) -> impl Send + use<K, V> {
        self.right.take()
    }
}

impl<K, V> fmt::Debug for Turn<K, V>
where
    K: Eq + Hash + Send + Sync,
    V: Clone + Send + Sync + 'static,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Turn").field("is_held", &self.right.is_some()).finish_non_exhaustive()
    }
}
