//! The limit is never exceeded by one, and everything comes back.

use super::*;
use std::{
    sync::atomic::AtomicBool,
    time::{Duration, Instant},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use trunkline_core::{CloseReason, events::EventKind, manager::ConnectionManager};

const LIMIT: u32 = 100;

fn limited(network: &Network, max_connections: u32) -> TcpConnectionManager {
    let config = TcpManagerConfig { max_connections, ..TcpManagerConfig::default() };
    TcpConnectionManager::new(network.clone(), config).unwrap()
}

/// 8 threads × 50 tasks × 25 connections, one after the other.
#[test]
fn ten_thousand_connections_under_eight_threads_never_show_one_above_the_limit() {
    const THREADS: usize = 8;
    const TASKS: usize = 50;
    const ROUNDS: usize = 25;
    const ALL: u64 = (THREADS * TASKS * ROUNDS) as u64;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(THREADS)
        .enable_all()
        .build()
        .unwrap();
    let network = Network::new(runtime.handle().clone());
    let servers = Network::new(runtime.handle().clone()).with_names(network.names().clone());
    let manager = limited(&network, LIMIT);
    let bound = runtime.block_on(async {
        let to = echo_server(&servers, &"mem:echo".parse().unwrap()).await;
        manager.relay(&loopback(), to).await.unwrap()
    });
    let server = bound.socket_addr().unwrap();
    let done = AtomicBool::new(false);
    let highest = std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let mut highest = 0;
            while !done.load(Ordering::Relaxed) {
                let stats = manager.stats();
                assert!(stats.active <= u64::from(LIMIT), "{stats:?}");
                assert_eq!(stats.opened - stats.closed(), stats.active, "{stats:?}");
                assert!(manager.connection_count() <= manager.max_connections());
                let gauge = network.metrics().snapshot().total(
                    "trunkline_connections_active",
                    &[("protocol", "tcp"), ("direction", "accepted")],
                );
                assert!(gauge <= i64::from(LIMIT), "{gauge}");
                highest = highest.max(stats.active);
            }
            highest
        });
        runtime.block_on(async {
            let clients: Vec<_> = (0..THREADS * TASKS)
                .map(|_| {
                    tokio::spawn(async move {
                        for _ in 0..ROUNDS {
                            let mut client = tokio::net::TcpStream::connect(server).await.unwrap();
                            client.write_all(b"x").await.unwrap();
                            client.shutdown().await.unwrap();
                            let mut answer = Vec::new();
                            client.read_to_end(&mut answer).await.unwrap();
                            assert_eq!(answer, b"x");
                        }
                    })
                })
                .collect();
            for client in clients {
                client.await.unwrap();
            }
            until(|| manager.stats().closed() == ALL).await;
        });
        done.store(true, Ordering::Relaxed);
        watch.join().unwrap()
    });
    assert!(highest > u64::from(LIMIT) / 2, "the limit was hardly touched: {highest}");
    runtime.block_on(manager.close());
    let stats = manager.stats();
    assert_eq!((stats.accepted, stats.closed_because(CloseReason::Finished)), (ALL, ALL));
    assert_eq!((stats.bytes_received, stats.bytes_sent, stats.active), (ALL, ALL, 0));
    let snapshot = network.metrics().snapshot();
    assert_eq!(snapshot.total("trunkline_connections_active", &[]), 0);
    assert_eq!(snapshot.total("trunkline_connections_opened_total", &[]), 2 * ALL as i64);
    assert_eq!(snapshot.total("trunkline_connections_closed_total", &[]), 2 * ALL as i64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_exceeds_the_limit_waits_in_the_backlog_and_is_served_in_its_turn() {
    let network = network();
    let manager = limited(&network, 1);
    let to = echo_server(&network, &loopback()).await;
    for listen in addresses("excess") {
        let bound = manager.relay(&listen, to.clone()).await.unwrap();
        let first = network.connect(&bound, None).await.unwrap();
        first.write_all(b"1").await.unwrap();
        assert_eq!(read_exactly(&first, 1).await, b"1");
        let second = tokio::spawn({
            let network = network.clone();
            async move {
                let second = network.connect(&bound, None).await.unwrap();
                second.write_all(b"2").await.unwrap();
                read_exactly(&second, 1).await
            }
        });
        assert_eq!(manager.stats().active, 1);
        drop(first);
        assert_eq!(second.await.unwrap(), b"2", "{listen}");
        until(|| manager.stats().active == 0).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dialling_above_the_limit_is_refused_at_once_and_opens_nothing() {
    let network = network();
    let servers = super::network();
    let manager = limited(&network, 1);
    let to = echo_server(&servers, &loopback()).await;
    let only = manager.connect(&to, None).await.unwrap();
    let error = manager.connect(&to, None).await.unwrap_err();
    let ConnectionError::LimitExceeded { limit: 1, .. } = error else { panic!("{error:?}") };
    assert!(error.is_safe_to_retry());
    assert_eq!(network.metrics().snapshot().total("trunkline_connections_opened_total", &[]), 1);
    let events = network.events().drain(usize::MAX).events;
    assert!(events.iter().any(|event| event.kind == EventKind::LimitReached { limit: 1 }));
    only.close();
    assert!(manager.connect(&to, None).await.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_failed_or_dropped_attempt_gives_its_permit_back() {
    let network = network();
    let manager = limited(&network, 1);
    let error = manager.connect(&nowhere(&network).await, None).await.unwrap_err();
    assert!(matches!(error, ConnectionError::ConnectionFailed { .. }), "{error:?}");
    assert!(manager.can_accept_connection());

    let (hole, _filler) = hole(&network).await;
    let mut attempt = Box::pin(manager.connect(hole.address(), None));
    tokio::select! {
        biased;
        answer = &mut attempt => panic!("{answer:?}"),
        () = until(|| !manager.can_accept_connection()) => {}
    }
    drop(attempt);
    until(|| manager.can_accept_connection()).await;

    let deadline = Instant::now() + Duration::from_millis(10);
    let error = manager.connect(hole.address(), Some(deadline)).await.unwrap_err();
    assert!(matches!(error, ConnectionError::Timeout { .. }), "{error:?}");
    let stats = manager.stats();
    assert_eq!((stats.opened, stats.active), (0, 0));
    assert!(manager.can_accept_connection());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_nobody_waits_on_any_more_keeps_no_permit_from_the_others() {
    let network = network();
    let manager = limited(&network, 1);
    let (left, used) = (
        manager.listen(&loopback()).await.unwrap(),
        manager.listen(&"mem:used".parse().unwrap()).await.unwrap(),
    );
    let held = manager.connect(&echo_server(&network, &loopback()).await, None).await.unwrap();
    let _waiting = network.connect(left.address(), None).await.unwrap();
    let given_up = tokio::time::timeout(Duration::from_millis(20), left.accept()).await;
    assert!(given_up.is_err(), "no permit was free");
    held.close();
    let (near, far) = tokio::join!(network.connect(used.address(), None), used.accept());
    assert!(near.is_ok() && far.is_ok());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listener_that_is_closed_while_no_permit_is_free_says_so() {
    let network = network();
    let manager = limited(&network, 1);
    let listener = Arc::new(manager.listen(&loopback()).await.unwrap());
    let _held = manager.connect(listener.address(), None).await.unwrap();
    let accept = tokio::spawn({
        let listener = Arc::clone(&listener);
        async move { listener.accept().await }
    });
    tokio::task::yield_now().await;
    listener.close();
    let error = accept.await.unwrap().unwrap_err();
    assert!(matches!(error, ConnectionError::Closed { .. }), "{error:?}");
}
