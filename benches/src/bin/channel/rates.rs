//! What a call costs a client's thread at a rate that it finds easy.

use crate::sides::{Client, Ours, Tonic, runtime};
use bytes::Bytes;
use rustix::time::{ClockId, clock_gettime};
use std::{net::SocketAddr, time::Duration};
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval_at},
};
use trunkline_benches::{Bench, Goal, Must, now, pinned};

const CALLERS: u32 = 16;
const RATE: u32 = 4_000;
const SECONDS: u32 = 2;
const CPU: Goal =
    Goal {
        measure: "client's CPU per call, 64 B at 4,000/s", unit: "µs", must: Must::AtMost(1.0)
    };

pub(crate) fn compare(bench: &mut Bench, server: SocketAddr) {
    let (mut ours, mut theirs) = (|| cpu::<Ours>(server), || cpu::<Tonic>(server));
    bench.compare("tonic's channel", &[CPU], &mut ours, &mut theirs);
}

fn cpu<C: Client>(server: SocketAddr) -> [(&'static str, f64); 1] {
    let each = pinned(1, || {
        runtime().block_on(async {
            let client = C::connect(server).await;
            let before = of_this_thread();
            let calls = keep_pace(&client).await;
            (of_this_thread() - before).as_secs_f64() * 1e6 / f64::from(calls)
        })
    });
    [(CPU.measure, each)]
}

/// Calls at the rate, each caller in its turn.
async fn keep_pace<C: Client>(client: &C) -> u32 {
    let period = Duration::from_secs(1) * CALLERS / RATE;
    let turns = RATE * SECONDS / CALLERS;
    let begin = now() + Duration::from_millis(20);
    let message = Bytes::from_static(&[7; 64]);
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let (client, message) = (client.clone(), message.clone());
        let first = begin + period * caller / CALLERS;
        callers.spawn(async move {
            let mut turn = interval_at(first.into(), period);
            turn.set_missed_tick_behavior(MissedTickBehavior::Burst);
            for _ in 0..turns {
                turn.tick().await;
                client.echo(message.clone()).await;
            }
        });
    }
    while let Some(ended) = callers.join_next().await {
        ended.expect("a caller that got its answers");
    }
    turns * CALLERS
}

fn of_this_thread() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}
