//! Both ends of a pipe together, as claims.

use super::{
    PipeEnd, pair,
    testing::{bytes_from, read, read_to_end, write, write_all},
};
use crate::{config::PipeConfig, transport::Transport};
use bytes::{Buf, Bytes};
use proptest::prelude::*;
use std::{
    collections::VecDeque,
    future::poll_fn,
    io::{ErrorKind, IoSlice},
    net::Shutdown,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::{Context, Wake, Waker},
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

fn pipe(capacity: u32) -> (PipeEnd, PipeEnd) {
    pair(&PipeConfig { capacity }).unwrap()
}

fn try_write(end: &PipeEnd, bytes: &[u8]) -> Result<usize, ErrorKind> {
    end.try_write(&[IoSlice::new(bytes)]).map_err(|error| error.kind())
}

fn try_read(end: &PipeEnd, size: usize) -> Result<Vec<u8>, ErrorKind> {
    let mut buf = vec![0; size];
    let n = end.try_read(&mut buf).map_err(|error| error.kind())?;
    buf.truncate(n);
    Ok(buf)
}

#[derive(Default)]
struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl Wakes {
    fn waker() -> (Arc<Self>, Waker) {
        let wakes = Arc::new(Self::default());
        (Arc::clone(&wakes), Waker::from(wakes))
    }

    fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

#[test]
fn a_writer_gets_no_further_than_the_capacity() {
    let (a, b) = pipe(10);
    assert_eq!(try_write(&a, &[1; 7]), Ok(7));
    assert_eq!(try_write(&a, &[2; 7]), Ok(3));
    assert_eq!(try_write(&a, &[3; 7]), Err(ErrorKind::WouldBlock));
    assert_eq!(try_read(&b, 99), Ok(vec![1, 1, 1, 1, 1, 1, 1, 2, 2, 2]));
    assert_eq!(try_read(&b, 99), Err(ErrorKind::WouldBlock));
    assert_eq!(try_write(&b, &[4]), Ok(1), "the other way has a capacity of its own");
}

#[test]
fn nothing_is_read_and_written_at_once_whatever_the_state() {
    let (a, b) = pipe(1);
    assert_eq!((try_read(&a, 0), try_write(&a, b"")), (Ok(vec![]), Ok(0)), "empty");
    try_write(&a, b"x").unwrap();
    assert_eq!(try_write(&a, b""), Ok(0), "full");
    b.abort();
    assert_eq!((try_read(&a, 0), try_write(&a, b"")), (Ok(vec![]), Ok(0)), "aborted");
}

#[test]
fn one_wake_per_edge_and_none_for_nobody() {
    let (a, b) = pipe(2);
    let (reader, reader_waker) = Wakes::waker();
    let (writer, writer_waker) = Wakes::waker();
    let read_cx = &mut Context::from_waker(&reader_waker);
    let write_cx = &mut Context::from_waker(&writer_waker);

    assert!(b.poll_read_ready(read_cx).is_pending());
    try_write(&a, b"1").unwrap();
    try_write(&a, b"2").unwrap();
    assert_eq!(reader.count(), 1);

    assert!(a.poll_write_ready(write_cx).is_pending());
    try_read(&b, 1).unwrap();
    try_read(&b, 1).unwrap();
    assert_eq!(writer.count(), 1);

    assert!(a.poll_write_ready(write_cx).is_ready());
    try_write(&a, b"3").unwrap();
    try_read(&b, 1).unwrap();
    assert_eq!((reader.count(), writer.count()), (1, 1), "nobody waited");
}

#[test]
fn the_newest_waiter_is_the_one_that_is_woken() {
    let (a, b) = pipe(1);
    let (old, old_waker) = Wakes::waker();
    let (new, new_waker) = Wakes::waker();
    assert!(b.poll_read_ready(&mut Context::from_waker(&old_waker)).is_pending());
    assert!(b.poll_read_ready(&mut Context::from_waker(&new_waker)).is_pending());
    try_write(&a, b"x").unwrap();
    assert_eq!((old.count(), new.count()), (0, 1));
}

/// A waker that goes on with the pipe at once, as an executor without a queue would.
struct Reenters(PipeEnd);

impl Wake for Reenters {
    fn wake(self: Arc<Self>) {
        assert_eq!(try_read(&self.0, 1), Ok(b"x".to_vec()));
    }
}

#[test]
fn a_waker_may_use_the_pipe_that_wakes_it() {
    let (a, b) = pipe(1);
    let reenters = Arc::new(Reenters(b));
    let waker = Waker::from(Arc::clone(&reenters));
    assert!(reenters.0.poll_read_ready(&mut Context::from_waker(&waker)).is_pending());
    drop(waker);
    assert_eq!(try_write(&a, b"x"), Ok(1));
    assert_eq!(try_write(&a, b"y"), Ok(1), "the waker has made room");
}

#[tokio::test]
async fn a_half_close_ends_one_direction_after_its_last_byte() {
    let (client, server) = pipe(64);
    write_all(&client, b"request").await.unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(try_write(&client, b"more"), Err(ErrorKind::BrokenPipe));

    assert_eq!(read_to_end(&server).await.unwrap(), b"request");
    write_all(&server, b"answer").await.unwrap();
    drop(server);
    assert_eq!(read_to_end(&client).await.unwrap(), b"answer");
}

#[test]
fn who_wants_no_more_breaks_the_peers_writes_and_loses_what_was_not_read() {
    let (a, b) = pipe(64);
    try_write(&a, b"unread").unwrap();
    b.shutdown(Shutdown::Read).unwrap();
    assert_eq!(try_read(&b, 9), Ok(vec![]));
    assert_eq!(try_write(&a, b"more"), Err(ErrorKind::BrokenPipe));
    assert_eq!(try_write(&b, b"back"), Ok(4));
    assert_eq!(try_read(&a, 9), Ok(b"back".to_vec()));
}

#[test]
fn a_drop_is_an_orderly_end() {
    let (a, b) = pipe(64);
    try_write(&a, b"last words").unwrap();
    drop(a);
    assert_eq!(try_write(&b, b"answer"), Err(ErrorKind::BrokenPipe));
    assert_eq!(try_read(&b, 99), Ok(b"last words".to_vec()));
    assert_eq!(try_read(&b, 99), Ok(vec![]));
    b.shutdown(Shutdown::Both).unwrap();
}

#[test]
fn an_abort_is_a_reset_for_the_peer_at_once_and_stays_one() {
    let (a, b) = pipe(64);
    try_write(&a, b"never read").unwrap();
    a.abort();
    drop(a);
    for _ in 0..2 {
        assert_eq!(try_read(&b, 9), Err(ErrorKind::ConnectionReset));
        assert_eq!(try_write(&b, b"x"), Err(ErrorKind::ConnectionReset));
    }
    assert_eq!(b.shutdown(Shutdown::Write).unwrap_err().kind(), ErrorKind::NotConnected);
}

#[test]
fn after_its_own_abort_an_end_is_not_connected() {
    let (a, b) = pipe(64);
    a.abort();
    b.abort();
    assert_eq!(try_read(&a, 9), Err(ErrorKind::NotConnected));
    assert_eq!(try_write(&a, b"x"), Err(ErrorKind::NotConnected));
}

/// Each way in which an end can leave, and what a reader and a writer at the other end then see.
type Leave = (fn(PipeEnd) -> Option<PipeEnd>, Result<usize, ErrorKind>, ErrorKind);

const LEAVES: [Leave; 3] = [
    (|_| None, Ok(0), ErrorKind::BrokenPipe),
    (
        |end| {
            // An error, where the peer has aborted before.
            let _ = end.shutdown(Shutdown::Both);
            Some(end)
        },
        Ok(0),
        ErrorKind::BrokenPipe,
    ),
    (
        |end| {
            end.abort();
            Some(end)
        },
        Err(ErrorKind::ConnectionReset),
        ErrorKind::ConnectionReset,
    ),
];

#[tokio::test]
async fn whoever_waits_is_woken_when_the_peer_leaves() {
    for (leave, read_sees, write_sees) in LEAVES {
        let (a, b) = pipe(1);
        try_write(&a, b"x").unwrap();
        let (mut buf, mut left) = ([0], None);
        let (was_read, was_written, ()) = tokio::join!(
            biased;
            read(&a, &mut buf),
            write(&a, b"y"),
            async { left = leave(b) },
        );
        assert_eq!(was_read.map_err(|e| e.kind()), read_sees);
        assert_eq!(was_written.unwrap_err().kind(), write_sees);
    }
}

#[tokio::test]
async fn whoever_waits_is_woken_by_the_abort_of_its_own_end() {
    let (a, _b) = pipe(1);
    try_write(&a, b"x").unwrap();
    let mut buf = [0];
    let (was_read, was_written, ()) =
        tokio::join!(biased; read(&a, &mut buf), write(&a, b"y"), async { a.abort() });
    assert_eq!(was_read.unwrap_err().kind(), ErrorKind::NotConnected);
    assert_eq!(was_written.unwrap_err().kind(), ErrorKind::NotConnected);
}

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "two tasks on one thread")]
async fn a_task_for_which_a_pipe_is_always_ready_lets_others_run() {
    let stop = Arc::new(AtomicBool::new(false));
    let hog = {
        let stop = Arc::clone(&stop);
        tokio::spawn(async move {
            let (a, _b) = pipe(1);
            while !stop.load(Ordering::SeqCst) {
                poll_fn(|cx| a.poll_write_ready(cx)).await;
            }
        })
    };
    tokio::task::yield_now().await;
    stop.store(true, Ordering::SeqCst);
    hog.await.unwrap();
}

/// Writes the test stream in odd chunks, with an empty and a split part in each call.
async fn send(end: &PipeEnd, total: usize, seed: u64) {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut sent = 0;
    while sent < total {
        let chunk = bytes_from(sent as u64, random.usize(1..=9973).min(total - sent));
        let (first, second) = chunk.split_at(random.usize(..=chunk.len()));
        let parts = [IoSlice::new(first), IoSlice::new(&[]), IoSlice::new(second)];
        match end.try_write(&parts) {
            Ok(n) => sent += n,
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                poll_fn(|cx| end.poll_write_ready(cx)).await;
            }
            Err(error) => panic!("after {sent} bytes: {error}"),
        }
    }
    end.shutdown(Shutdown::Write).unwrap();
}

/// Reads to the end in odd chunks, sometimes slowly, and compares each byte; returns how many came.
async fn check(end: &PipeEnd, seed: u64) -> usize {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut got = 0;
    let mut buf = vec![0; 7919];
    loop {
        let size = random.usize(1..=buf.len());
        match read(end, &mut buf[..size]).await.unwrap() {
            0 => return got,
            n => {
                assert!(buf[..n] == bytes_from(got as u64, n), "a byte after {got} is wrong");
                got += n;
            }
        }
        if random.u8(..) < 8 {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[expect(clippy::disallowed_methods, reason = "both ends on different workers")]
async fn megabytes_cross_in_order_both_ways_at_once() {
    for (capacity, total) in [(1, 5_003), (7, 50_021), (4097, 500_009), (65536, 3_000_017)] {
        let ends = pipe(capacity);
        let ends = [Arc::new(ends.0), Arc::new(ends.1)];
        let mut tasks = Vec::new();
        for (seed, end) in (1..).zip(&ends) {
            let (out, back) = (Arc::clone(end), Arc::clone(end));
            tasks.push(tokio::spawn(async move {
                send(&out, total, seed).await;
                total
            }));
            tasks.push(tokio::spawn(async move { check(&back, seed + 10).await }));
        }
        for task in tasks {
            assert_eq!(task.await.unwrap(), total, "capacity {capacity}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::disallowed_methods, reason = "both ends on different workers")]
async fn two_ends_that_write_before_they_read_get_through_up_to_the_capacity() {
    let (a, b) = pipe(1000);
    let both = [a, b].map(|end| {
        tokio::spawn(async move {
            write_all(&end, &[7; 1000]).await.unwrap();
            end.shutdown(Shutdown::Write).unwrap();
            read_to_end(&end).await.unwrap().len()
        })
    });
    for end in both {
        assert_eq!(end.await.unwrap(), 1000);
    }
}

/// Writes until `limit` bytes are taken or the peer stops it; says how many were taken.
async fn send_until(end: &PipeEnd, limit: usize) -> (usize, Option<ErrorKind>) {
    let mut sent = 0;
    while sent < limit {
        match write(end, &bytes_from(sent as u64, 997.min(limit - sent))).await {
            Ok(n) => sent += n,
            Err(error) => return (sent, Some(error.kind())),
        }
    }
    (sent, None)
}

/// Reads until `limit` bytes came or the stream ends; says how many came.
async fn check_until(end: &PipeEnd, limit: usize) -> (usize, Option<ErrorKind>) {
    let (mut got, mut buf) = (0, vec![0; 1499]);
    while got < limit {
        let size = buf.len().min(limit - got);
        match read(end, &mut buf[..size]).await {
            Ok(0) => return (got, None),
            Ok(n) => {
                assert!(buf[..n] == bytes_from(got as u64, n), "a byte after {got} is wrong");
                got += n;
            }
            Err(error) => return (got, Some(error.kind())),
        }
    }
    (got, None)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
#[expect(clippy::disallowed_methods, reason = "both ends on different workers")]
async fn every_byte_is_accounted_for_wherever_an_end_leaves() {
    const CAPACITY: usize = 4096;
    for round in 0..600 {
        let mut random = fastrand::Rng::with_seed(round);
        let (writer, reader) = pipe(CAPACITY as u32);
        let (write_limit, read_limit) = (random.usize(..50_000), random.usize(..50_000));
        let (writer_leaves, reader_leaves) = (random.usize(..3), random.usize(..3));
        let sender = tokio::spawn(async move {
            let answer = send_until(&writer, write_limit).await;
            (answer, LEAVES[writer_leaves].0(writer))
        });
        let (got, read_error) = check_until(&reader, read_limit).await;
        let left = LEAVES[reader_leaves].0(reader);
        let ((sent, write_error), _held) = sender.await.unwrap();
        drop(left);

        let lost_at_most = if read_error.is_some() { sent } else { CAPACITY };
        assert!(got <= sent && sent - got <= lost_at_most, "{got} of {sent}");
        match read_error {
            None => assert_eq!(got, read_limit.min(write_limit), "an orderly end loses nothing"),
            Some(error) => {
                assert_eq!((error, writer_leaves), (ErrorKind::ConnectionReset, 2));
                assert_eq!(sent, write_limit, "the writer had written what it wanted");
            }
        }
        if let Some(error) = write_error {
            assert_eq!(got, read_limit, "a write fails only because the reader has left");
            let expected = LEAVES[reader_leaves].2;
            assert_eq!(error, expected);
        }
    }
}

/// One direction on paper: the bytes between, and how it ended.
#[derive(Debug, Default)]
struct Paper {
    held: VecDeque<u8>,
    finished: bool,
    refused: bool,
    /// Whether the writer was it.
    aborted: Option<bool>,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Write(usize),
    Send(usize),
    Read(usize),
    Receive(usize),
    Finish,
    Refuse,
    Abort(bool),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => (0usize..40).prop_map(Step::Write),
        10 => (0usize..9000).prop_map(Step::Send),
        20 => (0usize..40).prop_map(Step::Read),
        10 => (0usize..9000).prop_map(Step::Receive),
        1 => Just(Step::Finish),
        1 => Just(Step::Refuse),
        1 => any::<bool>().prop_map(Step::Abort),
    ]
}

impl Paper {
    fn write(&mut self, bytes: &[u8], capacity: usize) -> Result<usize, ErrorKind> {
        match self.aborted {
            _ if bytes.is_empty() => return Ok(0),
            Some(true) => return Err(ErrorKind::NotConnected),
            Some(false) => return Err(ErrorKind::ConnectionReset),
            None if self.finished || self.refused => return Err(ErrorKind::BrokenPipe),
            None => {}
        }
        let n = bytes.len().min(capacity - self.held.len());
        self.held.extend(&bytes[..n]);
        if n == 0 { Err(ErrorKind::WouldBlock) } else { Ok(n) }
    }

    /// `got` is what came, of which there may be less than could be asked for.
    fn read(&mut self, size: usize, got: usize) -> Result<Vec<u8>, ErrorKind> {
        match self.aborted {
            _ if size == 0 => return Ok(Vec::new()),
            Some(true) => return Err(ErrorKind::ConnectionReset),
            Some(false) => return Err(ErrorKind::NotConnected),
            None => {}
        }
        let some = size.min(self.held.len());
        match got.clamp(some.min(1), some) {
            0 if !self.finished && !self.refused => Err(ErrorKind::WouldBlock),
            n => Ok(self.held.drain(..n).collect()),
        }
    }

    fn end(&mut self, step: Step) {
        match step {
            Step::Finish => self.finished = true,
            Step::Refuse => self.refused = true,
            Step::Abort(by_writer) => self.aborted = self.aborted.or(Some(by_writer)),
            Step::Write(_) | Step::Send(_) | Step::Read(_) | Step::Receive(_) => {}
        }
        if self.refused || self.aborted.is_some() {
            self.held.clear();
        }
    }

    fn is_over(&self) -> bool {
        self.finished || self.refused || self.aborted.is_some()
    }
}

proptest! {
    #[test]
    fn a_direction_agrees_with_its_paper_model(
        capacity in prop_oneof![1u32..64, 4000u32..20_000],
        steps in proptest::collection::vec(step(), 1..200),
    ) {
        let (writer, reader) = pipe(capacity);
        let (mut paper, mut written) = (Paper::default(), 0);
        let cx = &mut Context::from_waker(Waker::noop());
        for step in steps {
            match step {
                Step::Write(size) | Step::Send(size) => {
                    let bytes = bytes_from(written, size);
                    let answer = if matches!(step, Step::Write(_)) {
                        let halves = bytes.split_at(size / 2);
                        writer.try_write(&[IoSlice::new(halves.0), IoSlice::new(halves.1)])
                    } else {
                        writer.try_send_buf(&mut bytes.clone().into())
                    };
                    let answer = answer.map_err(|e| e.kind());
                    prop_assert_eq!(answer, paper.write(&bytes, capacity as usize));
                    written += answer.unwrap_or(0) as u64;
                }
                Step::Read(size) | Step::Receive(size) => {
                    let answer = if matches!(step, Step::Read(_)) {
                        try_read(&reader, size)
                    } else {
                        reader.try_recv_buf(size).map(Vec::from).map_err(|e| e.kind())
                    };
                    let got = answer.as_ref().map_or(0, Vec::len);
                    prop_assert_eq!(answer, paper.read(size, got));
                }
                Step::Finish => _ = writer.shutdown(Shutdown::Write),
                Step::Refuse => _ = reader.shutdown(Shutdown::Read),
                Step::Abort(true) => writer.abort(),
                Step::Abort(false) => reader.abort(),
            }
            paper.end(step);
            let (some, room) = (!paper.held.is_empty(), paper.held.len() < capacity as usize);
            prop_assert_eq!(reader.poll_read_ready(cx).is_ready(), paper.is_over() || some);
            prop_assert_eq!(writer.poll_write_ready(cx).is_ready(), paper.is_over() || room);
            let left = paper.refused || paper.aborted.is_some();
            prop_assert_eq!(writer.has_delivered(), left || !some);
        }
    }
}

#[tokio::test]
async fn handed_buffers_and_copied_bytes_keep_their_order() {
    let (a, b) = pipe(20_000);
    let sending = async {
        let mut sent = 0;
        for (number, size) in (0u64..400).zip([7, 5000, 300, 20_000, 1, 33_000].into_iter().cycle())
        {
            let mut piece = Bytes::from(bytes_from(sent, size));
            while !piece.is_empty() {
                let answer = if number % 3 == 0 {
                    let n = a.try_write(&[IoSlice::new(&piece)]);
                    n.inspect(|n| piece.advance(*n))
                } else {
                    a.try_send_buf(&mut piece)
                };
                match answer {
                    Ok(n) => sent += n as u64,
                    Err(_) => poll_fn(|cx| a.poll_write_ready(cx)).await,
                }
            }
        }
        a.shutdown(Shutdown::Write).unwrap();
        sent
    };
    let (sent, got) = tokio::join!(sending, check(&b, 3));
    assert_eq!(sent, got as u64);
}

#[tokio::test]
async fn tokios_traits_see_what_the_readiness_form_sees() {
    let (mut a, mut b) = pipe(1000);
    let sending = async {
        let n = a.write_vectored(&[IoSlice::new(b"one"), IoSlice::new(b"two")]).await.unwrap();
        assert_eq!(n, 6);
        a.write_all(&bytes_from(0, 50_000)).await.unwrap();
        AsyncWriteExt::shutdown(&mut a).await.unwrap();
        assert_eq!(a.write(b"x").await.unwrap_err().kind(), ErrorKind::BrokenPipe);
        let mut rest = Vec::new();
        assert_eq!(a.read_to_end(&mut rest).await.unwrap_err().kind(), ErrorKind::ConnectionReset);
    };
    let receiving = async {
        let mut all = Vec::new();
        b.read_to_end(&mut all).await.unwrap();
        assert!(all[..6] == *b"onetwo" && all[6..] == bytes_from(0, 50_000));
        b.abort();
    };
    tokio::join!(sending, receiving);
}

#[test]
fn many_threads_on_each_end_lose_and_invent_nothing() {
    const EACH: usize = 40_000;
    let (a, b) = pipe(999);
    let sum = |end: &PipeEnd| {
        let (mut sum, mut count) = (0u64, 0);
        let mut buf = [0; 700];
        loop {
            match end.try_read(&mut buf) {
                Ok(0) => return (sum, count),
                Ok(n) => {
                    sum += buf[..n].iter().map(|byte| u64::from(*byte)).sum::<u64>();
                    count += n;
                }
                Err(_) => std::thread::yield_now(),
            }
        }
    };
    let totals = std::thread::scope(|scope| {
        let readers = [0; 3].map(|_| scope.spawn(|| sum(&b)));
        let writers = [1, 2, 3].map(|byte| {
            let a = &a;
            scope.spawn(move || {
                let mut left = EACH;
                while left > 0 {
                    match try_write(a, &vec![byte; left.min(300)]) {
                        Ok(n) => left -= n,
                        Err(_) => std::thread::yield_now(),
                    }
                }
            })
        });
        for writer in writers {
            writer.join().unwrap();
        }
        a.shutdown(Shutdown::Write).unwrap();
        readers.map(|reader| reader.join().unwrap())
    });
    let (sum, count) = totals.iter().fold((0, 0), |(s, c), (sum, count)| (s + sum, c + count));
    assert_eq!((sum, count), (6 * EACH as u64, 3 * EACH));
}
