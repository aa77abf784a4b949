//! What a pool knows about its entries without looking at them: counts, and in which order they end.

use super::reason::PoolCloseReason;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

/// One generation for each entry of the table, no more and no fewer, whenever no shard of the table is
/// locked for writing.
///
/// The time of the last use changes in the entry alone. So the orders here may be too early for an
/// entry, never too late: who finds one at the front looks at the entry, and [`refile`](Self::refile)s
/// it if it was used meanwhile.
#[derive(Debug)]
pub(crate) struct Books<K> {
    epoch: Instant,
    closed: bool,
    /// Of the next entry. The order of generations is the order of creation.
    next_generation: u64,
    filed: BTreeMap<u64, Filed<K>>,
    /// Those that can expire.
    ends: BTreeSet<(Instant, u64)>,
    /// All, but only where the least recently used one is ever asked for.
    uses: Option<BTreeSet<(Instant, u64)>>,
    /// Nanoseconds from `epoch` to the creation of each entry, added up.
    created_sum: u128,
    counts: Counts,
    watch: Option<Arc<dyn Watch>>,
}

/// An entry as the books know it.
#[derive(Debug)]
struct Filed<K> {
    key: Arc<K>,
    created: Instant,
    ends: Option<Instant>,
    used: Instant,
}

/// How often what happened, since the pool was made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Values that the pool took over: `inserted = entries + taken + Σ closed`.
    pub(crate) inserted: u64,
    /// Values that it gave back for good.
    pub(crate) taken: u64,
    /// Values that it refused because it was full.
    pub(crate) refused: u64,
    /// Values that it closed, by the index of the reason.
    pub(crate) closed: [u64; PoolCloseReason::ALL.len()],
}

/// A change of the counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// A value became an entry.
    Entered,
    /// An entry left.
    Left(Leaves),
    /// A value came and went without ever being an entry.
    PassedThrough(PoolCloseReason),
    /// A value was refused because the pool is full.
    Refused,
}

/// Is told of every change while it is made, so that what it shows is never ahead of or behind the books.
pub(crate) trait Watch: fmt::Debug + Send + Sync {
    /// Must be short and must not use the pool.
    fn note(&self, change: Change);
}

/// How an entry leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leaves {
    /// The value goes to the caller.
    Taken,
    /// The pool closes the value.
    Closed(PoolCloseReason),
}

/// An entry at the front of an order: its generation, its key, and the time by which it stands there.
pub(crate) type Front<K> = (u64, Arc<K>, Instant);

impl<K> Books<K> {
    pub(crate) fn new(epoch: Instant, tracks_use: bool) -> Self {
        Self {
            epoch,
            closed: false,
            next_generation: 1,
            filed: BTreeMap::new(),
            ends: BTreeSet::new(),
            uses: tracks_use.then(BTreeSet::new),
            created_sum: 0,
            counts: Counts::default(),
            watch: None,
        }
    }

    pub(crate) fn watch(&mut self, watch: Arc<dyn Watch>) {
        self.watch = Some(watch);
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.closed
    }

    pub(crate) fn close(&mut self) {
        self.closed = true;
    }

    pub(crate) fn len(&self) -> usize {
        self.filed.len()
    }

    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    /// The mean time from creation to `now`, zero where there is no entry.
    pub(crate) fn average_age(&self, now: Instant) -> Duration {
        let entries = self.filed.len() as u128;
        let ages = (self.since_epoch(now) * entries).saturating_sub(self.created_sum);
        let nanos = ages.checked_div(entries).unwrap_or(0);
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }

    /// The generation that the next entry gets.
    pub(crate) fn next_generation(&self) -> u64 {
        self.next_generation
    }

    /// Files a new entry under the generation that [`next_generation`](Self::next_generation) says.
    pub(crate) fn file(&mut self, key: Arc<K>, created: Instant, ends: Option<Instant>) {
        let generation = self.next_generation;
        self.next_generation += 1;
        self.created_sum += self.since_epoch(created);
        self.filed.insert(generation, Filed { key, created, ends, used: created });
        self.ends.extend(ends.map(|ends| (ends, generation)));
        self.uses.iter_mut().for_each(|uses| {
            uses.insert((created, generation));
        });
        self.note(Change::Entered);
    }

    /// Strikes an entry out. The table still holds its key, so no key is dropped here.
    pub(crate) fn strike(&mut self, generation: u64, leaves: Leaves) {
        let filed = self.filed.remove(&generation);
        debug_assert!(filed.is_some(), "an entry of the table is in the books");
        let Some(filed) = filed else { return };
        self.remove_from_orders(generation, &filed);
        self.created_sum -= self.since_epoch(filed.created);
        self.note(Change::Left(leaves));
    }

    /// Counts a change; those of entries are noted by [`file`](Self::file) and [`strike`](Self::strike).
    pub(crate) fn note(&mut self, change: Change) {
        self.counts.note(change);
        if let Some(watch) = &self.watch {
            watch.note(change);
        }
    }

    /// Puts an entry where its last use says.
    pub(crate) fn refile(&mut self, generation: u64, used: Instant, ends: Option<Instant>) {
        let Some(mut filed) = self.filed.remove(&generation) else { return };
        self.remove_from_orders(generation, &filed);
        (filed.used, filed.ends) = (used, ends);
        self.ends.extend(ends.map(|ends| (ends, generation)));
        self.uses.iter_mut().for_each(|uses| {
            uses.insert((used, generation));
        });
        self.filed.insert(generation, filed);
    }

    /// The entry that may be the first to expire, if that is due at `now`.
    pub(crate) fn first_due(&self, now: Instant) -> Option<Front<K>> {
        self.front(self.ends.first()).filter(|(_, _, ends)| *ends <= now)
    }

    /// When the next entry may expire.
    pub(crate) fn next_end(&self) -> Option<Instant> {
        self.ends.first().map(|(ends, _)| *ends)
    }

    /// The entry that was created first.
    pub(crate) fn oldest(&self) -> Option<Front<K>> {
        let (generation, filed) = self.filed.first_key_value()?;
        Some((*generation, Arc::clone(&filed.key), filed.created))
    }

    /// The entry that may be the least recently used one.
    pub(crate) fn least_used(&self) -> Option<Front<K>> {
        self.front(self.uses.as_ref().and_then(BTreeSet::first))
    }

    /// The first entry from generation `from` on, if it is older than generation `end`.
    pub(crate) fn first_from(&self, from: u64, end: u64) -> Option<(u64, Arc<K>)> {
        let (generation, filed) = self.filed.range(from..end).next()?;
        Some((*generation, Arc::clone(&filed.key)))
    }

    fn front(&self, at: Option<&(Instant, u64)>) -> Option<Front<K>> {
        let (time, generation) = *at?;
        let filed = self.filed.get(&generation)?;
        Some((generation, Arc::clone(&filed.key), time))
    }

    fn remove_from_orders(&mut self, generation: u64, filed: &Filed<K>) {
        if let Some(ends) = filed.ends {
            self.ends.remove(&(ends, generation));
        }
        if let Some(uses) = &mut self.uses {
            uses.remove(&(filed.used, generation));
        }
    }

    fn since_epoch(&self, time: Instant) -> u128 {
        time.saturating_duration_since(self.epoch).as_nanos()
    }
}

impl Counts {
    fn note(&mut self, change: Change) {
        match change {
            Change::Entered => self.inserted += 1,
            Change::Left(Leaves::Taken) => self.taken += 1,
            Change::Left(Leaves::Closed(reason)) => self.closed[reason.index()] += 1,
            Change::PassedThrough(reason) => {
                self.inserted += 1;
                self.closed[reason.index()] += 1;
            }
            Change::Refused => self.refused += 1,
        }
    }
}
