//! Round trips of 64 bytes between two tasks.

use crate::sides::{Duplex, Threads, duplex, streams, unix};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use trunkline_benches::{Bench, Goal, Must, now, pinned};

const SIZE: usize = 64;
const WARM_UP: usize = 2_000;
const TRIPS: usize = 50_000;

pub(crate) fn compare(bench: &mut Bench) {
    for threads in [Threads::One, Threads::Two] {
        let [p50, p99] = names(threads);
        let p99_limit = if threads == Threads::One { 0.1 } else { 0.5 };
        let goals =
            |to_p50, to_p99| [goal(p50, Must::AtMost(to_p50)), goal(p99, Must::AtMost(to_p99))];
        let mut ours = || measure(threads, streams);
        bench.compare("unix socket", &goals(0.1, p99_limit), &mut ours, &mut || {
            measure(threads, unix)
        });
        bench
            .compare("tokio duplex", &goals(1.0, 1.0), &mut ours, &mut || measure(threads, duplex));
    }
}

fn goal(measure: &'static str, must: Must) -> Goal {
    Goal { measure, unit: "ns", must }
}

fn names(threads: Threads) -> [&'static str; 2] {
    match threads {
        Threads::One => ["round trip 64 B, one thread, p50", "round trip 64 B, one thread, p99"],
        Threads::Two => ["round trip 64 B, two workers, p50", "round trip 64 B, two workers, p99"],
    }
}

/// The median and the 99th percentile of many round trips, in nanoseconds.
fn measure<A: Duplex, B: Duplex>(
    threads: Threads,
    connect: impl FnOnce() -> (A, B),
) -> [(&'static str, f64); 2] {
    let mut trips = pinned(threads.cores(), || {
        let runtime = threads.runtime();
        runtime.block_on(async {
            let (near, far) = connect();
            let echoing = runtime.spawn(echo(far));
            let trips = runtime.spawn(trips(near)).await.expect("no panic");
            echoing.await.expect("no panic");
            trips
        })
    });
    let [p50, p99] = names(threads);
    [(p50, percentile(&mut trips, 50)), (p99, percentile(&mut trips, 99))]
}

async fn trips(mut end: impl Duplex) -> Vec<Duration> {
    let mut message = [7; SIZE];
    let mut times = Vec::with_capacity(TRIPS);
    for trip in 0..WARM_UP + TRIPS {
        let begun = now();
        end.write_all(&message).await.expect("the echo listens");
        end.read_exact(&mut message).await.expect("the echo answers");
        if trip >= WARM_UP {
            times.push(begun.elapsed());
        }
    }
    times
}

async fn echo(mut end: impl Duplex) {
    let mut message = [0; SIZE];
    while end.read_exact(&mut message).await.is_ok() {
        end.write_all(&message).await.expect("the caller listens");
    }
}

fn percentile(times: &mut [Duration], percent: usize) -> f64 {
    let (_, value, _) = times.select_nth_unstable(times.len() * percent / 100);
    value.as_nanos() as f64
}
