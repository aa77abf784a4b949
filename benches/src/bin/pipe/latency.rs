//! Round trips of 64 bytes between two tasks.

use crate::sides::{Duplex, Threads, duplex, pipe, streams, unix};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::Notify,
};
use trunkline_benches::{Bench, Goal, Must, now, pinned};

const SIZE: usize = 64;
const WARM_UP: usize = 2_000;
const TRIPS: usize = 50_000;

/// The names under which the median and the 99th percentile are filed.
type Names = [&'static str; 2];

const ONE: Names = ["round trip 64 B, one thread, p50", "round trip 64 B, one thread, p99"];
const TWO: Names = ["round trip 64 B, two workers, p50", "round trip 64 B, two workers, p99"];
const STREAM: Names =
    ["stream round trip 64 B, one thread, p50", "stream round trip 64 B, one thread, p99"];

pub(crate) fn compare(bench: &mut Bench) {
    let mut ours = || measure(ONE, Threads::One, pipe);
    let goals = |p50, p99| [goal(ONE[0], p50), goal(ONE[1], p99)];
    let mut peer = || measure(ONE, Threads::One, unix);
    bench.compare("unix socket", &goals(0.1, 0.1), &mut ours, &mut peer);
    let mut peer = || measure(ONE, Threads::One, duplex);
    bench.compare("tokio duplex", &goals(1.0, 1.0), &mut ours, &mut peer);
    bench.compare("two Notify", &goals(1.1, 1.1), &mut ours, &mut floor);

    let mut ours = || measure(TWO, Threads::Two, pipe);
    let goals = |p50, p99| [goal(TWO[0], p50), goal(TWO[1], p99)];
    let mut peer = || measure(TWO, Threads::Two, unix);
    bench.compare("unix socket", &goals(0.1, 0.5), &mut ours, &mut peer);
    let mut peer = || measure(TWO, Threads::Two, duplex);
    bench.compare("tokio duplex", &goals(1.0, 1.0), &mut ours, &mut peer);

    let goals = STREAM.map(|measure| Goal { measure, unit: "ns", must: Must::Tell });
    let mut ours = || measure(STREAM, Threads::One, streams);
    let mut peer = || measure(STREAM, Threads::One, pipe);
    bench.compare("our bare pipe", &goals, &mut ours, &mut peer);
}

fn goal(measure: &'static str, limit: f64) -> Goal {
    Goal { measure, unit: "ns", must: Must::AtMost(limit) }
}

/// The median and the 99th percentile of many round trips, in nanoseconds.
fn measure<A: Duplex, B: Duplex>(
    names: Names,
    threads: Threads,
    connect: impl FnOnce() -> (A, B),
) -> [(&'static str, f64); 2] {
    in_two_tasks(names, threads, || {
        let (near, far) = connect();
        (trips(near), echo(far))
    })
}

/// What no pipe is faster than: two tasks that do nothing but wake each other.
fn floor() -> [(&'static str, f64); 2] {
    in_two_tasks(ONE, Threads::One, || {
        let (there, back) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (their_there, their_back) = (Arc::clone(&there), Arc::clone(&back));
        let near = async move {
            let mut laps = Laps::new();
            for _ in 0..WARM_UP + TRIPS {
                there.notify_one();
                back.notified().await;
                laps.lap();
            }
            laps.without_warm_up()
        };
        let far = async move {
            for _ in 0..WARM_UP + TRIPS {
                their_there.notified().await;
                their_back.notify_one();
            }
        };
        (near, far)
    })
}

fn in_two_tasks<N, F>(
    [p50, p99]: Names,
    threads: Threads,
    connect: impl FnOnce() -> (N, F),
) -> [(&'static str, f64); 2]
where
    N: Future<Output = Vec<Duration>> + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let mut times = pinned(threads.cores(), || {
        let runtime = threads.runtime();
        runtime.block_on(async {
            let (near, far) = connect();
            let answering = runtime.spawn(far);
            let times = runtime.spawn(near).await.expect("no panic");
            answering.await.expect("no panic");
            times
        })
    });
    [(p50, percentile(&mut times, 50)), (p99, percentile(&mut times, 99))]
}

/// Takes the time from one trip to the next.
struct Laps {
    times: Vec<Duration>,
    before: Instant,
}

impl Laps {
    fn new() -> Self {
        Self { times: Vec::with_capacity(WARM_UP + TRIPS), before: now() }
    }

    fn lap(&mut self) {
        let after = now();
        self.times.push(after - self.before);
        self.before = after;
    }

    fn without_warm_up(mut self) -> Vec<Duration> {
        self.times.split_off(WARM_UP)
    }
}

async fn trips(mut end: impl Duplex) -> Vec<Duration> {
    let mut message = [7; SIZE];
    let mut laps = Laps::new();
    for _ in 0..WARM_UP + TRIPS {
        end.write_all(&message).await.expect("the echo listens");
        end.read_exact(&mut message).await.expect("the echo answers");
        laps.lap();
    }
    laps.without_warm_up()
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
