//! Streams and listeners as a Rust user sees them, the same over TCP, TLS, Unix sockets and memory.
#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test stops at the first surprise and drives itself"
)]

use bytes::Bytes;
use std::{
    io::IoSlice,
    net::Shutdown,
    sync::Arc,
    task::Poll,
    time::{Duration, Instant},
};
use trunkline_core::{
    Address, Budget, CloseReason, ConnectionError, ListenOptions, Listener, Network, PipeConfig,
    Step, Stream,
};

mod certificates;
#[path = "certificates/configured.rs"]
mod configured;

fn network() -> Network {
    network_on(tokio::runtime::Handle::current())
}

fn network_on(runtime: tokio::runtime::Handle) -> Network {
    let network = Network::new(runtime);
    let tls = network.tls(configured::localhost()).unwrap();
    network.with_tls(tls)
}

/// One address of each kind, each for this test alone.
fn addresses(test: &str) -> Vec<Address> {
    let path = std::env::temp_dir().join(format!("trunkline-{test}-{}.sock", std::process::id()));
    let texts = [
        "tcp://127.0.0.1:0".to_owned(),
        "tcp://localhost:0".to_owned(),
        "tls://127.0.0.1:0".to_owned(),
        "tls://localhost:0".to_owned(),
        format!("unix:{}", path.display()),
        format!("unix:@trunkline-{test}-{}", std::process::id()),
        format!("mem:{test}"),
    ];
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn is_tls(address: &Address) -> bool {
    matches!(address, Address::Tls(_) | Address::TlsName { .. })
}

async fn connected(network: &Network, address: &Address) -> (Stream, Stream, Listener) {
    let listener = network.listen(address).await.unwrap();
    let near = network.connect(listener.address(), None).await.unwrap();
    let far = listener.accept().await.unwrap();
    (near, far, listener)
}

async fn read_all(stream: &Stream) -> Result<Vec<u8>, ConnectionError> {
    let (mut all, mut chunk) = (Vec::new(), [0; 1000]);
    loop {
        match stream.read(&mut chunk).await? {
            0 => return Ok(all),
            n => all.extend_from_slice(&chunk[..n]),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bytes_cross_both_ways_and_a_half_close_lets_the_answer_through() {
    let network = network();
    for address in addresses("both-ways") {
        let (near, far, _listener) = connected(&network, &address).await;
        near.write_all(b"question").await.unwrap();
        near.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_all(&far).await.unwrap(), b"question", "{address}");
        far.write_all(b"answer").await.unwrap();
        far.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_all(&near).await.unwrap(), b"answer", "{address}");
        near.close();
        assert_eq!(near.metrics().close_reason(), Some(CloseReason::Finished), "{address}");
        let counts = (near.metrics().bytes_sent(), near.metrics().bytes_received());
        assert_eq!(counts, (8, 6), "{address}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_stalls_the_writer_and_loses_nothing() {
    const TOTAL: usize = 8 << 20;
    let network = network();
    for address in addresses("slow-reader") {
        let (near, far, _listener) = connected(&network, &address).await;
        let writer = tokio::spawn(async move {
            let chunk: Vec<u8> = (0..=255).cycle().take(64 << 10).collect();
            for _ in 0..TOTAL / chunk.len() {
                near.write_all(&chunk).await.unwrap();
            }
        });
        // Nobody reads yet, so the writer must come to a stop with most of it unsent.
        while far.metrics().bytes_received() == 0 && !writer.is_finished() {
            let mut byte = [0; 1];
            far.read(&mut byte).await.unwrap();
        }
        assert!(!writer.is_finished(), "{address}: 8 MiB fitted without a reader");
        assert_eq!(read_all(&far).await.unwrap().len() + 1, TOTAL, "{address}");
        writer.await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn buffers_cross_every_kind_of_stream_and_a_pipe_hands_them_over() {
    let network = network();
    for address in addresses("buffers") {
        let (near, far, _listener) = connected(&network, &address).await;
        let sent = Bytes::from_iter((0..50_000_u32).map(|n| n as u8));
        let mut left = sent.clone();
        near.send_buf(&mut left).await.unwrap();
        assert!(left.is_empty());
        let mut parts = Vec::new();
        while parts.iter().map(Bytes::len).sum::<usize>() < sent.len() {
            parts.push(far.recv_buf(usize::MAX).await.unwrap());
        }
        assert_eq!(parts.concat(), sent, "{address}");
        let is_handed_over = parts[0].as_ptr() == sent.as_ptr();
        assert_eq!(is_handed_over, matches!(address, Address::Mem(_)), "{address}");
        assert_eq!(far.metrics().bytes_received(), 50_000, "{address}");
        near.shutdown(Shutdown::Write).unwrap();
        assert!(far.recv_buf(1).await.unwrap().is_empty(), "{address}: the end");
    }
}

#[tokio::test]
async fn a_buffer_that_was_given_up_on_keeps_what_was_not_sent() {
    let (near, far) = network().pipe(&PipeConfig { capacity: 10_000 }).unwrap();
    let mut left = Bytes::from(vec![7; 15_000]);
    {
        let mut sending = std::pin::pin!(near.send_buf(&mut left));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(sending.as_mut().poll(&mut context).is_pending());
    }
    assert_eq!(left.len(), 5_000);
    assert_eq!(far.recv_buf(usize::MAX).await.unwrap().len(), 10_000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_abort_is_a_reset_at_the_peer() {
    let network = network();
    for address in ["tcp://127.0.0.1:0", "tls://127.0.0.1:0", "mem:abort"] {
        let (near, far, _listener) = connected(&network, &address.parse().unwrap()).await;
        near.abort(CloseReason::Local);
        let error = far.read(&mut [0; 8]).await.unwrap_err();
        assert!(matches!(error, ConnectionError::Broken { .. }), "{address}: {error:?}");
        assert_eq!(error.os_code(), Some(libc::ECONNRESET), "{address}");
        assert!(!error.is_safe_to_retry());
        far.close();
        assert_eq!(far.metrics().close_reason(), Some(CloseReason::Reset), "{address}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn closing_wakes_everybody_who_waits() {
    let network = network();
    for address in addresses("close-wakes") {
        let (near, far, listener) = connected(&network, &address).await;
        let (far, listener) = (Arc::new(far), Arc::new(listener));
        let readers: Vec<_> = (0..3)
            .map(|_| {
                let far = Arc::clone(&far);
                tokio::spawn(async move { far.read(&mut [0; 1]).await })
            })
            .collect();
        let acceptor = tokio::spawn({
            let listener = Arc::clone(&listener);
            async move { listener.accept().await.map(drop) }
        });
        tokio::task::yield_now().await;
        far.close();
        listener.close();
        for reader in readers {
            let error = reader.await.unwrap().unwrap_err();
            assert!(matches!(error, ConnectionError::Closed { .. }), "{address}: {error:?}");
        }
        let error = acceptor.await.unwrap().unwrap_err();
        assert_eq!(error.step(), Step::Accept, "{address}");
        assert!(far.is_closed() && listener.is_closed());
        assert_eq!(near.read(&mut [0; 1]).await.unwrap(), 0, "{address}: the peer sees the end");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_exceeds_the_limit_waits_in_the_backlog_until_a_connection_ends() {
    let network = network();
    // A client of TLS stands when its handshake is over, for which it has to be let in.
    for address in addresses("limit").into_iter().filter(|address| !is_tls(address)) {
        let budget = Budget::new(2);
        let options = ListenOptions { budget: Some(budget.clone()), ..Default::default() };
        let listener = network.listen_with(&address, &options).await.unwrap();
        let mut clients = Vec::new();
        for _ in 0..3 {
            clients.push(network.connect(listener.address(), None).await.unwrap());
        }
        let first = listener.accept().await.unwrap();
        let second = listener.accept().await.unwrap();
        assert_eq!(budget.in_use(), 2);
        assert!(listener.try_accept().is_pending(), "{address}");
        let third = tokio::spawn(async move { listener.accept().await.map(|s| (s, listener)) });
        tokio::task::yield_now().await;
        assert!(!third.is_finished(), "{address}");
        drop(first);
        let (third, listener) = third.await.unwrap().unwrap();
        assert_eq!(budget.in_use(), 2, "{address}");
        drop((second, third));
        assert_eq!(budget.in_use(), 0, "{address}: nothing is held while the backlog is empty");
        drop(listener);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_destination_that_is_not_there_is_refused_at_once_and_may_be_tried_again() {
    let network = network();
    let listener = network.listen(&"tcp://127.0.0.1:0".parse().unwrap()).await.unwrap();
    let gone = listener.address().clone();
    listener.close();
    let nowhere = "unix:/nonexistent/trunkline.sock".parse().unwrap();
    for address in [gone, nowhere, "mem:nobody".parse().unwrap()] {
        let error = network.connect(&address, None).await.unwrap_err();
        assert!(matches!(error, ConnectionError::ConnectionFailed { .. }), "{error:?}");
        assert_eq!(error.destination(), Some(&address));
        assert!(error.is_safe_to_retry() && error.os_code().is_some(), "{error:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_destination_that_does_not_answer_is_a_timeout_and_not_a_refusal() {
    let network = network();
    // A listener whose backlog is full swallows further SYNs as a black hole does.
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.bind(&std::net::SocketAddr::from(([127, 0, 0, 1], 0)).into()).unwrap();
    socket.listen(0).unwrap();
    let hole = Address::from(socket.local_addr().unwrap().as_socket().unwrap());
    let deadline = || Some(Instant::now() + Duration::from_millis(300));
    let mut fillers = Vec::new();
    let error = loop {
        match network.connect(&hole, deadline()).await {
            Ok(stream) => fillers.push(stream),
            Err(error) => break error,
        }
        assert!(fillers.len() < 100, "the backlog never filled up");
    };
    assert!(matches!(error, ConnectionError::Timeout { .. }), "{error:?}");
    assert_eq!((error.step(), error.is_safe_to_retry()), (Step::Connect, true));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_is_taken_or_not_ours_cannot_be_bound() {
    let network = network();
    for address in addresses("taken") {
        let listener = network.listen(&address).await.unwrap();
        let error = network.listen(listener.address()).await.unwrap_err();
        assert!(matches!(error, ConnectionError::BindFailed { .. }), "{address}: {error:?}");
        assert!(!error.is_safe_to_retry());
    }
    let foreign = "tcp://192.0.2.1:0".parse().unwrap();
    let error = network.listen(&foreign).await.unwrap_err();
    assert!(matches!(error, ConnectionError::BindFailed { .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_socket_file_is_private_and_goes_away_with_its_listener() {
    use std::os::unix::fs::PermissionsExt;
    let network = network();
    let address = addresses("private").swap_remove(4);
    let path = address.unix_path().unwrap().to_owned();
    let listener = network.listen(&address).await.unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    listener.close();
    assert!(!path.exists());

    // What a killed process left behind is replaced; what is no socket is not.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    drop(network.listen(&address).await.unwrap());
    std::fs::write(&path, b"somebody's file").unwrap();
    assert!(network.listen(&address).await.is_err());
    assert_eq!(std::fs::read(&path).unwrap(), b"somebody's file");
    std::fs::remove_file(&path).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn counters_return_to_zero_and_opened_equals_closed() {
    let network = network();
    for address in addresses("counters") {
        let (near, far, listener) = connected(&network, &address).await;
        near.write_all(b"x").await.unwrap();
        drop((near, far, listener));
    }
    let snapshot = network.metrics().snapshot();
    assert_eq!(snapshot.total("trunkline_connections_active", &[]), 0);
    assert_eq!(snapshot.total("trunkline_connections_opened_total", &[]), 14);
    assert_eq!(snapshot.total("trunkline_connections_closed_total", &[]), 14);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_empty_read_or_write_is_done_at_once() {
    let network = network();
    for address in addresses("empty") {
        let (near, _far, _listener) = connected(&network, &address).await;
        assert!(matches!(near.try_read(&mut []), Poll::Ready(Ok(0))), "{address}");
        near.writable().await;
        assert!(matches!(near.try_write(&[IoSlice::new(&[])]), Poll::Ready(Ok(0))), "{address}");
        assert_eq!(near.metrics().bytes_sent(), 0);
    }
}

#[test]
fn any_thread_may_use_what_a_runtime_drives() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let network = network_on(runtime.handle().clone());
    for address in addresses("any-thread") {
        let listener = runtime.block_on(network.listen(&address)).unwrap();
        let near = runtime.block_on(network.connect(listener.address(), None)).unwrap();
        let far = loop {
            if let Poll::Ready(answer) = listener.try_accept() {
                break answer.unwrap();
            }
            runtime.block_on(listener.ready());
        };
        runtime.block_on(near.writable());
        assert!(matches!(near.try_write(&[IoSlice::new(b"x")]), Poll::Ready(Ok(1))), "{address}");
        runtime.block_on(far.readable());
        assert!(matches!(far.try_read(&mut [0; 8]), Poll::Ready(Ok(1))), "{address}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_write_after_ones_own_half_close_fails_and_breaks_nothing() {
    let network = network();
    for address in addresses("after-half-close") {
        let (near, far, _listener) = connected(&network, &address).await;
        near.shutdown(Shutdown::Write).unwrap();
        let error = near.write(b"too late").await.unwrap_err();
        assert!(matches!(error, ConnectionError::Broken { .. }), "{address}: {error:?}");
        assert!(near.error().is_none(), "{address}: {:?}", near.error());
        far.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_all(&near).await.unwrap(), b"", "{address}");
        near.close();
        assert_eq!(near.metrics().close_reason(), Some(CloseReason::Finished), "{address}");
    }
}
