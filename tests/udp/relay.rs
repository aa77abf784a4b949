//! What a relay does with datagrams: order, sizes, addresses, recovery, expiry.

use super::*;
use std::sync::mpsc;
use trunkline_core::{CloseReason, ConnectionError, DropReason, UdpManagerStats};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_source_has_a_session_of_its_own_and_gets_its_own_answers() {
    let network = network();
    let manager = manager(&network, UdpManagerConfig::default());
    let to = relay(&manager, &echo(&network, 1).await).await;
    let clients = [Client::of(to).await, Client::of(to).await, Client::of(to).await];
    for round in 0..3_u8 {
        for (number, client) in clients.iter().enumerate() {
            let datagram = [round, number as u8];
            assert_eq!(client.ask(&datagram).await, datagram);
        }
    }
    // What is sent is counted after it may have arrived.
    let has_sent = |stats: &UdpManagerStats| stats.datagrams_sent >= 9 && stats.bytes_sent >= 18;
    until(|| has_sent(&manager.stats())).await;
    until(|| manager.live().iter().all(|one| one.datagrams_sent >= 3)).await;
    let stats = manager.stats();
    assert_eq!((stats.active, stats.verified, stats.opened), (3, 3, 3));
    assert_eq!((stats.datagrams_received, stats.datagrams_sent), (9, 9));
    assert_eq!((stats.bytes_received, stats.bytes_sent, stats.dropped()), (18, 18, 0));

    let live = manager.live();
    let sources: Vec<_> = live.iter().map(|one| socket_addr(&one.source)).collect();
    assert_eq!(sources, clients.each_ref().map(Client::address));
    assert!(live.iter().all(|one| one.verified && one.datagrams_sent == 3));
    assert!(live.iter().all(|one| socket_addr(&one.local) == to));
    let active = |direction| {
        let labels = [("protocol", "udp"), ("direction", direction)];
        network.metrics().snapshot().total("trunkline_connections_active", &labels)
    };
    assert_eq!((active("accepted"), active("dialled")), (3, 3));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_first_burst_makes_one_session_and_arrives_whole_and_in_order() {
    let network = network();
    let manager = manager(&network, UdpManagerConfig::default());
    for _ in 0..50 {
        let (backend, address) = backend(&network).await;
        let client = Client::of(relay(&manager, &address).await).await;
        for number in 0..20 {
            client.send(&[number]).await;
        }
        let (_, upstream) = receive(&backend).await;
        for number in 1..20 {
            assert_eq!(receive(&backend).await, (vec![number], upstream));
        }
    }
    let stats = manager.stats();
    assert_eq!((stats.opened, stats.dropped()), (50, 0));
}

/// A runtime whose look-ups wait until the sender is dropped.
fn with_stalled_names<F: Future<Output = ()>>(test: impl FnOnce(mpsc::Sender<()>) -> F) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let (release, stalled) = mpsc::channel();
    runtime.spawn_blocking(move || stalled.recv());
    runtime.block_on(test(release));
}

#[test]
fn a_name_that_is_slow_to_resolve_stalls_its_own_sessions_alone_and_loses_nothing() {
    with_stalled_names(|release| async move {
        let network = network();
        let manager = manager(&network, UdpManagerConfig::default());
        let (backend, address) = backend(&network).await;
        let port = socket_addr(&address).port();
        let slow = relay(&manager, &format!("udp://localhost:{port}").parse().unwrap()).await;
        let quick = relay(&manager, &echo(&network, 1).await).await;
        let waiting = Client::of(slow).await;
        for number in 0..64 {
            waiting.send(&[number]).await;
        }
        until(|| manager.stats().datagrams_received == 64).await;
        let client = Client::of(quick).await;
        assert_eq!(client.ask(b"not held up").await, b"not held up");

        // One more than may wait, and one that would not be late any more.
        waiting.send(&[64]).await;
        until(|| manager.stats().dropped_because(DropReason::EarlyQueueFull) == 1).await;
        drop(release);
        for number in 0..64 {
            assert_eq!(receive(&backend).await.0, [number]);
        }
        assert_eq!(manager.stats().opened, 2);
    });
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_leaves_from_the_address_that_was_asked() {
    let network = network();
    let manager = manager(&network, UdpManagerConfig::default());
    let any: Address = "udp://0.0.0.0:0".parse().unwrap();
    let to = echo(&network, 1).await;
    let bound = manager.relay(&any, to, UdpRelayOptions::default()).await.unwrap();
    let port = socket_addr(&bound).port();
    let socket = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    for host in [[127, 0, 0, 1], [127, 0, 0, 2], [127, 0, 0, 3]] {
        let asked = SocketAddr::from((host, port));
        socket.send_to(b"who", asked).await.unwrap();
        let mut buf = [0; 3];
        assert_eq!(socket.recv_from(&mut buf).await.unwrap(), (3, asked));
    }
    assert_eq!(manager.stats().active, 3, "one source, three addresses of ours");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn empty_and_longest_datagrams_pass_both_ways() {
    let network = network();
    let manager = manager(&network, UdpManagerConfig::default());
    let client = Client::of(relay(&manager, &echo(&network, 1).await).await).await;
    for length in [0, 1, 1472, 1473, 9000, 65_507] {
        let datagram = vec![7; length];
        assert!(client.ask(&datagram).await == datagram, "{length} bytes");
    }
    assert_eq!(manager.stats().dropped(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_destination_that_refuses_and_comes_back_is_served_by_the_same_session() {
    let network = network();
    let manager = manager(&network, UdpManagerConfig::default());
    let (backend, address) = backend(&network).await;
    let client = Client::of(relay(&manager, &address).await).await;
    client.send(b"first").await;
    let (_, upstream) = receive(&backend).await;
    backend.close();
    client.send(b"lost").await;
    until(|| manager.stats().datagrams_received == 2).await;
    // Each but the first finds out about the one before, and is sent all the same.
    client.send(b"lost too").await;
    until(|| manager.stats().refused > 0).await;

    let back = network.bind(&address).await.unwrap();
    client.send(b"again").await;
    assert_eq!(receive(&back).await, (b"again".to_vec(), upstream));
    back.send_to(b"hello", upstream, None).await.unwrap();
    assert_eq!(client.receive().await, b"hello");
    assert_eq!((manager.stats().opened, manager.stats().active), (1, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trains_of_equal_datagrams_pass_whole_and_in_order() {
    let network = network();
    let manager = manager(&network, UdpManagerConfig::default());
    let client = Client::of(relay(&manager, &echo(&network, 1).await).await).await;
    for number in 0..200_u8 {
        // In lots that no socket buffer on the way has to drop.
        let lot: Vec<_> = (0..10_u8).map(|place| vec![number ^ place; 1200]).collect();
        for datagram in &lot {
            client.send(datagram).await;
        }
        for datagram in &lot {
            assert!(client.receive().await == *datagram);
        }
    }
    let has_sent =
        |stats: &UdpManagerStats| stats.datagrams_sent >= 2000 && stats.bytes_sent >= 2_400_000;
    until(|| has_sent(&manager.stats())).await;
    let stats = manager.stats();
    assert_eq!((stats.datagrams_received, stats.datagrams_sent), (2000, 2000));
    assert_eq!((stats.bytes_received, stats.bytes_sent), (2_400_000, 2_400_000));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_session_ends_after_the_time_of_its_class_and_its_relay() {
    let network = network();
    let config = UdpManagerConfig {
        unverified_timeout: milliseconds(1000),
        idle_timeout: TimeLimit::Never,
        ..Default::default()
    };
    let manager = manager(&network, config);
    let to = echo(&network, 1).await;
    let lasting = Client::of(relay(&manager, &to).await).await;
    let short = UdpRelayOptions::default().idle_timeout(milliseconds(500));
    let short = socket_addr(&manager.relay(&loopback(), to, short).await.unwrap());
    let (brief, silent) = (Client::of(short).await, Client::of(short).await);
    for client in [&lasting, &brief] {
        client.ask(b"1").await;
        client.ask(b"2").await;
    }
    silent.ask(b"1").await;
    until(|| manager.stats().closed_because(CloseReason::IdleTimeout) == 2).await;
    let live = manager.live();
    assert_eq!(live.len(), 1);
    assert_eq!(socket_addr(&live[0].source), lasting.address());
    let opened = manager.stats().opened;
    assert_eq!(silent.ask(b"again").await, b"again");
    assert_eq!(manager.stats().opened, opened + 1, "a new session begins");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_time_of_zero_or_less_than_the_clock_tells_is_refused_with_its_range() {
    let network = network();
    let manager = manager(&network, UdpManagerConfig::default());
    let zero = UdpRelayOptions::default().idle_timeout(milliseconds(0));
    let to: Address = "udp://127.0.0.1:9".parse().unwrap();
    let error = manager.relay(&loopback(), to, zero).await.unwrap_err();
    assert_eq!(error.to_string(), "idle_timeout: must be within 1ms and 8760h, or never; is 0s");
    let config = UdpManagerConfig { unverified_timeout: milliseconds(0), ..Default::default() };
    let error = UdpConnectionManager::new(network, config).unwrap_err();
    assert!(error.to_string().starts_with("unverified_timeout: must be within"), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_destination_that_cannot_be_reached_ends_the_session_and_counts_what_waited() {
    let network = network();
    let manager = manager(&network, UdpManagerConfig::default());
    let nowhere = "udp://no-such-host.invalid:9".parse().unwrap();
    let client = Client::of(relay(&manager, &nowhere).await).await;
    client.send(b"lost").await;
    until(|| manager.stats().closed_because(CloseReason::ConnectFailed) == 1).await;
    let stats = manager.stats();
    assert_eq!((stats.active, stats.dropped_because(DropReason::ConnectFailed)), (0, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_that_would_feed_itself_or_is_none_of_udp_is_refused() {
    let network = network();
    let manager = manager(&network, UdpManagerConfig::default());
    let refused = async |listen: &str, to: &str| {
        let (listen, to) = (listen.parse().unwrap(), to.parse().unwrap());
        let error = manager.relay(&listen, to, UdpRelayOptions::default()).await.unwrap_err();
        assert!(matches!(error, ConnectionError::InvalidConfig { .. }), "{error:?}");
    };
    let first = relay(&manager, &"udp://127.0.0.1:9".parse().unwrap()).await;
    let to = format!("udp://{first}");
    let second = relay(&manager, &to.parse().unwrap()).await;
    refused(&to, &format!("udp://{second}")).await;
    refused("udp://127.0.0.1:9", "udp://localhost:9").await;
    refused("udp://127.0.0.1:0", "udp://127.0.0.1:0").await;
    refused("udp://127.0.0.1:0", "tcp://127.0.0.1:9").await;
    refused("tcp://127.0.0.1:0", "udp://127.0.0.1:9").await;
}
