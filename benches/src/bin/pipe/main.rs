//! The in-memory pipe beside Unix sockets, tokio's duplex and Go's net.Pipe.

mod bulk;
mod latency;
mod memory;
mod messages;
mod sides;

use std::process::ExitCode;
use trunkline_benches::{Bench, alloc::Counting};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() -> ExitCode {
    let mut bench = match Bench::from_args("pipe") {
        Ok(bench) => bench,
        Err(usage) => {
            eprintln!("{usage}");
            return ExitCode::FAILURE;
        }
    };
    latency::compare(&mut bench);
    messages::compare(&mut bench);
    bulk::compare(&mut bench);
    memory::limit(&mut bench);
    bench.finish()
}
