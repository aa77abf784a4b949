//! Channels beside tonic's, grpcio and grpc-go: the same server, payloads, connections and cores for every side.
//!
//! ```text
//!   core 0   server, a process of its own: the server half of this library, one thread
//!   core 1   clients: ours and tonic's in this process, those of Python and Go in programs
//! ```
//!
//! With `serve` as its first argument the program is the server.

mod languages;
mod memory;
mod rates;
mod server;
mod sides;
mod unary;

use std::{env, process::ExitCode};
use trunkline_benches::{Bench, alloc::Counting};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() -> ExitCode {
    if env::args().nth(1).as_deref() == Some("serve") {
        return server::run();
    }
    let mut bench = match Bench::from_args("channel") {
        Ok(bench) => bench,
        Err(usage) => {
            eprintln!("{usage}");
            return ExitCode::FAILURE;
        }
    };
    bench.note(
        "Every client has one connection and the second core alone, one thread in Rust; the server, one thread of our own \
         server half, has the first. Retries, keepalive and all else are as a channel has them by default. CPU is that of \
         the client's thread.",
    );
    let server = server::Server::start();
    unary::compare(&mut bench, server.address);
    rates::compare(&mut bench, server.address);
    languages::compare(&mut bench, server.address);
    memory::compare(&mut bench);
    drop(server);
    bench.finish()
}
