//! Relays over in-memory pipes, in virtual time.
#![expect(
    clippy::disallowed_methods,
    reason = "virtual time is read to see how much of it has passed"
)]

mod scripts;
mod socket;
#[cfg(target_os = "linux")]
mod spliced;

use super::*;
use crate::{config::PipeConfig, transport::Network};
use std::{
    future::Future,
    net::Shutdown,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};
use tokio::time::{Instant, sleep};

const IDLE: Duration = Duration::from_secs(600);
const HALF_CLOSE: Duration = Duration::from_secs(60);

/// A client and a server, each at the other end of one of the relay's two streams.
struct Bench {
    client: Stream,
    server: Stream,
    inner_client: Stream,
    inner_server: Stream,
}

fn bench(capacity: u32) -> Bench {
    let network = Network::new(tokio::runtime::Handle::current());
    let pipe = PipeConfig { capacity };
    let (client, inner_client) = network.pipe(&pipe).unwrap();
    let (inner_server, server) = network.pipe(&pipe).unwrap();
    Bench { client, server, inner_client, inner_server }
}

fn limits() -> RelayLimits {
    RelayLimits { idle: IDLE.into(), half_close: HALF_CLOSE.into(), ..RelayLimits::default() }
}

/// Runs the relay beside `script`, which has the two outer ends.
async fn relayed<T>(
    bench: Bench,
    limits: RelayLimits,
    script: impl AsyncFnOnce(Stream, Stream) -> T,
) -> (RelayOutcome, T) {
    let Bench { client, server, inner_client, inner_server } = bench;
    tokio::join!(relay(&inner_client, &inner_server, &limits), script(client, server))
}

async fn read_all(stream: &Stream) -> (Vec<u8>, Result<(), ConnectionError>) {
    let (mut all, mut chunk) = (Vec::new(), [0; 777]);
    loop {
        match stream.read(&mut chunk).await {
            Ok(0) => return (all, Ok(())),
            Ok(n) => all.extend_from_slice(&chunk[..n]),
            Err(error) => return (all, Err(error)),
        }
    }
}

fn bytes(length: usize) -> Vec<u8> {
    (0..=250).cycle().take(length).collect()
}

#[tokio::test(start_paused = true)]
async fn an_answer_still_comes_after_the_question_has_ended() {
    let (outcome, ()) = relayed(bench(100), limits(), async |client, server| {
        client.write_all(b"question").await.unwrap();
        client.shutdown(Shutdown::Write).unwrap();
        assert_eq!(read_all(&server).await.0, b"question");
        let answer = bytes(10_000);
        let (write, (read, end)) = tokio::join!(
            async {
                server.write_all(&answer).await.unwrap();
                server.shutdown(Shutdown::Write).unwrap();
            },
            read_all(&client)
        );
        assert_eq!((write, read == answer, end.is_ok()), ((), true, true));
    })
    .await;
    assert_eq!(outcome.reason, CloseReason::Finished);
    assert_eq!((outcome.to_server, outcome.to_client), (8, 10_000));
    assert!(outcome.broken.is_none());
}

#[tokio::test(start_paused = true)]
async fn a_reset_arrives_after_the_bytes_that_were_sent_before_it() {
    let sent = bytes(5_000);
    let (outcome, (read, end)) = relayed(bench(6_000), limits(), async |client, server| {
        client.write_all(&sent).await.unwrap();
        // The relay has it all, and the server nothing yet.
        while !client.has_delivered() {
            tokio::task::yield_now().await;
        }
        client.abort(CloseReason::Local);
        sleep(Duration::from_secs(5)).await;
        read_all(&server).await
    })
    .await;
    assert_eq!(read, sent);
    assert!(matches!(end, Err(ConnectionError::Broken { .. })), "{end:?}");
    assert_eq!((outcome.reason, outcome.to_server), (CloseReason::Reset, 5_000));
    assert_eq!(outcome.broken.unwrap().0, Side::Client);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_is_gone_resets_the_client_who_still_talks() {
    let (outcome, end) = relayed(bench(100), limits(), async |client, server| {
        server.write_all(b"last words").await.unwrap();
        drop(server);
        let (words, end) = read_all(&client).await;
        assert_eq!((words, end.is_ok()), (b"last words".to_vec(), true));
        loop {
            if let Err(error) = client.write(b"hello?").await {
                break error;
            }
        }
    })
    .await;
    assert!(matches!(end, ConnectionError::Broken { .. }), "{end:?}");
    assert_eq!(outcome.reason, CloseReason::Reset);
    assert_eq!(outcome.broken.unwrap().0, Side::Server);
}

#[tokio::test(start_paused = true)]
async fn silence_ends_a_relay_at_the_idle_limit_and_every_byte_puts_it_off() {
    let start = Instant::now();
    let (outcome, ()) = relayed(bench(100), limits(), async |client, server| {
        for _ in 0..3 {
            sleep(IDLE - Duration::from_secs(1)).await;
            server.write_all(b".").await.unwrap();
        }
        let (dots, end) = read_all(&client).await;
        assert_eq!(
            (dots, end.is_ok()),
            (b"...".to_vec(), true),
            "nothing is owed: closed in order"
        );
    })
    .await;
    assert_eq!(outcome.reason, CloseReason::IdleTimeout);
    assert_eq!(start.elapsed(), (IDLE - Duration::from_secs(1)) * 3 + IDLE);
}

#[tokio::test(start_paused = true)]
async fn a_relay_ends_at_its_maximum_whatever_moves() {
    const MOST: Duration = Duration::from_secs(10);
    let start = Instant::now();
    let limits = RelayLimits { max_duration: MOST.into(), ..limits() };
    let Bench { client, server, inner_client, inner_server } = bench(100);
    let run = async {
        let outcome = relay(&inner_client, &inner_server, &limits).await;
        (outcome.reason, start.elapsed())
    };
    let talk = async {
        while client.write(b".").await.is_ok() {
            let _ = server.read(&mut [0; 1]).await;
            sleep(Duration::from_millis(700)).await;
        }
    };
    let (ended, ()) = tokio::join!(run, talk);
    assert_eq!(ended, (CloseReason::MaxDuration, MOST));
}

#[tokio::test(start_paused = true)]
async fn each_way_has_its_own_rate_and_what_is_too_fast_waits_in_its_sender() {
    let start = Instant::now();
    let slow = Rate { per_second: 1_000.into(), burst: 1_000 };
    let slower = Rate { per_second: 500.into(), burst: 100 };
    let limits = RelayLimits { to_server: slow, to_client: slower, ..limits() };
    let (outcome, times) = relayed(bench(100), limits, async |client, server| {
        let send = async |stream: &Stream| {
            stream.write_all(&bytes(6_000)).await.unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
        };
        let read = async |stream: &Stream| {
            let (read, end) = read_all(stream).await;
            assert!(read == bytes(6_000) && end.is_ok());
            start.elapsed()
        };
        let (_, _, up, down) =
            tokio::join!(send(&client), send(&server), read(&server), read(&client));
        [up, down]
    })
    .await;
    assert_eq!(outcome.reason, CloseReason::Finished);
    // All but the burst at the rate, to a hundredth of a second.
    for (time, expected) in times.into_iter().zip([5_000, 11_800]) {
        let expected = Duration::from_millis(expected);
        assert!(time >= expected && time <= expected + Duration::from_millis(15), "{time:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_still_owed_bytes_is_reset_and_takes_no_part_for_the_whole() {
    let (outcome, end) = relayed(bench(100), limits(), async |client, server| {
        client.write_all(&bytes(1_000)).await.unwrap();
        sleep(IDLE).await;
        client.readable().await;
        read_all(&server).await.1
    })
    .await;
    assert_eq!(outcome.reason, CloseReason::IdleTimeout);
    assert!(matches!(end, Err(ConnectionError::Broken { .. })), "{end:?}");
}

#[tokio::test(start_paused = true)]
async fn the_second_side_has_the_half_close_limit_from_its_last_byte() {
    let start = Instant::now();
    let (outcome, ()) = relayed(bench(100), limits(), async |client, server| {
        client.shutdown(Shutdown::Write).unwrap();
        sleep(HALF_CLOSE / 2).await;
        server.write_all(b".").await.unwrap();
        assert_eq!(read_all(&client).await.0, b".");
    })
    .await;
    assert_eq!(outcome.reason, CloseReason::HalfCloseTimeout);
    assert_eq!(start.elapsed(), HALF_CLOSE / 2 + HALF_CLOSE);
}

#[tokio::test(start_paused = true)]
async fn a_half_close_limit_of_zero_ends_both_with_the_first_and_loses_nothing_of_it() {
    let limits = RelayLimits { half_close: Duration::ZERO.into(), ..limits() };
    let (outcome, (read, end)) = relayed(bench(100), limits, async |client, server| {
        let (_, read) = tokio::join!(
            async {
                client.write_all(&bytes(3_000)).await.unwrap();
                client.shutdown(Shutdown::Write).unwrap();
            },
            read_all(&server)
        );
        read
    })
    .await;
    assert_eq!((read.len(), end.is_ok()), (3_000, true));
    assert_eq!((outcome.reason, outcome.to_server), (CloseReason::HalfCloseTimeout, 3_000));
}

#[tokio::test(start_paused = true)]
async fn a_dropped_relay_closes_both_sides_as_cancelled() {
    let Bench { client, server, inner_client, inner_server } = bench(100);
    let limits = limits();
    let dropped =
        tokio::time::timeout(Duration::from_secs(1), relay(&inner_client, &inner_server, &limits));
    assert!(dropped.await.is_err());
    for (inner, outer) in [(&inner_client, &client), (&inner_server, &server)] {
        assert_eq!(inner.metrics().close_reason(), Some(CloseReason::Cancelled));
        assert_eq!(outer.read(&mut [0; 1]).await.unwrap(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_closed_from_elsewhere_ends_the_relay_with_its_reason() {
    let bench = bench(100);
    let handle = bench.inner_client.close_handle();
    let (outcome, ()) = relayed(bench, limits(), async |_client, server| {
        handle.close(CloseReason::Drained);
        assert_eq!(server.read(&mut [0; 1]).await.unwrap(), 0);
    })
    .await;
    assert_eq!(outcome.reason, CloseReason::Drained);
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test(start_paused = true)]
async fn a_relay_whose_reader_is_slow_sleeps_and_holds_no_more_than_its_buffer() {
    let Bench { client, server, inner_client, inner_server } = bench(1_000);
    let limits = RelayLimits { buffer_size: 2_000, ..limits() };
    let mut relay = pin!(relay(&inner_client, &inner_server, &limits));
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(Arc::clone(&wakes));
    let cx = &mut Context::from_waker(&waker);
    let mut poll = || assert!(relay.as_mut().poll(cx).is_pending());
    let fill = || {
        let mut taken = 0;
        while let Poll::Ready(n) = client.try_write(&[std::io::IoSlice::new(&[7; 300])]) {
            taken += n.unwrap();
        }
        taken
    };
    poll();
    let mut taken = 0;
    loop {
        match fill() {
            0 => break,
            n => taken += n,
        }
        poll();
    }
    assert!((4_000..=6_000).contains(&taken), "two pipes and one buffer: {taken}");
    let before = wakes.0.load(Ordering::Relaxed);
    tokio::task::yield_now().await;
    assert_eq!(wakes.0.load(Ordering::Relaxed), before, "nobody wakes a relay that cannot move");
    assert!(matches!(server.try_read(&mut [0; 1_000]), Poll::Ready(Ok(1_000))));
    assert!(wakes.0.load(Ordering::Relaxed) > before);
}
