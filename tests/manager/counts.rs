//! The counts are what the peers got, also when clients abort.

use super::*;
use std::{io::Write, net::TcpStream};
use trunkline_core::CloseReason;

/// Sends `length` bytes and then resets the connection, as the kernel does for a killed process that
/// had not read everything.
fn send_and_abort(server: std::net::SocketAddr, length: usize) {
    let mut client = TcpStream::connect(server).unwrap();
    client.write_all(&bytes(length)).unwrap();
    socket2::SockRef::from(&client).set_linger(Some(std::time::Duration::ZERO)).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_aborting_clients_sent_is_counted_as_the_sink_got_it() {
    const CLIENTS: usize = 40;
    let network = network();
    let servers = super::network();
    let manager = manager(&network);
    let (to, sunk) = sink_server(&servers, &loopback()).await;
    let bound = manager.relay(&loopback(), to).await.unwrap();
    let server = bound.socket_addr().unwrap();
    let clients: Vec<_> = (0..CLIENTS)
        .map(|client| std::thread::spawn(move || send_and_abort(server, client * 20_011 + 1)))
        .collect();
    for client in clients {
        client.join().unwrap();
    }
    // A client may be gone before its connection was accepted: then the kernel forgets it.
    let is_over = || {
        let stats = manager.stats();
        stats.active == 0 && sunk.connections.load(Ordering::Relaxed) == stats.opened
    };
    until(|| manager.stats().opened > 0).await;
    until(is_over).await;
    manager.drain(None).await;
    until(is_over).await;
    let stats = manager.stats();
    assert_eq!(stats.bytes_received, sunk.bytes.load(Ordering::Relaxed), "{stats:?}");
    assert_eq!((stats.opened, stats.active), (stats.closed(), 0));
    let forwarded = network
        .metrics()
        .snapshot()
        .total("trunkline_bytes_sent_total", &[("direction", "dialled")]);
    assert_eq!(forwarded as u64, stats.bytes_received);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_reset_does_not_overtake_bytes_that_the_kernel_still_holds() {
    const LENGTH: usize = 64 << 20;
    let network = network();
    let manager = manager(&network);
    let listener = network.listen(&loopback()).await.unwrap();
    let bound = manager.relay(&loopback(), listener.address().clone()).await.unwrap();
    let client = network.connect(&bound, None).await.unwrap();
    let server = listener.accept().await.unwrap();
    // Nobody reads: every buffer on the way fills up, those of the kernel included.
    let payload = bytes(LENGTH);
    let mut sent = 0;
    loop {
        match client.try_write(&[std::io::IoSlice::new(&payload[sent..])]) {
            std::task::Poll::Ready(n) => sent += n.unwrap(),
            std::task::Poll::Pending => {
                let more =
                    tokio::time::timeout(std::time::Duration::from_millis(50), client.writable());
                if more.await.is_err() {
                    break;
                }
            }
        }
        assert!(sent < LENGTH, "64 MiB fitted without a reader");
    }
    client.abort(CloseReason::Local);
    let (got, end) = read_all(&server).await;
    assert!(matches!(end, Err(ConnectionError::Broken { .. })), "{end:?}");
    assert_eq!(got.len() as u64, manager.stats().bytes_received);
    assert!(got == payload[..got.len()]);
    until(|| manager.stats().closed_because(CloseReason::Reset) == 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_are_counted_while_a_connection_lives() {
    let network = network();
    let manager = manager(&network);
    let to = echo_server(&network, &loopback()).await;
    let bound = manager.relay(&loopback(), to).await.unwrap();
    let client = network.connect(&bound, None).await.unwrap();
    for round in 1..=5 {
        client.write_all(&bytes(1_000)).await.unwrap();
        read_exactly(&client, 1_000).await;
        // A chunk is counted when the call that passed it returns, a moment after the peer may have it.
        until(|| manager.stats().bytes_sent == round * 1_000).await;
        let stats = manager.stats();
        assert_eq!(stats.bytes_received, round * 1_000);
        assert_eq!(stats.active, 1);
    }
    drop(client);
    until(|| manager.stats().active == 0).await;
    assert_eq!(manager.stats().bytes_sent, 5_000);
}
