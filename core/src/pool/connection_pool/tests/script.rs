//! Random scripts against a pool as one would write it down: a list, looked through from end to end.

use super::*;
use crate::pool::{
    entry::Terms,
    table::{Found, Put, Table, Victim},
};
use PoolCloseReason::*;
use proptest::prelude::*;

const IDLE: u64 = 10;
const LIFETIME: u64 = 60;

#[derive(Clone, Debug)]
enum Op {
    Insert(u32),
    InsertFor(u32, u64),
    Get(u32),
    GetOrCreate(u32, bool),
    Remove(u32),
    Discard(u32),
    Prune,
    Clear,
    SetMaxSize(u32),
    Pass(u64),
}

fn op() -> impl Strategy<Value = Op> {
    let key = || 0..7_u32;
    prop_oneof![
        4 => key().prop_map(Op::Insert),
        1 => (key(), 0..70_u64).prop_map(|(key, life)| Op::InsertFor(key, life)),
        4 => key().prop_map(Op::Get),
        2 => (key(), any::<bool>()).prop_map(|(key, works)| Op::GetOrCreate(key, works)),
        1 => key().prop_map(Op::Remove),
        1 => key().prop_map(Op::Discard),
        1 => Just(Op::Prune),
        1 => Just(Op::Clear),
        1 => (0..6_u32).prop_map(Op::SetMaxSize),
        4 => (0..12_u64).prop_map(Op::Pass),
    ]
}

fn policy() -> impl Strategy<Value = FullPolicy> {
    prop_oneof![Just(FullPolicy::Reject), Just(FullPolicy::EvictLru), Just(FullPolicy::EvictOldest),]
}

#[derive(Clone, Debug)]
struct Entry {
    key: u32,
    value: u32,
    created: u64,
    used: u64,
    lifetime: u64,
}

impl Entry {
    fn expired(&self, now: u64) -> Option<PoolCloseReason> {
        if now >= self.created + self.lifetime {
            return Some(Lifetime);
        }
        (now >= self.used + IDLE).then_some(IdleTimeout)
    }
}

/// Entries in the order of their creation, and what was closed in this step.
struct Model {
    entries: Vec<Entry>,
    max_size: usize,
    when_full: FullPolicy,
    now: u64,
    closed: Vec<(u32, u32, PoolCloseReason)>,
}

impl Model {
    fn place(&self, key: u32) -> Option<usize> {
        self.entries.iter().position(|entry| entry.key == key)
    }

    fn close(&mut self, place: usize, reason: PoolCloseReason) {
        let entry = self.entries.remove(place);
        self.closed.push((entry.key, entry.value, reason));
    }

    /// The live entry under `key`; an expired one is closed.
    fn find(&mut self, key: u32) -> Option<usize> {
        let place = self.place(key)?;
        match self.entries[place].expired(self.now) {
            Some(reason) => {
                self.close(place, reason);
                None
            }
            None => Some(place),
        }
    }

    fn get(&mut self, key: u32) -> Option<u32> {
        let place = self.find(key)?;
        self.entries[place].used = self.now;
        Some(self.entries[place].value)
    }

    /// Whether there is a place; `seen` says which of several expired entries the pool chose.
    fn make_room(&mut self, seen: &[(u32, u32, PoolCloseReason)]) -> bool {
        while self.entries.len() >= self.max_size {
            if !self.remove_victim(seen) {
                return false;
            }
        }
        true
    }

    fn remove_victim(&mut self, seen: &[(u32, u32, PoolCloseReason)]) -> bool {
        let now = self.now;
        if self.entries.iter().any(|entry| entry.expired(now).is_some()) {
            let chosen = seen.get(self.closed.len()).expect("an expired entry makes room");
            let place = self.place(chosen.0).expect("it closes an entry");
            let reason = self.entries[place].expired(now).expect("the entry has expired");
            self.close(place, reason);
        } else {
            let least_used = || (0..self.entries.len()).min_by_key(|at| self.entries[*at].used);
            let victim = match self.when_full {
                FullPolicy::Reject | FullPolicy::Wait => None,
                FullPolicy::EvictLru => least_used(),
                FullPolicy::EvictOldest => (!self.entries.is_empty()).then_some(0),
            };
            let Some(victim) = victim else { return false };
            self.close(victim, Evicted);
        }
        true
    }

    fn insert(
        &mut self,
        key: u32,
        value: u32,
        lifetime: u64,
        seen: &[(u32, u32, PoolCloseReason)],
    ) -> bool {
        match self.place(key) {
            Some(place) => {
                let reason = self.entries[place].expired(self.now).unwrap_or(Replaced);
                self.close(place, reason);
            }
            None if !self.make_room(seen) => return false,
            None => {}
        }
        let (created, used) = (self.now, self.now);
        self.entries.push(Entry { key, value, created, used, lifetime });
        true
    }

    fn prune(&mut self) {
        let now = self.now;
        while let Some(place) = self.entries.iter().position(|entry| entry.expired(now).is_some()) {
            let reason = self.entries[place].expired(now).expect("just found");
            self.close(place, reason);
        }
    }
}

fn sorted(mut closed: Vec<(u32, u32, PoolCloseReason)>) -> Vec<(u32, u32, i32)> {
    closed.sort_by_key(|(_, value, _)| *value);
    closed.into_iter().map(|(key, value, reason)| (key, value, reason.code())).collect()
}

async fn run(script: Vec<Op>, when_full: FullPolicy) -> Result<(), TestCaseError> {
    let (pool, closed) = watched(config(3, when_full));
    let mut model =
        Model { entries: Vec::new(), max_size: 3, when_full, now: 0, closed: Vec::new() };
    for (value, op) in (0..).zip(script) {
        match op {
            Op::Insert(key) => {
                let inserted = pool.insert(key, value).is_ok();
                let seen = closed.0.lock().unwrap().clone();
                prop_assert_eq!(inserted, model.insert(key, value, LIFETIME, &seen));
            }
            Op::InsertFor(key, life) => {
                let inserted = pool.insert_for(key, value, Duration::from_secs(life)).is_ok();
                let seen = closed.0.lock().unwrap().clone();
                prop_assert_eq!(inserted, model.insert(key, value, life, &seen));
            }
            Op::Get(key) => prop_assert_eq!(pool.get(&key), model.get(key)),
            Op::GetOrCreate(key, works) => {
                let factory = || async move { works.then_some(value).ok_or_else(refused) };
                let got = pool.get_or_create(key, factory).await.ok();
                let seen = closed.0.lock().unwrap().clone();
                let expected = model.get(key).or_else(|| {
                    let made = model.make_room(&seen) && works;
                    (made && model.insert(key, value, LIFETIME, &seen)).then_some(value)
                });
                prop_assert_eq!(got, expected);
            }
            Op::Remove(key) => {
                let expected = model.find(key).map(|place| model.entries.remove(place).value);
                prop_assert_eq!(pool.remove(&key), expected);
            }
            Op::Discard(key) => {
                let expected = model.find(key).map(|place| model.close(place, Discarded)).is_some();
                prop_assert_eq!(pool.discard(&key), expected);
            }
            Op::Prune => {
                pool.prune_expired();
                model.prune();
            }
            Op::Clear => {
                pool.clear();
                while !model.entries.is_empty() {
                    model.close(0, Cleared);
                }
            }
            Op::SetMaxSize(max_size) => {
                pool.set_max_size(max_size);
                model.max_size = max_size as usize;
            }
            Op::Pass(seconds) => {
                pass(seconds).await;
                model.now += seconds;
            }
        }
        prop_assert_eq!(sorted(closed.take()), sorted(std::mem::take(&mut model.closed)));
        prop_assert_eq!(pool.size(), model.entries.len());
        audit(&pool);
        let ages: u64 = model.entries.iter().map(|entry| model.now - entry.created).sum();
        let mean = Duration::from_secs(ages).checked_div(model.entries.len() as u32);
        prop_assert_eq!(pool.stats().average_age, mean.unwrap_or_default());
    }
    Ok(())
}

/// Looks and prunes at these times, in this order, whatever they are: the entry is gone only when it is due.
fn ends_when_due(times: &[(u64, bool)]) -> Result<(), TestCaseError> {
    #[expect(clippy::disallowed_methods, reason = "any instant will do")]
    let zero = std::time::Instant::now();
    let at = |seconds: u64| zero + Duration::from_secs(seconds);
    let table = Table::<u32, u32>::new(2, Victim::LeastUsed, at(CREATED));
    let terms = Terms { idle: Some(Duration::from_secs(IDLE)), lifetime: None };
    let put = table.put_if_free(Arc::new(1), 10, terms, at(CREATED));
    assert!(matches!(put, Ok(Put::Done { .. })));
    let mut used = CREATED;
    for (seconds, prune) in times {
        let live = *seconds < used + IDLE;
        if *prune {
            prop_assert_eq!(table.remove_due(at(*seconds), &mut 8).is_none(), live);
        } else {
            let found = table.get(&1, at(*seconds));
            prop_assert_eq!(matches!(found, Found::Entry(_)), live);
            used = used.max(*seconds);
        }
        table.books(|books| books.average_age(at(*seconds)));
        if !live {
            break;
        }
    }
    Ok(())
}

const CREATED: u64 = 1 << 40;

fn time() -> impl Strategy<Value = u64> {
    prop_oneof![0..2 * CREATED, CREATED - 20..CREATED + 40]
}

proptest! {
    #[test]
    fn a_clock_that_steps_back_or_leaps_closes_nothing_early(
        times in prop::collection::vec((time(), any::<bool>()), 0..20),
    ) {
        ends_when_due(&times)?;
    }

    #[test]
    fn any_script_agrees_with_the_list(
        script in prop::collection::vec(op(), 0..60), when_full in policy(),
    ) {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
        runtime.unwrap().block_on(run(script, when_full))?;
    }
}
