use super::*;

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[tokio::test(start_paused = true)]
async fn a_connection_put_back_is_lent_again_the_one_used_last_first() {
    let (pool, maker) = pool(3);
    let (a, b) = (pool.acquire().await.unwrap(), pool.acquire().await.unwrap());
    assert_eq!((*a, *b), (1, 2));
    drop(a);
    drop(b);
    assert_eq!(*pool.acquire().await.unwrap(), 2);
    assert_eq!((maker.made(), pool.stats().hits, pool.stats().acquired), (2, 1, 3));
    check_books(&pool);
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_are_served_in_the_order_in_which_they_came() {
    let (pool, _) = pool(1);
    let held = pool.acquire().await.unwrap();
    let served = Arc::new(Mutex::new(Vec::new()));
    let callers: Vec<_> = (0..5)
        .map(|caller| {
            let (pool, served) = (pool.clone(), Arc::clone(&served));
            tokio::spawn(async move {
                let lease = pool.acquire().await.unwrap();
                served.lock().unwrap().push(caller);
                tokio::task::yield_now().await;
                drop(lease);
            })
        })
        .collect();
    settle().await;
    assert_eq!(pool.stats().waiting, 5);
    assert!(pool.try_acquire().is_none());
    drop(held);
    assert!(pool.try_acquire().is_none(), "a newcomer overtook those in line");
    for caller in callers {
        caller.await.unwrap();
    }
    assert_eq!(*served.lock().unwrap(), [0, 1, 2, 3, 4]);
}

#[tokio::test(start_paused = true)]
async fn an_acquire_that_times_out_says_the_numbers_and_the_longest_holder() {
    let (pool, _) = pool(1);
    let held = pool.acquire().await.unwrap();
    advance(secs(3)).await;
    let error = pool.acquire_by(soon()).await.unwrap_err();
    assert!(
        matches!(error, ConnectionError::Timeout { waited: Some(waited), .. } if waited >= secs(1))
    );
    let cause = error.source().unwrap().to_string();
    assert!(cause.contains("1 of 1 in use, 0 idle, 0 connecting, 0 waiting"), "{cause}");
    assert!(
        cause.contains("longest held for 4.0s by core/src/pool/checkout/tests/claims.rs"),
        "{cause}"
    );
    drop(held);
    assert_eq!((pool.stats().timeouts, pool.stats().idle), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_timeout_after_failed_connects_says_the_last_failure_and_when_the_next_attempt_is() {
    let (pool, maker) = pool(1);
    for _ in 0..20 {
        maker.plan(Plan::Fail);
    }
    let error = pool.acquire_by(soon()).await.unwrap_err();
    let cause = error.source().unwrap();
    assert!(cause.to_string().contains("; last connect failed"), "{cause}");
    assert!(cause.to_string().contains("next attempt in"), "{cause}");
    let failure = cause.source().unwrap().source().unwrap().to_string();
    assert!(failure.contains("refused"), "{failure}");
    let failed = pool.stats().create_failed;
    assert!((3..=8).contains(&failed), "{failed} attempts in a second of backoff");
    check_books(&pool);
}

#[tokio::test(start_paused = true)]
async fn a_connection_outlives_the_caller_who_was_the_reason_for_it() {
    let (pool, maker) = pool(1);
    let go = maker.hold();
    let mut caller = Box::pin(pool.acquire());
    assert!(futures_poll(&mut caller));
    settle().await;
    drop(caller);
    go.send(()).unwrap();
    settle().await;
    assert_eq!((pool.stats().idle, pool.stats().cancelled, maker.made()), (1, 1, 1));
    assert_eq!(*pool.acquire().await.unwrap(), 1);
}

/// Polls once; says whether it is pending.
fn futures_poll(caller: &mut std::pin::Pin<Box<Acquire<'_, Maker>>>) -> bool {
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    caller.as_mut().poll(&mut cx).is_pending()
}

#[tokio::test(start_paused = true)]
async fn a_waiter_dropped_after_it_was_served_hands_its_connection_on() {
    let (pool, _) = pool(1);
    let held = pool.acquire().await.unwrap();
    let (mut first, mut second) = (Box::pin(pool.acquire()), Box::pin(pool.acquire()));
    assert!(futures_poll(&mut first) && futures_poll(&mut second));
    drop(held);
    drop(first);
    assert_eq!(*second.await.unwrap(), 1);
    check_books(&pool);
}

#[tokio::test(start_paused = true)]
async fn no_more_attempts_to_connect_run_at_one_time_than_allowed() {
    let (pool, maker) =
        pool_of(CheckoutPoolConfig { max_connecting: 2, ..config(8) }, Maker::default());
    let holds: Vec<_> = (0..8).map(|_| maker.hold()).collect();
    let callers: Vec<_> = (0..8)
        .map(|_| {
            let pool = pool.clone();
            tokio::spawn(async move { drop(pool.acquire().await.unwrap()) })
        })
        .collect();
    settle().await;
    assert_eq!((pool.stats().connecting, pool.stats().waiting), (2, 8));
    for hold in holds {
        _ = hold.send(());
        settle().await;
        assert!(pool.stats().connecting <= 2);
    }
    for caller in callers {
        caller.await.unwrap();
    }
    // A waiter takes whichever comes first: far fewer than eight were opened.
    assert!(maker.made() <= 3, "{} connections", maker.made());
}

#[tokio::test(start_paused = true)]
async fn an_idle_connection_is_checked_before_it_is_lent_and_replaced_if_it_fails() {
    let abilities = Abilities { checks: true, ..Abilities::default() };
    let (pool, maker) = pool_of(config(2), Maker::with(abilities));
    drop(pool.acquire().await.unwrap());
    drop(pool.acquire().await.unwrap());
    assert!(maker.log(|log| log.checked.is_empty()), "used a moment ago");
    sleep(secs(1)).await;
    drop(pool.acquire().await.unwrap());
    assert_eq!(maker.log(|log| log.checked.clone()), [1]);
    sleep(secs(1)).await;
    maker.log(|log| log.invalid.push(1));
    assert_eq!(*pool.acquire().await.unwrap(), 2);
    settle().await;
    assert_eq!(maker.closed(), [(1, PoolCloseReason::Invalid)]);
    check_books(&pool);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_comes_back_is_reset_before_the_next_gets_it() {
    let abilities = Abilities { resets: true, ..Abilities::default() };
    let (pool, maker) = pool_of(config(1), Maker::with(abilities));
    drop(pool.acquire().await.unwrap());
    assert_eq!(pool.stats().validating, 1);
    drop(pool.acquire().await.unwrap());
    settle().await;
    assert_eq!(maker.log(|log| log.reset.clone()), [1, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_broken_connection_is_never_lent() {
    let abilities = Abilities { peeks: true, ..Abilities::default() };
    let (pool, maker) = pool_of(config(2), Maker::with(abilities));
    drop(pool.acquire().await.unwrap());
    maker.log(|log| log.broken.push(1));
    let lease = pool.acquire().await.unwrap();
    assert_eq!(*lease, 2);
    maker.log(|log| log.broken.push(2));
    drop(lease);
    settle().await;
    let broken = PoolCloseReason::Broken;
    assert_eq!(maker.closed(), [(1, broken), (2, broken)]);
    assert_eq!(pool.stats().idle, 0);
}

#[tokio::test(start_paused = true)]
async fn after_a_clear_no_older_connection_is_lent() {
    let (pool, maker) = pool(3);
    let (held, idle) = (pool.acquire().await.unwrap(), pool.acquire().await.unwrap());
    drop(idle);
    let go = maker.hold();
    let mut coming = Box::pin(pool.acquire());
    let taken = pool.try_acquire();
    assert!(taken.is_some());
    drop(taken);
    let idle_again = pool.acquire().await.unwrap();
    assert!(futures_poll(&mut coming));
    settle().await;
    pool.clear();
    drop(idle_again);
    drop(held);
    go.send(()).unwrap();
    let lease = coming.await.unwrap();
    settle().await;
    let cleared = PoolCloseReason::Cleared;
    let mut closed = maker.closed();
    closed.sort_by_key(|(number, _)| *number);
    assert!(closed.starts_with(&[(1, cleared), (2, cleared)]), "{closed:?}");
    assert!(*lease > 2 && closed.iter().all(|(number, _)| *number != *lease));
    check_books(&pool);
}

#[tokio::test(start_paused = true)]
async fn an_old_connection_is_relieved_before_its_end_and_never_lent_after_it() {
    let (pool, maker) = pool_of(
        CheckoutPoolConfig {
            max_lifetime: TimeLimit::secs(100),
            idle_timeout: TimeLimit::Never,
            ..config(2)
        },
        Maker::default(),
    );
    drop(pool.acquire().await.unwrap());
    sleep(secs(89)).await;
    assert_eq!(maker.made(), 1);
    sleep(secs(5)).await;
    assert_eq!(maker.made(), 2, "the younger one is there before the old one goes");
    assert_eq!(maker.closed(), [(1, PoolCloseReason::Lifetime)]);
    assert_eq!((*pool.acquire().await.unwrap(), pool.stats().relieved), (2, 1));
}

#[tokio::test(start_paused = true)]
async fn idle_connections_are_closed_after_their_time_half_of_the_surplus_at_once() {
    let (pool, maker) = pool_of(
        CheckoutPoolConfig { min_idle: 1, max_connecting: 8, ..config(9) },
        Maker::default(),
    );
    let leases: Vec<_> = {
        let mut leases = Vec::new();
        for _ in 0..8 {
            leases.push(pool.acquire().await.unwrap());
        }
        leases
    };
    settle().await;
    drop(leases);
    assert_eq!(pool.stats().idle, 9);
    sleep(secs(601)).await;
    settle().await;
    assert_eq!(maker.closed().len(), 4);
    sleep(secs(60)).await;
    assert!(maker.closed().iter().all(|(_, reason)| *reason == PoolCloseReason::IdleTimeout));
    assert_eq!(pool.stats().idle, 1);
    check_books(&pool);
}

#[tokio::test(start_paused = true)]
async fn a_smaller_pool_closes_what_is_too_much_and_a_larger_one_serves_more() {
    let (pool, maker) = pool(3);
    let mut leases = Vec::new();
    for _ in 0..3 {
        leases.push(pool.acquire().await.unwrap());
    }
    leases.pop();
    pool.resize(1, 0).unwrap();
    leases.pop();
    settle().await;
    let shrunk = PoolCloseReason::Shrunk;
    assert_eq!(maker.closed(), [(3, shrunk), (2, shrunk)]);
    let mut waits = Box::pin(pool.acquire());
    assert!(futures_poll(&mut waits));
    pool.resize(2, 0).unwrap();
    assert_eq!(*waits.await.unwrap(), 4);
    assert!(pool.resize(0, 0).is_err() && pool.resize(2, 3).is_err());
}

#[tokio::test(start_paused = true)]
async fn closing_refuses_those_who_wait_and_closes_each_connection_once() {
    let (pool, maker) = pool(2);
    let (a, b) = (pool.acquire().await.unwrap(), pool.acquire().await.unwrap());
    let mut waits = Box::pin(pool.acquire());
    assert!(futures_poll(&mut waits));
    drop(b);
    settle().await;
    assert!(waits.await.is_ok());
    let mut waits = Box::pin(pool.acquire());
    let c = pool.acquire().await.unwrap();
    assert!(futures_poll(&mut waits));
    assert_eq!(pool.close(soon()).await, 2, "two are still lent");
    assert!(matches!(waits.await, Err(ConnectionError::Closed { .. })));
    assert!(matches!(pool.acquire().await, Err(ConnectionError::Closed { .. })));
    drop((a, c));
    assert_eq!(pool.close(None).await, 0);
    assert_eq!(maker.closed().len(), 2);
    assert_eq!((pool.stats().closed(), pool.stats().created), (2, 2));
}

#[tokio::test(start_paused = true)]
async fn a_drain_serves_those_in_line_and_waits_for_every_lease() {
    let (pool, maker) = pool(1);
    let held = pool.acquire().await.unwrap();
    let waiting = tokio::spawn({
        let pool = pool.clone();
        async move { pool.acquire().await.map(drop) }
    });
    settle().await;
    let drain = tokio::spawn({
        let pool = pool.clone();
        async move { pool.drain(None).await }
    });
    settle().await;
    assert!(pool.acquire().await.is_err(), "nobody joins the line");
    drop(held);
    assert!(waiting.await.unwrap().is_ok());
    assert_eq!(drain.await.unwrap(), 0);
    assert_eq!(maker.closed(), [(1, PoolCloseReason::PoolClosed)]);
}

#[tokio::test(start_paused = true)]
async fn a_connector_that_panics_costs_no_place_and_strands_nobody() {
    let (pool, maker) = pool(1);
    maker.plan(Plan::Panic);
    let lease = pool.acquire().await.unwrap();
    assert_eq!((*lease, pool.stats().create_failed), (1, 1));
    drop(lease);
    check_books(&pool);
}

#[tokio::test(start_paused = true)]
async fn a_lease_of_a_panicking_thread_is_closed() {
    let (pool, maker) = pool(1);
    let lease = pool.acquire().await.unwrap();
    assert!(
        std::thread::spawn(move || {
            let _lease = lease;
            panic!("the holder panics");
        })
        .join()
        .is_err()
    );
    settle().await;
    assert_eq!(maker.closed(), [(1, PoolCloseReason::Discarded)]);
}

#[tokio::test(start_paused = true)]
async fn a_number_stands_for_its_lease_until_it_is_put_back_and_never_again() {
    let ((pool, _), (other, _)) = (pool(1), pool(1));
    let id = pool.acquire().await.unwrap().entrust();
    assert_eq!(pool.stats().used, 1);
    assert_eq!(other.put_back(id, false), Err(StaleLease));
    assert_eq!(*pool.reclaim(id).unwrap(), 1);
    assert_eq!(pool.put_back(id, false), Err(StaleLease), "it came back with the reclaimed lease");
    let again = pool.acquire().await.unwrap().entrust();
    assert_ne!(again, id);
    assert_eq!(pool.put_back(again, true), Ok(()));
    settle().await;
    assert_eq!(pool.put_back(again, false), Err(StaleLease));
    assert_eq!((pool.stats().used, pool.stats().closed()), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_caller_who_is_no_task_is_told_once() {
    let (pool, _) = pool(1);
    let told = Arc::new(Mutex::new(Vec::new()));
    let tell = || {
        let told = Arc::clone(&told);
        move || {
            let tell = move |answer| told.lock().unwrap().push(answer);
            Ok::<_, ConnectionError>(Arc::new(tell))
        }
    };
    let forever = Patience::Until(None);
    let first = pool.acquire_then(forever, Holder::Unknown, tell()).unwrap();
    settle().await;
    assert!(matches!(first, Acquired::Later(_)));
    let lent = told.lock().unwrap().pop().unwrap().unwrap();
    assert_eq!(lent.mark, 1);
    let (second, third) = (
        pool.acquire_then(forever, Holder::Named("main.c:7".into()), tell()).unwrap(),
        pool.acquire_then(forever, Holder::Unknown, tell()).unwrap(),
    );
    let (Acquired::Later(second), Acquired::Later(third)) = (second, third) else { panic!() };
    assert!(pool.cancel(second) && !pool.cancel(second));
    assert!(told.lock().unwrap().is_empty(), "who cancels knows");
    pool.put_back(lent.lease, false).unwrap();
    assert!(!pool.cancel(third), "it was told already");
    let lent = told.lock().unwrap().pop().unwrap().unwrap();
    pool.put_back(lent.lease, false).unwrap();
    let now = pool.acquire_then(forever, Holder::Unknown, tell()).unwrap();
    assert!(matches!(now, Acquired::Now(_)));
}

#[tokio::test(start_paused = true)]
async fn min_idle_connections_stand_ready_and_the_pool_says_when() {
    let (pool, maker) = pool_of(CheckoutPoolConfig { min_idle: 3, ..config(5) }, Maker::default());
    assert!(pool.wait_ready(soon()).await);
    assert_eq!((pool.stats().idle, maker.made()), (3, 3));
    let lease = pool.acquire().await.unwrap();
    settle().await;
    assert_eq!((pool.stats().idle, maker.made()), (3, 4));
    drop(lease);
    check_books(&pool);
}

#[tokio::test(start_paused = true)]
async fn a_lease_held_for_too_long_is_counted_once() {
    let (pool, _) = pool_of(
        CheckoutPoolConfig { leak_after: TimeLimit::secs(10), ..config(2) },
        Maker::default(),
    );
    let lease = pool.acquire().await.unwrap();
    sleep(secs(60)).await;
    assert_eq!(pool.stats().leaks, 1);
    let held = &pool.leases()[0];
    assert!(held.held >= secs(60) && held.id == lease.id());
    assert!(held.holder.to_string().contains("claims.rs"));
}

#[tokio::test(start_paused = true)]
async fn a_detached_connection_leaves_its_place_to_another() {
    let (pool, maker) = pool(1);
    let mine = pool.acquire().await.unwrap().detach();
    assert_eq!((mine, *pool.acquire().await.unwrap()), (1, 2));
    assert_eq!(pool.stats().closed_for(PoolCloseReason::Detached), 1);
    assert!(maker.closed().is_empty());
    check_books(&pool);
}

#[tokio::test(start_paused = true)]
async fn callers_are_refused_at_once_while_every_endpoint_keeps_failing() {
    let (pool, maker) = pool(1);
    for _ in 0..7 {
        maker.plan(Plan::Fail);
    }
    let error = pool.acquire().await.unwrap_err();
    assert!(matches!(error, ConnectionError::CircuitOpen { .. }), "{error}");
    assert!(error.source().unwrap().to_string().contains("connection failed"));
    assert_eq!(pool.stats().create_failed, 7);
    let again = pool.acquire().await.unwrap_err();
    assert!(again.is_safe_to_retry() && again.to_string().contains("not tried for another"));
    sleep(secs(10)).await;
    assert_eq!(*pool.acquire().await.unwrap(), 1);
    check_books(&pool);
}

#[tokio::test(start_paused = true)]
async fn the_registry_shows_the_pool_and_keeps_its_totals_after_its_end() {
    let metrics = crate::metrics::Metrics::new();
    let (pool, _) = pool(2);
    let pool = pool.with_metrics(&metrics);
    let lease = pool.acquire().await.unwrap();
    drop(pool.acquire().await.unwrap());
    let total = |name: &str, labels: &[(&str, &str)]| metrics.snapshot().total(name, labels);
    let count = "db_client_connection_count";
    let state = |state| [("db_client_connection_state", state)];
    assert_eq!(total(count, &state("used")), 1);
    assert_eq!(total(count, &state("idle")), 1);
    assert_eq!(total("db_client_connection_max", &[]), 2);
    drop(lease);
    drop(pool);
    settle().await;
    assert_eq!((total(count, &[]), total("db_client_connection_max", &[])), (0, 0));
    assert_eq!(total("db_client_connection_created_total", &[]), 2);
    assert_eq!(total("db_client_connection_closed_total", &[("reason", "pool_closed")]), 2);
    let text = metrics.snapshot().to_prometheus();
    assert!(text.contains("db_client_connection_use_time_seconds_count"), "{text}");
}

/// Two callers who take turns on one connection, each holding it for 50 ms, for so many seconds.
async fn crowd(pool: &Pool, seconds: u64) {
    let end = tokio::time::Instant::now() + secs(seconds);
    let callers = [(); 2].map(|()| {
        let pool = pool.clone();
        tokio::spawn(async move {
            while tokio::time::Instant::now() < end {
                let lease = pool.acquire().await.unwrap();
                sleep(Duration::from_millis(50)).await;
                drop(lease);
            }
        })
    });
    for caller in callers {
        caller.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_tuner_that_observes_says_why_it_would_grow_and_changes_nothing() {
    let (pool, _) = pool(1);
    crowd(&pool, 40).await;
    let advice = pool.advice();
    let text = advice[0].advice.to_string();
    assert!(text.contains("grow") || text.contains("more"), "{text}");
    assert_eq!((advice.len(), pool.stats().max_size), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_tuner_that_may_apply_resizes_the_pool() {
    let mut config = config(1);
    config.tuner.mode = crate::config::TunerMode::Apply;
    let (pool, _) = pool_of(config, Maker::default());
    crowd(&pool, 40).await;
    assert_eq!(pool.stats().max_size, 2);
    check_books(&pool);
}

#[tokio::test(start_paused = true)]
async fn too_many_who_wait_are_refused_at_once() {
    let (pool, _) =
        pool_of(CheckoutPoolConfig { max_waiters: Some(1), ..config(1) }, Maker::default());
    let _held = pool.acquire().await.unwrap();
    let mut first = Box::pin(pool.acquire());
    assert!(futures_poll(&mut first));
    let error = pool.acquire().await.unwrap_err();
    assert!(matches!(error, ConnectionError::LimitExceeded { limit: 1, .. }), "{error}");
}

#[tokio::test(start_paused = true)]
async fn the_pool_ends_with_its_last_handle_and_leases_after_it() {
    let (pool, maker) = pool(2);
    let (lease, idle) = (pool.acquire().await.unwrap(), pool.acquire().await.unwrap());
    drop(idle);
    drop(pool);
    settle().await;
    assert_eq!(maker.closed(), [(2, PoolCloseReason::PoolClosed)]);
    drop(lease);
    settle().await;
    assert_eq!(maker.closed(), [(1, PoolCloseReason::PoolClosed)]);
    assert_eq!(Arc::strong_count(&maker.0), 1, "nothing of the pool is left");
}
