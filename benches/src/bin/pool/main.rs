//! The pools beside deadpool, bb8, a bare hash map, and what Go and Python programs use.

mod contended;
mod keyed;
mod languages;
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
    languages::compare(&mut bench);
    keyed::compare(&mut bench);
    memory::compare(&mut bench);
    bench.finish()
}
