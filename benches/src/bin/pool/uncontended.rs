//! One caller, who finds an idle connection each time.

use crate::sides::{Bb8, Deadpool, Ours, Pool, filled, runtime};
use trunkline_benches::{Bench, Goal, Must, now, pinned};

const CONNECTIONS: u32 = 10;
const WARM_UP: u32 = 20_000;
const CYCLES: u32 = 500_000;

const TASK: &str = "acquire and release, uncontended, in a task";
const THREAD: &str = "acquire and release, uncontended, in a thread";
const GOALS: [Goal; 2] = [goal(TASK), goal(THREAD)];

const fn goal(measure: &'static str) -> Goal {
    Goal { measure, unit: "1/s", must: Must::AtLeast(2.0) }
}

pub(crate) fn compare(bench: &mut Bench) {
    bench.compare("deadpool", &GOALS, &mut measure::<Ours>, &mut measure::<Deadpool>);
    bench.compare("bb8", &GOALS, &mut measure::<Ours>, &mut measure::<Bb8>);
}

fn measure<P: Pool>() -> [(&'static str, f64); 2] {
    pinned(2, || {
        let runtime = runtime();
        let pool = runtime.block_on(filled::<P>(CONNECTIONS));
        let in_task = runtime.spawn(in_task(pool.clone()));
        let in_task = runtime.block_on(in_task).expect("no panic");
        let _entered = runtime.enter();
        [(TASK, in_task), (THREAD, in_thread(&pool))]
    })
}

async fn in_task<P: Pool>(pool: P) -> f64 {
    for _ in 0..WARM_UP {
        drop(pool.acquire().await);
    }
    let begun = now();
    for _ in 0..CYCLES {
        drop(pool.acquire().await);
    }
    f64::from(CYCLES) / begun.elapsed().as_secs_f64()
}

fn in_thread<P: Pool>(pool: &P) -> f64 {
    let cycle = || assert!(pool.try_acquire().is_some(), "a connection is idle");
    (0..WARM_UP).for_each(|_| cycle());
    let begun = now();
    (0..CYCLES).for_each(|_| cycle());
    f64::from(CYCLES) / begun.elapsed().as_secs_f64()
}
