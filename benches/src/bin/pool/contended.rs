//! Many tasks on few connections: how many are served, and how long they wait.

use crate::sides::{Bb8, Deadpool, Ours, Pool, Turns, filled, runtime};
use std::time::Duration;
use tokio::{runtime::Runtime, task::yield_now};
use trunkline_benches::{Bench, Goal, Must, now, percentile, pinned};

/// Acquires of all tasks together, in each of the two passes.
const ACQUIRES: usize = 200_000;

struct Crowd {
    tasks: usize,
    connections: u32,
    /// What is measured: acquires per second, and the waits that 99 % and 99.9 % do not exceed.
    measures: [&'static str; 3],
}

const CROWDS: [Crowd; 4] = [
    Crowd {
        tasks: 64,
        connections: 10,
        measures: ["64 tasks on 10: acquires", "64 on 10: wait p99", "64 on 10: wait p99.9"],
    },
    Crowd {
        tasks: 64,
        connections: 50,
        measures: ["64 tasks on 50: acquires", "64 on 50: wait p99", "64 on 50: wait p99.9"],
    },
    Crowd {
        tasks: 1000,
        connections: 10,
        measures: ["1000 tasks on 10: acquires", "1000 on 10: wait p99", "1000 on 10: wait p99.9"],
    },
    Crowd {
        tasks: 1000,
        connections: 50,
        measures: ["1000 tasks on 50: acquires", "1000 on 50: wait p99", "1000 on 50: wait p99.9"],
    },
];

pub(crate) fn compare(bench: &mut Bench) {
    for crowd in &CROWDS {
        let mut ours = || crowd.measure::<Ours>();
        bench
            .compare("deadpool", &crowd.goals(1.0), &mut ours, &mut || crowd.measure::<Deadpool>());
        bench.compare("bb8", &crowd.goals(0.2), &mut ours, &mut || crowd.measure::<Bb8>());
        let told = [Goal { must: Must::Tell, ..crowd.goals(1.0)[0] }];
        let mut ours = || [crowd.rate::<Ours>()];
        bench.compare("two turns of a task", &told, &mut ours, &mut || [crowd.rate::<Turns>()]);
    }
}

impl Crowd {
    fn goals(&self, wait: f64) -> [Goal; 3] {
        let [rate, p99, p999] = self.measures;
        let wait = |measure| Goal { measure, unit: "us", must: Must::AtMost(wait) };
        [Goal { measure: rate, unit: "1/s", must: Must::AtLeast(1.5) }, wait(p99), wait(p999)]
    }

    /// The waits come from a pass of their own: reading the clock would take part of the rate.
    fn measure<P: Pool>(&self) -> [(&'static str, f64); 3] {
        pinned(2, || {
            let runtime = runtime();
            let pool = runtime.block_on(filled::<P>(self.connections));
            let begun = now();
            self.run(&runtime, || serve(pool.clone(), self.turns()));
            let rate = (self.tasks * self.turns()) as f64 / begun.elapsed().as_secs_f64();
            let waits = self.run(&runtime, || timed(pool.clone(), self.turns()));
            let mut waits = waits.into_iter().flatten().collect::<Vec<_>>();
            let [a, b, c] = self.measures;
            let mut wait = |part| percentile(&mut waits, part).as_secs_f64() * 1e6;
            [(a, rate), (b, wait(0.99)), (c, wait(0.999))]
        })
    }

    fn rate<P: Pool>(&self) -> (&'static str, f64) {
        self.measure::<P>()[0]
    }

    fn turns(&self) -> usize {
        ACQUIRES / self.tasks
    }

    /// Runs one task for each of the crowd, and says what each of them returns.
    fn run<F>(&self, runtime: &Runtime, task: impl Fn() -> F + Send) -> Vec<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        runtime.block_on(async {
            let tasks: Vec<_> = (0..self.tasks).map(|_| runtime.spawn(task())).collect();
            let mut results = Vec::new();
            for task in tasks {
                results.push(task.await.expect("no panic"));
            }
            results
        })
    }
}

async fn serve<P: Pool>(pool: P, turns: usize) {
    for _ in 0..turns {
        let lease = pool.acquire().await;
        yield_now().await;
        drop(lease);
    }
}

async fn timed<P: Pool>(pool: P, turns: usize) -> Vec<Duration> {
    let mut waits = Vec::with_capacity(turns);
    for _ in 0..turns {
        let begun = now();
        let lease = pool.acquire().await;
        waits.push(begun.elapsed());
        yield_now().await;
        drop(lease);
    }
    waits
}
