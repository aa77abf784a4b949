//! Throughput of large writes, copied and handed over.

use crate::sides::{Duplex, Threads, duplex, pipe, streams, timed, unix};
use bytes::Bytes;
use std::hint::black_box;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use trunkline_benches::{Bench, Goal, Must, now, pinned};

const SIZE: usize = 64 << 10;
const WRITES: usize = 20_000;
/// Each takes a nap or two of the scheduler, whatever its size.
const HAND_OVERS: usize = 200_000;
/// What is copied to and from at one time by the bound: it stays in the first cache, as a ring's window may.
const WINDOW: usize = 8 << 10;

const COPIED: &str = "64 KiB writes, copied, one thread";
const OWNED: &str = "64 KiB buffers, handed over, one thread";

pub(crate) fn compare(bench: &mut Bench) {
    let mut ours = || copied(pipe);
    bench.compare("unix socket", &[goal(COPIED, 2.0)], &mut ours, &mut || copied(unix));
    bench.compare("tokio duplex", &[goal(COPIED, 1.0)], &mut ours, &mut || copied(duplex));
    bench.compare("two plain copies", &[goal(COPIED, 0.85)], &mut ours, &mut plain_copies);
    bench.compare("unix socket, copied", &[goal(OWNED, 20.0)], &mut handed_over, &mut || {
        let [(_, rate)] = copied(unix);
        [(OWNED, rate)]
    });
}

fn goal(measure: &'static str, limit: f64) -> Goal {
    Goal { measure, unit: "GiB/s", must: Must::AtLeast(limit) }
}

fn gib(bytes: usize, seconds: f64) -> f64 {
    bytes as f64 / seconds / f64::from(1 << 30)
}

fn copied<A: Duplex, B: Duplex>(connect: impl FnOnce() -> (A, B)) -> [(&'static str, f64); 1] {
    let seconds = timed(Threads::One, || {
        let (mut near, mut far) = connect();
        let writing = async move {
            let message = vec![7; SIZE];
            for _ in 0..WRITES {
                near.write_all(&message).await.expect("the reader reads");
            }
        };
        let reading = async move {
            let mut taken = vec![0; SIZE];
            let mut left = WRITES * SIZE;
            while left > 0 {
                left -= far.read(&mut taken).await.expect("the writer writes");
            }
        };
        (writing, reading)
    });
    [(COPIED, gib(WRITES * SIZE, seconds))]
}

/// What nothing that copies in and out again is faster than.
fn plain_copies() -> [(&'static str, f64); 1] {
    let (from, mut window, mut to) = (vec![7_u8; SIZE], vec![0; WINDOW], vec![0; SIZE]);
    let started = now();
    pinned(1, || {
        for _ in 0..WRITES {
            for at in (0..SIZE).step_by(WINDOW) {
                window.copy_from_slice(black_box(&from[at..at + WINDOW]));
                to[at..at + WINDOW].copy_from_slice(black_box(&window));
            }
            black_box(&mut to);
        }
    });
    [(COPIED, gib(WRITES * SIZE, started.elapsed().as_secs_f64()))]
}

/// Through streams, as programs do it; the same bytes are sent again and again.
fn handed_over() -> [(&'static str, f64); 1] {
    let seconds = timed(Threads::One, || {
        let (near, far) = streams();
        let writing = async move {
            let message = Bytes::from(vec![7; SIZE]);
            for _ in 0..HAND_OVERS {
                near.send_buf(&mut message.clone()).await.expect("the reader reads");
            }
        };
        let reading = async move {
            let mut left = HAND_OVERS * SIZE;
            while left > 0 {
                left -= far.recv_buf(usize::MAX).await.expect("the writer writes").len();
            }
        };
        (writing, reading)
    });
    [(OWNED, gib(HAND_OVERS * SIZE, seconds))]
}
