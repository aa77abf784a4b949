//! Relays between real sockets, whose bytes the kernel moves.

use super::*;
use crate::{
    config::ByteLimit,
    context::{Direction, Protocol},
    relay::{Rate, conduit::Conduit, driver::Relay},
    transport::{Pipes, Transport},
};
use proptest::prelude::*;
use std::{
    io::{self, IoSlice, Read, Write},
    os::fd::BorrowedFd,
};
use tokio::{io::Interest, net::UnixStream};

const ALWAYS: ByteLimit = ByteLimit::After(0);

fn splicing() -> RelayLimits {
    RelayLimits { splice_after: ALWAYS, ..limits() }
}

fn managed(network: &Network, protocol: Protocol, transport: Box<dyn Transport>) -> Stream {
    network.stream(protocol, Direction::Dialled, transport, None, None)
}

fn unix_pair(network: &Network) -> (Stream, Stream) {
    let (a, b) = UnixStream::pair().unwrap();
    let stream = |end| managed(network, Protocol::Unix, Box::new(end));
    (stream(a), stream(b))
}

async fn tcp_pair(network: &Network) -> (Stream, Stream) {
    let listener = network.listen(&"tcp://127.0.0.1:0".parse().unwrap()).await.unwrap();
    let dialled = network.connect(listener.address(), None).await.unwrap();
    (dialled, listener.accept().await.unwrap())
}

async fn sockets(network: &Network, protocol: Protocol) -> Bench {
    let pair = async || match protocol {
        Protocol::Unix => unix_pair(network),
        _ => tcp_pair(network).await,
    };
    let (client, inner_client) = pair().await;
    let (inner_server, server) = pair().await;
    Bench { client, server, inner_client, inner_server }
}

/// What one side writes, at once as far as it fits; it ends by a half-close, or by a reset.
#[derive(Clone, Debug)]
struct Script {
    writes: Vec<usize>,
    aborts: bool,
}

fn script(may_abort: bool) -> impl Strategy<Value = Script> {
    let length = prop_oneof![1usize..5_000, 50_000usize..300_000];
    let aborts = proptest::bool::weighted(if may_abort { 0.25 } else { 0.0 });
    (proptest::collection::vec(length, 0..5), aborts)
        .prop_map(|(writes, aborts)| Script { writes, aborts })
}

/// Plays a script, reads everything meanwhile, and says what was sent and what was read.
async fn play(stream: &Stream, script: &Script) -> (Vec<u8>, Vec<u8>) {
    let talk = async {
        let mut sent = Vec::new();
        for length in &script.writes {
            let chunk: Vec<u8> = (0..*length).map(|at| ((sent.len() + at) / 7) as u8).collect();
            let mut left = &chunk[..];
            while !left.is_empty() {
                // The other side may have reset us.
                let Ok(n) = stream.write(left).await else { return sent };
                sent.extend_from_slice(&left[..n]);
                left = &left[n..];
            }
            tokio::task::yield_now().await;
        }
        if script.aborts {
            stream.abort(CloseReason::Local);
        } else {
            let _ = stream.shutdown(Shutdown::Write);
        }
        sent
    };
    let (sent, (read, _)) = tokio::join!(talk, read_all(stream));
    (sent, read)
}

type Conversation = (RelayOutcome, (Vec<u8>, Vec<u8>), (Vec<u8>, Vec<u8>));

fn run(
    protocol: Protocol,
    scripts: &(Script, Script),
    limits: RelayLimits,
    pipes: &Pipes,
) -> Conversation {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let network = Network::new(tokio::runtime::Handle::current());
        let bench = sockets(&network, protocol).await;
        let mut relay =
            Relay::new(&bench.inner_client, &bench.inner_server, &limits).splicing(pipes);
        tokio::join!(relay.run(), play(&bench.client, &scripts.0), play(&bench.server, &scripts.1))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn every_conversation_between_sockets_arrives_byte_for_byte(
        (protocol, scripts) in prop_oneof![
            // A Unix socket has no reset of its own.
            (Just(Protocol::Unix), (script(false), script(false))),
            (Just(Protocol::Tcp), (script(true), script(true))),
        ],
        after in prop_oneof![Just(0u64), 1u64..100_000],
        (pipe_size, max_pipes, buffer_size) in (4096usize..200_000, 0u64..3, 1usize..70_000),
    ) {
        let pipes = Pipes::new(max_pipes, pipe_size);
        let limits = RelayLimits { splice_after: after.into(), buffer_size, ..limits() };
        let (outcome, client, server) = run(protocol, &scripts, limits, &pipes);
        let ((client_sent, client_read), (server_sent, server_read)) = (client, server);
        prop_assert!(client_sent.starts_with(&server_read), "the server read what nobody sent");
        prop_assert!(server_sent.starts_with(&client_read), "the client read what nobody sent");
        if !scripts.0.aborts && !scripts.1.aborts {
            prop_assert_eq!(outcome.reason, CloseReason::Finished);
            prop_assert!(client_sent == server_read && server_sent == client_read);
        }
        if !scripts.1.aborts {
            prop_assert_eq!(outcome.to_server, server_read.len() as u64);
        }
        if !scripts.0.aborts {
            prop_assert_eq!(outcome.to_client, client_read.len() as u64);
        }
        prop_assert!(pipes.spliced() <= outcome.to_server + outcome.to_client);
        prop_assert_eq!(pipes.in_use(), 0);
    }
}

#[tokio::test]
async fn bulk_is_spliced_above_the_volume_and_nothing_before() {
    let network = Network::new(tokio::runtime::Handle::current());
    for (length, after, is_spliced) in [
        (100_000, ByteLimit::After(100_000), false),
        (4 << 20, ByteLimit::After(100_000), true),
        (4 << 20, ByteLimit::Never, false),
    ] {
        let bench = sockets(&network, Protocol::Tcp).await;
        let pipes = Pipes::new(2, 64 << 10);
        let limits = RelayLimits { splice_after: after, ..limits() };
        let mut relay =
            Relay::new(&bench.inner_client, &bench.inner_server, &limits).splicing(&pipes);
        let one_way = async {
            let sent = bytes(length);
            let (_, read) = tokio::join!(
                async {
                    bench.client.write_all(&sent).await.unwrap();
                    bench.client.shutdown(Shutdown::Write).unwrap();
                },
                read_all(&bench.server)
            );
            assert!(read.0 == sent && read.1.is_ok());
            bench.server.shutdown(Shutdown::Write).unwrap();
        };
        let (outcome, ()) = tokio::join!(relay.run(), one_way);
        assert_eq!((outcome.reason, outcome.to_server), (CloseReason::Finished, length as u64));
        assert_eq!(pipes.spliced() > 0, is_spliced, "{after}: {}", pipes.spliced());
        // Counted per chunk at both streams, and whole.
        let (near, far) = (bench.inner_client.metrics(), bench.inner_server.metrics());
        assert_eq!((near.bytes_received(), far.bytes_sent()), (length as u64, length as u64));
    }
}

/// Writes until nothing fits any more and some of it is within the relay; says how much it was.
async fn fill_up(bench: &Bench, sent: &[u8]) -> usize {
    let mut n = 0;
    let is_inside = || {
        bench.inner_client.metrics().bytes_received() > bench.inner_server.metrics().bytes_sent()
    };
    loop {
        assert!(n < sent.len(), "it all fitted without a reader");
        match bench.client.try_write(&[IoSlice::new(&sent[n..])]) {
            Poll::Ready(written) => n += written.unwrap(),
            Poll::Pending if is_inside() => return n,
            Poll::Pending => tokio::task::yield_now().await,
        }
    }
}

#[tokio::test]
async fn a_reset_arrives_after_what_the_pipe_still_holds() {
    const PIPE: usize = 32 << 10;
    let network = Network::new(tokio::runtime::Handle::current());
    let bench = sockets(&network, Protocol::Tcp).await;
    let (pipes, limits) = (Pipes::new(2, PIPE), splicing());
    let mut relay = Relay::new(&bench.inner_client, &bench.inner_server, &limits).splicing(&pipes);
    let sent = bytes(64 << 20);
    let script = async {
        fill_up(&bench, &sent).await;
        let (taken, given) = (
            bench.inner_client.metrics().bytes_received(),
            bench.inner_server.metrics().bytes_sent(),
        );
        assert!(taken - given <= PIPE as u64, "a reader that stalls costs one pipe");
        bench.client.abort(CloseReason::Local);
        read_all(&bench.server).await
    };
    let (outcome, (read, end)) = tokio::join!(relay.run(), script);
    assert!(matches!(end, Err(ConnectionError::Broken { .. })), "{end:?}");
    assert_eq!(outcome.broken.unwrap().0, Side::Client);
    assert_eq!(read.len() as u64, bench.inner_client.metrics().bytes_received());
    assert!(sent.starts_with(&read));
    assert!(pipes.spliced() > 0);
}

#[tokio::test]
async fn a_server_that_is_gone_is_told_to_the_client_and_the_pipe_is_given_back() {
    let network = Network::new(tokio::runtime::Handle::current());
    for protocol in [Protocol::Unix, Protocol::Tcp] {
        let bench = sockets(&network, protocol).await;
        let (pipes, limits) = (Pipes::new(2, 64 << 10), splicing());
        let mut relay =
            Relay::new(&bench.inner_client, &bench.inner_server, &limits).splicing(&pipes);
        let script = async {
            fill_up(&bench, &bytes(64 << 20)).await;
            bench.server.close();
            while bench.client.write(&[7; 1000]).await.is_ok() {}
        };
        let (outcome, ()) = tokio::join!(relay.run(), script);
        assert_eq!(outcome.reason, CloseReason::Reset);
        assert_eq!(outcome.broken.unwrap().0, Side::Server);
        assert_eq!(pipes.in_use(), 0);
    }
}

#[tokio::test]
async fn one_pipe_serves_one_direction_and_the_other_is_copied() {
    const LENGTH: usize = 6 << 20;
    let network = Network::new(tokio::runtime::Handle::current());
    let bench = sockets(&network, Protocol::Tcp).await;
    let (pipes, limits) = (Pipes::new(1, 64 << 10), splicing());
    let mut relay = Relay::new(&bench.inner_client, &bench.inner_server, &limits).splicing(&pipes);
    let sent = bytes(LENGTH);
    let talk = async |stream: &Stream| {
        let write = async {
            stream.write_all(&sent).await.unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
        };
        let (_, read) = tokio::join!(write, read_all(stream));
        assert!(read.0 == sent && read.1.is_ok());
        assert!(pipes.in_use() <= 1);
    };
    let (outcome, ..) = tokio::join!(relay.run(), talk(&bench.client), talk(&bench.server));
    assert_eq!(outcome.reason, CloseReason::Finished);
    assert!(pipes.spliced() > 0 && pipes.spliced() < 2 * LENGTH as u64);
}

/// A socket that reads and writes, but is not spliced one of the ways.
#[derive(Debug)]
struct Refusing {
    socket: UnixStream,
    refused: Interest,
}

impl Transport for Refusing {
    fn try_read(&self, buf: &mut [u8]) -> io::Result<usize> {
        Transport::try_read(&self.socket, buf)
    }

    fn try_write(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        Transport::try_write(&self.socket, bufs)
    }

    fn poll_read_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        Transport::poll_read_ready(&self.socket, cx)
    }

    fn poll_write_ready(&self, cx: &mut Context<'_>) -> Poll<()> {
        Transport::poll_write_ready(&self.socket, cx)
    }

    fn shutdown(&self, how: Shutdown) -> io::Result<()> {
        Transport::shutdown(&self.socket, how)
    }

    fn abort(&self) {}

    fn socket(&self) -> Option<BorrowedFd<'_>> {
        self.socket.socket()
    }

    fn try_socket(
        &self,
        interest: Interest,
        call: &mut dyn FnMut(BorrowedFd<'_>) -> io::Result<usize>,
    ) -> Option<io::Result<usize>> {
        if interest == self.refused {
            return Some(Err(io::Error::from_raw_os_error(libc::EINVAL)));
        }
        self.socket.try_socket(interest, call)
    }
}

#[tokio::test]
async fn what_a_socket_refuses_to_splice_is_copied_in_its_place() {
    let network = Network::new(tokio::runtime::Handle::current());
    for refused in [Interest::READABLE, Interest::WRITABLE] {
        let (client, inner_client) = unix_pair(&network);
        let (near, far) = UnixStream::pair().unwrap();
        let refusing = Refusing { socket: near, refused };
        let inner_server = managed(&network, Protocol::Unix, Box::new(refusing));
        let server = managed(&network, Protocol::Unix, Box::new(far));
        let (pipes, limits) = (Pipes::new(2, 64 << 10), splicing());
        let mut relay = Relay::new(&inner_client, &inner_server, &limits).splicing(&pipes);
        let both = (Script { writes: vec![900_000], aborts: false }, 3 << 20);
        let answer = Script { writes: vec![both.1], aborts: false };
        let (outcome, client, server) =
            tokio::join!(relay.run(), play(&client, &both.0), play(&server, &answer));
        assert_eq!(outcome.reason, CloseReason::Finished, "{:?}", outcome.broken);
        assert!(client.0 == server.1 && server.0 == client.1);
        assert_eq!(pipes.in_use(), 0);
        let other_way = if refused == Interest::READABLE { 900_000 } else { both.1 };
        assert!(pipes.spliced() > 0 && pipes.spliced() <= other_way as u64);
    }
}

#[tokio::test]
async fn a_pipe_without_content_is_given_back_after_a_silence() {
    let network = Network::new(tokio::runtime::Handle::current());
    let (near, source) = unix_pair(&network);
    let (to, far) = unix_pair(&network);
    let pipes = Pipes::new(1, 64 << 10);
    let mut conduit = Conduit::new(1000, ALWAYS);
    for round in 0..3 {
        // The first chunk of each bulk is copied.
        for is_spliced in [false, true] {
            source.write_all(b"a chunk").await.unwrap();
            near.readable().await;
            assert!(matches!(conduit.fill(&near, usize::MAX, Some(&pipes)), Poll::Ready(Ok(7))));
            assert!(!conduit.has_spare_pipe(), "what is held is not given back");
            conduit.start_small();
            assert_eq!(pipes.in_use(), u64::from(is_spliced), "round {round}");
            assert!(matches!(conduit.pass(&to), Poll::Ready(Ok(7))));
            let mut chunk = [0; 9];
            assert_eq!(far.read(&mut chunk).await.unwrap(), 7);
        }
        assert!(conduit.has_spare_pipe());
        conduit.start_small();
        assert_eq!(pipes.in_use(), 0);
    }
    assert_eq!(pipes.spliced(), 21);
}

#[tokio::test]
async fn a_limited_direction_is_spliced_in_bounded_pieces() {
    const RATE: u64 = 64 << 20;
    const LENGTH: usize = 4 << 20;
    let network = Network::new(tokio::runtime::Handle::current());
    let bench = sockets(&network, Protocol::Tcp).await;
    let rate = Rate { per_second: RATE.into(), burst: 32 << 10 };
    let (pipes, limits) = (Pipes::new(2, 1 << 20), RelayLimits { to_server: rate, ..splicing() });
    let mut relay = Relay::new(&bench.inner_client, &bench.inner_server, &limits).splicing(&pipes);
    let (up, down) = (
        Script { writes: vec![LENGTH], aborts: false },
        Script { writes: vec![LENGTH], aborts: false },
    );
    let start = std::time::Instant::now();
    let (outcome, client, server) =
        tokio::join!(relay.run(), play(&bench.client, &up), play(&bench.server, &down));
    assert_eq!(outcome.reason, CloseReason::Finished);
    assert!(client.0 == server.1 && server.0 == client.1);
    assert!(pipes.spliced() > LENGTH as u64, "both ways");
    // A clock never shows too little.
    let least = Duration::from_nanos((LENGTH as u64 - (32 << 10)) * 1_000_000_000 / RATE);
    assert!(start.elapsed() >= least, "{:?} < {least:?}", start.elapsed());
}

#[test]
fn however_much_there_is_to_carry_one_turn_carries_no_more_than_a_burst() {
    const LENGTH: usize = 64 << 20;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let network = Network::new(tokio::runtime::Handle::current());
        let end = |end: std::os::unix::net::UnixStream| {
            end.set_nonblocking(true).unwrap();
            let socket = UnixStream::from_std(end).unwrap();
            managed(&network, Protocol::Unix, Box::new(socket))
        };
        // Threads of their own keep one side full and the other empty.
        let (mut client, near) = std::os::unix::net::UnixStream::pair().unwrap();
        let (far, mut server) = std::os::unix::net::UnixStream::pair().unwrap();
        let writer = std::thread::spawn(move || client.write_all(&bytes(LENGTH)).unwrap());
        let reader = std::thread::spawn(move || {
            let mut read = Vec::new();
            server.read_to_end(&mut read).unwrap();
            read == bytes(LENGTH)
        });
        let (near, far) = (end(near), end(far));
        let (pipes, limits) = (Pipes::new(2, 1 << 20), splicing());
        let mut relay = Relay::new(&near, &far, &limits).splicing(&pipes);
        let mut run = pin!(relay.run());
        let mut turns = 0_u64;
        let outcome = std::future::poll_fn(|cx| {
            let before = far.metrics().bytes_sent();
            let polled = run.as_mut().poll(cx);
            turns += 1;
            let carried = far.metrics().bytes_sent() - before;
            assert!(carried <= 3 << 20, "{carried} in one turn");
            polled
        })
        .await;
        assert_eq!((outcome.to_server, reader.join().unwrap()), (LENGTH as u64, true));
        writer.join().unwrap();
        assert!(turns > 20 && pipes.spliced() > 0, "{turns} turns");
    });
}
