//! `get_or_turn`: one maker for each key, whoever makes and however it ends.

use super::*;
use PoolCloseReason::*;

type Asking = Pin<Box<dyn Future<Output = Result<Got<u32, u32>, ConnectionError>> + Send>>;

fn shared(max_size: u32) -> (Arc<Pool>, Closed) {
    let (pool, closed) = pool(max_size);
    (Arc::new(pool), closed)
}

fn ask(pool: &Arc<Pool>, key: u32) -> Asking {
    let pool = Arc::clone(pool);
    Box::pin(async move { pool.get_or_turn(key).await })
}

fn poll(asking: &mut Asking) -> Poll<Result<Got<u32, u32>, ConnectionError>> {
    asking.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}

async fn turn(asking: Asking) -> Turn<u32, u32> {
    match asking.await.unwrap() {
        Got::Turn(turn) => turn,
        Got::Value(value) => panic!("there is {value}"),
    }
}

async fn value(asking: Asking) -> u32 {
    match asking.await.unwrap() {
        Got::Value(value) => value,
        Got::Turn(turn) => panic!("{turn:?}"),
    }
}

fn nothing_is_left(pool: &Pool) {
    audit(pool);
    assert_eq!(pool.flights.len(), 0);
    assert_eq!(pool.places_in_use(), pool.size() as u64);
}

#[tokio::test(start_paused = true)]
async fn one_caller_makes_and_all_get_what_it_made() {
    let (pool, _) = shared(1);
    let first = turn(ask(&pool, 1)).await;
    assert_eq!(*first.key(), 1);
    let mut others = [ask(&pool, 1), ask(&pool, 1)];
    assert!(others.iter_mut().all(|other| poll(other).is_pending()));
    assert_eq!(first.fill(10).unwrap(), 10);
    for other in others {
        assert_eq!(value(other).await, 10);
    }
    assert_eq!(value(ask(&pool, 1)).await, 10);
    nothing_is_left(&pool);
}

#[tokio::test(start_paused = true)]
async fn a_maker_that_fails_gives_its_turn_to_the_next() {
    let (pool, closed) = shared(1);
    let first = turn(ask(&pool, 1)).await;
    let (mut second, mut third) = (ask(&pool, 1), ask(&pool, 1));
    assert!(poll(&mut second).is_pending() && poll(&mut third).is_pending());
    drop(first);
    assert!(poll(&mut third).is_pending());
    let second = turn(second).await;
    assert!(poll(&mut third).is_pending());
    assert_eq!(second.fill(20).unwrap(), 20);
    assert_eq!(value(third).await, 20);
    assert_eq!(closed.take(), []);
    nothing_is_left(&pool);
}

#[tokio::test(start_paused = true)]
async fn a_caller_dropped_while_it_waits_or_holds_the_turn_strands_nobody() {
    let (pool, _) = shared(1);
    let first = turn(ask(&pool, 1)).await;
    let (mut second, mut third) = (ask(&pool, 1), ask(&pool, 1));
    assert!(poll(&mut second).is_pending() && poll(&mut third).is_pending());
    drop(first);
    drop(second);
    drop(turn(third).await);
    nothing_is_left(&pool);
}

#[tokio::test(start_paused = true)]
async fn what_is_made_after_the_turn_was_given_up_is_closed() {
    let (pool, closed) = shared(1);
    let mut slow = turn(ask(&pool, 1)).await;
    let mut next = ask(&pool, 1);
    assert!(poll(&mut next).is_pending());
    drop(slow.give_up());
    let next = turn(next).await;
    assert!(matches!(slow.fill(10), Err(ConnectionError::Timeout { .. })));
    assert_eq!(closed.take(), [(1, 10, Unwanted)]);
    assert_eq!(next.fill(11).unwrap(), 11);
    nothing_is_left(&pool);
}

#[tokio::test(start_paused = true)]
async fn makers_and_factories_share_the_turn() {
    let (pool, _) = shared(1);
    let maker = turn(ask(&pool, 1)).await;
    let mut factory = Box::pin(pool.get_or_create(1, || async { Ok(20) }));
    let cx = &mut Context::from_waker(Waker::noop());
    assert!(factory.as_mut().poll(cx).is_pending());
    maker.fill(10).unwrap();
    assert_eq!(factory.await.unwrap(), 10, "the factory is not called");
    pool.discard(&1);
    let (send, receive) = oneshot::channel();
    let mut factory = Box::pin(pool.get_or_create(1, || async { Ok(receive.await.unwrap()) }));
    assert!(factory.as_mut().poll(cx).is_pending());
    let mut maker = ask(&pool, 1);
    assert!(poll(&mut maker).is_pending());
    drop(factory);
    assert!(poll(&mut maker).is_pending(), "it goes on with the attempt");
    send.send(30).unwrap();
    assert_eq!(value(maker).await, 30);
    nothing_is_left(&pool);
}

#[tokio::test(start_paused = true)]
async fn a_value_inserted_meanwhile_stays() {
    let (pool, closed) = shared(2);
    let maker = turn(ask(&pool, 1)).await;
    pool.insert(1, 11).unwrap();
    assert_eq!(maker.fill(10).unwrap(), 11);
    assert_eq!(closed.take(), [(1, 10, Duplicate)]);
    nothing_is_left(&pool);
}

#[tokio::test(start_paused = true)]
async fn a_turn_holds_a_place() {
    let (pool, _) = shared(1);
    let maker = turn(ask(&pool, 1)).await;
    assert!(pool.insert(2, 20).is_err());
    let refused = ask(&pool, 2).await.unwrap_err();
    assert!(matches!(refused, ConnectionError::LimitExceeded { limit: 1, .. }));
    drop(maker);
    pool.insert(2, 20).unwrap();
    nothing_is_left(&pool);
}

#[tokio::test(start_paused = true)]
async fn a_close_ends_the_wait_for_a_turn_and_what_is_made_then_is_closed() {
    let (pool, closed) = shared(1);
    let maker = turn(ask(&pool, 1)).await;
    let mut other = ask(&pool, 1);
    assert!(poll(&mut other).is_pending());
    pool.close();
    assert!(matches!(other.await, Err(ConnectionError::Closed { .. })));
    assert!(matches!(maker.fill(10), Err(ConnectionError::Closed { .. })));
    assert_eq!(closed.take(), [(1, 10, PoolClosed)]);
    assert!(matches!(ask(&pool, 1).await, Err(ConnectionError::Closed { .. })));
    nothing_is_left(&pool);
}

#[tokio::test(start_paused = true)]
async fn a_turn_keeps_the_pool_alive() {
    let (pool, closed) = shared(1);
    let maker = turn(ask(&pool, 1)).await;
    drop(pool);
    assert_eq!(maker.fill(10).unwrap(), 10);
    assert_eq!(closed.take(), [(1, 10, PoolClosed)], "closed with the last of them");
}
