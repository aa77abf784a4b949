//! The pool's table: never more entries than places, each entry leaves once, internal removals take no successor.

use crate::{
    check,
    pool::{
        books::Leaves,
        entry::Terms,
        reason::PoolCloseReason,
        table::{Clash, Found, Full, Put, Removed, Table, Victim},
    },
};
use loom::{sync::Arc, thread};
use std::{
    sync::Arc as StdArc,
    time::{Duration, Instant},
};

type Pool = Arc<Table<u8, u8>>;

const FOREVER: Terms = Terms { idle: None, lifetime: None };
const NOTHING: Terms = Terms { idle: Some(Duration::ZERO), lifetime: None };

/// The tables of one model, and the moment at which everything in it happens.
fn table(max_size: u64, victim: Victim) -> (Pool, Instant) {
    #[expect(clippy::disallowed_methods, reason = "a model needs some instant")]
    let now = Instant::now();
    (Arc::new(Table::new(max_size, victim, now)), now)
}

/// As the driver inserts. The second is the entry that left for it.
fn insert(pool: &Pool, key: u8, value: u8, victim: Victim, now: Instant) -> (bool, Option<u8>) {
    let key = StdArc::new(key);
    match pool.put_if_free(StdArc::clone(&key), value, FOREVER, now) {
        Ok(put) => done(put),
        Err(Full(value)) => {
            let Some(victim) = pool.make_room(now, victim) else { return (false, None) };
            let left = *victim.entry.value();
            let place = victim.place.expect("a victim leaves its place");
            let (inserted, _) = done(pool.put(key, value, FOREVER, now, Clash::Replace, place));
            (inserted, Some(left))
        }
    }
}

fn done(put: Put<u8, u8>) -> (bool, Option<u8>) {
    match put {
        Put::Done { replaced, .. } => (true, replaced.map(|old| *old.entry.value())),
        Put::Kept { .. } | Put::Closed { .. } => (false, None),
    }
}

fn value(removed: Option<Removed<u8, u8>>) -> Option<u8> {
    removed.map(|removed| *removed.entry.value())
}

/// What must hold whenever nobody is inside: entries = places in use = inserted − taken − closed.
fn audit(pool: &Pool) -> usize {
    let (entries, counts) = pool.books(|books| (books.len(), books.counts()));
    assert_eq!(pool.places().in_use(), entries as u64);
    let left = counts.taken + counts.closed.iter().sum::<u64>();
    assert_eq!(counts.inserted, entries as u64 + left);
    entries
}

#[test]
fn two_inserts_into_one_place_never_make_two_entries() {
    for victim in [Victim::None, Victim::Oldest, Victim::LeastUsed] {
        check(3, move || {
            let (pool, now) = table(1, victim);
            let rival = thread::spawn({
                let pool = pool.clone();
                move || insert(&pool, 1, 1, victim, now)
            });
            let mine = insert(&pool, 2, 2, victim, now);
            assert!(pool.books(|books| books.len()) <= 1);
            let theirs = rival.join().unwrap();
            assert_eq!(audit(&pool), 1);
            match victim {
                Victim::None => assert!(mine.0 != theirs.0, "one fits, the other is refused"),
                // The other's place may be on its way from its victim: then there is none to evict.
                Victim::Oldest | Victim::LeastUsed => assert!(mine.0 || theirs.0),
            }
        });
    }
}

#[test]
fn each_entry_leaves_once_whoever_removes_it() {
    check(3, || {
        let (pool, now) = table(2, Victim::None);
        assert!(insert(&pool, 7, 1, Victim::None, now).0);
        let replace = thread::spawn({
            let pool = pool.clone();
            move || insert(&pool, 7, 2, Victim::None, now).1
        });
        let clear = thread::spawn({
            let pool = pool.clone();
            move || {
                let end = pool.books(|books| books.next_generation());
                value(pool.remove_from(&mut 0, end, PoolCloseReason::Cleared))
            }
        });
        let taken = value(pool.remove(&7, now, Leaves::Taken));
        let mut left = [taken, replace.join().unwrap(), clear.join().unwrap()].to_vec();
        audit(&pool);
        left.push(value(pool.remove(&7, now, Leaves::Taken)));
        left.retain(Option::is_some);
        left.sort_unstable();
        assert_eq!(left, [Some(1), Some(2)]);
        assert_eq!(audit(&pool), 0);
    });
}

#[test]
fn an_expired_entry_is_removed_once_and_its_successor_stays() {
    check(3, || {
        let (pool, now) = table(2, Victim::None);
        let expired = pool.put_if_free(StdArc::new(7), 1, NOTHING, now);
        assert!(matches!(expired, Ok(Put::Done { .. })));
        let prune = thread::spawn({
            let pool = pool.clone();
            move || value(pool.remove_due(now, &mut 4))
        });
        let insert = thread::spawn({
            let pool = pool.clone();
            move || insert(&pool, 7, 2, Victim::None, now)
        });
        let looked_up = match pool.get(&7, now) {
            Found::Expired(removed) => value(Some(removed)),
            Found::Entry(entry) => {
                assert_eq!(*entry.value(), 2);
                None
            }
            Found::Nothing => None,
        };
        let (inserted, replaced) = insert.join().unwrap();
        let removals = [prune.join().unwrap(), looked_up, replaced];
        assert!(inserted);
        assert_eq!(removals.iter().flatten().collect::<Vec<_>>(), [&1]);
        assert!(matches!(pool.get(&7, now), Found::Entry(entry) if *entry.value() == 2));
        assert_eq!(audit(&pool), 1);
    });
}

#[test]
fn discarding_the_entry_one_has_seen_spares_its_successor() {
    check(3, || {
        let (pool, now) = table(2, Victim::None);
        assert!(insert(&pool, 7, 1, Victim::None, now).0);
        let Found::Entry(seen) = pool.get(&7, now) else { panic!("just inserted") };
        let replace = thread::spawn({
            let pool = pool.clone();
            move || insert(&pool, 7, 2, Victim::None, now).1
        });
        let reason = PoolCloseReason::Discarded;
        let discarded = value(pool.remove_same(&7, seen.generation(), reason));
        let replaced = replace.join().unwrap();
        assert!(discarded.is_some() != replaced.is_some());
        assert!(matches!(pool.get(&7, now), Found::Entry(entry) if *entry.value() == 2));
        assert_eq!(audit(&pool), 1);
    });
}

#[test]
fn a_closed_table_is_empty_and_stays_so() {
    check(3, || {
        let (pool, now) = table(2, Victim::None);
        let insert = thread::spawn({
            let pool = pool.clone();
            move || insert(&pool, 1, 1, Victim::None, now).0
        });
        let end = pool.books(|books| {
            books.close();
            books.next_generation()
        });
        let removed = value(pool.remove_from(&mut 0, end, PoolCloseReason::PoolClosed));
        assert_eq!(audit(&pool), 0);
        assert_eq!(insert.join().unwrap(), removed.is_some());
        assert_eq!(audit(&pool), 0);
    });
}
