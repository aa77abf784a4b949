//! The managers' relays beside HAProxy, nginx and a plain copier, and that of datagrams beside itself with full tables.
//!
//! ```text
//!   core 0   relay, a process of its own: ours, haproxy, nginx or a loop that copies; one thread
//!   core 1   clients ──▶ relay ──▶ backend, both in this process
//! ```
//!
//! With the name of a role as its first argument the program is one of the relays.

mod asking;
mod bulk;
mod churn;
mod datagrams;
mod idle;
mod pace;
mod relay;
mod sides;
mod tables;

use std::{env, process::ExitCode};
use trunkline_benches::Bench;

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args().skip(1).collect();
    if let [role, backend, rest @ ..] = arguments.as_slice()
        && let Some(role) = relay::role(role, rest)
    {
        return relay::run(role, backend);
    }
    let mut bench = match Bench::from_args("l4") {
        Ok(bench) => bench,
        Err(usage) => {
            eprintln!("{usage}");
            return ExitCode::FAILURE;
        }
    };
    bench.toolchain(&["haproxy", "-v"]);
    bench.toolchain(&["sh", "-c", "nginx -v 2>&1"]);
    bench.note(
        "Every relay is one process with one thread on the first core; clients and backend share the second, send from \
         memory that is not copied and drop what they get unread, so that the relay is what is measured. HAProxy splices \
         (`option splice-request`, `splice-response`), nginx is its stream module.",
    );
    bench.note(
        "Clients of UDP are addresses of the loopback behind one socket, each with one question at a time. Sessions in the \
         tables are of as many other addresses, which wait for their destination and so need no descriptors; what is measured \
         beside them is real sockets.",
    );
    bulk::compare(&mut bench);
    churn::compare(&mut bench);
    pace::compare(&mut bench);
    idle::compare(&mut bench);
    datagrams::compare(&mut bench);
    tables::compare(&mut bench);
    bench.finish()
}
