//! `get_or_create`: one factory for each key, whatever becomes of its callers.

use super::*;
use PoolCloseReason::*;

type Getting<'a> = Pin<Box<dyn Future<Output = Result<u32, ConnectionError>> + Send + 'a>>;

/// A factory whose value is sent to it, and that tells when it is dropped.
fn factory(pool: &Pool, key: u32) -> (Getting<'_>, oneshot::Sender<Result<u32, ConnectionError>>) {
    let (send, receive) = oneshot::channel();
    let making = async { receive.await.expect("the test sends a value") };
    (Box::pin(pool.get_or_create(key, || making)), send)
}

/// A caller whose factory must not be called.
fn follower(pool: &Pool, key: u32) -> Getting<'_> {
    Box::pin(pool.get_or_create(key, || async { panic!("a second factory was called") }))
}

fn poll(getting: &mut Getting<'_>) -> Poll<Result<u32, ConnectionError>> {
    getting.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

fn nothing_is_left(pool: &Pool) {
    audit(pool);
    assert_eq!(pool.flights.len(), 0);
    assert_eq!(pool.places_in_use(), pool.size() as u64);
}

#[tokio::test(start_paused = true)]
async fn callers_for_one_key_share_one_factory() {
    let (pool, closed) = pool(4);
    let (mut first, send) = factory(&pool, 1);
    let (mut second, mut third) = (follower(&pool, 1), follower(&pool, 1));
    assert!(poll(&mut first).is_pending());
    assert!(poll(&mut second).is_pending() && poll(&mut third).is_pending());
    send.send(Ok(10)).unwrap();
    assert_eq!(first.await.unwrap(), 10);
    assert_eq!((third.await.unwrap(), second.await.unwrap()), (10, 10));
    assert_eq!((pool.get(&1), closed.take()), (Some(10), vec![]));
    nothing_is_left(&pool);
}

#[tokio::test(start_paused = true)]
async fn different_keys_do_not_wait_for_each_other() {
    let (pool, _) = pool(4);
    let (mut slow, send) = factory(&pool, 1);
    assert!(poll(&mut slow).is_pending());
    assert_eq!(pool.get_or_create(2, || async { Ok(20) }).await.unwrap(), 20);
    send.send(Ok(10)).unwrap();
    assert_eq!(slow.await.unwrap(), 10);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_outlives_the_caller_who_began_it() {
    let (pool, _) = pool(1);
    let (mut first, send) = factory(&pool, 1);
    let mut second = follower(&pool, 1);
    assert!(poll(&mut first).is_pending() && poll(&mut second).is_pending());
    drop(first);
    assert!(poll(&mut second).is_pending());
    send.send(Ok(10)).unwrap();
    assert_eq!(second.await.unwrap(), 10);
    nothing_is_left(&pool);
}

#[tokio::test(start_paused = true)]
async fn a_follower_who_takes_over_is_woken_by_the_attempt() {
    let (pool, _) = pool(1);
    let pool = Arc::new(pool);
    let (send, receive) = oneshot::channel();
    let mut first: Getting<'_> =
        Box::pin(pool.get_or_create(1, || async { Ok(receive.await.unwrap()) }));
    assert!(poll(&mut first).is_pending());
    let second = Handle::current().spawn({
        let pool = Arc::clone(&pool);
        async move { follower(&pool, 1).await }
    });
    tokio::task::yield_now().await;
    drop(first);
    tokio::task::yield_now().await;
    send.send(10).unwrap();
    assert_eq!(second.await.unwrap().unwrap(), 10);
}

#[tokio::test(start_paused = true)]
async fn an_attempt_ends_with_its_last_caller_and_gives_its_place_back() {
    let (pool, _) = pool(1);
    let (mut first, send) = factory(&pool, 1);
    let mut second = follower(&pool, 1);
    assert!(poll(&mut first).is_pending() && poll(&mut second).is_pending());
    drop(first);
    assert!(!send.is_closed());
    drop(second);
    assert!(send.is_closed());
    nothing_is_left(&pool);
    assert_eq!(pool.get_or_create(1, || async { Ok(11) }).await.unwrap(), 11);
}

#[tokio::test(start_paused = true)]
async fn cancelled_at_any_poll_it_leaves_nothing_behind() {
    for polls in 0..6 {
        let (pool, _) = pool(1);
        let mut getting: Getting<'_> = Box::pin(pool.get_or_create(1, || async {
            for _ in 0..3 {
                tokio::task::yield_now().await;
            }
            Ok(10)
        }));
        let mut done = false;
        for _ in 0..polls {
            done = done || poll(&mut getting).is_ready();
        }
        drop(getting);
        assert_eq!(pool.get(&1).is_some(), done);
        nothing_is_left(&pool);
    }
}

#[tokio::test(start_paused = true)]
async fn all_callers_get_the_error_and_the_next_one_tries_again() {
    let (pool, _) = pool(1);
    let (mut first, send) = factory(&pool, 1);
    let mut second = follower(&pool, 1);
    assert!(poll(&mut first).is_pending() && poll(&mut second).is_pending());
    send.send(Err(refused())).unwrap();
    assert!(matches!(first.await, Err(ConnectionError::ConnectionFailed { .. })));
    // The second has not been polled since; one who comes now does not join what has failed.
    assert_eq!(pool.get_or_create(1, || async { Ok(11) }).await.unwrap(), 11);
    assert!(matches!(second.await, Err(ConnectionError::ConnectionFailed { .. })));
    nothing_is_left(&pool);
}

#[tokio::test(start_paused = true)]
async fn after_a_factory_panics_the_next_caller_runs_its_own() {
    for call in [true, false] {
        let (pool, _) = pool(1);
        let pool = Arc::new(pool);
        let (go, wait) = oneshot::channel::<()>();
        let panics = Handle::current().spawn({
            let pool = Arc::clone(&pool);
            async move {
                let making = move || {
                    assert!(!call, "the factory of this test panics when called");
                    async move {
                        wait.await.unwrap();
                        panic!("the factory of this test panics when polled")
                    }
                };
                pool.get_or_create(1, making).await
            }
        });
        tokio::task::yield_now().await;
        let next = Handle::current().spawn({
            let pool = Arc::clone(&pool);
            async move { pool.get_or_create(1, || async { Ok(11) }).await }
        });
        tokio::task::yield_now().await;
        let _ = go.send(());
        assert!(panics.await.unwrap_err().is_panic());
        assert_eq!(next.await.unwrap().unwrap(), 11);
        nothing_is_left(&pool);
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_pool_calls_no_factory() {
    let (pool, _) = pool(1);
    pool.insert(1, 10).unwrap();
    let refused = follower(&pool, 2).await;
    assert!(matches!(refused, Err(ConnectionError::LimitExceeded { limit: 1, .. })));
    nothing_is_left(&pool);
}

#[tokio::test(start_paused = true)]
async fn a_factory_at_work_holds_a_place() {
    let (pool, _) = pool(1);
    let (mut first, send) = factory(&pool, 1);
    assert!(poll(&mut first).is_pending());
    assert!(pool.insert(2, 20).is_err());
    send.send(Ok(10)).unwrap();
    assert_eq!(first.await.unwrap(), 10);
    assert_eq!(pool.size(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_victim_makes_room_before_the_factory_is_called() {
    let (pool, closed) = watched(config(1, FullPolicy::EvictLru));
    pool.insert(1, 10).unwrap();
    let (mut second, send) = factory(&pool, 2);
    assert!(poll(&mut second).is_pending());
    assert_eq!(closed.take(), [(1, 10, Evicted)]);
    send.send(Ok(20)).unwrap();
    assert_eq!(second.await.unwrap(), 20);
    nothing_is_left(&pool);
}

#[tokio::test(start_paused = true)]
async fn a_value_inserted_meanwhile_stays_and_all_get_it() {
    let (pool, closed) = pool(2);
    let (mut first, send) = factory(&pool, 1);
    let mut second = follower(&pool, 1);
    assert!(poll(&mut first).is_pending() && poll(&mut second).is_pending());
    pool.insert(1, 11).unwrap();
    send.send(Ok(10)).unwrap();
    assert_eq!((first.await.unwrap(), second.await.unwrap()), (11, 11));
    assert_eq!(closed.take(), [(1, 10, Duplicate)]);
    nothing_is_left(&pool);
}

#[tokio::test(start_paused = true)]
async fn an_expired_value_is_closed_and_made_anew() {
    let (pool, closed) = pool(1);
    pool.insert(1, 10).unwrap();
    pass(10).await;
    assert_eq!(pool.get_or_create(1, || async { Ok(11) }).await.unwrap(), 11);
    assert_eq!(closed.take(), [(1, 10, IdleTimeout)]);
}

#[tokio::test(start_paused = true)]
async fn what_a_factory_makes_for_a_closed_pool_is_closed() {
    let (pool, closed) = pool(1);
    let (mut first, send) = factory(&pool, 1);
    assert!(poll(&mut first).is_pending());
    pool.close();
    send.send(Ok(10)).unwrap();
    assert!(matches!(first.await, Err(ConnectionError::Closed { .. })));
    assert_eq!(closed.take(), [(1, 10, PoolClosed)]);
    nothing_is_left(&pool);
}
