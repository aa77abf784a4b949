//! Nobody waits for what is there, or could be made.

use super::*;
use tokio::{task::JoinHandle, time::Instant};

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Callers who keep what they get.
fn keepers(pool: &Pool, callers: usize) -> Vec<JoinHandle<Lease<Maker>>> {
    let one = |_| {
        let pool = pool.clone();
        tokio::spawn(async move { pool.acquire().await.unwrap() })
    };
    (0..callers).map(one).collect()
}

/// What they got, all of them.
async fn leases(keepers: Vec<JoinHandle<Lease<Maker>>>) -> Vec<Lease<Maker>> {
    let mut leases = Vec::new();
    for keeper in keepers {
        leases.push(keeper.await.unwrap());
    }
    leases
}

fn checking(config: CheckoutPoolConfig) -> (Pool, Maker) {
    pool_of(config, Maker::with(Abilities { checks: true, ..Abilities::default() }))
}

#[tokio::test(start_paused = true)]
async fn callers_who_keep_their_connections_wait_for_connects_and_for_nothing_else() {
    let (pool, maker) = pool(9);
    let began = Instant::now();
    let held = leases(keepers(&pool, 9)).await;
    assert_eq!((held.len(), maker.made(), began.elapsed()), (9, 9, Duration::ZERO));
    check_books(&pool);
}

#[tokio::test(start_paused = true)]
async fn each_caller_gets_an_idle_connection_of_its_own_though_all_need_a_check() {
    let (pool, maker) = checking(config(4));
    drop(leases(keepers(&pool, 4)).await);
    sleep(secs(1)).await;
    let began = Instant::now();
    let held = leases(keepers(&pool, 4)).await;
    assert_eq!((held.len(), maker.made(), began.elapsed()), (4, 4, Duration::ZERO));
    assert_eq!(maker.log(|log| log.checked.len()), 4);
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_lends_the_oldest_first_keeps_nobody_waiting_for_a_check_beside_a_fresh_one() {
    let (pool, maker) =
        checking(CheckoutPoolConfig { idle_order: crate::config::IdleOrder::Fifo, ..config(2) });
    drop(leases(keepers(&pool, 2)).await);
    sleep(secs(1)).await;
    let fresh = *pool.acquire().await.unwrap();
    assert_eq!(fresh, 1);
    let lease = pool.try_acquire().expect("one was used a moment ago");
    assert_eq!(*lease, fresh);
    settle().await;
    assert_eq!(maker.log(|log| log.checked.clone()), [1, 2]);
    drop(lease);
    assert_eq!(*pool.acquire().await.unwrap(), 2, "its check has passed, it is its turn");
}

#[tokio::test(start_paused = true)]
async fn a_check_that_takes_long_does_not_keep_a_caller_from_a_new_connection() {
    let (pool, maker) = checking(config(2));
    drop(pool.acquire().await.unwrap());
    sleep(secs(1)).await;
    maker.log(|log| log.hung.push(1));
    let began = Instant::now();
    assert_eq!(*pool.acquire().await.unwrap(), 2);
    assert!(began.elapsed() <= secs(1), "{:?}", began.elapsed());
    sleep(secs(10)).await;
    assert_eq!(maker.closed(), [(1, PoolCloseReason::Invalid)]);
    check_books(&pool);
}

#[tokio::test(start_paused = true)]
async fn a_failed_check_is_made_up_for_before_the_close_is_done() {
    let (pool, maker) = checking(config(2));
    drop(pool.acquire().await.unwrap());
    sleep(secs(1)).await;
    maker.log(|log| (log.invalid, log.slow_to_close) = (vec![1], vec![1]));
    let began = Instant::now();
    assert_eq!(*pool.acquire().await.unwrap(), 2);
    assert_eq!(began.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn what_a_cancelled_caller_had_checked_needs_no_second_check_for_the_next() {
    let (pool, maker) = checking(config(1));
    drop(pool.acquire().await.unwrap());
    sleep(secs(1)).await;
    assert!(pool.try_acquire().is_none(), "it needs a check");
    settle().await;
    assert!(pool.try_acquire().is_some(), "it has passed one");
    assert_eq!(maker.log(|log| log.checked.clone()), [1]);
}

#[tokio::test(start_paused = true)]
async fn after_a_clear_nobody_waits_for_what_was_begun_before_it() {
    let (pool, maker) =
        pool_of(CheckoutPoolConfig { max_connecting: 3, ..config(3) }, Maker::default());
    let _hung = maker.hold();
    let caller = keepers(&pool, 1);
    settle().await;
    pool.clear();
    let began = Instant::now();
    assert_eq!(*leases(caller).await[0], 1);
    assert_eq!(began.elapsed(), Duration::ZERO);
    check_books(&pool);
}

#[tokio::test(start_paused = true)]
async fn callers_in_line_are_refused_with_the_last_connection_while_every_endpoint_fails() {
    let (pool, maker) = pool(2);
    let last = pool.acquire().await.unwrap();
    for _ in 0..7 {
        maker.plan(Plan::Fail);
    }
    let (waits, began) = (
        tokio::spawn({
            let pool = pool.clone();
            async move { pool.acquire().await.map(drop) }
        }),
        Instant::now(),
    );
    while pool.stats().create_failed < 7 {
        sleep(Duration::from_millis(10)).await;
    }
    assert!(!waits.is_finished(), "the last one may come back");
    last.discard();
    let error = waits.await.unwrap().unwrap_err();
    assert!(matches!(error, ConnectionError::CircuitOpen { .. }), "{error}");
    assert!(began.elapsed() < secs(10));
}

#[tokio::test(start_paused = true)]
async fn what_was_begun_before_the_pool_shrank_does_not_make_it_larger_than_allowed() {
    let (pool, maker) = pool(3);
    let held = pool.acquire().await.unwrap();
    let go = maker.hold();
    let mut waits = Box::pin(pool.acquire());
    assert!(
        waits
            .as_mut()
            .poll(&mut std::task::Context::from_waker(std::task::Waker::noop()))
            .is_pending()
    );
    pool.resize(1, 0).unwrap();
    go.send(()).unwrap();
    settle().await;
    assert_eq!(maker.closed(), [(2, PoolCloseReason::Shrunk)]);
    check_books(&pool);
    drop(held);
    assert_eq!(*waits.await.unwrap(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_leap_of_time_closes_no_more_at_once_than_half_of_the_surplus() {
    let (pool, maker) =
        pool_of(CheckoutPoolConfig { max_connecting: 8, ..config(8) }, Maker::default());
    drop(leases(keepers(&pool, 8)).await);
    advance(secs(11 * 60)).await;
    let lease = pool.acquire().await.unwrap();
    settle().await;
    assert!(maker.closed().len() <= 5, "half of them, and one to make room");
    assert_eq!(*lease, 9, "none that was idle for too long is lent");
    check_books(&pool);
}

#[tokio::test(start_paused = true)]
async fn idle_connections_are_closed_in_time_though_others_end_of_age() {
    let (pool, maker) = pool_of(
        CheckoutPoolConfig {
            max_connecting: 60,
            idle_timeout: TimeLimit::secs(100),
            max_lifetime: TimeLimit::secs(90),
            lifetime_jitter: 0.7,
            ..config(60)
        },
        Maker::default(),
    );
    drop(leases(keepers(&pool, 60)).await);
    sleep(secs(150)).await;
    let closed = maker.closed();
    assert_eq!((pool.stats().idle, maker.made() - closed.len()), (0, 0), "{closed:?}");
    assert!(closed.iter().any(|(_, reason)| *reason == PoolCloseReason::IdleTimeout));
}

#[tokio::test(start_paused = true)]
async fn a_lifetime_of_zero_lends_each_connection_once() {
    let (pool, maker) = pool_of(
        CheckoutPoolConfig { max_lifetime: TimeLimit::After(Duration::ZERO), ..config(1) },
        Maker::default(),
    );
    for turn in 1..=3 {
        let lease = pool.acquire().await.unwrap();
        assert_eq!(*lease, turn);
        sleep(Duration::from_millis(1)).await;
    }
    assert_eq!(maker.made(), 3);
}

#[tokio::test(start_paused = true)]
async fn an_old_connection_is_relieved_by_one_young_one_though_it_was_lent_meanwhile() {
    let (pool, maker) = pool_of(
        CheckoutPoolConfig { max_lifetime: TimeLimit::secs(100), ..config(8) },
        Maker::default(),
    );
    drop(pool.acquire().await.unwrap());
    sleep(Duration::from_millis(500)).await;
    for _ in 0..98 {
        let go = maker.hold();
        sleep(secs(1)).await;
        let busy = pool.try_acquire();
        _ = go.send(());
        settle().await;
        maker.0.plans.lock().unwrap().clear();
        drop(busy);
    }
    assert_eq!(maker.made(), 2, "one was made to relieve the first, at most");
}

#[tokio::test(start_paused = true)]
async fn a_warm_pool_says_so_when_a_connection_comes_back() {
    let (pool, maker) = pool(2);
    let lease = pool.acquire().await.unwrap();
    let _never = maker.hold();
    pool.resize(2, 1).unwrap();
    let ready = tokio::spawn({
        let pool = pool.clone();
        async move { pool.wait_ready(None).await }
    });
    settle().await;
    assert!(!ready.is_finished());
    drop(lease);
    settle().await;
    assert!(ready.is_finished());
}

#[tokio::test(start_paused = true)]
async fn every_idle_connection_of_a_large_pool_is_looked_after() {
    let (pool, maker) = checking(CheckoutPoolConfig {
        max_connecting: 300,
        idle_timeout: TimeLimit::Never,
        keepalive: TimeLimit::secs(60),
        ..config(300)
    });
    for lease in leases(keepers(&pool, 300)).await {
        drop(lease);
        sleep(Duration::from_millis(1)).await;
    }
    sleep(secs(60 + 320)).await;
    let mut checked = maker.log(|log| log.checked.clone());
    checked.sort_unstable();
    checked.dedup();
    assert_eq!(checked.len(), 300);
}
