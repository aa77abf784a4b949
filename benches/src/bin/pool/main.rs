//! The pools beside deadpool, bb8 and a bare hash map.
//!
//! Peers of other languages join as programs of their own, whose samples name the same measures:
//!
//! ```text
//! bench.compare("puddle", &goals, &mut Program::new(["…", "ours"]), &mut Program::new(["…", "puddle"]));
//! ```

mod contended;
mod keyed;
mod memory;
mod sides;
mod uncontended;

use std::process::ExitCode;
use trunkline_benches::{Bench, alloc::Counting};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() -> ExitCode {
    let mut bench = match Bench::from_args("pool") {
        Ok(bench) => bench,
        Err(usage) => {
            eprintln!("{usage}");
            return ExitCode::FAILURE;
        }
    };
    uncontended::compare(&mut bench);
    contended::compare(&mut bench);
    keyed::compare(&mut bench);
    memory::compare(&mut bench);
    bench.finish()
}
