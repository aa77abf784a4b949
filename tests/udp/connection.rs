//! Sessions for a socket that the program receives on itself, through the trait of managers.

use super::*;
use trunkline_core::{CloseReason, ConnectionError, ConnectionManager, UdpCase, UdpConnectionInfo};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_carries_what_is_passed_in_and_answers_the_client_by_itself() {
    let network = network();
    let manager = manager(&network, UdpManagerConfig::default());
    let to = echo(&network, 1).await;
    let (socket, address) = backend(&network).await;
    let client = Client::of(socket_addr(&address)).await;
    client.send(b"hello").await;
    let (datagram, source) = receive(&socket).await;
    let info = UdpConnectionInfo::new(Arc::clone(&socket));
    let connection = manager.create_connection(source, to, info).await.unwrap();
    assert_eq!((connection.source(), connection.local()), (source, socket_addr(&address)));
    connection.forward(&datagram).unwrap();
    assert_eq!(client.receive().await, b"hello");
    // Counted once it is sent, so perhaps after it has arrived.
    until(|| connection.metrics().bytes_sent() == 5).await;
    assert_eq!(manager.connection_count(), 1);
    drop(connection);
    assert_eq!(manager.stats().closed_because(CloseReason::Cancelled), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn however_many_ask_for_a_session_at_once_one_is_made() {
    let network = network();
    let manager = manager(&network, UdpManagerConfig::default());
    let to = echo(&network, 1).await;
    let (socket, _) = backend(&network).await;
    let source: SocketAddr = "127.0.0.1:5353".parse().unwrap();
    let ask = || {
        let (manager, to) = (manager.clone(), to.clone());
        let info = UdpConnectionInfo::new(Arc::clone(&socket));
        tokio::spawn(async move { manager.create_connection(source, to, info).await.unwrap() })
    };
    let asked: Vec<_> = (0..50).map(|_| ask()).collect();
    let mut connections = Vec::new();
    for connection in asked {
        connections.push(connection.await.unwrap());
    }
    assert_eq!((manager.stats().opened, manager.connection_count()), (1, 1));
    let last = connections.pop().unwrap();
    drop(connections);
    assert_eq!(manager.connection_count(), 1, "the last handle keeps it");
    drop(last);
    assert_eq!(manager.connection_count(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_one_lets_go_while_another_asks_for_it_costs_the_other_nothing() {
    let network = network();
    let manager = manager(&network, UdpManagerConfig::default());
    let to = echo(&network, 1).await;
    let (socket, _) = backend(&network).await;
    let source: SocketAddr = "127.0.0.1:5353".parse().unwrap();
    let worker = || {
        let (manager, to, socket) = (manager.clone(), to.clone(), Arc::clone(&socket));
        tokio::spawn(async move {
            for _ in 0..200 {
                let info = UdpConnectionInfo::new(Arc::clone(&socket));
                let connection = manager.create_connection(source, to.clone(), info).await.unwrap();
                assert!(manager.connection_count() <= 1 + WORKERS);
                connection.forward(b"x").unwrap();
            }
        })
    };
    const WORKERS: usize = 4;
    let workers: Vec<_> = (0..WORKERS).map(|_| worker()).collect();
    for worker in workers {
        worker.await.unwrap();
    }
    assert_eq!(manager.connection_count(), 0);
    let stats = manager.stats();
    assert_eq!(stats.opened, stats.closed());
    assert_eq!(stats.dropped_by_reason, [0; 10]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn handling_ends_in_order_with_silence_and_with_the_reason_otherwise() {
    let network = network();
    let config = UdpManagerConfig { unverified_timeout: milliseconds(800), ..Default::default() };
    let manager = manager(&network, config);
    let to = echo(&network, 1).await;
    let (socket, _) = backend(&network).await;
    let create = |port: u16| {
        let info = UdpConnectionInfo::new(Arc::clone(&socket));
        manager.create_connection(SocketAddr::from(([127, 0, 0, 1], port)), to.clone(), info)
    };
    let silent = create(1).await.unwrap();
    manager.handle_connection(silent).await.unwrap();

    let killed = create(2).await.unwrap();
    let id = killed.context().id.get();
    let (ended, killed_by_id) = tokio::join!(manager.handle_connection(killed), async {
        tokio::task::yield_now().await;
        manager.kill(id)
    });
    killed_by_id.unwrap();
    assert!(matches!(ended.unwrap_err(), ConnectionError::Closed { .. }));
    manager.close().await;
    assert!(matches!(create(3).await.unwrap_err(), ConnectionError::Closed { .. }));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_table_and_a_destination_that_is_not_there_are_told_apart() {
    let network = network();
    let manager = manager(&network, UdpManagerConfig { max_sessions: 1, ..Default::default() });
    let (socket, _) = backend(&network).await;
    let create = |port: u16, to: &Address| {
        let info = UdpConnectionInfo::new(Arc::clone(&socket));
        manager.create_connection(SocketAddr::from(([127, 0, 0, 1], port)), to.clone(), info)
    };
    let nowhere = "udp://no-such-host.invalid:9".parse().unwrap();
    let error = create(1, &nowhere).await.unwrap_err();
    assert!(matches!(error, ConnectionError::ConnectionFailed { .. }), "{error:?}");

    let (client, address) = backend(&network).await;
    let source = socket_addr(&address);
    let info = UdpConnectionInfo::new(Arc::clone(&socket));
    let to = echo(&network, 1).await;
    let regular = manager.create_connection(source, to.clone(), info).await.unwrap();
    regular.forward(b"1").unwrap();
    receive(&client).await;
    regular.forward(b"2").unwrap();
    assert!(regular.is_verified());
    let error = create(2, &to).await.unwrap_err();
    assert!(
        matches!(error, ConnectionError::Udp { case: UdpCase::SessionTableFull, .. }),
        "{error:?}"
    );
    assert!(error.is_safe_to_retry());
}
