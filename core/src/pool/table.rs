//! Where the entries are: the map, the books about it and the places for it, changed together.
//!
//! Locks are taken in one order: a shard of the map, the books, the budget. Under the shard's run
//! `Hash` and `Eq` of the key and nothing else of the user's: what is removed is handed to the caller,
//! who closes and drops it.

use super::{
    books::{Books, Front, Leaves},
    entry::{PoolEntry, Terms},
    reason::PoolCloseReason,
};
use crate::{
    budget::{Budget, Permit},
    sync::{DashMap, Entry, Mutex},
};
use std::{convert::Infallible, hash::Hash, sync::Arc, time::Instant};

/// Most entries that are looked at in search of one to remove.
const LOOKS: usize = 256;

#[derive(Debug)]
pub(crate) struct Table<K: Eq + Hash, V> {
    slots: DashMap<Arc<K>, Slot<V>>,
    books: Mutex<Books<K>>,
    places: Budget,
}

#[derive(Debug)]
struct Slot<V> {
    entry: Arc<PoolEntry<V>>,
    place: Permit,
}

/// An entry that is no longer in the table, to be closed or given away by whoever got this.
#[derive(Debug)]
#[must_use = "it has to be closed or given away"]
pub(crate) struct Removed<K, V> {
    pub(crate) key: Arc<K>,
    pub(crate) entry: Arc<PoolEntry<V>>,
    /// Free for another entry. Absent where the successor under the same key keeps it.
    pub(crate) place: Option<Permit>,
    pub(crate) leaves: Leaves,
}

/// What a look under a key finds.
#[derive(Debug)]
pub(crate) enum Found<K, V> {
    Entry(Arc<PoolEntry<V>>),
    Expired(Removed<K, V>),
    Nothing,
}

/// What happens if there is an entry under the key already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Clash {
    Replace,
    Keep,
}

/// What came of putting a value into the table.
#[derive(Debug)]
pub(crate) enum Put<K, V> {
    Done { entry: Arc<PoolEntry<V>>, replaced: Option<Removed<K, V>> },
    Kept { entry: Arc<PoolEntry<V>>, value: V },
    Closed { value: V },
}

/// No place is free; the value comes back.
#[derive(Debug)]
pub(crate) struct Full<V>(pub(crate) V);

/// Which entry makes room in a full table, if none has expired.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Victim {
    None,
    LeastUsed,
    Oldest,
}

impl<K: Eq + Hash, V> Table<K, V> {
    pub(crate) fn new(max_size: u64, victim: Victim, now: Instant) -> Self {
        let books = Books::new(now, victim == Victim::LeastUsed);
        Self { slots: DashMap::new(), books: Mutex::new(books), places: Budget::new(max_size) }
    }

    pub(crate) fn places(&self) -> &Budget {
        &self.places
    }

    /// Reads or changes the books, for a moment.
    pub(crate) fn books<T>(&self, read: impl FnOnce(&mut Books<K>) -> T) -> T {
        read(&mut self.books.lock())
    }

    /// Finds the entry under `key` and notes that it is used.
    pub(crate) fn get(&self, key: &K, now: Instant) -> Found<K, V> {
        let Some(entry) = self.slots.get(key).map(|slot| Arc::clone(&slot.entry)) else {
            return Found::Nothing;
        };
        if entry.expired(now).is_none() {
            entry.touch(now);
            return Found::Entry(entry);
        }
        match self.remove_expired(key, entry.generation(), now) {
            Some(removed) => Found::Expired(removed),
            None => Found::Nothing,
        }
    }

    /// Puts `value` under `key` in a place that is free, or in that of the entry that it replaces.
    pub(crate) fn put_if_free(
        &self,
        key: Arc<K>,
        value: V,
        terms: Terms,
        now: Instant,
    ) -> Result<Put<K, V>, Full<V>> {
        let place = || self.places.try_acquire().ok_or(());
        let put = self.put_with(key, value, terms, now, Clash::Replace, place);
        put.map_err(|(value, ())| Full(value))
    }

    /// Puts `value` under `key` in `place`, which is given back if there is an entry already.
    pub(crate) fn put(
        &self,
        key: Arc<K>,
        value: V,
        terms: Terms,
        now: Instant,
        clash: Clash,
        place: Permit,
    ) -> Put<K, V> {
        match self.put_with(key, value, terms, now, clash, || Ok::<_, Infallible>(place)) {
            Ok(put) => put,
            Err((_, never)) => match never {},
        }
    }

    /// A `place` that is not asked for is dropped with the arguments: after every lock.
    fn put_with<E>(
        &self,
        key: Arc<K>,
        value: V,
        terms: Terms,
        now: Instant,
        clash: Clash,
        place: impl FnOnce() -> Result<Permit, E>,
    ) -> Result<Put<K, V>, (V, E)> {
        // Dropped last, so that no key is dropped under a lock.
        let at_hand = Arc::clone(&key);
        match self.slots.entry(key) {
            Entry::Occupied(mut slot) => {
                let expired = slot.get().entry.expired(now);
                if clash == Clash::Keep && expired.is_none() {
                    let entry = Arc::clone(&slot.get().entry);
                    return Ok(Put::Kept { entry, value });
                }
                let mut books = self.books.lock();
                if books.is_closed() {
                    return Ok(Put::Closed { value });
                }
                let key = Arc::clone(slot.key());
                let leaves = Leaves::Closed(expired.unwrap_or(PoolCloseReason::Replaced));
                books.strike(slot.get().entry.generation(), leaves);
                let entry = file(&mut books, Arc::clone(&key), value, terms, now);
                let old = std::mem::replace(&mut slot.get_mut().entry, Arc::clone(&entry));
                let replaced = Removed { key, entry: old, place: None, leaves };
                Ok(Put::Done { entry, replaced: Some(replaced) })
            }
            Entry::Vacant(slot) => {
                let mut books = self.books.lock();
                if books.is_closed() {
                    return Ok(Put::Closed { value });
                }
                let place = match place() {
                    Ok(place) => place,
                    Err(error) => return Err((value, error)),
                };
                let entry = file(&mut books, at_hand, value, terms, now);
                slot.insert(Slot { entry: Arc::clone(&entry), place });
                Ok(Put::Done { entry, replaced: None })
            }
        }
    }

    /// Removes the entry under `key`, as `leaves` says, or as expired if it is.
    pub(crate) fn remove(&self, key: &K, now: Instant, leaves: Leaves) -> Option<Removed<K, V>> {
        self.remove_where(key, |entry| Some(entry.expired(now).map_or(leaves, Leaves::Closed)))
    }

    /// Removes the entry under `key` if it still is that of `generation`.
    pub(crate) fn remove_same(
        &self,
        key: &K,
        generation: u64,
        reason: PoolCloseReason,
    ) -> Option<Removed<K, V>> {
        self.remove_where(key, |entry| {
            (entry.generation() == generation).then_some(Leaves::Closed(reason))
        })
    }

    /// Looks at up to `looks` entries that may have expired, and removes one that has.
    pub(crate) fn remove_due(&self, now: Instant, looks: &mut usize) -> Option<Removed<K, V>> {
        while *looks > 0 {
            let (generation, key, _) = self.books(|books| books.first_due(now))?;
            *looks -= 1;
            if let Some(removed) = self.remove_expired(&key, generation, now) {
                return Some(removed);
            }
        }
        None
    }

    /// Removes one entry for the sake of its place: an expired one, else what `victim` says.
    pub(crate) fn make_room(&self, now: Instant, victim: Victim) -> Option<Removed<K, V>> {
        self.remove_due(now, &mut { LOOKS }).or_else(|| match victim {
            Victim::None => None,
            Victim::Oldest => self.evict(Books::oldest),
            Victim::LeastUsed => self.evict_least_used(),
        })
    }

    /// Removes the first entry from generation `*from` on that is older than `end`, and moves `*from` behind it.
    pub(crate) fn remove_from(
        &self,
        from: &mut u64,
        end: u64,
        reason: PoolCloseReason,
    ) -> Option<Removed<K, V>> {
        loop {
            let (generation, key) = self.books(|books| books.first_from(*from, end))?;
            *from = generation + 1;
            if let Some(removed) = self.remove_same(&key, generation, reason) {
                return Some(removed);
            }
        }
    }

    fn evict(&self, pick: impl Fn(&Books<K>) -> Option<Front<K>>) -> Option<Removed<K, V>> {
        for _ in 0..LOOKS {
            let (generation, key, _) = self.books(|books| pick(books))?;
            let removed = self.remove_same(&key, generation, PoolCloseReason::Evicted);
            if removed.is_some() {
                return removed;
            }
        }
        None
    }

    /// Exact unless more than [`LOOKS`] entries were used since they were last looked at.
    fn evict_least_used(&self) -> Option<Removed<K, V>> {
        for _ in 0..LOOKS {
            let (generation, key, filed) = self.books(|books| books.least_used())?;
            let removed = self.remove_where(&key, |entry| {
                let same = entry.generation() == generation;
                if same && entry.last_used() > filed {
                    self.refile(entry);
                    return None;
                }
                same.then_some(Leaves::Closed(PoolCloseReason::Evicted))
            });
            if removed.is_some() {
                return removed;
            }
        }
        self.evict(Books::least_used)
    }

    /// Removes the entry of `generation` if it has expired, and refiles it if not.
    fn remove_expired(&self, key: &K, generation: u64, now: Instant) -> Option<Removed<K, V>> {
        self.remove_where(key, |entry| {
            if entry.generation() != generation {
                return None;
            }
            let expired = entry.expired(now).map(Leaves::Closed);
            if expired.is_none() {
                self.refile(entry);
            }
            expired
        })
    }

    fn refile(&self, entry: &PoolEntry<V>) {
        self.books.lock().refile(entry.generation(), entry.last_used(), entry.expires());
    }

    /// Removes the entry under `key` if `decide`, which runs under the shard's lock, says how.
    fn remove_where(
        &self,
        key: &K,
        decide: impl FnOnce(&PoolEntry<V>) -> Option<Leaves>,
    ) -> Option<Removed<K, V>> {
        let mut decided = None;
        let (key, Slot { entry, place }) = self.slots.remove_if(key, |_, slot| {
            decided = decide(&slot.entry);
            if let Some(leaves) = decided {
                self.books.lock().strike(slot.entry.generation(), leaves);
            }
            decided.is_some()
        })?;
        let leaves = decided?;
        Some(Removed { key, entry, place: Some(place), leaves })
    }
}

fn file<K, V>(
    books: &mut Books<K>,
    key: Arc<K>,
    value: V,
    terms: Terms,
    now: Instant,
) -> Arc<PoolEntry<V>> {
    let entry = PoolEntry::new(value, books.next_generation(), now, terms);
    books.file(key, now, entry.expires());
    Arc::new(entry)
}
