//! Endpoints that come and go while the pool lives.

use super::*;

fn address(name: &str) -> Address {
    format!("mem:{name}").parse().unwrap()
}

fn addresses<const N: usize>(names: [&str; N]) -> Vec<Address> {
    names.map(address).to_vec()
}

fn pool_to<const N: usize>(names: [&str; N], max_size: u32) -> (Pool, Maker) {
    let maker = Maker::default();
    let runtime = Handle::current();
    let pool =
        Pool::with_endpoints(config(max_size), maker.clone(), addresses(names), runtime).unwrap();
    (pool, maker)
}

fn made_to(maker: &Maker, connection: u32) -> Option<Address> {
    maker.log(|log| log.made_to[connection as usize - 1].clone())
}

const REMOVED: PoolCloseReason = PoolCloseReason::EndpointRemoved;

#[tokio::test(start_paused = true)]
async fn no_connection_to_an_endpoint_that_was_taken_out_is_lent() {
    let (pool, maker) = pool_to(["a", "b", "a"], 4);
    let leases = [pool.acquire().await.unwrap(), pool.acquire().await.unwrap()];
    let [to_a, to_b] = leases;
    assert_eq!(made_to(&maker, *to_a), Some(address("a")));
    assert_eq!(made_to(&maker, *to_b), Some(address("b")), "one that is named twice counts once");
    let idle = pool.acquire().await.unwrap();
    assert_eq!(made_to(&maker, *idle), Some(address("a")));
    let idle_number = *idle;
    drop(idle);

    pool.set_endpoints(addresses(["b", "c"])).unwrap();
    settle().await;
    assert_eq!(maker.closed(), [(idle_number, REMOVED)], "the idle one is closed at once");
    let lent = *to_a;
    drop(to_a);
    settle().await;
    assert_eq!(maker.closed(), [(lent, REMOVED)], "the lent one when it comes back");
    assert_eq!(pool.stats().closed_for(REMOVED), 2);
    let next = pool.acquire().await.unwrap();
    assert_eq!(made_to(&maker, *next), Some(address("c")), "which has none yet");
    let stays = *to_b;
    drop(to_b);
    assert_eq!(*pool.acquire().await.unwrap(), stays, "who stays keeps its connections");
    check_books(&pool);
}

#[tokio::test(start_paused = true)]
async fn a_caller_does_not_wait_for_an_endpoint_that_was_taken_out() {
    let (pool, maker) = pool_to(["a"], 2);
    let go = maker.hold();
    let caller = tokio::spawn({
        let pool = pool.clone();
        async move { pool.acquire().await.unwrap() }
    });
    settle().await;
    assert_eq!(pool.stats().connecting, 1);
    pool.set_endpoints(addresses(["b"])).unwrap();
    let lease = caller.await.unwrap();
    assert_eq!(made_to(&maker, *lease), Some(address("b")));
    go.send(()).unwrap();
    settle().await;
    assert_eq!(maker.closed(), [(2, REMOVED)], "what was begun is closed once it stands");
    check_books(&pool);
}

#[tokio::test(start_paused = true)]
async fn a_new_endpoint_is_tried_at_once_while_those_before_it_fail() {
    let (pool, maker) = pool_to(["a"], 1);
    maker.plan(Plan::Fail);
    let caller = tokio::spawn({
        let pool = pool.clone();
        async move { pool.acquire().await.unwrap() }
    });
    settle().await;
    assert_eq!((pool.stats().create_failed, pool.stats().waiting), (1, 1), "it is backed off from");
    pool.set_endpoints(addresses(["a", "b"])).unwrap();
    settle().await;
    let lease = caller.await.unwrap();
    assert_eq!(made_to(&maker, *lease), Some(address("b")), "the delay of the other is kept");
}

#[tokio::test(start_paused = true)]
async fn endpoints_that_cannot_be_are_refused_and_change_nothing() {
    let (pool, _) = pool_to(["a"], 1);
    let refused = |error| matches!(error, Err(ConnectionError::InvalidConfig { .. }));
    assert!(refused(pool.set_endpoints(Vec::new())));
    let (own, _) = super::pool(1);
    assert!(refused(own.set_endpoints(addresses(["a"]))), "its connector knows where to");
    assert!(pool.acquire().await.is_ok() && own.acquire().await.is_ok());
}
