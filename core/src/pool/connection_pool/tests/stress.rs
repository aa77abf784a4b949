//! Many threads at once: limits, single flights and exactly-once closing under real contention.

use super::*;
use std::{
    collections::HashMap,
    sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::SeqCst},
    thread,
};

const KEYS: u32 = 12;
const MAX: usize = 7;

fn values_once(closed: &Closed, taken: Vec<u32>) -> HashMap<u32, usize> {
    let mut seen = HashMap::new();
    let closed = closed.take().into_iter().map(|(_, value, _)| value);
    closed.chain(taken).for_each(|value| *seen.entry(value).or_default() += 1);
    seen
}

#[test]
fn threads_never_see_one_entry_too_many_and_every_value_ends_once() {
    for when_full in [FullPolicy::Reject, FullPolicy::EvictLru, FullPolicy::EvictOldest] {
        let config = PoolConfig {
            // Real time: some entries expire while they are looked at, whichever those are.
            idle_timeout: TimeLimit::After(Duration::from_micros(300)),
            ..config(MAX as u32, when_full)
        };
        let (pool, closed) = watched(config);
        let (next, done) = (AtomicU32::new(0), AtomicBool::new(false));
        let taken = thread::scope(|scope| {
            let worker = |seed: u32| {
                let (pool, next) = (&pool, &next);
                move || {
                    let mut mine = Vec::new();
                    for round in 0..4_000_u32 {
                        let key = (round * 7 + seed * 5) % KEYS;
                        match (round + seed) % 8 {
                            0..=2 => {
                                let value = next.fetch_add(1, SeqCst);
                                let refused = pool.insert(key, value).err();
                                mine.extend(refused.map(|error| error.value));
                            }
                            3 => mine.extend(pool.remove(&key)),
                            4 => drop(pool.discard(&key)),
                            5 if round % 512 == 0 => pool.clear(),
                            6 => drop(pool.prune_expired()),
                            _ => drop(pool.get(&key)),
                        }
                    }
                    mine
                }
            };
            let workers: Vec<_> = (0..4).map(|seed| scope.spawn(worker(seed))).collect();
            scope.spawn(|| {
                while !done.load(SeqCst) {
                    assert!(pool.size() <= MAX);
                    audit(&pool);
                }
            });
            let taken = workers.into_iter().flat_map(|worker| worker.join().unwrap()).collect();
            done.store(true, SeqCst);
            taken
        });
        drop(pool);
        let seen = values_once(&closed, taken);
        assert_eq!(seen.len(), next.load(SeqCst) as usize, "no value is lost");
        assert!(seen.values().all(|times| *times == 1), "no value ends twice");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn tasks_that_create_and_cancel_never_exceed_the_limit_or_run_two_factories_for_a_key() {
    let (pool, closed) = watched(config(MAX as u32, FullPolicy::EvictLru));
    let pool = Arc::new(pool);
    let at_work: Arc<Vec<AtomicUsize>> = Arc::new((0..KEYS).map(|_| AtomicUsize::new(0)).collect());
    let next = Arc::new(AtomicU32::new(0));
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..32_u32 {
        let (pool, at_work, next) = (Arc::clone(&pool), Arc::clone(&at_work), Arc::clone(&next));
        tasks.spawn(async move {
            for round in 0..150_u32 {
                let key = (round * 5 + task) % KEYS;
                let making = {
                    let (at_work, next) = (Arc::clone(&at_work), Arc::clone(&next));
                    move || async move {
                        let _alone = Alone::enter(at_work, key as usize);
                        for _ in 0..round % 4 {
                            tokio::task::yield_now().await;
                        }
                        if round % 11 == 0 { Err(refused()) } else { Ok(next.fetch_add(1, SeqCst)) }
                    }
                };
                let getting = pool.get_or_create(key, making);
                if (task + round) % 3 == 0 {
                    // Gives up after the others had one turn.
                    tokio::select! {
                        biased;
                        _ = getting => {}
                        () = tokio::task::yield_now() => {}
                    }
                } else {
                    drop(getting.await);
                }
                assert!(pool.size() <= MAX);
                if round % 5 == 0 {
                    pool.discard(&key);
                }
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    assert_eq!((pool.flights.len(), pool.places_in_use()), (0, pool.size() as u64));
    audit(&pool);
    let inserted = pool.stats().inserted;
    drop(pool);
    let seen = values_once(&closed, Vec::new());
    assert_eq!(seen.len() as u64, inserted);
    assert!(seen.values().all(|times| *times == 1));
}

/// Held by a factory while it is at work.
struct Alone(Arc<Vec<AtomicUsize>>, usize);

impl Alone {
    fn enter(at_work: Arc<Vec<AtomicUsize>>, key: usize) -> Self {
        assert_eq!(at_work[key].fetch_add(1, SeqCst), 0, "two factories for one key");
        Self(at_work, key)
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        self.0[self.1].fetch_sub(1, SeqCst);
    }
}
