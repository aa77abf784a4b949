//! One claim of the trait or of the pool's documentation each.

use super::*;
use PoolCloseReason::*;

#[tokio::test(start_paused = true)]
async fn a_value_is_shared_until_it_is_taken_out() {
    let (pool, closed) = pool(2);
    let pool: &dyn ConnectionPool<u32, u32> = &pool;
    pool.insert(1, 10).unwrap();
    assert_eq!((pool.get(&1), pool.get(&1), pool.get(&2)), (Some(10), Some(10), None));
    assert_eq!((pool.remove(&1), pool.remove(&1), pool.get(&1)), (Some(10), None, None));
    assert_eq!(closed.take(), [], "what was taken out is the caller's");
    assert!(pool.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_full_pool_gives_the_value_back() {
    let (pool, closed) = pool(1);
    pool.insert(1, 10).unwrap();
    let error = pool.insert(2, 20).unwrap_err();
    assert_eq!(error.value, 20);
    assert!(matches!(error.error, ConnectionError::LimitExceeded { limit: 1, .. }));
    assert!(error.error.is_safe_to_retry());
    assert_eq!((pool.size(), pool.stats().refused, closed.take()), (1, 1, vec![]));
}

#[tokio::test(start_paused = true)]
async fn a_full_pool_still_replaces() {
    let (pool, closed) = pool(1);
    pool.insert(1, 10).unwrap();
    pool.insert(1, 11).unwrap();
    assert_eq!(closed.take(), [(1, 10, Replaced)]);
    assert_eq!(pool.get(&1), Some(11));
}

#[tokio::test(start_paused = true)]
async fn an_expired_value_makes_room_before_anything_is_refused_or_evicted() {
    for when_full in [FullPolicy::Reject, FullPolicy::EvictLru, FullPolicy::EvictOldest] {
        let (pool, closed) = watched(config(2, when_full));
        pool.insert(1, 10).unwrap();
        pool.insert(2, 20).unwrap();
        pass(6).await;
        pool.get(&1);
        pass(6).await;
        pool.insert(3, 30).unwrap();
        assert_eq!(closed.take(), [(2, 20, IdleTimeout)], "{when_full:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_value_may_have_an_idle_time_of_its_own() {
    let (pool, closed) = pool(3);
    pool.insert_idle_for(1, 10, TimeLimit::secs(3)).unwrap();
    pool.insert_idle_for(2, 20, TimeLimit::Never).unwrap();
    pool.insert(3, 30).unwrap();
    pass(2).await;
    assert_eq!(pool.get(&1), Some(10), "a use begins it anew");
    pass(2).await;
    assert_eq!(pool.get(&1), Some(10));
    pass(9).await;
    assert_eq!((pool.get(&1), pool.get(&2), pool.get(&3)), (None, Some(20), None));
    pass(48).await;
    assert_eq!(pool.get(&2), None, "its lifetime is that of the pool");
    assert_eq!(closed.take(), [(1, 10, IdleTimeout), (3, 30, IdleTimeout), (2, 20, Lifetime)]);
    audit(&pool);
}

#[tokio::test(start_paused = true)]
async fn an_eviction_that_is_asked_for_takes_what_an_insert_would_and_nothing_where_none_would_be()
{
    let (pool, closed) = watched(config(3, FullPolicy::EvictLru));
    assert!(!pool.evict(), "there is nothing");
    pool.insert(1, 10).unwrap();
    pass(1).await;
    pool.insert(2, 20).unwrap();
    pass(1).await;
    pool.get(&1);
    assert!(pool.evict());
    assert_eq!(closed.take(), [(2, 20, Evicted)]);
    let (pool, closed) = watched(config(3, FullPolicy::Reject));
    pool.insert(1, 10).unwrap();
    assert!(!pool.evict());
    pass(10).await;
    assert!(pool.evict(), "an expired one goes in any case");
    assert_eq!(closed.take(), [(1, 10, IdleTimeout)]);
    audit(&pool);
}

#[tokio::test(start_paused = true)]
async fn the_least_recently_used_makes_room() {
    let (pool, closed) = watched(config(3, FullPolicy::EvictLru));
    for key in 1..=3 {
        pool.insert(key, key * 10).unwrap();
        pass(1).await;
    }
    pool.get(&1);
    pass(1).await;
    pool.get_entry(&2);
    pool.insert(4, 40).unwrap();
    pool.insert(5, 50).unwrap();
    assert_eq!(closed.take(), [(3, 30, Evicted), (1, 10, Evicted)]);
}

#[tokio::test(start_paused = true)]
async fn the_oldest_makes_room_used_or_not() {
    let (pool, closed) = watched(config(2, FullPolicy::EvictOldest));
    pool.insert(1, 10).unwrap();
    pool.insert(2, 20).unwrap();
    pass(1).await;
    pool.get(&1);
    pool.insert(3, 30).unwrap();
    assert_eq!(closed.take(), [(1, 10, Evicted)]);
}

#[tokio::test(start_paused = true)]
async fn an_idle_value_is_never_given_out() {
    let (pool, closed) = pool(2);
    pool.insert(1, 10).unwrap();
    pass(9).await;
    assert_eq!(pool.get(&1), Some(10), "a use before the timeout");
    pass(9).await;
    assert_eq!(pool.get(&1), Some(10), "starts it anew");
    pass(10).await;
    assert_eq!(pool.get(&1), None);
    assert_eq!(closed.take(), [(1, 10, IdleTimeout)]);
    assert_eq!(pool.size(), 0, "the lookup removed it");
}

#[tokio::test(start_paused = true)]
async fn a_value_past_its_lifetime_is_never_given_out_however_busy() {
    let (pool, closed) = pool(2);
    pool.insert(1, 10).unwrap();
    for _ in 0..59 {
        pass(1).await;
        assert_eq!(pool.get(&1), Some(10));
    }
    pass(1).await;
    assert_eq!(pool.remove(&1), None);
    assert_eq!(closed.take(), [(1, 10, Lifetime)]);
}

#[tokio::test(start_paused = true)]
async fn a_value_may_have_a_lifetime_of_its_own() {
    let (pool, closed) = pool(2);
    pool.insert_for(1, 10, Duration::from_secs(2)).unwrap();
    pool.insert(2, 20).unwrap();
    pass(2).await;
    assert_eq!((pool.get(&1), pool.get(&2)), (None, Some(20)));
    assert_eq!(closed.take(), [(1, 10, Lifetime)]);
}

#[tokio::test(start_paused = true)]
async fn zero_and_never_are_kept_apart() {
    let with = |limit| PoolConfig {
        idle_timeout: limit,
        max_lifetime: TimeLimit::Never,
        ..config(2, FullPolicy::Reject)
    };
    let (never, _) = watched(with(TimeLimit::Never));
    never.insert(1, 10).unwrap();
    assert_eq!(never.next_expiry(), None);
    pass(1 << 32).await;
    assert_eq!(never.get(&1), Some(10));

    let (zero, closed) = watched(with(TimeLimit::After(Duration::ZERO)));
    zero.insert(1, 10).unwrap();
    assert_eq!(zero.get(&1), None);
    assert_eq!(closed.take(), [(1, 10, IdleTimeout)]);
}

#[tokio::test(start_paused = true)]
async fn jitter_shortens_lifetimes_within_its_band_and_not_all_alike() {
    let config = PoolConfig {
        idle_timeout: TimeLimit::Never,
        lifetime_jitter: 0.5,
        ..config(200, FullPolicy::Reject)
    };
    let (pool, _) = watched(config);
    (0..200).for_each(|key| pool.insert(key, key).unwrap());
    let ends: Vec<_> = (0..200)
        .map(|key| {
            let entry = pool.get_entry(&key).unwrap();
            entry.expires().unwrap() - entry.created()
        })
        .collect();
    let band = Duration::from_secs(30)..=Duration::from_secs(60);
    assert!(ends.iter().all(|end| band.contains(end)));
    assert!(ends.iter().any(|end| *end != ends[0]));
}

#[tokio::test(start_paused = true)]
async fn a_step_of_pruning_looks_at_256_entries_at_most() {
    let (pool, closed) = pool(1000);
    (0..600).for_each(|key| pool.insert(key, key).unwrap());
    assert_eq!(pool.prune_expired(), Pruned { closed: 0, more: false });
    pass(10).await;
    assert_eq!(pool.prune_expired(), Pruned { closed: 256, more: true });
    assert_eq!(pool.prune_expired(), Pruned { closed: 256, more: true });
    assert_eq!(pool.prune_expired(), Pruned { closed: 88, more: false });
    assert_eq!(closed.take().len(), 600);
}

#[tokio::test(start_paused = true)]
async fn pruning_counts_looks_at_values_that_were_used_meanwhile() {
    let (pool, closed) = pool(1000);
    (0..300).for_each(|key| pool.insert(key, key).unwrap());
    pass(9).await;
    (0..300).for_each(|key| assert!(pool.get(&key).is_some()));
    pass(1).await;
    assert_eq!(pool.prune_expired(), Pruned { closed: 0, more: true });
    assert_eq!(pool.prune_expired(), Pruned { closed: 0, more: false });
    assert_eq!((closed.take().len(), pool.size()), (0, 300));
}

#[tokio::test(start_paused = true)]
async fn discarding_closes_at_once() {
    let (pool, closed) = pool(1);
    pool.insert(1, 10).unwrap();
    assert!(pool.discard(&1));
    assert!(!pool.discard(&1));
    assert_eq!(closed.take(), [(1, 10, Discarded)]);
}

#[tokio::test(start_paused = true)]
async fn discarding_a_seen_value_spares_its_successor() {
    let (pool, closed) = pool(1);
    pool.insert(1, 10).unwrap();
    let seen = pool.get_entry(&1).unwrap();
    pool.insert(1, 11).unwrap();
    assert!(!pool.discard_same(&1, &seen));
    assert_eq!(pool.get(&1), Some(11));
    let seen = pool.get_entry(&1).unwrap();
    assert!(pool.discard_same(&1, &seen));
    assert_eq!(closed.take(), [(1, 10, Replaced), (1, 11, Discarded)]);
}

#[tokio::test(start_paused = true)]
async fn clearing_closes_what_is_there_and_the_pool_goes_on() {
    let (pool, closed) = pool(3);
    pool.insert(1, 10).unwrap();
    pool.insert(2, 20).unwrap();
    pool.clear();
    assert_eq!(closed.take(), [(1, 10, Cleared), (2, 20, Cleared)]);
    pool.insert(1, 11).unwrap();
    assert_eq!(pool.get(&1), Some(11));
}

#[tokio::test(start_paused = true)]
async fn clearing_ends_though_every_close_inserts_again() {
    let pool = Arc::new_cyclic(|pool: &Weak<Pool>| {
        let pool = pool.clone();
        let hook = move |key: &u32, value, _reason| {
            if let Some(pool) = pool.upgrade() {
                pool.insert(*key, value + 1).unwrap();
            }
        };
        Pool::new(config(3, FullPolicy::Reject)).unwrap().on_close(hook)
    });
    pool.insert(1, 10).unwrap();
    pool.insert(2, 20).unwrap();
    pool.clear();
    assert_eq!((pool.get(&1), pool.get(&2), pool.size()), (Some(11), Some(21), 2));
}

#[tokio::test(start_paused = true)]
async fn a_closed_pool_is_empty_and_takes_nothing() {
    let (pool, closed) = pool(2);
    pool.insert(1, 10).unwrap();
    pool.close();
    pool.close();
    assert_eq!(closed.take(), [(1, 10, PoolClosed)]);
    let error = pool.insert(1, 11).unwrap_err();
    assert!(matches!(error, InsertError { value: 11, error: ConnectionError::Closed { .. } }));
    let made = pool.get_or_create(1, || async { Ok(12) }).await;
    assert!(matches!(made, Err(ConnectionError::Closed { .. })));
    assert_eq!((pool.get(&1), pool.size()), (None, 0));
}

#[tokio::test(start_paused = true)]
async fn dropping_the_pool_closes_what_is_in_it() {
    let (pool, closed) = pool(2);
    pool.insert(1, 10).unwrap();
    drop(pool);
    assert_eq!(closed.take(), [(1, 10, PoolClosed)]);
}

#[tokio::test(start_paused = true)]
async fn the_close_hook_may_use_the_pool() {
    let pool = Arc::new_cyclic(|pool: &Weak<Pool>| {
        let pool = pool.clone();
        let hook = move |key: &u32, _value, reason| {
            let Some(pool) = pool.upgrade() else { return };
            assert!(reason != Evicted || pool.insert(100, 1).is_err(), "its place is not free yet");
            pool.get(key);
            pool.get(&2);
            pool.remove(&100);
            pool.prune_expired();
            pool.stats();
            pool.clear();
        };
        Pool::new(config(1, FullPolicy::Reject)).unwrap().on_close(hook)
    });
    pool.insert(1, 10).unwrap();
    pool.insert(1, 11).unwrap();
    pool.discard(&1);
    pool.insert(2, 20).unwrap();
    pass(10).await;
    assert_eq!(pool.get(&2), None);
    pool.insert(3, 30).unwrap();
    pool.close();
    audit(&pool);
    assert_eq!(pool.size(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_panicking_close_hook_does_not_break_the_pool() {
    let calls = Closed::default();
    let log = calls.clone();
    let pool = Pool::new(config(2, FullPolicy::EvictOldest)).unwrap().on_close(
        move |key: &u32, value, reason| {
            log.push(*key, value, reason);
            panic!("the hook of this test panics");
        },
    );
    for key in 1..=4 {
        pool.insert(key, key).unwrap();
    }
    pool.clear();
    let reasons: Vec<_> = calls.take().into_iter().map(|(key, _, reason)| (key, reason)).collect();
    assert_eq!(reasons, [(1, Evicted), (2, Evicted), (3, Cleared), (4, Cleared)]);
    assert_eq!((pool.stats().hook_panics, pool.size()), (4, 0));
    pool.insert(5, 5).unwrap();
    audit(&pool);
}

#[tokio::test(start_paused = true)]
async fn a_lowered_limit_closes_nothing_and_lets_nothing_in() {
    let (pool, closed) = pool(3);
    (1..=3).for_each(|key| pool.insert(key, key).unwrap());
    pool.set_max_size(1);
    assert_eq!((pool.size(), pool.max_size()), (3, 1));
    pool.remove(&1);
    pool.remove(&2);
    assert!(pool.insert(4, 4).is_err());
    pool.remove(&3);
    pool.insert(4, 4).unwrap();
    assert_eq!(closed.take(), []);
}

#[tokio::test(start_paused = true)]
async fn an_insert_evicts_down_to_a_lowered_limit() {
    let (pool, closed) = watched(config(3, FullPolicy::EvictOldest));
    (1..=3).for_each(|key| pool.insert(key, key).unwrap());
    pool.set_max_size(2);
    pool.insert(4, 4).unwrap();
    assert_eq!(closed.take(), [(1, 1, Evicted), (2, 2, Evicted)]);
    pool.set_max_size(0);
    assert!(pool.insert(5, 5).is_err());
    assert_eq!((closed.take().len(), pool.utilization()), (2, 0.0));
}

#[tokio::test(start_paused = true)]
async fn statistics_tell_sizes_ages_and_reasons() {
    let (pool, _) = pool(4);
    pool.insert(1, 10).unwrap();
    pass(4).await;
    pool.insert(2, 20).unwrap();
    pass(2).await;
    let stats = pool.stats();
    assert_eq!(stats.average_age, Duration::from_secs(4));
    assert_eq!((stats.size, stats.max_size, stats.utilization()), (2, 4, 0.5));
    pass(4).await;
    pool.prune_expired();
    pool.get(&2);
    pool.get(&3);
    pool.remove(&2);
    let stats = pool.stats();
    assert_eq!((stats.expired_count, stats.closed(IdleTimeout), stats.taken), (1, 1, 1));
    assert_eq!((stats.hits, stats.misses), (1, 1));
    assert_eq!((stats.average_age, stats.expiration_ratio()), (Duration::ZERO, 0.5));
    assert_eq!((pool.utilization(), pool.expiration_ratio()), (0.0, 0.5));
}

#[tokio::test(start_paused = true)]
async fn the_registry_shows_what_the_statistics_say() {
    let metrics = Metrics::new();
    let pool = Pool::new(config(2, FullPolicy::EvictLru)).unwrap().with_metrics(&metrics, "db");
    (1..=5).for_each(|key| pool.insert(key, key).unwrap());
    pool.insert(5, 6).unwrap();
    pool.get(&5);
    pool.get(&1);
    pool.remove(&5);
    let labels = [("pool", "db")];
    let total =
        |name, more: &[(&str, &str)]| metrics.snapshot().total(name, &[&labels[..], more].concat());
    assert_eq!(total("trunkline_pool_entries", &[]), 1);
    assert_eq!(total("trunkline_pool_inserted_total", &[]), 6);
    assert_eq!(total("trunkline_pool_taken_total", &[]), 1);
    assert_eq!(total("trunkline_pool_closed_total", &[("reason", "evicted")]), 3);
    assert_eq!(total("trunkline_pool_closed_total", &[]), 4);
    assert_eq!(total("trunkline_pool_gets_total", &[("result", "hit")]), 1);
    assert_eq!(total("trunkline_pool_gets_total", &[("result", "miss")]), 1);
    drop(pool);
    assert_eq!(total("trunkline_pool_entries", &[]), 0);
}

#[tokio::test(start_paused = true)]
async fn a_sweeper_prunes_and_ends_with_the_pool() {
    let (pool, closed) = pool(1000);
    let pool = Arc::new(pool);
    (0..600).for_each(|key| pool.insert(key, key).unwrap());
    pool.sweep_on(&Handle::current());
    pool.sweep_on(&Handle::current());
    tokio::time::sleep(Duration::from_secs(12)).await;
    assert_eq!((pool.size(), closed.take().len()), (0, 600));
    let sweeper = pool.sweeper.get().unwrap().clone();
    drop(pool);
    tokio::task::yield_now().await;
    assert!(sweeper.is_finished());
}

#[tokio::test(start_paused = true)]
async fn a_config_out_of_range_makes_no_pool() {
    let config = PoolConfig { max_size: 0, ..PoolConfig::default() };
    let error = Pool::new(config).unwrap_err();
    assert!(error.to_string().starts_with("max_size"), "{error}");
}

#[test]
fn every_reason_has_its_own_number_and_name() {
    for (place, reason) in PoolCloseReason::ALL.into_iter().enumerate() {
        assert_eq!(reason.code(), place as i32 + 1);
        assert_eq!(reason.index(), place);
        assert!(PoolCloseReason::ALL[..place].iter().all(|other| other.name() != reason.name()));
    }
}
