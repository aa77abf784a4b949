//! The tunnel beside OpenSSH's, and what a packet costs among many connections.
//!
//! ```text
//!   core 0   hub and agent, or sshd and `ssh -R`: a process each
//!   core 1   clients ──▶ hub ══▶ agent ──▶ service, clients and service in this process
//! ```
//!
//! With `hub` or `agent` as its first argument the program is one of those.

mod bulk;
mod ends;
mod hop;
mod packets;
mod requests;
mod sides;

use std::{env, process::ExitCode};
use trunkline_benches::{Bench, alloc::Counting};

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let words: Vec<_> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["hub", folder] => return ends::hub(folder),
        ["agent", folder, hub, service, carrier] => {
            return ends::agent(folder, hub, service, carrier);
        }
        _ => {}
    }
    let mut bench = match Bench::from_args("tunnel") {
        Ok(bench) => bench,
        Err(usage) => {
            eprintln!("{usage}");
            return ExitCode::FAILURE;
        }
    };
    bench.toolchain(&["sh", "-c", "ssh -V 2>&1"]);
    bench.note(
        "Both ends of a tunnel are processes with one thread that share the first core; clients and service share the \
         second. Ours are joined by TLS 1.3, OpenSSH's (`ssh -R`) by the cipher that it prefers. `native` and `packet` \
         are the carriers. The cost among many connections is measured in one thread, without sockets. So is the hop between the agent and a host in its process: 16 \
         clients, the hub, the agent and the host share a thread, and only `use_memory_comm` differs. `The hop alone` is what is \
         left of a request, or of a connection's memory, after those of one that reaches the host without a hop. Memory is \
         the heap, and by how much the kernel's slabs have grown.",
    );
    requests::compare(&mut bench);
    bulk::compare(&mut bench);
    packets::compare(&mut bench);
    hop::compare(&mut bench);
    bench.finish()
}
