//! What crosses a relay, and what each side sees of the other's end.

use super::*;
use std::{io::Read, time::Duration};
use trunkline_core::{
    BandwidthConfig, CloseReason, Direction, Protocol,
    config::{ByteLimit, TimeLimit},
    manager::{ConnectionManager, TcpConnectionInfo},
    transport::pipe,
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_cross_both_ways_to_any_kind_of_destination_and_an_end_does_not_stop_the_answer() {
    const LENGTH: usize = 3 << 20;
    let network = network();
    let manager = manager(&network);
    for destination in addresses("any-destination") {
        let to = echo_server(&network, &destination).await;
        for listen in addresses(&format!("from-{}", destination.to_string().len())) {
            let bound = manager.relay(&listen, to.clone()).await.unwrap();
            let client = Arc::new(network.connect(&bound, None).await.unwrap());
            let writer = Arc::clone(&client);
            let written = tokio::spawn(async move {
                writer.write_all(&bytes(LENGTH)).await.unwrap();
                writer.shutdown(Shutdown::Write).unwrap();
            });
            let (answer, end) = read_all(&client).await;
            assert!(answer == bytes(LENGTH) && end.is_ok(), "{listen} → {to}: {end:?}");
            written.await.unwrap();
        }
    }
    until(|| manager.stats().active == 0).await;
    let stats = manager.stats();
    assert_eq!(stats.closed_because(CloseReason::Finished), 9, "{stats:?}");
    assert_eq!((stats.bytes_received, stats.bytes_sent), (9 * LENGTH as u64, 9 * LENGTH as u64));
}

#[test]
fn a_manager_runs_on_the_handle_it_is_given_and_may_be_called_from_any_other_runtime() {
    let host =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let network = Network::new(host.handle().clone());
    let foreign = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    foreign.block_on(async {
        let manager = manager(&network);
        let to = echo_server(&network, &loopback()).await;
        let bound = manager.relay(&loopback(), to).await.unwrap();
        let client = manager.connect(&bound, None).await.unwrap();
        client.write_all(b"from elsewhere").await.unwrap();
        assert_eq!(read_exactly(&client, 14).await, b"from elsewhere");
        client.close();
        assert_eq!(manager.drain(None).await.cut, 0);
    });
    let snapshot = network.metrics().snapshot();
    assert_eq!(snapshot.total("trunkline_connections_active", &[("direction", "dialled")]), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_stalls_only_itself() {
    let network = network();
    let manager = manager(&network);
    let to = echo_server(&network, &loopback()).await;
    let bound = manager.relay(&loopback(), to).await.unwrap();
    let slow = Arc::new(network.connect(&bound, None).await.unwrap());
    let lively = network.connect(&bound, None).await.unwrap();
    // More than four hops can hold, each with the largest buffers that Linux gives by default, and larger ones.
    let (piece, pieces) = (bytes(1 << 20), 256);
    let (writer, written) = (Arc::clone(&slow), piece.clone());
    let flood = tokio::spawn(async move {
        for _ in 0..pieces {
            writer.write_all(&written).await.unwrap();
        }
    });
    // The echo comes back until every buffer on the way is full.
    until(|| slow.metrics().bytes_sent() > 1 << 20).await;
    for _ in 0..200 {
        lively.write_all(b"ping").await.unwrap();
        assert_eq!(read_exactly(&lively, 4).await, b"ping");
    }
    assert!(!flood.is_finished(), "256 MiB fitted into buffers without a reader");
    for _ in 0..pieces {
        assert!(read_exactly(&slow, piece.len()).await == piece, "what was sent comes back");
    }
    flood.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_whose_destination_is_not_there_is_reset_and_the_reason_is_counted() {
    let network = network();
    let manager = manager(&network);
    let gone = nowhere(&network).await;
    for to in [gone, "mem:nobody".parse().unwrap(), "unix:/nonexistent/socket".parse().unwrap()] {
        let bound = manager.relay(&loopback(), to.clone()).await.unwrap();
        let server = bound.socket_addr().unwrap();
        let reset = tokio::task::spawn_blocking(move || {
            std::net::TcpStream::connect(server).unwrap().read(&mut [0; 1])
        });
        let error = reset.await.unwrap().unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{to}");
    }
    until(|| manager.stats().active == 0).await;
    assert_eq!(manager.stats().closed_because(CloseReason::ConnectFailed), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_destination_that_never_answers_is_given_up_at_the_connect_timeout() {
    let network = network();
    let mut config = TcpManagerConfig::default();
    config.tcp.connect_timeout = Duration::from_millis(20);
    let manager = TcpConnectionManager::new(network.clone(), config).unwrap();
    let (hole, _filler) = hole(&network).await;
    let bound = manager.relay(&loopback(), hole.address().clone()).await.unwrap();
    let client = network.connect(&bound, None).await.unwrap();
    assert!(client.read(&mut [0; 1]).await.is_err());
    until(|| manager.stats().active == 0).await;
    assert_eq!(manager.stats().closed_because(CloseReason::ConnectFailed), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silence_closes_a_connection_on_both_sides() {
    let network = network();
    let mut config = TcpManagerConfig {
        idle_timeout: TimeLimit::After(Duration::from_millis(30)),
        half_close_timeout: TimeLimit::After(Duration::from_millis(10)),
        ..TcpManagerConfig::default()
    };
    for expected in [CloseReason::IdleTimeout, CloseReason::HalfCloseTimeout] {
        let manager = TcpConnectionManager::new(network.clone(), config.clone()).unwrap();
        let listener = network.listen(&loopback()).await.unwrap();
        let bound = manager.relay(&loopback(), listener.address().clone()).await.unwrap();
        let client = network.connect(&bound, None).await.unwrap();
        let server = listener.accept().await.unwrap();
        client.write_all(b"then nothing").await.unwrap();
        if expected == CloseReason::HalfCloseTimeout {
            client.shutdown(Shutdown::Write).unwrap();
        }
        for (stream, sent) in [(&client, &b""[..]), (&server, b"then nothing")] {
            let (got, end) = read_all(stream).await;
            assert!(got == sent && end.is_ok(), "{expected:?}: {end:?}");
        }
        until(|| manager.stats().active == 0).await;
        assert_eq!(manager.stats().closed_because(expected), 1, "{:?}", manager.stats());
        config.idle_timeout = TimeLimit::Never;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_connection_that_has_lasted_for_the_maximum_is_closed_and_counted() {
    let network = network();
    let most = Duration::from_millis(30);
    let config = TcpManagerConfig { max_duration: most.into(), ..TcpManagerConfig::default() };
    let manager = TcpConnectionManager::new(network.clone(), config).unwrap();
    let to = echo_server(&network, &loopback()).await;
    let bound = manager.relay(&loopback(), to).await.unwrap();
    let client = network.connect(&bound, None).await.unwrap();
    let mut echoed = [0; 100];
    // Busy all the time: no silence ends it.
    while client.write_all(b"more").await.is_ok()
        && matches!(client.read(&mut echoed).await, Ok(1..))
    {}
    until(|| manager.stats().active == 0).await;
    assert_eq!(manager.stats().closed_because(CloseReason::MaxDuration), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_direction_carries_no_more_than_its_rate_and_the_other_is_free() {
    const LENGTH: u64 = 100_000;
    let network = network();
    let bandwidth = BandwidthConfig {
        to_client: ByteLimit::After(1_000_000),
        burst: 1_000,
        ..BandwidthConfig::default()
    };
    let config = TcpManagerConfig { bandwidth, ..TcpManagerConfig::default() };
    let manager = TcpConnectionManager::new(network.clone(), config).unwrap();
    let listener = network.listen(&loopback()).await.unwrap();
    let bound = manager.relay(&loopback(), listener.address().clone()).await.unwrap();
    let client = network.connect(&bound, None).await.unwrap();
    let server = listener.accept().await.unwrap();
    let start = std::time::Instant::now();
    let payload = bytes(LENGTH as usize);
    let (_, got) = tokio::join!(server.write_all(&payload), read_exactly(&client, LENGTH as usize));
    assert_eq!(got, payload);
    // A clock never shows too little.
    let least = Duration::from_micros(LENGTH - 1_000);
    assert!(start.elapsed() >= least, "{:?}", start.elapsed());
    let (_, got) = tokio::join!(client.write_all(&payload), read_exactly(&server, LENGTH as usize));
    assert_eq!(got, payload);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_that_evidently_leads_back_to_itself_is_refused() {
    let network = network();
    let manager = manager(&network);
    let refused = |error: ConnectionError| {
        assert!(matches!(error, ConnectionError::InvalidConfig { .. }), "{error:?}");
    };
    let own: Address = "mem:own".parse().unwrap();
    refused(manager.relay(&own, own.clone()).await.unwrap_err());
    let b = manager.relay(&"mem:a".parse().unwrap(), "mem:b".parse().unwrap()).await.unwrap();
    refused(manager.relay(&"mem:b".parse().unwrap(), b).await.unwrap_err());
    refused(manager.relay(&loopback(), loopback()).await.unwrap_err());
    assert!(network.listen(&own).await.is_ok(), "nothing is left behind");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_program_may_accept_itself_and_hand_the_stream_to_the_trait() {
    async fn relay_one<M>(
        manager: &M,
        client: M::ConnectionInfo,
        to: Address,
    ) -> Result<(), ConnectionError>
    where
        M: ConnectionManager,
    {
        let source = std::net::SocketAddr::from(([127, 0, 0, 1], 1));
        let connection = manager.create_connection(source, to, client).await?;
        manager.handle_connection(connection).await
    }
    let network = network();
    let manager = manager(&network);
    let to = echo_server(&network, &loopback()).await;
    let listener = manager.listen(&loopback()).await.unwrap();
    let client = network.connect(listener.address(), None).await.unwrap();
    let accepted = listener.accept().await.unwrap();
    assert_eq!((manager.connection_count(), manager.max_connections()), (1, 1024));
    client.write_all(b"through the trait").await.unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let (answer, relayed) =
        tokio::join!(read_all(&client), relay_one(&manager, accepted.into(), to.clone()));
    assert_eq!(answer.0, b"through the trait");
    relayed.unwrap();
    assert_eq!(manager.connection_count(), 0);

    // A stream from elsewhere is let in under the same limit, and a failure says why.
    let (_far, near) = network.pipe(&Default::default()).unwrap();
    let error = relay_one(&manager, near.into(), nowhere(&network).await).await.unwrap_err();
    assert!(matches!(error, ConnectionError::ConnectionFailed { .. }), "{error:?}");
    assert!(manager.can_accept_connection());
    let stats = manager.stats();
    assert_eq!((stats.opened, stats.closed_because(CloseReason::ConnectFailed)), (2, 1));
    manager.close().await;
    let (_far, near) = network.pipe(&Default::default()).unwrap();
    let error = relay_one(&manager, near.into(), to).await.unwrap_err();
    assert!(matches!(error, ConnectionError::Closed { .. }), "{error:?}");
    assert!(!manager.can_accept_connection());
}

/// A transport with a bug.
#[derive(Debug)]
struct Panicking(pipe::PipeEnd);

impl trunkline_core::Transport for Panicking {
    fn try_read(&self, _: &mut [u8]) -> std::io::Result<usize> {
        panic!("a bug in a transport")
    }

    fn try_write(&self, bufs: &[std::io::IoSlice<'_>]) -> std::io::Result<usize> {
        self.0.try_write(bufs)
    }

    fn poll_read_ready(&self, cx: &mut std::task::Context<'_>) -> std::task::Poll<()> {
        self.0.poll_read_ready(cx)
    }

    fn poll_write_ready(&self, cx: &mut std::task::Context<'_>) -> std::task::Poll<()> {
        self.0.poll_write_ready(cx)
    }

    fn shutdown(&self, how: Shutdown) -> std::io::Result<()> {
        self.0.shutdown(how)
    }

    fn abort(&self) {
        self.0.abort();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_in_a_task_gives_its_permit_and_its_counts_back() {
    let network = network();
    let config = TcpManagerConfig { max_connections: 1, ..TcpManagerConfig::default() };
    let manager = TcpConnectionManager::new(network.clone(), config).unwrap();
    let to = echo_server(&network, &loopback()).await;
    let (_far, near) = pipe::pair(&Default::default()).unwrap();
    let stream =
        network.stream(Protocol::Pipe, Direction::Accepted, Box::new(Panicking(near)), None, None);
    let task = tokio::spawn({
        let manager = manager.clone();
        async move {
            let info = TcpConnectionInfo::new(stream);
            let source: Address = "mem:somebody".parse().unwrap();
            let connection = manager.create_connection(source, to, info).await.unwrap();
            assert!(!manager.can_accept_connection());
            manager.handle_connection(connection).await
        }
    });
    assert!(task.await.unwrap_err().is_panic());
    let stats = manager.stats();
    assert_eq!((stats.active, stats.closed_because(CloseReason::Cancelled)), (0, 1));
    assert!(manager.can_accept_connection());
}
