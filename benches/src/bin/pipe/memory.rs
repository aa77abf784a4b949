//! What pipes hold on the heap while nothing happens.

use crate::sides::{pipe, streams};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    runtime::Builder,
};
use trunkline_benches::{Bench, alloc::held_by};

const PIPES: usize = 10_000;
const BARE: &str = "one of 10,000 idle pipes";
const USED: &str = "one of 10,000 idle pipes after 100 B each way";
const STREAMS: &str = "one of 10,000 idle pipes as two streams";

pub(crate) fn limit(bench: &mut Bench) {
    if ![BARE, USED, STREAMS].iter().any(|measure| bench.is_selected(measure)) {
        return;
    }
    let runtime = Builder::new_current_thread().build().expect("a runtime");
    let (pipes, bytes) = held_by(|| (0..PIPES).map(|_| pipe()).collect::<Vec<_>>());
    let used = held_by(|| {
        runtime.block_on(async {
            let mut pipes = pipes;
            for (near, far) in &mut pipes {
                for _ in 0..2 {
                    let mut message = [7; 100];
                    near.write_all(&message).await.expect("there is room");
                    far.read_exact(&mut message).await.expect("it is there");
                    std::mem::swap(near, far);
                }
            }
            pipes
        })
    });
    let in_use = bytes + used.1;
    let _entered = runtime.enter();
    let (_streams, of_streams) = held_by(|| (0..PIPES).map(|_| streams()).collect::<Vec<_>>());
    bench.at_most(BARE, "B", 600.0, each(bytes));
    bench.tell(USED, "B", each(in_use));
    bench.tell(STREAMS, "B", each(of_streams));
}

fn each(bytes: isize) -> f64 {
    bytes as f64 / PIPES as f64
}
