//! The policy `Wait`: who stands in line for a place, and how the line moves.

use super::*;
use crate::pool::dash_map::now;
use PoolCloseReason::*;

type Inserting<'a> = Pin<Box<dyn Future<Output = Result<(), InsertError<u32>>> + Send + 'a>>;

fn waits(max_size: u32) -> (Pool, Closed) {
    watched(config(max_size, FullPolicy::Wait))
}

fn insert(pool: &Pool, key: u32, value: u32) -> Inserting<'_> {
    Box::pin(pool.insert_wait(key, value, None, None))
}

fn poll<T>(future: &mut Pin<Box<dyn Future<Output = T> + Send + '_>>) -> Poll<T> {
    future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

fn after(seconds: u64) -> Option<std::time::Instant> {
    Some(now() + Duration::from_secs(seconds))
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_are_served_in_the_order_in_which_they_came() {
    let (pool, closed) = waits(1);
    pool.insert(1, 10).unwrap();
    let (mut second, mut third) = (insert(&pool, 2, 20), insert(&pool, 3, 30));
    assert!(poll(&mut second).is_pending() && poll(&mut third).is_pending());
    assert_eq!(pool.waiting(), 2);
    assert_eq!(pool.remove(&1), Some(10));
    assert!(poll(&mut third).is_pending(), "the place is the second's");
    assert!(poll(&mut second).is_ready());
    assert!(pool.discard(&2));
    third.await.unwrap();
    assert_eq!((pool.get(&3), closed.take()), (Some(30), vec![(2, 20, Discarded)]));
    audit(&pool);
}

#[tokio::test(start_paused = true)]
async fn a_value_under_a_key_that_is_there_does_not_wait() {
    let (pool, closed) = waits(1);
    pool.insert(1, 10).unwrap();
    insert(&pool, 1, 11).await.unwrap();
    assert_eq!((pool.get(&1), closed.take()), (Some(11), vec![(1, 10, Replaced)]));
}

#[tokio::test(start_paused = true)]
async fn who_cannot_wait_is_refused_and_overtakes_nobody() {
    let (pool, _) = waits(1);
    pool.insert(1, 10).unwrap();
    let refused = pool.insert(2, 20).unwrap_err();
    assert!(matches!(refused.error, ConnectionError::LimitExceeded { limit: 1, .. }));
    let mut waiting = insert(&pool, 3, 30);
    assert!(poll(&mut waiting).is_pending());
    pass(10).await;
    assert!(pool.insert(2, 20).is_err(), "the place of what has expired is that of who waits");
    waiting.await.unwrap();
    assert_eq!((pool.get(&3), pool.stats().refused), (Some(30), 2));
}

#[tokio::test(start_paused = true)]
async fn the_deadline_ends_the_wait_and_gives_the_value_back() {
    let (pool, closed) = waits(1);
    pool.insert_for(1, 10, Duration::from_secs(600)).unwrap();
    let started = now();
    let refused = pool.insert_wait(2, 20, None, after(5)).await.unwrap_err();
    assert_eq!((refused.value, now() - started), (20, Duration::from_secs(5)));
    let ConnectionError::Timeout { waited, .. } = &refused.error else {
        panic!("{refused:?}");
    };
    assert_eq!(*waited, Some(Duration::from_secs(5)));
    let cause = std::error::Error::source(&refused.error).unwrap().to_string();
    assert_eq!(cause, "acquire: limit of 1 pool entries reached");
    assert_eq!((pool.waiting(), pool.stats().refused, closed.take()), (0, 1, vec![]));
    let late = pool.insert_wait(2, 20, None, after(0)).await.unwrap_err();
    assert!(matches!(late.error, ConnectionError::Timeout { .. }), "tried once");
}

#[tokio::test(start_paused = true)]
async fn what_expires_makes_room_without_a_sweeper() {
    let (pool, closed) = waits(2);
    pool.insert(1, 10).unwrap();
    pass(3).await;
    pool.insert(2, 20).unwrap();
    let started = now();
    insert(&pool, 3, 30).await.unwrap();
    assert_eq!(now() - started, Duration::from_secs(7), "as soon as the first has expired");
    assert_eq!(closed.take(), [(1, 10, IdleTimeout)]);
}

#[tokio::test(start_paused = true)]
async fn dropped_at_any_poll_a_waiter_hands_its_turn_on() {
    for polls in 0..4 {
        let (pool, _) = waits(1);
        pool.insert(1, 10).unwrap();
        let (mut second, mut third) = (insert(&pool, 2, 20), insert(&pool, 3, 30));
        let mut done = false;
        for round in 0..polls {
            done = done || poll(&mut second).is_ready();
            if round == 0 {
                assert!(poll(&mut third).is_pending());
                pool.remove(&1);
            }
        }
        drop(second);
        if done {
            pool.remove(&2);
        }
        if polls == 0 {
            pool.remove(&1);
        }
        third.await.unwrap();
        assert_eq!((pool.waiting(), pool.size(), pool.places_in_use()), (0, 1, 1));
    }
}

#[tokio::test(start_paused = true)]
async fn a_close_ends_every_wait() {
    let (pool, closed) = waits(1);
    pool.insert(1, 10).unwrap();
    let (mut insert, mut create) =
        (insert(&pool, 2, 20), Box::pin(pool.get_or_create(3, || async { panic!("no place") })));
    let mut polled = create.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(poll(&mut insert).is_pending() && polled.is_pending());
    pool.close();
    polled = create.as_mut().poll(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(polled, Poll::Ready(Err(ConnectionError::Closed { .. }))));
    let refused = insert.await.unwrap_err();
    assert!(matches!(refused.error, ConnectionError::Closed { .. }) && refused.value == 20);
    assert_eq!(closed.take(), [(1, 10, PoolClosed)]);
}

#[tokio::test(start_paused = true)]
async fn a_raised_limit_serves_as_many_as_now_fit() {
    let (pool, _) = waits(1);
    pool.insert(1, 10).unwrap();
    let mut line: Vec<_> = (2..5).map(|key| insert(&pool, key, key * 10)).collect();
    assert!(line.iter_mut().all(|waiter| poll(waiter).is_pending()));
    pool.set_max_size(3);
    let served: Vec<_> = line.iter_mut().map(|waiter| poll(waiter).is_ready()).collect();
    assert_eq!((served, pool.size()), (vec![true, true, false], 3));
}

#[tokio::test(start_paused = true)]
async fn a_factory_is_called_once_there_is_a_place() {
    let (pool, _) = waits(1);
    pool.insert(1, 10).unwrap();
    let mut create: Pin<Box<dyn Future<Output = _> + Send + '_>> =
        Box::pin(pool.get_or_create(2, || async { Ok(20) }));
    assert!(poll(&mut create).is_pending());
    pool.remove(&1);
    assert_eq!(create.await.unwrap(), 20);
}

#[tokio::test(start_paused = true)]
async fn no_factory_is_called_for_what_was_inserted_during_the_wait() {
    let (pool, _) = waits(1);
    pool.insert(1, 10).unwrap();
    let mut create: Pin<Box<dyn Future<Output = _> + Send + '_>> =
        Box::pin(pool.get_or_create(2, || async { panic!("it is there") }));
    assert!(poll(&mut create).is_pending());
    pool.set_max_size(2);
    pool.set_max_size(3);
    pool.insert(2, 21).unwrap();
    assert_eq!(create.await.unwrap(), 21);
    assert_eq!(pool.places_in_use(), pool.size() as u64);
}

#[tokio::test(start_paused = true)]
async fn a_lifetime_of_its_own_may_be_none() {
    let (pool, closed) = waits(2);
    pool.insert_wait(1, 10, Some(TimeLimit::secs(5)), None).await.unwrap();
    pool.insert_wait(2, 20, Some(TimeLimit::Never), None).await.unwrap();
    for _ in 0..20 {
        pass(6).await;
        pool.get(&2);
    }
    assert_eq!((pool.get(&1), pool.get(&2)), (None, Some(20)));
    assert_eq!(closed.take(), [(1, 10, Lifetime)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn tasks_that_wait_and_cancel_never_exceed_the_limit_and_strand_nobody() {
    let (pool, closed) = waits(3);
    let pool = Arc::new(pool);
    let mut tasks = tokio::task::JoinSet::new();
    for task in 0..16_u32 {
        let pool = Arc::clone(&pool);
        tasks.spawn(async move {
            for round in 0..200_u32 {
                let key = task * 1_000 + round;
                let inserting = pool.insert_wait(key, key, None, None);
                if (task + round) % 3 == 0 {
                    tokio::select! {
                        biased;
                        _ = inserting => {}
                        () = tokio::task::yield_now() => continue,
                    }
                } else {
                    inserting.await.unwrap();
                }
                assert!(pool.size() <= 3);
                pool.remove(&key);
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    assert_eq!((pool.waiting(), pool.places_in_use(), pool.size()), (0, 0, 0));
    assert_eq!(closed.take(), []);
    audit(&pool);
}
