//! How a manager ends: gently, at once, or by being dropped.

use super::*;
use std::time::{Duration, Instant};
use trunkline_core::{CloseReason, events::EventKind};

fn soon(milliseconds: u64) -> Option<Instant> {
    Some(Instant::now() + Duration::from_millis(milliseconds))
}

/// Connections to `bound` that stand on both sides.
async fn stand(network: &Network, bound: &Address, count: usize) -> Vec<Stream> {
    let mut clients = Vec::new();
    for _ in 0..count {
        let client = network.connect(bound, None).await.unwrap();
        client.write_all(b"x").await.unwrap();
        assert_eq!(read_exactly(&client, 1).await, b"x");
        clients.push(client);
    }
    clients
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_waits_for_what_finishes_and_cuts_the_rest_at_its_deadline() {
    let network = network();
    let manager = manager(&network);
    let to = echo_server(&network, &loopback()).await;
    let bound = manager.relay(&loopback(), to.clone()).await.unwrap();
    let clients = stand(&network, &bound, 3).await;
    let own = manager.connect(&to, None).await.unwrap();
    let draining = tokio::spawn({
        let manager = manager.clone();
        async move { manager.drain(soon(200)).await }
    });
    clients[0].shutdown(Shutdown::Write).unwrap();
    assert_eq!(clients[0].read(&mut [0; 1]).await.unwrap(), 0);
    let report = draining.await.unwrap();
    assert_eq!((report.finished, report.cut), (1, 3));
    let stats = manager.stats();
    assert_eq!((stats.active, stats.closed_because(CloseReason::Drained)), (0, 3));
    assert_eq!(clients[1].read(&mut [0; 1]).await.unwrap(), 0, "nothing was owed: closed in order");
    assert!(own.is_closed());
    assert_eq!(own.metrics().close_reason(), Some(CloseReason::Drained));

    let refused = network.connect(&bound, None).await.unwrap_err();
    assert!(matches!(refused, ConnectionError::ConnectionFailed { .. }), "{refused:?}");
    let closed = |error| assert!(matches!(error, ConnectionError::Closed { .. }), "{error:?}");
    closed(manager.connect(&to, None).await.unwrap_err());
    closed(manager.listen(&loopback()).await.unwrap_err());
    closed(manager.relay(&loopback(), to).await.unwrap_err());
    assert_eq!(manager.drain(None).await, Default::default());

    let kinds: Vec<_> =
        network.events().drain(usize::MAX).events.into_iter().map(|event| event.kind).collect();
    assert!(kinds.contains(&EventKind::DrainStarted { connections: 4 }));
    assert!(kinds.contains(&EventKind::DrainEnded { cut: 3 }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_drain_ends_with_the_last_connection_long_before_its_deadline() {
    let network = network();
    let manager = manager(&network);
    let to = echo_server(&network, &loopback()).await;
    let bound = manager.relay(&loopback(), to).await.unwrap();
    let clients = stand(&network, &bound, 2).await;
    let (report, ()) = tokio::join!(manager.drain(soon(3_600_000)), async {
        // Still whole while the manager drains.
        clients[0].write_all(b"more").await.unwrap();
        assert_eq!(read_exactly(&clients[0], 4).await, b"more");
        drop(clients);
    });
    assert_eq!((report.finished, report.cut), (2, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dropped_drain_lets_nobody_in_and_cuts_nobody() {
    let network = network();
    let manager = manager(&network);
    let to = echo_server(&network, &loopback()).await;
    let bound = manager.relay(&loopback(), to.clone()).await.unwrap();
    let clients = stand(&network, &bound, 1).await;
    let dropped = tokio::time::timeout(Duration::from_millis(20), manager.drain(None)).await;
    assert!(dropped.is_err());
    assert!(manager.connect(&to, None).await.is_err());
    clients[0].write_all(b"still here").await.unwrap();
    assert_eq!(read_exactly(&clients[0], 10).await, b"still here");
    drop(clients);
    assert_eq!(manager.drain(None).await.cut, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_in_the_backlog_when_a_drain_begins_are_served() {
    let network = network();
    let manager = manager(&network);
    let to = echo_server(&network, &"mem:echo".parse().unwrap()).await;
    let bound = manager.relay(&loopback(), to).await.unwrap();
    // The drain is polled on this thread before the accept loop can have seen the clients.
    let mut clients = Vec::new();
    for _ in 0..20 {
        clients.push(std::net::TcpStream::connect(bound.socket_addr().unwrap()).unwrap());
    }
    let (report, ()) = tokio::join!(manager.drain(None), async {
        tokio::task::spawn_blocking(move || {
            use std::io::{Read, Write};
            for mut client in clients {
                client.write_all(b"x").unwrap();
                client.shutdown(Shutdown::Write).unwrap();
                let mut answer = Vec::new();
                client.read_to_end(&mut answer).unwrap();
                assert_eq!(answer, b"x");
            }
        })
        .await
        .unwrap();
    });
    assert_eq!((report.cut, manager.stats().closed()), (0, 20));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_is_idempotent_and_leaves_no_descriptor() {
    let network = network();
    let servers = super::network();
    let to = echo_server(&servers, &loopback()).await;
    for _ in 0..3 {
        let manager = manager(&network);
        let bound = manager.relay(&loopback(), to.clone()).await.unwrap();
        let listener = manager.listen(&loopback()).await.unwrap();
        let clients = stand(&servers, &bound, 5).await;
        let own = manager.connect(&to, None).await.unwrap();
        tokio::join!(manager.close(), manager.close());
        manager.close().await;
        assert!(listener.is_closed() && own.is_closed());
        assert_eq!(manager.stats().closed_because(CloseReason::Local), 6);
        let snapshot = network.metrics().snapshot();
        assert_eq!(snapshot.total("trunkline_connections_active", &[]), 0);
        for client in clients {
            assert_eq!(client.read(&mut [0; 1]).await.unwrap(), 0);
        }
        let again = network.listen(&bound).await;
        assert!(again.is_ok(), "the port is free: {again:?}");
        assert_eq!(manager.drain(None).await, Default::default());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_does_not_wait_for_a_destination_that_never_answers() {
    let network = network();
    let mut config = TcpManagerConfig::default();
    // Whoever waited for the attempt would wait for an hour.
    config.tcp.connect_timeout = Duration::from_secs(3600);
    let manager = TcpConnectionManager::new(network.clone(), config).unwrap();
    let (hole, _filler) = hole(&network).await;
    let bound = manager.relay(&loopback(), hole.address().clone()).await.unwrap();
    let _client = network.connect(&bound, None).await.unwrap();
    until(|| manager.stats().active == 1).await;
    let connecting = tokio::spawn({
        let (manager, address) = (manager.clone(), hole.address().clone());
        async move { manager.connect(&address, None).await }
    });
    tokio::task::yield_now().await;
    tokio::time::timeout(Duration::from_secs(60), manager.close()).await.unwrap();
    assert_eq!(manager.stats().closed_because(CloseReason::Local), 1);
    let error = connecting.await.unwrap().unwrap_err();
    assert!(matches!(error, ConnectionError::Closed { .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dropping_the_last_handle_ends_the_relays_and_leaves_given_streams_alone() {
    let network = network();
    let manager = manager(&network);
    let clone = manager.clone();
    let to = echo_server(&network, &loopback()).await;
    let bound = manager.relay(&loopback(), to.clone()).await.unwrap();
    let clients = stand(&network, &bound, 2).await;
    let own = manager.connect(&to, None).await.unwrap();
    drop(manager);
    clients[0].write_all(b"y").await.unwrap();
    assert_eq!(read_exactly(&clients[0], 1).await, b"y", "a clone is the manager");
    drop(clone);
    for client in &clients {
        assert_eq!(client.read(&mut [0; 1]).await.unwrap(), 0);
    }
    own.write_all(b"z").await.unwrap();
    assert_eq!(read_exactly(&own, 1).await, b"z");
    let is_gone = || {
        let labels = [("direction", "accepted"), ("reason", "cancelled")];
        network.metrics().snapshot().total("trunkline_connections_closed_total", &labels) == 2
    };
    until(is_gone).await;
}
