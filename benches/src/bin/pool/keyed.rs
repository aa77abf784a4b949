//! A million entries under their addresses: looked up, swept, filled and emptied.

use dashmap::DashMap;
use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Barrier},
    thread,
    time::Duration,
};
use trunkline_benches::{Bench, Goal, Must, now, percentile, pinned};
use trunkline_core::{ConnectionPool, DashMapConnectionPool, PoolConfig};

const MILLION: u32 = 1_000_000;
const GETS: u32 = 1_000_000;
const TIMED_GETS: usize = 300_000;
/// Entries in a table are filled and emptied with ends spread over this time.
const SPREAD: Duration = Duration::from_millis(500);

const GET: &str = "keyed get of 1 M entries, two threads";
const TAIL: &str = "keyed get of 1 M entries, p99.9 beside a sweep";
const INSERT: &str = "keyed insert of 1 M, each";
const SWEEP: &str = "keyed expire and sweep of 1 M, each";
const STEP: &str = "entries that one step of a sweep removes";

type Handle = Arc<u64>;
type KeyedPool = DashMapConnectionPool<SocketAddr, Handle>;

pub(crate) fn compare(bench: &mut Bench) {
    let goal = |measure, unit, must| Goal { measure, unit, must };
    let (mut pool, mut map) = (None, None);
    bench.compare(
        "bare DashMap",
        &[goal(GET, "1/s", Must::AtLeast(0.9))],
        &mut || {
            let pool = pool.get_or_insert_with(|| live(MILLION));
            [(GET, rate(|key| pool.get(key).is_some()))]
        },
        &mut || {
            let map = map.get_or_insert_with(|| bare(MILLION));
            [(GET, rate(|key| map.get(key).map(|found| Arc::clone(&found)).is_some()))]
        },
    );
    drop((pool, map));
    bench.compare(
        "without a sweep",
        &[goal(TAIL, "ns", Must::AtMost(2.0))],
        &mut || [(TAIL, tail(true))],
        &mut || [(TAIL, tail(false))],
    );
    let mut largest_step = 0;
    bench.compare(
        "at 250 k",
        &[goal(INSERT, "ns", Must::AtMost(1.3)), goal(SWEEP, "ns", Must::AtMost(1.3))],
        &mut || {
            let [insert, sweep, step] = turnover(MILLION);
            largest_step = largest_step.max(step as usize);
            [(INSERT, insert), (SWEEP, sweep)]
        },
        &mut || {
            let [insert, sweep, _] = turnover(MILLION / 4);
            [(INSERT, insert), (SWEEP, sweep)]
        },
    );
    if largest_step > 0 {
        bench.at_most(STEP, "entries", 256.0, largest_step as f64);
    }
}

fn key(number: u32) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::from(0x0a00_0000 + number), 5432))
}

fn empty(max_size: u32) -> KeyedPool {
    KeyedPool::new(PoolConfig { max_size, ..PoolConfig::default() }).expect("a valid configuration")
}

fn live(entries: u32) -> KeyedPool {
    let pool = empty(entries);
    for number in 0..entries {
        pool.insert(key(number), Handle::new(number.into())).expect("there is room");
    }
    pool
}

fn bare(entries: u32) -> DashMap<SocketAddr, Handle> {
    (0..entries).map(|number| (key(number), Handle::new(number.into()))).collect()
}

/// Lookups per second of two threads together, of keys in no order.
fn rate(get: impl Fn(&SocketAddr) -> bool + Sync) -> f64 {
    pinned(2, || {
        let begun = now();
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    for _ in 0..GETS {
                        assert!(get(&key(fastrand::u32(..MILLION))), "every key has an entry");
                    }
                });
            }
        });
        f64::from(2 * GETS) / begun.elapsed().as_secs_f64()
    })
}

/// The 99.9th percentile of lookups by one thread, in nanoseconds. Half of the entries have expired, and where it
/// `sweeps`, another thread removes them meanwhile.
fn tail(sweeps: bool) -> f64 {
    let pool = empty(MILLION);
    for number in 0..MILLION {
        let lifetime = Duration::from_nanos(if number % 2 == 0 { 1 } else { u64::MAX });
        pool.insert_for(key(number), Handle::new(number.into()), lifetime).expect("there is room");
    }
    let begins = Barrier::new(2);
    pinned(2, || {
        thread::scope(|scope| {
            let sweeper = scope.spawn(|| {
                begins.wait();
                while sweeps && pool.prune_expired().more {
                    thread::yield_now();
                }
            });
            begins.wait();
            let mut times = Vec::with_capacity(TIMED_GETS);
            while times.len() < TIMED_GETS && !(sweeps && sweeper.is_finished()) {
                let wanted = key(fastrand::u32(..MILLION / 2) * 2 + 1);
                let begun = now();
                let found = pool.get(&wanted);
                times.push(begun.elapsed());
                assert!(found.is_some(), "every key has an entry");
            }
            percentile(&mut times, 0.999).as_nanos() as f64
        })
    })
}

/// What inserting an entry takes, what removing it takes once it has expired, both in nanoseconds, and how many
/// entries the largest step removed.
fn turnover(entries: u32) -> [f64; 3] {
    pinned(1, || {
        let pool = empty(entries);
        let each =
            |begun: std::time::Instant| begun.elapsed().as_nanos() as f64 / f64::from(entries);
        let keys: Vec<_> = (0..entries).map(key).collect();
        let begun = now();
        for key in keys {
            let lifetime = SPREAD.mul_f64(fastrand::f64());
            pool.insert_for(key, Handle::default(), lifetime).expect("there is room");
        }
        let insert = each(begun);
        thread::sleep(SPREAD);
        let (begun, mut largest) = (now(), 0);
        loop {
            let step = pool.prune_expired();
            largest = largest.max(step.closed);
            if !step.more {
                break;
            }
        }
        assert_eq!(pool.size(), 0, "every entry has expired");
        [insert, each(begun), largest as f64]
    })
}
