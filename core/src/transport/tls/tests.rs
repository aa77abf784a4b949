use super::*;
use crate::{
    config::{Config, PipeConfig, TlsConfig},
    context::{Direction, Protocol},
    error::TlsFault,
    events::Events,
    identity::certificates::Authority,
    transport::{
        Network, Stream,
        faults::{Cut, CutHow, FaultConfig, Faulty, LaneFaults},
        pipe::{self, PipeEnd},
    },
};
use rustls::ServerConnection;
use std::{
    io::IoSlice,
    net::Shutdown,
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

fn tls() -> Tls {
    let authority = Authority::new("test");
    let issued = authority.issue(&["peer.test"]);
    let json = serde_json::json!({
        "client": {"roots": {"pem": authority.pem()}},
        "server": {"certificate": {"chain": {"pem": issued.chain}, "key": {"pem": issued.key}}},
    });
    let config = TlsConfig::from_json(&json.to_string()).unwrap();
    Tls::new(config, &Handle::current(), Events::default()).unwrap()
}

/// What the server's side of a handshake comes to over `inner`.
async fn accept(inner: Box<dyn Transport>, tls: &Tls) -> io::Result<Box<dyn Transport>> {
    let server = ServerConnection::new(tls.server().unwrap()).unwrap();
    let mut handshake = Handshake::new(inner, server.into());
    std::future::poll_fn(|cx| handshake.poll(cx)).await?;
    Ok(Box::new(handshake.finish(None, Terms::new(tls, &Handle::current(), None))))
}

fn address() -> Address {
    "tls://peer.test:1".parse().unwrap()
}

fn stream(network: &Network, transport: Box<dyn Transport>) -> Stream {
    network.stream(Protocol::Tls, Direction::Dialled, transport, None, None)
}

/// Both ends of TLS over two transports that are connected.
async fn secured(near: Box<dyn Transport>, far: Box<dyn Transport>) -> (Stream, Stream) {
    let (network, tls) = (Network::new(Handle::current()), tls());
    let address = address();
    let terms = Terms::new(&tls, &Handle::current(), None);
    let (near, far) = tokio::join!(connect(near, &address, None, &tls, terms), accept(far, &tls));
    (stream(&network, near.unwrap()), stream(&network, far.unwrap()))
}

fn pipe(capacity: u32) -> (PipeEnd, PipeEnd) {
    pipe::pair(&PipeConfig { capacity }).unwrap()
}

fn faulty(end: PipeEnd, config: FaultConfig) -> Box<dyn Transport> {
    Box::new(Faulty::new(end, config, Handle::current()).unwrap())
}

async fn read_all(stream: &Stream) -> Result<Vec<u8>, ConnectionError> {
    let (mut all, mut chunk) = (Vec::new(), [0; 4096]);
    loop {
        match stream.read(&mut chunk).await? {
            0 => return Ok(all),
            n => all.extend_from_slice(&chunk[..n]),
        }
    }
}

/// Writes `bytes` and the end while it reads what the peer says until its end.
async fn talk(stream: &Stream, bytes: &[u8]) -> Vec<u8> {
    let writing = async {
        stream.write_all(bytes).await.unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
    };
    let ((), heard) = tokio::join!(writing, read_all(stream));
    heard.unwrap()
}

async fn exchange(near: &Stream, far: &Stream, bytes: &[u8]) {
    let reversed: Vec<u8> = bytes.iter().rev().copied().collect();
    let (near_heard, far_heard) = tokio::join!(talk(near, bytes), talk(far, &reversed));
    assert!(near_heard == reversed && far_heard == bytes);
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|n| (n * 31 % 251) as u8).collect()
}

#[tokio::test(start_paused = true)]
async fn bytes_survive_an_inner_transport_of_any_size() {
    for capacity in [7, 1000, 64 << 10] {
        let (near, far) = pipe(capacity);
        let (near, far) = secured(Box::new(near), Box::new(far)).await;
        exchange(&near, &far, &pattern(200_000)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn bytes_survive_short_and_late_reads_and_writes_of_any_seed() {
    for seed in 0..20 {
        let lane = LaneFaults {
            delay: Some(Duration::ZERO..=Duration::from_millis(3)),
            max_chunk: NonZeroUsize::new(1 + seed as usize * 97),
            ..LaneFaults::default()
        };
        let config = FaultConfig { seed, read: lane.clone(), write: lane };
        let (near, far) = pipe(4096);
        let (near, far) = secured(faulty(near, config), Box::new(far)).await;
        exchange(&near, &far, &pattern(30_000)).await;
    }
}

/// Both ends over a transport whose reads, at the near end, are cut after the handshake and `after` bytes more.
async fn cut_off(how: CutHow, after: u64) -> (Stream, Stream) {
    // A handshake with this certificate brings the client some 700 bytes: more than fits is never cut inside it.
    for handshake in (500..2000).step_by(10) {
        let cut = Some(Cut { after_bytes: handshake + after, how });
        let read = LaneFaults { cut, ..LaneFaults::default() };
        let (near, far) = pipe(64 << 10);
        let near = faulty(near, FaultConfig { read, ..FaultConfig::default() });
        let (network, tls) = (Network::new(Handle::current()), tls());
        let address = address();
        let terms = Terms::new(&tls, &Handle::current(), None);
        let both = async {
            tokio::join!(connect(near, &address, None, &tls, terms), accept(Box::new(far), &tls))
        };
        if let Ok((Ok(near), Ok(far))) = tokio::time::timeout(Duration::from_secs(5), both).await {
            return (stream(&network, near), stream(&network, far));
        }
    }
    panic!("no handshake came through");
}

#[tokio::test(start_paused = true)]
async fn an_end_without_a_close_notify_is_broken_and_no_end() {
    let (near, far) = cut_off(CutHow::End, 1000).await;
    far.write_all(&pattern(4000)).await.unwrap();
    far.shutdown(Shutdown::Write).unwrap();
    let error = read_all(&near).await.unwrap_err();
    assert!(matches!(error, ConnectionError::Broken { .. }), "{error:?}");
    assert_eq!(error.os_code(), Some(libc::ECONNRESET), "{error:?}");
    let again = near.read(&mut [0; 1]).await.unwrap_err();
    assert!(matches!(again, ConnectionError::Broken { .. }), "it stays so: {again:?}");
}

#[tokio::test(start_paused = true)]
async fn a_reset_below_is_a_reset_above() {
    let (near, far) = cut_off(CutHow::Reset, 1000).await;
    far.write_all(&pattern(4000)).await.unwrap();
    let error = read_all(&near).await.unwrap_err();
    assert_eq!(error.os_code(), Some(libc::ECONNRESET), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_peer_that_leaves_in_the_handshake_failed_to_connect_and_may_be_tried_again() {
    let (near, far) = pipe(1000);
    drop(far);
    let tls = tls();
    let terms = Terms::new(&tls, &Handle::current(), None);
    let error = connect(Box::new(near), &address(), None, &tls, terms).await.unwrap_err();
    assert!(matches!(error, ConnectionError::ConnectionFailed { .. }), "{error:?}");
    assert!(error.is_safe_to_retry());
}

#[tokio::test(start_paused = true)]
async fn a_byte_that_was_changed_on_the_way_is_never_delivered() {
    let (near, far) = pipe(64 << 10);
    let tap = Tap::default();
    let tapped = Box::new(Tapped { inner: near, tap: tap.clone() });
    let (near, far) = secured(tapped, Box::new(far)).await;
    tap.damage();
    near.write_all(b"secret").await.unwrap();
    for _ in 0..2 {
        let error = far.read(&mut [0; 10]).await.unwrap_err();
        assert_eq!(error.tls_fault(), Some(TlsFault::Protocol), "{error:?}");
    }
    let told = near.read(&mut [0; 1]).await.unwrap_err();
    assert_eq!(told.tls_fault(), Some(TlsFault::Protocol), "by an alert: {told:?}");
}

#[tokio::test(start_paused = true)]
async fn what_was_written_before_a_close_arrives_after_it() {
    let (near, far) = pipe(1000);
    let (near, far) = secured(Box::new(near), Box::new(far)).await;
    let budget = crate::budget::Budget::new(1);
    let near = near.holding(budget.try_acquire().unwrap());
    let sent = pattern(50_000);
    near.write_all(&sent).await.unwrap();
    near.close();
    assert_eq!(budget.in_use(), 1, "the rest is still to be sent");
    assert!(read_all(&far).await.unwrap() == sent);
    tokio::time::sleep(Duration::from_millis(1)).await;
    assert_eq!(budget.in_use(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_closed_stream_waits_no_longer_for_its_peer_than_it_may() {
    let (near, far) = pipe(1000);
    let (near, far) = secured(Box::new(near), Box::new(far)).await;
    let budget = crate::budget::Budget::new(1);
    let near = near.holding(budget.try_acquire().unwrap());
    near.write_all(&pattern(50_000)).await.unwrap();
    drop(near);
    tokio::time::sleep(Duration::from_millis(4999)).await;
    assert_eq!(budget.in_use(), 1);
    tokio::time::sleep(Duration::from_millis(2)).await;
    assert_eq!(budget.in_use(), 0);
    let error = read_all(&far).await.unwrap_err();
    assert!(matches!(error, ConnectionError::Broken { .. }), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn an_abort_loses_what_was_left_and_waits_for_nothing() {
    let (near, far) = pipe(1000);
    let (near, far) = secured(Box::new(near), Box::new(far)).await;
    let budget = crate::budget::Budget::new(1);
    let near = near.holding(budget.try_acquire().unwrap());
    near.write_all(&pattern(50_000)).await.unwrap();
    assert!(!near.has_delivered());
    near.abort(crate::context::CloseReason::Local);
    assert_eq!(budget.in_use(), 0);
    let error = read_all(&far).await.unwrap_err();
    assert_eq!(error.os_code(), Some(libc::ECONNRESET), "{error:?}");
}

#[tokio::test(start_paused = true)]
async fn a_writer_waits_while_what_it_wrote_before_is_left() {
    let (near, far) = pipe(1000);
    let (near, far) = secured(Box::new(near), Box::new(far)).await;
    let block = pattern(200_000);
    let Poll::Ready(Ok(n)) = near.try_write(&[IoSlice::new(&block)]) else { panic!("no room") };
    assert!((1000..=64 << 10).contains(&n), "{n}");
    assert!(near.try_write(&[IoSlice::new(&block)]).is_pending());
    let writing = async {
        near.writable().await;
        near.shutdown(Shutdown::Write).unwrap();
    };
    let ((), heard) = tokio::join!(writing, read_all(&far));
    assert!(heard.unwrap() == block[..n]);
}

#[tokio::test(start_paused = true)]
async fn a_stream_is_quiet_until_the_peer_says_something() {
    let (near, far) = pipe(1000);
    let (near, far) = secured(Box::new(near), Box::new(far)).await;
    assert!(near.is_quiet() && far.is_quiet());
    far.write_all(b"x").await.unwrap();
    assert!(!near.is_quiet());
    near.read(&mut [0; 8]).await.unwrap();
    assert!(near.is_quiet());
    far.shutdown(Shutdown::Write).unwrap();
    assert!(!near.is_quiet());
}

/// Lets bytes through as they are, until it is told to damage one.
#[derive(Clone, Debug, Default)]
struct Tap(Arc<AtomicBool>);

impl Tap {
    fn damage(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

#[derive(Debug)]
struct Tapped {
    inner: PipeEnd,
    tap: Tap,
}

impl Transport for Tapped {
    fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        self.inner.try_read(buf)
    }

    fn try_write(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        if !self.tap.0.swap(false, Ordering::Relaxed) {
            return self.inner.try_write(bufs);
        }
        let mut bytes: Vec<u8> = bufs.iter().flat_map(|buf| buf.iter().copied()).collect();
        *bytes.last_mut().unwrap() ^= 1;
        self.inner.try_write(&[IoSlice::new(&bytes)])
    }

    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.inner.poll_read_ready(cx)
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.inner.poll_write_ready(cx)
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        self.inner.shutdown(how)
    }

    fn abort(&self) {
        self.inner.abort();
    }
}
