//! Calls of one message in Rust: how many in a second, by size and by how many are under way at once.

use crate::{
    server::{LARGE, MESSAGES},
    sides::{Client, Ours, Tonic, runtime},
};
use bytes::Bytes;
use std::net::SocketAddr;
use tokio::task::JoinSet;
use trunkline_benches::{Bench, Goal, Must, now, pinned};

const PEER: &str = "tonic's channel";

struct Crowd {
    goal: Goal,
    size: usize,
    callers: usize,
    /// Calls of all together.
    calls: usize,
}

const fn crowd(measure: &'static str, size: usize, callers: usize, calls: usize) -> Crowd {
    Crowd { goal: Goal { measure, unit: "1/s", must: Must::AtLeast(1.0) }, size, callers, calls }
}

const CROWDS: [Crowd; 6] = [
    crowd("unary 64 B, one at a time", 64, 1, 6_000),
    crowd("unary 64 B, 64 at a time", 64, 64, 40_000),
    crowd("unary 64 B, 1000 at a time", 64, 1000, 40_000),
    crowd("unary 16 KiB, one at a time", 16 << 10, 1, 4_000),
    crowd("unary 16 KiB, 64 at a time", 16 << 10, 64, 15_000),
    crowd("unary 16 KiB, 1000 at a time", 16 << 10, 1000, 15_000),
];

const FEED: Goal =
    Goal { measure: "stream of 1 MiB messages", unit: "MiB/s", must: Must::AtLeast(1.0) };

pub(crate) fn compare(bench: &mut Bench, server: SocketAddr) {
    for crowd in &CROWDS {
        let (mut ours, mut theirs) =
            (|| calls::<Ours>(crowd, server), || calls::<Tonic>(crowd, server));
        bench.compare(PEER, &[crowd.goal], &mut ours, &mut theirs);
    }
    let (mut ours, mut theirs) = (|| feed::<Ours>(server), || feed::<Tonic>(server));
    bench.compare(PEER, &[FEED], &mut ours, &mut theirs);
}

fn calls<C: Client>(crowd: &Crowd, server: SocketAddr) -> [(&'static str, f64); 1] {
    let rate = pinned(1, || {
        runtime().block_on(async {
            let client = C::connect(server).await;
            run(&client, crowd, crowd.calls / 10).await;
            let begun = now();
            let made = run(&client, crowd, crowd.calls).await;
            made as f64 / begun.elapsed().as_secs_f64()
        })
    });
    [(crowd.goal.measure, rate)]
}

/// Makes about so many calls, shared by all callers; says how many.
async fn run<C: Client>(client: &C, crowd: &Crowd, calls: usize) -> usize {
    let each = calls.div_ceil(crowd.callers);
    let message = Bytes::from(vec![7; crowd.size]);
    let mut callers = JoinSet::new();
    for _ in 0..crowd.callers {
        let (client, message) = (client.clone(), message.clone());
        callers.spawn(async move {
            for _ in 0..each {
                let answer = client.echo(message.clone()).await;
                assert_eq!(answer.len(), message.len(), "it comes back whole");
            }
        });
    }
    while let Some(ended) = callers.join_next().await {
        ended.expect("a caller that got its answers");
    }
    each * crowd.callers
}

fn feed<C: Client>(server: SocketAddr) -> [(&'static str, f64); 1] {
    let rate = pinned(1, || {
        runtime().block_on(async {
            let client = C::connect(server).await;
            let begun = now();
            let bytes = client.feed().await;
            assert_eq!(bytes, LARGE * MESSAGES, "every message comes");
            bytes as f64 / f64::from(1 << 20) / begun.elapsed().as_secs_f64()
        })
    });
    [(FEED.measure, rate)]
}
