//! Messages of 64 bytes one way, as fast as writer and reader can.

use crate::sides::{Duplex, Threads, duplex, pipe, timed, unix};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use trunkline_benches::{Bench, Goal, Must};

const SIZE: usize = 64;
const MESSAGES: usize = 1_000_000;
/// Sockets are so much slower that fewer do.
const MESSAGES_OF_SOCKETS: usize = 100_000;
/// What the reader takes at one time, at most.
const TAKEN: usize = 16 << 10;

const ONE: &str = "64 B one way, one thread";
const TWO: &str = "64 B one way, two workers";

pub(crate) fn compare(bench: &mut Bench) {
    for (name, threads, of_duplex) in [(ONE, Threads::One, 1.5), (TWO, Threads::Two, 2.0)] {
        let mut ours = || rate(name, threads, MESSAGES, pipe);
        let mut peer = || rate(name, threads, MESSAGES, duplex);
        bench.compare("tokio duplex", &[goal(name, of_duplex)], &mut ours, &mut peer);
        let mut peer = || rate(name, threads, MESSAGES_OF_SOCKETS, unix);
        bench.compare("unix socket", &[goal(name, 25.0)], &mut ours, &mut peer);
    }
}

fn goal(measure: &'static str, limit: f64) -> Goal {
    Goal { measure, unit: "M/s", must: Must::AtLeast(limit) }
}

/// Millions of messages per second.
fn rate<A: Duplex, B: Duplex>(
    name: &'static str,
    threads: Threads,
    messages: usize,
    connect: impl FnOnce() -> (A, B),
) -> [(&'static str, f64); 1] {
    let seconds = timed(threads, || {
        let (mut near, mut far) = connect();
        let writing = async move {
            let message = [7; SIZE];
            for _ in 0..messages {
                near.write_all(&message).await.expect("the reader reads");
            }
        };
        let reading = async move {
            let mut taken = [0; TAKEN];
            let mut left = messages * SIZE;
            while left > 0 {
                left -= far.read(&mut taken).await.expect("the writer writes");
            }
        };
        (writing, reading)
    });
    [(name, messages as f64 / seconds / 1e6)]
}
