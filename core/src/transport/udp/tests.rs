//! The socket as its users see it, and what happens where the kernel does not offload.

use super::*;
use crate::{
    address::Address,
    error::{ConnectionError, UdpCase},
    transport::Network,
};
use std::{
    net::{IpAddr, SocketAddr},
    sync::atomic::Ordering,
    task::Poll,
    time::Duration,
};

fn network() -> Network {
    Network::new(tokio::runtime::Handle::current())
}

async fn bind(network: &Network, text: &str) -> (Datagram, SocketAddr) {
    let socket = network.bind(&text.parse().unwrap()).await.unwrap();
    let address = socket.address().socket_addr().unwrap();
    (socket, address)
}

async fn receive(socket: &Datagram) -> (Vec<u8>, Received) {
    let mut buf = vec![0; 1 << 16];
    let received = socket.recv_from(&mut buf).await.unwrap();
    buf.truncate(received.len);
    (buf, received)
}

#[tokio::test]
async fn a_datagram_arrives_whole_with_its_source_and_the_address_it_was_sent_to() {
    let network = network();
    let (server, at) = bind(&network, "udp://0.0.0.0:0").await;
    let (client, from) = bind(&network, "udp://127.0.0.1:0").await;
    for (host, payload) in [("127.0.0.1", &b"a"[..]), ("127.0.0.2", b"bc"), ("127.0.0.3", b"")] {
        let to: IpAddr = host.parse().unwrap();
        client.send_to(payload, SocketAddr::new(to, at.port()), None).await.unwrap();
        let (bytes, received) = receive(&server).await;
        assert_eq!((bytes.as_slice(), received.whole_len), (payload, payload.len()));
        assert_eq!((received.source, received.to), (from, Some(to)));

        server.send_to(payload, from, Some(to)).await.unwrap();
        assert_eq!(receive(&client).await.1.source, SocketAddr::new(to, at.port()));
    }
    assert_eq!(server.stats().datagrams_received, 3);
    assert_eq!(server.stats().datagrams_sent, 3);
    let total = |name| network.metrics().snapshot().total(name, &[]);
    assert_eq!(total("trunkline_datagrams_received_total"), 6);
    assert_eq!(total("trunkline_datagrams_sent_total"), 6);
}

#[tokio::test]
async fn a_socket_of_both_families_tells_ipv4_as_ipv4_and_answers_it() {
    let network = network();
    let (server, at) = bind(&network, "udp://[::]:0").await;
    let (client, from) = bind(&network, "udp://127.0.0.1:0").await;
    let to = SocketAddr::from(([127, 0, 0, 2], at.port()));
    client.send_to(b"x", to, None).await.unwrap();
    let (_, received) = receive(&server).await;
    assert_eq!((received.source, received.to), (from, Some(to.ip())));
    server.send_to(b"y", from, received.to).await.unwrap();
    assert_eq!(receive(&client).await.1.source, to);
}

#[tokio::test]
async fn a_datagram_that_was_cut_is_an_error_that_names_its_source_and_is_counted() {
    let network = network();
    let (server, at) = bind(&network, "udp://127.0.0.1:0").await;
    let (client, from) = bind(&network, "udp://127.0.0.1:0").await;
    client.send_to(b"0123456789", at, None).await.unwrap();
    client.send_to(b"next", at, None).await.unwrap();
    let mut buf = [0; 4];
    let error = server.recv_from(&mut buf).await.unwrap_err();
    assert!(matches!(error, ConnectionError::Udp { case: UdpCase::Truncated, .. }), "{error:?}");
    assert_eq!(error.source_address(), Some(&Address::Udp(from)));
    assert_eq!(&buf, b"0123");
    assert_eq!(server.recv_from(&mut buf).await.unwrap().len, 4, "the rest is lost, not read next");
    assert_eq!(&buf, b"next");
    assert_eq!(server.stats().truncated, 1);
    let labels = [("reason", "truncated")];
    let snapshot = network.metrics().snapshot();
    assert_eq!(snapshot.total("trunkline_datagrams_dropped_total", &labels), 1);

    client.send_to(b"0123456789", at, None).await.unwrap();
    server.readable().await;
    let Poll::Ready(Ok(received)) = server.try_recv_cut(&mut buf) else { panic!("not there") };
    assert_eq!((received.len, received.whole_len), (4, 10));
}

#[tokio::test]
async fn a_datagram_that_no_packet_holds_is_refused_with_the_reason() {
    let network = network();
    let (client, _) = bind(&network, "udp://127.0.0.1:0").await;
    let to = SocketAddr::from(([127, 0, 0, 1], 9));
    let error = client.send_to(&vec![0; 65_508], to, None).await.unwrap_err();
    assert!(matches!(error, ConnectionError::InvalidConfig { .. }), "{error:?}");
    assert_eq!(error.os_code(), Some(libc::EMSGSIZE));
    client.send_to(&vec![0; 65_507], to, None).await.unwrap();
}

#[tokio::test]
async fn an_address_of_another_kind_cannot_be_bound_and_none_of_udp_is_a_stream() {
    let network = network();
    let udp: Address = "udp://127.0.0.1:9".parse().unwrap();
    let tcp: Address = "tcp://127.0.0.1:0".parse().unwrap();
    for error in [
        network.bind(&tcp).await.unwrap_err(),
        network.connect(&udp, None).await.unwrap_err(),
        network.listen(&udp).await.unwrap_err(),
    ] {
        assert!(matches!(error, ConnectionError::InvalidConfig { .. }), "{error:?}");
    }
    let (_taken, at) = bind(&network, "udp://127.0.0.1:0").await;
    let error = network.bind(&Address::Udp(at)).await.unwrap_err();
    assert!(matches!(error, ConnectionError::BindFailed { .. }), "{error:?}");
    assert_eq!(error.os_code(), Some(libc::EADDRINUSE));
}

#[tokio::test]
async fn closing_wakes_whoever_waits_and_frees_the_port() {
    let network = network();
    let (socket, at) = bind(&network, "udp://127.0.0.1:0").await;
    let mut buf = [0; 1];
    let (answer, ()) = tokio::join!(socket.recv_from(&mut buf), async {
        tokio::task::yield_now().await;
        socket.close_handle().close();
    });
    assert!(matches!(answer.unwrap_err(), ConnectionError::Closed { .. }));
    assert!(socket.is_closed());
    let error = socket.send_to(b"x", at, None).await.unwrap_err();
    assert!(matches!(error, ConnectionError::Closed { .. }), "{error:?}");
    network.bind(&Address::Udp(at)).await.unwrap();
}

#[tokio::test]
async fn a_dropped_receive_loses_no_datagram() {
    let network = network();
    let (server, at) = bind(&network, "udp://127.0.0.1:0").await;
    let (client, _) = bind(&network, "udp://127.0.0.1:0").await;
    let mut buf = [0; 1];
    let waited = tokio::time::timeout(Duration::ZERO, server.recv_from(&mut buf)).await;
    assert!(waited.is_err());
    for number in 0..20 {
        client.send_to(&[number], at, None).await.unwrap();
    }
    for number in 0..20 {
        drop(tokio::time::timeout(Duration::ZERO, server.readable()).await);
        assert_eq!(receive(&server).await.0, [number]);
    }
}

/// Sends a train of 100 datagrams and takes it in again, one by one.
async fn train_arrives(refuse: bool) {
    let network = network();
    let (server, at) = bind(&network, "udp://127.0.0.1:0").await;
    let socket = Socket::connected(at).unwrap();
    socket.refuses_offload.store(refuse, Ordering::Relaxed);
    let bytes: Vec<_> = (0..100_u8).flat_map(|number| [number; 100]).chain([100; 7]).collect();
    socket.io().writable().await.unwrap();
    socket.try_send(Train::new(&bytes, 100), at, None).unwrap();
    for number in 0..100 {
        assert_eq!(receive(&server).await.0, [number; 100]);
    }
    assert_eq!(receive(&server).await.0, [100; 7]);
}

#[tokio::test]
async fn a_train_arrives_as_the_same_datagrams() {
    train_arrives(false).await;
}

#[tokio::test]
async fn where_the_device_refuses_to_segment_no_datagram_is_lost() {
    train_arrives(true).await;
}

#[tokio::test]
async fn what_icmp_said_of_an_earlier_datagram_does_not_cost_the_next() {
    let network = network();
    let (first, at) = bind(&network, "udp://127.0.0.1:0").await;
    let socket = Socket::connected(at).unwrap();
    first.close();
    socket.io().writable().await.unwrap();
    socket.try_send(Train::one(b"nobody"), at, None).unwrap();
    // On loopback the refusal is there when the send returns.
    let (second, _) = bind(&network, &format!("udp://{at}")).await;
    socket.try_send(Train::one(b"back"), at, None).unwrap();
    assert_eq!(receive(&second).await.0, b"back");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_waits_after_a_batch_that_was_not_full_is_woken_by_the_next_datagram() {
    let network = network();
    let (server, at) = bind(&network, "udp://127.0.0.1:0").await;
    let (client, _) = bind(&network, "udp://127.0.0.1:0").await;
    network.spawn(async move {
        loop {
            let (bytes, received) = receive(&server).await;
            server.send_to(&bytes, received.source, None).await.unwrap();
        }
    });
    for turn in 0..3000_u32 {
        client.send_to(&turn.to_be_bytes(), at, None).await.unwrap();
        assert_eq!(receive(&client).await.0, turn.to_be_bytes());
    }
}
