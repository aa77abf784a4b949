//! The keyed pool: reads the clock, runs the close hook, counts lookups; the table decides.

use super::{
    books::{Change, Leaves},
    connection_pool::{ConnectionPool, InsertError, Pruned},
    entry::{PoolEntry, Terms},
    flight::Flights,
    meter::Meter,
    reason::PoolCloseReason,
    stats::PoolStats,
    table::{Clash, Found, Full, Put, Removed, Table, Victim},
};
use crate::{
    budget::Permit,
    config::{Config, FullPolicy, PoolConfig, TimeLimit},
    error::{ConnectionError, Place, Step},
    metrics::{Counter, Metrics},
};
use std::{
    fmt,
    hash::Hash,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::Pin,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};
use tokio::task::AbortHandle;
use tokio_util::sync::CancellationToken;

/// Most entries that one step of pruning looks at.
const PRUNE_LOOKS: usize = 256;

/// A [`ConnectionPool`] on a sharded hash map.
///
/// A lookup takes one shard's lock for reading, for as long as a hash table takes; whatever changes the
/// entries takes that shard's lock for writing, and a short lock that all share. Every call but
/// [`clear`](ConnectionPool::clear), [`close`](Self::close) and the last drop does a bounded amount of work.
/// `Hash` and `Eq` of the key run under a lock: they must not use the pool.
///
/// Whatever the pool closes goes to the hook given to [`on_close`](Self::on_close): each value once, with
/// the reason, after every lock is released, by the call that made it leave. Dropping the pool closes it.
///
/// Time is tokio's clock, which a paused runtime holds still.
///
/// ```
/// use std::sync::Arc;
/// use trunkline_core::{
///     config::PoolConfig,
///     error::ConnectionError,
///     pool::{ConnectionPool, DashMapConnectionPool},
/// };
///
/// # async fn connect(host: &str) -> Result<Arc<str>, ConnectionError> { Ok(host.into()) }
/// # async fn example() -> Result<(), ConnectionError> {
/// let pool = DashMapConnectionPool::new(PoolConfig::default())?
///     .on_close(|host: &String, _connection, reason| println!("{host}: {}", reason.name()));
/// let connection = pool.get_or_create("db".to_owned(), || connect("db.internal")).await?;
/// # Ok(())
/// # }
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(example()).unwrap();
/// ```
pub struct DashMapConnectionPool<K, V>
where
    K: Eq + Hash + Send + Sync,
    V: Clone + Send + Sync,
{
    pub(super) table: Table<K, V>,
    pub(super) flights: Flights<K, Pin<Box<Attempt<V>>>, Landing<V>>,
    pub(super) terms: Terms,
    lifetime_jitter: f64,
    victim: Victim,
    /// Whether a full pool lets its callers wait.
    pub(super) waits: bool,
    /// Tells those who wait that it is closed.
    pub(super) closing: CancellationToken,
    on_close: Option<Box<CloseHook<K, V>>>,
    hits: Counter,
    misses: Counter,
    hook_panics: Counter,
    meter: Option<Arc<Meter>>,
    pub(super) sweeper: OnceLock<AbortHandle>,
}

type CloseHook<K, V> = dyn Fn(&K, V, PoolCloseReason) + Send + Sync;

/// What all callers of one flight get.
pub(super) type Landing<V> = Result<Arc<PoolEntry<V>>, ConnectionError>;

/// A factory at work, with the place that its value will have.
pub(super) type Attempt<V> = dyn Future<Output = (Result<V, ConnectionError>, Permit)> + Send;

impl<K, V> DashMapConnectionPool<K, V>
where
    K: Eq + Hash + Send + Sync,
    V: Clone + Send + Sync,
{
    /// An empty pool.
    ///
    /// # Errors
    ///
    /// [`InvalidConfig`](ConnectionError::InvalidConfig) with the field that is out of its range.
    pub fn new(config: PoolConfig) -> Result<Self, ConnectionError> {
        config.validate()?;
        let victim = match config.when_full {
            FullPolicy::Reject | FullPolicy::Wait => Victim::None,
            FullPolicy::EvictLru => Victim::LeastUsed,
            FullPolicy::EvictOldest => Victim::Oldest,
        };
        Ok(Self {
            table: Table::new(u64::from(config.max_size), victim, now()),
            flights: Flights::new(),
            terms: Terms {
                idle: config.idle_timeout.duration(),
                lifetime: config.max_lifetime.duration(),
            },
            lifetime_jitter: config.lifetime_jitter,
            victim,
            waits: config.when_full == FullPolicy::Wait,
            closing: CancellationToken::new(),
            on_close: None,
            hits: Counter::new(),
            misses: Counter::new(),
            hook_panics: Counter::new(),
            meter: None,
            sweeper: OnceLock::new(),
        })
    }

    /// Calls `hook` with each value that the pool closes.
    ///
    /// It may use the pool, of which it should hold a `Weak`. It runs in the call that made the value leave,
    /// which may be any, so it should not block. The place of the value is free once it has returned. If it
    /// panics, that is counted and logged, and the pool goes on.
    #[must_use]
    pub fn on_close(
        mut self,
        hook: impl Fn(&K, V, PoolCloseReason) + Send + Sync + 'static,
    ) -> Self {
        self.on_close = Some(Box::new(hook));
        self
    }

    /// Shows the pool's counts in `metrics`, from here on, labelled `pool="name"`: `trunkline_pool_entries`,
    /// `trunkline_pool_inserted_total`, `trunkline_pool_taken_total`, `trunkline_pool_refused_total`,
    /// `trunkline_pool_closed_total` by `reason`, and `trunkline_pool_gets_total` by `result`.
    ///
    /// In every snapshot inserted = entries + taken + Σ closed. Pools of one name are counted together.
    #[must_use]
    pub fn with_metrics(mut self, metrics: &Metrics, name: &str) -> Self {
        let meter = Arc::new(Meter::new(metrics, name));
        self.table.books(|books| books.watch(Arc::clone(&meter) as _));
        self.meter = Some(meter);
        self
    }

    /// As [`insert`](ConnectionPool::insert), with a lifetime of its own instead of the pool's, without jitter.
    ///
    /// # Errors
    ///
    /// As [`insert`](ConnectionPool::insert).
    pub fn insert_for(&self, key: K, value: V, lifetime: Duration) -> Result<(), InsertError<V>> {
        let terms = Terms { lifetime: Some(lifetime), ..self.terms };
        self.put(key, value, terms, now())
    }

    /// As [`insert`](ConnectionPool::insert), with an idle timeout of its own instead of the pool's.
    ///
    /// # Errors
    ///
    /// As [`insert`](ConnectionPool::insert).
    pub fn insert_idle_for(
        &self,
        key: K,
        value: V,
        idle_timeout: TimeLimit,
    ) -> Result<(), InsertError<V>> {
        let terms = Terms { idle: idle_timeout.duration(), ..self.drawn_terms() };
        self.put(key, value, terms, now())
    }

    /// Closes what an insert into the full pool would close to make room, and says whether there was anything.
    pub fn evict(&self) -> bool {
        let removed = self.table.make_room(now(), self.victim);
        removed.map(|removed| self.close_removed(removed)).is_some()
    }

    /// The entry under `key`, which counts as a use of it. As [`get`](ConnectionPool::get), with the times
    /// and the generation of the value.
    pub fn get_entry(&self, key: &K) -> Option<Arc<PoolEntry<V>>> {
        let entry = self.find(key, now());
        self.count_lookup(entry.is_some());
        entry
    }

    /// Closes the value under `key` and says whether there was one that had not expired.
    pub fn discard(&self, key: &K) -> bool {
        let leaves = Leaves::Closed(PoolCloseReason::Discarded);
        let Some(removed) = self.table.remove(key, now(), leaves) else { return false };
        let discarded = removed.leaves == leaves;
        self.close_removed(removed);
        discarded
    }

    /// Closes the value under `key` if it still is the one of `entry`, and says whether it was.
    ///
    /// For a value that turned out to be broken: a newer one under the same key stays.
    pub fn discard_same(&self, key: &K, entry: &PoolEntry<V>) -> bool {
        let discarded = PoolCloseReason::Discarded;
        let removed = self.table.remove_same(key, entry.generation(), discarded);
        removed.map(|removed| self.close_removed(removed)).is_some()
    }

    /// Changes the most entries there can be.
    ///
    /// Lowered, it closes nothing by itself: nothing more comes in until enough entries have left, or were
    /// evicted by the next insert where the pool evicts.
    pub fn set_max_size(&self, max_size: u32) {
        self.table.places().set_limit(u64::from(max_size));
    }

    /// When the next entry may expire; `None` if none can.
    pub fn next_expiry(&self) -> Option<Instant> {
        self.table.books(|books| books.next_end())
    }

    /// Closes every value, and takes no more. A second call does nothing.
    ///
    /// A factory that is under way may go on; its value is closed and its callers get
    /// [`Closed`](ConnectionError::Closed).
    pub fn close(&self) {
        let end = self.table.books(|books| {
            books.close();
            books.next_generation()
        });
        self.closing.cancel();
        self.close_before(end, PoolCloseReason::PoolClosed);
        if let Some(sweeper) = self.sweeper.get() {
            sweeper.abort();
        }
    }

    /// Whether [`close`](Self::close) was called.
    pub fn is_closed(&self) -> bool {
        self.table.books(|books| books.is_closed())
    }

    /// Places that are taken, by entries or by factories at work.
    #[cfg(test)]
    pub(super) fn places_in_use(&self) -> u64 {
        self.table.places().in_use()
    }

    pub(super) fn prune(&self, now: Instant, mut looks: usize) -> Pruned {
        let mut closed = 0;
        while let Some(removed) = self.table.remove_due(now, &mut looks) {
            self.close_removed(removed);
            closed += 1;
        }
        Pruned { closed, more: self.table.books(|books| books.first_due(now)).is_some() }
    }

    pub(super) fn find(&self, key: &K, now: Instant) -> Option<Arc<PoolEntry<V>>> {
        match self.table.get(key, now) {
            Found::Entry(entry) => Some(entry),
            Found::Expired(removed) => {
                self.close_removed(removed);
                None
            }
            Found::Nothing => None,
        }
    }

    fn put(&self, key: K, value: V, terms: Terms, now: Instant) -> Result<(), InsertError<V>> {
        let key = Arc::new(key);
        let put = match self.table.put_if_free(Arc::clone(&key), value, terms, now) {
            Ok(put) => put,
            Err(Full(value)) => match self.make_room(now) {
                Some(place) => self.table.put(key, value, terms, now, Clash::Replace, place),
                None => return Err(InsertError { value, error: self.refuse() }),
            },
        };
        self.settle(put)
    }

    /// Closes what an insert replaced.
    pub(super) fn settle(&self, put: Put<K, V>) -> Result<(), InsertError<V>> {
        match put {
            Put::Done { replaced, .. } => {
                replaced.map(|removed| self.close_removed(removed));
                Ok(())
            }
            Put::Closed { value } => Err(InsertError { value, error: closed() }),
            Put::Kept { .. } => unreachable!("an insert asks to replace"),
        }
    }

    /// Frees a place, if a victim is found. After the limit was lowered it takes more than one.
    pub(super) fn make_room(&self, now: Instant) -> Option<Permit> {
        while let Some(removed) = self.table.make_room(now, self.victim) {
            let mut place = self.close_removed(removed);
            if self.waits {
                // Those who wait come first.
                drop(place);
                place = self.table.places().try_acquire();
            }
            if place.is_some() && !self.table.places().is_exceeded() {
                return place;
            }
        }
        None
    }

    /// Puts what a factory made into the pool.
    pub(super) fn land(
        &self,
        key: &Arc<K>,
        made: Result<V, ConnectionError>,
        place: Permit,
    ) -> Landing<V> {
        let (key, value, now) = (Arc::clone(key), made?, now());
        let terms = self.drawn_terms();
        match self.table.put(Arc::clone(&key), value, terms, now, Clash::Keep, place) {
            Put::Done { entry, replaced, .. } => {
                replaced.map(|removed| self.close_removed(removed));
                Ok(entry)
            }
            Put::Kept { entry, value } => {
                self.pass_through(&key, value, PoolCloseReason::Duplicate);
                Ok(entry)
            }
            Put::Closed { value } => {
                self.pass_through(&key, value, PoolCloseReason::PoolClosed);
                Err(closed())
            }
        }
    }

    /// The pool's terms with this entry's share of the jitter.
    pub(super) fn drawn_terms(&self) -> Terms {
        let kept = 1.0 - self.lifetime_jitter * fastrand::f64();
        Terms { lifetime: self.terms.lifetime.map(|whole| whole.mul_f64(kept)), ..self.terms }
    }

    fn close_before(&self, end: u64, reason: PoolCloseReason) {
        let mut from = 0;
        while let Some(removed) = self.table.remove_from(&mut from, end, reason) {
            self.close_removed(removed);
        }
    }

    pub(super) fn pass_through(&self, key: &K, value: V, reason: PoolCloseReason) {
        self.table.books(|books| books.note(Change::PassedThrough(reason)));
        self.close_value(key, || value, reason);
    }

    /// Closes what left the table, then frees its place, or leaves it to the caller.
    fn close_removed(&self, removed: Removed<K, V>) -> Option<Permit> {
        let Removed { key, entry, place, leaves } = removed;
        if let Leaves::Closed(reason) = leaves {
            self.close_value(&key, || into_value(entry), reason);
        }
        place
    }

    /// Runs the hook, or just drops the value: neither can break the pool.
    fn close_value(&self, key: &K, value: impl FnOnce() -> V, reason: PoolCloseReason) {
        tracing::debug!(reason = reason.name(), "closing a value of the pool");
        let close = || match &self.on_close {
            Some(hook) => hook(key, value(), reason),
            None => drop(value()),
        };
        if catch_unwind(AssertUnwindSafe(close)).is_err() {
            self.hook_panics.add(1);
            tracing::error!(reason = reason.name(), "closing a value of the pool panicked");
        }
    }

    fn count_lookup(&self, hit: bool) {
        if hit {
            self.hits.add(1)
        } else {
            self.misses.add(1)
        }
        if let Some(meter) = &self.meter {
            meter.looked_up(hit);
        }
    }

    /// Counts that a full pool had no room, and says so.
    pub(super) fn refuse(&self) -> ConnectionError {
        self.table.books(|books| books.note(Change::Refused));
        self.full()
    }

    pub(super) fn full(&self) -> ConnectionError {
        let limit = self.table.places().limit();
        ConnectionError::limit_exceeded("pool entries", limit, Place::at(Step::Acquire))
    }
}

impl<K, V> ConnectionPool<K, V> for DashMapConnectionPool<K, V>
where
    K: Eq + Hash + Send + Sync,
    V: Clone + Send + Sync + 'static,
{
    fn insert(&self, key: K, value: V) -> Result<(), InsertError<V>> {
        self.put(key, value, self.drawn_terms(), now())
    }

    fn get(&self, key: &K) -> Option<V> {
        self.get_entry(key).map(|entry| entry.value().clone())
    }

    fn remove(&self, key: &K) -> Option<V> {
        let removed = self.table.remove(key, now(), Leaves::Taken)?;
        match removed.leaves {
            Leaves::Taken => Some(into_value(removed.entry)),
            Leaves::Closed(_) => {
                self.close_removed(removed);
                None
            }
        }
    }

    async fn get_or_create<F, Fut>(&self, key: K, factory: F) -> Result<V, ConnectionError>
    where
        F: FnOnce() -> Fut + Send,
        Fut: Future<Output = Result<V, ConnectionError>> + Send + 'static,
    {
        if let Some(value) = self.get(&key) {
            return Ok(value);
        }
        let key = Arc::new(key);
        let start = self.start(&key, factory);
        let finish = |(made, place)| self.land(&key, made, place);
        let entry = self.flights.join(Arc::clone(&key), start, finish).await?;
        Ok(entry.value().clone())
    }

    fn clear(&self) {
        let end = self.table.books(|books| books.next_generation());
        self.close_before(end, PoolCloseReason::Cleared);
    }

    fn size(&self) -> usize {
        self.table.books(|books| books.len())
    }

    fn max_size(&self) -> usize {
        usize::try_from(self.table.places().limit()).unwrap_or(usize::MAX)
    }

    fn prune_expired(&self) -> Pruned {
        self.prune(now(), PRUNE_LOOKS)
    }

    fn stats(&self) -> PoolStats {
        let now = now();
        let max_size = self.max_size();
        let (size, average_age, counts) =
            self.table.books(|books| (books.len(), books.average_age(now), books.counts()));
        PoolStats {
            size,
            max_size,
            average_age,
            hits: self.hits.value(),
            misses: self.misses.value(),
            hook_panics: self.hook_panics.value(),
            ..PoolStats::from_counts(&counts)
        }
    }
}

impl<K, V> Drop for DashMapConnectionPool<K, V>
where
    K: Eq + Hash + Send + Sync,
    V: Clone + Send + Sync,
{
    fn drop(&mut self) {
        self.close();
    }
}

impl<K, V> fmt::Debug for DashMapConnectionPool<K, V>
where
    K: Eq + Hash + Send + Sync,
    V: Clone + Send + Sync,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DashMapConnectionPool")
            .field("size", &self.table.books(|books| books.len()))
            .field("max_size", &self.table.places().limit())
            .finish_non_exhaustive()
    }
}

/// The value itself if nobody looks at the entry any more, else another handle to it.
fn into_value<V: Clone>(entry: Arc<PoolEntry<V>>) -> V {
    Arc::try_unwrap(entry).map_or_else(|shared| shared.value().clone(), PoolEntry::into_value)
}

pub(super) fn closed() -> ConnectionError {
    ConnectionError::closed(Step::Acquire)
}

#[expect(clippy::disallowed_methods, reason = "the driver reads the clock")]
pub(super) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
