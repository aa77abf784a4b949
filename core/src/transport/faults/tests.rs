//! Faults over pipes under paused time, as claims.

use super::{Cut, CutHow, FaultConfig, Faulty, LaneFaults};
use crate::{
    config::PipeConfig,
    error::ConnectionError,
    transport::{
        Transport,
        pipe::{
            PipeEnd, pair,
            testing::{bytes_from, read, read_to_end, write, write_all},
        },
    },
};
use std::{
    io::ErrorKind,
    net::Shutdown,
    num::{NonZeroU64, NonZeroUsize},
    time::Duration,
};
use tokio::{
    runtime::Handle,
    time::{Instant, timeout},
};

const HOUR: Duration = Duration::from_secs(3600);

fn milliseconds(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn faulty(config: FaultConfig) -> (Faulty<PipeEnd>, PipeEnd) {
    let (near, far) = pair(&PipeConfig::default()).unwrap();
    (Faulty::new(near, config, Handle::current()).unwrap(), far)
}

fn on_reads(read: LaneFaults) -> (Faulty<PipeEnd>, PipeEnd) {
    faulty(FaultConfig { read, ..FaultConfig::default() })
}

fn on_writes(write: LaneFaults) -> (Faulty<PipeEnd>, PipeEnd) {
    faulty(FaultConfig { write, ..FaultConfig::default() })
}

fn cut(after_bytes: u64, how: CutHow) -> LaneFaults {
    LaneFaults { cut: Some(Cut { after_bytes, how }), ..LaneFaults::default() }
}

fn delay(from: u64, to: u64) -> LaneFaults {
    LaneFaults {
        delay: Some(milliseconds(from)..=milliseconds(to)),
        max_chunk: NonZeroUsize::new(1000),
        ..LaneFaults::default()
    }
}

#[expect(clippy::disallowed_methods, reason = "the paused clock of the test")]
fn now() -> Instant {
    Instant::now()
}

#[tokio::test(start_paused = true)]
async fn without_faults_nothing_is_different() {
    let (near, far) = faulty(FaultConfig::default());
    let sent = bytes_from(0, 300_000);
    let (answer, (), got) = tokio::join!(
        async {
            write_all(&near, &sent).await.unwrap();
            near.shutdown(Shutdown::Write).unwrap();
            read_to_end(&near).await
        },
        async { write_all(&far, b"back").await.unwrap() },
        async {
            let got = read_to_end(&far).await.unwrap();
            far.shutdown(Shutdown::Write).unwrap();
            got
        },
    );
    assert_eq!(answer.unwrap(), b"back");
    assert!(got == sent);
}

#[tokio::test(start_paused = true)]
async fn each_chunk_is_held_back_for_its_delay() {
    let (near, far) = on_writes(delay(10, 10));
    let start = now();
    for _ in 0..5 {
        write(&near, b"x").await.unwrap();
    }
    // Tokio's timer may round each of them up to its next millisecond.
    let took = start.elapsed();
    assert!((milliseconds(50)..=milliseconds(55)).contains(&took), "{took:?}");
    drop(near);
    assert_eq!(read_to_end(&far).await.unwrap(), b"xxxxx");
}

#[tokio::test(start_paused = true)]
async fn a_delay_begins_when_there_is_something_to_delay() {
    let (near, far) = on_reads(delay(10, 10));
    let reader = async {
        let mut buf = [0; 9];
        let n = read(&near, &mut buf).await.unwrap();
        (n, now())
    };
    let writer = async {
        tokio::time::sleep(HOUR).await;
        write_all(&far, b"late").await.unwrap();
        now()
    };
    let ((n, read_at), written_at) = tokio::join!(reader, writer);
    assert_eq!(n, 4);
    assert!(read_at >= written_at + milliseconds(10));
}

#[tokio::test(start_paused = true)]
async fn short_reads_and_writes_lose_nothing() {
    let short = LaneFaults { max_chunk: NonZeroUsize::new(7), ..LaneFaults::default() };
    let config = FaultConfig { seed: 3, read: short.clone(), write: short };
    let (near, far) = faulty(config);
    let sent = bytes_from(0, 10_000);
    let send = async {
        let mut rest = &sent[..];
        while !rest.is_empty() {
            let n = write(&near, rest).await.unwrap();
            assert!((1..=7).contains(&n));
            rest = &rest[n..];
        }
        near.shutdown(Shutdown::Write).unwrap();
    };
    let echo = async {
        let got = read_to_end(&far).await.unwrap();
        write_all(&far, &got).await.unwrap();
        far.shutdown(Shutdown::Write).unwrap();
    };
    let back = async {
        let (mut all, mut buf) = (Vec::new(), [0; 100]);
        loop {
            match read(&near, &mut buf).await.unwrap() {
                0 => return all,
                n => {
                    assert!(n <= 7);
                    all.extend_from_slice(&buf[..n]);
                }
            }
        }
    };
    let ((), (), back) = tokio::join!(send, echo, back);
    assert!(back == sent);
}

#[tokio::test(start_paused = true)]
async fn an_orderly_cut_of_reads_comes_after_exactly_so_many_bytes() {
    let (near, far) = on_reads(cut(1000, CutHow::End));
    write_all(&far, &bytes_from(0, 5000)).await.unwrap();
    assert!(read_to_end(&near).await.unwrap() == bytes_from(0, 1000));
    assert_eq!(write(&far, b"x").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
    write_all(&near, b"the other way is whole").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_orderly_cut_of_writes_ends_what_the_peer_reads() {
    let (near, far) = on_writes(cut(1000, CutHow::End));
    assert_eq!(write(&near, &bytes_from(0, 5000)).await.unwrap(), 1000);
    assert_eq!(write(&near, b"x").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
    assert!(read_to_end(&far).await.unwrap() == bytes_from(0, 1000));
}

#[tokio::test(start_paused = true)]
async fn a_cut_by_reset_is_one_for_both_directions_of_both_sides() {
    let (near, far) = on_writes(cut(3, CutHow::Reset));
    let mut buf = [0];
    let (waiting, written) = tokio::join!(biased; read(&near, &mut buf), write(&near, b"abcdef"));
    assert_eq!(written.unwrap(), 3);
    assert_eq!(waiting.unwrap_err().kind(), ErrorKind::ConnectionReset, "it was woken");
    for end in [&near as &dyn Transport, &far] {
        assert_eq!(read(end, &mut [0]).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
        assert_eq!(write(end, b"x").await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    }
}

#[tokio::test(start_paused = true)]
async fn a_cut_after_nothing_is_there_from_the_start() {
    let (near, far) = on_reads(cut(0, CutHow::End));
    assert_eq!(write(&far, b"x").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
    assert_eq!(read(&near, &mut [0]).await.unwrap(), 0);
    let (near, far) = on_reads(cut(0, CutHow::Reset));
    for end in [&near as &dyn Transport, &far] {
        assert_eq!(read(end, &mut [0]).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    }
}

#[tokio::test(start_paused = true)]
async fn silence_lasts_until_the_owner_ends_it() {
    let (near, far) = on_reads(cut(2, CutHow::Silence));
    write_all(&far, b"abcd").await.unwrap();
    drop(far);
    assert_eq!(read(&near, &mut [0; 9]).await.unwrap(), 2);
    let mut buf = [0; 9];
    assert!(timeout(HOUR, read(&near, &mut buf)).await.is_err());

    let (ended, ()) = tokio::join!(biased; read(&near, &mut buf), async { near.abort() });
    assert_eq!(ended.unwrap_err().kind(), ErrorKind::NotConnected);
}

#[tokio::test(start_paused = true)]
async fn one_byte_in_so_many_is_changed_on_the_way() {
    let corrupt = LaneFaults { corrupt_one_in: NonZeroU64::new(100), ..LaneFaults::default() };
    let (near, far) = faulty(FaultConfig { seed: 5, read: corrupt.clone(), write: corrupt });
    let sent = bytes_from(0, 10_000);
    write_all(&near, &sent).await.unwrap();
    write_all(&far, &sent).await.unwrap();
    near.shutdown(Shutdown::Write).unwrap();
    far.shutdown(Shutdown::Write).unwrap();
    let (there, back) = (read_to_end(&far).await.unwrap(), read_to_end(&near).await.unwrap());
    for got in [&there, &back] {
        for (got, sent) in got.chunks(100).zip(sent.chunks(100)) {
            assert_eq!(got.iter().zip(sent).filter(|(a, b)| a != b).count(), 1);
        }
    }
    assert_ne!(there, back, "the directions draw independently");
}

/// What a fixed exchange looks like from outside: the size and time of each read and write.
async fn trace(seed: u64) -> Vec<(usize, Duration)> {
    let (near, far) = faulty(FaultConfig { seed, read: delay(0, 50), write: delay(0, 50) });
    let start = now();
    let mut trace = Vec::new();
    write_all(&far, &bytes_from(0, 20_000)).await.unwrap();
    let mut buf = [0; 5000];
    for _ in 0..20 {
        let n = write(&near, &bytes_from(0, 5000)).await.unwrap();
        trace.push((n, start.elapsed()));
        let n = read(&near, &mut buf).await.unwrap();
        trace.push((n, start.elapsed()));
    }
    trace
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_gives_the_same_faults_at_the_same_times() {
    for seed in 0..5 {
        assert_eq!(trace(seed).await, trace(seed).await);
        assert_ne!(trace(seed).await, trace(seed + 1).await);
    }
}

#[tokio::test(start_paused = true)]
async fn a_chunk_that_is_held_back_is_let_go_by_the_owners_shutdown() {
    let (near, far) = on_reads(delay(60_000, 60_000));
    write_all(&far, b"x").await.unwrap();
    let start = now();
    let mut buf = [0];
    let (ended, ()) = tokio::join!(biased;
        read(&near, &mut buf),
        async { near.shutdown(Shutdown::Read).unwrap() },
    );
    assert_eq!(ended.unwrap(), 0);
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_drop_leaves_no_timer_behind() {
    let (near, far) = on_reads(delay(60_000, 60_000));
    write_all(&far, b"x").await.unwrap();
    let mut buf = [0];
    assert!(timeout(milliseconds(1), read(&near, &mut buf)).await.is_err());
    assert_eq!(Handle::current().metrics().num_alive_tasks(), 1);
    drop(near);
    tokio::task::yield_now().await;
    assert_eq!(Handle::current().metrics().num_alive_tasks(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_stream_gets_through_every_fault_that_loses_nothing() {
    let rough = LaneFaults {
        delay: Some(Duration::ZERO..=milliseconds(20)),
        max_chunk: NonZeroUsize::new(3000),
        ..LaneFaults::default()
    };
    let (near, far) = pair(&PipeConfig { capacity: 1000 }).unwrap();
    let [near, far] = [(near, 1), (far, 2)].map(|(end, seed)| {
        let config = FaultConfig { seed, read: rough.clone(), write: rough.clone() };
        Faulty::new(end, config, Handle::current()).unwrap()
    });
    let sent = bytes_from(0, 300_000);
    let (near, far, sent) = (&near, &far, &sent);
    let send = async |end: &Faulty<PipeEnd>| {
        write_all(end, sent).await.unwrap();
        end.shutdown(Shutdown::Write).unwrap();
    };
    let ((), (), there, back) =
        tokio::join!(send(near), send(far), read_to_end(far), read_to_end(near));
    assert!(there.unwrap() == *sent && back.unwrap() == *sent);
}

#[test]
fn a_delay_from_longer_to_shorter_is_refused() {
    let config = FaultConfig { write: delay(2, 1), ..FaultConfig::default() };
    let error = config.validate().unwrap_err();
    assert!(matches!(error, ConnectionError::InvalidConfig { .. }), "{error}");
    assert!(error.to_string().starts_with("write.delay: "), "{error}");
}
