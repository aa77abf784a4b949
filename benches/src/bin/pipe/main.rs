//! The in-memory pipe beside Unix sockets and tokio's duplex.

mod latency;
mod sides;

use std::process::ExitCode;
use trunkline_benches::Bench;

fn main() -> ExitCode {
    let mut bench = match Bench::from_args("pipe") {
        Ok(bench) => bench,
        Err(usage) => {
            eprintln!("{usage}");
            return ExitCode::FAILURE;
        }
    };
    latency::compare(&mut bench);
    bench.finish()
}
