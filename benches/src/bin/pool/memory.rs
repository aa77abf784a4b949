//! What a pool keeps for each of its connections, beyond the connection.

use crate::sides::{Connection, Ours, Pool, filled, runtime};
use std::{mem::size_of, time::Duration};
use tokio::{runtime::Runtime, time::sleep};
use trunkline_benches::{Bench, alloc::held_by};

/// The seed's figure, in bytes.
const LIMIT: f64 = 200.0;
/// Time that tasks get to end.
const SETTLES: Duration = Duration::from_millis(100);

pub(crate) fn compare(bench: &mut Bench) {
    for (measure, connections) in [
        ("memory per connection of 10, beyond itself", 10),
        ("memory per connection of 1000, beyond itself", 1000),
    ] {
        if bench.is_selected(measure) {
            bench.at_most(measure, "B", LIMIT, per_connection(connections));
        }
    }
}

/// Bytes for each of so many idle connections, without those of an empty pool.
fn per_connection(connections: u32) -> f64 {
    let runtime = runtime();
    // What the runtime allocates once is not the pool's.
    _ = held(&runtime, filled(connections));
    let without = held(&runtime, async { Ours::open(connections) });
    let with = held(&runtime, filled(connections));
    (with - without) as f64 / f64::from(connections) - size_of::<Connection>() as f64
}

/// Bytes that a pool holds once the tasks that opened its connections are gone.
fn held(runtime: &Runtime, open: impl Future<Output = Ours>) -> isize {
    let (pool, bytes) = held_by(|| {
        runtime.block_on(async {
            let pool = open.await;
            sleep(SETTLES).await;
            pool
        })
    });
    runtime.block_on(async {
        pool.close(None).await;
        sleep(SETTLES).await;
    });
    bytes
}
