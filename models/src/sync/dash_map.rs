//! The part of dashmap that core uses, as a map with one shard: its lock is loom's.

use super::Mutex;
use loom::sync::MutexGuard;
use std::{borrow::Borrow, collections::HashMap, hash::Hash};

#[derive(Debug)]
pub(crate) struct DashMap<K, V> {
    shard: Mutex<HashMap<K, V>>,
}

impl<K: Eq + Hash, V> DashMap<K, V> {
    pub(crate) fn new() -> Self {
        Self { shard: Mutex::new(HashMap::new()) }
    }

    pub(crate) fn get<'a, Q: Hash + Eq>(&'a self, key: &'a Q) -> Option<Ref<'a, K, V, Q>>
    where
        K: Borrow<Q>,
    {
        let shard = self.shard.lock();
        shard.contains_key(key).then_some(Ref { shard, key })
    }

    pub(crate) fn entry(&self, key: K) -> Entry<'_, K, V> {
        let shard = self.shard.lock();
        let occupied = shard.contains_key(&key);
        let entry = Slot { shard, key };
        if occupied { Entry::Occupied(entry) } else { Entry::Vacant(entry) }
    }

    pub(crate) fn remove_if<Q: Hash + Eq>(
        &self,
        key: &Q,
        condition: impl FnOnce(&K, &V) -> bool,
    ) -> Option<(K, V)>
    where
        K: Borrow<Q>,
    {
        let mut shard = self.shard.lock();
        let (stored, value) = shard.get_key_value(key)?;
        if condition(stored, value) { shard.remove_entry(key) } else { None }
    }
}

/// A found value, and with it the lock.
pub(crate) struct Ref<'a, K, V, Q> {
    shard: MutexGuard<'a, HashMap<K, V>>,
    key: &'a Q,
}

impl<K: Eq + Hash + Borrow<Q>, V, Q: Hash + Eq> std::ops::Deref for Ref<'_, K, V, Q> {
    type Target = V;

    fn deref(&self) -> &V {
        &self.shard[self.key]
    }
}

pub(crate) enum Entry<'a, K, V> {
    Occupied(Slot<'a, K, V>),
    Vacant(Slot<'a, K, V>),
}

/// A place in the map, and with it the lock.
pub(crate) struct Slot<'a, K, V> {
    shard: MutexGuard<'a, HashMap<K, V>>,
    key: K,
}

impl<K: Eq + Hash, V> Slot<'_, K, V> {
    pub(crate) fn key(&self) -> &K {
        &self.key
    }

    pub(crate) fn get(&self) -> &V {
        &self.shard[&self.key]
    }

    pub(crate) fn get_mut(&mut self) -> &mut V {
        self.shard.get_mut(&self.key).expect("the slot is occupied")
    }

    pub(crate) fn insert(mut self, value: V) {
        self.shard.insert(self.key, value);
    }
}
